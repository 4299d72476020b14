"""The MLflow registry, read and published with the slim client. MLflow is imported on first use, not before.

A version carries what a reader needs as tags: `digest`, `method`, `data_version`, `code_version`, `collection`,
`k_reciprocal_gain`.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.errors import ThreadlineError
from contracts.files import new_directory
from contracts.model_package import PACKAGE_FILE, ModelPackage, read_package
from contracts.quiet import nothing_phones_home
from contracts.registry import CHAMPION, K_RECIPROCAL_GAIN, SERVING_MODEL, ModelVersion, Release

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.tracking import MlflowClient

_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
_PAGE = 1000
_SOON = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""MLflow's own settings, in seconds the second."""


def open_client(tracking_uri: str) -> MlflowClient:
    """An MLflow client for `tracking_uri`, quiet, and with MLflow's usage statistics off unless asked for.

    Every use of MLflow starts here, because its settings count only before its first import.
    """
    nothing_phones_home()
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def give_up_soon() -> None:
    """Let MLflow report a server that is away in seconds, not minutes, unless the environment says otherwise.

    For whoever asks again anyway, all over this process.
    """
    for name, value in _SOON.items():
        os.environ.setdefault(name, value)


def sqlite_file(tracking_uri: str) -> Path | None:
    """The database file of a `sqlite:///…` address; None for any other address."""
    scheme, _, path = tracking_uri.partition(":///")
    return Path(path.partition("?")[0]) if scheme == "sqlite" else None


class MlflowRegistry:
    """`contracts.registry.Registry` over an MLflow server (`https://…`) or database (`sqlite:///…/mlflow.db`)."""

    def __init__(self, tracking_uri: str) -> None:
        self._tracking_uri = tracking_uri

    def champion(self) -> Release | None:
        """What serves now; None before the first release."""
        if self._is_missing():
            return None
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version_by_alias(SERVING_MODEL, CHAMPION)
        except MlflowException as error:
            if error.error_code in _ABSENT:
                return None
            raise
        version = _model_version(found)
        return Release(
            version=version.version,
            digest=version.digest,
            method=version.method,
            collection=version.tags.get("collection", ""),
            run_id=version.run_id,
            data_version=version.tags.get("data_version", ""),
            code_version=version.tags.get("code_version", ""),
            k_reciprocal_gain=float(version.tags.get(K_RECIPROCAL_GAIN, 0)),
        )

    def versions(self, name: str = SERVING_MODEL) -> list[ModelVersion]:
        """The registered versions of a model, newest first."""
        if self._is_missing():
            return []
        found: list[MlflowVersion] = []
        token: str | None = None
        while True:
            page = self._client.search_model_versions(f"name = '{name}'", max_results=_PAGE, page_token=token)
            found.extend(page)
            token = page.token
            if not token:
                break
        return [_model_version(one) for one in sorted(found, key=lambda one: int(one.version), reverse=True)]

    def experiment_of(self, run_id: str) -> str:
        """The id of the experiment that a run belongs to."""
        return str(self._client.get_run(run_id).info.experiment_id)

    def fetch(self, name: str, version: str, into: Path) -> Path:
        """The package of a version as the folder `<into>/<digest>`, verified; fetched once.

        Raises ThreadlineError when there is no such version, or it is not what its digest says.
        """
        digest = self._version(name, version).digest
        root = into / digest
        if root.is_dir() and _is_intact(root, digest):
            return root
        source = self._client.get_model_version_download_uri(name, version)
        with new_directory(root) as temporary:
            self._download(f"{source}/data", temporary, f"{name} version {version}")
            if read_package(temporary, verify=True).digest != digest:
                raise ThreadlineError(
                    f"{name} version {version} holds another package than its digest {digest} says",
                    "register the package again, and remove this version",
                )
        return root

    def publish(self, version: str, collection: str) -> None:
        """Let `version` of the serving model serve with `collection`: the tag first, then the alias.

        Raises ThreadlineError when there is no such version.
        """
        self._version(SERVING_MODEL, version)
        self._client.set_model_version_tag(SERVING_MODEL, version, "collection", collection)
        current = self.champion()
        if current is None or current.version != version:
            self._client.set_registered_model_alias(SERVING_MODEL, CHAMPION, version)

    @cached_property
    def _client(self) -> MlflowClient:
        return open_client(self._tracking_uri)

    def _is_missing(self) -> bool:
        """Whether the database was not made yet. A reader must not make it: two processes would do so at once."""
        file = sqlite_file(self._tracking_uri)
        return file is not None and not file.exists()

    def _version(self, name: str, version: str) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        missing = ThreadlineError(f"{name} has no version {version}", "list the versions, and choose one of them")
        if self._is_missing():
            raise missing
        try:
            return _model_version(self._client.get_model_version(name, version))
        except MlflowException as error:
            if error.error_code in _ABSENT:
                raise missing from error
            raise

    def _download(self, source: str, root: Path, what: str) -> None:
        """Put the files of the package that lies somewhere below `source` into the folder `root`."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        remedy = "check that the artifact store is there and may be read, or register the package again"
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root.parent) as folder:
            try:
                local = Path(download_artifacts(source, dst_path=folder, tracking_uri=self._tracking_uri))
            except (MlflowException, OSError) as error:
                raise ThreadlineError(f"the files of {what} cannot be fetched: {error}", remedy) from error
            found = sorted(local.rglob(PACKAGE_FILE))
            if len(found) != 1:
                raise ThreadlineError(f"{what} holds {len(found)} packages instead of one", remedy)
            for file in found[0].parent.iterdir():
                shutil.move(file, root / file.name)


def _is_intact(root: Path, digest: str) -> bool:
    try:
        package: ModelPackage = read_package(root, verify=True)
    except ThreadlineError:
        return False
    return package.digest == digest


def _model_version(found: MlflowVersion) -> ModelVersion:
    tags = {str(key): str(value) for key, value in found.tags.items()}
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        digest=tags.get("digest", ""),
        method=tags.get("method", ""),
        run_id=found.run_id or "",
        created_s=found.creation_timestamp / 1000,
        tags=tags,
    )
