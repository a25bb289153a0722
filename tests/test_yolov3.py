"""YOLOv3's networks: the original's counts, shapes and weight files, and what is refused."""

import struct

import pytest
import torch

from semanticnn_core.tasks import SplitModel
from semanticnn_core.tasks.darknet import read_weights, write_weights
from semanticnn_core.tasks.yolov3 import parts


def numbers(*modules: torch.nn.Module) -> tuple[int, int]:
    """Return the numbers of trained parameters, and of numbers in a weight file."""
    trained = sum(each.numel() for module in modules for each in module.parameters())
    running = [each for module in modules for name, each in module.named_buffers() if "running" in name]
    return trained, trained + sum(each.numel() for each in running)


@pytest.mark.parametrize(
    "classes, trained, stored",
    [
        (80, 61_949_149, 62_001_757),
        (20, 61_626_049, 61_678_657),
        (10, 61_572_199, 61_624_807),
        (1, 61_523_734, 61_576_342),
    ],
)
def test_the_full_network_has_the_originals_parameters(classes, trained, stored):
    with torch.device("meta"):
        device, edge, _ = parts("yolov3", classes, 416, None)
    assert numbers(device, edge) == (trained, stored)


def test_outputs_stand_at_the_originals_places():
    model = SplitModel.of("yolov3", 80, 64, width=0.0625)
    assert model.feature_shape == (4, 32, 32)
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    assert [tuple(each.shape) for each in model.eval()(images)] == [(2, 255, 2, 2), (2, 255, 4, 4), (2, 255, 8, 8)]
    tiny = SplitModel.of("yolov3_tiny", 3, 96, width=0.125)
    assert [tuple(each.shape) for each in tiny.eval()(images.new_zeros(1, 3, 96, 96))] == [(1, 24, 3, 3), (1, 24, 6, 6)]


def test_the_small_networks_stem_is_one_layer_of_stride_two():
    model = SplitModel.of("yolov3_small", 10, 128)
    assert model.feature_shape == (16, 64, 64) and model.feature_range == (0.0, 6.0)
    assert model.task.anchors[0][0] == (31, 42)


def test_folding_keeps_the_outputs():
    model = SplitModel.of("yolov3_small", 4, 64, width=0.125)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        one, other = model.frozen()(images), model.folded()(images)
    assert type(model.folded().edge_part) is not type(model.edge_part)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("yolov3", 10, 100), "multiple of 32"),
        (("yolov3", 0, 96), "classes must be at least 1"),
        (("yolov3", 10, 96, "pool"), "cut after stem"),
        (("yolov3", 10, 96, None, True), "read_weights"),
        (("yolov9", 10, 96), "unknown task model"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        SplitModel.of(*arguments)
    with pytest.raises(ValueError, match="width"):
        SplitModel.of("yolov3", 10, 96, width=8)
    with pytest.raises(ValueError, match="width is for detectors"):
        SplitModel.of("resnet50", 10, 64, width=1)


@pytest.fixture
def written(tmp_path):
    torch.manual_seed(3)
    model = SplitModel.of("yolov3_tiny", 2, 64, width=0.125)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2)
    write_weights(model, tmp_path / "a.weights", seen=2**40)
    return model, tmp_path / "a.weights"


def fresh() -> SplitModel:
    torch.manual_seed(4)
    return SplitModel.of("yolov3_tiny", 2, 64, width=0.125)


def test_weights_come_back(written):
    model, path = written
    other = fresh()
    said = read_weights(other, path)
    assert "13 of 13 layers" in said and f"{2**40:,} images seen" in said
    for name, value in model.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(other.state_dict()[name], value), name
    data = path.read_bytes()
    assert len(data) == 20 + 4 * numbers(model)[1]
    norm = model.device_part[1][1]
    first = torch.cat([norm.bias, norm.weight, norm.running_mean, norm.running_var])
    assert struct.unpack_from("<8f", data, 20) == tuple(first.tolist())


def test_the_old_header_is_shorter(written):
    model, path = written
    path.write_bytes(struct.pack("<iiii", 0, 1, 0, 7) + path.read_bytes()[20:])
    other = fresh()
    assert "7 images seen" in read_weights(other, path)
    assert torch.equal(other.edge_part.neck32[0].weight, model.edge_part.neck32[0].weight)


def test_a_file_may_stop_after_a_layer(written):
    model, path = written
    first = 4 * 2 + model.device_part[1][0].weight.numel()
    path.write_bytes(path.read_bytes()[: 20 + 4 * first])
    other = fresh()
    before = other.edge_part.neck32[0].weight.clone()
    assert "1 of 13 layers" in read_weights(other, path)
    assert torch.equal(other.device_part[1][0].weight, model.device_part[1][0].weight)
    assert torch.equal(other.edge_part.neck32[0].weight, before)


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda data: data[:-4], "ends within layer 12"),
        (lambda data: data + bytes(4), "the network"),
        (lambda data: data[:-3], "leave 1"),
        (lambda data: data[:10], "has 10 bytes"),
        (lambda data: data[:40] + struct.pack("<f", float("nan")) + data[44:], "not finite"),
    ],
)
def test_other_files_are_refused_and_nothing_is_changed(written, damage, words):
    _, path = written
    path.write_bytes(damage(path.read_bytes()))
    other = fresh()
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        read_weights(other, path)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_weight_files_are_for_the_originals(tmp_path):
    with pytest.raises(ValueError, match="yolov3_small has other layers"):
        write_weights(SplitModel.of("yolov3_small", 2, 64, width=0.125), tmp_path / "a.weights")


@pytest.mark.slow
def test_the_full_file_has_the_originals_size(tmp_path):
    write_weights(SplitModel.of("yolov3", 80, 64), tmp_path / "full.weights")
    assert (tmp_path / "full.weights").stat().st_size == 248_007_048
