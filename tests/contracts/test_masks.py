from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.images import UnreadableImage, fit, fitted_box
from contracts.masks import fit_mask, person_box, read_mask, resize_mask, segmented, whiten, write_mask


def blob(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.bool_)
    mask[height // 4 : height * 3 // 4, width // 3 : width * 2 // 3] = True
    return mask


def test_a_mask_comes_back_as_it_was_written(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((37, 53)) < 0.5
    write_mask(tmp_path / "m.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), mask)
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "1"


def test_grey_masks_are_cut_at_one_half(tmp_path: Path) -> None:
    values = np.array([[0, 127, 128, 255]] * 4, np.uint8)
    Image.fromarray(values).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png")[0], [False, False, True, True])


@pytest.mark.parametrize("content", [b"", b"nothing", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", None])
def test_what_is_no_mask_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "m.png").write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"m\.png"):
        read_mask(tmp_path / "m.png")


def test_a_smaller_mask_keeps_its_edge_to_half_a_pixel() -> None:
    rows, columns = np.mgrid[:480, :360] + 0.5
    disc = np.hypot(rows - 240, columns - 180) < 150
    rows, columns = (np.mgrid[:64, :48] + 0.5) * 7.5
    exact = np.hypot(rows - 240, columns - 180) < 150
    assert (resize_mask(disc, (64, 48)) != exact).sum() <= 4
    np.testing.assert_array_equal(resize_mask(resize_mask(disc, (960, 720)), (480, 360)), disc)
    assert resize_mask(disc, (480, 360)) is disc


@pytest.mark.parametrize("size", [(40, 40), (64, 32), (31, 77)])
def test_a_mask_is_fitted_as_its_photo_is(size: tuple[int, int]) -> None:
    mask = blob(120, 90)
    photo = np.where(mask[..., None], np.uint8(0), np.full(3, 255, np.uint8)).astype(np.uint8)
    fitted = fit_mask(mask, size)
    assert (fitted.shape, fitted.dtype) == (size, np.bool_)
    assert np.mean(fitted != (fit(photo, size)[..., 0] < 128)) < 0.02
    top, left, height, width = fitted_box(mask.shape, size)
    outside = np.ones(size, np.bool_)
    outside[top : top + height, left : left + width] = False
    assert not fitted[outside].any()


def test_whitening_keeps_the_person_and_nothing_else() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (20, 16, 3), dtype=np.uint8)
    mask = blob(20, 16)
    white = whiten(photo, mask)
    np.testing.assert_array_equal(white[mask], photo[mask])
    assert (white[~mask] == 255).all()


def test_the_box_around_a_person() -> None:
    mask = np.zeros((200, 100), np.bool_)
    mask[50:150, 20:30] = True
    assert person_box(mask, margin=0) == (50, 20, 150, 30)
    assert person_box(mask, margin=0.1) == (40, 19, 160, 31)
    assert person_box(mask, margin=9) == (0, 0, 200, 100)
    assert person_box(np.zeros((7, 9), np.bool_)) == (0, 0, 7, 9)


def test_segmenting_is_whitening_then_cropping() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (60, 50, 3), dtype=np.uint8)
    mask = blob(60, 50)
    top, left, bottom, right = person_box(mask)
    person = segmented(photo, mask)
    np.testing.assert_array_equal(person, whiten(photo, mask)[top:bottom, left:right])
    assert person.flags.c_contiguous
    nobody = np.zeros_like(mask)
    np.testing.assert_array_equal(segmented(photo, nobody), photo)
