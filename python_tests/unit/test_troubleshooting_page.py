"""docs/troubleshooting.md has every text with which a start fails: those of hornbeam_reason, of the
command line, of the launcher, and each kind of failure that a worker can tell of."""

from __future__ import annotations

import ast
import re

import pytest
from pages import DOCS, ROOT

from hornbeam_worker.failure import FailureKind

PAGE = " ".join((DOCS / "troubleshooting.md").read_text().split())
REASONS = (ROOT / "src" / "base" / "hornbeam_reason.erl").read_text()
FRAMES = (ROOT / "src" / "wire" / "hornbeam_frame.erl").read_text()


def clauses(function: str) -> dict[str, list[str]]:
    """Of a function of hornbeam_reason the texts of each clause, by what it takes."""
    heads = list(re.finditer(rf"^{function}\((.*?)\)(?: when .*)? ->", REASONS, re.MULTILINE))
    found: dict[str, list[str]] = {}
    for head in heads:
        body = REASONS[head.end() :]
        end = re.search(r"^[a-z_]+\(|^%|^-", body, re.MULTILINE)
        code = body[: end.start()] if end else body
        joined = re.sub(r'"\s*\n\s*"', "", code)
        texts = re.findall(r'"((?:[^"\\]|\\.)*)"', joined)
        found.setdefault(head.group(1), []).extend(texts)
    return found


FORMATS = clauses("format")
TEXTS = {
    (function, head): texts
    for function in ("format", "certificate_reason", "posix", "listen_reason")
    for head, texts in clauses(function).items()
}


def fragments(text: str) -> list[str]:
    """What is fixed in a format."""
    parts = (part.strip(" ,;:()") for part in re.split(r"~[-0-9.]*[a-z]+|\\n", text))
    return [part for part in parts if re.search(r"[a-z]{2}", part)]


def test_the_source_is_understood() -> None:
    assert len(FORMATS) > 25
    assert fragments("cannot listen on ~ts: ~ts") == ["cannot listen on"]
    assert "neither an application nor a mount is given" in FORMATS["no_application"]


@pytest.mark.parametrize("key", TEXTS, ids=str)
def test_every_reason_is_on_the_page(key: tuple[str, str]) -> None:
    for text in TEXTS[key]:
        for fragment in fragments(text):
            assert fragment in PAGE, fragment


@pytest.mark.parametrize("kind", FailureKind, ids=lambda kind: kind.name.lower())
def test_every_kind_of_failure_of_a_worker_is_on_the_page(kind: FailureKind) -> None:
    """By way of the reason that it is in Erlang."""
    found = re.search(
        rf"^failure\({kind.value}, Text\) -> \{{ok, \{{(\w+), Text\}}\}}", FRAMES, re.M
    )
    assert found, "hornbeam_frame does not know it"
    assert found.group(1) == kind.name.lower()
    texts = [texts for head, texts in FORMATS.items() if head.startswith(f"{{{kind.name.lower()},")]
    assert texts, "hornbeam_reason has no text for it"
    said = [fragment for text in texts[0] for fragment in fragments(text)]
    if kind is FailureKind.PYTHON_UNSUPPORTED:  # the worker makes the whole text
        said = ["Hornbeam needs"]
    assert said
    assert all(fragment in PAGE for fragment in said)


def test_the_errors_of_the_interface_are_on_the_page() -> None:
    """What hornbeam:start/2 and serve/2 return themselves."""
    source = (ROOT / "src" / "hornbeam.erl").read_text()
    own = set(re.findall(r"\{error, ([a-z_]+)\}[;.]", source)) - {"not_found", "not_registered"}
    assert own == {"no_application"}
    assert fragments(FORMATS["no_application"][0])[0] in PAGE


def strings(path: str) -> list[str]:
    """The texts of what a module raises as CannotStart."""
    tree = ast.parse((ROOT / path).read_text())
    raised = [
        node.exc.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args
    ]
    return [
        part.value
        for argument in raised
        for part in ast.walk(argument)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]


def test_the_launchers_errors_are_on_the_page() -> None:
    texts = strings("priv/python/hornbeam/vm.py")
    assert len(texts) >= 3
    for text in texts:
        assert text.split(";")[0].strip(" `") in PAGE, text


def test_the_errors_of_the_command_line_are_on_the_page() -> None:
    """Those of hornbeam_cli and of reading flags: the first words of each."""
    cli = (ROOT / "src" / "cli" / "hornbeam_cli.erl").read_text()
    sources = (ROOT / "src" / "options" / "hornbeam_option_sources.erl").read_text()
    texts = re.findall(r'usage_error\(\[?"([^"]+)"', cli)
    texts += re.findall(r'failed\(\[?io_lib:format\("([^~]+)', cli)
    texts += re.findall(r'\{error, \["(the flag --)', sources)
    texts += re.findall(r'"( needs a value| takes no value|unknown flag )"', sources)
    aliases = (ROOT / "src" / "options" / "hornbeam_option_aliases.erl").read_text()
    texts += re.findall(r'"([a-z ]+not taken here: )"', aliases)
    texts += re.findall(r'error, "([^"]+)"', aliases)
    assert len(texts) > 6
    for text in texts:
        assert text.strip() in PAGE, text
