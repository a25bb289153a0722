"""The device side as ONNX, for tools such as ST Edge AI (X-CUBE-AI): in floating point, and as int8 QDQ."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn

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
    with _without_hints():
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


@contextmanager
def _without_hints() -> Iterator[None]:  # onnxruntime's, on a preparation that this graph does not need
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)


def run_onnx(path: Path, images: Tensor) -> Tensor:
    """Return the latents, float32 (B, K, h, w), that onnxruntime computes for images uint8 (B, 3, H, W)."""
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    latents = [session.run(None, {"image": image[None].float().numpy()})[0] for image in images]
    return torch.from_numpy(np.concatenate(latents))


class _Images(CalibrationDataReader):
    """Hands images out one by one."""

    def __init__(self, images: Tensor) -> None:
        self.rest: Iterator[Tensor] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self.rest, None)
        return None if image is None else {"image": image[None].float().numpy()}


def _graph(model: SplitModel, codec: SemanticCodec) -> onnx.ModelProto:
    stem, encoder = float_stem(model), codec.encoder
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: Tensor) -> str:
        array = value.detach().float().cpu().numpy()
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def convolution(source: str, target: str, conv: nn.Conv2d, weight: Tensor, bias: Tensor, pads: list[int]):
        inputs = [source, constant(f"{target}_weight", weight), constant(f"{target}_bias", bias)]
        options = {"kernel_shape": list(conv.kernel_size), "strides": list(conv.stride), "pads": pads}
        return helper.make_node("Conv", inputs, [target], name=target, **options)

    before, after = encoder.margin
    nodes = [
        helper.make_node("Sub", ["image", constant("zero_point", stem.normalize.zero_point[None])], ["centred"]),
        convolution("centred", "stem", stem.conv, stem.weight, stem.bias, [stem.conv.padding[0]] * 4),
    ]
    if stem.top == 6.0:
        limits = [constant("lowest", torch.tensor(0.0)), constant("highest", torch.tensor(6.0))]
        nodes.append(helper.make_node("Clip", ["stem", *limits], ["active"]))
    else:
        nodes.append(helper.make_node("Relu", ["stem"], ["active"]))
    feature = "active"
    if stem.pool:
        pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
        nodes.append(helper.make_node("MaxPool", ["active"], ["feature"], name="pool", **pool))
        feature = "feature"
    pads = [before, before, after, after]
    nodes.append(convolution(feature, "code", encoder.conv, encoder.conv.weight, encoder.conv.bias, pads))
    gamma, beta = encoder.gdn.gamma[:, :, None, None], encoder.gdn.beta
    slope = encoder.prelu.slope[:, None, None]
    nodes += [
        helper.make_node("Mul", ["code", "code"], ["squares"]),
        helper.make_node("Conv", ["squares", constant("gamma", gamma), constant("beta", beta)], ["norm"], name="gdn"),
        helper.make_node("Sqrt", ["norm"], ["root"]),
        helper.make_node("Div", ["code", "root"], ["normal"]),
        helper.make_node("PRelu", ["normal", constant("slope", slope)], ["sloped"]),
        helper.make_node("Mul", ["sloped", constant("scale", encoder.scale)], ["latent"]),
    ]
    size, code = model.image_size, codec.windows(model.feature_shape)
    latent = [1, codec.config.code_channels, code.height, code.width]
    graph = helper.make_graph(
        nodes,
        "semanticnn_device",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("latent", TensorProto.FLOAT, latent)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
