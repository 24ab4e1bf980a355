"""Distributions and sparse matrices: what the catalogue says of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.catalogue.entry import ANY, POSITIVE, PROBABILITY, REFERENCE, Call, Domain, Entry, case, entry, find

__all__ = ["ENTRIES"]

SPREAD = Domain("x > 0", lambda shape, k: 0.7 + POSITIVE.draw(shape, k))
#: Places to the left of what is drawn elsewhere.
LEFT = Domain("any", lambda shape, k: ANY.draw(shape, k) * 0.1 - 2.0)
#: Probabilities that are not ½, where some inverse distribution functions have a kink.
UNEVEN = Domain("0 < q < 1", lambda shape, k: PROBABILITY.draw(shape, k) * 0.9 + 0.013)
COUNTS = np.array([0, 1, 2])


def _like(name: str) -> Call:
    """SciPy's values in the dtype of the arguments: SciPy itself gives float64 for float32."""

    def values(*arrays: Any) -> Any:
        return np.asarray(find(REFERENCE, name)(*arrays), np.result_type(*arrays))

    return values


def _continuous(name: str, x: Domain, *parameters: Domain) -> list[Entry]:
    """All methods of a distribution, in x, its parameters, loc and scale."""
    made = []
    methods = ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf", "ppf", "isf")
    for method in methods:
        path = f"scipy.stats.{name}.{method}"
        first = UNEVEN if method in ("ppf", "isf") else x
        n = len(parameters)
        standard = (((3,),) * (1 + n), *([((2, 3), *((),) * n)] if n else [((),), ((2, 3),)]))
        f = lambda m, *xs, path=path: find(m, path)(*xs)  # noqa: E731
        moved = (((3,), *((3,),) * n, (3,), ()), ((2, 1), *((1,),) * n, (), (3,)))
        shift = LEFT if x is not ANY else ANY
        cases = [case(f, *standard, domain=(first, *parameters), torch=_torch(name, method))]
        if x is not PROBABILITY or first is UNEVEN:
            cases.append(case(f, *moved, domain=(first, *parameters, shift, SPREAD)))
        else:
            inside = Domain("inside", lambda shape, k: PROBABILITY.draw(shape, k) - 0.2)
            place = Domain("any", lambda shape, k: -0.5 + 0.01 * ANY.draw(shape, k))
            cases.append(case(f, *moved, domain=(inside, *parameters, place, Domain("x > 1.2", SPREAD.draw))))
        kinks = {"uniform": "0", "laplace": "0 at 0"}.get(name, "−∞ with gradient 0 outside" if x is not ANY else "")
        made.append(entry(path, *cases, kinks=kinks, exact=False, like=_like(path)))
    return made


#: Distributions that PyTorch has: how it makes them of our parameters.
_TORCH: dict[str, Call] = {
    "norm": lambda D, x: D.Normal(0 * x, 1 + 0 * x),
    "t": lambda D, x, df: D.StudentT(df),
    "gamma": lambda D, x, a: D.Gamma(a, 1 + 0 * a),
    "chi2": lambda D, x, df: D.Chi2(df),
    "beta": lambda D, x, a, b: D.Beta(a, b),
    "expon": lambda D, x: D.Exponential(1 + 0 * x),
    "laplace": lambda D, x: D.Laplace(0 * x, 1 + 0 * x),
    "cauchy": lambda D, x: D.Cauchy(0 * x, 1 + 0 * x),
    "lognorm": lambda D, x, s: D.LogNormal(0 * s, s),
}


def _torch(name: str, method: str) -> Call | None:
    if name not in _TORCH or method != "logpdf":
        return None
    return lambda T, x, *parameters: _TORCH[name](T.distributions, x, *parameters).log_prob(x)


def _discrete(name: str, p: Domain, *constants: Any) -> list[Entry]:
    made = []
    for method in ("logpmf", "pmf", "cdf", "sf", "logcdf", "logsf"):
        path = f"scipy.stats.{name}.{method}"
        most = 3 if name != "bernoulli" else 1 if method == "logsf" else 2  # where the logarithms are finite
        f = lambda m, p, path=path, most=most: find(m, path)(COUNTS[:most, None], *constants, p)  # noqa: E731
        like = lambda p, f=f: np.asarray(f(REFERENCE, p))  # noqa: E731
        made.append(entry(path, case(f, ((),), ((2,),)), domain=p, exact=False,
                          like=like, kinks="k is a constant"))  # fmt: skip
    return made


def _simplex(m: Any, x: Any) -> Any:
    x = m.exp(x)
    return x / m.sum(x, axis=0)


def _covariance(m: Any, x: Any) -> Any:
    return m.matmul(x, m.transpose(x)) + np.eye(2, dtype=x.dtype)


_DIRICHLET = ((3,), (3,)), ((3, 2), (3,))
_NORMAL = ((2,), (2,), (2, 2)), ((3, 2), (2,), (2, 2)), ((2, 1, 2), (2,), (2, 2))
_PLACES = (np.array([0, 2, 1, 2]), np.array([0, 2, 4]))


def _sparse(m: Any, data: Any, x: Any) -> Any:
    return m.sparse.csr_array((data, *_PLACES), shape=(2, 3)) @ x


ENTRIES: list[Entry] = [
    *_continuous("norm", ANY),
    *_continuous("t", ANY, SPREAD),
    *_continuous("gamma", POSITIVE, SPREAD),
    *_continuous("chi2", POSITIVE, SPREAD),
    *_continuous("beta", PROBABILITY, SPREAD, SPREAD),
    *_continuous("expon", POSITIVE),
    *_continuous("laplace", ANY),
    *_continuous("logistic", ANY),
    *_continuous("cauchy", ANY),
    *_continuous("lognorm", POSITIVE, SPREAD),
    *_continuous("uniform", PROBABILITY),
    *_discrete("poisson", POSITIVE),
    *_discrete("binom", PROBABILITY, 3),
    *_discrete("bernoulli", PROBABILITY),
    *(
        entry(
            f"scipy.stats.dirichlet.{method}",
            case(
                lambda m, x, alpha, method=method: find(m, f"x.stats.dirichlet.{method}")(_simplex(m, x), alpha),
                *_DIRICHLET, domain=(ANY, SPREAD),
            ),
            exact=False, kinks="an error off the simplex",
            like=lambda x, alpha, method=method: np.asarray(
                find(REFERENCE, f"x.stats.dirichlet.{method}")(
                    _simplex(np, x.astype(float)), alpha.astype(float)
                ), x.dtype),
        )
        for method in ("logpdf", "pdf")
    ),
    entry(
        "scipy.stats.dirichlet.entropy", shapes=(((3,),),), domain=SPREAD, exact=False,
        like=_like("scipy.stats.dirichlet.entropy"),
    ),
    *(
        entry(
            f"scipy.stats.multivariate_normal.{method}",
            case(
                lambda m, x, mean, root, method=method: find(m, f"x.stats.multivariate_normal.{method}")(
                    x, mean, _covariance(m, root)
                ),
                *_NORMAL,
            ),
            exact=False,
            like=lambda x, mean, root, method=method: np.asarray(
                find(REFERENCE, f"x.stats.multivariate_normal.{method}")(x, mean, _covariance(np, root)), x.dtype
            ),
        )
        for method in ("logpdf", "pdf")
    ),
    entry(
        "scipy.stats.multivariate_normal.entropy",
        case(lambda m, root: m.stats.multivariate_normal.entropy(None, _covariance(m, root)), ((2, 2),)),
        exact=False,
        like=lambda root: np.asarray(
            find(REFERENCE, "x.stats.multivariate_normal.entropy")(None, _covariance(np, root)), root.dtype
        ),
    ),
    entry(
        "tt.sparse.csr_array",
        case(_sparse, ((4,), (3,)), ((4,), (3, 2))),
        case(lambda m, data, x: x @ m.sparse.csr_array((data, *_PLACES), shape=(2, 3)), ((4,), (2,)), ((4,), (2, 2))),
        exact=False,
    ),
    entry(
        "tt.sparse.matmul",
        case(lambda m, x: m.sparse.matmul(m.sparse.csr_array((np.arange(1.0, 5.0).astype(x.dtype), *_PLACES)), x), ((3,),), ((3, 2),)),
        exact=False,
    ),
]  # fmt: skip
