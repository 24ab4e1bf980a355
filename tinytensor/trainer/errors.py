"""What can go wrong in a training: one error that stops it, one warning after which it goes on."""

__all__ = ["DivergedError", "TrainingWarning"]


class DivergedError(ArithmeticError):
    """The loss, or its gradient, became nan or infinite; parameters, buffers and the optimizer are as before the step.

    see :func:`tinytensor.trainer.Trainer`
    """


class TrainingWarning(UserWarning):
    """A file could not be written (a checkpoint, a log); the training goes on.

    see :func:`tinytensor.trainer.Checkpoint`
    """
