"""What a recorded graph can tell about itself: values that rules have saved, and the user's lines, where they are known."""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from types import CodeType

    from tinytensor.graph import Node

__all__ = ["Line", "input_of", "line_at", "values_of"]


class Line(NamedTuple):
    """A place in the user's program. Its text is that of Python's tracebacks, with the expression underlined."""

    file: str
    number: int
    function: str
    first: int = 0
    last: int = 0

    @property
    def source(self) -> str:
        """The line as it is written, without its indentation; empty where the source is not to be had."""
        return linecache.getline(self.file, self.number).strip()

    @property
    def expression(self) -> str:
        """The part of the line that made the recorded operation."""
        whole = linecache.getline(self.file, self.number).encode()
        return whole[self.first : self.last].decode(errors="replace") or self.source

    def underlined(self, indent: str = "    ") -> str:
        """Place, line and carets, on lines of their own."""
        text = f'{indent}File "{self.file}", line {self.number}, in {self.function}'
        if not self.source:
            return text
        whole = linecache.getline(self.file, self.number).rstrip().encode()
        text += f"\n{indent}  {self.source}"
        lead = len(whole) - len(whole.lstrip())
        if not lead <= self.first < self.last <= len(whole) or self.last - self.first == len(whole) - lead:
            return text
        before, marked = whole[lead : self.first].decode(), whole[self.first : self.last].decode()
        return f"{text}\n{indent}  {' ' * len(before)}{'^' * len(marked)}"

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.source}" if self.source else f"{self.file}:{self.number}"


def line_at(code: CodeType, instruction: int) -> Line:
    """The line, and the columns in it, of the byte at ``instruction`` of a code object."""
    places = list(code.co_positions())
    at = instruction // 2
    number, end, first, last = places[at] if at < len(places) else (None, None, None, None)
    if number is None or end != number or first is None or last is None:  # several lines: no columns
        first = last = 0
    return Line(code.co_filename, number or code.co_firstlineno, code.co_name, first, last)


def input_of(node: Node, k: int) -> Any:
    """The array that came in as the k-th differentiable input of ``node``, if a rule saved it; else None."""
    op, saved = node.op, node.saved
    if op is None or saved is None or op.part:
        return None
    value = saved[op.inputs[0]] if op.variadic else saved[op.inputs[k]]
    if op.variadic:
        value = value[k] if value else None
    return None if value is None or isinstance(value, (tuple, list)) else np.asarray(value)


def values_of(nodes: Iterable[Node]) -> dict[Node, Any]:
    """The arrays of nodes, as far as some operation has saved them for its rule."""
    found: dict[Node, Any] = {}
    for node in nodes:
        if node.op is None or node.saved is None:
            continue
        if node.op.part:
            whole: Any = node.parents[0]
            outs = None if whole.saved is None else whole.saved[whole.op.out]
            if outs is not None:
                found[node] = outs[node.saved[0]]
            continue
        out = node.saved[node.op.out] if node.op.out < len(node.saved) else None
        if isinstance(out, np.ndarray):
            found[node] = out
        for k, parent in enumerate(node.parents):
            if parent is not None and (array := input_of(node, k)) is not None:
                found.setdefault(parent, array)
    return found
