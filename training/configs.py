"""The configuration of each training: typed, frozen, and complete, so that its digest names the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from contracts.images import Size

Precision = Literal["float32", "bfloat16"]
"""What networks compute in while they learn."""


@dataclass(frozen=True)
class WeightsFile:
    """Published weights in a local file (safetensors, or a torch file that holds tensors only), named by its SHA-256.

    The digest belongs to the configuration, so that another file under the same path is refused.
    """

    path: str
    sha256: str


@dataclass(frozen=True)
class BackboneConfig:
    """A timm network and what is taken from it.

    `levels` are the resolutions whose maps are pooled and joined (0 is half of the picture's, each next one half of
    the one before); what lies behind the last of them is left out. Without levels it is the network's own pooled
    output. Early levels tell colour, print and cut; the last one what a thing is. `attention` heads learn where to
    look when a level is pooled; 0 pools by the mean. `frozen_stages` counts from the input, the stem being the first.
    `ibn_a` makes a ResNet of bottlenecks an IBN-Net-a. `weights` take the place of the weights that timm fetches.
    """

    name: str = "tf_efficientnet_lite0"
    pretrained: bool = True
    levels: tuple[int, ...] = ()
    attention: int = 0
    frozen_stages: int = 0
    last_stride_one: bool = False
    ibn_a: bool = False
    weights: WeightsFile | None = None

    def __post_init__(self) -> None:
        if self.attention and not self.levels:
            raise ValueError("attention pools levels; name some")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Learning rates are of AdamW (or of Adam, whose `weight_decay` is part of the gradient): `learning_rate` for the
    backbone, `head_learning_rate` for what starts from scratch. They rise linearly over `warmup` (a share of all
    steps), then fall along a cosine, or by a tenth at each of `milestones` (shares of all steps). `per_epoch` limits
    how many members an epoch takes. `patience` ends the training after so many epochs without a better one on the
    validation split; None goes on to the end. `threads` 0 means all cores.

    A batch is shared by `devices` (GPUs, or processes where there is none); a step of the optimiser takes
    `accumulate` batches, whose gradients are averaged. Losses over a whole batch see all devices' parts of one batch,
    and nothing of the others of its step. `workers` processes a device load batches ahead; 0 loads between two steps.
    With `precision` "bfloat16" the networks run under autocast, the losses in float32 all the same.
    """

    epochs: int
    batch_size: int
    learning_rate: float = 5e-4
    head_learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: float = 0.1
    decay: Literal["cosine", "step"] = "cosine"
    milestones: tuple[float, ...] = (1 / 3, 7 / 12)
    per_epoch: int | None = None
    seed: int = 1
    threads: int = 0
    optimizer: Literal["adamw", "adam"] = "adamw"
    patience: int | None = None
    devices: int = 1
    accumulate: int = 1
    workers: int = 0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError("a schedule needs at least 1 epoch and batches of 2")
        if self.devices < 1 or self.accumulate < 1 or self.workers < 0:
            raise ValueError("devices and accumulate are numbers from 1, workers from 0")
        if self.batch_size < self.fewest:
            raise ValueError(f"batches of {self.batch_size} are too small for {self.devices} devices: 2 for each")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is a number of epochs from 1, not {self.patience}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a share of all steps in [0, 1), not {self.warmup}")

    @property
    def fewest(self) -> int:
        """The fewest members of a batch: 2 for each device, for normalisation knows no statistics of one."""
        return 2 * self.devices

    def steps(self, batches: int) -> int:
        """The steps of the optimiser with so many `batches` in an epoch; the last of an epoch may take fewer."""
        return self.epochs * math.ceil(batches / self.accumulate)


@dataclass(frozen=True)
class Probing:
    """Learning of the heads alone, on the features of the backbone as it comes; 0 steps leave it out."""

    steps: int = 300
    batch_size: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 0.05


@dataclass(frozen=True)
class Street2FashionConfig:
    """The person segmenter: a U-net over the letterboxed photo. `size` is divisible by 32."""

    size: Size
    schedule: Schedule
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    decoder_channels: tuple[int, int, int, int, int] = (128, 64, 48, 32, 16)

    def __post_init__(self) -> None:
        if self.size[0] % 32 or self.size[1] % 32:
            raise ValueError(f"the segmenter's size {self.size} must be divisible by 32")
        if self.backbone.ibn_a or self.backbone.weights:
            raise ValueError("the segmenter takes a timm network as it comes: leave out ibn_a and weights")


@dataclass(frozen=True)
class FashionDnaConfig:
    """Article features. `instance_weight` 0 trains on attributes alone, as published."""

    size: Size
    schedule: Schedule
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    dimension: int = 512
    images_per_article: int = 2
    fewest_of_a_value: int = 5
    instance_weight: float = 1.0
    instance_temperature: float = 0.1


@dataclass(frozen=True)
class MatchingConfig:
    """Studio2Shop and Fashion2Shop.

    `dropout` is of the backbone's features and of the DNA: there are far fewer garments than weights to learn them by
    heart. `head_width` 0 makes the article head linear; `rerank_negatives` 0 leaves out the reranker.

    With `from_dna` the photo's backbone starts as FashionDNA's has become, and not as it comes: it knows garments
    already, and needs fewer epochs.

    A batch is compared with `most_negatives` articles drawn by lot; where there are more, also with the
    `mined_negatives` that are most like each of its own by their DNA.

    With `refine` the DNA is no longer fixed, as it is in the publication: the article encoder starts as FashionDNA's
    network and learns too. A photo is then compared with the articles of its batch, of each at most
    `images_per_article` images, and with the last `memory` articles before it, and not with `most_negatives`.
    """

    size: Size
    schedule: Schedule
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    dimension: int = 256
    head_width: int = 0
    temperature: float = 0.07
    most_negatives: int = 4096
    mined_negatives: int = 8
    rerank_width: int = 128
    rerank_negatives: int = 16
    rerank_depth: int = 50
    dropout: float = 0.5
    probing: Probing = field(default_factory=Probing)
    from_dna: bool = False
    refine: bool = False
    images_per_article: int = 2
    memory: int = 1024


@dataclass(frozen=True)
class ReidBaselineConfig:
    """The strong baseline; a weight of 0 switches its part off. `dimension` 0 keeps the backbone's own width.

    As published there is no `dropout` (of the backbone's features), no contrast, and no photo is looked at a second
    time `mirrored`: see `as_published`. Without `neck` every loss, and retrieval, sees one feature. Pictures are
    augmented as `published` (padded and cropped, up to 0.4 of them erased) or as a `photo` is for the matching networks
    (another crop, other light, a small part erased), erased with the probability `erasing`. The first `early_epochs`
    learn from pictures whose sides are `early_scale` as long: they cost less, and teach nearly the same.
    """

    size: Size
    schedule: Schedule
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    dimension: int = 256
    images_per_identity: int = 4
    identity_weight: float = 1.0
    label_smoothing: float = 0.1
    triplet_weight: float = 1.0
    triplet_margin: float = 0.5
    center_weight: float = 5e-4
    center_learning_rate: float = 0.5
    contrast_weight: float = 1.0
    contrast_temperature: float = 0.07
    contrast_memory: int = 0
    centroid_weight: float = 0.0
    centroid_margin: float = 0.5
    proxy_weight: float = 0.0
    proxy_margin: float = 0.1
    proxy_scale: float = 32.0
    proxy_learning_rate: float = 1e-2
    neck: bool = True
    augmentation: Literal["published", "photo"] = "photo"
    erasing: float = 0.25
    dropout: float = 0.3
    mirrored: bool = True
    early_epochs: int = 0
    early_scale: float = 0.75
    probing: Probing = field(default_factory=Probing)

    def __post_init__(self) -> None:
        if not 0 < self.early_scale <= 1:
            raise ValueError(f"early_scale is a share of the pictures' sides in (0, 1], not {self.early_scale}")

    @classmethod
    def as_published(cls, variant: Literal["S", "L"], weights: WeightsFile | None = None) -> ReidBaselineConfig:
        """The publication's `variant`: S is a ResNet50 at 256 x 128, L a ResNet50-IBN-a at 320 x 320.

        Without `weights` it starts from timm's ResNet50; published L starts from IBN-Net's own ImageNet weights.
        Batches are P x K with K = 4 and P = 48 (S) or 12 (L). Two things stay as everywhere in this project: pictures
        keep their aspect on a white ground, and gradients are clipped. Centroid triplets are its optional part:
        `centroid_weight`.
        """
        small = variant == "S"
        return cls(
            size=(256, 128) if small else (320, 320),
            schedule=Schedule(
                epochs=120,
                batch_size=4 * (48 if small else 12),
                learning_rate=1e-4,
                head_learning_rate=1e-4,
                weight_decay=5e-4,
                warmup=1 / 12,
                decay="step",
                optimizer="adam",
            ),
            backbone=BackboneConfig("resnet50", last_stride_one=True, ibn_a=not small, weights=weights),
            dimension=0,
            contrast_weight=0.0,
            augmentation="published",
            erasing=0.5,
            dropout=0.0,
            mirrored=False,
            probing=Probing(steps=0),
        )


@dataclass(frozen=True)
class PretrainedConfig:
    """The backbone as it comes, at `size`."""

    size: Size
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
