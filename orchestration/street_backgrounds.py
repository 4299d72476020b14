"""How much of a package's accuracy is left when its studio photos stand before street backgrounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from contracts.errors import ThreadlineError
from contracts.files import digest_of, sha256_of_bytes
from contracts.images import encode_jpeg, read
from contracts.masks import read_mask, write_mask
from orchestration.compositing import compose, has_room
from orchestration.cutout import CannotCutOut, cut_out
from orchestration.embedding import photo_features
from orchestration.evaluation import Embedded, Evaluation, embed_looks, evaluate
from orchestration.home import Home
from orchestration.mask_evaluation import MaskScore, measure_masks, score_masks
from orchestration.progress import Reporter
from serving.inference import PackageSession
from training.sets import LookPhoto, LookSet, Segmentation


@dataclass(frozen=True)
class StreetLooks:
    """Studio photos that could be cut out, the same before street backgrounds, and the true masks of these."""

    studio: LookSet
    street: tuple[LookPhoto, ...]
    truth: tuple[Segmentation, ...]


@dataclass(frozen=True)
class BeforeStreets:
    """The scores of the same queries in the `studio` and before a `street`; higher is better.

    `kept` is the street's Acc@20 divided by the studio's, None where that is 0; `masks` compares the package's own
    segmentation with the true one, None where it does not segment. `embedded` is what the street's score came from.
    """

    studio: Evaluation
    street: Evaluation
    kept: float | None
    masks: MaskScore | None
    embedded: Embedded


def with_room(rows: Sequence[Segmentation], learnt: Collection[str], left_out: Counter[str]) -> list[Segmentation]:
    """The street photos beside whose people somebody can stand, and which are not `learnt` from (digests).

    What is left out is counted. Raises ThreadlineError when nothing is left.
    """
    unseen = [row for row in rows if row.sha256 not in learnt]
    usable = [row for row in unseen if has_room(read_mask(row.mask))]
    left_out.update(
        {
            "backgrounds that models learnt from": len(rows) - len(unseen),
            "backgrounds without room beside the person": len(unseen) - len(usable),
        }
    )
    if not usable:
        raise ThreadlineError(
            "no background is left that no model learnt from and that has room beside its person",
            "give other street photos with masks",
        )
    return usable


def stand_before(
    looks: LookSet, streets: Sequence[Segmentation], place: Path, left_out: Counter[str], report: Reporter
) -> StreetLooks:
    """Set the person of each studio photo of `looks` before one of `streets`; what is drawn lies in `place`.

    Street, place and scale follow from the photo's id. Photos that are not of a studio, or from which the person
    cannot be cut, are left out and counted. Raises ThreadlineError when none is left.
    """
    studio = [photo for photo in looks.photos if photo.domain == "studio"]
    left_out["photos that are not of a studio"] += len(looks.photos) - len(studio)
    place.mkdir()
    drawn: list[tuple[LookPhoto, Segmentation] | None] = []
    with ThreadPoolExecutor(2) as pool:
        for one in pool.map(lambda photo: _stand(photo, streets, place), studio):
            drawn.append(one)
            report("street backgrounds", len(drawn), len(studio))
    kept = [(photo, one) for photo, one in zip(studio, drawn, strict=True) if one is not None]
    left_out["photos from which the person cannot be cut"] += len(studio) - len(kept)
    if not kept:
        raise ThreadlineError("no photo shows a person before a plain backdrop", "give studio photos")
    return StreetLooks(
        LookSet(tuple(photo for photo, _ in kept), looks.articles),
        tuple(street for _, (street, _) in kept),
        tuple(truth for _, (_, truth) in kept),
    )


def measure_before_streets(
    session: PackageSession, looks: StreetLooks, home: Home, temporary: Home, report: Reporter
) -> BeforeStreets:
    """Search the same queries as they are and before streets, in the same gallery.

    Vectors of pictures that are there already come from `home`; those of what was drawn go to `temporary`.
    """
    as_is = embed_looks(session, looks.studio, home, report)
    vectors = photo_features(session, temporary, {photo.sha256: photo.image for photo in looks.street}, report)
    outside = replace(as_is, photos=looks.street, queries=vectors.get([photo.sha256 for photo in looks.street]))
    studio, street = evaluate(session, as_is, {}), evaluate(session, outside, {})
    before, after = studio.scores["test"].acc[20], street.scores["test"].acc[20]
    masks = score_masks(measure_masks(session, looks.truth, report)) if session.package.segments else None
    return BeforeStreets(studio, street, after / before if before else None, masks, outside)


def _stand(photo: LookPhoto, streets: Sequence[Segmentation], place: Path) -> tuple[LookPhoto, Segmentation] | None:
    """The photo before a street with its true mask; None where the person cannot be cut out."""
    name = digest_of(photo.photo_id)
    rng = np.random.default_rng(int(name, 16))
    try:
        person = cut_out(read(photo.image))
    except CannotCutOut:
        return None
    street = streets[int(rng.integers(len(streets)))]
    composite = compose(person, read(street.image), read_mask(street.mask), rng)
    image, mask, data = place / f"{name}.jpg", place / f"{name}.png", encode_jpeg(composite.picture)
    image.write_bytes(data)
    write_mask(mask, composite.mask)
    standing = replace(photo, image=image, sha256=sha256_of_bytes(data), domain="street")
    return standing, Segmentation(photo.photo_id, image, standing.sha256, mask, "", "test")
