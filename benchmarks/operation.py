"""One ``a * b`` on ten elements, recorded for backward: what the engine adds to NumPy's own time for the smallest op."""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Case, Claim, numbers, ratio, spread
from benchmarks.job import Job, timed

REPEATS = 1000


def cases(quick: bool) -> list[Case]:
    return [
        Case("a * b, ten float32 elements, recorded", ("tinytensor", "NumPy", "PyTorch"), {}, 2 if quick else 25,
             0.02 if quick else 0.3)
    ]  # fmt: skip


def claims(result: dict[str, Any]) -> list[Claim]:
    (case,) = result["cases"]
    pairs = zip(numbers(case, "tinytensor"), numbers(case, "NumPy"), strict=True)
    found = [
        Claim("a * b on ten elements, recorded: over NumPy", spread([1e6 * (a - b) for a, b in pairs]), "µs",
              "at most", 1.0)
    ]  # fmt: skip
    if value := ratio(case, "PyTorch", "tinytensor"):
        found.append(Claim("a * b on ten elements, recorded, PyTorch / tinytensor", value, "times", "at least", 1.0))
    return found


def build(library: str) -> Job:
    import numpy as np

    x, y = np.arange(1, 11, dtype=np.float32), np.linspace(-1, 1, 10, dtype=np.float32)
    version = np.__version__
    a: Any = x
    b: Any = y
    if library == "tinytensor":
        import tinytensor as tt

        a, b, version = tt.tensor(x, requires_grad=True), tt.tensor(y, requires_grad=True), tt.__version__
    elif library == "PyTorch":
        import torch

        a, b, version = torch.tensor(x, requires_grad=True), torch.tensor(y, requires_grad=True), torch.__version__

    def step() -> None:
        for _ in loop:
            c = a * b  # noqa: F841  (the result of the last turn is freed in this one, as in a program)

    loop = range(REPEATS)
    per_thousand = timed(step)
    return Job(lambda: _answer(library, a, b), lambda s: {"seconds": per_thousand(s)["seconds"] / REPEATS}, version)


def _answer(library: str, a: Any, b: Any) -> list[float]:
    """The product, then the gradients of its sum: of NumPy, the known ones."""
    product = a * b
    if library == "NumPy":
        values, grads = product, (b, a)
    else:
        product.sum().backward()
        values, grads = product.detach(), (a.grad, b.grad)
    return [float(v) for part in (values, *grads) for v in part]
