"""``tt.compile``: a function as a list of NumPy calls, planned once and replayed."""

from tinytensor.compiler.compiled import Compiled, compile

__all__ = ["Compiled", "compile"]
