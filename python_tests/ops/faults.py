"""Kills processes inside the VM of a server: `ops_faults.erl` runs there and does what it is told.

server = with_faults("ops_app:app", folder)
with server, Faults(server) as faults:
    faults.kill("whereis(hornbeam_websockets)")
"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from harness import ROOT, Hornbeam, wait_until

HERE = Path(__file__).resolve().parent


def compile_faults(folder: Path, function: str = "start") -> dict[str, str]:
    """Compiles the agent; the environment that starts it with the VM."""
    subprocess.run(
        ["erlc", "+nowarn_missing_spec", "-o", folder, HERE / "ops_faults.erl"],
        check=True,
        cwd=ROOT,
    )
    return {"HORNBEAM_ERL_FLAGS": f"-pa {folder} -s ops_faults {function}"}


def with_faults(app: str, folder: Path, **options: Any) -> Hornbeam:
    """A server, not started yet, with the agent in it."""
    env = {**options.pop("env", {}), **compile_faults(folder)}
    return Hornbeam(app, env=env, **options)


class Faults:
    """A connection to the agent of a server that runs."""

    def __init__(self, server: Hornbeam) -> None:
        port = int(server.wait_for_output(r"^faults on (\d+)").group(1))
        self._socket = socket.create_connection(("127.0.0.1", port), 20)
        self._file = self._socket.makefile("rw")

    def __enter__(self) -> Faults:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._socket.close()

    def run(self, expression: str) -> str:
        """The value of an Erlang expression; "" when the VM ended meanwhile."""
        try:
            self._file.write(expression + ".\n")
            self._file.flush()
            return self._file.readline().strip()
        except OSError:
            return ""

    def wait_for(self, condition: str) -> None:
        """Waits until the expression is true."""
        wait_until(lambda: self.run(condition) == "true", 20, condition)

    def kill(self, expression: str) -> None:
        """Kills the process that the expression names, as soon as it is there."""
        wait_until(lambda: self.run(f"ops_faults:wait({expression})") in ("ok", ""), 20, expression)
