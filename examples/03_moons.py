"""micrograd's demo, two moons: the same network of 16 and 16 units, hinge loss and SGD, in batches, and its picture.

The loop is written out. On single numbers, as in micrograd: tinytensor train moons --engine scalar.

It needs scikit-learn and matplotlib: pip install '.[app]'
Run it:  python examples/03_moons.py [picture.png]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.plot import decision_boundary, save_figure

data = tt.data.toy("moons", samples=500, noise=0.15, seed=0)
target = 2.0 * data.y_train[:, None] - 1  # labels −1 and +1, one column: the shape of the scores

tt.manual_seed(0)
model = nn.MLP(2, [16, 16, 1])
criterion = nn.HingeLoss()
optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-4)


def accuracy(x, y):
    """The share of samples whose score has the right sign."""
    with tt.no_grad():
        scores = model(x)
    return np.mean((scores.data[:, 0] > 0) == (y == 1))


rng = np.random.default_rng(0)
for epoch in range(60):
    for x, y in tt.data.batches(data.x_train, target, batch_size=50, rng=rng):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    if epoch % 10 == 0:
        print(f"  epoch {epoch:2d}  loss {loss.item():.4f}  accuracy {accuracy(data.x_train, data.y_train):.1%}")

path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/moons.png")
path.parent.mkdir(parents=True, exist_ok=True)
figure = Figure(figsize=(6, 4.5), layout="constrained")
seen, held_out = data.raw(data.x_train), (data.raw(data.x_test), data.y_test)
decision_boundary(lambda p: model(data.standardize(p)), seen, data.y_train, held_out, figure.subplots(), margin=1)
save_figure(figure, path)
print(f"the decision boundary is in {path}")

reached = accuracy(data.x_test, data.y_test)
assert reached >= 0.95, reached
print(f"accuracy on the {len(data.y_test)} samples held out: {reached:.1%}")
