"""How each library trains: its own loop, written once for every :class:`~benchmarks.training.Training`.

Each of these functions imports a library. They follow its documentation: tinytensor and PyTorch by module, loss and
optimizer; JAX by one jitted, donated function from parameters and state to new ones; HIPS autograd and MyGrad by a function
in NumPy's words and an update in place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.training import Step

if TYPE_CHECKING:
    from benchmarks.training import Problem, Training


def _tinytensor(of: Training, problem: Problem, variants: list[str], options: dict[str, Any]) -> Step:
    import tinytensor as tt

    model, loss_of = of.network(tt, **options), of.loss(tt, **options)
    parameters = list(model.parameters())
    name, settings = of.optimizer
    optimizer = getattr(tt.optim, name)(parameters, **settings)
    inputs = problem.inputs

    def reset() -> None:
        for p, w in zip(parameters, problem.weights, strict=True):
            p.data[...] = w

    def step(x: Any, y: Any) -> Any:
        loss = loss_of(model, x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    reset()
    run: Callable[..., Any] = step
    if "compiled" in variants:
        run = tt.compile(step)  # type: ignore[attr-defined]
    elif "numba" in variants:
        run = tt.compile(step, backend="numba")  # type: ignore[attr-defined]
    return Step(lambda: run(*inputs), reset, lambda: [p.data for p in parameters], tt.__version__)


def _torch(of: Training, problem: Problem, variants: list[str], options: dict[str, Any]) -> Step:
    """Default settings; "best idiom": the fused optimizer, and as many threads as are quickest; or ``torch.compile``."""
    import torch

    model, loss_of = of.network(torch, **options), of.loss(torch, **options)
    parameters = list(model.parameters())
    name, settings = of.optimizer
    fused = {"fused": True} if variants else {}
    optimizer = getattr(torch.optim, name)(parameters, **settings, **fused)
    x, y = map(torch.from_numpy, problem.inputs)

    def forward(x: Any, y: Any) -> Any:
        return loss_of(model, x, y)

    if "compiled" in variants:
        forward = torch.compile(forward)

    def reset() -> None:
        with torch.no_grad():
            for p, w in zip(parameters, problem.weights, strict=True):
                p.copy_(torch.from_numpy(w))

    def step() -> Any:
        loss = forward(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    reset()
    version = torch.__version__
    if "best idiom" in variants:
        threads = quickest(step, torch.set_num_threads)
        version = f"{version}, threads: {threads}"
        reset()
        optimizer = getattr(torch.optim, name)(parameters, **settings, **fused)
    return Step(step, reset, lambda: [p.detach().numpy() for p in parameters], version)


def quickest(step: Callable[[], Any], set_threads: Callable[[int], None], seconds: float = 0.1) -> int:
    """The number of threads with which a step takes least time; it is set when this returns."""
    best: dict[int, float] = {}
    most = os.cpu_count() or 1
    for _ in range(3):
        for threads in dict.fromkeys((1, most)):
            set_threads(threads)
            end = time.perf_counter() + seconds / 3
            while True:
                start = time.perf_counter()
                step()
                now = time.perf_counter()
                best[threads] = min(best.get(threads, now - start), now - start)
                if now > end:
                    break
    chosen = min(best, key=best.__getitem__)
    set_threads(chosen)
    return chosen


def _jax(of: Training, problem: Problem, variants: list[str], options: dict[str, Any]) -> Step:
    """One jitted function, its buffers donated; calls are not waited for, as in a training loop."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    assert of.functional is not None
    loss_of = of.functional
    start, update = _jax_optimizer(*of.optimizer)

    def one(parameters: Any, state: Any, x: Any, y: Any) -> Any:
        value, gradients = jax.value_and_grad(lambda p: loss_of(jnp, p, x, y, **options))(parameters)
        return *update(parameters, gradients, state), value

    compiled = jax.jit(one, donate_argnums=(0, 1))
    x, y = map(jnp.asarray, problem.inputs)
    parameters: Any = None
    state: Any = None

    def reset() -> None:
        nonlocal parameters
        parameters = [jnp.array(w) for w in problem.weights]

    def step() -> Any:
        nonlocal parameters, state
        parameters, state, value = compiled(parameters, state, x, y)
        return value

    reset()
    state = start(parameters)
    return Step(step, reset, lambda: [np.asarray(p) for p in parameters], jax.__version__,
                lambda: jax.block_until_ready(parameters))  # fmt: skip


def _jax_optimizer(name: str, settings: dict[str, Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(parameters) -> state, and (parameters, gradients, state) -> both anew, by PyTorch's formulas."""
    import jax.numpy as jnp

    lr, momentum = settings["lr"], settings.get("momentum", 0.0)
    if name == "SGD":
        if not momentum:
            return lambda ps: (), lambda ps, gs, _: ([p - lr * g for p, g in zip(ps, gs, strict=True)], ())

        def with_momentum(ps: Any, gs: Any, state: Any) -> Any:
            state = [momentum * v + g for v, g in zip(state, gs, strict=True)]
            return [p - lr * v for p, v in zip(ps, state, strict=True)], state

        return lambda ps: [jnp.zeros_like(p) for p in ps], with_momentum
    b1, b2 = settings.get("betas", (0.9, 0.999))
    eps, decay = settings.get("eps", 1e-8), settings.get("weight_decay", 0.01) if name == "AdamW" else 0.0

    def adam(ps: Any, gs: Any, state: Any) -> Any:
        ms, vs, t = state
        t = t + 1
        ms = [b1 * m + (1 - b1) * g for m, g in zip(ms, gs, strict=True)]
        vs = [b2 * v + (1 - b2) * g * g for v, g in zip(vs, gs, strict=True)]
        first, root = lr / (1 - b1**t), jnp.sqrt(1 - b2**t)
        ps = [p * (1 - lr * decay) - first * m / (jnp.sqrt(v) / root + eps) for p, m, v in zip(ps, ms, vs, strict=True)]
        return ps, (ms, vs, t)

    def start(ps: Any) -> Any:
        return [jnp.zeros_like(p) for p in ps], [jnp.zeros_like(p) for p in ps], jnp.zeros((), jnp.float32)

    return start, adam


def _hips(of: Training, problem: Problem, variants: list[str], options: dict[str, Any]) -> Step:
    from importlib.metadata import version

    import autograd.numpy as anp
    from autograd import value_and_grad

    from benchmarks.by_hand import optimizer

    assert of.functional is not None
    loss_of = of.functional
    parameters = [w.copy() for w in problem.weights]
    x, y = problem.inputs
    both = value_and_grad(lambda p: loss_of(anp, p, x, y, **options))
    update = optimizer(*of.optimizer, parameters)

    def step() -> Any:
        value, gradients = both(parameters)
        update(gradients)
        return value

    return Step(step, _reset(parameters, problem), lambda: parameters, version("autograd"))


def _mygrad(of: Training, problem: Problem, variants: list[str], options: dict[str, Any]) -> Step:
    """Without the memory guard, which its documentation says to turn off where speed matters."""
    import mygrad as mg

    from benchmarks.by_hand import optimizer

    assert of.functional is not None
    loss_of = of.functional
    mg.turn_memory_guarding_off()
    tensors = [mg.tensor(w) for w in problem.weights]
    arrays = [t.data for t in tensors]
    x, y = problem.inputs
    update = optimizer(*of.optimizer, arrays)

    def step() -> Any:
        loss = loss_of(mg, tensors, x, y, **options)
        loss.backward()
        update([t.grad for t in tensors])
        return loss.data

    return Step(step, _reset(arrays, problem), lambda: arrays, mg.__version__)


def _reset(parameters: list[Any], problem: Problem) -> Callable[[], None]:
    def reset() -> None:
        for p, w in zip(parameters, problem.weights, strict=True):
            p[...] = w

    return reset


LIBRARIES: dict[str, Callable[..., Step]] = {
    "tinytensor": _tinytensor, "PyTorch": _torch, "JAX": _jax, "HIPS autograd": _hips, "MyGrad": _mygrad,
}  # fmt: skip
