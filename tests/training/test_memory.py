"""The memory of vectors holds the newest, and what it holds counts as it should."""

import torch

from training.configs import BackboneConfig, ReidBaselineConfig, Schedule
from training.memory import VectorMemory
from training.reid_batches import Batch
from training.reid_learner import ReidLearner


def numbered(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors (count, 2) that hold their own number, and that number as identity."""
    identity = torch.arange(first, first + count)
    return identity[:, None].float().expand(-1, 2), identity


def test_it_is_empty_at_the_start() -> None:
    vectors, identity = VectorMemory(4, 2).recall()
    assert vectors.shape == (0, 2)
    assert identity.shape == (0,)


def test_the_newest_replace_the_oldest() -> None:
    memory = VectorMemory(4, 2)
    kept: list[int] = []
    for first, count in ((0, 3), (3, 3), (6, 1), (7, 9)):
        memory.keep(*numbered(first, count))
        kept = [*kept, *range(first, first + count)][-4:]
        vectors, identity = memory.recall()
        assert sorted(identity.tolist()) == kept
        assert torch.equal(vectors[:, 0].long(), identity)


def test_without_a_size_nothing_is_kept() -> None:
    memory = VectorMemory(0, 2)
    memory.keep(*numbered(0, 3))
    assert len(memory.recall()[0]) == 0


def test_a_checkpoint_holds_it() -> None:
    memory, restored = VectorMemory(4, 2), VectorMemory(4, 2)
    memory.keep(*numbered(0, 3))
    restored.load_state_dict(memory.state_dict())
    memory.keep(*numbered(3, 2))
    restored.keep(*numbered(3, 2))
    assert torch.equal(memory.recall()[1], restored.recall()[1])


def test_remembered_articles_are_negatives_unless_the_photo_shows_them() -> None:
    config = ReidBaselineConfig(
        (32, 32),
        Schedule(1, 4),
        BackboneConfig(pretrained=False),
        dimension=2,
        identity_weight=0,
        triplet_weight=0,
        center_weight=0,
        contrast_memory=2,
    )
    learner = ReidLearner(config, 1, 4, None)  # type: ignore[arg-type] - nothing is measured here
    shows = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.bool)
    batch = Batch(torch.empty(0), torch.tensor([0, 1, 0, 1]), torch.tensor([True, True, False, False]), shows)
    after = torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 0.0], [0.0, 1.0]])
    learner.eval()

    def loss() -> float:
        return float(learner._contrast(after, batch, batch.ignored_pairs()))

    alone = loss()
    learner.memory.keep(after[:1], torch.tensor([2]))  # the first photo shows it; far from the second
    shown = loss()
    learner.memory.keep(after[:1], torch.tensor([3]))  # no photo shows it, and it looks like the first photo
    unknown = loss()
    assert shown - alone < 0.001
    assert unknown - shown > 0.1
