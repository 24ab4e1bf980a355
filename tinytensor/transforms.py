"""Functions of functions, in reverse mode: ``grad``, ``value_and_grad``, ``elementwise_grad``, ``vjp``, to any order.

Arguments may be numbers, arrays, tensors, and nested lists, tuples, named tuples and dicts of them (``None`` holds a
place); a gradient has the containers of its argument. Forward mode is in :mod:`tinytensor.forward`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.graph import ones, recording, set_grad_enabled
from tinytensor.primitive import TensorBase, wrap
from tinytensor.tape import Inputs, Tape, array_of, base, handed_out, place, results, to_levels
from tinytensor.trees import map_leaves, paths, same_structure, skeleton

__all__ = ["elementwise_grad", "grad", "numbers_of", "stop_gradient", "value_and_grad", "vjp"]

Function = Callable[..., Any]


def numbers_of(argnums: int | Sequence[int]) -> tuple[int, ...]:
    """``argnums`` as a tuple."""
    return (int(argnums),) if isinstance(argnums, (int, np.integer)) else tuple(argnums)


def grad(
    f: Function,
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    create_graph: bool | None = None,
    allow_unused: bool | None = None,
) -> Function:
    """The function that computes ∂f/∂argument, for a scalar-valued f.

    ``argnums``: the number of the argument, or several (then a tuple is returned); negative ones count from the end. A
    gradient has the containers, shape and dtype of its argument, and its kind: a number or an ndarray in, the same
    out; a tensor in, a tensor out. It is itself differentiable: ``grad(grad(f))``. For a complex argument it is
    PyTorch's, ∂f/∂Re + i ∂f/∂Im.

    ``has_aux``: f returns (value, anything else), and so (gradient, anything else) is returned.
    ``create_graph``: whether the gradient is recorded. None: if something outside needs that, an argument that
    requires grad, a parameter that f reads, an enclosing ``grad``; True: tensors, in any case; False: never.
    ``allow_unused``: for an argument that f does not read, None gives zeros (as JAX and HIPS autograd do), True gives
    None, and False raises RuntimeError (as ``torch.autograd.grad`` does).

    Raises TypeError for an integer argument, and for an f that returns something else than one real number.

    >>> import numpy as np, tinytensor as tt
    >>> tt.grad(np.tanh)(0.0), tt.grad(tt.grad(lambda x: x**3))(2.0)
    (np.float64(1.0), np.float64(12.0))
    >>> tt.grad(lambda p: np.sum(p["w"] ** 2) * p["b"])({"w": np.array([1.0, 2.0]), "b": 3.0})
    {'w': array([ 6., 12.]), 'b': np.float64(5.0)}
    """
    both = value_and_grad(f, argnums, has_aux=has_aux, create_graph=create_graph, allow_unused=allow_unused)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(
    f: Function,
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    create_graph: bool | None = None,
    allow_unused: bool | None = None,
) -> Function:
    """The function that computes (f, ∂f/∂argument) in one pass; the options are those of :func:`grad`.

    With ``has_aux`` it returns ((f, anything else), ∂f/∂argument).

    >>> import numpy as np, tinytensor as tt
    >>> tt.value_and_grad(lambda x, y: x * y, argnums=(0, 1))(3.0, 4.0)
    (np.float64(12.0), (np.float64(4.0), np.float64(3.0)))
    """
    return _differentiated(f, argnums, has_aux, create_graph, allow_unused)


def _differentiated(
    f: Function, argnums: int | Sequence[int], has_aux: bool = False, create_graph: bool | None = None,
    allow_unused: bool | None = None, every: bool = False,
) -> Function:  # fmt: skip
    """What ``value_and_grad`` returns; with ``every`` for an f of any shape, and the gradient of its sum."""
    numbers, single = numbers_of(argnums), isinstance(argnums, (int, np.integer))

    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        outer = recording() if create_graph is None else create_graph
        places = [n if 0 <= n < len(args) else place(n, len(args), argnums, "grad") for n in numbers]
        inputs = Inputs(args, places if single else list(dict.fromkeys(places)), "grad", outer)
        out = _called(f, inputs.arguments, kwargs)
        out, aux = _with_aux(out, "grad") if has_aux else (out, None)
        _check_number(out, every)
        tape = Tape(inputs.nodes, [out], outer)
        lifted = tape.lifted or bool(create_graph)
        seed = ones(array_of(out)) if tape.roots else None
        arrived = tape.pull([wrap(seed, None) if lifted else seed], lifted, lifted)
        if allow_unused is False and None in arrived:
            raise _unused(inputs, arrived)
        found = [inputs.like(k, g, lifted, not allow_unused) for k, g in enumerate(arrived)]
        plain = not lifted and inputs.plain()
        value = handed_out(out, plain, lifted)
        if has_aux:
            value = value, map_leaves(lambda x: handed_out(x, plain, lifted), aux)
        shaped = inputs.shaped(found)
        if single:
            return value, shaped[0]
        at = dict(zip(inputs.places, shaped, strict=True))
        return value, tuple([at[n] for n in places])

    return value_and_gradient


def _called(f: Function, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """What f returns, recorded."""
    if recording():
        return f(*args, **kwargs)
    with set_grad_enabled(True):
        return f(*args, **kwargs)


def _with_aux(out: Any, op: str) -> tuple[Any, Any]:
    if not isinstance(out, tuple) or len(out) != 2:
        raise TypeError(f"{op}: with has_aux=True the function must return (value, aux), got {type(out).__name__}")
    return out


def _check_number(out: Any, every: bool) -> None:
    if isinstance(out, TensorBase):
        shape, dtype, size = out.shape, out.dtype, out.size  # type: ignore[attr-defined]
    else:
        array = asarray(out)
        shape, dtype, size = array.shape, array.dtype, array.size
    if (size != 1 and not every) or dtype.kind != "f":
        real = dtype.kind == "c" and (size == 1 or every)
        hint = "take its real part, or abs" if real else "reduce it with .sum() or .mean()"
        raise TypeError(f"grad: the function must return one floating number, got shape {shape} of {dtype}; {hint}")


def _unused(inputs: Inputs, arrived: list[Any]) -> RuntimeError:
    names = [name for n in inputs.places for name in paths(inputs.arguments[n], f"args[{n}]")]
    missing = ", ".join([name for name, g in zip(names, arrived, strict=True) if g is None])
    return RuntimeError(
        f"grad: the function does not read {missing}; allow_unused=True gives None there, allow_unused=None zeros"
    )


def elementwise_grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The derivative at every element of a function that works element by element: ∂(Σ f)/∂argument.

    Of a function that mixes elements it is the sum of the Jacobian's rows. Follows HIPS autograd's.

    >>> import numpy as np, tinytensor as tt
    >>> tt.elementwise_grad(np.sin)(np.array([0.0, np.pi]))
    array([ 1., -1.])
    """
    both = _differentiated(f, argnums, every=True)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def stop_gradient(tree: Any) -> Any:
    """The same values, as constants: what is computed from them has no derivative with respect to what made them.

    Tensors in nested lists, tuples and dicts are detached; arrays and numbers are returned as they are.

    >>> import tinytensor as tt
    >>> tt.grad(lambda x: x * tt.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    return map_leaves(lambda x: x.detach() if isinstance(x, TensorBase) else x, tree)  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------- products with rows


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> Any:
    """(f(*primals), pull), where ``pull(v)`` is vᵀ·J: for each primal the products of v with the Jacobian's columns.

    f may return any nested structure; v has the same one, and pull returns a tuple with one entry for each primal. It
    may be called any number of times. ``has_aux``: f returns (value, anything else), which comes third. Follows JAX's
    and ``torch.func.vjp``; complex cotangents follow PyTorch's convention: pull is v ↦ Jᴴ·v.

    >>> import numpy as np, tinytensor as tt
    >>> value, pull = tt.vjp(lambda x, y: (x * y, x.sum()), np.array([1.0, 2.0]), 3.0)
    >>> value
    (array([3., 6.]), np.float64(3.0))
    >>> pull((np.array([1.0, 0.0]), 1.0))
    (array([4., 1.]), np.float64(1.0))
    """
    outer = recording()
    inputs = Inputs(primals, range(len(primals)), "vjp", outer)
    with set_grad_enabled(True):
        out = f(*inputs.arguments)
    out, aux = _with_aux(out, "vjp") if has_aux else (out, None)
    outs = results(out, "vjp")
    tape = Tape(inputs.nodes, outs, outer)
    plain = not tape.lifted and inputs.plain()
    value = map_leaves(lambda x: handed_out(x, plain, tape.lifted), out)
    names, structure = paths(out, "cotangent"), skeleton(out)
    shapes = [np.shape(x) for x in outs]
    arrays = [array_of(x) for x in outs]
    full, kinds = [a.shape for a in arrays], [a.dtype for a in arrays]
    del out, outs, arrays

    def pull(cotangent: Any) -> tuple[Any, ...]:
        given = same_structure(cotangent, structure, "vjp", "cotangent", "the result")
        recorded = recording() and (tape.lifted or any(_requires_grad(g) for g in given))
        cotangents = [
            _as_cotangent(g, shapes[i], full[i], kinds[i], names[i], recorded) if i in tape.at else None
            for i, g in enumerate(given)
        ]
        arrived = tape.pull(cotangents, recorded, True)
        return tuple(inputs.shaped([inputs.like(k, g, recorded) for k, g in enumerate(arrived)]))

    if has_aux:
        return value, pull, map_leaves(lambda x: handed_out(x, plain, tape.lifted), aux)
    return value, pull


def _requires_grad(x: Any) -> bool:
    inner = base(x)
    return isinstance(inner, TensorBase) and inner._node is not None


def fitted(x: Any, shape: Any, full: Any, dtype: Any, op: str, name: str, recorded: bool) -> Any:
    """A tangent or cotangent as it enters the graph: of exactly this shape, in this dtype, with the batch axes."""
    if np.shape(x) != shape:
        raise ValueError(f"{op}: {name} must have the shape {shape}, got {np.shape(x)}")
    if len(full) != len(shape):
        x = to_levels(x)
    x = base(x)
    kind = x._data.dtype if isinstance(x, TensorBase) else asarray(x).dtype
    if kind.kind not in "biuf" and not (kind.kind == "c" and dtype.kind == "c"):
        raise TypeError(f"{op}: {name} must be of {dtype}, got {kind}")
    if isinstance(x, TensorBase) and recorded:
        return x if kind == dtype else x.astype(dtype)  # type: ignore[attr-defined]
    array = asarray(x._data if isinstance(x, TensorBase) else x, dtype)
    if array.shape != full:
        array = np.broadcast_to(array, full)
    return wrap(array, None) if recorded else array


def _as_cotangent(x: Any, shape: Any, full: Any, dtype: Any, name: str, recorded: bool) -> Any:
    x = fitted(x, shape, full, dtype, "vjp", name, recorded)
    return np.conj(x) if dtype.kind == "c" else x
