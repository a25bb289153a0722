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
from semanticnn_core.panels.opened import open_checkpoint
from semanticnn_core.systems.checkpoints import find_checkpoint
from semanticnn_core.viz import figures, probes
from semanticnn_core.viz.style import use_style

use_style()
if interactive:
    from semanticnn_core.panels.playground import Playground

    shown = Playground(checkpoint, ber, slice_ratio, seed, out_dir)
else:
    played = open_checkpoint(checkpoint, find_checkpoint(checkpoint))
    rates = sorted({0.0, 0.01, ber, 0.1, 0.2})
    rows = {f"slice ratio {ratio:g}": [probes.send(played.model, played.codec, played.images[0], rate, seed, ratio)
            for rate in rates] for ratio in sorted({slice_ratio, 0.6, 0.3}, reverse=True)}  # fmt: skip
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
# **Exercise 1.** Channel seeds are the dice of the link. Send images at one error rate with several seeds: how many
# are answered right every time, how many never, and how many does an accuracy leave to the dice?

# %% tags=["solution"]
import torch

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.systems import SemanticNN

played = open_checkpoint(checkpoint, find_checkpoint(checkpoint), 200 if profile == "fast" else None)
model, codec, images, labels = played.model, played.codec, played.images, played.labels
system, some = SemanticNN(model, codec), slice(64 if profile == "fast" else None)
for rate in (0.01, 0.05, 0.1, 0.2):
    channels = [BinarySymmetric(rate, each) for each in range(6)]
    right = torch.stack([system.infer(images[some], each).outputs.argmax(1) == labels[some] for each in channels])
    always, ever = (100 * float(each.float().mean()) for each in (right.all(0), right.any(0)))
    print(f"{figures.percent(rate):>5} of bits flip: {always:3.0f} % of the images are right with all 6 seeds, "
          f"{100 - ever:2.0f} % with none; the dice decide {ever - always:2.0f} %")  # fmt: skip

# %% [markdown]
# **Exercise 2.** Which window is worth its two bytes? Compare them at a small slice ratio, image by image, and mind how
# sure such a small sample lets you be.

# %% tags=["solution"]
windows = ("center", "importance", "energy") if codec.importance.any() else ("center", "energy")
right = {}
for window in windows:
    offload = SemanticNN(model, codec, 0.4, window=window).infer(images, BinarySymmetric(0.01, seed))
    right[window] = 100 * (offload.outputs.argmax(1) == labels).float()
    gain = right[window] - right["center"]
    error = float(gain.std()) / len(gain) ** 0.5
    print(f"{window:10} {int(offload.bytes_sent[0])} bytes: {float(right[window].mean()):.0f} % right, "
          f"{float(gain.mean()):+.1f} ± {error:.1f} points to the centre (± standard error)")  # fmt: skip
print("Less than two standard errors may well be chance.")
