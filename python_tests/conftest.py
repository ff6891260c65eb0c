"""What holds for a whole run of pytest."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from certificates import Authority


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iterator[None]:
    """Clients trust one authority, which signs nothing: httpx reads those of the machine for each
    client, which takes longer than a request. Processes of xdist have the variable from the first.
    """
    if hasattr(config, "workerinput"):
        return (yield)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SSL_CERT_FILE"] = str(Authority(Path(folder)).create().cert)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected is no garbage before the end: looking through it again and
    again was half of what a collection takes, in each process of xdist.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
