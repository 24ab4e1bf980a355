"""``LBFGS``: quasi-Newton steps from the last gradients, with a line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinytensor.graph import enable_grad, no_grad, tracing
from tinytensor.inplace import updating
from tinytensor.optim.checks import number
from tinytensor.optim.optimizer import Optimizer
from tinytensor.tensor import Tensor

__all__ = ["LBFGS"]

#: What the state holds besides two counters: a vector of all parameters each, a number each, and a row for each update.
_VECTORS, _NUMBERS, _ROWS = ("d", "prev_flat_grad"), ("t", "H_diag", "prev_loss"), ("old_dirs", "old_stps")


class LBFGS(Optimizer):
    """p ← p + t · d, d = −H g, with H ≈ (∂²L/∂p²)⁻¹ from the last ``history_size`` changes of the gradient.

    ``step(closure)`` calls the closure, which clears the gradients, computes the loss, calls ``backward`` and returns the
    loss, several times: it makes at most ``max_iter`` such updates with ``max_eval`` (1.25 · max_iter) evaluations, and
    stops where max|g| ≤ ``tolerance_grad``, or loss or parameters change by less than ``tolerance_change``; it returns the
    first loss. ``line_search_fn="strong_wolfe"`` finds t; None takes t = lr. All parameters are one group, and real. If the
    closure raises, parameters and state are what they were before the step. The state holds ``old_dirs`` and ``old_stps``
    as matrices with a row for each update, where PyTorch has lists; both are understood. Liu and Nocedal, 1989; Nocedal and
    Wright, 2006, section 3.5; follows ``torch.optim.LBFGS``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([-1.0, 2.0], "float64")
    >>> optimizer = tt.optim.LBFGS([w], max_iter=100, line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    104.0
    >>> w.data.round(4)
    array([1., 1.])
    """

    #: A compiled function cannot hold a step: how many updates there are is decided by their losses.
    traceable = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        super()._check(options)
        for key in ("max_iter", "max_eval", "history_size"):
            if type(options[key]) is not int or options[key] < 1:
                raise ValueError(f"LBFGS: {key} must be a positive integer, got {options[key]!r}")
        for key in ("tolerance_grad", "tolerance_change"):
            number("LBFGS", key, options[key])
        if options["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn is 'strong_wolfe' or None, got {options['line_search_fn']!r}")

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Refused after the first group: the parameters are one vector."""
        if self.param_groups:
            raise ValueError("LBFGS: all parameters are one group, with the same options")
        super().add_param_group(param_group)
        if not self.param_groups[0]["params"]:
            self.param_groups.clear()
            raise TypeError("LBFGS: expected an iterable of parameters, got nothing")
        if any(p._data.dtype.kind == "c" for p in self.param_groups[0]["params"]):
            self.param_groups.clear()
            raise TypeError("LBFGS: parameters must be real; keep real and imaginary part in two parameters")

    # --------------------------------------------------------------------------------------------- parameters as a vector

    def _parameters(self) -> Any:
        return np.concatenate([p._data.reshape(-1) for p in self.param_groups[0]["params"]])

    def _gradient(self) -> Any:
        grads = [(p, p.grad) for p in self.param_groups[0]["params"]]
        return np.concatenate([np.zeros(p.size, p.dtype) if g is None else g.reshape(-1) for p, g in grads])

    def _move(self, vector: Any) -> None:
        start = 0
        for p in self.param_groups[0]["params"]:
            updating(p)[...] = vector[start : start + p.size].reshape(p.shape)
            start += p.size

    # ------------------------------------------------------------------------------------------------------- the step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make up to ``max_iter`` updates; returns the loss of the first evaluation."""
        if (trace := tracing()) is not None:
            return trace.step(self, closure)
        if closure is None:
            raise TypeError("LBFGS: step needs a closure that computes the loss, calls backward() and returns the loss")
        group, owner = self.param_groups[0], self.param_groups[0]["params"][0]
        self._check(group)
        for p in group["params"]:
            if not p._data.flags.writeable:
                raise ValueError(self._refusal(p, p._data))
        state = {k: list(v) if isinstance(v, list) else v for k, v in self.state.get(owner, {}).items()}
        state = state or {"func_evals": 0, "n_iter": 0}
        start, losses = self._parameters(), []

        def evaluate() -> tuple[float, Any]:
            with enable_grad():
                losses.append(closure())
            loss = losses[-1]
            return float(loss.item() if hasattr(loss, "item") else loss), self._gradient()

        try:
            with no_grad(), np.errstate(all="ignore"):
                self._iterate(group, state, evaluate)
        except BaseException:
            self._move(start)
            raise
        self.state[owner] = state
        return losses[0]

    def _iterate(self, group: dict[str, Any], state: dict[str, Any], evaluate: Any) -> None:
        lr, most, budget = float(group["lr"]), group["max_iter"], group["max_eval"]
        flat, small = group["tolerance_grad"], group["tolerance_change"]
        loss, g = evaluate()
        evaluations, iteration = 1, 0
        state["func_evals"] += 1
        while np.abs(g).max(initial=0.0) > flat and iteration < most:
            iteration += 1
            state["n_iter"] += 1
            d = state["d"] = self._direction(state, g, group["history_size"])
            first = state["n_iter"] == 1
            state["prev_flat_grad"], state["prev_loss"] = g, loss
            state["t"] = t = min(1.0, 1.0 / float(np.abs(g).sum())) * lr if first else lr
            slope = float(g @ d)
            if not slope <= -small:  # hardly downhill any more
                break
            x, before, used = self._parameters(), loss, 0
            if group["line_search_fn"] is not None:

                def along(t: float, x: Any = x, d: Any = d) -> _Point:
                    self._move(x + t * d)
                    f, g = evaluate()
                    return _Point(t, f, float(g @ d), g)

                found, used = _strong_wolfe(along, t, d, _Point(0.0, loss, slope, g), budget - evaluations)
                loss, g, state["t"] = found.f, found.g, found.t
                t = found.t
                self._move(x + t * d)
            else:
                self._move(x + t * d)
                if iteration != most:  # in a stochastic setting the last evaluation would be of no use
                    loss, g = evaluate()
                    used = 1
            evaluations += used
            state["func_evals"] += used
            if evaluations >= budget or np.abs(t * d).max() <= small or abs(loss - before) < small:
                break

    def _direction(self, state: dict[str, Any], g: Any, most: int) -> Any:
        """−H g by the two loops; H is kept as the last changes y of the gradient and steps s (``old_dirs``, ``old_stps``)."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -g
        ys, ss, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = g - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = float(y @ s)
        if curvature > 1e-10:
            if len(ys) >= most:
                del ys[: len(ys) + 1 - most], ss[: len(ss) + 1 - most], ro[: len(ro) + 1 - most]
            ys.append(y)
            ss.append(s)
            ro.append(1.0 / curvature)
            state["H_diag"] = curvature / float(y @ y)
        q, along = -g, []
        for y, s, r in zip(reversed(ys), reversed(ss), reversed(ro), strict=True):
            along.append(float(s @ q) * r)
            q -= along[-1] * y
        q *= state["H_diag"]
        for y, s, r in zip(ys, ss, ro, strict=True):
            q += (along.pop() - float(y @ q) * r) * s
        return q

    # ------------------------------------------------------------------------------------------------------- the state

    def _packed(self, state: dict[str, Any]) -> dict[str, Any]:
        width = sum(p.size for p in self.param_groups[0]["params"])
        packed = {k: np.array(v, np.float64 if k in _NUMBERS else None) for k, v in state.items() if k not in _ROWS}
        packed.update({k: np.array(state[k]).reshape(-1, width) for k in _ROWS if k in state})
        return packed

    def _restored(self, index: int, p: Tensor, entry: Mapping[str, Any], group: dict[str, Any]) -> dict[str, Any]:
        wanted = {"func_evals", "n_iter"}
        if int(entry.get("n_iter", 0)):
            wanted |= {*_VECTORS, *_NUMBERS, *_ROWS, "ro"}
        if set(entry) - {"al"} != wanted:  # "al": PyTorch's scratch memory
            raise ValueError(f"LBFGS: the state has {sorted(entry)}, expected {sorted(wanted)}")
        width = sum(q.size for q in group["params"])
        state: dict[str, Any] = {}
        for key in wanted:
            value: Any = entry[key]
            if key in _VECTORS:
                state[key] = np.asarray(value).astype(p.dtype)
            elif key in _ROWS:
                state[key] = [np.asarray(row).astype(p.dtype) for row in value]
            elif key == "ro":
                state[key] = [float(r) for r in value]
            else:
                state[key] = float(value) if key in _NUMBERS else int(value)
            for vector in (state[key],) if key in _VECTORS else state[key] if key in _ROWS else ():
                if vector.shape != (width,):
                    raise ValueError(f"LBFGS: {key} has vectors of shape {vector.shape}, expected ({width},)")
        if "ro" in state and not len(state["ro"]) == len(state["old_dirs"]) == len(state["old_stps"]):
            raise ValueError("LBFGS: old_dirs, old_stps and ro must have the same length")
        return state


# --------------------------------------------------------------------------------------------------- the line search


class _Point(NamedTuple):
    """A point on the line: the step t, the loss there, its derivative along the line, and the gradient."""

    t: float
    f: float
    slope: float
    g: Any


def _cubic(a: _Point, b: _Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with their slopes is smallest, within the bounds; their middle if nowhere."""
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    if a.t > b.t:
        a, b = b, a
    middle = (low + high) / 2
    if a.t == b.t:
        return middle
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    d2 = math.sqrt(square) if 0 <= square < math.inf else math.nan
    scale = b.slope - a.slope + 2 * d2
    best = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / scale) if scale else math.nan
    return middle if math.isnan(best) else min(max(best, low), high)


def _strong_wolfe(
    along: Callable[[float], _Point], t: float, d: Any, start: _Point, most: int, c1: float = 1e-4, c2: float = 0.9
) -> tuple[_Point, int]:
    """A point with f(t) ≤ f(0) + c₁ t f′(0) and |f′(t)| ≤ c₂ |f′(0)|, and the number of evaluations."""
    new, previous, count = along(t), start, 0
    pair = [start, new]
    while count < most:
        if new.f > start.f + c1 * new.t * start.slope or (count > 1 and new.f >= previous.f):
            pair = [previous, new]
            break
        if abs(new.slope) <= -c2 * start.slope:
            return new, count + 1
        if new.slope >= 0:
            pair = [previous, new]
            break
        t = _cubic(previous, new, (new.t + 0.01 * (new.t - previous.t), new.t * 10))
        previous, new, count = new, along(t), count + 1
        pair = [start, new]
    return _zoom(along, pair, d, start, most, count, c1, c2)


def _zoom(
    along: Callable[[float], _Point],
    pair: list[_Point],
    d: Any,
    start: _Point,
    most: int,
    count: int,
    c1: float,
    c2: float,
) -> tuple[_Point, int]:
    """Narrow a bracket until a point in it satisfies both conditions."""
    width, stuck, done = float(np.abs(d).max()), False, False
    low, high = sorted(pair, key=lambda point: point.f)
    while not done and count < most and abs(high.t - low.t) * width >= 1e-9:
        left, right = min(low.t, high.t), max(low.t, high.t)
        t, margin = _cubic(low, high), 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t, stuck = (right - margin if abs(t - right) < abs(t - left) else left + margin), False
            else:
                stuck = True
        else:
            stuck = False
        new, count = along(t), count + 1
        if new.f > start.f + c1 * t * start.slope or new.f >= low.f:
            high = new
            if high.f < low.f:
                low, high = high, low
        else:
            done = abs(new.slope) <= -c2 * start.slope
            if not done and new.slope * (high.t - low.t) >= 0:
                high = low
            low = new
    return low, count + 1
