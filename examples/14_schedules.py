"""Every learning-rate schedule in one picture, each applied to the same optimizer for 100 steps.

Read it to choose a schedule: the title of each panel is the call that draws it. Where a schedule moves the momentum too, it is
the dashed line.

It needs matplotlib: pip install '.[app]'
Run it:  python examples/14_schedules.py [picture.png]
"""

import math
import sys
from pathlib import Path

from matplotlib.figure import Figure

from tinytensor import nn, optim
from tinytensor.optim import lr_scheduler as s

STEPS = 100


def warm_up(o):
    """The usual composition: up in a line, down along a cosine."""
    return s.SequentialLR(o, [s.LinearLR(o, 0.05, total_iters=15), s.CosineAnnealingLR(o, 85)], milestones=[15])


SCHEDULES = {
    "StepLR(o, 25, gamma=0.5)": lambda o: s.StepLR(o, 25, gamma=0.5),
    "MultiStepLR(o, [30, 80], gamma=0.3)": lambda o: s.MultiStepLR(o, [30, 80], gamma=0.3),
    "ConstantLR(o, 0.3, total_iters=20)": lambda o: s.ConstantLR(o, 0.3, total_iters=20),
    "LinearLR(o, 0.1, 1.0, total_iters=40)": lambda o: s.LinearLR(o, 0.1, 1.0, total_iters=40),
    "ExponentialLR(o, 0.97)": lambda o: s.ExponentialLR(o, 0.97),
    "PolynomialLR(o, 100, power=2)": lambda o: s.PolynomialLR(o, 100, power=2),
    "CosineAnnealingLR(o, 100)": lambda o: s.CosineAnnealingLR(o, 100),
    "CosineAnnealingWarmRestarts(o, 15, 2)": lambda o: s.CosineAnnealingWarmRestarts(o, 15, 2),
    "OneCycleLR(o, 1.0, total_steps=101)": lambda o: s.OneCycleLR(o, 1.0, total_steps=101),
    "CyclicLR(o, 0.1, 1.0, 15, mode='triangular2')": lambda o: s.CyclicLR(o, 0.1, 1.0, 15, mode="triangular2"),
    "LambdaLR(o, lambda t: 1 / sqrt(1 + t))": lambda o: s.LambdaLR(o, lambda t: 1 / math.sqrt(1 + t)),
    "MultiplicativeLR(o, lambda t: 1 - t / 1000)": lambda o: s.MultiplicativeLR(o, lambda t: 1 - t / 1000),
    "ReduceLROnPlateau(o, factor=0.5, patience=8)": lambda o: s.ReduceLROnPlateau(o, factor=0.5, patience=8),
    "SequentialLR(o, [warm-up, cosine], [15])": warm_up,
    "ChainedScheduler([warm-up, steps])": lambda o: s.ChainedScheduler(
        [s.LinearLR(o, 0.1, total_iters=20), s.StepLR(o, 30, gamma=0.5)]
    ),
}


def followed(make):
    """The rate and the momentum at every step, with a loss that stops to improve after 40 of them."""
    optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0, momentum=0.9)
    scheduler, rates, momenta = make(optimizer), [], []
    for step in range(STEPS + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step(*([max(40 - step, 0)] if isinstance(scheduler, s.ReduceLROnPlateau) else []))
    return rates, momenta


figure = Figure(figsize=(11, 9.5), dpi=120, layout="constrained")
drawn = 0
for ax, (title, make) in zip(figure.subplots(5, 3, sharex=True, sharey=True).flat, SCHEDULES.items(), strict=True):
    rates, momenta = followed(make)
    ax.plot(rates, color="#0072B2", drawstyle="steps-post" if len(set(rates)) < 10 else "default")
    if len(set(momenta)) > 1:
        ax.plot(momenta, "--", color="#D55E00", lw=1)
    ax.set_title(title, loc="left", fontsize=8.5, family="monospace")
    ax.set_ylim(-0.04, 1.06)
    ax.grid(True, color="#e6e6e6", lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    assert len(rates) == STEPS + 1
    assert -1e-9 < min(rates) < max(rates) < 1 + 1e-9, title
    drawn += 1
figure.supxlabel("step", fontsize=9)
figure.supylabel("learning rate (momentum dashed)", fontsize=9)
path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/schedules.png")
path.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(path)
print(f"picture: {path}")
known = {name for name in s.__all__ if name != "LRScheduler"}
missing = {name for name in known if not any(name in title for title in SCHEDULES)}
assert not missing, missing
print(f"{drawn} schedules followed for {STEPS} steps")
