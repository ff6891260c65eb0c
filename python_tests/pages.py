"""The pages of the documentation: which there are, their blocks of code, links and headings.

A block of code with a title, as in ```python title="app.py", is a file; a block of the language
`console` is what somebody types, each command behind "$ ", and what comes back.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# Pages outside docs/ that are part of the site (tools/website.py).
OUTER = [
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md",
    "examples/background_jobs/README.md", "examples/channels_chat/README.md",
    "examples/embedding_service/README.md", "examples/live_cursors/README.md",
    "examples/django_chat/README.md", "examples/llm_chat/README.md",
    "clients/javascript/README.md",
]  # fmt: skip
RESULTS = [
    "bench",
    "channels",
    "services",
    "smoke",
    "state",
    "static",
    "tasks",
    "websocket",
    "wsgi",
]

FENCE = re.compile(r"^```(\S*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)
LINK = re.compile(r"!?\[[^]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code and the line on which its text begins."""

    language: str
    title: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """What is typed at a prompt, and what comes back."""

    text: str
    output: str


def pages() -> list[Path]:
    """Every page that people read."""
    outer = [ROOT / name for name in OUTER]
    results = [ROOT / "bench" / "results" / f"{name}.md" for name in RESULTS]
    return [*outer, *sorted(DOCS.glob("*.md")), *results]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    return [
        Block(language, title, code, text.count("\n", 0, found.start()) + 2)
        for found in FENCE.finditer(text)
        for language, title, code in [found.groups(default="")]
    ]


def sections(text: str) -> dict[str, list[Block]]:
    """The blocks below each heading of the second level, by the heading."""
    without_code = FENCE.sub(lambda found: re.sub(r"(?m)^#", " ", found.group()), text)
    cuts = [found.start() for found in re.finditer(r"^## ", without_code, re.MULTILINE)]
    parts = [text[start:end] for start, end in itertools.pairwise([*cuts, len(text)])]
    return {part.partition("\n")[0].removeprefix("## "): blocks(part) for part in parts}


def commands(block: Block) -> list[Command]:
    """Of a console block; a line that ends with a backslash goes on."""
    found: list[Command] = []
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        length = next(n for n, line in enumerate(lines, 1) if not line.endswith("\\"))
        found.append(Command("\n".join(lines[:length]), "\n".join(lines[length:])))
    return found


def prose(text: str) -> str:
    """The text without its blocks of code and code within a line."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def links(text: str) -> list[str]:
    """Targets of links and images, without those of code."""
    return LINK.findall(re.sub(r"`[^`\n]*`", "code", FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """What a heading is linked by: GitHub's rule, which is the site's too (mkdocs.yml)."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found
