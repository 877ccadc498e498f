# %% [markdown]
# # 01 · Images as functions: a picture in the weights of a network
#
# **Time.** About 60 minutes to read and do. Running all cells, measured: 28 s on 2 CPU cores.
#
# A picture file is a table with one color for every pixel. This chapter throws the table away and keeps
# a *function*: give it a place, and it answers with a color. A small neural network can be that function,
# and then its weights are the picture. The rest of the course stands on this: a video is such a function
# of place and time (chapter 02), and its weights, stored in few bits, are the compressed video.

# %% [markdown]
# ## What you will be able to do
#
# * Write a picture as a function of $(x, y)$, and draw it at any size.
# * Train a small network to hold a picture, count its weights, and say in decibels how good it is.
# * Explain why a plain network blurs, and cure it in two ways: waves as inputs, or sine layers.
# * Recognize three failures: a blur, noise between the pixels, a quality that is too good to be true.
#
# **You need:** Python, and what a gradient is. PyTorch is explained where it is needed: for now, a
# *tensor* is an array like NumPy's that can compute gradients.

# %%
import math
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from coordflow_mini import ModelConfig
from coordflow_mini.coords import pixel_grid
from coordflow_mini.course import check, predict, progress, setup
from coordflow_mini.course.lesson import figures, images
from coordflow_mini.measure import metrics
from coordflow_mini.model import (
    CoordFlow,
    fourier_features,
    octave_frequencies,
    spiral_frequencies,
)
from coordflow_mini.show import plots, widgets
from coordflow_mini.video import scenes

here = setup(chapter=1)

# %% [markdown]
# ## Predict
#
# Eight networks are shown the colors at the pixels of one picture, over and over, until they give them
# back. They differ in one setting. Then you ask them for colors *between* the pixels, where they were
# shown nothing, and compare with the truth. Put your answer in place of the three dots, then run the
# cell.

# %%
best_between = predict(
    "best_between",
    "The network with the smallest error at the pixels has, between them, ...",
    choices=["the smallest error of all", "a larger error than others"],
    answer=...,
)

# %% [markdown]
# ## The idea: ask a function for the color at a place
#
# $$f(x, y) = (\text{red}, \text{green}, \text{blue})$$
#
# * $x$ runs to the right and $y$ *down*, both from the middle of the picture. One **unit** is half the
#   picture's larger side, so in a wide picture $x$ runs from −1 to 1, and $y$ not quite as far.
# * Each color runs from 0 (none) to 1 (full).
# * A pixel is a small square; its place is the *center* of the square.
#
# CoordFlow (arXiv 2501.00975, section 2) makes a video of such functions, one for each layer, with time
# as a third input. The field calls them *implicit neural representations*, INRs for short.

# %%
tiny = scenes.cutout(8, 12, frames=1).video.frames[0]
x, y = pixel_grid(8, 12).T
figure, axes = figures.axes(
    size=(6, 4.2),
    alt="A picture of 12 by 8 pixels with a dot in the middle of each. x runs from -1 at "
    "the left to 1 at the right, y from -0.67 at the top to 0.67 at the bottom.",
)
axes.imshow(tiny, extent=(-1, 1, 8 / 12, -8 / 12))
axes.plot(x, y, "o", color="white", markeredgecolor="black", markersize=4)
axes.grid(False)
axes.set(xlabel="x [units]", ylabel="y [units]")
figure

# %% [markdown]
# A function knows no pixels. Here is a picture that is a formula: ask it at few places or at many, it has
# an answer everywhere.


# %%
def rings(points):
    """Colors of rings around the middle, at points [places, 2]: [places, 3]."""
    radius = points.norm(dim=-1)
    return torch.stack(
        [0.5 + 0.4 * torch.cos(speed * radius) for speed in (9, 12, 15)], dim=-1
    )


@torch.no_grad()  # drawing needs no gradients
def draw(function, places):
    """The picture [height, width, 3] of a function at places [height, width, 2]."""
    colors = function(places.reshape(-1, 2).to(here.device))
    return colors.view(*places.shape[:2], 3).clamp(0, 1).cpu()


sizes = [(8, 12), (32, 48), (256, 384)]
figures.pictures(
    {f"{w} × {h} places": draw(rings, pixel_grid(h, w).view(h, w, 2)) for h, w in sizes},
    alt="Colored rings, drawn three times: of 12 by 8 squares, of 48 by 32, and smooth.",
)

# %% [markdown]
# `pixel_grid(height, width)` lists the places of all pixels, row by row, as a tensor `[places, 2]`.
# Chapter 02 builds it.
#
# Now the other way round: the picture is given, and the function is wanted. Here is the picture for this
# chapter. The networks will be shown one pixel in four, every second one of every second row. The others
# stay hidden: they are the truth about what is *between*.

# %%
picture = scenes.cutout(128, 192, frames=1).video.frames[0]  # uint8 [height, width, 3]
places = pixel_grid(128, 192).view(128, 192, 2)
known = torch.zeros(128, 192, dtype=torch.bool)
known[::2, ::2] = True
points = places[known].to(here.device)  # [6144, 2]
colors = (torch.from_numpy(picture)[known] / 255).to(here.device)  # [6144, 3], from 0 to 1
shown = picture * known[..., None].numpy()
figures.pictures(
    {"the picture": picture, "what the networks are shown": shown},
    alt="A flower on a patterned ground. Beside it the same, three of four pixels black.",
)

# %% [markdown]
# ## Build: how good is a picture?
#
# We need one number for "how far apart are these two pictures". The usual one is the **peak
# signal-to-noise ratio**, PSNR, in decibels [dB]:
#
# $$\text{PSNR} = 10 \log_{10} \frac{255^2}{\text{MSE}}$$
#
# * **MSE** is the mean squared error: the mean of (difference)² over all pixels and all three colors.
# * 255 is the largest value of an 8-bit color, the *peak*.
# * The logarithm turns ratios into steps: half the error is always 6 dB more, and more is better. If every
#   color is off by 255, it is 0 dB.

# %%
ten_levels = predict(
    "ten_levels",
    "Every color of a picture is off by 10 of 255 levels. Its PSNR is ...",
    unit="dB",
    answer=...,
)

# %% [markdown] tags=["exercise"]
# ### Exercise 1.1: Measure quality
#
# *`psnr` · difficulty 1 of 3 · 8 minutes*
#
# Return the PSNR of two pictures. Both are NumPy arrays of type `uint8`, whole numbers from 0 to 255 of
# 8 bits each, with colors in their last axis: `[height, width, 3]`, or `[pixels, 3]`.


# %% tags=["stub"]
def psnr(first, second):
    """How alike two 8-bit pictures are [dB]."""
    ...  # your code here


psnr = check(psnr)

# %% [markdown] tags=["hint"]
# Three steps: differences, the mean of their squares, the logarithm (`np.log10`). The first one is
# dangerous: what is `np.uint8(3) - np.uint8(5)`?

# %% [markdown] tags=["hint"]
# `first.astype(float)` makes numbers of the picture that may be negative and as large as you like.
# `np.mean` without further arguments takes the mean over all axes at once.


# %% tags=["solution"]
def psnr(first, second):
    """How alike two 8-bit pictures are [dB]."""
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return 10 * np.log10(255**2 / error)


# %% [markdown] tags=["solution"]
# For equal pictures this divides by zero; the library's `metrics.psnr_db` says 100 dB then.

# %%
gray = np.full((64, 96, 3), 100, np.uint8)
for levels in (40, 20, 10, 5):
    lighter = gray + np.uint8(levels)
    print(f"off by {levels:2d} levels: {psnr(gray, lighter):.1f} dB")
    assert abs(psnr(gray, lighter) - metrics.psnr_db(gray[None], lighter[None])) < 1e-6
ten_levels.compare(28.1, "It is 20 log10(255 / 10).", within=2)

# %% [markdown]
# And how do decibels *look*? Some noise for comparison: at 20 dB anybody sees it, at 40 dB hardly anyone.

# %%
noisy = {}
for sigma in (26.0, 8.0, 2.5):  # standard deviation of the noise [levels of 255]
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    spoiled = np.clip(picture + noise, 0, 255).round().astype(np.uint8)
    noisy[f"{psnr(picture, spoiled):.1f} dB"] = spoiled
figures.pictures(
    noisy, alt="The flower under strong noise, under weak noise, and almost clean."
)

# %% [markdown]
# ## Build: a network of x and y
#
# A **neuron** takes numbers in, multiplies each by a **weight**, adds them up with one more number, its
# **bias**, and passes the sum through a bent function, the **activation**. A **layer** is many neurons
# that look at the same numbers; their outputs are what the next layer takes in. That is a *multilayer
# perceptron*, MLP. With the activation $\max(0, \cdot)$, called ReLU, neuron $j$ says
#
# $$h_j = \max\Big(0,\; b_j + \sum_i w_{ji}\, p_i\Big).$$
#
# For our first layer, $p = (x, y)$.


# %%
def layer_naive(weight, bias, point):
    """What every neuron of a layer says about one point, [neurons]."""
    said = []
    for row, constant in zip(weight.tolist(), bias.tolist(), strict=True):
        total = constant + sum(w * p for w, p in zip(row, point.tolist(), strict=True))
        said.append(max(0.0, total))
    return torch.tensor(said)


linear = nn.Linear(2, 5)  # PyTorch's weighted sums: 2 numbers in, 5 neurons
layer = nn.Sequential(linear, nn.ReLU())
some = torch.rand(4, 2)
naive = torch.stack([layer_naive(linear.weight, linear.bias, point) for point in some])
assert torch.allclose(naive, layer(some), atol=1e-5)
print(f"{len(some)} points through {linear}: as by hand")

# %% [markdown] tags=["exercise"]
# ### Exercise 1.2: Count the weights
#
# *`count_weights` · difficulty 1 of 3 · 6 minutes*
#
# The weights will be the compressed picture, so we must know how many there are. Return the number of
# all weights *and* biases of a perceptron. `sizes` lists how many numbers go in, how many neurons each
# layer has, and how many numbers come out: `[2, 70, 70, 70, 3]` takes $(x, y)$, has three hidden layers
# of 70 neurons, and an output layer of 3.


# %% tags=["stub"]
def count_weights(sizes):
    """How many numbers a perceptron has, biases included."""
    ...  # your code here


count_weights = check(count_weights)

# %% [markdown] tags=["hint"]
# One layer from 2 inputs to 5 neurons has $2 \cdot 5$ weights and 5 biases. Go through the layers:
# `for inputs, outputs in pairwise(sizes)`.


# %% tags=["solution"]
def count_weights(sizes):
    """How many numbers a perceptron has, biases included."""
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(sizes))


# %%
def perceptron(sizes):
    """A network with as many neurons in its layers; the last layer only sums."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


plain = perceptron([2, 70, 70, 70, 3])
held = sum(weight.numel() for weight in plain.parameters())
assert held == count_weights([2, 70, 70, 70, 3])
print(f"{held} weights are to hold {colors.numel()} known numbers")

# %% [markdown]
# **The training loop.** Ask the network for the colors of some known pixels and compute the mean squared
# error; its gradient says for every weight which way, and how strongly, it should move. Move all
# weights a little that way, and repeat.
#
# PyTorch has a word for each step: `backward` computes the gradients, the *optimizer* moves the weights
# (Adam is the usual one), `zero_grad` forgets the old gradients. The schedule makes the steps smaller
# towards the end, so that the network settles.

# %%
STEPS = 800


def train(name, network, rate=0.01, seen=()):
    """Teach a network the known pixels; its pictures after the steps in `seen`."""
    album, begin = {}, time.perf_counter()
    network.to(here.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(1, STEPS + 1):
        chosen = torch.randint(len(points), (2048,), device=here.device)
        error = (network(points[chosen]) - colors[chosen]).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
        if step in seen:
            album[f"after {step} steps"] = draw(network, places)
    network.seconds = time.perf_counter() - begin
    print(f"{name}: {STEPS} steps in {network.seconds:.1f} s")
    return album


# %%
album = train("plain", plain, seen=(10, 50, 200, STEPS))
figures.pictures(
    album,
    alt="Four stages of learning: a gray smear, a yellow spot on blue, a green spot with a "
    "light rim, a blurred flower on a ground of soft patches.",
)

# %% [markdown]
# It works: numbers that were random have become a flower. And it does not: the outline is soft, and the
# pattern of the ground is gone. Its quality, at the pixels it was shown and at those between:


# %%
def quality(network):
    """PSNR at the known pixels, and at the hidden ones between them [dB]."""
    found, shown = plots.to_pixels(draw(network, places)), known.numpy()
    return psnr(picture[shown], found[shown]), psnr(picture[~shown], found[~shown])


plain_db, plain_between = quality(plain)
assert plain_db < 24 and abs(plain_db - plain_between) < 1
print(f"plain: {plain_db:.1f} dB at the known pixels, {plain_between:.1f} dB between them")

# %% [markdown]
# Where does the picture sit? Every neuron answers at every place, so every neuron *is* a picture. Here
# are six of each hidden layer, the ones that vary most.


# %%
@torch.no_grad()
def neuron_pictures(network, layer, count=6):
    """Pictures of the neurons of hidden layer 1, 2 or 3 that vary most over the places."""
    said = network[: 2 * layer](places.reshape(-1, 2).to(here.device)).cpu()
    busiest = said.std(dim=0).topk(count).indices
    said = said / said.amax(dim=0).clamp(min=1e-6)  # each from 0, black, to 1, white
    return {
        f"layer {layer}, neuron {neuron}": said[:, neuron].view(128, 192)
        for neuron in busiest.tolist()
    }


figures.pictures(
    neuron_pictures(plain, 1) | neuron_pictures(plain, 2) | neuron_pictures(plain, 3),
    columns=6,
    alt="Eighteen gray pictures. Layer 1: ramps, black on one side of a straight line. "
    "Layer 2: ramps folded along lines. Layer 3: soft patches, some of the flower's shape.",
)

# %% [markdown]
# Layer 1 can only make ramps: a sum of $x$ and $y$, cut off at zero. Layer 2 adds ramps and folds them,
# layer 3 folds once more. The output layer mixes what it finds. An edge must be folded from ramps,
# fold by fold, and our network has not got there. Why not?

# %% [markdown]
# ## The idea: slow waves come first
#
# Take a simpler picture: one row of it, a curve. It is the sum of four waves, all equally high, with
# 1, 3, 6 and 12 **half-waves** per unit. (A half-wave is one hill or one valley. A wave with $f$
# half-waves per unit is $\sin(\pi f x)$; $f$ is its **frequency**.)

# %%
learned_first = predict(
    "learned_first",
    "A network learns a sum of four equally high waves. It learns first ...",
    choices=["the slowest", "the fastest", "all at once"],
    answer=...,
)

# %%
line = torch.linspace(-1, 1, 256)[:, None]  # [places, 1]
frequencies = torch.tensor([[1.0, 3.0, 6.0, 12.0]])  # half-waves per unit
targets = torch.sin(math.pi * line @ frequencies)  # [places, waves]
curve = targets.sum(dim=1, keepdim=True)


def race(network):
    """How much of each wave a network has learned, every ten of 600 steps: [60, waves]."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    shares = []
    for step in range(600):
        found = network(line)
        if step % 10 == 0:
            shares.append(2 * (found.detach() * targets).mean(dim=0))
        optimizer.zero_grad()
        (found - curve).square().mean().backward()
        optimizer.step()
    return torch.stack(shares)


# %% [markdown]
# Twice the mean of (curve × wave) tells how much of the wave is in the curve: 0 is nothing, 1 is all.


# %%
def race_figure(shares, alt):
    """One line for each wave."""
    names = [f"f = {frequency:.0f}" for frequency in frequencies[0]]
    return figures.lines(
        dict(zip(names, shares.T, strict=True)),
        x=range(0, 600, 10),
        across="step",
        up="share of the wave learned",
        alt=alt,
    )


raw = race(perceptron([1, 64, 64, 64, 1]))
half = (raw > 0.5).float().argmax(dim=0) * 10  # the step at which half of each is learned
assert half[0] < half[1] < half[2] and raw[-1, 3] < raw[-1, :3].min()
learned_first.compare("the slowest", "And the faster a wave, the longer it takes.")
race_figure(
    raw,
    alt="Four curves. The share of the slowest wave is near 1 after a few steps, that of 3 "
    "and 6 half-waves after 100 to 250 steps, and that of 12 stays far behind.",
)

# %% [markdown]
# This is the **spectral bias** (Rahaman et al., arXiv 1806.08734): networks of this kind learn slow waves
# first, and fast ones late. In a picture, slow waves are soft patches of light and dark; edges
# and fine patterns are made of fast ones. Hence the blur.
#
# **Why?** Two neighboring places give a smooth network nearly the same numbers, so it cannot tell them
# apart well: what a weight changes at one place it changes at the other, too. A slow wave that is
# missing asks for the *same* change at both, and the two pulls at the weight add up. A fast wave asks
# for more here and less next door, and the pulls cancel.
#
# That can be measured, before any training: the length of the gradient that a missing wave causes.


# %%
def pull(network, frequency):
    """How strongly a missing wave pulls at the weights: the length of the gradient."""
    network.zero_grad()
    (network(line) * torch.sin(math.pi * frequency * line)).mean().backward()
    gradients = [weight.grad.flatten() for weight in network.parameters()]
    return torch.cat(gradients).norm().item()


fresh = perceptron([1, 64, 64, 64, 1])
pulls = {frequency: pull(fresh, frequency) for frequency in (1, 2, 4, 8, 16, 32)}
for frequency, strength in pulls.items():
    print(f"frequency {frequency:2d}: pull {strength:.4f}")
assert 8 * pulls[16] < pulls[1] < 40 * pulls[16]

# %% [markdown]
# Each doubling of the frequency about halves the pull.

# %% [markdown]
# ## Build: waves as inputs
#
# If $x$ and $y$ cannot tell neighbors apart, give the network numbers that can. **Fourier features**
# (Tancik et al., arXiv 2006.10739) replace the point $p = (x, y)$ by waves of it:
#
# $$\sin(\pi\, v \cdot p) \quad\text{and}\quad \cos(\pi\, v \cdot p), \qquad
# v \cdot p = v_x\, x + v_y\, y .$$
#
# Each $v = (v_x, v_y)$ is a **plane wave**: its stripes follow each other in the direction of $v$, and the
# length of $v$ is its frequency in half-waves per unit. Sine and cosine together can make a wave begin
# anywhere: $a \sin\varphi + b \cos\varphi$ is again a wave, shifted.
#
# The library's waves get ever faster, and turn from one to the next like the seeds of a sunflower, so that
# no direction is left out.

# %%
waves = spiral_frequencies(48, 0.5, 32) / math.pi  # [2, 48] half-waves per unit
figure, axes = figures.axes(
    size=(4.6, 4.4),
    alt="48 dots around the origin in all directions, close together in the middle, the "
    "last one 32 away.",
)
axes.plot(*waves, "o", markersize=5, color=plots.PALETTE["blue"])
axes.set(
    xlabel="half-waves per unit along x",
    ylabel="half-waves per unit along y",
    aspect="equal",
)
figure

# %%
striped = {}
for index in (4, 12, 20, 28, 36, 44):
    wave = waves[:, index]
    name = f"{wave.norm():.1f} half-waves per unit"
    striped[name] = 0.5 + 0.5 * torch.sin(math.pi * (places @ wave))
figures.pictures(
    striped,
    columns=3,
    alt="Six plane waves: soft gradients first, then stripes in other directions, ever "
    "finer.",
)

# %% [markdown] tags=["exercise"]
# ### Exercise 1.3: Encode points by waves
#
# *`features` · difficulty 2 of 3 · 10 minutes*
#
# Return the Fourier features of points, a tensor `[places, 2 * count]`: first the sines of all waves,
# then all cosines. `points` is `[places, 2]`; `waves` is `[2, count]`, one wave in each column, in
# half-waves per unit.


# %% tags=["stub"]
def features(points, waves):
    """Sines, then cosines, of plane waves at points, [places, 2 * count]."""
    ...  # your code here


features = check(features)

# %% [markdown] tags=["hint"]
# The phase of one wave at one point is $\pi (v_x x + v_y y)$. A matrix product gives all of them at once:
# what is the shape of `points @ waves`, and what stands in its first column?

# %% [markdown] tags=["hint"]
# `torch.sin(phase)` and `torch.cos(phase)` are both `[places, count]`; `torch.cat([...], dim=-1)` puts
# them side by side.


# %% tags=["solution"]
def features(points, waves):
    """Sines, then cosines, of plane waves at points, [places, 2 * count]."""
    phase = math.pi * points @ waves
    return torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1)


# %% [markdown] tags=["solution"]
# Because of the matrix product the same function takes one input or three: time, say.

# %% [markdown]
# The library says the same in radians. In a network, `features` becomes a first layer without weights.


# %%
class Waves(nn.Module):
    """The features of given waves, as the first part of a network."""

    def __init__(self, waves):
        super().__init__()
        self.register_buffer("waves", waves)  # belongs to the network, but is not trained

    def forward(self, points):
        return features(points, self.waves)


assert torch.allclose(
    features(some, waves), fourier_features(some, math.pi * waves), atol=1e-4
)

# %% [markdown]
# First the race again: the same four waves, the same steps. Instead of $x$ the network now gets
# sines and cosines of $x$ with ½, 1, 2, 4, 8 and 16 half-waves per unit, each an **octave** above the last.
# The frequencies 3, 6 and 12 are not among them; those it still has to make.

# %%
octaves = octave_frequencies(6) / math.pi  # [1, 6]
encoded = race(nn.Sequential(Waves(octaves), perceptron([12, 64, 64, 1])))
assert encoded[20].min() > 0.7 and raw[20, 3] < 0.3
race_figure(
    encoded,
    alt="Four curves that all rise to 1 within 100 steps, nearly together.",
)

# %%
fresh = nn.Sequential(Waves(octaves), perceptron([12, 64, 64, 1]))
evened = {frequency: pull(fresh, frequency) for frequency in pulls}
assert evened[16] > 0.3 * evened[1] and evened[16] > 4 * pulls[16]
figure = figures.lines(
    {"x alone": list(pulls.values()), "x as waves": list(evened.values())},
    x=list(pulls),
    across="frequency of the missing wave [half-waves per unit]",
    up="pull at the weights",
    alt="Two curves over the frequency, 1 to 32. The pull at the plain network falls "
    "steeply; that at the network with waves stays level up to 16 and falls behind it.",
    logarithmic=True,
)
figure.axes[0].set_xscale("log", base=2)
figure.axes[0].xaxis.set_major_formatter("{x:g}")
figure

# %% [markdown]
# Now all of them pull, up to the fastest wave that the network is given. So the highest frequency is a
# dial: it says how fine a detail the network learns easily. Back to the flower, with 48 waves of up to
# 32 half-waves per unit.


# %%
def with_waves(waves):
    """A network that sees places through waves, about as large as the plain one."""
    return nn.Sequential(Waves(waves), perceptron([2 * waves.shape[1], 64, 64, 3]))


waved = with_waves(waves)
train("waves up to 32", waved)
waved_db, waved_between = quality(waved)
assert waved_db > plain_db + 6
print(f"{count_weights([96, 64, 64, 3])} weights: {waved_db:.1f} dB at the known pixels")

# %% [markdown]
# ## Build: sine layers
#
# The other cure: let every *layer* make waves. **SIREN** (Sitzmann et al., arXiv 2006.09661) takes the sine
# for its activation, and a factor of 30 that makes the waves fast enough:
#
# $$h = \sin\big(30\,(W p + b)\big).$$
#
# Sines of sums of sines are faster still, so the following layers add what the first one lacks.

# %% [markdown] tags=["exercise"]
# ### Exercise 1.4: Write a sine layer
#
# *`sine_layer` · difficulty 1 of 3 · 6 minutes*
#
# Return what a sine layer says, `[places, out]`. `inputs` is `[places, in]`, `weight` is `[in, out]`, `bias`
# is `[out]`.


# %% tags=["stub"]
def sine_layer(inputs, weight, bias, factor=30.0):
    """A layer of SIREN: the sine of factor times the weighted sums, [places, out]."""
    ...  # your code here


sine_layer = check(sine_layer)

# %% [markdown] tags=["hint"]
# The weighted sums are `inputs @ weight + bias`. Which of the three steps comes last?


# %% tags=["solution"]
def sine_layer(inputs, weight, bias, factor=30.0):
    """A layer of SIREN: the sine of factor times the weighted sums, [places, out]."""
    return torch.sin(factor * (inputs @ weight + bias))


# %% [markdown]
# With sines, the *starting* weights matter. The paper draws those of the first layer from ±1/inputs, and
# those of later ones from ±√(6/inputs)/factor.


# %%
class SineLayer(nn.Module):
    """A layer of SIREN whose starting weights lie within ± bound."""

    def __init__(self, inputs, outputs, factor, bound):
        super().__init__()
        self.linear, self.factor = nn.Linear(inputs, outputs), factor
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, values):
        return sine_layer(values, self.linear.weight.T, self.linear.bias, self.factor)


def siren(sizes, factor=30.0):
    """A perceptron of sine layers; the last layer only sums."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        bound = math.sqrt(6 / inputs) / factor if layers else 1 / inputs
        layers.append(SineLayer(inputs, outputs, factor, bound))
    return nn.Sequential(*layers[:-1], layers[-1].linear)


# %%
values = points.cpu()
for layer in siren([2, 70, 70, 70, 3])[:-1]:
    sums = layer.factor * layer.linear(values).detach()
    spread = sums.std(dim=0).mean()
    print(f"before training, sums of {len(values[0])} numbers vary by {spread:.1f} radians")
    assert 3 < spread < 9 if len(values[0]) == 2 else 0.6 < spread < 1.6
    values = torch.sin(sums)

# %% [markdown]
# That is what the rule is for. The first layer's sums vary by several radians over the picture: their sines
# are waves. Later sums vary by about one radian: enough to bend the sine, not so much that it goes round
# and round. (What is printed is a standard deviation.)
#
# The library combines both cures: waves go in, and its layers are sine layers with a factor of 1, since the
# waves are fast already. Here is one of its hidden layers, beside ours.

# %%
library = CoordFlow(ModelConfig(layers=1)).layer(0).color  # sums, sine, sums, sine, ...
hidden = torch.rand(4, library[2].in_features)
ours = sine_layer(hidden, library[2].weight.T, library[2].bias, factor=1.0)
assert torch.allclose(ours, library[2:4](hidden), atol=1e-5)

# %% [markdown]
# Three networks of about equal size, the same steps, the same pixels. (The factor of 30 multiplies
# every gradient, too, so SIREN wants smaller steps, a rate of 0.001.)

# %%
sines = siren([2, 70, 70, 70, 3])
train("sine layers", sines, rate=0.001)
sines_db, sines_between = quality(sines)
assert sines_db > plain_db + 6
figures.pictures(
    {
        f"plain: {plain_db:.1f} dB in {plain.seconds:.0f} s": draw(plain, places),
        f"waves up to 32: {waved_db:.1f} dB in {waved.seconds:.0f} s": draw(waved, places),
        f"sine layers: {sines_db:.1f} dB in {sines.seconds:.0f} s": draw(sines, places),
    },
    alt="The flower three times: blurred by the plain network, sharp with some grain "
    "through waves, sharp through sine layers.",
)

# %% [markdown]
# Same size, same effort, and more than 6 dB apart: how the places go in decides what a network can learn
# in a given time. Do not read a winner out of it. One picture and one budget decide nothing about waves
# against sine layers, and both have a dial, which we turn next.

# %% [markdown]
# ## Look: turn the dial
#
# Eight networks, all as above, whose fastest waves have 1, 2, 4, ... 128 half-waves per unit. For each:
# the PSNR at the pixels it is shown, and at the hidden ones between.

# %%
HIGHEST = [1, 2, 4, 8, 16, 32, 64, 128]
dial = {32: waved}
for highest in HIGHEST:
    if highest not in dial:
        dial[highest] = with_waves(spiral_frequencies(48, 0.5, highest) / math.pi)
        train(f"waves up to {highest}", dial[highest])

# %%
at, between = zip(*(quality(dial[highest]) for highest in HIGHEST), strict=True)
best_at, best_hidden = (HIGHEST[int(np.argmax(db))] for db in (at, between))
assert best_at >= 64 and 4 <= best_hidden <= 32
assert between[5] - between[6] > 0.3 and max(between) - between[-1] > 1.5
best_between.compare(
    "a larger error than others",
    "Beyond a point, faster waves fit the known pixels better and the hidden ones worse.",
)
figure = figures.lines(
    {"at the known pixels": at, "between them": between},
    x=HIGHEST,
    across="highest frequency [half-waves per unit]",
    up="PSNR [dB]",
    alt="Two curves over the highest frequency, 1 to 128. They rise together up to 4. Then "
    "the one for the known pixels goes on rising; the one between levels off and falls.",
)
figure.axes[0].set_xscale("log", base=2)
figure.axes[0].xaxis.set_major_formatter("{x:g}")
figure

# %% [markdown]
# Now look *between* the pixels. Move the slider: on the left each network at the pixels it knows, in the
# middle a part of the same, asked at eight times as many places in each direction, on the right the scene
# itself drawn as finely. Where does the blur end, and where does the noise begin? (The arrow keys move the
# slider, too.)

# %%
close = pixel_grid(128, 192, scale=4).view(512, 768, 2)[80:208, 320:512]  # [128, 192, 2]


def enlarged(small, times=4):
    """Every pixel as a square of so many pixels."""
    return plots.to_pixels(small).repeat(times, axis=0).repeat(times, axis=1)


left = [enlarged(draw(dial[highest], places[::2, ::2])) for highest in HIGHEST]
middle = [plots.to_pixels(draw(dial[highest], close)) for highest in HIGHEST]
truth = scenes.cutout(512, 768, frames=1).video.frames[0][80:208, 320:512]
widgets.scrub(
    [
        plots.Panel("at the known pixels", len(HIGHEST), left.__getitem__),
        plots.Panel("a part of it, and what is between", len(HIGHEST), middle.__getitem__),
        plots.Panel("the truth", len(HIGHEST), lambda _: truth),
    ],
    captions=[
        f"up to {h}: {a:.1f} dB, {b:.1f} between"
        for h, a, b in zip(HIGHEST, at, between, strict=True)
    ],
)

# %% [markdown]
# ## Break it: blur, noise, and a quality too good to be true
#
# **No fast waves: a blur.** You have seen it: the plain network, and the left end of the slider. Its
# trace: the quality is low at the known pixels *and just as low between them*. The network is not
# wrong anywhere in particular; it lacks detail everywhere.

# %% [markdown]
# **Too fast waves: noise between the pixels.** Why does it get worse? Here is a row of pixels, and two
# waves that agree at every one of them.


# %%
def slow(x):
    """A wave of 1 half-wave per unit."""
    return torch.sin(math.pi * x)


def fast(x):
    """A wave of 7 half-waves per unit, upside down."""
    return -torch.sin(7 * math.pi * x)


dots = torch.arange(-4, 5) / 4  # a pixel every 0.25 units: 4 pixels a unit
fine = torch.linspace(-1, 1, 400)
assert torch.allclose(slow(dots), fast(dots), atol=1e-5)
figure, axes = figures.axes(
    size=(6.4, 2.6),
    alt="Nine dots on a slow wave of 1 half-wave per unit. A wave of 7 half-waves per unit "
    "goes through the same dots, up and down between them.",
)
axes.plot(fine, fast(fine), color=plots.PALETTE["orange"])
axes.plot(fine, slow(fine), color=plots.PALETTE["blue"])
axes.plot(dots, slow(dots), "o", color=plots.PALETTE["black"])
axes.set(xlabel="x [units]", ylabel="brightness")
figure

# %% [markdown]
# The pixels cannot tell them apart. Training only asks for the dots, so a network that has fast waves may
# use them, and what it draws between the dots is arbitrary. The limit is *one half-wave per pixel*: a
# wave that goes up at one pixel and down at the next. Above it, every wave has a slower one that agrees
# with it at all pixels (*aliasing*, and the limit is named after Nyquist).
#
# Our known pixels are 48 to the unit, and from 32 to 64 the curve above fell. It stops rising earlier,
# since the layers bend the waves that they are given, and bent waves contain faster ones.
#
# Sine layers have the same dial, the factor. With 100 instead of 30:

# %%
frantic = siren([2, 70, 70, 70, 3], factor=100.0)
train("sine layers, factor 100", frantic, rate=0.001)
frantic_db, frantic_between = quality(frantic)
assert frantic_db > frantic_between + 8 and frantic_between < sines_between - 5
calm_name = f"factor 30: {sines_db:.1f} dB, {sines_between:.1f} between"
frantic_name = f"factor 100: {frantic_db:.1f} dB, {frantic_between:.1f} between"
figures.pictures(
    {calm_name: draw(sines, close), frantic_name: draw(frantic, close), "the truth": truth},
    alt="Petals, enlarged: soft edges for factor 30, colored grain all over for factor "
    "100, and the truth.",
)

# %% [markdown]
# The trace: excellent at the pixels it was trained on, terrible between them. Never judge a model by its
# training error alone; hold something back.

# %% [markdown]
# **An 8-bit subtraction.** How alike are black and white? Nothing is further apart, so the PSNR is 0 dB.

# %%
black = np.zeros((64, 96, 3), np.uint8)
white = black + np.uint8(255)
error = np.mean((black - white) ** 2)  # both still uint8
wrapped = 10 * np.log10(255**2 / error)
print(f"computed in uint8: mean square {error:.0f}, PSNR {wrapped:.1f} dB")
print(f"computed rightly: PSNR {psnr(black, white):.1f} dB")
assert error == 1 and abs(psnr(black, white)) < 1e-6

# %% [markdown]
# In `uint8`, 0 − 255 is 1: numbers below 0 begin again at 255. The trace: a PSNR that is far too good. A
# mean of numbers that never exceed 255 cannot push it below 24 dB, however bad the picture.

# %% [markdown]
# Time for a quiz. The next cell draws four networks between the pixels, in an order that it scrambles.
# Three of them you know. The fourth is new: all its waves run along $x$, that is $v_y = 0$.

# %%
along_x = with_waves(torch.stack([waves.norm(dim=0), torch.zeros(48)]))
train("waves in x only", along_x)
four = {"no encoding": plain, "waves in x only": along_x}
four |= {"waves up to 32": waved, "waves up to 128": dial[128]}
elsewhere = pixel_grid(128, 192, scale=4).view(512, 768, 2)[216:344, 540:732]
gallery = {}
for letter, name in zip("ABCD", images.scrambled(four), strict=True):
    title = f"{letter}: {quality(four[name])[0]:.1f} dB at the known pixels"
    gallery[title] = draw(four[name], elsewhere)
figures.pictures(
    gallery,
    columns=2,
    alt="The same part of the picture four times. A: shapes, a little rough. B: upright "
    "stripes, the same from top to bottom. C: soft patches without shapes. D: shapes under "
    "grain.",
)

# %% [markdown] tags=["exercise"]
# ### Exercise 1.5: Which encoding made this picture?
#
# *`which_encoding` · difficulty 2 of 3 · 6 minutes*
#
# Put `"no encoding"`, `"waves in x only"`, `"waves up to 32"` or `"waves up to 128"` behind each letter, in
# place of the dots.

# %% tags=["stub"]
which_encoding = ...  # {"A": "...", "B": "...", "C": "...", "D": "..."}

which_encoding = check(which_encoding, "which_encoding")

# %% [markdown] tags=["hint"]
# A network that is given waves along $x$ only never learns the value of $y$. What must its picture look
# like, whatever it learns?

# %% [markdown] tags=["hint"]
# Two fit their pixels far better than the others. Which of them draws more of what nobody asked for?

# %% tags=["solution"]
which_encoding = {
    "A": "waves up to 32",
    "B": "waves in x only",
    "C": "no encoding",
    "D": "waves up to 128",
}

# %% [markdown]
# ## Recap
#
# * A picture is a function from places to colors. A network that has learned this function holds the
#   picture in its weights, and can be asked anywhere, at any size.
# * PSNR = 10 log₁₀(255² / MSE). Half the error is 6 dB more. Subtract in floats, never in `uint8`.
# * A plain network learns slow waves first: neighbors are nearly the same to it, and the pulls of a fast
#   wave cancel. The picture is blurred.
# * Waves as inputs (Fourier features), or sine layers with a factor (SIREN), let it learn fine detail.
# * Both have a dial. Too low: blur, everywhere. Too high: noise between the pixels, which the
#   training error does not show.

# %%
progress()

# %% [markdown]
# ## Questions
#
# 1. Why can a network that takes $(x, y)$ and gives a color hold a picture? Why should one that takes
#    $(x, y, t)$ be able to hold a video?
# 2. Why does a smooth network learn low frequencies first?
# 3. A picture is 100 pixels wide. How many half-waves per unit may a wave have before another, slower one
#    agrees with it at all pixels?
# 4. Someone reports 48.1 dB for a picture that looks nothing like the original. What do you suspect?

# %% [markdown] tags=["answer"]
# 1. A picture *is* a function from $(x, y)$ to a color, and a network with enough weights can come as
#    close as you like to any continuous function on a bounded area. Training chooses, from all the
#    functions that the weights can form, one that agrees with the picture. So the weights stand for
#    the picture, and drawing is asking. A video is a function of three numbers, and nothing in this
#    argument needed that there were two. Whether *few* weights are enough is another question: that
#    is the one of compression.
# 2. Places close to each other are nearly the same input, so a change of a weight changes the color at both
#    alike. What is missing at low frequencies asks for the same change over a wide area, and the
#    gradients add up. At high frequencies neighbors ask for opposite changes, which cancel: the gradient is
#    small, and so is the progress in each step.
# 3. A unit is half the larger side: 50 pixels, if the picture is wider than high. So 50 half-waves per
#    unit, one per pixel.
# 4. The subtraction or the squares were computed in `uint8`, and wrapped around. A mean of such numbers
#    is at most 255, so the PSNR cannot fall below 24 dB.

# %% [markdown]
# ## Further reading
#
# * CoordFlow, arXiv 2501.00975, section 2: a video from networks of $(x, y)$ and $t$.
# * Tancik et al., *Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional
#   Domains*, arXiv 2006.10739: section 6 fits pictures of which three pixels in four are hidden, as here.
# * Sitzmann et al., *Implicit Neural Representations with Periodic Activation Functions* (SIREN), arXiv
#   2006.09661: section 3.2 has the rule for the starting weights.
# * Rahaman et al., *On the Spectral Bias of Neural Networks*, arXiv 1806.08734: the race of waves.
# * `coordflow_mini/model.py`: the waves and sine layers of the library.
