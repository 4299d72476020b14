"""The command line `threadline`."""

from __future__ import annotations

import logging
import sys

import typer
from rich.text import Text

from contracts.errors import ThreadlineError, in_words
from contracts.logs import log_to
from contracts.quiet import nothing_phones_home
from orchestration.cli import (
    ablate,
    backup,
    batches,
    clean,
    demo,
    doctor,
    drift,
    evaluate,
    graph,
    importing,
    index,
    location,
    package,
    purge,
    releases,
    reproduce,
    run,
    search,
    worker,
    workspace,
)
from orchestration.cli.output import errors

app = typer.Typer(
    name="threadline",
    help="Find the articles of a shop in street photos, and keep that ability current.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(workspace.init)
app.add_typer(importing.sources, name="import")
app.add_typer(batches.batches, name="batches")
app.command("purge")(purge.purge)
app.command("materialize")(graph.materialize)
app.command("plan")(graph.plan)
app.command("status")(graph.status)
app.add_typer(releases.releases, name="releases")
app.add_typer(index.index, name="index")
app.command("reproduce")(reproduce.reproduce)
app.command("rollback")(releases.rollback)
app.command("unpin")(releases.unpin)
app.command("approve")(releases.approve)
app.command("search")(search.search)
app.add_typer(package.package, name="package")
app.command("evaluate")(evaluate.evaluate)
app.command("evaluate-masks")(evaluate.evaluate_masks)
app.command("ablate")(ablate.ablate)
app.command("drift")(drift.drift)
app.command("doctor")(doctor.doctor)
app.command("clean")(clean.clean)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("serve")(run.serve)
app.command("up")(run.up)
app.command("code-location")(location.code_location)
app.command("metrics")(run.metrics)
app.command("worker")(worker.worker)
app.command("demo")(demo.demo)


def main() -> None:
    """Run the command line; a problem that a person can mend is said in words, with exit code 1."""
    nothing_phones_home()
    log_to(sys.stderr, logging.WARNING)
    try:
        app()
    except (ThreadlineError, OSError) as error:
        told = error if isinstance(error, ThreadlineError) else in_words(error)
        errors.print(Text.assemble(("Error:", "red"), f" {told.problem}\n  What to do: {told.remedy}"))
        sys.exit(1)


if __name__ == "__main__":
    main()
