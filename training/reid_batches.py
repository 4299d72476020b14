"""What the strong baseline learns from: articles and photos of a split, and batches of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training.augment import Augmentation, augmented
from training.configs import ReidBaselineConfig
from training.context import TrainingContext
from training.gathering import gathered
from training.looks import article_pictures, photo_pictures, relevant_rows
from training.sets import ArticleImages, LookPhoto


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
