"""``Optimizer``: what all optimizers share, so that each of them is one update formula on arrays.

A step has two halves. The first asks every question: options, gradients, state, memory. Only when all of them are answered
does the second write, one formula after the other, and nothing in it can raise: a step happens whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from tinytensor.graph import _IGNORED as _QUIET
from tinytensor.graph import _errors, enable_grad, forget, note_write, tracing
from tinytensor.inplace import _is_held as is_held
from tinytensor.optim.checks import as_json, is_state, number
from tinytensor.optim.together import COMPILED, FEWEST, MOST, Small, Together
from tinytensor.optim.work import BLOCK, directed, parts, whole
from tinytensor.tensor import Tensor

__all__ = ["Optimizer"]

#: What schedulers keep in a parameter group, and the names of the parameters: accepted in any group.
_EXTRAS = frozenset({"params", "param_names", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"})
#: PyTorch's options that say how it computes, not what: taken, and of no meaning here.
_IGNORED = frozenset({"foreach", "capturable", "differentiable", "fused"})
#: Options that must not be negative.
_POSITIVE = ("lr", "weight_decay", "eps", "momentum", "momentum_decay", "lr_decay", "initial_accumulator_value")


class _Todo(NamedTuple):
    """What a step will do to a group, when everything was asked."""

    work: list[Iterable[Any]]  #: what the formula works on
    counted: list[Any]  #: (state, t) of what is counted
    held: list[Any]  #: the memory that others hold
    made: list[Any]  #: (parameter, state) of new states


class Optimizer:
    """What optimizers share: parameter groups with options, state of each parameter, ``step`` and ``zero_grad``.

    ``params``: tensors, pairs ``(name, tensor)`` as ``model.named_parameters()`` gives them, or dicts
    ``{"params": tensors, "lr": ...}`` with options of their own. The options of a group can be read and changed:
    ``optimizer.param_groups[0]["lr"] = 0.01``. A parameter whose ``grad`` is None is left alone, and so is its state.

    An optimizer of your own says which arrays it keeps for each parameter (:meth:`buffers`: of the parameter's shape, zero
    at first), and writes its formula on arrays (:meth:`update`). NaN and inf in a gradient are numbers like all others, as
    in PyTorch; ``nn.utils.clip_grad_norm_(..., error_if_nonfinite=True)`` before the step refuses them. PyTorch's options
    ``foreach``, ``fused`` and ``capturable``, which say how it computes, are taken and ignored.   (``torch.optim``)

    >>> import numpy as np, tinytensor as tt
    >>> class SignSGD(tt.optim.Optimizer):
    ...     def __init__(self, params, lr=0.1):
    ...         super().__init__(params, {"lr": lr})
    ...     def update(self, group, work):
    ...         for data, g, _ in work:
    ...             data -= group["lr"] * np.sign(g)
    >>> w = tt.nn.Parameter([1.0, -2.0])
    >>> optimizer = SignSGD([{"params": [w], "lr": 0.5}])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([ 0.5, -1.5], requires_grad=True)
    """

    #: Whether ``state["step"]`` counts the updates of each parameter.
    counts = True
    #: Whether each element's update depends on that element alone: then small parameters come in one array, large ones in
    #: blocks. A formula that looks at a whole parameter, at its norm for instance, leaves it False.
    elementwise = False

    def __init__(
        self, params: Iterable[Any], defaults: dict[str, Any], implementation: Mapping[str, Any] | None = None
    ) -> None:
        name = type(self).__name__
        for key, value in (implementation or {}).items():
            if key not in _IGNORED:
                raise TypeError(f"{name}: there is no option {key!r}; it takes {', '.join(defaults)}")
            if key == "differentiable" and value:
                raise ValueError(f"{name}: differentiable=True is not supported; write the update with tt.grad instead")
        if isinstance(params, (Tensor, set)):
            what = "one tensor" if isinstance(params, Tensor) else "a set, whose order is not certain; use a list"
            raise TypeError(f"{name}: expected an iterable of parameters, got {what}")
        if not isinstance(params, Iterable):
            raise TypeError(f"{name}: expected parameters, got {type(params).__name__}; pass model.parameters()")
        if isinstance(params, Mapping) and "params" not in params:
            raise TypeError(f"{name}: expected parameters, got a dict of {list(params)!r:.60}; pass model.parameters()")
        groups = [params] if isinstance(params, Mapping) else list(params)
        if not groups:
            raise TypeError(f"{name}: expected an iterable of parameters, got nothing")
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._options: Any = itemgetter(*defaults) if defaults else dict
        self._checked: list[Any] = []
        self._together: dict[tuple[int, str], Together] = {}  # the small parameters of each group and dtype
        self._gathers = False  # more parameters in the common array than pays here: a compiled step asks for it
        self._version = 0  # of groups and states: a compiled step asks
        self._stepped = False  # schedulers warn if they are stepped before the optimizer
        each: list[Any] = groups if isinstance(groups[0], Mapping) else [{"params": groups}]
        for group in each:
            self.add_param_group(group)

    # -------------------------------------------------------------------------------------- what subclasses write

    def buffers(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of the arrays that are kept for each parameter of a group, by PyTorch's names."""
        return ()

    def update(self, group: Mapping[str, Any], work: Iterable[Any]) -> None:
        """Write the formula: ``work`` yields (data, g, t, *buffers) arrays; ``data`` and the buffers are written into.

        ``t`` is the number of this update, from 1. g has its sign (``maximize``) and the penalty's part (``weight_decay``),
        if the group has these options. A parameter comes whole, in its shape (a number has one axis), unless the class says
        ``elementwise = True``. Go through ``work`` once.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update(group, work); define it in the class")

    def _check(self, options: Mapping[str, Any]) -> None:
        """Raise if the options of a group make no sense: asked when a group is made and before every step."""
        name = type(self).__name__
        for key in _POSITIVE:
            least = -1e-9 if key == "lr" else 0.0  # a schedule that ends at 0 may miss it by rounding
            if key in options and not number(name, key, options[key]) >= least:
                raise ValueError(f"{name}: {key} must not be negative, got {options[key]}")
        if "betas" in options:
            try:
                first, second = options["betas"]
                inside = 0 <= first < 1 and 0 <= second < 1
            except (TypeError, ValueError):
                raise TypeError(f"{name}: betas must be two numbers, got {options['betas']!r}") from None
            if not inside:
                raise ValueError(f"{name}: betas must lie in [0, 1), got {options['betas']}")

    def _tick(self, state: dict[str, Any], group: Mapping[str, Any], first: bool) -> Any:
        """What the formula gets as ``t``."""
        if not self.counts:
            return 1 if first else 2
        return state.get("step", 0) + 1

    def _count(self, updates: list[tuple[dict[str, Any], Any]]) -> None:
        """Remember the updates that are being made: (state, t) of each parameter."""
        for state, t in updates:
            state["step"] = t

    def _begin(self, name: str, p: Tensor, group: Mapping[str, Any]) -> Any:
        """The first value of a buffer."""
        return np.zeros_like(p._data)

    # ---------------------------------------------------------------------------------------------------- groups

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters, with options that differ from the defaults; nothing is added if one of them is refused.

        >>> import tinytensor as tt
        >>> layer = tt.nn.Linear(2, 1)
        >>> optimizer = tt.optim.SGD([layer.weight], lr=0.1)
        >>> optimizer.add_param_group({"params": layer.bias, "lr": 0.5})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.5]
        """
        name = type(self).__name__
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(f'{name}: a parameter group is a dict {{"params": tensors, ...}}, got {param_group!r:.60}')
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(f"{name}: the order of a set is not certain; give the parameters in a list")
        entries = [params] if isinstance(params, Tensor) else list(params)
        names = [entry[0] for entry in entries if isinstance(entry, tuple) and len(entry) == 2]
        if names and len(names) != len(entries):
            raise ValueError(f"{name}: either all parameters of a group have names, or none")
        entries = [entry[1] for entry in entries] if names else entries
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in entries:
            if not isinstance(p, Tensor) or not p.is_leaf:
                what = type(p).__name__ if not isinstance(p, Tensor) else "the result of an operation"
                raise TypeError(f"{name}: parameters must be leaf tensors, got {what}")
            if p._data.dtype.kind not in "fc":
                raise TypeError(f"{name}: parameters must be floating, got {p._data.dtype}")
            if id(p) in known:
                raise ValueError(f"{name}: a parameter of shape {p.shape} is given twice")
            known.add(id(p))
        param_group = {key: value for key, value in param_group.items() if key not in _IGNORED}
        if unknown := set(param_group) - set(self.defaults) - _EXTRAS:
            raise TypeError(f"{name}: a parameter group does not take {', '.join(sorted(unknown))}")
        options = {**self.defaults, **param_group, "params": entries}
        if names:
            options["param_names"] = names
        self._check(options)
        self.param_groups.append(options)
        self._version += 1

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; ``set_to_none=False`` fills them with zeros instead.

        Parameters without gradient are left alone by ``step``, those with a gradient of zeros are not (momentum, decay).
        """
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    forget(p)
                elif p.grad is not None:
                    p.grad[...] = 0

    # ------------------------------------------------------------------------------------------------------- the step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, or none of them if one cannot be.

        ``closure``: called first, with gradients recorded; it computes the loss, calls ``backward`` and returns the loss,
        which ``step`` returns. Raises ValueError for a gradient of another shape, for read-only memory, and for options
        that make no sense; no parameter and no state has changed then.
        """
        if (trace := tracing()) is not None:
            return trace.step(self, closure)
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        groups = self.param_groups
        ready = [self._ready(index, group) for index, group in enumerate(groups)]
        quiet = _errors.set(_QUIET)  # overflow gives inf, as in PyTorch; a warning made an error would stop half-way
        try:
            for todo, group in zip(ready, groups, strict=True):
                for array in todo.held:
                    note_write(array)
                self.state.update(todo.made)
                if todo.counted:
                    self._count(todo.counted)
                if todo.work[0] or todo.work[1:]:
                    alone, *joined = todo.work
                    self.update(group, directed(group, chain(alone, *joined) if joined else alone))
        finally:
            _errors.reset(quiet)
        self._stepped = True
        return loss

    def _ready(self, index: int, group: dict[str, Any]) -> _Todo:
        """What a step does to a group: all questions are asked here, and nothing is changed that anybody could see."""
        options = self._options(group)
        if index >= len(self._checked) or self._checked[index] != options:
            self._check(group)
            self._checked[index:] = [options]  # asked again when they change
        names, counts, states, tick = self.buffers(group), self.counts, self.state, self._tick
        many = self._gathers or len(group["params"]) * (1 + 2 * len(names)) > FEWEST
        most, split = (self._most(counts) * many, parts) if self.elementwise else (0, whole)
        kept: Any = itemgetter(*names) if len(names) > 1 else lambda state: [state[name] for name in names]
        alone: list[Any] = []
        todo = _Todo([alone], [], [], [])
        small: dict[str, list[Small]] = {}
        state: dict[str, Any] = {}
        buffers: Any = ()
        t = None
        for p in group["params"]:
            node = p._node
            if node is None or (g := node.grad) is None or g is False:
                continue
            if held := is_held(p):
                todo.held.append(p._data)
            data = p._data
            flags = data.flags
            if g.shape != data.shape or not flags.writeable:
                raise ValueError(self._refusal(p, g))
            if names or counts:
                try:
                    buffers, first = kept(state := states[p]), False
                except KeyError:
                    state, first = self._made(p, names, group), True
                    todo.made.append((p, state))
                    buffers = kept(state)
                t = tick(state, group, first)
                if counts:
                    todo.counted.append((state, t))
            if not held and 0 < data.size <= most and flags.c_contiguous and data.dtype is g.dtype:
                small.setdefault(data.dtype.char, []).append((p, g, t, state))
            elif data.ndim and data.size <= BLOCK and data.dtype.kind == "f":
                alone.append((data, g, t, *buffers))
            else:
                alone.extend(split((data, g, t, *buffers)))
        for kind, members in small.items():
            if (self._gathers or len(members) * (1 + 2 * len(names)) > FEWEST) and kind in "efdg":
                todo.work.append(self._joined(index, kind, names, members))
            else:
                alone.extend(i for p, g, t, m in members for i in split((p._data, g, t, *[m[n] for n in names])))
        return todo

    def _joined(self, index: int, kind: str, names: tuple[str, ...], small: list[Small]) -> Iterable[Any]:
        """The work on the small parameters of a group and a dtype, in their common array."""
        common = self._together.get((index, kind))
        work = common.settle(names, small) if common is not None else None
        if work is None:
            here = {id(p) for p, _, _, _ in small} | set(() if common is None else common.number)
            known = [p for p in self.param_groups[index]["params"] if id(p) in here]
            members = [p for p in known if 0 < p._data.size <= self._most(True) and p._data.dtype.char == kind]
            common = self._together[index, kind] = Together(names, members)
            work = common.settle(names, small)
        return work or ()

    def _most(self, many_passes: bool) -> int:
        """Elements up to which a parameter is gathered with others."""
        return COMPILED if self._gathers else MOST if many_passes else MOST >> 3

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_together": {}}

    def _made(self, p: Tensor, names: tuple[str, ...], group: Mapping[str, Any]) -> dict[str, Any]:
        """The state of a parameter, with the buffers that it did not have."""
        state = self.state.get(p, {})
        return state | {name: self._begin(name, p, group) for name in names if name not in state}

    def _refusal(self, p: Tensor, g: Any) -> str:
        start = f"{type(self).__name__}: a parameter of shape {p._data.shape} "
        if g.shape != p._data.shape:
            return (
                start
                + f"has a gradient of shape {g.shape}; nothing was updated. Call zero_grad() and backward() again."
            )
        return (
            start + "is in read-only memory; nothing was updated. Give it an array of its own: p.data = p.data.copy()"
        )

    # ------------------------------------------------------------------------------------------------------- the state

    def state_dict(self) -> dict[str, Any]:
        """State and options, in PyTorch's layout: ``{"state": {index: {name: array}}, "param_groups": [options]}``.

        ``index`` counts the parameters through all groups, and ``options["params"]`` lists the indices of a group. All
        values of ``state`` are arrays of their own, ``step`` a 0-d one (float64, as PyTorch wants a float and it must be
        exact), so that they can go into a safetensors file as ``f"{index}.{name}"``; ``param_groups`` holds numbers,
        strings, tuples and lists only, and can be written as JSON.

        >>> import tinytensor as tt
        >>> w = tt.nn.Parameter([1.0, 2.0])
        >>> optimizer = tt.optim.SGD([w], lr=0.1, momentum=0.9)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> optimizer.state_dict()["state"]
        {0: {'momentum_buffer': array([2., 4.])}}
        >>> optimizer.state_dict()["param_groups"][0]["params"]
        [0]
        """
        state, groups, index = {}, [], 0
        for group in self.param_groups:
            options = {key: as_json(value) for key, value in group.items() if key != "params"}
            options["params"] = list(range(index, index + len(group["params"])))
            groups.append(options)
            for p in group["params"]:
                if p in self.state:
                    state[index] = self._packed(self.state[p])
                index += 1
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy state and options from what :meth:`state_dict`, or PyTorch's, gave; arrays take the parameters' dtype.

        Keys of ``state`` may be strings, and tuples lists, as JSON makes them. Raises ValueError or TypeError, with
        nothing changed, if groups, names or shapes are not this optimizer's.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise TypeError(f'{name}: expected a state {{"state": ..., "param_groups": ...}}, got {state_dict!r:.60}')
        if not is_state(state_dict):
            raise TypeError(
                f"{name}: this is no optimizer's state: expected groups with their params, and a dict for each parameter"
            )
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in state_dict["param_groups"]]
        if sizes != saved_sizes:
            raise ValueError(f"{name}: the state has groups of {saved_sizes} parameters, the optimizer of {sizes}")
        groups = [self._unpacked(*each) for each in zip(state_dict["param_groups"], self.param_groups, strict=True)]
        owners: dict[int, tuple[Tensor, dict[str, Any]]] = {}
        for saved, group in zip(state_dict["param_groups"], groups, strict=True):
            owners.update({int(k): (p, group) for k, p in zip(saved["params"], group["params"], strict=True)})
        if len(owners) != sum(sizes):
            raise ValueError(f"{name}: the state numbers two parameters alike")
        state: dict[Tensor, dict[str, Any]] = {}
        for key, entry in state_dict["state"].items():
            if not str(key).isdecimal() or int(key) not in owners:
                raise ValueError(f"{name}: the state of parameter {key} belongs to no group")
            p, group = owners[int(key)]
            entry = {k: v for k, v in entry.items() if v is not None}  # PyTorch's momentum_buffer: None
            if entry:
                state[p] = self._restored(int(key), p, entry, group)
        self.state, self.param_groups, self._checked = state, groups, []
        self._version += 1

    def _packed(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state of one parameter as arrays of their own."""
        return {k: np.array(v, np.float64 if type(v) in (int, float) else None) for k, v in state.items()}

    def _unpacked(self, saved: Mapping[str, Any], group: dict[str, Any]) -> dict[str, Any]:
        """The options of a group with the saved ones in their place."""
        options = {k: v for k, v in saved.items() if k in self.defaults or k not in _IGNORED}
        if unknown := set(options) - set(self.defaults) - _EXTRAS:
            raise ValueError(f"{type(self).__name__}: the state has options {sorted(unknown)}, which it does not know")
        for key, default in self.defaults.items():
            if isinstance(default, tuple) and isinstance(options.get(key), list):
                options[key] = tuple(options[key])
        made = {**self.defaults, **options, "params": group["params"]}
        self._check(made)
        return made

    def _restored(self, index: int, p: Tensor, entry: Mapping[str, Any], group: dict[str, Any]) -> dict[str, Any]:
        """The state of one parameter from saved arrays; raises if names or shapes are not those of its optimizer."""
        name, arrays = type(self).__name__, self.buffers(group)
        wanted = (*self._scalars(), *arrays)
        if set(entry) != set(wanted):
            raise ValueError(f"{name}: the state of parameter {index} has {sorted(entry)}, expected {sorted(wanted)}")
        state: dict[str, Any] = {}
        for key in wanted:
            value = np.asarray(entry[key])
            shape = p.shape if key in arrays else ()
            if value.shape != shape:
                raise ValueError(f"{name}: {key} of parameter {index} has shape {value.shape}, expected {shape}")
            if not np.can_cast(value.dtype, p.dtype, "same_kind"):
                raise TypeError(f"{name}: {key} of parameter {index} has dtype {value.dtype}, expected {p.dtype}")
            state[key] = value.astype(p.dtype) if key in arrays else float(value)
            if key not in arrays and not 0 <= state[key] < np.inf:
                raise ValueError(f"{name}: {key} of parameter {index} must be a number from 0, got {state[key]}")
        if "step" in state:
            state["step"] = int(state["step"])
        return state

    def _scalars(self) -> tuple[str, ...]:
        """The names of the numbers, rather than arrays, in a parameter's state."""
        return ("step",) if self.counts else ()

    def __repr__(self) -> str:
        options = [
            {k: v for k, v in g.items() if k != "params"} | {"params": len(g["params"])} for g in self.param_groups
        ]
        return f"{type(self).__name__}({', '.join(map(str, options))})"
