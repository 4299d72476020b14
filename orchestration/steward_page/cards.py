"""What the page of a batch shows: a card for each row with a problem, with every reason and where the row stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestration.expectations.verdict import RowProblem
from orchestration.stewardship import BatchAccount

CARDS_A_PAGE = 60

State = Literal["problem", "set aside", "settled", "warning"]
"""Fails and was not accepted; lies in quarantine; was released or delivered again since; is only to be looked at."""


@dataclass(frozen=True)
class Card:
    """A row of a batch with something to say of it. `row` counts from 1, as in a table without its header."""

    table: str
    row: int
    id: str
    image: str
    state: State
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def is_warning(self) -> bool:
        """Whether nothing keeps the row from being accepted."""
        return self.state == "warning"


def cards_of(account: BatchAccount) -> list[Card]:
    """The cards of a batch, those that fail first, in the order of the verdict."""
    rows: dict[tuple[str, int, str], list[RowProblem]] = {}
    for one in account.verdict.rows if account.verdict else ():
        if one.row >= 0:
            rows.setdefault((one.table, one.row, one.id), []).append(one)
    cards = [_card(account, found) for found in rows.values()]
    return sorted(cards, key=lambda card: card.is_warning)


def whole_batch(account: BatchAccount) -> list[str]:
    """What is said of the batch as a whole."""
    return [one.reason for one in (account.verdict.rows if account.verdict else ()) if one.row < 0]


def _card(account: BatchAccount, found: list[RowProblem]) -> Card:
    first = found[0]
    problems = tuple(one.reason for one in found if not one.warning)
    state: State = "warning"
    if problems and account.ledger is None:
        state = "problem"
    elif problems:
        state = "set aside" if first.id in account.set_aside else "settled"
    image = next((one.image for one in found if one.image), "")
    warnings = tuple(one.reason for one in found if one.warning)
    return Card(first.table, first.row + 1, first.id, image, state, problems, warnings)
