"""How much memory a piece of work takes."""

from __future__ import annotations

import re
import resource
from pathlib import Path

_PROCESS = Path("/proc/self")


def forget_peak() -> None:
    """Let the peak be measured from now on, where the system can (Linux)."""
    try:
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # `peak_mib` then tells the peak of the whole process


def peak_mib() -> int:
    """The largest resident memory of this process since `forget_peak`, in MiB."""
    try:
        status = (_PROCESS / "status").read_text(encoding="ascii")
    except OSError:
        status = ""
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    kib = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib // 1024
