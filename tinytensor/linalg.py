"""Linear algebra under NumPy's and SciPy's names: ``tt.linalg.inv`` is ``numpy.linalg.inv`` with gradients.

Where NumPy and SciPy both have a function, it is NumPy's. Those of SciPy alone need SciPy when they are called, and are
reached by these names only: SciPy's own functions do not hand tensors over.
"""

from __future__ import annotations

from tinytensor.ops.contraction import tensordot
from tinytensor.ops.decompositions import cholesky, eig, eigh, eigvals, eigvalsh, qr, svd, svdvals
from tinytensor.ops.factored import (
    cho_factor,
    cho_solve,
    lu,
    lu_factor,
    lu_solve,
    solve_banded,
    solve_continuous_lyapunov,
    solve_discrete_lyapunov,
    solve_sylvester,
    solve_triangular,
)
from tinytensor.ops.linalg import cross, matmul, outer, vecdot
from tinytensor.ops.matrix_functions import (
    block_diag,
    circulant,
    cosm,
    expm,
    expm_frechet,
    hankel,
    logm,
    sinm,
    sqrtm,
    toeplitz,
)
from tinytensor.ops.norms import (
    cond,
    matrix_norm,
    matrix_rank,
    matrix_transpose,
    norm,
    vector_norm,
)
from tinytensor.ops.norms import matrix_diagonal as diagonal
from tinytensor.ops.norms import matrix_trace as trace
from tinytensor.ops.solving import (
    det,
    inv,
    lstsq,
    matrix_power,
    multi_dot,
    pinv,
    slogdet,
    solve,
    tensorinv,
    tensorsolve,
)

__all__ = [
    "block_diag", "cho_factor", "cho_solve", "cholesky", "circulant", "cond", "cosm", "cross", "det", "diagonal", "eig", "eigh",
    "eigvals", "eigvalsh", "expm", "expm_frechet", "hankel", "inv", "logm", "lstsq", "lu", "lu_factor", "lu_solve",
    "matmul", "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv",
    "qr", "sinm", "slogdet", "solve", "solve_banded", "solve_continuous_lyapunov", "solve_discrete_lyapunov",
    "solve_sylvester", "solve_triangular", "sqrtm", "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve",
    "toeplitz", "trace", "vecdot", "vector_norm",
]  # fmt: skip
