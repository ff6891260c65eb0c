"""A browser's own EventSource: it comes back by itself, and misses nothing that is kept."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from harness import Hornbeam, wait_until
from javascript_places import CHROMEDRIVER, CHROMIUM, Chromium
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: python3 tools/setup.py browser"
)


class Wire:
    """A port that leads to a server, and can be cut: to nobody until it leads to one again."""

    def __init__(self, server: Hornbeam) -> None:
        self._target: tuple[str, int] | None = server.address
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.refused = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            self._target = None
            for end in self._open:
                with suppress(OSError):  # it has ended by itself
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._open = []

    def lead_to(self, server: Hornbeam) -> None:
        with self._lock:
            self._target = server.address

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._target is None:
                    self.refused += 1
                    client.close()
                    continue
                server = socket.create_connection(self._target)
                self._open += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=_carry, args=ends, daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # cut
        return


@pytest.fixture
def server() -> Iterator[Hornbeam]:
    with Hornbeam("channel_events:app", channels="channel_events:channels") as running:
        yield running


@pytest.fixture
def wire(server: Hornbeam) -> Iterator[Wire]:
    made = Wire(server)
    yield made
    made.close()


def send(server: Hornbeam, topic: str, first: int, last: int) -> None:
    query: dict[str, str | int] = {"topic": topic, "from": first, "to": last}
    httpx.get(f"{server.url}/send", params=query).raise_for_status()


def text(browser: Chrome, id: str) -> str:
    return browser.find_element(By.ID, id).text


def shows(browser: Chrome, id: str, expected: str) -> None:
    wait_until(lambda: text(browser, id) == expected, 20, f"{id} is {expected!r}")


def test_what_was_missed_comes_when_the_connection_is_back(
    server: Hornbeam, wire: Wire, tmp_path: Path
) -> None:
    with Chromium(tmp_path, f"{wire.url}/?topic=five:browser", "") as page:
        shows(page.driver, "opened", "1")
        send(server, "five:browser", 1, 2)
        shows(page.driver, "log", "1 2")
        wire.cut()
        send(server, "five:browser", 3, 5)
        wait_until(lambda: wire.refused > 0, 20, "the browser tries to come back")
        wire.lead_to(server)
        shows(page.driver, "opened", "2")
        shows(page.driver, "log", "1 2 3 4 5")
        send(server, "five:browser", 6, 6)
        shows(page.driver, "log", "1 2 3 4 5 6")
        assert text(page.driver, "missed") == ""


def test_what_a_new_server_keeps_comes_and_that_more_is_missing_is_said(
    server: Hornbeam, wire: Wire, tmp_path: Path
) -> None:
    with Chromium(tmp_path, f"{wire.url}/?topic=five:restart", "") as page:
        shows(page.driver, "opened", "1")
        send(server, "five:restart", 1, 2)
        shows(page.driver, "log", "1 2")
        wire.cut()
        assert server.stop() == 0
        with Hornbeam("channel_events:app", channels="channel_events:channels") as second:
            send(second, "five:restart", 11, 13)
            wire.lead_to(second)
            shows(page.driver, "log", "1 2 11 12 13")
            assert set(json.loads(text(page.driver, "missed"))) == {"last_id"}
            wire.cut()
