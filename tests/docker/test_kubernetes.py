"""The manifests follow Kubernetes' schemas, and so do the jobs that steps become with the values of Dagster's chart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job
from kubernetes.client import ApiClient

from serving.settings import Settings

KUBERNETES = "1.33"
MANIFESTS = ("metrics.yaml", "service.yaml", "steward.yaml", "workspace.yaml")


def manifests(checkout: Path, name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((checkout / "docker" / "kubernetes" / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_follow_the_schemas(name: str, checkout: Path) -> None:
    for manifest in manifests(checkout, name):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_no_service_of_the_cluster_sets_a_variable_of_ours(checkout: Path) -> None:
    """Kubernetes gives pods `<NAME>_PORT=tcp://…` for each Service; the chart makes one of each deployment's name."""
    pod = manifests(checkout, "service.yaml")[0]["spec"]["template"]["spec"]
    assert pod["enableServiceLinks"] is False
    assert {"name": "THREADLINE_PORT", "value": "8000"} in pod["containers"][0]["env"]
    values = manifests(checkout, "dagster-values.yaml")[0]
    assert "threadline" not in [one["name"] for one in values["dagster-user-deployments"]["deployments"]]


def test_the_chart_is_that_of_the_pinned_dagster(checkout: Path) -> None:
    steps = (checkout / "docker" / "kubernetes" / "dagster-values.yaml").read_text(encoding="utf-8")
    pinned = (checkout / "constraints.txt").read_text(encoding="utf-8")
    (version,) = re.findall(r"^dagster==(\S+)$", pinned, re.MULTILINE)
    assert f"helm install dagster dagster/dagster --version {version} " in steps


def test_a_wrong_manifest_is_refused(checkout: Path) -> None:
    deployment = manifests(checkout, "service.yaml")[0]
    deployment["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


def test_no_request_is_refused_while_a_pod_is_replaced(checkout: Path) -> None:
    """It answers until nodes have heard that it goes, and what was begun then is finished before it is killed."""
    pod = manifests(checkout, "service.yaml")[0]["spec"]["template"]["spec"]
    command, delay_s = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep" and int(delay_s) >= 5
    assert pod["terminationGracePeriodSeconds"] > int(delay_s) + Settings().stop_s


def test_no_command_takes_runs_in_other_pods_for_dead(checkout: Path) -> None:
    pods = [manifests(checkout, "steward.yaml")[0]["spec"]]
    pods.append(manifests(checkout, "metrics.yaml")[0]["spec"]["template"]["spec"])
    for pod in pods:
        assert {"name": "THREADLINE_ENGINE", "value": "kubernetes"} in pod["containers"][0]["env"]


def test_several_chunks_are_made_at_once_and_no_telemetry_is_sent(checkout: Path) -> None:
    """The chart refuses a limit of runs in two places."""
    values = manifests(checkout, "dagster-values.yaml")[0]
    compose = yaml.safe_load((checkout / "docker" / "dagster.yaml").read_text(encoding="utf-8"))
    assert values["concurrency"]["enabled"]
    pools, runs = values["concurrency"]["pools"], values["concurrency"]["runs"]
    assert {"granularity": pools["granularity"], "default_limit": pools["defaultLimit"]} == compose["concurrency"][
        "pools"
    ]
    assert {"max_concurrent_runs": runs["maxConcurrentRuns"]} == compose["concurrency"]["runs"]
    assert "config" not in values["dagsterDaemon"]["runCoordinator"]
    assert values["telemetry"] == {"enabled": False}


def context_of_the_chart(location: dict[str, Any]) -> dict[str, Any]:
    """What the chart's template `dagsterUserDeployments.k8sContainerContext` makes of a code location: nothing else."""
    return {
        "k8s": {
            "image_pull_policy": location["image"]["pullPolicy"],
            "env_config_maps": [f"dagster-{location['name']}-user-env"],
            "env_secrets": [one["name"] for one in location["envSecrets"]],
            "volume_mounts": location["volumeMounts"],
            "volumes": location["volumes"],
            "resources": location["resources"],
            "namespace": "threadline",
            "service_account_name": "dagster-user-deployments",
            "env": location["env"],
            "run_k8s_config": {"pod_spec_config": {"automount_service_account_token": True}},
        }
    }


def settings_of_the_launcher(values: dict[str, Any]) -> K8sContainerContext:
    """What the chart's template `dagsterYaml.runLauncher.k8s` writes of `runK8sConfig`, as the launcher reads it."""
    given = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    config = {"pod_spec_config": given["podSpecConfig"], "job_spec_config": given["jobSpecConfig"]}
    return K8sContainerContext(run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(config))


def test_a_step_is_a_job_with_workspace_secrets_and_no_rights(checkout: Path) -> None:
    """The job of a step, as the launcher and the code location together make it: every run's, too."""
    values = manifests(checkout, "dagster-values.yaml")[0]
    location = values["dagster-user-deployments"]["deployments"][0]
    context = settings_of_the_launcher(values).merge(
        K8sContainerContext.create_from_config(context_of_the_chart(location))
    )
    image = f"{location['image']['repository']}:{location['image']['tag']}"
    job = construct_dagster_k8s_job(
        job_config=DagsterK8sJobConfig(image, "/opt/dagster/dagster_home", instance_config_map="dagster-instance"),
        args=["dagster", "api", "execute_step"],
        job_name="dagster-step-masks",
        user_defined_k8s_config=context.run_k8s_config,
        pod_name="dagster-step-masks",
        component="step_worker",
    )
    rendered = ApiClient().sanitize_for_serialization(job)
    kubernetes_validate.validate(rendered, KUBERNETES, strict=True)
    pod = rendered["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["image"] == image
    assert {"name": "THREADLINE_ENGINE", "value": "kubernetes"} in container["env"]
    assert {"secretRef": {"name": "threadline"}} in container["envFrom"]
    assert {"name": "workspace", "mountPath": "/workspace"} in container["volumeMounts"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001}
