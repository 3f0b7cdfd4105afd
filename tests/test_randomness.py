"""Every draw is a pure function of what it is for."""

import torch

from atlpa.randomness import generator, uniform


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
