"""The history of a model: every decision about it, and what follows from them.

Flows, pages, reports and the command line ask here who is champion, what waits and what was tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

from tasks.records import (
    AnyEvidence,
    Attempted,
    AwaitApproval,
    BatchRecord,
    Choice,
    Comparison,
    Decision,
    Evidence,
    Freeze,
    Hold,
    LedgerEntry,
    ManualEvidence,
    PolicyEvidence,
    Promote,
    Recalibrate,
    Refusal,
    Reject,
    RollBack,
    Shadow,
    Thaw,
    WatchEvidence,
    served_by,
)

D = TypeVar("D", bound=Decision)
E = TypeVar("E", bound=AnyEvidence)
ChampionChange = LedgerEntry[Promote | RollBack, AnyEvidence]
Verdict = LedgerEntry[AwaitApproval | Reject, AnyEvidence]
ApprovalRequest = LedgerEntry[AwaitApproval, Evidence]


@dataclass(frozen=True)
class History:
    """Every decision about one model, oldest first."""

    entries: tuple[LedgerEntry, ...] = ()

    def __iter__(self) -> Iterator[LedgerEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def including(self, entry: LedgerEntry) -> History:
        """Return the history with an entry that was written since, or has taken effect since."""
        return in_order((*(one for one in self.entries if one.id != entry.id), entry))

    # --- champions ---

    @property
    def champion_changes(self) -> tuple[ChampionChange, ...]:
        """The promotions and rollbacks that took effect."""
        changes: tuple[ChampionChange, ...] = self._of(Promote, RollBack)
        return tuple(entry for entry in changes if entry.effective_at is not None)

    @property
    def champion(self) -> int | None:
        """The version that is champion."""
        changes = self.champion_changes
        return changes[-1].decision.version if changes else None

    @property
    def serving(self) -> str:
        """Which version serves, and with which recalibration, such as ``v3.17``; empty when none
        does.
        """
        version = self.champion
        if version is None:
            return ""
        made = self.adjustments(version)
        return served_by(version, made[-1].id if made else None)

    @property
    def first_champion(self) -> int | None:
        """The version that was champion first."""
        changes = self.champion_changes
        return changes[0].decision.version if changes else None

    def previous_of(self, version: int) -> int | None:
        """Return the champion that a version replaced when it was promoted last; None when it was
        the first, or never promoted.
        """
        previous = [
            entry.decision.previous
            for entry in self.champion_changes
            if isinstance(entry.decision, Promote)
            and entry.decision.version == version
            and entry.decision.previous is not None
        ]
        return previous[-1] if previous else None

    @property
    def unfinished(self) -> tuple[LedgerEntry, ...]:
        """The decisions that were journalled and have not taken effect."""
        return tuple(entry for entry in self.entries if entry.effective_at is None)

    def adjustments(
        self, version: int, before: str | None = None
    ) -> tuple[LedgerEntry[Recalibrate, AnyEvidence], ...]:
        """Return the refreshes of a version's weights and recalibration; or those made before a
        batch. They are in force here once they are written; in effect, when the registry serves
        them too.
        """
        return tuple(
            entry
            for entry in self._of(Recalibrate)
            if entry.decision.version == version and (before is None or entry.batch < before)
        )

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Each decision in effect that chose between two versions, oldest first; the first
        champion was no choice.
        """
        found = list[Choice]()
        champion: int | None = None
        for entry in self.entries:
            decision = entry.decision
            if entry.effective_at is None:
                continue
            match decision:
                case Promote() | RollBack():
                    chosen, other = decision.version, decision.previous
                    champion = decision.version
                case Reject() if champion is not None:
                    chosen, other = champion, decision.version
                case _:
                    continue
            if other is None:
                continue
            until = next((one.batch for one in self.champion_changes if one.id > entry.id), "")
            found.append(
                Choice(
                    number=entry.id,
                    kind=decision.kind,
                    batch=entry.batch,
                    as_of=entry.as_of,
                    chosen=chosen,
                    other=other,
                    until=until,
                )
            )
        return tuple(found)

    @property
    def holds(self) -> int:
        """How often the policy held: no version was trained that it could be compared with."""
        return sum(
            isinstance(entry.decision, Hold) and isinstance(entry.evidence, PolicyEvidence)
            for entry in self.entries
        )

    # --- challengers ---

    @property
    def challengers(self) -> tuple[int, ...]:
        """The versions that were judged by evidence, each once, in the order of their first
        judgement.
        """
        return tuple(dict.fromkeys(entry.evidence.challenger for entry in self._by(Evidence)))

    def judgements(self, version: int) -> tuple[LedgerEntry[Decision, Evidence], ...]:
        """Return what was decided about a challenger by evidence: once, or again with more rows."""
        return tuple(e for e in self._by(Evidence) if e.evidence.challenger == version)

    def verdicts(self, version: int) -> tuple[Verdict, ...]:
        """Return the requests for approval and the rejections of a version."""
        verdicts: tuple[Verdict, ...] = self._of(AwaitApproval, Reject)
        return tuple(entry for entry in verdicts if entry.decision.version == version)

    @property
    def attempts(self) -> int:
        """How many changes of recipe were judged since one was promoted, or since the first
        champion.

        A version that is judged again, with more rows, is the same attempt. A refresh or a rollback
        between them starts nothing anew: counted from the last refresh, every attempt would be the
        first, and twenty attempts of an equal recipe would promote it nearly half of the time.
        """
        judged = set[int]()
        for entry in reversed(self.entries):
            match entry.decision, entry.evidence:
                case Promote(), evidence if not self._is_refresh(evidence):
                    break
                case _, Evidence(kind="change of recipe"):
                    judged.add(entry.evidence.challenger)
        return len(judged)

    def _is_refresh(self, evidence: AnyEvidence) -> bool:
        """Whether a promotion's evidence is that of a refresh."""
        basis = self._judgement(evidence)
        return basis is not None and basis.kind == "refresh"

    def _judgement(self, evidence: AnyEvidence) -> Evidence | None:
        """The evidence of the gate that a decision rests on, its own or through a person; None
        without one.
        """
        match evidence:
            case ManualEvidence(rests_on=int(number)):
                basis = next((e.evidence for e in self.entries if e.id == number), None)
                return basis if isinstance(basis, Evidence) else None
            case Evidence():
                return evidence
            case _:
                return None

    def judged_until(self, entry: LedgerEntry) -> str:
        """Return the newest batch whose rows judged a version, which late labels put long before
        the decision; the decision's own where no rows did.
        """
        basis = self._judgement(entry.evidence)
        return entry.batch if basis is None else basis.batch

    @property
    def in_shadow(self) -> tuple[LedgerEntry[Shadow, Evidence], ...]:
        """The newest judgement of each challenger that goes on in shadow, oldest first.

        One promoted change of recipe ends the wait of all that were judged before it: they
        challenged another champion.
        """
        newest: dict[int, LedgerEntry] = {}
        for entry in self.entries:
            match entry.decision, entry.evidence:
                case Promote(), Evidence(kind="change of recipe"):
                    newest.clear()
                case (Shadow() | Reject() | Promote() | AwaitApproval()) as decision, _:
                    newest[decision.version] = entry
        return _only(in_order(newest.values())._of(Shadow), Evidence)  # noqa: SLF001 - a history too

    @property
    def awaiting_approval(self) -> tuple[ApprovalRequest, ...]:
        """The requests for approval that wait for a person.

        A request waits while it is the newest decision about its version, and no other version has
        become champion since: its evidence compares the version with a champion that is none now.
        """
        newest = {entry.version: entry.id for entry in self.entries}
        changed = max((entry.id for entry in self.champion_changes), default=0)
        return tuple(
            entry
            for entry in self.requests()
            if entry.id == newest[entry.decision.version] and entry.id > changed
        )

    def requests(self, batch: str | None = None) -> tuple[ApprovalRequest, ...]:
        """Return every request for approval, whatever became of it; or those of one batch."""
        asked = _only(self._of(AwaitApproval), Evidence)
        return tuple(entry for entry in asked if batch in (None, entry.batch))

    def came_to_nothing(self, entry: LedgerEntry) -> bool:
        """Whether ``entry`` is a request for approval that was refused later, or a decision to
        retrain that could train nothing.
        """
        refused = isinstance(entry.decision, AwaitApproval) and any(
            later.id > entry.id and later.decision.version == entry.decision.version
            for later in self._of(Reject)
        )
        return refused or self.trained_nothing(entry)

    def trained_nothing(self, entry: LedgerEntry) -> bool:
        """Whether ``entry`` is a decision to retrain that could train nothing."""
        return any(one.evidence.retrain == entry.id for one in self._by(Attempted))

    @property
    def realised(self) -> tuple[tuple[Comparison, ...], ...]:
        """For each judged training, oldest first, what the watch has seen of its promotion so far;
        nothing for one that was rejected.

        What is not known yet, or waits for a person, is left out, as is the first champion.
        """
        found: dict[str, tuple[Comparison, ...]] = {
            self._trained_at(entry): () for entry in self._of(Reject)
        }
        for entry in self._of(Promote):
            found.pop(self._trained_at(entry), None)
            if seen := self.seen_after(entry):
                found[self._trained_at(entry)] = seen
        return tuple(found[batch] for batch in sorted(found))

    def seen_after(self, entry: LedgerEntry) -> tuple[Comparison, ...]:
        """Return what the watch saw of a promotion: in each comparison the champion before it is
        the challenger.
        """
        return tuple(
            one.evidence.comparison
            for one in self._watched()
            if isinstance(entry.decision, Promote)
            and one.id > entry.id
            and one.evidence.champion == entry.decision.version
        )

    def _trained_at(self, entry: LedgerEntry) -> str:
        """The newest batch that the challenger's training held out, which a judgement after batches
        in shadow comes long after.
        """
        basis = self._judgement(entry.evidence)
        return basis.holdout[-1].batch if basis is not None and basis.holdout else entry.batch

    # --- batches ---

    def decided(self, record: BatchRecord) -> bool:
        """Whether this revision of a batch has its decision, from a run that died later or from an
        earlier one.

        A hold of the watch alone is none, nor is a refusal once the batch is accepted.
        """
        for entry in self.entries:
            if entry.batch != record.batch.id:
                continue
            match entry.decision, entry.evidence:
                case _, PolicyEvidence(revision=record.revision):
                    return True
                case RollBack(), WatchEvidence(revision=record.revision):
                    return True
                case _, Refusal(revision=record.revision) if not record.accepted:
                    return True
        return False

    def watched_since(self, entry: LedgerEntry) -> frozenset[str]:
        """Return the batches that the watch has looked at since ``entry``."""
        return frozenset(one.evidence.batch for one in self._watched() if one.id > entry.id)

    def _watched(self) -> tuple[LedgerEntry[Decision, WatchEvidence], ...]:
        return self._by(WatchEvidence)

    @property
    def frozen(self) -> LedgerEntry[Freeze, AnyEvidence] | None:
        """The decision that froze the model; None when it is not frozen, or was thawed since."""
        froze = [entry for entry in self._of(Freeze) if entry.id > self._thawed]
        return froze[-1] if froze else None

    @property
    def rollbacks_since_thaw(self) -> tuple[str, ...]:
        """The batches at which Kingmaker itself rolled back since the model was last thawed."""
        return tuple(
            entry.batch
            for entry in self._of(RollBack)
            if entry.decided_by == "kingmaker" and entry.id > self._thawed
        )

    @property
    def _thawed(self) -> int:
        return max((entry.id for entry in self._of(Thaw)), default=0)

    def judged_since(self, entry: LedgerEntry) -> bool:
        """Whether a challenger was promoted, or put before a person, since ``entry`` asked for
        one.
        """
        return any(one.id > entry.id for one in self._of(Promote, AwaitApproval))

    # --- by type ---

    def _of(self, *decisions: type[D]) -> tuple[LedgerEntry[D, AnyEvidence], ...]:
        found: Any = tuple(entry for entry in self.entries if isinstance(entry.decision, decisions))
        return found  # type: ignore[no-any-return]  # checked by isinstance, which narrows no generic

    def _by(self, evidence: type[E]) -> tuple[LedgerEntry[Decision, E], ...]:
        return _only(self.entries, evidence)


def asks_for_approval(entry: LedgerEntry[D, E]) -> TypeGuard[ApprovalRequest]:
    """Whether an entry is the gate's request for a person's approval."""
    return isinstance(entry.decision, AwaitApproval) and isinstance(entry.evidence, Evidence)


def in_order(entries: Iterable[LedgerEntry]) -> History:
    """Return the history that ``entries`` make."""
    return History(tuple(sorted(entries, key=lambda entry: entry.id)))


def _only(
    entries: tuple[LedgerEntry[D, AnyEvidence], ...], evidence: type[E]
) -> tuple[LedgerEntry[D, E], ...]:
    found: Any = tuple(entry for entry in entries if isinstance(entry.evidence, evidence))
    return found  # type: ignore[no-any-return]  # checked by isinstance, which narrows no generic
