from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.errors import ThreadlineError
from contracts.model_package import (
    PACKAGE_FILE,
    ModelPackage,
    Provenance,
    Sizes,
    digests_of_graphs,
    graph_path,
    read_package,
    write_package,
)


def make(root: Path, *, segmenter: bool = False) -> ModelPackage:
    graphs = ("photo_encoder", "article_encoder", *(("segmenter",) if segmenter else ()))
    for graph in graphs:
        graph_path(root, graph).write_bytes(graph.encode())
    sizes = Sizes(photo=(64, 48), article=(48, 48), segmenter=(64, 48) if segmenter else None)
    files = digests_of_graphs(root, graphs)
    package = ModelPackage(
        method="studio2shop", kind="matching", sizes=sizes, dimension=8, files=files, metrics={"recall@20": 0.5}
    )
    write_package(root, package)
    return package


def test_a_package_comes_back(tmp_path: Path) -> None:
    package = make(tmp_path)
    assert read_package(tmp_path, verify=True) == package
    assert not package.segments


def test_a_package_segments_when_it_has_a_segmenter(tmp_path: Path) -> None:
    make(tmp_path, segmenter=True)
    assert read_package(tmp_path).segments


def test_an_altered_graph_is_noticed(tmp_path: Path) -> None:
    make(tmp_path)
    graph_path(tmp_path, "photo_encoder").write_bytes(b"something else")
    read_package(tmp_path)
    with pytest.raises(ThreadlineError, match=r"photo_encoder\.onnx is not what the package says"):
        read_package(tmp_path, verify=True)


def test_a_missing_graph_is_noticed(tmp_path: Path) -> None:
    make(tmp_path)
    graph_path(tmp_path, "article_encoder").unlink()
    with pytest.raises(ThreadlineError, match=r"article_encoder\.onnx is missing"):
        read_package(tmp_path)


def test_a_folder_without_a_package(tmp_path: Path) -> None:
    with pytest.raises(ThreadlineError, match="no model package"):
        read_package(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"surprise": 1},
        {"files": {"../../etc/passwd": "0"}},
        {"kind": "other"},
        {"dimension": "many"},
        {"pooling": "median"},
        {"sizes": {"photo": [1]}},
    ],
)
def test_a_package_in_another_format_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    make(tmp_path)
    path = tmp_path / PACKAGE_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ThreadlineError, match="not in the package format"):
        read_package(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_damaged_description_is_refused(tmp_path: Path, content: str) -> None:
    make(tmp_path)
    (tmp_path / PACKAGE_FILE).write_text(content)
    with pytest.raises(ThreadlineError, match="not in the package format"):
        read_package(tmp_path)


def test_the_digest_is_that_of_behaviour(tmp_path: Path) -> None:
    package = make(tmp_path)
    noted = package.model_copy(update={"metrics": {"mAP": 0.9}, "provenance": Provenance(mlflow_run="r")})
    assert noted.digest == package.digest
    for change in (
        {"pooling": "max"},
        {"dimension": 9},
        {"files": package.files | {"photo_encoder": "0"}},
        {"sizes": Sizes(photo=(32, 32), article=(48, 48))},
    ):
        assert package.model_copy(update=change).digest != package.digest


def test_article_features_depend_on_the_encoder_and_its_size_alone(tmp_path: Path) -> None:
    package = make(tmp_path)
    digest = package.article_digest()
    assert package.model_copy(update={"files": package.files | {"photo_encoder": "0"}}).article_digest() == digest
    assert package.model_copy(update={"files": package.files | {"article_encoder": "0"}}).article_digest() != digest
    resized = package.model_copy(update={"sizes": Sizes(photo=(64, 48), article=(32, 32))})
    assert resized.article_digest() != digest
