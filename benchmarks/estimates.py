"""How often an estimate before labels holds what labels then say: five streams with late labels.

    python -m benchmarks.estimates [--data DIR] [--streams NAME ...] [--cache DIR] [--quick]

Data, streams and cached models are those of ``benchmarks.yardstick``. Labels come LATE batches
after their batch, and a model is trained at every EVERY-th batch with labels, on all history. Each
batch is estimated by ``tasks/evaluation/estimate.py``, with what is known of earlier estimates by
then. Prints a Markdown table.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.harness import arguments, heading, row, takes_data
from benchmarks.simulation.models import Models
from benchmarks.simulation.streams import SETTINGS, Stream
from benchmarks.yardstick import QUICK, streams
from flows.whatif.judging import labelled_rows
from tasks.evaluation.estimate import beyond_known, checked, estimate
from tasks.evaluation.judgement import performance
from tasks.evaluation.metrics import EvaluationError
from tasks.evaluation.objective import Objective
from tasks.evaluation.scored import Scored
from tasks.records import Estimate, FeatureSchema, Interval, Performance

LATE, EVERY, REFERENCE = 3, 4, 3
"""In batches; the reference is that of flows/steps/estimate.py."""
METRIC = {"binary": "roc_auc", "regression": "mae"}
SAMPLE = 10_000
"""Training rows whose features are known, as those that travel with a model."""


def estimates(models: Models) -> list[tuple[Estimate, Estimate, Performance]]:
    """Return each batch's estimate as its own reference has it, as it is after the earlier ones
    were checked, and what the labels said.
    """
    stream, first = models.stream, models.stream.setting.first
    found: list[tuple[int, Estimate, Estimate, Performance]] = []
    for batch in range(first + LATE + 1, len(stream.batches)):
        labelled = batch - 1 - LATE
        trained = first - 1 + EVERY * ((labelled - first + 1) // EVERY)
        if trained == labelled:
            continue  # no labelled row is there that the model has not seen
        unseen = stream.rows(max(trained + 1, labelled + 1 - REFERENCE), labelled)
        past = [(one, truth) for at, _, one, truth in found if at <= labelled]
        try:
            truth = performance(_scored(models, trained, stream.rows(batch)), ())
            own = estimate(
                _scored(models, trained, unseen),
                models.get(trained, None, False).of(stream.rows(batch)),
            )
        except EvaluationError:
            continue
        beyond = _beyond(stream, trained, unseen, batch)
        found.append((batch, own, checked(own, past, stream.setting.problem, beyond), truth))
    return [(own, one, truth) for _, own, one, truth in found]


def _scored(models: Models, trained: int, rows: slice) -> Scored:
    stream, made = models.stream, models.get(trained, None, False)
    objective = Objective(stream.setting.problem, METRIC[stream.setting.problem])
    return Scored(labelled_rows(stream, rows), objective, (made.of(rows),), version=trained)


def _beyond(stream: Stream, trained: int, unseen: slice, batch: int) -> str:
    seen = np.arange(stream.rows(0, trained).stop)
    drawn = np.random.default_rng(0).choice(seen, min(SAMPLE, len(seen)), replace=False)
    features = stream.features
    known: list[pd.DataFrame] = [features.iloc[drawn], features.iloc[unseen]]
    text = tuple(name for name in features.columns if features[name].dtype == "category")
    numbers = tuple(name for name in features.columns if name not in text)
    schema = FeatureSchema(numerical=numbers, categorical=text)
    return beyond_known(features.iloc[stream.rows(batch)], known, schema)


def main() -> None:
    """Estimate, compare with the truth, print."""
    parser = arguments(__doc__, quick=f"the first {QUICK} batches")
    takes_data(parser)
    parser.add_argument("--streams", nargs="+", default=[one.name for one in SETTINGS])
    parser.add_argument("--cache", type=Path, help="where predictions are kept; --work by default")
    given = parser.parse_args()
    chosen = streams(given.data, given.streams)
    if given.quick:
        chosen = [stream.head(stream.setting.first + LATE + QUICK) for stream in chosen]
    ends = [f"{kind} interval holds" for kind in ("own", "score's", "loss's")]
    heading("stream", "batches", ends[0], "shown", *ends[1:], "half width", "withheld for")
    with tempfile.TemporaryDirectory(dir=given.work) as temporary:
        for stream in chosen:
            told = estimates(Models(stream, given.cache or Path(temporary)))
            shown = [(one, truth) for _, one, truth in told if not one.withheld]
            widths = [(one.score.high - one.score.low) / 2 for one, _ in shown]
            why = [_why(one.withheld) for _, one, _ in told if one.withheld]
            row(
                stream.setting.name,
                f"{len(told)}",
                _share([_holds(own.score, truth.score) for own, _, truth in told]),
                f"{len(shown)}",
                _share([_holds(one.score, truth.score) for one, truth in shown]),
                _share([_holds(one.loss, truth.loss) for one, truth in shown]),
                f"{np.median(widths):.3g}" if shown else "",
                ", ".join(f"{kind} {why.count(kind)}" for kind in dict.fromkeys(why)),
            )


def _holds(estimated: Interval, truth: Interval | None) -> bool:
    return truth is not None and estimated.low <= truth.value <= estimated.high


def _share(held: list[bool]) -> str:
    return f"{sum(held) / len(held):.0%}" if held else ""


def _why(withheld: str) -> str:
    kinds = {
        "checked": "too few checked",
        "predictions": "predictions moved",
        "beyond": "feature beyond",
    }
    return next((name for word, name in kinds.items() if word in withheld), "mostly wrong")


if __name__ == "__main__":
    main()
