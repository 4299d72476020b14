"""The strong baseline: a re-identification network for photos and articles alike.

One encoder, P x K batches, BNNeck (metric losses on the feature before it, identity loss after), label smoothing,
batch-hard triplets, centers, centroid triplets, random erasing, warm-up. On top of what is published, InfoNCE between
the photos and the articles of a batch, and of those just before it, and Proxy-Anchor, both on the feature that
retrieval uses. Every part can be switched off; `ReidBaselineConfig.as_published` is what is published, and no more. A
photo of several articles stands for one of them at a time; its other articles never count as different from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.transforms.v2.functional import resize

from training.augment import Augmentation, augmented, photo_augmentation, reid_augmentation
from training.backbones import Backbone, Mirrored
from training.configs import ReidBaselineConfig
from training.context import Trained, TrainingContext
from training.export import GraphExport, finish
from training.fit import SELECTION, Batches, Learner, backbone_and_heads, begin, fit, in_full_precision, resumable
from training.gathering import gathered
from training.looks import (
    EMBEDDING_BATCH,
    article_pictures,
    embed,
    photo_pictures,
    photos_of,
    pool_images,
    relevant_rows,
    require,
    unit,
)
from training.losses import (
    batch_hard_triplet,
    center_loss,
    centroid_triplet,
    contrast_with_memory,
    identity_loss,
    proxy_anchor,
)
from training.memory import VectorMemory
from training.metrics import retrieval_metrics
from training.plots import draw_curves
from training.pretrained import UnitVectors
from training.probing import backbone_features, probe
from training.samplers import identity_batches
from training.sets import ArticleImages, LookPhoto, LookSet


class ReidEncoder(nn.Module):
    """Pictures (N, H, W, 3) uint8 to features after BNNeck (N, D) float32, not normalised."""

    def __init__(self, config: ReidBaselineConfig) -> None:
        super().__init__()
        self.backbone = Backbone(config.backbone)
        self.dimension = config.dimension or self.backbone.width
        linear = nn.Linear(self.backbone.width, config.dimension, bias=False) if config.dimension else nn.Identity()
        self.reduce = nn.Sequential(nn.Dropout(config.dropout), linear)
        self.neck: nn.Module = nn.Identity()
        if config.neck:
            self.neck = nn.BatchNorm1d(self.dimension)
            self.neck.bias.requires_grad_(False)

    def before_neck(self, pictures: Tensor) -> Tensor:
        """The features (N, D) that the metric losses see."""
        features: Tensor = self.reduce(self.backbone(pictures))
        return features

    def forward(self, pictures: Tensor) -> Tensor:
        """The features of `pictures` that retrieval uses."""
        features: Tensor = self.neck(self.before_neck(pictures))
        return features


class Batch(NamedTuple):
    """Pictures with their identity (N,) int64, whether each is a photo (N,) bool, and what it shows (N, C) bool."""

    pictures: Tensor
    identity: Tensor
    is_photo: Tensor
    shows: Tensor

    def of_all_ranks(self) -> Batch:
        """What is known of the joined batch, and this rank's own pictures."""
        return Batch(self.pictures, gathered(self.identity), gathered(self.is_photo), gathered(self.shows))

    def ignored_classes(self) -> Tensor:
        """(N, C) bool: what the picture shows besides the identity it stands for."""
        itself = F.one_hot(self.identity, self.shows.shape[1]).bool()
        return self.shows & ~itself

    def ignored_pairs(self) -> Tensor:
        """(N, N) bool: pairs that share an article though they stand for different ones."""
        shared = (self.shows.float() @ self.shows.float().T) > 0
        return shared & (self.identity[:, None] != self.identity[None, :])


class ReidLearner(Learner):
    """The encoder with everything that only its losses need."""

    centers: Tensor

    def __init__(self, config: ReidBaselineConfig, steps: int, classes: int, validation: Side) -> None:
        super().__init__(config.schedule, steps)
        self.config = config
        self.network = ReidEncoder(config)
        self.classify = nn.Linear(self.network.dimension, classes, bias=False)
        nn.init.normal_(self.classify.weight, std=0.001)
        self.register_buffer("centers", torch.randn(classes, self.network.dimension))
        self.memory = VectorMemory(config.contrast_memory, self.network.dimension)
        self.proxies: nn.Parameter | None = None
        if config.proxy_weight:
            self.proxies = nn.Parameter(
                nn.init.kaiming_normal_(torch.empty(classes, self.network.dimension), mode="fan_out")
            )
        self._validation = validation

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum of the parts, and each of them, of the batch of all ranks."""
        features = gathered(self.network.backbone(self.sized(batch.pictures)).float())
        with in_full_precision(features):
            return self.loss_of(features, batch.of_all_ranks())

    def sized(self, pictures: Tensor) -> Tensor:
        """`pictures` (N, H, W, 3) uint8 as this epoch learns from them: smaller in the early ones."""
        if self.current_epoch >= self.config.early_epochs:
            return pictures
        size = [round(side * self.config.early_scale) for side in pictures.shape[1:3]]
        small: Tensor = resize(pictures.permute(0, 3, 1, 2), size, antialias=True)
        return small.permute(0, 2, 3, 1)

    def loss_of(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch whose pictures have `features` (N, C) by the backbone."""
        config = self.config
        before = self.network.reduce(features)
        after = self.network.neck(before)
        ignored = batch.ignored_pairs()
        parts = {}
        if config.identity_weight:
            logits = self.classify(after)
            parts["identity"] = config.identity_weight * identity_loss(
                logits, batch.identity, batch.ignored_classes(), config.label_smoothing
            )
        if config.triplet_weight:
            triplet = batch_hard_triplet(before, batch.identity, ignored, config.triplet_margin)
            parts["triplet"] = config.triplet_weight * triplet
        if config.center_weight:
            parts["center"] = config.center_weight * center_loss(before, batch.identity, self.centers)
            self._move_centers(before.detach(), batch.identity)
        if config.centroid_weight:
            centroid = centroid_triplet(before, batch.identity, ignored, config.centroid_margin)
            parts["centroid"] = config.centroid_weight * centroid
        if self.proxies is not None:
            cosines = F.normalize(after, dim=1) @ F.normalize(self.proxies, dim=1).T
            parts["proxy"] = config.proxy_weight * proxy_anchor(
                cosines, batch.identity, batch.ignored_classes(), config.proxy_margin, config.proxy_scale
            )
        if config.contrast_weight:
            parts["contrast"] = config.contrast_weight * self._contrast(after, batch, ignored)
        return torch.stack(list(parts.values())).sum(), {name: float(part.detach()) for name, part in parts.items()}

    def _contrast(self, after: Tensor, batch: Batch, ignored: Tensor) -> Tensor:
        """InfoNCE: a photo against the articles of the batch and of the memory, an article against the photos."""
        vectors = F.normalize(after, dim=1)
        photo, article = vectors[batch.is_photo], vectors[~batch.is_photo]
        of_photo, of_article = batch.identity[batch.is_photo], batch.identity[~batch.is_photo]
        same = of_photo[:, None] == of_article[None, :]
        apart = ignored[batch.is_photo][:, ~batch.is_photo]
        remembered, whose = self.memory.recall()
        shown = batch.shows[batch.is_photo][:, whose]
        scale = 1 / self.config.contrast_temperature
        loss = contrast_with_memory(photo, article, remembered, same, apart, shown, scale)
        if self.training:
            self.memory.keep(article, of_article)
        return loss

    def _move_centers(self, vectors: Tensor, identity: Tensor) -> None:
        """A step of gradient descent on the unweighted center loss, as the centers' own SGD takes it.

        The batches of a step of the optimiser share one.
        """
        if self.training:
            pull = (self.centers[identity] - vectors) / len(vectors)
            rate = self.config.center_learning_rate / self.schedule.accumulate
            self.centers.index_add_(0, identity, pull, alpha=-rate)

    def evaluate(self) -> dict[str, float]:
        """The retrieval of the articles that validation photos show."""
        values = self.measure(self._validation, "val")
        return {**values, SELECTION: values["val/map"]} if values else {}

    def measure(self, side: Side, prefix: str) -> dict[str, float]:
        """The retrieval of articles, each by the mean of its images, from photos."""
        if not len(side.photos):
            return {}
        return self.measure_against(self.article_vectors(side), side, prefix)

    def measure_against(self, articles: NDArray[np.float32], side: Side, prefix: str) -> dict[str, float]:
        """The retrieval from the photos of `side` of articles with the given vectors."""
        photos = unit(embed(self.photo_network(), side.photos.batches(EMBEDDING_BATCH)))
        return retrieval_metrics(photos, articles, side.relevant).named(prefix)

    def photo_network(self) -> nn.Module:
        """What encodes a photo: the network, or its sum over the photo and its mirror image."""
        return Mirrored(self.network) if self.config.mirrored else self.network

    def article_vectors(self, side: Side) -> NDArray[np.float32]:
        """The vectors (A, D) of the articles of `side`, each by the mean of its images."""
        images = embed(self.network, side.images.batches(EMBEDDING_BATCH))
        return unit(pool_images(images, side.owners, side.count, "mean"))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The backbone, what starts from scratch, and the proxies; what no part of the loss uses is in none."""
        network = self.network
        heads = [network.reduce, network.neck, *([self.classify] if self.config.identity_weight else [])]
        groups = backbone_and_heads(network.backbone, heads, self.schedule)
        if self.proxies is not None:
            groups.append({"params": [self.proxies], "lr": self.config.proxy_learning_rate})
        return groups


class Side:
    """The photos and articles of one split, as pictures, and which articles each photo shows."""

    def __init__(
        self,
        photos: Sequence[LookPhoto],
        articles: Sequence[ArticleImages],
        config: ReidBaselineConfig,
        context: TrainingContext,
    ) -> None:
        self.photos = photo_pictures(photos, config.size, "plain", context)
        self.images, self.owners = article_pictures(articles, config.size, context)
        self.relevant = relevant_rows(photos, articles)
        self.count = len(articles)


def train_reid_baseline(looks: LookSet, config: ReidBaselineConfig, context: TrainingContext) -> Trained:
    """Train the shared encoder and export it as a package of kind "matching", articles pooled by their mean.

    Raises NotEnoughData with fewer than 8 training photos.
    """
    photos = {split: photos_of(looks, split) for split in ("train", "val", "test")}
    require(len(photos["train"]), "photos with a known article")
    wanted = {one for photo in photos["train"] for one in photo.articles}
    learnt = [article for article in looks.articles if article.article_id in wanted]
    train = Side(photos["train"], learnt, config, context)
    near = {one for photo in photos["val"] for one in photo.articles}
    nearby = [article for article in looks.articles if article.article_id in near]
    validation = Side(photos["val"], nearby, config, context)
    members = members_of(train)

    begin(config.schedule)
    plan = plan_of(members, config)
    steps = config.schedule.steps(len(plan(np.random.default_rng(config.schedule.seed))))
    learner = ReidLearner(config, steps, len(learnt), validation)
    fill = learner.network.backbone.normalise.mean_colour
    load = partial(load_batch, side=train, augmentation=augmentation_of(config, fill))
    batches = Batches(plan, load, config.schedule.seed, config.schedule.workers)
    if config.probing.steps and not resumable(context):
        _probe_heads(learner, train, members, context)
    curves = fit(learner, batches, context, "reid_baseline")
    metrics = {}
    every = [Side(photos[split], looks.articles, config, context) for split in ("val", "test")]
    articles = learner.article_vectors(every[0])
    for split, side in zip(("val", "test"), every, strict=True):
        if photos[split]:
            metrics.update(learner.measure_against(articles, side, split))
    plots = [draw_curves(curves, "Strong baseline", context.plots)]
    check = (("pictures", train.photos.batch(range(min(8, len(train.photos))))),)
    graphs = [
        GraphExport("photo_encoder", UnitVectors(learner.photo_network()), check, "vectors"),
        GraphExport("article_encoder", learner.network, check, "features"),
    ]
    description = {
        "method": "reid_baseline",
        "kind": "matching",
        "sizes": {"photo": config.size, "article": config.size},
        "dimension": learner.network.dimension,
        "pooling": "mean",
    }
    return finish(graphs, description, metrics, plots, context)


def plan_of(
    members: Sequence[Sequence[Sequence[int]]], config: ReidBaselineConfig
) -> Callable[[np.random.Generator], list[list[tuple[int, int]]]]:
    """Draws the batches of an epoch, of the configured size where articles have fewer images than asked for."""
    per_identity = float(np.mean([min(config.images_per_identity, sum(map(len, one))) for one in members]))
    identities = max(2, round(config.schedule.batch_size / per_identity))
    return partial(
        identity_batches,
        members,
        identities,
        config.images_per_identity,
        config.schedule.per_epoch,
        fewest=config.schedule.fewest,
    )


def augmentation_of(config: ReidBaselineConfig, fill: Sequence[int]) -> Augmentation:
    """The augmentation that `config` names; `fill` is the colour of what the published one erases."""
    if config.augmentation == "published":
        return reid_augmentation(config.size, config.erasing, fill)
    return photo_augmentation(config.size, config.erasing)


def _probe_heads(
    learner: ReidLearner, side: Side, members: Sequence[Sequence[Sequence[int]]], context: TrainingContext
) -> None:
    """Let everything but the backbone learn first."""
    config = learner.config
    features = backbone_features(learner.network.backbone, [side.images, side.photos], context)
    network = learner.network
    heads = [*network.reduce.parameters(), *network.neck.parameters(), *learner.classify.parameters()]

    def draw(step: int) -> list[tuple[int, int]]:
        rng = np.random.default_rng([learner.schedule.seed, step])
        identities = max(2, config.probing.batch_size // config.images_per_identity)
        return identity_batches(members, identities, config.images_per_identity, identities, rng)[0]

    def loss(pairs: list[tuple[int, int]]) -> Tensor:
        batch = describe_batch(pairs, side, torch.empty(0))
        return learner.loss_of(features[[member for _, member in pairs]], batch)[0]

    probe([parameter for parameter in heads if parameter.requires_grad], draw, loss, config.probing, context)


def members_of(side: Side) -> list[tuple[list[int], list[int]]]:
    """For each article its members: (its images, the photos that show it). Photos are numbered after all images."""
    members: list[tuple[list[int], list[int]]] = [([], []) for _ in range(side.count)]
    for image, owner in enumerate(side.owners.tolist()):
        members[owner][0].append(image)
    for photo, rows in enumerate(side.relevant):
        for row in rows:
            members[row][1].append(len(side.images) + photo)
    return members


def load_batch(pairs: Sequence[tuple[int, int]], side: Side, augmentation: Augmentation) -> Batch:
    """The batch of (identity, member) `pairs`, augmented."""
    member = np.array([member for _, member in pairs], dtype=np.int64)
    first_photo = len(side.images)
    is_photo = member >= first_photo
    pictures = torch.empty((len(member), *side.images.batch([0]).shape[1:]), dtype=torch.uint8)
    pictures[torch.from_numpy(~is_photo)] = side.images.batch(member[~is_photo])
    pictures[torch.from_numpy(is_photo)] = side.photos.batch(member[is_photo] - first_photo)
    return describe_batch(pairs, side, augmented(pictures, augmentation))


def describe_batch(pairs: Sequence[tuple[int, int]], side: Side, pictures: Tensor) -> Batch:
    """The `pictures` of (identity, member) `pairs`, with what is known of them."""
    identity, member = torch.tensor(pairs).T
    first_photo = len(side.images)
    shows = torch.zeros(len(pairs), side.count, dtype=torch.bool)
    for place, one in enumerate(member.tolist()):
        shows[place, side.relevant[one - first_photo] if one >= first_photo else [side.owners[one]]] = True
    return Batch(pictures, identity, member >= first_photo, shows)
