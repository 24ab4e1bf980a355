"""Special functions and distributions: what the catalogue says of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.catalogue import distributions
from tinytensor.catalogue.entry import (
    ANY,
    EACH,
    PAIRS,
    POSITIVE,
    PROBABILITY,
    REFERENCE,
    UNIT,
    Domain,
    Entry,
    case,
    entry,
    find,
)

__all__ = ["ENTRIES"]

NEGATIVE = Domain("x < 0", lambda shape, k: -POSITIVE.draw(shape, k))
ABOVE_2 = Domain("x > 2", lambda shape, k: 2.2 + POSITIVE.draw(shape, k))
BELOW_1 = Domain("x < 1", lambda shape, k: 0.8 - POSITIVE.draw(shape, k))
SMALL = Domain("|x| < 0.3", lambda shape, k: ANY.draw(shape, k) * 0.15)
AIRY = Domain("any", lambda shape, k: ANY.draw(shape, k) + 0.05)
NO_POLE = Domain("no pole: not 0, −1, …", lambda shape, k: ANY.draw(shape, k) + 0.037)

THREE: tuple[Any, ...] = (((3,), (3,), (3,)), ((2, 1), (), (3,)))


def _each(
    names: str, domain: Domain = ANY, torch: str = "", kinks: str = "", also: dict[str, str] | None = None
) -> list[Entry]:
    """Entries of functions of one variable; ``torch``: those that ``torch.special`` has."""
    return [
        entry(
            f"scipy.special.{n}", domain=domain, kinks=kinks, torch=f"special.{n}" if n in torch.split() else None,
            also=[f"scipy.special.{other}" for other in (also or {}).get(n, "").split()],
        )
        for n in names.split()
    ]  # fmt: skip


def _pair(name: str, *domains: Domain, torch: str | None = None, kinks: str = "") -> Entry:
    """An entry of a function of two variables, differentiable in both."""
    call = (lambda T, *xs: find(T, f"torch.special.{torch}")(*xs)) if torch else None
    f = lambda m, *xs: find(m, f"x.special.{name}")(*xs)  # noqa: E731
    return entry(f"scipy.special.{name}", case(f, *PAIRS, domain=domains), kinks=kinks, torch=call)


def _ordered(name: str, orders: tuple[Any, ...], domain: Domain = ANY, kinks: str = "", also: str = "") -> Entry:
    """An entry of a function of a constant order and of one variable."""
    cases = [case(lambda m, x, o=o: find(m, f"x.special.{name}")(o, x), *EACH) for o in orders]
    return entry(
        f"scipy.special.{name}", *cases, domain=domain, kinks=kinks, also=[f"scipy.special.{also}"] if also else []
    )


_CONSTANT_ORDER = "the order is a constant"

ENTRIES: list[Entry] = [
    # errors and the normal distribution
    *_each("erf erfc erfcx erfi dawsn", torch="erf erfc erfcx"),
    *_each("erfinv", UNIT, "erfinv", "∞ at ±1"),
    *_each("erfcinv", PROBABILITY, kinks="∞ at 0 and 2"),
    *_each("ndtr log_ndtr", torch="ndtr log_ndtr"),
    *_each("ndtri", PROBABILITY, "ndtri", "∞ at 0 and 1"),
    *_each("ndtri_exp", NEGATIVE),
    _pair("owens_t", ANY, ANY),
    # logistic functions, entropies, losses
    *_each("expit log_expit", torch="expit"),
    *_each("logit", PROBABILITY, "logit", "∞ at 0 and 1"),
    _pair("xlogy", ANY, POSITIVE, torch="xlogy", kinks="0 at x = 0 ≥ y"),
    _pair("xlog1py", ANY, POSITIVE, torch="xlog1py", kinks="0 at x = 0, y ≤ −1"),
    *_each("entr", POSITIVE, "entr", "∞ at 0, 0 below"),
    _pair("rel_entr", POSITIVE, POSITIVE, kinks="0 at (0, 0) and outside"),
    _pair("kl_div", POSITIVE, POSITIVE, kinks="0 at (0, 0) and outside"),
    _pair("huber", POSITIVE, ANY, kinks="0 for δ < 0"),
    _pair("pseudo_huber", POSITIVE, ANY, kinks="0 for δ < 0 and at (0, 0)"),
    # powers and angles
    *_each("cbrt", POSITIVE, kinks="∞ at 0"),
    *_each("exp2 exp10 expm1 cosm1 sindg cosdg tandg", torch="exp2 expm1"),
    *_each("cotdg", POSITIVE),
    *_each("log1p", POSITIVE, "log1p", "∞ at −1"),
    # gamma and beta
    *_each("gamma", NO_POLE, kinks="no finite slope at 0, −1, …"),
    *_each("gammaln", POSITIVE, "gammaln", "no finite slope at 0, −1, …"),
    *_each("loggamma", POSITIVE),
    entry("scipy.special.gammasgn", order=0),
    *_each("rgamma", NO_POLE, kinks="(−1)ⁿ n! at −n"),
    *_each("psi", POSITIVE, "psi", also={"psi": "digamma"}),
    entry(
        "scipy.special.polygamma",
        *(
            case(lambda m, x, n=n: m.special.polygamma(n, x), *EACH, torch=lambda T, x, n=n: T.special.polygamma(n, x))
            for n in (0, 1, 2)
        ),
        domain=POSITIVE, kinks=_CONSTANT_ORDER,
    ),
    entry(
        "scipy.special.multigammaln",
        case(lambda m, x: m.special.multigammaln(x, 3), *EACH, torch=lambda T, x: T.special.multigammaln(x, 3)),
        domain=ABOVE_2, exact=False,
    ),
    entry(
        "scipy.special.factorial", domain=POSITIVE, exact=False, kinks="0 for n < 0",
        like=lambda n: find(REFERENCE, "x.special.gamma")(n + 1),
    ),
    _pair("poch", POSITIVE, POSITIVE),
    _pair("binom", ABOVE_2, PROBABILITY),
    _pair("beta", POSITIVE, POSITIVE),
    _pair("betaln", POSITIVE, POSITIVE),
    entry(
        "scipy.special.zeta",
        case(lambda m, q: m.special.zeta(2.5, q), *EACH, torch=lambda T, q: T.special.zeta(T.tensor(2.5), q)),
        domain=POSITIVE, kinks="x is a constant",
    ),
    _pair("gammainc", POSITIVE, POSITIVE, kinks="∞ at x = 0 for a < 1"),
    _pair("gammaincc", POSITIVE, POSITIVE, kinks="∞ at x = 0 for a < 1"),
    entry(
        "scipy.special.gammaincinv",
        case(lambda m, a, y: m.special.gammaincinv(a, y), *PAIRS, domain=(POSITIVE, PROBABILITY)),
    ),
    entry(
        "scipy.special.gammainccinv",
        case(lambda m, a, y: m.special.gammainccinv(a, y), *PAIRS, domain=(POSITIVE, PROBABILITY)),
    ),
    *(
        entry(f"scipy.special.{n}", shapes=THREE, domain=PROBABILITY, kinks="∞ at x = 0 for a < 1")
        for n in ("betainc", "betaincc", "betaincinv")
    ),
    _pair("stdtr", POSITIVE, ANY),
    _pair("stdtrit", POSITIVE, PROBABILITY),
    # Bessel functions
    *_each("j0 j1 i0 i1", torch="i0 i1"),
    *_each("i0e i1e", torch="i0e i1e", kinks="sign 0 at 0"),
    *_each("y0 y1 k0 k1 k0e k1e", POSITIVE),
    _ordered("jv", (2, 0.5, -1), POSITIVE, _CONSTANT_ORDER, also="jn"),
    _ordered("yv", (2, 0.5), POSITIVE, _CONSTANT_ORDER),
    _ordered("yn", (0, 2), POSITIVE, _CONSTANT_ORDER),
    _ordered("iv", (2, 0.5), POSITIVE, _CONSTANT_ORDER),
    _ordered("ive", (2, 0.5), POSITIVE, _CONSTANT_ORDER),
    _ordered("kv", (2, 0.5), POSITIVE, _CONSTANT_ORDER),
    _ordered("kn", (0, 2), POSITIVE, _CONSTANT_ORDER),
    _ordered("kve", (2, 0.5), POSITIVE, _CONSTANT_ORDER),
    entry("np.i0", torch="i0"),
    *_each("airy", AIRY),
    # integrals and hypergeometric functions
    *_each("expi", NO_POLE, kinks="∞ at 0"),
    *_each("exp1", POSITIVE, kinks="∞ at 0"),
    _ordered("expn", (0, 1, 3), POSITIVE, _CONSTANT_ORDER),
    *_each("exprel fresnel"),
    *_each("sici shichi spence", POSITIVE),
    *_each("ellipk ellipe", BELOW_1, kinks="∞ at 1"),
    _ordered("hyp0f1", (1.5,), ANY, "v is a constant"),
    entry(
        "scipy.special.hyp1f1",
        case(lambda m, x: m.special.hyp1f1(1.5, 2.5, x), *EACH), kinks="a and b are constants",
    ),
    entry(
        "scipy.special.hyp2f1",
        case(lambda m, x: m.special.hyp2f1(0.5, 1.5, 2.5, x), *EACH), domain=UNIT, kinks="a, b and c are constants",
    ),
    entry(
        "scipy.special.hyperu",
        case(lambda m, x: m.special.hyperu(1.5, 0.5, x), *EACH), domain=POSITIVE, kinks="a and b are constants",
    ),
    entry("scipy.special.lambertw", case(lambda m, x: m.special.lambertw(x).real, *EACH), domain=POSITIVE, kinks="∞ at −1/e"),
    _pair("boxcox", POSITIVE, ANY),
    _pair("boxcox1p", POSITIVE, ANY),
    _pair("inv_boxcox", SMALL, ANY),
    _pair("inv_boxcox1p", SMALL, ANY),
    # sums of exponentials
    entry(
        "scipy.special.logsumexp",
        case(lambda m, x: m.special.logsumexp(x), ((),), ((4,),)),
        case(lambda m, x: m.special.logsumexp(x, axis=-1, keepdims=True), ((2, 3),)),
        exact=False,
    ),
    entry(
        "tt.special.logsumexp",
        case(lambda m, x, b: m.special.logsumexp(x, 0, b), ((2, 3), (2, 3)), ((2, 3), (3,)), domain=(ANY, POSITIVE)),
        exact=False, kinks="NaN where Σ b eˣ < 0",
        like=lambda x, b: np.log(np.sum(b * np.exp(x), axis=0)),
    ),
    entry(
        "scipy.special.softmax",
        case(lambda m, x: m.special.softmax(x), *EACH),
        case(lambda m, x: m.special.softmax(x, axis=0), ((2, 3),), torch=lambda T, x: T.softmax(x, 0)),
        exact=False,
    ),
    entry(
        "scipy.special.log_softmax",
        case(lambda m, x: m.special.log_softmax(x), ((3,),), ((2, 3),)),
        case(lambda m, x: m.special.log_softmax(x, axis=0), ((2, 3),), torch=lambda T, x: T.log_softmax(x, 0)),
        exact=False,
    ),
    *distributions.ENTRIES,
]  # fmt: skip
