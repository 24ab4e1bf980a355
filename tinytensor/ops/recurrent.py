"""Recurrent layers over a whole sequence: one node for each layer and direction, with backpropagation through time by hand.

x is (T, N, in), states are (N, H), weights PyTorch's: w_ih (gates·H, in), w_hh (gates·H, H), biases (gates·H,). All
inputs are projected by one product of matrices before the first step, and all weights' gradients are one product after the
last. What a step of the backward pass multiplies by is made for all steps at once, before it begins.

``mask`` (T, N, 1) says which steps exist: elsewhere the output is 0 and the state stays as it was, so that the last state
is that of each sequence's own end. ``reverse`` reads the sequence from its end.

Higher derivatives take the rule of the same sequence written step by step in ordinary primitives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.graph import enable_grad, history, leaf, walk
from tinytensor.ops.pieces import relu
from tinytensor.ops.transcendental import sigmoid
from tinytensor.primitive import TensorBase, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

__all__ = ["gru", "lstm", "rnn"]

# ---------------------------------------------------------------------------------------- step by step, in primitives


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    out = np.matmul(x, weight.T)
    return out if bias is None else out + bias


def _rnn_step(x: Any, states: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, activation: str) -> tuple[Any, ...]:
    pre = _affine(x, w_ih, b_ih) + _affine(states[0], w_hh, b_hh)
    return (np.tanh(pre) if activation == "tanh" else relu(pre),)


def _lstm_step(x: Any, states: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[Any, ...]:
    h, c = states
    n = h.shape[1]
    pre = _affine(x, w_ih, b_ih) + _affine(h, w_hh, b_hh)
    c = sigmoid(pre[:, n : 2 * n]) * c + sigmoid(pre[:, :n]) * np.tanh(pre[:, 2 * n : 3 * n])
    return sigmoid(pre[:, 3 * n :]) * np.tanh(c), c


def _gru_step(x: Any, states: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[Any, ...]:
    (h,) = states
    n = h.shape[1]
    of_x, of_h = _affine(x, w_ih, b_ih), _affine(h, w_hh, b_hh)
    r, z = (sigmoid(of_x[:, k : k + n] + of_h[:, k : k + n]) for k in (0, n))
    new = np.tanh(of_x[:, 2 * n :] + r * of_h[:, 2 * n :])
    return (new + z * (h - new),)


def _unrolled(step: Any, x: Any, states: Any, weights: Any, mask: Any, reverse: bool, *options: Any) -> tuple[Any, ...]:
    """The outputs of all steps and the last states, of tensors or of object arrays of ``Value``."""
    steps = len(x)
    ys: list[Any] = [None] * steps
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
        new = step(x[t], states, *weights, *options)
        if mask is not None:
            new = tuple([np.where(mask[t], a, b) for a, b in zip(new, states, strict=True)])
        states = new
        ys[t] = new[0] if mask is None else new[0] * mask[t]
    return (np.stack(ys), *states)


def _recorded(
    step: Any, g: Any, inputs: Sequence[Any], n_states: int, mask: Any, reverse: bool, needs: Any, *options: Any
) -> list[Any]:
    """The gradients with their own graph: those of the unrolled sequence."""
    given = [
        x if not needed else np.multiply(x, 1.0) if isinstance(x, TensorBase) else wrap(x, leaf(x))
        for x, needed in zip(inputs, needs, strict=True)
    ]  # a node of its own for each, even where one tensor is given twice
    nodes = [x._node if needed else None for x, needed in zip(given, needs, strict=True)]
    x, states, weights = given[0], tuple(given[1 : 1 + n_states]), given[1 + n_states :]
    with enable_grad():
        outs = _unrolled(step, x, states, weights, mask, reverse, *options)
        used = [(out, c) for out, c in zip(outs, g, strict=False) if c is not None]
        root: Any = np.concatenate([out.reshape(-1) for out, _ in used])
        cotangent = np.concatenate([c.reshape(-1) for _, c in used])
    order = history(root._node, stop={node for node in nodes if node is not None})
    arrived = walk(order, cotangent, create_graph=True, retain_graph=True)
    return [
        None if node is None else arrived[node] if node in arrived else wrap(np.zeros(node.shape, node.dtype), None)
        for node in nodes
    ]


def _all_arrays(g: Any, *inputs: Any) -> bool:
    return all(c is None or type(c) is np.ndarray for c in g) and all(x is None or type(x) is np.ndarray for x in inputs)


# ------------------------------------------------------------------------------------- what the three have in common


def _projected(x: Any, w_ih: Any, *biases: Any) -> Any:
    """x w_ihᵀ and the biases, of all steps."""
    out = np.matmul(np.ascontiguousarray(x).reshape(-1, x.shape[2]), w_ih.T)
    for bias in biases:
        if bias is not None:
            out += bias
    return out.reshape(*x.shape[:2], len(w_ih))


def _history(state: Any, steps: int, dtype: Any) -> Any:
    """Room for the states before and after each step, the first one filled in."""
    states = np.empty((steps + 1, *state.shape), dtype)
    states[0] = state
    return states


def _visible(hs: Any, mask: Any, reverse: bool) -> Any:
    """The outputs, in the order of time: states after each step, 0 where there was none."""
    y = hs[1:] if mask is None else hs[1:] * mask
    return y[::-1] if reverse else y


def _cotangent(gy: Any, mask: Any, reverse: bool) -> Any:
    """That of the states after each step, in the order of computation."""
    if gy is None:
        return None
    gy = gy if mask is None else gy * mask
    return gy[::-1] if reverse else gy


def _start(g: Any, like: Any) -> Any:
    return np.zeros_like(like) if g is None else np.array(g)


def _gradients(of_x: Any, of_h: Any, x: Any, w_ih: Any, hs: Any, reverse: bool, states: Any, needs: Any) -> list[Any]:
    """From those of what the gates are computed from, (T, N, gates·H): one product of matrices for each input."""
    rows = of_x.shape[0] * of_x.shape[1]
    flat_x, flat_h = of_x.reshape(rows, -1), of_h.reshape(rows, -1)
    n = len(states)
    gx = gw = gr = gb = gc = None
    if needs[0]:
        gx = np.matmul(flat_x, w_ih).reshape(x.shape)
        gx = np.ascontiguousarray(gx[::-1]) if reverse else gx
    if needs[1 + n]:
        gw = np.matmul(flat_x.T, np.ascontiguousarray(x[::-1] if reverse else x).reshape(rows, -1))
    if needs[2 + n]:
        gr = np.matmul(flat_h.T, hs[:-1].reshape(rows, -1))
    if needs[3 + n]:
        gb = np.add.reduce(flat_x, 0)
    if needs[4 + n]:
        gc = np.add.reduce(flat_h, 0)
    return [gx, *states, gw, gr, gb, gc]


# ---------------------------------------------------------------------------------------------------------------- RNN


def _rnn_rule(g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, out: Any, mask: Any, reverse: bool,
              activation: str, needs: Any) -> list[Any]:  # fmt: skip
    """∂/∂a = ∂/∂h′ · act′(a), and ∂/∂h = ∂/∂a · w_hh goes on to the step before."""
    inputs = (x, h, w_ih, w_hh, b_ih, b_hh)
    if not _all_arrays(g, *inputs):
        return _recorded(_rnn_step, g, inputs, 1, mask, reverse, needs, activation)
    (gy, gh, _), hs = g, out[2]
    gy, mask = _cotangent(gy, mask, reverse), mask if mask is None or not reverse else mask[::-1]
    pre: Any = 1 - np.square(hs[1:]) if activation == "tanh" else (hs[1:] > 0).astype(hs.dtype)
    stay = None
    if mask is not None:
        pre *= mask
        stay = ~mask
    dh = _start(gh, hs[0])
    for t in range(len(pre) - 1, -1, -1):
        if gy is not None:
            dh += gy[t]
        pre[t] *= dh
        before = np.matmul(pre[t], w_hh)
        dh = before if stay is None else before + dh * stay[t]
    return _gradients(pre, pre, x, w_ih, hs, reverse, (dh,), needs)


@primitive(inputs=("x", "h", "w_ih", "w_hh", "b_ih", "b_hh"), outputs=True, joint=_rnn_rule)
def _rnn(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, mask: Any, reverse: bool, activation: str) -> Any:
    if x.dtype == object:
        return *_unrolled(_rnn_step, x, (h,), (w_ih, w_hh, b_ih, b_hh), mask, reverse, activation), None
    pre = _projected(x[::-1] if reverse else x, w_ih, b_ih, b_hh)
    hs, w = _history(h, len(x), pre.dtype), w_hh.T
    exists = mask if mask is None or not reverse else mask[::-1]
    for t, a in enumerate(pre):
        a += np.matmul(hs[t], w)
        if activation == "tanh":
            np.tanh(a, out=hs[t + 1])
        else:
            np.maximum(a, 0, out=hs[t + 1])
        if exists is not None:
            np.copyto(hs[t + 1], hs[t], where=~exists[t])
    return _visible(hs, exists, reverse), hs[-1].copy(), hs


def rnn(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, mask: Any = None, reverse: bool = False,
        activation: str = "tanh") -> tuple[Tensor, Tensor]:  # fmt: skip
    """h′ = act(w_ih x + b_ih + w_hh h + b_hh) for each step, act tanh or relu: all outputs (T, N, H), the last state (N, H).

    See :class:`tinytensor.nn.RNN`.
    """
    y, last, _ = _rnn(x, h, w_ih, w_hh, b_ih, b_hh, mask, reverse, activation)
    return y, last


# --------------------------------------------------------------------------------------------------------------- LSTM


def _lstm_rule(g: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, out: Any, mask: Any,
               reverse: bool, needs: Any) -> list[Any]:  # fmt: skip
    """∂/∂c′ += ∂/∂h′ · o (1 − tanh² c′), of which each gate takes its part; ∂/∂c = ∂/∂c′ · f."""
    inputs = (x, h, c, w_ih, w_hh, b_ih, b_hh)
    if not _all_arrays(g, *inputs):
        return _recorded(_lstm_step, g, inputs, 2, mask, reverse, needs)
    (gy, gh, gc, *_), (_, _, _, hs, cs, gates, tanh_c) = g, out
    gy, mask = _cotangent(gy, mask, reverse), mask if mask is None or not reverse else mask[::-1]
    i, f, new, o = (gates[:, :, k] for k in range(4))
    pre = gates * (1 - gates)  # becomes the gradient of what the gates are computed from
    pre[:, :, 0] *= new
    pre[:, :, 1] *= cs[:-1]
    np.multiply(1 - np.square(new), i, out=pre[:, :, 2])
    pre[:, :, 3] *= tanh_c
    to_c = o * (1 - np.square(tanh_c))
    stay = None
    if mask is not None:
        pre *= mask[..., None]
        to_c *= mask
        f, stay = np.where(mask, f, 1), ~mask
    dh, dc = _start(gh, hs[0]), _start(gc, cs[0])
    for t in range(len(pre) - 1, -1, -1):
        if gy is not None:
            dh += gy[t]
        dc += dh * to_c[t]
        pre[t, :, :3] *= dc[:, None]
        pre[t, :, 3] *= dh
        dc *= f[t]
        before = np.matmul(pre[t].reshape(len(dh), -1), w_hh)
        dh = before if stay is None else before + dh * stay[t]
    return _gradients(pre, pre, x, w_ih, hs, reverse, (dh, dc), needs)


@primitive(inputs=("x", "h", "c", "w_ih", "w_hh", "b_ih", "b_hh"), outputs=True, joint=_lstm_rule)
def _lstm(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, mask: Any, reverse: bool) -> Any:
    """σ(a) = ½ tanh(a/2) + ½, so that one call of tanh makes all four gates."""
    if x.dtype == object:
        return *_unrolled(_lstm_step, x, (h, c), (w_ih, w_hh, b_ih, b_hh), mask, reverse), None, None, None, None
    pre = _projected(x[::-1] if reverse else x, w_ih, b_ih, b_hh)
    (steps, batch), n = pre.shape[:2], w_hh.shape[1]
    scale = np.full(4 * n, 0.5, pre.dtype)
    scale[2 * n : 3 * n] = 1
    shift, w = 1 - scale, (w_hh * scale[:, None]).T
    pre *= scale
    hs, cs = _history(h, steps, pre.dtype), _history(c, steps, pre.dtype)
    gates, tanh_c = pre.reshape(steps, batch, 4, n), np.empty((steps, batch, n), pre.dtype)
    exists = mask if mask is None or not reverse else mask[::-1]
    for t, a in enumerate(pre):
        a += np.matmul(hs[t], w)
        np.tanh(a, out=a)
        a *= scale
        a += shift
        i, f, new, o = (gates[t, :, k] for k in range(4))
        after = np.multiply(f, cs[t], out=cs[t + 1])
        after += i * new
        np.multiply(o, np.tanh(after, out=tanh_c[t]), out=hs[t + 1])
        if exists is not None:
            np.copyto(hs[t + 1], hs[t], where=~exists[t])
            np.copyto(after, cs[t], where=~exists[t])
    return _visible(hs, exists, reverse), hs[-1].copy(), cs[-1].copy(), hs, cs, gates, tanh_c


def lstm(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, mask: Any = None,
         reverse: bool = False) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """c′ = f c + i g, h′ = o tanh c′ for each step: all outputs (T, N, H), the last h and the last c (N, H).

    i, f, o are sigmoids, g a tanh of w_ih x + b_ih + w_hh h + b_hh, in the order i, f, g, o. See :class:`tinytensor.nn.LSTM`.
    """
    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, mask, reverse)[:3]  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------------------------------------- GRU


def _gru_rule(g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, out: Any, mask: Any, reverse: bool,
              needs: Any) -> list[Any]:  # fmt: skip
    """∂/∂h = ∂/∂h′ · z and what comes through the gates, each ∂/∂h′ times a factor that is known beforehand."""
    inputs = (x, h, w_ih, w_hh, b_ih, b_hh)
    if not _all_arrays(g, *inputs):
        return _recorded(_gru_step, g, inputs, 1, mask, reverse, needs)
    (gy, gh, *_), (_, _, hs, gates, from_h) = g, out
    gy, mask = _cotangent(gy, mask, reverse), mask if mask is None or not reverse else mask[::-1]
    r, z, new = (gates[:, :, k] for k in range(3))
    pre = np.empty((*hs[1:].shape[:2], 4, hs.shape[2]), hs.dtype)  # r, z, what h gives to the new state, the new state
    np.multiply(1 - z, 1 - np.square(new), out=pre[:, :, 3])
    np.multiply(pre[:, :, 3], r, out=pre[:, :, 2])
    np.multiply(pre[:, :, 2], from_h * (1 - r), out=pre[:, :, 0])
    np.multiply(hs[:-1] - new, z * (1 - z), out=pre[:, :, 1])
    if mask is not None:
        pre *= mask[..., None]
        z = np.where(mask, z, 1)
    dh = _start(gh, hs[0])
    for t in range(len(pre) - 1, -1, -1):
        if gy is not None:
            dh += gy[t]
        pre[t] *= dh[:, None]
        dh *= z[t]
        dh += np.matmul(pre[t, :, :3].reshape(len(dh), -1), w_hh)
    return _gradients(pre[:, :, (0, 1, 3)], pre[:, :, :3], x, w_ih, hs, reverse, (dh,), needs)


@primitive(inputs=("x", "h", "w_ih", "w_hh", "b_ih", "b_hh"), outputs=True, joint=_gru_rule)
def _gru(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, mask: Any, reverse: bool) -> Any:
    if x.dtype == object:
        return *_unrolled(_gru_step, x, (h,), (w_ih, w_hh, b_ih, b_hh), mask, reverse), None, None, None
    pre = _projected(x[::-1] if reverse else x, w_ih, b_ih)
    (steps, batch), n = pre.shape[:2], w_hh.shape[1]
    hs, w = _history(h, steps, pre.dtype), w_hh.T
    gates, from_h = pre.reshape(steps, batch, 3, n), np.empty((steps, batch, n), pre.dtype)
    exists = mask if mask is None or not reverse else mask[::-1]
    for t, a in enumerate(pre):
        of_h = np.matmul(hs[t], w)
        if b_hh is not None:
            of_h += b_hh
        both = a[:, : 2 * n]
        both += of_h[:, : 2 * n]
        both *= 0.5  # the sigmoid by tanh
        np.tanh(both, out=both)
        both += 1
        both *= 0.5
        r, z, new = (gates[t, :, k] for k in range(3))
        from_h[t] = of_h[:, 2 * n :]
        new += r * from_h[t]
        np.tanh(new, out=new)
        after = np.subtract(hs[t], new, out=hs[t + 1])
        after *= z
        after += new
        if exists is not None:
            np.copyto(after, hs[t], where=~exists[t])
    return _visible(hs, exists, reverse), hs[-1].copy(), hs, gates, from_h


def gru(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, mask: Any = None,
        reverse: bool = False) -> tuple[Tensor, Tensor]:  # fmt: skip
    """h′ = (1 − z) n + z h for each step: all outputs (T, N, H), the last state (N, H).

    n = tanh(W_in x + b_in + r (W_hn h + b_hn)); r and z are sigmoids; the order is r, z, n. See :class:`tinytensor.nn.GRU`.
    """
    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, mask, reverse)[:2]  # type: ignore[no-any-return]
