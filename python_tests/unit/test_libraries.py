"""The set-up's step that builds the Erlang libraries (tools/provision/libraries.py), without a
network: the archive is a small one, and so is what is built of it."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT


class Machine:
    """A folder for `.deps` and `_build`; what was asked of it."""

    def __init__(self, libraries: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.libraries = libraries
        self.deps, self.place = folder / ".deps", folder / ".deps" / "erlang" / "lib"
        self.hex: set[str] = set()
        self.built: list[str] = []
        self.root = folder
        self.broken = ""
        monkeypatch.setattr(libraries, "ROOT", folder)
        monkeypatch.setattr(libraries, "DEPS", self.deps)
        monkeypatch.setattr(libraries, "LIBRARIES", self.place)
        monkeypatch.setattr(libraries, "run", self._run)
        monkeypatch.setattr(libraries.debian_source, "fetch", self._fetch)

    def _run(self, argv: tuple[str | Path, ...], **_: object) -> None:
        if argv[:2] == ("rebar3", "get-deps"):
            if not self.hex:
                raise self.libraries.SetupError("Hex does not answer")
            for name in self.hex:
                (self.root / "_build" / "default" / "lib" / name / "src").mkdir(parents=True)
            return
        source = Path(argv[2])
        assert (source / "erlang.mk").exists()
        if source.name == self.broken:
            raise self.libraries.SetupError(f"{source.name} does not build")
        self.built.append(source.name)

    def _fetch(self, _package: str, _suite: str, work: Path) -> Path:
        path = work / "source.tar"
        with tarfile.open(path, "w") as archive:
            for name, version in self.libraries.VERSIONS.items():
                texts = {
                    f"ebin/{name}.app": f'{{application, {name}, [{{vsn, "{version}"}}]}}.',
                    f"src/{name}.erl": "new",
                    "LICENSE": "which",
                    "LICENSE-APACHE2": "one",
                    **({"erlang.mk": "all"} if name == "ranch" else {}),
                }
                for file, text in texts.items():
                    member = tarfile.TarInfo(f"rabbitmq-server-4/deps/{name}/{file}")
                    member.size = len(text)
                    archive.addfile(member, io.BytesIO(text.encode()))
        return path

    def has_built(self, *names: str) -> dict[str, Any]:
        """As an earlier set-up has left them; what `erl` then finds."""
        for name in names:
            (self.place / name / "src").mkdir(parents=True)
            (self.place / name / "src" / f"{name}.erl").write_text("old")
        return self.found(*names)

    def found(self, *names: str, version: str = "") -> dict[str, Any]:
        versions = self.libraries.VERSIONS
        app = sys.modules["provision.erlang"].App
        return {name: app(self.place / name, version or versions[name]) for name in names}

    def sources(self) -> dict[str, str]:
        """Each library that stands there, and whether it is the old or the new one."""
        return {path.stem: path.read_text() for path in sorted(self.place.glob("*/src/*.erl"))}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.syspath_prepend(ROOT / "tools")
    from provision import libraries

    return Machine(libraries, tmp_path, monkeypatch)


COWBOY = ("ranch", "cowlib", "cowboy")
RA = ("gen_batch_server", "aten", "seshat", "ra")


def test_an_empty_machine_builds_all_in_order(machine: Machine) -> None:
    machine.libraries.ensure({})
    assert machine.built == [*COWBOY, *RA]
    assert machine.sources() == dict.fromkeys(sorted((*COWBOY, *RA)), "new")
    assert {path.name for path in (machine.place / "ra").iterdir()} == {
        "ebin", "src", "LICENSE", "LICENSE-APACHE2",
    }  # fmt: skip


def test_a_machine_of_before_ra_gets_ra_and_keeps_the_others(machine: Machine) -> None:
    machine.libraries.ensure(machine.has_built(*COWBOY))
    assert machine.built == list(RA)
    old, new = dict.fromkeys(COWBOY, "old"), dict.fromkeys(RA, "new")
    assert machine.sources() == dict(sorted({**old, **new}.items()))
    assert [path.name for path in machine.deps.iterdir()] == ["erlang"]


def test_a_failed_build_leaves_what_was_there(machine: Machine) -> None:
    machine.broken = "ra"
    on_path = machine.has_built(*COWBOY)
    with pytest.raises(machine.libraries.SetupError, match=r"no Ra: .* ra does not build"):
        machine.libraries.ensure(on_path)
    assert machine.sources() == dict.fromkeys(sorted(COWBOY), "old")


def test_what_stands_beside_otp_is_not_built(machine: Machine) -> None:
    machine.libraries.ensure(machine.found(*COWBOY, version="2.20.0"))
    assert machine.built == list(RA)
    assert machine.sources() == dict.fromkeys(sorted(RA), "new")


def test_nothing_is_asked_where_all_is_there(machine: Machine) -> None:
    machine.hex = {"never"}
    machine.libraries.ensure(machine.has_built(*COWBOY, *RA))
    assert machine.built == []
    assert not (machine.root / "_build").exists()


def test_hex_may_give_what_is_missing_alone(machine: Machine) -> None:
    machine.hex = set(RA)
    on_path = machine.has_built(*COWBOY)
    machine.libraries.ensure(on_path)
    machine.libraries.ensure(on_path)
    assert machine.built == []
    assert machine.sources() == dict.fromkeys(sorted(COWBOY), "old")


def test_an_older_one_is_built_anew_with_its_group(machine: Machine) -> None:
    on_path = machine.has_built(*COWBOY, *RA) | machine.found("aten", version="0.5.0")
    machine.libraries.ensure(on_path)
    assert machine.built == list(RA)
    assert machine.sources()["cowboy"] == "old"
    assert machine.sources()["ra"] == "new"
