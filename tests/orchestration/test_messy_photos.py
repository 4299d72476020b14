"""Three hundred garments photographed at home, with labels that are not clean: what becomes of such a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.batches import read_catalogue_batch
from contracts.errors import ThreadlineError
from orchestration.cli.main import app
from orchestration.places import Places
from orchestration.stewardship import corrections, list_batches, show_batch
from tests.orchestration.messy import picture


def test_a_column_may_be_called_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    run, places, home = CliRunner(), Places(tmp_path / "shop"), tmp_path / "home"
    assert run.invoke(app, ["init", str(places.root)]).exit_code == 0
    home.mkdir()
    for number in range(3):
        picture(number).save(home / f"{number}.jpg")
    (home / "images.csv").write_text("image,label,kids\n0.jpg,Pants,no\n1.jpg,Dress,no\n2.jpg,Not sure,yes\n")
    command = ["import", "folder", str(home), "--workspace", str(places.root), "--column"]
    assert run.invoke(app, [*command, "category=label"]).exit_code == 0
    taken = read_catalogue_batch(places.accepted("catalogue", "home")).articles
    assert [one.category for one in taken] == ["trousers", "dress", "not sure"]
    assert taken[2].attributes == {"kids": "yes"}
    for column in ("category", "category=colour"):
        refused = run.invoke(app, [*command, column, "--batch", "other"])
        assert isinstance(refused.exception, ThreadlineError) and column.rpartition("=")[2] in str(refused.exception)


@pytest.mark.real_data
@pytest.mark.slow
def test_photos_from_home_with_unclean_labels(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    run, places = CliRunner(), Places(tmp_path / "shop")
    assert run.invoke(app, ["init", str(places.root)]).exit_code == 0
    command = ["import", "folder", str(real_data / "clothing-dataset"), "--workspace", str(places.root)]

    refused = run.invoke(app, [*command, "--batch", "no-category"])
    assert refused.exit_code == 2
    assert "the category is empty" in refused.output
    assert show_batch(places, "catalogue", "no-category").state == "rejected"

    taken = run.invoke(app, [*command, "--batch", "home", "--column", "category=label"])
    assert taken.exit_code == 0, taken.output
    account = show_batch(places, "catalogue", "home")
    assert account.verdict is not None and account.verdict.accepted
    delivered = read_catalogue_batch(places.accepted("catalogue", "home")).articles
    assert len(delivered) + len(account.set_aside) == 300
    assert {"trousers", "jumper", "not sure"} <= {one.category for one in delivered}, "mapped where clear, else kept"
    told = corrections(account.verdict)
    assert "the category 'not sure' is new" in told
    assert [one.batch for one in list_batches(places)] == ["home", "no-category"]
