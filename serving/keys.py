"""API keys: random words that a program sends as `Authorization: Bearer KEY`. Only their SHA-256 is kept.

The file has one key a line, "<name> <sha256 of the key in hex>"; empty lines and those that begin with # count for
nothing. It is read again when it changes, so a key is revoked by removing its line. A plain digest is enough, because
a key has 256 random bits that nobody can guess.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import os
import re
import secrets
import threading
from pathlib import Path

from contracts.errors import ThreadlineError
from serving.settings import Settings

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Keys:
    """The keys in the file `path`. Raises ThreadlineError when it cannot be read or a line makes no sense."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._changed_ns = -1
        self._digests: tuple[str, ...] = ()
        self._follow()

    def knows(self, key: str) -> bool:
        """Whether `key` is one of them; none is where the file is gone.

        While the file makes no sense the keys of before go on to count, and the log says so.
        """
        try:
            self._follow()
        except ThreadlineError as error:
            _LOG.error("%s", error)
            if not self._path.exists():
                return False
        digest = _digest(key)
        return any(hmac.compare_digest(digest, one) for one in self._digests)

    def _follow(self) -> None:
        try:
            changed_ns = self._path.stat().st_mtime_ns
            with self._lock:
                if changed_ns != self._changed_ns:
                    self._changed_ns = changed_ns
                    self._digests = _read(self._path)
        except (OSError, UnicodeDecodeError) as error:
            problem = f"{self._path}: the API keys cannot be read ({error})"
            raise ThreadlineError(problem, "make one with `threadline-serve --new-key NAME`") from error


def open_keys(settings: Settings) -> Keys | None:
    """The keys that a request must have one of; None where none is needed: on loopback, or as the settings say.

    Raises ThreadlineError when the service would be open to the network without keys, and nobody said that it may.
    """
    if settings.api_keys is not None:
        return Keys(settings.api_keys)
    if settings.open_to_all or _is_loopback(settings.host):
        return None
    raise ThreadlineError(
        f"the service would listen on {settings.host} and answer everybody",
        "make a key with `threadline-serve --new-key NAME` and name its file in THREADLINE_API_KEYS; or, where "
        "something in front asks who it is, set THREADLINE_OPEN_TO_ALL=true",
    )


def add_key(path: Path, name: str) -> str:
    """A new key, of which the file `path` gets the digest. The key itself is kept nowhere. Raises ThreadlineError."""
    if not _NAME.fullmatch(name):
        raise ThreadlineError(f"'{name}' cannot name a key", "use up to 64 letters, digits, dots and dashes")
    key = secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    edited = path.read_bytes() if path.exists() else b""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="ascii") as file:
        open_line = edited and not edited.endswith(b"\n")  # as some editors leave the last one
        file.write(("\n" if open_line else "") + f"{name} {_digest(key)}\n")
    return key


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _read(path: Path) -> tuple[str, ...]:
    digests = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        _, _, digest = line.strip().partition(" ")
        if not _DIGEST.fullmatch(digest):
            problem = f"{path}, line {number}: not a name and a SHA-256"
            raise ThreadlineError(problem, "remove the line, and make the key again")
        digests.append(digest)
    return tuple(digests)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
