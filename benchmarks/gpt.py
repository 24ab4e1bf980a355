"""One training step of a GPT of 4 layers, 128 wide, 4 heads, on 16 rows of 64 characters: AdamW, float32.

Layer norm before attention and before the feed-forward part (GELU, four times as wide), learned positions, a final layer norm
and a linear head over 65 characters: nanoGPT's baby.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Case
from benchmarks.mlp import cross_entropy
from benchmarks.training import USUAL, Problem, Training, targets

LETTERS = 65
SHAPE = {"layers": 4, "wide": 128, "heads": 4, "tokens": 64, "batch": 16}
SMALL = {"layers": 2, "wide": 16, "heads": 4, "tokens": 8, "batch": 2}


def cases(quick: bool) -> list[Case]:
    shape = SMALL if quick else SHAPE
    label = "GPT step: {layers} layers, {wide} wide, {heads} heads, {tokens} tokens, batch {batch}".format(**shape)
    more = {} if quick else {"rounds": 11, "seconds": 1.0}
    return [TRAINING.case(label, (*USUAL, "PyTorch, 1 thread"), dict(shape), quick, tolerance=2e-3, **more)]


def problem(layers: int, wide: int, heads: int, tokens: int, batch: int) -> Problem:
    """Rows of letters and the letters that follow; weights as nanoGPT draws them."""
    import numpy as np

    rng = np.random.default_rng(0)
    text = rng.integers(0, LETTERS, (batch, tokens + 1))
    block = [(wide,), (wide,), (3 * wide, wide), (3 * wide,), (wide, wide), (wide,),
             (wide,), (wide,), (4 * wide, wide), (4 * wide,), (wide, 4 * wide), (wide,)]  # fmt: skip
    shapes = [(LETTERS, wide), (tokens, wide), *block * layers, (wide,), (wide,), (LETTERS, wide)]
    norms = {at for k in range(layers) for at in (2 + 12 * k, 8 + 12 * k)} | {2 + 12 * layers}
    weights = [np.ones(shape) if k in norms else 0.02 * rng.standard_normal(shape) for k, shape in enumerate(shapes)]
    return Problem((text[:, :-1].copy(), text[:, 1:].copy()), [w.astype(np.float32) for w in weights])


def network(lib: Any, layers: int, wide: int, heads: int, tokens: int, batch: int) -> Any:
    """In tinytensor or PyTorch."""
    nn, f = lib.nn, lib.nn.functional

    class Block(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.qkv, self.out = nn.LayerNorm(wide), nn.Linear(wide, 3 * wide), nn.Linear(wide, wide)
            self.norm2, self.fc1, self.fc2 = nn.LayerNorm(wide), nn.Linear(wide, 4 * wide), nn.Linear(4 * wide, wide)

        def forward(self, x: Any) -> Any:
            n, t = x.shape[0], x.shape[1]
            q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind()
            mixed = f.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.swapaxes(1, 2).reshape(n, t, wide))
            return x + self.fc2(f.gelu(self.fc1(self.norm2(x))))

    class GPT(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(LETTERS, wide), nn.Embedding(tokens, wide)
            self.blocks = nn.Sequential(*(Block() for _ in range(layers)))
            self.norm, self.head = nn.LayerNorm(wide), nn.Linear(wide, LETTERS, bias=False)

        def forward(self, x: Any) -> Any:
            return self.head(self.norm(self.blocks(self.wte(x) + self.wpe.weight)))

    return GPT()


def loss(lib: Any, **options: int) -> Any:
    criterion = lib.nn.CrossEntropyLoss()
    return lambda model, x, y: criterion(model(x).view(-1, LETTERS), y.reshape(-1))


def functional(np: Any, p: list[Any], x: Any, y: Any, layers: int, wide: int, heads: int, **options: int) -> Any:
    """In JAX."""
    import jax

    batch, tokens = x.shape
    seen = np.tril(np.ones((tokens, tokens), bool))

    def norm(h: Any, w: Any, b: Any) -> Any:
        mean = np.mean(h, axis=-1, keepdims=True)
        variance = np.mean((h - mean) ** 2, axis=-1, keepdims=True)
        return (h - mean) / np.sqrt(variance + 1e-5) * w + b

    def block(h: Any, w1: Any, b1: Any, qkv: Any, qkv_b: Any, out: Any, out_b: Any, w2: Any, b2: Any,
              fc1: Any, fc1_b: Any, fc2: Any, fc2_b: Any) -> Any:  # fmt: skip
        three = np.reshape(norm(h, w1, b1) @ qkv.T + qkv_b, (batch, tokens, 3, heads, -1))
        q, k, v = np.transpose(three, (2, 0, 3, 1, 4))
        scores = np.where(seen, q @ np.swapaxes(k, 2, 3) / (wide // heads) ** 0.5, -np.inf)
        mixed = np.swapaxes(jax.nn.softmax(scores) @ v, 1, 2)
        h = h + np.reshape(mixed, (batch, tokens, wide)) @ out.T + out_b
        return h + jax.nn.gelu(norm(h, w2, b2) @ fc1.T + fc1_b, approximate=False) @ fc2.T + fc2_b

    h = p[0][x] + p[1]
    for k in range(layers):
        h = block(h, *p[2 + 12 * k : 14 + 12 * k])
    w, b, head = p[-3:]
    return cross_entropy(np, np.reshape(norm(h, w, b) @ head.T, (-1, LETTERS)), np.reshape(y, -1))


TRAINING = Training(problem, ("AdamW", {"lr": 1e-3}), network, loss, functional, {}, targets(0.7, 0.9, 0.6))
build, once, claims = TRAINING.build, TRAINING.once, TRAINING.claims
