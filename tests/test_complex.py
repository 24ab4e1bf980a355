"""Complex numbers: every rule against differences over real and imaginary parts, and against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.catalogue import FAMILIES, Entry
from tinytensor.testing import check_grads
from tinytensor.testing.gradcheck import leaves_of, weights_for

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

RNG = np.random.default_rng(5)


def draw(*shape: int) -> Any:
    """Complex numbers around the unit circle, away from the axes and from each other."""
    radius = RNG.uniform(0.5, 1.6, shape)
    return radius * np.exp(1j * (RNG.uniform(0.15, 1.4, shape) + np.pi / 2 * RNG.integers(0, 4, shape)))


#: name, function of (module, z, w), shapes of z and w, whether PyTorch has it under the same name
ELEMENTWISE = {
    "add": lambda m, z, w: z + w,
    "subtract": lambda m, z, w: z - w,
    "multiply": lambda m, z, w: z * w,
    "divide": lambda m, z, w: z / w,
    "power": lambda m, z, w: z**w,
    "power 2": lambda m, z, w: z**2,
    "power 3": lambda m, z, w: z**3,
    "power -1": lambda m, z, w: z**-1,
    "power 0.5": lambda m, z, w: z**0.5,
    "power 1": lambda m, z, w: z**1 * w,
    "power of 2": lambda m, z, w: 2.0**z,
    "negative": lambda m, z, w: -z,
    "positive": lambda m, z, w: +z,
    "reciprocal": lambda m, z, w: m.reciprocal(z),
    "square": lambda m, z, w: m.square(z),
    "sqrt": lambda m, z, w: m.sqrt(z),
    "exp": lambda m, z, w: m.exp(z),
    "log": lambda m, z, w: m.log(z),
    "sin": lambda m, z, w: m.sin(z),
    "cos": lambda m, z, w: m.cos(z),
    "tanh": lambda m, z, w: m.tanh(z),
    "abs": lambda m, z, w: abs(z),
    "abs twice": lambda m, z, w: abs(z * abs(w)),
    "real": lambda m, z, w: z.real * w,
    "imag": lambda m, z, w: z.imag * w,
    "real, function": lambda m, z, w: m.real(z) * m.imag(z),
    "conj": lambda m, z, w: m.conj(z) * w,
    "conj, method": lambda m, z, w: z.conj() * z,
    "angle": lambda m, z, w: m.angle(z),
    "where": lambda m, z, w: m.where(np.array([True, False, True]), z, w),
    "real where": lambda m, z, w: m.where(np.array([True, False, True]), z.real, w),
}  # fmt: skip
IN_PYTORCH_SGN = {"sign": lambda m, z, w: (m.sgn if m.__name__ == "torch" else m.sign)(z)}
ARC = "tan sinh cosh arcsin arccos arctan arcsinh arccosh arctanh log1p expm1 log2 log10 exp2 sinc cumprod".split()

SHAPED = {
    "sum": (lambda m, z: m.sum(z, 0), (2, 3)),
    "mean": (lambda m, z: m.mean(z, 1), (2, 3)),
    "prod": (lambda m, z: m.prod(z, 1), (2, 3)),
    "cumsum": (lambda m, z: m.cumsum(z, 1), (2, 3)),
    "reshape": (lambda m, z: m.reshape(z, (3, 2)), (2, 3)),
    "transpose": (lambda m, z: z.T, (2, 3)),
    "index": (lambda m, z: z[np.array([0, 0, 1])], (2, 3)),
    "slice": (lambda m, z: z[:, 1:], (2, 3)),
    "broadcast_to": (lambda m, z: m.broadcast_to(z, (2, 2, 3)), (2, 3)),
    "einsum": (lambda m, z: m.einsum("ij,kj->ik", z, z), (2, 3)),
    "matmul": (lambda m, z: m.matmul(z, z.conj().T), (2, 3)),
    "outer": (lambda m, z: m.outer(z, z.conj()), (3,)),
    "inner": (lambda m, z: m.inner(z, z), (2, 3)),
    "kron": (lambda m, z: m.kron(z, z), (2, 3)),
    "tensordot": (lambda m, z: m.tensordot(z, z, 1), (3, 3)),
    "vdot": (lambda m, z: m.vdot(z, z * z), (3,)),
}


def pair(f: Any) -> Any:
    """f of complex arguments as a function of their real and imaginary parts."""

    def g(*parts: Any) -> Any:
        out = f(*[a + 1j * b for a, b in zip(parts[::2], parts[1::2], strict=True)])
        return tt.real(out), tt.imag(out)

    return g


def split(*arrays: Any) -> list[Any]:
    return [part for z in arrays for part in (z.real.copy(), z.imag.copy())]


def loss(m: Any, out: Any, make: Any) -> Any:
    """A real number that depends on both parts."""
    shape = tuple(out.shape)
    total = (m.real(out) * make(weights_for(0, shape))).sum()
    if "complex" in str(out.dtype):
        total = total + (m.imag(out) * make(weights_for(1, shape))).sum()
    return total


@pytest.mark.parametrize("name", [*ELEMENTWISE, *IN_PYTORCH_SGN])
def test_elementwise(name: str) -> None:
    f = (ELEMENTWISE | IN_PYTORCH_SGN)[name]
    check_grads(pair(lambda z, w: f(tt, z, w)), *split(draw(3), draw(3)))


@pytest.mark.parametrize("name", ARC)
def test_other_holomorphic_functions(name: str) -> None:
    """Those that NumPy has for complex numbers, in all four quadrants, inside and outside the unit circle."""
    f = getattr(np, name)
    try:
        f(np.array([1j]))
    except TypeError:
        pytest.skip("not for complex numbers")
    check_grads(pair(f), *split(np.array([0.6 + 0.5j, -0.7 + 0.4j, -0.5 - 0.9j, 1.3 - 0.6j])))


@pytest.mark.parametrize("name", SHAPED)
def test_shapes_and_products(name: str) -> None:
    f, shape = SHAPED[name]
    check_grads(pair(lambda z: f(tt, z)), *split(draw(*shape)))


@pytest.mark.parametrize("name", ["var", "std"])
@pytest.mark.parametrize("options", [{}, {"axis": 1}, {"axis": 0, "ddof": 1, "keepdims": True}])
def test_spread_of_complex_numbers(name: str, options: Any) -> None:
    check_grads(pair(lambda z: getattr(np, name)(z, **options)), *split(draw(2, 3)))


@pytest.mark.parametrize("name", ["vdot", "vecdot", "vecmat", "matvec", "dot", "inner", "cross", "kron", "matmul"])
def test_products_of_two(name: str) -> None:
    shapes = {"vecmat": ((3,), (3, 2)), "matvec": ((2, 3), (3,))}.get(name, ((3,), (3,)))
    z, w = draw(*shapes[0]), draw(*shapes[1])
    if hasattr(np, name):
        np.testing.assert_allclose(
            getattr(tt, name)(tt.tensor(z), tt.tensor(w)).data, getattr(np, name)(z, w), rtol=1e-14
        )
    f = getattr(tt, name)
    check_grads(pair(lambda a, b: f(a, b)), *split(z, w))
    check_grads(lambda x, a, b: pair(lambda z: f(x, z))(a, b), np.ones(shapes[0]), *split(w))  # real and complex


@pytest.mark.parametrize("name", ["fft", "ifft", "hfft", "irfft", "fft2", "irfft2"])
def test_transforms(name: str) -> None:
    f = getattr(np.fft, name)
    check_grads(pair(f), *split(draw(3, 4)))


# ---------------------------------------------------------------------------------------------------- everything else

#: Functions of the catalogue whose calls there symmetrise their input (a Hermitian one is in the list below), or whose
#: results carry phases that LAPACK chooses.
HERMITIAN = {
    "np.linalg.cholesky", "np.linalg.eigh", "np.linalg.eigvalsh", "np.linalg.pinv", "np.linalg.svd", "np.linalg.qr",
    "scipy.linalg.cho_factor", "scipy.linalg.cho_solve",
}  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [e for family in FAMILIES.values() for e in family if e.order and e.name not in HERMITIAN],
    ids=lambda e: e.name,
)
def test_whatever_takes_complex_numbers_is_right(entry: Entry) -> None:
    """Every call of the catalogue with an imaginary part added: a right gradient, or an error."""
    rng = np.random.default_rng(0)
    for case in entry.cases:
        arrays = case.inputs(case.shapes[0], entry.domain)
        if sum(a.size for a in arrays) > 30:
            continue
        parts = [p for a in arrays for p in (a, rng.choice([-1.0, 1.0], a.shape) * rng.uniform(0.2, 0.6, a.shape))]

        def f(*parts: Any, case: Any = case) -> Any:
            outs = case.f(tt, *[a + 1j * b for a, b in zip(parts[::2], parts[1::2], strict=True)])
            outs = [o for o in leaves_of(outs) if o.dtype.kind in "fc"]
            return [p for o in outs for p in (tt.real(o), tt.imag(o))]

        try:
            if not f(*map(tt.tensor, parts)):
                continue
            check_grads(f, *parts, order=1)
        except (TypeError, ValueError):
            continue


def hermitian(z: Any) -> Any:
    return z @ z.conj().mT + np.eye(3)


LINALG = {
    "eigvalsh": lambda z: np.linalg.eigvalsh(hermitian(z)),
    "eigh": lambda z: abs(np.linalg.eigh(hermitian(z))[1]) ** 2,
    "cholesky": lambda z: np.linalg.cholesky(hermitian(z)),
    "pinv": lambda z: np.linalg.pinv(hermitian(z), hermitian=True),
    "qr": lambda z: abs(np.linalg.qr(z)[1]),
    "svd": lambda z: np.linalg.svd(z)[1],
    "svd vectors": lambda z: abs(np.linalg.svd(z)[0]),
}


@pytest.mark.parametrize("name", LINALG)
def test_hermitian_matrices(name: str) -> None:
    check_grads(pair(LINALG[name]), *split(draw(3, 3)))


# ------------------------------------------------------------------------------------------------------- PyTorch


@pytest.mark.peers
@pytest.mark.parametrize("name", [*ELEMENTWISE, *IN_PYTORCH_SGN])
def test_gradients_are_pytorchs(name: str) -> None:
    """First and second order: the gradient of a real loss, and of the real part of that gradient."""
    torch = pytest.importorskip("torch")
    f = (ELEMENTWISE | IN_PYTORCH_SGN)[name]
    z, w = draw(3), draw(3)
    if name == "power":
        w = w.real + 0j
    ours = [tt.tensor(x, requires_grad=True) for x in (z, w)]
    theirs = [torch.tensor(x, requires_grad=True) for x in (z, w)]

    def mask(x: Any) -> Any:
        return torch.tensor(x)

    if "where" in name:
        condition = torch.tensor([True, False, True])
        there = torch.where(condition, theirs[0].real + 0j if "real" in name else theirs[0], theirs[1])
    elif name == "power of 2":
        there = torch.pow(torch.tensor(2.0, dtype=torch.complex128), theirs[0])
    else:
        there = f(torch, *theirs)
    expected = loss(torch, there, mask)
    got = loss(tt, f(tt, *ours), np.asarray)
    np.testing.assert_allclose(got.item(), expected.item(), rtol=1e-12)
    firsts = torch.autograd.grad(expected, theirs, create_graph=True, allow_unused=True, materialize_grads=True)
    got.backward()
    for leaf, want in zip(ours, firsts, strict=True):
        have = np.zeros(3) if leaf.grad is None else leaf.grad
        np.testing.assert_allclose(have, want.detach().resolve_conj().numpy(), rtol=1e-7, atol=1e-12)
    probe = sum(loss(torch, g, mask) for g in firsts)
    if not probe.requires_grad:
        return
    seconds = torch.autograd.grad(probe, theirs, allow_unused=True, materialize_grads=True)
    gradient = tt.grad(lambda z, w: loss(tt, f(tt, z, w), np.asarray), (0, 1))
    hessian = tt.grad(lambda z, w: sum(loss(tt, g, np.asarray) for g in gradient(z, w)), (0, 1))
    for have, want in zip(hessian(z, w), seconds, strict=True):
        np.testing.assert_allclose(have, want.resolve_conj().numpy(), rtol=1e-7, atol=1e-10)


# ----------------------------------------------------------------------------------------------------- conventions


def test_the_gradient_of_a_complex_leaf() -> None:
    """∂L/∂Re z + i ∂L/∂Im z: the direction of steepest ascent."""
    z = tt.tensor([3 + 4j], requires_grad=True)
    (abs(z) ** 2).sum().backward()
    assert z.grad is not None
    assert np.allclose(z.grad, 2 * z.data)
    assert np.allclose(tt.grad(lambda z: (abs(z) ** 2).sum())(z.data), 2 * z.data)


def test_a_complex_result_needs_a_cotangent() -> None:
    z = tt.tensor([1 + 2j], requires_grad=True)
    with pytest.raises(RuntimeError, match="this one is complex"):
        (z * 2).backward()
    (z * 1j).backward(np.array([1.0 + 0j]))
    assert z.grad is not None
    assert z.grad.tolist() == [-1j]  # torch: the same


def test_a_real_leaf_through_complex_numbers() -> None:
    """Phases cancel, the gradient stays real."""
    x = tt.tensor([0.3, 1.2], requires_grad=True)
    spectrum = np.fft.fft(np.exp(1j * x))
    (np.abs(spectrum) ** 2).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float64
    assert np.allclose(x.grad, 0)


def test_zero_has_gradient_zero() -> None:
    for f in (np.abs, np.angle):
        z = tt.tensor([0j], requires_grad=True)
        f(z).sum().backward()
        assert z.grad is not None
        assert z.grad.tolist() == [0]
        second = tt.grad(lambda z, f=f: np.real(tt.grad(lambda z: f(z).sum())(z)).sum())(np.array([0j]))
        assert second.tolist() == [0]


@pytest.mark.parametrize(("dtype", "real"), [(np.complex64, np.float32), (np.complex128, np.float64)])
def test_dtypes(dtype: Any, real: Any) -> None:
    z = tt.tensor(draw(4), dtype=dtype, requires_grad=True)
    x = tt.tensor(np.ones(4), dtype=real, requires_grad=True)
    out = np.fft.ifft(np.fft.fft(z * x)) + np.conj(z) * np.angle(z) + np.sign(z)
    assert (out.dtype, abs(out).dtype, out.real.dtype, out.imag.dtype) == (dtype, real, real, real)
    abs(out).sum().backward()
    assert z.grad is not None and x.grad is not None  # noqa: PT018
    assert (z.grad.dtype, x.grad.dtype) == (dtype, real)
    mixed = tt.tensor(np.ones(4, np.float32)) * tt.tensor(np.ones(4, complex))
    assert mixed.dtype == complex


def test_attributes_and_methods() -> None:
    z = tt.tensor([1 + 2j, 3 - 1j])
    assert (z.real.tolist(), z.imag.tolist()) == ([1, 3], [2, -1])
    assert z.conj().tolist() == z.conjugate().tolist() == [1 - 2j, 3 + 1j]
    assert np.array_equal(z.angle().data, np.angle(z.data))
    x = tt.tensor([1.0, -2.0], requires_grad=True)
    assert x.real is x
    assert x.conj() is x
    assert x.imag.tolist() == [0, 0]
    c = x.astype(complex)
    assert (c.dtype, c.requires_grad) == (complex, True)
    (c * 1j).imag.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1]


def test_real_and_imag_are_views() -> None:
    z = tt.tensor([1 + 2j, 3 - 1j])
    z.real[0] = 10.0
    assert z.tolist() == [10 + 2j, 3 - 1j]


@pytest.mark.parametrize("part", ["real", "imag"])
def test_a_recorded_write_into_a_part_is_refused(part: str) -> None:
    """It would have to be seen by the whole, and the other way round."""
    y = tt.tensor([1 + 2j, 3 - 1j], requires_grad=True) * 1
    half = getattr(y, part)
    with pytest.raises(RuntimeError, match="would leave behind"):
        half[0] = 5.0
    with pytest.raises(RuntimeError, match="would leave behind"):
        y[0] = 5.0


def test_complex_without_derivative_is_refused() -> None:
    """NumPy has no such loop, and says so; nothing drops the imaginary part in silence."""
    z = tt.tensor([1 + 2j], requires_grad=True)
    for f in (np.arctan2, np.hypot, np.mod):
        with pytest.raises(TypeError):
            f(z, 1.0)
    for f in (np.cbrt, np.floor):
        with pytest.raises(TypeError):
            f(z)
    with pytest.raises(TypeError):
        np.fft.rfft(z)
