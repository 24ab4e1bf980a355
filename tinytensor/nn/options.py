"""``FunctionModule``: a function with its options kept, of which activations and losses are made in two lines each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tinytensor.nn.module import Module
from tinytensor.primitive import TensorBase, wrap

__all__ = ["FunctionModule"]


class FunctionModule(Module):
    """A module that calls ``function`` with its inputs and with options, given when the module is made.

    The options are the function's parameters after the first ``inputs``, with its defaults; arrays among them are
    buffers. ``axis`` is called ``dim``. ``class ReLU(FunctionModule, inplace=True)`` takes ``inplace`` last and ignores
    it: what PyTorch's programs use is what is returned.

    >>> import tinytensor as tt
    >>> class Double(FunctionModule):
    ...     function = staticmethod(lambda x, factor=2.0: x * factor)
    >>> Double()(tt.ones(1)), Double(3.0)
    (tensor([2.]), Double(factor=3.0))
    """

    function: ClassVar[Callable[..., Any]]
    inputs: ClassVar[int] = 1
    names: ClassVar[tuple[str, ...]] = ()
    takes: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, inplace: bool = False) -> None:
        super().__init_subclass__()
        if "function" in vars(cls):
            plain: Any = getattr(cls.function, "__wrapped__", cls.function)
            options = plain.__code__.co_varnames[cls.inputs : plain.__code__.co_argcount]
            cls.names = tuple(["dim" if name == "axis" else name for name in options])
            values = plain.__defaults__ or ()
            cls.defaults = dict(zip(cls.names[len(cls.names) - len(values) :], values, strict=True))
            cls.takes = (*cls.names, "inplace") if inplace else cls.names

    def __init__(self, *values: Any, **options: Any) -> None:
        super().__init__()
        own, names = type(self).__name__, self.takes
        given = dict(zip(names, values, strict=False))
        twice, unknown = [n for n in options if n in given], [n for n in options if n not in names]
        missing = [n for n in self.names if n not in given and n not in options and n not in self.defaults]
        if len(values) > len(names) or twice or unknown or missing:
            wrong = f"missing {missing[0]}" if missing else f"got {[*unknown, *twice, f'{len(values)} values'][0]}"
            raise TypeError(f"{own} takes {', '.join(names) or 'no options'}; {wrong}")
        for name, value in {**self.defaults, **given, **options}.items():
            if isinstance(value, (np.ndarray, TensorBase, list)):
                value = value if isinstance(value, TensorBase) else wrap(np.asarray(value, _kind(value)), None)
                self.register_buffer(name, value)  # type: ignore[arg-type]
            else:
                setattr(self, name, value)

    def forward(self, *inputs: Any) -> Any:
        """What the function returns."""
        if len(inputs) != self.inputs:
            raise TypeError(f"{type(self).__name__} takes {self.inputs} inputs, got {len(inputs)}")
        options = vars(self)
        return type(self).function(*inputs, *[options[name] for name in self.names])

    def extra_repr(self) -> str:
        """The options and their values."""
        return ", ".join([f"{n}={vars(self)[n]!r}" for n in self.takes if n != "inplace" or vars(self).get(n)])


def _kind(value: Any) -> Any:
    """Numbers of a list as floats, an array as it is."""
    return value.dtype if isinstance(value, np.ndarray) else float
