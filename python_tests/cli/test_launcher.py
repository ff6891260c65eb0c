"""bin/hornbeam as a user runs it, where no application is needed: help, version, mistakes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hornbeam import vm

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "bin" / "hornbeam"


def hornbeam(
    *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAUNCHER, *arguments], capture_output=True, text=True, timeout=60, env=env, cwd=cwd
    )


def documented_flags() -> list[str]:
    page = (ROOT / "docs" / "options.md").read_text()
    return re.findall(r"^\| `\w+` \| `(--[a-z-]+)", page, re.MULTILINE)


def test_help_mentions_every_flag() -> None:
    done = hornbeam("--help")
    assert (done.returncode, done.stderr) == (0, "")
    flags = documented_flags()
    assert {"--bind", "--workers", "--mount"} <= set(flags)
    assert [flag for flag in flags if not re.search(rf"^  {flag}[ ,]", done.stdout, re.M)] == []


def test_run_has_the_same_help() -> None:
    assert hornbeam("run", "--help").stdout == hornbeam("help").stdout


def test_version() -> None:
    done = hornbeam("version")
    assert done.returncode == 0
    assert re.fullmatch(r"hornbeam \d+\.\d+\.\d+ \(Erlang/OTP \d+\)\n", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a command is missing"),
        (["runn"], 'there is no command "runn"; did you mean run?'),
        (["run", "a:b", "c:d"], 'one application is served; what is "c:d"?'),
        (["config", "a:b", "c:d"], 'one application is served; what is "c:d"?'),
        (["config", "--chnaged"], "unknown flag --chnaged"),
        (["run", "app:app", "--config"], "the flag --config needs a value"),
        (["run", "app:app", "-c", "--workers"], "the flag -c needs a value"),
        (["config", "--config="], "the flag --config needs a value"),
        (["run", "app:app", "--wrokers", "2"], "unknown flag --wrokers; did you mean --workers?"),
        (["run", "app:app", "--bind"], "the flag --bind needs a value"),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str], message: str) -> None:
    done = hornbeam(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"hornbeam: {message}\nTry: hornbeam help\n"


def test_a_bad_value_exits_with_1() -> None:
    done = hornbeam("run", "app:app", "--workers", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "hornbeam: bad option workers: must be an integer from 1 to 1024, got 0 (flag --workers)\n"
    )


def test_messages_are_unicode_in_any_locale() -> None:
    env = {**os.environ, "LC_ALL": "C", "HORNBEAM_LOOP": "smörgås"}
    done = hornbeam("run", "app:app", env=env)
    assert done.returncode == 1
    assert 'got "smörgås" (environment variable HORNBEAM_LOOP)' in done.stderr


def test_it_runs_through_a_link_from_anywhere(tmp_path: Path) -> None:
    link = tmp_path / "hb"
    link.symlink_to(LAUNCHER)
    done = subprocess.run(
        [link, "version"], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_lies_about_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "signal.py").write_text("raise SystemExit('imported')\n")
    done = hornbeam("version", env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_before_make_it_says_how_to_compile(tmp_path: Path) -> None:
    for part in ("bin", "priv/python/hornbeam"):
        shutil.copytree(ROOT / part, tmp_path / part)
    copy = tmp_path / "bin" / "hornbeam"
    done = subprocess.run([copy, "version"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"hornbeam: not compiled yet; run: make -C {tmp_path} compile\n"


SLOW_TO_END = f"""
import runpy, sys, time

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(1)

sys.slow = Slow()
sys.argv = [{str(LAUNCHER)!r}, "version"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_repeated_signal_does_not_end_a_launcher_that_is_ending(tmp_path: Path) -> None:
    """Its alarm came when Python had put its handlers away: -14 in place of the VM's status."""
    erl = tmp_path / "erl"
    erl.write_text("#!/bin/sh\ntrap 'exit 7' TERM\necho up\nwhile :; do sleep 0.05; done\n")
    erl.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-c", SLOW_TO_END]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"up\n"
        launcher.terminate()
        assert launcher.wait(60) == 7


@pytest.mark.parametrize(
    ("files", "flags"),
    [
        (1024, ["+P", "65536"]),
        (40000, ["+P", "80000"]),
        (262144, ["+P", "262144"]),
        (1048576, ["+P", "262144", "+Q", "262144"]),
    ],
)
def test_the_tables_of_the_vm_follow_the_limit_of_open_files(files: int, flags: list[str]) -> None:
    assert vm.tables(files) == flags


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"])
def test_an_allocator_that_somebody_has_set_up_is_left_as_it_is(name: str) -> None:
    assert vm.allocator({name: "2"}) == {}
    assert vm.allocator({"HOME": "/"})["HORNBEAM_MALLOC"] == " ".join(vm.ALLOCATOR)


def test_the_vm_gets_them(tmp_path: Path) -> None:
    """And HORNBEAM_ERL_FLAGS, which win, stand behind them (ERL_ZFLAGS)."""
    erl = tmp_path / "erl"
    erl.write_text('#!/bin/sh\necho "$MALLOC_ARENA_MAX $HORNBEAM_MALLOC:" "$@"\n')
    erl.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    allocator, _, flags = hornbeam("version", env=env).stdout.partition(":")
    assert allocator == "1 MALLOC_ARENA_MAX MALLOC_MMAP_THRESHOLD_"
    assert " +P " in flags


def test_the_engine_of_a_cluster_is_behind_all_that_a_start_loads() -> None:
    """On the path of a checkout, and loaded by nobody."""
    erl, *flags = vm.of_checkout(str(ROOT))[0]
    folders = [flags[i + 1] for i, flag in enumerate(flags) if flag == "-pa"]
    assert any(folder.endswith("hornbeam/ebin") for folder in folders)
    assert not any("/ra/" in folder for folder in folders)
    evaluate = (
        "{ok, _} = application:ensure_all_started(hornbeam), Ra = code:which(ra), "
        'io:format("~p ~s", [[A || {A, _, _} <- application:loaded_applications()], Ra]), halt().'
    )
    argv = [erl, *flags[: flags.index("-s")], "-eval", evaluate]
    env = {key: text for key, text in os.environ.items() if key != "ERL_LIBS"}
    said = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60).stdout
    loaded, _, where = said.rpartition(" ")
    assert where.endswith("ra.beam")
    assert "hornbeam" in loaded
    assert not re.search(r"\b(ra|aten|seshat|gen_batch_server|sasl)\b", loaded)
