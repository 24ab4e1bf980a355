"""Logistic regression, 10,000 x 100: the gradient, and the product of the Hessian with a vector; float32.

L(w) = mean(log(1 + exp(x @ w)) − y · (x @ w)). Each library by its own transforms; by hand ∇L = xᵀ(σ − y) / n and
H v = xᵀ(σ (1 − σ) · x v) / n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.harness import Case, Claim
from benchmarks.job import Job, timed
from benchmarks.training import ratio_claims, targets

LIBRARIES = ("NumPy by hand", "tinytensor", "tinytensor, compiled", "PyTorch", "PyTorch, best idiom", "JAX",
             "HIPS autograd")  # fmt: skip


def cases(quick: bool) -> list[Case]:
    n = 500 if quick else 10_000
    return [Case(f"logistic regression, {n:,} x 100: gradient and Hessian-vector product", LIBRARIES, {"n": n},
                 2 if quick else 25, 0.02 if quick else 0.3)]  # fmt: skip


def claims(result: dict[str, Any]) -> list[Claim]:
    return ratio_claims(result["cases"][0], targets(1.5, 2.5))


def build(library: str, n: int, wide: int = 100) -> Job:
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, wide), np.float32)
    y = (rng.random(n) < 0.5).astype(np.float32)
    w, v = 0.1 * rng.standard_normal((2, wide), np.float32)
    name = library.partition(", ")[0]
    run, version = LIBRARY[name](x, y, w, v, library)

    def answer() -> list[list[float]]:
        return [np.asarray(part).tolist() for part in run()]

    return Job(answer, timed(run), version)


Made = tuple[Callable[[], Any], str]


def _by_hand(x: Any, y: Any, w: Any, v: Any, library: str) -> Made:
    import numpy as np

    from benchmarks.by_hand import constant

    n = len(x)
    s, t, g, h = np.empty_like(y), np.empty_like(y), np.empty_like(w), np.empty_like(v)
    one, share = constant(1), constant(1 / n)

    def both() -> Any:
        np.dot(x, w, s)
        np.negative(s, s)
        np.exp(s, s)
        np.add(s, one, s)
        np.divide(one, s, s)
        np.subtract(s, y, t)
        np.dot(t, x, g)
        np.multiply(g, share, g)
        np.dot(x, v, t)
        np.multiply(t, s, t)
        np.subtract(one, s, s)
        np.multiply(t, s, t)
        np.dot(t, x, h)
        np.multiply(h, share, h)
        return g, h

    return both, np.__version__


def _tinytensor(x: Any, y: Any, w: Any, v: Any, library: str) -> Made:
    import tinytensor as tt

    def loss(w: Any) -> Any:
        return tt.nn.functional.binary_cross_entropy_with_logits(x @ w, y)

    def both(w: Any, v: Any) -> Any:
        gradient, pull = tt.vjp(tt.grad(loss), w)
        return gradient, *pull(v)

    run: Callable[..., Any] = tt.compile(both) if "compiled" in library else both  # type: ignore[attr-defined]
    return lambda: run(w, v), tt.__version__


def _torch(x: Any, y: Any, w: Any, v: Any, library: str) -> Made:
    """Backward through backward, which is faster than ``torch.func.jvp`` of ``grad``; best idiom: the quickest threads."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from benchmarks.stepping import quickest

    x, y, v, leaf = torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(v), torch.tensor(w, requires_grad=True)

    def both() -> Any:
        loss = binary_cross_entropy_with_logits(x @ leaf, y)
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        (product,) = torch.autograd.grad(gradient @ v, leaf)
        return gradient.detach(), product

    threads = f", threads: {quickest(both, torch.set_num_threads)}" if "best idiom" in library else ""
    return both, torch.__version__ + threads


def _jax(x: Any, y: Any, w: Any, v: Any, library: str) -> Made:
    import jax
    import jax.numpy as jnp

    x, y, w, v = map(jnp.asarray, (x, y, w, v))

    def both(w: Any, v: Any, x: Any, y: Any) -> Any:
        def loss(w: Any) -> Any:
            z = x @ w
            return jnp.mean(jnp.logaddexp(0, z) - y * z)

        return jax.jvp(jax.grad(loss), (w,), (v,))

    compiled = jax.jit(both)
    return lambda: jax.block_until_ready(compiled(w, v, x, y)), jax.__version__


def _hips(x: Any, y: Any, w: Any, v: Any, library: str) -> Made:
    from importlib.metadata import version

    import autograd.numpy as anp
    from autograd import grad, hessian_vector_product

    def loss(w: Any) -> Any:
        z = anp.dot(x, w)
        return anp.mean(anp.logaddexp(0, z) - y * z)

    gradient, product = grad(loss), hessian_vector_product(loss)
    return lambda: (gradient(w), product(w, v)), version("autograd")


LIBRARY: dict[str, Callable[..., Made]] = {
    "NumPy by hand": _by_hand, "tinytensor": _tinytensor, "PyTorch": _torch, "JAX": _jax, "HIPS autograd": _hips,
}  # fmt: skip
