"""``tt.explain``: the local derivatives through which a result depends on one element of one tensor."""

from __future__ import annotations

import heapq
import os
import sys
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinytensor import graph
from tinytensor.graph import Node, set_grad_enabled
from tinytensor.primitive import TensorBase, wrap
from tinytensor.recorded import Line, values_of
from tinytensor.stepping import cotangents

if TYPE_CHECKING:
    from tinytensor.plot import Drawing

__all__ = ["Explanation", "Hop", "Path", "Stage", "explain"]

Index = tuple[int, ...]


class Stage(NamedTuple):
    """One operation between the element and the result.

    ``value``: its result, where a rule kept it. ``cotangent``: ∂result/∂out. ``tangent``: ∂out/∂element. ``carries``:
    Σ cotangent · tangent, its part of the derivative; ``edges``: the same for each parent that it comes through.
    """

    number: int
    node: Node
    name: str
    value: Any
    cotangent: Any
    tangent: Any
    carries: float
    edges: dict[Node, float]

    @property
    def op(self) -> str:
        return name_of(self.node)

    @property
    def line(self) -> Line | None:
        return getattr(self.node, "line", None)


class Hop(NamedTuple):
    """From one element to an element of the next operation: ``derivative`` is ∂out[at]/∂(the element before)."""

    node: Node
    at: Index
    derivative: float


class Path(NamedTuple):
    """A way from the element to the result; ``product`` of its hops' derivatives."""

    product: float
    hops: tuple[Hop, ...]


class Explanation:
    """What :func:`tinytensor.explain` found: ``print`` it, ``.draw()`` it, or read its fields.

    ``derivative``: ∂result/∂element, by the backward walk; ``forward``: the same, by pushing the element's tangent
    forward. ``stages``: a :class:`Stage` for every operation in between, in the order of recording. ``paths``: the
    strongest ways from the element to the result; all derivatives along a path multiply, all paths add.
    Example: :func:`tinytensor.explain`.
    """

    def __init__(self, result: str, element: str, origin: Node, index: Index, value: Any, derivative: float,
                 stages: list[Stage], paths: list[Path], complete: bool) -> None:  # fmt: skip
        self.result, self.element, self.origin, self.index, self.value = result, element, origin, index, value
        self.derivative, self.stages, self.paths, self.complete = derivative, stages, paths, complete
        self.forward = float(stages[-1].tangent.sum()) if stages else 1.0

    def draw(self, format: str = "svg", rankdir: str = "TB") -> Drawing:
        """The picture: every operation with what it carries, the strongest path in orange; see :func:`tinytensor.draw_dot`."""
        from tinytensor.plot.explanation import draw_explanation

        return draw_explanation(self, format, rankdir)

    def save(self, path: str | os.PathLike[str]) -> Any:
        """Draw into an .svg, .png or .dot file; returns its path."""
        return self.draw().save(path)

    def _repr_svg_(self) -> str | None:
        return self.draw()._repr_svg_()

    def __repr__(self) -> str:
        return f"<∂{self.result}/∂{self.element} = {self.derivative:.6g}, through {len(self.stages)} operations>"

    def __str__(self) -> str:
        return self.text()

    def text(self, rows: int = 40) -> str:
        """The explanation in words and numbers, with at most so many rows in each table."""
        known = f", {self.element} = {_number(self.value)}" if self.value is not None else ""
        head = [
            (
                f"∂{self.result}/∂{self.element} = {_number(self.derivative)}"
                f"   ({name_of(self.origin)} of shape {self.origin.shape}, "
                f"{self.origin.dtype}{known})"
            ),
            f"forward, by pushing ∂{self.element} = 1 through the operations: {_number(self.forward)}",
        ]
        if not self.stages:
            return head[0]
        head.append(f"\nEvery operation on the way, and what it carries: Σ ∂{self.result}/∂out · ∂out/∂{self.element}")
        return "\n".join([*head, *_cut(self._table(), rows), *self._ways(rows)])

    def _table(self) -> list[str]:
        number = {stage.node: stage.number for stage in self.stages}
        table = [("step", "operation", "from", "shape", "moved", "carries", "recorded at")]
        for s in self.stages:
            sources = ", ".join(str(number.get(p, self.element)) for p in s.edges)
            moved = f"{np.count_nonzero(s.tangent)}/{s.tangent.size}"
            name = f"{s.op} → {s.name}" if s.name else s.op
            table.append((str(s.number), name, sources, str(s.node.shape), moved, _number(s.carries), _short(s.line)))
        if not any(s.line for s in self.stages):
            table = [row[:-1] for row in table]  # type: ignore[misc]
        width = [max(len(row[c]) for row in table) for c in range(len(table[0]))]
        lines = ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip() for row in table]
        if not any(s.line for s in self.stages):
            lines.append("  (to see your lines here, record under `with tt.trace_lines():`)")
        return lines

    def _ways(self, rows: int) -> list[str]:
        if not self.paths:
            return ["\nNothing arrives: every way multiplies by 0."]
        best = self.paths[0]
        if self.complete and len(self.paths) == 1:
            lines = ["\nThe chain: each local derivative, and their product"]
        else:
            share = f" ({best.product / self.derivative:.0%} of the sum)" if self.derivative else ""
            lines = [f"\nThe strongest path{share}: each local derivative, and their product"]
        number = {stage.node: stage for stage in self.stages}
        lines.append(f"  {self.element}" + (f" = {_number(self.value)}" if self.value is not None else ""))
        hops = []
        for hop in best.hops:
            stage = number[hop.node]
            value = f", there {_number(stage.value[hop.at])}" if stage.value is not None else ""
            where = f"[{', '.join(map(str, hop.at))}]" if hop.at else ""
            hops.append(f"  → step {stage.number}, {stage.name or stage.op}{where}: × {_number(hop.derivative)}{value}")
        lines += [*_cut(hops, rows), f"  = {_number(best.product)}"]
        if len(self.paths) > 1:
            rest = self.derivative - sum(path.product for path in self.paths)
            terms = [_number(path.product) for path in self.paths] + (
                [] if self.complete else [f"{_number(rest)} (others)"]
            )
            lines.append(f"\nThe paths add: {' + '.join(terms).replace('+ -', '− ')} = {_number(self.derivative)}")
        return lines


def explain(
    result: TensorBase,
    tensor: TensorBase,
    index: Any = None,
    *,
    paths: int = 3,
    labels: Mapping[str, Any] | None = None,
) -> Explanation:
    """How ``result`` depends on one element: every local derivative between the two, with the numbers.

    result   a tensor with one element, before ``backward()`` (or after ``backward(retain_graph=True)``)
    tensor   the element, ``w[0, 3]``; or the tensor, and ``index=(0, 3)``. A leaf or an intermediate result
    paths    how many of the ways from the element to the result to follow, the strongest first
    labels   names for tensors, ``{'w': w}``; else those of the caller's variables

    The graph is left as it is, no ``.grad`` changes and no hook is called. The user's lines are told of operations that
    were recorded under :func:`tinytensor.trace_lines` or :func:`tinytensor.detect_anomaly`.

    >>> import numpy as np, tinytensor as tt
    >>> w = tt.tensor([1.0, 2.0], requires_grad=True)
    >>> loss = np.sum(np.square(w) * 3.0)
    >>> print(tt.explain(loss, w[1]))
    ∂loss/∂w[1] = 12   (leaf of shape (2,), float64, w[1] = 2)
    forward, by pushing ∂w[1] = 1 through the operations: 12
    <BLANKLINE>
    Every operation on the way, and what it carries: Σ ∂loss/∂out · ∂out/∂w[1]
      step  operation   from  shape  moved  carries
      1     square      w[1]  (2,)   1/2    12
      2     multiply    1     (2,)   1/2    12
      3     sum → loss  2     ()     1/1    12
      (to see your lines here, record under `with tt.trace_lines():`)
    <BLANKLINE>
    The chain: each local derivative, and their product
      w[1] = 2
      → step 1, square[1]: × 4
      → step 2, multiply[1]: × 3
      → step 3, loss: × 1, there 15
      = 12
    """
    root = _checked(result, tensor)
    order = graph.history(root, leaves=True)
    origin, at = _resolve(tensor, index, set(order))
    if any(node.op is not None and node.saved is None for node in order):
        raise RuntimeError(
            "explain: backward() has freed what this graph saved; explain the result before it, or call "
            "backward(retain_graph=True)"
        )
    names = _names(labels if labels is not None else sys._getframe(1).f_locals)
    values = {**values_of(order), root: result._data}
    values.setdefault(origin, tensor._data if tensor._node is origin else None)
    value = (
        values[origin][at] if values[origin] is not None else tensor._data.item() if tensor._data.size == 1 else None
    )
    restore = graph.watch(None)
    try:
        with np.errstate(all="ignore"):
            found = _Flow(order, root, origin, at)
            stages = found.stages(names, values)
            ways, complete = found.paths(paths)
    finally:
        restore()
    label = names.get(origin, "x" if origin.op is None else name_of(origin))
    element = f"{label}[{', '.join(map(str, at))}]" if at else label
    derivative = float(found.cotangent[origin][at]) if origin in found.cotangent else 0.0
    return Explanation(names.get(root, "result"), element, origin, at, value, derivative, stages, ways, complete)


# --------------------------------------------------------------------------------------------------- what was asked


def _checked(result: Any, tensor: Any) -> Node:
    for what, t in (("result", result), ("tensor", tensor)):
        if not isinstance(t, TensorBase):
            raise TypeError(f"explain: {what} must be a tensor, got {type(t).__name__}")
        if t._node is None:
            raise RuntimeError(f"explain: {what} does not require grad; make its leaves with requires_grad=True")
        if t._data.dtype.kind == "c":
            raise TypeError(f"explain: {what} is complex; only real programs can be explained")
    if result._data.size != 1:
        raise ValueError(
            f"explain: the result must have one element, got shape {result._data.shape}; reduce or index it"
        )
    node: Node = result._node
    return node


def _resolve(tensor: Any, index: Any, nodes: set[Node]) -> tuple[Node, Index]:
    """The node that was meant, and the index of the element in it: ``w[0, 3]`` is an element of w."""
    node: Any = tensor._node
    places = np.arange(tensor._data.size).reshape(tensor._data.shape)
    if index is not None:
        places = places[index]
    while node not in nodes and node.op is not None and node.op.name == "getitem" and node.saved is not None:
        parent, taken = node.parents[0], node.saved[node.op.params.index("index")]
        places = np.arange(int(np.prod(parent.shape))).reshape(parent.shape)[taken].reshape(-1)[places]
        node = parent
    if node not in nodes:
        raise ValueError("explain: the result was not computed from this tensor (or the tensor was changed in between)")
    if places.size != 1:
        raise ValueError(
            f"explain: one element is explained at a time, got {places.size}; choose it: tt.explain(result, w[0, 3]) or "
            "tt.explain(result, w, (0, 3))"
        )
    return node, tuple(int(i) for i in np.unravel_index(int(places.reshape(())), node.shape))


def _names(labels: Mapping[str, Any]) -> dict[Node, str]:
    """Names of nodes, from names of tensors."""
    found: dict[Node, str] = {}
    for name, t in labels.items():
        if isinstance(t, TensorBase) and t._node is not None and not name.startswith("_"):
            found.setdefault(t._node, name)
    return found


# ------------------------------------------------------------------------------------------------------- the numbers


class _Flow:
    """Cotangents of all nodes, tangents of those that depend on the element, and what flows along each edge."""

    def __init__(self, order: list[Node], root: Node, origin: Node, at: Index) -> None:
        self.root, self.origin, self.at = root, origin, at
        self.cotangent = cotangents(order, np.ones(root.shape, root.dtype))
        unit = np.zeros(origin.shape, origin.dtype)
        unit[at] = 1
        self.tangent: dict[Node, Any] = {origin: unit}
        self.edges: dict[Node, dict[Node, float]] = {}
        self.readers: dict[Node, list[Node]] = {}
        for node in reversed([n for n in order if n.op is not None and n.seq > origin.seq]):
            for parent in dict.fromkeys(p for p in node.parents if p in self.tangent):
                assert parent is not None
                moved = push(node, parent, self.tangent[parent], self.cotangent[node])
                self.tangent[node] = graph.joined(self.tangent.get(node), moved)
                self.edges.setdefault(node, {})[parent] = _total(self.cotangent[node], moved)
                self.readers.setdefault(parent, []).append(node)

    def stages(self, names: dict[Node, str], values: dict[Node, Any]) -> list[Stage]:
        found: list[Stage] = []
        for node, edges in self.edges.items():
            if isinstance(self.tangent[node], list):  # of an operation with several results each is a stage
                continue
            whole = node.parents[0] if node.op is not None and node.op.part else None
            if whole is not None:
                share = _total(self.cotangent[node], self.tangent[node])
                edges = dict.fromkeys(self.edges[whole], share)
            carries = _total(self.cotangent[node], self.tangent[node])
            name, value = names.get(node, ""), values.get(node)
            found.append(
                Stage(len(found) + 1, node, name, value, self.cotangent[node], self.tangent[node], carries, edges)
            )
        return found

    def paths(self, limit: int) -> tuple[list[Path], bool]:
        """The strongest paths, and whether there are no others: what flows through a beginning bounds its ends."""
        tie, complete = count(), True
        done: list[Path] = []
        heap: list[Any] = [(-np.inf, next(tie), 1.0, self.origin, self.at, ())]
        while heap and len(done) < limit:
            _, _, product, node, at, hops = heapq.heappop(heap)
            if node is self.root:
                done.append(Path(product, hops))
                continue
            ends = self._next(node, at, product, limit + 1)
            complete = complete and len(ends) <= limit
            for flow, reader, index, derivative, so_far in ends[:limit]:
                hop = Hop(reader, index, derivative)
                entry = (-abs(flow), next(tie), so_far, reader, index, (*hops, hop))
                heapq.heappush(heap, entry)
        done.sort(key=lambda path: -abs(path.product))
        return done, complete and not heap

    def _next(self, node: Node, at: Index, product: Any, limit: int) -> list[tuple[float, Node, Index, Any, Any]]:
        """The elements that read this one, those through which most flows first.

        What a complex number does (``real``, ``abs``) depends on where it points: there, the product so far is pushed.
        """
        found = []
        turned = node.dtype.kind == "c"
        unit = np.zeros(node.shape, node.dtype)
        unit[at] = product if turned else 1
        for reader in self.readers.get(node, ()):
            column = push(reader, node, unit, self.cotangent[reader])
            outs = [(reader, column)]
            if isinstance(column, list):
                outs = [(part, column[part.saved[0]]) for part in self.readers.get(reader, ())]
            for out, derivatives in outs:
                if derivatives is None:
                    continue
                flow = _product(self.cotangent[out], derivatives).real * (1.0 if turned else abs(product))
                for flat in np.argsort(-np.abs(flow), axis=None, kind="stable")[:limit]:
                    index = tuple(int(i) for i in np.unravel_index(int(flat), flow.shape))
                    if flow[index]:
                        moved = derivatives[index].item()
                        one = (moved / product, moved) if turned else (moved, product * moved)
                        found.append((float(flow[index]), out, index, *one))
        found.sort(key=lambda one: -abs(one[0]))
        return found[:limit]


def push(node: Node, parent: Node, tangent: Any, cotangent: Any) -> Any:
    """∂node/∂parent · tangent: what the transpose of the rule, which is linear in g, does to the tangent.

    The rule runs on a tensor g, and the walk from its result, with the tangent as cotangent, arrives at g.
    """
    op: Any = node.op
    if op.part:
        return tangent[node.saved[0]]
    several = isinstance(cotangent, list)
    shapes = node.shape if several else (node.shape,)
    arrays = [np.zeros(s, tangent.dtype) if c is None else c for c, s in zip(cotangent if several else [cotangent], shapes, strict=True)]  # fmt: skip
    gs = [wrap(array, graph.leaf(array)) for array in arrays]
    arrived: dict[Node, Any] = {}
    with set_grad_enabled(True):
        g: Any = gs if several else gs[0]
        joint = op.joint(g, node.saved, 0) if op.joint is not None else None
        for k, source in enumerate(node.parents):
            if source is parent:
                pulled = joint[k] if joint is not None else op.pulls[k](g, node.saved, k)
                if pulled.shape != parent.shape or pulled.dtype != parent.dtype:
                    pulled = graph.settled(pulled, parent, op, k, True)
                start = getattr(pulled, "_node", None)
                if start is not None:
                    order = graph.history(start)
                    ends = graph.walk(order, tangent) if order else {start: tangent}
                    for end, array in ends.items():
                        arrived[end] = graph.joined(arrived.get(end), array)
    out = [arrived.get(t._node, np.zeros(t._data.shape, t._data.dtype)) for t in gs]
    return out if several else out[0]


def _product(cotangent: Any, tangent: Any) -> Any:
    """Elementwise; 0 where nothing is asked for or nothing moves, also if the other factor is infinite."""
    return np.where((cotangent == 0) | (tangent == 0), 0.0, cotangent * tangent)


def _total(cotangent: Any, tangent: Any) -> float:
    if isinstance(cotangent, list):
        return sum(_total(c, t) for c, t in zip(cotangent, tangent, strict=True) if c is not None and t is not None)
    return float(_product(cotangent, tangent).sum().real)


# ---------------------------------------------------------------------------------------------------------- in words


def name_of(node: Node) -> str:
    """The operation's name; with the number of the result, if it has several."""
    if node.op is None:
        return "leaf"
    whole = node.parents[0]
    return f"{whole.op.name}[{node.saved[0]}]" if node.op.part and whole is not None and whole.op else node.op.name


def _number(x: Any) -> str:
    return f"{x if isinstance(x, complex) else float(x):.6g}"


def _short(line: Line | None) -> str:
    return f"{os.path.basename(line.file)}:{line.number}: {line.expression}" if line else ""


def _cut(lines: list[str], rows: int) -> list[str]:
    if len(lines) <= rows:
        return lines
    head = rows // 2
    return [*lines[:head], f"  … {len(lines) - rows} more …", *lines[len(lines) - (rows - head) :]]
