"""The links in the metadata of a wheel (tools/wheel_hook.py)."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness import ROOT


class Hook:
    """hatchling's, as far as it is needed: the set-up of the tests does not have it."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)

    def __class_getitem__(cls, _item: object) -> type[Hook]:
        return cls


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Any:
    build, metadata = "hatchling.builders.hooks.plugin", "hatchling.metadata.plugin"
    names = SimpleNamespace(BuildHookInterface=Hook, MetadataHookInterface=Hook)
    for name in ("hatchling", build, f"{build}.interface", metadata, f"{metadata}.interface"):
        monkeypatch.setitem(sys.modules, name, names)
    monkeypatch.delenv("HORNBEAM_HOME_PAGE", raising=False)
    monkeypatch.syspath_prepend(ROOT / "tools")
    monkeypatch.delitem(sys.modules, "wheel_hook", raising=False)
    import wheel_hook

    return wheel_hook.Links


def found(links: Any, root: Path) -> dict[str, str]:
    metadata: dict[str, dict[str, str]] = {}
    links(root).update(metadata)
    return metadata.get("urls", {})


def test_links_are_those_of_the_publisher_and_an_sdist_keeps_them(
    links: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(links, tmp_path) == {}
    monkeypatch.setenv("HORNBEAM_HOME_PAGE", "https://example.org/hornbeam/")
    given = found(links, tmp_path)
    assert given["Homepage"] == "https://example.org/hornbeam"
    assert given["Issues"] == "https://example.org/hornbeam/issues"
    for path in given.values():
        page = path.rpartition("/main/")[2] if "/main/" in path else ""
        assert (ROOT / page).exists()
    lines = [f"Project-URL: {name}, {link}" for name, link in given.items()]
    (tmp_path / "PKG-INFO").write_text("\n".join(["Name: hornbeam", *lines, "", "# Text"]))
    monkeypatch.delenv("HORNBEAM_HOME_PAGE")
    assert found(links, tmp_path) == given
