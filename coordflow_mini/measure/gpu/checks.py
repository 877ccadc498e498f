"""The checks in order of what they tell per second, their report line by line, and the table of speeds."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch

from coordflow_mini.measure.gpu import exact, graph, processes, speed, uses
from coordflow_mini.measure.gpu.card import Card, CheckError, Figures, LeftOutError
from coordflow_mini.ops.compiling import device_named
from coordflow_mini.ops.console import Console

Check = Callable[[Card], Figures]

CHECKS: dict[str, Check] = {
    "versions": exact.versions,
    "decoding": exact.decoding,
    "numbers": exact.numbers,
    "steps": exact.steps,
    "waits": exact.waits,
    "encoding": uses.encoding,
    "applying": uses.applying,
    "compiling": processes.compiling,
    "capturing": graph.capturing,
    **{f"speed of {name}": partial(speed.measured, name=name) for name in speed.SIZES},
    "pair": processes.pair,
}
QUICK = 7  # of them; the others compile, and measure speed


@dataclass(frozen=True)
class Result:
    """What came out of a check."""

    check: str
    verdict: str  # "ok", "FAILED" or "left out"
    seconds: float
    figures: Figures
    reason: str = ""  # of any other verdict than "ok"

    def __str__(self) -> str:
        found = [f"{name} {_short(value)}" for name, value in self.figures.items()]
        text = ", ".join(found) or self.reason
        return f"{self.verdict:8}  {self.check:16}  {self.seconds:5.1f} s  {' '.join(text.split())}"


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def results(card: Card, checks: Mapping[str, Check]) -> Iterator[Result]:
    """Results of checks, one after the other; an error of one does not keep the others from being made."""
    for name, check in checks.items():
        began = time.perf_counter()
        verdict, figures, reason = "ok", Figures(), ""
        try:
            figures = check(card)
            card.wait()
        except LeftOutError as error:
            verdict, reason = "left out", str(error)
        except ModuleNotFoundError as error:
            verdict, reason = "left out", f"the wheel of {error.name} is missing"
        except CheckError as error:
            verdict, reason = "FAILED", str(error)
        except Exception as error:  # of any kind: that, too, is a result
            verdict, reason = "FAILED", f"{type(error).__name__}: {error}"
        yield Result(name, verdict, time.perf_counter() - began, figures, reason)


def report(device: str, quick: bool, record: Callable[[str], None]) -> bool:
    """Make the checks; True if none failed.

    A line for each goes to stderr, and one of JSON to `record`.  Raises ValueError if there is no GPU.
    """
    card, console = Card(device_named(device)), Console()
    console.say(f"{card.name}, PyTorch {torch.__version__}")
    done = []
    for result in results(card, dict(list(CHECKS.items())[: QUICK if quick else None])):
        done.append(result)
        console.say(str(result))
        record(json.dumps({"card": card.name, **asdict(result)}))
    if not card.real:
        console.say("this is no real GPU: speeds mean nothing, keep none of them")
    if not quick:
        console.say("\n" + table(card, done))
    return all(result.verdict != "FAILED" for result in done)


_COLUMNS = {
    "fit, steps/s": "eager",
    "compiled": "compiled",
    "as a graph": "captured",
    "of peak": "share of peak",
    "fine-tune, steps/s": "fine-tuning",
    "naive fit, steps/s": "naive",
    "GB": "GB",
    "decode in float16, frames/s": "float16 frames/s",
    "its loss [dB]": "float16 [dB]",
    "decode in float32": "frames/s",
    "naive decode": "naive frames/s",
}


def table(card: Card, done: Sequence[Result]) -> str:
    """Speeds in Markdown, for README.md and LOG.md."""
    rows = [["size", *_COLUMNS], ["---", *["---:"] * len(_COLUMNS)]]
    for result in done:
        if result.check.startswith("speed of "):
            cells = (_short(result.figures.get(key, "–")) for key in _COLUMNS.values())
            rows.append([result.check.removeprefix("speed of "), *cells])
    lines = [f"{card.name}, PyTorch {torch.__version__}", "", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)
