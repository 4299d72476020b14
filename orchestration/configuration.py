"""`threadline.toml`: what belongs to a workspace and not to a command."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import ThreadlineError
from contracts.splits import SplitShares

CONFIGURATION_FILE = "threadline.toml"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Retraining(_Section):
    """New members of a training set are admitted when they are at least this share of it; 0 admits at once."""

    mask_set: float = Field(0.0, ge=0, le=10)
    attribute_set: float = Field(0.2, ge=0, le=10)
    look_set: float = Field(0.0, ge=0, le=10)


class Promotion(_Section):
    """A challenger must beat the serving package's validation mAP by `margin` (0.01 is one point)."""

    margin: float = Field(0.01, ge=0, le=1)


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

    preset: Literal["demo", "workstation"] = "workstation"
    retraining: Retraining = Retraining()
    promotion: Promotion = Promotion()
    splits: Splits = Splits()
    keep_generations: int = Field(3, ge=1)


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
# The preset fixes model sizes and epochs: "demo" (minutes, small pictures) or "workstation" (real data).
preset = "{preset}"

# The generations of the embedded index that are kept, the serving one included.
keep_generations = 3

# New members of a training set are admitted when they are at least this share of it; 0.0 admits at once.
[retraining]
mask_set = 0.0
attribute_set = 0.2
look_set = 0.0

# A challenger must beat the serving package's validation mAP by this much (0.01 is one point).
[promotion]
margin = 0.01

# The shares of garments and photos that only validate and only test; decided once for each.
[splits]
val = 0.1
test = 0.25
"""
