"""The Dagster code location: the graph, its automation, and the sensor that watches `data.dvc`."""

import dagster as dg

from orchestration.assets import models, raw, segmentation, serving, tables
from orchestration.observation import PARTITIONS, observe
from orchestration.progress import Reporter
from orchestration.resources import Workspace, resources, workspace_from_environment

ASSETS = (
    raw.data_manifest,
    raw.catalogue_batches,
    raw.street_batches,
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
)


@dg.sensor(
    minimum_interval_seconds=10, default_status=dg.DefaultSensorStatus.RUNNING, required_resource_keys={"workspace"}
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
    return dg.SensorResult(asset_events=found.events, dynamic_partitions_requests=requests)


def build_definitions(workspace: Workspace, reporter: Reporter | None = None) -> dg.Definitions:
    """The graph over `workspace`; progress goes to `reporter`, or to each run's log."""
    automation = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        use_user_code_server=True,
    )
    return dg.Definitions(
        assets=list(ASSETS),
        asset_checks=[raw.catalogue_verdicts, raw.street_verdicts],
        sensors=[data_dvc, automation],
        resources=resources(workspace, reporter),
        executor=dg.in_process_executor,
    )


@dg.definitions
def threadline() -> dg.Definitions:
    """What `dagster` loads: the workspace that the environment names."""
    return build_definitions(workspace_from_environment())
