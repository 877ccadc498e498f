# %% [markdown]
# # 00 · Welcome: a video in eighteen kilobytes
#
# **Time.** About 45 minutes to read and do. Running all cells, measured: 19 s on 2 CPU cores.
#
# You open a file of 18 kB, watch four seconds of film come out of it, and take the film apart into
# layers. Then you walk the whole path yourself, from a clip to a file and back, in ten lines. The
# chapters after this one build every step of that path from scratch.

# %% [markdown]
# ## What you will be able to do
#
# * Decode a `.cfv` file, scrub through the video, and switch its layers off.
# * Say how small a file is: bits per pixel, and how many times smaller than the plain video.
# * Encode a clip of your own and decode it again, in ten lines.
# * Read what the course tells you: predictions, checks, and the messages of things gone wrong.
#
# **You need:** Python and a little NumPy or PyTorch. Nothing about networks yet.

# %%
import numpy as np
import torch

import coordflow_mini as cf
from coordflow_mini import bitstream, decoder
from coordflow_mini.coords import frame_times
from coordflow_mini.course import check, predict, progress, setup
from coordflow_mini.course.lesson import figures
from coordflow_mini.course.lesson.overlay import overlay
from coordflow_mini.course.lesson.watching import watch
from coordflow_mini.measure import results
from coordflow_mini.render import render
from coordflow_mini.show import plots, widgets
from coordflow_mini.video import scenes
from coordflow_mini.video.read import load

here = setup(chapter=0)

# %% [markdown]
# ## Predict
#
# The file `bunny.cfv` came with the course. Here is its size. It holds 96 frames of 192×108 pixels.
#
# Suppose you stored single frames instead, as JPEG pictures of the usual quality (75). How many of them
# would take as many bytes as this file? Put a number in place of the three dots, then run the cell.

# %%
data = results.data_file("bunny.cfv").read_bytes()
print(f"{len(data):,} bytes")

jpegs = predict(
    "jpegs",
    "As many bytes as the 96 frames in bunny.cfv take ... JPEG pictures.",
    unit="pictures",
    answer=...,
)

# %% [markdown]
# ## Open the file
#
# Two lines decode it. `read_model` turns the bytes into a model, and `render` asks the model for its
# frames: for the pictures, for the layers they are made of, and for each layer's **alpha**, which says
# where it is seen. (A few seconds.)

# %%
header, model = decoder.read_model(data)
times = frame_times(header.time)
rendering = render(model.to(here.device), times, header.height, header.width)

bunny = cf.Video(rendering.rgb.numpy(), header.fps, "Big Buck Bunny")
alphas = plots.panels(bunny, rendering=rendering)[2::2]  # one of them per layer

# %% [markdown]
# Press play, or drag the slider. Once it is marked (click it, or reach it with *Tab*), the arrow keys move
# it, too. White is where a layer is seen.

# %%
widgets.scrub([bunny, *alphas])

# %% [markdown]
# *Big Buck Bunny, (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org,
# [CC BY 3.0](https://creativecommons.org/licenses/by/3.0/); resized and compressed.*
#
# Two layers share the picture. One keeps the meadow, the other takes the rabbit, with its cave and a piece of
# the sky. Nobody told them to: the encoder saw the frames and nothing else.
#
# Now the prediction. The file says which frames it was made of, so you can load them and save each one
# as a JPEG.

# %%
import io

from PIL import Image


def jpeg(picture, quality=75):
    """The bytes of a picture as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return file.getvalue()


original = load("clip:bunny", header.selection)
files = [jpeg(frame) for frame in original.frames]
from_jpegs = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])

# %% [markdown]
# To be fair, look at the quality as well: **PSNR**, in decibels (dB), is how near a picture is to the
# original. More is better; chapter 01 builds it.

# %%
jpeg_bytes = np.mean([len(file) for file in files])
fit_in = len(data) / jpeg_bytes
jpeg_db = cf.psnr_db(original.frames, from_jpegs)
our_db = cf.psnr_db(original.frames, bunny.frames)
print(f"JPEG: {jpeg_bytes:,.0f} bytes a frame, {jpeg_db:.1f} dB")
print(f"ours: {len(data) / header.time:,.0f} bytes a frame, {our_db:.1f} dB")
assert 2 < fit_in < 5 and abs(jpeg_db - our_db) < 1

# %%
jpegs.compare(
    fit_in, "At about the same PSNR, 96 frames fit where JPEG puts three or four.", within=1
)
figures.pictures(
    {
        "original": original.frames[80],
        f"JPEG, {len(files[80]):,} bytes": from_jpegs[80],
        f"decoded, {len(data) / header.time:,.0f} bytes": bunny.frames[80],
    },
    alt="Frame 80 three times, much alike: original, JPEG, and decoded with a fine grain.",
)

# %% [markdown]
# JPEG is no fair opponent, though: it codes each frame as if there were no other. A video codec does
# not, and reaches about the same quality in as many bytes. The table in the [README](../README.md) has
# the figures.

# %% [markdown]
# ## How the course works
#
# * **Predict** before you run. A wrong guess is worth more than none: the surprise is what stays.
# * **Exercises** come as a *stub*, a function with a gap. Fill it in and run the cell: `check` says ✓, or
#   ✗ with the mistake by name, or ○ while the stub is untouched. Later cells use your function once it is
#   right, and the library's until then, so *Run All* works at any time.
# * **Hints and solutions** are folded below each exercise. Click to open; hints first.
# * **Progress** is shown at the end. `progress().save("answers.json", name="you")` writes it to a file, in case a
#   teacher asks for it.
# * **Widgets** move by mouse and by keyboard (*Tab*, then arrow keys or space). Without a running
#   notebook, on GitHub or on paper, a still picture stands in their place.
# * **Everything is measured here.** Your numbers may differ a little from your neighbor's; what the text
#   claims is asserted in the cells.

# %% [markdown]
# ## The idea: a video is a function
#
# You can think of a video as a table: so many frames, rows and columns, a color in each place. Or as a
# **function** $f(x, y, t)$ that returns the color at a place and a time:
#
# * $x$ runs to the right, $y$ runs *down*, and $t$ runs from the first frame to the last.
# * A small neural network can *be* that function. Training changes its weights until it returns the
#   right colors.
# * Then the weights *are* the video. To see a frame, call the function once for each pixel.
#
# The file holds these weights, rounded to whole numbers and packed tightly.

# %% [markdown]
# CoordFlow (arXiv 2501.00975, sections 2 and 3) uses several functions, its **layers**. Each one moves as
# a whole (chapters 03 and 04), and returns two things: a color $c_i$ and a share $\alpha_i$ of the pixel.
#
# ```
#               ┌─ layer 0: move it, ask its network ── color c₀, share α₀ ─┐
#  (x, y, t) ───┤                                                           ├─ pixel
#               └─ layer 1: move it, ask its network ── color c₁, share α₁ ─┘
# ```
#
# The pixel is the average of the colors, weighted by the shares, which sum to 1:
#
# $$\text{pixel} = \sum_i \alpha_i\, c_i .$$
#
# So what is in the file?

# %%
bits_per_weight = 8 * len(data) / model.parameter_count
print(model)
print(f"{bits_per_weight:.2f} bits for each weight, all told")
assert 5 < bits_per_weight < 6

# %% [markdown]
# A weight of a trained network usually takes 32 bits; here five or six are enough. How, is a matter for
# chapter 08. Compare the number of weights with the number of colors that they stand for:
# 96 · 192 · 108, nearly two million.

# %% [markdown] tags=["exercise"]
# ### Exercise 0.1: Bits per pixel
#
# *`bits_per_pixel` · difficulty 1 of 3 · 6 minutes*
#
# How small is small? The usual measure is **bits per pixel**: the bits of the whole file, divided by the
# number of pixels in all frames together. A pixel counts once, not once for each color channel.
#
# `size` is in bytes, and a byte has 8 bits. A video knows its `video.time` (number of frames),
# `video.height` and `video.width`.
#
# First run the cell as it is and read what `check` says. Then return something wrong on purpose, such as
# `8 * size / video.time`, and read again. Then make it right.


# %% tags=["stub"]
def bits_per_pixel(size, video):
    """The rate of a file of `size` bytes that holds this video."""
    ...  # your code here


bits_per_pixel = check(bits_per_pixel)

# %% [markdown] tags=["hint"]
# Write down two numbers first: how many bits has the file, and how many pixels has the video?

# %% [markdown] tags=["hint"]
# Bits: `8 * size`. Pixels: frames times rows times columns.


# %% tags=["solution"]
def bits_per_pixel(size, video):
    """The rate of a file of `size` bytes that holds this video."""
    return 8 * size / (video.time * video.height * video.width)


# %% [markdown] tags=["exercise"]
# ### Exercise 0.2: How many times smaller?
#
# *`compression_factor` · difficulty 1 of 3 · 5 minutes*
#
# Plain RGB takes one byte for each of the three channels of each pixel. How many times larger than the
# file would the plain video be?


# %% tags=["stub"]
def compression_factor(size, video):
    """How many times larger than `size` bytes the video is as plain RGB."""
    ...  # your code here


compression_factor = check(compression_factor)

# %% [markdown] tags=["hint"]
# Count both in bytes: those of the plain video, and `size`. Which of them goes above the line if the
# result should be large?

# %% [markdown] tags=["hint"]
# The plain video has `3 * video.time * video.height * video.width` bytes.


# %% tags=["solution"]
def compression_factor(size, video):
    """How many times larger than `size` bytes the video is as plain RGB."""
    return 3 * video.time * video.height * video.width / size


# %% [markdown]
# The two say the same in two ways: plain RGB has 24 bits per pixel, so rate times factor is 24.

# %%
rate, factor = bits_per_pixel(len(data), bunny), compression_factor(len(data), bunny)
print(f"{rate:.4f} bits per pixel, {factor:.0f} times smaller than plain RGB")
assert abs(rate * factor - 24) < 1e-6
assert 0.07 < rate < 0.08 and factor > 300

# %% [markdown]
# ## Build: read the first bytes yourself
#
# A file is a row of bytes, numbers from 0 to 255. The first four say what kind of file it is, the fifth
# which version of the format.

# %%
print(data[:16].hex(" "))
assert data[:4] == b"\x89CFV" and data[4] == 1

# %% [markdown]
# Numbers follow. A byte is too small for most of them, so a number takes as many bytes as it needs:
# seven bits in each, the lowest first, and the eighth bit says "there is more".


# %%
def read_number(data, place):
    """The number that begins at this place, and the place after it."""
    number, shift = 0, 0
    while data[place] >= 128:  # the eighth bit is set
        number += (data[place] - 128) << shift
        place, shift = place + 1, shift + 7
    return number + (data[place] << shift), place + 1


length, place = read_number(data, 5)  # of the header, in bytes
time, place = read_number(data, place)
height, place = read_number(data, place)
width, place = read_number(data, place)
print(f"header of {length} bytes: {time} frames of {width}×{height} pixels")
assert (time, height, width) == (header.time, header.height, header.width)

# %% [markdown]
# Your reading and the library's agree. And what comes after the header? The library can take the file
# apart further.

# %%
parts = bitstream.sizes(data, decoder.tensor_shapes)
for name, size in vars(parts).items():
    print(f"{name:10} {size:6,} bytes")
assert parts.total == len(data) and parts.weights > 0.98 * len(data)

# %% [markdown]
# Weights, and hardly anything else. (*Side* are the steps that the weights were rounded to, and what the
# decoder must know to unpack them.) No picture is in there.
#
# Test that: put the file, and only the file, into an empty folder, start a fresh Python process there
# that has never seen the clip, and let it decode eight frames.

# %%
import subprocess
import sys
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    Path(folder, "film.cfv").write_bytes(data)
    command = "-m coordflow_mini decode film.cfv frames.npy --frames 40:48 --quiet"
    subprocess.run([sys.executable, *command.split()], cwd=folder, check=True)
    elsewhere = np.load(Path(folder, "frames.npy")).astype(int)

apart = np.abs(elsewhere - bunny.frames[40:48]).max()
print(f"{len(elsewhere)} frames, at most {apart} gray levels apart")
assert apart <= 1

# %% [markdown]
# ## Build: blend the layers yourself
#
# A second file, `cutout.cfv`, holds a generated scene: a flower moves, turns and changes its size over a
# patterned ground, which moves as well. The scene is drawn by a formula, so everything about it is known,
# and what a network found can be compared with the truth.
#
# Take one frame apart: the color $c_i$ and the alpha $\alpha_i$ of each layer, and the blend.

# %%
cut_header, cut_model = decoder.read_model(results.data_file("cutout.cfv").read_bytes())
cut_times = frame_times(cut_header.time)
cutout = render(cut_model.to(here.device), cut_times, cut_header.height, cut_header.width)
figures.layers_figure(cutout, frame=12)

# %% [markdown]
# Now do the blending by hand, layer by layer, as in the sum above.


# %%
def blend(layer_rgb, alpha):
    """One frame [height, width, 3] from its layers' colors and shares: Σ αᵢ cᵢ."""
    picture = torch.zeros(layer_rgb.shape[1:])
    for color, share in zip(layer_rgb, alpha, strict=True):
        picture += share[..., None] * color  # one share for all three channels
    return picture


for frame in range(cut_header.time):
    by_hand = blend(cutout.layer_rgb[:, frame], cutout.alpha[:, frame])
    assert (by_hand.round() - cutout.rgb[frame]).abs().max() <= 1
print(f"{cut_header.time} frames: equal to the library's within one gray level of rounding")

# %% [markdown] tags=["exercise"]
# ### Exercise 0.3: Switch a layer off
#
# *`switch_off` · difficulty 2 of 3 · 10 minutes*
#
# Return the frame without the layer `off`. The other layers keep their colors and their shares. The share
# of the layer that is off shows middle gray, 128, so that you see what it had covered.
#
# Colors run from 0 to 255. Shapes: `layer_rgb` is `[layers, height, width, 3]`, `alpha` is
# `[layers, height, width]`, the result `[height, width, 3]`.


# %% tags=["stub"]
def switch_off(layer_rgb, alpha, off):
    """One frame in which middle gray takes the place of the layer `off`."""
    ...  # your code here


switch_off = check(switch_off)

# %% [markdown] tags=["hint"]
# The shares must still sum to 1, or a black hole stays. Which color could the layer have instead of its
# own?

# %% [markdown] tags=["hint"]
# Copy the colors (`layer_rgb.clone()`), give the layer `off` the color 128 everywhere, and blend as
# before.


# %% tags=["solution"]
def switch_off(layer_rgb, alpha, off):
    """One frame in which middle gray takes the place of the layer `off`."""
    shown = layer_rgb.clone()
    shown[off] = 128
    return blend(shown, alpha)


# %% [markdown]
# ## Look: what is behind the flower?

# %%
colors, shares = cutout.layer_rgb[:, 12], cutout.alpha[:, 12]
figures.pictures(
    {
        f"layer {off} off": (switch_off(colors, shares, off) / 255).clamp(0, 1)
        for off in range(len(colors))
    },
    alt="The flower alone on gray; then the ground with a gray hole where the flower is.",
    width=6.5,
)

# %% [markdown]
# Gray marks what the layer had covered: the flower, cut out along its edge, though the encoder was never
# told that there is a flower.
#
# There is more. Look again at the layers above. The ground *goes on* behind the flower! In this frame
# nobody can see that place; in others the flower is elsewhere. Since the layer moves as one piece, it
# could learn there what is hidden here. The scene's truth tells how well.

# %%
scene = scenes.cutout()
hidden = scene.masks  # true where the flower is, [time, height, width]
flower = int(cutout.alpha[:, hidden].mean(dim=1).argmax())
truth = scene.layers[0][hidden].astype(float)  # layer 0 of the scene is its ground
ground = cutout.layer_rgb[1 - flower].numpy()[hidden]
mean_square = ((ground - truth) ** 2).mean()
behind_db = 10 * np.log10(255**2 / mean_square)
print(f"the ground behind the flower, against the truth: {behind_db:.1f} dB")
assert behind_db > 36

# %% [markdown]
# A layer is only asked for its color where its share is large. Elsewhere it may return anything, like
# the noise around the flower: nobody ever looked.
#
# Now play. Switch layers off, or lay a color over the place where a layer is seen.

# %%
overlay(cutout, fps=float(cut_header.fps), name="the flower")

# %% [markdown]
# Then the same with the film. Real things bend, blur and turn around, so the layers are not as tidy. Where
# else does the layer of the rabbit show, and why may it not matter who paints a piece of still sky?

# %%
overlay(rendering, fps=float(header.fps), name="Big Buck Bunny")

# %% [markdown]
# And how true is it? Original, decoded, and the difference, made five times brighter. Step through: in
# which frames is the error largest?

# %%
widgets.scrub([original, *plots.panels(original, bunny)[1:]])

# %% [markdown]
# ## The whole path in ten lines
#
# The other direction: a clip becomes a file. To keep it short, the clip is the flower again, no larger
# than a postage stamp, and the training takes some seconds instead of minutes. Watch the layers find
# themselves. (The cell with the view comes first, the training fills it.)

# %%
stamp = cf.load("clip:cutout", cf.Selection(width=48, height=32))  # or "holiday.mp4"
view = watch(stamp)
view

# %%
fit = cf.FitConfig(steps=here.pick(cpu=600, gpu=2000, full=4000), batch=2048)
recipe = cf.Recipe(bpp=1.6, fit=fit, codec=cf.CodecConfig(steps=200))
coded = cf.encode(stamp, recipe, device=here.device, on_step=view)
decoded = cf.decode(coded)  # needs nothing but the bytes

rate = bits_per_pixel(len(coded), stamp)
quality = cf.psnr_db(stamp.frames, decoded.frames)
print(f"{len(coded):,} bytes, {rate:.2f} bits per pixel, {quality:.1f} dB")
assert 1.5 < rate <= 1.6 and quality > 32

# %%
widgets.scrub([stamp, *plots.panels(stamp, decoded)[1:]])

# %% [markdown]
# That is all of it. `encode` chose how wide the networks may be for this rate, **fitted** them to the
# clip (the first curve), **rounded** their weights while training on (*fine-tune*, the second curve), and
# **packed** the whole numbers into bytes. `decode` went back. The course takes these words one by one.

# %% [markdown]
# ## Break it: what goes wrong, and what is said then
#
# You will see messages in this course. Meet them now, on purpose. First the file: change one of its
# bytes, in the middle of the weights. What will the decoder show?

# %%
one_byte = predict(
    "one_byte",
    "One byte in the middle of the file is changed. The decoder shows ...",
    choices=["a small wrong spot", "a garbled video", "no video, but a message"],
    answer=...,
)


# %%
def trouble(act, *given):
    """What act(*given) ends in, as one line; returns the error's name."""
    try:
        act(*given)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return type(error).__name__
    return "no error"


damaged = bytearray(data)
damaged[len(data) // 2] ^= 1  # turn one bit around
assert trouble(cf.decode, bytes(damaged)) == "BitstreamError"

# %%
one_byte.compare(
    "no video, but a message",
    "Nearly every weight has a part in every pixel, and all after a wrong one is misread. "
    "So the file carries checksums, and the decoder refuses what does not match.",
)

# %% [markdown]
# Three more files that are not what they seem: cut short by a download that stopped, a web page saved
# under the wrong name, and a file that a future version of the library wrote.

# %%
assert trouble(cf.decode, data[:9000]) == "BitstreamError"
assert trouble(cf.decode, b"<!DOCTYPE html><title>Not found</title>") == "BitstreamError"
assert trouble(cf.decode, data[:4] + b"\x02" + data[5:]) == "BitstreamError"

# %% [markdown]
# Always `BitstreamError`, always one line that says what is wrong. Next, a **wrong environment**: a cell
# that you have not run, so that its names are missing; a package that this Python does not have; a
# setting that does not exist.

# %%
import importlib
import os
from unittest.mock import patch

assert trouble(eval, "a_name_from_a_cell_that_did_not_run") == "NameError"
assert trouble(importlib.import_module, "coordflow_maxi") == "ModuleNotFoundError"
with patch.dict(os.environ, COORDFLOW_SCALE="huge"):
    assert trouble(setup, 0) == "ValueError"

# %% [markdown]
# * `NameError`: run the cells above, from the top (*Run All Above*).
# * `ModuleNotFoundError` for `coordflow_mini` itself: the notebook runs in another Python than the one
#   that you installed into. Choose its kernel (*Kernel → Change Kernel*), or start with `make lab`.
# * The first cell prints the versions and the device. Put its lines into every question that you ask.
#
# Last, a wrong answer. Here is the examiner of exercise 0.1, with an answer that counts one frame only.

# %%
from coordflow_mini.course import exercises
from coordflow_mini.course.exercises.checking import examine


def one_frame_only(size, video):
    return 8 * size / (video.height * video.width)


outcome = examine(exercises.load()["bits_per_pixel"], one_frame_only)
print(outcome)
assert "forget the frames" in str(outcome)

# %% [markdown]
# No stack trace, no "wrong, try again": it names the mistake, tells what to think of, and the notebook
# goes on.

# %% [markdown] tags=["exercise"]
# ### Exercise 0.4: Which cure?
#
# *`which_cure` · difficulty 1 of 3 · 4 minutes*
#
# Four messages from a friend who got stuck:
#
# | | message |
# |---|---|
# | A | `NameError: name 'rendering' is not defined` |
# | B | `ModuleNotFoundError: No module named 'coordflow_mini'` |
# | C | `BitstreamError: truncated: 18377 bytes expected at byte 60, 4036 left` |
# | D | `BitstreamError: written by format version 3; this reader knows up to 1: upgrade coordflow-mini` |
#
# What helps? Put `"another kernel"`, `"copy the file again"`, `"run the cells above"` or `"upgrade"` behind
# each letter, in place of the dots.

# %% tags=["stub"]
which_cure = ...  # {"A": "...", "B": "...", "C": "...", "D": "..."}

which_cure = check(which_cure, "which_cure")

# %% [markdown] tags=["hint"]
# Two messages are about Python, two about a file. Of each two, which one says that something is
# *missing from here*, and which that something does not *fit*?

# %% tags=["solution"]
which_cure = {
    "A": "run the cells above",
    "B": "another kernel",
    "C": "copy the file again",
    "D": "upgrade",
}

# %% [markdown]
# ## The way from here
#
# | chapter | you build |
# |---|---|
# | [01 · Images as functions](01_images_as_functions.ipynb) | a network that is a picture, and why it must see waves instead of $x$ and $y$ |
# | [02 · Videos as functions](02_videos_as_functions.ipynb) | the same with time; why a moving picture costs more weights than a still one |
# | [03 · Similarity transforms](03_similarity_transforms.ipynb) | four numbers that move, turn and scale a picture, found by gradient descent |
# | [04 · One layer with flow](04_one_layer_with_flow.ipynb) | a layer that learns how it moves, and its picture at rest |
# | [05 · Two layers and alpha](05_two_layers_and_alpha.ipynb) | a blend of layers; pixels that find their layer by themselves |
# | [06 · The layer loss](06_the_layer_loss.ipynb) | the loss that gives every pixel one owner: k-means, made of networks |
# | [07 · What layers give](07_what_layers_give.ipynb) | masks, removed objects, more pixels and frames, a camera held still, each beside its simple alternative |
# | [08 · From weights to bits](08_from_weights_to_bits.ipynb) | rounding, entropy, a range coder, and every byte of a file |
# | [09 · Compress UVG](09_compress_uvg.ipynb) | a fair race against x264 and x265, and how to read a claim |
#
# Each one stands alone; in this order they tell one story.

# %% [markdown]
# ## Recap
#
# * A video can be a function $f(x, y, t)$; then a file holds the weights of a network, not pictures.
# * Rate: bits per pixel, over all frames. Plain RGB has 24.
# * A pixel is $\sum_i \alpha_i c_i$; the shares $\alpha_i$ sum to 1 and show which layer is seen where.
# * A layer moves as one piece, so it knows what other things hide.
# * `encode` fits, rounds and packs; `decode` needs nothing but the bytes, and refuses damaged ones.

# %%
progress()

# %% [markdown]
# ## Questions
#
# 1. A file of 40,000 bytes holds 100 frames of 320×180 pixels. How many bits per pixel are that, and how
#    many times smaller is it than plain RGB?
# 2. The decoder can show the moment *between* two frames, or a picture of twice the size, though
#    neither is in the file. Why?
# 3. In one pixel the shares of the two layers are 0.5 and 0.5. Name two different reasons why that may be
#    a good answer.

# %% [markdown] tags=["answer"]
# 1. 8 · 40,000 bits over 100 · 320 · 180 pixels: 0.056 bits per pixel; 24 / 0.056, about 430 times smaller.
# 2. A function has a value at every $(x, y, t)$, not only at those of the pixels it learned from.
#    Whether that value looks good is another matter: chapter 01 looks between the pixels.
# 3. The pixel lies on the border of two things and shows a bit of both; or both layers have the same
#    color there, so that it does not matter. (Or something is really half transparent.)

# %% [markdown]
# ## Further reading
#
# * CoordFlow, arXiv 2501.00975, sections 2 and 3: layers, their flow, and their blend.
# * Dupont et al., *COIN: Compression with Implicit Neural representations*, arXiv 2103.03123: one picture
#   as the weights of one network.
# * Chen et al., *NeRV: Neural Representations for Videos*, arXiv 2110.13903: a network that returns a
#   whole frame for a time.
# * `coordflow_mini/decoder.py`: a hundred lines, from bytes to pictures.
