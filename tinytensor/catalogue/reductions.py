"""Reductions and scans: what the catalogue says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytensor.catalogue.entry import ANY, Case, Domain, Entry, case, entry, find

__all__ = ["ENTRIES", "GAPS"]

VECTORS = (((3,),), ((2, 3),))


def _gaps(shape: tuple[int, ...], k: int) -> Any:
    x = ANY.draw(shape, k)
    return np.where(np.arange(x.size).reshape(shape) % 4 == 1, np.nan, x)


#: Every fourth number missing.
GAPS = Domain("any, and NaN", _gaps)
MASK = np.array([[True, False, True], [True, True, False]])
TIES = Domain("any, with ties", lambda shape, k: np.round(ANY.draw(shape, k)))


def reduced(name: str, torch: Callable[..., Any] | None = None, single: bool = True) -> tuple[Case, ...]:
    """The calls that every reduction knows. ``torch(T, x, dims, keep)`` is the same in PyTorch.

    ``single``: over one element too.
    """

    def one(options: dict[str, Any], *shapes: Any) -> Case:
        there = None
        if torch is not None:

            def there(T: Any, x: Any) -> Any:
                axis = options.get("axis")
                dims = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
                return torch(T, x, dims, options.get("keepdims", False))

        return case(lambda m, x: find(m, f"np.{name}")(x, **options), *shapes, torch=there)

    return (
        one({}, ((),), ((3,),), ((2, 3),)),
        one({"axis": 0}, ((3,),), ((3, 2),), ((2, 1, 3),)),
        one({"axis": -1, "keepdims": True}, ((2, 3),), *([((3, 1),)] if single else [])),
        one({"axis": (0, 2)}, ((2, 3, 2),)),
        one({"axis": (-1, 0), "keepdims": True}, ((2, 3, 2),)),
        one({"axis": 1, "keepdims": False}, ((2, 3, 2),)),
        one({"keepdims": True}, ((2, 3),)),
    )


def options(name: str, *each: dict[str, Any], shape: tuple[int, ...] = (2, 3), domain: Any = None) -> tuple[Case, ...]:
    """Calls with NumPy's rarer options, on one shape."""
    return tuple(
        case(lambda m, x, o=o: find(m, f"np.{name}")(x, **o), (shape,), domain=domain, scalar=False) for o in each
    )


def _prod(T: Any, x: Any, dims: tuple[int, ...], keep: bool) -> Any:
    for d in sorted((d % x.ndim for d in dims), reverse=True):
        x = T.prod(x, d, keepdim=keep)
    return x


def _softmaxes(f: str, like: str) -> tuple[Case, ...]:
    def there(T: Any, x: Any, d: int) -> Any:
        return find(T, f"torch.{like}")(x, d)

    return (
        case(lambda m, x: find(m, f"tt.{f}")(x), *VECTORS, torch=lambda T, x: there(T, x, -1)),
        case(lambda m, x: find(m, f"tt.{f}")(x, axis=0), ((2, 3),), torch=lambda T, x: there(T, x, 0)),
        case(lambda m, x: find(m, f"tt.{f}")(x, axis=1), ((2, 3, 2),), torch=lambda T, x: there(T, x, 1)),
        case(lambda m, x: find(m, f"tt.{f}")(x, axis=None), ((2, 3),)),
        case(lambda m, x: find(m, f"tt.{f}")(x, axis=(0, -1)), ((2, 3, 2),)),
    )


def scans(name: str, torch: str | None = None) -> tuple[Case, ...]:
    """The calls that every scan knows."""

    def one(options: dict[str, Any], *shapes: Any) -> Case:
        there = None
        if torch is not None:

            def there(T: Any, x: Any) -> Any:
                axis = options.get("axis")
                return find(T, f"torch.{torch}")(x.reshape(-1) if axis is None else x, axis or 0)

        return case(lambda m, x: find(m, f"np.{name}")(x, **options), *shapes, torch=there)

    return (
        one({}, ((3,),), ((2, 3),)),
        one({"axis": 0}, ((4,),), ((3, 2),)),
        one({"axis": -1}, ((2, 3, 2),)),
        one({"axis": 1}, ((2, 3, 2),)),
    )


_DTYPE: dict[str, Any] = {"dtype": np.float64}
_WHERE: dict[str, Any] = {"where": MASK}

ENTRIES: list[Entry] = [
    entry(
        "np.sum",
        *reduced("sum", lambda T, x, d, k: T.sum(x, d, keepdim=k)),
        *options("sum", _DTYPE, {"initial": 2.0}, _WHERE, {"axis": 0, **_WHERE, "initial": 1.0, "keepdims": True}),
        scalar=True,
    ),
    entry(
        "np.mean",
        *reduced("mean", lambda T, x, d, k: T.mean(x, d, keepdim=k)),
        *options("mean", _DTYPE, _WHERE, {"axis": 1, **_WHERE, "keepdims": True}),
        scalar=True,
    ),
    entry(
        "np.prod",
        *reduced("prod", _prod),
        *options("prod", _DTYPE, {"initial": 2.0}, {"axis": 0, **_WHERE, "initial": 3.0}),
        case(lambda m, x: m.prod(x), ((4,),), domain=TIES, torch=lambda T, x: T.prod(x), scalar=False),
        case(lambda m, x: m.prod(x, axis=1), ((3, 4),), domain=TIES, torch=lambda T, x: T.prod(x, 1), scalar=False),
        kinks="right at zeros too",
        scalar=True,
    ),
    *[
        entry(
            f"np.{name}",
            *reduced(name, lambda T, x, d, k, name=name: find(T, f"torch.a{name}")(x, d, keepdim=k)),
            *options(
                name,
                {"initial": 0.05},
                {"axis": 0, **_WHERE, "initial": bound},
                {"axis": 0, "keepdims": True, **_WHERE, "initial": bound},
            ),
            kinks="shared evenly at a tie; NaN takes all",
            also=(f"np.a{name}",),
            scalar=True,
        )
        for name, bound in (("max", -9.0), ("min", 9.0))
    ],
    entry(
        "np.var",
        *reduced("var", lambda T, x, d, k: T.var(x, d, correction=0, keepdim=k)),
        *options("var", {"ddof": 1, "axis": 0}, {"correction": 1}, _DTYPE, _WHERE, {"axis": 1, **_WHERE, "ddof": 0.5}),
        scalar=True,
    ),
    entry(
        "np.std",
        *reduced("std", lambda T, x, d, k: T.std(x, d, correction=0, keepdim=k), single=False)[1:],
        case(lambda m, x: m.std(x), ((3,),), ((2, 3),), torch=lambda T, x: T.std(x, correction=0)),
        *options("std", {"ddof": 1, "axis": 1}, {"correction": 1}, _DTYPE, _WHERE, {"axis": 1, **_WHERE, "ddof": 0.5}),
        kinks="0 where all are equal",
        scalar=True,
    ),
    entry(
        "np.ptp",
        *reduced("ptp", lambda T, x, d, k: T.amax(x, d, keepdim=k) - T.amin(x, d, keepdim=k)),
        kinks="shared evenly at ties",
        scalar=True,
    ),
    entry(
        "tt.logsumexp",
        *[
            case(
                lambda m, x, o=o: m.logsumexp(x, **o),
                *shapes,
                torch=lambda T, x, d=d, k=k: T.logsumexp(x, d or tuple(range(x.ndim)), keepdim=k),
            )
            for o, shapes, d, k in (
                ({}, (((),), ((3,),), ((2, 3),)), None, False),
                ({"axis": 0}, (((3, 2),),), (0,), False),
                ({"axis": -1, "keepdims": True}, (((2, 3),),), (-1,), True),
                ({"axis": (0, 2)}, (((2, 3, 2),),), (0, 2), False),
            )
        ],
        kinks="−∞ everywhere: gradient 0",
        scalar=True,
    ),
    entry("tt.softmax", *_softmaxes("softmax", "softmax"), scalar=True),
    entry("tt.log_softmax", *_softmaxes("log_softmax", "log_softmax"), scalar=True),
    entry(
        "np.cumsum",
        *scans("cumsum", "cumsum"),
        case(lambda m, x: m.cumsum(x, axis=1, dtype=float), ((2, 3),), scalar=False),
        scalar=True,
    ),
    entry(
        "np.cumprod",
        *scans("cumprod", "cumprod"),
        case(lambda m, x: m.cumprod(x, axis=1, dtype=float), ((2, 3),), scalar=False),
        case(lambda m, x: m.cumprod(x), ((5,),), domain=TIES, torch=lambda T, x: T.cumprod(x, 0), scalar=False),
        case(
            lambda m, x: m.cumprod(x, axis=0), ((4, 3),), domain=TIES, torch=lambda T, x: T.cumprod(x, 0), scalar=False
        ),
        kinks="right at zeros too",
        scalar=True,
    ),
    entry(
        "np.cumulative_sum",
        *scans("cumulative_sum")[1:],
        *options("cumulative_sum", {"axis": 1, "include_initial": True}, {"axis": 0, "dtype": float}),
    ),
    entry(
        "np.cumulative_prod",
        *scans("cumulative_prod")[1:],
        *options("cumulative_prod", {"axis": 1, "include_initial": True}, {"axis": 0, "dtype": float}),
        kinks="right at zeros too",
    ),
    entry(
        "np.nansum",
        *reduced("nansum", lambda T, x, d, k: T.nansum(x, d, keepdim=k)),
        *options("nansum", _DTYPE, {"initial": 2.0}, {"axis": 0, **_WHERE}),
        domain=GAPS,
        kinks="0 at NaN",
    ),
    entry(
        "np.nanmean",
        *reduced("nanmean", lambda T, x, d, k: T.nanmean(x, d, keepdim=k), single=False),
        *options("nanmean", {"dtype": float}, {"axis": 1, **_WHERE}),
        domain=GAPS,
        kinks="0 at NaN",
        exact=False,
    ),
    entry(
        "np.nanprod",
        *reduced("nanprod"),
        *options("nanprod", _DTYPE, {"initial": 2.0}, {"axis": 0, **_WHERE}),
        domain=GAPS,
        kinks="0 at NaN",
    ),
    *[
        entry(f"np.{name}", *reduced(name, single=False), domain=GAPS, kinks="0 at NaN; shared evenly at a tie")
        for name in ("nanmax", "nanmin")
    ],
    entry(
        "np.nanvar",
        *reduced("nanvar", single=False),
        *options("nanvar", {"ddof": 1, "axis": 1}, {"dtype": float}, {"axis": 1, **_WHERE}, {"correction": 1}),
        domain=GAPS,
        kinks="0 at NaN",
        exact=False,
    ),
    entry(
        "np.nanstd",
        *reduced("nanstd", single=False)[2:3],
        case(lambda m, x: m.nanstd(x), ((4,),), ((2, 3),)),
        case(lambda m, x: m.nanstd(x, axis=1, ddof=1), ((2, 5),)),
        *options("nanstd", {"dtype": float}, {"axis": 1, **_WHERE}, {"correction": 1}, shape=(2, 3)),
        domain=GAPS,
        kinks="0 at NaN, and where all are equal",
        exact=False,
    ),
    entry("np.nancumsum", *scans("nancumsum"), domain=GAPS, kinks="0 at NaN"),
    entry("np.nancumprod", *scans("nancumprod"), domain=GAPS, kinks="0 at NaN"),
    *[
        entry(
            f"np.{name}",
            case(lambda m, x, name=name: find(m, f"np.{name}")(x), *VECTORS),
            case(lambda m, x, name=name: find(m, f"np.{name}")(x, axis=1, keepdims=True), ((2, 3),)),
            order=0,
        )
        for name in ("argmax", "argmin", "nanargmax", "nanargmin", "count_nonzero")
    ],
]
