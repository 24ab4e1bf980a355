"""Fourier transforms and complex numbers: what the catalogue says of them."""

from __future__ import annotations

from typing import Any

from tinytensor.catalogue.entry import EACH, NONZERO, Case, Entry, Shape, case, entry

__all__ = ["ENTRIES"]


def parts(m: Any, z: Any) -> Any:
    """A complex result as its real and imaginary parts."""
    return m.real(z), m.imag(z)


def twisted(m: Any, x: Any) -> Any:
    """A complex input that depends on x in both parts."""
    return x * (1 + 0.5j) + 0.25j * m.cos(x)


def transform(name: str, *shapes: Shape, real: bool = False, torch: bool = True, **options: Any) -> list[Case]:
    """A transform of a real input; and of a complex one, if it takes those (``real``: it does not)."""

    def call(m: Any, x: Any) -> Any:
        # irfft and hfft of an empty axis with n: NumPy 2.4 returns uninitialised memory; without n it raises
        return parts(m, getattr(m.fft, name)(x, **(options if x.size else {})))

    def call_complex(m: Any, x: Any) -> Any:
        return call(m, twisted(m, x))

    translated = {{"n": "n", "s": "s", "axes": "dim", "axis": "dim", "norm": "norm"}[k]: v for k, v in options.items()}

    def there(T: Any, x: Any) -> Any:
        out = getattr(T.fft, name)(x, **translated)
        return (out.real, out.imag) if out.is_complex() else (out, T.zeros_like(out))

    each = tuple((shape,) for shape in shapes)
    cases = [case(call, *each, torch=there if torch else None)]
    return (
        cases
        if real
        else [*cases, case(call_complex, *each, torch=(lambda T, x: there(T, twisted(T, x))) if torch else None)]
    )


def one_axis(name: str, real: bool = False) -> Entry:
    """All options of a transform along one axis: odd and even lengths, cut and filled, every norm."""
    return entry(
        f"np.fft.{name}",
        *transform(name, (4,), (5,), (2, 3), real=real),
        *transform(name, (6,), (2, 7), real=real, n=4),
        *transform(name, (4,), (2, 3), real=real, n=5),
        *transform(name, (4, 2), (3, 2), real=real, axis=0, norm="ortho"),
        *transform(name, (2, 4, 2), real=real, n=3, axis=1, norm="forward"),
        *transform(name, (4,), real=real, n=7, axis=-1, norm="backward"),
        *transform(name, (3,), real=real, n=1),
        *transform(name, (3,), real=real, n=2),
        case(  # a transform is linear: its rule's own rule is at work only if something follows
            lambda m, x: m.square(m.real(getattr(m.fft, name)(x) * (1 + 1j))),
            ((4,),),
            ((5,),),
            torch=lambda T, x: T.square(T.real(getattr(T.fft, name)(x) * (1 + 1j))),
        ),
    )


def two_axes(name: str, real: bool = False, torch: bool = True) -> Entry:
    """All options of a transform along the last two axes."""
    return entry(
        f"np.fft.{name}",
        *transform(name, (3, 4), (2, 3, 5), real=real, torch=torch),
        *transform(name, (3, 4), (5, 2), real=real, torch=torch, s=(4, 3), axes=(0, 1), norm="ortho"),
        *transform(name, (3, 2, 4), real=real, torch=torch, axes=(2, 0), norm="forward"),
    )


def all_axes(name: str, real: bool = False) -> Entry:
    """All options of a transform along several axes."""
    return entry(
        f"np.fft.{name}",
        *transform(name, (3, 4), (2, 3, 2), (5,), real=real),
        *transform(name, (3, 4), real=real, s=(4, 3), axes=(0, 1), norm="ortho"),
        *transform(name, (3, 2, 4), real=real, axes=(2, 0), norm="forward"),
        *transform(name, (2, 3, 4), real=real, s=(5, -1), axes=(-1, 1), torch=name[0] != "i" or name == "ifftn"),
        *transform(name, (3, 4), real=real, axes=(-2,)),
    )


def shift(name: str) -> Entry:
    """All options of a shift."""
    return entry(
        f"np.fft.{name}",
        case(
            lambda m, x: getattr(m.fft, name)(x),
            ((4,),),
            ((5,),),
            ((2, 3),),
            torch=lambda T, x: getattr(T.fft, name)(x),
        ),
        case(
            lambda m, x: getattr(m.fft, name)(x, axes=1), ((2, 3),), torch=lambda T, x: getattr(T.fft, name)(x, dim=1)
        ),
        case(
            lambda m, x: getattr(m.fft, name)(x, (0, -1)),
            ((2, 3, 5),),
            torch=lambda T, x: getattr(T.fft, name)(x, (0, -1)),
        ),
    )


ENTRIES: list[Entry] = [
    entry(
        "np.real",
        case(lambda m, x: m.real(x), *EACH, scalar=True),
        case(lambda m, x: m.real(m.exp(x * 1j)), *EACH, torch=lambda T, x: T.real(T.exp(x * 1j))),
        case(lambda m, x: m.exp(x * 1j).real, *EACH),
    ),
    entry(
        "np.imag",
        case(lambda m, x: m.imag(x), *EACH),
        case(lambda m, x: m.imag(m.exp(x * 1j)), *EACH, torch=lambda T, x: T.imag(T.exp(x * 1j))),
        case(lambda m, x: m.exp(x * 1j).imag, *EACH),
    ),
    entry(
        "np.conjugate",
        case(lambda m, x: m.conj(x), *EACH, scalar=True, torch=lambda T, x: T.conj(x)),
        case(
            lambda m, x: parts(m, m.conj(twisted(m, x)) * m.exp(x * 1j)),
            *EACH,
            torch=lambda T, x: parts(T, T.conj(twisted(T, x)) * T.exp(x * 1j)),
        ),
        also=("np.conj",),
    ),
    entry(
        "np.angle",
        case(lambda m, x: m.angle(x), *EACH, domain=NONZERO),
        case(lambda m, x: m.angle(twisted(m, x)), *EACH, torch=lambda T, x: T.angle(twisted(T, x))),
        case(lambda m, x: m.angle(twisted(m, x), deg=True), *EACH),
        kinks="0 at 0",
    ),
    entry(
        "np.real_if_close",
        case(lambda m, x: m.real_if_close(x + 0j * x), *EACH, torch=lambda T, x: x + 0),
        case(lambda m, x: m.abs(m.real_if_close(twisted(m, x), tol=10)), *EACH),
    ),
    one_axis("fft"),
    one_axis("ifft"),
    one_axis("rfft", real=True),
    one_axis("irfft"),
    one_axis("hfft"),
    one_axis("ihfft", real=True),
    two_axes("fft2"),
    two_axes("ifft2"),
    two_axes("rfft2", real=True),
    two_axes("irfft2"),
    all_axes("fftn"),
    all_axes("ifftn"),
    all_axes("rfftn", real=True),
    all_axes("irfftn"),
    shift("fftshift"),
    shift("ifftshift"),
    entry("np.fft.fftfreq", case(lambda m, d: m.fft.fftfreq(5, d), ((),)), domain=NONZERO),
    entry("np.fft.rfftfreq", case(lambda m, d: m.fft.rfftfreq(6, d), ((),)), domain=NONZERO),
]
