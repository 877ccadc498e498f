"""Predictions: learners commit to an answer before they run the cell that shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any

from coordflow_mini.course.lesson.announce import announce
from coordflow_mini.course.lesson.logbook import LOGBOOK

Answer = str | float


@dataclass
class Prediction:
    """A question, the learner's answer and the truth.

    answer: None until the learner commits to one.  revised: changed after the truth was shown.
    """

    name: str
    question: str
    choices: tuple[str, ...]
    unit: str
    answer: Answer | None
    truth: Answer | None = field(default=None, init=False)
    within: float = field(default=0.0, init=False)
    revised: bool = field(default=False, init=False)

    @property
    def right(self) -> bool | None:
        """True if the answer is right; None without an answer or before the comparison."""
        if self.answer is None or self.truth is None:
            return None
        if isinstance(self.answer, str) or isinstance(self.truth, str):
            return self.answer == self.truth
        return abs(self.answer - self.truth) <= self.within

    def compare(self, truth: Answer, because: str = "", *, within: float = 0.0) -> None:
        """Print the prediction, the truth and the reason.

        within: tolerance for numbers, in the prediction's unit.
        """
        self.truth, self.within = truth, within
        came = f"What came out: {self._spoken(truth)}."
        if self.answer is None:
            text = f"○ {came} You made no prediction: the surprise teaches most, so guess next time."
        elif self.right:
            text = f"✓ {came} You predicted it."
        else:
            text = f"✗ {came} You predicted {self._spoken(self.answer)}."
        announce(f"{text} {because}".rstrip())

    def to_json(self) -> dict[str, Any]:
        """The prediction as JSON values."""
        names = ("name", "question", "answer", "truth", "unit", "right", "revised")
        return {name: getattr(self, name) for name in names}

    def _spoken(self, value: Answer) -> str:
        return value if isinstance(value, str) else f"{value:.3g} {self.unit}".rstrip()


def predict(
    name: str,
    question: str,
    *,
    choices: Sequence[str] = (),
    unit: str = "",
    answer: Answer | EllipsisType | None = ...,
) -> Prediction:
    """Ask a question and record what the learner puts in place of `answer=...`; optional for the learner.

    name: unique in the course.  choices: possible answers; without them the answer is a number in
    `unit`.  `Prediction.compare` later reveals the truth.
    """
    committed = None if answer is None or isinstance(answer, EllipsisType) else answer
    problem = _problem(committed, choices)
    prediction = Prediction(name, question, tuple(choices), unit, None if problem else committed)
    before = LOGBOOK.predictions.get(name)
    if before is not None and before.truth is not None:
        prediction.revised = before.revised or prediction.answer != before.answer
    LOGBOOK.predictions[name] = prediction
    wanted = " or ".join(repr(choice) for choice in choices) if choices else f"a number [{unit}]"
    if problem:
        announce(f"{problem} Put {wanted} after answer=.")
    elif committed is None:
        announce(f"No prediction yet: put {wanted} in place of the three dots, then run this cell again.")
    else:
        announce(f"Noted: {prediction._spoken(committed)}. Now find out.")
    return prediction


def _problem(answer: Answer | None, choices: Sequence[str]) -> str:
    if answer is None or (answer in choices if choices else isinstance(answer, (int, float))):
        return ""
    return f"{answer!r} is not one of the choices." if choices else f"{answer!r} is not a number."
