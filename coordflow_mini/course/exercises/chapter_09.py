"""Examiners of chapter 09, compress UVG."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordflow_mini.course.exercises.examiner import Mistake, answer, call, diagnose, exercise
from coordflow_mini.course.lesson import rates

HEIGHT, WIDTH, FRAMES, CODED = 6, 10, 7, 53  # chosen so that no ratio below is an integer
RAW = FRAMES * (HEIGHT * WIDTH + 2 * (HEIGHT // 2) * (WIDTH // 2))


@exercise(chapter=9, stand_in=rates.file_bpp)
def file_bpp(theirs: Any) -> None:
    """Rate of a file, with the number of frames from its raw source."""
    frame = HEIGHT * WIDTH
    bits, pixels = 8 * CODED, FRAMES * frame
    diagnose(
        answer(theirs, CODED, RAW, HEIGHT, WIDTH, shape=()),
        bits / pixels,
        {
            "You count every pixel three times, once per channel. A pixel counts once; your rate is a third "
            "of the usual one.": bits / (3 * pixels),
            "You count bytes, not bits. A byte has 8 bits.": CODED / pixels,
            "You forget the frames: the file holds all of them, so divide by the pixels of all.": bits
            / frame,
            "You count 3 bytes per pixel of the raw file. That is RGB; planar 4:2:0 has one byte of Y per "
            "pixel, and a quarter of a byte each of U and V: 1.5.": bits / (RAW / 3),
            "You count 1 byte per pixel of the raw file, that of Y. There are U and V, too, each a quarter "
            "as large: 1.5 bytes per pixel.": bits / RAW,
            "You count 2 bytes per pixel of the raw file. U and V are each a quarter as large as Y: "
            "1.5 bytes per pixel.": bits / (RAW / 2),
            "You count 1.25 bytes per pixel of the raw file. There are two chroma planes, U and V: 1.5.": bits
            / (RAW / 1.25),
            "You count kilobits. The rate is in bits.": bits / pixels / 1000,
            "You count kilobytes, not bits.": CODED / pixels / 1000,
            "Your fraction is inverted: this is pixels per bit.": pixels / bits,
            "You return how many times smaller the file is than the raw one.": RAW / CODED,
            "You return the size relative to the raw file. Return bits per pixel.": CODED / RAW,
            "You round to whole bits; // does that, / does not.": bits // pixels,
            "You return the rate of the raw file: 12 bits per pixel for any clip.": 8 * RAW / pixels,
        },
    )


ERRORS = np.array([9.0, 16.0, 400.0, 25.0])  # of four frames, one of them bad


@exercise(chapter=9, stand_in=rates.two_psnrs)
def two_psnrs(theirs: Any) -> None:
    """Mean of the PSNRs, and PSNR of the mean error."""
    found = answer(theirs, ERRORS)
    if tuple(found.shape) != (2,):
        raise Mistake(
            f"Return two numbers, (mean of the frames' PSNRs, PSNR of the mean error); your result has the "
            f"shape {list(found.shape)}."
        )
    right = np.array(rates.two_psnrs(ERRORS.tolist()))
    frames, total = 10 * np.log10(255**2 / ERRORS), float(ERRORS.mean())
    diagnose(
        found,
        right,
        {
            "Your two numbers are swapped: first the mean of the PSNRs, then the PSNR of the mean "
            "error.": right[::-1].copy(),
            "Both are the PSNR of the mean error. For the first, take the PSNR of each frame, then the "
            "mean.": right[[1, 1]],
            "Both are the mean of the PSNRs. For the second, take the mean of the errors first.": right[
                [0, 0]
            ],
            "Your peak is 1. These errors are in gray levels, from 0 to 255.": right - 20 * math.log10(255),
            "You use the natural logarithm. Decibels use the logarithm to base 10.": right * math.log(10),
            "You take 20 times the logarithm although the error is already squared: use "
            "10 log10(peak² / error).": np.array(
                [(20 * np.log10(255 / ERRORS)).mean(), 20 * math.log10(255 / total)]
            ),
            "Your sign is wrong: a small error is a high PSNR, so divide by the error.": -right,
            "You sum the errors of the frames instead of averaging them.": np.array(
                [right[0], 10 * math.log10(255**2 / ERRORS.sum())]
            ),
            "You sum the PSNRs of the frames instead of averaging them.": np.array([frames.sum(), right[1]]),
            "You forget the square of the peak: 255² over the squared error.": right - 10 * math.log10(255),
            "You take the median of the PSNRs. The convention is the mean.": np.array(
                [np.median(frames), right[1]]
            ),
        },
    )


# log2(rate) is a straight line over PSNR on both curves, so straight and smooth interpolation agree
ANCHOR_DB, DB = np.array([30.0, 33.0, 35.0, 38.0]), np.array([31.5, 34.0, 37.0, 40.0])
ANCHOR, CURVE = 2 ** (-5 + (ANCHOR_DB - 30) / 3), 2 ** (-5.6 + (DB - 30) / 2.6)
FAR_DB = DB + 20  # shares no quality with the anchor


@exercise(chapter=9, stand_in=rates.bd_rate)
def bd_rate(theirs: Any) -> None:
    """Percent more or fewer bits at equal quality, over the common range."""
    found = answer(theirs, ANCHOR, ANCHOR_DB, CURVE, DB, shape=())
    diagnose(found, rates.bd_rate(ANCHOR, ANCHOR_DB, CURVE, DB), _suspects(), tolerance=3e-3)
    _check_far(theirs)
    bent, bent_db = 2 ** np.array([-5.0, -4.4, -3.1, -1.0]), np.array([30.0, 32.5, 34.0, 36.0])
    right = rates.bd_rate(ANCHOR, ANCHOR_DB, bent, bent_db)
    if abs(float(answer(theirs, ANCHOR, ANCHOR_DB, bent, bent_db, shape=())) - right) > 2:
        raise Mistake(
            f"Right where log(rate) is linear in PSNR, but not for a bent curve, whose BD-rate is "
            f"{right:.0f} %. Compare at many points of the common range, np.linspace."
        )


def _check_far(theirs: Any) -> None:
    """Check curves that share no quality, which have no BD-rate."""
    found = call(theirs, ANCHOR, ANCHOR_DB, CURVE, FAR_DB)
    try:
        value = float(found)
    except (TypeError, ValueError):
        raise Mistake("For curves that share no quality, return float('nan').") from None
    if not math.isnan(value):
        raise Mistake(
            f"Your function returns {value:.3g} % for curves from 30 to 38 dB and from 51 to 60 dB. They "
            "share "
            "no quality, so the result is undefined: return float('nan')."
        )


def _suspects() -> dict[str, float]:
    """Results of typical mistakes for the two straight curves."""
    log = _log_apart(*_common())
    right, percent = 100 * math.expm1(log), 100.0
    return {
        "You have the anchor and the curve swapped: the curve is compared with the anchor, so divide by the "
        "anchor.": percent * math.expm1(-log),
        "Your sign is wrong: fewer bits than the anchor is a negative BD-rate.": -right,
        "You return a fraction. Return percent.": right / 100,
        "You return the ratio of the rates, where 1 means no difference. Return percent more or fewer.": 1
        + right / 100,
        "You forget to subtract 1: equal rates are 0 percent.": percent + right,
        "You average rates, not their logarithms. Twice and half the rate must cancel, and the highest rates "
        "must not dominate: interpolate log(rate).": _linear(mean_of_ratios=False),
        "You interpolate rates, not their logarithms. Between two points a codec's rate grows "
        "exponentially: interpolate log(rate).": _linear(mean_of_ratios=True),
        "You forget to undo the logarithm: exp of the mean difference, minus 1.": percent * log,
        "You mix two bases: exp undoes log, 10 ** undoes log10.": percent * math.expm1(log / math.log(10)),
        "You mix two bases: 10 ** undoes log10, exp undoes log.": percent * (10**log - 1),
        "You forget to undo the logarithm, and use log10 as well.": percent * log / math.log(10),
        "You extrapolate: outside the common range one of the curves is a guess. Use only qualities that "
        "both curves reach, from max(first, first) to min(last, last).": percent
        * math.expm1(_line_apart(ANCHOR_DB[0], DB[-1])),
        "You go beyond the common range, where np.interp repeats the last value. Use only qualities that "
        "both reach.": percent * math.expm1(_log_apart(ANCHOR_DB[0], DB[-1])),
        "You compare over the anchor's range, and the curve does not reach its lower end. Use only "
        "qualities that both reach.": percent * math.expm1(_log_apart(ANCHOR_DB[0], ANCHOR_DB[-1])),
        "You compare over the curve's range, and the anchor does not reach its upper end. Use only "
        "qualities that both reach.": percent * math.expm1(_log_apart(DB[0], DB[-1])),
        "You do not divide the area by the width of the common range: return the mean.": percent
        * math.expm1(log * (_common()[1] - _common()[0])),
        "You compare point by point. The points have different qualities; compare at *equal* quality, by "
        "interpolation.": percent * math.expm1(float(np.log(CURVE / ANCHOR).mean())),
        "You compare mean rates at different qualities. Compare at equal quality.": percent
        * (CURVE.mean() / ANCHOR.mean() - 1),
        "This is the difference in quality at equal rate, in dB. Return the difference in rate at equal "
        "quality: interpolate log(rate) over PSNR.": _quality_apart(),
    }


def _common() -> tuple[float, float]:
    return max(ANCHOR_DB[0], DB[0]), min(ANCHOR_DB[-1], DB[-1])


def _places(low: float, high: float) -> NDArray[np.float64]:
    return np.linspace(low, high, rates.SAMPLES)


def _log_apart(low: float, high: float) -> float:
    """Mean difference of log(rate) by np.interp, which is constant beyond the ends."""
    at = _places(low, high)
    return float((np.interp(at, DB, np.log(CURVE)) - np.interp(at, ANCHOR_DB, np.log(ANCHOR))).mean())


def _line_apart(low: float, high: float) -> float:
    """The same with both lines extrapolated."""
    at = (low + high) / 2
    return float(
        np.polyval(np.polyfit(DB, np.log(CURVE), 1), at)
        - np.polyval(np.polyfit(ANCHOR_DB, np.log(ANCHOR), 1), at)
    )


def _linear(*, mean_of_ratios: bool) -> float:
    """Percent, from interpolated rates instead of logarithms."""
    at = _places(*_common())
    curve, anchor = np.interp(at, DB, CURVE), np.interp(at, ANCHOR_DB, ANCHOR)
    ratio = (curve / anchor).mean() if mean_of_ratios else curve.mean() / anchor.mean()
    return float(100 * (ratio - 1))


def _quality_apart() -> float:
    """Mean difference in PSNR over the common range of log(rate) [dB]."""
    anchor, curve = np.log(ANCHOR), np.log(CURVE)
    at = _places(max(anchor[0], curve[0]), min(anchor[-1], curve[-1]))
    return float((np.interp(at, curve, DB) - np.interp(at, anchor, ANCHOR_DB)).mean())


RIGHT = {
    "A": "pixels",
    "B": "container",
    "C": "two kinds of PSNR",
    "D": "extrapolated",
    "E": "fair",
}


@exercise(chapter=9, stand_in=RIGHT)
def which_flaw(theirs: Any) -> None:
    """The flaw of each comparison."""
    if not isinstance(theirs, dict) or theirs.keys() != RIGHT.keys():
        raise Mistake(
            'Your answer must look like {"A": "...", "B": "...", "C": "...", "D": "...", "E": "..."}.'
        )
    unknown = sorted(
        str(flaw)
        for flaw in theirs.values()
        if flaw is not ... and not (isinstance(flaw, str) and flaw in rates.FLAWS)
    )
    if unknown:
        raise Mistake(f"{unknown[0]!r} is not one of the five: {', '.join(map(repr, rates.FLAWS))}.")
    if ... in theirs.values():
        raise Mistake("Replace all dots: every claim needs an answer.")
    for claim, message in _LOOK_AGAIN.items():
        if theirs[claim] != RIGHT[claim]:
            raise Mistake(message)


_LOOK_AGAIN = {
    "E": "Look at E again. It claims little: one clip, one rate, a tenth of a decibel. Same frames, streams "
    "without a container, one kind of PSNR, a named preset. A small claim that says how it was measured is "
    "fair.",
    "A": "Look at A again, and compute: 8 · 9,331,200 bits over 600 · 1080 · 1920 pixels. By which number "
    "would you have to divide to get what A says?",
    "D": "Look at D again: which range does each curve cover? Which qualities do both reach?",
    "C": "Look at C again: 'psnr_y' measures brightness alone, and chroma is coded more coarsely. Is the "
    "other number of the same kind?",
    "B": "Look at B again: what does an .mp4 file contain besides the stream? How much of 3,900 bytes is it?",
}
