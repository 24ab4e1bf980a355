"""A convolutional network reads handwritten digits: 1,797 images of 8 x 8 pixels, of which 359 are held out.

It needs scikit-learn and matplotlib: pip install '.[app]'
Run it:  python examples/07_digits_cnn.py [figure.png]
"""

import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.optim.lr_scheduler import CosineAnnealingLR

EPOCHS, BATCH, LR = 20, 64, 4e-3

data = tt.data.toy("digits", seed=0)
x_train, x_test = (x.reshape(-1, 1, 8, 8).astype(np.float32) for x in (data.x_train, data.x_test))
tt.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(256, 10),
)  # fmt: skip
criterion = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=LR)
steps = EPOCHS * -(-len(x_train) // BATCH)
scheduler = CosineAnnealingLR(optimizer, steps)
rng = np.random.default_rng(0)


def shifted(images):
    """The images, some of them moved by a pixel: the network must not care where a stroke is."""
    down, right = rng.integers(-1, 2, (2, len(images), 1, 1)) * (rng.random((2, len(images), 1, 1)) < 0.3)
    padded = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows, columns = np.arange(8)[:, None] + 1 + down, np.arange(8) + 1 + right
    return padded[np.arange(len(images))[:, None, None], rows, columns][:, None]


losses, start = [], perf_counter()
for epoch in range(EPOCHS):
    for x, y in tt.data.batches(x_train, data.y_train, batch_size=BATCH, rng=rng):
        optimizer.zero_grad()
        loss = criterion(model(shifted(x)), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    if epoch % 5 == 4:
        print(f"  epoch {epoch + 1:2d}  loss {np.mean(losses[-23:]):.4f}")
seconds = perf_counter() - start
print(f"{steps} steps in {seconds:.1f} s, {seconds / steps * 1e3:.2f} ms a step")

with tt.no_grad():
    read = model(x_test).data.argmax(axis=1)
accuracy = np.mean(read == data.y_test)

wrong = np.flatnonzero(read != data.y_test)[:8]
figure = Figure(figsize=(4 + 1.3 * len(wrong), 2.6), layout="constrained")
left, *others = np.atleast_1d(figure.subplots(1, 1 + len(wrong), width_ratios=[3] + [1] * len(wrong)))
left.semilogy(losses, linewidth=0.8)
left.set(xlabel="step", ylabel="loss", title=f"{accuracy:.1%} of {len(read)} read right")
for axis, k in zip(others, wrong, strict=True):
    axis.imshow(data.raw(data.x_test)[k].reshape(8, 8), cmap="gray_r")
    axis.set(xticks=[], yticks=[], title=f"{data.y_test[k]}, read {read[k]}")
path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/digits_cnn.png")
path.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(path, dpi=120)

assert accuracy >= 0.985
print(f"drawn: {path}; accuracy on {len(read)} images held out: {accuracy:.2%}")
