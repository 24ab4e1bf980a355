"""Attention: masks, weights and derivatives, against PyTorch and against differences of second order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.nn.functional import scaled_dot_product_attention as sdpa
from tinytensor.ops.attention import attention, packed_attention, split
from tinytensor.testing import check_grads

N, L, S, E, F = 2, 3, 4, 6, 5
rng = np.random.default_rng(0)
Q, K, V = rng.standard_normal((N, L, E)), rng.standard_normal((N, S, E)), rng.standard_normal((N, S, F))
SEEN = np.array([[True, True, False, True], [False, True, False, False], [True, True, True, True]])
ADDED = rng.standard_normal((L, S))

# ---------------------------------------------------------------------------------------------------- without PyTorch


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": SEEN}, {"scale": 0.3}], ids=str)
def test_derivatives_of_second_order(options: dict[str, Any]) -> None:
    check_grads(lambda q, k, v: sdpa(q, k, v, **options), Q, K, V, order=2)


def test_derivatives_of_mask_and_weights() -> None:
    kept = (rng.random((N, L, S)) > 0.3) / 0.7
    check_grads(lambda q, k, v, m: attention(q, k, v, m, kept, 0.4), Q, K, V, ADDED, order=2)
    check_grads(lambda q, k, v, m: sdpa(q, k, v, m), Q, K[:1], V, ADDED[:1], order=2)


@pytest.mark.parametrize(("shape", "batch_first"), [((3, 12), True), ((2, 3, 12), True), ((3, 2, 12), False)])
def test_packed_heads(shape: tuple[int, ...], batch_first: bool) -> None:
    """Derivatives; and the result is that of the heads taken apart."""
    x = rng.standard_normal(shape)
    check_grads(lambda x: packed_attention(x, ADDED[:, :3], None, 2, 0.7, batch_first), x, order=2)
    y, p = packed_attention(x, None, None, 2, 0.7, batch_first)
    apart, weights = attention(*split(x, 2, batch_first), None, None, 0.7)
    np.testing.assert_array_equal(p, weights)
    assert sorted(y.ravel()) == sorted(apart.ravel())
    assert y.shape == (*shape[:-1], 4)


def test_known_values() -> None:
    """Equal scores: the mean of what may be seen."""
    q, k, v = np.zeros((L, E)), np.zeros((S, E)), np.arange(4.0)[:, None]
    np.testing.assert_allclose(sdpa(q, k, v).data[:, 0], [1.5, 1.5, 1.5])
    np.testing.assert_allclose(sdpa(q, k, v, is_causal=True).data[:, 0], [0, 0.5, 1])
    np.testing.assert_allclose(sdpa(q, k, v, SEEN).data[:, 0], [4 / 3, 1, 1.5])
    np.testing.assert_allclose(sdpa(q, k, v, [0.0, 0, 0, np.inf * -1]).data[:, 0], [1, 1, 1])


def test_who_may_look_at_nothing_gets_zero() -> None:
    """And its derivatives are 0, not nan."""
    mask = SEEN.copy()
    mask[1] = False
    q = tt.tensor(Q, requires_grad=True)
    y = sdpa(q, K, V, mask)
    assert not y.data[:, 1].any()
    y.sum().backward()
    assert not q.grad[:, 1].any()
    assert np.isfinite(q.grad).all()
    check_grads(lambda *a: sdpa(*a, mask), Q, K, V, order=2)


def test_large_scores_do_not_overflow() -> None:
    np.testing.assert_allclose(sdpa(1e4 * np.eye(2), 1e4 * np.eye(2), np.eye(2)).data, np.eye(2))


def test_dropout_keeps_the_mean() -> None:
    tt.manual_seed(0)
    y = sdpa(np.zeros((20000, 1, 2)), np.zeros((20000, 4, 2)), np.ones((20000, 4, 1)), dropout_p=0.25)
    assert y.data.mean() == pytest.approx(1, abs=0.01)
    assert set(np.unique((y.data * 3).round(6))) == {0, 1, 2, 3, 4}
    with pytest.raises(ValueError, match="dropout is a probability below 1, got 1.5"):
        sdpa(Q, K, V, dropout_p=1.5)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected query \(..., L, E\), key .* got \(2, 3, 6\), \(2, 4, 5\)"):
        sdpa(Q, V, V)
    with pytest.raises(ValueError, match=r"attn_mask of shape \(4, 3\) does not fit scores of shape \(2, 3, 4\)"):
        sdpa(Q, K, V, SEEN.T)
    with pytest.raises(ValueError, match="attn_mask or is_causal, not both"):
        sdpa(Q, K, V, SEEN, is_causal=True)
    with pytest.raises(TypeError, match="attn_mask is an array of bool or of floating numbers, got int64"):
        sdpa(Q, K, V, SEEN.astype(int))
    with pytest.raises(ValueError, match="batches do not fit"):
        sdpa(Q, np.concatenate([K, K[:1]]), V)
    with pytest.raises(ValueError, match="multiple of num_heads, got 6 and 4"):
        nn.MultiheadAttention(6, 4)
    layer, x = nn.MultiheadAttention(6, 2), tt.ones((L, N, 6))
    with pytest.raises(ValueError, match=r"last axes \(6, 6, 6\)"):
        layer(x, x, tt.ones((L, N, 5)))
    with pytest.raises(ValueError, match=r"the batch is axis 1 \(batch_first=False\), and query has 2 in it, key 3"):
        layer(x, tt.ones((L, 3, 6)), tt.ones((L, 3, 6)))
    with pytest.raises(ValueError, match=r"attn_mask must have shape \(3, 3\) or \(4, 3, 3\), got \(2, 3, 3\)"):
        layer(x, x, x, attn_mask=np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match=r"key_padding_mask must have shape \(2, 3\), got \(3, 2\)"):
        layer(x, x, x, key_padding_mask=np.zeros((3, 2), bool))
    with pytest.raises(ValueError, match="activation is 'relu', 'gelu' or a function, got 'elu'"):
        nn.TransformerEncoderLayer(6, 2, activation="elu")
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8), 0)


def test_own_and_foreign_keys_take_the_same_way() -> None:
    """Self-attention is packed, other attention is not: the numbers are the same."""
    layer = nn.MultiheadAttention(6, 2, dtype="float64", rng=tt.rng(0))
    for p in layer.parameters():
        p.data[...] = rng.standard_normal(p.shape)
    for shape in ((L, 6), (L, N, 6)):
        x = rng.standard_normal(shape)
        (y, p), (z, q) = layer(x, x, x), layer(x, x.copy(), x.copy())
        np.testing.assert_allclose(y.data, z.data, rtol=1e-12)
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


def test_weights_and_initial_values() -> None:
    layer = nn.MultiheadAttention(6, 2, rng=tt.rng(0))
    assert list(layer.state_dict()) == ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    assert not layer.in_proj_bias.data.any()
    assert not layer.out_proj.bias.data.any()
    assert abs(layer.in_proj_weight.data).max() <= np.sqrt(6 / 24)
    assert list(nn.MultiheadAttention(6, 2, bias=False).state_dict()) == ["in_proj_weight", "out_proj.weight"]
    x = tt.ones((L, N, 6))
    assert layer(x, x, x, need_weights=False)[1] is None
    assert layer(x, x, x, average_attn_weights=False)[1].shape == (N, 2, L, L)
    assert repr(layer).startswith("MultiheadAttention(\n  6, 2\n")


def test_causal_encoder_does_not_see_the_future() -> None:
    tt.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 2).eval()
    x = rng.standard_normal((1, 5, 6))
    changed = x.copy()
    changed[:, 3:] += 1
    before, after = (model(a, is_causal=True).data for a in (x, changed))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any()
    assert (model.train()(x).data != model(x).data).any()


# ------------------------------------------------------------------------------------------------------- with PyTorch


def both(*arrays: Any) -> tuple[list[Any], list[Any]]:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'peers' has it")
    return [tt.tensor(a, requires_grad=True) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]


def same(a: Any, b: Any) -> None:
    if not (a is None and (b is None or not b.any())):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-10, atol=1e-12)


def compare(outs: Any, outs_t: Any, leaves: Any, leaves_t: Any) -> None:
    import torch

    weights = [np.random.default_rng(k).standard_normal(out.shape) for k, out in enumerate(outs)]
    for out, out_t in zip(outs, outs_t, strict=True):
        same(out.data, out_t.detach())
    sum((out * w).sum() for out, w in zip(outs, weights, strict=True)).backward()
    sum((out * torch.tensor(w)).sum() for out, w in zip(outs_t, weights, strict=True)).backward()
    for a, b in zip(leaves, leaves_t, strict=True):
        same(a.grad, b.grad)


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["none", "causal", "bool", "float", "scale", "four axes"])
def test_sdpa_is_pytorchs(kind: str) -> None:
    arrays = [Q, K, V] if kind != "four axes" else [np.stack([a, a + 1]) for a in (Q, K, V)]
    if kind == "float":
        arrays.append(ADDED)
    leaves, leaves_t = both(*arrays)
    import torch

    mask: dict[str, Any] = {"is_causal": True} if kind == "causal" else {"scale": 0.2} if kind == "scale" else {}
    mask_t = dict(mask)
    if kind in ("bool", "four axes"):
        mask, mask_t = {"attn_mask": SEEN}, {"attn_mask": torch.tensor(SEEN)}
    theirs = torch.nn.functional.scaled_dot_product_attention(*leaves_t, **mask_t)
    compare([sdpa(*leaves, **mask)], [theirs], leaves, leaves_t)


def loaded(theirs: Any, ours: Any) -> Any:
    """The same weights, none of them 0."""
    import torch

    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.1 * torch.randn_like(p))
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return ours


@pytest.mark.peers
@pytest.mark.parametrize("masks", ["none", "bool", "float", "each head", "causal"])
@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("case", ["self", "self, batch first", "other", "other, batch first", "kdim", "no bias", "one"])
def test_multihead_attention_is_pytorchs(case: str, average: bool, masks: str) -> None:
    draw, first = np.random.default_rng(2), "batch first" in case
    own, dims = case.startswith(("self", "no", "one")), (6, 5, 7) if case == "kdim" else (6, 6, 6)
    n, m = L, L if own else S
    shapes = [(length, E) if case == "one" else (N, length, E) if first else (length, N, E) for length, E in zip((n, m, m), dims, strict=True)]  # fmt: skip
    leaves, leaves_t = both(*[draw.standard_normal(shape) for shape in shapes[: 1 if own else 3]])
    import torch

    torch.manual_seed(0)
    options = {"kdim": dims[1], "vdim": dims[2]} if case == "kdim" else {"bias": False} if case == "no bias" else {}
    theirs = torch.nn.MultiheadAttention(6, 2, **options, batch_first=first, dtype=torch.float64)
    ours = loaded(theirs, nn.MultiheadAttention(6, 2, **options, batch_first=first, dtype="float64"))
    batch = () if case == "one" else (N,)
    padding = np.zeros((*batch, m), bool)
    padding[..., -1] = True
    heads = 2 * int(np.prod(batch, dtype=int))
    given: dict[str, Any] = {
        "none": {},
        "bool": {"attn_mask": ~SEEN[:, :m], "key_padding_mask": padding},
        "float": {"attn_mask": ADDED[:, :m], "key_padding_mask": np.where(padding, -1.0, 0.0)},
        "each head": {"attn_mask": draw.standard_normal((heads, n, m))},
        "causal": {"attn_mask": np.triu(np.ones((n, m), bool), 1), "is_causal": True},
    }[masks]
    if masks == "bool":
        given["attn_mask"][1] = [True, False, *[True] * (m - 2)]
    given_t = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in given.items()}
    xs, xs_t = (leaves * 3, leaves_t * 3) if own else (leaves, leaves_t)
    outs, outs_t = (
        ours(*xs, average_attn_weights=average, **given),
        theirs(*xs_t, average_attn_weights=average, **given_t),
    )
    compare(outs, outs_t, [*leaves, *ours.parameters()], [*leaves_t, *theirs.parameters()])
    without = ours(*xs, need_weights=False, **given)[0]
    np.testing.assert_array_equal(without.data, outs[0].data)


@pytest.mark.peers
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu", np.tanh], ids=str)
@pytest.mark.parametrize("layers", [1, 2])
def test_encoder_is_pytorchs(norm_first: bool, activation: Any, layers: int) -> None:
    leaves, leaves_t = both(np.random.default_rng(3).standard_normal((N, L, E)))
    import torch

    torch.manual_seed(0)
    options: dict[str, Any] = {"dim_feedforward": 8, "dropout": 0.0, "batch_first": True, "norm_first": norm_first}
    theirs: Any = torch.nn.TransformerEncoderLayer(
        E, 2, activation=torch.tanh if callable(activation) else activation, **options, dtype=torch.float64
    )
    ours: Any = nn.TransformerEncoderLayer(E, 2, activation=activation, **options, dtype="float64")
    if layers > 1:
        theirs = torch.nn.TransformerEncoder(
            theirs, layers, torch.nn.LayerNorm(E, dtype=torch.float64), enable_nested_tensor=False
        )
        ours = nn.TransformerEncoder(ours, layers, nn.LayerNorm(E, dtype="float64"))
    loaded(theirs, ours)
    padding = np.array([[False, False, True], [False, False, False]])
    mask = np.triu(np.ones((L, L), bool), 1)
    y = ours(leaves[0], mask, src_key_padding_mask=padding)
    y_t = theirs(leaves_t[0], torch.tensor(mask), src_key_padding_mask=torch.tensor(padding))
    compare([y], [y_t], [*leaves, *ours.parameters()], [*leaves_t, *theirs.parameters()])


def test_heads_that_share_keys() -> None:
    draw = np.random.default_rng(4)
    q, k, v = draw.standard_normal((2, 4, 3, 5)), draw.standard_normal((2, 2, 6, 5)), draw.standard_normal((2, 2, 6, 7))
    found = sdpa(q, k, v, enable_gqa=True)
    expected = sdpa(q, k.repeat(2, 1), v.repeat(2, 1))
    np.testing.assert_array_equal(found.data, expected.data)
    with pytest.raises(ValueError, match="enable_gqa shares heads"):
        sdpa(q[:, :3], k, v, enable_gqa=True)


def test_a_learned_key_and_one_of_zeros() -> None:
    layer = nn.MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True)
    assert [*layer.state_dict()][2:4] == ["bias_k", "bias_v"]
    x = np.ones((3, 5, 4), np.float32)
    y, weights = layer(x, x, x, attn_mask=np.ones((5, 5), bool))
    assert y.shape == (3, 5, 4) and weights.shape == (3, 5, 7)
    assert not weights.data[..., :5].any()
