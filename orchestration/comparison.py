"""Two packages on the same queries: how far one is ahead, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestration.evaluation import embed_looks
from orchestration.intervals import bootstrap_intervals
from orchestration.progress import Reporter
from orchestration.ranking import rank
from orchestration.resources import Workspace
from orchestration.training_sets import resolve_looks
from orchestration.workspace_tables import read_looks


@dataclass(frozen=True)
class Comparison:
    """How far the challenger's mean average precision is ahead of the champion's, and its 95 % bootstrap interval."""

    queries: int
    ahead: float
    low: float
    high: float


def compare(workspace: Workspace, champion: str, challenger: str, report: Reporter) -> Comparison:
    """Compare the packages with these digests on every validation query of the look set.

    Their features are kept from the evaluation, so that no picture is computed again.
    """
    one, other = (_average_precisions(workspace, digest, report) for digest in (champion, challenger))
    return paired(one, other)


def paired(champion: NDArray[np.float64], challenger: NDArray[np.float64]) -> Comparison:
    """Compare average precisions (Q,) query by query, so that what is hard for both packages cancels out."""
    if len(champion) == 0:
        return Comparison(0, 0.0, 0.0, 0.0)
    lead = challenger - champion
    ((low, high),) = bootstrap_intervals(lead[:, None])
    return Comparison(len(lead), float(lead.mean()), low, high)


def _average_precisions(workspace: Workspace, digest: str, report: Reporter) -> NDArray[np.float64]:
    """The average precision of each validation query with a match, in the look set's order, (Q,) in [0, 1]."""
    looks = resolve_looks(read_looks(workspace, "look_set"), workspace.data, workspace.home.root)
    embedded = embed_looks(workspace.session(digest), looks, workspace.home, report)
    rows = [row for row, photo in enumerate(embedded.photos) if photo.split == "val"]
    ranking = rank(embedded.queries[rows], embedded.gallery, embedded.relevant(rows))
    return ranking.precision[ranking.matched]
