"""The table of transfer attacks, and what attacks are called in it."""

from dataclasses import replace

import pytest
from scipy.stats import binomtest
from test_summary import ATLPA, BLACK, NONE, PAT, record

from atlpa.attacks import ATTACKS, MIFGSM, attack_class, read_attack
from atlpa.report import Results, beside_paper, protocol, sections, threat_table, tidy
from atlpa.report.attack_words import TRANSFERRED, attack_title
from atlpa.report.transfer import transfer_table


def by(one, **attack):
    """The same outcome under another attack."""
    settings = read_attack({"epsilon": one.attack["epsilon"], **attack}).settings()
    return replace(one, attack={name: value for name, value in settings.items() if name != "iterations"})


@pytest.fixture
def records():
    """Of a hundred images 80 are right clean; under attack the first 60, 50, 40 … of all are."""
    right = {"gray": 60, "joint": 40, "rounded": 45}
    gray, other = record(PAT, NONE, "gray", right["gray"]), record(PAT, NONE, "transfer", right["joint"])
    joint = replace(other, joint=(BLACK,))
    made = [
        record(PAT, PAT, "white", 10),
        by(joint, name="vmi_fgsm", nesterov=True),
        by(
            replace(joint, eight_bit=True, budgets=record(PAT, NONE, "gray", 45).budgets),
            name="vmi_fgsm",
            nesterov=True,
        ),
        gray,
    ]
    return [replace(one, clean=("1" * 80 + "0" * 20,)) for one in made]


def test_every_target_attack_and_source_is_a_row(records):
    table = transfer_table(records)
    assert [tuple(map(str, row[:5])) for row in table.rows] == [
        ("pat resnet18", "VNI-FGSM", "transfer: none resnet18 + none resnet34", "0.25", "200"),
        ("pat resnet18", "VNI-FGSM, 8-bit", "transfer: none resnet18 + none resnet34", "0.25", "200"),
        ("pat resnet18", "pgd", "gray: none resnet18", "0.25", "200"),
    ]
    for row, hits in zip(table.rows, (40, 45, 60), strict=True):
        wilson = binomtest(hits, 80).proportion_ci(method="wilson")
        assert str(row[-1]) == f"{hits / 0.8:.1f} [{100 * wilson.low:.1f}, {100 * wilson.high:.1f}]"
        assert str(row[5]).startswith(f"{hits}.0 [")
        assert str(row[6]).startswith("80.0 [")
    assert transfer_table(records[:1]) is None


def test_where_nothing_is_right_clean_there_is_no_such_share(records):
    wrong = replace(records[3], clean=("0" * 100,))
    assert transfer_table([wrong]).rows[0][-1] == "–"
    assert tidy([wrong]).rows[0][-1] is None


def test_it_is_a_section_of_every_report_of_transfer(records):
    (section,) = [one for one in sections(Results(records)) if one.name == "transfer"]
    assert "among the images that the target gets right without an attack" in section.note
    assert [one.name for one in sections(Results(records[:1])) if one.name == "transfer"] == []


def test_joint_and_rounded_are_columns_of_their_own(records):
    assert list(threat_table(records).columns[2:]) == [
        "white 0.25",
        "gray 0.25",
        "transfer from none resnet18 + none resnet34 (VNI-FGSM) 0.25",
        "transfer from none resnet18 + none resnet34 (VNI-FGSM, 8-bit) 0.25",
    ]
    text = protocol(records)
    assert "20 neighbors within 1.5 ε, shown as 8-bit images." in text
    rows = [dict(zip(tidy(records).columns, row, strict=True)) for row in tidy(records).rows]
    assert rows[2]["source_defense"] == "none+none"
    assert rows[2]["source_seed"] == "0+0"
    assert [row["eight_bit"] for row in rows] == [0, 0, 1, 0]
    assert [row["accuracy_of_right_clean"] for row in rows] == pytest.approx([0.125, 0.5, 45 / 80, 0.75])


def test_beside_the_paper_stands_pgd_on_images_as_they_were_made():
    plain = record(PAT, NONE, "gray", 70)
    others = [by(record(PAT, NONE, "gray", 20), name="bsr"), replace(record(PAT, NONE, "gray", 30), eight_bit=True)]
    for records in ([plain, *others], [*others, plain]):
        table = beside_paper([record(ATLPA, NONE, "gray", 90), *records])
        cells = {str(row[0]): str(row[table.columns.index("gray 0.25 paper / ours")]) for row in table.rows}
        assert cells["pat"].endswith("/ 70.0")


@pytest.mark.parametrize(
    ("attack", "title"),
    [
        ({"name": "mi_fgsm"}, "MI-FGSM"),
        ({"name": "mi_fgsm", "momentum": 0.0}, "I-FGSM"),
        ({"name": "ni_fgsm", "scales": 5, "kernel": 15, "diversity": 0.5}, "SI-NI-TI-DI-FGSM"),
        ({"name": "ti_fgsm"}, "MI-TI-FGSM"),
        ({"name": "si_fgsm"}, "SI-MI-FGSM"),
        ({"name": "vmi_fgsm"}, "VMI-FGSM"),
        ({"name": "bsr"}, "BSR-MI-FGSM"),
        ({"name": "bsr", "copies": 0, "neighbors": 3, "momentum": 0.0}, "VI-FGSM"),
        ({"name": "pgd", "momentum": 1.0}, "pgd"),
        ({"name": "square"}, "square"),
    ],
)
def test_what_is_made_of_parts_is_called_by_them(attack, title):
    assert attack_title(read_attack(attack).settings()) == title


def test_the_report_knows_every_name_of_the_family():
    assert {name for name in ATTACKS.built_in if issubclass(attack_class(name), MIFGSM)} == set(TRANSFERRED)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threat": "black"}, "threat black, but several networks are attacked jointly, which is transfer"),
        ({"joint": (NONE,)}, "2 networks are attacked jointly, but with the target they are 2"),
        ({"joint": (PAT,)}, "2 networks are attacked jointly, but with the target they are 2"),
    ],
)
def test_joint_records_that_contradict_themselves(records, change, words):
    with pytest.raises(ValueError, match=words):
        replace(records[1], **change)


def test_white_box_images_are_not_rounded(records):
    with pytest.raises(ValueError, match="threat white, but eight_bit, which only transferred images are"):
        replace(records[0], eight_bit=True)
