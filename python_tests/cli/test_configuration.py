"""hornbeam.toml and [tool.hornbeam]: which file is read, what wins over it, what is said of
mistakes; and `hornbeam config`, which prints what holds and where it comes from."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import ROOT, Hornbeam

from hornbeam import configuration, server

LAUNCHER = ROOT / "bin" / "hornbeam"
tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")


def hornbeam(
    command: str, *arguments: str, cwd: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAUNCHER, command, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | env,
        cwd=cwd,
    )


def changed(*arguments: str, cwd: Path, **env: str) -> list[str]:
    """What `hornbeam config --changed` prints, with a blank between value and source."""
    done = hornbeam("config", "--changed", *arguments, cwd=cwd, **env)
    assert (done.returncode, done.stderr) == (0, "")
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def refused(*arguments: str, cwd: Path, command: str = "config") -> str:
    """What is printed of a configuration that cannot be."""
    done = hornbeam(command, *arguments, cwd=cwd)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


# What is served


def test_a_server_that_is_all_in_its_file(tmp_path: Path) -> None:
    """Every kind of value; nothing of it on a command line or in a worker's environment."""
    (tmp_path / "main.py").write_text(
        "import os\n"
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    settings = [name for name in os.environ if name.startswith('HORNBEAM_SETTING')]\n"
        "    body = f\"{os.environ['TOKEN']} {settings}\".encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
    )
    (tmp_path / "hornbeam.toml").write_text(
        f"""
        app = "main"
        bind = ["127.0.0.1:0"]
        python = '{sys.executable}'
        workers = 2
        request-id = true
        timeout = inf

        [env]
        TOKEN = "hüsh \\"'$"

        [[mounts]]
        prefix = "/api"
        app = "main:app"
        workers = 1
        env = {{ TOKEN = 7 }}
        """
    )
    options: dict[str, Any] = {"bind": None, "python": None, "pythonpath": None}
    with Hornbeam(None, cwd=tmp_path, **options) as running:
        answer = httpx.get(running.url)
        assert answer.text == "hüsh \"'$ []"
        assert "x-request-id" in answer.headers
        assert httpx.get(f"{running.url}/api").text == "7 []"
        assert len(running.workers()) == 3
        lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in running.descendants()]
        assert not [line for line in lines if "hüsh".encode() in line]


# Which wins


def test_each_source_wins_over_the_weaker(tmp_path: Path) -> None:
    (tmp_path / "own.config").write_text("[{hornbeam, [{workers, 2}]}].\n")
    weakest = {"HORNBEAM_ERL_FLAGS": f"-config {tmp_path}/own"}
    assert changed(cwd=tmp_path) == []
    assert changed(cwd=tmp_path, **weakest) == ["workers = 2 # sys.config"]
    (tmp_path / "hornbeam.toml").write_text("workers = 3\n")
    assert changed(cwd=tmp_path, **weakest) == ["workers = 3 # hornbeam.toml"]
    environment = weakest | {"HORNBEAM_WORKERS": "4"}
    assert changed(cwd=tmp_path, **environment) == ["workers = 4 # environment HORNBEAM_WORKERS"]
    assert changed("--workers", "5", cwd=tmp_path, **environment) == [
        "workers = 5 # flag --workers"
    ]


def test_a_value_replaces_a_weaker_one_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "hornbeam.toml").write_text('bind = [":1", ":2"]\nenv = { A = "1" }\n')
    assert changed("--bind", ":3", "--env=B=2", cwd=tmp_path) == [
        'env = { B = "***" } # flag --env',
        'bind = ["0.0.0.0:3"] # flag --bind',
    ]


# Which file


def test_pyproject_is_read_where_it_has_the_table(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\nname = "hornbeam-site"\n')
    assert changed(cwd=tmp_path) == []
    pyproject.write_text('[tool.hornbeam]\napp = "a:b"\n[tool.hornbeam.env]\nA = "1"\n')
    assert changed(cwd=tmp_path) == [
        'app = "a:b" # pyproject.toml',
        'env = { A = "***" } # pyproject.toml',
    ]
    (tmp_path / "hornbeam.toml").write_text("workers = 3\n")
    assert changed(cwd=tmp_path) == ["workers = 3 # hornbeam.toml"]


def test_what_is_not_for_us_in_pyproject_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert changed(cwd=tmp_path) == []


def test_another_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "hornbeam.toml").write_text("workers = 2\n")
    (tmp_path / "other.toml").write_text("workers = 3\n")
    other = ["workers = 3 # other.toml"]
    assert changed("--config", "other.toml", cwd=tmp_path) == other
    assert changed("--config=other.toml", cwd=tmp_path) == other
    named = ['app = "a:b" # argument', *other]
    assert changed("a:b", "-c", "other.toml", cwd=tmp_path) == named
    assert changed(cwd=tmp_path, HORNBEAM_CONFIG="other.toml") == other
    assert changed("-c", "other.toml", cwd=tmp_path, HORNBEAM_CONFIG="none") == other
    assert changed("-c", "none", "-c", "other.toml", cwd=tmp_path) == other
    assert changed(cwd=tmp_path, HORNBEAM_CONFIG="") == ["workers = 2 # hornbeam.toml"]


def test_none_is_read(tmp_path: Path) -> None:
    (tmp_path / "hornbeam.toml").write_text("this is no TOML\n")
    assert changed("--config", "none", cwd=tmp_path) == []
    assert changed(cwd=tmp_path, HORNBEAM_CONFIG="none") == []
    assert hornbeam("run", "--help", cwd=tmp_path).returncode == 0
    assert hornbeam("version", cwd=tmp_path).returncode == 0


def test_paths_start_where_the_server_is_started(tmp_path: Path) -> None:
    for folder in ("site/code", "code", "run/code"):
        (tmp_path / folder).mkdir(parents=True)
    file = tmp_path / "site" / "hornbeam.toml"
    file.write_text('pythonpath = ["code"]\n')
    line = 'pythonpath = ["{}"] # ' + str(file)
    assert changed("-c", str(file), cwd=tmp_path) == [line.format(tmp_path / "code")]
    moved = changed("-c", str(file), "--chdir=run", cwd=tmp_path)
    assert moved[0] == line.format(tmp_path / "run" / "code")


# Mistakes


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("wrokers = 4", '"wrokers": there is no such option; did you mean workers?'),
        ("max-quue = 4", '"max-quue": there is no such option; did you mean max-queue?'),
        ("[server]\nworkers = 4", '"server": there is no such option'),
        ('workers = "4"', 'workers: must be an integer from 1 to 1024, got "4"'),
        ("workers = 1.5", "workers: must be an integer from 1 to 1024, got 1.5"),
        ("workers = [4]", "workers: must be an integer from 1 to 1024, got 'an array'"),
        ("root_path = [47, 97]", "root_path: must be text, got 'an array'"),
        ("lifespan = { on = true }", "lifespan: must be auto, on or off, got 'a table'"),
        ("bind = [8000]", 'bind: must be "HOST:PORT", "[IPV6]:PORT", ":PORT", "unix:PATH" or'),
        ("bind = 8000", 'bind: must be "HOST:PORT", "[IPV6]:PORT", ":PORT", "unix:PATH" or'),
        ("reload = 1", "reload: must be true or false, got 1"),
        ("workers = 2026-01-01", 'workers: must be an integer from 1 to 1024, got "2026-01-01"'),
        ('loop = "smörgås"', 'loop: must be auto, uvloop or asyncio, got "smörgås"'),
        ('loop = "a\\u0000b"', "loop: must be auto, uvloop or asyncio, got "),
        ("max-queue = 1\nmax_queue = 2", "max_queue: is given twice"),
        (
            '[[mounts]]\nprefix = "/a"\napp = "a:b"\nwrokers = 1',
            'mounts: in the mount /a: "wrokers" is not an option of a mount; did you mean workers?',
        ),
        ('app = "src/main.py"', 'app: must be "module:attribute", such as "app:app", or "module"'),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path: Path, content: str, text: str) -> None:
    (tmp_path / "hornbeam.toml").write_text(content)
    output = refused(cwd=tmp_path)
    assert output.startswith(f"hornbeam: bad option {text}")
    assert output.endswith(" (hornbeam.toml)\n")
    assert output.count("\n") == 1


@pytest.mark.parametrize("content", ["wrokers = 4", "workers = 0", "workers 4", "mounts = [1]"])
def test_run_says_the_same_as_config(tmp_path: Path, content: str) -> None:
    (tmp_path / "hornbeam.toml").write_text(content)
    said = refused(cwd=tmp_path)
    assert said.count("\n") == 1
    assert refused(cwd=tmp_path, command="run") == said


def test_a_secret_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "hornbeam.toml").write_text('env = { TOKEN = ["hush"] }\n')
    output = refused(cwd=tmp_path)
    assert output.startswith("hornbeam: bad option env: must be a map of names to values")
    assert "hush" not in output


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refused("-c", "x.toml", cwd=tmp_path) == (
        "hornbeam: the configuration file x.toml cannot be read: No such file or directory\n"
    )
    (tmp_path / "hornbeam.toml").write_text("workers 4\n")
    output = refused(cwd=tmp_path)
    assert output.startswith("hornbeam: hornbeam.toml is not TOML: ")
    assert "line 1" in output
    (tmp_path / "hornbeam.toml").write_bytes(b"name = '\xff'\n")
    assert refused(cwd=tmp_path).startswith("hornbeam: hornbeam.toml is not TOML: ")
    (tmp_path / "gunicorn.conf.py").write_text("workers = max(1, 2)\n")
    output = refused("-c", "gunicorn.conf.py", cwd=tmp_path)
    assert output.startswith("hornbeam: gunicorn.conf.py is not TOML: ")
    assert output.endswith("as gunicorn has it, is not read (docs/configuration.md)\n")


def test_pyproject_that_is_named_has_the_table(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text("[tool.other]\n")
    assert refused("-c", "pyproject.toml", cwd=tmp_path) == (
        "hornbeam: pyproject.toml has no table [tool.hornbeam]\n"
    )
    pyproject.write_text("[tool]\nhornbeam = 1\n")
    assert refused(cwd=tmp_path) == "hornbeam: pyproject.toml: tool.hornbeam must be a table\n"
    pyproject.write_text("[tool.hornbeam\n")
    assert refused(cwd=tmp_path).startswith("hornbeam: pyproject.toml is not TOML: ")


# hornbeam config


def test_every_option_has_a_line_and_secrets_are_masked(tmp_path: Path) -> None:
    done = hornbeam("config", "a:b", "--env", "TOKEN=hush", "--mount=/a=a;env=K=hush", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hush" not in done.stdout
    printed = tomllib.loads(done.stdout)
    assert (printed["app"], printed["env"]) == ("a:b", {"TOKEN": "***"})
    assert printed["mounts"] == [{"prefix": "/a", "app": "a", "env": {"K": "***"}}]
    page = (ROOT / "docs" / "options.md").read_text().splitlines()
    documented = [line.split("`")[1] for line in page if line.startswith("| `")]
    assert list(printed) == documented


def test_what_it_prints_is_a_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "hornbeam.toml").write_text(
        'bind = ["[::1]:0", "unix:/tmp/x"]\nforwarded-allow-ips = ["10.0.0.0/8", "*"]\n'
        'rpc_allow = ["lists:max"]\naccess-log-file = "a\\\\b\\"\\u00e9\\u0007"\ntimeout = 0\n'
        'mount = ["/a=a:b;workers=2;lifespan=off"]\n'
    )
    first = hornbeam("config", cwd=tmp_path).stdout
    (tmp_path / "printed.toml").write_text(first)
    second = hornbeam("config", "--config=printed.toml", cwd=tmp_path)
    assert second.stderr == ""
    assert tomllib.loads(second.stdout) == tomllib.loads(first)
    assert tomllib.loads(first)["access_log_file"] == 'a\\b"é\a'


def test_it_shows_the_application_that_run_would_find(tmp_path: Path) -> None:
    assert changed(cwd=tmp_path) == []
    (tmp_path / "main.py").touch()
    assert changed(cwd=tmp_path) == [f'app = "main" # found: {tmp_path}/main.py']


def test_flags_of_other_servers_are_shown_as_they_were_written(tmp_path: Path) -> None:
    flags = ["--host=::1", "--port", "80", "-w", "3", "--timeout-keep-alive=7"]
    assert changed(*flags, cwd=tmp_path) == [
        'bind = ["[::1]:80"] # flag --host, --port',
        "workers = 3 # flag -w",
        "keepalive_timeout = 7000 # flag --timeout-keep-alive",
    ]


def test_it_says_what_follows_from_what(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    lines = changed("--certfile=cert.pem", cwd=tmp_path)
    assert "ssl = true # implied by certfile" in lines


# From Python


def test_servers_of_scripts_read_no_file_that_is_not_named(tmp_path: Path) -> None:
    assert server.arguments("a:b", None, None, {}) == ["run", "a:b", "--config=none"]
    (tmp_path / "hornbeam.toml").write_text("wrokers = 4\n")
    script = "import hornbeam; hornbeam.run('no_such_module', port=0{})"
    command = [sys.executable, "-c"]
    env = os.environ | {
        "PYTHONPATH": str(ROOT / "priv" / "python"),
        "HORNBEAM_PYTHON": sys.executable,
    }
    plain, named = (
        subprocess.run(
            [*command, script.format(more)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env=env,
        )
        for more in ("", ", config='hornbeam.toml'")
    )
    assert 'no module "no_such_module"' in plain.stderr
    assert (named.returncode, named.stderr) == (
        1,
        'hornbeam: bad option "wrokers": there is no such option; did you mean workers?'
        " (hornbeam.toml)\n",
    )


# Without tomllib


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As Python 3.10 is, in a folder of its own."""
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    monkeypatch.setattr("site.main", lambda: None)
    monkeypatch.delenv("HORNBEAM_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("content", ["[project]\n", '[project]\nname = "hornbeam"\n'])
def test_without_tomllib_a_file_that_is_not_for_us_is_no_error(bare: Path, content: str) -> None:
    (bare / "pyproject.toml").write_text(content)
    assert configuration.take(["run", "a:b"]) == (["run", "a:b"], {})


@pytest.mark.parametrize(
    ("file", "content"),
    [("hornbeam.toml", ""), ("pyproject.toml", "[tool.hornbeam]\n"), ("own.toml", "")],
)
def test_without_tomllib_it_says_what_is_needed(
    bare: Path, capsys: pytest.CaptureFixture[str], file: str, content: str
) -> None:
    (bare / file).write_text(content)
    arguments = ["run", "--config", file] if file == "own.toml" else ["run"]
    with pytest.raises(SystemExit) as failure:
        configuration.take(arguments)
    assert failure.value.code == 1
    assert capsys.readouterr().err.startswith(
        f"hornbeam: reading {file} takes Python 3.11 or newer, or the package tomli; this is Python"
    )


def test_tomli_does_as_well(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomli", tomllib)
    (bare / "hornbeam.toml").write_text("workers = 2\n")
    assert importlib.import_module("tomli") is tomllib
    _, variables = configuration.take(["run"])
    assert variables == {
        "HORNBEAM_SETTINGS": "1",
        "HORNBEAM_SETTINGS_FILE": "hornbeam.toml",
        "HORNBEAM_SETTING_1": '{<<"workers"/utf8>>,2}',
    }


def test_arguments_behind_the_flags_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HORNBEAM_CONFIG", raising=False)
    assert configuration.take(["run", "-c", "none", "--", "--config", "x"]) == (
        ["run", "--", "--config", "x"],
        {},
    )
