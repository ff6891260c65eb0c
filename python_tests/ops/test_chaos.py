"""Short forms of bench/scenes.py and `make soak`; `make chaos` wants a machine of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from harness import ROOT


def run(program: str, *arguments: str) -> None:
    command = [sys.executable, str(ROOT / "bench" / program), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "python_tests")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scene", ["kill", "stop", "memory", "reload"])
def test_chaos(scene: str) -> None:
    run("scenes.py", "--scene", scene, "--seconds", "3")


def test_soak() -> None:
    run("soak.py", "--seconds", "13")
