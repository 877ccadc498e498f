# %% [markdown]
# # 02 · Videos as functions: one more input, and its price
#
# **Time.** About 60 minutes to read and do. Running all cells, measured: 30 s on 2 CPU cores.
#
# Chapter 01 kept an image in the weights of a network. Give that network one more input, the time, and it
# keeps a whole video. This chapter builds that network. Every later chapter is compared with it. You will
# also find its weak spot: it pays dearly for anything that moves.

# %% [markdown]
# ## What you will be able to do
#
# * Turn a pixel of a video into a point $(x, y, t)$, the way the whole course does it.
# * Train a network on random pixels of a clip, and say why they must be random.
# * Count a network's weights, and give its size in nominal bytes and in bits per pixel.
# * Read an $x$–$t$ slice: see in one picture what moves, where to, and what that costs.
# * Recognize two failures by their traces: a time that the network cannot see, frames shown in order.
#
# **You need:** Python, a little PyTorch, and from chapter 01 the Fourier features and the PSNR. Both
# are recalled where they are needed.

# %%
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.coords import frame_times, pixel_grid, pixel_points
from coordflow_mini.course import check, predict, progress, setup
from coordflow_mini.course.lesson import figures, plain
from coordflow_mini.course.lesson.watching import watch
from coordflow_mini.draws import key_of
from coordflow_mini.measure.metrics import bits_per_pixel, frame_psnr_db, psnr_db
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.model import (
    CoordFlow,
    Sine,
    fourier_features,
    octave_frequencies,
    spiral_frequencies,
)
from coordflow_mini.ops.run import fit
from coordflow_mini.render import render, to_uint8
from coordflow_mini.sampling import random_pixels
from coordflow_mini.show import plots, widgets
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video

here = setup(chapter=2)

# %% [markdown]
# ## Predict
#
# Here are two clips of 24 frames. In the first, a camera pans over a pattern. The second is the first
# frame of it, 24 times: a video in which nothing ever happens.

# %%
pan = scenes.pan().video
still = Video(np.repeat(pan.frames[:1], 24, axis=0), pan.fps, name="still")
figures.frames_strip(pan)

# %% [markdown]
# You will train the same network on either clip, with as many weights and as many steps. The quality is
# measured as PSNR in dB, higher is better: 10 dB less means ten times the mean squared error. Nearly
# everything that the pan ever shows is in its first frame already. How many dB does it lose against the
# still clip? Put a number in place of the three dots.

# %%
still_or_pan = predict(
    "still_or_pan",
    "Still against pan, the same network: how many dB lower is the pan's PSNR?",
    unit="dB",
    answer=...,
)

# %% [markdown]
# ## The idea: a video is a function
#
# A video file answers one question: *which color has this pixel of this frame?* Three numbers go in, three
# come out. So a video is a function
#
# $$(x, y, t) \mapsto (r, g, b),$$
#
# * $x$ and $y$ say where in the picture, $t$ says when,
# * $r$, $g$, $b$ are red, green and blue, from 0 to 1.
#
# A network is a function as well, and its weights say which one. Change the weights until it gives the
# right color at every pixel, and **the weights are the video**: no frame is stored anywhere. To decode,
# ask the network for every pixel. The paper calls this a **pixel-wise** representation, in contrast to
# **frame-wise** networks, which take $t$ alone and draw a whole frame (CoordFlow, arXiv 2501.00975,
# section 1).

# %% [markdown]
# ### Where is a pixel?
#
# A pixel has a frame, a row and a column. A network wants numbers of a moderate size. This course has one
# convention for that, and nothing in it may be left to chance: later, pictures will be turned and shifted.
#
# * $x$ points to the right, $y$ points **down**, zero is in the **middle** of the picture.
# * Both have **one unit: half the larger side**. So $x$ runs from −1 to 1 in a picture that is wider than
#   high, and $y$ does not get as far. A square stays a square.
# * A pixel is where its **center** is, half a pixel from its corner.
# * $t$ runs from −1 at the first frame to 1 at the last one.
#
# Here are the 24 pixels of a picture of 4 rows and 6 columns. The dots are their points $(x, y)$.

# %%
tiny = scenes.pan(height=4, width=6).video
x, y = pixel_grid(4, 6).T
figure, place = figures.axes(
    alt="A picture of 4 by 6 pixels on axes: x from -1 to 1 to the right, y from -0.67 "
    "to 0.67 downwards, one dot in the middle of each pixel. The first: (-0.83, -0.50).",
    size=(7.4, 4.9),
)
place.imshow(tiny.frames[0], extent=(-1, 1, 4 / 6, -4 / 6))
place.plot(x, y, "o", color="white", markeredgecolor="black")
for corner in (0, 5, 18, 23):
    text = f"({x[corner]:.2f}, {y[corner]:.2f})"
    place.annotate(
        text, (x[corner], y[corner] + 0.08), color="white", ha="center", va="top"
    )
place.grid(False)
place.set(xlabel="x", ylabel="y, downwards")
figure

# %% [markdown] tags=["exercise"]
# ### Exercise 2.1: From a pixel to a point
#
# *`pixel_to_point` · difficulty 2 of 3 · 12 minutes*
#
# Return the points $(x, y, t)$ of pixels as one tensor `[..., 3]`. `frame`, `row` and `column` are tensors
# of one shape, so a single call serves a million pixels; you calculate with them as with numbers. All
# three count from 0. `size` is `(time, height, width)`: how many frames, rows and columns the clip has.
#
# Mind the order: a pixel is `clip[frame, row, column]`, its point is $(x, y, t)$.


# %% tags=["stub"]
def pixel_to_point(frame, row, column, size):
    """(x, y, t) of the pixels clip[frame, row, column], [..., 3]."""
    ...  # your code here


pixel_to_point = check(pixel_to_point)

# %% [markdown] tags=["hint"]
# Do $x$ first. The center of a column is at `column + 0.5` pixels from the left edge. How far is that from
# the middle of the picture, in pixels? And in units of half the larger side?

# %% [markdown] tags=["hint"]
# $y$ is the same with `row` and `height`, divided by the **same** unit. For $t$: from the first to the
# last frame there are `time - 1` steps, and they cover the 2 units from −1 to 1.

# %% [markdown] tags=["hint"]
# `torch.stack([x, y, t], dim=-1)` puts three tensors side by side, as the last axis.


# %% tags=["solution"]
def pixel_to_point(frame, row, column, size):
    """(x, y, t) of the pixels clip[frame, row, column], [..., 3]."""
    time, height, width = size
    unit = max(height, width) / 2
    x = (column + 0.5 - width / 2) / unit
    y = (row + 0.5 - height / 2) / unit
    t = 2 * frame / (time - 1) - 1
    return torch.stack([x, y, t], dim=-1)


# %% [markdown]
# The library has the same in two functions, `coords.pixel_points` for $(x, y)$ and `coords.frame_times`
# for $t$. All 147,456 pixels of the clip must come out equal.

# %%
clip = torch.from_numpy(pan.frames)  # uint8 [time, height, width, 3]
size = time, height, width = clip.shape[:3]
frame, row, column = torch.meshgrid(*map(torch.arange, size), indexing="ij")
points = pixel_to_point(frame, row, column, size)  # [time, height, width, 3]
assert torch.allclose(points[..., :2], pixel_points(column, row, height, width), atol=1e-6)
assert torch.allclose(points[:, 0, 0, 2], frame_times(time), atol=1e-6)
print(f"{points[..., 0].numel():,} pixels, by hand and by the library: equal")
for name, point in (("first", points[0, 0, 0]), ("last", points[-1, -1, -1])):
    print(f"{name} pixel: x {point[0]:.3f}, y {point[1]:.3f}, t {point[2]:.3f}")

# %% [markdown]
# ## Build: a batch of random pixels
#
# Training goes in steps, and every step looks at a **batch** of examples: here some thousand pixels, each
# with its point (what goes in) and its color (what should come out). Which pixels? **Random ones, from
# all frames.** Then every batch is a small, fair picture of the entire clip.
#
# This is all that a network sees of four frames in one step:

# %%
BATCH = 6144  # as many pixels as one frame has
everything = clip.view(-1, 3)  # [all pixels, 3], in reading order
index = torch.randint(len(everything), (BATCH,))
seen = torch.full_like(everything, 255)
seen[index] = everything[index]
seen = seen.view(clip.shape)
figures.pictures(
    {f"frame {i}": seen[i] for i in (0, 8, 16, 23)},
    alt="Four frames, white but for a few pixels in their colors, scattered at random.",
)

# %% [markdown]
# About one pixel in 24 is drawn. `clip.view(-1, 3)` put all pixels into one long list, in **reading
# order**: the first row from left to right, then the second row, and after the last row the next frame.
# So one random integer is enough to say which pixel is meant. You need the way back: from the place in the
# list to frame, row and column.

# %% [markdown] tags=["exercise"]
# ### Exercise 2.2: Sample pixels
#
# *`sample_pixels` · difficulty 2 of 3 · 12 minutes*
#
# `clip` is uint8 `[time, height, width, 3]`, `index` holds places in reading order. Return one row for
# each of them, $(x, y, t, r, g, b)$, as a tensor `[pixels, 6]`. Colors run from 0 to 1. Use your
# `pixel_to_point`.


# %% tags=["stub"]
def sample_pixels(clip, index):
    """(x, y, t, r, g, b) of pixels given by their place in reading order, [pixels, 6]."""
    ...  # your code here


sample_pixels = check(sample_pixels)

# %% [markdown] tags=["hint"]
# Think of minutes and seconds: 200 seconds are `200 // 60` minutes and `200 % 60` seconds. Here a row has
# `width` pixels, and a frame has `height * width`.

# %% [markdown] tags=["hint"]
# The column is `index % width`. `index // width` counts rows from the beginning of the clip; what is left
# of it after whole frames is the row. The frame is `index // (height * width)`.

# %% [markdown] tags=["hint"]
# `clip[frame, row, column]` looks all colors up at once, `[pixels, 3]`, uint8. Divide by 255, then
# `torch.cat([points, colors], dim=-1)`.


# %% tags=["solution"]
def sample_pixels(clip, index):
    """(x, y, t, r, g, b) of pixels given by their place in reading order, [pixels, 6]."""
    time, height, width, _ = clip.shape
    frame = index // (height * width)
    row = index // width % height
    column = index % width
    point = pixel_to_point(frame, row, column, (time, height, width))
    return torch.cat([point, clip[frame, row, column] / 255], dim=-1)


# %% [markdown]
# The library's `sampling.random_pixels` draws for itself, equally many pixels from each frame. What it drew
# stands in `batch.indices`, the pixel's index *within* a frame, and `batch.frames`. Looked up by hand, these pixels
# must have the same points and colors.

# %%
batch = random_pixels(clip, BATCH, key_of(seed=0, step=0), torch.arange(time))
index_in_clip = batch.indices + batch.frames[:, None] * height * width  # [frames, pixels]
rows = sample_pixels(clip, index_in_clip.flatten())  # [frames * pixels, 6]
assert torch.allclose(rows[:, :2], batch.points.flatten(0, 1), atol=1e-6)
assert torch.allclose(rows[:, 3:], batch.color.flatten(0, 1), atol=1e-6)
print(f"{len(rows)} pixels, {batch.indices.shape[1]} from each frame: all are equal")

# %% [markdown]
# ## Build: the plain network
#
# The network of chapter 01, with time. Its inputs:
#
# * $x$ and $y$ as the sines and cosines of 24 plane waves, 48 numbers. These are the Fourier features
#   that let a network see fine detail.
# * $t$ itself, and the sines and cosines of 3 waves in time, 7 numbers.
#
# So 55 numbers go in. Three hidden layers follow, each a linear map and a sine. Four numbers come out:
# three for the color, plus 0.5, so that a fresh network shows gray. The fourth becomes important in
# chapter 05; until then it does nothing.


# %%
WIDTH = 32  # numbers in a hidden layer
config = ModelConfig(motion="none", layers=1, width=WIDTH)  # the plain network
waves = spiral_frequencies(24, config.lowest_frequency, config.highest_frequency)  # [2, 24]
octaves = octave_frequencies(3)  # [1, 3]: π/2, π and 2π radians per unit of t


def features(points):
    """What the network sees of points (x, y, t), [pixels, 55]."""
    place, t = points[:, :2], points[:, 2:]
    return torch.cat(
        [fourier_features(place, waves), t, fourier_features(t, octaves)], dim=-1
    )


def plain_network(sizes):
    """Linear layers of these sizes with sines between them."""
    network = nn.Sequential()
    for inputs, outputs in pairwise(sizes):
        network.extend([nn.Linear(inputs, outputs), Sine()])
    return network[:-1]  # no sine at the end


# %% [markdown]
# Is this the library's network? Give it the library's weights and compare. `library.layer(0)` hands the
# library's layer out as plain PyTorch modules, so that the weights fit. (In a fresh model the weights of
# time are zero: it starts as a still picture. For a fair comparison they are made random first.)

# %%
library = CoordFlow(config)
nn.init.normal_(library.color.time_weight)
network = plain_network([55, WIDTH, WIDTH, WIDTH, 4])
network.load_state_dict(library.layer(0).color.state_dict())
with torch.no_grad():
    mine = network(features(rows[:, :3]))[:, :3] + 0.5
    theirs = library(batch.points, frame_times(time)[batch.frames]).rgb.flatten(0, 1)
apart = (mine - theirs).abs().max()
assert apart < 1e-3
print(f"{len(mine)} colors, by hand and by the library: at most {apart:.0e} apart")

# %% [markdown]
# ## Build: the loop
#
# Draw pixels, ask the network, take the mean squared error, step downhill. That is the entire encoder:
# `backward` finds out how the error depends on each weight, `optimizer.step` moves each weight a little the
# way that makes the error smaller.


# %%
def train(draw, steps):
    """A plain network trained on pan; draw(step) gives the places of a batch."""
    torch.manual_seed(here.seed)
    network = plain_network([55, WIDTH, WIDTH, WIDTH, 4])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(steps):
        rows = sample_pixels(clip, draw(step))
        color = network(features(rows[:, :3]))[:, :3] + 0.5
        error = (color - rows[:, 3:]).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    return network


@torch.no_grad()
def decode(network):
    """Every pixel of every frame, uint8 [time, height, width, 3]."""
    color = network(features(points.reshape(-1, 3)))[:, :3] + 0.5
    return to_uint8(color).view(clip.shape)


# %%
STEPS = here.pick(cpu=300, gpu=1000)
by_hand = decode(train(lambda step: torch.randint(len(everything), (BATCH,)), STEPS))
by_hand_db = psnr_db(pan.frames, by_hand)
print(f"your own loop: {by_hand_db:.1f} dB")
assert by_hand_db > 21

# %% [markdown]
# The library's `fit` is this loop with a better optimizer, a learning rate that falls towards the end, and
# equally many pixels from each frame. Watch it work: the view below comes alive in the cell after it.

# %%
view = watch(pan, layers=0)  # 0: there are no layers to show yet
view


# %%
def fitted(video, on_step=None, **shape):
    """A plain network of this shape fitted to a video, and the video that it decodes to."""
    result = fit(
        video,
        ModelConfig(motion="none", layers=1, **shape),
        FitConfig(steps=STEPS, seed=here.seed),
        device=here.device,
        on_step=on_step,
    )
    rgb = render(result.model, frame_times(video.time), video.height, video.width).rgb
    return result.model, Video(rgb.numpy(), video.fps, name="decoded")


model, decoded_pan = fitted(pan, on_step=view, width=WIDTH)
pan_db = psnr_db(pan.frames, decoded_pan.frames)
print(f"{model}: {pan_db:.1f} dB")
assert pan_db > 24

# %% [markdown]
# Your lines from above decode what the library has learned. That is all there is to a decoder:

# %%
network.load_state_dict(model.layer(0).cpu().color.state_dict())
by_my_decoder = decode(network)
off = (by_my_decoder.int() - torch.from_numpy(decoded_pan.frames).int()).abs().max()
assert off <= 1  # gray levels: two ways of rounding
print(f"decoded by hand and by the library: at most {off} of 255 gray levels apart")

# %% [markdown]
# ### What does it weigh?
#
# The video is now a list of weights. How they become the bytes of a file is a story of its own, chapter
# 08. Until then the course counts **nominal bytes**: 6 bits for each weight, 8 bits in a byte,
#
# $$\text{nominal bytes} = \text{weights} \cdot 6 / 8 .$$
#
# Why 6? Coarser than 32-bit floats by far, and yet precise enough to keep the quality; chapter 08
# tries it out with real files. To compare clips of any size, divide by the number of pixels. **Bits per pixel**
# are
#
# $$\text{bpp} = \frac{8 \cdot \text{bytes}}{\text{time} \cdot \text{height} \cdot \text{width}} .$$
#
# A pixel counts once, not once for each of its three colors. Raw video has 24 bpp.

# %% [markdown] tags=["exercise"]
# ### Exercise 2.3: Nominal bytes
#
# *`nominal_bytes` · difficulty 1 of 3 · 8 minutes*
#
# `sizes` lists how many numbers go into the network, stand in each hidden layer, and come out, such as
# `[55, 32, 32, 32, 4]`. Return the nominal bytes of all its weights. From one size to the next there is a
# linear layer: each number that comes out is the sum of all that go in, each times a weight, plus one more
# weight, its **bias**.


# %% tags=["stub"]
def nominal_bytes(sizes):
    """Bytes of a network's weights at 6 bits each."""
    ...  # your code here


nominal_bytes = check(nominal_bytes)

# %% [markdown] tags=["hint"]
# By hand for the first layer, 55 to 32: each of the 32 outputs has 55 weights and a bias, so there are
# 32 · 56 = 1,792.

# %% [markdown] tags=["hint"]
# `pairwise(sizes)` gives the pairs (55, 32), (32, 32), (32, 32), (32, 4). Sum over them, then think of bits
# and bytes.


# %% tags=["solution"]
def nominal_bytes(sizes):
    """Bytes of a network's weights at 6 bits each."""
    weights = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
    return weights * 6 / 8


# %%
size_in_bytes = nominal_bytes([55, WIDTH, WIDTH, WIDTH, 4])
assert size_in_bytes == model.parameter_count * 6 / 8
print(f"{model.parameter_count:,} weights, {size_in_bytes:,.0f} nominal bytes")
print(f"{bits_per_pixel(size_in_bytes, pan):.3f} bpp at {pan_db:.1f} dB; raw: 24 bpp")

# %% [markdown]
# ## Look: what is lost
#
# The original, what the network made of it, and their difference. Play it, or move the slider with the
# arrow keys. Which places are wrong? Do they stay where they are?

# %%
widgets.scrub([pan, *plots.panels(pan, decoded_pan)[1:]])

# %% [markdown]
# Blurred everywhere, and the edges of all shapes are in the error. Now the same network on the still clip.

# %%
_, decoded_still = fitted(still, width=WIDTH)
still_db = psnr_db(still.frames, decoded_still.frames)
lost_db = still_db - pan_db
print(f"still {still_db:.1f} dB, pan {pan_db:.1f} dB: {lost_db:.1f} dB lost")
assert 7 < lost_db < 14
still_or_pan.compare(
    round(lost_db, 1),
    "Nothing new appears, yet the mean squared error is about ten times as large.",
    within=2,
)

# %% [markdown]
# Ten times the error is a lot for a camera that moves a little. Why is it so expensive? The next picture
# says it.
#
# ### The $x$–$t$ slice
#
# Take **one row** of pixels, row 20, cut it out of every frame, and stack the strips from the first frame
# down to the last one. That is a slice through the block of pixels that a video is: $x$ goes to the right,
# time goes **down**.


# %%
def show_slices(shown, alt, row=20):
    """One row of each clip over time, side by side."""
    figure, places = figures.axes(1, len(shown), alt=alt, size=(9, 2.5))
    for place, (title, frames) in zip(places, shown.items(), strict=True):
        place.imshow(frames[:, row], aspect="auto", interpolation="nearest")
        place.grid(False)
        place.set_title(title, loc="left", fontsize=9)
        place.set(xlabel="column", ylabel="frame")
    return figure


show_slices(
    {"still": still.frames, "pan": pan.frames},
    alt="Two slices. Still: straight vertical stripes. Pan: the same stripes, slanted to "
    "the right and bent.",
)

# %% [markdown]
# *Still*: straight stripes. *Pan*: slanted ones. **One slanted stripe is one color that moves.** You see
# that at once. But the network has no word for "the same, somewhere else". It sees a function of three
# numbers, and for that function a slanted stripe is new detail in $t$: at one fixed place, every stripe that
# passes is a change.

# %%
light = {name: v.frames[:, 20, 60].mean(-1) for name, v in (("still", still), ("pan", pan))}
figures.lines(
    light,
    across="frame",
    up="brightness of one pixel [0 to 255]",
    alt="The brightness of one pixel over 24 frames: constant in the still clip, up and "
    "down in the pan.",
)

# %% [markdown]
# At this one pixel the still clip is a constant; the pan is a curve with hills and valleys, and there is
# another curve for every other pixel. The network has to learn them all, from weights that are no more than
# before. What it makes of the two slices:

# %%
show_slices(
    {
        f"still, decoded, {still_db:.1f} dB": decoded_still.frames,
        f"pan, decoded, {pan_db:.1f} dB": decoded_pan.frames,
    },
    alt="The same two slices after decoding: the straight stripes are crisp, the slanted "
    "ones are blurred and broken.",
)

# %% [markdown]
# Slices are worth some practice. Here are four other clips. All of them begin with the same row.

# %%
riddle = plain.slice_riddle(pan.frames[0, 20])
show_slices(
    {name: part[:, None] for name, part in riddle.items()},
    alt="Four slices. A: stripes go to the left on their way down. B: vertical stripes are "
    "crossed by dark and light bands. C: stripes fan out. D: stripes go to the right.",
    row=0,
)

# %% [markdown] tags=["exercise"]
# ### Exercise 2.4: Which clip is this slice?
#
# *`which_slice` · difficulty 1 of 3 · 5 minutes*
#
# In one of the four clips the content moves to the left, in one it moves to the right, one zooms in, one
# flickers. Put `"moves left"`, `"moves right"`, `"zooms in"` or `"flickers"` behind each letter.

# %% tags=["stub"]
which_slice = ...  # {"A": "...", "B": "...", "C": "...", "D": "..."}

which_slice = check(which_slice, "which_slice")

# %% [markdown] tags=["hint"]
# Put a finger onto a stripe at the top edge, the first frame, and follow it down. Where has it gone when
# the clip ends?

# %% tags=["solution"]
which_slice = {"A": "moves left", "B": "flickers", "C": "zooms in", "D": "moves right"}

# %% [markdown] tags=["solution"]
# A steeper stripe is a slower motion: D moves faster than A. A zoom moves what is on the left to the left,
# and what is on the right to the right.

# %% [markdown]
# ## Experiment: what does motion cost?
#
# The pan is worse at equal weights. So give it more. With 32 numbers in each hidden layer the still clip
# was good already; narrower networks will do for it. Networks of which size does the pan need, to be as
# good?

# %%
times_as_many = predict(
    "times_as_many",
    "To be as good as the still clip, the pan needs ... times as many weights.",
    unit="times",
    answer=...,
)

# %%
found = {"still": {WIDTH: still_db}, "pan": {WIDTH: pan_db}}  # clip -> width -> dB


def try_widths(name, video, widths):
    """Fit networks of these widths and note their PSNR."""
    for wide in widths:
        _, decoded = fitted(video, width=wide)
        found[name][wide] = psnr_db(video.frames, decoded.frames)
        print(f"{name:5s} width {wide:2d}: {found[name][wide]:.1f} dB")


try_widths("still", still, (12, 16, 24))

# %%
try_widths("pan", pan, (16, 64, 96))

# %% [markdown]
# Quality over rate, one curve for each clip: the picture by which all compression is judged. Up and to the
# left is better. The horizontal axis is logarithmic: equal distances are equal factors.


# %%
def rate_point(name, wide, quality):
    """One trained network as a point: its bits per pixel and its PSNR."""
    size = nominal_bytes([55, wide, wide, wide, 4])
    return RatePoint(name, name, round(size), bits_per_pixel(size, pan), quality)


ladder = {
    name: [rate_point(name, *run) for run in sorted(runs.items())]
    for name, runs in found.items()
}
plots.rate_quality(ladder["still"] + ladder["pan"], ours="pan")

# %%
LEVEL = 31  # dB
needed = {}
for name, run in ladder.items():
    logs = np.log([point.bytes for point in run])
    needed[name] = np.exp(np.interp(LEVEL, [point.psnr_db for point in run], logs))
    print(f"{name:5s} reaches {LEVEL} dB with about {needed[name]:,.0f} nominal bytes")
factor = needed["pan"] / needed["still"]
assert 5 < factor < 16
times_as_many.compare(
    round(factor),
    "For a network of (x, y, t), the same picture somewhere else is another picture.",
    within=3,
)

# %% [markdown]
# Five to sixteen times the bytes, depending a little on how long you train, for a camera that moves a
# little. And a person needs only a sentence to tell the difference between the clips: *the same picture lies somewhere else.* How to say that to a network in four
# numbers per frame is chapter 03. How a network finds those numbers is chapter 04. All that follows in this
# course starts here.

# %% [markdown]
# ## Break it: two failures and their traces
#
# **A time that the network cannot see.** The network got $t$ in two ways: as it is, and as sines and
# cosines. Is the second one needed? Leave it out, and only the plain number is left. First on the pan.

# %%
_, without = fitted(pan, width=WIDTH, time_frequencies=0)
without_db = psnr_db(pan.frames, without.frames)
print(f"pan, with 3 waves of t {pan_db:.1f} dB, without {without_db:.1f} dB")
assert abs(pan_db - without_db) < 2.5

# %% [markdown]
# Hardly a difference: the pan changes slowly. A test on this clip would have missed the failure. So take a
# clip that changes fast: the still picture as an old film, whose lamp **flickers**.

# %%
lamp = 0.5 + 0.5 * torch.rand(24, generator=torch.Generator().manual_seed(2)).numpy()
flicker = Video(
    (still.frames * lamp[:, None, None, None]).astype(np.uint8),
    still.fps,
    name="flicker",
)
figures.frames_strip(flicker)

# %%
what_flicker = predict(
    "what_flicker",
    "Trained on the flicker with t alone, no waves of t, the network shows ...",
    choices=["the flicker", "a constant brightness", "only noise"],
    answer=...,
)

# %%
decoded = {}
for octaves_now in (0, 5):
    _, decoded[octaves_now] = fitted(flicker, width=WIDTH, time_frequencies=octaves_now)
bright = {
    "original": flicker.frames.mean((1, 2, 3)),
    "t alone": decoded[0].frames.mean((1, 2, 3)),
    "t and 5 waves": decoded[5].frames.mean((1, 2, 3)),
}
swing = {name: values.std() for name, values in bright.items()}
assert swing["t alone"] < 0.4 * swing["original"] < swing["t and 5 waves"]
what_flicker.compare(
    "a constant brightness",
    "It cannot tell one frame from the next, and the mean is the best answer to both.",
)
figures.lines(
    bright,
    across="frame",
    up="mean brightness [0 to 255]",
    alt="The original jumps up and down from frame to frame. With t alone, brightness is "
    "nearly constant; with five waves it follows the original.",
)

# %% [markdown]
# The trace: everything is there, in the right place, but fast changes are **averaged away**. The mean
# squared error is what does it: whoever cannot tell two moments apart and must give one answer for both does
# best with their average. (The same happens in space: chapter 01 showed the blur.) In the slice, flicker is
# a pattern of bands:

# %%
show_slices(
    {
        "original": flicker.frames,
        "t alone": decoded[0].frames,
        "t and 5 waves": decoded[5].frames,
    },
    alt="Three slices with straight stripes. The original is crossed by dark bands; with t "
    "alone there are no bands; with five waves they are back.",
)

# %%
loss = psnr_db(flicker.frames, decoded[5].frames) - psnr_db(
    flicker.frames, decoded[0].frames
)
print(f"t alone costs {loss:.1f} dB on the flicker")
assert loss > 3

# %% [markdown]
# Why five waves? Look how often each of them turns while the clip goes from $t = -1$ to $t = 1$:

# %%
turns = octave_frequencies(5)[0] * 2 / (2 * np.pi)  # radians per unit, over 2 units
print("turns over the clip:", ", ".join(f"{turn:g}" for turn in turns.tolist()))
assert turns[2] == 2 and turns[4] == 8

# %% [markdown]
# The fifth turns 8 times in 24 frames, once in three. That is fast enough for a flicker. The first three,
# which the course's networks have, turn at most twice: enough for things that come, go, or change their
# light slowly. For such clips more waves would only cost weights.

# %% [markdown]
# **Frames in order.** Why random pixels? A video player goes through the frames one after the other, and it
# is tempting to train like that: a few steps on the first frame, a few on the second, up to the last. Each
# frame gets as many steps, and the network sees as many pixels as before. Only the order is another.

# %%
per_frame = STEPS / time
in_order = decode(
    train(lambda step: int(step / per_frame) * BATCH + torch.arange(BATCH), STEPS)
)
quality = {
    "random pixels": frame_psnr_db(pan.frames, by_hand),
    "frame after frame": frame_psnr_db(pan.frames, in_order),
}
assert quality["frame after frame"][-1] > quality["frame after frame"][0] + 8
assert np.ptp(quality["random pixels"]) < 6
figures.lines(
    quality,
    across="frame",
    up="quality [dB RGB PSNR]",
    alt="Random pixels: all frames about equally good. Frame after frame: far worse in the "
    "first frames, far better in the last.",
)

# %% [markdown]
# The last frame is better than ever, the first ones are ruined. Look at what the network shows at $t = -1$:

# %%
figures.pictures(
    {
        "first frame": pan.frames[0],
        "first frame, decoded": in_order[0],
        "last frame": pan.frames[-1],
    },
    alt="The decoded first frame shows the shapes where they are in the last frame.",
)

# %% [markdown]
# The trace: **every frame looks like the last one.** All frames share all weights, and a step that serves one
# frame is free to spoil the others, as nobody looks at them any more. This is known as *forgetting*. Random
# pixels cure it: each batch asks about all frames at once, so a step must serve all of them.

# %% [markdown]
# ## Recap
#
# * A video is a function $(x, y, t) \mapsto (r, g, b)$; a network that has learned it is the video.
# * $x$ to the right, $y$ down, at pixel centers, one unit for both: half the larger side. $t$ from −1 to 1.
# * Batches are random pixels of all frames; in order, the network forgets what it saw first.
# * Nominal bytes are weights · 6 / 8, bpp are 8 · bytes over the pixels of all frames.
# * In an $x$–$t$ slice motion is slant. The plain network pays for it as for new detail: on this clip about
#   10 dB at equal weights, or five to sixteen times the weights at equal quality.
# * What the network cannot tell apart in time it averages.

# %%
progress()

# %% [markdown]
# ## Questions
#
# 1. Why can a network that maps $(x, y, t)$ to RGB hold a video, although no frame is stored in it?
# 2. Why are the pixels of a batch drawn at random, and from all frames?
# 3. In the pan hardly anything new appears. Why does it cost so many more weights than the still clip?
# 4. A clip of 3 s at 25 frames/s, 160×90 pixels, is kept by a network of 20,000 weights. How many bpp?

# %% [markdown] tags=["answer"]
# 1. A video *is* a function from a place and a time to a color, and the weights choose one function out of all
#    those that the network can be. Decoding asks for the value at each pixel. It works with far fewer numbers
#    than pixels because neighbors in space and time are alike, and because the answer may be a little wrong.
# 2. A step improves what its batch asks about and is blind to the rest. A random batch is a fair sample of the
#    entire clip, so its gradient points, on average, where that of all pixels would. Consecutive frames pull
#    the shared weights to and fro, and the early ones are forgotten.
# 3. The network is a function of $x$, $y$ and $t$ and has no way to say "as before, but elsewhere". At a
#    fixed place a moving pattern is a signal that changes with $t$, another one at every place. The
#    slanted stripes of the slice are detail in both directions, straight ones in $x$ only.
# 4. 20,000 · 6 / 8 = 15,000 bytes; 75 frames of 14,400 pixels are 1,080,000 pixels;
#    8 · 15,000 / 1,080,000 ≈ 0.111 bpp.

# %% [markdown]
# ## Further reading
#
# * CoordFlow, arXiv 2501.00975, section 1: pixel-wise and frame-wise networks for video, and what each is
#   good for.
# * Chen et al., *NeRV: Neural Representations for Videos*, arXiv 2110.13903, abstract and section 1: the
#   frame-wise way. $t$ alone goes in, a whole frame comes out, and that is much faster.
# * Sitzmann et al., *Implicit Neural Representations with Periodic Activation Functions* (SIREN),
#   arXiv 2006.09661: among its experiments, a video as a function of three coordinates.
# * `coordflow_mini/coords.py`: the convention of this chapter, in one place.
