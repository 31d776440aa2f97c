"""Only where it is wanted: the servers have to be fetched before."""

from __future__ import annotations

import os

from tests.others.starters import WANTED

collect_ignore_glob = [] if os.environ.get(WANTED) else ["test_*.py"]
