"""Primitives: a NumPy function, and beside it the rule of each input's derivative, written in NumPy too.

A rule names what it needs, and only that is kept for backward::

    @primitive(np.multiply, broadcasts=True, x=lambda g, y: g * y, y=lambda g, x: g * x)
    def multiply(x, y):
        return np.multiply(x, y)

The names a rule may ask for, after the cotangent ``g`` of the output:

* an input or an option of the function, by its name; ``out``, the function's result;
* ``x_shape``, ``x_dtype`` for an input ``x``: no array is kept;
* for a function of any number of inputs ``*xs``: ``i``, the position of the input whose gradient is asked for;
  ``xs``, all inputs; ``others``, all but the i-th (which may be ``None``); ``xs_shape``, all shapes;
* ``needs``: which inputs need a gradient, for a ``joint`` rule, which returns the gradients of all inputs at once.

Given arrays, a rule computes the gradient. Given tensors, it records the gradient's own graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.deferred import Deferred, batched
from tinytensor.graph import Node, fresh, recording
from tinytensor.sharing import Family, kin, leak

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["DISPATCH", "OPS", "Op", "TensorBase", "cast", "composite", "has_tensors", "operand", "primitive", "sum_to"]

F = TypeVar("F", bound=Callable[..., Any])
_new = object.__new__
_ndarray = np.ndarray

#: NumPy's function -> ours, for ``np.name(tensor)``.
DISPATCH: dict[Any, Callable[..., Any]] = {}
#: name -> primitive: what a pickled graph refers to.
OPS: dict[str, Op] = {}


class TensorBase:
    """What the engine knows of a tensor: an array and the node it came from (``None``: no gradient)."""

    __slots__ = ("__weakref__", "_data", "_node", "_viewed")
    _data: npt.NDArray[Any]
    _node: Node | None
    _viewed: Family | None  # who else looks at the array; unset until a view or an alias is handed out


_Tensor: Any = TensorBase  # the class with methods, told once by the module that defines it


def use_tensor_class(cls: type[TensorBase]) -> None:
    """Make primitives return ``cls``."""
    global _Tensor
    _Tensor = cls


def wrap(array: Any, node: Node | None) -> Any:
    """A tensor of ``array`` that came from ``node``."""
    t = _new(_Tensor)
    t._data = array if array.__class__ is _ndarray else asarray(array)
    t._node = node
    return t


# ----------------------------------------------------------------------------------------------------- primitives


class Signature:
    """The parameters of a function, and how a call's arguments find them."""

    __slots__ = ("defaults", "name", "params")

    def __init__(self, function: Callable[..., Any]) -> None:
        code: Any = function.__code__
        self.name = function.__name__.lstrip("_")
        self.params: tuple[str, ...] = code.co_varnames[: code.co_argcount]
        self.defaults: tuple[Any, ...] = function.__defaults__ or ()

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Positional values of all parameters; PyTorch's ``dim`` and ``keepdim`` and NumPy's input names are known."""
        name, params, n = self.name, self.params, len(self.params)
        if not kwargs and 0 < n - len(args) <= len(self.defaults):  # the rest at their defaults
            return args + self.defaults[len(args) - n :]
        if len(args) > n:
            raise TypeError(f"{name}() takes {n} arguments ({', '.join(params)}), got {len(args)}")
        given: dict[str, Any] = dict(zip(params, args, strict=False))
        for key, value in kwargs.items():
            target = key if key in params else next((p for p in _ALIASES.get(key, ()) if p in params), None)
            if target is None:
                if any(
                    value is neutral or (type(value) is str and value == neutral) for neutral in _NEUTRAL.get(key, ())
                ):
                    continue
                hint = _HINTS.get(key, "its arguments are " + ", ".join(params))
                raise TypeError(f"{name}() does not take {key}=: {hint}")
            if target in given:
                raise TypeError(f"{name}() got {target!r} twice")
            given[target] = value
        required = params[: n - len(self.defaults)]
        missing = [p for p in required if p not in given]
        if missing:
            raise TypeError(f"{name}() is missing {', '.join(missing)}")
        defaults = dict(zip(params[len(required) :], self.defaults, strict=True))
        return tuple([given[p] if p in given else defaults[p] for p in params])


class Op(Signature):
    """What is known of a primitive: its forward function, its rules, and what they keep."""

    __slots__ = (
        "broadcasts",
        "drops_own",
        "element",
        "elementwise",
        "forward",
        "inputs",
        "into",
        "joint",
        "keeps",
        "key",
        "names",
        "options",
        "out",
        "outputs",
        "part",
        "pulls",
        "reads",
        "shapes",
        "variadic",
    )  # fmt: skip
    sum_to: Any  # the two primitives that the walk itself needs, and the first one's bare forward function
    sum_arrays: Any
    cast: Any

    def __init__(self, function: Callable[..., Any], forward: Callable[..., Any], rules: dict[str, Any], joint: Any,
                 inputs: tuple[str, ...], into: dict[str, Any], broadcasts: bool, outputs: bool | type,
                 element: str | None, elementwise: bool) -> None:  # fmt: skip
        super().__init__(function)
        code: Any = function.__code__
        self.key = f"{function.__module__}.{function.__qualname__}"
        self.forward, self.broadcasts, self.outputs, self.element = forward, broadcasts, outputs, element
        self.part = False
        self.elementwise = elementwise or (isinstance(forward, np.ufunc) and forward.signature is None)
        self.variadic = bool(code.co_flags & 0x04)
        if self.variadic:
            self.params += (code.co_varnames[code.co_argcount],)
        if unknown := [p for p in (*rules, *into, *inputs) if p not in self.params]:
            raise TypeError(f"{self.name}: rules are given for {', '.join(unknown)}; it has {', '.join(self.params)}")
        self.inputs = tuple([i for i, p in enumerate(self.params) if p in rules or p in inputs])
        if not self.inputs or (self.variadic and self.inputs != (len(self.params) - 1,)):
            raise TypeError(
                f"{self.name}: a primitive needs a rule for an input (for *{self.params[-1]}, if it has it)"
            )
        self.options = tuple([i for i in range(len(self.params) - self.variadic) if i not in self.inputs])
        names = [self.params[i] for i in self.inputs]
        everything = [*rules.values(), *([joint] if joint else [])]
        asked = {name for rule in everything for name in _asks(rule)} | {n for r in into.values() for n in _asks(r)}
        self.shapes = [
            (i, kind)
            for p, i in zip(names, self.inputs, strict=True)
            for kind in ("shape", "dtype")
            if f"{p}_{kind}" in asked
        ]
        self.out = len(self.params)
        self.names = (*self.params, "out", *(f"{self.params[i]}_{kind}" for i, kind in self.shapes))
        if "needs" in asked:
            self.names += ("needs",)
        self.drops_own = self.variadic and "others" in asked
        rule_of = {p: joint or rules[p] for p in names}
        self.joint = self._reader(joint) if joint else None
        self.pulls: Any = [self._reader(rule_of[p]) for p in names]
        self.into: Any = [self._reader(into[p], after=2) if p in into else None for p in names] if into else None
        self.reads = [self._positions(rule_of[p], into.get(p)) for p in names]
        self.keeps: dict[tuple[bool, ...], tuple[int, ...]] = {}
        if self.variadic:  # one rule serves every input
            self.pulls = _Same(self.pulls)
            self.into = _Same(self.into) if self.into else None

    # -- rules by the names of their parameters

    def _place(self, name: str) -> int:
        if name == "i" and self.variadic:
            return -1
        if name == "others" and self.variadic:
            return len(self.params) - 1
        try:
            return self.names.index(name)
        except ValueError:
            raise TypeError(
                f"{self.name}: a rule asks for {name!r}; it may ask for {', '.join(self.names)}, or <input>_shape and "
                "<input>_dtype"
            ) from None

    def _reader(self, rule: Callable[..., Any], after: int = 1) -> Callable[[Any, Any, Any], Any]:
        """``rule`` as a function of (cotangent, saved values, input's number or accumulator)."""
        places = [self._place(name) for name in _asks(rule, after)]
        if after == 2:  # writes into an accumulator, which comes first
            return lambda g, saved, accumulator: rule(accumulator, g, *[saved[p] for p in places])
        if -1 in places:
            return lambda g, saved, k: rule(g, *[k if p < 0 else saved[p] for p in places])
        if not places:
            return lambda g, saved, k: rule(g)
        if len(places) == 1:
            (a,) = places
            return lambda g, saved, k: rule(g, saved[a])
        if len(places) == 2:
            a, b = places
            return lambda g, saved, k: rule(g, saved[a], saved[b])
        return lambda g, saved, k: rule(g, *[saved[p] for p in places])

    def _positions(self, rule: Any, into: Any) -> set[int]:
        names = [*_asks(rule), *(_asks(into, 2) if into else ())]
        return {p for p in map(self._place, names) if p >= 0}

    def keep(self, needs: tuple[bool, ...]) -> tuple[int, ...]:
        """Positions of the values to save when these inputs need a gradient."""
        found = self.keeps.get(needs)
        if found is None:
            reads = self.reads * len(needs) if self.variadic else self.reads
            used = [places for places, needed in zip(reads, needs, strict=True) if needed]
            found = self.keeps[needs] = tuple(sorted(set().union(*used)))
        return found

    def input_name(self, k: int) -> str:
        return f"{self.params[-1]}[{k}]" if self.variadic else self.params[self.inputs[k]]

    def relink(self, node: Node) -> list[Any]:
        """The saved values of ``node`` as tensors of its graph: what a rule needs to record its own derivative."""
        saved = list(node.saved)
        if self.variadic:
            at = self.inputs[0]
            if saved[at] is not None:
                pairs = zip(saved[at], node.parents, strict=True)
                saved[at] = tuple(x if p is None or x is None else wrap(x, p) for x, p in pairs)
        else:
            for at, parent in zip(self.inputs, node.parents, strict=True):
                if parent is not None and saved[at] is not None:
                    saved[at] = wrap(saved[at], parent)
        if saved[self.out] is not None:
            out = saved[self.out]
            saved[self.out] = _parts(out, node) if self.outputs else wrap(out, node)
        return saved

    def plain(self, values: Any) -> Any:
        """The forward function on plain arrays, numbers and object arrays of ``Value``."""
        for i in self.inputs:
            if type(values[i]) in (list, tuple):
                values = list(values)
                values[i] = asarray(values[i])
        if self.element is not None and any(asarray(values[i]).dtype == object for i in self.inputs):
            return _elementwise(self.element, [values[i] for i in self.inputs], [values[i] for i in self.options])
        return self.forward(*values)

    def __repr__(self) -> str:
        return f"<primitive {self.name}({', '.join(self.params)})>"

    def __reduce__(self) -> Any:
        if OPS.get(self.key) is not self:
            raise TypeError(
                f"the graph uses the primitive {self.key}, but that name now means another one, so it cannot be pickled; "
                "give every primitive a name of its own at the top level of a module"
            )
        return _find_op, (self.key,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Op:
        return self


def _elementwise(name: str, arrays: list[Any], options: list[Any]) -> Any:
    """Call the method ``name`` of each element; a function of two arrays is symmetric."""

    def call(first: Any, *second: Any) -> Any:
        if second and not hasattr(first, name):
            first, second = second[0], (first,)
        return getattr(first, name)(*second, *options)

    return np.frompyfunc(call, len(arrays), 1)(*arrays)


class _Same(list[Any]):
    """One rule for every input of a variadic op."""

    def __getitem__(self, k: Any) -> Any:
        return super().__getitem__(0)


def _asks(rule: Callable[..., Any], after: int = 1) -> tuple[str, ...]:
    code: Any = rule.__code__
    names: tuple[str, ...] = code.co_varnames[after : code.co_argcount]
    return names


def _find_op(key: str) -> Op:
    try:
        if key not in OPS and key.startswith("tinytensor.ops."):  # a family that nobody has used yet
            __import__(key.rpartition(".")[0])
        return OPS[key]
    except KeyError:
        raise LookupError(f"the graph uses the primitive {key}; import the module that defines it first") from None


_ALIASES = {
    "dim": ("axis", "axes"), "keepdim": ("keepdims",), "dims": ("axes", "axis"), "correction": ("ddof",),
    "a": ("x",), "arr": ("x",), "m": ("x",), "v": ("x",), "ary": ("x",), "array": ("x",), "input": ("x",), "b": ("y",),
    "x1": ("x",), "x2": ("y",), "other": ("y",), "a_min": ("lo",), "a_max": ("hi",), "min": ("lo",), "max": ("hi",),
    "newshape": ("shape",), "A": ("x",), "filt": ("x",), "p": ("x",), "z": ("x",), "val": ("x",), "shifts": ("shift",), "diagonal": ("k",), "dim1": ("axis1",),
    "dim2": ("axis2",),
}  # fmt: skip
_NOTHING = (None, np._NoValue)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "out": _NOTHING, "dtype": _NOTHING, "where": (True, *_NOTHING), "initial": _NOTHING, "order": ("C", "K", "A", None),
    "subok": (True, False), "casting": ("same_kind",), "copy": (None, True), "mean": _NOTHING, "correction": _NOTHING,
    "optimize": (False,), "UPLO": ("L",), "device": (None, "cpu"), "overwrite_input": (True, False),
    "inplace": (True, False),  # the result is what is returned, in new memory
}  # fmt: skip
_HINTS = {
    "out": "a result cannot be written into another array; assign it: t = f(x)",
    "where": "use tt.where(condition, f(x), other)",
    "dtype": "use x.astype(dtype) first",
    "initial": "combine the initial value with the result instead",
}


# ------------------------------------------------------------------------------------------------------ operands

_NUMBERS = frozenset({float, int, bool, complex})


def operand(value: Any, op: Any) -> Any:
    """What stands beside a tensor, as NumPy takes it: numbers stay weak, lists become arrays, the rest is refused."""
    kind = value.__class__
    if kind in _NUMBERS or (kind is _ndarray and value.dtype.kind in "biufc"):
        return value
    if (kind is _ndarray and value.dtype == object) or hasattr(value, "_prev"):
        raise TypeError(
            f"{op.name}: a tensor and a scalar Value cannot be mixed. Run the program on object arrays of Value alone, "
            "or on tensors alone."
        )
    array = value if isinstance(value, np.generic) else asarray(value)
    if hasattr(value, "tocsr"):
        raise TypeError(f"{op.name}: for SciPy's A and a tensor: tt.sparse.matmul(A, t), or t @ tt.sparse.csr_array(A)")
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{op.name}: expected a number, an array or a tensor, got {kind.__name__} {value!r:.60}")
    return array


def _refuse_option(op: Op, position: int) -> NoReturn:
    raise TypeError(
        f"{op.name}: argument {op.params[position]!r} has no derivative, but the tensor given requires grad. "
        "Pass t.detach() if its gradient is meant to be dropped."
    )


# ----------------------------------------------------------------------- recorders: one lean function per arity


def _parts(outs: Any, whole: Node) -> Any:
    """The outputs of an op with several: each a tensor whose node points at the op's."""
    made = []
    for i, out in enumerate(outs):
        node = Node()
        node.seq, node.op, node.parents, node.saved = fresh(), PART, (whole,), (i,)
        node.shape, node.dtype, node.grad = out.shape, out.dtype, False
        made.append(wrap(out, node))
    return _named(whole.op, made)


def _named(op: Any, made: list[Any]) -> Any:
    """Several outputs as a tuple, of NumPy's own type where it has one (``EighResult``)."""
    return tuple(made) if op.outputs is True else op.outputs(*made)


def _seen(out: Any, *xs: Any) -> Any:
    """An output that may look at an input's memory, or be an input: a later write in place must know."""
    for x in xs:
        if isinstance(x, TensorBase):
            if out is x._data:
                out = out.view()
            if out.base is not None:
                leak(x)
    return out


def _unary(op: Op) -> Callable[..., Any]:
    forward, kept, bare = op.forward, op.keep((True,)), op.element is None
    keep_x, keep_out = 0 in kept, op.out in kept
    views = not isinstance(forward, np.ufunc)  # those always return new memory

    def apply(x: Any = None, *, input: Any = None, inplace: bool = False) -> Any:  # PyTorch's names, at no cost
        if not isinstance(x, TensorBase):
            if x is None:
                return apply(*op.bind((), {} if input is None else {"input": input}))
            return forward(x) if bare and type(x) is _ndarray else op.plain((x,))
        try:
            a, parent = x._data, x._node
            out = forward(a)
        except Deferred:
            return batched(op, apply, (x,))
        if out.__class__ is not _ndarray:
            out = asarray(out)
        elif views and (out is a or out.base is not None):
            out = _seen(out, x)
        t = _new(_Tensor)
        t._data = out
        if parent is None or not recording():
            t._node = None
            return t
        t._node = node = Node()
        node.seq = fresh()
        node.op = op
        node.parents = (parent,)
        node.saved = (a if keep_x else None, out if keep_out else None)
        node.shape = out.shape
        node.dtype = out.dtype
        node.grad = False
        return t

    return apply


def _binary(op: Op) -> Callable[..., Any]:
    forward, bare, shapes = op.forward, op.element is None, op.shapes
    views = not isinstance(forward, np.ufunc)

    keep_for_x, keep_for_y = op.keep((True, False)), op.keep((False, True))
    x_kept, y_kept, out_kept = (k in keep_for_x or k in keep_for_y for k in range(3))

    def apply(x: Any, y: Any) -> Any:
        a: Any
        b: Any
        try:
            if x.__class__ is _Tensor and y.__class__ is _Tensor:
                a = x._data
                b = y._data
                p = x._node
                q = y._node
            elif isinstance(x, TensorBase):
                a, p = x._data, x._node
                if isinstance(y, TensorBase):
                    b, q = y._data, y._node
                else:
                    b, q = y if type(y) is float and not shapes else operand(y, op), None
            elif isinstance(y, TensorBase):
                a, p = operand(x, op), None
                b, q = y._data, y._node
            elif bare and type(x) is _ndarray and type(y) is _ndarray:  # in rules, most of the time
                return forward(x, y)
            else:
                return op.plain((x, y))
            out = forward(a, b)
        except Deferred:
            return batched(op, apply, (x, y))
        if out.__class__ is not _ndarray:
            out = asarray(out)
        elif views and (out is a or out is b or out.base is not None):
            out = _seen(out, x, y)
        t = _new(_Tensor)
        t._data = out
        if p is not None and q is not None and recording():
            saved: Any = (a if x_kept else None, b if y_kept else None, out if out_kept else None)
        elif (p is None and q is None) or not recording():
            t._node = None
            return t
        else:
            kept = keep_for_x if q is None else keep_for_y
            saved = (a if 0 in kept else None, b if 1 in kept else None, out if 2 in kept else None)
        t._node = node = Node()
        node.seq = fresh()
        node.op = op
        node.parents = (p, q)
        node.saved = saved
        if shapes:
            node.saved += tuple([getattr((a, b)[i], kind) for i, kind in shapes])
        node.shape = out.shape
        node.dtype = out.dtype
        node.grad = False
        return t

    return apply


def _one(op: Op) -> Callable[..., Any]:
    """One differentiable input, the first, and options."""
    forward, n, out_at, shapes, kept = op.forward, len(op.params), op.out, op.shapes, op.keep((True,))
    kept_options = [at for at in kept if 0 < at < out_at]
    keep_x, keep_out, blank = 0 in kept, out_at in kept, [None] * len(op.names)

    def apply(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != n:
            args = op.bind(args, kwargs)
        x, *options = args
        try:
            for i, option in enumerate(options):
                if isinstance(option, TensorBase):
                    options[i] = _constant(op, i + 1, option)
                    x = x if isinstance(x, TensorBase) else wrap(x, None)
            if not isinstance(x, TensorBase):
                return op.plain(args)
            a, parent = x._data, x._node
            out = forward(a, *options)
        except Deferred:
            return batched(op, apply, args)
        if out.__class__ is not _ndarray:
            out = asarray(out)
        elif out is a:
            out = a.view()
        t = _new(_Tensor)
        t._data = out
        if out.base is not None:  # perhaps a view: a later write in place must know
            kin(x, t)
        if parent is None or not recording():
            t._node = None
            return t
        saved: list[Any] = blank[:]
        if keep_x:
            saved[0] = a
        if keep_out:
            saved[out_at] = out
        for at in kept_options:
            saved[at] = options[at - 1]
        for at, (_, kind) in enumerate(shapes, out_at + 1):
            saved[at] = a.shape if kind == "shape" else a.dtype
        t._node = node = Node()
        node.seq = fresh()
        node.op = op
        node.parents = (parent,)
        node.saved = saved
        node.shape = out.shape
        node.dtype = out.dtype
        node.grad = False
        return t

    return apply


def _general(op: Op, forward: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Any inputs and options, in any order; several outputs. ``forward``: in the place of the op's own."""
    inputs, options, n, out_at = op.inputs, op.options, len(op.params), op.out
    forward = forward or op.forward
    shapes, has_needs, blank = op.shapes, op.names[-1] == "needs", [None] * len(op.names)

    def apply(*args: Any, **kwargs: Any) -> Any:
        given = args if not kwargs and len(args) == n else op.bind(args, kwargs)
        values = list(given)
        nodes: list[Node | None] = []
        tensors = []
        try:
            for at in inputs:
                x = values[at]
                if isinstance(x, TensorBase):
                    values[at] = x._data
                    nodes.append(x._node)
                    tensors.append(x)
                else:
                    nodes.append(None)
            lifted = bool(tensors)
            for at in options:
                x = values[at]
                if isinstance(x, TensorBase):
                    values[at], lifted = _constant(op, at, x), True
            if not lifted:
                return op.plain(values)
            for at in inputs:
                if values[at].__class__ is not _ndarray and values[at] is not None:
                    values[at] = operand(values[at], op)
            out = forward(*values)
        except Deferred:
            return batched(op, apply, given)
        for at in inputs:
            if out is values[at] and out is not None:
                out = out.view()
        for o in out if op.outputs else (out,):
            if o.__class__ is _ndarray and o.base is not None:  # perhaps a view: a later write in place must know
                for x in tensors:
                    leak(x)
        needs = tuple([node is not None for node in nodes])
        if True not in needs or not recording():
            return _results(op, out, None)
        saved: list[Any] = blank[:]
        for at in op.keep(needs):
            if at < out_at:
                saved[at] = values[at]
            elif at == out_at:
                saved[at] = out
        for j, (at, kind) in enumerate(shapes, out_at + 1):
            saved[j] = np.shape(values[at]) if kind == "shape" else np.asarray(values[at]).dtype
        if has_needs:
            saved[-1] = needs
        return _results(op, out, _node(op, tuple(nodes), saved))

    return apply


def _variadic(op: Op, forward: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Options first, then any number of inputs, all under one rule. ``forward``: in the place of the op's own."""
    n_options, out_at, shapes = len(op.params) - 1, op.out, op.shapes
    forward = forward or op.forward
    blank = [None] * len(op.names)

    def apply(*args: Any) -> Any:
        options, xs = args[:n_options], args[n_options:]
        if not any(isinstance(x, TensorBase) for x in xs):
            return forward(*options, *[asarray(x) for x in xs])
        nodes = tuple([x._node if isinstance(x, TensorBase) else None for x in xs])
        try:
            arrays = tuple([x._data if isinstance(x, TensorBase) else asarray(operand(x, op)) for x in xs])
            out = forward(*options, *arrays)
        except Deferred:
            return batched(op, apply, args)
        if out.__class__ is _ndarray:
            out = _seen(out, *xs)
        needs = tuple([node is not None for node in nodes])
        if True not in needs or not recording():
            return _results(op, out, None)
        saved: list[Any] = blank[:]
        for at in op.keep(needs):
            saved[at] = options[at] if at < n_options else arrays if at == n_options else out if at == out_at else None
        if saved[n_options] is not None and op.drops_own and sum(needs) == 1:
            saved[n_options] = tuple([None if needed else x for x, needed in zip(arrays, needs, strict=True)])
        for j, (_, kind) in enumerate(shapes, out_at + 1):
            saved[j] = tuple([getattr(x, kind) for x in arrays])
        return _results(op, out, _node(op, nodes, saved))

    return apply


def _constant(op: Op, at: int, option: TensorBase) -> Any:
    """The array of a tensor that stands where there is no derivative."""
    if option._node is not None and recording():
        _refuse_option(op, at)
    return option._data


def _node(op: Op, parents: tuple[Node | None, ...], saved: Any) -> Node:
    node = Node()
    node.seq, node.op, node.parents, node.saved, node.grad = fresh(), op, parents, saved, False
    return node


def _results(op: Op, out: Any, node: Node | None) -> Any:
    """The output as a tensor, the outputs as a tuple of them."""
    if op.outputs:
        outs = tuple([o if o.__class__ is _ndarray else asarray(o) for o in out])
        if node is None:
            return _named(op, [wrap(o, None) for o in outs])
        node.shape, node.dtype = tuple([o.shape for o in outs]), None
        return _parts(outs, node)
    t = wrap(out, node)
    if node is not None:
        node.shape, node.dtype = t._data.shape, t._data.dtype
    return t


def _recorder(op: Op) -> Callable[..., Any]:
    """The leanest function that can record this op."""
    if op.variadic:
        return _variadic(op)
    if op.outputs or op.joint or (op.into is not None and op.inputs != (0,)) or "needs" in op.names:
        return _general(op)
    if op.inputs == (0,):
        return _unary(op) if len(op.names) == 2 else _one(op)
    return _binary(op) if op.inputs == (0, 1) and len(op.params) == 2 else _general(op)


def primitive(
    *numpy_functions: Any,
    joint: Callable[..., Any] | None = None,
    inputs: tuple[str, ...] = (),
    into: dict[str, Callable[..., None]] | None = None,
    broadcasts: bool = False,
    outputs: bool | type = False,
    element: str | None = None,
    elementwise: bool = False,
    **rules: Callable[..., Any],
) -> Callable[[F], F]:
    """Make a NumPy function a primitive: give each differentiable input its rule.

    ``numpy_functions`` are those that ``np.name(tensor)`` should bring here; if the first is a ufunc, it is the
    forward function itself. ``joint`` returns the gradients of all ``inputs`` at once. ``into[name]`` adds a
    gradient into an accumulator instead of returning it. ``broadcasts``: the walk sums the gradient to the input's
    shape. ``outputs``: the function returns a tuple (of this NamedTuple type, if it is a type), and ``g`` is a tuple
    with ``None`` for an unused output. ``elementwise``: each result depends on the elements at its own place alone, so
    that a rule serves forward mode as it stands (known of ufuncs). ``element`` is the method of the scalar ``Value``
    that stands for the function in object arrays.

    For complex inputs a rule is the same line: the walk carries plain transposes, g · ∂out/∂x without conjugates, and
    conjugates once, where a gradient arrives at its leaf (PyTorch's convention).

    >>> import numpy as np, tinytensor as tt
    >>> @tt.primitive(x=lambda g, x: g * 3 * x**2)
    ... def cube(x):
    ...     return x * x * x
    >>> tt.grad(tt.grad(cube))(2.0)
    np.float64(12.0)
    """

    def decorate(function: F) -> F:
        native = bool(numpy_functions) and isinstance(numpy_functions[0], np.ufunc)
        forward = numpy_functions[0] if native else function
        op = Op(function, forward, rules, joint, inputs, into or {}, broadcasts, outputs, element, elementwise)
        OPS[op.key] = op
        return _publish(_recorder(op), function, numpy_functions, op)

    return decorate


def has_tensors(args: Any) -> bool:
    """Whether a tensor is among the arguments, or inside a list or tuple of them."""
    return any(isinstance(x, TensorBase) or (type(x) in (list, tuple) and has_tensors(x)) for x in args)


def _arrays(out: Any) -> Any:
    """Arrays in place of tensors."""
    if type(out) in (list, tuple):
        return type(out)([_arrays(part) for part in out])
    return out._data if isinstance(out, TensorBase) else out


def composite(*numpy_functions: Any) -> Callable[[F], F]:
    """Publish a function that is written in terms of primitives, under NumPy's names too.

    On plain arrays it is NumPy's function itself (the first one named), bit by bit.
    """

    def decorate(function: F) -> F:
        signature = Signature(function)
        plain = numpy_functions[0] if numpy_functions else None

        def apply(*args: Any, **kwargs: Any) -> Any:
            if plain is not None and not has_tensors(args) and not (kwargs and has_tensors(kwargs.values())):
                try:
                    return plain(*args, **kwargs)
                except TypeError:
                    if not any(key in _ALIASES or key in signature.params for key in kwargs):
                        raise
                return _arrays(function(*signature.bind(args, kwargs)))  # PyTorch's names of arguments, or ours
            given = signature.bind(args, kwargs) if kwargs else args
            try:
                return function(*given)
            except Deferred:
                return batched(signature, plain, given)

        return _publish(apply, function, numpy_functions, signature)

    return decorate


def _publish(apply: Any, function: F, numpy_functions: tuple[Any, ...], op: Signature) -> F:
    update_wrapper(apply, function)
    apply.op = op
    for name in numpy_functions:
        DISPATCH[name] = apply
    return apply  # type: ignore[no-any-return]


# --------------------------------------------------------------------------- the two primitives that the walk needs


def _expand(g: Any, shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(g, shape)


@primitive(x=lambda g, x_shape: _expand(g, x_shape))
def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """The sum of ``x`` over the axes that broadcasting ``shape`` to ``x.shape`` repeats: broadcasting undone.

    >>> import numpy as np
    >>> from tinytensor.primitive import sum_to
    >>> sum_to(np.ones((4, 2, 3)), (2, 1))
    array([[12.],
           [12.]])
    """
    lead = x.ndim - len(shape)
    axes = [*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1 != x.shape[i + lead])] if lead >= 0 else []
    out = np.add.reduce(x, tuple(axes)) if axes else x
    if lead < 0 or out.size != math.prod(shape):
        raise RuntimeError(f"a gradient of shape {x.shape} cannot be summed to an input of shape {shape}")
    return out if axes and out.shape == shape else out.reshape(shape)  # a view would have to be copied into a leaf


@primitive(elementwise=True, x=lambda g: g)
def cast(x: Any, dtype: Any) -> Any:
    """``x`` in another dtype, and its real part where that is real; its gradient returns to the old one."""
    return (x.real if x.dtype.kind == "c" != np.dtype(dtype).kind else x).astype(dtype)


Op.sum_to = staticmethod(sum_to)
Op.sum_arrays = staticmethod(sum_to.__wrapped__)  # type: ignore[attr-defined]
Op.cast = staticmethod(cast)

#: The op of one output of an op with several. It has no rule: the walk collects its cotangent.
PART: Op = _new(Op)
PART.name, PART.key, PART.part = "output", "output", True
OPS[PART.key] = PART
