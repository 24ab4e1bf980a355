"""A program: lines of NumPy source and the arrays they start from, run by every engine and compared."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np

import tinytensor
from tinytensor.scalar import Value
from tinytensor.tensor import Tensor, tensor
from tinytensor.testing import pytorch
from tinytensor.testing.gradcheck import (
    as_values,
    assert_near,
    gradients_of,
    numbers_of,
    walk_tensors,
    walk_values,
    weights_for,
)
from tinytensor.testing.smallest import array_text
from tinytensor.transforms import grad

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["Program", "ProgramError", "compiled", "names_in"]

#: How closely results and gradients must agree with the scalar engine, relative to the largest number of an array.
_TIGHT, _LOOSE = 1e-9, 2e-3

#: Where tensors give what ndarrays give to rounding only: np.dot of other than two matrices or vectors in memory order,
#: np.take, np.delete and np.compress (another memory layout, in which a later sum runs in another order), and ** of NumPy's scalars, which 0-d
#: results are in the middle of an expression. Everything else gives the same bits.
_REORDERS = re.compile(r"\.(dot|tensordot|take|delete|compress)\(|\*\*")


class ProgramError(AssertionError):
    """Two ways to run a program disagree: the message says where, and ends with a test that can be pasted.

    ``kind`` says what differed: 'values', 'gradients', 'second derivatives', or the name of the exception; ``options``
    are those of the :meth:`Program.check` that finds it.
    """

    def __init__(self, program: Program, kind: str, message: str, options: Mapping[str, Any] | None = None) -> None:
        self.program, self.kind, self.reason, self.options = program, kind, message, dict(options or {})
        super().__init__(f"{message}\n\nThe program, as a test:\n\n{program.script(**self.options)}")


@dataclass(frozen=True, eq=False)
class Program:
    """NumPy source and its leaves: ``run`` executes it on any kind of array, ``check`` compares the kinds.

    ``source``: one statement a line, ``v0 = np.tanh(x0 @ x1)``, ``v0 += x1`` or ``v0[1:] = x1``; it may use ``np`` and
    ``tt``. ``leaves``: floating arrays by name. ``names``: functions of yours that the source calls. A result that NumPy
    makes a scalar is kept as a 0-d array.

    >>> import numpy as np
    >>> from tinytensor.testing import Program
    >>> program = Program("v0 = np.tanh(x0)", {"x0": np.array([0.0, 1.0])})
    >>> program.run()["v0"].round(4)
    array([0.    , 0.7616])
    >>> program.check(second=True)
    """

    source: str
    leaves: Mapping[str, Array]
    names: Mapping[str, Any] = field(default_factory=dict)

    def run(self, arrays: Mapping[str, Any] | None = None, spaces: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All variables, the leaves among them, after the program ran on ``arrays`` (ndarrays, if left out: copies).

        ``spaces``: what ``np`` and ``tt`` are, if not NumPy and tinytensor; results are then left as they come.
        """
        arrays = {name: a.copy() for name, a in self.leaves.items()} if arrays is None else arrays
        given = {"np": np, "tt": tinytensor, **self.names} if spaces is None else spaces
        names: dict[str, Any] = {**given, **arrays}
        scalars = any(a.dtype == object for a in arrays.values())
        for code, target in compiled(self.source):
            exec(code, names)
            if spaces is None and type(names[target]) is not Tensor:
                names[target] = _lifted(names[target], scalars)
        return {name: value for name, value in names.items() if name not in given and name != "__builtins__"}

    def run_tensors(self) -> dict[str, Any]:
        """All variables after the program ran on tensors whose leaves require grad."""
        variables = self.run({name: tensor(a, requires_grad=True) for name, a in self.leaves.items()})
        return {name: v if type(v) is Tensor else tensor(v) for name, v in variables.items()}

    def reference(self) -> dict[str, tuple[Array, Array]]:
        """What the scalar engine says: each variable's numbers, and the leaves' gradients (of the others: empty)."""
        variables = self.run({name: as_values(a) for name, a in self.leaves.items()})
        walk_values([v for name, v in variables.items() if name not in self.leaves])
        nothing = np.zeros(0)
        return {n: (numbers_of(v), gradients_of(v) if n in self.leaves else nothing) for n, v in variables.items()}

    def gradients(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The variables after a run on tensors, and the leaves' gradients."""
        variables = self.run_tensors()
        walk_tensors([v for name, v in variables.items() if name not in self.leaves])
        leaves = {name: variables[name] for name in self.leaves}
        return variables, {n: np.zeros(t.shape, t.dtype) if t.grad is None else t.grad for n, t in leaves.items()}

    def check(
        self,
        second: bool = False,
        reference: dict[str, tuple[Array, Array]] | None = None,
        against: Sequence[str] = ("scalar",),
    ) -> None:
        """Run the program on ndarrays, on tensors and on witnesses, and compare; raise :class:`ProgramError`.

        Tensors must give the bits that ndarrays give (dot, tensordot, take, delete, compress and ``**``: to rounding). ``against``:
        "scalar", the scalar engine, for values and gradients, to rounding (a program with float32 leaves loosely, and once
        more in float64); "torch", PyTorch, in float64, to 1e-7; "finite-difference", one directional derivative.
        ``second`` compares second derivatives with differences of the gradient, in one random direction. Raises
        ImportError if PyTorch is asked and not installed, and UntranslatedError if the program calls what it lacks.
        """
        checks: list[tuple[Callable[[], Any], dict[str, Any]]] = []
        if "scalar" not in against:
            checks.append((lambda: self._compare({}), {"against": ()}))
        checks += [({
            "scalar": lambda: self._check_scalar(reference),
            "torch": lambda: self.double()._check_torch(),
            "finite-difference": lambda: self.double()._check_differences(1),
        }[witness], {"against": (witness,)}) for witness in against]  # fmt: skip
        if second:
            checks.append((lambda: self.double()._check_differences(2), {"second": True, "against": ()}))
        for run, options in checks:
            try:
                run()
            except ProgramError as error:
                raise ProgramError(self, error.kind, error.reason, options) from None
            except (pytorch.UntranslatedError, ImportError):
                raise
            except Exception as error:
                raise ProgramError(self, type(error).__name__, f"{type(error).__name__}: {error}", options) from error

    def _check_scalar(self, reference: dict[str, tuple[Array, Array]] | None) -> None:
        reference = self.reference() if reference is None else reference
        self._compare(reference)
        if any(a.dtype != np.float64 for a in self.leaves.values()):
            self.double()._compare(reference)

    def _check_torch(self) -> None:
        if not pytorch.available():
            raise ImportError("PyTorch is not installed: pip install torch")
        if set(self.names) & names_in(self.source):
            raise pytorch.UntranslatedError(f"PyTorch was not asked: it has no {', '.join(self.names)}")
        reference = pytorch.reference(self.run, self.leaves)
        variables, gradients = self.gradients()
        for name, (numbers, slopes) in reference.items():
            self._near(variables[name].data, numbers, 1e-7, "values", f"the value of {name}, against PyTorch,")
            if name in gradients:
                self._near(gradients[name], slopes, 1e-7, "gradients", f"the gradient of {name}, against PyTorch,")

    def double(self) -> Program:
        """The same program with float64 leaves."""
        return replace(self, leaves={name: a.astype(np.float64) for name, a in self.leaves.items()})

    def _compare(self, reference: dict[str, tuple[Array, Array]]) -> None:
        variables, gradients = self.gradients()
        tolerance = _TIGHT if all(a.dtype == np.float64 for a in self.leaves.values()) else _LOOSE
        inexact = bool(_REORDERS.search(self.source))
        for name, plain in self.run().items():
            ours = variables[name].data
            slack = 1e3 * np.finfo(plain.dtype).eps * max(1.0, float(np.abs(plain).max(initial=0))) * inexact
            same = ours.dtype == plain.dtype and ours.shape == plain.shape
            if not same or not np.all(np.abs(ours - plain) <= slack):
                raise ProgramError(
                    self, "values", f"{name} on tensors is not what it is on ndarrays, bit for bit\n"
                    f"tensors:  {ours.dtype} {ours.tolist()}\nndarrays: {plain.dtype} {plain.tolist()}",
                )  # fmt: skip
        for name, (numbers, slopes) in reference.items():
            self._near(variables[name].data, numbers, tolerance, "values", f"the value of {name}")
            if name in gradients:
                if gradients[name].dtype != self.leaves[name].dtype:
                    raise ProgramError(self, "gradients", f"the gradient of {name} has dtype {gradients[name].dtype}")
                self._near(gradients[name], slopes, tolerance, "gradients", f"the gradient of {name}")
        for name, a in self.leaves.items():
            if not np.array_equal(variables[name].data, a):
                raise ProgramError(self, "values", f"the leaf {name} was overwritten")

    def _near(self, got: Any, expected: Any, tolerance: float, kind: str, what: str) -> None:
        try:
            assert_near(got, expected, tolerance, tolerance, what)
        except AssertionError as error:
            raise ProgramError(self, kind, str(error)) from None

    def _check_differences(self, order: int) -> bool:
        """Compare a derivative in one direction; False if the differences do not converge (a kink is near, f is steep)."""
        names = [name for name, a in self.leaves.items() if a.size]
        if not names:
            return False
        arrays = [self.leaves[name] for name in names]
        directions = [weights_for(k + 100, a.shape) for k, a in enumerate(arrays)]

        def total(*args: Any) -> Any:
            variables = self.run(
                {**{n: tensor(a) for n, a in self.leaves.items()}, **dict(zip(names, args, strict=True))}
            )
            made = [v for name, v in variables.items() if name not in self.leaves]
            return sum((np.sum(weights_for(k, v.shape) * v) for k, v in enumerate(made)), start=0.0 * np.sum(args[0]))

        numbers = tuple(range(len(names)))
        gradient = grad(total, argnums=numbers)

        def slope(*args: Any) -> Any:
            return sum(np.sum(d * g) for d, g in zip(directions, gradient(*args), strict=True))

        f = total if order == 1 else slope

        def along(s: float) -> float:
            return float(f(*[a + s * d for a, d in zip(arrays, directions, strict=True)]))

        parts = gradient(*arrays) if order == 1 else grad(slope, argnums=numbers)(*arrays)
        got = sum(float((g * d).sum()) for g, d in zip(parts, directions, strict=True))
        one, two, four = [(along(h) - along(-h)) / (2 * h) for h in (2e-4, 1e-4, 5e-5)]
        expected, uncertain = (4 * four - two) / 3, abs(four - two) + abs(two - one)
        scale = max(1.0, abs(along(0.0)), abs(expected))
        if uncertain > 1e-3 * scale:
            return False
        kind, what = [
            ("gradients", "the derivative in one direction"),
            ("second derivatives", "the second derivative"),
        ][order - 1]
        self._near(got, expected, (1e-7 * scale + uncertain) / scale, kind, what)
        return True

    def script(self, **options: Any) -> str:
        """Python source that makes this program and checks it (with options of ``check``): paste it into a test.

        >>> import numpy as np
        >>> print(Program("v0 = x0 * 2", {"x0": np.array([1.5], np.float32)}).script())
        import numpy as np
        from tinytensor.testing import Program
        <BLANKLINE>
        leaves = {
            "x0": np.array([1.5], dtype=np.float32),
        }
        Program('''
        v0 = x0 * 2
        ''', leaves).check()
        """
        leaves = "".join(f'    "{name}": {array_text(a)},\n' for name, a in self.leaves.items())
        used = {name: f for name, f in self.names.items() if name in names_in(self.source)}
        imports = "".join(_import_of(name, f) for name, f in used.items())
        names = "".join(f", names={{{', '.join(f'{name!r}: {name}' for name in used)}}}" if used else "")
        options = {k: v for k, v in options.items() if (k, v) != ("against", ("scalar",))}
        arguments = ", ".join(f"{k}={v!r}" for k, v in options.items())
        return (
            f"import numpy as np\nfrom tinytensor.testing import Program\n{imports}\nleaves = {{\n{leaves}}}\n"
            f"Program('''\n{self.source.strip()}\n''', leaves{names}).check({arguments})"
        )

    def __str__(self) -> str:
        return self.source


@lru_cache(4096)
def compiled(source: str) -> tuple[tuple[CodeType, str], ...]:
    """Each statement's code and the name of the variable that it makes or changes."""
    lines = []
    for statement in ast.parse(source).body:
        if not isinstance(statement, (ast.Assign, ast.AugAssign)):
            raise SyntaxError(f"Program: expected assignments only, got {ast.unparse(statement)!r}")
        target: Any = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        name = target.id if isinstance(target, ast.Name) else target.value.id
        lines.append((compile(ast.Module([statement], []), "<program>", "exec"), name))
    return tuple(lines)


def _lifted(x: Any, scalars: bool) -> Any:
    """An array, also of a number; if the program runs on Values, of nothing but Values."""
    array = x if type(x) is np.ndarray else np.asarray(x)
    if not scalars:
        return array
    array = array.astype(object, copy=False)
    if all(type(element) is Value for element in array.flat):
        return array
    lifted = np.empty(array.shape, object)
    for index in np.ndindex(array.shape):
        element = array[index]
        while isinstance(element, np.ndarray):  # a[()] = b puts the array b itself into a 0-d object array
            element = element[()]
        lifted[index] = element if type(element) is Value else Value(float(element))
    return lifted


def _import_of(name: str, f: Any) -> str:
    """The line that brings a function into a test."""
    module = getattr(f, "__module__", None) or "__main__"
    if module == "__main__" or getattr(f, "__qualname__", name) != name:
        return f"# and {name}, as it is defined in your code\n"
    return f"from {module} import {name}\n"


def names_in(line: str) -> set[str]:
    """The variables and functions that a line mentions, but for np and tt."""
    return {node.id for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Name)} - {"np", "tt"}
