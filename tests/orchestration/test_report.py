"""The report of a small rendered workspace, with packages that find colours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.files import write_text
from contracts.images import read
from contracts.masks import read_mask
from contracts.model_package import read_package
from contracts.splits import SplitShares
from orchestration import report
from orchestration.configuration import TEMPLATE
from orchestration.resources import Workspace
from orchestration.rows import read_rows, write_rows
from orchestration.silence import silent
from orchestration.sources.sample import SampleSize, deliver_sample
from orchestration.splitting import update_splits
from orchestration.tables import build_catalogue, build_photos
from orchestration.training_sets import look_rows, mask_rows
from tests.serving.shop import Shop
from training.sets import LookSet, Segmentation

pytestmark = pytest.mark.slow

SIZE = SampleSize(garments=12, packshots_each=2, photo=(128, 96), packshot=(96, 72))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two batches of a rendered wardrobe with their sets, and no model."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    write_text(workspace.root / "threadline.toml", TEMPLATE.format(preset="demo"))
    names = ("spring", "summer")
    for number, name in enumerate(names):
        places = workspace.places
        deliver_sample(
            places.accepted("catalogue", name),
            places.accepted("street", name),
            size=SIZE,
            first=number * SIZE.garments,
            workers=1,
        )
    articles, _ = build_catalogue(workspace.data, names, workspace.home.catalogue)
    photos, pairs, _ = build_photos(workspace.data, names, workspace.home.photos)
    sides = update_splits(workspace.home.splits, articles, photos, pairs, SplitShares(0.3, 0.5))[0].sides
    write_rows(workspace.home.derived("look_set"), [look_rows(photos, pairs, articles, sides)], LookSet)
    write_rows(workspace.home.derived("mask_set"), mask_rows(photos, sides, workspace.data), Segmentation)
    return workspace


@pytest.fixture(scope="module")
def package(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a package that segments and finds colours."""
    made = Shop(tmp_path_factory.mktemp("shop")).package(1)
    digest = read_package(made).digest
    shutil.copytree(made, workspace.home.package(digest))
    return digest


@pytest.fixture(scope="module")
def written(workspace: Workspace, package: str) -> report.Report:
    return report.write_report(workspace, {"fashion2shop": package}, package, silent)


def test_the_report_tells_splits_images_categories_and_batches_apart(
    workspace: Workspace, written: report.Report
) -> None:
    (found,) = report.read_report(workspace.home)
    looks = read_rows(workspace.home.derived("look_set"), LookSet)[0]
    tests = [photo for photo in looks.photos if photo.split == "test"]
    assert found.scores["test"].queries == len(tests)
    assert found.scores["test"].gallery == len(looks.articles)
    assert found.single_images is not None and found.single_images.gallery == 2 * len(looks.articles)
    assert set(found.batches) == {"spring", "summer"}
    assert sum(score.queries for score in found.batches.values()) == len(tests)
    assert "dress" in found.within_category
    page = (workspace.home.report / "report.md").read_text(encoding="utf-8")
    for heading in ("Accuracy", "Articles and single images", "By category", "tested on each batch", "Person masks"):
        assert heading in page


def test_every_sheet_that_the_report_names_is_there(workspace: Workspace, written: report.Report) -> None:
    folder = workspace.home.report / f"fashion2shop-{written.evaluations[0].digest[:8]}"
    sheets = {path.stem for path in folder.glob("*.png")}
    assert sheets == {"random", "best", "worst", "photos-street", "photos-studio", "worst-masks"}
    page = (workspace.home.report / "report.md").read_text(encoding="utf-8")
    for sheet in sheets:
        assert f"{folder.name}/{sheet}.png" in page
        with Image.open(folder / f"{sheet}.png") as image:
            assert min(image.size) > 100


def test_person_masks_are_measured_at_the_photos_own_resolution(
    workspace: Workspace, package: str, written: report.Report
) -> None:
    assert written.masks is not None
    session = workspace.session(package)
    rows = read_rows(workspace.home.derived("mask_set"), Segmentation)
    overlaps = []
    for row in (row for row in rows if row.split == "test"):
        picture, truth = read(workspace.data / row.image), read_mask(workspace.data / row.mask)
        predicted = session.segment([picture])[0]
        assert predicted.shape == SIZE.photo
        overlaps.append((predicted & truth).sum() / (predicted | truth).sum())
    score = written.masks.scores["test"]
    assert score.photos == len(overlaps)
    assert score.iou == pytest.approx(float(np.mean(overlaps)))
    assert score.iou_p5 == pytest.approx(float(np.percentile(overlaps, 5)))
    assert score.intervals["iou"][0] < score.iou < score.intervals["iou"][1]
    assert score.milliseconds > 0


def test_what_was_evaluated_is_not_evaluated_again(
    workspace: Workspace, package: str, written: report.Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(self: Workspace, digest: str) -> None:
        raise AssertionError("a package was opened")

    monkeypatch.setattr(Workspace, "session", opened)
    again = report.write_report(workspace, {"fashion2shop": package}, package, silent)
    assert again == written
    monkeypatch.setattr(report, "code_version", lambda modules: "other code")
    with pytest.raises(AssertionError, match="opened"):
        report.write_report(workspace, {"fashion2shop": package}, package, silent)


def test_a_removed_batch_makes_another_evaluation(
    workspace: Workspace, package: str, written: report.Report, tmp_path: Path
) -> None:
    """Its photos and articles leave queries and gallery of every package alike, though the look set has them still."""
    left = Workspace(tmp_path / "left")
    shutil.copytree(workspace.root, left.root)
    shutil.rmtree(left.data / "catalogue" / "summer")
    shutil.rmtree(left.data / "street" / "summer")
    build_catalogue(left.data, ("spring",), left.home.catalogue)
    build_photos(left.data, ("spring",), left.home.photos)
    found = report.write_report(left, {"fashion2shop": package}, package, silent)
    (kept,), (whole,) = found.evaluations, written.evaluations
    assert kept.scores["test"].gallery == SIZE.garments
    assert kept.scores["test"].queries == whole.batches["spring"].queries < whole.scores["test"].queries
    assert found.masks is not None and written.masks is not None
    assert found.masks.scores["test"].photos < written.masks.scores["test"].photos


def test_without_pairs_or_masks_the_report_says_nothing_and_fails_nowhere(
    workspace: Workspace, package: str, tmp_path: Path
) -> None:
    bare = Workspace(tmp_path)
    shutil.copytree(workspace.home.package(package), bare.home.package(package))
    write_rows(bare.home.derived("look_set"), [LookSet((), ())], LookSet)
    write_rows(bare.home.derived("mask_set"), [], Segmentation)
    found = report.write_report(bare, {"fashion2shop": package}, package, silent)
    assert found.masks is None
    assert found.evaluations[0].scores == {}
    assert json.loads(bare.home.derived("retrieval_report").read_text())[0]["digest"] == package


def test_reporting_does_not_import_torch() -> None:
    code = "import sys, orchestration.report, orchestration.measuring; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
