"""Pages of docs/, done as they say: those named in SECTIONS."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from pages import DOCS, ROOT, Block, commands, sections
from recipes import Recipe

PAGES = (
    "getting-started", "frameworks", "mounts", "http-hooks", "hooks", "affinity", "static", "cache",
    "rate-limits", "socketio",
)  # fmt: skip
SECTIONS = {
    (page, title): blocks
    for page in PAGES
    for title, blocks in sections((DOCS / f"{page}.md").read_text()).items()
    if any(block.title for block in blocks)
}


def installed(blocks: list[Block]) -> list[str]:
    """The packages that a section has installed, without Hornbeam."""
    typed = [command.text for block in blocks for command in commands(block)]
    words = [word for text in typed if text.startswith("pip install ") for word in text.split()[2:]]
    return [word for word in words if word != "hornbeam" and not word.startswith(("-", "dist/"))]


@pytest.mark.parametrize(("page", "title"), SECTIONS)
def test_what_a_page_says(page: str, title: str, tmp_path: Path) -> None:
    blocks = SECTIONS[page, title]
    for package in installed(blocks):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make setup")
    with Recipe(tmp_path) as recipe:
        recipe.follow(blocks)


def test_what_the_pages_install_is_installed_by_the_set_up() -> None:
    """So that `make test` skips none of them."""
    texts = [(ROOT / "requirements" / name).read_text() for name in ("run.txt", "test.txt")]
    required = set(re.findall(r"^([a-z0-9_-]+)", "\n".join(texts), re.MULTILINE))
    wanted = {package for blocks in SECTIONS.values() for package in installed(blocks)}
    assert {"fastapi", "django", "channels", "sanic", "flask"} <= wanted
    assert wanted - required == set()


def test_each_framework_has_its_recipe() -> None:
    titles = {title for page, title in SECTIONS if page == "frameworks"}
    table = (DOCS / "frameworks.md").read_text().partition("## ")[0]
    rows = re.findall(r"^\| \[([^]]+)\]\(#", table, re.MULTILINE)
    assert len(rows) == 10
    assert set(rows) <= titles
