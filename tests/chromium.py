"""A page in headless Chromium, with a password where it is asked for: what it asks for, and what it
is refused.

By the DevTools protocol (https://chromedevtools.github.io/devtools-protocol): credentials in an
address are none to the scripts of a page.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets import ClientConnection, connect

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run")


@dataclass
class Visit:
    """What became of one page."""

    asked: list[str] = field(default_factory=list)
    """Addresses that were asked for, by the page and by its scripts."""
    said: list[str] = field(default_factory=list)
    """What the browser noted, such as what a policy forbids."""
    text: str = ""
    """What a reader sees."""


def visit(address: str, user: str, password: str, profile: Path, quiet: float = 3.0) -> Visit:
    """Open a page, and return what it did until it asked for nothing more for ``quiet`` seconds."""
    browser = subprocess.Popen(
        [
            str(CHROMIUM),
            *OPTIONS,
            "--disable-background-networking",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert browser.stderr is not None
        told = next(line for line in browser.stderr if "DevTools listening" in line)
        port = told.rpartition(":")[2].partition("/")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
            pages = json.load(answer)
        socket = next(one["webSocketDebuggerUrl"] for one in pages if one["type"] == "page")
        return asyncio.run(_visit(socket, address, user, password, quiet))
    finally:
        browser.terminate()
        browser.wait(30)


async def _visit(socket: str, address: str, user: str, password: str, quiet: float) -> Visit:
    found = Visit()
    async with connect(socket, max_size=None) as page:
        for domain in ("Network", "Page", "Log"):
            await _send(page, f"{domain}.enable")
        await _send(page, "Fetch.enable", handleAuthRequests=True)
        await _send(page, "Page.navigate", url=address)
        last = time.monotonic()
        while time.monotonic() < last + quiet:
            try:
                event = json.loads(await asyncio.wait_for(page.recv(), quiet))
            except TimeoutError:
                break
            if await _note(page, event, found, user, password):
                last = time.monotonic()
        await _send(page, "Runtime.evaluate", number=9, expression="document.body.innerText")
        while (event := json.loads(await page.recv())).get("id") != 9:
            await _note(page, event, found, user, password)
        found.text = event["result"]["result"]["value"]
    return found


async def _note(
    page: ClientConnection, event: dict[str, Any], found: Visit, user: str, password: str
) -> bool:
    """Note an event, answer it where it asks, and say whether it was a request."""
    told = event.get("params", {})
    match event.get("method"):
        case "Fetch.requestPaused":
            await _send(page, "Fetch.continueRequest", requestId=told["requestId"])
        case "Fetch.authRequired":
            known = {"response": "ProvideCredentials", "username": user, "password": password}
            await _send(
                page,
                "Fetch.continueWithAuth",
                requestId=told["requestId"],
                authChallengeResponse=known,
            )
        case "Network.requestWillBeSent":
            found.asked.append(told["request"]["url"])
            return True
        case "Network.webSocketCreated":
            found.asked.append(told["url"])
            return True
        case "Log.entryAdded":
            found.said.append(told["entry"]["text"])
    return False


async def _send(page: ClientConnection, method: str, number: int = 1, **told: Any) -> None:
    await page.send(json.dumps({"id": number, "method": method, "params": told}))
