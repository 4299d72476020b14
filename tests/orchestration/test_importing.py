"""`threadline import`: from a folder to an accepted batch, once, and not read again until something changes."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dvc.repo  # type: ignore[import-untyped]  # noqa: F401 - its log keeps the streams that it is imported under
import pytest
from typer.testing import CliRunner, Result

from contracts.batches import Kind
from contracts.errors import ThreadlineError
from contracts.ledger import read_ledger
from orchestration.cli.main import app
from orchestration.intake import accept_import
from orchestration.known_imports import key_of
from orchestration.person import you
from orchestration.places import Places
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.product_feed import deliver_product_feed
from orchestration.sources.report import ImportReport
from tests.orchestration import layouts


def folder(root: Path) -> Path:
    layouts.product_feed(root)
    (root / "styles.csv").rename(root / "feed.csv")
    text = (root / "feed.csv").read_text()
    (root / "feed.csv").write_text(text.replace("id,", "image,", 1).replace("articleType", "category"))
    return root


def folder_photos(root: Path) -> Path:
    layouts.picture(root / "a.jpg", 1)
    layouts.picture(root / "b.jpg", 2)
    (root / "photos.csv").write_text("photo,domain\na.jpg,street\nb.jpg,studio\n")
    return root


SOURCES: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "viton": (layouts.viton, ("catalogue", "street")),
    "clothing-co-parsing": (layouts.clothing_co_parsing, ("street",)),
    "chictopia10k": (layouts.chictopia10k, ("street",)),
    "deepfashion": (layouts.consumer_to_shop, ("catalogue", "street")),
    "street2shop": (layouts.street2shop, ("catalogue", "street")),
    "lookbook": (layouts.lookbook, ("catalogue", "street")),
    "product-feed": (layouts.product_feed, ("catalogue",)),
    "folder": (folder, ("catalogue",)),
    "folder-photos": (folder_photos, ("street",)),
}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A new workspace, which the commands find by themselves."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = tmp_path / "workspace"
    assert run("init", str(root)).exit_code == 0
    monkeypatch.setenv("THREADLINE_WORKSPACE", str(root))
    return Places(root)


def run(*command: str) -> Result:
    return CliRunner().invoke(app, list(command))


def imported(source: str, path: Path, *options: str) -> dict[str, Any]:
    """The account of an import that must be accepted."""
    result = run("import", source, str(path), "--json", *options)
    assert result.exit_code == 0, (result.output, result.exception)
    account: dict[str, Any] = json.loads(result.stdout)
    return account


def statuses(account: dict[str, Any]) -> set[str]:
    return {verdict["status"] for verdict in account["verdicts"]}


def spoil_unnoticed(path: Path) -> None:
    """Other bytes, but the same size and time: what only looks at the listing cannot see it."""
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_a_source_is_accepted_and_then_not_read_again(places: Places, tmp_path: Path, source: str) -> None:
    render, kinds = SOURCES[source]
    root = render(tmp_path / "delivered")
    first = imported(source, root, "--batch", "first", "--who", "Ada")
    assert {(row.kind, row.batch, row.who) for row in read_ledger(places.data)} == {
        (kind, "first", "Ada") for kind in kinds
    }
    assert statuses(first) == {"accepted"}
    for picture in root.rglob("*.jp*g"):
        spoil_unnoticed(picture)
    again = imported(source, root, "--batch", "first")
    assert statuses(again) == {"already_accepted"}
    assert again["taken"] == first["taken"]
    assert len(read_ledger(places.data)) == len(kinds)


@pytest.mark.parametrize("source", SOURCES)
def test_an_empty_folder_is_refused_and_leaves_nothing(places: Places, tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run("import", source, str(tmp_path / "empty"))
    assert result.exit_code == 1
    assert isinstance(result.exception, ThreadlineError)
    assert str(tmp_path / "empty") in result.exception.problem
    assert not read_ledger(places.data)
    assert not [path for path in places.incoming.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_any_change_in_the_folder_is_imported_again(places: Places, tmp_path: Path) -> None:
    root = layouts.product_feed(tmp_path / "feed")
    imported("product-feed", root)
    with (root / "styles.csv").open("a") as file:
        file.write("3,Men,Shirts,Blue,Number 3\n")
    layouts.picture(root / "images/3.jpg", 3)
    result = run("import", "product-feed", str(root))
    assert isinstance(result.exception, ThreadlineError)
    assert "catalogue/product-feed was accepted before" in result.exception.problem
    assert "--batch product-feed-2" in result.exception.remedy
    assert "--batch NEW" in result.stderr, "it is said before the pictures are copied"
    assert list((places.incoming / "catalogue").iterdir()) == [], "the copy is not left behind"
    later = imported("product-feed", root, "--batch", "later", "--limit", "1")
    assert (statuses(later), later["taken"]["articles"]) == ({"accepted"}, 1)


@pytest.mark.slow
def test_a_batch_that_was_taken_out_comes_back(places: Places, tmp_path: Path) -> None:
    root = layouts.product_feed(tmp_path / "feed")
    imported("product-feed", root)
    shutil.rmtree(places.accepted("catalogue", "product-feed"))
    assert statuses(imported("product-feed", root)) == {"accepted"}
    assert places.accepted("catalogue", "product-feed").is_dir()


@pytest.mark.slow
def test_a_rejected_import_is_looked_at_again(places: Places, tmp_path: Path) -> None:
    root = layouts.product_feed(tmp_path / "feed", ("Tshirts", "Jeans"))
    layouts.picture(root / "images/0.jpg", 0, size=(20, 20))
    for _ in range(2):
        result = run("import", "product-feed", str(root))
        assert result.exit_code == 2
        assert "rejected" in result.output
    layouts.picture(root / "images/0.jpg", 5)
    assert statuses(imported("product-feed", root)) == {"accepted"}


@pytest.mark.slow
def test_options_make_another_import(places: Places, tmp_path: Path) -> None:
    root = layouts.product_feed(tmp_path / "feed")
    some = imported("product-feed", root)
    every = imported("product-feed", root, "--all-categories")
    assert (some["taken"]["articles"], every["taken"]["articles"]) == (2, 3)
    assert some["counts"]["categories left out"] == {"Casual Shoes": 1}
    assert {row.batch for row in read_ledger(places.data)} == {"product-feed", "product-feed-all"}


def test_the_key_of_an_import_changes_with_every_file_and_option(tmp_path: Path) -> None:
    root = layouts.product_feed(tmp_path / "feed")
    (root / "images/self").symlink_to(root, target_is_directory=True)
    (root / "gone.jpg").symlink_to(tmp_path / "nowhere")
    before = key_of("folder", [root], {"limit": None})
    assert before == key_of("folder", [root], {"limit": None})
    keys = {before, key_of("folder", [root], {"limit": 1}), key_of("product-feed", [root], {"limit": None})}
    picture = root / "images/0.jpg"
    os.utime(picture, ns=(1, picture.stat().st_mtime_ns + 1))
    keys.add(key_of("folder", [root], {"limit": None}))
    picture.rename(root / "images/9.jpg")
    keys.add(key_of("folder", [root], {"limit": None}))
    (root / "images/9.jpg").unlink()
    keys.add(key_of("folder", [root], {"limit": None}))
    assert len(keys) == 6


def test_every_source_of_the_command_line_is_tried_here() -> None:
    listed = run("import", "--help").output
    assert all(source in listed for source in SOURCES)


@pytest.mark.slow
def test_a_delivery_that_no_import_made_is_not_replaced(places: Places, tmp_path: Path) -> None:
    root = layouts.product_feed(tmp_path / "feed")
    dropped = places.delivered("catalogue", "spring") / "notes.txt"
    dropped.parent.mkdir(parents=True)
    dropped.write_text("waits for Ada")
    refused = run("import", "product-feed", str(root), "--batch", "spring")
    assert isinstance(refused.exception, ThreadlineError)
    assert str(dropped.parent) in refused.exception.problem and "--batch" in refused.exception.remedy
    assert dropped.read_text() == "waits for Ada"
    assert run("batches", "reject", "catalogue/spring", "--reason", "empty").exit_code == 0
    assert statuses(imported("product-feed", root, "--batch", "spring")) == {"accepted"}


@pytest.mark.slow
def test_an_import_that_was_killed_is_repeated(places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise SystemExit(137)

    root = layouts.viton(tmp_path / "viton")
    with monkeypatch.context() as patched:
        patched.setattr("orchestration.intake._judge", killed)
        assert run("import", "viton", str(root)).exit_code == 137
    assert places.delivered("street", "viton").is_dir()
    assert statuses(imported("viton", root)) == {"accepted"}
    dropped = places.delivered("street", "viton")
    dropped.mkdir()
    assert isinstance(run("import", "viton", str(root), "--limit", "2", "--batch", "viton").exception, ThreadlineError)
    assert dropped.is_dir()


@pytest.mark.slow
def test_a_folder_that_was_only_touched_is_accepted_already(places: Places, tmp_path: Path) -> None:
    root = layouts.product_feed(tmp_path / "feed")
    imported("product-feed", root)
    os.utime(root / "styles.csv", (0, 0))
    assert statuses(imported("product-feed", root)) == {"already_accepted"}


@pytest.mark.slow
def test_two_imports_under_one_name_each_account_for_their_own(places: Places, tmp_path: Path) -> None:
    roots = [layouts.product_feed(tmp_path / name) for name in ("a", "b")]
    layouts.picture(roots[1] / "images/0.jpg", 77)
    began, results = threading.Event(), {}

    def slowly(into: dict[Kind, Path], report: Reporter, root: Path) -> ImportReport:
        began.set()
        made = deliver_product_feed(root, into["catalogue"], report)
        time.sleep(0.5)
        return made

    def import_one(root: Path) -> None:
        deliver = partial(slowly, {"catalogue": places.delivered("catalogue", "feed")}, silent, root)
        try:
            results[root.name] = accept_import(places, ("catalogue",), "feed", root.name, deliver)[1][0].status
        except ThreadlineError as error:
            results[root.name] = error.problem

    first, second = (threading.Thread(target=import_one, args=(root,)) for root in roots)
    first.start()
    assert began.wait(30)
    second.start()
    first.join()
    second.join()
    assert results["a"] == "accepted" and "was accepted before" in results["b"]
    (row,) = read_ledger(places.data)
    assert row.who == "a"
    shown = places.accepted("catalogue", "feed") / "images" / "0.jpg"
    assert shown.read_bytes() == (roots[0] / "images/0.jpg").read_bytes()


def test_who_decides_has_a_name_where_the_machine_knows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert you() == str(os.getuid())


@pytest.mark.slow
def test_everything_that_is_left_out_is_kept_and_a_large_share_is_said(places: Places, tmp_path: Path) -> None:
    root = tmp_path / "delivered"
    for number in range(2):
        layouts.picture(root / f"{number}.jpg", number)
    layouts.picture(root / "more" / "unnamed.JPG", 99)
    (root / "feed.csv").write_text("image,category\n" + "".join(f"{number}.jpg,top\n" for number in range(40)))
    result = run("import", "folder", str(root), "--batch", "spring", "--json")
    account = json.loads(result.stdout)
    assert result.exit_code == 0 and account["left_out_count"] == 38
    assert account["counts"]["pictures of no article"] == {".jpg": 1}
    lines = list(csv.DictReader(io.StringIO(Path(account["left_out_csv"]).read_text())))
    assert [(one["file"], one["line"], one["detail"]) for one in lines] == [
        ("feed.csv", str(number + 2), f"{number}.jpg") for number in range(2, 40)
    ]
    assert {one["reason"] for one in lines} == {"the image is missing"}
    assert "38 were left out, 95% of what was read" in result.stderr and account["left_out_csv"] in result.stderr
    again = run("import", "folder", str(root), "--batch", "spring")
    assert account["left_out_csv"] in again.output, "it is still there"
    for number in range(40):
        layouts.picture(root / f"{number}.jpg", number)
    whole = run("import", "folder", str(root), "--batch", "later", "--json")
    assert "left_out_csv" not in json.loads(whole.stdout) and "left out" not in whole.stderr
