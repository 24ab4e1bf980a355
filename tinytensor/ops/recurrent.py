"""Recurrent layers over a whole sequence: one node for each layer and direction, with backpropagation through time by hand.

x is (T, N, in), states are (N, H), weights PyTorch's: w_ih (gates·H, in), w_hh (gates·H, H), biases (gates·H,). All
inputs are projected by one product of matrices before the first step, and all weights' gradients are one product after the
last. What a step of the backward pass multiplies by is made for all steps at once, before it begins. In memory the batch
comes last, (T, gates, H, N), so that what is done to a gate runs over consecutive numbers.

``mask`` (T, N, 1) says which steps exist: elsewhere the output is 0 and the state stays as it was, so that the last state
is that of each sequence's own end. ``reverse`` reads the sequence from its end.

Higher derivatives take the rule of the same sequence written step by step in ordinary primitives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import contiguous, empty
from tinytensor.graph import enable_grad, history, leaf, walk
from tinytensor.ops.pieces import relu
from tinytensor.ops.transcendental import sigmoid
from tinytensor.primitive import TensorBase, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

__all__ = ["gru", "lstm", "projected_lstm", "rnn"]

# ---------------------------------------------------------------------------------------- step by step, in primitives


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    out = np.matmul(x, weight.T)
    return out if bias is None else out + bias


def _rnn_step(x: Any, states: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, activation: str) -> tuple[Any, ...]:
    pre = _affine(x, w_ih, b_ih) + _affine(states[0], w_hh, b_hh)
    return (np.tanh(pre) if activation == "tanh" else relu(pre),)


def _lstm_step(x: Any, states: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[Any, ...]:
    h, c = states
    n = c.shape[1]
    pre = _affine(x, w_ih, b_ih) + _affine(h, w_hh, b_hh)
    c = sigmoid(pre[:, n : 2 * n]) * c + sigmoid(pre[:, :n]) * np.tanh(pre[:, 2 * n : 3 * n])
    return sigmoid(pre[:, 3 * n :]) * np.tanh(c), c


def _projected_step(x: Any, states: Any, *weights: Any) -> tuple[Any, ...]:
    h, c = _lstm_step(x, states, *weights[:4])
    return np.matmul(h, weights[4].T), c


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
    return all(c is None or c.__class__ is np.ndarray for c in g) and all(
        x is None or x.__class__ is np.ndarray for x in inputs
    )


# ------------------------------------------------------------------------------------- what the three have in common


def _contiguous(x: Any, reverse: bool) -> Any:
    """(T, N, H) as (T, H, N), contiguous, in the order of computation; None stays so."""
    return None if x is None else contiguous((x[::-1] if reverse else x).transpose(0, 2, 1))


def _visible(hs: Any, mask: Any, reverse: bool) -> Any:
    """The outputs (T, N, H), in the order of time, of the states (T + 1, H, N): 0 where there was no step."""
    y = (hs[:0:-1] if reverse else hs[1:]).transpose(0, 2, 1)
    return y.copy() if mask is None else contiguous(y * mask)


def _cotangent(gy: Any, mask: Any, reverse: bool) -> Any:
    """That of the states after each step, (T, H, N)."""
    return None if gy is None else _contiguous(gy if mask is None else gy * mask, reverse)


def _projected(x: Any, w_ih: Any, bias: Any, reverse: bool) -> Any:
    """w_ih x and the bias, of all steps: (T, gates·H, N)."""
    out = np.matmul(w_ih, (x[::-1] if reverse else x).transpose(0, 2, 1))
    if bias is not None:
        out += bias[:, None]
    return out


def _history(state: Any, pre: Any) -> Any:
    """Room for the states (H, N) before and after each step of ``pre``, the first one filled in."""
    states = empty((len(pre) + 1, *state.shape[::-1]), pre.dtype, pre)
    states[0] = state.T
    return states


def _start(g: Any, like: Any) -> Any:
    return np.zeros_like(like) if g is None else g.T.copy()


def _sum(a: Any, b: Any) -> Any:
    return a if b is None else b if a is None else a + b


def _gradients(of_x: Any, of_h: Any, x: Any, w_ih: Any, hs: Any, reverse: bool, states: Any, needs: Any) -> list[Any]:
    """From those of what the gates are computed from, (T, gates, H, N): one product of matrices for each input."""
    steps, batch = x.shape[:2]

    def flat(pre: Any) -> Any:
        return pre.transpose(1, 2, 0, 3).reshape(-1, steps * batch)

    n, from_x = len(states), flat(of_x)
    from_h = from_x if of_h is of_x else flat(of_h) if needs[2 + n] or needs[4 + n] else None
    gx = gw = gr = gb = gc = None
    if needs[0]:
        gx = np.matmul(from_x.T, w_ih).reshape(x.shape)
        gx = contiguous(gx[::-1]) if reverse else gx
    if needs[1 + n]:
        gw = np.matmul(from_x, contiguous(x[::-1] if reverse else x).reshape(steps * batch, -1))
    if needs[2 + n]:
        gr = np.matmul(from_h, hs[:-1].transpose(0, 2, 1).reshape(steps * batch, -1))
    if needs[3 + n]:
        gb = np.add.reduce(from_x, 1)
    if needs[4 + n]:
        gc = np.add.reduce(from_h, 1)
    return [gx, *[state.T for state in states], gw, gr, gb, gc]


# ---------------------------------------------------------------------------------------------------------------- RNN


def _rnn_rule(g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, out: Any, mask: Any, reverse: bool,
              activation: str, needs: Any) -> list[Any]:  # fmt: skip
    """∂/∂a = ∂/∂h′ · act′(a), and ∂/∂h = w_hhᵀ ∂/∂a goes on to the step before."""
    inputs = (x, h, w_ih, w_hh, b_ih, b_hh)
    if not _all_arrays(g, *inputs):
        return _recorded(_rnn_step, g, inputs, 1, mask, reverse, needs, activation)
    (gy, gh, _), hs = g, out[2]
    gy, exists = _cotangent(gy, mask, reverse), _contiguous(mask, reverse)
    pre: Any = 1 - np.square(hs[1:]) if activation == "tanh" else (hs[1:] > 0).astype(hs.dtype)
    if exists is not None:
        pre *= exists
    dh, w = _start(gh, hs[0]), w_hh.T
    for t in range(len(pre) - 1, -1, -1):
        if gy is not None:
            dh += gy[t]
        pre[t] *= dh
        before = np.matmul(w, pre[t])
        dh = before if exists is None else before + dh * ~exists[t]
    pre = pre[:, None]
    return _gradients(pre, pre, x, w_ih, hs, reverse, (dh,), needs)


@primitive(inputs=("x", "h", "w_ih", "w_hh", "b_ih", "b_hh"), outputs=True, joint=_rnn_rule)
def _rnn(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, mask: Any, reverse: bool, activation: str) -> Any:
    if x.dtype == object:
        return *_unrolled(_rnn_step, x, (h,), (w_ih, w_hh, b_ih, b_hh), mask, reverse, activation), None
    pre = _projected(x, w_ih, _sum(b_ih, b_hh), reverse)
    hs, exists = _history(h, pre), _contiguous(mask, reverse)
    for t, a in enumerate(pre):
        a += np.matmul(w_hh, hs[t])
        if activation == "tanh":
            np.tanh(a, out=hs[t + 1])
        else:
            np.maximum(a, 0, out=hs[t + 1])
        if exists is not None:
            np.copyto(hs[t + 1], hs[t], where=~exists[t])
    return _visible(hs, mask, reverse), hs[-1].T.copy(), hs


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
    gy, exists = _cotangent(gy, mask, reverse), _contiguous(mask, reverse)
    pre, to_c = _lstm_factors(gates, cs, tanh_c)
    f = gates[:, 1]
    if exists is not None:
        pre *= exists[:, None]
        to_c *= exists
        f = np.where(exists, f, 1)
    dh, dc, w = _start(gh, hs[0]), _start(gc, cs[0]), w_hh.T
    part = np.empty_like(dh)
    for t in range(len(pre) - 1, -1, -1):
        if gy is not None:
            dh += gy[t]
        dc += np.multiply(dh, to_c[t], out=part)
        pre[t, :3] *= dc
        pre[t, 3] *= dh
        dc *= f[t]
        before = np.matmul(w, pre[t].reshape(w.shape[1], -1))
        dh = before if exists is None else before + dh * ~exists[t]
    return _gradients(pre, pre, x, w_ih, hs, reverse, (dh, dc), needs)


def _lstm_factors(gates: Any, cs: Any, tanh_c: Any) -> tuple[Any, Any]:
    """∂c′/∂ of what i, f and g are computed from, ∂h′/∂ of what o is computed from; and ∂h′/∂c′."""
    i, _, new, o = (gates[:, k] for k in range(4))
    pre = 1 - gates
    pre *= gates
    pre[:, 0] *= new
    pre[:, 1] *= cs[:-1]
    pre[:, 3] *= tanh_c
    slope = np.multiply(new, new, out=pre[:, 2])
    np.subtract(1, slope, out=slope)
    slope *= i
    to_c = np.square(tanh_c)
    np.subtract(1, to_c, out=to_c)
    to_c *= o
    return pre, to_c


@primitive(inputs=("x", "h", "c", "w_ih", "w_hh", "b_ih", "b_hh"), outputs=True, joint=_lstm_rule)
def _lstm(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, mask: Any, reverse: bool) -> Any:
    """σ(a) = ½ tanh(a/2) + ½, so that one call of tanh makes all four gates."""
    if x.dtype == object:
        return *_unrolled(_lstm_step, x, (h, c), (w_ih, w_hh, b_ih, b_hh), mask, reverse), None, None, None, None
    (steps, batch, _), n = x.shape, w_hh.shape[1]
    scale = np.full((4 * n, 1), 0.5, w_hh.dtype)
    scale[2 * n : 3 * n] = 1
    shift, w, bias = 1 - scale, w_hh * scale, _sum(b_ih, b_hh)
    pre = _projected(x, w_ih * scale, None if bias is None else bias * scale[:, 0], reverse)
    hs, cs = _history(h, pre), _history(c, pre)
    gates, tanh_c = pre.reshape(steps, 4, n, batch), empty((steps, n, batch), pre.dtype, pre)
    exists, part = _contiguous(mask, reverse), empty((n, batch), pre.dtype, pre)
    for t, a in enumerate(pre):
        a += np.matmul(w, hs[t])
        np.tanh(a, out=a)
        a *= scale
        a += shift
        i, f, new, o = gates[t]
        after = np.multiply(f, cs[t], out=cs[t + 1])
        after += np.multiply(i, new, out=part)
        np.multiply(o, np.tanh(after, out=tanh_c[t]), out=hs[t + 1])
        if exists is not None:
            np.copyto(hs[t + 1], hs[t], where=~exists[t])
            np.copyto(after, cs[t], where=~exists[t])
    return _visible(hs, mask, reverse), hs[-1].T.copy(), cs[-1].T.copy(), hs, cs, gates, tanh_c


def lstm(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, mask: Any = None,
         reverse: bool = False) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """c′ = f c + i g, h′ = o tanh c′ for each step: all outputs (T, N, H), the last h and the last c (N, H).

    i, f, o are sigmoids, g a tanh of w_ih x + b_ih + w_hh h + b_hh, in the order i, f, g, o. See :class:`tinytensor.nn.LSTM`.
    """
    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, mask, reverse)[:3]


def projected_lstm(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any, mask: Any = None,
                   reverse: bool = False) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """:func:`lstm` with h′ = w_hr (o tanh c′), which has fewer numbers than c: in ordinary primitives, step by step."""
    return _unrolled(_projected_step, x, (h, c), (w_ih, w_hh, b_ih, b_hh, w_hr), mask, reverse)


# ---------------------------------------------------------------------------------------------------------------- GRU


def _gru_rule(g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, out: Any, mask: Any, reverse: bool,
              needs: Any) -> list[Any]:  # fmt: skip
    """∂/∂h = ∂/∂h′ · z and what comes through the gates, each ∂/∂h′ times a factor that is known beforehand."""
    inputs = (x, h, w_ih, w_hh, b_ih, b_hh)
    if not _all_arrays(g, *inputs):
        return _recorded(_gru_step, g, inputs, 1, mask, reverse, needs)
    (gy, gh, *_), (_, _, hs, gates, from_h) = g, out
    gy, exists = _cotangent(gy, mask, reverse), _contiguous(mask, reverse)
    r, z, new = (gates[:, k] for k in range(3))
    pre = empty((len(hs) - 1, 4, *hs.shape[1:]), hs.dtype, hs)  # r, z, what h gives to the new state, the new state
    np.multiply(1 - z, 1 - np.square(new), out=pre[:, 3])
    np.multiply(pre[:, 3], r, out=pre[:, 2])
    np.multiply(pre[:, 2], from_h * (1 - r), out=pre[:, 0])
    np.multiply(hs[:-1] - new, z * (1 - z), out=pre[:, 1])
    if exists is not None:
        pre *= exists[:, None]
        z = np.where(exists, z, 1)
    dh, w = _start(gh, hs[0]), w_hh.T
    for t in range(len(pre) - 1, -1, -1):
        if gy is not None:
            dh += gy[t]
        pre[t] *= dh
        dh *= z[t]
        dh += np.matmul(w, pre[t, :3].reshape(w.shape[1], -1))
    return _gradients(pre[:, (0, 1, 3)], pre[:, :3], x, w_ih, hs, reverse, (dh,), needs)


@primitive(inputs=("x", "h", "w_ih", "w_hh", "b_ih", "b_hh"), outputs=True, joint=_gru_rule)
def _gru(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, mask: Any, reverse: bool) -> Any:
    """The sigmoids by tanh, as in :func:`_lstm`."""
    if x.dtype == object:
        return *_unrolled(_gru_step, x, (h,), (w_ih, w_hh, b_ih, b_hh), mask, reverse), None, None, None
    (steps, batch, _), n = x.shape, w_hh.shape[1]
    pre = _projected(x, w_ih, b_ih, reverse)
    hs, exists = _history(h, pre), _contiguous(mask, reverse)
    gates, from_h = pre.reshape(steps, 3, n, batch), empty((steps, n, batch), pre.dtype, pre)
    bias = None if b_hh is None else b_hh[:, None]
    for t, a in enumerate(pre):
        of_h = np.matmul(w_hh, hs[t])
        if bias is not None:
            of_h += bias
        both = a[: 2 * n]
        both += of_h[: 2 * n]
        both *= 0.5
        np.tanh(both, out=both)
        both += 1
        both *= 0.5
        r, z, new = gates[t]
        from_h[t] = of_h[2 * n :]
        new += r * from_h[t]
        np.tanh(new, out=new)
        after = np.subtract(hs[t], new, out=hs[t + 1])
        after *= z
        after += new
        if exists is not None:
            np.copyto(after, hs[t], where=~exists[t])
    return _visible(hs, mask, reverse), hs[-1].T.copy(), hs, gates, from_h


def gru(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, mask: Any = None,
        reverse: bool = False) -> tuple[Tensor, Tensor]:  # fmt: skip
    """h′ = (1 − z) n + z h for each step: all outputs (T, N, H), the last state (N, H).

    n = tanh(W_in x + b_in + r (W_hn h + b_hn)); r and z are sigmoids; the order is r, z, n. See :class:`tinytensor.nn.GRU`.
    """
    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, mask, reverse)[:2]
