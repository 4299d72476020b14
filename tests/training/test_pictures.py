"""The picture store: what goes in comes out, and a crash costs nothing but the tail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.files import sha256_of_bytes
from contracts.images import UnreadableImage, encode_jpeg, fit, read
from contracts.masks import read_mask, resize_mask, segmented, write_mask
from training.pictures import PictureStore, Source

SIZE = (24, 16)


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(6):
        data = encode_jpeg(rng.integers(0, 255, size=(60, 40, 3), dtype=np.uint8))
        image, mask = tmp_path / f"{number}.jpg", tmp_path / f"{number}.png"
        image.write_bytes(data)
        person = np.zeros((60, 40), dtype=bool)
        person[10:50, 5 + number : 30] = True
        write_mask(mask, person)
        made.append(Source(image, sha256_of_bytes(data), mask, sha256_of_bytes(mask.read_bytes())))
    return made


def plain(sources: list[Source]) -> list[Source]:
    return [Source(source.image, source.sha256) for source in sources]


def test_a_plain_picture_is_read_and_fitted(tmp_path: Path, sources: list[Source]) -> None:
    pictures = PictureStore(tmp_path / "store", SIZE).take(plain(sources))
    for place, source in enumerate(sources):
        expected = fit(read(source.image, at_least=SIZE), SIZE)
        assert np.array_equal(pictures.batch([place])[0].numpy(), expected)


def test_a_segmented_picture_is_the_person_alone(tmp_path: Path, sources: list[Source]) -> None:
    pictures = PictureStore(tmp_path / "store", SIZE, "segmented").take(sources)
    picture = read(sources[2].image, at_least=(48, 32))
    mask = resize_mask(read_mask(sources[2].mask or Path()), picture.shape[:2])
    assert np.array_equal(pictures.batch([2])[0].numpy(), fit(segmented(picture, mask), SIZE))


def test_a_masked_picture_carries_its_mask(tmp_path: Path, sources: list[Source]) -> None:
    both = PictureStore(tmp_path / "store", SIZE, "masked").take(sources).batch([0, 1])
    assert both.shape == (2, *SIZE, 4)
    assert set(both[..., 3].unique().tolist()) == {0, 255}


def test_a_picture_is_decoded_once(tmp_path: Path, sources: list[Source]) -> None:
    PictureStore(tmp_path / "store", SIZE).take(plain(sources))
    for source in sources:
        source.image.unlink()
    told: list[tuple[int, int]] = []
    again = PictureStore(tmp_path / "store", SIZE).take(
        plain(sources)[::-1], lambda done, total: told.append((done, total))
    )
    assert len(again) == 6 and told == []


def test_no_pictures_are_an_empty_batch(tmp_path: Path) -> None:
    assert PictureStore(tmp_path / "store", SIZE).take([]).batch([]).shape == (0, *SIZE, 3)


def test_a_picture_asked_for_twice_is_kept_once(tmp_path: Path, sources: list[Source]) -> None:
    store = PictureStore(tmp_path / "store", SIZE)
    twice = store.take([*plain(sources), *plain(sources)])
    assert len(twice) == 12
    assert (tmp_path / "store" / "plain-24x16.records").stat().st_size == 6 * 24 * 16 * 3


def test_another_mask_is_another_picture(tmp_path: Path, sources: list[Source]) -> None:
    store = PictureStore(tmp_path / "store", SIZE, "segmented")
    before = store.take(sources[:1]).batch([0])
    other = sources[5]
    after = store.take([Source(sources[0].image, sources[0].sha256, other.mask, other.mask_sha256)]).batch([0])
    assert not np.array_equal(before.numpy(), after.numpy())


@pytest.mark.parametrize("cut", [1, 30, 70])
def test_a_torn_index_line_is_as_if_it_were_not_there(tmp_path: Path, sources: list[Source], cut: int) -> None:
    root = tmp_path / "store"
    expected = PictureStore(root, SIZE).take(plain(sources)).batch(range(6)).numpy()
    index = root / "plain-24x16.index"
    index.write_bytes(index.read_bytes()[:-cut])
    found = PictureStore(root, SIZE).take(plain(sources)).batch(range(6)).numpy()
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("left", [0, 1, 24 * 16 * 3 * 4 + 100])
def test_lost_records_are_decoded_again(tmp_path: Path, sources: list[Source], left: int) -> None:
    root = tmp_path / "store"
    expected = PictureStore(root, SIZE).take(plain(sources)).batch(range(6)).numpy()
    with (root / "plain-24x16.records").open("r+b") as file:
        file.truncate(left)
    found = PictureStore(root, SIZE).take(plain(sources)).batch(range(6)).numpy()
    assert np.array_equal(found, expected)


def test_data_without_an_index_entry_is_overwritten_or_passed_over(tmp_path: Path, sources: list[Source]) -> None:
    root = tmp_path / "store"
    PictureStore(root, SIZE).take(plain(sources)[:3])
    with (root / "plain-24x16.records").open("ab") as file:
        file.write(b"half a record")
    found = PictureStore(root, SIZE).take(plain(sources)).batch([5])[0].numpy()
    assert np.array_equal(found, fit(read(sources[5].image, at_least=SIZE), SIZE))


def test_an_unreadable_picture_is_named(tmp_path: Path, sources: list[Source]) -> None:
    sources[3].image.write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match=r"3\.jpg"):
        PictureStore(tmp_path / "store", SIZE).take(plain(sources))


def test_a_forgotten_picture_leaves_no_trace(tmp_path: Path, sources: list[Source]) -> None:
    root = tmp_path / "store"
    store = PictureStore(root, SIZE)
    store.take(plain(sources))
    assert store.forget(sources[1].sha256) == 1
    assert sources[1].sha256 not in (root / "plain-24x16.index").read_text()
    record = (root / "plain-24x16.records").read_bytes()[24 * 16 * 3 : 2 * 24 * 16 * 3]
    assert record == bytes(len(record))
    kept = [source for place, source in enumerate(plain(sources)) if place != 1]
    assert np.array_equal(store.take(kept).batch([4])[0].numpy(), fit(read(sources[5].image, at_least=SIZE), SIZE))
