"""A day in a browser, on the servers of ``kingmaker up``: log in, look, run, approve, freeze.

Chromium is no Python package: ``make test`` installs it where it may (.ci/debian-packages);
elsewhere these tests are skipped by name.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tests.chromium import CHROMIUM, Browser
from tests.conftest import WEATHER_PROJECT
from tests.deployments.conftest import Servers, until

pytestmark = [
    pytest.mark.flow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"
    ),
]

PASSWORD = "a-canary-word"  # noqa: S105 - of the tests


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, weather_source: Path) -> Iterator[Servers]:
    """The servers of a home with one batch to take in, whose models wait for a person's yes."""
    root = tmp_path_factory.mktemp("console")
    shutil.copytree(WEATHER_PROJECT, root / "project")
    file = root / "project" / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"] |= {"first": 1, "candidates": [{"estimator": "sklearn.linear_model.Ridge"}]}
    spec["approval"] = "required"
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    source = root / "home" / "sources" / "weather"
    source.mkdir(parents=True)
    shutil.copy(weather_source / "2013-W02.csv", source)
    with Servers(root / "home", root / "project") as running:
        assert running.kingmaker("deploy").returncode == 0
        added = running.kingmaker("user", "add", "ada", "--stdin", input=f"{PASSWORD}\n")
        assert added.returncode == 0, added.stderr
        yield running


@pytest.fixture
def browser(servers: Servers, tmp_path: Path) -> Iterator[Browser]:
    """A browser in which ada has logged in to the console."""
    with Browser(tmp_path / "browser") as found:
        assert "models" in found.log_in(servers.console, "ada", PASSWORD)
        yield found


def over(browser: Browser) -> str:
    """What the page of a run says when the run is over; it loads itself again until then."""

    def look() -> str:
        text = browser.settled(0.5)
        return text if "Failed: " in text or "Done: " in text else ""

    return str(until(look))


def test_run_approve_and_freeze(servers, browser, tmp_path):
    """Each act is asked once more, taken by the worker, and in the ledger with its person."""
    address = f"{servers.console}/models/weather"
    assert "No champion yet." in browser.open(address)

    assert "Take in what is new of weather?" in browser.press("Run now")
    browser.press("Yes, run it now")
    assert "Await approval" in over(browser).replace("AwaitApproval", "Await approval")

    page = browser.open(address)
    assert "version 1 waits for approval since batch 2013-W02, until " in page
    asked = browser.press("Promote version 1")
    assert "in 29 days" in asked
    assert "GUARDRAILS" in asked.upper()
    browser.fill(reason="looked at the guardrails")
    browser.press("Yes, promote it")
    assert "Promote version 1" in over(browser)

    assert "Version 1 is champion since batch 2013-W02." in browser.press("Back to weather")
    browser.press("Freeze")
    browser.fill(reason="the sensor is moved")
    browser.press("Yes, freeze it")
    over(browser)
    fleet = browser.open(servers.console)
    assert "frozen since batch 2013-W02: by ada: the sensor is moved" in fleet

    entries = ledger.history(open_ledger(f"sqlite:///{servers.home}/ledger.db"), "weather").entries
    acted = [(e.decision.kind, e.evidence.reason) for e in entries if e.decided_by == "ada"]
    assert acted == [("Promote", "looked at the guardrails"), ("Freeze", "the sensor is moved")]


def test_a_page_elsewhere_cannot_act_by_the_browser(servers, browser, tmp_path):
    """Its form is sent with no session at all, or refused."""
    known = ledger.history(open_ledger(f"sqlite:///{servers.home}/ledger.db"), "weather").entries
    page = tmp_path / "elsewhere.html"
    target = f"{servers.console}/models/weather/thaw"
    page.write_text(
        f'<form method="post" action="{target}"><input name="reason" value="forged">'
        '<input name="token" value="x"><button>Win a prize</button></form>',
        encoding="utf-8",
    )

    browser.open(page.as_uri())
    said = browser.press("Win a prize")

    assert "HTTP ERROR 40" in said or "another site asked for this" in said
    after = ledger.history(open_ledger(f"sqlite:///{servers.home}/ledger.db"), "weather").entries
    assert after == known


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_fit_a_narrow_screen_and_every_reader(servers, tmp_path, dark):
    """At 420 pixels nothing but a table in its own frame is wider than the page, and axe finds
    nothing of weight, by day and night.
    """
    with Browser(tmp_path / "browser", dark=dark, width=420) as narrow:
        narrow.log_in(servers.console, "ada", PASSWORD)
        for path in (
            "/",
            "/models/weather",
            "/models/weather/retrain",
            "/decisions/1",
            "/reports/weather/index.html",
            "/kingmaker/login",
        ):
            narrow.open(f"{servers.console}{path}")
            wide = narrow.run("document.documentElement.scrollWidth")
            assert wide <= 420, path
            colour = narrow.run("getComputedStyle(document.body).backgroundColor")
            assert (colour != "rgb(255, 255, 255)") == dark
            assert narrow.barriers() == [], path
