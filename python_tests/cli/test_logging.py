"""Python's logging in a worker is the application's own; what the server adds, and what not."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from threading import Thread

import httpx
import pytest
from harness import Hornbeam, StartError, wait_until

APP = "logging_app:app"
OURS = r"^\S+ {} worker 1 {}: {}"


def output(**how: str) -> str:
    """What a server prints that answers one request, which raises."""
    with Hornbeam(APP, env=how) as server:
        assert httpx.get(f"{server.url}/raised").status_code == 500
        server.wait_for_output(OURS.format("error", r"hornbeam\.asgi", "exception in the app"))
    return server.output


def count(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text, re.MULTILINE))


def test_an_application_that_configures_nothing_has_its_warnings_logged() -> None:
    text = output()
    assert count(OURS.format("warning", "logging_app", "warning at import$"), text) == 1
    assert count("at import", text) == 1


def test_basic_config_is_obeyed_and_nothing_is_there_twice() -> None:
    text = output(LOGGING="basic")
    for level in ("debug", "info", "warning"):
        assert count(rf"^{level.upper()}\|logging_app\|{level} at import$", text) == 1
        assert count(f"{level} at import", text) == 1
    assert count("^logging_app.Boom: raised only", text) == 1


@pytest.mark.parametrize("how", ["force", "dict", "own"])
def test_other_configurations_are_obeyed(how: str) -> None:
    text = output(LOGGING=how)
    assert count(r"^INFO\|logging_app\|info at import$", text) == 1
    assert count("warning at import", text) == 1
    assert "debug at import" not in text


def test_a_file_of_basic_config_has_the_records_and_the_terminal_has_not(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    text = output(LOGGING="file", LOGGING_FILE=str(file))
    assert "at import" not in text
    assert file.read_text() == (
        "INFO|logging_app|info at import\nWARNING|logging_app|warning at import\n"
    )


def test_records_go_to_the_servers_log_by_its_handler() -> None:
    text = output(LOGGING="server")
    assert count(OURS.format("info", "logging_app", "info at import$"), text) == 1
    assert count("warning at import", text) == 1


def test_threads_and_forked_children_log() -> None:
    with Hornbeam(APP) as server:
        httpx.get(f"{server.url}/thread")
        server.wait_for_output(OURS.format("error", "logging_app", "in a thread$"))
        httpx.get(f"{server.url}/child")
        server.wait_for_output("^ERROR logging_app: in a forked child$")


# log_config

DICT = {
    "version": 1,
    "formatters": {"plain": {"format": "FILE|%(levelname)s|%(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "DEBUG", "handlers": ["out"]},
}
TOML = """
version = 1
formatters.plain.format = "FILE|%(levelname)s|%(message)s"
handlers.out = { class = "logging.StreamHandler", formatter = "plain" }
root = { level = "DEBUG", handlers = ["out"] }
"""
INI = """
[loggers]
keys=root
[handlers]
keys=out
[formatters]
keys=plain
[logger_root]
level=DEBUG
handlers=out
[handler_out]
class=StreamHandler
formatter=plain
args=()
[formatter_plain]
format=FILE|%(levelname)s|%(message)s
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.json", json.dumps(DICT)),
        ("log.yaml", json.dumps(DICT)),  # which is YAML as well
        pytest.param("log.toml", TOML, marks=pytest.mark.skipif("sys.version_info < (3, 11)")),
        ("log.ini", INI),
    ],
)
def test_a_file_configures_logging_before_the_import(name: str, text: str, tmp_path: Path) -> None:
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    (tmp_path / name).write_text(text)
    with Hornbeam(APP, chdir=str(tmp_path), log_config=name) as server:
        server.wait_for_output(r"^FILE\|DEBUG\|debug at import$")
        # The server's own loggers, which the file does not name, are as ever.
        httpx.get(f"{server.url}/raised")
        server.wait_for_output(OURS.format("error", r"hornbeam\.asgi", "exception in the app"))
    assert server.output.count("debug at import") == 1


def test_a_reload_reads_the_file_again(tmp_path: Path) -> None:
    file = tmp_path / "log.json"
    file.write_text(json.dumps(DICT))
    with Hornbeam(APP, log_config=str(file)) as server:
        server.wait_for_output(r"^FILE\|DEBUG\|debug at import$")
        file.write_text(json.dumps(DICT).replace("FILE", "AGAIN"))
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_output(r"^AGAIN\|DEBUG\|debug at import$")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{", "JSONDecodeError"),
        ("a.json", "[]", "must hold a mapping"),
        ("a.json", '{"version": 1, "root": {"handlers": ["none"]}}', "'none'"),
        ("a.ini", "[loggers]\n", "a.ini"),
    ],
)
def test_a_bad_file_fails_the_start(name: str, text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    server = Hornbeam(APP, log_config=str(tmp_path / name))
    with pytest.raises(StartError) as failed:
        server.start()
    assert failed.value.status == 1
    assert "the logging configuration (log_config) cannot be used" in failed.value.output
    assert reason in failed.value.output
    assert "Traceback" not in failed.value.output


def test_a_file_that_is_not_there_fails_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="bad option log_config: names a file that does not exist"):
        Hornbeam(APP, log_config=str(tmp_path / "none.json")).start()


# The same traceback twice


@pytest.mark.parametrize("how", ["", "basic"])
def test_a_traceback_that_the_application_has_logged_is_not_repeated(how: str) -> None:
    with Hornbeam(APP, env={"LOGGING": how}) as server:
        assert httpx.get(f"{server.url}/logged").status_code == 500
        server.wait_for_output(
            r"GET /logged: Boom: logged by a handler \(the logger 'logging_app' has its trace"
        )
    assert count("^Traceback", server.output) == 1


def test_what_a_handler_of_starlette_has_logged_is_not_repeated(tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    (tmp_path / "star.py").write_text(
        "import logging\n"
        "from starlette.applications import Starlette\n"
        "from starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\n"
        "async def fails(request): raise LookupError(request.url.path)\n"
        "async def on_error(request, error):\n"
        "    if request.url.path == '/logged':\n"
        "        logging.getLogger('star').error('seen', exc_info=error)\n"
        "    return PlainTextResponse('sorry', 500)\n"
        "routes = [Route('/logged', fails), Route('/silent', fails)]\n"
        "app = Starlette(routes=routes, exception_handlers={Exception: on_error})\n"
    )
    with Hornbeam("star:app", pythonpath=str(tmp_path)) as server:
        assert httpx.get(f"{server.url}/logged").text == "sorry"
        server.wait_for_output(r"GET /logged: LookupError: /logged \(the logger 'star'")
        assert count("^Traceback", server.output) == 1
        assert httpx.get(f"{server.url}/silent").text == "sorry"
        server.wait_for_output("^LookupError: /silent$")


def test_another_exception_is_printed_with_its_cause() -> None:
    with Hornbeam(APP) as server:
        httpx.get(f"{server.url}/chained")
        server.wait_for_output("^RuntimeError: the consequence$")
    assert count("Boom: the cause$", server.output) == 2


def test_an_exception_that_is_raised_again_later_is_printed_again() -> None:
    with Hornbeam(APP) as server:
        httpx.get(f"{server.url}/same")
        server.wait_for_output(r"GET /same: LookupError: the same object \(the logger")
        httpx.get(f"{server.url}/same")
        server.wait_for_output(r"GET /same\nTraceback")
    assert count("^Traceback", server.output) == 2


# What an application finds at its import


def test_argv_is_that_of_the_server_alone_and_spawned_processes_work() -> None:
    with Hornbeam(APP) as server:
        assert re.fullmatch(r"\['/\S+/hornbeam/__main__\.py'\]", httpx.get(server.url).text)
        assert httpx.get(f"{server.url}/spawn", timeout=60).text == "[42]"


# Ctrl-C


@pytest.mark.parametrize("end", ["", "raises", "interrupted", "hangs"])
def test_ctrl_c_ends_with_0_whatever_the_application_does(end: str, tmp_path: Path) -> None:
    file = tmp_path / "said"
    server = Hornbeam(
        APP, env={"SHUTDOWN": end, "LOGGING_FILE": str(file)}, shutdown_timeout=2000, workers=2
    )
    try:
        server.start()
        os.kill(server.pid, signal.SIGINT)
        assert server.wait() == 0
    finally:
        server.kill()
    assert "KeyboardInterrupt" not in server.output
    assert count("SIGINT received - shutting down$", server.output) == 1
    assert file.exists() == (end == "hangs")
    assert count("^Traceback", server.output) == (2 if end == "raises" else 0)


def test_a_worker_that_gets_sigint_goes_on() -> None:
    with Hornbeam(APP) as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGINT)
        assert httpx.get(server.url).status_code == 200
        assert server.workers() == [worker]
    assert "KeyboardInterrupt" not in server.output


def test_a_forked_child_of_a_worker_can_be_terminated() -> None:
    with Hornbeam(APP) as server:
        assert httpx.get(f"{server.url}/terminated", timeout=20).text == str(-signal.SIGTERM)


def test_a_worker_that_gets_sigint_as_it_starts_goes_on(tmp_path: Path) -> None:
    (tmp_path / "slow_import.py").write_text(
        "import os, time\n"
        "open(os.environ['IMPORTING'], 'w').close()\n"
        "while not os.path.exists(os.environ['GO']): time.sleep(0.01)\n"
        "from logging_app import app\n"
    )
    importing, go = tmp_path / "importing", tmp_path / "go"
    apps = str(Path(__file__).resolve().parent.parent / "apps")
    env = {"IMPORTING": str(importing), "GO": str(go)}
    server = Hornbeam("slow_import:app", pythonpath=[str(tmp_path), apps], env=env)
    try:
        starting = Thread(target=server.start)
        starting.start()
        wait_until(importing.exists, 30, "it is being imported")
        (worker,) = server.workers()
        os.kill(worker, signal.SIGINT)
        go.touch()
        starting.join(60)
        assert server.workers() == [worker]
        assert server.stop() == 0
    finally:
        server.kill()
    assert "KeyboardInterrupt" not in server.output
