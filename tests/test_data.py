"""The toy datasets: reproducible, split in the right ratio, standardised by what is trained on."""

import numpy as np
import pytest

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
