"""A custom function: the Legendre polynomial P3 with a derivative of its own, fitted to a sine.

It is the example of PyTorch's tutorial "Defining new autograd functions": y = a + b P3(c + d x), with
P3(x) = (5 x³ − 3 x)/2 and P3'(x) = 3 (5 x² − 1)/2.

Run it:  python examples/05_custom_op.py
"""

import numpy as np

import tinytensor as tt
from tinytensor.testing import check_grads, fuzz


@tt.primitive(x=lambda g, x: g * 1.5 * (5 * x**2 - 1))
def legendre3(x):
    """P3(x). The rule's parameter names say what is kept: the input x, and nothing else."""
    return 0.5 * (5 * x**3 - 3 * x)


# Central differences agree, for the gradient and for the gradient's gradient.
check_grads(legendre3, np.linspace(-1.5, 1.5, 7), order=2)
print("check_grads: the derivatives of first and second order are right")

# And so do random programs that call it, on the scalar engine's numbers: broadcasts, views, results used twice.
report = fuzz(100, extra=[legendre3])
assert report.failure is None, report.failure
print(f"fuzz: right in {report.operations['legendre3']} places of {report.programs} random programs")

x = np.linspace(-np.pi, np.pi, 2000)
y = np.sin(x)
a, b, c, d = (tt.tensor(value, requires_grad=True) for value in (0.0, -1.0, 0.0, 0.3))
rate = 5e-6
for step in range(2000):
    loss = ((a + b * legendre3(c + d * x) - y) ** 2).sum()
    if step % 400 == 0:
        print(f"  step {step:4d}  loss {loss.item():10.4f}")
    for p in (a, b, c, d):
        p.grad = None
    loss.backward()
    with tt.no_grad():
        for p in (a, b, c, d):
            p -= rate * p.grad
assert loss.item() < 10
print(
    f"sin(x) ≈ {a.item():.2f} + {b.item():.3f} P3({c.item():.2f} + {d.item():.3f} x), with squared error {loss.item():.3f}"
)
