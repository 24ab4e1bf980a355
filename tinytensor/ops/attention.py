"""Attention in one node: weights p = softmax(q kᵀ · scale + mask), results p v; of three arrays, or of one that holds all heads.

The weights are the second output: what the rule keeps, and what ``need_weights`` shows. A row whose places are all masked
has weights 0. ``kept`` is what dropout multiplies the weights by: 0, or 1/(1 − p).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tinytensor.arrays import empty
from tinytensor.primitive import primitive

__all__ = ["attention", "causal_mask", "packed_attention", "split"]

#: Places that may not be looked at: added to the scores.
_NEVER = -np.inf


@lru_cache(64)
def causal_mask(n: int, m: int, dtype: Any) -> Any:
    """0 where the i-th of n may look at the j-th of m, j ≤ i, and −inf elsewhere: to be added to the scores.

    >>> import numpy as np
    >>> from tinytensor.ops.attention import causal_mask
    >>> causal_mask(2, 2, np.dtype(float))
    array([[  0., -inf],
           [  0.,   0.]])
    """
    mask = np.where(np.tri(n, m, dtype=bool), 0, _NEVER).astype(dtype)
    mask.flags.writeable = False  # it is shared
    return mask


def _weights(q: Any, k: Any, mask: Any, scale: float) -> Any:
    """softmax(q kᵀ · scale + mask)."""
    p = np.matmul(q * scale, k.swapaxes(-1, -2))
    if mask is not None:
        p = p + mask
    p -= np.maximum.reduce(p, -1, keepdims=True, initial=np.finfo(p.dtype).min)  # finite, if all places are masked
    np.exp(p, out=p)
    total = np.add.reduce(p, -1, keepdims=True)
    p /= total if mask is None else np.maximum(total, 0.5, out=total)  # at least 1, or 0 where all places are masked
    return p


def _of_heads(
    g: Any, gp: Any, q: Any, k: Any, v: Any, p: Any, kept: Any, scale: float, into: Any = (None, None, None)
) -> tuple[Any, Any, Any, Any]:
    """∂L/∂v = pᵀ g and ∂L/∂scores = p (ĝ − Σ ĝ p) with ĝ = g vᵀ, of which q, k and the mask take their parts."""
    gv = d = None
    if g is not None:
        used = p if kept is None else p * kept
        gv = np.matmul(used.swapaxes(-1, -2), g, out=into[2])
        d = np.matmul(g, v.swapaxes(-1, -2))
        d = d if kept is None else d * kept
    if gp is not None:
        d = gp if d is None else d + gp
    d = p * d
    d = d - p * np.add.reduce(d, axis=-1, keepdims=True)
    scaled = d * scale
    gq, gk = np.matmul(scaled, k, out=into[0]), np.matmul(scaled.swapaxes(-1, -2), q, out=into[1])
    return gq, gk, np.zeros_like(v) if gv is None else gv, d


def _rule(g: Any, q: Any, k: Any, v: Any, out: Any, kept: Any, scale: float) -> Any:
    gy, gp = g
    return _of_heads(gy, gp, q, k, v, out[1], kept, scale)


@primitive(inputs=("q", "k", "v", "mask"), outputs=True, broadcasts=True, joint=_rule)
def attention(q: Any, k: Any, v: Any, mask: Any, kept: Any, scale: float) -> Any:
    """q (..., L, E), k (..., S, E), v (..., S, F) to results (..., L, F) and weights (..., L, S).

    See :func:`tinytensor.nn.functional.scaled_dot_product_attention`.
    """
    p = _weights(q, k, mask, scale)
    return np.matmul(p if kept is None else p * kept, v), p


# ------------------------------------------------------------------------------------------------------ packed heads

#: By the number of axes of x and whether the batch is first: (..., 3, H, D) to (3, ..., H, L, D) and from it; (..., H, D) to
#: (..., H, L, D) and from it.
_TO = {(2, True): (1, 2, 0, 3), (3, True): (2, 0, 3, 1, 4), (3, False): (2, 1, 3, 0, 4)}
_FROM = {(2, True): (2, 0, 1, 3), (3, True): (1, 3, 0, 2, 4), (3, False): (3, 1, 0, 2, 4)}
_APART = {(2, True): (1, 0, 2), (3, True): (0, 2, 1, 3), (3, False): (1, 2, 0, 3)}
_BACK = {(2, True): (1, 0, 2), (3, True): (0, 2, 1, 3), (3, False): (2, 0, 1, 3)}


def split(x: Any, heads: int, batch_first: bool) -> Any:
    """q, k and v of all heads, (3, ..., H, L, D): a view of x (..., L, 3E), or (L, ..., 3E)."""
    return x.reshape(*x.shape[:-1], 3, heads, x.shape[-1] // (3 * heads)).transpose(_TO[x.ndim, batch_first])


def _joined(y: Any, batch_first: bool) -> Any:
    y = y.transpose(_BACK[y.ndim - 1, batch_first])
    return y.reshape(*y.shape[:-2], y.shape[-2] * y.shape[-1])


def _packed_rule(g: Any, x: Any, out: Any, kept: Any, heads: int, scale: float, batch_first: bool) -> Any:
    gy, gp = g
    q, k, v = split(x, heads, batch_first)
    if gy is not None:
        gy = gy.reshape(*x.shape[:-1], heads, v.shape[-1]).transpose(_APART[x.ndim, batch_first])
    if gy.__class__ is np.ndarray and x.__class__ is np.ndarray and (gp is None or gp.__class__ is np.ndarray):
        gx = empty(x.shape, x.dtype, x)
        return gx, _of_heads(gy, gp, q, k, v, out[1], kept, scale, split(gx, heads, batch_first))[3]
    *gqkv, gmask = _of_heads(gy, gp, q, k, v, out[1], kept, scale)
    return np.stack(gqkv).transpose(_FROM[x.ndim, batch_first]).reshape(x.shape), gmask


@primitive(inputs=("x", "mask"), outputs=True, broadcasts=True, joint=_packed_rule)
def packed_attention(x: Any, mask: Any, kept: Any, heads: int, scale: float, batch_first: bool) -> Any:
    """Self-attention of all heads: x (N, L, 3E), (L, N, 3E) or (L, 3E), in which q, k and v stand one after the other.

    Returns results of the same layout, (..., E), and weights (..., heads, L, L). See :class:`tinytensor.nn.MultiheadAttention`.
    """
    q, k, v = split(x, heads, batch_first)
    p = _weights(q, k, mask, scale)
    return _joined(np.matmul(p if kept is None else p * kept, v), batch_first), p
