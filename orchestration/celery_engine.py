"""Steps on Celery's workers, with Redis between: no step is lost with its worker, and none is handed out twice.

A message is acknowledged when its step is done. While a worker lives it says so every third of the visibility
timeout, for every message that it holds, also while it stops; so the timeout can be short although a training takes
hours. What a worker held that died is handed to another once the timeout has passed, or at once where only the process
of the step died.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import dagster as dg
from celery import bootsteps
from celery.signals import setup_logging
from celery.worker import state
from dagster._core.execution.retries import RetryMode
from dagster_celery.executor import CeleryExecutor
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from contracts.logs import log_to
from orchestration.home import Home
from orchestration.runs import held_by_run

VISIBILITY_S = 60
"""How long the messages of a worker that says nothing any more stay with it."""

QUEUES = ("dagster", "training")
"""Where steps wait; trainings in a queue of their own, for workers on machines that can train."""

_SWEEP_S = 5


def celery_steps(home: Home) -> dg.ExecutorDefinition:
    """The executor that hands steps to the workers of the workspace's broker."""

    @dg.executor(name="celery", requirements=dg.multiple_process_executor_requirements())
    def celery(_: dg.InitExecutorContext) -> dg.Executor:
        return _Executor(home)

    return celery


def work(broker_url: str, concurrency: int, queues: Sequence[str], visibility_s: float = VISIBILITY_S) -> int:
    """Work on steps, `concurrency` at a time, until SIGTERM; what was begun is finished. Returns an exit code."""
    log_to(sys.stderr)
    setup_logging.connect(_is_set_up)
    named: dict[str, Any] = {"broker": broker_url, "backend": broker_url, "config_source": _settings(visibility_s)}
    app = make_app(named)  # type: ignore[no-untyped-call]
    create_task(app, acks_late=True, reject_on_worker_lost=True)  # type: ignore[no-untyped-call]
    app.steps["consumer"].add(_HoldsOn)
    name = f"threadline-{os.getpid()}@{socket.gethostname()}"
    worker = app.Worker(concurrency=concurrency, queues=list(queues), hostname=name, loglevel="INFO", quiet=True)
    worker.start()
    return int(worker.exitcode or 0)


def _is_set_up(**_: Any) -> None:
    """Keep Celery from setting logging up: it takes the error stream's place, and drops what is logged to it there."""


def _settings(visibility_s: float) -> dict[str, Any]:
    """Celery's settings; a sweep for messages of dead workers runs every few seconds, not every 100 as by default."""
    sweep = {"unacked_restore_interval": _SWEEP_S, "unacked_restore_throttle": 1}
    return {
        "broker_transport_options": {"visibility_timeout": visibility_s, **sweep},
        "broker_connection_retry_on_startup": True,
        "worker_prefetch_multiplier": 1,
        "worker_redirect_stdouts": False,
    }


class _Executor(CeleryExecutor):
    """Shows, while steps wait in the queue, that the run's process lives."""

    def __init__(self, home: Home) -> None:
        broker = home.services.broker_url
        once = RetryMode(RetryMode.DISABLED)  # what fails is asked for again by the automation
        super().__init__(once, broker, broker, config_source=_settings(VISIBILITY_S))  # type: ignore[no-untyped-call]
        self._home = home

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        with held_by_run(self._home, plan_context.run_id, "celery"):
            yield from super().execute(plan_context, execution_plan)  # type: ignore[no-untyped-call]


class _HoldsOn(bootsteps.StartStopStep):  # type: ignore[misc] # celery comes without types
    """Says, while the worker lives, that the messages it holds are being worked on."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **settings: Any) -> None:
        super().__init__(consumer, **settings)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        self._every_s = consumer.app.conf.broker_transport_options["visibility_timeout"] / 3
        self._channel = consumer.task_consumer.channel
        self._timer = consumer.timer.call_repeatedly(self._every_s, _hold_on, (self._channel,))

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._timer is not None and consumer.blueprint.state == bootsteps.CLOSE:
            threading.Thread(target=self._until_exit, daemon=True).start()

    def _until_exit(self) -> None:
        """The worker was asked to stop and waits for its steps, and no timer of its runs any more."""
        while True:
            with suppress(*self._channel.connection_errors):
                _hold_on(self._channel)
            time.sleep(self._every_s)


def _hold_on(channel: Any) -> None:
    """Begin the visibility timeout anew for what this worker holds; what was taken from it stays taken."""
    now = time.time()
    held = {request.message.delivery_tag: now for request in tuple(state.requests.values())}
    if held:
        with channel.conn_or_acquire() as redis:
            redis.zadd(channel.unacked_index_key, held, xx=True)
