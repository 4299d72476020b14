"""`threadline.toml`: what belongs to a workspace and not to a command."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import ThreadlineError
from contracts.splits import SplitShares
from orchestration.expectations.thresholds import Thresholds
from training.configs import Precision, WeightsFile
from training.presets import PresetName

CONFIGURATION_FILE = "threadline.toml"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Retraining(_Section):
    """New members of a training set are admitted when they are at least this share of it; 0 admits at once.

    With a `schedule` (cron, in UTC) they are admitted at its times only.
    """

    mask_set: float = Field(0.0, ge=0, le=10)
    attribute_set: float = Field(0.2, ge=0, le=10)
    look_set: float = Field(0.0, ge=0, le=10)
    schedule: str = ""


class Training(_Section):
    """The machine that trains: its `devices` share each batch, `workers` processes a device load batches ahead.

    `weights` are a local file that the strong baseline of a published preset starts from. Another `seed` gives other
    models of the same kind, whose spread says how much a figure is worth.
    """

    devices: int = Field(1, ge=1)
    workers: int = Field(0, ge=0)
    precision: Precision = "float32"
    seed: int = Field(1, ge=0)
    weights: WeightsFile | None = None


class Promotion(_Section):
    """When a challenger takes over.

    Its validation mAP must be ahead of the serving package's by `margin` (0.01 is one point), and the paired 95 %
    bootstrap interval of that lead must lie above 0. With `approval` "manual" it is then proposed, and serves once a
    person approves it.
    """

    margin: float = Field(0.01, ge=0, le=1)
    approval: Literal["automatic", "manual"] = "automatic"


class Retries(_Section):
    """How often the automation tries again what failed, with pauses that double from `backoff_s` seconds."""

    most: int = Field(3, ge=0)
    backoff_s: float = Field(30.0, ge=0)


class Alerts(_Section):
    """Whom to tell of failures, and of articles that cannot be found after so many minutes.

    Alerts are logged; with a `webhook` they are also posted there, as JSON with "text".
    """

    webhook: str = ""
    index_late_minutes: float = Field(60.0, gt=0)


class Splits(_Section):
    """The shares of validation and test."""

    val: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.25, ge=0, lt=1)

    @property
    def shares(self) -> SplitShares:
        """For `contracts.splits`."""
        return SplitShares(self.val, self.test)


class Configuration(_Section):
    """The content of `threadline.toml`."""

    preset: PresetName = "workstation"
    training: Training = Training()
    retraining: Retraining = Retraining()
    promotion: Promotion = Promotion()
    retries: Retries = Retries()
    alerts: Alerts = Alerts()
    splits: Splits = Splits()
    validation: Thresholds = Thresholds()
    keep_generations: int = Field(3, ge=1)
    grace_hours: float = Field(24.0, ge=0)

    def of_assets(self) -> dict[str, Any]:
        """Asset -> the settings that decide what it makes, as plain values; those of models are in the preset."""
        shares = self.retraining.model_dump(exclude={"schedule"})
        return {**shares, "candidate": self.promotion.model_dump(mode="json")}


def read_configuration(root: Path) -> Configuration:
    """The configuration of the workspace `root`. Raises ThreadlineError naming the file and the setting."""
    path = root / CONFIGURATION_FILE
    try:
        return Configuration.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ThreadlineError(f"{root} is no workspace: {path.name} is missing", "run `threadline init`") from error
    except tomllib.TOMLDecodeError as error:
        raise ThreadlineError(f"{path} is not valid TOML: {error}", "correct that line") from error
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ThreadlineError(f"{path}: {places}", "correct or remove that setting") from error


TEMPLATE = """\
# The preset fixes model sizes and epochs: "demo" (minutes, small pictures), "workstation" (real data), or for GPUs
# "street2shop" and "deepfashion" (the published sizes).
preset = "{preset}"

# Collections of the index that are kept, the serving one included. An older one goes once it has not served for the
# grace period.
keep_generations = 3
grace_hours = 24.0

# The machine that trains. Devices (GPUs) share each batch; a change of this section is a change of the models.
[training]
devices = 1
workers = 0                # processes a device that load batches ahead
precision = "float32"      # or "bfloat16"
seed = 1                   # of everything drawn by lot; others show how much a figure varies
# weights = {{ path = "resnet50_ibn_a.pth", sha256 = "…" }}    # what a published strong baseline starts from

# New members of a training set are admitted when they are at least this share of it; 0.0 admits at once.
[retraining]
mask_set = 0.0
attribute_set = 0.2
look_set = 0.0
# schedule = "0 3 * * 1"    # only then, in UTC: Mondays at three

# A challenger must beat the serving package's validation mAP by the margin (0.01 is one point), and the paired
# bootstrap interval of its lead must lie above 0. It then serves, or with "manual" waits for `threadline approve`.
[promotion]
margin = 0.01
approval = "automatic"

# What failed is tried again by itself so often, after pauses that double; then it waits for
# `threadline materialize --failed`.
[retries]
most = 3
backoff_s = 30.0

# Failures, and accepted articles that cannot be found after so many minutes, are logged, and posted to a webhook.
[alerts]
index_late_minutes = 60.0
# webhook = "https://chat.example.org/hooks/…"

# The shares of garments and photos that only validate and only test; decided once for each.
[splits]
val = 0.1
test = 0.25

# What is asked of a batch before it becomes data. More limits, and what they mean, are in the steward's guide.
[validation]
quarantine_share = 0.1
smallest_side_px = 64
"""
