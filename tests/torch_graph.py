"""A graph that computes by torch in float64 what it is told to hold, and notes every operation."""

import numpy as np
import torch
import torch.nn.functional as F
from helpers import activate_torch, conv2d_torch


class TorchGraph:
    """Has the methods of `_core.Graph` that layers use; a value's id is its index in `values`.

    `calls` holds (operation, name) in order.
    """

    def __init__(self, x):
        self.values = [torch.from_numpy(np.array(x)).double()]
        self.calls = []

    def shape(self, x):
        return tuple(self.values[x].shape)

    def conv2d(
        self,
        x,
        weight,
        bias=None,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        activation=None,
        name="",
    ):
        options = stride, padding, dilation, groups, activation
        y = conv2d_torch(self.values[x].numpy(), weight, bias, *options)
        return self._add("conv2d", name, torch.from_numpy(np.array(y)))

    def linear(self, x, weight, bias=None, activation=None, name=""):
        arrays = [None if a is None else torch.from_numpy(np.array(a)) for a in (weight, bias)]
        y = F.linear(self.values[x], *(a if a is None else a.double() for a in arrays))
        return self._add("linear", name, activate_torch(y, activation))

    def batch_norm(self, x, weight, bias, mean, var, eps, name=""):
        weight, bias, mean, var = (
            None if a is None else torch.tensor(a).double() for a in (weight, bias, mean, var)
        )
        y = F.batch_norm(self.values[x], mean, var, weight, bias, eps=eps)
        return self._add("batch_norm", name, y)

    def max_pool2d(self, x, kernel_size, stride, padding, dilation=1, ceil_mode=False, name=""):
        y = F.max_pool2d(self.values[x], kernel_size, stride, padding, dilation, ceil_mode)
        return self._add("max_pool2d", name, y)

    def avg_pool2d(
        self,
        x,
        kernel_size,
        stride,
        padding,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
        name="",
    ):
        options = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        return self._add("avg_pool2d", name, F.avg_pool2d(self.values[x], *options))

    def adaptive_avg_pool2d(self, x, output_size, name=""):
        y = F.adaptive_avg_pool2d(self.values[x], output_size)
        return self._add("adaptive_avg_pool2d", name, y)

    def activation(self, x, activation, name=""):
        return self._add("activation", name, activate_torch(self.values[x], activation))

    def binary(self, a, b, kind, name=""):
        function = {"add": torch.add, "mul": torch.mul}[kind]
        return self._add(kind, name, function(self.values[a], self.values[b]))

    def concat(self, ids, axis, name=""):
        return self._add("concat", name, torch.cat([self.values[i] for i in ids], axis))

    def softmax(self, x, axis, log=False, name=""):
        function = torch.log_softmax if log else torch.softmax
        return self._add("softmax", name, function(self.values[x], axis))

    def reshape(self, x, shape, name=""):
        return self._add("reshape", name, self.values[x].reshape(shape))

    def _add(self, operation, name, value):
        self.calls.append((operation, name))
        self.values.append(value.detach())
        return len(self.values) - 1


def lowered(module, x, layout="NCHW"):
    """(calls, result) of a module lowered with an input that is channels first."""
    graph = TorchGraph(x)
    y = module.lower(graph, 0, "", layout)
    return graph.calls, graph.values[y].numpy()
