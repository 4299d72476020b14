"""The code server of `threadline up`: where it listens, and what it is loaded anew for. The pipeline starts `up`."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from contracts.files import write_text
from orchestration.code_server import look, server_command, socket_of, write_workspace_file
from orchestration.home import Home


def test_where_it_listens(tmp_path: Path) -> None:
    near = socket_of(Home(tmp_path / ".t"))
    assert near.is_relative_to(tmp_path)
    near.touch()
    assert socket_of(Home(tmp_path / ".t")) == near and not near.exists(), "what a killed one left is gone"
    far = socket_of(Home(tmp_path / ("long" * 30) / ".threadline"))
    assert far.parent.is_dir() and len(os.fsencode(far)) <= 100
    far.parent.rmdir()


def test_dagster_is_told_where_under_the_name_it_always_had(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (entry,) = yaml.safe_load(write_workspace_file(home, tmp_path / "s.sock").read_text())["load_from"]
    assert entry["grpc_server"] == {"socket": str(tmp_path / "s.sock"), "location_name": "orchestration.definitions"}
    assert str(tmp_path / "s.sock") in server_command(tmp_path / "s.sock")


def test_an_edit_of_the_settings_or_of_the_code_is_seen_and_nothing_else(tmp_path: Path, checkout: Path) -> None:
    before = look(tmp_path)
    assert {checkout / "orchestration" / "definitions.py", checkout / "training" / "fit.py"} <= before.keys()
    write_text(tmp_path / "data.dvc", "outs: []\n")
    assert look(tmp_path) == before
    write_text(tmp_path / "threadline.toml", 'preset = "demo"\n')
    first = look(tmp_path)
    assert first != before
    write_text(tmp_path / "threadline.toml", 'preset = "paper"\n')
    assert look(tmp_path) != first
