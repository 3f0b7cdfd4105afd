"""Commands that are killed without a word at random moments, and end as if they had not been."""

import pytest

from tests.reliability.killing import cases, killed


@pytest.fixture(scope="module")
def all_cases(server):
    with cases(server) as found:
        yield found


@pytest.mark.parametrize("name", ["train", "eval", "study", "fetch"])
def test_killed_at_a_random_moment_and_started_again_all_is_as_if_undisturbed(server, all_cases, tmp_path, name):
    found = killed(server, all_cases[name], tmp_path, moments=3, seed=len(name))
    assert found["differing"] == []
    assert (found["equal"], found["different"]) == (3, 0)
