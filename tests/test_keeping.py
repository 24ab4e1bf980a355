"""Memory that is freed by one step stays with the process for the next one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

STEPS = """
import resource, numpy as np, tinytensor as tt
x = tt.tensor(np.ones(1_000_000), requires_grad=True)
def step():
    x.grad = None
    y = x
    for _ in range(12):
        y = np.tanh(y)
    y.sum().backward()
for _ in range(3): step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kept: str) -> int:
    """Pages that three steps asked the operating system for."""
    environment = {**os.environ, "TINYTENSOR_KEEP_MEMORY": kept, "NUMPY_MADVISE_HUGEPAGE": "0"}
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not os.confstr("CS_GNU_LIBC_VERSION"), reason="malloc is glibc's"
)
def test_a_step_does_not_ask_for_the_memory_of_the_one_before_again() -> None:
    most = 3 * 12 * 8_000_000 // os.sysconf("SC_PAGE_SIZE")  # every array of every step, anew
    assert faults("1000000000") < most // 10 < most // 3 < faults("0")
