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
# # 01 · What a few bits can carry
#
# A feature is a cloud of real numbers; a link carries bits, and flips some of them. Between the two stands a quantiser
# with a handful of [*centres*](README.md#words). How does it round, how do its centres learn although rounding has no
# gradient, which bits should stand for which centre, and what is left when bits flip?
#
# - **Needs:** [00](00_playground.ipynb)
# - **Takes:** 60 minutes
# - **At its end you can say** why centres learn although rounding has no slope, and which bits a symbol gets.
#
# Every picture is made from real encoder outputs. Change a value in the next cell and run again.

# %% tags=["parameters"]
seed = 0
profile = "fast"
interactive = True
out_dir = "runs/01_quantizer_intuition"
dataset = "scene_digits"
checkpoint = ""  # left empty: the published one that was trained on the data set
image_index = 3
n_centers = 8
sigma = 4.0
ber = 0.01
alpha = 0.1

# %%
import torch

from semanticnn_core.studies import centers as learning
from semanticnn_core.studies import symbol_codes
from semanticnn_core.studies.exercises import notebook_01 as check
from semanticnn_core.studies.guesses import compare_guess
from semanticnn_core.studies.huffman import fixed_length, huffman
from semanticnn_core.systems import open_checkpoint
from semanticnn_core.viz import code_words as show_codes
from semanticnn_core.viz import staircases as show
from semanticnn_core.viz.style import use_style

use_style()
images_used, steps, seeds = (64, 100, 3) if profile == "fast" else (500, 1000, 10)
published, data = open_checkpoint(checkpoint, dataset)
model, codec = published.model, published.codec

# %% [markdown]
# ## 1 · From picture to code words
#
# The device runs the first layer of the task network, then the encoder: one convolution and a normalisation. What
# comes out is the [latent](README.md#words), a small stack of maps. Each of its numbers is replaced by the nearest of
# the learned centres, and only the *name* of that centre, a word of $b = \log_2 n$ bits, leaves the device.

# %%
images = data.test.first(images_used)["image"]
with torch.no_grad():
    latents = codec.encoder(model.device_part(images)).permute(0, 2, 3, 1).contiguous()  # as sent
size = codec.payload_bytes(model.feature_shape)
print(f"{latents[0].numel()} latents an image, {codec.quantizer.bits} bits each: {size} bytes")
busiest = latents[image_index].flatten(0, 1).var(0).argmax()
show.draw_journey(images[image_index], latents[image_index, ..., busiest], codec.quantizer)

# %% [markdown]
# The right map is made of very few different values. How much of the middle one do you miss in it?
#
# ## 2 · A staircase has no slope
#
# The latent $x$ becomes the nearest centre, $q(x) = c_{i^*}$ with $i^* = \arg\min_i |x - c_i|$: a staircase. On a step
# its slope is zero, at an edge it has none, so no learning signal gets through it to the encoder. Training therefore
# looks at a *soft* staircase. Every centre gets a share of $x$, larger the closer it is,
#
# $$w_i(x) = \frac{e^{-\sigma (x - c_i)^2 / \Delta^2}}{\sum_j e^{-\sigma (x - c_j)^2 / \Delta^2}},
# \qquad \tilde q(x) = \sum_i w_i(x)\, c_i,$$
#
# with $\Delta$ the mean distance between neighbouring centres. What is *sent* is always the hard value; only the
# gradient is taken from the soft one. Guess first: would you train with a small $\sigma$ or a large one?

# %%
sharpness = sorted({0.3, 1.0, sigma, 16.0})
show.draw_staircases(latents, codec.quantizer, sharpness)

# %% [markdown]
# A small $\sigma$ gives every latent a slope, but that of another function. A large one is honest about the steps, and
# its gradient lives only in thin spikes at their edges. So training starts blurred and sharpens on the way. Why spikes?
# Differentiate $\tilde q$, and out comes the variance of the centres under the shares at $x$:
#
# $$\frac{d\tilde q}{dx} = \frac{2\sigma}{\Delta^2} \operatorname{Var}_{w(x)}(c).$$
#
# The gradient is large exactly where the quantiser is in doubt.
#
# **Exercise 1.** Check the formula against automatic differentiation, with the codec's centres and the $\sigma$ of the
# parameters. How large is the slope where it is largest?

# %%
answer = None  # the largest slope
check.largest_slope(answer, latents, codec.quantizer.levels, sigma)

# %% tags=["solution"]
x = torch.linspace(*show.shown_range(latents), 1000).requires_grad_()
smooth = learning.with_centers(latents, codec.quantizer.levels, sigma)
(smooth.soft_assign(x) @ smooth.levels).sum().backward()
formula = show.mapping(smooth, show.shown_range(latents), points=1000).slope
print(f"largest difference: {float((x.grad - formula).abs().max()):.1e}")
check.largest_slope(x.grad.max(), latents, codec.quantizer.levels, sigma)

# %% [markdown]
# ## 3 · Centres that move
#
# Let us start badly, evenly spaced or at latents drawn by lot, and let the centres follow the gradient of
#
# $$\mathcal{L} = \frac{\mathbb{E}\,(x - \hat x)^2}{\operatorname{Var}(x)} + \alpha\, L_\mathrm{div},
# \qquad L_\mathrm{div} = \mathrm{KL}\!\left(u \,\|\, \tfrac1n\right),$$
#
# where $\hat x$ is what arrives after real bit flips and $u_i$ is how much centre $i$ is used. Whole counts have no
# gradient, so $u$ is counted softly, between blurred thresholds halfway from centre to centre. Only the $n$ centres
# learn, live, in the next cell. (Beside a cross-entropy, as in the codec's own training, $\alpha$ is another number.)

# %%
flat = latents.flatten()
even = torch.linspace(float(flat.min()), float(flat.max()), n_centers)
starts = {"evenly spaced": even, "drawn by lot": learning.random_start(flat, n_centers, seed)}
settings = {"ber": ber, "sigma": sigma, "steps": steps, "seed": seed}
runs = {name: learning.learn_centers(flat, start, alpha=alpha, **settings) for name, start in starts.items()}
learned = runs["evenly spaced"].quantizer
goals = {"quantiles": learning.quantile_centers(flat, n_centers), "Lloyd–Max": learning.lloyd_max(flat, n_centers)}
show.draw_trajectories(runs, latents, goals)

# %% [markdown]
# Each line is one centre on its way from a red dot. On the right are two recipes from the textbook: *quantiles* (every
# centre gets the same number of latents) and *Lloyd–Max* (the least squared error without bit errors). The gradient
# finds its own place, because its goal mentions both, and the flips too. Do both starts end in the same place?
#
# **Exercise 2.** One lot proves little. Start from lots of several seeds, and read the runs' `distortion`: which share
# of the variance is lost at the end, in the mean over the seeds? Does it depend on the start?

# %%
answer = None  # the mean share of the variance lost after learning, in %
check.lost_after(answer, flat, n_centers, seeds, ber=ber, alpha=alpha, sigma=sigma, steps=steps)

# %% tags=["solution"]
lots = [learning.random_start(flat, n_centers, s) for s in range(seeds)]
again = [learning.learn_centers(flat, lot, ber, alpha, sigma, steps, seed=s) for s, lot in enumerate(lots)]
for name, place in {"before": 0, "after": -1}.items():
    lost = torch.stack([run.distortion[place] for run in again])
    print(f"{name}: {float(lost.mean()):.1%} ± {float(lost.std()):.1%} of the variance lost, over {seeds} seeds")
check.lost_after(100 * lost.mean(), flat, n_centers, seeds, ber=ber, alpha=alpha, sigma=sigma, steps=steps)

# %% [markdown]
# A centre that no latent is close to is a code word that is never sent: bits paid for and not used. The *entropy* of
# the use says how many bits of news a symbol carries, and $L_\mathrm{div}$ is precisely what is missing:
# $H(u) = \log_2 n - L_\mathrm{div} / \ln 2$. Section 6 measures it.
#
# ## 4 · Who is mistaken for whom
#
# A symbol of $b$ bits crosses a link that flips each bit with probability $p$. Two words that differ in $d$ bits are
# confused with probability
#
# $$P(j \mid i) = p^{d}\,(1-p)^{b-d}.$$
#
# In every code order the same few numbers appear. What the order decides is *where* they stand: whether a likely
# mistake lands on a neighbour or far away.

# %%
orders = {name: show.coded_quantizer(flat, learned.levels, sigma, name) for name in ("natural", "gray")}
show_codes.draw_error_matrices(orders, ber)

# %% [markdown]
# In the natural order the middle two of eight centres (011 and 100) are neighbours and differ in every bit; in Gray's,
# neighbours always differ in one bit, and some far ones too.
#
# The receiver can be clever without an extra bit. It knows $p$ and the use $u$, so it can ask what was *probably*
# sent, and instead of centre $c_j$ take the [posterior mean](README.md#words)
#
# $$v_j = \sum_i P(i \mid j)\, c_i, \qquad P(i \mid j) \propto u_i\, P(j \mid i).$$

# %%
natural = orders["natural"]
show_codes.draw_received_values(natural, torch.logspace(-4, torch.tensor(0.5).log10().item(), 60).tolist())

# %% [markdown]
# As the link gets worse, all values shrink to the mean: at $p = 0.5$ the bits say nothing, and the mean is the best
# one can do. On the right, what that prudence saves over believing the symbol.
#
# **Exercise 3.** At $p = 0.5$ the posterior mean costs the variance of what is sent, once. How many variances does
# believing cost, to one digit after the point, and why?

# %%
answer = None  # how many variances
check.believing_costs(answer, natural)

# %% tags=["solution"]
believing = ((natural.levels[:, None] - natural.levels) ** 2 * natural.prior[:, None]).sum(0).mean()
variance = natural.prior @ (natural.levels - natural.prior @ natural.levels) ** 2
posterior = natural.expected_distortion(0.5)
print(f"believing: {float(believing / variance):.2f} variances, posterior mean: {float(posterior / variance):.2f}")
print("What is sent and what is received are independent, so their variances add up.")
print("(Not exactly twice: received are all words equally often, however unevenly they are sent.)")
check.believing_costs(believing / variance, natural)

# %% [markdown]
# ## 5 · Which word for which centre?
#
# The words can be given to the centres in $n!$ ways, and the device does not care: it looks them up. For eight centres
# the expected error of all of them is computed exactly. (Beyond eight, a search swaps pairs until nothing improves.)
# *Natural* counts, *Gray* changes one bit from neighbour to neighbour, *Hamming* sorts by the
# number of ones, *random* is what you get without thinking. Which one would you take?

# %%
rates = [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.025, 0.05, 0.1]
bell = torch.randn(100_000, generator=torch.Generator().manual_seed(seed))
gauss = learning.with_centers(bell, learning.lloyd_max(bell, n_centers))
cases = {
    "learned above": (learned.levels, learned.prior),
    "evenly spaced and used": (torch.linspace(-1, 1, n_centers), torch.full((n_centers,), 1 / n_centers)),
    "best for a bell curve": (gauss.levels, gauss.prior),
}
comparisons = {name: symbol_codes.compare_orders(*case, rates, seeds=20) for name, case in cases.items()}

# %%
show_codes.draw_order_curves(comparisons)

# %%
symbol_codes.rank_orders(comparisons, ber=0.05)

# %% [markdown]
# The table is the cut at 5 %, in percent above the optimum. Compare natural and Gray in its last two columns: no fixed
# order wins everywhere. So the optimum is searched once, after training, for the whole range of error rates, and stored
# with the codec.
#
# **Exercise 4.** Does the best order change if the receiver believes each symbol? (`optimal_order` finds both.)

# %%
answer = None  # "yes" or "no"
check.order_changes(answer, learned)

# %% tags=["solution"]
from semanticnn_core.codec.code_order import optimal_order

best = [optimal_order(learned.levels, learned.prior, (1e-4, 0.05), rule) for rule in (True, False)]
for rule, order in zip(("posterior", "believing"), best, strict=True):
    print(f"{rule:9}", *(f"{word:0{learned.bits}b}" for word in order.tolist()))
check.order_changes("no" if torch.equal(*best) else "yes", learned)

# %% [markdown]
# ## 6 · Why not Huffman?
#
# Where some centres are used more than others, short words for the frequent ones save bits: Huffman's code. Let us give
# it something to save: evenly spaced centres, the start of section 3.

# %%
spaced = learning.with_centers(flat, even)
for name, each in {"evenly spaced centres": spaced, "learned centres": learned}.items():
    use = each.prior.tolist()
    length = sum(share * len(word) for share, word in zip(use, huffman(use).words, strict=True))
    print(f"{name}: {length:.2f} bits a symbol in place of {each.bits}, {1 - length / each.bits:.1%} saved")

# %% [markdown]
# Now flip **one** bit of one real image and decode. A fixed-length decoder always knows where a word begins.
# Huffman's reads a wrong word, begins the next one at the wrong bit, and may come out with a symbol too many or too
# few: then all that follows stands in the wrong place. Shown are a median bit, and an unlucky one: one in twenty is as
# bad. Where does a flipped bit do the most damage?

# %%
codes = {"fixed length": fixed_length(n_centers), "Huffman": huffman(spaced.prior.tolist())}
sent = spaced.assign(latents).flatten(1).tolist()
tried = range(0, len(codes["Huffman"].encode(sent[image_index])), 7)
worse = symbol_codes.single_flip_damage(codes["Huffman"], sent[image_index], tried).argsort()
places = {name: tried[int(worse[int(share * len(worse))])] for name, share in {"median": 0.5, "unlucky": 0.95}.items()}

# %%
shown = {"fixed length": (codes["fixed length"], tried[len(tried) // 2])}
shown |= {f"Huffman, {name} bit": (codes["Huffman"], place) for name, place in places.items()}
show_codes.draw_flip_damage(shown, sent[image_index])

# %% [markdown]
# And an image meets more than one flip: at 1 % errors, about thirty. Of words of one length the share $1 - (1-p)^b$ is
# wrong, no more. Huffman's would need a channel code around them. Shannon says how many bits even the best of all must
# add, $1/(1 - h(p)) - 1$, with $h(p)$ the entropy of one flip: 9 % more at 1 % errors, 40 % at 5 %. Compare with what
# was saved.
#
# ## 7 · Move it yourself
#
# Sharpness, number of centres, bit error rate, code order. (A page without widgets shows a still: rows are error rates,
# columns numbers of centres; black is sent, red the mean of what arrives, the band its spread.)
#
# - At 5 % errors 64 centres lose less than 8, for twice the bytes. How much less? Guess before you move.
# - From which rate on does what *arrives* no longer look like a staircase?

# %%
guess = None  # how much less of the variance 64 centres lose at 5 % errors than 8, in points

# %%
few, many = (learning.with_centers(flat, learning.lloyd_max(flat, count)) for count in (8, 64))
lost = [float(learning.relative_distortion(each, flat, 0.05)) for each in (few, many)]
compare_guess(guess, 100 * (lost[0] - lost[1]), "points")
if interactive:
    from semanticnn_core.panels.quantizer import QuantizerPanel

    shown = QuantizerPanel(latents, n_centers, sigma, ber).widget
else:
    shown = show.draw_mapping_grid(flat, (2, 8, 64), (0.0, 0.01, 0.05), sigma)
shown

# %% [markdown]
# ## What to take along
#
# - The hard value is sent, the soft one teaches: its slope is large where the quantiser is in doubt.
# - Centres, code words and the receiver's values are three tables. Chosen well once, they cost the device nothing.
# - $L_\mathrm{div}$ gives every centre work, so that every bit is news and Huffman has little to save.
# - On a link that flips bits, words of one length keep a mistake where it happened.
#
# ## Three questions
#
# 1. A latent lies far above the highest centre. Which gradient does it get?
# 2. On a link without errors all code orders cost the same. Why, and what changes with flips?
# 3. Where in a Huffman payload does a flipped bit do the most damage?
#
# <details><summary>Answers</summary>
#
# 1. Nearly none: one centre has the whole share, so the variance is zero. An encoder must be kept from producing it.
# 2. Without flips a word is only a name. With flips, words that differ in one bit are often confused, and the order
#    decides whether they stand for neighbours.
# 3. Near its beginning: all that follows may be shifted.
#
# </details>
#
# Next: [02](02_denoising_pretraining.ipynb), where a decoder learns to live with such symbols.
