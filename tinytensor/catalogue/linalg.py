"""Linear algebra: what the catalogue says of inverses, determinants, factorisations, norms and functions of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.catalogue.entry import ANY, NONZERO, Case, Domain, Entry, Shape, case, entry, find

__all__ = ["ENTRIES"]


def _regular(shape: Shape, k: int) -> Any:
    """Square matrices near diag(1, 2, …): far from singular, their eigenvalues and singular values far apart."""
    x = ANY.draw(shape, k) * 0.3
    return x + np.diag(1.0 + np.arange(shape[-1])) if len(shape) > 1 and shape[-1] == shape[-2] else x


REGULAR = Domain("regular", _regular)
DISTINCT = Domain(
    "distinct eigenvalues", lambda shape, k: (_regular(shape, k) + np.diag(3.0 + 3 * np.arange(shape[-1]))) / 4
)
FULL_RANK = Domain("full rank", ANY.draw)
SMALL = Domain("any", lambda shape, k: ANY.draw(shape, k) * 0.4)

SQUARE = (((3, 3),), ((2, 2, 2),))
SYSTEMS = (
    ((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 2)), ((2, 3, 3), (2, 3, 2)),
)  # fmt: skip


def _symmetric(x: Any) -> Any:
    return x + np.swapaxes(x, -1, -2)


def _definite(x: Any) -> Any:
    return np.matmul(x, np.swapaxes(x, -1, -2)) + 2 * np.eye(x.shape[-1], dtype=x.dtype)


def _torch_definite(T: Any, x: Any) -> Any:
    return x @ x.mT + 2 * T.eye(x.shape[-1], dtype=x.dtype)


def _same(name: str, *options: Any, shapes: Any = SQUARE, like_torch: bool = True, **named: Any) -> Case:
    """The same call in NumPy, in PyTorch and here."""
    return case(
        lambda m, *xs: find(m, name)(*xs, *options, **named),
        *shapes,
        torch=(lambda T, *xs: find(T, f"torch.{name.removeprefix('np.')}")(*xs, *options, **named))
        if like_torch
        else None,
    )


_VECTOR_ORDERS = (None, 1, 2, 3, 2.5, 0.5, -1, -1.5, np.inf, -np.inf)
_MATRIX_ORDERS = ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)


def _norms() -> list[Case]:
    """Every order of vectors and of matrices, over all axes and over some."""
    cases = [
        case(lambda m, x: m.linalg.norm(x), ((3,),), ((2, 3),), ((2, 2, 2),), torch=lambda T, x: T.linalg.norm(x), scalar=True),
        case(lambda m, x: m.linalg.norm(x, axis=-1, keepdims=True), ((2, 3),), torch=lambda T, x: T.linalg.norm(x, dim=-1, keepdim=True), scalar=True),
        case(lambda m, x: m.linalg.norm(x, axis=(0, 2)), ((2, 3, 2),), torch=lambda T, x: T.linalg.norm(x, dim=(0, 2)), scalar=True),
    ]  # fmt: skip
    for p in _VECTOR_ORDERS[1:]:
        cases.append(case(
            lambda m, x, p=p: m.linalg.norm(x, p), ((4,),),
            torch=lambda T, x, p=p: T.linalg.vector_norm(x, p), scalar=p in (1, 2, np.inf, -np.inf),
        ))  # fmt: skip
        cases.append(case(
            lambda m, x, p=p: m.linalg.norm(x, p, axis=0, keepdims=True), ((3, 2),),
            torch=lambda T, x, p=p: T.linalg.vector_norm(x, p, dim=0, keepdim=True), scalar=True,
        ))  # fmt: skip
    for q in _MATRIX_ORDERS:
        in_scalar = q not in ("nuc", 2, -2)
        cases.append(case(
            lambda m, x, q=q: m.linalg.norm(x, q), ((2, 3),),
            torch=lambda T, x, q=q: T.linalg.matrix_norm(x, q), scalar=in_scalar,
        ))  # fmt: skip
        cases.append(case(
            lambda m, x, q=q: m.linalg.norm(x, q, axis=(2, 0)), ((3, 2, 2),),
            torch=lambda T, x, q=q: T.linalg.matrix_norm(x, q, dim=(2, 0)), scalar=in_scalar,
        ))  # fmt: skip
    return cases


def _conds() -> list[Case]:
    def there(T: Any, x: Any, p: Any) -> Any:  # torch.linalg.cond overwrites what its own backward needs
        return T.linalg.cond(x) if p is None else T.linalg.matrix_norm(x, p) * T.linalg.matrix_norm(T.linalg.inv(x), p)

    return [
        case(lambda m, x, p=p: m.linalg.cond(x, p), *SQUARE, torch=lambda T, x, p=p: there(T, x, p))
        for p in (None, *_MATRIX_ORDERS)
    ] + [case(lambda m, x: m.linalg.cond(x), ((2, 3),), torch=lambda T, x: T.linalg.cond(x))]


_INVERSES = [
    entry("np.linalg.inv", _same("np.linalg.inv"), domain=REGULAR),
    entry(
        "np.linalg.pinv",
        _same("np.linalg.pinv", shapes=(((3, 3),), ((4, 2),), ((2, 4),), ((2, 2, 3),))),
        case(lambda m, x: m.linalg.pinv(_symmetric(x), hermitian=True), ((3, 3),), torch=lambda T, x: T.linalg.pinv(x + x.mT)),
        case(lambda m, x: m.linalg.pinv(x, rcond=1e-3), ((3, 2),), torch=lambda T, x: T.linalg.pinv(x, rtol=1e-3)),
        domain=FULL_RANK,
        kinks="where the rank changes: that of the rank found",
    ),
    entry(
        "np.linalg.solve",
        case(
            lambda m, x, y: m.linalg.solve(x, y), *SYSTEMS,
            torch=lambda T, x, y: T.linalg.solve(x, y[..., None])[..., 0] if y.ndim == 1 else T.linalg.solve(x, y),
        ),
        domain=REGULAR,
    ),
    entry(
        "np.linalg.lstsq",
        case(lambda m, x, y: m.linalg.lstsq(x, y), ((4, 2), (4,)), ((4, 2), (4, 3))),
        case(
            lambda m, x, y: m.linalg.lstsq(x, y, rcond=None)[0], ((4, 2), (4, 3)), ((2, 4), (2, 3)),
            torch=lambda T, x, y: T.linalg.pinv(x) @ y,
        ),
        domain=FULL_RANK,
        kinks="where the rank changes: that of the rank found",
    ),
    entry(
        "np.linalg.det",
        _same("np.linalg.det"),
        case(lambda m, x: m.linalg.det(x * np.array([1.0, 1.0, 0.0])), ((3, 3),)),
        domain=REGULAR,
        kinks="the cofactors, at singular matrices too",
    ),
    entry("np.linalg.slogdet", _same("np.linalg.slogdet"), domain=REGULAR, kinks="±∞ at singular matrices"),
    entry(
        "np.linalg.tensorinv",
        case(lambda m, x: m.linalg.tensorinv(m.reshape(x, (2, 3, 6))), ((6, 6),), torch=lambda T, x: T.linalg.tensorinv(x.reshape(2, 3, 6))),
        case(lambda m, x: m.linalg.tensorinv(m.reshape(x, (6, 3, 2)), ind=1), ((6, 6),), torch=lambda T, x: T.linalg.tensorinv(x.reshape(6, 3, 2), ind=1)),
        domain=REGULAR,
    ),
    entry(
        "np.linalg.tensorsolve",
        case(lambda m, x, y: m.linalg.tensorsolve(m.reshape(x, (2, 3, 3, 2)), y), ((6, 6), (2, 3)), torch=lambda T, x, y: T.linalg.tensorsolve(x.reshape(2, 3, 3, 2), y)),
        case(lambda m, x, y: m.linalg.tensorsolve(m.reshape(x, (2, 6, 3)), y, axes=(0,)), ((6, 6), (6,)), domain=ANY, torch=lambda T, x, y: T.linalg.tensorsolve(x.reshape(2, 6, 3), y, dims=(0,))),
        domain=REGULAR,
    ),
    entry(
        "np.linalg.matrix_power",
        *[_same("np.linalg.matrix_power", n) for n in (0, 1, 2, 3, 5, 6, -1, -3)],
        domain=REGULAR,
    ),
    entry(
        "np.linalg.multi_dot",
        case(lambda m, x, y: m.linalg.multi_dot([x, y]), ((2, 3), (3, 2)), ((3,), (3, 2)), scalar=True, torch=lambda T, *xs: T.linalg.multi_dot(xs)),
        case(lambda m, *xs: m.linalg.multi_dot(xs), ((2, 3), (3, 4), (4, 2)), ((3,), (3, 2), (2,)), ((2, 3), (3, 1), (1, 4), (4, 2)), scalar=True, torch=lambda T, *xs: T.linalg.multi_dot(xs)),
    ),
]  # fmt: skip

_FACTORS = [
    entry(
        "np.linalg.cholesky",
        case(lambda m, x: m.linalg.cholesky(_definite(x)), *SQUARE, torch=lambda T, x: T.linalg.cholesky(_torch_definite(T, x))),
        case(lambda m, x: m.linalg.cholesky(_definite(x), upper=True), *SQUARE, torch=lambda T, x: T.linalg.cholesky(_torch_definite(T, x), upper=True)),
        domain=Domain("positive definite", ANY.draw),
    ),
    entry(
        "np.linalg.qr",
        _same("np.linalg.qr", shapes=(((3, 3),), ((4, 2),), ((2, 2, 2),))),
        case(lambda m, x: m.linalg.qr(x), ((2, 4),)),
        case(lambda m, x: m.linalg.qr(x)[0], ((3, 2),), ((2, 3),)),
        case(lambda m, x: m.linalg.qr(x)[1], ((3, 2),), torch=lambda T, x: T.linalg.qr(x)[1]),
        case(lambda m, x: m.linalg.qr(x, "complete"), ((3, 3),), ((2, 3),)),
        case(lambda m, x: m.linalg.qr(x, mode="r"), ((3, 2),), ((2, 3),), ((2, 2, 2),)),
        domain=FULL_RANK,
        kinks="LinAlgError where the first columns are linearly dependent",
    ),
    entry(
        "np.linalg.eigh",
        case(lambda m, x: m.linalg.eigh(_symmetric(x)), *SQUARE),
        case(lambda m, x: m.linalg.eigh(_symmetric(x), "U"), ((3, 3),)),
        case(lambda m, x: m.linalg.eigh(_symmetric(x))[0] ** 3, ((3, 3),), torch=lambda T, x: T.linalg.eigh(x + x.mT)[0] ** 3),
        case(lambda m, x: m.linalg.eigh(_symmetric(x))[1] ** 2, *SQUARE, torch=lambda T, x: T.linalg.eigh(x + x.mT)[1] ** 2),
        domain=DISTINCT,
        kinks="equal eigenvalues: a warning for the vectors",
    ),
    entry(
        "np.linalg.eigvalsh",
        case(lambda m, x: m.linalg.eigvalsh(_symmetric(x)), *SQUARE, torch=lambda T, x: T.linalg.eigvalsh(x + x.mT)),
        case(lambda m, x: m.linalg.eigvalsh(_symmetric(x), UPLO="U"), ((3, 3),)),
        domain=DISTINCT,
    ),
    entry(
        "np.linalg.eig",
        case(lambda m, x: m.linalg.eig(x), *SQUARE),
        case(lambda m, x: m.linalg.eig(x)[1] ** 2, *SQUARE, torch=lambda T, x: T.linalg.eig(x)[1].real ** 2),
        domain=DISTINCT,
        kinks="equal eigenvalues: a warning for the vectors",
    ),
    entry(
        "np.linalg.eigvals",
        case(lambda m, x: m.linalg.eigvals(x), *SQUARE, torch=lambda T, x: T.linalg.eigvals(x).real),
        domain=DISTINCT,
        exact=False,
    ),
    entry(
        "np.linalg.svd",
        case(lambda m, x: m.linalg.svd(x), *SQUARE),
        case(lambda m, x: m.linalg.svd(x, full_matrices=False), ((3, 2),), ((2, 3),), ((2, 3, 2),)),
        case(lambda m, x: [z**2 for z in m.linalg.svd(x, False)], ((3, 3),), ((4, 2),), ((2, 4),), torch=lambda T, x: [z**2 for z in T.linalg.svd(x, full_matrices=False)]),
        case(lambda m, x: m.linalg.svd(x, compute_uv=False), ((3, 2),), torch=lambda T, x: T.linalg.svdvals(x)),
        case(lambda m, x: m.linalg.svd(x)[1], ((3, 2),), torch=lambda T, x: T.linalg.svdvals(x)),
        domain=Domain("distinct singular values", _regular),
        kinks="equal singular values: a warning for the vectors",
    ),
    entry("np.linalg.svdvals", _same("np.linalg.svdvals", shapes=(((3, 3),), ((2, 3),), ((2, 3, 2),))), domain=FULL_RANK),
]  # fmt: skip

_NORMS = [
    entry("np.linalg.norm", *_norms(), domain=NONZERO, kinks="0 at the zero vector; shared evenly at a tie"),
    entry(
        "np.linalg.vector_norm",
        case(lambda m, x: m.linalg.vector_norm(x), ((3,),), ((2, 3),), torch=lambda T, x: T.linalg.vector_norm(x)),
        *[
            case(lambda m, x, p=p: m.linalg.vector_norm(x, axis=(0, -1), ord=p, keepdims=True), ((2, 2, 2),), torch=lambda T, x, p=p: T.linalg.vector_norm(x, p, dim=(0, -1), keepdim=True))
            for p in _VECTOR_ORDERS[1:]
        ],
        domain=NONZERO,
        scalar=True,
        kinks="0 at the zero vector; shared evenly at a tie",
    ),
    entry(
        "np.linalg.matrix_norm",
        case(lambda m, x: m.linalg.matrix_norm(x), ((2, 3),), ((2, 2, 2),), torch=lambda T, x: T.linalg.matrix_norm(x)),
        *[
            case(lambda m, x, p=p: m.linalg.matrix_norm(x, ord=p, keepdims=True), ((2, 3, 2),), torch=lambda T, x, p=p: T.linalg.matrix_norm(x, p, keepdim=True))
            for p in _MATRIX_ORDERS
        ],
        domain=NONZERO,
        kinks="shared evenly at a tie",
    ),
    entry("np.linalg.cond", *_conds(), domain=REGULAR),
    entry("np.linalg.matrix_rank", _same("np.linalg.matrix_rank"), domain=REGULAR, order=0),
    entry(
        "np.trace",
        case(lambda m, x: m.trace(x), ((3, 3),), ((2, 3),), ((2, 3, 2),), scalar=True),
        case(lambda m, x: m.trace(x, offset=1), ((3, 3),), scalar=True, torch=lambda T, x: T.sum(T.diagonal(x, 1), -1)),
        case(lambda m, x: m.trace(x, -1, axis1=2, axis2=0), ((3, 2, 2),), scalar=True, torch=lambda T, x: T.sum(T.diagonal(x, -1, 2, 0), -1)),
    ),
    entry(
        "np.linalg.trace",
        case(lambda m, x: m.linalg.trace(x), ((3, 3),), ((2, 2, 3),)),
        case(lambda m, x: m.linalg.trace(x, offset=-1), ((2, 3, 2),), torch=lambda T, x: T.sum(T.diagonal(x, -1, -2, -1), -1)),
        scalar=True,
    ),
    entry("np.linalg.diagonal", case(lambda m, x: m.linalg.diagonal(x, offset=1), ((3, 3),), ((2, 2, 3),), torch=lambda T, x: T.diagonal(x, 1, -2, -1)), scalar=True),
    entry("np.linalg.matrix_transpose", case(lambda m, x: m.linalg.matrix_transpose(x), ((2, 3),), ((2, 3, 2),), torch=lambda T, x: x.mT), scalar=True),
]  # fmt: skip

_SYSTEMS = [
    entry(
        "scipy.linalg.solve_triangular",
        case(lambda m, a, y: m.linalg.solve_triangular(a, y), ((3, 3), (3,)), ((3, 3), (3, 2)), torch=lambda T, a, y: T.linalg.solve_triangular(T.triu(a), y if y.ndim > 1 else y[:, None], upper=True).reshape(y.shape)),
        case(lambda m, a, y: m.linalg.solve_triangular(a, y, lower=True, unit_diagonal=True), ((3, 3), (3, 2)), torch=lambda T, a, y: T.linalg.solve_triangular(a.tril(), y, upper=False, unitriangular=True)),
        case(lambda m, a, y: m.linalg.solve_triangular(a, y, trans=1, lower=True), ((3, 3), (3,)), ((3, 3), (3, 2))),
        case(lambda m, a, y: m.linalg.solve_triangular(a, y, "T", unit_diagonal=True), ((3, 3), (3, 2))),
        domain=REGULAR,
    ),
    entry(
        "scipy.linalg.solve_banded",
        case(lambda m, ab, y: m.linalg.solve_banded((1, 1), ab + np.array([[0], [3], [0]]).astype(ab.dtype), y), ((3, 4), (4,)), ((3, 4), (4, 2))),
        case(lambda m, ab, y: m.linalg.solve_banded((2, 0), ab + np.array([[3], [0], [0]]).astype(ab.dtype), y), ((3, 4), (4,))),
        domain=SMALL,
    ),
    entry(
        "scipy.linalg.cho_factor",
        case(lambda m, x: m.linalg.cho_factor(_definite(x))[0], ((3, 3),)),
        case(lambda m, x: m.linalg.cho_factor(_definite(x), lower=True)[0], ((3, 3),)),
        domain=Domain("positive definite", ANY.draw),
    ),
    entry(
        "scipy.linalg.cho_solve",
        case(lambda m, a, y: m.linalg.cho_solve((a, True), y), ((3, 3), (3,)), ((3, 3), (3, 2)), torch=lambda T, a, y: T.cholesky_solve(y.reshape(3, -1), a.tril()).reshape(y.shape)),
        case(lambda m, a, y: m.linalg.cho_solve((a, False), y), ((3, 3), (3, 2)), torch=lambda T, a, y: T.cholesky_solve(y, a.triu(), upper=True)),
        domain=REGULAR,
    ),
    entry("scipy.linalg.lu", case(lambda m, x: m.linalg.lu(x), ((3, 3),), torch=lambda T, x: T.linalg.lu(x)), domain=REGULAR),
    entry(
        "scipy.linalg.lu_factor",
        case(lambda m, x: m.linalg.lu_factor(x), ((3, 3),), torch=lambda T, x: T.linalg.lu_factor(x)[0]),
        case(lambda m, x: m.linalg.lu_factor(x)[0], ((3, 3),), domain=ANY, torch=lambda T, x: T.linalg.lu_factor(x)[0]),
        domain=REGULAR,
    ),
    entry(
        "scipy.linalg.lu_solve",
        case(lambda m, x, y: m.linalg.lu_solve(m.linalg.lu_factor(x), y), ((3, 3), (3,)), ((3, 3), (3, 2))),
        case(lambda m, x, y: m.linalg.lu_solve(m.linalg.lu_factor(x), y, trans=1), ((3, 3), (3, 2)), torch=lambda T, x, y: T.linalg.solve(x.mT, y)),
        domain=REGULAR,
    ),
    entry("scipy.linalg.solve_sylvester", case(lambda m, a, b, q: m.linalg.solve_sylvester(a, b, q), ((3, 3), (2, 2), (3, 2))), domain=REGULAR),
    entry("scipy.linalg.solve_continuous_lyapunov", case(lambda m, a, q: m.linalg.solve_continuous_lyapunov(a, q), ((3, 3), (3, 3))), domain=REGULAR),
    entry(
        "scipy.linalg.solve_discrete_lyapunov",
        case(lambda m, a, q: m.linalg.solve_discrete_lyapunov(a, q), ((3, 3), (3, 3))),
        case(lambda m, a, q: m.linalg.solve_discrete_lyapunov(a, q, method="bilinear"), ((2, 2), (2, 2))),
        domain=SMALL,
    ),
]  # fmt: skip

_FUNCTIONS = [
    entry("scipy.linalg.expm", case(lambda m, x: m.linalg.expm(x), *SQUARE, torch=lambda T, x: T.linalg.matrix_exp(x))),
    entry(
        "scipy.linalg.expm_frechet",
        case(lambda m, x, e: m.linalg.expm_frechet(x, e), ((3, 3), (3, 3))),
        case(lambda m, x, e: m.linalg.expm_frechet(x, e, compute_expm=False), ((2, 2), (2, 2))),
        exact=False,
    ),
    entry("scipy.linalg.sqrtm", case(lambda m, x: m.linalg.sqrtm(x), ((3, 3),)), domain=REGULAR),
    entry("scipy.linalg.logm", case(lambda m, x: m.linalg.logm(x), ((3, 3),)), domain=REGULAR),
    entry("scipy.linalg.cosm", case(lambda m, x: m.linalg.cosm(x), ((3, 3),))),
    entry("scipy.linalg.sinm", case(lambda m, x: m.linalg.sinm(x), ((3, 3),))),
    entry("scipy.linalg.toeplitz", case(lambda m, *xs: m.linalg.toeplitz(*xs), ((3,),), ((3,), (3,)), ((2,), (4,))), scalar=True),
    entry("scipy.linalg.hankel", case(lambda m, *xs: m.linalg.hankel(*xs), ((3,),), ((3,), (3,)), ((2,), (4,))), scalar=True),
    entry("scipy.linalg.circulant", case(lambda m, x: m.linalg.circulant(x), ((4,),)), scalar=True),
    entry(
        "scipy.linalg.block_diag",
        case(lambda m, *xs: m.linalg.block_diag(*xs), ((2, 3), (1, 2)), ((2, 2),), torch=lambda T, *xs: T.block_diag(*xs)),
        case(lambda m, *xs: m.linalg.block_diag(*xs), ((2, 3), (3,), ()), torch=lambda T, *xs: T.block_diag(*xs)),
        scalar=True,
    ),
]  # fmt: skip

ENTRIES: list[Entry] = [*_INVERSES, *_FACTORS, *_NORMS, *_SYSTEMS, *_FUNCTIONS]
