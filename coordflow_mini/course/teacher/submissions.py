"""What students hand in: files of `progress().save(...)`, read as if a stranger had written them.

Nothing in a file is believed but what a learner can know: the outcome of a check, a prediction, a name.
Which exercises there are, and of which chapter, says `catalog`.  A file that cannot be used gives a line
of warning and hurts no other.
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
from coordflow_mini.course.teacher import catalog
from coordflow_mini.ops.text import printable

__all__ = ["Student", "Submission", "UnusableError", "plain_text", "read_file", "read_folder"]

MOST_BYTES = 1 << 20  # of one file; a whole course takes about 30 kB
MOST_ENTRIES = 500  # of one kind in a file
MOST_MISTAKES = 50  # of one exercise
DEEPEST = 20  # folders in folders
LONGEST_NAME, LONGEST_MISTAKE = 40, 300  # characters
STATUSES = ("untouched", "wrong", "passed")  # from worst to best


class UnusableError(ValueError):
    """Why a file cannot be used, in words for a teacher."""


@dataclass(frozen=True)
class Submission:
    """One file."""

    path: str  # below the folder that was read, with slashes
    name: str  # what the student gave, or nothing
    statuses: dict[str, str]  # by exercise of the course
    mistakes: dict[str, list[str]]  # what wrong answers were told, by exercise of the course
    predictions: dict[str, bool | None]  # committed to, by name: right, wrong, or never compared
    unknown: tuple[str, ...] = ()  # exercises that this course does not have
    doubts: tuple[str, ...] = ()  # what was left out of the file, and why

    @property
    def folder(self) -> str:
        """The first folder on its path, or nothing."""
        return self.path.partition("/")[0] if "/" in self.path else ""

    @property
    def attempted(self) -> set[str]:
        """The exercises with an answer, right or wrong."""
        return {name for name, status in self.statuses.items() if status != "untouched"}


@dataclass
class Student:
    """All that one student handed in; of an exercise in several files the best outcome counts.

    Ask for results when all files are there: they are counted once.
    """

    name: str
    files: list[Submission] = field(default_factory=list)

    @cached_property
    def statuses(self) -> dict[str, str]:
        """The best outcome of every exercise of the course."""
        return {
            name: max((file.statuses.get(name, "untouched") for file in self.files), key=STATUSES.index)
            for name in catalog.exercises()
        }

    @cached_property
    def mistakes(self) -> dict[str, list[str]]:
        """What wrong answers were told, each once, by exercise."""
        found: dict[str, dict[str, None]] = {}
        for file in self.files:
            for name, said in file.mistakes.items():
                found.setdefault(name, {}).update(dict.fromkeys(said))
        return {name: list(said) for name, said in found.items()}

    @cached_property
    def predictions(self) -> dict[str, bool | None]:
        """Right or not, by name of the prediction; the first file that has it counts."""
        return {name: right for file in reversed(self.files) for name, right in file.predictions.items()}

    def passed(self, chapter: int) -> int:
        """How many exercises of a chapter are passed."""
        of = catalog.exercises()
        return sum(status == "passed" and of[name] == chapter for name, status in self.statuses.items())


# --- a folder -----------------------------------------------------------------------------------------


def read_folder(folder: Path) -> tuple[list[Student], list[str]]:
    """The students whose files lie in a folder and below it, by name; and one line for every doubt.

    A student is who a file's `name` says; without one, the folder below `folder` in which it lies, or
    else the file's own name.  Two files that give the same name, lie apart and hold the same exercises
    may be of two people: they are shown apart.  Raises ValueError if there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{plain_text(str(folder))} is no folder")
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
    """The name that files in a folder give, where they agree: it holds for those without a name, too."""
    names: dict[str, set[str]] = {}
    for submission in found:
        if submission.name and submission.folder:
            names.setdefault(submission.folder, set()).add(submission.name)
    return {folder: next(iter(given)) for folder, given in names.items() if len(given) == 1}


def _files(folder: Path, warnings: list[str]) -> Iterator[Path]:
    """Every .json file below a folder, in order; links are not followed, hidden files not looked at."""
    others: list[str] = []

    def unreadable(error: OSError) -> None:
        warnings.append(f"{_shown(Path(error.filename), folder)}: {error.strerror}")

    for here, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        if folders and len(Path(here).relative_to(folder).parts) >= DEEPEST:
            warnings.append(f"{_shown(Path(here), folder)}: its folders lie too deep and were not read")
            folders.clear()
        for name in sorted([*names, *folders]):
            path = Path(here, name)
            if path.is_symlink():
                warnings.append(f"{_shown(path, folder)}: is a link, and links are not followed")
            elif name in folders or name.startswith("."):
                continue
            elif path.suffix.lower() != ".json":
                others.append(_shown(path, folder))
            else:
                yield path
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        warnings.append(f"{', '.join(others[:3])}{more}: not read, only files that end in .json are")


def _enroll(students: dict[str, Student], submission: Submission) -> list[str]:
    """Give a file to its student; returns what a teacher should look at."""
    folder, own = submission.folder, submission.path
    name = submission.name or plain_text(folder or Path(own).stem)
    # a name that was given is one person wherever the files lie; a folder or a file speaks for itself only
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
        return [f"has exercises that {first} has, too: the better outcome counts"]
    students[f"file {own}"] = Student(f"{name} ({plain_text(own)})", [submission])
    return [f"gives the name {name!r} and has exercises that {first} has, too: shown apart"]


def _shown(path: Path, folder: Path) -> str:
    """A path below the folder, fit for a terminal."""
    return plain_text(os.path.relpath(path, folder), 120)


# --- a file -------------------------------------------------------------------------------------------


def read_file(path: Path) -> Submission:
    """One file; raises UnusableError if it is not what `progress().save(...)` writes."""
    content = _parsed(_text(path))
    if not isinstance(content, dict):
        raise UnusableError("is not a file of progress().save(...)")
    version = content.get("format", 0)
    if type(version) is not int or version < 0:
        raise UnusableError("its format is not a number")
    if version > FORMAT:
        raise UnusableError("was written by a later version of the course: upgrade coordflow-mini")
    doubts: list[str] = []
    statuses, mistakes, unknown = _exercises(_entries(content, "exercises", doubts), doubts)
    predictions = _predictions(_entries(content, "predictions", doubts), doubts)
    return Submission(
        path.name, _name(content, doubts), statuses, mistakes, predictions, tuple(unknown), tuple(doubts)
    )


def _text(path: Path) -> str:
    """The characters of a regular file that is not too large."""
    try:
        # no link is followed, and no pipe waited for, even if the file was exchanged a moment ago
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(
            path, "rb", opener=lambda name, _: os.open(name, flags | getattr(os, "O_BINARY", 0))
        ) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnusableError("is no ordinary file")
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UnusableError(error.strerror or type(error).__name__) from None
    if len(data) > MOST_BYTES:
        raise UnusableError(f"is larger than {MOST_BYTES >> 20} MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnusableError("is not text in UTF-8") from None


def _parsed(text: str) -> Any:
    """The JSON value; numbers too long for anything here become 0."""
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 20 else 0)
    except RecursionError:
        raise UnusableError("is nested too deeply") from None
    except ValueError:
        raise UnusableError("is not JSON") from None


def _entries(content: dict[str, Any], kind: str, doubts: list[str]) -> list[dict[str, Any]]:
    """The entries of a list; what is no entry is left out."""
    found = content.get(kind)
    if not isinstance(found, list):
        raise UnusableError(f"has no list of {kind}: is it a file of progress().save(...)?")
    if len(found) > MOST_ENTRIES:
        doubts.append(f"of {len(found)} {kind} only {MOST_ENTRIES} were read")
    kept = [
        entry
        for entry in found[:MOST_ENTRIES]
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    ]
    if wrong := min(len(found), MOST_ENTRIES) - len(kept):
        doubts.append(f"{wrong} of its {kind} cannot be read")
    return kept


def _exercises(
    entries: list[dict[str, Any]], doubts: list[str]
) -> tuple[dict[str, str], dict[str, list[str]], list[str]]:
    """Status and mistakes by exercise, and the names that the course does not have."""
    course = catalog.exercises()
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
        doubts.append(f"{odd} of its exercises have no known status, or stand there twice")
    return statuses, mistakes, unknown


def _mistakes(entry: dict[str, Any]) -> list[str]:
    """What an entry says that wrong answers were told."""
    said = entry.get("mistakes", [])
    said = said[:MOST_MISTAKES] if isinstance(said, list) else []
    return [plain_text(text, LONGEST_MISTAKE) for text in said if isinstance(text, str)]


def _predictions(entries: list[dict[str, Any]], doubts: list[str]) -> dict[str, bool | None]:
    """Right or not of every prediction that was committed to; one changed afterwards is not right."""
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
        doubts.append(f"{odd} of its predictions cannot be read")
    return found


def _name(content: dict[str, Any], doubts: list[str]) -> str:
    """The name a student gave, or nothing."""
    name = content.get("name", "")
    if not isinstance(name, str):
        doubts.append("its name is no text")
        return ""
    return plain_text(name)


def plain_text(text: str, longest: int = LONGEST_NAME) -> str:
    r"""Text that neither moves a terminal's cursor nor breaks a line nor turns its direction around.

    >>> plain_text("Ada\x1b[2J\nLovelace")
    'Ada?[2J Lovelace'
    """
    text = printable(unicodedata.normalize("NFC", " ".join(text[: 4 * longest].split())))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
