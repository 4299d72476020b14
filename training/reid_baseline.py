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

import numpy as np
import torch
from torch import Tensor

from training.augment import Augmentation, photo_augmentation, reid_augmentation
from training.batches import Batches
from training.configs import ReidBaselineConfig
from training.context import Trained, TrainingContext
from training.export import GraphExport, finish
from training.fit import begin, fit, resumable
from training.looks import photos_of, require
from training.plots import draw_curves
from training.pretrained import UnitVectors
from training.probing import backbone_features, probe
from training.reid_batches import Side, describe_batch, load_batch, members_of
from training.reid_learner import ReidLearner
from training.samplers import identity_batches
from training.sets import LookSet, NotEnoughData


def train_reid_baseline(looks: LookSet, config: ReidBaselineConfig, context: TrainingContext) -> Trained:
    """Train the shared encoder and export it as a package of kind "matching", articles pooled by their mean.

    Raises NotEnoughData with fewer than 8 training photos.
    """
    photos = {split: photos_of(looks, split) for split in ("train", "val", "test")}
    require(len(photos["train"]), "photos with a known article")
    wanted = {one for photo in photos["train"] for one in photo.articles}
    learnt = [article for article in looks.articles if article.article_id in wanted]
    if len(learnt) < 2:
        raise NotEnoughData("photos of 1 article to train on; at least 2 are needed to tell them apart")
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
