"""Tests of the promotion gate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.decisions.config import GateConfig
from tasks.decisions.gate import attempt_alpha, decide_promotion
from tasks.records import (
    AwaitApproval,
    Evidence,
    Guardrail,
    Interval,
    LeftOut,
    Promote,
    Reject,
    Shadow,
    UtilityComparison,
)
from tests.tasks.builders import PASSED, comparison, evidence, interval, slice_comparison

CONFIG = GateConfig()
BETTER = {"challenger_loss": 0.45, "t": -5.0, "p_better": 1e-5}


def test_attempt_levels_sum_to_alpha() -> None:
    """The levels of all attempts together never exceed alpha, and come close to it."""
    total = sum(attempt_alpha(0.05, attempt) for attempt in range(1, 100_000))

    assert 0.0499 < total < 0.05
    assert attempt_alpha(0.05, 1) == pytest.approx(0.030396355)
    assert attempt_alpha(0.05, 2) == pytest.approx(0.030396355 / 4)


def test_first_champion() -> None:
    """The first champion needs its guardrails only."""
    decision = decide_promotion(evidence("first"), CONFIG)

    assert isinstance(decision, Promote)
    assert (decision.version, decision.previous) == (2, None)


@pytest.mark.parametrize("kind", ["first", "refresh", "change of recipe"])
def test_no_comparison_with_the_champion_refuses(kind: str) -> None:
    """Whatever the kind, a champion is not replaced without a comparison."""
    decision = decide_promotion(evidence(kind, champion=1, comparison=None), CONFIG)

    assert isinstance(decision, Reject)
    assert "nothing was compared with the champion" in decision.reason


@pytest.mark.parametrize("kind", ["refresh", "change of recipe"])
def test_evidence_without_a_champion_refuses_what_is_not_first(kind: str) -> None:
    """A refresh of no champion is no first champion: the evidence contradicts itself."""
    assert isinstance(
        decide_promotion(evidence(kind, champion=None, comparison=None), CONFIG), Reject
    )


@pytest.mark.parametrize(
    ("loss", "t", "kind"),
    [
        (0.50, 0.0, Promote),
        (0.30, -9.0, Promote),
        (0.509, 9.0, Promote),  # 1.8% worse
        (0.511, 1.69, Promote),  # 2.2% worse, not clearly
        (0.511, 1.71, Reject),  # 2.2% worse, clearly
        (0.524, 1.69, Promote),  # 4.8% worse
        (0.526, 0.0, Reject),  # 5.2% worse outright
        (0.511, math.nan, Reject),
    ],
)
def test_refresh(loss: float, t: float, kind: type) -> None:
    """A refresh is champion unless it is clearly worse, or worse outright."""
    compared = comparison(challenger_loss=loss, t=t)

    assert isinstance(decide_promotion(evidence("refresh", comparison=compared), CONFIG), kind)


@pytest.mark.parametrize(
    ("loss", "t", "kind"),
    [(0.499, -0.1, Promote), (0.5, 0.0, Reject), (0.501, 0.1, Reject), (0.3, -9.0, Promote)],
)
def test_refresh_that_must_be_better(loss: float, t: float, kind: type) -> None:
    """With ``gate.refresh: better`` a refresh needs the lower loss, clearly or not."""
    compared = comparison(challenger_loss=loss, t=t)
    decision = decide_promotion(
        evidence("refresh", comparison=compared), GateConfig(refresh="better")
    )

    assert isinstance(decision, kind)
    assert kind is Promote or "not better, and gate.refresh asks for that" in decision.reason


@pytest.mark.parametrize(
    ("short", "why"),
    [
        ({"rows": 99}, "99 rows of the 100 that it takes"),
        ({"blocks": 7}, "7 blocks of time of the 8 that it takes"),
        ({"minority": 9}, "9 of 1,000 rows have another label than the most frequent one"),
    ],
)
def test_too_little_data(short: dict[str, int], why: str) -> None:
    """On too little data, or labels too much alike, the champion is kept, however well a refresh
    did, unless the spec has it go by the guardrails; a change of recipe goes on in shadow, if it
    may.
    """
    compared = comparison(challenger_loss=0.1, t=-9.0, p_better=0.0, **short)
    refresh = evidence("refresh", comparison=compared)

    kept = decide_promotion(refresh, CONFIG)
    assert isinstance(kept, Reject)
    assert kept.reason.startswith(f"too little to compare, so the champion is kept: {why}")
    refreshed = decide_promotion(refresh, GateConfig(without_evidence="refresh"))
    assert isinstance(refreshed, Promote)
    assert why in refreshed.reason
    assert isinstance(decide_promotion(evidence(comparison=compared), CONFIG), Shadow)
    assert isinstance(decide_promotion(evidence(comparison=compared), GateConfig(pool=0)), Reject)


@pytest.mark.parametrize(
    ("means", "batches", "kind"),
    [
        ((-1.0, -1.2, -0.8, -1.1) * 3, 1, Promote),
        ((-1.0, -1.2, -0.8, -1.1) * 3, 4, Promote),
        ((0.1, -0.2) * 6, 3, Shadow),  # four may come
        ((0.1, -0.2) * 6, 4, Reject),
        ((1.0, 1.2, 0.8, 1.1) * 3, 1, Shadow),  # ahead is the champion, however surely
        ((-1.0, math.nan) * 6, 4, Reject),
    ],
)
def test_pooled_in_shadow(means: tuple[float, ...], batches: int, kind: type) -> None:
    """Pooled rows are judged after every batch, by a test that may be looked at repeatedly, and
    then no more.
    """
    compared = comparison(challenger_loss=0.45, p_better=0.0, t=-9.0, block_means=means)
    pooled = tuple(f"2020-{month:02d}" for month in range(3, 3 + batches))

    assert isinstance(decide_promotion(evidence(comparison=compared, pooled=pooled), CONFIG), kind)


def test_still_too_little_after_all_batches() -> None:
    """A challenger whose batches are all too small is refused, and the reason counts them."""
    decision = decide_promotion(
        evidence(comparison=comparison(rows=50, **BETTER), pooled=("a", "b", "c", "d")), CONFIG
    )

    assert isinstance(decision, Reject)
    assert "50 rows of the 100 that it takes after 4 batches in shadow" in decision.reason


def test_just_enough_data() -> None:
    """At the limits there is enough data to prove a change of recipe."""
    compared = comparison(rows=100, blocks=8, minority=10, **BETTER)

    assert isinstance(decide_promotion(evidence(comparison=compared), CONFIG), Promote)


@pytest.mark.parametrize(
    ("p", "attempt", "kind"),
    [
        (0.0303, 1, Promote),
        (0.0305, 1, Reject),
        (0.0075, 2, Promote),
        (0.0077, 2, Reject),
        (0.0303, 3, Reject),
        (0.5, 1, Reject),
        (1.0, 1, Reject),
        (math.nan, 1, Reject),
    ],
)
def test_change_of_recipe(p: float, attempt: int, kind: type) -> None:
    """A change of recipe must be proven at the level of its attempt; a p of NaN proves nothing."""
    compared = comparison(challenger_loss=0.45, p_better=p)

    assert isinstance(
        decide_promotion(evidence(comparison=compared, attempt=attempt), CONFIG), kind
    )


@pytest.mark.parametrize(("loss", "said"), [(0.504, True), (0.5, False), (0.49, False)])
def test_a_promotion_with_a_higher_loss_says_why_it_is_right(loss: float, said: bool) -> None:
    """It reads like a mistake otherwise."""
    compared = comparison(challenger_loss=loss, t=0.5)

    reason = decide_promotion(evidence("refresh", comparison=compared), CONFIG).reason

    assert ("the new version has learned from newer rows" in reason) == said


@pytest.mark.parametrize("outcome", ["failed", "not made"])
@pytest.mark.parametrize("kind", ["first", "refresh", "change of recipe"])
def test_guardrail_refuses(kind: str, outcome: str) -> None:
    """A guardrail that failed, or was not made, refuses whatever the comparison says."""
    broken = Guardrail(
        code="KM002", name="not constant", outcome=outcome, found="spread 0", limit="above 0"
    )
    changes = {} if kind == "first" else {"comparison": comparison(**BETTER)}

    decision = decide_promotion(evidence(kind, guardrails=(PASSED, broken), **changes), CONFIG)

    assert isinstance(decision, Reject)
    assert decision.reason == f"guardrail KM002 'not constant' {outcome}: spread 0, limit above 0"


@pytest.mark.parametrize("kind", ["first", "refresh", "change of recipe"])
def test_no_guardrails_refuse(kind: str) -> None:
    """A challenger that nothing was checked of does not become champion."""
    assert isinstance(decide_promotion(evidence(kind, guardrails=()), CONFIG), Reject)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"challenger_loss": 0.56, "p_worse": 0.049}, Reject),
        ({"challenger_loss": 0.54, "p_worse": 0.0}, Promote),  # 8% worse
        ({"challenger_loss": 0.56, "p_worse": 0.051}, Promote),
        ({"challenger_loss": 0.56, "p_worse": 0.0, "rows": 99}, Promote),
        ({"challenger_loss": 0.56, "p_worse": 0.0, "blocks": 7}, Promote),
        ({"challenger_loss": 0.1, "champion_loss": 0.0, "p_worse": 0.0}, Reject),
    ],
)
def test_slice_that_lost_clearly_refuses(changes: dict[str, float], kind: type) -> None:
    """A slice refuses when it is worse by share and by p, on rows and blocks enough to say so."""
    compared = comparison(**BETTER, slices=(slice_comparison(**changes),))

    assert isinstance(decide_promotion(evidence(comparison=compared), CONFIG), kind)
    assert isinstance(decide_promotion(evidence("refresh", comparison=compared), CONFIG), kind)


@pytest.mark.parametrize(("p", "kind"), [(0.0049, Reject), (0.0051, Promote)])
def test_slices_share_their_level(p: float, kind: type) -> None:
    """Ten judged slices have a tenth of the level each; slices too small to judge take no part of
    it.
    """
    lost = slice_comparison(challenger_loss=0.9, p_worse=p)
    others = [slice_comparison(value=str(i)) for i in range(9)]
    small = [slice_comparison(value=f"small {i}", rows=5) for i in range(50)]
    compared = comparison(**BETTER, slices=(lost, *others, *small))

    decision = decide_promotion(evidence(comparison=compared), CONFIG)

    assert isinstance(decision, kind)
    if kind is Reject:
        assert (
            decision.reason
            == "slice carrier = AA is 80.0% worse on 500 rows (p 0.0049 over 10 slices)"
        )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("kind", ["refresh", "change of recipe"])
def test_incumbent_without_a_loss_blocks_nobody(kind: str, bad: float) -> None:
    """A champion whose loss is no number is replaced by any challenger with one."""
    compared = comparison(
        champion_loss=bad, t=math.nan, p_better=math.nan, champion_score=interval(math.nan)
    )

    assert isinstance(decide_promotion(evidence(kind, comparison=compared), CONFIG), Promote)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("champion_loss", [0.5, math.nan])
@pytest.mark.parametrize("kind", ["refresh", "change of recipe"])
def test_challenger_without_a_loss_is_never_promoted(
    kind: str, champion_loss: float, bad: float
) -> None:
    """A challenger whose loss is no number is refused, the champion."""
    compared = comparison(challenger_loss=bad, champion_loss=champion_loss, p_better=0.0, t=-9.0)

    assert isinstance(decide_promotion(evidence(kind, comparison=compared), CONFIG), Reject)


@pytest.mark.parametrize("kind", ["refresh", "change of recipe"])
def test_metric_that_cannot_be_computed_refuses(kind: str) -> None:
    """A challenger with a prediction that is no number is refused, however good its loss is."""
    compared = comparison(
        **BETTER, challenger_score=interval(math.nan), champion_score=interval(math.nan)
    )

    decision = decide_promotion(evidence(kind, comparison=compared), CONFIG)

    assert isinstance(decision, Reject)
    assert "no number" in decision.reason


@pytest.mark.parametrize("kind", ["refresh", "change of recipe"])
def test_metric_that_is_not_defined_decides_nothing(kind: str) -> None:
    """On rows of one class there is no AUC: the loss decides, either way."""
    undefined = {"challenger_score": None, "champion_score": None}

    better = comparison(**BETTER, **undefined)
    worse = comparison(challenger_loss=0.6, p_better=1.0, t=9.0, **undefined)

    assert isinstance(decide_promotion(evidence(kind, comparison=better), CONFIG), Promote)
    assert isinstance(decide_promotion(evidence(kind, comparison=worse), CONFIG), Reject)


@pytest.mark.parametrize(
    ("ours", "theirs", "greater", "kind"),
    [
        (0.60, 0.70, True, Reject),
        (0.69, 0.70, True, Promote),  # the intervals overlap
        (0.70, 0.60, True, Promote),
        (0.70, 0.60, False, Reject),
        (0.60, 0.70, False, Promote),
    ],
)
def test_metric_must_not_contradict(ours: float, theirs: float, greater: bool, kind: type) -> None:
    """A lower loss does not prove a change of recipe when the user's metric is clearly worse."""
    scores = {"challenger_score": interval(ours), "champion_score": interval(theirs)}
    compared = comparison(**BETTER, **scores, greater_is_better=greater)

    assert isinstance(decide_promotion(evidence(comparison=compared), CONFIG), kind)


def test_approval_required() -> None:
    """Where a person has the last word, a yes waits for it, of the first champion too; a no does
    not.
    """
    yes, no = evidence(comparison=comparison(**BETTER)), evidence()

    waiting = decide_promotion(yes, CONFIG, approval_required=True)

    assert isinstance(waiting, AwaitApproval)
    assert (waiting.version, waiting.previous) == (2, 1)
    assert isinstance(decide_promotion(no, CONFIG, approval_required=True), Reject)
    first = decide_promotion(evidence("first"), CONFIG, approval_required=True)
    assert isinstance(first, AwaitApproval)
    assert first.previous is None


# --- properties -----------------------------------------------------------------------------------

losses = st.one_of(st.floats(0, 10), st.just(math.nan), st.just(math.inf))
shares = st.floats(0, 1)
slices = st.builds(
    slice_comparison,
    value=st.text("abc", min_size=1, max_size=3),
    rows=st.integers(0, 500),
    blocks=st.integers(0, 30),
    challenger_loss=st.floats(0, 10),
    champion_loss=st.floats(0, 10),
    p_worse=shares,
)
comparisons = st.builds(
    comparison,
    rows=st.integers(0, 2000),
    blocks=st.integers(0, 40),
    challenger_loss=losses,
    champion_loss=losses,
    t=st.floats(-50, 50),
    p_better=shares,
    slices=st.lists(slices, max_size=4).map(tuple),
    challenger_score=st.floats(0, 1).map(interval),
    champion_score=st.floats(0, 1).map(interval),
    greater_is_better=st.booleans(),
)
guardrails = st.builds(
    Guardrail,
    code=st.sampled_from(["KM001", "KM005"]),
    name=st.just("g"),
    outcome=st.sampled_from(["passed", "failed", "not made"]),
    found=st.just(""),
    limit=st.just(""),
)
evidences = st.builds(
    evidence,
    kind=st.sampled_from(["first", "refresh", "change of recipe"]),
    champion=st.sampled_from([None, 1]),
    attempt=st.integers(1, 30),
    comparison=st.one_of(st.none(), comparisons),
    guardrails=st.lists(guardrails, max_size=4).map(tuple),
)
passed = st.builds(
    evidence,
    kind=st.sampled_from(["refresh", "change of recipe"]),
    attempt=st.integers(1, 30),
    comparison=comparisons,
)


BROKEN = Guardrail(
    code="KM005", name="calibration", outcome="failed", found="slope 3", limit="0.5 to 2"
)


@pytest.mark.parametrize("kind", ["first", "refresh", "change of recipe"])
def test_an_accepted_check_refuses_nothing_and_is_named(kind: str) -> None:
    """The model spec may accept a check by its code: the decision is that of the others, and says
    what did not pass; another check still refuses.
    """
    accepting = CONFIG.model_copy(update={"accept": ("KM005",)})
    seen = evidence(kind, guardrails=(PASSED, BROKEN))
    without = decide_promotion(evidence(kind), CONFIG)

    accepted = decide_promotion(seen, accepting)

    assert isinstance(decide_promotion(seen, CONFIG), Reject)
    assert accepted.kind == without.kind
    assert accepted.reason.endswith(
        "; accepted by gate.accept: KM005 'calibration' failed: slope 3, limit 0.5 to 2"
    )
    assert ("every other guardrail passed" in accepted.reason) == (kind == "first")
    other = BROKEN.model_copy(update={"code": "KM004"})
    assert isinstance(
        decide_promotion(evidence(kind, guardrails=(BROKEN, other)), accepting), Reject
    )


def test_a_check_that_passed_is_not_called_accepted() -> None:
    """Only what did not pass is reported."""
    accepting = CONFIG.model_copy(update={"accept": ("KM001",)})

    assert decide_promotion(evidence("first"), accepting) == decide_promotion(
        evidence("first"), CONFIG
    )


@given(evidences, st.booleans())
def test_never_promoted_with_a_failed_guardrail(seen: Evidence, approval: bool) -> None:
    """Whatever the evidence, one guardrail that did not pass refuses."""
    decision = decide_promotion(seen, CONFIG, approval_required=approval)

    if not seen.guardrails or any(g.outcome != "passed" for g in seen.guardrails):
        assert isinstance(decision, Reject)


@given(evidences)
def test_never_promoted_over_a_champion_without_finite_loss(seen: Evidence) -> None:
    """A version that is promoted over a champion was compared with it and has a loss."""
    decision = decide_promotion(seen, CONFIG)

    if isinstance(decision, Promote) and seen.champion is not None:
        assert seen.comparison is not None
        assert math.isfinite(seen.comparison.challenger_loss)


@given(
    passed,
    st.floats(0, 5),
    st.floats(0, 5),
    shares,
    st.lists(st.floats(0, 5), min_size=4, max_size=4),
    shares,
)
def test_a_worse_challenger_gains_nothing(
    seen: Evidence,
    more_loss: float,
    more_t: float,
    more_p: float,
    more_slices: list[float],
    less_p: float,
) -> None:
    """Making the challenger's loss worse, in all or in a slice, never turns a refusal into a
    promotion.
    """
    compared = seen.comparison
    assert compared is not None
    worse_slices = tuple(
        s.model_copy(
            update={
                "challenger_loss": s.challenger_loss + more,
                "p_worse": max(0.0, s.p_worse - less_p),
            }
        )
        for s, more in zip(compared.slices, more_slices, strict=False)
    )
    worse = compared.model_copy(
        update={
            "challenger_loss": compared.challenger_loss + more_loss,
            "t": compared.t + more_t,
            "p_better": min(1.0, compared.p_better + more_p),
            "slices": worse_slices,
        }
    )

    before = decide_promotion(seen, CONFIG)
    after = decide_promotion(seen.model_copy(update={"comparison": worse}), CONFIG)

    assert not (isinstance(before, Reject) and isinstance(after, Promote))


@given(evidences)
def test_same_input_same_output(seen: Evidence) -> None:
    """The gate is pure: the same evidence gives the same decision, and stays as it was."""
    before = seen.model_dump_json()

    decisions = [
        decide_promotion(Evidence.model_validate_json(before), CONFIG),
        decide_promotion(seen, CONFIG),
    ]

    assert decisions[0] == decisions[1]
    assert seen.model_dump_json() == before


@given(evidences)
def test_why_the_loss_changed_ends_the_reason_and_decides_nothing(seen: Evidence) -> None:
    """With it the decision is the same; where models were compared, its reason says it."""
    why = "since the champion's holdout the relation changed, a retrain can help"

    one = decide_promotion(seen, CONFIG)
    other = decide_promotion(seen.model_copy(update={"change": why}), CONFIG)

    assert one.model_copy(update={"reason": ""}) == other.model_copy(update={"reason": ""})
    assert other.reason.replace(f"; {why}", "") == one.reason


@pytest.mark.parametrize("kind", ["refresh", "change of recipe"])
def test_the_reason_says_why_the_loss_changed(kind: str) -> None:
    """After what was compared."""
    decided = decide_promotion(
        evidence(kind, change="since the holdout the base rate moved"), CONFIG
    )

    assert decided.reason.endswith("; since the holdout the base rate moved")


@pytest.mark.parametrize("kind", ["first", "refresh", "change of recipe"])
def test_the_reason_names_who_was_left_out(kind: str) -> None:
    """Whatever the decision, it says which candidates could not be trained, and why."""
    left_out = (LeftOut(estimator="sklearn.linear_model.Ridge", why="ValueError: too large"),)

    decided = decide_promotion(evidence(kind, left_out=left_out), CONFIG)
    refused = decide_promotion(evidence(kind, guardrails=(), left_out=left_out), CONFIG)

    assert decided.reason.endswith("; left out: Ridge: ValueError: too large")
    assert refused.reason.endswith("; left out: Ridge: ValueError: too large")


@pytest.mark.parametrize(
    ("judged_by", "words"),
    [
        ("log_loss", "loss 0.45 against 0.5"),
        ("metric", "roc_auc as a loss 0.45 against 0.5"),
        ("utility", "cost 0.45 against 0.5"),
    ],
)
def test_reason_names_what_was_compared_and_the_power_lost(judged_by: str, words: str) -> None:
    """What the loss would tell by the same rows stands beside what this tells."""
    tells = None if judged_by == "log_loss" else 0.011
    compared = comparison(**BETTER, judged_by=judged_by, loss_tells=tells)

    reason = decide_promotion(evidence("refresh", comparison=compared), CONFIG).reason

    assert words in reason
    assert ("(the loss tells 1.1%)" in reason) == (tells is not None)


@pytest.mark.parametrize("kind", ["refresh", "change of recipe"])
@pytest.mark.parametrize(
    ("low", "high", "loss", "refused"),
    [
        (-0.4, -0.1, "log_loss", True),
        (-0.4, -0.1, "metric", True),
        (-0.4, 0.0, "log_loss", False),
        (0.1, 0.4, "log_loss", False),
        (-0.4, -0.1, "utility", False),  # it is what is compared: the test decides
    ],
)
def test_predictions_that_are_worth_less_are_refused(
    kind: str, low: float, high: float, loss: str, refused: bool
) -> None:
    """When the whole interval says so, however much the loss has gained."""
    utility = UtilityComparison(
        challenger=interval(1.0),
        champion=interval(1.2),
        difference=Interval(value=(low + high) / 2, low=low, high=high),
    )
    compared = comparison(**BETTER, utility=utility)
    config = GateConfig.model_validate({"loss": loss})

    decision = decide_promotion(evidence(kind, comparison=compared), config)

    assert isinstance(decision, Reject) == refused
    assert ("worth less" in decision.reason) == refused


@pytest.mark.parametrize(
    ("challenger", "champion", "kind"),
    [(-1.0, -1.2, Reject), (-1.2, -1.0, Promote), (0.1, 0.0, Reject), (-0.1, 0.0, Promote)],
)
def test_a_cost_below_nothing_is_compared_all_the_same(
    challenger: float, champion: float, kind: type
) -> None:
    """Where predictions are worth something, less of a cost is better as ever."""
    compared = comparison(
        challenger_loss=challenger,
        champion_loss=champion,
        t=9.0 if challenger > champion else -9.0,
        judged_by="utility",
    )

    assert isinstance(decide_promotion(evidence("refresh", comparison=compared), CONFIG), kind)
