"""Measuring: against hand computation, deterministic, and sizes against their closed forms."""

import dataclasses
import json
import math

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import CodecConfig
from semanticnn_core.evaluation import byte_counts, measure, summarize, sweep
from semanticnn_core.evaluation import sweep as sweep_function
from semanticnn_core.evaluation.publish import sizes_in_words, write_readme, write_results
from semanticnn_core.systems import SemanticNN
from semanticnn_core.systems.base import Offload
from semanticnn_core.tasks.split import SplitModel


class Oracle:
    """A system that knows the labels, but for every fifth image, and sends as many bytes as the label says."""

    name = "oracle"

    def __init__(self, split, shift: float) -> None:
        self.split, self.shift, self.seen = split, shift, 0

    def infer(self, images, channel) -> Offload:
        labels = self.split.labels[self.seen : self.seen + len(images)]
        wrong = torch.arange(self.seen, self.seen + len(images)) % 5 == 0
        self.seen += len(images)
        outputs = F.one_hot(torch.where(wrong, (labels + 1) % 4, labels), 4).float()
        return Offload(outputs, labels, None if self.shift == 0 else self.feature(images) + self.shift)


@pytest.mark.parametrize("batch", [7, 250])
@pytest.mark.parametrize("shift", [0, 0.5])
def test_measure_counts_images_whatever_the_batches(split, dataset, monkeypatch, batch, shift):
    module = __import__("sys").modules[sweep_function.__module__]
    monkeypatch.setattr(module, "BATCH", batch)
    oracle = Oracle(dataset.test, shift)
    oracle.feature = split.device
    got = measure(oracle, split, dataset.test, 0.01, 0)
    expected = {"accuracy": 0.8, "agreement": 0.8, "feature_mse": shift**2, "bytes": 1.5}
    assert got == pytest.approx(expected, rel=1e-5)  # the tiny split itself is always right


@pytest.mark.parametrize("ratio", [1.0, 0.3])
def test_measure_is_the_way_of_the_bytes(split, codec, dataset, ratio):
    got = measure(SemanticNN(split, codec, ratio), split, dataset.test, 0.05, 3)
    feature = split.device(dataset.test.images)
    payload = codec.compress(feature, ratio)
    received = codec.decompress(BinarySymmetric(0.05, 3)(payload), 0.05, (4, 8, 8), ratio)
    answers, clean = split.edge(received).argmax(1).tolist(), split(dataset.test.images).argmax(1).tolist()
    labels = dataset.test.labels.tolist()
    assert got["accuracy"] == sum(a == b for a, b in zip(answers, labels, strict=True)) / 40
    assert got["agreement"] == sum(a == b for a, b in zip(answers, clean, strict=True)) / 40
    assert got["feature_mse"] == pytest.approx(float(((received - feature) ** 2).mean()), rel=1e-5)
    assert got["bytes"] == payload.shape[1] == codec.payload_bytes((4, 8, 8), ratio)


def test_a_system_offers_outputs_bytes_and_feature(split, codec, dataset):
    offload = SemanticNN(split, codec).infer(dataset.test.images[:3], BinarySymmetric(0.01, 0))
    assert offload.outputs.shape == (3, 4) and offload.feature.shape == (3, 4, 8, 8)
    assert offload.bytes_sent.tolist() == [24, 24, 24]


def test_a_sweep_is_one_tidy_row_a_point(split, codec, dataset):
    bers, ratios = (0.0, 0.05), (1.0, 0.3)
    table = sweep(split, codec, dataset.test, bers, ratios, seeds=3, name="ours")
    columns = "system ber slice_ratio window share_sent seed accuracy agreement feature_mse bytes".split()
    assert list(table.columns) == columns and set(table.system) == {"ours"}
    points = [(ratio, ber, seed) for ratio in ratios for ber in bers for seed in range(3)]
    assert list(zip(table.slice_ratio, table.ber, table.seed, strict=True)) == points
    for row in table.itertuples():
        assert row.share_sent == (1.0 if row.slice_ratio == 1 else (2 / 4) ** 2)  # ⌊√0.3·4⌋ = 2
        assert row.bytes == 24 * row.share_sent
        alone = measure(SemanticNN(split, codec, row.slice_ratio), split, dataset.test, row.ber, row.seed)
        assert alone == {name: getattr(row, name) for name in alone}
    errorless = table[table.ber == 0].groupby("slice_ratio").feature_mse.nunique()
    assert (errorless == 1).all(), "without errors the seed changes nothing"
    assert table[table.ber == 0.05].groupby("slice_ratio").feature_mse.nunique().min() == 3
    pd.testing.assert_frame_equal(table, sweep(split, codec, dataset.test, bers, ratios, seeds=3, name="ours"))


def test_a_sweep_without_seeds_is_refused(split, codec, dataset):
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        sweep(split, codec, dataset.test, (0.01,), seeds=0)


def test_a_summary_is_mean_and_sample_deviation_over_the_seeds():
    points = [(0.01, a, a / 2, 2 * a) for a in (0.2, 0.4, 0.9)] + [(0.05, 0.1, 0.1, 1)]
    rows = [("s", ber, 1.0, "center", *measures, 10.0) for ber, *measures in points]
    names = ["system", "ber", "slice_ratio", "window", "accuracy", "agreement", "feature_mse", "bytes"]
    first, second = summarize(pd.DataFrame(rows, columns=names)).to_dict("records")
    assert first["accuracy"] == pytest.approx(0.5) and first["agreement"] == pytest.approx(0.25)
    assert first["accuracy_std"] == pytest.approx(math.sqrt((0.3**2 + 0.1**2 + 0.4**2) / 2))
    assert (first["feature_mse"], first["bytes"], first["seeds"]) == (pytest.approx(1.0), 10.0, 3)
    assert second["seeds"] == 1 and second["accuracy"] == 0.1


def test_byte_counts_of_the_default():
    sizes = byte_counts(SplitModel.of("mobilenet_v2", 10, 64), SemanticCodec(CodecConfig()))
    assert sizes == {
        "payload_bytes": 384,
        "image_bytes": 12288,
        "feature_bytes": 32768,
        "image_float_bytes": 49152,
        "feature_float_bytes": 131072,
        "image_times": 32,
        "feature_times": pytest.approx(85.333, rel=1e-4),
        "image_float_times": 128,
        "feature_float_times": pytest.approx(341.333, rel=1e-4),
    }
    assert "384 B" in sizes_in_words(sizes) and "341×" in sizes_in_words(sizes)


def test_byte_counts_of_the_papers_first_case_and_of_a_slice():
    model = SplitModel.of("resnet50", 10, 64)
    codec = SemanticCodec(CodecConfig(64, (0.0, math.inf), 32, 2, 2))
    sizes = byte_counts(model, codec)
    assert (sizes["payload_bytes"], sizes["image_float_bytes"], sizes["feature_float_bytes"]) == (768, 48 * 1024, 65536)
    assert byte_counts(model, codec, 0.8)["payload_bytes"] == 32 * 7 * 7 * 3 / 8


def test_the_readme_holds_results_and_commands(tmp_path, split, codec, dataset):
    split.image_size = 16
    about = {
        "dataset": "quadrants",
        "base": {"model": "tiny", "classes": 4, "image_size": 16, "cut": "conv"},
        "results": {"clean_accuracy": 0.9375, **byte_counts(split, codec)},
        "commands": ["semanticnn train-base", "semanticnn train"],
    }
    (tmp_path / "config.json").write_text(json.dumps(about))
    table = sweep(split, codec, dataset.test, (0.01, 0.05), seeds=2)
    write_results(tmp_path, table)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "results.csv"), table)
    write_readme(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "93.75%" in text and "semanticnn train-base\nsemanticnn train\n" in text and "24 B sent" in text
    for row in summarize(table).itertuples():
        assert f"| {row.ber:.2%} | {row.accuracy:.2%} ±" in text
    assert "slice ratio" not in text
    slices = sweep(split, codec, dataset.test, (0.01, 0.05, 0.4), (0.3,), seeds=2, window="energy")
    write_results(tmp_path, pd.concat([table, slices]))
    write_readme(tmp_path)
    inside = slices[slices.ber < 0.1].groupby("seed").accuracy.mean()
    row = f"| 0.3 | energy | 25% | 8 | {inside.mean():.2%} ± {inside.std():.2%} |"
    assert row in (tmp_path / "README.md").read_text(), "the grid ends at 5 %; 6 bytes and 2 for the place"
    (tmp_path / "results.csv").unlink()
    write_readme(tmp_path)
    assert "|" not in (tmp_path / "README.md").read_text()


def test_taking_a_few_items_is_seeded_and_spread(dataset):
    few = dataset.test.take(20)
    assert torch.equal(few.images, dataset.test.take(20).images) and len(few) == 20
    assert len(few.labels.unique()) == 4 and dataset.test.take(None) is dataset.test
    assert dataclasses.is_dataclass(few)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        dataset.test.take(0)
