"""Samplers: which samples an epoch has, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinytensor.data.seeds import seed_of

__all__ = [
    "BatchSampler", "RandomSampler", "Sampler", "SequentialSampler", "SubsetRandomSampler", "WeightedRandomSampler",
]  # fmt: skip


class Sampler:
    """The base of samplers of one's own: define ``__iter__``, which gives sample numbers, and ``__len__``.

    Deriving from it is not needed: any iterable of sample numbers, such as a list, is a sampler. If it has ``set_epoch``, it is
    told the number of the epoch first.   (``torch.utils.data.Sampler``)

    >>> import tinytensor as tt
    >>> class Odd(tt.data.Sampler):
    ...     def __iter__(self):
    ...         yield from (1, 3)
    >>> [x.tolist() for x in tt.data.DataLoader([0.0, 0.1, 0.2, 0.3], batch_size=2, sampler=Odd())]
    [[0.1, 0.3]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} gives no sample numbers yet; define __iter__(self)")


class SequentialSampler(Sampler):
    """0, 1, 2, …   (``torch.utils.data.SequentialSampler``)

    >>> import tinytensor as tt
    >>> list(tt.data.SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class _Seeded(Sampler):
    """Draws from a seed and the number of the epoch alone, so that the order of any epoch can be found again."""

    def __init__(self, generator: Any) -> None:
        self.seed, self.epoch = seed_of(type(self).__name__, generator), 0

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is that of this epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        drawn = self._draw(np.random.default_rng((self.seed, self.epoch)))
        self.epoch += 1
        return iter(drawn.tolist())

    def _draw(self, rng: np.random.Generator) -> Any:
        raise NotImplementedError

    def state_dict(self) -> dict[str, int]:
        """The seed and the epoch."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take what :meth:`state_dict` gave; ValueError, with nothing changed, for anything else."""
        numbers = [state_dict.get(name) for name in ("seed", "epoch")] if isinstance(state_dict, Mapping) else []
        if len(numbers) != 2 or not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError(f"{type(self).__name__}: expected a state with seed and epoch; got {str(state_dict)[:60]}")
        self.seed, self.epoch = state_dict["seed"], state_dict["epoch"]


class RandomSampler(_Seeded):
    """All samples in a new order in every epoch; or ``num_samples`` of them, drawn with ``replacement``.

    (``torch.utils.data.RandomSampler``)

    >>> import tinytensor as tt
    >>> sampler = tt.data.RandomSampler("abcd", generator=0)
    >>> list(sampler), list(sampler)
    ([2, 0, 1, 3], [3, 0, 2, 1])
    """

    def __init__(
        self, data_source: Any, replacement: bool = False, num_samples: int | None = None, generator: Any = None
    ) -> None:
        super().__init__(generator)
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"RandomSampler: num_samples must be at least 1, got {num_samples}")
        self.data_source, self.replacement, self._wanted = data_source, replacement, num_samples

    def __len__(self) -> int:
        return len(self.data_source) if self._wanted is None else self._wanted

    def _draw(self, rng: np.random.Generator) -> Any:
        n, wanted = len(self.data_source), len(self)
        if self.replacement:
            return rng.integers(n, size=wanted) if wanted else np.zeros(0, int)
        rounds = -(-wanted // n) if n else 0  # more than there are: all of them several times
        return np.concatenate([np.zeros(0, int), *(rng.permutation(n) for _ in range(rounds))])[:wanted]


class SubsetRandomSampler(_Seeded):
    """The samples ``indices`` in a new order in every epoch.   (``torch.utils.data.SubsetRandomSampler``)

    >>> import tinytensor as tt
    >>> sorted(tt.data.SubsetRandomSampler([4, 2, 7]))
    [2, 4, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        super().__init__(generator)
        self.indices = np.asarray(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def _draw(self, rng: np.random.Generator) -> Any:
        return rng.permutation(self.indices)


class WeightedRandomSampler(_Seeded):
    """``num_samples`` samples, drawn with probabilities proportional to ``weights``.   (``torch.utils.data.WeightedRandomSampler``)

    >>> import tinytensor as tt
    >>> list(tt.data.WeightedRandomSampler([0, 1, 0], 4))
    [1, 1, 1, 1]
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None) -> None:
        super().__init__(generator)
        self.weights = np.array(getattr(weights, "data", weights), float)
        self.num_samples, self.replacement = num_samples, replacement
        w = self.weights
        if w.ndim != 1 or not np.isfinite(w).all() or (w < 0).any() or not w.sum() > 0:
            raise ValueError("WeightedRandomSampler: weights must be a list of numbers from 0, not all of them 0")
        if num_samples < 1 or not (replacement or num_samples <= np.count_nonzero(w)):
            raise ValueError(
                f"WeightedRandomSampler: {num_samples} samples cannot be drawn from {np.count_nonzero(w)} of weight above 0"
            )

    def __len__(self) -> int:
        return self.num_samples

    def _draw(self, rng: np.random.Generator) -> Any:
        p = self.weights / self.weights.sum()
        return rng.choice(len(p), self.num_samples, self.replacement, p)


class BatchSampler(Sampler):
    """The sample numbers of ``sampler`` in lists of ``batch_size``.   (``torch.utils.data.BatchSampler``)

    >>> import tinytensor as tt
    >>> list(tt.data.BatchSampler(tt.data.SequentialSampler("abcde"), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"BatchSampler: batch_size must be a whole number from 1, got {batch_size!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def set_epoch(self, epoch: int) -> None:
        """For the sampler, if it asks."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[Any]]:
        batch: list[Any] = []
        for number in self.sampler:
            batch.append(number)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def state_dict(self) -> Any:
        """The sampler's, if it has one."""
        return self.sampler.state_dict() if hasattr(self.sampler, "state_dict") else {}

    def load_state_dict(self, state_dict: Any) -> None:
        """Into the sampler."""
        if hasattr(self.sampler, "load_state_dict"):
            self.sampler.load_state_dict(state_dict)
