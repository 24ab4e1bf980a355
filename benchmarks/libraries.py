"""How each library of ``functions`` is called: forward and one vector-Jacobian product, in its fastest documented way.

Each of these functions imports a library, and returns ``make``, its namespace and its version. ``make(f, arrays)`` gives
``step()``, which is what is timed, and ``answer()``, the values and gradients as arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from types import SimpleNamespace
from typing import Any


def _several(m: Any, f: Callable[..., Any], out: Any) -> Callable[..., Any]:
    """f itself if its result is an array; if it has several, the sum of all their elements."""
    if not isinstance(out, (list, tuple)) and type(out).__name__ != "SequenceBox":
        return f
    return lambda *xs: reduce(lambda a, b: a + b, [m.sum(one) for one in f(*xs)])


def _seed(shape: tuple[int, ...]) -> Any:
    """The vector of the vector-Jacobian product: 1 for a number, else from ½ to 1½."""
    import numpy as np

    return np.linspace(0.5, 1.5, math.prod(shape)).reshape(shape) if shape else np.ones(())


class NoDerivative(Exception):
    """The library has the name, but its results are constants."""


def ours() -> tuple[Any, Any, str]:
    import numpy as np

    import tinytensor as tt

    def make(f: Any, arrays: list[Any]) -> tuple[Any, Any]:
        leaves = [tt.tensor(x, requires_grad=True) for x in arrays]
        f = _several(tt, f, f(*leaves))
        out = f(*leaves)
        if not out.requires_grad:
            raise NoDerivative
        seed = _seed(out.shape)

        def step() -> None:
            for leaf in leaves:
                leaf.grad = None
            f(*leaves).backward(seed)

        def answer() -> list[Any]:
            out = f(*leaves)
            step()
            return [out.data, *(np.zeros(x.shape) if x.grad is None else x.grad for x in leaves)]

        return step, answer

    return make, tt, tt.__version__


def hips() -> tuple[Any, Any, str]:
    from importlib.metadata import version

    import autograd.scipy as scipy
    import numpy as np
    from autograd import make_vjp
    from autograd import numpy as anp

    for name in ("linalg", "signal", "special", "stats"):
        import_module(f"autograd.scipy.{name}")

    def make(f: Any, arrays: list[Any]) -> tuple[Any, Any]:
        which = 0 if len(arrays) == 1 else tuple(range(len(arrays)))
        f = _several(anp, f, f(*arrays))
        trace = make_vjp(f, which)
        _, value = trace(*arrays)
        seed = _seed(np.shape(value)) if np.ndim(value) else 1.0

        def step() -> Any:
            return trace(*arrays)[0](seed)

        def answer() -> list[Any]:
            found = step()
            grads = [] if found is None else [found] if which == 0 else found
            if not any(map(np.any, grads)):
                raise NoDerivative
            return list(map(np.asarray, [value, *grads]))

        return step, answer

    both = SimpleNamespace(**{**vars(scipy.linalg), **vars(anp.linalg)})
    added = {"linalg": both, "special": scipy.special, "stats": scipy.stats,
             "convolve": lambda x, y, mode: scipy.signal.convolve(x, y, mode=mode)}  # fmt: skip
    return make, SimpleNamespace(**{**vars(anp), **added}), version("autograd")


def mygrad() -> tuple[Any, Any, str]:
    import mygrad as mg
    import numpy as np
    from mygrad import nnet

    mg.turn_memory_guarding_off()

    def make(f: Any, arrays: list[Any]) -> tuple[Any, Any]:
        leaves = [mg.tensor(x) for x in arrays]
        f = _several(mg, f, f(*leaves))
        out = f(*leaves)
        if not isinstance(out, mg.Tensor) or out.constant:
            raise NoDerivative
        seed = _seed(out.shape)

        def step() -> None:
            f(*leaves).backward(seed)

        def answer() -> list[Any]:
            step()
            return [out.data, *(np.zeros(x.shape) if x.grad is None else x.grad for x in leaves)]

        return step, answer

    added = {"relu": nnet.relu, "sigmoid": nnet.sigmoid, "softmax": nnet.softmax, "log_softmax": nnet.logsoftmax,
             "leaky_relu": lambda x: nnet.leaky_relu(x, 0.01)}  # fmt: skip
    arrays_only = ("sliding_window_view", "asarray", "full", "linspace", "logspace", "geomspace")
    return (
        make,
        SimpleNamespace(**{k: v for k, v in {**vars(mg), **added}.items() if k not in arrays_only}),
        mg.__version__,
    )


def numpy() -> tuple[Any, Any, str]:
    """The witness: NumPy's values, and central differences of their sum."""
    import numpy as np

    import tinytensor as tt
    from tinytensor.catalogue.entry import REFERENCE

    def make(f: Any, arrays: list[Any]) -> tuple[Any, Any]:
        def total(*xs: Any) -> float:
            out = f(*xs)
            if isinstance(out, (list, tuple)):
                return float(sum(map(np.sum, out)))
            return float(np.sum(out * _seed(np.shape(out))))

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
            out = f(*arrays)
            value = np.asarray(total(*arrays) if isinstance(out, (list, tuple)) else out)
            return [value, *(np.array([slope(x, k) for k in range(x.size)]) for x in arrays)]

        return None, answer

    class Both:
        """NumPy's and SciPy's names, and ours where they lack one."""

        def __getattr__(self, name: str) -> Any:
            return getattr(REFERENCE, name, None) or getattr(tt, name)

    return make, Both(), np.__version__
