"""An exported graph gives what the network gives, or there is no package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contracts.errors import ThreadlineError
from contracts.model_package import graph_path
from training.backbones import Backbone
from training.configs import BackboneConfig
from training.export import GraphExport, check_congruence, export_graph, run_graph
from training.pretrained import UnitVectors


@pytest.mark.parametrize(
    "config", [BackboneConfig(), BackboneConfig(levels=(1, 2, 3), attention=2), BackboneConfig(last_stride_one=True)]
)
def test_a_graph_takes_any_number_of_pictures(tmp_path: Path, config: BackboneConfig) -> None:
    network = UnitVectors(Backbone(config)).eval()
    pictures = torch.randint(0, 256, (4, 64, 48, 3), dtype=torch.uint8)
    export_graph(GraphExport("photo_encoder", network, (("pictures", pictures),), "vectors"), tmp_path)
    for count in (1, 3, 4):
        found = run_graph(graph_path(tmp_path, "photo_encoder"), {"pictures": pictures[:count].numpy()})
        with torch.inference_mode():
            expected = network(pictures[:count]).numpy()
        assert found.dtype == np.float32 and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        assert (found * expected).sum(axis=1).min() > 0.9999


class Fickle(nn.Module):
    """Gives something else when it is exported."""

    def forward(self, pictures: Tensor) -> Tensor:
        values = pictures.float().mean((1, 2))
        return values.flip(1) * torch.tensor([1.0, -2.0, 3.0]) if torch.onnx.is_in_onnx_export() else values


def test_a_graph_that_differs_is_refused(tmp_path: Path) -> None:
    pictures = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)
    with pytest.raises(ThreadlineError, match="photo_encoder"):
        export_graph(GraphExport("photo_encoder", Fickle(), (("pictures", pictures),), "vectors"), tmp_path)


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        ([[1.0, 2.0]], True),
        ([[1.0, 2.00001]], True),
        ([[1.0, 2.2]], False),
        ([[1.0, float("nan")]], False),
        ([[1.0, 2.0, 0.0]], False),
    ],
)
def test_congruence(found: list[list[float]], fits: bool) -> None:
    values, expected = np.array(found, dtype=np.float32), np.array([[1.0, 2.0]], dtype=np.float32)
    if fits:
        check_congruence("reranker", values, expected)
    else:
        with pytest.raises(ThreadlineError):
            check_congruence("reranker", values, expected)
