"""JavaScript in tests: the client of clients/javascript, and two places that run a piece of it.

Each place has `run(body, **args)`: the body of an async function that has `args` and `state`, which
is kept from one call to the next; `state.lib` is the client's module, `state.WebSocket` the class.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import pytest
from harness import ROOT
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

PACKAGE = ROOT / "clients" / "javascript"
MODULES = PACKAGE / "node_modules"
DRIVER = Path(__file__).with_name("javascript_driver.mjs")
PHOENIX = MODULES / "phoenix" / "priv" / "static" / "phoenix.mjs"
HORNBEAM = PACKAGE / "dist" / "hornbeam.js"

NODE = shutil.which("node")
CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)
CHROMEDRIVER = shutil.which("chromedriver")

needs_node = pytest.mark.skipif(
    NODE is None or not MODULES.is_dir(),
    reason="no Node or no node_modules: python3 tools/setup.py javascript",
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None or NODE is None or not MODULES.is_dir(),
    reason="no Chromium or no node_modules: python3 tools/setup.py browser javascript",
)
PLACES = [pytest.param("node", marks=needs_node), pytest.param("chromium", marks=needs_browser)]


class ScriptError(Exception):
    """What the script threw, with its stack."""


class Place(Protocol):
    def run(self, body: str, **args: Any) -> Any: ...


def built() -> Path:
    """The client's module, built anew if a source is younger; one test process at a time builds."""
    assert NODE is not None
    with (MODULES / ".build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = max(file.stat().st_mtime for file in (PACKAGE / "src").iterdir())
        if not HORNBEAM.exists() or HORNBEAM.stat().st_mtime < newest:
            subprocess.run([NODE, "tools/build.mjs"], cwd=PACKAGE, check=True, timeout=120)
    return HORNBEAM


class Node:
    """A process of Node that has loaded a client."""

    def __init__(self, client: Path) -> None:
        assert NODE is not None
        ws = MODULES / "ws" / "wrapper.mjs"
        self._process = subprocess.Popen(
            [NODE, DRIVER, client.as_uri(), ws.as_uri()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, body: str, **args: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"body": body, "args": args}) + "\n")
        self._process.stdin.flush()
        return _value(json.loads(self._process.stdout.readline() or '{"error": "it has ended"}'))

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._process:
            self._process.kill()


def chrome(profile: Path, *arguments: str, logs: bool = False) -> Chrome:
    """A Chromium that nobody sees, with what its console and its network say if that is wanted."""
    assert CHROMIUM is not None and CHROMEDRIVER is not None
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
        f"--user-data-dir={profile}", *arguments,
    ):  # fmt: skip
        options.add_argument(argument)
    if logs:
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return Chrome(options=options, service=ChromeService(CHROMEDRIVER))


class Chromium:
    """A page of a server in Chromium, with the client that the server has at `client`."""

    def __init__(self, profile: Path, page: str, client: str) -> None:
        self.driver = chrome(profile)
        self.driver.set_script_timeout(30)
        self.driver.get(page)
        self._client = client

    def run(self, body: str, **args: Any) -> Any:
        answer = self.driver.execute_async_script(_IN_PAGE, body, args, self._client)
        return _value(answer)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.driver.quit()


_IN_PAGE = """
const [body, args, client, done] = arguments;
const AsyncFunction = (async () => {}).constructor;
(async () => {
  window.state ??= { lib: await import(client), WebSocket };
  return await new AsyncFunction("state", "args", body)(window.state, args) ?? null;
})().then((value) => done({ value }), (error) => done({ error: String(error.stack ?? error) }));
"""


def _value(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise ScriptError(answer["error"])
    return answer["value"]
