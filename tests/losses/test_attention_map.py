"""Eq. 4 against hand-computed values, a brute-force loop, its bounds and finite differences."""

import math

import pytest
import torch

from atlpa.losses import attention_map, attention_map_loss


def stage(seed, channels=3, side=4):
    return torch.randn(5, channels, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_map_by_hand():
    features = torch.tensor([[[[1.0, -2.0]], [[3.0, 0.0]]]])  # two channels, one row of two places
    assert attention_map(features).tolist() == [[[10.0, 4.0]]]
    assert attention_map(features, p=1).tolist() == [[[4.0, 2.0]]]


def test_loss_by_hand():
    clean = torch.tensor([[[[math.sqrt(3.0), 2.0]]]], dtype=torch.float64)  # Q = (3, 4), normalized (0.6, 0.8)
    adversarial = torch.tensor([[[[1.0, 0.0]]]], dtype=torch.float64)  # Q = (1, 0)
    assert attention_map_loss([clean], [adversarial]).item() == pytest.approx(math.hypot(0.4, 0.8), abs=1e-12)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_against_a_loop(p):
    clean, adversarial = [stage(1), stage(2, 6, 2)], [stage(3), stage(4, 6, 2)]
    for image in range(5):
        expected = 0.0
        for o, a in zip(clean, adversarial, strict=True):
            maps = []
            for features in (o[image], a[image]):
                side = features.shape[-1]
                q = [sum(abs(c[y][x].item()) ** p for c in features) for y in range(side) for x in range(side)]
                length = math.sqrt(sum(value**2 for value in q))
                maps.append([value / length for value in q])
            expected += sum(abs(x - y) ** p for x, y in zip(*maps, strict=True)) ** (1 / p)
        actual = attention_map_loss(clean, adversarial, p, reduction="none")[image]
        assert actual.item() == pytest.approx(expected, rel=1e-12)


def test_a_stage_adds_at_most_the_square_root_of_two():
    left, right = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    left[..., 0], right[..., 1] = 5, 0.01
    assert attention_map_loss([left], [right]).item() == pytest.approx(math.sqrt(2))
    assert (attention_map_loss([stage(1)], [stage(2)], reduction="none") < math.sqrt(2)).all()


def test_symmetric_and_blind_to_scale():
    loss = attention_map_loss([stage(1)], [stage(2)])
    assert attention_map_loss([stage(2)], [stage(1)]).item() == pytest.approx(loss.item())
    assert attention_map_loss([7 * stage(1)], [-0.1 * stage(2)]).item() == pytest.approx(loss.item())


@pytest.mark.parametrize("p", [1, 2, 3])
def test_gradient_by_finite_differences(p):
    clean, adversarial = stage(1).requires_grad_(True), stage(2).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda o, a: attention_map_loss([o], [a], p), (clean, adversarial))


def test_equal_maps_have_no_loss_and_no_gradient():
    clean, adversarial = stage(1).requires_grad_(True), stage(1).requires_grad_(True)
    loss = attention_map_loss([clean], [adversarial])
    loss.backward()
    assert loss.item() == 0
    assert not clean.grad.any()
    assert not adversarial.grad.any()


def test_gradient_by_finite_differences_where_maps_agree_and_where_one_is_zero():
    """Both are kinks; the gradient there is the central difference, 0."""
    same = stage(1)
    assert torch.autograd.gradcheck(lambda o: attention_map_loss([o], [same]), stage(1).requires_grad_(True))
    zero = torch.zeros(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda o: attention_map_loss([o], [same]), zero)


def test_half_precision_features_are_summed_in_float32():
    """Squares of a thousand channels: bfloat16 would stop counting at 256."""
    features = torch.ones(2, 1000, 3, 3, dtype=torch.bfloat16)
    torch.testing.assert_close(attention_map(features), torch.full((2, 3, 3), 1000.0))
    low, exact = stage(1, channels=64).bfloat16(), stage(2, channels=64).bfloat16()
    found = attention_map_loss([low], [exact])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), attention_map_loss([low.double()], [exact.double()]), rtol=1e-5, atol=0)


def test_an_all_zero_map_is_finite():
    clean, adversarial = (
        torch.zeros(5, 3, 4, 4, dtype=torch.float64, requires_grad=True),
        stage(2).requires_grad_(True),
    )
    loss = attention_map_loss([clean], [adversarial])
    loss.backward()
    assert loss.item() == pytest.approx(1)  # a zero map and one of length 1
    assert clean.grad.isfinite().all()
    assert adversarial.grad.isfinite().all()
    both_zero = attention_map_loss([clean], [torch.zeros_like(clean)])
    assert both_zero.item() == 0


def test_stages_must_come_in_pairs():
    with pytest.raises(ValueError, match="1 clean and 2 adversarial"):
        attention_map_loss([stage(1)], [stage(1), stage(2)])
    with pytest.raises(ValueError, match="at least one"):
        attention_map_loss([], [])
    with pytest.raises(ValueError, match="give a sequence or a dictionary"):
        attention_map_loss(stage(1), stage(2))
    with pytest.raises(ValueError, match="p >= 1"):
        attention_map_loss([stage(1)], [stage(2)], p=0.5)
