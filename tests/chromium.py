"""A headless Chromium that tests drive through its pipe: no port, no driver, no further package."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")
FLAGS = [
    "--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-extensions", "--disable-component-update", "--disable-background-networking", "--hide-scrollbars",
    "--allow-file-access-from-files", "about:blank",
]  # fmt: skip
PATIENCE = 60.0  # seconds for an answer, on a busy machine
KEYS = {"Enter": "\r", "Tab": "", "Escape": "", "ArrowDown": "", "ArrowUp": "", " ": " "}


class Page:
    """One tab. What the page says on its console and asks of the network is collected."""

    def __init__(self, commands: Any, answers: Any) -> None:
        self._commands, self._answers = commands, answers
        self._numbers = itertools.count(1)
        self._session = ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        targets = self._send("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")

    def open(self, path: Path, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Load a file at a width in pixels."""
        self.complaints.clear()
        self.requests.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])
        self._send("Page.navigate", url=path.as_uri())
        self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(path.as_uri())}")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self._send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(condition):
            assert time.monotonic() < end, f"never came true: {condition}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press a key, as a person does."""
        words = {"key": key, "code": key if key != " " else "Space"}
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, " ": 32}
        down = {"type": "keyDown", "windowsVirtualKeyCode": codes[key], **words}
        self._send("Input.dispatchKeyEvent", **down, **({"text": KEYS[key]} if KEYS[key] else {}))
        self._send("Input.dispatchKeyEvent", type="keyUp", windowsVirtualKeyCode=codes[key], **words)

    def picture(self, path: Path) -> None:
        """Save what the window shows, whole."""
        size = self._send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
        shot = self._send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _send(self, method: str, **words: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": words}
        message |= {"sessionId": self._session} if self._session else {}
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self._notice(answer)

    def _read(self) -> bytes:
        parts = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "Chromium is gone"
            parts += byte
        return bytes(parts)

    def _notice(self, event: dict[str, Any]) -> None:
        words = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(words["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(words["exceptionDetails"]))
            case "Log.entryAdded":
                self.complaints.append(words["entry"]["text"])
            case "Network.requestWillBeSent":
                url = words["request"]["url"]
                if not url.startswith("data:"):
                    self.requests.append(url)


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """Start Chromium, give its tab, and stop it.

    Args:
        folder: for its profile and its pipes.
    """
    there, back = folder / "there", folder / "back"
    os.mkfifo(there)
    os.mkfifo(back)
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    words = [PROGRAM, f"--user-data-dir={folder / 'profile'}", *root, *FLAGS]
    script = 'exec 3<"$0" 4>"$1"; shift; exec "$@"'
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = subprocess.Popen(["sh", "-c", script, str(there), str(back), *words], **quiet)  # type: ignore[call-overload]
    try:
        with there.open("wb") as commands, back.open("rb") as answers:
            yield Page(commands, answers)
    finally:
        program.kill()
        program.wait()
