"""The dashboard of a server in tests: where it is, its pages as text and tables, its buttons."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import httpx
from harness import Hornbeam

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PAGES = (
    "/", "/applications", "/workers", "/routes", "/requests", "/background",
    "/topics", "/state", "/log", "/options", "/vm", "/cluster",
)  # fmt: skip


def observed(**options: Any) -> Hornbeam:
    """Two workers, a dashboard, and metrics to compare it with."""
    options |= {"dashboard_bind": "127.0.0.1:0", "metrics_bind": "127.0.0.1:0"}
    return Hornbeam("dashboard_app:app", workers=2, **options)


def dashboard_url(server: Hornbeam) -> str:
    """From the log, as a person finds it."""
    return server.wait_for_output(r"dashboard on (https?://[^\s,]+)", 60).group(1)


class Page(HTMLParser):
    """A page as a reader without JavaScript has it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.facts: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.forms: list[dict[str, str]] = []
        self._text = ""
        self._name = ""
        self._rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag in ("dt", "dd", "th", "td", "caption"):
            self._text = ""
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag == "form":
            self.forms.append({"": given.get("action", "")})
        elif tag == "input" and self.forms:
            self.forms[-1][given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "dt":
            self._name = self._text
        elif tag == "dd":
            self.facts[self._name] = self._text
        elif tag == "caption":
            self.tables[self._text] = []
            self._name = self._text
        elif tag in ("th", "td"):
            self._rows[-1].append(self._text)
        elif tag == "table":
            self.tables[self._name] = self._rows


def page(client: httpx.Client, path: str) -> Page:
    """A page that is there."""
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code, answer.text)
    return Page(answer.text)


def column(table: list[list[str]], heading: str) -> list[str]:
    """The cells below a heading."""
    at = table[0].index(heading)
    return [row[at] for row in table[1:]]


def csrf(client: httpx.Client) -> str:
    """What the buttons of the page send back."""
    match = re.search(r'name="csrf" value="([^"]+)"', client.get("/workers").text)
    assert match
    return match.group(1)


def cells(browser: Chrome, section: str) -> dict[str, list[str]]:
    """The rows of a table by their first cells, as a browser shows them now."""
    rows: list[list[str]] = browser.execute_script(
        """return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]
             .map(row => [...row.cells].map(cell => cell.innerText))""",
        section,
    )
    return {first: rest for first, *rest in rows}
