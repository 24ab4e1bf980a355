"""Every entry of the catalogue: its values, its derivatives, and what a call must leave alone."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.catalogue import FAMILIES
from tinytensor.catalogue.entry import REFERENCE, Case, Entry, Shape, case, entry, find
from tinytensor.testing import against_scalar, check_grads
from tinytensor.testing.gradcheck import leaves_of, weights_for

ENTRIES = [e for family in FAMILIES.values() for e in family]
OF = {id(c): e for e in ENTRIES for c in e.cases}

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


class Call:
    """One call of an entry on inputs of given shapes."""

    def __init__(self, e: Entry, c: Case, shapes: tuple[Shape, ...]) -> None:
        self.entry, self.case, self.shapes = e, c, shapes

    def inputs(self, dtype: Any = float, shapes: Any = None) -> list[Any]:
        return self.case.inputs(shapes or self.shapes, self.entry.domain, dtype)

    def ways(self) -> list[Any]:
        """The namespaces whose functions take tensors."""
        if self.entry.name.startswith("tt.") or self.entry.name.startswith(
            ("scipy.linalg", "scipy.stats", "scipy.sparse", "scipy.signal", "scipy.integrate")
        ):
            return [tt]
        if self.entry.name.startswith("scipy.special") and not isinstance(find(REFERENCE, self.entry.name), np.ufunc):
            return [tt]
        return [REFERENCE, tt]

    def ours(self, *xs: Any) -> Any:
        return self.case.f(tt, *xs)

    def expected(self, *arrays: Any) -> Any:
        """What NumPy, or SciPy, says."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.entry.like:
                return self.entry.like(*arrays)
            return self.case.f(tt if self.entry.name.startswith("tt.") else REFERENCE, *arrays)


def calls(order: tuple[int, ...] = (0, 1, 2), keep: Any = lambda e, c: True) -> list[Any]:
    """All calls, named after their entries."""
    return [
        pytest.param(Call(e, c, shapes), id=f"{e.name}-{k}-{'x'.join(map(str, shapes))}".replace(" ", ""))
        for e in ENTRIES
        if e.order in order
        for k, c in enumerate(e.cases)
        if keep(e, c)
        for shapes in c.shapes
    ]


def arrays_of(out: Any) -> list[Any]:
    return [np.asarray(x._data if isinstance(x, tt.Tensor) else x) for x in leaves_of(out)]


def same(got: Any, expected: Any, exact: bool, rtol: float = 1e-12) -> None:
    """All results equal, bit by bit or to rounding, in shape and dtype too."""
    gots, wanted = arrays_of(got), arrays_of(expected)
    assert len(gots) == len(wanted)
    for a, b in zip(gots, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if exact:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, float(np.abs(b).max(initial=0.0))))


def gradients(call: Call, arrays: list[Any]) -> list[Any]:
    """Gradients of the contracted results by ``backward()``."""
    leaves = [tt.tensor(a, requires_grad=True) if a.dtype.kind in "fc" else a for a in arrays]
    outs = [o for o in leaves_of(call.ours(*leaves)) if isinstance(o, tt.Tensor) and o.requires_grad]
    total = sum((tt.sum(weights_for(k, o.shape).astype(o.dtype) * o) for k, o in enumerate(outs)), start=tt.tensor(0.0))
    if total.requires_grad:
        (total.real if total.dtype.kind == "c" else total).backward()
    return [leaf.grad for leaf in leaves if isinstance(leaf, tt.Tensor)]


# ---------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("call", calls())
def test_values_are_numpys(call: Call) -> None:
    """Through NumPy's name and ours, on tensors, on ndarrays; in float64 and float32; and inputs stay as they were."""
    for dtype, rtol in ((float, 1e-12), (np.float32, 1e-5)):
        arrays = call.inputs(dtype)
        before = [a.copy() for a in arrays]
        expected = call.expected(*arrays)
        for m in call.ways():
            out = call.case.f(m, *[tt.tensor(a) for a in arrays])
            same(out, expected, call.entry.exact, rtol)
            assert all(isinstance(o, tt.Tensor) for o in leaves_of(out)), "a tensor in, a tensor out"
        plain = call.ours(*arrays)
        same(plain, expected, call.entry.exact, rtol)
        assert not any(isinstance(o, tt.Tensor) for o in leaves_of(plain)), "an ndarray in, an ndarray out"
        for a, b in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(a, b)


# ----------------------------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("call", calls((1, 2)))
def test_derivatives_agree_with_differences(call: Call) -> None:
    """To second order, in reverse and in forward mode."""
    check_grads(call.ours, *call.inputs(), order=call.entry.order)


@pytest.mark.parametrize("call", calls((0,)))
def test_constants_are_not_recorded(call: Call) -> None:
    leaves = [tt.tensor(a, requires_grad=True) for a in call.inputs()]
    for m in call.ways():
        for out in leaves_of(call.case.f(m, *leaves)):
            assert (
                not isinstance(out, tt.Tensor)
                or not out.requires_grad
                or not np.any(tt.grad(lambda x, m=m: tt.sum(call.case.f(m, x)))(leaves[0]).numpy())
            )


@pytest.mark.parametrize("call", calls((1, 2)))
def test_gradients_keep_dtype_layout_and_memory(call: Call) -> None:
    """float32 gradients of float32 inputs; the same for inputs that are views; in memory of their own."""
    arrays = call.inputs()
    expected = gradients(call, arrays)
    for got, want in zip(gradients(call, call.inputs(np.float32)), expected, strict=True):
        if want is not None:
            assert (got.dtype, got.shape) == (np.float32, want.shape)
            np.testing.assert_allclose(got, want, rtol=2e-2, atol=2e-3 * max(1.0, float(np.abs(want).max(initial=0))))
    views = [np.repeat(a[..., None], 2, -1)[..., 0] if a.ndim else a for a in arrays]
    strided = gradients(call, [np.asarray(v.T.copy(order="C").T if v.ndim > 1 else v) for v in views])
    for got, want in zip(strided, expected, strict=True):
        if want is not None:
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(want).max(initial=0))))
    for k, one in enumerate(expected):
        assert one is None or (one.flags.writeable and not any(np.shares_memory(one, a) for a in arrays))
        assert not any(one is not None and o is not None and np.shares_memory(one, o) for o in expected[:k])


def emptied(shapes: tuple[Shape, ...]) -> list[tuple[Shape, ...]]:
    """The shapes with all axes of one length made empty, for each length."""
    lengths = sorted({n for shape in shapes for n in shape if n > 1})
    return [tuple(tuple(0 if n == length else n for n in shape) for shape in shapes) for length in lengths]


@pytest.mark.parametrize("call", calls((1, 2)))
def test_empty_arrays(call: Call) -> None:
    """NumPy's value and a gradient of the right shape, or an error where NumPy has one."""
    for shapes in emptied(call.shapes):
        arrays = call.inputs(shapes=shapes)
        try:
            expected = call.expected(*arrays)
        except Exception:
            with pytest.raises(Exception):  # noqa: B017, PT011
                call.ours(*[tt.tensor(a) for a in arrays])
            continue
        same(call.ours(*[tt.tensor(a) for a in arrays]), expected, call.entry.exact)
        for got, a in zip(gradients(call, arrays), arrays, strict=True):
            assert got is None or (got.shape, got.dtype) == (a.shape, a.dtype)


# --------------------------------------------------------------------------------------------------- other witnesses


def in_scalar(e: Entry, c: Case) -> bool:
    return e.scalar if c.scalar is None else c.scalar


@pytest.mark.parametrize("call", calls((1, 2), in_scalar))
def test_against_the_scalar_engine(call: Call) -> None:
    against_scalar(call.ours, *call.inputs(), rtol=1e-9, atol=1e-9)


@pytest.mark.peers
@pytest.mark.parametrize("call", calls((1, 2), lambda e, c: c.torch is not None))
def test_against_pytorch(call: Call) -> None:
    """Values, first and second derivatives in float64, rtol 1e-7."""
    torch = pytest.importorskip("torch")
    arrays = call.inputs()

    def total(outs: Any, module: Any, make: Any) -> Any:
        kept = [o for o in leaves_of(outs) if "float" in str(o.dtype)]
        return sum(
            (module.sum(make(weights_for(k, tuple(o.shape))) * o) for k, o in enumerate(kept)),
            start=make(np.array(0.0)),
        )

    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    value = total(call.case.torch(torch, *theirs), torch, torch.tensor)
    firsts = torch.autograd.grad(value, theirs, create_graph=True, allow_unused=True, materialize_grads=True)
    probe = sum(torch.sum(torch.tensor(weights_for(7 + k, tuple(g.shape))) * g) for k, g in enumerate(firsts))
    seconds = (
        torch.autograd.grad(probe, theirs, allow_unused=True, materialize_grads=True)
        if probe.requires_grad
        else [torch.zeros_like(t) for t in theirs]
    )
    numbers = tuple(range(len(arrays)))
    first = tt.value_and_grad(lambda *xs: total(call.ours(*xs), tt, np.asarray), numbers)
    ours, gs = first(*arrays)
    near(ours, value)
    for got, want in zip(gs, firsts, strict=True):
        near(got, want)
    if call.entry.order > 1:
        weighted = lambda *xs: sum(  # noqa: E731
            tt.sum(weights_for(7 + k, g.shape) * g) for k, g in enumerate(first(*xs)[1])
        )
        for got, want in zip(tt.grad(weighted, numbers)(*arrays), seconds, strict=True):
            near(got, want)


def near(got: Any, want: Any) -> None:
    want = want.numpy(force=True)
    np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9 * max(1.0, float(np.abs(want).max(initial=0.0))))


# ------------------------------------------------------------------------------------------------- the catalogue itself


def test_every_primitive_with_a_numpy_name_has_an_entry() -> None:
    from tinytensor.primitive import DISPATCH

    known = {name for e in ENTRIES for name in (e.name, *e.also)}
    functions = {find(REFERENCE, name) for name in known if not name.startswith("tt.")}
    missing = sorted(f.__name__ for f in DISPATCH if f not in functions)
    assert not missing, ", ".join(missing)


def test_names_exist_and_are_unique() -> None:
    names = [name for e in ENTRIES for name in (e.name, *e.also)]
    assert len(names) == len(set(names)), sorted({n for n in names if names.count(n) > 1})
    for name in names:
        assert callable(find(REFERENCE if not name.startswith("tt.") else tt, name))


def test_a_wrong_rule_is_caught() -> None:
    """The test's own test: a rule wrong by 0.1 %."""

    @tt.primitive(x=lambda g, x: g * 1.001 * np.cos(x))
    def sine(x: Any) -> Any:
        return np.sin(x)

    wrong = entry("np.sin", case(lambda m, x: sine(x), ((3,),)))
    with pytest.raises(AssertionError, match="wrong"):
        test_derivatives_agree_with_differences(Call(wrong, wrong.cases[0], ((3,),)))
