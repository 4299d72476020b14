"""Each loss against a slow, obvious reference."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss, ProxyAnchorLoss
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training import losses

NONE = torch.zeros(12, 12, dtype=torch.bool)


def vectors(seed: int = 0, count: int = 12, width: int = 5) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def labels(count: int = 12) -> Tensor:
    return torch.arange(count) // 3


def test_multi_positive_cross_entropy_is_the_mean_over_positives_against_the_negatives() -> None:
    logits = vectors(1, 6, 9)
    positive = torch.zeros(6, 9, dtype=torch.bool)
    for row, columns in enumerate([[0], [1, 4], [2], [], [3, 5, 8], [7]]):
        positive[row, columns] = True
    ignored = torch.zeros_like(positive)
    ignored[0, 4] = ignored[4, 0] = True
    rows = []
    for row in range(6):
        own = [column for column in range(9) if positive[row, column]]
        against = sum(math.exp(logits[row, c]) for c in range(9) if not positive[row, c] and not ignored[row, c])
        shares = [math.exp(logits[row, c]) / (math.exp(logits[row, c]) + against) for c in own]
        if own:
            rows.append(sum(-math.log(share) for share in shares) / len(own))
    found = losses.multi_positive_cross_entropy(logits, positive, ignored)
    assert found.item() == pytest.approx(sum(rows) / len(rows), rel=1e-5)


def test_with_one_positive_it_is_the_ordinary_cross_entropy() -> None:
    logits = vectors(2, 8, 8)
    expected = F.cross_entropy(logits, torch.arange(8))
    assert torch.allclose(losses.multi_positive_cross_entropy(logits, torch.eye(8).bool()), expected, atol=1e-6)


def test_multi_positive_cross_entropy_without_any_positive_is_zero_and_has_a_gradient() -> None:
    logits = vectors(3, 4, 4).requires_grad_()
    loss = losses.multi_positive_cross_entropy(logits, torch.zeros(4, 4).bool())
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and bool(logits.grad.isfinite().all())


def test_a_row_whose_columns_are_all_positive_costs_nothing_and_has_a_finite_gradient() -> None:
    logits = vectors(3, 2, 4).requires_grad_()
    loss = losses.multi_positive_cross_entropy(logits, torch.ones(2, 4).bool())
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and bool(logits.grad.isfinite().all())


def test_symmetric_contrast_is_ntxent_in_both_directions() -> None:
    one, other = F.normalize(vectors(4, 7), dim=1), F.normalize(vectors(5, 7), dim=1)
    same = torch.eye(7).bool()
    found = losses.symmetric_contrast(one, other, same, torch.zeros_like(same), 1 / 0.1)
    names = torch.arange(7)
    loss = NTXentLoss(temperature=0.1)
    forth = loss(one, names, ref_emb=other, ref_labels=names.clone())
    back = loss(other, names, ref_emb=one, ref_labels=names.clone())
    assert torch.allclose(found, (forth + back) / 2, atol=1e-5)


def test_euclidean_distances_are_pairwise() -> None:
    points = vectors(6)
    found = losses.euclidean_distances(points)
    for one in range(12):
        for other in range(12):
            assert found[one, other].item() == pytest.approx(math.dist(points[one], points[other]), abs=5e-3)


def reference_triplet(points: Tensor, names: Tensor, ignored: Tensor, margin: float) -> float:
    values = []
    for anchor in range(len(points)):
        others = [other for other in range(len(points)) if other != anchor]
        near = [math.dist(points[anchor], points[o]) for o in others if names[o] == names[anchor]]
        far = [
            math.dist(points[anchor], points[o]) for o in others if names[o] != names[anchor] and not ignored[anchor, o]
        ]
        if near and far:
            values.append(max(0.0, max(near) - min(far) + margin))
    return sum(values) / len(values)


@pytest.mark.parametrize("masked", [False, True])
def test_batch_hard_triplet_takes_the_farthest_positive_and_the_nearest_negative(masked: bool) -> None:
    points, ignored = vectors(7), NONE.clone()
    if masked:
        nearest = losses.euclidean_distances(points) + 1e3 * (labels()[:, None] == labels()[None, :])
        ignored[0, nearest[0].argmin()] = ignored[3, nearest[3].argmin()] = True
    found = losses.batch_hard_triplet(points, labels(), ignored, 0.5)
    assert found.item() == pytest.approx(reference_triplet(points, labels(), ignored, 0.5), rel=1e-3)


def test_triplets_need_a_positive_and_a_negative() -> None:
    points = vectors(8, 4).requires_grad_()
    no_mask = torch.zeros(4, 4, dtype=torch.bool)
    alone = losses.batch_hard_triplet(points, torch.arange(4), no_mask, 0.5)
    alone.backward()
    assert alone.item() == 0


def test_coinciding_vectors_have_a_finite_triplet_gradient() -> None:
    points = torch.ones(4, 3, requires_grad=True)
    losses.batch_hard_triplet(points, torch.tensor([0, 0, 1, 1]), torch.zeros(4, 4).bool(), 0.5).backward()
    assert points.grad is not None and bool(points.grad.isfinite().all())


def reference_centroid_triplet(points: Tensor, names: Tensor, ignored: Tensor, margin: float) -> float:
    """Turn by turn, class by class, as the publication says it."""
    classes = {int(name): [i for i in range(len(names)) if names[i] == name] for name in names}
    turns = []
    for turn in range(max(len(own) for own in classes.values())):
        items: list[tuple[Tensor, int, set[int]]] = []  # a vector, its class, and the images that it is made of
        for name, own in classes.items():
            if len(own) > max(turn, 1):
                rest = [i for i in own if i != own[turn]]
                items.append((points[own[turn]], name, {own[turn]}))
                items.append((torch.stack([points[i] for i in rest]).mean(dim=0), name, set(rest)))
        values = []
        for vector, name, of in items:
            near = [math.dist(vector, v) for v, n, o in items if n == name and o != of]
            far = [
                math.dist(vector, v)
                for v, n, o in items
                if n != name and not any(bool(ignored[i, j]) for i in of for j in o)
            ]
            if near and far:
                values.append(max(0.0, max(near) - min(far) + margin))
        if len({name for _, name, _ in items}) > 1:
            turns.append(sum(values) / len(values) if values else 0.0)
    return sum(turns) / len(turns)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("names", [[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [0, 1, 0, 2, 2, 1, 1, 3, 2, 4, 0, 0]])
def test_centroid_triplet_goes_turn_by_turn(names: list[int], masked: bool) -> None:
    points, ignored = 0.3 * vectors(20), NONE.clone()
    if masked:
        ignored[0, 4] = ignored[4, 0] = ignored[3, 1] = ignored[1, 3] = True
    expected = reference_centroid_triplet(points, torch.tensor(names), ignored, 0.5)
    found = losses.centroid_triplet(points, torch.tensor(names), ignored, 0.5)
    assert found.item() == pytest.approx(expected, rel=1e-3)


def test_centroids_need_two_classes_with_two_images() -> None:
    points = vectors(21, 4).requires_grad_()
    no_mask = torch.zeros(4, 4, dtype=torch.bool)
    for names in ([0, 1, 2, 3], [0, 0, 1, 2], [0, 0, 0, 0]):
        loss = losses.centroid_triplet(points, torch.tensor(names), no_mask, 0.5)
        loss.backward()
        assert loss.item() == 0
    assert points.grad is not None and bool(points.grad.isfinite().all())


def test_proxy_anchor_is_the_libraries() -> None:
    points, names = vectors(22), labels()
    library = ProxyAnchorLoss(num_classes=6, embedding_size=5, margin=0.1, alpha=32)
    proxies = F.normalize(library.proxies.detach(), dim=1)
    cosines = F.normalize(points, dim=1) @ proxies.T
    found = losses.proxy_anchor(cosines, names, torch.zeros(12, 6).bool(), 0.1, 32)
    assert found.item() == pytest.approx(library(points, names).item(), rel=1e-5)


def test_proxies_of_what_a_picture_also_shows_do_not_push_it() -> None:
    cosines = F.normalize(vectors(23, 3), dim=1) @ F.normalize(vectors(24, 4), dim=1).T
    cosines.requires_grad_()
    ignored = torch.zeros(3, 4, dtype=torch.bool)
    ignored[0, 2] = True
    losses.proxy_anchor(cosines, torch.tensor([0, 1, 2]), ignored, 0.1, 32).backward()
    assert cosines.grad is not None and cosines.grad[0, 2] == 0
    assert (cosines.grad != 0).sum() == 11


def test_remembered_vectors_are_negatives_in_one_direction_unless_they_are_shown() -> None:
    one, other, remembered = (F.normalize(vectors(seed, count), dim=1) for seed, count in ((25, 3), (26, 4), (27, 5)))
    same, apart, shown = torch.zeros(3, 4).bool(), torch.zeros(3, 4).bool(), torch.zeros(3, 5).bool()
    same[0, 0] = same[1, 1] = same[1, 2] = same[2, 3] = True
    apart[2, 0] = shown[0, 3] = shown[2, 1] = True
    scale = 7.0

    def cost(score: float, against: list[float]) -> float:
        return -math.log(math.exp(score) / (math.exp(score) + sum(map(math.exp, against))))

    here, past = (scale * one @ other.T).tolist(), (scale * one @ remembered.T).tolist()
    forth, back = [], []
    for i in range(3):
        against = [here[i][j] for j in range(4) if not same[i, j] and not apart[i, j]]
        against += [past[i][j] for j in range(5) if not shown[i, j]]
        own = [cost(here[i][j], against) for j in range(4) if same[i, j]]
        forth.append(sum(own) / len(own))
    for j in range(4):
        against = [here[i][j] for i in range(3) if not same[i, j] and not apart[i, j]]
        own = [cost(here[i][j], against) for i in range(3) if same[i, j]]
        back.append(sum(own) / len(own))
    expected = (sum(forth) / 3 + sum(back) / 4) / 2
    found = losses.contrast_with_memory(one, other, remembered, same, apart, shown, scale)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_center_loss_is_the_mean_squared_distance() -> None:
    points, centers = vectors(9), vectors(10, 4)
    expected = sum(math.dist(p, centers[int(n)]) ** 2 for p, n in zip(points, labels(), strict=True)) / 12
    assert losses.center_loss(points, labels(), centers).item() == pytest.approx(expected, rel=1e-5)


def test_identity_loss_is_torchs_smoothed_cross_entropy() -> None:
    logits, names = vectors(11, 12, 4), labels()
    expected = F.cross_entropy(logits, names, label_smoothing=0.1)
    found = losses.identity_loss(logits, names, torch.zeros(12, 4).bool(), 0.1)
    assert torch.allclose(found, expected, atol=1e-6)


def test_identity_loss_leaves_ignored_classes_out() -> None:
    logits, names = vectors(12, 3, 5), torch.tensor([0, 1, 2])
    ignored = torch.zeros(3, 5, dtype=torch.bool)
    ignored[:, 4] = True
    expected = F.cross_entropy(logits[:, :4], names, label_smoothing=0.1)
    assert torch.allclose(losses.identity_loss(logits, names, ignored, 0.1), expected, atol=1e-6)


def test_dice_loss_compares_areas() -> None:
    truth = torch.zeros(2, 4, 4)
    truth[:, :2] = 1
    logits = torch.stack([(truth[0] - 0.5) * 60, torch.zeros(4, 4)])
    half = 1 - (2 * 0.5 * 8 + 1) / (8 + 8 + 1)
    assert losses.dice_loss(logits, truth).item() == pytest.approx((0 + half) / 2, abs=1e-5)
