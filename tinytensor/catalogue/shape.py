"""Shapes, joining and splitting: what the catalogue says of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.catalogue.entry import Entry, case, entry

__all__ = ["ENTRIES"]


def _bent(m: Any, parts: Any) -> Any:
    """Pieces, each multiplied by itself, so that a gradient in the wrong place is seen."""
    return [part * part for part in parts]


ENTRIES: list[Entry] = [
    # ------------------------------------------------------------------------------------------------- shape and axes
    entry(
        "np.reshape",
        case(lambda m, x: m.reshape(x, (3, 2)), ((2, 3),), torch=lambda T, x: T.reshape(x, (3, 2))),
        case(lambda m, x: m.reshape(x, (2, -1)), ((2, 3, 2),), torch=lambda T, x: T.reshape(x, (2, -1))),
        case(lambda m, x: m.reshape(x, ()), ((1, 1),)),
        case(lambda m, x: m.reshape(x, (2, 3), order="F"), ((3, 2),), ((2, 3, 1),)),
        case(lambda m, x: m.reshape(x, -1, order="A"), ((3, 2),)),
        case(lambda m, x: m.reshape(x, (6,), copy=True), ((3, 2),)),
        scalar=True,
    ),
    entry(
        "np.ravel",
        case(lambda m, x: m.ravel(x), ((2, 3),), ((),), ((2, 1, 3),), torch=lambda T, x: T.ravel(x)),
        case(lambda m, x: m.ravel(x, order="F"), ((2, 3),), ((2, 3, 2),)),
        scalar=True,
    ),
    entry(
        "np.transpose",
        case(lambda m, x: m.transpose(x), ((2, 3),), ((2, 3, 4),), ((3,),), ((),), torch=lambda T, x: T.permute(x, tuple(range(x.ndim)[::-1]))),
        case(lambda m, x: m.transpose(x, (2, 0, 1)), ((2, 3, 4),), torch=lambda T, x: T.permute(x, (2, 0, 1))),
        case(lambda m, x: m.transpose(x, axes=[-1, 0, -2]), ((2, 3, 4),)),
        also=["np.permute_dims"],
        scalar=True,
    ),
    entry(
        "np.matrix_transpose", shapes=(((2, 3),), ((2, 3, 4),)), scalar=True,
        torch=lambda T, x: T.swapaxes(x, -1, -2),
    ),
    entry(
        "np.moveaxis",
        case(lambda m, x: m.moveaxis(x, 0, -1), ((2, 3, 4),), ((3,),), torch=lambda T, x: T.moveaxis(x, 0, -1)),
        case(lambda m, x: m.moveaxis(x, [0, -1], [-1, 0]), ((2, 3, 4),), torch=lambda T, x: T.moveaxis(x, (0, -1), (-1, 0))),
        case(lambda m, x: m.moveaxis(x, (2, 0), (0, 1)), ((2, 3, 4, 1),), torch=lambda T, x: T.moveaxis(x, (2, 0), (0, 1))),
        scalar=True,
    ),
    entry(
        "np.swapaxes",
        case(lambda m, x: m.swapaxes(x, 0, -1), ((2, 3, 4),), torch=lambda T, x: T.swapaxes(x, 0, -1)),
        case(lambda m, x: m.swapaxes(x, axis1=1, axis2=1), ((2, 3),)),
        scalar=True,
    ),
    entry(
        "np.rollaxis",
        case(lambda m, x: m.rollaxis(x, 2), ((2, 3, 4),)),
        case(lambda m, x: m.rollaxis(x, 0, 3), ((2, 3, 4),)),
        case(lambda m, x: m.rollaxis(x, -1, start=-2), ((2, 3, 4),)),
        case(lambda m, x: m.rollaxis(x, 1, 1), ((2, 3, 4),)),
        scalar=True,
    ),
    entry(
        "np.squeeze",
        case(lambda m, x: m.squeeze(x), ((1, 3, 1),), ((2, 3),), ((1,),), torch=lambda T, x: T.squeeze(x)),
        case(lambda m, x: m.squeeze(x, axis=-1), ((1, 3, 1),), torch=lambda T, x: T.squeeze(x, -1)),
        case(lambda m, x: m.squeeze(x, axis=(0, 2)), ((1, 3, 1),), torch=lambda T, x: T.squeeze(x, (0, 2))),
        scalar=True,
    ),
    entry(
        "np.expand_dims",
        case(lambda m, x: m.expand_dims(x, 1), ((2, 3),), ((3,),), torch=lambda T, x: T.unsqueeze(x, 1)),
        case(lambda m, x: m.expand_dims(x, axis=(0, -1)), ((2, 3),), ((),)),
        scalar=True,
    ),
    entry("np.atleast_1d", shapes=(((),), ((3,),), ((2, 3),), ((), (3,))), scalar=True, torch="atleast_1d"),
    entry("np.atleast_2d", shapes=(((),), ((3,),), ((2, 3),), ((2, 1, 3), (3,))), scalar=True, torch="atleast_2d"),
    entry("np.atleast_3d", shapes=(((),), ((3,),), ((2, 3),), ((2, 1, 3), ())), scalar=True, torch="atleast_3d"),
    entry(
        "np.broadcast_to",
        case(lambda m, x: m.broadcast_to(x, (4, 2, 3)), ((2, 1),), ((3,),), ((),), ((4, 2, 3),), torch=lambda T, x: T.broadcast_to(x, (4, 2, 3))),
        case(lambda m, x: m.broadcast_to(x, shape=3), ((1,),)),
        scalar=True,
    ),
    entry(
        "np.broadcast_arrays",
        case(lambda m, *xs: m.broadcast_arrays(*xs), ((2, 1), (3,)), ((3,),), ((), (2, 3), (1, 1)), torch=lambda T, *xs: T.broadcast_tensors(*xs)),
        scalar=True,
    ),
    entry(
        "np.flip",
        case(lambda m, x: m.flip(x), ((3,),), ((2, 3),), torch=lambda T, x: T.flip(x, tuple(range(x.ndim)))),
        case(lambda m, x: m.flip(x, axis=-1), ((2, 3),), torch=lambda T, x: T.flip(x, (-1,))),
        case(lambda m, x: m.flip(x, (0, -1)), ((2, 3, 2),), torch=lambda T, x: T.flip(x, (0, -1))),
        scalar=True,
    ),
    entry("np.fliplr", shapes=(((2, 3),), ((2, 3, 2),)), scalar=True, torch="fliplr"),
    entry("np.flipud", shapes=(((3,),), ((2, 3),)), scalar=True, torch="flipud"),
    entry(
        "np.rot90",
        case(lambda m, x: m.rot90(x), ((2, 3),), ((2, 3, 2),), torch=lambda T, x: T.rot90(x)),
        case(lambda m, x: m.rot90(x, 2), ((2, 3),), torch=lambda T, x: T.rot90(x, 2)),
        case(lambda m, x: m.rot90(x, k=-1, axes=(1, 2)), ((2, 3, 4),), torch=lambda T, x: T.rot90(x, -1, (1, 2))),
        case(lambda m, x: m.rot90(x, 7, (2, 0)), ((2, 3, 4),), torch=lambda T, x: T.rot90(x, 7, (2, 0))),
        scalar=True,
    ),
    entry(
        "np.roll",
        case(lambda m, x: m.roll(x, 2), ((3,),), ((2, 3),), torch=lambda T, x: T.roll(x, 2)),
        case(lambda m, x: m.roll(x, -1, axis=1), ((2, 3),), torch=lambda T, x: T.roll(x, -1, 1)),
        case(lambda m, x: m.roll(x, (1, -2), axis=(0, -1)), ((3, 4),), torch=lambda T, x: T.roll(x, (1, -2), (0, -1))),
        case(lambda m, x: m.roll(x, 1, axis=(0, 1)), ((3, 4),)),
        case(lambda m, x: m.roll(x, (1, 2), axis=0), ((4, 3),)),
        scalar=True,
    ),
    entry("np.copy", torch="clone", scalar=True),
    # ------------------------------------------------------------------------------------------------------- joining
    entry(
        "np.concatenate",
        case(lambda m, x, y: m.concatenate([x, y]), ((2, 3), (1, 3)), ((3,), (2,)), torch=lambda T, x, y: T.cat([x, y])),
        case(lambda m, x, y: m.concatenate((x, y, x), axis=-1), ((2, 3), (2, 1)), torch=lambda T, x, y: T.cat((x, y, x), -1)),
        case(lambda m, x, y: m.concatenate([x, y], axis=None), ((2, 3), (4,)), ((), (2, 1))),
        case(lambda m, x: m.concatenate(x, 1), ((2, 3, 2),)),
        scalar=True,
    ),
    entry(
        "np.stack",
        case(lambda m, x, y: m.stack([x, y]), ((2, 3), (2, 3)), ((), ()), torch=lambda T, x, y: T.stack([x, y])),
        case(lambda m, x, y: m.stack([x, y, x], axis=-1), ((2, 3), (2, 3)), torch=lambda T, x, y: T.stack([x, y, x], -1)),
        case(lambda m, x, y: m.stack((x, y), 1), ((3,), (3,)), torch=lambda T, x, y: T.stack([x, y], 1)),
        scalar=True,
    ),
    entry(
        "np.vstack",
        case(lambda m, *xs: m.vstack(xs), ((3,), (3,)), ((3,), (2, 3)), ((), ()), ((2, 3, 1), (1, 3, 1)), torch=lambda T, *xs: T.vstack(xs)),
        scalar=True,
    ),
    entry(
        "np.hstack",
        case(lambda m, *xs: m.hstack(xs), ((3,), (2,)), ((), (2,)), ((2, 3), (2, 1)), ((2, 3, 1), (2, 1, 1)), torch=lambda T, *xs: T.hstack(xs)),
        scalar=True,
    ),
    entry(
        "np.dstack",
        case(lambda m, *xs: m.dstack(xs), ((3,), (3,)), ((), ()), ((2, 3), (2, 3, 2)), ((1, 3), (3,)), torch=lambda T, *xs: T.dstack(xs)),
        scalar=True,
    ),
    entry(
        "np.column_stack",
        case(lambda m, *xs: m.column_stack(xs), ((3,), (3,)), ((3,), (3, 2)), ((), ()), torch=lambda T, *xs: T.column_stack(xs)),
        scalar=True,
    ),
    entry(
        "np.append",
        case(lambda m, x, y: m.append(x, y), ((3,), (2,)), ((2, 3), ()), ((), (2, 2))),
        case(lambda m, x, y: m.append(x, y, axis=1), ((2, 3), (2, 1))),
        case(lambda m, x: m.append(x, [1.0, 2.0]), ((3,),)),
        scalar=True,
    ),
    entry(
        "np.block",
        case(lambda m, x, y: m.block([[x, y], [y, x]]), ((2, 3), (2, 3)), ((), ())),
        case(lambda m, x, y: m.block([x, y, x]), ((2, 3), (2, 1)), ((3,), ()), ((2, 3), (2, 1))),
        case(lambda m, x, y: m.block([[x], [y]]), ((2, 3), (3,))),
        case(lambda m, x, y: m.block([[[x], [y]]]), ((1, 2, 3), (2, 3))),
        case(lambda m, x: m.block([[x, 2.0], [np.array([1.0, 2.0, 3.0]), 0.5]]), ((1, 3),)),
        case(lambda m, x: m.block(x), ((2, 3),)),
        scalar=True,
    ),
    # ------------------------------------------------------------------------------------------------------ splitting
    entry(
        "np.split",
        case(lambda m, x: _bent(m, m.split(x, 3, axis=-1)), ((2, 6),), torch=lambda T, x: _bent(T, T.tensor_split(x, 3, -1))),
        case(lambda m, x: _bent(m, m.split(x, [1, 3])), ((5, 3),), torch=lambda T, x: _bent(T, T.tensor_split(x, [1, 3]))),
        case(lambda m, x: _bent(m, m.split(x, [2, 1, -1, 9])), ((4,),)),
        scalar=True,
    ),
    entry(
        "np.array_split",
        case(lambda m, x: _bent(m, m.array_split(x, 3)), ((5,),), ((2, 3),), torch=lambda T, x: _bent(T, T.tensor_split(x, 3))),
        case(lambda m, x: _bent(m, m.array_split(x, [1, 2], axis=1)), ((2, 3),), torch=lambda T, x: _bent(T, T.tensor_split(x, [1, 2], 1))),
        scalar=True,
    ),
    entry("np.vsplit", case(lambda m, x: _bent(m, m.vsplit(x, 2)), ((4, 3),), ((2, 3, 2),), torch=lambda T, x: _bent(T, T.vsplit(x, 2))), scalar=True),
    entry("np.hsplit", case(lambda m, x: _bent(m, m.hsplit(x, 2)), ((4,),), ((2, 4),), torch=lambda T, x: _bent(T, T.hsplit(x, 2))), scalar=True),
    entry("np.dsplit", case(lambda m, x: _bent(m, m.dsplit(x, [1])), ((2, 1, 3),), torch=lambda T, x: _bent(T, T.dsplit(x, [1]))), scalar=True),
    entry(
        "np.unstack",
        case(lambda m, x: _bent(m, m.unstack(x)), ((3,), ), ((2, 3),), torch=lambda T, x: _bent(T, T.unbind(x))),
        case(lambda m, x: _bent(m, m.unstack(x, axis=-1)), ((2, 3),), torch=lambda T, x: _bent(T, T.unbind(x, -1))),
        scalar=True,
    ),
    # ------------------------------------------------------------------------------------------------------ repeating
    entry(
        "np.tile",
        case(lambda m, x: m.tile(x, 2), ((3,),), ((2, 3),), ((),), torch=lambda T, x: T.tile(x, (2,))),
        case(lambda m, x: m.tile(x, (2, 1, 3)), ((2, 2),), ((3,),), ((2, 1, 2),), torch=lambda T, x: T.tile(x, (2, 1, 3))),
        case(lambda m, x: m.tile(x, [2]), ((2, 1, 3),)),
        case(lambda m, x: m.tile(x, (2, 0)), ((3,),)),
        scalar=True,
    ),
    entry(
        "np.repeat",
        case(lambda m, x: m.repeat(x, 2), ((3,),), ((2, 3),), ((),), torch=lambda T, x: T.repeat_interleave(x, 2)),
        case(lambda m, x: m.repeat(x, 3, axis=-1), ((2, 3),), ((2, 1, 2),), torch=lambda T, x: T.repeat_interleave(x, 3, -1)),
        case(lambda m, x: m.repeat(x, [2, 0, 3], axis=1), ((2, 3),), ((1, 3, 2),), torch=lambda T, x: T.repeat_interleave(x, T.tensor([2, 0, 3]), 1)),
        case(lambda m, x: m.repeat(x, [0, 1, 0, 2]), ((2, 2),)),
        case(lambda m, x: m.repeat(x, 0, axis=0), ((2, 3),)),
        case(lambda m, x: m.repeat(x, [2], axis=0), ((2, 3),)),
        scalar=True,
    ),
    entry(
        "np.meshgrid",
        case(lambda m, *xs: m.meshgrid(*xs), ((3,), (2,)), ((3,),), ((3,), (2,), (2,)), ((), (2,)), torch=lambda T, *xs: T.meshgrid(*[T.atleast_1d(x) for x in xs], indexing="xy") if len(xs) > 1 else xs),
        case(lambda m, *xs: m.meshgrid(*xs, indexing="ij"), ((3,), (2,)), ((3,), (2,), (1,)), torch=lambda T, *xs: T.meshgrid(*xs, indexing="ij")),
        case(lambda m, *xs: m.meshgrid(*xs, sparse=True), ((3,), (2,))),
        case(lambda m, *xs: m.meshgrid(*xs, copy=False, indexing="ij"), ((3,), (2, 2))),
        scalar=True,
    ),
    entry(
        "np.pad",
        case(lambda m, x: m.pad(x, 1), ((3,),), ((2, 3),), torch=lambda T, x: T.nn.functional.pad(x, (1, 1) * x.ndim), scalar=True),
        case(lambda m, x: m.pad(x, ((1, 0), (0, 2)), constant_values=3.0), ((2, 3),)),
        case(lambda m, x: m.pad(x, {-1: (2, 1)}, constant_values=((1.0, 2.0), (3.0, 4.0))), ((2, 3),)),
        case(lambda m, x: m.pad(x, (2, 1), mode="edge"), ((2, 3),), ((3,),)),
        case(lambda m, x: m.pad(x, ((1, 1), (2, 2)), mode="reflect"), ((3, 3),), torch=lambda T, x: T.nn.functional.pad(x[None, None], (2, 2, 1, 1), "reflect")[0, 0]),
        case(lambda m, x: m.pad(x, 7, mode="reflect"), ((3,),)),
        case(lambda m, x: m.pad(x, 2, mode="symmetric"), ((3, 2),)),
        case(lambda m, x: m.pad(x, (5, 2), mode="wrap"), ((3, 2),)),
        case(lambda m, x: m.pad(x, 2, mode="reflect", reflect_type="odd"), ((3,),), ((3, 4),)),
        case(lambda m, x: m.pad(x, (5, 7), mode="reflect", reflect_type="odd"), ((3,),)),
        case(lambda m, x: m.pad(x, (5, 9), mode="symmetric", reflect_type="odd"), ((3,),), ((2, 3),)),
        case(lambda m, x: m.pad(x, (2, 3), mode="linear_ramp"), ((3,),), ((2, 3),)),
        case(lambda m, x: m.pad(x, ((1, 2), (3, 0)), mode="linear_ramp", end_values=((5.0, -4.0),)), ((2, 3),)),
        *[
            case(lambda m, x, mode=mode: m.pad(x, ((1, 2), (0, 1)), mode=mode), ((4, 3),))
            for mode in ("mean", "maximum", "minimum", "median")
        ],
        *[
            case(lambda m, x, mode=mode: m.pad(x, ((1, 2), (0, 1)), mode=mode, stat_length=((2, 3),)), ((4, 3),))
            for mode in ("mean", "maximum", "minimum", "median")
        ],
        exact=False,  # linear_ramp, mean and odd reflections: to rounding
    ),
]  # fmt: skip
