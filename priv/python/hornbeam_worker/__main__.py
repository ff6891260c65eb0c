"""The entry of a worker process; `hornbeam_python:open/2` runs this file by its path.

Run by path, Python puts this folder in front of `sys.path`; the folder above it belongs there
instead, and last, so that nothing of Hornbeam hides a module of the application.

`sys.argv` is for the application, which may look at it when it is imported: as under
`python -m hornbeam`, with no arguments. A process that multiprocessing spawns runs this file, too,
as "__mp_main__", with the `sys.path` of the worker.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    arguments = sys.argv[1:]
    folder = Path(__file__).resolve().parent.parent
    sys.path[:] = [*sys.path[1:], str(folder)]
    sys.argv[:] = [str(folder / "hornbeam" / "__main__.py")]

    from hornbeam_worker.main import main

    main(arguments)
