"""The lecture: one visible node per number, gradients by walking the graph back, a neuron trained by hand.

Run it:  python examples/01_scalar.py
"""

import random

from tinytensor.scalar import MLP, Value

# An expression is a graph. backward() walks it from the result to the leaves.
a, b, c, f = Value(2.0, "a"), Value(-3.0, "b"), Value(10.0, "c"), Value(-2.0, "f")
e = a * b
d = e + c
L = d * f
L.backward()
print(f"L = (a b + c) f = {L.data}")
for name, node in {"a": a, "b": b, "c": c, "e": e, "d": d, "f": f}.items():
    print(f"  ∂L/∂{name} = {node.grad:g}")

# A neuron: tanh(x1 w1 + x2 w2 + bias). The bias is the lecture's, chosen so that the numbers come out round.
x1, x2, w1, w2 = Value(2.0), Value(0.0), Value(-3.0), Value(1.0)
bias = Value(6.8813735870195432)
out = (x1 * w1 + x2 * w2 + bias).tanh()
out.backward()
gradients = ", ".join(f"{node.grad:.4f}" for node in (x1, w1, x2, w2))
print(f"a neuron gives {out.data:.4f}; gradients of x1, w1, x2, w2: {gradients}")

# A network of such neurons, and gradient descent: forward, loss, backward, a step against the gradient.
random.seed(1337)
model = MLP(3, [4, 4, 1], activation="tanh")
xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
ys = [1.0, -1.0, -1.0, 1.0]
print(f"a network of {len(model.parameters())} parameters learns {len(ys)} targets")
for step in range(101):
    predictions = [model(x) for x in xs]
    loss = sum(((p - y) ** 2 for p, y in zip(predictions, ys, strict=True)), Value(0.0))
    model.zero_grad()
    loss.backward()
    for parameter in model.parameters():
        parameter.data -= 0.05 * parameter.grad
    if step % 20 == 0:
        print(f"  step {step:3d}  loss {loss.data:.1e}")
assert loss.data < 1e-3, loss.data
print(f"after training, the loss is {loss.data:.1e} and the predictions are {[round(p.data, 2) for p in predictions]}")
