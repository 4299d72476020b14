"""`threadline ablate`: variants are trained once, on the look set, and leave no package behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ThreadlineError
from contracts.files import write_json
from contracts.images import encode_jpeg
from orchestration.ablating import ablate, choose_variants
from orchestration.rows import read_rows, write_rows
from tests.behaviour.tiny import TinyWorkspace
from training.ablation import BASE
from training.sets import ArticleImages, LookPhoto, LookSet

OUTCOME = {"digest": None, "reason": "too few", "metrics": {}, "run_id": "", "version": ""}


@pytest.fixture
def workspace(tmp_path: Path) -> TinyWorkspace:
    """A workspace with a look set of twelve pairs; the last two are for validation."""
    (tmp_path / "data").mkdir()
    (tmp_path / "threadline.toml").write_text('preset = "demo"\n')
    rng = np.random.default_rng(1)
    photos, articles = [], []
    for number in range(12):
        name, split = Path(f"{number}.jpg"), "val" if number > 9 else "train"
        picture = rng.integers(0, 255, (64, 48, 3), dtype=np.uint8)
        (tmp_path / "data" / name).write_bytes(encode_jpeg(picture))
        articles.append(ArticleImages(f"a{number}", (name,), (f"{number:064}",), "top", {}, split))
        photos.append(LookPhoto(f"p{number}", "street", name, f"{number:064}", None, "", (f"a{number}",), split))
    made = TinyWorkspace(tmp_path)
    write_rows(made.home.derived("look_set"), [LookSet(tuple(photos), tuple(articles))], LookSet)
    return made


def test_variants_are_trained_once(workspace: TinyWorkspace) -> None:
    stages: list[str] = []
    variants = choose_variants(workspace, "reid_baseline", ["without BNNeck"], 1, 8)
    assert list(variants) == [BASE, "without BNNeck"]
    results = ablate(workspace, "reid_baseline", variants, 2, lambda stage, *_: stages.append(stage))
    figures = [one for seeds in results.values() for one in seeds]
    assert len(figures) == 4
    assert all("val/map" in one and not any("test" in name for name in one) for one in figures)
    assert any("reid_baseline" in stage for stage in stages)
    kept = sorted(path.name for path in (workspace.home.root / "ablations").rglob("*") if path.is_file())
    assert kept == ["figures.json"] * 4
    stages.clear()
    assert ablate(workspace, "reid_baseline", variants, 2, lambda stage, *_: stages.append(stage)) == results
    assert set(stages) == {"reid_baseline: variants"}, "nothing was trained again"


def test_a_matching_model_learns_on_a_dna_that_is_trained_for_it(workspace: TinyWorkspace) -> None:
    home = workspace.home
    looks = read_rows(home.derived("look_set"), LookSet)[0].articles
    named = [replace(one, attributes={"colour": ("red", "blue")[n % 2]}) for n, one in enumerate(looks)]
    write_rows(home.derived("attribute_set"), named, ArticleImages)
    preset = replace(workspace.preset, fashion_dna=replace(workspace.preset.fashion_dna, fewest_of_a_value=1))
    workspace = replace(workspace, preset=preset)
    name = "on DNA of attributes alone"
    every = choose_variants(workspace, "studio2shop", [name], 1, 8)
    variants = {name: every[name]}
    write_json(home.derived("model-fashion_dna"), {**OUTCOME, "digest": "not asked for"})
    stages: list[str] = []
    ablate(workspace, "studio2shop", variants, 2, lambda stage, *_: stages.append(stage.strip()))
    assert stages.count("fashion_dna") > 0
    packages = list((home.root / "ablations").rglob("package.json"))
    assert [json.loads(path.read_text())["method"] for path in packages] == ["fashion_dna"], "kept for the next one"


def test_what_is_missing_is_said(workspace: TinyWorkspace) -> None:
    with pytest.raises(ThreadlineError, match="no variant 'without wings'"):
        choose_variants(workspace, "reid_baseline", ["without wings"], None, None)
    variants = choose_variants(workspace, "studio2shop", ["with refined DNA"], 1, 8)
    write_json(workspace.home.derived("model-fashion_dna"), OUTCOME)
    with pytest.raises(ThreadlineError, match="FashionDNA"):
        ablate(workspace, "studio2shop", variants, 1, lambda *_: None)
    workspace.home.derived("look_set").unlink()
    with pytest.raises(ThreadlineError, match="look set"):
        ablate(workspace, "reid_baseline", variants, 1, lambda *_: None)
