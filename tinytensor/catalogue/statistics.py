"""Statistics and signals: what the catalogue says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytensor.catalogue.entry import ANY, POSITIVE, Case, Domain, Entry, case, entry, find
from tinytensor.catalogue.reductions import GAPS, reduced

__all__ = ["ENTRIES"]

RISING = Domain("increasing", lambda shape, k: np.cumsum(np.exp(ANY.draw(shape, k) / 3), -1))


def quantiles(name: str, percent: float = 1.0, torch: str | None = None) -> tuple[Case, ...]:
    """A quantile over axes, for one q and several, by each method."""
    q, several = 0.3 * percent, np.array([[0.0, 0.25], [0.6, 1.0]]) * percent

    def one(q: Any, o: dict[str, Any], *shapes: Any, there: Any = None) -> Case:
        return case(lambda m, x: find(m, f"np.{name}")(x, q, **o), *shapes, torch=there)

    def there(q: Any, axis: Any, method: str = "linear") -> Any:
        if torch is None:
            return None
        return lambda T, x: find(T, f"torch.{torch}")(
            x, T.tensor(q / percent, dtype=x.dtype), axis, interpolation=method
        )

    return (
        one(q, {}, ((3,),), ((2, 3),), there=there(q, None)),
        one(q, {"axis": 0}, ((4, 2),), there=there(q, 0)),
        one(q, {"axis": -1, "keepdims": True}, ((2, 3),)),
        one(q, {"axis": (0, 2)}, ((2, 3, 2),)),
        one(several, {}, ((5,),)),
        one(several, {"axis": 0, "keepdims": True}, ((3, 2),)),
        one(several[0], {"axis": 1}, ((2, 4),), there=there(several[0], 1)),
        *[
            one(q, {"axis": 1, "method": method}, ((2, 4),), there=there(q, 1, method))
            for method in ("lower", "higher", "midpoint", "nearest")
        ],
        *[
            one(q, {"axis": 1, "method": method}, ((2, 4),))
            for method in ("inverted_cdf", "averaged_inverted_cdf", "weibull", "median_unbiased", "hazen")
        ],
    )


def vectors(name: str, *more: Any, reference: Callable[..., Any] | None = None) -> tuple[Case, ...]:
    """Two vectors, the first longer and shorter, in each mode."""
    return tuple(
        case(
            lambda m, x, y, mode=mode: find(m, f"np.{name}")(x, y, mode),
            ((5,), (3,)),
            ((5,), (2,)),
            ((2,), (5,)),
            ((3,), (6,)),
            ((3,), (3,)),
            ((4,), (1,)),
            *more,
            torch=None if reference is None or mode != "full" else reference,
        )
        for mode in ("full", "same", "valid")
    )


def _convolve(T: Any, x: Any, y: Any) -> Any:
    n = max(y.numel() - 1, 0)
    return T.nn.functional.conv1d(x.reshape(1, 1, -1), y.reshape(1, 1, -1).flip(-1), padding=n)[0, 0]


_WEIGHTS = np.array([0.5, 2.0, 1.0])
_COUNTS = np.array([1, 3, 2, 1])
_UNEVEN = np.array([0.0, 1.0, 3.0, 3.5, 5.0])

ENTRIES: list[Entry] = [
    entry(
        "np.median",
        case(lambda m, x: m.median(x), ((),), ((3,),), ((4,),), ((2, 3),)),
        case(lambda m, x: m.median(x, axis=0), ((4, 2),)),
        case(lambda m, x: m.median(x, axis=-1, keepdims=True), ((2, 3),), torch=lambda T, x: T.median(x, -1, True)[0]),
        case(lambda m, x: m.median(x, axis=(0, 2)), ((2, 3, 2),)),
        kinks="mean of the middle two; shared evenly at ties",
        scalar=True,
    ),
    entry("np.quantile", *quantiles("quantile", 1.0, "quantile"), kinks="shared evenly at ties"),
    entry("np.percentile", *quantiles("percentile", 100.0, "quantile"), kinks="shared evenly at ties"),
    entry(
        "np.nanmedian",
        *reduced("nanmedian", single=False),
        domain=GAPS,
        kinks="0 at NaN; shared evenly at ties",
    ),
    entry(
        "np.nanquantile",
        *quantiles("nanquantile", 1.0, "nanquantile"),
        domain=GAPS,
        kinks="0 at NaN; shared evenly at ties",
    ),
    entry("np.nanpercentile", *quantiles("nanpercentile", 100.0), domain=GAPS, kinks="0 at NaN; shared evenly at ties"),
    entry(
        "np.average",
        case(lambda m, x: m.average(x), ((3,),), ((2, 3),)),
        case(lambda m, x: m.average(x, axis=1, keepdims=True), ((2, 3),)),
        case(lambda m, x, w: m.average(x, weights=w), ((3,), (3,)), ((2, 3), (2, 3)), domain=(ANY, POSITIVE)),
        case(
            lambda m, x, w: m.average(x, 1, w, returned=True), ((2, 3), (3,)), ((2, 3), (2, 3)), domain=(ANY, POSITIVE)
        ),
        case(
            lambda m, x, w: m.average(x, axis=(2, 0), weights=w, keepdims=True),
            ((2, 3, 4), (4, 2)),
            domain=(ANY, POSITIVE),
        ),
        case(lambda m, x: m.average(x, -1, _WEIGHTS), ((2, 3),)),
        scalar=False,
    ),
    entry(
        "np.cov",
        case(lambda m, x: m.cov(x), ((4,),), ((2, 4),), ((3, 5),), torch=lambda T, x: T.cov(x)),
        case(lambda m, x: m.cov(x, rowvar=False), ((4, 2),), ((4,),)),
        case(lambda m, x, y: m.cov(x, y), ((4,), (4,)), ((2, 4), (4,))),
        case(lambda m, x: m.cov(x, bias=True), ((2, 4),)),
        case(lambda m, x: m.cov(x, ddof=2), ((2, 4),), torch=lambda T, x: T.cov(x, correction=2)),
        case(
            lambda m, x: m.cov(x, fweights=_COUNTS), ((2, 4),), torch=lambda T, x: T.cov(x, fweights=T.tensor(_COUNTS))
        ),
        case(lambda m, x: m.cov(x, aweights=_COUNTS * 0.5, fweights=_COUNTS), ((2, 4),)),
        exact=False,
    ),
    entry(
        "np.corrcoef",
        case(lambda m, x: m.corrcoef(x), ((2, 4),), ((3, 5),), torch=lambda T, x: T.corrcoef(x)),
        case(lambda m, x: m.corrcoef(x, rowvar=False), ((4, 2),)),
        case(lambda m, x, y: m.corrcoef(x, y), ((4,), (4,))),
        kinks="values are held between −1 and 1",
        exact=False,
    ),
    entry(
        "np.histogram",
        case(lambda m, x: m.histogram(x), ((4,),), ((2, 3),)),
        case(lambda m, x: m.histogram(x, bins=[-1.0, 0.0, 2.0], density=True), ((5,),)),
        order=0,
        kinks="constant in x, linear in the weights",
    ),
    entry("np.histogram_bin_edges", shapes=[((4,),)], order=0),
    # -- signals
    entry(
        "np.diff",
        case(lambda m, x: m.diff(x), ((4,),), ((2, 3),), torch=lambda T, x: T.diff(x), scalar=True),
        case(lambda m, x: m.diff(x, 2), ((5,),), ((2, 4),), torch=lambda T, x: T.diff(x, 2), scalar=True),
        case(lambda m, x: m.diff(x, 3, axis=0), ((5, 2),), ((2, 2),), torch=lambda T, x: T.diff(x, 3, 0), scalar=True),
        case(lambda m, x: m.diff(x, 0), ((3,),)),
        case(lambda m, x: m.diff(x, axis=1), ((2, 3, 2),), torch=lambda T, x: T.diff(x, dim=1)),
        case(lambda m, x: m.diff(x, prepend=1.0, append=2.0), ((3,),), ((2, 3),)),
        case(
            lambda m, x, y: m.diff(x, n=2, prepend=y),
            ((3,), (2,)),
            ((2, 3), (2, 1)),
            torch=lambda T, x, y: T.diff(x, 2, prepend=y),
        ),
    ),
    entry(
        "np.ediff1d",
        case(lambda m, x: m.ediff1d(x), ((4,),), ((2, 3),)),
        case(lambda m, x: m.ediff1d(x, to_end=9.0, to_begin=[1.0, 2.0]), ((4,),)),
        case(lambda m, x, y: m.ediff1d(x, to_end=y), ((4,), (2,))),
    ),
    entry(
        "np.gradient",
        case(lambda m, x: m.gradient(x), ((5,),), ((2,),), ((3, 4),)),
        case(lambda m, x: m.gradient(x, 0.5), ((5,),), ((3, 4),)),
        case(lambda m, x: m.gradient(x, 0.5, edge_order=2), ((5,),), ((3, 4),)),
        case(
            lambda m, x: m.gradient(x, _UNEVEN),
            ((5,),),
            torch=lambda T, x: T.gradient(x, spacing=[T.tensor(_UNEVEN)])[0],
        ),
        case(lambda m, x: m.gradient(x, _UNEVEN, axis=-1, edge_order=2), ((3, 5),)),
        case(lambda m, x: m.gradient(x, _UNEVEN, 2.0, axis=(1, 0)), ((3, 5),)),
        case(lambda m, x: m.gradient(x, axis=1), ((2, 3, 2),)),
    ),
    entry(
        "np.trapezoid",
        case(lambda m, y: m.trapezoid(y), ((4,),), ((2, 3),), torch=lambda T, y: T.trapezoid(y)),
        case(lambda m, y: m.trapezoid(y, dx=0.5, axis=0), ((3, 2),), torch=lambda T, y: T.trapezoid(y, dx=0.5, dim=0)),
        case(
            lambda m, y, x: m.trapezoid(y, x),
            ((4,), (4,)),
            ((2, 3), (3,)),
            ((2, 3), (2, 3)),
            torch=lambda T, y, x: T.trapezoid(y, x),
        ),
        case(lambda m, y, x: m.trapezoid(y, x, axis=1), ((2, 3, 2), (3,))),
    ),
    entry("np.convolve", *vectors("convolve", ((), (3,)), reference=_convolve)),
    entry("np.correlate", *vectors("correlate"), case(lambda m, x, y: m.correlate(x, y), ((4,), (2,)))),
    entry(
        "np.interp",
        case(
            lambda m, x, xp, fp: m.interp(x, xp, fp),
            ((), (3,), (3,)),
            ((4,), (3,), (3,)),
            ((2, 3), (5,), (5,)),
            ((3,), (1,), (1,)),
            domain=(Domain("any", lambda shape, k: 1.5 + 2 * ANY.draw(shape, 5)), RISING, ANY),
        ),
        case(
            lambda m, x, xp, fp: m.interp(x, xp, fp, left=-1.0, right=2.0),
            ((6,), (3,), (3,)),
            domain=(Domain("any", lambda shape, k: 1.5 + 2 * ANY.draw(shape, 5)), RISING, ANY),
        ),
        case(
            lambda m, x, xp, fp: m.interp(x, xp, fp, period=5.0),
            ((6,), (4,), (4,)),
            domain=(Domain("any", lambda shape, k: 4 * ANY.draw(shape, 5)), ANY, ANY),
        ),
        kinks="at a point the slope on its right; 0 outside",
    ),
    entry(
        "np.unwrap",
        case(lambda m, x: m.unwrap(x), ((4,),), ((2, 3),)),
        case(lambda m, x: m.unwrap(x, 1.0, axis=0, period=2.0), ((4, 2),)),
        kinks="1 at jumps too",
    ),
    entry(
        "np.apply_along_axis",
        case(lambda m, x: m.apply_along_axis(lambda v: m.sum(v * v), 0, x), ((3,),), ((3, 2),), ((2, 3, 2),)),
        case(lambda m, x: m.apply_along_axis(lambda v, k: v[:2] * k, -1, x, 3.0), ((2, 3),)),
        case(lambda m, x: m.apply_along_axis(lambda v: m.outer(v, v), 1, x), ((2, 3, 2),)),
    ),
    entry(
        "np.apply_over_axes",
        case(lambda m, x: m.apply_over_axes(m.sum, x, [0, 2]), ((2, 3, 2),)),
        case(lambda m, x: m.apply_over_axes(m.max, x, -1), ((2, 3),)),
    ),
]
