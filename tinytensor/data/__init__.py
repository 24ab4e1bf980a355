"""Datasets (arrays, files, toys), mini-batches in a seeded order that can be resumed, and standardisation."""

from tinytensor.data.datasets import Subset, TensorDataset, random_split
from tinytensor.data.files import load_csv, load_npy, load_npz
from tinytensor.data.loader import DataLoader, default_collate
from tinytensor.data.standardize import Standardize
from tinytensor.data.toys import DATASETS, Dataset, batches, toy

__all__ = [
    "DATASETS", "DataLoader", "Dataset", "Standardize", "Subset", "TensorDataset", "batches", "default_collate", "load_csv",
    "load_npy", "load_npz", "random_split", "toy",
]  # fmt: skip
