"""Testing what is differentiated: gradient checks, the scalar engine as a witness, and random programs."""

from tinytensor.testing.gradcheck import against_scalar, check_grads

__all__ = ["against_scalar", "check_grads"]
