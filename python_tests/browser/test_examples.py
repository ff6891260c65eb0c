"""The WebSocket examples in a real browser: Chromium, driven by Selenium."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until
from javascript_places import CHROMEDRIVER, CHROMIUM, built, chrome, needs_browser
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By

# Set to a folder, it gets the screenshots that docs/images holds.
IMAGES = os.environ.get("HORNBEAM_SCREENSHOTS")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: python3 tools/setup.py browser"
)


@pytest.fixture
def browsers(tmp_path: Path) -> Iterator[list[Chrome]]:
    """Two windows that know nothing of each other."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(chrome(tmp_path / name, "--window-size=820,640"))
            for name in ("one", "two")
        ]


def shot(browser: Chrome, name: str) -> None:
    if IMAGES:
        browser.save_screenshot(str(Path(IMAGES) / f"{name}.png"))


def text(browser: Chrome, selector: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def join(browser: Chrome, url: str, name: str, room: str) -> None:
    browser.get(url)
    for field, value in (("#name", name), ("#room", room)):
        element = browser.find_element(By.CSS_SELECTOR, field)
        element.clear()
        element.send_keys(value)
    browser.find_element(By.CSS_SELECTOR, "#join button").click()


def say(browser: Chrome, words: str) -> None:
    browser.find_element(By.CSS_SELECTOR, "#text").send_keys(words)
    browser.find_element(By.CSS_SELECTOR, "#say button").click()


def test_two_windows_chat(browsers: list[Chrome]) -> None:
    folder = str(ROOT / "examples" / "websocket_chat")
    with Hornbeam("app:app", pythonpath=folder, workers=2) as server:
        ada, bob = browsers
        join(ada, server.url, "Ada", "garden")
        join(bob, server.url, "Bob", "garden")
        for browser in browsers:
            wait_until(lambda b=browser: text(b, "#names") == "Ada, Bob", 15, "both are there")  # type: ignore[misc]
        say(ada, "Hello Bob!")
        wait_until(lambda: text(bob, "#log") == "Ada: Hello Bob!", 15, "Bob sees it")
        say(bob, "<b>Hi</b> Ada \u2014 how is the hornbeam?")
        lines = "Ada: Hello Bob!\nBob: <b>Hi</b> Ada \u2014 how is the hornbeam?"
        for browser in browsers:
            wait_until(lambda b=browser: text(b, "#log") == lines, 15, "both see both")  # type: ignore[misc]
        shot(ada, "websocket_chat")
        bob.get("about:blank")
        wait_until(lambda: text(ada, "#names") == "Ada", 15, "Bob has left")


@needs_browser
def test_a_chat_on_channels_loses_nothing(browsers: list[Chrome]) -> None:
    built()
    folder = ROOT / "examples" / "channels_chat"
    config = folder / "hornbeam.toml"
    with Hornbeam(None, config=config, cwd=folder, pythonpath=str(folder)) as server:
        ada, bob = browsers
        join(ada, server.url, "Ada", "staff")
        wait_until(lambda: text(ada, "#error") == "this room is closed", 15, "it is refused")
        join(ada, server.url, "Ada", "garden")
        join(bob, server.url, "Bob", "garden")
        for browser in browsers:
            wait_until(lambda b=browser: text(b, "#names") == "Ada, Bob", 15, "both are there")  # type: ignore[misc]
        ada.find_element(By.CSS_SELECTOR, "#text").send_keys("Hello")
        wait_until(lambda: text(bob, "#typing") == "Ada is typing\u2026", 15, "Bob sees her type")
        say(ada, " Bob!")
        wait_until(lambda: text(bob, "#log") == "Ada: Hello Bob!", 15, "Bob sees it")
        assert text(bob, "#typing") == ""
        bob.find_element(By.CSS_SELECTOR, "#wire").click()
        wait_until(lambda: text(ada, "#names") == "Ada", 15, "Bob has gone")
        say(ada, "Still there?")
        say(ada, "Bob?")
        lines = "Ada: Hello Bob!\nAda: Still there?\nAda: Bob?"
        wait_until(lambda: text(ada, "#log") == lines, 15, "Ada sees what she says")
        assert text(bob, "#log") == "Ada: Hello Bob!"
        bob.find_element(By.CSS_SELECTOR, "#wire").click()
        wait_until(lambda: text(bob, "#log") == lines, 15, "Bob gets what he has missed")
        say(bob, "<b>Yes</b>")
        for browser in browsers:
            wait_until(lambda b=browser: text(b, "#log") == f"{lines}\nBob: <b>Yes</b>", 15, "both")  # type: ignore[misc]
        wait_until(lambda: text(ada, "#names") == "Ada, Bob", 15, "both are there again")
        say(ada, " ")
        wait_until(lambda: text(ada, "#error") == "there is nothing to say", 15, "and why not")
        shot(ada, "channels_chat")


@needs_browser
def test_pointers_move_in_every_window(browsers: list[Chrome]) -> None:
    built()
    folder = ROOT / "examples" / "live_cursors"
    config = folder / "hornbeam.toml"
    with Hornbeam(None, config=config, cwd=folder, pythonpath=str(folder)) as server:
        ada, bob = browsers
        ada.get(f"{server.url}/?name=Ada")
        bob.get(f"{server.url}/watch")
        wait_until(lambda: text(ada, "#state") == "playing as Ada", 15, "Ada plays")
        wait_until(lambda: text(bob, "#state") == "watching", 15, "Bob watches")
        point(ada, 100, 50)
        for browser in browsers:
            wait_until(lambda b=browser: pointers(b).get("Ada"), 15, "her pointer is there")  # type: ignore[misc]
        before = pointers(bob)["Ada"]
        assert pointers(ada)["Ada"] == before
        bob.get(f"{server.url}/?name=Bob")
        wait_until(lambda: text(bob, "#state") == "playing as Bob", 15, "Bob plays")
        point(bob, 200, 90)
        point(ada, 300, 150)
        wait_until(lambda: len(pointers(bob)) == 2, 15, "both see both")
        wait_until(lambda: set(pointers(ada)) == {"Ada", "Bob"}, 15, "both see both")
        assert pointers(bob)["Ada"] != before
        shot(ada, "live_cursors")
        bob.get("about:blank")
        wait_until(lambda: list(pointers(ada)) == ["Ada"], 15, "Bob has gone")


def point(browser: Chrome, x: int, y: int) -> None:
    """Moves the pointer over the board."""
    board = browser.find_element(By.CSS_SELECTOR, "#board")
    actions = ActionChains(browser, duration=40)
    actions.move_to_element_with_offset(board, 0, 0).move_by_offset(x, y).perform()


def pointers(browser: Chrome) -> dict[str, str]:
    """Whose pointers a page shows, and where."""
    found: list[list[str]] = browser.execute_script(
        "return [...document.querySelectorAll('.pointer')].map(p => [p.innerText, p.dataset.at])"
    )
    return {name: place for name, place in found}


def test_the_dashboard_moves_in_two_windows(browsers: list[Chrome]) -> None:
    folder = str(ROOT / "examples" / "live_dashboard")
    updates = 20 if IMAGES else 3
    with Hornbeam("app:app", pythonpath=folder, workers=2) as server:
        for browser in browsers:
            browser.get(server.url)
        with httpx.Client(base_url=server.url) as client:
            for browser in browsers:

                def seen(b: Chrome = browser) -> bool:
                    client.get("/")
                    return int(text(b, "#updates")) >= updates and text(b, "#requests") not in (
                        "-",
                        "0",
                    )

                wait_until(seen, 30, "the figures arrive")
        assert text(browsers[0], "#worker").isdigit()
        drawn = """return new Set(document.getElementById("chart").getContext("2d")
            .getImageData(0, 0, 920, 320).data).size"""
        assert browsers[0].execute_script(drawn) > 2
        shot(browsers[0], "live_dashboard")


def test_a_model_talks_until_the_tab_is_closed(browsers: list[Chrome]) -> None:
    folder = str(ROOT / "examples" / "llm_chat")
    service = "llm=llm:Model;concurrency=4;queue=20"
    with Hornbeam("app:app", pythonpath=folder, workers=2, service=service) as server:

        def generating() -> int:
            return int(httpx.get(f"{server.url}/generating").text)

        for browser in browsers:
            browser.get(server.url)
            browser.find_element(By.ID, "go").click()
        for browser in browsers:
            wait_until(lambda b=browser: int(text(b, "#count")) >= 10, 20, "it talks")  # type: ignore[misc]
        assert generating() == 2
        shot(browsers[0], "llm_chat")
        # The tab alone: the browser goes on with another one.
        tab = browsers[0].current_window_handle
        browsers[0].switch_to.new_window("tab")
        other = browsers[0].current_window_handle
        browsers[0].switch_to.window(tab)
        browsers[0].close()
        browsers[0].switch_to.window(other)
        wait_until(lambda: generating() == 1, 20, "the closed tab's answer has ended")
        browsers[1].find_element(By.ID, "stop").click()
        wait_until(lambda: generating() == 0, 20, "the stopped answer has ended")
        assert text(browsers[1], "#state") == "stopped"


def test_a_progress_bar_follows_its_job(browsers: list[Chrome], tmp_path: Path) -> None:
    browser = browsers[0]
    folder = str(ROOT / "examples" / "background_jobs")
    with Hornbeam("app:app", pythonpath=folder, task_workers=1, data_dir=tmp_path / "d") as server:
        browser.get(server.url)
        buttons = browser.find_elements(By.CSS_SELECTOR, "[data-path]")
        buttons[1].click()
        wait_until(lambda: text(browser, "#jobs") != "", 20, "the job is shown")
        bar = browser.find_element(By.CSS_SELECTOR, "#jobs progress")
        wait_until(lambda: bar.get_property("max") == 20, 20, "it says how far it is")
        wait_until(lambda: "done" in text(browser, "#jobs"), 20, "it ends")
        assert "report of department 1" in text(browser, "#jobs")
        assert bar.get_property("value") == 20
        shot(browser, "background_jobs")


# --- the terminal ---

FAILING = """from fastapi import FastAPI

app = FastAPI()
prices = {1: 9.5}


@app.get("/items/{item}")
async def price(item: int) -> float:
    return prices[item]
"""


@pytest.mark.skipif(not IMAGES, reason="only a picture: HORNBEAM_SCREENSHOTS")
def test_what_hornbeam_dev_shows(tmp_path: Path) -> None:
    """Two requests, the second of which raises; and a file that is saved."""
    file = tmp_path / "shop.py"
    file.write_text(FAILING)
    server = Hornbeam("shop:app", pythonpath=str(tmp_path), bind="127.0.0.1:8000")
    server.command[1] = "dev"
    server.command.append("--use-colors")
    with server:
        server.wait_for_output("watching the application")
        assert httpx.get(f"{server.url}/items/1").text == "9.5"
        assert httpx.get(f"{server.url}/items/2").status_code == 500
        server.wait_for_output("KeyError: 2")
        file.write_text(FAILING.replace("9.5", "10.0"))
        server.wait_for_output("reloaded")
        wait_until(lambda: httpx.get(f"{server.url}/items/1").text == "10.0", 10, "the new code")
        shown = "$ hornbeam dev shop:app\n" + brief(server.output).replace(
            str(tmp_path), "/srv/shop"
        )
    page = tmp_path / "terminal.html"
    page.write_text(TERMINAL + coloured(shown) + "</pre>")
    with chrome(tmp_path / "terminal") as browser:
        browser.get(page.as_uri())
        browser.set_window_size(1000, 450)
        shot(browser, "hornbeam_dev")


TERMINAL = (
    "<meta charset=utf-8><style>body{margin:0;background:#1c1f26}"
    "pre{color:#d8dce3;font:13px/1.45 monospace;padding:14px;white-space:pre-wrap}"
    "i{font-style:normal}</style><pre>"
)
COLOURS = {"31": "#ff6b68", "32": "#6cc070", "33": "#e0b050", "34": "#6aa7ff", "35": "#c78fe0",
           "36": "#56b6c2", "2": "#8b93a1", "1": "#ffffff"}  # fmt: skip


def brief(output: str) -> str:
    """Without the frames of the framework's own files."""
    lines, skip = [], False
    for line in output.splitlines():
        if line.lstrip().startswith("File "):
            skip = "site-packages" in line
        elif not line.startswith("    "):
            skip = False
        if not skip:
            lines.append(line)
    return "\n".join(lines)


def coloured(output: str) -> str:
    """The sequences of a terminal (ECMA-48, SGR) as HTML."""
    escaped = html.escape(output, quote=False)
    escaped = re.sub(r"\x1b\[0?m", "</i>", escaped)
    return re.sub(
        r"\x1b\[(?:\d+;)*(\d+)m", lambda m: f"<i style='color:{COLOURS.get(m[1], '')}'>", escaped
    )
