"""Great Expectations: the checks run over the facts, and their Data Docs. Nothing is sent anywhere."""

from __future__ import annotations

import logging
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from contracts.quiet import nothing_phones_home
from orchestration.expectations.checks import Check
from orchestration.expectations.frames import Frames

INDEX = "place"
"""The column that tells a table's rows apart: their place in it."""

_REMOTE = re.compile(
    r"<script\b.*?</script>|<link[^>]*href=\"https?://[^>]*>"
    r"|<img[^>]*src=\"https?://[^>]*>|url\(['\"]?https?://[^)]*\)",
    re.DOTALL,
)
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data: 'self'; "
    "style-src 'self' 'unsafe-inline'; font-src data: 'self'; base-uri 'none'; form-action 'none'\">"
)
"""No script runs in a page, wherever it is opened: what is shown in it was delivered by others."""

_STYLE = (
    "<style>body{font:15px/1.45 system-ui,sans-serif;margin:2rem;max-width:80rem}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    ".fa-check-circle::before{content:'\u2713';color:#1f5f3b}.fa-times::before{content:'\u2717';color:#9c2b1f}"
    "footer,.modal,.ge-navigation-sidebar-container,"
    ".ge-index-page-site-name-title+div button{display:none}</style></head>"
)


@dataclass(frozen=True)
class Failure:
    """A row of a table of facts that failed a check, and the value that it failed with."""

    check: Check
    place: int
    value: Any


def run_checks(frames: Frames, checks: Sequence[Check], name: str, docs: Path) -> list[Failure]:
    """Run the checks over their tables (those with rows) and build Data Docs at `docs`; what failed, in order."""
    nothing_phones_home()
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    context.delete_data_docs_site("local_site")
    context.add_data_docs_site("report", _site(docs))
    source = context.data_sources.add_pandas("batch")
    failures = []
    for frame_name, frame in frames.items():
        meant = [check for check in checks if check.frame == frame_name]
        if meant and len(frame):
            whole = source.add_dataframe_asset(frame_name).add_batch_definition_whole_dataframe("all")
            suite = context.suites.add(gx.ExpectationSuite(f"{name} {frame_name}"))
            failures += _validate(context, suite, whole, frame, meant)
    with _every_page_written(docs):
        context.build_data_docs()
    _keep_local(docs)
    _write_index(docs, name, failures)
    return failures


def _validate(context: Any, suite: Any, whole: Any, frame: pd.DataFrame, checks: Sequence[Check]) -> list[Failure]:
    import great_expectations as gx

    for number, check in enumerate(checks):
        suite.add_expectation(_expectation(check, number))
    definition = gx.ValidationDefinition(name=suite.name, data=whole, suite=suite)
    checkpoint = gx.Checkpoint(
        name=suite.name,
        validation_definitions=[context.validation_definitions.add(definition)],
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [INDEX, "row", "id"]},
    )
    counted = frame["row"] + (frame["row"] >= 0)  # from 1, as everywhere that people read
    placed = frame.assign(row=counted, **{INDEX: range(len(frame))})
    run = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": placed})
    (result,) = run.run_results.values()
    failures = []
    for one in result.results:
        check = checks[one.expectation_config.meta["check"]]
        if one.exception_info.get("raised_exception"):
            raise RuntimeError(f"the check of {check.frame}.{check.column} failed: {one.exception_info}")
        for found in one.result.get("unexpected_index_list") or ():
            place = int(found[INDEX])
            failures.append(Failure(check, place, frame[check.column].iloc[place]))
    return failures


def _expectation(check: Check, number: int) -> Any:
    from great_expectations.expectations.core import (
        expect_column_values_to_be_between,
        expect_column_values_to_be_in_set,
        expect_column_values_to_be_null,
        expect_column_values_to_be_unique,
        expect_column_values_to_match_regex,
    )

    kinds: dict[str, Any] = {
        "unique": expect_column_values_to_be_unique.ExpectColumnValuesToBeUnique,
        "empty": expect_column_values_to_be_null.ExpectColumnValuesToBeNull,
        "one_of": expect_column_values_to_be_in_set.ExpectColumnValuesToBeInSet,
        "between": expect_column_values_to_be_between.ExpectColumnValuesToBeBetween,
        "like": expect_column_values_to_match_regex.ExpectColumnValuesToMatchRegex,
    }
    severity = "warning" if check.warning else "critical"
    return kinds[check.rule](column=check.column, meta={"check": number}, severity=severity, **check.arguments)


@contextmanager
def _every_page_written(docs: Path) -> Iterator[None]:
    """Raise what kept a page from being written: Great Expectations only logs it, and goes on without the page."""
    kept_from: list[BaseException] = []

    def heard(record: logging.LogRecord) -> bool:
        error = sys.exc_info()[1]
        if error is not None:
            kept_from.append(error)
        return error is None

    logger = logging.getLogger("great_expectations.render.renderer.site_builder")
    logger.addFilter(heard)
    try:
        yield
    finally:
        logger.removeFilter(heard)
    for error in kept_from:
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(docs)) from error
        raise error


def _site(docs: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "site_section_builders": {
            "validations": {
                "view": {
                    "module_name": "orchestration.expectations.data_docs_view",
                    "class_name": "EscapingPageView",
                }
            }
        },
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
    }


def _write_index(docs: Path, name: str, failures: Sequence[Failure]) -> None:
    """A first page that lists the others: the one that Great Expectations makes needs scripts from elsewhere."""
    lines = []
    for page in sorted(docs.glob("validations/**/*.html")):
        table = page.stem.removeprefix("batch-")
        of_table = [failure.check.warning for failure in failures if failure.check.frame == table]
        found = f"{of_table.count(False):,} problems, {of_table.count(True):,} warnings"
        lines.append(f'<li><a href="{quote(page.relative_to(docs).as_posix())}">{escape(table)}</a>: {found}</li>')
    title = escape(f"Data Docs: {name}")
    head = f"<!doctype html><html lang='en'><head>{_POLICY}<meta charset='utf-8'><title>{title}</title>{_STYLE}"
    body = (
        f"<body><h1>{title}</h1><p>The facts of the batch, table by table.</p><ul>{''.join(lines)}</ul></body></html>"
    )
    (docs / "index.html").write_text(head + body, encoding="utf-8")


def _keep_local(docs: Path) -> None:
    """Take everything out of the pages that a browser would fetch from elsewhere, and the scripts that need it."""
    for page in docs.rglob("*.html"):
        text = _REMOTE.sub("", page.read_text(encoding="utf-8"))
        text = text.replace("<head>", f"<head>{_POLICY}", 1)
        page.write_text(text.replace("</head>", _STYLE, 1), encoding="utf-8")
    shutil.rmtree(docs / "static" / "fonts", ignore_errors=True)
