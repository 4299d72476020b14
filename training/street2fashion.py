"""Street2Fashion: a U-net that finds the person in a photo.

Its encoder is the backbone with ImageNet weights; the loss is Dice plus binary cross-entropy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from contracts.images import Size
from training.augment_masked import DETAIL, MaskedAugmentation
from training.backbones import LITE0, create_trunk, first_stages, freeze, load_lite0_weights, normalisation_of
from training.batches import Batches
from training.configs import Street2FashionConfig
from training.context import Trained, TrainingContext
from training.export import GraphExport, finish
from training.fit import SELECTION, Learner, backbone_and_heads, begin, fit
from training.gathering import own_weight
from training.looks import EMBEDDING_BATCH, require, take
from training.losses import dice_loss
from training.metrics import intersection_over_union, iou_summary
from training.pictures import Pictures, Source
from training.plots import draw_curves
from training.samplers import shuffled_batches
from training.sets import Segmentation


class PersonSegmenter(nn.Module):
    """Pictures (N, H, W, 3) uint8 to logits (N, H, W) float32, above 0 on a person."""

    def __init__(self, config: Street2FashionConfig) -> None:
        super().__init__()
        backbone = config.backbone
        self.unet = smp.Unet(f"tu-{backbone.name}", encoder_weights=None, decoder_channels=config.decoder_channels)
        if backbone.pretrained:
            self._load_encoder(config)
        self.normalise = normalisation_of(self.unet.encoder.model)
        self._frozen = first_stages(self.unet.encoder.model, backbone.frozen_stages)
        freeze(self._frozen)
        self.to(memory_format=torch.channels_last)

    def _load_encoder(self, config: Street2FashionConfig) -> None:
        encoder = self.unet.encoder.model
        if config.backbone.name == LITE0:
            load_lite0_weights(encoder)
        else:
            weights = create_trunk(config.backbone).state_dict()
            encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})

    def train(self, mode: bool = True) -> PersonSegmenter:
        """Switch training on or off; frozen stages keep their normalisation statistics."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        """The logits of `pictures`."""
        logits: Tensor = self.unet(self.normalise(pictures))[:, 0]
        return logits


class PersonProbability(nn.Module):
    """The exported form: probabilities in [0, 1] instead of logits."""

    def __init__(self, segmenter: PersonSegmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, pictures: Tensor) -> Tensor:
        """The person probability of every pixel of `pictures`."""
        logits: Tensor = self.segmenter(pictures)
        return logits.sigmoid()


class Street2FashionLearner(Learner):
    """The segmenter on photos and their masks."""

    def __init__(self, config: Street2FashionConfig, steps: int, validation: Pictures) -> None:
        super().__init__(config.schedule, steps)
        self.network = PersonSegmenter(config)
        self._validation = validation

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Dice plus binary cross-entropy of (pictures, who is a person (N, H, W) bool)."""
        pictures, person = batch
        logits = self.network(pictures).float()
        truth = person.to(logits.dtype)
        total = dice_loss(logits, truth) + F.binary_cross_entropy_with_logits(logits, truth)
        return total * own_weight(len(pictures), pictures.device), {}

    def evaluate(self) -> dict[str, float]:
        """The overlap of the validation masks."""
        values = iou_summary(overlaps(self.network, self._validation), "val")
        return {**values, SELECTION: values["val/iou"]} if values else {}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The encoder; the decoder and the last layer."""
        unet = self.network.unet
        return backbone_and_heads(unet.encoder, [unet.decoder, unet.segmentation_head], self.schedule)


def train_street2fashion(
    samples: Sequence[Segmentation], config: Street2FashionConfig, context: TrainingContext
) -> Trained:
    """Train the person segmenter and export it as a package of kind "segmenter".

    Raises NotEnoughData with fewer than 8 training masks.
    """
    parts = {split: [sample for sample in samples if sample.split == split] for split in ("train", "val", "test")}
    require(len(parts["train"]), "photos with a mask to train on")
    records = _pictures(parts["train"], scaled(config.size, DETAIL), context)
    pictures = {split: _pictures(parts[split], config.size, context) for split in ("val", "test")}
    schedule = config.schedule
    augmentation = MaskedAugmentation(config.size)

    plan = partial(
        shuffled_batches, len(parts["train"]), schedule.batch_size, schedule.per_epoch, fewest=schedule.fewest
    )
    load = partial(load_masked, records=records, augmentation=augmentation)

    begin(schedule)
    batches = Batches(plan, load, schedule.seed, schedule.workers)
    learner = Street2FashionLearner(config, schedule.steps(len(batches)), pictures["val"])
    curves = fit(learner, batches, context, "street2fashion")
    metrics = {}
    for split in ("val", "test"):
        metrics.update(iou_summary(overlaps(learner.network, pictures[split]), split))
    plots = [draw_curves(curves, "Street2Fashion", context.plots)]
    some = _pictures(parts["train"][:8], config.size, context)
    check = some.batch(range(len(some)))[..., :3].contiguous()
    graph = GraphExport("segmenter", PersonProbability(learner.network), (("pictures", check),), "probability")
    description = {
        "method": "street2fashion",
        "kind": "segmenter",
        "sizes": {"segmenter": config.size},
        "dimension": 0,
    }
    return finish([graph], description, metrics, plots, context)


def load_masked(
    members: NDArray[np.int64], records: Pictures, augmentation: MaskedAugmentation
) -> tuple[Tensor, Tensor]:
    """Of the `members` (N,) of `records` their augmented views (N, H, W, 3) uint8 and masks (N, H, W) bool.

    Each may stand before the background of the one before it in the batch.
    """
    each = records.batch(members).permute(0, 3, 1, 2)  # (N, 4, h, w)
    views = [augmentation(one, other) for one, other in zip(each, each.roll(1, dims=0), strict=True)]
    return torch.stack([view[0] for view in views]).permute(0, 2, 3, 1), torch.cat([view[1] for view in views])


def overlaps(network: PersonSegmenter, pictures: Pictures) -> NDArray[np.float64]:
    """Intersection over union of the network's mask with the true one for each of `pictures`, at network size."""
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    values = [np.empty(0)]
    with torch.inference_mode():
        for batch in pictures.batches(EMBEDDING_BATCH):
            found = network(batch[..., :3].to(device)) > 0
            values.append(intersection_over_union(found.cpu().numpy(), batch[..., 3].numpy() >= 128))
    network.train(training)
    return np.concatenate(values)


def scaled(size: Size, factor: float) -> Size:
    """`size` (height, width) with sides `factor` as long."""
    return round(factor * size[0]), round(factor * size[1])


def _pictures(rows: Sequence[Segmentation], size: Size, context: TrainingContext) -> Pictures:
    sources = [Source(row.image, row.sha256, row.mask, row.mask_sha256) for row in rows]
    return take(sources, size, "masked", context)
