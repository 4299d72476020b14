"""The settings of the service. This is the one place in `serving` that reads the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.images import ImageLimits


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

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    poll_s: PositiveFloat = 2.0
    """How often the registry is asked for the release that should serve."""

    threads: PositiveInt | None = None
    """Threads of one inference; unset: as many as there are cores."""
    runtime: Literal["openvino", "onnxruntime"] | None = None
    """What runs the networks; unset: the faster of those installed."""
    concurrent: PositiveInt = 2
    """How many requests compute at once; others wait."""
    wait_s: PositiveFloat = 10.0
    """How long a request waits for its turn before it is refused."""

    photo_bytes: PositiveInt = 20_000_000
    photo_pixels: PositiveInt = 50_000_000

    @property
    def tracking_uri(self) -> str:
        """The address of the registry."""
        return self.registry or f"sqlite:///{self.home.resolve() / 'mlflow' / 'mlflow.db'}"

    @property
    def packages(self) -> Path:
        """Where fetched packages are kept."""
        return self.home / "packages"

    @property
    def photo_limits(self) -> ImageLimits:
        """What an uploaded photo may be."""
        return ImageLimits(bytes=self.photo_bytes, pixels=self.photo_pixels)
