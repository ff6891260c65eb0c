"""The short form of `make chaos`: two minutes, in which every kind of fault comes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from harness import ROOT

SECONDS = 120


@pytest.mark.alone
@pytest.mark.timeout(420)
def test_chaos() -> None:
    """Prints its seed, which repeats the choices."""
    command = [sys.executable, str(ROOT / "bench" / "chaos.py"), "--seconds", str(SECONDS)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "python_tests")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
