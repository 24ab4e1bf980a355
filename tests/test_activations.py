"""Activations: values, slopes and kinks as PyTorch's, second derivatives, modules, messages."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.ops.activations import normal_cdf
from tinytensor.testing import check_grads

F = nn.functional
X = np.random.default_rng(0).standard_normal((3, 4)) * 3 + 0.05

# class, options, where its kinks lie
ROWS = [
    ("CELU", {}, [0]), ("CELU", {"alpha": 2.0}, [0]), ("ELU", {}, [0]), ("ELU", {"alpha": 0.5}, [0]), ("GELU", {}, [0]),
    ("GELU", {"approximate": "tanh"}, [0]), ("GLU", {}, []), ("GLU", {"dim": 1}, []), ("Hardshrink", {}, [-0.5, 0.5]),
    ("Hardshrink", {"lambd": 1.0}, [1.0]), ("Hardsigmoid", {}, [-3, 3]), ("Hardswish", {}, [-3, 0, 3]),
    ("Hardtanh", {}, [-1, 1]), ("Hardtanh", {"min_val": -2.0, "max_val": 0.5}, [-2, 0.5]), ("LeakyReLU", {}, [0]),
    ("LeakyReLU", {"negative_slope": 0.2}, [0]), ("LogSigmoid", {}, [0]), ("LogSoftmax", {"dim": 1}, []),
    ("Mish", {}, [0]), ("ReLU", {}, [0]), ("ReLU6", {}, [0, 6]), ("SELU", {}, [0]), ("Sigmoid", {}, []),
    ("SiLU", {}, [0]), ("Softmax", {"dim": 0}, []), ("Softmin", {"dim": 1}, []), ("Softplus", {}, [0, 25.0]),
    ("Softplus", {"beta": 2.0, "threshold": 3.0}, [1.5]), ("Softshrink", {}, [-0.5, 0.5]),
    ("Softshrink", {"lambd": 1.0}, []), ("Softsign", {}, [0]), ("Tanh", {}, []), ("Tanhshrink", {}, [0]),
    ("Threshold", {"threshold": 0.1, "value": 20.0}, [0.1]),
]  # fmt: skip
IDS = [f"{name}-{'-'.join(map(str, options.values()))}" for name, options, _ in ROWS]


@pytest.mark.parametrize(("name", "options", "kinks"), ROWS, ids=IDS)
def test_derivatives_against_differences(name, options, kinks):
    check_grads(getattr(nn, name)(**options), X, order=2)


@pytest.mark.parametrize(("name", "options", "kinks"), ROWS, ids=IDS)
def test_floats_stay_and_inputs_are_not_changed(name, options, kinks):
    x = X.astype(np.float32)
    before = x.copy()
    t = tt.tensor(x, requires_grad=True)
    out = getattr(nn, name)(**options)(t)
    assert out.dtype == np.float32
    out.sum().backward()
    assert t.grad.dtype == np.float32
    np.testing.assert_array_equal(x, before)
    plain = getattr(nn, name)(**options)(x)
    assert type(plain) is np.ndarray
    np.testing.assert_array_equal(plain, out.data)


@pytest.mark.peers
@pytest.mark.parametrize(("name", "options", "kinks"), ROWS, ids=IDS)
def test_values_slopes_and_kinks_are_pytorchs(name, options, kinks):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    assert repr(ours).split("(")[0] == repr(theirs).split("(")[0]
    far = np.array([[-1e3, -40.0, 40.0, 1e3]])
    for array in (X, far, *([np.array(kinks + kinks, float)[None]] if kinks else [])):
        x, y = tt.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
        out, expected = ours(x), theirs(y)
        np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
        g = np.cos(np.arange(out.size).reshape(out.shape))
        (out * g).sum().backward()
        (expected * torch.tensor(g)).sum().backward()
        rtol = 1e-7 if name == "Hardsigmoid" else 1e-10  # PyTorch rounds its 1/6 to float32
        np.testing.assert_allclose(x.grad, y.grad.numpy(), rtol=rtol, atol=1e-13)


@pytest.mark.peers
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (5,)])
def test_prelu_is_pytorchs(shape):
    torch = pytest.importorskip("torch")
    for count in {1, shape[1] if len(shape) > 1 else 1}:
        ours, theirs = nn.PReLU(count, dtype="float64"), torch.nn.PReLU(count).double()
        with torch.no_grad():
            theirs.weight += torch.arange(count)
        ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
        x = np.random.default_rng(1).standard_normal(shape)
        x.flat[0] = 0
        a, b = tt.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        (ours(a) ** 2).sum().backward()
        (theirs(b) ** 2).sum().backward()
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-13)
        np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad.numpy(), rtol=1e-13)


def test_prelu():
    check_grads(F.prelu, X, np.array([0.3]), order=2)
    check_grads(F.prelu, X, np.array([0.3, -0.2, 0.1, 2.0]), order=2)
    with pytest.raises(ValueError, match="one for each channel"):
        F.prelu(X, np.ones(3))
    assert repr(nn.PReLU(3)) == "PReLU(num_parameters=3)"


def test_the_normal_distribution_function_is_exact():
    scipy = pytest.importorskip("scipy.special")
    x = np.linspace(-30, 30, 20_001)
    np.testing.assert_allclose(normal_cdf(x), scipy.ndtr(x), rtol=1e-10)
    inner = np.linspace(-8, 8, 20_001)
    np.testing.assert_allclose(normal_cdf(inner), scipy.ndtr(inner), rtol=4e-15)
    assert normal_cdf(np.array([np.inf, -np.inf])).tolist() == [1, 0]
    assert np.isnan(normal_cdf(np.array([np.nan, 1.0]))[0])
    assert normal_cdf(np.float32(1.0)).dtype == np.float32
    assert normal_cdf(np.array(1)).item() == pytest.approx(0.5 * (1 + math.erf(math.sqrt(0.5))), rel=1e-15)


def test_no_scipy_is_needed_for_gelu():
    import subprocess
    import sys

    code = "import sys; sys.modules['scipy'] = None\nimport tinytensor as tt\nprint(tt.nn.GELU()(tt.ones(1)).item())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert float(done.stdout) == pytest.approx(0.8413447460685429, rel=1e-15), done.stderr


def test_bounds_of_hardtanh_have_gradients():
    check_grads(F.hardtanh, X, np.array(-1.1), np.array(1.3), order=2)


def test_options_of_modules():
    assert repr(nn.LeakyReLU(0.2)) == "LeakyReLU(negative_slope=0.2)"
    assert repr(nn.ReLU(inplace=True)) == repr(nn.ReLU(True)) == "ReLU(inplace=True)"
    assert repr(nn.Hardtanh(-2.0, 2.0, True)) == "Hardtanh(min_val=-2.0, max_val=2.0, inplace=True)"
    assert nn.ELU(0.5).alpha == 0.5
    assert nn.Softmax(dim=0).dim == 0
    for wrong, words in [
        (lambda: nn.ELU(beta=1), "ELU takes alpha, inplace; got beta"), (lambda: nn.ELU(1, True, 2), "3 values"),
        (lambda: nn.ELU(1, alpha=2), "got alpha"), (lambda: nn.Threshold(1.0), "missing value"),
        (lambda: nn.ReLU()(1, 2), "takes 1 inputs, got 2"), (lambda: nn.Tanh(True), "Tanh takes no options"),
    ]:  # fmt: skip
        with pytest.raises(TypeError, match=words):
            wrong()
    with pytest.raises(ValueError, match="'none' or 'tanh'"):
        nn.GELU("exact")(X)
    with pytest.raises(ValueError, match="must not be negative"):
        nn.Softshrink(-1.0)(X)


def test_modules_are_copied_and_pickled():
    for module in (nn.GELU("tanh"), nn.PReLU()):
        for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            np.testing.assert_array_equal(np.asarray(twin(tt.tensor(X)).data), module(tt.tensor(X)).data)


def test_silu_far_out_and_of_views():
    """e⁻ˣ overflows without a warning; a gradient of a sum, one number repeated, and strided memory give the same."""
    x = np.array([-1e5, -800.0, -100.0, -1.0, 0.0, 1.0, 800.0, 1e5])
    with np.errstate(all="raise", under="ignore"):
        t = tt.tensor(x, requires_grad=True)
        out = tt.nn.functional.silu(t)
        out.sum().backward()
    gate = 1 / (1 + np.exp(-np.clip(x, -700, None)))
    np.testing.assert_allclose(out.data, x * gate, atol=1e-290)
    np.testing.assert_allclose(t.grad, gate * (1 + x * (1 - gate)), atol=1e-290)
    wide = np.random.default_rng(0).standard_normal((40, 30))
    gradient = tt.grad(lambda a: (tt.nn.functional.silu(a) * wide.T[::2]).sum())
    np.testing.assert_array_equal(gradient(wide.T[::2]), gradient(wide.T[::2].copy()))


def test_elu_below_zero_with_a_negative_alpha():
    """The slope is α eˣ for any α."""
    x = tt.tensor([-1.0, 2.0], requires_grad=True)
    F.elu(x, -0.5).sum().backward()
    np.testing.assert_allclose(x.grad, [-0.5 * np.exp(-1), 1], rtol=1e-15)


def test_prelu_of_a_number_is_a_number():
    assert nn.PReLU()(tt.tensor(-2.0)).shape == ()


@pytest.mark.parametrize("name", ["relu", "tanh", "elu", "hardsigmoid", "silu", "leaky_relu", "softsign"])
def test_pytorchs_names_of_arguments(name):
    f, x = getattr(F, name), tt.tensor([-1.0, 2.0], requires_grad=True)
    np.testing.assert_array_equal(f(input=x, inplace=True).data, f(x).data)
    assert f(input=x).requires_grad
    assert x.tolist() == [-1, 2]
    with pytest.raises(TypeError, match="missing"):
        f()
