"""Runs of elementwise calls over large arrays: made block by block, in threads, with the bits of whole arrays."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.compiler import runs, threads
from tinytensor.compiler.threads import Spare
from tinytensor.nn import functional as F

BLOCK = 64


@pytest.fixture
def small(monkeypatch):
    """Blocks of 64 elements, in three threads, for arrays of more than 128 bytes."""
    monkeypatch.setattr(runs, "LARGE", 128)
    monkeypatch.setattr(runs, "_LEAST", BLOCK)
    monkeypatch.setattr(runs, "_MOST", BLOCK)
    monkeypatch.setattr(threads, "_WORTH", 0)
    monkeypatch.setattr(threads, "thread_count", lambda: 3)


def plan(compiled):
    return compiled._latest().plan


def same(a, b):
    if isinstance(a, (tuple, list)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
        return
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    assert a.tobytes() == b.tobytes()


def agrees(f, *args):
    """The compiled function gives the bits of the function, thrice; what it was given stays as it was."""
    compiled = tt.compile(f)
    before = [np.array(x) for x in args]
    want = f(*args)
    held = []
    for _ in range(3):
        held.append(compiled(*args))
        same(held[-1], want)
    same(held[0], want)  # later calls left it alone
    same(list(args), before)
    return compiled


UNARY = [np.tanh, np.exp, np.negative, np.square, np.abs, np.sin, np.positive, tt.relu, tt.sigmoid]
BINARY = [np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.divide, np.arctan2]


def program(seed):
    """A random program of elementwise functions, and the arrays it takes: whole, rows, columns, one number."""
    rng = np.random.default_rng(seed)
    rows = int(rng.choice([1, 2, 15, 16, 17, 33, 65]))
    shape = [(rows * 4,), (rows, 4), (rows, 2, 2), (63 + rows,), (64 * rows,), (rows, 7)][rng.integers(6)]
    dtype = rng.choice([np.float32, np.float64])
    shapes = [shape, shape, shape[-1:], (), shape[:-1] + (1,), (1,) * len(shape)]
    arrays = [np.asarray(rng.standard_normal(s), dtype) for s in shapes]
    steps = []
    for k in range(int(rng.integers(3, 25))):
        choices = len(arrays) + k
        a, b = int(rng.integers(choices)), int(rng.integers(choices))
        a = max(a, len(arrays) - 1 + k) if rng.random() < 0.6 and k else a
        kind = rng.choice(["unary", "binary", "where", "number", "cast", "reshape", "scale"])
        function = UNARY[rng.integers(len(UNARY))] if kind == "unary" else BINARY[rng.integers(len(BINARY))]
        steps.append((kind, function, a, b))
    ends = rng.integers(0, len(steps), 2)

    def run(*args):
        values = list(args)
        for kind, function, a, b in steps:
            x, y = values[a], values[b]
            if kind == "unary":
                made = function(x)
            elif kind == "binary":
                made = function(x, y)
            elif kind == "where":
                made = np.where(x > 0, y, x)
            elif kind == "number":
                made = 1.5 - x * 0.25
            elif kind == "cast":
                made = (x > y).astype(args[0].dtype) * x
            elif kind == "reshape":
                made = np.exp(-np.abs(x.reshape(-1))).reshape(x.shape)
            else:
                made = x / (1 + np.abs(y))
            values.append(made)
        return values[len(args) + ends[0]], values[-1], values[-1].sum()

    return run, arrays


@pytest.mark.parametrize("seed", range(60))
def test_random_programs_have_the_bits_of_eager(seed, small):
    run, arrays = program(seed)
    with np.errstate(all="ignore"):
        agrees(run, *arrays)


@pytest.mark.parametrize("seed", range(60))
def test_gradients_of_random_programs_have_the_bits_of_eager(seed, small):
    run, arrays = program(1000 + seed)
    with np.errstate(all="ignore"):
        agrees(tt.value_and_grad(lambda *args: run(*args)[1].sum(), argnums=(0, 2)), *arrays)


@pytest.mark.parametrize("n", [1, 33, 63, 64, 65, 127, 128, 129, 1000])
def test_sizes_around_the_border_of_a_block(n, small):
    x = np.random.default_rng(n).standard_normal(n).astype("f")
    compiled = agrees(lambda x: np.tanh(x * 2 + 1) - x, x)
    assert bool(plan(compiled).runs) == (n * 4 > 128)


def test_a_chain_is_one_run_and_needs_no_memory_but_its_result(small):
    compiled = agrees(lambda x: np.tanh(np.exp(-x) * 2 + x), np.ones(500))
    (run,) = plan(compiled).runs
    assert [c.function for c in run.calls] == [np.negative, np.exp, np.multiply, np.add, np.tanh]
    assert len(run.inside) == 4
    assert not plan(compiled).blocks


def test_forward_and_backward_meet_in_one_run_and_the_sum_sees_the_whole_array(small):
    compiled = agrees(tt.value_and_grad(lambda x: tt.relu(x * 1.1 + 0.01).sum()), np.linspace(-1, 1, 999).astype("f"))
    (run,) = plan(compiled).runs
    assert {c.part for c in run.calls} == {"forward", "backward"}
    assert [c.kind for c in plan(compiled).calls].count("reduce") == 1
    assert "add_reduce" not in compiled._latest().text.split("def run(")[0]


def test_rows_of_a_bias_and_columns_of_a_mean(small):
    rng = np.random.default_rng(0)
    x, bias = rng.standard_normal((50, 12)), rng.standard_normal(12)

    def normalised(x, bias):
        centred = x - x.mean(1, keepdims=True)
        return np.tanh(centred / np.sqrt((centred * centred).mean(1, keepdims=True) + 1e-5) * 2 + bias)

    compiled = agrees(normalised, x, bias)
    assert any(run.width == 12 for run in plan(compiled).runs)


def test_shifted_reads_of_what_is_written_are_not_blocked_together(small):
    def f(x):
        y = x * 2
        y[1:] += y[:-1]
        z = y[1:] * y[:-1]
        return y, z + 1

    agrees(f, np.arange(500.0))


def test_writes_into_arguments_and_state_stay_in_order(small):
    w = tt.tensor(np.ones(400, "f"), requires_grad=True)
    v = tt.tensor(np.ones(400, "f"), requires_grad=True)

    def step(x):
        loss = (np.tanh(w * x + v) * w).sum()
        loss.backward()
        w.data -= 0.1 * w.grad
        v.data -= 0.1 * v.grad + w.data
        w.grad = v.grad = None
        return loss

    x = np.linspace(-1, 1, 400).astype("f")
    want = [step(x).item() for _ in range(4)], w.data.copy(), v.data.copy()
    w.data[...], v.data[...] = 1, 1
    compiled = tt.compile(step)
    same(([compiled(x).item() for _ in range(4)], w.data, v.data), want)


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.RMSprop])
def test_training_steps_have_the_bits_of_eager(make, small):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 8)).astype("f"), rng.integers(0, 3, 40)

    def trained(compiling):
        tt.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(8, 32), nn.GELU(), nn.Dropout(0.3), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 3)
        )
        optimizer = make(model.parameters(), lr=0.01)

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        step = tt.compile(step) if compiling else step
        return [step(x, y).item() for _ in range(6)], [p.data.copy() for p in model.parameters()]

    same(trained(True), trained(False))


# ----------------------------------------------------------------------------------------------------- errors, warnings


def test_floating_point_errors_are_raised_and_leave_nothing_behind(small):
    compiled = tt.compile(lambda x: np.log(x - 1) * 2 + 1)
    good, bad = np.full(1000, 3.0), np.full(1000, 3.0)
    bad[777] = 0.0
    want = compiled(good)
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError, match="invalid value encountered in log"):
        compiled(bad)
    same(compiled(good), want)
    assert np.geterr()["invalid"] == "warn"


def test_warnings_follow_the_errstate_of_the_caller(small):
    compiled = tt.compile(lambda x: np.sqrt(x) * 2 + 1)
    x = -np.ones(1000)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(x)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        compiled(x)
    assert {str(w.message) for w in seen} == {"invalid value encountered in sqrt"}
    assert {w.category for w in seen} == {RuntimeWarning}


def test_an_error_in_another_thread_is_raised_when_all_are_done():
    where = []

    def work(blocks):
        for start in blocks:
            where.append(threading.current_thread() is threading.main_thread())
            if not where[-1]:
                raise ValueError("in a thread")
            for _ in range(200):
                if False in where:
                    break
                threading.Event().wait(0.01)

    with pytest.raises(ValueError, match="in a thread"):
        threads.Divided(work, range(0, 40, 4), [], 2, threads.Scratch())()
    assert True in where


def test_threads_respect_omp_num_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads.thread_count() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert threads.thread_count() >= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_starts_threads_of_its_own(tmp_path):
    (tmp_path / "main.py").write_text(
        textwrap.dedent(
            """
            import os, warnings
            import numpy as np
            import tinytensor as tt
            from tinytensor.compiler import threads
            threads.thread_count = lambda: 2
            warnings.simplefilter("ignore")
            f = tt.compile(lambda x: np.exp(x) * 2 + 1)
            x = np.linspace(0, 1, 1_000_000)
            want = f(x)
            child = os.fork()
            if child == 0:
                os._exit(0 if (f(x) == want).all() else 1)
            assert os.waitpid(child, 0)[1] == 0
            print("right")
            """
        )
    )
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(Path(tt.__file__).parents[1])})  # fmt: skip
    assert done.stdout == "right\n", done.stderr


def test_two_threads_of_the_caller(small):
    compiled = tt.compile(lambda x: np.tanh(x) * 2 + x)
    inputs = [np.full(1000, float(k)) for k in range(4)]
    wrong = []

    def call(x):
        for _ in range(50):
            if not (compiled(x) == np.tanh(x) * 2 + x).all():
                wrong.append(x[0])

    callers = [threading.Thread(target=call, args=(x,)) for x in inputs]
    for t in callers:
        t.start()
    for t in callers:
        t.join()
    assert not wrong


# --------------------------------------------------------------------------------------------------------------- memory


def test_a_result_that_was_dropped_lends_its_memory_to_the_next_call():
    spare = Spare((10,), np.float64)
    a = spare()
    b = spare()
    assert a is not b
    view = b[2:]
    del a, b
    c = spare()
    assert c.base is None and not np.shares_memory(c, view)
    place = c.ctypes.data
    del c
    assert spare().ctypes.data == place


def test_peak_memory_of_a_gradient_is_its_results():
    n = 500_000
    x = np.random.default_rng(0).standard_normal(n).astype("f")

    def chain(x):
        for _ in range(5):
            x = np.log(np.exp(np.tanh(x)) + 1.0) * 1.5
        return x.sum()

    compiled = tt.compile(tt.value_and_grad(chain))
    compiled(x)
    gc.collect()
    held = sum(plan(compiled).blocks)
    assert held < 1.1 * x.nbytes  # the array that is summed
    tracemalloc.start()
    compiled(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * x.nbytes  # the gradient


# --------------------------------------------------------------------------------------------------------------- source


def test_source_has_the_loop_and_runs_in_a_fresh_process(tmp_path, small):
    rng = np.random.default_rng(0)
    w = tt.tensor(rng.standard_normal((16, 8)).astype("f"), requires_grad=True)
    x = rng.standard_normal((40, 16)).astype("f")

    @tt.compile
    def step(x):
        loss = (np.tanh(x @ w + 1) * 0.5).sum()
        loss.backward()
        w.data -= 0.1 * w.grad
        w.grad = None
        return loss

    step(x)
    text, state = step.source(), step.state()
    assert "for start in range(0, 320, 64):" in text
    assert "in blocks" in step.explain()
    (tmp_path / "program.py").write_text(text)
    np.savez(tmp_path / "state.npz", **state)
    np.save(tmp_path / "x.npy", x)
    want = [step(x).item() for _ in range(3)]
    (tmp_path / "main.py").write_text(
        "import numpy as np, program, sys\n"
        "for k, v in np.load('state.npz').items(): program.STATE[k][...] = v\n"
        "x = np.load('x.npy')\n"
        "print([float(program.step(x)) for _ in range(3)], 'tinytensor' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == f"{want} False", done.stderr
