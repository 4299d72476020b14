from __future__ import annotations

import numpy as np

from training.samplers import identity_batches, shuffled_batches


def test_every_member_comes_once() -> None:
    batches = shuffled_batches(23, 5, None, np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(23))


def test_no_batch_holds_a_single_member() -> None:
    batches = shuffled_batches(11, 5, None, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [5, 6]


def test_a_limit_draws_other_members_in_other_epochs() -> None:
    one = shuffled_batches(100, 10, 20, np.random.default_rng([1, 0]))
    other = shuffled_batches(100, 10, 20, np.random.default_rng([1, 1]))
    assert sum(map(len, one)) == 20
    assert set(np.concatenate(one).tolist()) != set(np.concatenate(other).tolist())


MEMBERS = [([2 * one], [100 + place for place in range(5 * one, 5 * one + one % 4 + 1)]) for one in range(10)]


def test_batches_are_p_identities_with_k_members_each() -> None:
    for batch in identity_batches(MEMBERS, 4, 3, None, np.random.default_rng(0)):
        identities = {identity for identity, _ in batch}
        assert 2 <= len(identities) <= 4
        for identity in identities:
            own = [member for one, member in batch if one == identity]
            assert len(own) == len(set(own)) == min(3, sum(map(len, MEMBERS[identity])))


def test_an_identity_shows_every_domain_that_it_has() -> None:
    for batch in identity_batches(MEMBERS, 4, 2, None, np.random.default_rng(0)):
        for identity in {identity for identity, _ in batch}:
            domains = {member >= 100 for one, member in batch if one == identity}
            assert domains == {False, True}


def test_every_identity_comes_once_unless_it_would_be_alone() -> None:
    seen = [one for batch in identity_batches(MEMBERS, 3, 1, None, np.random.default_rng(0)) for one, _ in batch]
    assert len(seen) == len(set(seen)) == 9


def test_the_same_generator_gives_the_same_batches() -> None:
    draw = [identity_batches(MEMBERS, 4, 3, None, np.random.default_rng([7, 2])) for _ in range(2)]
    assert draw[0] == draw[1]
