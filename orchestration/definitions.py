"""The Dagster code location: the graph, its automation, and the sensor that watches `data.dvc`."""

import logging
import sys
import time
import warnings

import dagster as dg

from contracts.files import digest_of
from contracts.logs import log_to
from contracts.quiet import nothing_phones_home
from orchestration.alerts import alerts
from orchestration.assets import models, queries, raw, segmentation, serving, tables
from orchestration.attempts import read_attempt
from orchestration.dvc_data import data_version
from orchestration.executors import executor_of
from orchestration.freshness import Lineage, MayTry, OutOfDate
from orchestration.graph_resources import resources
from orchestration.incoming import incoming, intake, photos_are_coming
from orchestration.observation import PARTITIONS, observe
from orchestration.progress import Reporter
from orchestration.resources import Workspace, workspace_from_environment
from orchestration.run_log import log_runs_here
from orchestration.trainings import plain

ASSETS = (
    raw.data_manifest,
    raw.catalogue_batches,
    raw.street_batches,
    raw.admission,
    raw.pin,
    raw.approval,
    tables.catalogue,
    tables.photos,
    tables.splits,
    tables.mask_set,
    tables.attribute_set,
    tables.look_set,
    segmentation.street2fashion,
    segmentation.masks,
    segmentation.segmented_look_set,
    models.fashion_dna,
    models.article_dna,
    models.studio2shop,
    models.fashion2shop,
    models.reid_baseline,
    serving.retrieval_report,
    serving.candidate,
    serving.article_vectors,
    serving.article_index,
    serving.release,
    queries.query_log,
    queries.query_drift,
)


@dg.sensor(
    minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING, required_resource_keys={"workspace"}
)
def data_dvc(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Watches `data.dvc`: added, changed and removed batches reach the graph from here."""
    repository = context.repository_def
    assert repository is not None
    found = observe(context.resources.workspace, context.instance, repository.asset_graph)
    requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    for kind, partitions in PARTITIONS.items():
        if found.added[kind]:
            requests.append(partitions.build_add_request(found.added[kind]))
        if found.removed[kind]:
            requests.append(partitions.build_delete_request(found.removed[kind]))
    return dg.SensorResult(asset_events=[*found.events, *found.checks], dynamic_partitions_requests=requests)


def fitted(spec: dg.AssetSpec, workspace: Workspace) -> dg.AssetSpec:
    """The spec as this workspace has it.

    An asset has what `threadline.toml` says of it in its code version, a model its hyperparameters: a change of them
    runs that asset and no other. What failed is tried again as `threadline.toml` says.
    """
    name = spec.key.to_user_string()
    config = getattr(workspace.preset, name, None)
    settings = workspace.configuration.of_assets().get(name) if config is None else plain(config)
    if settings is not None:
        spec = spec.replace_attributes(code_version=digest_of([spec.code_version, settings])[:16])
    if spec.automation_condition is None:
        return spec
    return spec.replace_attributes(automation_condition=OutOfDate(may_try_in(workspace)))


def may_try_in(workspace: Workspace) -> MayTry:
    """Whether the automation may try something (again), from the attempts that have not succeeded.

    Sides are not given while photos are on their way: their pairs hold together what would be split otherwise.
    """

    def may_try(lineage: Lineage, key: dg.AssetKey, partition: str | None) -> bool:
        now_s = time.time()
        if key == tables.splits.key and _pairs_are_coming(workspace, lineage, now_s):
            return False
        failed = read_attempt(workspace.home, key.to_user_string(), partition)
        policy, inputs = workspace.configuration.retries, lineage.inputs(key, partition) or ""
        return failed is None or failed.may_be_repeated(inputs, now_s, policy.most, policy.backoff_s)

    return may_try


def _pairs_are_coming(workspace: Workspace, lineage: Lineage, now_s: float) -> bool:
    """Whether photos are to be judged, or the graph was not told of all batches yet."""
    is_told = lineage.data_version(raw.data_manifest.key) == (data_version(workspace.root) or "empty")
    return not is_told or photos_are_coming(workspace.places, now_s)


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """Evaluates the automation conditions, here where their code is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # the one way to evaluate a condition of one's own
        return dg.AutomationConditionSensorDefinition(
            "automation",
            target=dg.AssetSelection.all(),
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=5,
            use_user_code_server=True,
        )


def build_definitions(workspace: Workspace, reporter: Reporter | None = None) -> dg.Definitions:
    """The graph over `workspace`; progress goes to `reporter`, or to each run's log."""
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: fitted(spec, workspace), list(ASSETS)),
        asset_checks=[raw.catalogue_verdicts, raw.street_verdicts],
        jobs=[intake],
        sensors=[incoming, data_dvc, automation_sensor(), alerts],
        resources=resources(workspace, reporter),
        executor=executor_of(workspace.home),
    )


@dg.definitions
def threadline() -> dg.Definitions:
    """What `dagster` loads: the workspace that the environment names."""
    nothing_phones_home()
    log_to(sys.stderr, logging.WARNING)
    log_runs_here()
    return build_definitions(workspace_from_environment())
