"""Arrays built of values, and constants that are computed from tensors: what the catalogue says of them."""

from __future__ import annotations

from typing import Any

from tinytensor.catalogue.entry import ANY, EACH, PAIRS, POSITIVE, Domain, Entry, case, entry, find
from tinytensor.primitive import has_tensors

__all__ = ["CONSTANTS", "ENTRIES"]

NEGATIVE = Domain("x < 0", lambda shape, k: -POSITIVE.draw(shape, k))


def _plain(out: Any, *xs: Any) -> Any:
    """The array: functions that make tensors make them of arrays, too."""
    if isinstance(out, tuple):
        return tuple([_plain(o, *xs) for o in out])
    return out if has_tensors(xs) or not has_tensors((out,)) else out.numpy()


def _spaced(name: str, **options: Any) -> Any:
    return lambda m, x, y: _plain(find(m, f"np.{name}")(x, y, **options), x, y)


_BROADCAST = (((3,), (3,)), ((2, 1), (3,)), ((), (3,)))

ENTRIES: list[Entry] = [
    entry(
        "np.array",
        case(lambda m, x, y: m.array([x, [y, 2.0, y]], like=x), ((3,), ())),
        case(lambda m, x, y: m.array([[x, 1.0, y], [y, y * x, 2]], like=x), ((), ()), torch=lambda T, x, y: T.stack([x, 1 + 0 * x, y, y, y * x, 2 + 0 * x]).reshape(2, 3)),
        case(lambda m, x, y: m.array([(x, y), (y, x)], like=x), ((2, 3), (2, 3))),
        case(lambda m, x: m.array(x, ndmin=3, like=x), *EACH),
        case(lambda m, x, y: m.array([x, y], dtype=float, like=x), ((), ())),
    ),
    entry("np.asarray", case(lambda m, x, y: m.asarray([x, y], like=x), ((), ()), ((3,), (3,)))),
    entry(
        "np.full",
        case(lambda m, x: _plain(m.full((2, 3), x, like=x), x), ((),), ((3,),), ((2, 1),), torch=lambda T, x: x.expand(2, 3)),
        case(lambda m, x: _plain(m.full(3, x, dtype=float, like=x), x), ((),), ((1,),)),
    ),
    entry(
        "np.full_like",
        case(lambda m, x, y: _plain(m.full_like(x, y), x, y), ((2, 3), ()), ((2, 3), (3,)), ((), ())),
    ),
    entry(
        "np.linspace",
        case(_spaced("linspace", num=5), ((), ()), *_BROADCAST),
        case(_spaced("linspace", num=4, endpoint=False), ((), ()), ((3,), ())),
        case(_spaced("linspace", num=3, axis=-1), *_BROADCAST),
        case(_spaced("linspace", num=3, axis=1), ((2, 1), (3,))),
        case(_spaced("linspace", num=1), ((), ()), ((3,), (3,))),
        case(_spaced("linspace", num=4, retstep=True, dtype=float), ((), ()), ((3,), (3,))),
    ),
    entry(
        "np.logspace",
        case(_spaced("logspace", num=4), ((), ()), *_BROADCAST),
        case(_spaced("logspace", num=3, endpoint=False, base=2.0, axis=-1), *_BROADCAST),
        case(
            lambda m, x, y, b: _plain(m.logspace(x, y, 3, base=b), x, y, b),
            ((3,), (3,), (3,)),
            ((), (), (3,)),
            domain=(ANY, ANY, POSITIVE),
        ),
    ),
    entry(
        "np.geomspace",
        case(_spaced("geomspace", num=5), ((), ()), *_BROADCAST),
        case(_spaced("geomspace", num=4, endpoint=False, axis=-1), ((), ()), *_BROADCAST),
        case(_spaced("geomspace", num=3), ((), ()), ((2,), (2,)), domain=NEGATIVE),
        domain=POSITIVE,
    ),
    *[
        entry(f"np.{name}", case(lambda m, x, name=name: _plain(find(m, f"np.{name}")(x), x), *EACH), order=0)
        for name in ("zeros_like", "ones_like")
    ],
]  # fmt: skip

_SIGNS = ((3,),), ((2, 3),), ((),)

#: Booleans and positions.
CONSTANTS: list[Entry] = [
    *[
        entry(f"np.{name}", order=0)
        for name in (
            "isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal", "iscomplex", "signbit", "logical_not",
        )
    ],
    *[
        entry(f"np.{name}", shapes=PAIRS, order=0)
        for name in (
            "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or",
            "logical_xor", "isclose",
        )
    ],
    *[
        entry(
            f"np.{name}",
            case(lambda m, x, f=f"np.{name}": find(m, f)(x > 0), *_SIGNS),
            case(lambda m, x, f=f"np.{name}": find(m, f)(x > 0, axis=-1, keepdims=True), ((2, 3),)),
            order=0,
        )
        for name in ("any", "all")
    ],
    entry("np.isin", shapes=(((3,), (2,)), ((2, 3), (3,))), order=0),
    entry("np.histogram2d", shapes=(((4,), (4,)),), order=0),
    entry("np.unique_values", shapes=(((4,),), ((2, 2),)), order=0),
    entry("np.unique_counts", shapes=(((4,),), ((2, 2),)), order=0),
    entry("np.unique_inverse", shapes=(((4,),), ((2, 2),)), order=0),
]  # fmt: skip
