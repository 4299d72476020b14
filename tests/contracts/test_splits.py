from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.splits import Member, SplitResult, SplitShares, assign_splits, read_splits, side_of, write_splits
from contracts.vocabulary import SPLITS

Pair = tuple[str, str]
SHARES = SplitShares(val=0.3, test=0.3)
SIDES = ["train", "train", "train", "train", "train", "train"]
ids = st.integers(0, 14).map(str)
deliveries = st.lists(st.lists(st.tuples(ids, ids), max_size=12), min_size=1, max_size=6)


def ends(pair: Pair) -> tuple[Member, Member]:
    return ("photo", pair[0]), ("article", pair[1])


def slow(pairs: list[Pair], stored: dict[Member, str]) -> tuple[list[set[Member]], list[Pair]]:
    """The components, and the pairs set aside, by brute force: each pair joins unless two given sides would meet."""
    components: list[set[Member]] = []
    aside = []
    for pair in pairs:
        touched = []
        for end in dict.fromkeys(ends(pair)):
            found = next((each for each in components if end in each), None)
            if found is None:
                found = {end}
                components.append(found)
            if all(found is not each for each in touched):
                touched.append(found)
        met = {stored[member] for each in touched for member in each if member in stored}
        if len(met) > 1:
            aside.append(pair)
        elif len(touched) == 2:
            components = [each for each in components if all(each is not one for one in touched)]
            components.append(touched[0] | touched[1])
    return components, aside


def check(pairs: list[Pair], stored: dict[Member, str], result: SplitResult) -> None:
    components, aside = slow(pairs, stored)
    assert list(result.set_aside) == aside
    for component in components:
        assert len({result.sides[member] for member in component}) == 1
    for pair in pairs:
        one, other = (result.sides[end] for end in ends(pair))
        assert (one != other) <= (pair in aside)
    assert set(result.sides) == set(stored) | {end for pair in pairs for end in ends(pair)}
    assert set(result.sides.values()) <= set(SPLITS)


@settings(max_examples=200, deadline=None)
@given(batches=deliveries)
def test_no_component_is_on_two_sides_and_no_side_ever_changes(batches: list[list[Pair]]) -> None:
    stored: dict[Member, str] = {}
    history: list[Pair] = []
    aside: set[Pair] = set()
    for batch in batches:
        history += batch
        result = assign_splits(history, stored, SHARES)
        check(history, stored, result)
        assert stored.items() <= result.sides.items()
        assert aside <= set(result.set_aside)
        stored, aside = result.sides, set(result.set_aside)
    again = assign_splits(history, stored, SHARES)
    assert again.sides == stored


@settings(max_examples=100, deadline=None)
@given(first=st.lists(st.tuples(ids, ids), max_size=12), later=st.lists(st.tuples(ids, ids), max_size=12))
def test_later_pairs_alone_change_no_side_either(first: list[Pair], later: list[Pair]) -> None:
    stored = assign_splits(first, {}, SHARES).sides
    result = assign_splits(later, stored, SHARES)
    check(later, stored, result)
    assert stored.items() <= result.sides.items()


def test_within_one_delivery_nothing_is_set_aside() -> None:
    pairs = [(f"p{number}", f"a{number // 2}") for number in range(40)] + [("p0", "a7"), ("p3", "a9")]
    assert assign_splits(pairs, {}, SHARES).set_aside == ()


def test_a_pair_that_would_join_two_sides_is_set_aside() -> None:
    stored: dict[Member, str] = {("photo", "p"): "train", ("article", "a"): "test"}
    result = assign_splits([("p", "a"), ("q", "a"), ("p", "b"), ("q", "b")], stored, SHARES)
    assert result.set_aside == (("p", "a"), ("q", "b"))
    assert result.sides[("photo", "q")] == "test"
    assert result.sides[("article", "b")] == "train"


def test_the_shares_are_about_as_asked() -> None:
    counts = Counter(side_of(f"article/{number}", SplitShares(val=0.1, test=0.25)) for number in range(20_000))
    assert abs(counts["test"] / 20_000 - 0.25) < 0.015
    assert abs(counts["val"] / 20_000 - 0.10) < 0.015


def test_a_side_depends_on_nothing_but_the_key() -> None:
    assert [side_of(f"photo/{number}", SplitShares()) for number in range(6)] == SIDES


def test_sides_come_back_as_stored(tmp_path: Path) -> None:
    path = tmp_path / "splits.parquet"
    assert read_splits(path) == {}
    sides: dict[Member, str] = {("photo", "ü"): "train", ("article", "ü"): "test"}
    write_splits(path, sides)
    assert read_splits(path) == sides
