"""Damaged and hostile `.cfv` files in bulk: a video or one BitstreamError, within bounds."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from campaigns import damage, fuzz
from coordflow_mini import bitstream, cli, decoder
from coordflow_mini.bitstream import BitstreamError

pytestmark = pytest.mark.usefixtures("one_thread")
PER_CHUNK = 160
COUNT = len(damage.originals())
each_original = pytest.mark.parametrize("number", range(COUNT))


def judged(name: str, data: bytes) -> bool:
    """True for a video; a finding fails the test by the case's name."""
    try:
        return damage.judge(data)
    except damage.FindingError as error:
        pytest.fail(f"{name}: {error}")


# --- the cases --------------------------------------------------------------------------------------


def test_originals_are_what_they_should_be():
    """The real encoder's files: one layer and three, still and moving, one segment and several, a note."""
    headers = [bitstream.read_header(data) for data in damage.originals()]
    assert {header.model.layers for header in headers} == {1, 2, 3}
    assert {header.model.motion for header in headers} == {"none", "similarity"}
    counts = [len(bitstream.segments(data)) for data in damage.originals()]
    assert min(counts) == 1 and max(counts) == 3
    assert any(section.kind == 200 for section in bitstream.index(damage.originals()[0]))
    assert sum(map(len, damage.originals())) < 20_000


@each_original
def test_parts_are_the_whole(number):
    """A file taken apart and put together is the file, and its model has the tensors that we count."""
    data = damage.originals()[number]
    assert damage.Parts.of(data).to_bytes() == damage.resealed(data) == data
    header = bitstream.read_header(data)
    assert damage.shapes_of(header) == decoder.tensor_shapes(header)
    assert judged("the original", data)


def test_every_mutation_changes_something_and_follows_from_its_seed():
    """No mutation leaves all it is given alone, and a case can be had again by its seed and number."""
    data = damage.originals()[2]
    for mutate in set(damage.MUTATIONS):
        assert any(mutate(data, Random(seed)) != data for seed in range(5)), mutate.__name__
    assert damage.case(3, 7) == damage.case(3, 7) != damage.case(4, 7)


def test_wrong_numbers_are_coded_right():
    """A file with wrong weights alone is sound except for its steps: a video, or refused for a step."""
    answers = set()
    for seed in range(40):
        data = damage.lie_in_weights(damage.originals()[3], Random(seed))
        assert damage.resealed(data) == data
        try:
            bitstream.sizes(data, damage.shapes_of)
            answers.add("sound")
        except BitstreamError as error:
            answers.add(str(error))
    assert answers == {"sound", "damaged: a step index is outside -160..40"}


@pytest.mark.promise(
    "Encoded files",
    "A `.cfv` file cut off at any byte is refused with one line of `BitstreamError`.",
)
@each_original
def test_a_file_cut_anywhere_is_refused(number):
    """Every truncation, with checksums made right where they can be, too; at a section's end frames lack."""
    data = damage.originals()[number]
    whole = len(data) - (13 if number == 0 else 0)  # without its note the first file is sound
    for size, cut in enumerate(damage.truncations(data)):
        for case in {cut, damage.resealed(cut)}:
            assert judged(f"original {number} cut at {size}", case) == (size == whole)


@pytest.mark.promise(
    "Encoded files",
    "A `.cfv` file with any byte changed is refused, too: checksums cover all of it.",
)
@each_original
def test_every_flipped_byte_is_refused(number):
    """Any bit of any byte, and any byte as 0 or 255: the checksum, or the lengths around it, show it."""
    for case in damage.flips(damage.originals()[number]):
        with pytest.raises(BitstreamError):
            bitstream.index(case)


@pytest.mark.promise(
    "Encoded files",
    "Safety does not rest on checksums: with repaired ones, a changed file is refused or is a video of "
    "the size in its header.",
)
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.nightly) for part in (1, 2))])
@pytest.mark.parametrize("number", [0, 3])
def test_every_flipped_byte_behind_a_right_checksum_is_judged(number, part):
    """A third of these, three for each byte, with checksums made right: a BitstreamError or a video."""
    cases = list(damage.flips(damage.originals()[number]))[part::9]
    videos = sum(
        judged(f"original {number}, flip {9 * place + part}, resealed", damage.resealed(case))
        for place, case in enumerate(cases)
    )
    assert 0 < videos < len(cases)


@pytest.mark.promise(
    "Encoded files",
    "Files that are spliced, rearranged or forged are refused, or are a video of the size in their header.",
)
@pytest.mark.parametrize("chunk", range(4))
def test_random_damage_is_judged(chunk):
    """640 seeded cases: cuts, flips, splices, lies, sections rearranged, other words; half resealed."""
    cases = [damage.case(0, number) for number in range(chunk * PER_CHUNK, (chunk + 1) * PER_CHUNK)]
    videos = sum(judged(case.name, case.data) for case in cases)
    assert 0 < videos < PER_CHUNK / 2, "nearly all or none are videos: the cases are too tame or too wild"


def test_the_judge_can_find(monkeypatch):
    """A reader that answers with anything else is found: another error, several lines, half a video."""
    data = damage.originals()[1]

    def answers(error: Exception) -> Callable[..., None]:
        def refuse(*_: object, **__: object) -> None:
            raise error

        return refuse

    for error, word in [
        (KeyError("time"), "KeyError"),
        (MemoryError(), "MemoryError"),
        (BitstreamError("two\nlines"), "not one line"),
        (BitstreamError("of the sizes alone"), "some read it"),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(bitstream, "sizes" if "alone" in str(error) else "read_header", answers(error))
            with pytest.raises(damage.FindingError, match=word):
                damage.judge(data)
    monkeypatch.setattr(damage, "LONGEST_SECONDS", 0.0)
    with pytest.raises(damage.FindingError, match="took"):
        damage.judge(data)


def test_the_fuzz_targets_find_nothing_in_what_the_judge_has_judged(monkeypatch):
    """Both targets take the originals and some cases; a reader that errs is found by an assertion."""
    for data in [*damage.originals(), *(damage.case(2, number).data for number in range(60))]:
        fuzz.parse(data)
        fuzz.decode(data)
    monkeypatch.setattr(bitstream, "sizes", lambda *_: replace(bitstream.Sizes(1, 1, 1, 1, 1, 1)))
    with pytest.raises(AssertionError):
        fuzz.parse(damage.originals()[0])


def test_an_input_of_the_fuzzer_that_is_cut_is_sealed_afterwards(monkeypatch):
    """Most inputs have right checksums, also where the fuzzer allows less than a mutation made."""
    monkeypatch.setitem(sys.modules, "atheris", SimpleNamespace(Mutate=lambda data, size: data[:size]))
    data = damage.originals()[2]
    size = len(data) * 3 // 4
    inputs = [
        made for made in (fuzz.mutated(data, size, seed) for seed in range(200)) if len(made) > size - 9
    ]
    assert len(inputs) > 80 and all(len(made) <= size for made in inputs)
    sound = sum(damage.Parts.of(made).to_bytes() == made for made in inputs)
    assert sound > len(inputs) / 2, "a third are libFuzzer's own, a tenth of the others have wrong checksums"


# --- what no file may cost ----------------------------------------------------------------------------


QUICK = ("segments", "pixels of small frames")  # `make damage` measures all of them


@pytest.mark.promise(
    "Encoded files",
    "Memory and time are bounded by the size of the file; the bounds are listed "
    "[below](#what-a-hostile-file-may-cost), and the system enforces them in this test.",
)
@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited as Linux does")
@pytest.mark.parametrize(
    "worst",
    [worst for worst in damage.WORST if worst.file in QUICK],
    ids=lambda worst: worst.file,
)
def test_the_worst_files_stay_within_the_bound(worst, tmp_path):
    """Read by a process that has no more address space than the bound, which the system enforces."""
    megabytes, seconds = damage.measured(worst, tmp_path)
    assert megabytes < worst.megabytes
    assert seconds < 3 * worst.seconds, "three times, for another processor"


def test_too_little_memory_is_found(tmp_path):
    """A bound that is too low is seen: the measure can fail."""
    with pytest.raises(damage.FindingError, match="memory|MemoryError"):
        damage.measured(replace(damage.WORST[3], megabytes=100), tmp_path)


def test_a_video_larger_than_memory_is_refused_before_it_is_allocated(tmp_path):
    """A header of 60 bytes that asks for 200 GB: decode says so at once, and decode_frames shows a frame."""
    data = damage.hostile()["pixels"]()
    assert len(data) < 100
    with pytest.raises(BitstreamError, match=r"206,158,430,208 bytes.*decode_frames.*most_bytes"):
        decoder.decode(data)
    small = damage.originals()[1]
    with pytest.raises(BitstreamError, match="most_bytes"):
        decoder.decode(small, most_bytes=3 * 6 * 6 * 8 - 1)
    assert decoder.decode(small, most_bytes=3 * 6 * 6 * 8).frames.shape == (6, 6, 8, 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ((1, 2**13, 2**13 + 1, {}), "67,108,864 pixels"),
        ((1, 2**13, 2**13, {"layers": 3}), "a frame of 3 layers may have 44,739,242 pixels"),
    ],
)
def test_frames_too_large_are_refused_by_the_header(changes, reason):
    """No file may declare a frame that cannot be shown in bounded memory."""
    with pytest.raises(BitstreamError, match=reason):
        damage.crafted(*changes)


@pytest.mark.parametrize(("height", "width"), [(1080, 1920), (2160, 3840), (4320, 7680)])
def test_real_videos_are_within_the_bounds(height, width):
    """Hundreds of frames of 1080p and 4K can be held, 8K declared; the largest model shows 4K."""
    header = bitstream.read_header(damage.crafted(300, height, width, {"layers": 4}))
    assert header.time == 300
    if height < 4320:
        assert 3 * 300 * height * width < bitstream.MOST_HELD
        bitstream.check_work(height, width, bitstream.MOST_WEIGHTS)


def test_a_frame_that_nobody_would_wait_for_is_refused():
    """The most weights at the largest size: months of work in 60 kB."""
    with pytest.raises(BitstreamError, match="weights x height x width must be at most"):
        bitstream.check_work(2**13, 2**13, bitstream.MOST_WEIGHTS)


@pytest.mark.promise(
    "Encoded files",
    "Weights that overflow show defined colors, never uninitialized memory.",
)
def test_motion_beyond_all_numbers_is_a_picture():
    """Weights that move a layer by exp(10^9): colors are defined, alpha sums to 1, nothing warns."""
    parts = damage.Parts.of(damage.originals()[1])
    header = bitstream.read_header(damage.originals()[1])
    tensors = bitstream.read(damage.originals()[1], damage.shapes_of)[1]
    wild = [
        replace(tensor, integers=np.full_like(tensor.integers, sign * 2**20), step_index=40)
        for tensor, sign in zip(tensors, [1, -1] * len(tensors), strict=False)
    ]
    data = bitstream.write(header, wild)
    assert judged("wild", data) and len(parts.sections) == 1
    (picture,) = decoder.decode_frames(data, [3])
    assert np.array_equal(picture, next(decoder.decode_frames(data, [3])))


# --- at the command line -----------------------------------------------------------------------------


def worst_for_commands() -> dict[str, bytes]:
    """Refused files of every kind."""
    data = damage.originals()[1]
    parts = damage.Parts.of(data)
    lying = {
        f"field {place} is {value}": replace(
            parts, fields=(*parts.fields[:place], value, *parts.fields[place + 1 :])
        ).to_bytes()
        for place, value in [(0, 10**9), (1, 2**63), (2, 2**64 - 1), (8, 5), (15, 10**9), (16, 2**32), (0, 7)]
    }
    return lying | {
        "empty": b"",
        "text": b"hello\nworld",
        "cut": data[:-1],
        "magic": data[:4],
        "newer": damage.version(data, Random(1)),
        "appended": data + b"\0",
        "twice": data + data,
        "repeated": replace(parts, sections=parts.sections * 2).to_bytes(),
        "none": replace(parts, sections=()).to_bytes(),
        "zeros": data[:60] + bytes(len(data) - 60),
        "recoded": replace(parts, sections=((1, parts.sections[0][1][:2] + bytes(400)),)).to_bytes(),
        "endless": b"\x89CFV\x01" + b"\xff" * 50,
    }


COMMANDS = {
    "info": ["info", "FILE"],
    "decode": ["decode", "FILE", "OUT.npy"],
    "evaluate": ["evaluate", "clip:cutout", "FILE"],
    "upscale": ["upscale", "FILE", "OUT.npy"],
    "alpha": ["decode", "FILE", "OUT", "--alpha"],
}


@pytest.mark.promise(
    "Encoded files",
    "Commands refuse a bad file with one line and exit code 2, and leave their output untouched.",
)
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_refuse_in_one_line(command, tmp_path):
    """Exit code 2, one line, nothing written; what was at the output's place stays: 95 cases."""
    file, kept = tmp_path / "bad.cfv", tmp_path / "out.npy"
    for name, data in worst_for_commands().items():
        file.write_bytes(data)
        kept.write_bytes(b"kept")
        places = {"FILE": file, "OUT.npy": kept, "OUT": tmp_path / "folder"}
        words = [str(places.get(word, word)) for word in COMMANDS[command]]
        result = CliRunner().invoke(cli.app, words)
        assert result.exit_code == 2, (name, result.stdout, result.exception)
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, (name, result.stderr)
        assert not result.stdout and kept.read_bytes() == b"kept"
        assert sorted(tmp_path.iterdir()) == [file, kept]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["segment", "FILE", "OUT"], "would take"),
        (["upscale", "FILE", "OUT.npy"], "--scale 2 of 8192x8192 pixels is too large"),
        (["upscale", "FILE", "OUT.npy", "--scale", "1"], "would take"),
        (["interpolate", "FILE", "OUT.npy"], "would take"),
        (["stabilize", "FILE", "OUT.npy", "--layer", "0"], "would take"),
        (["evaluate", "clip:cutout", "FILE"], "allowed in memory"),
        (["decode", "FILE", "OUT.npy", "--scale", "2"], "--scale 2 of 8192x8192 pixels is too large"),
        (["decode", "LONG", "OUT.npy", "--fps-scale", "1000"], "into 1,048,576,000"),
        (["interpolate", "LONG", "OUT.npy", "--factor", "2"], "into 2,097,152"),
    ],
)
def test_commands_refuse_what_does_not_fit_in_memory(words, reason, tmp_path):
    """A sound file that asks for too much is refused before anything is rendered or allocated."""
    for name, file in {"FILE": "pixels", "LONG": "frames"}.items():
        (tmp_path / name).with_suffix(".cfv").write_bytes(damage.hostile()[file]())
    places = {"FILE": "FILE.cfv", "LONG": "LONG.cfv", "OUT.npy": "out.npy", "OUT": "out"}
    result = CliRunner().invoke(
        cli.app, [str(tmp_path / places[word]) if word in places else word for word in words]
    )
    assert result.exit_code == 2 and reason in result.stderr and result.stderr.count("\n") == 1, result.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["FILE.cfv", "LONG.cfv"]


def test_no_memory_for_pytorch_is_one_line(monkeypatch, tmp_path):
    """PyTorch's own error for too little memory is a RuntimeError; it is told in one line, too."""
    file = tmp_path / "file.cfv"
    file.write_bytes(damage.originals()[1])

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )

    monkeypatch.setattr(decoder, "decode_frames", refuse)
    result = CliRunner().invoke(cli.app, ["decode", str(file), str(tmp_path / "out.npy")])
    assert result.exit_code == 2 and result.stderr.startswith("error: not enough memory")


def test_a_slow_frame_is_announced(monkeypatch, tmp_path):
    """An 8192x8192 frame of 20,000 weights: what it takes is said before it is begun."""
    file = tmp_path / "slow.cfv"
    file.write_bytes(damage.crafted(1, 2**13, 2**13, {"width": 64, "depth": 6}))
    monkeypatch.setattr(decoder, "decode_frames", lambda *_, **__: iter([np.zeros((8, 8, 3), np.uint8)]))
    result = CliRunner().invoke(cli.app, ["decode", str(file), str(tmp_path / "out.npy")])
    assert result.exit_code == 0
    assert "a frame takes about 29 s on one CPU core" in result.stderr


def test_the_real_command_has_no_traceback(tmp_path):
    """In a process of its own, as a user calls it."""
    file = tmp_path / "bad.cfv"
    file.write_bytes(worst_for_commands()["field 0 is 1000000000"])
    done = subprocess.run(
        [sys.executable, "-m", "coordflow_mini", "decode", file, tmp_path / "out.mp4"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [file]


def test_info_shows_any_file_that_is_a_video(tmp_path):
    """Mutated files that are videos are described, as JSON of finite numbers."""
    shown = 0
    for number in range(120):
        case = damage.case(1, number)
        if judged(case.name, case.data):
            (tmp_path / "x.cfv").write_bytes(case.data)
            result = CliRunner().invoke(cli.app, ["info", str(tmp_path / "x.cfv"), "--json"])
            assert result.exit_code == 0, (case.name, result.stderr)
            json.loads(result.stdout, parse_constant=pytest.fail)
            shown += 1
    assert shown > 3


def test_the_campaign_goes_on_after_a_worker_dies(monkeypatch, tmp_path, capsys):
    """A worker that is killed by one case is a finding with that case's file; the rest is judged."""
    monkeypatch.setattr(damage, "KEPT", tmp_path / "kept")
    answers = iter(
        [
            subprocess.CompletedProcess([], -11, "at 0\nrefused\nat 1\n"),
            subprocess.CompletedProcess([], 0, "at 2\nvideo\nat 3\nfinding two of them\n"),
        ]
    )
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        asked.append(command[-2:])
        return next(answers)

    monkeypatch.setattr(subprocess, "run", run)
    tally = damage.Tally()
    damage.run_chunk(5, range(4), tally)
    assert asked == [["0", "4"], ["2", "4"]]
    assert tally == damage.Tally(videos=1, refused=1, findings=2)
    kept = sorted(Path(tmp_path / "kept").iterdir())
    assert [file.name for file in kept] == ["seed_5_case_1.cfv", "seed_5_case_3.cfv"]
    assert kept[0].read_bytes() == damage.case(5, 1).data
    assert "the worker died with -11" in capsys.readouterr().out
