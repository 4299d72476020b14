"""A tiny workspace under Dagster's own automation, and what was really computed and written in it."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from contracts.batches import (
    Article,
    Kind,
    Pair,
    Photo,
    read_catalogue_batch,
    read_street_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.files import sha256_of_file
from contracts.images import encode_jpeg, read
from orchestration import dvc_data
from orchestration.cli.main import app
from orchestration.configuration import CONFIGURATION_FILE
from orchestration.definitions import build_definitions
from orchestration.execution import open_instance
from orchestration.freshness import Lineage
from orchestration.intake import accept
from orchestration.mask_evaluation import WORST
from orchestration.observation import observe, record
from orchestration.planning import plan
from orchestration.rows import read_rows
from orchestration.workspace_tables import read_looks
from serving.index.edge import EdgeIndex
from serving.inference import PackageSession
from tests.behaviour.tiny import TinyWorkspace
from training.presets import Preset
from training.sets import Segmentation


class World:
    """The workspace, the pictures that inference sessions have computed, and the points that the index has written."""

    def __init__(self, root: Path) -> None:
        self.workspace = TinyWorkspace(root)
        self.pictures: Counter[str] = Counter()
        self.points: Counter[str] = Counter()

    def configure(self, preset: Preset) -> None:
        """Change the hyperparameters."""
        self.workspace = dataclasses.replace(self.workspace, preset=preset)

    def set_up(self, before: str, after: str) -> None:
        """Change a line of `threadline.toml`."""
        path = self.workspace.root / CONFIGURATION_FILE
        settings = path.read_text(encoding="utf-8")
        assert before in settings
        path.write_text(settings.replace(before, after), encoding="utf-8")

    def command(self, *arguments: str) -> None:
        """Run a command of `threadline` in the workspace."""
        done = CliRunner().invoke(app, [*arguments, "--workspace", str(self.workspace.root)])
        assert done.exit_code == 0, done.output

    def planned(self) -> tuple[set[str], set[str]]:
        """What `threadline plan` says would run for certain, and what may."""
        found = plan(self.workspace)
        named = [(_label(one.asset, one.partition), one.certain) for one in found]
        return {name for name, certain in named if certain}, {name for name, certain in named if not certain}

    def settle(self, twice: Set[str] = frozenset()) -> set[str]:
        """Evaluate the automation and run what it asks for, until two evaluations in a row ask for nothing.

        Returns what ran; an asset that runs twice for one change is an error, unless it may run `twice`.
        """
        ran: list[str] = []
        cursor, quiet = None, 0
        with open_instance(self.workspace.home) as instance:
            definitions = build_definitions(self.workspace)
            graph = definitions.resolve_asset_graph()
            job = definitions.resolve_implicit_global_asset_job_def()
            while quiet < 2:
                record(observe(self.workspace, instance, graph), instance)
                asked = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor)
                cursor = asked.cursor
                wanted = [(key, p) for key in graph.toposorted_asset_keys for p in asked.get_requested_partitions(key)]
                quiet = 0 if wanted else quiet + 1
                for one in sorted({str(partition or "") for _, partition in wanted}):
                    keys = [key for key, partition in wanted if str(partition or "") == one]
                    job.execute_in_process(instance=instance, asset_selection=keys, partition_key=one or None)
                    ran += [_label(key.to_user_string(), one) for key in keys]
            assert not Lineage(instance, graph).out_of_date(dg.AssetKey("release"))
        assert {one for one in ran if ran.count(one) > 1} == twice and len(ran) == len(set(ran)) + len(twice), ran
        return set(ran)

    # what people do

    def deliver_articles(self, batch: str, articles: Sequence[Article], pictures: Sequence[Path] = ()) -> None:
        """Accept a catalogue batch; each article takes one of `pictures`, changed a little so that it is a new one."""
        root = self.workspace.places.delivered("catalogue", batch)
        (root / "images").mkdir(parents=True)
        rows = list(articles)
        for number, source in enumerate(pictures):
            rows[number] = dataclasses.replace(rows[number], **_repainted(root, rows[number].article_id, source))
        write_catalogue_batch(root, rows)
        self._accept("catalogue", batch)

    def deliver_photos(self, batch: str, sources: Sequence[Photo], pairs: Sequence[Pair], *, masks: bool) -> list[str]:
        """Accept a street batch: new photos made from `sources`, with their masks or without. `pairs` name sources."""
        root, base = self.workspace.places.delivered("street", batch), self.workspace.data / "street" / "one"
        (root / "images").mkdir(parents=True)
        (root / "masks").mkdir()
        photos = []
        for source in sources:
            name = f"{batch}-{source.photo_id}"
            painted = _repainted(root, name, base / source.image)
            mask = f"masks/{name}.png" if masks and source.mask else None
            if mask:
                shutil.copy(base / str(source.mask), root / mask)
            image, sha256 = painted["images"][0], painted["sha256"][0]
            photos.append(Photo(name, domain=source.domain, image=image, sha256=sha256, mask=mask))
        renamed = [Pair(f"{batch}-{pair.photo_id}", pair.article_id) for pair in pairs]
        write_street_batch(root, photos, renamed)
        self._accept("street", batch)
        return [photo.photo_id for photo in photos]

    def correct(self, change: Callable[[Article], Article], *article_ids: str) -> None:
        """Change rows of the first catalogue batch in place, and add that to the data version."""
        root = self.workspace.data / "catalogue" / "one"
        rows = [change(row) if row.article_id in article_ids else row for row in self.articles]
        write_catalogue_batch(root, rows)
        dvc_data.add_batch(self.workspace.root, "catalogue", "one")

    def remove(self, kind: Kind, batch: str) -> None:
        """Take a batch out of the data version."""
        shutil.rmtree(self.workspace.data / kind / batch)
        dvc_data.add_all(self.workspace.root)

    def check_out(self, data_dvc: bytes) -> None:
        """Another revision of `data.dvc`, and `dvc checkout`."""
        (self.workspace.root / dvc_data.DATA_DVC).write_bytes(data_dvc)
        command = [Path(sys.executable).with_name("dvc"), "checkout", "--quiet"]
        subprocess.run(command, cwd=self.workspace.root, check=True)

    # what there is

    @property
    def articles(self) -> list[Article]:
        """The articles of the first batch."""
        return list(read_catalogue_batch(self.workspace.data / "catalogue" / "one").articles)

    @property
    def photos(self) -> list[Photo]:
        """The photos of the first batch."""
        return list(read_street_batch(self.workspace.data / "street" / "one").photos)

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of the first batch."""
        return list(read_street_batch(self.workspace.data / "street" / "one").pairs)

    def picture(self, article: Article) -> Path:
        """The first picture of an article of the first batch."""
        return self.workspace.data / "catalogue" / "one" / article.images[0]

    def held_out(self) -> int:
        """How many photos packages are measured on."""
        return sum(photo.split != "train" for photo in read_looks(self.workspace, "look_set").photos)

    def segmented_to_measure(self) -> int:
        """How many photos a segmenter's report segments: the held-out ones, one to warm up, and the worst once more."""
        splits = Counter(row.split for row in read_rows(self.workspace.home.derived("mask_set"), Segmentation))
        return splits["val"] + splits["test"] + 1 + min(WORST, splits["test"] or splits["val"])

    def served(self) -> tuple[str, dict[str, Any]]:
        """The version that serves, and the payload of every article in the collection it serves with."""
        release = self.workspace.registry.champion()
        assert release is not None
        collection = self.workspace.index.open(release.collection)
        try:
            ids = [row.article_id for row in read_catalogue_batch(self.workspace.home.catalogue).articles]
            assert collection.count() == len(ids)
            return release.version, collection.payloads(ids)
        finally:
            collection.close()

    def _accept(self, kind: Kind, batch: str) -> None:
        verdict = accept(self.workspace.places, kind, batch, "a steward")
        assert verdict.status == "accepted", verdict.rows


@contextmanager
def counting(world: World) -> Iterator[None]:
    """Count into `world` what sessions compute and what the index writes, while they do what they always do."""
    with pytest.MonkeyPatch.context() as patch:
        for method in ("segment", "encode_photos", "article_features"):
            patch.setattr(PackageSession, method, _counted(getattr(PackageSession, method), world.pictures, method))
        reconcile = EdgeIndex.reconcile

        def counted(index: EdgeIndex, *given: Any, **named: Any) -> Any:
            result = reconcile(index, *given, **named)
            world.points["vectors"] += result.vectors_written
            world.points["payloads"] += result.payloads_written
            world.points["deleted"] += result.deleted
            return result

        patch.setattr(EdgeIndex, "reconcile", counted)
        yield


def _counted(method: Callable[..., Any], into: Counter[str], name: str) -> Callable[..., Any]:
    def run(session: PackageSession, pictures: Sequence[Any], *given: Any, **named: Any) -> Any:
        into[name] += len(pictures)
        return method(session, pictures, *given, **named)

    return run


def _label(asset: str, partition: str | None = None) -> str:
    return f"{asset}[{partition}]" if partition else asset


def _repainted(root: Path, name: str, source: Path) -> dict[str, Any]:
    """A new picture from an old one: mirrored, its colours exchanged."""
    path = f"images/{name}.jpg"
    (root / path).write_bytes(encode_jpeg(read(source)[:, ::-1, ::-1].copy()))
    return {"images": (path,), "sha256": (sha256_of_file(root / path),)}
