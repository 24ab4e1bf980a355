"""A training step, described once: data and weights, and in each library's own words the network and the loss.

A workload file makes one :class:`Training`. What the libraries share is here and in ``stepping``: the same numbers for
all, the loop of forward, loss, backward and update in each library's own idiom, the answers by which they are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.harness import Case, Claim, ratio
from benchmarks.job import Job, timed

#: Steps whose losses are compared before anything is timed.
STEPS = 4
#: Numbers of each parameter that are compared after those steps.
SAMPLE = 64


class Problem(NamedTuple):
    """What a library starts from: NumPy arrays, made from a seed.

    inputs    what each step is given: float32 numbers, int64 labels
    weights   float32, in the order and layout of the network's ``parameters()`` in PyTorch
    """

    inputs: tuple[Any, ...]
    weights: list[Any]


class Step(NamedTuple):
    """One library, ready to train.

    call      one step: forward, loss, backward, update; returns the loss
    reset     back to the first weights
    weights   the present weights, as NumPy arrays in the order and layout of ``Problem.weights``
    version   of the library
    finish    waits until everything is computed, where calls return earlier
    many      what is timed instead of ``call``, and of how many steps it consists
    """

    call: Callable[[], Any]
    reset: Callable[[], None]
    weights: Callable[[], list[Any]]
    version: str
    finish: Callable[[], Any] = lambda: None
    many: tuple[Callable[[], Any], int] | None = None


#: (who, whom) -> how many times as long the first must need at least.
Targets = Mapping[tuple[str, str], float]

#: Who takes part in the step of a larger network, the first being the one that answers are compared with.
USUAL = ("tinytensor", "tinytensor, compiled", "PyTorch", "PyTorch, best idiom", "PyTorch, compiled", "JAX")


def targets(eager: float, compiled: float, jax: float | None = None, by_hand: float | None = None) -> dict[Any, float]:
    """The targets beside PyTorch as people run it, JAX and NumPy by hand."""
    found = {("PyTorch", "tinytensor"): eager, ("PyTorch", "tinytensor, compiled"): compiled,
             ("JAX", "tinytensor, compiled"): jax, ("NumPy by hand", "tinytensor, compiled"): by_hand}  # fmt: skip
    return {pair: target for pair, target in found.items() if target is not None}


def ratio_claims(case: dict[str, Any], wanted: Targets) -> list[Claim]:
    """One claim for each pair that was measured."""
    return [
        Claim(f"{case['label']}: {whom} / {who}", value, "times", "at least", target)
        for (whom, who), target in wanted.items()
        if (value := ratio(case, whom, who))
    ]


class Training(NamedTuple):
    """A training step.

    Every function takes the options of its case as keywords too.

    problem      () -> :class:`Problem`
    optimizer    its name in PyTorch, and its settings
    network      (lib) -> the module, lib being ``tinytensor`` or ``torch``: their names are the same
    loss         (lib) -> f(model, x, y), a scalar
    functional   (np, parameters, x, y) -> the loss in plain NumPy, np being that of JAX, HIPS autograd or MyGrad
    others       name of a library -> (problem) -> :class:`Step`, for those that do it in a way of their own
    targets      what is claimed
    """

    problem: Callable[..., Problem]
    optimizer: tuple[str, dict[str, Any]]
    network: Callable[..., Any]
    loss: Callable[..., Callable[[Any, Any, Any], Any]]
    functional: Callable[..., Any] | None
    others: Mapping[str, Callable[..., Step]]
    targets: Targets

    def make(self, library: str, **options: Any) -> Step:
        """The library's step; it is called in a process that no other library uses."""
        from benchmarks import stepping

        problem = self.problem(**options)
        if library in self.others:
            return self.others[library](problem, **options)
        name, *variants = [part for part in library.split(", ") if not part.endswith(("thread", "threads"))]
        if name in self.others:
            return self.others[name](problem, **options)
        return stepping.LIBRARIES[name](self, problem, variants, options)

    def build(self, library: str, **options: Any) -> Job:
        """The job: its answer is the first losses, and a sample of every parameter after them."""
        step = self.make(library, **options)

        def answer() -> list[list[float]]:
            losses = [number(step.call()) for _ in range(STEPS)]
            return [losses, *(_sample(w) for w in step.weights())]

        call, steps = step.many or (step.call, 1)
        return Job(answer, timed(call, step.reset, step.finish, steps), step.version)

    def once(self, library: str, **options: Any) -> Callable[[], Any]:
        """One step, waited for; returns its loss as a number."""
        step = self.make(library, **options)

        def run() -> Any:
            value = number(step.call())
            step.finish()
            return value

        return run

    def claims(self, result: dict[str, Any]) -> list[Claim]:
        """Those of the first case."""
        return ratio_claims(result["cases"][0], self.targets)

    def case(self, label: str, libraries: tuple[str, ...], options: dict[str, Any], quick: bool, **more: Any) -> Case:
        """A case with the usual number of rounds; quick: without what takes long to start."""
        if quick:
            libraries = tuple(name for name in libraries if name != "PyTorch, compiled")
        return Case(
            label, libraries, options, **{"rounds": 2 if quick else 25, "seconds": 0.02 if quick else 0.3} | more
        )


def number(loss: Any) -> float:
    """A loss of any library as a Python number."""
    return float(loss.item() if hasattr(loss, "item") else loss)


def _sample(w: Any) -> list[float]:
    flat = w.reshape(-1)
    found: list[float] = flat[:: max(1, -(-flat.size // SAMPLE))].tolist()
    return found
