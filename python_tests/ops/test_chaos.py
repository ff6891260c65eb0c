"""The short form of `make chaos`: two minutes, in which every kind of fault comes at least once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from harness import ROOT


# Alone: it takes descriptors, processors and processes from whatever runs beside it.
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_chaos() -> None:
    command = [sys.executable, str(ROOT / "bench" / "chaos.py"), "--seconds", "120"]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "python_tests")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
