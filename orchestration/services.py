"""The services that a team has, in place of the embedded ones. `orchestration.resources` reads the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from serving.index.layout import Layout, Quantisation

Engine = Literal["process", "multiprocess", "celery", "kubernetes"]
"""Where the steps of the daemon's runs work."""


class Services(BaseModel):
    """Where each service is; None means the embedded one, in the workspace's home.

    What may hold a password is never shown: not in a representation, and not in an error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    dagster_url: str | None = Field(None, repr=False, pattern=r"^postgresql\+psycopg2://")
    """A PostgreSQL database for Dagster's storage, one a workspace; its driver is not left to SQLAlchemy's release."""
    tracking_uri: str | None = Field(None, repr=False, pattern=r"^(https?|postgresql\+psycopg2|sqlite)://")
    """An MLflow server, or the database of one."""
    artifact_root: str | None = None
    """Where experiments that are made from here keep their files, such as `s3://bucket/mlflow`."""
    mlflow_url: str | None = None
    """Where the pages of MLflow are, for links."""
    steward_url: str | None = None
    """Where the steward's page is, for links to reports."""
    derived_root: str | None = Field(None, pattern=r"^(/|[a-z0-9+]+://)")
    """Where derived tables lie, such as `s3://bucket/derived`, one a workspace."""
    dvc_remote: str | None = Field(None, pattern=r"^(/|[a-z0-9+]+://)")
    """The default DVC remote of the data, such as `s3://bucket/data`."""
    engine: Engine = "process"
    broker_url: str | None = Field(None, repr=False, pattern=r"^rediss?://")
    """The Redis that hands steps to Celery's workers."""

    qdrant_url: str | None = Field(None, repr=False)
    qdrant_api_key: str | None = Field(None, repr=False)
    qdrant_ca: Path | None = None
    qdrant_shards: PositiveInt | None = None
    qdrant_replicas: PositiveInt | None = None
    qdrant_write_consistency: PositiveInt | None = None
    qdrant_on_disk: bool = False
    qdrant_quantisation: Quantisation = "none"

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.engine == "celery" and self.broker_url is None:
            raise ValueError("THREADLINE_ENGINE is celery, which needs a Redis: THREADLINE_BROKER_URL")
        wanted, held = self.qdrant_write_consistency, self.qdrant_replicas or 1
        if wanted is not None and wanted > held:
            raise ValueError(f"QDRANT_WRITE_CONSISTENCY is {wanted}, but there are {held} replicas (QDRANT_REPLICAS)")
        return self

    @property
    def layout(self) -> Layout:
        """How new collections of a Qdrant server are laid out."""
        return Layout(
            shards=self.qdrant_shards,
            replicas=self.qdrant_replicas,
            write_consistency=self.qdrant_write_consistency,
            on_disk=self.qdrant_on_disk,
            quantisation=self.qdrant_quantisation,
        )


EMBEDDED = Services()
"""Everything in the workspace's home."""


def without_password(address: str) -> str:
    """The address as it may be shown: scheme, host and path, without user, password and query."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
