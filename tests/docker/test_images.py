"""The Dockerfiles and the compose file: valid by their own rules, and nothing in them that is not there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.home import Home
from orchestration.resources import DAGSTER_VARIABLE, VARIABLES
from orchestration.services import Services

DOCKERFILES = ("Dockerfile.serving", "Dockerfile.orchestration")
ONCE = {"buckets"}
"""What ends by itself, and so is not asked for its health."""


@pytest.fixture(scope="module")
def compose(checkout: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((checkout / "docker" / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def test_the_compose_file_follows_its_schema(checkout: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker/compose.yaml"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_everything_that_stays_up_is_asked_for_its_health(compose: dict[str, Any]) -> None:
    own_health = {"code-location", "service"}  # the images say how
    for name, service in compose["services"].items():
        assert name in ONCE | own_health or "healthcheck" in service, name
        assert "build" in service or re.search(r":\S+$|^threadline-", service["image"]), f"{name}: no pinned version"


def test_what_is_waited_for_exists(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services, f"{name} waits for {needed}"
            assert (how["condition"] == "service_completed_successfully") == (needed in ONCE)
            optional = bool(services[needed].get("profiles")) and not service.get("profiles")
            assert optional == (how.get("required") is False), f"{name} waits for {needed}"


def test_mounted_files_and_volumes_exist(compose: dict[str, Any], checkout: Path) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = re.sub(r"\$\{[^}]*\}", "/workspace", volume).split(":")[0]
            if source.startswith("./"):
                assert (checkout / "docker" / source).is_file(), f"{name}: {source}"
            elif not source.startswith("/"):
                assert source in compose["volumes"], f"{name}: {source}"


def test_ports_are_open_on_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 4 and all(port.startswith("127.0.0.1:") for port in ports)


def test_the_services_are_told_with_variables_that_are_read(compose: dict[str, Any]) -> None:
    told = compose["services"]["code-location"]["environment"]
    fields = {field: name for field, name in VARIABLES.items() if name in told}
    assert {"THREADLINE_DAGSTER_URL", "THREADLINE_TRACKING_URI", "QDRANT_URL"} <= set(fields.values())
    named = {name for name in told if name.startswith(("THREADLINE_", "QDRANT_"))}
    assert named == set(fields.values())
    filled = {field: _filled(told[name]) for field, name in fields.items()}
    assert Services.model_validate(filled).engine == "multiprocess"


def test_the_index_is_at_most_a_minor_release_from_its_client(compose: dict[str, Any], checkout: Path) -> None:
    pinned = (checkout / "constraints.txt").read_text(encoding="utf-8")
    (client,) = re.findall(r"^qdrant-client==1\.(\d+)\.", pinned, re.MULTILINE)
    (server,) = re.findall(r":v1\.(\d+)\.\d+$", compose["services"]["qdrant"]["image"])
    assert abs(int(client) - int(server)) <= 1


def test_the_query_log_lies_in_the_workspace(compose: dict[str, Any], checkout: Path) -> None:
    """Where the service writes it is where query_drift reads it."""
    (mounted,) = [one for one in compose["services"]["service"]["volumes"] if "queries" in one]
    source, _, target = re.sub(r"\$\{[^}]*\}", "/workspace", mounted).partition(":")
    assert Path(source) == Home(Path("/workspace/.threadline")).queries
    image = (checkout / "docker" / "Dockerfile.serving").read_text(encoding="utf-8")
    (home,) = re.findall(r"THREADLINE_HOME=(\S+)", image)
    assert Path(target) == Path(home) / "queries"


def test_dagster_keeps_everything_where_the_variable_says(checkout: Path) -> None:
    settings = yaml.safe_load((checkout / "docker" / "dagster.yaml").read_text(encoding="utf-8"))
    assert settings["storage"] == {"postgres": {"postgres_url": {"env": DAGSTER_VARIABLE}}}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_linter_finds_nothing(name: str, checkout: Path) -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("hadolint is not installed for this platform")
    linted = subprocess.run([linter, f"docker/{name}"], cwd=checkout, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_final_stage_builds_nothing_and_is_nobody(name: str, checkout: Path) -> None:
    text = (checkout / "docker" / name).read_text(encoding="utf-8")
    arguments, build, final = re.split(r"^FROM ", text, flags=re.MULTILINE)
    assert re.search(r"^ARG BASE=\S+:\d+\.\d+\.\d+-slim-bookworm$", arguments, re.MULTILINE)
    assert build.startswith("${BASE} AS build") and final.startswith("${BASE}")
    assert "pip install" not in final and "gcc" not in final and "build-essential" not in final
    assert "pip uninstall --yes pip" in build
    assert re.search(r"^USER 10001$", final, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", final, re.MULTILINE)
    assert final.index("USER 10001") < final.index("CMD")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_is_copied_is_there_and_reaches_the_build(name: str, checkout: Path) -> None:
    text = (checkout / "docker" / name).read_text(encoding="utf-8").replace("\\\n", "")
    sources = [
        source for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for source in line.split()[:-1]
    ]
    ignored, *exceptions = (checkout / ".dockerignore").read_text(encoding="utf-8").split()
    assert sources and ignored == "*"
    for source in sources:
        assert (checkout / source).exists()
        assert f"!{source.split('/')[0]}" in exceptions, f"{source} is kept from the build"


def test_the_image_of_the_service_is_what_is_locked_and_no_more(checkout: Path) -> None:
    build = (checkout / "docker" / "Dockerfile.serving").read_text(encoding="utf-8").replace("\\\n", "")
    locks = re.findall(r"--requirement locks/(\S+)\.txt", build)
    assert locks == ["serving", "tracing"]
    assert "torch" not in "".join((checkout / "locks" / f"{name}.txt").read_text(encoding="utf-8") for name in locks)
    for install in re.findall(r"pip install ([^&\n]*)", build):
        assert "--require-hashes" in install or "--no-deps" in install, install


def test_programs_of_dagster_log_json(compose: dict[str, Any]) -> None:
    for name in ("dagster-webserver", "dagster-daemon"):
        assert compose["services"][name]["command"].endswith("--log-format json")


def _filled(value: str) -> str:
    """The value with `${NAME:-default}` as its default, and a password for `${NAME:?…}`."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", re.sub(r"\$\{\w+:\?[^}]*\}", "secret", value))
