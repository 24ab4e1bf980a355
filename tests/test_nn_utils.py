"""Clipping, parameters as a vector, weight normalisation: PyTorch's numbers, and what is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn

U = nn.utils
RNG = np.random.default_rng(0)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (extra: peers)")


def parameters(dtype="float64", scale=1.0):
    found = [nn.Parameter(np.zeros(shape, dtype)) for shape in ((3, 4), (5,), (), (0, 2))]
    for p in found:
        p.grad = (scale * RNG.standard_normal(p.shape)).astype(dtype)
    return [*found, nn.Parameter([1.0])]  # one without gradient


@pytest.mark.peers
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf"), "inf", 0.5])
@pytest.mark.parametrize("max_norm", [0.1, 100.0])
def test_clipping_the_norm_is_pytorchs(norm_type, max_norm, torch):
    mine = [p for p in parameters() if p.size]
    theirs = [torch.zeros(p.shape, dtype=torch.float64, requires_grad=True) for p in mine]
    for p, q in zip(mine, theirs, strict=True):
        q.grad = None if p.grad is None else torch.tensor(p.grad)
    norm = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    np.testing.assert_allclose(U.clip_grad_norm_(mine, max_norm, norm_type), norm.item(), rtol=1e-12)
    for p, q in zip(mine, theirs, strict=True):
        if p.grad is not None:
            np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-12)


def test_norms_without_overflow():
    for dtype, scale in (("float32", 1e30), ("float64", 1e200), ("float64", 1e-200)):
        grads = [np.full(4, scale, dtype)]
        np.testing.assert_allclose(U.get_total_norm(grads), 2 * scale, rtol=1e-6)
    assert U.get_total_norm([]) == 0.0
    assert U.get_total_norm([np.array([3j, 4.0])]) == 5.0
    assert np.isnan(U.get_total_norm([np.array([1.0, np.nan])]))
    assert np.isnan(U.get_total_norm([np.array([1.0, np.nan])], float("inf")))


def test_clipping_refuses_what_is_not_finite_and_changes_nothing():
    ps = parameters()
    ps[1].grad[2] = np.inf
    before = [None if p.grad is None else p.grad.copy() for p in ps]
    with pytest.raises(RuntimeError, match="the norm is inf, so the gradients cannot be clipped"):
        U.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)
    for p, g in zip(ps, before, strict=True):
        np.testing.assert_array_equal(p.grad, g)


def test_clipping_values_and_bad_arguments():
    ps = parameters("float32")
    grads = [p.grad for p in ps]
    U.clip_grad_value_(iter(ps), 0.3)
    assert all(g is None or (p.grad is g and np.abs(g).max(initial=0.0) <= np.float32(0.3)) for p, g in zip(ps, grads))
    with pytest.raises(ValueError, match="clip_value must not be negative, got -1"):
        U.clip_grad_value_(ps, -1)
    with pytest.raises(ValueError, match="max_norm must not be negative, got nan"):
        U.clip_grad_norm_(ps, float("nan"))
    with pytest.raises(TypeError, match="expected parameters, got ndarray"):
        U.clip_grad_norm_([np.ones(3)], 1.0)
    with pytest.warns(UserWarning, match="no parameters were given"):
        assert U.clip_grad_norm_(iter([]), 1.0) == 0.0
    single = nn.Parameter([3.0])
    single.grad = np.array([2.0])
    assert U.clip_grad_norm_(single, 1.0) == 2.0


def test_parameters_as_a_vector():
    model = nn.MLP(2, [3, 1], dtype="float64")
    v = U.parameters_to_vector(model.parameters())
    assert v.shape == (13,)
    (v * v).sum().backward()
    np.testing.assert_array_equal(model[0].weight.grad, 2 * model[0].weight.data)
    arrays = [p.data for p in model.parameters()]
    U.vector_to_parameters(np.arange(13.0), model.parameters())
    np.testing.assert_array_equal(U.parameters_to_vector(model.parameters()).data, np.arange(13.0))
    assert all(p.data is a for p, a in zip(model.parameters(), arrays, strict=True))
    for bad, error in ((np.ones(12), ValueError), (np.ones((13, 1)), ValueError), (np.ones(13, complex), TypeError)):
        with pytest.raises(error, match="vector_to_parameters"):
            U.vector_to_parameters(bad, model.parameters())
    np.testing.assert_array_equal(U.parameters_to_vector(model.parameters()).data, np.arange(13.0))
    with pytest.raises(ValueError, match="expected parameters, got none"):
        U.parameters_to_vector([])


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("dim", [0, 1, None, -1])
def test_weight_norm_is_pytorchs(dim, torch):
    theirs = torch.nn.Linear(3, 2).double()
    mine = nn.Linear(3, 2, dtype="float64")
    mine.load_state_dict({k: v.detach().numpy().copy() for k, v in theirs.state_dict().items()})
    torch.nn.utils.weight_norm(theirs, dim=None if dim == -1 else dim)
    U.weight_norm(mine, dim=None if dim == -1 else dim)
    assert {k: v.shape for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    theirs.weight_g.data *= 1.5
    mine.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = RNG.standard_normal((5, 3))
    a, b = mine(x), theirs(torch.tensor(x))
    np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-12)
    (a**2).sum().backward()
    (b**2).sum().backward()
    for (name, p), q in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-10, err_msg=name)


def test_weight_norm_goes_and_comes():
    layer = nn.Linear(3, 2, dtype="float64")
    x, weight = RNG.standard_normal((5, 3)), layer.weight.data.copy()
    before, text = layer(x).data, repr(layer)
    assert U.weight_norm(layer) is layer
    assert isinstance(layer, nn.Linear)
    assert repr(layer) == text
    np.testing.assert_allclose(layer(x).data, before, rtol=1e-14)
    optimizer = tt.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(2):  # the weight is made anew for each forward
        optimizer.zero_grad()
        (layer(x) ** 2).sum().backward()
        optimizer.step()
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(twin(x).data, layer(x).data)
        twin.weight_g.data[...] = 0.0
        assert not twin.weight.data.any()
    after = layer(x).data
    U.remove_weight_norm(layer)
    assert type(layer) is nn.Linear
    np.testing.assert_allclose(layer(x).data, after, rtol=1e-14)
    assert not np.allclose(layer.weight.data, weight)
    assert layer.weight.requires_grad


def test_two_normalised_weights():
    layer = nn.Linear(3, 2, dtype="float64")
    x = RNG.standard_normal((5, 3))
    before = layer(x).data
    U.weight_norm(U.weight_norm(layer), "bias", dim=None)
    assert sorted(layer.state_dict()) == ["bias_g", "bias_v", "weight_g", "weight_v"]
    np.testing.assert_allclose(layer(x).data, before, rtol=1e-14)
    U.remove_weight_norm(layer, "weight")
    assert sorted(layer.state_dict()) == ["bias_g", "bias_v", "weight"]
    np.testing.assert_allclose(layer(x).data, before, rtol=1e-14)
    U.remove_weight_norm(layer, "bias")
    assert type(layer) is nn.Linear


def test_weight_norm_refuses():
    layer = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"Linear has no parameter 'wait' of its own, it has \['weight', 'bias'\]"):
        U.weight_norm(layer, "wait")
    with pytest.raises(ValueError, match="dim 2 is not an axis of 'weight'"):
        U.weight_norm(layer, dim=2)
    with pytest.raises(ValueError, match="is not normalised"):
        U.remove_weight_norm(layer)
    U.weight_norm(layer)
    with pytest.raises(RuntimeError, match="is normalised already"):
        U.weight_norm(layer)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (
            lambda m: nn.utils.clip_grad_norm_(m, 1.0),
            "clip_grad_norm_: expected parameters, got Linear; pass model.param",
        ),
        (
            lambda m: nn.utils.clip_grad_norm_(m.parameters(), "a"),
            "clip_grad_norm_: max_norm must be a number, got 'a'",
        ),
        (lambda m: nn.utils.clip_grad_value_(m, 1.0), "clip_grad_value_: expected parameters, got Linear"),
        (lambda m: nn.utils.clip_grad_value_(m.parameters(), "a"), "clip_value must be a number, got 'a'"),
        (lambda m: nn.utils.get_total_norm(["a"]), "get_total_norm: expected arrays or tensors of numbers"),
        (lambda m: nn.utils.get_total_norm([None]), "get_total_norm: expected arrays or tensors of numbers"),
        (lambda m: nn.utils.get_total_norm(3), "get_total_norm: expected arrays or tensors, got int"),
        (lambda m: nn.utils.parameters_to_vector(m), "parameters_to_vector: expected parameters, got Linear"),
        (
            lambda m: nn.utils.vector_to_parameters(np.zeros(6), m),
            "vector_to_parameters: expected parameters, got Linear",
        ),
    ],
)
def test_what_is_no_parameter_is_said(f, message):
    with pytest.raises(TypeError, match=message):
        f(nn.Linear(2, 2))


@pytest.mark.peers
@pytest.mark.parametrize("norm_type", [2.0, np.inf, 1.0, 0.5])
def test_norms_of_many_and_of_large_arrays_are_pytorchs(norm_type):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: peers)")
    rng = np.random.default_rng(0)
    for kinds in ("f8", "f4", "f4 f8", "f8 c16"):
        shapes = [(3,), (), (0,), (300, 400), (7, 8), (32768,), (32769,), (200, 100), (5,)] * 2
        arrays = [rng.normal(size=s).astype(kinds.split()[i % len(kinds.split())]) for i, s in enumerate(shapes)]
        if norm_type in (0.5, np.inf):
            arrays = [a for a in arrays if a.size]
        wide = [torch.tensor(a.astype(np.promote_types(a.dtype, "f8"))) for a in arrays]
        expected = torch.nn.utils.get_total_norm(wide, norm_type).item()
        np.testing.assert_allclose(nn.utils.get_total_norm(arrays, norm_type), expected, rtol=1e-12)
        np.testing.assert_allclose(nn.utils.get_total_norm(map(tt.tensor, arrays), norm_type, foreach=True), expected)
