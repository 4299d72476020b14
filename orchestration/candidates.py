"""Which package should serve."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from contracts.errors import ThreadlineError
from contracts.files import digest_of, write_json
from contracts.model_package import read_package
from contracts.registry import SERVING_MODEL
from orchestration.comparison import Comparison, compare
from orchestration.configuration import Promotion
from orchestration.decisions import Pin, read_approval, read_pin
from orchestration.evaluation import Evaluation
from orchestration.home import Home
from orchestration.progress import Reporter
from orchestration.report import read_report
from orchestration.resources import Workspace
from orchestration.trainings import Job, Outcome, read_outcome, run_training

MATCHING = ("studio2shop", "fashion2shop", "reid_baseline")

Compare = Callable[[str, str, int], Comparison]
"""(champion's digest, challenger's digest, how many challengers it is the best of) -> how they compare."""


@dataclass(frozen=True)
class Candidate:
    """The package that should serve, and why."""

    digest: str
    method: str
    reason: str


@dataclass(frozen=True)
class Choice:
    """What the measurements choose, whatever is pinned; and the package that waits for an approval."""

    chosen: Candidate
    proposed: Candidate | None = None


def read_candidate(home: Home) -> Candidate:
    """The present candidate; an empty one before the first decision."""
    path = home.derived("candidate")
    if not path.exists():
        return Candidate("", "", "")
    return Candidate(**json.loads(path.read_text(encoding="utf-8")))


def read_choice(home: Home) -> Choice:
    """The present choice; before the first one, the candidate itself."""
    path = home.derived("choice")
    if not path.exists():
        return Choice(read_candidate(home))
    value = json.loads(path.read_text(encoding="utf-8"))
    return Choice(Candidate(**value["chosen"]), Candidate(**value["proposed"]) if value["proposed"] else None)


def decide(workspace: Workspace, report: Reporter) -> Candidate:
    """Choose by the measurements, let a pin override that, and keep both decisions."""
    home, approval = workspace.home, read_approval(workspace.home)
    choice = choose(
        read_report(home),
        read_choice(home).chosen,
        workspace.configuration.promotion,
        approval.digest if approval else "",
        partial(compare, workspace, report=report),
    )
    pin = read_pin(home)
    candidate = _pinned(workspace, pin) if pin else choice.chosen
    write_json(home.derived("choice"), asdict(choice))
    write_json(home.derived("candidate"), asdict(candidate))
    return candidate


def packages_to_compare(workspace: Workspace, report: Reporter) -> dict[str, str]:
    """Name -> digest of the packages that the report compares: trained, untrained, and the chosen one so far."""
    home = workspace.home
    digests = {name: read_outcome(home, name).digest for name in MATCHING}
    packages = {"pretrained": pretrained(workspace, report).digest, **digests}
    found = {name: digest for name, digest in packages.items() if digest is not None}
    serving = read_choice(home).chosen.digest
    if serving and serving not in found.values() and workspace.find(serving):
        found["serving"] = serving
    return found


def pretrained(workspace: Workspace, report: Reporter) -> Outcome:
    """The package `pretrained`: the backbone as it comes, made once for a configuration."""

    def export(context: Any) -> Any:
        from training.pretrained import export_pretrained

        return export_pretrained(config, context)

    config = workspace.preset.pretrained
    job = Job("pretrained", export, config, inputs={}, code_version=digest_of("1"), data_version="")
    return run_training(job, workspace.home, report)


def choose(
    evaluations: Sequence[Evaluation], incumbent: Candidate, promotion: Promotion, approved: str, compare: Compare
) -> Choice:
    """The incumbent, unless the best challenger's lead on the validation queries is large and sure enough.

    Without validation queries nothing can be measured: the incumbent stays, or the untrained package starts. An
    incumbent that cannot be measured any more gives way. `approved` is the digest that a person approved, where
    promotion needs it; the first package of all does not.
    """
    measured = {e.digest: e.scores["val"].mean_ap for e in evaluations if "val" in e.scores}
    best = max(evaluations, key=lambda e: measured.get(e.digest, -1.0))
    if not measured:
        return Choice(incumbent if incumbent.digest else _start(evaluations))
    if best.digest == incumbent.digest:
        return Choice(replace(incumbent, reason="still the best on the validation split"))
    if incumbent.digest not in measured:
        reason = f"the best on the validation split: {measured[best.digest]:.3f} mAP"
    else:
        lead = compare(incumbent.digest, best.digest, len(measured) - 1)
        told = f"{lead.ahead:+.3f} mAP [{lead.low:+.3f}, {lead.high:+.3f}] on {lead.queries} validation queries"
        if lead.ahead < promotion.margin or lead.low <= 0:
            return Choice(replace(incumbent, reason=f"unchanged: {best.method} leads by only {told}"))
        reason = f"leads {incumbent.method} by {told}"
    challenger = Candidate(best.digest, best.method, reason)
    if not incumbent.digest:
        return Choice(challenger)
    if promotion.approval == "manual" and approved != challenger.digest:
        return Choice(replace(incumbent, reason=f"{best.method} waits for `threadline approve`"), challenger)
    return Choice(challenger)


def _start(evaluations: Sequence[Evaluation]) -> Candidate:
    untrained = [e for e in evaluations if e.method == "pretrained"]
    first = (untrained or evaluations)[0]
    return Candidate(first.digest, first.method, "no pairs to learn from or to measure with")


def _pinned(workspace: Workspace, pin: Pin) -> Candidate:
    """The pinned package, fetched where it is not here any more. Raises ThreadlineError when it cannot be had."""
    packages = workspace.home.package(pin.digest).parent
    root = workspace.registry.fetch(SERVING_MODEL, pin.version, packages)
    if root.name != pin.digest:
        raise ThreadlineError(f"version {pin.version} is not the package that was pinned", "threadline unpin")
    return Candidate(pin.digest, read_package(root).method, f"version {pin.version} is pinned by {pin.who}")
