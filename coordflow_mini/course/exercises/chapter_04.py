"""Examiners of chapter 04, one layer with flow."""

from itertools import permutations
from typing import Any

import torch
from torch import Tensor, nn

from coordflow_mini import similarity
from coordflow_mini.coords import frame_times
from coordflow_mini.course.exercises.examiner import Mistake, answer, call, close, diagnose, exercise
from coordflow_mini.course.lesson import canonical

MOTION = torch.tensor([0.3, 0.5, 0.15, -0.1])  # scale 1.35, 29 degrees: every mistake shows


@exercise(chapter=4, stand_in=canonical.start_at_identity)
def start_at_identity(theirs: Any) -> None:
    """A flow network that starts at "no motion" and can learn."""
    flow, inputs = _flow(), _inputs()
    fresh, last_bias = flow(inputs).detach(), list(flow.parameters())[-1].detach().clone()
    changed = call(theirs, flow)
    if changed is None:
        raise Mistake("Your function returns None. Is the return missing? Return the flow network.")
    if not isinstance(changed, nn.Module):
        raise Mistake(f"Your function returns a {type(changed).__name__}; return the flow network itself.")
    start = answer(changed, inputs, shape=(4, 4))
    if not _near(start, torch.zeros(4)):
        raise Mistake(_why_not_still(start, fresh, last_bias))
    if not _learns(changed, inputs):
        raise Mistake(
            "Your flow starts at the identity but can never follow a motion, since all its weights are 0. "
            "Then the hidden values are 0, so the last layer's weights get no gradient, and the first "
            "layer's gradient passes through those weights and is 0, too. Only the last bias learns: one "
            "motion for all frames. Leave the first layer random."
        )


def _near(found: Tensor, wanted: Tensor) -> bool:
    return bool((found - wanted).abs().max() < 0.03)


def _why_not_still(start: Tensor, fresh: Tensor, last_bias: Tensor) -> str:
    """Message for a flow that does not start at the identity."""
    if _near(start, torch.tensor([1.0, 0, 0, 0])):
        return (
            "The first output of your flow starts at 1. That would be right for s, but it is log s, and "
            "log 1 = 0. With 1, every pixel looks 2.7 times as far from the center."
        )
    if _near(start, fresh):
        return "Nothing has changed: your flow still starts at its random motion."
    if _near(start, last_bias):
        return (
            "The weights of the last layer are (nearly) 0, but its bias still moves everything. It must be "
            "0, too."
        )
    numbers = ", ".join(f"{value:.2g}" for value in start[0].tolist())
    return (
        f"Your flow starts at a motion: at t = -1 it returns ({numbers}). All four numbers must be (nearly) "
        "0 at all times. Which layer determines that?"
    )


def _flow() -> nn.Sequential:
    """A flow network with fixed weights."""
    flow = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))
    with torch.no_grad():
        for index, parameter in enumerate(flow.parameters()):
            values = torch.sin(1.7 * torch.arange(parameter.numel()) + index) * 0.6
            parameter.copy_(values.view_as(parameter))
    return flow


def _inputs() -> Tensor:
    """Inputs of a flow network at four times, [4, 3]: t, sin(π/2 t), cos(π/2 t)."""
    times = frame_times(4)
    return torch.stack([times, torch.sin(times * torch.pi / 2), torch.cos(times * torch.pi / 2)], dim=-1)


def _learns(flow: nn.Module, inputs: Tensor) -> bool:
    """True if three steps of gradient descent make the motion depend on time."""
    target = inputs[:, :1] * MOTION
    learnable = [parameter for parameter in flow.parameters() if parameter.requires_grad]
    for _ in range(3):
        error = (flow(inputs) - target).square().mean()
        if not error.requires_grad:
            return False
        slopes = torch.autograd.grad(error, learnable, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for parameter, slope in zip(learnable, slopes, strict=True):
                parameter.sub_(0.5 * slope)
    moved = flow(inputs).detach()
    return bool((moved[-1] - moved[0]).abs().max() > 1e-2)


class _Counted:
    """A flow that counts the times t at which it is evaluated."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, times: Tensor) -> Tensor:
        times = torch.as_tensor(times).float()
        self.times += times.numel()
        return torch.stack([0.3 * times, 0.1 + 0.8 * times, 0.2 + 0.1 * times, -0.3 * times], dim=-1)


@exercise(chapter=4, stand_in=canonical.gather)
def gather(theirs: Any) -> None:
    """Canonical coordinates of pixels of many frames, with one evaluation of the flow per frame."""
    flow, times = _Counted(), frame_times(4)
    frame = torch.tensor(
        [2, 0, 3, 2]
    )  # as many pixels as frames, so that a mix-up shows in values, not in shapes
    points = torch.tensor([[0.4, 0.1], [-0.6, 0.3], [0.2, -0.5], [0.9, 0.6]])
    found = answer(theirs, flow, times, frame, points)
    all_motions = flow(times)
    _check_places_shape(found, frames=4, pixels=4)
    diagnose(
        found,
        canonical.gather(flow, times, frame, points),
        {
            "You give the first pixel the motion of the first frame, the second pixel that of the second, "
            "and so on. Row i of the motions belongs to frame i, not to pixel i: pick the row of each "
            "pixel's own frame.": similarity.apply(all_motions, points),
            "You index the wrong axis. Motions are [frames, 4]: the frame chooses the row, "
            "transforms[frame], not the column.": similarity.apply(all_motions[:, frame], points),
            "You pass frame indices to the flow. It expects times from -1 to 1.": similarity.apply(
                flow(frame), points
            ),
            "You reorder the points by their frames. Leave the points as they are; each one needs the "
            "motion of its frame.": similarity.apply(all_motions, points[frame]),
            "You go the wrong way. The flow leads from the frame to the canonical picture; apply it "
            "directly, not its inverse.": similarity.apply(similarity.inverse(all_motions)[frame], points),
            "You move all pixels by the first frame's motion.": similarity.apply(all_motions[:1], points),
        },
        otherwise="The coordinates are wrong. Two steps: the motion of each pixel's own frame, [pixels, 4], "
        "then similarity.apply to the points.",
    )
    _check_more_pixels(theirs)


def _check_places_shape(found: Tensor, frames: int, pixels: int) -> None:
    """Diagnose any shape other than [pixels, 2]."""
    shape = tuple(found.shape)
    if shape == (frames, pixels, 2):
        raise Mistake(
            "You move every pixel by the motion of every frame, [frames, pixels, 2]. Each pixel belongs to "
            "one frame only."
        )
    if shape == (pixels, 4):
        raise Mistake("You return motions, [pixels, 4]. Now apply them to the points.")
    if shape != (pixels, 2):
        raise Mistake(f"Your result has the shape {list(shape)}, expected [{pixels}, 2].")


def _check_more_pixels(theirs: Any) -> None:
    """Check nine pixels of five frames, and that the flow is evaluated five times."""
    flow, times, frame = _Counted(), frame_times(5), torch.arange(9) % 5
    points = torch.stack([torch.arange(9) / 9, torch.arange(9) % 4 / 4], dim=-1)
    found = answer(theirs, flow, times, frame, points, shape=(9, 2))
    if not close(found, canonical.gather(_Counted(), times, frame, points)):
        raise Mistake("Right for 4 pixels of 4 frames, but not for 9 pixels of 5 frames.")
    if flow.times > len(times):
        raise Mistake(
            f"The coordinates are right, but you evaluate the flow at {flow.times} times for 9 pixels, and "
            "there are only 5 frames. Evaluate it once per frame, flow(times), and index the result."
        )


@exercise(chapter=4, stand_in=canonical.outline)
def outline(theirs: Any) -> None:
    """The corners of a frame in the canonical picture."""
    height, width = 6, 10
    found = answer(theirs, MOTION, height, width)
    if tuple(found.shape) == (2, 4):
        raise Mistake("Your result is [2, 4]; return one row per corner, [4, 2].")
    if tuple(found.shape) != (4, 2):
        raise Mistake(f"Your result has the shape {list(found.shape)}, expected [4, 2].")
    right = canonical.outline(MOTION, height, width)
    if any(close(found, right[list(order)]) for order in permutations(range(4)) if order != (0, 1, 2, 3)):
        raise Mistake(
            "Your corners are right, but in the wrong order: start at the upper left and go clockwise to "
            "the upper right, lower right and lower left. Otherwise the outline crosses itself."
        )
    corners = canonical.outline(similarity.identity(), height, width)
    back = similarity.inverse(MOTION)
    inner = torch.tensor([(width - 1) / width, (height - 1) / height])

    def moved(corners: Tensor, motion: Tensor = MOTION) -> Tensor:
        return similarity.apply(motion, corners)

    diagnose(
        found,
        right,
        {
            "These are the corners in the frame itself. Where does the motion move them?": corners,
            "You use the inverse. The flow leads from the frame to the canonical picture, and so do the "
            "corners: apply the transform itself.": moved(corners, back),
            "You use the centers of the corner pixels. The frame's edge is half a pixel further out: "
            "x = width / 2 / unit.": moved(corners * inner),
            "Your corners are at ±1 in both directions. Both axes share one unit, half the larger side, so y "
            "does not reach 1 in a frame that is wider than tall.": moved(corners.sign()),
            "Your unit is half the smaller side; use half the larger one.": moved(corners * width / height),
            "Your frame is twice as large as it should be: its width is 2 units, from -1 to 1.": moved(
                corners * 2
            ),
            "Your corners are in pixels. The unit of coordinates is half the larger side, and 0 is in the "
            "center.": moved((corners + corners[2]) * width / 2),
            "You have x and y swapped.": moved(corners.flip(-1)),
            "You forget to move the origin: coordinates are 0 in the center of the frame.": moved(
                corners + corners[2]
            ),
        },
        otherwise="Not yet. First the corners in the frame: with 6 x 10 pixels the upper left one is "
        "(-1, -0.6). Then similarity.apply.",
    )


RUNS = {
    "A": "sign of the angle",
    "B": "another canonical picture",
    "C": "all weights zero",
    "D": "the inverse",
}


@exercise(chapter=4, stand_in=dict(RUNS))
def which_motion(theirs: Any) -> None:
    """The explanation of each recovered motion."""
    if not isinstance(theirs, dict) or theirs.keys() != RUNS.keys():
        raise Mistake('Your answer must look like {"A": "...", "B": "...", "C": "...", "D": "..."}.')
    unknown = sorted(str(run) for run in theirs.values() if run not in RUNS.values())
    if unknown:
        raise Mistake(f"{unknown[0]!r} is not one of the four: {', '.join(map(repr, RUNS.values()))}.")
    if theirs["C"] != RUNS["C"]:
        raise Mistake("One run has straight, level lines: it has the same motion in every frame. Why?")
    if theirs["B"] != RUNS["B"]:
        raise Mistake(
            "Exactly one run is right, with a canonical picture in another position. Moving that picture "
            "adds the same angle in every frame: look for a curve parallel to the truth."
        )
    if theirs == RUNS | {"A": RUNS["D"], "D": RUNS["A"]}:
        raise Mistake(
            "A and D are swapped. The inverse undoes everything: angle, scale and shift all run the other "
            "way. A wrong sign of the angle leaves the other numbers alone."
        )
    if theirs != RUNS:
        raise Mistake("Each explanation belongs to exactly one run.")
