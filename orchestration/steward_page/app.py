"""The pages and forms of the steward's page. Every decision is made by `orchestration.stewardship`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from contracts.batches import KINDS, Kind, inside, may_name_batch
from contracts.errors import ThreadlineError
from orchestration import stewardship
from orchestration.expectations.verdict import DATA_DOCS
from orchestration.person import you
from orchestration.places import Places
from orchestration.progress import Reporter
from orchestration.steward_page.cards import CARDS_A_PAGE, cards_of, whole_batch
from orchestration.steward_page.desk import Desk
from orchestration.steward_page.pictures import thumbnail
from orchestration.steward_page.protection import OnlyFromHere, check_token, new_token

_HERE = Path(__file__).parent
_SEARCH_PAGE = _HERE.parent.parent / "serving" / "page"
_FILES = (_HERE / "steward.css", _SEARCH_PAGE / "colours.css", _SEARCH_PAGE / "icon.svg")
"""What the pages look like: their own style sheet, and the colours and the icon of the search page."""

_REPORT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".png": "image/png",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
}
WAITING = ("delivered", "rejected", stewardship.WAITS_AGAIN)
"""The states of a batch of which something lies in `incoming/`."""

_WAIT_S = 1.5
"""How long a form waits for its decision before the page shows how far it is."""

Decide = Callable[[Places, Kind, str, FormData, Reporter], str]


class StewardPage:
    """The page of one workspace; `app` serves it."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._desk = Desk()
        self._token = new_token()
        loader = FileSystemLoader(_HERE / "templates")
        self._templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        self._templates.filters["path"] = partial(quote, safe="")
        batch = "/batches/{kind}/{batch}"
        self.app = Starlette(
            routes=[
                Route("/", self.batches),
                *(Route(f"/{path.name}", partial(_file, path)) for path in _FILES),
                Route(batch, self.batch),
                Route(f"{batch}/picture", self.picture),
                Route(f"{batch}/to-correct.csv", self.corrections),
                Route(f"{batch}/report/{{path:path}}", self.report),
                *(Route(f"{batch}/{name}", self._form(decide), methods=["POST"]) for name, decide in DECISIONS.items()),
            ],
            middleware=[Middleware(OnlyFromHere)],
            exception_handlers={ThreadlineError: self.refused, HTTPException: self.not_found},
        )

    # what is shown

    def batches(self, request: Request) -> Response:
        """Every batch, those that wait for somebody first."""
        accounts = stewardship.list_batches(self._places)
        groups = {
            "Waiting for a decision": [one for one in accounts if one.state in WAITING],
            "Accepted, with rows set aside": [one for one in accounts if one.state == "accepted" and one.set_aside],
            "Accepted": [one for one in reversed(accounts) if one.state == "accepted" and not one.set_aside],
            "Turned away": [one for one in accounts if one.state == "turned away"],
        }
        misplaced = stewardship.misplaced(self._places)
        return self._page("batches.html", groups=groups, misplaced=misplaced, workspace=self._places.root)

    def batch(self, request: Request) -> Response:
        """A batch: where it stands, its pictures with a problem and the reasons, and what can be decided."""
        kind, name = _named(request)
        account = stewardship.show_batch(self._places, kind, name)
        cards = cards_of(account)
        pages = max(1, -(-len(cards) // CARDS_A_PAGE))
        asked = request.query_params.get("page", "1")
        number = min(max(int(asked), 1), pages) if asked.isdecimal() and len(asked) < 9 else 1
        return self._page(
            "batch.html",
            account=account,
            waits_again=account.state == stewardship.WAITS_AGAIN,
            cards=cards[(number - 1) * CARDS_A_PAGE : number * CARDS_A_PAGE],
            problems=sum(not card.is_warning for card in cards),
            warnings=sum(card.is_warning for card in cards),
            notes=whole_batch(account),
            number=number,
            pages=pages,
            work=self._desk.latest((kind, name)),
            has_docs=(self._places.report(kind, name) / DATA_DOCS / "index.html").is_file(),
            you=you(),
        )

    def picture(self, request: Request) -> Response:
        """A picture of a batch, small and encoded anew: what was delivered never reaches the browser as it is."""
        kind, name = _named(request)
        found = thumbnail(self._places, kind, name, request.query_params.get("of", ""))
        return Response(found, media_type="image/png" if found.startswith(b"\x89PNG") else "image/jpeg")

    def corrections(self, request: Request) -> Response:
        """What to correct, for whoever delivered the batch."""
        kind, name = _named(request)
        verdict = stewardship.show_batch(self._places, kind, name).verdict
        if verdict is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no verdict on {kind}/{name} yet")
        disposition = {"Content-Disposition": f'attachment; filename="{kind}-{name}-to-correct.csv"'}
        return Response(stewardship.corrections(verdict), media_type="text/csv", headers=disposition)

    def report(self, request: Request) -> Response:
        """A file of the report on a batch: Data Docs and the contact sheet."""
        kind, name = _named(request)
        root, path = self._places.report(kind, name), request.path_params["path"]
        file = inside(root, path)
        if file.suffix not in _REPORT_TYPES or not file.resolve().is_relative_to(root.resolve()) or not file.is_file():
            raise HTTPException(HTTPStatus.NOT_FOUND, f"the report on {kind}/{name} has no {path}")
        return FileResponse(file, media_type=_REPORT_TYPES[file.suffix])

    # what goes wrong

    def refused(self, request: Request, error: Exception) -> Response:
        """A refusal, with what to do."""
        assert isinstance(error, ThreadlineError)
        page = self._page("problem.html", problem=error.problem, remedy=error.remedy)
        page.status_code = HTTPStatus.NOT_FOUND if request.method == "GET" else HTTPStatus.CONFLICT
        return page

    def not_found(self, request: Request, error: Exception) -> Response:
        """A page that there is not, or a form that did not come from here."""
        assert isinstance(error, HTTPException)
        page = self._page("problem.html", problem=error.detail, remedy="")
        page.status_code = error.status_code
        return page

    def _page(self, template: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(token=self._token, **values))

    def _form(self, decide: Decide) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a form: the decision is begun, and the page of its batch says what becomes of it."""

        async def submitted(request: Request) -> Response:
            kind, name = _named(request)
            form = await request.form()
            check_token(form, self._token)
            work = self._desk.begin((kind, name), partial(decide, self._places, kind, name, form))
            await run_in_threadpool(work.finished.wait, _WAIT_S)
            return RedirectResponse(f"/batches/{kind}/{name}", HTTPStatus.SEE_OTHER)

        return submitted


def _file(path: Path, request: Request) -> Response:
    return FileResponse(path)


def _named(request: Request) -> tuple[Kind, str]:
    """The kind and name of the batch in the address."""
    given, name = request.path_params["kind"], request.path_params["batch"]
    for kind in KINDS:
        if kind == given and may_name_batch(name):
            return kind, name
    raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no batch {given}/{name}")


def _accept(places: Places, kind: Kind, batch: str, form: FormData, report: Reporter) -> str:
    verdict = stewardship.accept_delivered(places, kind, batch, _text(form, "who"), _text(form, "reason"), report)
    return f"{verdict.status.replace('_', ' ').capitalize()}."


def _release(places: Places, kind: Kind, batch: str, form: FormData, report: Reporter) -> str:
    ids = [str(one) for one in form.getlist("id")]
    if not ids and "all" not in form:
        raise ThreadlineError("no row was chosen", "tick the rows to release, or release all of them")
    chosen = () if "all" in form else ids
    verdict = stewardship.release_rows(places, kind, batch, _text(form, "who"), _text(form, "reason"), chosen, report)
    return f"Released as {kind}/{verdict.batch}."


def _reject(places: Places, kind: Kind, batch: str, form: FormData, report: Reporter) -> str:
    kept = stewardship.turn_away(places, kind, batch, _text(form, "who"), _text(form, "reason"))
    return f"Turned away. It is kept at {kept.relative_to(places.root)}."


def _text(form: FormData, name: str) -> str:
    return str(form.get(name, "")).strip()


DECISIONS: dict[str, Decide] = {"accept": _accept, "release": _release, "reject": _reject}
