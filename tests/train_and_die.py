"""A training as a program of its own, to be killed: ``python train_and_die.py checkpoint steps threads``.

It says "ready" after the first step of this run, and at the end the SHA-256 of everything that training has changed.
"""

import hashlib
import sys

import numpy as np

import tinytensor as tt


class Noisy(tt.nn.Module):
    """A network that draws from the shared generator and from one of its own, and counts its calls in a buffer."""

    def __init__(self):
        super().__init__()
        self.body = tt.nn.MLP(6, [16, 3], activation="tanh")
        self.own = tt.rng(5)
        self.register_buffer("calls", tt.zeros(1))

    def forward(self, x):
        if self.training:
            self.calls.data[...] += 1
            x = x + 0.1 * tt.randn(*x.shape, dtype="float32").data
            x = x * (self.own.random(x.shape, dtype="float32").data > 0.1)
        return self.body(x)


class Ready(tt.trainer.Callback):
    said = False

    def on_step_end(self, trainer):
        if not self.said:
            self.said = True
            print("ready", flush=True)


def main(path, epochs, threads):
    tt.manual_seed(3)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(90, 6)).astype(np.float32)
    y = x[:, :3].argmax(1)
    model = Noisy()
    optimizer = tt.optim.AdamW(model.parameters(), lr=0.01)
    plateau = tt.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    cosine = tt.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    best = tt.trainer.BestModel("val_accuracy", restore=False)
    trainer = tt.Trainer(
        model, tt.nn.CrossEntropyLoss(), optimizer, metrics=["accuracy", "top2"], clip_grad_norm=1.0, accumulate=2,
        callbacks=[
            tt.trainer.Schedule(plateau), tt.trainer.Schedule(cosine, every="step"), best, Ready(),
            tt.trainer.CSVLogger(str(path) + ".csv"), tt.trainer.Checkpoint(path, every_steps=1, keep=2),
        ],
    )  # fmt: skip
    loader = tt.data.DataLoader(
        (x, y), batch_size=7, shuffle=True, num_workers=threads,
        transform=lambda batch, rng: (batch[0] * rng.uniform(0.9, 1.1, (len(batch[0]), 1)).astype("float32"), batch[1]),
    )  # fmt: skip
    trainer.fit(loader, validation=(x, y), epochs=epochs, resume=True)
    digest = hashlib.sha256()
    for state in (model.state_dict(), best.model_state, *optimizer.state_dict()["state"].values()):
        for name, array in sorted(state.items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in trainer.history]
    digest.update(repr((rows, trainer.history.losses, trainer.step)).encode())
    digest.update(tt.rand(3).data.tobytes())
    print("done", digest.hexdigest(), trainer.step, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
