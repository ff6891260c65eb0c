"""A server with services_app and the Erlang functions of services_functions.erl."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until

from hornbeam_worker import values

HERE = Path(__file__).resolve().parent


class RemoteError(Exception):
    """What a function raised in the worker."""

    def __init__(self, kind: str, text: str, attributes: dict[str, str]) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text
        self.attributes = attributes


class Services:
    """Runs functions in a worker of a server."""

    def __init__(self, server: Hornbeam) -> None:
        self.server = server
        self.client = httpx.Client(base_url=server.url, timeout=60)

    def __call__(self, path: str, *arguments: Any, **keywords: Any) -> Any:
        """Runs "HOW/NAME" of services_app; RemoteError for what it raises."""
        content = values.pack([list(arguments), keywords])
        response = self.client.post(f"/{path}", content=content).raise_for_status()
        status, *answer = values.unpack(response.content)
        if status == "error":
            raise RemoteError(*answer)
        return answer[0]

    def left(self) -> tuple[int, int]:
        """Calls that are running in Erlang (besides this one), and subscriptions."""
        running, subscriptions, _processes = self("aio/call", "left")
        return running - 1, subscriptions


Start = Callable[..., Services]


@pytest.fixture(scope="session")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the compiled Erlang functions."""
    folder = tmp_path_factory.mktemp("ebin")
    source = HERE / "services_functions.erl"
    subprocess.run(["erlc", "+nowarn_missing_spec", "-o", folder, source], check=True, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def start(functions: Path) -> Iterator[Start]:
    """Starts servers, which end with the module."""
    servers: list[Hornbeam] = []

    def start(flags: str = "", **options: Any) -> Services:
        all_flags = f"-pa {functions} -s services_functions start {flags}"
        server = Hornbeam("services_app:app", env={"HORNBEAM_ERL_FLAGS": all_flags}, **options)
        servers.append(server.__enter__())
        services = Services(server)
        wait_until(lambda: _registered(services), 10, "the functions are registered")
        return services

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def _registered(services: Services) -> bool:
    try:
        return bool(services("aio/call", "ready"))
    except RemoteError as error:
        assert error.kind == "NotRegisteredError"
        return False


@pytest.fixture(scope="module")
def services(start: Start) -> Services:
    """One worker."""
    return start()
