"""Published weights from a local file: tensors only, checked against their digest and against the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from contracts.errors import ThreadlineError
from contracts.files import sha256_of_file
from training.configs import WeightsFile

_WRAPPER = "module."
"""What networks that were trained on several devices put before each name."""


def load_weights_file(network: nn.Module, file: WeightsFile, rename: Callable[[str], str] = str) -> None:
    """Load into `network` what `file` holds, each tensor under its name by `rename`.

    Every tensor of the network must be found; a classifier and whatever else the file holds is left. Counters of
    batches, which older files lack, stay as they are. Raises ThreadlineError naming what does not fit.
    """
    stored = {rename(name.removeprefix(_WRAPPER)): tensor for name, tensor in _read(file).items()}
    chosen = {}
    for name, own in network.state_dict().items():
        if name not in stored:
            if name.endswith("num_batches_tracked"):
                continue
            raise ThreadlineError(f"{file.path} holds no '{name}'", "take the weights of this very architecture")
        if stored[name].shape != own.shape:
            raise ThreadlineError(
                f"'{name}' is {tuple(stored[name].shape)} in {file.path}, and {tuple(own.shape)} in the network",
                "take the weights of this very architecture",
            )
        chosen[name] = stored[name]
    network.load_state_dict(chosen, strict=False)


def _read(file: WeightsFile) -> dict[str, Tensor]:
    path = Path(file.path)
    if not path.is_file():
        raise ThreadlineError(f"there is no file of weights at {path}", "correct the path in the configuration")
    found = sha256_of_file(path)
    if found != file.sha256:
        raise ThreadlineError(
            f"{path} is not the file that the configuration names: its SHA-256 is {found}",
            "take that file, or correct the digest in the configuration",
        )
    try:
        return load_file(path) if path.suffix == ".safetensors" else _read_torch(path)
    except Exception as error:  # each format, and each kind of damage, has its own
        raise ThreadlineError(f"{path} cannot be read as tensors: {error}", "save it as safetensors") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    stored = torch.load(path, weights_only=True, map_location="cpu")
    named = stored.get("state_dict", stored)
    return {str(name): tensor for name, tensor in named.items() if isinstance(tensor, Tensor)}
