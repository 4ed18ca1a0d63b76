"""A headless Chromium over its DevTools pipe: what a page looks like, says and asks for."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
DEADLINE_S = 30.0
# A root without a sandbox of the kernel's, in a container, is where tests often run.
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
)


def installed() -> str | None:
    """The browser's path."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser. Messages go down file descriptor 3 of it and come up 4."""

    def __init__(self, down: int, up: int) -> None:
        self._down, self._up, self._held = down, up, b""
        self._number, self._session = 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        found = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol; what it answers."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._down, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])

    def open(self, page: Path, width: int, media: str = "screen") -> None:
        """Show a file at a width in CSS pixels, and wait until it is loaded."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.ask("Emulation.setEmulatedMedia", media=media)
        self.events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        while not self._said("Page.loadEventFired"):
            self._next()

    def evaluate(self, expression: str) -> Any:
        """The value of a script's expression, run by the debugger: a page's policy is no bar."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def requested(self) -> list[str]:
        """All that the page, and what is in it, asked for since it was opened."""
        return [
            str(event["params"]["request"]["url"])
            for event in self._said("Network.requestWillBeSent")
        ]

    def complaints(self) -> list[str]:
        """What the console shows: errors, refusals by the page's policy, what scripts printed."""
        logged = [event["params"]["entry"]["text"] for event in self._said("Log.entryAdded")]
        told = self._said("Runtime.consoleAPICalled") + self._said("Runtime.exceptionThrown")
        return [*map(str, logged), *map(str, told)]

    def _said(self, method: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("method") == method]

    def _next(self) -> dict[str, Any]:
        end_s = time.monotonic() + DEADLINE_S
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._up], [], [], max(0.0, end_s - time.monotonic()))
            assert ready, f"the browser said nothing for {DEADLINE_S:g} s"
            part = os.read(self._up, 1 << 16)
            assert part, "the browser has ended"
            self._held += part
        text, _, self._held = self._held.partition(b"\0")
        message = dict(json.loads(text))
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def browsing(program: str, profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, ended with the context."""
    to_it, down = os.pipe()
    up, from_it = os.pipe()
    with (profile / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            _with_pipes(program, to_it, from_it, profile),
            pass_fds=(to_it, from_it),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    os.close(to_it)
    os.close(from_it)
    try:
        yield Browser(down, up)
    finally:
        os.close(down)  # at its end the browser ends, with all its processes
        os.close(up)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _with_pipes(program: str, to_it: int, from_it: int, profile: Path) -> Sequence[str]:
    """The command, its pipes at the descriptors that it expects them at."""
    move = f'exec "$@" 3<&{to_it} 4>&{from_it}'
    return ["bash", "-c", move, "bash", program, *OPTIONS, f"--user-data-dir={profile}"]
