"""Two packages on the same queries: how far one is ahead, and how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestration.evaluation import embed_looks
from orchestration.intervals import LEVEL, bootstrap_interval_of_ratio
from orchestration.progress import Reporter
from orchestration.ranking import rank
from orchestration.resources import Workspace
from orchestration.training_sets import resolve_looks
from orchestration.workspace_tables import read_looks


@dataclass(frozen=True)
class Comparison:
    """How far the challenger's mean average precision is ahead of the champion's, and its bootstrap interval."""

    queries: int
    ahead: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """The average precision of each query, (Q,) in [0, 1], and the number of the group it belongs to, (Q,) int64.

    Queries of one group share garments, directly or through others, so that they are hard or easy together.
    """

    precision: NDArray[np.float64]
    group: NDArray[np.int64]


def compare(workspace: Workspace, champion: str, challenger: str, challengers: int, report: Reporter) -> Comparison:
    """Compare the packages with these digests on every validation query of the look set.

    The challenger is the best of `challengers`. Features are kept from the evaluation: no picture is computed again.
    """
    one, other = (_measured(workspace, digest, report) for digest in (champion, challenger))
    return paired(one.precision, other.precision, one.group, challengers)


def paired(
    champion: NDArray[np.float64], challenger: NDArray[np.float64], group: NDArray[np.int64], challengers: int = 1
) -> Comparison:
    """Compare average precisions (Q,) query by query, so that what is hard for both packages cancels out.

    Whole groups are drawn anew, for photos of one garment are no independent queries. The best of several
    `challengers` leads by chance more easily than one: its level is Bonferroni's, 1 - 0.05 / `challengers`.
    """
    if len(champion) == 0:
        return Comparison(0, 0.0, 0.0, 0.0)
    lead = challenger - champion
    sums, sizes = (np.bincount(group, each).astype(np.float64) for each in (lead, np.ones_like(lead)))
    low, high = bootstrap_interval_of_ratio(sums, sizes, 1 - (1 - LEVEL) / challengers)
    return Comparison(len(lead), float(lead.mean()), low, high)


def groups(relevant: Sequence[Collection[int]]) -> NDArray[np.int64]:
    """The number of the group of each query, (Q,), from the articles that each shows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    queries = np.repeat(np.arange(len(relevant)), [len(shown) for shown in relevant])
    articles = len(relevant) + np.array([row for shown in relevant for row in shown], dtype=np.int64)
    size = int(max(len(relevant), articles.max(initial=0) + 1))
    _, labels = connected_components(coo_array((np.ones(len(queries)), (queries, articles)), shape=(size, size)))
    return np.unique(labels[: len(relevant)], return_inverse=True)[1].astype(np.int64)


def _measured(workspace: Workspace, digest: str, report: Reporter) -> Measured:
    """The validation queries with a match, in the look set's order."""
    looks = resolve_looks(read_looks(workspace, "look_set"), workspace.data, workspace.home.root)
    embedded = embed_looks(workspace.session(digest), looks, workspace.home, report)
    rows = [row for row, photo in enumerate(embedded.photos) if photo.split == "val"]
    relevant = embedded.relevant(rows)
    ranking = rank(embedded.queries[rows], embedded.gallery, relevant)
    matched = ranking.matched
    group = groups([shown for shown, is_matched in zip(relevant, matched, strict=True) if is_matched])
    return Measured(ranking.precision[matched], group)
