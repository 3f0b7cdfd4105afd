"""Components as somebody at a prompt meets them: arguments by position, completion, help, and what is refused."""

import pydoc
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from atlpa import PGD, Square
from atlpa.component import Component, dump, field_docs, validate
from atlpa.field_types import parse_number, written
from atlpa.models import InputNoise


def test_arguments_by_position_and_by_name_are_the_same():
    assert PGD(8 / 255, 2 / 255, 10) == PGD(epsilon=8 / 255, step=2 / 255, iterations=10)
    assert repr(Square(0.5, 3)) == "Square(epsilon=0.5, iterations=3, engine='auto', precision='fp32', norm='Linf')"


def test_completion_offers_what_is_the_attacks_own():
    offered = [name for name in dir(PGD()) if not name.startswith("_")]
    assert {"epsilon", "step", "iterates", "notes", "settings"} < set(offered)
    assert not [name for name in offered if "model" in name or "pydantic" in name or name in ("json", "dict", "copy")]


def test_help_opens_with_what_it_is_and_takes():
    text = pydoc.plain(pydoc.render_doc(PGD))
    _, takes, what = text.split("PGD(", 1)[1].partition("\n |  \n |  ")
    assert takes
    assert text.split("PGD(", 2)[-1].startswith("epsilon=0.25, step=0.00390625, iterations=200, start='zero'")
    assert what.startswith("Untargeted L∞ projected gradient descent")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PGD(8), "8 is outside .* write 8/255"),
        (lambda: PGD(0.1, epsilon=0.2), "epsilon is given twice, by position and by name"),
        (lambda: Square(0.1, 2, "auto", "fp32", "L2", 3), "6 arguments; Square takes epsilon, .*, precision, norm"),
        (lambda: PGD(steq=1), "unknown key 'steq'; did you mean 'step'"),
        (lambda: replace(PGD(), iterations=0), "greater than or equal to 1"),
        (lambda: validate(InputNoise, {"scale": "a lot"}), "'a lot' is no number"),
    ],
)
def test_what_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: PGD(0.1, 0.1, 0), "iterations: Input should be greater than or equal to 1, given 0"),
        (
            lambda: PGD(0.1, 0.1, -1, start="near"),
            "iterations: Input should be greater than or equal to 1, given -1; "
            "start: Input should be 'zero', 'uniform' or 'gaussian', given 'near'",
        ),
    ],
)
def test_what_is_wrong_with_a_value_is_one_line(make, line):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make()
    assert str(error.value) == line


def test_whole_numbers_of_numpy_are_whole_numbers():
    made = PGD(0.1, 0.1, np.int64(3))
    assert type(made.iterations) is int
    assert dump(made)["iterations"] == 3
    with pytest.raises(ValueError, match="iterations"):
        PGD(0.1, 0.1, np.float64(3))


def test_values_are_frozen():
    with pytest.raises(FrozenInstanceError):
        PGD().epsilon = 0.5


def test_what_is_dumped_is_read_back():
    attack = PGD("8/255", "2/255", 7, loss="margin")
    assert validate(PGD, dump(attack)) == attack
    assert dump(attack, exclude_defaults=True) == {
        "epsilon": 8 / 255, "step": 2 / 255, "iterations": 7, "loss": "margin",
    }  # fmt: skip


def test_docs_of_fields_are_those_of_the_docstring():
    class Base(Component):
        """A base.

        Fields:
            first: of all,
                on two lines.
        """

        first: int = 1

    class Derived(Base):
        """Derived.

        Fields:
            second: the other.

        More.
        """

        second: int = 2
        third: int = 3

    assert field_docs(Derived) == {"first": "of all, on two lines.", "second": "the other."}


@pytest.mark.parametrize("distance", ["8/255", "4/255", "1/255", "254/255", "0.25", "0.5", "1", "0", "0.2", "0.1"])
def test_a_distance_is_written_as_people_do(distance):
    """What has a short decimal is written so, 0.2 not as 51/255; what is read back is the same number."""
    assert written(parse_number(distance)) == distance


def test_a_distance_that_is_neither_is_rounded():
    assert written(0.123456) == "0.1235"
