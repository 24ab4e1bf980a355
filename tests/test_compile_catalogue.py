"""Every call of the catalogue compiled: the bits that eager mode computes, and those of its first and second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_catalogue import Call, calls

import tinytensor as tt
from tinytensor.compiler.stand_ins import Untraceable
from tinytensor.testing.gradcheck import leaves_of, weights_for

pytestmark = pytest.mark.filterwarnings("ignore")

#: What is no fixed program, and why. It says so.
BY_VALUE = {
    "np.piecewise": "each function gets the elements for which its condition is true, so that shapes depend on values",
    "np.trim_zeros": "the shape of the result depends on values",
    "scipy.integrate.odeint": "how many steps the solver takes depends on the solution",
}

_WITH_SHAPE_PARAMETERS = ("scipy.stats.beta.", "scipy.stats.chi2.", "scipy.stats.gamma.", "scipy.stats.t.")
#: What calls SciPy's Python functions, or looks at values in many places: one call of a whole function in the plan.
WHOLE = {
    "np.nanpercentile", "np.nanquantile", "scipy.linalg.block_diag", "scipy.linalg.cho_factor", "scipy.linalg.cho_solve",
    "scipy.linalg.cosm", "scipy.linalg.expm", "scipy.linalg.expm_frechet", "scipy.linalg.logm", "scipy.linalg.lu",
    "scipy.linalg.lu_factor", "scipy.linalg.lu_solve", "scipy.linalg.sinm", "scipy.linalg.solve_banded",
    "scipy.linalg.solve_continuous_lyapunov", "scipy.linalg.solve_discrete_lyapunov", "scipy.linalg.solve_sylvester",
    "scipy.linalg.solve_triangular", "scipy.linalg.sqrtm", "scipy.special.polygamma", "tt.sparse.csr_array",
    "tt.sparse.matmul",
}  # fmt: skip


def whole(name: str) -> bool:
    """Whether a plan of this entry may have a call of a whole function: SciPy has polygamma and quadratures in Python."""
    return name in WHOLE or name.startswith(("scipy.special.", "scipy.stats."))


def program(call: Call, order: int) -> Callable[..., Any]:
    """The function itself, its value and gradients, or those of its contracted gradients."""
    floats = tuple(i for i, x in enumerate(call.inputs()) if x.dtype.kind == "f")

    def loss(*arrays: Any) -> Any:
        total: Any = 0.0
        for k, out in enumerate(leaves_of(call.ours(*arrays))):
            if isinstance(out, tt.Tensor) and out.dtype.kind in "fc":
                real = out.real if out.dtype.kind == "c" else out
                total = total + (real * weights_for(k, real.shape).astype(real.dtype)).sum()
        return total

    def slope(*arrays: Any) -> Any:
        parts = tt.grad(loss, floats)(*arrays)
        return sum((part * weights_for(7, part.shape).astype(part.dtype)).sum() for part in parts)

    if order == 0:
        return lambda *arrays: call.ours(*[tt.tensor(a) for a in arrays])
    return tt.value_and_grad(loss if order == 1 else slope, floats)


def bits(out: Any) -> Iterator[tuple[Any, ...]]:
    for x in leaves_of(out):
        array = np.asarray(x._data if isinstance(x, tt.Tensor) else x)
        yield isinstance(x, tt.Tensor), array.shape, array.dtype, array.tobytes()


def outcome(function: Callable[..., Any], arrays: list[Any]) -> Any:
    """The bits of the results, or the error that there is."""
    try:
        return list(bits(function(*arrays)))
    except Untraceable:
        raise
    except Exception as error:
        return type(error), str(error)


def check(call: Call, order: int, dtype: Any = float) -> None:
    """Compiled and eager agree on the inputs of the trace, and on others."""
    function = program(call, order)
    compiled = tt.compile(function)
    arrays = call.inputs(dtype)
    for given in (arrays, [a.reshape(-1)[::-1].reshape(a.shape).copy() for a in arrays]):
        assert outcome(compiled, given) == outcome(function, given)
    plans = [replay.plan for replays in compiled._plans.values() for replay in replays]
    opaque = {c.name() for plan in plans for c in plan.calls if c.kind == "opaque"}
    assert not opaque or whole(call.entry.name), f"recorded as one call: {opaque}"


#: NumPy multiplies two numbers of complex64 in another way than two arrays of them: the last bit of a number may differ.
LAST_BIT = {"np.conjugate"}


def first(call: Call) -> bool:
    return bool(call.shapes == call.case.shapes[0])


ALL = [p for p in calls() if p.values[0].entry.name not in BY_VALUE]


@pytest.mark.parametrize("call", [p for p in ALL if first(p.values[0])])
def test_compiled_is_eager(call: Call) -> None:
    """The highest derivative contains the others."""
    check(call, call.entry.order)


@pytest.mark.parametrize("call", [p for p in ALL if first(p.values[0])][::10])
def test_compiled_is_eager_in_single_precision(call: Call) -> None:
    check(call, min(call.entry.order, 1), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("call", ALL)
def test_all_orders_of_all_shapes(call: Call) -> None:
    for order in range(call.entry.order + 1):
        check(call, order)
    if call.entry.name not in LAST_BIT:
        check(call, call.entry.order, np.float32)


@pytest.mark.parametrize("call", [p for p in calls() if p.values[0].entry.name in BY_VALUE])
def test_what_depends_on_values_says_so(call: Call) -> None:
    for order in range(call.entry.order + 1):
        with pytest.raises(
            Untraceable, match="tt.compile: .* asks for the value of an array, which the next call will not"
        ):
            tt.compile(program(call, order))(*call.inputs())
