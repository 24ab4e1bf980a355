"""A normalising flow (RealNVP): a network that turns Gaussian noise into two moons, and says how likely every point is.

Each layer leaves one coordinate as it is and from it computes a scale s and a shift t for the other: y = x eˢ + t. That is
inverted in a line, and the logarithm of its Jacobian's determinant is s. So the density of a point is known exactly,
ln p(x) = ln N(z; 0, 1) + Σ s with z = f(x), and its mean is what is raised.  (Dinh, Sohl-Dickstein and Bengio, 2017)

It needs scikit-learn and matplotlib: pip install '.[app]'
Run it:  python examples/13_flow_moons.py [picture.png]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.nn.utils import clip_grad_norm_
from tinytensor.optim.lr_scheduler import CosineAnnealingLR

LAYERS, HIDDEN, STEPS, BATCH = 8, 32, 2000, 256
LN_2PI = np.log(2 * np.pi)


class Flow(nn.Module):
    """From data to noise and back."""

    def __init__(self):
        super().__init__()
        self.networks = nn.ModuleList([nn.MLP(1, [HIDDEN, HIDDEN, 2], activation="tanh") for _ in range(LAYERS)])

    def forward(self, x):
        """Points (n, 2) to their logarithmic densities (n,)."""
        kept, changed, volume = x[:, :1], x[:, 1:], 0.0
        for network in self.networks:
            out = network(kept)
            s, t = np.tanh(out[:, :1]), out[:, 1:]  # the scale is bounded: no layer can run away
            kept, changed, volume = changed * np.exp(s) + t, kept, volume + s  # the coordinates take turns
        return (-0.5 * (kept**2 + changed**2) - LN_2PI + volume)[:, 0]

    def sample(self, n, rng):
        """Noise, through the layers backwards."""
        kept, changed = rng.normal(size=(2, n, 1))
        with tt.no_grad():
            for network in reversed(list(self.networks)):
                kept, changed = changed, kept
                out = network(kept).data
                changed = (changed - out[:, 1:]) * np.exp(-np.tanh(out[:, :1]))
        return np.hstack([kept, changed])


def log_density(model, x):
    """The same as a plain array."""
    with tt.no_grad():
        return model(x).data


data = tt.data.toy("moons", samples=4000, noise=0.08, seed=0, test_size=0.25)
x, held_out = data.x_train.astype(np.float32), data.x_test.astype(np.float32)
tt.manual_seed(0)
rng = np.random.default_rng(0)
model = Flow()
optimizer = optim.Adam(model.parameters(), lr=5e-3)
scheduler = CosineAnnealingLR(optimizer, STEPS)
for step in range(STEPS):
    loss = -model(x[rng.integers(len(x), size=BATCH)]).mean()
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    scheduler.step()
    if step % 400 == 0:
        print(f"  step {step:4d}  −ln p {loss.item():.3f}")

# What a Gaussian of the same mean and covariance says of the points held out, and what the flow does.
covariance = np.cov(x.T)
distance = np.sum((held_out - x.mean(0)) @ np.linalg.inv(covariance) * (held_out - x.mean(0)), axis=1)
gaussian = np.mean(-0.5 * distance - LN_2PI - 0.5 * np.linalg.slogdet(covariance)[1])
reached = log_density(model, held_out).mean()

side = np.linspace(-3, 3, 301)
grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2).astype(np.float32)
density = np.exp(log_density(model, grid).astype(float)).reshape(301, 301)
mass = density.sum() * (side[1] - side[0]) ** 2
print(f"the density's integral over the picture: {mass:.4f}")

figure = Figure(figsize=(10, 4.6), layout="constrained")
left, right = figure.subplots(1, 2, sharex=True, sharey=True)
left.imshow(density, origin="lower", extent=(-3, 3, -3, 3), cmap="magma", vmax=np.quantile(density, 0.995))
left.set_title(f"density: ln p = {reached:.2f} on points held out ({gaussian:.2f}: Gaussian)", fontsize=11)
left.set(xlabel="feature 1, standardised", ylabel="feature 2, standardised")
made = model.sample(1500, rng)
right.scatter(*held_out.T, s=4, color="#bbbbbb", label="held out")
right.scatter(*made.T, s=4, color="#cc3311", label="made of noise")
right.set(title="samples", xlabel="feature 1, standardised", aspect="equal", xlim=(-3, 3), ylim=(-3, 3))
right.legend(loc="upper right")
path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/flow.png")
path.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(path, dpi=120)
print(f"picture: {path}")

assert abs(mass - 1) < 0.02, mass
assert reached > gaussian + 0.8, (reached, gaussian)
print(f"mean ln p of {len(held_out)} points held out: {reached:.3f} by the flow, {gaussian:.3f} by a Gaussian")
