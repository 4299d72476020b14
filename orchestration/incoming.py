"""What is dropped into `incoming/` is judged, and accepted or not, without a command: a sensor and the job it starts.

A delivery is taken once it is whole: its tables can be read, every file they name is there, and nothing has changed for
a moment. One that was rejected since it last changed waits for the steward. Articles go before photos, whose pairs
name them, as long as they can be judged. Nothing is kept but the attempts, for those that end without a verdict; when
they are used up, the delivery waits for the steward too, and for other files in it.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg

from contracts.batches import KINDS, Kind, read_catalogue_batch, read_street_batch
from contracts.errors import ThreadlineError
from contracts.files import digest_of
from orchestration.attempts import Attempt
from orchestration.expectations.verdict import VERDICT, read_verdict
from orchestration.intake import accept, is_being_judged
from orchestration.places import Places
from orchestration.progress import LogReporter
from orchestration.resources import Workspace
from orchestration.runs import held_by_run
from orchestration.stewardship import deliveries

WHO = "automation"
"""Who accepted a batch, in the ledger."""

QUIET_S, PATIENT_S = 5.0, 120.0
"""How long nothing has changed in a delivery that is whole, and in one of which something is missing, to be judged."""

SOON_S = 600.0
"""For how long a delivery that nobody could judge is taken for one that is on its way."""

DELIVERY_TAG = "threadline/delivery"

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


@dataclass(frozen=True)
class Delivery:
    """A batch in `incoming/` that nobody has settled as it is: when it changed last, and a digest of its state."""

    kind: Kind
    batch: str
    changed_s: float
    state: str

    @property
    def label(self) -> str:
        """How people call it."""
        return f"{self.kind}/{self.batch}"


class DeliveryConfig(dg.Config):
    """Which delivery a run judges."""

    kind: str
    batch: str


def unjudged(places: Places) -> list[Delivery]:
    """The deliveries that changed since there was a verdict on them, or that have none; articles first.

    Also those that were accepted, and are there still: their acceptance was cut short, and judging them finishes it.
    """
    found = []
    for kind, batch in deliveries(places):
        changed_ns, state = _state_of(places.delivered(kind, batch))
        report = places.report(kind, batch)
        verdict = report / VERDICT
        if not verdict.is_file() or verdict.stat().st_ctime_ns < changed_ns or read_verdict(report).accepted:
            found.append(Delivery(kind, batch, changed_ns / 1e9, state))
    return found


def to_judge(places: Places, waiting: Sequence[Delivery], now_s: float) -> list[Delivery]:
    """Those of `waiting` (as `unjudged` has them) whose turn it is; `now_s` is in seconds since the epoch."""
    first = [one for one in waiting if one.kind == waiting[0].kind]
    return [
        one
        for one in first
        if now_s - one.changed_s >= (QUIET_S if _is_whole(places, one) else PATIENT_S)
        and not is_being_judged(places, one.kind, one.batch)
    ]


def photos_are_coming(places: Places, now_s: float) -> bool:
    """Whether photos that were delivered lately, or are being judged, will be accepted or rejected soon."""
    street = [one for one in unjudged(places) if one.kind == "street"]
    return any(now_s - one.changed_s < SOON_S or is_being_judged(places, one.kind, one.batch) for one in street)


@dg.op(pool="intake", required_resource_keys={"workspace"})
def judge(context: dg.OpExecutionContext, config: DeliveryConfig) -> None:
    """Reach a verdict on a delivery and, unless it is rejected, accept it; the steward sees to what is set aside."""
    workspace: Workspace = context.resources.workspace
    (kind,) = [known for known in KINDS if known == config.kind]
    with held_by_run(workspace.home, context.run_id, judge.name):
        if not workspace.places.delivered(kind, config.batch).is_dir():
            context.log.info("somebody else has decided meanwhile")
            return
        verdict = accept(workspace.places, kind, config.batch, WHO, LogReporter(context.log.info))
    context.log.info("\n".join(verdict.lines()))


@dg.job
def intake() -> None:
    """Judges one delivery."""
    judge()


@dg.sensor(
    job=intake,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={"workspace"},
)
def incoming(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Watches `incoming/`: each delivery is judged once it is whole."""
    return look(context.resources.workspace, context.instance, context.cursor, time.time())


def look(workspace: Workspace, instance: dg.DagsterInstance, cursor: str | None, now_s: float) -> dg.SensorResult:
    """The runs to ask for now; `cursor` holds the attempts on what is still there."""
    waiting = unjudged(workspace.places)
    there = {one.label for one in waiting}
    noted = [Attempt(**one) for one in json.loads(cursor or "[]")]
    attempts = {str(one.partition): one for one in noted if one.partition in there}
    requests = []
    open_ones = [one for one in waiting if not _is_given_up(workspace, instance, attempts.get(one.label), one)]
    for delivery in to_judge(workspace.places, open_ones, now_s):
        attempt = next_attempt(workspace, attempts.get(delivery.label), delivery, now_s)
        if attempt is not None and not _runs(instance, delivery):
            attempts[delivery.label] = attempt
            requests.append(request(delivery))
    return dg.SensorResult(requests, cursor=json.dumps([asdict(one) for one in attempts.values()]))


def next_attempt(workspace: Workspace, last: Attempt | None, delivery: Delivery, now_s: float) -> Attempt | None:
    """The attempt to note for judging `delivery` now; None where `threadline.toml` says to wait after the last one."""
    policy = workspace.configuration.retries
    if last is None or last.inputs != delivery.state:
        return Attempt(intake.name, delivery.label, delivery.state, 1, now_s, "")
    if not last.may_be_repeated(delivery.state, now_s, policy.most, policy.backoff_s):
        return None
    return Attempt(intake.name, delivery.label, delivery.state, last.count + 1, now_s, "")


def _is_given_up(workspace: Workspace, instance: dg.DagsterInstance, last: Attempt | None, delivery: Delivery) -> bool:
    """Whether `delivery` as it is was tried as often as it may be, and the last try has ended."""
    if last is None or last.inputs != delivery.state or last.count <= workspace.configuration.retries.most:
        return False
    return not _runs(instance, delivery)


def request(delivery: Delivery) -> dg.RunRequest:
    """The run that judges a delivery."""
    config = dg.RunConfig({judge.name: DeliveryConfig(kind=delivery.kind, batch=delivery.batch)})
    return dg.RunRequest(run_config=config, tags={DELIVERY_TAG: delivery.label})


def _runs(instance: dg.DagsterInstance, delivery: Delivery) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(tags={DELIVERY_TAG: delivery.label}, statuses=_UNFINISHED), limit=1))


def _state_of(root: Path) -> tuple[int, str]:
    """When something below `root` changed last, in nanoseconds since the epoch, and a digest of its files as they lie.

    No file is read. The times are those of the inodes, which no copying tool sets.
    """
    found = []
    for path in (root, *root.rglob("*")):
        try:
            stat = path.lstat()
        except FileNotFoundError:
            continue  # taken away meanwhile
        found.append((str(path.relative_to(root)), stat.st_size, stat.st_ctime_ns))
    return max((ctime for _, _, ctime in found), default=0), digest_of(sorted(found))


def _is_whole(places: Places, delivery: Delivery) -> bool:
    """Whether the tables can be read and every file that they name is there."""
    root = places.delivered(delivery.kind, delivery.batch)
    try:
        return all((root / path).exists() for path in _named(delivery.kind, root))
    except (ThreadlineError, OSError, ValueError):
        return False


def _named(kind: Kind, root: Path) -> Iterator[str]:
    if kind == "catalogue":
        yield from (image for one in read_catalogue_batch(root).articles for image in one.images)
    else:
        yield from (path for one in read_street_batch(root).photos for path in (one.image, one.mask) if path)
