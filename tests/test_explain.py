"""tt.explain: every number checked against the gradient, in words and in pictures."""

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.catalogue import FAMILIES
from tinytensor.catalogue.entry import REFERENCE
from tinytensor.explanation import Explanation
from tinytensor.plot import explanation as picture


def leaf(array, seed=None):
    if seed is not None:
        array = np.random.default_rng(seed).standard_normal(array)
    return tt.tensor(np.asarray(array, float), requires_grad=True)


def network():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 1))
    w, v = leaf((3, 4), 1), leaf((4, 1), 2)
    with tt.trace_lines():
        h = np.tanh(x @ w)
        loss = np.mean((h @ v - y) ** 2) + 0.01 * (w * w).sum()
    return w, v, h, loss


def check(e, grad):
    """All that must agree."""
    assert isinstance(e, Explanation)
    np.testing.assert_allclose(e.derivative, grad, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(e.forward, grad, rtol=1e-9, atol=1e-12)
    if e.stages:
        np.testing.assert_allclose(e.stages[-1].carries, grad, rtol=1e-9, atol=1e-12)
    for stage in e.stages:  # nothing is lost on the way through an operation
        np.testing.assert_allclose(sum(stage.edges.values()), stage.carries, rtol=1e-9, atol=1e-12)
    for path in e.paths:
        np.testing.assert_allclose(np.prod([hop.derivative for hop in path.hops]), path.product, rtol=1e-12)
    if e.complete:
        np.testing.assert_allclose(sum(path.product for path in e.paths), grad, rtol=1e-9, atol=1e-12)


def test_a_network():
    w, v, h, loss = network()
    e, of_tensor = tt.explain(loss, w[0, 3]), tt.explain(loss, w, (0, 3))
    assert str(e) == str(of_tensor)
    hidden = tt.explain(loss, h[2, 1])
    column = tt.explain(loss, v[-1])
    h.retain_grad()
    loss.backward()
    check(e, w.grad[0, 3])
    check(hidden, h.grad[2, 1])
    check(column, v.grad[3, 0])
    assert column.index == (3, 0)
    assert (e.result, e.element, e.origin) == ("loss", "w[0, 3]", w._node)
    assert [stage.op for stage in e.stages][:2] == ["matmul", "tanh"]
    assert e.stages[1].line.expression == "np.tanh(x @ w)"
    assert len(e.paths) == 3
    assert not e.complete
    text = str(e)
    for part in (f"∂loss/∂w[0, 3] = {w.grad[0, 3]:.6g}", "tanh → h", "test_explain.py", "The paths add:", "(others)"):
        assert part in text
    assert "carries" in text
    assert repr(e).startswith("<∂loss/∂w[0, 3] = ")


def test_nothing_is_changed():
    w, _, _, loss = network()
    w.register_hook(lambda g: pytest.fail("a hook was called"))
    seq = [node.seq for node in tt.graph.history(loss._node)]
    tt.explain(loss, w[0, 0])
    assert w.grad is None
    assert [node.seq for node in tt.graph.history(loss._node)] == seq


def test_one_chain_is_the_product_itself():
    x = leaf(0.5)
    y = np.exp(np.sin(x) * 3.0)
    e = tt.explain(y, x, labels={"angle": x, "y": y})
    check(e, 3 * np.cos(0.5) * np.exp(3 * np.sin(0.5)))
    assert e.complete
    assert [hop.derivative for hop in e.paths[0].hops] == pytest.approx([np.cos(0.5), 3.0, np.exp(3 * np.sin(0.5))])
    assert "The chain" in str(e)
    assert "∂y/∂angle" in str(e)
    assert "trace_lines" in str(e)


def test_two_paths_that_add_and_cancel():
    x = leaf(2.0)
    both = tt.explain(x * x + x, x)
    check(both, 5.0)
    assert "The paths add: 4 + 1 = 5" in str(both)
    none = tt.explain(x * 3.0 - x * 3.0, x)
    check(none, 0.0)
    zero = tt.explain((x * 0.0).sum(), x)
    check(zero, 0.0)
    assert "Nothing arrives" in str(zero)


def test_a_branch_that_is_not_taken_carries_nothing():
    x = leaf([4.0, 0.0])
    y = np.where(x.data > 0, np.sqrt(x), x * 2.0).sum()
    check(tt.explain(y, x[1]), 2.0)
    check(tt.explain(y, x[0]), 0.25)


def test_several_outputs_any_number_of_inputs_and_indexing():
    a = leaf([[2.0, 1.0], [1.0, 3.0]])
    values, vectors = np.linalg.eigh(a)
    y = np.concatenate([values * np.array([1.0, 2.0]), vectors[0], a[1]]).sum()
    e = tt.explain(y, a[0, 1])
    y.backward(retain_graph=True)
    check(e, a.grad[0, 1])
    assert "eigh[0] → values" in str(e)
    check(tt.explain(y, a[1][0]), a.grad[1, 0])
    check(tt.explain(y, values[1]), 2.0)


def test_the_result_itself_and_deep_graphs():
    x = leaf(1.0)
    assert tt.explain(x, x).derivative == 1.0
    y = x
    for _ in range(3000):
        y = y * 1.001
    e = tt.explain(y, x)
    check(e, 1.001**3000)
    assert "2960 more" in str(e)
    with pytest.raises(ValueError, match="more than a picture can show"):
        e.draw()


SMOOTH = [e for family in FAMILIES.values() for e in family if e.order == 2 and e.name.startswith("np.")]


@pytest.mark.parametrize("entry", SMOOTH, ids=lambda e: e.name)
def test_forward_and_backward_agree_for_every_function(entry):
    """The tangent pushed forward through each rule against the walk; the catalogue's first case of each function."""
    case = entry.cases[0]
    xs = [tt.tensor(a, requires_grad=True) for a in case.inputs(case.shapes[-1], entry.domain)]
    out = case.f(REFERENCE, *xs)
    total = 0.0
    for o in out if isinstance(out, (tuple, list)) else (out,):
        if isinstance(o, tt.Tensor) and o.requires_grad:
            weights = np.linspace(0.5, 1.5, o.size).reshape(o.shape)
            total = total + (np.abs(o) ** 2 * weights).sum() if o.dtype.kind == "c" else total + (o * weights).sum()
    if any(node.dtype is not None and node.dtype.kind == "c" for node in tt.graph.history(total._node)):
        pytest.skip("complex programs are not explained")
    total.backward(retain_graph=True)
    x = next(x for x in xs if x.grad is not None)  # np.full_like reads only the shape of its first argument
    e = tt.explain(total, x, (0,) * x.ndim)
    np.testing.assert_allclose(e.derivative, x.grad[(0,) * x.ndim], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(e.forward, e.derivative, rtol=1e-7, atol=1e-10)


def test_pictures(tmp_path):
    pytest.importorskip("graphviz")
    w, _, _, loss = network()
    e = tt.explain(loss, w[0, 3])
    drawing = e.draw()
    source = drawing.source
    for text in ("w[0, 3]", f"carries {e.derivative:.4g}", "tanh", picture._STRONG, "np.tanh(x @ w)"):
        assert text in source
    assert source.count("fontcolor") == len(e.paths[0].hops)
    assert e.save(tmp_path / "e.svg").read_text().count("<svg") == 1
    assert "<svg" in e._repr_svg_()
    assert e.draw("png").render().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="format must be"):
        e.draw("gif")


def complex_leaf():
    return tt.tensor([1 + 1j], requires_grad=True)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: tt.explain(x.sum(), 3.0), TypeError, "tensor must be a tensor, got float"),
        (lambda x: tt.explain(x.data.sum(), x), TypeError, "result must be a tensor"),
        (lambda x: tt.explain(x.sum(), x.detach()), RuntimeError, "tensor does not require grad"),
        (lambda x: tt.explain(x * 2.0, x), ValueError, "one element"),
        (lambda x: tt.explain(x.sum(), x), ValueError, r"one element is explained at a time, got 2"),
        (lambda x: tt.explain(x.sum(), leaf([1.0])), ValueError, "was not computed from this tensor"),
        (lambda x: tt.explain(x.sum(), x, 5), IndexError, "out of bounds"),
        (lambda x: tt.explain(x.sum(), complex_leaf()), TypeError, "complex"),
    ],
)
def test_what_cannot_be_explained(call, kind, message):
    with pytest.raises(kind, match=message):
        call(leaf([1.0, 2.0]))


def test_after_backward():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="explain the result before it"):
        tt.explain(y, x[0])


@pytest.mark.parametrize(
    "program",
    [
        lambda w: np.real(np.exp(1j * w)).sum(),
        lambda w: np.sum(np.abs(np.fft.rfft(w)) ** 2),
        lambda w: np.sum(np.imag(np.conj(1j * w) * (w + 2j))),
    ],
)
def test_complex_numbers_on_the_way(program):
    w = tt.tensor([1.0, -2.0, 0.5], requires_grad=True)
    loss = program(w)
    found = tt.explain(loss, w[1], paths=50)
    loss.backward()
    assert np.isclose(found.derivative, w.grad[1])
    assert np.isclose(found.forward, w.grad[1])
    assert found.complete
    assert np.isclose(sum(path.product for path in found.paths), w.grad[1])
    assert str(found)
    assert found.draw()
