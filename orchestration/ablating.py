"""An ablation on the workspace's look set: variants of a configuration, each trained, compared on validation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from contracts.errors import ThreadlineError
from contracts.files import digest_of, new_directory, sha256_of_bytes, write_json
from contracts.model_package import Provenance
from orchestration.assets.models import DNA_CODE, MATCHING_CODE, REID_CODE
from orchestration.code_versions import code_version
from orchestration.home import Home
from orchestration.progress import Reporter
from orchestration.resources import Workspace
from orchestration.rows import read_rows
from orchestration.training_sets import resolve_articles, resolve_looks
from orchestration.trainings import decoded_pictures, plain, read_outcome
from orchestration.workspace_tables import read_looks

if TYPE_CHECKING:
    from training.context import Progress, Trained, TrainingContext

Model = Literal["reid_baseline", "studio2shop"]
Figures = dict[str, float]
"""Of one training, by name."""


def choose_variants(
    workspace: Workspace, model: Model, named: Sequence[str], epochs: int | None, per_epoch: int | None
) -> dict[str, Any]:
    """The variants of the workspace's configuration of `model`, by name: all, or the base and those `named`.

    Raises ThreadlineError for a name that none has.
    """
    from training.ablation import BASE, matching_variants, reduced, reid_variants

    preset = workspace.preset
    every: Mapping[str, Any] = (
        reid_variants(preset.reid_baseline)
        if model == "reid_baseline"
        else matching_variants(preset.studio2shop, preset.fashion_dna)
    )
    unknown = sorted(set(named) - set(every))
    if unknown:
        raise ThreadlineError(f"{model} has no variant '{unknown[0]}'", f"name some of: {'; '.join(every)}")
    wanted = {BASE, *(named or every)}
    return {name: reduced(config, epochs, per_epoch) for name, config in every.items() if name in wanted}


def ablate(
    workspace: Workspace, model: Model, variants: Mapping[str, Any], seeds: int, report: Reporter
) -> dict[str, list[Figures]]:
    """Train each of `variants` with so many `seeds`; their validation figures by name, seed by seed.

    What was trained before is not trained again. Raises ThreadlineError when the workspace has no look set, or no
    FashionDNA where the model needs it.
    """
    from training.ablation import with_seed

    results: dict[str, list[Figures]] = {name: [] for name in variants}
    for number in range(seeds):
        for place, (name, config) in enumerate(variants.items()):
            report(f"{model}: variants", number * len(variants) + place, seeds * len(variants), name)
            results[name].append(_figures(workspace, model, with_seed(config, number), report))
    return results


def _figures(workspace: Workspace, model: Model, config: Any, report: Reporter) -> Figures:
    home = workspace.home
    looks = home.derived("look_set")
    if not looks.exists():
        raise ThreadlineError("there is no look set yet", "run `threadline materialize` first")
    dna = read_outcome(home, "fashion_dna").digest if model == "studio2shop" else ""
    if dna is None:
        raise ThreadlineError("there is no FashionDNA, which this model learns from", "import more articles first")
    code = code_version(MATCHING_CODE if model == "studio2shop" else REID_CODE)
    key = digest_of([model, plain(config), code, sha256_of_bytes(looks.read_bytes()), dna])
    place = _ablations(home) / key
    kept = place / "figures.json"

    def show(progress: Progress) -> None:
        report(f"  {progress.stage}", progress.done, progress.total)

    if not kept.exists():
        with _package(home, place, config, show) as context:
            trained = _fit(workspace, model, config, context)
        write_json(kept, {name: value for name, value in trained.metrics.items() if name.startswith("val/")})
        shutil.rmtree(place / "work")
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def _ablations(home: Home) -> Path:
    return home.root / "ablations"


@contextmanager
def _package(home: Home, place: Path, config: Any, report: Callable[[Progress], None]) -> Iterator[TrainingContext]:
    """What a training is given that leaves a package in `place`/work."""
    from training.context import TrainingContext

    work = place / "work"
    for folder in ("checkpoints", "plots"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    with new_directory(work / "package") as fresh:
        yield TrainingContext(
            out=fresh,
            checkpoints=work / "checkpoints",
            pictures=decoded_pictures(home),
            plots=work / "plots",
            report=report,
            log=lambda _values, _step: None,
            provenance=Provenance(config=plain(config)),
        )


def _other_dna(workspace: Workspace, config: Any, report: Callable[[Progress], None]) -> Path:
    """The package of a FashionDNA that was trained for a variant, kept for whatever else is compared on it."""
    from training.fashion_dna import train_fashion_dna
    from training.sets import ArticleImages

    members = workspace.home.derived("attribute_set")
    key = digest_of(["fashion_dna", plain(config), code_version(DNA_CODE), sha256_of_bytes(members.read_bytes())])
    place = _ablations(workspace.home) / key
    if not (place / "work" / "package").exists():
        articles = resolve_articles(read_rows(members, ArticleImages), workspace.data)
        with _package(workspace.home, place, config, report) as context:
            train_fashion_dna(articles, config, context)
    return place / "work" / "package"


def _fit(workspace: Workspace, model: Model, config: Any, context: TrainingContext) -> Trained:
    from training.ablation import OnOtherDna
    from training.matching import train_matching
    from training.reid_baseline import train_reid_baseline
    from training.sets import NotEnoughData

    looks = resolve_looks(read_looks(workspace, "look_set"), workspace.data, workspace.home.root)
    try:
        if model == "reid_baseline":
            return train_reid_baseline(looks, config, context)
        if isinstance(config, OnOtherDna):
            return train_matching(
                looks, _other_dna(workspace, config.dna, context.report), None, config.matching, context
            )
        dna = workspace.package(read_outcome(workspace.home, "fashion_dna").digest or "")
        return train_matching(looks, dna, None, config, context)
    except NotEnoughData as shortage:
        raise ThreadlineError(f"{model} cannot be trained: {shortage}", "import more pairs first") from shortage
