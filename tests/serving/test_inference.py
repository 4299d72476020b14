"""Sessions on tiny packages whose graphs are simple enough to be computed by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from contracts.errors import ThreadlineError
from contracts.images import Picture, fit, fitted_box
from contracts.masks import segmented
from contracts.model_package import Graph, ModelPackage, Sizes, digests_of_graphs, graph_path, write_package
from contracts.quiet import OFF
from serving import precision, runtimes
from serving.inference import PackageSession, pool, unit
from serving.person_masks import mask_of, without_specks
from serving.precision import agreement, recall
from serving.reference_pictures import COUNT, reference_articles, reference_photos
from serving.runtimes import RUNTIMES, engine

ROOT = Path(__file__).resolve().parents[2]
SEGMENTER, PHOTO, ARTICLE = (48, 36), (32, 24), (24, 24)
D, F = 8, 6

_random = np.random.default_rng(0)
PHOTO_W = _random.normal(size=(3, D)).astype(np.float32)
ARTICLE_W = _random.normal(size=(3, F)).astype(np.float32)
HEAD_W = _random.normal(size=(F, D)).astype(np.float32)
RERANK_W = _random.normal(size=(D + F, 1)).astype(np.float32)


def save(path: Path, nodes: list[Any], inputs: dict[str, list[Any]], out: list[Any], constants: dict[str, Any]) -> None:
    kinds = {"pictures": TensorProto.UINT8}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(key, kinds.get(key, TensorProto.FLOAT), shape) for key, shape in inputs.items()],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def scaled() -> list[Any]:
    """Pictures to `x`, (N, H, W, 3) float32 in [0, 1]."""
    cast = helper.make_node("Cast", ["pictures"], ["float"], to=TensorProto.FLOAT)
    return [cast, helper.make_node("Div", ["float", "full"], ["x"])]


def save_segmenter(path: Path) -> None:
    """Probability = darkness."""
    nodes = [
        *scaled(),
        helper.make_node("ReduceMean", ["x"], ["light"], axes=[3], keepdims=0),
        helper.make_node("Sub", ["one", "light"], ["out"]),
    ]
    constants = {"full": np.float32(255), "one": np.float32(1)}
    save(path, nodes, {"pictures": ["n", *SEGMENTER, 3]}, ["n", *SEGMENTER], constants)


def save_encoder(path: Path, size: tuple[int, int], weights: NDArray[np.float32], *, fragile: bool = False) -> None:
    """Output = mean colour x weights; `fragile` adds and takes away so much that bfloat16 loses the rest."""
    nodes = [*scaled(), helper.make_node("ReduceMean", ["x"], ["colour"], axes=[1, 2], keepdims=0)]
    constants: dict[str, Any] = {"full": np.float32(255), "w": weights}
    if fragile:
        width = weights.shape[1]
        nodes += [
            helper.make_node("MatMul", ["colour", "w"], ["small"]),
            helper.make_node("Add", ["small", "offset"], ["large"]),
            helper.make_node("MatMul", ["large", "difference"], ["out"]),
        ]
        constants["offset"] = np.full(width, 5000, np.float32)
        constants["difference"] = (np.eye(width) - np.roll(np.eye(width), 1, axis=0)).astype(np.float32)
    else:
        nodes.append(helper.make_node("MatMul", ["colour", "w"], ["out"]))
    save(path, nodes, {"pictures": ["n", *size, 3]}, ["n", weights.shape[1]], constants)


def save_head(path: Path) -> None:
    save(path, [helper.make_node("MatMul", ["pooled", "w"], ["out"])], {"pooled": ["n", F]}, ["n", D], {"w": HEAD_W})


def save_reranker(path: Path) -> None:
    nodes = [
        helper.make_node("Concat", ["photo", "pooled"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "w"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["out"]),
    ]
    constants = {"w": RERANK_W, "axis": np.array([1], np.int64)}
    save(path, nodes, {"photo": ["n", D], "pooled": ["n", F]}, ["n"], constants)


def package(root: Path, graphs: tuple[Graph, ...], *, fragile: bool = False) -> Path:
    root.mkdir()
    for graph in graphs:
        path = graph_path(root, graph)
        if graph == "segmenter":
            save_segmenter(path)
        elif graph == "photo_encoder":
            save_encoder(path, PHOTO, PHOTO_W, fragile=fragile)
        elif graph == "article_encoder":
            save_encoder(path, ARTICLE, ARTICLE_W if "article_head" in graphs else ARTICLE_W @ HEAD_W)
        elif graph == "article_head":
            save_head(path)
        else:
            save_reranker(path)
    sizes = Sizes(segmenter=SEGMENTER, photo=PHOTO, article=ARTICLE)
    files = digests_of_graphs(root, graphs)
    write_package(root, ModelPackage(method="tiny", kind="matching", sizes=sizes, dimension=D, files=files))
    return root


FULL: tuple[Graph, ...] = ("segmenter", "photo_encoder", "article_encoder", "article_head", "reranker")
PLAIN: tuple[Graph, ...] = ("photo_encoder", "article_encoder")


def usable(runtime: str) -> bool:
    try:
        engine(runtime)  # type: ignore[arg-type]
    except ThreadlineError:
        return False
    return True


@pytest.fixture(scope="module", params=[runtime for runtime in RUNTIMES if usable(runtime)])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PackageSession:
    root = package(tmp_path_factory.mktemp("packages") / "full", FULL)
    return PackageSession(root, threads=1, runtime=request.param)


def picture(height: int, width: int, seed: int = 0) -> Picture:
    """A dark person on a light ground."""
    random = np.random.default_rng(seed)
    made = random.integers(200, 256, (height, width, 3), dtype=np.uint8)
    made[height // 4 : height * 3 // 4, width // 3 : width * 2 // 3] = random.integers(0, 60, 3)
    return made


def album() -> list[Picture]:
    shapes = [(300, 200), (200, 300), (97, 31), (40, 41), (48, 36)] * 8
    return [picture(*shape, seed=seed) for seed, shape in enumerate(shapes[:37])]


def tolerance(session: PackageSession) -> float:
    return 2e-2 if session.precision.endswith("bfloat16") else 1e-4


def colours(pictures: list[Picture], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.stack([(fit(each, size) / 255.0).mean(axis=(0, 1)) for each in pictures]).astype(np.float32)


def test_the_session_says_how_it_computes(session: PackageSession) -> None:
    assert session.precision in RUNTIMES
    assert session.package.method == "tiny"


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (480, 100), (33, 470), (48, 36)])
def test_masks_lie_on_the_person_at_the_photos_own_resolution(session: PackageSession, shape: tuple[int, int]) -> None:
    photo = picture(*shape)
    [mask] = session.segment([photo])
    assert mask.shape == shape
    assert mask.dtype == np.bool_
    truth = photo.mean(axis=2) < 128
    edge_px = 1 + max(shape[0] / SEGMENTER[0], shape[1] / SEGMENTER[1])
    perimeter = 2 * (shape[0] // 2 + shape[1] // 3)
    assert np.sum(mask != truth) <= perimeter * edge_px


def test_somebody_far_away_is_segmented_as_sharply_as_somebody_near(session: PackageSession) -> None:
    """A person of 60 x 40 pixels in a wide photo, where the network's own picture has 4 of these in one of its own."""
    photo = np.full((300, 800, 3), 230, dtype=np.uint8)
    photo[120:180, 500:540] = 20
    [mask] = session.segment([photo])
    truth = photo.mean(axis=2) < 128
    assert np.sum(mask & truth) / np.sum(mask | truth) > 0.9


def test_batches_and_single_pictures_give_the_same(session: PackageSession) -> None:
    pictures = album()
    together = session.segment(pictures, batch=5)
    assert all(np.array_equal(mask, session.segment([each])[0]) for each, mask in zip(pictures, together, strict=True))
    singly = np.concatenate([session.photo_vectors([each]) for each in pictures])
    np.testing.assert_allclose(session.photo_vectors(pictures), singly, atol=tolerance(session))


def test_features_and_vectors_are_what_the_graphs_say(session: PackageSession) -> None:
    pictures, close = album(), tolerance(session)
    features = session.article_features(pictures)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, colours(pictures, ARTICLE) @ ARTICLE_W, atol=close * 4)
    expected = unit(colours(pictures, PHOTO) @ PHOTO_W)
    np.testing.assert_allclose(session.encode_photos(pictures), expected, atol=close)
    np.testing.assert_allclose(session.article_vectors(features), unit(features @ HEAD_W), atol=1e-4)


def test_photos_are_segmented_before_they_are_encoded(session: PackageSession) -> None:
    pictures = album()
    people = [segmented(each, mask) for each, mask in zip(pictures, session.segment(pictures), strict=True)]
    vectors = session.photo_vectors(pictures)
    np.testing.assert_allclose(vectors, session.encode_photos(people), atol=tolerance(session))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_reranking_takes_one_photo_and_many_articles(session: PackageSession) -> None:
    random = np.random.default_rng(3)
    photo, pooled = random.normal(size=D).astype(np.float32), random.normal(size=(50, F)).astype(np.float32)
    expected = [np.concatenate([photo, each]) @ RERANK_W[:, 0] for each in pooled]
    np.testing.assert_allclose(session.rerank(photo, pooled), expected, atol=1e-4)
    assert session.rerank(photo, pooled[:0]).shape == (0,)


def test_nothing_in_nothing_out(session: PackageSession) -> None:
    assert session.segment([]) == []
    assert session.photo_vectors([]).shape == (0, D)
    assert session.article_features([]).shape == (0, F)
    assert session.article_vectors(np.zeros((0, F), np.float32)).shape == (0, D)


def test_threads_share_a_session(session: PackageSession) -> None:
    pictures = album()
    expected = session.photo_vectors(pictures)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda each: session.photo_vectors([each]), pictures * 3))
    np.testing.assert_allclose(np.concatenate(answers), np.tile(expected, (3, 1)), atol=tolerance(session))


def test_a_package_without_segmenter_head_and_reranker(tmp_path: Path) -> None:
    session = PackageSession(package(tmp_path / "plain", PLAIN), runtime="onnxruntime-float32")
    pictures = album()[:3]
    np.testing.assert_array_equal(session.photo_vectors(pictures), session.encode_photos(pictures))
    pooled = np.array([[3, 4, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], np.float32)
    expected = np.array([[0.6, 0.8, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    np.testing.assert_allclose(session.article_vectors(pooled), expected, atol=1e-6)
    with pytest.raises(ThreadlineError, match="has no segmenter"):
        session.segment(pictures)
    with pytest.raises(ThreadlineError, match="has no reranker"):
        session.rerank(pooled[0], pooled)


def test_an_altered_graph_is_refused(tmp_path: Path) -> None:
    root = package(tmp_path / "altered", PLAIN)
    with graph_path(root, "photo_encoder").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ThreadlineError, match="is not what the package says"):
        PackageSession(root)


def test_an_unknown_runtime_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThreadlineError, match="is no runtime"):
        PackageSession(package(tmp_path / "plain", PLAIN), runtime="openvino-int8")


@pytest.mark.skipif(not usable("openvino-bfloat16"), reason="this processor has no bfloat16")
def test_bfloat16_is_chosen_only_where_it_agrees_with_float32(tmp_path: Path) -> None:
    assert PackageSession(package(tmp_path / "robust", FULL)).precision == "openvino-bfloat16"
    fragile = PackageSession(package(tmp_path / "fragile", PLAIN, fragile=True))
    assert fragile.precision == "openvino-float32"
    pictures = album()
    small = colours(pictures, PHOTO) @ PHOTO_W
    expected = unit(small - np.roll(small, -1, axis=1))
    np.testing.assert_allclose(fragile.encode_photos(pictures), expected, atol=0.05)


@pytest.mark.skipif(not usable("openvino-bfloat16"), reason="this processor has no bfloat16")
def test_on_one_machine_a_package_is_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Path] = []
    compare = precision._compared

    def noted(candidate: Any, root: Path, about: ModelPackage) -> tuple[precision.Graphs, bool]:
        compared.append(root)
        return compare(candidate, root, about)

    monkeypatch.setattr(precision, "_compared", noted)
    robust, fragile = package(tmp_path / "robust", FULL), package(tmp_path / "fragile", PLAIN, fragile=True)
    for _ in range(2):
        assert PackageSession(robust).precision == "openvino-bfloat16"
        assert PackageSession(fragile).precision == "openvino-float32"
    assert compared == [robust, fragile]
    core = runtimes._openvino().Core
    monkeypatch.setattr(runtimes, "_openvino", lambda: SimpleNamespace(Core=core, __version__="another"))
    assert PackageSession(robust).precision == "openvino-bfloat16"
    assert compared == [robust, fragile, robust], "with another release of OpenVINO it is compared again"


def test_a_pinned_runtime_that_disagrees_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not usable("openvino-bfloat16"):
        pytest.skip("this processor has no bfloat16")
    root = package(tmp_path / "fragile", PLAIN, fragile=True)
    assert PackageSession(root, runtime="openvino-bfloat16").precision == "openvino-bfloat16"
    assert "differs too much from float32" in caplog.text


def test_without_openvino_it_falls_back_to_onnx_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = package(tmp_path / "plain", PLAIN)
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda _: None)
    assert PackageSession(root).precision == "onnxruntime-float32"
    with pytest.raises(ThreadlineError, match="OpenVINO is not installed"):
        PackageSession(root, runtime="openvino-float32")


def test_agreement_is_that_of_the_worst_vector_and_of_all_pixels() -> None:
    one = np.eye(4, 8, dtype=np.float32)
    other = one.copy()
    other[3] = np.roll(other[3], 1)
    assert agreement("photo_encoder", one, one * 7) == pytest.approx(1.0)
    assert agreement("photo_encoder", one, other) == pytest.approx(0.0)
    assert agreement("photo_encoder", one, one * np.float32(np.nan)) == -1.0
    masks = np.zeros((2, 10, 10), np.float32)
    shifted = masks.copy()
    shifted[0, 0, :4] = 0.9
    assert agreement("segmenter", masks, shifted) == pytest.approx(0.98)


@pytest.mark.parametrize("drawn", [reference_articles, reference_photos])
def test_reference_pictures_are_varied_and_always_the_same(drawn: Callable[..., NDArray[np.uint8]]) -> None:
    one = drawn((40, 30))
    assert one.shape == (COUNT, 40, 30, 3)
    np.testing.assert_array_equal(one, drawn((40, 30)))
    np.testing.assert_array_equal(one[:4], drawn((40, 30), 4))
    assert all(np.any(one[number] != one[other]) for number in range(COUNT) for other in range(number))
    assert one.std() > 30


def test_much_of_a_reference_article_is_plain_white_and_some_hardly_differ_from_it() -> None:
    articles = reference_articles((160, 120))
    assert np.mean(articles > 250) > 0.45
    assert min(float(each.mean()) for each in articles) < 180
    assert max(float(each.mean()) for each in articles) > 245


def test_recall_counts_every_place() -> None:
    articles = np.eye(4, dtype=np.float32)
    assert recall({"photo_encoder": articles * 3, "article_encoder": articles}) == pytest.approx(1.0)
    photos = articles.copy()
    photos[0] = [0.5, 0.9, 0.6, 0.1]  # its garment comes third
    assert recall({"photo_encoder": photos, "article_encoder": articles}) == pytest.approx(1 - 2 / 16, abs=1e-3)
    headed = {"photo_encoder": articles, "article_encoder": np.ones((4, 9), np.float32), "article_head": articles}
    assert recall(headed) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(1440, 1080), (300, 900), (50, 37), (30, 20)])
def test_masks_agree_with_an_exact_upscaling(shape: tuple[int, int]) -> None:
    small = np.random.default_rng(0).random((9, 7)).astype(np.float32)
    probability = np.asarray(Image.fromarray(small).resize((SEGMENTER[1], SEGMENTER[0]), Image.Resampling.BICUBIC))
    top, left, height, width = fitted_box(shape, SEGMENTER)
    inside = Image.fromarray(without_specks(probability[top : top + height, left : left + width].copy()))
    exact = np.asarray(inside.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)) >= 0.5
    assert np.mean(mask_of(probability, shape) == exact) >= 0.99


def test_pooling() -> None:
    features = np.array([[1, 5], [3, 1]], np.float32)
    np.testing.assert_array_equal(pool(features, "mean"), [2, 3])
    np.testing.assert_array_equal(pool(features, "max"), [3, 5])
    with pytest.raises(ValueError, match="without images"):
        pool(features[:0], "mean")


_QUIET = """
import sys
from pathlib import Path
def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("network:", event, arguments, flush=True)
sys.addaudithook(forbid)
from serving.inference import PackageSession
for runtime in (None, "onnxruntime-float32"):
    assert PackageSession(Path(sys.argv[1]), runtime=runtime).precision
print(*[name for name in ("torch", "onnx", "openvino_telemetry") if sys.modules.get(name)])
"""


def test_nothing_is_reported_over_the_network(tmp_path: Path) -> None:
    root, home = package(tmp_path / "plain", PLAIN), tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in {"CI", *OFF}} | {"HOME": str(home)}
    command = [sys.executable, "-c", _QUIET, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=120, check=True)
    assert done.stdout.strip() == ""
    assert list(home.rglob("*")) == []
