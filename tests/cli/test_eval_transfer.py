"""``atlpa-eval`` with the transfer attacks of the field, several sources at once, and 8-bit images."""

from pathlib import Path

import pytest
from test_eval import FAST, records_of, refused, rows

from atlpa.cli.eval import main
from atlpa.cli.report import main as report

PAT, NONE, NONE34 = "runs/pat-resnet18", "runs/none-resnet18", "runs/none-resnet34"


def test_attacks_combine_and_are_called_as_in_the_field(runs, capsys):
    options = ["--attack", "ni_fgsm", "--scales", "2", "--kernel", "5", "--diversity", "0.5"]
    assert main(["--run", PAT, "--threat", "gray", "--eps", "8/255", *FAST, *options]) == 0
    text = capsys.readouterr().out
    assert (
        "SI-NI-TI-DI-FGSM, steps of 0.1 ε, 2 iterations, momentum 1, 2 scales, kernel 5×5, input diversity 0.5" in text
    )
    (record,) = records_of(PAT)
    assert record.attack["name"] == "ni_fgsm"
    assert record.attack["nesterov"]
    assert record.steps == 8 * 2 * 2
    assert len(list(Path(PAT, "records").glob("gray-none-resnet18-ni_fgsm-eps0.03137-*.json"))) == 1
    assert 0 < record.budgets[0].linf_max <= 0.2 * 8 / 255 + 1e-6
    assert main(["--run", PAT, "--threat", "gray", *FAST, "--attack", "bsr", "--copies", "2", "--rotation", "10"]) == 0
    assert "BSR-MI-FGSM, " in (text := capsys.readouterr().out)
    assert "2 copies in 3×3 blocks turned by up to 10°" in text


def test_several_sources_at_once_on_8_bit_images(runs, capsys):
    sources = ["--source", NONE, "--source", NONE34]
    asked = ["--run", PAT, "--joint", "--eight-bit", "--threat", "transfer", "--eps", "0.25", "--step", "0.1", *FAST]
    assert main([*asked, *sources]) == 0
    text = capsys.readouterr().out
    (row,) = rows(text)
    assert row[:3] == ["pat resnet18", "transfer", "none resnet18 + none resnet34"]
    assert float(row[8]) == pytest.approx(51 / 255, abs=1e-4)  # 2 steps of 25.5 levels, within 63.75
    assert "shown as 8-bit images" in text
    assert "on several jointly (a + b)" in text
    (record,) = records_of(PAT)
    assert [source.architecture for source in record.sources] == ["resnet18", "resnet34"]
    assert record.eight_bit
    assert record.steps == 8 * 2 * 2
    # Named in another order they are the same attack; unrounded it is another one.
    assert main([*asked, *sources[2:], *sources[:2]]) == 0
    assert records_of(PAT) == [record]
    assert main([*[word for word in asked if word != "--eight-bit"], *sources]) == 0
    assert sorted(one.eight_bit for one in records_of(PAT)) == [False, True]
    assert main(["--run", PAT, *sources[:2], "--threat", "gray", *FAST]) == 0
    capsys.readouterr()
    assert report(["runs"]) == 0
    text = capsys.readouterr().out
    assert " transfer from none resnet18 + none resnet34 0.25 " in text
    assert " transfer from none resnet18 + none resnet34 (8-bit) 0.25 " in text
    table = rows(text.partition("**Transfer attacks")[2])
    assert [row[1:3] for row in table[:3]] == [
        ["pgd", "gray: none resnet18"],
        ["pgd", "transfer: none resnet18 + none resnet34"],
        ["pgd, 8-bit", "transfer: none resnet18 + none resnet34"],
    ]


def test_without_a_threat_white_box_is_made_too(runs, capsys):
    asked = ["--run", PAT, "--source", NONE, "--source", NONE34, "--joint", "--eight-bit", *FAST]
    assert main(asked) == 0
    assert [row[1] for row in rows(capsys.readouterr().out)] == ["white", "transfer"]
    assert {record.threat: record.eight_bit for record in records_of(PAT)} == {"white": False, "transfer": True}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--joint"], "--joint attacks several networks at once, given none; name at least two with --source"),
        (["--joint", "--source", NONE], "given 1 network; name at least two"),
        (["--joint", "--source", NONE, "--source", f"{NONE}/"], "given the same network; name at least two"),
        (["--joint", "--source", NONE, "--source", PAT], "is judged, and a source of --joint as well"),
        (["--joint", "--source", NONE, "--source", NONE34, "--threat", "gray"], "leave out --threat gray"),
        (["--threat", "white", "--eight-bit"], "--eight-bit serves transfer, and every attack here is white-box"),
        (["--check", "--eight-bit"], "--eight-bit has no meaning with --check"),
        (["--check", "--joint"], "--joint has no meaning with --check"),
        (["--attack", "ti_fgsm", "--kernel", "14"], "kernel 14 has no middle pixel; give an odd number, such as 15"),
        (["--attack", "ti_fgsm", "--kernel", "101"], "has images of 32 pixels a side; ti_fgsm as it is set needs at"),
        (["--attack", "bsr", "--copies", "-1"], "copies: Input should be greater than or equal to 0, given -1"),
        (["--attack", "ni_fgsm", "--momentum", "0"], "nesterov looks ahead along the momentum, which is 0"),
        (["--attack", "mi_fgsm", "--beta", "2"], "give neighbors too"),
        (["--kernel", "15"], "--kernel has no meaning for --attack pgd"),
    ],
)
def test_bad_input_of_transfer_is_one_line(runs, capsys, arguments, words):
    fast = FAST[:2] if "--check" in arguments else FAST
    assert words in refused(capsys, "--run", PAT, *fast, *arguments)
