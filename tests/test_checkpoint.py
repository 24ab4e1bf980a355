"""Training that survives: files that are whole or refused, processes that are killed, disks that are full."""

import errno
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytensor as tt
from tinytensor import checkpoints
from tinytensor.checkpoints import files
from tinytensor.trainer import BestModel, Checkpoint, EarlyStopping, TrainingWarning

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "tests" / "train_and_die.py"


def same(a, b):
    """Equal values of equal kinds, nan equal to nan."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and set(a) == set(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


# ----------------------------------------------------------------------------------------------------------- the file


def test_any_nest_comes_back(tmp_path):
    state = {
        "a": [1, -(2**100), 1.5, float("nan"), float("inf"), -float("inf"), None, True, "ü\n", ()],
        "b": {0: (np.arange(3), [np.zeros((0, 2), np.float32)]), True: np.array(2.5), "$": "dollar", None: 1},
        "c": {"x.y": np.array([True, False]), "x": {"y": np.ones(2, np.int8)}},
        "d": np.arange(12.0).reshape(3, 4).T[::2], "e": np.float16(0.5) * np.ones(3, np.float16),
    }  # fmt: skip
    path = checkpoints.save(tmp_path / "s.safetensors", state)
    again = checkpoints.load(path)
    state["d"] = np.ascontiguousarray(state["d"])
    assert same(state, again)
    assert all(a.flags.writeable and a.flags.owndata for a in (again["d"], again["b"][True]))
    before = path.read_bytes()
    assert checkpoints.save(path, state).read_bytes() == before  # the same content gives the same bytes


simple = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    | st.tuples(inner, inner),
    max_leaves=10,
)  # fmt: skip


@given(simple)
@settings(max_examples=50)
def test_any_simple_nest_comes_back(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("c") / "s.safetensors"
    checkpoints.save(path, state)
    assert same(state, checkpoints.load(path))


def test_the_safetensors_library_reads_it(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    path = checkpoints.save(tmp_path / "s.safetensors", {"w": np.eye(3, dtype="float32"), "n": [np.arange(2)]})
    arrays = library.load_file(path)
    assert set(arrays) == {"w", "n.0"}
    np.testing.assert_array_equal(arrays["w"], np.eye(3))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (object(), "'the state' is of type object"),
        ({"a": [lambda: 0]}, "'a.0' is of type function"),
        ({"a": np.array(["x"])}, "'a' is an array of <U1"),
        ({"a": np.ones(2, complex)}, "array of complex128"),
        ({"a": {1, 2}}, "of type set"),
    ],
)
def test_what_cannot_be_written(tmp_path, state, message):
    with pytest.raises(TypeError, match=message):
        checkpoints.save(tmp_path / "s.safetensors", state)
    nest = []
    nest.append(nest)
    with pytest.raises(TypeError, match="nested more than"):
        checkpoints.save(tmp_path / "s.safetensors", nest)
    assert list(tmp_path.iterdir()) == []


def test_another_ending_and_keep(tmp_path):
    with pytest.raises(ValueError, match="must end in .safetensors"):
        checkpoints.save(tmp_path / "s.pt", 1)
    with pytest.raises(ValueError, match="keep is how many"):
        checkpoints.save(tmp_path / "s.safetensors", 1, keep=0)


def test_the_last_ones_are_kept(tmp_path):
    for k in range(6):
        checkpoints.save(tmp_path / "s.safetensors", k, keep=3)
    found = {p.name: checkpoints.load(p) for p in tmp_path.iterdir()}
    assert found == {"s.safetensors": 5, "s.1.safetensors": 4, "s.2.safetensors": 3}


def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    dead, alive, other = (
        tmp_path / n for n in (f".s.safetensors.{'0' * 12}.tmp", f".s.safetensors.{'1' * 12}.tmp", ".s.tmp")
    )
    for p in (dead, alive, other):
        p.write_text("half")
    with open(alive, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        checkpoints.save(tmp_path / "s.safetensors", 1)
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([alive.name, ".s.tmp", "s.safetensors"])


def exits_at_line(number, work):
    """Do ``work`` in a child that ends, as if killed, before the line ``number`` that it runs in files.py; True if it got through."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        seen = 0

        def trace(frame, event, arg):
            nonlocal seen
            if frame.f_code.co_filename != files.__file__:
                return None
            if event == "line":
                seen += 1
                if seen == number:
                    os._exit(9)
            return trace

        sys.settrace(trace)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX processes")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_before_every_single_line_of_writing(tmp_path):
    """The third of three checkpoints is written; at each moment the folder holds whole ones, and the newest is not lost."""
    path = tmp_path / "s.safetensors"
    for number in range(1, 1000):
        for name in os.listdir(tmp_path):
            (tmp_path / name).unlink()
        for k in (1, 2, 3):
            checkpoints.save(path, k, keep=3)
        through = exits_at_line(number, lambda: checkpoints.save(path, 4, keep=3))
        assert checkpoints.load(path) in (3, 4)
        older = [checkpoints.load(p) for p in sorted(tmp_path.glob("s.*.safetensors"))]
        assert 2 in older or 3 in older
        checkpoints.save(path, 5, keep=3)  # and it goes on from there
        assert checkpoints.load(path) == 5
        assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
        if through:
            break
    assert 30 < number < 999


WRITER = """
import sys
from tinytensor import checkpoints
for k in range(150):
    checkpoints.save(sys.argv[1], [int(sys.argv[2])] * 500, keep=3)
"""


def test_two_processes_write_one_checkpoint_and_a_third_reads_it(tmp_path):
    path = tmp_path / "s.safetensors"
    checkpoints.save(path, [0] * 500)
    both = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(k)], cwd=ROOT, stderr=subprocess.PIPE)
        for k in (1, 2)
    ]
    seen = set()
    while any(process.poll() is None for process in both):
        (value,) = set(checkpoints.load(path))
        seen.add(value)
    assert seen <= {0, 1, 2}
    for process in both:
        error = process.communicate()[1].decode()
        assert process.returncode == 0, error[-1000:]


# -------------------------------------------------------------------------------------------------------- bad files


def sealed(header, data=b""):
    """A file with a right checksum, whatever its header says."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    head = struct.pack("<Q", len(text)) + text
    place = head.index(b"0" * 64)
    return (
        head.replace(b"0" * 64, hashlib.sha256(head + data).hexdigest().encode(), 1)[: place + 64]
        + head[place + 64 :]
        + data
    )


META = {"sha256": "0" * 64, "format": "tinytensor checkpoint 1", "state": '{"w":{"$":"array","name":"w"}}'}
GOOD = {"__metadata__": META, "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def with_w(**changes):
    return sealed({**GOOD, "w": {**GOOD["w"], **changes}}, b"\0" * 8)


def with_state(state):
    return sealed({**GOOD, "__metadata__": {**META, "state": state}}, b"\0" * 8)


DEEP = b'{"__metadata__":{"sha256":"' + b"0" * 64 + b'","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
ENTRY = b'"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
TWICE = json.dumps({"__metadata__": META}, separators=(",", ":")).encode()[:-1] + b"," + ENTRY + b"," + ENTRY + b"}"

BAD = {
    "empty": (b"", "does not begin as a safetensors file"),
    "a pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0c__builtin__\neval\n", "does not begin as a safetensors file"),
    "a huge length": (struct.pack("<Q", 2**63) + b"{}", "does not begin as a safetensors file"),
    "a length behind the end": (struct.pack("<Q", 10_000) + b"{}", "cut off: its header has 10,000"),
    "no JSON": (struct.pack("<Q", 4) + b"{abc", "header is not JSON"),
    "a list": (struct.pack("<Q", 2) + b"[]", "header is a list"),
    "no text": (struct.pack("<Q", 2) + b"\xff\xfe", "header is not text"),
    "deep JSON": (sealed(DEEP), "nested too deep"),
    "a name twice": (sealed(TWICE, b"\0" * 8), "'w' is there twice"),
    "weights only": (struct.pack("<Q", 2) + b"{}", "holds arrays, and no state of a training"),
    "another format": (sealed({"__metadata__": {**META, "format": "tinytensor checkpoint 9"}}), "of format 'tinytensor checkpoint 9'"),
    "no checksum": (sealed({"__metadata__": {"format": META["format"], "sha256": "0" * 64, "state": "1"}}), "begin with its checksum"),
    "overlap": (sealed({**GOOD, "v": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"\0" * 12), "'w' and 'v' overlap"),
    "gap": (sealed({**GOOD, "v": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]}}, b"\0" * 16), "leave a gap"),
    "late": (with_w(data_offsets=[8, 16]), "begins at byte 8"),
    "backwards": (with_w(data_offsets=[8, 0]), "needs 8 bytes"),
    "negative": (with_w(data_offsets=[-8, 0]), "no sizes"),
    "a huge shape": (with_w(shape=[2**40, 2**40]), "needs 4835703278458516698824704 bytes"),
    "a huge array": (with_w(shape=[2**60], data_offsets=[0, 2**62]), "cut off, or too long"),
    "a huge number": (with_w(shape=[2**80]), "no sizes"),
    "a shape of words": (with_w(shape=["2"]), "no sizes"),
    "a shape of truths": (with_w(shape=[True, 2]), "no sizes"),
    "too many axes": (with_w(shape=[1] * 70 + [2]), "no sizes"),
    "another dtype": (with_w(dtype="F8_E5M2"), "which NumPy does not have"),
    "a list as dtype": (with_w(dtype=["F32"]), "which NumPy does not have"),
    "more keys": (with_w(code="import os"), "expected dtype, shape and data_offsets"),
    "no dict": (sealed({**GOOD, "w": 3}), "expected dtype, shape and data_offsets"),
    "too long": (sealed(GOOD, b"\0" * 9), "cut off, or too long"),
    "neither true nor false": (sealed({**GOOD, "w": {"dtype": "BOOL", "shape": [8], "data_offsets": [0, 8]}}, b"\7" * 8), "neither true nor false"),
    "an unknown array": (with_state('{"w":{"$":"array","name":"v"}}'), "which no checkpoint has"),
    "an array twice": (with_state('[{"$":"array","name":"w"},{"$":"array","name":"w"}]'), "which no checkpoint has"),
    "an array too many": (with_state("{}"), "does not know"),
    "an unknown kind": (with_state('{"$":"call","name":"os.system"}'), "which no checkpoint has"),
    "a dict as key": (with_state('{"$":"dict","items":[[{},1]]}'), "which no checkpoint has"),
    "a deep description": (with_state("[" * 100_000 + "]" * 100_000), "nested too deep"),
    "a long number": (with_state("1" * 10_000), "is not a checkpoint that can be read"),
    "not a number": (with_state('{"w":{"$":"array","name":"w"},"lr":NaN}'), "the number NaN, which JSON does not know"),
    "a twin in the description": (with_state('{"w":{"$":"array","name":"w"},"lr":1,"lr":2}'), "'lr' is there twice"),
    "no description": (with_state("nonsense"), "description is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path, kind):
    content, message = BAD[kind]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        checkpoints.load(path)
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 500 + len(str(path))


def test_the_good_one_is_not_refused(tmp_path):
    path = tmp_path / "good.safetensors"
    path.write_bytes(sealed(GOOD, b"\0" * 8))
    assert same(checkpoints.load(path), {"w": np.zeros(2, np.float32)})


def test_every_cut_and_every_changed_byte_is_seen(tmp_path):
    path = checkpoints.save(tmp_path / "s.safetensors", {"w": np.arange(5.0), "b": np.ones(3, bool), "n": 3})
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match="not a checkpoint that can be read"):
            checkpoints.load(path)
    for k in range(len(content)):
        path.write_bytes(content[:k] + bytes([content[k] ^ (1 << k % 8)]) + content[k + 1 :])
        with pytest.raises(ValueError, match="not a checkpoint that can be read"):
            checkpoints.load(path)


def test_no_file_a_folder_a_pipe(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        checkpoints.load(tmp_path / "no.safetensors")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        checkpoints.load(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="not a regular file"):  # it would wait for ever
            checkpoints.load(tmp_path / "pipe")


# ------------------------------------------------------------------------------------------------ resumed trainings


def make(
    path=None, seed=0, width=4, callbacks=(), optimizer=tt.optim.Adam, metrics="accuracy", schedule=False, **options
):
    tt.manual_seed(seed)
    model = tt.nn.MLP(2, [width, 2])
    several = [*callbacks] + ([Checkpoint(path, **options)] if path else [])
    chosen = optimizer(model.parameters(), lr=0.05)
    if schedule:
        several.append(tt.trainer.Schedule(tt.optim.lr_scheduler.StepLR(chosen, 2, 0.5)))
    return tt.Trainer(model, tt.nn.CrossEntropyLoss(), chosen, metrics=metrics, callbacks=several)


X = np.random.default_rng(0).normal(size=(20, 2))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


def everything(trainer):
    """What must not change when a file is refused."""
    arrays = {name: array.copy() for name, array in trainer.model.state_dict().items()}
    counts = trainer.epoch, trainer.step, len(trainer.history), list(trainer.history.losses), trainer.stopped
    return arrays, trainer.optimizer.state_dict(), checkpoints.generator_state(tt.creation.default_rng()), counts


def equal(a, b):
    return same(a[0], b[0]) and same(a[1], b[1]) and a[2:] == b[2:]


def edited(path, change):
    state = checkpoints.load(path)
    change(state)
    return checkpoints.save(path.with_name("edited.safetensors"), state)


CHANGES = {
    "another part": (lambda s: s.pop("random"), "expected a state with model, optimizer"),
    "a missing weight": (lambda s: s["model"].pop("0.bias"), "its model: missing ['0.bias']"),
    "a weight too many": (lambda s: s["model"].update(extra=np.ones(2)), "unexpected ['extra']"),
    "another shape": (lambda s: s["model"].update({"0.bias": np.ones(5, np.float32)}), "0.bias is float32 (5,), the model has float32 (4,)"),
    "another dtype": (lambda s: s["model"].update({"0.bias": np.ones(4)}), "0.bias is float64 (4,)"),
    "a word as weight": (lambda s: s["model"].update({"0.bias": "big"}), "0.bias is str"),
    "another optimizer": (lambda s: s["optimizer"].update(kind="SGD"), "written with the optimizer 'SGD', this training has Adam"),
    "another option": (lambda s: s["optimizer"]["state"]["param_groups"][0].update(lr="fast"), "lr must be a number"),
    "another moment": (lambda s: s["optimizer"]["state"]["state"][0].update(exp_avg=np.ones(3)), "exp_avg"),
    "another batch size": (lambda s: s["loader"].update(batch_size=9), "batch_size 9, this one has 5"),
    "more samples": (lambda s: s["loader"].update(samples=21), "samples 21, this one has 20"),
    "a batch behind the end": (lambda s: s["loader"].update(batch=99), "an epoch has 4 batches"),
    "no loader": (lambda s: s.update(loader=None), "where the loader was"),
    "another generator": (lambda s: s["random"]["shared"].update(bit_generator="MT19937"), "not the state of a PCG64 generator"),
    "a negative epoch": (lambda s: s["progress"].update(epoch=-1), "its epoch, step"),
    "a half epoch": (lambda s: s["progress"].update(epoch=1.5), "its epoch, step"),
    "another metric": (lambda s: s["progress"].update(metrics={"r2": np.zeros(4)}), "its metrics: missing ['accuracy']"),
    "other sums": (lambda s: s["progress"].update(sums=np.zeros(9)), "has no sums"),
    "a history of words": (lambda s: s["history"].update(rows="many"), "not a list of rows"),
    "another callback": (lambda s: s["callbacks"].pop("EarlyStopping"), "its callbacks: missing ['EarlyStopping']"),
    "another column": (lambda s: s["callbacks"]["EarlyStopping"].update(monitor="loss"), "watches 'loss'"),
    "another best model": (lambda s: s["callbacks"]["BestModel"]["model"].pop("0.bias"), "missing ['0.bias']"),
    "a best epoch of words": (lambda s: s["callbacks"]["EarlyStopping"].update(best_epoch="last"), "of epoch 'last'"),
    "a schedule of lists": (lambda s: s["callbacks"]["Schedule"]["state"].update(gamma=[1]), "StepLR.gamma is '[1]', this one has '0.5'"),
    "a schedule without": (lambda s: s["callbacks"]["Schedule"]["state"].pop("gamma"), "the state's StepLR is"),
    "a list": (lambda s: s.update(model=[1]), "its model is a list"),
}  # fmt: skip


def watchers():
    return [EarlyStopping("val_accuracy", patience=50), BestModel("val_accuracy")]


@pytest.mark.parametrize("kind", CHANGES)
def test_a_file_of_another_training_changes_nothing(tmp_path, kind):
    path = tmp_path / "run.safetensors"
    make(path, callbacks=watchers(), schedule=True).fit((X, Y), validation=(X, Y), epochs=2, batch_size=5)
    change, message = CHANGES[kind]
    bad = edited(path, change)
    trainer = make(seed=7, callbacks=watchers(), schedule=True)
    trainer.fit((X, Y), validation=(X, Y), epochs=1, batch_size=5)
    loader = tt.data.DataLoader((X, Y), 5, shuffle=True, generator=4)
    before, position = everything(trainer), loader.state_dict()
    with pytest.raises(ValueError) as caught:
        trainer.fit(loader, validation=(X, Y), epochs=3, batch_size=5, resume=bad)
    assert message in str(caught.value)
    assert "nothing was changed" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert equal(before, everything(trainer))
    assert loader.state_dict() == position
    trainer.fit(loader, validation=(X, Y), epochs=1)  # and it can still train
    assert len(trainer.history) == 2


def test_a_model_of_another_shape_and_a_broken_file_change_nothing(tmp_path):
    path = tmp_path / "run.safetensors"
    make(path).fit((X, Y), epochs=1, batch_size=5)
    trainer = make(seed=1, width=6)
    before = everything(trainer)
    with pytest.raises(
        ValueError, match=r"0\.weight is float32 \(4, 2\), the model has float32 \(6, 2\); nothing was changed"
    ):
        trainer.fit((X, Y), epochs=2, batch_size=5, resume=path, generator=0)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="cut off"):
        trainer.load(path)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        trainer.fit((X, Y), resume=tmp_path / "no.safetensors", generator=0)
    assert equal(before, everything(trainer))


@pytest.mark.parametrize("optimizer", [tt.optim.SGD, tt.optim.Adam, tt.optim.LBFGS, tt.optim.RMSprop, tt.optim.NAdam])
@pytest.mark.parametrize("stop", [1, 4, 6])
def test_stopped_anywhere_and_resumed_is_the_same_training(tmp_path, optimizer, stop):
    """Accumulated, clipped, scheduled; stopped after a step in the middle, at the end, in the partial group of an epoch."""

    class Halt(tt.trainer.Callback):
        order = 99

        def on_step_end(self, trainer):
            if trainer.step == stop:
                raise KeyboardInterrupt

    def run(path, callbacks=(), resume=None):
        tt.manual_seed(0)
        model = tt.nn.MLP(2, [4, 2])
        optim = optimizer(model.parameters(), lr=0.05)
        schedule = tt.trainer.Schedule(tt.optim.lr_scheduler.StepLR(optim, 2, 0.5), every="step")
        trainer = tt.Trainer(
            model, tt.nn.CrossEntropyLoss(), optim, metrics=["accuracy"], accumulate=2, clip_grad_norm=1.0,
            callbacks=[schedule, Checkpoint(path, every_steps=1), *callbacks],
        )  # fmt: skip
        trainer.fit((X, Y), epochs=4, batch_size=7, resume=resume)  # batches of 7, 7, 6: steps of two and of one
        return trainer

    whole = run(tmp_path / "a.safetensors")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b.safetensors", [Halt()])
    again = run(tmp_path / "b.safetensors", resume=True)
    assert again.step == whole.step == 8
    assert same(everything(whole)[0], everything(again)[0])
    assert same(whole.optimizer.state_dict(), again.optimizer.state_dict())
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in t.history] for t in (whole, again)]
    assert rows[0] == rows[1]
    assert whole.history.losses == again.history.losses


@pytest.mark.parametrize("stop", [1, 4, 7])
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "momentum"])
def test_everything_together_resumes_bit_by_bit_from_a_folder_that_moved(tmp_path, optimizer, stop):
    """Dropout, running means, an average of the weights, two schedules, a sampler, accumulated steps and threads."""
    optim, data = tt.optim, tt.data

    def run(path, seed, halt=None):
        class Halt(tt.trainer.Callback):
            order = 99

            def on_step_end(self, trainer):
                if trainer.step == halt:
                    raise KeyboardInterrupt

        tt.manual_seed(seed)
        model = tt.nn.Sequential(tt.nn.Linear(2, 6), tt.nn.BatchNorm1d(6), tt.nn.Dropout(0.2), tt.nn.Linear(6, 2))
        chosen = {
            "lbfgs": lambda p: optim.LBFGS(p, lr=0.1, max_iter=3, line_search_fn="strong_wolfe"),
            "adam": lambda p: optim.Adam(p, lr=0.05, amsgrad=True),
            "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        }[optimizer](model.parameters())
        rates = optim.lr_scheduler
        both = [rates.LinearLR(chosen, 0.5, total_iters=2), rates.CosineAnnealingWarmRestarts(chosen, 3)]
        ema = optim.EMA(model, 0.8, use_buffers=True)
        callbacks = [
            tt.trainer.Schedule(rates.SequentialLR(chosen, both, [2]), every="step"), tt.trainer.MovingAverage(ema),
            Checkpoint(path, every_steps=1, keep=2), Halt(),
        ]  # fmt: skip
        trainer = tt.Trainer(model, tt.nn.CrossEntropyLoss(), chosen, callbacks=callbacks, accumulate=2)
        weights = data.WeightedRandomSampler(np.arange(1.0, 21.0), 17)
        loader = data.DataLoader((X, Y), 3, sampler=weights, num_workers=2)
        trainer.fit(loader, epochs=3, resume=True)
        return everything(trainer)[0], ema.state_dict(), trainer.history.losses, tt.rand(2).data.tolist(), trainer

    (tmp_path / "old").mkdir()
    whole = run(tmp_path / "whole.safetensors", 3)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "old" / "run.safetensors", 3, halt=stop)
    shutil.copytree(tmp_path / "old", tmp_path / "copy")
    (tmp_path / "old").rename(tmp_path / "new")
    for folder, seed in (("new", 3), ("copy", 8)):  # what a program drew before it resumed does not matter
        again = run(tmp_path / folder / "run.safetensors", seed)
        assert same(again[:4], whole[:4])
        assert again[4].step == whole[4].step == 9


def junk(draw):
    return draw.choice([None, True, -1, 0, 3, 2**70, 1.5, float("nan"), "", "word", [], [1], {}, {3: np.ones(2)}, (), np.ones(3),
                        np.zeros(0), np.array([1, -5]), [[99]], np.array([99] * 20)])  # fmt: skip


def places(state, path=()):
    """The paths of all entries of a nest of dicts and lists."""
    inner = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore")
def test_any_entry_replaced_by_anything_is_refused_whole_or_trained_with(tmp_path, seed):
    """Well-formed files with one entry that is something else: no crash, and nothing half taken."""
    draw = random.Random(seed)
    path = tmp_path / "run.safetensors"

    def build(seed):
        return make(seed=seed, callbacks=watchers(), schedule=True)

    good = build(0)
    good.fit((X, Y), validation=(X, Y), epochs=2, batch_size=5)
    good.save(path)
    all_places = list(places(checkpoints.load(path)))
    for _ in range(40):
        *before, last = place = draw.choice(all_places)
        state = inner = checkpoints.load(path)
        for key in before:
            inner = inner[key]
        inner[last] = junk(draw)
        checkpoints.save(tmp_path / "bad.safetensors", state)
        trainer, loader = build(7), tt.data.DataLoader((X, Y), 5, shuffle=True, generator=4)
        kept, position = everything(trainer), loader.state_dict()
        watched = [dict(c.state_dict()) for c in trainer.callbacks]
        try:
            trainer.fit(loader, validation=(X, Y), epochs=3, resume=tmp_path / "bad.safetensors")
        except ValueError as error:
            assert "nothing was changed" in str(error), (place, inner[last])
            assert "\n" not in str(error)
            assert equal(kept, everything(trainer)), place
            assert loader.state_dict() == position
            assert same(watched, [dict(c.state_dict()) for c in trainer.callbacks]), place
        except ArithmeticError:
            pass  # trained with: a learning rate of nan, say


def test_resume_true_begins_anew_without_a_file_and_needs_a_callback(tmp_path):
    assert len(make(tmp_path / "run.safetensors").fit((X, Y), epochs=2, resume=True)) == 2
    with pytest.raises(ValueError, match="Checkpoint callback, and there is none"):
        make().fit((X, Y), resume=True)


def test_a_finished_training_resumed_does_nothing(tmp_path):
    path = tmp_path / "run.safetensors"
    one = make(path)
    one.fit((X, Y), epochs=3, batch_size=5)
    two = make(path, seed=9)
    assert len(two.fit((X, Y), epochs=3, batch_size=5, resume=path)) == 3
    assert same(one.model.state_dict(), two.model.state_dict())


def test_mid_epoch_needs_a_loader_that_knows_where_it_is(tmp_path):
    class Plain:
        def __iter__(self):
            return iter([(X, Y)])

    with pytest.raises(ValueError, match="needs a loader with state_dict"):
        make(tmp_path / "run.safetensors", every_steps=1).fit(Plain(), epochs=1)
    assert len(make(tmp_path / "run.safetensors").fit(Plain(), epochs=2)) == 2  # at the ends of epochs it does not


# --------------------------------------------------------------------------------------------- disks and permissions


def test_a_full_disk_is_said_and_the_training_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    trainer = make(path)
    trainer.fit((X, Y), epochs=1, batch_size=5)
    old = path.read_bytes()
    real = os.fsync

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.warns(TrainingWarning) as caught:
        trainer.fit((X, Y), epochs=2, batch_size=5)
    assert "the disk is full; the checkpoint before it is still there; the training goes on" in str(caught[0].message)
    assert trainer.epoch == 3
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]
    monkeypatch.setattr(files.os, "fsync", real)
    trainer.fit((X, Y), epochs=1, batch_size=5)
    assert checkpoints.load(path)["progress"]["epoch"] == 4


def test_a_full_disk_can_also_be_an_error_after_which_one_can_go_on(tmp_path, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    trainer = make(tmp_path / "run.safetensors", on_error="raise")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full; no checkpoint is there"):
        trainer.fit((X, Y), epochs=2, batch_size=5)
    monkeypatch.undo()
    assert trainer.epoch == 1
    assert len(trainer.fit((X, Y), epochs=1, batch_size=5)) == 2


def test_a_disk_that_is_really_full(tmp_path):
    """A file system of 64 KB, in a namespace of its own, where the system allows one."""
    if not shutil.which("unshare"):
        pytest.skip("needs unshare")
    code = """
import sys, warnings, numpy as np, tinytensor as tt
model = tt.nn.MLP(2, [60, 60, 2])
trainer = tt.Trainer(model, tt.nn.CrossEntropyLoss(), tt.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
                     callbacks=[tt.trainer.Checkpoint(sys.argv[1], keep=9)])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    trainer.fit((np.ones((4, 2)), np.array([0, 1, 0, 1])), epochs=4)
print(trainer.epoch, len(caught), str(caught[0].message))
print(tt.checkpoints.load(sys.argv[1])["progress"]["epoch"])
"""
    script = 'mount -t tmpfs -o size=64k none "$1" || exit 77; exec "$2" -c "$3" "$1/run.safetensors"'
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, code],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no file system can be mounted here")
    assert done.returncode == 0, done.stderr[-1000:]
    first, second = done.stdout.splitlines()
    assert first.startswith("4 ")
    assert "the disk is full; the checkpoint before it is still there; the training goes on" in first
    assert int(second) >= 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_folder_that_cannot_be_written_is_said_before_any_work(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        make(tmp_path / "no" / "run.safetensors").fit((X, Y))
    with pytest.raises(IsADirectoryError, match="is a folder"):
        (tmp_path / "x.safetensors").mkdir()
        make(tmp_path / "x.safetensors").fit((X, Y))
    trainer = make(tmp_path / "run.pt")
    with pytest.raises(ValueError, match="must end in .safetensors"):
        trainer.fit((X, Y))
    assert trainer.step == 0


def test_a_folder_that_goes_away_is_said_and_the_training_goes_on(tmp_path):
    class Remove(tt.trainer.Callback):
        def on_epoch_begin(self, trainer):
            shutil.rmtree(tmp_path / "there", ignore_errors=True)

    (tmp_path / "there").mkdir()
    trainer = make(tmp_path / "there" / "run.safetensors", callbacks=[Remove()])
    with pytest.warns(
        TrainingWarning, match="cannot write the checkpoint .*no such file or directory; no checkpoint is there"
    ):
        trainer.fit((X, Y), epochs=2)
    assert trainer.epoch == 2


# ------------------------------------------------------------------------------------------------------------- killed


def start(path, epochs, threads):
    command = [sys.executable, str(PROGRAM), str(path), str(epochs), str(threads)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def finished(process):
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error[-2000:]
    return out.split()[-2:]


def killed_until_done(path, kills, draw, threads, seconds):
    """Run, kill, resume, … ``kills`` times; what the last run, which is left alone, says."""
    done = 0
    for _ in range(kills):
        process = start(path, 20, threads)
        try:
            if draw.random() < 0.8:
                process.stdout.readline()  # a step was done in this run; else it is killed while it starts
            time.sleep(draw.random() * seconds)
            process.kill()  # SIGKILL: nothing of it gets to clean up
        finally:
            process.communicate()
        done += process.returncode != 0
        if path.exists():
            checkpoints.load(path)  # whole at every moment
    return done, finished(start(path, 20, threads))


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_killed_and_resumed_ends_bit_by_bit_where_it_would_have_ended(tmp_path):
    whole = finished(start(tmp_path / "whole.safetensors", 20, 0))
    done, result = killed_until_done(tmp_path / "run.safetensors", 4, random.Random(1), 2, 0.1)
    assert done >= 1
    assert result == whole
    left = {p.name for p in tmp_path.iterdir()}
    names = {
        f"{name}{end}" for name in ("run", "whole") for end in (".safetensors", ".1.safetensors", ".safetensors.csv")
    }
    assert left == names


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("HYPOTHESIS_PROFILE") != "thorough", reason="a minute: HYPOTHESIS_PROFILE=thorough")
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_killed_at_fifty_random_moments(tmp_path):
    draw = random.Random()
    whole, total = finished(start(tmp_path / "whole.safetensors", 20, 0)), 0
    for k in range(10):
        done, result = killed_until_done(tmp_path / f"{k}.safetensors", 6, draw, k % 3, 0.05)
        total += done
        assert result == whole, k
    assert total >= 50


def test_dropout_and_batch_norm_resume_bit_by_bit(tmp_path):
    """Layers that draw and layers that keep running means: stopped after five of nine steps."""

    class Halt(tt.trainer.Callback):
        order = 99

        def on_step_end(self, trainer):
            if trainer.step == 5:
                raise KeyboardInterrupt

    def run(path, callbacks=(), resume=None):
        tt.manual_seed(2)
        model = tt.nn.Sequential(
            tt.nn.Linear(2, 8), tt.nn.BatchNorm1d(8), tt.nn.ReLU(), tt.nn.Dropout(0.3), tt.nn.Linear(8, 2)
        )
        adam = tt.optim.Adam(model.parameters(), lr=0.05)
        several = [Checkpoint(path, every_steps=1), *callbacks]
        trainer = tt.Trainer(model, tt.nn.CrossEntropyLoss(), adam, callbacks=several)
        trainer.fit((X, Y), epochs=3, batch_size=7, resume=resume)
        return trainer

    whole = run(tmp_path / "a.safetensors")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b.safetensors", [Halt()])
    again = run(tmp_path / "b.safetensors", resume=True)
    assert same(everything(whole)[0], everything(again)[0])
    assert whole.history.losses == again.history.losses
