"""The codec on real footage: quality at equal bytes, masks and seconds, beside other codecs or a checkout.

    python -m benchmarks.footage                               # bunny, and what `coordflow fetch` brought
    python -m benchmarks.footage ~/davis --seeds 0 --jobs 2
    python -m benchmarks.footage ~/davis --only camel,cows --encode "--steps 3000" --rivals x264,av1
    python -m benchmarks.footage ~/davis --against ../older --against-encode "--minutes 3"

A clip is a video file in DIR, resized to --size, or a folder NAME/frames of PNGs at their own size, with
masks of the object (white) in NAME/masks if there are any.  All of its frames are encoded, by a process
whose seconds count in full.  PSNR is that of the decoded file, the mean over frames.  IoU is the mean over
frames for the best layer (alpha > 1/2), one for the whole clip; beside it that of a box in the middle, of one
size for all clips: the best for eight sequences of DAVIS.

Other codecs get the mean bytes of our files: the largest raw 4:2:0 stream found within them, with the
kindest conversion to RGB (`coordflow_mini.measure.baselines`).  Results are appended to a file as they come,
and nothing is measured twice: after Ctrl-C, the same command goes on.  A library is known by the last commit
that changed it, and by a checksum if it has changed since; do not edit it while it is measured.
"""

import argparse
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coordflow_mini.config import Selection
from coordflow_mini.measure import baselines, metrics
from coordflow_mini.measure.evaluate import hardware
from coordflow_mini.video import catalog
from coordflow_mini.video.clip import Video
from coordflow_mini.video.raw import VideoError
from coordflow_mini.video.read import load

HERE = Path(__file__).parents[1]
RUNS = Path("runs/footage.jsonl")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm", ".y4m")
BOX = 44 / 108, 60 / 192  # of height and width
RIVALS = {  # name in the table, codec and its settings
    "x264": ("x264 medium", "x264", {"preset": "medium"}),
    "x265": ("x265 medium", "x265", {"preset": "medium"}),
    "x265-veryslow": ("x265 veryslow psnr", "x265", {"preset": "veryslow", "tune": "psnr"}),
    "av1": ("SVT-AV1 6", "av1", {"preset": "6"}),
}
FORMATS = {"dB": "{:.2f}", "IoU": "{:.2f}", "s": "{:.0f}", "frames/s": "{:.1f}", "layers": "{:.2g}"}
DECODE = """
import sys, time
import numpy as np, torch
from coordflow_mini import decoder

torch.set_num_threads(int(sys.argv[3]))
data = open(sys.argv[1], "rb").read()
began = time.perf_counter()
frames = np.stack(list(decoder.decode_frames(data)))
seconds = time.perf_counter() - began
masks = [(rendering.alpha > 0.5).numpy() for rendering in decoder.decode_renderings(data)]
np.savez(sys.argv[2], frames=frames, masks=np.concatenate(masks, axis=1), seconds=seconds)
"""

Result = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames, where `coordflow encode` finds them, and masks of the object, bool [time, height, width]."""

    name: str
    source: str
    words: tuple[str, ...]  # --frames and --size
    video: Video
    truth: Any = None

    @property
    def key(self) -> Result:
        """Name, and checksum of frames and masks."""
        crc = zlib.crc32(np.ascontiguousarray(self.video.frames))
        return {"clip": self.name, "crc": crc if self.truth is None else zlib.crc32(self.truth, crc)}


@dataclass(frozen=True)
class Side:
    """A library that encodes, and further words for its `coordflow encode`."""

    name: str
    checkout: Path
    words: tuple[str, ...]
    version: str


# --- clips --------------------------------------------------------------------------------------------


def chosen(options: argparse.Namespace) -> Iterator[Clip]:
    """The clips to measure; a free one that is not here is named on stderr."""
    free = [Path("clip:bunny"), *(Path(source.name) for source in catalog.footage())]
    paths = [path for folder in options.folders for path in sorted(folder.resolve().iterdir())]
    for path in paths if options.folders else free:
        name = path.stem.removeprefix("clip:")
        if options.only and name not in options.only:
            continue
        if (path / "frames").is_dir():
            yield folder_clip(path)
        elif path.suffix.lower() in VIDEOS:
            yield video_clip(name, str(path), options.size)
        elif path in free:
            try:
                yield video_clip(name, str(path), options.size, 96 if name == "bunny" else None)
            except VideoError as error:
                note(f"left out: {error}")


def folder_clip(path: Path) -> Clip:
    """PNGs at their own size, with their masks."""
    video, truth = load(path / "frames"), None
    if (path / "masks").is_dir():
        like = Selection(0, None, 1, video.width, video.height)
        truth = np.ascontiguousarray(load(path / "masks", like).frames[..., 0] > 127)
        if len(truth) != video.time:
            raise VideoError(f"{path} has {video.time} frames, but {len(truth)} masks")
    return Clip(path.name, str(path / "frames"), (), video, truth)


def video_clip(name: str, source: str, size: str, frames: int | None = None) -> Clip:
    """The first frames of a video at a size; all of them without a number."""
    width, height = map(int, size.split("x"))
    words = ("--size", size, *(("--frames", f"0:{frames}") if frames else ()))
    return Clip(name, source, words, load(source, Selection(0, frames, 1, width, height)))


def version(checkout: Path) -> str:
    """The last commit that changed a library; with a checksum of its files if they have changed since."""

    def git(*words: str) -> bytes:
        command = ["git", "-C", str(checkout), *words, "--", "coordflow_mini"]
        return subprocess.run(command, capture_output=True).stdout

    commit = git("log", "-1", "--format=%h", "--abbrev=10").decode().strip()
    if commit and not git("status", "--porcelain"):
        return commit
    files = [path for path in sorted((checkout / "coordflow_mini").rglob("*")) if path.is_file()]
    contents = b"".join(path.read_bytes() for path in files if path.parent.name != "__pycache__")
    return f"{commit}+{zlib.crc32(contents):08x}"


# --- measuring ----------------------------------------------------------------------------------------


class Cache:
    """Results by their keys, in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path, self.known, self.lock = path, dict[str, Result](), threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else ""
        if text and not text.endswith("\n"):  # the last line was cut
            path.write_text(text + "\n")
        for line in text.splitlines():
            with suppress(ValueError):
                record = json.loads(line)
                self.known[json.dumps(record["key"])] = record["result"]

    def get(self, key: Result, measured: Callable[[], Result]) -> Result:
        """The result of that key, measured and kept if it is not known."""
        name = json.dumps(key)
        if name not in self.known:
            result = measured()
            with self.lock, self.path.open("a") as file:
                file.write(json.dumps({"key": key, "result": result}) + "\n")
            self.known[name] = result
        return self.known[name]


class Bench:
    """What measures, some tasks at once, each on so many threads."""

    def __init__(self, cache: Cache, bpp: float, jobs: int, threads: int) -> None:
        self.cache, self.bpp, self.jobs, self.threads = cache, bpp, jobs, threads
        self.running, self.stopped = set[subprocess.Popen[str]](), False

    def each(
        self, measure: Callable[..., Result], tasks: list[tuple[Any, ...]]
    ) -> dict[tuple, Result | None]:
        """Results by task; None where one failed, which is reported.  Ctrl-C ends the processes."""

        def attempt(task: tuple[Any, ...]) -> Result | None:
            try:
                return measure(*task)
            except (RuntimeError, OSError, ValueError) as error:
                if not self.stopped:
                    note(f"{task[0].name} failed: {error}")
                return None

        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                return dict(zip(tasks, pool.map(attempt, tasks), strict=True))
            except KeyboardInterrupt:
                self.stopped = True
                for process in list(self.running):
                    process.kill()
                raise

    def coded(self, clip: Clip, seed: int, side: Side) -> Result:
        """Figures of an encode."""
        words = ["--bpp", f"{self.bpp:g}", "--seed", f"{seed}", "--threads", f"{self.threads}", *side.words]
        key = {"version": side.version, **clip.key, "encode": shlex.join(words)}
        return self.cache.get(key, lambda: self._coded(clip, seed, side, words))

    def _coded(self, clip: Clip, seed: int, side: Side, words: list[str]) -> Result:
        with tempfile.TemporaryDirectory() as folder:
            file, arrays = Path(folder) / "clip.cfv", Path(folder) / "decoded.npz"
            command = ["-m", "coordflow_mini", "encode", clip.source, str(file), *clip.words, *words]
            began = time.perf_counter()
            figures = json.loads(self._run(side, folder, *command, "--json", "--quiet"))
            seconds = time.perf_counter() - began
            self._run(side, folder, "-c", DECODE, str(file), str(arrays), str(self.threads))
            with np.load(arrays, allow_pickle=False) as decoded:
                masks = [] if clip.truth is None else decoded["masks"]
                ious = [frame_iou(layer, clip.truth) for layer in masks]
                psnr_db = metrics.psnr_db(clip.video.frames, decoded["frames"])
                speed = clip.video.time / float(decoded["seconds"])
            size, iou = file.stat().st_size, max(ious, default=None)
        result = {"bytes": size, "psnr_db": psnr_db, "iou": iou, "ious": ious, "encode_seconds": seconds}
        result |= {"decode_fps": speed} | {name: figures.get(name) for name in ("layers", "width", "steps")}
        shown = "" if iou is None else f"IoU {iou:.2f}, "
        shown += f"{size:,} bytes, {result['layers']} layers of width {result['width']}, {seconds:.0f} s"
        note(f"{clip.name}, seed {seed}, {side.name}: {psnr_db:.2f} dB, {shown}")
        return result

    def _run(self, side: Side, folder: str, *words: str) -> str:
        """What Python prints with that library, in a process that Ctrl-C does not reach."""
        if version(side.checkout) != side.version:
            raise RuntimeError(f"the library in {side.checkout} has changed: start again")
        environment = os.environ | {"PYTHONPATH": str(side.checkout), "OMP_NUM_THREADS": str(self.threads)}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, *words]
        process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **pipes)
        self.running.add(process)
        if self.stopped:
            process.kill()
        out, errors = process.communicate()
        self.running.discard(process)
        if process.returncode:
            raise RuntimeError(errors.strip()[-800:] or f"exit code {process.returncode}")
        return out

    def rival(self, clip: Clip, rival: str, size: int) -> Result:
        """Figures of another codec with at most `size` bytes."""
        name, codec, settings = RIVALS[rival]
        key = {"rival": name, "av": baselines.av.__version__, **clip.key, "bytes": size}
        options: Result = {**settings, "accurate_rgb": True, "on_try": self._go_on}

        def measured() -> Result:
            point = baselines.measure(clip.video, codec, target_bytes=size, **options)
            note(f"{clip.name}, {name}: {point.psnr_db:.2f} dB, {point.bytes:,} bytes")
            return {"psnr_db": point.psnr_db, "bytes": point.bytes, "settings": point.settings}

        return self.cache.get(key, measured)

    def _go_on(self, *_: Any) -> None:
        if self.stopped:
            raise RuntimeError("stopped")


def frame_iou(masks: Any, truth: Any) -> float:
    """Mean over frames of the IoU of two masks, bool [time, height, width]."""
    return statistics.fmean(map(metrics.iou, masks, truth))


def box_like(truth: Any) -> Any:
    """The box in the middle, as a mask of that shape."""
    box = np.zeros_like(truth)
    rows, columns = (round(share * side) for share, side in zip(BOX, truth.shape[1:], strict=True))
    top, left = (truth.shape[1] - rows) // 2, (truth.shape[2] - columns) // 2
    box[:, top : top + rows, left : left + columns] = True
    return box


def note(text: str) -> None:
    """A line of progress, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


# --- the table ----------------------------------------------------------------------------------------


def compared(
    bench: Bench, clips: list[Clip], sides: list[Side], seeds: list[int], rivals: list[str]
) -> list[Result]:
    """A row for each clip whose encodes all succeed."""
    coded = bench.each(
        bench.coded, [(clip, seed, side) for clip in clips for seed in seeds for side in sides]
    )
    runs = {clip: [[coded[clip, seed, side] for seed in seeds] for side in sides] for clip in clips}
    runs = {clip: made for clip, made in runs.items() if all(map(all, made))}
    sizes = {clip: round(mean(ours, "bytes")) for clip, (ours, *_) in runs.items()}
    found = bench.each(bench.rival, [(clip, name, size) for clip, size in sizes.items() for name in rivals])
    return [
        row(clip, *made, rivals={RIVALS[name][0]: found[clip, name, sizes[clip]] for name in rivals})
        for clip, made in runs.items()
    ]


def row(
    clip: Clip, ours: list[Result], other: list[Result] | None = None, *, rivals: dict[str, Result | None]
) -> Result:
    """The figures of a clip by the names of their columns; None for what there is not."""
    cells = {"clip": clip.name, "frames": clip.video.time, "bytes": mean(ours, "bytes")}
    cells |= {"ours dB": mean(ours, "psnr_db"), "lowest dB": min(run["psnr_db"] for run in ours)}
    if other:
        cells["other dB"] = mean(other, "psnr_db")
        cells["gain dB"] = cells["ours dB"] - cells["other dB"]
    cells |= {f"{name} dB": result["psnr_db"] if result else None for name, result in rivals.items()}
    cells |= {"IoU": mean(ours, "iou")} | ({"other IoU": mean(other, "iou")} if other else {})
    cells["box IoU"] = None if clip.truth is None else frame_iou(box_like(clip.truth), clip.truth)
    cells["encode s"] = mean(ours, "encode_seconds")
    if other:
        cells["other s"] = mean(other, "encode_seconds")
    return cells | {"decode frames/s": mean(ours, "decode_fps"), "layers": mean(ours, "layers")}


def mean(results: list[Result], name: str) -> Any:
    """Mean of a figure over the results that have it; None if none has."""
    values = [result[name] for result in results if result[name] is not None]
    return statistics.fmean(values) if values else None


def table(rows: list[Result]) -> str:
    """All clips and their means in Markdown."""
    names = list(rows[0])[1:]
    lines = [f"| clip | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for cells in [*rows, {"clip": "**mean**"} | {name: mean(rows, name) for name in names}]:
        texts = [cells["clip"]]
        for name in names:
            form = FORMATS.get(name.split()[-1], "{:,.0f}")
            texts.append("–" if cells[name] is None else form.format(cells[name]))
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines)


def worst(rows: list[Result], column: str) -> str:
    """The clip where we are the furthest behind a column, or the least ahead."""
    gains = {cells["clip"]: cells["ours dB"] - cells[column] for cells in rows if cells[column] is not None}
    if not gains:
        return f"no clip has {column}"
    clip = min(gains, key=gains.__getitem__)
    return f"worst against {column.removesuffix(' dB')}: {clip}, {gains[clip]:+.2f} dB"


# --- the command --------------------------------------------------------------------------------------


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, checked."""
    names: Result = {"type": lambda text: text.split(","), "metavar": "NAME[,NAME]"}
    words: Result = {"type": shlex.split, "metavar": "WORDS"}
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="folders of clips")
    seeds: Result = {"type": lambda text: [int(seed) for seed in text.split(",")], "metavar": "N[,N]"}
    parser.add_argument("--seeds", **seeds, default=[0, 1], help="of our encodes (0,1)")
    parser.add_argument("--bpp", type=float, default=0.15, help="bits per pixel of our files (0.15)")
    parser.add_argument("--size", default="192x108", help="of video files (192x108)")
    parser.add_argument("--only", **names, help="these clips alone")
    parser.add_argument("--checkout", type=Path, default=HERE, help="whose library encodes (this one)")
    parser.add_argument("--encode", **words, default=[], help="further words for `coordflow encode`")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another library, in turns with it")
    parser.add_argument("--against-encode", **words, help="its further words (those of --encode)")
    parser.add_argument("--rivals", **names, default=[*RIVALS], help=f"{', '.join(RIVALS)} (all), or none")
    parser.add_argument("--jobs", type=int, default=1, help="tasks at once, which share the cores (1)")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"where results are kept ({RUNS})")
    options = parser.parse_args()
    options.rivals = [] if options.rivals == ["none"] else options.rivals
    if unknown := {*options.rivals} - {*RIVALS}:
        parser.error(f"unknown rival {unknown.pop()!r}; there are {', '.join(RIVALS)}")
    for checkout in filter(None, (options.checkout, options.against)):
        if not (checkout / "coordflow_mini" / "__init__.py").is_file():
            parser.error(f"{checkout} is no checkout: it has no coordflow_mini/__init__.py")
    return options


def sides_of(options: argparse.Namespace) -> list[Side]:
    """Ours, and the other if there is one."""
    theirs = options.encode if options.against_encode is None else options.against_encode
    pairs = [("ours", options.checkout, options.encode), ("other", options.against, theirs)]
    given = [(name, path.resolve(), tuple(words)) for name, path, words in pairs if path]
    return [Side(name, path, words, version(path)) for name, path, words in given]


def main() -> int:
    """Measure and print; 1 if an encode failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options = parsed(parser)
    try:
        clips = list(chosen(options))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if not clips:
        parser.error("no clip was found")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, cores // options.jobs)
    torch.set_num_threads(threads)
    bench, sides = Bench(Cache(options.runs), options.bpp, options.jobs, threads), sides_of(options)
    try:
        rows = compared(bench, clips, sides, options.seeds, options.rivals)
    except KeyboardInterrupt:
        note(f"stopped: what is finished is in {options.runs}, and the same command goes on")
        return 130
    print(f"on {hardware()}; {options.bpp:g} bpp, seeds {', '.join(map(str, options.seeds))}")
    for side in sides:
        print(f"{side.name}: {shlex.join([side.version, *side.words])}")
    if rows:
        print(f"\n{table(rows)}\n")
        columns = [*(f"{RIVALS[name][0]} dB" for name in options.rivals[:1]), *["other dB"][: len(sides) - 1]]
        print("\n".join(worst(rows, column) for column in columns))
    return int(len(rows) < len(clips))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill must end the encodes, too
    sys.exit(main())
