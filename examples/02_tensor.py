"""One NumPy program, three readings: numbers, scalar Values in object arrays, tensors.

Run it:  python examples/02_tensor.py
"""

from time import perf_counter

import numpy as np

import tinytensor as tt


def loss(x, y, w1, b1, w2, b2):
    """A network of one hidden layer and its squared error. Plain NumPy: it knows of no gradients."""
    hidden = np.tanh(x @ w1 + b1)
    prediction = hidden @ w2 + b2
    return np.mean((prediction - y) ** 2)


rng = np.random.default_rng(0)
x, y = rng.normal(size=(32, 3)), rng.normal(size=(32, 1))
weights = [rng.normal(size=shape) for shape in ((3, 8), (8,), (8, 1), (1,))]

# 1. On ndarrays: a number.
print(f"ndarrays: loss {loss(x, y, *weights):.12f}")

# 2. On object arrays of Value: NumPy calls each element's own methods; every number is a node that one can look at.
start = perf_counter()
values = [np.frompyfunc(tt.Value, 1, 1)(w) for w in weights]
scalar_loss = loss(x, y, *values)
scalar_loss.backward()
scalar_time = perf_counter() - start
print(f"Values:   loss {scalar_loss.data:.12f}")

# 3. On tensors: the same text, vectorized.
start = perf_counter()
tensors = [tt.tensor(w, requires_grad=True) for w in weights]
tensor_loss = loss(x, y, *tensors)
tensor_loss.backward()
tensor_time = perf_counter() - start
print(f"tensors:  loss {tensor_loss.item():.12f}")

# The gradients are the same numbers.
apart = max(
    abs(v.grad - g) for vs, t in zip(values, tensors, strict=True) for v, g in zip(vs.flat, t.grad.flat, strict=True)
)
print(f"forward and backward took {scalar_time * 1e3:.1f} ms on Values, {tensor_time * 1e3:.1f} ms on tensors")

# The functional form needs no tensors at all: ndarrays in, ndarrays out, and it can be applied again.
by_grad = tt.grad(loss, argnums=2)(x, y, *weights)
assert np.array_equal(by_grad, tensors[0].grad)
assert apart < 1e-12, apart
print(f"largest difference between the gradients of {sum(w.size for w in weights)} weights: {apart:.1e}")
