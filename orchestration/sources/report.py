"""What an importer took, mapped and left out."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contracts.errors import ThreadlineError
from contracts.files import replacing

EXAMPLES_KEPT = 5


@dataclass(frozen=True, slots=True)
class Example:
    """One thing that was left out: the file it stood in, its line there (None outside tables), and what was wrong."""

    file: str
    row: int | None
    detail: str


@dataclass
class ImportReport:
    """The account of one import, filled in as it goes.

    `taken` counts what was written, by sort ("articles", "photos", …). `mapped` counts the categories that were
    renamed, by (from, to). `counts` holds further counts under a title ("worn"). `left_out` counts what was not taken,
    by reason; `examples` holds the first few of each reason, `all_left_out` everything with its reason.
    """

    source: str
    taken: Counter[str] = field(default_factory=Counter)
    mapped: Counter[tuple[str, str]] = field(default_factory=Counter)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    all_left_out: list[tuple[str, Example]] = field(default_factory=list)

    def leave_out(self, reason: str, file: str, row: int | None = None, detail: str = "") -> None:
        """Count something that was not taken. `reason` groups, `detail` tells this one apart."""
        self.left_out[reason] += 1
        one = Example(file, row, detail)
        self.all_left_out.append((reason, one))
        kept = self.examples.setdefault(reason, [])
        if len(kept) < EXAMPLES_KEPT:
            kept.append(one)

    def require(self, count: int, path: Path) -> None:
        """Raise ThreadlineError, with the commonest reasons, when nothing of `path` could be taken."""
        if count == 0:
            reasons = "; ".join(self._told(reason) for reason, _ in self.left_out.most_common(3)) or "it has no rows"
            raise ThreadlineError(f"nothing of {path} could be taken: {reasons}", "correct the table, or what it names")

    def _told(self, reason: str) -> str:
        """A reason with how often it counted and where it did first."""
        first = self.examples[reason][0]
        place = first.file if first.row is None else f"{first.file} line {first.row}"
        return f"{reason} ({self.left_out[reason]:,}; {place}{': ' if first.detail else ''}{first.detail})"

    def share_left_out(self) -> float:
        """What was left out, as a share of it and the most that was taken of one sort."""
        left_out = self.left_out.total()
        return left_out / (left_out + max(self.taken.values(), default=0)) if left_out else 0.0

    def write_left_out(self, path: Path) -> None:
        """Write everything that was left out to the CSV `path`; without anything, there is no such file."""
        if not self.all_left_out:
            path.unlink(missing_ok=True)
            return
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["file", "line", "reason", "detail"])
        for reason, one in self.all_left_out:
            writer.writerow([one.file, "" if one.row is None else one.row, reason, one.detail])
        with replacing(path) as temporary:
            temporary.write_bytes(text.getvalue().encode("utf-8", "backslashreplace"))

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "source": self.source,
            "taken": dict(self.taken),
            "mapped": [{"from": old, "to": new, "count": n} for (old, new), n in sorted(self.mapped.items())],
            "counts": {title: dict(counter.most_common()) for title, counter in self.counts.items()},
            "left_out": [
                {"reason": reason, "count": count, "examples": [asdict(one) for one in self.examples[reason]]}
                for reason, count in self.left_out.most_common()
            ],
        }

    def lines(self) -> list[str]:
        """The report as lines for a terminal."""
        taken = ", ".join(f"{count:,} {sort}" for sort, count in self.taken.items()) or "nothing"
        lines = [f"{self.source}: took {taken}"]
        lines += [
            f"  category '{old}' taken as '{new}': {count:,}" for (old, new), count in sorted(self.mapped.items())
        ]
        for title, counter in self.counts.items():
            lines.append(f"  {title}: " + ", ".join(f"{name} {count:,}" for name, count in counter.most_common()))
        for reason, count in self.left_out.most_common():
            lines.append(f"  left out, {reason}: {count:,}")
            lines += [f"    {_place(one)}" for one in self.examples[reason]]
        return lines


def _place(example: Example) -> str:
    line = f", line {example.row}" if example.row is not None else ""
    return f"{example.file}{line}" + (f": {example.detail}" if example.detail else "")
