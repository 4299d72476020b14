"""Each network can learn, learns everywhere it should, and comes out as a package that says what it is."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from contracts.errors import ThreadlineError
from contracts.images import fit, read
from contracts.model_package import Provenance, graph_path, package_files, read_package, write_package
from training.configs import (
    BackboneConfig,
    FashionDnaConfig,
    MatchingConfig,
    PretrainedConfig,
    Probing,
    ReidBaselineConfig,
    Schedule,
    Street2FashionConfig,
)
from training.context import Trained, TrainingContext
from training.fashion_dna import train_fashion_dna
from training.matching import train_matching
from training.pretrained import export_pretrained
from training.reid_baseline import train_reid_baseline
from training.sets import ArticleImages, LookSet, NotEnoughData, Segmentation
from training.street2fashion import train_street2fashion

Workplace = Callable[..., TrainingContext]
SIZE = (64, 48)
BACKBONE = BackboneConfig(levels=(1, 2, 3), frozen_stages=2)
SHORT = Schedule(epochs=1, batch_size=6, learning_rate=1e-3, head_learning_rate=3e-3, threads=1)
PROBING = Probing(steps=40)
SEGMENTER = Street2FashionConfig((64, 64), SHORT, BackboneConfig(), (16, 16, 16, 16, 16))
DNA = FashionDnaConfig(SIZE, SHORT, BACKBONE, dimension=32)
MATCHING = MatchingConfig(SIZE, SHORT, BACKBONE, dimension=32, probing=PROBING, rerank_negatives=4)
REID = ReidBaselineConfig(SIZE, SHORT, BACKBONE, dimension=32, probing=PROBING)


@pytest.fixture(scope="module")
def dna(looks: LookSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of article features, hardly trained."""
    root = tmp_path_factory.mktemp("dna")
    folders = [root / name for name in ("out", "checkpoints", "pictures", "plots")]
    for folder in folders:
        folder.mkdir()
    context = TrainingContext(*folders, lambda _: None, lambda _values, _step: None, Provenance())
    train_fashion_dna(looks.articles, DNA, context)
    return folders[0]


def outputs(trained: Trained, context: TrainingContext, graph: str, feed: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph_path(context.out, graph))  # type: ignore[arg-type]
    result: np.ndarray = session.run(None, feed)[0]
    return result


def pictures_of(paths: Sequence[Path], size: tuple[int, int]) -> np.ndarray:
    return np.stack([fit(read(path, at_least=size), size) for path in paths])


def check_package(trained: Trained, context: TrainingContext) -> None:
    assert read_package(context.out, verify=True) == trained.package
    assert sorted(p.name for p in context.out.iterdir()) == sorted(
        ["package.json", *(path.name for path in package_files(context.out, trained.package))]
    )
    assert all(plot.stat().st_size > 1000 and plot.parent == context.plots for plot in trained.plots)
    assert trained.metrics == trained.package.metrics
    provenance = trained.package.provenance
    assert provenance.data_version == "d"
    assert torch.__version__.startswith(provenance.libraries["torch"]) and "threads" in provenance.machine


def test_street2fashion(masks: list[Segmentation], workplace: Workplace) -> None:
    context = workplace()
    trained = train_street2fashion(masks, SEGMENTER, context)
    check_package(trained, context)
    assert set(trained.metrics) == {"val/iou", "val/iou_p5", "test/iou", "test/iou_p5"}
    found = outputs(trained, context, "segmenter", {"pictures": pictures_of([masks[0].image], (64, 64))})
    assert found.shape == (1, 64, 64) and found.min() >= 0 and found.max() <= 1


def test_fashion_dna_learns_from_attributes_and_from_single_garments(looks: LookSet, workplace: Workplace) -> None:
    context = workplace()
    trained = train_fashion_dna(looks.articles, dataclasses.replace(DNA, fewest_of_a_value=3), context)
    check_package(trained, context)
    assert (trained.package.kind, trained.package.pooling) == ("features", "max")
    assert trained.package.weights is not None
    figures = ("balanced_accuracy", "macro_f1", "similar", "similar_imagenet")
    assert {f"val/{figure}_category" for figure in figures} <= set(train_on_two_of_each(looks, workplace))
    only_one = [dataclasses.replace(article, category="top") for article in looks.articles]
    alone = workplace("alone")
    check_package(train_fashion_dna(only_one, DNA, alone), alone)
    with pytest.raises(NotEnoughData, match="instance"):
        train_fashion_dna(only_one, dataclasses.replace(DNA, instance_weight=0.0), workplace("nothing"))


def train_on_two_of_each(looks: LookSet, workplace: Workplace) -> dict[str, float]:
    """The figures of a training with four validation articles."""
    articles = [dataclasses.replace(one, split="val" if n >= 10 else "train") for n, one in enumerate(looks.articles)]
    return train_fashion_dna(articles, dataclasses.replace(DNA, fewest_of_a_value=3), workplace("more")).metrics


def test_several_images_of_an_article_are_pooled_by_their_maximum(looks: LookSet, workplace: Workplace) -> None:
    first = looks.articles[0]
    other = looks.articles[1]
    double = dataclasses.replace(first, images=first.images + other.images, sha256=first.sha256 + other.sha256)
    context = workplace()
    train_fashion_dna([double, *looks.articles[1:]], DNA, context)
    assert read_package(context.out).pooling == "max"


@pytest.mark.parametrize("segmented", [False, True])
def test_matching(looks: LookSet, masks: list[Segmentation], dna: Path, workplace: Workplace, segmented: bool) -> None:
    segmenter = None
    if segmented:
        other = workplace("segmenter")
        train_street2fashion(masks, SEGMENTER, other)
        segmenter = other.out
    context = workplace()
    trained = train_matching(looks, dna, segmenter, MATCHING, context)
    check_package(trained, context)
    package = trained.package
    assert package.method == ("fashion2shop" if segmented else "studio2shop")
    assert package.segments == segmented
    assert package.files["article_encoder"] == read_package(dna).files["article_encoder"]
    features = outputs(trained, context, "article_encoder", {"pictures": pictures_of(looks.articles[0].images, SIZE)})
    article = outputs(trained, context, "article_head", {"features": features})
    photo = outputs(trained, context, "photo_encoder", {"pictures": pictures_of([looks.photos[0].image], SIZE)})
    for vector in (article, photo):
        assert vector.shape == (1, 32) and np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
    if "reranker" in package.files:
        pair = {"photo": np.repeat(photo, 3, axis=0), "features": np.repeat(features, 3, axis=0)}
        assert outputs(trained, context, "reranker", pair).shape == (3,)


def altered(package: Path, into: Path) -> Path:
    """The DNA package with a garment's features that are another network's: its weights are left out."""
    shutil.copytree(package, into)
    write_package(into, read_package(package).model_copy(update={"weights": None}))
    return into


def test_refined_dna_is_the_packages_own_and_starts_as_fashion_dna(
    looks: LookSet, dna: Path, workplace: Workplace, tmp_path: Path
) -> None:
    still = dataclasses.replace(
        MATCHING, refine=True, schedule=dataclasses.replace(SHORT, learning_rate=0.0), probing=Probing(steps=1)
    )
    moving = dataclasses.replace(MATCHING, refine=True)
    packages = {}
    for name, config in (("still", still), ("moving", moving)):
        context = workplace(name)
        trained = train_matching(looks, dna, None, config, context)
        check_package(trained, context)
        assert set(trained.metrics) >= {"val/acc_1", "test/acc_1", "test/reranked_acc_1"}
        feed = {"pictures": pictures_of([one.images[0] for one in looks.articles], SIZE)}
        packages[name] = outputs(trained, context, "article_encoder", feed)
        assert trained.package.files["article_encoder"] != read_package(dna).files["article_encoder"]
    session = onnxruntime.InferenceSession(graph_path(dna, "article_encoder"))
    fixed = session.run(None, feed)[0]
    cosine = {name: (fixed * own).sum() / np.linalg.norm(fixed) / np.linalg.norm(own) for name, own in packages.items()}
    assert cosine["moving"] < cosine["still"]
    with pytest.raises(ThreadlineError, match=r"encoder\.safetensors"):
        train_matching(looks, altered(dna, tmp_path / "without"), None, moving, workplace("without"))


@pytest.mark.parametrize("mirrored", [True, False])
def test_reid_baseline(looks: LookSet, workplace: Workplace, mirrored: bool) -> None:
    context = workplace()
    trained = train_reid_baseline(looks, dataclasses.replace(REID, mirrored=mirrored), context)
    check_package(trained, context)
    assert set(trained.package.files) == {"photo_encoder", "article_encoder"}
    pictures = pictures_of([looks.photos[0].image], SIZE)
    photo, raw = (outputs(trained, context, g, {"pictures": pictures}) for g in ("photo_encoder", "article_encoder"))
    seen = raw + outputs(trained, context, "article_encoder", {"pictures": pictures[:, :, ::-1].copy()}) * mirrored
    assert np.allclose(photo, seen / np.linalg.norm(seen), atol=1e-4), "one encoder for both"
    assert np.linalg.norm(raw) != pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_reid_baseline_as_published(looks: LookSet, workplace: Workplace) -> None:
    config = dataclasses.replace(
        REID,
        backbone=BackboneConfig(last_stride_one=True),
        dimension=0,
        dropout=0.0,
        contrast_weight=0.0,
        probing=Probing(steps=0),
        schedule=dataclasses.replace(SHORT, decay="step"),
    )
    context = workplace()
    trained = train_reid_baseline(looks, config, context)
    check_package(trained, context)
    assert trained.package.dimension == 1280


def test_pretrained(workplace: Workplace) -> None:
    context = workplace()
    trained = export_pretrained(PretrainedConfig(SIZE), context)
    check_package(trained, context)
    assert trained.package.dimension == 1280


def test_too_little_is_said_and_nothing_is_written(
    looks: LookSet, masks: list[Segmentation], dna: Path, workplace: Workplace
) -> None:
    few = LookSet(looks.photos[:5], looks.articles[:5])
    bare = LookSet(tuple(dataclasses.replace(photo, mask=None) for photo in looks.photos), looks.articles)
    context = workplace()
    attempts: list[Callable[[], Trained]] = [
        lambda: train_street2fashion(masks[:5], SEGMENTER, context),
        lambda: train_fashion_dna(few.articles, DNA, context),
        lambda: train_matching(few, dna, None, MATCHING, context),
        lambda: train_matching(bare, dna, dna, MATCHING, context),
        lambda: train_reid_baseline(few, REID, context),
    ]
    for attempt in attempts:
        with pytest.raises(NotEnoughData):
            attempt()
    assert list(context.out.iterdir()) == []


def test_photos_of_unknown_articles_and_sets_without_validation_do_no_harm(
    looks: LookSet, workplace: Workplace
) -> None:
    stranger = dataclasses.replace(looks.photos[0], articles=("nowhere",))
    lone = dataclasses.replace(looks.photos[1], articles=("nowhere", "a1"))
    photos = tuple(p for p in (stranger, lone, *looks.photos[2:]) if p.split == "train")
    trained = train_reid_baseline(LookSet(photos, looks.articles), REID, workplace())
    assert trained.metrics == {}


def of_training(looks: LookSet) -> LookSet:
    """Eight pairs that are trained on and measured on alike."""
    articles: list[ArticleImages] = list(looks.articles[:8])
    photos = [dataclasses.replace(photo, split=split) for split in ("train", "val") for photo in looks.photos[:8]]
    return LookSet(tuple(photos), tuple(articles))


@pytest.mark.slow
def test_every_network_learns_eight_pictures_by_heart(
    looks: LookSet, masks: list[Segmentation], workplace: Workplace
) -> None:
    eight = of_training(looks)
    long = Schedule(epochs=12, batch_size=8, learning_rate=1e-3, head_learning_rate=5e-3, threads=1)
    reid = train_reid_baseline(eight, dataclasses.replace(REID, schedule=long), workplace("reid"))
    assert reid.metrics["val/acc_1"] == 1.0
    article = workplace("dna")
    train_fashion_dna(eight.articles, dataclasses.replace(DNA, schedule=long), article)
    for refine in (False, True):
        config = dataclasses.replace(MATCHING, schedule=long, refine=refine)
        matching = train_matching(eight, article.out, None, config, workplace(f"matching-{refine}"))
        assert matching.metrics["val/acc_1"] == 1.0
    same = [dataclasses.replace(mask, split=split) for split in ("train", "val") for mask in masks[:8]]
    thorough = dataclasses.replace(SEGMENTER, schedule=dataclasses.replace(long, epochs=60))
    segmenter = train_street2fashion(same, thorough, workplace("masks"))
    assert segmenter.metrics["val/iou"] > 0.85


@pytest.mark.slow
def test_a_training_gives_the_same_package_twice(looks: LookSet, workplace: Workplace) -> None:
    one = train_reid_baseline(looks, REID, workplace("one")).package
    torch.rand(5)
    other = train_reid_baseline(looks, REID, workplace("other")).package
    assert one.files == other.files


def test_photos_of_one_article_are_too_little_for_the_baseline(looks: LookSet, workplace: Workplace) -> None:
    photos = tuple(dataclasses.replace(photo, articles=("a0",), split="train") for photo in looks.photos)
    with pytest.raises(NotEnoughData, match="1 article"):
        train_reid_baseline(LookSet(photos, looks.articles), ReidBaselineConfig(SIZE, SHORT), workplace())
