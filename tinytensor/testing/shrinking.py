"""Smaller programs with the same failure: lines are dropped or shortened, and leaves made smaller."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.testing.program import Program, ProgramError, compiled, names_in
from tinytensor.testing.pytorch import UntranslatedError
from tinytensor.testing.smallest import smallest

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["minimize", "runs", "shrunk"]


def shrunk(error: ProgramError) -> ProgramError:
    """The same failure of the smallest program found that has it."""
    found = error

    def fails(program: Program) -> bool:
        nonlocal found
        if not runs(program):
            return False
        try:
            program.check(**error.options)
        except ProgramError as smaller:
            if smaller.kind == error.kind:
                found = smaller
                return True
        except UntranslatedError:
            return False
        return False

    small = minimize(error.program, fails)
    smallest(list(small.leaves.values()), lambda arrays: fails(replace(small, leaves=dict(zip(small.leaves, arrays)))))
    return found


def minimize(program: Program, fails: Callable[[Program], bool]) -> Program:
    r"""The smallest program found for which ``fails`` is still true: lines are dropped, or replaced by their values.

    >>> import numpy as np
    >>> long = Program("v0 = np.exp(x0)\nv1 = np.tanh(v0)\nv2 = v1 + v0", {"x0": np.ones(2)})
    >>> small = minimize(long, lambda p: "tanh" in p.source)
    >>> small.source, list(small.leaves)
    ('v1 = np.tanh(v0)', ['v0'])
    """
    smaller = True
    while smaller:
        smaller = False
        for k in reversed(range(len(program.source.strip().splitlines()))):
            for candidate in _smaller(program, k):
                if runs(candidate) and fails(candidate):
                    program, smaller = candidate, True
                    break
    return program


def runs(program: Program) -> bool:
    """Whether a program has lines, and ndarrays run it."""
    try:
        program.run()
    except Exception:
        return False
    return bool(program.source)


def _smaller(program: Program, k: int) -> list[Program]:
    """The program without line k and what depends on it; and with line k's result as a leaf."""
    lines = program.source.strip().splitlines()
    if k >= len(lines):
        return []
    target = compiled(lines[k])[0][1]
    gone, kept = {target}, lines[:k]
    for line in lines[k + 1 :]:
        if names_in(line) & gone:
            gone.add(compiled(line)[0][1])
        else:
            kept.append(line)
    found = [_pruned(program, kept, program.leaves)]
    found += _simpler(program, lines, k)
    rest = lines[:k] + lines[k + 1 :]
    if all(compiled(line)[0][1] != target for line in rest):
        value = replace(program, source="\n".join(lines[: k + 1])).run()[target]
        found.append(_pruned(program, rest, {**program.leaves, target: np.asarray(value.round(3))}))
    return found


def _pruned(program: Program, lines: list[str], leaves: Mapping[str, Array]) -> Program:
    used = set().union(*map(names_in, lines)) if lines else set()
    return replace(program, source="\n".join(lines), leaves={name: a for name, a in leaves.items() if name in used})


def _simpler(program: Program, lines: list[str], k: int) -> Iterator[Program]:
    """The program with a part of line k in place of the whole, or with the value of that part as a leaf."""
    statement = ast.parse(lines[k]).body[0]
    if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
        return
    parts = (ast.Call, ast.BinOp, ast.UnaryOp, ast.Subscript)
    target, before = statement.targets[0].id, [*lines[:k]]
    inside = [n for n in ast.walk(statement.value) if isinstance(n, parts) and n is not statement.value]
    for part in inside:
        text = ast.unparse(part)
        if not names_in(text) & (set(program.leaves) | {compiled(line)[0][1] for line in before}):
            continue  # a constant
        yield _pruned(program, [*before, f"{target} = {text}", *lines[k + 1 :]], program.leaves)
        value = _value(replace(program, source="\n".join([*before, f"{_PART} = {text}"])))
        if value is not None:
            name = next(n for n in map("x{}".format, count()) if n not in program.leaves and n not in program.source)
            rest = f"{target} = {ast.unparse(_Put(part, name).visit(ast.parse(lines[k], mode='exec')).body[0].value)}"
            yield _pruned(
                program, [*before, rest, *lines[k + 1 :]], {**program.leaves, name: np.asarray(value.round(3))}
            )


_PART = "part_of_a_line"


def _value(program: Program) -> Array | None:
    """The value of the last line, if it is an array of numbers with a derivative."""
    try:
        value = program.run()[_PART]
    except Exception:
        return None
    return value if isinstance(value, np.ndarray) and value.dtype.kind == "f" else None


class _Put(ast.NodeTransformer):
    """Put a name in the place of an expression: the first that reads the same."""

    def __init__(self, part: ast.AST, name: str) -> None:
        self.text, self.name = ast.dump(part), name

    def visit(self, node: ast.AST) -> Any:
        if self.name and ast.dump(node) == self.text:
            name, self.name = self.name, ""
            return ast.Name(name, ast.Load())
        return self.generic_visit(node)
