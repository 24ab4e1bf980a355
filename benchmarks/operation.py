"""One ``a * b`` on ten elements, recorded for backward: what the engine adds to NumPy's own time for the smallest op."""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Case, Claim, numbers, ratio, spread
from benchmarks.job import Job, timed

REPEATS = 1000
LIBRARIES = ("tinytensor", "NumPy", "PyTorch", "MyGrad")


def cases(quick: bool) -> list[Case]:
    return [Case("a * b, ten float32 elements, recorded", LIBRARIES, {}, 2 if quick else 25, 0.02 if quick else 0.3)]


def claims(result: dict[str, Any]) -> list[Claim]:
    (case,) = result["cases"]
    pairs = zip(numbers(case, "tinytensor"), numbers(case, "NumPy"), strict=True)
    found = [
        Claim("a * b on ten elements, recorded: over NumPy", spread([1e6 * (a - b) for a, b in pairs]), "µs",
              "at most", 1.0)
    ]  # fmt: skip
    if value := ratio(case, "PyTorch", "tinytensor"):
        found.append(Claim("a * b on ten elements, recorded, PyTorch / tinytensor", value, "times", "at least", 1.8))
    return found


def build(library: str) -> Job:
    import numpy as np

    x, y = np.arange(1, 11, dtype=np.float32), np.linspace(-1, 1, 10, dtype=np.float32)
    a: Any
    b: Any
    a, b, version = _operands(library, x, y)

    def step() -> None:
        for _ in loop:
            c = a * b  # noqa: F841  (the result of the last turn is freed in this one, as in a program)

    loop = range(REPEATS)
    return Job(lambda: _answer(library, a, b), timed(step, steps=REPEATS), version)


def _operands(library: str, x: Any, y: Any) -> tuple[Any, Any, str]:
    if library == "tinytensor":
        import tinytensor as tt

        return tt.tensor(x, requires_grad=True), tt.tensor(y, requires_grad=True), tt.__version__
    if library == "PyTorch":
        import torch

        return torch.tensor(x, requires_grad=True), torch.tensor(y, requires_grad=True), torch.__version__
    if library == "MyGrad":
        import mygrad as mg

        mg.turn_memory_guarding_off()
        return mg.tensor(x), mg.tensor(y), mg.__version__
    import numpy as np

    return x, y, np.__version__


def _answer(library: str, a: Any, b: Any) -> list[float]:
    """The product, then the gradients of its sum: of NumPy, the known ones."""
    product = a * b
    if library == "NumPy":
        values, grads = product, (b, a)
    else:
        product.sum().backward()
        values, grads = product.data, (a.grad, b.grad)
    return [float(v) for part in (values, *grads) for v in part]
