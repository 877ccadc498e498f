# %% [markdown]
# # 09 · Compress UVG: the race, and how to read one
#
# **Time.** About 90 minutes to read and do. Running all cells, measured: 33 s on 2 CPU cores.
#
# Chapter 08 made files of networks. Is that any good? Only a rival can say, on the same frames and with as many
# bits. In this last chapter you run the race, against encoders that many people have polished for many years. You
# learn to measure it fairly, and to see where a figure in a paper, or your own, is too good to be true.

# %% [markdown]
# ## What you will be able to do
#
# * Read raw video byte by byte, and say what its bytes do not tell.
# * Compute a file's rate, and a clip's PSNR in the two ways that are called the same.
# * Draw a rate–distortion curve against x264 and x265, and put one number on the gap: the BD-rate.
# * Name three ways in which a comparison flatters, by the trace that each one leaves.
# * Compress a whole test set, all of UVG, with a handful of calls.
#
# **You need:** bits per pixel and PSNR (chapters 00 to 02), what a `.cfv` file is (08).

# %%
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import av
import numpy as np

from coordflow_mini import decoder
from coordflow_mini.config import CodecConfig, FitConfig, Recipe, Selection
from coordflow_mini.course import check, predict, progress, setup
from coordflow_mini.course.lesson import figures, tables
from coordflow_mini.encoder import compress
from coordflow_mini.measure import baselines, metrics, results
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.show import plots, widgets
from coordflow_mini.video import catalog, scenes
from coordflow_mini.video.raw import RawFormat
from coordflow_mini.video.read import load

here = setup(chapter=9)
folder = Path(tempfile.mkdtemp())  # for the files of this chapter

# %% [markdown]
# On a GPU, with UVG fetched (the last section says how), everything below runs on UVG itself. Elsewhere it runs small.

# %%
have_uvg = all(
    clip.available for clip in catalog.downloadable() if clip.name.startswith("uvg:")
)
if here.scale == "gpu" and have_uvg:
    here = replace(here, scale="full")
    print("A GPU, and UVG has been fetched: this is the real thing, and takes hours.")

# %% [markdown]
# ## Predict
#
# The film is the rabbit of chapter 00, 96 frames of 192×108. On one side a network, trained for up to five minutes
# for each file. On the other side x265, an encoder of the video standard H.265, in its slowest usual setting
# (`veryslow`) and told to do its best in PSNR. Both get the same bytes. Who has the better PSNR at 0.03 bits per
# pixel, where every bit hurts?

# %%
wins_low = predict(
    "wins_low",
    "At 0.03 bits per pixel the better PSNR has ...",
    choices=["CoordFlow", "x265"],
    answer=...,
)

# %% [markdown]
# And at 0.12 bits per pixel, four times as many?

# %%
wins_high = predict(
    "wins_high",
    "At 0.12 bits per pixel the better PSNR has ...",
    choices=["CoordFlow", "x265"],
    answer=...,
)

# %% [markdown]
# ## The idea: a codec is a curve
#
# A **codec** is an encoder and its decoder. It has a dial: more bits, better pictures. So it is not a number but a
# **rate–distortion curve**: quality over bits per pixel (bpp). One codec beats another where its curve lies higher:
# more quality for as many bits, or fewer bits for as much quality. That is the same gap, read upwards or
# sideways.
#
# UVG is the field's usual test, named after the Ultra Video Group, who filmed it: seven sequences of 1920×1080
# pixels at 120 frames per second. CoordFlow (arXiv 2501.00975) claims to lead the **pixel-wise** networks, which take
# $(x, y, t)$ and return one color, and to be on par with **frame-wise** ones, which return a whole frame. To
# check any such claim, five things must be held equal:
#
# | | what | the usual trap |
# |---|---|---|
# | 1 | the frames | another size, other colors from the same file |
# | 2 | the rate | estimates; containers; channels counted as pixels |
# | 3 | the quality | PSNR of brightness, or a mean taken elsewhere |
# | 4 | the rival | a fast preset, an old version |
# | 5 | the summary | averages over rates that nobody measured |
#
# The chapter goes through them in this order.

# %% [markdown]
# ## Build: raw video, byte by byte
#
# A UVG sequence comes as a `.yuv` file. It is the simplest format there is: no header, nothing but pixels. Size and
# frame rate stand in the file's *name*. So write one, small, of the scene with the flower, in the shape of
# 1080p (16:9).
#
# Cameras do not store R, G, B, but **Y**, the brightness, and **U** and **V**, how much bluer and redder than gray.
# Eyes see little detail in color, so U and V have half as many columns and half as many rows: **4:2:0**. The
# three **planes** of a frame follow each other.
#
# Brightness is a weighted sum of R, G, B, and here is a catch: there are two sets of weights, **BT.601** from the
# days of standard TV and **BT.709** of HD. The file does not say which one was used.

# %%
WEIGHTS = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722)}


def quarter(plane):
    """The mean of every 2x2 block: half the rows, half the columns."""
    height, width = plane.shape
    return plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3))


def planes_of(frame, matrix="bt601"):
    """Y, U, V of an RGB frame; Y runs from 16 to 235, U and V around 128."""
    red, green, blue = np.moveaxis(frame.astype(float), -1, 0)
    of_red, of_green, of_blue = WEIGHTS[matrix]
    light = of_red * red + of_green * green + of_blue * blue
    bluer = (blue - light) / (2 - 2 * of_blue)
    redder = (red - light) / (2 - 2 * of_red)
    planes = (
        16 + light * 219 / 255,
        *(128 + quarter(p) * 224 / 255 for p in (bluer, redder)),
    )
    return [plane.round().clip(0, 255).astype(np.uint8) for plane in planes]


# %%
scene = scenes.cutout(height=144, width=256, frames=12).video
raw_file = folder / "Flower_256x144_24fps_420_8bit_YUV.yuv"
with raw_file.open("wb") as file:
    for frame in scene.frames:
        for plane in planes_of(frame):
            file.write(plane.tobytes())
raw_bytes = raw_file.stat().st_size
print(f"{raw_file.name}: {raw_bytes:,} bytes")
assert raw_bytes == 12 * (144 * 256 + 2 * 72 * 128)

y, u, v = planes_of(scene.frames[6])
figures.pictures(
    {"Y": y, "U: bluer than gray": u, "V: redder than gray": v},
    alt="Three gray pictures of the flower: brightness with all shapes, and two coarser "
    "ones, in which the flower is dark in U and light in V.",
)

# %% [markdown]
# Back again, the naive way: repeat U and V to full size, and solve for R, G, B.


# %%
def rgb_of(planes, matrix="bt601"):
    """The RGB frame of three planes."""
    light, bluer, redder = (plane.astype(float) for plane in planes)
    of_red, of_green, of_blue = WEIGHTS[matrix]
    light = (light - 16) * 255 / 219
    bluer, redder = (
        (p.repeat(2, 0).repeat(2, 1) - 128) * 255 / 224 for p in (bluer, redder)
    )
    red, blue = light + (2 - 2 * of_red) * redder, light + (2 - 2 * of_blue) * bluer
    green = (light - of_red * red - of_blue * blue) / of_green
    return np.stack([red, green, blue], axis=-1).round().clip(0, 255).astype(np.uint8)


film = load(raw_file)  # size, rate and layout come from the name
by_hand = np.stack([rgb_of(planes_of(frame)) for frame in scene.frames])
apart = np.abs(by_hand.astype(int) - np.asarray(film.frames)).max()
print(film)
print(f"by hand and by the library: at most {apart} gray levels apart")
assert apart <= 3

# %% [markdown]
# A few gray levels, because the library computes as `ffmpeg` does, which cuts where you round. That is on purpose:
# `ffmpeg` made the frames that most papers score against.
#
# Two things to see. First, what 4:2:0 alone has cost. Second, what happens when somebody reads the file by the
# *other* matrix. Guess the second one before you run it.

# %%
matrix_db = predict(
    "matrix_db",
    "The same bytes, read once by BT.601 and once by BT.709. PSNR between the two:",
    unit="dB",
    answer=...,
)

# %%
other = np.stack([rgb_of(planes_of(frame), "bt709") for frame in scene.frames])
misread = load(raw_file, raw=replace(RawFormat.from_name(raw_file), matrix="bt709"))
assert np.abs(other.astype(int) - np.asarray(misread.frames)).max() <= 3
chroma_db = metrics.psnr_db(scene.frames, by_hand)
wrong_db = metrics.psnr_db(by_hand, other)
print(f"the scene and its 4:2:0 file: {chroma_db:.1f} dB")
print(f"BT.601 and BT.709 readings of that file: {wrong_db:.1f} dB")
assert 31 < chroma_db < 34 and 35 < wrong_db < 40
matrix_db.compare(
    round(wrong_db, 1),
    "No bit is wrong, yet every color is off. A better codec cannot win that back.",
    within=3,
)
bars = np.zeros((144, 256, 3), np.uint8)
for place, color in enumerate(
    [(230, 30, 30), (30, 200, 30), (30, 30, 230), (230, 30, 230)]
):
    bars[:, 64 * place : 64 * place + 64] = color
bars[72:] = rgb_of(planes_of(bars[72:]), "bt709")  # the lower half, misread
figures.pictures(
    {
        "read by BT.601": by_hand[6],
        "read by BT.709": other[6],
        "bars: above right, below BT.709": bars,
    },
    alt="The flower twice, alike but for slightly different colors. Color bars whose lower "
    "halves, misread, are lighter or darker than the upper ones.",
)

# %% [markdown]
# Both are quiet errors: each picture looks fine by itself, until pure colors lie side by side. So:
#
# * **The reference is the RGB made from the file**, not what the camera saw. All codecs are scored against it.
# * **The matrix is a convention**, and it must be said. Many numbers on UVG (C3, HiNeRV, NVRC) come from `ffmpeg`, which
#   takes BT.601 where a file says nothing. The library does so, too, and writes the matrix into its files' headers.

# %% [markdown]
# ## Build: the rate of a file
#
# The rate is bits of the file per pixel of the film. How many pixels? A raw file does not tell how many frames it
# has, so count them by its size.

# %% [markdown] tags=["exercise"]
# ### Exercise 9.1: Rate of a file
#
# *`file_bpp` · difficulty 1 of 3 · 8 minutes*
#
# Return the bits per pixel of a coded file. You have its size in bytes, the size in bytes of the raw 4:2:0 file
# (8 bits a sample) that it was made of, and the height and width of a frame.


# %% tags=["stub"]
def file_bpp(coded_bytes, raw_bytes, height, width):
    """Bits per pixel of a file that was coded from a raw 4:2:0 file."""
    ...  # your code here


file_bpp = check(file_bpp)

# %% [markdown] tags=["hint"]
# A frame of the raw file has `height * width` bytes of Y. How many has U? How many V?

# %% [markdown] tags=["hint"]
# A frame has 1.5 · height · width bytes. With the number of frames: bits of the coded file over
# frames · height · width.


# %% tags=["solution"]
def file_bpp(coded_bytes, raw_bytes, height, width):
    """Bits per pixel of a file that was coded from a raw 4:2:0 file."""
    frames = raw_bytes / (1.5 * height * width)
    return 8 * coded_bytes / (frames * height * width)


# %% [markdown] tags=["solution"]
# Height and width cancel: the rate is 12 · coded / raw bytes, since raw 4:2:0 has 12 bits per pixel.

# %%
stream = baselines.encode(film, "x264", crf=30)
rate = file_bpp(len(stream.data), raw_bytes, film.height, film.width)
assert math.isclose(rate, metrics.bits_per_pixel(len(stream.data), film))
print(f"x264 made {len(stream.data):,} bytes of it: {rate:.3f} bits per pixel")
print(f"the raw file itself: {file_bpp(raw_bytes, raw_bytes, film.height, film.width):g}")

# %% [markdown]
# ## Build: the quality of a clip
#
# PSNR is a logarithm, $10 \log_{10}(255^2 / e)$, of the mean squared error $e$ of a *frame*. A clip has many
# frames, and there are two ways to one number: the mean of the frames' PSNRs, or the PSNR of their mean error.
# Papers use both, and call both PSNR.

# %% [markdown] tags=["exercise"]
# ### Exercise 9.2: Two means
#
# *`two_psnrs` · difficulty 1 of 3 · 6 minutes*
#
# `errors` is an array with the mean squared error of each frame, in gray levels (0 to 255) squared. Return two
# numbers: the mean of the frames' PSNRs, and the PSNR of the frames' mean error.


# %% tags=["stub"]
def two_psnrs(errors):
    """(mean of the frames' PSNRs, PSNR of the frames' mean error) [dB]."""
    ...  # your code here


two_psnrs = check(two_psnrs)

# %% [markdown] tags=["hint"]
# The same two steps, logarithm and mean, in either order.

# %% [markdown] tags=["hint"]
# `10 * np.log10(255**2 / errors)` is an array, one PSNR for each frame.


# %% tags=["solution"]
def two_psnrs(errors):
    """(mean of the frames' PSNRs, PSNR of the frames' mean error) [dB]."""
    frames = 10 * np.log10(255**2 / errors)
    return frames.mean(), 10 * np.log10(255**2 / errors.mean())


# %% [markdown]
# How far apart can they be? Take a film with one bad frame. (One that x264 shows well, and one frame of it
# replaced by gray.)

# %%
shown = baselines.decode(stream).astype(float)
shown[5] = 128
errors = ((shown - np.asarray(film.frames)) ** 2).mean((1, 2, 3))
mean_of_psnrs, psnr_of_mean = two_psnrs(errors)
naive = metrics.psnr_db(np.asarray(film.frames), shown.astype(np.uint8))
assert math.isclose(mean_of_psnrs, naive, abs_tol=1e-6)
assert mean_of_psnrs > psnr_of_mean + 3
print(f"mean of the frames' PSNRs {mean_of_psnrs:.2f} dB, as in `metrics.psnr_db`")
print(f"PSNR of their mean error  {psnr_of_mean:.2f} dB")
figures.lines(
    {"PSNR": 10 * np.log10(255**2 / errors)},
    across="frame",
    up="PSNR [dB]",
    alt="A line near 29 decibels that falls below 15 at frame 5 and comes back.",
    size=(5, 2.4),
)

# %% [markdown]
# One bad frame of twelve, and decibels lie between two numbers of the same name. The mean of PSNRs is never the
# smaller one: it forgives a bad frame, and rewards a few perfect ones. The field's convention, and ours, is the
# mean of PSNRs, of R, G and B together. Never compare one kind with the other.

# %% [markdown]
# ## Build: the race, live
#
# Now run it: a few seconds for each file. The rivals get the very frames that we code, and as many bytes as our
# file has. `baselines.encode_at` tries settings until the stream just fits. Streams are raw, without a container,
# and decoded again from their bytes.

# %%
FILM = here.pick(cpu="clip:bunny", gpu="clip:bunny", full="uvg:Beauty")
PART = here.pick(
    cpu=Selection(0, 48, 2, 96, 54),
    gpu=Selection(0, 96, 1, 192, 108),
    full=Selection(0, 48),
)
RATES = here.pick(cpu=(0.15, 0.3), gpu=(0.03, 0.06, 0.12), full=(0.015, 0.03, 0.06, 0.12))
STEPS = here.pick(cpu=400, gpu=4000, full=40_000)


def training(steps):
    """How to fit in so many steps."""
    parts = {"warm_up": steps // 4, "grow": steps // 4, "static": steps // 2}
    return FitConfig(steps, batch=here.pick(cpu=2048, gpu=16_384), seed=here.seed, **parts)


clip = load(FILM, PART)
frames = np.asarray(clip.frames)
middle = clip.time // 2  # the frame to look at
figures.frames_strip(clip)


# %%
def point(codec, size, decoded, seconds):
    """What there is to say about one file."""
    return RatePoint(
        codec=codec,
        clip=clip.name,
        bytes=size,
        bpp=metrics.bits_per_pixel(size, clip),
        psnr_db=metrics.psnr_db(frames, decoded),
        encode_seconds=seconds,
    )


def ours(rate):
    """Our point at a rate, and the frame in the middle."""
    recipe = Recipe(bpp=rate, fit=training(STEPS), codec=CodecConfig(steps=STEPS // 3))
    coded = compress(clip, recipe, device=here.device)
    decoded = np.stack(list(decoder.decode_frames(coded.data, range(clip.time))))
    return point("CoordFlow", len(coded.data), decoded, coded.seconds), decoded[middle]


def rival(codec, size):
    """A rival's point at so many bytes, and the frame in the middle."""
    stream = baselines.encode_at(clip, codec, size)
    decoded = baselines.decode(stream, accurate_rgb=True)  # what suits it best
    return point(codec, len(stream.data), decoded, stream.encode_seconds), decoded[middle]


# %%
race = {"CoordFlow": [], "x264": [], "x265": []}  # codec -> [(point, frame), ...]
for rate in RATES:
    race["CoordFlow"].append(ours(rate))
    own = race["CoordFlow"][-1][0]
    for codec in ("x264", "x265"):
        race[codec].append(rival(codec, own.bytes))
    for line in race.values():
        found = line[-1][0]
        print(
            f"{found.codec:10} {found.bytes:7,} bytes {found.bpp:.3f} bpp "
            f"{found.psnr_db:6.2f} dB {found.encode_seconds:6.1f} s"
        )
        assert found.bytes <= rate * clip.pixels / 8
live = [found for line in race.values() for found, _ in line]
assert all(line[0][0].psnr_db < line[-1][0].psnr_db for line in race.values())
last = {codec: line[-1][0].psnr_db for codec, line in race.items()}
assert here.scale != "cpu" or last["CoordFlow"] < min(last["x264"], last["x265"])
plots.rate_quality(live)

# %% [markdown]
# Up and to the left is better. On two CPU cores, after seconds of training, the network *loses*, most clearly at the
# higher rate, and took far longer. That is no surprise: chapter 01 showed how long fine detail takes to learn. The
# longer run comes below.
#
# One thing to notice: **the axis of rates is logarithmic**. Twice the bits are the same step everywhere. On such
# an axis curves are nearly straight, since PSNR is a logarithm, too.

# %% [markdown]
# ## Build: one number for two curves
#
# Two curves, each of a few points, and never at the same rates or qualities. Bjøntegaard's answer (2001) is the
# **BD-rate**: go through all qualities that *both* curves reach; at each one, see how many times as many bits the
# one needs; average. Not the ratios themselves, but their logarithms, so that twice and half as many cancel:
#
# $$\text{BD-rate} = \exp\!\Big(\frac{1}{h - l}\int_l^h \big(\ln R(q) - \ln R_0(q)\big)\,dq\Big) - 1,$$
#
# * $R(q)$ is the rate at which the curve reaches quality $q$, and $R_0(q)$ that of the **anchor**, the codec one
#   compares with. Between points, interpolate $\ln R$ over $q$.
# * $l$ to $h$ are the qualities that both reach. **Beyond them nobody has measured anything.**
#
# Negative is good: −30 % means 30 % fewer bits than the anchor at equal quality.

# %% [markdown] tags=["exercise"]
# ### Exercise 9.3: BD-rate by hand
#
# *`bd_rate` · difficulty 3 of 3 · 20 minutes*
#
# Return the BD-rate in percent. The four arguments are arrays, ascending: rates and PSNRs of the anchor, rates and
# PSNRs of the curve. Interpolate with straight lines (`np.interp`), at 1,000 places of the common range, and take
# the mean there. If the curves share no quality, return `float("nan")`.


# %% tags=["stub"]
def bd_rate(anchor_rates, anchor_db, rates, db):
    """Percent more (or, negative, fewer) bits than the anchor at equal quality."""
    ...  # your code here


bd_rate = check(bd_rate)

# %% [markdown] tags=["hint"]
# The common range begins at the larger of the two first PSNRs and ends at the smaller of the two last ones. When
# is it empty?

# %% [markdown] tags=["hint"]
# `np.interp(places, db, np.log(rates))` is $\ln R$ at these qualities. The same for the anchor; the mean of the
# difference; back by `np.exp`.


# %% tags=["solution"]
def bd_rate(anchor_rates, anchor_db, rates, db):
    """Percent more (or, negative, fewer) bits than the anchor at equal quality."""
    low, high = max(anchor_db[0], db[0]), min(anchor_db[-1], db[-1])
    if low >= high:
        return float("nan")
    places = np.linspace(low, high, 1000)
    apart = np.interp(places, db, np.log(rates)) - np.interp(
        places, anchor_db, np.log(anchor_rates)
    )
    return 100 * (np.exp(apart.mean()) - 1)


# %% [markdown]
# The library uses the package `bjontegaard`, which draws smooth curves through the points instead of straight
# lines. Does that matter? Try it on published curves of UVG, which ship with the course
# (`results.published`).


# %%
def curve(points, codec):
    """Rates and PSNRs of one codec, in order."""
    chosen = sorted((found.bpp, found.psnr_db) for found in points if found.codec == codec)
    return tuple(np.array(column) for column in zip(*chosen, strict=True))


published = results.published("average")
x265 = curve(published, "x265 medium no-B")
for codec in ("VTM 17.0 RA", "HiNeRV (new)", "FFNeRV", "NeRV (digitised)"):
    mine, package = (f(*x265, *curve(published, codec)) for f in (bd_rate, metrics.bd_rate))
    print(f"{codec:18} {mine:+6.1f} % by hand, {package:+6.1f} % by the library")
    assert abs(mine - package) < 1

# %% [markdown]
# Less than one percent apart. How the points are joined hardly matters, as long as they lie close together. Where
# the curves *end* matters a lot; you will break that below.

# %% [markdown]
# ## Look: the frame behind each point
#
# A point is a file, and a file has a look. Choose a rate: the frame in the middle of the clip, from our file and
# from that of a rival with as many bytes.


# %%
def chart(chosen):
    """The live curves as a picture, with the points of one rate circled."""
    figure, place = figures.axes(alt="The live curves.", size=(3.2, 2.4))
    colors = ("vermillion", "sky", "blue")
    for (codec, line), color in zip(race.items(), colors, strict=True):
        rates, heights = zip(
            *((found.bpp, found.psnr_db) for found, _ in line), strict=True
        )
        look = {"color": plots.PALETTE[color], "label": codec}
        place.plot(rates, heights, "o-", **look)
        ring = {"markersize": 13, "markerfacecolor": "none", "color": plots.PALETTE[color]}
        place.plot(rates[chosen], heights[chosen], "o", **ring)
    place.set(xlabel="bits per pixel", ylabel="dB", xscale="log", xticks=RATES)
    place.set_xticks([], minor=True)
    place.set_xticklabels([f"{rate:g}" for rate in RATES])
    place.legend(frameon=False, fontsize=7)
    return figures.drawn(figure, dpi=100)


# %%
charts = [chart(index) for index in range(len(RATES))]
levels = {codec: [found.psnr_db for found, _ in line] for codec, line in race.items()}
widgets.scrub(
    [
        plots.Panel("original", len(RATES), lambda i: frames[middle]),
        plots.Panel("CoordFlow", len(RATES), lambda i: race["CoordFlow"][i][1]),
        plots.Panel("x265", len(RATES), lambda i: race["x265"][i][1]),
        plots.Panel("curves", len(RATES), lambda i: charts[i]),
    ],
    captions=[
        f"{rate:g} bpp: {levels['CoordFlow'][i]:.1f} dB, x265 {levels['x265'][i]:.1f} dB"
        for i, rate in enumerate(RATES)
    ],
)

# %% [markdown]
# Look at *how* they fail, not only how much. Encoders like x265 cut a frame into blocks, so blocks are what you see
# when bits run out. The network is smooth everywhere, and short of training: it blurs, and loses the rabbit's face.
# The same number of decibels looks different from codec to codec, and PSNR does not know.

# %% [markdown]
# ## Look: the longer run
#
# Seconds were not enough. Here is the same race on 96 frames of 192×108, with up to five minutes of training for
# each of our files, and with the rivals in their usual (`medium`) and in their slowest usual setting (`veryslow`,
# and `tune=psnr`, which tells them to care for nothing else); and SVT-AV1, the youngest of them, at presets 6 and 2.
# It takes too long to do it live, so it is in a table (`make tables ONLY=rates.csv`, a quarter of an hour).

# %%
table = [
    RatePoint(**row | {"clip": "clip:bunny", "bytes": int(row["bytes"])})
    for row in tables.read("rates.csv")
]
for found in sorted(table, key=lambda found: (found.codec, found.bpp)):
    print(
        f"{found.codec:24} {found.bytes:7,} bytes {found.bpp:.4f} bpp "
        f"{found.psnr_db:6.2f} dB {found.encode_seconds:7.1f} s"
    )
plots.rate_quality(table, name=lambda found: found.codec, size=(7.4, 4))


# %%
def nearest(codec, rate):
    """The point of a codec that is nearest to a rate."""
    own = [found for found in table if found.codec == codec]
    return min(own, key=lambda found: abs(found.bpp - rate))


def winner(rate, rival="x265 veryslow tune=psnr"):
    """Who has the better PSNR at a rate, and by how much [dB]."""
    lead = nearest("CoordFlow", rate).psnr_db - nearest(rival, rate).psnr_db
    return ("CoordFlow" if lead > 0 else "x265"), abs(lead)


name, lead = winner(0.03)
wins_low.compare(
    name, f"By {lead:.1f} dB. x265 pays for blocks; the network's weights serve all frames."
)
name, lead = winner(0.12)
wins_high.compare(
    name, f"By {lead:.1f} dB. More bits are a wider network; compare the two leads."
)

# %% [markdown]
# And the BD-rates, with each rival as the anchor. Negative: our files are smaller at equal quality.

# %%
rivals = sorted({found.codec for found in table} - {"CoordFlow"})
saved = {name: bd_rate(*curve(table, name), *curve(table, "CoordFlow")) for name in rivals}
for name, percent in saved.items():
    package = metrics.bd_rate(*curve(table, name), *curve(table, "CoordFlow"))
    print(f"against {name:24} {percent:+6.1f} % by hand, {package:+6.1f} % by the library")
    assert abs(percent - package) < 4
assert saved["x264 medium"] < 0 and saved["x265 medium"] < 0
for codec in ("x264", "x265"):
    assert saved[f"{codec} medium"] < saved[f"{codec} veryslow tune=psnr"] - 5
assert saved["x265 veryslow tune=psnr"] < saved["av1 6"] < saved["av1 2"]

# %% [markdown]
# **The rival's preset decides how good you look.** The same encoder, `medium` or `veryslow`, and the gap to it
# changes by a large part. A paper that says "x265" and no more has told you little. And the rival's *age* counts:
# against SVT-AV1 (`av1`, a younger standard, at its usual preset 6 and its slow preset 2) little of the gap is left.
#
# What the file of chapter 00 looks like beside x265 with as many bytes, its settings as they come:

# %%
data = results.data_file("bunny.cfv").read_bytes()
whole = load("clip:bunny", decoder.read_model(data)[0].selection)
began = perf_counter()
decoded = np.stack(list(decoder.decode_frames(data, range(whole.time))))
decode_seconds = perf_counter() - began
stream = baselines.encode_at(whole, "x265", len(data))
theirs = baselines.decode(stream, accurate_rgb=True)
own_db, their_db = (metrics.psnr_db(whole.frames, shown) for shown in (decoded, theirs))
assert own_db > their_db
figures.pictures(
    {
        "original": whole.frames[48],
        f"CoordFlow: {own_db:.1f} dB": decoded[48],
        f"x265 medium: {their_db:.1f} dB": theirs[48],
    },
    alt="The rabbit before its cave three times: sharp; a little soft, with faint waves in "
    "the meadow; with flatter grass and a coarser face.",
)

# %% [markdown]
# ## Look: what others have published
#
# So has this course beaten x265? On one small clip, shrunk to 192×108: yes, if you wait; how long, you see below. That
# says little about UVG. Everyday encoders are made for large pictures, where most blocks hold hardly anything new; in
# a shrunk one, every block holds a lot. What do codecs reach on the real thing, 1920×1080, averaged over the seven
# sequences? The hollow points are published ones. None of them was measured here.

# %%
KINDS = {  # of rate, and of codec; see data/anchors/README.md
    "VTM 17.0 RA": "file size; the reference encoder of H.266, very slow",
    "HiNeRV (new)": "file size; network, frame-wise, in patches",
    "x265 medium no-B": "file size; an everyday encoder, not at its best",
    "C3 adaptive": "estimate, the entropy; small network over learned grids",
    "FFNeRV": "estimate, Huffman; network, frame-wise with flow",
    "NeRV (digitised)": "formula; network, frame-wise; read off a figure",
    "SIEDD (RD curve)": "as its authors count, 6-bit weights; network, pixel-wise",
}
shown = [found for found in published if found.codec in KINDS and found.bpp < 0.7]
against_x265 = {name: metrics.bd_rate(*x265, *curve(published, name)) for name in KINDS}
for name, percent in against_x265.items():
    print(f"{name:17} {percent:+6.0f} %  {KINDS[name]}")
shake = results.published("ShakeNDry")
nvp = metrics.bd_rate(*curve(shake, "x265 medium no-B"), *curve(shake, "NVP"))
print(f"on ShakeNDry alone: NVP {nvp:+.0f} %  network, pixel-wise over learned grids")
assert 40 < nvp < 75
assert against_x265["VTM 17.0 RA"] < against_x265["HiNeRV (new)"] < -50
assert abs(against_x265["FFNeRV"]) < 5 and against_x265["SIEDD (RD curve)"] > 500
plots.rate_quality(
    shown, ours="SIEDD (RD curve)", name=lambda found: found.codec, size=(7.4, 4.2)
)

# %% [markdown]
# Read it slowly.
#
# * The best network here (frame-wise, in patches) needs less than half of the bits of x265 at `medium`. VTM, which
#   is no network at all, needs fewer still. (NVRC, below, reports to pass VTM; the table does not have its points.)
# * **The pixel-wise class, to which CoordFlow belongs, is far to the right**: the published curve needs more than
#   six times the bits of x265. It was made for fast encoding, not for the last bit; but no purely pixel-wise
#   codec of this table comes near x265 on 1080p. (NVP, whose pixels look into learned grids, is at about 1.6 times, on
#   ShakeNDry alone.)
# * CoordFlow's abstract claims the lead among pixel-wise networks and parity with leading frame-wise ones. The
#   paper's tables were not at hand, so this course does not repeat its numbers.
# * **Rates are of different kinds.** Three curves are sizes of files, the others estimates or formulas. Chapter 08
#   showed what an estimate may leave out.
#
# Your own curve does not belong into this picture: other frames, another size. When you have run UVG on a GPU
# (below), it does.

# %% [markdown]
# ## Look: what the pixel-wise class costs and buys
#
# **It costs time.** A weight takes part in every pixel. Our file of bunny, decoded above:

# %%
began = perf_counter()
part = list(decoder.decode_frames(data, range(40, 44)))
part_seconds = perf_counter() - began
FULL_HD = 1920 * 1080  # pixels of a frame
per_second = whole.pixels / decode_seconds
print(
    f"{whole.time} frames: {decode_seconds:.2f} s, {per_second / 1e6:.2f} million pixels/s"
)
print(
    f"a frame of 1080p has {FULL_HD / 1e6:.2f} million: {FULL_HD / per_second:.1f} s each"
)
print(f"4 frames out of the middle: {part_seconds:.2f} s")
assert part_seconds < decode_seconds / 4
slower = (
    nearest("CoordFlow", 0.075).encode_seconds
    / nearest("x265 medium", 0.075).encode_seconds
)
print(f"encoding takes {slower:,.0f} times as long as x265 medium (table, 0.075 bpp)")
assert slower > 20
for found in published:
    if found.codec in ("SIEDD-S", "SIEDD-L", "NIRVANA (SIEDD table)"):
        print(
            f"{found.codec}: {found.psnr_db:.1f} dB, {found.bpp:.2f} bpp; {found.settings}"
        )

# %% [markdown]
# (The published times are of one GPU for each sequence of 1080p.) An everyday decoder shows 1080p in real time on
# a phone. A pixel-wise network needs a large GPU for that, or a smaller picture.
#
# **It buys what a grid of pixels has not.**
#
# * *Random access.* Any frame, any pixel, without those before it: four frames took a small part of the time of
#   all. x265 has to begin at the last frame that was coded by itself, and decode all up to the one you want.
# * *Any size, any time.* Chapter 07 asked between pixels and between frames.
# * *Layers.* Masks, removed objects, a camera held still: they are in the file, and nobody had to label
#   anything.
# * *A small decoder.* A hundred lines and a few matrix products, against the many pages of a standard.
#
# So the honest sentence about this class today: **it is not how you would send a film; it is a way to have a film as
# something that can be taken apart.** Its gap to the frame-wise networks is the open question.

# %% [markdown]
# ## Look: how to read "state of the art"
#
# Seven questions, in the order of how often they decide.
#
# | ask | because |
# |---|---|
# | Is the rate the size of a file that was decoded? | estimates leave out tables, steps, headers (chapter 08) |
# | Which preset of the rival, which year, `tune`? | you saw what `veryslow` does to a gap |
# | PSNR of what? RGB, or Y alone? | chroma is coded more coarsely, so Y looks better |
# | Which mean? | one bad frame moves the two means apart by decibels |
# | Which frames, size and matrix? | 24 of 600 frames, 720p for 1080p, BT.709 for BT.601 |
# | With a container? | kilobytes, for a clip of kilobytes |
# | Over which range is the average? | beyond the points, a curve is a guess |
#
# Three of them you can now break on purpose.

# %% [markdown]
# ## Break it
#
# **Count the container.** An `.mp4` file holds the stream, and a table of where each frame begins, its time and much
# else; and x264 leaves a note about its own settings in it, some 600 bytes, which `baselines` takes out of raw
# streams. Write one, and compare it with the raw stream of the same encoder and setting.


# %%
def mp4_size(clip, crf):
    """Bytes of the .mp4 that x264 makes of a clip."""
    path = folder / "clip.mp4"
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=clip.fps)
        track.width, track.height, track.pix_fmt = clip.width, clip.height, "yuv420p"
        track.options = {"preset": "medium", "crf": str(crf)}
        for frame in clip.frames:
            container.mux(track.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(track.encode())
    return path.stat().st_size


tiny = load("clip:bunny", Selection(0, 48, 2, 96, 54))
crfs = (42, 36, 30, 24)
streams = [baselines.encode(tiny, "x264", crf) for crf in crfs]
raw_sizes = [len(stream.data) for stream in streams]
mp4_sizes = [mp4_size(tiny, crf) for crf in crfs]
for small, large in zip(raw_sizes, mp4_sizes, strict=True):
    print(f"raw stream {small:6,} bytes, in an .mp4 {large:6,}: {large - small:,} more")
    assert 1000 < large - small < 3000

# %%
qualities = [metrics.psnr_db(tiny.frames, baselines.decode(stream)) for stream in streams]
raw_rates, mp4_rates = (
    [metrics.bits_per_pixel(size, tiny) for size in sizes]
    for sizes in (raw_sizes, mp4_sizes)
)
gift = bd_rate(mp4_rates, qualities, raw_rates, qualities)
print(f"x264 without container against x264 in .mp4: {gift:.0f} %")
assert -60 < gift < -25
assert raw_sizes[0] < mp4_sizes[0] / 2 and raw_sizes[-1] > 0.75 * mp4_sizes[-1]
figures.lines(
    {"container": 100 * (1 - np.divide(raw_sizes, mp4_sizes))},
    x=raw_rates,
    across="rate of the raw stream [bits per pixel]",
    up="share of the .mp4 [%]",
    alt="The container's share of the file over the rate: more than half at the lowest "
    "rate, less than a quarter at the highest.",
    size=(5, 2.6),
)

# %% [markdown]
# A codec that "saves" more than a quarter of the bits of *itself*. **The trace: the gain is huge at low rates and
# melts away at high ones**, because a container costs the same number of bytes everywhere. On ten seconds of 1080p
# nobody would notice it.

# %% [markdown]
# **Decode with the other matrix.** The film of the raw file, coded at better and better quality, each stream
# decoded rightly, and once as if it were BT.709.

# %%
right_db, wrong_matrix_db, sizes = [], [], []
for crf in (38, 30, 22, 14, 6):
    stream = baselines.encode(film, "x264", crf, pix_fmt="yuv444p")
    decoded = baselines.decode(stream)
    off = np.stack([rgb_of(planes_of(frame), "bt709") for frame in decoded])
    sizes.append(metrics.bits_per_pixel(len(stream.data), film))
    right_db.append(metrics.psnr_db(np.asarray(film.frames), decoded))
    wrong_matrix_db.append(metrics.psnr_db(np.asarray(film.frames), off))
print("right matrix:", " ".join(f"{value:.1f}" for value in right_db), "dB")
print("other matrix:", " ".join(f"{value:.1f}" for value in wrong_matrix_db), "dB")
assert max(wrong_matrix_db) < wrong_db < 38 < right_db[-1]
assert right_db[-1] - right_db[-2] > 4 > 2 > wrong_matrix_db[-1] - wrong_matrix_db[-2]
figures.lines(
    {"right matrix": right_db, "other matrix": wrong_matrix_db},
    x=sizes,
    across="rate [bits per pixel]",
    up="quality [dB PSNR]",
    alt="Two curves over the rate: one rises on and on, the other bends and is flat.",
)

# %% [markdown]
# **The trace: a ceiling.** More bits do not help any more, at a quality where they should. Whenever a curve goes
# flat, look for an error that has nothing to do with coding: a matrix, a resize, a shift by one frame or one pixel.

# %% [markdown]
# **Extrapolate.** Take the published curve of x265 and cut it in two: its four lowest rates, and its four highest.
# It is one codec, so the true BD-rate between the halves is zero. But the halves share no quality. Bjøntegaard's
# first recipe fitted a cubic through four points, and a cubic can be evaluated anywhere ...


# %%
def bd_extrapolated(anchor_rates, anchor_db, rates, db):
    """BD-rate over all qualities that one of the curves reaches: do not do this."""
    places = np.linspace(min(anchor_db[0], db[0]), max(anchor_db[-1], db[-1]), 1000)
    anchor = np.polyval(np.polyfit(anchor_db, np.log(anchor_rates), 3), places)
    return 100 * np.expm1(
        (np.polyval(np.polyfit(db, np.log(rates), 3), places) - anchor).mean()
    )


low_half, high_half = (
    [column[part] for column in x265] for part in (slice(4), slice(-4, None))
)
nonsense = bd_extrapolated(*high_half, *low_half)
print(f"x265 against itself, extrapolated: {nonsense:.0f} %")
print(f"by hand, over what both reach: {bd_rate(*high_half, *low_half)}")
try:
    metrics.bd_rate(*high_half, *low_half)
except ValueError as error:
    print(f"library: {error}")
assert nonsense < -50 and math.isnan(bd_rate(*high_half, *low_half))

# %%
figure, place = figures.axes(
    alt="Eight points on one curve, four at low and four at high rates. The cubic through "
    "the low four leaves the curve to the right; that through the high four bends back, as "
    "if worse pictures took more bits.",
    size=(6.4, 3.4),
)
places = np.linspace(low_half[1][0], high_half[1][-1], 200)
for name, (rates, heights), color in (
    ("four lowest", low_half, "orange"),
    ("four highest", high_half, "blue"),
):
    fit = np.polyval(np.polyfit(heights, np.log(rates), 3), places)
    place.plot(np.exp(fit), places, "--", color=plots.PALETTE[color])
    place.plot(rates, heights, "o", color=plots.PALETTE[color], label=name)
place.plot(*x265, color=plots.PALETTE["black"], linewidth=0.8, label="all points")
place.set(
    xscale="log", xlim=(0.008, 2), xlabel="rate [bits per pixel], log scale", ylabel="dB"
)
place.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
place.legend(frameon=False)
figure

# %% [markdown]
# x265 "saves" more than half of the bits of x265, thanks to a cubic that nobody looked at. **The trace: a figure
# without a place.** Ask over which qualities the average was taken, and how much of that range both curves have. The
# library answers nothing where they share none; if they share a sliver, it is on you to say so.

# %% [markdown] tags=["exercise"]
# ### Exercise 9.4: Spot the flaw
#
# *`which_flaw` · difficulty 2 of 3 · 12 minutes*
#
# Five claims. Four of them are flawed, each in one way.
#
# | | claim |
# |---|---|
# | A | "Bosphorus, 600 frames of 1920×1080, at 0.02 bits per pixel. Our file has 9,331,200 bytes." |
# | B | "On 24 frames of 96×54 our file has 2,300 bytes; at the same PSNR x264 needs 3,900. (Ours: `clip.cfv`. x264: `clip.mp4`, preset medium.)" |
# | C | "Beauty at 0.03 bits per pixel: ours 35.6 dB (`psnr_y` of ffmpeg), HiNeRV 34.2 dB (RGB, from its authors)." |
# | D | "A BD-rate of −42 % against x265. Our points: 30 to 35 dB. Those of x265: 36 to 40 dB." |
# | E | "One clip, one rate: 29.9 dB in 18,500 bytes, x265 medium 29.8 dB in 18,600. Raw streams, decoded, RGB, mean over the same 96 frames." |
#
# Put `"pixels"` (counted wrongly), `"container"`, `"two kinds of PSNR"`, `"extrapolated"` or `"fair"` behind
# each letter in place of the dots.

# %% tags=["stub"]
which_flaw = ...  # {"A": "...", "B": "...", "C": "...", "D": "...", "E": "..."}

which_flaw = check(which_flaw, "which_flaw")

# %% [markdown] tags=["hint"]
# Compute where there is something to compute: A's rate; how many bytes B's files are apart, beside what you have
# measured above.

# %% [markdown] tags=["hint"]
# A small claim that says how it was measured is not flawed for being small.

# %% tags=["solution"]
which_flaw = {
    "A": "pixels",
    "B": "container",
    "C": "two kinds of PSNR",
    "D": "extrapolated",
    "E": "fair",
}

# %% [markdown] tags=["solution"]
# A is 0.06 bits per pixel; whoever counts R, G and B as three pixels gets a third of that.

# %% [markdown]
# ## Run it: all of UVG
#
# What you have done by hand for one clip, the library does for many: `sweep.plan` lists the jobs, one for each
# clip, rate and codec; `sweep.run` does them, each in a folder of its own, and may be stopped and started again;
# `write_report` makes a page of tables and curves. Here are the flower's raw file and two rates, in seconds:

# %%
from coordflow_mini.show.report import write_report
from coordflow_mini.sweeps import sweep
from coordflow_mini.sweeps.job import Reference

INPUTS = here.pick(cpu=[str(raw_file)], gpu=[str(raw_file)], full=["uvg"])
LIST = here.pick(cpu=(0.2, 0.4), gpu=(0.2, 0.4), full=(0.015, 0.03, 0.06, 0.12))
jobs = sweep.plan(
    INPUTS,
    LIST,
    [Reference.parse("x264"), Reference.parse("x265:veryslow:psnr")],
    Recipe(fit=training(here.pick(200, 2000, 40_000)), codec=CodecConfig(steps=STEPS // 4)),
    selection=here.pick(
        cpu=Selection(width=128, height=72), gpu=Selection(), full=Selection()
    ),
)
runs = here.pick(folder / "runs", folder / "runs", Path("runs/uvg"))  # hours of work stay
experiment = sweep.run(
    runs,
    jobs,
    on_job=lambda outcome, standing: print(outcome.name, outcome.state),
)
assert not experiment.failed and len(experiment.points) == len(jobs)
page = write_report(runs, experiment)
print(f"{page.name}: {page.stat().st_size:,} bytes")

# %% [markdown]
# The page has its curves, its tables, and a line on who needs fewer bits, losses stated as plainly as wins. Its
# first figure is below. (So few training steps show that the machinery runs, and nothing else.)

# %%
plots.rate_quality(experiment.points)

# %% [markdown]
# Run the same cell again: nothing is computed twice, since every job that has ended stays ended. And the same
# calls, with the name `uvg` and a GPU, are the experiment of this chapter's title. On the command line:
#
# ```
# coordflow fetch uvg
# coordflow sweep uvg --preset uvg-m --bpp 0.015,0.03,0.06,0.12 --against x265:veryslow:psnr --out runs/uvg
# coordflow report runs/uvg
# ```
#
# `fetch` downloads the seven archives after showing their license (it forbids commercial use), unpacks them and
# checks every size. `sweep` says beforehand how long it will take on your machine. Where there is a GPU and UVG has
# been fetched, this notebook runs the same jobs itself.

# %% [markdown]
# ## Recap
#
# * Raw video is planes without a header: size, rate and matrix have to be known. BT.601 and BT.709 read other
#   colors from the same bytes.
# * Rate is 8 · bytes of the file over all pixels of all frames; a pixel counts once.
# * PSNR is of RGB, of each frame, then the mean. The PSNR of the mean error is another number.
# * BD-rate: mean difference of log(rate) at equal quality, over what both reach, and nowhere else.
# * Trained for minutes, the network beats x265 on a small clip; on 1080p, published pixel-wise networks without
#   grids need several times the bits of x265. It costs time, and buys access to any frame, any size, and layers.
# * Traces: a gain that melts away at high rates (container), a ceiling (matrix), a figure without a place
#   (extrapolation).

# %%
progress()

# %% [markdown]
# ## Questions
#
# 1. A sequence of 300 frames and one of 600 are coded by models of equal size. Why is the mean of their rates in
#    bits per pixel not the rate of both files together? Which one does the field report?
# 2. Somebody reports a BD-rate of −50 % in favor of codec A, with B as the anchor. What is the BD-rate with A as
#    the anchor?
# 3. Your codec gains 0.5 dB in Y-PSNR and loses 0.1 dB in RGB-PSNR against the same rival. How can that be?
# 4. Why does the course give x265 the bytes of our file, and not our file the bytes of x265?
# 5. Name one comparison in which CoordFlow would win against any codec of this chapter, and one in which it would
#    lose against all, without looking at PSNR.

# %% [markdown] tags=["answer"]
# 1. The shorter one has twice the bits per pixel, and half the pixels. The field reports the mean of the
#    sequences' rates, so the short sequence counts as much as a long one.
# 2. +100 %: half as many bits one way is twice as many the other way. Only logarithms are symmetric.
# 3. It spends bits on brightness that the rival spends on chroma. RGB mixes all three planes.
# 4. A stream may have any size, so the search hits ours within a fraction of a percent, and never exceeds it. Our
#    files end up to 5 % below a target. Either way, sizes must be compared at equal quality, or qualities at equal
#    size.
# 5. It wins where layers count: the mask of the flower, out of the file, without a label. It loses in encoding
#    time against all of them.

# %% [markdown]
# ## Further reading
#
# * CoordFlow, arXiv 2501.00975: its experiments on UVG, with the claims quoted above.
# * Mercat, Viitanen, Vanne, *UVG dataset: 50/120fps 4K sequences for video codec analysis and development*, ACM
#   MMSys 2020: the sequences, https://ultravideo.fi.
# * Bjøntegaard, *Calculation of average PSNR differences between RD-curves*, VCEG-M33, 2001.
# * Kwan et al., *HiNeRV*, arXiv 2306.09818, and *NVRC*, arXiv 2409.07414: the networks that come nearest to the
#   newest standard, and by their authors' measure pass its reference encoder.
# * Rangarajan et al., *SIEDD*, arXiv 2506.23382: the pixel-wise class, made fast.
# * [data/anchors/README.md](../data/anchors/README.md): where every published point comes from, and which of them
#   do not agree.
#
# This was the last chapter. What you could do next stands in [INSTRUCTORS.md](../INSTRUCTORS.md), under *Project
# briefs*, and the library is small enough to be read in an afternoon: begin with `coordflow_mini/model.py`.
