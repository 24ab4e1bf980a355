"""The list of functions: docs/functions.md is current, and nothing that other libraries differentiate is forgotten."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.catalogue import FAMILIES
from tinytensor.catalogue.entry import REFERENCE, find
from tinytensor.catalogue.table import functions_md
from tinytensor.testing import check_grads

PAGE = Path(__file__).resolve().parents[1] / "docs" / "functions.md"

#: What HIPS autograd 1.9.1 differentiates in numpy, numpy.linalg, numpy.fft and scipy, by the names of those.
AUTOGRAD = (
    "np.abs", "np.absolute", "np.acos", "np.acosh", "np.add", "np.amax", "np.amin", "np.angle", "np.append",
    "np.arccos", "np.arccosh", "np.arcsin", "np.arcsinh", "np.arctan", "np.arctan2", "np.arctanh", "np.array",
    "np.array_split", "np.asin", "np.asinh", "np.astype", "np.atan", "np.atan2", "np.atanh", "np.atleast_1d", "np.atleast_2d",
    "np.atleast_3d", "np.broadcast_to", "np.clip", "np.column_stack", "np.concatenate", "np.conj", "np.conjugate",
    "np.cos", "np.cosh", "np.cross", "np.cumsum", "np.deg2rad", "np.degrees", "np.diag", "np.diagonal", "np.diff",
    "np.divide", "np.dot", "np.dsplit", "np.einsum", "np.exp", "np.exp2", "np.expand_dims", "np.expm1", "np.fabs",
    "np.fft.fft", "np.fft.fft2", "np.fft.fftn", "np.fft.fftshift", "np.fft.ifft", "np.fft.ifft2", "np.fft.ifftn",
    "np.fft.ifftshift", "np.fft.irfft", "np.fft.irfft2", "np.fft.irfftn", "np.fft.rfft", "np.fft.rfft2",
    "np.fft.rfftn", "np.fliplr", "np.flipud", "np.fmax", "np.fmin", "np.full", "np.gradient", "np.hsplit", "np.hstack",
    "np.hypot", "np.imag", "np.inner", "np.kron", "np.linalg.cholesky", "np.linalg.det", "np.linalg.eig",
    "np.linalg.eigh", "np.linalg.inv", "np.linalg.norm", "np.linalg.pinv", "np.linalg.slogdet", "np.linalg.solve",
    "np.linalg.svd", "np.linspace", "np.log", "np.log10", "np.log1p", "np.log2", "np.logaddexp", "np.logaddexp2", "np.matmul",
    "np.max", "np.maximum", "np.mean", "np.min", "np.minimum", "np.mod", "np.moveaxis", "np.multiply",
    "np.nan_to_num", "np.negative", "np.outer", "np.pad", "np.partition", "np.permute_dims", "np.pow", "np.power",
    "np.prod", "np.rad2deg", "np.radians", "np.ravel", "np.real", "np.real_if_close", "np.reciprocal",
    "np.remainder", "np.repeat", "np.reshape", "np.roll", "np.rollaxis", "np.rot90", "np.select", "np.sin",
    "np.sinc", "np.sinh", "np.sort", "np.split", "np.sqrt", "np.square", "np.squeeze", "np.stack", "np.std",
    "np.subtract", "np.sum", "np.swapaxes", "np.tan", "np.tanh", "np.tensordot", "np.tile", "np.trace",
    "np.transpose", "np.tril", "np.triu", "np.true_divide", "np.var", "np.vsplit", "np.vstack", "np.where",
    "scipy.integrate.odeint", "scipy.linalg.solve_banded", "scipy.linalg.solve_sylvester", "scipy.linalg.solve_triangular",
    "scipy.linalg.sqrtm", "scipy.signal.convolve", "scipy.special.beta", "scipy.special.betainc", "scipy.special.betaln",
    "scipy.special.digamma", "scipy.special.erf", "scipy.special.erfc", "scipy.special.erfcinv",
    "scipy.special.erfinv", "scipy.special.expit", "scipy.special.gamma", "scipy.special.gammainc",
    "scipy.special.gammaincc", "scipy.special.gammaln", "scipy.special.i0", "scipy.special.i1", "scipy.special.iv",
    "scipy.special.ive", "scipy.special.j0", "scipy.special.j1", "scipy.special.jn", "scipy.special.logit",
    "scipy.special.logsumexp", "scipy.special.multigammaln", "scipy.special.polygamma", "scipy.special.psi",
    "scipy.special.rgamma", "scipy.special.y0", "scipy.special.y1", "scipy.special.yn", "scipy.stats.beta.cdf",
    "scipy.stats.beta.logpdf", "scipy.stats.beta.pdf", "scipy.stats.chi2.cdf", "scipy.stats.chi2.logpdf",
    "scipy.stats.chi2.pdf", "scipy.stats.dirichlet.logpdf", "scipy.stats.dirichlet.pdf", "scipy.stats.gamma.cdf",
    "scipy.stats.gamma.logpdf", "scipy.stats.gamma.pdf", "scipy.stats.multivariate_normal.entropy",
    "scipy.stats.multivariate_normal.logpdf", "scipy.stats.multivariate_normal.pdf", "scipy.stats.norm.cdf",
    "scipy.stats.norm.logcdf", "scipy.stats.norm.logpdf", "scipy.stats.norm.logsf", "scipy.stats.norm.pdf",
    "scipy.stats.norm.sf", "scipy.stats.poisson.cdf", "scipy.stats.poisson.logpmf", "scipy.stats.poisson.pmf",
    "scipy.stats.t.cdf", "scipy.stats.t.logcdf", "scipy.stats.t.logpdf", "scipy.stats.t.pdf",
)  # fmt: skip

#: What MyGrad 2.5.0 differentiates, where NumPy or SciPy has the name.
MYGRAD = (
    "np.abs", "np.absolute", "np.add", "np.amax", "np.amin", "np.arccos", "np.arccosh", "np.arcsin", "np.arcsinh",
    "np.arctan", "np.arctan2", "np.arctanh", "np.atleast_1d", "np.atleast_2d", "np.atleast_3d", "np.broadcast_to",
    "np.cbrt", "np.clip", "np.concatenate", "np.cos", "np.cosh", "np.cumprod", "np.cumsum", "np.divide",
    "np.einsum", "np.exp", "np.exp2", "np.expand_dims", "np.expm1", "np.lib.stride_tricks.sliding_window_view",
    "np.linalg.norm", "np.log", "np.log10", "np.log1p", "np.log2", "np.logaddexp", "np.logaddexp2", "np.matmul",
    "np.max", "np.maximum", "np.mean", "np.min", "np.minimum", "np.moveaxis", "np.multiply", "np.negative",
    "np.positive", "np.power", "np.prod", "np.ravel", "np.reciprocal", "np.repeat", "np.reshape", "np.roll",
    "np.sin", "np.sinc", "np.sinh", "np.sqrt", "np.square", "np.squeeze", "np.stack", "np.std", "np.subtract",
    "np.sum", "np.swapaxes", "np.tan", "np.tanh", "np.transpose", "np.true_divide", "np.var", "np.where",
    "scipy.special.softmax",
)  # fmt: skip

#: What MyGrad differentiates and NumPy and SciPy lack: its name, and ours.
MYGRAD_ALONE = {
    "add_sequence": "np.sum", "arccot": "tt.arccot", "arccoth": "tt.arccoth", "arccsc": "tt.arccsc", "arccsch":
    "tt.arccsch", "arcsec": "tt.arcsec", "cot": "tt.cot", "coth": "tt.coth", "csc": "tt.csc", "csch": "tt.csch",
    "multi_matmul": "np.linalg.multi_dot", "multiply_sequence": "np.prod", "nnet.elu": "tt.elu", "nnet.glu":
    "tt.glu", "nnet.hard_tanh": "tt.hardtanh", "nnet.leaky_relu": "tt.leaky_relu", "nnet.logsoftmax":
    "tt.log_softmax", "nnet.relu": "tt.relu", "nnet.selu": "tt.selu", "nnet.sigmoid": "tt.sigmoid",
    "nnet.soft_sign": "tt.softsign", "sec": "tt.sec", "sech": "tt.sech",
}  # fmt: skip

#: MyGrad's layers and losses, and ours, which are not functions of the table.
MYGRAD_NETWORKS = {
    "nnet.batchnorm": "nn.functional.batch_norm", "nnet.conv_nd": "nn.functional.conv2d", "nnet.focal_loss":
    "nn.functional.focal_loss", "nnet.gru": "nn.GRU", "nnet.margin_ranking_loss": "nn.functional.margin_ranking_loss",
    "nnet.max_pool": "nn.functional.max_pool2d", "nnet.multiclass_hinge": "nn.functional.multi_margin_loss",
    "nnet.negative_log_likelihood": "nn.functional.nll_loss", "nnet.softmax_crossentropy":
    "nn.functional.cross_entropy", "nnet.softmax_focal_loss": "nn.functional.focal_loss",
}  # fmt: skip

#: What both compute of their tensors without a derivative, by NumPy's names.
CONSTANTS = (
    "np.all", "np.any", "np.argmax", "np.argmin", "np.argpartition", "np.argsort", "np.argwhere", "np.ceil",
    "np.count_nonzero", "np.equal", "np.fix", "np.flatnonzero", "np.floor", "np.floor_divide", "np.greater",
    "np.greater_equal", "np.isclose", "np.isfinite", "np.isinf", "np.isnan", "np.isneginf", "np.isposinf",
    "np.isreal", "np.less", "np.less_equal", "np.logical_and", "np.logical_not", "np.logical_or",
    "np.logical_xor", "np.nanargmax", "np.nanargmin", "np.nonzero", "np.not_equal", "np.ones_like", "np.rint",
    "np.round", "np.searchsorted", "np.sign", "np.signbit", "np.trunc", "np.zeros_like",
    "scipy.special.gammasgn",
)  # fmt: skip


def test_the_page_is_current() -> None:
    command = "run: python -m tinytensor.catalogue.table docs/functions.md"
    assert PAGE.read_text(encoding="utf-8") == functions_md(), command


def test_a_row_for_every_name_and_six_cells_in_each() -> None:
    rows = re.findall(r"^\| `.*\|$", functions_md(), re.M)
    assert [re.split(r"(?<!\\)\|", row)[1].strip(" `") for row in rows] == [f.name for f in tt.supported()]
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {8}


def test_at_least_320_functions_can_be_differentiated() -> None:
    """Counted once each, whatever other names they have."""
    assert sum(e.order >= 1 for entries in FAMILIES.values() for e in entries) >= 320


@pytest.mark.parametrize("names", [AUTOGRAD, MYGRAD], ids=["autograd", "mygrad"])
def test_what_others_differentiate_is_listed(names: tuple[str, ...]) -> None:
    assert list(names) == sorted(set(names))
    ours = [find(REFERENCE, f.name) for f in tt.supported() if f.first and not f.name.startswith("tt.")]
    assert not [name for name in names if find(REFERENCE, name) not in ours]


def test_what_mygrad_alone_has_is_listed() -> None:
    ours = {f.name for f in tt.supported() if f.first}
    assert not [theirs for theirs, name in MYGRAD_ALONE.items() if name not in ours]


@pytest.mark.parametrize("name", MYGRAD_NETWORKS.values())
def test_networks_of_mygrad_have_a_name_here(name: str) -> None:
    assert callable(find(tt, f"tt.{name}"))


def test_constants_of_others_are_listed() -> None:
    ours = [find(REFERENCE, f.name) for f in tt.supported() if not f.name.startswith("tt.")]
    assert list(CONSTANTS) == sorted(set(CONSTANTS))
    assert not [name for name in CONSTANTS if find(REFERENCE, name) not in ours]


@pytest.mark.parametrize(
    "name", [f.name for f in tt.supported() if not re.search(r"\.(reduce|accumulate|reduceat|outer|lib)\b", f.name)]
)
def test_every_listed_function_has_a_name_of_ours(name: str) -> None:
    """``np.hypot`` is ``tt.hypot``, too; the methods of ufuncs are NumPy's."""
    ours = name.replace("scipy.", "tt.") if name.startswith("scipy.") else name
    assert callable(find(tt, ours))


@pytest.mark.peers
def test_the_lists_of_what_others_differentiate_are_complete() -> None:
    """Read from the libraries themselves."""
    core = pytest.importorskip("autograd.core")
    for space in ("numpy", "scipy.integrate", "scipy.linalg", "scipy.signal", "scipy.special", "scipy.stats"):
        import_module(f"autograd.{space}")
    known = [find(REFERENCE, name) for name in AUTOGRAD]
    owners = [k.__self__ for k in known if hasattr(k, "__self__")]
    functions = [getattr(f, "fun", f) for f in core.primitive_vjps]
    theirs = [f for f in functions if (getattr(f, "__module__", "") or "numpy").startswith(("numpy", "scipy"))]
    known += [find(REFERENCE, name) for name in CONSTANTS]
    assert len(theirs) > 150
    assert not [f for f in theirs if f not in known and getattr(f, "__self__", None) not in owners]


@pytest.mark.parametrize("name", [n for entries in FAMILIES.values() for e in entries for n in e.also])
def test_other_names_have_the_same_derivative_or_one_of_their_own(name: str) -> None:
    """A name that is not the same function as its entry's is called by itself."""
    entry = next(e for entries in FAMILIES.values() for e in entries if name in e.also)
    f = find(tt if name.startswith("tt.") else REFERENCE, name)
    if f == find(tt if entry.name.startswith("tt.") else REFERENCE, entry.name):
        return
    x, y = np.array([1.4, 2.3, 0.7]), np.array([1.1, 0.6, 1.9])
    last = name.split(".")[-1]
    rest = [y] if last in ("outer", "matmul", "vecdot", "tensordot") else [[0, 2]] if last == "reduceat" else []
    options = {"axes": 1} if last == "tensordot" else {}
    value = f(tt.tensor(x, requires_grad=True), *rest, **options)
    np.testing.assert_array_equal(value.data, f(x, *rest, **options))
    check_grads(lambda t: f(t, *rest, **options), x, order=entry.order)
