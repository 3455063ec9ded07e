"""The score-card of a model's past choices, in words."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.records import JudgedChoice, ScoreCard


def in_lines(card: ScoreCard) -> Iterator[str]:
    """Give the lines for a person: the sums, then each choice, the costliest wrong ones first."""
    count = dict.fromkeys(("right", "wrong", "cannot be told", "not judged"), 0)
    for one in card.judged:
        count[one.verdict] += 1
    if not card.judged:
        yield f"{card.model}: no choice between two versions was made yet"
        return
    yield (
        f"{card.model}: {len(card.judged)} choice{'s' * (len(card.judged) != 1)} between two"
        f" versions: {count['right']} right,"
        f" {count['wrong']} wrong, {count['cannot be told']} cannot be told,"
        f" {count['not judged']} not judged"
    )
    if card.gained is not None:
        yield (
            f"  together they gained {card.gained} in loss, summed over the rows that judged them"
            " (below 0: they cost it)"
        )
    for year in card.years if len(card.years) > 1 else ():
        yield (
            f"  {year.year}: {year.right} right, {year.wrong} wrong, {year.untold} cannot be told;"
            f" gained {year.gained}"
        )
    yield f"  {card.holds} times nothing was trained: there is no version to compare that with"
    for one in card.judged:
        yield from _in_lines(one)


def _in_lines(one: JudgedChoice) -> Iterator[str]:
    choice = one.choice
    yield (
        f"{choice.number:>4}  {choice.as_of:%Y-%m-%d %H:%M} UTC  batch {choice.batch}"
        f"  {choice.kind}: version {choice.chosen}, not {choice.other}: {one.verdict}"
    )
    if one.gained is None or one.chosen_loss is None or one.other_loss is None:
        yield f"      {one.why_not}"
        return
    share = "" if one.other_loss == 0 else f" ({1 - one.chosen_loss / one.other_loss:+.1%})"
    yield (
        f"      loss {one.chosen_loss:.4g}, and {one.other_loss:.4g} otherwise: gained"
        f" {one.gained}{share} on {one.rows:,} rows in {one.blocks} blocks of"
        f" {', '.join(one.batches)}"
    )
