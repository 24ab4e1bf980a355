"""Handwritten digits: 1,797 images of 8 x 8 pixels, ten classes, Adam, weights saved and loaded again.

It needs scikit-learn and safetensors: pip install '.[app]'
Run it:  python examples/06_digits.py [weights.safetensors]
"""

import sys
from pathlib import Path
from time import perf_counter

import numpy as np

import tinytensor as tt
from tinytensor import nn, optim

data = tt.data.toy("digits", seed=0)
tt.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
criterion = nn.CrossEntropyLoss()  # takes logits and the class numbers themselves
optimizer = optim.AdamW(model.parameters(), lr=3e-3)


def accuracy(model):
    """The share of held-out images whose largest score is the right digit's."""
    with tt.no_grad():
        return np.mean(model(data.x_test).data.argmax(axis=1) == data.y_test)


rng = np.random.default_rng(0)
start, steps = perf_counter(), 0
for epoch in range(30):
    for x, y in tt.data.batches(data.x_train, data.y_train, batch_size=64, rng=rng):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        steps += 1
    if epoch % 10 == 0:
        print(f"  epoch {epoch:2d}  loss {loss.item():.4f}  accuracy {accuracy(model):.1%}")
seconds = perf_counter() - start
print(f"{steps} steps in {seconds:.2f} s, {seconds / steps * 1e6:.0f} µs a step")

path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/digits.safetensors")
path.parent.mkdir(parents=True, exist_ok=True)
tt.io.save(model.state_dict(), path)
again = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
again.load_state_dict(tt.io.load(path))
assert accuracy(again) == accuracy(model) >= 0.95
print(f"saved to {path}; accuracy of the loaded network on {len(data.y_test)} images held out: {accuracy(again):.1%}")
