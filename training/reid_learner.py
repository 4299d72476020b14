"""What the strong baseline learns by: the weighted sum of its losses, each of which can be left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.transforms.v2.functional import resize

from training.allocation import release_freed_memory
from training.backbones import Mirrored
from training.configs import ReidBaselineConfig
from training.fit import SELECTION, Learner, backbone_and_heads, in_full_precision
from training.gathering import gathered
from training.looks import EMBEDDING_BATCH, embed, pool_images, unit
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
from training.reid_batches import Batch, Side
from training.reid_encoder import ReidEncoder


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

    def on_train_epoch_start(self) -> None:
        """Lightning's hook: what smaller pictures have left in memory does not fit the full ones."""
        if self.current_epoch == self.config.early_epochs:
            release_freed_memory()

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
            pull = 2 * (self.centers[identity] - vectors) / len(vectors)
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
