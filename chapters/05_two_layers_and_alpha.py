# %% [markdown]
# # 05 · Two layers and alpha: who paints this pixel?
#
# **Time.** About 80 minutes to read and do. Running all cells, measured: 30 s on 2 CPU cores.
#
# Chapter 04 ended on a riddle: one layer, two motions. It followed one of them and smeared the other. Two
# motions need two layers, and then every pixel must know to which one it belongs. Nobody will tell it. In
# this chapter the pixels find out by themselves, with one more number per layer: alpha.

# %% [markdown]
# ## What you will be able to do
#
# * Blend layers by hand, with hard masks, with soft alphas, and with a softmax.
# * Derive what a softmax tells a layer that is winning, and one that has lost.
# * Train two layers, and measure how well they find an object that nobody showed them.
# * Recognize failures by their traces: weights that do not sum to 1, twins, a layer too few, one too many.
#
# **You need:** from chapter 04 what a layer is (flow, canonical picture, colors), and what a gradient is.

# %%
import torch

from coordflow_mini import decoder, similarity
from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.coords import frame_times, half_side, pixel_grid
from coordflow_mini.course import check, predict, progress, setup
from coordflow_mini.course.lesson import canonical, figures, tables, warping
from coordflow_mini.course.lesson.overlay import overlay
from coordflow_mini.course.lesson.watching import watch
from coordflow_mini.draws import key_of
from coordflow_mini.measure import results
from coordflow_mini.measure.metrics import match_layers, psnr_db
from coordflow_mini.model import Blend, CoordFlow
from coordflow_mini.muon import make_optimizer
from coordflow_mini.ops.run import fit
from coordflow_mini.render import render, to_uint8
from coordflow_mini.sampling import random_pixels
from coordflow_mini.show import plots, widgets
from coordflow_mini.video import scenes

here = setup(chapter=5)

# %% [markdown]
# ## Predict
#
# A flower moves before its background, and the background moves the other way. The clip is generated, so the
# truth is known, but training will not see it.

# %%
scene = scenes.cutout()
video = scene.video
time, height, width = video.frames.shape[:3]
times = frame_times(time)
figures.frames_strip(video)

# %% [markdown]
# Two layers, number 0 and number 1, will be trained on these frames. Each has its own flow and its own colors, and
# they start from random weights. Which one will be the flower?

# %%
object_layer = predict(
    "object_layer",
    "The layer that becomes the flower is ...",
    choices=["layer 0", "layer 1", "the larger one", "nobody can know"],
    answer=...,
)

# %% [markdown]
# And what is the second layer worth? One layer of 62 hidden numbers has about as many weights as two of 40
# together, so their files have equally many nominal bytes (chapter 02). How many dB of PSNR will the two layers be
# ahead?

# %%
second_layer = predict(
    "second_layer",
    "At equal bytes, two layers are ahead of one by ... dB.",
    unit="dB",
    answer=...,
)

# %% [markdown]
# ## The idea: a collage
#
# Old animated films were painted on transparent foils. A figure on one foil, the landscape on another; lay them
# on top of each other, move each one as a whole, photograph, repeat. A foil that moves need not be painted anew.
#
# CoordFlow (arXiv 2501.00975, section 3) stacks its layers in nearly the same way. Layer $i$ has at each
# pixel a color $c_i$ and a share $\alpha_i$ of that pixel, its **alpha**. The pixel is the sum of the colors,
# each weighted by its share:
#
# $$\hat y = \sum_i \alpha_i\,c_i, \qquad \alpha_i > 0, \qquad \sum_i \alpha_i = 1 .$$
#
# * $y$ is the true color of the pixel, and $\hat y$ (say "y hat") the one that the model shows.
# * No layer is in front. Foils have an order, shares have none: that is one thing less to find out.

# %% [markdown]
# ## Build: a collage by hand
#
# Begin with everything given. The scene knows its two layers without each other (the ground goes on behind the
# flower) and a **mask**, which is true where the flower covers at least half of a pixel.

# %%
frames = torch.from_numpy(video.frames)  # uint8 [time, height, width, 3]
ground, flower = torch.from_numpy(scene.layers).float() / 255
mask = torch.from_numpy(scene.masks)  # bool [time, height, width]
shown = 12
figures.pictures(
    {"the ground": ground[shown], "the flower's layer": flower[shown], "mask": mask[shown]},
    alt="The patterned ground; the flower's pattern, which goes on beyond its outline; a "
    "white flower on black.",
)

# %% [markdown]
# The simplest collage cuts: where the mask is true, take the flower, elsewhere the ground.

# %%
hard = torch.where(mask[..., None], flower, ground)
hard_db = psnr_db(frames, to_uint8(hard))
print(f"with hard masks: {hard_db:.1f} dB")
assert 30 < hard_db < 40

# %% [markdown]
# The layers are exact and the mask is exact. Why is the result not? A pixel on the outline is partly flower,
# partly ground, and shows a mixture of both. So let the share be any number $\alpha$ from 0 to 1:
# $y = \alpha f + (1-\alpha)\,b$, with $f$ for the flower's color and $b$ for what lies behind it. Here all but $\alpha$
# is known. Rearranged, $y - b = \alpha\,(f - b)$, three equations for one number. The best answer (by least
# squares) is
#
# $$\alpha = \frac{\langle y-b,\; f-b\rangle}{\langle f-b,\; f-b\rangle},$$
#
# where $\langle u, v\rangle$ is the sum over red, green and blue of $u$ times $v$.


# %%
def dot(u, v):
    """⟨u, v⟩: the sum over the channels of u times v."""
    return (u * v).sum(dim=-1)


true_color = frames.float() / 255
difference = flower - ground
alpha = (
    dot(true_color - ground, difference) / dot(difference, difference).clamp_min(1e-6)
).clamp(0, 1)
soft = alpha[..., None] * flower + (1 - alpha[..., None]) * ground
soft_db = psnr_db(frames, to_uint8(soft))
print(f"with soft alphas: {soft_db:.1f} dB")
assert soft_db > hard_db + 10

# %%
part = (slice(10, 34), slice(34, 70))  # rows and columns around two petals
figures.pictures(
    {
        "original": true_color[shown][part],
        "hard mask": hard[shown][part],
        "soft alpha": soft[shown][part],
        "alpha": alpha[shown][part],
    },
    alt="Two petals, enlarged: soft edges in the original, steps with the hard mask, and "
    "with soft alpha like the original. The alpha map is gray along the outline.",
)

# %% [markdown]
# Gray where two things share a pixel. Soft alphas have a second advantage, which counts more: **they can be
# learned**. A mask jumps from 0 to 1, and a jump has no slope to go down. A share can change a little.
#
# One warning in the formula: where $f = b$, it divides zero by zero. If two layers have the same color at a
# pixel, *any* share is right. Keep that in mind: later in this chapter it explains a piece of sky.

# %% [markdown]
# ## Build: from any numbers to shares
#
# A network returns any numbers, positive or negative. Shares must be positive and sum to 1. The usual way from
# one to the other is the **softmax**: raise $e$ to each number, then divide by the sum.
#
# $$\alpha_i = \frac{e^{a_i}}{\sum_j e^{a_j}}$$
#
# The numbers $a_i$ that go in are called **logits**.


# %%
def shares(logits):
    """Softmax over the first dimension, by hand."""
    grown = torch.exp(logits - logits.amax(dim=0))
    return grown / grown.sum(dim=0)


logits = torch.tensor(
    [[0.0, 1.0, 5.0, 500.0], [0.0, 0.0, -5.0, 0.0]]
)  # two layers, four pixels
for layer, row in enumerate(shares(logits)):
    print(f"layer {layer}:", "  ".join(f"{share:.5f}" for share in row))
assert torch.allclose(shares(logits), torch.softmax(logits, dim=0))
assert torch.allclose(shares(logits), shares(logits + 7))

# %% [markdown]
# Two things to see in these lines. Adding the same number to all logits of a pixel changes no share, so only
# *differences* between layers count. That is why the largest logit may be subtracted first: $e^{500}$ would be too
# large for a float, $e^{0}$ is not. (In the last pixel the shares are 1 and 0 only because floats are rounded.)

# %%
apart = torch.linspace(-8, 8, 161)
both = shares(torch.stack([apart, torch.zeros(161)]))
figures.lines(
    {"layer 0": both[0], "layer 1": both[1]},
    x=apart,
    across="logit of layer 0 minus logit of layer 1",
    up="alpha (share of the pixel)",
    alt="Two S-shaped curves that cross at one half: the larger the difference of the "
    "logits, the nearer are the shares to 1 and 0, but they never arrive.",
)

# %% [markdown]
# Soft in the middle, nearly decided beyond a difference of 4, never quite 0 or 1.
#
# So a layer's network gets a fourth output: red, green, blue, and the logit. You have seen it before, in chapter
# 04, where the color network had four outputs and used three.

# %% [markdown] tags=["exercise"]
# ### Exercise 5.1: Blend
#
# *`blend` · difficulty 2 of 3 · 12 minutes*
#
# Return the colors of some pixels, `[pixels, 3]`. `output` is what the networks of all layers return there,
# `[layers, pixels, 4]`: red, green, blue, and the alpha logit. You may use `torch.softmax` or `shares`.


# %% tags=["stub"]
def blend(output):
    """Blended colors [pixels, 3] of the layers' outputs [layers, pixels, 4]."""
    ...  # your code here


blend = check(blend)

# %% [markdown] tags=["hint"]
# Take `output` apart first: `output[..., :3]` are the colors, `output[..., 3]` the logits. Who competes with
# whom? That is the dimension of the softmax.

# %% [markdown] tags=["hint"]
# The shares are `[layers, pixels]`. `alpha[..., None]` makes them `[layers, pixels, 1]`, so that one share
# multiplies three channels. At last, sum over the layers.


# %% tags=["solution"]
def blend(output):
    """Blended colors [pixels, 3] of the layers' outputs [layers, pixels, 4]."""
    colors, logits = output[..., :3], output[..., 3]
    alpha = torch.softmax(logits, dim=0)
    return (alpha[..., None] * colors).sum(dim=0)


# %% [markdown]
# Now the whole model: two layers of chapter 04, each asked by itself, and your blend. The library's `CoordFlow`
# computes all layers at once. (A fresh one shows gray nearly everywhere, so its last weights are made larger
# first.)

# %%
TWO = ModelConfig(layers=2, width=40, highest_frequency=12.0)
library = CoordFlow(TWO)
torch.nn.init.normal_(library.flow.weight_out, std=0.1)
torch.nn.init.normal_(library.color.weights[-1])
points, moment = pixel_grid(height, width), times[5]

each = []
with torch.no_grad():
    for i in range(2):
        rgb, logit = library.layer(i)(points, moment.expand(len(points)))
        each.append(torch.cat([rgb, logit[:, None]], dim=-1))
    theirs = library(points[None], moment[None])  # a Blend: .layer_rgb, .alpha, .rgb
mine = blend(torch.stack(each))
assert torch.allclose(mine, theirs.rgb[0], atol=1e-3)
print(f"{len(points)} pixels, blended by hand and by the library: equal")

# %% [markdown]
# ## Build: what does a layer learn from a pixel?
#
# Two layers, one pixel, and an error. Who is to improve? The gradient decides, so follow it back. Let $L$ be
# the loss, for example $L = \lVert\hat y - y\rVert^2$, and write $g$ for its slope at the blended color,
#
# $$g = \frac{\partial L}{\partial \hat y} .$$
#
# Before you calculate: layer 0 has $\alpha_0 = 0.999$ at some pixel, layer 1 has $\alpha_1 = 0.001$.

# %%
lost_layer = predict(
    "lost_layer",
    "From this pixel, the color of layer 1 gets a gradient that is ... that of layer 0.",
    choices=["as large as", "a thousandth of", "a thousand times"],
    answer=...,
)

# %% [markdown]
# **The colors.** $\hat y = \sum_i \alpha_i c_i$, so moving $c_i$ by a little moves $\hat y$ by $\alpha_i$ times as
# much:
#
# $$\frac{\partial L}{\partial c_i} = \alpha_i\, g .$$
#
# **The logits.** If one share grows, the others shrink. For the softmax,
# $\partial\alpha_j/\partial a_i = \alpha_j(1-\alpha_j)$ if $j = i$, and $-\alpha_j\alpha_i$ if not. Multiply with the
# colors and add up:
#
# $$\frac{\partial\hat y}{\partial a_i} = \alpha_i c_i - \alpha_i\sum_j \alpha_j c_j = \alpha_i\,(c_i - \hat y)
# \qquad\Rightarrow\qquad \frac{\partial L}{\partial a_i} = \alpha_i\,\langle g,\; c_i - \hat y\rangle .$$
#
# Read it aloud: *a logit moves the blend from where it is, $\hat y$, towards the layer's own color, $c_i$.* If
# that way leads downhill, the layer gains alpha.

# %% [markdown] tags=["exercise"]
# ### Exercise 5.2: What a logit is told
#
# *`logit_gradient` · difficulty 2 of 3 · 10 minutes*
#
# Return $\partial L/\partial a_i$ for every layer and pixel, `[layers, pixels]`. Given are the layers' `colors`
# `[layers, pixels, 3]`, their `alpha` `[layers, pixels]`, and `slope` `[pixels, 3]`, which is $g$.


# %% tags=["stub"]
def logit_gradient(colors, alpha, slope):
    """The loss's gradient for the alpha logits, [layers, pixels]."""
    ...  # your code here


logit_gradient = check(logit_gradient)

# %% [markdown] tags=["hint"]
# First $\hat y$, the blend of the colors, `[pixels, 3]`. Then $c_i - \hat y$ for all layers at once:
# PyTorch subtracts `[pixels, 3]` from each `[pixels, 3]` of `[layers, pixels, 3]`.

# %% [markdown] tags=["hint"]
# `dot(slope, colors - blended)` is `[layers, pixels]`. One factor is missing.


# %% tags=["solution"]
def logit_gradient(colors, alpha, slope):
    """The loss's gradient for the alpha logits, [layers, pixels]."""
    blended = (alpha[..., None] * colors).sum(dim=0)
    return alpha * (slope * (colors - blended)).sum(dim=-1)


# %% [markdown]
# Autograd knows nothing of your derivation, so it is the best judge.

# %%
colors = torch.rand(3, 100, 3, requires_grad=True)  # three layers, a hundred pixels
logits = torch.randn(3, 100, requires_grad=True)
target = torch.rand(100, 3)
output = torch.cat([colors, logits[..., None]], dim=-1)
blended = blend(output)
((blended - target) ** 2).sum().backward()

weights = torch.softmax(logits, dim=0).detach()
slope = 2 * (blended - target).detach()
by_hand = logit_gradient(colors.detach(), weights, slope)
assert torch.allclose(by_hand, logits.grad, atol=1e-5)
assert torch.allclose(weights[..., None] * slope, colors.grad, atol=1e-5)
print("both gradients, by hand and by autograd: equal")

# %%
lost_layer.compare(
    "a thousandth of",
    "Both gradients have the factor αᵢ: 0.001 of g for one layer, 0.999 for the other.",
)

# %% [markdown]
# ### The winner takes the lesson
#
# Both gradients have a factor $\alpha_i$ in front. That has two consequences, a good one and a bad one.
#
# Look at one pixel that is truly yellow. Layer 1 has the right color, layer 0 shows blue. How strongly is the
# *right* layer told to win, depending on the alpha that it has already?

# %%
yellow, blue = torch.tensor([0.9, 0.8, 0.2]), torch.tensor([0.1, 0.2, 0.5])
share = torch.sigmoid(torch.linspace(-11.5, 5, 166))  # alpha of the right layer
alphas = torch.stack([1 - share, share])
pair = torch.stack([blue.expand(166, 3), yellow.expand(166, 3)])
slope = 2 * ((alphas[..., None] * pair).sum(dim=0) - yellow)
told = logit_gradient(pair, alphas, slope)[1].abs()
figure, place = figures.axes(
    alt="Double logarithmic: the gradient of the right layer's logit rises in proportion "
    "to its alpha, from a hundred-thousandth on, has its maximum near one third and falls "
    "towards 1.",
    size=(6, 3.2),
)
place.loglog(share, told, color=plots.PALETTE["blue"])
place.set(xlabel="alpha of the layer that is right", ylabel="size of its logit's gradient")
for axis in (place.xaxis, place.yaxis):
    axis.set_major_formatter(lambda value, _: f"{value:g}")
figure

# %% [markdown]
# In the middle it is strong. At the right end nothing is left to improve. At the left end the layer *has the
# right color and is hardly told*: ten times less alpha, ten times less gradient. Let gradient descent run on
# this pixel's two logits and see how long it takes.

# %%
starts = [0.5, 0.1, 0.01, 0.001]
won = torch.tensor(starts)
logits = torch.stack([(1 - won).log(), won.log()])  # their softmax is (1 - won, won)
pair = torch.stack([blue.expand(4, 3), yellow.expand(4, 3)])
path = []
for _ in range(600):
    alphas = torch.softmax(logits, dim=0)
    slope = 2 * ((alphas[..., None] * pair).sum(dim=0) - yellow)
    logits = logits - logit_gradient(pair, alphas, slope)
    path.append(alphas[1])
path = torch.stack(path)  # [600, 4]
half_way = [int((path[:, i] > 0.5).int().argmax()) for i in range(4)]
for start, step in zip(starts[1:], half_way[1:], strict=True):
    print(f"from alpha {start:5.3f}: past one half after {step} steps")
assert half_way[2] > 5 * half_way[1] and half_way[3] > 5 * half_way[2]

# %%
figure, place = figures.axes(
    alt="Four curves over the steps. From 0.5 and 0.1 alpha rises at once, from 0.01 after "
    "some tens of steps, from 0.001 it lies flat for hundreds of steps, then jumps up.",
    size=(6.4, 3.2),
)
for curve, start in zip(path.T, starts, strict=True):
    step = 1 + torch.arange(len(curve))
    place.semilogx(step, curve, color=plots.PALETTE["blue"], alpha=0.5 + start)
    middle = int((curve > 0.5).int().argmax())
    at = (0.8 * (middle + 1), 0.6) if start < 0.5 else (2.4, 0.74)
    place.text(*at, f"from {start:g}", ha="right")
place.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
place.set(xlabel="step of gradient descent", ylabel="alpha of the right layer")
figure

# %% [markdown]
# **A layer that has lost learns next to nothing**, even if it is right. The bad consequence: what was decided too early,
# by chance, stays for long. The good one: a layer is *left in peace* where it has lost. The ground's network gets hardly
# any gradient from the flower's pixels. It need not waste weights on them, and whatever it has learned from other
# frames about the place behind the flower, nobody disturbs.
#
# So a small lead grows. Whoever fits a pixel a bit better gets a bit more alpha, so more of the gradient, so
# fits still better. Out of two equal networks come two different things.

# %% [markdown]
# ## Experiment: two layers on the flower
#
# Now for real. The loss is the squared error of the blend and nothing else. (`gamma=0` switches off a second term,
# which chapter 06 is about.) As in chapter 04, frames are let in from the middle one outwards, and at first
# the colors do not see the time. Run both cells and watch the alphas.

# %%
HOW = {
    "steps": here.pick(cpu=600, gpu=1500),
    "batch": 4096,
    "gamma": 0.0,
    "warm_up": 100,  # steps until the colors learn at the full rate
    "static": 400,  # steps in which the colors do not see the time
}
view = watch(video)
view


# %%
def fitted(config, on_step=None):
    """A model fitted to the clip, and what it shows."""
    how = FitConfig(seed=here.seed, **HOW)
    model = fit(video, config, how, device=here.device, on_step=on_step).model.cpu()
    return model, render(model, times, height, width)


model, rendering = fitted(TWO, on_step=view)
two_db = psnr_db(frames, rendering.rgb)
print(f"two layers: {two_db:.1f} dB")

# %% [markdown]
# And one layer of equal size:

# %%
ONE = ModelConfig(layers=1, width=62, highest_frequency=12.0)
one, one_rendering = fitted(ONE)
one_db = psnr_db(frames, one_rendering.rgb)
for name, fit_of, db in (("one layer", one, one_db), ("two layers", model, two_db)):
    weights = fit_of.parameter_count
    print(f"{name}: {weights:,} weights, {weights * 6 / 8:,.0f} nominal bytes, {db:.1f} dB")
assert 8 < two_db - one_db < 20
second_layer.compare(
    round(two_db - one_db, 1),
    "Each layer's colors now have a still picture to keep, and only one.",
    within=4,
)

# %%
figures.pictures(
    {
        "original": frames[20],
        f"one layer, {one_db:.1f} dB": one_rendering.rgb[20],
        f"two layers, {two_db:.1f} dB": rendering.rgb[20],
    },
    alt="Frame 20: the original; one layer, all blurred; two layers, as sharp as the "
    "original.",
)

# %% [markdown]
# ## Look: what is in each layer?

# %%
figures.layers_figure(rendering, frame=12)

# %% [markdown]
# **Nobody told them.** The loss only ever saw the blend. No mask, no "object", no order. Two still pictures that
# move differently are simply the cheapest way to explain these frames.
#
# Where a layer's alpha is nearly 0 it may show anything, and does. The noise around the flower was left by random
# weights, and hardly a gradient ever asked for anything better there. You know the formula now.
#
# And which layer is the flower? Exchange the two:

# %%
swapped = rendering.alpha.flip(0)[..., None] * rendering.layer_rgb.flip(0)
original = rendering.alpha[..., None] * rendering.layer_rgb
assert torch.equal(swapped.sum(dim=0), original.sum(dim=0))

rows = [row for row in tables.read("layers.csv") if row["speed"] == 1]
players = [int(row["object"]) for row in rows if row["layers"] == 2]
print("seeds 0, 1 and 2, measured before: the flower was layer", *players)
assert set(players) == {0, 1}
object_layer.compare(
    "nobody can know",
    "Exchanging the layers changes no pixel, so no loss can prefer one: the seed decides.",
)

# %% [markdown]
# So when you compare layers with a truth, you must not ask "is layer 1 right?". Ask "is there a layer that plays
# the flower?".
#
# ### How well did they find it?
#
# A layer is *seen* where its alpha is above one half. That is a mask, too. Two masks are compared by their
# **intersection over union**, IoU: the pixels in both, divided by the pixels in at least one. Equal masks have 1,
# masks that do not touch have 0. Unlike "how many pixels are right" it cannot be cheated by calling everything
# background.

# %% [markdown] tags=["exercise"]
# ### Exercise 5.3: Find the player
#
# *`object_iou` · difficulty 2 of 3 · 10 minutes*
#
# Return the IoU of the object with the layer that plays it best, one number. `alpha` is
# `[layers, time, height, width]`, `mask` is true where the object is, `[time, height, width]`. Count over all
# frames together.


# %% tags=["stub"]
def object_iou(alpha, mask):
    """IoU of the object with the layer that plays it best."""
    ...  # your code here


object_iou = check(object_iou)

# %% [markdown] tags=["hint"]
# For one layer: `seen = alpha[i] > 0.5`. For two bool tensors, `seen & mask` is true where both are,
# `seen | mask` where at least one is.

# %% [markdown] tags=["hint"]
# `(seen & mask).sum() / (seen | mask).sum()` for each layer, then the largest.


# %% tags=["solution"]
def object_iou(alpha, mask):
    """IoU of the object with the layer that plays it best."""
    overlaps = []
    for layer in alpha:
        seen = layer > 0.5
        overlaps.append((seen & mask).sum() / (seen | mask).sum())
    return max(overlaps)


# %%
found = float(object_iou(rendering.alpha, mask))
match = match_layers(rendering.alpha > 0.5, scene.masks[None])
player = match.order[0]  # the layer that plays the flower
assert abs(found - match.iou) < 1e-4
print(f"layer {player} plays the flower, IoU {found:.3f}")
assert found > 0.9

# %% [markdown]
# More than nine tenths, and most of what is missing lies on the outline. Here is every disagreement, in white.

# %%
seen = rendering.alpha[player] > 0.5
figures.pictures(
    {f"wrong pixels, frame {i}": seen[i] != mask[i] for i in (2, 12, 22)},
    alt="Three nearly black pictures: a few white dots, most of them along the outline of "
    "the flower.",
)

# %% [markdown]
# Each layer has its own flow, too. Here are both, aligned with the true motions, dashed, as in chapter 04. (Whichever
# layer played the flower: in this figure the ground is layer 0 and the flower layer 1.)

# %%
with torch.no_grad():
    motion = model.transforms(times).double()  # [layers, time, 4]
order = [1 - player, player]  # ground first, as in the scene
unit = half_side(height, width)
aligned = []
for name, layer, truth in zip(("ground", "flower"), order, scene.motion, strict=True):
    off = canonical.pixels_apart(motion[layer], truth, height, width)
    print(f"{name}: recovered motion off by {off:.2f} pixels on average")
    assert off < 2
    aligned.append(canonical.align(motion[layer], truth))
figures.motion_figure(torch.stack(aligned), scene.motion, pixels_per_unit=unit)

# %% [markdown]
# ### Play
#
# Each layer has a canonical picture of its own. Show it where some frame has ever seen this layer; elsewhere fade it
# to gray.


# %%
def canonical_picture(layer):
    """A layer's canonical picture, its canvas and its motion."""
    moves = motion[layer].float()
    corners = torch.stack([canonical.outline(move, height, width) for move in moves])
    canvas = canonical.Canvas.around(corners, unit=2 * unit)
    places = canvas.points.view(-1, 2)
    back = similarity.apply(similarity.inverse(moves)[:, None], places)  # [time, places, 2]
    alpha = rendering.alpha[layer][..., None]
    ever = torch.stack([warping.sample(alpha[i], back[i]) for i in range(time)]).amax(0)
    with torch.no_grad():  # the colors at the middle frame's time
        color, _ = model.layer(layer)(back[12], times[12].expand(len(places)))
    picture = ever * color.clamp(0, 1) + (1 - ever) * 0.85
    return picture.view(canvas.height, canvas.width, 3), canvas, moves


# %%
panels = [plots.Panel("the video", time, lambda i: video.frames[i])]
for layer in range(2):
    picture, canvas, moves = canonical_picture(layer)

    def outlined(i, picture=picture, canvas=canvas, moves=moves):
        corners = canonical.outline(moves[i], height, width)
        return canonical.with_outline(picture, canvas.pixels(corners))

    rgb, alpha = rendering.layer_rgb[layer], rendering.alpha[layer]
    panels += [
        plots.Panel(
            f"layer {layer}, RGB", time, lambda i, rgb=rgb: plots.to_pixels(rgb[i])
        ),
        plots.Panel(
            f"layer {layer}, alpha", time, lambda i, a=alpha: plots.to_pixels(a[i])
        ),
        plots.Panel(f"layer {layer}, canonical", time, outlined),
    ]
player_of_layers = widgets.scrub(panels)
player_of_layers.figure.set_label(
    "Seven rows over four frames: the video, then for each layer its colors, its alpha and "
    "its canonical picture, which stands still while the outline of the frame wanders."
)
player_of_layers

# %% [markdown]
# The canonical picture of the flower's layer is a flower, cut out. The other one is the whole ground, with hardly a
# trace of the flower: what is hidden in one frame was seen in another. In both, the picture stands still while the frame (the white
# outline) wanders, each with a motion of its own.
#
# Now switch layers off. Middle gray stands for what a layer had covered.

# %%
overlay(rendering, fps=24.0, name="the flower")

# %% [markdown]
# ### A real film
#
# The file of chapter 00, with the alphas of its two layers. Every fourth frame will do. (This file and the next one were
# trained longer, and with the second term of the loss that chapter 06 is about. It names no objects, either.)

# %%
header, bunny_model = decoder.read_model(results.data_file("bunny.cfv").read_bytes())
every_fourth = frame_times(header.time)[::4]
bunny = render(bunny_model.to(here.device), every_fourth, header.height, header.width)
figures.layers_figure(bunny, frame=19)

# %% [markdown]
# *Big Buck Bunny, (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org,
# [CC BY 3.0](https://creativecommons.org/licenses/by/3.0/); resized and compressed.*
#
# One layer keeps the meadow, the other picks out the rabbit, with its cave and a piece of the sky. Nobody told it
# what a rabbit is. But before you call that understanding, think about what the loss rewards:
#
# * The camera hardly moves. Meadow, cave and sky are equally still, so motion cannot tell them apart. The split follows
#   what is cheap to keep in one network.
# * The sky is smooth. Either layer could keep it at little cost, and *one* of them must. Which one is an accident; but
#   once it was decided, the loser learned nothing there any more: look at the noise in the other layer's sky.
# * A layer is what **moves together and is cheap together**. A rabbit is one thing for you. The two often agree, and
#   there is no law that they must.

# %%
overlay(bunny, fps=float(header.fps) / 4, name="Big Buck Bunny")

# %% [markdown]
# ### A camera that follows
#
# In that shot the camera hardly moved. In the next one it flies: a squirrel seen from above, and the camera stays with
# it. What moves in the *picture* is the ground.

# %%
header, squirrel_model = decoder.read_model(results.data_file("squirrel.cfv").read_bytes())
every_third = frame_times(header.time)[::3]
squirrel = render(squirrel_model.to(here.device), every_third, header.height, header.width)
figures.layers_figure(squirrel, frame=5)

# %% [markdown]
# *Big Buck Bunny, (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org,
# [CC BY 3.0](https://creativecommons.org/licenses/by/3.0/); resized and compressed.*
#
# Here motion has something to say, and the layers are tidier: the squirrel down to the tip of its tail in one, the
# ground in the other, *with the ground that was hidden*. How far does each layer's content travel? Take what is in the
# middle of the first frame and ask where it is in the last one.

# %%
with torch.no_grad():
    moves = squirrel_model.cpu().transforms(every_third)  # [layers, frames, 4]
middle = squirrel.alpha[:, :, 40:50, 75:85].mean(dim=(1, 2, 3))  # around the squirrel
names = {int(middle.argmax()): "squirrel", int(middle.argmin()): "ground"}
travel = {}
for layer, name in names.items():
    start = similarity.apply(moves[layer, 0], torch.zeros(2))
    end = similarity.apply(similarity.inverse(moves[layer, -1]), start)
    travel[name] = float(end.norm()) * half_side(header.height, header.width)
    print(f"layer {layer}, the {name}: {travel[name]:.0f} pixels")
assert travel["ground"] > 2 * travel["squirrel"]
overlay(squirrel, fps=float(header.fps) / 3, name="The squirrel")

# %% [markdown]
# It is not perfect. Step through and watch the left side: scraps of grass and stalks belong to the squirrel's layer.
# Such plants stand higher than the ground, nearer to the camera, so they pass faster. That is a third motion, and there
# is no third layer. Somebody has to take it.
#
# ### How many layers?
#
# One layer was too few for two motions. Are three better than two? Back to the flower, with $N = 1$ to 4 layers. All
# models have about equally many weights, so more layers mean narrower ones. Each dot is one seed, measured before
# (`make tables`).

# %%
found_db = {n: [row["psnr_db"] for row in rows if row["layers"] == n] for n in (1, 2, 3, 4)}
figure, place = figures.axes(
    alt="Dots, three seeds for each number of layers: one layer near 24 dB; two, three and "
    "four layers far above it, the more layers the wider apart.",
    size=(6, 3.2),
)
for n, values in found_db.items():
    place.plot([n] * len(values), values, "o", color=plots.PALETTE["blue"], alpha=0.7)
    print(f"N = {n}: {min(values):.1f} to {max(values):.1f} dB")
place.set(
    xlabel="layers", ylabel="quality [dB RGB PSNR]", xticks=[1, 2, 3, 4], xlim=(0.5, 4.5)
)
assert min(found_db[2]) > max(found_db[1]) + 8
figure

# %% [markdown]
# From one to two it is a leap, more than 8 dB, and then it goes no further: two motions need two layers. With more of
# them, chance has more to say. What a third layer does is a question for the end of this chapter.

# %% [markdown]
# ## Break it: four failures and their traces
#
# For quick failures, a short training loop of your own. `Mixed` is the library's model, with a hole where the softmax
# was: `weigh` makes weights of the logits.


# %%
class Mixed(CoordFlow):
    """A model whose logits become weights by any function."""

    def __init__(self, weigh):
        super().__init__(TWO, torch.Generator().manual_seed(here.seed))
        self.weigh = weigh
        self.color.time_weight.requires_grad_(False)  # the colors do not see the time

    def forward(self, points, times, dtype=torch.float32):
        colors, logits = self.color(self.canonical(points, times), times, dtype)
        return Blend(colors, self.weigh(logits))


def train(model, steps=300):
    """Fit a model to the clip, the frames near the middle first."""
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = make_optimizer("muon", learned, 0.04)
    falling = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (1 - step / steps) / 0.3)
    )
    for step in range(steps):
        near = torch.arange(time)[times.abs() <= max(0.05, 2 * step / steps)]
        batch = random_pixels(frames, 4096, key_of(here.seed, step), near)
        error = (model(batch.points, times[batch.frames]).rgb - batch.color).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        falling.step()


# %% [markdown]
# Three ways to weigh: the softmax, a sigmoid for each layer by itself, and the raw logits.


# %%
def shown_by(model):
    """What a model shows on the clip: layers' colors, weights, and PSNR."""
    with torch.no_grad():
        seen = model(points[None], times)
    picture = to_uint8(seen.rgb).view(time, height, width, 3)
    return seen.layer_rgb, seen.alpha.view(2, time, height, width), psnr_db(frames, picture)


ways = {
    "softmax": lambda logits: torch.softmax(logits, dim=0),
    "sigmoids": torch.sigmoid,
    "raw logits": lambda logits: logits,
}
runs = {}
for name, weigh in ways.items():
    torch.manual_seed(here.seed)
    mixed = Mixed(weigh)
    train(mixed)
    runs[name] = shown_by(mixed)
    _, weights, db = runs[name]
    print(
        f"{name:10s} {db:.1f} dB, IoU {float(object_iou(weights, mask)):.2f}; "
        f"weights {weights.min():.2f} to {weights.max():.2f}, "
        f"their sums {weights.sum(0).min():.2f} to {weights.sum(0).max():.2f}"
    )

# %%
quality = {name: db for name, (_, _, db) in runs.items()}
assert quality["softmax"] > max(quality["sigmoids"], quality["raw logits"]) + 3
assert runs["raw logits"][1].min() < 0
undecided = {
    name: float(((weights > 0.1) & (weights < 0.9)).float().mean())
    for name, (_, weights, _) in runs.items()
}
assert undecided["sigmoids"] > 0.8 and undecided["softmax"] < 0.3
figures.pictures(
    {
        f"{name}, weight of layer {i}": weights[i, 12]
        for i in range(2)
        for name, (_, weights, _) in runs.items()
    },
    columns=3,
    alt="Weights of both layers. Softmax: black and white, one is the other's negative. "
    "Sigmoids: gray everywhere. Raw logits: shapes of the ground and of the flower, in all "
    "shades of gray.",
)

# %% [markdown]
# In these pictures, black is a weight of 0 or less, and white is 1 or more.
#
# **Sigmoids average.** Each layer has a weight by itself, and nobody competes: if both layers show half of a color,
# the sum is right, too. The trace: gray weights everywhere, hardly a pixel that is decided. (Even if the IoU is good:
# above one half is not the same as decided.)
#
# **Raw logits earn by being negative.** A weight below 0 *subtracts* a layer, so a layer can be of use by being
# wrong in the right way. Layers turn into correction terms of each other. The trace: negative weights, a lower PSNR,
# and weights that *paint*: you see the picture in them, shape by shape, instead of who is where.
#
# That is why the weights sum to one, and are positive. It makes the blend an average: it lies between the layers' colors,
# nobody can subtract, and what one layer gains, another one loses. So they compete. (Between two colors is not yet *near*
# one of them. That gap will show at the end of this chapter.)

# %% [markdown]
# **Twins.** Start both layers from the *same* weights. The gradient of the colors is $\alpha_i g$, and both alphas
# are one half. What will break the tie?

# %%
twins = Mixed(ways["softmax"])
with torch.no_grad():
    for weight in twins.parameters():  # every one is [layers, ...]
        weight[1] = weight[0]
train(twins, steps=150)
_, weights, twins_db = shown_by(twins)
print(f"twins: {twins_db:.1f} dB, alpha {weights.min():.3f} to {weights.max():.3f}")
assert weights.min() > 0.45 and weights.max() < 0.55

# %% [markdown]
# Nothing will. Equal colors make $c_i - \hat y = 0$, so the logits are told nothing, and equal layers get equal
# gradients forever. Its trace: **alpha is one half everywhere**, two layers that do the work of one. Random starts are
# not a detail, they are what makes layers different at all.

# %% [markdown]
# **A layer too few.** One layer can follow one motion and must repaint the rest in every frame. How bad that is depends
# on how far the rest moves. The same clip at a twelfth of its speed, at a third, and as it is, 24 frames each; three
# seeds, measured before.

# %%
speeds = tables.read("layers.csv")
figure, place = figures.axes(
    alt="Dots over three speeds. One layer falls steeply with speed. Two layers stay high, "
    "but for one run at the lowest speed, which is below the runs of one layer.",
    size=(6, 3.2),
)
gaps = {}
for n, color in ((1, "orange"), (2, "blue")):
    some = [row for row in speeds if row["layers"] == n]
    x, y = [row["speed"] for row in some], [row["psnr_db"] for row in some]
    place.semilogx(x, y, "o", color=plots.PALETTE[color], alpha=0.7)
    place.text(1.15, y[0], f"{n} layer" + "s" * (n > 1), va="center")
    for speed in sorted(set(x)):
        gaps.setdefault(speed, []).append(
            sum(b for a, b in zip(x, y, strict=True) if a == speed) / 3
        )
place.set(xlabel="speed of all motions", ylabel="quality [dB RGB PSNR]", xlim=(0.06, 2))
place.set_xticks([1 / 12, 1 / 3, 1], ["1/12", "1/3", "1"])
place.minorticks_off()
figure

# %%
for speed, (one_layer, two_layers) in gaps.items():
    print(f"speed {speed:.2f}: two layers are ahead by {two_layers - one_layer:.1f} dB")
slow, fast = min(gaps), max(gaps)
assert gaps[fast][1] - gaps[fast][0] > gaps[slow][1] - gaps[slow][0] + 3

# %% [markdown]
# Slow motion hides a missing layer: what crawls can be repainted. Fast motion shows it. Its trace is the one you
# know from chapter 04, a smear along the motion of whatever was not followed.
#
# And look at the lonely dot at the lowest speed. That run has *two* layers and is worse than one. Where nothing moves
# much, motion gives the layers little reason to become two different things, and once they have shared the picture
# in a wrong way, no gradient tells the losers. Layers live on motion.

# %% [markdown]
# ## One layer too many: a ghost
#
# Last, three layers for two motions. PSNR first.

# %%
THREE = ModelConfig(layers=3, width=30, highest_frequency=12.0)
_, crowd = fitted(THREE)
crowd_db = psnr_db(frames, crowd.rgb)
found = float(object_iou(crowd.alpha, mask))
print(f"three layers: {crowd_db:.1f} dB, IoU {found:.2f}; two layers: {two_db:.1f} dB")
assert crowd_db > one_db + 8

# %% [markdown]
# By that number, no harm done. Now look at the layers.

# %%
figures.layers_figure(crowd, frame=12)

# %% [markdown]
# Two or three layers share the ground, in patches and in halftones. Their blend is right, but *none of them is the
# ground*. Each of these is a **ghost**: pale shapes, things missing, wrong colors that another one corrects. The loss
# cannot object. It only ever saw the blend.
#
# PSNR does not see that, and IoU only asked for the flower. So measure what you want: how good is a layer **alone, in its
# own region**, at the pixels where it is seen?

# %% [markdown] tags=["exercise"]
# ### Exercise 5.4: Alone in its own region
#
# *`alone_db` · difficulty 2 of 3 · 10 minutes*
#
# Return the PSNR [dB] of one layer's own color against the clip, only over the pixels where its alpha is above one half.
# `color` and `frames` are 8-bit, `[time, height, width, 3]`, `alpha` is `[time, height, width]`. Take one mean over
# all these pixels and channels.


# %% tags=["stub"]
def alone_db(color, alpha, frames):
    """PSNR of a layer's own color where it is seen [dB]."""
    ...  # your code here


alone_db = check(alone_db)

# %% [markdown] tags=["hint"]
# `own = alpha > 0.5` is a mask. `color[own]` are the colors of these pixels only, `[pixels, 3]`. Beware of
# subtracting 8-bit numbers (chapter 01).

# %% [markdown] tags=["hint"]
# The mean of `(color[own].float() - frames[own].float()) ** 2`, then `10 * torch.log10(255**2 / mean)`.


# %% tags=["solution"]
def alone_db(color, alpha, frames):
    """PSNR of a layer's own color where it is seen [dB]."""
    own = alpha > 0.5
    error = ((color[own].float() - frames[own].float()) ** 2).mean()
    return 10 * torch.log10(255**2 / error)


# %% [markdown]
# What is a good value? Even the *true* layers do not reach infinity: on the outline a pixel is a mixture, and no layer
# alone is right. So the truth is the yardstick.


# %%
def report_alone(name, layer_rgb, alphas):
    """Every layer alone, beside the blend at the same pixels; the results of the layers."""
    blended = (alphas[..., None] * layer_rgb).sum(dim=0).round().clamp(0, 255)
    results = []
    for i, (color, share) in enumerate(zip(layer_rgb, alphas, strict=True)):
        if (share > 0.5).any():
            results.append(float(alone_db(color, share, frames)))
            together = float(alone_db(blended, share, frames))
            of = f"seen in {(share > 0.5).float().mean():4.0%}, alone {results[-1]:.1f} dB"
            print(f"{name}, layer {i}: {of}, the blend there {together:.1f} dB")
    return results


true_layers = torch.from_numpy(scene.layers)
true_alone = report_alone("truth", true_layers, torch.stack([~mask, mask]).float())
two_alone = report_alone("two", rendering.layer_rgb, rendering.alpha)
crowd_alone = report_alone("three", crowd.layer_rgb, crowd.alpha)
assert min(two_alone) > min(true_alone) - 5
ground_players = [
    db for i, db in enumerate(crowd_alone) if i != crowd.alpha[:, mask].mean(1).argmax()
]
assert min(ground_players) < true_alone[0] - 3

# %% [markdown]
# The two layers stand alone nearly as well as the true ones. The ghosts do not: alone they are several dB below the
# true ground, though the blend at the same pixels is fine.
#
# And taking the right number of layers is no insurance. Real clips do not tell how many motions they have, and you saw
# a run of two layers go wrong at low speed. So far, whether a layer becomes a thing or a ghost is left to chance,
# because the loss looks at the blend only. **What if it looked at each layer, too?** That is chapter 06.

# %% [markdown]
# ## Recap
#
# * A pixel is $\hat y = \sum_i \alpha_i c_i$; alphas are a softmax over the *layers* of one logit each.
# * Soft alphas show soft edges, and they have a slope, so they can be learned.
# * $\partial L/\partial c_i = \alpha_i\,g$ and $\partial L/\partial a_i = \alpha_i\langle g, c_i - \hat y\rangle$:
#   a layer that has lost a pixel learns next to nothing from it.
# * Which layer is the object is up to the seed. Compare by the best match: IoU under permutation.
# * With two motions, a second layer is worth more than 8 dB at equal bytes, and the object comes with it.
# * Weights that do not sum to 1 make layers corrections of each other; equal starts stay equal.
# * A layer that is right only together with another one is a ghost. Measure each one alone, in its own region.

# %%
progress()

# %% [markdown]
# ## Questions
#
# 1. Why do the weights sum to one? Name what breaks without it.
# 2. What happens to learning at a pixel when one alpha is nearly 1? What is good about it, what is bad?
# 3. You add 3 to the logits of both layers, everywhere. What changes?
# 4. A pixel of blue sky has alpha 0.5 and 0.5, and its color is right. Is that a failure?
# 5. Two runs with different seeds have the flower in layer 0 and in layer 1. Their IoU is the same. Which one is
#    right?

# %% [markdown] tags=["answer"]
# 1. So that the blend is an average, between the layers' colors: nobody can subtract, and what one layer gains in
#    share another one loses, so layers compete. Without it, raw weights become negative and layers correct each
#    other, or (sigmoids) all of them show a part of everything.
# 2. All gradients of the other layers there are small, since each has the factor $\alpha_i$. Good: they keep what
#    they know and spend no weights on the pixel. Bad: if the decision was wrong, it takes very long to change.
# 3. Nothing. The softmax sees only differences between layers.
# 4. No. If both layers show the same blue, every share is right; $c_i - \hat y = 0$, so no gradient will ever
#    decide it.
# 5. Both. Exchanging the layers changes no pixel.

# %% [markdown]
# ## Further reading
#
# * CoordFlow, arXiv 2501.00975, section 3: layers, alpha and the blend.
# * Porter and Duff, *Compositing Digital Images*, SIGGRAPH 1984: where alpha comes from, with an order of layers.
# * Wang and Adelson, *Representing Moving Images with Layers*, IEEE Transactions on Image Processing 1994: a
#   video as a few moving layers, thirty years before this course.
# * Jacobs, Jordan, Nowlan and Hinton, *Adaptive Mixtures of Local Experts*, Neural Computation 1991: a softmax that
#   decides which network learns from which example.
# * `coordflow_mini/model.py`: `Blend`, three lines.
