"""FashionDNA and the three matching models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.files import digest_of
from orchestration.asset import CATALOGUE_BATCH, Made, Step, asset
from orchestration.assets.trained import train
from orchestration.embedding import EMBEDDING, article_features
from orchestration.rows import read_rows
from orchestration.tables import merge_catalogue
from orchestration.training_sets import resolve_articles, resolve_looks
from orchestration.trainings import read_outcome
from orchestration.workspace_tables import read_looks
from training.sets import ArticleImages, LookSet

if TYPE_CHECKING:
    from training.context import Trained, TrainingContext
    from training.presets import Preset

_SHARED = (
    *("training.augment", "training.backbones", "training.export", "training.fit", "training.looks", "training.losses"),
    *("training.pictures", "training.probing", "training.samplers", "contracts.images", "contracts.masks"),
    *("training.ibn", "training.weights", "training.gathering", "training.ranks", "training.batches"),
    "training.metrics",
    "training.frozen_stages",
)
_MATCHING = (
    "training.matching",
    "training.matching_learners",
    "training.fusion",
    "training.memory",
    "training.dna_encoder",
)
_REID = (
    *("training.reid_baseline", "training.reid_batches", "training.reid_encoder", "training.reid_learner"),
    *("training.memory", "training.pretrained"),
)
MATCHING_CODE = (*_SHARED, *_MATCHING)
"""The code that shapes a matching model."""

REID_CODE = (*_SHARED, *_REID)
"""The code that shapes the strong baseline."""

DNA_CODE = (*_SHARED, "training.dna_encoder", "training.fashion_dna")
"""The code that shapes a FashionDNA."""

_LIBRARIES = ("torch", "timm", "openvino")
_TRAINS = frozenset({"pytorch", "mlflow"})


@asset(
    deps=["attribute_set"],
    group="models",
    code=DNA_CODE,
    libraries=_LIBRARIES,
    kinds=_TRAINS,
)
def fashion_dna(step: Step) -> Made:
    """The article feature model."""
    rows = read_rows(step.workspace.home.derived("attribute_set"), ArticleImages)

    def fit(preset: Preset, context: TrainingContext) -> Trained:
        from training.fashion_dna import train_fashion_dna

        return train_fashion_dna(resolve_articles(rows, step.workspace.data), preset.fashion_dna, context)

    return train(step, "fashion_dna", ["attribute_set"], fit)


@asset(
    deps=["catalogue_batches", "fashion_dna"],
    group="index",
    code=EMBEDDING,
    partitions=CATALOGUE_BATCH,
    kinds=frozenset({"onnx"}),
)
def article_dna(step: Step) -> Made:
    """The fixed features of the articles of a batch."""
    workspace = step.workspace
    model = read_outcome(workspace.home, "fashion_dna").digest
    if model is None:
        return Made("none", {"features": "none: there is no FashionDNA yet"})
    articles = merge_catalogue([(step.partition, workspace.catalogue_batch(step.partition))])
    images = {s: workspace.data / i for a in articles for s, i in zip(a.sha256, a.images, strict=True)}
    session = workspace.session(model)
    _, computed = article_features(session, workspace.home, images, step.report)
    version = digest_of([sorted(images), session.package.article_digest(), session.precision])
    return Made(version, {"articles": len(articles), "images": len(images), "computed": computed})


@asset(
    deps=["look_set", "fashion_dna"],
    group="models",
    code=MATCHING_CODE,
    libraries=_LIBRARIES,
    kinds=_TRAINS,
)
def studio2shop(step: Step) -> Made:
    """The matching model on photos as they are, against fixed FashionDNA."""
    return train(step, "studio2shop", ["look_set", "fashion_dna"], _matching(step, "look_set", segments=False))


@asset(
    deps=["segmented_look_set", "fashion_dna"],
    group="models",
    code=MATCHING_CODE,
    libraries=_LIBRARIES,
    kinds=_TRAINS,
)
def fashion2shop(step: Step) -> Made:
    """The matching model on segmented photos, against fixed FashionDNA."""
    fit = _matching(step, "segmented_look_set", segments=True)
    return train(step, "fashion2shop", ["segmented_look_set", "fashion_dna"], fit)


@asset(
    deps=["look_set"],
    group="models",
    code=REID_CODE,
    libraries=_LIBRARIES,
    kinds=_TRAINS,
)
def reid_baseline(step: Step) -> Made:
    """The strong baseline: one encoder for photos and articles."""

    def fit(preset: Preset, context: TrainingContext) -> Trained:
        from training.reid_baseline import train_reid_baseline

        return train_reid_baseline(_looks(step, "look_set"), preset.reid_baseline, context)

    return train(step, "reid_baseline", ["look_set"], fit)


def _matching(step: Step, name: str, *, segments: bool) -> Callable[[Preset, TrainingContext], Trained]:
    def fit(preset: Preset, context: TrainingContext) -> Trained:
        from training.matching import train_matching
        from training.sets import NotEnoughData

        dna = _package(step, "fashion_dna")
        segmenter = _package(step, "street2fashion") if segments else None
        if dna is None or (segments and segmenter is None):
            raise NotEnoughData("it needs FashionDNA" + (" and a segmentation model" if segments else ""))
        config = preset.fashion2shop if segments else preset.studio2shop
        return train_matching(_looks(step, name), dna, segmenter, config, context)

    return fit


def _looks(step: Step, name: str) -> LookSet:
    return resolve_looks(read_looks(step.workspace, name), step.workspace.data, step.workspace.home.root)


def _package(step: Step, name: str) -> Path | None:
    digest = read_outcome(step.workspace.home, name).digest
    return step.workspace.package(digest) if digest else None
