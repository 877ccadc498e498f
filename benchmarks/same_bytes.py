"""Compare the files that two checkouts encode, byte by byte.

    python -m benchmarks.same_bytes ../older                  # this checkout against another: three minutes
    python -m benchmarks.same_bytes ../older --only segments  # the cases with this word in their name

Run it before and after a change that must not change results. Each case is encoded by both checkouts, each
in its own process, with the same Python and one thread. Exit code 1 if any two files differ.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parents[1]
SMALL = ["--frames", "0:8", "--size", "48x32", "--bpp", "2", "--steps", "120"]
BUNNY = ["clip:bunny", "--frames", "0:6", "--size", "64x36", "--bpp", "1.5", "--steps", "120"]

COMMANDS = {  # the words after `coordflow encode`
    "two layers": ["clip:cutout", *SMALL],
    "one layer": ["clip:pan", *SMALL, "--layers", "1", "--seed", "5"],
    "three layers": [*BUNNY, "--layers", "3"],
    "no motion": [*BUNNY, "--motion", "none", "--gamma", "0"],
    "segments": ["clip:cutout", *SMALL, "--segment-frames", "3"],
    "given width": ["clip:pan", *SMALL[:4], "--steps", "60", "--width", "10", "--depth", "2"],
    "few steps": ["clip:cutout", *SMALL[:4], "--steps", "3", "--width", "6"],
    "preset": ["clip:cutout", *SMALL[:4], "--preset", "uvg-s", "--steps", "12", "--width", "8"],
}
FITS = {  # what the command line has no option for: fields of FitConfig
    "starts": {"starts": 3, "start_steps": 30},
    "Adam": {"optimizer": "adam", "learning_rate": 0.003},
    "absolute error": {"absolute": 0.5, "squared": 0.5},
    "MS-SSIM": {"ms_ssim": 0.2},
    "compiled": {"compile": True},
}
CALL = """
import json, sys
from pathlib import Path
import coordflow_mini as cf
from coordflow_mini import config

out, fields = sys.argv[1], json.loads(sys.argv[2])
video = cf.load("clip:cutout", config.Selection(0, 8, 1, 48, 32))
parts = {"fit": cf.FitConfig(**{"steps": 120, "batch": 2048, **fields}), "codec": cf.CodecConfig(steps=60)}
options = {"recipe": config.Recipe(**parts)} if hasattr(config, "Recipe") else parts  # since the one Recipe
Path(out).write_bytes(cf.encode(video, bpp=2, **options))
"""


def encoded(checkout: Path, case: str, out: Path) -> bytes | None:
    """The file that a checkout makes of a case; None, with the error printed, if it fails."""
    command = [sys.executable]
    if case in COMMANDS:
        command += ["-m", "coordflow_mini", "encode", COMMANDS[case][0], str(out), *COMMANDS[case][1:]]
        command += ["--threads", "1", "--quiet"]
    else:
        command += ["-c", CALL, str(out), json.dumps(FITS[case])]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=out.parent, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"{checkout} fails at {case!r}: {done.stderr[-800:]}", file=sys.stderr)
        return None
    return out.read_bytes()


def same(case: str, checkouts: list[Path], folder: Path) -> bool:
    """Encode a case with both checkouts and print a row of the table."""
    began = time.perf_counter()
    files = [encoded(checkout, case, folder / f"{number}.cfv") for number, checkout in enumerate(checkouts)]
    for file in folder.iterdir():
        file.unlink()
    equal = files[0] is not None and files[0] == files[1]
    sizes = "".join(f"{'failed' if data is None else f'{len(data):,}':>10}" for data in files)
    print(
        f"{case:16}{sizes}   {'same' if equal else 'DIFFER':8}{time.perf_counter() - began:5.0f} s",
        flush=True,
    )
    return equal


def main() -> None:
    """Print a row for each case; exit code 1 if any two files differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("other", type=Path, help="another checkout of this repository")
    parser.add_argument("--this", type=Path, default=HERE, help="in place of the checkout this script is in")
    parser.add_argument("--only", default="", help="a word in the names of the cases to run")
    options = parser.parse_args()
    checkouts = [options.this.resolve(), options.other.resolve()]
    for checkout in checkouts:
        if not (checkout / "coordflow_mini" / "__init__.py").is_file():
            parser.error(f"{checkout} is no checkout: it has no coordflow_mini/__init__.py")
    print(f"{'case':16}{'this':>10}{'other':>10}   bytes")
    with tempfile.TemporaryDirectory() as folder:
        chosen = [case for case in (*COMMANDS, *FITS) if options.only in case]
        equal = [same(case, checkouts, Path(folder)) for case in chosen]
    print(f"{sum(equal)} of {len(equal)} files are the same")
    raise SystemExit(not all(equal))


if __name__ == "__main__":
    main()
