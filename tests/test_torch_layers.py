"""Layers and losses made with random arguments, beside PyTorch's: keys, outputs, gradients, running statistics, repr."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn

pytestmark = pytest.mark.peers

CLOSE = {"rtol": 1e-10, "atol": 1e-10, "equal_nan": True}
#: Whose repr is PyTorch's only but for what our parts are called.
OTHER_REPR = ("MultiheadAttention", "TransformerEncoderLayer")


@pytest.fixture(scope="module")
def torch() -> Any:
    found = pytest.importorskip("torch", reason="PyTorch is not installed (extra: peers)")
    before = found.get_default_dtype()
    found.set_default_dtype(found.float64)
    tt.set_default_dtype("float64")
    yield found
    found.set_default_dtype(before)
    tt.set_default_dtype("float32")


class Draw:
    """What a random configuration is made of."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def one(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def upto(self, high: int, low: int = 1) -> int:
        return int(self.rng.integers(low, high + 1))

    def yes(self, p: float = 0.5) -> bool:
        return bool(self.rng.random() < p)

    def numbers(self, *shape: int) -> Any:
        return np.asarray(self.rng.standard_normal(shape))

    def each(self, n: int, high: int, low: int = 1) -> Any:
        """A number, or one for each of n axes."""
        return self.upto(high, low) if self.yes() else tuple(self.upto(high, low) for _ in range(n))

    def some(self, **options: Any) -> dict[str, Any]:
        return {name: value for name, value in options.items() if self.yes(0.8)}


Case = tuple[str, tuple[Any, ...], dict[str, Any], list[Any], dict[str, Any]]


def convolution(d: Draw) -> Case:
    n, groups, transposed = d.upto(2), d.one(1, 1, 2, 3), d.yes(0.4)
    given = d.some(stride=d.each(n, 3), dilation=d.each(n, 2), bias=d.yes(), padding=d.each(n, 2, 0)) | {
        "groups": groups
    }
    if transposed:
        given |= d.some(output_padding=d.each(n, 1, 0))
    else:
        given |= d.some(padding_mode=d.one("zeros", "zeros", "reflect", "replicate", "circular"))
        if d.yes(0.3):
            given |= {"padding": d.one("same", "valid"), "stride": 1}
    channels = (groups * d.upto(2), groups * d.upto(3))
    batch = [d.upto(3)] if d.yes(0.8) else []
    x = d.numbers(*batch, channels[0], *[d.upto(8, 4) for _ in range(n)])
    return f"Conv{'Transpose' if transposed else ''}{n}d", (*channels, d.each(n, 3)), given, [x], {}


def pooling(d: Draw) -> Case:
    n, kind = d.upto(2), d.one("AdaptiveAvg", "Avg", "Max", "Max")
    batch = [d.upto(3)] if d.yes(0.8) else []
    x = d.numbers(*batch, d.upto(3), *[d.upto(9, 3) for _ in range(n)])
    if d.yes(0.3):
        x = np.round(x)  # equal numbers
    if kind == "AdaptiveAvg":
        return f"AdaptiveAvgPool{n}d", (d.each(n, 5),), {}, [x], {}
    given = {"kernel_size": d.each(n, 4)} | d.some(padding=d.each(n, 2, 0), stride=d.each(n, 4), ceil_mode=d.yes())
    if kind == "Max":
        given |= d.some(dilation=d.each(n, 2), return_indices=d.yes(0.3))
    else:
        given |= d.some(count_include_pad=d.yes())
        given |= {"divisor_override": d.upto(5)} if n == 2 and d.yes(0.3) else {}
    return f"{kind}Pool{n}d", (), given, [x], {}


def normalization(d: Draw) -> Case:
    kind, n, c = d.one("BatchNorm", "InstanceNorm", "LayerNorm", "RMSNorm", "GroupNorm"), d.upto(2), d.upto(6)
    eps = {"eps": d.one(1e-5, 1e-2)}
    if kind in ("BatchNorm", "InstanceNorm"):
        given = d.some(momentum=d.one(0.1, None, 0.4), affine=d.yes(), track_running_stats=d.yes(), bias=d.yes()) | eps
        batch = [] if kind == "InstanceNorm" and d.yes(0.3) else [d.upto(4)]
        return f"{kind}{n}d", (c,), given, [d.numbers(*batch, c, *[d.upto(4) for _ in range(n)])], {}
    if kind == "GroupNorm":
        groups = d.upto(3)
        c = groups * d.upto(3, 2)
        x = d.numbers(d.upto(3), c, *[d.upto(4) for _ in range(d.upto(2, 0))])
        return kind, (groups, c), d.some(affine=d.yes(), bias=d.yes()) | eps, [x], {}
    shape = [d.upto(5) for _ in range(n)]
    given = d.some(elementwise_affine=d.yes()) | eps | (d.some(bias=d.yes()) if kind == "LayerNorm" else {})
    return kind, (shape,), given, [d.numbers(*[d.upto(4) for _ in range(d.upto(2, 0))], *shape)], {}


def recurrence(d: Draw) -> Case:
    kind, n_in, hidden = d.one("RNN", "LSTM", "GRU"), d.upto(4), d.upto(4, 2)
    given = d.some(num_layers=d.upto(3), bias=d.yes(), batch_first=d.yes(), bidirectional=d.yes())
    if kind == "RNN":
        given |= d.some(nonlinearity=d.one("tanh", "relu"))
    if kind == "LSTM" and d.yes(0.4):
        given["proj_size"] = d.upto(hidden - 1)
    x = d.numbers(d.upto(5), d.upto(3), n_in) if d.yes(0.75) else d.numbers(d.upto(5), n_in)
    rows = given.get("num_layers", 1) * (1 + given.get("bidirectional", False))
    lead = (rows,) if x.ndim == 2 else (rows, x.shape[0 if given.get("batch_first") else 1])
    states = [] if kind == "LSTM" or d.yes() else [d.numbers(*lead, hidden)]
    return kind, (n_in, hidden), given, [x, *states], {}


def cell(d: Draw) -> Case:
    kind, n_in, hidden, batch = (
        d.one("RNNCell", "LSTMCell", "GRUCell"),
        d.upto(4),
        d.upto(4),
        [d.upto(3)] * d.upto(1, 0),
    )
    given = d.some(bias=d.yes()) | (d.some(nonlinearity=d.one("tanh", "relu")) if kind == "RNNCell" else {})
    return kind, (n_in, hidden), given, [d.numbers(*batch, n_in)], {}


def attention(d: Draw) -> Case:
    heads, steps, keys, batch = d.upto(3), d.upto(4), d.upto(4), d.upto(3)
    size = heads * d.upto(3)
    given = d.some(bias=d.yes(), batch_first=d.yes())
    if d.yes(0.3):
        given |= d.some(kdim=d.upto(5), vdim=d.upto(5))
    if d.yes(0.3):
        given |= d.some(add_bias_kv=d.yes(), add_zero_attn=d.yes())
    single = d.yes(0.25)

    def input(n: int, width: int) -> Any:
        return d.numbers(
            *((n, width) if single else (batch, n, width) if given.get("batch_first") else (n, batch, width))
        )

    options = d.some(need_weights=d.yes(), average_attn_weights=d.yes())
    masks = [None, np.triu(np.ones((steps, keys), bool), 1), d.numbers(steps, keys)]
    masks += [d.numbers((1 if single else batch) * heads, steps, keys)]
    if (mask := d.one(*masks)) is not None:
        options["attn_mask"] = mask
    if d.yes(0.3):
        options["key_padding_mask"] = np.arange(keys) > d.upto(keys, 0) if single else d.rng.random((batch, keys)) < 0.3
        options["key_padding_mask"][..., 0] = False
    inputs = [input(steps, size), input(keys, given.get("kdim", size)), input(keys, given.get("vdim", size))]
    return "MultiheadAttention", (size, heads), given, inputs, options


def encoder(d: Draw) -> Case:
    heads, steps, batch = d.upto(2), d.upto(4), d.upto(3)
    size = heads * d.upto(3)
    given = d.some(dim_feedforward=d.upto(6), batch_first=d.yes(), norm_first=d.yes(), bias=d.yes()) | {"dropout": 0.0}
    given |= d.some(activation=d.one("relu", "gelu"), layer_norm_eps=d.one(1e-5, 1e-2))
    x = d.numbers(*((batch, steps, size) if given.get("batch_first") else (steps, batch, size)))
    masks = {} if d.yes() else {"src_mask": np.triu(np.ones((steps, steps), bool), 1)}
    return "TransformerEncoderLayer", (size, heads), given, [x], masks


def table(d: Draw) -> Case:
    n = d.upto(5)
    given = d.some(padding_idx=d.upto(n - 1, -n), max_norm=d.one(None, 1.0), norm_type=d.one(2.0, 1.0))
    return "Embedding", (n, d.upto(3)), given, [d.rng.integers(0, n, (d.upto(3), d.upto(3)))], {}


ACTIVATIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "CELU": {"alpha": (0.5, -0.5, 2.0)}, "ELU": {"alpha": (0.5, -0.5, 2.0)}, "GELU": {"approximate": ("none", "tanh")},
    "GLU": {"dim": (-1, 0)}, "Hardshrink": {"lambd": (0.0, 1.0)}, "Hardswish": {}, "Hardtanh": {"min_val": (-0.2, -2.0)},
    "LeakyReLU": {"negative_slope": (0.3, -0.2)}, "LogSigmoid": {}, "LogSoftmax": {"dim": (-1, 0)}, "Mish": {},
    "PReLU": {"num_parameters": (1, 4)}, "ReLU": {}, "ReLU6": {}, "SELU": {}, "SiLU": {}, "Sigmoid": {},
    "Softmax": {"dim": (-1, 0)}, "Softmin": {"dim": (-1, 0)}, "Softplus": {"beta": (2.0, 0.5), "threshold": (1.0, 20.0)},
    "Softshrink": {"lambd": (0.0, 1.0)}, "Softsign": {}, "Tanh": {}, "Tanhshrink": {},
}  # fmt: skip


def activation(d: Draw) -> Case:
    name = d.one(*ACTIVATIONS)
    options = {key: d.one(*values) for key, values in ACTIVATIONS[name].items()}
    given = options if name in ("GLU", "LogSoftmax", "Softmax", "Softmin") else d.some(**options)
    x = d.numbers(
        *([4, 4, d.upto(3) * 2][: d.upto(3, 2)] if name in ("GLU", "PReLU") or "dim" in given else [3] * d.upto(3, 0))
    )
    x = x * d.one(1, 3, 10)
    return name, (), given, [np.round(x * 2) / 2 if d.yes(0.2) else x], {}


def classes(d: Draw) -> Case:
    name, c, batch, other = d.one("CrossEntropyLoss", "NLLLoss"), d.upto(5), d.upto(4), [d.upto(3)] * d.upto(1, 0)
    x, y = d.numbers(batch, c, *other), d.rng.integers(0, c, (batch, *other))
    given = d.some(reduction=d.one("mean", "sum", "none"), weight=d.rng.random(c), ignore_index=d.one(-100, -1, 0))
    if name == "CrossEntropyLoss":
        given |= d.some(label_smoothing=d.one(0.0, 0.1, 1.0))
        if d.yes(0.3):
            p = d.rng.random(x.shape)
            given.pop("ignore_index", None)
            return name, (), given, [x, p / p.sum(1, keepdims=True)], {}
    ignored = given.get("ignore_index", -100)
    return name, (), given, [x, np.where(d.rng.random(y.shape) < 0.4, ignored, y) if ignored < 0 else y], {}


def distance(d: Draw) -> Case:
    name = d.one(
        "MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "BCEWithLogitsLoss", "PoissonNLLLoss", "TripletMarginLoss"
    )
    shape = [d.upto(4) for _ in range(2)]
    given = d.some(reduction=d.one("mean", "sum", "none"))
    inputs = [d.numbers(*shape) for _ in range(3 if name == "TripletMarginLoss" else 2)]
    if name == "HuberLoss":
        given |= d.some(delta=d.one(0.5, 2.0))
    elif name == "SmoothL1Loss":
        given |= d.some(beta=d.one(0.0, 0.5))
    elif name == "BCEWithLogitsLoss":
        inputs[1] = d.rng.random(shape)
        given |= d.some(weight=d.rng.random(shape[-1:]), pos_weight=d.rng.random(shape[-1:]) * 3)
    elif name == "PoissonNLLLoss":
        inputs[1] = 1 + np.round(np.abs(inputs[1]) * 3)  # at 0 PyTorch has NaN
        given |= d.some(full=d.yes())
    elif name == "TripletMarginLoss":
        given |= d.some(margin=d.one(0.5, 2.0), p=d.one(2.0, 1.0), swap=d.yes())
    return name, (), given, inputs, {}


FAMILIES = [
    convolution, pooling, normalization, recurrence, cell, attention, encoder, table, activation, classes, distance,
]  # fmt: skip


def parts(out: Any) -> list[Any]:
    if isinstance(out, (tuple, list)):
        return [x for part in out for x in parts(part)]
    return [] if out is None else [out]


def of_torch(value: Any, torch: Any) -> Any:
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


def of_gradient(t: Any) -> Any:
    return np.zeros(t.shape) if t.grad is None else np.asarray(t.grad)


def compare(case: Case, training: bool, steps: int, torch: Any) -> bool:
    """One configuration, several steps; False if both refuse it."""
    name, args, given, inputs, options = case
    outcome = []
    for library, lift in ((torch.nn, lambda v: of_torch(v, torch)), (nn, lambda v: v)):
        try:
            outcome.append(getattr(library, name)(*args, **{key: lift(v) for key, v in given.items()}).train(training))
        except (ValueError, RuntimeError) as error:
            outcome.append(error)
    theirs, ours = outcome
    if isinstance(theirs, Exception):
        assert isinstance(ours, ValueError)
        return False
    assert name in OTHER_REPR or repr(ours) == repr(theirs)
    shapes = [(key, tuple(value.shape)) for key, value in theirs.state_dict().items()]
    assert [(key, value.shape) for key, value in ours.state_dict().items()] == shapes
    for key, value in theirs.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.tensor(np.random.default_rng(len(key)).random(value.shape)))
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return all(step(theirs, ours, inputs, options, torch) for _ in range(steps))


def step(theirs: Any, ours: Any, inputs: list[Any], options: dict[str, Any], torch: Any) -> bool:
    real = [x.dtype.kind == "f" for x in inputs]
    a = [torch.tensor(x, requires_grad=r) for x, r in zip(inputs, real, strict=True)]
    b = [tt.tensor(x, requires_grad=r) for x, r in zip(inputs, real, strict=True)]
    try:
        expected = parts(theirs(*a, **{key: of_torch(v, torch) for key, v in options.items()}))
    except (ValueError, RuntimeError):
        with pytest.raises(ValueError, match=r"[:,]"):
            ours(*b, **options)
        return False
    found = parts(ours(*b, **options))
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x.data, y.detach(), **CLOSE)
    weights = [np.random.default_rng(k).standard_normal(y.shape) for k, y in enumerate(expected)]
    used = [k for k, y in enumerate(expected) if y.requires_grad]
    theirs.zero_grad()
    ours.zero_grad()
    sum((expected[k] * torch.tensor(weights[k])).sum() for k in used).backward()
    sum((found[k] * weights[k]).sum() for k in used).backward()
    named = [(key, dict(ours.named_parameters())[key], p) for key, p in theirs.named_parameters()]
    named += [(f"input {k}", x, y) for k, (x, y, r) in enumerate(zip(b, a, real, strict=True)) if r]
    for key, x, y in named:
        np.testing.assert_allclose(of_gradient(x), of_gradient(y), err_msg=key, **CLOSE)
    for key, buffer in theirs.named_buffers():
        np.testing.assert_allclose(ours.get_buffer(key).data, buffer, err_msg=key, **CLOSE)
    return True


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_random_configurations(family: Callable[[Draw], Case], torch: Any) -> None:
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, and NumPy's of a mean of nothing
        for seed in range(60):
            draw = Draw(seed)
            case = family(draw)
            name, args, given, inputs, options = case
            try:
                compared += compare(case, draw.yes(0.7), 2 if family is normalization else 1, torch)
            except AssertionError as error:
                shapes = [x.shape for x in inputs]
                raise AssertionError(f"seed {seed}: {name}{args} {given} of {shapes}, {[*options]}: {error}") from error
    assert compared > 30
