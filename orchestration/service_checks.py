"""Each service, tried as it will be used: it is reached, its version fits, it lets us write, and its clock is ours."""

from __future__ import annotations

import time
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from contracts.errors import ThreadlineError
from contracts.model_package import read_package
from contracts.registry import Release
from orchestration.findings import Check, Finding, carried_out
from orchestration.releasing import articles_indexed
from orchestration.resources import DAGSTER_VARIABLE, TRACKING_VARIABLE, Workspace
from orchestration.services import without_password
from orchestration.workspace_tables import read_catalogue
from serving.index import connect
from serving.index.difference import REBUILD
from serving.registry import sqlite_file

_TIMEOUT_S = 5
_WORKERS_ANSWER_S = 2.0
_LEAST_POSTGRES = 12
_CLOCKS_APART_S = 30.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _dagster(workspace: Workspace) -> Iterator[Finding]:
    if workspace.services.dagster_url:
        yield from _postgres("dagster", workspace.services.dagster_url, DAGSTER_VARIABLE)
    else:
        yield Finding("dagster", "ok", f"SQLite in {workspace.home.dagster}")


def _mlflow(workspace: Workspace) -> Iterator[Finding]:
    uri = workspace.home.tracking_uri
    file = sqlite_file(uri)
    if file is not None:
        yield Finding("mlflow", "ok", f"SQLite in {file}" + ("" if file.exists() else " (not made yet)"))
    elif uri.startswith("http"):
        yield from _mlflow_server(uri)
    else:
        yield from _postgres("mlflow", uri, TRACKING_VARIABLE)
    champion = workspace.registry.champion()
    yield Finding("registry", "ok", f"version {champion.version} serves" if champion else "nothing serves yet")
    if champion:
        yield from carried_out("index", partial(check_index, champion), workspace)


def _mlflow_server(uri: str) -> Iterator[Finding]:
    place = without_password(uri)
    with urllib.request.urlopen(f"{uri.rstrip('/')}/version", timeout=_TIMEOUT_S) as answer:
        there, date = answer.read(100).decode().strip(), answer.headers["Date"]
    here = version("mlflow")
    if there.split(".")[0] == here.split(".")[0]:
        yield Finding("mlflow", "ok", f"{there} at {place}")
    else:
        remedy = "run the same major release on both sides"
        yield Finding("mlflow", "failed", f"the server at {place} is {there}, the client {here}", remedy)
    if date:
        yield from _same_clock("mlflow", parsedate_to_datetime(date).timestamp())


def _artifacts(workspace: Workspace) -> Iterator[Finding]:
    place = workspace.home.artifacts
    if place is None:
        yield Finding("artifacts", "ok", "where the MLflow server keeps them")
    else:
        yield from _written("artifacts", place)


def _derived(workspace: Workspace) -> Iterator[Finding]:
    place = workspace.services.derived_root
    if place:
        yield from _written("derived tables", place)
    else:
        yield Finding("derived tables", "ok", f"in {workspace.home.root}")


def _dvc(workspace: Workspace) -> Iterator[Finding]:
    if not (workspace.root / ".dvc").is_dir():
        yield Finding("dvc", "failed", f"{workspace.root} has no DVC repository", "run `threadline init`")
    remote = workspace.services.dvc_remote
    if remote:
        yield from _written("dvc", remote)
    else:
        yield Finding("dvc", "ok", "the remotes of `.dvc/config`, if any")


def _qdrant(workspace: Workspace) -> Iterator[Finding]:
    services = workspace.services
    if not services.qdrant_url:
        yield Finding("qdrant", "ok", f"Qdrant Edge in {workspace.home.root / 'index'}")
        return
    client = connect(services.qdrant_url, services.qdrant_api_key, _TIMEOUT_S, services.qdrant_ca)
    place = without_password(services.qdrant_url)
    there, here = client.info().version, version("qdrant-client")
    if _minors_apart(there, here) > 1:
        remedy = "run releases at most one minor version apart"
        yield Finding("qdrant", "warning", f"the server at {place} is {there}, the client {here}", remedy)
    else:
        yield Finding("qdrant", "ok", f"{there} at {place}")
    address = urlsplit(services.qdrant_url)
    if address.scheme == "http" and address.hostname not in _LOOPBACK:
        yield Finding("qdrant", "warning", "vectors and key travel unencrypted", "use https, and QDRANT_CA if needed")
    probe = f"threadline-doctor-{uuid.uuid4().hex[:8]}"
    from qdrant_client.models import Distance, VectorParams

    client.create_collection(probe, VectorParams(size=2, distance=Distance.COSINE))
    client.delete_collection(probe)
    nodes = getattr(client.cluster_status(), "peers", None) or {}
    wanted = services.qdrant_replicas or 1
    if wanted > max(1, len(nodes)):
        what = f"{wanted} replicas are asked for, and there are {max(1, len(nodes))} nodes"
        yield Finding("qdrant", "failed", what, "add nodes, or lower QDRANT_REPLICAS")


def check_index(serving: Release, workspace: Workspace) -> Iterator[Finding]:
    """Open the collection that serves, count it, and search in it."""
    any_vector = np.eye(1, read_package(workspace.package(serving.digest)).dimension, dtype=np.float32)
    collection = workspace.index.open(serving.collection)
    try:
        count = collection.count()
        collection.search(any_vector, 1)
    except ThreadlineError:
        raise
    except Exception as error:  # the engine's, about damaged files
        reason = str(error).strip().partition("\n")[0]
        raise ThreadlineError(f"{serving.collection} cannot be searched: {reason}", REBUILD) from error
    finally:
        collection.close()
    wanted = articles_indexed(workspace.home, serving.digest)
    if wanted is None:  # another package's collection was made last
        wanted = sum(bool(article.images) for article in read_catalogue(workspace))
    if count == wanted:
        yield Finding("index", "ok", f"{serving.collection} holds {count:,} articles")
    else:
        yield Finding("index", "failed", f"{serving.collection} holds {count:,} articles, not {wanted:,}", REBUILD)


def _engine(workspace: Workspace) -> Iterator[Finding]:
    services = workspace.services
    if services.engine == "celery" and services.broker_url is not None:
        yield from _celery(services.broker_url)
    elif services.engine == "kubernetes":
        remedy = "see there that the pods of Dagster's chart are ready: kubectl get pods"
        yield Finding("engine", "warning", "jobs of Kubernetes; the cluster is not checked from here", remedy)
    else:
        yield Finding("engine", "ok", services.engine)


def _celery(broker_url: str) -> Iterator[Finding]:
    """Reach Redis, write to it, and call the workers."""
    from celery import Celery
    from redis import Redis

    broker = Redis.from_url(broker_url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
    release = broker.info("server")["redis_version"]
    probe = f"threadline-doctor-{uuid.uuid4().hex[:8]}"
    broker.set(probe, "here", ex=60)
    broker.delete(probe)
    yield Finding("engine", "ok", f"Celery over Redis {release} at {without_password(broker_url)}")
    seconds, microseconds = broker.time()
    yield from _same_clock("engine", seconds + microseconds / 1e6)
    answers = len(Celery(broker=broker_url, set_as_current=False).control.ping(timeout=_WORKERS_ANSWER_S))
    if answers:
        yield Finding("workers", "ok", f"{answers} answer")
    else:
        yield Finding("workers", "warning", "none answers", "start `threadline worker` on a machine that is to work")


def _postgres(name: str, address: str, variable: str) -> Iterator[Finding]:
    """Reach the database, and make and drop a table in it."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    place = without_password(address)
    engine = create_engine(address, connect_args={"connect_timeout": _TIMEOUT_S})
    probe = f"threadline_doctor_{uuid.uuid4().hex[:8]}"
    try:
        with engine.connect() as connection:
            release = str(connection.execute(text("SHOW server_version")).scalar_one()).split()[0]
            now_s = float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
            connection.execute(text(f"CREATE TABLE {probe} (id integer)"))
            connection.rollback()
    except SQLAlchemyError as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        remedy = f"see that it runs, that {variable} is right, and that its user may create tables there"
        raise ThreadlineError(f"PostgreSQL at {place}: {reason}", remedy) from None
    finally:
        engine.dispose()
    if int(release.split(".")[0]) < _LEAST_POSTGRES:
        yield Finding(name, "failed", f"PostgreSQL {release} at {place}", f"use {_LEAST_POSTGRES} or later")
    else:
        yield Finding(name, "ok", f"PostgreSQL {release} at {place}")
    yield from _same_clock(name, now_s)


def _written(name: str, address: str) -> Iterator[Finding]:
    """Write a file below the address, read it and remove it again."""
    import fsspec

    place = address if "://" not in address else without_password(address)
    system, root = fsspec.core.url_to_fs(address)
    probe = f"{root.rstrip('/')}/.threadline-doctor-{uuid.uuid4().hex[:8]}"
    try:
        if "://" not in address:
            Path(root).mkdir(parents=True, exist_ok=True)
        system.pipe_file(probe, b"here")
        read = system.cat_file(probe)
        system.rm_file(probe)
    except Exception as error:  # each store has errors of its own
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        remedy = "see that it is there, that the credentials are set, and that they may read, write and delete there"
        raise ThreadlineError(f"{place} cannot be used: {reason}", remedy) from error
    if read != b"here":
        raise ThreadlineError(f"{place} does not keep what is written", "see what stands between, such as a cache")
    yield Finding(name, "ok", f"{place} may be read and written")


def _same_clock(name: str, theirs_s: float) -> Iterable[Finding]:
    apart_s = abs(time.time() - theirs_s)
    if apart_s <= _CLOCKS_APART_S:
        return []
    return [Finding(name, "warning", f"its clock is {apart_s:,.0f} s off ours", "set both clocks (NTP)")]


def _minors_apart(one: str, other: str) -> int:
    (major, minor), (other_major, other_minor) = (tuple(map(int, each.split(".")[:2])) for each in (one, other))
    return abs(minor - other_minor) if major == other_major else 1000


CHECKS: dict[str, Check] = {
    "dagster": _dagster,
    "mlflow": _mlflow,
    "artifacts": _artifacts,
    "derived tables": _derived,
    "dvc": _dvc,
    "qdrant": _qdrant,
    "engine": _engine,
}
"""The check of each service, by the name that its findings have."""
