"""Random models as ONNX files: layers, options and sizes drawn anew for each seed, compared for several batches."""

from __future__ import annotations

import random

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn

onnx = pytest.importorskip("onnx", reason="onnx is not installed: the extra 'onnx' has it")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra 'onnx' has it")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:onnx.*")


def numbers(draw, *shape):
    return np.random.default_rng(draw.randrange(1 << 30)).standard_normal(shape).astype(np.float32)


def flat(out):
    return [out] if isinstance(out, tt.Tensor) else [x for part in out for x in flat(part)]


def compare(model, inputs, axes, opset):
    """onnxruntime computes what the model computes, for 1, 2 and 5 examples."""
    made = tt.onnx.to_model(model, tuple(inputs), batch_axis=axes, opset=opset)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    run = runtime.InferenceSession(made.SerializeToString(), options)
    if isinstance(model, nn.Module):
        model.eval()
    for n in (1, 2, 5):
        batch = [np.take(x, np.arange(n) % x.shape[a], a) for x, a in zip(inputs, axes, strict=True)]
        got = run.run(None, dict(zip([v.name for v in made.graph.input], batch, strict=True)))
        for a, b in zip(got, flat(model(*map(tt.tensor, batch))), strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(a, b.data, rtol=1e-5, atol=1e-5)


def convolutional(draw, dims, channels):
    """One layer for images, and how many channels it returns."""
    each = lambda least, most: tuple(draw.randint(least, most) for _ in range(dims))  # noqa: E731
    groups = draw.choice([n for n in (1, 2, 3) if channels % n == 0])
    out, size, ceil = groups * draw.randint(1, 3), draw.randint(1, 3), draw.random() < 0.5
    layer = lambda name: getattr(nn, f"{name}{dims}d")  # noqa: E731
    kind = draw.randrange(7)
    if kind == 0:
        options = {"stride": each(1, 2), "padding": each(0, 2), "dilation": each(1, 2), "groups": groups}
        return layer("Conv")(channels, out, each(1, 3), bias=draw.random() < 0.7, **options), out
    if kind == 1:
        stride, dilation = draw.randint(1, 3), draw.randint(1, 2)
        options = {"stride": stride, "dilation": dilation, "groups": groups, "padding": draw.randint(0, 1)}
        more = draw.randrange(max(stride, dilation))
        return layer("ConvTranspose")(channels, out, draw.randint(1, 3), output_padding=more, **options), out
    if kind == 2:
        return layer("MaxPool")(
            size, draw.choice([None, 1, 2, 3]), size // 2, draw.randint(1, 2), ceil_mode=ceil
        ), channels
    if kind == 3:
        whole = draw.random() < 0.5
        return layer("AvgPool")(
            size, draw.choice([None, 1, 3]), size // 2, ceil_mode=ceil, count_include_pad=whole
        ), channels
    if kind == 4:
        return layer("AdaptiveAvgPool")(draw.randint(1, 5)), channels
    if kind == 5:
        return layer("BatchNorm")(channels), channels
    return nn.GroupNorm(groups, channels), channels


@pytest.mark.parametrize("seed", range(60))
def test_random_convolutional_models(seed):
    draw = random.Random(seed)
    dims, channels = draw.choice([1, 2]), draw.randint(1, 4)
    x = numbers(draw, draw.randint(1, 3), channels, *[draw.randint(8, 12) for _ in range(dims)])
    layers, y = [], x
    for _ in range(3):
        layer, more = convolutional(draw, dims, channels)
        try:
            y = layer(y)
        except ValueError:  # a kernel that does not fit into what is left
            continue
        layers, channels = [*layers, layer, draw.choice([nn.ReLU(), nn.GELU(), nn.Tanh()])], more
    compare(nn.Sequential(*layers, nn.Flatten()), [x], (0,), draw.choice([17, 20, 22]))


@pytest.mark.parametrize("seed", range(40))
def test_random_recurrent_models(seed):
    """Lengths and first states are inputs, so that they follow the batch."""
    draw = random.Random(seed)
    kind, first = draw.choice([nn.RNN, nn.LSTM, nn.GRU]), draw.random() < 0.5
    layers, both, hidden = draw.randint(1, 3), draw.random() < 0.5, draw.randint(1, 5)
    n, steps, width = draw.randint(1, 4), draw.randint(1, 5), draw.randint(1, 4)
    layer = kind(width, hidden, num_layers=layers, bidirectional=both, batch_first=first, bias=draw.random() < 0.7)
    x = numbers(draw, *((n, steps, width) if first else (steps, n, width)))
    states = [numbers(draw, layers * (1 + both), n, hidden) for _ in range(2 if kind is nn.LSTM else 1)]
    lengths = np.array([draw.randint(1, steps) for _ in range(n)])
    call = lambda x, lengths, *hx: layer(x, hx if len(hx) > 1 else hx[0], lengths)  # noqa: E731
    compare(call, [x, lengths, *states], (int(not first), 0, *[1] * len(states)), draw.choice([17, 22]))
