"""Reads the files that students save with `progress().save(...)`, as untrusted input.

From a file come only outcomes of checks, predictions and a name; exercises and their chapters come from
`curriculum`.  An unusable file causes one warning and does not affect the others.
"""

import json
import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from coordflow_mini.course.lesson.logbook import FORMAT
from coordflow_mini.course.teacher import curriculum
from coordflow_mini.ops.text import printable

MOST_BYTES = 1 << 20  # per file; a whole course takes about 30 kB
MOST_ENTRIES = 500  # exercises or predictions per file
MOST_MISTAKES = 50  # per exercise
DEEPEST = 20  # nested folders
LONGEST_NAME, LONGEST_MISTAKE = 40, 300  # characters
STATUSES = ("untouched", "wrong", "passed")  # worst to best


class UnusableError(ValueError):
    """A file cannot be used; the message tells the instructor why."""


@dataclass(frozen=True)
class Submission:
    """One file."""

    path: str  # relative to the folder that was read, with slashes
    name: str  # given by the student, or ""
    statuses: dict[str, str]  # by exercise
    mistakes: dict[str, list[str]]  # messages that wrong answers received, by exercise
    predictions: dict[str, bool | None]  # by name; committed ones only: right, wrong or (None) never compared
    unknown: tuple[str, ...] = ()  # names that are no exercise of the course
    doubts: tuple[str, ...] = ()  # parts of the file that were ignored, and why

    @property
    def folder(self) -> str:
        """The first folder of `path`, or ""."""
        return self.path.partition("/")[0] if "/" in self.path else ""

    @property
    def attempted(self) -> set[str]:
        """Exercises with an answer, right or wrong."""
        return {name for name, status in self.statuses.items() if status != "untouched"}


@dataclass
class Student:
    """All files of one student; the best outcome of each exercise counts.

    Results are cached: read them only when all files have been added.
    """

    name: str
    files: list[Submission] = field(default_factory=list)

    @cached_property
    def statuses(self) -> dict[str, str]:
        """The best outcome of every exercise of the course."""
        return {
            name: max((file.statuses.get(name, "untouched") for file in self.files), key=STATUSES.index)
            for name in curriculum.exercises()
        }

    @cached_property
    def mistakes(self) -> dict[str, list[str]]:
        """Messages that wrong answers received, by exercise, without repeats."""
        found: dict[str, dict[str, None]] = {}
        for file in self.files:
            for name, said in file.mistakes.items():
                found.setdefault(name, {}).update(dict.fromkeys(said))
        return {name: list(said) for name, said in found.items()}

    @cached_property
    def predictions(self) -> dict[str, bool | None]:
        """Right or wrong by prediction; the first file that contains it counts."""
        return {name: right for file in reversed(self.files) for name, right in file.predictions.items()}

    def passed(self, chapter: int) -> int:
        """Number of passed exercises of a chapter."""
        of = curriculum.exercises()
        return sum(status == "passed" and of[name] == chapter for name, status in self.statuses.items())


# --- a folder -----------------------------------------------------------------------------------------


def read_folder(folder: Path) -> tuple[list[Student], list[str]]:
    """(students by name, warnings) from all files in a folder and its subfolders.

    A file's student is its `name`; without one, the subfolder it lies in; without that, the file's name.
    Two files with the same name and the same exercises in different folders may belong to two people and
    are shown separately.  Raises ValueError if the folder does not exist.
    """
    if not folder.is_dir():
        raise ValueError(f"{plain_text(str(folder))} is not a folder")
    warnings: list[str] = []
    found: list[Submission] = []
    for path in _files(folder, warnings):
        try:
            found.append(replace(read_file(path), path=path.relative_to(folder).as_posix()))
        except UnusableError as error:
            warnings.append(f"{_shown(path, folder)}: {error}")
    students: dict[str, Student] = {}
    names = _names_of_folders(found)
    for submission in found:
        named = replace(submission, name=submission.name or names.get(submission.folder, ""))
        doubts = [*submission.doubts, *_enroll(students, named)]
        warnings += [f"{plain_text(submission.path, 120)}: {'; '.join(doubts)}"] if doubts else []
    return sorted(students.values(), key=lambda student: student.name.casefold()), warnings


def _names_of_folders(found: list[Submission]) -> dict[str, str]:
    """Names by folder, where all named files in it agree; they apply to its unnamed files, too."""
    names: dict[str, set[str]] = {}
    for submission in found:
        if submission.name and submission.folder:
            names.setdefault(submission.folder, set()).add(submission.name)
    return {folder: next(iter(given)) for folder, given in names.items() if len(given) == 1}


def _files(folder: Path, warnings: list[str]) -> Iterator[Path]:
    """All .json files below a folder, in order; skips links and hidden files."""
    others: list[str] = []

    def unreadable(error: OSError) -> None:
        warnings.append(f"{_shown(Path(error.filename), folder)}: {error.strerror}")

    for here, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        if folders and len(Path(here).relative_to(folder).parts) >= DEEPEST:
            warnings.append(
                f"{_shown(Path(here), folder)}: subfolders are nested too deeply and were skipped"
            )
            folders.clear()
        for name in sorted([*names, *folders]):
            path = Path(here, name)
            if path.is_symlink():
                warnings.append(f"{_shown(path, folder)}: links are not followed")
            elif name in folders or name.startswith("."):
                continue
            elif path.suffix.lower() != ".json":
                others.append(_shown(path, folder))
            else:
                yield path
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        warnings.append(f"{', '.join(others[:3])}{more}: skipped; only .json files are read")


def _enroll(students: dict[str, Student], submission: Submission) -> list[str]:
    """Add a file to its student; returns warnings."""
    folder, own = submission.folder, submission.path
    name = submission.name or plain_text(folder or Path(own).stem)
    # a given name is one person in any folder; the name of a folder or file holds only there
    given = unicodedata.normalize("NFKC", submission.name).casefold()
    key = f"name {given}" if given else f"folder {folder}" if folder else f"file {own}"
    known = students.setdefault(key, Student(name))
    again = [other for other in known.files if other.attempted & submission.attempted]
    if not again:
        known.files.append(submission)
        return []
    first = plain_text(again[0].path, 80)
    if folder and again[0].folder == folder:
        known.files.append(submission)
        return [f"repeats exercises of {first}: the better outcome counts"]
    students[f"file {own}"] = Student(f"{name} ({plain_text(own)})", [submission])
    return [f"has the name {name!r} and exercises of {first}: shown separately"]


def _shown(path: Path, folder: Path) -> str:
    return plain_text(os.path.relpath(path, folder), 120)


# --- a file -------------------------------------------------------------------------------------------


def read_file(path: Path) -> Submission:
    """Read one file; raises UnusableError if `progress().save(...)` did not write it."""
    content = _parsed(_text(path))
    if not isinstance(content, dict):
        raise UnusableError("was not written by progress().save(...)")
    version = content.get("format", 0)
    if type(version) is not int or version < 0:
        raise UnusableError("has an invalid format number")
    if version > FORMAT:
        raise UnusableError("was written by a later version of the course: upgrade coordflow-mini")
    doubts: list[str] = []
    statuses, mistakes, unknown = _exercises(_entries(content, "exercises", doubts), doubts)
    predictions = _predictions(_entries(content, "predictions", doubts), doubts)
    return Submission(
        path.name, _name(content, doubts), statuses, mistakes, predictions, tuple(unknown), tuple(doubts)
    )


def _text(path: Path) -> str:
    """Content of a regular file of limited size."""
    try:
        # never follow a link or wait for a pipe, even if the file was replaced a moment ago
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(
            path, "rb", opener=lambda name, _: os.open(name, flags | getattr(os, "O_BINARY", 0))
        ) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnusableError("is not a regular file")
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UnusableError(error.strerror or type(error).__name__) from None
    if len(data) > MOST_BYTES:
        raise UnusableError(f"is larger than {MOST_BYTES >> 20} MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnusableError("is not UTF-8 text") from None


def _parsed(text: str) -> Any:
    """The JSON value; integers of 20 digits or more become 0."""
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 20 else 0)
    except RecursionError:
        raise UnusableError("is nested too deeply") from None
    except ValueError:
        raise UnusableError("is not JSON") from None


def _entries(content: dict[str, Any], kind: str, doubts: list[str]) -> list[dict[str, Any]]:
    """Valid entries of a list."""
    found = content.get(kind)
    if not isinstance(found, list):
        raise UnusableError(f"has no list of {kind}; was it written by progress().save(...)?")
    if len(found) > MOST_ENTRIES:
        doubts.append(f"only {MOST_ENTRIES} of its {len(found)} {kind} were read")
    kept = [
        entry
        for entry in found[:MOST_ENTRIES]
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    ]
    if wrong := min(len(found), MOST_ENTRIES) - len(kept):
        doubts.append(f"{wrong} of its {kind} are invalid")
    return kept


def _exercises(
    entries: list[dict[str, Any]], doubts: list[str]
) -> tuple[dict[str, str], dict[str, list[str]], list[str]]:
    """Statuses and mistakes by exercise, and unknown names."""
    course = curriculum.exercises()
    statuses: dict[str, str] = {}
    mistakes: dict[str, list[str]] = {}
    unknown, odd = [], 0
    for entry in entries:
        name, status = entry["name"], entry.get("status")
        if name not in course:
            unknown.append(plain_text(name))
        elif status not in STATUSES or name in statuses:
            odd += 1
        else:
            statuses[name] = status
            mistakes[name] = _mistakes(entry)
    if odd:
        doubts.append(f"{odd} of its exercises are repeated or have an unknown status")
    return statuses, mistakes, unknown


def _mistakes(entry: dict[str, Any]) -> list[str]:
    said = entry.get("mistakes", [])
    said = said[:MOST_MISTAKES] if isinstance(said, list) else []
    return [plain_text(text, LONGEST_MISTAKE) for text in said if isinstance(text, str)]


def _predictions(entries: list[dict[str, Any]], doubts: list[str]) -> dict[str, bool | None]:
    """Right or wrong of every committed prediction; one that was revised counts as wrong."""
    found: dict[str, bool | None] = {}
    odd = 0
    for entry in entries:
        name, right, answer = entry["name"], entry.get("right"), entry.get("answer")
        if (
            not (right is None or isinstance(right, bool))
            or not name.isidentifier()
            or len(name) > LONGEST_NAME
        ):
            odd += 1
        elif answer is not None:
            found.setdefault(name, False if entry.get("revised") is True else right)
    if odd:
        doubts.append(f"{odd} of its predictions are invalid")
    return found


def _name(content: dict[str, Any], doubts: list[str]) -> str:
    name = content.get("name", "")
    if not isinstance(name, str):
        doubts.append("its name is not text")
        return ""
    return plain_text(name)


def plain_text(text: str, longest: int = LONGEST_NAME) -> str:
    r"""Text without control characters, line breaks or changes of direction, cut at `longest`.

    >>> plain_text("Ada\x1b[2J\nLovelace")
    'Ada?[2J Lovelace'
    """
    text = printable(unicodedata.normalize("NFC", " ".join(text[: 4 * longest].split())))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
