"""Real servers for tests, each on a free port and gone afterwards: PostgreSQL and Redis as nobody, and S3."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

PASSWORD = "s3cret-of-the-test"


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def postgres_programs() -> Path | None:
    """The directory of PostgreSQL's programs; distributions keep them out of PATH."""
    found = [str(path) for path in Path("/usr/lib/postgresql").glob("*/bin")]
    program = shutil.which("initdb", path=os.pathsep.join([os.environ.get("PATH", ""), *found]))
    return Path(program).resolve().parent if program else None


def unprivileged(place: Path) -> dict[str, Any]:
    """How `subprocess` starts a server in `place`: as `nobody`, who then owns it, where the tests run as root."""
    quiet = {"cwd": place, "stdout": subprocess.DEVNULL}
    if os.geteuid() != 0:
        return quiet
    shutil.chown(place, "nobody")
    return {**quiet, "user": "nobody", "group": "nogroup", "extra_groups": ()}


@contextmanager
def running_redis() -> Iterator[str]:
    """The address of a fresh server that keeps nothing, `redis://127.0.0.1:PORT/0`."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here")
    place, port = Path(tempfile.mkdtemp(prefix="threadline-redis-")), free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, **unprivileged(place)) as server:
        try:
            while server.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def running_postgres() -> Iterator[str]:
    """The address of a fresh server, `postgresql+psycopg2://shop:…@127.0.0.1:PORT`, without a database's name.

    Everything of it is in a directory of its own, owned by `nobody` where the tests run as root: it refuses root.
    """
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's programs are not installed (initdb is missing)")
    place, port = Path(tempfile.mkdtemp(prefix="threadline-postgres-")), free_port()
    owner = unprivileged(place)
    (place / "password").write_text(PASSWORD)
    (place / "password").chmod(0o644)
    data = str(place / "data")
    make = [*("-U", "shop", "--pwfile", "password", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"), "--no-sync"]
    listen = f"-p {port} -c listen_addresses=127.0.0.1 -k {place} -c fsync=off"
    try:
        subprocess.run([programs / "initdb", "-D", data, *make], check=True, **owner)
        subprocess.run([programs / "pg_ctl", "-D", data, "-o", listen, "-l", "log", "-w", "start"], check=True, **owner)
        try:
            yield f"postgresql+psycopg2://shop:{PASSWORD}@127.0.0.1:{port}"
        finally:
            subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, **owner)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def new_database(server: str, name: str) -> str:
    """The address of a new, empty database of that server."""
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return f"{server}/{name}"


@contextmanager
def running_s3(bucket: str) -> Iterator[dict[str, str]]:
    """An S3 server with that bucket; yields the environment with which every client finds it."""
    import boto3
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    s3_backends.reset()  # it lives in this process, and keeps what an earlier server was told
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": PASSWORD,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        client = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key=PASSWORD,
            region_name="eu-central-1",
        )
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield environment
    finally:
        server.stop()
