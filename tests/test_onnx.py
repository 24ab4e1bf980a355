"""ONNX files: onnxruntime computes what the model computes, to 1e-5 in float32, for batches of other sizes too."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn

onnx = pytest.importorskip("onnx", reason="onnx is not installed: the extra 'onnx' has it")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra 'onnx' has it")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:onnx.*")


def session(made):
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(made.SerializeToString(), options)


def flat(out):
    return [out] if isinstance(out, tt.Tensor) else [x for part in out for x in flat(part)]


def check(model, shape, axis=0, opset=17, positive=False, tolerance=1e-5):
    """The exported program and the model agree on the example and on batches of 1 and 5; returns the kinds of nodes."""
    draw = np.random.default_rng(3)
    x = draw.standard_normal(shape).astype(np.float32)
    x = np.exp(x) if positive else x
    if isinstance(model, nn.Module):
        model.eval()
    made = tt.onnx.to_model(model, x, batch_axis=axis, opset=opset)
    run = session(made)
    batches = [x] if axis is None else [x, np.take(x, [0], axis), np.take(x * 0.9, np.arange(5) % shape[axis], axis)]
    for batch in batches:
        expected = flat(model(tt.tensor(batch)))
        got = run.run(None, {"input": batch})
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(a, b.data, rtol=tolerance, atol=tolerance)
    return [node.op_type for node in made.graph.node]


class Wrapped(nn.Module):
    """A layer and what is done around it."""

    def __init__(self, inner, call):
        super().__init__()
        self.inner, self.call = inner, call

    def forward(self, x):
        return self.call(self.inner, x)


# ------------------------------------------------------------------------------------------------------- feed-forward


@pytest.mark.parametrize("opset", [17, 18, 21])
def test_mlp(opset):
    assert check(nn.MLP(3, [8, 8, 2], activation="tanh"), (4, 3), opset=opset) == [
        "Gemm",
        "Tanh",
        "Gemm",
        "Tanh",
        "Gemm",
    ]


ACTIVATIONS = ["CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU",
               "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softmin",
               "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink"]  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_mlp_with_each_activation(name):
    check(nn.Sequential(nn.Linear(3, 8), getattr(nn, name)(), nn.Linear(4 if name == "GLU" else 8, 2)), (4, 3))


@pytest.mark.parametrize(
    "layer",
    [
        nn.CELU(0.7),
        nn.ELU(0.7),
        nn.GELU("tanh"),
        nn.PReLU(6),
        nn.Softplus(2.0),
        nn.Threshold(0.1, 20.0),
        nn.Hardtanh(-0.3, 0.8),
    ],
    ids=repr,
)
def test_activations_with_options(layer):
    check(layer, (4, 6, 3))


def test_all_activations_are_tried():
    from tinytensor.nn import activations

    assert set(activations.__all__) - {"Threshold"} <= set(ACTIVATIONS)


def test_linear_of_more_axes_and_without_bias():
    check(nn.Linear(3, 4, bias=False), (2, 5, 3))
    check(nn.Linear(3, 4), (2, 5, 6, 3))


# ------------------------------------------------------------------------------------------------------- convolutional


def test_cnn():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, groups=2, stride=2, padding=1), nn.AvgPool2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(6, 10),
    )  # fmt: skip
    model(np.random.default_rng(0).standard_normal((7, 1, 8, 8)))  # the running statistics move
    kinds = check(model, (3, 1, 8, 8))
    assert kinds == ["Conv", "Mul", "Add", "Relu", "MaxPool", "Conv", "AveragePool", "Reshape", "Gemm"]


CONVOLUTIONAL = [
    (nn.Conv1d(3, 4, 3, padding="same", dilation=2), (2, 3, 9)),
    (nn.Conv1d(3, 3, 2, groups=3, bias=False, stride=2), (2, 3, 9)),
    (nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (2, 2, 7, 6)),
    (nn.ConvTranspose1d(4, 2, 3, stride=2, groups=2), (2, 4, 5)),
    (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), (2, 3, 5, 5)),
    (nn.ConvTranspose2d(3, 1, 3), (2, 3, 5, 5)),
    (nn.MaxPool1d(2, dilation=2), (2, 3, 9)),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 3, 7, 8)),
    (nn.AvgPool1d(3, 2, ceil_mode=True), (2, 3, 8)),
    (nn.AvgPool2d(2, padding=1, count_include_pad=False), (2, 3, 4, 4)),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True), (2, 3, 6, 6)),
    (nn.MaxPool1d(2, 3, 1, ceil_mode=True), (2, 3, 8)),  # behind the end there are as many places as the kernel has
    (nn.AvgPool2d(2, 3, 1, ceil_mode=True), (2, 3, 8, 5)),
    (nn.ConvTranspose1d(4, 2, 3, stride=1, dilation=2, output_padding=1), (2, 4, 5)),
    (nn.ConvTranspose2d(3, 4, (1, 3), stride=3, padding=1, output_padding=2), (2, 3, 5, 5)),
    (nn.AdaptiveAvgPool1d(4), (2, 3, 10)),
    (nn.AdaptiveAvgPool2d(1), (2, 3, 6, 7)),
    (nn.AdaptiveAvgPool2d((3, 2)), (2, 3, 6, 7)),
    (nn.BatchNorm1d(3), (2, 3)),
    (nn.BatchNorm1d(3), (2, 3, 5)),
    (nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
    (nn.GroupNorm(3, 6), (2, 6, 4)),
    (nn.GroupNorm(2, 6), (2, 6)),
    (nn.LayerNorm(6), (2, 4, 6)),
    (nn.LayerNorm((4, 6)), (2, 4, 6)),
    (nn.LayerNorm(6, elementwise_affine=False), (2, 6)),
    (nn.RMSNorm(6), (2, 4, 6)),
]  # fmt: skip


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize(("layer", "shape"), CONVOLUTIONAL, ids=lambda v: repr(v))
def test_convolution_pooling_and_normalisation(layer, shape, opset):
    for parameter in layer.parameters():
        parameter.data[...] += np.linspace(-0.2, 0.3, parameter.size).reshape(parameter.shape)
    check(layer, shape, opset=opset)


# ------------------------------------------------------------------------------------------- sequences and transformers


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bidirectional": True, "num_layers": 2},
        {"num_layers": 2, "batch_first": True, "bias": False, "dropout": 0.5},
    ],
    ids=["plain", "bidirectional, 2 layers", "batch first, 2 layers, no bias"],
)
def test_recurrent_layers(kind, options):
    """Outputs and last states; the batch is the second axis without batch_first."""
    check(kind(3, 5, **options), (4, 2, 3), axis=0 if options.get("batch_first") else 1)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_with_lengths_and_first_states(kind):
    first = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    hx = (first, -first) if kind is nn.LSTM else first
    layer = kind(3, 5, bidirectional=True)
    check(Wrapped(layer, lambda inner, x: inner(x, hx, [4, 2, 1])), (4, 3, 3), axis=None)
    check(Wrapped(layer, lambda inner, x: inner(x, None, [4, 2, 1])), (4, 3, 3), axis=None)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("batch_first", [True, False])
def test_lengths_as_inputs_leave_the_batch_open(kind, batch_first):
    """Where sequences end is known when the program runs."""
    layer = kind(3, 5, num_layers=2, bidirectional=True, batch_first=batch_first)
    axis = 0 if batch_first else 1
    draw = np.random.default_rng(0)
    x = draw.standard_normal((7, 6, 3) if batch_first else (6, 7, 3)).astype(np.float32)
    lengths = np.array([6, 1, 3, 2, 6, 5, 4])
    example = np.take(x, range(2), axis), lengths[:2]
    made = tt.onnx.to_model(
        lambda x, n: layer(x, lengths=n), example, input_names=["x", "lengths"], batch_axis=(axis, 0)
    )
    run = session(made)
    for n in (1, 2, 7):
        part = np.take(x, range(n), axis)
        for a, b in zip(
            run.run(None, {"x": part, "lengths": lengths[:n]}), flat(layer(part, None, lengths[:n])), strict=True
        ):
            np.testing.assert_allclose(a, b.data, atol=1e-5)
    refused(ValueError, "lengths are 7 integers from 1 to 6, got traced", lambda x, n: layer(x, lengths=n), (x, lengths[:3]),
            batch_axis=None)  # fmt: skip


def test_the_step_at_the_end_of_each_sequence():
    """y[np.arange(N), lengths - 1]: an array that follows the size of the batch is part of the program."""
    layer = nn.GRU(3, 4, batch_first=True)
    last = lambda x, n: layer(x)[0][np.arange(len(x)), n - 1]  # noqa: E731
    x, lengths = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32), np.array([4, 1, 2, 3, 4])
    run = session(tt.onnx.to_model(last, (x[:2], lengths[:2]), input_names=["x", "n"]))
    for n in (1, 5):
        got = run.run(None, {"x": x[:n], "n": lengths[:n]})[0]
        np.testing.assert_allclose(got, last(tt.tensor(x[:n]), lengths[:n]).data, atol=1e-5)


def test_recurrent_layers_of_other_lengths_and_relu():
    """The axis of time may stay open instead of the batch."""
    check(nn.RNN(3, 4, nonlinearity="relu"), (6, 2, 3), axis=0)
    check(nn.LSTM(3, 4), (6, 2, 3), axis=0)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_cells(kind):
    check(kind(3, 4), (2, 3))


def test_a_sequence_classifier():
    model = nn.Sequential(
        nn.Embedding(20, 6),
        Wrapped(nn.LSTM(6, 8, batch_first=True), lambda inner, x: inner(x)[0][:, -1]),
        nn.Linear(8, 2),
    )
    words = np.array([[3, 1, 4], [1, 5, 9]])
    run = session(tt.onnx.to_model(model, words))
    more = np.arange(15).reshape(5, 3)
    np.testing.assert_allclose(run.run(None, {"input": more})[0], model(more).data, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"batch_first": True}, {"batch_first": True, "norm_first": True, "activation": "gelu"}, {}],
    ids=["batch first", "norm first", "time first"],
)
def test_transformer_encoder_layer(options):
    check(nn.TransformerEncoderLayer(8, 2, 16, **options), (3, 4, 8), axis=0 if options else 1)


def test_transformer_encoder_and_masks():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, nn.LayerNorm(8))
    check(encoder, (3, 4, 8))
    check(Wrapped(encoder, lambda inner, x: inner(x, is_causal=True)), (3, 4, 8))
    check(Wrapped(encoder, lambda inner, x: inner(x, is_causal=True)), (5, 8), axis=None)


def test_attention():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    check(Wrapped(layer, lambda inner, x: inner(x, 2 * x, x + 1)), (3, 4, 8))
    blind = np.arange(4)[:, None] == 2  # the third may look at nothing
    check(Wrapped(layer, lambda inner, x: inner(x, x, x, attn_mask=np.eye(4, dtype=bool) | blind)), (3, 4, 8))
    f = nn.functional.scaled_dot_product_attention
    check(lambda x: f(x, x[:, ::-1], x * 2, is_causal=True), (3, 4, 8))


def test_masks_as_inputs():
    """Which words are padding is known when the program runs; the batch stays open."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    draw = np.random.default_rng(0)
    x, padding = draw.standard_normal((5, 4, 8)).astype(np.float32), np.arange(4) >= np.array([1, 4, 2, 3, 4])[:, None]
    made = tt.onnx.to_model(
        lambda x, padding: layer(x, src_key_padding_mask=padding), (x[:2], padding[:2]), input_names=["x", "padding"]
    )
    (y,) = session(made).run(None, {"x": x, "padding": padding})
    np.testing.assert_allclose(y, layer(x, src_key_padding_mask=padding).data, atol=1e-5)


# ------------------------------------------------------------------------------------------------ programs of all kinds

PROGRAMS = {
    "arithmetic": lambda x: (2 - x) / (1 + x * x) - -x // 0.3 + x % 0.7,
    "powers": lambda x: x**2 + x**0.5 + x**-1 + 2.0**x + np.sqrt(x) + np.square(x) + np.reciprocal(x),
    "exponentials": lambda x: np.exp(-x) + np.log(x) + np.log1p(x) + np.expm1(-x) + np.log2(x) + np.log10(x) + np.exp2(-x),
    "trigonometry": lambda x: np.sin(x) + np.cos(x) + np.tan(x / 9) + np.arctan(x) + np.sinh(x / 9) + np.arcsinh(x),
    "pieces": lambda x: np.abs(x - 1) + np.maximum(x, 1) - np.minimum(0.5, x) + np.clip(x, 0.2, 2) + np.floor(x) + np.sign(x),
    "clip by arrays": lambda x: np.clip(x, np.float32([0.1, 0.2, 0.3, 0.4]), None),
    "where": lambda x: np.where((x > 1) & ~(x >= 2), x, 0) + np.where(x == x, 1.0, x) * (x != 3) + np.where(x < 1, x, -x),
    "reductions": lambda x: (x.sum(1), x.mean((0, 2)), x.max(-1, keepdims=True), x.min(), x.var(1), x.std(2, ddof=1)),
    "more reductions": lambda x: (x.prod(2), tt.logsumexp(x, 1), x.sum(), tt.softmax(x, 1), tt.log_softmax(x, 2)),
    "shapes": lambda x: x.reshape(-1, 12)[:, None].squeeze(1).T.reshape(3, 4, -1).transpose(2, 0, 1).swapaxes(0, 1),
    "flatten": lambda x: x.reshape(-1) * x.ravel(),
    "moving": lambda x: np.moveaxis(x, 0, 2) + np.flip(np.moveaxis(x, 0, 2), 1) + np.moveaxis(x, 0, -1)[::-1],
    "slices": lambda x: (x[:, 1:, ::2], x[..., -1], x[:, 0, 1], x[:, :, None, ::-1], x[:, -2:], x[:-1], x[0]),
    "positions": lambda x: (x[:, [0, 2, 2]], x[:, :, np.array([[0, 3], [1, 1]])], np.take(x, [1, 0], 2)),
    "several positions": lambda x: x.transpose(1, 2, 0)[[0, 2], [1, 3]],
    "a mask": lambda x: x[:, np.array([True, False, True])],
    "joining": lambda x: np.concatenate([x, 2 * x[:, :1], np.ones((len(x), 1, 4), np.float32)], 1),
    "stacking": lambda x: (np.stack([x, x + 1], 1), np.stack([x, np.zeros_like(x)], -1), np.concatenate([x, x], None)),
    "constants of the batch": lambda x: x + np.ones((len(x), 1, 1), np.float32) * np.full(x.shape, 3, np.float32),
    "broadcasting": lambda x: np.broadcast_to(x[:, :1], x.shape) * np.tile(x, (1, 1, 1)) + np.broadcast_to(x, (2, *x.shape)).sum(0),
    "products": lambda x: (x @ x.swapaxes(1, 2), np.einsum("nij,nkj->nik", x, x), np.ones(3, np.float32) @ x, tt.linear(x, np.eye(4, dtype=np.float32))),
    "padding": lambda x: np.pad(x, ((0, 0), (1, 2), (0, 1)), constant_values=2.0),
    "rearranged": lambda x: (np.roll(x, 1, 1), np.roll(x[0], 2), np.repeat(x, 2, 2), np.repeat(x, [1, 0, 2], 1), np.tril(x), np.triu(x, 1)),
    "padding by what is there": lambda x: (np.pad(x, ((0, 0), (1, 2), (0, 1)), mode="edge"), np.pad(x, ((0, 0), (1, 1), (0, 0)), mode="reflect")),
    "more products": lambda x: (np.outer(x[0, 0], x[0, 1]), np.vecdot(x, x + 1), np.tensordot(x, x[0], ([1, 2], [0, 1])), np.tensordot(x, np.eye(4, dtype=np.float32), 1)),
    "more pieces": lambda x: (np.trunc(x - 1), np.round(x, 1), np.rint(x), np.hypot(x, 2), np.logaddexp(x, 1 - x), np.fmod(-x, 0.7), np.fmax(x, 1), np.cumsum(x, 1), np.cumsum(x)),
    "root mean square": lambda x: nn.functional.rms_norm(x, 4),
    "norms": lambda x: (np.linalg.norm(x, axis=1), np.linalg.norm(x, 1, -1, True), np.linalg.vector_norm(x, axis=(1, 2))),
    "positions of the largest": lambda x: (np.argmax(x, axis=1), x.argmin(2), np.argmax(x)),
    "in place": lambda x: _in_place(x),
    "arrays for any axes": lambda x: (x[:, [0, 1], [1, 2]], x[:, [[0], [2]], 1], x[:, 1, [0, 1]], x[:, np.eye(3, 4, dtype=bool)]),
    "arrays that are apart": lambda x: (x.T[[0, 1], :, [0, 0]], x[:, None, [0, 1], None, [1, 2]], x.T[[0, 1], None, [1, 2]]),
    "arrays that follow the batch": lambda x: (x[np.arange(len(x)), 1], x[np.arange(len(x)), x[:, :, 0].argmax(1)], x + np.arange(len(x), dtype=np.float32)[:, None, None]),
    "along an axis": lambda x: (np.take_along_axis(x, np.argsort(x, 1), 1), x.gather(1, np.zeros((len(x), 1, 4), int)), np.sort(x, 2)),
    "the size of the batch": lambda x: (x.sum(0) / len(x), x * len(x), x.reshape(len(x) * 3, 4)),
    "integers": lambda x: (v := (x * 3 - 4).astype("int64"), v // 2, v // -2, v % 3, v % -3, tt.relu(v), v * v, v.sum(1), v / 3, v > 0.5),
    "booleans": lambda x: ((x > 1) ^ (x > 2), (x > 1).any(1), (x > 0.1).all(2), np.all(x > 1), np.count_nonzero(x > 1, axis=1), (x > 1) | ~(x > 2)),
    "joining by rows and columns": lambda x: (np.vstack([x[0], 2 * x[0]]), np.hstack([x, x]), np.dstack([x, x]), np.dstack([x[:, 0], x[:, 1]]), np.column_stack([x[:, 0, 0], x[:, 0]]), np.hstack([x[0, 0], x[0, 1]])),
    "turned": lambda x: (np.rot90(x, 1, (1, 2)), np.rot90(x, 2, (1, 2)), np.rot90(x, -1, (2, 1)), np.roll(x, (1, 2), (1, 2)), np.diagonal(x, 1, 1, 2), np.trace(x, -1, 2, 1), np.diff(x, 2, 1)),
    "products of more axes": lambda x: (np.dot(x, np.ones((4, 5), np.float32)), np.inner(x, np.eye(4, dtype=np.float32)), np.dot(x, x.transpose(0, 2, 1)[:1]), np.vdot(x, x), np.cross(x[..., :3], x[..., 1:]), np.linalg.det(x[..., :3])),
    "norms of other orders": lambda x: (np.linalg.norm(x, np.inf, 1), np.linalg.norm(x, -np.inf, 1), np.linalg.norm(x, 3, -1, True)),
    "angles and signs": lambda x: (np.arctan2(x - 1, 1 - x[:, ::-1]), np.arctan2(x * 0, x * 0), np.cbrt(1 - x), np.sinc(x.round()), np.heaviside(x.round() - 1, 0.5), np.copysign(x, 0 * (1 - x)), np.logaddexp2(x, 2)),
    "what is not finite": lambda x: (z := np.where(x > 1, np.float32(np.inf), np.where(x > 0.5, np.float32(np.nan), np.where(x > 0.2, np.float32(-np.inf), x))), np.isfinite(z), np.isinf(z), np.isnan(z), np.nan_to_num(z), np.nan_to_num(z, nan=1, posinf=2, neginf=3)),
    "hot ones": lambda x: nn.functional.one_hot(x.argmax(-1), 4),
    "like others": lambda x: (tt.ones_like(x) * x, tt.zeros_like(x) + x, np.add(x, 1, dtype="float64"), np.multiply.outer(x, np.float32([1, 2]))),
    "dtypes": lambda x: (x.astype("float64") + 1, (x > 1).astype("float32") + x),
}  # fmt: skip


def _in_place(x):
    y = x * 2
    y += x
    y -= 1
    y *= x
    return y


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    check(PROGRAMS[name], (2, 3, 4), positive=True)
    check(PROGRAMS[name], (2, 3, 4), positive=True, axis=None, opset=18)


def test_every_emitter_belongs_to_a_primitive():
    """A primitive that gets another name must not leave its emitter behind."""
    from tinytensor.onnx.table import EMITTERS
    from tinytensor.primitive import OPS, _find_op

    for key in EMITTERS:
        if key.startswith("numpy."):
            assert hasattr(np, key.removeprefix("numpy."))
        elif key.startswith("tinytensor."):
            assert _find_op(key) is OPS[key]


def test_bits_of_integers():
    check(lambda x: (v := (x * 3).astype("int64"), v & 1, v | 2, v ^ 3), (2, 3, 4), opset=18)
    refused(
        NotImplementedError,
        "bitwise_and has no ONNX form with integers before opset=18",
        lambda x: x.astype("int64") & 1,
    )
    refused(NotImplementedError, "invert has no ONNX form with integers", lambda x: ~x.astype("int64"), opset=18)


def test_indices_that_mean_something_else_are_refused():
    refused(NotImplementedError, "a single boolean as an index", lambda x: x[True])
    refused(NotImplementedError, "take has no ONNX form with mode='clip'", lambda x: np.take(x, [0, 9], 1, mode="clip"))


def test_several_inputs_and_names():
    made = tt.onnx.to_model(
        lambda x, y, k: {"sum": x + y[:, :3], "taken": y[:, k]},
        (np.ones((2, 3)), np.ones((2, 4), np.float32), np.array([0, 3])),
        input_names=["x", "y", "k"], output_names=["sum", "taken"], batch_axis=(0, 0, None),
    )  # fmt: skip
    assert [v.name for v in made.graph.input] == ["x", "y", "k"]
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((6, 3)), draw.standard_normal((6, 4)).astype(np.float32)
    total, taken = session(made).run(["sum", "taken"], {"x": x, "y": y, "k": np.array([1, 2])})
    np.testing.assert_allclose(total, x + y[:, :3])
    np.testing.assert_array_equal(taken, y[:, [1, 2]])


def test_outputs_that_are_inputs_or_given_twice():
    made = tt.onnx.to_model(lambda x: (x, x + 1, x), np.ones((2, 3), np.float32))
    y = [x + 1 if k == 1 else x for k, x in enumerate([np.arange(6, dtype=np.float32).reshape(2, 3)] * 3)]
    for a, b in zip(session(made).run(None, {"input": y[0]}), y, strict=True):
        np.testing.assert_array_equal(a, b)
    made = tt.onnx.to_model(lambda x: (z := x + 1, z), np.ones((2, 3), np.float32))
    assert len(session(made).run(None, {"input": y[0]})) == 2


def test_parameters_keep_their_names_and_layers_name_the_nodes():
    made = tt.onnx.to_model(nn.MLP(2, [4, 1]), np.ones((1, 2)))
    assert {v.name for v in made.graph.initializer} == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert [node.name.split("/")[0] for node in made.graph.node] == ["0", "1", "2"]
    layer = nn.TransformerEncoderLayer(4, 2, 6, activation="gelu", batch_first=True)
    kinds = {node.op_type: node.name.split("/")[0] for node in tt.onnx.to_model(layer, np.ones((1, 2, 4))).graph.node}
    assert kinds["Erf"] == "TransformerEncoderLayer"  # and not dropout, the layer that comes next
    assert kinds["Softmax"] == "self_attn"
    assert made.producer_name == "tinytensor"
    assert made.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT  # as the parameters: float32


def test_the_model_is_as_it_was():
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))
    model[1].eval()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    assert "Dropout" not in [n.op_type for n in tt.onnx.to_model(model, np.ones((4, 2))).graph.node]
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert not any(m._hooks for m in model.modules())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(NotImplementedError):
        tt.onnx.to_model(Wrapped(model, lambda inner, x: np.median(inner(x))), np.ones((4, 2)))
    assert [m.training for m in model.modules()] == [True, True, False, True]


def test_a_primitive_of_ones_own():
    @tt.primitive(x=lambda g, x: g * 3 * x**2)
    def cube_of_test(x):
        return x * x * x

    model = nn.Sequential(nn.Linear(2, 3), Wrapped(cube_of_test, lambda f, x: f(x)))
    with pytest.raises(NotImplementedError, match=r"cube_of_test of layer 1 has no ONNX form.*tt.onnx.emitter"):
        tt.onnx.to_model(model, np.ones((1, 2)))

    @tt.onnx.emitter(cube_of_test)
    def _(g, step):
        (x,) = step.args
        return g("Mul", g("Mul", x, x), x)

    check(model, (2, 2))
    with pytest.raises(TypeError, match=r"emitter: expected a primitive, got function"):
        tt.onnx.emitter(lambda x: x)


# ------------------------------------------------------------------------------------------------------------ refusals


def refused(kind, words, model, example=np.ones((2, 3), np.float32), **options):
    with pytest.raises(kind, match=words) as caught:
        tt.onnx.to_model(model, example, **options)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_exported_is_said():
    refused(NotImplementedError, r"export: median of layer 1 has no ONNX form here \(tinytensor.ops",
            nn.Sequential(nn.Linear(3, 2), Wrapped(nn.Tanh(), lambda f, x: np.median(x, 1)), nn.Tanh()))  # fmt: skip
    refused(NotImplementedError, "inv has no ONNX form", lambda x: np.linalg.inv(x @ x.T + np.eye(2)), batch_axis=None)
    refused(NotImplementedError, "a mask that is computed makes a shape", lambda x: x[x > 0])
    refused(TypeError, "the values of a tensor were asked for: by an `if`", lambda x: x if x.sum() > 0 else -x)
    refused(TypeError, "values of a tensor were asked", lambda x: x * float(x.sum()))
    refused(TypeError, "values of a tensor were asked", lambda x: x * np.asarray(x.sum()))
    refused(TypeError, r"cannot depend on them; see test_onnx.py, line \d+, in layer 1.inner\.$",
            nn.Sequential(nn.Tanh(), Wrapped(Wrapped(nn.Tanh(), lambda f, x: x if x.sum() > 0 else -x), lambda f, x: f(x))))  # fmt: skip
    refused(NotImplementedError, "searchsorted has no ONNX form", lambda x: np.searchsorted([0.0, 1.0], x))
    refused(TypeError, r"t\[i\] = v writes into memory", lambda x: x.__setitem__(0, 1))
    refused(TypeError, "the model returned float, expected tensors", lambda x: 3.0)
    refused(TypeError, "an example must be an array of real numbers, got list", lambda x: x, [["a"]])


def test_batches_that_cannot_stay_open_are_said():
    words = "the batch cannot be left open"
    refused(ValueError, words + ": the model takes another way", lambda x: sum(x[k] for k in range(len(x))))
    refused(ValueError, words + " in add.*: a constant of shape", lambda x: x + np.arange(len(x))[:, None] ** 2)
    refused(ValueError, words + " in add.*random numbers", lambda x: x + np.random.default_rng().random(3))
    refused(ValueError, words + " in multiply", lambda x: x * (1.0 / len(x)))
    check(lambda x: x + np.arange(len(x), dtype=np.float32)[:, None] ** 2, (2, 3), axis=None)
    refused(ValueError, words + ": with 15 examples in place of 3 the model says: LSTM: lengths are 15 integers.*as inputs",
            Wrapped(nn.LSTM(3, 4, batch_first=True), lambda f, x: f(x, None, [2, 1, 2])), np.ones((3, 2, 3), np.float32))  # fmt: skip


def test_what_is_random_is_refused_for_one_size_too():
    """A module in training mode that hides in a function: its dropout must not become part of the file."""
    layer = nn.Dropout(0.5)
    refused(ValueError, "does not do the same when it runs twice in multiply.*random numbers.*model.eval",
            lambda x: layer(x), np.ones((3, 8), np.float32), batch_axis=None)  # fmt: skip


def test_axes_that_are_no_batch_may_stay_open_too():
    """The width of images, the length of sequences, as far as all sizes follow it evenly; with strides they do not."""
    check(nn.Conv2d(1, 2, 3, padding=1), (2, 1, 5, 6), axis=3)
    check(
        nn.Sequential(nn.Conv1d(1, 2, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()),
        (2, 1, 9),
        axis=2,
    )
    x = np.ones((2, 1, 9), np.float32)
    refused(
        ValueError, "a size is 4 for a batch of 9, and 10 for one of 21", nn.Conv1d(1, 2, 3, stride=2), x, batch_axis=2
    )
    refused(
        ValueError, "which computes with its size; use batch_axis=None", nn.ConvTranspose1d(1, 2, 3), x, batch_axis=2
    )


def test_arguments_are_checked():
    model = nn.Linear(3, 2)
    refused(ValueError, "opset must be from 17 to", model, opset=9)
    refused(ValueError, "has no axis batch_axis=2", model, batch_axis=2)
    refused(ValueError, "batch_axis names 2 axes for 1 inputs", model, batch_axis=(0, 0))
    refused(ValueError, "give at least one example", model, np.ones((0, 3)))
    refused(ValueError, "expected 1 different input_names", model, input_names=["a", "b"])
    refused(ValueError, "expected 1 different output_names", model, output_names=[])
    refused(ValueError, "expected 1 different input_names", model, input_names=[""])
    refused(ValueError, r"\['a'\] are names of inputs and of outputs", model, input_names=["a"], output_names=["a"])
    refused(TypeError, "batch_axis is an axis, None, or one of them for each input, got 'x'", model, batch_axis="x")
    refused(TypeError, "expected a module or a function of tensors, got int", 5)


@pytest.mark.parametrize(
    "names", [{"input_names": ["Gemm_1"]}, {"output_names": "Relu_2"}, {"output_names": ["0.weight"]}]
)
def test_names_that_nodes_and_parameters_would_have(names):
    model, x = nn.MLP(3, [4, 2]), np.ones((2, 3), np.float32)
    run = session(tt.onnx.to_model(model, x, **names))
    np.testing.assert_allclose(run.run(None, {run.get_inputs()[0].name: x})[0], model(x).data, atol=1e-6)


def test_files(tmp_path, monkeypatch):
    model = nn.Linear(3, 2)
    path = tt.onnx.export(model, np.ones((1, 3)), tmp_path / "m.onnx", output_names="y")
    (y,) = runtime.InferenceSession(path).run(["y"], {"input": np.ones((4, 3), np.float32)})
    np.testing.assert_allclose(y, model(np.ones((4, 3))).data, atol=1e-6)
    before = path.read_bytes()
    with pytest.raises(NotImplementedError):
        tt.onnx.export(lambda x: np.median(x), np.ones((1, 3)), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    with pytest.raises(ValueError, match=re.escape("must end in .onnx")):
        tt.onnx.export(model, np.ones((1, 3)), tmp_path / "m.pt")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        tt.onnx.export(model, np.ones((1, 3)), tmp_path / "no" / "m.onnx")


def test_without_the_package(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'tinytensor[onnx]'")):
        tt.onnx.to_model(nn.Linear(3, 2), np.ones((1, 3)))


def test_vmap_still_works_after_an_export():
    """Both learn from the primitives what they meet: one must not take the other's place."""
    tt.onnx.to_model(nn.Linear(3, 2), np.ones((1, 3)))
    np.testing.assert_array_equal(tt.vmap(np.dot)(np.ones((3, 2)), np.arange(6.0).reshape(3, 2)), [1, 5, 9])
