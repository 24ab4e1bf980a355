"""Recurrent layers: RNN, LSTM and GRU over whole sequences, and their single steps as cells.

One primitive for each layer and direction: :mod:`tinytensor.ops.recurrent`.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytensor import creation
from tinytensor.arrays import asarray
from tinytensor.deferred import Deferred
from tinytensor.inplace import updating
from tinytensor.nn import functional
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter, as_input, floating, sizes
from tinytensor.ops import recurrent
from tinytensor.primitive import TensorBase, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import DType, Operand

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]


class _Weights(Module):
    """What layers and cells share: the weights of gates, drawn from U(−1/√H, 1/√H)."""

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    hidden_size: int
    bias: bool
    proj_size = 0

    def _make(self, suffix: str, n_in: int, kind: Any) -> None:
        rows, out = self.gates * self.hidden_size, self.proj_size or self.hidden_size
        shapes: list[tuple[str, tuple[int, ...]]] = [("weight_ih", (rows, n_in)), ("weight_hh", (rows, out))]
        if self.bias:
            shapes += [("bias_ih", (rows,)), ("bias_hh", (rows,))]
        if self.proj_size:
            shapes += [("weight_hr", (out, self.hidden_size))]
        for name, shape in shapes:
            setattr(self, name + suffix, Parameter(np.empty(shape, kind)))

    def reset_parameters(self, rng: creation.Generator | None = None) -> None:
        """Draw all weights anew."""
        bound, draw = 1 / math.sqrt(self.hidden_size), (rng or creation.default_rng()).numpy
        for parameter in self.parameters():
            updating(parameter)[...] = draw.uniform(-bound, bound, parameter.shape)

    def _of(self, suffix: str) -> list[Any]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if self.bias else ("weight_ih", "weight_hh")
        return [getattr(self, name + suffix) for name in names] + [None] * (4 - len(names))

    def _step(self, x: Any, states: Any, weights: Any, mask: Any, reverse: bool) -> tuple[Any, ...]:
        """Outputs and last states of one layer in one direction."""
        raise NotImplementedError

    def _given(self, hx: Any, lead: tuple[int, ...], dtype: Any) -> list[Any]:
        """The first states, checked and in the right dtype; zeros if none are given. ``lead``: their axes but the last."""
        op, n = type(self).__name__, self.states
        shapes = [(*lead, self.proj_size or self.hidden_size), (*lead, self.hidden_size)][:n]
        if hx is None:
            return [wrap(np.zeros(shape, dtype), None) for shape in shapes]
        given = tuple(hx) if n > 1 and isinstance(hx, (tuple, list)) else (hx,)
        if len(given) != n:
            raise TypeError(f"{op}: the first states are a pair (h, c), got {type(hx).__name__}")
        states = [as_input(state, dtype, op) for state in given]
        for name, state, shape in zip("hc", states, shapes, strict=False):
            if state.shape != shape:
                raise ValueError(f"{op}: expected a first state {name} of shape {shape}, got {state.shape}")
        return states


class _Recurrent(_Weights):
    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, dtype: DType = None,
        rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        op = type(self).__name__
        sizes(op, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if proj_size and (self.states == 1 or not 0 < proj_size < hidden_size):
            raise ValueError(f"{op}: proj_size is an LSTM's, and smaller than hidden_size, got {proj_size}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{op}: dropout is a probability between 0 and 1, got {dropout!r}")
        self.input_size, self.hidden_size, self.num_layers, self.bias = input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional = batch_first, float(dropout), bidirectional
        self.proj_size, self.rng = proj_size, rng
        for layer in range(num_layers):
            n_in = (proj_size or hidden_size) * (1 + bidirectional) if layer else input_size
            for suffix in self._suffixes(layer):
                self._make(suffix, n_in, floating(dtype))
        self.reset_parameters(rng)

    def flatten_parameters(self) -> None:
        """Nothing: what PyTorch's programs call for the sake of GPUs."""

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"] if self.bidirectional else [f"_l{layer}"]

    def forward(self, x: Operand, hx: Any = None, lengths: Any = None) -> tuple[Tensor, Any]:
        """x (T, N, in), or (N, T, in) with ``batch_first``, or (T, in), to outputs (T, N, D·H) and last states (D·layers, N, H).

        D is 2 if bidirectional, else 1. ``hx``: the first states, zeros by default, shaped as the last ones.
        ``lengths`` (N,): where each sequence ends. Outputs behind the end are 0, last states are those at the end: what
        PyTorch computes of a packed sequence.
        """
        op = type(self).__name__
        x = as_input(x, self.weight_ih_l0.dtype, op)  # type: ignore[attr-defined]
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size or 0 in x.shape:
            order = "(N, T, {0}) or (T, {0})" if self.batch_first else "(T, N, {0}) or (T, {0})"
            raise ValueError(f"{op}: expected an input {order.format(self.input_size)}, not empty, got shape {x.shape}")
        single, swapped = x.ndim == 2, x.ndim == 3 and self.batch_first
        if single:
            x = x[:, None]
        elif swapped:
            x = x.swapaxes(0, 1)
        count = self.num_layers * (1 + self.bidirectional)
        states = self._given(hx, (count,) if single else (count, x.shape[1]), x.dtype)
        if single:
            states = [state[:, None] for state in states]
        mask = _mask(lengths, x.shape[0], x.shape[1], op)
        if mask is not None:
            x = np.where(mask, x, 0)
        y, ends = self._layers(x, states, mask)
        if single:
            y, ends = y[:, 0], [end[:, 0] for end in ends]
        return y.swapaxes(0, 1) if swapped else y, ends[0] if len(ends) == 1 else tuple(ends)

    def _layers(self, y: Any, states: list[Any], mask: Any) -> tuple[Any, list[Any]]:
        """Layer upon layer: the outputs of the last one, the last states of all."""
        ends: list[list[Any]] = [[] for _ in states]
        k = 0
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                y = functional.dropout(y, self.dropout, rng=self.rng)
            outs = []
            for reverse, suffix in enumerate(self._suffixes(layer)):
                first = [state[k] for state in states]
                out, *last = self._step(y, first, self._of(suffix), mask, bool(reverse))
                outs.append(out)
                for end, state in zip(ends, last, strict=True):
                    end.append(state)
                k += 1
            y = outs[0] if len(outs) == 1 else np.concatenate(outs, -1)
        return y, [np.stack(end) for end in ends]

    def extra_repr(self) -> str:
        """The sizes, and the options that are not the default."""
        options = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False
        }  # fmt: skip
        other = [f"{name}={value}" for name in options if (value := getattr(self, name)) != options[name]]
        return ", ".join([str(self.input_size), str(self.hidden_size), *other])


def _mask(lengths: Any, steps: int, batch: int, op: str) -> Any:
    """Which steps exist, (T, N, 1)."""
    if lengths is None:
        return None
    found: Any = lengths if isinstance(lengths, TensorBase) else asarray(lengths)
    good = found.shape == (batch,) and found.dtype.kind in "iu"
    with suppress(Deferred):  # numbers that are not known yet, of a model that is being exported
        found = found._data if isinstance(found, TensorBase) else found
        good = bool(good and found.min() >= 1 and found.max() <= steps)
    if not good:
        raise ValueError(f"{op}: lengths are {batch} integers from 1 to {steps}, got {lengths!r:.60}")
    return (np.arange(steps)[:, None] < found)[..., None]


class RNN(_Recurrent):
    """h′ = tanh(W_ih x + b_ih + W_hh h + b_hh), or ``nonlinearity="relu"``, step by step.   (``torch.nn.RNN``)

    Parameters weight_ih_l0 (H, in), weight_hh_l0 (H, H), bias_ih_l0, bias_hh_l0 (H,), and so on for each layer, with
    ``_reverse`` for the other direction; all from U(−1/√H, 1/√H). ``dropout`` stands between layers. Returns the outputs
    and the last states; x may have sequences of different ``lengths``. Elman, Finding Structure in Time, 1990.

    >>> import tinytensor as tt
    >>> y, h = tt.nn.RNN(3, 4, num_layers=2)(tt.ones((5, 2, 3)))
    >>> y.shape, h.shape
    ((5, 2, 4), (2, 2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, dtype: DType = None,
        rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, rng)
        self.nonlinearity = nonlinearity

    def _step(self, x: Any, states: Any, weights: Any, mask: Any, reverse: bool) -> tuple[Any, ...]:
        return recurrent.rnn(*[x, *states, *weights, mask, reverse, self.nonlinearity])


class LSTM(_Recurrent):
    """c′ = f c + i g, h′ = o tanh c′ with gates of x and h, step by step.   (``torch.nn.LSTM``)

    Parameters as in :class:`RNN`, of 4H rows, in the order i, f, g, o. Returns the outputs and the pair (h, c) of last
    states. ``proj_size`` P: h is W_hr (o tanh c) of P numbers, step by step in Python, weights weight_hr_l0 (P, H), and so on.
    Hochreiter and Schmidhuber, Long Short-Term Memory, 1997.

    >>> import tinytensor as tt
    >>> y, (h, c) = tt.nn.LSTM(3, 4, bidirectional=True)(tt.ones((5, 2, 3)), lengths=[5, 2])
    >>> y.shape, h.shape, c.shape
    ((5, 2, 8), (2, 2, 4), (2, 2, 4))
    """

    gates, states = 4, 2

    def _of(self, suffix: str) -> list[Any]:
        return super()._of(suffix) + ([getattr(self, "weight_hr" + suffix)] if self.proj_size else [])

    def _step(self, x: Any, states: Any, weights: Any, mask: Any, reverse: bool) -> tuple[Any, ...]:
        layer: Any = recurrent.projected_lstm if self.proj_size else recurrent.lstm
        return layer(*[x, *states, *weights, mask, reverse])  # type: ignore[no-any-return]


class GRU(_Recurrent):
    """h′ = (1 − z) n + z h with gates r and z of x and h, step by step.   (``torch.nn.GRU``)

    n = tanh(W_in x + b_in + r (W_hn h + b_hn)). Parameters as in :class:`RNN`, of 3H rows, in the order r, z, n. Cho et
    al., Learning Phrase Representations using RNN Encoder–Decoder, 2014.

    >>> import tinytensor as tt
    >>> y, h = tt.nn.GRU(3, 4, batch_first=True)(tt.ones((2, 5, 3)))
    >>> y.shape, h.shape
    ((2, 5, 4), (1, 2, 4))
    """

    gates = 3

    def _step(self, x: Any, states: Any, weights: Any, mask: Any, reverse: bool) -> tuple[Any, ...]:
        return recurrent.gru(*[x, *states, *weights, mask, reverse])


# -------------------------------------------------------------------------------------------------------------- cells


class _Cell(_Weights):
    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: DType = None,
        rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._make("", input_size, floating(dtype))
        self.reset_parameters(rng)

    def forward(self, x: Operand, hx: Any = None) -> Any:
        """One step: x (N, in) or (in,) and states (N, H) or (H,), zeros by default, to the next states."""
        op = type(self).__name__
        x = as_input(x, self.weight_ih.dtype, op)  # type: ignore[attr-defined]
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(f"{op}: expected an input (N, {self.input_size}) or ({self.input_size},), got {x.shape}")
        states = self._given(hx, x.shape[:-1], x.dtype)
        single = x.ndim == 1
        if single:
            x, states = x[None], [state[None] for state in states]
        _, *new = self._step(x[None], states, self._of(""), None, False)
        if single:
            new = [state[0] for state in new]
        return new[0] if len(new) == 1 else tuple(new)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """One step of :class:`RNN`.   (``torch.nn.RNNCell``)

    >>> import tinytensor as tt
    >>> tt.nn.RNNCell(3, 4)(tt.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", dtype: DType = None,
        rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, bias, dtype, rng)
        self.nonlinearity = nonlinearity

    def _step(self, x: Any, states: Any, weights: Any, mask: Any, reverse: bool) -> tuple[Any, ...]:
        return recurrent.rnn(*[x, *states, *weights, mask, reverse, self.nonlinearity])

    def extra_repr(self) -> str:
        """The sizes, and the nonlinearity if it is not tanh."""
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTMCell(_Cell):
    """One step of :class:`LSTM`: returns the pair (h, c).   (``torch.nn.LSTMCell``)

    >>> import tinytensor as tt
    >>> cell = tt.nn.LSTMCell(3, 4)
    >>> h, c = cell(tt.ones((2, 3)))
    >>> h, c = cell(tt.ones((2, 3)), (h, c))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    gates, states = 4, 2

    def _step(self, x: Any, states: Any, weights: Any, mask: Any, reverse: bool) -> tuple[Any, ...]:
        return recurrent.lstm(*[x, *states, *weights, mask, reverse])


class GRUCell(_Cell):
    """One step of :class:`GRU`.   (``torch.nn.GRUCell``)

    >>> import tinytensor as tt
    >>> tt.nn.GRUCell(3, 4)(tt.ones(3)).shape
    (4,)
    """

    gates = 3

    def _step(self, x: Any, states: Any, weights: Any, mask: Any, reverse: bool) -> tuple[Any, ...]:
        return recurrent.gru(*[x, *states, *weights, mask, reverse])
