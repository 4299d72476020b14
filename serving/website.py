"""What browsers get: the page, its sample photos and the API's description. Nothing comes from another host."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from serving.image_files import IMAGE_TYPES, image_file
from serving.problems import Problem
from serving.service import ServiceDep

PAGE = Path(__file__).parent / "page"
_SAMPLES = 12
_FRESH = {"Cache-Control": "no-cache"}


class PageFiles(StaticFiles):
    """The page's scripts and styles, which browsers are to ask about each time: old and new ones do not go together."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        """The file, or that it has not changed."""
        response = super().file_response(*given, **named)
        response.headers.update(_FRESH)
        return response


router = APIRouter(include_in_schema=False)


@router.get("/")
def page() -> FileResponse:
    """The page that searches."""
    return FileResponse(PAGE / "index.html", headers=_FRESH)


@router.get("/docs")
def docs() -> FileResponse:
    """The API's description for people."""
    return FileResponse(PAGE / "docs.html", headers=_FRESH)


@router.get("/samples")
def samples(service: ServiceDep) -> list[str]:
    """The names of the photos that the page offers to try."""
    folder = service.settings.samples
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in IMAGE_TYPES)[:_SAMPLES]


@router.get("/samples/{name}")
def sample(service: ServiceDep, name: str) -> FileResponse:
    """One of them."""
    path = image_file(service.settings.samples, name)
    if path is None:
        raise Problem(HTTPStatus.NOT_FOUND, "not-found", f"there is no sample '{name}'")
    return FileResponse(path, media_type=IMAGE_TYPES[path.suffix.lower()])
