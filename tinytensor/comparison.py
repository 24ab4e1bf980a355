"""The published micrograd demo on both engines: the same weights, the same losses, and how long a step takes each."""

from __future__ import annotations

import os
import platform
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import nn, scalar
from tinytensor.training import Recipe, ScalarEngine, TensorEngine, accuracy, targets

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["PUBLISHED", "Comparison", "Speed", "demo_data", "demo_engines", "run_demo", "time_steps"]

#: The first losses that micrograd's demo notebook shows.
PUBLISHED = (0.8958441028683222, 1.7235905336972022, 0.7429006313851131, 0.7705641260584198)

_RECIPE = Recipe(hidden=(16, 16), loss="hinge", optimizer="sgd", lr=1.0, l2=1e-4)


@dataclass(frozen=True)
class Speed:
    """The seconds of one training step at a batch size; ``scalar`` is None where that engine was not run."""

    batch: int
    tensor: float
    scalar: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times longer the scalar engine takes."""
        return None if self.scalar is None else self.scalar / self.tensor


@dataclass
class Comparison:
    """What was measured."""

    dtype: str
    losses: dict[str, list[float]]
    accuracies: dict[str, float]
    speeds: list[Speed] = field(default_factory=list)

    @property
    def difference(self) -> float:
        """The largest difference between the two losses of a step."""
        return float(np.abs(np.subtract(self.losses["scalar"], self.losses["tensor"])).max())

    @property
    def off_published(self) -> float:
        """The largest difference between the scalar engine's first losses and the published ones."""
        return float(max(abs(a - b) for a, b in zip(self.losses["scalar"], PUBLISHED, strict=False)))

    def as_dict(self) -> dict[str, Any]:
        """Everything, and the machine, for a JSON file."""
        return {
            **asdict(self),
            "speeds": [{**asdict(speed), "ratio": speed.ratio} for speed in self.speeds],
            "published_losses": list(PUBLISHED),
            "largest_difference": self.difference,
            "machine": {
                "system": platform.platform(), "processor": platform.machine(), "cpus": os.cpu_count(),
                "python": platform.python_version(), "numpy": np.__version__,
            },
        }  # fmt: skip


def demo_data(samples: int = 100) -> tuple[Array, Array]:
    """The demo's points (n, 2) and labels 0 and 1: ``np.random.seed(1337); make_moons(100, noise=0.1)``.

    Points are not standardised and none is held out, as in the demo. ImportError without scikit-learn.
    """
    try:
        from sklearn.datasets import make_moons
    except ImportError:
        raise ImportError("the demo's data need scikit-learn: pip install 'tinytensor[app]'") from None
    x, y = make_moons(samples, noise=0.1, random_state=np.random.RandomState(1337))
    return x, y.astype(np.int64)


def demo_engines(dtype: str = "float64") -> tuple[ScalarEngine, TensorEngine]:
    """Both engines with the demo's weights, drawn by the scalar MLP in micrograd's order from ``random.seed(1337)``.

    The scalar engine computes in float64, whatever the tensor engine does. The state of ``random`` is left alone.

    >>> a, b = demo_engines()
    >>> len(a.values.parameters()), bool((a.model.linears[0].weight.data == b.model.linears[0].weight.data).all())
    (337, True)
    """
    state = random.getstate()
    random.seed(1337)
    drawn = scalar.MLP(2, [16, 16, 1])
    random.setstate(state)
    exact, chosen = (nn.MLP.from_scalar(drawn, dtype=kind) for kind in ("float64", dtype))
    return ScalarEngine(exact, _RECIPE), TensorEngine(chosen, _RECIPE)


def run_demo(
    steps: int = 100, dtype: str = "float64", on_step: Callable[[str, int, float], None] | None = None
) -> Comparison:
    """Train the demo with both engines; ``on_step(engine, step, loss)`` is called after every step.

    The learning rate of step k is 1 - 0.9 k / 100, as published; for more than 100 steps, 1 - 0.9 k / steps.

    >>> found = run_demo(steps=1)
    >>> round(found.losses["scalar"][0], 12), found.difference < 1e-12
    (0.895844102868, True)
    """
    x, y = demo_data()
    losses: dict[str, list[float]] = {}
    accuracies = {}
    with np.errstate(all="ignore"):
        for engine in demo_engines(dtype):
            target = targets(y, "hinge", 2)
            seen = losses[engine.name] = []
            for k in range(steps):
                loss, scores = engine.step(x, target, 1.0 - 0.9 * k / max(steps, 100))
                seen.append(loss)
                if on_step is not None:
                    on_step(engine.name, k + 1, loss)
            accuracies[engine.name] = accuracy(scores, y)
    return Comparison(dtype, losses, accuracies)


def time_steps(
    batch_sizes: Sequence[int], dtype: str = "float64", scalar_up_to: int = 100,
    on_size: Callable[[Speed], None] | None = None, seconds: float = 0.3,
) -> list[Speed]:  # fmt: skip
    """The median time of a training step of each engine at each batch size, over at least three steps and ``seconds``.

    Above ``scalar_up_to`` the tensor engine runs alone; nothing is extrapolated.
    """
    speeds = []
    for size in batch_sizes:
        x, y = demo_data(max(size, 2))  # make_moons wants a point of each moon
        scalars, tensors = demo_engines(dtype)
        x, target = x[:size], targets(y, "hinge", 2)[:size]
        tensor = _median_step(tensors, x.astype(dtype), target.astype(dtype), seconds)
        slow = _median_step(scalars, x, target, seconds) if size <= scalar_up_to else None
        speeds.append(Speed(size, tensor, slow))
        if on_size is not None:
            on_size(speeds[-1])
    return speeds


def _median_step(engine: TensorEngine, x: Array, target: Array, seconds: float) -> float:
    times: list[float] = []
    engine.step(x, target, 0.0)  # the first call pays for what later ones find ready
    with np.errstate(all="ignore"):
        while len(times) < 3 or sum(times) < seconds:
            start = perf_counter()
            engine.step(x, target, 0.0)  # rate 0: always the same step
            times.append(perf_counter() - start)
    return median(times)
