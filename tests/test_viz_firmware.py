import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from semanticnn_core.config import WHOLE, Slice
from semanticnn_core.stm32.program import Profile
from semanticnn_core.stm32.project import SOURCES, memory_map
from semanticnn_core.stm32.quantize import quantize_encoder
from semanticnn_core.stm32.system import IntegerSemanticNN
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.studies.estimates import Assumptions, estimate
from semanticnn_core.studies.rounding import rounding
from semanticnn_core.systems import load_checkpoint
from semanticnn_core.systems.journey import follow
from semanticnn_core.viz import firmware as viz


@pytest.fixture(scope="module")
def shipped():
    checkpoint = load_checkpoint()
    images = torch.randint(0, 256, (4, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    encoder = quantize_encoder(checkpoint.model, checkpoint.codec, images)
    return checkpoint.model, checkpoint.codec, encoder, images


@pytest.mark.slow
def test_every_figure_paints(shipped):
    model, codec, encoder, images = shipped
    parts = memory_map(Firmware(encoder, codec, model.feature_shape))["ram"]
    profiles = {"zig": Profile(300, {"stem_row": 200, "send_pixel.constprop.0": 60, "memset": 40})}
    shown = [
        viz.draw_margins(rounding(codec, encoder, model.device_part(images), images)),
        viz.draw_memory(parts, {"layer by layer": 45_056}),
        viz.draw_profile(profiles, encoder.macs),
    ]
    for figure in shown:
        FigureCanvasAgg(figure).draw()
    labels = [text.get_text() for text in shown[-1].axes[0].texts]
    assert [label.strip() for label in labels] == ["66.7 %", "0.0 %", "20.0 %", "0.0 %", "13.3 %"]


@pytest.mark.parametrize("name", ["send_pixel", "stem_row", "snn_push_row", "add_feature_row"])
def test_a_c_function_is_shown_whole(name):
    text = viz.c_function(name).data
    assert text.startswith("```c\n") and text.endswith("\n}\n```")
    assert text.removeprefix("```c\n").removesuffix("```") in (SOURCES / "src/snn.c").read_text()
    assert text.count("{") == text.count("}") and f"{name}(" in text.split("{")[0]


def test_a_function_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"src/snn\.c has no function snn_stop"):
        viz.c_function("snn_stop")


def test_estimates_are_instructions_over_clock_and_bits_over_link():
    given = Assumptions(clock=100e6, cycles=(1.0, 2.0), watts=0.5, link=100e3, link_watts=0.1)
    table = estimate({"ours": (2_000_000, 500), "image": (0, 12_500)}, given)
    ours = {"bytes": 500, "computing, ms": "20–40", "sending, ms": "40.0", "energy, mJ": "14–24"}
    pd.testing.assert_series_equal(table.loc["ours"], pd.Series(ours, name="ours"))
    assert table.loc["image", "computing, ms"] == "0" and table.loc["image", "energy, mJ"] == "100"


@pytest.mark.parametrize("slice", [WHOLE, Slice(0.5), Slice(0.5, "importance")], ids=str)
def test_a_journey_takes_the_bytes_of_another_encoder(shipped, slice):
    model, codec, encoder, images = shipped
    firmware = Firmware(encoder, codec, model.feature_shape, slice)
    journey = follow(IntegerSemanticNN.of(model, firmware), images[0], 0.0)
    assert torch.equal(journey.payload, firmware.payload(images[:1])[0]) and journey.flips == 0
