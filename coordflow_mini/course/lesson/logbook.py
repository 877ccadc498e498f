"""Logbook of a session: outcomes of checks, and predictions, kept while the notebook runs."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coordflow_mini import __version__
from coordflow_mini.ops.files import replacing

if TYPE_CHECKING:
    from coordflow_mini.course.lesson.predictions import Prediction

FORMAT = 1  # version of the files that `save` writes; older files without it lack names and mistakes
MARKS = {"passed": "✓", "wrong": "✗", "untouched": "○"}


@dataclass(frozen=True)
class Outcome:
    """Result of a check."""

    exercise: str
    chapter: int
    status: str  # "passed", "wrong" or "untouched"
    message: str

    def __str__(self) -> str:
        return f"{MARKS[self.status]} {self.exercise}: {self.message}"


class Logbook:
    """Latest outcome and all mistakes of each exercise, and all predictions of the session."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.mistakes: dict[str, list[str]] = {}  # by exercise: messages of checks, without repeats
        self.predictions: dict[str, Prediction] = {}

    def note(self, outcome: Outcome) -> None:
        """Record an outcome; mistakes are kept even after the exercise is passed."""
        self.outcomes[outcome.exercise] = outcome
        heard, said = self.mistakes.setdefault(outcome.exercise, []), outcome.message.partition("\n")[0]
        if outcome.status == "wrong" and said not in heard:
            heard.append(said)

    def __repr__(self) -> str:
        return f"Logbook({len(self.outcomes)} exercises, {len(self.predictions)} predictions)"


LOGBOOK = Logbook()


@dataclass(frozen=True)
class Summary:
    """The learner's progress, shown at the end of every chapter.

    outcomes: of the exercises checked so far.  predictions: JSON values, see `Prediction.to_json`.
    mistakes: messages that wrong answers received, by exercise.
    """

    outcomes: tuple[Outcome, ...]
    predictions: tuple[dict[str, Any], ...]
    mistakes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """True if every exercise checked so far passed."""
        return all(outcome.status == "passed" for outcome in self.outcomes)

    def __repr__(self) -> str:
        lines = []
        for chapter in sorted({outcome.chapter for outcome in self.outcomes}):
            mine = [outcome for outcome in self.outcomes if outcome.chapter == chapter]
            done = sum(outcome.status == "passed" for outcome in mine)
            names = "   ".join(f"{MARKS[outcome.status]} {outcome.exercise}" for outcome in mine)
            lines.append(f"Chapter {chapter:02d}: {done} of {len(mine)} exercises done.   {names}")
        committed = [prediction for prediction in self.predictions if prediction["answer"] is not None]
        if self.predictions:
            right = sum(prediction["right"] is True for prediction in committed)
            lines.append(
                f"Predictions: {len(committed)} of {len(self.predictions)} committed to, {right} right."
            )
        return "\n".join(lines) or "Nothing has been checked yet."

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        exercises = [
            {
                "name": o.exercise,
                "chapter": o.chapter,
                "status": o.status,
                "mistakes": self.mistakes.get(o.exercise, []),
            }
            for o in self.outcomes
        ]
        return {
            "format": FORMAT,
            "library": __version__,
            "exercises": exercises,
            "predictions": list(self.predictions),
        }

    def save(self, path: str | Path, name: str = "") -> None:
        """Write the summary to a JSON file for an instructor; name: the learner's own, optional."""
        content = self.to_json() | ({"name": name} if name else {})
        with replacing(Path(path)) as temporary:
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def progress() -> Summary:
    """Summary of this session so far; save it with `progress().save("answers.json")`."""
    predictions = (prediction.to_json() for prediction in LOGBOOK.predictions.values())
    mistakes = {name: list(heard) for name, heard in LOGBOOK.mistakes.items()}
    return Summary(tuple(LOGBOOK.outcomes.values()), tuple(predictions), mistakes)
