"""The manifests follow Kubernetes' schemas, and so do the jobs that steps become with the values of Dagster's chart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job
from kubernetes.client import ApiClient

KUBERNETES = "1.33"
MANIFESTS = ("service.yaml", "steward.yaml", "workspace.yaml")


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


def test_a_step_is_a_job_with_workspace_secrets_and_no_rights(checkout: Path) -> None:
    """What the chart hands to the run launcher as the code location's container context, rendered as a step's job."""
    values = manifests(checkout, "dagster-values.yaml")[0]
    location = values["dagster-user-deployments"]["deployments"][0]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    context = K8sContainerContext.create_from_config(
        {
            "k8s": {
                "image_pull_policy": launcher["imagePullPolicy"],
                "env_vars": [f"{one['name']}={one['value']}" for one in location["env"]],
                "env_secrets": [one["name"] for one in location["envSecrets"]],
                "volumes": location["volumes"],
                "volume_mounts": location["volumeMounts"],
                "resources": location["resources"],
                "run_k8s_config": {
                    "pod_spec_config": {"security_context": location["podSecurityContext"]},
                    "job_spec_config": launcher["runK8sConfig"]["jobSpecConfig"],
                },
            }
        }
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
    assert pod["securityContext"]["runAsNonRoot"]
