"""The records that say what is fitted: parsing, limits, and refusals that explain."""

import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from coordflow_mini.config import (
    MODEL_LIMITS,
    PRESETS,
    CodecConfig,
    FitConfig,
    ModelConfig,
    Recipe,
    Selection,
)

RECORDS = (Selection, ModelConfig, FitConfig, CodecConfig, Recipe)


def check_refusal(error: pytest.ExceptionInfo[ValueError], *names: str) -> None:
    """One line that holds what it must name."""
    message = str(error.value)
    assert message and "\n" not in message
    for name in names:
        assert name in message


def numbers(record: type, kind: type) -> list[str]:
    """Names of a record's fields of this type."""
    return [field.name for field in fields(record) if field.type is kind]


@pytest.mark.parametrize(
    ("frames", "size", "expected"),
    [
        (None, None, Selection()),
        ("", "", Selection()),
        ("0:96", None, Selection(0, 96)),
        (":96", None, Selection(0, 96)),
        ("12:", None, Selection(12)),
        (":", None, Selection()),
        ("4:40:2", None, Selection(4, 40, 2)),
        ("::3", None, Selection(0, None, 3)),
        (None, "192x108", Selection(width=192, height=108)),
        (None, "192X108", Selection(width=192, height=108)),
        ("1:2:3", "1x1", Selection(1, 2, 3, 1, 1)),
    ],
)
def test_a_selection_is_read_as_it_is_written(frames, size, expected):
    """parse reads start:stop:step as Python slices do, and WIDTHxHEIGHT; left out means all."""
    assert Selection.parse(frames=frames, size=size) == expected


@pytest.mark.parametrize(
    "frames",
    ["5", "a:b", "1.5:3", "0:5:1:1", "5:3", "3:3", "0:0", "-1:3", "0:-1", "0:5:0", "0:5:-1", "0-5", "0: x"],
)
def test_frames_that_cannot_be_are_refused(frames):
    """A selection is refused unless 0 <= start < stop and step >= 1, in one line that says so."""
    with pytest.raises(ValueError, match="got") as error:
        Selection.parse(frames=frames)
    check_refusal(error, "frames must be")


@pytest.mark.parametrize("size", ["0x0", "192", "192x", "x108", "axb", "1x2x3", "-1x5", "4x0", "1.5x2"])
def test_sizes_that_cannot_be_are_refused(size):
    """A size is refused unless it is two positive integers, in one line that shows how to write it."""
    with pytest.raises(ValueError, match="got") as error:
        Selection.parse(size=size)
    check_refusal(error, "size must be", "192x108")


@pytest.mark.parametrize("half", [{"width": 4}, {"height": 4}])
def test_half_a_size_is_refused(half):
    """Width and height come together or not at all."""
    with pytest.raises(ValueError, match="got") as error:
        Selection(**half)
    check_refusal(error, "both width and height")


def test_every_number_of_a_model_is_bounded():
    """The limits name each number of ModelConfig and nothing else, so no file can ask for more."""
    bounded = set(numbers(ModelConfig, int) + numbers(ModelConfig, float))
    assert bounded == MODEL_LIMITS.keys()
    defaults = ModelConfig()
    assert all(low <= getattr(defaults, name) <= high for name, (low, high) in MODEL_LIMITS.items())


@pytest.mark.parametrize("name", MODEL_LIMITS)
def test_a_model_reaches_its_limits_and_not_beyond(name):
    """Both limits are allowed, one beyond either is not, nor is NaN; the refusal names the field."""
    low, high = MODEL_LIMITS[name]
    wide = ModelConfig(lowest_frequency=2**-6, highest_frequency=2.0**12)
    other = {"lowest_frequency": "highest_frequency", "highest_frequency": "lowest_frequency"}.get(name)
    for value in (low, high):
        assert getattr(replace(wide, **{name: value, **({other: value} if other else {})}), name) == value
    for value in (low - 1, high + 1, math.nan, math.inf):
        with pytest.raises(ValueError, match="got") as error:
            replace(wide, **{name: value})
        check_refusal(error, name)


def test_a_model_of_an_unknown_kind_is_refused():
    """The motion is one of those named; frequencies rise."""
    with pytest.raises(ValueError, match="got") as error:
        ModelConfig(motion="affine")
    check_refusal(error, "motion", "similarity", "none", "affine")
    with pytest.raises(ValueError, match="got") as error:
        ModelConfig(lowest_frequency=4.0, highest_frequency=2.0)
    check_refusal(error, "lowest_frequency", "highest_frequency")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "sgd"),
        *[(name, 0) for name in ("steps", "batch", "starts", "start_steps")],
        *[(name, -1) for name in numbers(FitConfig, int) if name != "seed"],
        *[("learning_rate", value) for value in (0.0, 10.0)],
        *[(name, value) for name in numbers(FitConfig, float) for value in (-1.0, math.nan, math.inf)],
    ],
)
def test_a_fit_that_cannot_be_is_refused(name, value):
    """Steps, rates and weights of the loss are refused outside their range; the refusal names the field."""
    with pytest.raises(ValueError, match="got") as error:
        FitConfig(**{name: value})
    check_refusal(error, name, str(value))


def test_a_codec_that_cannot_be_is_refused():
    """Negative numbers and NaN are refused, and anything but 0 < floor <= aim <= 1."""
    for name in numbers(CodecConfig, int):
        with pytest.raises(ValueError, match=name):
            CodecConfig(**{name: -1})
    for name in numbers(CodecConfig, float):
        for value in (-1.0, math.nan):
            with pytest.raises(ValueError, match=name):
                CodecConfig(**{name: value})
    with pytest.raises(ValueError, match="bits_per_weight"):
        CodecConfig(bits_per_weight=0.0)
    for change in ({"aim": 1.1}, {"floor": 0.9, "aim": 0.8}, {"floor": 0.0}):
        with pytest.raises(ValueError, match="aim"):
            CodecConfig(**change)


@pytest.mark.parametrize(
    ("record", "name"),
    [(ModelConfig, name) for name in numbers(ModelConfig, int)]
    + [(FitConfig, name) for name in numbers(FitConfig, int) if name != "seed"],
)
def test_a_count_is_a_whole_number(record, name):
    """Two and a half layers or steps are refused where they are asked for, not inside PyTorch."""
    with pytest.raises(ValueError, match=name):
        record(**{name: 2.5})


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5])
def test_a_seed_is_one_that_a_file_can_hold(seed):
    """Seeds are the unsigned 64-bit integers that the header stores."""
    with pytest.raises(ValueError, match="seed"):
        FitConfig(seed=seed)


@pytest.mark.parametrize("recipe", [Recipe(), *PRESETS.values()], ids=["usual", *PRESETS])
def test_fewer_steps_shorten_all_parts_of_a_training(recipe):
    """Fine-tuning keeps its share; the opening of a fit shrinks once there are fewer steps than usual."""
    same = recipe.with_steps(recipe.fit.steps)
    assert same == recipe
    half, short = recipe.with_steps(recipe.fit.steps // 2), recipe.with_steps(FitConfig.steps // 4)
    assert half.codec.steps == recipe.codec.steps // 2
    assert [short.fit.warm_up, short.fit.grow, short.fit.static] == [75, 75, 175]


@pytest.mark.parametrize("record", RECORDS)
def test_records_are_values(record):
    """Defaults are valid; equal records are equal, hash alike, and cannot be changed."""
    one, other = record(), record()
    assert one == other and hash(one) == hash(other)
    with pytest.raises(FrozenInstanceError):
        setattr(one, fields(record)[0].name, 1)


def test_a_short_fit_opens_shortly():
    """Otherwise the learning rate would never reach its height in a fit of few steps."""
    usual = FitConfig()
    tenth = Recipe().with_steps(usual.steps // 10).fit
    assert tenth.warm_up == round(usual.warm_up / 10)
    assert Recipe().with_steps(10 * usual.steps).fit.warm_up == usual.warm_up
