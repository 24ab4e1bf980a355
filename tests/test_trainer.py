"""The Trainer: the same numbers as a loop by hand, what it refuses, callbacks, metrics and logs."""

import csv
import io
import math
import os
import signal
import struct

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim, trainer
from tinytensor.trainer import (
    MAE,
    R2,
    RMSE,
    Accuracy,
    BestModel,
    Callback,
    CSVLogger,
    DivergedError,
    EarlyStopping,
    EventWriter,
    Progress,
    Schedule,
    TensorBoard,
    TopK,
    Trainer,
    TrainingWarning,
    read_events,
)  # fmt: skip

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(24, 3))
Y = X @ DRAW.normal(size=(3, 1)) + 0.1
LABELS = (X[:, 0] > 0).astype(int)


def linear(lr=0.1, dtype="float64", loss=None, **options):
    model = nn.MLP(3, [5, 1], dtype=dtype, rng=tt.rng(0))
    return Trainer(model, loss or nn.MSELoss(), optim.SGD(model.parameters(), lr=lr, momentum=0.9), **options)


def weights(t):
    return np.concatenate([p.data.ravel() for p in t.model.parameters()])


# ----------------------------------------------------------------------------------------------------------- numbers


def test_the_same_numbers_as_a_loop_by_hand():
    one, two = linear(), linear()
    loader = tt.data.DataLoader((X, Y), 7, shuffle=True, generator=3)
    history = one.fit(loader, epochs=3)
    again, losses = tt.data.DataLoader((X, Y), 7, shuffle=True, generator=3), []
    for _ in range(3):
        for x, y in again:
            two.optimizer.zero_grad()
            loss = two.loss(two.model(x), y)
            loss.backward()
            two.optimizer.step()
            losses.append((loss.item(), len(x)))
    np.testing.assert_array_equal(weights(one), weights(two))
    assert history.losses == [loss for loss, _ in losses]
    assert history["loss"][0] == pytest.approx(sum(loss * n for loss, n in losses[:4]) / 24, rel=1e-14)
    assert (one.epoch, one.step, history["step"]) == (3, 12, [4, 8, 12])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_accumulated_gradients_are_those_of_the_big_batch(reduction):
    """Batches of 7, 7, 7, 3 in twos against batches of 14 and 10: the last, smaller batch counts for what it is."""
    rate = 0.1 if reduction == "mean" else 0.001
    big, small = (linear(rate, loss=nn.MSELoss(reduction), accumulate=n, clip_grad_norm=0.5) for n in (1, 2))
    pieces = [np.arange(0, 7), np.arange(7, 14), np.arange(14, 21), np.arange(21, 24)]
    small.fit(Batches([(X[i], Y[i]) for i in pieces]), epochs=4)
    big.fit(Batches([(X[:14], Y[:14]), (X[14:], Y[14:])]), epochs=4)
    np.testing.assert_allclose(weights(small), weights(big), rtol=0, atol=1e-13)
    np.testing.assert_allclose(small.history["loss"], big.history["loss"], rtol=1e-12)
    assert small.step == big.step == 8


class Batches:
    """A loader of the plainest kind."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_clipping_limits_the_step():
    t = linear(lr=1.0, clip_grad_norm=1e-3)
    before = weights(t)
    t.fit((X, Y), batch_size=24)
    assert np.linalg.norm(weights(t) - before) == pytest.approx(1e-3, rel=1e-2)
    t = linear(lr=1.0, clip_grad_value=1e-4)
    before = weights(t)
    t.fit((X, Y), batch_size=24)
    assert np.abs(weights(t) - before).max() == pytest.approx(1e-4)


def test_sums_are_float64_in_float32_training():
    """A million losses of 0.1 in float32 sum to 100,958 when they are added one by one."""
    t = linear(lr=0.0, dtype="float32")
    t.fit((X, Y), epochs=1, batch_size=1)
    exact = np.mean([t.loss(t.model(X[i : i + 1]), Y[i : i + 1]).item() for i in range(24)], dtype=np.float64)
    assert t.sums.dtype == np.float64
    assert t.history["loss"][0] == pytest.approx(exact, rel=1e-15)


def test_lbfgs_gets_its_closure():
    model = nn.Linear(3, 1, dtype="float64", rng=tt.rng(0))
    t = Trainer(model, nn.MSELoss(), optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe"))
    t.fit((X, Y), epochs=5, batch_size=24)
    assert t.evaluate((X, Y))["loss"] < 1e-10
    assert t.step == 5
    assert t.history["loss"][0] == pytest.approx(t.history.losses[0])


def test_fit_again_trains_further_and_modes_come_back():
    t = linear()
    t.model.eval()
    t.fit((X, Y), epochs=2, generator=0)
    t.fit((X, Y), epochs=3, generator=0)
    assert t.history["epoch"] == [1, 2, 3, 4, 5]
    assert not t.model.training


def test_evaluate_and_predict_leave_everything_as_it_is():
    t = linear(metrics=["mae", "r2"])
    t.model.train()
    before = weights(t)
    found = t.evaluate((X, Y), batch_size=5)
    out = t.model(X).data
    assert found["loss"] == pytest.approx(((out - Y) ** 2).mean(), rel=1e-13)
    assert found["mae"] == pytest.approx(np.abs(out - Y).mean(), rel=1e-13)
    np.testing.assert_allclose(t.predict(X, batch_size=7), out, rtol=1e-14)
    for data in (tt.tensor(X), (X,), (X, Y), tt.data.TensorDataset(X, Y), tt.data.DataLoader((X, Y), 4)):
        np.testing.assert_allclose(t.predict(data), out, rtol=1e-14)
    np.testing.assert_array_equal(weights(t), before)
    assert t.model.training
    assert all(p.grad is None for p in t.model.parameters())


def test_several_inputs_and_an_own_step():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 1, dtype="float64", rng=tt.rng(0))

        def forward(self, a, b):
            return self.layer(np.concatenate([a, b], 1))

    model = Two()
    t = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    assert len(t.fit((X, X, Y), epochs=2)) == 2
    assert t.predict((X, X, Y)).shape == (24, 1)

    class Auto(Trainer):
        def split(self, batch):
            return (batch,), batch

    model = nn.Linear(3, 3, rng=tt.rng(0))
    t = Auto(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=0.05))
    history = t.fit(Batches([X[:12], X[12:]]), epochs=30)
    assert history["loss"][-1] < history["loss"][0]


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number_stops_before_the_step(bad):
    """Parameters, buffers, momentum, sums: all as before; then the training can go on with other data."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1, rng=tt.rng(0))
            self.register_buffer("calls", tt.zeros(1))

        def forward(self, x):
            self.calls.data[...] += 1
            return self.layer(x)

    model = Counting()
    t = Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=0.1), metrics=["mae"])
    t.fit((X, Y), epochs=1, batch_size=24)
    state, adam = {k: v.copy() for k, v in model.state_dict().items()}, t.optimizer.state_dict()
    wrong = X.copy()
    wrong[3, 1] = bad
    with pytest.raises(
        DivergedError, match=r"the loss became \w+ at step 2 \(epoch 2\), at learning rate 0.1; the model is as"
    ):
        t.fit((wrong, Y), epochs=1, batch_size=24)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    for key, entry in t.optimizer.state_dict()["state"].items():
        for name, array in entry.items():
            np.testing.assert_array_equal(array, adam["state"][key][name])
    assert len(t.fit((X, Y), epochs=1, batch_size=24)) == 2


def test_a_gradient_that_is_no_number_stops_before_the_step():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(np.zeros((1, 1)))

        def forward(self, x):
            return np.sqrt(self.w) + 0 * x[:, :1]

    model = Root()
    t = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(DivergedError, match=r"the gradient of w became nan or infinite at step 1"):
        t.fit((X, Y))
    assert model.w.item() == 0


def test_a_large_gradient_is_not_an_infinite_one():
    model = nn.Linear(1, 1, bias=False, rng=tt.rng(0))
    t = Trainer(model, lambda out, y: (out * 1e25).mean(), optim.SGD(model.parameters(), lr=0.0))
    t.fit((np.ones((2, 1)), np.ones((2, 1))))  # its square overflows float32


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"\(24,\)|shape"):
        linear().fit((X, Y[:, 0]))
    for metric in (MAE(), RMSE(), R2(), Accuracy()):
        with pytest.raises(ValueError, match=r"\(4, 1\)"):
            metric.update(np.ones((4, 1)), np.ones(4))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: linear(accumulate=0), ValueError, "accumulate must be a whole number"),
        (lambda: linear(clip_grad_norm=0), ValueError, "clip_grad_norm must be above 0"),
        (lambda: linear(metrics=["acuracy"]), ValueError, "a metric is one of accuracy"),
        (lambda: linear(metrics=["mae", "mae"]), ValueError, "cannot be named 'mae'"),
        (lambda: linear(metrics={"loss": "mae"}), ValueError, "cannot be named 'loss'"),
        (lambda: linear(callbacks=[print]), TypeError, "callbacks are objects of tt.trainer.Callback"),
        (lambda: linear().fit((X, Y), epochs=0), ValueError, "epochs must be a whole number from 1"),
        (lambda: linear().fit((X, Y[:5])), ValueError, "same number of rows"),
        (lambda: linear().fit(iter([(X, Y)])), TypeError, "an iterator, which is empty after one epoch"),
        (lambda: linear().fit(3), TypeError, "expected a loader, a dataset or a tuple of arrays, got int"),
        (lambda: linear().fit(Batches([])), ValueError, "gave no batch"),
        (lambda: linear().fit(Batches([X])), TypeError, "a batch is a tuple"),
        (lambda: linear().evaluate(Batches([])), ValueError, "no samples"),
        (lambda: linear().predict(Batches([])), ValueError, "no samples"),
        (lambda: linear(loss=nn.MSELoss("none")).fit((X, Y)), ValueError, "a tensor of one number, got shape"),
        (lambda: linear(loss=lambda a, b: 1.0).fit((X, Y)), ValueError, "a tensor of one number, got a float"),
        (lambda: linear(callbacks=[EarlyStopping()]).fit((X, Y)), ValueError, "no 'val_loss' without validation; give fit"),
        (lambda: EarlyStopping(patience=0), ValueError, "patience must be a whole number from 1"),
        (lambda: BestModel(mode="best"), ValueError, "mode must be 'auto'"),
        (lambda: Schedule(None, every="day"), ValueError, "every must be 'epoch' or 'step'"),
        (lambda: trainer.Checkpoint("a.safetensors", every_steps=0), ValueError, "every_steps must be a whole number"),
        (lambda: trainer.Checkpoint("a.safetensors", on_error="ignore"), ValueError, "on_error must be"),
        (lambda: TopK(0), ValueError, "k must be at least 1"),
        (lambda: trainer.History().plot(), ValueError, "no epoch to draw"),
    ],
)  # fmt: skip
def test_mistakes_get_a_sentence(make, kind, message):
    with pytest.raises(kind, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


class Log(Callback):
    """Writes its hooks into a list, and raises in those that it is told."""

    def __init__(self, name, log, order, raises=()):
        self.name, self.log, self.order, self.raises = name, log, order, raises

    def _note(self, hook):
        self.log.append(f"{self.name} {hook}")
        if hook in self.raises:
            raise RuntimeError(f"{self.name} fails in {hook}")

    def on_fit_begin(self, trainer):
        self._note("begin")

    def on_step_end(self, trainer):
        self._note("step")

    def on_fit_end(self, trainer):
        self._note("end")


def test_callbacks_that_have_begun_end_whatever_the_others_raise():
    log = []
    t = linear(callbacks=[Log("a", log, 1, ("end",)), Log("b", log, 2, ("begin",)), Log("c", log, 3)])
    with pytest.raises(RuntimeError, match="b fails in begin") as caught:
        t.fit((X, Y))
    assert log == ["a begin", "b begin", "a end", "b end"]
    assert caught.value.__notes__ == ["and Log.on_fit_end: RuntimeError: a fails in end"]
    log.clear()
    t = linear(callbacks=[Log("a", log, 1, ("end",)), Log("b", log, 2)])
    with pytest.raises(RuntimeError, match="a fails in end"):
        t.fit((X, Y))
    assert log == ["a begin", "b begin", "a step", "b step", "a end", "b end"]
    with pytest.raises(RuntimeError, match="c fails in step"):
        linear(callbacks=[Log("c", log, 1, ("step",))]).fit((X, Y))


@pytest.fixture
def ctrl_c():
    """Ctrl-C as a terminal has it: a shell that runs the tests in the background lets it be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_comes_between_steps_and_keeps_history_and_weights():
    """The signal arrives while the optimizer writes; the step is finished, counted, and can be gone on from."""
    changes = []

    class Interrupted(optim.SGD):
        def step(self, closure=None):
            loss = super().step(closure)
            if not changes:
                os.kill(os.getpid(), signal.SIGINT)
            changes.append(1)
            return loss

    model = nn.Linear(3, 1, rng=tt.rng(0))
    t = Trainer(model, nn.MSELoss(), Interrupted(model.parameters(), lr=0.1))
    with pytest.raises(KeyboardInterrupt):
        t.fit((X, Y), epochs=3, batch_size=6)
    assert len(changes) == t.step == len(t.history.losses) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(t.fit((X, Y), epochs=2, batch_size=6)) == 2

    class Stuck(nn.MSELoss):
        def forward(self, x, y):
            os.kill(os.getpid(), signal.SIGINT)  # twice: now
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the second Ctrl-C did not interrupt")

    t.loss = Stuck()
    with pytest.raises(KeyboardInterrupt):
        t.fit((X, Y))


def test_parts_that_do_not_belong_together_are_refused():
    model = nn.Linear(3, 1)
    sgd = optim.SGD(model.parameters(), lr=0.1)
    for parts, kind, message in (
        ((model, nn.MSELoss, sgd), TypeError, r"such as tt.nn.MSELoss\(\); got <class"),
        ((model, nn.MSELoss(), optim.SGD), TypeError, "expected an optimizer"),
        ((nn.Linear, nn.MSELoss(), sgd), TypeError, "expected a model"),
        ((nn.Linear(3, 1), nn.MSELoss(), sgd), ValueError, "no parameter of this model; was it made for another one"),
    ):
        with pytest.raises(kind, match=message):
            Trainer(*parts)


def test_data_as_people_give_them():
    whole = weights_after((X, Y))
    for same in ([X, Y], (X.tolist(), Y.tolist()), (tt.tensor(X), tt.tensor(Y)), list(zip(X, Y, strict=True))):
        np.testing.assert_array_equal(weights_after(same), whole)
    t = linear()
    for inputs in (X.tolist(), tt.tensor(X), (X,), (X, Y), tt.data.TensorDataset(X, Y)):
        np.testing.assert_array_equal(t.predict(inputs), t.predict(X))
    with pytest.raises(TypeError, match=r"got ndarray; give fit\(\(x, y\)\)"):
        t.fit(X, Y)

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(3, 1)

        def forward(self, x):
            return self.body(x), x

    two = Two()
    with pytest.raises(TypeError, match="the model gave a tuple, expected a tensor; override Trainer.forward"):
        Trainer(two, nn.MSELoss(), optim.SGD(two.parameters(), lr=0.1)).predict(X)
    assert len(t.fit((X, Y), epochs=np.int64(2))) == 2


def weights_after(data):
    t = linear()
    t.fit(data, validation=data, epochs=2, batch_size=7, generator=1)
    return weights(t)


# ------------------------------------------------------------------------------------------------------------ metrics


@pytest.mark.parametrize("size", [1, 7, 11])
@pytest.mark.parametrize("kind", ["weight", "ignored", "nll", "batchmean", "smooth", "hole"])
def test_accumulation_is_one_large_batch_also_where_samples_count_differently(kind, size):
    """Class weights and labels to be ignored are what a mean is divided by."""
    weight, draw = np.array([1.0, 5.0, 0.2]), np.random.default_rng(1)
    loss, y = {
        "weight": lambda: (nn.CrossEntropyLoss(weight=weight), draw.integers(0, 3, 24)),
        "ignored": lambda: (nn.CrossEntropyLoss(weight=weight, ignore_index=1), draw.integers(0, 3, 24)),
        "nll": lambda: (nn.NLLLoss(weight=weight), draw.integers(0, 3, 24)),
        "batchmean": lambda: (nn.KLDivLoss(reduction="batchmean"), draw.dirichlet(np.ones(3), 24)),
        "smooth": lambda: (nn.CrossEntropyLoss(label_smoothing=0.1), draw.integers(0, 3, 24)),
        "hole": lambda: (nn.CrossEntropyLoss(), np.array([-100] * 12 + [0, 1, 2] * 4)),
    }[kind]()

    def run(accumulate, size):
        model = nn.Sequential(nn.Linear(3, 3, dtype="float64", rng=tt.rng(0)), nn.LogSoftmax(1))
        t = Trainer(model, loss, optim.SGD(model.parameters(), lr=1.0), accumulate=accumulate)
        history = t.fit((X, y), epochs=1, batch_size=size, shuffle=False)
        return weights(t), history["loss"], t.evaluate((X, y), batch_size=size)["loss"]

    for found, wanted in zip(run(-(-24 // size), size), run(1, 24), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


def test_what_is_better_is_asked_of_the_metric():
    """A metric under a name of one's own, and one that says nothing."""
    best = BestModel("val_acc", restore=False)
    t = linear(metrics={"acc": "r2"}, callbacks=[best])
    history = t.fit((X, Y), validation=(X, Y), epochs=8, batch_size=8)
    assert best.best == max(history["val_acc"])

    class Mine(trainer.Metric):
        name = "mine"

    with pytest.raises(ValueError, match="is more or less 'val_mine' better"):
        linear(metrics=[Mine()], callbacks=[EarlyStopping("val_mine")]).fit((X, Y), validation=(X, Y))


def test_accuracy_reads_outputs_as_the_loss_does():
    half = np.array([[0.2], [0.4], [0.8]])
    t = linear(loss=nn.BCELoss(), metrics="accuracy")
    t.metrics["accuracy"].update(half, np.array([[0], [1], [1]]))
    assert t.metrics["accuracy"].compute() == pytest.approx(2 / 3)
    t = linear(loss=nn.CrossEntropyLoss(), metrics="accuracy")
    smooth = np.array([[0.9, 0.05, 0.05], [0.05, 0.05, 0.9]])
    t.metrics["accuracy"].update(np.array([[3.0, 1, 2], [3.0, 1, 2]]), smooth)
    assert t.metrics["accuracy"].compute() == 0.5


@pytest.mark.parametrize("size", [1, 7, 100])
def test_metrics_against_scikit_learn(size):
    sk = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(1)
    scores, labels = draw.normal(size=(100, 7)), draw.integers(0, 7, 100)
    out, y = draw.normal(size=(100, 2)).astype(np.float32) + 1e4, draw.normal(size=(100, 2)).astype(np.float32) + 1e4
    found = {}
    for metric, a, b in ((Accuracy(), scores, labels), (TopK(3), scores, labels), (MAE(), out, y), (RMSE(), out, y), (R2(), out[:, :1], y[:, :1])):  # fmt: skip
        for k in range(0, 100, size):
            metric.update(a[k : k + size], b[k : k + size])
        found[metric.name] = metric.compute()
        metric.reset()
        assert math.isnan(metric.compute())
    out, y = out.astype(float), y.astype(float)
    assert found["accuracy"] == sk.accuracy_score(labels, scores.argmax(1))
    assert found["top3"] == pytest.approx(sk.top_k_accuracy_score(labels, scores, k=3))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, out), rel=1e-12)
    assert found["rmse"] == pytest.approx(np.sqrt(sk.mean_squared_error(y, out)), rel=1e-12)
    assert found["r2"] == pytest.approx(sk.r2_score(y[:, :1], out[:, :1]), rel=1e-9)


def test_accuracy_of_one_score():
    for y in (np.array([[0], [1], [1]]), np.array([[-1.0], [1.0], [1.0]])):
        metric = Accuracy()
        metric.update(np.array([[-2.0], [0.5], [-0.1]]), y)
        assert metric.compute() == pytest.approx(2 / 3)


# ---------------------------------------------------------------------------------------------------------- callbacks


def test_schedules_by_epoch_by_step_and_by_what_is_watched():
    t = linear()
    t = Trainer(t.model, t.loss, t.optimizer, scheduler=optim.lr_scheduler.StepLR(t.optimizer, 2, 0.5))
    assert t.fit((X, Y), epochs=5)["lr"] == [0.1, 0.1, 0.05, 0.05, 0.025]
    t = linear()
    steps = Schedule(optim.lr_scheduler.LambdaLR(t.optimizer, lambda k: 1 / (k + 1)), every="step")
    t = Trainer(t.model, t.loss, t.optimizer, scheduler=steps)
    assert t.fit((X, Y), epochs=2, batch_size=8)["lr"] == pytest.approx([0.1 / 4, 0.1 / 7])
    t = linear(lr=0.0)
    t.optimizer.param_groups[0]["lr"] = 1e-30
    plateau = optim.lr_scheduler.ReduceLROnPlateau(t.optimizer, factor=0.1, patience=1, eps=0)
    t = Trainer(t.model, t.loss, t.optimizer, scheduler=plateau)
    rates = t.fit((X, Y), validation=(X, Y), epochs=6)["lr"]
    assert rates == pytest.approx([1e-30, 1e-30, 1e-30, 1e-31, 1e-31, 1e-32])


def test_early_stopping_and_the_best_model():
    """A validation loss that is best in the third epoch."""

    class Scripted(Trainer):
        def evaluate(self, data, batch_size=256):
            return {"loss": [5.0, 4.0, 1.0, 2.0, math.nan, 3.0, 0.0][self.epoch - 1]}

    class Remember(Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_end(self, t, row):
            self.seen.append(weights(t))

    t, remember, best = linear(), Remember(), BestModel()
    t = Scripted(t.model, t.loss, t.optimizer, callbacks=[remember, best, EarlyStopping(patience=3)])
    t.fit((X, Y), validation=(X, Y), epochs=50)
    assert (t.epoch, best.best_epoch, best.best) == (6, 3, 1.0)
    assert t.stopped == "val_loss has not improved for 3 epochs"
    np.testing.assert_array_equal(weights(t), remember.seen[2])


def test_the_best_model_in_a_file(tmp_path):
    pytest.importorskip("safetensors")
    t = linear(callbacks=[BestModel("loss", path=tmp_path / "best.safetensors")])
    t.fit((X, Y), epochs=3)
    found = tt.io.load(tmp_path / "best.safetensors")
    np.testing.assert_array_equal(found["0.weight"], t.model.state_dict()["0.weight"])


def test_order_of_the_hooks():
    said = []

    class Say(Callback):
        def __init__(self, name, order):
            self.name, self.order = name, order

        def __getattribute__(self, key):
            if key.startswith("on_"):
                return lambda *a: said.append((object.__getattribute__(self, "name"), key))
            return object.__getattribute__(self, key)

    linear(callbacks=[Say("b", 2), Say("a", 1)]).fit((X, Y), epochs=1, batch_size=12)
    hooks = ["on_fit_begin", "on_epoch_begin", "on_step_end", "on_step_end", "on_epoch_end", "on_fit_end"]
    assert said == [(name, hook) for hook in hooks for name in "ab"]


# --------------------------------------------------------------------------------------------------------------- logs


def test_csv_log_is_the_history(tmp_path):
    t = linear(callbacks=[CSVLogger(tmp_path / "log.csv")])
    history = t.fit((X, Y), validation=(X, Y), epochs=3)
    rows = list(csv.DictReader(open(tmp_path / "log.csv", encoding="utf-8")))
    assert [float(row["val_loss"]) for row in rows] == history["val_loss"]
    assert history.to_csv(tmp_path / "h.csv").read_text() == (tmp_path / "log.csv").read_text()


def test_a_log_that_cannot_be_written_is_a_warning_once_it_runs(tmp_path, monkeypatch):
    log = CSVLogger(tmp_path / "log.csv")
    t = linear(callbacks=[log])

    def full(*a, **k):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainer.History, "to_csv", full)
    with pytest.warns(TrainingWarning, match="CSVLogger: No space left on device; the training goes on"):
        t.fit((X, Y), epochs=2)
    monkeypatch.undo()
    t.fit((X, Y), epochs=1)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4  # whole again
    with pytest.raises(FileNotFoundError):
        linear(callbacks=[CSVLogger(tmp_path / "no" / "log.csv")]).fit((X, Y))


def test_event_files_come_back(tmp_path):
    values = [("loss", 0, 0.5), ("ü/acc", 300, -1.25), ("loss", 2**40, 1e-30), ("loss", 1, math.inf), ("big", 1, 1e300)]
    with EventWriter(tmp_path / "runs" / "a") as writer:
        for tag, step, value in values:
            writer.scalar(tag, value, step)
    found = list(read_events(writer.path))
    assert [f[:2] for f in found] == [v[:2] for v in values]
    np.testing.assert_array_equal([f[2] for f in found], np.array([0.5, -1.25, 1e-30, math.inf, math.inf], "float32"))
    content = bytearray(writer.path.read_bytes())
    content[len(content) // 2] ^= 1
    writer.path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged at byte"):
        list(read_events(writer.path))
    writer.path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="is damaged at byte"):
        list(read_events(writer.path))


def test_crc32c_of_known_bytes():
    """RFC 3720, B.4."""
    from tinytensor.trainer.events import _masked_crc

    def masked(crc):
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    assert _masked_crc(bytes(32)) == masked(0x8A9136AA)
    assert _masked_crc(b"\xff" * 32) == masked(0x62A8AB43)
    assert _masked_crc(bytes(range(32))) == masked(0x46DD794E)
    assert _masked_crc(b"123456789") == masked(0xE3069283)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_the_event_files(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    linear(callbacks=[TensorBoard(tmp_path, every_steps=1)]).fit((X, Y), validation=(X, Y), epochs=3, batch_size=8)
    found = accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    assert set(found.Tags()["scalars"]) == {"loss", "val_loss", "lr", "step_loss"}
    assert [event.step for event in found.Scalars("val_loss")] == [3, 6, 9]
    assert [event.value for event in found.Scalars("lr")] == [struct.unpack("f", struct.pack("f", 0.1))[0]] * 3


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_drops_what_a_killed_training_wrote_after_its_checkpoint(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    class Die(Callback):
        order = 99

        def on_epoch_end(self, trainer, row):
            if trainer.epoch == 5:
                raise KeyboardInterrupt

    def run(**options):
        board, path = TensorBoard(tmp_path / "board", every_steps=1), tmp_path / "run.safetensors"
        saved = trainer.Checkpoint(path, every_epochs=3)
        linear(callbacks=[board, saved, Die()]).fit((X, Y), batch_size=12, **options)
        return board.path

    with pytest.raises(KeyboardInterrupt):
        run(epochs=9)
    (first,) = (tmp_path / "board").iterdir()
    first.rename(first.with_name("events.out.tfevents.1.first"))
    run(epochs=4, resume=True)
    found = accumulator.EventAccumulator(str(tmp_path / "board"))
    found.Reload()
    assert [event.step for event in found.Scalars("step_loss")] == list(range(1, 9))
    assert [event.step for event in found.Scalars("loss")] == [2, 4, 6, 8]


def test_progress_in_lines_and_in_a_terminal():
    out = io.StringIO()
    linear(callbacks=[Progress(out, lines=5)]).fit((X, Y), epochs=23)
    lines = out.getvalue().splitlines()
    assert [line[:11] for line in lines] == ["epoch  5/23", "epoch 10/23", "epoch 15/23", "epoch 20/23", "epoch 23/23"]
    assert "loss" in lines[0]
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    linear(callbacks=[Progress(out)]).fit((X, Y), epochs=2)
    assert "epoch 2/2" in out.getvalue()


def test_history_as_a_table_and_a_picture(tmp_path):
    t = linear(metrics=["mae"])
    history = t.fit((X, Y), validation=(X, Y), epochs=30)
    text = repr(history).splitlines()
    assert (
        text[0].split() == history.columns == ["epoch", "step", "loss", "mae", "val_loss", "val_mae", "lr", "seconds"]
    )
    assert len(text) == 22  # the head, ten rows, …, ten rows
    assert len({len(line) for line in text}) == 1
    with pytest.raises(KeyError, match="no column 'acc'; it has epoch"):
        history["acc"]
    assert len(history) == len(list(history)) == 30
    pytest.importorskip("matplotlib")
    figure = history.plot(tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
    assert [axes.get_title() for axes in figure.axes] == ["loss", "mae"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
    with pytest.raises(ValueError, match="must end in .png"):
        history.plot(tmp_path / "h.txt")


def test_digits_with_a_trainer():
    pytest.importorskip("sklearn")
    points = tt.data.toy("digits", seed=0)
    tt.manual_seed(0)
    model = nn.MLP(64, [64, 10])
    t = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01), metrics="accuracy")
    t.fit(points.train, validation=points.test, epochs=8, batch_size=64)
    assert t.evaluate(points.test)["accuracy"] >= 0.95


def test_running_means_are_as_before_a_step_that_was_refused():
    model = nn.Sequential(nn.Linear(3, 4, rng=tt.rng(0)), nn.BatchNorm1d(4), nn.Linear(4, 1, rng=tt.rng(1)))
    t = Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=0.1))
    t.fit((X, Y), epochs=1, batch_size=24)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    with pytest.raises(DivergedError):
        t.fit((X * np.nan, Y), epochs=1, batch_size=24)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
