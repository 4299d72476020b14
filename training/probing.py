"""Heads first: what starts from scratch learns on the features of the backbone as it comes, before both learn together.

Linear probing, then fine-tuning (Kumar et al. 2022): the backbone is not pulled about by heads that know nothing yet,
and the features are computed once, so that hundreds of steps cost a few seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from training.backbones import Backbone
from training.configs import Probing
from training.context import Progress, TrainingContext
from training.looks import EMBEDDING_BATCH, embed
from training.pictures import Pictures


def backbone_features(backbone: Backbone, pictures: Sequence[Pictures], context: TrainingContext) -> Tensor:
    """The features of all `pictures`, one set below the other, by the `backbone` as it is, calibrated on them first."""
    total = sum(map(len, pictures))
    backbone.shorten(total)
    batches = list(chain.from_iterable(_spread(one, total) for one in pictures))
    backbone.calibrate(batches)
    done = 0
    rows = []
    for one in pictures:
        rows.append(torch.from_numpy(embed(backbone, one.batches(EMBEDDING_BATCH))))
        done += len(one)
        context.report(Progress("features", done, total, {}))
    return torch.cat(rows)


def probe(
    parameters: Iterable[nn.Parameter],
    draw: Callable[[int], Any],
    loss: Callable[[Any], Tensor],
    config: Probing,
    context: TrainingContext,
) -> None:
    """Let `parameters` learn from the `loss` of what `draw` gives for each step, by AdamW along a cosine."""
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    course = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    for step in range(config.steps):
        value = loss(draw(step))
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        course.step()
        context.report(Progress("heads", step + 1, config.steps, {"loss": float(value.detach())}))


def _spread(pictures: Pictures, total: int) -> Iterable[Tensor]:
    """A share of about 512 pictures in batches of two and more, for one has no spread, taken from all over them."""
    wanted = max(2, round(512 * len(pictures) / total))
    members = torch.linspace(0, len(pictures) - 1, min(wanted, len(pictures))).long().numpy()
    for start in range(0, len(members), EMBEDDING_BATCH):
        part = members[start : start + EMBEDDING_BATCH]
        if len(part) > 1:
            yield pictures.batch(part)
