"""Every page of a batch whose strings are scripts, in a real browser: nothing planted runs.

Chromium is no Python package: ``make test`` installs it where it may (.ci/debian-packages);
elsewhere these tests are skipped by name.
"""

from __future__ import annotations

import http.server
import subprocess
import threading

import pytest
import yaml

from flows.monitor import monitor
from tests.chromium import CHROMIUM
from tests.conftest import run_flow
from tests.flows.test_bad_data import DAYS, SPEC, a_day, deliver
from tests.sample_contract import sample_contract

pytestmark = [
    pytest.mark.flow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"
    ),
]


class Listener:
    """A server on loopback that notes which addresses were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Noting(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """Note the path."""
                asked.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Noting)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def planted(self, where: str) -> str:
        """A text that asks for an address when it runs, by an element of script or by an
        attribute.
        """
        call = f"new Image().src='http://127.0.0.1:{self.server.server_port}/{where}"
        return (
            f"""</script><script>{call}-script'</script><img src=x onerror="{call}-attribute'">"""
        )


@pytest.fixture(scope="module")
def listener():
    """A listener for the scripts of this module."""
    listener = Listener()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


@pytest.fixture
def browse(tmp_path):
    """Function: opens a page in Chromium, lets its scripts run, and returns the document as it is
    then.
    """

    def open_page(page):
        said = subprocess.run(
            [
                CHROMIUM,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-extensions",
                "--disable-background-networking",
                f"--user-data-dir={tmp_path / 'chromium'}",
                "--virtual-time-budget=8000",
                "--window-size=1280,4000",
                "--dump-dom",
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return said.stdout

    return open_page


def test_the_detector_sees_a_script_that_runs(listener, browse, tmp_path):
    """The control: the same text unescaped is seen, both ways."""
    page = tmp_path / "control.html"
    page.write_text(f'<script>var x = "{listener.planted("control")}";</script>', encoding="utf-8")

    browse(page)

    assert {"/control-script", "/control-attribute"} <= set(listener.asked)


def test_no_page_runs_what_stands_in_the_data(listener, browse, use_home, tmp_path):
    """Value, column name and category are scripts; each page of the batch and of the model shows
    them as text.
    """
    project = tmp_path / "project"
    name, category, value = (listener.planted(where) for where in ("column", "category", "value"))

    def change(document):
        columns = document["schema"][0]["properties"]
        columns.append({"name": name, "logicalType": "string", "description": value})
        shop = next(column for column in columns if column["name"] == "shop")
        shop["quality"][0]["arguments"]["validValues"] = ["A", "B", category]

    sample_contract(project / "data_contracts", change)
    (project / "deployments" / "sales").mkdir(parents=True)
    spec = SPEC | {"slices": ["shop", name], "description": value}
    (project / "deployments" / "sales" / "model.yaml").write_text(
        yaml.safe_dump(spec), encoding="utf-8"
    )
    (tmp_path / "home" / "in").mkdir(parents=True)
    settings = use_home(tmp_path / "home", project)
    for day in DAYS[:3]:
        shops = [("A", category, "B")[i % 3] for i in range(120)]
        planted = {name: [(category, "x")[i % 2] for i in range(120)]}
        unknown = {value: ["x"] * 120}
        deliver(settings, day, a_day(day, shop=[value, *shops[1:]], **planted, **unknown))

    run_flow(monitor("sales"))

    pages = sorted(settings.reports.rglob("*.html"))
    assert {page.name for page in pages} == {
        "card.html",
        "drift.html",
        "evidently.html",
        "index.html",
        "model.html",
        "validation.html",
    }
    newest = [
        page
        for page in pages
        if page.parent.name == DAYS[2] or page.name in ("index.html", "card.html")
    ]
    for page in newest:
        seen = browse(page)
        assert len(seen) > 2000
        if page.name != "model.html":
            assert "new Image().src" in seen, f"{page.name} does not show the text at all"
    assert [path for path in listener.asked if not path.startswith("/control")] == []
