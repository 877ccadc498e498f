"""Examiners of chapter 00, welcome."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from coordflow_mini.course.exercises.examiner import Mistake, answer, diagnose, exercise
from coordflow_mini.course.lesson import opening
from coordflow_mini.measure import metrics
from coordflow_mini.video.clip import Video

CLIP = Video(np.zeros((5, 6, 10, 3), np.uint8))  # 300 pixels in 5 frames, 900 bytes
SIZE = 71  # bytes; chosen so that no ratio below is an integer


@exercise(chapter=0, stand_in=metrics.bits_per_pixel)
def bits_per_pixel(theirs: Any) -> None:
    """Rate of a file of `SIZE` bytes: bits over pixels."""
    frame, pixels, bits = CLIP.height * CLIP.width, CLIP.pixels, 8 * SIZE
    diagnose(
        answer(theirs, SIZE, CLIP, shape=()),
        metrics.bits_per_pixel(SIZE, CLIP),
        {
            "You count bytes, not bits. A byte has 8 bits.": SIZE / pixels,
            "You divide by 8. A byte has 8 bits, so there are more bits than bytes.": SIZE / 8 / pixels,
            "You count every pixel three times, once per channel. A pixel with its three colors counts "
            "once.": bits / (3 * pixels),
            "You forget the frames: the file holds all of them, so divide by all their pixels.": bits / frame,
            "You forget the size of a frame: it has height times width pixels.": bits / CLIP.time,
            "Your fraction is inverted: this is pixels per bit.": pixels / bits,
            "You round to whole bits; // does that, / does not.": bits // pixels,
            "You count bytes, not bits, and every pixel three times.": SIZE / (3 * pixels),
            "You count bytes, not bits, and the pixels of one frame only.": SIZE / frame,
        },
    )


@exercise(chapter=0, stand_in=opening.compression_factor)
def compression_factor(theirs: Any) -> None:
    """Ratio of the clip's size as plain RGB to the file's size."""
    frame, pixels, raw = CLIP.height * CLIP.width, CLIP.pixels, CLIP.frames.size
    diagnose(
        answer(theirs, SIZE, CLIP, shape=()),
        raw / SIZE,
        {
            "You forget the channels: a pixel of plain RGB takes three bytes.": pixels / SIZE,
            "You forget the frames: the clip has more than one.": 3 * frame / SIZE,
            "Your fraction is inverted: this is the fraction that remains.": SIZE / raw,
            "You count the clip in bits and the file in bytes. Use the same unit for both.": 8 * raw / SIZE,
            "You count the clip in bytes and the file in bits. Use the same unit for both.": raw / (8 * SIZE),
            "You return the fraction that is saved; return how many times larger the clip is.": 1
            - SIZE / raw,
            "You round to an integer; // does that, / does not.": raw // SIZE,
            "You return bits per pixel again.": 8 * SIZE / pixels,
            "Your fraction is inverted, and you forget that a pixel takes three bytes.": SIZE / pixels,
        },
    )


@exercise(chapter=0, stand_in=opening.switch_off)
def switch_off(theirs: Any) -> None:
    """One frame with a layer replaced by middle gray."""
    colors, alpha = _layers()
    pictures = _wrong_pictures(colors, alpha, off=1)
    found = answer(theirs, colors, alpha, 1)
    if found.shape == colors.shape:
        raise Mistake("You return one picture per layer; sum over the layers.")
    if found.shape != colors.shape[1:]:
        raise Mistake(
            f"Your result has the shape {list(found.shape)}, expected the shape of a picture, "
            f"{list(colors.shape[1:])}."
        )
    otherwise = (
        "This is not the right picture. Follow one pixel: which share and which color does each layer have, "
        "and what does the layer that is off show instead of its color?"
    )
    _diagnose_picture(found, opening.switch_off(colors, alpha, 1), pictures, otherwise)
    always = "This is right for layer 1 only: switch off the layer with the index `off`."
    for off in (0, 2):
        found = answer(theirs, colors, alpha, off, shape=tuple(colors.shape[1:]))
        _diagnose_picture(found, opening.switch_off(colors, alpha, off), {}, always)


def _layers() -> tuple[Tensor, Tensor]:
    """Three layers of 4x5 pixels, uint8 [3, 4, 5, 3], and soft alpha maps [3, 4, 5]; all different."""
    places = torch.arange(60.0).view(3, 4, 5)
    hue = torch.tensor([0.0, 2.0, 4.0])
    colors = (torch.sin(places[..., None] * 0.7 + hue) * 100 + 125).to(torch.uint8)
    return colors, torch.softmax(2 * torch.cos(places * 1.3), dim=0)


def _wrong_pictures(colors: Tensor, alpha: Tensor, off: int) -> dict[str, Tensor]:
    """Results of typical mistakes."""
    weighted, share, gray = alpha[..., None] * colors, alpha[off][..., None], opening.GRAY
    blend = weighted.sum(dim=0)
    others = blend - weighted[off]
    return {
        "Nothing is switched off: this is the full frame.": blend,
        "You leave the layer's share black. Add gray there, weighted by the share: share times 128.": others,
        "You give the layer's share to the others, which need not have a sensible color there. Leave "
        "their shares alone and give the free one to gray.": others / (1 - share),
        "You keep the layer that should go and switch off the others.": weighted[off] + gray * (1 - share),
        "You show only this layer; it is the one that should go.": weighted[off],
        "You add gray everywhere. Gray only gets the share of the layer that is off: alpha times 128.": others
        + gray,
        "You replace only pixels of which the layer has the most. Alpha is a share, so no threshold is "
        "needed: the layer's color becomes gray and its share stays.": torch.where(
            share > 0.5, torch.tensor(float(gray)), blend
        ),
        "You subtract the layer's full color; it contributes with the weight alpha.": blend - colors[off],
        "You average the other layers' colors without their shares.": (
            colors.float().sum(dim=0) - colors[off]
        )
        / (len(colors) - 1),
        "Your values run from 0 to 1; colors of layers and of your picture run from 0 to 255.": (
            others + gray * share
        )
        / 255,
        "Your gray is 0.5, but colors here run from 0 to 255: middle gray is 128.": others + 0.5 * share,
        "You set the layer's alpha to gray instead of its color.": others + gray * colors[off],
    }


def _diagnose_picture(found: Tensor, right: Tensor, wrong: dict[str, Tensor], otherwise: str) -> None:
    """`diagnose` with a tolerance for rounding to whole gray levels."""
    scaled = {message: picture / 255 for message, picture in wrong.items()}
    diagnose(found / 255, right / 255, scaled, otherwise=otherwise, tolerance=2.5e-3)


CURES = {
    "A": "run the cells above",
    "B": "another kernel",
    "C": "copy the file again",
    "D": "upgrade",
}


@exercise(chapter=0, stand_in=CURES)
def which_cure(theirs: Any) -> None:
    """The cure for each error message."""
    if not isinstance(theirs, dict) or theirs.keys() != CURES.keys():
        raise Mistake('Your answer must look like {"A": "...", "B": "...", "C": "...", "D": "..."}.')
    unknown = sorted(str(cure) for cure in theirs.values() if cure not in CURES.values() and cure is not ...)
    if unknown:
        raise Mistake(f"{unknown[0]!r} is not one of the four cures: {', '.join(map(repr, CURES.values()))}.")
    if theirs["A"] == "another kernel" or theirs["B"] == "run the cells above":
        raise Mistake(
            "A is about a name that a cell of this notebook defines, B about a package that this Python "
            "lacks. Which of them can another cell cure?"
        )
    if theirs["C"] == "upgrade" or theirs["D"] == "copy the file again":
        raise Mistake(
            "One file is damaged, the other intact but from a newer library. Which message says that bytes "
            "are missing?"
        )
    if theirs != CURES:
        raise Mistake("Each cure belongs to one message: two are about Python, two about a file.")
