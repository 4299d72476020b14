"""The verdict on a delivered batch: what is found, in which row, and in which words."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from contracts.batches import (
    ARTICLES,
    PAIRS,
    PHOTOS,
    Article,
    Box,
    Pair,
    Photo,
    read_catalogue_batch,
    read_street_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.files import sha256_of_file, write_table
from contracts.masks import write_mask
from orchestration.expectations.known import KnownData, KnownPicture
from orchestration.expectations.picture_facts import PictureFacts, mask_facts, picture_facts
from orchestration.expectations.quarantine import part_batch
from orchestration.expectations.thresholds import Thresholds
from orchestration.expectations.twins import find_twins
from orchestration.expectations.validate import validate_batch
from orchestration.expectations.verdict import CONTACT_SHEET, DATA_DOCS, Verdict, read_verdict
from orchestration.sources.viton import deliver_viton

COUNT = 12
LENIENT = Thresholds(quarantine_share=0.9)


def pixels(seed: int, size: tuple[int, int] = (90, 70)) -> np.ndarray:
    """A picture that no other seed's looks like, on white."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    picture = Image.new("RGB", (size[1], size[0]), (255, 255, 255))
    goods = (size[1] * 3 // 4, size[0] * 3 // 4)
    picture.paste(Image.fromarray(coarse).resize(goods, Image.Resampling.BICUBIC), (size[1] // 8, size[0] // 8))
    return np.asarray(picture)


def save(path: Path, seed: int, **keywords: tuple[int, int]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, **keywords)).save(path, quality=92)
    return sha256_of_file(path)


@pytest.fixture
def articles(tmp_path: Path) -> list[Article]:
    """Twelve sound articles; their pictures lie in `tmp_path / batch`."""
    made = []
    for number in range(COUNT):
        image = f"images/{number}.jpg"
        digest = save(tmp_path / "batch" / image, number)
        made.append(Article(f"a{number}", category="top", images=(image,), sha256=(digest,)))
    return made


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    """Twelve sound photos with masks; their pictures lie in `tmp_path / batch`."""
    made = []
    for number in range(COUNT):
        image, mask = f"images/{number}.jpg", f"masks/{number}.png"
        digest = save(tmp_path / "batch" / image, number)
        person = np.zeros((90, 70), dtype=np.bool_)
        person[10:80, 20:50] = True
        write_mask(tmp_path / "batch" / mask, person)
        made.append(Photo(f"p{number}", image=image, sha256=digest, mask=mask))
    return made


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Verdict]:
    """Writes a batch of the rows given and reaches a verdict on it."""

    def _judge(
        rows: list[Article] | list[Photo],
        pairs: list[Pair] | None = None,
        thresholds: Thresholds = LENIENT,
        known: KnownData | None = None,
    ) -> Verdict:
        root = tmp_path / "batch"
        root.mkdir(exist_ok=True)
        if pairs is None and (not rows or isinstance(rows[0], Article)):
            write_catalogue_batch(root, rows)  # type: ignore[arg-type]
            return validate_batch("catalogue", root, known or KnownData(), tmp_path / "report", thresholds)
        write_street_batch(root, rows, pairs or [])  # type: ignore[arg-type]
        return validate_batch("street", root, known or KnownData(), tmp_path / "report", thresholds)

    return _judge


def reasons(verdict: Verdict, *, warning: bool = False) -> dict[str, str]:
    """The reasons by id, but for the warning on what is left over where a test takes rows away."""
    found = (one for one in verdict.rows if "no row names" not in one.reason)
    return {one.id: one.reason for one in found if one.warning == warning}


def test_sound_batches_are_accepted_with_a_report(
    articles: list[Article], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    verdict = judge(articles)
    assert verdict.status == "accepted"
    assert verdict.rows == ()
    assert verdict.statistics["pictures"] == COUNT
    assert read_verdict(tmp_path / "report") == verdict
    assert Path(str(verdict.report)).is_file()
    assert not (tmp_path / "report" / CONTACT_SHEET).exists()


def test_the_report_fetches_nothing_from_elsewhere(
    articles: list[Article], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    judge(articles)
    pages = list((tmp_path / "report" / DATA_DOCS).rglob("*.html"))
    assert len(pages) >= 3
    index = (tmp_path / "report" / DATA_DOCS / "index.html").read_text(encoding="utf-8")
    links = [unquote(link) for link in re.findall(r'href="(validations/[^"]+)"', index)]
    assert links and all((tmp_path / "report" / DATA_DOCS / link).is_file() for link in links), "they can be reached"
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert 'src="http' not in text and "<script" not in text
        assert "url('http" not in text
        assert '<link rel="stylesheet" href="http' not in text


def test_what_was_delivered_is_no_markup_in_the_report(
    articles: list[Article], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    live = "<img src=x onerror=alert(1)>"
    articles[0] = replace(articles[0], article_id=live, op=f"{live}op", category=f"{live}kind")
    articles[1] = replace(articles[1], article_id=live)
    assert judge(articles).rows
    pages = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "report" / DATA_DOCS).rglob("*.html")}
    assert any("&lt;img src=x onerror=alert(1)&gt;op" in text for text in pages.values()), "it is shown as text"
    for text in pages.values():
        assert "<img src=x" not in text
        head = text[text.index("<head>") :]
        assert head.startswith('<head><meta http-equiv="Content-Security-Policy" content="default-src \'none\';')
    assert any(">0, 1</div></td><td" in text and ">1, 2</div></td><td" in text for text in pages.values()), "place, row"


def test_every_fault_of_an_article_is_named(
    articles: list[Article], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    root = tmp_path / "batch"
    (root / "images/0.jpg").write_bytes((root / "images/0.jpg").read_bytes()[:700])
    (root / "images/1.jpg").write_text("<html>")
    (root / "images/2.jpg").unlink()
    articles[3] = replace(articles[3], category=" ")
    articles[4] = replace(articles[4], op="remove")
    articles[5] = replace(articles[5], images=("../outside.jpg",))
    articles[6] = replace(articles[6], sha256=("0" * 64,))
    articles[7] = replace(articles[7], images=(), sha256=())
    articles[8] = replace(articles[8], sha256=(save(root / "images/8.jpg", 8, size=(40, 400)),))
    Image.new("RGB", (90, 90), (250, 250, 250)).save(root / "images/9.jpg")
    articles[9] = replace(articles[9], sha256=(sha256_of_file(root / "images/9.jpg"),))
    (root / "images/10.jpg").unlink()
    (root / "images/10.jpg").symlink_to("/etc/hostname")
    verdict = judge(articles)
    found: dict[str, list[str]] = {}
    (left_over,) = [one for one in verdict.rows if one.row < 0]
    assert left_over.warning and ": 2, such as images/5.jpg" in left_over.reason
    for one in verdict.rows:
        if one == left_over:
            continue
        assert (one.table, one.id) == (ARTICLES, f"a{one.row}")
        found.setdefault(one.id, []).append(one.reason)
    assert "truncated" in found["a0"][0]
    assert found["a1"] == ["not a picture in a known format"]
    assert found["a2"] == ["the file is missing"]
    assert found["a3"] == ["the category is empty"]
    assert found["a4"] == ["the op 'remove' is not upsert or delete"]
    assert found["a5"] == ["the path leaves the batch"]
    assert found["a6"][0].startswith("not the file that was described")
    assert found["a7"] == ["the article has no image"]
    assert found["a8"] == ["the smaller side is 40 px, under 64", "the sides are as 10.0 to 1, over 4"]
    assert found["a9"] == ["the picture is blank", "background 100%, over 99%"]
    assert found["a10"] == ["the path leaves the batch"]
    assert "a11" not in found
    assert verdict.status == "rejected"
    sheet = Image.open(tmp_path / "report" / CONTACT_SHEET)
    assert sheet.width > sheet.height / 2 > 100


def test_ids_must_be_plain_and_single(articles: list[Article], judge: Callable[..., Verdict]) -> None:
    articles[1] = replace(articles[1], article_id="a0")
    articles[2] = replace(articles[2], article_id="")
    articles[3] = replace(articles[3], article_id=" x")
    articles[4] = replace(articles[4], article_id="x\ny")
    articles[5] = replace(articles[5], article_id="Größe 5/ü")
    verdict = judge(articles)
    assert sorted(one.row for one in verdict.rows) == [0, 1, 2, 3, 4]
    assert reasons(verdict)["a0"] == "the id 'a0' is there more than once"


def test_the_same_picture_twice_is_set_aside_and_a_likeness_is_a_warning(
    articles: list[Article], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    root = tmp_path / "batch"
    articles[5] = replace(articles[5], images=articles[2].images, sha256=articles[2].sha256)
    again = Image.fromarray(pixels(3))
    again.save(root / "images/7.jpg", quality=80)
    articles[7] = replace(articles[7], sha256=(sha256_of_file(root / "images/7.jpg"),))
    verdict = judge(articles)
    assert reasons(verdict) == {"a5": "the same file as that of a2"}
    assert reasons(verdict, warning=True) == {"a7": "looks the same as a3"}


def test_a_price_must_be_a_number(articles: list[Article], judge: Callable[..., Verdict]) -> None:
    for place, price in enumerate((math.nan, math.inf, -math.inf, -0.01, 0.0, 12.5)):
        articles[place] = replace(articles[place], price=price)
    told = {f"a{n}": f"the price is {price}" for n, price in enumerate(("nan", "inf", "-inf", "-0.01"))}
    assert {key: reason.partition(":")[0] for key, reason in reasons(judge(articles)).items()} == told


def test_several_images_of_one_article_may_look_the_same(
    articles: list[Article], judge: Callable[..., Verdict]
) -> None:
    articles[0] = replace(articles[0], images=articles[0].images * 2, sha256=articles[0].sha256 * 2)
    assert judge(articles).rows == ()


def test_a_known_article_may_come_without_pictures(articles: list[Article], judge: Callable[..., Verdict]) -> None:
    bare = [replace(one, images=(), sha256=()) for one in articles]
    verdict = judge(bare, known=KnownData(frozenset(f"a{n}" for n in range(COUNT - 1))))
    assert reasons(verdict) == {f"a{COUNT - 1}": "the article has no image"}


def test_goods_and_sizes_unlike_the_past_are_a_warning_on_the_whole(
    articles: list[Article], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    pictures = []
    for number in range(COUNT):
        path = tmp_path / "past" / f"{number}.jpg"
        digest = save(path, 100 + number, size=(360, 280))
        pictures.append(KnownPicture(f"old{number}", path, digest))
    known = KnownData(categories={"skirt": COUNT}, pictures=tuple(pictures))
    verdict = judge(articles, known=known, thresholds=Thresholds(enough_to_compare=10))
    assert verdict.status == "accepted"
    assert {(one.row, one.reason) for one in verdict.rows} == {
        (-1, "the categories are not those accepted so far (distance 1.00, over 0.6)"),
        (-1, "the pictures are 4.0 times larger or smaller than those accepted so far, over 2"),
    }
    assert judge(articles, known=known, thresholds=Thresholds(enough_to_compare=13)).rows == ()


def test_a_packshot_without_background_is_a_warning(
    articles: list[Article], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    coarse = np.random.default_rng(4).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    street = Image.fromarray(coarse).resize((70, 90), Image.Resampling.BICUBIC)
    street.save(tmp_path / "batch/images/4.jpg", quality=95)
    articles[4] = replace(articles[4], sha256=(sha256_of_file(tmp_path / "batch/images/4.jpg"),))
    assert list(reasons(judge(articles), warning=True)) == ["a4"]


def test_a_delete_needs_nothing_but_its_id(judge: Callable[..., Verdict]) -> None:
    assert judge([Article("gone", op="delete")]).status == "accepted"


@pytest.mark.parametrize(("bad", "status"), [(1, "accepted_with_quarantine"), (2, "rejected")])
def test_the_share_of_failing_rows_decides(
    articles: list[Article], judge: Callable[..., Verdict], bad: int, status: str
) -> None:
    rows = [replace(one, category="") if place < bad else one for place, one in enumerate(articles)]
    assert judge(rows, thresholds=Thresholds(quarantine_share=0.1)).status == status


def test_an_empty_batch_and_no_batch_are_rejected(judge: Callable[..., Verdict], tmp_path: Path) -> None:
    assert judge([]).rows[0].reason == "the batch holds no rows"
    (tmp_path / "batch" / ARTICLES).write_text("not parquet")
    verdict = validate_batch("catalogue", tmp_path / "batch", KnownData(), tmp_path / "report")
    assert verdict.status == "rejected"
    assert "is not a table" in verdict.rows[0].reason
    write_table(tmp_path / "batch" / ARTICLES, pa.table({"article_id": ["a"]}))
    verdict = validate_batch("catalogue", tmp_path / "batch", KnownData(), tmp_path / "report")
    assert "the column 'op' is missing" in verdict.rows[0].reason
    verdict = validate_batch("street", tmp_path / "batch", KnownData(), tmp_path / "report")
    assert f"{PHOTOS} is missing" in verdict.rows[0].reason


def test_masks_must_fit_and_show_somebody(photos: list[Photo], judge: Callable[..., Verdict], tmp_path: Path) -> None:
    root = tmp_path / "batch"
    write_mask(root / "masks/0.png", np.ones((70, 90), dtype=np.bool_))
    write_mask(root / "masks/1.png", np.zeros((90, 70), dtype=np.bool_))
    (root / "masks/2.png").unlink()
    (root / "masks/3.png").write_text("no")
    write_mask(root / "masks/4.png", np.ones((90, 70), dtype=np.bool_))
    photos[5] = replace(photos[5], mask=None)
    photos[6] = replace(photos[6], domain="beach")
    verdict = judge(photos, [])
    assert reasons(verdict) == {
        "p0": "the mask is 90 x 70 px, its photo 70 x 90",
        "p1": "the mask covers 0.0%, under 0.5%",
        "p2": "the mask: the file is missing",
        "p3": "the mask: not a picture in a known format",
        "p6": "the domain 'beach' is not street or studio",
    }
    assert reasons(verdict, warning=True) == {"p4": "the mask covers everything"}


def test_pairs_must_lead_somewhere(photos: list[Photo], judge: Callable[..., Verdict]) -> None:
    box = Box(0, 0, 90, 70, 90, 70)
    photos[3] = replace(photos[3], domain="beach")
    pairs = [
        Pair("p0", "known", box),
        Pair("old", "known"),
        Pair("p1", "nobody"),
        Pair("nothing", "known"),
        Pair("p2", "known", replace(box, bottom=91)),
        Pair("p3", "known"),
        Pair("p4", "known"),
        Pair("p4", "known"),
    ]
    verdict = judge(photos, pairs, known=KnownData(frozenset({"known"}), frozenset({"old"})))
    found = {one.row: one.reason for one in verdict.rows if one.table == PAIRS}
    assert sorted(found) == [2, 3, 4, 5, 6, 7]
    assert found[2] == "no such article: nobody (deliver its catalogue batch first)"
    assert found[3] == "no such photo: nothing"
    assert found[4].startswith("the box lies outside")
    assert found[5] == "its photo is set aside"


def test_photos_that_look_the_same_are_a_warning_only(photos: list[Photo], judge: Callable[..., Verdict]) -> None:
    photos[1] = replace(photos[1], image=photos[0].image, sha256=photos[0].sha256)
    verdict = judge(photos, [])
    assert verdict.status == "accepted"
    assert reasons(verdict, warning=True) == {"p1": "the same file as that of p0"}


def test_a_batch_is_parted_into_what_passed_and_what_did_not(
    photos: list[Photo], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    root = tmp_path / "batch"
    write_mask(root / "masks/0.png", np.zeros((90, 70), dtype=np.bool_))
    (root / "notes.txt").write_text("nobody's")
    (root / "elsewhere").symlink_to("/etc")
    known = KnownData(frozenset({"a"}))
    verdict = judge(photos, [Pair("p0", "a"), Pair("p1", "a")], known=known)
    kept, aside = tmp_path / "kept", tmp_path / "aside"
    kept.mkdir()
    aside.mkdir()
    assert part_batch(root, verdict, kept, aside)
    assert (aside / "unnamed" / "notes.txt").read_text() == "nobody's"
    assert (aside / "unnamed" / "elsewhere").is_symlink()
    assert [photo.photo_id for photo in read_street_batch(aside).photos] == ["p0"]
    assert [pair.photo_id for pair in read_street_batch(aside).pairs] == ["p0"]
    assert [photo.photo_id for photo in read_street_batch(kept).photos] == [f"p{n}" for n in range(1, COUNT)]
    assert read_verdict(aside) == verdict
    files = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    sound = {f"{folder}/{n}.{end}" for n in range(1, COUNT) for folder, end in (("images", "jpg"), ("masks", "png"))}
    assert files == sound | {PHOTOS, PAIRS}
    again = validate_batch("street", kept, known, tmp_path / "again")
    assert again.status == "accepted"


def test_a_parted_catalogue_keeps_its_other_rows_as_they_were(
    articles: list[Article], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    articles[4] = replace(articles[4], category="")
    verdict = judge(articles)
    (tmp_path / "kept").mkdir()
    (tmp_path / "aside").mkdir()
    part_batch(tmp_path / "batch", verdict, tmp_path / "kept", tmp_path / "aside")
    assert list(read_catalogue_batch(tmp_path / "kept").articles) == articles[:4] + articles[5:]
    assert list(read_catalogue_batch(tmp_path / "aside").articles) == [articles[4]]


def test_facts_of_a_picture_are_those_of_its_upright_form(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels(1, size=(200, 100))).save(tmp_path / "images/turned.jpg", exif=exif)
    facts = picture_facts(tmp_path, "images/turned.jpg")
    assert facts.size == (100, 200)
    assert facts.problem is None
    write_mask(tmp_path / "mask.png", np.ones((100, 200), dtype=np.bool_))
    assert mask_facts(tmp_path, "mask.png", facts.size).problem is None


@pytest.mark.parametrize("relative", ["", "/etc/passwd", "../x", "linked/x.jpg", "nul\x00", "images", "x" * 300])
def test_paths_that_are_no_file_of_the_batch_are_a_problem_not_a_crash(tmp_path: Path, relative: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    save(outside / "x.jpg", 1)
    (root / "images").mkdir(parents=True)
    (root / "linked").symlink_to(outside)
    assert picture_facts(root, relative).problem
    assert mask_facts(root, relative, (1, 1)).problem


def test_a_name_that_no_file_can_have_is_its_rows_problem_and_the_others_are_judged(
    articles: list[Article], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    articles[0] = replace(articles[0], images=("images/" + "x" * 300 + ".jpg",))
    articles[1] = replace(articles[1], images=(articles[1].images[0].replace("/", "\\"),))
    verdict = judge(articles)
    assert verdict.status == "accepted_with_quarantine"
    assert reasons(verdict) == {"a0": "cannot be read (File name too long)", "a1": "written with \\; use /"}
    for name in ("kept", "aside"):
        (tmp_path / name).mkdir()
    assert part_batch(tmp_path / "batch", verdict, tmp_path / "kept", tmp_path / "aside")
    assert [one.article_id for one in read_catalogue_batch(tmp_path / "aside").articles] == ["a0", "a1"]


def test_files_that_no_row_names_are_counted(
    articles: list[Article], judge: Callable[..., Verdict], tmp_path: Path
) -> None:
    verdict = judge(articles[2:])
    assert verdict.status == "accepted"
    (told,) = [one for one in verdict.rows if one.row < 0]
    assert told.warning and told.reason.startswith("files that no row names") and ": 2, such as images/0" in told.reason


def test_what_is_no_batch_says_what_to_do(tmp_path: Path) -> None:
    root = tmp_path / "batch"
    root.mkdir()
    for kind, command in (("catalogue", "import folder PATH"), ("street", "import folder-photos PATH")):
        verdict = validate_batch(kind, root, KnownData(), tmp_path / "report")
        assert verdict.rows[0].reason.endswith("import it again")
        (root / "feed.CSV").write_text("image\n")
        verdict = validate_batch(kind, root, KnownData(), tmp_path / "report")
        assert command in verdict.rows[0].reason
        (root / "feed.CSV").unlink()


def test_twins_are_those_that_comparing_all_with_all_finds() -> None:
    rng = np.random.default_rng(0)
    seeds = rng.integers(0, 2**63, 12)
    facts, owners = [], []
    for number in range(300):
        flipped = sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 4), replace=False))
        colour = float(rng.integers(0, 2) * 40)
        facts.append(PictureFacts(look=int(seeds[number % 12]) ^ flipped, colour=(colour, 0, 0)))
        owners.append(f"owner {number % 7}")
    expected = {}
    for here in range(300):
        for earlier in range(here):
            close = (facts[here].look ^ facts[earlier].look).bit_count() <= 2
            if close and facts[here].colour == facts[earlier].colour and owners[here] != owners[earlier]:
                expected[here] = earlier
                break
    assert len(expected) > 50
    assert find_twins(facts, owners, Thresholds()) == expected


@pytest.mark.real_data
def test_real_pairs_are_accepted_as_they_are(tmp_path: Path) -> None:
    real = os.environ.get("THREADLINE_REAL_DATA")
    if real is None:
        pytest.skip("THREADLINE_REAL_DATA is not set")
    catalogue, street = tmp_path / "catalogue", tmp_path / "street"
    deliver_viton(Path(real) / "viton", catalogue, street, limit=60)
    known = KnownData(frozenset(article.article_id for article in read_catalogue_batch(catalogue).articles))
    assert validate_batch("catalogue", catalogue, KnownData(), tmp_path / "first").status == "accepted"
    assert validate_batch("street", street, known, tmp_path / "second").status == "accepted"
