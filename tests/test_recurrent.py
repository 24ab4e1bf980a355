"""Recurrent layers: against PyTorch (packed sequences too), against differences of second order, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.ops.recurrent import gru, lstm, rnn
from tinytensor.testing import against_scalar, check_grads

LAYERS = {"RNN": rnn, "LSTM": lstm, "GRU": gru}
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
STATES = {"RNN": 1, "LSTM": 2, "GRU": 1}
T, N, I, H = 5, 3, 4, 2
LENGTHS = [5, 2, 3]


def arguments(kind: str, steps: int = 3, batch: int = 2) -> list[np.ndarray]:
    """x, first states and weights of one layer, so small that every number of them can be probed."""
    draw, rows = np.random.default_rng(0), GATES[kind] * H
    shapes = [(steps, batch, 3), *[(batch, H)] * STATES[kind], (rows, 3), (rows, H), (rows,), (rows,)]
    return [0.8 * draw.standard_normal(shape) for shape in shapes]


# ---------------------------------------------------------------------------------------------------- without PyTorch


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_derivatives_of_second_order(kind: str, reverse: bool, masked: bool) -> None:
    mask = (np.arange(3)[:, None] < [3, 1])[..., None] if masked else None
    check_grads(lambda *a: LAYERS[kind](*a, mask, reverse), *arguments(kind), order=2)


def test_derivatives_with_relu_and_without_bias() -> None:
    x, h, w, v, *_ = arguments("RNN")
    check_grads(lambda *a: rnn(*a, activation="relu"), x, h, w, v, order=2)
    x, h, w, v, *_ = arguments("GRU")
    check_grads(gru, x, h, w, v, order=2)


@pytest.mark.parametrize("kind", LAYERS)
def test_third_derivative(kind: str) -> None:
    x, *others = arguments(kind, 2, 1)
    check_grads(lambda a: LAYERS[kind](a, *others)[0], x, order=3)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_scalar_engine_agrees(kind: str) -> None:
    against_scalar(lambda *a: LAYERS[kind](*a, None, True)[0], *arguments(kind))


@pytest.mark.parametrize("kind", LAYERS)
def test_one_tensor_in_two_places(kind: str) -> None:
    """The gradients of both places are added, in the first derivative and in the second."""
    h, w = arguments(kind)[1], arguments(kind)[-3]
    bias = np.zeros(len(w))
    weights = np.random.default_rng(1).standard_normal((len(w), H))
    states = STATES[kind]

    def f(h: Any, w: Any) -> Any:
        x = np.stack([h, h])
        return LAYERS[kind](x, *[h] * states, w, w, bias, bias)[0]

    check_grads(f, h, weights, order=2)


@pytest.mark.parametrize("kind", LAYERS)
def test_only_what_is_needed(kind: str) -> None:
    """Any one input alone may require a gradient, and any one result be used."""
    args = arguments(kind)
    every = [tt.tensor(a, requires_grad=True) for a in args]
    outs = LAYERS[kind](*every)
    for k in range(len(outs)):
        grads = [np.zeros(a.shape) if g is None else g for a, g in zip(args, _grads(outs[k], every), strict=True)]
        for j in range(len(args)):
            mixed = [tt.tensor(a, requires_grad=i == j) for i, a in enumerate(args)]
            (alone,) = _grads(LAYERS[kind](*mixed)[k], [mixed[j]])
            np.testing.assert_allclose(0 if alone is None else alone, grads[j], atol=1e-13)


def _grads(out: Any, leaves: list[Any]) -> list[Any]:
    for leaf in leaves:
        leaf.grad = None
    (out * out).sum().backward(retain_graph=True)
    return [leaf.grad for leaf in leaves]


@pytest.mark.parametrize("kind", LAYERS)
def test_shapes_and_names(kind: str) -> None:
    layer = getattr(nn, kind)(I, H, num_layers=2, bidirectional=True)
    names = [
        f"{part}_l{k}{direction}"
        for k in range(2) for direction in ("", "_reverse") for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]  # fmt: skip
    assert list(layer.state_dict()) == names
    assert layer.weight_ih_l1.shape == (GATES[kind] * H, 2 * H)
    for shape, out, last in (((T, N, I), (T, N, 2 * H), (4, N, H)), ((T, I), (T, 2 * H), (4, H))):
        y, state = layer(tt.ones(shape))
        assert y.shape == out
        assert y.dtype == np.float32
        assert all(s.shape == last for s in (state if kind == "LSTM" else [state]))
    first = getattr(nn, kind)(I, H, batch_first=True)
    assert first(np.ones((N, T, I)))[0].shape == (N, T, H)
    assert all(abs(p.data).max() <= 1 / np.sqrt(H) for p in layer.parameters())
    assert repr(layer) == f"{kind}(4, 2, num_layers=2, bidirectional=True)"


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_are_as_if_each_sequence_were_alone(kind: str, bidirectional: bool) -> None:
    layer = getattr(nn, kind)(I, H, num_layers=2, bidirectional=bidirectional, dtype="float64", rng=tt.rng(0))
    x = np.random.default_rng(0).standard_normal((T, N, I))
    for k, n in enumerate(LENGTHS):
        x[n:, k] = np.nan  # what stands behind the end does not matter
    y, state = layer(x, lengths=LENGTHS)
    (y.sum() + sum(s.sum() for s in (state if kind == "LSTM" else [state]))).backward()
    assert all(np.isfinite(p.grad).all() for p in layer.parameters())
    for k, n in enumerate(LENGTHS):
        alone, last = layer(x[:n, k])
        np.testing.assert_allclose(layer(x[:, k : k + 1], lengths=[n])[0].data[:n, 0], alone.data, atol=1e-14)
        np.testing.assert_allclose(y.data[:n, k], alone.data, atol=1e-14)
        assert not y.data[n:, k].any()
        for a, b in zip(state if kind == "LSTM" else [state], last if kind == "LSTM" else [last], strict=True):
            np.testing.assert_allclose(a.data[:, k], b.data, atol=1e-14)
        single = layer(x[:, k : k + 1], lengths=[n])[1]
        for a, b in zip(single if kind == "LSTM" else [single], last if kind == "LSTM" else [last], strict=True):
            np.testing.assert_allclose(a.data[:, 0], b.data, atol=1e-14)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_cell_is_a_step(kind: str) -> None:
    layer = getattr(nn, kind)(I, H, dtype="float64", rng=tt.rng(0))
    cell = getattr(nn, kind + "Cell")(I, H, dtype="float64")
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((T, N, I))
    y, _ = layer(x)
    state = None
    for t in range(T):
        state = cell(x[t], state)
        np.testing.assert_allclose(state[0].data if kind == "LSTM" else state.data, y.data[t], atol=1e-15)
    single = cell(x[0, 0])
    np.testing.assert_allclose((single[0] if kind == "LSTM" else single).data, y.data[0, 0], atol=1e-15)


def test_known_value() -> None:
    """One step of each, all weights 1 and x = 1, by hand."""
    sigmoid = 1 / (1 + np.exp(-1))
    h = np.tanh(1)
    for layer, expected in (
        (nn.RNN(1, 1, bias=False), h),
        (nn.LSTM(1, 1, bias=False), sigmoid * np.tanh(sigmoid * h)),
        (nn.GRU(1, 1, bias=False), (1 - sigmoid) * h),
    ):
        for p in layer.parameters():
            p.data[...] = 1
        assert layer(tt.ones((1, 1, 1)))[0].item() == pytest.approx(expected, rel=1e-6)


def test_large_gates_do_not_overflow() -> None:
    for layer in (nn.RNN(1, 2), nn.LSTM(1, 2), nn.GRU(1, 2)):
        x = tt.tensor([[[1e4]], [[-1e4]]], requires_grad=True)
        with np.errstate(all="raise", under="ignore"):
            y, _ = layer(x)
            y.sum().backward()
        assert np.isfinite(y.data).all()
        assert np.isfinite(x.grad).all()


def test_bad_input_is_refused() -> None:
    layer = nn.LSTM(I, H)
    with pytest.raises(
        ValueError, match=r"LSTM: expected an input \(T, N, 4\) or \(T, 4\), not empty, got shape \(5, 3\)"
    ):
        layer(tt.ones((5, 3)))
    with pytest.raises(ValueError, match="not empty"):
        layer(tt.ones((0, 3, 4)))
    with pytest.raises(TypeError, match=r"LSTM: the first states are a pair \(h, c\), got Tensor"):
        layer(tt.ones((T, N, I)), tt.ones((1, N, H)))
    with pytest.raises(ValueError, match=r"first state c of shape \(1, 3, 2\), got \(3, 2\)"):
        layer(tt.ones((T, N, I)), (tt.ones((1, N, H)), tt.ones((N, H))))
    for lengths in ([5, 5], [5, 0, 1], [6, 1, 1], [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match="lengths are 3 integers from 1 to 5"):
            layer(tt.ones((T, N, I)), lengths=lengths)
    with pytest.raises(ValueError, match="dropout is a probability"):
        nn.GRU(I, H, dropout=1.5)
    with pytest.raises(ValueError, match="hidden_size must be an integer of at least 1, got 0"):
        nn.GRU(I, 0)
    for make in (nn.RNN, nn.RNNCell):
        with pytest.raises(ValueError, match="nonlinearity must be 'tanh' or 'relu', got 'elu'"):
            make(I, H, nonlinearity="elu")
    with pytest.raises(ValueError, match=r"GRUCell: expected an input \(N, 4\) or \(4,\), got \(2, 3\)"):
        nn.GRUCell(I, H)(tt.ones((2, 3)))


def test_dropout_between_layers_only_in_training() -> None:
    tt.manual_seed(0)
    layer = nn.GRU(I, H, num_layers=2, dropout=0.5)
    x = tt.ones((T, N, I))
    assert (layer(x)[0].data != layer(x)[0].data).any()
    layer.eval()
    assert (layer(x)[0].data == layer(x)[0].data).all()


# ------------------------------------------------------------------------------------------------------- with PyTorch


def pair(kind: str, **options: Any) -> tuple[Any, Any]:
    """Our layer and theirs, with the same weights, float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'peers' has it")
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(I, H, **options, dtype=torch.float64)
    ours = getattr(nn, kind)(I, H, **options, dtype="float64")
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return ours, theirs


def same(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


def compare(ours: Any, theirs: Any, leaves: Any, leaves_t: Any, outs: Any, outs_t: Any) -> None:
    """Results, and gradients of a sum with random weights of all of them."""
    import torch

    weights = [np.random.default_rng(k).standard_normal(out.shape) for k, out in enumerate(outs)]
    for out, out_t in zip(outs, outs_t, strict=True):
        same(out, out_t)
    sum((out * w).sum() for out, w in zip(outs, weights, strict=True)).backward()
    sum((out * torch.tensor(w)).sum() for out, w in zip(outs_t, weights, strict=True)).backward()
    for a, b in zip([*leaves, *ours.parameters()], [*leaves_t, *theirs.parameters()], strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-10, atol=1e-12)


OPTIONS: list[dict[str, Any]] = [
    {}, {"num_layers": 2}, {"bidirectional": True}, {"bias": False, "batch_first": True},
    {"num_layers": 3, "bidirectional": True, "batch_first": True},
]  # fmt: skip
KINDS = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("GRU", {})]


@pytest.mark.peers
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("kind", "own"), KINDS, ids=str)
def test_layers_are_pytorchs(kind: str, own: dict[str, Any], options: dict[str, Any], packed: bool) -> None:
    ours, theirs = pair(kind, **options, **own)
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    first, draw = options.get("batch_first", False), np.random.default_rng(1)
    x = draw.standard_normal((N, T, I) if first else (T, N, I))
    count = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    states = [draw.standard_normal((count, N, H)) for _ in range(STATES[kind])]
    leaves = [tt.tensor(a, requires_grad=True) for a in (x, *states)]
    leaves_t = [torch.tensor(a, requires_grad=True) for a in (x, *states)]
    given, given_t = (tuple(s[1:]) if kind == "LSTM" else s[1] for s in (leaves, leaves_t))
    y, last = ours(leaves[0], given, lengths=LENGTHS if packed else None)
    if packed:
        sequence = pack_padded_sequence(leaves_t[0], torch.tensor(LENGTHS), first, enforce_sorted=False)
        y_t, last_t = theirs(sequence, given_t)
        y_t, _ = pad_packed_sequence(y_t, first, total_length=T)
    else:
        y_t, last_t = theirs(leaves_t[0], given_t)
    outs, outs_t = ([a, *(b if kind == "LSTM" else [b])] for a, b in ((y, last), (y_t, last_t)))
    compare(ours, theirs, leaves, leaves_t, outs, outs_t)


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_cells_are_pytorchs(kind: str, bias: bool) -> None:
    ours, theirs = pair(kind, bias=bias)
    import torch

    x = np.random.default_rng(1).standard_normal((N, I))
    leaf, leaf_t = tt.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    state = state_t = None
    for _ in range(3):
        state, state_t = ours(leaf, state), theirs(leaf_t, state_t)
    outs, outs_t = (list(s) if kind == "LSTMCell" else [s] for s in (state, state_t))
    compare(ours, theirs, [leaf], [leaf_t], outs, outs_t)


@pytest.mark.peers
def test_unbatched_is_pytorchs() -> None:
    ours, theirs = pair("LSTM", num_layers=2, bidirectional=True)
    import torch

    x = np.random.default_rng(1).standard_normal((T, I))
    leaf, leaf_t = tt.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    (y, states), (y_t, states_t) = ours(leaf), theirs(leaf_t)
    compare(ours, theirs, [leaf], [leaf_t], [y, *states], [y_t, *states_t])


@pytest.mark.peers
@pytest.mark.parametrize("kind", LAYERS)
def test_second_derivatives_are_pytorchs(kind: str) -> None:
    """The gradient of the squared norm of the gradient."""
    ours, theirs = pair(kind, bidirectional=True)
    import torch

    x = np.random.default_rng(1).standard_normal((T, N, I))
    leaf, leaf_t = tt.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    inner = tt.grad(lambda a: (ours(a, lengths=None)[0] ** 2).sum())
    (inner(leaf) ** 2).sum().backward()
    (g,) = torch.autograd.grad((theirs(leaf_t)[0] ** 2).sum(), leaf_t, create_graph=True)
    (g**2).sum().backward()
    np.testing.assert_allclose(leaf.grad, leaf_t.grad.numpy(), rtol=1e-10, atol=1e-12)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_projected_states_have_second_derivatives() -> None:
    layer = nn.LSTM(2, 3, proj_size=1, bidirectional=True).double()
    x = np.random.default_rng(5).standard_normal((4, 2, 2))
    y, (h, c) = layer(x, lengths=[4, 2])
    assert y.shape == (4, 2, 2) and h.shape == (2, 2, 1) and c.shape == (2, 2, 3)
    assert not y.data[2:, 1].any()
    check_grads(lambda x: layer(x)[0], x)
    for kind, size in ((nn.GRU, 1), (nn.LSTM, 3)):
        with pytest.raises(ValueError, match="proj_size is an LSTM's, and smaller than hidden_size"):
            kind(2, 3, proj_size=size)
