"""The routes of the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, File, Form, Path, Query, Request, Security, UploadFile
from fastapi.responses import FileResponse, Response
from fastapi.security import HTTPBearer

from contracts.images import Picture
from contracts.index import ArticleFilter
from serving import problems, refusals, search
from serving.answers import (
    ArticleAnswer,
    Articles,
    CategoryFound,
    LookAnswer,
    PhotoSeen,
    ReleaseAnswer,
    SearchAnswer,
    article_of,
    found,
)
from serving.filters import filter_of_form, filter_of_query
from serving.image_files import IMAGE_TYPES, image_file
from serving.ordering import Reranking
from serving.photos import decode_photo, overlay, pixels_of, read_upload
from serving.search import Searcher, Seen
from serving.service import Service, ServiceDep
from serving.stages import Stages
from serving.workers import unless_gone

# The key is checked by a middleware, before the body is read; here it is only part of the description.
KEY = Security(HTTPBearer(auto_error=False, description="Needed where the service is given API keys."))
router = APIRouter(prefix="/v1", tags=["search"], dependencies=[KEY], responses=refusals.KEY)

_CLIENT_GONE = 499
"""The status that nobody gets; nginx counts requests under it whose clients went away."""

Work = TypeVar("Work", SearchAnswer, LookAnswer)
Photo = Annotated[UploadFile, File(description="The photo: JPEG, PNG, WebP, AVIF, BMP, GIF or TIFF.")]
ArticleId = Annotated[str, Path(description="The article's number in the shop.", examples=[refusals.ARTICLE_ID])]
K = Annotated[int, Form(ge=1, le=200, description="How many articles.", examples=[20])]
FormFilter = Annotated[ArticleFilter, Depends(filter_of_form)]
QueryFilter = Annotated[ArticleFilter, Depends(filter_of_query)]
ShowOverlay = Annotated[bool, Form(description="Add the overlay that shows what was segmented.", examples=[True])]


@router.post("/search", response_model=SearchAnswer, responses=refusals.SEARCH)
async def search_photo(
    request: Request,
    service: ServiceDep,
    photo: Photo,
    where: FormFilter,
    k: K = 10,
    rerank: Annotated[
        Reranking, Form(description="See the release's `rerankings`.", examples=["k-reciprocal"])
    ] = "none",
    diversity: Annotated[
        float, Form(ge=0, lt=1, description="0 is the plain order; more: less alike.", examples=[0.3])
    ] = 0.0,
    with_overlay: Annotated[ShowOverlay, Form(alias="overlay")] = False,
) -> Response:
    """Find the articles of a photo, best first."""
    query = search.Query(k, where, rerank, diversity)
    prefix = request.scope.get("root_path", "")

    def work(searcher: Searcher, picture: Picture, stages: Stages) -> SearchAnswer:
        if rerank != "none" and rerank not in searcher.rerankings:
            raise refusals.no_reranker(searcher.rerankings)
        seen = searcher.see(picture, stages)
        answer = searcher.search(seen, query, stages)
        stages.trace.note(release=searcher.release.version, k=k, results=len(answer.hits))
        if service.queries:
            service.queries.note("search", searcher, seen, k, where, answer.hits, stages.took_ms)
        return SearchAnswer(
            **_release(searcher),
            took_ms=stages.took_ms,
            results=[found(hit, prefix, answer.logits) for hit in answer.hits],
            **_seen(seen, with_overlay).model_dump(),
        )

    return await _with_photo(request, service, photo, work)


@router.post("/look", response_model=LookAnswer, responses=refusals.LOOK)
async def look_at_photo(
    request: Request,
    service: ServiceDep,
    photo: Photo,
    where: FormFilter,
    k: Annotated[int, Form(ge=1, le=50, description="How many articles of each category.", examples=[5])] = 5,
    categories: Annotated[
        int, Form(ge=1, le=50, description="How many categories at most, best first.", examples=[8])
    ] = 8,
    with_overlay: Annotated[ShowOverlay, Form(alias="overlay")] = False,
) -> Response:
    """Find the `k` best articles of each of the categories that are nearest to the photo."""
    prefix = request.scope.get("root_path", "")

    def work(searcher: Searcher, picture: Picture, stages: Stages) -> LookAnswer:
        seen = searcher.see(picture, stages)
        best = searcher.look(seen, k, where, categories, stages)
        hits = [hit for each in best.values() for hit in each]
        stages.trace.note(release=searcher.release.version, k=k, results=len(hits))
        if service.queries:
            service.queries.note("look", searcher, seen, k, where, hits, stages.took_ms)
        return LookAnswer(
            **_release(searcher),
            took_ms=stages.took_ms,
            categories=[
                CategoryFound(category=name, results=[found(hit, prefix) for hit in each])
                for name, each in best.items()
            ],
            **_seen(seen, with_overlay).model_dump(),
        )

    return await _with_photo(request, service, photo, work)


@router.get("/release", responses=refusals.LOOKUP)
async def release(service: ServiceDep) -> ReleaseAnswer:
    """Which release serves, and what it has."""

    def work() -> ReleaseAnswer:
        with service.searcher() as searcher:
            return ReleaseAnswer(
                **vars(searcher.release),
                articles=searcher.collection.count(),
                categories=searcher.categories(),
                segments=searcher.session.package.segments,
                rerankings=searcher.rerankings,
                precision=searcher.session.precision,
                loaded_s=searcher.loaded_s,
            )

    return await service.lookups.run(work)


@router.post("/release/refresh", status_code=HTTPStatus.ACCEPTED, responses=refusals.REFRESH)
async def refresh(service: ServiceDep) -> None:
    """Look at the registry now instead of at the next turn. For holders of an API key only."""
    if service.settings.api_keys is None:
        raise problems.no_keys()
    service.follower.wake()


@router.get("/articles/{article_id:path}/similar", responses=refusals.ARTICLE)
async def similar(
    request: Request,
    service: ServiceDep,
    article_id: ArticleId,
    where: QueryFilter,
    k: Annotated[int, Query(ge=1, le=200, description="How many articles.", examples=[20])] = 10,
) -> Articles:
    """Find the articles that are closest to an article."""
    prefix = request.scope.get("root_path", "")
    stages = service.stages()

    def work() -> Articles:
        with service.searcher() as searcher, stages.stage("search"):
            hits = searcher.similar(article_id, k, where)
        if hits is None:
            raise refusals.unknown_article(article_id)
        stages.trace.note(release=searcher.release.version, k=k, results=len(hits))
        results = [found(hit, prefix) for hit in hits]
        return Articles(**_release(searcher), took_ms=stages.took_ms, results=results)

    return await service.lookups.run(work)


@router.get(
    "/articles/{article_id:path}/image",
    response_class=FileResponse,
    responses={**refusals.IMAGE, 200: {"description": "The image", "content": {"image/*": {}}}},
)
async def image(service: ServiceDep, article_id: ArticleId) -> FileResponse:
    """The first image of an article. The headers name the release, as the bodies of other answers do."""

    def work() -> FileResponse:
        with service.searcher() as searcher:
            payload = _payload(searcher, article_id)
        path = image_file(service.settings.data, payload.get("image"))
        if path is None:
            raise refusals.no_image(article_id)
        shared = "public" if service.settings.api_keys is None else "private"
        headers = {
            "Cache-Control": f"{shared}, max-age=300",
            "Threadline-Release": searcher.release.version,
            "Threadline-Collection": searcher.release.collection,
        }
        return FileResponse(path, media_type=IMAGE_TYPES[path.suffix.lower()], headers=headers)

    return await service.lookups.run(work)


@router.get("/articles/{article_id:path}", responses=refusals.ARTICLE)
async def article(request: Request, service: ServiceDep, article_id: ArticleId) -> ArticleAnswer:
    """One article."""
    prefix = request.scope.get("root_path", "")

    def work() -> ArticleAnswer:
        with service.searcher() as searcher:
            described = article_of(article_id, _payload(searcher, article_id), prefix)
            return ArticleAnswer(**_release(searcher), article=described)

    return await service.lookups.run(work)


async def _with_photo(
    request: Request, service: Service, photo: UploadFile, work: Callable[[Searcher, Picture, Stages], Work]
) -> Response:
    """What `work` makes of the uploaded photo with the searcher of now, away from the event loop."""
    limits = service.settings.photo_limits
    data = await read_upload(photo, limits.bytes)
    stages = service.stages()

    def computed() -> bytes:
        with service.searcher() as searcher:
            with stages.stage("decode"), service.decoding.room_for(pixels_of(data), stages.left_s):
                picture = decode_photo(data, limits, searcher.session.photo_size())
            answer = work(searcher, picture, stages)
        with stages.stage("serialise"):
            body = answer.model_dump_json().encode()
        service.metrics.searched(stages.took_ms, answer.person_found)
        return body

    body = await unless_gone(request, service.workers.run(computed))
    if body is None:
        return Response(status_code=_CLIENT_GONE)
    return Response(body, media_type="application/json")


def _release(searcher: Searcher) -> dict[str, str]:
    return {"release": searcher.release.version, "collection": searcher.release.collection}


def _seen(seen: Seen, with_overlay: bool) -> PhotoSeen:
    mask = seen.mask
    if mask is None:
        return PhotoSeen(person_found=None, person_share=None)
    return PhotoSeen(
        person_found=bool(mask.any()),
        person_share=round(float(mask.mean()), 4),
        overlay=overlay(mask) if with_overlay and mask.any() else None,
    )


def _payload(searcher: Searcher, article_id: str) -> Mapping[str, Any]:
    payload = searcher.collection.payloads([article_id]).get(article_id)
    if payload is None:
        raise refusals.unknown_article(article_id)
    return payload
