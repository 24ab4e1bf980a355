"""Layers and losses compiled: outputs, gradients, parameters' gradients and running statistics, bit by bit those of eager mode."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_losses import IDS, REDUCTIONS, ROWS
from test_torch_layers import FAMILIES, Draw, parts

import tinytensor as tt
from tinytensor import nn

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> Any:
    before = nn.get_default_dtype()
    nn.set_default_dtype(request.param)
    yield np.dtype(request.param)
    nn.set_default_dtype(before)


def training_step(layer: Any, options: dict[str, Any], constants: int) -> Callable[..., Any]:
    """Outputs, and the gradients of all inputs but the last ones; those of parameters arrive in the layer."""

    def step(*arrays: Any) -> Any:
        last = len(arrays) - constants
        leaves = [
            tt.tensor(a, requires_grad=True) if a.dtype.kind == "f" and k < last else a for k, a in enumerate(arrays)
        ]
        outs = parts(layer(*leaves, **options))
        layer.zero_grad()
        total: Any = sum(
            ((out * out * (k + 1) + out).sum() for k, out in enumerate(outs) if out.requires_grad), start=0.0
        )
        if isinstance(total, tt.Tensor) and total.requires_grad:
            total.backward()
        return [out.detach() for out in outs], [x.grad for x in leaves if isinstance(x, tt.Tensor)]

    return step


def bits(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [bits(x) for x in value]
    if value is None:
        return None
    array = np.asarray(value._data if isinstance(value, tt.Tensor) else value)
    return array.shape, array.dtype, array.tobytes()


def state(layer: Any) -> Any:
    """The bits of parameters, their gradients, and buffers."""
    found = {name: (bits(p), bits(p.grad)) for name, p in layer.named_parameters()}
    return found | {name: bits(b) for name, b in layer.named_buffers()}


def inputs_like(arrays: list[Any], k: int) -> list[Any]:
    """The same numbers in another order, the k-th time."""
    return [np.roll(a.reshape(-1), k).reshape(a.shape) if a.dtype.kind == "f" and a.size else a for a in arrays]


def agree(layer: Any, arrays: list[Any], options: dict[str, Any], constants: int = 0) -> bool:
    """Three steps of a layer and of its copy, one compiled; False if the arguments are refused."""
    other = copy.deepcopy(layer)
    eager, compiled = training_step(layer, options, constants), tt.compile(training_step(other, options, constants))
    for k in range(3):
        given = inputs_like(arrays, k)
        try:
            expected = bits(eager(*given))
        except (ValueError, RuntimeError, TypeError) as error:
            with pytest.raises(type(error)):
                compiled(*given)
            return False
        assert bits(compiled(*given)) == expected
        assert state(other) == state(layer)
    opaque = [c.name() for plans in compiled._plans.values() for p in plans for c in p.plan.calls if c.kind == "opaque"]
    assert not opaque, f"recorded as one call: {opaque}"
    return True


def arranged(case: Any, training: bool, dtype: Any) -> Any:
    """A layer with random parameters, its inputs and options."""
    name, args, given, arrays, options = case
    given = {k: v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for k, v in given.items()}
    options = {
        k: v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for k, v in options.items()
    }
    layer = getattr(nn, name)(*args, **given).train(training)
    for k, p in enumerate(layer.parameters()):
        p.data = np.random.default_rng(k).standard_normal(p.shape).astype(dtype)
    return layer, [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays], options


def check_family(family: Any, seeds: range, dtype: Any) -> None:
    compared = 0
    for seed in seeds:
        draw = Draw(seed)
        case = family(draw)
        try:
            layer, arrays, options = arranged(case, draw.yes(0.7), dtype)
        except ValueError:
            continue
        try:
            compared += agree(layer, arrays, options)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {case[0]}{case[1]} {case[2]}, {[*options]}") from error
    assert compared > len(seeds) // 2


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_layers(family: Any, dtype: Any) -> None:
    check_family(family, range(12), dtype)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_layers_of_many_configurations(family: Any, dtype: Any) -> None:
    check_family(family, range(12, 100), dtype)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options", "inputs", "constants"), ROWS, ids=IDS)
def test_losses(name: str, options: Any, inputs: Any, constants: Any, reduction: str, dtype: Any) -> None:
    case = (name, (), {**options, "reduction": reduction}, [*inputs, *constants], {})
    assert agree(*arranged(case, True, dtype), len(constants))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["Dropout", "Dropout1d", "Dropout2d", "AlphaDropout"])
def test_dropout_draws_anew(name: str, training: bool, dtype: Any) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, 5, 2)[: 3 if name == "Dropout1d" else 4])
    layer, arrays, options = arranged((name, (0.4,), {"rng": tt.Generator(3)}, [x], {}), training, dtype)
    assert agree(layer, arrays, options)
