"""Losses: values, gradients and options as PyTorch's, second derivatives, kinks, shapes that are refused."""

from __future__ import annotations

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.testing import check_grads

F = nn.functional
rng = np.random.default_rng(0)
X, Y = rng.standard_normal((2, 5, 3))
UNIT, OTHER = 1 / (1 + np.exp(-X)), 1 / (1 + np.exp(-Y))
SIGNS, COUNTS = np.sign(Y), rng.integers(0, 6, (5, 3)).astype(float)
CLASSES, HOLES = np.array([0, 2, 1, 1, 0]), np.array([0, -100, 1, 1, -100])
WEIGHT = np.array([0.5, 2.0, 1.0])
IMAGES, PIXELS = rng.standard_normal((2, 4, 3, 2)), rng.integers(0, 4, (2, 3, 2))
PROBABLE = OTHER / OTHER.sum(1, keepdims=True)

# class, options, inputs with a gradient, others
ROWS = [
    ("MSELoss", {}, (X, Y), ()), ("L1Loss", {}, (X, Y), ()), ("HuberLoss", {}, (X, Y), ()),
    ("HuberLoss", {"delta": 0.3}, (X, Y), ()), ("SmoothL1Loss", {}, (X, Y), ()),
    ("SmoothL1Loss", {"beta": 0.3}, (X, Y), ()), ("SmoothL1Loss", {"beta": 0.0}, (X, Y), ()),
    ("CrossEntropyLoss", {}, (X,), (CLASSES,)), ("CrossEntropyLoss", {}, (X, PROBABLE), ()),
    ("CrossEntropyLoss", {}, (X,), (HOLES,)), ("CrossEntropyLoss", {"weight": WEIGHT}, (X,), (HOLES,)),
    ("CrossEntropyLoss", {"weight": WEIGHT}, (X, PROBABLE), ()),
    ("CrossEntropyLoss", {"weight": WEIGHT, "label_smoothing": 0.1}, (X,), (HOLES,)),
    ("CrossEntropyLoss", {"weight": WEIGHT, "label_smoothing": 0.1}, (X, PROBABLE), ()),
    ("CrossEntropyLoss", {"label_smoothing": 0.2}, (X,), (CLASSES,)),
    ("CrossEntropyLoss", {"label_smoothing": 0.2, "ignore_index": 1}, (X,), (CLASSES,)),
    ("CrossEntropyLoss", {}, (IMAGES,), (PIXELS,)), ("CrossEntropyLoss", {"ignore_index": 2}, (IMAGES,), (PIXELS,)),
    ("CrossEntropyLoss", {"label_smoothing": 0.2, "weight": np.arange(4.0)}, (IMAGES,), (PIXELS,)),
    ("CrossEntropyLoss", {}, (X[0],), (np.array(2),)), ("CrossEntropyLoss", {}, (X[0], PROBABLE[0]), ()),
    ("NLLLoss", {}, (X,), (CLASSES,)), ("NLLLoss", {"weight": WEIGHT}, (X,), (HOLES,)),
    ("NLLLoss", {}, (IMAGES,), (PIXELS,)), ("BCELoss", {}, (UNIT, OTHER), ()),
    ("BCELoss", {"weight": WEIGHT}, (UNIT, OTHER), ()), ("BCEWithLogitsLoss", {}, (X, OTHER), ()),
    ("BCEWithLogitsLoss", {"pos_weight": WEIGHT}, (X, OTHER), ()),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": WEIGHT}, (X, OTHER), ()),
    ("KLDivLoss", {}, (X, OTHER), ()), ("KLDivLoss", {"log_target": True}, (X, Y), ()),
    ("HingeEmbeddingLoss", {}, (X,), (SIGNS,)), ("HingeEmbeddingLoss", {"margin": 0.4}, (X,), (SIGNS,)),
    ("MultiMarginLoss", {}, (X,), (CLASSES,)), ("MultiMarginLoss", {"p": 2, "margin": 0.7, "weight": WEIGHT}, (X,), (CLASSES,)),
    ("MultiMarginLoss", {}, (X[0],), (np.array(1),)), ("MarginRankingLoss", {"margin": 0.2}, (X, Y), (SIGNS,)),
    ("CosineEmbeddingLoss", {"margin": 0.1}, (X, Y), (np.array([1, -1, -1, 1, -1]),)),
    ("GaussianNLLLoss", {}, (X, Y, UNIT), ()), ("GaussianNLLLoss", {"full": True}, (X, Y, UNIT[:, :1]), ()),
    ("GaussianNLLLoss", {"eps": 0.5}, (X, Y), (UNIT[:, 0],)), ("PoissonNLLLoss", {}, (X,), (COUNTS,)),
    ("PoissonNLLLoss", {"full": True}, (X,), (COUNTS,)),
    ("PoissonNLLLoss", {"log_input": False, "full": True, "eps": 1e-3}, (UNIT,), (COUNTS,)),
    ("SoftMarginLoss", {}, (X,), (SIGNS,)),
]  # fmt: skip
IDS = [f"{i}-{row[0]}-{'-'.join(row[1])}" for i, row in enumerate(ROWS)]
REDUCTIONS = ["mean", "sum", "none"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options", "inputs", "constants"), ROWS, ids=IDS)
def test_derivatives_against_differences(name, options, inputs, constants, reduction):
    loss = getattr(nn, name)(**options, reduction=reduction)
    smooth = not (name == "GaussianNLLLoss" and "eps" in options)
    if smooth:
        check_grads(lambda *xs: loss(*xs, *constants), *inputs, order=2)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:reduction. .mean.:UserWarning")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options", "inputs", "constants"), ROWS, ids=IDS)
def test_values_and_gradients_are_pytorchs(name, options, inputs, constants, reduction):
    torch = pytest.importorskip("torch")
    ours = getattr(nn, name)(**options, reduction=reduction)
    given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    theirs = getattr(torch.nn, name)(**given, reduction=reduction)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    xs = [tt.tensor(x, requires_grad=True) for x in inputs]
    ys = [torch.tensor(x, requires_grad=True) for x in inputs]
    out, expected = ours(*xs, *constants), theirs(*ys, *map(torch.tensor, constants))
    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    out.sum().backward()
    expected.sum().backward()
    for x, y in zip(xs, ys, strict=True):
        np.testing.assert_allclose(x.grad, y.grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.peers
@pytest.mark.parametrize(
    ("f", "x", "y", "options"),
    [
        ("l1_loss", [1.0], [1.0], {}), ("huber_loss", [1.0, -1.0], [0.0, 0.0], {}),
        ("smooth_l1_loss", [1.0, -1.0], [0.0, 0.0], {}), ("smooth_l1_loss", [1.0], [1.0], {"beta": 0.0}),
        ("hinge_embedding_loss", [1.0, 1.0], [-1.0, 1.0], {}), ("kl_div", [-1.0, 0.0], [0.0, 1.0], {}),
        ("binary_cross_entropy", [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0], {}),
        ("binary_cross_entropy_with_logits", [0.0, 1e4, -1e4], [1.0, 1.0, 1.0], {}),
    ],
)  # fmt: skip
def test_kinks_and_ends_are_pytorchs(f, x, y, options):
    torch = pytest.importorskip("torch")
    a, b = tt.tensor(x, requires_grad=True), torch.tensor(x, dtype=torch.float64, requires_grad=True)
    out = getattr(F, f)(a, y, reduction="none", **options)
    expected = getattr(torch.nn.functional, f)(b, torch.tensor(y, dtype=torch.float64), reduction="none", **options)
    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-13)
    out.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-8)  # PyTorch rounds its 1e-12 to float32


@pytest.mark.peers
def test_margins_exactly_met_are_pytorchs():
    torch = pytest.importorskip("torch")
    x, y = np.array([[1.0, 0.0, 2.0]]), np.array([2.0]).reshape(1, 1)
    for name, args in [("multi_margin_loss", [np.array([2])]), ("margin_ranking_loss", [x * 0, np.ones((1, 3))])]:
        a, b = tt.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        getattr(F, name)(a, *args).backward()
        getattr(torch.nn.functional, name)(b, *map(torch.tensor, args)).backward()
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-13)
    assert y.shape == (1, 1)


@pytest.mark.peers
def test_batchmean_is_pytorchs():
    torch = pytest.importorskip("torch")
    ours = nn.KLDivLoss(reduction="batchmean")(tt.tensor(X), OTHER).item()
    assert ours == pytest.approx(torch.nn.KLDivLoss(reduction="batchmean")(torch.tensor(X), torch.tensor(OTHER)).item())


def test_quantile_loss():
    check_grads(lambda x, y: F.quantile_loss(x, y, 0.2), X, Y, order=2)
    check_grads(lambda x: F.quantile_loss(x, Y[:, 0], [0.1, 0.5, 0.9]), X, order=2)
    each = F.quantile_loss(tt.tensor(X), Y, 0.2, "none").data
    np.testing.assert_allclose(each, np.where(Y > X, 0.2 * (Y - X), 0.8 * (X - Y)), rtol=1e-12)
    several = nn.QuantileLoss([0.1, 0.5, 0.9], reduction="none")(tt.tensor(X), Y[:, 0]).data
    for k, q in enumerate([0.1, 0.5, 0.9]):
        np.testing.assert_allclose(several[:, k], F.quantile_loss(tt.tensor(X[:, k]), Y[:, 0], q, "none").data)
    sample, x = np.sort(rng.standard_normal(999)), tt.tensor(0.0, requires_grad=True)
    for step in range(400):
        x.grad = None
        F.quantile_loss(x + np.zeros(999), sample, 0.9).backward()
        x.data = x.data - 3 / (1 + step) ** 0.75 * x.grad
    assert x.item() == pytest.approx(np.quantile(sample, 0.9), abs=0.02)
    assert tt.grad(F.quantile_loss)(np.ones(2), np.ones(2), 0.9).tolist() == [0, 0]
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.quantile_loss(X, Y, 1.5)
    with pytest.raises(ValueError, match=r"must have shape \(5, 2\), got \(5, 3\)"):
        F.quantile_loss(X, Y[:, 0], [0.1, 0.9])


PAIRS = ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "quantile_loss", "hinge_loss", "soft_margin_loss",
         "hinge_embedding_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div",
         "poisson_nll_loss"]  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_losses_refuse_to_broadcast(name):
    with pytest.raises(ValueError, match=rf"{name}: predictions have shape \(5, 1\), targets \(5,\)"):
        getattr(F, name)(tt.zeros((5, 1)), np.zeros(5))


@pytest.mark.parametrize("name", PAIRS)
def test_reductions(name):
    f, x, y = getattr(F, name), UNIT, np.round(OTHER)
    each = f(x, y, reduction="none").data
    assert each.shape == x.shape
    assert f(x, y, reduction="sum").item() == pytest.approx(each.sum())
    assert f(x, y).item() == pytest.approx(each.mean())
    with pytest.raises(ValueError, match="reduction must be .*'avg'"):
        f(x, y, reduction="avg")


def test_losses_follow_the_dtype_of_the_predictions():
    for name, options, inputs, constants in ROWS:
        x = tt.tensor(inputs[0].astype(np.float32), requires_grad=True)
        out = getattr(nn, name)(**options)(x, *inputs[1:], *constants)
        assert out.dtype == np.float32, name
        out.backward()
        assert x.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: F.cross_entropy(X, CLASSES, label_smoothing=2), ValueError, "between 0 and 1"),
        (lambda: F.cross_entropy(X, CLASSES, weight=np.ones(2)), ValueError, "one element for each of the 3 classes"),
        (lambda: F.cross_entropy(X, CLASSES, weight=tt.ones(3, requires_grad=True)), TypeError, "weight.detach"),
        (lambda: F.cross_entropy(X, CLASSES - 1), ValueError, "must lie in 0 … 2, got -1 … 1"),
        (lambda: F.cross_entropy(X, CLASSES[:3]), ValueError, r"expected \(5,\)"),
        (lambda: F.cross_entropy(1.0, 0), ValueError, "got a number"),
        (lambda: F.nll_loss(X, Y), TypeError, "must be integers"),
        (lambda: F.multi_margin_loss(X, CLASSES, p=3), ValueError, "p must be 1 or 2"),
        (lambda: F.multi_margin_loss(IMAGES, PIXELS), ValueError, r"\(N, C\) or \(C,\)"),
        (lambda: F.binary_cross_entropy(X, UNIT), ValueError, "binary_cross_entropy_with_logits"),
        (lambda: F.binary_cross_entropy(UNIT, OTHER, weight=np.ones((7, 5, 3))), ValueError, "does not broadcast"),
        (lambda: F.huber_loss(X, Y, delta=0), ValueError, "delta must be positive"),
        (lambda: F.smooth_l1_loss(X, Y, beta=-1), ValueError, "beta must not be negative"),
        (lambda: F.gaussian_nll_loss(X, Y, -UNIT), ValueError, "negative"),
        (lambda: F.gaussian_nll_loss(X, Y, np.ones(3)), ValueError, "does not fit"),
        (lambda: F.cosine_embedding_loss(X, Y, 1), ValueError, r"\(N, D\), \(N, D\) and \(N,\)"),
        (lambda: F.kl_div(X, OTHER, "avg"), ValueError, "'batchmean'"),
        (lambda: nn.KLDivLoss("avg"), ValueError, "'batchmean'"),
        (lambda: nn.HuberLoss(reduction="avg"), ValueError, "HuberLoss: reduction must be 'mean', 'sum' or 'none'"),
        (lambda: nn.MSELoss()(X), TypeError, "takes 2 inputs, got 1"),
    ],
)  # fmt: skip
def test_messages(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_cross_entropy_where_logits_are_infinite():
    x = tt.tensor([[0.0, -np.inf], [1e4, -1e4]], requires_grad=True)
    F.cross_entropy(x, [0, 0]).backward()
    np.testing.assert_array_equal(x.grad, [[0, 0], [0, 0]])
    assert F.cross_entropy(tt.tensor([[0.0, -np.inf]]), [1]).item() == np.inf


def test_everything_ignored_is_nan_as_in_pytorch():
    """The loss is NaN, but its gradient 0: a batch of padding alone leaves the weights as they are."""
    for loss in (F.cross_entropy, F.nll_loss, lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1)):
        x = tt.tensor(X, requires_grad=True)
        out = loss(x, np.full(5, -100))
        assert np.isnan(out.item())
        out.backward()
        assert not x.grad.any()


def test_focal_loss_is_cross_entropy_that_looks_away():
    x, y = np.random.default_rng(0).normal(size=(4, 3)), [0, 2, 1, 1]
    F = tt.nn.functional
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    expected = np.mean([-((1 - p[i, k]) ** 2) * np.log(p[i, k]) for i, k in enumerate(y)])
    assert np.isclose(F.focal_loss(x, y).item(), expected)
    assert np.isclose(F.focal_loss(x, y, gamma=0.0).item(), F.cross_entropy(x, y).item())
    check_grads(lambda x: F.focal_loss(x, y), x)


@pytest.mark.parametrize("classes", [1, 2, 32, 33, 100])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_by_its_definition(classes, dtype):
    """Short rows take another path than long ones, and so does a loop's usual call; far-off logits change nothing."""
    draw = np.random.default_rng(classes)
    logits, target = (3 * draw.standard_normal((7, classes)) + 1e4).astype(dtype), draw.integers(0, classes, 7)
    x = tt.tensor(logits, requires_grad=True)
    exact = logits.astype(float)
    exact -= exact.max(1, keepdims=True)
    exact -= np.log(np.exp(exact).sum(1, keepdims=True))
    tolerance = 1e-12 if dtype == "float64" else 2e-6
    for reduction, wanted in (("none", np.ones(7)), ("sum", np.ones(7)), ("mean", np.full(7, 1 / 7))):
        x.grad = None
        loss = F.cross_entropy(x, target, reduction=reduction)
        assert loss.dtype == x.dtype
        each = -exact[np.arange(7), target]
        value = {"none": each, "sum": each.sum(), "mean": each.mean()}[reduction]
        np.testing.assert_allclose(loss.data, value, rtol=10 * tolerance, atol=10 * tolerance)
        loss.sum().backward(retain_graph=True)
        slope = (np.exp(exact) - np.eye(classes)[target]) * wanted[:, None]
        np.testing.assert_allclose(x.grad, slope, atol=tolerance)
        loss.sum().backward()  # what was kept for the rule is not used up
        np.testing.assert_allclose(x.grad, 2 * slope, atol=2 * tolerance)
        assert x.grad.dtype == x.dtype


def test_cross_entropy_in_the_usual_call_is_that_of_any_other():
    x = tt.tensor(X)
    wanted = F.cross_entropy(x, CLASSES, ignore_index=7).item()
    assert F.cross_entropy(x, CLASSES).item() == wanted == F.cross_entropy(x, list(CLASSES)).item()
    assert (
        F.cross_entropy(x, CLASSES.astype(np.int32)).item() == wanted == F.cross_entropy(X.T.copy().T, CLASSES).item()
    )
    with pytest.raises(ValueError, match=r"must lie in 0 … 2, got 0 … 3"):
        F.cross_entropy(x, np.array([0, 1, 2, 3, 0]))


def test_cross_entropy_of_logits_that_are_written_over_before_backward():
    x = tt.tensor(X, requires_grad=True)
    h = x * 2
    loss = F.cross_entropy(h, CLASSES)
    h *= 0
    loss.backward()
    np.testing.assert_allclose(x.grad, tt.grad(lambda a: F.cross_entropy(2 * a, CLASSES))(X), rtol=1e-12)


def test_triplets():
    a, b, c = np.random.default_rng(3).standard_normal((3, 4, 2))
    check_grads(lambda *x: F.triplet_margin_loss(*x, margin=3.0), a, b, c)
    with pytest.raises(ValueError, match="must have one shape"):
        F.triplet_margin_loss(a, b, c[:1])
