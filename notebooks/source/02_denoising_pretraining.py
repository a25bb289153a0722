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
#
# - **Needs:** [01](01_quantizer_intuition.ipynb)
# - **Takes:** 40 minutes
# - **At its end you can say** how a decoder learns a link, and what a receiver must know of it.

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

from semanticnn_core.channels import BinarySymmetric, BitErrors
from semanticnn_core.config import BER_GRID, CodecTrainConfig
from semanticnn_core.evaluation import byte_counts, sweep
from semanticnn_core.studies import receivers, second_task
from semanticnn_core.studies.exercises import notebook_02 as check
from semanticnn_core.studies.guesses import compare_guess, spread_over_seeds
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
# The task network is [split](README.md#words) after its first layer. The device keeps that layer and the codec's
# **encoder**: one strided convolution, a normalisation, and a handful of centres to round to. The **decoder** and the
# rest of the network stand at the edge, where memory is cheap. On its way an image changes shape three times:

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
# How much smaller is that? Papers tend to count 32-bit floats, which no camera produces; an honest comparison takes
# 8 bits a value. Here are both; in brackets, how many times larger than the [payload](README.md#words).

# %%
figures.draw_sizes(sizes)

# %% [markdown]
# And this is all of it, once through. No other copy of the image goes round the link.

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
# Let $s$ be the [feature](README.md#words) on the device, $N$ numbers, and $\hat s$ what the decoder makes of the
# damaged bytes. Stage 1 asks for one thing, that they agree (equation 1 of the paper):
#
# $$L_\mathrm{bit} = \mathrm{MSE}(s, \hat s) = \frac{1}{N}\sum_k \left(s_k-\hat s_k\right)^2$$
#
# No label and no task appears in it, so any task that starts from this feature should be able to use the codec: below,
# two do. At the start its encoder already keeps what varies most in the data (their principal components); its decoder
# knows nothing. We send one test image, as real bytes, over channels that flip more and more bits.

# %%
budget = 1200 if fast else None
small = replace(data, train=data.train.take(budget), validation=data.validation.take(100 if fast else None))
codec = new_codec(model, small, shipped.config, seed)
untrained = deepcopy(codec).eval()
test, rates = data.test.take(96 if fast else 1000), (0.0, 0.01, 0.05, 0.2)
image = test["image"][0]
figures.draw_features([follow(SemanticNN(model, untrained), image, rate, seed) for rate in rates], "untrained")

# %% [markdown]
# The three channels shown are those that vary most in this image. No idea yet what a feature looks like.
#
# ## Training, live
#
# Every training step flips bits for real: each image meets its own bit error rate, drawn log-uniformly from a range.
# Rounding has no useful derivative, so the forward pass uses the rounded, flipped value, and the backward pass the
# derivative of its expectation: a soft choice of centres, times the chance of each flip. (The fast profile takes a
# small subset; `-p profile full` takes all the data.)

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
# A part of the drop is cheap: each channel's mean can be learned without any link, and the line above says what that is
# worth. What the curve wins beyond it was read off the payload. Guess before you look: at which of the four error rates
# will the same image break?

# %%
figures.draw_features([follow(SemanticNN(model, codec), image, rate, seed) for rate in rates], "after stage 1")

# %% [markdown]
# Look along a row. The decoder does not guess which bit is wrong. It learns an answer on which many neighbours agree,
# so that one wrong symbol among them weighs little. The last rate is far beyond all that it met: does the picture break
# there, or does it turn cautious and fade?
#
# ## How much error at which error rate?
#
# Now all test images of this run, each payload damaged anew with every channel seed; bars are one standard deviation
# over these seeds. The dashed line is a receiver without any link, which always answers each channel's mean. The
# **shipped** codec went on to stage 2 (notebook 03), which no longer asks for equal features. Where will it lie?

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
# takes its share. (An error rate of 0 never came up in training, so its point may lie above its neighbour.)
#
# And the shipped codec? A number near 1, or above, says that by this measure the feature that arrives is worth no more
# than none. Yet notebook 03 has the edge answer from it.
#
# **Exercise 1.** How much of the live codec's error at 5 % is the channel's fault, and how much is there without any
# flip? (Take the smallest mean of the table `errors` for "without".) From which rate on is it most of it?

# %%
answer = None  # the channel's share of the live codec's error at 5 % bit errors, in %
check.channel_share(answer, errors, "live, stage 1")

# %% tags=["solution"]
live = errors[errors["system"] == "live, stage 1"].groupby("ber")["feature_mse"].agg(["mean", "std"])
live["share of the channel, %"] = share = 100 * (1 - live["mean"].min() / live["mean"])
print(f"more than half: at {', '.join(map(figures.percent, share.index[share > 50])) or 'none of these rates'}")
check.channel_share(share[0.05], errors, "live, stage 1")
live.round(4)

# %% [markdown]
# ## One codec, two tasks
#
# The checkpoint holds a codec that ended after a longer stage 1, `denoised`. Let two tasks read its bytes. One is the
# network's own: *which digit is it?* The other came later: *is the digit lighter or darker than what is around it?* Its
# head is a linear layer, fitted in a second to features that crossed no link; it has met no codec. Beside it stands the
# shipped codec, which was trained on for the digits. Guess: how often is the second task right behind each of them?

# %%
known, judged = data.train.first(1500 if fast else 5000), data.test.first(300 if fast else 2000)
seen, new = ((model.device_part(each["image"]), second_task.lighter(each)) for each in (known, judged))
head = second_task.fit_head(*seen)
tasks = {"which digit": (model.edge_part, judged["label"]), "lighter or darker": (head, new[1])}
both = {"denoised": published.systems.get("denoised", codec), "shipped": shipped}
second_task.two_tasks(both, tasks, new[0]).style.format("{:.0%}")

# %% [markdown]
# The same bytes of `denoised` serve both tasks, at 5 % errors too. Behind the shipped codec, which is better at the
# digits, the second head is little better than one that always says *darker*: what arrives is not the feature it knows.
#
# **Exercise 2.** Did stage 2 throw away what the second task needs? Let shipped payloads cross a link with 1 % errors,
# fit a head to what arrives (`second_task.received`, `fit_head`), and judge it on test images behind the same link.

# %%
answer = None  # how often such a head is right, in %
check.own_head(answer, shipped, seen, new)

# %% tags=["solution"]
crossed = [second_task.received(shipped, each, 0.01, number) for number, (each, _) in enumerate((seen, new))]
own = second_task.right_share(second_task.fit_head(crossed[0], seen[1]), crossed[1], new[1])
print("It is all there, in a form of the codec's own: each further task needs a head made for this codec.")
print("After stage 1 it needs none, for the feature itself comes back.")
check.own_head(100 * own, shipped, seen, new)

# %% [markdown]
# ## A receiver that believes the wrong error rate
#
# A received symbol is worth what was sent *on average* when it arrives. With centres $c_i$, their use $u_i$ and the
# chance $P(j \mid i, p)$ that flips turn code word $i$ into $j$ at bit error rate $p$,
#
# $$v_j(p) = \sum_i P(i \mid j, p)\, c_i = \frac{\sum_i u_i\,P(j \mid i, p)\,c_i}{\sum_i u_i\,P(j \mid i, p)}.$$
#
# This [posterior mean](README.md#words) has the least mean squared error of all tables, if $p$ is true. What if the
# receiver believes in another rate? On the left the exact answer for symbols. On the right, features after the whole
# decoder, which meets the estimated rate a second time in its attention layers. Which mistake will cost more, to be too
# hopeful or too careful?

# %%
beliefs = (1e-4, 0.005, 0.02, 0.05, 0.1)
exact = receivers.believed_distortion(codec.quantizer, beliefs)
believed = receivers.believed_errors(model.device_part, codec, images[:32], beliefs)
figures.draw_beliefs(exact, believed)

# %% [markdown]
# Each row has its zero on the diagonal. On the left nothing can be negative: theory forbids it. On the right it can: a
# decoder learned what to do with an estimated rate, gives no guarantee, and never met the largest of these rates.
#
# **Exercise 3.** You may burn one single estimate into the receiver. Its *regret* is what it loses to the best one,
# true rate by true rate. For which of the five is the largest regret smallest? And is the best estimate the true rate?

# %%
answer = None  # the estimate, in %
check.least_regret(answer, believed)

# %% tags=["solution"]
error = believed.groupby(["ber", "believed"])["error"].mean().unstack()
worst = 100 * error.sub(error.min(axis=1), axis=0).max()  # against the best answer to each truth
wrong = (error.idxmin(axis=1) != error.index).sum()
check.least_regret(100 * worst.idxmin(), believed)
print(f"a wrong estimate beats the true rate at {wrong} of {len(error)} rates: a learned decoder takes it as an input")
worst.rename("largest regret, % of the variance").round(2).to_frame()

# %% [markdown]
# ## Move it yourself
#
# Slide the error rate, the channel seed, the image and the channel of the feature. Find an image on which one channel
# seed hurts much more than another. Where in the feature does it hurt? Do all channels suffer alike? Guess first: of
# ten channel seeds, by how much is the worst worse than the best, for the second image at the parameters' error rate?
# (A page without widgets shows a still: the mean of all feature channels, and the edge's answer, red where it differs
# from the uncompressed one.)

# %%
guess = None  # by how much the worst seed's squared error is larger than the best one's, in %

# %%
compare_guess(guess, spread_over_seeds(SemanticNN(model, codec), images[1], ber), "%")
if interactive:
    from semanticnn_core.panels.channel import FeaturePanel

    shown = FeaturePanel(SemanticNN(model, codec), images[:24], ber)
else:
    rows = {f"seed {each}": [follow(SemanticNN(model, codec), images[1], rate, each) for rate in rates]
            for each in range(3)}  # fmt: skip
    shown = figures.draw_grid(rows, data.classes)
shown

# %% [markdown]
# ## What to take along
#
# - A decoder trained on flipped bits gives back a feature without knowing which bits are wrong.
# - What stage 1 gives back is the feature itself, so a task that never met the codec can read it.
# - Most of its error on a good link is compression; the channel takes over where many bits flip.
# - The receiver needs an idea of the error rate, but not an exact one.
# - A squared error treats all channels alike. The task does not: that is notebook 03.
#
# ## Three questions
#
# 1. Why may training use another derivative backward than the function it computes forward?
# 2. The decoder meets a rate far above those of its training. Why does its picture fade rather than show nonsense?
# 3. By its squared error, the shipped codec's feature is worth no more than none. How can the edge be right?
#
# <details><summary>Answers</summary>
#
# 1. Rounding and flips have no useful derivative. That of their expectation says in which direction the error falls on
#    average, and that is all a training step needs.
# 2. With many doubtful symbols the least squared error is near the mean, and the received values shrink towards it.
# 3. The error counts every number alike, also what the task never looks at. Stage 2 gave that up.
#
# </details>
#
# Next: [03](03_semantic_finetuning.ipynb), where the task decides what is worth sending.
