"""Training: repeatable, resumable to the same bits, and it learns; each run here takes a second."""

import copy
import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tiny import make_codec_config, make_dataset, make_split
from torch import nn
from torch.nn import functional as F

from semanticnn_core.channels import BinarySymmetric, BitErrors
from semanticnn_core.config import BER_GRID, BaseTrainConfig, CodecTrainConfig, TrainConfig
from semanticnn_core.datasets import fingerprint as data_fingerprint
from semanticnn_core.datasets.augment import augment, cropped
from semanticnn_core.draws import Draws
from semanticnn_core.evaluation import sweep
from semanticnn_core.systems import SemanticNN, offload
from semanticnn_core.tasks import PixelNormalize, SplitModel
from semanticnn_core.training import finetune_semantic, new_codec, pretrain_denoising
from semanticnn_core.training.loop import (
    Progress,
    Run,
    TrainingDiverged,
    fingerprint,
    fit,
    is_main_process,
    placed,
    training_device,
)
from semanticnn_core.training.matching import Listened, matching_loss
from semanticnn_core.training.stages import semantic_step
from semanticnn_core.training.task_network import train_task_network

SHORT = CodecTrainConfig(epochs=4, batch_size=32, learning_rate=0.02)
STAGES = (pretrain_denoising, finetune_semantic)


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def part(stage, split: SplitModel) -> nn.Module:
    """Return what a stage asks for: the device part alone, or the whole network."""
    return split.device_part if stage is pretrain_denoising else split


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.slow
def test_the_same_command_gives_the_same_numbers(stage, split, dataset, codec_config):
    runs = []
    for config in (SHORT, SHORT, dataclasses.replace(SHORT, seed=1)):
        codec = new_codec(split, dataset, codec_config, config.seed)
        history = stage(codec, part(stage, split), dataset, config)
        runs.append((history, weights(codec)))
    assert runs[0][0] == runs[1][0] and same(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]
    assert [row["epoch"] for row in runs[0][0]] == [1, 2, 3, 4]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.slow
def test_an_interrupted_training_goes_on_to_the_same_bits(stage, split, dataset, codec_config, tmp_path):
    config = dataclasses.replace(SHORT, slice_ratio=(0.3, 1.0))
    straight = new_codec(split, dataset, codec_config)
    expected = stage(straight, part(stage, split), dataset, config)

    def interrupt(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run = Run(folder=tmp_path, on_epoch=interrupt)
        stage(new_codec(split, dataset, codec_config), part(stage, split), dataset, config, run)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001"], "the last finished epoch, nothing else"
    resumed, seen = new_codec(split, dataset, codec_config), []
    history = stage(resumed, part(stage, split), dataset, config, Run("again", tmp_path, True, on_epoch=seen.append))
    assert history == expected and [row["epoch"] for row in seen] == [2, 3, 4]
    assert same(weights(resumed), weights(straight))
    assert resumed.quantizer.sigma == straight.quantizer.sigma
    again = new_codec(split, dataset, codec_config)
    run = Run(folder=tmp_path, resume=True)
    assert stage(again, part(stage, split), dataset, config, run) == expected, "nothing is left to do"
    assert same(weights(again), weights(straight))


@pytest.mark.slow
def test_resuming_with_other_settings_is_refused_naming_the_field(split, dataset, codec_config, tmp_path):
    pretrain_denoising(new_codec(split, dataset, codec_config), split.device_part, dataset, SHORT, Run(folder=tmp_path))
    for name, value in (("learning_rate", 0.01), ("ber", (1e-3, 5e-2)), ("epochs", 5)):
        other = dataclasses.replace(SHORT, **{name: value})
        codec, run = new_codec(split, dataset, codec_config), Run(folder=tmp_path, resume=True)
        with pytest.raises(ValueError, match=rf"holds a training with {name} = .*--resume"):
            pretrain_denoising(codec, split.device_part, dataset, other, run)


@pytest.mark.slow
def test_resuming_another_network_s_training_is_refused(split, dataset, codec_config, tmp_path):
    pretrain_denoising(new_codec(split, dataset, codec_config), split.device_part, dataset, SHORT, Run(folder=tmp_path))
    other = new_codec(split, dataset, dataclasses.replace(codec_config, decoder_widths=(6,)))
    with pytest.raises(ValueError, match="with start = .* networks, or start anew without --resume"):
        pretrain_denoising(other, split.device_part, dataset, SHORT, Run(folder=tmp_path, resume=True))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.slow
def test_resuming_beside_another_task_network_is_refused_naming_it(stage, split, dataset, codec_config, tmp_path):
    """The codec starts the same: only what it is trained beside has changed."""
    config, start = dataclasses.replace(SHORT, epochs=1), new_codec(split, dataset, codec_config)
    stage(copy.deepcopy(start), part(stage, split), dataset, config, Run(folder=tmp_path))
    stage(copy.deepcopy(start), part(stage, split), dataset, config, Run(folder=tmp_path, resume=True))
    with torch.no_grad():
        split.device_part[1].bias += 0.01
    with pytest.raises(
        ValueError, match="holds a training with network = '[0-9a-f]{16}', not '[0-9a-f]{16}'; resume w"
    ):
        stage(copy.deepcopy(start), part(stage, split), dataset, config, Run(folder=tmp_path, resume=True))


def test_resuming_with_another_start_or_number_of_images_is_refused_naming_it(split, dataset, codec_config, tmp_path):
    config, run = dataclasses.replace(SHORT, epochs=1), Run(folder=tmp_path)
    pretrain_denoising(new_codec(split, dataset, codec_config), split.device_part, dataset, config, run)
    again = dataclasses.replace(run, resume=True)
    with pytest.raises(ValueError, match="with start = "):
        pretrain_denoising(new_codec(split, dataset, codec_config, 1), split.device_part, dataset, config, again)
    with pytest.raises(ValueError, match="with images = 96, not 50"):
        fewer = dataclasses.replace(dataset, train=dataset.train[:50])
        pretrain_denoising(new_codec(split, dataset, codec_config), split.device_part, fewer, config, again)


def test_resuming_on_another_data_set_is_refused_where_the_run_knows_its_data(split, dataset, codec_config, tmp_path):
    labels = dataset.train["label"].clone()
    labels[0] = 3  # one label, in as many images
    other = dataclasses.replace(dataset, train=dataset.train.with_columns(label=labels))
    facts = [{"data": data_fingerprint(each), "weather": "fine"} for each in (dataset, other)]
    config, start = dataclasses.replace(SHORT, epochs=1), new_codec(split, dataset, codec_config)
    runs = [Run(folder=tmp_path, facts=facts[0]), *(Run(folder=tmp_path, resume=True, facts=each) for each in facts)]
    for data, run in zip((dataset, dataset), runs, strict=False):
        finetune_semantic(copy.deepcopy(start), split, data, config, run)
    with pytest.raises(ValueError, match=f"with data = '{facts[0]['data']}', not '{facts[1]['data']}'"):
        finetune_semantic(copy.deepcopy(start), split, other, config, runs[2])
    with pytest.raises(ValueError, match="with weather = 'fine', not 'foul'"):
        run = dataclasses.replace(runs[1], facts=facts[0] | {"weather": "foul"})
        finetune_semantic(copy.deepcopy(start), split, dataset, config, run)


@pytest.mark.slow
def test_a_run_that_is_not_resumed_forgets_the_one_before(split, dataset, codec_config, tmp_path):
    run = Run(folder=tmp_path)
    for epochs in (2, 1):
        config = dataclasses.replace(SHORT, epochs=epochs, seed=epochs)
        pretrain_denoising(new_codec(split, dataset, codec_config), split.device_part, dataset, config, run)
        assert [path.name for path in tmp_path.iterdir()] == [f"epoch-{epochs:05d}"]
    rows = []
    started = dataclasses.replace(run, folder=tmp_path / "new", resume=True, on_epoch=rows.append)
    pretrain_denoising(new_codec(split, dataset, codec_config), split.device_part, dataset, config, started)
    assert [row["epoch"] for row in rows] == [1], "there is nothing to resume, so it begins"


def test_a_fingerprint_is_that_of_every_weight_and_buffer(split):
    first = fingerprint(split)
    assert first == fingerprint(copy.deepcopy(split)) and len(first) == 16
    assert first != fingerprint(split.device_part)
    norm = nn.BatchNorm2d(2)
    seen = {fingerprint(norm)}
    for change in (lambda: norm.running_mean.add_(1e-6), lambda: norm.num_batches_tracked.add_(1), norm.double):
        change()
        seen.add(fingerprint(norm))
    assert len(seen) == 4
    assert fingerprint(nn.Linear(2, 3)) != fingerprint(nn.Linear(3, 2))


def test_a_tracker_gets_every_number_of_every_epoch(split, dataset, codec_config, tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(Accelerator, "log", lambda self, values, step: logged.append((values, step)))
    config = dataclasses.replace(SHORT, epochs=2)
    rows = pretrain_denoising(new_codec(split, dataset, codec_config), split.device_part, dataset, config)
    assert logged == [
        ({f"stage 1: denoising/{name}": value for name, value in row.items() if name != "epoch"}, row["epoch"])
        for row in rows
    ]


def test_trainings_run_on_this_processs_device_and_modules_are_brought_back():
    assert training_device() == torch.device("cpu") and is_main_process()
    module = nn.Linear(2, 2).to("meta")
    with placed(torch.device("meta"), module, nn.ReLU()):
        assert module.weight.device.type == "meta"
    module = nn.BatchNorm2d(3)
    with pytest.raises(KeyError), placed(torch.device("cpu"), module):
        raise KeyError
    assert module.weight.device.type == "cpu"


@pytest.mark.parametrize("seed", [42_949, 2**31 - 1])
@pytest.mark.slow
def test_large_seeds_train_too(seed, split, dataset, codec_config):
    config = dataclasses.replace(SHORT, epochs=1, seed=seed)
    assert math.isfinite(
        pretrain_denoising(new_codec(split, dataset, codec_config), split.device_part, dataset, config)[0]["loss"]
    )


def test_a_rise_of_one_step_has_a_length(split, dataset, codec_config):
    config = dataclasses.replace(SHORT, epochs=1, batch_size=32, warmup=0.25)  # 3 steps, so that 0.25 is one
    assert pretrain_denoising(new_codec(split, dataset, codec_config), split.device_part, dataset, config)


def test_preparing_and_measuring_leave_batch_statistics_alone(dataset, codec_config):
    device = nn.Sequential(nn.Conv2d(3, 4, 2, 2), nn.BatchNorm2d(4), nn.ReLU6())
    model = SplitModel(
        nn.Sequential(PixelNormalize(), *device), nn.Sequential(nn.Flatten(), nn.Linear(256, 4)), 16
    ).train()
    before = device[1].running_mean.clone()
    codec = new_codec(model, dataset, codec_config)
    sweep([SemanticNN(model, codec)], dataset.test, [BitErrors(0.01)], seeds=1)
    assert torch.equal(device[1].running_mean, before) and model.training and device[1].training


def test_a_loss_that_is_no_number_stops_training_saying_where(dataset):
    steps = []

    def step(network, batch, progress):
        steps.append(progress.epoch)
        loss = network(batch["image"].flatten(1).float() / 255).mean()
        return {"loss": loss * math.nan if len(steps) == 5 else loss}

    config = TrainConfig(epochs=3, batch_size=32, learning_rate=0.125)
    model = nn.Linear(768, 1)
    with pytest.raises(TrainingDiverged, match=r"epoch 2, step 2 .*learning_rate below 0\.125"):
        fit(model, step, lambda network: {}, dataset.train, config)
    assert model.weight.isfinite().all(), "the step that failed was not taken"


def test_the_running_average_of_the_weights_is_kept_and_validated(dataset):
    """Against the average by hand; without one, the last weights are kept."""
    steps, seen, config = [], [], TrainConfig(epochs=3, batch_size=32, average=0.25)

    def step(network, batch, progress):
        steps.append(weights(network))  # before the step: those that the one before left
        return {"loss": network(batch["image"].flatten(1).float() / 255).mean()}

    def validate(network):
        seen.append(weights(network))
        return {}

    kept = {}
    for average in (0.25, 0.0):
        steps.clear(), seen.clear()
        torch.manual_seed(0)
        model = nn.Linear(768, 1)
        fit(model, step, validate, dataset.train, dataclasses.replace(config, average=average))
        kept[average] = weights(model)
        assert same(weights(model), seen[-1]) and len(seen) == 3
    decay, expected = 1 - 1 / (0.25 * len(steps)), steps[1]["bias"]
    for each in [*steps[2:], kept[0.0]]:
        expected = decay * expected + (1 - decay) * each["bias"]
    assert torch.allclose(kept[0.25]["bias"], expected) and not torch.allclose(kept[0.0]["bias"], expected)


def test_whole_numbers_are_not_averaged(dataset):
    """0.9 · 3 + 0.1 · 3 is a little below 3, and would be stored as 2."""
    model = nn.Linear(768, 1)
    model.register_buffer("code", torch.arange(256))

    def step(network, batch, progress):
        return {"loss": network(batch["image"].flatten(1).float() / 255).mean()}

    steps = 20 * (len(dataset.train) // 32)
    fit(model, step, lambda network: {}, dataset.train, TrainConfig(epochs=20, batch_size=32, average=10 / steps))
    assert torch.equal(model.code, torch.arange(256))


@pytest.mark.slow
def test_stage_1_needs_the_device_alone_and_lowers_the_error(split, dataset, codec_config):
    def mse(codec) -> float:
        feature = split.device_part(dataset.test["image"])
        with torch.no_grad():
            return float(F.mse_loss(codec.eval()(feature, BinarySymmetric(0.01, 0)).feature, feature))

    codec = new_codec(split, dataset, codec_config)
    before = mse(codec)
    nothing = torch.zeros(len(dataset.train), dtype=torch.long)
    untaught = dataclasses.replace(dataset, train=dataset.train.with_columns(label=nothing))
    split.requires_grad_(True).edge_part = None
    history = pretrain_denoising(codec, split.device_part, untaught, dataclasses.replace(SHORT, epochs=8))
    assert mse(codec) < 0.5 * before
    assert not any(each.requires_grad or each.grad is not None for each in split.device_part.parameters())
    assert history[-1]["validation_mse"] < history[0]["validation_mse"]


@pytest.mark.slow
def test_stage_1_ends_with_the_optimal_order_and_stage_2_keeps_it(split, dataset, codec_config):
    codec = new_codec(split, dataset, codec_config)
    pretrain_denoising(codec, split.device_part, dataset, SHORT)
    code = codec.quantizer.code.clone()
    codec.set_code_order(SHORT.ber)
    assert torch.equal(codec.quantizer.code, code), "the order is the optimum for the centres as trained"
    assert codec.quantizer.sigma == SHORT.sigma[1]
    codec.quantizer.code.copy_(torch.tensor([5, 2, 7, 0, 1, 6, 3, 4]))  # no optimum of anything
    centers = codec.quantizer.centers.detach().clone()
    finetune_semantic(codec, split, dataset, SHORT)
    assert codec.quantizer.code.tolist() == [5, 2, 7, 0, 1, 6, 3, 4]
    assert not torch.equal(codec.quantizer.centers.detach(), centers), "the centres go on learning"


@pytest.mark.slow
def test_stage_2_learns_the_task_and_leaves_the_network_alone(split, dataset, codec_config):
    def accuracy(codec) -> float:
        sent = offload(SemanticNN(split, codec.eval()), dataset.test["image"], BinarySymmetric(0.01, 0))
        return float((sent.received.outputs.argmax(1) == dataset.test["label"]).float().mean())

    split.requires_grad_(True).train()
    network, codec = weights(split), new_codec(split, dataset, codec_config)
    before = accuracy(codec)
    history = finetune_semantic(codec, split, dataset, dataclasses.replace(SHORT, epochs=10))
    assert accuracy(codec) > max(0.75, before + 0.2), "chance is 0.25"
    assert same(weights(split), network)
    assert not any(each.requires_grad or each.grad is not None for each in split.parameters()) and not split.training
    assert {"loss", "L_div", "L_cls", "L_distill", "validation_accuracy"} <= set(history[0])
    assert history[-1]["L_cls"] < history[0]["L_cls"]


def test_without_distillation_there_is_no_such_term(split, dataset, codec_config):
    config = dataclasses.replace(SHORT, epochs=1, distill=0.0)
    history = finetune_semantic(new_codec(split, dataset, codec_config), split, dataset, config)
    assert "L_distill" not in history[0]


@pytest.mark.slow
def test_the_explanation_loss_takes_part_when_it_has_a_weight(split, dataset, codec_config):
    """One step by hand, then a training: L_XAI is weighed by γ and raises what speaks for the true class."""
    config = dataclasses.replace(SHORT, distill=0.0, jitter=0.0, shift=0)
    batch = dataset.train.batch(range(16))
    assert "teacher" not in batch
    values = []
    for gamma in (0.0, 0.7):
        codec, draws = new_codec(split, dataset, codec_config).train(), Draws(0)
        step = semantic_step(split, dataclasses.replace(config, gamma=gamma))
        values.append({name: term.item() for name, term in step(codec, batch, Progress(0, 0.0, draws)).items()})
    assert "L_XAI" not in values[0]
    assert values[1]["loss"] == pytest.approx(values[0]["loss"] + 0.7 * values[1]["L_XAI"], rel=1e-5)
    history = finetune_semantic(
        new_codec(split, dataset, codec_config), split, dataset, dataclasses.replace(config, gamma=5.0, epochs=10)
    )
    assert history[-1]["L_XAI"] < history[0]["L_XAI"]


def test_another_network_can_guide_the_explanation_loss(split, dataset, codec_config):
    asked = []

    def guide(feature):
        asked.append(feature)
        return split.edge_part(feature)

    config = dataclasses.replace(SHORT, gamma=1.0, distill=0.0)
    step = semantic_step(split, config, guide)
    codec = new_codec(split, dataset, codec_config).train()
    step(codec, dataset.train.batch(range(8)), Progress(0, 0.0, Draws(0)))
    assert len(asked) == 1


@pytest.mark.slow
def test_matched_layers_take_part_when_they_have_a_weight(split, dataset, codec_config):
    """The layer of the tiny edge is its output: what a step adds is its relative error, by hand."""
    config = dataclasses.replace(SHORT, distill=0.0, jitter=0.0, shift=0)
    batch, terms = dataset.train.batch(range(16)), []
    for match in (0.0, 0.3):
        codec = new_codec(split, dataset, codec_config).train()
        terms.append(
            semantic_step(split, dataclasses.replace(config, match=match))(codec, batch, Progress(0, 0.0, Draws(0)))
        )
    assert "L_match" not in terms[0] and "teacher" not in batch
    values = [{name: term.item() for name, term in each.items()} for each in terms]
    assert values[1]["loss"] == pytest.approx(values[0]["loss"] + 0.3 * values[1]["L_match"], rel=1e-5)
    clean, perfect = split(batch["image"]), Listened(split.edge_part)
    outputs, said = perfect(split.device_part(batch["image"]))
    assert torch.equal(outputs, clean) and len(said) == 1 and torch.equal(said[0], clean)
    assert matching_loss(said, said) == 0 and float(matching_loss([0 * clean], said)) == pytest.approx(1)
    taught = dataclasses.replace(config, match=5.0, distill=1.0, epochs=10)
    history = finetune_semantic(new_codec(split, dataset, codec_config), split, dataset, taught)
    assert history[-1]["L_match"] < history[0]["L_match"] and "L_distill" in history[0]


def test_of_a_deep_network_evenly_spread_layers_are_heard():
    layers = [nn.Conv2d(1, 1, 1) for _ in range(20)]
    heard = Listened(nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 2))).layers
    assert [layers.index(each) for each in heard[1:]] == [17, 14, 11, 8, 5, 2] and isinstance(heard[0], nn.Linear)


@pytest.mark.parametrize("stage", STAGES)
def test_training_meets_windows_in_the_middle_and_anywhere(stage, split, dataset, codec_config):
    codec, met = new_codec(split, dataset, codec_config), []
    codec.register_forward_hook(lambda module, arguments, _: met.append(arguments[3]) if module.training else None)
    config = dataclasses.replace(SHORT, epochs=2, slice_ratio=(0.3, 0.3), window="anywhere")
    stage(codec, part(stage, split), dataset, config)
    corners = torch.cat(met)
    assert len(corners) == 2 * len(dataset.train), "one window a sample"
    assert corners.unique(dim=0).tolist() == [[i, j] for i in range(3) for j in range(3)], "2×2 of 4×4"
    middle = (corners == 1).all(1).float().mean()
    assert 0.4 < middle < 0.7, "half, and a ninth of the rest"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.slow
def test_training_meets_its_range_of_error_rates_and_slice_ratios(stage, split, dataset, codec_config):
    codec = new_codec(split, dataset, codec_config)
    sizes, rates = [], []

    def watch(module, arguments, result) -> None:
        if module.training:
            sizes.append(result.symbols.shape[-1])
            rates.append(arguments[1].ber)

    codec.register_forward_hook(watch)
    stage(codec, part(stage, split), dataset, dataclasses.replace(SHORT, epochs=8, slice_ratio=(0.05, 1.0)))
    assert set(sizes) >= {1, 2, 3}, "⌊√ratio·4⌋ for ratios in [0.05, 1)"
    rates = torch.cat(rates)
    assert len(rates) == 8 * len(dataset.train), "one rate a sample"
    assert SHORT.ber[0] <= float(rates.min()) < 2e-4 and 2.5e-2 < float(rates.max()) <= SHORT.ber[1]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.slow
def test_training_meets_lost_bytes_and_receivers_that_are_mistaken(stage, split, dataset, codec_config):
    codec, present, factors = new_codec(split, dataset, codec_config), [], []

    def watch(module, arguments, _) -> None:
        if module.training:
            present.append(arguments[4])
            factors.append(arguments[1].ber / arguments[1].channel.ber)

    codec.register_forward_hook(watch)
    stage(codec, part(stage, split), dataset, dataclasses.replace(SHORT, epochs=8, lost=0.6, mistaken=4.0))
    came, factors = torch.cat(present).float().mean(1), torch.cat(factors)
    assert present[0].shape[1] == 24, "the bytes of the whole code"
    assert 0.4 < float((came == 1).float().mean()) < 0.62, "half lose nothing"
    assert 0.15 < float(came.min()) < 0.5 and 0.8 < float(came.mean()) < 0.9
    assert 0.25 <= float(factors.min()) < 0.3 and 3.3 < float(factors.max()) <= 4
    assert float(factors.log().mean().abs()) < 0.15


def test_validation_walks_the_ber_grid_alike_in_every_epoch(split, dataset, codec_config):
    codec, met = new_codec(split, dataset, codec_config), []

    def watch(module, arguments, result) -> None:
        if not module.training:
            met.append((arguments[1].ber, result.feature.shape))

    codec.register_forward_hook(watch)
    pretrain_denoising(codec, split.device_part, dataset, dataclasses.replace(SHORT, epochs=2))
    assert len(met) == 2 and all(len(ber) == len(dataset.validation) for ber, _ in met)
    assert torch.equal(met[0][0], met[1][0]) and met[0][0][:5].tolist() == pytest.approx(BER_GRID)


@pytest.mark.slow
def test_sigma_rises_through_stage_1_and_stays_in_stage_2(split, dataset, codec_config):
    codec, sigmas = new_codec(split, dataset, codec_config), []
    codec.register_forward_hook(lambda module, *_: sigmas.append(module.quantizer.sigma) if module.training else None)
    pretrain_denoising(codec, split.device_part, dataset, SHORT)
    low, high = SHORT.sigma
    assert sigmas == sorted(sigmas) and sigmas[0] == low and 0.8 * high < sigmas[-1] < high
    sigmas.clear()
    finetune_semantic(codec, split, dataset, SHORT)
    assert set(sigmas) == {high}


@pytest.mark.slow
def test_the_test_split_chooses_nothing(split, dataset, codec_config):
    blind = dataclasses.replace(dataset, test=None)
    codec, other = new_codec(split, dataset, codec_config), new_codec(split, blind, codec_config)
    for stage in STAGES:
        assert stage(codec, part(stage, split), dataset, SHORT) == stage(other, part(stage, split), blind, SHORT)


def small_network() -> SplitModel:
    device = nn.Sequential(PixelNormalize(), nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.ReLU())
    return SplitModel(device, nn.Sequential(nn.Flatten(), nn.Linear(128, 4)), 16)


@pytest.mark.slow
def test_the_task_network_learns_repeatably(dataset):
    config = BaseTrainConfig(epochs=12, batch_size=16, learning_rate=0.02, shift=1)
    histories, models = [], []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(small_network())
        histories.append(train_task_network(models[-1], dataset, config))
    assert histories[0] == histories[1] and same(weights(models[0]), weights(models[1]))
    assert models[0].score(dataset.test) > 0.8
    assert models[0].score(dataset.validation) == histories[0][-1]["validation_accuracy"]


def test_augmentation_moves_whole_pixels_and_can_be_switched_off(dataset):
    images, draws = dataset.train["image"][:32], Draws(0)
    still = BaseTrainConfig(shift=0, jitter=0.0)
    assert torch.equal(augment({"image": images}, still, draws)["image"], images)
    moved = augment({"image": images}, BaseTrainConfig(shift=2, jitter=0.0), draws)["image"].float()
    padded = F.pad(images.float(), (2, 2, 2, 2), mode="reflect")
    windows = {(y, x): padded[:, :, y : y + 16, x : x + 16] for y in range(5) for x in range(5)}
    found = [
        {at for at, window in windows.items() if torch.allclose(window[i], moved[i], atol=1e-3)} for i in range(32)
    ]
    assert all(found) and len(set().union(*found)) > 10
    mirrored = augment({"image": images}, BaseTrainConfig(shift=0, jitter=0.0, flip=True), draws)["image"].float()
    turned = [torch.allclose(mirrored[i], images[i].float().flip(-1), atol=1e-3) for i in range(32)]
    assert 5 < sum(turned) < 27


def test_a_crop_is_one_square_anywhere_and_the_whole_where_none_is_asked_for():
    images = torch.arange(2 * 3 * 9 * 7).view(2, 3, 9, 7)
    assert cropped(images, 0, Draws(0)) is images
    assert cropped(images, 8, Draws(0)).shape == (2, 3, 8, 7)
    draws, corners = Draws(0), set()
    for _ in range(200):
        part = cropped(images, 6, draws)
        y, x = divmod(int(part[0, 0, 0, 0]), 7)
        assert torch.equal(part, images[..., y : y + 6, x : x + 6])
        corners.add((y, x))
    assert corners == {(y, x) for y in range(4) for x in range(2)}


def test_stage_1_learns_on_crops(split, dataset, codec_config):
    sizes = []
    device = nn.Sequential(split.device_part).eval()
    device.register_forward_hook(lambda *event: sizes.append(event[1][0].shape[-1]))
    config = dataclasses.replace(SHORT, epochs=1, crop=10)
    pretrain_denoising(new_codec(split, dataset, codec_config), device, dataset, config)
    assert sizes == [10, 10, 10, 16], "three steps, and whole images in validation"


def test_augmentation_coarsens_half_of_the_images():
    images = torch.randint(0, 256, (64, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    coarse = BaseTrainConfig(shift=0, jitter=0.0, coarse=4.0)
    out = augment({"image": images}, coarse, Draws(1))["image"]  # by a factor of 2.9
    changed = (out != images).flatten(1).any(1)
    rough = [each.float().diff(dim=-1).square().mean() for each in (out[changed], images[changed])]
    assert 20 < changed.sum() < 44 and rough[0] < 0.5 * rough[1]
    flat = torch.full_like(images, 77)
    assert torch.equal(augment({"image": flat}, coarse, Draws(0))["image"], flat)


def test_augmentation_disturbs_each_image_by_its_own_noise():
    images = torch.full((256, 3, 16, 16), 128, dtype=torch.uint8)
    noise = BaseTrainConfig(shift=0, jitter=0.0, noise=30.0)
    fine, rough = (
        augment({"image": images}, each, Draws(0))["image"].float() - 128
        for each in (noise, dataclasses.replace(noise, grain=8.0))
    )
    deviation = fine.flatten(1).std(1)
    assert deviation.max() < 33 and deviation.mean() == pytest.approx(10, rel=0.15)  # 30·E[u²]
    deviation = rough.flatten(1).std(1)
    assert deviation.max() < 40 and deviation.mean() == pytest.approx(10, rel=0.15)  # few squares: wider
    for dim in (2, 3):
        alike = [(each.diff(dim=dim) == 0).float().mean() for each in (fine, rough)]
        assert alike[1] > 0.6 > 2 * alike[0]


GOLDEN = {"stage1": [1.20726, 0.84018], "stage2": [2.28905, 1.00634]}


def test_golden_smoke_run(split, dataset, codec_config):
    """A seeded run replayed against stored numbers.

    A latent on a threshold may round either way with other threads or another CPU (0.3 % was seen between one thread
    and two); a change of the training itself moves these numbers by far more than 1 %.
    """
    codec = new_codec(split, dataset, codec_config)
    first = pretrain_denoising(codec, split.device_part, dataset, dataclasses.replace(SHORT, epochs=2))
    second = finetune_semantic(codec, split, dataset, dataclasses.replace(SHORT, epochs=2))
    assert [row["loss"] for row in first] == pytest.approx(GOLDEN["stage1"], rel=1e-2)
    assert [row["loss"] for row in second] == pytest.approx(GOLDEN["stage2"], rel=1e-2)


TWO_PROCESSES = """
import sys
import torch
from tiny import make_codec_config, make_dataset, make_split
from semanticnn_core.config import CodecTrainConfig
from semanticnn_core.training import finetune_semantic, new_codec, pretrain_denoising

split, dataset = make_split(), make_dataset()
codec = new_codec(split, dataset, make_codec_config())
config = CodecTrainConfig(epochs=2, batch_size=16, learning_rate=0.02, slice_ratio=(0.3, 1.0))
rows = pretrain_denoising(codec, split.device_part, dataset, config) + finetune_semantic(codec, split, dataset, config)
rank = torch.distributed.get_rank()
assert torch.distributed.get_world_size() == 2
torch.save({"weights": codec.state_dict(), "rows": rows}, f"{sys.argv[1]}/{rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_train_one_codec_and_as_one_process_would(tmp_path):
    (tmp_path / "train.py").write_text(TWO_PROCESSES)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    here = Path(__file__).parent
    done = subprocess.run(
        [*command, str(tmp_path / "train.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    mine, others = (rank["weights"] for rank in ranks)
    assert [name for name in mine if not torch.equal(mine[name], others[name])] == []
    scores = [[row.get("validation_mse", row.get("validation_loss")) for row in rank["rows"]] for rank in ranks]
    assert scores[0] == scores[1], "both processes validate the same weights"

    split, dataset = make_split(), make_dataset()
    codec = new_codec(split, dataset, make_codec_config())
    config = CodecTrainConfig(epochs=2, batch_size=16, learning_rate=0.02, slice_ratio=(0.3, 1.0))
    alone = pretrain_denoising(codec, split.device_part, dataset, config)
    alone += finetune_semantic(codec, split, dataset, config)
    losses = [[row["loss"] for row in rank["rows"]] for rank in ranks]
    together = [sum(pair) / 2 for pair in zip(*losses, strict=True)]  # each process reports its half of the batches
    assert together == pytest.approx([row["loss"] for row in alone], rel=1e-2), "and what one process would"
    assert scores[0] == pytest.approx(
        [row.get("validation_mse", row.get("validation_loss")) for row in alone], rel=1e-2, abs=1e-3
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"),
        ("ACCELERATE_MIXED_PRECISION", "bf16"),
        ("ACCELERATE_DYNAMO_BACKEND", "EAGER"),
    ],
)
@pytest.mark.slow
def test_the_environment_of_accelerate_changes_no_number(name, value, split, dataset, codec_config, monkeypatch):
    config = CodecTrainConfig(epochs=1, batch_size=32)

    def trained() -> float:
        codec = new_codec(split, dataset, codec_config)
        return finetune_semantic(codec, split, dataset, config)[-1]["loss"]

    before = trained()
    monkeypatch.setenv(name, value)
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        assert trained() == before
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def test_a_tracker_that_is_not_installed_is_named_before_work(split, dataset, codec_config):
    codec = new_codec(split, dataset, codec_config)
    with pytest.raises(ValueError, match="the tracker 'abacus' is not installed.*pip install tensorboard"):
        pretrain_denoising(codec, split.device_part, dataset, CodecTrainConfig(epochs=1), Run(tracker="abacus"))
