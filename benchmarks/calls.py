"""The calls of ``functions``: the catalogue's own where its shapes grow, else those below.

Small inputs are 10 elements, or 3 x 3 for linear algebra; large ones 100,000 elements, or 300 x 300, and fewer where
somebody's call would take much longer than 50 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial, reduce
from typing import Any, NamedTuple

import numpy as np

from tinytensor.catalogue import FAMILIES
from tinytensor.catalogue.entry import ANY, POSITIVE, PROBABILITY, Domain, Entry, Shape

SIZES = ("small", "large")


class Call(NamedTuple):
    """``f(m, *inputs)``, where m is a library's namespace; the inputs' shapes by size, and where they are drawn from."""

    name: str
    f: Callable[..., Any]
    shapes: dict[str, tuple[Shape, ...]]
    domains: tuple[Domain, ...]

    def inputs(self, size: str, most: int | None = None) -> list[Any]:
        """The same numbers in every process; ``most``: no axis is longer."""
        pairs = zip(self.shapes[size], self.domains, strict=True)
        return [_draw(d, tuple(min(n, most or n) for n in shape), k) for k, (shape, d) in enumerate(pairs)]

    def bind(self, m: Any) -> Callable[..., Any]:
        """The call as a function of the inputs: the library's own, where the call does nothing else than name it."""
        places = [object() for _ in self.domains]
        try:
            found = self.f(_Named(), *places)
        except Exception:  # it does something with its inputs
            return partial(self.f, m)
        if isinstance(found, _Called) and list(map(id, found.inputs)) == list(map(id, places)):
            return reduce(getattr, found.path, m)
        return partial(self.f, m)


class _Called(NamedTuple):
    path: tuple[str, ...]
    inputs: tuple[Any, ...]


class _Named:
    """A namespace whose functions return what they were called by, and with."""

    def __init__(self, *path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> _Named:
        return _Named(*self._path, name)

    def __call__(self, *args: Any, **options: Any) -> _Called:
        return _Called(self._path, (*args, *options))


@cache
def _draw(domain: Domain, shape: Shape, k: int) -> Any:
    return np.asarray(domain.draw(shape, k), float)


def _diagonal(first: float, last: float) -> Callable[[Shape, int], Any]:
    """Matrices whose eigenvalues are near numbers from ``first`` to ``last``, from one to n times it if that is 0."""

    def draw(shape: Shape, k: int) -> Any:
        x = ANY.draw(shape, k) * 0.3 / math.sqrt(shape[-1])
        if len(shape) < 2 or shape[-1] != shape[-2]:
            return x
        return x + np.diag(np.linspace(first, last or first * shape[-1], shape[-1]))

    return draw


MATRIX = Domain("eigenvalues far apart", _diagonal(1.0, 0.0))
NEAR_EYE = Domain("near the identity", _diagonal(0.9, 1.1))
NEAR_1 = Domain("near 1", lambda shape, k: 1 + 1e-3 * ANY.draw(shape, k))
SPREAD = Domain("x > 0", lambda shape, k: 0.7 + POSITIVE.draw(shape, k))


def _symmetric(m: Any, x: Any) -> Any:
    return x + m.transpose(x)


def _written(x: Any, index: Any, v: Any) -> Any:
    y = x * 1.0
    y[index] = v
    return y


def _normal(m: Any, method: str, x: Any, mean: Any, root: Any) -> Any:
    return getattr(m.stats.multivariate_normal, method)(x, mean, _covariance(m, root))


def _covariance(m: Any, root: Any) -> Any:
    return m.matmul(root, m.transpose(root)) + np.eye(2)


def _simplex(m: Any, x: Any) -> Any:
    x = m.exp(x)
    return x / m.sum(x, axis=0)


V, L = (10,), (100_000,)
M, LM = (2, 5), (250, 400)
Q, LQ = (3, 3), (300, 300)
MIDDLE = (100, 100)
PLACES = np.array([0, 3, 3, 9, 1])

#: Name -> shapes of small inputs, shapes of large inputs, the call (None: the catalogue's first), the domains (None:
#: the entry's).
ROWS: dict[str, tuple[Any, ...]] = {
    # elementwise, reductions
    "np.add.outer": ([Q[:1]] * 2, [LQ[:1]] * 2),
    "np.bincount": ([V], [L], lambda m, w: m.bincount(np.arange(w.size) % 7, weights=w)),
    "np.nanstd": ([V], [L], lambda m, x: m.nanstd(x)),
    "np.prod": ([V], [L], None, NEAR_1),
    "np.cumprod": ([V], [L], None, NEAR_1),
    "np.std": ([V], [L], lambda m, x: m.std(x)),
    "np.var": ([V], [L], lambda m, x: m.var(x)),
    # statistics
    "np.convolve": ([V, (3,)], [L, (30,)]),
    "np.correlate": ([V, (3,)], [L, (30,)]),
    "np.apply_over_axes": ([(2, 3, 2)], [(40, 50, 50)]),
    # shape
    "np.reshape": ([V], [L], lambda m, x: m.reshape(x, (5, -1))),
    "np.ravel": ([M], [LM]),
    "np.transpose": ([M], [LM]),
    "np.matrix_transpose": ([M], [LM]),
    "np.moveaxis": ([(2, 3, 2)], [(40, 50, 50)]),
    "np.swapaxes": ([(2, 3, 2)], [(40, 50, 50)]),
    "np.rollaxis": ([(2, 3, 2)], [(40, 50, 50)]),
    "np.squeeze": ([(1, 10, 1)], [(1, 100_000, 1)]),
    "np.broadcast_to": ([(1, 10)], [(1, 10_000)], lambda m, x: m.broadcast_to(x, (10, x.shape[1]))),
    "np.fliplr": ([M], [LM]),
    "np.rot90": ([M], [LM]),
    "np.concatenate": ([V] * 2, [L] * 2),
    "np.stack": ([V] * 2, [L] * 2),
    "np.hstack": ([V] * 2, [L] * 2),
    "np.append": ([V] * 2, [L] * 2),
    "np.block": ([M] * 2, [LM] * 2),
    "np.split": ([V], [L], lambda m, x: m.split(x, 5)),
    "np.array_split": ([V], [L], lambda m, x: m.array_split(x, 3)),
    "np.vsplit": ([M], [LM], lambda m, x: m.vsplit(x, 2)),
    "np.hsplit": ([(5, 2)], [LM], lambda m, x: m.hsplit(x, 2)),
    "np.dsplit": ([(2, 1, 5)], [(250, 4, 100)], lambda m, x: m.dsplit(x, [1])),
    "np.pad": ([V], [L], lambda m, x: m.pad(x, 1, "constant")),
    # indexing
    "tt.getitem": ([V], [L], lambda m, x: x[2:-2]),
    "tt.getitem(array)": ([V], [L], lambda m, x: x[PLACES]),
    "tt.getitem(mask)": ([V], [L], lambda m, x: x[x > 0]),
    "tt.setitem": ([V, (2,)], [L, (2,)], lambda m, x, v: _written(x, np.s_[3:5], v)),
    "np.diag": ([Q], [LQ]),
    "np.diagonal": ([Q], [LQ], lambda m, x: m.diagonal(x, 0, -1, -2)),
    "tt.make_diagonal": ([Q[:1]], [LQ[:1]], lambda m, x: m.make_diagonal(x, 0, -1, -2)),
    "np.partition": ([V], [L], lambda m, x: m.partition(x, 4)),
    "np.take_along_axis": ([V], [L], lambda m, x: m.take_along_axis(x, PLACES, axis=0)),
    # products
    "np.matmul": ([Q] * 2, [LQ] * 2),
    "np.dot": ([Q] * 2, [LQ] * 2),
    "np.inner": ([Q] * 2, [LQ] * 2),
    "np.outer": ([Q[:1]] * 2, [LQ[:1]] * 2),
    "np.kron": ([Q] * 2, [(17, 17)] * 2),
    "np.cross": ([Q] * 2, [(33_000, 3)] * 2),
    "np.tensordot": ([(2, 3, 4), (3, 4, 2)], [(50, 30, 40), (30, 40, 50)]),
    "np.einsum": ([Q] * 2, [MIDDLE] * 2),
    # linear algebra
    "np.linalg.inv": ([Q], [LQ], None, MATRIX),
    "np.linalg.pinv": ([Q], [MIDDLE], None, MATRIX),
    "np.linalg.solve": ([Q, Q[:1]], [LQ, LQ[:1]], None, MATRIX),
    "np.linalg.det": ([Q], [LQ], None, NEAR_EYE),
    "np.linalg.slogdet": ([Q], [LQ], None, MATRIX),
    "np.linalg.cholesky": ([Q], [LQ], lambda m, x: m.linalg.cholesky(_symmetric(m, x)), MATRIX),
    "np.linalg.eigh": ([Q], [MIDDLE], lambda m, x: m.linalg.eigh(_symmetric(m, x)), MATRIX),
    "np.linalg.eig": ([Q], [(50, 50)], None, MATRIX),
    "np.linalg.svd": ([Q], [MIDDLE], lambda m, x: m.linalg.svd(x, full_matrices=False), MATRIX),
    "scipy.linalg.solve_triangular": ([Q, Q[:1]], [LQ, LQ[:1]], None, MATRIX),
    "scipy.linalg.solve_banded": ([(3, 10), V], [(3, 30_000), (30_000,)]),
    "scipy.linalg.solve_sylvester": ([Q] * 3, [MIDDLE] * 3, None, MATRIX),
    "scipy.linalg.sqrtm": ([Q], [MIDDLE], None, MATRIX),
    # complex numbers and Fourier transforms
    "np.real": ([V], [L], lambda m, x: m.real(x * (1 + 0.5j))),
    "np.imag": ([V], [L], lambda m, x: m.imag(x * (1 + 0.5j))),
    "np.angle": ([V], [L], lambda m, x: m.angle(x + 0.5j)),
    **{
        f"np.fft.{n}": ([V], [L], lambda m, x, n=n: m.real(getattr(m.fft, n)(x)))
        for n in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
    },
    **{
        f"np.fft.{n}": ([(3, 4)], [LM], lambda m, x, n=n: m.real(getattr(m.fft, n)(x)))
        for n in ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
    },
    # special functions and distributions, in those arguments that have derivatives elsewhere too
    "scipy.special.gammainc": ([V], [L], lambda m, x: m.special.gammainc(1.5, x), POSITIVE),
    "scipy.special.gammaincc": ([V], [L], lambda m, x: m.special.gammaincc(1.5, x), POSITIVE),
    "scipy.special.betainc": ([V], [L], lambda m, x: m.special.betainc(1.5, 2.5, x), PROBABILITY),
    "scipy.stats.t.cdf": ([V], [L], lambda m, x: m.stats.t.cdf(x, 3.5), ANY),
    "scipy.stats.t.logcdf": ([V], [L], lambda m, x: m.stats.t.logcdf(x, 3.5), ANY),
    "scipy.stats.gamma.cdf": ([V], [L], lambda m, x: m.stats.gamma.cdf(x, 1.5), POSITIVE),
    "scipy.stats.chi2.logpdf": ([V], [L], lambda m, x: m.stats.chi2.logpdf(x, 3), POSITIVE),
    "scipy.stats.chi2.pdf": ([V], [L], lambda m, x: m.stats.chi2.pdf(x, 3), POSITIVE),
    "scipy.stats.chi2.cdf": ([V], [L], lambda m, x: m.stats.chi2.cdf(x, 3.5), POSITIVE),
    "scipy.stats.beta.cdf": ([V], [L], lambda m, x: m.stats.beta.cdf(x, 1.5, 2.5), PROBABILITY),
    **{
        f"scipy.stats.dirichlet.{n}": (
            [V, V], [(most,)] * 2,
            lambda m, x, a, n=n: getattr(m.stats.dirichlet, n)(_simplex(m, x), a), (ANY, SPREAD),
        )
        for n, most in (("logpdf", 1_000), ("pdf", 30))
    },
    **{
        f"scipy.stats.multivariate_normal.{n}": (
            [(2,), (2,), (2, 2)], [(50_000, 2), (2,), (2, 2)],
            lambda m, x, mean, root, n=n: _normal(m, n, x, mean, root), ANY,
        )
        for n in ("logpdf", "pdf")
    },
    "scipy.stats.multivariate_normal.entropy": (
        [(2, 2)], [(2, 2)], lambda m, x: m.stats.multivariate_normal.entropy(None, _covariance(m, x)), ANY,
    ),
}  # fmt: skip

#: Functions whose calls in the catalogue have one shape only, and that no peer has a derivative of.
FIXED = ("np.choose", "np.asarray", "np.full", "tt.sparse.matmul")
#: The longest axis of functions that would need seconds somewhere.
SHORTER = {
    "np.select": 1_000, "np.bincount": 1_000, "np.dstack": 1_000, "np.block": 100, "np.polymul": 1_000, "np.unstack": 100,
    **dict.fromkeys(("scipy.linalg.expm", "scipy.linalg.logm", "scipy.linalg.cosm", "scipy.linalg.sinm"), 30),
    **dict.fromkeys(("np.diagflat", "np.vander", "scipy.linalg.toeplitz", "scipy.linalg.hankel", "scipy.linalg.circulant"), 300),
}  # fmt: skip


def calls() -> dict[str, Call]:
    """Every call, by name, in the catalogue's order."""
    found = {}
    for family in FAMILIES.values():
        for e in family:
            for name in [e.name, *(n for n in ROWS if n.startswith(f"{e.name}("))]:
                if made := _call(name, e):
                    found[name] = made
    return found


def _call(name: str, e: Entry) -> Call | None:
    """The row of that name, or else the first case with shapes that grow; None for constants and for odd shapes."""
    if e.order == 0 or name in FIXED:
        return None
    first = e.cases[0]
    row = ROWS.get(name) or _grown(e)
    if row is None:
        return None
    small, large, f, domain = (*row, None, None)[:4]
    domain = domain or first.domain or e.domain
    domains = domain if isinstance(domain, tuple) else (domain,) * len(small)
    most = SHORTER.get(name, L[0])
    large = [tuple(min(n, most) for n in shape) for shape in large]
    return Call(name, f or first.f, {"small": tuple(small), "large": tuple(large)}, domains)


def _grown(e: Entry) -> tuple[Any, ...] | None:
    """Vectors of equal length become longer, square matrices larger."""
    for shapes in e.cases[0].shapes:
        if len({*shapes}) == 1 and len(shapes[0]) == 1:
            return [V] * len(shapes), [L] * len(shapes)
        if shapes == (Q,):
            return [Q], [LQ]
    return None
