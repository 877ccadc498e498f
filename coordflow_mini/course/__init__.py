"""What only the lessons need: set-up, checked exercises, predictions, progress."""

from coordflow_mini.course.predictions import predict
from coordflow_mini.course.progress import progress
from coordflow_mini.lazy import lazily, publish

with lazily():  # these load PyTorch: `coordflow course` does without
    from coordflow_mini.course.checking import check as check
    from coordflow_mini.course.environment import Environment as Environment
    from coordflow_mini.course.environment import setup as setup

__all__ = ["predict", "progress"]

publish(globals())
