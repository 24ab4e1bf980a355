"""How each library of ``functions`` is called for the gradient of the sum of f(x), as its documentation shows it.

Each of these functions imports a library, and returns ``make``, its namespace and its version. ``make(f, arrays)`` gives
``step()``, which is what is timed, and ``answer()``, values and gradients of a weighted sum as arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from types import SimpleNamespace
from typing import Any


def _total(m: Any, f: Callable[..., Any], out: Any) -> Callable[..., Any]:
    """The sum of all elements of f's result, or of its several results."""
    if not isinstance(out, (list, tuple)) and type(out).__name__ != "SequenceBox":
        return f if out.shape == () else lambda *xs: m.sum(f(*xs))
    return lambda *xs: reduce(lambda a, b: a + b, [m.sum(one) for one in f(*xs)])


def _weighted(m: Any, f: Callable[..., Any], out: Any) -> Callable[..., Any]:
    """For the comparison of answers: elements count ½ to 1½, because the gradient of a plain sum of softmax is zero."""
    import numpy as np

    if isinstance(out, (list, tuple)) or type(out).__name__ == "SequenceBox" or out.shape == ():
        return _total(m, f, out)
    weights = np.linspace(0.5, 1.5, math.prod(out.shape)).reshape(out.shape)
    return lambda *xs: m.sum(m.multiply(weights, f(*xs)))


class NoDerivative(Exception):
    """The library has the name, but its results are constants."""


def ours() -> tuple[Any, Any, str]:
    import numpy as np

    import tinytensor as tt

    def make(f: Any, arrays: list[Any]) -> tuple[Any, Any]:
        leaves = [tt.tensor(x, requires_grad=True) for x in arrays]
        out = f(*leaves)
        total, weighted = _total(tt, f, out), _weighted(tt, f, out)
        if not total(*leaves).requires_grad:
            raise NoDerivative

        def step(of: Any = total) -> None:
            for leaf in leaves:
                leaf.grad = None
            of(*leaves).backward()

        def answer() -> list[Any]:
            value = weighted(*leaves)
            step(weighted)
            return [value.data, *(np.zeros(x.shape) if x.grad is None else x.grad for x in leaves)]

        return step, answer

    return make, tt, tt.__version__


def hips() -> tuple[Any, Any, str]:
    from importlib.metadata import version

    import autograd.scipy as scipy
    import numpy as np
    from autograd import grad
    from autograd import numpy as anp

    for name in ("linalg", "signal", "special", "stats"):
        import_module(f"autograd.scipy.{name}")

    def make(f: Any, arrays: list[Any]) -> tuple[Any, Any]:
        which: Any = 0 if len(arrays) == 1 else tuple(range(len(arrays)))
        out = f(*arrays)
        weighted = _weighted(anp, f, out)
        slopes, weighted_slopes = grad(_total(anp, f, out), which), grad(weighted, which)

        def step() -> Any:
            return slopes(*arrays)

        def answer() -> list[Any]:
            step()
            found = weighted_slopes(*arrays)
            grads = [] if found is None else [found] if which == 0 else found
            if not any(map(np.any, grads)):
                raise NoDerivative
            return list(map(np.asarray, [weighted(*arrays), *grads]))

        return step, answer

    both = SimpleNamespace(**{**vars(scipy.linalg), **vars(anp.linalg)})
    added = {"linalg": both, "special": scipy.special, "stats": scipy.stats,
             "convolve": lambda x, y, mode: scipy.signal.convolve(x, y, mode=mode)}  # fmt: skip
    return make, SimpleNamespace(**{**vars(anp), **added}), version("autograd")


def mygrad() -> tuple[Any, Any, str]:
    import mygrad as mg
    import numpy as np
    from mygrad import nnet

    def make(f: Any, arrays: list[Any]) -> tuple[Any, Any]:
        leaves = [mg.tensor(x) for x in arrays]
        out = f(*leaves)
        total, weighted = _total(mg, f, out), _weighted(mg, f, out)
        made = total(*leaves)
        if not isinstance(made, mg.Tensor) or made.constant:
            raise NoDerivative

        def step(of: Any = total) -> None:
            of(*leaves).backward()

        def answer() -> list[Any]:
            value = weighted(*leaves)
            step(weighted)
            return [value.data, *(np.zeros(x.shape) if x.grad is None else x.grad for x in leaves)]

        return step, answer

    added = {"relu": nnet.relu, "sigmoid": nnet.sigmoid, "softmax": nnet.softmax, "log_softmax": nnet.logsoftmax,
             "leaky_relu": lambda x: nnet.leaky_relu(x, 0.01)}  # fmt: skip
    arrays_only = ("sliding_window_view", "asarray", "full", "linspace", "logspace", "geomspace")
    return (
        make,
        SimpleNamespace(**{k: v for k, v in {**vars(mg), **added}.items() if k not in arrays_only}),
        mg.__version__,
    )


def mygrad_unguarded() -> tuple[Any, Any, str]:
    """MyGrad without the locks that it puts on arrays in use: writes into them then go unnoticed."""
    import mygrad as mg

    mg.turn_memory_guarding_off()
    return mygrad()


def numpy() -> tuple[Any, Any, str]:
    """The witness: NumPy's values, and central differences of their sum."""
    import numpy as np

    import tinytensor as tt
    from tinytensor.catalogue.entry import REFERENCE

    def make(f: Any, arrays: list[Any]) -> tuple[Any, Any]:
        weighted = _weighted(np, f, f(*arrays))

        def total(*xs: Any) -> float:
            return float(weighted(*xs))

        def slope(x: Any, at: int, h: float = 1e-4) -> float:
            """Of the fourth order in h."""
            kept, found = x.flat[at], []
            for k in (-2, -1, 1, 2):
                x.flat[at] = kept + k * h
                found.append(total(*arrays))
            x.flat[at] = kept
            return (found[0] - 8 * found[1] + 8 * found[2] - found[3]) / (12 * h)

        def answer() -> list[Any]:
            arrays[:] = [x.copy() for x in arrays]
            return [np.asarray(total(*arrays)), *(np.array([slope(x, k) for k in range(x.size)]) for x in arrays)]

        return None, answer

    class Both:
        """NumPy's and SciPy's names, and ours where they lack one."""

        def __getattr__(self, name: str) -> Any:
            return getattr(REFERENCE, name, None) or getattr(tt, name)

    return make, Both(), np.__version__
