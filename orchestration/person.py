"""Who runs this process, for the record of decisions."""

from __future__ import annotations

import getpass
import os


def you() -> str:
    """The name of this process's user; their number where the machine knows no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
