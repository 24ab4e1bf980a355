"""The catalogue as a list, ``tt.supported()``, and as a page, docs/functions.md."""

from __future__ import annotations

import sys
from typing import NamedTuple

from tinytensor.catalogue import FAMILIES
from tinytensor.catalogue.entry import ANY, Case, Entry

__all__ = ["Supported", "functions_md", "supported"]


class Supported(NamedTuple):
    """A function that tensors understand; see :func:`supported`."""

    name: str  #: as it is called: ``np.hypot``, ``scipy.special.erf``, ``tt.relu``
    family: str
    first: bool  #: whether it has a first derivative
    second: bool
    forward: bool  #: whether the first derivative can be taken in forward mode
    domain: str
    kinks: str  #: what is done where there is no derivative, or several


def supported() -> list[Supported]:
    """Every function that tensors understand: its name, family, derivatives, domain, and what happens at its kinks.

    A function without a first derivative gives constants: whole numbers, signs, positions. The list is made from the
    catalogue that the tests run, and docs/functions.md is the same list as a page.

    Examples
    --------
    >>> import tinytensor as tt
    >>> {f.name: (f.first, f.second) for f in tt.supported() if f.name in ("np.hypot", "np.argmax")}
    {'np.hypot': (True, True), 'np.argmax': (False, False)}
    """
    return [
        Supported(name, family, e.order >= 1, e.order >= 2, e.order >= 1, _domain(e), e.kinks)
        for family, entries in FAMILIES.items()
        for e in entries
        for name in (e.name, *e.also)
    ]


def _domain(e: Entry) -> str:
    """The entry's domain, or else that of its first case with the most inputs that are told apart."""

    def parts(c: Case) -> tuple[str, ...]:
        each = c.domain or ANY
        return tuple(d.text for d in each) if isinstance(each, tuple) else (each.text,)

    if e.domain is not ANY:
        return e.domain.text
    widest = max(map(parts, e.cases), key=len)
    return widest[0] if len(set(widest)) == 1 else f"({', '.join(widest)})"


def functions_md() -> str:
    """The text of docs/functions.md.

    >>> from tinytensor.catalogue.table import functions_md
    >>> functions_md().splitlines()[0]
    '# The functions'
    """
    rows = supported()
    own, differentiable = sum(map(len, FAMILIES.values())), sum(f.first for f in rows)
    text = f"""# The functions

Below are {len(rows)} names of {own} functions that take tensors; {differentiable} of the names can be differentiated. NumPy's functions and
SciPy's ufuncs take tensors as they are, `np.hypot` as well as `tt.hypot`; SciPy's other functions have ours in their
place, `tt.linalg.expm` for `scipy.linalg.expm`.

**first** and **second** say which derivatives there are, **forward** whether forward mode has the first, too; a function
with – gives constants, such as positions and signs. **domain** is where the inputs may lie (in parentheses: one for each
input), and **at kinks** what is done where there is no derivative, or several.

The tests run every entry: its values against NumPy's or SciPy's, its derivatives against finite differences.
`tt.supported()` returns this page as a list, and `python -m tinytensor.catalogue.table docs/functions.md` writes it.
"""
    return text + "".join(_section(family, [f for f in rows if f.family == family]) for family in FAMILIES)


def _section(family: str, rows: list[Supported]) -> str:
    """A heading and a table."""
    head = "| function | first | second | forward | domain | at kinks |\n| --- | --- | --- | --- | --- | --- |\n"
    return f"\n## {family}\n\n{head}" + "".join(map(_row, rows))


def _row(f: Supported) -> str:
    marks = ["yes" if has else "–" for has in (f.first, f.second, f.forward)]
    cells = [f"`{f.name}`", *marks, f.domain, f.kinks]
    return "".join("| " + (cell.replace("|", "\\|").replace("\n", " ") + " ").lstrip() for cell in cells) + "|\n"


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(functions_md())
