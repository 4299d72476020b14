"""What a connection may ask of the service before its request is whole, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

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
