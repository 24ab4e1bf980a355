"""The toy datasets: reproducible, split in the right ratio, standardised by what is trained on."""

import os
import subprocess
import sys

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import data

pytest.importorskip("sklearn")


@pytest.mark.parametrize("name", data.DATASETS)
def test_the_same_seed_gives_the_same_arrays(name):
    a, b, c = (data.toy(name, samples=100, seed=s) for s in (3, 3, 4))
    for part in ("x_train", "y_train", "x_test", "y_test", "mean", "scale"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
    assert not np.array_equal(a.x_train, c.x_train)


@pytest.mark.parametrize("name", data.DATASETS)
def test_split_and_standardisation(name):
    d = data.toy(name, samples=200, test_size=0.25, seed=1)
    assert d.x_train.dtype == np.float64
    assert d.y_train.dtype == np.int64
    assert len(d.x_train) + len(d.x_test) == 200
    assert len(d.x_test) == pytest.approx(50, abs=d.classes)  # rounded class by class
    np.testing.assert_allclose(d.x_train.mean(0), 0, atol=1e-12)
    if name == "digits":
        assert d.x_train.std() == pytest.approx(1)
        assert len(set(d.scale)) == 1
    else:
        np.testing.assert_allclose(d.x_train.std(0), 1, rtol=1e-12)
    rows = {tuple(row) for row in np.round(d.x_train, 9)}
    assert name == "digits" or not rows & {tuple(row) for row in np.round(d.x_test, 9)}
    np.testing.assert_allclose(d.standardize(d.raw(d.x_test)), d.x_test, atol=1e-12)
    assert set(d.y_train) == set(d.y_test) == set(range(d.classes))


def test_noise_and_no_standardisation():
    still, loud = (data.toy("circles", noise=noise, standardize=False) for noise in (0.0, 0.2))
    radius = np.hypot(*still.x_train.T)
    assert np.minimum(abs(radius - 1), abs(radius - 0.4)).max() < 1e-9
    assert np.minimum(abs(np.hypot(*loud.x_train.T) - 1), 1).std() > 0.05
    np.testing.assert_array_equal(still.mean, 0)
    clean, noisy = (data.toy("digits", noise=noise, standardize=False) for noise in (None, 0.1))
    assert 0 <= clean.x_train.min() <= clean.x_train.max() == 1
    assert (noisy.x_train - clean.x_train).std() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("moon", {}, "unknown dataset 'moon': did you mean 'moons'"),
        ("wine quality", {}, "there are moons, circles, blobs, digits"),
        ("moons", {"samples": 1}, "samples must lie between 10 and"),
        ("digits", {"samples": 5000}, "between 50 and 1,797, got 5000"),
        ("moons", {"noise": -0.1}, "noise must be a finite number"),
        ("moons", {"noise": float("nan")}, "noise must be a finite number"),
        ("moons", {"test_size": 1.0}, "test_size is the share"),
        ("moons", {"seed": -1}, "seed must be a whole number from 0"),
        ("moons", {"seed": 2**32}, "seed must be a whole number from 0"),
    ],
)
def test_what_makes_no_dataset(name, options, message):
    with pytest.raises(ValueError, match=message):
        data.toy(name, **options)


def test_batches_cover_everything_once_in_a_seeded_order():
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    pieces = list(data.batches(x, y, 4, np.random.default_rng(0)))
    assert [len(a) for a, _ in pieces] == [4, 4, 2]
    seen = np.concatenate([b for _, b in pieces])
    assert sorted(seen) == list(range(10))
    assert list(seen) != list(range(10))
    for a, b in pieces:
        np.testing.assert_array_equal(a[:, 0], 2 * b)
    again = np.concatenate([b for _, b in data.batches(x, y, 4, np.random.default_rng(0))])
    np.testing.assert_array_equal(seen, again)
    ((whole, labels),) = data.batches(x, y)
    assert whole is x
    assert labels is y


def test_batches_that_make_no_sense():
    with pytest.raises(ValueError, match="x has 3 rows, y has 2"):
        data.batches(np.eye(3), np.arange(2))
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        data.batches(np.eye(3), np.arange(3), 0)


# ------------------------------------------------------------------------------------------------- datasets and files


def test_tensor_dataset_subset_and_split():
    samples = data.TensorDataset(np.arange(10), tt.tensor(np.arange(10) * 2.0))
    assert len(samples) == 10
    part = data.Subset(samples, [-1, 0])
    assert [int(x) for x, _ in (part[0], part[1])] == [9, 0]
    np.testing.assert_array_equal(part.batch(slice(0, 2))[1], [18, 0])
    parts = data.random_split(samples, [0.5, 0.25, 0.25], tt.rng(1))
    assert [len(p) for p in parts] == [6, 2, 2]
    assert sorted(int(p[i][0]) for p in parts for i in range(len(p))) == list(range(10))
    assert [len(p) for p in data.random_split(samples, [7, 3])] == [7, 3]
    for make, message in (
        (lambda: data.TensorDataset(np.ones(3), np.ones(4)), "same number of rows, got shapes"),
        (lambda: data.TensorDataset(np.array(3.0)), "same number of rows"),
        (lambda: data.Subset(samples, [0.5]), "list of sample numbers"),
        (lambda: data.random_split(samples, [5, 4]), "must sum to 10"),
        (lambda: data.random_split(samples, [11, -1]), "must not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(IndexError, match="0 … 9"):
        data.Subset(samples, [10])


def test_npz_and_npy(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.eye(3), y=np.arange(3))
    x, y = data.load_npz(tmp_path / "a.npz", ["x", "y"]).arrays
    np.testing.assert_array_equal(x, np.eye(3))
    np.save(tmp_path / "x.npy", np.eye(3))
    assert isinstance(data.load_npy(tmp_path / "x.npy").arrays[0], np.memmap)
    with pytest.raises(KeyError, match="has no 'z'; it has x, y"):
        data.load_npz(tmp_path / "a.npz", ["z"])
    for load in (data.load_npz, data.load_npy):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            load(tmp_path / "no")
    with pytest.raises(ValueError, match="use load_npz"):
        data.load_npy(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="use load_npy"):
        data.load_npz(tmp_path / "x.npy")
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-9])
    (tmp_path / "junk.npy").write_bytes(b"junk")
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("cut", "junk", "words", "objects"):
        with pytest.raises(ValueError, match="load_npy: .* is not a whole file of arrays of numbers: ") as caught:
            data.load_npy(tmp_path / f"{name}.npy")
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="pickled objects, which are never loaded"):
        data.load_npy(tmp_path / "objects.npy")


def test_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\ufeffa,b,label\n1,2.5,0\n\n3,4e1,1\n", encoding="utf-8")
    x, y = data.load_csv(path, "label").arrays
    np.testing.assert_array_equal(x, [[1, 2.5], [3, 40]])
    assert (y.tolist(), y.dtype) == ([0, 1], np.int64)
    x, y = data.load_csv(path, 1).arrays
    assert (x.shape, y.tolist(), y.dtype) == ((2, 2), [2.5, 40.0], np.float64)
    assert data.load_csv(path, None, dtype="float32").arrays[0].dtype == np.float32
    path.write_text("1;2\n3;4\n")
    assert data.load_csv(path, delimiter=";").arrays[0].tolist() == [[1], [3]]
    path.write_bytes("größe\tlabel\n0.5\t1\n".encode("utf-16"))  # as spreadsheets write it
    assert data.load_csv(path, "label", "\t").arrays[0].tolist() == [[0.5]]
    path.write_text("a,b\n" + "1,2\n" * 25_000)
    assert data.load_csv(path).arrays[0].shape == (25_000, 1)


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("a,b\n1,2\n3,x\n", "b", r"t\.csv, line 3, column 'b': expected a number, got 'x'"),
        ("1,2\n3,nan\n", -1, r"t\.csv, line 2, column '2': expected a number, the cell is empty or NaN"),
        ("a,b\n1,2\n3\n", "b", "line 3: expected 2 cells, as in the header, got 1"),
        ("a,b\n1,2\n", "c", "no column 'c', which is the target; there are a, b"),
        ("1,2\n", "c", "its first line holds no names"),
        ("1,2\n", 5, "has 2 columns, there is no number 5"),
        ("a,b\n", "b", "has names of columns but no rows below them"),
        ("", -1, "t.csv' is empty"),
        ("1,2\n3,inf\n", -1, "line 2, column '2': expected a number, got 'inf', which is not finite"),
        ("1,2\n3,1_0\n", -1, "line 2, column '2': expected a number, got '1_0'"),
        (b"1,2\n\xff,3\n", -1, "line 2, byte 1: the byte 0xff is not UTF-8 text"),
    ],
)
def test_csv_mistakes_name_line_and_column(tmp_path, text, target, message):
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as caught:
        data.load_csv(path, target)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        data.load_csv(tmp_path / "no.csv")


# ------------------------------------------------------------------------------------------------------------ loader


def numbers(n=10):
    return data.TensorDataset(np.arange(n), np.arange(n) * 0.5)


def flat(loader):
    return [int(i) for x, _ in loader for i in x]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_sample_once_in_an_order_that_the_seed_says(workers):
    loader = data.DataLoader(numbers(), 3, shuffle=True, generator=5, num_workers=workers)
    first, second = flat(loader), flat(loader)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    again = data.DataLoader(numbers(), 3, shuffle=True, generator=5)
    assert [flat(again), flat(again)] == [first, second]
    assert [len(x) for x, _ in loader] == [3, 3, 3, 1]
    assert [len(x) for x, _ in data.DataLoader(numbers(), 3, drop_last=True, num_workers=workers)] == [3, 3, 3]
    assert flat(data.DataLoader(numbers(), 4, num_workers=workers)) == list(range(10))


def test_the_shared_generator_and_others_give_the_seed():
    orders = []
    for generator in (None, None, tt.rng(3), np.random.default_rng(3)):
        tt.manual_seed(3)
        orders.append(flat(data.DataLoader(numbers(), 3, shuffle=True, generator=generator)))
    assert orders[0] == orders[1] == orders[2] == orders[3]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("taken", range(5))
def test_resumes_in_mid_epoch(taken, shuffle, workers):
    def make(seed):
        return data.DataLoader(
            numbers(), 3, shuffle, generator=seed, num_workers=workers,
            transform=lambda batch, rng: (batch[0], batch[1] + rng.normal()),
        )  # fmt: skip

    whole = make(1)
    rest = [[(x.tolist(), y.tolist()) for x, y in whole] for _ in range(4)]
    one = make(1)
    list(one)
    steps = iter(one)
    for _ in range(taken):
        next(steps)
    state = one.state_dict()
    two = make(2)
    two.load_state_dict(state)
    assert two.state_dict() == state
    left = [(x.tolist(), y.tolist()) for x, y in two]
    assert left == rest[1][taken:]
    assert [(x.tolist(), y.tolist()) for x, y in two] == rest[2]


def test_an_epoch_that_is_left_is_not_taken_up_by_itself():
    loader = data.DataLoader(numbers(), 3, shuffle=True, generator=1)
    whole = data.DataLoader(numbers(), 3, shuffle=True, generator=1)
    epochs = [flat(whole), flat(whole)]
    next(iter(loader))
    assert flat(loader) == epochs[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 11}, "samples 11, this one has 10"),
        ({"batch_size": 4}, "batch_size 4"),
        ({"shuffle": False}, "shuffle False"),
        ({"batch": 9}, "an epoch has 4 batches"),
        ({"seed": -1}, "seed, epoch, batch"),
        ({"epoch": "1"}, "seed, epoch, batch"),
        ({"more": 1}, "expected a state with"),
    ],
)
def test_the_state_of_another_loader_changes_nothing(change, message):
    loader = data.DataLoader(numbers(), 3, shuffle=True, generator=1)
    state = loader.state_dict()
    with pytest.raises(ValueError, match=message):
        loader.load_state_dict({**state, "epoch": 7, **change})
    assert loader.state_dict() == state


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_where_its_batch_would_have_come(workers):
    class Broken:
        def __len__(self):
            return 6

        def __getitem__(self, i):
            if i == 4:
                raise RuntimeError("sample 4 is broken")
            return float(i)

    seen = []
    with pytest.raises(RuntimeError, match="sample 4 is broken"):
        for batch in data.DataLoader(Broken(), 2, num_workers=workers):
            seen.append(batch.tolist())
    assert seen == [[0, 1], [2, 3]]


def test_threads_end_with_the_iteration():
    import threading

    before = set(threading.enumerate())  # one of an earlier test may end meanwhile
    steps = iter(data.DataLoader(numbers(100), 2, num_workers=4))
    next(steps)
    assert set(threading.enumerate()) - before
    steps.close()
    assert not set(threading.enumerate()) - before


def test_batches_are_memory_of_their_own():
    samples = numbers()
    for x, _ in data.DataLoader(samples, 5):
        x[...] = -1
    assert samples.arrays[0].tolist() == list(range(10))


def test_collating():
    import collections

    point = collections.namedtuple("point", "x y")
    out = data.default_collate([point(1, np.ones(2)), point(2, np.zeros(2))])
    assert type(out) is point
    assert out.y.shape == (2, 2)
    assert data.default_collate([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])["b"] == ["x", "y"]
    assert list(data.DataLoader([(0, "a"), (1, "b")], 2, collate_fn=len)) == [2]
    for samples, kind, message in (
        ([np.ones(2), np.ones(3)], ValueError, r"shapes \[\(2,\), \(3,\)\] do not stack"),
        ([(1, 2), (1,)], ValueError, "equal lengths"),
        ([{"a": 1}, {"b": 1}], ValueError, "same names"),
        ([(1,), [1]], TypeError, "of one kind"),
        ([object()], TypeError, "expected numbers, arrays"),
    ):
        with pytest.raises(kind, match=message):
            data.default_collate(samples)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch_size": 0}, "batch_size must be"), ({"batch_size": 2.5}, "batch_size must be"), ({"num_workers": -1}, "num_workers must be"),
     ({"generator": -3}, "seed must not be negative")],
)  # fmt: skip
def test_loader_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        data.DataLoader(numbers(), **options)
    with pytest.raises(TypeError, match="samples by number"):
        data.DataLoader(3)


MAPPED = """
import resource, sys, numpy as np, tinytensor as tt
samples = tt.data.load_npy(sys.argv[1])
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
limit = 200 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.array(samples.arrays[0])
except MemoryError:
    print("does not fit")
total, n = 0.0, 0
loader = tt.data.DataLoader(samples, 1000, shuffle=True, generator=0, num_workers=2)
for k, (x,) in enumerate(loader):
    total, n = total + float(x[:, 0].sum()), n + len(x)
print(n, total)
print(tt.data.Standardize(1000).fit(samples.arrays[0]).mean.data[:2].round(9).tolist())
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's limits")
def test_a_file_larger_than_memory_is_read_in_pieces(tmp_path):
    """A file of 400 MB (mostly holes) for a process that may have 200 MB."""
    n = 100_000
    file = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (n, 1000))
    file[::1000, 0] = 1.0
    del file
    done = subprocess.run(
        [sys.executable, "-c", MAPPED, str(tmp_path / "x.npy")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout.splitlines() == ["does not fit", f"{n} 100.0", "[0.001, 0.0]"]


# ------------------------------------------------------------------------------------------------------ standardising


def test_standardize_fits_as_numpy_does_and_undoes_itself():
    x = np.random.default_rng(0).normal(1e6, 3, size=(5000, 4, 3))
    x[..., 0] = 7
    layer = data.Standardize(4, 3)
    standardize_module = sys.modules["tinytensor.data.standardize"]
    old, standardize_module._CHUNK = standardize_module._CHUNK, 12 * 7  # seven rows at a time
    try:
        layer.fit(x)
    finally:
        standardize_module._CHUNK = old
    np.testing.assert_allclose(layer.mean.data, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(layer.scale.data[:, 1:], x.std(0)[:, 1:], rtol=1e-9)
    assert (layer.scale.data[:, 0] == 1).all()
    np.testing.assert_allclose(layer.inverse(layer(x)), x, rtol=1e-12)
    assert isinstance(layer(x), np.ndarray)
    assert layer(x.astype("float32")).dtype == np.float32
    assert layer(tt.tensor(x)).data == pytest.approx(layer(x))
    assert layer(np.ones((2, 4, 3), int)).dtype == np.float32


def test_standardize_is_saved_with_the_model_and_has_a_gradient(tmp_path):
    pytest.importorskip("safetensors")
    x = np.random.default_rng(0).normal(5, 3, size=(50, 2))
    model = tt.nn.Sequential(data.Standardize(2).fit(x), tt.nn.Linear(2, 1, dtype="float64"))
    tt.io.save(model.state_dict(), tmp_path / "m.safetensors")
    again = tt.nn.Sequential(data.Standardize(2), tt.nn.Linear(2, 1, dtype="float64"))
    again.load_state_dict(tt.io.load(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(again(x).data, model(x).data)
    assert [name for name, _ in model.named_parameters()] == ["1.weight", "1.bias"]
    t = tt.tensor(x, requires_grad=True)
    model(t).sum().backward()
    np.testing.assert_allclose(t.grad, (model[1].weight.data / x.std(0)).repeat(50, 0), rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((3, 5)), r"expected numbers of shape \(n, 2\), got float64 \(3, 5\)"),
        (np.ones(2), "expected numbers of shape"),
        (np.ones((0, 2)), "at least one sample"),
        (np.array([[1.0, np.nan], [1.0, 2.0]]), r"feature \[1\] holds nan or infinity"),
        (np.array([["a", "b"]]), "expected numbers"),
    ],
)
def test_standardize_mistakes(x, message):
    layer = data.Standardize(2)
    with pytest.raises(ValueError, match=message):
        layer.fit(x)
    assert layer.mean.data.tolist() == [0, 0]
    with pytest.raises(ValueError, match="the shape of a sample"):
        data.Standardize()
