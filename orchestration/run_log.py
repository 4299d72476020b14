"""The log of Dagster's runs: text on a terminal, else JSON that says run and asset."""

from __future__ import annotations

import logging
import sys

import dagster as dg
from dagster._core.execution import context_creation_job

from contracts.logs import JsonLines, TextLines


class RunLines(JsonLines):
    """What Dagster tells of a run, without the place in the message: the line has it in fields of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; a failure keeps Dagster's whole message, which holds the traceback."""
        meta = getattr(record, "dagster_meta", None) or {}
        event, told = meta.get("dagster_event"), meta.get("orig_message")
        failed = event is not None and event.is_failure
        message = told if told and not failed else record.getMessage()
        place = {"run": meta.get("run_id"), "asset": meta.get("step_key")}
        return super().format(logging.makeLogRecord({**vars(record), **place, "msg": message, "args": None}))


@dg.logger(config_schema={"log_level": dg.Field(str, default_value="DEBUG")}, description="Lines on the error stream.")
def console(context: dg.InitLoggerContext) -> logging.Logger:
    """The logger `console` of every run."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextLines() if sys.stderr.isatty() else RunLines())
    made = logging.Logger("dagster", level=str(context.logger_config["log_level"]))
    made.addHandler(handler)
    return made


def log_runs_here() -> None:
    """Let the runs of this process log through `console`.

    Dagster gives each run that was started without configuration, as all of the daemon's are, a text logger of its own,
    and has no setting for that.
    """
    setattr(context_creation_job, "default_system_loggers", lambda instance: [(console, {"log_level": "DEBUG"})])  # noqa: B010
