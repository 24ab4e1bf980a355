"""Toy datasets, split and standardised, and mini-batches in a seeded order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.data.datasets import TensorDataset

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["DATASETS", "ToyDataset", "batches", "toy"]

#: The names that :func:`toy` knows, and what each is.
DATASETS = {
    "moons": "two interleaving half circles",
    "circles": "a circle inside another",
    "blobs": "two clouds of points",
    "digits": "1,797 handwritten digits of 8 x 8 pixels",
}


@dataclass(frozen=True, eq=False)
class ToyDataset:
    """Samples to train on and samples held out, with the standardisation that was applied to both. Example: :func:`toy`.

    x_train, x_test   (n, features) float64, ``(raw - mean) / scale``
    y_train, y_test   (n,) int64 labels 0 … classes - 1
    mean, scale       (features,) float64, computed on the training samples
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    mean: Array
    scale: Array
    classes: int

    @property
    def features(self) -> int:
        """Numbers per sample."""
        return int(self.x_train.shape[1])

    def standardize(self, raw: Any) -> Array:
        """New samples (n, features) as the training samples were standardised."""
        return (np.asarray(raw, float) - self.mean) / self.scale

    @property
    def train(self) -> TensorDataset:
        """The samples to train on, as a :class:`DataLoader` takes them."""
        return TensorDataset(self.x_train, self.y_train)

    @property
    def test(self) -> TensorDataset:
        """The samples held out."""
        return TensorDataset(self.x_test, self.y_test)

    def raw(self, x: Any) -> Array:
        """The inverse of :meth:`standardize`."""
        return np.asarray(x) * self.scale + self.mean

    def __repr__(self) -> str:
        return (
            f"ToyDataset({self.name}: {len(self.x_train)} to train on, {len(self.x_test)} held out, "
            f"{self.features} features, {self.classes} classes)"
        )


def toy(
    name: str,
    samples: int | None = None,
    noise: float | None = None,
    seed: int = 0,
    test_size: float = 0.2,
    standardize: bool = True,
) -> ToyDataset:
    """One of scikit-learn's small datasets: ``moons``, ``circles``, ``blobs`` or ``digits``. Nothing is downloaded.

    ``samples``: how many (500; all 1,797 digits). ``noise``: standard deviation of the Gaussian noise that is added to
    the points (0.1; 1.0 for blobs, the clouds' own spread; for digits 0, on pixels that go from 0 to 1). ``test_size``:
    the share that is held out, with the same share of every class. ``standardize``: mean 0 and standard deviation 1 of
    every feature (for digits: one scale for all pixels, or a pixel that is rarely lit would shout). The same seed gives
    the same arrays. Raises ValueError for an unknown name and numbers that make no dataset, ImportError without
    scikit-learn.

    >>> import tinytensor as tt
    >>> tt.data.toy("moons", samples=100, noise=0.1, seed=1)
    ToyDataset(moons: 80 to train on, 20 held out, 2 features, 2 classes)
    """
    _check(name, samples, noise, seed, test_size)
    x, y = _raw(name, samples, noise, seed)
    train, test = _split(y, test_size, np.random.default_rng((seed, 1)))
    mean, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
    if standardize:
        mean = x[train].mean(0)
        spread = x[train].std(0) if name != "digits" else np.full(x.shape[1], (x[train] - mean).std())
        scale = np.where(spread > 0, spread, 1.0)
    x = (x - mean) / scale
    return ToyDataset(name, x[train], y[train], x[test], y[test], mean, scale, 10 if name == "digits" else 2)


def _check(name: str, samples: int | None, noise: float | None, seed: int, test_size: float) -> None:
    if name not in DATASETS:
        import difflib  # 5 ms, for a message

        near = difflib.get_close_matches(name.lower(), DATASETS, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(DATASETS)}"
        raise ValueError(f"unknown dataset {name!r}: {hint}")
    fewest, most = (50, 1797) if name == "digits" else (10, 10_000_000)
    if samples is not None and not fewest <= samples <= most:
        raise ValueError(f"{name}: samples must lie between {fewest} and {most:,}, got {samples}")
    if noise is not None and not 0 <= noise < np.inf:
        raise ValueError(f"{name}: noise must be a finite number and not negative, got {noise}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"{name}: seed must be a whole number from 0 to 2**32 - 1, got {seed}")
    if not 0 < test_size < 1:
        raise ValueError(f"{name}: test_size is the share that is held out, between 0 and 1; got {test_size}")


def _raw(name: str, samples: int | None, noise: float | None, seed: int) -> tuple[Array, Array]:
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError("the toy datasets need scikit-learn: pip install 'tinytensor[app]'") from None
    n = 500 if samples is None else samples
    if name == "digits":
        x, y = datasets.load_digits(return_X_y=True)
        draw = np.random.default_rng((seed, 0))
        chosen = draw.permutation(len(y))[: len(y) if samples is None else samples]
        x, y = x[chosen] / 16, y[chosen]
        x = x + draw.normal(0, noise, x.shape) if noise else x
    elif name == "blobs":
        centres, spread = [(-2.5, -1.0), (2.5, 1.0)], 1.0 if noise is None else noise
        x, y = datasets.make_blobs(n, centers=centres, cluster_std=spread, random_state=seed)
    elif name == "circles":
        x, y = datasets.make_circles(n, noise=0.1 if noise is None else noise, factor=0.4, random_state=seed)
    else:
        x, y = datasets.make_moons(n, noise=0.1 if noise is None else noise, random_state=seed)
    return x, y.astype(np.int64)


def _split(y: Array, test_size: float, draw: np.random.Generator) -> tuple[Array, Array]:
    """Indices of the training and of the held-out samples, every class divided in the same ratio."""
    train, test = [], []
    for label in np.unique(y):
        members = draw.permutation(np.flatnonzero(y == label))
        held = min(max(round(test_size * len(members)), 1), len(members) - 1)
        test.append(members[:held])
        train.append(members[held:])
    return draw.permutation(np.concatenate(train)), draw.permutation(np.concatenate(test))


def batches(
    x: Array, y: Array, batch_size: int | None = None, rng: np.random.Generator | None = None
) -> Iterator[tuple[Array, Array]]:
    """Pieces of ``x`` and ``y`` with ``batch_size`` rows (the last may have fewer): one epoch.

    ``batch_size=None`` gives everything at once, as it is. With ``rng`` the order is drawn anew, without it kept.
    Raises ValueError for different lengths and a batch size below 1.

    >>> import numpy as np
    >>> from tinytensor.data import batches
    >>> [b.tolist() for a, b in batches(np.eye(5), np.arange(5), batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """
    n = len(x)
    if len(y) != n:
        raise ValueError(f"batches: x has {n} rows, y has {len(y)}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batches: batch_size must be at least 1, got {batch_size}")
    return _pieces(x, y, n, batch_size, rng)


def _pieces(
    x: Array, y: Array, n: int, batch_size: int | None, rng: np.random.Generator | None
) -> Iterator[tuple[Array, Array]]:
    if batch_size is None or (batch_size >= n and rng is None):
        yield x, y
        return
    order = rng.permutation(n) if rng is not None else None
    for start in range(0, n, batch_size):
        piece: Any = slice(start, start + batch_size) if order is None else order[start : start + batch_size]
        yield x[piece], y[piece]
