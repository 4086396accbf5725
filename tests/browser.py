"""A real browser for tests: chromedriver's WebDriver protocol spoken with the standard library.

Needs Chromium and chromedriver on the machine (Debian: ``chromium-driver``); nothing from PyPI.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "" if CHROMIUM and DRIVER else "no chromium and chromedriver on this machine"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--force-device-scale-factor=1"),
)
KEYS = {
    **{"ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015"},
    **{"Escape": "\ue00c", "Enter": "\ue007", "Tab": "\ue004"},
}


class Browser:
    """One headless window with an empty profile; a context manager.

    Raises:
        RuntimeError: With the driver's own words, if it refuses a command.
    """

    def __init__(self, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        self.size = (width, height)
        self.dark = dark

    def __enter__(self) -> Browser:
        self._folder = tempfile.TemporaryDirectory(prefix="nacgraph-browser-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._driver = subprocess.Popen(
            [str(DRIVER), f"--port={port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": self._folder.name},
        )
        self._base = f"http://127.0.0.1:{port}"
        try:
            self.wait(lambda: self._is_ready(), "chromedriver")
            options = {
                "binary": CHROMIUM,
                "args": [
                    *FLAGS,
                    f"--user-data-dir={self._folder.name}/profile",
                    f"--window-size={self.size[0]},{self.size[1]}",
                ],
            }
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self._base += f"/session/{answer['sessionId']}"
            # A window is wider than its page and has a least width; this has neither.
            self.devtools(
                "Emulation.setDeviceMetricsOverride",
                width=self.size[0],
                height=self.size[1],
                deviceScaleFactor=1,
                mobile=False,
            )
            self.prefer("dark" if self.dark else "light")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._stop()

    def open(self, path: Path) -> None:
        """Load a file and wait until it is loaded."""
        self._call("POST", "/url", {"url": path.resolve().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns; it is the body of a function."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def value(self, expression: str) -> Any:
        """The value of an expression."""
        return self.run(f"return {expression};")

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Wait until a condition is true; gives its value.

        Raises:
            TimeoutError: Naming what was waited for.
        """
        end = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not so within {seconds:g} s")
            time.sleep(0.03)
        return found

    def log(self) -> list[str]:
        """What the console and the network said since last asked, as "LEVEL text"."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [f"{entry['level']} {entry['message']}" for entry in entries]

    def point(self, x: float, y: float, click: bool = False) -> None:
        """Move the mouse to a place of the window, and press if asked."""
        moves: list[dict[str, Any]] = [
            {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        ]
        if click:
            moves += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._act("pointer", moves, parameters={"pointerType": "mouse"})

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> None:
        """Press at one place, move, and let go at another."""
        (ax, ay), (bx, by) = start, end
        moves: list[dict[str, Any]] = [
            {"type": "pointerMove", "duration": 0, "x": round(ax), "y": round(ay)},
            {"type": "pointerDown", "button": 0},
        ]
        for k in range(1, steps + 1):
            x, y = ax + (bx - ax) * k / steps, ay + (by - ay) * k / steps
            moves.append({"type": "pointerMove", "duration": 16, "x": round(x), "y": round(y)})
        moves.append({"type": "pointerUp", "button": 0})
        self._act("pointer", moves, parameters={"pointerType": "mouse"})

    def wheel(self, x: float, y: float, delta: int) -> None:
        """Turn the wheel at a place; a positive delta scrolls down."""
        turn = {
            "type": "scroll",
            "x": round(x),
            "y": round(y),
            "deltaX": 0,
            "deltaY": delta,
            "duration": 0,
            "origin": "viewport",
        }
        self._act("wheel", [turn])

    def press(self, *keys: str) -> None:
        """Press keys one after the other; a name such as ``ArrowLeft`` or a character."""
        moves = [
            {"type": kind, "value": KEYS.get(key, key)}
            for key in keys
            for kind in ("keyDown", "keyUp")
        ]
        self._act("key", moves)

    def prefer(self, scheme: str) -> None:
        """What the system prefers: "light" or "dark"."""
        wanted = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=wanted)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        answer = self.devtools(
            "Page.captureScreenshot",
            captureBeyondViewport=whole,
            **(
                {
                    "clip": {
                        "x": 0,
                        "y": 0,
                        "scale": 1,
                        "width": self.size[0],
                        "height": self.value("document.documentElement.scrollHeight"),
                    }
                }
                if whole
                else {}
            ),
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    def devtools(self, command: str, **values: Any) -> Any:
        """A command of Chromium's own protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": values})

    def _act(self, kind: str, actions: list[dict[str, Any]], **more: Any) -> None:
        source = {"type": kind, "id": kind, "actions": actions, **more}
        self._call("POST", "/actions", {"actions": [source]})

    def _is_ready(self) -> bool:
        try:
            return bool(self._call("GET", "/status")["ready"])
        except (OSError, RuntimeError):
            return False

    def _call(self, method: str, path: str, values: dict[str, Any] | None = None) -> Any:
        body = None if values is None else json.dumps(values).encode()
        request = urllib.request.Request(
            self._base + path, body, {"Content-Type": "application/json"}, method=method
        )
        # Never by way of a proxy: the driver is on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            told = json.load(error)["value"]
            raise RuntimeError(f"{path}: {told['error']}: {told['message'][:2000]}") from error

    def _stop(self) -> None:
        self._driver.terminate()
        try:
            self._driver.wait(10)
        except subprocess.TimeoutExpired:
            self._driver.kill()
        self._folder.cleanup()
