"""How recurrent layers, attention and embeddings are written in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.onnx.graph import Graph
from tinytensor.onnx.program import Step, Symbol, Varying
from tinytensor.onnx.table import emits
from tinytensor.ops.attention import _BACK, _TO
from tinytensor.primitive import TensorBase

__all__: list[str] = []


@emits("ops.embedding._embedding")
def _embedding(g: Graph, step: Step) -> Any:
    weight, indices, _ = step.args
    return g("Gather", weight, g.value(indices, np.dtype(np.int64)), axis=0)


# ----------------------------------------------------------------------------------------------------- recurrent layers


def _array(x: Any) -> Any:
    if isinstance(x, (Symbol, Varying)):
        raise NotImplementedError("weights that are computed")
    return x._data if isinstance(x, TensorBase) else np.asarray(x)


def _ordered(x: Any, order: Any) -> Any:
    """The blocks of rows that belong to the gates, in another order."""
    blocks = np.split(_array(x), len(order))
    return np.concatenate([blocks[k] for k in order])


def _weights(g: Graph, step: Step, at: int, order: Any) -> list[Any]:
    """W, R and B as ONNX wants them, with an axis for the direction."""
    dtype = step.out.dtype
    w_ih, w_hh = (_ordered(w, order).astype(dtype) for w in step.args[at : at + 2])
    names = [g.constant(w[None]) for w in (w_ih, w_hh)]
    biases = step.args[at + 2 : at + 4]
    if all(b is None for b in biases):
        return [*names, None]
    both = [np.zeros(len(w_ih), dtype) if b is None else _ordered(b, order).astype(dtype) for b in biases]
    return [*names, g.constant(np.concatenate(both)[None])]


def _lengths(g: Graph, mask: Any) -> Any:
    """How long each sequence is, from the steps that exist."""
    if mask is None:
        return None
    if isinstance(mask, (Symbol, Varying)):
        return g("Squeeze", g.reduce("ReduceSum", g.cast(g.value(mask), np.int32), [0], False), g.ints([1]))
    return g.constant(_array(mask).sum(0)[:, 0].astype(np.int32))


def _first(g: Graph, state: Any, dtype: Any) -> Any:
    """The first state, with an axis for the direction; zeros are left out."""
    if not isinstance(state, Symbol):
        array = state.one if isinstance(state, Varying) and state.step is None else state
        if not isinstance(array, Varying) and not _array(array).any():
            return None
    return g("Unsqueeze", g.value(state, dtype), g.ints([0]))


def _recurrent(g: Graph, step: Step, kind: str, states: int, order: Any, **attributes: Any) -> Any:
    x, dtype = step.args[0], step.out.dtype
    mask, reverse = step.args[5 + states : 7 + states]
    hidden = step.out.shape[-1]
    firsts = [_first(g, state, dtype) for state in step.args[1 : 1 + states]]
    y, *lasts = g(
        kind, g.value(x, dtype), *_weights(g, step, 1 + states, order), _lengths(g, mask), *firsts,
        outputs=1 + states, hidden_size=hidden, direction="reverse" if reverse else "forward", **attributes,
    )  # fmt: skip
    outs = [g("Squeeze", y, g.ints([1])), *[g("Squeeze", last, g.ints([0])) for last in lasts]]
    return outs + [""] * (len(step.outs) - len(outs))


@emits("ops.recurrent._rnn")
def _rnn(g: Graph, step: Step) -> Any:
    return _recurrent(g, step, "RNN", 1, (0,), activations=[str(step.args[8]).capitalize()])


@emits("ops.recurrent._lstm")
def _lstm(g: Graph, step: Step) -> Any:
    return _recurrent(g, step, "LSTM", 2, (0, 3, 1, 2))  # i, f, g, o here; i, o, f, g there


@emits("ops.recurrent._gru")
def _gru(g: Graph, step: Step) -> Any:
    return _recurrent(g, step, "GRU", 1, (1, 0, 2), linear_before_reset=1)  # r, z, n here; z, r, n there


# ------------------------------------------------------------------------------------------------------------ attention


def _sees_something(mask: Any) -> bool:
    """Whether every row of a constant mask leaves a place to look at."""
    if isinstance(mask, Symbol):
        return False
    array = mask.one if isinstance(mask, Varying) else _array(mask)
    return not np.isneginf(array).all(-1).any()


def _attended(g: Graph, q: Any, k: Any, v: Any, mask: Any, kept: Any, scale: float, dtype: Any) -> tuple[Any, Any]:
    """Names of (..., L, E) and (..., S, E), the second transposed already, to results and weights."""
    if kept is not None:
        raise NotImplementedError("dropout, which is for training")
    scores = g("MatMul", g("Mul", q, g.number(scale, dtype)), k)
    if mask is not None:
        scores = g("Add", scores, g.value(mask, dtype))
    p = g("Softmax", scores, axis=-1)
    if mask is not None and not _sees_something(mask):  # who may look at nothing gets 0, not 0/0
        p = g("Where", g("IsNaN", p), g.number(0, dtype), p)
    return g("MatMul", p, v), p


@emits("ops.attention.attention")
def _attention(g: Graph, step: Step) -> Any:
    q, k, v, mask, kept, scale = step.args
    dtype, n = step.out.dtype, k.ndim
    turned = g("Transpose", g.value(k, dtype), perm=[*range(n - 2), n - 1, n - 2])
    return list(_attended(g, g.value(q, dtype), turned, g.value(v, dtype), mask, kept, scale, dtype))


@emits("ops.attention.packed_attention")
def _packed_attention(g: Graph, step: Step) -> Any:
    x, mask, kept, heads, scale, batch_first = step.args
    dtype, lead, width = step.out.dtype, x.shape[:-1], x.shape[-1] // 3
    apart = g.reshape(g.value(x, dtype), (*lead, 3, heads, width // heads))
    apart = g("Transpose", apart, perm=_TO[x.ndim, batch_first])
    q, k, v = (g("Gather", apart, g.number(i, np.int64), axis=0) for i in range(3))
    n = x.ndim + 1
    turned = g("Transpose", k, perm=[*range(n - 2), n - 1, n - 2])
    y, p = _attended(g, q, turned, v, mask, kept, scale, dtype)
    return [g.reshape(g("Transpose", y, perm=_BACK[x.ndim, batch_first]), (*lead, width)), p]
