"""DataLoader as PyTorch users write it: samplers, streams, workers, odd datasets; and the same batches as PyTorch's."""

import copy
import multiprocessing
import os
import pickle
import random
import threading
import time

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import data


def plain(value):
    """A batch as lists and numbers, whoever made it."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value.tolist() if hasattr(value, "tolist") else value


class Stream:
    """0 … n - 1, in an order that depends on the epoch."""

    def __init__(self, n):
        self.n, self.epoch = n, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        yield from np.random.default_rng(self.epoch).permutation(self.n).tolist()


# ---------------------------------------------------------------------------------------------------------- samplers


LOADERS = {
    "random": lambda s: {"sampler": data.RandomSampler(range(11), generator=s)},
    "with replacement": lambda s: {"sampler": data.RandomSampler(range(11), True, 7, s)},
    "more than there are": lambda s: {"sampler": data.RandomSampler(range(11), num_samples=25, generator=s)},
    "subset": lambda s: {"sampler": data.SubsetRandomSampler([1, 2, 5, 7], s), "drop_last": True},
    "weighted": lambda s: {"sampler": data.WeightedRandomSampler(np.arange(11.0), 9, generator=s)},
    "batches": lambda s: {"batch_sampler": data.BatchSampler(data.RandomSampler(range(11), generator=s), 4, False)},
    "single": lambda s: {"batch_size": None, "shuffle": True, "generator": s},
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", LOADERS)
def test_any_sampler_goes_on_in_mid_epoch(kind, workers):
    """The checkpoint's order and seed count, not those of the program that resumes."""

    def make(seed):
        options = {"batch_size": 3, **LOADERS[kind](seed)}
        if "batch_sampler" in options:
            del options["batch_size"]
        return data.DataLoader(np.arange(11.0), num_workers=workers, **options)

    whole = make(1)
    epochs = [plain(list(whole)) for _ in range(3)]
    assert epochs[0] != epochs[1]
    for taken in range(len(epochs[1]) + 1):
        one, two = make(1), make(2)
        list(one)
        steps = iter(one)
        for _ in range(taken):
            next(steps)
        two.load_state_dict(copy.deepcopy(one.state_dict()))
        assert plain(list(two)) == epochs[1][taken:] + ([] if taken else [])
        assert plain(list(two)) == epochs[2]


def test_samplers_draw_what_they_say():
    drawn = list(data.WeightedRandomSampler([1.0, 0.0, 3.0], 4000, generator=0))
    assert drawn.count(1) == 0
    assert 2800 < drawn.count(2) < 3200
    assert sorted(data.WeightedRandomSampler([1, 1, 0, 1], 3, replacement=False)) == [0, 1, 3]
    assert sorted(list(data.RandomSampler(range(3), num_samples=7))[:3]) == [0, 1, 2]
    assert len(data.BatchSampler(range(5), 2, True)) == 2
    for make, message in (
        (lambda: data.WeightedRandomSampler([0, 0], 1), "not all of them 0"),
        (lambda: data.WeightedRandomSampler([1, 0], 2, replacement=False), "2 samples cannot be drawn from 1"),
        (lambda: data.RandomSampler("ab", num_samples=0), "num_samples must be at least 1"),
        (lambda: data.BatchSampler([1], 0, False), "batch_size must be a whole number"),
        (lambda: data.RandomSampler("ab").load_state_dict({"seed": -1, "epoch": 0}), "state with seed and epoch"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": [0], "shuffle": True}, "sampler and shuffle exclude each other"),
        ({"sampler": [0], "batch_sampler": [[0]]}, "sampler and batch_sampler exclude"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler excludes batch_size"),
        ({"batch_size": None, "drop_last": True}, "batch_size=None excludes drop_last"),
        ({"timeout": -1}, "timeout must not be negative"),
        ({"prefetch_factor": 0}, "prefetch_factor must be"),
    ],
)
def test_arguments_that_exclude_each_other(options, message):
    with pytest.raises(ValueError, match=message):
        data.DataLoader(np.arange(3), **options)


def test_the_state_of_a_loader_with_another_sampler_is_refused():
    loader = data.DataLoader(np.arange(6), 2, sampler=[0, 1, 2, 3])
    next(iter(loader))
    state = loader.state_dict()
    for change, message in (
        ({"order": np.array([99])}, r"not in 0 … 5"),
        ({"order": "all"}, "another sampler"),
        ({"order": None}, "batch 1; an epoch has 0"),
        ({"batch": 3}, "batch 3; an epoch has 2"),
        ({"batch_size": 2.0}, "batch_size 2.0"),
    ):
        with pytest.raises(ValueError, match=message):
            loader.load_state_dict({**state, **change})
        assert loader.state_dict().keys() == state.keys()
        assert loader.state_dict()["batch"] == 1


# ----------------------------------------------------------------------------------------------------------- datasets


@pytest.mark.parametrize("workers", [0, 3])
def test_a_stream_in_batches_and_from_the_middle(workers):
    def make():
        return data.DataLoader(
            Stream(7), 3, num_workers=workers, generator=1, transform=lambda batch, rng: batch + rng.random()
        )

    whole = make()
    epochs = [plain(list(whole)) for _ in range(2)]
    one, two = make(), make()
    list(one)
    next(steps := iter(one))
    two.load_state_dict(one.state_dict())
    assert plain(list(two)) == epochs[1][1:] == plain(list(steps))
    assert [len(b) for b in data.DataLoader(Stream(7), 3, drop_last=True)] == [3, 3]
    with pytest.raises(TypeError):
        len(whole)
    with pytest.raises(ValueError, match="shuffle needs samples by number; Stream is a stream"):
        data.DataLoader(Stream(3), shuffle=True)


def test_a_training_on_a_stream_resumes(tmp_path):
    class Pairs(Stream):
        def __iter__(self):
            for k in super().__iter__():
                yield np.full(2, k / 10), np.full(1, k / 5)

    def run(stop=None, resume=None):
        class Halt(tt.trainer.Callback):
            order = 99

            def on_step_end(self, trainer):
                if trainer.step == stop:
                    raise KeyboardInterrupt

        tt.manual_seed(0)
        model = tt.nn.Linear(2, 1)
        adam = tt.optim.Adam(model.parameters(), lr=0.1)
        callbacks = [tt.trainer.Checkpoint(tmp_path / "run.safetensors", every_steps=1), Halt()]
        trainer = tt.Trainer(model, tt.nn.MSELoss(), adam, callbacks=callbacks)
        trainer.fit(data.DataLoader(Pairs(9), 2), epochs=3, resume=resume)
        return model.weight.data.copy(), trainer.history.losses

    whole = run()
    with pytest.raises(KeyboardInterrupt):
        run(stop=7)
    again = run(resume=True)
    np.testing.assert_array_equal(again[0], whole[0])
    assert again[1] == whole[1]


def test_a_dataset_that_changes_its_samples_is_asked_for_each():
    """A subclass's own ``__getitem__`` must not be passed by, and a method called ``batch`` is not always ours."""

    class Doubled(data.TensorDataset):
        def __getitem__(self, i):
            (x,) = super().__getitem__(i)
            return (x * 2,)

    class Foreign(list):
        def batch(self, batch_size):
            raise AssertionError("not this one")

    samples = Doubled(np.arange(3.0))
    assert plain(list(data.DataLoader(samples, 3))) == [[[0, 2, 4]]]
    assert plain(list(data.DataLoader(data.Subset(samples, [2]), 1))) == [[[4]]]
    assert plain(list(data.DataLoader(Foreign([1, 2]), 2))) == [[1, 2]]


def test_a_list_is_samples_and_a_tuple_is_arrays():
    pair = [np.zeros(2), np.ones(2)]
    assert plain(list(data.DataLoader(pair, 2))) == [[[0, 0], [1, 1]]]
    assert plain(list(data.DataLoader(tuple(pair), 2))) == [[[0, 0], [1, 1]]]
    assert isinstance(next(iter(data.DataLoader(pair, 2))), np.ndarray)
    assert isinstance(next(iter(data.DataLoader(tuple(pair), 2))), tuple)


def test_tensors_give_tensors_and_keep_their_gradient():
    t = tt.tensor(np.arange(4.0), requires_grad=True)
    for samples in (data.TensorDataset(t), [(x,) for x in t]):
        t.grad = None
        for (x,) in data.DataLoader(samples, 2, shuffle=True):
            assert isinstance(x, tt.Tensor)
            (x * x).sum().backward()
        np.testing.assert_array_equal(t.grad, 2 * t.data)
    x, y = next(iter(data.DataLoader(data.TensorDataset(tt.ones(3), np.ones(3)), 2)))
    assert isinstance(x, tt.Tensor)
    assert isinstance(y, np.ndarray)
    x.data[...] = 7  # memory of its own
    assert data.TensorDataset(tt.ones(3))[0][0].item() == 1


def test_copies_of_loaders_and_subsets_stand_alone():
    part = data.Subset(data.TensorDataset(np.arange(5)), [4, 1])
    for again in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        again.indices[0] = 0
        assert plain(list(data.DataLoader(again, 2))) == [[[0, 1]]]
    assert plain(list(data.DataLoader(part, 2))) == [[[4, 1]]]
    loader = pickle.loads(pickle.dumps(data.DataLoader(part, 1, shuffle=True, generator=3)))
    assert plain(list(loader)) == plain(list(data.DataLoader(part, 1, shuffle=True, generator=3)))


def test_two_iterations_at_once_are_two_epochs():
    def make():
        return data.DataLoader(np.arange(9), 3, shuffle=True, generator=1)

    loader, other = make(), make()
    epochs = [plain(list(other)), plain(list(other))]
    assert plain([list(side) for side in zip(*zip(loader, loader, strict=True), strict=True)]) == epochs


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"x": np.ones(2)}, "a dict is no dataset; give a tuple of its arrays"),
        (iter([1]), "an iterator is empty after one epoch"),
        ("words", "got str"),
        (3, "got int"),
    ],
)
def test_what_is_no_dataset(dataset, message):
    with pytest.raises(TypeError, match=message):
        data.DataLoader(dataset)


def test_random_split_takes_any_generator_and_concat_any_place():
    for generator in (0, np.random.default_rng(0), tt.rng(0)):
        first, _ = data.random_split(range(10), [7, 3], generator)
        assert first.indices.tolist() == data.random_split(range(10), [7, 3], tt.rng(0))[0].indices.tolist()
    both = data.ConcatDataset([[0, 1], [], [2]]) + [3]
    assert [both[i] for i in range(-4, 4)] == [0, 1, 2, 3, 0, 1, 2, 3]
    with pytest.raises(IndexError, match="no sample 4, there are 4"):
        both[4]
    with pytest.raises(TypeError, match="with a length, got Stream"):
        data.ConcatDataset([Stream(2)])


# ------------------------------------------------------------------------------------------------------------ workers


class Numbers:
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return i, os.getpid()


class Broken(Numbers):
    def __getitem__(self, i):
        if i == 3:
            raise RuntimeError("sample 3 is broken")
        return i


class Started(Numbers):
    def __getitem__(self, i):
        return int(os.environ["TINYTENSOR_WORKER"])


def note_worker(number):
    os.environ["TINYTENSOR_WORKER"] = str(number)


def test_processes_make_the_same_batches():
    options = {"batch_size": 2, "shuffle": True, "generator": 1}
    here = [plain(x) for x, _ in data.DataLoader(Numbers(), **options)]
    away = list(data.DataLoader(Numbers(), num_workers=1, multiprocessing_context="spawn", **options))
    assert [plain(x) for x, _ in away] == here
    assert os.getpid() not in {int(p) for _, pids in away for p in pids}
    seen = []
    with pytest.raises(RuntimeError, match="sample 3 is broken"):
        for batch in data.DataLoader(Broken(), num_workers=1, multiprocessing_context="spawn"):
            seen.append(batch.item())
    assert seen == [0, 1, 2]
    with pytest.raises(TypeError, match="must be picklable.*or use threads"):
        list(data.DataLoader(Numbers(), num_workers=1, multiprocessing_context="spawn", collate_fn=lambda s: s))
    found = list(data.DataLoader(Started(), num_workers=1, multiprocessing_context="spawn", worker_init_fn=note_worker))
    assert {b.item() for b in found} == {0}
    assert not multiprocessing.active_children()


def test_threads_are_told_their_numbers_and_may_be_late():
    numbers = []
    list(data.DataLoader(np.arange(40), num_workers=3, worker_init_fn=numbers.append))
    assert sorted(numbers) == list(range(len(numbers)))
    release = threading.Event()

    class Late(Numbers):
        def __getitem__(self, i):
            release.wait(20)
            return i

    try:
        with pytest.raises(TimeoutError, match=r"no batch came within 0.05 seconds"):
            list(data.DataLoader(Late(), num_workers=1, timeout=0.05))
    finally:
        release.set()


def test_a_loop_that_is_left_leaves_no_thread():
    before = set(threading.enumerate())  # one of an earlier test may end meanwhile
    for _ in data.DataLoader(np.arange(100), num_workers=3):
        for _ in data.DataLoader(Stream(100), num_workers=2):
            break
        break
    for _ in range(100):
        if not set(threading.enumerate()) - before:
            break
        time.sleep(0.05)
    assert not set(threading.enumerate()) - before


# ------------------------------------------------------------------------------------------------------------ PyTorch


def random_case(r, td, torch):
    """(our dataset, PyTorch's, arguments) of one kind and size."""
    n = r.randrange(1, 12)
    x, y = np.arange(n * 2.0).reshape(n, 2), np.arange(n)
    rows = [r.randrange(n) for _ in range(r.randrange(1, 5))]
    numbers = list(range(n))
    both = torch.tensor(x), torch.tensor(y)
    ours, theirs = r.choice(
        [
            (data.TensorDataset(tt.tensor(x), y), td.TensorDataset(*both)),
            ([(x[i], int(y[i])) for i in numbers],) * 2,
            ([{"x": x[i], "w": str(i)} for i in numbers],) * 2,
            (numbers, numbers),
            (x, x),
            (data.ConcatDataset([numbers, [7]]), td.ConcatDataset([numbers, [7]])),
            (data.Subset(data.TensorDataset(x, y), rows), td.Subset(td.TensorDataset(*both), rows)),
        ]
    )
    options = {"batch_size": r.choice([None, 1, 2, 3, 4])}
    if options["batch_size"] and r.random() < 0.3:
        options["drop_last"] = True
    if r.random() < 0.3:
        options["sampler"] = [r.randrange(len(ours)) for _ in range(r.randrange(9))]
    elif r.random() < 0.3:
        options = {
            "batch_sampler": [[r.randrange(len(ours)) for _ in range(r.randrange(1, 4))] for _ in range(r.randrange(5))]
        }
    if r.random() < 0.2:
        options["collate_fn"] = list if options.get("batch_size", 1) else (lambda sample: [sample])
    return ours, theirs, options


@pytest.mark.peers
def test_the_same_batches_as_pytorch():
    torch = pytest.importorskip("torch")
    from torch.utils import data as td

    r = random.Random(0)
    for _ in range(300):
        ours, theirs, options = random_case(r, td, torch)
        reference = td.DataLoader(theirs, **options)
        wanted = [plain(batch) for batch in reference]
        found = data.DataLoader(ours, num_workers=r.choice([0, 0, 2]), **options)
        assert [plain(batch) for batch in found] == wanted, options
        assert len(found) == len(reference)
