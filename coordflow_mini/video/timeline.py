"""Frame positions of a clip at another frame rate."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Timeline:
    """Frame positions (1.5 lies between frames 1 and 2), and the rate at which they are shown."""

    positions: tuple[float, ...]
    fps: Fraction


def timeline(frames: range, fps: Fraction, factor: float = 1.0) -> Timeline:
    """Positions of some frames of a clip at `factor` times their frame rate, from the first to the last.

    fps: of the whole clip.  A factor below 1 skips frames.
    Raises ValueError if the factor is not positive.

    >>> timeline(range(3), Fraction(25), 2)
    Timeline(positions=(0.0, 0.5, 1.0, 1.5, 2.0), fps=Fraction(50, 1))
    >>> timeline(range(10, 40, 10), Fraction(30), 0.5).positions
    (10.0, 30.0)
    """
    ratio = Fraction(factor).limit_denominator(1000) if 0 < factor < float("inf") else Fraction(0)
    if ratio <= 0:
        raise ValueError(f"factor must be positive and at least 1/1000, got {factor:g}")
    count = int((len(frames) - 1) * ratio) + 1
    positions = (float(frames.start + frames.step * number / ratio) for number in range(count))
    return Timeline(tuple(positions), fps / frames.step * ratio)
