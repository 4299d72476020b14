"""Articles and photos as they are now, their sides, and the training sets made of them."""

from __future__ import annotations

from orchestration.admission import note_admission, share_wanted
from orchestration.asset import Made, Step, asset
from orchestration.dvc_data import require_tables
from orchestration.erased import articles_left, erased, looks_left, masks_left
from orchestration.rows import read_rows, write_rows
from orchestration.splitting import update_splits
from orchestration.tables import build_catalogue, build_photos
from orchestration.training_sets import (
    admitted_articles,
    admitted_looks,
    admitted_masks,
    article_rows,
    look_rows,
    look_version,
    mask_rows,
    version_of,
)
from orchestration.workspace_tables import read_catalogue, read_photos, read_sides
from training.sets import ArticleImages, LookSet, Segmentation

_TABLES = ("contracts.batches", "orchestration.tables")
_SETS = (
    "contracts.splits",
    "orchestration.splitting",
    "orchestration.training_sets",
    "training.sets",
    "orchestration.erased",
)


@asset(deps=["catalogue_batches"], group="tables", code=_TABLES, kinds=frozenset({"parquet"}))
def catalogue(step: Step) -> Made:
    """The articles as they are now: later batches override earlier ones, `delete` removes."""
    workspace = step.workspace
    batches = step.partitions("catalogue_batches")
    require_tables(workspace.root, "catalogue", batches)
    articles, version = build_catalogue(workspace.data, batches, workspace.home.catalogue)
    pictured = sum(bool(article.images) for article in articles)
    return Made(version, {"articles": len(articles), "with images": pictured})


@asset(deps=["street_batches"], group="tables", code=_TABLES, kinds=frozenset({"parquet"}))
def photos(step: Step) -> Made:
    """The photos and pairs as they are now."""
    workspace = step.workspace
    batches = step.partitions("street_batches")
    require_tables(workspace.root, "street", batches)
    rows, pairs, version = build_photos(workspace.data, batches, workspace.home.photos)
    masks = sum(photo.mask is not None for photo in rows)
    return Made(version, {"photos": len(rows), "with a mask": masks, "pairs": len(pairs)})


@asset(deps=["catalogue", "photos"], group="sets", code=_SETS, kinds=frozenset({"parquet"}))
def splits(step: Step) -> Made:
    """Train, validation or test, once for ever, for every article and photo."""
    workspace = step.workspace
    articles, (rows, pairs) = read_catalogue(workspace), read_photos(workspace)
    shares = workspace.configuration.splits.shares
    result, version = update_splits(workspace.home.splits, articles, rows, pairs, shares)
    return Made(version, {"members": len(result.sides), "pairs set aside": len(result.set_aside)})


@asset(deps=["photos", "splits", "admission"], group="sets", code=_SETS, kinds=frozenset({"json"}))
def mask_set(step: Step) -> Made:
    """The photos with masks that Street2Fashion learns from."""
    workspace, path = step.workspace, step.workspace.home.derived("mask_set")
    rows = mask_rows(read_photos(workspace)[0], read_sides(workspace), workspace.data)
    before = read_rows(path, Segmentation) if path.exists() else []
    kept = admitted_masks(rows, masks_left(before, erased(workspace.home)), _share(step, "mask_set"))
    write_rows(path, kept, Segmentation)
    note_admission(workspace.home, "mask_set", step.version("admission"))
    waiting = {row.photo_id for row in rows} - {row.photo_id for row in kept}
    return Made(version_of(kept), {"photos": len(kept), "waiting for admission": len(waiting)})


@asset(deps=["catalogue", "splits", "admission"], group="sets", code=_SETS, kinds=frozenset({"json"}))
def attribute_set(step: Step) -> Made:
    """The articles that FashionDNA learns from."""
    workspace, path = step.workspace, step.workspace.home.derived("attribute_set")
    rows = article_rows(read_catalogue(workspace), read_sides(workspace))
    before = read_rows(path, ArticleImages) if path.exists() else []
    kept = admitted_articles(rows, articles_left(before, erased(workspace.home)), _share(step, "attribute_set"))
    write_rows(path, kept, ArticleImages)
    note_admission(workspace.home, "attribute_set", step.version("admission"))
    waiting = {row.article_id for row in rows} - {row.article_id for row in kept}
    return Made(version_of(kept), {"articles": len(kept), "waiting for admission": len(waiting)})


@asset(deps=["photos", "catalogue", "splits", "admission"], group="sets", code=_SETS, kinds=frozenset({"json"}))
def look_set(step: Step) -> Made:
    """The pairs of photo and article, and the frozen gallery and queries of evaluation."""
    workspace, path = step.workspace, step.workspace.home.derived("look_set")
    (rows, pairs), articles = read_photos(workspace), read_catalogue(workspace)
    looks = look_rows(rows, pairs, articles, read_sides(workspace))
    before = read_rows(path, LookSet)[0] if path.exists() else LookSet((), ())
    kept = admitted_looks(looks, looks_left(before, erased(workspace.home)), _share(step, "look_set"))
    write_rows(path, [kept], LookSet)
    note_admission(workspace.home, "look_set", step.version("admission"))
    sizes = {split: sum(p.split == split for p in kept.photos) for split in ("train", "val", "test")}
    waiting = {photo.photo_id for photo in looks.photos} - {photo.photo_id for photo in kept.photos}
    return Made(look_version(kept), {**sizes, "articles": len(kept.articles), "waiting for admission": len(waiting)})


def _share(step: Step, name: str) -> float:
    workspace = step.workspace
    return share_wanted(workspace.home, workspace.configuration.retraining, name, step.version("admission"))
