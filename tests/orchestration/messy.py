"""A catalogue batch and a street batch with everything that people deliver by mistake, each at least once."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from contracts.batches import Article, Pair, Photo, write_catalogue_batch, write_street_batch
from contracts.files import sha256_of_file
from contracts.masks import write_mask

SIZE = (120, 90)
"""(height, width) of an ordinary picture."""

SOUND = 20
ACCEPTED = 60


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Goods that no other seed's look like, on white."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    canvas = Image.new("RGB", (size[1], size[0]), (255, 255, 255))
    goods = Image.fromarray(coarse).resize((size[1] * 3 // 4, size[0] * 3 // 4), Image.Resampling.BICUBIC)
    canvas.paste(goods, (size[1] // 8, size[0] // 8))
    return canvas


def deliver_spring(root: Path) -> None:
    """A sound catalogue batch: articles a0, a1, …, tops and dresses."""
    (root / "images").mkdir(parents=True)
    rows = []
    for number in range(ACCEPTED):
        path = root / "images" / f"a{number}.jpg"
        picture(number).save(path, quality=92)
        category = "dress" if number % 3 else "top"
        rows.append(_article(root, f"a{number}", path, category))
    write_catalogue_batch(root, rows)


def deliver_messy_catalogue(root: Path) -> None:
    """The catalogue batch, delivered after `deliver_spring`; beside it lies `outside.jpg`, which it reaches for."""
    images = root / "images"
    images.mkdir(parents=True)
    outside = root.parent / "outside.jpg"
    picture(900).save(outside)
    for number in range(SOUND):
        picture(100 + number).save(images / f"n{number}.jpg")
    picture(200).save(images / "truncated.jpg", quality=95)
    whole = (images / "truncated.jpg").read_bytes()
    (images / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    picture(201).save(images / "png.jpg", format="PNG")
    (images / "text.jpg").write_text("<html>404</html>")
    Image.new("RGB", (1, 1)).save(images / "tiny.png")
    write_one_colour_png(images / "huge.png", 30_000)
    Image.new("RGB", (SIZE[1], SIZE[0]), (250, 250, 250)).save(images / "blank.jpg")
    picture(203).save(images / "twice.jpg")
    picture(3).save(images / "near.jpg", quality=70)
    picture(204).save(images / "update.jpg")
    picture(205).save(images / "hat.jpg")
    (images / "linked.jpg").symlink_to(outside)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(206).transpose(Image.Transpose.ROTATE_90).save(images / "rotated.jpg", exif=turned)
    picture(207).convert("L").save(images / "grey.jpg")
    picture(208).convert("CMYK").save(images / "cmyk.jpg")
    picture(209).save(images / "double.jpg")
    (root / "notes.txt").write_text("please mind the hat")
    rows = [_article(root, f"n{number}", images / f"n{number}.jpg") for number in range(SOUND)]
    for name in ("truncated", "png", "text", "blank", "near", "rotated", "grey", "cmyk", "double", "double"):
        rows.append(_article(root, name, images / f"{name}.jpg"))
    for name in ("tiny", "huge"):
        rows.append(_article(root, name, images / f"{name}.png"))
    rows += [_article(root, name, images / "twice.jpg") for name in ("twice-1", "twice-2")]
    rows += [
        _article(root, "a5", images / "update.jpg"),
        _article(root, "hat", images / "hat.jpg", "hatt"),
        Article("missing", category="top", images=("images/missing.jpg",), sha256=("0" * 64,)),
        Article("climbs", category="top", images=("../outside.jpg",), sha256=(sha256_of_file(outside),)),
        _article(root, "linked", images / "linked.jpg"),
    ]
    write_catalogue_batch(root, rows)


def deliver_messy_street(root: Path) -> None:
    """The street batch, delivered after `deliver_spring`."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    photos, pairs = [], []
    for number in range(SOUND):
        photos.append(_photo(root, f"p{number}", 300 + number, _person(SIZE)))
        pairs.append(Pair(f"p{number}", f"a{number}"))
    photos.append(_photo(root, "other-size", 400, _person((90, 120))))
    photos.append(_photo(root, "nobody", 401, np.zeros(SIZE, dtype=np.bool_)))
    photos.append(_photo(root, "cut", 402, _person(SIZE)))
    broken = root / "images" / "cut.jpg"
    broken.write_bytes(broken.read_bytes()[:800])
    photos.append(_photo(root, "fog", 403, _person(SIZE)))
    fog = root / "images" / "fog.jpg"
    Image.new("RGB", (SIZE[1], SIZE[0]), (240, 240, 240)).save(fog)
    photos[-1] = replace(photos[-1], sha256=sha256_of_file(fog))
    pairs += [Pair("fog", "a3"), Pair("p1", "nowhere"), Pair("ghost", "a1"), Pair("cut", "a2")]
    write_street_batch(root, photos, pairs)


def write_one_colour_png(path: Path, side_px: int) -> None:
    """A one-bit PNG of `side_px` x `side_px`, all black, written in strips."""
    packer = zlib.compressobj(9)
    strip = bytes((1 + -(-side_px // 8)) * 1000)
    data = b"".join(packer.compress(strip) for _ in range(side_px // 1000)) + packer.flush()
    header = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _person(size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, dtype=np.bool_)
    mask[10:-10, 20:-20] = True
    return mask


def _article(root: Path, article_id: str, path: Path, category: str = "top") -> Article:
    image = path.relative_to(root).as_posix()
    return Article(article_id, category=category, images=(image,), sha256=(sha256_of_file(path),))


def _photo(root: Path, photo_id: str, seed: int, mask: np.ndarray) -> Photo:
    path = root / "images" / f"{photo_id}.jpg"
    picture(seed).save(path)
    write_mask(root / "masks" / f"{photo_id}.png", mask)
    return Photo(photo_id, image=f"images/{photo_id}.jpg", sha256=sha256_of_file(path), mask=f"masks/{photo_id}.png")
