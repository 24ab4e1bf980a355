"""A regression that says how sure it is: a mean and a variance for every patient, by the Gaussian likelihood.

442 diabetics, ten measurements each (age, sex, body mass, blood pressure, six of the blood), and how far the disease went in a
year. The network predicts a normal distribution; its 90 % interval should hold 90 % of the people it has never seen. Each fifth
of the data is held out once, so that every patient is judged by a network that was trained on others.

It needs scikit-learn and matplotlib: pip install '.[app]'
Run it:  python examples/11_diabetes_uncertainty.py [picture.png]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes

import tinytensor as tt
from tinytensor import nn, optim

FOLDS, NETWORKS, Z90 = 5, 5, 1.6449  # a normal variable lies within 1.6449 standard deviations 90 times in 100


class Gaussian(nn.Module):
    """Two heads on one body: the mean, as a linear model with a correction, and the variance."""

    def __init__(self, features, hidden=16):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, hidden), nn.Tanh(), nn.Dropout(0.1))
        self.linear = nn.Linear(features, 1)
        self.correction = nn.Linear(hidden, 1)
        self.variance = nn.Sequential(nn.Linear(hidden, 1), nn.Softplus())  # positive

    def forward(self, x):
        hidden = self.body(x)
        return self.linear(x) + self.correction(hidden), self.variance(hidden)


def trained(x, y, seed):
    tt.manual_seed(seed)
    model, criterion = Gaussian(x.shape[1]), nn.GaussianNLLLoss()  # ½ (ln v + (y − mean)²/v)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(60):
        for a, b in tt.data.DataLoader((x, y), batch_size=32, shuffle=True):
            mean, variance = model(a)
            loss = criterion(mean, b, variance)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def predicted(models, x):
    """Mean and standard deviation of the mixture of several networks: they also differ where they know little."""
    with tt.no_grad():
        means, variances = zip(*([part.data for part in model(x)] for model in models), strict=True)
    return np.mean(means, 0)[:, 0], np.sqrt(np.mean(variances, 0) + np.var(means, 0))[:, 0]


x, y = load_diabetes(return_X_y=True)
held_out = np.array_split(np.random.default_rng(0).permutation(len(y)), FOLDS)
mean, spread, linear, linear_spread = (np.empty(len(y)) for _ in range(4))
for rows in held_out:
    seen = np.setdiff1d(np.arange(len(y)), rows)
    inputs = tt.data.Standardize(x.shape[1]).fit(x[seen])
    centre, scale = y[seen].mean(), y[seen].std()
    models = [trained(inputs(x[seen]), ((y[seen] - centre) / scale)[:, None], seed) for seed in range(NETWORKS)]
    m, s = predicted(models, inputs(x[rows]))
    mean[rows], spread[rows] = centre + scale * m, scale * s
    columns = np.column_stack([x, np.ones(len(x))])  # the baseline: least squares, one variance for all
    weights = np.linalg.lstsq(columns[seen], y[seen])[0]
    linear[rows], linear_spread[rows] = columns[rows] @ weights, np.std(columns[seen] @ weights - y[seen], ddof=11)


def judge(mean, spread):
    """Root mean square error, share inside the 90 % interval, and the mean of −ln p(y)."""
    z = (y - mean) / spread
    likelihood = 0.5 * z**2 + np.log(spread) + 0.5 * np.log(2 * np.pi)
    return np.sqrt(np.mean((y - mean) ** 2)), np.mean(np.abs(z) < Z90), likelihood.mean()


for name, numbers in (("least squares", judge(linear, linear_spread)), ("network", judge(mean, spread))):
    print("  {:14} RMSE {:.2f}, {:.1%} inside the 90 % interval, −ln p {:.4f}".format(name, *numbers))

figure = Figure(figsize=(11, 4.5), layout="constrained")
left, right = figure.subplots(1, 2)
left.errorbar(mean, y, xerr=Z90 * spread, fmt="o", ms=3, lw=0.4, color="#4477aa", ecolor="#bbccdd")
left.plot([0, 350], [0, 350], color="black", lw=1)
left.set(
    xlabel="predicted, with its 90 % interval", ylabel="measured", title="Every patient, by networks that never saw it"
)
order = np.argsort(spread)
thirds = [np.sqrt(np.mean((y - mean)[part] ** 2)) for part in np.array_split(order, 3)]
right.bar(range(3), thirds, width=0.5, color="#4477aa", label="error it made (RMSE)")
right.plot(range(3), [np.sqrt(np.mean(spread[part] ** 2)) for part in np.array_split(order, 3)], "D", color="#cc6677",
           label="error it expected")  # fmt: skip
right.set(
    xticks=range(3), xticklabels=["surest third", "middle", "least sure third"], ylabel="error",
    title="It errs least where it is surest",
)  # fmt: skip
right.legend()
path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/diabetes.png")
path.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(path, dpi=120)
print(f"picture: {path}")

(rmse, coverage, nll), (rmse_linear, _, nll_linear) = judge(mean, spread), judge(linear, linear_spread)
assert 0.87 < coverage < 0.93, coverage
assert thirds[0] == min(thirds)
assert rmse < 1.02 * rmse_linear
assert nll < nll_linear
print(
    f"of {len(y)} patients held out, {coverage:.1%} lie in their 90 % intervals; RMSE {rmse:.1f}, {rmse_linear:.1f} by least squares"
)
