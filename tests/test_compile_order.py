"""A traced program and a batch both have no values to show: whoever was imported last must not answer for the other."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "modules", ["tinytensor.compiler, tinytensor.batching", "tinytensor.batching, tinytensor.compiler"]
)
def test_the_order_of_imports_does_not_matter(modules):
    program = (
        f"import {modules}\n"
        "import numpy as np, tinytensor as tt\n"
        "f = tt.compile(lambda x: tt.special.polygamma(1, tt.tensor(x)) * tt.vmap(lambda v: v * 2)(x))\n"
        "print(np.array_equal(f(np.ones(2)).data, tt.special.polygamma(1, np.ones(2)) * 2))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr
