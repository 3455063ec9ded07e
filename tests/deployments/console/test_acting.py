"""What a person does on the console, over a replayed home and a real Prefect server."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from deployments.console.acts import ACTS
from deployments.console.app import make_app
from deployments.console.runs import Runs
from deployments.register import register
from deployments.server.client import Server
from deployments.server.people import People
from deployments.server.sessions import Sessions
from flows.manual import freeze
from flows.promote import promote
from flows.retrain import retrain
from flows.steps.run import model_run
from tasks.ledger import entries as ledger
from tasks.ledger.repositories import NewDecision
from tasks.ledger.tables import decisions, open_ledger
from tasks.records import AwaitApproval
from tests.conftest import run_flow

pytestmark = pytest.mark.flow


class LoggedIn:
    """The console as the log-in passes a person on to it."""

    def __init__(self, app, person: str) -> None:
        self._app, self._person = app, person

    async def __call__(self, scope, receive, send) -> None:
        """Pass a request on."""
        await self._app({**scope, "person": self._person}, receive, send)


@pytest.fixture
def settings(use_home, make_replayed_home, quick_project):
    """A home with a champion, whose model is registered with Prefect."""
    spec = quick_project / "deployments" / "weather" / "model.yaml"
    approval = "approval: {required: true, within: 7d}\n"
    spec.write_text(spec.read_text(encoding="utf-8") + approval, encoding="utf-8")
    found = use_home(make_replayed_home(3), quick_project)
    run_flow(register(found))
    return found


@pytest.fixture
def prefect(settings) -> Server:
    """Prefect's API."""
    from prefect.settings import PREFECT_API_URL

    return Server("Prefect's server", PREFECT_API_URL.value())


@pytest.fixture
def console(settings, prefect):
    """Function: who has logged in -> the console in their browser."""
    sessions = Sessions("k" * 32, People(settings.home))
    app = make_app(settings, open_ledger(settings.ledger_url), Runs(prefect, 0.0), sessions)

    def of(person: str) -> TestClient:
        return TestClient(LoggedIn(app, person), follow_redirects=False)

    return of


@pytest.fixture
def waiting(settings):
    """A request for approval."""
    judged = run_flow(retrain("weather"))

    def ask():
        with model_run("weather", None) as run:
            decision = AwaitApproval(reason="a yes", version=judged.decision.version, previous=1)
            return run.write(NewDecision(judged.batch, decision, judged.evidence))

    from prefect import flow

    return flow(ask)()


def token_in(page: str) -> str:
    """What the form of a page is signed by."""
    (found,) = re.findall(r'name="token" value="([^"]+)"', page)
    return found


def test_a_person_asks_for_what_the_command_line_does(console, prefect):
    """Each act is asked once more, and is then a run of the flow in the person's name, once however
    often the form is sent.
    """
    ada = console("ada")
    page = ada.get("/models/weather").text
    for words in ("Run now", "Retrain", "Freeze"):
        assert words in page
    assert "Thaw" not in page, "what cannot be done is not offered"
    asked = ada.get("/models/weather/freeze")
    assert "Freeze weather?" in asked.text
    form = {"token": token_in(asked.text), "reason": "the sensor\nwas moved"}

    answers = [ada.post("/models/weather/freeze", data=form) for _ in range(2)]

    assert [one.status_code for one in answers] == [303, 303]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    id = answers[0].headers["location"].rpartition("/")[2]
    run = prefect.json(f"/flow_runs/{id}")
    assert run["parameters"] == {
        "model": "weather",
        "person": "ada",
        "reason": "the sensor was moved",
    }
    assert {"kingmaker", "weather", "by ada"} <= set(run["tags"])
    assert ada.get("/runs/no-run").status_code == 404
    shown = ada.get(f"/runs/{id}").text
    assert "Waits for a worker" in shown
    assert 'http-equiv="refresh"' in shown


def test_an_approval_shows_its_evidence_beside_the_button(console, prefect, waiting):
    """With the deadline in words; the version is the one that was looked at."""
    ada, address = console("ada"), f"/models/weather/approve?request={waiting.id}"
    assert address.replace("/models", "../models") in ada.get(f"/decisions/{waiting.id}").text

    page = ada.get(address).text

    assert "Guardrails" in page
    assert re.search(r"until [\d-]+ [\d:]+ UTC, in 6 days", page)
    silent = ada.post(address, data={"token": token_in(page), "reason": "  "})
    assert silent.status_code == 422
    done = ada.post(address, data={"token": token_in(page), "reason": "looked at it"})
    run = prefect.json(f"/flow_runs/{done.headers['location'].rpartition('/')[2]}")
    assert run["parameters"]["version"] == waiting.decision.version
    assert (run["parameters"]["person"], run["parameters"]["reason"]) == ("ada", "looked at it")


def test_an_approval_whose_evidence_is_stale_is_refused_by_name(console, settings, waiting):
    """After its time, and when it was answered since; nothing is begun."""
    ada, address = console("ada"), f"/models/weather/approve?request={waiting.id}"
    token = token_in(ada.get(address).text)
    engine = open_ledger(settings.ledger_url)

    def written(at: datetime) -> None:
        change = update(decisions).where(decisions.c.id == waiting.id).values(recorded_at=at)
        with engine.begin() as connection:
            connection.execute(change)

    written(datetime.now(UTC) - timedelta(days=8))
    late = ada.post(address, data={"token": token, "reason": "at last"})
    assert late.status_code == 409
    assert "Its time is over" in late.text
    written(datetime.now(UTC))
    run_flow(promote("weather", waiting.decision.version, "by command", "grace"))
    answered = ada.post(address, data={"token": token, "reason": "me too"})
    assert answered.status_code == 409
    assert "was answered since: by grace: by command" in answered.text
    assert 'name="token"' not in answered.text, "there is nothing to press"


def test_what_cannot_be_done_is_said_before_it_is_asked_for(console):
    """By the ledger: there is nothing to thaw and nothing to roll back to."""
    ada = console("ada")

    assert "It is not frozen." in ada.get("/models/weather/thaw").text
    assert "no previous champion" in ada.get("/models/weather/rollback").text
    run_flow(freeze("weather", "the sensor was moved", "grace"))
    assert "It is frozen already" in ada.get("/models/weather/freeze").text
    assert "Thaw" in ada.get("/models/weather").text


def test_nothing_is_done_for_a_form_of_another(console, waiting):
    """Without a token, with another's, another act's or a changed one; nor for a program."""
    ada, program = console("ada"), console("")
    graces = token_in(console("grace").get("/models/weather/retrain").text)
    for name in ACTS:
        address = f"/models/weather/{name}?request={waiting.id}"
        other = "retrain" if name != "retrain" else "run"
        another_act = token_in(ada.get(f"/models/weather/{other}").text)

        for token in ("", "x", graces, another_act, another_act + "x"):
            sent = ada.post(address, data={"token": token, "reason": "r"})
            assert sent.status_code == 403, (name, token)
        assert program.get(address).status_code == 403
        assert program.post(address, data={"token": graces, "reason": "r"}).status_code == 403
    assert "Run now" not in program.get("/models/weather").text


def test_a_prefect_that_does_not_answer_is_told(settings):
    """Reading goes on; acting says why not."""
    away = Runs(Server("Prefect's server", "http://127.0.0.1:9/api"), 0.0)
    sessions = Sessions("k" * 32, People(settings.home))
    app = make_app(settings, open_ledger(settings.ledger_url), away, sessions)
    ada = TestClient(LoggedIn(app, "ada"), follow_redirects=False)

    assert "Failed and late runs are not shown" in ada.get("/").text
    assert "Prefect cannot be asked" in ada.get("/models/weather").text
    assert ada.get("/runs/1").status_code == 503
    form = {"token": token_in(ada.get("/models/weather/run").text)}
    said = ada.post("/models/weather/run", data=form)
    assert said.status_code == 503
    assert "found URLError" in said.text


def test_acts_leave_the_ledger_to_the_flows(console, settings):
    """The console itself writes nothing."""
    before = ledger.history(open_ledger(settings.ledger_url), "weather").entries
    ada = console("ada")
    form = {"token": token_in(ada.get("/models/weather/run").text)}

    ada.post("/models/weather/run", data=form)

    assert ledger.history(open_ledger(settings.ledger_url), "weather").entries == before
