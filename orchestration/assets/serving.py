"""From the trained packages to what the service reads: report, candidate, vectors, index, release."""

from __future__ import annotations

import time

from contracts.files import digest_of
from orchestration.asset import CATALOGUE_BATCH, Made, Step, asset
from orchestration.candidates import decide, packages_to_compare, read_candidate, read_choice
from orchestration.embedding import EMBEDDING, embed_articles, write_vectors
from orchestration.points import collection_name, gather_points
from orchestration.releasing import Indexed, publish, read_indexed, replace_lost, retire, write_indexed
from orchestration.report import EVALUATION, write_report
from orchestration.tables import merge_catalogue
from orchestration.trainings import read_outcome
from orchestration.workspace_tables import read_catalogue

_REPORT = (*EVALUATION, "orchestration.report", "orchestration.report_tables", "orchestration.plots")


@asset(
    deps=["look_set", "mask_set", "street2fashion", "studio2shop", "fashion2shop", "reid_baseline"],
    group="models",
    code=_REPORT,
    kinds=frozenset({"onnx"}),
)
def retrieval_report(step: Step) -> Made:
    """Accuracy of every package on the frozen queries and held-out masks, and contact sheets to look at."""
    from orchestration.tracking import record_gain

    packages = packages_to_compare(step.workspace, step.report)
    segmenter = read_outcome(step.workspace.home, "street2fashion").digest
    report = write_report(step.workspace, packages, segmenter, step.report)
    for evaluation in report.evaluations:
        if (gain := evaluation.k_reciprocal) is not None:
            record_gain(step.workspace.home.tracking_uri, evaluation.method, evaluation.digest, gain.sure)
    inputs = [step.version("look_set"), step.version("mask_set"), sorted(packages.values()), segmenter]
    return Made(digest_of(inputs), report.metadata())


@asset(
    deps=["retrieval_report", "pin", "approval"],
    group="release",
    code=("orchestration.candidates", "orchestration.comparison", "orchestration.intervals", "orchestration.ranking"),
    kinds=frozenset({"json"}),
)
def candidate(step: Step) -> Made:
    """The package that should serve: the pinned one; else as before, unless another leads on the same queries."""
    decision = decide(step.workspace, step.report)
    choice = read_choice(step.workspace.home)
    figures = {"package": decision.method, "reason": decision.reason, "without the pin": choice.chosen.method}
    proposed = {"waits for approval": choice.proposed.method} if choice.proposed else {}
    return Made(decision.digest, {**figures, **proposed})


@asset(
    deps=["catalogue_batches", "article_dna", "candidate"],
    group="index",
    code=EMBEDDING,
    partitions=CATALOGUE_BATCH,
    kinds=frozenset({"onnx"}),
)
def article_vectors(step: Step) -> Made:
    """The vectors of the articles of a batch, through the candidate's article encoder."""
    workspace = step.workspace
    session = workspace.session(read_candidate(workspace.home).digest)
    articles = merge_catalogue([(step.partition, workspace.catalogue_batch(step.partition))])
    vectors, computed = embed_articles(session, workspace.home, articles, workspace.data, step.report)
    write_vectors(workspace.home.vectors(step.partition), vectors)
    version = digest_of([vectors.article_ids, vectors.digests])
    return Made(version, {"articles": len(vectors.article_ids), "images computed": computed})


@asset(
    deps=["article_vectors", "catalogue", "candidate"],
    group="index",
    code=("orchestration.points",),
    kinds=frozenset({"qdrant"}),
    checks=("complete",),
)
def article_index(step: Step) -> Made:
    """The candidate's collection, brought to exactly the catalogue, counted and probed."""
    workspace = step.workspace
    package = read_candidate(workspace.home)
    points = gather_points(workspace, read_catalogue(workspace), package.digest)
    result = workspace.index.reconcile(collection_name(package.digest), points)
    write_indexed(workspace.home, Indexed(package, result.reference, result.count))
    replace_lost(workspace, package.digest, result.reference)
    figures = {key: value for key, value in vars(result).items() if key != "reference"}
    return Made(
        digest_of([package.digest, points.vector_digests, points.payload_digests()]),
        {"collection": result.reference, **figures},
        {"complete": result.count == len(points.article_ids)},
    )


@asset(
    deps=["article_index", "candidate"],
    group="release",
    code=("orchestration.releasing",),
    kinds=frozenset({"mlflow"}),
)
def release(step: Step) -> Made:
    """Publishes the package of the collection with it, in one step, to everyone who follows the registry."""
    workspace = step.workspace
    published = publish(workspace, read_indexed(workspace.home))
    retired = retire(workspace, time.time())
    version = digest_of([published.version, published.collection])
    return Made(version, {"version": published.version, "collection": published.collection, "retired": retired})
