"""FashionDNA: a feature vector per article, from its images alone.

All images of an article go through the backbone and one layer (the DNA), then the largest value of each feature over
the images is taken, then a logistic regression per attribute learns from it. On top of what is published, an
*instance term* pulls two strongly augmented views of an article together against all others, so that the DNA tells
single garments apart, also in a catalogue without any attribute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.augment import augmented, instance_augmentation
from training.backbones import Backbone
from training.batches import Batches
from training.configs import BackboneConfig, FashionDnaConfig
from training.context import Trained, TrainingContext
from training.dna_encoder import DnaEncoder, pool_max, write_encoder
from training.export import GraphExport, finish
from training.fit import SELECTION, Learner, backbone_and_heads, begin, fit, in_full_precision
from training.gathering import before_and_in_all, gathered
from training.looks import EMBEDDING_BATCH, article_pictures, articles_of, embed, pool_images, require, unit
from training.losses import symmetric_contrast
from training.metrics import balanced_accuracy, macro_f1, neighbour_agreement, retrieval_metrics
from training.pictures import Pictures
from training.plots import draw_curves
from training.samplers import shuffled_batches
from training.sets import ArticleImages, NotEnoughData

MISSING = -1
COMMONEST = 10
"""The values of an attribute that are measured apart, where it has more."""

Vocabulary = dict[str, tuple[str, ...]]
"""The values that each attribute's head knows."""


@dataclass(frozen=True)
class Attributed:
    """Articles ready to learn from: `images` with `owners` (I,), and `labels` (A,) int64 by attribute, -1 unknown."""

    images: Pictures
    owners: NDArray[np.int64]
    labels: dict[str, NDArray[np.int64]]
    count: int

    def images_of(self, article: int) -> NDArray[np.int64]:
        """The rows of the images of `article`."""
        first, last = np.searchsorted(self.owners, [article, article + 1])
        return np.arange(first, last)


class FashionDnaLearner(Learner):
    """The DNA and one head an attribute."""

    def __init__(self, config: FashionDnaConfig, steps: int, vocabulary: Vocabulary, sides: Mapping[str, Attributed]):
        super().__init__(config.schedule, steps)
        self.config = config
        self.network = DnaEncoder(config.backbone, config.dimension)
        self.heads = nn.ModuleDict(
            {head_name(name): nn.Linear(config.dimension, len(values)) for name, values in vocabulary.items()}
        )
        self._vocabulary, self._sides = vocabulary, sides
        train = sides["train"].labels
        self._priors = {name: log_priors(train[name], len(values)) for name, values in vocabulary.items()}

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The loss of what `load_views` gives, of all ranks: attributes, and telling single garments apart."""
        pictures, owners, labels, views = batch
        features = gathered(self.network(pictures).float())
        with in_full_precision(features):
            owners, count = owners_in_all(owners, views)
            dna = pool_max(features, owners, views * count)  # (views * A, F)
            return self._loss_of(dna, {name: gathered(rows) for name, rows in labels.items()}, views)

    def _loss_of(self, dna: Tensor, labels: Mapping[str, Tensor], views: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of the `dna` (views * A, F) of articles with `labels` (A,) by attribute."""
        parts = [self._attribute_loss(name, dna, labels[name].repeat(views)) for name in self._vocabulary]
        values = {}
        total = dna.sum() * 0
        if parts:
            total = total + torch.stack(parts).mean()
            values["attributes"] = float(total.detach())
        if views == 2:
            contrast = self._instance_loss(*F.normalize(dna, dim=1).chunk(2))
            total = total + self.config.instance_weight * contrast
            values["instance"] = float(contrast.detach())
        return total, values

    def _attribute_loss(self, name: str, dna: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy with the logits adjusted by the priors of the values, so that rare ones are not passed over.

        Menon et al., "Long-tail learning via logit adjustment", 2021.
        """
        if not bool((wanted != MISSING).any()):
            return dna.sum() * 0
        logits: Tensor = self.heads[head_name(name)](dna)
        return F.cross_entropy(logits + self._priors[name].to(logits), wanted, ignore_index=MISSING)

    def _instance_loss(self, one: Tensor, other: Tensor) -> Tensor:
        same = torch.eye(len(one), dtype=torch.bool, device=one.device)
        return symmetric_contrast(one, other, same, torch.zeros_like(same), 1 / self.config.instance_temperature)

    def evaluate(self) -> dict[str, float]:
        """`measure` on the validation articles."""
        return self.measure("val")

    def measure(self, split: str) -> dict[str, float]:
        """Balanced accuracy and F1 per attribute, and how often an article is found again from an altered view.

        Of an attribute with more than `COMMONEST` values also the balanced accuracy over the commonest of them. The
        best epoch is chosen by the mean of the balanced accuracies over all values and of what is found again.
        """
        side = self._sides[split]
        if side.count < 2:
            return {}
        plain = embed(self.network, side.images.batches(EMBEDDING_BATCH))
        dna = pool_images(plain, side.owners, side.count, "max")
        values, beside = {}, {}
        for name, labels in side.labels.items():
            known = labels != MISSING
            if known.any():
                logits = self.heads[head_name(name)](torch.from_numpy(dna[known]).to(self.device)).cpu().numpy()
                predicted = logits.argmax(axis=1)
                values[f"{split}/balanced_accuracy_{name}"] = balanced_accuracy(predicted, labels[known])
                beside[f"{split}/macro_f1_{name}"] = macro_f1(predicted, labels[known])
                commonest = self._priors[name].argsort(descending=True, stable=True)[:COMMONEST].numpy()
                common = np.isin(labels[known], commonest)
                if len(self._vocabulary[name]) > COMMONEST and common.any():
                    accuracy = balanced_accuracy(predicted[common], labels[known][common])
                    beside[f"{split}/commonest_{COMMONEST}_{name}"] = accuracy
        if self.config.instance_weight:
            values[f"{split}/instance_acc_1"] = self._found_again(side, dna)
        return {**values, **beside, SELECTION: float(np.mean(list(values.values())))} if values else {}

    def _found_again(self, side: Attributed, dna: NDArray[np.float32]) -> float:
        augmentation = instance_augmentation(self.config.size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.schedule.seed)
            altered = embed(self.network, (augmented(b, augmentation) for b in side.images.batches(EMBEDDING_BATCH)))
        views = pool_images(altered, side.owners, side.count, "max")
        return retrieval_metrics(unit(views), unit(dna), [[row] for row in range(side.count)], ks=(1,)).acc[1]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The backbone; the DNA and the heads."""
        return backbone_and_heads(self.network.backbone, [self.network.dna, self.heads], self.schedule)


def train_fashion_dna(articles: Sequence[ArticleImages], config: FashionDnaConfig, context: TrainingContext) -> Trained:
    """Train the article features and export them as a package of kind "features", pooled by maximum.

    Raises NotEnoughData with fewer than 8 training articles, or with nothing to tell them apart by.
    """
    parts = {split: articles_of(articles, split) for split in ("train", "val", "test")}
    require(len(parts["train"]), "articles to train on")
    vocabulary = vocabulary_of(parts["train"], config.fewest_of_a_value)
    if not vocabulary and not config.instance_weight:
        raise NotEnoughData("no attribute with two values, and the instance term is switched off")
    sides = {split: attributed(rows, vocabulary, config, context) for split, rows in parts.items()}
    schedule = config.schedule
    begin(schedule)
    batches = Batches(
        partial(shuffled_batches, len(parts["train"]), schedule.batch_size, schedule.per_epoch, fewest=schedule.fewest),
        partial(load_views, side=sides["train"], config=config),
        schedule.seed,
        schedule.workers,
    )
    learner = FashionDnaLearner(config, schedule.steps(len(batches)), vocabulary, sides)
    curves = fit(learner, batches, context, "fashion_dna")
    with torch.inference_mode():
        measured = {name: value for split in ("val", "test") for name, value in learner.measure(split).items()}
    measured.pop(SELECTION, None)
    for split in ("val", "test"):
        measured.update(similarity(learner.network, sides[split], f"{split}/similar"))
        if config.backbone.pretrained:
            measured.update(similarity(plain_backbone(config.backbone), sides[split], f"{split}/similar_imagenet"))
    plots = [draw_curves(curves, "FashionDNA", context.plots)]
    check = sides["train"].images.batch(range(min(8, len(sides["train"].images))))
    graph = GraphExport("article_encoder", learner.network, (("pictures", check),), "features")
    description = {
        "method": "fashion_dna",
        "kind": "features",
        "sizes": {"article": config.size},
        "dimension": config.dimension,
        "pooling": "max",
        "weights": write_encoder(learner.network, context.out),
    }
    return finish([graph], description, measured, plots, context)


def similarity(network: nn.Module, side: Attributed, prefix: str) -> dict[str, float]:
    """The agreement of each attribute among the ten articles of `side` that `network` holds for the most similar."""
    if side.count < 2:
        return {}
    images = embed(network, side.images.batches(EMBEDDING_BATCH))
    vectors = unit(pool_images(images, side.owners, side.count, "max"))
    known = {name: labels != MISSING for name, labels in side.labels.items()}
    return {
        f"{prefix}_{name}": neighbour_agreement(vectors[known[name]], labels[known[name]])
        for name, labels in side.labels.items()
        if known[name].sum() > 1
    }


def plain_backbone(config: BackboneConfig) -> Backbone:
    """The backbone of `config` as it comes, to compare with."""
    return Backbone(BackboneConfig(config.name, ibn_a=config.ibn_a, weights=config.weights))


def attributed(
    articles: Sequence[ArticleImages], vocabulary: Vocabulary, config: FashionDnaConfig, context: TrainingContext
) -> Attributed:
    """`articles` with their pictures and labels."""
    images, owners = article_pictures(articles, config.size, context)
    labels = {}
    for name, values in vocabulary.items():
        place = {value: index for index, value in enumerate(values)}
        known = [place.get(attributes_of(article).get(name, ""), MISSING) for article in articles]
        labels[name] = np.asarray(known, dtype=np.int64)
    return Attributed(images, owners, labels, len(articles))


def load_views(
    members: NDArray[np.int64], side: Attributed, config: FashionDnaConfig
) -> tuple[Tensor, Tensor, dict[str, Tensor], int]:
    """One or two views of the articles `members` (A,), augmented.

    Pictures (I, H, W, 3), the view each belongs to (I,) (view * A + place), labels (A,) by attribute, count of views.
    """
    views = 2 if config.instance_weight else 1
    rows, owners = [], []
    for view in range(views):
        for place, article in enumerate(members):
            images = side.images_of(int(article))
            chosen = torch.randperm(len(images))[: config.images_per_article].numpy()
            rows += images[chosen].tolist()
            owners += [view * len(members) + place] * len(chosen)
    pictures = augmented(side.images.batch(rows), instance_augmentation(config.size))
    labels = {name: torch.from_numpy(values[members]) for name, values in side.labels.items()}
    return pictures, torch.tensor(owners), labels, views


def owners_in_all(owners: Tensor, views: int) -> tuple[Tensor, int]:
    """The view (sum of I_r,) that each picture of all ranks belongs to in their joined batch, and its articles' count.

    `owners` (I_r,) are those of this rank's pictures among the views of its own articles; each view has a picture.
    """
    own = len(owners.unique()) // views  # type: ignore[no-untyped-call]
    before, count = before_and_in_all(own, owners.device)
    return gathered(owners // own * count + before + owners % own), count


def attributes_of(article: ArticleImages) -> dict[str, str]:
    """What is known of `article`, its category among it."""
    return {**article.attributes, "category": article.category}


def vocabulary_of(articles: Sequence[ArticleImages], fewest: int) -> Vocabulary:
    """The attributes with at least two values that occur `fewest` times or more, with those values in order."""
    counts: dict[str, Counter[str]] = {}
    for article in articles:
        for name, value in attributes_of(article).items():
            if value:
                counts.setdefault(name, Counter())[value] += 1
    kept = {
        name: tuple(sorted(value for value, count in counter.items() if count >= fewest))
        for name, counter in sorted(counts.items())
    }
    return {name: values for name, values in kept.items() if len(values) > 1}


def head_name(attribute: str) -> str:
    """A module name for the head of `attribute`, whatever its characters."""
    return "head_" + attribute.encode().hex()


def log_priors(labels: NDArray[np.int64], classes: int) -> Tensor:
    """The logarithm of each value's share (classes,) float32 of the members whose value is known."""
    counts = np.maximum(np.bincount(labels[labels != MISSING], minlength=classes), 1)
    return torch.tensor(np.log(counts / counts.sum()), dtype=torch.float32)
