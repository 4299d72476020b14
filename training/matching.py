"""Studio2Shop and Fashion2Shop: a photo is matched with articles that are known by their DNA alone.

The query CNN f(I) learns; the DNA is computed once and stays, as published, or is refined by the matching itself.
*Late fusion*: a learnt head g brings the DNA into the photo's space, and their dot product is the score; so it can be
searched. *Early fusion*: the reranker joins both and looks at the best candidates. Fashion2Shop is the same on photos
of the person alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts.model_package import Graph, ModelPackage, graph_path, read_package
from training.augment import Augmentation, augmented, photo_augmentation
from training.batches import Batches
from training.configs import MatchingConfig
from training.context import Progress, Trained, TrainingContext
from training.dna_encoder import read_encoder
from training.export import GraphExport, finish
from training.fit import begin, fit, resumable
from training.looks import (
    EMBEDDING_BATCH,
    article_pictures,
    photo_pictures,
    photos_of,
    pool_images,
    relevant_rows,
    require,
)
from training.losses import multi_positive_cross_entropy
from training.matching_learners import Gallery, MatchingLearner, RefiningLearner, Side, start_as_dna
from training.pictures import Kind, Pictures
from training.plots import draw_curves
from training.probing import backbone_features, probe
from training.samplers import shuffled_batches
from training.sets import ArticleImages, LookSet

Load = Callable[[NDArray[np.int64]], Any]
"""From the photos (N,) of a batch to what the learner's loss takes."""


def train_matching(
    looks: LookSet, dna: Path, segmenter: Path | None, config: MatchingConfig, context: TrainingContext
) -> Trained:
    """Train Studio2Shop, or with a `segmenter` package Fashion2Shop, on the DNA of the package `dna`.

    Raises NotEnoughData with fewer than 8 training photos (for Fashion2Shop: with a mask), and ThreadlineError when the
    package of the DNA lacks the weights that are to be refined or started from.
    """
    method = "studio2shop" if segmenter is None else "fashion2shop"
    photos = {split: photos_of(looks, split, with_mask=segmenter is not None) for split in ("train", "val", "test")}
    require(len(photos["train"]), "photos with a known article" + (" and a mask" if segmenter else ""))
    package = read_package(dna, verify=True)
    kind: Kind = "plain" if segmenter is None else "segmented"
    pictures = {split: photo_pictures(rows, config.size, kind, context) for split, rows in photos.items()}
    gallery = gallery_of(looks.articles, dna, package, context)
    relevant = {split: relevant_rows(rows, looks.articles) for split, rows in photos.items()}
    sides = {split: Side(pictures[split], relevant[split]) for split in ("val", "test")}
    schedule = config.schedule
    assortment = assortment_of(gallery, relevant["train"], config)
    load = fixed_loader(pictures["train"], assortment, config)
    if config.refine:
        load = refining_loader(pictures["train"], relevant["train"], gallery, config)

    begin(schedule)
    batches = Batches(
        partial(
            shuffled_batches, len(photos["train"]), schedule.batch_size, schedule.per_epoch, fewest=schedule.fewest
        ),
        load,
        schedule.seed,
        schedule.workers,
    )
    steps = schedule.steps(len(batches))
    learner = (
        RefiningLearner(config, steps, gallery, sides["val"], read_encoder(dna), relevant["train"])
        if config.refine
        else MatchingLearner(config, steps, gallery, sides["val"])
    )
    if config.from_dna:
        start_as_dna(learner.photo.backbone, read_encoder(dna))
    if config.probing.steps and not resumable(context):
        _probe_heads(learner, pictures["train"], assortment, context)
    curves = fit(learner, batches, context, method)
    metrics = {}
    with torch.inference_mode():
        articles = learner.article_vectors()
        for split, side in sides.items():
            metrics.update(learner.measure(side, articles, split))
    reranks = bool(config.rerank_negatives) and metrics.get("val/reranked_acc_1", 0.0) > metrics.get("val/acc_1", 0.0)
    plots = [draw_curves(curves, method, context.plots)]
    copied = copy_graphs(None if config.refine else dna, segmenter, context.out)
    graphs = _graphs(learner, pictures["train"].batch(range(min(8, len(photos["train"])))), reranks=reranks)
    return finish(graphs, _description(method, package, segmenter, config), metrics, plots, context, copied=copied)


def _description(method: str, dna: ModelPackage, segmenter: Path | None, config: MatchingConfig) -> dict[str, Any]:
    sizes = {"photo": config.size, "article": dna.sizes.article}
    if segmenter is not None:
        sizes["segmenter"] = read_package(segmenter, verify=True).sizes.segmenter
    return {
        "method": method,
        "kind": "matching",
        "sizes": sizes,
        "dimension": config.dimension,
        "pooling": dna.pooling,
    }


def fixed_loader(photos: Pictures, assortment: Assortment, config: MatchingConfig) -> Load:
    """Batches for `MatchingLearner`: photos, and the articles of the assortment that they are compared with."""
    return partial(_load_fixed, photos=photos, assortment=assortment, augmentation=photo_augmentation(config.size))


def _load_fixed(
    members: NDArray[np.int64], photos: Pictures, assortment: Assortment, augmentation: Augmentation
) -> tuple[Tensor, Tensor, Tensor]:
    return (augmented(photos.batch(members), augmentation), *assortment.candidates(members))


def refining_loader(
    photos: Pictures, relevant: Sequence[Sequence[int]], gallery: Gallery, config: MatchingConfig
) -> Load:
    """Batches for `RefiningLearner`: photos, their articles, and some images of each of those."""
    return partial(
        _load_refining,
        photos=photos,
        own=Assortment([], relevant, most=0),
        gallery=gallery,
        images_per_article=config.images_per_article,
        augmentation=photo_augmentation(config.size),
        of_articles=photo_augmentation(gallery.size),
    )


def _load_refining(
    members: NDArray[np.int64],
    photos: Pictures,
    own: Assortment,
    gallery: Gallery,
    images_per_article: int,
    augmentation: Augmentation,
    of_articles: Augmentation,
) -> tuple[Tensor, ...]:
    pictures = augmented(photos.batch(members), augmentation)
    candidates, positive = own.candidates(members)
    images, owners = gallery.images_of(candidates.numpy())
    order = torch.randperm(len(images)).numpy()
    order = order[np.argsort(owners[order], kind="stable")]  # by article, its images in random order
    nth = np.arange(len(order)) - np.searchsorted(owners[order], owners[order])
    chosen = order[nth < images_per_article]
    if len(chosen) == 1:
        chosen = chosen.repeat(2)  # one picture alone cannot be normalised; the larger of its two views counts
    views = augmented(gallery.images.batch(images[chosen]), of_articles)
    return pictures, candidates, positive, torch.from_numpy(members), views, torch.from_numpy(owners[chosen])


def _probe_heads(
    learner: MatchingLearner, pictures: Pictures, assortment: Assortment, context: TrainingContext
) -> None:
    """Let everything but the backbone learn first."""
    features = backbone_features(learner.photo.backbone, [pictures], context)
    probing = learner.config.probing

    def draw(step: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([learner.schedule.seed, step])
        return rng.permutation(len(features))[: probing.batch_size]

    def loss(members: NDArray[np.int64]) -> Tensor:
        candidates, positive = assortment.candidates(members)
        return multi_positive_cross_entropy(learner.scores(features[members], candidates)[2], positive)

    heads = [*learner.photo.project.parameters(), *learner.head.parameters(), learner.log_scale]
    probe(heads, draw, loss, probing, context)


class Assortment:
    """What a photo is compared with in training: the training articles, all or a sample, always with its own.

    A sample also holds the articles that are `near` (A, K) those of the photo, by gallery row: the hard negatives.
    """

    def __init__(
        self,
        articles: Sequence[int],
        relevant: Sequence[Sequence[int]],
        most: int,
        near: NDArray[np.int64] | None = None,
    ) -> None:
        self._articles = torch.tensor(sorted({*articles, *(row for rows in relevant for row in rows)}))
        self._relevant = relevant
        self._most = most
        self._near = near

    def candidates(self, photos: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The articles' rows (M,) int64 for a batch of `photos` (N,), and which are right (N, M) bool."""
        wanted = [self._relevant[photo] for photo in photos]
        whose = np.repeat(np.arange(len(wanted)), [len(own) for own in wanted])
        right: NDArray[np.int64] = np.concatenate(wanted)
        rows = self._articles
        if len(rows) > self._most:
            drawn = rows[torch.randperm(len(rows))[: self._most]]
            mined = right[:0] if self._near is None else self._near[right].ravel()
            rows = torch.from_numpy(np.unique(np.concatenate([drawn.numpy(), right, mined])))
        positive = torch.zeros(len(wanted), len(rows), dtype=torch.bool)
        positive[whose, np.searchsorted(rows.numpy(), right)] = True
        return rows, positive


def assortment_of(gallery: Gallery, relevant: Sequence[Sequence[int]], config: MatchingConfig) -> Assortment:
    """The training articles of `gallery`; where they are more than a batch compares with, hard ones are mined."""
    learnt, most = gallery.learnt, config.most_negatives
    near = None
    if config.mined_negatives and len(learnt) > most:
        near = nearest_articles(gallery.dna, learnt, config.mined_negatives)
    return Assortment(learnt.tolist(), relevant, most, near)


def nearest_articles(dna: NDArray[np.float32], among: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """For each of the articles with `dna` (A, F) the rows (A, K) of those `among` them (L,) that are most like it.

    K is `count`, or what there is beside the article itself; likeness is the cosine of the DNA, less its mean.
    """
    centred = dna - dna[among].mean(axis=0)
    directions = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    count = min(count, len(among) - 1)
    rows = []
    for start in range(0, len(dna), EMBEDDING_BATCH):
        likeness = directions[start : start + EMBEDDING_BATCH] @ directions[among].T
        own = np.arange(start, start + len(likeness))
        likeness[own[:, None] == among[None, :]] = -np.inf
        rows.append(among[np.argpartition(-likeness, count - 1, axis=1)[:, :count]] if count else own[:, None][:, :0])
    return np.concatenate(rows)


def gallery_of(
    articles: Sequence[ArticleImages], root: Path, package: ModelPackage, context: TrainingContext
) -> Gallery:
    """`articles` with their pooled DNA, by the package's own graph, so that it is what serving computes."""
    assert package.sizes.article is not None
    pictures, owners = article_pictures(articles, package.sizes.article, context)
    session = onnxruntime.InferenceSession(graph_path(root, "article_encoder"), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = []
    for batch in pictures.batches(EMBEDDING_BATCH):
        rows.append(session.run(None, {name: batch.numpy()})[0])
        context.report(Progress("dna", min(len(rows) * EMBEDDING_BATCH, len(pictures)), len(pictures), {}))
    pooled = pool_images(np.concatenate(rows), owners, len(articles), package.pooling)
    learnt = np.array([row for row, article in enumerate(articles) if article.split == "train"], dtype=np.int64)
    return Gallery(pictures, owners, pooled, package.sizes.article, learnt)


def copy_graphs(dna: Path | None, segmenter: Path | None, out: Path) -> list[Graph]:
    """Copy what the package takes from others into `out`; the names of the graphs."""
    copied: list[tuple[Path | None, Graph]] = [(dna, "article_encoder"), (segmenter, "segmenter")]
    for root, graph in copied:
        if root is not None:
            shutil.copyfile(graph_path(root, graph), graph_path(out, graph))
    return [graph for root, graph in copied if root is not None]


def _graphs(learner: MatchingLearner, pictures: Tensor, *, reranks: bool) -> list[GraphExport]:
    """The graphs of the package; the reranker only where it helps on the validation set."""
    with torch.inference_mode():
        vectors = learner.photo.eval()(pictures).clone()
    pooled = learner.dna[: len(vectors)].clone()
    few = min(len(pooled), len(vectors))
    graphs = [
        GraphExport("photo_encoder", learner.photo, (("pictures", pictures),), "vectors"),
        GraphExport("article_head", learner.head, (("features", pooled),), "vectors"),
    ]
    if isinstance(learner, RefiningLearner):
        images = learner.gallery.images.batch(range(len(pooled)))
        graphs.append(GraphExport("article_encoder", learner.article, (("pictures", images),), "features"))
    if reranks:
        pairs = (("photo", torch.tensor(vectors[:few].numpy())), ("features", pooled[:few]))
        graphs.append(GraphExport("reranker", learner.reranker, pairs, "logits"))
    return graphs
