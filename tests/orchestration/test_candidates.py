"""Which package should serve, decided on validation queries by the margin and by how sure the lead is."""

from __future__ import annotations

import numpy as np
import pytest

from orchestration.candidates import Candidate, Choice, choose
from orchestration.comparison import Comparison, groups, paired
from orchestration.configuration import Promotion
from orchestration.evaluation import Evaluation, Score


def evaluation(name: str, val: float | None, test: float = 0.5) -> Evaluation:
    """A package whose digest is its method's name."""
    scores = {"test": Score(100, 0, 500, {1: test}, test)}
    if val is not None:
        scores["val"] = Score(50, 0, 500, {1: val}, val)
    return Evaluation(name, name, "float32", scores)


def decide(
    serving: str,
    *evaluations: Evaluation,
    low: float = 0.001,
    promotion: Promotion = Promotion(),  # noqa: B008  # frozen
    approved: str = "",
) -> Choice:
    """The choice where the lead's interval starts at `low`."""
    val = {e.digest: e.scores["val"].mean_ap for e in evaluations if "val" in e.scores}

    def compare(champion: str, challenger: str, challengers: int) -> Comparison:
        return Comparison(50, val[challenger] - val[champion], low, 1.0)

    return choose(evaluations, Candidate(serving, serving, ""), promotion, approved, compare)


def test_the_best_on_the_validation_split_starts() -> None:
    """The test split is for display: a package that is better there only does not win."""
    assert decide("", evaluation("a", 0.4, test=0.9), evaluation("b", 0.6, test=0.1)).chosen.digest == "b"


def test_a_challenger_must_win_by_the_margin() -> None:
    assert decide("old", evaluation("old", 0.600), evaluation("new", 0.605)).chosen.digest == "old"
    assert decide("old", evaluation("old", 0.600), evaluation("new", 0.620)).chosen.digest == "new"


def test_a_lead_that_chance_explains_does_not_win() -> None:
    assert decide("old", evaluation("old", 0.6), evaluation("new", 0.7), low=-0.01).chosen.digest == "old"


def test_without_queries_the_untrained_package_starts_and_a_serving_one_stays() -> None:
    empty = Evaluation("p", "pretrained", "float32", {})
    assert decide("", empty).chosen.digest == "p"
    assert decide("serving", empty).chosen.digest == "serving"


def test_a_serving_package_that_cannot_be_measured_gives_way() -> None:
    assert decide("gone", evaluation("a", 0.3)).chosen.digest == "a"


def test_by_hand_nothing_serves_unapproved_but_the_first_of_all() -> None:
    by_hand = Promotion(approval="manual")
    waiting = decide("gone", evaluation("a", 0.3), promotion=by_hand)
    assert waiting.chosen.digest == "gone" and waiting.proposed and waiting.proposed.digest == "a"
    assert decide("gone", evaluation("a", 0.3), promotion=by_hand, approved="a").chosen.digest == "a"
    assert decide("", evaluation("a", 0.3), promotion=by_hand).chosen.digest == "a"


def test_by_hand_a_winner_waits_until_it_is_approved_itself() -> None:
    by_hand = Promotion(approval="manual")
    packages = evaluation("old", 0.6), evaluation("new", 0.7)
    waiting = decide("old", *packages, promotion=by_hand, approved="another")
    assert waiting.chosen.digest == "old"
    assert waiting.proposed is not None and waiting.proposed.digest == "new"
    approved = decide("old", *packages, promotion=by_hand, approved="new")
    assert (approved.chosen.digest, approved.proposed) == ("new", None)


def test_a_small_lead_on_every_query_is_surer_than_a_large_one_on_few() -> None:
    champion, alone = np.random.default_rng(0).random(200) * 0.5, np.arange(200)
    everywhere = paired(champion, champion + 0.02, alone)
    few = paired(champion, champion + np.where(alone < 2, 2.0, 0.0), alone)
    assert everywhere.ahead == pytest.approx(few.ahead) == pytest.approx(0.02)
    assert everywhere.low > 0.019
    assert few.low <= 0 < few.high


@pytest.mark.parametrize(("photos", "challengers"), [(1, 1), (5, 1), (5, 3)])
def test_equals_are_seldom_taken_for_better(photos: int, challengers: int) -> None:
    """Sixty garments with so many photos each: what suits a garment suits all of its photos."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(60), photos)

    def equals() -> np.ndarray:
        return rng.normal(0, 0.2, 60)[group] + rng.normal(0, 0.2, len(group))

    promoted = 0
    for _ in range(200):
        best = max((equals() for _ in range(challengers)), key=np.mean)
        promoted += paired(np.zeros(len(group)), best, group, challengers).low > 0
    assert promoted / 200 < 0.06  # 0.025 is meant; two standard errors are 0.022


def test_photos_that_share_garments_are_one_group() -> None:
    found = groups([{0}, {1, 2}, {3}, {2, 4}, {0}, {4}])
    assert found.tolist() == [0, 1, 2, 1, 0, 1]
    assert groups([]).tolist() == []
