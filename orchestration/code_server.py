"""The code server of `threadline up`: one process holds the graph, for Dagster's pages and for its daemon.

Left to themselves each of them starts one of its own, and the daemon another one every minute, in case something has
changed; here it is loaded anew when something has.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path

import yaml

from contracts.files import write_text
from orchestration.code_versions import HARMLESS, ROOT
from orchestration.configuration import CONFIGURATION_FILE
from orchestration.home import Home

DEFINITIONS = "orchestration.definitions"
_PACKAGES = ("contracts", "training", "serving", "orchestration")
_LONGEST_SOCKET = 100  # bytes that every system takes in a socket's address
_LOOK_S, _RELOAD_S = 2.0, 300

Seen = dict[Path, tuple[int, int]]
"""Path -> (time of its last change in ns, size in bytes)."""


def socket_of(home: Home) -> Path:
    """Where the code server listens: among the locks, or in a new directory where that address would be too long."""
    place = home.lock("graph").with_suffix(".sock")
    if len(os.fsencode(place)) <= _LONGEST_SOCKET:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)  # of a server that was killed
        return place
    return Path(tempfile.mkdtemp(prefix="threadline-")) / "graph.sock"


def server_command(socket: Path) -> tuple[str, ...]:
    """The command that serves the graph at `socket`, which is there as soon as it answers."""
    start = ("-m", "dagster", "code-server", "start", "-m", DEFINITIONS)
    return (sys.executable, *start, "--socket", str(socket), "--log-level", "warning", "--log-format", "json")


def write_workspace_file(home: Home, socket: Path) -> Path:
    """The file that tells Dagster's pages and daemon where the graph is served."""
    path = home.dagster / "workspace.yaml"
    server = {"socket": str(socket), "location_name": DEFINITIONS}
    write_text(path, yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    return path


def look(workspace_root: Path) -> Seen:
    """What the graph is made of: this project's code and the workspace's settings, as they are now."""
    code = (path for package in _PACKAGES for path in (ROOT / package).rglob("*.py"))
    found: Seen = {}
    for path in (*code, HARMLESS, workspace_root / CONFIGURATION_FILE):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        found[path] = stat.st_mtime_ns, stat.st_size
    return found


class Reloading(threading.Thread):
    """Has the server at `socket` load the graph anew whenever `look` finds something else, until `stop`.

    Runs that are at work go on with what they have loaded.
    """

    def __init__(self, workspace_root: Path, socket: Path) -> None:
        super().__init__(name="reloading", daemon=True)
        self._root, self._socket = workspace_root, socket
        self._loaded = look(workspace_root)
        self._stopped = threading.Event()

    def run(self) -> None:
        """The thread's work."""
        while not self._stopped.wait(_LOOK_S):
            now = look(self._root)
            if now != self._loaded and self._socket.exists() and self._reloads():
                self._loaded = now

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _reloads(self) -> bool:
        """Whether the server has loaded the graph; one that does not answer is asked again."""
        from dagster._core.errors import DagsterUserCodeUnreachableError
        from dagster._grpc.client import DagsterGrpcClient

        try:
            DagsterGrpcClient(socket=str(self._socket)).reload_code(timeout=_RELOAD_S)
        except DagsterUserCodeUnreachableError:
            return False
        return True
