"""A physical model fitted to measurements: Lotka and Volterra's prey and predators, integrated in plain NumPy.

Forty noisy counts in, four rates and the two populations at the start out. The solver, Runge and Kutta's of fourth order, knows
of no gradients: tt.grad differentiates through all its steps. Logarithms of the parameters are fitted, which keeps them
positive, by Gauss and Newton's method: the Jacobian comes from the same text, and also says how sure each rate is.

It needs matplotlib: pip install '.[app]'
Run it:  python examples/12_ode_fit.py [picture.png]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tinytensor as tt

NAMES = [
    "growth of prey",
    "prey eaten",
    "death of predators",
    "growth by eating",
    "prey at t = 0",
    "predators at t = 0",
]
TRUTH = np.array([1.0, 0.5, 1.2, 0.3, 3.0, 1.0])
STEP, STEPS, NOISE = 0.1, 160, 0.05


def slope(state, rates):
    """d(prey)/dt = a prey − b prey · predators, d(predators)/dt = −c predators + d prey · predators."""
    prey, predators = state[0], state[1]
    a, b, c, d = rates[0], rates[1], rates[2], rates[3]
    return np.stack([a * prey - b * prey * predators, -c * predators + d * prey * predators])


def solve(log_parameters):
    """Both populations at every step: (STEPS + 1, 2)."""
    parameters = np.exp(log_parameters)
    rates, state = parameters[:4], parameters[4:]
    states = [state]
    for _ in range(STEPS):
        k1 = slope(state, rates)
        k2 = slope(state + STEP / 2 * k1, rates)
        k3 = slope(state + STEP / 2 * k2, rates)
        k4 = slope(state + STEP * k3, rates)
        state = state + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(state)
    return np.stack(states)


rng = np.random.default_rng(0)
seen = np.arange(0, STEPS + 1, 4)[1:]
exact = solve(np.log(TRUTH))
measured = exact[seen] * np.exp(NOISE * rng.normal(size=(len(seen), 2)))


def misfit(log_parameters):
    """The errors of the logarithms, in units of the noise."""
    return ((np.log(solve(log_parameters)[seen]) - np.log(measured)) / NOISE).reshape(-1)


def loss(log_parameters):
    """Half the squares of the misfits."""
    return 0.5 * np.sum(misfit(log_parameters) ** 2)


# From a guess that is off by up to a third. First the gradient is compared with differences, which need 12 more runs.
guess = np.log(TRUTH * np.array([1.3, 0.75, 0.75, 1.3, 0.8, 1.25]))
gradient = tt.grad(loss)(guess)
differences = [(loss(guess + 1e-6 * e) - loss(guess - 1e-6 * e)) / 2e-6 for e in np.eye(6)]
assert np.allclose(gradient, differences, rtol=1e-5), (gradient, differences)

fitted, damping, history = guess, 1.0, [loss(guess)]
while damping < 1e8 and len(history) < 60:  # Levenberg and Marquardt: shorter steps where a full one goes wrong
    residual, jacobian = misfit(fitted), tt.jacobian(misfit)(fitted)
    normal, slope_now = jacobian.T @ jacobian, jacobian.T @ residual
    trial = fitted - np.linalg.solve(normal + damping * np.diag(np.diag(normal)), slope_now)
    if (value := loss(trial)) < history[-1]:
        fitted, damping, done = trial, damping / 5, history[-1] - value < 1e-9
        history.append(value)
        if len(history) % 3 == 0 or done:
            print(f"  step {len(history) - 1:2d}  loss {value:10.3f}")
        if done:
            break
    else:
        damping *= 5

error = np.sqrt(np.diag(np.linalg.inv(normal)))  # of the logarithms, so relative; the normal matrix is the information
found = np.exp(fitted)
for name, value, sigma, true in zip(NAMES, found, found * error, TRUTH, strict=True):
    print(f"  {name:18} = {value:.3f} ± {sigma:.3f} (true: {true})")

figure = Figure(figsize=(8, 4.2), layout="constrained")
ax, time = figure.subplots(), STEP * np.arange(STEPS + 1)
for k, (name, colour) in enumerate((("prey", "#228833"), ("predators", "#cc3311"))):
    ax.plot(time[seen], measured[:, k], "o", ms=4, color=colour, label=f"{name}, counted")
    ax.plot(time, solve(guess)[:, k], ":", color=colour, lw=1)
    ax.plot(time, solve(fitted)[:, k], color=colour)
ax.set(xlabel="time", ylabel="population", ylim=(0, 9), title="Lotka-Volterra: guess (dotted) and fit (solid)")
ax.legend(loc="upper center", ncols=2)
path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/ode.png")
path.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(path, dpi=120)
print(f"picture: {path}")

worst = np.max(np.abs(found / TRUTH - 1))
assert np.all(np.abs(np.log(found / TRUTH)) < 4 * error)
assert worst < 0.05, worst
print(
    f"all {len(found)} parameters recovered within {worst:.1%} from counts with {NOISE:.0%} noise, in {len(history) - 1} steps"
)
