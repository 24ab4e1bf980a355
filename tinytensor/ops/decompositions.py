"""Factorisations of matrices, or of stacks of them: Cholesky, QR, eigenvalues, singular values.

Where NumPy's complex functions are not holomorphic (a factor's conjugate occurs), the rules conjugate too; for real
matrices ``conj`` is nothing.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinytensor.arrays import settled
from tinytensor.graph import assured
from tinytensor.primitive import TensorBase, composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["adjoint", "cholesky", "conj", "eig", "eigh", "eigvals", "eigvalsh", "near_zero", "qr", "svd", "svdvals"]

_ONE = np.eye(1)
#: NumPy's types of several results: named tuples, which it exports under no public name.
_Eig: type = type(np.linalg.eig(_ONE))
_Eigh: type = type(np.linalg.eigh(_ONE))
_SVD: type = type(np.linalg.svd(_ONE))
_QR: type = type(np.linalg.qr(_ONE))


def conj(x: Any) -> Any:
    """The complex conjugate, and a real x as it is."""
    return np.conj(x) if x.dtype.kind == "c" else x


def adjoint(x: Any) -> Any:
    """The conjugate transpose of the last two axes."""
    return np.conj(x.mT) if x.dtype.kind == "c" else x.mT


def _symmetric(x: Any) -> Any:
    return (x + adjoint(x)) / 2


def _diagonal(x: Any) -> Any:
    """The diagonals of a stack of square matrices."""
    n = np.arange(x.shape[-1])
    return x[..., n, n]


def near_zero(gap: Any, largest: Any) -> Any:
    """Where differences are 0 but for rounding, as a boolean array."""
    gap, largest = [x._data if isinstance(x, TensorBase) else x for x in (gap, largest)]
    return np.absolute(gap) <= 8 * np.finfo(gap.dtype).eps * np.absolute(largest)


def _gaps(values: Any, own: Any, op: str, what: str, power: int = 1) -> Any:
    """λⱼ − λᵢ (or λⱼ² − λᵢ²), and 1 on the diagonal; a warning where two are equal."""
    columns, rows = np.expand_dims(values, -2), np.expand_dims(values, -1)
    gap = columns - rows
    plain = values._data if isinstance(values, TensorBase) else values
    largest = np.expand_dims(np.absolute(plain).max(-1, keepdims=True, initial=0), -1)
    if assured(np.any, near_zero(gap, largest) & ~own):
        warnings.warn(f"{op}: the gradient of {what}vectors is not defined where {what}values are equal",
                      RuntimeWarning, 3)  # fmt: skip
    return np.where(own, 1, gap if power == 1 else gap * (columns + rows))


# ------------------------------------------------------------------------------------------------- Cholesky and QR


def _cholesky_rule(g: Any, out: Any, upper: bool) -> Any:
    """L⁻ᵀ Φ(Lᵀ g) L⁻¹, symmetric; Φ takes the lower triangle and half of the diagonal."""
    if upper:
        g, out = adjoint(g), adjoint(out)
    half = np.tri(out.shape[-1], dtype=out.real.dtype)
    half.flat[:: out.shape[-1] + 1] = 0.5
    inverse = np.linalg.inv(out)
    inner = _symmetric(np.matmul(out.mT, g) * half)
    return np.matmul(np.matmul(inverse.mT, inner), conj(inverse))


@primitive(np.linalg.cholesky, x=_cholesky_rule)
def cholesky(x: Operand, upper: bool = False) -> Tensor:
    """The lower triangular L with x = L Lᵀ of a positive definite x (or the upper R, x = Rᵀ R).   (:func:`numpy.linalg.cholesky`)

    One triangle is read; the gradient is symmetric: ∂/∂x = L⁻ᵀ Φ(Lᵀ g) L⁻¹, symmetrised, Φ the lower triangle with half
    the diagonal.

    >>> import tinytensor as tt
    >>> tt.linalg.cholesky(tt.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return np.linalg.cholesky(x, upper=upper) if upper else np.linalg.cholesky(x)


def _qr_tall(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    """(ḡQ + Q sym(M)) R⁻ᵀ with M = R ḡRᵀ − ḡQᵀ Q, sym(M) its lower triangle mirrored."""
    m: Any = 0
    if gr is not None:
        m = np.matmul(r, gr.mT)
    if gq is not None:
        m = m - np.matmul(gq.mT, q)
    lower = np.tri(r.shape[-1], dtype=q.real.dtype)
    lower.flat[:: r.shape[-1] + 1] = 0.5
    m = m * lower
    back = np.matmul(conj(q), (m + adjoint(m)).mT)
    own = np.absolute(_diagonal(r._data if isinstance(r, TensorBase) else r))
    if assured(np.any, near_zero(own, own.max(-1, keepdims=True, initial=0))):
        raise np.linalg.LinAlgError(
            "qr: no gradient: Q and R are not differentiable where the first columns of x are linearly dependent"
        )
    return np.linalg.solve(r, (back if gq is None else gq + back).mT).mT


def _qr_rule(g: Any, out: Any, x_shape: Any) -> Any:
    """A wide x is [X | Q V] with X = Q U square: V = Qᵀ Y adds Y ḡVᵀ to ḡQ."""
    (gq, gr), (q, r) = g, out
    m, n = x_shape[-2:]
    if n == 0:
        return np.zeros(x_shape, q.dtype)
    if q.shape[-1] != min(m, n):
        raise ValueError(
            f"qr: mode='complete' has no gradient for shape {x_shape}: the last columns of Q are not determined by x; "
            "use mode='reduced'"
        )
    if m >= n:
        return _qr_tall(gq, gr, q, r)
    rest: Any = np.zeros((*x_shape[:-1], n - m), q.dtype)
    if gr is not None:
        gv, gr = gr[..., m:], gr[..., :m]
        rest = np.matmul(conj(q), gv)
        more = conj(np.matmul(np.matmul(q, r[..., m:]), gv.mT))
        gq = more if gq is None else gq + more
    return np.concatenate([_qr_tall(gq, gr, q, r[..., :m]), rest], -1)


@primitive(outputs=_QR, x=_qr_rule)
def _qr(x: Any, mode: str) -> Any:
    return np.linalg.qr(x, mode)


@composite(np.linalg.qr)
def qr(x: Operand, mode: Literal["reduced", "complete", "r"] = "reduced") -> Any:
    """Q with orthonormal columns and R upper triangular: x = Q R.   (:func:`numpy.linalg.qr`)

    mode: "reduced", "complete" (no gradient, if x has more rows than columns), "r" (R alone). The first columns of x
    must be linearly independent: ∂/∂x = (ḡQ + Q sym(M)) R⁻ᵀ, M = R ḡRᵀ − ḡQᵀ Q.

    >>> import tinytensor as tt
    >>> q, r = tt.linalg.qr(tt.tensor([[3.0, 0.0], [4.0, 5.0]]))
    >>> abs(r)
    tensor([[5., 4.],
            [0., 3.]])
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"qr: mode must be 'reduced', 'complete' or 'r' for tensors, got {mode!r}")
    return _qr(x, "reduced").R if mode == "r" else _qr(x, mode)


# ------------------------------------------------------------------------------------------- symmetric eigenproblems


def _eigh_rule(g: Any, out: Any) -> Any:
    """V (diag(ḡw) + (Vᵀ ḡV) / (wⱼ − wᵢ)) Vᵀ, symmetric, as the input is."""
    (gw, gv), (w, v) = g, out
    if gv is None:
        back = np.matmul(conj(v) * np.expand_dims(gw, -2), v.mT)
    else:
        own = np.eye(w.shape[-1], dtype=bool)
        inner = np.where(own, 0, np.matmul(v.mT, gv) / _gaps(w, own, "eigh", "eigen"))
        if gw is not None:
            inner = inner + np.expand_dims(gw, -1) * own
        back = np.matmul(np.matmul(conj(v), inner), v.mT)
    return _symmetric(back)


@primitive(np.linalg.eigh, outputs=_Eigh, x=_eigh_rule)
def eigh(x: Operand, UPLO: Literal["L", "U"] = "L") -> Any:
    """Eigenvalues w, ascending, and eigenvectors V of a symmetric matrix: x V = V diag(w).   (:func:`numpy.linalg.eigh`)

    One triangle is read, the lower or the upper; the gradient is symmetric: ∂w/∂x = v vᵀ,
    ∂/∂x = V ((Vᵀ ḡV) / (wⱼ − wᵢ)) Vᵀ. Equal eigenvalues have no derivative of V: a warning.

    >>> import tinytensor as tt
    >>> w, v = tt.eigh(tt.tensor([[2.0, 0.0], [0.0, 3.0]]))
    >>> w
    tensor([2., 3.])
    """
    return np.linalg.eigh(x, UPLO)


def _eigvalsh_rule(g: Any, x: Any, UPLO: str) -> Any:
    v = np.linalg.eigh(x, UPLO)[1]
    return _symmetric(np.matmul(conj(v) * np.expand_dims(g, -2), v.mT))


@primitive(np.linalg.eigvalsh, x=_eigvalsh_rule)
def eigvalsh(x: Operand, UPLO: Literal["L", "U"] = "L") -> Tensor:
    """Eigenvalues of a symmetric matrix, ascending.   ∂wᵢ/∂x = vᵢ vᵢᵀ   (:func:`numpy.linalg.eigvalsh`)

    >>> import tinytensor as tt
    >>> tt.linalg.eigvalsh(tt.tensor([[2.0, 1.0], [1.0, 2.0]]))
    tensor([1., 3.])
    """
    return np.linalg.eigvalsh(x, UPLO)


# --------------------------------------------------------------------------------------------- general eigenproblems


def _fixed_phase(gv: Any, v: Any) -> Any:
    """LAPACK turns a complex vector so that its largest component is real: ḡ less what only turns it."""
    plain = v._data if isinstance(v, TensorBase) else v
    if not plain.size:
        return gv
    real = np.absolute(plain) * (plain.imag == 0)
    at = np.arange(plain.shape[-2])[:, None] == np.expand_dims(real.argmax(-2), -2)
    turn = np.sum(gv * v, axis=-2, keepdims=True).imag
    return gv - np.where(at, 1j * turn / np.where(at, v, 1), 0)


def _eig_rule(g: Any, out: Any) -> Any:
    """V⁻ᵀ (diag(ḡw) + (Vᵀ ḡV − Vᵀ V diag(Vᵀ ḡV)) / (wⱼ − wᵢ)) Vᵀ; the middle term keeps the vectors' length 1."""
    (gw, gv), (w, v) = g, out
    if gv is None:
        return np.linalg.solve(v.mT, np.expand_dims(gw, -1) * v.mT)
    if v.dtype.kind == "c":
        gv = _fixed_phase(gv, v)
    own = np.eye(w.shape[-1], dtype=bool)
    inner = np.matmul(v.mT, gv)
    length = np.matmul(v.mT, conj(v)) * np.expand_dims(_diagonal(inner), -2)
    inner = np.where(own, 0, (inner - length) / _gaps(w, own, "eig", "eigen"))
    if gw is not None:
        inner = inner + np.expand_dims(gw, -1) * own
    return np.linalg.solve(v.mT, np.matmul(inner, v.mT))


@primitive(np.linalg.eig, outputs=_Eig, x=_eig_rule)
def eig(x: Operand) -> Any:
    """Eigenvalues w and eigenvectors V of length 1 of a square matrix: x V = V diag(w).   (:func:`numpy.linalg.eig`)

    ∂w/∂x = (V⁻ᵀ)ᵢ vᵢᵀ. Complex results of a real x have a gradient too. Equal eigenvalues have no derivative of V: a
    warning.

    >>> import tinytensor as tt
    >>> w, v = tt.linalg.eig(tt.tensor([[2.0, 1.0], [0.0, 3.0]]))
    >>> w
    tensor([2., 3.])
    """
    return settled(np.linalg.eig(x))


@composite(np.linalg.eigvals)
def eigvals(x: Operand) -> Tensor:
    """Eigenvalues of a square matrix, those of :func:`eig`.   ∂w/∂x = (V⁻ᵀ)ᵢ vᵢᵀ   (:func:`numpy.linalg.eigvals`)

    >>> import tinytensor as tt
    >>> tt.linalg.eigvals(tt.tensor([[2.0, 1.0], [0.0, 3.0]]))
    tensor([2., 3.])
    """
    values: Tensor = eig(x).eigenvalues
    return values


# ------------------------------------------------------------------------------------------------- singular values


def _svd_rule(g: Any, out: Any, x_shape: Any) -> Any:
    """U (skew(Uᵀ ḡU)/E S − S skew(ḡVᵀ V)/E + diag(ḡs)) Vᵀ, E = sⱼ² − sᵢ², and what leaves the spans of U and V."""
    gu, gs, gvh = g
    u, s, vh = out
    k = s.shape[-1]
    if u.shape[-1] != k or vh.shape[-2] != k:
        gu, gvh = _first(gu, k, -1, x_shape), _first(gvh, k, -2, x_shape)
        u, vh = u[..., :k], vh[..., :k, :]
    uc, vc = conj(u), conj(vh)
    row = np.expand_dims(s, -2)
    if gu is None and gvh is None:
        return np.matmul(uc * np.expand_dims(gs, -2), vc)
    own = np.eye(k, dtype=bool)
    gap = _gaps(s, own, "svd", "singular ", 2)
    inner: Any = 0 if gs is None else np.expand_dims(gs, -1) * own
    if gu is not None:
        p = np.matmul(u.mT, gu)
        inner = inner + np.where(own, 0, (p - adjoint(p)) / gap) * row
        if u.dtype.kind == "c":  # the phases of u and v turn together; x determines their difference
            inner = inner + np.expand_dims(1j * _diagonal(p).imag / s, -1) * own
    if gvh is not None:
        p = np.matmul(gvh, vh.mT)
        inner = inner - np.expand_dims(s, -1) * np.where(own, 0, (p - adjoint(p)) / gap)
    back = np.matmul(np.matmul(uc, inner), vc)
    if gu is not None and x_shape[-2] > k:
        part = gu / row
        back = back + np.matmul(part - np.matmul(uc, np.matmul(u.mT, part)), vc)
    if gvh is not None and x_shape[-1] > k:
        part = gvh / np.expand_dims(s, -1)
        back = back + np.matmul(uc, part - np.matmul(np.matmul(part, vh.mT), vc))
    return back


def _first(g: Any, k: int, axis: int, x_shape: Any) -> Any:
    """The cotangent of the first k singular vectors; the others are not determined by x."""
    if g is None:
        return None
    rest = g[..., k:] if axis == -1 else g[..., k:, :]
    if assured(np.any, (rest._data if isinstance(rest, TensorBase) else rest) != 0):
        raise ValueError(
            f"svd: full_matrices=True has no gradient of the last singular vectors of shape {x_shape}: they are not "
            "determined by x; use full_matrices=False"
        )
    return g[..., :k] if axis == -1 else g[..., :k, :]


@primitive(outputs=_SVD, x=_svd_rule)
def _svd(x: Any, full_matrices: bool) -> Any:
    return np.linalg.svd(x, full_matrices)


@composite(np.linalg.svd)
def svd(x: Operand, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """U, s, Vᵀ with x = U diag(s) Vᵀ, s descending.   ∂sᵢ/∂x = uᵢ vᵢᵀ   (:func:`numpy.linalg.svd`)

    ``full_matrices=True`` of a matrix that is not square has no gradient of the vectors that x does not determine.
    Equal singular values have no derivative of U and V: a warning. ``hermitian`` is not taken for tensors.

    >>> import tinytensor as tt
    >>> u, s, vh = tt.linalg.svd(tt.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]), full_matrices=False)
    >>> s
    tensor([4., 3.])
    """
    if hermitian:
        raise TypeError("svd: hermitian=True is not supported for tensors; use tt.linalg.eigh")
    return _svd(x, bool(full_matrices)) if compute_uv else svdvals(x)


def _svdvals_rule(g: Any, x: Any) -> Any:
    u, _, vh = _svd(x, False)
    return np.matmul(conj(u) * np.expand_dims(g, -2), conj(vh))


@primitive(np.linalg.svdvals, x=_svdvals_rule)
def svdvals(x: Operand) -> Tensor:
    """Singular values, descending.   ∂sᵢ/∂x = uᵢ vᵢᵀ   (:func:`numpy.linalg.svdvals`)

    >>> import tinytensor as tt
    >>> tt.linalg.svdvals(tt.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor([4., 3.])
    """
    return np.linalg.svd(x, compute_uv=False)
