"""Which members make up the batches of an epoch: pure functions of a random generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def shuffled_batches(
    count: int, batch_size: int, limit: int | None, rng: np.random.Generator, *, fewest: int = 2
) -> list[Rows]:
    """`count` members in random order, at most `limit` of them, in batches.

    A last batch of less than `fewest` members joins its neighbour.
    """
    order = rng.permutation(count)[: limit if limit is not None else count]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < fewest:
        last = batches.pop()
        batches[-1] = np.concatenate([batches[-1], last])
    return batches


def identity_batches(
    members: Sequence[Sequence[Sequence[int]]],
    identities_per_batch: int,
    images_per_identity: int,
    limit: int | None,
    rng: np.random.Generator,
    *,
    fewest: int = 2,
) -> list[list[tuple[int, int]]]:
    """P x K batches of (identity, member): P identities, for each K of its members, or all where it has fewer.

    `members` holds for each identity its members by domain; one of each domain comes before a second of any. Every
    identity comes once an epoch (at most `limit` of them). A last batch of one identity, which holds no negative, is
    left out; one of less than `fewest` members joins its neighbour.
    """
    order = rng.permutation(len(members))[: limit if limit is not None else len(members)]
    batches = []
    for start in range(0, len(order), identities_per_batch):
        chosen = order[start : start + identities_per_batch].tolist()
        if len(chosen) > 1:
            drawn = {one: _draw(members[one], images_per_identity, rng) for one in chosen}
            batches.append([(one, member) for one, own in drawn.items() for member in own])
    if len(batches) > 1 and len(batches[-1]) < fewest:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def _draw(domains: Sequence[Sequence[int]], count: int, rng: np.random.Generator) -> list[int]:
    shuffled = [[domain[place] for place in rng.permutation(len(domain))] for domain in domains if domain]
    first = [domain[0] for domain in shuffled]
    rest = [member for domain in shuffled for member in domain[1:]]
    return [*first, *(rest[place] for place in rng.permutation(len(rest)))][:count]
