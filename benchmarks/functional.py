"""How each library computes a function of one array, or its sum and the sum's gradient: in its own words, for any function.

``f(m, x)`` is written in plain operators and in m's ``tanh``, ``exp``, ``log`` and ``relu``.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

Function = Callable[[Any, Any], Any]


class Call(NamedTuple):
    """``run`` computes; ``arrays`` turns what it returned into NumPy arrays: the value, perhaps the gradient."""

    run: Callable[[], Any]
    arrays: Callable[[Any], list[Any]]
    version: str


def _plain(found: Any) -> list[Any]:
    import numpy as np

    return [np.asarray(part) for part in (found if isinstance(found, tuple) else (found,))]


def _tinytensor(f: Function, x: Any, gradient: bool, how: str) -> Call:
    import tinytensor as tt

    m = SimpleNamespace(tanh=tt.tanh, exp=tt.exp, log=tt.log, relu=tt.nn.functional.relu)
    if how:
        backend = {"backend": "numba"} if how == "numba" else {}
        whole = tt.value_and_grad(lambda x: f(m, x).sum()) if gradient else lambda x: f(m, x)
        compiled = tt.compile(whole, **backend)  # type: ignore[attr-defined]
        return Call(lambda: compiled(x), _plain, tt.__version__)
    leaf = tt.tensor(x, requires_grad=gradient)

    def forward() -> Any:
        return f(m, leaf)

    def backward() -> Any:
        leaf.grad = None
        total = f(m, leaf).sum()
        total.backward()
        return total.data, leaf.grad

    return Call(backward, _plain, tt.__version__) if gradient else Call(forward, lambda y: [y.data], tt.__version__)


def _torch(f: Function, x: Any, gradient: bool, how: str) -> Call:
    import torch

    leaf = torch.tensor(x, requires_grad=gradient)

    def total(x: Any) -> Any:
        return f(torch, x).sum()

    def value(x: Any) -> Any:
        return f(torch, x)

    chosen: Any = total if gradient else value
    if how == "compiled":
        chosen = torch.compile(chosen)

    def backward() -> Any:
        leaf.grad = None
        found = chosen(leaf)
        found.backward()
        return found.detach(), leaf.grad

    return Call(backward if gradient else lambda: chosen(leaf), _plain, torch.__version__)


def _jax(f: Function, x: Any, gradient: bool, how: str) -> Call:
    import jax
    import jax.numpy as jnp

    m = SimpleNamespace(tanh=jnp.tanh, exp=jnp.exp, log=jnp.log, relu=jax.nn.relu)
    compiled = jax.jit(jax.value_and_grad(lambda x: f(m, x).sum()) if gradient else lambda x: f(m, x))
    given = jnp.asarray(x)
    return Call(lambda: jax.block_until_ready(compiled(given)), _plain, jax.__version__)


def _hips(f: Function, x: Any, gradient: bool, how: str) -> Call:
    from importlib.metadata import version

    import autograd.numpy as anp
    from autograd import value_and_grad

    m = SimpleNamespace(tanh=anp.tanh, exp=anp.exp, log=anp.log, relu=lambda x: anp.maximum(x, 0))
    if not gradient:
        return Call(lambda: f(m, x), _plain, version("autograd"))
    both = value_and_grad(lambda x: anp.sum(f(m, x)))
    return Call(lambda: both(x), _plain, version("autograd"))


def _mygrad(f: Function, x: Any, gradient: bool, how: str) -> Call:
    import mygrad as mg

    mg.turn_memory_guarding_off()
    m = SimpleNamespace(tanh=mg.tanh, exp=mg.exp, log=mg.log, relu=lambda x: mg.maximum(x, 0))
    leaf = mg.tensor(x, constant=not gradient)

    def backward() -> Any:
        total = f(m, leaf).sum()
        total.backward()
        return total.data, leaf.grad

    return Call(backward if gradient else lambda: f(m, leaf).data, _plain, mg.__version__)


LIBRARIES: dict[str, Callable[..., Call]] = {
    "tinytensor": _tinytensor, "PyTorch": _torch, "JAX": _jax, "HIPS autograd": _hips, "MyGrad": _mygrad,
}  # fmt: skip


def call(library: str, f: Function, x: Any, gradient: bool) -> Call:
    """The library's computation of f(x), or of its sum and that sum's gradient."""
    name, *how = [part for part in library.split(", ") if not part.endswith(("thread", "threads"))]
    return LIBRARIES[name](f, x, gradient, how[0] if how else "")
