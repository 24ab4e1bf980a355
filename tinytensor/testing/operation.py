"""Operations of the user's own as rows for random programs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np

from tinytensor.scalar import Value
from tinytensor.testing import slots
from tinytensor.testing.gradcheck import as_values, leaves_of
from tinytensor.testing.slots import Row, Slot

__all__ = ["DOMAINS", "load", "operation", "rows_of", "with_extra"]

#: Where an input may lie, by name.
DOMAINS = {
    "any": slots.ANY, "positive": slots.POSITIVE, "nonzero": slots.NONZERO, "off zero": slots.OFF_ZERO,
    "small": slots.SMALL, "unit": slots.UNIT, "above one": slots.ABOVE_ONE, "distinct": slots.DISTINCT,
}  # fmt: skip


def operation(f: Callable[..., Any], *domains: str, form: str = "", ndim: int = 0) -> Row:
    """A row for a function of one or more arrays, so that random programs call it: see :func:`fuzz`.

    ``domains``: where each input lies: "any" (the default), "positive" (above 0.2), "nonzero", "off zero" (nearer to it),
    "small" (within ±3), "unit" (within ±0.95), "above one" (above 1.2), "distinct" (no two elements near each other);
    one may serve all. ``form``: how the call is written, the inputs in braces: "{f}({x}, axis=-1)"; without it, f is
    called with the inputs that have no default. ``ndim``: the fewest dimensions of x. Further inputs broadcast with x; of
    a primitive without ``broadcasts=True`` they have the shape of x.

    The scalar engine is a witness if f runs on arrays of :class:`tinytensor.Value`; else finite differences are. Raises
    ValueError for an unknown domain, and TypeError for what is no function of arrays.

    >>> import tinytensor as tt
    >>> from tinytensor.testing import fuzz, operation
    >>> @tt.primitive(x=lambda g, x: g * 3 * x**2)
    ... def cube(x):
    ...     return x * x * x
    >>> report = fuzz(30, extra=[operation(cube, "small")])
    >>> report.operations["cube"] > 30, report.failure
    (True, None)
    """
    unknown = set(domains) - set(DOMAINS)
    if unknown:
        raise ValueError(f"operation: expected domains among {', '.join(DOMAINS)}; got {', '.join(sorted(unknown))}")
    name = str(getattr(f, "__name__", "f"))
    name = name if name.isidentifier() and name not in ("np", "tt") and name[0] not in "xv" else f"f_{id(f):x}"
    inputs = _inputs(f, form)
    if len(domains) not in (0, 1, len(inputs)):
        raise ValueError(f"operation: {name} has {len(inputs)} inputs; got {len(domains)} domains")
    op = getattr(f, "op", None)
    forms = [form or f"{{f}}({', '.join(f'{{{i}}}' for i in inputs)})"]
    if not form and getattr(op, "outputs", False):
        forms = [f"{forms[0]}[0]", f"{forms[0]}[-1]"]
    made: dict[str, Slot] = {}
    for k, i in enumerate(inputs):
        domain = DOMAINS[(domains * len(inputs))[k] if domains else "any"]
        if k == 0:
            made[i] = slots.array(domain, ndim)
        elif op is None or op.broadcasts:
            made[i] = slots.partner(domain)
        else:
            made[i] = slots.of_shape(lambda d, got: d.value(got["x"]).shape, domain)
    texts = [text.replace("{f}", name) for text in forms]
    return Row(name, tuple(texts), made, False, {name: f}, _takes_values(name, f, texts, inputs, ndim))


def _inputs(f: Callable[..., Any], form: str) -> list[str]:
    """x, y, z, ... for the inputs of f, or those that the form names."""
    letters = list("xyzuw")
    if form:
        found = [i for i in letters if f"{{{i}}}" in form]
    else:
        parameters = inspect.signature(f).parameters.values()
        required = [
            p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        found = letters[: len(required)] or letters[: any(p.kind is p.VAR_POSITIONAL for p in parameters)]
    if not found or found[0] != "x":
        raise TypeError(f"operation: expected a function of arrays, the first of them {{x}} in the form; got {f!r}")
    return found


def _takes_values(name: str, f: Any, texts: Sequence[str], inputs: Sequence[str], ndim: int) -> bool:
    """Whether every form runs on object arrays of ``Value``, and keeps them."""
    try:
        for text, n in product(texts, {ndim, max(ndim, 1)}):
            made = [as_values(np.full((2,) * n, 0.5)) for _ in inputs]
            arrays = dict(zip(inputs, [a if n else a[()] for a in made], strict=True))  # 0-d results are a Value itself
            out = eval(text.format(**{i: i for i in inputs}), {"np": np, name: f, **arrays})
            if not all(type(v) is Value for part in leaves_of(out) for v in np.asarray(part, object).flat):
                return False
    except Exception:
        return False
    return True


def rows_of(extra: Iterable[Row | Callable[..., Any]]) -> tuple[Row, ...]:
    """Rows, and functions as rows."""
    return tuple(item if isinstance(item, Row) else operation(item) for item in extra)


def with_extra(table: Sequence[Row], extra: Iterable[Row | Callable[..., Any]]) -> tuple[Row, ...]:
    """The table and further rows, so often that every third line or so is one of theirs."""
    rows = rows_of(extra)
    return (*table, *rows * (len(table) // (2 * len(rows)) + 1)) if rows else tuple(table)


def load(text: str) -> list[Row | Callable[..., Any]]:
    """The operations that ``my_module:cube, my_module:rows`` names; a list stands for all in it."""
    found: list[Any] = []
    for spec in filter(None, map(str.strip, text.split(","))):
        module, _, path = spec.partition(":")
        if not path:
            raise ValueError(f"expected module:name, got {spec!r}")
        try:
            thing: Any = import_module(module)
            for part in path.split("."):
                thing = getattr(thing, part)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{spec!r} cannot be loaded: {error}") from None
        found.extend(thing if isinstance(thing, (list, tuple)) else [thing])
    return found
