"""`wsgi.file_wrapper`, and whether the server can send the file by itself.

Called by `cycle`. Source: PEP 3333, "Optional Platform-Specific File Handling".
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Final

__all__ = ["FileWrapper", "whole"]

BLOCK: Final = 65_536


class FileWrapper:
    """The pieces of a file, and `close` where it has one."""

    def __init__(self, filelike: Any, blksize: int = BLOCK) -> None:
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.blksize)
        if data:
            return data
        raise StopIteration


def whole(filelike: Any) -> tuple[bytes, int] | None:
    """The path and the size of the file, if it is a real one that stands at its beginning.

    The server opens it by its path, so that must lead to this very file.
    """
    try:
        name = filelike.name
        if not isinstance(name, (str, bytes, os.PathLike)) or filelike.tell() != 0:
            return None
        path = Path(os.fsdecode(name)).absolute()
        opened, named = os.fstat(filelike.fileno()), path.stat()
    except (AttributeError, OSError, ValueError):  # no file of the system's, or one without a name
        return None
    if not stat.S_ISREG(opened.st_mode) or not os.path.samestat(opened, named):
        return None
    return os.fsencode(path), opened.st_size
