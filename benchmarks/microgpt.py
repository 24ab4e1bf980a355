"""One training step of Karpathy's microgpt: a GPT of 1 layer, 16 wide, 4 heads, block 16, on one document of characters.

A step is forward + loss + backward + Adam, the same arithmetic from the same weights everywhere: RMSNorm without weights,
ReLU, no biases. Our ``Value`` runs the published program, one number at a time; tinytensor and PyTorch run float32 on all
positions at once, with their own modules, attention and Adam (PyTorch's in the faster of its forms, ``fused``).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from benchmarks.harness import Case, Claim, ratio
from benchmarks.job import Job, timed

WIDE, HEADS, BLOCK, LETTERS = 16, 4, 16, 27
LR, BETAS, EPS = 0.01, (0.85, 0.99), 1e-8


def cases(quick: bool) -> list[Case]:
    libraries = ("tinytensor", "tinytensor Value", "PyTorch", "PyTorch, 1 thread")
    letters = 2 if quick else 7
    label = f"microgpt step: 1 layer, 16 wide, 4 heads, a word of {letters} letters"
    return [Case(label, libraries, {"letters": letters}, 2 if quick else 25, 0.02 if quick else 0.3)]


def claims(result: dict[str, Any]) -> list[Claim]:
    (case,) = result["cases"]
    wanted = [("tinytensor Value", 200.0), ("PyTorch", 1.8), ("PyTorch, 1 thread", 1.8)]
    return [
        Claim(f"microgpt step, {name} / tinytensor", value, "times", "at least", target)
        for name, target in wanted
        if (value := ratio(case, name, "tinytensor"))
    ]


def problem(letters: int) -> tuple[list[int], dict[str, Any]]:
    """The word's tokens, with the mark of begin and end around it, and all weights."""
    import numpy as np

    rng = np.random.default_rng(1337)
    shapes = {"wte": (LETTERS, WIDE), "wpe": (BLOCK, WIDE), "qkv": (3 * WIDE, WIDE), "wo": (WIDE, WIDE),
              "fc1": (4 * WIDE, WIDE), "fc2": (WIDE, 4 * WIDE), "head": (LETTERS, WIDE)}  # fmt: skip
    mark = LETTERS - 1
    word = [mark, *rng.integers(0, mark, letters).tolist(), mark]
    return word, {name: 0.08 * rng.standard_normal(shape) for name, shape in shapes.items()}


def build(library: str, letters: int) -> Job:
    make = {"tinytensor": _tinytensor, "tinytensor Value": _value, "PyTorch": _torch,
            "PyTorch, 1 thread": _torch_one_thread}[library]  # fmt: skip
    step, reset, version = make(*problem(letters))

    def answer() -> list[float]:
        """The first losses."""
        reset()
        return [float(step()) for _ in range(3)]

    return Job(answer, timed(step, reset), version)


def _tinytensor(word: list[int], weights: dict[str, Any]) -> tuple[Any, ...]:
    import numpy as np

    import tinytensor as tt
    from tinytensor import nn

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(LETTERS, WIDE), nn.Embedding(BLOCK, WIDE)
            self.norm = nn.RMSNorm(WIDE, eps=1e-5, elementwise_affine=False)
            self.attention = nn.MultiheadAttention(WIDE, HEADS, bias=False, batch_first=True)
            self.fc1, self.fc2 = nn.Linear(WIDE, 4 * WIDE, bias=False), nn.Linear(4 * WIDE, WIDE, bias=False)
            self.head = nn.Linear(WIDE, LETTERS, bias=False)

        def forward(self, tokens: Any) -> Any:
            x = self.norm(self.wte(tokens) + self.wpe.weight[: len(tokens)])
            h = self.norm(x)
            x = x + self.attention(h, h, h, need_weights=False, is_causal=True)[0]
            x = x + self.fc2(nn.functional.relu(self.fc1(self.norm(x))))
            return self.head(x)

    model, loss_of = GPT(), nn.CrossEntropyLoss()
    x, y = np.array(word[:-1]), np.array(word[1:])
    parameters = list(model.parameters())
    optimizer = tt.optim.Adam(parameters, lr=LR, betas=BETAS, eps=EPS)

    def reset() -> None:
        nonlocal optimizer
        for p, w in zip(parameters, weights.values(), strict=True):
            p.data[...] = w
        optimizer = tt.optim.Adam(parameters, lr=LR, betas=BETAS, eps=EPS)

    def step() -> Any:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.data

    return step, reset, tt.__version__


def _torch(word: list[int], weights: dict[str, Any]) -> tuple[Any, ...]:
    import torch
    from torch import nn
    from torch.nn import functional as f

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(LETTERS, WIDE), nn.Embedding(BLOCK, WIDE)
            self.qkv, self.wo = nn.Linear(WIDE, 3 * WIDE, bias=False), nn.Linear(WIDE, WIDE, bias=False)
            self.fc1, self.fc2 = nn.Linear(WIDE, 4 * WIDE, bias=False), nn.Linear(4 * WIDE, WIDE, bias=False)
            self.head = nn.Linear(WIDE, LETTERS, bias=False)

        def forward(self, tokens: Any) -> Any:
            n = len(tokens)
            x = f.rms_norm(self.wte(tokens) + self.wpe.weight[:n], (WIDE,), eps=1e-5)
            q, k, v = self.qkv(f.rms_norm(x, (WIDE,), eps=1e-5)).view(n, 3, HEADS, -1).permute(1, 2, 0, 3).unbind()
            heads = f.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.wo(heads.transpose(0, 1).reshape(n, WIDE))
            x = x + self.fc2(f.relu(self.fc1(f.rms_norm(x, (WIDE,), eps=1e-5))))
            return self.head(x)

    model = GPT()
    x, y = torch.tensor(word[:-1]), torch.tensor(word[1:])
    optimizer: Any = None

    def reset() -> None:
        nonlocal optimizer
        with torch.no_grad():
            for p, w in zip(model.parameters(), weights.values(), strict=True):
                p.copy_(torch.from_numpy(w))
        optimizer = torch.optim.Adam(model.parameters(), lr=LR, betas=BETAS, eps=EPS, fused=True)

    def step() -> Any:
        loss = f.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, reset, torch.__version__


def _torch_one_thread(*given: Any) -> tuple[Any, ...]:
    import torch

    torch.set_num_threads(1)
    return _torch(*given)


def _value(word: list[int], weights: dict[str, Any]) -> tuple[Any, ...]:
    """The published program: position after position, with the keys and values of those before."""
    import tinytensor as tt
    from tinytensor.scalar import Value

    def linear(x: Any, w: Any) -> list[Any]:
        return [sum(wi * xi for wi, xi in zip(row, x, strict=True)) for row in w]

    def softmax(logits: list[Any]) -> list[Any]:
        top = max(value.data for value in logits)
        exps = [(value - top).exp() for value in logits]
        total = sum(exps)
        return [e / total for e in exps]

    def norm(x: list[Any]) -> list[Any]:
        scale = (sum(xi * xi for xi in x) / len(x) + 1e-5) ** -0.5
        return [xi * scale for xi in x]

    def gpt(p: dict[str, Any], token: int, position: int, keys: list[Any], values: list[Any]) -> list[Any]:
        x = norm([a + b for a, b in zip(p["wte"][token], p["wpe"][position], strict=True)])
        qkv, n = linear(norm(x), p["qkv"]), WIDE // HEADS
        keys.append(qkv[WIDE : 2 * WIDE])
        values.append(qkv[2 * WIDE :])
        heads: list[Any] = []
        for at in range(0, WIDE, n):
            q = qkv[at : at + n]
            scores = [sum(q[j] * k[at + j] for j in range(n)) / n**0.5 for k in keys]
            share = softmax(scores)
            heads += [sum(share[t] * values[t][at + j] for t in range(len(values))) for j in range(n)]
        x = [a + b for a, b in zip(x, linear(heads, p["wo"]), strict=True)]
        hidden = [h.relu() for h in linear(norm(x), p["fc1"])]
        x = [a + b for a, b in zip(x, linear(hidden, p["fc2"]), strict=True)]
        return linear(x, p["head"])

    p: dict[str, Any] = {}
    flat: list[Any] = []
    m: list[float] = []
    v: list[float] = []
    t = 0

    def reset() -> None:
        nonlocal flat, m, v, t
        p.update({name: [[Value(x) for x in row] for row in w.tolist()] for name, w in weights.items()})
        flat = [x for w in p.values() for row in w for x in row]
        m, v, t = [0.0] * len(flat), [0.0] * len(flat), 0

    def step() -> float:
        nonlocal t
        keys: list[Any] = []
        values: list[Any] = []
        losses = []
        for position, (token, target) in enumerate(pairwise(word)):
            shares = softmax(gpt(p, token, position, keys, values))
            losses.append(-shares[target].log())
        loss = sum(losses) / len(losses)
        for x in flat:
            x.grad = 0.0
        loss.backward()
        t += 1
        for k, x in enumerate(flat):
            m[k] = BETAS[0] * m[k] + (1 - BETAS[0]) * x.grad
            v[k] = BETAS[1] * v[k] + (1 - BETAS[1]) * x.grad**2
            x.data -= LR * m[k] / (1 - BETAS[0] ** t) / ((v[k] / (1 - BETAS[1] ** t)) ** 0.5 + EPS)
        return loss.data  # type: ignore[no-any-return]

    return step, reset, tt.__version__
