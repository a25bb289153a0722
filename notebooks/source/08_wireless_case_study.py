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
# # 08 · Wireless case study: a day on LoRa, a walk through a flat
#
# Bit error rates were numbers on a slider so far. Where do they come from? Here a sensor sends over LoRa for a day, and
# somebody walks through a flat with a camera on Wi-Fi. Which way of sending still tells the edge what was seen, and
# what does it cost in time on air and battery?
#
# - **Needs:** [03](03_semantic_finetuning.ipynb)
# - **Takes:** 50 minutes
# - **At its end you can say** where bit errors come from, and what a message costs in time and energy.

# %% tags=["parameters"]
seed = 0
profile = "fast"
interactive = True
out_dir = "runs/notebooks/08_wireless_case_study"
dataset = "scene_digits"
checkpoint = ""  # left empty: the published one that was trained on the data set
trace = ""  # your own CSV file with seconds and ber; left empty: the simulated day

# %%
import pandas as pd

from semanticnn_core.channels import BitErrors, Bursts
from semanticnn_core.channels.chips import LoRaChip
from semanticnn_core.channels.fading import Faded
from semanticnn_core.channels.packets import Interleaved, Packets
from semanticnn_core.channels.radio import lora_ber
from semanticnn_core.channels.traces import lora_day, read_trace, wifi_walk
from semanticnn_core.config import percent
from semanticnn_core.evaluation import sweep, tables
from semanticnn_core.evaluation.airtime import airtime_table
from semanticnn_core.evaluation.along import along
from semanticnn_core.studies.exercises import notebook_08 as check
from semanticnn_core.studies.guesses import compare_guess, snr_for
from semanticnn_core.systems import SemanticNN, open_checkpoint
from semanticnn_core.systems.compared import SYSTEMS
from semanticnn_core.systems.learned import Budget
from semanticnn_core.viz import links as viz
from semanticnn_core.viz.style import use_style

use_style()
published, data = open_checkpoint(checkpoint, dataset)
model, test = published.model.folded(), data.test
ours = SemanticNN(model, published.codec)

# %% [markdown]
# ## From signal to bit errors
#
# A receiver sees the signal and noise. How often it takes one bit for another depends on their ratio and on how the
# bits are put on the wave. LoRa spreads each bit over a long chirp: every spreading factor more takes twice the time
# and bears 2.5 to 3 dB more noise. Grey: the rates between which our codecs bend.

# %%
viz.draw_radio()

# %% [markdown]
# The lines are steep. Three decibels, a hand before the antenna, lie between a clean link and a useless one, so rates
# of a few per cent last only where the signal varies around the edge: in motion, at the end of the range, in fading.
#
# **Move the signal.** At which strength does the answer change with SF7? And with SF12? What does the wait cost? Guess
# by how much SF12 may be weaker for the same bit error rate.

# %%
guess = None  # how many dB weaker the signal may be with SF12 than with SF7, at 5 % bit errors

# %%
compare_guess(guess, snr_for(0.05, 7) - snr_for(0.05, 12), "dB")
if interactive:
    from semanticnn_core.panels.radio import RadioPanel

    shown = RadioPanel(ours, test["image"][:40], data.classes)
else:
    shown = "a panel with sliders for signal, spreading factor and lost packets, in JupyterLab"
shown

# %% [markdown]
# ## What a message costs
#
# LoRaWAN carries 51 to 222 bytes a frame and lets a device send one per cent of the time. So bytes are time on air,
# time is charge, and the duty cycle says how often the sensor may speak. Guess: how many images a day at SF12?

# %%
guess = None  # how many payloads of 384 bytes a sensor may send a day at SF12

# %%
rivals = ["JPEG + error correction", "JPEG + retransmission", "thumbnail"]
systems = [ours, *(SYSTEMS[name].make(published.model, data, Budget()) for name in rivals)]
image = test["image"][0].numel()
sizes = {"our code": 384, "half of it": 192, "image, 8 bits": image, "32-bit floats": 4 * image}
compare_guess(guess, check.messages_a_day(384, 12), "a day")
airtime_table(sizes)

# %% [markdown]
# At SF12 one code takes 21 seconds, and 40 a day are allowed; one raw image of eight bits a value takes eleven minutes,
# and the duty cycle allows a single one.
#
# ## A day
#
# A simulated day at SF7: the signal is best before dawn and worst in the afternoon, and drifts with people, cars and
# rain. One image every five minutes; every system sends the same images over the same link. The receiver knows the rate
# of the moment. (A file you recorded yourself goes into the parameter `trace`.)

# %%
day = read_trace(trace) if trace else lora_day(seed)
table = along(systems, test, day, seed)
viz.draw_along(table, 3600, "hour of the day")

# %%
means = table.groupby("system", sort=False)[["right", "bytes"]].mean()
costs = airtime_table(means["bytes"].to_dict(), (5,))
costs.assign(right=means["right"].map("{:.0%}".format))

# %% [markdown]
# Retransmission is what ordinary links do: send, check, send again, up to seven times. This one is better than most: it
# keeps the damaged copies and asks whether their majority is right. So it gets as far as the file behind error
# correction, but for several times the charge, and the sensor may speak that much less often. Either file is as good as
# ours up to the rate that it bears, and then gone. Ours bends.
#
# ## A walk
#
# A simulated walk of ten minutes from the access point to the far end of a flat and back, three walls away. Wi-Fi fades
# from packet to packet, so good and bad follow each other within a second. Who will get through in the far room?

# %%
walk = wifi_walk(seed)
table = along(systems, test, walk, seed)
viz.draw_along(table, 60, "minute of the walk")

# %% [markdown]
# In the far room a third of the bits may be wrong, beyond anything that was trained for, and still most images are
# understood: single messages come through the fades well. Averages over error rates hide this.
#
# ## What the chip corrects itself
#
# LoRa's chip makes five to eight bits of each half byte. At its strongest setting, 4/8, one wrong bit of the eight is
# corrected, for 1.56 times the time on air; 4/5 corrects none. The third row lets the signal fade after Rayleigh, anew
# for each message, around the mean in the head of the table.

# %%
from functools import partial

few, levels = test.take(100), (-8.5, -9.5, -10.5, -11.5, -12.5)
chips = [LoRaChip(snr, 7, rate) for rate in (1, 4) for snr in levels]
fading = [Faded(partial(lora_ber, spreading_factor=7), snr) for snr in levels]
table = sweep(systems[:2], few, [*chips, *fading], 1)
right = table.pivot_table("accuracy", ["system", "link"], "snr")
right.rename(columns="{:g} dB".format).style.format("{:.0%}")

# %% [markdown]
# Both gain about a decibel from the chip's code, and the file's cliff stands behind it as before.
#
# ## Errors that come together
#
# *Bursts*: a disturbance destroys neighbours. *Lost packets*: 48 bytes are missing at once, and the receiver knows
# which ([erasures](README.md#words)). Our code is sent row by row, so both tear a hole: 48 bytes are a whole row of its
# 8×8 positions. An [interleaver](README.md#words) sends the bytes in another order that both ends know: the same
# damage, spread over everything. It costs nothing. What does it gain?
#
# Two codecs take part: the one of all notebooks, and *tolerant*, whose decoder was trained with up to half of the bytes
# missing (`semanticnn train --stage2.lost 0.5`).

# %%
both = {name: codec for name, codec in published.systems.items() if name != "denoised"}  # notebook 02's
kinds = [SemanticNN(model, codec, name=name) for name, codec in both.items()]
lost = Packets(BitErrors(0.01), 48, 0.3)
troubles = {"bursts of 128 bits": Bursts(0.05, 128.0), "30 % of the packets lost": lost}
troubles |= {f"{name}, interleaved": Interleaved(link) for name, link in troubles.items()}
rows = {name: sweep(kinds, few, [link], 1).set_index("system")["accuracy"] for name, link in sorted(troubles.items())}
pd.DataFrame(rows).T.style.format("{:.0%}")

# %% [markdown]
# With error bars over channel seeds:

# %%
orders = tables.load_table(dataset, "links")
viz.draw_orders(orders, list(orders["system"].unique())) if orders is not None else None

# %% [markdown]
# Our code bears scattered losses well, for each hole is surrounded by what is known; more so where the decoder has met
# holes before. The file bears a loss as long as its parity covers it, and not a bit more.
#
# ## Device and edge, live
#
# The same acts on real sockets. An edge listens; a device sends frames, each behind a header of 16 bytes that says
# which image and which part it is; a link between them damages the bytes. Here all three run on this machine:

# %%
from semanticnn_core.live.device import send_images
from semanticnn_core.live.session import Session

images, names = few["image"][:60], [str(data.classes[each]) for each in few["label"][:60]]
links = {"clean": (0.0, 0.0), "2 % errors": (0.02, 0.0), "and 20 % lost": (0.02, 0.2)}
tough = kinds[-1]
with Session(tough, data.classes, BitErrors(0.0), packet=64) as session:
    for name, (ber, loss) in links.items():
        session.link(Packets(BitErrors(ber), 64, loss))
        sent = send_images(tough, session.framing, images, session.address, rate=50, patience=20)
        answers = {number: answer for number, answer in sent if answer}
        right = sum(names[number] == answer["answer"] for number, answer in answers.items())
        print(f"{name}: {len(answers)} of {len(images)} answered, {right} right")
        print(f"  the edge believes in {list(answers.values())[-1]['ber']:.2%} errors")

# %% [markdown]
# The edge is not given the rate. It counts the wrong bits of each header, which it knows after decoding: 128 known bits
# a packet at no further cost. (The header is protected: a word of a Reed–Muller code.) Lost packets are waited for a
# quarter of a second; then the image is decoded with what is there.
#
# What is such an estimate worth? Below, a receiver is given the rate; or counts the wrong bits of seven known bytes
# behind the payload; or believes in some rate, whatever comes. Which rows do you expect to differ?

# %%
known = tables.load_table(dataset, "estimates")
if known is not None:
    known = known.pivot_table("accuracy", ["system", "receiver"], "ber").rename(columns=percent).style.format("{:.1%}")
known

# %% [markdown]
# Hardly any do: about a point, where many bits are wrong and the belief is far off. A decoder that met all rates in
# training makes of the received symbols what it can, whatever it believes.
#
# On two machines, or in three terminals of this one (`--help` says more):
#
# ```
# semanticnn serve --system tolerant                  # answers on http://127.0.0.1:8383/
# semanticnn impair --ber 0.02 --loss 0.2             # a bad link in between
# semanticnn send --system tolerant --to 127.0.0.1:5684 --count 100   # a device
# ```
#
# `send --camera 0` takes what a webcam sees, `--compiled` lets the exported C itself encode.
#
# ## What is left out
#
# These links are models. The walk's bits are those before Wi-Fi's own code (`WiFiChip` adds it). To get at damaged bits
# at all, a receiver must be set to hand on frames whose checksum is wrong. A packet whose preamble or header is missed
# is a lost packet. Collisions with other senders are not simulated.
#
# **Exercise 1.** The signal is 5 dB weaker: `lora_day(seed, snr=-14.0, spreading_factor=7)`. Which spreading factor
# gives the sensor most right answers a day, within its duty cycle?

# %%
answer = None  # a spreading factor, 7 to 12
check.best_factor(answer, ours, test, seed)

# %% tags=["solution"]
a_day = {factor: check.right_a_day(ours, test, seed, -14.0, factor) for factor in (7, 8, 9)}
print("right answers a day:", {factor: round(right) for factor, right in a_day.items()})
print("Larger factors send too few messages. Nobody who insists on a clean link would choose the best.")
check.best_factor(max(a_day, key=a_day.get), ours, test, seed)

# %% [markdown]
# **Exercise 2.** At how many of its moments is the day's rate above 5 %? And does the order of the systems stay on a
# trace that you recorded: any file with `seconds` and `ber`?

# %%
answer = None  # the share of the moments, in %
check.bad_moments(answer, day)

# %% tags=["solution"]
print("Good links: everything works. Bad ones: what bends is ahead of what breaks. Between, it depends on the parity.")
check.bad_moments(100 * (day["ber"] > 0.05).mean(), day)

# %% [markdown]
# **Exercise 3.** Let the walk use `modulation="BPSK"`. How many of our images are right then, and what does it cost in
# time?

# %%
answer = None  # the share of right answers on the walk, in %
check.right_with_bpsk(answer, ours, test, seed)

# %% tags=["solution"]
sturdy = along([ours], test, wifi_walk(seed, modulation="BPSK"), seed)["right"].mean()
print(f"Half the bits a symbol bear 3 dB more noise: {sturdy:.1%} of the images right, for twice the time on air.")
check.right_with_bpsk(100 * sturdy, ours, test, seed)

# %% [markdown]
# ## What to take along
#
# - Between a clean link and a useless one lie three decibels. Rates of a few per cent belong to links that vary.
# - Bytes are time on air, time is charge, and the duty cycle is a budget: whoever sends again pays again.
# - On a moving link it counts how a system behaves when the link is bad *now*.
# - An interleaver spreads damage for nothing; a decoder that met losses in training bears them.
# - The receiver can count the errors of what it knows. A rough estimate is enough.
#
# ## Three questions
#
# 1. When would you still choose a file behind error correction?
# 2. Why does the parity chosen for the worst moment of a day cost something all day?
# 3. Your packets are lost and not damaged, as with most radios. What changes?
#
# <details><summary>Answers</summary>
#
# 1. Where the link is steady and its rate known, and the picture itself is wanted too.
# 2. It is sent with every message, also when no bit flips: bytes that could have been meaning, or time on air.
# 3. The receiver knows where the holes are: interleave, use a decoder trained with losses, or parity for erasures.
#
# </details>
#
# Next: a project of your own, in the [course plan](README.md#plans).
