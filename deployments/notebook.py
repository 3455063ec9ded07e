"""A home as pandas frames, for notebooks and scripts: it is only read.

    from deployments.notebook import Home

    home = Home(".kingmaker")
    home.batches("flights").score.plot()

Moments are ``datetime64[us, UTC]``, text is ``str``, and a whole number that may be missing is
``Int64``. An interval is three columns, ``NAME``, ``NAME_low`` and ``NAME_high``: 95%, two-sided,
and infinite where it is not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tasks.errors import MisuseError
from tasks.features.labels import labelled_rows
from tasks.history import History
from tasks.lake import to_frame
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine, read_only_ledger
from tasks.model_spec import ManagedModel, manage, managed_models
from tasks.records import (
    AnyEvidence,
    BatchRecord,
    Comparison,
    Evidence,
    FeatureDrift,
    Interval,
    KnownLabels,
    LedgerEntry,
    Predictions,
    Recalibrate,
    RecalibrationEvidence,
    TrainedModel,
    WatchEvidence,
)
from tasks.scoring.config import ScoringConfig
from tasks.scoring.delivered import BATCH, VERSION, as_delivered, delivered_names
from tasks.scoring.predictions import kept_predictions
from tasks.scoring.served import KEY, key_columns
from tasks.settings import Settings

_TIME, _COUNT, _NUMBER, _TEXT, _FLAG = "datetime64[us, UTC]", "Int64", "float64", "str", "bool"
_OUTCOME, _NTH = "outcome", "row with this key"


class NoSuchHomeError(MisuseError):
    """A directory has no ledger: nothing has run there."""


class UnknownModelError(MisuseError, LookupError):
    """Neither the project nor the ledger has a model of that name."""


class NoPredictionsError(MisuseError, LookupError):
    """A batch was not scored."""


class Home:
    """The models of a home and a project, as they stand when they are asked for.

    ``home`` and ``project`` are directories; left out, ``KINGMAKER_HOME`` and
    ``KINGMAKER_PROJECT`` say which, as for the ``kingmaker`` command. Raises NoSuchHomeError when
    nothing has run in the home, LedgerFormError when another version of Kingmaker wrote it.
    """

    def __init__(self, home: str | Path | None = None, project: str | Path | None = None) -> None:
        places = {"home": home, "project": project}
        given: dict[str, Any] = {k: Path(v) for k, v in places.items() if v is not None}
        self._settings = Settings(**given)
        place = self._settings.home.resolve()
        if not self._settings.ledger and not (place / "ledger.db").exists():
            found = "one without a ledger" if place.exists() else "no such directory"
            raise NoSuchHomeError(
                f"{place}: expected a home in which a model has run, found {found}; name another"
                " one, or run 'kingmaker demo'"
            )
        self._engine: Engine = read_only_ledger(self._settings.ledger_url)

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models under management, in the order of the alphabet."""
        return managed_models(self._settings)

    def batches(self, model: str) -> pd.DataFrame:
        """Return one row a batch, the newest revision of each, oldest first.

        The index is ``batch`` (str). ``start``, ``end``: its period, the end excluded.
        ``revision`` (int64), ``completed`` (bool), ``verdict`` and ``reason`` (str). ``rows`` and
        ``quarantined`` (int64); ``labelled`` (Int64): accepted rows that had their label when it
        was counted; ``served`` (Int64): rows that were predicted before the batch closed.
        ``version`` (Int64): the champion that scored it. ``drift_share`` (float64): share of the
        features, of those of which it can be told, that are unusual. ``metric`` (str) with the
        champion's ``score`` and ``loss``, each an interval (float64), missing while labels are not
        mature; ``estimated_score``, an interval too: what was estimated before.
        """
        return _framed(
            [_batch_row(record) for record in self._records(model).values()],
            {
                "batch": _TEXT,
                "start": _TIME,
                "end": _TIME,
                "revision": "int64",
                "completed": _FLAG,
                "verdict": _TEXT,
                "reason": _TEXT,
                "rows": "int64",
                "quarantined": "int64",
                "labelled": _COUNT,
                "served": _COUNT,
                "version": _COUNT,
                "drift_share": _NUMBER,
                "metric": _TEXT,
                **_interval_kinds("score", "loss", "estimated_score"),
            },
        ).set_index("batch")

    def scores(self, model: str) -> pd.DataFrame:
        """Return one row a batch, version and metric: the champion's, and the first champion's when
        it is another, of batches whose labels are mature, oldest first.

        ``batch`` (str), ``version`` (int64), ``metric`` (str; ``loss`` is the loss that decisions
        rest on), ``rows`` (int64), and the interval ``value`` (float64).
        """
        rows = [
            {
                "batch": record.batch.id,
                "version": one.version,
                "metric": name,
                "rows": one.rows,
                **_ends("value", value),
            }
            for record in self._records(model).values()
            for one in record.performances
            for name, value in {"loss": one.loss, **one.metrics}.items()
        ]
        kinds = {"batch": _TEXT, "version": "int64", "metric": _TEXT, "rows": "int64"}
        return _framed(rows, kinds | _interval_kinds("value"))

    def decisions(self, model: str) -> pd.DataFrame:
        """Return one row a decision with what it rests on, oldest first.

        The index is ``number`` (int64), the ledger's. ``batch``, ``kind`` (such as Promote),
        ``reason``, ``decided_by`` and ``flow_run`` (str); ``version`` (Int64): the one that it is
        about. ``as_of``: the moment in the data's time; ``recorded_at``; ``effective_at``, missing
        while it is only journalled. ``evidence_type`` (str) and ``evidence`` (object: the frozen
        record, see ``tasks/records/decision.py``). Where two versions were compared:
        ``compared_rows`` (Int64), ``challenger_loss``, ``champion_loss`` and ``p_better``
        (float64), and the interval ``difference`` (float64): challenger minus champion, negative
        where the challenger is better. After a promotion the version before it is the challenger.
        """
        kinds = {
            "number": "int64",
            "batch": _TEXT,
            "kind": _TEXT,
            "version": _COUNT,
            "reason": _TEXT,
            "decided_by": _TEXT,
            "as_of": _TIME,
            "recorded_at": _TIME,
            "effective_at": _TIME,
            "flow_run": _TEXT,
            "evidence_type": _TEXT,
            "evidence": "object",
            "compared_rows": _COUNT,
            "challenger_loss": _NUMBER,
            "champion_loss": _NUMBER,
            "p_better": _NUMBER,
            **_interval_kinds("difference"),
        }
        rows = [_decision_row(entry) for entry in self._history(model)]
        return _framed(rows, kinds).set_index("number")

    def versions(self, model: str) -> pd.DataFrame:
        """Return one row a registered version, oldest first.

        The index is ``version`` (int64). ``batch`` (str): at which it was trained. ``decision``
        (str): the newest about it but for recalibrations, empty before the first; ``champion``
        (bool): whether it serves now; ``champion_since``: when it became champion last, in the
        data's time, missing when it never did. ``estimator``, ``window``, ``recipe`` (str): how it
        was made, and the digest of that; of an ensemble, how its newest member was. ``members`` and
        ``features`` (int64): how many. ``rows`` (int64), ``trained_from``, ``trained_until``: what
        it has seen, the end excluded. ``importance`` (object: feature -> loss added when it is
        shuffled). ``contract_version``, ``code_version``, ``mlflow_run`` (str).
        """
        kinds = {
            "version": "int64",
            "batch": _TEXT,
            "decision": _TEXT,
            "champion": _FLAG,
            "champion_since": _TIME,
            "estimator": _TEXT,
            "window": _TEXT,
            "recipe": _TEXT,
            "members": "int64",
            "features": "int64",
            "rows": "int64",
            "trained_from": _TIME,
            "trained_until": _TIME,
            "importance": "object",
            "contract_version": _TEXT,
            "code_version": _TEXT,
            "mlflow_run": _TEXT,
        }
        history = self._history(model)
        trained = ledger.trained_versions(self._engine, model)
        rows = [_version_row(batch, one, history) for batch, one in trained.values()]
        return _framed(rows, kinds).set_index("version")

    def drift(self, model: str) -> pd.DataFrame:
        """Return one row a batch and column, oldest batch first: features, prediction and target
        against what the champion was trained on.

        ``batch``, ``feature`` (str), ``kind`` (str: numerical, categorical, prediction or target),
        ``version`` (int64): the champion's. ``outcome`` (str: usual, unusual, cannot be told, not
        evaluable), ``score`` (float64): the population stability index, ``threshold`` (float64):
        beyond which it is unusual, ``p_value`` (float64). ``moved`` (bool): whether it moved,
        unusual or not. ``missing_before``, ``missing_after`` (float64): shares of rows.
        ``importance`` (float64): loss added when it is shuffled; ``effect``, an interval (float64):
        the loss that the move is expected to add, missing where nothing is known of it.
        """
        kinds = {
            "batch": _TEXT,
            "feature": _TEXT,
            "kind": _TEXT,
            "version": "int64",
            "outcome": _TEXT,
            "score": _NUMBER,
            "threshold": _NUMBER,
            "p_value": _NUMBER,
            "moved": _FLAG,
            "missing_before": _NUMBER,
            "missing_after": _NUMBER,
            "importance": _NUMBER,
            **_interval_kinds("effect"),
        }
        rows = [
            _drift_row(record.batch.id, record.drift.version, one)
            for record in self._records(model).values()
            if record.drift is not None
            for one in record.drift.features
        ]
        return _framed(rows, kinds)

    def predictions(self, model: str, batches: Sequence[str] | None = None) -> pd.DataFrame:
        """Return one row a prediction of closed batches, or of those named, with its outcome,
        oldest batch first.

        The index is the event time and the key of the contract, without the columns that it
        classifies. ``prediction`` (float64), or ``probability_CLASS`` for each class; ``decision``
        (bool) where the spec has a threshold. ``served_by`` (str): version and recalibration, such
        as ``v3`` or ``v3.17``. ``scored_at``: when it was served; missing where the row was scored
        with its batch. ``batch`` (str). ``outcome``: what is known now, whether labels are mature
        or not; float64 (of a binary problem 0 and 1), str of a multiclass one, missing while it is
        not known.

        Raises UnknownModelError when there is no such model, NoPredictionsError when a named batch
        has none, and DamagedFileError when a file of the lake is not what was written.
        """
        records = self._records(model)
        managed = manage(model, self._settings)
        of_labels = ledger.known_batches(self._engine, model, "labels").values()
        labels = KnownLabels(batches=tuple(of_labels), as_of=datetime.now(UTC))
        frames = {
            id: _with_outcomes(managed, record, record.predictions, labels)
            for id, record in records.items()
            if record.predictions is not None and (batches is None or id in batches)
        }
        if absent := [id for id in batches or () if id not in frames]:
            raise NoPredictionsError(f"{model}: expected batches with predictions, found {absent}")
        return pd.concat(frames.values()) if frames else pd.DataFrame()

    def evidence(self, number: int) -> AnyEvidence:
        """Return what the decision with the ledger's ``number`` rests on; NoDecisionError when
        there is none.
        """
        return ledger.decision_numbered(self._engine, number).evidence

    def _records(self, model: str) -> Mapping[str, BatchRecord]:
        known = ledger.known_batches(self._engine, model)
        if not known and model not in self.models:
            raise UnknownModelError(
                f"{self._settings.project}: expected one of the models {', '.join(self.models)},"
                f" found {model!r}"
            )
        return known

    def _history(self, model: str) -> History:
        self._records(model)
        return ledger.history(self._engine, model)


def _framed(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> pd.DataFrame:
    """The rows as a frame with these columns and dtypes, also when there are none."""
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in kinds.items()}
    )


def _interval_kinds(*names: str) -> dict[str, str]:
    return {f"{name}{end}": _NUMBER for name in names for end in ("", "_low", "_high")}


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    """An interval's three columns; all missing without one."""
    if interval is None:
        return dict.fromkeys(_interval_kinds(name))
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _batch_row(record: BatchRecord) -> dict[str, Any]:
    champion = record.performances[0] if record.performances else None
    shown = None if record.estimate is None or record.estimate.withheld else record.estimate
    return {
        "batch": record.batch.id,
        "start": _utc(record.batch.start),
        "end": _utc(record.batch.end),
        "revision": record.revision,
        "completed": record.completed,
        "verdict": record.verdict.outcome,
        "reason": record.verdict.reason,
        "rows": record.verdict.rows,
        "quarantined": record.verdict.quarantined,
        "labelled": None if record.labelled is None else record.labelled.labelled,
        "served": None if record.predictions is None else record.predictions.served,
        "version": None if record.predictions is None else record.predictions.version,
        "drift_share": None if record.drift is None else record.drift.share,
        "metric": "" if champion is None else champion.metric,
        **_ends("score", None if champion is None else champion.score),
        **_ends("loss", None if champion is None else champion.loss),
        **_ends("estimated_score", None if shown is None else shown.score),
    }


def _decision_row(entry: LedgerEntry) -> dict[str, Any]:
    compared = _comparison(entry.evidence)
    return {
        "number": entry.id,
        "batch": entry.batch,
        "kind": entry.decision.kind,
        "version": entry.version,
        "reason": entry.decision.reason,
        "decided_by": entry.decided_by,
        "as_of": _utc(entry.as_of),
        "recorded_at": _utc(entry.recorded_at),
        "effective_at": _utc(entry.effective_at),
        "flow_run": entry.flow_run,
        "evidence_type": entry.evidence.type,
        "evidence": entry.evidence,
        "compared_rows": None if compared is None else compared.rows,
        "challenger_loss": None if compared is None else compared.challenger_loss,
        "champion_loss": None if compared is None else compared.champion_loss,
        "p_better": None if compared is None else compared.p_better,
        **_ends("difference", None if compared is None else compared.difference),
    }


def _comparison(evidence: AnyEvidence) -> Comparison | None:
    match evidence:
        case Evidence() | WatchEvidence() | RecalibrationEvidence():
            return evidence.comparison
        case _:
            return None


def _version_row(batch: str, trained: TrainedModel, history: History) -> dict[str, Any]:
    made = trained.new_member or trained.recipe
    about = [
        entry
        for entry in history
        if entry.version == trained.version and not isinstance(entry.decision, Recalibrate)
    ]
    became = [e for e in history.champion_changes if e.decision.version == trained.version]
    return {
        "version": trained.version,
        "batch": batch,
        "decision": about[-1].decision.kind if about else "",
        "champion": history.champion == trained.version,
        "champion_since": _utc(became[-1].as_of) if became else None,
        "estimator": made.estimator,
        "window": made.window,
        "recipe": made.hash,
        "members": len(trained.members) or 1,
        "features": len(trained.schema_.names),
        "rows": trained.rows,
        "trained_from": _utc(min(span.start for span in trained.trained_on)),
        "trained_until": _utc(trained.trained_until),
        "importance": dict(trained.behaviour.importance),
        "contract_version": trained.contract_version,
        "code_version": trained.code_version,
        "mlflow_run": trained.run_id,
    }


def _drift_row(batch: str, version: int, one: FeatureDrift) -> dict[str, Any]:
    return {
        "batch": batch,
        "feature": one.feature,
        "kind": one.kind,
        "version": version,
        "outcome": one.outcome,
        "score": one.score,
        "threshold": one.threshold,
        "p_value": one.p_value,
        "moved": one.moved,
        "missing_before": one.missing_before,
        "missing_after": one.missing_after,
        "importance": one.importance,
        **_ends("effect", None if one.effect is None else one.effect.loss),
    }


def _with_outcomes(
    managed: ManagedModel, record: BatchRecord, predictions: Predictions, labels: KnownLabels
) -> pd.DataFrame:
    """The predictions of a batch, each beside the outcome of the accepted row with its key."""
    contract, target = managed.contract, managed.spec.target
    keys, config = key_columns(contract), managed.spec.scoring or ScoringConfig()
    kept = pa.concat_tables(kept_predictions(managed.settings.lake, predictions))
    given = {BATCH: pa.scalar(record.batch.id)}
    frame = to_frame(as_delivered(kept, contract, (), config.threshold, given))
    wanted = keys if managed.labels is not None else (*keys, target)
    (rows,) = labelled_rows(managed, [record], labels, wanted).values()
    told = kept.select([f"{KEY}{name}" for name in keys]).rename_columns(keys)
    known = _numbered(rows.select(keys)).assign(**{_OUTCOME: _outcome(managed, rows[target])})
    joined = _numbered(told).merge(known, on=[*keys, _NTH], how="left", validate="one_to_one")
    frame = frame.assign(**{_OUTCOME: joined[_OUTCOME].to_numpy()})
    return frame.rename(columns={VERSION: "served_by"}).set_index(
        list(delivered_names(contract, keys).values())
    )


def _numbered(keys: pa.Table) -> pd.DataFrame:
    """Keys as a frame, those of several rows told apart by their order: without a primary key there
    is only the event time.
    """
    frame = to_frame(keys)
    return frame.assign(**{_NTH: frame.groupby(list(frame.columns)).cumcount()})


def _outcome(managed: ManagedModel, target: pa.ChunkedArray) -> pd.Series:
    labels = managed.spec.problem == "multiclass"
    kind, dtype = (pa.string(), "str") if labels else (pa.float64(), "float64")
    return pd.Series(target.cast(kind).to_pandas(), dtype=dtype)
