"""What a batch says of photos that show several articles, and what a photo is compared with."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from training.dna_encoder import pool_max
from training.fashion_dna import log_priors, vocabulary_of
from training.looks import pool_images, unit
from training.matching import Assortment, nearest_articles
from training.reid_batches import Batch
from training.sets import ArticleImages


def test_other_articles_of_an_outfit_are_no_negatives() -> None:
    shows = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]]).bool()
    batch = Batch(torch.empty(0), torch.tensor([0, 0, 1, 2]), torch.tensor([False, True, False, False]), shows)
    assert batch.ignored_classes().tolist() == (shows & ~F.one_hot(batch.identity, 3).bool()).tolist()
    ignored = batch.ignored_pairs()
    assert torch.nonzero(ignored).tolist() == [[1, 2], [2, 1]], "the outfit and the packshot of its second article"


def test_an_assortment_always_holds_a_photos_own_articles() -> None:
    relevant = [[3, 9], [5], [0]]
    assortment = Assortment(range(10), relevant, most=2)
    rows, positive = assortment.candidates(np.array([0, 1]))
    assert {3, 5, 9} <= set(rows.tolist()) and len(rows) <= 5
    assert rows[positive[0]].tolist() == [3, 9] and rows[positive[1]].tolist() == [5]


def test_a_small_assortment_is_taken_whole() -> None:
    rows, positive = Assortment([1, 2, 4], [[2]], most=10).candidates(np.array([0]))
    assert rows.tolist() == [1, 2, 4] and positive.tolist() == [[False, True, False]]


def test_images_are_pooled_over_their_article() -> None:
    features = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    owners = np.array([0, 0, 1, 2, 2, 2])
    groups = [features[owners == owner] for owner in range(3)]
    assert np.allclose(pool_images(features, owners, 3, "mean"), [group.mean(axis=0) for group in groups], atol=1e-6)
    highest = np.stack([group.max(axis=0) for group in groups])
    assert np.array_equal(pool_images(features, owners, 3, "max"), highest)
    assert np.array_equal(pool_max(torch.from_numpy(features), torch.from_numpy(owners), 3).numpy(), highest)


def test_unit_vectors() -> None:
    assert np.allclose(unit(np.array([[3, 4], [0, 0]], dtype=np.float32)), [[0.6, 0.8], [0, 0]])


def article(number: int, category: str, **attributes: str) -> ArticleImages:
    return ArticleImages(f"a{number}", (), (), category, attributes, "train")


def test_the_vocabulary_leaves_out_what_is_rare_missing_or_always_the_same() -> None:
    articles = [article(n, "top", colour="red" if n % 2 else "blue", fit="" if n else "wide") for n in range(10)]
    articles.append(article(99, "skirt", colour="green"))
    assert vocabulary_of(articles, fewest=5) == {"colour": ("blue", "red")}


def test_what_knows_nothing_is_best_off_without_a_preference_however_rare_a_value_is() -> None:
    labels = np.array([0] * 9 + [1] + [-1] * 4)
    logits = torch.zeros(len(labels), 2, requires_grad=True)
    wanted = torch.from_numpy(labels)
    torch.nn.functional.cross_entropy(logits + log_priors(labels, 2), wanted, ignore_index=-1).backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad.sum(dim=0), torch.zeros(2), atol=1e-6)


def test_the_nearest_articles_against_a_slow_search() -> None:
    random = np.random.default_rng(0)
    dna = random.normal(2.0, 1.0, (150, 5)).astype(np.float32)
    among = np.sort(random.choice(150, 90, replace=False))
    found = nearest_articles(dna, among, 4)
    centred = dna - dna[among].mean(axis=0)
    for row, own in enumerate(centred):
        likeness = {
            int(other): float(own @ centred[other] / np.linalg.norm(own) / np.linalg.norm(centred[other]))
            for other in among
            if other != row
        }
        assert set(found[row].tolist()) == set(sorted(likeness, key=likeness.__getitem__)[-4:])
    assert nearest_articles(dna[:1], np.array([0]), 3).shape == (1, 0)


def test_a_sample_holds_the_hard_negatives_of_its_photos() -> None:
    near = np.array([[(row + 1) % 50, (row + 2) % 50] for row in range(50)])
    assortment = Assortment(range(50), [[7], [30, 31]], most=3, near=near)
    rows, positive = assortment.candidates(np.array([0, 1]))
    assert {7, 8, 9, 30, 31, 32, 33} <= set(rows.tolist()) and len(rows) <= 10
    assert [rows[right].tolist() for right in positive] == [[7], [30, 31]]
