"""How a class is doing: what its students handed in, as a text, an HTML page, CSV and JSON."""

import csv
import html
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coordflow_mini.course.teacher import catalog
from coordflow_mini.course.teacher.submissions import Student
from coordflow_mini.measure.spreadsheet import guarded
from coordflow_mini.ops.console import table

__all__ = ["Classbook", "Difficulty", "to_csv", "to_html", "to_json", "to_text"]

MOST_SHOWN = 10  # of exercises and predictions in the text


@dataclass(frozen=True)
class Difficulty:
    """How the class fared with one exercise."""

    exercise: str
    chapter: int
    went_wrong: int  # students with a wrong answer, at the end or on the way
    passed: int
    attempted: int
    mistakes: tuple[tuple[str, int], ...]  # what wrong answers were told, and how many students; most first


@dataclass(frozen=True)
class Classbook:
    """All students of a class."""

    students: Sequence[Student]

    @property
    def exercises(self) -> list[Difficulty]:
        """Every exercise of the course, those that most students got wrong first."""
        found = [self._difficulty(name, chapter) for name, chapter in catalog.exercises().items()]
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
        """(name, right, committed to) of every prediction, those that misled most students first."""
        committed, right = Counter[str](), Counter[str]()
        for student in self.students:
            for name, was_right in student.predictions.items():
                committed[name] += was_right is not None
                right[name] += was_right is True
        found = [(name, right[name], count) for name, count in committed.items() if count]
        return sorted(found, key=lambda one: one[1] - one[2])

    @property
    def unknown(self) -> list[tuple[str, int]]:
        """Exercises in files that the course does not have, and in how many files."""
        found = Counter(
            name
            for student in self.students
            for file in student.files
            for name in dict.fromkeys(file.unknown)
        )
        return found.most_common()


def _guessed(student: Student) -> tuple[int, int]:
    """Predictions that were right, and that were committed to and compared."""
    results = [right for right in student.predictions.values() if right is not None]
    return sum(results), len(results)


def _heads() -> list[str]:
    chapters = [f"{chapter:02d}" for chapter in catalog.chapters()]
    return ["student", *chapters, "all", "predictions"]


def _cells(student: Student) -> list[str]:
    """A student's row: passed/exercises of every chapter and of all, right/committed predictions."""
    chapters = catalog.chapters()
    passed = [(student.passed(chapter), total) for chapter, total in chapters.items()]
    passed += [(sum(done for done, _ in passed), chapters.total()), _guessed(student)]
    return [student.name, *(f"{done}/{total}" for done, total in passed)]


def _share(book: Classbook) -> list[str]:
    """The last row: what share of the class's exercises is passed."""
    count = max(len(book.students), 1)
    chapters = catalog.chapters()
    passed = {c: sum(student.passed(c) for student in book.students) for c in chapters}
    shares = [passed[c] / (count * total) for c, total in chapters.items()]
    shares += [sum(passed.values()) / (count * max(chapters.total(), 1))]
    guessed = [_guessed(student) for student in book.students]
    shares += [sum(right for right, _ in guessed) / max(sum(made for _, made in guessed), 1)]
    return ["class", *(f"{share:.0%}" for share in shares)]


def to_text(book: Classbook) -> str:
    """The table of students, then what the class found hardest."""
    parts = [table([_heads(), *map(_cells, book.students), _share(book)])]
    hard = [one for one in book.exercises if one.went_wrong][:MOST_SHOWN]
    if hard:
        rows = [["exercise", "chapter", "went wrong", "passed", "of"]]
        rows += [
            [one.exercise, f"{one.chapter:02d}", *map(str, (one.went_wrong, one.passed, one.attempted))]
            for one in hard
        ]
        lines = table(rows).splitlines()
        said = ["  heard most", *(f"  {one.mistakes[0][0]}" if one.mistakes else "" for one in hard)]
        parts.append("Most often wrong, at the end or on the way\n" + _beside(lines, said))
    if misled := [one for one in book.predictions if one[1] < one[2]][:MOST_SHOWN]:
        rows = [["prediction", "right", "of"], *([name, str(right), str(of)] for name, right, of in misled)]
        parts.append("Predictions that misled most\n" + table(rows))
    if book.unknown:
        names = ", ".join(f"{name} ({count})" for name, count in book.unknown[:MOST_SHOWN])
        more = f" and {len(book.unknown) - MOST_SHOWN} more" if len(book.unknown) > MOST_SHOWN else ""
        parts.append(f"Not of this course (files): {names}{more}")
    return "\n\n".join(parts)


def _beside(lines: Sequence[str], said: Sequence[str], width: int = 110) -> str:
    """Lines with a remark behind each, cut at the width of a terminal."""
    longest = max(map(len, lines))
    whole = (line.ljust(longest) + text for line, text in zip(lines, said, strict=True))
    return "\n".join((text if len(text) <= width else text[: width - 1] + "…").rstrip() for text in whole)


def to_json(book: Classbook, warnings: Sequence[str]) -> dict[str, Any]:
    """All of it as JSON values."""
    chapters = catalog.chapters()
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
    """One row a student: passed per chapter and in all, predictions, then the status of every exercise."""
    chapters, names = catalog.chapters(), list(catalog.exercises())
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
    """A page that needs nothing but itself and runs nothing."""
    hard = [
        [one.exercise, f"{one.chapter:02d}", str(one.went_wrong), str(one.passed), str(one.attempted), text]
        for one in book.exercises
        if one.attempted
        for text in ["; ".join(f"{said} ({count})" for said, count in one.mistakes[:3])]
    ]
    heads = ["exercise", "chapter", "went wrong", "passed", "attempted", "heard most (students)"]
    guesses = [[name, str(right), str(of)] for name, right, of in book.predictions]
    parts = [
        _html_table("Exercises passed", [_heads(), *map(_cells, book.students), _share(book)]),
        _html_table("Exercises, most often wrong first", [heads, *hard]),
        _html_table("Predictions, most misleading first", [["prediction", "right", "committed"], *guesses]),
        _html_list(
            "Exercises that this course does not have", [f"{n} ({count})" for n, count in book.unknown]
        ),
        _html_list("Files to look at", warnings),
    ]
    return _PAGE.format(title=f"A class of {len(book.students)}", body="\n".join(filter(None, parts)))


def _html_table(caption: str, rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row are heads and whose first column names the row; numbers to the right."""
    words = [
        not all(re.fullmatch(r"[\d/%]+", cell) for cell in column) for column in zip(*rows[1:], strict=True)
    ]
    sides = [" class=text" * is_text for is_text in words or [True] * len(rows[0])]
    head = "".join(
        f'<th scope="col"{side}>{html.escape(cell)}</th>' for cell, side in zip(rows[0], sides, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row"{sides[0]}>{html.escape(first)}</th>'
        + "".join(f"<td{side}>{html.escape(cell)}</td>" for cell, side in zip(rest, sides[1:], strict=True))
        + "</tr>\n"
        for first, *rest in rows[1:]
    )
    return f"<table><caption>{caption}</caption>\n<tr>{head}</tr>\n{body}</table>"


def _html_list(heading: str, entries: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(entry)}</li>\n" for entry in entries)
    return f"<h2>{heading}</h2>\n<ul>\n{items}</ul>" if entries else ""


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ max-width: 75rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word; }}
table {{ border-collapse: collapse; margin: 0 0 2rem; font-variant-numeric: tabular-nums; }}
caption, h2 {{ font-size: 1.1rem; font-weight: 600; text-align: left; padding: .5rem 0; }}
th, td {{ border: 1px solid #8888; padding: .2rem .6rem; text-align: right; overflow-wrap: break-word; }}
.text {{ text-align: left; }}
</style>
<h1>{title}</h1>
{body}
</html>
"""
