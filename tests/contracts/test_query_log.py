from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.query_log import (
    LoggedQuery,
    append_query,
    day_file,
    decode_vector,
    drop_before,
    encode_vector,
    end_of_day,
    last_whole_day,
    read_queries,
    score_quantiles,
)

DAY_S = 86_400


def query(at_s: int, **fields: object) -> LoggedQuery:
    plain = {
        "at_s": at_s,
        "route": "search",
        "release": "3",
        "collection": "c/1",
        "k": 10,
        "filters": ["category"],
        "took_ms": {"search": 2.5},
        "person_found": None,
        "person_share": None,
        "categories": {"dress": 2},
        "scores": score_quantiles([0.1, 0.3]),
    }
    return LoggedQuery.model_validate(plain | fields)


def test_what_is_written_is_read_by_time(tmp_path: Path) -> None:
    queries = [query(DAY_S * day + second) for day, second in ((1, 5), (1, 6), (2, 0), (4, 7))]
    for one in queries:
        append_query(tmp_path, one)
    assert list(read_queries(tmp_path)) == queries
    assert list(read_queries(tmp_path, DAY_S + 6, 2 * DAY_S + 1)) == queries[1:3]
    assert day_file(tmp_path, DAY_S).name == "1970-01-02.jsonl"


def test_nothing_was_logged_yet(tmp_path: Path) -> None:
    assert list(read_queries(tmp_path / "nowhere")) == []


def test_a_torn_line_is_left_out_and_the_next_one_is_read(tmp_path: Path) -> None:
    append_query(tmp_path, query(5))
    with day_file(tmp_path, 5).open("ab") as file:
        file.write(b'{"at_s": 7, "rou\n')
    append_query(tmp_path, query(9))
    assert [one.at_s for one in read_queries(tmp_path)] == [5, 9]


def test_old_days_go(tmp_path: Path) -> None:
    for day in range(4):
        append_query(tmp_path, query(DAY_S * day + 1))
    drop_before(tmp_path, 2 * DAY_S)
    assert [one.at_s // DAY_S for one in read_queries(tmp_path)] == [2, 3]


def test_the_last_day_that_is_over(tmp_path: Path) -> None:
    assert last_whole_day(tmp_path / "nowhere", 5) is None
    for day in (1, 3):
        append_query(tmp_path, query(DAY_S * day + 1))
    assert last_whole_day(tmp_path, DAY_S * 2 - 1) is None, "the first day is not over"
    assert last_whole_day(tmp_path, DAY_S * 2) == "1970-01-02"
    assert last_whole_day(tmp_path, DAY_S * 3 + 2) == "1970-01-02"
    assert last_whole_day(tmp_path, DAY_S * 9) == "1970-01-04"
    assert end_of_day("1970-01-04") == DAY_S * 4


def test_a_vector_comes_back_to_three_digits() -> None:
    vector = np.random.default_rng(0).normal(size=64).astype(np.float32)
    vector /= np.linalg.norm(vector)
    assert decode_vector(encode_vector(vector)) == pytest.approx(vector, abs=1e-3)


def test_quantiles() -> None:
    assert score_quantiles([]) == []
    assert score_quantiles([0.5, 0.1, 0.3, 0.2, 0.4]) == [0.1, 0.2, 0.3, 0.4, 0.5]
