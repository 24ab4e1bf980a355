"""DLPack: arrays go to other libraries and come from them without a copy, which writing on either side shows."""

import numpy as np
import pytest

import tinytensor as tt

DTYPES = [
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "complex64",
    "complex128",
]
SHAPES = [(3,), (2, 3), (), (0, 4)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_numpy_and_back(dtype, shape):
    t = tt.from_numpy((np.arange(np.prod(shape)) % 2).astype(dtype).reshape(shape))
    array = np.from_dlpack(t)
    again = tt.from_dlpack(array)
    assert array.dtype == again.dtype == dtype
    assert array.shape == again.shape == shape
    if array.size:
        assert np.shares_memory(array, t.data)
        t[...] = 1
        assert (array == 1).all()
        array[...] = 0
        assert (again.data == 0).all()
        assert (t.data == 0).all()


def test_layouts_are_kept():
    whole = tt.arange(24.0).reshape(2, 3, 4)
    for part in (whole.transpose(2, 0, 1), whole[:, ::2, 1], whole[1]):
        array = np.from_dlpack(part.detach())
        np.testing.assert_array_equal(array, part.data)
        assert array.strides == part.strides
        assert np.shares_memory(array, whole.data)


def test_what_is_read_backwards_is_refused():
    """PyTorch ends the whole process when it meets a negative stride."""
    backwards = tt.arange(6.0).reshape(2, 3)[:, ::-1]
    with pytest.raises(BufferError, match=r"read backwards.*use t.copy\(\)"):
        np.from_dlpack(backwards)
    np.testing.assert_array_equal(np.from_dlpack(backwards.copy()), backwards.data)


def test_the_memory_outlives_the_tensor():
    array = np.from_dlpack(tt.ones(1000))
    assert array.sum() == 1000
    t = tt.from_dlpack(np.ones(1000))
    assert t.sum() == 1000


def test_what_requires_grad_is_refused_as_pytorch_does():
    leaf = tt.ones(2, requires_grad=True)
    for t in (leaf, leaf * 2, tt.nn.Parameter([1.0])):
        with pytest.raises(BufferError, match=r"the tensor requires grad.*use t.detach\(\)"):
            np.from_dlpack(t)
    array = np.from_dlpack(leaf.detach())
    array[0] = 5
    np.testing.assert_array_equal(leaf.data, [5, 1])
    with tt.no_grad(), pytest.raises(BufferError):
        np.from_dlpack(leaf)


def test_what_is_no_memory_of_numbers():
    with pytest.raises(TypeError, match="expected an object with __dlpack__, got list; use tt.tensor"):
        tt.from_dlpack([1.0])
    with pytest.raises(BufferError, match="this ndarray cannot be shared: DLPack only supports native byte order"):
        tt.from_dlpack(np.ones(2, ">f4"))
    with pytest.raises(BufferError, match="cannot be shared"):
        tt.from_dlpack(np.array(["a"]))


def test_read_only_stays_read_only():
    array = np.ones(3)
    array.flags.writeable = False
    assert not np.from_dlpack(tt.from_numpy(array)).flags.writeable
    t = tt.from_dlpack(array)
    assert not t.data.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        t[0] = 2.0
    with pytest.raises(BufferError, match=r"(?i)read-?only"):
        tt.from_numpy(array).__dlpack__()  # a consumer of the old protocol cannot be told


def test_device_and_protocol():
    t = tt.ones(2)
    assert t.__dlpack_device__() == (1, 0)
    assert "dltensor" in repr(t.__dlpack__())
    assert "dltensor_versioned" in repr(t.__dlpack__(max_version=(1, 0)))
    copied = np.from_dlpack(t, copy=True)
    copied[0] = 7
    assert t[0] == 1


def test_writes_are_seen_by_gradients_of_later_programs():
    """Memory that is shared counts as handed out: a recorded write into it is refused, as for from_numpy."""
    array = np.ones(3)
    t = tt.from_dlpack(array)
    with pytest.raises(RuntimeError, match="shares its memory"):
        t[0] = tt.tensor(1.0, requires_grad=True) * 2
    u = t.clone().requires_grad_()
    array[...] = 3
    (u * t).sum().backward()
    np.testing.assert_array_equal(u.grad, [3, 3, 3])


def test_a_batch_has_no_memory_to_share():
    with pytest.raises(TypeError, match="values of a batched tensor"):
        tt.vmap(lambda t: np.from_dlpack(t))(np.ones((2, 3)))


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_pytorch_and_back(dtype, shape):
    torch = pytest.importorskip("torch")
    t = tt.from_numpy(np.ones(shape, dtype))
    theirs = torch.from_dlpack(t)
    again = tt.from_dlpack(theirs)
    assert str(theirs.dtype) == f"torch.{dtype}"
    assert tuple(theirs.shape) == again.shape == shape
    assert again.dtype == dtype
    if t.size:
        assert theirs.data_ptr() == t.data.ctypes.data == again.data.ctypes.data
        theirs.zero_()
        assert (t.data == 0).all()
        again[...] = 1
        assert bool((theirs == 1).all())


@pytest.mark.peers
def test_pytorch_tensors_of_other_layouts_and_kinds():
    torch = pytest.importorskip("torch")
    theirs = torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)[::2]
    ours = tt.from_dlpack(theirs)
    np.testing.assert_array_equal(ours.data, theirs.numpy())
    theirs += 1
    np.testing.assert_array_equal(ours.data, theirs.numpy())
    whole = tt.arange(24.0).reshape(2, 3, 4)
    part = whole.transpose(2, 0, 1)[:, 1]
    np.testing.assert_array_equal(torch.from_dlpack(part).numpy(), part.data)
    for bad, words in [
        (torch.ones(2, requires_grad=True), "require gradient"),
        (torch.ones(2, dtype=torch.bfloat16), "(?i)unsupported dtype"),
        (torch.ones(2, device="meta"), "meta"),
        (torch.eye(2).to_sparse(), "this Tensor cannot be shared"),
    ]:
        with pytest.raises(BufferError, match=words):
            tt.from_dlpack(bad)
    with pytest.raises(BufferError, match="resolve_neg"):
        tt.from_dlpack(torch.ones(2, dtype=torch.complex64).conj().imag)
    one_for_many = tt.from_dlpack(torch.zeros(1).expand(3))
    with pytest.raises(ValueError, match="read-only"):
        one_for_many += np.arange(3.0)
    with pytest.raises(BufferError, match=r"use t.detach\(\)"):
        torch.from_dlpack(tt.ones(2, requires_grad=True))


@pytest.mark.peers
def test_pytorch_trains_our_parameters_in_place():
    """One memory, two libraries: an optimizer of PyTorch's moves the weights of a module here."""
    torch = pytest.importorskip("torch")
    layer = tt.nn.Linear(3, 1)
    weight = torch.from_dlpack(layer.weight.detach()).requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.1)
    x = torch.ones(4, 3)
    (x @ weight.T).sum().backward()
    before = layer.weight.data.copy()
    optimizer.step()
    np.testing.assert_allclose(layer.weight.data, before - 0.4, atol=1e-6)
