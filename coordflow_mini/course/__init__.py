"""The course: the functions that every chapter imports first, and four rooms.

lesson       what chapters import: figures, predictions, each chapter's own functions
exercises    the checks: one module of examiners per chapter
teacher      reports on a class, from the files that students save
author       chapter sources to notebooks; trained files, tables, reading times
"""

from coordflow_mini.course.lesson.logbook import progress
from coordflow_mini.course.lesson.predictions import predict
from coordflow_mini.ops.lazy import lazily, publish

with lazily():  # these load PyTorch, which `coordflow course report` does without
    from coordflow_mini.course.exercises.checking import check as check
    from coordflow_mini.course.lesson.environment import Environment as Environment
    from coordflow_mini.course.lesson.environment import setup as setup

__all__ = ["predict", "progress"]

publish(globals())
