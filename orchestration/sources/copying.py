"""Copying the pictures that lists name into a batch, on all cores; what cannot be used is left out and reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from contracts.images import UnreadableImage
from orchestration.expectations.picture_facts import look_at_all
from orchestration.progress import Reporter
from orchestration.sources.pictures import CopiedPicture, copy_picture, safe_name
from orchestration.sources.report import ImportReport


@dataclass(frozen=True)
class Listed:
    """A picture as a list names it: `given` there, in `file` at `line`; `source` is None where no file can be it."""

    source: Path | None
    given: str
    file: str
    line: int | None = None


def copy_images(
    batch: Path, articles: Mapping[str, Sequence[Listed]], report: ImportReport, progress: Reporter
) -> dict[str, list[CopiedPicture]]:
    """Copy the pictures of each article, named by its id; the copies by article, without those that have none."""
    wanted = [
        (article_id, _name(article_id, number, len(pictures)), picture)
        for article_id, pictures in articles.items()
        for number, picture in enumerate(pictures, 1)
    ]
    copied = copy_all(batch, [(name, picture) for _, name, picture in wanted], "copying images", report, progress)
    images: dict[str, list[CopiedPicture]] = {}
    for (article_id, _, _), one in zip(wanted, copied, strict=True):
        if one is not None:
            images.setdefault(article_id, []).append(one)
    return images


def copy_all(
    batch: Path, wanted: Sequence[tuple[str, Listed]], stage: str, report: ImportReport, progress: Reporter
) -> list[CopiedPicture | None]:
    """Copy each picture of `wanted` under its name; the copies in that order, None where there is no usable one."""
    copied: list[CopiedPicture | None] = []
    for (_, picture), result in zip(wanted, look_at_all(partial(_copy, batch), wanted, stage, progress), strict=True):
        if isinstance(result, CopiedPicture):
            copied.append(result)
            continue
        copied.append(None)
        if result is None:
            report.leave_out("the picture is missing", picture.file, picture.line, picture.given)
        else:
            report.leave_out("the picture cannot be read", picture.file, picture.line, f"{picture.given}: {result}")
    return copied


def _name(article_id: str, number: int, count: int) -> str:
    """A file name for a picture that no picture of another article has: no id holds a line break."""
    return safe_name(article_id if count == 1 else f"{article_id}\n{number}")


def _copy(batch: Path, wanted: tuple[str, Listed]) -> CopiedPicture | str | None:
    """The copy, or in words why the file cannot be used, or None where there is no file."""
    name, picture = wanted
    if picture.source is None or not picture.source.is_file():
        return None
    try:
        return copy_picture(picture.source, batch, name)
    except UnreadableImage as error:
        return str(error)
