"""The routes of the API."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import FileResponse

from contracts.images import Picture
from contracts.index import ArticleFilter
from serving import problems, search
from serving.answers import Articles, CategoryFound, LookAnswer, PhotoSeen, ReleaseAnswer, SearchAnswer, article
from serving.photos import IMAGE_TYPES, article_image, data_url, decode_photo, read_upload
from serving.problems import Problem
from serving.search import Found, Searcher
from serving.service import Service, ServiceDep

router = APIRouter(prefix="/v1", responses=problems.DOCUMENTED)

Answer = TypeVar("Answer", SearchAnswer, LookAnswer)
Photo = Annotated[UploadFile, File(description="The photo: JPEG, PNG, WebP, BMP, GIF or TIFF.")]
K = Annotated[int, Form(ge=1, le=200, description="How many articles.")]
OneOf = Annotated[str | None, Form(max_length=200)]
Flag = Annotated[bool, Form()]


@router.post("/search")
async def search_photo(
    request: Request,
    service: ServiceDep,
    photo: Photo,
    k: K = 10,
    category: OneOf = None,
    assortment: OneOf = None,
    rerank: Flag = False,
    segmented: Flag = False,
) -> SearchAnswer:
    """Find the articles of a photo. `segmented` adds a small picture of what was searched with."""
    prefix = request.scope.get("root_path", "")
    query = search.Query(k, ArticleFilter(category or None, assortment or None), rerank)

    def work(searcher: Searcher, picture: Picture) -> SearchAnswer:
        if rerank and not searcher.reranks:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no-reranker", "the release that serves has no reranker")
        found = searcher.search(picture, query)
        return SearchAnswer(
            release=searcher.release.version,
            collection=searcher.release.collection,
            took_ms=found.took_ms,
            results=[article(hit, prefix, found.logits) for hit in found.hits],
            **_seen(found, segmented).model_dump(),
        )

    return await _with_photo(service, photo, work)


@router.post("/look")
async def look_at_photo(
    request: Request,
    service: ServiceDep,
    photo: Photo,
    k: K = 5,
    assortment: OneOf = None,
    segmented: Flag = False,
) -> LookAnswer:
    """Find the `k` best articles of each category in a photo."""
    prefix = request.scope.get("root_path", "")

    def work(searcher: Searcher, picture: Picture) -> LookAnswer:
        found, categories = searcher.look(picture, k, assortment or None)
        return LookAnswer(
            release=searcher.release.version,
            collection=searcher.release.collection,
            took_ms=found.took_ms,
            categories=[
                CategoryFound(category=name, results=[article(hit, prefix) for hit in hits])
                for name, hits in categories.items()
            ],
            **_seen(found, segmented).model_dump(),
        )

    return await _with_photo(service, photo, work)


@router.get("/release")
def release(service: ServiceDep) -> ReleaseAnswer:
    """Which release serves."""
    with service.searcher() as searcher:
        return ReleaseAnswer(
            **vars(searcher.release),
            articles=searcher.collection.count(),
            segments=searcher.session.package.segments,
            reranks=searcher.reranks,
            precision=searcher.session.precision,
            loaded_s=searcher.loaded_s,
        )


@router.get("/articles/{article_id:path}/similar")
def similar(
    request: Request,
    service: ServiceDep,
    article_id: str,
    k: Annotated[int, Query(ge=1, le=200)] = 10,
    category: Annotated[str | None, Query(max_length=200)] = None,
    assortment: Annotated[str | None, Query(max_length=200)] = None,
) -> Articles:
    """Find the articles that are closest to an article."""
    prefix = request.scope.get("root_path", "")
    start = time.perf_counter()
    with service.searcher() as searcher:
        hits = searcher.similar(article_id, k, ArticleFilter(category or None, assortment or None))
        if hits is None:
            raise _unknown(article_id)
        return Articles(
            release=searcher.release.version,
            collection=searcher.release.collection,
            took_ms={"search": round((time.perf_counter() - start) * 1000, 2)},
            results=[article(hit, prefix) for hit in hits],
        )


@router.get("/articles/{article_id:path}/image", response_class=FileResponse)
def image(service: ServiceDep, article_id: str) -> FileResponse:
    """The image of an article."""
    with service.searcher() as searcher:
        payload = searcher.collection.payloads([article_id]).get(article_id)
    if payload is None:
        raise _unknown(article_id)
    path = article_image(service.settings.data, payload)
    if path is None:
        raise Problem(HTTPStatus.NOT_FOUND, "no-image", f"the article '{article_id}' has no image here")
    return FileResponse(
        path, media_type=IMAGE_TYPES[path.suffix.lower()], headers={"Cache-Control": "public, max-age=300"}
    )


async def _with_photo(service: Service, photo: UploadFile, work: Callable[[Searcher, Picture], Answer]) -> Answer:
    """What `work` makes of the uploaded photo with the searcher of now, away from the event loop."""
    limits = service.settings.photo_limits
    data = await read_upload(photo, limits.bytes)

    def computed() -> Answer:
        with service.searcher() as searcher:
            start = time.perf_counter()
            picture = decode_photo(data, limits, searcher.photo_size())
            decoded_ms = round((time.perf_counter() - start) * 1000, 2)
            answer = work(searcher, picture)
        answer.took_ms = {"decode": decoded_ms, **answer.took_ms}
        service.metrics.searched(answer.took_ms, answer.person_found)
        return answer

    return await service.workers.run(computed)


def _seen(found: Found, with_picture: bool) -> PhotoSeen:
    mask = found.mask
    return PhotoSeen(
        person_found=None if mask is None else bool(mask.any()),
        person_share=None if mask is None else round(float(mask.mean()), 4),
        segmented=data_url(found.seen) if with_picture else None,
    )


def _unknown(article_id: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "unknown-article", f"no article '{article_id}' is in the release that serves")
