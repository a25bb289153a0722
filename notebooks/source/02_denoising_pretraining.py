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
# # 02 · Denoising pretraining: features that survive flipped bits
#
# A camera too weak to run a neural network runs its first layer, squeezes the result into a few hundred bytes and sends
# them over a link that flips bits. Can the receiver get the feature back, without knowing which bits are wrong? Here a
# codec learns it live, from nothing, and we watch the feature maps come back.

# %% tags=["parameters"]
seed = 0
profile = "fast"
interactive = True
out_dir = "runs/notebooks/02_denoising_pretraining"
dataset = "scene_digits"
checkpoint = ""  # left empty: the published one that was trained on the data set
ber = 0.05

# %%
from copy import deepcopy
from dataclasses import replace

from semanticnn_core.config import BER_GRID, CodecTrainConfig
from semanticnn_core.datasets import load_dataset
from semanticnn_core.evaluation import byte_counts
from semanticnn_core.systems import checkpoint_for, load_checkpoint
from semanticnn_core.training import new_codec, pretrain_denoising
from semanticnn_core.viz import figures, probes
from semanticnn_core.viz.style import use_style

use_style()
published = load_checkpoint(checkpoint or checkpoint_for(dataset))
model, shipped = published.model, published.codec
data = load_dataset(dataset, image_size=model.image_size)
fast = profile == "fast"

# %% [markdown]
# ## What is on the device
#
# The task network is cut after its first layer. The device keeps that layer and the codec's **encoder**: one strided
# convolution, a normalisation, and a handful of numbers, the *centres*, to round to. Everything else, the **decoder**
# and the rest of the network, stands at the edge, where memory is cheap. On its way an image changes shape three times:

# %%
code = shipped.code_shape(model.feature_shape)
shapes = {"image": (3, model.image_size, model.image_size), "feature": model.feature_shape, "code": code}
for name, shape in shapes.items():
    print(f"{name:8}", " × ".join(map(str, shape)))
sizes = byte_counts(model, shipped)
centers, bits = shipped.config.centers, shipped.config.bits
print(f"payload  {code[0] * code[1] * code[2]:,} symbols, one of {centers} centres each: {bits} bits")
print(f"         = {sizes['payload_bytes']} bytes")

# %% [markdown]
# How much smaller is that? It depends on what you count. Papers tend to count images and features as 32-bit floats,
# which no camera produces; an honest comparison takes 8 bits a value. Here are both; in brackets, how many times larger
# than the payload.

# %%
figures.draw_sizes(sizes)

# %% [markdown]
# ## Before training
#
# Let $s$ be the feature on the device and $\hat s$ what the decoder makes of the damaged bytes. Stage 1 asks for one
# thing, that they agree (equation 1 of the paper):
#
# $$L_\mathrm{bit} = \mathrm{MSE}(s, \hat s) = \frac{1}{CHW}\sum_{c,h,w}\left(s_{chw}-\hat s_{chw}\right)^2$$
#
# No label and no task appears in it. An untrained codec is our starting point: its encoder is scaled to the data, its
# decoder knows nothing. We send one test image, as real bytes, over channels that flip more and more bits.

# %%
budget = 1200 if fast else None
small = replace(data, train=data.train.take(budget), validation=data.validation.take(100 if fast else None))
codec = new_codec(model, small, shipped.config, seed)
untrained = deepcopy(codec).eval()
images, labels = probes.first_items(data.test, 96 if fast else 1000)
rates = (0.0, 0.01, 0.05, 0.2)
figures.draw_features([probes.send(model, untrained, images[0], rate, seed) for rate in rates], "untrained")

# %% [markdown]
# The codec has no idea yet what a feature looks like. The three channels shown are those that vary most in this image.
#
# ## Training, live
#
# Every training step flips bits for real: each image meets its own bit error rate, drawn log-uniformly from a range.
# Rounding has no useful derivative, so the forward pass uses the rounded, flipped value, and the backward pass the
# derivative of its expectation: a soft choice of centres, times the chance of each flip.
#
# The fast profile gives it a small subset and a few short epochs; `-p profile full` takes all the data.

# %%
training = CodecTrainConfig(epochs=3, batch_size=16 if fast else 64, learning_rate=3e-3 if fast else 2e-3, seed=seed)
check, _ = probes.first_items(small.validation, 100)
start = probes.measure_codecs(model.device, {"": untrained}, check, BER_GRID, seeds=1)["mse"].mean()
rows = [{"epoch": 0, "validation_mse": start}]
pretrain_denoising(codec, model.device, small, training, on_epoch=rows.append)
span = " to ".join(figures.percent(rate) for rate in training.ber)
print(f"{training.epochs} epochs of {len(small.train):,} images, bit error rates {span}")
print(f"answering each channel's mean, without any link: MSE {probes.mean_feature_error(model.device, check):.3f}")
figures.draw_history({"live codec": rows}, {"validation_mse": "MSE on validation images, over the BER grid"})

# %% [markdown]
# A part of the drop is cheap: the usual feature, each channel's mean, can be learned without any link, and the line
# above says what it is worth. What the curve wins beyond it was read off the payload. The same image through the same
# channels, after training:

# %%
figures.draw_features([probes.send(model, codec, images[0], rate, seed) for rate in rates], "after stage 1")

# %% [markdown]
# Look along a row. How much do errors move the picture within the range of the training? The decoder does not guess
# which bit is wrong. It learns to give an answer on which many neighbouring symbols agree, so that one lie among them
# weighs little. The last rate is far beyond all that it met: does the picture break there, or does it turn cautious and
# fade?
#
# ## How much error at which error rate?
#
# One image proves little. Below, all test images of this run, each payload damaged anew with every channel seed; bars
# are one standard deviation over these seeds. The dashed line is a receiver without any link, which always answers
# each channel's mean. The **shipped** codec went on to stage 2 (notebook 03), which no longer asks for equal features.
# Compare it with the dashed line.

# %%
grid, seeds = (0.0, 1e-3, 0.01, 0.05, 0.1, 0.2), 3
codecs = {"live, stage 1": codec, "shipped, stages 1 and 2": shipped}
errors = probes.measure_codecs(model.device, codecs, images, grid, seeds)
reference = {"always the mean": probes.mean_feature_error(model.device, images)}
own = errors[errors["system"] != "live, stage 1"]["mse"] / reference["always the mean"]
print(f"the shipped codec's error is {own.min():.2f} to {own.max():.2f} times that of always answering the mean")
figures.draw_curves(errors, "mse", "system", "MSE of the feature", reference)

# %% [markdown]
# Where the live curve is flat, the codec's own compression makes nearly all of the error; where it bends, the channel
# takes its share. If the leftmost point lies above its neighbour, that is no slip: told an error rate of 0, the decoder
# hears a value it never met in training.
#
# And the shipped codec: a number near 1, or above, says that by this measure the feature that arrives is worth no more
# than none at all. Yet notebook 03 has the edge answer from it. How can it be right? (What does a squared error count
# that the task never looks at?)
#
# **Exercise 1.** How much of the live codec's error at each rate is the channel's fault, and how much is there without
# any flip? (Take the smallest error of the table for "without".) From which rate on is it most of it?

# %% tags=["solution"]
live = errors[errors["system"] == "live, stage 1"].groupby("ber")["mse"].agg(["mean", "std"])
live["share of the channel, %"] = share = 100 * (1 - live["mean"].min() / live["mean"])
print(f"more than half: at {', '.join(map(figures.percent, share.index[share > 50])) or 'none of these rates'}")
live.round(4)

# %% [markdown]
# ## A receiver that believes the wrong error rate
#
# A received symbol is worth what was sent *on average* when it arrives. With centres $c_i$, their use $P(i)$ and the
# chance $P(j \mid i, p)$ that flips turn code word $i$ into $j$ at bit error rate $p$,
#
# $$\hat c_j(p) = \sum_i P(i \mid j, p)\, c_i = \frac{\sum_i P(i)\,P(j \mid i, p)\,c_i}{\sum_i P(i)\,P(j \mid i, p)}.$$
#
# This posterior mean has the least mean squared error of all tables, if $p$ is true. What if the receiver is told
# something else? On the left the exact answer for symbols, from the formula. On the right, features after the whole
# decoder, which hears the told rate a second time in its attention layers.

# %%
told_rates = (1e-4, 0.005, 0.02, 0.05, 0.1)
exact = probes.told_distortion(codec.quantizer, told_rates)
told = probes.measure_told(model.device, codec, images[:32], told_rates)
figures.draw_told(exact, told)

# %% [markdown]
# Each row has its zero on the diagonal. On the left nothing can be negative: theory forbids it. On the right it can,
# since the decoder learned what to do with a told rate and gives no guarantee: a short training uses it crudely, and
# the largest of these rates it was never told at all.
# Which mistake costs more, to be too hopeful or too careful? Does it depend on the truth?
#
# **Exercise 2.** You may burn one single told rate into the receiver. Its *regret* is what it loses to the best thing
# you could have told, truth by truth. For which is the largest regret smallest? And is the best thing to tell the
# truth?

# %% tags=["solution"]
error = told.groupby(["ber", "told"])["error"].mean().unstack()
worst = 100 * error.sub(error.min(axis=1), axis=0).max()  # against the best answer to each truth
lies = (error.idxmin(axis=1) != error.index).sum()
print(f"tell it {figures.percent(worst.idxmin())}, whatever the truth")
print(f"a lie beats the truth at {lies} of {len(error)} rates: to a learned decoder, what it is told is one more input")
worst.rename("largest regret, % of the variance").round(2).to_frame()

# %% [markdown]
# ## One codec, two tasks
#
# Equation 1 saw neither labels nor the edge network. So the same codec should serve *any* task that starts from this
# feature. We make a second task in seconds: keep the device part and the edge's layers as they are, and fit only a new
# last linear layer to another question: **is the class number odd?** (For digits that is the digit's parity; for
# other data an arbitrary halving of the classes.) The codec is not touched.

# %%
fit_images, fit_labels = probes.first_items(data.train, 600 if fast else 5000)
parity = probes.rehead(model, fit_images, fit_labels % 2)
tasks = {"which class?": (model.edge, labels), "odd or even?": (parity.edge, labels % 2)}
both = probes.measure_codecs(model.device, {"live, stage 1": codec}, images, (0.0, 0.01, 0.05), tasks=tasks)
clean = {f"{name} (uncompressed)": probes.accuracy(each, images, truth) for name, each, truth in
         (("which class?", model, labels), ("odd or even?", parity, labels % 2))}  # fmt: skip
curves = both.melt(["system", "ber", "seed"], list(tasks), "task", "accuracy")
figures.draw_curves(curves, "accuracy", "task", "accuracy, %", clean)

# %% [markdown]
# Both heads read the *same received feature*. Chance is one in two for the second task and one in the number of classes
# for the first, so compare each curve with its own dashed line. The gap to it is what this short stage 1 still loses:
# equal features on average are not yet features in which the few decisive strokes survive. Closing that gap is the
# business of stage 2, in the next notebook.
#
# ## Move it yourself
#
# Slide the error rate (the leftmost stop is no error at all), the channel seed, the image and the channel of the
# feature. Find an image on which one channel seed hurts much more than another. Where in the feature does it hurt?
# (A page without widgets shows a still instead: the mean of all feature channels, and the edge's answer, red where it
# differs from the uncompressed one.)

# %%
if interactive:
    from semanticnn_core.panels.channel import FeaturePanel

    shown = FeaturePanel(model, codec, images[:24], ber)
else:
    rows = {f"seed {each}": [probes.send(model, codec, images[1], rate, each) for rate in rates] for each in range(3)}
    shown = figures.draw_grid(rows, data.classes)
shown

# %% [markdown]
# The bars (in the live panel) show that channels do not suffer equally. The mean squared error treats them all alike;
# the task does not. What would you weigh, if you knew the task?
