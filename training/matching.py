"""Studio2Shop and Fashion2Shop: a photo is matched with articles that are known by their DNA alone.

The query CNN f(I) learns; the DNA is computed once and stays. *Late fusion*: a learnt head g brings the DNA into the
photo's space, and their dot product is the score; so it can be searched. *Early fusion*: the reranker joins both and
looks at the best candidates. Fashion2Shop is the same on photos of the person alone.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from contracts.model_package import Graph, ModelPackage, graph_path, read_package
from training.augment import augmented, photo_augmentation
from training.backbones import Backbone
from training.configs import MatchingConfig
from training.context import Progress, Trained, TrainingContext
from training.export import GraphExport, finish
from training.fit import SELECTION, Batches, Learner, backbone_and_heads, fit, resumable
from training.looks import (
    EMBEDDING_BATCH,
    article_pictures,
    embed,
    photo_pictures,
    photos_of,
    pool_images,
    relevant_rows,
    require,
)
from training.losses import multi_positive_cross_entropy
from training.metrics import ranks_of_first_among, retrieval_metrics
from training.pictures import Kind, Pictures
from training.plots import draw_curves
from training.probing import backbone_features, probe
from training.samplers import shuffled_batches
from training.sets import ArticleImages, LookSet


class PhotoEncoder(nn.Module):
    """f(I): pictures (N, H, W, 3) uint8 to unit vectors (N, D) float32."""

    def __init__(self, config: MatchingConfig) -> None:
        super().__init__()
        self.backbone = Backbone(config.backbone)
        self.project = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(self.backbone.width, config.dimension))

    def forward(self, pictures: Tensor) -> Tensor:
        """The vectors of `pictures`."""
        return F.normalize(self.project(self.backbone(pictures)), dim=1)


class ArticleHead(nn.Module):
    """g(A): pooled DNA (N, F) to unit vectors (N, D), standardised, then linear or with a hidden layer of `width`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, dna: NDArray[np.float32], dimension: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(dna.mean(axis=0)))
        self.register_buffer("deviation", torch.from_numpy(dna.std(axis=0) + 1e-3))
        features = dna.shape[1]
        self.dropout = nn.Dropout(dropout)
        self.layers: nn.Module = nn.Linear(features, dimension)
        if width:
            self.layers = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, dimension))

    def forward(self, pooled: Tensor) -> Tensor:
        """The vectors of articles with `pooled` DNA."""
        return F.normalize(self.layers(self.dropout((pooled - self.mean) / self.deviation)), dim=1)


class Reranker(nn.Module):
    """Early fusion: photo vectors (N, D) and pooled DNA (N, F) to logits (N,), higher for a better match.

    It starts as late fusion and learns what to add to it.
    """

    def __init__(self, head: ArticleHead, dimension: int, width: int, dropout: float) -> None:
        super().__init__()
        self.head = head
        self.scale = nn.Parameter(torch.tensor(10.0))
        last = nn.Linear(width, 1)
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(3 * dimension, width), nn.ReLU(), nn.Dropout(dropout), last
        )
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def learnt(self) -> list[nn.Parameter]:
        """Its own parameters; the head belongs to late fusion."""
        return [self.scale, *self.layers.parameters()]

    def forward(self, photo: Tensor, pooled: Tensor) -> Tensor:
        """The logits of pairs."""
        return self.fused(photo, self.head(pooled))

    def fused(self, photo: Tensor, article: Tensor) -> Tensor:
        """The logits of photo and article vectors (..., D): (...)."""
        product = photo * article
        joined = torch.cat([photo, article, product], dim=-1)
        logits: Tensor = self.layers(joined)[..., 0] + self.scale * product.sum(dim=-1)
        return logits


class Validation:
    """Photos with the gallery rows that they should find, and the DNA (G, F) of the gallery."""

    def __init__(self, pictures: Pictures, relevant: Sequence[Sequence[int]], dna: NDArray[np.float32]) -> None:
        self.pictures, self.relevant, self.dna = pictures, relevant, torch.from_numpy(dna)


class _Matching(Learner):
    dna: Tensor

    def __init__(self, config: MatchingConfig, steps: int, dna: NDArray[np.float32], validation: Validation) -> None:
        super().__init__(config.schedule, steps)
        self.config = config
        self.photo = PhotoEncoder(config)
        self.head = ArticleHead(dna, config.dimension, config.head_width, config.dropout)
        self.reranker = Reranker(self.head, config.dimension, config.rerank_width, config.dropout)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))
        self.register_buffer("dna", torch.from_numpy(dna), persistent=False)
        self._validation = validation

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        pictures, candidates, positive = batch
        photo, article, scores = self.scores(self.photo.backbone(pictures), candidates)
        total = multi_positive_cross_entropy(scores, positive)
        if self.config.rerank_negatives:
            total = total + self._rerank_loss(photo.detach(), article.detach(), scores.detach(), positive)
        return total, {"temperature": float(torch.exp(-self.log_scale.detach()))}

    def scores(self, features: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Late fusion of photos with `features` (N, C) by the backbone and the articles `candidates` (M,).

        The vectors (N, D) and (M, D), and the scores (N, M).
        """
        photo = F.normalize(self.photo.project(features), dim=1)
        article = self.head(self.dna[candidates])
        return photo, article, self.log_scale.clamp(max=math.log(100)).exp() * photo @ article.T

    def _rerank_loss(self, photo: Tensor, article: Tensor, scores: Tensor, positive: Tensor) -> Tensor:
        """Cross-entropy of a positive against the negatives that late fusion takes for the best."""
        count = min(self.config.rerank_negatives, scores.shape[1])
        hardest = scores.masked_fill(positive, -torch.inf).topk(count, dim=1)  # (N, K)
        chosen = torch.cat([positive.float().argmax(dim=1, keepdim=True), hardest.indices], dim=1)  # (N, 1 + K)
        logits = self.reranker.fused(photo[:, None].expand(-1, chosen.shape[1], -1), article[chosen])
        usable = torch.cat([torch.ones_like(chosen[:, :1], dtype=torch.bool), hardest.values.isfinite()], dim=1)
        first = torch.zeros(len(photo), dtype=torch.int64, device=photo.device)
        return F.cross_entropy(logits.masked_fill(~usable, -torch.inf), first)

    def evaluate(self) -> dict[str, float]:
        values = self.measure(self._validation, "val")
        return {**values, SELECTION: values["val/acc_1"] + values["val/map"]} if values else {}

    def measure(self, side: Validation, prefix: str) -> dict[str, float]:
        """Late fusion, and the share of photos for which the reranked best candidates begin with a right one."""
        if not len(side.pictures):
            return {}
        photos = embed(self.photo, side.pictures.batches(EMBEDDING_BATCH))
        articles = self.head(side.dna.to(self.device)).cpu().numpy()
        values = retrieval_metrics(photos, articles, side.relevant).named(prefix)
        if self.config.rerank_negatives:
            first = ranks_of_first_among(self._reranked(photos, articles), side.relevant)
            values[f"{prefix}/reranked_acc_1"] = float((first == 1).mean())
        return values

    def _reranked(self, photos: NDArray[np.float32], articles: NDArray[np.float32]) -> NDArray[np.int64]:
        """The gallery rows (Q, K) of the best candidates in the reranker's order."""
        orders = []
        for photo in torch.from_numpy(photos).to(self.device):
            gallery = torch.from_numpy(articles).to(self.device)
            best = (gallery @ photo).topk(min(self.config.rerank_depth, len(gallery))).indices
            logits = self.reranker.fused(photo.expand(len(best), -1), gallery[best])
            orders.append(best[logits.argsort(descending=True)].cpu().numpy())
        return np.stack(orders)

    def parameter_groups(self) -> list[dict[str, Any]]:
        groups = backbone_and_heads(self.photo.backbone, [self.photo.project, self.head], self.schedule)
        rate = self.schedule.head_learning_rate
        reranker = {"params": self.reranker.learnt(), "lr": rate / 4, "weight_decay": 0.1}
        return [*groups, reranker, {"params": [self.log_scale], "lr": rate, "weight_decay": 0.0}]


def train_matching(
    looks: LookSet, dna: Path, segmenter: Path | None, config: MatchingConfig, context: TrainingContext
) -> Trained:
    """Train Studio2Shop, or with a `segmenter` package Fashion2Shop, on the fixed DNA of the package `dna`.

    Raises NotEnoughData with fewer than 8 training photos (for Fashion2Shop: with a mask).
    """
    method = "studio2shop" if segmenter is None else "fashion2shop"
    photos = {split: photos_of(looks, split, with_mask=segmenter is not None) for split in ("train", "val", "test")}
    require(len(photos["train"]), "photos with a known article" + (" and a mask" if segmenter else ""))
    package = read_package(dna, verify=True)
    kind: Kind = "plain" if segmenter is None else "segmented"
    pictures = {split: photo_pictures(rows, config.size, kind, context) for split, rows in photos.items()}
    features = article_dna(looks.articles, dna, package, context)
    relevant = {split: relevant_rows(rows, looks.articles) for split, rows in photos.items()}
    sides = {split: Validation(pictures[split], relevant[split], features) for split in ("val", "test")}
    learnt = [row for row, article in enumerate(looks.articles) if article.split == "train"]
    schedule = config.schedule
    assortment = Assortment(learnt, relevant["train"], config.most_negatives)
    augmentation = photo_augmentation(config.size)

    def load(members: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        return (augmented(pictures["train"].batch(members), augmentation), *assortment.candidates(members))

    torch.manual_seed(schedule.seed)
    batches = Batches(
        lambda rng: shuffled_batches(len(photos["train"]), schedule.batch_size, schedule.per_epoch, rng),
        load,
        schedule.seed,
    )
    learner = _Matching(config, schedule.epochs * len(batches), features, sides["val"])
    if config.probing.steps and not resumable(context):
        _probe_heads(learner, pictures["train"], assortment, context)
    curves = fit(learner, batches, context, method)
    metrics = {}
    with torch.inference_mode():
        for split, side in sides.items():
            metrics.update(learner.measure(side, split))
    reranks = bool(config.rerank_negatives) and metrics.get("val/reranked_acc_1", 1.0) >= metrics.get("val/acc_1", 0.0)
    plots = [draw_curves(curves, method, context.plots)]
    copied = copy_graphs(dna, segmenter, context.out)
    sizes = {"photo": config.size, "article": package.sizes.article}
    if segmenter is not None:
        sizes["segmenter"] = read_package(segmenter, verify=True).sizes.segmenter
    description = {
        "method": method,
        "kind": "matching",
        "sizes": sizes,
        "dimension": config.dimension,
        "pooling": package.pooling,
    }
    graphs = _graphs(learner, pictures["train"].batch(range(min(8, len(photos["train"])))), reranks=reranks)
    return finish(graphs, description, metrics, plots, context, copied=copied)


def _probe_heads(learner: _Matching, pictures: Pictures, assortment: Assortment, context: TrainingContext) -> None:
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
    """What a photo is compared with in training: the training articles, all or a sample, always with its own."""

    def __init__(self, articles: Sequence[int], relevant: Sequence[Sequence[int]], most: int) -> None:
        self._articles = torch.tensor(sorted({*articles, *(row for rows in relevant for row in rows)}))
        self._relevant = relevant
        self._most = most

    def candidates(self, photos: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The articles' rows (M,) int64 for a batch of `photos` (N,), and which are right (N, M) bool."""
        wanted = [torch.tensor(self._relevant[photo]) for photo in photos]
        rows = self._articles
        if len(rows) > self._most:
            drawn = rows[torch.randperm(len(rows))[: self._most]]
            rows = torch.from_numpy(np.unique(torch.cat([drawn, *wanted]).numpy()))
        return rows, torch.stack([torch.isin(rows, own) for own in wanted])


def article_dna(
    articles: Sequence[ArticleImages], root: Path, package: ModelPackage, context: TrainingContext
) -> NDArray[np.float32]:
    """The pooled DNA (A, F) of `articles`, by the package's own graph, so that it is what serving computes."""
    assert package.sizes.article is not None
    pictures, owners = article_pictures(articles, package.sizes.article, context)
    session = onnxruntime.InferenceSession(graph_path(root, "article_encoder"), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = []
    for batch in pictures.batches(EMBEDDING_BATCH):
        rows.append(session.run(None, {name: batch.numpy()})[0])
        context.report(Progress("dna", min(len(rows) * EMBEDDING_BATCH, len(pictures)), len(pictures), {}))
    return pool_images(np.concatenate(rows), owners, len(articles), package.pooling)


def copy_graphs(dna: Path, segmenter: Path | None, out: Path) -> tuple[Graph, ...]:
    """Copy what the package takes from others into `out`; the names of the graphs."""
    shutil.copyfile(graph_path(dna, "article_encoder"), graph_path(out, "article_encoder"))
    if segmenter is None:
        return ("article_encoder",)
    shutil.copyfile(graph_path(segmenter, "segmenter"), graph_path(out, "segmenter"))
    return ("article_encoder", "segmenter")


def _graphs(learner: _Matching, pictures: Tensor, *, reranks: bool) -> list[GraphExport]:
    """The graphs of the package; the reranker only where it helps on the validation set."""
    with torch.inference_mode():
        vectors = learner.photo.eval()(pictures).clone()
    pooled = learner.dna[: len(vectors)].clone()
    few = min(len(pooled), len(vectors))
    graphs = [
        GraphExport("photo_encoder", learner.photo, (("pictures", pictures),), "vectors"),
        GraphExport("article_head", learner.head, (("features", pooled),), "vectors"),
    ]
    if reranks:
        pairs = (("photo", torch.tensor(vectors[:few].numpy())), ("features", pooled[:few]))
        graphs.append(GraphExport("reranker", learner.reranker, pairs, "logits"))
    return graphs
