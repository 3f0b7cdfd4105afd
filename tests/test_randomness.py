"""Every draw is a pure function of what it is for."""

import pytest
import torch

from atlpa.randomness import generator, sample, uniform


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
