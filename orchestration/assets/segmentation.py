"""Street2Fashion: the segmentation model, the masks it predicts, and the look set with those masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.batches import read_street_batch
from contracts.files import digest_of
from contracts.images import read
from contracts.masks import read_mask, segmented
from orchestration.asset import STREET_BATCH, Made, Step, asset
from orchestration.assets.trained import train
from orchestration.masking import PREDICTION, predict_masks, predicted_by
from orchestration.rows import read_rows, write_rows
from orchestration.shown import side_by_side
from orchestration.training_sets import look_version, resolve_masks, with_masks
from orchestration.trainings import read_outcome
from orchestration.workspace_tables import read_looks
from training.sets import LookSet, Segmentation

if TYPE_CHECKING:
    from training.context import Trained, TrainingContext
    from training.presets import Preset

_NETWORK = (
    *("training.street2fashion", "training.augment_masked", "training.backbones", "training.export", "training.fit"),
    *("training.losses", "training.pictures", "training.gathering", "training.ranks", "training.batches"),
    *("training.ibn", "training.looks", "training.metrics", "training.samplers", "training.weights"),
    "training.frozen_stages",
    *("contracts.images", "contracts.masks"),
)

SHOWN = 3


@asset(
    deps=["mask_set"],
    group="models",
    code=_NETWORK,
    libraries=("torch", "segmentation-models-pytorch"),
    kinds=frozenset({"pytorch", "mlflow"}),
)
def street2fashion(step: Step) -> Made:
    """The segmentation model: person or background."""
    rows = read_rows(step.workspace.home.derived("mask_set"), Segmentation)

    def fit(preset: Preset, context: TrainingContext) -> Trained:
        from training.street2fashion import train_street2fashion

        return train_street2fashion(resolve_masks(rows, step.workspace.data), preset.street2fashion, context)

    return train(step, "street2fashion", ["mask_set"], fit)


@asset(
    deps=["street_batches", "street2fashion"],
    group="segmentation",
    code=PREDICTION,
    partitions=STREET_BATCH,
    kinds=frozenset({"onnx"}),
)
def masks(step: Step) -> Made:
    """The person masks of a street batch, predicted."""
    workspace = step.workspace
    model = read_outcome(workspace.home, "street2fashion").digest
    if model is None:
        return Made("none", {"masks": "none: there is no segmentation model yet"})
    root = workspace.data / "street" / step.partition
    photos = [photo for photo in read_street_batch(root).photos if photo.op != "delete"]
    session = workspace.session(model)
    computed, version = predict_masks(session, workspace.home, photos, root, step.report)
    by = predicted_by(session)
    places = [(root / p.image, workspace.home.mask(model, by, p.sha256)) for p in photos[:SHOWN]]
    people = [[picture, segmented(picture, read_mask(mask))] for picture, mask in ((read(p), m) for p, m in places)]
    shown = {"examples": side_by_side(people)} if people else {}
    return Made(version, {"photos": len(photos), "computed": computed, **shown})


@asset(deps=["look_set", "masks"], group="sets", code=("orchestration.training_sets", "training.sets"))
def segmented_look_set(step: Step) -> Made:
    """The look set with the masks of exactly its photos."""
    workspace, home, looks = step.workspace, step.workspace.home, read_looks(step.workspace, "look_set")
    model = read_outcome(home, "street2fashion").digest if looks.photos else None  # without photos nobody waits for it
    if model is None:
        write_rows(home.derived("segmented_look_set"), [LookSet((), ())], LookSet)
        return Made("none", {"photos": "none, or there is no segmentation model yet"})
    session = workspace.session(model)
    # `masks` may have worked on a machine whose runtime computes otherwise.
    predict_masks(session, home, looks.photos, workspace.data, step.report)
    looks = with_masks(looks, model, predicted_by(session), home)
    write_rows(home.derived("segmented_look_set"), [looks], LookSet)
    return Made(digest_of([look_version(looks), model]), {"photos": len(looks.photos), "articles": len(looks.articles)})
