"""``draw_dot``: the picture of a computation, of single Values as in the lecture, and of tensors."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.graph import Node
from tinytensor.io import check_writable, replacing
from tinytensor.primitive import TensorBase
from tinytensor.recorded import input_of, values_of
from tinytensor.scalar import Value

if TYPE_CHECKING:
    from tinytensor.nn import Module

__all__ = ["Drawing", "draw_dot"]

# Colour-blind-safe tints (Okabe and Ito's blue, orange and a grey, lightened so that black text stays readable).
_LEAF, _ROOT, _INNER, _OP, _CONSTANT = "#cfe5f5", "#fbe0b5", "#ffffff", "#e4e4e4", "#f4f4f4"
_FONT = "Helvetica"  # a single name: its widths are known to Graphviz, a list's are not


class Drawing:
    """A drawn graph: shown by Jupyter, written by :meth:`save`; ``source`` is its DOT text.

    >>> import tinytensor as tt
    >>> a = tt.Value(2.0, label="a")
    >>> drawing = tt.draw_dot(a * a)
    >>> drawing.source.count("->")
    3
    """

    def __init__(self, source: str, format: str) -> None:
        self.source, self.format = source, format

    def render(self, format: str | None = None) -> bytes:
        """The picture as the bytes of an SVG or PNG file; RuntimeError if no program that draws is found."""
        return _render(self.source, format or self.format)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an .svg, .png or .dot file, by the path's ending, whole or not at all; returns the path."""
        target = check_writable(path, ".svg", ".png", ".dot")
        kind = target.suffix.lower()[1:]
        content = self.source.encode() if kind == "dot" else self.render(kind)
        with replacing(target) as temporary:
            temporary.write_bytes(content)
        return target

    def _repr_svg_(self) -> str | None:
        return self.render().decode() if self.format == "svg" else None

    def _repr_png_(self) -> bytes | None:
        return self.render() if self.format == "png" else None

    def __repr__(self) -> str:
        return f"<Drawing of {self.source.count('shape=record')} values, {self.format}; .save('graph.svg') writes it>"


def draw_dot(
    root: Any,
    format: str = "svg",
    rankdir: str = "LR",
    filename: str | os.PathLike[str] | None = None,
    labels: Mapping[str, Any] | Module | Iterable[tuple[str, Any]] | None = None,
    max_nodes: int = 2000,
) -> Drawing:
    """Draw what ``root`` was computed from: operations as circles, values as boxes; after ``backward``, gradients too.

    root      a ``Value`` (boxes: label, data, grad), or a ``Tensor`` (boxes: name, shape and dtype, and the numbers and
              the gradient where the graph still has them and they are few)
    format    'svg' or 'png': what Jupyter shows; ``rankdir``: 'LR' from left to right, 'TB' from top to bottom
    filename  written at once, by its ending (.svg, .png, .dot)
    labels    names for tensors: ``{'w': w}``, a module (its ``named_parameters``), or pairs of name and tensor
    max_nodes a ValueError, instead of a picture that nobody can read, for a graph with more values

    Leaves are blue, the root is orange; what has no gradient is dashed. The picture is made by Graphviz' ``dot``, or
    where that is missing by the wheel ``graphviz-pure`` (extra ``plot``). Follows ``draw_dot`` of the micrograd lecture.

    >>> import tinytensor as tt
    >>> w = tt.tensor([[1.0, 2.0]], requires_grad=True)
    >>> drawing = tt.draw_dot((w * w).sum(), labels={"w": w})
    >>> drawing
    <Drawing of 3 values, svg; .save('graph.svg') writes it>
    """
    if format not in ("svg", "png"):
        raise ValueError(f"draw_dot: format must be 'svg' or 'png', got {format!r}")
    if rankdir not in ("LR", "TB", "RL", "BT"):
        raise ValueError(f"draw_dot: rankdir must be 'LR' or 'TB' (or 'RL', 'BT'), got {rankdir!r}")
    if isinstance(root, Value):
        if labels is not None:
            raise TypeError("draw_dot: labels are for tensors; a Value carries its own: Value(2.0, label='a')")
        graph = _digraph(rankdir)
        _draw_values(graph, _values(root, max_nodes), root)
    elif isinstance(root, TensorBase):
        graph = _digraph(rankdir)
        _draw_tensors(graph, root, dict(_named(labels)), max_nodes)
    else:
        raise TypeError(f"draw_dot: expected a Value or a Tensor, got {type(root).__name__}")
    drawing = Drawing(graph.source, format)
    if filename is not None:
        drawing.save(filename)
    return drawing


# ------------------------------------------------------------------------------------------------------------ values


def _too_many(max_nodes: int) -> ValueError:
    return ValueError(
        f"draw_dot: the graph has more than {max_nodes} values; draw an earlier result or a smaller model, or raise "
        "max_nodes"
    )


def _values(root: Value, max_nodes: int) -> list[Value]:
    found, stack = {id(root): root}, [root]
    while stack:
        for parent in stack.pop()._prev:
            if id(parent) not in found:
                found[id(parent)] = parent
                stack.append(parent)
        if len(found) > max_nodes:
            raise _too_many(max_nodes)
    return list(found.values())


def _draw_values(graph: Any, values: list[Value], root: Value) -> None:
    number = {id(v): f"v{i}" for i, v in enumerate(values)}
    for v in values:
        name = number[id(v)]
        cells = [_escape(v.label)] if v.label else []
        cells += [f"data {_escape(_text(v.data))}", f"grad {_escape(_text(v.grad))}"]
        _box(graph, name, cells, _ROOT if v is root and v._op else _INNER if v._op else _LEAF)
        if v._op:
            _circle(graph, name, v._op)
            for parent in v._prev:
                graph.edge(number[id(parent)], name + "op")


def _text(x: Any) -> str:
    """A number as the lecture prints it, four decimals, unless they would hide it."""
    if isinstance(x, (int, float, np.floating)) and not isinstance(x, bool):
        return f"{x:.4f}" if x == 0 or 1e-4 <= abs(float(x)) < 1e6 else f"{x:.4g}"
    return f"{x:.4g}" if isinstance(x, complex) else f"{x!s:.24}"


# ----------------------------------------------------------------------------------------------------------- tensors


def _named(labels: Any) -> Iterator[tuple[str, TensorBase]]:
    if labels is None:
        return
    pairs = labels.named_parameters() if hasattr(labels, "named_parameters") else labels
    pairs = pairs.items() if isinstance(pairs, Mapping) else pairs
    for name, tensor in pairs:
        if not isinstance(tensor, TensorBase):
            raise TypeError(f"draw_dot: labels name tensors, but {name!r} is a {type(tensor).__name__}")
        yield str(name), tensor


def _nodes(root: Node, max_nodes: int) -> list[Node]:
    found, stack = {root}, [root]
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent not in found:
                found.add(parent)
                stack.append(parent)
        if len(found) > max_nodes:
            raise _too_many(max_nodes)
    return sorted(found, key=lambda node: node.seq)


def _draw_tensors(graph: Any, root: TensorBase, names: dict[str, TensorBase], max_nodes: int) -> None:
    if root._node is None:
        name = next((name for name, t in names.items() if t is root), "")
        _box(graph, "n0", _cells(name, root._data.shape, root._data.dtype, root._data, None), _CONSTANT, dashed=True)
        return
    known = {t._node: (name, t._data) for name, t in names.items() if t._node is not None}
    known.setdefault(root._node, ("", root._data))
    arrays = {id(t._data): name for name, t in names.items() if t._node is None}
    number = {node: f"n{i}" for i, node in enumerate(_nodes(root._node, max_nodes))}
    values = values_of(number)
    for node, key in number.items():
        name, data = known.get(node, ("", values.get(node)))
        grad = node.grad if isinstance(node.grad, np.ndarray) else None
        colour = _LEAF if node.op is None else _ROOT if node is root._node else _INNER
        _box(graph, key, _cells(name, node.shape, node.dtype, data, grad), colour)
        if node.op is None:
            continue
        _circle(graph, key, f"[{node.saved[0]}]" if node.op.part else node.op.name)
        for k, parent in enumerate(node.parents):
            if parent is not None:
                graph.edge(number[parent], key + "op")
                continue
            constant = input_of(node, k)
            cells = ["constant"]
            if constant is not None:
                cells = _cells(arrays.get(id(constant), ""), constant.shape, constant.dtype, constant, None)
            _box(graph, f"{key}c{k}", cells, _CONSTANT, dashed=True)
            graph.edge(f"{key}c{k}", key + "op", style="dashed")


def _cells(name: str, shape: Any, dtype: Any, data: Any, grad: Any) -> list[str]:
    cells = [_escape(name)] if name else []
    if dtype is None:  # an operation with several results: each has a box of its own
        cells.append(f"{len(shape)} results")
    else:
        size = " × ".join(map(str, shape)) if shape else "a number" if not name else "number"
        cells.append(_escape(f"{size}\\n{dtype}" if shape else f"{dtype}"))
    if isinstance(data, np.ndarray):
        cells += [f"data {text}"] if (text := _numbers(data)) else []
    if grad is not None:
        cells.append(f"grad {_numbers(grad) or '✓'}")
    return cells


def _numbers(array: Any) -> str:
    """The elements of a small array, rows as lines; nothing for a large one."""
    if array.size > 9 or array.ndim > 2 or (array.ndim == 2 and array.shape[1] > 4):
        return ""
    if array.ndim == 0:
        return _escape(_text(array.item()))
    rows = np.atleast_2d(array)
    text = [", ".join(f"{v:.3g}" for v in row.tolist()) for row in rows]
    return _escape("\\n".join(text) if len(text) == 1 else "\\n" + "\\n".join(text))


# --------------------------------------------------------------------------------------------------------------- DOT


def _escape(text: str) -> str:
    r"""Text inside a record label, where ``| { } < >`` and quotes have a meaning (``\\n`` stays a line break)."""
    out = text.replace("\\n", "\0").replace("\\", "\\\\").replace("\0", "\\n").replace("\n", " ")
    out = out.replace("&", "&amp;")  # or Graphviz would read &lt; as <
    for sign in '"{}|<>':
        out = out.replace(sign, "\\" + sign)
    return out


def _box(graph: Any, name: str, cells: list[str], colour: str, dashed: bool = False) -> None:
    style = {"style": "filled,dashed", "color": "#777777"} if dashed else {}
    graph.node(name, f"{{ {' | '.join(cells)} }}", shape="record", fillcolor=colour, **style)


def _circle(graph: Any, name: str, op: str) -> None:
    text = op.replace("\\", "\\\\").replace("&", "&amp;")
    graph.node(name + "op", text, shape="circle" if len(text) <= 4 else "ellipse", fillcolor=_OP)
    graph.edge(name + "op", name)


def _digraph(rankdir: str) -> Any:
    try:
        import graphviz
    except ImportError:
        raise ImportError("draw_dot needs the package graphviz: pip install 'tinytensor[plot]'") from None
    return graphviz.Digraph(
        graph_attr={"rankdir": rankdir, "bgcolor": "white", "pad": "0.15", "nodesep": "0.18", "ranksep": "0.3"},
        node_attr={
            "fontname": _FONT, "fontsize": "11", "style": "filled", "color": "#444444", "margin": "0.08,0.04",
            "height": "0.3", "width": "0.3", "penwidth": "0.8",
        },
        edge_attr={"color": "#666666", "arrowsize": "0.6", "penwidth": "0.8"},
    )  # fmt: skip


@cache
def _program() -> str | None:
    """Graphviz' own ``dot``, or the program in the wheel ``graphviz-pure`` (also where it is not on the PATH)."""
    if found := shutil.which("dot") or shutil.which("graphviz-pure"):
        return found
    try:
        files = metadata.distribution("graphviz-pure").files or []
    except metadata.PackageNotFoundError:
        return None
    places = (Path(str(file.locate())) for file in files if file.stem == "graphviz-pure" and len(file.parts) > 1)
    return next((str(place.resolve()) for place in places if place.exists()), None)


def _render(source: str, format: str) -> bytes:
    program = _program()
    if program is None:
        raise RuntimeError("draw_dot: no program that draws is installed: pip install 'tinytensor[plot]', or Graphviz")
    options = ["-Gdpi=144"] if format == "png" else []
    done = subprocess.run([program, f"-T{format}", *options], input=source.encode(), capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise RuntimeError(
            f"draw_dot: {Path(program).name} failed: {done.stderr.decode(errors='replace').strip()[:300]}"
        )
    return done.stdout
