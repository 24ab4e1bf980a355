"""Second derivatives: Newton's method fits a curve in a handful of steps, where gradient descent crawls.

The Hessian is the Jacobian of the gradient, and the gradient is itself a function that can be differentiated: a rule
is plain NumPy, so that applying it to tensors records the graph of the gradient.

Run it:  python examples/04_second_derivatives.py
"""

import numpy as np

import tinytensor as tt

# Data: a damped oscillation, y = A exp(-k t) cos(w t), with a little noise.
rng = np.random.default_rng(0)
t = np.linspace(0, 4, 60)
truth = np.array([2.0, 0.5, 3.0])


def model(parameters, t):
    """Plain NumPy, as one would write it to plot the curve."""
    amplitude, rate, frequency = parameters[0], parameters[1], parameters[2]
    return amplitude * np.exp(-rate * t) * np.cos(frequency * t)


y = model(truth, t) + 0.02 * rng.normal(size=t.shape)


def loss(parameters):
    """The mean squared error."""
    return np.mean((model(parameters, t) - y) ** 2)


gradient = tt.grad(loss)


def hessian(parameters):
    """Row i is the gradient of the gradient's component i."""
    return np.stack([tt.grad(lambda p, i=i: gradient(p)[i])(parameters) for i in range(len(parameters))])


start = np.array([1.5, 0.4, 2.8])
descent = start.copy()
for _ in range(200):
    descent -= 0.02 * gradient(descent)
print(f"gradient descent, 200 steps: {descent.round(4)}, |gradient| {np.linalg.norm(gradient(descent)):.1e}")

newton, steps = start.copy(), 0
while (size := np.linalg.norm(gradient(newton))) > 1e-12 and steps < 20:
    print(f"  Newton step {steps}: {newton.round(4)}, |gradient| {size:.1e}")
    newton -= np.linalg.solve(hessian(newton), gradient(newton))
    steps += 1

# The curvature at the minimum also tells how well the data determine each parameter.
noise = loss(newton) * len(t) / (len(t) - 3)
error = np.sqrt(np.diag(np.linalg.inv(hessian(newton))) * 2 * noise / len(t))
for name, value, sigma, true in zip(["amplitude", "rate", "frequency"], newton, error, truth, strict=True):
    print(f"  {name:9} = {value:.4f} ± {sigma:.4f} (true: {true})")
assert size < 1e-12
assert np.all(np.abs(newton - truth) < 4 * error)
print(f"Newton's method, {steps} steps: |gradient| {np.linalg.norm(gradient(newton)):.1e}")
