"""The entry of a worker process; `hornbeam_python:open/2` runs this file by its path.

Run by path, Python puts this folder in front of `sys.path`; the folder above it belongs there
instead, and last, so that nothing of Hornbeam hides a module of the application.
"""

import sys
from pathlib import Path

sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

from hornbeam_worker.main import main  # noqa: E402  (the path must be set first)

main()
