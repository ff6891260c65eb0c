"""The documentation as a whole: every page is in the navigation of the site, every link leads
somewhere, code parses, and commands, flags and variables that pages name are there."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from pages import DOCS, ROOT, Block, anchors, blocks, commands, links, name_of, pages

# Pages and commands that other changes bring; each name goes when what it names is there.
ANNOUNCED_PAGES = {"docs/configuration.md"}
ANNOUNCED_COMMANDS = {"dev", "config"}

PAGES = pages()
NAMES = [name_of(page) for page in PAGES]
BLOCKS = [(page, block) for page in PAGES for block in blocks(page.read_text())]
TYPED = {"sh", "console", "dockerfile", "procfile", "ini", "yaml"}
# Flags of other programs, by the pages that name them outside of a block.
OTHERS_FLAGS = {
    "docs/deployment.md": {"--stop-timeout", "--cpus", "--init"},
    "docs/troubleshooting.md": {"--NAME", "--ulimit"},
    "docs/operations.md": {"--pause"},
}
# Pages that are about other programs' flags; options.md is made from the table of flags itself.
FOREIGN = {"docs/options.md", "docs/comparison.md", "docs/coming-from.md", "docs/performance.md"}


def ids(cases: list[tuple[Path, Block]]) -> list[str]:
    return [f"{name_of(page)}:{block.line}" for page, block in cases]


# Navigation and links


def test_every_page_is_in_the_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    listed = re.findall(r": (\S+\.md)$", config.partition("\nnav:")[2], re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(NAMES) - set(listed) == set()
    assert set(listed) - set(NAMES) <= ANNOUNCED_PAGES


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = [link for link in links(page.read_text()) if not leads_somewhere(page, link)]
    assert dead == []


def leads_somewhere(page: Path, link: str) -> bool:
    """A place outside is not asked: tests need no network."""
    if re.match(r"(https?|mailto):", link):
        return True
    path, _, anchor = unquote(link).partition("#")
    target = (page.parent / path).resolve() if path else page
    if name_of(target) in ANNOUNCED_PAGES and not target.exists():
        return True
    if not target.is_file() or not target.is_relative_to(ROOT):
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target.read_text()))


def test_what_is_a_link_and_what_an_anchor() -> None:
    assert links("[a](b.md#c) `[no](x)` ![d](e.png)") == ["b.md#c", "e.png"]
    assert anchors("# A, and `b_c`\n## Two\n## Two\n```sh\n# none\n```\n") == {
        "a-and-b_c", "two", "two-1",
    }  # fmt: skip
    assert not leads_somewhere(DOCS / "http.md", "no-such-page.md")
    assert not leads_somewhere(DOCS / "http.md", "options.md#no-such-part")
    assert leads_somewhere(DOCS / "http.md", "options.md#listeners")


def test_what_pages_link_to_is_part_of_the_site() -> None:
    """tools/website.py takes these folders along."""
    shown = re.findall(
        r'"([^"]+)"', (ROOT / "tools" / "website.py").read_text().partition("SHOWN =")[2]
    )
    for page in PAGES:
        for link in links(page.read_text()):
            if not re.match(r"(https?:|mailto:|#)", link):
                target = (page.parent / link.partition("#")[0]).resolve()
                assert any(target.is_relative_to(ROOT / name) for name in shown), (page, link)


# Code

PYTHON = [(page, block) for page, block in BLOCKS if block.language in ("python", "py")]


@pytest.mark.parametrize(("page", "block"), PYTHON, ids=ids(PYTHON))
def test_python_parses(page: Path, block: Block) -> None:
    tree = ast.parse(block.text, f"{name_of(page)}:{block.line}")
    if block.title:  # a whole file
        compile(tree, block.title, "exec")


def test_every_block_says_its_language() -> None:
    bare = [f"{name_of(page)}:{block.line}" for page, block in BLOCKS if not block.language]
    assert [place for place in bare if not place.startswith("docs/architecture.md:")] == []


# Commands


@cache
def help_text() -> str:
    done = subprocess.run(
        [ROOT / "bin" / "hornbeam", "help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + (ROOT / "config" / "release.sh").read_text().partition("TEXT\n}")[0]


@cache
def flags() -> set[str]:
    commands = help_text().partition("Usage:")[2].partition("\n\n")[0]
    lines = "\n".join(re.findall(r"^  -.*", help_text(), re.MULTILINE))
    return set(re.findall(r"(?<![a-z-])--[a-z-]+", commands + lines))


@cache
def subcommands() -> set[str]:
    return set(re.findall(r"^  hornbeam ([a-z_]+)", help_text(), re.MULTILINE))


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def lines(text: str) -> Iterator[str]:
    """What is typed: lines of blocks, and code within lines that begins as a command does."""
    for block in blocks(text):
        if block.language == "console":
            yield from (command.text.replace("\\\n", " ") for command in commands(block))
        elif block.language in TYPED:
            yield from block.text.replace("\\\n", " ").splitlines()
    without = re.sub(r"(?ms)^```.*?^```$", "", text)
    yield from re.findall(r"`((?:bin/)?hornbeam [^`\n]+|make [^`\n]+)`", without)


COMMAND = re.compile(r"(?:^|[\s/(])hornbeam ([a-z_]+)((?: [^|;&]*)?)")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_commands_are_there(page: Path) -> None:
    for line in lines(page.read_text()):
        for command, rest in COMMAND.findall(line.partition("  #")[0]):
            if line.startswith(("FROM ", "COPY ", "RUN ", "pip ", "#", "Description")):
                continue
            assert command in subcommands() | ANNOUNCED_COMMANDS, line
            for flag in re.findall(r"(?<= )--[a-z-]+", rest):
                assert flag in flags() | {"--help"} or command in ANNOUNCED_COMMANDS, line


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_targets_of_make_are_there(page: Path) -> None:
    for line in lines(page.read_text()):
        for word in re.findall(r"(?:^|&& )make ((?:-C \S+ )?[a-z-]+)", line):
            assert word.split()[-1] in make_targets(), line


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_flags_within_lines_are_there(page: Path) -> None:
    if name_of(page) in FOREIGN or "results" in name_of(page):
        return
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text())
    known = flags() | OTHERS_FLAGS.get(name_of(page), set())
    for code in re.findall(r"`(--[a-zA-Z][^`\n]*)`", text):
        (flag, *_) = re.split(r"[ =]", shlex.split(code.replace("[", " "))[0])
        assert flag in known, code


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_environment_variables_are_there(page: Path) -> None:
    options = re.findall(r"^\| `(\w+)`", (DOCS / "options.md").read_text(), re.MULTILINE)
    known = {f"HORNBEAM_{key.upper()}" for key in options} | other_variables()
    placeholders = {"HORNBEAM_KEY"}
    named = set(re.findall(r"\bHORNBEAM_[A-Z_]*[A-Z]\b", page.read_text()))
    assert named - known - placeholders == set()


@cache
def other_variables() -> set[str]:
    """What the launchers, the packages and the tools read."""
    files = [ROOT / "config" / "release.sh", *(ROOT / "tools").rglob("*.py")]
    files += [*(ROOT / "priv" / "python").rglob("*.py"), *(ROOT / "src" / "base").glob("*.erl")]
    found = (re.findall(r"\bHORNBEAM_[A-Z_]*[A-Z]\b", file.read_text()) for file in files)
    return {name for names in found for name in names}


def test_the_figures_of_the_readme_are_those_of_the_results() -> None:
    """Of each row that cites results: requests and deliveries a second, by their digits."""
    rows = re.findall(r"^\|.*bench/results/.*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    figures = 0
    for row in rows:
        cited = [ROOT / name for name in re.findall(r"\((bench/results/\w+\.md)\)", row)]
        results = " ".join(file.read_text() for file in cited)
        for figure in re.findall(r"(?<= |\*)\d{2,3},\d{3}(?= |\*)", row.partition("|")[2]):
            if figure != "10,000":  # how many connections, not what came of them
                figures += 1
                assert re.search(rf"\b{figure}\b", results), f"{figure}: {row}"
    assert figures >= 4
