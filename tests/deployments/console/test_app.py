"""The console over a replayed home: every address answers, and nothing is open."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from deployments.console.app import console_app, make_app
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.settings import Settings
from tests.conftest import WEATHER_PROJECT

pytestmark = pytest.mark.flow


@pytest.fixture
def settings(replayed_home: Path) -> Settings:
    """Settings of the replayed home."""
    return Settings(home=replayed_home, project=WEATHER_PROJECT)


@pytest.fixture
def console(settings: Settings) -> TestClient:
    """The console without its password."""
    return TestClient(make_app(settings, open_ledger(settings.ledger_url)))


def test_every_link_of_every_page_leads_somewhere(console) -> None:
    """From the list of models to all that can be reached: pages, cards, decisions."""
    waiting, seen = ["/"], dict[str, str]()
    while waiting:
        address = waiting.pop()
        answer = console.get(address)
        assert answer.status_code == 200, address
        seen[address] = answer.text
        if "text/html" in answer.headers["content-type"] and "evidently" not in address:
            links = re.findall(r'href="([^"#]+)"', answer.text)
            waiting += {urljoin(address, link) for link in links} - set(seen) - set(waiting)

    for kind in ("index.html", "drift.html", "validation.html", "evidently.html", "card.html"):
        assert any(address.endswith(kind) for address in seen), kind
    assert any(address.startswith("/decisions/") for address in seen)


def test_every_decision_has_a_page_that_makes_it_again(console, settings) -> None:
    """Reason, evidence, and what the rule makes of it today."""
    for entry in ledger.history(open_ledger(settings.ledger_url), "weather"):
        page = console.get(f"/decisions/{entry.id}").text

        assert entry.title in page
        assert "Its record is as it was written" in page
        assert "Made again from it: " in page


def test_the_api_says_what_the_ledger_says(console, settings) -> None:
    """As JSON, described by OpenAPI; what is not there is 404, by name."""
    known = ledger.history(open_ledger(settings.ledger_url), "weather")

    (model,) = console.get("/api/models").json()
    decisions = console.get("/api/models/weather/decisions").json()

    assert model["champion"] == known.champion
    assert [one["id"] for one in decisions] == [entry.id for entry in known]
    assert decisions[-1] == json.loads(known.entries[-1].model_dump_json())
    assert console.get(f"/api/decisions/{known.entries[-1].id}").json() == decisions[-1]
    assert "/api/models/{model}/decisions" in console.get("/api/openapi.json").json()["paths"]
    assert "weathr" in console.get("/api/models/weathr/decisions").json()["detail"]
    for missing in ("/decisions/99999", "/quarantine/weather/1999-W01", "/quarantine/x/y.csv"):
        assert console.get(missing).status_code == 404


def test_two_versions_have_an_address_side_by_side(console) -> None:
    """The model's page asks which; what is no version is 404 by name, and no other page's."""
    assert 'action="weather/compare"' in console.get("/models/weather").text

    page = console.get("/models/weather/compare?one=1&other=2")

    assert page.status_code == 200
    assert "Version 1 beside version 2" in page.text
    assert "Compared on the same rows" in page.text
    missing = console.get("/models/weather/compare?one=1&other=99")
    assert missing.status_code == 404
    assert "weather: no version 99; there are 1, 2" in missing.json()["detail"]
    assert console.get("/models/weather/compare?one=1").status_code == 422


def test_quarantined_rows_can_be_taken_away(console, settings) -> None:
    """The page shows them, the CSV has them all, with their rules."""
    batches = ledger.known_batches(open_ledger(settings.ledger_url), "weather")
    (batch,) = [id for id, record in batches.items() if record.verdict.quarantine]

    rows = list(csv.DictReader(io.StringIO(console.get(f"/quarantine/weather/{batch}.csv").text)))

    assert [row["rules"] for row in rows] == ["wind_speed:between"]
    assert "wind_speed:between" in console.get(f"/quarantine/weather/{batch}").text


def test_nothing_outside_the_reports_is_served(console) -> None:
    """The ledger and the models lie beside them."""
    for path in ("/reports/../ledger.db", "/reports/%2e%2e/ledger.db", "/reports//etc/passwd"):
        assert console.get(path).status_code in (404, 405), path


def test_pages_may_load_nothing_and_run_nothing(console) -> None:
    """The browser is told so; Evidently's scripts run in a sandbox."""
    ours = console.get("/").headers["content-security-policy"]
    drawn = console.get("/reports/weather/2013-W05/evidently.html").headers

    assert "default-src 'none'" in ours
    assert "script-src" not in ours
    assert "sandbox allow-scripts" in drawn["content-security-policy"]
    assert "allow-same-origin" not in drawn["content-security-policy"]


def test_every_route_is_closed_without_the_password(settings, monkeypatch) -> None:
    """Pages, reports, API, health: 401, and open with it."""
    monkeypatch.setenv("KINGMAKER_HOME", str(settings.home))
    monkeypatch.setenv("KINGMAKER_PROJECT", str(settings.project))
    monkeypatch.setenv("KINGMAKER_CONSOLE_AUTH_STRING", "kingmaker:a-long-enough-password")
    monkeypatch.setenv("KINGMAKER_SESSION_KEY", "k" * 32)
    inner = make_app(settings, open_ledger(settings.ledger_url))
    routes = [route.path for route in inner.routes if isinstance(route, APIRoute)]
    client = TestClient(console_app())

    for path in (*routes, "/reports/weather/index.html", "/api/openapi.json"):
        address = re.sub(r"\{[^}]+\}", "1", path)
        assert client.get(address).status_code == 401, address
        assert client.get(address, auth=("kingmaker", "wrong")).status_code == 401
    assert client.get("/", auth=("kingmaker", "a-long-enough-password")).status_code == 200
    assert len(routes) >= 8
