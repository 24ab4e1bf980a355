"""Files: what is written comes back, what is broken is refused in one sentence, nothing is left half-written."""

import json
import os
import struct

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import io

pytest.importorskip("safetensors")


def everything():
    return {
        "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "strided": np.arange(10)[::3],
        "number": np.array(3.5),
        "empty": np.zeros((0, 4), np.float32),
        "bool": np.array([True, False]),
        "big endian": np.arange(3, dtype=">i4"),
        "half": np.ones(2, np.float16),
        "tensor": tt.tensor([1.0, 2.0], requires_grad=True),
    }


def test_what_is_saved_comes_back(tmp_path):
    state = everything()
    path = io.save(state, tmp_path / "w.safetensors", {"made by": "us", "ü": 'ö " {}'})
    loaded = io.load(path)
    assert set(loaded) == set(state)
    for name, value in state.items():
        array = value.data if isinstance(value, tt.Tensor) else value
        assert loaded[name].shape == array.shape, name
        assert loaded[name].dtype == array.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].flags.writeable
    assert io.load_metadata(path) == {"made by": "us", "ü": 'ö " {}'}


def test_the_library_itself_reads_our_files(tmp_path):
    from safetensors import safe_open

    path = io.save({"w": np.eye(3)}, tmp_path / "w.safetensors", {f"m{i}": str(i) for i in range(9)})
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {f"m{i}": str(i) for i in range(9)}
        np.testing.assert_array_equal(file.get_tensor("w"), np.eye(3))


def test_the_same_content_gives_the_same_bytes(tmp_path):
    words = {f"m{i}": str(i) for i in range(12)}
    made = {io.save(everything(), tmp_path / f"{i}.safetensors", words).read_bytes() for i in range(5)}
    assert len(made) == 1


def test_a_module_comes_back(tmp_path):
    model = tt.nn.MLP(3, [5, 2], activation="tanh", dtype="float64", rng=tt.rng(1))
    path = io.save_mlp(model, tmp_path / "m.safetensors", {"dataset": "none"})
    tt.manual_seed(4)
    expected = tt.rand(2).data
    tt.manual_seed(4)
    again, words = io.load_mlp(path)
    np.testing.assert_array_equal(tt.rand(2).data, expected)  # rebuilding draws no numbers of the user's
    assert (again.sizes, again.activation) == ([3, 5, 2], "tanh")
    assert words["dataset"] == "none"
    x = np.linspace(-1, 1, 12).reshape(4, 3)
    np.testing.assert_array_equal(again(x).data, model(x).data)
    assert again(x).dtype == np.float64


def made(header, size):
    """A file of this header and ``size`` bytes of zeros."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def entry(**options):
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | options


def broken_files():
    good = io._sorted_header(io._safetensors().numpy.save({"w": np.eye(4)}, {"a": "b"}))
    return {
        "cut in its data": good[:-8],
        "cut in its header": good[:30],
        "empty": b"",
        "something else": b"\x80\x04\x95\x10 a pickle, perhaps" * 10,
        "with bytes too many": good + b"\0",
        "a huge header": struct.pack("<Q", 2**60) + good[8:],
        "with overlapping arrays": made({"a": entry(), "b": entry()}, 4),
        "with a hole": made({"a": entry(), "b": entry(data_offsets=[8, 12])}, 12),
        "with offsets backwards": made({"a": entry(data_offsets=[4, 0])}, 4),
        "with another shape than its data": made({"a": entry(shape=[7])}, 4),
        "with a negative shape": made({"a": entry(shape=[-1])}, 4),
        "with a shape that overflows": made({"a": entry(shape=[2**63, 2], data_offsets=[0, 0])}, 0),
        "with an unknown dtype": made({"a": entry(dtype="X9")}, 4),
        "with words that are numbers": made({"__metadata__": {"a": 3}}, 0),
        "with a name twice": made(
            b'{"a":%s,"a":%s}' % tuple(json.dumps(entry(data_offsets=[k, k + 4])).encode() for k in (0, 4)), 8
        ),
        "with half a header": made(b'{"a":', 0),
        "with a list for a header": made(b"[1]", 0),
        "with a header that is no text": made(b'{"\xff":1}', 0),
        "with a deep header": made(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 0),
    }


@pytest.mark.parametrize("kind", broken_files())
def test_a_broken_file_is_refused_in_one_sentence(tmp_path, kind):
    path = tmp_path / "w.safetensors"
    path.write_bytes(broken_files()[kind])
    for read in (io.load, io.load_metadata, io.load_mlp):
        with pytest.raises(ValueError, match="is not a whole safetensors file") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_no_pickle_is_ever_loaded(tmp_path):
    import pickle

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = tmp_path / "w.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="another kind"):
        io.load(path)
    assert not (tmp_path / "exploded").exists()


def test_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        io.load(tmp_path / "none.safetensors")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        io.load(tmp_path)


def test_a_file_that_holds_no_mlp(tmp_path):
    path = io.save({"w": np.eye(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="is not an MLP that save_mlp wrote"):
        io.load_mlp(path)
    words = {"model": "MLP", "sizes": "[1000000000, 1000000000]", "activation": "relu"}
    path = io.save({"0.weight": np.eye(2), "0.bias": np.ones(2)}, tmp_path / "w.safetensors", words)
    with pytest.raises(ValueError, match="its arrays say otherwise"):  # and no memory was asked for
        io.load_mlp(path)
    path = io.save({"0.weight": np.eye(2)}, tmp_path / "w.safetensors", words | {"sizes": "[2, 2]"})
    with pytest.raises(ValueError, match="missing"):
        io.load_mlp(path)


@pytest.mark.parametrize(
    ("state", "words", "message"),
    [
        ({"w": np.array([1j])}, {}, "complex128; safetensors holds"),
        ({"w": np.ones(2, np.longdouble)}, {}, "safetensors holds"),
        ({"w": np.array(["a"])}, {}, "safetensors holds"),
        ({3: np.eye(2)}, {}, "names of arrays are strings"),
        ({"w": np.eye(2)}, {"a": 3}, "metadata are strings by name"),
    ],
)
def test_what_cannot_be_saved(tmp_path, state, words, message):
    with pytest.raises(TypeError, match=message):
        io.save(state, tmp_path / "w.safetensors", words)
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    cases = [
        (tmp_path / "w.pt", ValueError, "must end in .safetensors"),
        (tmp_path / "no" / "w.safetensors", FileNotFoundError, "the folder .* does not exist"),
        (tmp_path / "file" / "w.safetensors", NotADirectoryError, "is not a folder"),
        ("/proc/w.safetensors", PermissionError, "no file can be made"),
    ]
    (tmp_path / "d.safetensors").mkdir()
    cases.append((tmp_path / "d.safetensors", IsADirectoryError, "is a folder"))
    for path, kind, message in cases:
        if str(path).startswith("/proc") and not os.path.isdir("/proc"):
            continue
        with pytest.raises(kind, match=message):
            io.save({"w": np.eye(2)}, path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.safetensors", "file"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = io.save({"w": np.eye(2)}, tmp_path / "w.safetensors")
    before = path.read_bytes()

    def disk_full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match=r"cannot write '.*w\.safetensors': the disk is full"):
        io.save({"w": np.ones(5)}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    with pytest.raises(KeyboardInterrupt), io.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")
def test_permissions_and_links_survive(tmp_path):
    path = io.save({"w": np.eye(2)}, tmp_path / "w.safetensors")
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    path.chmod(0o640)
    link = tmp_path / "link.safetensors"
    link.symlink_to(path)
    io.save({"w": np.ones(5)}, link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert io.load(path)["w"].shape == (5,)


# ------------------------------------------------------------------------------------------------- PyTorch's own files


def test_arrays_of_a_dtype_that_numpy_lacks(tmp_path):
    """bfloat16 is the upper half of float32, so it becomes one without loss; smaller floats are refused."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(made({"w": entry(dtype="BF16", shape=[2], data_offsets=[0, 4])}, 0) + b"\x80\x3f\x49\xc0")
    loaded = io.load(path)["w"]
    assert loaded.dtype == np.float32
    assert loaded.flags.writeable
    np.testing.assert_array_equal(loaded, np.float32([1.0, -3.140625]))
    path.write_bytes(made({"w": entry(dtype="F8_E4M3", data_offsets=[0, 1])}, 1))
    with pytest.raises(ValueError, match="'w' is of dtype F8_E4M3, which NumPy lacks; convert it to float32"):
        io.load(path)


def test_a_file_that_does_not_fit_changes_nothing(tmp_path):
    model = tt.nn.MLP(3, [4, 2])
    before = {name: array.copy() for name, array in model.state_dict().items()}
    good = {name: np.ones_like(array) for name, array in before.items()}
    cases = [
        ({k: v for k, v in good.items() if k != "2.bias"}, KeyError),
        (good | {"3.weight": np.ones(2)}, KeyError),
        (good | {"2.bias": np.ones(3)}, ValueError),
        (good | {"2.bias": np.ones(2, np.complex64)}, TypeError),
    ]
    for state, kind in cases:
        with pytest.raises(kind, match="load_state_dict"):
            model.load_state_dict(io.load(io.save(state, tmp_path / "w.safetensors")))
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


def test_every_cut_of_a_file_is_refused(tmp_path):
    whole = io.save({"w": np.eye(2), "v": np.ones(3, np.float32)}, tmp_path / "w.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            io.load(path)


DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool",
          "complex64"]  # fmt: skip


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
def test_pytorch_reads_our_arrays_and_we_read_its(tmp_path, dtype):
    _torch, library = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    base = (np.arange(24) % 2 if dtype == "bool" else np.arange(24)).astype(dtype)
    state = {
        "matrix": base.reshape(4, 6),
        "by columns": np.asfortranarray(base.reshape(2, 3, 4)),
        "number": base[3].reshape(()),
        "none": base[:0].reshape(0, 5),
        "every third": base[::3],
        "backwards": base[::-1],
    }
    path = io.save(state, tmp_path / "ours.safetensors", {"by": "tinytensor"})
    theirs = library.load_file(path)
    for name, array in state.items():
        assert str(theirs[name].dtype) == f"torch.{dtype}"
        assert tuple(theirs[name].shape) == array.shape
        np.testing.assert_array_equal(theirs[name].numpy(), array)
    library.save_file(theirs, tmp_path / "theirs.safetensors", {"format": "pt"})
    again = io.load(tmp_path / "theirs.safetensors")
    assert set(again) == set(state)
    for name, array in state.items():
        assert (again[name].dtype, again[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(again[name], array)
    assert io.load_metadata(tmp_path / "theirs.safetensors") == {"format": "pt"}


@pytest.mark.peers
def test_bfloat16_of_pytorch_becomes_float32(tmp_path):
    torch, library = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    values = torch.tensor([0.0, -0.0, 1.0, 3.14159, 1e38, float("inf"), float("nan")]).to(torch.bfloat16)
    library.save_file({"w": values, "s": values[3].clone()}, tmp_path / "w.safetensors")
    loaded = io.load(tmp_path / "w.safetensors")
    assert loaded["w"].tobytes() == values.float().numpy().tobytes()
    assert loaded["s"].shape == ()
    layer = tt.nn.Linear(7, 1, bias=False)
    layer.load_state_dict({"weight": loaded["w"][None]})
    assert layer.weight.dtype == np.float32


@pytest.mark.peers
def test_shared_weights_go_both_ways(tmp_path):
    """PyTorch's save_model writes a shared array once and notes its other names; ours are written under each name."""
    torch, library = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3))
    theirs[2].weight = theirs[0].weight
    library.save_model(theirs, tmp_path / "theirs.safetensors")
    ours = tt.nn.Sequential(tt.nn.Linear(3, 3), tt.nn.Tanh(), tt.nn.Linear(3, 3))
    ours[2].weight = ours[0].weight
    ours.load_state_dict(io.load(tmp_path / "theirs.safetensors"))
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(ours(x).data, theirs(torch.tensor(x)).detach().numpy(), atol=1e-6)
    ours[0].weight.data[...] *= 2
    io.save(ours.state_dict(), tmp_path / "ours.safetensors")
    theirs.load_state_dict(library.load_file(tmp_path / "ours.safetensors"))
    np.testing.assert_array_equal(theirs[2].weight.detach().numpy(), ours[0].weight.data)


def layers():
    """Name: (our layer, PyTorch's, a batch that it takes)."""
    kinds = {
        "Linear": ((3, 2), {}, (4, 3)),
        "Conv1d": ((4, 6, 3), {"groups": 2}, (2, 4, 9)),
        "Conv2d": ((2, 3, (3, 2)), {"padding": 1}, (2, 2, 5, 6)),
        "ConvTranspose1d": ((4, 6, 3), {"stride": 2, "groups": 2}, (2, 4, 5)),
        "ConvTranspose2d": ((2, 3, 3), {"stride": 2, "output_padding": 1}, (2, 2, 4, 4)),
        "BatchNorm1d": ((3,), {}, (5, 3)),
        "BatchNorm2d": ((3,), {"eps": 1e-3}, (2, 3, 4, 4)),
        "LayerNorm": ((6,), {}, (2, 3, 6)),
        "GroupNorm": ((2, 6), {}, (2, 6, 3)),
        "RMSNorm": ((6,), {}, (2, 6)),
        "PReLU": ((3,), {}, (2, 3)),
        "RNN": ((3, 4), {"num_layers": 2}, (5, 2, 3)),
        "LSTM": ((3, 4), {"num_layers": 2, "bidirectional": True}, (5, 2, 3)),
        "GRU": ((3, 4), {"batch_first": True}, (2, 5, 3)),
        "TransformerEncoderLayer": ((8, 2, 16), {"batch_first": True}, (2, 5, 8)),
    }
    return [pytest.param(name, *rest, id=name) for name, rest in kinds.items()]


@pytest.mark.peers
@pytest.mark.parametrize(("name", "args", "options", "shape"), layers())
def test_layers_take_the_weights_of_pytorch_and_give_theirs_back(tmp_path, name, args, options, shape):
    torch, library = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **options).train()
    x = torch.randn(shape)
    theirs(x)  # running statistics move away from their first values
    library.save_file({k: v.contiguous() for k, v in theirs.state_dict().items()}, tmp_path / "theirs.safetensors")
    ours = getattr(tt.nn, name)(*args, **options)
    ours.load_state_dict(io.load(tmp_path / "theirs.safetensors"))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.eval(), ours.eval()

    def first(out):
        return out[0] if isinstance(out, tuple) else out

    expected = first(theirs(x)).detach().numpy()
    np.testing.assert_allclose(first(ours(x.numpy())).data, expected, atol=2e-6)
    back = getattr(torch.nn, name)(*args, **options)
    back.load_state_dict(library.load_file(io.save(ours.state_dict(), tmp_path / "ours.safetensors")))
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(back.state_dict()[key].numpy(), value.numpy())


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="not a regular file"):
            tt.io.load(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a regular file"):
        tt.io.load(os.devnull)


def test_metadata_that_are_null_are_none(tmp_path):
    header = b'{"__metadata__":null,"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    assert tt.io.load_metadata(tmp_path / "w.safetensors") == {}
    assert tt.io.load(tmp_path / "w.safetensors")["w"].tolist() == [0]


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks")
def test_leftovers_of_killed_writers_go_with_the_next_file(tmp_path):
    """Those of a writer that is at work stay."""
    dead = tmp_path / f".w.safetensors.{'0' * 12}.tmp"
    dead.write_text("half")
    with tt.io.replacing(tmp_path / "w.safetensors") as temporary:
        assert not dead.exists()
        temporary.write_text("one")
        with tt.io.replacing(tmp_path / "w.safetensors") as other:
            other.write_text("two")
        assert temporary.read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_name_with_a_line_break_leaves_one_sentence(tmp_path):
    header = b'{"a\\nb":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(ValueError, match="not a whole safetensors file") as caught:
        tt.io.load(tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)
