"""A process that has imported everything and does nothing itself: each job runs in a fork of it,
and may die.

Jobs come as lines of JSON on standard input; the answer to each is one line with the exit status
and what was found.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import os
import signal
import ssl
import subprocess
import sys
import traceback
from contextlib import redirect_stdout, suppress
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.crash.state import champion, whole_state
from tests.crash.writes import Writes


def main() -> None:
    """Import what a run needs, then fork for each job."""
    _import_everything()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        if "wake" in job:
            child = job["wake"]
            os.kill(child, signal.SIGCONT)
        else:
            child = _start(job)
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            print(json.dumps({"paused": child}), flush=True)
            continue
        answer = Path(job["answer"])
        found = json.loads(answer.read_text("utf-8")) if answer.exists() else None
        for name in (found or {}).pop("modules", ()):
            _warm(name)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "found": found}), flush=True)


def _warm(name: str) -> None:
    """Import what a fork had to import: the next ones find it there."""
    if name not in sys.modules and not name.startswith("__"):
        with suppress(
            Exception
        ):  # made at run time, or not meant to be imported alone: the fork does without
            importlib.import_module(name)


def _start(job: dict[str, Any]) -> int:
    Path(job["answer"]).unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        _work(job, Path(job["answer"]))
    return child


def _import_everything() -> None:
    import evidently
    import great_expectations
    import mlflow.pyfunc
    import skops.io

    import tasks.drift.profile
    import tasks.evaluation.judgement
    import tasks.reports.timeline
    import tasks.training.search
    import tasks.validation.verdict  # noqa: F401

    _ = evidently, great_expectations, mlflow, skops


def _work(job: dict[str, Any], answer: Path) -> None:
    """In the fork: look at the champion, run the job's flow, and say what the state is then."""
    code = 1
    try:
        os.environ |= job["environment"]
        _spare_time()
        stop = signal.SIGSTOP if job.get("pause") else signal.SIGKILL
        writes = Writes(
            Path(job["environment"]["KINGMAKER_HOME"]),
            job.get("fatal"),
            stop,
            prefix=job.get("prefix", False),
        )
        found: dict[str, Any] = {}
        if job.get("look"):
            found["champion"] = champion("weather")
        if job.get("watch"):
            writes.install()
        from prefect.settings import PREFECT_API_URL, temporary_settings

        from deployments.server.embedded import answering_prefect
        from flows.monitor import monitor
        from flows.score import score

        try:
            prefect = {PREFECT_API_URL: job["prefect"]} if "prefect" in job else {}
            with temporary_settings(prefect), answering_prefect():
                as_of = datetime.fromisoformat(job["as_of"])
                scoring = job.get("flow") == "score"
                asyncio.run(score("weather", as_of) if scoring else monitor("weather", None, as_of))
        except Exception as error:  # noqa: BLE001 - the test decides what is right
            found["error"] = f"{type(error).__name__}: {error}"
        writes.before(
            "the end"
        )  # nothing is written after: who dies here has died after the last write
        found["writes"] = list(writes.seen)
        if job.get("state", True):
            found["state"] = whole_state("weather")
        found["modules"] = sorted(sys.modules)
        answer.write_text(json.dumps(found), encoding="utf-8")
        code = 0
    except BaseException:  # noqa: BLE001 - it is told, and the fork must not come back
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _spare_time() -> None:
    """Spare what takes seconds and writes nothing of ours: Evidently's drawing, the world's
    certificates, an interpreter.
    """
    from tasks.drift import task as drift
    from tasks.registry import fresh

    def run_here(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        said = io.StringIO()
        with redirect_stdout(said):
            fresh.main(*command[command.index("tasks.registry.fresh") + 1 :])
        return subprocess.CompletedProcess(command, 0, said.getvalue(), "")

    drift.draw_report = lambda *_: "<html>drawn</html>"  # type: ignore[assignment]
    fresh.subprocess = SimpleNamespace(run=run_here, TimeoutExpired=subprocess.TimeoutExpired)  # type: ignore[assignment]
    ssl.SSLContext.load_verify_locations = lambda *_, **__: None  # type: ignore[assignment]  # all is on loopback


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
