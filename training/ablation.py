"""What each part of a model is worth: the same configuration with one part taken out, or one put in, at a time."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.configs import FashionDnaConfig, MatchingConfig, Probing, ReidBaselineConfig

BASE = "as configured"


@dataclass(frozen=True)
class OnOtherDna:
    """A matching model on articles' features that are trained for it."""

    matching: MatchingConfig
    dna: FashionDnaConfig


def reid_variants(config: ReidBaselineConfig) -> dict[str, ReidBaselineConfig]:
    """The strong baseline `config`, and by name what differs from it in one part: out where it is in, in where not.

    What is put in has its published weight; the contrast, which has none, 1.
    """
    backbone, schedule = config.backbone, config.schedule
    switched: dict[str, tuple[bool, dict[str, Any], dict[str, Any]]] = {
        "last stride 1": (
            backbone.last_stride_one,
            {"backbone": replace(backbone, last_stride_one=False)},
            {"backbone": replace(backbone, last_stride_one=True)},
        ),
        "BNNeck": (config.neck, {"neck": False}, {"neck": True}),
        "identity loss": (config.identity_weight > 0, {"identity_weight": 0.0}, {"identity_weight": 1.0}),
        "triplet loss": (config.triplet_weight > 0, {"triplet_weight": 0.0}, {"triplet_weight": 1.0}),
        "center loss": (config.center_weight > 0, {"center_weight": 0.0}, {"center_weight": 5e-4}),
        "centroid triplet loss": (config.centroid_weight > 0, {"centroid_weight": 0.0}, {"centroid_weight": 1.0}),
        "Proxy-Anchor": (config.proxy_weight > 0, {"proxy_weight": 0.0}, {"proxy_weight": 1.0}),
        "contrast": (config.contrast_weight > 0, {"contrast_weight": 0.0}, {"contrast_weight": 1.0}),
        "random erasing": (config.erasing > 0, {"erasing": 0.0}, {"erasing": 0.5}),
        "other crops and light": (
            config.augmentation == "photo",
            {"augmentation": "published"},
            {"augmentation": "photo"},
        ),
        "test-time flip": (config.mirrored, {"mirrored": False}, {"mirrored": True}),
        "heads first": (config.probing.steps > 0, {"probing": Probing(steps=0)}, {"probing": Probing()}),
        "warm-up": (
            schedule.warmup > 0,
            {"schedule": replace(schedule, warmup=0.0)},
            {"schedule": replace(schedule, warmup=1 / 12)},
        ),
    }
    if config.identity_weight:
        switched["label smoothing"] = (config.label_smoothing > 0, {"label_smoothing": 0.0}, {"label_smoothing": 0.1})
    if config.contrast_weight:
        switched["memory"] = (config.contrast_memory > 0, {"contrast_memory": 0}, {"contrast_memory": 2048})
    return {BASE: config, **_one_at_a_time(config, switched)}


def matching_variants(config: MatchingConfig, dna: FashionDnaConfig) -> dict[str, MatchingConfig | OnOtherDna]:
    """The matching model `config` on a FashionDNA `dna`, and by name what differs from it in one part."""
    switched: dict[str, tuple[bool, dict[str, Any], dict[str, Any]]] = {
        "refined DNA": (config.refine, {"refine": False}, {"refine": True}),
        "hidden layer of the article head": (config.head_width > 0, {"head_width": 0}, {"head_width": 512}),
        "dropout": (config.dropout > 0, {"dropout": 0.0}, {"dropout": 0.5}),
        "heads first": (config.probing.steps > 0, {"probing": Probing(steps=0)}, {"probing": Probing()}),
    }
    if config.refine:
        switched["memory"] = (config.memory > 0, {"memory": 0}, {"memory": 1024})
    other = {"on DNA of attributes alone": 0.0} if dna.instance_weight else {"on DNA that tells articles apart": 1.0}
    on_other = {name: OnOtherDna(config, replace(dna, instance_weight=weight)) for name, weight in other.items()}
    return {BASE: config, **_one_at_a_time(config, switched), **on_other}


def _one_at_a_time(config: Any, switched: Mapping[str, tuple[bool, dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """`config` with each part of `switched` (whether it is in, what takes it out, what puts it in) the other way."""
    return {
        f"{'without' if is_in else 'with'} {name}": replace(config, **(out if is_in else put_in))
        for name, (is_in, out, put_in) in switched.items()
        if not _learns_nothing(replace(config, **(out if is_in else put_in)))
    }


def _learns_nothing(config: Any) -> bool:
    """Whether every loss of a strong baseline is switched off."""
    losses = ("identity", "triplet", "center", "centroid", "proxy", "contrast")
    return isinstance(config, ReidBaselineConfig) and not any(getattr(config, f"{name}_weight") for name in losses)


def reduced(config: Any, epochs: int | None, per_epoch: int | None) -> Any:
    """`config` with a schedule of at most so many `epochs`, and of so many members an epoch.

    Epochs of smaller pictures keep their share. Another DNA is trained in full, as the one of the base was.
    """
    if isinstance(config, OnOtherDna):
        return replace(config, matching=reduced(config.matching, epochs, per_epoch))
    schedule = config.schedule
    fewer = min(epochs or schedule.epochs, schedule.epochs)
    shorter = replace(schedule, epochs=fewer, per_epoch=per_epoch or schedule.per_epoch)
    if isinstance(config, ReidBaselineConfig):
        return replace(config, schedule=shorter, early_epochs=round(config.early_epochs * fewer / schedule.epochs))
    return replace(config, schedule=shorter)


def with_seed(config: Any, further: int) -> Any:
    """`config` with the seed that is `further` on from its own; another DNA stays the one that it is."""
    if isinstance(config, OnOtherDna):
        return replace(config, matching=with_seed(config.matching, further))
    return replace(config, schedule=replace(config.schedule, seed=config.schedule.seed + further))


def ablation_table(results: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """A Markdown table of validation figures by variant, the first variant being what the others are compared with.

    A variant has figures for each seed: means, with the lowest and the highest where there are several.
    """
    base = _of(next(iter(results.values())), "map")
    lines = [
        "| variant | Acc@1 | Acc@20 | mAP | mAP against the first |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, trained in results.items():
        shares = " | ".join(_percent(_of(trained, figure)) for figure in ("acc_1", "acc_20", "map"))
        lines.append(f"| {name} | {shares} | {_points(_of(trained, 'map'), base)} |")
    return "\n".join(lines) + "\n"


def _of(trained: Sequence[Mapping[str, float]], figure: str) -> list[float]:
    return [values[f"val/{figure}"] for values in trained if f"val/{figure}" in values]


def _percent(shares: Sequence[float]) -> str:
    if not shares:
        return ""
    spread = f" ({100 * min(shares):.1f} to {100 * max(shares):.1f})" if len(shares) > 1 else ""
    return f"{100 * statistics.fmean(shares):.1f} %{spread}"


def _points(shares: Sequence[float], base: Sequence[float]) -> str:
    return f"{100 * (statistics.fmean(shares) - statistics.fmean(base)):+.1f}" if shares and base else ""
