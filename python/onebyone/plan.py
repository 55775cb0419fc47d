"""Conv2dPlan: a convolution that is prepared once and run many times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from ._core import Activation, Array, Padding, Size

__all__ = ["Conv2dPlan"]


class Conv2dPlan(_core.Conv2dPlan):
    """A convolution of known shape with its algorithm chosen and its weights packed.

    Making a plan checks every argument, chooses the algorithm, and packs or transforms the weights.
    Calling it costs the convolution and little more. The plan holds a snapshot: later changes of
    ``weight`` and ``bias`` do not reach it. It may be called from several threads at once.

    Calling: ``plan(x, residual=None, out=None)``. ``x`` has ``input_shape`` and the weights' dtype;
    ``residual`` (present exactly if the plan was made with ``residual=True``) and ``out`` have
    ``output_shape``. Returns ``out``, or a new array of the library that ``x`` came from.

    With ``weight`` on a GPU (see :mod:`onebyone.cuda`) the plan runs there, and calls take a
    ``stream=`` as :func:`onebyone.conv2d` does. torch's and CuPy's weights are copied on the stream
    that is current when the plan is made, and a call on another stream has to come after that, as
    for any array of theirs; other libraries' arrays are kept without a copy.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, activation, layout, algorithm
        As in :func:`onebyone.conv2d`.
    input_shape
        Shape of ``x`` in ``layout``: 4 dimensions, or 3 for one image.
    residual
        Whether calls bring an array that is added before the activation.
    num_threads
        Upper bound on the threads of each call; None follows ``set_num_threads`` and ``threads``.
        Not for GPUs.

    Attributes
    ----------
    algorithm : str
        The algorithm that was chosen.
    isa : str
        The instruction set of its kernels; "cuda" on a GPU.
    device : str
        Where it runs: "cpu", or "cuda:0" and so on.
    flops : int
        Floating-point operations of the direct method, a multiply-add counted as two; also where
        the algorithm needs fewer, so that rates compare.
    workspace_bytes : int
        Scratch memory of one call, in bytes; on a GPU, memory of the GPU.
    input_shape, output_shape : tuple of int
        Shapes of ``x`` and of the result.
    dtype : str
        "float32" or "float64"; on a GPU "float32", "float16" or "bfloat16".
    layout : str
        "NCHW" or "NHWC".

    Raises
    ------
    TypeError, ValueError
        As in :func:`onebyone.conv2d`; a call raises ValueError if its arrays have other shapes.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> weight = np.ones((64, 512, 1, 1), np.float32)
    >>> plan = ob.Conv2dPlan(weight, input_shape=(1, 512, 28, 28), activation="relu")
    >>> plan(np.ones((1, 512, 28, 28), np.float32)).shape
    (1, 64, 28, 28)
    """

    __slots__ = ()

    def __init__(
        self,
        weight: Array,
        bias: Array | None = None,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        *,
        input_shape: tuple[int, ...],
        activation: Activation = None,
        residual: bool = False,
        layout: str = "NCHW",
        algorithm: str = "auto",
        num_threads: int | None = None,
    ) -> None:
        super().__init__(
            weight,
            bias,
            stride,
            padding,
            dilation,
            groups,
            input_shape=input_shape,
            activation=activation,
            residual=residual,
            layout=layout,
            algorithm=algorithm,
            num_threads=num_threads,
        )
