"""Integrals under SciPy's names: ``tt.integrate.odeint`` solves differential equations, with gradients by the adjoint method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.graph import recording, set_grad_enabled, tracing
from tinytensor.ops.building import array
from tinytensor.ops.signals import trapezoid
from tinytensor.primitive import TensorBase, primitive
from tinytensor.transforms import vjp
from tinytensor.trees import flatten, rebuild

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["odeint", "trapezoid"]

#: SciPy's options that hold for the adjoint equation, too.
_SHARED = {"rtol", "atol", "hmax", "hmin", "mxstep", "mxhnil", "mxordn", "mxords", "tcrit"}
#: Those that are known to belong to the forward solution alone.
_FORWARD = {"h0", "ixpr", "printmessg"}


def _scipy() -> Any:
    try:
        import scipy.integrate
    except ImportError:
        raise ImportError("odeint needs SciPy: pip install 'tinytensor[scipy]'") from None
    return scipy.integrate


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, TensorBase) else x


def _has_node(x: Any) -> bool:
    return isinstance(x, TensorBase) and x._node is not None


def _refuse_outside(slope: Any) -> None:
    if recording() and (_has_node(slope) or (isinstance(slope, (list, tuple)) and any(map(_has_node, slope)))):
        raise TypeError(
            "odeint: func reads a tensor that requires grad from outside, whose gradient would be lost; pass it in args=, "
            "which func receives after y and t"
        )


class Equation:
    """dy/dt = func(y, t, *args), where some of the numbers in ``args`` are variables, and SciPy's options."""

    def __init__(self, func: Callable[..., Any], args: Any, variable: Sequence[bool], options: dict[str, Any]) -> None:
        self.func, self.options, self.variable = func, options, variable
        self.args = rebuild(args, [None if v else _plain(x) for v, x in zip(variable, flatten(args), strict=True)])
        self.constants = [None if v else _plain(x) for v, x in zip(variable, flatten(args), strict=True)]
        self.skeleton = rebuild(args, [0] * len(variable))

    def __call__(self, y: Any, t: Any, *variables: Any) -> Any:
        """The slope, with the variables in their places."""
        given = iter(variables)
        leaves = [next(given) if v else c for v, c in zip(self.variable, self.constants, strict=True)]
        slope = self.func(y, t, *rebuild(self.skeleton, leaves))
        return array(slope) if isinstance(slope, (list, tuple)) else slope

    def check(self, y: Any, t: Any, variables: Any) -> None:
        """Raise if ``func`` reads a tensor that requires grad and is not among its arguments."""
        _refuse_outside(self(y, t, *variables))


# -------------------------------------------------------------------------------------------------------- the adjoint


def _adjoint_slope(equation: Equation, size: int) -> Callable[..., Any]:
    """d/dt of (y, a, ā): the solution, its cotangent, and that of the variables: a′ = −aᵀ ∂f/∂y, ā′ = −aᵀ ∂f/∂args."""

    def slope(state: Any, t: Any, *variables: Any) -> Any:
        forward, pull = vjp(lambda y, *xs: equation(y, t, *xs), state[:size], *variables)
        found = pull(-state[size : 2 * size].reshape(np.shape(forward)))
        return np.concatenate([np.reshape(x, -1) for x in (forward, *found)])

    return slope


def _rule(g: Any, out: Any, xs: Any, equation: Equation) -> list[Any]:
    """The adjoint equation is solved backwards from each time to the one before, where g joins in.

    ∂/∂tᵢ = gᵢ · f(yᵢ, tᵢ); ∂/∂t₀ = −a(t₀) · f(y₀, t₀).
    """
    _, t, *variables = xs
    if not out.size:
        return [np.zeros_like(x) for x in xs]
    size = out.shape[1]
    shapes = [np.shape(x) for x in variables]
    counts = np.cumsum([0, *[int(np.prod(s)) for s in shapes]])
    options = {
        k: v if np.ndim(v) == 0 or k == "tcrit" else np.min(v) for k, v in equation.options.items() if k in _SHARED
    }
    slope = _adjoint_slope(equation, size)
    a, sums, gt = g[-1], np.zeros(counts[-1]), []
    for i in range(len(out) - 1, 0, -1):
        gt.append(np.sum(g[i] * equation(out[i], t[i], *variables)))
        start = np.concatenate([out[i], a, sums])
        a, sums = _parted(odeint(slope, start, t[i - 1 : i + 1][::-1], tuple(variables), **options)[1], size)
        if i > 1:
            a = a + g[i - 1]
    first = np.sum(a * equation(out[0], t[0], *variables)) if gt else 0.0
    gt.append(-first)
    gy = a + g[0] if len(out) > 1 else a
    found = [sums[m:n].reshape(s) for m, n, s in zip(counts[:-1], counts[1:], shapes, strict=True)]
    return [gy, np.stack(gt[::-1]), *found]


def _parted(state: Any, size: int) -> tuple[Any, Any]:
    return state[size : 2 * size], state[2 * size :]


@primitive(joint=_rule, inputs=("xs",))
def _odeint(equation: Any, *xs: Any) -> Any:
    y0, t, *variables = xs

    def slope(y: Any, t: Any, *variables: Any) -> Any:
        return _plain(equation(y, t, *variables))

    with set_grad_enabled(False):
        return _scipy().odeint(slope, y0, t, tuple(variables), **equation.options)


# ------------------------------------------------------------------------------------------------------ the public side


def odeint(func: Callable[..., Any], y0: Operand, t: Operand, args: tuple[Any, ...] = (), **options: Any) -> Tensor:
    """The solution (n, k) of dy/dt = func(y, t, *args) with y(t₀) = y0 (k,), at the times t (n,).   (:func:`scipy.integrate.odeint`)

    Differentiable to any order in y0, t and the numbers, arrays and containers in ``args``: the adjoint equation
    a′ = −aᵀ ∂func/∂y is solved backwards from each time to the one before, so its errors are those of the solver:
    ``rtol`` and ``atol`` hold for both. ``func`` is written in NumPy; it gets ndarrays in the forward solution and
    tensors in the adjoint one. The result is float64, as SciPy's is. The options are SciPy's, without those for a
    Jacobian and for ``full_output``.

    Raises TypeError if ``func`` reads a tensor that requires grad from outside: pass it in ``args``.

    >>> import numpy as np, tinytensor as tt
    >>> def end(rate):
    ...     return tt.integrate.odeint(lambda y, t, k: -k * y, np.ones(1), np.array([0.0, 2.0]), (rate,))[-1, 0]
    >>> [round(float(x), 6) for x in (end(0.5), tt.grad(end)(0.5))]  # e⁻ᵏᵗ and −t e⁻ᵏᵗ
    [0.367879, -0.735759]
    """
    args = args if isinstance(args, tuple) else (args,)
    tfirst = options.pop("tfirst", False)
    given = (lambda y, t, *rest: func(t, y, *rest)) if tfirst else func
    leaves = flatten(args)
    if not any(isinstance(x, TensorBase) for x in (y0, t, *leaves)):
        return _plain_solution(given, y0, t, args, options)  # type: ignore[no-any-return]
    if unknown := [key for key in options if key not in _SHARED | _FORWARD]:
        raise TypeError(
            f"odeint() does not take {', '.join(unknown)}= for tensors: its options are {', '.join(sorted(_SHARED | _FORWARD))}"
        )
    if tracing() is not None:  # how many steps there are depends on the solution: what stands for an array refuses
        for x in (y0, t, *leaves):
            np.asarray(_plain(x))
    variable = [_has_node(x) and recording() for x in leaves]
    equation = Equation(given, args, variable, options)
    y0, t = (x if isinstance(x, TensorBase) else asarray(x, float) for x in (y0, t))
    y0 = np.reshape(y0, 1) if np.ndim(y0) == 0 else y0
    variables = [x.astype(float) for x, v in zip(leaves, variable, strict=True) if v]  # or rounding stops the solver
    if recording() and y0.size and t.size:
        equation.check(_plain(y0), _plain(t)[0], [_plain(x) for x in variables])
    return _odeint(equation, y0, t, *variables)  # type: ignore[no-any-return]


def _plain_solution(func: Any, y0: Any, t: Any, args: Any, options: Any) -> Any:
    """SciPy's own, for a func that may return lists of tensors, or tensors."""

    def slope(y: Any, t: Any, *rest: Any) -> Any:
        out = func(y, t, *rest)
        _refuse_outside(out)
        return asarray(out)

    return _scipy().odeint(slope, y0, t, args, **options)
