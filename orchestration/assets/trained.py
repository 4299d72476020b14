"""What the assets that train have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.asset import Made, Step
from orchestration.dvc_data import data_version
from orchestration.resources import Workspace
from orchestration.shown import pictures
from orchestration.trainings import Job, Outcome, run_training

if TYPE_CHECKING:
    from training.context import Trained, TrainingContext
    from training.presets import Preset

    Fit = Callable[[Preset, TrainingContext], Trained]


def train(step: Step, name: str, inputs: Sequence[str], fit: Fit) -> Made:
    """Run the training `name` with the workspace's preset, or take what it gave before."""
    chosen = step.workspace.preset
    job = Job(
        name=name,
        train=lambda context: fit(chosen, context),
        config=getattr(chosen, name),
        inputs={key: step.version(key) for key in inputs},
        code_version=step.lineage.code_version(dg.AssetKey(name)),
        data_version=data_version(step.workspace.root),
    )
    outcome = run_training(job, step.workspace.home, step.report)
    return Made(outcome.data_version, _figures(step.workspace, name, outcome), run_tags=_links(outcome))


def _figures(workspace: Workspace, name: str, outcome: Outcome) -> dict[str, Any]:
    if outcome.digest is None:
        return {"package": "none", "reason": outcome.reason}
    plots = sorted(workspace.home.plots(name).glob("*.png"))
    shown = {"plots": pictures(plots)} if plots else {}
    page = workspace.run_page(outcome.run_id)
    run = dg.MetadataValue.url(page) if page else outcome.run_id
    return {"package": outcome.digest, "MLflow run": run, **outcome.metrics, **shown}


def _links(outcome: Outcome) -> dict[str, str]:
    """Tags of the run in Dagster that lead to the run in MLflow."""
    return {"mlflow/run_id": outcome.run_id} if outcome.run_id else {}
