"""``Trainer``: the training loop with what it needs around it, resumable at every step; and its callbacks and metrics."""

from tinytensor.trainer.callbacks import BestModel, Callback, Checkpoint, EarlyStopping, MovingAverage, Schedule
from tinytensor.trainer.errors import DivergedError, TrainingWarning
from tinytensor.trainer.events import EventWriter, read_events
from tinytensor.trainer.history import History
from tinytensor.trainer.loggers import CSVLogger, Progress, TensorBoard
from tinytensor.trainer.loop import Trainer
from tinytensor.trainer.metrics import MAE, R2, RMSE, Accuracy, Metric, TopK

__all__ = [
    "MAE", "R2", "RMSE", "Accuracy", "BestModel", "CSVLogger", "Callback", "Checkpoint", "DivergedError", "EarlyStopping",
    "EventWriter", "History", "Metric", "MovingAverage", "Progress", "Schedule", "TensorBoard", "TopK", "Trainer", "TrainingWarning",
    "read_events",
]  # fmt: skip
