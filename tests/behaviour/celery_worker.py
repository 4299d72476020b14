"""`python -m tests.behaviour.celery_worker BROKER VISIBILITY_S`: a worker as `threadline worker` starts one.

Besides steps it knows `nap`, which takes its time and is handed out like a step.
"""

import os
import sys
import time
from pathlib import Path

from celery import shared_task

from orchestration.celery_engine import QUEUES, work


@shared_task(name="nap", acks_late=True, reject_on_worker_lost=True)  # type: ignore[misc] # celery comes without types
def nap(log: str, for_s: float) -> None:
    """Note the process group that begins and ends it, a line each, in a file."""
    for word, pause_s in (("began", for_s), ("ended", 0.0)):
        with Path(log).open("a") as lines:
            lines.write(f"{word} {os.getpgrp()}\n")
        time.sleep(pause_s)


if __name__ == "__main__":
    sys.exit(work(sys.argv[1], 1, QUEUES, float(sys.argv[2])))
