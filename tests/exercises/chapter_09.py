# ruff: noqa: F811
import math

import numpy as np

from tests.exercises import wrong, wrong_value


@wrong(says="three times, once per channel")
def file_bpp(coded_bytes, raw_bytes, height, width):
    "counts channels as pixels"
    frames = raw_bytes / (height * width * 1.5)
    return coded_bytes * 8 / (3 * frames * height * width)


@wrong(says="bytes, not bits")
def file_bpp(coded_bytes, raw_bytes, height, width):
    "forgets the 8"
    frames = raw_bytes / (height * width * 1.5)
    return coded_bytes / (frames * height * width)


@wrong(says="forget the frames")
def file_bpp(coded_bytes, raw_bytes, height, width):
    "divides by one frame"
    return coded_bytes * 8 / (height * width)


@wrong(says="That is RGB")
def file_bpp(coded_bytes, raw_bytes, height, width):
    "counts frames as if the raw file were RGB"
    frames = raw_bytes / (3 * height * width)
    return coded_bytes * 8 / (frames * height * width)


@wrong(says="that of Y")
def file_bpp(coded_bytes, raw_bytes, height, width):
    "takes a raw byte for a pixel"
    return coded_bytes * 8 / raw_bytes


@wrong(says="kilobits")
def file_bpp(coded_bytes, raw_bytes, height, width):
    "kilobits"
    return coded_bytes / 1000 * 8 / (raw_bytes / 1.5)


@wrong(says="relative to the raw file")
def file_bpp(coded_bytes, raw_bytes, height, width):
    "file over file"
    return coded_bytes / raw_bytes


@wrong(says="inverted")
def file_bpp(coded_bytes, raw_bytes, height, width):
    "pixels per bit"
    return raw_bytes / 1.5 / (8 * coded_bytes)


@wrong(says="return missing")
def file_bpp(coded_bytes, raw_bytes, height, width):
    "forgets to return"
    12 * coded_bytes / raw_bytes


def decibels(error):
    return 10 * np.log10(255**2 / error)


@wrong(says="swapped")
def two_psnrs(errors):
    "the two swapped"
    return decibels(np.mean(errors)), np.mean(decibels(errors))


@wrong(says="Both are the PSNR")
def two_psnrs(errors):
    "the mean first, twice"
    return decibels(errors.mean()), decibels(np.mean([errors]))


@wrong(says="Both are the mean")
def two_psnrs(errors):
    "the mean last, twice"
    return decibels(errors).mean(), np.mean(decibels(errors))


@wrong(says="peak is 1")
def two_psnrs(errors):
    "peak 1"
    return (-10 * np.log10(errors)).mean(), -10 * np.log10(errors.mean())


@wrong(says="natural logarithm")
def two_psnrs(errors):
    "nepers"
    return (10 * np.log(255**2 / errors)).mean(), 10 * np.log(255**2 / errors.mean())


@wrong(says="two numbers")
def two_psnrs(errors):
    "one number for each frame"
    return decibels(errors)


def common(anchor_db, db):
    return np.linspace(max(anchor_db[0], db[0]), min(anchor_db[-1], db[-1]), 300)


def log_apart(places, anchor_rates, anchor_db, rates, db):
    anchor = np.interp(places, anchor_db, np.log10(anchor_rates))
    return np.mean(np.interp(places, db, np.log10(rates)) - anchor)


@wrong(says="You interpolate rates, not their logarithms")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "linear rate, mean of ratios"
    at = common(anchor_db, db)
    return 100 * (np.interp(at, db, rates) / np.interp(at, anchor_db, anchor_rates) - 1).mean()


@wrong(says="You average rates, not their logarithms")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "linear rate, ratio of areas"
    at = common(anchor_db, db)
    return 100 * (np.interp(at, db, rates).sum() / np.interp(at, anchor_db, anchor_rates).sum() - 1)


@wrong(says="swapped")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "anchor and curve swapped"
    apart = log_apart(common(anchor_db, db), rates, db, anchor_rates, anchor_db)
    return 100 * (10**apart - 1)


@wrong(says="sign is wrong")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "savings as a positive number"
    apart = log_apart(common(anchor_db, db), anchor_rates, anchor_db, rates, db)
    return 100 * (1 - 10**apart)


@wrong(says="You extrapolate")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "prolongs the fitted curves"
    fits = np.polyfit(anchor_db, np.log10(anchor_rates), 1), np.polyfit(db, np.log10(rates), 1)
    at = np.linspace(min(anchor_db[0], db[0]), max(anchor_db[-1], db[-1]), 200)
    return 100 * (10 ** np.mean(np.polyval(fits[1], at) - np.polyval(fits[0], at)) - 1)


@wrong(says="repeats the last value")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "all qualities that one of the two reaches"
    at = np.linspace(min(anchor_db[0], db[0]), max(anchor_db[-1], db[-1]), 500)
    return 100 * (10 ** log_apart(at, anchor_rates, anchor_db, rates, db) - 1)


@wrong(says="over the anchor's range")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "the anchor's range"
    at = np.linspace(anchor_db[0], anchor_db[-1], 500)
    return 100 * (10 ** log_apart(at, anchor_rates, anchor_db, rates, db) - 1)


@wrong(says="point by point")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "point by point"
    return 100 * (math.exp(np.mean(np.log(rates) - np.log(anchor_rates))) - 1)


@wrong(says="undo the logarithm: exp")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "no way back"
    at = common(anchor_db, db)
    return 100 * (np.interp(at, db, np.log(rates)) - np.interp(at, anchor_db, np.log(anchor_rates))).mean()


@wrong(says="two bases")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "log10 there, exp back"
    return 100 * (math.exp(log_apart(common(anchor_db, db), anchor_rates, anchor_db, rates, db)) - 1)


@wrong(says="forget to subtract 1")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "equal is 100 percent"
    return 100 * 10 ** log_apart(common(anchor_db, db), anchor_rates, anchor_db, rates, db)


@wrong(says="a fraction")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "a fraction"
    return 10 ** log_apart(common(anchor_db, db), anchor_rates, anchor_db, rates, db) - 1


@wrong(says="in dB")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "quality at equal rate"
    anchor, curve = np.log(anchor_rates), np.log(rates)
    at = np.linspace(max(anchor[0], curve[0]), min(anchor[-1], curve[-1]), 400)
    return (np.interp(at, curve, db) - np.interp(at, anchor, anchor_db)).mean()


@wrong(says="undefined")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "a figure for curves that never meet"
    return 100 * (10 ** log_apart(common(anchor_db, db), anchor_rates, anchor_db, rates, db) - 1)


@wrong(says="for a bent curve")
def bd_rate(anchor_rates, anchor_db, rates, db):
    "compares at the two ends only"
    low, high = max(anchor_db[0], db[0]), min(anchor_db[-1], db[-1])
    if low >= high:
        return math.nan
    return 100 * (10 ** log_apart(np.array([low, high]), anchor_rates, anchor_db, rates, db) - 1)


RIGHT = {"A": "pixels", "B": "container", "C": "two kinds of PSNR", "D": "extrapolated", "E": "fair"}

wrong_value("which_flaw", "accuses the small claim", RIGHT | {"E": "container"}, says="A small claim")
wrong_value("which_flaw", "takes a third of the rate for fair", RIGHT | {"A": "fair"}, says="Look at A again")
wrong_value("which_flaw", "takes brightness for the picture", RIGHT | {"C": "fair"}, says="brightness")
wrong_value(
    "which_flaw",
    "does not look where the curves end",
    RIGHT | {"D": "two kinds of PSNR"},
    says="Which qualities do both reach?",
)
wrong_value("which_flaw", "overlooks the container", RIGHT | {"B": "pixels"}, says=".mp4")
wrong_value("which_flaw", "a sixth flaw", RIGHT | {"A": "rounding"}, says="not one of")
wrong_value("which_flaw", "a list", ["pixels"], says="must look like")
