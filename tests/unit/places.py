"""Where tests find the repository, and the data that some of them need and skip without."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SHARED = Path(os.environ.get("PIXELHERD_SHARED", REPOSITORY.parent / "shared"))
