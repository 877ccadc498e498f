"""Measures the running time of each chapter and writes it into the chapter's source.

    python -m coordflow_mini.course.author.timing [CHAPTER ...]

Run it on an idle machine with 2 CPU cores, using 2 threads.  With a GPU, it writes the time on the GPU.
"""

import argparse
import os
import re
import time

from coordflow_mini.course.author.chapter import Lesson, chapter_sources, read_lesson
from coordflow_mini.course.author.notebooks import Edition, build, read_home
from coordflow_mini.course.lesson.announce import announce
from coordflow_mini.ops.lazy import lazily

with lazily():
    import nbclient
    import nbformat
    import torch

CPU_TIME = r"measured: (?:not yet|\d+ s on 2 CPU cores)"
GPU_TIME = r"(, \d+ s on an? [^.;,]+ GPU)?"


def run_seconds(lesson: Lesson) -> float:
    """Wall time of the notebook [s], from the kernel's start to the last cell; re-raises errors of cells."""
    book = nbformat.reads(  # type: ignore[no-untyped-call]
        build(lesson, Edition(read_home())), as_version=4
    )
    start = time.perf_counter()
    nbclient.NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": "."}}
    ).execute()
    return time.perf_counter() - start


def stamp(source: str, seconds: float, gpu: str = "") -> str:
    """The chapter's source with the new time, rounded up, in place of the old one.

    >>> stamp("Running all cells, measured: not yet.", 11.2)
    'Running all cells, measured: 12 s on 2 CPU cores.'
    >>> stamp("Running all cells, measured: 12 s on 2 CPU cores.", 3.4, gpu="T4")
    'Running all cells, measured: 12 s on 2 CPU cores, 4 s on a T4 GPU.'
    """
    rounded = int(-(-seconds // 1))
    found = re.search(f"({CPU_TIME}){GPU_TIME}", source)
    if found is None:
        raise ValueError("the first cell must contain 'Running all cells, measured: not yet.'")
    cpu, rest = found[1], found[2] or ""
    if gpu:
        rest = f", {rounded} s on {'an' if gpu[0] in 'AEFHILMNORSX' else 'a'} {gpu} GPU"
    else:
        cpu = f"measured: {rounded} s on 2 CPU cores"
    return source[: found.start()] + cpu + rest + source[found.end() :]


def _gpu_name() -> str:
    """Short name of the GPU, such as "T4", or ""."""
    if not torch.cuda.is_available() or os.environ.get("COORDFLOW_SCALE") == "cpu":
        return ""
    return (
        torch.cuda.get_device_name().removeprefix("NVIDIA ").removeprefix("Tesla ").split()[0].split("-")[0]
    )


def main() -> None:
    """Measure chapters and write their times into the sources."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("chapters", nargs="*", type=int, help="chapter numbers (default: all)")
    options = parser.parse_args()
    gpu = _gpu_name()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    for path in chapter_sources():
        lesson = read_lesson(path)
        if options.chapters and lesson.number not in options.chapters:
            continue
        seconds = run_seconds(lesson)
        announce(f"{path.name}: {seconds:.1f} s on {gpu or '2 CPU cores'}")
        path.write_text(stamp(path.read_text(encoding="utf-8"), seconds, gpu), encoding="utf-8")


if __name__ == "__main__":
    main()
