"""What an entry of the catalogue says: a function, its domain, what happens at its kinks, and calls that show it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from importlib import import_module
from typing import Any

import numpy as np

__all__ = [
    "ABOVE_1", "ANY", "EACH", "NONZERO", "PAIRS", "POSITIVE", "PROBABILITY", "REFERENCE", "UNIT",
    "Case", "Domain", "Entry", "case", "entry", "find",
]  # fmt: skip

Shape = tuple[int, ...]
Call = Callable[..., Any]


@dataclass(frozen=True)
class Domain:
    """Where an input may lie: in words, and as numbers that keep away from every kink and from each other.

    ``draw(shape, k)`` gives the numbers for input number k.
    """

    text: str
    draw: Callable[[Shape, int], Any]


def _apart(shape: Shape, k: int) -> Any:
    """Numbers between -2 and 2, far from each other, from those of other inputs, and from 0 and 1."""
    n = math.prod(shape)
    order = np.random.default_rng([n, k]).permutation(n)
    return (((order + 0.5) / max(n, 1) - 0.5) * 3.6 + 0.13 * (k + 1) / max(n, 4)).reshape(shape)


ANY = Domain("any", _apart)
POSITIVE = Domain("x > 0", lambda shape, k: np.exp(_apart(shape, k) / 2))
ABOVE_1 = Domain("x > 1", lambda shape, k: 1.2 + np.exp(_apart(shape, k) / 2))
UNIT = Domain("−1 < x < 1", lambda shape, k: _apart(shape, k) * 0.45)
PROBABILITY = Domain("0 < x < 1", lambda shape, k: 0.5 + _apart(shape, k) * 0.21)
NONZERO = Domain("x ≠ 0", lambda shape, k: np.where(_apart(shape, k) > 0, 1.0, -1.0) * np.exp(_apart(shape, k) / 2))

#: One input: 0-d, a vector, a matrix.
EACH: tuple[tuple[Shape, ...], ...] = (((),), ((3,),), ((2, 3),))
#: Two inputs that broadcast in every way.
PAIRS: tuple[tuple[Shape, ...], ...] = (
    ((3,), (3,)), ((), (3,)), ((2, 3), ()), ((2, 1), (1, 3)), ((3,), (2, 3)), ((1, 3), (2, 2, 1)), ((), ()),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One call: ``f(m, *inputs)``, where m is NumPy's namespace or ours, on inputs of these shapes.

    ``shapes`` holds one or more tuples of input shapes. ``domain`` may be one for all inputs or one for each. ``torch``:
    the same call in PyTorch, ``torch(T, *tensors)`` with T the torch module.
    """

    f: Call
    shapes: tuple[tuple[Shape, ...], ...]
    domain: Domain | tuple[Domain, ...] | None = None
    torch: Call | None = None
    scalar: bool | None = None

    def inputs(self, shapes: tuple[Shape, ...], domain: Domain, dtype: Any = float) -> list[Any]:
        """Arrays of these shapes from the case's domain (or the entry's)."""
        each = self.domain or domain
        domains = each if isinstance(each, tuple) else (each,) * len(shapes)
        return [np.asarray(d.draw(s, k), dtype) for k, (s, d) in enumerate(zip(shapes, domains, strict=True))]


@dataclass(frozen=True)
class Entry:
    """A function that can be differentiated (``order`` 2) or whose result is a constant (``order`` 0).

    name    how it is called: ``np.hypot``, ``scipy.special.erf``; ``tt.relu`` for what neither has
    also    other names of the same function: ``np.amax``
    kinks   what is done where there is no derivative, or several, in a few words
    exact   whether the values equal NumPy's bit by bit; else to rounding
    scalar  whether the same call runs on object arrays of ``Value``
    like    for functions that NumPy and SciPy lack: ``like(*arrays)``, their values
    """

    name: str
    cases: tuple[Case, ...]
    domain: Domain = ANY
    kinks: str = ""
    order: int = 2
    also: tuple[str, ...] = ()
    exact: bool = True
    scalar: bool = False
    like: Call | None = field(default=None, repr=False)


def find(m: Any, name: str) -> Any:
    """The function of this name in a namespace: ``find(np, "np.linalg.inv")`` is ``np.linalg.inv``."""
    return reduce(getattr, name.split(".")[1:], m)


def case(
    f: Call,
    *shapes: tuple[Shape, ...],
    domain: Domain | tuple[Domain, ...] | None = None,
    torch: Call | None = None,
    scalar: bool | None = None,
) -> Case:
    """One way to call a function, and the shapes to call it with: ``case(lambda m, x: m.sum(x, axis=0), ((2, 3),))``."""
    return Case(f, shapes, domain, torch, scalar)


def entry(
    name: str,
    *cases: Case,
    shapes: Sequence[tuple[Shape, ...]] = EACH,
    domain: Domain = ANY,
    kinks: str = "",
    order: int = 2,
    also: Sequence[str] = (),
    exact: bool = True,
    scalar: bool = False,
    torch: str | Call | None = None,
    like: Call | None = None,
) -> Entry:
    """An entry; without cases the function is called as it stands, ``name(*inputs)``, with all ``shapes``.

    ``torch``: the function in PyTorch by its dotted name ("special.erf"), or a call ``torch(T, *tensors)``.
    """
    if not cases:
        there = (lambda T, *xs, path=torch: find(T, f"torch.{path}")(*xs)) if isinstance(torch, str) else torch
        cases = (Case(lambda m, *xs: find(m, name)(*xs), tuple(shapes), None, there),)
    elif callable(torch):
        cases = tuple(c if c.torch else replace(c, torch=torch) for c in cases)
    return Entry(name, cases, domain, kinks, order, tuple(also), exact, scalar, like)


class _Merged:
    """Several namespaces as one: the first that has a name gives it."""

    def __init__(self, *modules: str) -> None:
        self._modules = modules

    def __getattr__(self, name: str) -> Any:
        for module in self._modules:
            try:
                return getattr(import_module(module), name)
            except (ImportError, AttributeError):
                continue
        raise AttributeError(f"none of {', '.join(self._modules)} has {name}")


class Reference(_Merged):
    """NumPy's and SciPy's functions as one namespace, as ours is: ``m.hypot``, ``m.linalg.expm``, ``m.special.erf``."""

    linalg = _Merged("numpy.linalg", "scipy.linalg")
    special = _Merged("scipy.special")
    stats = _Merged("scipy.stats")
    fft = _Merged("numpy.fft")
    signal = _Merged("scipy.signal")
    integrate = _Merged("scipy.integrate")

    def __init__(self) -> None:
        super().__init__("numpy", "numpy.lib.stride_tricks", "scipy")


#: The namespace that calls are run with on plain arrays, and on tensors where NumPy's functions take them.
REFERENCE: Any = Reference()
