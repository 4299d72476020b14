"""An ablation on the workspace's look set: variants of a configuration, each trained, compared on validation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from contracts.errors import ThreadlineError
from contracts.files import digest_of, new_directory, sha256_of_bytes, write_json
from contracts.model_package import Provenance
from orchestration.assets.models import MATCHING_CODE, REID_CODE
from orchestration.code_versions import code_version
from orchestration.progress import Reporter
from orchestration.resources import Workspace
from orchestration.training_sets import resolve_looks
from orchestration.trainings import decoded_pictures, plain, read_outcome
from orchestration.workspace_tables import read_looks

if TYPE_CHECKING:
    from training.context import Trained, TrainingContext

Model = Literal["reid_baseline", "studio2shop"]
Results = dict[str, dict[str, float]]


def choose_variants(
    workspace: Workspace, model: Model, named: Sequence[str], epochs: int | None, per_epoch: int | None
) -> dict[str, Any]:
    """The variants of the workspace's configuration of `model`, by name: all, or the base and those `named`.

    Raises ThreadlineError for a name that none has.
    """
    from training.ablation import BASE, matching_variants, reduced, reid_variants

    preset = workspace.preset
    every: Mapping[str, Any] = (
        reid_variants(preset.reid_baseline) if model == "reid_baseline" else matching_variants(preset.studio2shop)
    )
    unknown = sorted(set(named) - set(every))
    if unknown:
        raise ThreadlineError(f"{model} has no variant '{unknown[0]}'", f"name some of: {'; '.join(every)}")
    wanted = {BASE, *(named or every)}
    return {name: reduced(config, epochs, per_epoch) for name, config in every.items() if name in wanted}


def ablate(workspace: Workspace, model: Model, variants: Mapping[str, Any], report: Reporter) -> Results:
    """Train each of `variants`; their validation figures by name. What was trained before is not trained again.

    Raises ThreadlineError when the workspace has no look set, or no FashionDNA where the model needs it.
    """
    results: Results = {}
    for name, config in variants.items():
        report(f"{model}: variants", len(results), len(variants), name)
        results[name] = _figures(workspace, model, config, report)
    return results


def _figures(workspace: Workspace, model: Model, config: Any, report: Reporter) -> dict[str, float]:
    home = workspace.home
    looks = home.derived("look_set")
    if not looks.exists():
        raise ThreadlineError("there is no look set yet", "run `threadline materialize` first")
    dna = read_outcome(home, "fashion_dna").digest if model == "studio2shop" else ""
    if dna is None:
        raise ThreadlineError("there is no FashionDNA, which this model learns from", "import more articles first")
    code = code_version(MATCHING_CODE if model == "studio2shop" else REID_CODE)
    key = digest_of([model, plain(config), code, sha256_of_bytes(looks.read_bytes()), dna])
    place = home.root / "ablations" / key
    kept = place / "figures.json"
    if not kept.exists():
        trained = _train(workspace, model, config, place, report)
        write_json(kept, {name: value for name, value in trained.metrics.items() if name.startswith("val/")})
        shutil.rmtree(place / "work")
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def _train(workspace: Workspace, model: Model, config: Any, place: Path, report: Reporter) -> Trained:
    from training.context import Progress, TrainingContext

    def show(progress: Progress) -> None:
        report(f"  {progress.stage}", progress.done, progress.total)

    work = place / "work"
    for folder in ("checkpoints", "plots"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    with new_directory(work / "package") as fresh:
        context = TrainingContext(
            out=fresh,
            checkpoints=work / "checkpoints",
            pictures=decoded_pictures(workspace.home),
            plots=work / "plots",
            report=show,
            log=lambda _values, _step: None,
            provenance=Provenance(config=plain(config)),
        )
        return _fit(workspace, model, config, context)


def _fit(workspace: Workspace, model: Model, config: Any, context: TrainingContext) -> Trained:
    from training.matching import train_matching
    from training.reid_baseline import train_reid_baseline
    from training.sets import NotEnoughData

    looks = resolve_looks(read_looks(workspace, "look_set"), workspace.data, workspace.home.root)
    try:
        if model == "reid_baseline":
            return train_reid_baseline(looks, config, context)
        dna = workspace.package(read_outcome(workspace.home, "fashion_dna").digest or "")
        return train_matching(looks, dna, None, config, context)
    except NotEnoughData as shortage:
        raise ThreadlineError(f"{model} cannot be trained: {shortage}", "import more pairs first") from shortage
