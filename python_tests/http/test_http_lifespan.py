"""Lifespan (ASGI, Lifespan protocol 2.0): `auto`, `on` and `off` with all that applications do."""

from __future__ import annotations

import re

import httpx
import pytest
from harness import Hornbeam, StartError

EMPTY, LOOP = "hello, state []", "hello, state ['loop']"


@pytest.mark.parametrize(
    ("mode", "texts"),
    [
        (
            "auto",
            {"complete": LOOP, "without": EMPTY, "returns": EMPTY, "raises": EMPTY,
             "wrong_message": EMPTY},
        ),
        ("on", {"complete": LOOP, "returns_after_startup": EMPTY}),
        ("off", {"complete": EMPTY, "without": EMPTY, "raises": EMPTY, "fails": EMPTY}),
    ],
)  # fmt: skip
def test_serves(mode: str, texts: dict[str, str]) -> None:
    first, *others = texts
    mounts = [f"/{app}=core_lifespan:{app}" for app in others]
    with Hornbeam(f"core_lifespan:{first}", lifespan=mode, mount=mounts) as server:
        for app, text in texts.items():
            path = "" if app == first else app
            assert httpx.get(f"{server.url}/{path}").text == text, app
    assert "rror" not in server.output


@pytest.mark.parametrize(
    ("app", "mode", "text"),
    [
        ("without", "on", "AssertionError: only HTTP is spoken here"),
        ("returns", "on", "it returned without an answer"),
        ("raises", "on", "LookupError: raised at start-up"),
        ("wrong_message", "on", "unexpected ASGI message 'lifespan.nonsense' in lifespan"),
        ("fails", "on", "the application's lifespan failed: the database is not there"),
        ("fails", "auto", "the application's lifespan failed: the database is not there"),
        ("fails_without_message", "auto", "the application's lifespan failed: (no message)"),
    ],
)
def test_is_a_startup_error(app: str, mode: str, text: str) -> None:
    with pytest.raises(StartError) as error, Hornbeam(f"core_lifespan:{app}", lifespan=mode):
        pass
    assert error.value.status == 1
    assert error.value.output.startswith("hornbeam: the application's lifespan failed: ")
    assert error.value.output.count(text) == 1


def test_startup_and_shutdown_run_in_each_worker() -> None:
    with Hornbeam("core_lifespan:complete", workers=3, lifespan="on") as server:
        workers = {str(pid) for pid in server.workers()}
        assert len(workers) == 3
    started = re.findall(
        r"^startup in (\d+), {'version': '3.0', 'spec_version': '2.0'}$", server.output, re.M
    )
    stopped = re.findall(r"^shutdown in (\d+)$", server.output, re.M)
    assert sorted(started) == sorted(stopped) == sorted(workers)


def test_a_lifespan_that_ends_early_is_logged_and_the_worker_goes_on() -> None:
    with Hornbeam("core_lifespan:raises_after_startup") as server:
        assert httpx.get(server.url).text == EMPTY
        server.wait_for_output("LookupError: raised after start-up")
    assert server.output.count("\nLookupError: ") == 1


@pytest.mark.parametrize(
    ("app", "text"),
    [
        ("raises_at_shutdown", "LookupError: raised at shutdown"),
        ("fails_at_shutdown", "lifespan shutdown failed: could not say goodbye"),
    ],
)
def test_a_shutdown_that_fails_is_logged_and_the_stop_goes_on(app: str, text: str) -> None:
    with Hornbeam(f"core_lifespan:{app}") as server:
        pass
    assert server.output.count(text) == 1


def test_a_shutdown_that_does_not_end_is_ended() -> None:
    with Hornbeam("core_lifespan:never_ends", shutdown_timeout=500) as server:
        assert httpx.get(server.url).text == EMPTY
    assert "did not finish its shutdown in time and is killed" in server.output


def test_an_application_that_does_not_become_ready_in_time() -> None:
    app = "core_lifespan:never_ready"
    with pytest.raises(StartError) as error, Hornbeam(app, startup_timeout=1000):
        pass
    assert error.value.output == (
        "hornbeam: the application was not ready after 1000 ms (startup_timeout)\n"
    )
