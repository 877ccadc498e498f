"""A clip in segments: cut evenly, coded independently, decoded alone, whole whatever happens."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from coordflow_mini import bitstream, cli, decoder, encoder, entropy
from coordflow_mini.bitstream import BitstreamError, Header
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.decoder import decode, decode_frames, read_model
from coordflow_mini.encoder import EncodeError, Plan, assembled, compress, encode_segment, segmented
from coordflow_mini.finetune import quantize_model
from coordflow_mini.measure import evaluate
from coordflow_mini.measure.metrics import iou, psnr_db
from coordflow_mini.model import CoordFlow, weight_count
from coordflow_mini.ops.checkpoint import Checkpoint
from coordflow_mini.render import render
from coordflow_mini.train import Progress
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video

SMALL = ModelConfig(depth=1, space_frequencies=6, flow_width=8)
TINY = ModelConfig(width=4, depth=1, space_frequencies=3, time_frequencies=1, flow_width=2)
LENGTHS = (5, 4, 3)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def quick_fit(short_fit) -> FitConfig:
    return replace(short_fit, steps=30, batch=256)


@pytest.fixture(scope="module")
def quick_codec(short_codec) -> CodecConfig:
    return replace(short_codec, steps=20)


def header(time: int) -> Header:
    return Header(time, 6, 8, 25, "rgb", Selection(0, time, 1, 8, 6), TINY)


def section(first: int, frames: int, seed: int) -> bytes:
    """A segment of random weights."""
    model = CoordFlow(TINY, torch.Generator().manual_seed(seed))
    steps = [[-40] * TINY.layers for _ in model.parameters()]
    return bitstream.segment_bytes(first, frames, quantize_model(model, steps))


@pytest.fixture(scope="module")
def sections() -> list[bytes]:
    firsts = np.cumsum([0, *LENGTHS])
    return [section(int(firsts[i]), frames, seed=i) for i, frames in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def data(sections) -> bytes:
    """A file of twelve frames in three segments."""
    return bitstream.header_bytes(header(12)) + b"".join(sections)


@pytest.fixture
def decodings(monkeypatch) -> list[int]:
    """Sizes of what is entropy-decoded from now on."""
    sizes, decode_coded = [], entropy.decode_coded

    def counting(coded: bytes, shapes: list[tuple[int, ...]]) -> object:
        sizes.append(len(coded))
        return decode_coded(coded, shapes)

    monkeypatch.setattr(entropy, "decode_coded", counting)
    return sizes


# --- where to cut ---------------------------------------------------------------------------------


@given(st.integers(1, 3000), st.integers(1, 4000))
def test_segments_cover_every_frame_once_and_evenly(frames, longest):
    segments = segmented([range(frames)], longest)
    assert [frame for segment in segments for frame in segment] == list(range(frames))
    lengths = [len(segment) for segment in segments]
    assert min(lengths) >= 1 and max(lengths) <= longest and max(lengths) - min(lengths) <= 1
    assert len(segments) == -(-frames // longest), "no more than are needed"
    assert segmented([range(frames)], max(lengths)) == segments, "the longest says how to make the file again"


@pytest.mark.parametrize("longest", [0, -1, 1.5, True, "9"])
def test_segments_of_no_length_are_refused(longest, clip):
    with pytest.raises(EncodeError, match="segment_frames must be an integer of at least 1"):
        encoder.plan(clip, Recipe(bpp=4, segment_frames=longest))


shots_of = st.lists(st.integers(1, 300), min_size=1, max_size=12).map(
    lambda lengths: tuple(map(range, np.cumsum([0, *lengths]).tolist(), np.cumsum(lengths).tolist()))
)


@given(shots_of, st.none() | st.integers(1, 400))
def test_segments_of_shots_have_similar_lengths(shots, longest):
    """They begin at cuts or divide a shot evenly; the longest has at most three times the frames of any."""
    segments = segmented(shots, longest)
    assert [frame for segment in segments for frame in segment] == list(range(shots[-1].stop))
    lengths = [len(segment) for segment in segments]
    assert max(lengths) <= min(3 * min(lengths), longest or 10**9)
    if longest is None:
        assert {segment.start for segment in segments} <= {shot.start for shot in shots}
    if max(map(len, shots)) <= 3 * min(map(len, shots)):
        assert {shot.start for shot in shots} <= {segment.start for segment in segments}


def test_short_shots_join_their_shorter_neighbor():
    shots = (range(40), range(40, 46), range(46, 70), range(70, 71), range(71, 111))
    assert segmented(shots) == (range(40), range(40, 71), range(71, 111))
    assert segmented(shots, 18)[-3:] == (range(71, 85), range(85, 98), range(98, 111))
    assert len(segmented(shots, 1)) == 111


@given(shots_of, st.integers(0, 10**6))
def test_shares_sum_to_the_whole_half_of_it_by_frames(shots, total):
    plan = Plan(TINY, total, shots)
    shares = [plan.share(index, total) for index in range(len(shots))]
    assert sum(shares) == total
    fair = [total * (len(shot) / shots[-1].stop + 1 / len(shots)) / 2 for shot in shots]
    assert all(abs(share - part) < 1 for share, part in zip(shares, fair, strict=True))


def test_a_cut_is_a_view_that_knows_its_source(clip):
    part = replace(clip, selection=Selection(10, 27, 3, 32, 24))  # frames 10, 13, ... 25 of a source
    middle = encoder.cut(part, range(2, 4))
    assert np.array_equal(middle.frames, clip.frames[2:4]) and np.shares_memory(middle.frames, clip.frames)
    assert middle.selection == Selection(16, 20, 3, 32, 24) and middle.fps == clip.fps
    assert encoder.cut(clip, range(6)) is clip


def test_the_plan_counts_all_segments(clip):
    """The widest model that fits as often as there are segments; the next one does not."""
    codec, target = CodecConfig(), 4 * clip.pixels // 8
    plan = encoder.plan(clip, Recipe(bpp=4, model=SMALL, segment_frames=2))
    wider = 3 * weight_count(replace(plan.model, width=plan.model.width + 1))
    assert [len(frames) for frames in plan.segments] == [2, 2, 2] and plan.target_bytes == target
    assert 3 * weight_count(plan.model) * codec.bits_per_weight / 8 <= target - encoder._framing(3)
    assert wider * codec.bits_per_weight / 8 > target - encoder._framing(3)
    recipe = Recipe(model=SMALL, codec=CodecConfig(choose_width=False))
    given, alone = encoder.plan(clip, replace(recipe, segment_frames=2)), encoder.plan(clip, recipe)
    assert 2.5 < given.target_bytes / alone.target_bytes <= 3


def test_too_many_segments_for_the_rate_are_refused(clip):
    with pytest.raises(EncodeError, match="once for each of 6 segments.*fewer segments or layers"):
        encoder.plan(clip, Recipe(bpp=0.5, segment_frames=1))


# --- shots ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film() -> Video:
    """Shots of 8 and 6 frames."""
    takes = [scenes.cutout(24, 32, 8).video.frames, scenes.pan(24, 32, 6, seed=1).video.frames]
    return Video(np.concatenate(takes), name="film")


def test_each_shot_is_a_segment_unless_cuts_are_ignored(film, clip):
    recipe, shots = Recipe(bpp=4, model=SMALL), (range(8), range(8, 14))
    plan, alone = encoder.plan(film, recipe), encoder.plan(film, replace(recipe, ignore_cuts=True))
    assert plan.segments == plan.shots == shots and plan.target_bytes == alone.target_bytes
    assert alone.segments == alone.shots == (range(14),) and alone.model.width > plan.model.width
    bounded = encoder.plan(film, replace(recipe, segment_frames=6))
    assert bounded.segments == (range(4), range(4, 8), range(8, 14)) and bounded.shots == shots
    assert encoder.plan(clip, recipe) == encoder.plan(clip, replace(recipe, ignore_cuts=True))


@given(shots_of)
def test_every_segment_has_bytes_for_the_model_of_all(shots):
    """From 3.6 bits per weight to 10.8, if a rate gives 5.4 on average."""
    plan = Plan(TINY, 10**6, segmented(shots))
    bits = [5.4 * plan.share(i, 10**6) * len(plan.segments) / 10**6 for i in range(len(plan.segments))]
    assert 3.59 < min(bits) <= max(bits) < 10.81


# --- decoding -------------------------------------------------------------------------------------


def test_segments_decode_as_if_each_were_a_file(data, sections):
    """Frames of the whole are those of the parts, each a one-segment file of the same weights."""
    alone = [
        bitstream.header_bytes(header(frames)) + section(0, frames, seed=i)
        for i, frames in enumerate(LENGTHS)
    ]
    expected = np.concatenate([decode(part).frames for part in alone])
    assert np.array_equal(decode(data).frames, expected)
    shown = [rendering.rgb[0].numpy() for rendering in decoder.decode_renderings(data)]
    assert np.array_equal(np.stack(shown), expected)


@pytest.mark.parametrize("frames", [[0], [4, 5], [11, 0, 6, 6], [8, 7], range(3, 10, 2)], ids=str)
def test_random_access_gives_the_frames_of_a_full_decode(frames, data):
    chosen = np.stack(list(decode_frames(data, frames)))
    assert np.array_equal(chosen, decode(data).frames[list(frames)])


@pytest.mark.parametrize(
    ("frames", "count"), [([6, 7], 1), ([4, 5], 2), ([0, 11, 0], 3), ([9, 10, 2, 3], 2), ([], 0), (None, 3)]
)
def test_only_the_needed_segments_are_entropy_decoded(frames, count, data, decodings):
    assert len(list(decode_frames(data, frames))) == (12 if frames is None else len(frames))
    assert len(decodings) == count


def test_a_segment_is_decoded_when_its_first_frame_is_due(data, decodings):
    frames = decode_frames(data)
    for _ in range(LENGTHS[0]):
        next(frames)
    assert len(decodings) == 1
    next(frames)
    assert len(decodings) == 2


@pytest.mark.parametrize(
    ("position", "segment", "own"),
    [(3.5, 0, 3.5), (4.25, 0, 4.25), (4.5, 1, -0.5), (4.75, 1, -0.25), (8.25, 1, 3.25), (11, 2, 2)],
)
def test_between_segments_the_nearer_one_goes_on(position, segment, own, data):
    """A position belongs to the segment of the nearest frame, up to half a frame beyond its ends."""
    _, model = read_model(data, segment)
    times = frame_times(LENGTHS[segment], at=torch.tensor([own]))
    (picture,) = decode_frames(data, [position])
    assert np.array_equal(picture, render(model, times, 6, 8).rgb[0].numpy())


@pytest.mark.parametrize("frames", [[-0.01], [11.25], [0, 12]])
def test_frames_beyond_the_ends_are_refused(frames, data):
    with pytest.raises(ValueError, match="frames must lie in 0 to 11"):
        list(decode_frames(data, frames))


def test_one_model_of_several_needs_its_number(data):
    with pytest.raises(BitstreamError, match="the file has 3 segments.*--segment-frames") as error:
        read_model(data)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="segment must be 0 to 2, got 3"):
        read_model(data, 3)


# --- damage ---------------------------------------------------------------------------------------


def test_damage_in_a_segment_leaves_the_others(data, sections):
    """A broken segment is refused by its frames; all others decode as before."""
    good, places = decode(data).frames, bitstream.segments(data)
    damaged = bytearray(data)
    damaged[places[1].start + 5] ^= 4
    others = [*range(5), *range(9, 12)]
    assert np.array_equal(np.stack(list(decode_frames(bytes(damaged), others))), good[others])
    with pytest.raises(BitstreamError, match="checksum of the segment of frames 5 to 8"):
        list(decode_frames(bytes(damaged), [6]))
    for read in (bitstream.index, decode, lambda data: read_model(data, 0)):
        with pytest.raises(BitstreamError, match="checksum"):
            read(bytes(damaged))


def test_rubbish_with_a_right_checksum_leaves_the_others(sections):
    rubbish = bitstream.section_bytes(bitstream.SEGMENT, b"\x05\x04" + bytes(range(40)))
    data = bitstream.header_bytes(header(12)) + sections[0] + rubbish + sections[2]
    assert len(list(decode_frames(data, [0, 4, 9, 11]))) == 4
    with pytest.raises(BitstreamError, match="damaged weights"):
        list(decode_frames(data, [5]))


def test_missing_swapped_and_repeated_segments_are_refused(sections):
    first, second, third = sections
    for time, parts, reason in (
        (13, [first, second, third], "12 of 13 frames are coded"),
        (12, [first, second], "9 of 12 frames are coded"),
        (11, [first, second, third], "a segment starts at frame 9"),
        (12, [second, first, third], "a segment starts at frame 5, not 0"),
        (12, [first, first, third], "a segment starts at frame 0, not 5"),
    ):
        data = bitstream.header_bytes(header(time)) + b"".join(parts)
        for read in (bitstream.index, bitstream.segments, lambda data: next(decode_frames(data, [0]))):
            with pytest.raises(BitstreamError, match=reason):
                read(data)


def test_every_damage_is_refused_by_a_full_decode(data):
    rng = np.random.default_rng(0)
    for place in rng.choice(len(data), 60, replace=False):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(BitstreamError):
            list(decode_frames(bytes(damaged)))
    for size in rng.choice(len(data), 30, replace=False):
        with pytest.raises(BitstreamError):
            list(decode_frames(data[:size], []))


def test_a_section_alone_must_be_a_segment(sections):
    assert bitstream.segment_tensors(sections[1], header(12), decoder.tensor_shapes)
    for bad in (sections[1][:-1], sections[1] + b"\0", bitstream.section_bytes(200, b"note"), b""):
        with pytest.raises(BitstreamError):
            bitstream.segment_tensors(bad, header(12), decoder.tensor_shapes)


# --- encoding -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reported() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def recipe(quick_fit, quick_codec) -> Recipe:
    return Recipe(bpp=3, model=SMALL, fit=quick_fit, codec=quick_codec, segment_frames=4)


@pytest.fixture(scope="module")
def encoded(clip, recipe, reported):
    """Six frames in two segments."""
    return compress(clip, recipe, on_step=reported.append)


def test_the_file_meets_its_rate_and_tells_its_segments(encoded, clip):
    assert 0.95 * encoded.target_bytes <= len(encoded.data) <= encoded.target_bytes
    found = bitstream.segments(encoded.data)
    assert [(segment.first, segment.frames) for segment in found] == [(0, 3), (3, 3)]
    assert bitstream.read_header(encoded.data) == encoded.header
    assert encoded.parameters == 2 * weight_count(encoded.header.model)
    assert encoded.bits_per_weight == 8 * len(encoded.data) / encoded.parameters
    assert decode(encoded.data).frames.shape == clip.frames.shape and not encoded.interrupted


def test_the_reported_quality_is_that_of_all_segments(encoded, clip):
    decoded = decode(encoded.data).frames
    assert psnr_db(clip.frames, decoded) == pytest.approx(encoded.psnr_db, abs=0.01)


def test_progress_says_which_segment(encoded, reported):
    stages = [f"segment {number} of 2, {stage}" for number in (1, 2) for stage in ("fit", "fine-tune")]
    assert list(dict.fromkeys(progress.stage for progress in encoded.history)) == stages
    assert list(dict.fromkeys(progress.stage for progress in reported)) == stages


def test_other_processes_make_the_same_file(encoded, clip, recipe):
    """Segments made one by one, in any order, sent as pickles: the file that compress makes."""
    plan = encoder.plan(clip, recipe)
    plan, results = pickle.loads(pickle.dumps(plan)), []
    for index in (1, 0):
        result = encode_segment(clip, plan, index, recipe)
        results.append(pickle.loads(pickle.dumps(result)))
    assert assembled(encoded.header, plan, results).data == encoded.data
    with pytest.raises(RuntimeError, match=r"segments of frames 3:6 make no file of 6 frames"):
        assembled(encoded.header, plan, results[:1])


def test_one_segment_is_the_file_that_it_always_was(clip, quick_fit, quick_codec):
    recipe = Recipe(bpp=2, model=SMALL, fit=quick_fit, codec=quick_codec)
    plain = compress(clip, recipe)
    data = compress(clip, replace(recipe, segment_frames=6)).data
    assert encoder.plan(clip, replace(recipe, segment_frames=10**9)) == encoder.plan(clip, recipe)
    _, tensors = bitstream.read(data, decoder.tensor_shapes)
    assert data == plain.data == bitstream.write(plain.header, tensors)
    assert {progress.stage for progress in plain.history} == {"fit", "fine-tune"}


@pytest.mark.parametrize(("name", "longest", "count"), [("one frame", 1, 1), ("two frames", 1, 2)])
def test_segments_of_one_frame(name, longest, count, odd_clips, quick_fit, quick_codec):
    video = odd_clips[name]
    bpp = 8 * 700 * count / video.pixels
    recipe = Recipe(model=SMALL, fit=quick_fit, codec=quick_codec, segment_frames=longest)
    result = compress(video, recipe, bpp=bpp)
    assert [segment.frames for segment in bitstream.segments(result.data)] == [1] * count
    assert 0.95 * result.target_bytes <= len(result.data) <= result.target_bytes
    assert decode(result.data).frames.shape == video.frames.shape


@pytest.mark.parametrize("stage", ["fit", "fine-tune"])
def test_ctrl_c_in_one_of_several_segments_leaves_a_checkpoint(stage, encoded, clip, recipe, tmp_path):
    """There is no file then; resumed, the encode ends with the bytes of one that nobody stopped."""

    def stop(progress: Progress) -> None:
        if progress.stage == f"segment 2 of 2, {stage}":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(clip, recipe, on_step=stop, checkpoint=Checkpoint(tmp_path / "x"))
    resumed = Checkpoint(tmp_path / "x")
    assert len(resumed.files()) == 2
    result = compress(clip, recipe, checkpoint=resumed)
    assert result.data == encoded.data and not result.interrupted


# --- figures --------------------------------------------------------------------------------------


def test_figures_count_all_segments(data):
    figures = evaluate.describe(data)
    weights = 3 * weight_count(TINY)
    assert figures["params"] == evaluate.weight_count(data) == weights
    assert figures["bits_per_weight"] == 8 * len(data) / weights
    assert sum(figures["sections"].values()) == len(data)
    assert [(part["first"], part["frames"]) for part in figures["segments"]] == [(0, 5), (5, 4), (9, 3)]
    sizes = sum(part["bytes"] for part in figures["segments"])
    assert sizes + len(bitstream.header_bytes(header(12))) == len(data)
    assert "segment_frames=5" in evaluate.rate_point(data, "clip", 30.0, 0.9).settings


def test_a_mask_is_found_in_whichever_layer_it_is(data):
    """The layer that shows the foreground may be another one in each segment."""
    mask = np.random.default_rng(0).random((12, 6, 8)) < 0.5
    tops = np.stack([mask, ~mask])
    tops[:, 5:9] = tops[::-1, 5:9]
    assert evaluate._mask_iou(tops, mask, bitstream.segments(data)) == 1
    assert max(iou(top, mask) for top in tops) < 0.9


def test_an_evaluation_is_of_all_segments(encoded, clip):
    found = evaluate.evaluate(clip, encoded.data)
    assert found.parameters == encoded.parameters
    assert found.point.psnr_db == pytest.approx(encoded.psnr_db, abs=0.01)
    assert found.bits_per_weight == pytest.approx(encoded.bits_per_weight)


# --- the command line -----------------------------------------------------------------------------


def run(*words: object) -> str:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_line_tells_shots_and_looks_for_them_once(film, tmp_path, monkeypatch):
    calls, found = [], encoder.shots
    monkeypatch.setattr(encoder, "shots", lambda frames: calls.append(frames) or found(frames))
    monkeypatch.setattr(cli.options, "FitConfig", lambda: FitConfig(batch=64))
    np.save(tmp_path / "film.npy", film.frames)
    words = ["encode", tmp_path / "film.npy", tmp_path / "film.cfv", "--width", 4, "--depth", 1, "--json"]
    shown = CliRunner().invoke(cli.app, [str(word) for word in (*words, "--steps", 10, "--threads", 1)])
    assert ", 2 shots of 8 and 6 frames, into at most" in shown.stderr and "in segments" not in shown.stderr
    figures = json.loads(shown.stdout)
    assert figures["shots"] == figures["segments"] == [8, 6] and len(calls) == 1
    assert "2 of 8 and 6 frames" in run("info", tmp_path / "film.cfv")


def test_cuts_can_be_ignored_on_the_command_line(film, tmp_path, monkeypatch):
    def stop(video, recipe, plan, **more):
        raise ValueError(f"planned: {plan.segments}")

    monkeypatch.setattr(encoder, "compress", stop)
    np.save(tmp_path / "film.npy", film.frames)
    words = ["encode", str(tmp_path / "film.npy"), str(tmp_path / "film.cfv"), "--ignore-cuts"]
    shown = CliRunner().invoke(cli.app, words)
    assert "shots" not in shown.stderr and "planned: (range(0, 14),)" in shown.stderr


def test_the_command_line_makes_shows_and_reads_segments(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(cli.options, "FitConfig", lambda: FitConfig(batch=256))
    np.save(tmp_path / "clip.npy", clip.frames)
    out, part = tmp_path / "clip.cfv", tmp_path / "part.npy"
    words = ["--steps", 10, "--width", 4, "--depth", 1, "--threads", 1, "--segment-frames", 4]
    text = run("encode", tmp_path / "clip.npy", out, *words)
    assert "in segments: 2 of 3 frames" in text and "of fine-tuning each" in text
    figures = json.loads(run("info", out, "--json"))
    assert [segment["frames"] for segment in figures["segments"]] == [3, 3]
    assert "2 of 3 frames" in run("info", out)
    run("decode", out, part, "--frames", "4:6", "--quiet")
    assert np.array_equal(np.load(part), decode(out.read_bytes()).frames[4:6])
    refused = CliRunner().invoke(cli.app, ["segment", str(out), str(tmp_path / "masks")])
    assert refused.exit_code == 2 and "has 2 segments" in refused.output
    assert refused.output.count("\n") == 1 and "--segment-frames" in refused.output
    assert not (tmp_path / "masks").exists()
