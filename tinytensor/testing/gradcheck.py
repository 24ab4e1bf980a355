"""Is a derivative right? Two witnesses: central differences, and the scalar engine running the same function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.forward import jvp
from tinytensor.graph import no_grad
from tinytensor.scalar import Value
from tinytensor.tensor import Tensor, tensor
from tinytensor.testing.smallest import WrongError, report
from tinytensor.transforms import grad

if TYPE_CHECKING:
    from tinytensor.typing import Array, Operand

__all__ = ["against_scalar", "check_grads"]

#: An input with more elements is probed along random directions, not along every coordinate.
_MANY = 64
_DIRECTIONS = 16


# ------------------------------------------------------------------------------------------------ central differences


def _in_real_parts(f: Callable[..., Any], arrays: list[Array]) -> tuple[Callable[..., Any], list[Array]]:
    """f as a function of real arrays with real results: for a complex one, of two."""
    twofold = [a.dtype.kind == "c" for a in arrays]
    if not any(twofold):
        return f, arrays

    @wraps(f)
    def in_parts(*parts: Any) -> list[Any]:
        rest = iter(parts)
        outs = leaves_of(f(*[next(rest) + 1j * next(rest) if two else next(rest) for two in twofold]))
        return [p for o in outs for p in ((o.real, o.imag) if o.dtype.kind == "c" else (o,))]

    return in_parts, [p for a, two in zip(arrays, twofold, strict=True) for p in ((a.real, a.imag) if two else (a,))]


def check_grads(
    f: Callable[..., Any],
    *arrays: Operand,
    order: int = 2,
    modes: Sequence[str] = ("vjp", "jvp"),
    rtol: float | None = None,
    atol: float | None = None,
    eps: float | None = None,
) -> None:
    """Compare derivatives of f with central differences, in float64; raise AssertionError if they differ.

    f takes as many tensors as arrays are given, and returns a tensor of any shape, or several (tuple, list, dict): they
    are contracted with fixed random numbers. ``order`` 2 checks the gradient function too, as :func:`tinytensor.grad`
    computes it, and so on. ``modes``: "vjp" checks reverse mode, "jvp" forward mode (:func:`tinytensor.jvp`) along a random
    direction of all arguments together. Complex arguments and results count as two, their real and their imaginary
    part. Every coordinate is probed; of an input with more than 64 elements, 16 random directions.

    ``rtol`` (default 1e-6) is relative to each number, ``atol`` (default 1e-8) to the largest value or gradient, if
    that is above 1. ``eps`` (default 1e-3) is the step, relative to max(1, ‖x‖∞); f must be smooth within it. The
    error of the differences is of order eps⁶, so that a gradient wrong by a millionth is found. The message names the
    function, the argument, the shapes, the index of the worst element and both numbers, and ends with the smallest
    input that still fails (found in at most a second), as a call that can be pasted.

    >>> import numpy as np, tinytensor as tt
    >>> from tinytensor.testing import check_grads
    >>> check_grads(lambda x, w: np.tanh(x @ w), np.ones((3, 2)), np.array([0.5, -1.0]))

    >>> @tt.primitive(x=lambda g, x: g * 2.002 * x)   # wrong by 0.1 %
    ... def squared(x):
    ...     return x * x
    >>> check_grads(squared, [1.0, 3.0])
    Traceback (most recent call last):
    AssertionError: check_grads: the gradient of squared with respect to argument 0 is wrong
      arguments:           (2,)
      results:             (2,)
      worst at:            index (1,), of 2 wrong ones
      reverse mode:        -6.614342973
      central differences: -6.607735237
      difference:          0.00661, allowed 6.7e-06
      smallest failing input found:
        check_grads(squared, np.array(1.0), order=1)
        # reverse mode 1.541113001, central differences 1.539573428
    """
    f, real = _in_real_parts(f, [np.asarray(a._data if isinstance(a, Tensor) else a) for a in arrays])
    inputs = [np.array(a, dtype=float) for a in real]
    if not inputs or order < 1:
        raise TypeError(
            f"check_grads: expected at least one array and an order of 1 or more, got {len(inputs)}, {order}"
        )
    if not modes or set(modes) - {"vjp", "jvp"}:
        raise ValueError(f"check_grads: modes are 'vjp' and 'jvp', got {modes!r}")
    options = {"rtol": rtol, "atol": atol, "eps": eps}
    level = 0

    def check(*inputs: Array) -> None:
        nonlocal level
        probe = _Probe(name_of(f), list(inputs), **{k: v for k, v in options.items() if v is not None})
        derivative = f
        for level in range(1, order + 1):
            scalar = probe.contracted(derivative)
            if "vjp" in modes:
                probe.check(scalar, level)
            if "jvp" in modes:
                probe.check_forward(scalar, level)
            derivative = grad(scalar, argnums=tuple(range(len(inputs))))

    try:
        check(*inputs)
    except WrongError as error:
        order = level  # higher ones need not be looked at again
        chosen: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
        chosen |= {"modes": tuple(modes)} if set(modes) != {"vjp", "jvp"} else {}
        given = "".join(f", {k}={v!r}" for k, v in {"order": order, **chosen}.items() if (k, v) != ("order", 2))
        raise report(error, inputs, check, f"check_grads({spelled(f)}, %s{given})") from None


class _Probe:
    """A function's inputs, and how closely its derivatives must agree there."""

    def __init__(
        self, name: str, inputs: list[Array], rtol: float = 1e-6, atol: float = 1e-8, eps: float = 1e-3
    ) -> None:
        self.name, self.inputs, self.rtol, self.atol, self.eps = name, inputs, rtol, atol, eps
        self.shapes = ""

    def contracted(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """The number Σ c · out of the results of f, with c fixed and random."""
        with no_grad():
            outs = [np.asarray(_plain(out)) for out in leaves_of(f(*map(tensor, self.inputs)))]
        if not any(out.dtype.kind == "f" for out in outs):
            raise TypeError(
                f"check_grads: {self.name} returned no floating numbers, but {[str(o.dtype) for o in outs]}"
            )
        self.shapes = ", ".join(str(out.shape) for out in outs)
        weights = [weights_for(k, out.shape) for k, out in enumerate(outs)]

        def scalar(*args: Any) -> Any:
            results = leaves_of(f(*args))
            return sum(
                (np.sum(c * out) for c, out, o in zip(weights, results, outs, strict=True) if o.dtype.kind == "f"),
                start=tensor(0.0),
            )

        return scalar

    def check(self, scalar: Callable[..., Any], level: int) -> None:
        """Its gradient by ``backward()`` against differences of its value."""
        leaves = [tensor(x, requires_grad=True) for x in self.inputs]
        recorded, value = scalar(*leaves), self._value(scalar, self.inputs)
        if not abs(recorded.item() - value) <= 1e-10 * max(1.0, abs(value)):
            raise WrongError(
                f"check_grads: {self._what(level)} has another value when it is recorded",
                f"  recorded:            {recorded.item():.12g}\n  not recorded:        {value:.12g}",
            )
        if recorded.requires_grad:
            recorded.backward()
        for k, (x, leaf) in enumerate(zip(self.inputs, leaves, strict=True)):
            g = np.zeros(x.shape) if leaf.grad is None else leaf.grad
            if g.shape != x.shape or g.dtype != x.dtype:
                raise WrongError(
                    f"check_grads: {self._what(level)} with respect to argument {k} has shape {g.shape} and dtype "
                    f"{g.dtype}, the argument {x.shape} and {x.dtype}"
                )
            self._compare(scalar, k, g, level, max(1.0, abs(value), float(np.abs(g).max(initial=0.0))))

    def check_forward(self, scalar: Callable[..., Any], level: int) -> None:
        """Its tangent by ``jvp`` against differences along the same direction, of all arguments at once."""
        tangents = [weights_for(100 + k, x.shape) for k, x in enumerate(self.inputs)]
        tangents = [t / max(1.0, float(np.sqrt((t**2).sum()))) for t in tangents]
        value, tangent = jvp(scalar, tuple(self.inputs), tuple(tangents))
        got = float(np.asarray(_plain(tangent)))
        along = _Probe(self.name, [np.zeros(())], self.rtol, self.atol, self.eps)

        def line(s: Any) -> Any:
            moved = (tensor(x + s.item() * t) for x, t in zip(self.inputs, tangents, strict=True))
            return scalar(*moved)

        scale = max(1.0, max((float(np.abs(x).max(initial=0.0)) for x in self.inputs), default=0.0))
        along.eps = self.eps * scale
        expected, _ = along._difference(line, 0, np.ones(()))
        allowed = self.atol * max(1.0, abs(float(np.asarray(_plain(value)))), abs(got)) + self.rtol * max(
            abs(got), abs(expected)
        )
        if not abs(got - expected) <= allowed:
            raise WrongError(
                f"check_grads: {self._what(level)} is wrong in forward mode",
                f"  arguments:           {', '.join(str(x.shape) for x in self.inputs)}\n"
                f"  results:             {self.shapes}\n"
                f"  forward mode:        {got:.10g}\n"
                f"  central differences: {expected:.10g}\n"
                f"  difference:          {abs(got - expected):.3g}, allowed {allowed:.3g}",
                f"forward mode {got:.10g}, central differences {expected:.10g}",
                not along._kinked(line, 0, np.ones(())),
            )

    def _compare(self, scalar: Callable[..., Any], k: int, g: Array, level: int, scale: float) -> None:
        worst, wrong, details = -1.0, 0, ("", "", True)
        for where, direction in _directions(self.inputs[k]):
            got = float((g * direction).sum())
            expected, uncertain = self._difference(scalar, k, direction)
            allowed = self.atol * scale + self.rtol * max(abs(got), abs(expected))
            off = abs(got - expected)
            if off <= allowed:
                continue
            wrong += 1
            badness = off / allowed if math.isfinite(off) else math.inf
            if badness > worst:
                worst, lines = badness, [
                    f"  worst at:            {where}, of %d wrong ones",
                    f"  reverse mode:        {got:.10g}",
                    f"  central differences: {expected:.10g}",
                    f"  difference:          {off:.3g}, allowed {allowed:.3g}",
                ]  # fmt: skip
                sure = uncertain <= allowed and not self._kinked(scalar, k, direction)
                if not sure:
                    lines.append(
                        f"  The differences themselves are uncertain by {uncertain:.2g}: is there a kink, a singularity or "
                        f"an overflow within the step (eps={self.eps:g})?"
                    )
                details = "\n".join(lines), f"reverse mode {got:.10g}, central differences {expected:.10g}", sure
        if wrong:
            raise WrongError(
                f"check_grads: {self._what(level)} with respect to argument {k} is wrong",
                f"  arguments:           {', '.join(str(x.shape) for x in self.inputs)}\n"
                f"  results:             {self.shapes}\n{details[0] % wrong}",
                *details[1:],
            )

    def _kinked(self, scalar: Callable[..., Any], k: int, direction: Array) -> bool:
        """Whether the slopes on both sides differ by as much in a small step as in a large one."""
        x, rest = self.inputs[k], self.inputs
        h = self.eps * max(1.0, float(np.abs(x).max(initial=0.0)))

        def bend(s: float) -> float:
            below, at, above = (
                self._value(scalar, [*rest[:k], x + c * s * direction, *rest[k + 1 :]]) for c in (-1, 0, 1)
            )
            return abs(above - 2 * at + below) / s

        wide, narrow = bend(h), bend(h / 8)
        return not (narrow <= 0.5 * wide or narrow <= 1e-7 * max(1.0, wide))

    def _difference(self, scalar: Callable[..., Any], k: int, direction: Array) -> tuple[float, float]:
        """Central differences with steps h, h/2, h/4, extrapolated to h = 0 (Richardson), and their uncertainty."""
        h = self.eps * max(1.0, float(np.abs(self.inputs[k]).max(initial=0.0)))
        steps = []
        for part in (h, h / 2, h / 4):
            up, down = (
                self._value(scalar, [x + s * direction if i == k else x for i, x in enumerate(self.inputs)])
                for s in (part, -part)
            )
            steps.append((up - down) / (2 * part))
        fourth = [(4 * b - a) / 3 for a, b in pairwise(steps)]
        sixth = (16 * fourth[1] - fourth[0]) / 15
        return sixth, abs(sixth - fourth[1])

    def _value(self, scalar: Callable[..., Any], inputs: list[Array]) -> float:
        out = scalar(*map(tensor, inputs))
        return float(out.detach().item())

    def _what(self, level: int) -> str:
        return f"the {'gradient' if level == 1 else f'derivative of order {level}'} of {self.name}"


def _directions(x: Array) -> Iterator[tuple[str, Array]]:
    """The coordinates, each with its name; for a large array random directions of length 1."""
    if x.size <= _MANY:
        for index in np.ndindex(x.shape):
            direction = np.zeros(x.shape)
            direction[index] = 1.0
            yield f"index {index}", direction
        return
    rng = np.random.default_rng(x.size)
    for k in range(_DIRECTIONS):
        direction = rng.standard_normal(x.shape)
        yield f"random direction {k}", direction / np.sqrt((direction**2).sum())


# --------------------------------------------------------------------------------------------------- the scalar engine


def against_scalar(
    f: Callable[..., Any], *arrays: Operand, rtol: float | None = None, atol: float | None = None
) -> None:
    """Run f on tensors and on object arrays of ``Value``; all results and all gradients must agree to rounding.

    f is plain NumPy code (and ``tt.`` functions for what NumPy lacks). Floating arrays become leaves, in their own
    dtype; arrays of integers or booleans are handed to f as they are. The results are contracted with fixed random
    numbers. ``rtol`` (default 1e-10, 1e-4 if an input is float32) is relative to each number, ``atol`` (the same
    default) to the largest one of its array, if that is above 1. Raises AssertionError, which names the function, the
    array, the index and both numbers, and ends with the smallest input that still fails.

    >>> import numpy as np
    >>> from tinytensor.testing import against_scalar
    >>> against_scalar(lambda x, w: np.tanh(x @ w).sum(axis=0), np.ones((3, 2)), np.full((2, 2), 0.5))
    """
    given: list[Any] = [a._data if isinstance(a, Tensor) else np.asarray(a) for a in arrays]
    try:
        _against_scalar(f, *given, rtol=rtol, atol=atol)
    except WrongError as error:
        options = "".join(f", {k}={v!r}" for k, v in {"rtol": rtol, "atol": atol}.items() if v is not None)
        check = partial(_against_scalar, f, rtol=rtol, atol=atol)
        raise report(error, given, check, f"against_scalar({spelled(f)}, %s{options})") from None


def _against_scalar(f: Callable[..., Any], *given: Any, rtol: float | None, atol: float | None) -> None:
    loose = any(a.dtype.kind == "f" and a.dtype.itemsize < 8 for a in given)
    rtol = (1e-4 if loose else 1e-10) if rtol is None else rtol
    atol = (1e-4 if loose else 1e-10) if atol is None else atol
    name = name_of(f)
    tensors: list[Any] = [tensor(a, requires_grad=True) if a.dtype.kind == "f" else a for a in given]
    scalars = [as_values(a) if a.dtype.kind == "f" else a for a in given]
    with np.errstate(all="ignore"):
        ours, reference = list(leaves_of(f(*tensors))), list(leaves_of(f(*scalars)))
    if len(ours) != len(reference):
        raise WrongError(f"against_scalar: {name} returned {len(ours)} tensors, but {len(reference)} arrays of Value")
    for k, (out, ref) in enumerate(zip(ours, reference, strict=True)):
        assert_near(_plain(out), numbers_of(ref), rtol, atol, f"against_scalar: result {k} of {name}")
    floating = [(o, r) for o, r in zip(ours, reference, strict=True) if isinstance(o, Tensor) and o.dtype.kind == "f"]
    walk_tensors([out for out, _ in floating])
    walk_values([ref for _, ref in floating])
    for k, (t, v) in enumerate(zip(tensors, scalars, strict=True)):
        if t is not v:
            got = np.zeros(t.shape, t.dtype) if t.grad is None else t.grad
            what = f"against_scalar: the gradient of {name} with respect to argument {k}"
            if got.dtype != t.dtype:
                raise WrongError(f"{what} has dtype {got.dtype}, the argument {t.dtype}")
            assert_near(got, gradients_of(v), rtol, atol, what)


def walk_tensors(results: list[Any]) -> None:
    """Contract tensors with fixed random numbers, and run backward."""
    parts = [np.sum(weights_for(k, t.shape).astype(t.dtype) * t) for k, t in enumerate(results)]
    total = sum(parts[1:], start=parts[0]) if parts else None
    if total is not None and total.requires_grad:
        total.backward()


def walk_values(results: list[Any]) -> None:
    """Contract object arrays of ``Value`` with the same numbers, and run backward."""
    total = Value(0.0)
    for k, array in enumerate(results):
        elements = np.asarray(array, object)
        for weight, element in zip(weights_for(k, elements.shape).flat, elements.flat, strict=True):
            total = total + element * float(weight)
    total.backward()


def as_values(a: Any) -> Any:
    """An object array of new ``Value`` leaves."""
    out = np.empty(a.shape, object)
    for index in np.ndindex(a.shape):
        out[index] = Value(float(a[index]))
    return out


def numbers_of(a: Any) -> Any:
    """The numbers in an object array of ``Value`` (or in a Value, or a number), as float64."""
    array = np.asarray(a, object)
    return np.array([float(v) for v in array.reshape(-1)], float).reshape(array.shape)


def gradients_of(a: Any) -> Any:
    """The gradients in an object array of ``Value``."""
    return np.array([float(v.grad) for v in a.reshape(-1)], float).reshape(a.shape)


# ------------------------------------------------------------------------------------------------------------ helpers


def name_of(f: Any) -> str:
    """What messages call a function."""
    return str(getattr(f, "__name__", None) or repr(f))


def spelled(f: Any) -> str:
    """A function's name as source; f, if it has none."""
    name = name_of(f)
    return name if name.isidentifier() else "f"


def leaves_of(out: Any) -> Iterator[Any]:
    """The arrays in nested tuples, lists and dicts."""
    if isinstance(out, dict):
        for key in out:
            yield from leaves_of(out[key])
    elif isinstance(out, (tuple, list)):
        for part in out:
            yield from leaves_of(part)
    else:
        yield out


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def weights_for(k: int, shape: tuple[int, ...]) -> Array:
    """Fixed random numbers between 0.5 and 1.5 in size, of either sign: the cotangent of result k."""
    rng = np.random.default_rng([k, *shape])
    signs: Array = rng.choice([-1.0, 1.0], shape)
    return signs * rng.uniform(0.5, 1.5, shape)


def assert_near(got: Any, expected: Any, rtol: float, atol: float, what: str) -> None:
    """Raise AssertionError with both numbers unless got = expected up to atol · (largest expected) + rtol · expected."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        raise WrongError(f"{what} has shape {got.shape}, expected {expected.shape}")
    if not got.size:
        return
    with np.errstate(all="ignore"):
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        finite = np.abs(expected[np.isfinite(expected)])
        allowed = atol * max(1.0, float(finite.max(initial=0.0))) + rtol * np.abs(expected)
        excess = np.where(same, 0.0, np.abs(got - expected) / np.where(np.isfinite(allowed), allowed, 1.0))
    excess = np.where(np.isnan(excess), np.inf, excess)
    index = np.unravel_index(int(excess.argmax()), got.shape)
    if excess[index] > 1:
        at = tuple(int(i) for i in index)
        raise WrongError(
            f"{what} is wrong",
            f"  shape:    {got.shape}\n  worst at: index {at}, of {int((excess > 1).sum())} wrong ones\n"
            f"  got:      {got[index]:.12g}\n  expected: {expected[index]:.12g}\n"
            f"  difference {abs(got[index] - expected[index]):.3g}, allowed {allowed[index]:.3g}",
            f"got {got[index]:.12g}, expected {expected[index]:.12g}",
        )
