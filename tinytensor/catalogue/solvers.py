"""Polynomials by their roots or through points, convolution, differential equations: what the catalogue says of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.catalogue.entry import ANY, POSITIVE, Domain, Entry, case, entry, find

__all__ = ["ENTRIES"]

#: Coefficients of polynomials with roots that are apart, some of them complex.
COEFFICIENTS = Domain("no double root", lambda shape, k: np.array([1.0, -0.4, 0.7, 1.3, 0.9, -1.1])[: shape[0]])
TIMES = Domain("increasing", lambda shape, k: 0.1 + 0.7 * np.arange(shape[0]) ** 1.2)
SPREAD = Domain("apart", lambda shape, k: np.sort(ANY.draw(shape, k)) + 0.05 * np.arange(shape[0]))
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def _parts(m: Any, z: Any) -> Any:
    return m.real(z), m.imag(z)


def _fit(options: dict[str, Any]) -> Any:
    """The coefficients, and their covariances if they are asked for; not the rank, and not ``rcond``."""

    def call(m: Any, x: Any, y: Any, *w: Any) -> Any:
        out = m.polyfit(x, y, 2, **options, **({"w": w[0]} if w else {}))
        return (*out[:2], out[3]) if options.get("full") else out

    return call


def _convolution(name: str) -> Entry:
    f = f"scipy.signal.{name}"
    pairs = (((4,), (2,)), ((2,), (4,)), ((3, 4), (2, 3)), ((2, 3, 3), (2, 1, 2)), ((), ()))
    return entry(
        f,
        case(lambda m, x, y: find(m, f)(x, y), *pairs),
        case(lambda m, x, y: find(m, f)(x, y, mode="same"), *pairs[:3]),
        case(lambda m, x, y: find(m, f)(x, y, mode="valid"), *pairs[:3]),
        case(lambda m, x, y: find(m, f)(x, y, "full", "fft"), ((4,), (3,)), ((2, 3), (2, 2))),
        case(lambda m, x, y: find(m, f)(x, y, "valid", "fft"), ((4,), (3,))),
        case(lambda m, x, y: find(m, f)(x, y, "same", "direct"), ((5,), (3,))),
        exact=False,
    )


def _divided(m: Any, u: Any, v: Any) -> Any:
    """Without the leading zeros of the remainder, which rounding makes more or fewer."""
    q, r = m.polydiv(u, v)
    return q, r[-max(len(v) - 1, 1) :]


def _decay(y: Any, t: Any, k: Any) -> Any:
    return -k * y * y + 0.3 * np.sin(t)


def _spring(y: Any, t: Any, p: Any) -> Any:
    return [y[1], -p["k"] * y[0]]


ENTRIES: list[Entry] = [
    entry(
        "np.poly",
        case(lambda m, x: m.poly(x), ((3,),), ((1,),), ((4,),)),
        case(lambda m, x: m.poly(x), ((2, 2),), ((3, 3),)),
        exact=False,
    ),
    entry(
        "np.roots",
        case(lambda m, p: _parts(m, m.roots(p)), ((4,),), ((5,),), ((6,),), ((2,),)),
        domain=COEFFICIENTS,
        kinks="a root that occurs twice has no derivative: infinite",
    ),
    entry(
        "np.polyfit",
        case(_fit({}), ((5,), (5,)), ((5,), (5, 2)), domain=(SPREAD, ANY)),
        case(_fit({}), ((5,), (5,), (5,)), ((5,), (5, 2), (5,)), domain=(SPREAD, ANY, POSITIVE)),
        case(_fit({"cov": True}), ((6,), (6,)), ((6,), (6, 2)), domain=(SPREAD, ANY)),
        case(_fit({"cov": "unscaled"}), ((5,), (5,)), domain=(SPREAD, ANY)),
        case(_fit({"full": True}), ((5,), (5,)), domain=(SPREAD, ANY)),
        exact=False,
    ),
    entry("np.polydiv", case(_divided, ((4,), (2,)), ((3,), (3,)), ((5,), (2,)), ((2,), (3,)), ((3,), (1,)))),
    _convolution("convolve"),
    _convolution("correlate"),
    entry(
        "scipy.integrate.odeint",
        case(lambda m, y, t, k: m.integrate.odeint(_decay, y, t, (k,), **EXACT), ((1,), (3,), ()), domain=(POSITIVE, TIMES, POSITIVE)),
        case(
            lambda m, y, k: m.integrate.odeint(_spring, m.stack([y, 2 * y]), np.array([0.0, 0.5]), ({"k": k},), **EXACT),
            ((), ()),
            domain=(ANY, POSITIVE),
        ),
        exact=False,
    ),
]  # fmt: skip
