"""`threadline worker`."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.errors import ThreadlineError
from orchestration.cli.workspace import open_workspace
from orchestration.resources import BROKER_VARIABLE


def worker(
    concurrency: Annotated[int, typer.Option("--concurrency", "-c", min=1, help="Steps at a time.")] = 1,
    queue: Annotated[
        list[str] | None, typer.Option("--queue", "-q", help="Only these queues: dagster, training. By default both.")
    ] = None,
) -> None:
    """Work on the steps that the daemon's runs hand to Celery, until SIGTERM.

    The workspace, which must be shared with the daemon, is THREADLINE_WORKSPACE or the current directory: each step
    opens it anew.
    """
    broker_url = open_workspace(None).services.broker_url
    if broker_url is None:
        raise ThreadlineError(f"{BROKER_VARIABLE} is not set", "set it to the Redis that the daemon's runs use")
    try:
        from orchestration.celery_engine import QUEUES, work
    except ModuleNotFoundError as error:
        remedy = "install the extra 'celery': pip install '.[celery]' in the checkout"
        raise ThreadlineError(f"{error.name} is not installed", remedy) from error
    raise typer.Exit(work(broker_url, concurrency, queue or QUEUES))
