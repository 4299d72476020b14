"""Which package should serve, decided on validation queries by the margin."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.files import write_text
from orchestration.candidates import Candidate, choose
from orchestration.configuration import TEMPLATE
from orchestration.evaluation import Evaluation, Score
from orchestration.resources import Workspace
from orchestration.rows import write_rows


def evaluation(name: str, val: float | None, test: float = 0.5) -> Evaluation:
    """A package whose digest is its method's name."""
    scores = {"test": Score(100, 0, 500, {1: test}, test)}
    if val is not None:
        scores["val"] = Score(50, 0, 500, {1: val}, val)
    return Evaluation(name, name, "float32", scores)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    write_text(tmp_path / "threadline.toml", TEMPLATE.format(preset="demo"))
    return Workspace(tmp_path)


def decide(workspace: Workspace, serving: str, *evaluations: Evaluation) -> str:
    write_rows(workspace.home.derived("retrieval_report"), list(evaluations), Evaluation)
    return choose(workspace, Candidate(serving, serving, "")).digest


def test_the_best_on_the_validation_split_starts(workspace: Workspace) -> None:
    """The test split is for display: a package that is better there only does not win."""
    assert decide(workspace, "", evaluation("a", 0.4, test=0.9), evaluation("b", 0.6, test=0.1)) == "b"


def test_a_challenger_must_win_by_the_margin(workspace: Workspace) -> None:
    assert decide(workspace, "old", evaluation("old", 0.600), evaluation("new", 0.605)) == "old"
    assert decide(workspace, "old", evaluation("old", 0.600), evaluation("new", 0.620)) == "new"


def test_without_queries_the_untrained_package_starts_and_a_serving_one_stays(workspace: Workspace) -> None:
    empty = Evaluation("p", "pretrained", "float32", {})
    assert decide(workspace, "", empty) == "p"
    assert decide(workspace, "serving", empty) == "serving"


def test_a_serving_package_that_cannot_be_measured_gives_way(workspace: Workspace) -> None:
    assert decide(workspace, "gone", evaluation("a", 0.3)) == "a"
