"""Convolution and pooling: shapes, known values, derivatives of every order, PyTorch's numbers, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.ops import conv
from tinytensor.testing import check_grads

F = nn.functional
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (extra: peers)")


# ------------------------------------------------------------------------------------------------- convolution, by hand


def by_hand(x, w, b, stride, pads, dilation, groups):
    """The formula of conv2d, number by number."""
    x = np.pad(x, ((0, 0), (0, 0), *pads))
    (kh, kw), each = w.shape[2:], w.shape[0] // groups
    rows = (x.shape[2] - dilation * (kh - 1) - 1) // stride + 1
    columns = (x.shape[3] - dilation * (kw - 1) - 1) // stride + 1
    out = np.empty((len(x), len(w), rows, columns))
    for o, i, j in np.ndindex(len(w), rows, columns):
        first = o // each * w.shape[1]
        seen = x[:, first : first + w.shape[1], i * stride :: 1, j * stride :: 1]
        seen = seen[:, :, : dilation * kh : dilation, : dilation * kw : dilation]
        out[:, o, i, j] = (seen[:, :, :kh, :kw] * w[o]).sum((1, 2, 3)) + b[o]
    return out


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d_is_its_formula(stride, padding, dilation, groups):
    x, w, b = normal(3, 4, 7, 8), normal(6, 4 // groups, 3, 2), normal(6)
    expected = by_hand(x, w, b, stride, ((padding, padding),) * 2, dilation, groups)
    out = F.conv2d(tt.tensor(x), w, b, stride, padding, dilation, groups)
    np.testing.assert_allclose(out.data, expected, atol=1e-12)
    np.testing.assert_allclose(F.conv2d(tt.tensor(x[0]), w, b, stride, padding, dilation, groups).data, expected[0], atol=1e-12)  # fmt: skip


def test_same_padding_keeps_the_size_and_pads_more_at_the_end():
    out = F.conv1d(tt.tensor([[1.0, 2.0, 3.0]]), np.ones((1, 1, 4)), padding="same")
    np.testing.assert_array_equal(out.data, [[6.0, 6.0, 5.0]])


@pytest.mark.parametrize("n", [1, 2])
def test_columns_made_in_slices_give_the_same(n, monkeypatch):
    x, w, g = normal(3, 4, *(9, 7)[:n]), normal(6, 4, *(3, 2)[:n]), None
    results = []
    for size in (1, 1000, 1 << 20):
        monkeypatch.setattr(conv, "_SLICE", size)
        a, b = tt.tensor(x, requires_grad=True), tt.tensor(w, requires_grad=True)
        out = (F.conv1d, F.conv2d)[n - 1](a, b, stride=2, padding=1)
        g = np.cos(np.arange(out.size)).reshape(out.shape)
        (out * g).sum().backward()
        results.append((out.data, a.grad, b.grad))
    for found in results[1:]:
        for one, other in zip(found, results[0]):
            np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"stride": 2}, {"padding": 1}, {"padding": "same"}, {"dilation": 2, "padding": 2}, {"groups": 2},
        {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2},
    ],
)  # fmt: skip
def test_derivatives_of_conv2d(options):
    groups = options.get("groups", 1)
    check_grads(
        lambda x, w, b: F.conv2d(x, w, b, **options), normal(2, 4, 4, 5), normal(2, 4 // groups, 3, 2), normal(2)
    )


@pytest.mark.parametrize("options", [{}, {"stride": 2, "output_padding": 1, "padding": 1}, {"groups": 2, "dilation": 2, "output_padding": 1}])  # fmt: skip
def test_derivatives_of_conv_transpose2d(options):
    check_grads(lambda x, w, b: F.conv_transpose2d(x, w, b, **options), normal(2, 4, 3, 2), normal(4, 3, 2, 2), normal(3 * options.get("groups", 1)))  # fmt: skip


def test_third_derivatives():
    check_grads(lambda x, w: F.conv1d(x, w, stride=2, padding=1) ** 2, normal(1, 2, 5), normal(2, 2, 3), order=3)


def test_the_transpose_is_the_transpose():
    x, w, y = normal(2, 4, 7, 8), normal(6, 2, 3, 2), normal(2, 6, 4, 4)
    forth = F.conv2d(tt.tensor(x), w, stride=2, padding=(1, 0), groups=2)
    back = F.conv_transpose2d(tt.tensor(y), w, stride=2, padding=(1, 0), groups=2)
    np.testing.assert_allclose((forth.data * y).sum(), (back.data * x[:, :, :7]).sum(), rtol=1e-12)


def test_outputs_own_their_memory_and_can_be_written_into():
    x = tt.ones((2, 1, 4, 4), requires_grad=True)
    for f in (lambda: F.conv2d(x, np.ones((1, 1, 1, 1))), lambda: F.max_pool2d(x, 2), lambda: F.avg_pool2d(x, 2)):
        out = f()
        assert out.data.base is None
        again = f()
        again[0] = 5.0
        assert (again.data[0] == 5.0).all()
        assert (again.data[1] == 1.0).all()


def test_dtypes_and_empty_batches():
    x = tt.ones((0, 3, 5, 5), requires_grad=True)
    layer = nn.Conv2d(3, 4, 3)
    out = F.avg_pool2d(F.max_pool2d(layer(x), 2), 1)
    assert out.shape == (0, 4, 1, 1)
    out.sum().backward()
    assert x.grad.shape == (0, 3, 5, 5)
    assert not layer.weight.grad.any()
    for dtype in ("float32", "float64"):
        made = nn.Conv2d(1, 2, 3, dtype=dtype)(np.ones((1, 1, 4, 4)))
        assert F.avg_pool2d(F.max_pool2d(made, 2), 1).dtype == dtype
    assert F.conv2d(np.ones((1, 1, 3, 3), int), np.ones((1, 1, 2, 2), int)).dtype.kind == "i"


# --------------------------------------------------------------------------------------------------------------- pooling


def test_ties_go_to_the_first():
    x = tt.tensor([[1.0, 1.0, 1.0, 2.0]], requires_grad=True)
    F.max_pool1d(x, 2).sum().backward()
    np.testing.assert_array_equal(x.grad, [[1.0, 0.0, 0.0, 1.0]])


def test_a_nan_wins_and_its_window_gets_the_gradient():
    x = tt.tensor([[1.0, np.nan, 1.0, 2.0]], requires_grad=True)
    out = F.max_pool1d(x, 2)
    assert np.isnan(out.data[0, 0])
    out.sum().backward()
    assert x.grad[0, :2].sum() == 1


@pytest.mark.parametrize("options", [(2,), (3, 2, 1), (2, 1, 1, 2), (3, 2, 0, 1, True)])
def test_derivatives_of_max_pool(options):
    x = RNG.permutation(2 * 2 * 6 * 5).reshape(2, 2, 6, 5) / 10
    check_grads(lambda x: F.max_pool2d(x, *options) ** 2, x)
    check_grads(lambda x: F.max_pool1d(x, *options) ** 2, x[0])


@pytest.mark.parametrize("options", [(2,), (3, 2, 1), (3, 2, 1, True, False), (3, 2, 1, False, False)])
def test_derivatives_of_avg_pool(options):
    check_grads(lambda x: F.avg_pool2d(x, *options) ** 2, normal(2, 2, 6, 5))
    check_grads(lambda x: F.avg_pool1d(x, *options) ** 2, normal(2, 3, 5))


@pytest.mark.parametrize("size", [1, 2, 4, 5, 7, (3, None)])
def test_adaptive_averages(size):
    x = normal(2, 3, 5, 4)
    to = (size, size) if isinstance(size, int) else (3, 4)
    expected = np.empty((2, 3, *to))
    for i, j in np.ndindex(to):
        rows, columns = (slice(k * n // m, -(-(k + 1) * n // m)) for k, n, m in zip((i, j), (5, 4), to))
        expected[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    np.testing.assert_allclose(F.adaptive_avg_pool2d(tt.tensor(x), size).data, expected, atol=1e-12)
    check_grads(lambda x: F.adaptive_avg_pool2d(x, size) ** 2, x)


# ------------------------------------------------------------------------------------------------------ layers and errors


def test_reprs_are_pytorchs():
    assert repr(nn.Conv2d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2, bias=False)) == (
        "Conv2d(2, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(2, 2), groups=2, bias=False)"
    )
    assert repr(nn.Conv1d(2, 4, 3, padding="same")) == "Conv1d(2, 4, kernel_size=(3,), stride=(1,), padding=same)"
    assert repr(nn.ConvTranspose2d(2, 4, 3, stride=2, output_padding=1)) == (
        "ConvTranspose2d(2, 4, kernel_size=(3, 3), stride=(2, 2), output_padding=(1, 1))"
    )
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    assert repr(nn.AvgPool1d(2)) == "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))"
    assert repr(nn.AdaptiveAvgPool2d((1, 1))) == "AdaptiveAvgPool2d(output_size=(1, 1))"
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"


def test_initial_weights_are_pytorchs_distribution():
    layer = nn.Conv2d(8, 64, 3, groups=2, rng=tt.rng(0))
    bound = 1 / np.sqrt(4 * 9)
    for p in (layer.weight, layer.bias):
        assert np.abs(p.data).max() <= bound
        assert np.abs(p.data).max() > 0.9 * bound
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert layer.weight.shape == (64, 4, 3, 3)
    assert nn.ConvTranspose2d(8, 64, 3, groups=2).weight.shape == (8, 32, 3, 3)


X = np.ones((2, 4, 5, 5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.conv2d(X, np.ones((6, 3, 3, 3))), "conv2d: weight .* expects 3 input channels, got 4"),
        (lambda: F.conv2d(X[0, 0], np.ones((6, 4, 3, 3))), r"conv2d: expected an input \(N, C, H, W\)"),
        (lambda: F.conv2d(X, np.ones((6, 4, 3))), r"expected a weight \(out, in/groups, kernel, kernel\)"),
        (lambda: F.conv2d(X, np.ones((6, 4, 3, 3)), np.ones(5)), r"expected a bias of shape \(6,\)"),
        (lambda: F.conv2d(X, np.ones((6, 4, 7, 7))), "does not fit into an input"),
        (lambda: F.conv2d(X, np.ones((6, 2, 3, 3)), groups=4), "groups must divide"),
        (lambda: F.conv2d(X, np.ones((6, 4, 3, 3)), stride=0), "stride must be an integer of at least 1"),
        (lambda: F.conv2d(X, np.ones((6, 4, 3, 3)), padding=-1), "padding must be an integer of at least 0"),
        (lambda: F.conv2d(X, np.ones((6, 4, 3, 3)), padding="full"), "'same' or 'valid', got 'full'"),
        (lambda: F.conv2d(X, np.ones((6, 4, 3, 3)), stride=2, padding="same"), "padding='same' needs stride 1"),
        (lambda: F.conv_transpose2d(X, np.ones((4, 1, 3, 3)), output_padding=1), "output_padding must be smaller"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups must divide"),
        (lambda: nn.Conv2d(0, 4, 3), "in_channels must be an integer of at least 1, got 0"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size must be an integer"),
        (lambda: F.max_pool2d(X, 2, padding=2), "padding must be at most half of the kernel"),
        (lambda: F.max_pool2d(X, 6), "does not fit"),
        (lambda: F.avg_pool2d(X, 2, divisor_override=0), "divisor_override"),
        (lambda: F.adaptive_avg_pool2d(X, (1, 2, 3)), "output_size"),
        (lambda: nn.Flatten(2, 1)(X), "Flatten: start_dim=2 and end_dim=1"),
    ],
)
def test_what_cannot_be_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -------------------------------------------------------------------------------------------------------------- PyTorch


def same_as(torch, f, theirs, *arrays):
    """Outputs and all gradients, to 1e-10."""
    mine = [tt.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    out, expected = f(*mine), theirs(*other)
    assert out.shape == tuple(expected.shape)
    np.testing.assert_allclose(out.data, expected.detach().numpy(), atol=1e-10)
    g = np.cos(np.arange(out.size)).reshape(out.shape)
    (out * g).sum().backward()
    (expected * torch.tensor(g)).sum().backward()
    for a, b in zip(mine, other):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), atol=1e-10)


OPTIONS = list(itertools.product((1, 2, 3), (0, 1, 2), (1, 2), (1, 2), (2, 6)))


@pytest.mark.peers
@pytest.mark.parametrize("n", [1, 2])
def test_convolutions_are_pytorchs(torch, n):
    mine = [getattr(F, f"{name}{n}d") for name in ("conv", "conv_transpose")]
    theirs = [getattr(torch.nn.functional, f"{name}{n}d") for name in ("conv", "conv_transpose")]
    x, kernel = normal(3, 4, *(7, 9)[:n]), (3, 2)[:n]
    for stride, padding, dilation, groups, n_out in OPTIONS:
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        w, b = normal(n_out, 4 // groups, *kernel), normal(n_out)
        same_as(torch, lambda *a: mine[0](*a, **options), lambda *a: theirs[0](*a, **options), x, w, b)
        options["output_padding"] = max(stride, dilation) - 1
        w = normal(4, n_out // groups, *kernel)
        same_as(torch, lambda *a: mine[1](*a, **options), lambda *a: theirs[1](*a, **options), x, w, b)


@pytest.mark.peers
@pytest.mark.parametrize("n", [1, 2])
def test_pooling_is_pytorchs(torch, n):
    peers = torch.nn.functional
    ties = RNG.integers(0, 3, (3, 2, *(7, 9)[:n])).astype(float)
    for k, s, p, d, up in itertools.product((2, 3), (None, 1, 2, 3), (0, 1), (1, 2), (False, True)):
        for x in (normal(*ties.shape), ties):
            f, g = getattr(F, f"max_pool{n}d"), getattr(peers, f"max_pool{n}d")
            same_as(torch, lambda x: f(x, k, s, p, d, up), lambda x: g(x, k, s, p, d, up), x)
        for include in (True, False):
            f, g = getattr(F, f"avg_pool{n}d"), getattr(peers, f"avg_pool{n}d")
            same_as(torch, lambda x: f(x, k, s, p, up, include), lambda x: g(x, k, s, p, up, include), ties)
    for size in (1, 2, 3, 5, 7, 9, 11):
        f, g = getattr(F, f"adaptive_avg_pool{n}d"), getattr(peers, f"adaptive_avg_pool{n}d")
        same_as(torch, lambda x: f(x, size), lambda x: g(x, size), ties)


@pytest.mark.peers
def test_a_network_is_pytorchs(torch):
    def build(lib, **kind):
        return lib.Sequential(
            lib.Conv2d(1, 4, 3, padding=1, **kind), lib.ReLU(), lib.MaxPool2d(2), lib.Conv2d(4, 6, 3, padding="same", **kind),
            lib.ReLU(), lib.AvgPool2d(2), lib.ConvTranspose2d(6, 3, 2, stride=2, **kind), lib.AdaptiveAvgPool2d(2),
            lib.Flatten(), lib.Linear(12, 3, **kind),
        )  # fmt: skip

    mine, theirs = build(nn, dtype="float64"), build(torch.nn, dtype=torch.float64)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert repr(mine).splitlines()[:9] == repr(theirs).splitlines()[:9]
    mine.load_state_dict({name: w.numpy() for name, w in theirs.state_dict().items()})
    x = normal(5, 1, 8, 8)
    nn.CrossEntropyLoss()(mine(x), np.arange(5) % 3).backward()
    torch.nn.CrossEntropyLoss()(theirs(torch.tensor(x)), torch.arange(5) % 3).backward()
    for a, b in zip(mine.parameters(), theirs.parameters()):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), atol=1e-10)


def test_second_derivatives_with_output_padding():
    """The rows that output_padding adds get a gradient of 0: they once broke the shape."""
    x, w = np.random.default_rng(1).standard_normal((1, 2, 4)), np.random.default_rng(2).standard_normal((2, 1, 3))
    check_grads(lambda x, w: np.sin(F.conv_transpose1d(x, w, stride=2, output_padding=1)), x, w)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_what_is_put_around(mode):
    layer = nn.Conv1d(1, 1, 3, padding=1, padding_mode=mode, bias=False).double()
    layer.weight.data[...] = [[[1.0, 10.0, 100.0]]]
    ends = {"reflect": [2.0, 2.0], "replicate": [1.0, 3.0], "circular": [3.0, 1.0]}[mode]
    assert layer(np.array([[[1.0, 2.0, 3.0]]])).tolist() == [[[ends[0] + 210, 321, 100 * ends[1] + 32]]]
    with pytest.raises(ValueError, match="padding_mode must be 'zeros' or 'reflect' or 'replicate' or 'circular'"):
        nn.Conv1d(1, 1, 3, padding_mode="edge")


def test_indices_of_the_largest():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    y, where = nn.MaxPool2d(2, return_indices=True)(x)
    assert where.dtype == np.int64 and where.tolist() == [[[[5, 7], [13, 15]]]]
    assert F.max_pool1d(x[0, 0], 3, padding=1, return_indices=True)[1].shape == (4, 2)
    assert nn.MaxPool1d(5, ceil_mode=True)(x[0]).shape == (1, 4, 1)  # a window larger than what is there


def test_numpys_integers_are_integers():
    assert nn.Conv2d(np.int64(2), np.int64(4), np.int64(3), groups=np.int64(2))(np.ones((1, 2, 3, 3))).shape == (
        1,
        4,
        1,
        1,
    )
