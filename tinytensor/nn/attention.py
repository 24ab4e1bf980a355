"""Attention and the transformer's encoder, with PyTorch's arguments, masks and names of weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import creation, nn
from tinytensor.arrays import asarray
from tinytensor.inplace import updating
from tinytensor.nn import functional
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter, as_input, floating
from tinytensor.ops.attention import attention, causal_mask, packed_attention
from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import DType, Operand

__all__ = ["MultiheadAttention", "TransformerEncoder", "TransformerEncoderLayer", "scaled_dot_product_attention"]


def _kept(shape: tuple[int, ...], p: float, dtype: Any, rng: Any) -> Any:
    """What dropout multiplies by: 0 with probability p, else 1/(1 − p)."""
    if not p:
        return None
    if not 0 <= p < 1:
        raise ValueError(f"attention: dropout is a probability below 1, got {p!r}")
    return ((rng or creation.default_rng()).numpy.random(shape) >= p).astype(dtype) / dtype.type(1 - p)


def _added(mask: Any, dtype: Any, op: str, visible: bool, name: str = "attn_mask") -> Any:
    """A mask as numbers that are added to the scores; ``visible`` is what True means in it."""
    if mask is None:
        return None
    array: Any = mask if isinstance(mask, TensorBase) else asarray(mask)
    if array.dtype.kind == "b":
        return np.where(array == visible, dtype.type(0), dtype.type(-np.inf))
    if array.dtype.kind != "f":
        raise TypeError(f"{op}: {name} is an array of bool or of floating numbers, got {array.dtype}")
    return as_input(mask, dtype, op)


def _fits(mask: Any, scores: tuple[int, ...], op: str, name: str = "attn_mask") -> None:
    dims = mask.shape
    if len(dims) > len(scores) or any(a not in (1, b) for a, b in zip(dims[::-1], scores[::-1], strict=False)):
        raise ValueError(f"{op}: {name} of shape {dims} does not fit scores of shape {scores}")


def _repeated(x: Any, query: Any, op: str) -> Any:
    """Keys or values with each head as often as the query needs it."""
    if min(x.ndim, query.ndim) < 3 or not x.shape[-3] or query.shape[-3] % x.shape[-3]:
        raise ValueError(f"{op}: enable_gqa shares heads, axis -3, among the query's, got {query.shape} and {x.shape}")
    times = query.shape[-3] // x.shape[-3]
    return x if times == 1 else np.repeat(x, times, -3)


def scaled_dot_product_attention(
    query: Operand, key: Operand, value: Operand, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False, rng: creation.Generator | None = None,
) -> Tensor:  # fmt: skip
    """softmax(q kᵀ · scale + mask) v, scale 1/√E by default.   (``torch.nn.functional.scaled_dot_product_attention``)

    query (..., L, E), key (..., S, E), value (..., S, F) to (..., L, F). ``attn_mask`` (..., L, S): numbers that are added,
    or bool, True where one may look; ``is_causal``: the i-th may look at the j-th for j ≤ i. Who may look at nothing gets
    0. ``dropout_p`` drops weights whenever it is not 0. ``enable_gqa``: key and value may have fewer heads, axis −3, each of
    them for as many heads of the query that follow each other. Vaswani et al., Attention Is All You Need, 2017.

    >>> import tinytensor as tt
    >>> v = tt.tensor([[1.0], [3.0]])
    >>> tt.nn.functional.scaled_dot_product_attention(tt.zeros((2, 4)), tt.zeros((2, 4)), v, is_causal=True)
    tensor([[1.],
            [2.]])
    """
    op = "scaled_dot_product_attention"
    given = [x if isinstance(x, TensorBase) else asarray(x) for x in (query, key, value)]
    dtype = np.result_type(*[x.dtype for x in given])
    q, k, v = (as_input(x, dtype if dtype.kind == "f" else np.dtype(float), op) for x in given)
    if enable_gqa:
        k, v = (_repeated(x, q, op) for x in (k, v))
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"{op}: expected query (..., L, E), key (..., S, E), value (..., S, F), got {q.shape}, {k.shape}, {v.shape}"
        )
    if is_causal and attn_mask is not None:
        raise ValueError(f"{op}: is_causal makes its own mask; give attn_mask or is_causal, not both")
    try:
        lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    except ValueError:
        raise ValueError(f"{op}: batches do not fit: query {q.shape}, key {k.shape}, value {v.shape}") from None
    scores = (*lead, q.shape[-2], k.shape[-2])
    mask = causal_mask(*scores[-2:], q.dtype) if is_causal else _added(attn_mask, q.dtype, op, True)
    if mask is not None:
        _fits(mask, scores, op)
    scale = 1 / math.sqrt(q.shape[-1] or 1) if scale is None else float(scale)
    return attention(q, k, v, mask, _kept(scores, dropout_p, q.dtype, rng), scale)[0]  # type: ignore[no-any-return]


class MultiheadAttention(Module):
    """Attention of ``num_heads`` heads of embed_dim/num_heads numbers each.   (``torch.nn.MultiheadAttention``)

    Parameters in_proj_weight (3E, E), Xavier-uniform (or q_proj_weight, k_proj_weight, v_proj_weight where ``kdim`` or
    ``vdim`` differ from E), in_proj_bias (3E,), zeros, and out_proj, a :class:`Linear` with bias 0. ``add_bias_kv``: one
    more key and value, which are learned: bias_k, bias_v (1, 1, E). ``add_zero_attn``: one more key and value of zeros.

    >>> import tinytensor as tt
    >>> layer = tt.nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = tt.ones((5, 3, 8))
    >>> y, weights = layer(x, x, x)
    >>> y.shape, weights.shape
    ((5, 3, 8), (5, 3, 3))
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        dtype: DType = None, rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim must be a multiple of num_heads, got {embed_dim} and {num_heads}"
            )
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.head_dim, self.rng = embed_dim // num_heads, rng
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self.add_zero_attn = add_zero_attn
        kind = floating(dtype)
        self._same = self.kdim == self.vdim == embed_dim
        shapes = {"in_proj": (3 * embed_dim, embed_dim)} if self._same else {
            "q_proj": (embed_dim, embed_dim), "k_proj": (embed_dim, self.kdim), "v_proj": (embed_dim, self.vdim)
        }  # fmt: skip
        for name, shape in shapes.items():
            setattr(self, name + "_weight", Parameter(np.empty(shape, kind)))
        self.in_proj_bias = Parameter(np.empty(3 * embed_dim, kind)) if bias else None
        self.bias_k, self.bias_v = (
            Parameter(np.empty((1, 1, embed_dim), kind)) if add_bias_kv else None for _ in range(2)
        )
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias, kind, rng)
        self._draw(rng)

    def reset_parameters(self, rng: creation.Generator | None = None) -> None:
        """Draw all weights anew; biases are zeros."""
        self.out_proj.reset_parameters(rng)
        self._draw(rng)

    def _draw(self, rng: creation.Generator | None) -> None:
        draw = (rng or creation.default_rng()).numpy
        for name, parameter in self.named_parameters(recurse=False):
            if name.endswith("_weight"):
                bound = math.sqrt(6 / sum(parameter.shape))
                updating(parameter)[...] = draw.uniform(-bound, bound, parameter.shape)
            elif name != "in_proj_bias":  # Xavier-normal
                updating(parameter)[...] = draw.normal(0, 1 / math.sqrt(self.embed_dim), parameter.shape)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                updating(bias)[...] = 0

    def forward(
        self, query: Operand, key: Operand, value: Operand, key_padding_mask: Any = None, need_weights: bool = True,
        attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """query (L, N, E), key (S, N, kdim), value (S, N, vdim), or (N, L, E) … if ``batch_first``, or without N, to the
        results, as query, and the weights (N, L, S), or None.

        Masks: numbers that are added to the scores, or bool, True where one may *not* look. ``key_padding_mask`` (N, S) or
        (S,); ``attn_mask`` (L, S) or (N·heads, L, S); ``is_causal`` needs no mask. Weights are means over the heads, or
        (N, heads, L, S) without ``average_attn_weights``.
        """
        op, dtype = "MultiheadAttention", self.out_proj.weight._data.dtype
        more = self.add_zero_attn + (self.bias_k is not None)
        own = query is key and key is value and self._same and not more
        q = as_input(query, dtype, op)
        k, v = (q, q) if own else (as_input(key, dtype, op), as_input(value, dtype, op))
        batch, n, m = self._shapes(q, k, v)
        mask = self._mask(attn_mask, key_padding_mask, is_causal, (*batch, self.num_heads, n, m), dtype)
        if more and mask is not None:  # which everybody may look at
            mask = functional.pad(mask, (0, more))
        kept = None
        if self.dropout and self.training:
            kept = _kept((*batch, self.num_heads, n, m + more), self.dropout, dtype, self.rng)
        scale, batch_first = 1 / math.sqrt(self.head_dim), self.batch_first or not batch
        if own:
            packed = functional.linear(q, self.in_proj_weight, self.in_proj_bias)  # type: ignore[attr-defined]
            y, p = packed_attention(packed, mask, kept, self.num_heads, scale, batch_first)
        else:
            q, k, v = (self._apart(x, batch_first) for x in self._with_biases(self._projections(q, k, v)))
            y, p = attention(q, k, v, mask, kept, scale)
            y = y.transpose((1, 0, 2) if not batch else (0, 2, 1, 3) if batch_first else (2, 0, 1, 3))
            y = y.reshape(*y.shape[:-2], self.embed_dim)
        y = self.out_proj(y)
        if not need_weights:
            return y, None
        p = p if kept is None else p * kept
        return y, p.mean(axis=-3) if average_attn_weights else p

    def _shapes(self, q: Any, k: Any, v: Any) -> tuple[tuple[int, ...], int, int]:
        """(N,) or (), L and S."""
        dims = (self.embed_dim, self.kdim, self.vdim)
        good = q.ndim == k.ndim == v.ndim and q.ndim in (2, 3)
        if not good or (q.shape[-1], k.shape[-1], v.shape[-1]) != dims or k.shape[:-1] != v.shape[:-1]:
            raise ValueError(
                f"MultiheadAttention: expected query, key and value with or without a batch axis and with last axes {dims}, "
                f"as many keys as values, got {q.shape}, {k.shape}, {v.shape}"
            )
        if q.ndim == 2:
            return (), q.shape[0], k.shape[0]
        at = 0 if self.batch_first else 1
        if q.shape[at] != k.shape[at]:
            raise ValueError(
                f"MultiheadAttention: the batch is axis {at} (batch_first={self.batch_first}), and query has {q.shape[at]} "
                f"in it, key {k.shape[at]}"
            )
        return (q.shape[at],), q.shape[1 - at], k.shape[1 - at]

    def _projections(self, q: Any, k: Any, v: Any) -> list[Any]:
        e, bias = self.embed_dim, self.in_proj_bias
        weights: list[Any]
        if self._same:
            w = self.in_proj_weight  # type: ignore[attr-defined]
            weights = [w[:e], w[e : 2 * e], w[2 * e :]]
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]  # type: ignore[attr-defined]
        biases = [None] * 3 if bias is None else [bias[:e], bias[e : 2 * e], bias[2 * e :]]
        return [functional.linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases, strict=True)]

    def _with_biases(self, projected: list[Any]) -> list[Any]:
        """The learned key and value and the zeros put behind the others."""
        q, *others = projected
        axis = 1 if self.batch_first and q.ndim == 3 else 0
        for n, bias in enumerate((self.bias_k, self.bias_v)):
            x = others[n]
            shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
            rows = [np.broadcast_to(bias.reshape(-1), shape)] if bias is not None else []
            rows += [np.zeros(shape, x.dtype)] if self.add_zero_attn else []
            others[n] = np.concatenate([x, *rows], axis) if rows else x
        return [q, *others]

    def _apart(self, x: Any, batch_first: bool) -> Any:
        """(..., E) to (..., heads, L, head_dim)."""
        x = x.reshape(*x.shape[:-1], self.num_heads, self.head_dim)
        return x.transpose((1, 0, 2) if x.ndim == 3 else (0, 2, 1, 3) if batch_first else (1, 2, 0, 3))

    def _mask(self, attn: Any, padding: Any, causal: bool, scores: tuple[int, ...], dtype: Any) -> Any:
        """All masks as one, to be added to the scores (..., heads, L, S)."""
        op, (heads, n, m), batch = "MultiheadAttention", scores[-3:], scores[:-3]
        mask = causal_mask(n, m, dtype) if causal and attn is None else _added(attn, dtype, op, False)
        if mask is not None:
            allowed = ((n, m), (math.prod(batch) * heads, n, m))
            if mask.shape not in allowed:
                raise ValueError(f"{op}: attn_mask must have shape {allowed[0]} or {allowed[1]}, got {mask.shape}")
            mask = mask.reshape(scores) if mask.ndim == 3 else mask
        if padding is not None:
            added = _added(padding, dtype, op, False, "key_padding_mask")
            if added.shape != (*batch, m):
                raise ValueError(f"{op}: key_padding_mask must have shape {(*batch, m)}, got {added.shape}")
            added = added.reshape(*batch, 1, 1, m)
            mask = added if mask is None else mask + added
        return mask

    def extra_repr(self) -> str:
        """embed_dim, num_heads."""
        return f"{self.embed_dim}, {self.num_heads}"


# ------------------------------------------------------------------------------------------------------- the encoder


class TransformerEncoderLayer(Module):
    """x + attention of x, then x + W₂ act(W₁ x), each normalised: after the sum, or before with ``norm_first``.

    Follows ``torch.nn.TransformerEncoderLayer``: parts self_attn, linear1, linear2, norm1, norm2, dropout after each.
    ``activation``: "relu", "gelu" or a function.

    >>> import tinytensor as tt
    >>> layer = tt.nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    >>> layer(tt.ones((5, 3, 8))).shape
    (5, 3, 8)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, dtype: DType = None, rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if isinstance(activation, str) and activation not in ("relu", "gelu"):
            raise ValueError(f"TransformerEncoderLayer: activation is 'relu', 'gelu' or a function, got {activation!r}")
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype, rng=rng
        )
        self.linear1 = nn.Linear(d_model, dim_feedforward, bias, dtype, rng)
        self.linear2 = nn.Linear(dim_feedforward, d_model, bias, dtype, rng)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout, self.dropout1, self.dropout2 = (nn.Dropout(dropout) for _ in range(3))
        self.activation, self.norm_first = activation, norm_first

    def _attend(self, x: Any, mask: Any, padding: Any, causal: bool) -> Any:
        return self.dropout1(self.self_attn(x, x, x, padding, False, mask, is_causal=causal)[0])

    def _feed(self, x: Any) -> Any:
        act = self.activation if callable(self.activation) else getattr(functional, self.activation)
        return self.dropout2(self.linear2(self.dropout(act(self.linear1(x)))))

    def forward(
        self, src: Operand, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Tensor:
        """x (L, N, E), (N, L, E) if ``batch_first``, or (L, E), to the same shape; masks as in :class:`MultiheadAttention`."""
        x: Any = as_input(src, self.linear1.weight._data.dtype, "TransformerEncoderLayer")
        if self.norm_first:
            x = x + self._attend(self.norm1(x), src_mask, src_key_padding_mask, is_causal)
            return x + self._feed(self.norm2(x))  # type: ignore[no-any-return]
        x = self.norm1(x + self._attend(x, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(x + self._feed(x))  # type: ignore[no-any-return]


class TransformerEncoder(Module):
    """``num_layers`` copies of a layer, one after the other, and perhaps a norm.   (``torch.nn.TransformerEncoder``)

    >>> import tinytensor as tt
    >>> encoder = tt.nn.TransformerEncoder(tt.nn.TransformerEncoderLayer(8, 2, 16), num_layers=2)
    >>> encoder(tt.ones((3, 5, 8)), is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(self, encoder_layer: TransformerEncoderLayer, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"TransformerEncoder: num_layers must be at least 1, got {num_layers}")
        self.layers = [deepcopy(encoder_layer) for _ in range(num_layers)]
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self, src: Operand, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Tensor:
        """x (L, N, E), (N, L, E) if the layer is ``batch_first``, or (L, E), to the same shape."""
        x: Any = src
        for layer in self.layers:
            x = layer(x, mask, src_key_padding_mask, is_causal)
        return x if self.norm is None else self.norm(x)  # type: ignore[no-any-return]
