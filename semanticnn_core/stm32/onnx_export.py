"""The device side as ONNX, for tools such as ST Edge AI (X-CUBE-AI): in floating point, and as int8 QDQ."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.stm32.quantize import float_stem
from semanticnn_core.tasks.split import SplitModel

OPSET, IR = 17, 8
FLOAT, INT8 = "device_float.onnx", "device_int8.onnx"


@torch.no_grad()
def write_onnx(model: SplitModel, codec: SemanticCodec, folder: Path, images: Tensor) -> None:
    """Write device_float.onnx and device_int8.onnx into a folder.

    Input `image`: float32 (1, 3, H, W), pixels 0–255; output `latent`: (1, K, h, w), what the quantiser compares with
    the thresholds between its centres. images: uint8 (B, 3, H, W), from which the int8 ranges are taken. GDN and PReLU
    stay in floating point: their divisions have no int8 form.
    """
    graph = _graph(model, codec)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, folder / FLOAT)
    # per channel, 8 bits with sign: what ST's tools expect
    quantize_static(
        folder / FLOAT,
        folder / INT8,
        _Images(images),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "MaxPool"],
        nodes_to_exclude=["gdn"],
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )


def run_onnx(path: Path, images: Tensor) -> Tensor:
    """Return the latents, float32 (B, K, h, w), that onnxruntime computes for images uint8 (B, 3, H, W)."""
    options = SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # else 8-bit sums saturate without VNNI
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(np.concatenate([session.run(None, each)[0] for each in _inputs(images)]))


def _inputs(images: Tensor) -> Iterator[dict[str, np.ndarray]]:
    """Yield what the network takes, one image of (B, 3, H, W) at a time."""
    return ({"image": image[None].float().numpy()} for image in images)


class _Images(CalibrationDataReader):
    """Hands images out one by one."""

    def __init__(self, images: Tensor) -> None:
        self.rest = _inputs(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.rest, None)


def _graph(model: SplitModel, codec: SemanticCodec) -> onnx.ModelProto:
    stem, encoder = float_stem(model), codec.encoder
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def add(operator: str, inputs: str, output: str, attributes: dict | None = None, **tensors: Tensor) -> None:
        """Add an operator, named as its output, of earlier outputs and then of constants."""
        arrays = {name: value.detach().float().cpu().contiguous().numpy() for name, value in tensors.items()}
        constants.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
        nodes.append(helper.make_node(operator, [*inputs.split(), *arrays], [output], output, **attributes or {}))

    def sizes(kernel: int, stride: int, before: int, after: int) -> dict[str, list[int]]:
        return {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [before] * 2 + [after] * 2}

    kernel, padding = stem.conv.kernel_size[0], stem.conv.padding[0]
    add("Sub", "image", "centered", zero_point=stem.normalize.zero_point[None])
    add("Conv", "centered", "stem", sizes(kernel, 2, padding, padding), stem_weight=stem.weight, stem_bias=stem.bias)
    if stem.top == 6.0:
        add("Clip", "stem", "active", lowest=torch.tensor(0.0), highest=torch.tensor(6.0))
    else:
        add("Relu", "stem", "active")
    if stem.pool:
        add("MaxPool", "active", "pool", sizes(3, 2, 1, 1))
    feature, conv, gdn = "pool" if stem.pool else "active", encoder.conv, encoder.gdn
    attributes = sizes(conv.kernel_size[0], encoder.stride, *encoder.margin)
    add("Conv", feature, "code", attributes, code_weight=conv.weight, code_bias=conv.bias)
    add("Mul", "code code", "squares")
    add("Conv", "squares", "gdn", gamma=gdn.gamma[:, :, None, None], beta=gdn.beta)
    add("Sqrt", "gdn", "root")
    add("Div", "code root", "normal")
    add("PRelu", "normal", "sloped", slope=encoder.prelu.slope[:, None, None])
    add("Mul", "sloped", "latent", scale=encoder.scale)
    sides = codec.windows(model.feature_shape).size
    shapes = {"image": (3, *[model.image_size] * 2), "latent": (codec.config.code_channels, *sides)}
    image, latent = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *shape]) for name, shape in shapes.items()
    )
    graph = helper.make_graph(nodes, "semanticnn_device", [image], [latent], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    helper.set_model_props(made, {"onnx.quant.pre_process": "onnxruntime.quant"})  # else it is recommended in a warning
    return made
