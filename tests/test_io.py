"""Files: what is written comes back, what is broken is refused in one sentence, nothing is left half-written."""

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


def broken_files():
    good = io._sorted_header(io._safetensors().save({"w": np.eye(4)}, {"a": "b"}))
    bfloat = b'{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    return {
        "cut in its data": good[:-8],
        "cut in its header": good[:30],
        "empty": b"",
        "something else": b"\x80\x04\x95\x10 a pickle, perhaps" * 10,
        "with bytes too many": good + b"\0",
        "a huge header": struct.pack("<Q", 2**60) + good[8:],
        "of a dtype NumPy lacks": struct.pack("<Q", len(bfloat)) + bfloat + b"\0\0",
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
    with pytest.raises(OSError, match="No space left"):
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
