"""A real Chromium without a window, driven over its debugging port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from websockets.sync.client import connect

from tests.waiting import wait_until, within

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

# No window, no sandbox for root, and no connections of its own.
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-extensions",
    ),
    *("--disable-default-apps", "--no-default-browser-check", "--remote-debugging-port=0"),
)


class Tab:
    """A tab.

    Attributes:
        errors: those of its console: exceptions, and what its page's policy has refused.
        asked: what its pages have asked in dialogs; the answer is yes.
    """

    def __init__(self, socket: Any) -> None:
        self._socket, self._number, self._session = socket, 0, ""
        self.errors: list[str] = []
        self.asked: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a page; whoever waits for something on it asks for that."""
        self._ask("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, once the page has one."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def wait_for(self, expression: str, timeout: float = 20) -> None:
        """Wait until an expression is true."""
        wait_until(lambda: self.evaluate(expression), timeout)

    def press(self, key: str) -> None:
        """Press a key: Tab, Enter, or another one by its name."""
        code = {"Tab": 9, "Enter": 13}[key]
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": "\r" * (key == "Enter")}
        self._ask("Input.dispatchKeyEvent", type="keyDown", **about)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self._ask("Input.insertText", text=text)

    def point_at(self, x: float, y: float, *, click: bool = False) -> None:
        """Move the mouse there."""
        for kind in ("mouseMoved", *(("mousePressed", "mouseReleased") if click else ())):
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=int(click))

    def look_like(self, width: int, height: int, *, dark: bool = False) -> None:
        """Be a window of this size, or a phone, on a system with this theme."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[theme])

    def picture(self, path: Path) -> None:
        """Write what is seen to a PNG, in so few colours that it is small, and red is still red."""
        found = self._ask("Page.captureScreenshot", format="png")
        with Image.open(BytesIO(base64.b64decode(found["data"]))) as picture:
            picture.convert("RGB").quantize(256).save(path, optimize=True)

    def send(self, **headers: str) -> None:
        """Send these headers with all that is asked for."""
        self._ask("Network.enable")
        self._ask("Network.setExtraHTTPHeaders", headers=headers)

    def _send(self, method: str, **parameters: Any) -> int:
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(order | ({"sessionId": self._session} if self._session else {})))
        return self._number

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = self._send(method, **parameters)
        deadline = time.monotonic() + within(30)
        while True:
            answer = json.loads(self._socket.recv(timeout=deadline - time.monotonic()))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        if event.get("method") == "Page.javascriptDialogOpening":
            self.asked.append(about["message"])
            self._send("Page.handleJavaScriptDialog", accept=True)
        elif event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(about["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.errors.append(f"{about['entry']['text']} ({about['entry'].get('url')})")


@contextmanager
def tab(folder: Path) -> Iterator[Tab]:
    """A tab of a browser that is new and knows nothing; its profile is in a folder."""
    profile = folder / "chromium"
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(folder)},
        )
    try:
        said = profile / "DevToolsActivePort"
        wait_until(lambda: process.poll() is not None or (said.exists() and "\n" in said.read_text()), 30)
        assert process.poll() is None, (folder / "chromium.log").read_text()
        port, path = said.read_text().split("\n")[:2]
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, open_timeout=within(20)) as socket:
            yield Tab(socket)
    finally:
        process.terminate()
        process.wait(within(20))
