"""Tests of metrics by name."""

import pytest

from tasks.evaluation.config import METRICS, greater_is_better, known_metric, quantile_of


def test_every_metric_has_a_direction() -> None:
    """Of what a spec may name, less is better of losses and errors, and more of everything else."""
    less = {"log_loss", "brier", "mae", "rmse", "mape", "median_absolute_error"}
    assert {n for names in METRICS.values() for n in names if not greater_is_better(n)} == less
    assert not greater_is_better("pinball_0.9")


@pytest.mark.parametrize(
    ("metric", "quantile"),
    [
        ("pinball_0.9", 0.9),
        ("pinball_0.05", 0.05),
        ("pinball_0.0", None),
        ("pinball_1.0", None),
        ("pinball", None),
        ("mae", None),
    ],
)
def test_quantile_stands_in_the_name(metric: str, quantile: float | None) -> None:
    """The pinball loss carries its quantile, above 0 and below 1; only a regression may ask
    for it.
    """
    assert quantile_of(metric) == quantile
    assert known_metric(metric, "regression") == (quantile is not None or metric == "mae")
    assert not known_metric(metric, "binary")
