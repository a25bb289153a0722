"""Compared systems: the bytes that leave, what arrives of them, training that learns, and one's own in one file."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.channels import INDEPENDENT, Arrival, BinarySymmetric, BitErrors, Payload
from semanticnn_core.cli import main
from semanticnn_core.codec.parity import parity_code
from semanticnn_core.datasets import ImageDataset
from semanticnn_core.evaluation import sweep
from semanticnn_core.evaluation.benchmark import LINKS, RATES, benchmark, measured, read_benchmark
from semanticnn_core.evaluation.costs import costs
from semanticnn_core.evaluation.ranking import ranking, ranking_table
from semanticnn_core.files import CHECKOUT
from semanticnn_core.systems import SemanticNN, compared, offload
from semanticnn_core.systems.adjscc import FloatADJSCC, UniformADJSCC
from semanticnn_core.systems.agilenn import AgileNN, LocalHead
from semanticnn_core.systems.bottlenet import BottleNet
from semanticnn_core.systems.compared import FIXED, SYSTEMS, WEIGHED_PARITY, channel_bytes, data_bytes, from_file
from semanticnn_core.systems.compared import RATES as CODE_RATES
from semanticnn_core.systems.deepcod import DeepCOD
from semanticnn_core.systems.deepsc import DeepSC, EdgeDeepSC
from semanticnn_core.systems.learned import Budget, FeatureCodec, LearnedSystem, channels_for
from semanticnn_core.systems.limitnet import BareLimitNet, LimitNet
from semanticnn_core.systems.lzw import lzw_codes, lzw_symbols
from semanticnn_core.systems.necst import IABF, NECST
from semanticnn_core.systems.neuromessenger import NeuroMessenger
from semanticnn_core.systems.pictures import Picture
from semanticnn_core.systems.product_vq import ProductVQ
from semanticnn_core.systems.protected import CHECKSUM, Protected, Retransmitted, combined, majority
from semanticnn_core.systems.raw import Raw
from semanticnn_core.systems.thumbnail import LearnedThumbnail, Thumbnail
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training.loop import fingerprint
from semanticnn_core.viz.ranking import draw_rivals

SIZE = 384
FEW = Budget(images=32, epochs=(1, 1))
BYTES = {
    NECST: 384, IABF: 384, ProductVQ: 384, DeepCOD: 384, AgileNN: 384, FloatADJSCC: 4096, UniformADJSCC: 384,
    BottleNet: 384, DeepSC: 4096, EdgeDeepSC: 384, LimitNet: 384, BareLimitNet: 384, LearnedThumbnail: 384,
    LocalHead: 0,
}  # fmt: skip


class Clean:
    """A training channel without errors, at a rate that is believed in."""

    ber = 0.01

    def wrong_bits(self, count: int, bits: int, device: torch.device) -> Tensor:
        return torch.zeros(count, bits, dtype=torch.bool)


def started(make: type[FeatureCodec], split: SplitModel, dataset: ImageDataset) -> LearnedSystem:
    codec = make(split, SIZE)
    images = dataset.train.batch(torch.arange(32))["image"]
    with torch.no_grad():
        codec.start(split.device_part(images), split)
    return LearnedSystem(split, codec.eval().requires_grad_(False), codec.title)


@pytest.mark.parametrize("make", BYTES, ids=lambda make: make.__name__)
@pytest.mark.slow
def test_a_learned_system_sends_its_bytes_and_training_sees_what_arrives(make, split, dataset):
    system = started(make, split, dataset)
    images = dataset.test["image"][:6]
    payload = system.send(images)
    assert payload.data.shape == (6, BYTES[make]) and torch.equal(payload.data, system.send(images).data)
    received = system.receive(Arrival(payload, ber=Clean.ber))
    assert received.feature.shape == (6, *split.feature_shape) and received.outputs.shape == (6, 4)
    if make not in (NECST, IABF):  # which draw their bits in training
        seen = images if system.codec.sees == "image" else split.device_part(images)
        forward, _ = system.codec(seen, Clean())
        assert torch.allclose(forward, received.feature, atol=1e-5)
    assert len(sweep([system], dataset.test, [BitErrors(0.05)], 1)) == 1
    for more in (-1, 1) if BYTES[make] else (1,):
        other = torch.nn.functional.pad(payload.data, (0, more))
        with pytest.raises((ValueError, RuntimeError)):
            system.receive(Arrival(Payload(other), ber=0.01))


def test_a_learned_thumbnail_begins_as_the_plain_one(split, dataset):
    learned, images = started(LearnedThumbnail, split, dataset), dataset.test["image"]
    plain, own = (offload(each, images, BitErrors(0.01).channel(0)).received for each in (Thumbnail(split), learned))
    assert torch.allclose(own.outputs, plain.outputs, atol=1e-4)
    first = learned.codec.train().first
    assert not first.training and learned.codec.training


def test_a_head_that_sends_nothing_answers_the_same_over_every_link(split, dataset):
    head = started(LocalHead, split, dataset)
    images = dataset.test["image"]
    quiet, loud = (offload(head, images, BinarySymmetric(ber, 0)).received.outputs for ber in (0.0, 0.5))
    assert torch.equal(quiet, loud) and quiet.std(0).min() > 0


@pytest.mark.parametrize("make", BYTES, ids=lambda make: make.__name__)
@pytest.mark.slow
def test_every_weight_of_a_learned_system_gets_a_gradient(make, split, dataset):
    codec = started(make, split, dataset).codec.train().requires_grad_()
    images = dataset.train["image"][:8]
    feature = split.device_part(images)
    received, penalty = codec(images if codec.sees == "image" else feature, BinarySymmetric(0.05, 1))
    outputs = codec.answer(split.edge_part(received), codec.local(feature))
    (received.sum() + outputs.square().sum() + penalty).backward()
    idle = {name for name, each in codec.named_parameters() if each.grad is None}
    allowed = {"encoder.gdn", "encoder.prelu", "encoder.conv"} if make in (BottleNet, DeepSC) else set()
    assert all(any(name.startswith(some) for some in allowed) for name in idle), idle


@pytest.mark.slow
@pytest.mark.parametrize("name", ["NECST", "product VQ", "DeepCOD*", "AgileNN*"])
def test_training_learns(name, split, dataset):
    trained = SYSTEMS[name].make(split, dataset, Budget(images=96, epochs=(4, 1)))
    begun = started(type(trained.codec), split, dataset)
    after, before = (sweep([each], dataset.test, [BitErrors(0.01)], 1) for each in (trained, begun))
    assert after["feature_mse"].mean() < 0.5 * before["feature_mse"].mean()
    assert after["accuracy"].mean() > 0.5


@pytest.mark.slow
def test_a_training_is_the_same_twice(split, dataset):
    first, second = (SYSTEMS["IABF"].make(split, dataset, FEW).codec.state_dict() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.slow
def test_a_fifth_left_out_sends_the_whole_rows_that_four_fifths_hold(split, dataset):
    names = "SemanticNN, ours", "SemanticNN, ours, a fifth left out"
    whole, part = (SYSTEMS[name].make(split, dataset, FEW).send(dataset.test["image"][:1]).data for name in names)
    assert whole.shape[1] == FEW.bytes and part.shape[1] == FEW.bytes * 7**2 // 8**2


def test_a_fifth_left_out_is_trained_as_it_is_sent(split, dataset, monkeypatch):
    met = []
    monkeypatch.setattr(compared, "pretrain_denoising", lambda codec, part, data, stage, *rest: met.append(stage))
    monkeypatch.setattr(compared, "finetune_semantic", lambda codec, model, data, stage, *rest: met.append(stage))
    part = SYSTEMS["SemanticNN, ours, a fifth left out"].make(split, dataset, FEW)
    assert [stage.slice_ratio for stage in met] == 2 * [(part.slice.ratio, part.slice.ratio)]


@pytest.mark.slow
def test_parity_of_its_own_fills_the_same_bytes(split, dataset):
    system = SYSTEMS[WEIGHED_PARITY].make(split, dataset, FEW)
    channel, sent = channel_bytes(split, 8), system.send(dataset.test["image"][:1]).data
    data = system.codec.config.code_channels * channel
    code = parity_code(data, FEW.bytes - data)
    assert sent.shape[1] == FEW.bytes and torch.equal(sent[:, data:], code.encode(sent[:, :data]))


@given(st.lists(st.integers(0, 7), max_size=400))
@pytest.mark.slow
def test_lzw_gives_the_symbols_back(symbols):
    assert lzw_symbols(lzw_codes(symbols, 8), 8, len(symbols)) == symbols


@given(st.lists(st.integers(0, 7), min_size=1, max_size=60), st.data())
def test_a_damaged_lzw_stream_ends_and_never_raises(symbols, data):
    bits = lzw_codes(symbols, 8)
    place = data.draw(st.integers(0, len(bits) - 1))
    bits[place] ^= 1
    decoded = lzw_symbols(bits, 8, len(symbols))
    assert len(decoded) <= len(symbols) and all(0 <= each < 8 for each in decoded)


def test_lzw_compresses_what_repeats():
    assert len(lzw_codes([1, 2] * 500, 8)) < 0.3 * 3 * 1000


def test_the_channels_statistics_are_in_necsts_gradient(split, dataset):
    """At a rate of one half nothing can be learned of the code: a bit arrives evenly whatever is sent."""
    codec = started(NECST, split, dataset).codec.train().requires_grad_()
    feature = split.device_part(dataset.train["image"][:4])
    codec(feature, BinarySymmetric(0.5, 0))[0].sum().backward()
    assert float(codec.encoder.conv.weight.grad.abs().max()) < 1e-6


def test_product_vq_starts_as_two_bits_a_value(split, dataset):
    codec = started(ProductVQ, split, dataset).codec
    latent = torch.randn(2, 24, 8, 8)
    nearest = codec.from_bits(codec.to_bits(latent), 1e-9)
    levels = torch.tensor([-1.25, -0.4, 0.4, 1.25])
    expected = levels[(latent[..., None] - levels).abs().argmin(-1)]
    assert torch.isclose(nearest, expected, atol=1e-4).float().mean() > 0.95  # others: expecting errors
    assert torch.allclose(codec.transition(0.03).sum(-1), torch.ones(1, 256))


def test_floats_survive_and_damaged_ones_are_numbers(split, dataset):
    codec = started(FloatADJSCC, split, dataset).codec
    latent = torch.randn(3, *codec.code_shape).clamp(-4, 4)
    bits = codec.to_bits(latent)
    assert torch.equal(codec.from_bits(bits, 0.0), latent)
    assert codec.from_bits(torch.ones_like(bits), 0.0).abs().max() <= 4  # NaN and infinities among them


def test_values_of_limitnet_come_back_to_their_places(split, dataset):
    codec = started(LimitNet, split, dataset).codec
    latent = torch.randn(2, 12, 8, 8).clamp(-2.5, 2.5)
    map = codec.saliency(latent)
    placed = codec.placed(codec.to_bits(latent), map)
    sent = placed != 0
    assert int(sent.sum()) <= 2 * codec.count and (placed - latent)[sent].abs().max() <= 2.5 / 63 + 1e-6
    places = torch.zeros(2, 768, dtype=torch.bool).scatter(1, codec.order(map), True).view(2, 12, 8, 8)
    assert (sent <= places).all()


def test_error_correction_hides_errors_and_counts_its_bytes(split, codec, dataset):
    inner = SemanticNN(split, codec)
    system = Protected(inner, 24, 48, "protected")
    images = dataset.test["image"]
    clean = offload(inner, images, BitErrors(0.0).channel(0))
    sent = offload(system, images, BitErrors(0.02).channel(0))
    assert sent.payload.data.shape == (40, 48) and torch.equal(sent.payload.data[:, :24], clean.payload.data)
    same = (sent.received.outputs.argmax(1) == clean.received.outputs.argmax(1)).double().mean()
    assert same > 0.95
    with pytest.raises(ValueError, match="24 bytes, only 20 fit"):
        Protected(inner, 20, 48, "small").send(images)
    with pytest.raises(ValueError, match="bytes of parity, got 6"):
        Protected(inner, 42, 48, "odd")


def test_retransmission_stops_at_a_right_checksum(split, codec, dataset):
    system = Retransmitted(SemanticNN(split, codec), "again", tries=3)
    images = dataset.test["image"]
    clean = offload(system, images, BitErrors(0.0).channel(0)).received
    assert (clean.sent == 24 + CHECKSUM).all()
    noisy = offload(system, images, BitErrors(0.3).channel(0)).received
    assert (noisy.sent == 3 * (24 + CHECKSUM)).all()
    some = sweep([system], dataset.test, [BitErrors(0.003)], 1)["bytes"].iloc[0]
    assert 28 < some < 84 and (some * 40) % 28 == 0


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_picture_fits_and_comes_back(format, split):
    ramp = torch.arange(64).expand(3, 64, 64) * 3
    images = torch.stack([ramp, ramp.transpose(1, 2), 255 - ramp]).byte()
    system = Picture(replace_size(split, 64), 208, format)
    payload = system.send(images)
    assert (payload.length <= 208).all() and payload.data.shape[1] == payload.length.max()
    for row, length, image in zip(payload.data, payload.length, images, strict=True):
        opened = system._opened(bytes(row[:length].tolist()))
        assert (opened.float() - image.float()).abs().mean() < 6
        for zeros in (1, 208 - int(length)):  # as behind error correction, where the receiver knows no length
            assert torch.equal(system._opened(bytes(row[:length].tolist()) + bytes(zeros)), opened)
    noise = torch.randint(0, 256, payload.data.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert all(system._opened(bytes(each.tolist())).shape == (3, 64, 64) for each in noise)
    with pytest.raises(ValueError, match="fits 3 bytes"):
        Picture(split, 3, format).send(torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8))


def replace_size(split: SplitModel, size: int) -> SplitModel:
    return SplitModel(split.device_part, split.edge_part, size)


def test_raw_values_come_back_whole(split, dataset):
    images = dataset.test["image"]
    answers = split(images)
    for what, floats, size in (("image", False, 768), ("image", True, 3072), ("feature", True, 1024)):
        sent = offload(Raw(split, what, floats), images, BitErrors(0.0).channel(0))
        assert sent.payload.data.shape[1] == size and torch.allclose(sent.received.outputs, answers, atol=1e-5)
    small = offload(Raw(split, "feature"), images, BitErrors(0.0).channel(0))
    assert small.payload.data.shape[1] == 256 and torch.allclose(small.received.outputs, answers, atol=0.2)
    broken = offload(Raw(split, "feature", True), images, BitErrors(0.5).channel(0))
    assert broken.received.outputs.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_network_learns_to_read_pictures_and_the_served_one_stays(format, split, dataset):
    large, before = replace_size(split, 64), fingerprint(split)
    picture = Picture(large, 208, format)
    images = F.interpolate(dataset.train["image"].float(), (64, 64)).byte()
    data = replace(dataset, train=dataset.train.with_columns(image=images).take(64))
    data = replace(data, validation=data.train)
    taught = picture.taught(data, 2, False, 0)
    assert fingerprint(split) == before and taught.model is large and taught.reader is not large
    assert fingerprint(taught.reader.edge_part) != fingerprint(large.edge_part)
    sent = picture.send(images[:4])
    answered = taught.receive(Arrival(sent)).outputs
    assert torch.allclose(answered, taught.reader(picture.opened(sent)))
    again = picture.taught(data, 2, False, 0)
    assert torch.equal(again.receive(Arrival(sent)).outputs, answered)


def test_neuromessenger_sends_again_what_matters_and_stops_at_its_cap(split, dataset):
    images = dataset.test["image"][:8]
    whole = NeuroMessenger(split)
    clean = offload(whole, images, BitErrors(0.0).channel(0)).received
    assert (clean.sent == 2 * 196).all() and torch.allclose(clean.outputs, split(images), atol=0.2)
    assert (offload(whole, images, BitErrors(0.2).channel(0)).received.sent == 8 * 196).all()
    capped = NeuroMessenger(split, 120)  # five times 24 bytes: four packets of 20 values, one more try
    clean = offload(capped, images, BitErrors(0.0).channel(0)).received
    small = F.interpolate(F.adaptive_avg_pool2d(split.device_part(images), 4), split.feature_shape[1:], mode="bilinear")
    assert (clean.sent == 4 * 24).all() and torch.allclose(clean.outputs, split.edge_part(small), atol=0.2)
    assert (offload(capped, images, BitErrors(0.2).channel(0)).received.sent == 120).all()
    with pytest.raises(ValueError, match="needs 25 bytes for one value a channel, got 24; allow more"):
        NeuroMessenger(split, 24)


def test_the_majority_of_copies_is_right_where_no_copy_is():
    first, second, third = torch.tensor([0b0001, 7]), torch.tensor([0b0010, 7]), torch.tensor([0b0100, 7])
    copies = torch.stack([torch.stack([first, second, third])]).byte()
    assert majority(copies).tolist() == [[0, 7]]
    taken, used = combined(copies, lambda rows: rows[:, 0] == 0)
    assert taken.tolist() == [[0, 7]] and used.tolist() == [3]
    taken, used = combined(copies, lambda rows: rows[:, 0] == 0b0010)
    assert taken.tolist() == [[0b0010, 7]] and used.tolist() == [2]
    taken, used = combined(copies, lambda rows: rows[:, 0] == 255)
    assert taken.tolist() == [[0, 7]] and used.tolist() == [3]


def test_copies_that_are_combined_carry_images_through_errors_that_no_copy_survives(split, dataset):
    system, images, once = Retransmitted(Raw(split), "again"), dataset.test["image"], 768 + CHECKSUM
    noisy = offload(system, images, BitErrors(0.01).channel(0)).received
    assert (1 - 0.01) ** (8 * once) < 1e-20  # the chance that a copy is whole
    assert torch.allclose(noisy.outputs, split(images), atol=0.1) and (noisy.sent >= 3 * once).all()


def test_a_thumbnail_of_four_bits_is_384_bytes(split):
    large = replace_size(split, 64)
    assert Thumbnail(large).send(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).data.shape == (2, 384)


def test_costs_are_those_of_the_networks(split, codec, dataset):
    found = costs(SemanticNN(split, codec), dataset.test["image"][0])
    device = 4 * 3 * 4 * 64 + 4 * 4 * 4 * 16 + 4 * 4 * 16  # the network's convolution, the encoder's, and its GDN's
    assert found["device_macs"] == device and found["edge_macs"] > 0
    assert found["device_weights"] == 4 * 3 * 4 + 4 + sum(each.numel() for each in codec.encoder.parameters())
    assert costs(Thumbnail(split, 4), dataset.test["image"][0])["device_macs"] == 0


def test_a_sender_that_knows_the_rate_uses_one_system_for_each(split, dataset):
    small, large = (replace(Thumbnail(split, side), name="known") for side in (3, 4))
    table = measured({0.01: large, 0.5: small}, dataset.test, seeds=1)
    assert set(table.loc[table["link"] == "rate unknown", "bytes"]) == {24}  # chosen for the rate that is believed in
    table = table[table["link"] == INDEPENDENT]
    sizes = table.groupby("ber")["bytes"].first()
    assert sizes[sizes.index <= 0.01].eq(24).all() and sizes[sizes.index > 0.01].eq(14).all()
    assert sorted(table["ber"]) == sorted(RATES)


def test_what_the_code_carries_is_in_whole_channels_and_words(split):
    assert [data_bytes(split, 384, share) for share in CODE_RATES.values()] == [352, 320, 272, 208, 144]
    assert data_bytes(split, 768, FIXED) == 416 and data_bytes(split, 384, FIXED, centers=8) == 9 * 24
    assert all(data_bytes(split, 192, share) % 16 == 0 for share in CODE_RATES.values())


def test_few_bytes_are_refused(split):
    with pytest.raises(ValueError, match="7 bytes are too few"):
        channels_for(split, 7, 1)
    for make in (LimitNet, LearnedThumbnail):
        with pytest.raises(ValueError, match="100|120 bytes"):
            make(split, 100)


NOTEBOOK = (CHECKOUT / "notebooks" / "source" / "06_benchmark.py").read_text(encoding="utf-8")
(OWN,) = re.findall(r"own\.write_text\('''(.*?)'''\)", NOTEBOOK, re.DOTALL)
"""The system that notebook 06 writes."""


@pytest.mark.slow
def test_a_system_of_ones_own_is_one_file(split, dataset, tmp_path):
    assert len(OWN.splitlines()) <= 60
    (tmp_path / "own.py").write_text(OWN)
    name, row = from_file(f"{tmp_path / 'own.py'}:Signs")
    path = tmp_path / "table.csv"
    arguments = ({"thumbnail": SYSTEMS["thumbnail"], name: row}, split, dataset, FEW, path)
    done = [(name, seed) for name, seed, _ in benchmark(*arguments, (0, 1), command="a command")]
    assert done == [("thumbnail", 0), ("signs", 0), ("signs", 1)]
    assert list(benchmark(*arguments, (0, 1))) == []  # the table holds them
    table = read_benchmark(path)
    assert table.groupby("system")["bytes"].first().to_dict() == {"signs": 384, "thumbnail": 384}
    assert len(table) == 3 * len(LINKS) * 3 and (table["command"] == "a command").all()
    assert list(ranking_table(table).index) == list(ranking(table).index) and "signs" in ranking(table).index
    assert "signs" in [line.get_label() for line in draw_rivals(table, ["signs"]).axes[0].containers]
    for other in ({"epochs": (1, 2)}, {"bytes": 2 * FEW.bytes}, {"flip": True}):
        with pytest.raises(ValueError, match=rf"another budget, 32 images, 1\+1 epochs, {FEW.bytes} bytes; give"):
            next(benchmark({name: row}, split, dataset, replace(FEW, **other), path, (0,)))


@pytest.mark.slow
def test_mistakes_are_named_before_work(tmp_path, capsys):
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for arguments, words in (
        (["--systems", "nobody"], "'nobody'"),
        (["--system", "nowhere.py:Thing"], "there is no file nowhere.py"),
        (["--system", "README.md:Thing"], "FILE.py:CLASS, got 'README.md:Thing'"),
        (["--system", f"{tmp_path / 'broken.py'}:Thing"], "ZeroDivisionError"),
        (["--out", str(tmp_path / "table.txt")], "--out must be a .csv file"),
        (["--out", str(tmp_path / "other.csv")], "no table of the benchmark"),
        (["--images", "0"], "--images must be at least 1"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["benchmark", *arguments])
        assert end.value.code == 2 and words in capsys.readouterr().err
    main(["benchmark", "--list"])
    assert "SemanticNN, ours  (fair)" in capsys.readouterr().out
