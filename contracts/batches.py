"""The batch formats: articles of the catalogue, photos and pairs of the street.

    data/catalogue/<batch>/articles.parquet, images/…
    data/street/<batch>/photos.parquet, pairs.parquet, images/…, masks/…

A batch is written whole or not at all. Paths in a table are relative to the batch and never leave it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

import pyarrow as pa

from contracts.errors import ThreadlineError
from contracts.files import Place, read_table, write_table

Kind = Literal["catalogue", "street"]
KINDS: tuple[Kind, ...] = ("catalogue", "street")

ARTICLES = "articles.parquet"
PHOTOS = "photos.parquet"
PAIRS = "pairs.parquet"

_BATCH_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")

_BOX = pa.struct([(side, pa.int32()) for side in ("top", "left", "bottom", "right", "height", "width")])

ARTICLE_SCHEMA = pa.schema(
    [
        pa.field("article_id", pa.string(), nullable=False),
        pa.field("op", pa.string(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("category", pa.string()),
        pa.field("attributes", pa.map_(pa.string(), pa.string())),
        pa.field("assortments", pa.list_(pa.string())),
        pa.field("images", pa.list_(pa.string())),
        pa.field("sha256", pa.list_(pa.string())),
        pa.field("url", pa.string()),
        pa.field("price", pa.float64()),
        pa.field("in_stock", pa.bool_()),
    ]
)

PHOTO_SCHEMA = pa.schema(
    [
        pa.field("photo_id", pa.string(), nullable=False),
        pa.field("op", pa.string(), nullable=False),
        pa.field("domain", pa.string()),
        pa.field("image", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("mask", pa.string()),
        pa.field("person_box", _BOX),
        pa.field("worn", pa.list_(pa.string())),
    ]
)

PAIR_SCHEMA = pa.schema(
    [
        pa.field("photo_id", pa.string(), nullable=False),
        pa.field("article_id", pa.string(), nullable=False),
        pa.field("box", _BOX),
    ]
)


@dataclass(frozen=True)
class Box:
    """A box in pixels of a picture of `height` x `width` (its reference size)."""

    top: int
    left: int
    bottom: int
    right: int
    height: int
    width: int


@dataclass(frozen=True)
class Article:
    """A row of `articles.parquet`. `images` are paths relative to the batch; `sha256` are their digests."""

    article_id: str
    op: str = "upsert"
    name: str = ""
    category: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    assortments: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    url: str | None = None
    price: float | None = None
    in_stock: bool | None = None


@dataclass(frozen=True)
class Photo:
    """A row of `photos.parquet`. `image` and `mask` are paths relative to the batch.

    `worn` are the categories that somebody said are seen worn; none where nobody did.
    """

    photo_id: str
    op: str = "upsert"
    domain: str = "street"
    image: str = ""
    sha256: str = ""
    mask: str | None = None
    person_box: Box | None = None
    worn: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """A row of `pairs.parquet`: the photo shows the article."""

    photo_id: str
    article_id: str
    box: Box | None = None


@dataclass(frozen=True)
class CatalogueBatch:
    """A catalogue batch as it lies in `root`."""

    root: Path
    articles: tuple[Article, ...]


@dataclass(frozen=True)
class StreetBatch:
    """A street batch as it lies in `root`."""

    root: Path
    photos: tuple[Photo, ...]
    pairs: tuple[Pair, ...]


def may_name_batch(name: str) -> bool:
    """Whether a batch may have that name."""
    return _BATCH_NAME.fullmatch(name) is not None


def check_batch_name(name: str) -> str:
    """`name`, if it may name a batch. Raises ThreadlineError otherwise."""
    if not may_name_batch(name):
        raise ThreadlineError(
            f"'{name}' cannot name a batch",
            "use lower-case letters, digits, dots, dashes and underscores, starting with a letter or digit",
        )
    return name


def write_catalogue_batch(root: Place, articles: Sequence[Article]) -> None:
    """Write `articles.parquet` into the directory `root`, which already holds the images."""
    write_table(root / ARTICLES, _to_table(articles, ARTICLE_SCHEMA))


def write_street_batch(root: Place, photos: Sequence[Photo], pairs: Sequence[Pair]) -> None:
    """Write `photos.parquet` and `pairs.parquet` into the directory `root`, which already holds the images."""
    write_table(root / PHOTOS, _to_table(photos, PHOTO_SCHEMA))
    write_table(root / PAIRS, _to_table(pairs, PAIR_SCHEMA))


def read_catalogue_batch(root: Path) -> CatalogueBatch:
    """Read a catalogue batch. Raises ThreadlineError naming the file and column that is wrong."""
    return CatalogueBatch(root, read_articles(root))


def read_street_batch(root: Path) -> StreetBatch:
    """Read a street batch; `pairs.parquet` may be missing. Raises ThreadlineError naming file and column."""
    return StreetBatch(root, *read_photos_and_pairs(root))


def read_articles(root: Place) -> tuple[Article, ...]:
    """The rows of `articles.parquet` below `root`. Raises ThreadlineError naming the file and column that is wrong."""
    return tuple(_article(row) for row in _rows(_read(root / ARTICLES, ARTICLE_SCHEMA)))


def read_photos_and_pairs(root: Place) -> tuple[tuple[Photo, ...], tuple[Pair, ...]]:
    """The rows of both tables below `root`; without `pairs.parquet` no pairs. Raises ThreadlineError as above."""
    photos = tuple(_photo(row) for row in _rows(_read(root / PHOTOS, PHOTO_SCHEMA)))
    pairs: tuple[Pair, ...] = ()
    if (root / PAIRS).exists():
        pairs = tuple(_pair(row) for row in _rows(_read(root / PAIRS, PAIR_SCHEMA)))
    return photos, pairs


def inside(root: Path, relative: str) -> Path:
    """The path `relative` inside the batch `root`.

    Raises ThreadlineError when it is absolute, climbs out with `..`, or goes through a symbolic link that leaves.
    """
    pure = PurePosixPath(relative)
    path = root / pure
    if not relative or pure.is_absolute() or ".." in pure.parts or "\\" in relative or "\0" in relative:
        raise ThreadlineError(f"{root}: the path '{relative}' leaves the batch", "use a path inside the batch")
    linked = any(root.joinpath(*pure.parts[:depth]).is_symlink() for depth in range(1, len(pure.parts) + 1))
    if linked and not path.resolve().is_relative_to(root.resolve()):
        raise ThreadlineError(f"{path}: a link that leaves the batch", "put the file itself into the batch")
    return path


def _read(path: Place, schema: pa.Schema) -> pa.Table:
    if not path.is_file():
        raise ThreadlineError(f"{path} is missing", f"a batch needs {path.name}; import it again")
    try:
        table = read_table(path)
        columns = []
        for column in schema:
            if column.name in table.column_names:
                columns.append(table.column(column.name).cast(column.type))
            elif column.nullable:
                columns.append(pa.nulls(table.num_rows, column.type))
            else:
                raise ThreadlineError(f"{path}: the column '{column.name}' is missing", "add it and try again")
        for column, values in zip(schema, columns, strict=True):
            if values.null_count and not column.nullable:
                raise ThreadlineError(f"{path}: the column '{column.name}' has empty rows", "fill them and try again")
        return pa.table(columns, schema=pa.schema([pa.field(c.name, c.type) for c in schema]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError) as error:
        raise ThreadlineError(f"{path} is not a table of the batch format: {error}", "write it again") from error


Row = TypeVar("Row", Article, Photo, Pair)


_AT_ONCE = 50_000
"""Rows that are converted together: as Python's own values they take many times the memory of the table."""


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for start in range(0, table.num_rows, _AT_ONCE):
        yield from table.slice(start, _AT_ONCE).to_pylist()


def _to_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    parts = [
        pa.Table.from_pylist([_plain(row) for row in rows[start : start + _AT_ONCE]], schema=schema)
        for start in range(0, len(rows), _AT_ONCE)
    ]
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _plain(row: Any) -> dict[str, Any]:
    """The fields of a row as what Arrow takes: tuples as lists, maps as pairs, boxes as dicts."""
    plain: dict[str, Any] = {}
    for name, value in vars(row).items():
        if isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, dict):
            value = sorted(value.items())
        elif isinstance(value, Box):
            value = vars(value)
        plain[name] = value
    return plain


def _article(row: dict[str, Any]) -> Article:
    """The article of a row. A null inside a list is no value, but for an image, which stays as a path to no file."""
    return Article(
        article_id=row["article_id"],
        op=row["op"],
        name=row["name"] or "",
        category=row["category"] or "",
        attributes={name: value for name, value in row["attributes"] or () if value is not None},
        assortments=_values(row["assortments"]),
        images=tuple(image or "" for image in row["images"] or ()),
        sha256=_values(row["sha256"]),
        url=row["url"],
        price=row["price"],
        in_stock=row["in_stock"],
    )


def _photo(row: dict[str, Any]) -> Photo:
    return Photo(
        photo_id=row["photo_id"],
        op=row["op"],
        domain=row["domain"] or "street",
        image=row["image"] or "",
        sha256=row["sha256"] or "",
        mask=row["mask"],
        person_box=_box(row["person_box"]),
        worn=_values(row["worn"]),
    )


def _pair(row: dict[str, Any]) -> Pair:
    return Pair(row["photo_id"], row["article_id"], _box(row["box"]))


def _values(listed: list[str | None] | None) -> tuple[str, ...]:
    return tuple(one for one in listed or () if one is not None)


def _box(value: dict[str, int] | None) -> Box | None:
    if value is None or all(side is None for side in value.values()):
        return None
    if None in value.values():
        raise ThreadlineError(f"a box is incomplete: {value}", "give all four sides and the size they refer to")
    return Box(**value)
