"""Cases are for the inner run alone, which has a pretend GPU; the modules beside them hold no tests."""

import sys

collect_ignore = ["__main__.py", "card.py", "counting.py", "inductor.py", "library.py"]
collect_ignore += [] if "tests.gpu.card" in sys.modules else ["cases"]
