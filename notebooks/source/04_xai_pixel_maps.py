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
# # 04 · Pixel maps: what the edge network looks at, and what need not be sent
#
# The edge names the digit. Which pixels of the feature made it say so? If we knew, a weak device could leave the others
# at home. Here we draw such maps, hold them against the truth (we know where each digit is), look at what they do to
# training, and let the device itself decide which window of its code to send.
#
# - **Needs:** [03](03_semantic_finetuning.ipynb)
# - **Takes:** 60 minutes
# - **At its end you can say** how to ask a network why, how to test its answer, and what need not be sent.

# %% tags=["parameters"]
seed = 0
profile = "fast"
interactive = True
out_dir = "runs/notebooks/04_xai_pixel_maps"
dataset = "scene_digits"
checkpoint = ""  # left empty: the published one that was trained on the data set
method = "integrated_gradients"
ber = 0.05
slice_ratio = 0.5

# %%
import torch

from semanticnn_core.channels import Arrival
from semanticnn_core.config import Slice
from semanticnn_core.evaluation import tables, truth
from semanticnn_core.evaluation.sweep import compare_windows
from semanticnn_core.explain.attribution import METHODS, attribute, midpoint_attribution
from semanticnn_core.explain.importance import fit_importance
from semanticnn_core.explain.kept import WINDOWS, device_map, keep, share_inside, window_boxes
from semanticnn_core.studies.exercises import notebook_04 as check
from semanticnn_core.studies.guesses import compare_guess, smallest_slice
from semanticnn_core.systems import SemanticNN, open_checkpoint
from semanticnn_core.tasks import SplitModel
from semanticnn_core.viz import maps as viz
from semanticnn_core.viz import windows
from semanticnn_core.viz.style import use_style

use_style()

# %%
published, data = open_checkpoint(checkpoint, dataset)
model, codec, guide = published.model, published.codec, published.model.folded().edge_part
fast = profile == "fast"
steps = 24 if fast else 100
if not codec.importance.any():  # a codec that never learned what matters learns it here
    fit_importance(codec, model, data.train, 300 if fast else 2000)
few = data.test.first(4)
images, labels, masks = few["image"], few["label"], few.get("mask")
feature = model.device_part(images)

# %% [markdown]
# ## Six ways to ask "why?"
#
# The network gives every class a number, its [logit](README.md#words); the largest wins. An
# [attribution map](README.md#words) says which share each feature pixel has in the logit of the true class. There is no
# single right way to ask:
#
# * **saliency**: how strongly would the logit react to a small change here? (no sign)
# * **input × gradient**: that reaction, with its sign, times what is there;
# * **integrated gradients**: the same, averaged over the way from an empty feature to this one:
#   $\phi_i = s_i \int_0^1 \partial_i f(t\,s)\,dt$;
# * **GradientSHAP**: many random points of noisy ways like it;
# * **DeepLIFT**: differences instead of derivatives, layer by layer;
# * **occlusion**: wipe out a small patch and see how far the logit falls.
#
# Red speaks for the true class, blue against it. Every map has its own scale: compare places, not strengths. Outlined:
# where the digit really is, which no method is told.

# %%
maps = {name: attribute(guide, feature, labels, name, steps=steps, seed=seed).scores for name in METHODS}
viz.draw_maps(images[:3], maps, masks)

# %% [markdown]
# Which maps are thin, which paint whole neighbourhoods? Why should a network care about the gap in a 6?
#
# Three of the methods promise **completeness**: all scores together are the logit's rise from the empty feature to this
# one. The gap to that rise is a free test of every map.
#
# **Exercise 1.** Integrated gradients replace the integral by a sum. Which of 2, 8, 32 and 128 points is the smallest
# number that leaves a median gap below 5 %? And why does DeepLIFT need no such choice?

# %%
answer = None  # a number of points
check.points_needed(answer, guide, feature, labels)

# %% tags=["solution"]
gaps = {n: attribute(guide, feature, labels, steps=n).gap.median().item() for n in (2, 8, 32, 128)}
lift = attribute(guide, feature, labels, "deep_lift").gap.median().item()
print("median gap:", *(f"{n} points {gap:.1%}," for n, gap in gaps.items()), f"DeepLIFT {lift:.1%}, which passes on")
print("finite differences: they add up exactly at every layer.")
check.points_needed(min(n for n, gap in gaps.items() if gap < 0.05), guide, feature, labels)

# %% [markdown]
# ## Are the maps true?
#
# Maps always look convincing. But here the answer is known, so we can count, on images that are classified correctly:
#
# * **pointing game**: is the pixel with the largest score inside the digit's box?
# * **share inside**: how much of the positive scores lies on the digit? Divided by the digit's share of the area, a map
#   that knows nothing gets 1.
# * **unexplained falls**: set rectangles of the feature to zero; a map's scores inside foretell how far the logit
#   falls. What remains unexplained is 0 for a perfect map.
#
# The last row, and the dashed line, is a map of pure noise. Bars: standard error over the images.

# %%
checked = data.test.take(16 if fast else 200)
metrics = ("pointing", "ratio", "infidelity", "gap")
table = truth.measure_explanations(model, checked, metrics=metrics, steps=steps, seed=seed)
viz.draw_truth(truth.summarize_explanations(table))

# %% [markdown]
# Which methods are better than noise by more than their bars? (That a large rectangle hurts more than a small one,
# noise knows too.)
#
# ## Take it away, bring it back
#
# A test with no truth in it: **delete** pixels of the feature in the order of the map, best first, and the true class
# should collapse at once; **insert** them into an empty feature, and it should rise early.

# %%
items = data.test.first(10 if fast else 100)
sent = model.device_part(items["image"])
swift = [name for name in METHODS if name != "occlusion"]
ranked = {name: attribute(guide, sent, items["label"], name, steps=steps).scores for name in swift}
ranked["random"] = torch.rand(ranked[method if method in ranked else swift[0]].shape)
viz.draw_masking(truth.masking_table(guide, sent, items["label"], ranked, steps=10))

# %% [markdown]
# A feature with holes is unlike anything the network has seen, so random holes bring it down too. How much faster do
# chosen ones?
#
# **Exercise 2.** Others explain whole *channels* and leave out those of little worth. Delete the worse half of the
# pixels, and of the channels (`level="channel"`). Which is the better unit to leave out?

# %%
answer = None  # "pixels" or "channels"
check.better_left_out(answer, guide, sent, items["label"], steps)

# %% tags=["solution"]
left = {}
for level in ("pixel", "channel"):
    scores = attribute(guide, sent, items["label"], level=level, steps=steps).scores
    best, worst = (truth.masking_curve(guide, sent, items["label"], sign * scores, steps=2)[:, 1] for sign in (1, -1))
    left[level] = float(worst.mean())
    print(f"true class without the better half of the {level}s: {best.mean():.0%}; the worse half: {worst.mean():.0%}")
print("A channel can be pruned once, for all images; a window of pixels follows the object from image to image.")
check.better_left_out(f"{max(left, key=left.get)}s", guide, sent, items["label"], steps)

# %% [markdown]
# ## Does the map come from the network at all?
#
# An edge detector finds strokes too, and it knows no digits. So we let a network of the same build with random weights
# *guide* the map, and judge that in the same way. Guess the distance.

# %%
torch.manual_seed(seed)
base = published.about["base"]
stranger = SplitModel.of(base["model"], base["classes"], base["image_size"], base["cut"]).frozen()
guides = {"the edge network": guide, "random weights": stranger}
asked = ("pointing", "inside", "ratio") if masks is not None else ("deletion", "insertion")
by_guide = truth.measure_explanations(model, checked, (), methods=(method,), guides=guides, metrics=asked, steps=steps)
viz.draw_truth(truth.summarize_explanations(by_guide), by="guide")

# %% [markdown]
# What the untrained guide finds is owed to the feature (it is busy where strokes are), not to knowledge. Only the
# distance between the two rows is.
#
# ## What the encoder learned
#
# Now the link. The decoder makes a feature of damaged bytes, trained for the edge's answer. Will its map be more to the
# point than the clean one's, or less?

# %%
system = SemanticNN(model, codec, name="received")
both = truth.measure_explanations(
    model, checked, [system], ber, methods=(method, "deep_lift"), metrics=("pointing", "inside", "ratio", "gap"),
    steps=steps, seed=seed,
)  # fmt: skip
viz.draw_truth(truth.summarize_explanations(truth.common_images(both)))

# %% [markdown]
# More means that the codec spends its few bytes on what is asked for and lets the background go.
#
# ## Training for it: equation 3
#
# The paper puts a wish about the map into the loss:
#
# $$L_\mathrm{XAI} = \lambda\,\frac{1}{\sum_i \max(\phi_i, 0)} + (1-\lambda)\,\frac{M}{|\{i : \phi_i > 0\}|} - r.$$
#
# $\phi_i$ is the score of pixel $i$ of $M$ for the true class, at the received feature. The first term wants the pixels
# that speak for the class to speak loudly; the second wants many of them. $r$ is a constant. Two obstacles:
#
# * *Counting has no slope.* We count smoothly: each pixel counts as $\mathrm{sigmoid}(\phi_i / \tau)$, with a small
#   width $\tau$.
# * *A map is itself a derivative*, and dozens of points a step are too dear. We take **one** point, halfway,
#   $\phi_i = s_i\,\partial_i f(s/2)$, and treat the derivative as a constant.
#
# One point is bold. Here it is beside a careful map, at the received feature:

# %%
known = checked.first(None)
seen, classes = model.device_part(known["image"]), known["label"]
received = codec.decompress(Arrival(codec.compress(seen), ber=0.0), model.feature_shape)
careful, quick = attribute(guide, received, classes, steps=32).scores, midpoint_attribution(guide, received, classes)
blocks = [torch.nn.functional.avg_pool2d(each.clamp_min(0), 4) for each in (careful, quick)]
for name, pair in {"pixel by pixel": (careful, quick), "4 × 4 blocks of positive scores": blocks}.items():
    own, other = truth.map_likeness(*pair)
    print(f"one point and 32 correlate, {name}: {own:.2f} (with another image's map: {other:.2f})")

# %% [markdown]
# Only what is above the brackets counts. Is the loss worth it? Below, accuracy in whole trainings with weight $\gamma$
# of the term, as differences to training without it, seed by seed:

# %%
accuracies = tables.load_table(dataset, "xai")
if accuracies is None:
    print(f"No trainings with and without L_XAI are published for {dataset} yet (data/results/{dataset}-xai.csv).")
tables.gamma_table(accuracies) if accuracies is not None else None

# %% [markdown]
# No gain that three seeds could show.
#
# ## Sending less: which window?
#
# The decoder can do with a part of the code: it mirrors the rest. Algorithm 1 of the paper keeps the **central**
# [window](README.md#words): at a slice ratio $\rho$, $\lfloor 8\sqrt{\rho} \rfloor$ of 8 rows and as many columns.
# Where objects lie anywhere, that is only a guess.
#
# So we let the device choose. It holds a **table of small integers**, one for each channel and symbol, fitted once to
# attribution maps. **Importance** of a pixel is the sum of its entries: one look-up and one addition a symbol. For
# comparison, **energy** chooses the window with the strongest symbols.

# %%
windows.draw_slicing(keep(model, codec, images[:2], slice_ratio), data.classes, masks)

# %% [markdown]
# How good is the table? Third row: what it should have said, the positive part of the map, one value a code pixel.
# Fourth row: what it says. The device never sees a label and never runs the network.

# %%
wanted = attribute(guide, feature, labels, steps=steps).scores
windows.draw_device_map(images[:3], wanted[:3], device_map(codec, feature[:3]), masks)

# %% [markdown]
# The receiver has to know where the window lies, and that number travels through the same bad channel. Up to 32 places
# fit into five bits; a **Reed–Muller code** spreads these over 16, such that three flips can always be undone. It costs
# two bytes.
#
# **Exercise 3.** How often does the place arrive wrong at 10 % errors, behind that code? And without it?

# %%
answer = None  # how often the place arrives wrong behind the code at 10 % bit errors, in %
check.place_lost(answer)

# %% tags=["solution"]
from semanticnn_core.channels import BinarySymmetric, Payload
from semanticnn_core.codec.reed_muller import protect, recover

number = torch.arange(32).repeat(1000)
for rate in (0.01, 0.05, 0.1):
    arrived = BinarySymmetric(rate, seed)(Payload(protect(number))).payload.data
    wrong = float((recover(arrived) != number).double().mean())
    five, sixteen = (1 - (1 - rate) ** bits for bits in (5, 16))
    print(f"at {rate:.0%}: coded {wrong:.2%}, five bare bits {five:.0%}, a bare number of two bytes {sixteen:.0%}")
check.place_lost(100 * wrong)

# %% [markdown]
# Now the curve that counts: accuracy after the channel against the share of the code that is really sent. On the right
# each image is compared with itself. At which share will knowing where to look pay most?

# %%
ratios = (0.25, 0.5, 0.6, 0.8, 1.0)
judged = data.test.take(120 if fast else 1000)
compared = compare_windows(model, codec, judged, ratios, 0.01, seed)
windows.draw_windows(compared, model.score(judged))

# %% [markdown]
# At 1 all three send everything. Below it, a gain of more than twice its bar is what knowing where to look is worth.
#
# **Exercise 4.** The window keeps a share of the code. Which share of the *digit* does the table's window keep, in the
# mean over the images `known`?

# %%
answer = None  # the share of the digit that the window `importance` keeps, in %
check.digit_kept(answer, codec, seen, known.get("mask"), slice_ratio)

# %% tags=["solution"]
kept = {}
for window in WINDOWS if "mask" in known else ():
    boxes = window_boxes(codec, seen, Slice(slice_ratio, window)).tolist()
    kept[window] = torch.tensor([share_inside(mask, box) for mask, box in zip(known["mask"], boxes, strict=True)])
    print(f"{window:10} keeps {kept[window].mean():.0%} of the digit")
check.digit_kept(100 * kept["importance"].mean() if kept else 0, codec, seen, known.get("mask"), slice_ratio)

# %% [markdown]
# ## Move it yourself
#
# Choose an image, a method and a window; slide the ratio down until the answer changes. Which pixels did it need? Guess
# first how far the first image can go down. (A page without widgets shows a still, at half of the slice ratio above.)

# %%
guess = None  # the smallest slice ratio, in steps of 0.05, from which on the first image keeps its answer

# %%
compare_guess(guess, smallest_slice(model, codec, images[0], "importance"))
if interactive:
    from semanticnn_core.panels.pixel_maps import ExplanationPanel

    many = data.test.first(24)
    shown = ExplanationPanel(model, codec, many["image"], data.classes, many.get("mask"), method, slice_ratio)
else:
    shown = windows.draw_slicing(keep(model, codec, images[:1], slice_ratio / 2), data.classes, masks)
    size, whole = (codec.payload_bytes(model.feature_shape, Slice(ratio)) for ratio in (slice_ratio / 2, 1.0))
    print(f"{size} of {whole} bytes, and two more for a window that is not in the middle")
shown

# %% [markdown]
# ## What to take along
#
# - There is no single "why": methods differ, and a good-looking map proves nothing.
# - Test a map: completeness, the truth where it is known, deletion, a network that knows nothing.
# - A table of integers on the device says where the code matters, without running the network.
# - Where objects lie anywhere and little is sent, a chosen window is worth more than the two bytes that name it.
#
# ## Three questions
#
# 1. An untrained network's map lies on the digit too. What does that say?
# 2. The second term of equation 3 wants many pixels to speak for the class. Does that help to send fewer of them?
# 3. Here somebody drew the digits, so the truth is known. What would you check on data where nobody did?
#
# <details><summary>Answers</summary>
#
# 1. That strokes are where the feature is busy. Only what a trained guide finds beyond is knowledge.
# 2. It pulls against it: the term is smallest when every pixel speaks, background included.
# 3. Completeness, deletion and insertion against a random map, and a guide with random weights: none needs a mask.
#
# </details>
#
# Next: [05](05_stm32_export.ipynb), where the device becomes a real one.
