"""Datasets (arrays, files, toys), mini-batches in a seeded order that can be resumed, and standardisation."""

from tinytensor.data.collate import default_collate
from tinytensor.data.datasets import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from tinytensor.data.files import load_csv, load_npy, load_npz
from tinytensor.data.loader import DataLoader
from tinytensor.data.samplers import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from tinytensor.data.standardize import Standardize
from tinytensor.data.toys import DATASETS, ToyDataset, batches, toy

__all__ = [
    "DATASETS", "BatchSampler", "ConcatDataset", "DataLoader", "Dataset", "IterableDataset", "RandomSampler", "Sampler",
    "SequentialSampler", "Standardize", "Subset", "SubsetRandomSampler", "TensorDataset", "ToyDataset",
    "WeightedRandomSampler", "batches", "default_collate", "load_csv", "load_npy", "load_npz", "random_split", "toy",
]  # fmt: skip
