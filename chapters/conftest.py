"""For pytest: only the notebooks are run; their sources would run a second time while being collected."""

collect_ignore_glob = ["*.py"]
