"""An LSTM that remembers: add two numbers that stand anywhere in a sequence, the test of the LSTM's inventors.

Sequences have 2 to 50 steps. Each step brings a random number and a mark, which is 1 at just two steps. The target is the
sum of the two marked numbers, so one must be kept for up to 49 steps. Always saying 1 has a mean square error of 0.167.

It needs matplotlib: pip install '.[plot]'
Run it:  python examples/09_lstm.py [picture.png]
"""

import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.nn.utils import clip_grad_norm_

STEPS, BATCH, HIDDEN = 50, 32, 32
rng = np.random.default_rng(0)
tt.manual_seed(1)


def sequences(n, lengths=None):
    """Numbers and marks (n, STEPS, 2), where each sequence ends, and the sums (n, 1)."""
    lengths = rng.integers(2, STEPS + 1, n) if lengths is None else lengths
    x = np.zeros((n, STEPS, 2), "float32")
    x[..., 0] = rng.random((n, STEPS))
    one = rng.integers(0, lengths)
    other = (one + rng.integers(1, lengths)) % lengths
    x[np.arange(n), one, 1] = x[np.arange(n), other, 1] = 1
    return x, lengths, (x[..., 0] * x[..., 1]).sum(axis=1, keepdims=True)


class Adder(nn.Module):
    """An LSTM over the sequence, and a linear map of its state at the end."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, x, lengths):
        _, (h, _) = self.lstm(x, lengths=lengths)
        return self.head(h[-1])


model = Adder()
criterion = nn.MSELoss()
optimizer = optim.Adam(model.parameters(), lr=5e-3)
history, start = [], perf_counter()
for step in range(1200):
    x, lengths, y = sequences(BATCH)
    loss = criterion(model(x, lengths), y)
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    history.append(loss.item())
    if step % 100 == 0:
        print(f"  step {step:4d}  loss {np.mean(history[-50:]):.4f}")
seconds = perf_counter() - start
print(f"{len(history)} steps in {seconds:.1f} s, {seconds / len(history) * 1e3:.1f} ms a step")


def error(x, lengths, y):
    """The mean square error on sequences that the model has not seen."""
    with tt.no_grad():
        return criterion(model(x, lengths), y).item()


mixed, whole = error(*sequences(1000)), error(*sequences(1000, np.full(1000, STEPS)))
path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/lstm.png")
path.parent.mkdir(parents=True, exist_ok=True)
figure = Figure(figsize=(7, 4), layout="constrained")
axes = figure.subplots()
axes.semilogy(history, lw=0.7, label="loss of each batch")
axes.axhline(1 / 6, color="gray", ls="--", label="always saying 1")
axes.set(
    xlabel="step", ylabel="mean square error", title=f"Adding two of 2 to {STEPS} numbers: an LSTM of {HIDDEN} cells"
)
axes.legend()
figure.savefig(path, dpi=120)
print(f"picture: {path}")

assert whole < 0.005, whole
print(f"mean square error on new sequences: {mixed:.5f}; on those of {STEPS} steps {whole:.5f}, and 0.167 by guessing")
