"""Containers, state, embedding, dropout and normalisation: structure, numbers as PyTorch's, messages."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.ops import embedding as rows
from tinytensor.ops import normalization
from tinytensor.testing import check_grads

F = nn.functional
rng = np.random.default_rng(0)
X, X3, X4 = rng.standard_normal((5, 6)), rng.standard_normal((3, 6, 4)), rng.standard_normal((3, 6, 2, 3))

# ---------------------------------------------------------------------------------------------------------- containers


def test_sequential_is_a_list():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    model = nn.Sequential(a, b)
    assert model.append(c) is model
    assert [*model] == [a, b, c]
    assert model[-1] is c
    assert isinstance(model[:2], nn.Sequential)
    assert [*model[1:]] == [b, c]
    assert b in model
    assert model.pop(1) is b
    model.insert(1, nn.Tanh())
    model[1] = b
    assert [*model] == [a, b, c]
    del model[2]
    model.extend([c, nn.Identity()])
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    for wrong in (lambda: nn.Sequential(a, 3), lambda: model.append("x"), lambda: model.extend([1])):
        with pytest.raises(TypeError, match="not a module, got (int|str)"):
            wrong()
    assert len(model) == 4


def test_sequential_with_names():
    model = nn.Sequential({"first": nn.Linear(2, 3), "bend": nn.ReLU()})
    assert list(model.state_dict()) == ["first.weight", "first.bias"]
    assert model.first is model[0]
    assert list(model[:1].state_dict()) == ["first.weight", "first.bias"]
    model.append(nn.Linear(3, 1))
    assert list(model.state_dict())[2:] == ["2.weight", "2.bias"]
    assert repr(model).startswith("Sequential(\n  (first): Linear(")
    with pytest.raises(AttributeError, match="no attribute 'second'"):
        _ = model.second
    with pytest.raises(KeyError, match="without dots"):
        nn.Sequential({"a.b": nn.ReLU()})
    twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert list(twin.state_dict()) == list(model.state_dict())


def test_lists_and_dicts_of_modules_and_parameters():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
            self.heads = nn.ModuleDict({"mean": nn.Linear(2, 1)})
            self.rows = nn.ParameterList([np.ones(2)])
            self.named = nn.ParameterDict({"scale": np.ones(3)})

    net = Net()
    assert list(net.state_dict()) == [
        "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias", "heads.mean.weight", "heads.mean.bias",
        "rows.0", "named.scale",
    ]  # fmt: skip
    net.blocks += [nn.ReLU()]
    net.heads["scale"] = nn.Tanh()
    assert len(net.blocks), len(net.heads) == (3, 2)
    assert "scale" in net.heads and net.heads.scale is net.heads["scale"]
    assert list(net.heads.keys()) == ["mean", "scale"] == [k for k, _ in net.heads.items()]
    assert net.heads.pop("scale") is not None and len(list(net.heads.values())) == 1
    del net.heads["mean"]
    net.rows.append([1.0])
    assert all(isinstance(p, nn.Parameter) for p in net.rows)
    assert isinstance(net.rows[1:], nn.ParameterList) and isinstance(net.blocks[1:], nn.ModuleList)
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        net.blocks(1)
    with pytest.raises(KeyError, match="ModuleDict: a name is a string"):
        net.heads[3] = nn.ReLU()


@pytest.mark.peers
def test_keys_of_containers_are_pytorchs():
    torch = pytest.importorskip("torch")

    def build(n):
        blocks = n.ModuleList([n.Sequential(n.Linear(2, 4), n.BatchNorm1d(4), n.PReLU()) for _ in range(2)])
        return n.ModuleDict(
            {"blocks": blocks, "table": n.Embedding(3, 2), "end": n.Sequential(n.LayerNorm(4), n.GELU())}
        )

    ours, theirs = build(nn), build(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]


# ---------------------------------------------------------------------------------------------------------- modules


def test_apply_goes_inside_out():
    seen = []
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    assert model.apply(lambda m: seen.append(type(m).__name__)) is model
    assert seen == ["Linear", "ReLU", "Sequential", "Sequential"]


def test_to_keeps_the_parameters():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = list(model.parameters())
    model(np.ones((4, 2))).sum().backward()
    assert model.double() is model
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.dtype == p.grad.dtype == np.float64 for p in model.parameters())
    assert [b.dtype.name for b in model.buffers()] == ["float64", "float64", "int64"]
    assert model(np.ones((4, 2))).dtype == np.float64
    model.zero_grad()
    model(np.ones((4, 2))).sum().backward()
    assert model[0].weight.grad.dtype == np.float64
    assert model.float()[0].weight.dtype == np.float32
    with pytest.raises(TypeError, match="floating"):
        model.to(int)


def test_hooks_see_and_change_outputs():
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    seen = []
    watching = model[1].register_forward_hook(lambda m, inputs, out: seen.append((inputs[0], out)))
    doubling = model[0].register_forward_hook(lambda m, inputs, out: out * 2)
    assert model(tt.tensor([1.0, -1.0])).tolist() == [2, 0]
    assert seen[0][0].tolist() == [2, -2]
    watching.remove()
    doubling.remove()
    doubling.remove()
    assert model(tt.tensor([1.0, -1.0])).tolist() == [1, 0] and len(seen) == 1


def test_hooks_before_forward_change_inputs():
    layer = nn.Identity()
    with layer.register_forward_pre_hook(lambda m, inputs: inputs[0] * 2):
        assert layer(tt.tensor([1.0])).tolist() == [2]
    assert layer(tt.tensor([1.0])).tolist() == [1]
    with pytest.raises(TypeError, match="Identity: a hook is a function, got int"):
        layer.register_forward_hook(3)


def test_names_are_registered_as_in_pytorch():
    m = nn.Module()
    m.register_parameter("w", nn.Parameter([1.0]))
    m.register_parameter("none", None)
    m.add_module("0", nn.Linear(1, 2))
    m.register_module("norm", nn.BatchNorm1d(2))
    assert list(m.state_dict(prefix="net."))[:3] == ["net.w", "net.0.weight", "net.0.bias"]
    assert m.state_dict(keep_vars=True)["w"] is m.w
    assert [n for n, _ in m.named_parameters("net", recurse=False)] == ["net.w"]
    assert [*m.parameters(recurse=False)] == [m.w]
    assert [*m.buffers(recurse=False)] == []
    assert [n for n, _ in m.named_buffers(prefix="net")][0] == "net.norm.running_mean"
    assert m.get_buffer("norm.running_var") is m.norm.running_var
    m.twin = m.norm
    assert [n for n, _ in m.named_modules(remove_duplicate=False)] == ["", "0", "norm", "twin"]
    assert m.get_parameter("twin.weight") is m.norm.weight
    for call, error, words in [
        (lambda: m.register_parameter("v", tt.ones(1)), TypeError, "'v' must be a Parameter or None, got Tensor"),
        (lambda: m.add_module("v", 3), TypeError, "'v' must be a module, got int"),
        (lambda: m.add_module("a.b", nn.ReLU()), KeyError, "without dots, got 'a.b'"),
        (lambda: m.register_buffer("forward", tt.ones(1)), KeyError, "has an attribute 'forward' already"),
        (lambda: m.get_buffer("norm.mean"), KeyError, "no buffer 'norm.mean'; see named_buffers"),
    ]:
        with pytest.raises(error, match=words):
            call()


def test_a_parameter_is_not_replaced_by_what_would_not_be_trained():
    layer = nn.Linear(2, 3)
    for value in (tt.ones((3, 2)), np.ones((3, 2)), 1.0):
        with pytest.raises(TypeError, match="Linear: weight is a parameter; assign a Parameter or None"):
            layer.weight = value
    layer.weight = nn.Parameter(np.ones((3, 2)), False)
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]
    assert not layer.weight.requires_grad


def test_containers_grow_as_in_pytorch():
    model = nn.Sequential()
    model.add_module("fc", nn.Linear(1, 2))
    model.add_module("bend", nn.ReLU())
    assert model.fc is model[0]
    assert list(model.state_dict()) == ["fc.weight", "fc.bias"]
    model.add_module("fc", nn.Linear(1, 3))
    assert model(np.ones((4, 1))).shape == (4, 3)
    longer = nn.Sequential(nn.ReLU()) + nn.Sequential(nn.Tanh())
    longer += [nn.Identity()]
    assert [type(m).__name__ for m in longer] == ["ReLU", "Tanh", "Identity"]
    blocks = nn.ModuleList([nn.ReLU()])
    assert len(blocks + [nn.Tanh()]) == 2 and len(blocks) == 1
    heads = nn.ModuleDict([("a", nn.ReLU())])
    heads.update(nn.ModuleDict({"b": nn.Tanh()}))
    assert list(heads) == ["a", "b"]
    heads.clear()
    assert not len(heads)
    with pytest.raises(TypeError, match="argument 0 is not a module, got the class ReLU; call it"):
        nn.Sequential(nn.ReLU)


def test_where_a_module_can_go():
    layer = nn.Linear(2, 3)
    assert layer.to("cpu").to(device="cpu").cpu() is layer
    assert layer.to("cpu", np.float64).weight.dtype == np.float64
    assert layer.to(tt.ones(1, dtype="float32")).weight.dtype == np.float32
    assert layer.half().weight.dtype == np.float16
    with pytest.raises(ValueError, match="computes on the CPU, got 'cuda:0'"):
        layer.to("cuda:0")


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: nn.Linear(3, 4, rng=rng), lambda rng: nn.Conv1d(2, 3, 4, rng=rng),
        lambda rng: nn.LSTM(2, 3, num_layers=2, rng=rng), lambda rng: nn.GRUCell(2, 3, rng=rng),
        lambda rng: nn.Embedding(5, 2, padding_idx=1, rng=rng),
        lambda rng: nn.MultiheadAttention(4, 2, add_bias_kv=True, rng=rng),
    ],
)  # fmt: skip
def test_parameters_are_drawn_anew_as_at_first(make):
    layer, twin = make(tt.rng(1)), make(tt.rng(1))
    state = layer.state_dict(keep_vars=True)
    twin.reset_parameters(tt.rng(2))
    assert any((twin.state_dict()[n] != p.data).any() for n, p in state.items())
    twin.reset_parameters(tt.rng(1))
    for name, p in state.items():
        np.testing.assert_array_equal(twin.state_dict()[name], p.data)


def test_repr_of_a_module_with_options_and_parts():
    assert repr(nn.MultiheadAttention(4, 2)).splitlines()[:2] == ["MultiheadAttention(", "  4, 2"]


def test_the_summary_of_a_model_that_begins_with_an_embedding(capsys):
    nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2)).summary((4, 7))
    assert "(4, 7, 2)" in capsys.readouterr().out


def test_complex_inputs_are_refused():
    for x in (tt.tensor([[1j, 2.0]]), np.ones((1, 2), complex)):
        with pytest.raises(TypeError, match="Linear: expected .*real numbers, got .*complex"):
            nn.Linear(2, 2)(x)


def test_a_state_is_names_and_arrays():
    layer = nn.Sequential(*[nn.Linear(1, 1) for _ in range(20)])
    with pytest.raises(TypeError, match="expected names and arrays, got list"):
        layer.load_state_dict([1])
    with pytest.raises(KeyError, match=r"'4.bias'\] and 30 more, unexpected nothing"):
        layer.load_state_dict({})
    found = nn.Linear(1, 1).load_state_dict({"more": 1}, strict=False)
    assert found.missing_keys == ["weight", "bias"] and found.unexpected_keys == ["more"]


def test_state_that_is_not_strict():
    a, b = nn.Linear(2, 3, rng=tt.rng(1)), nn.Linear(2, 3, rng=tt.rng(2))
    state = {"weight": a.weight.data, "more": np.zeros(1)}
    assert b.load_state_dict(state, strict=False) == (["bias"], ["more"])
    np.testing.assert_array_equal(a.weight.data, b.weight.data)


def test_buffers():
    m = nn.Module()
    m.register_buffer("kept", tt.ones(2))
    m.register_buffer("passing", tt.ones(3), persistent=False)
    m.register_buffer("nothing", None)
    assert list(m.state_dict()) == ["kept"]
    assert [n for n, _ in m.named_buffers()] == ["kept", "passing"]
    assert not list(m.parameters())


def test_parts_by_name():
    model = nn.MLP(2, [3, 1])
    assert model.get_submodule("2") is model[2]
    assert model.get_parameter("2.bias") is model[2].bias
    for find in (model.get_submodule, model.get_parameter):
        with pytest.raises(KeyError, match="9.weight"):
            find("9.weight")
    model(np.ones((1, 2))).sum().backward()
    model.zero_grad(set_to_none=False)
    assert not model[0].weight.grad.any()


@pytest.mark.parametrize(
    ("layer", "shapes", "products"),
    [
        (nn.LSTM(3, 4, num_layers=2, bidirectional=True), [(5, 2, 3)], 5 * 2 * 2 * 16 * ((3 + 4) + (8 + 4))),
        (nn.GRU(3, 4, batch_first=True), [(5, 2, 3)], 5 * 2 * 12 * 7),
        (nn.RNNCell(3, 4), [(5, 3)], 5 * 4 * 7),
        (nn.ConvTranspose2d(2, 3, 2), [(1, 2, 4, 4)], 16 * 2 * 3 * 4),
        (nn.Conv2d(4, 6, 3, groups=2), [(1, 4, 5, 5)], 9 * 6 * 2 * 9),
        # three maps of the inputs, two products of (L, E) with (S, E), and the map of the output
        (nn.MultiheadAttention(4, 2), [(3, 1, 4), (5, 1, 4), (5, 1, 4)], (3 + 5 + 5) * 16 + 2 * 3 * 5 * 4 + 3 * 16),
        (nn.MultiheadAttention(4, 2, batch_first=True), [(2, 3, 4)] * 3, 2 * (9 * 16 + 2 * 9 * 4 + 3 * 16)),
    ],
    ids=lambda v: repr(v)[:30],
)
def test_the_summary_counts_products(layer, shapes, products):
    """Of recurrent layers, transposed convolutions and attention too, whose weights are used in other ways."""
    from tinytensor.nn.summary import Summary

    assert Summary(layer, tuple(np.zeros(shape, np.float32) for shape in shapes)).multiplies == products


def test_summary(capsys):
    model = nn.Sequential(nn.Embedding(10, 4), nn.LayerNorm(4), nn.Dropout(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    model.summary(np.zeros((3, 5), int))
    text = capsys.readouterr().out
    assert "(3, 5, 2)" in text and "58, 18 trainable, 40 frozen (232 bytes)" in text
    assert "multiply-adds  120" in text
    assert all(m.training and not m._hooks for m in model.modules())
    model.summary()
    assert "outputs" not in capsys.readouterr().out
    with pytest.raises(ValueError, match="linear"):
        nn.MLP(2, [1]).summary((3, 7))


# -------------------------------------------------------------------------------------------------------- embedding


@pytest.mark.parametrize("padding", [None, 2, -4])
@pytest.mark.parametrize("shape", [(), (3,), (2, 40)])
def test_embedding_against_differences(shape, padding):
    indices = np.random.default_rng(1).integers(0, 6, shape)
    table = rng.standard_normal((6, 3))
    if padding is None:
        check_grads(lambda w: F.embedding(indices, w), table, order=2)
    g = np.cos(np.arange(indices.size * 3.0)).reshape((*shape, 3))
    grad = tt.grad(lambda w: (F.embedding(indices, w, padding) * g).sum())(table)
    expected = np.zeros_like(table)
    np.add.at(expected, indices, g)
    if padding is not None:
        expected[padding] = 0
    np.testing.assert_allclose(grad, expected, rtol=1e-13)
    check_grads(lambda x: rows._added_rows(x, indices, padding and padding % 6, (6, 3)), g, order=2)
    recorded = tt.grad(lambda w: (F.embedding(indices, w, padding) * g).sum(), create_graph=True)(tt.tensor(table))
    np.testing.assert_allclose(recorded.data, expected, rtol=1e-13)


@pytest.mark.peers
def test_embedding_is_pytorchs():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Embedding(7, 3, padding_idx=1).double()
    ours = nn.Embedding(7, 3, padding_idx=1, dtype="float64")
    assert repr(ours) == repr(theirs)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    indices = np.array([[1, 2, 2], [6, 1, 0]])
    for _ in range(2):
        (ours(indices) ** 2).sum().backward()
        (theirs(torch.tensor(indices)) ** 2).sum().backward()
    np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad.numpy(), rtol=1e-13)


def test_embedding_checks_its_indices():
    table = nn.Embedding(4, 2)
    assert table([]).shape == (0, 2)
    assert table(np.array([3], np.uint8)).shape == (1, 2)
    for wrong, error, words in [
        ([4], ValueError, "must lie in 0 … 3, got 4 … 4"), ([-1], ValueError, "got -1"), ([0.5], TypeError, "integers")
    ]:  # fmt: skip
        with pytest.raises(error, match=words):
            table(wrong)
    with pytest.raises(ValueError, match="within the 4 rows"):
        nn.Embedding(4, 2, padding_idx=4)
    assert not nn.Embedding(4, 2, padding_idx=-1).weight.data[3].any()
    frozen = nn.Embedding.from_pretrained(np.ones((3, 2)))
    assert not frozen.weight.requires_grad and frozen([0]).tolist() == [[1, 1]]
    with pytest.raises(ValueError, match="matrix"):
        nn.Embedding.from_pretrained(np.ones(3))


def test_one_hot():
    assert F.one_hot([[0, 1]], 3).tolist() == [[[1, 0, 0], [0, 1, 0]]]
    with pytest.raises(ValueError, match="0 … 1"):
        F.one_hot([2], 2)


# ----------------------------------------------------------------------------------------------------------- dropout


def test_dropout():
    x = tt.ones(10_000, requires_grad=True)
    out = nn.Dropout(0.25, rng=tt.rng(0))(x)
    assert set(np.unique(out.data)) == {0, 1 / 0.75}
    assert out.data.mean() == pytest.approx(1, abs=0.02)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, out.data)
    tt.manual_seed(3)
    a = F.dropout(x, 0.5)
    tt.manual_seed(3)
    np.testing.assert_array_equal(a.data, F.dropout(x, 0.5).data)
    assert F.dropout(x, 0.5, training=False) is x
    assert nn.Dropout(0.5).eval()(x) is x
    assert not F.dropout(x, 1.0).data.any()
    assert F.dropout(np.ones(3, np.float32), 0.5).dtype == np.float32
    assert repr(nn.Dropout(0.1)) == "Dropout(p=0.1, inplace=False)"
    with pytest.raises(ValueError, match="Dropout: p must lie between 0 and 1, got 2"):
        nn.Dropout(2)
    with pytest.raises(TypeError, match="floating"):
        F.dropout(np.ones(3, int), 0.5)


def test_dropout_of_channels():
    for f, layer, shape in [(F.dropout1d, nn.Dropout1d, (50, 4, 7)), (F.dropout2d, nn.Dropout2d, (50, 4, 3, 3))]:
        for dims in (shape, shape[1:]):
            out = f(tt.ones(dims), 0.5).data.reshape(*dims[: len(dims) - len(shape) + 2], -1)
            assert (out == out[..., :1]).all()
            assert {0, 2} >= set(np.unique(out))
        assert layer(0.5).eval()(np.ones(shape)).sum() == np.prod(shape)
        with pytest.raises(ValueError, match="axes"):
            f(tt.ones(3), 0.5)


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).standard_normal(200_000)
    out = nn.AlphaDropout(0.3, rng=tt.rng(1))(tt.tensor(x)).data
    assert out.mean() == pytest.approx(0, abs=0.01) and out.std() == pytest.approx(1, abs=0.01)
    assert not F.alpha_dropout(tt.ones(3), 1.0, training=True).data.any()


# ------------------------------------------------------------------------------------------------------ normalisation

W, B = rng.standard_normal((2, 6))
NORMS = {
    "layer": (lambda x, w, b: F.layer_norm(x, 6, w, b), X),
    "layer, images": (lambda x, w, b: F.layer_norm(x.transpose(0, 2, 3, 1), 6, w, b), X4),
    "rms": (lambda x, w, b: F.rms_norm(x, 6, w) + b, X),
    "rms, bare": (lambda x, w, b: F.rms_norm(x, (6,)) * w + b, X),
    "group 1": (lambda x, w, b: F.group_norm(x, 1, w, b), X4),
    "group 2": (lambda x, w, b: F.group_norm(x, 2, w, b), X3),
    "group of numbers": (lambda x, w, b: F.group_norm(x, 3, w, b), X),
    "instance": (lambda x, w, b: F.instance_norm(x, weight=w, bias=b), X4),
    "batch": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), X),
    "batch, images": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), X4),
    "batch, evaluated": (lambda x, w, b: F.batch_norm(x, tt.zeros(6) + 0.5, tt.ones(6) * 2, w, b), X3),
    "statistics": (lambda x, w, b: sum(o.sum() * k for k, o in enumerate(normalization.batch_statistics(x, w, b, 1e-5))), X3),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
def test_norms_against_differences(name):
    f, x = NORMS[name]
    check_grads(f, x, W, B, order=2)


LAYERS = [
    ("LayerNorm", (6,), X), ("LayerNorm", ([2, 3],), X4), ("RMSNorm", (6,), X), ("RMSNorm", ((6, 4), 1e-3), X3), ("RMSNorm", (6, None, False), X),
    ("GroupNorm", (2, 6), X4), ("GroupNorm", (6, 6), X3), ("GroupNorm", (3, 6, 1e-3, False), X),
    ("InstanceNorm1d", (6,), X3), ("InstanceNorm2d", (6, 1e-5), X4), ("BatchNorm1d", (6,), X),
    ("BatchNorm1d", (6, 1e-3, 0.3), X3), ("BatchNorm2d", (6,), X4), ("BatchNorm2d", (6, 1e-5, None), X4),
    ("BatchNorm2d", (6, 1e-5, 0.1, False), X4), ("BatchNorm1d", (6, 1e-5, 0.1, True, False), X),
]  # fmt: skip


@pytest.mark.peers
@pytest.mark.parametrize(("name", "args", "x"), LAYERS, ids=[f"{n}{a}" for n, a, _ in LAYERS])
def test_layers_are_pytorchs(name, args, x):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, name)(*args).double()
    ours = getattr(nn, name)(*args, dtype="float64")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with torch.no_grad():
        for p in theirs.parameters():
            p += torch.randn(p.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    for mode in (True, True, False, True):
        ours.train(mode)
        theirs.train(mode)
        a, b = tt.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        out, expected = ours(a), theirs(b)
        np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
        g = np.cos(np.arange(x.size)).reshape(x.shape)
        (out * g).sum().backward()
        (expected * torch.tensor(g)).sum().backward()
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-9, atol=1e-12)
        x = x * 1.5 + 0.3
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-9, atol=1e-12)
    for k, v in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[k], v.numpy(), rtol=1e-11, err_msg=k)


def test_running_statistics():
    m = nn.BatchNorm1d(3, momentum=None)
    batches = np.random.default_rng(0).standard_normal((4, 8, 3)) * 3 + 1
    for batch in batches:
        m(batch)
    np.testing.assert_allclose(m.running_mean.data, batches.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(m.running_var.data, batches.var(1, ddof=1).mean(0), rtol=1e-5)
    assert m.num_batches_tracked.item() == 4
    before = {k: v.copy() for k, v in m.state_dict().items()}
    m.eval()(batches[0])
    with pytest.raises(ValueError, match="more than one value for each channel"):
        m.train()(np.ones((1, 3)))
    for k, v in m.state_dict().items():
        np.testing.assert_array_equal(v, before[k])
    m.reset_running_stats()
    assert m.running_var.tolist() == [1, 1, 1] and m.num_batches_tracked.item() == 0
    m.reset_parameters()


def test_norms_of_large_numbers_are_stable():
    x = 1e6 + np.random.default_rng(0).standard_normal((4, 64))
    out = F.layer_norm(tt.tensor(x), 64).data
    np.testing.assert_allclose(out.std(1), 1, rtol=1e-4)
    np.testing.assert_allclose(F.layer_norm(tt.ones((2, 3)), 3).data, 0)


def test_norms_do_not_change_their_inputs_and_keep_the_dtype():
    for f, x in NORMS.values():
        x = x.astype(np.float32)
        before = x.copy()
        t, w, b = (tt.tensor(v.astype(np.float32), requires_grad=True) for v in (x, W, B))
        f(t, w, b).sum().backward()
        np.testing.assert_array_equal(t.data, before)
        assert t.grad.dtype == w.grad.dtype == b.grad.dtype == np.float32
        assert t.grad.shape == x.shape and w.grad.shape == b.grad.shape == (6,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.LayerNorm(5)(X), r"normalized_shape \(5,\), got x of shape \(5, 6\)"),
        (lambda: F.layer_norm(X, 6, np.ones(5)), r"weight of shape \(6,\), got \(5,\)"),
        (lambda: nn.GroupNorm(4, 6), "cannot be divided into 4 groups"),
        (lambda: nn.GroupNorm(2, 6)(np.ones((2, 5))), r"expected x \(N, 6, …\)"),
        (lambda: F.group_norm(X, 4), "divisible by 4"), (lambda: nn.BatchNorm1d(6)(X4), r"\(N, 6\) or \(N, 6, …\)"),
        (lambda: nn.BatchNorm2d(6)(X), "got shape"), (lambda: nn.BatchNorm1d(4)(X), "got shape"),
        (lambda: F.batch_norm(X), "running_mean and running_var"), (lambda: F.batch_norm(X[0], training=True), "N, C"),
        (lambda: F.batch_norm(X, weight=np.ones(3), training=True), r"weight of shape \(6,\)"),
        (lambda: nn.InstanceNorm1d(6)(X), "got shape"), (lambda: F.instance_norm(X), "more than one value"),
    ],
)  # fmt: skip
def test_messages(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("layer", ["layer_norm", "rms_norm"])
def test_norms_of_many_rows_by_their_definition(layer):
    """The gradients of a sum (one number repeated) and of any other function, for input, weight and bias."""
    draw = np.random.default_rng(0)
    x, w, b, c = (
        draw.standard_normal((300, 65)) + 3,
        draw.standard_normal(65),
        draw.standard_normal(65),
        draw.standard_normal((300, 65)),
    )
    centre = layer == "layer_norm"

    def ours(x, w, b):
        return tt.nn.functional.layer_norm(x, 65, w, b) if centre else tt.nn.functional.rms_norm(x, 65, w, 1e-5) + b

    def plain(x, w, b):
        d = x - x.mean(-1, keepdims=True) if centre else x
        return d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * w + b

    for factor in (1.0, c):
        mine, wanted = (
            tt.grad(lambda *a, f=f: (f(*a) * factor).sum(), argnums=(0, 1, 2))(x, w, b) for f in (ours, plain)
        )
        for got, expected in zip(mine, wanted, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-10)


def test_a_batch_of_one_normalised_by_groups():
    """The weight's gradient is its own memory: what goes on to x was once multiplied into it."""
    layer = nn.GroupNorm(1, 3).double()
    layer.weight.data[...] = [2.0, 3.0, 5.0]
    x = np.array([[1.0, 2.0, 4.0]])
    layer(x).sum().backward()
    np.testing.assert_allclose(layer.weight.grad, ((x - x.mean()) / np.sqrt(x.var() + 1e-5))[0], rtol=1e-12)


def test_running_statistics_of_instances():
    layer = nn.InstanceNorm1d(2, momentum=0.5, track_running_stats=True).double()
    x = rng.standard_normal((3, 2, 5))
    layer(x)
    np.testing.assert_allclose(layer.running_mean.data, 0.5 * x.mean((0, 2)), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.data, 0.5 + 0.5 * x.var(2, ddof=1).mean(0), rtol=1e-12)
    mean, var = layer.running_mean.data, layer.running_var.data
    expected = (x - mean[:, None]) / np.sqrt(var + 1e-5)[:, None]
    np.testing.assert_allclose(layer.eval()(x).data, expected, rtol=1e-12)
    np.testing.assert_allclose(layer(x[0]).data, expected[0], rtol=1e-12)
    with pytest.raises(TypeError, match="instance_norm: running_mean must not require grad"):
        F.instance_norm(x, nn.Parameter(mean))
    with pytest.raises(ValueError, match=r"InstanceNorm1d: expected x \(N, 2, …\) or \(2, …\), got shape \(3, 5\)"):
        layer(np.ones((3, 5)))


def test_embedding_with_a_largest_norm():
    table = nn.Embedding.from_pretrained(np.array([[3.0, 4.0], [6.0, 8.0], [0.1, 0.0]]))
    table.max_norm = 1.0
    np.testing.assert_allclose(table([0, 2]).data, [[0.6, 0.8], [0.1, 0.0]], rtol=1e-6)
    assert table.weight.data[1].tolist() == [6, 8]  # not looked up


def test_a_number_flattens_to_a_vector():
    assert nn.Flatten(0)(tt.tensor(3.0)).tolist() == [3]


def test_pad_takes_pytorchs_order():
    x = tt.tensor([[1.0, 2.0, 3.0]])
    assert F.pad(x, (1, 0, 0, 1), value=9).tolist() == [[9, 1, 2, 3], [9, 9, 9, 9]]
    assert F.pad(x, (-1, 1)).tolist() == [[2, 3, 0]]
    assert F.pad(x, (2, 0), "circular").tolist() == [[2, 3, 1, 2, 3]]
    for widths, mode, words in [
        ((1,), "constant", "pairs of widths"), ((3, 0), "reflect", "cannot add 3"), ((1, 1), "edge", "mode must be"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=words):
            F.pad(x, widths, mode)


def test_directions():
    x = tt.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    y = F.normalize(x)
    assert y.tolist() == [[0.6, 0.8], [0, 0]]
    y.sum().backward()
    assert np.isfinite(x.grad).all()
    check_grads(F.cosine_similarity, rng.standard_normal((3, 4)), rng.standard_normal((3, 4)))
