"""What counts as an array: NumPy, torch, DLPack, the array interface; and what must not."""

import numpy as np
import onebyone as ob
import pytest
import torch
from helpers import FLOAT32, conv2d_torch, mismatch, run_python, tolerance, uniform


class OnlyInterface:
    """An array of which nothing is known but its address and strides."""

    def __init__(self, a):
        self._array = a  # keeps the memory alive
        self.__array_interface__ = a.__array_interface__


class OnlyDLPack:
    """An array that offers DLPack and nothing else; counts how often it was asked."""

    def __init__(self, a):
        self._array = a
        self.exports = 0

    def __dlpack__(self, **kwargs):
        self.exports += 1
        return self._array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class OldDLPack(OnlyDLPack):
    """As written before DLPack 1.0: knows the `stream` argument alone."""

    def __dlpack__(self, stream=None):
        return self._array.__dlpack__(stream=stream)


class Elsewhere(OnlyDLPack):
    """Claims to live on a CUDA device."""

    def __dlpack_device__(self):
        return (2, 0)


class Subclass(np.ndarray):
    pass


@pytest.fixture
def data(rng, dtype):
    x = uniform(rng, (2, 5, 6, 7), dtype)
    w = uniform(rng, (9, 5, 3, 3), dtype)
    b = uniform(rng, 9, dtype)
    return x, w, b, ob.conv2d(x, w, b)


def test_the_expectation_itself(data, dtype):
    x, w, b, want = data
    assert not mismatch(want, conv2d_torch(x, w, b), tolerance(46, dtype), dtype)


def test_torch_in_torch_out(data):
    x, w, b, want = data
    y = ob.conv2d(*(torch.from_numpy(a) for a in (x, w, b)))
    assert type(y) is torch.Tensor
    assert y.dtype == torch.from_numpy(want).dtype and not y.requires_grad
    assert y.device.type == "cpu" and y.is_contiguous()
    np.testing.assert_array_equal(y.numpy(), want)
    y.add_(1)  # the tensor owns writable memory
    np.testing.assert_array_equal(y.numpy(), want + 1)


def test_the_first_argument_decides_the_kind_of_the_result(data):
    x, w, b, want = data
    y = ob.conv2d(torch.from_numpy(x), w, b)
    assert type(y) is torch.Tensor
    np.testing.assert_array_equal(y.numpy(), want)
    y = ob.conv2d(x, torch.from_numpy(w), torch.from_numpy(b))
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, want)
    y = ob.conv2d(x, w, b, residual=torch.from_numpy(want))
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, ob.conv2d(x, w, b, residual=want))


def test_a_plan_takes_any_array_too(data):
    x, w, b, want = data
    plan = ob.Conv2dPlan(torch.from_numpy(w), b, input_shape=x.shape)
    assert type(plan(x)) is np.ndarray
    np.testing.assert_array_equal(plan(x), want)
    y = plan(torch.from_numpy(x))
    assert type(y) is torch.Tensor
    np.testing.assert_array_equal(y.numpy(), want)
    out = torch.full(want.shape, torch.nan, dtype=y.dtype)
    assert plan(torch.from_numpy(x), out=out) is out
    np.testing.assert_array_equal(out.numpy(), want)


def test_torch_shape_as_input_shape(data):
    x, w, b, want = data
    plan = ob.Conv2dPlan(w, b, input_shape=torch.from_numpy(x).shape)
    np.testing.assert_array_equal(plan(x), want)


def test_other_functions_return_what_they_were_given(rng, dtype):
    x, w = uniform(rng, (3, 5), dtype), uniform(rng, (4, 5), dtype)
    y = ob.linear(torch.from_numpy(x), torch.from_numpy(w))
    assert type(y) is torch.Tensor
    np.testing.assert_array_equal(y.numpy(), ob.linear(x, w))
    x, w = uniform(rng, (2, 5, 9), dtype), uniform(rng, (4, 5, 3), dtype)
    y = ob.conv1d(torch.from_numpy(x), torch.from_numpy(w))
    assert type(y) is torch.Tensor
    np.testing.assert_array_equal(y.numpy(), ob.conv1d(x, w))


def test_out_as_a_tensor(data):
    """The very object comes back, and its memory holds the result."""
    x, w, b, want = data
    for image in (x, torch.from_numpy(x)):
        memory = np.full(want.shape, np.nan, want.dtype)
        out = torch.from_numpy(memory)
        address = out.data_ptr()
        assert ob.conv2d(image, w, b, out=out) is out
        assert out.data_ptr() == address
        np.testing.assert_array_equal(memory, want)
    memory = np.full(want.shape, np.nan, want.dtype)
    assert ob.conv2d(torch.from_numpy(x), w, b, out=memory) is memory
    np.testing.assert_array_equal(memory, want)


def test_strided_tensors(data):
    x, w, b, want = data
    t = torch.from_numpy(x)
    last = t.contiguous(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    wide = torch.full((2, 5, 6, 14), torch.nan, dtype=t.dtype)
    wide[..., ::2] = t
    weights = torch.from_numpy(w)
    for image, weight in [
        (last, weights),
        (last, weights.contiguous(memory_format=torch.channels_last)),
        (wide[..., ::2], weights),
        (t.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0), weights),
        (t.transpose(2, 3).contiguous().transpose(2, 3), weights.flip(3).flip(3)),
    ]:
        y = ob.conv2d(image, weight, torch.from_numpy(b))
        np.testing.assert_allclose(y.numpy(), want, rtol=0, atol=tolerance(46, want.dtype))


def test_channels_last_storage_is_nhwc(data):
    """The NHWC view of a channels_last tensor is contiguous, so layout="NHWC" fits it."""
    x, w, b, want = data
    t = torch.from_numpy(x).contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    assert t.is_contiguous()
    y = ob.conv2d(t, w, b, layout="NHWC")
    bound = tolerance(46, want.dtype)
    np.testing.assert_allclose(y.permute(0, 3, 1, 2).numpy(), want, rtol=0, atol=bound)


def test_expanded_tensors(rng, dtype):
    x = torch.from_numpy(uniform(rng, (1, 5, 1, 7), dtype)).expand(2, 5, 6, 7)
    w = torch.from_numpy(uniform(rng, (1, 5, 1, 1), dtype)).expand(9, 5, 1, 1)
    y = ob.conv2d(x, w)
    want = conv2d_torch(x.numpy(), w.numpy())
    assert not mismatch(y.numpy(), want, tolerance(5, dtype), dtype)


def test_empty_tensors(dtype):
    x = torch.empty((0, 3, 5, 5), dtype=torch.from_numpy(np.empty(0, dtype)).dtype)
    y = ob.conv2d(x, np.ones((4, 3, 3, 3), dtype))
    assert type(y) is torch.Tensor and y.shape == (0, 4, 3, 3)


def test_torch_parameters_need_detach():
    layer = torch.nn.Conv2d(3, 4, 1)
    x = np.ones((1, 3, 2, 2), np.float32)
    with pytest.raises((TypeError, ValueError), match=r"weight(?s:.*)detach"):
        ob.conv2d(x, layer.weight)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    want = layer(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ob.conv2d(x, weight, bias), want, atol=tolerance(4, FLOAT32))
    with torch.no_grad():  # a parameter is still a leaf that requires grad
        y = torch.from_numpy(ob.conv2d(x, weight.clone(), bias))
        np.testing.assert_array_equal(y.numpy(), ob.conv2d(x, weight, bias))


@pytest.mark.parametrize("kind", [OnlyInterface, OnlyDLPack, OldDLPack])
def test_foreign_arrays(kind, data):
    x, w, b, want = data
    y = ob.conv2d(kind(x), kind(w), kind(b))
    np.testing.assert_array_equal(np.asarray(y), want)
    np.testing.assert_array_equal(ob.conv2d(x, kind(w), kind(b)), want)
    y = ob.conv2d(x, w, b, residual=kind(want))
    np.testing.assert_array_equal(y, ob.conv2d(x, w, b, residual=want))
    strided = kind(np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1))
    y = np.asarray(ob.conv2d(strided, w, b))
    np.testing.assert_allclose(y, want, rtol=0, atol=tolerance(46, want.dtype))
    if kind is OldDLPack:
        return  # it cannot say whether it is read-only, so it need not serve as out
    memory = np.full_like(want, np.nan)
    out = kind(memory)
    assert ob.conv2d(x, w, b, out=out) is out
    np.testing.assert_array_equal(memory, want)


def test_read_only_through_the_array_interface(data):
    x, w, b, want = data
    memory = np.full_like(want, 7)
    for a in (x, memory):
        a.flags.writeable = False
    np.testing.assert_array_equal(np.asarray(ob.conv2d(OnlyInterface(x), w, b)), want)
    with pytest.raises(ValueError, match=r"\bout\b"):
        ob.conv2d(x, w, b, out=OnlyInterface(memory))
    assert (memory == 7).all()


def test_dlpack_is_asked_once_per_call(data):
    x, w, b, _ = data
    image = OnlyDLPack(x)
    ob.conv2d(image, w, b)
    assert image.exports == 1


def test_arrays_on_another_device(data):
    x, w, b, _ = data
    with pytest.raises((TypeError, ValueError, BufferError), match=r"\bx\b"):
        ob.conv2d(Elsewhere(x), w, b)


def test_meta_and_sparse_tensors_are_refused():
    w = np.ones((1, 3, 1, 1), np.float32)
    for x in [torch.empty(1, 3, 2, 2, device="meta"), torch.ones(1, 3, 2, 2).to_sparse()]:
        with pytest.raises((TypeError, ValueError), match=r"\bx\b"):
            ob.conv2d(x, w)


def test_subclass(data):
    x, w, b, want = data
    y = ob.conv2d(x.view(Subclass), w.view(Subclass), b.view(Subclass))
    assert isinstance(y, np.ndarray)
    np.testing.assert_array_equal(np.asarray(y), want)


def test_memmap(data, tmp_path):
    x, w, b, want = data
    mapped = np.memmap(tmp_path / "x", x.dtype, "w+", shape=x.shape)
    mapped[...] = x
    np.testing.assert_array_equal(np.asarray(ob.conv2d(mapped, w, b)), want)
    out = np.memmap(tmp_path / "y", x.dtype, "w+", shape=want.shape)
    assert ob.conv2d(x, w, b, out=out) is out
    np.testing.assert_array_equal(np.asarray(out), want)


@pytest.mark.parametrize("argument", ["x", "weight", "bias"])
def test_masked_arrays_are_not_silently_wrong(argument, data):
    """A mask has no meaning here: refuse it, or carry it through to the result."""
    x, w, b, _ = data
    arguments = {"x": x, "weight": w, "bias": b}
    masked = np.ma.masked_array(arguments[argument], mask=True)
    try:
        y = ob.conv2d(**{**arguments, argument: masked})
    except (TypeError, ValueError) as error:
        assert argument in str(error)
    else:
        assert isinstance(y, np.ma.MaskedArray) and np.ma.getmaskarray(y).all()


@pytest.mark.parametrize("function", ["conv2d", "conv1d", "linear"])
def test_lists_are_refused(function):
    """Converting them would hide the cost and guess the dtype."""
    shapes = {"conv2d": ((1, 2, 3, 3), (4, 2, 1, 1)), "conv1d": ((1, 2, 3), (4, 2, 1))}
    x, w = (np.ones(s, np.float32) for s in shapes.get(function, ((3, 2), (4, 2))))
    call = getattr(ob, function)
    with pytest.raises(TypeError, match=r"\bx\b"):
        call(x.tolist(), w)
    with pytest.raises(TypeError, match="weight"):
        call(x, w.tolist())
    with pytest.raises(TypeError, match="bias"):
        call(x, w, [1.0] * 4)
    with pytest.raises(TypeError, match=r"\bx\b"):
        call(tuple(x), w)


MEMORY = """
import resource, sys
import numpy as np
import onebyone as ob
kind, layout = sys.argv[1:]
if kind == "torch":
    import torch
shape = (1, 16, 2048, 2048) if layout == "NCHW" else (1, 2048, 2048, 16)
memory = np.zeros(shape, np.float32)  # 256 MB that cost nothing until they are touched
memory.reshape(-1)[:16] = 1
w = np.ones((4, 16, 1, 1), np.float32)
x = torch.from_numpy(memory) if kind == "torch" else memory
ob.conv2d(np.ones((1, 16, 8, 8), np.float32), w)
if kind == "window":
    x = memory[:, :, 64:, 64:] if layout == "NCHW" else memory[:, 64:, 64:, :]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ob.conv2d(x, w, stride=64, layout=layout)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.parametrize("kind", ["numpy", "torch", "window"])
def test_large_inputs_are_read_in_place(kind, layout):
    """One pixel in 64x64 is needed: a copy of the input would show in the memory used."""
    pytest.importorskip("resource")
    result = run_python(MEMORY, kind, layout)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 128, f"{result.stdout.strip()} MB more than before"
