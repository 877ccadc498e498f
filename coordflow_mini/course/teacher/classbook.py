"""Report on a class from its students' files, as text, HTML, CSV and JSON."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coordflow_mini.course.teacher import curriculum
from coordflow_mini.course.teacher.submissions import Student
from coordflow_mini.measure.spreadsheet import guarded
from coordflow_mini.ops.console import table
from coordflow_mini.show.page import render

MOST_SHOWN = 10  # exercises and predictions in the text


@dataclass(frozen=True)
class Difficulty:
    """Results of the class on one exercise."""

    exercise: str
    chapter: int
    went_wrong: int  # students who gave a wrong answer at any time
    passed: int
    attempted: int
    mistakes: tuple[tuple[str, int], ...]  # message of the check, number of students; most frequent first


@dataclass(frozen=True)
class Classbook:
    """All students of a class."""

    students: Sequence[Student]

    @property
    def exercises(self) -> list[Difficulty]:
        """All exercises of the course, those with the most wrong answers first."""
        found = [self._difficulty(name, chapter) for name, chapter in curriculum.exercises().items()]
        return sorted(found, key=lambda one: (-one.went_wrong, one.passed - one.attempted))

    def _difficulty(self, name: str, chapter: int) -> Difficulty:
        statuses = Counter(student.statuses[name] for student in self.students)
        said = Counter(text for student in self.students for text in student.mistakes.get(name, []))
        wrong = sum(
            student.statuses[name] == "wrong" or bool(student.mistakes.get(name)) for student in self.students
        )
        attempted = statuses["passed"] + statuses["wrong"]
        return Difficulty(name, chapter, wrong, statuses["passed"], attempted, tuple(said.most_common()))

    @property
    def predictions(self) -> list[tuple[str, int, int]]:
        """(name, right, committed) of every prediction, those that misled most students first."""
        committed, right = Counter[str](), Counter[str]()
        for student in self.students:
            for name, was_right in student.predictions.items():
                committed[name] += was_right is not None
                right[name] += was_right is True
        found = [(name, right[name], count) for name, count in committed.items() if count]
        return sorted(found, key=lambda one: one[1] - one[2])

    @property
    def unknown(self) -> list[tuple[str, int]]:
        """Names in files that are no exercise of the course, with the number of files."""
        found = Counter(
            name
            for student in self.students
            for file in student.files
            for name in dict.fromkeys(file.unknown)
        )
        return found.most_common()


def _guessed(student: Student) -> tuple[int, int]:
    """Number of predictions that were right, and that were committed to and compared."""
    results = [right for right in student.predictions.values() if right is not None]
    return sum(results), len(results)


def _heads() -> list[str]:
    chapters = [f"{chapter:02d}" for chapter in curriculum.chapters()]
    return ["student", *chapters, "all", "predictions"]


def _cells(student: Student) -> list[str]:
    """A student's row: name, passed/all exercises by chapter and in total, right/committed predictions."""
    chapters = curriculum.chapters()
    passed = [(student.passed(chapter), total) for chapter, total in chapters.items()]
    passed += [(sum(done for done, _ in passed), chapters.total()), _guessed(student)]
    return [student.name, *(f"{done}/{total}" for done, total in passed)]


def _share(book: Classbook) -> list[str]:
    """Last row of the table: percentages of the whole class."""
    count = max(len(book.students), 1)
    chapters = curriculum.chapters()
    passed = {c: sum(student.passed(c) for student in book.students) for c in chapters}
    shares = [passed[c] / (count * total) for c, total in chapters.items()]
    shares += [sum(passed.values()) / (count * max(chapters.total(), 1))]
    guessed = [_guessed(student) for student in book.students]
    shares += [sum(right for right, _ in guessed) / max(sum(made for _, made in guessed), 1)]
    return ["class", *(f"{share:.0%}" for share in shares)]


def to_text(book: Classbook) -> str:
    """The report as text: a table of students, then the hardest exercises and predictions."""
    parts = [table([_heads(), *map(_cells, book.students), _share(book)])]
    hard = [one for one in book.exercises if one.went_wrong][:MOST_SHOWN]
    if hard:
        rows = [["exercise", "chapter", "wrong", "passed", "of"]]
        rows += [
            [one.exercise, f"{one.chapter:02d}", *map(str, (one.went_wrong, one.passed, one.attempted))]
            for one in hard
        ]
        lines = table(rows).splitlines()
        said = [
            "  most frequent message",
            *(f"  {one.mistakes[0][0]}" if one.mistakes else "" for one in hard),
        ]
        parts.append("Exercises with the most wrong answers\n" + _beside(lines, said))
    if misled := [one for one in book.predictions if one[1] < one[2]][:MOST_SHOWN]:
        rows = [["prediction", "right", "of"], *([name, str(right), str(of)] for name, right, of in misled)]
        parts.append("Most misleading predictions\n" + table(rows))
    if book.unknown:
        names = ", ".join(f"{name} ({count})" for name, count in book.unknown[:MOST_SHOWN])
        more = f" and {len(book.unknown) - MOST_SHOWN} more" if len(book.unknown) > MOST_SHOWN else ""
        parts.append(f"Unknown exercises (files): {names}{more}")
    return "\n\n".join(parts)


def _beside(lines: Sequence[str], said: Sequence[str], width: int = 110) -> str:
    """Lines, each followed by its remark and cut at the width of a terminal."""
    longest = max(map(len, lines))
    whole = (line.ljust(longest) + text for line, text in zip(lines, said, strict=True))
    return "\n".join((text if len(text) <= width else text[: width - 1] + "…").rstrip() for text in whole)


def to_json(book: Classbook, warnings: Sequence[str]) -> dict[str, Any]:
    """The report as JSON values."""
    chapters = curriculum.chapters()
    return {
        "chapters": {f"{chapter:02d}": total for chapter, total in chapters.items()},
        "students": [
            {
                "name": student.name,
                "files": [file.path for file in student.files],
                "passed": {f"{chapter:02d}": student.passed(chapter) for chapter in chapters},
                "exercises": student.statuses,
                "mistakes": student.mistakes,
                "predictions": student.predictions,
            }
            for student in book.students
        ],
        "exercises": [
            {
                "name": one.exercise,
                "chapter": one.chapter,
                "went_wrong": one.went_wrong,
                "passed": one.passed,
                "attempted": one.attempted,
                "mistakes": dict(one.mistakes),
            }
            for one in book.exercises
        ],
        "predictions": [
            {"name": name, "right": right, "committed": of} for name, right, of in book.predictions
        ],
        "unknown": dict(book.unknown),
        "warnings": list(warnings),
    }


def to_csv(book: Classbook) -> str:
    """The report as CSV, one row per student: passed by chapter and in total, predictions, all statuses."""
    chapters, names = curriculum.chapters(), list(curriculum.exercises())
    heads = ["student", "files", *(f"chapter {chapter:02d}" for chapter in chapters), "passed"]
    heads += ["predictions right", "predictions committed", *names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(heads)
    for student in book.students:
        passed = [student.passed(chapter) for chapter in chapters]
        files = " ".join(file.path for file in student.files)
        figures = [*passed, sum(passed), *_guessed(student)]
        statuses = [student.statuses[name] for name in names]
        writer.writerow([guarded(student.name), guarded(files), *figures, *statuses])
    return text.getvalue()


def to_html(book: Classbook, warnings: Sequence[str]) -> str:
    """The report as a self-contained HTML page without scripts."""
    hard = [
        [one.exercise, f"{one.chapter:02d}", str(one.went_wrong), str(one.passed), str(one.attempted), text]
        for one in book.exercises
        if one.attempted
        for text in ["; ".join(f"{said} ({count})" for said, count in one.mistakes[:3])]
    ]
    heads = ["exercise", "chapter", "wrong", "passed", "attempted", "most frequent messages (students)"]
    guesses = [[name, str(right), str(of)] for name, right, of in book.predictions]
    return render(
        "class_report.html.j2",
        title=f"A class of {len(book.students)}",
        tables=[
            ("Exercises passed", _heads(), [*map(_cells, book.students), _share(book)]),
            ("Exercises, most wrong answers first", heads, hard),
            ("Predictions, most misleading first", ["prediction", "right", "committed"], guesses),
        ],
        lists=[
            ("Unknown exercises (files)", [f"{name} ({count})" for name, count in book.unknown]),
            ("Warnings", warnings),
        ],
    )
