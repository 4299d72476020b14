"""`threadline ablate`: what each part of a model is worth, on the workspace's own pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from contracts.files import write_text
from orchestration.cli.output import console, errors
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.progress import TerminalReporter


def ablate(
    model: Annotated[Literal["reid_baseline", "studio2shop"], typer.Argument(help="The model.")],
    out: Annotated[Path | None, typer.Option("--out", help="Also write the table to this Markdown file.")] = None,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", help="Only this one beside the base ('as configured'). Repeatable.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="At most so many epochs each.")] = None,
    per_epoch: Annotated[int | None, typer.Option("--per-epoch", min=8, help="So many members an epoch.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Train each so often, to see how far it differs.")] = 1,
    workspace: WorkspaceOption = None,
) -> None:
    """Train a model as the workspace configures it, and with one part at a time out or in; a table of the difference.

    Figures are of the validation split, so that nothing is chosen by the test split. It can be interrupted: what was
    trained is kept. How far a model differs from seed to seed: --variant "as configured" --seeds 3.
    """
    from orchestration.ablating import ablate as run_ablation
    from orchestration.ablating import choose_variants
    from training.ablation import ablation_table

    opened = open_workspace(workspace)
    variants = choose_variants(opened, model, variant or [], epochs, per_epoch)
    with TerminalReporter(errors) as reporter:
        table = ablation_table(run_ablation(opened, model, variants, seeds, reporter))
    if out is not None:
        write_text(out, table)
    console.print(table)
