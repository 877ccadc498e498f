# %% [markdown]
# # 08 · From weights to bits: the file
#
# **Time.** About 90 minutes to read and do. Running all cells, measured: 26 s on 2 CPU cores.
#
# So far a video was a list of weights, and its size was a promise: weights times 6 bits. This chapter keeps the
# promise. You round the weights, let the network get used to it, count what the whole numbers are worth, and
# pack them into a file. At the end you look at every byte of it.

# %% [markdown]
# ## What you will be able to do
#
# * Say how many bits a row of numbers is worth: its entropy.
# * Round weights to whole numbers, and repair the damage by fine-tuning.
# * Put a price on bits, so that training saves them where they buy least.
# * Pack whole numbers with a range coder of ten lines, and unpack them.
# * Find every byte of a `.cfv` file, and three estimates of its size that lie.
#
# **You need:** what a network's weights are (chapter 01), PSNR (01), bits per pixel and nominal bytes (02), the
# two layers and their loss (05, 06) only by name.

# %%
import math
import zlib
from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from coordflow_mini import bitstream, decoder
from coordflow_mini.config import FitConfig, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.course import check, predict, progress, setup
from coordflow_mini.course.lesson import figures, ladder, tables
from coordflow_mini.course.lesson.ladder import grid_step, in_bits, tensors_of
from coordflow_mini.course.lesson.watching import watch
from coordflow_mini.encoder import header_of
from coordflow_mini.finetune import Quantizer, rate_bits
from coordflow_mini.measure import results
from coordflow_mini.measure.metrics import bits_per_pixel, psnr_db
from coordflow_mini.ops.run import fit
from coordflow_mini.quantize import QuantizedTensor, nearest_index, quantize, step
from coordflow_mini.render import render
from coordflow_mini.sampling import default_model
from coordflow_mini.show import plots, widgets
from coordflow_mini.video.read import load

here = setup(chapter=8)

# %% [markdown]
# ## Predict
#
# A weight in PyTorch is a float of 32 bits, which tells more than four billion numbers apart. You will round each
# weight to a whole number of 6 bits, which tells 64 apart, and change nothing else. How many dB of PSNR does the
# video lose? (1 dB is hard to see. 6 dB mean that the errors are twice as large, 20 dB ten times.)

# %%
six_bits = predict(
    "six_bits",
    "With weights of 6 bits instead of 32, and no more training, one loses ... dB.",
    unit="dB",
    answer=...,
)

# %% [markdown]
# And a second one. A fair coin gives one bit with each toss: 0 or 1, there is nothing to save. Now a coin that
# shows heads nine times out of ten. You may pack a long row of tosses as cleverly as you can. How many bits does
# it take, per toss?

# %%
loaded_coin = predict(
    "loaded_coin",
    "A row of tosses of a coin with 90 % heads can be packed into ... bits for each toss.",
    unit="bits",
    answer=...,
)

# %% [markdown]
# ## The idea: round, then pack
#
# ```
#  float weights ── ÷ step, round ──► whole numbers ── range coder ──► bits ── + header ──► file
#                     loses                              loses nothing
#                       ▲
#                       └── fine-tuning makes up for it
# ```
#
# * **Rounding** divides a weight $w$ by a **step** $\Delta$ and keeps the nearest whole number $q$. The decoder has
#   $q \cdot \Delta$ in its place. This loses something, and it is the only place that does.
# * **Packing** gives short codes to numbers that occur often. It loses nothing.
# * **Fine-tuning** trains on with rounded weights, so that they find places where rounding does little harm.
#
# Compression of videos by networks stands or falls with this chapter: layers and motion make the network small,
# this makes each of its weights small. (CoordFlow, arXiv 2501.00975, stores its weights quantized and entropy
# coded; the recipe here is ours.)

# %% [markdown]
# ## Build: what is a number worth?
#
# Start at the end, with packing, because it says what rounding is good for. If something happens with
# probability $p$, telling that it did is worth
#
# $$-\log_2 p \quad\text{bits.}$$
#
# Heads of a fair coin: $-\log_2 \tfrac12 = 1$ bit. One of 64 equally likely numbers: 6 bits. Something that
# happens nearly always: next to nothing. The mean over all that may happen is the **entropy** $H$, and no packing
# gets by with fewer bits on average: that is Shannon's theorem of 1948.
#
# $$H = -\sum_i p_i \log_2 p_i .$$


# %%
def coin_entropy(heads):
    """Bits per toss of a coin with this probability of heads."""
    tails = 1 - heads
    return -heads * math.log2(heads) - tails * math.log2(tails)


assert coin_entropy(0.5) == 1
loaded = coin_entropy(0.9)
print(f"fair coin: {coin_entropy(0.5)} bit; 90 % heads: {loaded:.3f} bits, from")
print(f"heads at {-math.log2(0.9):.2f} bits and tails at {-math.log2(0.1):.2f}")
loaded_coin.compare(
    round(loaded, 2),
    "Heads are worth 0.15 bits, tails 3.3; tails are rare. On average, under half a bit.",
    within=0.06,
)
chances = np.linspace(0.002, 0.998, 200)
figures.lines(
    {"entropy": [coin_entropy(p) for p in chances]},
    x=list(100 * chances),
    across="heads [%]",
    up="bits per toss",
    alt="An arch: 0 bits at both ends, where the outcome is certain, 1 bit at 50 percent.",
    size=(5, 2.6),
)

# %% [markdown]
# **Surprise is what costs.** A certain coin is worth nothing, a fair one most.
#
# For whole numbers take the shares with which they occur as the probabilities.

# %% [markdown] tags=["exercise"]
# ### Exercise 8.1: Entropy
#
# *`entropy` · difficulty 1 of 3 · 8 minutes*
#
# Return the entropy of an array of integers: the mean number of bits for each of them, if an integer that makes
# up a share $p$ of the array costs $-\log_2 p$. For `[0, 1, 1, 0]` that is 1.0.


# %% tags=["stub"]
def entropy(integers):
    """Bits for each integer of a NumPy array."""
    ...  # your code here


entropy = check(entropy)

# %% [markdown] tags=["hint"]
# `values, counts = np.unique(integers, return_counts=True)` tells how often each different integer occurs. What
# are the shares?

# %% [markdown] tags=["hint"]
# With `share = counts / counts.sum()`, weight the bits of each different integer, `-np.log2(share)`, by its share,
# and sum.


# %% tags=["solution"]
def entropy(integers):
    """Bits for each integer of a NumPy array."""
    _, counts = np.unique(integers, return_counts=True)
    share = counts / counts.sum()
    return -(share * np.log2(share)).sum()


# %% [markdown]
# Now the weights in a real file. `bitstream.read` unpacks the whole numbers of `bunny.cfv`, tensor by tensor; a
# **tensor** here is one matrix, or one row of biases, of one layer's networks. Take the largest: how often does
# each integer occur? The axis is **logarithmic**, each labeled line means *ten times as many*, or else the rare
# ones on both sides would be too small to see.

# %%
bunny = results.data_file("bunny.cfv").read_bytes()
header, coded = bitstream.read(bunny, decoder.tensor_shapes)
largest = max((tensor.integers for tensor in coded), key=lambda integers: integers.size)
values, counts = np.unique(largest, return_counts=True)
each = entropy(largest)
print(
    f"{largest.size:,} integers from {values.min()} to {values.max()}: {each:.2f} bits each"
)
fixed = math.ceil(math.log2(values.max() - values.min() + 1))
print(f"as whole numbers of one length they would take {fixed} bits each")
assert each < fixed - 0.5
figure, place = figures.axes(
    alt="Bars over the integers, a bell: hundreds at 0, fewer and fewer to both sides, "
    "single ones far out.",
    size=(6.4, 2.8),
)
place.bar(values, counts, color=plots.PALETTE["blue"], width=0.8)
place.set(xlabel="integer", ylabel="how often (log scale)", yscale="log")
place.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
figure

# %% [markdown]
# A bell. Most weights are small, a few are large. This is what packing lives on: **the few large ones would set
# the length of every number; entropy counts them only as often as they occur.**

# %% [markdown]
# ## Build: a clip to try it on
#
# The flower of chapter 00, as a postage stamp: small enough to train while you wait. Two layers, and each has a
# small flow network, which moves it, and a color network, which paints it. Everything below happens to their
# weights. Watch them learn.

# %%
clip = load("clip:cutout", Selection(width=48, height=32))
view = watch(clip)
view

# %%
shape = replace(default_model(clip), width=24)
how = FitConfig(
    steps=600, batch=2048, seed=here.seed
)  # also on a GPU: finer weights would lose more
fitted = fit(clip, shape, how, device=here.device, on_step=view)
fitted.model.cpu()
weights = fitted.model.parameter_count
about = header_of(clip, shape, how)  # what the file will say about itself
times = frame_times(clip.time)


def quality(model):
    """PSNR of what a model decodes to [dB]."""
    return psnr_db(clip.frames, render(model, times, clip.height, clip.width).rgb)


full_db = quality(fitted.model)
print(f"{weights:,} weights in {len(tensors_of(fitted.model))} tensors, {full_db:.1f} dB")

# %% [markdown]
# Bytes on disk, or it did not happen: each attempt in this chapter is measured as *(bits of the whole file per
# weight, PSNR of what is decoded from it)*. `rungs` collects them, for a ladder from 32 bits downwards.
#
# First two rungs without any trick: the floats as they are, and **fp16**, floats with half the bits. A `.cfv` file
# has no place for floats, so these two sizes are the header and 4 or 2 bytes for each weight. All rungs after them
# are real files.

# %%
rungs = {}  # name -> (bits per weight, dB, a decoded frame)
plain_header = len(bitstream.header_bytes(about))


def keep(name, size, model):
    """Remember a rung of the ladder, and print it."""
    shown = render(model, times, clip.height, clip.width).rgb
    rungs[name] = (8 * size / weights, psnr_db(clip.frames, shown), shown[4].numpy())
    print(f"{name:24s} {rungs[name][0]:6.2f} bits per weight   {rungs[name][1]:5.2f} dB")


floats = tensors_of(fitted.model)
halves = ladder.with_weights(fitted.model, [tensor.half().float() for tensor in floats])
keep("float32", plain_header + 4 * weights, fitted.model)
keep("fp16", plain_header + 2 * weights, halves)
assert abs(rungs["fp16"][1] - full_db) < 0.1

# %% [markdown]
# Half the bits are gone, and nobody notices. How far down does this go?

# %% [markdown]
# ## Build: rounding
#
# One number, the naive way: divide by the step, round, multiply back.


# %%
def quantize_naive(tensor, step):
    """The nearest integers of tensor / step, one by one."""
    return [round(weight / step) for weight in tensor.flatten().tolist()]


tensor, size = max(floats, key=torch.numel), 0.03
naive = quantize_naive(tensor, size)
assert naive == quantize(tensor, size).flatten().tolist()
error = torch.tensor(naive) * size - tensor.flatten()
print(f"{len(naive)} weights, by hand and by the library: equal")
print(f"largest error {error.abs().max():.4f}, half a step is {size / 2}")
assert error.abs().max() <= size / 2 + 1e-6

# %% [markdown]
# No error is larger than half a step. A smaller step means smaller errors, larger integers, more bits.
#
# Which step? **One for each tensor.** The largest weight of one tensor may be many times that of another; a step
# that is fine for the one erases the other.
#
# And **the step must be stored**, or the decoder knows $q$ but not $q\cdot\Delta$. A float for each tensor would
# do. The library is thriftier: its steps are powers $2^{i/8}$, so that the small integer $i$ says it all.
# `grid_step(x)` is the smallest step of this grid that is not below $x$. By hand:


# %%
def grid_naive(at_least):
    """The smallest of ..., 2^(-1/8), 1, 2^(1/8), ... that is not below a number."""
    return 2 ** (math.ceil(8 * math.log2(at_least)) / 8)


peaks = [float(tensor.abs().max()) for tensor in floats]
print(f"largest weight of a tensor: from {min(peaks):.3f} to {max(peaks):.3f}")
assert max(peaks) > 5 * min(peaks)
for wanted in (0.26, 0.03, 1.7):
    assert math.isclose(grid_naive(wanted), grid_step(wanted))
    index = nearest_index(grid_step(wanted))
    print(f"at least {wanted}: {grid_step(wanted):.4f} = 2^({index}/8)")
    assert step(index) == grid_step(wanted)

# %% [markdown] tags=["exercise"]
# ### Exercise 8.2: Round everything
#
# *`quantize_all` · difficulty 2 of 3 · 12 minutes*
#
# Round a list of tensors to integers of `bits` bits each. One bit is for the sign, so integers run from
# $-(2^{\text{bits}-1}-1)$ to $2^{\text{bits}-1}-1$; with 6 bits from −31 to 31. Give each tensor the finest step of
# the grid at which its largest magnitude still fits. Return a list of pairs `(integers, step)`; the integers have
# the shape of their tensor.


# %% tags=["stub"]
def quantize_all(tensors, bits):
    """[(integers, step), ...] of a list of tensors."""
    ...  # your code here


quantize_all = check(quantize_all)

# %% [markdown] tags=["hint"]
# The largest weight shall become the largest integer, or a little less. So which number must the step not fall
# below?

# %% [markdown] tags=["hint"]
# For one tensor: `size = grid_step(float(tensor.abs().max()) / (2 ** (bits - 1) - 1))`. Then
# `torch.round(tensor / size).int()`, or the library's `quantize(tensor, size)`.


# %% tags=["solution"]
def quantize_all(tensors, bits):
    """[(integers, step), ...] of a list of tensors."""
    rounded = []
    for tensor in tensors:
        size = grid_step(float(tensor.abs().max()) / (2 ** (bits - 1) - 1))
        rounded.append((quantize(tensor, size), size))
    return rounded


# %% [markdown] tags=["solution"]
# The library rounds in float64 on the CPU, so that a GPU cannot round one weight in a million differently.

# %% [markdown]
# Down the ladder: 8 bits, 6 bits, 4 bits. `in_bits` of the course does what you did and wraps it for
# `bitstream.write`, which makes a real file; the model is decoded from nothing but its bytes.


# %%
def file_of(rounded):
    """The bytes of a .cfv file with these integers."""
    tensors = [
        QuantizedTensor(np.asarray(q, np.int32), nearest_index(d)) for q, d in rounded
    ]
    return bitstream.write(about, tensors)


for bits in (8, 6, 4):
    data = file_of(quantize_all(floats, bits))
    assert abs(len(data) - len(bitstream.write(about, in_bits(fitted.model, bits)))) < 20
    keep(f"{bits} bits, rounded", len(data), decoder.read_model(data)[1])
lost = full_db - rungs["6 bits, rounded"][1]
assert 4 < lost < 13 and rungs["6 bits, rounded"][0] < 5.8

# %%
six_bits.compare(
    round(lost, 1),
    "Every weight is a little wrong, and the precious ones hurt everywhere; see below.",
    within=2,
)
figures.pictures(
    {
        f"{name}: {rungs[name][1]:.1f} dB": rungs[name][2]
        for name in ("float32", "8 bits, rounded", "6 bits, rounded", "4 bits, rounded")
    },
    alt="One frame of the flower four times: clean with 32 and with 8 bits, fair at "
    "6 bits, with gray petals on a muddle at 4 bits.",
)

# %% [markdown]
# 8 bits cost little. At 6 bits PSNR falls steeply, though a single frame still looks fair at first glance. At 4 bits
# the picture is ruined.
#
# Look at the sizes as well: the file of the 6-bit integers has *less* than 6 bits for each weight. That is the
# entropy of a bell, and it cost nothing.

# %% [markdown]
# Is all the damage done in one place? Round one group of tensors at a time to 6 bits, and leave the others at 16,
# which is as good as exact. A group is one parameter of the model in both layers, such as `flow.weight_in`, the
# first weights of the flow networks.

# %%
exact, rounded = in_bits(fitted.model, 16), in_bits(fitted.model, 6)
names = [name for name, group in fitted.model.named_parameters() for _ in group]
harm, share = {}, {}
for group in dict.fromkeys(names):
    pairs = zip(names, exact, rounded, strict=True)
    mixed = [six if name == group else fine for name, fine, six in pairs]
    harm[group] = full_db - quality(decoder.build_model(about, mixed))
    size = sum(t.integers.size for n, t in zip(names, rounded, strict=True) if n == group)
    share[group] = size / weights
    print(f"{group:18s} {share[group]:6.1%} of the weights   {harm[group]:5.2f} dB lost")
flow = [group for group in harm if group.startswith("flow")]
middle = ["color.weights.1", "color.weights.2"]
flow_harm, middle_harm = (max(harm[group] for group in part) for part in (flow, middle))
assert flow_harm > 1.5 and flow_harm > middle_harm and middle_harm < 3
assert 4 * sum(share[group] for group in flow) < sum(share[group] for group in middle)

# %%
figure, place = figures.axes(
    alt="Bars: rounding the weights of the flow networks, the first or the last weights of "
    "the color networks costs decibels; the middle ones cost little, most biases nothing.",
    size=(6.4, 3.6),
)
place.barh(list(harm), list(harm.values()), color=plots.PALETTE["blue"])
place.set(xlabel="lost when only these are rounded to 6 bits [dB]")
place.invert_yaxis()
figure

# %% [markdown]
# **Weights are not equally precious.** The flow networks are less than a tenth of all weights, but rounding them
# moves the whole layer, in every pixel. The middle weights of the color networks are more than four times as many,
# and bear rounding better. The same number of bits for all is wrong; hold that thought.

# %% [markdown]
# ## Build: train with rounding
#
# First repair, then save. Rounded weights need not be the *nearest* integers: they should be integers that work well
# *together*. So train on, with rounded weights in the forward pass.
#
# There is one obstacle. The derivative of rounding is 0 nearly everywhere: a small change of $w$ changes no integer.
# Gradient descent would stand still. The way out is a white lie, the **straight-through estimator**: round on the
# way forward, and on the way back pretend that nothing was rounded.


# %%
def round_through(values):
    """Rounded values, with the gradient of the values themselves."""
    return values + (values.round() - values).detach()


w = torch.tensor([0.3, 1.7, -2.4], requires_grad=True)
(3 * w.round()).sum().backward()
honest, w.grad = w.grad.clone(), None
(3 * round_through(w)).sum().backward()
print(f"forward {round_through(w).tolist()}")
print(f"gradient of round {honest.tolist()}, straight through {w.grad.tolist()}")
assert (honest == 0).all() and (w.grad == 3).all()

# %% [markdown]
# The weight itself stays a float while training. It moves a little with each training step, and when it crosses the
# middle between two integers, the integer changes. The library's `Quantizer` does the same. It keeps each $\Delta$
# as its logarithm to base 2, one for each layer:

# %%
quantizer = Quantizer(fitted.model)
for (name, weight), log2_step in zip(
    fitted.model.named_parameters(), quantizer.log2_steps.T, strict=True
):
    sizes = [step(nearest_index(2**number)) for number in log2_step.tolist()]
    sizes = torch.tensor(sizes)[:, None, None]  # one for each layer
    by_hand = round_through(weight / sizes) * sizes
    assert torch.allclose(by_hand, quantizer.rounded()[name], atol=1e-6)
print("all weights rounded by hand and by the library: equal")

# %% [markdown]
# `ladder.tuned` trains on like this, for a few hundred training steps. The $\Delta$ stay those of exercise 8.2 for
# 6 bits; only the integers change.

# %%
TUNING = 300
data = bitstream.write(about, ladder.tuned(fitted, clip, bits=6, steps=TUNING))
keep("6 bits, tuned", len(data), decoder.read_model(data)[1])
assert rungs["6 bits, tuned"][1] > rungs["6 bits, rounded"][1] + 2

# %% [markdown]
# Much better, in about as many bits: the integers have arranged themselves. Yet it is not what the floats had. The
# steps $\Delta$ are still those of the largest weights, and nobody asked which tensor deserves how many bits.

# %% [markdown]
# ## Build: put a price on bits
#
# So let training decide that, too. It wants two things: a small error (the **distortion** $D$, which the loss was so
# far) and few bits (the **rate** $R$). Add them up, at a price $\lambda$ for each bit:
#
# $$L = D + \lambda R .$$
#
# Now a finer step for the flow is bought if it lowers $D$ by more than its bits cost, and the steps $\Delta$ become
# numbers that are learned, like the weights. All that is missing is an $R$ with a gradient. A histogram has
# none: counts do not change smoothly. But the histogram is a bell, and for a bell there is a formula. Numbers from a
# Gaussian with standard deviation $\sigma$, rounded to integers, have an entropy of about
#
# $$H \approx \log_2\!\big(\sigma\sqrt{2\pi e}\big) = \tfrac12 \log_2\!\big(2\pi e\,\sigma^2\big)\quad\text{bits.}$$
#
# $\sigma$ counts in steps. Twice the step, half the $\sigma$, **one bit less**. Does the formula hold?

# %%
noise = torch.randn(100_000, generator=torch.Generator().manual_seed(here.seed)).numpy()
sigmas = 2.0 ** np.arange(-3, 5.5, 0.5)
measured = [entropy(np.rint(sigma * noise).astype(int)) for sigma in sigmas]
formula = 0.5 * np.log2(2 * np.pi * np.e * sigmas**2)
padded = 0.5 * np.log2(2 * np.pi * np.e * (sigmas**2 + 1 / 12))
assert np.abs(formula - measured)[sigmas >= 1].max() < 0.07
assert (padded > 0).all()
figure, place = figures.axes(
    alt="Above σ = 1 the three curves are one straight line, one bit per octave. "
    "Below, the measured entropy goes to zero, the formula dives below zero, and the one "
    "with 1/12 levels off below half a bit.",
    size=(6.4, 3.2),
)
place.plot(np.log2(sigmas), measured, color=plots.PALETTE["blue"], label="measured")
place.plot(np.log2(sigmas), formula, "--", color=plots.PALETTE["orange"], label="formula")
place.plot(np.log2(sigmas), padded, ":", color=plots.PALETTE["green"], label="with 1/12")
place.set(xlabel="log2 of σ (each unit doubles σ)", ylabel="bits for each integer")
place.legend(frameon=False)
figure

# %% [markdown]
# It holds while $\sigma$ is at least one step; below, the formula would promise *negative* bits. The library adds
# the variance of the rounding itself, 1/12, which keeps the rate above zero. Here is its rate of a tensor, built
# naively:


# %%
def rate_naive(weights, step):
    """About how many bits the integers of one tensor cost."""
    scaled = [weight / step for weight in weights.flatten().tolist()]
    mean = sum(scaled) / len(scaled)
    variance = sum((value - mean) ** 2 for value in scaled) / len(scaled) + 1 / 12
    return len(scaled) * 0.5 * math.log2(2 * math.pi * math.e * variance)


for tensor in (floats[0], max(floats, key=torch.numel)):
    rate = rate_bits(tensor[None].double(), torch.tensor([math.log2(0.03)]).double())
    assert math.isclose(rate_naive(tensor, 0.03), rate.item(), rel_tol=1e-6)
    print(
        f"{tensor.numel():4d} weights: {rate.item():6.0f} bits, by hand and by the library"
    )

# %% [markdown]
# `ladder.priced` runs the library's fine-tuning, in which weights and steps $\Delta$ learn together. You name no
# price; you name a size, and the price follows from it while the training goes on. And $R$ is not trusted with the
# size: the formula decides how bits are *shared out*, but how many there are is held by the **real file**, written
# and measured again and again. No estimate decides that.

# %%
files = {}
for wanted in (5.0, 4.0):
    data = ladder.priced(fitted, clip, about, wanted, TUNING, device=here.device)
    files[wanted] = data
    keep(f"{wanted:g} bits, priced", len(data), decoder.read_model(data)[1])
    assert 8 * len(data) / weights <= wanted
assert rungs["5 bits, priced"][0] < rungs["6 bits, tuned"][0]
assert rungs["5 bits, priced"][1] > rungs["6 bits, tuned"][1]

# %% [markdown]
# At 5 bits: a smaller file than before *and* a better one. Who got the bits, and who gave some up? Here is the
# entropy of every group of tensors, before and after. (Of the two layers, the larger one.)

# %%
_, priced = bitstream.read(files[5.0], decoder.tensor_shapes)
shares = {"6 bits, rounded": {}, "5 bits, priced": {}}
for name, plain, paid in zip(names, rounded, priced, strict=True):
    for spent, tensor in zip(shares.values(), (plain, paid), strict=True):
        spent[name] = max(spent.get(name, 0), entropy(tensor.integers))
figure, place = figures.axes(
    alt="Dots, bits per weight of each group of tensors. After tuning with a price the "
    "flow networks' weights have more bits than before, the middle color weights and most "
    "biases fewer.",
    size=(6.4, 3.6),
)
looks = (("orange", 9), ("blue", 5))  # color and size, so that both show where they agree
for (name, spent), (color, size) in zip(shares.items(), looks, strict=True):
    dots = {"color": plots.PALETTE[color], "markersize": size, "label": name}
    place.plot(list(spent.values()), list(spent), "o", **dots)
place.set(xlabel="entropy [bits for each weight]")
place.invert_yaxis()
place.legend(loc="upper center", bbox_to_anchor=(0.4, 1.15), ncol=2, frameon=False)
before, after = shares.values()
most_harmed = max(harm, key=harm.get)
assert after[most_harmed] > before[most_harmed]
for group in ("color.weights.1", "color.biases.1"):
    assert after[group] < before[group]
figure

# %% [markdown]
# Compare with the bars above: training gave bits to where rounding did most harm, and took them from the middle
# weights and from biases, where it did little.

# %% [markdown]
# ## Look: the ladder
#
# All rungs of your small clip. Up is better, left is smaller. The small numbers are the bits that were asked for.
# (The two rungs of floats are far to the right, out of the picture; the dashed line is their quality.)

# %%
GROUPS = {"rounded": "orange", "tuned": "green", "priced": "blue"}


def climb(points, floats_db, place):
    """Draw a ladder: points is a list of (group, bits asked for, bits per weight, dB)."""
    for group, color in GROUPS.items():
        own = [point for point in points if point[0] == group]
        rates, heights = [point[2] for point in own], [point[3] for point in own]
        place.plot(rates, heights, "o-", color=plots.PALETTE[color])
        place.text(rates[-1] - 0.1, heights[-1], group, ha="right", va="center")
        for _, bits, rate, height in own:
            small = {"textcoords": "offset points", "fontsize": 8, "va": "top"}
            place.annotate(f"{bits:g}", (rate, height), (3, -4), **small)
    place.axhline(floats_db, color=plots.PALETTE["black"], linestyle="--", linewidth=1)
    place.set(xlabel="bits of the file per weight", ylabel="quality [dB PSNR]")
    place.set_xlim(1.5, 8)


# %%
figure, place = figures.axes(
    alt="Quality over bits per weight. Plain rounding falls steeply below 8 bits; tuning "
    "lifts it; with a price the points lie highest, near the dashed line at 5 bits.",
    size=(6.8, 3.6),
)
points = []
for name, (rate, height, _) in rungs.items():
    if name.endswith(tuple(GROUPS)):
        points.append((name.split(", ")[1], float(name.split()[0]), rate, height))
climb(points, full_db, place)
figure

# %% [markdown]
# The flower is a postage stamp, trained for seconds. Here is the same ladder on a real film, `bunny`: one fit, and
# every rung decoded and measured as above. That takes minutes, so it was done before (`make tables`).

# %%
table = tables.read("ladder.csv")
found = {(row["rung"], row["bits"]): row for row in table}
for row in table:
    name = f"{row['rung']}, {row['bits']:g} bits"
    print(
        f"{name:20s} {row['bytes']:7,.0f} bytes "
        f"{row['bits_per_weight']:6.2f} bits per weight {row['psnr_db']:6.2f} dB"
    )
bunny_db = found["float32", 32]["psnr_db"]

# %%
figure, place = figures.axes(
    alt="The same ladder for bunny: rounding falls steeply, tuning at the same steps wins "
    "some of it back, and with a price 5 bits are within a few tenths of the floats.",
    size=(6.8, 3.6),
)
points = [(r["rung"], r["bits"], r["bits_per_weight"], r["psnr_db"]) for r in table]
climb(points, bunny_db, place)
figure

# %% [markdown]
# Read off what each step is worth:

# %%
loss = {key: bunny_db - row["psnr_db"] for key, row in found.items()}
print(f"fp16:               {loss['fp16', 16]:5.2f} dB lost")
print(f"6 bits, rounded:    {loss['rounded', 6]:5.2f} dB lost")
print(f"6 bits, tuned:      {loss['tuned', 6]:5.2f} dB lost")
print(f"5 bits, priced:     {loss['priced', 5]:5.2f} dB lost")
assert loss["fp16", 16] < 0.05 and loss["rounded", 6] > 4
assert loss["priced", 5.4] < loss["priced", 5] < 0.3
assert loss["priced", 5] < loss["tuned", 6] < loss["rounded", 6] - 1

# %% [markdown]
# **The promise of chapter 02.** There the course counted *nominal bytes*, 6 bits for each weight. Was that fair?
# Compare the files that ship with the course.

# %%
for name in ("bunny.cfv", "cutout.cfv"):
    size = len(results.data_file(name).read_bytes())
    count = decoder.read_model(results.data_file(name).read_bytes())[1].parameter_count
    nominal = count * 6 / 8
    print(f"{name}: {nominal:,.0f} nominal bytes, {size:,} real ones: {size / nominal:.0%}")
    assert 0.7 < size / nominal < 1

# %% [markdown]
# It was: the real files are smaller. Nominal bytes err on the safe side.
#
# Play through the rungs of your own ladder, from 32 bits down. The picture on the right is the error, five times
# brighter. Where does rounding show first?

# %%
shown = {name: rung for name, rung in rungs.items() if name != "fp16"}
frames = np.stack([rung[2] for rung in shown.values()])
truth = np.repeat(clip.frames[[4]], len(frames), axis=0)
errors = [plots.error_picture(a, b) for a, b in zip(truth, frames, strict=True)]
widgets.scrub(
    [
        plots.Panel("decoded", len(frames), lambda i: frames[i]),
        plots.Panel("error × 5", len(frames), lambda i: errors[i]),
    ],
    captions=[f"{name}: {rung[1]:.1f} dB" for name, rung in shown.items()],
)

# %% [markdown]
# ## Build: a range coder of whole numbers
#
# Entropy says what integers are worth. Now really *write* them, in so many bits. Some are worth 0.6 bits; how do
# you write 0.6 bits? Not one by one. You write the whole message as **one number**.
#
# * Take a huge interval of whole numbers, from `low = 0`, `width` wide.
# * Cut it into parts, one for each symbol, as wide as the symbol is frequent. Go to the part of the first symbol.
# * Cut *that* part in the same way, go to the part of the second symbol, and so on.
# * At the end, any number inside of the last interval tells the whole message.
#
# A frequent symbol hardly narrows the interval, a rare one does a lot: a part with share $p$ costs
# $-\log_2 p$ bits, fractions and all.
#
# Ten integers, each −1, 0, 1 or 2; they are the symbols 0, 1, 2, 3. Their frequencies, known to both sides, are
# 3, 9, 3 and 1 of 16.

# %%
FREQUENCIES = [3, 9, 3, 1]  # of the symbols 0, 1, 2, 3
integers = [0, 1, 0, 0, -1, 0, 0, 2, -1, 0]
message = [integer + 1 for integer in integers]  # as symbols
worth = sum(-math.log2(FREQUENCIES[symbol] / 16) for symbol in message)
print(f"ten symbols of 2 bits are 20 bits; these are worth {worth:.1f}")


# %%
def first_parts(message, place):
    """Draw how the interval narrows, each row the part chosen above, magnified."""
    colors = [plots.PALETTE[name] for name in ("orange", "sky", "green", "purple")]
    for row, symbol in enumerate(message):
        left = 0
        for index, frequency in enumerate(FREQUENCIES):
            opacity = 1 if index == symbol else 0.3
            bar = {"color": colors[index], "alpha": opacity, "edgecolor": "white"}
            place.barh(-row, frequency / 16, left=left, height=0.5, **bar)
            place.text(left + frequency / 32, -row, index - 1, ha="center", va="center")
            if index == symbol and row < len(message) - 1:
                lines = {"color": colors[index], "linewidth": 1}
                place.plot([left, 0], [-row - 0.25, -row - 0.75], **lines)
                place.plot([left + frequency / 16, 1], [-row - 0.25, -row - 0.75], **lines)
            left += frequency / 16


figure, place = figures.axes(
    alt="Four bars, one below the other, each cut into four parts, -1, 0, 1, 2. In each "
    "the chosen part is marked, and lines spread it to the width of the next bar.",
    size=(7, 3.4),
)
first_parts(message[:4], place)
place.set(xticks=[], yticks=[-i for i in range(4)], xlim=(0, 1))
place.set_yticklabels([f"integer {i + 1}" for i in range(4)])
place.set_xlabel("each bar is the marked part of the bar above, magnified")
place.grid(False)
figure

# %% [markdown]
# Why *whole* numbers? Encoder and decoder must cut at exactly the same places, on all machines. A float rounds,
# and if the decoder's rounds differently once, everything after that is garbage. Whole numbers do not round. Let
# the **unit** be the width of one part in 16:
#
# $$\text{unit} = \lfloor \text{width} / 16 \rfloor .$$
#
# What the division leaves over at the right end is given away.

# %% [markdown] tags=["exercise"]
# ### Exercise 8.3: Narrow the interval
#
# *`narrow` · difficulty 2 of 3 · 10 minutes*
#
# Return `(low, width)` of the part that belongs to `symbol`, as whole numbers. `frequencies` is a list, one entry
# for each symbol; their sum says into how many units the interval is cut. The parts lie in the order of the
# symbols.


# %% tags=["stub"]
def narrow(low, width, symbol, frequencies):
    """(low, width) of the part that belongs to a symbol."""
    ...  # your code here


narrow = check(narrow)

# %% [markdown] tags=["hint"]
# First the unit, with `//`. How many units lie before the part of the symbol? How many is it wide?

# %% [markdown] tags=["hint"]
# `sum(frequencies[:symbol])` units lie before it.


# %% tags=["solution"]
def narrow(low, width, symbol, frequencies):
    """(low, width) of the part that belongs to a symbol."""
    unit = width // sum(frequencies)
    return low + unit * sum(frequencies[:symbol]), unit * frequencies[symbol]


# %% [markdown]
# Now encode. Python's whole numbers may be as long as you like, so the interval begins with 4 binary digits for each
# symbol, which is enough: $16 = 2^4$. At the end any number of the interval will do. Take the one that ends in
# the most binary zeros, and leave those out.


# %%
def encode(message, frequencies):
    """The message as a number, and how many binary digits it has."""
    digits = 4 * len(message)
    low, width = 0, 2**digits
    for symbol in message:
        low, width = narrow(low, width, symbol, frequencies)
    spare = width.bit_length()  # how many digits at the end may be left out
    while -(-low >> spare) << spare >= low + width:  # -(-a >> b) is a / 2^b, rounded up
        spare -= 1
    return -(-low >> spare), digits - spare


number, digits = encode(message, FREQUENCIES)
assert (number, digits) == ladder.encode_interval(message, FREQUENCIES)
assert digits < worth + 2
print(f"the message is the number {number:0{digits}b}: {digits} bits, worth {worth:.1f}")

# %% [markdown]
# Decoding asks the same questions: in which part does the number lie? That is the symbol; go there.


# %%
def decode(number, digits, count, frequencies):
    """The symbols of a message."""
    low, width = 0, 2 ** (4 * count)
    place, symbols = number << (4 * count - digits), []
    for _ in range(count):
        unit = width // sum(frequencies)
        units = (place - low) // unit
        symbol = 0
        while sum(frequencies[: symbol + 1]) <= units:
            symbol += 1
        low, width = narrow(low, width, symbol, frequencies)
        symbols.append(symbol)
    return symbols


assert decode(number, digits, len(message), FREQUENCIES) == message
print(decode(number, digits, len(message), FREQUENCIES))

# %% [markdown]
# That is all of it. A real range coder does one thing more: as soon as the first digits of `low` cannot change
# any more, it writes them out and forgets them, so 64 bits are enough for a message of any length. The library
# takes one from the package `constriction`. The same symbols, with the same frequencies:


# %%
import constriction


def by_constriction(message):
    """How many bits constriction's range coder needs, and whether it decodes them."""
    shares = np.array(FREQUENCIES) / sum(FREQUENCIES)
    model = constriction.stream.model.Categorical(shares, perfect=False)
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(np.array(message, dtype=np.int32), model)
    words = encoder.get_compressed()
    unpacker = constriction.stream.queue.RangeDecoder(words)
    assert unpacker.decode(model, len(message)).tolist() == message
    return 32 * len(words)


random = np.random.default_rng(here.seed)
long = random.choice(4, size=3000, p=np.array(FREQUENCIES) / 16).tolist()
for name, text in {"10 symbols": message, "3,000 symbols": long}.items():
    _, digits = encode(text, FREQUENCIES)
    ideal = sum(-math.log2(FREQUENCIES[symbol] / 16) for symbol in text)
    theirs = by_constriction(text)
    print(f"{name}: worth {ideal:,.1f} bits, by hand {digits:,}, constriction {theirs:,}")
    assert digits < ideal + 2 and digits <= theirs <= digits + 64
assert theirs < 1.02 * ideal

# %% [markdown]
# By hand you even win, by a hair: `constriction` writes words of 32 bits, and fills the last one. Over 3,000
# symbols that hardly counts. **A range coder reaches the entropy; there is nothing left to win in packing itself.**
# What is left is to know the frequencies better.

# %% [markdown]
# ## Build: what the decoder must know
#
# And there is the catch. The decoder cuts the interval by frequencies. Where does it know them from? They must be in
# the file as well, or follow from something in it. A table for each tensor: a line for each different
# integer, with how often it occurs, say 16 bits a line. And the step, say a float of 32 bits.

# %% [markdown] tags=["exercise"]
# ### Exercise 8.4: All the bits
#
# *`coded_bits` · difficulty 2 of 3 · 10 minutes*
#
# Return the bits of all of it, for a list of arrays of integers, one array for each tensor: all its integers at
# their entropy, `ladder.STEP_BITS` for its step, and `ladder.TABLE_BITS` for each line of its table.


# %% tags=["stub"]
def coded_bits(tensors):
    """Bits of all integers, steps and tables."""
    ...  # your code here


coded_bits = check(coded_bits)

# %% [markdown] tags=["hint"]
# Entropy is bits *for each* integer; an array has `integers.size` of them. How many lines has its table?

# %% [markdown] tags=["hint"]
# `len(np.unique(integers))` lines. Sum over all tensors: integers, step, lines.


# %% tags=["solution"]
def coded_bits(tensors):
    """Bits of all integers, steps and tables."""
    bits = 0
    for integers in tensors:
        bits += integers.size * entropy(integers) + ladder.STEP_BITS
        bits += ladder.TABLE_BITS * len(np.unique(integers))
    return bits


# %% [markdown]
# ### Why estimates lie
#
# Four people say how large `bunny.cfv` is. Only one of them has looked.
#
# * A takes the entropy of the *float* weights: each a number of its own kind.
# * B takes the entropy of the integers, and forgets that the decoder needs tables.
# * C counts the tables, too: `coded_bits`.
# * D looks at the file.

# %%
integers = [tensor.integers for tensor in coded]
count = sum(part.size for part in integers)
trained = [tensor.numpy() for tensor in floats]  # floats as they come out of training
claims = {
    "A: entropy of floats": sum(w.size * entropy(w) for w in trained) / weights,
    "B: entropy of integers": sum(part.size * entropy(part) for part in integers) / count,
    "C: and tables": coded_bits(integers) / count,
    "D: the file": 8 * len(bunny) / count,
}
for name, bits in claims.items():
    print(f"{name:24s} {bits:6.2f} bits per weight")
a, b, c, d = claims.values()
assert b < d < c < a < 16

# %% [markdown]
# * **A** is a lie of its own kind (computed for your postage stamp, which has floats). Nearly all floats are
#   different, so the "histogram" has one line for each weight, and a tensor of $n$ weights seems to cost
#   $\log_2 n$ bits each. The table *is* the message.
# * **B** is too low. In a tensor of four biases all four may be different: 2 bits each, says the entropy, and does
#   not say which four. Of every figure in a paper, ask whether it was counted like this.
# * **C** is honest about a naive file, which would be large: its tables alone cost most of a bit for every weight.
# * **D** is between them. The library sends no tables. It knows a few **bells** by formula, computed in whole
#   numbers; each tensor names one of them, a center and a width, or where it pays a width for each row. That is far
#   cheaper than a table, and a little worse than the true frequencies.
#
# So in this course the rate is **the size of the file on disk**, and nothing else: 8 bits for each byte, shared out
# among all pixels of all frames.

# %%
assert 0.5 < c - b < 1.5
parts = bitstream.sizes(bunny, decoder.tensor_shapes)
for name, size in vars(parts).items():
    print(f"{name:10} {size:6,} bytes")
assert parts.total == len(bunny) and parts.total - parts.weights < 0.02 * len(bunny)
rate = 8 * len(bunny) / (header.time * header.height * header.width)
assert rate == bits_per_pixel(len(bunny), load("clip:bunny", header.selection))
print(f"{len(bunny):,} bytes are {rate:.4f} bits per pixel")

# %% [markdown]
# Nearly all of the file is `weights`. `side` holds the steps $\Delta$ and the choice of bells.

# %% [markdown]
# ## Look: the actual bytes
#
# Chapter 00 read the first numbers of the header. Read all of them now. Bytes are written in **hexadecimal**: two
# digits from 0 to 9 and a to f, so `10` is sixteen and `ff` is 255.
#
# A number takes seven bits of each byte, the lowest first; the eighth bit says "there is more". A decimal is two
# numbers, digits and exponent; exponents 0, −1, 1, −2, 2 are stored as 0, 1, 2, 3, 4. A choice is its place in a
# list. `bitstream.HEADER_FIELDS` and `MODEL_FIELDS` say which field comes when, and of which kind it is.


# %%
def read_number(data, place):
    """The number that begins at this place, and the place after it."""
    number, shift = 0, 0
    while data[place] >= 128:  # the eighth bit is set
        number += (data[place] - 128) << shift
        place, shift = place + 1, shift + 7
    return number + (data[place] << shift), place + 1


print(f"  0  {bunny[:4].hex(' '):12} magic: says what kind of file this is")
print(f"  4  {bunny[4:5].hex():12} version of the format")
length, place = read_number(bunny, 5)
print(f"  5  {bunny[5:place].hex(' '):12} length of the header: {length}")
read = {}
for field in bitstream.HEADER_FIELDS + bitstream.MODEL_FIELDS:
    start = place
    value, place = read_number(bunny, place)
    if field.choices:
        value = field.choices[value]
    elif isinstance(field.low, float):
        zigzag, place = read_number(bunny, place)
        exponent = zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2
        value = float(f"{value}e{exponent}")
    read[field.name] = value
    print(f"{start:3d}  {bunny[start:place].hex(' '):12} {field.name}: {value}")
after_fields = place
assert (read["time"], read["height"]) == (header.time, header.height)
assert (read["gamma"], read["layers"]) == (header.gamma, header.model.layers)

# %% [markdown]
# (The first `width` is that of the frames, the second that of the networks.) The header ends with the name of the
# version that wrote the file. Then comes a **checksum**: four bytes that are computed from all bytes before them,
# and hardly ever fit when one of those is changed. Then one **section** with everything else. Read on:

# %%
characters, place = read_number(bunny, after_fields)
version = bunny[place : place + characters].decode()
place += characters
checksum = int.from_bytes(bunny[place : place + 4], "little")
print(f"written by version {version}")
print(f"{place:3d}  {bunny[place : place + 4].hex(' '):12} checksum")
assert checksum == zlib.crc32(bunny[:place])  # of all bytes that stand before it
place += 4
section, ends = {}, {}
for name in ("kind", "length", "first frame", "frames"):
    start = place
    section[name], place = read_number(bunny, place)
    ends[name] = place
    print(f"{start:3d}  {bunny[start:place].hex(' '):12} {name}: {section[name]}")
assert (section["first frame"], section["frames"]) == (0, header.time)
assert ends["length"] + section["length"] + 4 == len(bunny)  # 4: its checksum, at the end

# %% [markdown]
# The section is of kind 1, a piece of film; this one holds all frames. What follows from here is what the range
# coder wrote: steps and weights, in one long number.
#
# And here is the whole file. Each little square is one byte, in reading order, darker for larger numbers, in the
# color of the part that it belongs to.

# %%
from coordflow_mini.course.lesson import filemap

places = ladder.parts(bunny)
for name, (start, stop) in places.items():
    print(f"{start:6,} to {stop:6,}: {name}")
filemap.byte_grid(
    bunny,
    places,
    alt="A large rectangle of bytes. The first row holds magic, header, checksum, the "
    "section's first numbers and the steps; then a few rows of flow networks; all the "
    "rest is color networks, an even noise; the last four bytes are a checksum.",
)

# %% [markdown]
# (A range coder leaves no seams: where steps end and color networks begin is known to a few bytes.) The first
# bytes, magnified:

# %%
filemap.byte_grid(
    bunny[:96],
    places,
    columns=16,
    numbers=True,
    alt="The first 96 bytes as two-digit numbers in six rows, colored by part: five of "
    "magic and version, the header, its checksum, then section, steps and weights.",
)

# %% [markdown]
# The header looks like something, small numbers and zeros. The weights look like **noise**. They must! A pattern
# would be something that packing has missed. How much could a packer still win on these bytes?

# %%
in_bytes = np.frombuffer(bunny, dtype=np.uint8)
print(f"{entropy(in_bytes):.2f} of 8 bits for each byte of the file")
assert entropy(in_bytes) > 7.9

# %% [markdown]
# ### Nothing but the bytes
#
# The proof of a file is that somebody else can open it. So start a fresh process, in a folder with nothing but the
# file. It knows the library and none of your variables; it unpacks the integers, renders a few frames, and says
# how long each took.

# %%
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import time, zlib, pathlib
began = time.perf_counter()
from coordflow_mini import bitstream, decoder
import numpy
loaded = time.perf_counter()
data = pathlib.Path("film.cfv").read_bytes()
header, tensors = bitstream.read(data, decoder.tensor_shapes)
print("integers", zlib.crc32(b"".join(t.integers.tobytes() for t in tensors)))
unpacked = time.perf_counter()
numpy.save("frames.npy", numpy.stack(list(decoder.decode_frames(data, range(40, 48)))))
done = time.perf_counter()
steps = loaded - began, unpacked - loaded, done - unpacked
print("load Python's packages %.2f s, unpack %.2f s, render 8 frames %.2f s" % steps)
"""
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "film.cfv").write_bytes(bunny)
    run = [sys.executable, "-c", PROGRAM]
    said = subprocess.run(
        run, cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    elsewhere = np.load(Path(folder, "frames.npy")).astype(int)
print(said)

# %%
ours = zlib.crc32(b"".join(tensor.integers.tobytes() for tensor in coded))
assert said.split()[:2] == ["integers", str(ours)]
print(f"the same integers, to the bit: checksum {ours}")
here_too = np.stack(list(decoder.decode_frames(bunny, range(40, 48)))).astype(int)
print(f"frames at most {np.abs(elsewhere - here_too).max()} gray levels apart")
assert np.abs(elsewhere - here_too).max() <= 1

# %% [markdown]
# **Integers are the same on every machine**, because unpacking computes with nothing but whole numbers. The frames
# may differ by one gray level: rendering computes with floats, and those may round differently. No harm is done,
# since nothing is decoded *from* a frame. A codec whose range coder gets its probabilities from a network, in
# floats, may decode garbage on the next machine (Ballé and others, below).
#
# The frames on the command line: `coordflow decode film.cfv film.mp4`.

# %% [markdown]
# ## Break it
#
# **A damaged byte.** Flip one bit of one byte, then of another, in many places of the file. In chapter 00 you met
# the message. Does every place have one?

# %%
complaints = Counter()
for place in range(0, len(bunny), 37):
    damaged = bytearray(bunny)
    damaged[place] ^= 1
    try:
        decoder.read_model(bytes(damaged))
        complaints["no complaint"] += 1
    except bitstream.BitstreamError as error:
        complaints[str(error)] += 1
for message_shown, times_seen in complaints.items():
    print(f"{times_seen:4d} × {message_shown}")
assert "no complaint" not in complaints and len(complaints) <= 4

# %% [markdown]
# Not one went through, and each got one clear line. Without checksums, what would you see? Take the range coder by
# hand and 3,000 symbols, and flip one binary digit in the middle.

# %%
flipped_place = predict(
    "flipped_place",
    "One digit in the middle of the number is flipped. Which symbols come out wrong?",
    choices=["one", "a few near it", "most of them, from there on", "all"],
    answer=...,
)

# %%
number, digits = encode(long, FREQUENCIES)
flipped = number ^ (1 << digits // 2)
garbage = decode(flipped, digits, len(long), FREQUENCIES)
wrong = np.array(garbage) != np.array(long)
first = int(wrong.argmax())
print(f"right up to symbol {first:,}; then {wrong[first:].mean():.0%} are wrong")
assert 1300 < first < 1700 and wrong[first:].mean() > 0.5
flipped_place.compare(
    "most of them, from there on",
    "The decoder walks into a wrong part, and all later cuts are made in the wrong place.",
)
figures.pictures(
    {
        "3,000 symbols, row by row": np.array(long).reshape(30, 100) / 3,
        "after the flip": np.array(garbage).reshape(30, 100) / 3,
        "wrong ones": wrong.reshape(30, 100).astype(float),
    },
    alt="Gray squares, one for each symbol; the same after the flip, and where they "
    "differ: the upper half is black, which means equal, the lower half is speckled.",
)

# %% [markdown]
# The trace: **right up to a point, then noise that is not even recognizable as such**. Symbols look as they
# always do. With weights it would be a network with random numbers in it. So the checksum comes before anything
# else.

# %% [markdown]
# **One step for all tensors.** Exercise 8.2 insisted on a step for each. This is what one for all does, in files of
# about as many bits as those of 4 to 8 bits, rounded:

# %%
for octave in (-4, -5, -6):
    same = [(quantize(tensor, 2.0**octave), 2.0**octave) for tensor in floats]
    data = file_of(same)
    keep(f"one step, 2^{octave}", len(data), decoder.read_model(data)[1])
each_own, for_all = rungs["6 bits, rounded"], rungs["one step, 2^-5"]
print(f"6 bits, a step each: {each_own[0]:.2f} bits per weight, {each_own[1]:.2f} dB")
finest = min(d for _, d in quantize_all(floats, 6))
print(f"one step, 2^-5: {2**-5 / finest:.0f} times the finest step of the 6 bits")
assert finest < 2**-5 / 5
assert for_all[1] < each_own[1] - 3 and abs(for_all[0] - each_own[0]) < 0.5

# %% [markdown]
# With about as many bits, decibels are lost: a step that fits the large weights is far too coarse for tensors of
# small ones.
#
# **4 bits, and no training after.** You have seen the picture. What does the trace look like from inside? The
# integers of the largest tensor at 8, 6 and 4 bits:

# %%
figure, places = figures.axes(
    1,
    3,
    alt="Three histograms of the same weights: a bell of many thin bars at 8 bits, a "
    "coarser one at 6, and at 4 bits a few broad bars, the one at 0 the highest.",
    size=(9, 2.6),
)
biggest = max(range(len(floats)), key=lambda i: floats[i].numel())
for place, bits in zip(places, (8, 6, 4), strict=True):
    integers = in_bits(fitted.model, bits)[biggest].integers
    values, counts = np.unique(integers, return_counts=True)
    place.bar(values, counts / integers.size, color=plots.PALETTE["blue"], width=1)
    place.set_title(f"{bits} bits, entropy {entropy(integers):.1f}", loc="left", fontsize=9)
    place.set(xlabel="integer")
    place.xaxis.get_major_locator().set_params(integer=True)
    zeros = (integers == 0).mean()
    print(f"{bits} bits: {zeros:.0%} of the weights are rounded to 0")
places[0].set_ylabel("share")
assert zeros > 0.2
figure

# %% [markdown]
# At 4 bits, a fifth of the weights or more are simply gone, for the sake of one large weight that sets the step.

# %% [markdown]
# ## Recap
#
# * Something of probability $p$ is worth $-\log_2 p$ bits; the mean is the entropy.
# * Rounding is the only loss. One step for each tensor, and the step is stored.
# * Fine-tuning lets weights find integers that work together; straight through on the way back.
# * $L = D + \lambda R$ shares bits out: precious weights get more. The rate's gradient comes from the bell's
#   variance.
# * A range coder writes a message as one number and reaches the entropy. Whole numbers only.
# * Side information counts. Rate is the size of the file, and quality is measured on what another process decodes
#   from it.
#
# Is such a file any good? Only rivals can say: chapter 09 runs the race.

# %%
progress()

# %% [markdown]
# ## Questions
#
# 1. A tensor's step is halved. How much does the file grow, for each of its weights, and by how many dB does the
#    error of the weights fall?
# 2. Why may the straight-through estimator pretend that rounding has the derivative 1?
# 3. A paper reports "bits per weight" as the entropy of the integers, with one histogram for each tensor. Its
#    tensors have 50 weights each. Is the figure too high or too low, and by how much, roughly?
# 4. Why must the frequency tables be whole numbers, although weights and pictures are floats?
# 5. Where would you look first if a decoder showed perfect frames on one machine, and noise on another?

# %% [markdown] tags=["answer"]
# 1. By one bit for each weight, as long as $\sigma$ is larger than the step. The error is half as large, 6 dB.
# 2. It is wrong for one step, and right on average: while $w$ moves by several steps, $\text{round}(w)$ moves by
#    as much. What counts is that the sum of many small pushes ends in the right integer.
# 3. Too low: tables and steps are left out. With tables of 16 bits for each different integer, and perhaps 20
#    different ones among 50 weights, 320 bits are missing, more than 6 for each weight.
# 4. Encoder and decoder must cut the interval at exactly the same places. Floats may round differently on another
#    machine, and after one wrong cut all that follows is garbage. Weights and pictures may be a little off:
#    nothing is decoded from them.
# 5. At anything in the entropy coder that is computed with floats: probabilities, exponentials, `pow`. If the
#    integers are equal (compare a checksum of them), look at the rendering.

# %% [markdown]
# ## Further reading
#
# * CoordFlow, arXiv 2501.00975: the method whose weights these are.
# * Shannon, *A Mathematical Theory of Communication*, 1948: entropy, and why nothing can be shorter.
# * Martin, *Range encoding: an algorithm for removing redundancy from a digitised message*, 1979.
# * Bengio et al., *Estimating or Propagating Gradients Through Stochastic Neurons*, arXiv 1308.3432: straight
#   through.
# * Esser et al., *Learned Step Size Quantization*, arXiv 1902.08153: steps that learn.
# * Ballé, Johnston, Minnen, *Integer Networks for Data Compression with Latent-Variable Models*, ICLR 2019: what
#   floats do to a range coder on another machine.
# * Bamler, *Understanding Entropy Coding With Asymmetric Numeral Systems*, arXiv 2201.01741, by the author of
#   `constriction`.
# * `coordflow_mini/quantize.py`, `finetune.py`, `entropy.py` and `bitstream.py`, in this order: all of this chapter.
