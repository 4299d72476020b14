"""`python -m tests.behaviour.celery_worker BROKER VISIBILITY_S`: a worker as `threadline worker` starts one."""

import sys

from orchestration.celery_engine import QUEUES, work

if __name__ == "__main__":
    sys.exit(work(sys.argv[1], 1, QUEUES, float(sys.argv[2])))
