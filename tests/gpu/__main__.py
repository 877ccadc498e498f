"""Load the pretend GPU, then run pytest on tests/gpu/cases."""

import sys
from pathlib import Path

from tests.gpu.library import loaded

CASES = str(Path(__file__).parent / "cases")

if __name__ == "__main__":
    loaded()
    import pytest

    from tests.gpu.card import be, install

    arguments = sys.argv[1:]
    if "--t4" in arguments:
        arguments.remove("--t4")
        be("T4")
    install()
    named = any(Path(word.partition("::")[0]).exists() for word in arguments)
    sys.exit(pytest.main(["-p", "no:cacheprovider", *arguments, *([] if named else [CASES])]))
