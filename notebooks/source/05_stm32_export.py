# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · STM32 export: the device side as C, proven without a board
#
# So far a PC played the weak device. A microcontroller has a few hundred kilobytes of memory, likes whole numbers,
# and gets its image from a camera row by row. Can it do its part at all, in how much memory and time, and do its
# bytes mean the same at the edge? Here the trained encoder becomes integers, then C, then a program on an emulated
# Cortex-M7, and every step is compared with the one before.
#
# - **Needs:** [01](01_quantizer_intuition.ipynb)
# - **Takes:** 50 minutes
# - **At its end you can say** how a network becomes integers and C that nobody has to trust.

# %% tags=["parameters"]
seed = 0
profile = "fast"
interactive = True
out_dir = "runs/notebooks/05_stm32_export"
dataset = "scene_digits"
checkpoint = ""  # left empty: the published one that was trained on the data set
ber = 0.05
slice_ratio = 1.0
window = "center"

# %%
import math
from dataclasses import replace

import pandas as pd
import torch

from semanticnn_core.channels import BitErrors
from semanticnn_core.config import Slice
from semanticnn_core.datasets import Split
from semanticnn_core.evaluation import sweep
from semanticnn_core.files import in_checkout
from semanticnn_core.stm32.build import build, toolchains, zig
from semanticnn_core.stm32.camera import through_camera
from semanticnn_core.stm32.check import check_project
from semanticnn_core.stm32.emulator import Emulator
from semanticnn_core.stm32.extremes import extreme_images
from semanticnn_core.stm32.project import memory_map, write_project
from semanticnn_core.stm32.quantize import quantize_encoder
from semanticnn_core.stm32.system import IntegerSemanticNN
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.studies.estimates import Assumptions, estimate
from semanticnn_core.studies.exercises import notebook_05 as check
from semanticnn_core.studies.guesses import compare_guess, damaged_bytes
from semanticnn_core.studies.rounding import rounding
from semanticnn_core.systems import SemanticNN, open_checkpoint
from semanticnn_core.systems.journey import follow
from semanticnn_core.viz import figures
from semanticnn_core.viz import firmware as viz
from semanticnn_core.viz.style import use_style

use_style()
published, data = open_checkpoint(checkpoint, dataset)
model, codec = published.model, published.codec
fast = profile == "fast"
images = data.test.first(100 if fast else 1000)["image"]

# %% [markdown]
# ## From float to integers
#
# A convolution is a sum of products. With whole numbers the sum is exact, as long as it fits its register. Only when a
# result becomes the next layer's input must it be rounded. Three roundings, then, in the whole encoder:
#
# 1. **weights**, once, before anything runs: 16 bits in the first layer (batch norm and the pixels' scale folded in),
#    8 bits in the encoder, each making up for the errors of those before it; every channel has a scale of its own;
# 2. the [feature](README.md#words), 8 bits from 0 to the activation's top;
# 3. the output $z$ of the encoder's convolution, 16 bits.
#
# To bring a sum into the next layer's steps it is multiplied by a whole number $m$ and shifted: $(\text{sum}\cdot m +
# 2^{S-1}) \gg S$, rounded once. A few hundred training images say how large the numbers get; then the largest sum that
# *any* image could cause is computed, and an encoder that could overflow is refused.

# %%
encoder = quantize_encoder(model, codec, data.train.first(256)["image"])
shapes = {"first layer": encoder.stem, "encoder's convolution": encoder.code}
pd.DataFrame(
    {name: {"outputs × inputs × kernel": " × ".join(map(str, layer.weight.shape[:3])), "shift S": layer.shift,
            "largest weight": int(layer.weight.abs().max()), "one output step is worth": f"{layer.step:.2g}"}
     for name, layer in shapes.items()}
).T  # fmt: skip

# %% [markdown]
# What do these roundings do? The feature is off by a quarter of a step on average wherever it is not zero: that is what
# rounding means. Which symbols will come out differently?

# %%
symbols, exact = encoder(images), codec.quantizer.assign(codec.encoder(model.device_part(images)))
apart = (symbols - exact).abs()
print(f"{float((apart == 0).double().mean()):.2%} of {apart.numel():,} symbols are the same; ", end="")
print(f"{int((apart == 1).sum()):,} differ by one step, {int((apart > 1).sum())} by more")
viz.draw_margins(rounding(codec, encoder, model.device_part(images), images))

# %% [markdown]
# Those whose latent was close to a threshold anyway, and few of them.
#
# ## No root, no division
#
# [GDN](README.md#words) divides by a square root, which a small core has to do in software. But nobody needs the
# quotient: it is only compared with a threshold $T$ between two centres. Compare squares, with their signs, instead:
#
# $$\frac{z}{\sqrt{a + \sum_j g_j z_j^2}} > T \quad\Longleftrightarrow\quad
# z\,|z| > T\,|T| \cdot \Big(a + \sum_j g_j z_j^2\Big)$$
#
# PReLU only stretches the negative side, so it moves the negative thresholds once and for all. This is why training
# kept the centres sorted and the slopes positive. The C is as short as the formula ($a$ is `snn_beta` in it, $g$
# `snn_gamma`):

# %%
viz.c_function("send_pixel")

# %% [markdown]
# **Exercise 1.** Why is the loop over the thresholds a bisection and not a count, and how often does it run for 64
# centres? What would go wrong with a negative slope?

# %%
answer = None  # how many comparisons find one of 64 centres
check.comparisons(answer, 64)

# %% tags=["solution"]
print("The thresholds ascend, so each comparison halves what is left. With a negative slope one symbol would belong to")
print("two ranges of z, and thresholds in ascending order could not tell them apart.")
check.comparisons(math.log2(64), 64)

# %% [markdown]
# ## Row by row
#
# A network library runs layer by layer: it holds a layer's whole input and its whole output. But a row of the feature
# needs only as many image rows as the kernel is high, and a row of the code only adds up feature rows. So rows go in,
# and nothing is kept that is not needed again.

# %%
firmware = Firmware(encoder, codec, model.feature_shape, Slice(slice_ratio, window))
memory = memory_map(firmware)
image_bytes = 3 * model.image_size**2
most = image_bytes + encoder.stem.weight.shape[0] * (model.image_size // 2) ** 2  # the first layer's in and out
viz.draw_memory(memory["ram"], {"layer by layer, 32-bit floats": 4 * most, "…, 8 bits": most})

# %% [markdown]
# The image itself is never in memory; a few of its rows are. This function is all that a camera driver calls:

# %%
viz.c_function("snn_push_row")

# %% [markdown]
# Its first line is about mistakes. A driver may push a row too many, finish too early, or forget to reset: it gets 0
# bytes, never a negative number that would move its pointer back, and `snn_check` says what went wrong first.
#
# ## Run it
#
# The project folder has the C, tables with this codec's numbers, build files for STM32CubeIDE, CMake and PlatformIO,
# test vectors, and ONNX models for ST's own tools; `semanticnn export` writes the same. A compiler that came with pip
# makes a program of it, and an emulator, in this very process, runs that as a Cortex-M7 would: with the H750's memory
# map, where a step outside is an error. How many of the bytes will differ from PyTorch's?

# %%
project = in_checkout(out_dir) / "firmware"
extreme = extreme_images(model, codec)  # black, white, boards, noise, and what drives the latent to its ends
vectors = torch.cat([images[:4], extreme])
write_project(firmware, project, model, vectors, f"For the checkpoint `{published.name}`.", force=True)
result = check_project(project, firmware, torch.cat([images[: 8 if fast else 200], extreme]))
differ = {name: f"{count} bytes differ" for name, count in result["witnesses"].items()}
pd.Series(differ, name="against PyTorch").to_frame()

# %%
print(f"{result['images']} images × {result['payload_bytes']} bytes; RAM {result['ram_bytes']:,} + stack ", end="")
print(f"{result['stack_bytes']:,} bytes, flash {result['flash_bytes']:,}, {result['instructions']:,} instructions")

# %% [markdown]
# Every compiler and emulator that this machine has was asked. Not one bit differs: that is what integers are for.
# Photographs alone would not prove it: only white, colours and noise reach the ends of the numbers.
#
# ## Does it still mean the same?
#
# Bytes equal to the *integer* encoder say nothing about the network's answers. So send both encoders' bytes through
# the same bit errors and look at how often the edge is right.

# %%
emulator = Emulator(build(project, zig()))
judged = data.test.take(200 if fast else None)
integers = IntegerSemanticNN.of(model, firmware, "integers")
links = [BitErrors(rate) for rate in (0, 0.01, 0.05)]
accuracy = sweep([SemanticNN(model, codec, firmware.slice, "floats"), integers], judged, links)
table = accuracy.pivot_table(index=["ber", "seed"], columns="system", values="accuracy")
table["difference"] = table["integers"] - table["floats"]
(100 * table.groupby("ber").agg(["mean", "std"])).round(2)

# %% [markdown]
# One image more or less is what a change of a per cent of the symbols comes to. **Move the error rate**, and
# watch the firmware's own bytes: every move runs the program in the emulator again. Guess first: when 5 % of the bits
# flip, how many of the bytes are damaged?

# %%
guess = None  # the share of the first image's bytes that arrive damaged at 5 % bit errors, in %

# %%
emulated = replace(integers, encode=emulator.run)
compare_guess(guess, damaged_bytes(emulated, images[0], 0.05, seed), "%")
if interactive:
    from semanticnn_core.panels.channel import OffloadPanel

    shown = OffloadPanel(emulated, images[:24], data.classes, ber, fixed=True)
else:
    rates = (0.0, 0.01, 0.05, 0.1, 0.2)
    rows = {f"image {number}": [follow(emulated, images[number], rate, seed) for rate in rates]
            for number in (5, 7, 8)}  # fmt: skip
    shown = figures.draw_grid(rows, data.classes)
shown

# %% [markdown]
# ## A camera in front
#
# Cameras send lines of 16 bits a pixel: RGB565, or luma with colour differences (YUYV). `snn_camera.c` takes them from
# two buffers that a DMA fills in turn. What do its colours cost, and what two mistakes that every driver makes once?
# Guess which is the worst.

# %%
photos = data.test.first(200)
pictures, labels = photos["image"], photos["label"]
seen = {form: through_camera(pictures, form) for form in ("RGB565", "YUYV")}
seen |= {"red and blue swapped": pictures.flip(1), "upside down": pictures.flip(2)}
for name, frames in {"as it is": pictures, **seen}.items():
    answers = sweep([integers], Split({"image": frames, "label": labels}), [BitErrors(0.01)], 1)
    print(f"{name}: {answers['accuracy'].mean():.0%} right")

# %% [markdown]
# Coarse colours are nothing to a code that is coarser still. Swapped colours cost some answers, and would pass for a
# bad link; an image upside down costs most.
#
# ## Where the instructions go
#
# The emulator counts every instruction. Two multiplications at once (`smlad`) is the best this core can do, so half an
# instruction a multiplication is the floor; loads, unpacking and loops come on top. (A Cortex-M55 does eight at once:
# the same folder takes half of the instructions there.)

# %%
profiles = {each.name: Emulator(build(project, each)).profile(images[0]) for each in toolchains()}
viz.draw_profile(profiles, encoder.macs)

# %% [markdown]
# **Exercise 2.** Only the middle of the code is sent at a slice ratio of 0.5. How much of the work is left to the
# firmware? And why does an adaptive window save bytes but no work? (`check.costs_of` writes and runs a firmware.)

# %%
answer = None  # instructions at slice ratio 0.5 and window "center", in % of those for the whole code
trial = (firmware, project.with_name("exercise"), model, images[:1])
check.work_left(answer, *trial)

# %% tags=["solution"]
slices = Slice(1.0), Slice(0.5), Slice(0.5, "importance")
costs = pd.DataFrame({f"{each.window}, {each.ratio:g}": check.costs_of(each, *trial) for each in slices}).T
print("Nobody knows where an adaptive window lies before the whole code is there.")
check.work_left(100 * costs["instructions"].iloc[1] / costs["instructions"].iloc[0], *trial)
costs

# %% [markdown]
# **Exercise 3.** A Cortex-M3 has no `smlad`. The same C then takes its portable loops. How many times the instructions
# of the M7 is that? (`build` takes a core, `"m3"`, and so does `Emulator`.)

# %%
answer = None  # how many times
check.times_on_m3(answer, project, images[0])

# %% tags=["solution"]
programs = {core: Emulator(build(project, zig(), core), core) for core in ("m7", "m4", "m3")}
taken = pd.Series({core: each.profile(images[0]).instructions for core, each in programs.items()}, name="instructions")
check.times_on_m3(taken["m3"] / taken["m7"], project, images[0])
taken.to_frame().assign(times=taken / taken["m7"]).round(2)

# %% [markdown]
# ## Time and energy: estimates
#
# No board was measured. Instructions are counted, the rest is assumed, and the assumptions stand here to be replaced.
# Compared are our way, the plain image, and the whole feature after the first layer.

# %%
given = Assumptions()
stem = result["instructions_by_function"].get("stem_row", 0)
ways = {
    "encode, send the payload": (result["instructions"], firmware.payload_bytes),
    "send the image, 8 bits": (0, image_bytes),
    "first layer, send its feature, 8 bits": (stem, math.prod(model.feature_shape)),
}
print(given)
estimate(ways, given)

# %% [markdown]
# On such a link it is the bytes that cost: the plain image is in the air tens of times as long as the payload.
# Once they are few, computing becomes the larger part of the energy.
#
# ST's own tools take ONNX models and generate code of theirs: the project holds the encoder in that form too. They run
# layer by layer, so they need the memory of the grey bars above.
#
# **Exercise 4.** Which table dominates the flash? And what would you change in the codec to halve it? Export your own
# afterwards: `semanticnn export --checkpoint … --out firmware --check`.

# %%
answer = None  # a name in memory["flash"]
check.largest_table(answer, memory["flash"])

# %% tags=["solution"]
flash = pd.Series(memory["flash"], name="bytes of flash")
print("It has code channels × feature channels × 4 × 4 bytes. Half as many code channels halve it; with 64 centres in")
print("place of 8 the payload stays as large. Look at the accuracy then.")
check.largest_table(flash.idxmax(), memory["flash"])
flash.to_frame()

# %% [markdown]
# ## What to take along
#
# - Integers give the same bytes with every compiler, so a test can ask for equality and nobody has to trust.
# - A comparison needs neither root nor division: squares and thresholds do.
# - Rows go in and bytes come out; the image is never held.
# - A per cent of other symbols does not change the meaning.
#
# ## Three questions
#
# 1. Why must an error code not share its number with a count of bytes?
# 2. Red and blue are swapped in your driver. How would you notice, on a board without a screen?
# 3. How fast must a link be before sending the plain image is sooner there than our payload?
#
# <details><summary>Answers</summary>
#
# 1. A driver adds the count to its pointer. An error must not move it, and 0 does not.
# 2. Send a picture that you know, such as the test vectors, and compare the bytes with the expected ones.
# 3. When sending the saved 11,904 bytes takes less than encoding, about 5 ms: some 20 Mbit/s.
#
# </details>
#
# Next: [06](06_benchmark.ipynb), where many ways to spend the same bytes compete.
