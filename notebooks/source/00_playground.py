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
# # 00 · Playground: one image on its way
#
# A weak camera sends a few hundred bytes, a bad link flips some of their bits, and the edge still says what it sees.
# Move the sliders and everything follows: what leaves, what arrives, which bits flipped, what the edge answers, and
# what in the received feature spoke for that answer (red) and against it (blue). Take your own picture, too, but mind
# that the network only ever saw its own kind of images, and will call a cat a digit without blushing.

# %% tags=["parameters"]
seed = 0
profile = "fast"
interactive = True
out_dir = "runs/notebooks/00_playground"
checkpoint = "mobilenet_v2-scene_digits"
ber = 0.05
slice_ratio = 1.0

# %%
from semanticnn_core.config import Slice
from semanticnn_core.panels.opened import open_played
from semanticnn_core.systems.checkpoints import find_checkpoint
from semanticnn_core.systems.journey import follow
from semanticnn_core.viz import figures
from semanticnn_core.viz.style import use_style

use_style()
if interactive:
    from semanticnn_core.panels.playground import Playground

    shown = Playground(checkpoint, ber, slice_ratio, seed)
else:
    played = open_played(checkpoint, find_checkpoint(checkpoint))
    rates = sorted({0.0, 0.01, ber, 0.1, 0.2})
    systems = {f"slice ratio {each:g}": played.system(Slice(each)) for each in sorted({slice_ratio, 0.6, 0.3})[::-1]}
    rows = {name: [follow(each, played.images[0], rate, seed) for rate in rates] for name, each in systems.items()}
    shown = figures.draw_grid(rows, played.classes)
shown

# %% [markdown]
# (On a page without widgets you see a still: the mean of the feature's channels as it arrives, and the edge's answer,
# red where it differs from the uncompressed one. Rows send less and less of the code, columns flip more and more bits.)
#
# Some things to try:
#
# - Put the error rate at 0, press play and watch it rise. What goes first: the feature, the map, or the answer? Is the
#   edge less *sure* before it is wrong?
# - Put the error rate where the answer is just about to tip, then move the channel seed. The rate is the same, only
#   the bits that flip are others. Does the answer care?
# - Set the slice ratio to a small stop and change the window. Orange is what is sent; the rest of the code is mirrored.
#   Find an image where the centre misses the digit and another window catches it. What does the map look like outside?
# - Compare the feature that arrives with the one that was sent. Must they look alike for the answer to stay? What is
#   the codec paid for, in training?
# - Bring a photograph of your own. It is cropped to its centre and made very small first. Is the network unsure, or
#   sure and wrong? (The mark on the accuracy curve then says nothing about your picture. Why?)
#
# **Exercise 1.** A channel seed decides which bits flip. Send images at one error rate with several seeds: how many
# are answered right every time, how many never, and how many does an accuracy leave to chance?

# %% tags=["solution"]
from semanticnn_core.channels import BitErrors
from semanticnn_core.evaluation import sweep
from semanticnn_core.systems import open_checkpoint

published, data = open_checkpoint(checkpoint)
test = data.test.take(64 if profile == "fast" else None)
links = [BitErrors(rate) for rate in (0.01, 0.05, 0.1, 0.2)]
played = open_played(checkpoint, find_checkpoint(checkpoint))
table = sweep([played.system()], test, links, seeds=6, by_image=True)
right = table.groupby(["ber", "image"])["accuracy"].agg(["min", "max"]).groupby("ber").mean() * 100
for rate, (always, ever) in right.iterrows():
    print(f"{figures.percent(rate):>5} of bits flip: {always:3.0f} % of the images are right with all 6 seeds, "
          f"{100 - ever:2.0f} % with none; chance decides {ever - always:2.0f} %")  # fmt: skip

# %% [markdown]
# **Exercise 2.** Which window is worth its two bytes? Compare them at a small slice ratio, image by image, and mind how
# sure such a small sample lets you be (± is one standard error).

# %% tags=["solution"]
from semanticnn_core.evaluation.sweep import compare_windows

test = data.test.take(200 if profile == "fast" else None)
compared = compare_windows(played.model, played.codec, test, [0.4], 0.01, seed).set_index("window")
for window, row in compared.iterrows():
    print(f"{window:10} {played.system(Slice(0.4, window)).payload_bytes} bytes: {row.accuracy:.0%} right, "
          f"{100 * row.gain:+.1f} ± {100 * row.standard_error:.1f} points to the centre")  # fmt: skip
print("Less than two standard errors may well be chance.")

# %% [markdown] tags=["onward"]
# The words are explained in the [course plan](README.md#words). Next:
# [01](01_quantizer_intuition.ipynb), where a few bits learn to stand for a feature.
