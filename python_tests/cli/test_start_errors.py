"""Every error at a start: one message to act on, exit status 1, nothing left running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import APPS, ROOT, Hornbeam, StartError, wait_until


@pytest.fixture
def marker() -> Iterator[dict[str, str]]:
    """A variable for the environment; afterwards no process has it any more."""
    variable = {"HORNBEAM_TEST_MARKER": uuid.uuid4().hex}
    yield variable
    text = "=".join(*variable.items()).encode()
    wait_until(lambda: not processes_with(text), 10, "no process of the failed start is left")


def processes_with(variable: bytes) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if variable in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except (OSError, ValueError):  # noqa: PERF203 (a process may end while it is looked at)
            continue
    return found


def failed(app: str, env: dict[str, str], **options: Any) -> str:
    """What is printed when the start fails, which it must with status 1."""
    with pytest.raises(StartError) as error, Hornbeam(app, env=env, **options):
        pass
    assert error.value.status == 1
    return error.value.output


def test_module_not_found(marker: dict[str, str]) -> None:
    output = failed("no_such_module:app", marker, workers=2)
    assert output.startswith(
        'hornbeam: the application\'s module was not found: no module "no_such_module" (looked in: '
    )
    assert str(APPS) in output
    assert output.count("\n") == 1


def test_module_of_a_package_not_found(marker: dict[str, str]) -> None:
    assert 'no module "no_such.package"' in failed("no_such.package:app", marker)


def test_attribute_missing(marker: dict[str, str]) -> None:
    assert failed("core_http:application", marker) == (
        "hornbeam: the application was not found in its module: "
        '"application" in module "core_http"\n'
    )


def test_not_callable(marker: dict[str, str]) -> None:
    assert failed("core_http:reports", marker) == (
        'hornbeam: the application cannot be called: "core_http:reports" is of type dict\n'
    )


def test_what_names_no_application(marker: dict[str, str]) -> None:
    assert failed("core_http:", marker) == (
        'hornbeam: bad option app: must be "module:attribute", such as "app:app", or "module", got'
        ' "core_http:"\n'
    )


def test_a_module_that_is_not_there_where_none_is_needed(marker: dict[str, str]) -> None:
    assert failed("core_http.py", marker).endswith('); did you mean "core_http"?\n')
    assert failed("core_http.app", marker).endswith('); did you mean "core_http:app"?\n')


def test_a_module_without_an_application(marker: dict[str, str]) -> None:
    assert failed("http_client", marker, pythonpath=str(ROOT / "python_tests")) == (
        "hornbeam: the application was not found in its module: tried "
        '"http_client:app", "http_client:application"; '
        'one of another name is given as "http_client:NAME"\n'
    )


@pytest.mark.parametrize("workers", [1, 4])
def test_raising_at_import_shows_the_whole_traceback_once(
    marker: dict[str, str], workers: int
) -> None:
    output = failed("core_broken:app", marker, workers=workers)
    lines = output.splitlines()
    assert lines[0] == "hornbeam: the application could not be imported:"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ConnectionError: nobody answers at db.example:5432"
    frames = [line.split(", in ")[-1] for line in lines if line.startswith("  File ")]
    assert frames == ["<module>", "settings", "connect"]
    assert output.count("Traceback") == 1


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("def app(:\n", "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(7)\n", "SystemExit: 7"),
        ("import not_installed_anywhere\n", "ModuleNotFoundError: No module named 'not_inst"),
        ("from json import nothing_like_it\n", "ImportError: cannot import name 'nothing_li"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    ],
)
def test_other_ways_to_fail_at_import(
    marker: dict[str, str], tmp_path: Path, source: str, last: str
) -> None:
    (tmp_path / "core_written.py").write_text(source)
    output = failed("core_written:app", marker, pythonpath=str(tmp_path))
    assert output.startswith("hornbeam: the application could not be imported:\n")
    assert output.splitlines()[-1].startswith(last)
    assert "core_written.py" in output
    assert "hornbeam_worker" not in output
    assert "importlib" not in output


def test_a_process_that_ends_itself(marker: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "core_written.py").write_text("import os\nos._exit(9)\n")
    output = failed("core_written:app", marker, pythonpath=str(tmp_path))
    assert output == "hornbeam: Python exited with status 9\n"
    (tmp_path / "core_written.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    output = failed("core_written:app", marker, pythonpath=str(tmp_path))
    assert output.endswith("hornbeam: Python was ended by signal 11 (SIGSEGV)\n")


def test_lifespan_failed(marker: dict[str, str]) -> None:
    assert failed("core_lifespan:fails", marker, workers=3) == (
        "hornbeam: the application's lifespan failed: the database is not there\n"
    )


def test_port_in_use(marker: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        assert failed("core_http:app", marker, bind=bind) == (
            f"hornbeam: cannot listen on {bind}: the address is in use\n"
        )


def test_the_second_of_two_addresses_in_use(marker: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        output = failed("core_http:app", marker, bind=["127.0.0.1:0", bind])
    assert output == f"hornbeam: cannot listen on {bind}: the address is in use\n"


def test_port_of_another_hornbeam(marker: dict[str, str]) -> None:
    with Hornbeam("core_http:app") as first:
        bind = "{}:{}".format(*first.address)
        assert "the address is in use" in failed("core_http:app", marker, bind=bind)
        assert httpx.get(f"{first.url}/hello").text == "hello"


def test_an_address_that_the_machine_does_not_have(marker: dict[str, str]) -> None:
    assert failed("core_http:app", marker, bind="192.0.2.1:0") == (
        "hornbeam: cannot listen on 192.0.2.1:0: this machine has no such address\n"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"workers": 0}, "bad option workers: must be an integer from 1 to 1024, got 0"),
        ({"workers": "many"}, 'bad option workers: must be an integer from 1 to 1024, got "many"'),
        ({"lifespan": "maybe"}, 'bad option lifespan: must be auto, on or off, got "maybe"'),
        ({"bind": "nowhere"}, "bad option bind: "),
        ({"timeout": "-1"}, "bad option timeout: "),
        ({"root_path": "api"}, "bad option root_path: "),
        ({"lifespan": "perhaps"}, "bad option lifespan: "),
    ],
)
def test_a_bad_option_by_name(marker: dict[str, str], options: dict[str, Any], text: str) -> None:
    output = failed("core_http:app", marker, **options)
    assert output.startswith(f"hornbeam: {text}")
    flag = "--" + next(iter(options)).replace("_", "-")
    assert flag in output
    assert output.count("\n") == 1


@pytest.mark.parametrize("key", ["pythonpath", "venv", "chdir"])
def test_a_folder_that_is_not_there(marker: dict[str, str], key: str) -> None:
    output = failed("core_http:app", marker, **{key: "/no/such/folder"})
    assert output.startswith(f"hornbeam: bad option {key}: ")
    assert "/no/such/folder" in output
    assert output.count("\n") == 1


def test_interpreter_missing(marker: dict[str, str]) -> None:
    output = failed("core_http:app", marker, python="/no/such/python")
    assert "/no/such/python" in output
    assert output.startswith("hornbeam: ")
    assert output.count("\n") == 1


def test_interpreter_that_is_no_python(marker: dict[str, str]) -> None:
    assert failed("core_http:app", marker, python="/bin/false") == (
        "hornbeam: Python exited with status 1\n"
    )


@pytest.fixture(scope="module")
def bare_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment without msgpack."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def test_msgpack_missing(marker: dict[str, str], bare_venv: Path) -> None:
    interpreter = bare_venv / "bin" / "python"
    expected = (
        f"hornbeam: the Python package msgpack is missing in {interpreter}; "
        f"install it with: {interpreter} -m pip install msgpack\n"
    )
    options = {"bind": "127.0.0.1:0", "pythonpath": str(APPS), "workers": "2"}
    flags = [f"--{key}={value}" for key, value in options.items()]
    for way in (f"--venv={bare_venv}", f"--python={interpreter}"):
        command = [str(ROOT / "bin" / "hornbeam"), "run", "core_http:app", *flags, way]
        env = {**os.environ, **marker}
        run = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
        assert (run.returncode, run.stdout, run.stderr) == (1, "", expected)


@pytest.mark.parametrize(
    ("mount", "text"),
    [
        ("/api=no_such_module:app", 'no module "no_such_module"'),
        ("/api=core_broken:app", "ConnectionError: nobody answers at db.example:5432"),
        ("/api=core_http:app;workers=0", "bad option mounts: "),
        ("/api=core_http:app;python=/no/such/python", "/no/such/python"),
        ("/api", "bad option mounts: "),
    ],
)
def test_errors_of_mounts(marker: dict[str, str], mount: str, text: str) -> None:
    output = failed("core_http:app", marker, mount=mount)
    assert output.startswith("hornbeam: ")
    assert text in output


def test_two_applications_at_one_prefix(marker: dict[str, str]) -> None:
    mounts = ["/api=core_http:app", "/api=core_lifespan:without"]
    assert 'has two applications at "/api"' in failed("core_http:app", marker, mount=mounts)


def test_stdout_is_the_applications_own(marker: dict[str, str]) -> None:
    """Errors go to stderr; what the application printed before it failed comes as it was."""
    command = [str(ROOT / "bin" / "hornbeam"), "run", "core_lifespan:raises", "--lifespan=on"]
    flags = ["--bind=127.0.0.1:0", f"--python={sys.executable}", f"--pythonpath={APPS}"]
    env = {**os.environ, **marker}
    run = subprocess.run([*command, *flags], capture_output=True, text=True, env=env, timeout=60)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("hornbeam: the application's lifespan failed: Traceback")
    assert run.stderr.endswith("LookupError: raised at start-up\n")
