"""The settings of the service. This is the one place in `serving` that reads the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.images import ImageLimits
from serving.runtimes import Runtime


class Settings(BaseSettings):
    """What the service is told: `THREADLINE_HOME`, `THREADLINE_PORT` and so on, `QDRANT_URL` and `QDRANT_API_KEY`."""

    model_config = SettingsConfigDict(env_prefix="THREADLINE_", frozen=True, populate_by_name=True, extra="forbid")

    home: Path = Path(".threadline")
    """Where the registry, the index and the fetched packages lie."""
    data: Path = Path("data")
    """The data directory of the workspace: the articles' images lie below it."""
    registry: str | None = Field(default=None, validation_alias="THREADLINE_TRACKING_URI")
    """The MLflow server or database; unset: `mlflow/mlflow.db` in the home."""
    qdrant_url: str | None = Field(default=None, validation_alias="QDRANT_URL")
    """A Qdrant server; unset: the embedded index in the home."""
    qdrant_api_key: SecretStr | None = Field(default=None, validation_alias="QDRANT_API_KEY")
    qdrant_ca: Path | None = Field(default=None, validation_alias="QDRANT_CA")
    """The authorities (PEM) that an https Qdrant server's certificate may come from; unset: the system's."""
    qdrant_timeout_s: PositiveInt = 5
    """How long the server may take to answer before a search is refused."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    root_path: str = Field(default="", pattern=r"^(/[^/?#]+)*$")
    """The path below which a proxy serves the application, such as `/shop/search`; whether or not it takes it away."""
    api_keys: Path | None = None
    """The file of the API keys (see `serving.keys`); unset: none is asked for, which only loopback may do."""
    open_to_all: bool = False
    """Answer everybody who reaches the service, on any address: for one behind a proxy that asks who it is."""
    cors_origins: tuple[str, ...] = ()
    """Origins, as a JSON list, whose pages a browser lets call the API; none: pages of other sites cannot."""

    poll_s: PositiveFloat = 2.0
    """How often the registry is asked for the release that should serve."""

    threads: PositiveInt | None = None
    """Threads of one inference; unset: as many as there are cores, and one each while several run."""
    runtime: Runtime | None = None
    """What runs the networks; unset: the fastest that agrees with float32."""
    concurrent: PositiveInt = Field(default_factory=lambda: (os.cpu_count() or 1) + 2)
    """How many requests compute at once; others wait. Two more than cores keep these busy."""
    queue: NonNegativeInt = 32
    """How many requests may wait; further ones are refused at once."""
    deadline_s: PositiveFloat = 10.0
    """How long a request may wait and compute before it is refused."""
    stop_s: PositiveInt = 30
    """How long requests that were begun may take once the service is told to stop."""

    photo_bytes: PositiveInt = 20_000_000
    photo_pixels: PositiveInt = 50_000_000
    upload_s: PositiveFloat = 30.0
    """How long an upload may take."""
    headers_s: PositiveFloat = 10.0
    """How long a connection may take to send a request's headers before it is closed."""

    samples: Path = Path(__file__).parent / "page" / "samples"
    """Photos that the page offers to try."""
    query_log: Literal["off", "counts", "vectors"] = "counts"
    """What is kept of a search, in `queries/` of the home: nothing, figures, or those and the photo's vector."""
    query_log_days: PositiveInt = 90
    """How long it is kept."""

    otlp_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Where OpenTelemetry's signals go, over HTTP; unset, or empty: no traces are made."""
    otlp_traces_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    """The whole address for traces, where it is not `/v1/traces` below that one."""

    @property
    def tracking_uri(self) -> str:
        """The address of the registry."""
        return self.registry or f"sqlite:///{self.home.resolve() / 'mlflow' / 'mlflow.db'}"

    @property
    def traces(self) -> str | None:
        """The address that takes traces; None: none are made."""
        if self.otlp_traces_endpoint:
            return self.otlp_traces_endpoint
        return f"{self.otlp_endpoint.rstrip('/')}/v1/traces" if self.otlp_endpoint else None

    @property
    def packages(self) -> Path:
        """Where fetched packages are kept."""
        return self.home / "packages"

    @property
    def queries(self) -> Path:
        """Where the query log lies."""
        return self.home / "queries"

    @property
    def photo_limits(self) -> ImageLimits:
        """What an uploaded photo may be."""
        return ImageLimits(bytes=self.photo_bytes, pixels=self.photo_pixels)
