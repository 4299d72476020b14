"""Without a terminal long stages are told of now and then; quick ones are not."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from orchestration import progress
from orchestration.cli import output
from orchestration.progress import LineReporter, TerminalReporter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_long_stage_has_a_line_each_half_minute(clock: list[float]) -> None:
    written: list[str] = []
    report = LineReporter(written.append)
    for epoch in range(13):
        clock[0] = 10.0 * epoch
        report("reid_baseline", epoch, 12, f"loss {epoch}")
    assert [line.strip() for line in written] == [
        f"reid_baseline: {epoch} of 12 loss {epoch}" for epoch in (3, 6, 9, 12)
    ]


def test_quick_stages_stay_silent_however_many(clock: list[float]) -> None:
    written: list[str] = []
    report = LineReporter(written.append)
    for stage in range(100):
        clock[0] += 5.0
        report("batch", 0, 1)
        clock[0] += 5.0
        report("batch", 1, 1)
        report(f"other {stage}", 1, 1)
    assert written == []


def test_a_console_that_is_no_terminal_gets_lines_without_control_characters(clock: list[float]) -> None:
    file = io.StringIO()
    with TerminalReporter(Console(file=file, force_terminal=False)) as report:
        report("masks [may]", 0, 2)
        clock[0] = 31.0
        report("masks [may]", 1, 2)
        report("masks [may]", 2, 2)
    assert file.getvalue() == "  masks [may]: 1 of 2\n"


def test_names_in_brackets_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table("[a]", ["[b]"], [["article_dna [spring]"], ["[/x] :heart:"]])
    output.errors.print("failed [/summer]")
    printed = capsys.readouterr()
    assert [line.strip() for line in printed.out.splitlines()] == ["[a]", "[b]", "article_dna [spring]", "[/x] :heart:"]
    assert printed.err == "failed [/summer]\n"


def test_a_bar_names_its_partition() -> None:
    file = io.StringIO()
    with TerminalReporter(Console(file=file, force_terminal=True, width=120)) as report:
        report("masks [may]", 1, 2, "[/x]")
    assert "masks [may]" in file.getvalue()
    assert "[/x]" in file.getvalue()
