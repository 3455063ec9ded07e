"""What a person may do on the console, by which flow, and when not.

The flows are those of the command line; each refuses once more, under the lease, what is refused
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tasks.history import ApprovalRequest, History
from tasks.model_spec import ManagedModel


@dataclass(frozen=True)
class Act:
    """Something that a person may have done."""

    flow: str
    title: str
    """What is done, with ``{model}`` and ``{version}``."""
    button: str
    meaning: str
    """What follows, in a sentence or two."""
    about_request: bool = False
    """Whether it answers a request for approval."""
    reason: bool = True
    """Whether a reason is asked for, and kept in the ledger."""

    def means(self, request: ApprovalRequest | None) -> str:
        """Return what follows; of a first champion, of which none is before it."""
        if self.flow == "promote" and request is not None and request.decision.previous is None:
            return "It is the first champion, and serves from now on."
        return self.meaning

    def says(self, model: str, version: int | None = None) -> str:
        """Return its title for a model, and a version where it is about one."""
        return self.title.format(model=model, version=version)


ACTS = {
    "approve": Act(
        "promote",
        "Promote version {version} of {model}",
        "Yes, promote it",
        "It serves from now on. The champion before it predicts in shadow for the next batches, and"
        " comes back by itself if it was better.",
        about_request=True,
    ),
    "refuse": Act(
        "refuse",
        "Refuse version {version} of {model}",
        "Yes, refuse it",
        "The champion goes on. The version can still be promoted by its number, by the command.",
        about_request=True,
    ),
    "run": Act(
        "monitor",
        "Take in what is new of {model}",
        "Yes, run it now",
        "What the scheduled run does: each new batch is checked, scored and answered with a"
        " decision. Without one, nothing is done.",
        reason=False,
    ),
    "retrain": Act(
        "retrain",
        "Train a challenger for {model}",
        "Yes, train now",
        "It is judged against the champion on rows that neither has seen, and the gate decides."
        " Where spec, features and rows are those of a version that was judged, it is refused.",
    ),
    "rollback": Act(
        "rollback",
        "Bring the previous champion of {model} back",
        "Yes, roll back",
        "It serves at once, in place of the champion. A second rollback undoes the first.",
    ),
    "freeze": Act(
        "freeze",
        "Freeze {model}",
        "Yes, freeze it",
        "The champion goes on serving; nothing is trained or promoted until a person thaws it.",
    ),
    "thaw": Act(
        "thaw",
        "Let {model} go on",
        "Yes, thaw it",
        "Trainings and promotions go on as the spec says.",
    ),
}
"""By the last word of their address."""


def parameters(
    act: Act, model: str, person: str, reason: str, request: ApprovalRequest | None
) -> Mapping[str, Any]:
    """Return what the flow is given."""
    given: dict[str, Any] = {"model": model}
    if act.reason:
        given |= {"person": person, "reason": reason}
    if request is not None:
        given["version"] = request.decision.version
    return given


def request_of(history: History, number: int | None) -> ApprovalRequest | None:
    """Return a request for approval by its number in the ledger, whatever became of it; None for
    another decision.
    """
    return next((one for one in history.requests() if one.id == number), None)


def why_not(
    name: str,
    act: Act,
    managed: ManagedModel,
    history: History,
    request: ApprovalRequest | None,
    now: datetime,
) -> str:
    """Return why an act cannot be done now, in a sentence; empty when it can, as far as the ledger
    tells.
    """
    if act.about_request:
        if request is None:
            return "This is no request for approval."
        return _stale(request, managed, history, now)
    match name:
        case "rollback" if len({one.decision.version for one in history.champion_changes}) < 2:
            return "There is no previous champion to bring back."
        case "freeze" if history.frozen is not None:
            return f"It is frozen already, since batch {history.frozen.batch}."
        case "thaw" if history.frozen is None:
            return "It is not frozen."
    return ""


def _stale(request: ApprovalRequest, managed: ManagedModel, history: History, now: datetime) -> str:
    """Why a request for approval can be answered no more."""
    version = request.decision.version
    since = [one for one in history if one.id > request.id]
    answered = [one for one in since if one.version == version]
    if answered:
        return f"Version {version} was answered since: {answered[-1].decision.reason}."
    changed = [one for one in history.champion_changes if one.id > request.id]
    if changed:
        return (
            f"Its evidence has gone stale: it compares version {version} with"
            f" {_named(request.evidence.champion)}, and version {changed[-1].decision.version} is"
            " champion since. A new training makes new evidence."
        )
    if request.recorded_at + managed.spec.approval.within < now:
        return f"Its time is over: {deadline(request, managed, now)}. It counts as refused."
    return ""


def deadline(request: ApprovalRequest, managed: ManagedModel, now: datetime) -> str:
    """Return until when a request waits, in words."""
    until = request.recorded_at + managed.spec.approval.within
    return f"until {until:%Y-%m-%d %H:%M} UTC, {_distance(until - now)}"


def _distance(left: timedelta) -> str:
    """How far a moment is: ``in 3 days``, ``5 hours ago``."""
    seconds = abs(left.total_seconds())
    count, word = next(
        (
            (int(seconds // size), word)
            for size, word in ((86400, "day"), (3600, "hour"), (60, "minute"))
            if seconds >= size
        ),
        (0, ""),
    )
    if not word:
        return "in less than a minute" if left > timedelta() else "just now"
    words = f"{count} {word}{'' if count == 1 else 's'}"
    return f"in {words}" if left > timedelta() else f"{words} ago"


def _named(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"
