"""Every draw is a pure function of what it is for."""

import pytest
import torch
from scipy.stats import kstest

from atlpa.randomness import generator, keyed_uniform, keys_of, sample, uniform


def draw(*key):
    return torch.rand(4, generator=generator(*key)).tolist()


def test_same_key_same_draw_and_any_other_key_another():
    keys = [
        (0, "order", 1),
        (1, "order", 0),
        (0, "order", 1, 0),
        (0, "orders", 1),
        (0, "attack", 1),
        (0, "order", 257),
    ]
    draws = [draw(*key) for key in keys]
    assert draws == [draw(*key) for key in keys]
    assert len({tuple(numbers) for numbers in draws}) == len(keys)


def test_uniform_on_any_dtype():
    like = torch.zeros(2, 3, 50, 50, dtype=torch.float64)
    values = uniform(like, 0.3, generator(0, "test"))
    assert values.dtype == torch.float64
    assert -0.3 <= values.min() < -0.29
    assert 0.29 < values.max() <= 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sampler", [torch.rand, torch.randn])
@pytest.mark.parametrize("shape", [(5, 3, 9, 7), (4, 3, 64, 64), (3, 4, 1), (2, 3), (0, 3, 8, 8)])
def test_a_batch_of_draws_is_each_image_own_draw_whatever_its_memory_looks_like(sampler, shape, dtype):
    def sources():
        return [generator(3, "test", number) for number in range(shape[0])]

    expected = [sampler(shape[1:], dtype=dtype, generator=source) for source in sources()]
    likes = [torch.zeros(shape, dtype=dtype)]
    if len(shape) == 4:
        likes.append(likes[0].contiguous(memory_format=torch.channels_last))
    for like in likes:
        found = sample(like, sampler, sources())
        assert found.shape == shape
        assert found.dtype == dtype
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_generators_draw_where_they_are_asked_to(monkeypatch):
    """There is no other device here: what is asked of torch is all that shows."""
    asked, cpu = [], torch.Generator()
    monkeypatch.setattr(torch, "Generator", lambda device: asked.append(str(device)) or cpu)
    assert generator(0, "test", 1, device=torch.device("cuda:1")) is cpu
    generator(0, "test", 1)
    assert asked == ["cuda:1", "cpu"]


def test_keyed_numbers_are_those_of_splitmix64():
    """Against Python's own integers, negative and large keys among them."""
    whole = 2**64

    def mixed(state):
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % whole
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % whole
        return state ^ (state >> 31)

    keys, turns = [0, -5, 2**61 - 3], [0, 3, 1000]
    found = keyed_uniform(torch.tensor(keys), torch.tensor(turns), 2)
    for row, (key, turn) in enumerate(zip(keys, turns, strict=True)):
        for column in range(2):
            state = (key + (2 * turn + column + 1) * 0x9E3779B97F4A7C15) % whole
            assert found[row, column].item() == (mixed(state) >> 11) / 2**53


def test_keyed_numbers_are_uniform_and_do_not_repeat():
    keys = keys_of(torch.zeros(500, 1), torch.Generator().manual_seed(0))
    assert len(keys.unique()) == 500
    numbers = torch.cat([keyed_uniform(keys, torch.full_like(keys, turn), 5) for turn in range(20)])
    assert kstest(numbers.flatten().numpy(), "uniform").pvalue > 0.01
    assert len(numbers.unique()) == numbers.numel()
    for pair in ((numbers[:, 0], numbers[:, 1]), (numbers[:-500, 0], numbers[500:, 0])):  # of a turn, and of two turns
        assert abs(torch.stack(pair).corrcoef()[0, 1]) < 0.05


def test_keys_do_not_depend_on_the_batch():
    draws = [torch.Generator().manual_seed(seed) for seed in range(4)]
    whole = keys_of(torch.zeros(4, 3), draws)
    again = [torch.Generator().manual_seed(seed) for seed in (2, 0)]
    assert torch.equal(keys_of(torch.zeros(2, 3), again), whole[[2, 0]])
