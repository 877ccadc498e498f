# %% [markdown]
# # 03 · Similarity transforms: four numbers move a picture
#
# **Time.** About 60 minutes to read and do. Running all cells, measured: 6 s on 2 CPU cores.
#
# Chapter 02 showed that a moving clip costs far more weights than a still one, although nothing new
# appears in it: the same picture lies somewhere else. This chapter builds the tool that says so in four
# numbers per frame, and lets gradient descent find those numbers.

# %% [markdown]
# ## What you will be able to do
#
# * Write the 3×3 matrix of a scale, a rotation and a shift, apply it, chain it, and undo it.
# * Warp a picture, and say why the *inverse* motion does the work.
# * Recover the motion between two frames by gradient descent, to a fraction of a degree.
# * Recognize three failures by the trace they leave: a wrong sign, a wrong unit, a pattern that repeats.
#
# **You need:** Python, a little PyTorch (tensors, `backward`), and the coordinates of chapter 02.

# %%
import math

import torch

from coordflow_mini import similarity
from coordflow_mini.coords import pixel_grid, point_pixels
from coordflow_mini.course import check, predict, progress, setup
from coordflow_mini.course.lesson import figures, warping
from coordflow_mini.course.lesson.playground import playground
from coordflow_mini.video import scenes

here = setup(chapter=3)

# %% [markdown]
# ## Predict
#
# In this course, motion goes from the frame to the source: a pixel at place $p$ of the frame shows what
# the source picture has at place $p' = 2p$. Before you compute anything: how does the content look in
# the frame? Put your answer in place of the three dots, then run the cell.

# %%
scale_two = predict(
    "scale_two",
    "Every pixel p looks at 2p. The content looks ...",
    choices=["bigger", "smaller", "unchanged"],
    answer=...,
)

# %% [markdown]
# ## The idea: scale, turn, shift
#
# CoordFlow (arXiv 2501.00975, section 2) moves each layer of a video by a **similarity transform**,
#
# $$p' = s\,R(\theta)\,p + d .$$
#
# * $p = (x, y)$ is a point: $x$ to the right, $y$ *down*, both in units of half the picture's larger side.
# * $s > 0$ is the **scale**.
# * $R(\theta)$ is the **rotation** by the angle $\theta$ in radians. With $y$ pointing down, a positive
#   angle turns $x$ towards $y$, which looks clockwise.
# * $d = (d_x, d_y)$ is the **shift**.
#
# Four numbers per frame. A photograph that slides, turns and zooms needs no more; bending and
# perspective are left out on purpose.

# %% [markdown]
# **Why the logarithm of the scale?** A scale must stay positive, and doubling should be as far from "no
# change" as halving. With $s = e^{a}$ any number $a$ will do, and $a = 0$ means no change. So a
# transform is a tensor of four numbers, `(log s, θ, dx, dy)`, and "nothing moves" is all zeros. That
# will be a good place for a network to start from (chapter 04).


# %%
def report(name, transform):
    """One transform in numbers that people read."""
    log_scale, angle, right, down = transform.tolist()
    degrees = math.degrees(angle)
    print(
        f"{name:6s} scale {math.exp(log_scale):.3f}  angle {degrees:6.2f}°  "
        f"shift ({right:.3f}, {down:.3f})"
    )


motion = torch.tensor([math.log(1.5), math.radians(30), 0.2, 0.1])
report("motion", motion)
report("zeros", similarity.identity())

# %% [markdown]
# ## Build: the transform as a matrix
#
# First the naive way: one point, written out.
#
# $$x' = s\cos\theta\,x - s\sin\theta\,y + d_x \qquad y' = s\sin\theta\,x + s\cos\theta\,y + d_y$$


# %%
def apply_naive(transform, point):
    """One point after the transform, (x', y')."""
    log_scale, angle, right, down = transform.tolist()
    scale, (x, y) = math.exp(log_scale), point.tolist()
    new_x = scale * (math.cos(angle) * x - math.sin(angle) * y) + right
    new_y = scale * (math.sin(angle) * x + math.cos(angle) * y) + down
    return torch.tensor([new_x, new_y])


points = torch.rand(5, 2)
naive = torch.stack([apply_naive(motion, point) for point in points])
apart = (naive - similarity.apply(motion, points)).abs().max()
assert apart < 1e-5
print(f"{len(points)} points, by hand and by the library: at most {apart:.0e} apart")

# %% [markdown]
# The library's `similarity.apply` does the same for any number of points at once; the assertion holds.
#
# A sum of products of $x$ and $y$ plus a constant is what a matrix does, once the point gets a third
# entry, 1, for the constant to be multiplied with:
#
# $$\begin{pmatrix}x'\\y'\\1\end{pmatrix} = M \begin{pmatrix}x\\y\\1\end{pmatrix}.$$
#
# Matrices are worth it because *one after the other* becomes a product, and *back* becomes an inverse.

# %% [markdown] tags=["exercise"]
# ### Exercise 3.1: Write the matrix
#
# *`matrix` · difficulty 1 of 3 · 8 minutes*
#
# Return the 3×3 matrix $M$ of a transform `(log s, θ, dx, dy)`, as a tensor. Compare it with the two
# equations above: the first row makes $x'$, the second $y'$, the third keeps the 1.


# %% tags=["stub"]
def matrix(transform):
    """The 3x3 matrix of (log s, θ, dx, dy)."""
    ...  # your code here


matrix = check(matrix)

# %% [markdown] tags=["hint"]
# Take the four numbers apart first: `log_scale, angle, right, down = transform`. Then `torch.exp`,
# `torch.cos` and `torch.sin`.

# %% [markdown] tags=["hint"]
# Read the coefficients off the equation for $x'$: what stands before $x$, what before $y$, what alone?
# These are the three entries of the first row.


# %% tags=["solution"]
def matrix(transform):
    """The 3x3 matrix of (log s, θ, dx, dy)."""
    log_scale, angle, right, down = transform.tolist()
    cos = math.exp(log_scale) * math.cos(angle)
    sin = math.exp(log_scale) * math.sin(angle)
    return torch.tensor([[cos, -sin, right], [sin, cos, down], [0, 0, 1]])


# %% [markdown] tags=["solution"]
# The lower left sine is positive: a quarter turn sends $(1, 0)$ to $(0, 1)$, from right to *down*.

# %% [markdown]
# One after the other: a product, read from right to left. Is it the same the other way round?

# %%
turn = torch.tensor([0.0, math.radians(90), 0.0, 0.0])
shift = torch.tensor([0.0, 0.0, 0.5, 0.0])
turn_first, shift_first = matrix(shift) @ matrix(turn), matrix(turn) @ matrix(shift)
assert torch.allclose(
    turn_first, similarity.matrix(similarity.compose(after=shift, before=turn)), atol=1e-6
)
for name, both in {"turn first": turn_first, "shift first": shift_first}.items():
    print(f"{name}: the origin moves to ({both[0, 2]:.1f}, {both[1, 2]:.1f})")

# %% [markdown]
# It is not. Turn first, and the shift stays to the right; shift first, and the turn takes the shift
# along, and it points down. Remember this in the next exercise.

# %% [markdown] tags=["exercise"]
# ### Exercise 3.2: Undo a transform
#
# *`inverse` · difficulty 2 of 3 · 12 minutes*
#
# Return the four numbers of the transform that undoes a transform. If $p' = s R p + d$, then what is $p$,
# written as *scale, turn, shift* of $p'$?


# %% tags=["stub"]
def inverse(transform):
    """The transform (log s, θ, dx, dy) that undoes a transform."""
    ...  # your code here


inverse = check(inverse)

# %% [markdown] tags=["hint"]
# Solve for $p$: subtract $d$ first, then undo $sR$: $p = \tfrac{1}{s} R^{-1}(p' - d)$. Multiply it out.

# %% [markdown] tags=["hint"]
# Scale $1/s$ (so minus the logarithm), angle $-\theta$, and the shift is what is left:
# $-\tfrac{1}{s} R(-\theta)\, d$. To turn a vector you may use `similarity.apply` with a transform
# that has no shift.


# %% tags=["solution"]
def inverse(transform):
    """The transform (log s, θ, dx, dy) that undoes a transform."""
    back = torch.stack([-transform[0], -transform[1], torch.tensor(0.0), torch.tensor(0.0)])
    shift = -similarity.apply(back, transform[2:])
    return torch.cat([back[:2], shift])


# %% [markdown] tags=["solution"]
# `back` scales by $1/s$ and turns by $-\theta$ in one go, which is just what the shift has to go through.

# %% [markdown]
# There and back again must change nothing. That is a law, and laws make the best tests.

# %%
there = similarity.apply(motion, points)
back_again = similarity.apply(inverse(motion), there)
assert torch.allclose(back_again, points, atol=1e-5)
assert torch.allclose(
    similarity.matrix(inverse(motion)),
    torch.linalg.inv(similarity.matrix(motion)),
    atol=1e-5,
)

# %% [markdown]
# ## Build: from points to pictures
#
# A picture is a grid of colors, but the place a pixel looks at falls *between* the grid's points. The
# usual answer is **bilinear**: average the four neighbors, each weighted by how near it is. Here it is
# for one point.


# %%
def sample_naive(picture, point):
    """The color of picture [height, width, 3] at one point, from its four neighbors."""
    height, width, _ = picture.shape
    column, row = point_pixels(point, height, width)
    left, top = math.floor(column), math.floor(row)
    color = torch.zeros(3)
    for i, j in [(top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)]:
        near = (1 - abs(row - i)) * (1 - abs(column - j))
        if 0 <= i < height and 0 <= j < width:
            color += near * picture[i, j]
    return color


scene = scenes.cutout()
source = torch.from_numpy(scene.video.frames[12]).float() / 255  # [height, width, 3]
naive = torch.stack([sample_naive(source, point) for point in points])
assert torch.allclose(naive, warping.sample(source, points), atol=1e-5)

# %% [markdown]
# `warping.sample` does that for all points at once, and gradients flow through it: later, that will
# tell gradient descent where to go.
#
# Now let every pixel of a frame look at $p' = 2p$ and settle the first prediction.

# %%
height, width, _ = source.shape
grid = pixel_grid(height, width)  # [pixels, 2], the place of every pixel
doubled = similarity.apply(torch.tensor([math.log(2), 0.0, 0.0, 0.0]), grid)
frame = warping.sample(source, doubled).view(height, width, 3)
scale_two.compare(
    "smaller",
    "The frame shows twice as wide a piece of the source, so what is in it shrinks.",
)
figures.pictures(
    {"source": source, "frame: each pixel p shows 2p": frame},
    alt="A flower on a patterned ground; beside it the same at half its size.",
)

# %% [markdown]
# This surprises nearly everyone once. Moving *where you look* by a transform moves *what you see* by its
# inverse: look further to the right, and the world moves to the left.
#
# Why work backwards at all? Because every pixel of the frame then gets exactly one color. Pushing the
# source's pixels forward would leave holes in some places and pile up in others.

# %% [markdown] tags=["exercise"]
# ### Exercise 3.3: Move the content
#
# *`warp` · difficulty 2 of 3 · 12 minutes*
#
# Write `warp(picture, motion)`: the picture with its **content** moved by `motion`. A scale of 2 makes
# the flower bigger, a positive angle turns it clockwise, a positive `dx` moves it to the right.
#
# You have `pixel_grid(height, width)`, `similarity.apply`, your `inverse`, and `warping.sample(picture,
# points)`. The result has the shape of the picture.


# %% tags=["stub"]
def warp(picture, motion):
    """The picture [height, width, 3] with its content moved by motion."""
    ...  # your code here


warp = check(warp)

# %% [markdown] tags=["hint"]
# For every place $p$ of the result, find the place that `motion` moves *to* $p$. Which transform
# leads from $p$ back to it?

# %% [markdown] tags=["hint"]
# Three steps: the grid, the grid seen through `inverse(motion)`, the sampled colors. `sample` returns
# `[pixels, 3]`; `.view(height, width, 3)` makes a picture of it.


# %% tags=["solution"]
def warp(picture, motion):
    """The picture [height, width, 3] with its content moved by motion."""
    height, width, channels = picture.shape
    came_from = similarity.apply(inverse(motion), pixel_grid(height, width))
    return warping.sample(picture, came_from).view(height, width, channels)


# %% [markdown]
# ## Look: which pixel asks where?
#
# Four pixels of a warped frame, and the places in the source that they got their colors from. One of them
# asks for a place outside of the source and stays black.

# %%
moved = torch.tensor([math.log(0.8), math.radians(40), 0.25, 0.1])
pixels = torch.tensor([[20.0, 15.0], [48.0, 32.0], [70.0, 45.0], [60.0, 20.0]])
unit, center = max(height, width) / 2, torch.tensor([width / 2 - 0.5, height / 2 - 0.5])
places = similarity.apply(inverse(moved), (pixels - center) / unit)
asked = torch.stack(point_pixels(places, height, width), dim=-1)
figures.source_arrows(
    source,
    warp(source, moved),
    pixels.tolist(),
    asked.tolist(),
    alt="A turned and shifted flower; from four of its pixels arrows lead to the same "
    "spots in the source picture beside it.",
)

# %% [markdown]
# Now play. The sliders move the *content*, through your `warp` once it is right. Watch the matrix: which
# of its numbers does each slider change? What do an angle of 180° and a mirror have in common, and can
# the sliders make a mirror? (The arrow keys move a slider, too.)

# %%
playground(lambda motion: warp(source, motion), name="A flower")

# %% [markdown]
# ## Build: let gradient descent find the motion
#
# Finding the transform that lays one picture onto another is called **registration**. Take two frames
# of a clip with one moving layer. The clip is generated, so the true motion between them is known:
# from a place in the last frame to the place of the same content in the first.

# %%
pan = scenes.pan()
frames = torch.from_numpy(pan.video.frames).float() / 255  # [time, height, width, 3]
first, last = frames[0], frames[-1]
motions = pan.motion[0].float()  # [time, 4], frame -> canonical
truth = similarity.compose(after=inverse(motions[0]), before=motions[-1])
figures.pictures(
    {"first frame": first, "last frame": last},
    alt="Two frames of one clip: the same ground, shifted, turned and zoomed.",
)

# %% [markdown]
# The recipe is that of all training: a guess with gradients, an error, a step downhill.
#
# * The guess: four zeros, no motion.
# * The error: every pixel of the last frame looks up the first frame through the guess; the mean squared
#   difference of colors. Pixels that look outside of the picture do not count.
# * The step: Adam, as everywhere.


# %%
def register(picture, target, apply=similarity.apply, points=grid, unit=1.0, steps=150):
    """The transform through which picture looks like target, and every step's error."""
    guess = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([guess], lr=0.02)
    errors = []
    for _ in range(steps):
        places = apply(guess, points) * unit
        seen = warping.sample(picture, places)  # [pixels, 3]
        inside = warping.sample(torch.ones_like(picture[..., :1]), places).detach()
        error = (inside * (seen - target.reshape(-1, 3)) ** 2).sum() / inside.sum() / 3
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    return guess.detach(), errors


# %%
found, errors = register(first, last)
report("truth", truth)
report("found", found)
assert abs(math.degrees(found[1] - truth[1])) < 1
assert (found[2:] - truth[2:]).abs().max() < 0.02
figures.lines(
    {"error": errors},
    across="step",
    up="mean squared error",
    alt="The error falls from about 0.05 to below 0.001 within a hundred steps.",
    logarithmic=True,
)

# %% [markdown]
# Found to within a degree and a pixel, from nothing but two pictures. Nobody told the optimizer what a
# rotation is: the gradient of the colors, through the bilinear sampling and the four numbers, was
# enough. Chapter 04 hands the four numbers to a small network of time, and the first frame to a network
# of $(x, y)$, and trains both at once.

# %% [markdown]
# ## Break it: three failures and their traces
#
# **Wrong unit.** Suppose coordinates ran from −1 to 1 in *both* directions, though the picture is wider
# than it is high. What should be a rotation then bends right angles.

# %%
square = torch.tensor(
    [1.0, height / width]
)  # a point in our units is this times one in -1 ... 1
turned = torch.tensor([0.0, math.radians(45), 0.0, 0.0])
bent = warping.sample(source, similarity.apply(turned, grid / square) * square).view(
    height, width, 3
)
figures.pictures(
    {
        "turned by 45°": warp(source, inverse(turned)),
        "turned in coordinates of -1 to 1": bent,
    },
    alt="The flower turned by 45 degrees; beside it the same, squeezed and sheared.",
)

# %% [markdown]
# Its trace: no choice of the four numbers fits, because no similarity bends. The error stays high.

# %%
crooked, high_errors = register(first, last, points=grid / square, unit=square)
report("truth", truth)
report("found", crooked)
assert high_errors[-1] > 5 * errors[-1]
figures.lines(
    {"isotropic": errors, "−1 to 1 both ways": high_errors},
    across="step",
    up="mean squared error",
    alt="With isotropic coordinates the error falls below 0.001, else it stays near 0.01.",
    logarithmic=True,
)

# %% [markdown]
# **Wrong sign.** Suppose the minus stood at the wrong sine, so that angles turned the other way.


# %%
def apply_mirrored(transform, points):
    """`similarity.apply` with the sign of the angle wrong."""
    return similarity.apply(transform * torch.tensor([1.0, -1.0, 1.0, 1.0]), points)


mirrored, mirrored_errors = register(first, last, apply=apply_mirrored)
report("truth", truth)
report("found", mirrored)
assert mirrored_errors[-1] < 2 * errors[-1] and mirrored[1] * truth[1] < 0

# %% [markdown]
# Nasty: the error is as low as before. A model with this bug trains perfectly, and only the recovered
# *angle* betrays it, once you compare it with a known motion. Hence clips whose truth we know.

# %% [markdown]
# **A pattern that repeats.** Stripes that repeat every 0.3 units, shifted by 0.2. What shift will gradient
# descent find, starting from 0?

# %%
stripes_shift = predict(
    "stripes_shift",
    "Stripes of period 0.3 are shifted by 0.2. From 0, descent finds the shift ...",
    unit="units",
    answer=...,
)


# %%
def stripes(points):
    """Vertical stripes of period 0.3, [height, width, 3]."""
    light = 0.5 + 0.4 * torch.sin(2 * math.pi * points[:, 0] / 0.3)
    return torch.stack([light, 0.8 * light + 0.1, 0.6 * light + 0.2], dim=-1).view(
        height, width, 3
    )


striped = stripes(grid)
shifted = stripes(similarity.apply(torch.tensor([0.0, 0.0, 0.2, 0.0]), grid))
found_shift, stripe_errors = register(striped, shifted)
report("found", found_shift)
assert abs(found_shift[2] + 0.1) < 0.02 and stripe_errors[-1] < 0.001
stripes_shift.compare(
    -0.1, "One period is 0.3: going back by 0.1 looks the same, and is nearer.", within=0.02
)
figures.pictures(
    {"stripes": striped, "shifted by 0.2": shifted},
    alt="Two pictures of vertical stripes; the second is moved by two thirds of a period.",
)

# %% [markdown]
# Its trace: a low error and a wrong motion, off by exactly one period. Descent only sees the slope where
# it stands. On smooth, varied texture the slope leads home from far away; on stripes, fences and
# windows the nearest valley may be the wrong one. Videos help: neighboring frames differ by little.

# %% [markdown] tags=["exercise"]
# ### Exercise 3.4: Which bug is this?
#
# *`which_bug` · difficulty 2 of 3 · 5 minutes*
#
# Three other runs, each with one of the three bugs. The error of a good run is below 0.001.
#
# | run | true angle | found angle | true shift | found shift | error at the end |
# |---|---|---|---|---|---|
# | A | 12.0° | −12.1° | (−0.27, 0.00) | (−0.27, 0.00) | 0.0008 |
# | B | 0.0° | 0.0° | (0.25, 0.00) | (−0.05, 0.00) | 0.0001 |
# | C | 12.0° | 9.1° | (−0.27, 0.00) | (−0.27, 0.04) | 0.0087 |
#
# Put `"sign of the angle"`, `"stripes"` or `"anisotropic"` behind each run in place of the dots.

# %% tags=["stub"]
which_bug = ...  # {"A": "...", "B": "...", "C": "..."}

which_bug = check(which_bug, "which_bug")

# %% [markdown] tags=["hint"]
# Which two of the three bugs can reach an error of almost zero?

# %% tags=["solution"]
which_bug = {"A": "sign of the angle", "B": "stripes", "C": "anisotropic"}

# %% [markdown]
# ## Recap
#
# * A similarity is $p' = sR(\theta)p + d$, four numbers `(log s, θ, dx, dy)`; zeros mean "no change".
# * Its inverse has scale $1/s$, angle $-\theta$ and shift $-\tfrac1s R(-\theta)d$; order matters.
# * Pixels look *backwards*: content moves by the inverse of what the coordinates do.
# * Gradient descent on four numbers registers two frames to a fraction of a degree.
# * A low error does not prove that the motion is right: signs and repeating patterns hide in it.

# %%
progress()

# %% [markdown]
# ## Questions
#
# 1. Write down the 3×3 matrix of a rotation by $\theta$ followed by a shift $(d_x, d_y)$, and its inverse.
# 2. In this course, flow goes from the frame to the canonical picture. A layer's flow has $d_x$ growing
#    over time. Which way does its content move?
# 3. Why does a rotation need the same unit along $x$ and $y$, while a pure shift does not?

# %% [markdown] tags=["answer"]
# 1. $\begin{pmatrix}\cos\theta&-\sin\theta&d_x\\\sin\theta&\cos\theta&d_y\\0&0&1\end{pmatrix}$;
#    its inverse is
#    $\begin{pmatrix}\cos\theta&\sin\theta&-(d_x\cos\theta+d_y\sin\theta)\\-\sin\theta&\cos\theta&
#    d_x\sin\theta-d_y\cos\theta\\0&0&1\end{pmatrix}$.
# 2. To the left: pixels look further and further to the right.
# 3. A rotation mixes $x$ and $y$ by adding one to the other, which only makes sense in one unit. A
#    shift treats them separately: another unit only rescales $d_x$ or $d_y$.

# %% [markdown]
# ## Further reading
#
# * CoordFlow, arXiv 2501.00975, section 2: the flow of a layer.
# * Jaderberg et al., *Spatial Transformer Networks*, arXiv 1506.02025: gradients through bilinear sampling.
# * Lucas and Kanade, *An iterative image registration technique*, 1981: registration by gradients, before
#   there were frameworks for it.
# * `coordflow_mini/similarity.py`: sixty lines, all of this chapter's mathematics.
