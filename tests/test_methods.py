"""The methods of Tensor: each is the function of its name, ndarray's own to the last bit, and PyTorch's where only it has one."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import Tensor
from tinytensor.methods import Methods

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

rng = np.random.default_rng(3)
SAMPLES = {
    "m": rng.uniform(0.1, 0.9, (3, 4)),
    "m2": rng.uniform(0.1, 0.9, (3, 4)),
    "v": rng.uniform(0.1, 0.9, 5),
    "v3": rng.uniform(0.1, 0.9, 3),
    "square": rng.uniform(0.1, 0.9, (3, 3)) + 2 * np.eye(3),
    "spd": np.array([[2.0, 0.5, 0.1], [0.5, 3.0, 0.2], [0.1, 0.2, 1.5]]),
    "cube": rng.uniform(0.1, 0.9, (2, 4, 2)),
    "big": rng.uniform(1.1, 2.0, (3, 4)),
    "nans": np.array([[0.3, np.nan, 0.7], [0.2, 0.9, 0.4]]),
    "sorted": np.array([0.1, 0.3, 0.5, 0.9]),
    "row": rng.uniform(0.1, 0.9, (1, 4)),
    "int": np.array([[3, 1, 2], [0, 2, 1]]),
    "counts": np.array([0, 2, 1, 2]),
    "bits": np.array([[1, 6], [3, 0]]),
    "complex": rng.uniform(0.1, 0.9, (2, 3)) + 1j * rng.uniform(0.1, 0.9, (2, 3)),
}
M2, V, V3 = SAMPLES["m2"], SAMPLES["v"], SAMPLES["v3"]

TIES = np.array([[1, 2], [3, 1]])

PAIRS = """add sub subtract mul multiply div divide true_divide floor_divide remainder fmod float_power logaddexp logaddexp2
atan2 arctan2 hypot copysign heaviside maximum minimum fmax fmin nextafter xlogy igamma igammac
isclose allclose equal
logical_and logical_or logical_xor""".split()

#: How each method is called: the sample, then the arguments. Those that are not here: on "m", with none.
CALLS: dict[str, list[tuple[Any, ...]]] = {
    **{name: [("m", M2), ("m", 0.5)] for name in PAIRS},
    **{name: [("m", M2), ("bits", TIES)] for name in "eq ne not_equal lt less le less_equal gt greater ge greater_equal".split()},
    **{name: [("bits", np.array([[3, 2], [1, 1]]))] for name in "bitwise_and bitwise_or bitwise_xor gcd lcm".split()},
    "bitwise_not": [("bits",)],
    "acosh": [("big",)], "arccosh": [("big",)], "ldexp": [("m", 2)], "mvlgamma": [("big", 2)],
    "matmul": [("m", M2.T)], "mm": [("m", M2.T)], "mv": [("m", M2[0])], "bmm": [("cube", SAMPLES["cube"].mT)],
    "dot": [("m", M2.T), ("v", V)], "inner": [("m", M2)], "outer": [("v", V)], "ger": [("v", V)], "vdot": [("v", V)],
    "kron": [("m", M2)], "cross": [("v3", V3[::-1])], "trace": [("m",), ("m", 1), ("cube", 0, 1, 2)],
    "norm": [("m",), ("m", 1), ("m", None, 0)], "det": [("square",)], "slogdet": [("square",)],
    "inverse": [("square",)], "pinverse": [("m",)], "matrix_power": [("square", 3)], "matrix_exp": [("square",)],
    "cholesky": [("spd",)], "qr": [("square",)],
    "cumprod": [("m",), ("m", 1)], "amax": [("m",), ("m", 1)], "amin": [("m",), ("m", 1, True)],
    "nansum": [("nans",), ("nans", 0)], "nanmean": [("nans", 1)], "nanmedian": [("nans", 1)],
    "nanquantile": [("nans", 0.25, 1)], "median": [("m",), ("m", 1)], "quantile": [("m", 0.3), ("m", [0.2, 0.7], 0)],
    "cov": [("m",)], "corrcoef": [("m",)], "count_nonzero": [("bits",), ("bits", 0)], "histogram": [("m", 4)],
    "bincount": [("counts",), ("counts", V[:4], 5)], "diff": [("m",), ("m", 2, 0)],
    "swapaxes": [("cube", 0, 2)], "swapdims": [("cube", 0, 2)], "moveaxis": [("cube", 0, -1)], "movedim": [("cube", 0, -1)],
    "broadcast_to": [("row", (3, 4))], "roll": [("m", 1), ("m", (1, 2), (0, 1))], "rot90": [("m",), ("m", 2)],
    "repeat": [("m", 2), ("m", 2, 1), ("v3", [2, 0, 1])], "repeat_interleave": [("m", 2), ("m", 2, 1)],
    "tensor_split": [("m", 3, 1)], "hsplit": [("m", 2)], "vsplit": [("m", 3)], "dsplit": [("cube", 2)], "unbind": [("m",), ("m", 1)],
    "diag": [("v",), ("m",), ("v", 1)], "diagflat": [("m",)], "diagonal": [("m",), ("m", 1), ("cube", 0, 1, 2)],
    "tril": [("m",), ("m", -1)], "triu": [("m",), ("m", 1)],
    "take": [("m", [5, 0, 5]), ("m", [1, 1], 1), ("m", [7], 1, None, "wrap")], "put": [("m", [0, -1], [5.0, 6.0])],
    "choose": [("int", [10.0, 20.0, 30.0, 40.0])],
    "argsort": [("m",), ("m", 0)], "argpartition": [("v", 2)], "searchsorted": [("sorted", [0.2, 0.5]), ("sorted", 0.5, "right")],
    "nonzero": [("bits",)], "argwhere": [("bits",)], "unique": [("int",)], "round": [("m",), ("m", 1)],
    "nan_to_num": [("nans",), ("nans", True, 7.0)],
}  # fmt: skip

#: The function of a method, where it has another name (or lives elsewhere).
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sub": tt.subtract, "mul": tt.multiply, "div": tt.divide, "neg": tt.negative, "amax": tt.max, "amin": tt.min,
    "lgamma": tt.special.gammaln, "mvlgamma": tt.special.multigammaln, "igamma": tt.special.gammainc,
    "igammac": tt.special.gammaincc, "swapdims": tt.swapaxes, "movedim": tt.moveaxis, "repeat_interleave": tt.repeat,
    "tensor_split": tt.array_split, "unbind": tt.unstack, "mm": tt.matmul, "mv": tt.matmul, "bmm": tt.matmul,
    "ger": tt.outer, "inverse": tt.linalg.inv, "pinverse": tt.linalg.pinv, "matrix_exp": tt.linalg.expm,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
    "equal": np.array_equal, "bitwise_not": np.invert,
}  # fmt: skip

OWN = sorted(name for name in vars(Methods) if not name.startswith("_"))
FROM_TORCH = {name for name in OWN if getattr(Tensor, name).__module__ == "tinytensor.ops.pytorch"}


def function_of(name: str) -> Callable[..., Any]:
    for space in (FUNCTIONS, tt, tt.linalg, tt.special, np):
        found = space.get(name) if isinstance(space, dict) else getattr(space, name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise LookupError(f"no function stands for the method {name}: add it to FUNCTIONS")


def leaf(sample: str) -> Tensor:
    values = SAMPLES[sample]
    return tt.tensor(values, requires_grad=values.dtype.kind in "fc")


def parts(out: Any) -> list[Any]:
    return [p for o in out for p in parts(o)] if isinstance(out, (tuple, list)) else [out]


def plain(out: Any) -> list[Any]:
    return [p.data if isinstance(p, Tensor) else np.asarray(p) for p in parts(out)]


def same(left: Any, right: Any) -> None:
    left, right = plain(left), plain(right)
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


def gradient(out: Any, x: Tensor) -> Any:
    """The gradient of the sum of squares of all that out has a gradient of; None if it has none."""
    found = [p for p in parts(out) if isinstance(p, Tensor) and p.requires_grad]
    if not found:
        return None
    sum((p * p.conj()).real.sum() for p in found).backward()
    return x.grad


def calls(names: Any) -> list[Any]:
    return [pytest.param(n, c, id=f"{n}-{k}") for n in names for k, c in enumerate(CALLS.get(n, [("m",)]))]


# --------------------------------------------------------------------------------------------- a method is a function


@pytest.mark.parametrize(("name", "call"), calls(n for n in OWN if n not in FROM_TORCH))
def test_a_method_is_the_function_of_its_name(name: str, call: tuple[Any, ...]) -> None:
    sample, *args = call
    function = function_of(name)
    assert getattr(Tensor, name) is function or getattr(Tensor, name).__qualname__ == f"Tensor.{function.__name__}"
    x, y = leaf(sample), leaf(sample)
    if name == "put":  # writes in place, which no leaf allows
        x, y = x.detach(), y.detach()
    by_method, by_function = getattr(x, name)(*args), function(y, *args)
    same(by_method, by_function)
    same(x, y)
    left, right = gradient(by_method, x), gradient(by_function, y)
    assert (left is None) == (right is None)
    if left is not None:
        same(left, right)


IN_PLACE = {
    "fill": [("m", 2.5)],
    "sort": [("m",), ("m", 0), ("int",), ("nans",)],
    "partition": [("v", 2), ("m", 1, 0)],
    "put": CALLS["put"],
}
#: Methods written out in tensor.py that ndarray has too.
WRITTEN: dict[str, list[tuple[Any, ...]]] = {
    **IN_PLACE,
    "all": [("bits",), ("bits", 0)], "any": [("bits",), ("bits", 1)], "argmax": [("m",), ("m", 1)], "argmin": [("m", 0)],
    "astype": [("m", np.float32), ("int", float)], "clip": [("m", 0.3, 0.6), ("m", None, 0.5)],
    "compress": [("m", [True, False, True], 0), ("m", [True, True])], "conj": [("m",), ("complex",)],
    "conjugate": [("complex",)], "copy": [("m",)], "cumsum": [("m",), ("m", 1)], "flatten": [("m",), ("m", "F")],
    "item": [], "max": [("m",), ("m", 1)], "mean": [("m",), ("m", 1)], "min": [("m",), ("m", 1)],
    "prod": [("m",), ("m", 1)], "ravel": [("m",), ("m", "F")], "reshape": [("m", 4, 3), ("m", (2, -1)), ("m", -1)],
    "squeeze": [("row",), ("row", 0)], "std": [("m",), ("m", 1)], "sum": [("m",), ("m", 1)], "tobytes": [],
    "tolist": [], "transpose": [("cube",), ("cube", 1, 0, 2), ("cube", (2, 0, 1))], "var": [("m",), ("m", 1)],
}  # fmt: skip

NDARRAYS = sorted(
    n
    for n in dir(np.ndarray)
    if n[0] != "_" and callable(getattr(np.ndarray, n)) and hasattr(Tensor, n) and n != "view"
)


def test_every_method_that_ndarray_has_too_is_called_below() -> None:
    assert not [n for n in NDARRAYS if n not in OWN and n not in WRITTEN]


@pytest.mark.parametrize(
    ("name", "call"),
    [pytest.param(n, c, id=f"{n}-{k}") for n in NDARRAYS for k, c in enumerate(WRITTEN.get(n, CALLS.get(n, [("m",)])))],
)
def test_a_method_is_ndarrays_to_the_last_bit(name: str, call: tuple[Any, ...]) -> None:
    sample, *args = call
    t, a = tt.tensor(SAMPLES[sample]), SAMPLES[sample].copy()
    out, expected = getattr(t, name)(*args), getattr(a, name)(*args)
    same(out, expected)
    same(t, a)
    assert (out is None) == (expected is None)


def test_item_tolist_tobytes_strides() -> None:
    a = SAMPLES["cube"]
    t = tt.tensor(a)
    assert t.tolist() == a.tolist()
    assert t.tobytes() == a.tobytes() == t.cpu().tobytes()
    assert (t.tobytes("F"), t.strides, t.device) == (a.tobytes("F"), a.strides, np.zeros(1).device)
    assert t.sum().item() == a.sum().item()
    assert (t.dim(), t.numel(), t.is_floating_point(), t.is_complex()) == (3, 16, True, False)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("round", {"decimals": 1}), ("take", {"indices": [0, 2], "axis": 1, "mode": "clip"}), ("repeat", {"repeats": 2, "axis": 0}),
        ("trace", {"offset": 1}), ("diagonal", {"offset": 1}), ("argsort", {"axis": 0, "kind": "stable"}),
        ("cumprod", {"axis": 1}), ("reshape", {"order": "F", "shape": (4, 3)}),
        ("clip", {"min": 0.3}), ("clip", {"max": 0.5}), ("std", {"ddof": 1, "axis": 0}), ("flatten", {"order": "F"}),
        ("ravel", {"order": "F"}), ("argpartition", {"kth": 2}), ("compress", {"condition": [True, False], "axis": 1}),
    ],
)  # fmt: skip
def test_keywords_are_ndarrays(name: str, args: dict[str, Any]) -> None:
    first = [args.pop("shape")] if "shape" in args else []
    same(getattr(tt.tensor(SAMPLES["m"]), name)(*first, **args), getattr(SAMPLES["m"], name)(*first, **args))


# --------------------------------------------------------------------------------------------------- what is missing

#: What ndarray has and Tensor has not, and why.
ABSENT = {
    **dict.fromkeys(["base", "ctypes", "data", "flags", "flat", "setflags"], "the memory: t.data gives the ndarray"),
    **dict.fromkeys(["byteswap", "getfield", "setfield", "dump", "dumps", "tofile"], "bytes and files: t.data, tt.io"),
    "resize": "changes the shape in place; np.resize(t, shape) is a function",
    "to_device": "there is one device",
}

#: Names of PyTorch for which tt, tt.linalg or tt.special has a function that means something else, or was removed there.
ABSENT_TORCH = {
    "eig": "PyTorch removed it", "lstsq": "PyTorch removed it", "solve": "PyTorch removed it",
    "svd": "PyTorch's returns V, NumPy's Vᴴ: tt.linalg.svd", "lu": "PyTorch's is packed: tt.linalg.lu_factor",
    "lu_solve": "the order of the arguments differs: tt.linalg.lu_solve", "resize": "see above",
    "polygamma": "the order of the arguments differs: tt.special.polygamma",
}  # fmt: skip


def test_ndarrays_methods_are_there_or_named_as_absent() -> None:
    missing = {name for name in dir(np.ndarray) if name[0] != "_" and not hasattr(Tensor, name)}
    assert missing == {name for name in ABSENT if name != "data"}


@pytest.mark.peers
@pytest.mark.skipif(torch is None, reason="needs PyTorch")
def test_pytorchs_methods_are_there_if_a_function_is() -> None:
    ours = set(tt.__all__) | set(tt.linalg.__all__) | set(tt.special.__all__)
    missing = {name for name in dir(torch.Tensor) if name in ours and not hasattr(Tensor, name)}
    assert missing == set(ABSENT_TORCH)
    known = set(dir(torch.Tensor)) | set(dir(np.ndarray))
    assert not [name for name in OWN if name not in known and name != "broadcast_to"]  # (t.broadcast_to is torch's)


# ------------------------------------------------------------------------------------------------ PyTorch's meanings

I2 = np.array([[0, 2, 1, 1], [1, 0, 2, 0]])
MASK = SAMPLES["m"] > 0.5

#: The same text on a tensor of either kind; ``of`` makes the other's of an array.
AS_TORCH: dict[str, list[tuple[str, Callable[[Any, Any], Any]]]] = {
    "rsqrt": [("m", lambda x, of: x.rsqrt())],
    "lerp": [("m", lambda x, of: x.lerp(of(M2), 0.3)), ("m", lambda x, of: x.lerp(of(M2), of(SAMPLES["big"])))],
    "clamp_min": [("m", lambda x, of: x.clamp_min(0.4))],
    "clamp_max": [("m", lambda x, of: x.clamp_max(0.4))],
    "where": [("m", lambda x, of: x.where(of(MASK), of(M2))), ("m", lambda x, of: x.where(x > 0.3, 0.0))],
    "masked_fill": [("m", lambda x, of: x.masked_fill(of(MASK), -1.0)), ("m", lambda x, of: x.masked_fill(of(MASK[0]), 2))],
    "masked_select": [
        ("m", lambda x, of: x.masked_select(of(MASK))), ("m", lambda x, of: x.masked_select(of(MASK[0]))),
        ("row", lambda x, of: x.masked_select(of(MASK))),
    ],
    "t": [("m", lambda x, of: x.t()), ("v", lambda x, of: x.t())],
    "adjoint": [("complex", lambda x, of: x.adjoint()), ("cube", lambda x, of: x.adjoint())],
    "contiguous": [("m", lambda x, of: x.contiguous()), ("m", lambda x, of: x.t().contiguous())],
    "view": [("m", lambda x, of: x.view(4, 3)), ("m", lambda x, of: x.view(-1)), ("m", lambda x, of: x.view((2, 6)))],
    "view_as": [("m", lambda x, of: x.view_as(of(M2.T)))],
    "reshape_as": [("m", lambda x, of: x.t().reshape_as(of(M2)))],
    "unflatten": [("m", lambda x, of: x.unflatten(1, (2, 2))), ("m", lambda x, of: x.unflatten(-1, (-1, 2)))],
    "flatten": [("cube", lambda x, of: x.flatten(1)), ("cube", lambda x, of: x.flatten(0, 1)),
                ("cube", lambda x, of: x.flatten(start_dim=-2)), ("cube", lambda x, of: x.flatten(-3, -1))],
    "expand": [("row", lambda x, of: x.expand(3, 4)), ("row", lambda x, of: x.expand((2, 3, -1)))],
    "expand_as": [("row", lambda x, of: x.expand_as(of(M2)))],
    "tile": [("m", lambda x, of: x.tile(2)), ("m", lambda x, of: x.tile(2, 3)), ("m", lambda x, of: x.tile((2, 1, 2)))],
    "chunk": [("v", lambda x, of: x.chunk(2)), ("m", lambda x, of: x.chunk(3, 1)), ("v", lambda x, of: x.chunk(9)),
              ("m", lambda x, of: x.chunk(2, dim=-1))],
    "unfold": [("v", lambda x, of: x.unfold(0, 2, 1)), ("m", lambda x, of: x.unfold(-1, 2, 2)), ("m", lambda x, of: x.unfold(0, 2, 1))],
    "select": [("m", lambda x, of: x.select(0, 1)), ("cube", lambda x, of: x.select(-2, -1))],
    "narrow": [("m", lambda x, of: x.narrow(1, 1, 2)), ("m", lambda x, of: x.narrow(0, -2, 2))],
    "gather": [("m", lambda x, of: x.gather(0, of(I2))), ("m", lambda x, of: x.gather(1, of(I2))),
               ("m", lambda x, of: x.gather(1, of(I2[:, :2]))), ("v", lambda x, of: x.gather(-1, of(np.array([4, 0, 4]))))],
    "take_along_dim": [("m", lambda x, of: x.take_along_dim(of(np.array([11, 0])))),
                       ("m", lambda x, of: x.take_along_dim(of(np.array([[0], [1], [3]])), dim=1))],
    "scatter": [("m", lambda x, of: x.scatter(0, of(I2[:1]), of(M2[:1]))), ("m", lambda x, of: x.scatter(1, of(I2[:, :1]), 7.0))],
    "scatter_add": [("m", lambda x, of: x.scatter_add(1, of(I2), of(M2[:2]))), ("v", lambda x, of: x.scatter_add(0, of(np.array([1, 1])), of(V[:2])))],
    "index_select": [("m", lambda x, of: x.index_select(1, of(np.array([3, 0, 3]))))],
    "index_add": [("m", lambda x, of: x.index_add(0, of(np.array([0, 2, 0])), of(M2))),
                  ("m", lambda x, of: x.index_add(1, of(np.array([1, 1])), of(M2[:, :2]), alpha=2.0))],
    "index_copy": [("m", lambda x, of: x.index_copy(1, of(np.array([3, 0])), of(M2[:, :2])))],
    "index_fill": [("m", lambda x, of: x.index_fill(-1, of(np.array([1, 3])), 0.5))],
}  # fmt: skip


def test_every_method_of_pytorch_alone_is_compared_with_it() -> None:
    assert FROM_TORCH <= set(AS_TORCH)


@pytest.mark.peers
@pytest.mark.skipif(torch is None, reason="needs PyTorch")
@pytest.mark.parametrize(
    ("sample", "f"),
    [pytest.param(s, f, id=f"{name}-{k}") for name, rows in AS_TORCH.items() for k, (s, f) in enumerate(rows)],
)
def test_a_method_of_pytorch_alone_means_what_it_means_there(sample: str, f: Callable[[Any, Any], Any]) -> None:
    x, y = leaf(sample), torch.tensor(SAMPLES[sample], requires_grad=True)
    others: list[Tensor] = []
    theirs: list[Any] = []

    def ours(a: Any) -> Any:
        others.append(tt.tensor(a, requires_grad=a.dtype.kind == "f"))
        return others[-1]

    def other(a: Any) -> Any:
        theirs.append(torch.tensor(np.ascontiguousarray(a), requires_grad=a.dtype.kind == "f"))
        return theirs[-1]

    out, expected = parts(f(x, ours)), parts(f(y, other))
    assert len(out) == len(expected)
    for a, b in zip(out, expected, strict=True):
        np.testing.assert_allclose(a.data, b.detach().resolve_conj().numpy(), rtol=1e-14)
    sum((p * p.conj()).real.sum() for p in out).backward()
    sum((p * p.conj()).real.sum() for p in expected).backward()
    for a, b in [(x, y), *zip(others, theirs, strict=True)]:
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-12)


def test_scatter_takes_the_part_of_src_that_the_index_covers() -> None:
    """As PyTorch's does, whose backward then fails."""
    t, src = tt.zeros(3), tt.tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    t.scatter_add(0, [2, 2], src).sum().backward()
    assert src.grad.tolist() == [1, 1, 0, 0]
    assert t.scatter(0, [2, 2], src).tolist() == [0, 0, 2]
    assert tt.zeros((2, 3)).scatter_add(1, [[0, 0]], tt.ones((2, 3))).tolist() == [[2, 0, 0], [0, 0, 0]]


def test_pytorchs_keywords() -> None:
    t, a = tt.tensor(SAMPLES["cube"]), SAMPLES["cube"]
    same(t.roll(shifts=1, dims=0), np.roll(a, 1, 0))
    same(t.tril(diagonal=1), np.tril(a, 1))
    same(t.diagonal(offset=1, dim1=0, dim2=1), np.diagonal(a, 1, 0, 1))
    same(t.amax(dim=(0, 1), keepdim=True), a.max((0, 1), keepdims=True))
    same(t.cumprod(dim=1), a.cumprod(1))
    same(t.diff(dim=1), np.diff(a, axis=1))
    same(t.quantile(0.5, dim=0, keepdim=True), np.quantile(a, 0.5, 0, keepdims=True))
    same(t.unbind(dim=1), list(np.unstack(a, axis=1)))
    for name in ("argmax", "argmin", "any", "all"):
        same(getattr(t, name)(dim=1, keepdim=True), getattr(a, name)(axis=1, keepdims=True))
        rows = tt.vmap(lambda x: getattr(x, name)(dim=1, keepdim=True))(t)  # noqa: B023
        same(rows, getattr(a, name)(axis=2, keepdims=True))
    assert t.astype(float, copy=False) is t
    assert t.astype(np.float32, copy=False).dtype == np.float32


def test_where_numpy_and_pytorch_differ_it_is_numpys() -> None:
    """The names that both have: repeat, median, nonzero, unique, std, split, max, transpose, sort."""
    t = tt.tensor([3.0, 1.0, 2.0, 2.0])
    assert t.repeat(2).tolist() == [3, 3, 1, 1, 2, 2, 2, 2]
    assert (tt.tensor([4.0, 1.0, 2.0, 3.0]).median().item(), t.std().item()) == (2.5, np.std([3.0, 1.0, 2.0, 2.0]))
    assert isinstance(t.nonzero(), tuple)
    assert t.max(0).item() == 3
    assert [p.shape for p in t.split(2)] == [(2,), (2,)] == [p.shape for p in tt.zeros(4).split(2)]
    assert tt.zeros((2, 3, 4)).transpose(1, 0, 2).shape == (3, 2, 4)


# ------------------------------------------------------------------------------------------------ in place, messages


@pytest.mark.parametrize(("name", "call"), [(n, c) for n, rows in IN_PLACE.items() for c in rows if c[0] != "int"])
def test_a_write_in_place_is_differentiable(name: str, call: tuple[Any, ...]) -> None:
    sample, *args = call
    x, y = leaf(sample), leaf(sample)
    t = x * 3.0
    view = t[:1]
    assert getattr(t, name)(*args) is None
    expected = {"sort": np.sort, "partition": np.partition}.get(name)
    u = y * 3.0
    if expected is not None:
        u = expected(u, *args)
    elif name == "fill":
        u = u * 0 + args[0]
    else:
        np.put(u, *args)
    same(t, u)
    same(view, u[:1])
    weights = np.arange(u.size).reshape(u.shape)
    (t * weights)[np.isfinite(t.data)].sum().backward()
    (u * weights)[np.isfinite(u.data)].sum().backward()
    same(x.grad, y.grad)


def test_a_leaf_is_not_sorted_under_the_graph() -> None:
    with pytest.raises(RuntimeError, match="a leaf that requires grad cannot be written into"):
        leaf("v").sort()
    x = leaf("v")
    with tt.no_grad():
        x.sort()
    assert x.tolist() == sorted(x.tolist())


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda t: t.view(np.float32), TypeError, "read as another dtype, have no derivative; t.astype"),
        (lambda t: t.mT.view(-1), ValueError, "copy"),
        (lambda t: tt.zeros((1, 2, 3)).t(), ValueError, "t: expected at most 2 dimensions, got 3; use t.mT"),
        (lambda t: tt.zeros((1, 2, 3)).H, ValueError, "H: expected a matrix, got 3 dimensions"),
        (lambda t: t.narrow(1, 2, 3), IndexError, "narrow: 3 elements from 2 on are not within the 4 of axis 1"),
        (lambda t: t.select(2, 0), IndexError, "select: dim 2 is out of bounds for a tensor of 2 dimensions"),
        (lambda t: t.gather(1, [0, 1]), ValueError, r"gather: an index of shape \(2,\) does not fit into \(3, 4\)"),
        (lambda t: t.chunk(0), ValueError, "chunk: expected 1 or more chunks, got 0"),
        (lambda t: t.flatten(2), ValueError, "flatten: cannot join axes 2 to -1 of 2"),
        (lambda t: t.long(), TypeError, "astype: int64 has no gradient"),
        (lambda t: t.argsort(descending=True), TypeError, "argsort.. does not take descending=: its arguments are"),
        (lambda t: t.cumprod(out=t), TypeError, "cumprod.. does not take out=: a result cannot be written"),
        (lambda t: t.expand(-1, 3, 4, 2), ValueError, "negative"),
        (lambda t: t.svd(), AttributeError, "svd"),
    ],
)  # fmt: skip
def test_messages(f: Callable[[Tensor], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        f(leaf("m"))


def test_casts_and_transposes() -> None:
    t = tt.tensor([[0.0, 1.5]])
    assert [u.dtype.name for u in (t.half(), t.float(), t.double(), t.int(), t.long(), t.bool())] == [
        "float16", "float32", "float64", "int32", "int64", "bool",
    ]  # fmt: skip
    z = leaf("complex")
    same(z.mH, np.conj(SAMPLES["complex"].T))
    same(z.H, z.adjoint())
    assert t.contiguous() is t
    u = t.view()
    u[0, 0] = 7.0
    assert t[0, 0].item() == 7.0


# ---------------------------------------------------------------------------------------------------------- the class


def test_lazy_families_stay_unloaded_until_a_method_of_theirs_is_called() -> None:
    code = """
import sys, tinytensor as tt
from tinytensor.methods import Methods
t = tt.tensor([[3.0, 1.0], [2.0, 5.0]], requires_grad=True)
t.sin().sum().backward(); dir(t); t.reshape(-1).round().cumprod()
print([m for m in ("statistics", "selection", "pytorch", "special", "solving") if "tinytensor.ops." + m in sys.modules])
print(t.median().item(), "tinytensor.ops.statistics" in sys.modules, "tinytensor.ops.selection" in sys.modules)
print(vars(Methods)["median"] is tt.median, "scipy" in sys.modules)
print(t.erf().shape, "scipy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["[]", "2.5 True False", "True False", "(2, 2) True"]


@pytest.mark.parametrize("name", [n for n in dir(Tensor) if n[0] != "_"])
def test_methods_are_documented_and_have_a_signature(name: str) -> None:
    found = getattr(Tensor, name)
    if isinstance(found, property):
        assert found.__doc__
        return
    assert found.__doc__.strip()
    inspect.signature(found)
    bound = getattr(tt.tensor([[2.0, 0.5], [0.5, 3.0]]), name)
    assert bound.__func__ is found
    assert hasattr(Tensor, bound.__name__) or bound.__name__ in ("radians", "degrees", "gammaln", "psi", "multigammaln",
        "gammainc", "gammaincc", "array_split", "unstack", "inv", "pinv", "expm", "array_equal", "invert")  # fmt: skip


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.cumprod(0), lambda x: x.median(), lambda x: x.masked_fill(x > 0.5, 0.0), lambda x: x.gather(0, np.array([2, 0])),
        lambda x: x.sinh().round(decimals=1) + x.hypot(x), lambda x: x.where(x > 0.4, 2 * x), lambda x: x.contiguous(),
        lambda x: x.flatten(), lambda x: x.unfold(0, 2, 1), lambda x: x.tile(2), lambda x: x.index_select(0, [1, 1]),
        lambda x: x.isnan(), lambda x: x.expand(2, -1), lambda x: x.unflatten(0, (2, 2)), lambda x: x.scatter(0, np.array([0, 0]), 2.0),
    ],
)  # fmt: skip
def test_methods_under_vmap(f: Callable[[Any], Any]) -> None:
    rows = tt.tensor(SAMPLES["m"])
    np.testing.assert_allclose(tt.vmap(f)(rows).data, np.stack([np.asarray(f(row).data) for row in rows]), rtol=1e-15)
