"""A full disk, a place that cannot be written or read, a killed process: a message, and the same command again."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.batches import Article, write_catalogue_batch
from contracts.errors import ThreadlineError, in_words
from contracts.files import sha256_of_file
from contracts.ledger import read_ledger
from orchestration import dvc_data
from orchestration.intake import accept
from orchestration.places import Places
from orchestration.sources.folder import deliver_folder

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534

needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as somebody else")


def deliver(places: Places, batch: str, seed: int, count: int = 12, side_px: int = 80) -> None:
    """Deliver articles whose pictures hardly compress."""
    root = places.delivered("catalogue", batch)
    (root / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        path = root / "images" / f"{batch}-{number}.png"
        noise = np.random.default_rng([seed, number]).integers(0, 255, (side_px, side_px, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        images = (path.relative_to(root).as_posix(),)
        rows.append(Article(f"{batch}-{number}", category="top", images=images, sha256=(sha256_of_file(path),)))
    write_catalogue_batch(root, rows)


def accepted_state(places: Places) -> dict[str, str]:
    """Everything below `data/` and in the data version, but for the ledger, which holds the time."""
    found = (path for path in places.data.rglob("*") if path.is_file() and path.name != "ledger.parquet")
    files = {path.relative_to(places.data).as_posix(): sha256_of_file(path) for path in found}
    version = dvc_data.manifest(places.root).files
    return files | {f"dvc {path}": md5 for path, md5 in version.items() if path != "ledger.parquet"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", path], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture
def places(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A workspace on that disk with one accepted batch."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    dvc_data.init(disk)
    made = Places(disk)
    (disk / "threadline.toml").write_text("")
    deliver(made, "spring", 1)
    assert accept(made, "catalogue", "spring", "ann").accepted
    return made


def fill(disk: Path, leave: int) -> None:
    """Leave only so many bytes free."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(b"\0" * max(0, free - leave))


@needs_mount
@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_the_same_again_repairs_it(places: Places, disk: Path) -> None:
    deliver(places, "autumn", 2, side_px=150)
    before = accepted_state(places)
    failures = 0
    for leave in (0, 20_000, 100_000, 500_000, 1_500_000, 2_500_000, 3_500_000):
        fill(disk, leave)
        try:
            accept(places, "catalogue", "autumn", "ann")
        except ThreadlineError as error:
            assert "space" in error.remedy or "space" in error.problem, leave
        except OSError as error:
            assert error.errno == errno.ENOSPC, leave
        else:
            break
        failures += 1
        assert before.items() <= accepted_state(places).items()
        assert read_ledger(places.data)[0].batch == "spring"
    assert failures >= 3
    (disk / "filler").unlink()
    if places.delivered("catalogue", "autumn").exists():
        accept(places, "catalogue", "autumn", "ann")
    assert [row.batch for row in read_ledger(places.data)] == ["spring", "autumn"]
    assert len(dvc_data.manifest(places.root).files) == 2 * 13 + 1
    assert not places.delivered("catalogue", "autumn").exists()


@needs_mount
@pytest.mark.slow
def test_the_command_says_what_to_do_about_a_full_or_read_only_disk(places: Places, disk: Path) -> None:
    deliver(places, "autumn", 2, side_px=150)
    before = accepted_state(places)
    fill(disk, 10_000)
    full = command("batches", "accept", "catalogue/autumn", "--workspace", disk)
    assert_in_words(full, "No space left")
    (disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    sealed = command("batches", "accept", "catalogue/autumn", "--workspace", disk)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert_in_words(sealed, "Read-only")
    assert accepted_state(places) == before
    assert command("batches", "accept", "catalogue/autumn", "--workspace", disk).returncode == 0
    assert [row.batch for row in read_ledger(places.data)] == ["spring", "autumn"]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli.main", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT
    )


def assert_in_words(result: subprocess.CompletedProcess[str], words: str) -> None:
    assert result.returncode == 1
    assert words in result.stderr
    assert "What to do:" in result.stderr
    assert "Traceback" not in result.stderr


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that anybody can reach, with six pictures and their CSV; `into/` in it is anybody's."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for number in range(6):
            Image.effect_noise((80, 80), 90).convert("RGB").save(root / f"{number}.png")
        (root / "articles.csv").write_text("image,category\n" + "".join(f"{number}.png,top\n" for number in range(6)))
        (root / "into").mkdir()
        deliver_folder(root, root / "into" / "first")  # loads what is loaded late: nobody may read the interpreter
        (root / "into").chmod(0o777)
        root.chmod(0o755)
        yield root


@needs_root
def test_a_picture_that_may_not_be_read_is_left_out_and_named(shared: Path) -> None:
    (shared / "1.png").chmod(0)
    with as_nobody():
        report = deliver_folder(shared, shared / "into" / "batch")
    assert report.taken["articles"] == 5
    (example,) = report.examples["the picture cannot be read"]
    assert (example.file, example.row) == ("articles.csv", 3)
    assert "1.png: cannot be read (Permission denied)" in example.detail


@needs_root
def test_a_table_that_may_not_be_read_and_a_place_that_may_not_be_written_are_named(shared: Path) -> None:
    (shared / "into").chmod(0o755)
    with as_nobody(), pytest.raises(PermissionError) as written:
        deliver_folder(shared, shared / "into" / "batch")
    assert str(shared / "into") in in_words(written.value).problem
    assert "let this user" in in_words(written.value).remedy
    (shared / "articles.csv").chmod(0)
    with as_nobody(), pytest.raises(PermissionError) as read:
        deliver_folder(shared, shared / "into" / "batch")
    assert in_words(read.value).problem == f"{shared / 'articles.csv'}: Permission denied"


def test_what_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "gone", "is not a directory"), (tmp_path, "holds no CSV")):
        with pytest.raises(ThreadlineError, match=words) as raised:
            deliver_folder(path, tmp_path / "into")
        assert str(path) in raised.value.problem


IMPORT = """
import os, signal, sys
from pathlib import Path
from orchestration import dvc_data, intake
from orchestration.expectations import validate
from orchestration.places import Places
from orchestration.sources import copying
from orchestration.sources.folder import deliver_folder
source, places, point, which = Path(sys.argv[1]), Places(Path(sys.argv[2])), sys.argv[3], int(sys.argv[4])
if point:
    module, name = point.split(".")
    owner = {"intake": intake, "dvc_data": dvc_data, "validate": validate, "copying": copying}[module]
    original, calls = getattr(owner, name), []
    def deadly(*args, **keywords):
        calls.append(1)
        if len(calls) == which:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **keywords)
    setattr(owner, name, deadly)
deliver_folder(source, places.delivered("catalogue", "spring"))
intake.accept(places, "catalogue", "spring", "ann")
"""

POINTS = [
    ("copying.copy_picture", 5),
    ("validate.run_checks", 1),
    ("intake.put_in_place", 1),
    ("intake.write_ledger", 1),
    ("dvc_data.add_batch", 1),
]


def import_spring(source: Path, places: Places, point: str = "", which: int = 0) -> int:
    """Import in a process of its own, which kills itself before call `which` of `point`; how it ended."""
    script = [sys.executable, "-c", IMPORT, str(source), str(places.root), point, str(which)]
    return subprocess.run(script, capture_output=True, cwd=ROOT).returncode


@pytest.mark.slow
def test_a_killed_import_is_repaired_by_the_same_command(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at one point after another, each time further on; then once to the end."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    disturbed, calm = Places(tmp_path / "disturbed"), Places(tmp_path / "calm")
    for places in (disturbed, calm):
        places.root.mkdir()
        dvc_data.init(places.root)
    for point, which in POINTS:
        assert import_spring(shared, disturbed, point, which) == -signal.SIGKILL, point
    for places in (disturbed, calm):
        assert import_spring(shared, places) == 0
        assert [row.batch for row in read_ledger(places.data)] == ["spring"]
        left = [path for folder in (places.incoming, places.home, places.data) for path in folder.rglob(".*")]
        assert left == []
        assert not any(path.is_file() for path in places.incoming.rglob("*"))
    assert accepted_state(disturbed) == accepted_state(calm)
    assert len(accepted_state(calm)) == 2 * 7
