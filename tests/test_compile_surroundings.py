"""What a compiled function sees of Python around it: changed between two calls, it is seen as eager mode sees it."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim

X = np.array([1.0, -2.0, 0.0, 3.0], np.float32)
SPACE: dict[str, Any] = {}


def bits(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [bits(x) for x in value]
    array = np.asarray(value._data if isinstance(value, tt.Tensor) else value)
    return array.shape, array.dtype, array.tobytes()


def follows(f: Callable[..., Any], change: Callable[[], Any], *args: Any) -> Any:
    """The compiled function gives what the function gives, before and after a change, and is not traced when nothing changes."""
    compiled = tt.compile(f)
    for _ in range(3):
        assert bits(compiled(*args)) == bits(f(*args))
    traced = compiled._traced
    assert traced == 1
    change()
    for _ in range(2):
        assert bits(compiled(*args)) == bits(f(*args))
    assert compiled._traced == 2
    return compiled


# ---------------------------------------------------------------------------------------------------------- plain values


@pytest.mark.parametrize(
    ("before", "after"),
    [(2, 3), (2, 2.0), (True, 1), (0.0, -0.0), (float("nan"), 1.0), (np.float64(2), np.float64(3)),
     (np.float32(2), 2.0), (complex(0.0, 0.0), complex(-0.0, 0.0)), (2.0, np.full(4, 2.0, "f"))],
)  # fmt: skip
def test_a_value_around_the_function(before: Any, after: Any) -> None:
    factor = before

    def change() -> None:
        nonlocal factor
        factor = after

    follows(lambda x: x * factor, change, X)


def test_tuples_dicts_and_lists_of_numbers() -> None:
    pair, options, numbers = (2.0, 3.0), {"scale": 2.0}, [2.0]

    def change() -> None:
        nonlocal pair
        pair = (2.0, 4.0)

    follows(lambda x: x * pair[0] + pair[1], change, X)
    follows(lambda x: x * options["scale"], lambda: options.update(scale=3.0), X)
    follows(lambda x: x * numbers[0], lambda: numbers.__setitem__(0, 3.0), X)


def test_inner_functions_and_generators() -> None:
    factor = 2.0

    def change() -> None:
        nonlocal factor
        factor += 1

    follows(lambda x: sum(x * factor * i for i in range(3)), change, X)
    follows(lambda x: (lambda z: z * factor)(x), change, X)
    follows(lambda x: tt.grad(lambda z: (z * factor).sum())(x), change, X)


factor_of_helpers = 2.0


def helper(x: Any) -> Any:
    return x * factor_of_helpers


def calls_helper(x: Any) -> Any:
    return helper(x) + 1


def change_factor() -> None:
    global factor_of_helpers
    factor_of_helpers += 1


@pytest.mark.parametrize(
    "f",
    [calls_helper, partial(helper), tt.value_and_grad(lambda x: helper(x).sum()), lambda x: partial(helper)(x),
     lambda x: [helper][0](x), lambda x: tt.grad(lambda z: calls_helper(z).sum())(x)],
)  # fmt: skip
def test_functions_that_functions_call(f: Any) -> None:
    follows(f, change_factor, X)


# --------------------------------------------------------------------------------------------------------------- objects


class Scaled:
    kind = 3.0

    def __init__(self) -> None:
        self.scale, self.array = 2.0, np.ones(4, "f")

    def direct(self, x: Any) -> Any:
        return x * self.scale

    def by_method(self, x: Any) -> Any:
        return self.direct(x) * self.kind

    @property
    def doubled(self) -> float:
        return 2 * self.scale


@pytest.mark.parametrize(
    "f", [lambda s: s.direct, lambda s: s.by_method, lambda s: lambda x: x * s.scale, lambda s: lambda x: x * s.doubled]
)
def test_attributes_of_objects(f: Any) -> None:
    scaled = Scaled()
    follows(f(scaled), lambda: setattr(scaled, "scale", 5.0), X)


def test_attributes_of_arguments_of_classes_and_of_modules() -> None:
    scaled, module = Scaled(), types.ModuleType("mine")
    vars(module)["S"] = 2.0
    follows(lambda s: s.array * s.scale, lambda: setattr(scaled, "array", np.full(4, 3.0, "f")), scaled)
    follows(lambda s: s.array * s.scale, lambda: setattr(scaled, "scale", 7.0), scaled)
    follows(Scaled().by_method, lambda: setattr(Scaled, "kind", 4.0), X)
    follows(lambda x: x * module.S, lambda: setattr(module, "S", 3.0), X)


def test_one_method_of_two_objects() -> None:
    one, two = Scaled(), Scaled()
    follows(lambda x: one.by_method(x) + two.by_method(x), lambda: setattr(two, "scale", 5.0), X)
    follows(lambda x: one.by_method(x) + two.by_method(x), lambda: setattr(one, "scale", 5.0), X)


class Slotted:
    __slots__ = ("scale",)

    def __init__(self) -> None:
        self.scale = 2.0


def test_slots() -> None:
    slotted = Slotted()
    follows(lambda x: x * slotted.scale, lambda: setattr(slotted, "scale", 3.0), X)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor, self.inner = 2.0, Scaled()

    def forward(self, x: Any) -> Any:
        return self.helped(x)

    def helped(self, x: Any) -> Any:
        return tt.tensor(x) * self.factor * self.inner.scale


def test_what_a_module_holds() -> None:
    model = Model()
    follows(model, lambda: setattr(model, "factor", 3.0), X)
    follows(model, lambda: setattr(model.inner, "scale", 3.0), X)
    follows(nn.Sequential(nn.ReLU(), model), lambda: setattr(model.inner, "scale", 4.0), X)


def test_methods_that_are_compiled_in_the_class() -> None:
    class Trained:
        def __init__(self) -> None:
            self.scale = 2.0

        @tt.compile
        def step(self, x: Any) -> Any:
            return x * self.scale

    trained = Trained()
    assert bits(trained.step(X)) == bits(X * 2.0)
    trained.scale = 3.0
    assert bits(trained.step(X)) == bits(X * 3.0)


# ---------------------------------------------------------------------------------------------------- what a name stands for


def test_another_model_tensor_function_or_array_of_that_name() -> None:
    model, weight, function, array = nn.Linear(4, 2), tt.tensor(X), helper, X

    def change() -> None:
        nonlocal model, weight, function, array
        model, weight, array = nn.Linear(4, 2), tt.tensor(weight._data * 3), array + 1
        function = calls_helper if function is helper else helper

    follows(lambda x: model(tt.tensor(x)), change, X)
    follows(lambda x: tt.tensor(x) * weight, change, X)
    follows(lambda x: function(x), change, X)
    follows(lambda x: x * array, change, X)


def test_a_cell_of_a_notebook_that_runs_again() -> None:
    space: dict[str, Any] = {"nn": nn, "optim": optim, "tt": tt, "X": X, "__name__": "notebook"}
    setup = "tt.manual_seed(0)\nmodel = nn.Linear(4, 1)\noptimizer = optim.SGD(model.parameters(), lr=0.1)"
    exec(setup, space)
    exec(
        "@tt.compile\ndef step(x):\n    loss = (model(tt.tensor(x)) ** 2).sum()\n    optimizer.zero_grad()\n    loss.backward()\n"
        "    optimizer.step()\n    return loss",
        space,
    )
    first = [space["step"](X).item() for _ in range(4)]
    exec(setup, space)
    assert [space["step"](X).item() for _ in range(4)] == first


def test_what_a_function_sets_itself_is_no_condition() -> None:
    seen: list[Any] = []
    count = 0

    def f(x: Any) -> Any:
        nonlocal count
        count += 1
        seen.append(x.shape)
        return x * 2

    compiled = tt.compile(f)
    for _ in range(5):
        compiled(X)
    assert (count, compiled._traced) == (2, 1)


def test_names_of_attributes_are_not_names_of_globals() -> None:
    space: dict[str, Any] = {"shape": 0}
    exec("def f(x): return x.reshape(x.shape)", space)
    compiled = tt.compile(space["f"])
    for k in range(4):
        space["shape"] = k
        compiled(X)
    assert compiled._traced == 1
