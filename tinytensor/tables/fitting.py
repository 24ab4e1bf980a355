"""Training on a table: split, preprocessing, epochs with early stopping, and checkpoints from which a run goes on bit by bit.

The order of the rows and the dropped units of an epoch are drawn from (seed, epoch), so a checkpoint needs no generator.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import checkpoints, nn, optim
from tinytensor.creation import rng
from tinytensor.data.csvfile import Batch
from tinytensor.graph import no_grad
from tinytensor.tables.metrics import ClassTally, QuantityTally
from tinytensor.tables.model import Classes, Quantity, TableModel, count
from tinytensor.tables.preprocessing import Found, Preprocessor, moments
from tinytensor.tables.survey import Table
from tinytensor.training import DivergedError

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["Fitted", "TableRecipe", "fit"]

_MOST_WEIGHTS = 50_000_000


@dataclass(frozen=True)
class TableRecipe:
    """How to train on a table; ValueError for numbers with which that is not possible. Example: :func:`fit`.

    hidden, activation   sizes of the hidden layers; relu, tanh or sigmoid behind each
    dropout              the share of hidden units that a step leaves out
    epochs, patience     passes over the rows; stop when the validation loss has not improved for so many (0: never)
    lr, weight_decay     of AdamW
    batch_size           rows per step (None: 32, and more for more than 3,200 rows, at most 1,024)
    validation           the share of rows that is held out to judge
    seed                 of split, weights, order and dropout
    """

    hidden: tuple[int, ...] = (64, 32)
    activation: str = "relu"
    dropout: float = 0.0
    epochs: int = 200
    patience: int = 20
    lr: float = 0.003
    weight_decay: float = 0.01
    batch_size: int | None = None
    validation: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.activation not in ("relu", "tanh", "sigmoid"):
            raise ValueError(f"activation must be one of relu, tanh, sigmoid; got {self.activation!r}")
        if not all(n >= 1 for n in self.hidden):
            raise ValueError(f"hidden sizes must be at least 1, got {','.join(map(str, self.hidden))}")
        for name, low in (("epochs", 1), ("patience", 0), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise ValueError(f"{name.replace('_', '-')} must be at least {low}, got {value}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout:g}")
        if not 0 < self.validation < 1:
            raise ValueError(f"validation is the share of rows held out, between 0 and 1; got {self.validation:g}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr must be a finite number above 0, got {self.lr:g}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight-decay must be a finite number and not negative, got {self.weight_decay:g}")


@dataclass(frozen=True, eq=False)
class Fitted:
    """What training on a table gives: see :func:`fit`.

    model        the network of the best epoch, with all it needs
    history      (epoch, training loss, validation loss) of every epoch
    best         the epoch whose weights are kept
    training     metrics of the training rows; ``validation``: of the rows held out
    held_out     those rows
    notes        what was unusual, a sentence each
    """

    model: TableModel
    history: list[tuple[int, float, float]]
    best: int
    training: ClassTally | QuantityTally
    validation: ClassTally | QuantityTally
    held_out: Batch
    notes: list[str] = field(default_factory=list)


def fit(
    table: Table,
    recipe: TableRecipe | None = None,
    on_epoch: Callable[[int, float, float], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 1,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
) -> Fitted:
    r"""Train a multilayer perceptron on a table; the weights of the epoch with the least validation loss are kept.

    ``on_epoch(epoch, training loss, validation loss)`` is called after every epoch. ``checkpoint``: a ``.safetensors`` file that is
    written after every ``every`` epochs; with ``resume`` the run goes on from it (if it is there), to weights that are bit
    for bit those of a run that was never stopped. ``say`` is told, once for each reason, if a checkpoint cannot be written,
    and the training goes on; without it OSError is raised. Raises ValueError for a checkpoint of another run or other rows,
    DivergedError when the loss becomes infinite.

    >>> import pathlib, tempfile
    >>> from tinytensor import tables
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = path.write_text("x,y\n" + "".join(f"{k},{2 * k + 1}\n" for k in range(50)))
    >>> table = tables.read(tables.CsvFile(path), target="y")
    >>> fitted = tables.fit(table, tables.TableRecipe(hidden=(16,), epochs=100, lr=0.03))
    >>> fitted.validation.metrics()["R2"] > 0.98
    True
    """
    recipe = recipe or TableRecipe()
    rows, held = _split(table, recipe)
    features, notes = dict(table.features), []
    before = Preprocessor.fit(rows, features)
    for name in features.keys() - before.features.keys():
        notes.append(f"column {name!r} is left out: it has one value in all training rows")
    if not before.columns:
        raise ValueError(
            f"{table.file!r}: every column has one value in the training rows: there is nothing to learn from"
        )
    if (weights := sum(a * b for a, b in pairwise([before.width, *recipe.hidden, 1]))) > _MOST_WEIGHTS:
        raise ValueError(
            f"{before.width} inputs and hidden layers of {recipe.hidden} need {weights:,} weights; at most {_MOST_WEIGHTS:,}"
        )
    run = _Run(table, recipe, rows, held, before)
    if resume and checkpoint is not None and os.path.lexists(checkpoint):
        run.restore(checkpoints.load(checkpoint), str(checkpoint))
    while not run.finished:
        run.epoch()
        if on_epoch is not None:
            on_epoch(*run.history[-1])
        if checkpoint is not None and (len(run.history) % every == 0 or run.finished):
            run.keep(checkpoint, say)
    return run.result(rows, held, notes)


def _split(table: Table, recipe: TableRecipe) -> tuple[Batch, Batch]:
    """Training rows and rows held out; of classes, the same share of each."""
    draw = np.random.default_rng((recipe.seed, 0))
    values = table.batch.columns[table.target]
    if table.task == "regression":
        order = draw.permutation(len(values))
        held = min(max(round(recipe.validation * len(order)), 1), len(order) - 2)
        return table.batch.take(np.sort(order[held:])), table.batch.take(np.sort(order[:held]))
    labels, codes = np.unique(np.array(values, object), return_inverse=True)
    kept: list[Array] = []
    out: list[Array] = []
    for k in range(len(labels)):
        members = draw.permutation(np.flatnonzero(codes == k))
        held = min(max(round(recipe.validation * len(members)), 1), len(members) - 1)
        out.append(members[:held])
        kept.append(members[held:])
    return table.batch.take(np.sort(np.concatenate(kept))), table.batch.take(np.sort(np.concatenate(out)))


def _goal(values: Any) -> Classes | Quantity:
    if isinstance(values, np.ndarray):
        if np.ptp(values) == 0:
            raise ValueError(f"all training rows have the target {values[0]:g}: there is nothing to learn")
        return Quantity(*moments(values))
    names = sorted(set(values), key=_by_number)
    return Classes(tuple(names), tuple(values.count(name) / len(values) for name in names))


def _by_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


class _Run:
    """The state of a training, and one epoch of it."""

    def __init__(self, table: Table, recipe: TableRecipe, rows: Batch, held: Batch, before: Preprocessor) -> None:
        self.table, self.before, self.found = table, before, Found()
        self.goal = _goal(rows.columns[table.target])
        self.x, self.held_x = before.encode(rows, self.found), before.encode(held, self.found)
        self.y, self.held_y = (self._targets(batch.columns[table.target]) for batch in (rows, held))
        size = recipe.batch_size or min(max(32, len(self.x) // 100), 1024)
        self.recipe = replace(recipe, batch_size=min(size, len(self.x)))
        sizes = [*recipe.hidden, self.goal.width]
        self.network = nn.MLP(before.width, sizes, activation=recipe.activation, rng=rng(recipe.seed))
        self.optimizer = optim.AdamW(self.network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        self.criterion: nn.Module = nn.CrossEntropyLoss() if isinstance(self.goal, Classes) else nn.MSELoss()
        self.history: list[tuple[int, float, float]] = []
        self.best = 0
        self.kept = self._weights()
        self._said = ""

    def _targets(self, values: Any) -> Array:
        if isinstance(self.goal, Classes):
            return self.goal.encode(values)
        standard: Array = ((values - self.goal.mean) / self.goal.scale).astype(np.float32)[:, None]
        return standard

    def _weights(self) -> dict[str, Array]:
        return {name: np.array(p.data) for name, p in self.network.named_parameters()}

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the validation loss has long been worse than it was."""
        done, patience = len(self.history), self.recipe.patience
        return done >= self.recipe.epochs or bool(patience and done - self.best >= patience)

    def epoch(self) -> None:
        """One pass over the training rows; the weights are kept if they are the best so far."""
        number = len(self.history) + 1
        draw = np.random.default_rng((self.recipe.seed, 1, number))
        order, size, total = draw.permutation(len(self.x)), self.recipe.batch_size or 32, 0.0
        with np.errstate(all="ignore"):  # nan and infinity are reported here, by name
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                self.optimizer.zero_grad()
                loss = self.criterion(self._forward(self.x[rows], draw), self.y[rows])
                loss.backward()
                self.optimizer.step()
                total += loss.item() * len(rows)
            judged = self._judge()
        if not math.isfinite(total) or not math.isfinite(judged):
            lr = self.recipe.lr
            raise DivergedError(
                f"the loss became infinite or nan in epoch {number}, at learning rate {lr:g}, which is too high: "
                f"try {min(lr / 10, 0.003):.1g}"
            )
        if number == 1 or judged < self.history[self.best - 1][2]:
            self.best, self.kept = number, self._weights()
        self.history.append((number, total / len(order), judged))

    def _forward(self, x: Any, draw: np.random.Generator) -> Any:
        """The network with dropout behind every activation."""
        share = self.recipe.dropout
        for layer in self.network:
            x = layer(x)
            if share and not isinstance(layer, nn.Linear):
                x = x * ((draw.random(x.shape, np.float32) >= share) * np.float32(1 / (1 - share)))
        return x

    def _judge(self) -> float:
        total = 0.0
        with no_grad():
            for start in range(0, len(self.held_x), 10_000):
                piece = slice(start, start + 10_000)
                loss = self.criterion(self.network(self.held_x[piece]), self.held_y[piece]).item()
                total += loss * len(self.held_x[piece])
        return total / len(self.held_x)

    # ---------------------------------------------------------------------------------------------- checkpoints

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a run to go on: options, columns and rows."""
        digest = hashlib.sha256()
        for array in (self.x, self.y, self.held_x, self.held_y):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
        options = {key: value for key, value in asdict(self.recipe).items() if key not in ("epochs", "patience")}
        return {
            "target": self.table.target, "task": self.table.task, **options, "columns": list(self.before.features),
            "rows": digest.hexdigest(),
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Everything that a run needs to go on."""
        return {
            "kind": "table", "identity": self._identity(), "history": self.history, "best": self.best,
            "network": self._weights(), "kept": self.kept, "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip

    def keep(self, path: str | os.PathLike[str], say: Callable[[str], None] | None) -> None:
        """Write a checkpoint."""
        try:
            checkpoints.save(path, self.state())
        except OSError as error:
            if say is None:
                raise
            reason = error.strerror or str(error)
            if reason != self._said:
                say(f"{reason}; the training goes on")
            self._said = reason

    def restore(self, state: Any, name: str) -> None:
        """Go on from a state; ValueError if it is that of another run."""
        mine = self._identity()
        identity = state.get("identity") if isinstance(state, dict) else None
        if not isinstance(identity, dict) or state.get("kind") != "table":
            raise ValueError(f"{name!r} is the checkpoint of another kind of training, expected one of a table")
        for key, value in mine.items():
            if identity.get(key) != value:
                now = (
                    "" if key in ("rows", "columns") else f" ({_shown(identity.get(key))} there, {_shown(value)} here)"
                )
                raise ValueError(
                    f"{name!r} is the checkpoint of another run: its {key.replace('_', '-')} differ{'s' * (key != 'rows' and key != 'columns')}"
                    f"{now}; give the options and data of that run, or start without --resume"
                )
        try:
            history = [(int(a), float(b), float(c)) for a, b, c in state["history"]]
            best = int(state["best"])
            if [row[0] for row in history] != list(range(1, len(history) + 1)) or not 1 <= best <= len(history):
                raise ValueError("its history does not count the epochs")
            self.network.load_state_dict(state["kept"])
            kept = self._weights()
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{name!r} is not the checkpoint of a table: {' '.join(reason.split())}") from None
        self.history, self.best, self.kept = history, best, kept

    # ------------------------------------------------------------------------------------------------- the end

    def result(self, rows: Batch, held: Batch, notes: list[str]) -> Fitted:
        """The model with the best weights, and how good it is."""
        self.network.load_state_dict(self.kept)
        model = TableModel(self.network, self.before, self.table.target, self.goal, {})
        tallies: list[ClassTally | QuantityTally] = []
        for batch in (rows, held):
            tallies.append(self.goal.tally())
            for start in range(0, len(batch), 10_000):
                count(model, tallies[-1], batch.take(np.arange(start, min(start + 10_000, len(batch)))))
        options = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self.recipe).items()}
        metrics = {key: value for key, value in tallies[1].metrics().items() if math.isfinite(value)}
        model.summary.update(
            file=os.path.basename(self.table.file), training_rows=len(rows), validation_rows=len(held),
            epochs=len(self.history), best_epoch=self.best, validation=metrics, recipe=options,
        )  # fmt: skip
        training, validation = tallies
        return Fitted(model, self.history, self.best, training, validation, held, [*self.found.notes(), *notes])


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
