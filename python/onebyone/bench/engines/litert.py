"""LiteRT with XNNPACK: a model of one CONV_2D or DEPTHWISE_CONV_2D, channels last.

The model is written with the schema's classes that come with LiteRT. Padding that TensorFlow's
SAME would not choose becomes a PAD before it, which XNNPACK folds into the convolution.
"""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from ..layers import Layer, same_padding
from ..problem import Arrays
from . import Prepared

__all__ = ["LiteRT"]

_ZERO = (0, 0)


class LiteRT:
    def __init__(self, threads: int) -> None:
        self.threads = threads

    def prepare(self, layer: Layer, arrays: Arrays) -> Prepared:
        interpreter = Interpreter(
            model_content=_Model(layer, arrays).bytes(), num_threads=self.threads
        )
        interpreter.allocate_tensors()
        operators = [o["op_name"] for o in interpreter._get_ops_details()]
        if not any("XNNPack" in name or name == "DELEGATE" for name in operators):
            raise RuntimeError(f"XNNPACK does not take this layer ({', '.join(operators)})")
        x = interpreter.get_input_details()[0]["index"]
        y = interpreter.get_output_details()[0]["index"]
        interpreter.set_tensor(x, np.ascontiguousarray(np.moveaxis(arrays.x, 1, -1)))
        return Prepared(interpreter.invoke, lambda: np.moveaxis(interpreter.get_tensor(y), -1, 1))


class _Model:
    """Collects tensors and operators of a flatbuffer."""

    def __init__(self, layer: Layer, arrays: Arrays) -> None:
        self.buffers = [schema.BufferT()]  # the first is empty, for tensors without constants
        self.tensors: list[schema.TensorT] = []
        self.operators: list[schema.OperatorT] = []
        self.codes: list[schema.OperatorCodeT] = []
        n, ic, ih, iw = arrays.x.shape
        self.input = image = self._tensor((n, ih, iw, ic))
        same = layer.padding == _same_of_tensorflow(layer)
        if not same and layer.padding != (_ZERO, _ZERO):
            image = self._pad(image, (n, ih, iw, ic), layer.padding)
        self.output = self._convolution(image, layer, arrays, same)

    def bytes(self) -> bytes:
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [self.input], [self.output]
        model = schema.ModelT()
        model.version = 3
        model.subgraphs, model.buffers = [graph], self.buffers
        model.operatorCodes = self.codes
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, shape: tuple[int, ...], constant: np.ndarray | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name = f"t{len(self.tensors)}"
        tensor.shape = np.array(shape, np.int32)
        tensor.type = schema.TensorType.FLOAT32
        tensor.buffer = 0
        if constant is not None:
            if constant.dtype == np.int32:
                tensor.type = schema.TensorType.INT32
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(constant.tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _constant(self, a: np.ndarray) -> int:
        return self._tensor(a.shape, a)

    def _operator(self, name: str, options: str, inputs: list[int], output: int) -> object:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 1
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.codes)
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        self.codes.append(code)
        self.operators.append(operator)
        return operator.builtinOptions

    def _pad(self, image: int, shape: tuple[int, ...], padding: tuple[tuple[int, int], ...]) -> int:
        edges = np.array([_ZERO, *padding, _ZERO], np.int32)
        padded = self._tensor(tuple(np.array(shape) + edges.sum(axis=1)))
        self._operator("PAD", "PadOptions", [image, self._constant(edges)], padded)
        return padded

    def _convolution(self, image: int, layer: Layer, arrays: Arrays, same: bool) -> int:
        output = self._tensor((layer.batch, layer.oh, layer.ow, layer.oc))
        bias = self._constant(arrays.bias)
        if layer.kind == "depthwise":
            weight = self._constant(np.moveaxis(arrays.weight, 0, -1))  # (1, KH, KW, OC)
            options = self._operator(
                "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", [image, weight, bias], output
            )
            options.depthMultiplier = layer.oc // layer.ic
        else:
            weight = self._constant(np.moveaxis(arrays.weight, 1, -1))  # (OC, KH, KW, IC / groups)
            options = self._operator("CONV_2D", "Conv2DOptions", [image, weight, bias], output)
        options.padding = schema.Padding.SAME if same else schema.Padding.VALID
        options.strideH, options.strideW = layer.stride
        options.dilationHFactor, options.dilationWFactor = layer.dilation
        return output


def _same_of_tensorflow(layer: Layer) -> tuple[tuple[int, int], ...]:
    axes = zip((layer.ih, layer.iw), layer.kernel, layer.stride, layer.dilation, strict=True)
    return tuple(same_padding(*axis) for axis in axes)
