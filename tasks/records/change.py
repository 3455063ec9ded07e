"""Why the champion's loss on a batch is another than on its holdout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from tasks.records.base import Record
from tasks.records.evaluation import Interval

Cause = Literal["inputs", "base rate", "relation"]
IN_WORDS: Mapping[Cause, str] = {
    "inputs": "the inputs moved",
    "base rate": "the base rate moved",
    "relation": "the relation between inputs and target changed",
}


class LossPart(Record):
    """What the move of one feature did to the champion's mean loss."""

    feature: str
    change: Interval


class LossChange(Record):
    """Why the champion's mean loss on a batch is another than on its holdout: parts that add up to
    the change, each with the interval of its whole estimate.
    """

    type: Literal["split"] = "split"
    version: int
    before: float
    """On the holdout that travels with the version."""
    after: float
    """On the labelled rows of the batch, as they were served."""
    rows: int
    holdout_rows: int
    inputs: Interval
    """That other inputs came; the sum of ``features``, ``jointly`` and ``far``."""
    features: tuple[LossPart, ...]
    """The largest first."""
    jointly: Interval
    """What features do together that none adds by itself."""
    far: Interval
    """Of rows that lie where training or the holdout has too few: there inputs and relation cannot
    be told apart.
    """
    far_share: float
    """The share of such rows."""
    base_rate: Interval
    """That the outcome became more or less frequent at all inputs alike."""
    relation: Interval
    """That the same inputs mean another outcome."""
    adjusted: Interval | None = None
    """What weights, recalibration and predictions from before the batch closed changed; None where
    the version predicted as it was packaged.
    """
    chance: Interval
    """What is left, and how far rows of these numbers go by chance."""
    named: tuple[Cause, ...]
    """Causes whose part is told from 0, and is no small share of the largest."""

    @property
    def change(self) -> float:
        """By how much the loss rose; below 0 where it fell."""
        return self.after - self.before

    @property
    def parts(self) -> dict[Cause, Interval]:
        """The part of each cause."""
        return {"inputs": self.inputs, "base rate": self.base_rate, "relation": self.relation}

    @property
    def helps(self) -> str:
        """What can help against what raised the loss, in words; empty where nothing did."""
        worse = {cause for cause in self.named if self.parts[cause].value > 0}
        if "relation" in worse:
            return "a retrain can help"
        if "inputs" in worse and abs(self.far.value) > abs(self.inputs.value) / 2:
            return "on rows unlike those that it knows, which a retrain can teach it"
        if "base rate" in worse:
            return "a recalibration can help"
        return "within what it knows" if worse else ""

    def __str__(self) -> str:
        """Give the causes in words, with what can help."""
        if not self.named:
            return "the champion's loss is that of its holdout but for chance"
        only = "only " if self.named == ("inputs",) else ""
        said = " and ".join(
            f"{IN_WORDS[cause]} (loss {self.parts[cause].value:+.2g})" for cause in self.named
        )
        helps = f", {self.helps}" if self.helps else ""
        return f"since the champion's holdout {only}{said}{helps}"


class LossNotSplit(Record):
    """That the change of the champion's loss cannot be split, and why."""

    type: Literal["not split"] = "not split"
    version: int
    before: float | None
    """On its holdout; None where none is known."""
    after: float
    why: str

    def __str__(self) -> str:
        return f"why the loss changed cannot be told: {self.why}"


AnyLossChange = Annotated[LossChange | LossNotSplit, Field(discriminator="type")]
