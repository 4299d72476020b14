"""MLflow's database after a workspace moved: it names each artifact by its whole path."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

_ARTIFACTS = re.compile(r"^(?:file://)?/.*?/\.threadline/mlflow/artifacts(?=/|$)")


def settle_artifacts(database: Path) -> None:
    """Where MLflow's SQLite `database` in a home came here from another workspace, let its paths follow.

    Without that a workspace that was moved or copied would write its models to where it was. A database that lies in
    no home, or names no home, stays as it is.
    """
    root = database.parent.parent.parent
    if database != root / ".threadline" / "mlflow" / "mlflow.db" or not database.exists():
        return
    here = str(root / ".threadline" / "mlflow" / "artifacts")
    with closing(sqlite3.connect(database)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchall():
            return
        places = [place for (place,) in connection.execute("SELECT artifact_location FROM experiments") if place]
    found = [match.group() for match in map(_ARTIFACTS.match, places) if match]
    if any(place.removeprefix("file://") != here for place in found):
        move_artifacts(database, root)


def move_artifacts(database: Path, root: Path) -> None:
    """Let every path of an artifact in the SQLite `database`, if there is one, lie below the workspace `root`.

    MLflow takes no relative locations (it would read them from wherever a process was started), so that a workspace
    that moves has them rewritten. Every text column is looked at: which ones hold paths differs by MLflow's release.
    """
    if not database.exists():
        return
    here = str(root / ".threadline" / "mlflow" / "artifacts")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.create_function("moved", 1, lambda text: _ARTIFACTS.sub(lambda _: here, text), deterministic=True)
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
                if "CHAR" in kind.upper() or kind.upper() == "TEXT":
                    connection.execute(
                        f'UPDATE "{table}" SET "{column}" = moved("{column}") '
                        f"WHERE \"{column}\" LIKE '%/.threadline/mlflow/artifacts%'"
                    )
