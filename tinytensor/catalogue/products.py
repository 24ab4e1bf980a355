"""Products of vectors, matrices and higher arrays, and polynomials: what the catalogue says of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.catalogue.entry import Case, Entry, Shape, case, entry

__all__ = ["ENTRIES"]

MATMUL: tuple[tuple[Shape, ...], ...] = (
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (4, 3, 2)), ((3,), (4, 3, 2)), ((4, 2, 3), (3,)), ((1, 2, 3), (4, 3, 2)), ((2, 1), (1, 3)),
)  # fmt: skip
DOT: tuple[tuple[Shape, ...], ...] = (
    ((3,), (3,)), ((2, 3), (3, 4)), ((2, 3), (3,)), ((2, 4, 3), (3,)), ((3,), (3, 2)), ((3,), (2, 3, 2)),
    ((2, 4, 3), (3, 2)), ((2, 2, 3), (4, 3, 2)), ((2, 3), (5, 3, 2)), ((), (3,)), ((2, 3), ()), ((), ()),
)  # fmt: skip
INNER: tuple[tuple[Shape, ...], ...] = (
    ((3,), (3,)), ((2, 3), (4, 3)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 4, 3), (5, 3)), ((3,), (2, 2, 3)),
    ((2, 2, 3), (4, 2, 3)), ((), (3,)), ((2, 3), ()), ((), ()),
)  # fmt: skip
FLAT: tuple[tuple[Shape, ...], ...] = (((3,), (2,)), ((2, 3), (2,)), ((), (3,)), ((2, 2), (2, 1, 3)))


def einsum(text: str, *shapes: Shape, torch: bool = True, **options: Any) -> Case:
    """``einsum(text, ...)`` on operands of these shapes."""
    return case(
        lambda m, *xs: m.einsum(text, *xs, **options),
        shapes,
        torch=(lambda T, *xs: T.einsum(text, *xs)) if torch else None,
        scalar=not options,
    )


ENTRIES: list[Entry] = [
    entry(
        "np.matmul",
        case(lambda m, x, y: m.matmul(x, y), *MATMUL),
        case(lambda m, x, y: x @ y, ((2, 3), (3, 4))),
        also=("np.linalg.matmul",),
        scalar=True,
        torch=lambda T, x, y: T.matmul(x, y),
    ),
    entry(
        "tt.linear",
        case(
            lambda m, x, w, b: m.linear(x, w, b),
            ((2, 3), (4, 3), (4,)),
            ((3,), (4, 3), (4,)),
            ((2, 2, 3), (1, 3), (1,)),
            torch=lambda T, x, w, b: T.nn.functional.linear(x, w, b),
        ),
        case(lambda m, x, w: m.linear(x, w), ((2, 3), (4, 3)), torch=lambda T, x, w: T.nn.functional.linear(x, w)),
        scalar=True,
    ),
    entry("np.dot", case(lambda m, x, y: m.dot(x, y), *DOT), scalar=True),
    entry("np.inner", case(lambda m, x, y: m.inner(x, y), *INNER), scalar=True, torch=lambda T, x, y: T.inner(x, y)),
    entry(
        "np.vdot",
        case(lambda m, x, y: m.vdot(x, y), ((3,), (3,)), torch=lambda T, x, y: T.vdot(x, y)),
        case(lambda m, x, y: m.vdot(x, y), ((2, 3), (2, 3)), ((2, 3), (3, 2)), ((2, 2), (4,)), ((), ())),
        scalar=True,
    ),
    entry(
        "np.outer",
        case(lambda m, x, y: m.outer(x, y), *FLAT, torch=lambda T, x, y: T.outer(x.reshape(-1), y.reshape(-1))),
        scalar=True,
    ),
    entry(
        "np.linalg.outer",
        case(lambda m, x, y: np.linalg.outer(x, y), ((3,), (2,))),
        torch=lambda T, x, y: T.outer(x, y),
    ),
    entry(
        "np.kron",
        case(
            lambda m, x, y: m.kron(x, y),
            ((2,), (3,)),
            ((2, 3), (3, 2)),
            ((2, 3), (2,)),
            ((2,), (3, 2)),
            ((2, 1, 2), (3, 2)),
            ((1, 3), (1, 2, 2)),
            torch=lambda T, x, y: T.kron(x, y),
        ),
        case(lambda m, x, y: m.kron(x, y), ((), (3,)), ((2, 3), ())),
    ),
    entry(
        "np.vecdot",
        case(
            lambda m, x, y: m.vecdot(x, y),
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((2, 3), (2, 3)),
            ((2, 1, 3), (4, 3)),
            torch=lambda T, x, y: T.linalg.vecdot(x, y),
        ),
        case(lambda m, x, y: m.vecdot(x, y, axis=0), ((3,), (3,)), ((3, 2), (3, 1)), ((3, 2, 2), (3, 1, 2))),
        case(lambda m, x, y: m.vecdot(x, y, axis=-2, keepdims=True), ((3, 2), (3, 2))),
        also=("np.linalg.vecdot",),
    ),
    entry(
        "np.matvec",
        case(
            lambda m, x, y: m.matvec(x, y), ((2, 3), (3,)), ((4, 2, 3), (3,)), ((2, 3), (4, 3)), ((5, 1, 2, 3), (4, 3))
        ),
        exact=False,
    ),
    entry(
        "np.vecmat",
        case(
            lambda m, x, y: m.vecmat(x, y), ((2,), (2, 3)), ((4, 2), (2, 3)), ((2,), (4, 2, 3)), ((5, 1, 2), (4, 2, 3))
        ),
        exact=False,
    ),
    entry(
        "np.cross",
        case(
            lambda m, x, y: m.cross(x, y),
            ((3,), (3,)),
            ((2, 3), (2, 3)),
            ((2, 1, 3), (4, 3)),
            torch=lambda T, x, y: T.linalg.cross(*T.broadcast_tensors(x, y)),
        ),
        case(lambda m, x, y: m.cross(x, y, axisa=0), ((3, 2), (2, 3)), ((3, 4), (5, 4, 3))),
        case(lambda m, x, y: m.cross(x, y, axisb=0, axisc=0), ((2, 3), (3, 2)), ((3,), (3, 2))),
        case(lambda m, x, y: m.cross(x, y, axis=1), ((2, 3, 2), (2, 3, 2))),
    ),
    entry(
        "np.linalg.cross",
        case(lambda m, x, y: np.linalg.cross(x, y), ((2, 3), (3,))),
        case(
            lambda m, x, y: np.linalg.cross(x, y, axis=0),
            ((3, 2), (3, 2)),
            torch=lambda T, x, y: T.linalg.cross(x, y, dim=0),
        ),
    ),
    entry(
        "np.tensordot",
        case(
            lambda m, x, y: m.tensordot(x, y),
            ((2, 3, 4), (3, 4, 2)),
            ((2, 3), (2, 3)),
            ((2, 3), (2, 3, 2)),
            torch=lambda T, x, y: T.tensordot(x, y),
        ),
        case(
            lambda m, x, y: m.tensordot(x, y, axes=0),
            ((2, 3), (2,)),
            ((), (3,)),
            torch=lambda T, x, y: T.tensordot(x, y, 0),
        ),
        case(
            lambda m, x, y: m.tensordot(x, y, 1),
            ((2, 3), (3, 4)),
            ((3,), (3, 2)),
            torch=lambda T, x, y: T.tensordot(x, y, 1),
        ),
        case(
            lambda m, x, y: m.tensordot(x, y, axes=([0, -1], [1, 0])),
            ((2, 3, 4), (4, 2, 3)),
            ((2, 5, 3, 4), (4, 2)),
            torch=lambda T, x, y: T.tensordot(x, y, ([0, -1], [1, 0])),
        ),
        case(
            lambda m, x, y: m.tensordot(x, y, axes=([2, 0, 1], [0, 1, 3])),
            ((2, 3, 4), (4, 2, 5, 3)),
            torch=lambda T, x, y: T.tensordot(x, y, ([2, 0, 1], [0, 1, 3])),
        ),
        case(lambda m, x, y: m.tensordot(x, y, axes=(1, 0)), ((2, 3), (3, 2))),
        also=("np.linalg.tensordot",),
        scalar=True,
    ),
    entry(
        "np.einsum",
        einsum("ij,jk->ik", (2, 3), (3, 4)),
        einsum("ij,jk", (2, 3), (3, 4)),
        einsum("ij,kj", (2, 3), (4, 3)),
        einsum("ba", (2, 3)),
        einsum("ii", (3, 3)),
        einsum("ii->i", (3, 3)),
        einsum("iij->j", (3, 3, 2)),
        einsum("iii->i", (2, 2, 2)),
        einsum("ij->", (2, 3)),
        einsum("ij->j", (2, 3)),
        einsum("i->i", (3,)),
        einsum("i,j->ij", (2,), (3,)),
        einsum("i,j->ji", (2,), (3,)),
        einsum("i,i,i->i", (3,), (3,), (3,)),
        einsum("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)),
        einsum(",i->i", (), (3,)),
        einsum("...ij,jk", (2, 2, 3), (3, 2)),
        einsum("...i,...i->...", (2, 1, 3), (4, 3)),
        einsum("...ij->...ji", (2, 2, 3)),
        einsum("i...,i...->...", (2, 3), (2, 3)),
        einsum("i...->...", (2, 3, 2)),
        einsum("...ii->...i", (2, 3, 3)),
        einsum("ij,k->k", (2, 3), (4,)),  # i and j are summed away in one operand alone
        einsum("ij,ij->ij", (1, 3), (2, 3)),  # an axis of length 1 is repeated
        einsum("ii,i->i", (1, 1), (3,), torch=False),
        einsum("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
        einsum("aab,b->a", (2, 2, 3), (3,)),
        einsum("ij , jk -> ik", (2, 3), (3, 4)),
        einsum("ij,jk,kl", (2, 3), (3, 4), (4, 2), optimize=True),
        einsum("ij,jk,kl->li", (2, 3), (3, 4), (4, 2), optimize="greedy"),
        einsum("ii,ij->j", (3, 3), (3, 2), optimize=True),
        case(
            lambda m, x, y: m.einsum(x, [0, 1], y, [1, 2], [0, 2]),
            ((2, 3), (3, 4)),
            torch=lambda T, x, y: T.einsum(x, [0, 1], y, [1, 2], [0, 2]),
        ),
        case(lambda m, x, y: m.einsum(x, [0, 1], y, [1, 2]), ((2, 3), (3, 4))),
        case(lambda m, x: m.einsum(x, [0, 0]), ((3, 3),)),
        case(lambda m, x, y: m.einsum(x, [..., 5], y, [5, 51], [..., 51]), ((2, 2, 3), (3, 2))),
        scalar=True,
    ),
    entry(
        "np.vander",
        case(lambda m, x: m.vander(x), ((3,),), torch=lambda T, x: x[:, None] ** T.arange(2, -1, -1)),
        case(lambda m, x: m.vander(x, 4), ((3,),), ((2,),), torch=lambda T, x: x[:, None] ** T.arange(3, -1, -1)),
        case(lambda m, x: m.vander(x, N=2, increasing=True), ((3,),), torch=lambda T, x: x[:, None] ** T.arange(2)),
        case(lambda m, x: m.vander(x, 1), ((3,),)),
    ),
    entry(
        "np.polyval",
        case(
            lambda m, p, x: m.polyval(p, x),
            ((3,), (4,)),
            ((4,), (2, 3)),
            ((3,), ()),
            ((1,), (3,)),
            ((2,), (3,)),
        ),
    ),
    entry("np.polyadd", shapes=(((3,), (3,)), ((2,), (4,)), ((4,), (2,)), ((), (3,)))),
    entry("np.polysub", shapes=(((3,), (3,)), ((2,), (4,)), ((4,), (2,)), ((3,), ()))),
    entry("np.polymul", shapes=(((3,), (3,)), ((2,), (4,)), ((4,), (2,)), ((3,), ()))),
    entry(
        "np.polyder",
        case(lambda m, x: m.polyder(x), ((4,),), ((1,),)),
        case(lambda m, x: m.polyder(x, 2), ((4,),)),
        case(lambda m, x: m.polyder(x, m=0), ((3,),)),
    ),
    entry(
        "np.polyint",
        case(lambda m, x: m.polyint(x), ((3,),)),
        case(lambda m, x: m.polyint(x, 2, k=3.0), ((3,),)),
        case(lambda m, x, k: m.polyint(x, 2, k), ((3,), (2,))),
    ),
]
