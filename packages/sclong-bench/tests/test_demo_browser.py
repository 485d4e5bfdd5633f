"""The page in a real browser: silent, complete without a network, and fit for phones and paper.

Chromium is driven through its DevTools protocol over a pipe: a message is JSON and a zero byte.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time

import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
_PATIENCE = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)

pytestmark = pytest.mark.skipif(
    _BROWSER is None, reason="no Chromium here: install it (on Debian: apt-get install chromium)"
)


class Browser:
    """One tab of a headless Chromium, and everything it reported."""

    def __init__(self, profile):
        child_in, self._out = os.pipe()
        self._in, child_out = os.pipe()

        def place_pipes():
            first, second = os.dup(child_in), os.dup(child_out)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self._process = subprocess.Popen(
            [_BROWSER, *_FLAGS, f"--user-data-dir={profile}"],
            preexec_fn=place_pipes,  # noqa: PLW1509  # the protocol is spoken on 3 and 4
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(child_in)
        os.close(child_out)
        self._buffer, self._number, self._session = b"", 0, None
        self.events = []

    def open_tab(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._wait(lambda found: found.get("id") == self._number)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def go(self, path, *, width, height=800, mobile=False, dark=False):
        """Load a file at a size of the window; returns what was reported meanwhile."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        self._wait(lambda found: found.get("method") == "Page.loadEventFired")
        self.evaluate("new Promise(done => setTimeout(done, 200))")
        return list(self.events)

    def evaluate(self, expression):
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self):
        for end in (self._out, self._in):
            os.close(end)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _wait(self, wanted):
        """The first message that is wanted; all events are kept."""
        for message in self._messages():
            if "method" in message:
                self.events.append(message)
            if wanted(message):
                return message
        raise AssertionError("unreachable")

    def _messages(self):
        end = time.monotonic() + _PATIENCE
        while True:
            while b"\0" in self._buffer:
                message, self._buffer = self._buffer.split(b"\0", 1)
                yield json.loads(message)
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            read = os.read(self._in, 1 << 20)
            assert read, "Chromium has ended"
            self._buffer += read


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    try:
        browser.open_tab()
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="module")
def page(small_demo):
    return small_demo.folder / "report.html"


def complaints(events):
    methods = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    return [event for event in events if event["method"] in methods]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (390, True), (320, True)])
def test_the_page_is_silent_and_loads_only_itself(browser, page, width, mobile, dark):
    events = browser.go(page, width=width, mobile=mobile, dark=dark)
    assert complaints(events) == []
    asked = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert page.as_uri() in asked
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}


def test_the_browser_would_report_what_it_is_asked_to_report(browser, tmp_path):
    """The check above can fail: a page with a script and a picture from elsewhere is noticed."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><title>x</title><img src='https://example.invalid/x.png'>"
        "<script>console.error('x')</script>"
    )
    events = browser.go(bad, width=800)
    assert complaints(events)
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert "https://example.invalid/x.png" in urls


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(browser, page, width, opened):
    browser.go(page, width=width, mobile=width < 768)
    if opened:
        browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    widths = "[document.documentElement.scrollWidth, innerWidth]"
    needed, there = browser.evaluate(widths)
    assert there == width
    assert needed <= there


def test_all_figures_are_drawn_in_their_space(browser, page):
    browser.go(page, width=390, mobile=True)
    sizes = browser.evaluate(
        "[...document.querySelectorAll('figure .panels > svg')].map(svg => {"
        " const box = svg.getBoundingClientRect(); return [box.width, box.height] })"
    )
    assert len(sizes) == 4
    assert all(width > 300 and height > 100 for width, height in sizes)


def test_letters_of_figures_can_be_read_on_a_phone(browser, page):
    browser.go(page, width=390, mobile=True)
    heights = browser.evaluate(
        "[...document.querySelectorAll('figure svg text')]"
        ".map(text => text.getBoundingClientRect().height)"
    )
    assert min(heights) >= 8


def test_texts_of_a_figure_do_not_overlap(browser, page):
    browser.go(page, width=1280)
    overlaps = browser.evaluate(
        "[...document.querySelectorAll('figure svg')].flatMap(svg => {"
        " const t = [...svg.querySelectorAll('text')].map(e => [e.textContent,"
        "   e.getBoundingClientRect()]);"
        " return t.flatMap(([a, x], i) => t.slice(i + 1).filter(([b, y]) =>"
        "   x.left < y.right - 1 && y.left < x.right - 1 && x.top < y.bottom - 2"
        "   && y.top < x.bottom - 2).map(([b]) => a + ' / ' + b)) })"
    )
    assert overlaps == []


def test_colours_follow_the_theme(browser, page):
    ask = "getComputedStyle(document.body).backgroundColor"
    colours = []
    for dark in (False, True):
        browser.go(page, width=800, dark=dark)
        colours.append(browser.evaluate(ask))
    assert colours == ["rgb(253, 253, 251)", "rgb(21, 24, 28)"]


def test_the_page_prints(browser, page):
    browser.go(page, width=1280)
    printed = browser.call("Page.printToPDF", printBackground=True)
    pdf = base64.b64decode(printed["data"])
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 20_000
