"""A line of the log is one JSON object that says where it was written, and no secret."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.logs import at, handler_for, without_secrets


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> Iterator[logging.Logger]:
    made = logging.getLogger("threadline.test")
    handler = handler_for(stream)
    made.addHandler(handler)
    made.setLevel(logging.INFO)
    yield made
    made.removeHandler(handler)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_whatever_it_says(log: logging.Logger, stream: io.StringIO) -> None:
    log.warning('%s said "no"\nand left', "müde")
    (line,) = lines(stream)
    assert (line["level"], line["logger"]) == ("WARNING", "threadline.test")
    assert line["message"] == 'müde said "no"\nand left'
    assert line["time"].endswith("+00:00")


def test_a_line_says_where_it_was_written(log: logging.Logger, stream: io.StringIO) -> None:
    with at(run="r1", asset="masks", partition=None):
        with at(partition="may"):
            log.info("inside")
        log.info("between", extra={"release": 3})
    log.info("outside")
    inside, between, outside = lines(stream)
    assert (inside["run"], inside["asset"], inside["partition"]) == ("r1", "masks", "may")
    assert "partition" not in between and between["release"] == "3"
    assert not {"run", "asset", "partition", "release"} & set(outside)


def test_threads_do_not_mix_their_places(log: logging.Logger, stream: io.StringIO) -> None:
    ready = threading.Barrier(2)

    def work(name: str) -> None:
        with at(partition=name):
            ready.wait(10)
            log.info(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(line["partition"] == line["message"] for line in lines(stream))


def test_an_error_keeps_its_traceback(log: logging.Logger, stream: io.StringIO) -> None:
    try:
        raise ValueError("postgresql+psycopg2://shop:s3cret@db/mlflow is away")
    except ValueError:
        log.exception("it failed")
    (line,) = lines(stream)
    assert "ValueError" in line["error"] and "test_logs.py" in line["error"]
    assert "s3cret" not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach postgresql+psycopg2://shop:s3cret@db:5432/dagster",
        "redis://:s3cret@broker/0 refused",
        "Authorization: Bearer s3cret",
        "{'api-key': 's3cret', 'limit': 3}",
        'QDRANT_API_KEY="s3cret"',
        "connect(password=s3cret, port=5432)",
        "https://s3.example/bucket?token=s3cret&part=1",
        "AWS_SECRET_ACCESS_KEY: s3cret",
    ],
)
def test_secrets_are_blotted_out(text: str) -> None:
    assert "s3cret" not in without_secrets(text)


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8000/v1/search", "article a@b in s3://bucket/key", "the tokens of 3 garments: few"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


def test_people_get_text_on_a_terminal(stream: io.StringIO) -> None:
    terminal = Terminal()
    handler = handler_for(terminal)
    handler.handle(logging.LogRecord("a", logging.INFO, "f", 1, "redis://:s3cret@broker/0", None, None))
    assert "INFO a: redis://…@broker/0" in terminal.getvalue()
