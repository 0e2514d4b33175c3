"""What an audit refuses before anything is predicted, and from which threshold on members alone are said to call ink."""

from pathlib import Path

import pytest

from ensemble.audit.alone import asked_alone
from ensemble.audit.door import parser, read_numbers, run
from ensemble.ink.predictors import ENSEMBLE
from scroll.data.members.card import Card, FoldCard
from scroll.errors import InputError
from scroll.runtime.record import write_record
from stage1_3d.external.checkpoint import write_card

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize("text", ["a,b", "1,nan", "inf", "1e9", "1;2"])
def test_what_is_no_row_of_numbers_is_refused_in_a_line_that_names_the_option(text: str) -> None:
    with pytest.raises(InputError, match=r"^--depths '.*': expected numbers") as refused:
        read_numbers("--depths", text)
    assert "\n" not in str(refused.value)


def test_cubes_are_refused_before_their_run_is_looked_for(tmp_path: Path) -> None:
    given = [str(CONFIGS / "demo_surface.yaml"), "--input", str(tmp_path), "--output", str(tmp_path / "out")]
    with pytest.raises(InputError, match=r"not for ink.*score_cubes\.py"):
        run(parser("").parse_args(given))
    assert not (tmp_path / "out").exists()


def member(folder: Path, threshold: float | None) -> Path:
    folder.mkdir()
    (folder / "net.safetensors").write_bytes(b"weights")
    write_card(
        folder,
        Card(
            family="ours",
            window=(16, 32, 32),
            threshold=threshold,
            folds=(FoldCard(weights="net.safetensors", sha256=""),),
        ),
    )
    return folder


def test_members_alone_call_ink_from_their_cards_threshold_on_and_their_mean_from_the_mean(tmp_path: Path) -> None:
    folders = [member(tmp_path / "fitted", 0.9), member(tmp_path / "plain", None)]
    (tmp_path / "out").mkdir()
    asked = asked_alone(folders, tmp_path, tmp_path / "out", [], None)
    assert [asked.threshold(name) for name in ("fitted", "plain", ENSEMBLE)] == pytest.approx([0.9, 0.5, 0.7])
    everybody = asked_alone(folders, tmp_path, tmp_path / "out", [], None, 0.3)
    assert {everybody.threshold(name) for name in everybody.names} == {0.3}


def test_a_card_without_a_threshold_is_written_as_cards_always_were(tmp_path: Path) -> None:
    write_record(tmp_path / "card.json", Card(family="ours"))
    assert "threshold" not in (tmp_path / "card.json").read_text(encoding="utf-8")
