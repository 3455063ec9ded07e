"""A person's browser: headless Chromium, by the DevTools protocol.

https://chromedevtools.github.io/devtools-protocol
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run")


@dataclass
class Browser:
    """A browser of its own profile with one page; ends with the block."""

    profile: Path
    dark: bool = False
    width: int = 1280
    asked: list[str] = field(default_factory=list)
    """Addresses that were asked for, by pages and by their scripts."""
    said: list[str] = field(default_factory=list)
    """What the browser noted, such as what a policy forbids."""
    _answers: dict[int, Any] = field(default_factory=dict)
    _number: int = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [
                str(CHROMIUM),
                *OPTIONS,
                "--disable-background-networking",
                "--remote-debugging-port=0",
                f"--user-data-dir={self.profile}",
                "about:blank",
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        told = next(line for line in self._process.stderr if "DevTools listening" in line)
        port = told.rpartition(":")[2].partition("/")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
            pages = json.load(answer)
        socket = next(one["webSocketDebuggerUrl"] for one in pages if one["type"] == "page")
        self._page: ClientConnection = connect(socket, max_size=None)
        for domain in ("Network", "Page", "Log", "Runtime"):
            self._call(f"{domain}.enable")
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=self.width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        return self

    def __exit__(self, *_: object) -> None:
        self._page.close()
        self._process.terminate()
        self._process.wait(30)

    def open(self, address: str, quiet: float = 1.0) -> str:
        """Go to an address, and return what a reader sees when it asks for nothing more."""
        self._call("Page.navigate", url=address)
        return self.settled(quiet)

    def settled(self, quiet: float = 1.0) -> str:
        """Wait until the page has asked for nothing for ``quiet`` seconds, and return its text."""
        last = time.monotonic()
        while time.monotonic() < last + quiet:
            try:
                event = json.loads(self._page.recv(timeout=quiet))
            except TimeoutError:
                break
            if self._note(event):
                last = time.monotonic()
        # While a page is left for the next there is none.
        return str(self.run("document.body ? document.body.innerText : ''"))

    def run(self, script: str) -> Any:
        """Return what an expression of JavaScript is in the page, or promises to be."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def fill(self, **fields: str) -> None:
        """Fill in the fields of the page by their names."""
        for name, value in fields.items():
            self.run(f"document.getElementsByName({name!r})[0].value = {value!r}")

    def press(self, words: str, quiet: float = 1.0) -> str:
        """Press the button or follow the link that says so, and return what is seen then."""
        chosen = (
            "[...document.querySelectorAll('button, a, summary')]"
            f".find(one => one.innerText.trim() === {words!r})"
        )
        assert self.run(f"Boolean({chosen})"), (
            f"{words!r} is not in: {self.run('document.body.innerText')}"
        )
        self.run(f"{chosen}.click()")
        return self.settled(quiet)

    def barriers(self) -> list[str]:
        """Return what axe finds in the page that keeps people from using it: rule, and where.

        https://github.com/dequelabs/axe-core; it speaks of minor findings too, which are left out.
        """
        # Found without importing the package, which would load what drives other browsers.
        package = find_spec("axe_playwright_python").submodule_search_locations[0]
        script = Path(package, "axe.min.js").read_text(encoding="utf-8")
        self.run(f"{script}; undefined")
        found = self.run("axe.run().then(found => found.violations)")
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def log_in(self, address: str, name: str, password: str, quiet: float = 1.0) -> str:
        """Open an address, log in by the form that is shown instead, and return what is seen."""
        self.open(address)
        self.fill(name=name, password=password)
        return self.press("Log in", quiet)

    def picture(self, file: Path) -> None:
        """Write a picture of the whole page."""
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": self.width, "height": size["height"], "scale": 1}
        shot = self._call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **told: Any) -> Any:
        self._number += 1
        self._page.send(json.dumps({"id": self._number, "method": method, "params": told}))
        while True:
            event = json.loads(self._page.recv(timeout=60))
            if event.get("id") == self._number:
                assert "error" not in event, event
                return event["result"]
            self._note(event)

    def _note(self, event: dict[str, Any]) -> bool:
        """Note an event, and say whether it was a request."""
        told = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(told["request"]["url"])
                return True
            case "Network.webSocketCreated":
                self.asked.append(told["url"])
                return True
            case "Log.entryAdded":
                self.said.append(told["entry"]["text"])
        return False
