"""`kill -9` and Ctrl-C at random moments, and death before every single file operation.

    python -m campaigns.kills --kills 1000            # shared by all chains
    python -m campaigns.kills --only encode --seed 7 --interrupts 50

A chain is a command and the way to resume it. It is killed at a random moment, resumed, killed again, ...
until it ends. After every death each output must be as it was before, or as an undisturbed run leaves it; at
the end all of them must be the latter, and nothing else may be left.
"""

import argparse
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from campaigns.children import STRUCK, Action, Child, born, done, killed_after

KEPT = Path("runs/campaigns/kills")


class FindingError(AssertionError):
    """A broken promise."""


@dataclass(frozen=True)
class Chain:
    """A command to kill.

    command, again: the first run and the resumed one, given the folder.  outputs: names that it writes.
    before: prepares the folder.  passing: prefixes of other names that may exist meanwhile.
    look: checks those; raises if one is incomplete.  settle: runs before every check.
    """

    name: str
    command: Callable[[Path], None]
    outputs: tuple[str, ...]
    again: Callable[[Path], None] | None = None
    before: Callable[[Path], None] = lambda folder: None
    passing: tuple[str, ...] = ()
    look: Callable[[Path], None] = lambda folder: None
    settle: Callable[[Path], None] = lambda folder: None
    staying: tuple[str, ...] = ()  # other names that remain at the end

    def go_on(self, folder: Path) -> None:
        (self.again or self.command)(folder)


# --- what lies in a folder ----------------------------------------------------------------------------


def contents(path: Path) -> Any:
    """Checksums of a file or folder, without hidden files."""
    if path.is_dir():
        return {inner.name: contents(inner) for inner in path.iterdir() if inner.name[0] != "."}
    return sha256(path.read_bytes()).hexdigest() if path.exists() else None


def hidden(folder: Path) -> list[str]:
    """Temporaries and locks left behind, at any depth."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*"))


class Trial:
    """A folder in which a chain runs, dies and resumes."""

    def __init__(self, chain: Chain, root: Path):
        self.chain, self.root = chain, root
        self.folder, self.log = root / "folder", root / "log.txt"
        self.seconds = 0.0
        self.prior, self.wanted = self._undisturbed()

    def _undisturbed(self) -> tuple[Any, Any]:
        """The outputs before and after an undisturbed run."""
        self.begin()
        prior = self._outputs()
        self.seconds = done(lambda: self.chain.command(self.folder), self.log)
        wanted = self._outputs()
        if None in wanted.values() or hidden(self.folder):
            raise FindingError(f"undisturbed, it leaves {wanted} and {hidden(self.folder)}")
        return prior, wanted

    def begin(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.chain.before(self.folder)
        self.strange = {path.name for path in self.folder.iterdir()} | set(self.chain.outputs)

    def _outputs(self) -> dict[str, Any]:
        return {name: contents(self.folder / name) for name in self.chain.outputs}

    def check(self) -> None:
        """Raise FindingError if anything is incomplete."""
        self.chain.settle(self.folder)
        for name, found in self._outputs().items():
            if found not in (self.prior[name], self.wanted[name]):
                raise FindingError(f"{name} is neither what it was nor what it should become: {found}")
        for path in self.folder.iterdir():
            known = path.name in self.strange or path.name.startswith((".", *self.chain.passing))
            if not known:
                raise FindingError(f"{path.name} lies there")
        self.chain.look(self.folder)

    def check_end(self) -> None:
        """Raise FindingError unless all outputs are there, and nothing else."""
        if (found := self._outputs()) != self.wanted:
            raise FindingError(f"it ended with {found}, undisturbed with {self.wanted}")
        left = {path.name for path in self.folder.iterdir()} - self.strange - {*self.chain.staying}
        if left or hidden(self.folder):
            raise FindingError(f"left over: {sorted(left)} {hidden(self.folder)}")

    def good(self, child: Child) -> None:
        if child.status:
            raise FindingError(f"ended with {child.status}: {child.said()[-800:]}")


# --- deaths -------------------------------------------------------------------------------------------


def killed(trial: Trial, wanted: int, chance: random.Random, count: Counter[str]) -> None:
    """Kill the chain `wanted` times at random moments; check after each."""
    kills = 0
    while kills < wanted:
        trial.begin()
        action: Action = lambda: trial.chain.command(trial.folder)  # noqa: E731
        while True:
            child = killed_after(action, trial.log, chance.uniform(0, trial.seconds))
            action = lambda: trial.chain.go_on(trial.folder)  # noqa: E731
            trial.check()
            if child.status != -signal.SIGKILL:
                trial.good(child)
                break
            kills += 1
            count["kills"] += 1
            if kills >= wanted:  # the last one runs to its end
                trial.good(finished(action, trial))
                trial.check()
                break
        trial.check_end()
        count["ends"] += 1


def finished(action: Action, trial: Trial) -> Child:
    child = born(action, trial.log)
    if not child.wait(300):
        child.kill()
        raise FindingError("it did not end within five minutes")
    return child


def interrupted(trial: Trial, wanted: int, chance: random.Random, count: Counter[str]) -> None:
    """Send Ctrl-C `wanted` times: one message, no traceback, nothing incomplete, nothing hidden."""
    for _ in range(wanted):
        trial.begin()
        child = born(lambda: trial.chain.command(trial.folder), trial.log)
        if not child.wait(chance.uniform(0, trial.seconds)):
            child.send(signal.SIGINT)
            count["interrupts"] += 1
        if not child.wait(300):
            child.kill()
            raise FindingError("Ctrl-C did not end it")
        _check_said(trial, child, count)
        if hidden(trial.folder):
            raise FindingError(f"Ctrl-C leaves {hidden(trial.folder)}: {child.said()[-800:]}")
        if "interrupted: the file is complete" in child.said():
            _check_coded(trial.folder / trial.chain.outputs[0])
        else:
            trial.check()
        trial.good(finished(lambda: trial.chain.go_on(trial.folder), trial))
        trial.check_end()


def _check_said(trial: Trial, child: Child, count: Counter[str]) -> None:
    said = child.said()
    if "Exception ignored in" in said:  # Python swallows it in a destructor
        count["lost by Python"] += 1
        return
    if child.status not in (0, 130) or "Traceback" in said:
        raise FindingError(f"Ctrl-C ends it with {child.status}: {said[-1500:]}")
    words = sum(line.startswith("interrupted") for line in said.splitlines())
    if words > 1:
        raise FindingError(f"Ctrl-C is answered {words} times: {said[-800:]}")


def _check_coded(path: Path) -> None:
    from coordflow_mini import bitstream

    bitstream.segments(path.read_bytes())


def struck(trial: Trial, chance: random.Random, count: Counter[str], most: int = 10**6) -> None:
    """Die before each file operation in the folder, one run after the other; at most `most` of them."""
    for number in range(1, most + 1):
        trial.begin()
        child = born(lambda: trial.chain.command(trial.folder), trial.log, strike=(trial.folder, number))
        if not child.wait(300):
            child.kill()
            raise FindingError(f"point {number}: it did not end")
        trial.check()
        if child.status != STRUCK:
            trial.good(child)
            trial.check_end()
            return
        count["points"] += 1
        trial.good(finished(lambda: trial.chain.go_on(trial.folder), trial))
        trial.check_end()


# --- chains of files ----------------------------------------------------------------------------------


def write_file(folder: Path) -> None:
    from coordflow_mini.ops.files import replacing

    with replacing(folder / "out.bin") as temporary:
        temporary.write_bytes(b"new" * 5000)


def write_folder(folder: Path) -> None:
    from coordflow_mini.ops.files import replacing

    with replacing(folder / "out") as temporary:
        (temporary / "inner").mkdir(parents=True)
        for number in range(3):
            (temporary / f"{number}.txt").write_text("new" * number)
            (temporary / "inner" / f"{number}.txt").write_text("inner" * number)


def _without_exchange(folder: Path) -> None:
    """Write a folder as on systems that cannot exchange two names."""
    from coordflow_mini.ops import files

    files._exchanged = lambda *_: False
    write_folder(folder)


def _old_file(folder: Path) -> None:
    (folder / "out.bin").write_bytes(b"old")


def _old_folder(folder: Path) -> None:
    (folder / "out").mkdir()
    for number in range(4):
        (folder / "out" / f"{number}.old").write_text("old")


def _restored(folder: Path) -> None:
    """A folder that is replaced in two steps may be missing between them: the next write restores it."""
    from coordflow_mini.ops.files import tidy

    tidy(folder / "out")


FILES = (
    Chain("file", write_file, ("out.bin",)),
    Chain("file-again", write_file, ("out.bin",), before=_old_file),
    Chain("folder", write_folder, ("out",)),
    Chain("folder-again", write_folder, ("out",), before=_old_folder),
    Chain("folder-in-two-steps", _without_exchange, ("out",), before=_old_folder, settle=_restored),
)


def _checkpoint(folder: Path) -> None:
    """A training that writes two checkpoints, resumes from them, and ends."""
    import torch

    from coordflow_mini.ops.checkpoint import Checkpoint

    kept = Checkpoint(folder / "x.checkpoint", every=0)
    for part in (kept.part(0), kept.part(1)):
        state = part.restored("fit", {"clip": "a"}) or {"step": 0}
        for step in range(state["step"], 3):
            part.reached("fit", {"clip": "a"}, {"step": step + 1, "weights": torch.zeros(100) + step})
    weights = [kept.part(number).restored("fit", {"clip": "a"})["weights"] for number in range(2)]
    (folder / "end").write_bytes(torch.stack(weights).numpy().tobytes()) and kept.remove()


CHECKPOINT = Chain(
    "checkpoint",
    _checkpoint,
    ("end",),
    passing=("x.checkpoint",),
    look=lambda folder: _checkpoints_whole(folder),
)

# --- chains of commands -------------------------------------------------------------------------------


def command(*words: object) -> Callable[[Path], None]:
    """A `coordflow` command, run in the folder; a word that begins with @ names a file beside it."""

    def run(folder: Path) -> None:
        from coordflow_mini import cli

        os.chdir(folder)
        cli.app([str(folder.parent / word[1:]) if word[0] == "@" else word for word in map(str, words)])

    return run


BRIEF = ["--width", 4, "--depth", 1, "--threads", 1, "--steps", 60]
ENCODE = ["encode", "@scene.npy", "x.cfv", *BRIEF]


def _checkpoints_whole(folder: Path) -> None:
    from coordflow_mini.ops.checkpoint import Checkpoint

    for path in folder.rglob("*.checkpoint*"):
        if path.name[0] != ".":
            Checkpoint(path).subject("fit")


def _old_coded(folder: Path) -> None:
    shutil.copy(folder.parent / "other.cfv", folder / "x.cfv")


def encodes() -> tuple[Chain, ...]:
    one, several = ["--checkpoint-every", 0], ["--segment-frames", 3, "--checkpoint-every", 0.2]
    return tuple(
        Chain(
            name,
            command(*ENCODE, *more),
            ("x.cfv",),
            again=command(*ENCODE, *more, "--resume"),
            before=before,
            passing=("x.cfv.checkpoint",),
            look=_checkpoints_whole,
        )
        for name, more, before in [("encode", one, lambda _: None), ("encode-segments", several, _old_coded)]
    )


def _sweep(folder: Path) -> None:
    from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
    from coordflow_mini.sweeps import sweep

    fit = FitConfig(steps=40, batch=64, warm_up=1, grow=1, static=1)
    model = ModelConfig(layers=1, depth=1)
    recipe = Recipe(model=model, fit=fit, codec=CodecConfig(steps=40), segment_frames=3)
    jobs = sweep.plan([str(folder.parent / "scene.npy")], [8.0], recipe=recipe)
    experiment = sweep.run(folder, jobs, device="cpu", threads=1, checkpoint_seconds=0)
    if experiment.failed or experiment.pending:
        raise RuntimeError(f"{experiment.failed} {experiment.pending}")
    (made,) = (folder / "jobs").glob("*/video.cfv")
    shutil.copyfile(made, folder / ".copy")
    os.replace(folder / ".copy", folder / "video.cfv")


def _jobs_whole(folder: Path) -> None:
    from coordflow_mini.sweeps.job import read_object

    for path in (folder / "jobs").rglob("*.json"):
        if path.name[0] != ".":
            read_object(path)
    _checkpoints_whole(folder)


SWEEP = Chain("sweep", _sweep, ("video.cfv",), passing=("jobs",), look=_jobs_whole, staying=("jobs",))


def decodes() -> tuple[Chain, ...]:
    """Decodes over outputs of another .cfv file."""
    outputs = ["out.mp4", "out.y4m", "out.npy", "out"]
    return (
        *(
            Chain(
                f"decode {name}",
                command("decode", "@coded.cfv", name, "--threads", 1),
                (name,),
                before=lambda folder, name=name: _copied(folder.parent / "before" / name, folder / name),
            )
            for name in outputs
        ),
        Chain(
            "decode --alpha",
            command("decode", "@coded.cfv", "alpha", "--alpha", "--threads", 1),
            ("alpha",),
            before=lambda folder: _copied(folder.parent / "before" / "alpha", folder / "alpha"),
        ),
        Chain(
            "export",
            command("export", "clip:cutout", "clip", "--frames", "0:3", "--size", "32x24"),
            ("clip",),
            before=lambda folder: _copied(folder.parent / "before" / "clip", folder / "clip"),
        ),
        Chain(
            "course report",
            command("course", "report", "@class", "--csv", "class.csv", "--html", "class.html"),
            ("class.csv", "class.html"),
            before=lambda folder: (folder / "class.csv").write_text("old") and None,
        ),
    )


def _copied(source: Path, target: Path) -> None:
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)


def _fetching(port: int) -> Callable[[Path], None]:
    return command("fetch", f"http://127.0.0.1:{port}/boat.mp4", "--to", ".")


def _fetch_archive(port: int) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        from coordflow_mini import fetch
        from coordflow_mini.video import catalog

        (source,) = catalog.uvg(["ReadySetGo"])
        fetch.fetch(
            replace(
                source,
                url=f"http://127.0.0.1:{port}/ReadySetGo_RAW.7z",
                file="ReadySteadyGo_32x16_120fps_420_8bit_YUV.yuv",
                size=32 * 16 * 3 // 2 * FRAMES,
                frames=FRAMES,
                download=len(ARCHIVE.packed),
            ),
            folder,
        )

    return run


FRAMES = 200


class ARCHIVE:
    """The files of the server."""

    clip = b""
    packed = b""


def fetches(port: int) -> tuple[Chain, ...]:
    inner = "ReadySteadyGo_32x16_120fps_420_8bit_YUV.yuv"
    return (
        Chain("fetch", _fetching(port), ("boat.mp4", "boat.mp4.json"), passing=("boat.mp4.fetching",)),
        Chain(
            "fetch-archive",
            _fetch_archive(port),
            (inner, f"{inner}.json"),
            passing=(f"{inner}.fetching",),
        ),
    )


class _Handler(BaseHTTPRequestHandler):
    """Serves slowly, and ranges on request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = ARCHIVE.clip if self.path.endswith("mp4") else ARCHIVE.packed
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", '"one"')
        self.end_headers()
        with suppress(OSError):
            for place in range(start, len(body), 20_000):
                self.wfile.write(body[place : place + 20_000])
                time.sleep(0.01)

    def log_message(self, *_: object) -> None:
        pass


def serving() -> tuple[ThreadingHTTPServer, Action]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    return server, server.serve_forever


# --- several at once ----------------------------------------------------------------------------------


def together(root: Path, chance: random.Random, count: Counter[str]) -> None:
    """Eight processes write the same file and folder, some are killed: both are complete at any time."""
    folder = root / "together"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    writers = [
        born(lambda mark=mark: _write_often(folder, mark), root / f"writer{mark}.txt") for mark in range(8)
    ]
    condemned = {number: chance.uniform(0, 1.0) for number in chance.sample(range(8), 3)}
    began = time.monotonic()
    while any(not writer.wait(0) for writer in writers):
        for number, moment in condemned.items():
            if time.monotonic() - began > moment:
                writers[number].kill()
        _check_whole(folder, began)
        count["looks"] += 1
        time.sleep(0.005)
    for number, writer in enumerate(writers):
        if writer.status and number not in condemned:
            raise FindingError(f"writer {number} ended with {writer.status}: {writer.said()[-800:]}")
    done(lambda: _write_often(folder, 9, times=1), root / "log.txt")
    _check_whole(folder, 0)
    marks = {path.read_text()[:1] for path in (folder / "out").iterdir()}
    if marks != {"9"} or hidden(folder):
        raise FindingError(f"the folder holds files of {marks}; left over: {hidden(folder)}")


def _write_often(folder: Path, mark: int, times: int = 25) -> None:
    from coordflow_mini.ops.files import replacing

    for _ in range(times):
        with replacing(folder / "out.txt") as temporary:
            temporary.write_text(str(mark) * 20_000)
        with replacing(folder / "out") as temporary:
            temporary.mkdir()
            for number in range(4):
                (temporary / f"{mark}-{number}").write_text(str(mark) * 100)


def _check_whole(folder: Path, began: float) -> None:
    with suppress(FileNotFoundError):
        text = (folder / "out.txt").read_text()
        if len(text) != 20_000 or len(set(text)) != 1:
            raise FindingError(f"out.txt has {len(text)} characters of {sorted(set(text))}")
        if not hasattr(_check_whole, "seen") and (folder / "out").is_dir():
            _check_whole.seen = folder  # type: ignore[attr-defined]
    if getattr(_check_whole, "seen", None) == folder and not (folder / "out").is_dir():
        raise FindingError("out was away")


def rivals(root: Path, count: Counter[str]) -> None:
    """A second encode into an output is refused and changes nothing; after a kill, resuming works at once."""
    folder = root / "rivals"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    begin = command(*ENCODE, "--checkpoint-every", 0)
    go_on = command(*ENCODE, "--checkpoint-every", 0, "--resume")
    seconds = done(lambda: begin(folder), root / "log.txt")
    whole = (folder / "x.cfv").read_bytes()
    for how in ("end", "kill"):
        (folder / "x.cfv").unlink()
        first = born(lambda: begin(folder), root / "first.txt")
        until = time.monotonic() + 60
        while not list(folder.glob("x.cfv.checkpoint*")) and time.monotonic() < until:
            time.sleep(0.01)
        first.send(signal.SIGSTOP)  # it must still be running, however fast this machine is
        for action in (begin, go_on):
            second = born(lambda action=action: action(folder), root / "second.txt")
            if (
                not second.wait(60)
                or second.status != 2
                or "is being written by another" not in second.said()
            ):
                raise FindingError(f"the second encode ended with {second.status}: {second.said()}")
        first.send(signal.SIGCONT)
        if how == "kill":
            first.kill()
            first = born(lambda: go_on(folder), root / "first.txt")
        if not first.wait(60 + 20 * seconds) or first.status:
            raise FindingError(f"the first encode ended with {first.status}: {first.said()[-800:]}")
        if (folder / "x.cfv").read_bytes() != whole or len(list(folder.iterdir())) > 1:
            raise FindingError(f"{how}: other bytes, or left over: {sorted(os.listdir(folder))}")
        count["rivals"] += 2


# --- all of it ----------------------------------------------------------------------------------------


def loaded() -> None:
    """Import what commands load lazily, so that children need not."""
    import filelock  # noqa: F401
    import py7zr  # noqa: F401
    import requests  # noqa: F401
    import torch

    torch.set_num_threads(1)
    from coordflow_mini import cli, finetune  # noqa: F401
    from coordflow_mini.course.teacher import classbook, submissions  # noqa: F401
    from coordflow_mini.sweeps import worker  # noqa: F401


def prepared(root: Path, groups: set[str]) -> None:
    """Make training small, and let children write the files that the commands read."""
    from coordflow_mini import cli, finetune, train

    _small_batches()
    train.Training.every = finetune.Tuning.every = 10  # a short training has several points to go on from
    done(lambda: _sources(root), root / "log.txt")
    coded = {"other.cfv": groups & {"encode", "decode"}, "coded.cfv": groups & {"decode"}}
    for seed, name in enumerate(name for name, wanted in coded.items() if wanted):
        words = ["encode", str(root / "scene.npy"), str(root / name), *map(str, BRIEF), "--seed", str(seed)]
        done(lambda words=words: cli.app(words), root / "log.txt")
    if "decode" not in groups:
        return
    (root / "before").mkdir()
    for words in (
        *(["decode", "@other.cfv", name] for name in ("out.mp4", "out.y4m", "out.npy", "out")),
        ["decode", "@other.cfv", "alpha", "--alpha"],
        ["export", "clip:pan", "clip", "--frames", "0:2", "--size", "32x24"],
    ):
        done(lambda words=words: command(*words)(root / "before"), root / "log.txt")


def _small_batches() -> None:
    """Change the default batch of fits, so that a step takes a millisecond."""
    from coordflow_mini.config import FitConfig

    names = [part.name for part in fields(FitConfig)]
    defaults = dict(zip(names, FitConfig.__init__.__defaults__, strict=True)) | {"batch": 128}
    FitConfig.__init__.__defaults__ = tuple(defaults.values())


def _sources(root: Path) -> None:
    import numpy as np

    from coordflow_mini.course.lesson.logbook import Summary
    from coordflow_mini.video import scenes

    np.save(root / "scene.npy", scenes.cutout(12, 16, 5).video.frames)
    (root / "class").mkdir()
    for name in ("ada", "bob"):
        Summary((), (), {}).save(root / "class" / f"{name}.json", name)


def packed() -> tuple[bytes, bytes]:
    """A clip and an archive, of noise."""
    import numpy as np
    import py7zr

    chance, buffer = np.random.default_rng(0), io.BytesIO()
    raw = chance.integers(0, 256, 32 * 16 * 3 // 2 * FRAMES, np.uint8).tobytes()
    with py7zr.SevenZipFile(buffer, "w") as archive:
        archive._writestr(raw, "ReadySteadyGo_32x16_120fps_420_8bit_YUV.yuv")
    return chance.bytes(400_000), buffer.getvalue()


GROUPS = ("files", "encode", "sweep", "decode", "fetch", "together", "rivals")


@dataclass(frozen=True)
class Dose:
    """Numbers of kills and interrupts."""

    kills: int
    interrupts: int
    points: bool


def campaign(
    root: Path, groups: tuple[str, ...], dose: Dose, seed: int
) -> Iterator[tuple[str, Counter[str]]]:
    """Run the chains of the groups, one after the other; yield what was done to each.

    Raises FindingError.
    """
    server = None
    if "fetch" in groups:
        ARCHIVE.clip, ARCHIVE.packed = packed()
        listening, serve = serving()
        server = born(serve, root / "server.txt")
        port = listening.server_port
        listening.socket.close()
        os.environ["NO_PROXY"] = "127.0.0.1"
    try:
        if set(groups) - {"files", "together"}:
            loaded()
        if set(groups) - {"files", "together", "fetch"}:
            prepared(root, set(groups))
        chains = [
            *(FILES if "files" in groups else ()),
            *((CHECKPOINT, *encodes()) if "encode" in groups else ()),
            *((SWEEP,) if "sweep" in groups else ()),
            *(decodes() if "decode" in groups else ()),
            *(fetches(port) if "fetch" in groups else ()),
        ]
        for number, chain in enumerate(chains):
            share = replace(dose, kills=dose.kills // len(chains) + (number < dose.kills % len(chains)))
            yield chain.name, treated(chain, root, share, f"{seed} {chain.name}")
        for name in {"together", "rivals"} & set(groups):
            count: Counter[str] = Counter()
            _guarded(name, root, lambda name=name, count=count: several(name, root, seed, count))
            yield name, count
    finally:
        if server:
            server.kill()


def several(name: str, root: Path, seed: int, count: Counter[str]) -> None:
    if name == "rivals":
        rivals(root, count)
    else:
        together(root, random.Random(f"{seed} {name}"), count)


def treated(chain: Chain, root: Path, dose: Dose, seed: str) -> Counter[str]:
    """Run one chain and count what was done to it."""
    count: Counter[str] = Counter()
    chance = random.Random(seed)

    def run() -> None:
        trial = Trial(chain, root)
        if dose.kills:
            killed(trial, dose.kills, chance, count)
        if dose.interrupts:
            interrupted(trial, dose.interrupts, chance, count)
        if dose.points and not chain.name.startswith(("encode", "sweep")):
            struck(trial, chance, count)

    _guarded(chain.name, root, run)
    return count


def _guarded(name: str, root: Path, run: Action) -> None:
    """Run, and keep the folder if something broke."""
    try:
        run()
    except FindingError as error:
        kept = KEPT / name.replace(" ", "-")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(root, kept)
        raise FindingError(f"{name}: {error} (kept in {kept})") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="of all chains together")
    parser.add_argument("--interrupts", type=int, default=5, help="Ctrl-C, of each chain")
    parser.add_argument("--points", action="store_true", help="death before every call about a file, too")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    groups = tuple(options.only.split(","))
    began, total = time.monotonic(), Counter[str]()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kills-") as root:
        try:
            dose = Dose(options.kills, options.interrupts, options.points)
            for name, count in campaign(Path(root), groups, dose, options.seed):
                total += count
                print(f"{name:<20} {_told(count)}", flush=True)
        except FindingError as error:
            sys.exit(f"FOUND with seed {options.seed}: {error}")
    print(f"{'all':<20} {_told(total)}; nothing found in {time.monotonic() - began:.0f} s")


def _told(count: Counter[str]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in count.items())


if __name__ == "__main__":
    main()
