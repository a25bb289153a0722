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

import pandas as pd

from semanticnn_core.channels import BinarySymmetric, BitErrors
from semanticnn_core.config import BER_GRID, CodecTrainConfig
from semanticnn_core.evaluation import byte_counts, sweep
from semanticnn_core.studies import receivers
from semanticnn_core.systems import SemanticNN, open_checkpoint
from semanticnn_core.systems.journey import follow
from semanticnn_core.training import new_codec, pretrain_denoising
from semanticnn_core.training.loop import Run
from semanticnn_core.viz import figures
from semanticnn_core.viz.style import use_style

use_style()
published, data = open_checkpoint(checkpoint, dataset)
model, shipped = published.model, published.codec
fast = profile == "fast"

# %% [markdown]
# ## What is on the device
#
# The task network is cut after its first layer. The device keeps that layer and the codec's **encoder**: one strided
# convolution, a normalisation, and a handful of numbers, the *centres*, to round to. Everything else, the **decoder**
# and the rest of the network, stands at the edge, where memory is cheap. On its way an image changes shape three times:

# %%
code = (shipped.config.code_channels, *shipped.windows(model.feature_shape).size)
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
# And this is all of it, once through: the device turns an image into bytes, the link flips bits, the edge turns bytes
# into a feature again and answers. No other copy of the image goes round the link.

# %%
image = data.test["image"][0]
payload = shipped.compress(model.device_part(image[None]))  # the device
arrival = BinarySymmetric(ber, seed)(payload)  # the link
feature = shipped.decompress(arrival, model.feature_shape)  # the edge
answer = model.edge_part(feature).argmax()
damaged = int((arrival.payload.data != payload.data).sum())
print(f"{payload.data.shape[1]} bytes, {damaged} of them damaged; the edge answers {data.classes[answer]}")

# %% [markdown]
# ## Before training
#
# Let $s$ be the feature on the device and $\hat s$ what the decoder makes of the damaged bytes. Stage 1 asks for one
# thing, that they agree (equation 1 of the paper):
#
# $$L_\mathrm{bit} = \mathrm{MSE}(s, \hat s) = \frac{1}{CHW}\sum_{c,h,w}\left(s_{chw}-\hat s_{chw}\right)^2$$
#
# No label and no task appears in it. An untrained codec is our starting point: its encoder already keeps what varies
# most in the data (their principal components, the Karhunen–Loève transform), its decoder knows nothing. We send one
# test image, as real bytes, over channels that flip more and more bits.

# %%
budget = 1200 if fast else None
small = replace(data, train=data.train.take(budget), validation=data.validation.take(100 if fast else None))
codec = new_codec(model, small, shipped.config, seed)
untrained = deepcopy(codec).eval()
test, rates = data.test.take(96 if fast else 1000), (0.0, 0.01, 0.05, 0.2)
image = test["image"][0]
figures.draw_features([follow(SemanticNN(model, untrained), image, rate, seed) for rate in rates], "untrained")

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
start = sweep([SemanticNN(model, untrained)], small.validation, [BitErrors(rate) for rate in BER_GRID], seeds=1)
rows = [{"epoch": 0, "validation_mse": start["feature_mse"].mean()}]
pretrain_denoising(codec, model.device_part, small, training, Run(on_epoch=rows.append))
span = " to ".join(figures.percent(rate) for rate in training.ber)
print(f"{training.epochs} epochs of {len(small.train):,} images, bit error rates {span}")
mean = receivers.mean_feature_error(model.device_part, small.validation.first(None)["image"])
print(f"answering each channel's mean, without any link: MSE {mean:.3f}")
figures.draw_history({"live codec": rows}, {"validation_mse": "MSE on validation images, over the BER grid"})

# %% [markdown]
# A part of the drop is cheap: the usual feature, each channel's mean, can be learned without any link, and the line
# above says what it is worth. What the curve wins beyond it was read off the payload. The same image through the same
# channels, after training:

# %%
figures.draw_features([follow(SemanticNN(model, codec), image, rate, seed) for rate in rates], "after stage 1")

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
links = [BitErrors(rate) for rate in (0.0, 1e-3, 0.01, 0.05, 0.1, 0.2)]
codecs = {"live, stage 1": codec, "shipped, stages 1 and 2": shipped}
errors = sweep([SemanticNN(model, each, name=name) for name, each in codecs.items()], test, links, seeds=3)
images = test.first(None)["image"]
reference = {"always the mean": receivers.mean_feature_error(model.device_part, images)}
own = errors[errors["system"] != "live, stage 1"]["feature_mse"] / reference["always the mean"]
print(f"the shipped codec's error is {own.min():.2f} to {own.max():.2f} times that of always answering the mean")
figures.draw_curves(errors, "feature_mse", "system", "MSE of the feature", reference)

# %% [markdown]
# Where the live curve is flat, the codec's own compression makes nearly all of the error; where it bends, the channel
# takes its share. If the leftmost point lies above its neighbour, that is no slip: an error rate of 0 is a
# value that the decoder never met in training.
#
# And the shipped codec: a number near 1, or above, says that by this measure the feature that arrives is worth no more
# than none at all. Yet notebook 03 has the edge answer from it. How can it be right? (What does a squared error count
# that the task never looks at?)
#
# **Exercise 1.** How much of the live codec's error at each rate is the channel's fault, and how much is there without
# any flip? (Take the smallest error of the table for "without".) From which rate on is it most of it?

# %% tags=["solution"]
live = errors[errors["system"] == "live, stage 1"].groupby("ber")["feature_mse"].agg(["mean", "std"])
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
# This posterior mean has the least mean squared error of all tables, if $p$ is true. What if the receiver believes
# in another? On the left the exact answer for symbols, from the formula. On the right, features after the whole
# decoder, which meets the estimated rate a second time in its attention layers.

# %%
beliefs = (1e-4, 0.005, 0.02, 0.05, 0.1)
exact = receivers.believed_distortion(codec.quantizer, beliefs)
believed = receivers.believed_errors(model.device_part, codec, images[:32], beliefs)
figures.draw_beliefs(exact, believed)

# %% [markdown]
# Each row has its zero on the diagonal. On the left nothing can be negative: theory forbids it. On the right it can,
# since the decoder learned what to do with an estimated rate and gives no guarantee: a short training uses it crudely,
# and the largest of these rates it never met at all.
# Which mistake costs more, to be too hopeful or too careful? Does it depend on the truth?
#
# **Exercise 2.** You may burn one single estimate into the receiver. Its *regret* is what it loses to the best one,
# true rate by true rate. For which is the largest regret smallest? And is the best estimate the true rate?

# %% tags=["solution"]
error = believed.groupby(["ber", "believed"])["error"].mean().unstack()
worst = 100 * error.sub(error.min(axis=1), axis=0).max()  # against the best answer to each truth
wrong = (error.idxmin(axis=1) != error.index).sum()
print(f"let it believe in {figures.percent(worst.idxmin())}, whatever the true rate")
print(f"a wrong estimate beats the true rate at {wrong} of {len(error)} rates: a learned decoder takes it as an input")
worst.rename("largest regret, % of the variance").round(2).to_frame()

# %% [markdown]
# ## One codec, two tasks
#
# Equation 1 saw neither labels nor the edge network. So the same codec should serve *any* task that starts from this
# feature. We make a second task in seconds: keep the device part and the edge's layers as they are, and fit only a new
# last linear layer to another question: **is the class number odd?** (For digits that is the digit's parity; for
# other data an arbitrary halving of the classes.) The codec is not touched.

# %%
fit = data.train.first(600 if fast else 5000)
parity = receivers.rehead(model, fit["image"], fit["label"] % 2)
questions = {"which class?": (model, test), "odd or even?": (parity, test.with_columns(label=test["label"] % 2))}
few = [BitErrors(rate) for rate in (0.0, 0.01, 0.05)]
measured = [sweep([SemanticNN(each, codec, name=name)], split, few) for name, (each, split) in questions.items()]
clean = {f"{name} (uncompressed)": each.score(split) for name, (each, split) in questions.items()}
figures.draw_curves(pd.concat(measured), "accuracy", "system", "accuracy, %", clean)

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

    shown = FeaturePanel(SemanticNN(model, codec), images[:24], ber)
else:
    rows = {f"seed {each}": [follow(SemanticNN(model, codec), images[1], rate, each) for rate in rates]
            for each in range(3)}  # fmt: skip
    shown = figures.draw_grid(rows, data.classes)
shown

# %% [markdown]
# The bars (in the live panel) show that channels do not suffer equally. The mean squared error treats them all alike;
# the task does not. What would you weigh, if you knew the task?
