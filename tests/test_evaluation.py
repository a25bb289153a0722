"""Measuring: against hand computation, deterministic, and sizes against their closed forms."""

import json
import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from semanticnn_core.channels import BinarySymmetric, BitErrors, Payload
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import PAPER, Slice
from semanticnn_core.datasets import Split
from semanticnn_core.evaluation import byte_counts, summarize, sweep
from semanticnn_core.evaluation.publish import sizes_in_words, write_readme, write_results
from semanticnn_core.evaluation.sweep import interval, measure
from semanticnn_core.systems import Received, SemanticNN, offload
from semanticnn_core.systems.journey import byte_bits
from semanticnn_core.tasks import Classification
from semanticnn_core.tasks.split import SplitModel


class Oracle:
    """A system that knows the labels, but for every fifth image, and sends as many bytes as the label says."""

    name, settings = "oracle", {"kind": "wise"}

    def __init__(self, model, split, shift: float) -> None:
        self.model, self.split, self.shift, self.seen, self.answered = model, split, shift, 0, 0

    def send(self, images) -> Payload:
        labels = self.split["label"][self.seen : self.seen + len(images)]
        self.seen += len(images)
        local = {"feature": self.model.device_part(images)} if self.shift else {}
        return Payload(torch.zeros(len(images), 3, dtype=torch.uint8), labels, local)

    def receive(self, arrival) -> Received:
        numbers = torch.arange(self.answered, self.answered + len(arrival.payload)) % len(self.split)
        self.answered += len(numbers)
        labels = self.split["label"][numbers]
        outputs = F.one_hot(torch.where(numbers % 5 == 0, (labels + 1) % 4, labels), 4).float()
        return Received(outputs, arrival.payload.local["feature"] + self.shift if self.shift else None)


def batches_of(size: int, monkeypatch) -> None:
    """Let everything walk through splits in batches of another size."""
    monkeypatch.setitem(measure.__globals__, "BATCH", size)  # the package offers the function, not its module


@pytest.mark.parametrize("batch", [7, 250])
@pytest.mark.parametrize("shift", [0, 0.5])
def test_measure_counts_images_whatever_the_batches(split, dataset, monkeypatch, batch, shift):
    batches_of(batch, monkeypatch)
    oracle = Oracle(split, dataset.test, shift)
    got = measure(oracle, dataset.test, [BitErrors(0.01)], [0])
    keys = {"system": "oracle", "ber": 0.01, "kind": "wise", "seed": 0}
    expected = {"accuracy": 0.8, "agreement": 0.8, "feature_mse": shift**2 if shift else math.nan, "bytes": 1.5}
    expected |= {"accuracy_low": 0.675, "accuracy_high": 0.925}  # 40 images: two standard errors are 0.126
    assert len(got) == 1 and set(got) == {*keys, *expected}
    row = got.iloc[0].to_dict()
    assert {name: row[name] for name in keys} == keys
    spans = {name: expected.pop(name) for name in ("accuracy_low", "accuracy_high")}
    assert {name: row[name] for name in spans} == pytest.approx(spans, abs=0.026)
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-5, nan_ok=True)
    # the tiny split itself is always right


@pytest.mark.parametrize("ratio", [1.0, 0.3])
def test_measure_is_the_way_of_the_bytes(split, codec, dataset, ratio):
    system = SemanticNN(split, codec, Slice(ratio))
    got = measure(system, dataset.test, [BitErrors(0.05)], [3]).iloc[0]
    feature = split.device_part(dataset.test["image"])
    payload = codec.compress(feature, Slice(ratio))
    received = codec.decompress(BitErrors(0.05).channel(3)(payload), (4, 8, 8), Slice(ratio))
    answers = split.edge_part(received).argmax(1).tolist()
    clean, labels = split(dataset.test["image"]).argmax(1).tolist(), dataset.test["label"].tolist()
    assert got["accuracy"] == sum(a == b for a, b in zip(answers, labels, strict=True)) / 40
    assert got["agreement"] == sum(a == b for a, b in zip(answers, clean, strict=True)) / 40
    assert got["feature_mse"] == pytest.approx(float(((received - feature) ** 2).mean()), rel=1e-5)
    assert got["bytes"] == payload.data.shape[1] == codec.payload_bytes((4, 8, 8), Slice(ratio))


def test_a_system_offers_outputs_bytes_and_feature(split, codec, dataset):
    sent = offload(SemanticNN(split, codec), dataset.test["image"][:3], BinarySymmetric(0.01, 0))
    assert sent.received.outputs.shape == (3, 4) and sent.received.feature.shape == (3, 4, 8, 8)
    assert sent.payload.length.tolist() == [24, 24, 24]
    assert torch.equal(sent.payload.local["feature"], split.device_part(dataset.test["image"][:3]))
    assert sent.arrival.ber == 0.01 and sent.arrival.payload.data.shape == (3, 24)


def test_a_sweep_is_one_tidy_row_a_point(split, codec, dataset):
    bers, ratios = (0.0, 0.05), (1.0, 0.3)
    systems, links = [SemanticNN(split, codec, Slice(ratio), "ours") for ratio in ratios], [*map(BitErrors, bers)]
    table = sweep(systems, dataset.test, links, seeds=3)
    columns = "system ber slice_ratio window share_sent seed accuracy agreement feature_mse bytes".split()
    columns += ["accuracy_low", "accuracy_high"]
    assert list(table.columns) == columns and set(table.system) == {"ours"}
    points = [(ratio, ber, seed) for ratio in ratios for ber in bers for seed in range(3)]
    assert list(zip(table.slice_ratio, table.ber, table.seed, strict=True)) == points
    for row in table.itertuples():
        assert row.share_sent == (1.0 if row.slice_ratio == 1 else (2 / 4) ** 2)  # ⌊√0.3·4⌋ = 2
        assert row.bytes == 24 * row.share_sent
        system = SemanticNN(split, codec, Slice(row.slice_ratio), "ours")
        alone = measure(system, dataset.test, [BitErrors(row.ber)], [row.seed]).drop(columns=columns[-2:])
        assert alone.iloc[0].to_dict() == {name: getattr(row, name) for name in alone}
    errorless = table[table.ber == 0].groupby("slice_ratio").feature_mse.nunique()
    assert (errorless == 1).all(), "without errors the seed changes nothing"
    assert table[table.ber == 0.05].groupby("slice_ratio").feature_mse.nunique().min() == 3
    pd.testing.assert_frame_equal(table, sweep(systems, dataset.test, links, seeds=3))


def test_a_sweep_names_its_seeds_and_takes_any_iterables(split, codec, dataset):
    systems, bers = [SemanticNN(split, codec), SemanticNN(split, codec, Slice(0.3), "part")], (0.0, 0.05)
    table = sweep(systems, dataset.test, map(BitErrors, bers), seeds=[5, 1])
    assert table.seed.tolist() == [5, 1] * 4 and table.system.tolist() == ["SemanticNN"] * 4 + ["part"] * 4
    five = sweep(iter(systems), dataset.test, [BitErrors(ber) for ber in bers], seeds=(5,))
    alone = table[table.seed == 5].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.iloc[:, :-2], five.iloc[:, :-2])  # intervals are over all seeds

    def backwards(function, *arguments):
        return reversed([function(*each) for each in reversed(list(zip(*arguments, strict=True)))])

    pd.testing.assert_frame_equal(five, sweep(systems, dataset.test, map(BitErrors, bers), (5,), map=backwards))


@pytest.mark.parametrize("batch", [7, 250])
@pytest.mark.slow
def test_a_sweep_by_image_averages_to_the_sweep(split, codec, dataset, monkeypatch, batch):
    batches_of(batch, monkeypatch)
    systems, links = [SemanticNN(split, codec, Slice(ratio)) for ratio in (1.0, 0.3)], [BitErrors(0.05), BitErrors(0.2)]
    table = sweep(systems, dataset.test, links, seeds=2, by_image=True)
    columns = "system ber slice_ratio window share_sent seed image accuracy agreement feature_mse bytes".split()
    assert list(table.columns) == columns and len(table) == 2 * 2 * 2 * len(dataset.test)
    assert table.image.tolist() == [*range(len(dataset.test))] * 8
    assert set(table.accuracy) | set(table.agreement) == {0.0, 1.0} and (table.bytes == 24 * table.share_sent).all()
    keys = ["slice_ratio", "ber", "seed"]
    means = table.groupby(keys, sort=False)[["accuracy", "agreement", "feature_mse", "bytes"]].mean()
    whole = sweep(systems, dataset.test, links, seeds=2).set_index(keys)[list(means)]
    pd.testing.assert_frame_equal(means, whole)
    assert table.feature_mse.nunique() > 100, "each image has its own error"
    feature = split.device_part(dataset.test["image"])
    first = table[(table.slice_ratio == 1) & (table.ber == 0.05) & (table.seed == 0)]
    if batch == 250:
        received = codec.decompress(BitErrors(0.05).channel(0)(codec.compress(feature)), (4, 8, 8))
        errors = (received - feature).square().flatten(1).mean(1).tolist()
        assert first.feature_mse.tolist() == pytest.approx(errors, rel=1e-5)


def test_a_sweep_by_image_counts_the_bytes_of_each(split, dataset):
    table = sweep([Oracle(split, dataset.test, 0)], dataset.test, [BitErrors(0.0)], 1, by_image=True)
    assert table.bytes.tolist() == dataset.test["label"].tolist()
    assert table.accuracy.tolist() == [float(number % 5 > 0) for number in range(40)]
    assert table.feature_mse.isna().all()


@pytest.mark.parametrize(
    ("systems", "links", "seeds", "found"), [(0, 1, 3, "0, 1, 3"), (1, 0, 3, "1, 0, 3"), (1, 1, 0, "1, 1, 0")]
)
def test_a_sweep_over_nothing_is_refused(split, codec, dataset, systems, links, seeds, found):
    with pytest.raises(ValueError, match=f"needs systems, links and seeds; got {found}"):
        sweep([SemanticNN(split, codec)] * systems, dataset.test, [BitErrors(0.01)] * links, seeds)


def test_classification_scores_images_and_knows_its_chance():
    task, targets = Classification(), {"label": torch.tensor([0, 2, 2, 1, 2])}
    outputs = torch.tensor([[3.0, 1, 2], [0, 0, 1], [5, 0, 1], [0, -1, -2], [0, 0, 9]])
    assert task.metric == "accuracy"
    assert task.answers(outputs)["label"].tolist() == [0, 2, 0, 0, 2]
    assert task.per_image(outputs, targets).tolist() == [1, 1, 0, 0, 1] and task.score(outputs, targets) == 0.6
    assert task.score(outputs, task.answers(outputs)) == 1
    assert task.chance(targets) == 0.6, "2 is the most frequent class"
    assert task.chance({"label": torch.tensor([0, 1])}) == 0.5


def test_classification_smooths_its_loss_where_asked():
    logits, label = torch.randn(4, 5), torch.tensor([0, 4, 2, 2])
    log = logits.log_softmax(1)
    right, mean = log[torch.arange(4), label].mean(), log.mean()
    for smoothing in (0.0, 0.1):
        loss = Classification().loss(logits, {"label": label}, smoothing)
        assert float(loss) == pytest.approx(float(-(1 - smoothing) * right - smoothing * mean), rel=1e-5)


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
    sizes = byte_counts(SplitModel.of("mobilenet_v2", 10, 64), SemanticCodec(PAPER))
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
    codec = SemanticCodec(replace(PAPER, feature_channels=64, code_channels=32, kernel=2, stride=2))
    sizes = byte_counts(model, codec)
    assert (sizes["payload_bytes"], sizes["image_float_bytes"], sizes["feature_float_bytes"]) == (768, 48 * 1024, 65536)
    assert byte_counts(model, codec, Slice(0.8))["payload_bytes"] == 32 * 7 * 7 * 3 / 8


def test_the_readme_holds_results_and_commands(tmp_path, split, codec, dataset):
    split.image_size = 16
    about = {
        "dataset": "quadrants",
        "base": {"model": "tiny", "classes": 4, "image_size": 16, "cut": "conv"},
        "results": {"clean_accuracy": 0.9375},
        "commands": ["semanticnn train-base"],
        "systems": {"SemanticNN": {"results": byte_counts(split, codec), "commands": ["semanticnn train"]}},
    }
    (tmp_path / "config.json").write_text(json.dumps(about))
    table = sweep([SemanticNN(split, codec)], dataset.test, [BitErrors(0.01), BitErrors(0.05)], seeds=2)
    write_results(tmp_path, table)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "results.csv"), table)
    write_readme(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "93.75%" in text and "semanticnn train-base\nsemanticnn train\n" in text and "24 B sent" in text
    for row in summarize(table).itertuples():
        assert f"| {row.ber:.2%} | {row.accuracy:.2%} ({100 * row.accuracy_low:.2f}–" in text
    assert "slice ratio" not in text
    links = [BitErrors(ber) for ber in (0.01, 0.05, 0.4)]
    slices = sweep([SemanticNN(split, codec, Slice(0.3, "energy"))], dataset.test, links, seeds=2)
    write_results(tmp_path, pd.concat([table, slices]))
    write_readme(tmp_path)
    inside = slices[slices.ber < 0.1].groupby("seed").accuracy.mean()
    row = f"| 0.3 | energy | 25% | 8 | {inside.mean():.2%} ± {inside.std():.2%} |"
    assert row in (tmp_path / "README.md").read_text(), "the grid ends at 5 %; 6 bytes and 2 for the window's number"
    (tmp_path / "results.csv").unlink()
    write_readme(tmp_path)
    assert "|" not in (tmp_path / "README.md").read_text()


def test_taking_a_few_items_is_seeded_and_spread(dataset):
    few = dataset.test.take(20)
    assert torch.equal(few["image"], dataset.test.take(20)["image"]) and len(few) == 20
    assert len(few["label"].unique()) == 4 and dataset.test.take(None) is dataset.test
    assert isinstance(few, Split)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        dataset.test.take(0)


def test_rates_are_drawn_independently_at_one_seed():
    payload = Payload(torch.zeros(50, 400, dtype=torch.uint8))
    bits = [BitErrors(ber).channel(3)(payload).payload.data for ber in (0.1, 0.1000001)]
    both = byte_bits(bits[0] & bits[1]).double().mean()
    assert float(both) == pytest.approx(0.01, abs=0.001), (
        "flipped at both rates: by chance alone, and not nearly always"
    )


def test_the_interval_of_a_mean_is_that_of_theory():
    generator = torch.Generator().manual_seed(0)
    images = (torch.rand(400, generator=generator) < 0.9).double()
    low, high = interval([images])
    error = 1.96 * float(images.std()) / 20
    mean = float(images.mean())
    assert (low, high) == pytest.approx((mean - error, mean + error), abs=0.006)
    assert interval([images, images, images]) == pytest.approx((low, high), abs=0.006), "the same images thrice"
    apart = interval([images, 1 - images])
    assert apart[1] - apart[0] > 0.7, "seeds that differ widen it"
    assert all(math.isnan(each) for each in interval([None, None]))


def test_scores_that_are_no_means_are_refused_before_anything_is_sent(split, codec, dataset, monkeypatch):
    monkeypatch.setattr(type(split.task), "per_image", lambda *_: None)
    monkeypatch.setattr(SemanticNN, "send", lambda *_: pytest.fail("something was sent"))
    with pytest.raises(ValueError, match="accuracy is no mean over images; sweep without by_image"):
        sweep([SemanticNN(split, codec)], dataset.test, [BitErrors(0.0)], 1, by_image=True)
