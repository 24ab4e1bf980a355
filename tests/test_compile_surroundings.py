"""What a compiled function sees of Python around it: changed between two calls, it is seen as eager mode sees it."""

from __future__ import annotations

import gc
import types
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.nn import functional as F

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


class Layer:
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, x: Any) -> Any:
        return x * self.scale


def scaled_by(x: Any, layer: Any) -> Any:
    return x * layer.scale


def by_default(x: Any, layer: Any = (default := Layer(2.0))) -> Any:
    return x * layer.scale


def test_objects_under_another_name() -> None:
    layer = Layer(2.0)

    def alias(x: Any) -> Any:
        other = layer
        return x * other.scale

    def change() -> None:
        layer.scale += 1
        default.scale += 1

    for f in (
        alias,
        layer,
        by_default,
        lambda x: layer(x),
        lambda x: scaled_by(x, layer),
        lambda x: x * getattr(layer, "scale"),
    ):  # noqa: B009
        follows(f, change, X)
    follows(partial(scaled_by, layer=layer), change, X)
    follows(lambda x, layers: layers[0](x), change, X, [layer])


def test_members_of_members() -> None:
    layers = [Layer(2.0), Layer(3.0)]
    options: dict[str, Any] = {"inner": {"scale": 2.0}, "sizes": [1, 2], "layer": layers[0]}
    follows(lambda x: layers[1](layers[0](x)), lambda: setattr(layers[1], "scale", 5.0), X)
    follows(lambda x: x * len(layers), lambda: layers.append(Layer(1.0)), X)
    follows(lambda x: x * options["inner"]["scale"], lambda: options["inner"].update(scale=7.0), X)

    class Open(dict[str, Any]):
        __getattr__ = dict.__getitem__

    loose = Open(scale=2.0)
    follows(lambda x: x * loose["scale"], lambda: loose.update(scale=3.0), X)
    follows(lambda x: x * loose.scale, lambda: loose.update(scale=4.0), X)


class Base:
    def __init__(self) -> None:
        self.scale = 2.0

    def of(self, x: Any) -> Any:
        return x * self.scale


class Derived(Base):
    def of(self, x: Any) -> Any:
        return super().of(x) + 1


def test_methods_of_a_base() -> None:
    derived = Derived()
    follows(derived.of, lambda: setattr(derived, "scale", 3.0), X)


def test_another_function_of_a_library() -> None:
    act, layer = np.tanh, Layer(1.0)
    vars(layer)["act"] = F.relu

    def change() -> None:
        nonlocal act
        act, vars(layer)["act"] = np.exp, np.tanh

    follows(lambda x: act(x), change, X)
    act, vars(layer)["act"] = np.tanh, F.relu
    follows(lambda x: layer.act(tt.tensor(x)), change, X)  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------- what must not be asked


def test_counters_and_histories_of_the_function_itself() -> None:
    class Kept:
        def __init__(self) -> None:
            self.count, self.history, self.seen = 0, [0.0], {"a": 1}

        def step(self, x: Any) -> Any:
            self.count += 1
            self.history.append(1.0)
            self.seen.update(b=self.count)
            return x * 2

    kept = Kept()
    compiled = tt.compile(kept.step)
    for k in range(6):
        compiled(X)
        kept.history.append(float(k))
        kept.count += 1
        kept.seen["c"] = k
    assert compiled._traced == 1


def test_what_a_trainer_keeps_beside_its_step() -> None:
    class Trained:
        def __init__(self) -> None:
            tt.manual_seed(0)
            self.model = nn.Linear(4, 1)
            self.optimizer = optim.Adam(self.model.parameters(), lr=0.1)
            self.losses: list[float] = []
            self.best, self.steps = 1e9, 0

        def loss(self, x: Any) -> Any:
            return (self.model(x) ** 2).mean()

        def step(self, x: Any) -> Any:
            loss = self.loss(x)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss

        def train(self) -> list[float]:
            for _ in range(6):
                self.losses.append(self.run(X).item())
                self.best, self.steps = min(self.best, self.losses[-1]), self.steps + 1
            return self.losses

    eager, compiled = Trained(), Trained()
    eager.run, compiled.run = eager.step, tt.compile(compiled.step)  # type: ignore[attr-defined]
    assert compiled.train() == eager.train()
    assert compiled.run._traced == 1  # type: ignore[attr-defined]


def test_objects_that_raise_what_they_like() -> None:
    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = object.__hash__

    class Partly:
        __slots__ = ("a", "b")

    odd, partly = Odd(), Partly()
    partly.a = 2.0  # type: ignore[attr-defined]
    odd.scale = 2.0
    for f in (lambda x: x * odd.scale, lambda x: x * partly.a if not hasattr(partly, "b") else x):  # type: ignore[attr-defined]
        compiled = tt.compile(f)
        for _ in range(3):
            assert bits(compiled(X)) == bits(X * 2.0)
        assert compiled._traced == 1


def test_arrays_in_arguments_are_not_held() -> None:
    def f(first: Any, more: Any, *, other: Any, named: Any) -> Any:
        return first + more[0] + other + named["a"][0]

    compiled = tt.compile(f)
    given = [X.copy() for _ in range(4)]
    for _ in range(3):
        compiled(given[0], [given[1]], other=given[2], named={"a": (given[3],)})
    held = [weakref.ref(x) for x in given]
    del given
    gc.collect()
    assert [x() is None for x in held] == [True] * 4


@pytest.mark.parametrize("f", [lambda x: x + tt.rng(1).random(4), lambda x: (tt.manual_seed(1), x + tt.rand(4))[1]])
def test_a_generator_that_is_made_inside_is_refused(f: Any) -> None:
    with pytest.raises(TypeError, match="makes a generator inside the function"):
        tt.compile(f)(X)


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
