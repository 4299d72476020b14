"""Which package should serve."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from contracts.files import digest_of, write_json
from contracts.model_package import read_package
from orchestration.evaluation import Evaluation
from orchestration.home import Home
from orchestration.progress import Reporter
from orchestration.report import read_report
from orchestration.resources import Workspace
from orchestration.trainings import Job, Outcome, read_outcome, run_training

MATCHING = ("studio2shop", "fashion2shop", "reid_baseline")


@dataclass(frozen=True)
class Candidate:
    """The package that should serve, and why."""

    digest: str
    method: str
    reason: str


def read_candidate(home: Home) -> Candidate:
    """The present candidate; an empty one before the first decision."""
    path = home.derived("candidate")
    if not path.exists():
        return Candidate("", "", "")
    return Candidate(**json.loads(path.read_text(encoding="utf-8")))


def write_candidate(home: Home, candidate: Candidate) -> None:
    """Keep the candidate in one step."""
    write_json(home.derived("candidate"), asdict(candidate))


def packages_to_compare(workspace: Workspace, report: Reporter) -> dict[str, str]:
    """Name -> digest of the packages that the report compares: trained, untrained, and serving."""
    home = workspace.home
    digests = {name: read_outcome(home, name).digest for name in MATCHING}
    packages = {"pretrained": pretrained(workspace, report).digest, **digests}
    found = {name: digest for name, digest in packages.items() if digest is not None}
    serving = read_candidate(home).digest
    if serving and serving not in found.values():
        found["serving"] = serving
    return found


def pretrained(workspace: Workspace, report: Reporter) -> Outcome:
    """The package `pretrained`: the backbone as it comes, made once for a configuration."""

    def export(context: Any) -> Any:
        from training.pretrained import export_pretrained

        return export_pretrained(config, context)

    from training.presets import preset

    config = preset(workspace.configuration.preset).pretrained
    job = Job("pretrained", export, config, inputs={}, code_version=digest_of("1"), data_version="")
    return run_training(job, workspace.home, report)


def choose(workspace: Workspace, serving: Candidate) -> Candidate:
    """The candidate: the serving package unless another's validation mAP is higher by the margin.

    Without validation queries nothing can be measured: the serving package stays, or the untrained one starts.
    """
    evaluations = read_report(workspace.home)
    measured = {e.digest: e.scores["val"].mean_ap for e in evaluations if "val" in e.scores}
    best = max(evaluations, key=lambda e: measured.get(e.digest, -1.0))
    if not measured:
        return serving if serving.digest else _start(workspace, evaluations)
    if serving.digest == best.digest:
        return replace(serving, reason="still the best on the validation split")
    if serving.digest in measured:
        ahead = measured[best.digest] - measured[serving.digest]
        if ahead < workspace.configuration.promotion.margin:
            return replace(serving, reason=f"unchanged: {best.method} is only {ahead:+.3f} mAP ahead")
        return Candidate(
            best.digest, best.method, f"{ahead:+.3f} mAP ahead of {serving.method} on the validation split"
        )
    return Candidate(best.digest, best.method, f"the best on the validation split: {measured[best.digest]:.3f} mAP")


def _start(workspace: Workspace, evaluations: list[Evaluation]) -> Candidate:
    for evaluation in evaluations:
        if evaluation.method == "pretrained":
            return Candidate(evaluation.digest, "pretrained", "no pairs to learn from or to measure with")
    digest = evaluations[0].digest
    return Candidate(digest, read_package(workspace.home.package(digest)).method, "the only package")
