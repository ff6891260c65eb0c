"""The dashboard in Chromium: each page under load, without an error, with /metrics' numbers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from harness import Hornbeam, wait_until
from javascript_places import CHROMEDRIVER, CHROMIUM, chrome
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dashboard import PAGES, cells, dashboard_url, observed

# Set to a folder, it gets the screenshots that docs/images holds.
IMAGES = os.environ.get("HORNBEAM_SCREENSHOTS")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: python3 tools/setup.py browser"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with observed(schedule="tidy=dashboard_app:work;every=1h") as running:
        httpx.get(f"{running.url}/fill", timeout=60)
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    driver = chrome(tmp_path_factory.mktemp("profile"), "--window-size=1200,860", logs=True)
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@contextmanager
def load(server: Hornbeam) -> Iterator[None]:
    """One request after the other, some of them errors, and two that wait until it is left."""
    done = threading.Event()
    waiting = [
        threading.Thread(target=httpx.get, args=[f"{server.url}/wait"], kwargs={"timeout": 300})
        for _ in range(2)
    ]

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            number = 0
            while not done.wait(0.01):
                number += 1
                client.get({0: "/fail", 7: "/items", 9: "/log"}.get(number % 40, "/"))

    thread = threading.Thread(target=ask)
    for each in (thread, *waiting):
        each.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        while any(each.is_alive() for each in waiting):
            httpx.get(f"{server.url}/go", timeout=60)
            for each in waiting:
                each.join(0.1)


def text(browser: Chrome, selector: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def shot(browser: Chrome, name: str) -> None:
    if IMAGES:
        browser.save_screenshot(str(Path(IMAGES) / f"dashboard_{name}.png"))


def complaints(browser: Chrome) -> list[str]:
    """What the console has had since the last look, but for what was closed by going on."""
    logs: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [log["message"] for log in logs]


def requests(browser: Chrome) -> set[str]:
    """The hosts that were asked since the last look."""
    events: list[dict[str, str]] = browser.get_log("performance")  # type: ignore[no-untyped-call]
    sent = [
        event["message"].partition('"request":{')[2].partition('"url":"')[2].partition('"')[0]
        for event in events
        if '"Network.requestWillBeSent"' in event["message"]
    ]
    # Not the pages that the browser begins with.
    return {urlsplit(url).netloc for url in sent if url.startswith(("http", "ws"))}


POINTS = "return fetch('/series').then(a => a.json()).then(series => series.points.length)"


def overview_moves(browser: Chrome) -> None:
    charts = (By.CSS_SELECTOR, "figure .uplot")
    wait_until(lambda: len(browser.find_elements(*charts)) == 4, 60, "the charts are drawn")
    enough = 60 if IMAGES else 3
    wait_until(lambda: browser.execute_script(POINTS) >= enough, 120, "there are points")
    before = text(browser, "#total")
    wait_until(lambda: text(browser, "#total") != before, 60, "the overview moves")


def test_each_page_moves_under_load_and_complains_of_nothing(
    server: Hornbeam, browser: Chrome
) -> None:
    base = dashboard_url(server)
    with load(server):
        for path in PAGES:
            browser.get(base + path)
            wait_until(lambda: text(browser, "#connection") == "Live", 60, f"{path} is live")
            name = path.strip("/") or "overview"
            if path == "/":
                overview_moves(browser)
            shot(browser, name)
            assert complaints(browser) == [], path
            assert browser.execute_script("return window.hacked") is None, path
            headings = browser.find_elements(By.CSS_SELECTOR, "h1")
            assert len(headings) == 1 and headings[0].text
            wide = "return document.documentElement.scrollWidth > window.innerWidth"
            assert browser.execute_script(wide) is False, path
    assert requests(browser) == {urlsplit(base).netloc}


def test_the_numbers_of_the_page_are_those_of_the_metrics(
    server: Hornbeam, browser: Chrome
) -> None:
    metrics = server.wait_for_output(r"metrics on (http://\S+)", 60).group(1) + "/metrics"
    browser.get(dashboard_url(server))
    for path in ("/", "/fail", "/"):
        httpx.get(server.url + path, timeout=60)

    def same() -> bool:
        figures = httpx.get(metrics, timeout=60).text
        return all(
            f'hornbeam_requests_total{{status="{status}"}} {counts[0]}\n' in figures
            for status, counts in cells(browser, "total").items()
        )

    wait_until(same, 60, "both say the same")
    browser.get(dashboard_url(server) + "/workers")

    def same_workers() -> bool:
        figures = httpx.get(metrics, timeout=60).text
        rows = cells(browser, "pool-1")
        name = "hornbeam_worker_requests_total"
        return len(rows) == 2 and all(
            f'{name}{{mount="/",worker="{number}",pid="{row[1]}"}} {row[3]}\n' in figures
            for number, row in rows.items()
        )

    wait_until(same_workers, 60, "workers, too")


def test_a_worker_is_replaced_by_the_keyboard_alone(server: Hornbeam, browser: Chrome) -> None:
    browser.get(dashboard_url(server) + "/workers")
    ready = ["ready", "ready"]
    wait_until(lambda: [r[0] for r in cells(browser, "pool-1").values()] == ready, 60, "ready")
    before = cells(browser, "pool-1")["1"][1]
    # The first stop of the keyboard leads past the menu.
    ActionChains(browser).send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.text == "To the content"
    button = browser.find_element(By.CSS_SELECTOR, "button[aria-label='Replace worker 1 of /']")
    browser.execute_script("arguments[0].focus()", button)
    # What moves around it leaves it where it is.
    lag = text(browser, "#pool-1")
    wait_until(lambda: text(browser, "#pool-1") != lag, 60, "the page moves")
    focused = browser.switch_to.active_element
    assert focused.get_attribute("aria-label") == "Replace worker 1 of /"
    focused.send_keys(Keys.ENTER)
    wait_until(lambda: "did=replace" in browser.current_url, 60, "it was asked for")
    assert "A new worker is being started" in text(browser, ".said")
    wait_until(
        lambda: (
            (rows := cells(browser, "pool-1")).get("1", ["", before])[1] != before
            and len(rows) == 2
        ),
        60,
        "another one serves",
    )
    assert complaints(browser) == []


def test_a_profile_is_a_picture(server: Hornbeam, browser: Chrome) -> None:
    browser.get(dashboard_url(server) + "/workers")
    # Not the one that another test replaces.
    button = browser.find_element(By.CSS_SELECTOR, "button[aria-label^='Profile 10 s worker 2 ']")
    if not IMAGES:
        browser.execute_script(
            """const field = document.createElement("input");
            [field.name, field.value, field.type] = ["seconds", "1", "hidden"];
            arguments[0].form.append(field);""",
            button,
        )
    done = threading.Event()

    def busy() -> None:
        while not done.is_set():
            httpx.get(f"{server.url}/busy", timeout=60)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        button.click()
        wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".flame svg"), 120, "it is there")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert complaints(browser) == []
    shot(browser, "profile")


def test_it_can_be_held(server: Hornbeam, browser: Chrome) -> None:
    browser.get(dashboard_url(server) + "/workers")
    wait_until(lambda: text(browser, "#connection") == "Live", 60, "it is live")
    pause = browser.find_element(By.ID, "pause")
    pause.click()
    assert (pause.text, text(browser, "#connection")) == ("Go on", "Paused")
    pause.click()
    wait_until(lambda: text(browser, "#connection") == "Live", 60, "it is live again")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark_and_on_a_phone(
    server: Hornbeam, browser: Chrome, scheme: str
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for path in PAGES:
            browser.get(dashboard_url(server) + path)
            wide = "return document.documentElement.scrollWidth <= window.innerWidth"
            assert browser.execute_script(wide), path
            assert contrast(browser) >= 4.5, path
            if path == "/" and scheme == "dark":
                shot(browser, "phone")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(browser: Chrome) -> float:
    """The least contrast of a text on what is behind it (WCAG 2.1, 1.4.3: 4.5 at least)."""
    return float(browser.execute_script(_CONTRAST))


_CONTRAST = """
const light = ([r, g, b]) => {
  const part = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const [x, y, z] = [r, g, b].map((c) => part(c / 255));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const parts = (color) => color.match(/[0-9.]+/g).map(Number);
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = parts(getComputedStyle(at).backgroundColor);
    if (color.length === 3 || color[3] > 0) return color;
  }
  return [255, 255, 255];
};
let least = 21;
const texts = "h1, h2, h3, p, a, dt, dd, th, td, button, caption, label, summary";
for (const element of document.querySelectorAll(texts)) {
  if (!element.innerText.trim()) continue;
  const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
  least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
}
return least;
"""


def test_without_javascript_the_tables_are_there(server: Hornbeam, browser: Chrome) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(dashboard_url(server))
        browser.find_element(By.CSS_SELECTOR, "#recent summary").click()
        assert "Requests/s" in text(browser, "#recent table")
        browser.get(dashboard_url(server) + "/workers")
        browser.find_element(By.CSS_SELECTOR, "button[aria-label='Replace worker 2 of /']").click()
        wait_until(lambda: "did=" in browser.current_url, 60, "the button works")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_an_application_beside_it_cannot_press_its_buttons(
    server: Hornbeam, browser: Chrome
) -> None:
    base = dashboard_url(server)
    browser.get(base + "/workers")
    # Another origin of the same site, which browsers send the cookie from.
    browser.get(server.url)
    sent = browser.execute_async_script(
        """const [url, done] = arguments;
        const body = new URLSearchParams(
          {action: "drain", kind: "mount", place: "/", worker: "1"});
        fetch(url, {method: "POST", mode: "no-cors", credentials: "include", body})
          .then(answer => done(answer.type), error => done(String(error)))""",
        base + "/actions",
    )
    assert sent in ("opaque", "TypeError: Failed to fetch")
    server.wait_for_output(r"dashboard: a forged request of 127.0.0.1 was refused", 60)
    assert "asks: drain worker 1" not in server.output
    browser.get_log("browser")  # type: ignore[no-untyped-call]
