"""Chains of 20 elementwise operations on 4 million float32 numbers, forward and with the gradient of the sum.

The light chain multiplies, adds and clips (relu): memory decides. The heavy one has tanh, exp and log: arithmetic decides.
By hand is the limit: blocks that stay in the cache through the whole chain, on both cores, no array but the result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from benchmarks import functional
from benchmarks.harness import Case, Claim
from benchmarks.job import Job, timed
from benchmarks.training import ratio_claims, targets

NUMBERS = 4_000_000
#: Numbers that the hand-written chain works on at a time.
BLOCK = 32_768
LIBRARIES = ("NumPy by hand", "tinytensor", "tinytensor, compiled", "tinytensor, numba", "PyTorch", "PyTorch, compiled",
             "JAX", "HIPS autograd", "MyGrad")  # fmt: skip
TARGETS = {"light": targets(0.5, 1.2, by_hand=1.0), "heavy": targets(2.0, 3.0, by_hand=1.0)}


def cases(quick: bool) -> list[Case]:
    n = 10_000 if quick else NUMBERS
    libraries = tuple(name for name in LIBRARIES if not quick or name != "PyTorch, compiled")
    return [
        Case(f"{chain} chain of 20, {n:,} numbers, {'gradient' if gradient else 'forward'}", libraries,
             {"chain": chain, "n": n, "gradient": gradient}, 2 if quick else 15, 0.02 if quick else 0.5)
        for chain in TARGETS
        for gradient in (False, True)
    ]  # fmt: skip


def claims(result: dict[str, Any]) -> list[Claim]:
    return [claim for case in result["cases"] for claim in ratio_claims(case, TARGETS[case["options"]["chain"]])]


def light(m: Any, x: Any) -> Any:
    for _ in range(6):
        x = m.relu(x * 1.1 + 0.01)
    return x * 0.5 + 1.0


def heavy(m: Any, x: Any) -> Any:
    for _ in range(4):
        x = m.log(m.exp(m.tanh(x)) + 1.0) * 1.5
    return x


CHAINS: dict[str, functional.Function] = {"light": light, "heavy": heavy}


def make(library: str, chain: str, n: int, gradient: bool) -> functional.Call:
    import numpy as np

    x = np.random.default_rng(0).standard_normal(n, np.float32)
    if library.startswith("NumPy"):
        return by_hand(chain, x, gradient)
    return functional.call(library, CHAINS[chain], x, gradient)


def once(library: str, **options: Any) -> Callable[[], Any]:
    """One computation; its value, or a number of its result."""
    made = make(library, **options)
    return lambda: made.arrays(made.run())[0].flat[0]


def build(library: str, **options: Any) -> Job:
    made = make(library, **options)

    def answer() -> list[list[float]]:
        return [part.reshape(-1)[:: max(1, part.size // 256)].tolist() for part in made.arrays(made.run())]

    return Job(answer, timed(made.run), made.version)


# ------------------------------------------------------------------------------------------------------------- by hand


def by_hand(chain: str, x: Any, gradient: bool) -> functional.Call:
    """Each thread takes every second block through the whole chain."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    threads = min(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)), -(-x.size // BLOCK))
    block_of = {"light": _light_by_hand, "heavy": _heavy_by_hand}[chain]
    out = np.empty_like(x)
    pool = ThreadPoolExecutor(threads)

    def part(k: int, one: Callable[[Any, Any], float]) -> float:
        step = threads * BLOCK
        return sum(one(x[a : a + BLOCK], out[a : a + BLOCK]) for a in range(k * BLOCK, x.size, step))

    each = [block_of(gradient) for _ in range(threads)]

    def run() -> Any:
        total = sum(pool.map(part, range(threads), each)) if threads > 1 else part(0, each[0])
        return (total, out) if gradient else out

    return functional.Call(run, lambda found: list(map(np.asarray, found if gradient else (found,))), np.__version__)


def _light_by_hand(gradient: bool) -> Callable[[Any, Any], float]:
    import numpy as np

    from benchmarks.by_hand import constant

    factor, shift, half, one, zero = map(constant, (1.1, 0.01, 0.5, 1, 0))
    masks, buffer = np.empty((6, BLOCK), bool), np.empty(BLOCK, np.float32)

    def block(x: Any, out: Any) -> float:
        y = buffer[: x.size] if gradient else out
        source = x
        for mask in masks:
            np.multiply(source, factor, y)
            np.add(y, shift, y)
            np.maximum(y, zero, out=y)
            if gradient:
                np.greater(y, zero, mask[: x.size])
            source = y
        np.multiply(y, half, y)
        np.add(y, one, y)
        if not gradient:
            return 0.0
        out.fill(0.5)
        for mask in masks[::-1]:
            np.multiply(out, mask[: x.size], out)
            np.multiply(out, factor, out)
        return float(np.add.reduce(y))

    return block


def _heavy_by_hand(gradient: bool) -> Callable[[Any, Any], float]:
    import numpy as np

    from benchmarks.by_hand import constant

    factor, one = constant(1.5), constant(1)
    tanhs, exps, ones, buffer = (np.empty((4, BLOCK), np.float32) for _ in range(4))

    def block(x: Any, out: Any) -> float:
        n, y = x.size, x
        for t, e, u in zip(tanhs[:, :n], exps[:, :n], ones[:, :n], strict=True):
            np.tanh(y, t)
            np.exp(t, e)
            np.add(e, one, u)
            y = buffer[0, :n] if gradient else out
            np.log(u, y)
            np.multiply(y, factor, y)
        if not gradient:
            return 0.0
        out.fill(1)
        for k in (3, 2, 1, 0):
            t, e, u = tanhs[k, :n], exps[k, :n], ones[k, :n]
            np.multiply(out, factor, out)
            np.divide(e, u, e)
            np.multiply(out, e, out)
            np.multiply(t, t, t)
            np.subtract(one, t, t)
            np.multiply(out, t, out)
        return float(np.add.reduce(y))

    return block
