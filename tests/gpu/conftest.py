"""Cases are for the inner run alone, which has a pretend GPU."""

import sys

collect_ignore = [] if "tests.gpu.card" in sys.modules else ["cases"]
