"""tt.compile against eager, bit by bit, over several calls: training steps, and what people do to models between them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.optim import lr_scheduler as schedules

Made = tuple[Any, ...]  # step, arguments of call k, what is compared after each call, what happens before call k


def bits(x: Any) -> Any:
    """What must be the same."""
    if isinstance(x, tt.Tensor):
        return "tensor", bits(x.data)
    if isinstance(x, (np.ndarray, np.generic, float)):
        a = np.asarray(x)
        return a.shape, str(a.dtype), a.tobytes()
    if isinstance(x, (list, tuple)):
        return type(x).__name__, [bits(y) for y in x]
    if isinstance(x, dict):
        return {k: bits(v) for k, v in x.items()}
    if isinstance(x, nn.Module):
        return bits(x.state_dict()), [bits(p.grad) for p in x.parameters()]
    if isinstance(x, (optim.Optimizer, optim.EMA, schedules.LRScheduler)):
        return bits(x.state_dict())
    return repr(x)


def history(make: Callable[[], Made], compiled: bool, calls: int) -> tuple[Any, Any, Any]:
    """Results and states after each call, the results as they are at the end, and the step."""
    tt.manual_seed(0)
    step, arguments, watched, *between = make()
    step = tt.compile(step) if compiled else step
    kept, seen = [], []
    for k in range(calls):
        for act in between:
            act(k)
        kept.append(step(*arguments(k)))
        seen.append((bits(kept[-1]), [bits(w) for w in watched]))
    return seen, [bits(x) for x in kept], step


def check(make: Callable[[], Made], plans: int | None = 1, calls: int = 7) -> Any:
    """The compiled function does what the function does, with so many traces, and what it has returned stays as it was."""
    eager, eager_late, _ = history(make, False, calls)
    seen, late, step = history(make, True, calls)
    for k, (ours, theirs) in enumerate(zip(seen, eager, strict=True)):
        assert ours == theirs, f"call {k}"
    assert late == eager_late
    assert plans is None or step._traced == plans, step._traced
    return step


def batch(k: int) -> tuple[Any, Any]:
    r = np.random.default_rng(k)
    return r.random((8, 4), np.float32), r.random((8, 3), np.float32)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def mse(model: Any, x: Any, y: Any) -> Any:
    return ((model(x) - y) ** 2).mean()


def training(
    after: Callable[..., Any] = lambda model, optimizer, loss: optimizer.step() or loss,
    model: Callable[[], Any] = net,
    make: Callable[[Any], Any] = lambda m: optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
    between: Callable[..., None] = lambda model, optimizer, k: None,
) -> Callable[[], Made]:
    """A training step whose end is ``after(model, optimizer, loss)``."""

    def made() -> Made:
        m = model()
        o = make(m)

        def step(x: Any, y: Any) -> Any:
            o.zero_grad()
            loss = mse(m, x, y)
            loss.backward()
            return after(m, o, loss)

        return step, batch, [m, o], lambda k: between(m, o, k)

    return made


# ------------------------------------------------------------------------------------- the ordinary imperative styles


def minus_equals(m: Any, o: Any, loss: Any) -> Any:
    for p in m.parameters():
        p.data -= 0.1 * p.grad
    return loss


def rebinding(m: Any, o: Any, loss: Any) -> Any:
    for p in m.parameters():
        p.data = p.data - 0.1 * p.grad
    return loss


def scaled_gradient(m: Any, o: Any, loss: Any) -> Any:
    for p in m.parameters():
        p.grad *= 0.5
        p.data[...] = p.data - 0.1 * p.grad
    return loss


def new_gradient(m: Any, o: Any, loss: Any) -> Any:
    for p in m.parameters():
        p.grad = p.grad * 0.5
    o.step()
    return loss


def under_no_grad(m: Any, o: Any, loss: Any) -> Any:
    with tt.no_grad():
        for p in m.parameters():
            p -= 0.1 * p.grad
    return loss


def emptied(m: Any, o: Any, loss: Any) -> Any:
    o.step()
    for p in m.parameters():
        p.grad = None
    return loss


def twice(m: Any, o: Any, loss: Any) -> Any:
    o.step()
    o.step()
    return loss


@pytest.mark.parametrize(
    "after",
    [minus_equals, rebinding, scaled_gradient, new_gradient, under_no_grad, emptied, twice],
    ids=lambda f: f.__name__,
)
def test_styles_of_update(after: Any) -> None:
    check(training(after))


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_after_the_step(set_to_none: bool) -> None:
    def after(m: Any, o: Any, loss: Any) -> Any:
        o.step()
        o.zero_grad(set_to_none=set_to_none)
        return loss

    check(training(after), None)


@pytest.mark.parametrize("keep", [False, True])
def test_gradients_accumulate_without_zero_grad_and_may_be_kept(keep: bool) -> None:
    def made() -> Made:
        m, kept = net(), []

        def step(x: Any, y: Any) -> Any:
            loss = mse(m, x, y)
            loss.backward()
            return loss

        return step, batch, [m, kept], lambda k: kept.append([p.grad for p in m.parameters()]) if keep else None

    check(made, 2)


def test_kept_gradients_do_not_change() -> None:
    kept: list[Any] = []

    def between(m: Any, o: Any, k: int) -> None:
        if k == 0:
            kept.clear()
        kept.append([p.grad for p in m.parameters()])
        kept.append(bits(kept[-1]))
        assert all(bits(g) == b for g, b in zip(kept[::2], kept[1::2], strict=True))

    check(training(between=between))


def test_gradients_of_another_model_that_a_step_adds_to_are_others_at_each_call() -> None:
    def made() -> Made:
        g, d = net(), nn.Linear(3, 1)
        o, q = optim.Adam(g.parameters(), lr=0.1), optim.RMSprop(d.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            o.zero_grad()
            fooled = d(g(x)).mean()
            fooled.backward()  # into d's gradients too, that the last call left
            o.step()
            q.zero_grad()
            loss = d(y).mean() - d(g(x).detach()).mean()
            loss.backward()
            q.step()
            return fooled, loss

        return step, batch, [g, d, o, q]

    check(made)


def test_micro_batches() -> None:
    def made() -> Made:
        m = net()
        o = optim.Adam(m.parameters())

        def step(x: Any, y: Any) -> Any:
            o.zero_grad()
            for i in (0, 4):
                loss = mse(m, x[i : i + 4], y[i : i + 4]) / 2
                loss.backward()
            o.step()
            return loss

        return step, batch, [m, o]

    check(made)


def test_a_gradient_that_was_saved_and_overwritten_is_refused_as_it_is_without_compiling() -> None:
    w = tt.tensor(np.ones(3), requires_grad=True)

    @tt.compile
    def step() -> Any:
        loss = (w * w).sum()
        with tt.no_grad():
            w.data[...] = 0
            tt.Tensor.__isub__(w, 1)
        loss.backward()

    with pytest.raises(RuntimeError, match="overwritten in place"):
        step()
    assert (w.data == 1).all()


# ---------------------------------------------------------------------------------------------------------- optimizers

OPTIMIZERS = [
    kind for name in optim.__all__
    if isinstance(kind := getattr(optim, name), type) and issubclass(kind, optim.Optimizer)
    and kind not in (optim.Optimizer, optim.LBFGS)
]  # fmt: skip


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
def test_optimizers(kind: Any) -> None:
    check(training(make=lambda m: kind(m.parameters(), lr=0.05)), None)
    wide = lambda: nn.Sequential(nn.Linear(4, 3000), nn.Tanh(), nn.Linear(3000, 3))  # noqa: E731
    check(training(model=wide, make=lambda m: kind(m.parameters(), lr=0.05)), None, 4)


OPTIONS: list[Any] = [
    lambda m: optim.SGD(m.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    lambda m: optim.SGD(m.parameters(), 0.1, momentum=0.9, dampening=0.1, maximize=True),
    lambda m: optim.Adam(m.parameters(), 0.1, amsgrad=True, weight_decay=0.1, maximize=True),
    lambda m: optim.AdamW([{"params": [m[0].weight], "lr": 0.2}, {"params": [m[0].bias, *m[2].parameters()]}], lr=0.1),
    lambda m: optim.AdamW(optim.decay_groups(m, 0.1)),
]


@pytest.mark.parametrize("make", OPTIONS)
def test_options_and_groups(make: Any) -> None:
    check(training(make=make))


def test_lbfgs_says_what_to_compile() -> None:
    m = net()
    o = optim.LBFGS(m.parameters())
    with pytest.raises(TypeError, match="compile the closure"):
        tt.compile(lambda: o.step(lambda: m(np.ones((1, 4), np.float32)).sum()))()


def freeze(m: Any, o: Any, k: int) -> None:
    m[0].weight.requires_grad_(k % 3 != 1)


def other_data(m: Any, o: Any, k: int) -> None:
    if k in (2, 3):
        m[0].weight.data = m[0].weight.data * 2
    if k == 4:
        m[0].weight.data = np.asfortranarray(m[0].weight.data)
    if k == 5:
        m[2].weight.data[...] = 0.5


def options(m: Any, o: Any, k: int) -> None:
    changes: dict[int, Any] = {2: {"lr": 0.3}, 3: {"weight_decay": 0.3}, 4: {"lr": np.float32(0.2)}, 5: {"lr": 1}}
    o.param_groups[0].update(changes.get(k, {}))


def state_gone(m: Any, o: Any, k: int) -> None:
    if k == 3:
        o.state.clear()
    if k == 5:
        for state in o.state.values():
            state.update({name: np.zeros_like(a) for name, a in state.items() if isinstance(a, np.ndarray)})


def loaded(m: Any, o: Any, k: int) -> None:
    if k == 2:
        m.saved = copy.deepcopy((m.state_dict(), o.state_dict()))
    if k == 4:
        m.load_state_dict(m.saved[0])
        o.load_state_dict(m.saved[1])
    if k == 5:
        o.param_groups[0]["lr"] = 0.4


def layer_replaced(m: Any, o: Any, k: int) -> None:
    if k == 3:
        tt.manual_seed(5)
        m[2] = nn.Linear(5, 3)


def group_added(m: Any, o: Any, k: int) -> None:
    if k == 0:
        o.param_groups[0]["params"] = o.param_groups[0]["params"][:2]
    if k == 3:
        o.add_param_group({"params": m[2].parameters(), "lr": 0.5})


def eager_step(m: Any, o: Any, k: int) -> None:
    if k in (0, 3):
        o.zero_grad()
        mse(m, *batch(k + 100)).backward()
        o.step()


@pytest.mark.parametrize(
    "between",
    [freeze, other_data, options, state_gone, loaded, layer_replaced, group_added, eager_step],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_between_calls(between: Any, kind: Any) -> None:
    check(training(make=lambda m: kind(m.parameters(), lr=0.1), between=between), None)


def test_a_bad_rate_is_refused_at_the_call_that_meets_it() -> None:
    step, _, (_, o), _ = training()()
    step = tt.compile(step)
    step(*batch(0))
    o.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must not be negative"):
        step(*batch(0))


def test_memory_of_a_parameter_that_somebody_holds() -> None:
    def made() -> Made:
        step, arguments, (m, o), _ = training(make=lambda m: optim.Adam(m.parameters()))()
        held = m[0].weight.data
        return step, arguments, [m, o, held], lambda k: np.multiply(held, 0.5, held)

    check(made, None)


# ----------------------------------------------------------------------------------- clipping, schedules, averages


@pytest.mark.parametrize("norm_type", [2.0, 1.0, np.inf, 3, 0.5])
@pytest.mark.parametrize("most", [0.01, 0.9, 100.0])
def test_clip_grad_norm(norm_type: float, most: float) -> None:
    def after(m: Any, o: Any, loss: Any) -> Any:
        norm = nn.utils.clip_grad_norm_(m.parameters(), most, norm_type, error_if_nonfinite=True)
        o.step()
        return loss, norm

    check(training(after))


def test_clipping_in_parts_and_by_value() -> None:
    def after(m: Any, o: Any, loss: Any) -> Any:
        norm = nn.utils.get_total_norm([p.grad for p in m.parameters()])
        nn.utils.clip_grads_with_norm_(m.parameters(), 0.3, norm)
        nn.utils.clip_grad_value_(m.parameters(), 0.05)
        o.step()
        return norm

    wide = lambda: nn.Sequential(nn.Linear(4, 300), nn.Tanh(), nn.Linear(300, 200), nn.Linear(200, 3))  # noqa: E731
    check(training(after))
    check(training(after, wide))


def test_clipping_of_zeros_and_of_what_is_not_finite() -> None:
    def made(error: bool = False) -> Made:
        m = net()

        def step(x: Any, y: Any) -> Any:
            m.zero_grad()
            (m(x) * y).sum().backward()
            return nn.utils.clip_grad_norm_(m.parameters(), 0.5, error_if_nonfinite=error)

        factors = [1.0, 0.0, 2.0, 1e-30, np.inf, np.nan, 1.0]
        return step, lambda k: (batch(k)[0], batch(k)[1] * np.float32(factors[k])), [m]

    with np.errstate(all="ignore"):
        check(made, None)
    step, arguments, (m,) = made(error=True)
    step = tt.compile(step)
    step(*arguments(0))
    with np.errstate(all="ignore"), pytest.raises(RuntimeError, match="the norm is nan"):
        step(*arguments(5))


SCHEDULES: dict[str, Any] = {
    "StepLR": lambda o: schedules.StepLR(o, 2),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, [2, 3]),
    "LinearLR": lambda o: schedules.LinearLR(o),
    "ExponentialLR": lambda o: schedules.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, 5),
    "PolynomialLR": lambda o: schedules.PolynomialLR(o),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, 0.5, total_steps=10),
    "CyclicLR": lambda o: schedules.CyclicLR(o, 0.01, 0.1, step_size_up=2),
    "CosineAnnealingWarmRestarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 3),
    "LambdaLR": lambda o: schedules.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda o: schedules.MultiplicativeLR(o, lambda epoch: 0.9),
    "ChainedScheduler": lambda o: schedules.ChainedScheduler(
        [schedules.ConstantLR(o), schedules.ExponentialLR(o, 0.9)]
    ),
    "SequentialLR": lambda o: schedules.SequentialLR(
        o, [schedules.ConstantLR(o), schedules.ExponentialLR(o, 0.9)], milestones=[2]
    ),
    "ReduceLROnPlateau": lambda o: schedules.ReduceLROnPlateau(o, patience=0, factor=0.5),
}


@pytest.mark.parametrize("where", ["inside", "outside"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str, where: str) -> None:
    def made() -> Made:
        m = net()
        o = optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
        s = SCHEDULES[name](o)
        metric = name == "ReduceLROnPlateau"

        def step(x: Any, y: Any) -> Any:
            o.zero_grad()
            loss = mse(m, x, y)
            loss.backward()
            rate = s.get_last_lr()
            o.step()
            if where == "inside":
                s.step(loss) if metric else s.step()
            return loss, rate

        def between(k: int) -> None:
            if where == "outside" and k:
                s.step(1.0) if metric else s.step()

        return step, batch, [m, o, s], between

    check(made)


def test_a_rate_by_hand() -> None:
    def after(m: Any, o: Any, loss: Any) -> Any:
        o.step()
        for group in o.param_groups:
            group["lr"] *= 0.5
        if o.param_groups[0]["lr"] < 0.02:  # a condition of the plan
            o.param_groups[0]["lr"] = 0.1
        return loss, o.param_groups[0]["lr"]

    check(training(after), 2)


@pytest.mark.parametrize("what", ["step", "rate"])
def test_what_would_need_the_rate_that_a_schedule_is_about_to_set(what: str) -> None:
    m = net()
    o = optim.SGD(m.parameters(), lr=0.1)
    s = schedules.ExponentialLR(o, 0.9)

    @tt.compile
    def step(x: Any, y: Any) -> Any:
        mse(m, x, y).backward()
        o.step()
        s.step()
        return o.step() if what == "step" else s.get_last_lr()

    before: Any = None
    with pytest.raises(TypeError, match=r"after ExponentialLR.step"):
        for epoch in range(4):  # the first ones make what the optimizer keeps
            before = bits(m), epoch
            step(*batch(0))
    assert before == (bits(m), s.last_epoch)


@pytest.mark.parametrize("decay", [0.9, 0.3])
def test_a_moving_average_inside(decay: float) -> None:
    def made() -> Made:
        m = net()
        o, e = optim.SGD(m.parameters(), lr=0.1), None
        e = optim.EMA(m, decay)

        def step(x: Any, y: Any) -> Any:
            o.zero_grad()
            loss = mse(m, x, y)
            loss.backward()
            o.step()
            e.update()
            return loss

        return step, batch, [m, e], lambda k: e.load_state_dict(e.state_dict()) if k == 4 else None

    check(made, 2)
