"""What a drift report says in words: what moved, whether it is unusual, what it should do to the
champion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.records import (
    AnyLossChange,
    BatchRecord,
    DriftReference,
    DriftSummary,
    Effect,
    FeatureDrift,
    Interval,
    LossChange,
    Relation,
)
from tasks.records.change import IN_WORDS
from tasks.reports.figures import counted, interval, interval_known, number, odds, percent
from tasks.reports.summary import champion_performance

NAMED = 2
"""Features that the headline tells of; of more it gives the names, and of many the number."""
_MOST_NAMES = 8
SMALL = 0.01
"""Share of the champion's loss below which an effect is too small to matter."""
_NEW = 0.01
"""Share of rows beyond training from which it is told."""
_UNITS = {"degF": "°F", "degC": "°C", "percent": "%", "inHg": "inHg"}


def by_consequence(drift: DriftSummary, loss: float | None = None) -> list[FeatureDrift]:
    """Return the features that moved before those that did not: first what should change the loss
    of the champion, whose loss is ``loss``, then what takes it to rows that it has never seen, then
    what it relies on, then what moved farther.
    """

    def weight(f: FeatureDrift) -> tuple[bool, float, float, float, float]:
        effect = 0.0 if f.effect is None or f.effect.loss is None else _size(f.effect.loss, loss)
        moved = f.move.score if f.move is not None and f.move.score is not None else 0.0
        outside = 0.0 if f.move is None or f.move.outside < _NEW else f.move.outside
        relied = max(f.importance or 0.0, 0.0) * min(moved, 1.0)
        return not f.moved, -effect, -outside, -relied, -moved

    return sorted(drift.features, key=weight)


def move_in_words(f: FeatureDrift, unit: str = "") -> str:
    """Return how far a column moved, in its own unit; what did not move is told by its medians."""
    if f.move is None:
        return f.note
    move, told = f.move, list[str]()
    if move.median is not None:
        before, now = (number(median, 3) for median in move.median)
        unit = f" {_UNITS.get(unit, unit)}" if unit else ""
        shape = "in shape, " if move.values else ""
        told.append(
            f"median {before} to {now}{unit}"
            if before != now
            else f"{shape}median {now}{unit} as before"
        )
    elif f.histogram.after and f.histogram.before:
        pairs = zip(f.histogram.labels, f.histogram.before, f.histogram.after, strict=True)
        label, before_share, now_share = max(pairs, key=lambda one: abs(one[2] - one[1]))
        was, is_now = percent(before_share), percent(now_share)
        told.append(f"{label} {was} to {is_now}" if was != is_now else f"{label} {was} as before")
    for share, where in (
        (move.below, "below anything in training"),
        (move.above, "above anything in training"),
        (move.unseen, "of a category that training never held"),
    ):
        if share >= _NEW:
            told.append(f"{percent(share)} of the rows {where}")
    if move.gaps or (f.note and move.score is None):
        told.append(f"missing {percent(move.missing)} to {percent(f.missing_after)}")
    return ", ".join(told)


def unusual_in_words(f: FeatureDrift, reference: DriftReference, unit: str = "") -> str:
    """Return whether a column is unusual, by its values, its missing ones or the other columns, and
    how rare that is when nothing has changed.
    """
    if f.outcome == "not evaluable":
        return ""
    if f.relation is not None and f.relation.outcome == "unusual":
        return (
            f"{relation_in_words(f.relation, unit)}, {odds(f.relation.p_value)} if nothing had"
            " changed"
        )
    if f.outcome == "cannot be told":
        if f.relation is not None and f.relation.outcome == "usual":
            return "cannot be told; it is what the other columns lead one to expect"
        return "cannot be told"
    if f.outcome == "unusual" and f.missing is not None and f.missing.outcome == "unusual":
        said = f"missing values, {odds(f.missing.p_value)} if nothing had changed"
        if f.score is None or f.threshold is None or f.score <= f.threshold:
            return said
        return f"{odds(f.p_value)} if nothing had changed; {said}"
    if f.p_value is None:
        return ""
    rare = f"{odds(f.p_value)} if nothing had changed"
    if f.outcome == "unusual":
        return rare
    if reference.level is not None and f.p_value <= reference.level:
        return f"{rare}, but too small to matter"
    if f.score is not None and f.score > reference.psi:
        return f"usual: it swings as far by itself ({rare})"
    return "usual"


def relation_in_words(relation: Relation, unit: str = "") -> str:
    """Return what the other columns say of a column, against what it is."""
    expected, found = number(relation.expected, 3), number(relation.found, 3)
    unit = f" {_UNITS.get(unit, unit)}" if unit else ""
    if expected == found:
        return "it no longer goes with the other columns"
    return f"the other columns say a median of {expected}{unit}, found {found}{unit}"


def why_untold(reference: DriftReference) -> str:
    """Return why of a feature it cannot be told whether a move is unusual."""
    if reference.kind == "season":
        return "the same season swung too much from one time to the next"
    return "no earlier time of the same season is known, and training holds too few swings"


def effect_in_words(effect: Effect | None, outside: float, loss: float | None) -> str:
    """Return what a move should do to the loss of the champion, whose loss is ``loss``, where
    ``outside`` of the rows lie outside of training.
    """
    unseen = f"the champion has never seen {percent(outside)} of the rows"
    if effect is None or effect.loss is None:
        return f"not known: {unseen if outside > 0.5 else 'its holdout has too few such rows'}"
    said = _change(effect.loss, loss)
    if outside >= _NEW:
        return f"{said}; {unseen}, of which nothing is known"
    if effect.unknown >= _NEW:
        share = percent(effect.unknown)
        return f"{said}, without {share} of the rows, of which its holdout has none"
    return said


def _change(loss: Interval, of: float | None) -> str:
    if not interval_known(loss):
        return f"loss {_signed(loss)}: the holdout spans too little time to tell"
    if not _clear(loss):
        return f"no clear effect on the loss: {_signed(loss)}"
    rise = "rises" if loss.value > 0 else "falls"
    if not _size(loss, of):
        return f"loss {rise} by less than 1%: {_signed(loss)}"
    return f"loss {rise} by {_signed(loss)}"


def _signed(loss: Interval) -> str:
    sign = "+" if loss.value > 0 else ""
    return f"{sign}{interval(loss)}"


def _clear(loss: Interval) -> bool:
    return interval_known(loss) and (loss.low > 0 or loss.high < 0)


def _size(loss: Interval, of: float | None) -> float:
    """How large an effect is; 0 where it is not clear, or too small a share of the loss ``of``."""
    small = SMALL * of if of else 0.0
    return abs(loss.value) if _clear(loss) and abs(loss.value) >= small else 0.0


def moved_in_words(drift: DriftSummary, units: Mapping[str, str], loss: float | None = None) -> str:
    """Return the first sentence: how many features moved, and the first of them by consequence,
    in their own unit.
    """
    judged = [f for f in drift.inputs if f.move is not None]
    moved = [
        f for f in by_consequence(drift, loss) if f.moved and f.kind in ("numerical", "categorical")
    ]
    if not judged:
        return "No feature could be compared"
    also = [
        f"what {name}"
        for kind, name in (("prediction", "it predicts"), ("target", "came true"))
        if any(f.kind == kind and f.moved for f in drift.features)
    ]
    too = f"; {' and '.join(also)} moved too" if also and moved else ""
    if not moved:
        only = f"; {' and '.join(also)} did" if also else ""
        return f"None of {counted(len(judged), 'feature', 'features')} moved{only}"
    told = [f"{f.feature} ({move_in_words(f, units.get(f.feature, ''))})" for f in moved[:NAMED]]
    rest = [f.feature for f in moved[NAMED:]]
    if len(rest) > _MOST_NAMES:
        told.append(counted(len(rest), "other", "others"))
    else:
        told += rest
    of = counted(len(judged), "feature", "features")
    return f"{len(moved)} of {of} moved: {_listed(told)}{too}"


def is_it_unusual(drift: DriftSummary, units: Mapping[str, str]) -> str:
    """Return whether what moved is unusual for what is known of its swings."""
    own = [f for f in drift.features if f.kind != "prediction"]
    related = [f for f in own if f.relation is not None and f.relation.outcome == "unusual"]
    unusual = [f for f in own if f.outcome == "unusual" and f not in related]
    untold = [f for f in own if f.outcome == "cannot be told" and f.moved]
    told = [f for f in own if f.outcome == "usual" and f.moved]
    said = [
        f"yes, {f.feature}: {relation_in_words(f.relation, units.get(f.feature, ''))}"
        for f in related
        if f.relation is not None and not f.relation.leans_on
    ]
    if others := [f for f in related if f.relation is not None and f.relation.leans_on]:
        said.append(f"with it {_names(others)}")
    if unusual:
        their = "its own swings" if len(unusual) == 1 else "their own swings"
        said.append(f"yes, {_names(unusual)}: beyond what {their} explain")
    if untold:
        said.append(f"cannot be told of {_names(untold)}: {why_untold(drift.reference)}")
        if all(f.relation is not None and f.relation.outcome == "usual" for f in untold):
            is_are = "it is" if len(untold) == 1 else "they are"
            said.append(f"but {is_are} what the other columns lead one to expect")
    if told:
        swing = "swings" if len(told) == 1 else "swing"
        when = "at this time" if drift.reference.kind == "season" else "within training time"
        said.append(f"no for {_names(told)}, which {swing} as far {when}")
    return _sentence(*said) if said else "Nothing is unusual"


def does_it_matter(drift: DriftSummary, loss: float | None) -> str:
    """Return what all moves together should do to the champion's loss and to what it predicts."""
    predicted = ""
    if drift.predicted is not None:
        before, now = (number(mean, 3) for mean in drift.predicted)
        predicted = (
            f"its mean prediction went from {before} to {now}"
            if before != now
            else f"its mean prediction is {now}, as before"
        )
    if not any(f.moved for f in drift.inputs):
        return _sentence("nothing moved", predicted)
    outside = 0.0 if drift.outside is None else drift.outside.share
    return _sentence(effect_in_words(drift.together, outside, loss), predicted)


def how_it_does(record: BatchRecord, earlier: Sequence[BatchRecord]) -> str:
    """Return the champion's loss, and whether the mean of the earlier batches lies in, below or
    above its interval.
    """
    performance = champion_performance(record)
    if performance is None and record.estimate is not None and not record.estimate.withheld:
        return (
            "Labels are not mature yet; from its own calibrated scores the"
            f" champion\N{RIGHT SINGLE QUOTATION MARK}s loss is estimated at"
            f" {interval(record.estimate.loss)}, which is blind to concept drift"
        )
    if performance is None:
        return (
            "Labels are not mature yet, so the champion\N{RIGHT SINGLE QUOTATION MARK}s loss is not"
            " known"
        )
    losses = [p.loss.value for r in earlier if (p := champion_performance(r)) is not None]
    text = f"The champion\N{RIGHT SINGLE QUOTATION MARK}s loss is {interval(performance.loss)}"
    if not losses:
        return f"{text}, on the first batch it is judged on"
    if not interval_known(performance.loss):
        return text
    mean = sum(losses) / len(losses)
    if performance.loss.low > mean:
        return f"{text}, higher than before ({number(mean)} on average)"
    if performance.loss.high < mean:
        return f"{text}, lower than before ({number(mean)} on average)"
    return f"{text}, as before"


def why_it_changed(change: AnyLossChange) -> str:
    """Return in a sentence why the champion's loss is another than on its holdout."""
    after = number(change.after, 3)
    if not isinstance(change, LossChange):
        return f"It is {after}; why it is not that of the holdout cannot be told: {change.why}"
    before = number(change.before, 3)
    went = (
        f"From {before} on the holdout it {'rose' if change.change > 0 else 'fell'} to {after}"
        if before != after
        else f"It is {after}, as on the holdout"
    )
    if not change.named:
        return f"{went}, and nothing of that is told from chance"
    moved = [
        part.feature
        for part in change.features
        if _clear(part.change) and part.change.value * change.inputs.value > 0
    ]
    said = [
        f"{IN_WORDS[cause]} ({_signed(change.parts[cause])}"
        + (f", most by {_listed(moved[:NAMED])})" if cause == "inputs" and moved else ")")
        for cause in change.named
    ]
    return f"{went}: {_listed(said)}" + (f"; {change.helps}" if change.helps else "")


def _names(features: Sequence[FeatureDrift]) -> str:
    names = [f.feature for f in features]
    if len(names) > _MOST_NAMES:
        return counted(len(names), "feature", "features")
    return _listed(names)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _sentence(*parts: str) -> str:
    text = "; ".join(part for part in parts if part)
    return text[:1].upper() + text[1:]
