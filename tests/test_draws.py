"""Random numbers by hash: what they depend on, and that they look random."""

import pytest
import torch

from coordflow_mini.draws import below, hashed, key_of, random_bits

LAST = 2**32 - 1


def test_numbers_and_tensors_hash_alike():
    """A tensor's numbers hash as Python's exact integers do, at both ends of the range too."""
    values = [0, 1, 2, 12345, 2**31 - 1, 2**31, LAST - 1, LAST]
    assert hashed(torch.tensor(values)).tolist() == [hashed(value) for value in values]
    assert all(0 <= hashed(value) <= LAST for value in values)


def test_the_hash_loses_nothing():
    """Different numbers have different hashes."""
    assert len(hashed(torch.arange(1 << 20)).unique()) == 1 << 20


def test_every_bit_turns_half_of_all_bits():
    """Changing one bit of a number turns each bit of its hash in 45 to 55 % of cases."""
    values = hashed(torch.arange(4096))
    for bit in range(32):
        turned = hashed(values ^ (1 << bit)) ^ hashed(values)
        shares = torch.stack([(turned >> other & 1).float().mean() for other in range(32)])
        assert shares.min() > 0.45 and shares.max() < 0.55


def test_keys_differ_by_seed_and_step():
    """Seeds of 64 bits and steps give keys of their own."""
    seeds = [0, 1, 2**32, 2**32 + 1, 2**64 - 1]
    keys = {key_of(seed, step) for seed in seeds for step in range(200)}
    assert len(keys) == 1000


@pytest.mark.parametrize("limit", [1, 2, 7, 1000, 2**31])
def test_integers_stay_below_their_limit(limit):
    """From 0 to limit - 1; of a small limit every value comes, about equally often."""
    drawn = below(random_bits(key_of(3, 4), (5, 4000)), limit)
    assert drawn.shape == (5, 4000) and drawn.min() >= 0 and drawn.max() < limit
    if limit <= 7:
        counts = torch.bincount(drawn.flatten(), minlength=limit)
        assert (counts - 20000 / limit).abs().max() < 5 * (20000 / limit) ** 0.5


def test_the_key_may_be_a_number_or_a_tensor():
    """Both draw the same."""
    key = key_of(7, 9)
    assert torch.equal(random_bits(key, (3, 5)), random_bits(torch.tensor(key), (3, 5)))


def test_neighboring_steps_are_unrelated():
    """Numbers of neighboring steps correlate as independent ones would."""
    rows = torch.stack([random_bits(key_of(0, step), (4000,)).double() for step in range(12)])
    correlation = torch.corrcoef(rows) - torch.eye(12, dtype=torch.float64)
    assert correlation.abs().max() < 5 / 4000**0.5
