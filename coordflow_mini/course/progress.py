"""What a learner has done: outcomes of checks and predictions, kept while the notebook runs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coordflow_mini.course.predictions import Prediction

__all__ = ["LOGBOOK", "Logbook", "Outcome", "Summary", "progress"]

MARKS = {"passed": "✓", "wrong": "✗", "untouched": "○"}


@dataclass(frozen=True)
class Outcome:
    """What a check found."""

    exercise: str
    chapter: int
    status: str  # "passed", "wrong" or "untouched"
    message: str

    def __str__(self) -> str:
        return f"{MARKS[self.status]} {self.exercise}: {self.message}"


class Logbook:
    """The last outcome of every exercise and all predictions of this session."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.predictions: dict[str, Prediction] = {}

    def __repr__(self) -> str:
        return f"Logbook({len(self.outcomes)} exercises, {len(self.predictions)} predictions)"


LOGBOOK = Logbook()


@dataclass(frozen=True)
class Summary:
    """How far the learner is; the last line of every chapter shows it.

    outcomes: of the exercises checked so far.  predictions: as JSON values, see `Prediction.to_json`.
    """

    outcomes: tuple[Outcome, ...]
    predictions: tuple[dict[str, Any], ...]

    @property
    def complete(self) -> bool:
        """Whether every exercise that was checked passed."""
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
        """All of it as JSON values."""
        exercises = [{"name": o.exercise, "chapter": o.chapter, "status": o.status} for o in self.outcomes]
        return {"exercises": exercises, "predictions": list(self.predictions)}

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file, for a teacher who asks for it."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False), encoding="utf-8")


def progress() -> Summary:
    """What has been done in this session so far: `progress().save("answers.json")` keeps it."""
    predictions = (prediction.to_json() for prediction in LOGBOOK.predictions.values())
    return Summary(tuple(LOGBOOK.outcomes.values()), tuple(predictions))
