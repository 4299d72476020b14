"""`threadline serve`, `threadline metrics` and `threadline up`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import ThreadlineError
from contracts.files import replacing
from orchestration.cli.output import console, errors
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.resources import MLFLOW_VARIABLE, STEWARD_VARIABLE, TRACKING_VARIABLE, WORKSPACE_VARIABLE, Workspace

Host = Annotated[str, typer.Option(help="The address to listen on.")]
_STOP_S = 20.0
_MOST_LOG_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Service:
    """A process of `threadline up`: its name, its command, and where people find it."""

    name: str
    command: tuple[str, ...]
    url: str | None = None
    needs: Path | None = None  # not started before this is there
    outlasts_its_runs: bool = False  # ends by itself only when all that it has started has


def serve(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8000,
    workspace: WorkspaceOption = None,
) -> None:
    """Run the search service and its page in this terminal; it follows the release that the registry names."""
    found = open_workspace(workspace)
    environment = service_environment(found, host, port)
    console.print(f"The search page: http://{host}:{port}/   (Ctrl-C stops it)")
    os.execve(sys.executable, [sys.executable, "-m", "serving"], environment)  # the service takes this process over


def metrics(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8002,
    workspace: WorkspaceOption = None,
) -> None:
    """Answer Prometheus about the graph, until Ctrl-C: what is out of date or failed, runs, sensors, deliveries."""
    from orchestration.graph_metrics import serve_metrics
    from orchestration.instance import open_instance

    found = open_workspace(workspace)
    with open_instance(found.home) as instance:
        server, thread = serve_metrics(found, instance, host, port)
        console.print(f"Metrics of the graph: http://{host}:{server.server_port}/metrics   (Ctrl-C stops it)")
        try:
            thread.join()
        except KeyboardInterrupt:
            server.shutdown()


def up(
    host: Host = "127.0.0.1",
    service_port: Annotated[int, typer.Option(help="The search page.")] = 8000,
    dagster_port: Annotated[int, typer.Option(help="Dagster's pages.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="MLflow's pages.")] = 5000,
    steward_port: Annotated[int, typer.Option(help="The steward's page, on this machine only.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="The graph's metrics, for Prometheus.")] = 8002,
    workspace: WorkspaceOption = None,
) -> None:
    """Run Dagster's pages and daemon, MLflow, the search service, the steward's page and metrics, until Ctrl-C."""
    from orchestration.code_server import Reloading, socket_of
    from orchestration.instance import open_instance
    from orchestration.locks import alone
    from orchestration.runs import fail_dead_runs, lock_of

    found = open_workspace(workspace)
    with alone(found.home.lock(lock_of("daemon")), "`threadline up`"):
        for port in (service_port, dagster_port, mlflow_port, steward_port, metrics_port):
            _check_free(host, port)
        with open_instance(found.home) as instance:
            lost = fail_dead_runs(instance, found.home, "daemon")
        if lost:
            console.print(f"{lost} runs had lost their process; what they were making is made again.")
        environment = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes, for nothing that is done here
            **service_environment(found, host, service_port),
            MLFLOW_VARIABLE: _mlflow_pages(found, host, mlflow_port),
            STEWARD_VARIABLE: f"http://127.0.0.1:{steward_port}",
        }
        graph = socket_of(found.home)
        services = _services(found, graph, host, service_port, dagster_port, mlflow_port, steward_port, metrics_port)
        reloading = Reloading(found.root, graph)
        reloading.start()
        try:
            _supervise(services, environment, found.home.root / "logs")
        finally:
            reloading.stop()


def service_environment(workspace: Workspace, host: str, port: int) -> dict[str, str]:
    """The environment of the processes of a workspace."""
    return {
        **os.environ,
        WORKSPACE_VARIABLE: str(workspace.root),
        "DAGSTER_HOME": str(workspace.home.dagster),
        "THREADLINE_HOME": str(workspace.home.root),
        "THREADLINE_DATA": str(workspace.data),
        TRACKING_VARIABLE: workspace.home.tracking_uri,
        "MLFLOW_BACKEND_STORE_URI": workspace.home.tracking_uri,  # not an argument: others may read those
        "THREADLINE_HOST": host,
        "THREADLINE_PORT": str(port),
    }


def _services(
    workspace: Workspace, graph: Path, host: str, service: int, dagster: int, mlflow: int, steward: int, metrics: int
) -> list[Service]:
    from orchestration.code_server import server_command, write_workspace_file

    python, json = sys.executable, ("--log-format", "json")
    load = ("-w", str(write_workspace_file(workspace.home, graph)))
    threadline = (python, "-m", "orchestration.cli.main")
    services = [
        Service("the graph", server_command(graph), outlasts_its_runs=True),
        Service(
            "Dagster",
            (python, "-m", "dagster_webserver", *load, "-h", host, "-p", str(dagster), *json),
            f"http://{host}:{dagster}/",
            needs=graph,
        ),
        Service("Dagster's daemon", (python, "-m", "dagster._daemon", "run", *load, *json), needs=graph),
        Service("the search page", (python, "-m", "serving"), f"http://{host}:{service}/"),
        Service(
            "the steward's page",
            (*threadline, "batches", "page", "--port", str(steward)),
            f"http://127.0.0.1:{steward}/",
        ),
        Service(
            "the metrics",
            (*threadline, "metrics", "--host", host, "--port", str(metrics)),
            f"http://{host}:{metrics}/metrics",
        ),
    ]
    if not _has_mlflow_server(workspace):
        command = (python, "-m", "mlflow", "ui", "--host", host, "--port", str(mlflow), "--workers", "1")
        services.append(Service("MLflow", command, f"http://{host}:{mlflow}/"))
    return services


def _has_mlflow_server(workspace: Workspace) -> bool:
    return workspace.home.tracking_uri.startswith("http")


def _mlflow_pages(workspace: Workspace, host: str, port: int) -> str:
    if _has_mlflow_server(workspace):
        return workspace.services.mlflow_url or workspace.home.tracking_uri
    return f"http://{host}:{port}"


def _supervise(services: list[Service], environment: dict[str, str], logs: Path) -> None:
    """Start the services, say where they are, and stop them all on Ctrl-C, on SIGTERM, or when one of them ends.

    They stay in this process's group, so that ending the group ends everything. No log grows without end.
    """
    logs.mkdir(parents=True, exist_ok=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    for number in (signal.SIGINT, signal.SIGTERM):  # also where the caller's shell had Ctrl-C ignored
        signal.signal(number, signal.default_int_handler)
    try:
        for service in services:
            console.print(f"  {service.name:<18} {service.url or 'running'}")
        console.print(f"Logs: {logs}   Ctrl-C stops everything.")
        while all(process.poll() is None for process in running.values()):
            for service in services:
                if service.name not in running and (service.needs is None or service.needs.exists()):
                    running[service.name] = _start(service, environment, logs)
            with suppress(OSError):  # on a full disk what runs goes on
                for path in logs.glob("*.log"):
                    keep_short(path, _MOST_LOG_BYTES)
            time.sleep(0.5)
        ended = [name for name, process in running.items() if process.poll() is not None]
        raise ThreadlineError(f"{', '.join(ended)} ended by itself", f"read its log in {logs}")
    except KeyboardInterrupt:
        console.print("Stopping …")
    finally:
        _stop(running, {service.name for service in services if service.outlasts_its_runs})
    console.print("Stopped.")


def _start(service: Service, environment: dict[str, str], logs: Path) -> subprocess.Popen[bytes]:
    with (logs / f"{service.name.replace(' ', '-')}.log").open("ab") as log:
        return subprocess.Popen(service.command, env=environment, stdout=log, stderr=log)


def keep_short(log: Path, most_bytes: int) -> None:
    """Move what a log holds to `<name>.log.1`, in place of what was there, once it has `most_bytes`.

    The process that writes it goes on: it appends to the same file, which is empty again.
    """
    if log.stat().st_size >= most_bytes:
        with replacing(log.with_suffix(".log.1")) as kept:
            shutil.copyfile(log, kept)
        os.truncate(log, 0)


def _stop(running: dict[str, subprocess.Popen[bytes]], unawaited: set[str]) -> None:
    """Ask every service to end, and after a while end it, and what it started and left behind.

    The `unawaited` may end with the others, and are ended once these have.
    """
    import psutil

    family = psutil.Process().children(recursive=True)
    for process in running.values():
        process.terminate()
    deadline = time.monotonic() + _STOP_S
    for name in running.keys() - unawaited:
        process = running[name]
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            errors.print(f"{name} did not stop when asked; it is ended")
            process.kill()
            process.wait()
    _, left = psutil.wait_procs(family, timeout=2)
    for descendant in left:
        descendant.kill()
    psutil.wait_procs(left, timeout=2)


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ThreadlineError(
                f"port {port} on {host} is taken", "stop what uses it, or choose another port"
            ) from error
