"""Linear algebra where its derivatives are delicate: singular matrices, equal eigenvalues, complex matrices, zero norms."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.testing import check_grads

L = np.linalg
RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((3, 3)), RNG.standard_normal((2, 3, 3))
TALL, WIDE = RNG.standard_normal((4, 2)), RNG.standard_normal((2, 4))


def gradient(f, *arrays):
    leaves = [tt.tensor(a, requires_grad=True) for a in arrays]
    f(*leaves).backward()
    return leaves[0].grad if len(leaves) == 1 else [leaf.grad for leaf in leaves]


# -------------------------------------------------------------------------------------------------- singular matrices


@pytest.mark.parametrize(
    "x",
    [
        np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]),  # rank 2, det 6.7e-16
        np.outer([1.0, 2.0, 3.0], [1.0, 1.0, 2.0]),  # rank 1: the cofactors are 0, their derivatives are not
        np.diag([1.0, 1.0, 0.0]),
        np.zeros((2, 2)),
        np.zeros((3, 3)),
        np.stack([np.eye(3), np.diag([1.0, 0.0, 0.0])]),
    ],
    ids=["rank 2", "rank 1", "equal singular values", "zero 2x2", "zero 3x3", "one of a stack"],
)
def test_det_of_a_singular_matrix(x):
    check_grads(L.det, x)


def test_det_of_a_singular_matrix_is_the_adjugate():
    x = np.array([[1.0, 2.0], [2.0, 4.0]])
    np.testing.assert_allclose(gradient(L.det, x), [[4, -2], [-2, 1]], atol=1e-14)


def test_third_derivatives_of_det():
    def second(x):
        return tt.grad(lambda y: (tt.grad(L.det)(y) * A).sum())(x)

    check_grads(second, A + 2 * np.eye(3), order=1)
    check_grads(lambda x: L.det(x) ** 2, A, order=3)
    with pytest.raises(L.LinAlgError, match="no third derivative at a singular matrix"):
        tt.grad(lambda x: (second(x) * A).sum())(np.diag([1.0, 1.0, 0.0]))


def test_logdet_of_a_singular_matrix_is_infinite():
    g = gradient(lambda x: L.slogdet(x).logabsdet, np.diag([1.0, 0.0]))
    assert g.tolist() == [[0, 0], [0, np.inf]]
    assert gradient(lambda x: L.slogdet(x).sign, np.eye(2)).tolist() == [[0, 0], [0, 0]]


def test_linear_systems_without_a_solution_say_so():
    for f in (L.inv, lambda x: L.solve(x, np.ones(2))):
        with pytest.raises(L.LinAlgError, match="Singular"):
            f(tt.zeros((2, 2)))


# ------------------------------------------------------------------------------------------------ equal eigenvalues


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("eigen", lambda x: L.eigh(x).eigenvectors),
        ("eigen", lambda x: L.eig(x).eigenvectors),
        ("singular ", lambda x: L.svd(x).U),
        ("singular ", lambda x: L.svd(x).Vh),
    ],
    ids=["eigh", "eig", "svd U", "svd Vh"],
)
def test_vectors_of_equal_values_warn(name, f):
    with pytest.warns(RuntimeWarning, match=f"{name}vectors is not defined where {name}values are equal"):
        gradient(lambda x: f(x).sum(), np.eye(3))


@pytest.mark.parametrize(
    "f", [L.eigvalsh, L.eigvals, L.svdvals, lambda x: L.eigh(x)[0], lambda x: L.eig(x)[0], lambda x: L.svd(x)[1]]
)
def test_equal_values_themselves_have_a_gradient(f):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(gradient(lambda x: f(x).sum(), 2 * np.eye(3)), np.eye(3))


def test_values_that_differ_by_rounding_count_as_equal():
    with pytest.warns(RuntimeWarning, match="equal"):
        gradient(lambda x: L.eigh(x)[1].sum(), np.diag([1.0, 1.0 + 2e-16]))


def test_eigenvalues_of_a_rotation():
    """A complex spectrum of a real matrix: the gradient of |λ|² = det is real."""
    x = np.array([[1.0, -2.0], [2.0, 1.5]])
    g = gradient(lambda t: (np.abs(L.eigvals(t)) ** 2).sum(), x)
    np.testing.assert_allclose(g, 2 * L.det(x) * L.inv(x).T)


def test_complex_eigenvectors_have_lapacks_phase():
    """Also of functions that the phase of a vector changes: NumPy's own vectors, differentiated."""

    def f(x):
        v = L.eig(x)[1]
        return np.stack([v.real, v.imag])

    check_grads(f, np.array([[1.0, -2.0, 0.3], [2.0, 1.5, 0.1], [0.2, 0.4, 3.0]]), order=1)


# ------------------------------------------------------------------------------------------------------ factorisations


def test_columns_that_x_does_not_determine():
    full = L.svd(tt.tensor(TALL, requires_grad=True))
    assert full.U.shape == (4, 4)
    with pytest.raises(ValueError, match="full_matrices=False"):
        full.U.sum().backward()
    check_grads(lambda x: L.svd(x).U[:, :2], TALL)
    with pytest.raises(ValueError, match="mode='reduced'"):
        L.qr(tt.tensor(TALL, requires_grad=True), "complete").R.sum().backward()


def test_dependent_columns_have_no_qr():
    with pytest.raises(L.LinAlgError, match="linearly dependent"):
        gradient(lambda x: L.qr(x).R.sum(), np.ones((3, 2)))


def test_one_triangle_is_read_and_the_gradient_is_symmetric():
    x = A @ A.T + np.eye(3)
    spoiled = np.tril(x) + 7 * np.triu(np.ones((3, 3)), 1)
    for f in (L.cholesky, L.eigvalsh, lambda x: L.eigh(x)[0], lambda x: L.eigh(x)[1] ** 2):
        g = gradient(lambda t, f=f: (f(t) * A[0]).sum(), spoiled)
        np.testing.assert_allclose(g, g.T)
        np.testing.assert_allclose(g, gradient(lambda t, f=f: (f(t) * A[0]).sum(), x))
    np.testing.assert_array_equal(L.cholesky(tt.tensor(x), upper=True).data, L.cholesky(x, upper=True))


def test_results_have_numpys_types():
    x = A @ A.T + np.eye(3)
    for f in (L.eigh, L.eig, L.svd, L.qr, L.slogdet):
        assert type(f(tt.tensor(x))) is type(f(x)) is type(getattr(tt.linalg, f.__name__)(x))


def test_least_squares_of_a_matrix_without_full_rank():
    """The shortest solution among matrices of the same rank: x = U Vᵀ."""
    u, v, y = RNG.standard_normal((4, 2)), RNG.standard_normal((2, 3)), RNG.standard_normal(4)
    check_grads(lambda u, v, y: L.lstsq(u @ v, y)[0], u, v, y)
    check_grads(lambda u, v: L.pinv(u @ v, rcond=1e-10), u, v)
    solution, residuals, rank, values = L.lstsq(tt.tensor(u @ v, requires_grad=True), y)
    assert (solution.shape, residuals.shape, rank.item(), values.shape) == ((3,), (0,), 2, (3,))
    assert not rank.requires_grad


# --------------------------------------------------------------------------------------------------------------- norms


@pytest.mark.parametrize("order", [None, 1, 2, 3, 2.5, 1.5, np.inf, -np.inf, 0])
def test_norms_of_zero_have_gradient_zero(order):
    assert gradient(lambda x: L.norm(x, order), np.zeros(3)).tolist() == [0, 0, 0]
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    g = gradient(lambda x: L.norm(x, order, axis=1).sum(), rows)
    assert np.isfinite(g).all()
    assert g[0].tolist() == [0, 0]


@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_matrix_norms_of_zero_have_gradient_zero(order):
    assert gradient(lambda x: L.norm(x, order), np.zeros((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_ties_of_norms_are_shared_evenly():
    assert gradient(lambda x: L.norm(x, np.inf), np.array([-2.0, 1.0, 2.0])).tolist() == [-0.5, 0, 0.5]
    assert gradient(lambda x: L.norm(x, 1), np.array([[1.0, -1.0], [1.0, 1.0]])).tolist() == [[0.5, -0.5], [0.5, 0.5]]
    np.testing.assert_allclose(gradient(lambda x: L.norm(x, 2), 3 * np.eye(2)), np.eye(2) / 2)


def test_a_norm_that_is_not_taken_stays_zero():
    f = lambda x: np.where(np.array([True, False]), L.norm(x, axis=1), 0.0).sum()  # noqa: E731
    np.testing.assert_allclose(gradient(f, np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0, 0]])


# -------------------------------------------------------------------------------------------------------------- complex

COMPLEX = {
    "inv": lambda m, x: m.linalg.inv(x),
    "solve": lambda m, x: m.linalg.solve(x, x[:, :2] * 1j),
    "pinv": lambda m, x: m.linalg.pinv(x[:2]),
    "pinv of a tall one": lambda m, x: m.linalg.pinv(x[:, :2]),
    "det": lambda m, x: m.linalg.det(x),
    "slogdet": lambda m, x: tuple(m.linalg.slogdet(x)),
    "cholesky": lambda m, x: m.linalg.cholesky(x @ x.conj().mT + 2 * _eye(m)),
    "qr": lambda m, x: m.linalg.qr(x)[1],
    "eigh": lambda m, x: m.linalg.eigh(x + x.conj().mT)[0],
    "eigh vectors": lambda m, x: abs(m.linalg.eigh(x + x.conj().mT)[1]) ** 2,
    "eigvalsh": lambda m, x: m.linalg.eigvalsh(x + x.conj().mT),
    "eigvals": lambda m, x: m.linalg.eigvals(x),
    "eig vectors": lambda m, x: abs(m.linalg.eig(x)[1]) ** 2,
    "svd": lambda m, x: m.linalg.svd(x[:2], full_matrices=False)[1],
    "svd vectors": lambda m, x: [abs(z) ** 2 for z in m.linalg.svd(x, full_matrices=False)],
    "svd of a tall one": lambda m, x: (lambda u, s, vh: u @ vh)(*m.linalg.svd(x[:, :2], full_matrices=False)),
    "svdvals": lambda m, x: m.linalg.svdvals(x),
    "norm": lambda m, x: m.linalg.norm(x),
    "norm 3": lambda m, x: m.linalg.vector_norm(x, ord=3),
    "norm 1": lambda m, x: m.linalg.vector_norm(x, ord=1),
    "nuc": lambda m, x: m.linalg.matrix_norm(x, ord="nuc"),
    "norm inf": lambda m, x: m.linalg.matrix_norm(x, ord=float("inf")),
}


def _eye(m):
    return np.eye(3) if m is np else m.eye(3, dtype=m.complex128)


@pytest.mark.peers
@pytest.mark.parametrize("name", COMPLEX)
def test_complex_matrices_against_pytorch(name):
    torch = pytest.importorskip("torch")
    x = A + 1j * RNG.standard_normal((3, 3)) + np.diag([1.0, 2.0, 4.0])

    def total(m, outs):
        outs = outs if isinstance(outs, (tuple, list)) else (outs,)
        parts = [
            (m.abs(z - (0.3 + 0.2j)) ** 2).sum() if "complex" in str(z.dtype) else (z**2).sum() for z in outs
        ]  # not holomorphic, so that both parts of every gradient count
        return sum(parts[1:], start=parts[0])

    theirs = torch.tensor(x, requires_grad=True)
    total(torch, COMPLEX[name](torch, theirs)).backward()
    leaf = tt.tensor(x, requires_grad=True)
    total(np, COMPLEX[name](np, leaf)).backward()
    np.testing.assert_allclose(leaf.grad, theirs.grad.numpy(), rtol=1e-8, atol=1e-10)


# ------------------------------------------------------------------------------------------------- SciPy, and refusals


def test_roots_and_logarithms_at_the_identity():
    for f in (tt.linalg.sqrtm, tt.linalg.logm):
        check_grads(f, np.eye(2))


def test_third_derivatives_of_the_exponential():
    check_grads(tt.linalg.expm, A[:2, :2], order=3)


def test_one_vector_against_a_stack_of_matrices():
    triangles = np.tril(B) + 3 * np.eye(3)
    check_grads(lambda a, y: tt.linalg.solve_triangular(a, y, lower=True), triangles, A[0])
    check_grads(L.solve, B, A[0])


def test_scipy_is_needed_for_its_own_functions_only():
    code = """
import sys
sys.modules["scipy"] = None
import numpy as np, tinytensor as tt
print(tt.linalg.inv(tt.eye(2)).shape, tt.linalg.toeplitz(tt.ones(2)).shape)
try:
    tt.linalg.expm(tt.eye(2))
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "(2, 2) (2, 2)",
        "tt.linalg.expm needs SciPy: pip install 'tinytensor[scipy]'",
    ], done.stderr


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: L.svd(x, hermitian=True), TypeError, "tt.linalg.eigh"),
        (lambda x: L.qr(x, "raw"), ValueError, "'reduced', 'complete' or 'r'"),
        (lambda x: L.matrix_power(x, 0.5), TypeError, "tt.linalg.expm"),
        (lambda x: L.matrix_power(x[:2], 2), L.LinAlgError, "square"),
        (lambda x: L.multi_dot([x]), ValueError, "at least two"),
        (lambda x: L.multi_dot([x, x[0], x]), L.LinAlgError, "expected matrices"),
        (lambda x: L.tensorinv(x, ind=0), ValueError, "ind must be positive"),
        (lambda x: L.tensorsolve(x[:2], x[0]), L.LinAlgError, "not square"),
        (lambda x: L.norm(x, axis=None, out=1), TypeError, "out"),
        (lambda x: np.trace(x, dtype=np.float32), TypeError, "astype"),
        (lambda x: tt.linalg.toeplitz(x), ValueError, "expected a vector"),
        (lambda x: tt.linalg.solve_triangular(x, x, overwrite_b=True), TypeError, "overwrite_b"),
        (lambda x: tt.linalg.lu_factor(x[:2])[0].sum().backward(), ValueError, "square matrices"),
        (lambda x: tt.linalg.lu(x[:2])[1].sum().backward(), ValueError, "square matrices"),
    ],
)
def test_refusals(call, error, words):
    with pytest.raises(error, match=words):
        call(tt.tensor(A, requires_grad=True))


def test_ranks_and_permutations_are_constants():
    x = tt.tensor(A, requires_grad=True)
    assert L.matrix_rank(x).item() == tt.linalg.matrix_rank(A, rtol=1e-9) == 3
    assert not L.matrix_rank(x).requires_grad
    assert tt.linalg.lu_factor(x)[1].dtype.kind == "i"
    assert not tt.linalg.lu_factor(x)[1].requires_grad


# ------------------------------------------------------------------------------------------- SciPy's, where it is delicate


def real_loss(f, *arrays):
    """Σ Re(w f): a real loss of complex matrices."""
    shape = f(*arrays).shape
    w = np.random.default_rng(7).standard_normal((2, *shape))
    return lambda *xs: np.sum(np.real(f(*xs) * (w[0] + 1j * w[1])))


def complex_matrices(*shapes):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(s) + 1j * rng.standard_normal(s) + (3 * np.eye(s[-1]) if s[-2:] == (3, 3) else 0) for s in shapes]  # fmt: skip


def _cho_solve(x, y, lower):
    return tt.linalg.cho_solve(tt.linalg.cho_factor(np.matmul(x, np.conj(x.mT)), lower), y)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: tt.linalg.solve_triangular(x, y, "C"),
        lambda x, y: tt.linalg.solve_triangular(x, y, 2, lower=True, unit_diagonal=True),
        lambda x, y: _cho_solve(x, y, False),
        lambda x, y: _cho_solve(x, y, True),
        lambda x, y: tt.linalg.lu_solve(tt.linalg.lu_factor(x), y, 2),
        lambda x, y: tt.linalg.solve_continuous_lyapunov(x, np.matmul(y, np.conj(y.mT))),
        lambda x, y: tt.linalg.solve_discrete_lyapunov(x, np.matmul(y, np.conj(y.mT))),
    ],
)
def test_systems_of_complex_matrices(f):
    x, y = complex_matrices((2, 3, 3), (3, 2))
    loss = real_loss(f, x, y)
    parts = x.real, x.imag, y.real, y.imag
    check_grads(lambda a, b, c, d: loss(a + 1j * b, c + 1j * d), *[np.ascontiguousarray(p) for p in parts], order=2)


def test_sylvester_broadcasts():
    x, y, q = (
        RNG.standard_normal((2, 1, 3, 3)) + 3 * np.eye(3),
        RNG.standard_normal((2, 2)) + 3 * np.eye(2),
        np.ones((3, 2)),
    )
    check_grads(tt.linalg.solve_sylvester, x, y, q, order=2)


@pytest.mark.parametrize("f", [tt.linalg.sqrtm, lambda x: tt.linalg.lu(x)[2], lambda x: np.linalg.eig(x)[1]])
@pytest.mark.parametrize("shape", [(0, 3, 3), (0, 0)])
def test_empty_stacks_of_matrices(f, shape):
    for kind in (float, complex):
        x = np.zeros(shape, kind)
        assert tt.grad(lambda x: np.sum(np.real(f(x))))(x).shape == shape


def test_logm_of_a_matrix_with_a_negative_eigenvalue():
    """The blocks of the second derivative have it twice: rounding must not put one on each side of the cut."""
    x = np.array([[-2.0, 1, 0], [0, 1, 2], [1, 0, 3]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_grads(real_loss(tt.linalg.logm, x), x, order=2)
