"""Coverage-guided fuzzing of the readers of `.cfv` files: `python -m campaigns.fuzz --seconds 600`.

atheris watches which branches of the reader an input reaches, and keeps inputs that reach new ones. Its own
mutations would all fail at a checksum, so two thirds of the inputs change numbers of the header, sections or
coded words and repair the checksums (`campaigns.damage`).

Two targets: `parse` reads header, index, weights and sizes without PyTorch, thousands of times a second;
`decode` renders pixels as well. Findings and the inputs that reached new branches are kept in
runs/campaigns/fuzz, where the next run starts.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random

KEPT = Path("runs/campaigns/fuzz")
LONGEST_INPUT = 1 << 12
ROUND = 250_000  # inputs that one process tries
SECONDS_A_RUN, MEGABYTES = 20, 4096  # beyond these an input is a finding


def parse(data: bytes) -> None:
    """Check the reader's promise without rendering: one BitstreamError in one line, or bounded weights."""
    from campaigns.damage import shapes_of
    from coordflow_mini import bitstream, entropy

    try:
        header = bitstream.read_header(data)
        assert bitstream.header_bytes(header) == data[: len(bitstream.header_bytes(header))]
        sections = bitstream.index(data)
        assert sum(section.frames for section in sections) == header.time
        for section in bitstream.segments(data)[:4]:
            found = bitstream.segment_tensors(data[section.at : section.end], header, shapes_of)
            for tensor in found:
                assert abs(tensor.integers).max() <= entropy.LARGEST and abs(tensor.values).max() < 2**26
        assert bitstream.sizes(data, shapes_of).total == len(data)
    except bitstream.BitstreamError as error:
        text = str(error)
        assert text and "\n" not in text and len(text) < 400, text


def decode(data: bytes) -> None:
    """Check all that `damage.judge` checks, with a few pixels of the first and the last frame."""
    from campaigns import damage

    damage.judge(data)


TARGETS = {"parse": parse, "decode": decode}


def mutated(data: bytes, size: int, seed: int) -> bytes:
    """The next input: a third by libFuzzer, the others by `campaigns.damage`, most of them resealed.

    An input longer than `size` is cut, and the length of its last section repaired.
    """
    import atheris

    from campaigns import damage

    rng = Random(seed)
    if rng.random() < 1 / 3:
        data = atheris.Mutate(data, min(size, LONGEST_INPUT))
        return damage.resealed(data) if rng.random() < 0.7 else data
    for _ in range(rng.choice((1, 1, 2, 4))):
        try:
            data = rng.choice(damage.MUTATIONS)(data, rng) or data
        except (IndexError, ValueError):  # too little is left to mutate it that way
            data = rng.choice(damage.originals())
    most = min(size, LONGEST_INPUT)
    if rng.random() < 0.9:
        fits = len(data) <= most
        data = damage.resealed(data) if fits else damage.Parts.of(data[: max(0, most - 8)]).to_bytes()
    return data[:most]


def fuzz(target: str, runs: int, seconds: int, seed: int) -> None:
    """Fuzz in a child process, until libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["coordflow_mini.bitstream", "coordflow_mini.entropy"]):
        from coordflow_mini import bitstream, entropy, quantize

    if target == "decode":
        import torch

        from campaigns import damage

        torch.set_num_threads(1)
        damage.judge(damage.originals()[0])  # so that the first input does not pay for imports
        from coordflow_mini import decoder

        for name in ("decode_frames", "_models", "_positions", "build_model"):
            setattr(decoder, name, atheris.instrument_func(getattr(decoder, name)))
    assert bitstream and entropy and quantize
    folder = KEPT / target
    options = [f"-artifact_prefix={folder}/", f"-max_len={LONGEST_INPUT}", f"-timeout={SECONDS_A_RUN}"]
    options += [f"-rss_limit_mb={MEGABYTES}", f"-seed={seed}", "-print_final_stats=1"]
    options += [f"-runs={runs}"] * bool(runs) + [f"-max_total_time={seconds}"] * bool(seconds)
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], TARGETS[target], custom_mutator=mutated)
    atheris.Fuzz()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--target", choices=TARGETS, default=None, help="default: one, then the other")
    options.add_argument("--seconds", type=int, default=0, help="of each target")
    options.add_argument("--runs", type=int, default=0, help="of each target")
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        fuzz(given.target, given.runs, given.seconds, given.seed)
        return
    if not given.runs and not given.seconds:
        options.error("say for how long: --seconds 600 or --runs 100000")
    targets = [given.target] if given.target else list(TARGETS)
    sys.exit(max(campaign(target, given.runs, given.seconds, given.seed) for target in targets))


def campaign(target: str, runs: int, seconds: int, seed: int) -> int:
    """Fuzz one target in child processes, which a crash may end; 1 if there is a finding.

    One child after the other: atheris 3.0 leaks about 2.5 kB per input of a custom mutator.
    """
    from campaigns import damage

    corpus, began, done, code = KEPT / target / "corpus", time.monotonic(), 0, 0
    corpus.mkdir(parents=True, exist_ok=True)
    for file in damage.CORPUS.glob("*.cfv"):
        shutil.copy(file, corpus)
    while not code and (not runs or done < runs):
        left = round(seconds - (time.monotonic() - began))
        if seconds and left < 1:
            break
        size = min(ROUND, runs - done) if runs else ROUND
        command = [sys.executable, "-m", "campaigns.fuzz", "--child", "--target", target]
        command += ["--seed", str(seed + done), "--runs", str(size), "--seconds", str(left if seconds else 0)]
        code = subprocess.run(command, check=False).returncode
        done += size
    found = sorted(file.name for file in (KEPT / target).iterdir() if file.is_file())
    print(f"{target}: seed {seed}, {len(list(corpus.iterdir()))} inputs in the corpus, findings: {found}")
    return 1 if code or found else 0


if __name__ == "__main__":
    main()
