"""Does what a section of a page says: makes its files, types its commands, reads what comes back.

`hornbeam run` is the checkout's, on a free port, which stands in for 127.0.0.1:8000 in all that
follows; `pip install` is left to the set-up. Of what is printed, "..." stands for anything.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from harness import ROOT, Hornbeam
from pages import Block, Command, commands

WRITTEN = "127.0.0.1:8000"
PATIENCE = 60


class Recipe:
    """One section in a folder of its own. Leaving the block stops the server, gracefully."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: Hornbeam | None = None
        self._address = WRITTEN
        tools = folder / ".tools"
        tools.mkdir()
        (tools / "hornbeam").symlink_to(ROOT / "bin" / "hornbeam")
        path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        # hornbeam status finds servers by XDG_RUNTIME_DIR; `import hornbeam` is the checkout's.
        self._env = {
            **os.environ,
            "PATH": path,
            "XDG_RUNTIME_DIR": str(folder),
            "PYTHONPATH": str(ROOT / "priv" / "python"),
        }

    def follow(self, blocks: list[Block]) -> None:
        for block in blocks:
            if block.title:
                self.write(block)
            elif block.language == "console":
                for command in commands(block):
                    self.type(command)

    def write(self, block: Block) -> None:
        path = self.folder / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def type(self, command: Command) -> None:
        if command.text.startswith("pip install "):
            return
        if command.text.startswith("hornbeam run "):
            self.serve(command)
        else:
            self.run(command)

    def serve(self, command: Command) -> None:
        self.stop()
        app, *flags = shlex.split(command.text)[2:]
        server = Hornbeam(app, cwd=self.folder, pythonpath=".", env=self._env)
        server.command += flags
        self._server = server
        server.start()
        self._address = "{}:{}".format(*server.address)
        said = server.output.replace(self._address, WRITTEN)
        assert like(command.output, said, whole=False), said
        for file in self.folder.rglob("*.py"):  # the clients among them
            file.write_text(file.read_text().replace(WRITTEN, self._address))

    def run(self, command: Command) -> None:
        done = subprocess.run(
            ["bash", "-c", command.text.replace(WRITTEN, self._address)],
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        said = done.stdout.replace(self._address, WRITTEN)
        assert done.returncode == 0, (command.text, said, done.stderr)
        assert like(command.output, said), (command.text, said, done.stderr)

    def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            try:
                assert server.stop() == 0, server.output
            finally:
                server.kill()

    def __enter__(self) -> Recipe:
        return self

    def __exit__(self, *_: object) -> None:
        server = self._server
        if server is not None:
            print("--- output of the server ---", server.output, sep="\n")
        try:
            self.stop()
        finally:
            if server is not None:
                server.kill()


def like(expected: str, said: str, *, whole: bool = True) -> bool:
    """Whether what is printed is what the page has."""
    pattern = re.escape(expected.strip()).replace(r"\.\.\.", ".*")
    text = said.strip()
    return re.search(rf"\A{pattern}\Z" if whole else pattern, text, re.DOTALL) is not None
