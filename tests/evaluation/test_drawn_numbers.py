"""The number of a network that draws is how often one draw is right: no majority, and not the luckiest attack."""

import json
import math
from pathlib import Path

import pytest
import torch

from atlpa.errors import UserError
from atlpa.evaluation import credibility
from atlpa.records import Credibility
from atlpa.report import what_stands
from atlpa.statistics import share

WRONG = 0.3
COUNT, EPSILON = 48, 0.01


def now_and_then(images):
    """Light or dark, far from ε; in each draw three of ten images are told the other way, whatever is done to them."""
    light = images.mean(dim=(1, 2, 3)) - 0.5
    light = torch.where(torch.rand(len(images)) < WRONG, -light, light)
    return 20 * torch.stack([light, -light], dim=1)


@pytest.fixture(scope="module")
def judged():
    images = torch.linspace(0.6, 0.9, COUNT).view(COUNT, 1, 1, 1).expand(COUNT, 3, 8, 8)
    labels = torch.zeros(COUNT, dtype=torch.long)
    return {claimed: credibility(now_and_then, images, labels, EPSILON, claimed=claimed) for claimed in (0.7, 0.9)}


def test_it_is_the_mean_over_draws(judged):
    """Of five draws most would be right on 84 %; 4.5 deviations of 32 draws on all images."""
    correct = judged[0.7].standing.correct
    assert {len(draw) for draw in correct} == {COUNT}
    deviation = math.sqrt(WRONG * (1 - WRONG) / (len(correct) * COUNT))
    assert share(correct).value == pytest.approx(1 - WRONG, abs=4.5 * deviation)


def test_a_claim_is_held_against_it(judged):
    statuses = {claimed: found[-1].status for claimed, found in judged.items()}
    assert statuses == {0.7: "pass", 0.9: "fail"}


def test_what_is_said_to_have_fallen_fell_in_most_draws(judged):
    standing = judged[0.7].standing
    (places,) = standing.refuting.values()
    right = [sum(draw[place] == "1" for draw in standing.correct) for place in range(COUNT)]
    assert all(2 * right[place] <= len(standing.correct) for place in places)
    assert standing.stands.tolist() == [2 * one > len(standing.correct) for one in right]


def test_records_hold_a_string_for_each_draw(tmp_path):
    folder = Path(__file__).parents[2] / "docs" / "results" / "flowers-small-first"
    fields = json.loads(next(folder.glob("pat-*/records/credibility-*.json")).read_text())
    count = fields["data"]["count"]
    one = count // 2 * "1" + (count - count // 2) * "0"

    def read(**changes):
        (tmp_path / "record.json").write_text(json.dumps(fields | changes))
        return Credibility.load(tmp_path / "record.json")

    assert read().correct is None  # as the oldest records
    assert read(correct=one).correct == (one,)  # as before there were draws
    drawn = read(correct=[one, count * "1"], felled_by={})
    assert f"mean of 2 draws, {share(drawn.correct).percent()} of {count} stand" in what_stands(drawn)[0]
    drawn.save(tmp_path / "again.json")
    assert Credibility.load(tmp_path / "again.json") == drawn
    with pytest.raises(UserError, match=f"correct judges {count - 1} images"):
        read(correct=[(count - 1) * "1"], felled_by={})
    fallen = one.index("0")
    with pytest.raises(UserError, match="felled an image that stands"):
        read(correct=[one, count * "1", count * "1"], felled_by={"pgd": [fallen]})
