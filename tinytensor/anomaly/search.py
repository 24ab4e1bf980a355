"""Where a NaN or an infinity was born: among the elements of one operation, or among the nodes of a graph."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from tinytensor import graph
from tinytensor.anomaly.advice import advice
from tinytensor.anomaly.report import AnomalyError, count_bad, element, is_bad, report, where
from tinytensor.graph import Node
from tinytensor.recorded import Line, input_of, values_of
from tinytensor.stepping import cotangents

__all__ = ["bad_input", "birth", "blame_backward", "blame_forward", "blame_tangent"]


# -------------------------------------------------------------------------------------------------- one operation


def birth(op: Any, values: tuple[Any, ...], line: Line | None, kind: str, inf: bool) -> AnomalyError | None:
    """The error, if ``op`` of ``values`` has a NaN or an infinity where its operands have none; computes it again."""
    out = op.forward(*values)
    for one in out if op.outputs else (out,):
        new = _born(op, np.asarray(one), values, inf)
        if new is not None:
            index = where(new)
            value = np.asarray(one)[index]
            headline = f"{op.name}: {value!s} first appears in the forward pass ({kind}), recorded at"
            facts = [f"{element('result', one, index)}: {count_bad(new)} (shape {np.shape(one)})"]
            facts += _operands(op, values, new.shape, index)
            infinite = any(is_bad(v) is not None for v in values)
            return report(
                "forward", op.name, line, index, headline, facts, advice(op.name, np.asarray(one).dtype, infinite)
            )
    return None


def _born(op: Any, out: Any, values: tuple[Any, ...], inf: bool) -> Any:
    """Where the result is bad and the operands are not (or were infinite, and the result is NaN); None if nowhere."""
    new = is_bad(out, inf)
    if new is None:
        return None
    for value in values:
        if (old := is_bad(value)) is None:
            continue
        elementwise = op.elementwise and _fits(old.shape, out.shape)
        nan = np.isnan(value) if elementwise else np.isnan(value).any()
        new = new & ~((old if elementwise else True) & (np.isinf(out) | nan))
    return new if new.any() else None


def _fits(shape: Any, into: Any) -> bool:
    return len(shape) <= len(into) and all(a in (1, b) for a, b in zip(shape[::-1], into[::-1], strict=False))


def _operands(op: Any, values: tuple[Any, ...], shape: Any, index: tuple[int, ...]) -> list[str]:
    """What the operands are at this element; of operations that are not elementwise, what they are as a whole."""
    facts = []
    for at, value in enumerate(values):
        last = len(op.params) - 1
        name = f"{op.params[last]}[{at - last}]" if op.variadic and at >= last else op.params[at]
        is_input = at in op.inputs or (op.variadic and at >= last)
        if not is_input or value is None or isinstance(value, (tuple, list)):
            continue
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            continue
        if op.elementwise and _fits(array.shape, shape):
            seen = np.broadcast_to(array, shape)
            facts.append(f"{element(name, seen, index)}   (shape {array.shape}, {array.dtype})")
        else:
            facts.append(f"{name}: shape {array.shape}, {array.dtype}, {_range(array)}")
    return facts


def _range(array: Any) -> str:
    if (mask := is_bad(array)) is not None:
        return f"{element('', array, where(mask))}: {count_bad(mask)}"
    if not array.size:
        return "empty"
    size = np.abs(array)
    return f"absolute values from {size.min():.3g} to {size.max():.3g}"


def bad_input(node: Node, values: tuple[Any, ...], line: Line | None, inf: bool) -> None:
    """Raise if an operand that no recorded operation made holds a NaN or an infinity."""
    op: Any = node.op
    first = len(op.params) - 1 if op.variadic else 0
    for k, parent in enumerate(node.parents):
        if parent is None or parent.op is None:
            value = values[first + k if op.variadic else op.inputs[k]]
            mask = is_bad(value, inf)
            if mask is not None:
                raise _input_error(node, k, value, mask, line)


def _input_error(node: Node, k: int, value: Any, mask: Any, line: Line | None) -> AnomalyError:
    op: Any = node.op
    name, parent = op.input_name(k), node.parents[k]
    what = "a leaf that requires grad" if parent is not None else "a constant operand"
    index = where(mask)
    headline = f"{op.name}: its operand {name} already holds {np.asarray(value)[index]!s} before any operation, read at"
    facts = [f"{element(name, value, index)}: {count_bad(mask)}; {what}, shape {np.shape(value)}"]
    instead = (
        "look at how it was updated: a step that was too long, or a gradient that was not finite"
        if parent is not None
        else "clean the data first: np.nan_to_num(data), data[np.isfinite(data).all(1)], np.where(np.isfinite(data), data, 0.0)"
    )
    return report("input", op.name, line, index, headline, facts, instead)


# ------------------------------------------------------------------------------------------------------ a graph


def blame_forward(root: Node, value: Any, inf: bool) -> None:
    """Raise for the node that the bad value of ``root`` came from, as far back as saved arrays tell."""
    values = {root: value}
    if root.op is not None and root.saved is not None:
        nodes = graph.history(root, leaves=True)
        values = {**values_of(nodes), **values}
        _first_bad(nodes, values, inf, cotangents(nodes, np.ones(value.shape, value.dtype)))
    elif root.op is None:
        mask = is_bad(value, inf)
        raise report("input", "leaf", None, where(mask), f"backward was called on a leaf that holds {value[where(mask)]!s}",
                     [], "look at how it was made")  # fmt: skip


def _is_masked(error: AnomalyError, g: Any) -> bool:
    """Whether a branch that was not taken has thrown the bad element away."""
    index = error.index
    return isinstance(g, np.ndarray) and index is not None and len(index) == g.ndim and bool(g[index] == 0)


def _first_bad(nodes: list[Node], values: dict[Node, Any], inf: bool, flows: dict[Node, Any]) -> None:
    """Raise for the earliest node that has a bad operand from outside, or a bad value."""
    for node in sorted(nodes, key=lambda n: n.seq):
        if node.op is None:
            continue
        line = getattr(node, "line", None)
        for k, parent in enumerate(node.parents):
            if parent is None or parent.op is None:
                array = input_of(node, k) if parent is None else values.get(parent)
                if (mask := is_bad(array, inf)) is not None:
                    raise _input_error(node, k, array, mask, line)
        known = getattr(node, "birth", None)
        if known is not None and not _is_masked(known, flows.get(node)):
            raise known
        array = values.get(node)
        if (mask := is_bad(array, inf)) is not None:
            raise _result_error(node, array, mask, values, line)


def _result_error(node: Node, array: Any, mask: Any, values: dict[Node, Any], line: Line | None) -> AnomalyError:
    op: Any = node.parents[0].op if node.op.part else node.op  # type: ignore[union-attr]
    index = where(mask)
    unseen = [op.input_name(k) for k, p in enumerate(node.parents)
              if (input_of(node, k) if p is None else values.get(p)) is None] if not node.op.part else []  # type: ignore[union-attr]  # fmt: skip
    headline = f"{op.name}: its result is the first that is known to hold {array[index]!s}, recorded at"
    facts = [f"{element('result', array, index)}: {count_bad(mask)} (shape {array.shape}, {array.dtype})"]
    if unseen:
        facts.append(f"its operand {', '.join(unseen)} was not kept: an operation before it may be the one")
    return report("forward", op.name, line, index, headline, facts, advice(op.name, array.dtype))


def blame_backward(order: list[Node], cotangent: Any, needed: Any, inf: bool) -> NoReturn:
    """Walk once more, a node at a time, and raise for the first that sends a NaN or an infinity."""
    cotangent = getattr(cotangent, "_data", cotangent)
    if (mask := is_bad(cotangent, inf)) is not None:
        raise report("input", "backward", None, where(mask), "the gradient given to backward is not finite",
                     [element("gradient", cotangent, where(mask))], "pass a finite one")  # fmt: skip
    grads: dict[Node, Any] = {order[0]: cotangent}
    for node in order:
        if (g := grads.pop(node, None)) is None:
            continue
        sent = graph.carry((node,), g, needed, False, True, ())
        sent.pop(node, None)
        for parent, new in sent.items():
            if not isinstance(new, list) and (mask := is_bad(new, inf)) is not None:
                _raise_backward(order, node, parent, g, new, mask, inf)
            grads[parent] = graph.joined(grads.get(parent), new)
    raise report("backward", "hook", None, None, "a gradient that arrived is not finite, but no operation's rule made it",
                 [], "look at the hooks (register_hook), and for sums of gradients that overflow")  # fmt: skip


def _raise_backward(order: list[Node], node: Node, parent: Node, g: Any, new: Any, mask: Any, inf: bool) -> NoReturn:
    op: Any = node.op
    g, new = (x if isinstance(x, list) else np.asarray(x) for x in (g, new))
    saved = [a for k in range(len(node.parents)) if (a := input_of(node, k)) is not None]
    out = node.saved[op.out]
    if any(is_bad(a, inf) is not None for a in (*saved, *([out] if isinstance(out, np.ndarray) else []))):
        before = graph.history(node, leaves=True)  # its operands were bad already: look where they came from
        _first_bad(before, values_of([*before, *order]), inf, cotangents(before, g))
    k = next(k for k, p in enumerate(node.parents) if p is parent)
    index = where(mask)
    name = op.input_name(k)
    headline = f"backward of {op.name}: {new[index]!s} first appears in the gradient of its operand {name}, recorded at"
    facts = [f"{element(f'∂L/∂{name}', new, index)}: {count_bad(mask)} (shape {new.shape}, {new.dtype})"]
    if isinstance(g, np.ndarray):
        fits = op.elementwise and g.shape == new.shape
        facts.append(element("∂L/∂result", g, index) if fits else f"∂L/∂result: shape {g.shape}, {_range(g)}")
    values = [input_of(node, j) for j in range(len(node.parents))]
    if not op.variadic:
        given: list[Any] = [None] * len(op.params)
        for at, value in zip(op.inputs, values, strict=True):
            given[at] = value
        facts += _operands(op, tuple(given), node.shape if new.shape == node.shape else (), index)
    if isinstance(out, np.ndarray) and out.shape == new.shape and op.elementwise:
        facts.append(element("result", out, index))
    raise report("backward", op.name, getattr(node, "line", None), index, headline, facts, advice(op.name, new.dtype))


def blame_tangent(node: Node, tangents: dict[Node, Any], inf: bool) -> NoReturn:
    """Raise for the operation where, on the way to ``node``, a tangent is first not finite."""

    def bad(node: Node | None) -> Any:
        t = tangents.get(node) if node is not None else None
        parts = list(t.values()) if isinstance(t, dict) else [t]
        return next((m for p in parts if (m := is_bad(getattr(p, "_data", p), inf)) is not None), None)

    mask = bad(node)
    while (before := next((p for p in node.parents if bad(p) is not None), None)) is not None:
        node, mask = before, bad(before)
    op: Any = node.op
    if op is None or op.name == "variable":
        raise report("input", "jvp", None, where(mask), "the tangent given is not finite", [], "pass a finite one")
    t = tangents[node]
    headline = (
        f"forward derivative of {op.name}: the tangent of its result is the first that is not finite, recorded at"
    )
    facts = [f"tangent of the result: {count_bad(mask)}"]
    if not isinstance(t, dict):
        facts.insert(0, element("tangent of the result", getattr(t, "_data", t), where(mask)))
    inputs = [input_of(node, k) for k in range(len(node.parents))]
    facts += [element(op.input_name(k), x, where(mask)) for k, x in enumerate(inputs)
              if isinstance(x, np.ndarray) and x.shape == mask.shape and op.elementwise]  # fmt: skip
    raise report(
        "backward", op.name, getattr(node, "line", None), where(mask), headline, facts, advice(op.name, node.dtype)
    )
