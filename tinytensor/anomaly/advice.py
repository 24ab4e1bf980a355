"""What to write instead of an operation that made a NaN or an infinity: a table, by the operation's name."""

from __future__ import annotations

__all__ = ["advice"]

_LOG = (
    "a logarithm is -inf at 0 and nan below. np.log1p(x) for log(1 + x); tt.log_softmax, tt.logsumexp for the log of a "
    "softmax or of a sum of exponentials; np.log(np.clip(x, 1e-12, None)); in a branch, np.log(np.where(x > 0, x, 1.0))"
)
_ROOT = (
    "the slope of a root is infinite at 0, and below 0 it is nan. np.sqrt(x + 1e-12); np.hypot or np.linalg.norm, whose "
    "gradient at 0 is 0; in a branch, np.sqrt(np.where(x > 0, x, 1.0))"
)
_DIVIDE = (
    "a divisor is 0 (or so small that the quotient overflows). x / (y + 1e-12), or x / np.where(y == 0, 1.0, y) with a "
    "np.where around it for the value wanted there"
)
_EXP = (
    "exponentials overflow above 88.7 in float32, 709.8 in float64. tt.softmax, tt.logsumexp, tt.sigmoid, tt.softplus "
    "are safe forms; np.expm1(x) for exp(x) - 1; or np.exp(np.clip(x, None, 80.0))"
)
_POWER = (
    "0 to a negative power is infinite, a negative number to a fractional power is nan, and large powers overflow. "
    "np.abs(x) ** p, (x + 1e-12) ** p, or np.clip(x, lo, hi) ** p"
)
_DOMAIN = "the argument lies outside of the function's domain, or on its edge. Hold it inside: np.clip(x, lo, hi)"
_BIG = (
    "the numbers have grown too large for {dtype}. A smaller learning rate or initialisation, clipped gradients, "
    "normalised inputs, a mean instead of a sum, or float64"
)
_INF = "an infinite operand meets 0 or another infinity: look for it in the operands above, and hold it finite there"
_ROW = (
    "a row in which everything is masked (-inf) has no softmax: leave such rows out, or mask with a large finite number"
)
_SINGULAR = "the matrix is singular, or nearly: add 1e-6 * np.eye(n), or use np.linalg.pinv or np.linalg.lstsq"
_ROOTS = (
    "eigenvalues or singular values coincide, so their vectors have no derivative: use the values alone, or perturb"
)

_TABLE = {
    **dict.fromkeys(("log", "log2", "log10", "log1p", "xlogy", "xlog1py", "entr", "logit", "gammaln"), _LOG),
    **dict.fromkeys(("sqrt", "cbrt", "std", "norm"), _ROOT),
    **dict.fromkeys(("divide", "reciprocal", "true_divide", "mean", "average", "remainder", "fmod"), _DIVIDE),
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh", "logaddexp"), _EXP),
    **dict.fromkeys(("power", "float_power", "prod", "cumprod"), _POWER),
    **dict.fromkeys(("arcsin", "arccos", "arccosh", "arctanh", "erfinv", "ndtri", "digamma"), _DOMAIN),
    **dict.fromkeys(("softmax", "log_softmax", "logsumexp"), _ROW),
    **dict.fromkeys(("inv", "solve", "det", "slogdet", "cholesky", "matrix_power"), _SINGULAR),
    **dict.fromkeys(("eigh", "eig", "eigvalsh", "svd", "qr"), _ROOTS),
}
_SUMS = ("add", "subtract", "sum", "cumsum", "multiply", "matmul", "dot", "linear", "einsum", "tensordot")


def advice(op: str, dtype: object, infinite_operand: bool = False) -> str:
    """One sentence on what to write instead."""
    found = _TABLE.get(op)
    if infinite_operand and (found is None or op in _SUMS):
        return _INF
    return found or _BIG.format(dtype=dtype)
