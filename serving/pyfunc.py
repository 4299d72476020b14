"""How MLflow opens a model package: `mlflow.pyfunc.load_model("models:/threadline@champion")`, without pickle."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.images import decode
from contracts.masks import encode_mask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from serving.inference import PackageSession

COLUMN = "image"
"""The column that holds the encoded pictures."""


class PackageModel:
    """A package as MLflow's pyfunc flavor calls it."""

    def __init__(self, session: PackageSession) -> None:
        self._session = session

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> NDArray[np.float32] | list[bytes]:
        """What the package makes of encoded pictures (a table with the column `image`, or a list of bytes).

        A matching package gives photo vectors (N, D) float32, a feature package features (N, F) float32 of
        article images, a segmenter N person masks as PNG. Raises UnreadableImage for what is no picture.
        """
        pictures = [decode(data) for data in _encoded(model_input)]
        kind = self._session.package.kind
        if kind == "segmenter":
            return [encode_mask(mask) for mask in self._session.segment(pictures)]
        if kind == "features":
            return self._session.article_features(pictures)
        return self._session.photo_vectors(pictures)


def _load_pyfunc(data_path: str) -> PackageModel:
    """Open the package folder `data_path`; the name is MLflow's convention for a loader module."""
    from serving.inference import PackageSession

    return PackageModel(PackageSession(Path(data_path)))


def _encoded(model_input: Any) -> list[bytes]:
    rows: Iterable[Any] = model_input
    if hasattr(model_input, "columns"):
        rows = model_input[COLUMN if COLUMN in model_input.columns else model_input.columns[0]]
    return [bytes(row[COLUMN] if isinstance(row, dict) else row) for row in rows]
