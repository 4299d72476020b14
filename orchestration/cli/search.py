"""`threadline search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.errors import ThreadlineError
from contracts.images import UnreadableImage
from orchestration.cli.output import Json, console, print_json, print_table
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.finding import Answer, Finder
from serving.ordering import Reranking


def search(
    photo: Annotated[Path, typer.Argument(help="A photo: JPEG, PNG, WebP, BMP, GIF or TIFF.")],
    k: Annotated[int, typer.Option("--k", min=1, max=200, help="How many articles.")] = 10,
    category: Annotated[str | None, typer.Option(help="Only articles of this category.")] = None,
    rerank: Annotated[Reranking, typer.Option(help="Rank the closest again, where the release can.")] = "none",
    sheet: Annotated[Path | None, typer.Option(help="Also draw the photo and what was found, as a PNG.")] = None,
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Find the articles of the shop that are worn in a photo, with the release that serves."""
    finder = Finder(open_workspace(workspace))
    try:
        picture = finder.read(photo)
        answer = finder.find(picture, k, category, rerank)
        if sheet is not None:
            finder.draw(sheet, [(photo.name, picture, answer)])
    except UnreadableImage as error:
        raise ThreadlineError(str(error), "give a photo that other programs can open") from error
    finally:
        finder.close()
    if json:
        print_json(_plain(photo, answer))
        return
    rows = [
        [n, hit.article_id, hit.payload["category"], hit.payload["name"], f"{hit.score:.3f}"]
        for n, hit in ranked(answer)
    ]
    print_table(f"{photo} (release {answer.release.version})", ["", "article", "category", "name", "score"], rows)
    if sheet is not None:
        console.print(f"Drawn: {sheet}")


def ranked(answer: Answer) -> list[tuple[int, Any]]:
    """The hits with their ranks, from 1."""
    return list(enumerate(answer.hits, start=1))


def _plain(photo: Path, answer: Answer) -> dict[str, Any]:
    return {
        "photo": str(photo),
        "release": vars(answer.release),
        "results": [
            {
                "article_id": hit.article_id,
                "score": round(hit.score, 4),
                "rerank_score": answer.logits.get(hit.article_id),
                **hit.payload,
            }
            for hit in answer.hits
        ],
    }
