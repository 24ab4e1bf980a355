"""Pictures: what they show is what was computed; drawn without the system's Graphviz, and never too large."""

import xml.etree.ElementTree as ET
from fractions import Fraction

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import plot
from tinytensor.plot import dot
from tinytensor.scalar import Value

figure = pytest.importorskip("matplotlib.figure")
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def neuron():
    """The lecture's neuron, after backward."""
    x1, x2, w1, w2 = (Value(v, label) for v, label in ((2.0, "x1"), (0.0, "x2"), (-3.0, "w1"), (1.0, "w2")))
    b = Value(6.8813735870195432, "b")
    n = x1 * w1 + x2 * w2 + b
    n.label = "n"
    o = n.tanh()
    o.label = "o"
    o.backward()
    return o


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_neuron_of_the_lecture():
    drawing = plot.draw_dot(neuron())
    for label, data, grad in [
        ("x1", "2.0000", "-1.5000"), ("w1", "-3.0000", "1.0000"), ("x2", "0.0000", "0.5000"),
        ("w2", "1.0000", "0.0000"), ("b", "6.8814", "0.5000"), ("o", "0.7071", "1.0000"),
    ]:  # fmt: skip
        assert f"{{ {label} | data {data} | grad {grad} }}" in drawing.source
    assert drawing.source.count("shape=record") == 10
    assert drawing.source.count("->") == 5 + 9  # each operation to its value, and 1 or 2 operands to each
    shown = texts(drawing._repr_svg_())
    assert shown.count("*") == shown.count("+") == 2
    assert "tanh" in shown
    assert "data 0.7071" in shown


def test_files_by_their_ending(tmp_path):
    drawing = plot.draw_dot(neuron(), filename=tmp_path / "a.svg")
    assert texts((tmp_path / "a.svg").read_text()) == texts(drawing.render())
    drawing.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(SIGNATURE)
    assert drawing.save(tmp_path / "a.dot").read_text() == drawing.source
    with pytest.raises(ValueError, match=r"must end in .svg or .png or .dot"):
        drawing.save(tmp_path / "a.gif")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        drawing.save(tmp_path / "no" / "a.svg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.dot", "a.png", "a.svg"]


def test_what_jupyter_shows():
    svg, png = plot.draw_dot(neuron()), plot.draw_dot(neuron(), format="png")
    assert "<svg" in svg._repr_svg_()
    assert svg._repr_png_() is None
    assert png._repr_svg_() is None
    assert png._repr_png_().startswith(SIGNATURE)


def test_shared_values_are_drawn_once_and_labels_are_escaped():
    a = Value(Fraction(1, 3), 'a|b {c} <d> "e" \\ & &lt;')
    drawing = plot.draw_dot(a * a + 1e-9)
    assert drawing.source.count("shape=record") == 4
    shown = texts(drawing.render())
    assert a.label in [text.replace("\xa0", " ") for text in shown]
    assert "data 1/3" in shown
    assert "data 1e-09" in shown


def test_tensors_with_names_shapes_and_gradients():
    w = tt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    x = tt.tensor(np.ones((5, 2)))
    loss = (x @ w).sum()
    before = plot.draw_dot(loss, labels={"w": w, "x": x}).source
    assert "{ w | 2 × 2\\nfloat64 | data \\n1, 2\\n3, 4 }" in before
    assert "{ x | 5 × 2\\nfloat64 }" in before  # ten numbers are too many to print
    assert "label=matmul" in before
    assert "{ float64 | data 50.0000 }" in before
    loss.backward()
    after = plot.draw_dot(loss, labels=[("w", w)])
    assert "grad \\n5, 5\\n5, 5" in after.source
    assert "{ constant }" in after.source  # the graph has let go of x
    assert "matmul" in texts(after.render())
    assert dot._LEAF in after.source
    assert dot._ROOT in after.source


def test_a_module_names_its_parameters():
    model = tt.nn.MLP(2, [8, 1], rng=tt.rng(0))
    source = plot.draw_dot(model(np.ones((4, 2))).mean(), labels=model).source
    for name in ("0.weight", "0.bias", "2.weight", "2.bias"):
        assert f"{{ {name} | " in source


def test_several_outputs_and_any_number_of_inputs():
    w = tt.tensor(np.diag([1.0, 2.0]), requires_grad=True)
    values, vectors = tt.eigh(w)
    y = np.concatenate([values, vectors[0], np.ones(1)]).sum()
    drawing = plot.draw_dot(y, labels={"w": w}, rankdir="TB")
    for text in ("label=eigh", "2 results", 'label="[0]"', 'label="[1]"', "label=concatenate", "rankdir=TB"):
        assert text in drawing.source
    assert "eigh" in texts(drawing.render())


def test_one_value_and_a_tensor_without_gradient():
    assert plot.draw_dot(Value(2.0, "a")).source.count("->") == 0
    t = tt.tensor([1.0, 2.0])
    assert "{ t | 2\\nfloat64 | data 1, 2 }" in plot.draw_dot(t, labels={"t": t}).source


@pytest.mark.parametrize("start", [Value(0.0), tt.tensor(0.0, requires_grad=True)])
def test_a_large_graph_is_refused_without_recursion(start, tmp_path):
    out = start
    for _ in range(50_000):
        out = out + out
    with pytest.raises(ValueError, match="more than 2000 values; .* raise max_nodes"):
        plot.draw_dot(out, filename=tmp_path / "a.svg")
    assert list(tmp_path.iterdir()) == []
    assert plot.draw_dot(out, max_nodes=200_000).source.count("shape=record") == 50_001


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: plot.draw_dot(3.0), TypeError, "expected a Value or a Tensor, got float"),
        (lambda: plot.draw_dot(Value(1.0), format="gif"), ValueError, "format must be"),
        (lambda: plot.draw_dot(Value(1.0), rankdir="left"), ValueError, "rankdir must be"),
        (lambda: plot.draw_dot(Value(1.0), labels={}), TypeError, "a Value carries its own"),
        (lambda: plot.draw_dot(tt.ones(1), labels={"a": 3}), TypeError, "'a' is a int"),
        (lambda: plot.decision_boundary(abs, np.ones((3, 4)), [0, 1, 1]), ValueError, r"points are \(n, 2\)"),
    ],
)
def test_what_cannot_be_drawn(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_graphviz_missing_altogether(monkeypatch):
    monkeypatch.setattr(dot, "_program", lambda: None)
    with pytest.raises(RuntimeError, match=r"pip install 'tinytensor\[plot\]'"):
        plot.draw_dot(Value(1.0)).render()


def test_the_wheel_is_found_where_the_path_does_not_lead_to_it(monkeypatch):
    pytest.importorskip("importlib.metadata").distribution("graphviz-pure")
    monkeypatch.setenv("PATH", "")
    assert "graphviz-pure" in dot._program.__wrapped__()


# ---------------------------------------------------------------------------------------------------------- figures


def plane(model, classes, **options):
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(60, 2)), np.arange(60) % classes
    return plot.decision_boundary(model, x, y, ax=figure.Figure().subplots(), resolution=30, **options)


@pytest.mark.parametrize(
    ("model", "classes"),
    [
        (lambda p: p[:, 0], 2),
        (lambda p: tt.tensor(p[:, :1]), 2),
        (lambda p: np.stack([p[:, 0], p[:, 1]], 1), 2),
        (lambda p: np.stack([p[:, 0], p[:, 1], -p.sum(1)], 1), 3),
        (lambda p: np.ones(len(p)), 2),  # a boundary nowhere
    ],
)
def test_decision_boundaries_of_all_kinds_of_scores(model, classes):
    held_out = (np.zeros((2, 2)), np.array([0, 1]))
    legend = [t.get_text() for t in plane(model, classes, held_out=held_out, margin=0.5).get_legend().get_texts()]
    assert legend == [*(f"class {k}" for k in range(classes)), "held out", "boundary", "score ±0.5"]


def test_the_boundary_is_where_the_score_is_zero():
    ax = plane(lambda p: p[:, 0] - 0.25, 2)
    lines = [c for c in ax.collections if c.get_linewidth()[0] == 1.6 and len(c.get_paths())]
    (line,) = lines
    np.testing.assert_allclose(np.concatenate([p.vertices for p in line.get_paths()])[:, 0], 0.25, atol=1e-6)


def test_curves_show_the_numbers_given():
    ax = plot.loss_curve([4.0, 2.0, 1.0], ax=figure.Figure().subplots())
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [4, 2, 1])
    noisy = plot.loss_curve(np.r_[np.ones(30), 3 * np.ones(30)], ax=figure.Figure().subplots(), window=10)
    np.testing.assert_allclose(noisy.lines[1].get_ydata()[[0, -1]], [1, 3])
    assert plot.loss_curve([0.0, 1.0], ax=figure.Figure().subplots()).get_yscale() == "linear"
    both = plot.accuracy_curves([(0, 0.5, 0.25), (9, 1.0, 0.75)], ax=figure.Figure().subplots())
    np.testing.assert_array_equal(both.lines[1].get_ydata(), [25, 75])


def test_confusion_counts():
    ax = plot.confusion([0, 0, 1, 2], [0, 1, 1, 0], 3, ax=figure.Figure().subplots())
    cells = {(int(t.get_position()[1]), int(t.get_position()[0])): int(t.get_text()) for t in ax.texts}
    assert cells == {(0, 0): 1, (0, 1): 1, (1, 1): 1, (2, 0): 1}


def test_a_figure_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = plot.save_figure(figure.Figure(figsize=(1, 1)), tmp_path / "a.png")
    before = path.read_bytes()
    assert before.startswith(SIGNATURE)

    def half(self, file, **options):
        with open(file, "wb") as out:
            out.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure.Figure, "savefig", half)
    with pytest.raises(OSError, match=r"cannot write '.*': the disk is full"):
        plot.save_figure(figure.Figure(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
