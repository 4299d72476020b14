"""`threadline demo`: the main job from end to end on the bundled sample."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from contracts.images import Picture
from orchestration import dvc_data
from orchestration.candidates import MATCHING
from orchestration.cli.accuracy import show_accuracy
from orchestration.cli.graph import bring_up_to_date
from orchestration.cli.output import console, errors, print_table
from orchestration.cli.search import ranked
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.finding import Answer, Finder
from orchestration.report import read_report
from orchestration.resources import Workspace
from orchestration.workspace_tables import read_looks

FLOOR = 0.60
"""The Acc@1 on unseen garments that every trained package must reach."""


def demo(
    workspace: WorkspaceOption = None,
    remote: Annotated[str | None, typer.Option(help="The DVC remote of the sample.")] = "sample",
) -> None:
    """Pull the sample, train everything, release, search three photos, and show how good it is.

    Exit code 3 when something failed, 4 when a trained package finds too little.
    """
    found = open_workspace(workspace)
    console.print("Pulling the sample …")
    dvc_data.pull(found.root, remote)
    if bring_up_to_date(found).failed:
        raise typer.Exit(3)
    sheet = found.home.report / "demo.png"
    _search_three(found, sheet)
    evaluations = read_report(found.home)
    show_accuracy(evaluations)
    console.print(
        f"\nLook at\n  {sheet}\n  {found.home.report / 'report.md'}\n"
        "Go on with\n  threadline serve      the search page at http://127.0.0.1:8000/\n"
        "  threadline up         that page, the steward's (port 8001), Dagster (3000) and MLflow (5000) together\n"
        "  threadline status     what serves, and what is out of date"
    )
    weak = [e.method for e in evaluations if e.method in MATCHING and e.scores["test"].acc[1] < FLOOR]
    if weak:
        errors.print(Text.assemble((f"Acc@1 is below {FLOOR:.0%}:", "red"), f" {', '.join(weak)}"))
        raise typer.Exit(4)


def _search_three(workspace: Workspace, sheet: Path) -> None:
    """Search three photos that no training saw, print what was found, and draw the sheet."""
    tests = [p for p in read_looks(workspace, "look_set").photos if p.split == "test" and p.domain == "street"]
    chosen = random.Random(1).sample(tests, 3)
    finder = Finder(workspace)
    answers: list[tuple[str, Picture, Answer]] = []
    try:
        for photo in chosen:
            picture = finder.read(workspace.data / photo.image)
            answer = finder.find(picture, 10)
            answers.append((photo.photo_id, picture, answer))
            rows = [
                [
                    n,
                    hit.article_id,
                    hit.payload["name"],
                    f"{hit.score:.3f}",
                    "worn" if hit.article_id in photo.articles else "",
                ]
                for n, hit in ranked(answer)[:5]
            ]
            print_table(
                f"\n{photo.photo_id} (release {answer.release.version})", ["", "article", "name", "score", ""], rows
            )
        finder.draw(sheet, answers, [set(photo.articles) for photo in chosen])
    finally:
        finder.close()
