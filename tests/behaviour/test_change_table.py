"""The change table: for each kind of change exactly what runs, what is computed, and what is written.

Each row runs the real graph through Dagster's own automation until two evaluations in a row ask for nothing.
"""

from __future__ import annotations

import dataclasses

import dagster as dg
import pytest

from contracts.batches import Article, Pair
from orchestration import trainings
from orchestration.attempts import read_attempts
from orchestration.execution import materialize, open_instance
from orchestration.places import Places
from orchestration.sources.sample import deliver_sample
from tests.behaviour.tiny import SAMPLE, better, other, tiny_preset
from tests.behaviour.world import World

pytestmark = pytest.mark.slow

TABLES_OF_CATALOGUE = {"catalogue", "splits", "attribute_set", "look_set"}
TABLES_OF_PHOTOS = {"photos", "splits", "mask_set", "look_set"}
INDEX = {"article_index", "release"}
REPORT = {"retrieval_report", "candidate"}


def new_articles(world: World, batch: str, count: int) -> None:
    rows = [
        Article(f"{batch}-{number}", name="New", category=one.category, attributes=one.attributes)
        for number, one in enumerate(world.articles[:count])
    ]
    world.deliver_articles(batch, rows, [world.picture(one) for one in world.articles[:count]])


def paired(world: World, count: int) -> tuple[list[str], list[Pair]]:
    """The first photos with their pairs."""
    ids = [photo.photo_id for photo in world.photos[:count]]
    return ids, [pair for pair in world.pairs if pair.photo_id in ids]


def test_nothing_changed(world: World) -> None:
    assert world.planned() == (set(), set())
    assert world.settle() == set()


def test_the_same_bytes_delivered_again(world: World) -> None:
    places = Places(world.workspace.root)
    deliver_sample(places.delivered("catalogue", "one"), places.delivered("street", "one"), size=SAMPLE, workers=1)
    from orchestration.intake import accept

    for kind in ("catalogue", "street"):
        assert accept(places, kind, "one", "a steward").status == "already_accepted"
    assert world.planned() == (set(), set())
    assert world.settle() == set()
    assert not world.pictures and not world.points


def test_new_articles_without_pairs(world: World) -> None:
    new_articles(world, "two", 3)
    certain, _ = world.planned()
    assert {"catalogue", "article_dna[two]", "article_vectors[two]"} <= certain
    expected = TABLES_OF_CATALOGUE | {"mask_set", "article_dna[two]", "article_vectors[two]"} | INDEX
    assert world.settle() == expected
    assert world.pictures == {"article_features": 6}, "three through FashionDNA, three through the serving package"
    assert world.points == {"vectors": 3, "payloads": 0, "deleted": 0}
    assert "two-0" in world.served()[1]


def test_an_article_s_picture_replaced(world: World) -> None:
    one = world.articles[0]
    world.deliver_articles("two", [one], [world.picture(one)])
    expected = TABLES_OF_CATALOGUE | {"article_dna[two]", "article_vectors[two]"} | INDEX
    assert world.settle() == expected
    assert world.pictures == {"article_features": 2}
    assert world.points == {"vectors": 1, "payloads": 0, "deleted": 0}
    assert world.served()[1][one.article_id]["image"].startswith("catalogue/two/")


def test_price_stock_url_name_or_assortment_changed(world: World) -> None:
    changed = world.articles[0].article_id
    world.correct(
        lambda row: dataclasses.replace(
            row, name="Other", price=1.0, in_stock=False, url="https://example.org/", assortments=("sale",)
        ),
        changed,
    )
    expected = TABLES_OF_CATALOGUE | {"article_dna[one]", "article_vectors[one]"} | INDEX
    assert world.settle() == expected
    assert not world.pictures
    assert world.points == {"vectors": 0, "payloads": 1, "deleted": 0}
    assert world.served()[1][changed]["price"] == 1.0


def test_an_article_delisted(world: World) -> None:
    gone = world.articles[0].article_id
    world.deliver_articles("two", [Article(gone, op="delete")])
    expected = TABLES_OF_CATALOGUE | {"mask_set", "article_dna[two]", "article_vectors[two]"} | INDEX
    assert world.settle() == expected
    assert not world.pictures
    assert world.points == {"vectors": 0, "payloads": 0, "deleted": 1}
    assert gone not in world.served()[1]


def test_a_batch_removed_and_the_revision_with_it_checked_out(world: World) -> None:
    new_articles(world, "two", 3)
    world.settle()
    world.pictures.clear()
    world.points.clear()
    with_it = (world.workspace.root / "data.dvc").read_bytes()
    world.remove("catalogue", "two")
    assert world.settle() == TABLES_OF_CATALOGUE | {"mask_set"} | INDEX
    assert not world.pictures
    assert world.points == {"vectors": 0, "payloads": 0, "deleted": 3}

    world.points.clear()
    world.check_out(with_it)
    assert world.settle() == TABLES_OF_CATALOGUE | {"mask_set"} | INDEX, "its vectors are still those of its pictures"
    assert not world.pictures
    assert world.points == {"vectors": 3, "payloads": 0, "deleted": 0}


def test_an_attribute_of_a_training_member_corrected(world: World) -> None:
    rows = [one.article_id for one in world.articles]
    world.correct(
        lambda row: dataclasses.replace(row, attributes={**row.attributes, "colour": "chartreuse"}), *rows[:8]
    )
    certain, possible = world.planned()
    assert "catalogue" in certain and {"fashion_dna", "studio2shop", "fashion2shop"} <= possible
    models = {"fashion_dna", "article_dna[one]", "studio2shop", "fashion2shop"} | REPORT
    at_once = {"article_dna[one]", "article_vectors[one]"} | INDEX
    ran = world.settle(twice={"article_dna[one]", "article_vectors[one]"})
    assert ran == TABLES_OF_CATALOGUE | models | at_once, "with the DNA of before, which serves, and with the new one"
    looked_at = world.held_out()
    assert world.pictures == {
        "article_features": len(rows),
        "encode_photos": 2 * looked_at,
        "segment": looked_at,
    }, "the new DNA of every article, and the held-out photos through both models that match it"
    assert world.points == {"vectors": 0, "payloads": 8, "deleted": 0}


def test_street_photos_without_masks_or_pairs(world: World) -> None:
    world.deliver_photos("two", world.photos[:3], [], masks=False)
    assert world.settle() == TABLES_OF_PHOTOS | {"attribute_set", "masks[two]", "segmented_look_set"}
    assert world.pictures == {"segment": 3}
    assert not world.points


def test_new_masks_admitted(world: World) -> None:
    world.deliver_photos("two", world.photos[:12], [], masks=True)
    segmentation = {"street2fashion", "masks[one]", "masks[two]", "segmented_look_set"}
    expected = TABLES_OF_PHOTOS | {"attribute_set", "fashion2shop"} | segmentation | REPORT
    assert world.settle() == expected
    looked_at = world.held_out()
    masks = len(world.photos) + 12
    assert world.pictures == {
        "segment": masks + world.segmented_to_measure() + looked_at,
        "encode_photos": looked_at,
    }, "every mask anew, the report on them, and fashion2shop's held-out photos"
    assert not world.points


def test_new_pairs_admitted(world: World) -> None:
    ids, pairs = paired(world, 12)
    before = world.held_out()
    world.deliver_photos("two", [p for p in world.photos if p.photo_id in ids], pairs, masks=False)
    models = {"studio2shop", "fashion2shop", "reid_baseline"}
    expected = TABLES_OF_PHOTOS | {"attribute_set", "masks[two]", "segmented_look_set"} | models | REPORT
    assert world.settle() == expected
    looked_at = world.held_out()
    assert world.pictures == {
        "segment": 12 + looked_at,
        "encode_photos": 3 * looked_at + (looked_at - before),
        "article_features": len(world.articles),
    }, "the held-out photos through three new models, and the new ones of them through the untrained package"
    assert not world.points


def test_one_model_s_hyperparameters(world: World) -> None:
    preset = tiny_preset()
    world.configure(dataclasses.replace(preset, studio2shop=dataclasses.replace(preset.studio2shop, temperature=0.1)))
    certain, possible = world.planned()
    assert certain == {"studio2shop"}
    assert possible == REPORT | {"article_vectors[one]"} | INDEX
    assert world.settle() == {"studio2shop"} | REPORT
    assert world.pictures == {"encode_photos": world.held_out()}
    assert not world.points


def test_a_cancelled_training_waits_for_other_inputs_or_a_command(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(*_: object) -> None:
        with open_instance(world.workspace.home) as instance:
            (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
            instance.report_run_canceling(run)
        raise KeyboardInterrupt

    world.configure(other(tiny_preset()))
    with monkeypatch.context() as patch:
        patch.setattr(trainings, "_train", cancel)
        with pytest.raises(KeyboardInterrupt):
            world.settle()
    assert read_attempts(world.workspace.home)["reid_baseline", None].cancelled
    assert world.settle() == set()

    new_articles(world, "two", 2)
    world.command("rollback", world.served()[0], "--who", "an operator", "--reason", "to be sure")
    ran = world.settle()
    assert {"candidate", "article_vectors[two]"} | INDEX <= ran, "prices, articles and decisions do not wait for it"
    assert "reid_baseline" not in ran and "two-1" in world.served()[1]

    world.correct(lambda row: dataclasses.replace(row, price=1.0), world.articles[0].article_id)
    ran_in_order = [one.asset for one in materialize(world.workspace).ran]
    assert ran_in_order.index("release") < ran_in_order.index("reid_baseline")


def test_a_worse_challenger(world: World) -> None:
    before = world.served()
    world.configure(other(tiny_preset()))
    assert world.settle() == {"reid_baseline"} | REPORT
    assert world.served() == before
    assert world.pictures == {"encode_photos": world.held_out(), "article_features": len(world.articles)}
    assert not world.points


def test_a_better_challenger_its_approval_a_rollback_and_its_end(world: World) -> None:
    """Every vector is made anew by the better package, once it is approved, and none when the old one comes back."""
    old, _ = world.served()
    world.set_up("[promotion]", "[promotion]\napproval = 'manual'")
    assert world.settle() == {"candidate"}
    world.configure(better(tiny_preset()))
    assert world.settle() == {"reid_baseline"} | REPORT
    assert world.served()[0] == old, "nobody has approved the better one yet"
    measured = {"encode_photos": world.held_out(), "article_features": len(world.articles)}
    assert world.pictures == measured
    world.command("approve", "--who", "an operator")
    assert world.planned()[0] == {"candidate"}
    assert world.settle() == {"candidate", "article_vectors[one]"} | INDEX
    new, payloads = world.served()
    assert new != old
    assert world.pictures == measured, "its vectors are made of the features that were kept when it was measured"
    assert world.points == {"vectors": len(world.articles), "payloads": 0, "deleted": 0}
    assert set(payloads) == {one.article_id for one in world.articles}

    new_articles(world, "two", 2)
    world.settle()
    world.pictures.clear()
    world.points.clear()
    world.command("rollback", old, "--who", "an operator", "--reason", "complaints")
    assert world.planned()[0] == {"candidate"}
    vectors = {"article_vectors[one]", "article_vectors[two]"}
    assert world.settle() == {"candidate"} | vectors | INDEX
    assert world.served()[0] == old
    assert world.pictures == {"article_features": 2}, "only the articles that the old package has not seen"
    assert world.points == {"vectors": 2, "payloads": 0, "deleted": 0}

    world.pictures.clear()
    world.command("unpin")
    assert world.settle() == {"candidate"} | vectors | INDEX
    assert world.served()[0] == new
    assert not world.pictures
