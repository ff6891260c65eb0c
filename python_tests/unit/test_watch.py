"""Which files the option `reload` watches, by patterns as uvicorn has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hornbeam_worker.watch import Filter, changes_by_polling

FILES = [
    "app.py", "types.pyi", "fast.pyx", "page.html", "notes.txt", ".env", ".hidden.py", "~app.py",
    "old.pyc", "sub/models.py", "sub/page.html", ".git/hook.py", "__pycache__/app.py",
    "node_modules/tool.py", "venv/lib/module.py", "drafts/new.py", "drafts/deep/new.py",
]  # fmt: skip
ALWAYS = {"app.py", "types.pyi", "fast.pyx", "sub/models.py"}
DRAFTS = {"drafts/new.py", "drafts/deep/new.py"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / ".cache" / "project"  # what is above the watched folder does not matter
    for name in [*FILES, "venv/pyvenv.cfg"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("includes", "excludes", "expected"),
    [
        ([], [], ALWAYS | DRAFTS),
        (["", ".env"], [""], ALWAYS | DRAFTS | {".env"}),
        (["*.html"], [], ALWAYS | DRAFTS | {"page.html", "sub/page.html"}),
        (["sub/*.html"], [], ALWAYS | DRAFTS | {"sub/page.html"}),
        (["*"], ["drafts"], ALWAYS | {"page.html", "sub/page.html", "notes.txt"}),
        ([".*"], [], ALWAYS | DRAFTS | {".env", ".hidden.py", ".git/hook.py"}),
        ([], ["*.py"], {"types.pyi", "fast.pyx"}),
        ([], ["models.py", "dr*"], ALWAYS - {"sub/models.py"}),
        (["models.py"], ["models.py"], ALWAYS | DRAFTS),
    ],
)
def test_patterns(
    project: Path, includes: list[str], excludes: list[str], expected: set[str]
) -> None:
    wanted = Filter([str(project)], includes, excludes)
    found = {name for name in FILES if wanted.counts(project / name)}
    assert found == expected


def test_directories_as_patterns(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    wanted = Filter([str(project)], [str(other)], [str(project / "drafts")])
    assert wanted.roots == [project, other]
    assert wanted.counts(other / "a.py")
    assert not wanted.counts(project / "drafts" / "deep" / "new.py")


def test_polling_asks_the_filter(project: Path) -> None:
    changes = changes_by_polling(Filter([str(project)], ["*.html"], ["drafts"]), interval=0.0)
    assert next(changes) == set()  # it has looked
    os.utime(project / "drafts" / "new.py", ns=(1, 1))
    os.utime(project / "page.html", ns=(1, 1))
    assert next(changes) == {str(project / "page.html")}
