"""``export`` and ``to_model``: a model run on example inputs, written down as an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinytensor import __version__
from tinytensor.deferred import Deferred
from tinytensor.graph import no_grad
from tinytensor.io import check_writable, replacing
from tinytensor.nn.module import Module
from tinytensor.onnx import elementwise, layers, products, reductions, sequences, shapes  # noqa: F401  (they fill the table)
from tinytensor.onnx.graph import Graph, NodeOf
from tinytensor.onnx.program import Size, Step, Symbol, merged
from tinytensor.onnx.table import EMITTERS
from tinytensor.onnx.tracing import Log, Traced
from tinytensor.primitive import TensorBase
from tinytensor.trees import flatten

__all__ = ["export", "to_model"]

#: How many examples more the second run has, which finds out what follows the size of the batch. With one more, the
#: output of a convolution with stride 2 along an open axis could seem to have a fixed length.
_MORE = 12


def export(
    model: Callable[..., Any],
    example: Any,
    path: str | os.PathLike[str],
    *,
    opset: int = 17,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    batch_axis: int | Sequence[int | None] | None = 0,
) -> Path:
    """Write a model as an ONNX file, which other programs run: onnxruntime, browsers, phones.   (``torch.onnx.export``)

    The model, a module or any function of tensors, runs on ``example`` (an array, or a tuple of them for several
    arguments), in evaluation mode, and the operations that it meets are written down: what an ``if`` or a loop does
    depends on shapes, never on values. Floating examples are taken in the dtype of the model's parameters.

    ``batch_axis``: the axis of the inputs whose length stays open in the file (one for all, or one for each; None: none).
    ``input_names``, ``output_names``: by default input, or input_0, input_1 ..., and the same for outputs. ``opset``: the
    version of ONNX's operators, from 17. The file is written whole or not at all, and checked by the onnx library.

    Raises NotImplementedError for an operation that has no ONNX form (:func:`tinytensor.onnx.emitter` gives one to a
    primitive of your own), TypeError if the model asks for values, ValueError if the batch cannot stay open, OSError if
    the folder cannot be written, ImportError without the package onnx.

    >>> import tempfile, pathlib, tinytensor as tt
    >>> model = tt.nn.MLP(2, [16, 1])
    >>> file = tt.onnx.export(model, tt.ones((1, 2)), pathlib.Path(tempfile.mkdtemp()) / "mlp.onnx")
    >>> import onnxruntime, numpy as np
    >>> x = np.ones((5, 2), np.float32)
    >>> (y,) = onnxruntime.InferenceSession(file).run(None, {"input": x})
    >>> y.shape, bool(np.abs(y - model(x).data).max() < 1e-5)
    ((5, 1), True)
    """
    target = check_writable(path, ".onnx")
    made = to_model(
        model, example, opset=opset, input_names=input_names, output_names=output_names, batch_axis=batch_axis
    )
    with replacing(target) as temporary:
        temporary.write_bytes(made.SerializeToString())
    return target


def to_model(
    model: Callable[..., Any],
    example: Any,
    *,
    opset: int = 17,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    batch_axis: int | Sequence[int | None] | None = 0,
) -> Any:
    """The ``onnx.ModelProto`` that :func:`export` writes; it takes the same arguments and raises the same errors.

    >>> import tinytensor as tt
    >>> made = tt.onnx.to_model(tt.nn.Linear(2, 3), tt.ones((1, 2)))
    >>> [node.op_type for node in made.graph.node]
    ['Gemm']
    """
    library = _onnx(opset)
    arrays = [_example(x, model) for x in (example if isinstance(example, (tuple, list)) else (example,))]
    names = _names(input_names, len(arrays), "input")
    if not callable(model):
        raise TypeError(f"onnx.export: expected a module or a function of tensors, got {type(model).__name__}")
    axes = _batch_axes(batch_axis, arrays)
    steps, ins, outs = _traced(model, arrays, axes)
    parameters = dict(_parameters(model))
    taken = {*names, *([output_names] if isinstance(output_names, str) else output_names or ())}
    batch = next(((name, a) for name, a in zip(names, axes, strict=True) if a is not None), None)
    graph = Graph(
        opset, batch, {id(p): f"parameter.{n}" if n in taken else n for n, p in parameters.items()}, frozenset(taken)
    )
    for symbol, name in zip(ins, names, strict=True):
        symbol.name = name
    for step in steps:
        _emit(graph, step)
    graph.layer = ""
    finals = _names(output_names, len(outs), "output")
    if both := set(names) & set(finals):
        raise ValueError(f"onnx.export: {sorted(both)} are names of inputs and of outputs; give others")
    dtypes = [x.dtype for x in outs]
    for x, name in zip(outs, finals, strict=True):
        _name_output(graph, x, name, {*names, *finals})
    return _assembled(library, graph, opset, list(zip(names, ins, strict=True)), list(zip(finals, outs, dtypes, strict=True)))  # fmt: skip


def _onnx(opset: int) -> Any:
    try:
        import onnx
    except ImportError:
        raise ImportError("exporting to ONNX needs onnx: pip install 'tinytensor[onnx]'") from None
    newest = onnx.defs.onnx_opset_version()
    if not isinstance(opset, int) or not 17 <= opset <= newest:
        raise ValueError(
            f"onnx.export: opset must be from 17 to {newest} (what the installed onnx knows), got {opset!r}"
        )
    return onnx


# -------------------------------------------------------------------------------------------------------------- inputs


def _parameters(model: Any) -> Iterator[tuple[str, Any]]:
    return model._entries(all_buffers=True) if isinstance(model, Module) else iter(())


def _example(x: Any, model: Any) -> Any:
    """An input as an array, in the dtype of the parameters if it is floating."""
    array = np.asarray(x._data if isinstance(x, TensorBase) else x)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"onnx.export: an example must be an array of real numbers, got {type(x).__name__} {x!r:.60}")
    own = next((p.dtype for _, p in _parameters(model) if p.dtype.kind == "f"), array.dtype)
    return array.astype(own) if array.dtype.kind == "f" else array


def _names(given: Sequence[str] | None, n: int, kind: str) -> list[str]:
    if given is None:
        return [kind] if n == 1 else [f"{kind}_{k}" for k in range(n)]
    names = [given] if isinstance(given, str) else list(given)
    if len(names) != n or len(set(names)) != n or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"onnx.export: expected {n} different {kind}_names, got {names}")
    return names


def _batch_axes(batch_axis: Any, arrays: list[Any]) -> list[int | None]:
    """The open axis of every input, counted from the front."""
    axes = list(batch_axis) if isinstance(batch_axis, (tuple, list)) else [batch_axis] * len(arrays)
    if not all(axis is None or isinstance(axis, (int, np.integer)) for axis in axes):
        raise TypeError(f"onnx.export: batch_axis is an axis, None, or one of them for each input, got {batch_axis!r}")
    if len(axes) != len(arrays):
        raise ValueError(f"onnx.export: batch_axis names {len(axes)} axes for {len(arrays)} inputs")
    for k, (axis, x) in enumerate(zip(axes, arrays, strict=True)):
        if axis is not None and not -x.ndim <= axis < x.ndim:
            raise ValueError(f"onnx.export: input {k} has the shape {x.shape}, which has no axis batch_axis={axis}")
        if axis is not None and not x.shape[axis]:
            raise ValueError(f"onnx.export: input {k} has the shape {x.shape}; give at least one example")
    return [None if axis is None else axis % x.ndim for axis, x in zip(axes, arrays, strict=True)]


# ------------------------------------------------------------------------------------------------------------- tracing


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode; then all is as it was."""
    modes = [(module, module.training) for module in model.modules()] if isinstance(model, Module) else []
    try:
        if isinstance(model, Module):
            model.eval()
        yield
    finally:
        for module, mode in modes:
            if module.training != mode:
                module.training = mode


def _run(model: Any, arrays: list[Any], log: Log) -> tuple[list[Traced], Any]:
    inputs = [Traced(array, log) for array in arrays]
    with no_grad(), np.errstate(all="ignore"):  # what the example's values do is of no account
        out = model(*inputs)
    found = flatten(out)
    if not any(isinstance(x, Traced) for x in found):
        raise TypeError(f"onnx.export: the model returned {type(out).__name__}, expected tensors made of its inputs")
    return inputs, found


def _longer(arrays: list[Any], axes: list[int | None], n: int) -> list[Any]:
    """The examples with ``n`` along the open axes, repeated as needed."""
    return [x if a is None else np.take(x, np.arange(n) % x.shape[a], a) for x, a in zip(arrays, axes, strict=True)]


def _checked_run(model: Any, arrays: list[Any], axes: list[int | None], n: int, log: Log) -> tuple[list[Traced], Any]:
    """A run with n examples; what it raises says where, and whether the number of examples is to blame."""
    given = {x.shape[a] for x, a in zip(arrays, axes, strict=True) if a is not None}
    try:
        return _run(model, _longer(arrays, axes, n), log)
    except Deferred as error:
        raise TypeError(f"{str(error).rstrip('.')}{_place(log, error)}.") from None
    except (ValueError, TypeError, IndexError) as error:
        if given <= {n}:
            raise
        raise ValueError(
            f"onnx: the batch cannot be left open: with {n} examples in place of {min(given)} the model says: {error}. "
            "Give what belongs to single examples as inputs of the model, or export it for one size with batch_axis=None."
        ) from error


def _place(log: Log, error: BaseException) -> str:
    """Where it was raised: the last line that is not this package's, and the layer."""
    line = layer = ""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if not frame.f_globals.get("__name__", "").startswith("tinytensor."):
            line = f"; see {os.path.basename(frame.f_code.co_filename)}, line {trace.tb_lineno}"
        layer = log.layer_of(frame) or layer
        trace = trace.tb_next
    return line + (f", in layer {layer}" if layer else "")


def _traced(model: Any, arrays: list[Any], axes: list[int | None]) -> tuple[list[Step], list[Symbol], list[Any]]:
    """Two runs as one program: at two sizes of the batch, if there is one; and nothing may differ that does not follow it."""
    n = max([2, *[x.shape[a] for x, a in zip(arrays, axes, strict=True) if a is not None]])
    sizes = (n, n if all(a is None for a in axes) else n + _MORE)
    names = {id(m): name or type(m).__name__ for name, m in model.named_modules()} if isinstance(model, Module) else {}
    logs = Log(names), Log(names)
    with _evaluating(model):
        runs = [_checked_run(model, arrays, axes, k, log) for k, log in zip(sizes, logs, strict=True)]
    (ins, outs), (ins2, outs2) = runs
    steps, results, merger = merged(*logs, (outs, outs2), *sizes)
    return steps, [merger.symbol(a, b) for a, b in zip(ins, ins2, strict=True)], list(results)


# ------------------------------------------------------------------------------------------------------------- writing


def _emit(graph: Graph, step: Step) -> None:
    """The nodes of one step; NotImplementedError names the operation and the layer."""
    graph.layer = step.layer
    where = f"{step.name}" + (f" of layer {step.layer}" if step.layer else "")
    write = EMITTERS.get(step.key)
    if write is None:
        raise NotImplementedError(
            f"onnx.export: {where} has no ONNX form here ({step.key}); write it with other functions, or give it one "
            "with tt.onnx.emitter"
        )
    try:
        made = write(graph, step)
    except NotImplementedError as error:
        raise NotImplementedError(f"onnx.export: {where} has no ONNX form with {error}") from None
    except TypeError as error:
        if "Size" not in str(error):
            raise
        raise ValueError(
            f"onnx.export: the batch cannot be left open in {where}, which computes with its size; use batch_axis=None"
        ) from None
    for out, name in zip(step.outs, made if isinstance(made, list) else [made], strict=True):
        out.name = name


def _name_output(graph: Graph, x: Any, name: str, taken: set[str]) -> None:
    """Let the node that makes ``x`` write under this name; where that cannot be, a copy."""
    old = graph.value(x)
    node = next((n for n in reversed(graph.nodes) if old in n.outputs), None)
    if node is None or old in taken:
        graph.nodes.append(NodeOf("Identity", [old], [name], name, {}))
        return
    for n in graph.nodes:
        for names in (n.inputs, n.outputs):
            names[:] = [name if v == old else v for v in names]
    if isinstance(x, Symbol):
        x.name = name


def _needed(graph: Graph, finals: list[str]) -> list[NodeOf]:
    """The nodes that lead to a result."""
    wanted, kept = set(finals), []
    for node in reversed(graph.nodes):
        if wanted & set(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return kept[::-1]


def _assembled(library: Any, graph: Graph, opset: int, ins: list[Any], outs: list[Any]) -> Any:
    """The checked ModelProto."""
    helper = library.helper
    kind = helper.np_dtype_to_tensor_dtype

    def info(name: str, shape: Any, dtype: Any) -> Any:
        known = ["batch" if isinstance(n, Size) and str(n) == "1n+0" else None if isinstance(n, Size) else n for n in shape]  # fmt: skip
        return helper.make_tensor_value_info(name, kind(dtype), known)

    nodes = _needed(graph, [name for name, *_ in outs])
    used = {name for node in nodes for name in node.inputs}
    made = helper.make_graph(
        [
            helper.make_node(n.kind, n.inputs, n.outputs, n.name, **{k: kind(v) if k == "to" else v for k, v in n.attributes.items()})
            for n in nodes
        ],
        "tinytensor",
        [info(name, x.shape, x.dtype) for name, x in ins],
        [info(name, x.shape, dtype) for name, x, dtype in outs],
        [library.numpy_helper.from_array(np.ascontiguousarray(a).reshape(a.shape), name) for name, a in graph.constants.items() if name in used],
    )  # fmt: skip
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        made, opset_imports=imports, producer_name="tinytensor", producer_version=__version__,
        ir_version=helper.find_min_ir_version_for(imports),
    )  # fmt: skip
    library.checker.check_model(model, full_check=True)
    return model
