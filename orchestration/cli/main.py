"""The command line `threadline`."""

from __future__ import annotations

import sys

import typer

from contracts.errors import ThreadlineError
from contracts.quiet import nothing_phones_home
from orchestration.cli import demo, graph, run, search, workspace
from orchestration.cli.output import errors

app = typer.Typer(
    name="threadline",
    help="Find the articles of a shop in street photos, and keep that ability current.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(workspace.init)
app.add_typer(workspace.sources, name="import")
app.command("materialize")(graph.materialize)
app.command("status")(graph.status)
app.command("releases")(graph.releases)
app.command("search")(search.search)
app.command("serve")(run.serve)
app.command("up")(run.up)
app.command("demo")(demo.demo)


def main() -> None:
    """Run the command line; a problem that a person can mend is said in words, with exit code 1."""
    nothing_phones_home()
    try:
        app()
    except ThreadlineError as error:
        errors.print(f"[red]Error:[/red] {error.problem}\n  What to do: {error.remedy}", markup=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
