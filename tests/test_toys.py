"""The seams hold: a second task and a second system, a file each, go through training, sweep, tables and figures."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_box_center import BoxCenter, network
from toy_thumbnail import Thumbnail

from semanticnn_core.channels import BitErrors
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import BaseTrainConfig, CodecConfig, CodecTrainConfig
from semanticnn_core.datasets import ImageDataset, load_dataset
from semanticnn_core.evaluation import summarize, sweep
from semanticnn_core.evaluation.publish import add_results
from semanticnn_core.evaluation.tables import paired, read_table
from semanticnn_core.systems import SemanticNN
from semanticnn_core.tasks import SplitModel
from semanticnn_core.training import finetune_semantic, new_codec, pretrain_denoising
from semanticnn_core.training.task_network import train_task_network
from semanticnn_core.viz.figures import draw_curves

LINKS = [BitErrors(0.0), BitErrors(0.05)]


@pytest.mark.parametrize("toy", ["toy_box_center.py", "toy_thumbnail.py"])
def test_a_toy_is_one_short_file(toy):
    assert len((Path(__file__).parent / toy).read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.slow
def test_another_task_trains_and_is_measured():
    data = load_dataset("scene_digits").take(200)
    torch.manual_seed(0)
    model = network()
    still = {"shift": 0, "seed": 0}  # the box does not move with the image
    rows = train_task_network(model, data, BaseTrainConfig(epochs=6, batch_size=20, learning_rate=5e-3, **still))
    chance = BoxCenter().chance(data.test.columns)
    assert rows[-1]["loss"] < rows[0]["loss"] and model.score(data.test) > chance
    config = CodecConfig(
        feature_channels=8, feature_range=model.feature_range, code_channels=8, kernel=2, stride=2, decoder_widths=(16,)
    )
    codec = new_codec(model.frozen(), data, config)
    pretrain_denoising(codec, model.device_part, data, CodecTrainConfig(epochs=4, batch_size=20, **still))
    rows = finetune_semantic(codec, model, data, CodecTrainConfig(epochs=2, batch_size=20, **still))
    assert "validation_closeness" in rows[-1]
    table = sweep([SemanticNN(model, codec)], data.test, LINKS, seeds=2)
    assert {"closeness", "closeness_low", "closeness_high", "agreement"} <= set(table)
    means = summarize(table, metric="closeness").set_index("ber")["closeness"]
    assert chance - 0.1 < means[0.05] <= means[0.0] + 0.01 and means[0.0] <= 1
    assert draw_curves(table, "closeness", "system", "closeness, %").axes


def test_another_system_stands_in_every_table(
    split: SplitModel, codec: SemanticCodec, dataset: ImageDataset, tmp_path: Path
):
    systems = [SemanticNN(split, codec), Thumbnail(split, 4), replace(Thumbnail(split, 3), name="smaller")]
    table = sweep(systems, dataset.test, LINKS, seeds=2)
    assert table.groupby("system")["bytes"].first().to_dict() == {"SemanticNN": 24, "smaller": 27, "thumbnail": 48}
    small = table[table["system"] == "thumbnail"]
    assert small[small["ber"] == 0]["accuracy"].eq(1).all() and small["feature_mse"].isna().all()
    assert (small["side"] == 4).all() and len(summarize(table, ("system", "ber"))) == 6
    assert set(paired(table, "thumbnail", "SemanticNN", "seed")["pairs"]) == {2}
    rows = table.assign(slice_ratio=table["slice_ratio"].fillna(1.0), window=table["window"].fillna("center"))
    add_results(tmp_path / "toys.csv", rows, split.score(dataset.test), len(dataset.test), 768, ["a command"])
    read = read_table(tmp_path / "toys.csv")
    assert read["system"].unique().tolist() == ["uncompressed", "SemanticNN", "thumbnail", "smaller"]
    assert draw_curves(read, "accuracy", "system", "accuracy, %").axes
