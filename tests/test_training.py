"""The loop of the command line: both engines make the same run, and the published demo comes out of it."""

import math
import random

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import comparison, data, training
from tinytensor.training import DivergedError, Recipe, make_engine, train

pytest.importorskip("sklearn")


def run(dataset, **options):
    points = data.toy(dataset, samples=60, seed=1)
    engine = make_engine(points, Recipe(**options).complete(dataset, points.classes))
    return engine, train(engine, points)


@pytest.mark.parametrize(
    ("dataset", "options"),
    [
        ("moons", {"loss": "hinge", "optimizer": "sgd"}),
        ("moons", {"loss": "mse", "optimizer": "sgd", "momentum": 0.9, "activation": "tanh"}),
        ("circles", {"loss": "bce", "optimizer": "adam", "activation": "sigmoid"}),
        ("blobs", {"loss": "ce", "optimizer": "adamw", "l2": 0.01}),
        ("digits", {"loss": "ce", "optimizer": "adam"}),
        ("digits", {"loss": "mse", "optimizer": "sgd"}),
    ],
    ids=lambda x: x if isinstance(x, str) else f"{x['loss']}-{x['optimizer']}",
)
def test_both_engines_agree_step_by_step(dataset, options):
    common = {"hidden": (6, 4), "epochs": 3, "batch_size": 16, "dtype": "float64", **options}
    (fast, one), (slow, two) = (run(dataset, engine=engine, **common) for engine in ("tensor", "scalar"))
    assert len(one.losses) == 3 * -(-len(data.toy(dataset, samples=60, seed=1).x_train) // 16)
    np.testing.assert_allclose(one.losses, two.losses, rtol=0, atol=1e-9)
    assert one.losses[0] != one.losses[-1]
    for p, q in zip(fast.parameters, slow.parameters, strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=0, atol=1e-9)
    assert one.checks == two.checks
    kept = [v.data for v in slow.values.parameters()]  # the scalar weights themselves, neuron by neuron
    rows = [np.c_[layer.weight.data, layer.bias.data] for layer in slow.model.linears]
    np.testing.assert_array_equal(kept, np.concatenate([r.ravel() for r in rows]))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_penalty_in_the_loss_is_what_the_optimizer_follows(optimizer):
    """One step by hand with the L2 term in the graph."""
    points = data.toy("moons", samples=40)
    recipe = Recipe(l2=0.05, lr=0.1, epochs=1, dtype="float64", optimizer=optimizer).complete("moons", 2)
    engine = make_engine(points, recipe)
    model = make_engine(points, recipe).model
    target = training.targets(points.y_train, "hinge", 2)
    loss = tt.nn.HingeLoss()(model(points.x_train), target) + 0.05 * sum((p * p).sum() for p in model.parameters())
    loss.backward()
    {"sgd": tt.optim.SGD, "adam": tt.optim.Adam}[optimizer](model.parameters(), lr=0.1).step()
    history = train(engine, points)
    assert history.losses == pytest.approx([loss.item()], abs=1e-12)
    for p, q in zip(engine.parameters, model.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, atol=1e-12)


def test_the_rate_falls_in_a_straight_line(monkeypatch):
    rates = []
    step = training.TensorEngine.step
    monkeypatch.setattr(
        training.TensorEngine, "step", lambda self, x, t, lr: (rates.append(lr), step(self, x, t, lr))[1]
    )
    run("moons", lr=2.0, lr_decay=0.5, epochs=4)
    assert rates == pytest.approx([2.0, 1.75, 1.5, 1.25])


def test_the_same_seed_makes_the_same_run():
    (_, one), (_, two), (_, other) = (run("moons", batch_size=7, epochs=3, seed=s) for s in (0, 0, 5))
    assert one.losses == two.losses
    assert one.losses != other.losses


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_keep_their_dtype(dtype):
    engine, _ = run("digits", dtype=dtype, epochs=1)
    assert {p.dtype for p in engine.parameters} == {np.dtype(dtype)}
    assert engine.scores(np.zeros((2, 64), dtype)).dtype == dtype


@pytest.mark.parametrize("engine", ["tensor", "scalar"])
def test_a_rate_too_high_is_named_with_its_step(engine):
    with pytest.raises(
        DivergedError, match=r"became (nan|inf) at step \d+ of 9, at learning rate .*, which is too high: try 0.3"
    ):
        run("moons", loss="mse", lr=1e30, epochs=9, engine=engine, hidden=(4,))


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("moons", {"activation": "gelu"}, "activation must be one of relu, tanh, sigmoid; got 'gelu'"),
        ("digits", {"loss": "hinge"}, "the hinge loss is for two classes, digits has 10; use ce or mse"),
        ("moons", {"momentum": 0.9, "optimizer": "adam"}, "momentum belongs to sgd"),
        ("moons", {"lr": 0.0}, "lr must be a finite number above 0, got 0"),
        ("moons", {"lr": math.nan}, "lr must be a finite number above 0, got nan"),
        ("moons", {"l2": -1.0}, "l2 must be a finite number and not negative, got -1"),
        ("moons", {"lr_decay": 1.5}, "lr-decay must be between 0 and 1, got 1.5"),
        ("moons", {"epochs": 0}, "epochs must be at least 1, got 0"),
        ("moons", {"batch_size": 0}, "batch-size must be at least 1, got 0"),
        ("moons", {"hidden": (4, 0)}, "hidden sizes must be at least 1, got 4,0"),
        ("moons", {"hidden": (10**6, 10**6)}, "weights; at most 50,000,000"),
        ("moons", {"seed": -1}, "seed must not be negative"),
    ],
)
def test_recipes_that_cannot_be_trained(dataset, options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**options).complete(dataset, 10 if dataset == "digits" else 2)


def test_the_published_demo_on_both_engines():
    state = random.getstate(), np.random.get_state()[1].copy()
    found = comparison.run_demo(steps=4)
    assert random.getstate() == state[0]  # the user's random numbers are left alone
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])
    assert found.losses["scalar"] == pytest.approx(comparison.PUBLISHED, rel=0, abs=1e-9)
    assert found.losses["tensor"] == pytest.approx(comparison.PUBLISHED, rel=0, abs=1e-9)
    assert found.difference < 1e-9
    assert found.off_published < 1e-9
    assert found.accuracies["scalar"] == found.accuracies["tensor"]


def test_speeds_are_measured_or_missing_never_guessed():
    speeds = comparison.time_steps([1, 3, 20], scalar_up_to=3, seconds=0.0)
    assert [s.batch for s in speeds] == [1, 3, 20]
    assert [s.scalar is None for s in speeds] == [False, False, True]
    assert speeds[2].ratio is None
    assert all(s.tensor > 0 for s in speeds)
    assert speeds[1].ratio == speeds[1].scalar / speeds[1].tensor
