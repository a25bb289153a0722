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
# A feature is a cloud of real numbers; a link carries bits, and turns some of them over. Between the two stands a
# quantiser with a handful of *centres*. This notebook takes it apart: how it rounds, how its centres learn although
# rounding has no gradient, which bits stand for which centre, and what is left when bits flip.
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

from semanticnn_core.evaluation.tables import load_table
from semanticnn_core.studies import centers as learning
from semanticnn_core.studies import symbol_codes
from semanticnn_core.studies.huffman import fixed_length, huffman
from semanticnn_core.systems import open_checkpoint
from semanticnn_core.viz import code_words as show_codes
from semanticnn_core.viz import results as show_results
from semanticnn_core.viz import staircases as show
from semanticnn_core.viz.style import use_style

use_style()
images_used, steps, seeds = (64, 100, 3) if profile == "fast" else (500, 1000, 10)

# %% [markdown]
# ## 1 · From picture to code words
#
# The device runs the first layer of the task network, then the encoder: one convolution and a normalisation. What
# comes out is the **latent**, a small stack of maps. Each of its numbers is replaced by the nearest of the learned
# centres, and only the *name* of that centre, a word of $\log_2 n$ bits, leaves the device.

# %%
published, data = open_checkpoint(checkpoint, dataset)
model, codec = published.model, published.codec
images = data.test.first(images_used)["image"]
with torch.no_grad():
    latents = codec.encoder(model.device_part(images)).permute(0, 2, 3, 1).contiguous()  # (B, h, w, K), as sent
size = codec.payload_bytes(model.feature_shape)
print(f"{latents[0].numel()} latents an image, {codec.quantizer.bits} bits each: {size} bytes")

# %%
busiest = latents[image_index].flatten(0, 1).var(0).argmax()
show.draw_journey(images[image_index], latents[image_index, ..., busiest], codec.quantizer)

# %% [markdown]
# The right map is made of very few different values. How much of the middle one do you miss in it? **Which of its
# details would you give up first, if you had one bit less?**
#
# ## 2 · A staircase has no slope
#
# The device rounds: the latent $x$ becomes the nearest centre, $q(x) = c_{i^*}$ with
# $i^* = \arg\min_i |x - c_i|$. Drawn as a curve this is a staircase. On a step its slope is zero, at an edge it has
# none, so no learning signal ever gets from the output back to the encoder, or to the centres' neighbours.
#
# Training therefore looks at a *soft* staircase. Every centre gets a share of $x$, larger the closer it is,
#
# $$w_i(x) = \frac{e^{-\sigma (x - c_i)^2 / \Delta^2}}{\sum_j e^{-\sigma (x - c_j)^2 / \Delta^2}},
# \qquad \tilde q(x) = \sum_i w_i(x)\, c_i,$$
#
# with $\Delta$ the mean distance between neighbouring centres. What is *sent* is always the hard value; only the
# gradient is taken from the soft one.

# %%
sharpness = sorted({0.3, 1.0, sigma, 16.0})
show.draw_staircases(latents, codec.quantizer, sharpness)

# %% [markdown]
# Look at the lower picture. A small $\sigma$ gives every latent about the same slope, but its staircase is hardly
# one: gradients arrive everywhere and belong to another function. A large $\sigma$ is honest about the steps, and
# its gradient lives only in thin spikes at their edges. So training starts blurred and sharpens on the way.
#
# There is a reason for the shape of the spikes. Differentiate $\tilde q$ and out comes
#
# $$\frac{d\tilde q}{dx} = \frac{2\sigma}{\Delta^2} \operatorname{Var}_{w(x)}(c),$$
#
# the variance of the centres under the shares at $x$: the gradient is large exactly where the quantiser is in doubt.
#
# **What happens to a latent far above the highest centre, and why should an encoder be kept from producing it?**
#
# **Exercise 1.** Check the formula against automatic differentiation.

# %% tags=["solution"]
x = torch.linspace(*show.shown_range(latents), 200).requires_grad_()
smooth = learning.with_centers(latents, codec.quantizer.levels, sigma)
(smooth.soft_assign(x) @ smooth.levels).sum().backward()
formula = show.mapping(smooth, show.shown_range(latents), points=200).slope
print(f"largest difference: {float((x.grad - formula).abs().max()):.1e} (largest slope {float(formula.max()):.2f})")

# %% [markdown]
# ## 3 · Centres that move
#
# Where should the centres be? Suppose we start badly: evenly spaced from the smallest latent to the largest, or at
# latents drawn by lot. Then let them follow the gradient of
#
# $$\mathcal{L} = \frac{\mathbb{E}\,(x - \hat x)^2}{\operatorname{Var}(x)} + \alpha\, L_{\mathrm{div}},
# \qquad L_{\mathrm{div}} = \mathrm{KL}\!\left(p \,\|\, \tfrac1n\right),$$
#
# where $\hat x$ is what arrives after real bit flips and $p$ is how much each centre is used. Whole counts have no
# gradient, so $p$ is counted softly: between thresholds (halfway from centre to centre) that are a little blurred. The
# rest of the network stands still: only the $n$ centres learn, live, in the next cell. (The error is measured in shares
# of the variance here. In the codec's training the other term is a cross-entropy, and the paper uses $\alpha = 2$:
# weights beside different terms do not compare.)

# %%
flat = latents.flatten()
even = torch.linspace(float(flat.min()), float(flat.max()), n_centers)
starts = {"evenly spaced": even, "drawn by lot": learning.random_start(flat, n_centers, seed)}
goals = {"quantiles": learning.quantile_centers(flat, n_centers), "Lloyd–Max": learning.lloyd_max(flat, n_centers)}
settings = {"ber": ber, "sigma": sigma, "steps": steps, "seed": seed}
runs = {name: learning.learn_centers(flat, start, alpha=alpha, **settings) for name, start in starts.items()}
show.draw_trajectories(runs, latents, goals)

# %% [markdown]
# Each line is one centre on its way from a red dot. On the right are two recipes from the textbook: *quantiles*
# (every centre gets the same number of latents) and *Lloyd–Max* (the least squared error on a link without errors).
# The gradient finds its own place, because its goal mentions both, and the flips too.
#
# Do both starts end in the same place? And how good is that place?

# %%
reached = {name: learning.with_centers(flat, goal, sigma) for name, goal in goals.items()}
limits = {name: float(learning.relative_distortion(each, flat, ber)) for name, each in reached.items()}
show.draw_learning_curves(runs, limits)

# %% [markdown]
# **Exercise 2.** Random starts need more than one lot. Repeat with several seeds: does the end depend on the start?

# %% tags=["solution"]
lots = [learning.random_start(flat, n_centers, s) for s in range(seeds)]
again = [learning.learn_centers(flat, lot, ber, alpha, sigma, steps, seed=s) for s, lot in enumerate(lots)]
first, last = (torch.stack([run.distortion[place] for run in again]) for place in (0, -1))
print(f"before: {float(first.mean()):.3f} ± {float(first.std()):.3f} of the variance, over {seeds} seeds")
print(f"after:  {float(last.mean()):.3f} ± {float(last.std()):.3f}")

# %% [markdown]
# ## 4 · Everyone should have work
#
# A centre that no latent is close to is a code word that is never sent: bits paid for and not used. The *entropy* of
# the use says how many bits of news a symbol really carries, and $L_{\mathrm{div}}$ is precisely what is missing:
#
# $$H(p) = \log_2 n - \frac{L_{\mathrm{div}}}{\ln 2}.$$
#
# At $L_{\mathrm{div}} = 0$ all centres are used equally and every bit on the link is news. Below, the evenly spaced
# start before learning, after learning the error alone ($\alpha = 0$), and after learning both.

# %%
alone = learning.learn_centers(flat, even, alpha=0.0, **settings)
learned = runs["evenly spaced"].quantizer
cases = {"before": learning.with_centers(flat, even), "error alone": alone.quantizer, f"with α = {alpha:g}": learned}
show.draw_occupancies({name: each.prior for name, each in cases.items()})

# %% [markdown]
# The error alone cares for large latents. Where latents have long tails, it puts centres out there, though few symbols
# ever need them, and $L_{\mathrm{div}}$ then moves them into the crowd, even where they hardly improve anything. Where
# there are no such tails, the error alone uses all centres already, and little is left to win. Look at the grey density
# above and at the titles: which of the two is it here? And what does uniform use cost?

# %%
table = learning.weigh_occupancy(
    flat, n_centers, (0.0, 0.03, 0.3, 2.0), sorted({0.0, ber, 0.05}), seeds, ber=ber, sigma=sigma, steps=steps
)
show.draw_trade(table)

# %% [markdown]
# Read the two pictures together: how many bits does a symbol win, and how much more is lost on a clean link? With many
# bit errors, is the price still worth a thought beside what the link loses? (Bars: standard deviation over the seeds.)
#
# There is a trap in counting softly. One could take the mean of the shares $w_i$ from section 2 for $p_i$. Then two
# centres on the same spot look like two centres in honest work, for they halve their latents softly, while the hard
# rule can only ever send one of them: $L_{\mathrm{div}}$ is content and a code word is lost. It happens in practice; a
# codec trained that way ended with fewer different centres than it paid for. **Why does counting between blurred
# thresholds close the loophole?** (Where is the threshold between two centres on one spot, and the next one?)
#
# ## 5 · Who is mistaken for whom
#
# A symbol of $b$ bits crosses a link that turns each bit over with probability $p$. Two words that differ in $d$ bits
# are confused with probability
#
# $$P(j \mid i) = p^{d}\,(1-p)^{b-d}.$$
#
# The numbers in the next picture are the same few in every code order. What the order decides is *where* they stand:
# whether a likely mistake lands on a neighbour or far away.

# %%
orders = {name: show.coded_quantizer(flat, learned.levels, sigma, name) for name in ("natural", "gray")}
show_codes.draw_error_matrices(orders, ber)

# %% [markdown]
# In the natural order, the middle two centres (011 and 100 with eight of them) are neighbours and differ in every
# bit; in Gray's, neighbours always differ in one bit, and some far ones too. **Which bit of which order does the
# greatest harm?**
#
# The receiver can be clever without a single extra bit. It knows $p$ and how often each centre is used, so it can ask
# what was *probably* sent. Instead of centre $c_j$ it takes the posterior mean
#
# $$v_j = \sum_i P(i \mid j)\, c_i, \qquad P(i \mid j) \propto p_i\, P(j \mid i).$$

# %%
natural = orders["natural"]
show_codes.draw_received_values(natural, torch.logspace(-4, torch.tensor(0.5).log10().item(), 60).tolist())

# %% [markdown]
# As the link gets worse, all values shrink to the mean: at $p = 0.5$ the bits say nothing, and the mean is the best
# one can do. On the right, what that prudence saves over believing the symbol.
#
# **Exercise 3.** At $p = 0.5$ plain decoding costs about twice the centres' variance (more or less, as their use is
# uneven), the posterior mean once. Why?

# %% tags=["solution"]
plain = ((natural.levels[:, None] - natural.levels) ** 2 * natural.prior[:, None]).sum(0).mean()
variance = natural.prior @ (natural.levels - natural.prior @ natural.levels) ** 2
posterior = natural.expected_distortion(0.5)
print(f"plain: {float(plain / variance):.2f} variances, posterior mean: {float(posterior / variance):.2f}")
even_use, gap = natural.levels.var(correction=0), (natural.levels.mean() - natural.prior @ natural.levels) ** 2
print(
    f"plain = 1 + {float(even_use / variance):.2f} + {float(gap / variance):.2f}: the variance of what is sent, that of"
)
print(
    "what is received (all words equally often, however unevenly they are sent; the two are independent), and the gap"
)
print("between both means, squared. The first alone remains for a receiver that always says the mean.")

# %% [markdown]
# ## 6 · Which word for which centre?
#
# The words can be dealt to the centres in $n!$ ways, and the device does not care: it looks them up. For eight
# centres the expected error of all of them can be computed exactly. Flipping one bit in every word changes nothing,
# so $7! = 5040$ cases remain, a fraction of a second. (Beyond eight centres the search swaps pairs until nothing
# improves.) *Natural* counts, *Gray* changes one bit from neighbour to neighbour, *Hamming* sorts by the number of
# ones, *random* is what you get without thinking, dealt several times.
#
# Left: the centres learned above. Middle: evenly spaced centres, all used
# equally. Right: the best centres for a bell curve.

# %%
bers = [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.025, 0.05, 0.1]
bell = torch.randn(100_000, generator=torch.Generator().manual_seed(seed))
gauss = learning.with_centers(bell, learning.lloyd_max(bell, n_centers))
cases = {
    "learned above": (learned.levels, learned.prior),
    "evenly spaced and used": (torch.linspace(-1, 1, n_centers), torch.full((n_centers,), 1 / n_centers)),
    "best for a bell curve": (gauss.levels, gauss.prior),
}
comparisons = {name: symbol_codes.compare_orders(*case, bers, seeds=20) for name, case in cases.items()}
show_codes.draw_order_curves(comparisons)

# %%
symbol_codes.rank_orders(comparisons, ber=0.05)

# %% [markdown]
# The table is the cut at 5 %, in percent above the optimum. Compare natural and Gray in its second and third column:
# no fixed order wins everywhere, it depends on spacing, use and errors. The optimum is searched once, after training,
# and stored with the codec. (It is the best *over the whole range*, so at a single rate another order may be ahead.)
#
# **Exercise 4.** Does the best order change if the receiver decodes plainly?

# %% tags=["solution"]
from semanticnn_core.codec.code_order import optimal_order

orders = [optimal_order(learned.levels, learned.prior, (1e-4, 0.05), rule) for rule in (True, False)]
for rule, order in zip(("posterior", "plain"), orders, strict=True):
    print(f"{rule:9}", *(f"{word:0{learned.bits}b}" for word in order.tolist()))
print("The same words for both." if torch.equal(*orders) else "Other words: what a flip costs depends on the receiver.")

# %% [markdown]
# ## 7 · Why not Huffman?
#
# Where some centres are used more than others, short words for the frequent ones save bits: that is Huffman's code,
# and on a clean link nothing is lost. Let us be fair and give it something to save, if we can: evenly spaced centres,
# the start of section 3, and a code fitted to them. For comparison, the centres that were learned.

# %%
best = learning.with_centers(flat, even)
for name, each in {"evenly spaced centres": best, "learned centres": learned}.items():
    code, use = huffman(each.prior.tolist()), each.prior
    length = sum(float(share) * len(word) for share, word in zip(use, code.words, strict=True))
    print(
        f"{name}: {length:.2f} bits a symbol, {1 - length / each.bits:.1%} saved; entropy {show.entropy_bits(use):.2f}"
    )

# %% [markdown]
# That is what one could win. Now turn over **one** bit of one real image and decode. A fixed-length decoder always
# knows where a word begins. Huffman's reads a wrong word, begins the next one at the wrong bit, and may come out with
# a symbol too many or too few: then all that follows stands in the wrong place. Shown are a median bit, and an
# unlucky one: one bit in twenty is as bad or worse. (The code is fitted to many images, so a single one may save
# more than the average, or need more bits than with words of one length.)

# %%
sent = best.assign(latents).flatten(1)
codes = {"fixed length": fixed_length(n_centers), "Huffman": huffman(best.prior.tolist())}
symbols = sent[image_index].tolist()
tried = {name: range(0, len(code.encode(symbols)), 7) for name, code in codes.items()}
damage = {name: symbol_codes.single_flip_damage(code, symbols, tried[name]) for name, code in codes.items()}
worse = damage["Huffman"].argsort()
places = {
    name: tried["Huffman"][int(worse[int(q * len(worse))])] for name, q in {"median": 0.5, "unlucky": 0.95}.items()
}
shown = {"fixed length": (codes["fixed length"], tried["fixed length"][len(worse) // 2])}
shown |= {f"Huffman, {name} bit": (codes["Huffman"], place) for name, place in places.items()}
show_codes.draw_flip_damage(shown, symbols)

# %%
print("Huffman:", show_codes.damage_in_words(damage["Huffman"]))
show_codes.draw_damage_spread(damage, len(symbols))

# %% [markdown]
# A decoder that has lost its step may find it again by chance after a few words; then little is lost. A mean hides how
# often it does: read the line above. **Where in the payload must the flipped bit be to do the most damage?**
#
# And an image meets more than one flip:

# %%
rates = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 2.5e-2, 5e-2]
few = sent[:8].tolist()
print(f"at 1 % errors, about {0.01 * len(symbols) * best.bits:.0f} of its {len(symbols) * best.bits:,} bits flip")
show_codes.draw_wrong_curves(symbol_codes.wrong_shares(codes, few, rates, seeds))

# %% [markdown]
# The fixed-length curve is $1 - (1-p)^b$, no more: errors stay where they happen. Huffman's would need a channel code
# to protect them. Shannon's theorem says how many more bits even the best of all codes must send, $1/(1 - H(p)) - 1$
# with the entropy $H(p)$ of one flip:

# %%
length = sum(float(share) * len(word) for share, word in zip(best.prior, codes["Huffman"].words, strict=True))
print(f"saved by Huffman's words: {1 - length / best.bits:.1%}")
for rate in (1e-3, 0.01, 0.05):
    entropy = show.entropy_bits(torch.tensor([rate, 1 - rate]))
    print(f"added by the best channel code at {rate:.1%} errors: {1 / (1 - entropy) - 1:.1%}")

# %% [markdown]
# From which rate on does the protection cost more than the words save? (Codes of a few hundred bytes cost far more than
# the best of all.) Hence words of one length, and $L_{\mathrm{div}}$ to leave Huffman little to win.
#
# ## 8 · Few fine symbols, or many coarse ones?
#
# 384 bytes can carry 16 channels of eight centres, 24 of four or 48 of two. Fine symbols say more about each number;
# coarse ones leave room for more numbers, and a flipped bit then spoils less. Which would you send? Guess first: which
# curve is highest at the left end, where hardly a bit flips, and which at 10 %?
#
# Whole codecs, trained alike in a short budget (`data/results/`), with what they answer at the edge:

# %%
levers = load_table(dataset, "levers")
if levers is None:
    print(f"No such trainings are published for {dataset} yet (data/results/{dataset}-levers.csv).")
show_results.draw_levels(levers) if levers is not None else None

# %% [markdown]
# Read both ends. A short training blurs the picture: there is one each for two and eight centres, and trainings of ours
# that differ only in their seed lie as far apart as its bars say. Smaller differences mean nothing. Why could two
# centres be the hardest to train? (The encoder, one convolution, must find 48 numbers worth sending.)
#
# ## 9 · All of it under your fingers
#
# Move the sliders: sharpness, number of centres, bit error rate (its first stop is exactly 0), code order. Centres are
# Lloyd–Max's for each number, words in natural order to begin with. Find out:
#
# - At 5 % errors, is it better to send 64 centres or 8? Mind the bytes, too.
# - From which BER on does a staircase of what *arrives* stop looking like the one that is sent?
# - Which $\sigma$ makes the soft use look like the hard one?

# %%
if interactive:
    from semanticnn_core.panels.quantizer import QuantizerPanel

    shown = QuantizerPanel(latents, n_centers, sigma, ber).widget
else:
    shown = show.draw_mapping_grid(flat, (2, 8, 64), (0.0, 0.01, 0.05), sigma)
shown

# %% [markdown]
# Rows: bit error rate; columns: number of centres, from one bit a symbol to six, their words in natural order. Black is
# what is sent, red the mean of what arrives, the band its spread; the title says what share of the variance is lost.
# Without errors more centres are simply better. Each extra bit is also one more that can flip: in the lower rows, what
# do the last three bits still buy?
#
# **What to take along.** The hard rule is sent, the soft one teaches. Centres, words and the receiver's values are
# three tables that can be chosen well once and cost the device nothing. And on a link that flips bits, words of one
# length keep a mistake where it happened.
