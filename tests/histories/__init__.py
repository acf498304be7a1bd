"""Two or three machines on one store, in histories that a seed decides."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))  # `python -m tests.histories` begins above
