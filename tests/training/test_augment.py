from __future__ import annotations

import pytest
import torch

from training.augment import (
    Augmentation,
    augmented,
    instance_augmentation,
    photo_augmentation,
    reid_augmentation,
)

SIZE = (48, 32)
EACH = [photo_augmentation(SIZE), instance_augmentation(SIZE), reid_augmentation(SIZE, 0.5, (128, 128, 128))]


def pictures(count: int = 6) -> torch.Tensor:
    return torch.randint(0, 256, (count, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("augmentation", EACH)
def test_shape_and_type_stay_and_a_seed_fixes_the_result(augmentation: Augmentation) -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(augmented(pictures(), augmentation))
    assert results[0].shape == (6, *SIZE, 3) and results[0].dtype == torch.uint8
    assert torch.equal(results[0], results[1])


@pytest.mark.parametrize("augmentation", EACH)
def test_the_same_picture_is_altered_differently_within_a_batch(augmentation: Augmentation) -> None:
    torch.manual_seed(0)
    views = augmented(pictures(1).expand(6, -1, -1, -1), augmentation)
    assert len({view.numpy().tobytes() for view in views}) > 3


def test_erasing_always_leaves_its_fill() -> None:
    torch.manual_seed(0)
    white = torch.full((12, *SIZE, 3), 255, dtype=torch.uint8)
    share = (augmented(white, reid_augmentation(SIZE, 1.0, (9, 9, 9))) == 9).all(dim=3).float().mean(dim=(1, 2))
    assert share.min() >= 0.01 and share.max() <= 0.45


def test_only_the_augmentation_of_photos_changes_the_light() -> None:
    torch.manual_seed(0)
    plain = torch.full((12, *SIZE, 3), 100, dtype=torch.uint8)
    assert set(augmented(plain, reid_augmentation(SIZE, 0.0, (9, 9, 9))).unique().tolist()) == {100, 255}
    assert len(augmented(plain, photo_augmentation(SIZE, 0.0)).unique()) > 3
