"""Where the daemon's steps work: in their run's process or beside it, on Celery's workers, in pods of Kubernetes.

A run is an asset, a chunk of neighbouring partitions of one, which is one step, or several light assets.
`threadline materialize` stays in its own process whatever is set here.
"""

from __future__ import annotations

import dagster as dg

from contracts.errors import ThreadlineError
from orchestration.home import Home


def executor_of(home: Home) -> dg.ExecutorDefinition:
    """The executor of every run. Raises ThreadlineError when the packages that its engine needs are not installed."""
    engine = home.services.engine
    try:
        if engine == "celery":
            from orchestration.celery_engine import celery_steps

            return celery_steps(home)
        if engine == "kubernetes":
            from dagster_k8s import k8s_job_executor

            return k8s_job_executor  # image, volumes and secrets are those of the run's own pod
    except ModuleNotFoundError as error:
        problem = f"THREADLINE_ENGINE is {engine}, but {error.name} is not installed"
        remedy = f"install the extra '{engine}': pip install '.[{engine}]' in the checkout"
        raise ThreadlineError(problem, remedy) from error
    return dg.multiprocess_executor if engine == "multiprocess" else dg.in_process_executor
