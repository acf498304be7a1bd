"""The fuzzers, and what they share with the tests beside them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))  # `python -m tests.fuzz` begins above
