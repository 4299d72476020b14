"""How fast articles are embedded: `python -m tests.benchmarks.embedding`; prints the table of docs/benchmarks.md.

The inference that embeds the catalogue (`PackageSession.article_features`, in the runtime that it chooses), beside the
same network in eager float32 PyTorch and, as a share of what the processor can do at most, beside a large product of
bfloat16 matrices. All three take turns; medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from contracts.errors import ThreadlineError
from contracts.images import Picture
from serving.inference import BATCH, PackageSession
from tests.benchmarks.made_up import picture, training_context
from training.backbones import Backbone
from training.configs import BackboneConfig, PretrainedConfig
from training.presets import workstation
from training.pretrained import export_pretrained

TRAINED = "encoder of `workstation`"


@dataclass(frozen=True)
class Embedder:
    """A network twice over: as a session of its package, and as PyTorch has it."""

    name: str
    config: PretrainedConfig
    session: PackageSession
    network: Backbone
    pictures: list[Picture]

    def with_session(self) -> None:
        """Embed the pictures as the catalogue is."""
        self.session.article_features(self.pictures)

    def eagerly(self) -> None:
        """Embed them with PyTorch, in batches of the same size."""
        with torch.inference_mode():
            for start in range(0, len(self.pictures), BATCH):
                self.network(torch.from_numpy(np.stack(self.pictures[start : start + BATCH]))).numpy()


def networks() -> dict[str, PretrainedConfig]:
    """What is measured: the article encoder of `workstation`, and a ResNet50 of the usual size with random weights.

    Weights decide how much of a network has to stay in float32, and so how fast it is: name a trained `--package`.
    """
    article = workstation().reid_baseline
    return {
        TRAINED: PretrainedConfig(article.size, article.backbone),
        "ResNet50": PretrainedConfig((224, 224), BackboneConfig("resnet50", pretrained=False)),
    }


def open_embedder(name: str, config: PretrainedConfig, folder: Path, asked: argparse.Namespace) -> Embedder:
    """Open the package asked for, or export the network of `config` into `folder`, and make pictures of its size."""
    package = asked.package if name == TRAINED else None
    if package is None:
        context = training_context(folder, lambda progress: None)
        export_pretrained(config, context)
        package = context.out
    session = PackageSession(package, threads=asked.threads, runtime=asked.runtime)
    if session.package.sizes.article != config.size:
        raise ThreadlineError(f"{package} takes other pictures", "name a reid_baseline of the preset `workstation`")
    random = np.random.default_rng(0)
    pictures = [picture(random, config.size) for _ in range(asked.pictures)]
    return Embedder(name, config, session, Backbone(config.backbone).eval(), pictures)


def multiply_adds(network: nn.Module, size: tuple[int, int]) -> int:
    """The multiplications, each with its addition, of the convolutions and linear layers for one picture."""
    counted = []

    def count(layer: Any, _: Any, output: Tensor) -> None:
        each = layer.weight[0].numel()  # of one number of the output
        counted.append(each * output[0].numel())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        network(torch.zeros((1, *size, 3), dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def matrix_work(side: int) -> Callable[[], object]:
    """The product of two square bfloat16 matrices."""
    one, other = (torch.randn(side, side).to(torch.bfloat16) for _ in range(2))
    return lambda: one @ other


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(embedder: Embedder, asked: argparse.Namespace) -> str:
    """The row of the table."""
    product = matrix_work(asked.matrix)
    works = (embedder.with_session, embedder.eagerly, product)
    for work in works:
        work()
    rounds = [[seconds(work) for work in works] for _ in range(asked.rounds)]
    count = len(embedder.pictures)
    operations = 2 * multiply_adds(embedder.network, embedder.config.size) * count
    session_s, eager_s, product_s = (statistics.median(each) for each in zip(*rounds, strict=True))
    faster = statistics.median(eager / session for session, eager, _ in rounds)
    share = statistics.median(operations / session / (2 * asked.matrix**3 / one) for session, _, one in rounds)
    height, width = embedder.config.size
    cells = [
        f"{embedder.name}, {height} x {width}",
        f"`{embedder.session.precision}`",
        f"{count / session_s:.0f}",
        f"{count / eager_s:.0f}",
        f"{faster:.1f}",
        f"{operations / session_s / 1e9:,.0f} GFLOP/s",
        f"{2 * asked.matrix**3 / product_s / 1e9:,.0f} GFLOP/s",
        f"{100 * share:.0f} %",
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, help="a trained reid_baseline of the preset `workstation`")
    parser.add_argument("--pictures", type=int, default=128, help="that each round embeds")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, help="of an inference and of PyTorch; all cores unless given")
    parser.add_argument("--runtime", help="of the session; the one that it chooses unless given")
    parser.add_argument("--matrix", type=int, default=4096, help="the side of the matrices")
    asked = parser.parse_args(arguments)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    threads = torch.get_num_threads()
    print(
        f"\n{asked.pictures} pictures a round, {asked.rounds} rounds, {threads} of {os.cpu_count()} cores. Medians.\n"
    )
    columns = ["network", "runtime", "pictures a second", "eager float32", "times as fast", "of the network"]
    print(f"| {' | '.join([*columns, 'bfloat16 matrices', 'share'])} |\n{'| --- ' * 8}|")
    for name, config in networks().items():
        with tempfile.TemporaryDirectory(prefix="threadline-bench-") as folder:
            print(measure(open_embedder(name, config, Path(folder), asked), asked), flush=True)


if __name__ == "__main__":
    main()
