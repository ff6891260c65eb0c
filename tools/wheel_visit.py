"""Uses an installed Hornbeam as a newcomer does, and fails where that does not work.

Run by tools/wheel_check.py with the interpreter of the virtual environment, in an empty folder of
its user. Nothing of the checkout is there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

import hornbeam
from hornbeam import vm

APPLICATION = """
import os, sys

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def about() -> dict[str, object]:
    from hornbeam_erlang import state_incr

    return {"python": sys.executable, "folder": os.getcwd(), "visits": state_incr("visits")}


@app.post("/echo")
async def echo(body: dict[str, object]) -> dict[str, object]:
    return body
"""
COMMAND = str(Path(sys.executable).parent / "hornbeam")
STARTS = 5


def main() -> None:
    """AssertionError, or what else was raised, where something is not as it should be."""
    assert os.geteuid() != 0
    assert shutil.which("erl") is None, "there is an Erlang beside the wheel's"
    assert not os.access(sysconfig.get_path("purelib"), os.W_OK)
    Path("app.py").write_text(APPLICATION)
    command_line()
    module()
    server()
    tls()
    failure()
    client()
    engine()
    print(f"wheel_visit: first answer after {first_answer():.2f} s (one worker)")


def command_line() -> None:
    """`hornbeam run app:app` in the folder of the application, until Ctrl-C."""
    with started(COMMAND, "run", "app:app", "--bind", "127.0.0.1:0") as (process, url):
        about = get(url)
        assert Path(str(about["python"])).parent == Path(sys.executable).parent, about
        assert about["folder"] == str(Path.cwd()), about
        assert get(url)["visits"] == 2
        assert post(f"{url}/echo", {"ä": [1, 2]}) == {"ä": [1, 2]}
        status = subprocess.run([COMMAND, "status"], capture_output=True, text=True, check=True)
        assert "app:app" in status.stdout, status.stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def module() -> None:
    """`python -m hornbeam`."""
    command = [sys.executable, "-m", "hornbeam"]
    version = subprocess.run([*command, "version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("hornbeam "), version.stdout
    with started(*command, "run", "app:app", "--bind", "127.0.0.1:0", "--workers", "2") as (_, url):
        assert get(url)["visits"] == 1


def server() -> None:
    """From Python, in a test."""
    with hornbeam.Server("app:app", workers=2) as running:
        assert get(running.url)["visits"] == 1


def tls() -> None:
    """With the cryptography that the wheel has brought."""
    home = Path.home()
    with hornbeam.Server(
        "app:app", certfile=home / "cert.pem", keyfile=home / "key.pem"
    ) as running:
        assert running.url.startswith("https://"), running.url
        context = ssl.create_default_context(cafile=str(home / "cert.pem"))
        with urllib.request.urlopen(running.url, context=context, timeout=60) as answer:
            assert answer.status == 200


def failure() -> None:
    """An application that is not there is a clear error."""
    try:
        hornbeam.Server("nothing:app").start()
    except hornbeam.ServerError as error:
        assert 'no module "nothing"' in str(error), error
    else:
        raise AssertionError("it has started")


def client() -> None:
    """The client of channels is there, and says what it needs besides."""
    try:
        import hornbeam_client
    except ImportError as error:
        assert "pip install 'hornbeam[client]'" in str(error), error
    else:
        raise AssertionError(f"websockets is there: {hornbeam_client}")


def engine() -> None:
    """The VM brings along what a cluster needs."""
    argv, env = vm.command()
    start = "{ok, _} = application:ensure_all_started(ra), halt()."
    argv = [*argv[: argv.index("-s")], "-eval", start]
    subprocess.run(argv, env={**os.environ, **env}, timeout=60, check=True)


def first_answer() -> float:
    """From the start of the command to its first answer, seconds; the median."""
    return statistics.median(_one_start() for _ in range(STARTS))


def _one_start() -> float:
    began = time.monotonic()
    with started(COMMAND, "run", "app:app", "--bind", "127.0.0.1:0") as (_, url):
        get(url)
        return time.monotonic() - began


class started:
    """A server of a command line; its process and its address."""

    def __init__(self, *command: str) -> None:
        self._command = command

    def __enter__(self) -> tuple[subprocess.Popen[str], str]:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert " serving " in line, line
        return self._process, line.partition(" on ")[2].split()[0].rstrip(",")

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        assert self._process.wait(60) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


def get(url: str) -> dict[str, object]:
    """The JSON that a path answers with."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def post(url: str, body: object) -> object:
    """The answer to a body."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
