"""Figures of attributes and of similar articles, against the obvious."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from training.metrics import balanced_accuracy, macro_f1, neighbour_agreement


@pytest.mark.parametrize("seed", range(3))
def test_attribute_figures_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, 60)
    predicted = np.where(rng.random(60) < 0.5, truth, rng.integers(0, 4, 60))
    assert macro_f1(predicted, truth) == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert balanced_accuracy(predicted, truth) == pytest.approx(balanced_accuracy_score(truth, predicted))


def test_a_class_that_is_only_predicted_costs_f1() -> None:
    assert macro_f1(np.array([0, 0, 2]), np.array([0, 0, 1])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("block_bytes", [2**28, 1, 4 * 23 * 5])
def test_agreement_is_that_of_the_nearest_others(block_bytes: int) -> None:
    rng = np.random.default_rng(4)
    vectors, labels = rng.normal(size=(23, 6)).astype(np.float32), rng.integers(0, 3, 23)
    shares = []
    for one in range(23):
        others = sorted((o for o in range(23) if o != one), key=lambda o, one=one: -float(vectors[one] @ vectors[o]))
        shares.append(np.mean([labels[o] == labels[one] for o in others[:10]]))
    assert neighbour_agreement(vectors, labels, 10, block_bytes=block_bytes) == pytest.approx(np.mean(shares))


def test_few_items() -> None:
    vectors = np.eye(3, dtype=np.float32)
    assert neighbour_agreement(vectors, np.array([1, 1, 2])) == pytest.approx(1 / 3)
    assert neighbour_agreement(vectors[:1], np.array([1])) == 0.0
