"""One training step of Karpathy's microgpt: a GPT of 1 layer, 16 wide, 4 heads, block 16, on a word of characters.

A step is forward + loss + backward + Adam, the same arithmetic from the same weights everywhere: RMSNorm without weights,
ReLU, no biases. Our ``Value`` runs the published program, one number at a time; the others run float32 on all positions at
once: tinytensor and PyTorch with their own modules, attention and Adam, JAX and HIPS autograd with the formulas in NumPy's
words.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from benchmarks.harness import Case
from benchmarks.mlp import cross_entropy
from benchmarks.training import USUAL, Problem, Step, Training, targets

WIDE, HEADS, BLOCK, LETTERS = 16, 4, 16, 27
ADAM: dict[str, Any] = {"lr": 0.01, "betas": (0.85, 0.99), "eps": 1e-8}
#: The parameters by their names in the published program.
SHAPES = {"wte": (LETTERS, WIDE), "wpe": (BLOCK, WIDE), "qkv": (3 * WIDE, WIDE), "wo": (WIDE, WIDE),
          "fc1": (4 * WIDE, WIDE), "fc2": (WIDE, 4 * WIDE), "head": (LETTERS, WIDE)}  # fmt: skip
LIBRARIES = ("tinytensor Value", *USUAL, "PyTorch, 1 thread", "HIPS autograd")


def cases(quick: bool) -> list[Case]:
    """A word with the mark of begin and end: 8 tokens."""
    letters = 2 if quick else 7
    label = f"microgpt step: 1 layer, 16 wide, 4 heads, {letters + 1} tokens"
    return [TRAINING.case(label, LIBRARIES, {"letters": letters}, quick, tolerance=1e-3)]


def problem(letters: int) -> Problem:
    """The word's tokens, each with the next one, and the weights in the order of SHAPES."""
    import numpy as np

    rng = np.random.default_rng(1337)
    mark = LETTERS - 1
    word = [mark, *rng.integers(0, mark, letters).tolist(), mark]
    weights = [(0.08 * rng.standard_normal(shape)).astype(np.float32) for shape in SHAPES.values()]
    return Problem((np.array(word[:-1]), np.array(word[1:])), weights)


def network(lib: Any, **options: Any) -> Any:
    """In tinytensor or PyTorch."""
    nn, f = lib.nn, lib.nn.functional

    class GPT(nn.Module):  # type: ignore[name-defined, misc]
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
            x = x + self.wo(heads.swapaxes(0, 1).reshape(n, WIDE))
            x = x + self.fc2(f.relu(self.fc1(f.rms_norm(x, (WIDE,), eps=1e-5))))
            return self.head(x)

    return GPT()


def loss(lib: Any, **options: Any) -> Any:
    criterion = lib.nn.CrossEntropyLoss()
    return lambda model, x, y: criterion(model(x), y)


def functional(np: Any, p: list[Any], x: Any, y: Any, **options: Any) -> Any:
    wte, wpe, qkv, wo, fc1, fc2, head = p
    n = len(x)

    def norm(h: Any) -> Any:
        return h / np.sqrt(np.mean(h * h, axis=-1, keepdims=True) + 1e-5)

    h = norm(wte[x] + wpe[:n])
    q, k, v = np.transpose(np.reshape(norm(h) @ qkv.T, (n, 3, HEADS, -1)), (1, 2, 0, 3))
    scores = q @ np.swapaxes(k, 1, 2) / (WIDE // HEADS) ** 0.5 + np.triu(np.full((n, n), -1e9, np.float32), 1)
    shares = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    shares = shares / np.sum(shares, axis=-1, keepdims=True)
    h = h + np.reshape(np.swapaxes(shares @ v, 0, 1), (n, WIDE)) @ wo.T
    h = h + np.maximum(norm(h) @ fc1.T, 0) @ fc2.T
    return cross_entropy(np, h @ head.T, y)


def _value(problem: Problem, **options: Any) -> Step:
    """The published program: position after position, with the keys and values of those before."""
    import numpy as np

    import tinytensor as tt
    from tinytensor.scalar import Value

    weights = dict(zip(SHAPES, problem.weights, strict=True))
    word = [*problem.inputs[0].tolist(), int(problem.inputs[1][-1])]
    lr, (beta1, beta2), eps = ADAM["lr"], ADAM["betas"], ADAM["eps"]

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
            m[k] = beta1 * m[k] + (1 - beta1) * x.grad
            v[k] = beta2 * v[k] + (1 - beta2) * x.grad**2
            x.data -= lr * m[k] / (1 - beta1**t) / ((v[k] / (1 - beta2**t)) ** 0.5 + eps)
        return loss.data  # type: ignore[no-any-return]

    def present() -> list[Any]:
        return [np.array([[x.data for x in row] for row in w]) for w in p.values()]

    reset()
    return Step(step, reset, present, tt.__version__)


TRAINING = Training(
    problem, ("Adam", ADAM), network, loss, functional, {"tinytensor Value": _value},
    {("tinytensor Value", "tinytensor"): 200.0, **targets(1.8, 4.5, 0.9)},
)  # fmt: skip
build, claims = TRAINING.build, TRAINING.claims
