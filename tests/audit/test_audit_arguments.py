"""What an audit refuses before anything is predicted, and from which threshold on members alone are said to call ink."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ensemble.audit.alone import asked_alone
from ensemble.audit.arguments import parser, read_numbers, run
from ensemble.audit.sheet import How
from ensemble.audit.study import audit
from ensemble.controls.asked import alone
from ensemble.ink.predictors import ENSEMBLE
from scroll.config.schema import Settings
from scroll.data.members.card import Card, FoldCard
from scroll.errors import InputError, MissingInputError
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


def settings_of(root: Path) -> Settings:
    member = {"network": "cnn3d", "patch_size": [4, 32, 32], "options": {"channels": [4, 8], "stride_yx": 2}}
    data = {"root": root / "sheets", "cache_dir": root / "cache", "depth": [-2, 2], "bin_yx": 1}
    return Settings.model_validate(
        {"run_dir": root / "run", "data": data, "stage1": {"members": {"cnn3d": member}}, "preflight": {"mode": "off"}}
    )


def test_what_is_no_blank_papyrus_is_refused_before_anything_is_predicted(tmp_path: Path) -> None:
    """Two sheets of one name, a place where none is, and papyrus that is audited too."""
    settings = settings_of(tmp_path)
    asked = alone(settings, {})
    for place in ("one", "other", "sheets"):
        sheet = tmp_path / place / "a" / "surface_volume"
        sheet.mkdir(parents=True)
        for layer in range(4):
            tifffile.imwrite(sheet / f"{layer:02}.tif", np.full((64, 64), 100, np.uint16))
        Image.fromarray(np.full((64, 64), 255, np.uint8)).save(sheet.parent / "mask.png")
    how = How(copies=1, planting=None, depths=())
    wrong = {
        "--blank: two sheets are called 'a'": [tmp_path / "one", tmp_path / "other"],
        "nowhere": [tmp_path / "nowhere"],
        "would excuse what it shows itself": [tmp_path / "sheets"],
    }
    for message, blank in wrong.items():
        with pytest.raises((InputError, MissingInputError), match=message) as refused:
            audit(asked, [tmp_path / "sheets"], tmp_path / "out", how, "", blank)
        assert "\n" not in str(refused.value)
    assert not list((tmp_path / "out").rglob("*.zarr"))
