"""Person masks of photos, predicted once for each photo and segmentation model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contracts.batches import Photo
from contracts.files import digest_of
from contracts.images import read
from contracts.masks import write_mask
from orchestration.code_versions import code_version
from orchestration.features import chunks
from orchestration.home import Home
from orchestration.progress import Reporter
from serving.inference import PackageSession
from training.sets import LookPhoto

PREDICTION = (
    *("contracts.images", "contracts.masks", "orchestration.masking"),
    *("serving.inference", "serving.person_masks", "serving.precision", "serving.runtimes", "serving.openvino_float32"),
    "serving.reference_pictures",
)
"""The code that predicts masks. What other code predicted is predicted again."""

_CHUNK = 16


def predicted_by(session: PackageSession) -> str:
    """What shapes a mask beside the model and the photo: the precision and the code."""
    return f"{session.precision}-{code_version(PREDICTION)[:8]}"


def predict_masks(
    session: PackageSession, home: Home, photos: Sequence[Photo | LookPhoto], data: Path, report: Reporter
) -> tuple[int, str]:
    """Predict the masks that are not there yet. Returns how many, and the data version of all of them.

    The data version comes from the photos, the model, the precision and the code, never from the masks' pixels.
    """
    model, by = session.package.digest, predicted_by(session)
    places = {photo.sha256: home.mask(model, by, photo.sha256) for photo in photos}
    images = {photo.sha256: data / photo.image for photo in photos}
    missing = [sha256 for sha256, place in places.items() if not place.exists()]
    done = 0
    with ThreadPoolExecutor(2) as pool:
        for chunk in chunks(missing, _CHUNK):
            pictures = list(pool.map(lambda sha256: read(images[sha256]), chunk))
            for sha256, mask in zip(chunk, session.segment(pictures), strict=True):
                write_mask(places[sha256], mask)
            done += len(chunk)
            report("masks", done, len(missing))
    return len(missing), digest_of([sorted(places), model, by])[:32]
