"""The collection that serves, made again: after its server or directory was lost, or when it holds something else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from contracts.batches import Article
from contracts.errors import ThreadlineError
from contracts.index import Reconciled
from contracts.registry import Release
from orchestration.candidates import read_candidate
from orchestration.embedding import ArticleVectors, computed_by, embed_articles, read_vectors, vector_digest
from orchestration.locks import waiting_for
from orchestration.points import collection_name, gather_points
from orchestration.progress import Reporter
from orchestration.releasing import Indexed, write_indexed
from orchestration.resources import Workspace
from orchestration.workspace_tables import read_catalogue
from serving.inference import PackageSession


def rebuild_index(workspace: Workspace, report: Reporter) -> tuple[Release, Reconciled]:
    """Make the collection of the package that serves from nothing, and let it serve with it.

    Vectors that are kept are taken as they are; what is missing is computed. Whoever makes or releases a collection is
    waited for. Raises ThreadlineError when nothing serves yet.
    """
    home = workspace.home
    with waiting_for(home.lock("article_index")), waiting_for(home.lock("release")):
        serving = workspace.registry.champion()
        if serving is None:
            raise ThreadlineError("there is no release whose index could be built", "run `threadline materialize`")
        vectors_of = partial(_vectors, workspace, workspace.session(serving.digest), report)
        points = gather_points(workspace, read_catalogue(workspace), serving.digest, vectors_of)
        report("index", 0, len(points.article_ids))
        made = workspace.index.reconcile(collection_name(serving.digest), points, afresh=True)
        report("index", made.count, made.count)
        workspace.registry.publish(serving.version, made.reference)
        candidate = read_candidate(home)
        if candidate.digest == serving.digest:  # else another package's collection was made last
            write_indexed(home, Indexed(candidate, made.reference, made.count))
    return serving, made


def _vectors(
    workspace: Workspace, session: PackageSession, report: Reporter, batch: str, articles: Sequence[Article]
) -> ArticleVectors:
    """The vectors of `articles`, which the batch brought: those kept if they are this package's, as others may be."""
    path = workspace.home.vectors(batch)
    if path.exists():
        kept = read_vectors(path)
        digests = dict(zip(kept.article_ids, kept.digests, strict=True))
        package, by = session.package.digest, computed_by(session)
        if all(digests.get(one.article_id) == vector_digest(one.sha256, package, by) for one in articles):
            return kept
    return embed_articles(session, workspace.home, articles, workspace.data, report)[0]
