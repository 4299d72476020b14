"""How the networks of Studio2Shop learn: against fixed DNA, or refining it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from contracts.errors import ThreadlineError
from contracts.images import Size
from training.backbones import Backbone
from training.configs import MatchingConfig
from training.dna_encoder import DnaEncoder, pool_max
from training.fit import SELECTION, Learner, backbone_and_heads, in_full_precision
from training.fusion import ArticleHead, PhotoEncoder, Reranker
from training.gathering import gathered, ranks
from training.looks import EMBEDDING_BATCH, embed, pool_images
from training.losses import contrast_with_memory, multi_positive_cross_entropy
from training.memory import VectorMemory
from training.metrics import ranks_of_first_among, retrieval_metrics
from training.pictures import Pictures

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Gallery:
    """Articles: their images of `size` with `owners` (I,), ascending, and their `dna` (A, F) as FashionDNA gives it.

    `learnt` (L,) are the rows of those that may be learnt from.
    """

    images: Pictures
    owners: Rows
    dna: NDArray[np.float32]
    size: Size
    learnt: Rows

    def images_of(self, articles: Rows) -> tuple[Rows, Rows]:
        """The rows of all images of `articles`, and for each the place of its article among them; ascending."""
        place = np.full(len(self.dna), -1)
        place[articles] = np.arange(len(articles))
        images = np.flatnonzero(place[self.owners] >= 0)
        order = np.argsort(place[self.owners[images]], kind="stable")
        return images[order], place[self.owners[images[order]]]


@dataclass(frozen=True)
class Side:
    """The photos of a split, and for each the rows of the gallery that it should find."""

    pictures: Pictures
    relevant: Sequence[Sequence[int]]


class MatchingLearner(Learner):
    """Photo encoder, article head and reranker against the fixed DNA of a gallery."""

    dna: Tensor

    def __init__(self, config: MatchingConfig, steps: int, gallery: Gallery, validation: Side) -> None:
        super().__init__(config.schedule, steps)
        self.config = config
        self.photo = PhotoEncoder(config)
        self.head = ArticleHead(gallery.dna[gallery.learnt], config.dimension, config.head_width, config.dropout)
        self.reranker = Reranker(self.head, config.dimension, config.rerank_width, config.dropout)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))
        self.register_buffer("dna", torch.from_numpy(gallery.dna), persistent=False)
        self._validation = validation

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The loss of (pictures, the articles' rows (M,), which of them are right (N, M)) of all ranks."""
        pictures, candidates, positive = batch
        features = gathered(self.photo.backbone(pictures).float())
        with in_full_precision(features):
            candidates, positive = joined_candidates(candidates, positive, len(self.dna))
            photo, article, scores = self.scores(features, candidates)
            total = multi_positive_cross_entropy(scores, positive)
            return self._with_reranker(total, photo, article, scores, positive)

    def scores(self, features: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Late fusion of photos with `features` (N, C) by the backbone and the articles `candidates` (M,).

        The vectors (N, D) and (M, D), and the scores (N, M).
        """
        photo = F.normalize(self.photo.project(features), dim=1)
        article = self.head(self.dna[candidates])
        return photo, article, self.scale() * photo @ article.T

    def scale(self) -> Tensor:
        """The inverse temperature of late fusion."""
        return self.log_scale.clamp(max=math.log(100)).exp()

    def _with_reranker(
        self, total: Tensor, photo: Tensor, article: Tensor, scores: Tensor, positive: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss `total` of late fusion and that of the reranker, which moves nothing but the reranker."""
        if self.config.rerank_negatives:
            total = total + self._rerank_loss(photo.detach(), article.detach(), scores.detach(), positive)
        return total, {"temperature": float(torch.exp(-self.log_scale.detach()))}

    def _rerank_loss(self, photo: Tensor, article: Tensor, scores: Tensor, positive: Tensor) -> Tensor:
        """Cross-entropy of a positive against the negatives that late fusion takes for the best."""
        count = min(self.config.rerank_negatives, scores.shape[1])
        hardest = scores.masked_fill(positive, -torch.inf).topk(count, dim=1)  # (N, K)
        one = torch.multinomial(positive.float(), 1)  # of several right ones another each time
        chosen = torch.cat([one, hardest.indices], dim=1)  # (N, 1 + K)
        logits = self.reranker.fused(photo[:, None].expand(-1, chosen.shape[1], -1), article[chosen])
        usable = torch.cat([torch.ones_like(chosen[:, :1], dtype=torch.bool), hardest.values.isfinite()], dim=1)
        first = torch.zeros(len(photo), dtype=torch.int64, device=photo.device)
        return F.cross_entropy(logits.masked_fill(~usable, -torch.inf), first)

    def evaluate(self) -> dict[str, float]:
        """The retrieval from validation photos of all articles."""
        return self._selected(self.measure(self._validation, self.article_vectors(self._all()), "val"))

    def _selected(self, values: dict[str, float]) -> dict[str, float]:
        return {**values, SELECTION: values["val/map"]} if values else {}

    def _all(self) -> Rows:
        return np.arange(len(self.dna))

    def article_vectors(self, rows: Rows | None = None) -> NDArray[np.float32]:
        """The vectors (R, D) of the gallery's articles `rows` (R,), by default of all."""
        vectors: Tensor = self.head(self.dna[self._all() if rows is None else rows])
        return vectors.cpu().numpy()

    def measure(self, side: Side, articles: NDArray[np.float32], prefix: str) -> dict[str, float]:
        """Late fusion, and the share of photos for which the reranked best candidates begin with a right one."""
        if not len(side.pictures):
            return {}
        photos = embed(self.photo, side.pictures.batches(EMBEDDING_BATCH))
        values = retrieval_metrics(photos, articles, side.relevant).named(prefix)
        if self.config.rerank_negatives:
            first = ranks_of_first_among(self._reranked(photos, articles), side.relevant)
            values[f"{prefix}/reranked_acc_1"] = float((first == 1).mean())
        return values

    def _reranked(self, photos: NDArray[np.float32], articles: NDArray[np.float32]) -> Rows:
        """The gallery rows (Q, K) of the best candidates in the reranker's order."""
        orders = []
        for photo in torch.from_numpy(photos).to(self.device):
            gallery = torch.from_numpy(articles).to(self.device)
            best = (gallery @ photo).topk(min(self.config.rerank_depth, len(gallery))).indices
            logits = self.reranker.fused(photo.expand(len(best), -1), gallery[best])
            orders.append(best[logits.argsort(descending=True)].cpu().numpy())
        return np.stack(orders)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The photo's backbone, the heads, the reranker, and the temperature."""
        groups = backbone_and_heads(self.photo.backbone, [self.photo.project, self.head], self.schedule)
        rate = self.schedule.head_learning_rate
        scale = {"params": [self.log_scale], "lr": rate, "weight_decay": 0.0}
        if not self.config.rerank_negatives:
            return [*groups, scale]
        return [*groups, {"params": self.reranker.learnt(), "lr": rate / 4, "weight_decay": 0.1}, scale]


def start_as_dna(backbone: Backbone, dna: DnaEncoder) -> None:
    """Give the photo's `backbone` the weights of FashionDNA's. Raises ThreadlineError where they are two networks."""
    try:
        backbone.load_state_dict(dna.backbone.state_dict())
    except RuntimeError as error:
        raise ThreadlineError(
            "the matching model cannot start from FashionDNA, whose backbone is another",
            "give both the same backbone, or set from_dna to False",
        ) from error


class RefiningLearner(MatchingLearner):
    """The same, and the article encoder learns too.

    The articles of a batch are embedded anew; those of the batches before are remembered, as negatives.
    """

    def __init__(
        self,
        config: MatchingConfig,
        steps: int,
        gallery: Gallery,
        validation: Side,
        encoder: DnaEncoder,
        shown: Sequence[Sequence[int]],
    ) -> None:
        """`encoder` is what the DNA of `gallery` comes from; `shown` are the articles of each training photo."""
        super().__init__(config, steps, gallery, validation)
        self.article = encoder
        self.memory = VectorMemory(config.memory, config.dimension)
        self.gallery = gallery
        self._shown = [torch.tensor(rows) for rows in shown]

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The loss of (pictures, candidates, positive, photos' rows, articles' images, the candidate of each image).

        It is that of all ranks; an article that several show has the images that any of them loaded.
        """
        pictures, candidates, positive, members, images, owners = batch
        features = gathered(self.photo.backbone(pictures).float())
        with_dna = gathered(self.article(images).float())
        with in_full_precision(features):
            of_image, members = gathered(candidates[owners]), gathered(members)
            candidates, positive = joined_candidates(candidates, positive, len(self.dna))
            dna = pool_max(with_dna, torch.searchsorted(candidates, of_image), len(candidates))
            return self._loss_of(features, dna, candidates, positive, members)

    def _loss_of(
        self, features: Tensor, dna: Tensor, candidates: Tensor, positive: Tensor, members: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of the photos `members` (N,) with `features` (N, C) and of `candidates` (M,) with `dna` (M, F)."""
        photo = F.normalize(self.photo.project(features), dim=1)
        article = self.head(dna)
        remembered, whose = self.memory.recall()
        shown = torch.stack([torch.isin(whose, self._shown[member].to(whose)) for member in members.tolist()])
        apart = torch.zeros_like(positive)
        total = contrast_with_memory(photo, article, remembered, positive, apart, shown, self.scale())
        if self.training:
            self.memory.keep(article, candidates)
        every = torch.cat([article, remembered])
        scores = (photo @ every.T).masked_fill(torch.cat([apart, shown], dim=1), -torch.inf)
        return self._with_reranker(total, photo, every, scores, torch.cat([positive, torch.zeros_like(shown)], dim=1))

    def evaluate(self) -> dict[str, float]:
        """The retrieval from validation photos of the articles that any of them shows: no other is embedded."""
        relevant = self._validation.relevant
        rows = np.unique(np.array([row for rows in relevant for row in rows], dtype=np.int64))
        near = Side(self._validation.pictures, [np.searchsorted(rows, own).tolist() for own in relevant])
        return self._selected(self.measure(near, self.article_vectors(rows), "val")) if len(rows) else {}

    def article_vectors(self, rows: Rows | None = None) -> NDArray[np.float32]:
        """The vectors (R, D) of the gallery's articles `rows` (R,), by default of all, by the encoder as it is."""
        wanted = self._all() if rows is None else rows
        images, owners = self.gallery.images_of(wanted)
        starts = range(0, len(images), EMBEDDING_BATCH)
        batches = (self.gallery.images.batch(images[start : start + EMBEDDING_BATCH]) for start in starts)
        dna = pool_images(embed(self.article, batches), owners, len(wanted), "max")
        vectors: Tensor = self.head(torch.from_numpy(dna).to(self.device))
        return vectors.cpu().numpy()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Those of the faithful one, and the article encoder, which has learnt already, at the backbone's rate."""
        learnt = [parameter for parameter in self.article.parameters() if parameter.requires_grad]
        return [*super().parameter_groups(), {"params": learnt, "lr": self.schedule.learning_rate}]


def joined_candidates(candidates: Tensor, positive: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The candidates (M,) of all ranks out of `count` articles, ascending, and which are right (sum of N_r, M) bool.

    `candidates` (M_r,) and `positive` (N_r, M_r) are this rank's; they hold all that is right for its photos.
    """
    if ranks() == 1:
        return candidates, positive
    right = positive.new_zeros(len(positive), count)
    right[:, candidates] = positive
    rows = gathered(candidates).unique()  # type: ignore[no-untyped-call]
    return rows, gathered(right)[:, rows]
