"""Indexing, selection and sorting: what the catalogue says of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.catalogue.entry import Entry, case, entry

__all__ = ["ENTRIES"]

_I = np.array([[0, 2], [1, 0]])
_MASK = np.array([[True, False, True], [False, False, True]])


def _at(index: Any) -> Any:
    """x[index], as a call and in PyTorch."""
    return lambda m, x: x[index]


def _into(x: Any, m: Any, write: Any) -> Any:
    """A copy of x after ``write(copy)``."""
    y = m.copy(x)
    write(y)
    return y


def _assigned(index: Any) -> Any:
    """A copy of x with copy[index] = v."""
    return lambda m, x, v: _into(x, m, lambda y: y.__setitem__(index, v))


def _in_torch(index: Any) -> Any:
    return lambda T, x: x[index]


_BASIC: list[Any] = [
    (1, ((3,),), ((2, 3),)),
    ((-1, 0), ((2, 3),)),
    (slice(1, None), ((4, 3),)),
    ((Ellipsis, None, 1), ((2, 3, 2),)),
    ((), ((2, 3),)),
    (Ellipsis, ((),)),
    ((None, slice(None), None, 0), ((2, 3),)),
    (np.int64(1), ((3, 2),)),
]
_ADVANCED: list[Any] = [
    (_I, ((3, 2),)),
    ([0, 0, 1], ((2, 3),)),
    ((np.array([0, 1, 0]), np.array([2, 1, 2])), ((2, 3),)),
    ((np.array([0, 1]), slice(None), np.array([1, 1])), ((2, 3, 2),)),
    ((slice(None), np.array([1, 1]), None, np.array([[0], [1]])), ((2, 2, 2),)),
    (_MASK, ((2, 3),), ((2, 3, 2),)),
    (_MASK[:, 0], ((2, 3),)),
    ((slice(None), _MASK[0]), ((2, 3),)),
    ((_MASK[:, 0], [1]), ((2, 3),)),
    ((slice(1, None), [0, 0, 2]), ((3, 3),)),
    ((-1, _MASK), ((2, 2, 3),)),
    (([[0], [1]], [2, 0]), ((2, 3),)),
]

ENTRIES: list[Entry] = [
    entry(
        "tt.getitem",
        *[case(_at(index), *shapes, torch=_in_torch(index)) for index, *shapes in _BASIC],
        *[case(_at(index), *shapes, torch=_in_torch(index)) for index, *shapes in _ADVANCED],
        case(_at((0, slice(None), [1, 1])), ((2, 3, 2),)),  # a number and an array: PyTorch puts the axes elsewhere
        case(_at(slice(None, None, -2)), ((5,),)),
        case(_at((slice(2, 0, -1), None, slice(None, None, -1))), ((3, 4),)),
        case(_at([]), ((3,),)),
        case(_at((slice(None), [])), ((2, 3),)),
        case(_at(np.array(True)), ((3,),)),
        case(_at((True, None, 1)), ((3,),)),
        case(_at(False), ((2,),)),
        case(_at(np.ix_([1, 0, 1], [2, 0])), ((2, 3),)),
        case(lambda m, x: x[x > 0], ((2, 3),)),
        case(lambda m, x: x[m.argsort(x)], ((4,),)),
        case(lambda m, x: m.getitem(x, (0, [1, 1])) if hasattr(m, "getitem") else x[0, [1, 1]], ((2, 3),)),
        scalar=True,
    ),
    entry(
        "tt.setitem",
        case(_assigned(1), ((2, 3), (3,)), ((2, 3), ())),
        case(_assigned(np.s_[:, 1:]), ((2, 3), (2, 1)), ((2, 3), (2,))),
        case(_assigned(...), ((2, 3), ()), ((2, 3), (1, 2, 3)), ((), ())),
        case(_assigned(_MASK), ((2, 3), (3,)), ((2, 3), ())),
        case(_assigned((slice(None), _MASK[0])), ((2, 3), (2, 1))),
        case(_assigned(np.array([2, 0, 2])), ((4, 3), (3, 3))),
        case(_assigned(([0, 1, 0], [2, 1, 2])), ((2, 3), (3,))),
        case(_assigned((slice(None, None, -1), None, [1, 0])), ((2, 3), (2, 1, 2))),
        case(_assigned(np.ix_([1, 0], [2, 0])), ((2, 3), (2, 2)), ((2, 3), (2,))),
        case(_assigned([]), ((3,), ())),
        case(lambda m, x: _into(x, m, lambda y: y.__setitem__(0, 2.5)), ((2, 3),)),
        case(lambda m, x, v: _into(x, m, lambda y: y.__setitem__(0, y[0] * v)), ((2, 3), (3,))),
        case(lambda m, x, v: _into(x, m, lambda y: y.__setitem__(y > 0, y[y > 0] * v)), ((2, 3), ())),
        kinks="the last of several writes into one element counts",
        scalar=True,
    ),
    entry(
        "tt.scatter",
        case(lambda m, x: m.scatter(x, _I, (3,)), ((2, 2),)),
        case(lambda m, x: m.scatter(x, (slice(None), [0, 0, 2]), (2, 3)), ((2, 3),)),
        case(lambda m, x: m.scatter(x, np.s_[1:, 0], (3, 2)), ((2,),)),
    ),
    entry(
        "np.take",
        case(lambda m, x: m.take(x, [1, 1, 0]), ((2, 3),), ((3,),), torch=lambda T, x: T.take(x, T.tensor([1, 1, 0]))),
        case(lambda m, x: m.take(x, _I, axis=-1), ((2, 3),), ((3,),)),
        case(lambda m, x: m.take(x, [1, 0, 1], 0), ((2, 3),), torch=lambda T, x: T.index_select(x, 0, T.tensor([1, 0, 1]))),
        case(lambda m, x: m.take(x, 1, axis=0), ((2, 3),)),
        case(lambda m, x: m.take(x, [-1, 0], axis=1), ((2, 3, 2),)),
        case(lambda m, x: m.take(x, [-9, 1, 7], axis=1, mode="clip"), ((2, 3),)),
        case(lambda m, x: m.take(x, [-9, 1, 7], mode="wrap"), ((2, 3),)),
        case(lambda m, x: m.take(x, np.array([], int), axis=1), ((2, 3),)),
        scalar=True,
    ),
    entry(
        "np.take_along_axis",
        case(lambda m, x: m.take_along_axis(x, np.array([[2, 0, 0], [1, 1, 1]]), axis=1), ((2, 3),), torch=lambda T, x: T.take_along_dim(x, T.tensor([[2, 0, 0], [1, 1, 1]]), 1)),
        case(lambda m, x: m.take_along_axis(x, np.array([[1, 0, 1]]), axis=0), ((2, 3),)),
        case(lambda m, x: m.take_along_axis(x, np.array([5, 0, 5]), axis=None), ((2, 3),)),
        case(lambda m, x: m.take_along_axis(x, m.argsort(x, axis=-1), axis=-1), ((2, 3, 2),)),
        scalar=True,
    ),
    entry(
        "np.compress",
        case(lambda m, x: m.compress([False, True, True], x), ((3,),), ((2, 3),)),
        case(lambda m, x: m.compress([False, True], x, axis=-1), ((2, 3),)),
        case(lambda m, x: m.compress([True, False], x, axis=0), ((2, 3),)),
        scalar=True,
    ),
    entry(
        "np.extract",
        case(lambda m, x: m.extract(x > 0, x), ((3,),), ((2, 3),)),
        case(lambda m, x: m.extract(_MASK, x), ((2, 3),)),
        scalar=True,
    ),
    entry(
        "np.choose",
        case(lambda m, x, y: m.choose([0, 1, 1], [x, y]), ((3,), (3,)), ((), (3,))),
        case(lambda m, x, y: m.choose([[0, 1, 1]], (x, y)), ((3,), (2, 1)), ((2, 3), ())),
        case(lambda m, x, y: m.choose([-1, 0, 5], [x, y], mode="clip"), ((3,), (3,))),
        case(lambda m, x, y: m.choose([-1, 0, 5], [x, y], mode="wrap"), ((3,), (3,))),
        case(lambda m, x: m.choose([0, 1, 0], x), ((2, 3),)),
        scalar=True,
    ),
    # ------------------------------------------------------------------------------------------------- written in place
    entry(
        "np.put",
        case(lambda m, x, v: _into(x, m, lambda y: m.put(y, [0, -1], v)), ((2, 3), (2,)), ((3,), ()), ((2, 3), (3,))),
        case(lambda m, x, v: _into(x, m, lambda y: m.put(y, [[0, 7], [3, -9]], v, mode="clip")), ((2, 3), (2, 2))),
        case(lambda m, x, v: _into(x, m, lambda y: m.put(y, [0, 7, -8], v, mode="wrap")), ((2, 3), (2,))),
    ),
    entry("np.place", case(lambda m, x, v: _into(x, m, lambda y: m.place(y, _MASK, v)), ((2, 3), (3,)), ((2, 3), (2,)), ((2, 3), ()))),
    entry("np.putmask", case(lambda m, x, v: _into(x, m, lambda y: m.putmask(y, _MASK, v)), ((2, 3), (2, 3)), ((2, 3), (2,)), ((2, 3), ()))),
    entry(
        "np.copyto",
        case(lambda m, x, v: _into(x, m, lambda y: m.copyto(y, v)), ((2, 3), (3,)), ((2, 3), ())),
        case(lambda m, x, v: _into(x, m, lambda y: m.copyto(y, v, where=_MASK)), ((2, 3), (3,)), ((2, 3), (2, 1))),
    ),
    entry(
        "np.fill_diagonal",
        case(lambda m, x, v: _into(x, m, lambda y: m.fill_diagonal(y, v)), ((2, 2), ()), ((3, 3), (2,)), ((2, 4), (2,)), ((5, 2), ()), ((2, 2, 2), (2,))),
        case(lambda m, x, v: _into(x, m, lambda y: m.fill_diagonal(y, v, wrap=True)), ((5, 2), (4,)), ((3, 3), ())),
        case(lambda m, x: _into(x, m, lambda y: m.fill_diagonal(y, 5.0)), ((3, 3),)),
    ),
    entry(
        "np.put_along_axis",
        case(lambda m, x, v: _into(x, m, lambda y: m.put_along_axis(y, np.array([[2, 0], [1, 0]]), v, axis=1)), ((2, 3), (2, 2)), ((2, 3), ())),
        case(lambda m, x, v: _into(x, m, lambda y: m.put_along_axis(y, np.array([5, 0]), v, None)), ((2, 3), (2,))),
    ),
    # -------------------------------------------------------------------------------------------------------- diagonals
    entry(
        "np.tril",
        case(lambda m, x: m.tril(x), ((3, 3),), ((2, 3),), ((2, 3, 2),), torch=lambda T, x: T.tril(x)),
        case(lambda m, x: m.tril(x, k=-1), ((3, 3),), ((3, 2),), torch=lambda T, x: T.tril(x, -1)),
        case(lambda m, x: m.tril(x, 1), ((3,),)),
        scalar=True,
    ),
    entry(
        "np.triu",
        case(lambda m, x: m.triu(x), ((3, 3),), ((2, 3),), ((2, 3, 2),), torch=lambda T, x: T.triu(x)),
        case(lambda m, x: m.triu(x, k=1), ((3, 3),), ((3, 2),), torch=lambda T, x: T.triu(x, 1)),
        case(lambda m, x: m.triu(x), ((3,),)),
        scalar=True,
    ),
    entry(
        "np.diag",
        case(lambda m, x: m.diag(x), ((3,),), ((3, 3),), ((2, 3),), ((3, 2),), torch=lambda T, x: T.diag(x)),
        case(lambda m, x: m.diag(x, k=1), ((3,),), ((3, 3),), ((2, 3),), torch=lambda T, x: T.diag(x, 1)),
        case(lambda m, x: m.diag(x, -2), ((2,),), ((3, 3),), torch=lambda T, x: T.diag(x, -2)),
        case(lambda m, x: m.diag(x, 5), ((3, 3),)),
        scalar=True,
    ),
    entry(
        "np.diagonal",
        case(lambda m, x: m.diagonal(x), ((3, 3),), ((2, 3),), ((2, 3, 4),), torch=lambda T, x: T.diagonal(x)),
        case(lambda m, x: m.diagonal(x, offset=-1, axis1=-1, axis2=0), ((2, 3, 3),), torch=lambda T, x: T.diagonal(x, -1, -1, 0)),
        case(lambda m, x: m.diagonal(x, 1, 1, 2), ((2, 3, 3),), torch=lambda T, x: T.diagonal(x, 1, 1, 2)),
        scalar=True,
    ),
    entry(
        "np.diagflat",
        case(lambda m, x: m.diagflat(x), ((3,),), ((2, 2),), ((),), torch=lambda T, x: T.diagflat(x)),
        case(lambda m, x: m.diagflat(x, k=-1), ((3,),), torch=lambda T, x: T.diagflat(x, -1)),
        scalar=True,
    ),
    entry(
        "tt.make_diagonal",
        case(lambda m, x: m.make_diagonal(x), ((3,),), ((2, 3),), torch=lambda T, x: T.diag_embed(x)),
        case(lambda m, x: m.make_diagonal(x, offset=-1, axis1=0, axis2=2), ((2, 3),), torch=lambda T, x: T.diag_embed(x, -1, 0, 2)),
        case(lambda m, x: m.make_diagonal(x, 1, 0, 1, (2, 4)), ((2,),)),
    ),
    # ------------------------------------------------------------------------------------------------------------- sorting
    entry(
        "np.sort",
        case(lambda m, x: m.sort(x), ((3,),), ((2, 3),), ((2, 3, 2),), torch=lambda T, x: T.sort(x)[0]),
        case(lambda m, x: m.sort(x, axis=0), ((4, 3),), torch=lambda T, x: T.sort(x, 0)[0]),
        case(lambda m, x: m.sort(x, axis=None, kind="stable"), ((2, 3),)),
        case(lambda m, x: m.sort(x, 1, stable=True), ((2, 3, 2),)),
        kinks="equal elements: each its own, in their order",
        scalar=True,
    ),
    entry(
        "np.partition",  # NumPy does not say in which order the elements on either side are
        case(lambda m, x: m.partition(x, 2)[2] * m.sort(m.partition(x, 2)[:2]), ((5,),)),
        case(lambda m, x: m.sort(m.partition(x, [0, 2], axis=0)[:, 1]), ((4, 2),)),
        case(lambda m, x: m.sort(m.partition(x, -1, axis=None)), ((2, 3),)),
        kinks="equal elements: each its own",
        scalar=True,
    ),
    entry("np.argsort", case(lambda m, x: m.argsort(x), ((3,),), ((2, 3),)), case(lambda m, x: m.argsort(x, axis=0, kind="stable"), ((2, 3),)), order=0),
    entry("np.argpartition", case(lambda m, x: m.argpartition(x, 1), ((3,),), ((2, 3),)), order=0),
    entry("np.lexsort", case(lambda m, x: m.lexsort((x[0], x[1])), ((2, 3),)), case(lambda m, x: m.lexsort(x), ((2, 3),)), order=0),
    entry("np.searchsorted", case(lambda m, x: m.searchsorted([-1.0, 0.0, 1.0], x), ((3,),), ((2, 3),)), case(lambda m, x: m.searchsorted(m.sort(x), 0.0, side="right"), ((3,),)), order=0),
    entry("np.digitize", case(lambda m, x: m.digitize(x, [-1.0, 0.0, 1.0]), ((3,),), ((2, 3),)), case(lambda m, x: m.digitize(x, bins=[0.0], right=True), ((3,),)), order=0),
    entry("np.unique", case(lambda m, x: m.unique(x), ((3,),), ((2, 3),)), case(lambda m, x: m.unique(x, return_index=True, return_inverse=True, return_counts=True), ((2, 3),)), order=0, kinks="values without gradient"),
    entry("np.nonzero", case(lambda m, x: m.nonzero(x > 0), ((3,),), ((2, 3),)), order=0),
    entry("np.flatnonzero", case(lambda m, x: m.flatnonzero(x > 0), ((3,),), ((2, 3),)), order=0),
    entry("np.argwhere", case(lambda m, x: m.argwhere(x > 0), ((3,),), ((2, 3),)), order=0),
    entry("np.ix_", case(lambda m, x: m.ix_(m.argsort(x), m.argsort(x)), ((3,),)), order=0),
    entry("np.tril_indices_from", case(lambda m, x: m.tril_indices_from(x), ((2, 3),)), case(lambda m, x: m.tril_indices_from(x, k=1), ((3, 3),)), order=0),
    entry("np.triu_indices_from", case(lambda m, x: m.triu_indices_from(x), ((2, 3),)), case(lambda m, x: m.triu_indices_from(x, k=1), ((3, 3),)), order=0),
    # ------------------------------------------------------------------------------------ inserting, deleting, windows
    entry(
        "np.delete",
        case(lambda m, x: m.delete(x, 1), ((3,),), ((2, 3),)),
        case(lambda m, x: m.delete(x, [0, -1], axis=-1), ((2, 3),)),
        case(lambda m, x: m.delete(x, slice(None, None, 2), axis=0), ((4, 3),)),
        case(lambda m, x: m.delete(x, _MASK[0], 1), ((2, 3),)),
        case(lambda m, x: m.delete(x, [], axis=0), ((2, 3),)),
        scalar=True,
    ),
    entry(
        "np.insert",
        case(lambda m, x, v: m.insert(x, 1, v), ((3,), ()), ((3,), (2,)), ((2, 3), (2,))),
        case(lambda m, x, v: m.insert(x, -1, v, axis=0), ((2, 3), (3,)), ((2, 3), ()), ((2, 3), (4, 3))),
        case(lambda m, x, v: m.insert(x, 1, v, axis=1), ((2, 3), (2,)), ((2, 3), ())),
        case(lambda m, x, v: m.insert(x, [1], v, axis=1), ((2, 3), (2, 1)), ((2, 3), (2, 4)), ((2, 3), ())),
        case(lambda m, x, v: m.insert(x, [2, 0, 2, -1], v), ((3,), (4,)), ((3,), ()), ((2, 2), (4,))),
        case(lambda m, x, v: m.insert(x, [3, 0], v, axis=-1), ((2, 3), (2, 2)), ((2, 3), (2, 1))),
        case(lambda m, x, v: m.insert(x, slice(0, 3, 2), v, axis=1), ((2, 3), (2,))),
        case(lambda m, x, v: m.insert(x, _MASK[0], v), ((3,), (2,))),
        case(lambda m, x, v: m.insert(x, [], v), ((3,), ())),
        scalar=True,
    ),
    entry(
        "np.resize",
        case(lambda m, x: m.resize(x, 5), ((3,),), ((2, 1),)),
        case(lambda m, x: m.resize(x, (2, 2)), ((2, 3),), ((),), ((2,),)),
        case(lambda m, x: m.resize(x, (0, 3)), ((3,),)),
        scalar=True,
    ),
    entry(
        "np.trim_zeros",
        case(lambda m, x: m.trim_zeros(m.where(x > -0.5, x, 0.0)), ((5,),), ((3,),)),
        case(lambda m, x: m.trim_zeros(m.concatenate([[0.0, 0.0], x, [0.0]]), "f"), ((3,),)),
        case(lambda m, x: m.trim_zeros(m.concatenate([[0.0, 0.0], x, [0.0]]), trim="b"), ((3,),)),
        case(lambda m, x: m.trim_zeros(x * 0), ((3,),)),
    ),
    entry(
        "np.lib.stride_tricks.sliding_window_view",
        case(lambda m, x: m.sliding_window_view(x, 2), ((4,),), ((2,),), torch=lambda T, x: x.unfold(0, 2, 1)),
        case(lambda m, x: m.sliding_window_view(x, 5), ((6,),)),
        case(lambda m, x: m.sliding_window_view(x, (2, 3)), ((4, 4),), torch=lambda T, x: x.unfold(0, 2, 1).unfold(1, 3, 1)),
        case(lambda m, x: m.sliding_window_view(x, 2, axis=-1), ((2, 3),), torch=lambda T, x: x.unfold(-1, 2, 1)),
        case(lambda m, x: m.sliding_window_view(x, (2, 2), axis=(0, 0)), ((5, 2),)),
        scalar=True,
    ),
]  # fmt: skip
