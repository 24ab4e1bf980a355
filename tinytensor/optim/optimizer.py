"""``Optimizer``: what all optimizers share, so that each of them is one update formula on arrays.

A step has two halves. The first asks every question: options, gradients, state, memory. Only when all of them are answered
does the second write, one formula after the other, and nothing in it can raise: a step happens whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

import numpy as np

from tinytensor.graph import _IGNORED as _QUIET
from tinytensor.graph import _errors, enable_grad, note_write
from tinytensor.inplace import _is_held as is_held
from tinytensor.optim.together import MOST, Together, alike
from tinytensor.tensor import Tensor

__all__ = ["Optimizer"]

#: What schedulers keep in a parameter group, and the names of the parameters: accepted in any group.
_EXTRAS = frozenset({"params", "param_names", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"})
#: Options of PyTorch's implementation, of no meaning here: ignored in a state that PyTorch wrote.
_IGNORED = frozenset({"foreach", "capturable", "differentiable", "fused"})
#: Options that must not be negative.
_POSITIVE = ("lr", "weight_decay", "eps", "momentum", "momentum_decay", "lr_decay", "initial_accumulator_value")
#: Larger parameters are updated a block of rows at a time: temporaries stay small, and in the processor's cache.
_BLOCK = 1 << 17


class Optimizer:
    """What optimizers share: parameter groups with options, state of each parameter, ``step`` and ``zero_grad``.

    ``params``: tensors, pairs ``(name, tensor)`` as ``model.named_parameters()`` gives them, or dicts
    ``{"params": tensors, "lr": ...}`` with options of their own. The options of a group can be read and changed:
    ``optimizer.param_groups[0]["lr"] = 0.01``. A parameter whose ``grad`` is None is left alone, and so is its state.

    An optimizer of your own says which arrays it keeps for each parameter (:meth:`buffers`: of the parameter's shape, zero
    at first), and writes its formula on arrays (:meth:`update`). NaN and inf in a gradient are numbers like all others, as
    in PyTorch; ``nn.utils.clip_grad_norm_(..., error_if_nonfinite=True)`` before the step refuses them.   (``torch.optim``)

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

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, (Tensor, set)):
            what = "one tensor" if isinstance(params, Tensor) else "a set, whose order is not certain; use a list"
            raise TypeError(f"{type(self).__name__}: expected an iterable of parameters, got {what}")
        groups = [params] if isinstance(params, Mapping) else list(params)
        if not groups:
            raise TypeError(f"{type(self).__name__}: expected an iterable of parameters, got nothing")
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._options: Any = itemgetter(*defaults) if defaults else dict
        self._checked: list[Any] = []
        self._together: dict[int, Together] = {}  # the small parameters of each group
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
        if the group has these options. A large parameter comes in several blocks of rows. Go through ``work`` once.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update(group, work); define it in the class")

    def _check(self, options: Mapping[str, Any]) -> None:
        """Raise if the options of a group make no sense: asked when a group is made and before every step."""
        name = type(self).__name__
        for key in _POSITIVE:
            least = -1e-9 if key == "lr" else 0.0  # a schedule that ends at 0 may miss it by rounding
            if key in options and not _number(name, key, options[key]) >= least:
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
        if unknown := set(param_group) - set(self.defaults) - _EXTRAS:
            raise TypeError(f"{name}: a parameter group does not take {', '.join(sorted(unknown))}")
        options = {**self.defaults, **param_group, "params": entries}
        if names:
            options["param_names"] = names
        self._check(options)
        self.param_groups.append(options)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; ``set_to_none=False`` fills them with zeros instead.

        Parameters without gradient are left alone by ``step``, those with a gradient of zeros are not (momentum, decay).
        """
        for group in self.param_groups:
            for p in group["params"]:
                node = p._node
                if node is None or node.grad is False or node.grad is None:
                    continue
                if set_to_none:
                    node.grad = None
                else:
                    node.grad[...] = 0

    # ------------------------------------------------------------------------------------------------------- the step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, or none of them if one cannot be.

        ``closure``: called first, with gradients recorded; it computes the loss, calls ``backward`` and returns the loss,
        which ``step`` returns. Raises ValueError for a gradient of another shape, for read-only memory, and for options
        that make no sense; no parameter and no state has changed then.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        groups = self.param_groups
        ready = [self._ready(index, group) for index, group in enumerate(groups)]
        quiet = _errors.set(_QUIET)  # overflow gives inf, as in PyTorch; a warning made an error would stop half-way
        try:
            for index, ((work, counted, held, small), group) in enumerate(zip(ready, groups, strict=True)):
                for array in held:
                    note_write(array)
                if counted:
                    self._count(counted)
                if small:
                    work += _parts(self._together[index].gathered(small))
                if work:
                    self.update(group, _directed(group, work))
                if small:
                    self._together[index].scatter(small)
        finally:
            _errors.reset(quiet)
        self._stepped = True
        return loss

    def _ready(self, index: int, group: dict[str, Any]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """What the formula works on, the counts to be set, the memory that others hold, and the small parameters that are
        updated together; all questions are asked here.
        """
        options = self._options(group)
        if index >= len(self._checked) or self._checked[index] != options:
            self._check(group)
            self._checked[index:] = [options]  # asked again when they change
        names, counts, states, tick = self.buffers(group), self.counts, self.state, self._tick
        kept: Any = itemgetter(*names) if len(names) > 1 else lambda state: [state[name] for name in names]
        work: list[Any] = []
        counted: list[Any] = []
        held: list[Any] = []
        small: list[Any] = []
        for p in group["params"]:
            node = p._node
            if node is None or (g := node.grad) is None or g is False:
                continue
            if is_held(p):
                held.append(p._data)
            data = p._data
            shape = data.shape
            if g.shape != shape or not data.flags.writeable:
                raise ValueError(self._refusal(p, g))
            if names or counts:
                try:
                    state, first = states[p], False
                    buffers = kept(state)
                except KeyError:
                    state, first = self._made(p, names, group), True
                    buffers = kept(state)
                t = tick(state, group, first)
                if counts:
                    counted.append((state, t))
                item = (data, g, t, *buffers)
                if len(buffers) > 1 and data.size <= MOST and data.dtype.kind == "f":
                    small.append((item, state))
                    continue
            else:
                item = (data, g, None)
            if not shape or data.size > _BLOCK or data.dtype.kind == "c":
                work += _parts(item)
            else:
                work.append(item)
        if small and (len(small) < 3 or not alike(small)):
            for item, _ in small:
                work += _parts(item)
            small = []
        if small and (index not in self._together or not self._together[index].fits(names, small)):
            self._together[index] = Together(names, small)
        return work, counted, held, small

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_together": {}}

    def _made(self, p: Tensor, names: tuple[str, ...], group: Mapping[str, Any]) -> dict[str, Any]:
        """The state of a parameter, with the buffers that it did not have."""
        state = self.state.get(p, {})
        state.update({name: self._begin(name, p, group) for name in names if name not in state})
        self.state[p] = state
        return state

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
            options = {key: value for key, value in group.items() if key != "params"}
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
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in state_dict["param_groups"]]
        if sizes != saved_sizes:
            raise ValueError(f"{name}: the state has groups of {saved_sizes} parameters, the optimizer of {sizes}")
        groups = [self._unpacked(*each) for each in zip(state_dict["param_groups"], self.param_groups, strict=True)]
        owners: dict[int, tuple[Tensor, dict[str, Any]]] = {}
        for saved, group in zip(state_dict["param_groups"], groups, strict=True):
            owners.update({int(k): (p, group) for k, p in zip(saved["params"], group["params"], strict=True)})
        state: dict[Tensor, dict[str, Any]] = {}
        for key, entry in state_dict["state"].items():
            if int(key) not in owners:
                raise ValueError(f"{name}: the state of parameter {key} belongs to no group")
            p, group = owners[int(key)]
            entry = {k: v for k, v in entry.items() if v is not None}  # PyTorch's momentum_buffer: None
            if entry:
                state[p] = self._restored(int(key), p, entry, group)
        self.state, self.param_groups, self._checked = state, groups, []

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


def _directed(group: Mapping[str, Any], work: list[Any]) -> Iterable[Any]:
    """The work with the gradients that formulas go by: −g to ``maximize``, g + λ p for a penalty; decoupled, p shrinks."""
    decay, maximize = group.get("weight_decay"), group.get("maximize")
    return _changed(group, work, decay, maximize) if decay or maximize else work


def _changed(group: Mapping[str, Any], work: list[Any], decay: Any, maximize: Any) -> Iterator[Any]:
    decoupled = group.get("decoupled_weight_decay")
    for data, g, *rest in work:  # one at a time: of a large parameter there is a copy of one block only
        if maximize:
            g = -g
        if decay and decoupled:
            data *= 1 - float(group["lr"]) * decay
        elif decay:
            g = g + decay * data
        yield data, g, *rest


def _number(name: str, key: str, value: Any) -> Any:
    if type(value) is float or type(value) is int:
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {key} must be a number, got {value!r:.60}") from None


def _parts(item: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The same memory in real arrays of at least one axis, and of few rows if there are many elements."""
    data, g, t, *buffers = item
    if data.dtype.kind == "c":
        yield from _parts((data.real, g.real, t, *[b.real for b in buffers]))
        yield from _parts((data.imag, g.imag, t, *[b.imag for b in buffers]))
    elif data.ndim == 0:
        yield data[None], g[None], t, *[b[None] for b in buffers]
    elif data.size <= _BLOCK:
        yield item
    else:
        rows = max(1, _BLOCK * len(data) // data.size)
        for k in range(0, len(data), rows):
            yield data[k : k + rows], g[k : k + rows], t, *[b[k : k + rows] for b in buffers]
