"""What only the lessons need: set-up, checked exercises, predictions, progress."""

from coordflow_mini.course.checking import check
from coordflow_mini.course.environment import Environment, setup
from coordflow_mini.course.predictions import predict
from coordflow_mini.course.progress import progress

__all__ = ["Environment", "check", "predict", "progress", "setup"]
