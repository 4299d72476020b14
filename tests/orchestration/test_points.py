"""The points of the index: each article's vector is that of the batch which brought its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.batches import Article
from contracts.errors import ThreadlineError
from contracts.model_package import ModelPackage, Sizes, graph_path, write_package
from orchestration.embedding import ArticleVectors, write_vectors
from orchestration.points import gather_points
from orchestration.resources import Workspace


def workspace_of(root: Path) -> tuple[Workspace, str]:
    """A workspace with a package of two dimensions, and the package's digest."""
    workspace = Workspace(root)
    package = ModelPackage(
        method="m",
        kind="matching",
        sizes=Sizes(photo=(8, 8), article=(8, 8)),
        dimension=2,
        files={"photo_encoder": "p", "article_encoder": "a"},
    )
    place = workspace.home.package(package.digest)
    place.mkdir(parents=True)
    for graph in package.files:
        graph_path(place, graph).touch()
    write_package(place, package)
    return workspace, package.digest


def article(key: str, batch: str | None) -> Article:
    return Article(
        key, images=(f"catalogue/{batch}/images/{key}.jpg",) if batch else (), sha256=("s",) if batch else ()
    )


def test_points_take_each_vector_from_the_batch_of_the_images(tmp_path: Path) -> None:
    workspace, digest = workspace_of(tmp_path)
    one = ArticleVectors(
        ("a", "b", "c"), np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32), ("1a", "1b", "1c"), digest
    )
    two = ArticleVectors(("d", "b"), np.array([[-1, 0], [0, -1]], np.float32), ("2d", "2b"), digest)
    for name, vectors in (("one", one), ("two", two)):
        write_vectors(workspace.home.vectors(name), vectors)
    articles = [article("a", "one"), article("b", "two"), article("c", "one"), article("d", "two"), article("e", None)]
    points = gather_points(workspace, articles, digest)
    assert points.article_ids == ("a", "b", "c", "d")
    assert points.vector_digests == ("1a", "2b", "1c", "2d")
    assert np.allclose(points.vectors, [[1, 0], [0, -1], [0.6, 0.8], [-1, 0]])
    assert [payload["image"] for payload in points.payloads][1] == "catalogue/two/images/b.jpg"


def test_a_catalogue_without_pictures_has_no_points(tmp_path: Path) -> None:
    workspace, digest = workspace_of(tmp_path)
    assert gather_points(workspace, [article("e", None)], digest).vectors.shape == (0, 2)


def test_vectors_of_another_package_make_no_points(tmp_path: Path) -> None:
    workspace, digest = workspace_of(tmp_path)
    write_vectors(workspace.home.vectors("one"), ArticleVectors(("a",), np.ones((1, 2), np.float32), ("1a",), "other"))
    with pytest.raises(ThreadlineError, match="the vectors of one are of another package"):
        gather_points(workspace, [article("a", "one")], digest)
