"""hornbeam_worker.logs, .logged and .log_config alone: each test in a process of its own, since
what they change holds for all of Python's logging."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hornbeam_worker import log_config
from hornbeam_worker.failure import FailureKind, StartFailure

ROOT = Path(__file__).resolve().parents[2]
BEGIN = """
import logging, logging.config, msgpack
from hornbeam_worker import logged, logs
def show(frame):
    record = msgpack.unpackb(frame[9:])
    print("OURS", record["logger"], record["message"], "traceback" in record)
asgi = logging.getLogger("hornbeam.asgi")
logs.install("info", show, logs.Window(lambda done, timeout=None: None))
logged.watch()
error = LookupError("e")
A = logging.getLogger("a")
"""


def run(script: str) -> str:
    """What it prints, standard error included."""
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN + script],
        env={**os.environ, "PYTHONPATH": str(ROOT / "priv" / "python")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=60,
    )  # fmt: skip
    return ended.stdout


def test_without_a_configuration_warnings_are_logged_and_infos_only_of_the_server() -> None:
    text = run(
        "logging.getLogger('third').info('no'); logging.getLogger('third').warning('w')\n"
        "third = logging.getLogger('loud'); third.setLevel(logging.DEBUG); third.info('no')\n"
        "asgi.info('i'); asgi.debug('no'); logging.getLogger('hornbeam.later').info('l')\n"
    )
    assert text == "OURS third w False\nOURS hornbeam.asgi i False\nOURS hornbeam.later l False\n"


@pytest.mark.parametrize(
    "disabling",
    [
        "logging.config.dictConfig({'version': 1})",
        "import io, logging.config; logging.config.fileConfig(io.StringIO('[loggers]\\nkeys=root\\n"
        "[handlers]\\nkeys=\\n[formatters]\\nkeys=\\n[logger_root]\\nhandlers=\\n'))",
        "logging.basicConfig(force=True, handlers=[logging.NullHandler()])",
    ],
)
def test_the_servers_own_records_survive_what_disables_loggers(disabling: str) -> None:
    assert run(f"{disabling}\nasgi.error('still')\n") == "OURS hornbeam.asgi still False\n"


def test_a_configuration_that_names_the_servers_logger_is_obeyed() -> None:
    config = {
        "version": 1,
        "handlers": {"out": {"class": "logging.StreamHandler"}},
        "loggers": {"hornbeam": {"handlers": ["out"], "level": "ERROR"}},
    }
    text = run(f"logging.config.dictConfig({config})\nasgi.warning('no')\nasgi.error('theirs')\n")
    assert text == "theirs\n"


SAYS_AGAIN = "logged.error(asgi, 'GET /', of=error)\n"
WITH = "OURS hornbeam.asgi GET / True\n"
WITHOUT = "OURS hornbeam.asgi GET /: LookupError: e (the logger '{}' has its traceback) False\n"


def test_what_was_logged_with_its_traceback_is_said_without_and_once_only() -> None:
    text = run("A.error('first', exc_info=error)\n" + SAYS_AGAIN * 2)
    assert text == "OURS a first True\n" + WITHOUT.format("a") + WITH


@pytest.mark.parametrize(
    "unseen",
    [
        "A.error(str(error))",  # without its traceback
        "A.info('x', exc_info=error)",  # not enabled
        "A.addHandler(logging.NullHandler()); A.error('', exc_info=error)",
        "A.addHandler(logging.Handler(60)); A.error('', exc_info=error)",
        "A.error('', exc_info=LookupError('e'))",  # another one
        "asgi.error('own', exc_info=error)",
    ],
)
def test_what_no_handler_has_shown_is_said_in_full(unseen: str) -> None:
    assert run(f"{unseen}\n{SAYS_AGAIN}").endswith(WITH)


def test_an_exception_that_cannot_be_shown_is_said_by_its_type() -> None:
    text = run(
        "class Mute(Exception):\n"
        "    def __str__(self): raise ValueError\n"
        "mute = Mute()\n"
        "logging.basicConfig(handlers=[logging.Handler()])\n"
        "logging.Handler.emit = lambda *_: None\n"
        "A.error('x', exc_info=mute)\n"
        "logged.error(asgi, 'GET /', of=mute)\n"
    )
    assert text.endswith("GET /: Mute (the logger 'a' has its traceback) False\n")


# log_config


@pytest.mark.parametrize(
    ("name", "modules", "text"),
    [
        ("a.yml", ["yaml"], "YAML needs the package PyYAML"),
        ("a.toml", ["tomllib", "tomli"], "TOML needs Python 3.11 or the package tomli"),
    ],
)
def test_a_file_whose_reader_is_not_installed_says_which(
    name: str, modules: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).touch()
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StartFailure, match=text) as failed:
        log_config.configure(str(tmp_path / name))
    assert failed.value.kind is FailureKind.LOG_CONFIG_FAILED
