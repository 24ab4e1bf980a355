"""Dropout: a wide network learns 150 noisy points by heart; with half of its units silenced at random, it cannot.

Both networks start from the same weights and are trained for the same number of steps; 4,000 points are held out.

It needs scikit-learn and matplotlib: pip install '.[app]'
Run it:  python examples/10_moons_dropout.py [picture.png]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.optim.lr_scheduler import CosineAnnealingLR
from tinytensor.plot import decision_boundary, save_figure

EPOCHS, BATCH = 300, 50
data = tt.data.toy("moons", samples=4150, noise=0.35, seed=1, test_size=4000 / 4150)
x_train, y_train = data.x_train, data.y_train[:, None].astype(float)  # one column: the shape of the scores


def network(p):
    """Three layers of 128 units, each silenced with probability p while it is trained; the others grow by 1/(1 − p)."""
    tt.manual_seed(0)
    return nn.Sequential(
        nn.Linear(2, 128), nn.ReLU(), nn.Dropout(p),
        nn.Linear(128, 128), nn.ReLU(), nn.Dropout(p),
        nn.Linear(128, 1),
    )  # fmt: skip


def train(model):
    """AdamW, with a learning rate that falls like a cosine."""
    optimizer = optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-2)
    scheduler = CosineAnnealingLR(optimizer, EPOCHS)
    criterion = nn.BCEWithLogitsLoss()
    batches = tt.data.DataLoader((x_train, y_train), batch_size=BATCH, shuffle=True, generator=0)
    model.train()  # dropout is on
    for _ in range(EPOCHS):
        for x, y in batches:
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
    model.eval()  # dropout is off: every unit takes part


def judge(model, x, y):
    """Accuracy, and the loss, which also counts how sure of itself the network is where it is wrong."""
    with tt.no_grad():
        scores = model(x)
        loss = nn.functional.binary_cross_entropy_with_logits(scores, y[:, None].astype(float))
    return np.mean((scores.data[:, 0] > 0) == (y == 1)), loss.item()


figure = Figure(figsize=(11, 4.5), layout="constrained")
found = {}
for p, ax in zip((0.0, 0.5), figure.subplots(1, 2), strict=True):
    model = network(p)
    train(model)
    seen, (held_out, loss) = judge(model, x_train, data.y_train)[0], judge(model, data.x_test, data.y_test)
    found[p] = held_out, loss
    print(
        f"  dropout {p}: accuracy {seen:.1%} on the {len(x_train)} points it saw, {held_out:.1%} on others, loss {loss:.3f}"
    )
    decision_boundary(
        lambda points, model=model: model(data.standardize(points)), data.raw(x_train), data.y_train, ax=ax
    )
    ax.set_title(f"dropout {p}: {seen:.1%} right of those seen, {held_out:.1%} of others", loc="left", fontsize=10)

path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/moons_dropout.png")
path.parent.mkdir(parents=True, exist_ok=True)
save_figure(figure, path)
print(f"both boundaries are in {path}")

(without, loss_without), (accuracy, loss) = found[0.0], found[0.5]
assert accuracy > max(0.85, without), found
assert loss < 0.7 * loss_without, found
print(
    f"accuracy on {len(data.x_test)} points held out: {accuracy:.1%} with dropout, {without:.1%} without; "
    f"loss {loss:.3f} and {loss_without:.3f}"
)
