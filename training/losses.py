"""The losses: pure functions of tensors. Masks say which pairs of a batch must not count as different.

Distances are Euclidean (lower is closer), similarities are dot products of unit vectors (higher is closer).
"""

from __future__ import annotations

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its customary name


def multi_positive_cross_entropy(logits: Tensor, positive: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Cross-entropy of `logits` (N, M) in which every one of several positives should win against the negatives.

    `positive` and `ignored` (N, M) are bool. Each positive is weighed against all negatives but not against the
    other positives; ignored columns count on neither side. Rows without a positive count nothing. Scalar.
    """
    excluded = positive if ignored is None else positive | ignored
    negatives = logits.masked_fill(excluded, -torch.inf).logsumexp(dim=1, keepdim=True)  # (N, 1)
    each = F.softplus(negatives - logits)  # (N, M): -log(e^l / (e^l + sum of negatives))
    of_positive = torch.where(positive, each, torch.zeros_like(each))
    count = positive.sum(dim=1)
    per_row = of_positive.sum(dim=1) / count.clamp_min(1)
    return per_row.sum() / (count > 0).sum().clamp_min(1)


def symmetric_contrast(one: Tensor, other: Tensor, positive: Tensor, ignored: Tensor, scale: Tensor | float) -> Tensor:
    """InfoNCE in both directions between unit vectors `one` (N, D) and `other` (M, D); scalar.

    `positive` and `ignored` (N, M) bool; `scale` is the inverse temperature. van den Oord et al. 2018, eq. 4, with
    several positives as in `multi_positive_cross_entropy`.
    """
    logits = scale * one @ other.T
    forth = multi_positive_cross_entropy(logits, positive, ignored)
    back = multi_positive_cross_entropy(logits.T, positive.T, ignored.T)
    return (forth + back) / 2


def contrast_with_memory(
    one: Tensor, other: Tensor, remembered: Tensor, same: Tensor, apart: Tensor, shown: Tensor, scale: Tensor | float
) -> Tensor:
    """`symmetric_contrast` where `one` (N, D) is also held against `remembered` vectors (R, D) of the kind of `other`.

    `same` and `apart` (N, M) bool: positives, and what counts on neither side. Remembered vectors are negatives only,
    but for those `shown` (N, R): too old to be positives, they count on neither side. Scalar.
    """
    forth = multi_positive_cross_entropy(
        scale * one @ torch.cat([other, remembered]).T,
        torch.cat([same, torch.zeros_like(shown)], dim=1),
        torch.cat([apart, shown], dim=1),
    )
    back = multi_positive_cross_entropy(scale * other @ one.T, same.T, apart.T)
    return (forth + back) / 2


def euclidean_distances(vectors: Tensor) -> Tensor:
    """The distances (N, N) between `vectors` (N, D), with a gradient that stays finite where they coincide."""
    squares = (vectors * vectors).sum(dim=1)
    return (squares[:, None] + squares[None, :] - 2 * vectors @ vectors.T).clamp_min(1e-12).sqrt()


def hardest_triplets(distances: Tensor, same: Tensor, ignored: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each anchor the farthest positive and the nearest negative; rows of anchors, positives, negatives.

    `distances` (N, N); `same` and `ignored` (N, N) bool. Anchors without either are left out. Batch-hard mining:
    Hermans et al. 2017, eq. 5.
    """
    itself = torch.eye(len(distances), dtype=torch.bool, device=distances.device)
    positive, negative = same & ~itself, ~same & ~ignored & ~itself
    farthest = distances.masked_fill(~positive, -torch.inf).argmax(dim=1)
    nearest = distances.masked_fill(~negative, torch.inf).argmin(dim=1)
    anchors = torch.nonzero(positive.any(dim=1) & negative.any(dim=1)).flatten()
    return anchors, farthest[anchors], nearest[anchors]


def batch_hard_triplet(vectors: Tensor, labels: Tensor, ignored: Tensor, margin: float) -> Tensor:
    """The triplet loss over the hardest triplets of `vectors` (N, D) with `labels` (N,); scalar, mean over anchors."""
    with torch.no_grad():
        triplets = hardest_triplets(euclidean_distances(vectors), labels[:, None] == labels[None, :], ignored)
    if not len(triplets[0]):
        return vectors.sum() * 0
    distance = LpDistance(normalize_embeddings=False, p=2, power=1)
    loss = TripletMarginLoss(margin=margin, distance=distance, reducer=MeanReducer())
    value: Tensor = loss(vectors, labels, indices_tuple=triplets)
    return value


def centroid_triplet(vectors: Tensor, labels: Tensor, ignored: Tensor, margin: float) -> Tensor:
    """The batch-hard triplet loss over images and centroids of `vectors` (N, D) with `labels` (N,); scalar.

    Each class's images take their turn as the query; the mean of its others is its centroid, and the hardest triplets
    are sought among the queries and centroids of a turn. The mean over the turns. A class takes part in as many turns
    as it has images, and in none with one alone; a turn with fewer than two classes does not count. A centroid is
    ignored where an image of it is. Wieczorek et al. 2021, section 3.
    """
    same = labels[:, None] == labels[None, :]
    turn = torch.tril(same, diagonal=-1).sum(dim=1)  # (N,): how many of its class come before it
    turn = turn.masked_fill(same.sum(dim=1) < 2, -1)
    losses = []
    for now in range(int(turn.max()) + 1):
        queries = torch.nonzero(turn == now).flatten()  # (Q,): at most one of each class
        if len(queries) < 2:
            continue
        of_centroid = same[queries].to(vectors.dtype)  # (Q, N)
        of_centroid[torch.arange(len(queries)), queries] = 0
        centroids = (of_centroid @ vectors) / of_centroid.sum(dim=1, keepdim=True)
        within = torch.cat([F.one_hot(queries, len(labels)).to(vectors.dtype), of_centroid])  # (2 Q, N)
        apart = (within @ ignored.to(vectors.dtype) @ within.T) > 0
        items, names = torch.cat([vectors[queries], centroids]), labels[queries].repeat(2)
        losses.append(batch_hard_triplet(items, names, apart, margin))
    return torch.stack(losses).mean() if losses else vectors.sum() * 0


def proxy_anchor(cosines: Tensor, labels: Tensor, ignored: Tensor, margin: float, scale: float) -> Tensor:
    """The Proxy-Anchor loss of the `cosines` (N, C) between vectors and the proxies of all classes; scalar.

    `labels` (N,) int64; pairs that are `ignored` (N, C) bool are neither right nor wrong. Kim et al. 2020, equation 4.
    """
    right = F.one_hot(labels, cosines.shape[1]).bool()
    nothing = cosines.new_zeros(1, cosines.shape[1])  # the 1 of log(1 + sum)
    pull = (-scale * (cosines - margin)).masked_fill(~right, -torch.inf)
    push = (scale * (cosines + margin)).masked_fill(right | ignored, -torch.inf)
    pulled = torch.cat([nothing, pull]).logsumexp(dim=0).sum() / right.any(dim=0).sum()
    pushed = torch.cat([nothing, push]).logsumexp(dim=0).mean()
    return pulled + pushed


def center_loss(vectors: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """The squared distance of `vectors` (N, D) to the `centers` (C, D) of their `labels`; mean over N.

    Wen et al. 2016, eq. 2, without its factor of one half, as in the published baseline, whose weights are for that.
    """
    return (vectors - centers[labels]).square().sum(dim=1).mean()


def identity_loss(logits: Tensor, labels: Tensor, ignored: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of `logits` (N, C) with label smoothing; scalar.

    Classes that are `ignored` (N, C) bool are neither right nor wrong. Szegedy et al. 2016, section 7.
    """
    allowed = ~ignored
    log_shares = logits.masked_fill(ignored, -torch.inf).log_softmax(dim=1)
    right = log_shares.gather(1, labels[:, None])[:, 0]
    mean = torch.where(allowed, log_shares, torch.zeros_like(log_shares)).sum(dim=1) / allowed.sum(dim=1)
    return -((1 - smoothing) * right + smoothing * mean).mean()


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the soft Dice coefficient of person `logits` (N, H, W) and `truth` (N, H, W) in {0, 1}; mean over N."""
    share = logits.sigmoid().flatten(1)
    wanted = truth.flatten(1)
    overlap = (share * wanted).sum(dim=1)
    return (1 - (2 * overlap + 1) / (share.sum(dim=1) + wanted.sum(dim=1) + 1)).mean()
