"""A GPT that invents names of colours, after Karpathy's microgpt; and the same GPT on the scalar engine, number by number.

One layer, 16 wide, 4 heads, at most 16 characters, RMSNorm, ReLU, no biases; Adam whose rate falls to 0; one name a step.
It learns from the names of colours that thousands of people gave in a survey and that matplotlib has as XKCD_COLORS. Then
both engines take the same steps from the same weights: the losses are the same, the times are not.

It needs matplotlib: pip install '.[plot]'
Run it:  python examples/08_microgpt.py [picture.png]
"""

import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.colors import XKCD_COLORS
from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor import Value, nn, optim

WIDE, HEADS, BLOCK = 16, 4, 16
RATE, BETAS, STEPS, SCALAR_STEPS = 0.01, (0.85, 0.99), 4000, 10

rng = np.random.default_rng(0)
tt.manual_seed(0)
tt.set_default_dtype("float64")  # as Python's floats, so that the losses can be compared to the last digits
names = sorted(name.removeprefix("xkcd:") for name in XKCD_COLORS)
names = [name for name in names if len(name) < BLOCK and name.replace(" ", "").isalpha()]
rng.shuffle(names)
train, test = names[:-100], names[-100:]
letters = sorted(set("".join(names)))
MARK = len(letters)  # the token before the first letter and after the last
print(f"{len(train)} names to learn from, as {', '.join(train[:4])}; {len(test)} held out; {MARK + 1} tokens")


def tokens(name):
    """The name's letters as numbers, between two marks."""
    return np.array([MARK, *map(letters.index, name), MARK])


# ------------------------------------------------------------------------------------------------------- with tensors


class GPT(nn.Module):
    """All positions of a name at once, in a dozen operations."""

    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(MARK + 1, WIDE), nn.Embedding(BLOCK, WIDE)
        self.norm = nn.RMSNorm(WIDE, eps=1e-5, elementwise_affine=False)
        self.attention = nn.MultiheadAttention(WIDE, HEADS, bias=False)
        self.fc1, self.fc2 = nn.Linear(WIDE, 4 * WIDE, bias=False), nn.Linear(4 * WIDE, WIDE, bias=False)
        self.head = nn.Linear(WIDE, MARK + 1, bias=False)
        for p in self.parameters():
            p.data[...] = 0.08 * rng.standard_normal(p.shape)

    def forward(self, word):
        x = self.norm(self.wte(word) + self.wpe.weight[: len(word)])
        h = self.norm(x)
        x = x + self.attention(h, h, h, need_weights=False, is_causal=True)[0]
        x = x + self.fc2(nn.functional.relu(self.fc1(self.norm(x))))
        return self.head(x)


def trained(model, steps):
    """The losses of so many steps of a run of STEPS."""
    optimizer = optim.Adam(model.parameters(), lr=RATE, betas=BETAS)
    schedule = optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    losses = []
    for step in range(steps):
        word = tokens(train[step % len(train)])
        loss = nn.functional.cross_entropy(model(word[:-1]), word[1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def invented(model, temperature=0.5):
    """A name, letter by letter."""
    word = [MARK]
    while len(word) <= BLOCK:
        logits = model(np.array(word)).data[-1] / temperature
        share = np.exp(logits - logits.max())
        word.append(int(rng.choice(MARK + 1, p=share / share.sum())))
        if word[-1] == MARK:
            break
    return "".join(letters[k] for k in word if k != MARK)


# ------------------------------------------------------------------------------------------------- on the scalar engine


def linear(x, w):
    return [sum(wi * xi for wi, xi in zip(row, x, strict=True)) for row in w]


def softmax(logits):
    top = max(value.data for value in logits)
    exps = [(value - top).exp() for value in logits]
    total = sum(exps)
    return [e / total for e in exps]


def norm(x):
    scale = (sum(xi * xi for xi in x) / len(x) + 1e-5) ** -0.5
    return [xi * scale for xi in x]


def scalar_gpt(p, token, position, keys, values):
    """One position: its logits, from the keys and values of those before."""
    x = norm([a + b for a, b in zip(p["wte.weight"][token], p["wpe.weight"][position], strict=True)])
    qkv = linear(norm(x), p["attention.in_proj_weight"])
    keys.append(qkv[WIDE : 2 * WIDE])
    values.append(qkv[2 * WIDE :])
    heads, n = [], WIDE // HEADS
    for at in range(0, WIDE, n):
        scores = [sum(qkv[at + j] * key[at + j] for j in range(n)) / n**0.5 for key in keys]
        share = softmax(scores)
        heads += [sum(share[t] * value[at + j] for t, value in enumerate(values)) for j in range(n)]
    x = [a + b for a, b in zip(x, linear(heads, p["attention.out_proj.weight"]), strict=True)]
    hidden = [h.relu() for h in linear(norm(x), p["fc1.weight"])]
    x = [a + b for a, b in zip(x, linear(hidden, p["fc2.weight"]), strict=True)]
    return linear(x, p["head.weight"])


def scalar_trained(state, steps):
    """The losses of the same steps from the weights ``state``."""
    p = {name: [[Value(x) for x in row] for row in array.tolist()] for name, array in state.items()}
    flat = [x for rows in p.values() for row in rows for x in row]
    m, v, losses = [0.0] * len(flat), [0.0] * len(flat), []
    for step in range(steps):
        word, keys, values, each = tokens(train[step % len(train)]).tolist(), [], [], []
        for position, (token, target) in enumerate(pairwise(word)):
            each.append(-softmax(scalar_gpt(p, token, position, keys, values))[target].log())
        loss = sum(each) / len(each)
        for x in flat:
            x.grad = 0.0
        loss.backward()
        for k, x in enumerate(flat):
            m[k] = BETAS[0] * m[k] + (1 - BETAS[0]) * x.grad
            v[k] = BETAS[1] * v[k] + (1 - BETAS[1]) * x.grad**2
            mean, size = m[k] / (1 - BETAS[0] ** (step + 1)), v[k] / (1 - BETAS[1] ** (step + 1))
            x.data -= RATE * (1 - step / STEPS) * mean / (size**0.5 + 1e-8)
        losses.append(loss.data)
    return losses


# ------------------------------------------------------------------------------------------------------------ the run

model = GPT()
first = {name: array.copy() for name, array in model.state_dict().items()}
print(f"{sum(p.size for p in model.parameters())} parameters")
start = perf_counter()
losses = trained(model, STEPS)
seconds = (perf_counter() - start) / STEPS
print(
    f"{STEPS} steps of one name each: {seconds * 1e6:.0f} µs a step, loss {losses[0]:.3f} → {np.mean(losses[-500:]):.3f}"
)
with tt.no_grad():
    held_out = np.mean([nn.functional.cross_entropy(model(w[:-1]), w[1:]).item() for w in map(tokens, test)])
    colours = [invented(model) for _ in range(60)]
print("colours that do not exist:", ", ".join([c for c in dict.fromkeys(colours) if c not in names][:20]))

start = perf_counter()
scalar = scalar_trained(first, SCALAR_STEPS)
scalar_seconds = (perf_counter() - start) / SCALAR_STEPS
difference = max(abs(a - b) for a, b in zip(scalar, losses, strict=False))
print(f"on the scalar engine: {scalar_seconds * 1e3:.0f} ms a step, {scalar_seconds / seconds:.0f} times as long")
print(f"the losses of its {SCALAR_STEPS} steps differ by at most {difference:.0e}")

path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/microgpt.png")
path.parent.mkdir(parents=True, exist_ok=True)
figure = Figure(figsize=(7, 4), layout="constrained")
axes = figure.subplots()
axes.plot(losses, lw=0.4, color="lightgray", label="loss of each name")
axes.plot(np.arange(100, STEPS + 1), np.convolve(losses, np.full(100, 0.01), "valid"), label="mean of 100")
axes.plot(scalar, "x", color="tab:red", label=f"the first {SCALAR_STEPS}, number by number")
axes.set(
    xlabel="step", ylabel="loss, nats per letter",
    title=f"microgpt learns names of colours: {scalar_seconds / seconds:.0f} times faster than by single numbers",
)  # fmt: skip
axes.legend()
figure.savefig(path, dpi=120)
print(f"picture: {path}")
assert difference < 1e-10, difference
assert held_out < 1.75, held_out
print(f"loss on {len(test)} names held out: {held_out:.3f} nats per letter, {np.log(MARK + 1):.3f} by guessing")
