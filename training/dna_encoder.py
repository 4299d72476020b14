"""FashionDNA's network, and how a package keeps its weights for trainings that go on from them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from contracts.errors import ThreadlineError
from contracts.files import replacing, sha256_of_file
from contracts.model_package import WEIGHTS_FILE, read_package
from training.backbones import Backbone
from training.configs import BackboneConfig


class DnaEncoder(nn.Module):
    """Pictures (N, H, W, 3) uint8 to the DNA of single images (N, F) float32; an article's is their maximum."""

    def __init__(self, config: BackboneConfig, dimension: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.dna = nn.Linear(self.backbone.width, dimension)

    def forward(self, pictures: Tensor) -> Tensor:
        """The DNA of `pictures`."""
        features: Tensor = self.dna(self.backbone(pictures))
        return features


def write_encoder(network: DnaEncoder, out: Path) -> str:
    """Leave the weights of `network` in the package `out`, for `read_encoder`; the file's SHA-256."""
    made_of = {"backbone": asdict(network.config), "dimension": network.dna.out_features}
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    with replacing(out / WEIGHTS_FILE) as temporary:
        save_file(tensors, temporary, {"network": json.dumps(made_of)})
    return sha256_of_file(out / WEIGHTS_FILE)


def read_encoder(root: Path) -> DnaEncoder:
    """FashionDNA's network as it was when the package at `root` was made.

    Raises ThreadlineError when the package holds no weights, or they are not what it says.
    """
    if read_package(root, verify=True).weights is None:
        raise ThreadlineError(f"{root} holds no {WEIGHTS_FILE} to go on from", "train FashionDNA again")
    with safe_open(root / WEIGHTS_FILE, framework="pt") as file:
        made_of = json.loads(file.metadata()["network"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    backbone = {
        **made_of["backbone"],
        "pretrained": False,
        "weights": None,
        "levels": (*made_of["backbone"]["levels"],),
    }
    network = DnaEncoder(BackboneConfig(**backbone), made_of["dimension"])
    network.load_state_dict(tensors)
    return network


def pool_max(features: Tensor, owners: Tensor, count: int) -> Tensor:
    """The maximum of `features` (I, F) over the images of each owner (I,): (count, F)."""
    start = features.new_full((count, features.shape[1]), -torch.inf)
    return start.scatter_reduce(0, owners[:, None].expand_as(features), features, "amax", include_self=False)
