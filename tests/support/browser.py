"""What tests of pages share: a headless Chromium, driven without any other package.

It is spoken to in its DevTools protocol over a pipe: a message is JSON and a zero byte.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

Message = dict[str, Any]
"""What is sent and received."""


def find_browser() -> str | None:
    """Path of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """One tab of a headless Chromium, and everything it reported.

    Args:
        profile: an empty folder.

    Raises:
        FileNotFoundError: there is no Chromium.
    """

    def __init__(self, profile: Path) -> None:
        program = find_browser()
        if program is None:
            raise FileNotFoundError("no Chromium is installed")
        child_in, self._out = os.pipe()
        self._in, child_out = os.pipe()

        def place_pipes() -> None:
            first, second = os.dup(child_in), os.dup(child_out)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self._process = subprocess.Popen(  # a browser, with flags that stand here
            [program, *_FLAGS, f"--user-data-dir={profile}"],
            preexec_fn=place_pipes,  # noqa: PLW1509  # the protocol is spoken on 3 and 4
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(child_in)
        os.close(child_out)
        self._buffer, self._number = b"", 0
        self._session: str | None = None
        self.events: list[Message] = []

    def open_tab(self) -> None:
        """Open the tab that everything else is about."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Message:
        """Call a method of the protocol, and wait for its answer."""
        self._number += 1
        message: Message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._wait(lambda found: found.get("id") == self._number)
        assert "error" not in answer, (method, answer)
        result: Message = answer["result"]
        return result

    def go(
        self,
        path: Path,
        *,
        width: int,
        height: int = 800,
        mobile: bool = False,
        dark: bool = False,
    ) -> list[Message]:
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

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript; promises are waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self) -> None:
        """End the browser."""
        for end in (self._out, self._in):
            os.close(end)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _wait(self, wanted: Callable[[Message], bool]) -> Message:
        """The first message that is wanted; all events are kept."""
        for message in self._messages():
            if "method" in message:
                self.events.append(message)
            if wanted(message):
                return message
        raise AssertionError("unreachable")

    def _messages(self) -> Iterator[Message]:
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


def complaints(events: list[Message]) -> list[Message]:
    """What the page wrote to the console, and what went wrong in it."""
    methods = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    return [event for event in events if event["method"] in methods]


def requests(events: list[Message]) -> set[str]:
    """Addresses that the page asked for."""
    return {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }


def letter_heights(browser: Browser) -> list[float]:
    """Heights of the texts in the figures of the page, in pixels."""
    found: list[float] = browser.evaluate(
        "[...document.querySelectorAll('figure svg text')]"
        ".map(text => text.getBoundingClientRect().height)"
    )
    return found


def overlapping_texts(browser: Browser, figures: str = "figure svg") -> list[str]:
    """Pairs of texts in a figure that lie over each other."""
    found: list[str] = browser.evaluate(
        f"[...document.querySelectorAll('{figures}')].flatMap(svg => {{"
        " const t = [...svg.querySelectorAll('text')].map(e => [e.textContent,"
        "   e.getBoundingClientRect()]);"
        " return t.flatMap(([a, x], i) => t.slice(i + 1).filter(([b, y]) =>"
        "   x.left < y.right - 1 && y.left < x.right - 1 && x.top < y.bottom - 2"
        "   && y.top < x.bottom - 2).map(([b]) => a + ' / ' + b)) })"
    )
    return found


def texts_outside(browser: Browser, figures: str = "figure svg") -> list[str]:
    """Texts of a figure that reach over its left or right edge."""
    found: list[str] = browser.evaluate(
        f"[...document.querySelectorAll('{figures}')].flatMap(svg => {{"
        " const box = svg.getBoundingClientRect();"
        " return [...svg.querySelectorAll('text')].filter(text => {"
        "   const place = text.getBoundingClientRect();"
        "   return place.left < box.left - 2 || place.right > box.right + 2"
        " }).map(text => text.textContent) })"
    )
    return found


def open_details(browser: Browser) -> None:
    """Unfold everything that is folded on the page."""
    browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")


def widths(browser: Browser) -> tuple[int, int]:
    """What the page needs, and what the window has, in pixels."""
    needed, there = browser.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return needed, there


def printed(browser: Browser) -> bytes:
    """The page as PDF."""
    answer = browser.call("Page.printToPDF", printBackground=True)
    return base64.b64decode(answer["data"])


@contextmanager
def opened_browser(profile: Path) -> Iterator[Browser]:
    """A browser with a tab, closed afterwards."""
    browser = Browser(profile)
    try:
        browser.open_tab()
        yield browser
    finally:
        browser.close()
