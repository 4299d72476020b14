"""The rows of a look set as networks need them: pictures, and which articles each photo shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contracts.images import Size
from training.context import Progress, TrainingContext
from training.pictures import Kind, Pictures, PictureStore, Source
from training.sets import ArticleImages, LookPhoto, LookSet, NotEnoughData

FEWEST = 8
"""Below this many training members nothing is learnt."""

EMBEDDING_BATCH = 64


def photos_of(looks: LookSet, split: str, *, with_mask: bool = False) -> list[LookPhoto]:
    """The photos of `split` that show a known article; with a mask, if asked."""
    known = {article.article_id for article in looks.articles}
    return [
        photo
        for photo in looks.photos
        if photo.split == split and known.intersection(photo.articles) and (photo.mask or not with_mask)
    ]


def relevant_rows(photos: Iterable[LookPhoto], articles: Sequence[ArticleImages]) -> list[list[int]]:
    """For each photo the rows in `articles` of those it shows."""
    row = {article.article_id: place for place, article in enumerate(articles)}
    return [sorted({row[one] for one in photo.articles if one in row}) for photo in photos]


def articles_of(articles: Iterable[ArticleImages], split: str) -> list[ArticleImages]:
    """The articles of `split`."""
    return [article for article in articles if article.split == split]


def require(count: int, what: str) -> None:
    """Raise NotEnoughData where there are fewer than `FEWEST` of `what`."""
    if count < FEWEST:
        raise NotEnoughData(f"{count} {what}; at least {FEWEST} are needed")


def photo_pictures(photos: Sequence[LookPhoto], size: Size, kind: Kind, context: TrainingContext) -> Pictures:
    """The photos' pictures from the store; `segmented` ones by their masks."""
    masked = kind != "plain"
    sources = [
        Source(photo.image, photo.sha256, photo.mask if masked else None, photo.mask_sha256 if masked else "")
        for photo in photos
    ]
    return take(sources, size, kind, context)


def article_pictures(
    articles: Sequence[ArticleImages], size: Size, context: TrainingContext
) -> tuple[Pictures, NDArray[np.int64]]:
    """All images of `articles`, and for each image the row of its article (I,) int64, ascending."""
    sources, owners = [], []
    for row, article in enumerate(articles):
        for image, sha256 in zip(article.images, article.sha256, strict=True):
            sources.append(Source(image, sha256))
            owners.append(row)
    return take(sources, size, "plain", context), np.asarray(owners, dtype=np.int64)


def take(sources: Sequence[Source], size: Size, kind: Kind, context: TrainingContext) -> Pictures:
    """The pictures of `sources` from the store, reporting what is decoded."""
    store = PictureStore(context.pictures, size, kind)
    return store.take(sources, lambda done, total: context.report(Progress("pictures", done, total, {})))


def embed(network: nn.Module, batches: Iterator[Tensor]) -> NDArray[np.float32]:
    """`network` of all `batches`, one below the other, in evaluation mode and without gradients."""
    training = network.training
    network.eval()
    with torch.inference_mode():
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        rows = [network(batch.to(device)).cpu().numpy() for batch in batches]
    network.train(training)
    return np.concatenate(rows)


def pool_images(
    features: NDArray[np.float32], owners: NDArray[np.int64], count: int, pooling: Literal["mean", "max"]
) -> NDArray[np.float32]:
    """The features (I, F) of images pooled over their `owners` (I,): (count, F). Every owner has an image."""
    if pooling == "max":
        pooled = np.full((count, features.shape[1]), -np.inf, dtype=np.float32)
        np.maximum.at(pooled, owners, features)
        return pooled
    pooled = np.zeros((count, features.shape[1]), dtype=np.float32)
    np.add.at(pooled, owners, features)
    counts = np.bincount(owners, minlength=count).astype(np.float32)
    return np.asarray(pooled / counts[:, None], dtype=np.float32)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """`vectors` (N, D) scaled to unit length; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
