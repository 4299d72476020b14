"""Scores as tables, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestration.evaluation import Evaluation, Score
from orchestration.intervals import Interval
from orchestration.mask_evaluation import MaskEvaluation, MaskScore
from training.metrics import RANKS

Rows = list[list[str]]


@dataclass(frozen=True)
class Table:
    """A table with the paragraph that says how it was measured."""

    title: str
    explanation: str
    columns: list[str]
    rows: Rows

    def as_markdown(self) -> str:
        """The table as a section of a Markdown page."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        drawn = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return f"## {self.title}\n\n{self.explanation}\n\n{drawn}\n"


SCORE_COLUMNS = ["queries", "without a match", "gallery", *(f"Acc@{k}" for k in RANKS), "mAP", "rank percentile"]

_PROTOCOL = (
    "A query is a whole photo, without a box. Acc@k is the share of queries with a right article among the first k, "
    "mAP the mean average precision over all right articles, rank percentile the mean place of a right article in the "
    "gallery (0 % is the front; lower is better). In brackets: 95 % bootstrap intervals over queries."
)


def score_cells(score: Score) -> list[str]:
    """The cells of a score below `SCORE_COLUMNS`."""
    if not score.queries:
        return ["0", str(score.skipped), str(score.gallery), *["none"] * (len(RANKS) + 2)]
    shares = [_percent(score.acc[k], score.intervals.get(f"acc_{k}")) for k in RANKS]
    mean_ap = _number(score.mean_ap, score.intervals.get("map"))
    place = _percent(score.rank_percentile, score.intervals.get("rank_percentile"))
    return [str(score.queries), str(score.skipped), str(score.gallery), *shares, mean_ap, place]


def score_rows(score: Score) -> Rows:
    """A row for each figure: its name, value and interval; none without queries."""
    if not score.queries:
        return []
    rows = [[f"Acc@{k}", _percent(score.acc[k]), _percents(score.intervals[f"acc_{k}"])] for k in RANKS]
    rows.append(["mAP", _number(score.mean_ap), _numbers(score.intervals["map"])])
    return [*rows, ["rank percentile", _percent(score.rank_percentile), _percents(score.intervals["rank_percentile"])]]


def mask_rows(score: MaskScore) -> Rows:
    """A row for each figure: its name, value and interval."""
    named = {"mean IoU": "iou", "IoU, 5th percentile": "iou_p5", "boundary F at 3 px": "boundary_f"}
    rows = [[name, _number(vars(score)[key]), _numbers(score.intervals[key])] for name, key in named.items()]
    return [*rows, ["milliseconds a photo", f"{score.milliseconds:.1f}", ""]]


def retrieval_tables(evaluations: Sequence[Evaluation]) -> list[Table]:
    """The tables of a report; those that would say nothing are left out."""
    tables = [
        Table(
            "Accuracy",
            f"{_PROTOCOL} The gallery is every article with a pair, of any split and category, one vector each.",
            ["package", "queries of", *SCORE_COLUMNS],
            [[e.method, group, *score_cells(s)] for e in evaluations for group, s in e.scores.items()],
        ),
        Table(
            "Articles and single images",
            "The same test queries, against one vector an article (the centroid, or its pooled images), and against "
            "every single image of every article, where each image of a right article is right. The two mAP are not "
            "comparable: there are more right items in the second.",
            ["package", "gallery of", *SCORE_COLUMNS],
            [
                [e.method, level, *score_cells(score)]
                for e in evaluations
                if e.single_images is not None
                for level, score in (("articles", e.scores["test"]), ("single images", e.single_images))
            ],
        ),
        categories(evaluations),
        cross_dataset(evaluations),
        reranking(evaluations),
    ]
    return [table for table in tables if table.rows]


def categories(evaluations: Sequence[Evaluation]) -> Table:
    """Each package by category: in the whole gallery, and in the category's own."""
    rows = []
    for evaluation in evaluations:
        for name, within in evaluation.within_category.items():
            merged = evaluation.by_category[name]
            rows.append([evaluation.method, name, str(within.queries), *_short_cells(merged), *_short_cells(within)])
    figures = ["Acc@1", "Acc@20", "mAP"]
    return Table(
        "By category",
        "A photo is searched once for each category of its articles, of which only those of the category are right: "
        "in the merged gallery of all categories, and within the category, as if it were given. 'all' joins the "
        "queries of every category; its gallery is the average one.",
        ["package", "category", "queries", "merged gallery", *figures, "within the category", *figures],
        rows,
    )


def cross_dataset(evaluations: Sequence[Evaluation]) -> Table:
    """Acc@1 and Acc@20 of each package on the test queries of each batch."""
    batches = sorted({batch for e in evaluations for batch in e.batches})
    rows = []
    for evaluation in evaluations:
        cells = [_one_and_twenty(evaluation.batches.get(batch)) for batch in batches]
        if batches:
            rows.append([evaluation.method, *cells])
    return Table(
        "Trained here, tested on each batch",
        "Acc@1 / Acc@20 on the test queries that came in each batch, against the whole gallery. Every package of this "
        "workspace learnt from the training side of all its batches; a package of another workspace, brought here or "
        "measured there with `threadline evaluate`, gives the rows that were trained elsewhere.",
        ["package", *batches],
        rows,
    )


def reranking(evaluations: Sequence[Evaluation]) -> Table:
    """What k-reciprocal re-ranking adds to each package."""
    return Table(
        "k-reciprocal re-ranking",
        "mAP on the validation queries as they are, and with the closest 100 articles ranked again. The service offers "
        "this ranking where the 95 % interval of the gain lies above 0.",
        ["package", "queries", "mAP", "mAP, ranked again", "gain, 95 % interval"],
        [
            [e.method, str(gain.queries), _number(gain.plain), _number(gain.reranked), _gained((gain.low, gain.high))]
            for e in evaluations
            if (gain := e.k_reciprocal) is not None
        ],
    )


def mask_table(evaluation: MaskEvaluation) -> Table:
    """The table of a segmentation model."""
    return Table(
        "Person masks",
        "Photos with a true mask that no training saw, each segmented by the package at its own resolution. In "
        "brackets: 95 % bootstrap intervals over photos. The time is from the decoded picture to the mask, one photo "
        "at a time, median.",
        ["package", "photos of", "photos", "mean IoU", "IoU, 5th percentile", "boundary F at 3 px", "ms a photo"],
        [[evaluation.method, split, *_mask_cells(score)] for split, score in evaluation.scores.items()],
    )


def _short_cells(score: Score) -> list[str]:
    """Gallery, Acc@1, Acc@20 and mAP."""
    shares = [_percent(score.acc[k], score.intervals.get(f"acc_{k}")) for k in (1, 20)]
    return [str(score.gallery), *shares, _number(score.mean_ap, score.intervals.get("map"))]


def _mask_cells(score: MaskScore) -> list[str]:
    figures = (("iou", score.iou), ("iou_p5", score.iou_p5), ("boundary_f", score.boundary_f))
    cells = [_number(value, score.intervals[name]) for name, value in figures]
    return [str(score.photos), *cells, f"{score.milliseconds:.1f}"]


def _one_and_twenty(score: Score | None) -> str:
    if score is None or not score.queries:
        return "none"
    return f"{100 * score.acc[1]:.1f} % / {100 * score.acc[20]:.1f} % of {score.queries}"


def _percent(value: float, interval: Interval | None = None) -> str:
    return f"{100 * value:.1f} %" + (f" ({_percents(interval)})" if interval else "")


def _number(value: float, interval: Interval | None = None) -> str:
    return f"{value:.3f}" + (f" ({_numbers(interval)})" if interval else "")


def _gained(interval: Interval) -> str:
    return f"{interval[0]:+.3f} to {interval[1]:+.3f}"


def _percents(interval: Interval) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _numbers(interval: Interval) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
