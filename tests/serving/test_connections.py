"""What a connection may ask of the service before its request is whole, over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse

import httpx
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.connections import http_protocol
from tests.serving.fixtures import address_of, serving, until
from tests.serving.shop import Shop

HEAD = b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
FIELD = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="p"\r\n\r\n'
END = b"\r\n--b--\r\n"


@contextmanager
def half_an_upload(url: str, photo: bytes) -> Iterator[tuple[socket.socket, bytes]]:
    """A connection that has sent the head and half of the body of a search, and the other half."""
    body = FIELD + photo + END
    with socket.create_connection(address_of(url), timeout=20) as connection:
        connection.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
        yield connection, body[len(body) // 2 :]


def is_unanswered(connection: socket.socket) -> bool:
    connection.settimeout(0.3)
    try:
        return connection.recv(1) is None
    except TimeoutError:
        return True
    finally:
        connection.settimeout(20)


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Set when the decoding of a photo begins, and what lets it go on."""
    from serving.photos import decode_photo

    begun, go_on = threading.Event(), threading.Event()

    def slow(*given: object) -> object:
        begun.set()
        go_on.wait(20)
        return decode_photo(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("serving.routes.decode_photo", slow)
    yield begun, go_on
    go_on.set()


def test_with_a_full_line_an_upload_is_refused_before_it_is_there(
    open_shop: Shop, decoding: tuple[threading.Event, threading.Event]
) -> None:
    begun, go_on = decoding
    photo, settings = open_shop.photo("a0"), open_shop.settings.model_copy(update={"concurrent": 1, "queue": 0})
    with serving(settings) as url, half_an_upload(url, photo) as (first, rest):
        first.sendall(rest)
        assert begun.wait(20)
        with half_an_upload(url, photo) as (second, _):
            answer = second.recv(10_000).lower()
        assert answer.startswith(b"http/1.1 429 ") and b"retry-after: " in answer and b"problem:busy" in answer
        assert httpx.post(f"{url}/v1/release/refresh").status_code == 403  # what brings no photo waits for no place
        go_on.set()
        assert first.recv(10_000).startswith(b"HTTP/1.1 200 ")


def test_no_more_uploads_arrive_at_once_than_twice_the_places(open_shop: Shop) -> None:
    photo, settings = open_shop.photo("a0"), open_shop.settings.model_copy(update={"concurrent": 1, "queue": 0})
    with serving(settings) as url, ExitStack() as stack:
        (first, rest), (second, _) = (stack.enter_context(half_an_upload(url, photo)) for _ in range(2))
        assert is_unanswered(first) and is_unanswered(second)
        with half_an_upload(url, photo) as (third, _):
            assert third.recv(100).startswith(b"HTTP/1.1 429 ")
        first.sendall(rest)
        assert first.recv(10_000).startswith(b"HTTP/1.1 200 ")  # an upload took no place of a search
        fourth, _ = stack.enter_context(half_an_upload(url, photo))
        assert is_unanswered(fourth)
        second.close()  # gives its place up, too

        def taken() -> bool:
            with half_an_upload(url, photo) as (another, rest):
                another.sendall(rest)
                return another.recv(100).startswith(b"HTTP/1.1 200 ")

        until(taken)


def answered(connection: socket.socket) -> int:
    """The status of an answer, which is read to its end."""
    with HTTPResponse(connection) as answer:
        answer.begin()
        answer.read()
        return answer.status


def test_a_search_whose_client_has_gone_leaves_the_line(
    open_shop: Shop, decoding: tuple[threading.Event, threading.Event]
) -> None:
    begun, go_on = decoding
    photo, settings = open_shop.photo("a0"), open_shop.settings.model_copy(update={"concurrent": 1, "queue": 1})

    def in_progress(searches: int) -> bool:
        return f"threadline_searches_in_progress {searches}.0" in httpx.get(f"{url}/metrics").text

    with serving(settings) as url, half_an_upload(url, photo) as (first, rest):
        first.sendall(rest)
        assert begun.wait(20)
        with half_an_upload(url, photo) as (second, rest):
            second.sendall(rest)
            until(lambda: in_progress(2))
        until(lambda: in_progress(1))
        with half_an_upload(url, photo) as (third, rest):  # has the place in line
            third.sendall(rest)
            until(lambda: in_progress(2))
            go_on.set()
            assert answered(first) == 200 and answered(third) == 200
        counted = httpx.get(f"{url}/metrics").text
    assert 'route="/v1/search",status="499"} 1.0' in counted
    assert 'threadline_stage_seconds_count{stage="decode"} 2.0' in counted


def test_a_client_that_goes_while_its_search_runs_leaves_nothing_behind(
    open_shop: Shop, decoding: tuple[threading.Event, threading.Event]
) -> None:
    begun, go_on = decoding
    photo, settings = open_shop.photo("a0"), open_shop.settings.model_copy(update={"concurrent": 1, "queue": 0})
    with serving(settings) as url:
        with half_an_upload(url, photo) as (first, rest):
            first.sendall(rest)
            assert begun.wait(20)
        go_on.set()
        until(lambda: "threadline_searches_in_progress 0.0" in httpx.get(f"{url}/metrics").text)
        assert httpx.post(f"{url}/v1/search", files={"photo": photo}).status_code == 200


def closed_after_s(connection: socket.socket, trickle: bytes = b"") -> float:
    """How long it took until the service closed the connection, over which `trickle` comes byte by byte."""
    start = time.monotonic()
    connection.settimeout(0.05)
    for at in range(400):
        try:
            if at < len(trickle):
                connection.sendall(trickle[at : at + 1])
            if not connection.recv(10_000):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - start


@pytest.fixture(scope="module", params=[H11Protocol, HttpToolsProtocol])
def impatient(request: pytest.FixtureRequest, open_shop: Shop) -> Iterator[tuple[str, int]]:
    """The address of a service that waits for headers for a second, with either of uvicorn's protocols."""
    with serving(open_shop.settings, http=http_protocol(1.0, request.param)) as url:
        yield address_of(url)


GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
SLOWLY = GET + b"X-Slow: " + 400 * b"x"


@pytest.mark.parametrize("start", [b"", b"GE", GET], ids=["nothing", "half a word", "half a head"])
def test_a_connection_that_sends_no_whole_head_is_closed(impatient: tuple[str, int], start: bytes) -> None:
    with socket.create_connection(impatient) as connection:
        connection.sendall(start)
        assert 0.5 < closed_after_s(connection) < 5


def test_bytes_that_trickle_in_do_not_prolong_the_time(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient) as connection:
        assert 0.5 < closed_after_s(connection, SLOWLY) < 5


def test_the_second_head_of_a_connection_has_to_come_in_time_too(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient) as connection:
        connection.sendall(GET + b"\r\n")
        assert answered(connection) == 200
        assert 0.5 < closed_after_s(connection, SLOWLY) < 4.5  # uvicorn's own keep-alive waits for 5 s


def test_what_follows_a_refused_upload_does_not_hold_the_connection(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient) as connection:
        connection.sendall(HEAD + b"Content-Length: 30000000\r\n\r\n")
        assert answered(connection) == 413
        assert 0.5 < closed_after_s(connection, 400 * b"x") < 4.5


def test_a_connection_whose_heads_come_in_time_lives_on(impatient: tuple[str, int], open_shop: Shop) -> None:
    body = FIELD + open_shop.photo("a0") + END
    with socket.create_connection(impatient) as connection:
        for _ in range(3):
            connection.sendall(GET)
            time.sleep(0.4)
            connection.sendall(b"\r\n")
            assert answered(connection) == 200
        connection.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode())
        time.sleep(1.2)  # a body has a time of its own
        connection.sendall(body)
        assert answered(connection) == 200


def test_the_command_s_server_has_the_time_of_its_settings(open_shop: Shop) -> None:
    settings = open_shop.settings.model_copy(update={"headers_s": 0.3})
    with serving(settings) as url, socket.create_connection(address_of(url)) as connection:
        assert closed_after_s(connection) < 5
