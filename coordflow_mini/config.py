"""Settings, as frozen records: the frames, the model, its training, its storage, and a recipe for all of it.

The paper's summary gives no widths, encodings, schedules or step counts. The defaults are ours, with the
reasons beside them, except γ = 0.1 and the similarity motion, which are the paper's.
"""

import re
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Selection:
    """The part of a source to use: frames start:stop:step, resized to width x height.

    Stored in the `.cfv` header, so that an evaluation finds the same frames.
    None means all that the source has; `Video.selection` has no None.

    >>> Selection.parse(frames="0:96", size="192x108")
    Selection(start=0, stop=96, step=1, width=192, height=108)
    """

    start: int = 0
    stop: int | None = None
    step: int = 1
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        stop_ok = self.stop is None or self.stop > self.start
        if self.start < 0 or self.step < 1 or not stop_ok:
            raise ValueError(
                f"frames must be start:stop:step with 0 <= start < stop and step >= 1, "
                f"got {self.start}:{self.stop}:{self.step}"
            )
        if (self.width is None) != (self.height is None):
            raise ValueError(f"size needs both width and height, got {self.width} x {self.height}")
        if self.width is not None and self.height is not None and min(self.width, self.height) < 1:
            raise ValueError(
                f"size must be at least 1x1 pixels, got {self.width}x{self.height}; "
                f"write it as WIDTHxHEIGHT, for example 192x108"
            )

    @classmethod
    def parse(cls, frames: str | None = None, size: str | None = None) -> "Selection":
        """The selection of the options `--frames a:b:step` and `--size WxH`.  Raises ValueError."""
        try:
            parts = [_whole(part) if part else None for part in (frames or "").split(":")]
            if len(parts) > 3 or (len(parts) == 1 and parts[0] is not None):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"frames must be start:stop or start:stop:step, for example 0:96, got {frames!r:.60}"
            ) from None
        start, stop, step = [*parts, None, None, None][:3]
        try:
            width, height = (_whole(part) for part in size.lower().split("x")) if size else (None, None)
        except ValueError:
            raise ValueError(f"size must be WIDTHxHEIGHT, for example 192x108, got {size!r:.60}") from None
        return cls(start or 0, stop, 1 if step is None else step, width, height)


def _whole(text: str) -> int:
    """An integer of up to twelve ASCII digits; `int` would accept more.  Raises ValueError."""
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise ValueError(text)
    return int(text)


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the network.  It determines the shape of every tensor in a `.cfv` file."""

    motion: str = "similarity"  # or "none": layers that do not move, the plain (x, y, t) network
    layers: int = 2
    width: int = 64  # hidden units of each layer's color network
    depth: int = 3  # hidden layers of each color network
    space_frequencies: int = 24  # plane waves, the Fourier features of (x', y')
    lowest_frequency: float = 0.5  # half-waves per coordinate unit
    highest_frequency: float = 24.0  # likewise; the sine layers add harmonics of it
    time_frequencies: int = 3  # octaves of t for colors
    flow_width: int = 32
    flow_frequencies: int = 1  # octaves of t for motion: smooth, so that neighboring frames pull together

    def __post_init__(self) -> None:
        if self.motion not in MOTIONS:
            raise ValueError(f"motion must be one of {', '.join(MOTIONS)}, got {self.motion!r}")
        for name, (low, high) in MODEL_LIMITS.items():
            value = getattr(self, name)
            if isinstance(low, int) and not isinstance(value, int):
                raise ValueError(f"{name} must be an integer, got {value}")
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}, got {value}")
        if self.lowest_frequency > self.highest_frequency:
            raise ValueError(
                f"lowest_frequency must not exceed highest_frequency, "
                f"got {self.lowest_frequency} and {self.highest_frequency}"
            )


MOTIONS = ("similarity", "none")
MODEL_LIMITS = {  # untested beyond these; they also bound what a hostile file can allocate
    "layers": (1, 16),
    "width": (1, 4096),
    "depth": (1, 16),
    "space_frequencies": (1, 256),
    "lowest_frequency": (2**-6, 2.0**12),
    "highest_frequency": (2**-6, 2.0**12),
    "time_frequencies": (0, 12),
    "flow_width": (1, 256),
    "flow_frequencies": (0, 12),
}


@dataclass(frozen=True)
class FitConfig:
    """Training, with the loss L = squared·MSE + absolute·MAE + ms_ssim·(1 - MS-SSIM) + γ·L_layer.

    The paper weights its reconstruction term without giving the weights.  Our default is squared error
    alone, because we report PSNR.
    """

    steps: int = 1200
    batch: int = 8192  # pixels per step
    optimizer: str = "muon"  # or "adam"; LOG.md has the comparison
    learning_rate: float = 0.04  # up to width 68; lower for wider models, see `muon.learning_rate`
    gamma: float = 0.1  # γ, the weight of the layer loss: the paper's value
    squared: float = 1.0
    absolute: float = 0.0
    ms_ssim: float = 0.0
    warm_up: int = 300  # steps until colors learn at the full rate; motion starts at it
    grow: int = 300  # steps from the middle frames to all: motion is followed, not guessed
    static: int = 700  # steps in which colors do not depend on time, so that only motion explains change
    starts: int = 1  # short fits from different seeds; the best one is continued
    start_steps: int = 150
    flow_start: str = "random"  # the paper's way; or "measured", see `motion`, to which the next four belong
    flow_rate: float = 0.02  # learning rate of the flow [pixels per step]
    flow_still: float = 0.3  # part of all steps in which the flow does not move
    guide: float = 0.01  # weight of the cross-entropy of alpha and measured owners; falls to 0 at 40 %
    front: float = 2e-3  # weight of the mean alpha of all layers but the first, which gets what both explain
    seed: int = 0
    compile: bool | None = None  # with torch.compile; None: if the fit is long enough to gain from it

    def __post_init__(self) -> None:
        for name, choices in (("optimizer", ("muon", "adam")), ("flow_start", ("random", "measured"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be {' or '.join(choices)}, got {getattr(self, name)!r}")
        for name in ("steps", "batch", "warm_up", "grow", "static", "starts", "start_steps"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {getattr(self, name)}")
        if self.compile not in (None, True, False):
            raise ValueError(f"compile must be True, False or None, got {self.compile!r}")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**64:
            raise ValueError(f"seed must be an integer from 0 to 2^64 - 1, got {self.seed}")
        if not 0 < self.learning_rate < 10:
            raise ValueError(f"learning_rate must lie in (0, 10), got {self.learning_rate}")
        for name in ("gamma", "squared", "absolute", "ms_ssim", "flow_rate", "flow_still", "guide", "front"):
            if not 0 <= getattr(self, name) <= 1e6:
                raise ValueError(f"{name} must be finite and from 0 to 1e6, got {getattr(self, name)}")


@dataclass(frozen=True)
class CodecConfig:
    """Fine-tuning and quantization: from fitted weights to a file of the requested size."""

    choose_width: bool = True  # the rate determines the width
    bits_per_weight: float = 5.4  # assumed when choosing a width
    steps: int = 600  # of rate-aware fine-tuning
    learning_rate: float = 0.008  # of the weights, falling to zero as a cosine
    step_learning_rate: float = 0.05  # of log2 of the quantization steps
    price: float = 2.0  # of a bit: distortion is assumed to fall as rate ** -price, see LOG.md
    aim: float = 0.995  # of the target size, held while fine-tuning ...
    floor: float = 0.95  # ... and of the smallest acceptable file
    rounds: int = 12  # of 100 further steps, at most, until the file fits

    def __post_init__(self) -> None:
        for name in ("steps", "rounds"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 0:
                raise ValueError(f"{name} must be an integer of at least 0, got {getattr(self, name)}")
        if not 0 < self.bits_per_weight < float("inf"):
            raise ValueError(f"bits_per_weight must be finite and positive, got {self.bits_per_weight}")
        for name, most in (("learning_rate", 10), ("step_learning_rate", 10), ("price", 1e6)):
            if not 0 < getattr(self, name) < most:
                raise ValueError(f"{name} must lie in (0, {most:g}), got {getattr(self, name)}")
        if not 0 < self.floor <= self.aim <= 1:
            raise ValueError(f"expected 0 < floor <= aim <= 1, got floor {self.floor} and aim {self.aim}")


@dataclass(frozen=True)
class Recipe:
    """Everything that determines how a clip is encoded."""

    bpp: float | None = None  # bits per pixel of the whole file; None: `encoder.default_bpp`
    model: ModelConfig | None = None  # None: `sampling.default_model`; see also `codec.choose_width`
    auto_layers: bool = False  # as many as the clip has motions, if they are measured; also without a model
    fit: FitConfig = field(default_factory=lambda: FitConfig(flow_start="measured"))
    codec: CodecConfig = field(default_factory=CodecConfig)
    segment_frames: int | None = None  # in the longest segment, see `encoder.segmented`; None: any number
    ignore_cuts: bool = False  # take the clip for one shot; otherwise each shot begins a segment
    minutes: float | None = None  # for the encode, instead of the steps above, see `sweeps.budget`

    def with_steps(self, steps: int) -> "Recipe":
        """The recipe with `steps` steps of fitting, and fine-tuning in proportion.

        In a fit shorter than usual, warm_up, grow and static shrink too, or they would fill it.

        >>> usual = Recipe(fit=FitConfig(steps=1000, warm_up=400), codec=CodecConfig(steps=400))
        >>> short = usual.with_steps(250)
        >>> short.fit.warm_up, short.codec.steps
        (100, 100)
        """
        part = min(1.0, steps / min(self.fit.steps, FitConfig.steps))
        shorter = {name: max(1, round(part * getattr(self.fit, name))) for name in _OPENING}
        tuning = max(1, round(steps * self.codec.steps / self.fit.steps))
        return replace(
            self,
            fit=replace(self.fit, steps=steps, **shorter),
            codec=replace(self.codec, steps=tuning),
            minutes=None,
        )


_OPENING = ("warm_up", "grow", "static")


def _preset(width: int, batch: int, steps: int, tuning: int) -> Recipe:
    return Recipe(
        model=ModelConfig(width=width, depth=4),
        fit=FitConfig(batch=batch, steps=steps),
        codec=CodecConfig(steps=tuning),
    )


# For clips of hundreds of 1080p frames: about 0.5, 1.5 and 3 million weights.  Batches grow with the model,
# since a wide one has more to average.  Not tuned on UVG itself.
PRESETS: dict[str, Recipe] = {
    "uvg-s": _preset(280, 32_768, 20_000, 5_000),
    "uvg-m": _preset(488, 65_536, 40_000, 8_000),
    "uvg-l": _preset(696, 131_072, 60_000, 10_000),
}
