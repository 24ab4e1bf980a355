"""A plan for people: as a module of NumPy that stands alone, and as an account of what was planned."""

from __future__ import annotations

import inspect
import math
import re
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np

from tinytensor.compiler.blocks import Blocks
from tinytensor.compiler.code import Handed, Rooted
from tinytensor.compiler.program import Array, Call
from tinytensor.compiler.replay import Replay

__all__ = ["explain", "module", "state"]

_PARTS = {"forward": "forward", "backward": "backward: d_x is the derivative of the result by x", "update": "update"}


def state(replay: Replay) -> dict[str, Any]:
    """Copies of the arrays that outlive a call."""
    return {name: np.array(replay.present(a)) for name, a in _states(replay)}


def _states(replay: Replay) -> Iterator[tuple[str, Array]]:
    plan = replay.plan
    read = {a for call in plan.calls for a in call.reads()}
    held = [a for a in plan.trace.arrays if a.call is None and a.memory.kind == "state"]
    for a in sorted(held, key=lambda a: a in plan.trace.covered):  # what they lie in comes first
        if a in read or a in plan.trace.covered or a in plan.trace.covered.values():
            yield replay.code.name(a), a


# ------------------------------------------------------------------------------------------------------------- a module


def module(name: str, replay: Replay) -> str:
    """The plan as a module."""
    code = replay.code
    body = [*_layouts(replay), *_numbers(replay), *_body(replay), *_ends(replay), f"return {_returned(replay)}"]
    for call in reversed(replay.plan.calls):  # a view of a view: what it is of needs its name
        if call.kind == "view" and any(a in code.named for a in call.results()):
            for a in call.reads():
                code.name(a)
    views = [*_memory(replay), *_views(replay)]
    states = list(_states(replay))
    lines = [
        f'"""``{name}``, as NumPy computes it: one call a line, in memory that is there before."""',
        "",
        "import numpy as np",
        "",
        *_functions(replay, views),
        "# What outlives a call: fill it by STATE[name][...] = array.",
        *(f"{label} = {_stored(replay, a)}" for label, a in states),
        f"STATE = {{{', '.join(f'{label!r}: {label}' for label, _ in states)}}}",
        *_options(replay),
        "GRADIENTS = {}  # of the latest call",
        "",
        *_constants(replay),
        *views,
        "",
        "",
        f"def {name if name.isidentifier() else 'run'}({', '.join(code.arguments)}):",
    ]
    return "\n".join(lines + [f"    {line}" if line else "" for line in body]) + "\n"


def _functions(replay: Replay, views: list[str]) -> Iterator[str]:
    """The functions by the names that they have in the text."""
    plain: list[str] = []
    embedded: list[str] = []
    used = "\n".join([replay.text, *views, *(line for line, _, _ in _shown(replay))])
    for label, f in replay.code.functions.items():
        if not re.search(rf"(?<![\w.]){label}\(", used):  # methods of arrays have no name of their own
            continue
        owner: Any = getattr(f, "__self__", None)
        if isinstance(f, np.ufunc) or getattr(np, getattr(f, "__name__", ""), None) is f:
            plain.append(f"{label} = np.{getattr(f, '__name__', label)}")
        elif isinstance(owner, np.ufunc):
            plain.append(f"{label} = np.{owner.__name__}.{f.__name__}")
        elif f in (bool, int, float):
            continue
        elif (f.__module__ or "").startswith("numpy") and hasattr(f, "__qualname__"):
            plain.append(f"{label} = np{(f.__module__ or 'numpy').removeprefix('numpy')}.{f.__qualname__}")
        else:
            embedded += ["", *_embedded(label, f), ""]
    yield from plain
    yield from embedded
    yield ""


def _embedded(label: str, function: Any) -> list[str]:
    """A function of the library, as its own text if that mentions NumPy alone."""
    inner = getattr(function, "function", function)
    try:
        text = textwrap.dedent(inspect.getsource(inner))
    except (OSError, TypeError):
        text = ""
    code = getattr(inner, "__code__", None)
    if code is not None and text.startswith("def ") and not code.co_freevars:
        used = [n for n in code.co_names if n in inner.__globals__]
        if set(used) <= {"np"}:
            head, body = text.split("\n", 1)
            arguments = ", ".join(code.co_varnames[: code.co_argcount])
            start = body.splitlines() if head.rstrip().endswith(":") else []
            if start:
                return ["", f"def {label}({arguments}):", *start]
    return [
        f"# {label} looks at values, and has no plain NumPy form here: it is taken from the library.",
        f"from {getattr(inner, '__module__', 'tinytensor')} import {getattr(inner, '__name__', label)} as {label}",
    ]


def _stored(replay: Replay, a: Array) -> str:
    flat = replay.plan.trace.covered.get(a)
    if flat is None:
        return f"np.zeros({a.shape}, np.{a.dtype.name})"
    start = replay.present(a).__array_interface__["data"][0] - replay.present(flat).__array_interface__["data"][0]
    start //= a.dtype.itemsize
    return f"{replay.code.name(flat)}[{start}:{start + math.prod(a.shape)}].reshape({a.shape})"


def _options(replay: Replay) -> Iterator[str]:
    """The dicts of Python numbers, as they are now."""
    code = replay.code
    found: dict[str, dict[str, Any]] = {}
    for n in replay.plan.numbers:
        if n.function is None and n.inputs[0] == "entry" and n in code.named:
            container, key = n.inputs[1], n.inputs[2]
            found.setdefault(code.constant(container, "options"), {})[key] = container[key]
    for label, entries in found.items():
        yield f"{label} = {entries!r}"
    yield f"NUMBERS = {{{', '.join(f'{label!r}: {label}' for label in found)}}}"


def _constants(replay: Replay) -> Iterator[str]:
    code = replay.code
    for a, name in code.named.items():
        if type(a) is Array and a.call is None and a.memory.kind == "constant":
            value = replay.present(a)
            shown = _array(value)
            yield f"{name} = {shown}"
    for name, value in code.constants.items():
        if isinstance(value, np.dtype):
            yield f"{name} = np.dtype({value.str!r})"
        elif isinstance(value, np.generic):
            yield f"{name} = np.{type(value).__name__}({_number(value.item())})"
        elif isinstance(value, (float, complex)):
            yield f"{name} = {_number(value)}"
        elif isinstance(value, type) and issubclass(value, np.generic):
            yield f"{name} = np.{value.__name__}"
        elif isinstance(value, np.random.Generator):
            yield f"{name} = np.random.default_rng()"


def _array(value: Any) -> str:
    """An array as text that gives it back, in the order in which it lies."""
    dtype = f"np.{value.dtype.name}"
    if value.size and value.tobytes() == value.flat[0].tobytes() * value.size:  # 0.0 is not -0.0
        text = _number(value.flat[0].item())
        if 0 in value.strides and value.size > 1:
            return f"np.broadcast_to({dtype}({text}), {value.shape})"
        columns = value.flags.f_contiguous and not value.flags.c_contiguous
        return f"np.full({value.shape}, {text}, {dtype}{', order=' + repr('F') if columns else ''})"
    order = sorted(range(value.ndim), key=lambda k: -value.strides[k])
    lain = value.transpose(order)
    shown = f"np.frombuffer({lain.tobytes()!r}, {dtype}).reshape({lain.shape})"
    return shown if order == sorted(order) else f"{shown}.transpose({[order.index(k) for k in range(value.ndim)]})"


def _number(x: Any) -> str:
    """A Python number as text that gives it back, to the sign of a zero."""
    if isinstance(x, complex):
        return f"complex({_number(x.real)}, {_number(x.imag)})"
    return repr(x) if not isinstance(x, float) or np.isfinite(x) else f"float({str(x)!r})"


def _memory(replay: Replay) -> Iterator[str]:
    """Results that have memory of their own, and those that take the place of dead ones."""
    code, plan = replay.code, replay.plan
    first: dict[int, tuple[str, Array]] = {}
    yield "# Memory of results; a name that equals another one takes its place when that is not needed any more."
    yield from _gradients(replay)
    for call in plan.calls:
        out = call.out
        if type(out) is not Array or out not in code.named or out.memory not in plan.static or call.kind == "view":
            continue
        if out.memory in plan.lending.places:
            continue
        if out.call is not call or out.call is None:
            continue
        block, name = plan.block_of[out.memory], code.name(out)
        if block not in first:
            first[block] = (name, out)
            yield f"{name} = {_allocation(out, plan.blocks[block])}"
        elif _layout(first[block][1]) == _layout(out):
            yield f"{name} = {first[block][0]}"
        else:
            base = first[block][0]
            shape, strides = out.shape, _strides(out)
            yield f"{name} = np.ndarray({shape}, np.{out.dtype.name}, {base}.base, 0{strides})"
    for loop in code.blocks.values():
        yield from (f"{name} = np.empty({loop.shape()}, np.{dtype.name})" for name, dtype in loop.buffers)


def _gradients(replay: Replay) -> Iterator[str]:
    """Gradients, one after the other where they are gathered."""
    code, lending = replay.code, replay.plan.lending
    wholes = [code.fresh("gradients") for _ in lending.sizes]
    yield from (f"{name} = np.empty({n}, np.uint8)" for name, n in zip(wholes, lending.sizes, strict=True))
    for a in [*(a for _, a in lending.lent), *lending.gathered]:
        number, start = lending.places[a.memory]
        yield f"{code.name(a)} = np.ndarray({a.shape}, np.{a.dtype.name}, {wholes[number]}, {start})"


def _layout(a: Array) -> Any:
    return a.shape, a.dtype, a.strides


def _strides(a: Array) -> str:
    plain = np.empty(a.shape, a.dtype).strides
    return "" if a.strides == plain else f", {a.strides}"


def _allocation(a: Array, nbytes: int) -> str:
    return f"np.ndarray({a.shape}, np.{a.dtype.name}, np.empty({nbytes}, np.uint8), 0{_strides(a)})"


def _views(replay: Replay) -> Iterator[str]:
    code = replay.code
    made = False
    for call in replay.plan.calls:
        if (
            call.kind == "view"
            and all(code.static(a) for a in call.results())
            and any(a in code.named for a in call.results())
        ):
            if not made:
                yield "# Views of it."
                made = True
            yield code.assignment(call)


def _layouts(replay: Replay) -> Iterator[str]:
    for a in replay.plan.trace.arrays:
        if a.call is None and a.memory.kind == "argument" and a.name in replay.code.arguments:
            yield f"assert {a.name}.shape == {a.shape} and {a.name}.dtype == np.{a.dtype.name}"


def _numbers(replay: Replay) -> Iterator[str]:
    code = replay.code
    yield from code.number_lines(replay.wanted(decisions=True))
    for n, how, answer in dict.fromkeys(replay.plan.decisions):  # another answer, another program
        if how is bool:
            yield f"assert {'' if answer else 'not '}{code.name(n)}"
        elif how in (int, float):
            yield f"assert {how.__name__}({code.name(n)}) == {code.text(answer)}"
        else:
            yield f"assert {code.name(n)} == {code.text(answer)}"


def _body(replay: Replay) -> Iterator[str]:
    """The calls, under their parts, with shapes and the functions that made them."""
    part, quiet, titled = "", False, ""
    for line, call, about in _shown(replay):
        if call.part != part:
            part = call.part
            titled = f"# {_PARTS.get(part, part)}"
        if call.quiet != quiet:
            quiet = call.quiet
            if quiet:
                yield "with np.errstate(all='ignore'):"
        if titled:
            yield "    " * quiet + titled
            titled = ""
        if call.kind == "check":
            line = f"assert {'' if call.kwargs['answer'] else 'not '}{line[line.index('if ') + 3 : line.index(': ')].removeprefix('not ')}"
        yield ("    " if quiet else "") + line + about


def _shown(replay: Replay) -> Iterator[tuple[str, Call, str]]:
    """(line, call, comment), with loops over blocks written out."""
    blocks = replay.code.blocks
    for call, lines in groupby(replay.code.body, lambda entry: entry[1]):
        if call in blocks:
            one = isinstance(blocks[call], Blocks)  # loop, whose lines stay together
            for line, made in blocks[call].shown():
                yield line, call if one or made is None else made, _comment(made) if made else ""
        else:
            yield from ((line, call, _comment(call)) for line, _ in lines)


def _comment(call: Call) -> str:
    out = call.out if type(call.out) is Array else None
    what = [call.label] if call.label and call.label not in ("lambda", call.name()) else []
    shape = [str(out.shape)] if out is not None else []
    return f"  # {' '.join(what + shape)}" if what or shape else ""


def _ends(replay: Replay) -> Iterator[str]:
    code, plan = replay.code, replay.plan
    for t, value in plan.rebound:
        held = next((code.name(a) for u, _, a in plan.trace.states.values() if u is t), None)
        if held:
            yield f"{held}[...] = {code.text(value)}"
    for node, value in plan.grads:
        name = next((a.name for t, _, a in plan.trace.states.values() if t._node is node and a.name), "")
        yield f"GRADIENTS[{name or code.constant(node, 'node')!r}] = {code.text(value)}"
    for container, key, value in plan.cells:
        yield f"{code.constant(container, 'options')}[{key!r}] = {code.text(value)}"
    for function, _ in plan.last:
        yield f"# left out: {getattr(function, '__qualname__', function)}, which is no NumPy"


def _returned(replay: Replay) -> str:
    return replay.code.text(_bare(replay.plan.out))


def _bare(out: Any) -> Any:
    """Arrays where the function returned tensors."""
    if isinstance(out, (Handed, Rooted)):
        return out.array
    if type(out) in (list, tuple):
        return type(out)([_bare(x) for x in out])
    return {k: _bare(x) for k, x in out.items()} if type(out) is dict else out


# ------------------------------------------------------------------------------------------------------------ an account


def explain(name: str, replay: Replay, plans: int) -> str:
    """What was planned, in words and numbers."""
    plan, code = replay.plan, replay.code
    opaque = [c for c in plan.calls if c.kind == "opaque"]
    views = [c for c in plan.calls if c.kind == "view" and all(code.static(a) for a in c.results())]
    apart = sum(
        a.nbytes
        for c in plan.calls
        for a in c.results()
        if a.memory in plan.static and c.kind != "view" and a.call is c
    )
    inside = {m for run in plan.runs for m in run.inside}
    made = [a for c in plan.calls if c.kind != "view" for a in c.results() if a.memory not in inside]
    fresh = [a for a in made if not code.static(a)]
    lines = [
        f"{name}: {plans} plan{'s' * (plans != 1)}; this one, the latest, for ({', '.join(_arguments(replay))})",
        f"  traced        {plan.traced} calls of NumPy",
        f"  constant      {plan.folded}, computed when the plan was made",
        f"  not needed    {plan.unneeded}",
        f"  merged        {plan.merged} that computed what another one had computed",
        f"  copies saved  {plan.elided}",
        f"  views         {len(views)}, made once",
        f"  replayed      {len(code.body)} lines",
        f"  memory        {sum(plan.blocks):,} bytes in {len(plan.blocks)} blocks, {apart:,} without reuse",
        f"  made anew     {len(fresh)} arrays in each call: they are handed out, or NumPy makes them",
        f"  written       {len(list(_states(replay)))} arrays and {len(plan.cells)} numbers outlive the call",
    ]
    for run in code.blocks.values():
        lines.append(f"  {'in blocks  ' if isinstance(run, Blocks) else 'compiled   '}   {run.about()}")
    for c in opaque:
        lines.append(f"  whole         {c.name()} ({c.label}): it looks at values, so it is one call")
    lines.append("")
    return "\n".join(lines + [f"  {line}{about}" for line, _, about in _shown(replay)])


def _arguments(replay: Replay) -> Iterator[str]:
    shapes = {a.name: f"{a.dtype.name}{list(a.shape)}" for a in replay.plan.trace.arrays if a.call is None}
    for name in replay.code.arguments:
        yield f"{name}: {shapes.get(name, 'float')}"
