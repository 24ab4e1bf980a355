"""The picture of an explanation: what each operation carries of one derivative, and along which edges."""

from __future__ import annotations

from typing import Any

from tinytensor.plot.dot import _INNER, _LEAF, _ROOT, Drawing, _box, _circle, _digraph, _escape

__all__ = ["draw_explanation"]

_STRONG = "#d55e00"  # Okabe and Ito's vermilion, for the strongest path


def draw_explanation(explanation: Any, format: str = "svg", rankdir: str = "TB", max_stages: int = 400) -> Drawing:
    """Draw an :class:`Explanation`: boxes with names, shapes and what they carry; thick edges carry much.

    The strongest path is orange, with its local derivatives on the edges. Example: :func:`tinytensor.explain`.
    """
    if format not in ("svg", "png"):
        raise ValueError(f"draw: format must be 'svg' or 'png', got {format!r}")
    stages = explanation.stages
    if len(stages) > max_stages:
        raise ValueError(
            f"draw: {len(stages)} operations are more than a picture can show; print the explanation instead"
        )
    graph = _digraph(rankdir)
    keys = {stage.node: f"n{stage.number}" for stage in stages}
    keys[explanation.origin] = "n0"
    first = [_escape(explanation.element)]
    if explanation.value is not None:
        first.append(f"value {float(explanation.value):.4g}")
    _box(graph, "n0", [*first, f"∂{_escape(explanation.result)} {explanation.derivative:.4g}"], _LEAF)
    hops = {hop.node: hop for path in explanation.paths[:1] for hop in path.hops}
    before = {}
    last = explanation.origin
    for node in hops:
        before[node] = last
        last = node
    largest = max([abs(carried) for stage in stages for carried in stage.edges.values()], default=0.0) or 1.0
    for stage in stages:
        key, hop = keys[stage.node], hops.get(stage.node)
        _box(graph, key, _cells(stage, hop), _ROOT if stage is stages[-1] else _INNER)
        _circle(graph, key, stage.op)
        for parent, carried in stage.edges.items():
            strong = hop is not None and before[stage.node] is parent
            style = {"color": _STRONG, "fontcolor": _STRONG} if strong else {}
            label = f"  × {hop.derivative:.3g}" if strong and hop is not None else f"  {carried:.3g}"
            width = f"{0.6 + 3.4 * abs(carried) / largest:.2f}"
            graph.edge(
                keys[parent], key + "op", label=label, penwidth=width, fontsize="9", fontname="Helvetica", **style
            )
    return Drawing(graph.source, format)


def _cells(stage: Any, hop: Any) -> list[str]:
    shape = " × ".join(map(str, stage.node.shape)) or "a number"
    cells = [_escape(stage.name)] if stage.name else []
    cells += [_escape(shape), f"carries {stage.carries:.4g}"]
    if hop is not None and hop.at:
        at = f"at [{', '.join(map(str, hop.at))}]"
        cells.append(_escape(f"{at} {stage.value[hop.at]:.4g}" if stage.value is not None else at))
    if stage.line is not None:
        cells.append(_escape(f"line {stage.line.number}: {stage.line.expression:.40}"))
    return cells
