"""The WebSocket examples in a real browser: Chromium, driven by Selenium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)
DRIVER = shutil.which("chromedriver")
# Set to a folder, it gets the screenshots that docs/images holds.
IMAGES = os.environ.get("HORNBEAM_SCREENSHOTS")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="no Chromium: python3 tools/setup.py browser"
)


@pytest.fixture
def browsers(tmp_path: Path) -> Iterator[list[Chrome]]:
    """Two windows that know nothing of each other."""
    with ExitStack() as stack:
        yield [stack.enter_context(_browser(tmp_path / name)) for name in ("one", "two")]


def _browser(profile: Path) -> Chrome:
    assert CHROMIUM is not None and DRIVER is not None
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
        "--window-size=820,640", f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(argument)
    return Chrome(options=options, service=ChromeService(DRIVER))


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
