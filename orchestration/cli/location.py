"""`threadline code-location`."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Annotated

import typer

from orchestration.cli.output import console
from orchestration.cli.run import Host, service_environment
from orchestration.cli.workspace import WorkspaceOption, open_workspace


def code_location(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 4000,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve the graph to a Dagster daemon and web server of your own (gRPC), and run what they start, until SIGTERM.

    As long as it lives, commands of the workspace know that somebody works there. Runs that an earlier one left when
    it was killed are marked failed first.
    """
    from orchestration.instance import open_instance
    from orchestration.locks import alone
    from orchestration.runs import fail_dead_runs, lock_of

    found = open_workspace(workspace)
    with alone(found.home.lock(lock_of("daemon")), "`threadline up`, or another code location,"):
        with open_instance(found.home) as instance:
            lost = fail_dead_runs(instance, found.home, "daemon")
        if lost:
            console.print(f"{lost} runs had lost their process; what they were making is made again.")
        told = ("-m", "orchestration.definitions", "-h", host, "-p", str(port), "--log-format", "json")
        command = (sys.executable, "-m", "dagster", "api", "grpc", *told)
        raise typer.Exit(_run(command, service_environment(found, host, port)))


def _run(command: tuple[str, ...], environment: dict[str, str]) -> int:
    """The exit code of the command, which is asked to end when this process is."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    process = subprocess.Popen(command, env=environment)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        code = process.wait()
    return code if code >= 0 else 128 - code
