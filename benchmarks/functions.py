"""Every function that HIPS autograd or MyGrad have too: the gradient of the sum of f(x), on small and large arrays.

The calls are the catalogue's. A call is timed if the peer's values and gradients agree with ours (of a weighted sum, on
which those of softmax are not zero); ours must agree with differences of NumPy's own function. Each library is used with
its own namespace and default settings, as its documentation shows it: here tensors made once, ``f(x).sum().backward()``
and grads set to None; HIPS autograd's ``grad(lambda x: np.sum(f(x)))(x)``; MyGrad's tensors, ``f(x).sum().backward()``,
and once more without the memory guard that it has by default (ours cannot be switched off). BLAS has one thread.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks import libraries
from benchmarks.harness import Case, Claim, Spread, spread
from benchmarks.job import Job
from benchmarks.report import plain, quantity

PEERS = ("HIPS autograd", "MyGrad", "MyGrad, no guard")
OURS = "tinytensor"
#: Geometric mean of the ratios that was promised.
PROMISED = {"small": 3.0, "large": 1.0}
CHUNKS = 5
#: What a library raises that has no derivative of a function.
LACKING = ("raises NotImplementedError", "raises NoDerivative")


def cases(quick: bool) -> list[Case]:
    from benchmarks.calls import SIZES, calls

    names = tuple(calls())
    labels = {"small": "10 elements, or 3 × 3", "large": "100,000 elements, or 300 × 300"}
    return [
        Case(
            labels[size], (OURS, *PEERS),
            {"size": size, "most": 1_000 if quick else None}, 1 if quick else 7,
            0.0 if quick else {"small": 0.005, "large": 0.02}[size], 1e-6, jobs=names,
            witness="NumPy" if size == "small" else "",
        )
        for size in SIZES
    ]  # fmt: skip


def claims(result: dict[str, Any]) -> list[Claim]:
    found = []
    for case in result["cases"]:
        size = case["options"]["size"]
        for peer in PEERS:
            times = ratios(case, peer)
            if not times:
                continue
            means = [_geometric_mean(row) for row in zip(*times.values(), strict=True)]
            medians = {name: spread(each) for name, each in times.items()}
            text = f"{len(times)} functions, {size} arrays, {peer} / tinytensor"
            found.append(
                Claim(
                    f"{text}: geometric mean",
                    spread(means),
                    "times",
                    "at least",
                    1.0 if peer == PEERS[2] else PROMISED[size],
                )
            )
            count = Spread(*(float(sum(s[k] < 1 for s in medians.values())) for k in (2, 1, 0)))
            found.append(Claim(f"{text}: below 1", count, "functions", "at most", 0.0))
    return found


def ratios(case: dict[str, Any], peer: str) -> dict[str, list[float]]:
    """How many times more the peer needs than we, for every function in every round."""
    theirs = case["libraries"].get(peer, {"seconds": {}})["seconds"]
    ours = case["libraries"][OURS]["seconds"]
    return {name: [b / a for a, b in zip(ours[name], times, strict=True)] for name, times in theirs.items()}


def _geometric_mean(values: Iterable[float]) -> float:
    logarithms = list(map(math.log, values))
    return math.exp(sum(logarithms) / len(logarithms))


def table(result: dict[str, Any]) -> list[str]:
    """For RESULTS.md: who is slower where, what is not timed and why, and every ratio."""
    lines = []
    for case in result["cases"]:
        for peer in PEERS:
            if not (found := ratios(case, peer)):
                continue
            below = sorted((median(r), name) for name, r in found.items() if median(r) < 1)
            named = ", ".join(f"`{name}` {plain(r)}" for r, name in below) or "none"
            lines += ["", f"Slower than {peer}, {case['label']}: {named}."]
    for peer in PEERS:
        lines += _left_out(result["cases"], peer)
    return [*lines, *_ratio_table(result["cases"])]


def _left_out(cases: list[dict[str, Any]], peer: str) -> list[str]:
    """The functions at which the peer was not timed: those without a derivative there, and those that fail."""
    why: dict[str, str] = {}
    for case in cases:
        why |= {name: each[peer] for name, each in case["excluded"].items() if peer in each}
    lacking = sorted(name for name, reason in why.items() if reason.startswith(LACKING))
    failing = sorted((name, reason) for name, reason in why.items() if not reason.startswith(LACKING))
    lines = []
    if failing:
        lines += ["", f"{peer} was not timed at:", ""]
        lines += [f"* `{name}`: {reason}" for name, reason in failing]
    if lacking:
        names = ", ".join(f"`{name}`" for name in lacking)
        lines += ["", f"{peer} has the name, but no derivative, of {len(lacking)} functions: {names}."]
    return lines


def _ratio_table(cases: list[dict[str, Any]]) -> list[str]:
    """A row for each function: our time and both ratios, small and large."""
    head = [f"{part}, {case['options']['size']}" for case in cases for part in (OURS, *(f"{p} /" for p in PEERS))]
    lines = ["", "| function | " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(head)]
    by_peer = [(case, [ratios(case, peer) for peer in PEERS]) for case in cases]
    for name in dict.fromkeys(name for case in cases for name in case["libraries"][OURS]["seconds"]):
        cells = []
        for case, peers in by_peer:
            ours = case["libraries"][OURS]["seconds"].get(name)
            cells += [quantity(median(ours)) if ours else "–"]
            cells += [plain(median(found[name])) if name in found else "–" for found in peers]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines


# ------------------------------------------------------------------------------------------------ in a library's process


def build(library: str, size: str, most: int | None) -> dict[str, Job]:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded: nobody waits for a second core
    warnings.simplefilter("ignore")
    from benchmarks.calls import calls

    make, namespace, version = {
        OURS: libraries.ours, PEERS[0]: libraries.hips, PEERS[1]: libraries.mygrad,
        PEERS[2]: libraries.mygrad_unguarded, "NumPy": libraries.numpy,
    }[library]()  # fmt: skip
    _settle_memory()
    digest = _plain if size == "small" else _digest
    made = {}
    for name, call in calls().items():
        if library in PEERS and not _has(namespace, name):
            continue
        given = partial(call.inputs, size, most)
        made[name] = Job(
            lambda call=call, given=given: digest(make(call.bind(namespace), given())[1]()),
            lambda seconds, call=call, given=given: _measure(make(call.bind(namespace), given())[0], seconds),
            version,
        )
    return made


def _settle_memory() -> None:
    """Free one large array, as any longer program does.

    The C library gives memory of large arrays back to the system, and a step that asks for it anew needs several times as
    long, until an array of this size was freed: glibc then keeps as much. Without this it is chance who is slow.
    """
    import numpy as np

    np.empty(30 << 20, np.uint8)


def _has(namespace: Any, name: str) -> bool:
    """Whether there is a function of that name; indexing has none."""
    from tinytensor.catalogue.entry import find

    if name.startswith(("tt.getitem", "tt.setitem")):
        return True
    try:
        find(namespace, name)
    except AttributeError:
        return False
    return True


def _measure(step: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Seconds per call: the best of a few chunks, after one call that warms up and one that tells how long chunks are."""
    step()
    start = perf_counter()
    step()
    once = perf_counter() - start
    calls = max(1, int(seconds / CHUNKS / once))
    chunks = []
    for _ in range(max(1, min(CHUNKS, int(seconds / once)))):
        start = perf_counter()
        for _ in range(calls):
            step()
        chunks.append((perf_counter() - start) / calls)
    return {"seconds": min(chunks)}


def _plain(parts: list[Any]) -> list[list[float]]:
    """Values and gradients, number by number."""
    import numpy as np

    return [np.asarray(part, float).ravel().tolist() for part in parts]


def _digest(parts: list[Any]) -> list[list[float]]:
    """Two sums of each part, one with weights, instead of all its numbers."""
    import numpy as np

    flat = [np.asarray(part, float).ravel() for part in parts]
    return [[float(np.abs(part).sum()), float(part @ np.cos(np.arange(part.size)))] for part in flat]
