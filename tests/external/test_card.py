"""What is new to a member of others: by its card alone, never by hope."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from scroll.config.schema import Settings
from scroll.data.members.card import Card, FoldCard, Ready, read_card
from scroll.data.members.new_items import out_of_fold
from scroll.errors import InputError, MissingInputError
from stage1_3d.external.checkpoint import write_card


@dataclass(frozen=True)
class Named:
    id: str
    volume_name: str


CUBES = [Named("1", "A"), Named("2", "A"), Named("3", "B"), Named("4", "C")]


def member(folder: Path, *seen: tuple[str, ...]) -> Path:
    folder.mkdir(parents=True)
    folds = []
    for n, items in enumerate(seen):
        (folder / f"fold{n}.onnx").write_bytes(b"weights")
        folds.append(FoldCard(weights=f"fold{n}.onnx", sha256="", trained_on=items))
    write_card(folder, Card(family="graph", window=(8, 8, 8), folds=tuple(folds)))
    return folder


def settings(**members: dict[str, object]) -> Settings:
    return Settings.model_validate({"run_dir": "runs/x", "stage1": {"members": members}})


def test_a_fold_is_new_to_what_neither_its_item_nor_its_scroll_is_named_of(tmp_path):
    card = read_card(member(tmp_path / "m", ("1", "B"), ("C",), ()))
    assert [card.unseen(one.id, one.volume_name) for one in CUBES] == [
        [1],
        [0, 1],
        [1],
        [0],
    ]  # of the third nothing is known


def test_fits_keep_to_what_is_new_to_every_member(tmp_path):
    first, second = member(tmp_path / "a", ("A",)), member(tmp_path / "b", ("4",))
    both = settings(ours={"network": "unet3d"}, a={"member": first}, b={"member": second})
    assert [one.id for one in out_of_fold(both, CUBES)] == ["3"]
    assert out_of_fold(settings(ours={"network": "unet3d"}), CUBES) == CUBES


@pytest.mark.parametrize("seen", [("A", "B", "C"), ()])
def test_a_member_that_has_seen_everything_is_refused_until_its_share_is_stated(tmp_path, seen):
    folder = member(tmp_path / "m", seen)
    with pytest.raises(
        InputError, match=r"stage1\.members\.m: .*none of the 4 training items.*weight: equal_share"
    ) as refused:
        out_of_fold(settings(m={"member": folder}), CUBES)
    assert "\n" not in str(refused.value)
    stated = settings(ours={"network": "unet3d"}, m={"member": folder, "weight": "equal_share"})
    assert (
        out_of_fold(stated, CUBES) == CUBES and stated.stage1.fitted == ["ours"] and stated.stage1.sources == ["ours"]
    )


def test_members_that_together_leave_nothing_are_refused(tmp_path):
    first, second = member(tmp_path / "a", ("A", "B")), member(tmp_path / "b", ("C",))
    with pytest.raises(InputError, match=r"stage1\.members\.b: what is new to it is not new"):
        out_of_fold(settings(a={"member": first}, b={"member": second}), CUBES)


def test_weights_that_were_exchanged_and_a_card_that_is_lost_are_told(tmp_path):
    folder = member(tmp_path / "m", ("A",))
    (folder / "fold0.onnx").write_bytes(b"others")
    with pytest.raises(InputError, match=r"fold0\.onnx: is not the file that card\.json beside it speaks of"):
        read_card(folder)
    (folder / "card.json").unlink()
    with pytest.raises(MissingInputError, match=r"card\.json: not there; .*import it again"):
        read_card(folder)


def test_a_ready_prediction_is_new_to_its_item_only_where_that_is_said(tmp_path):
    (tmp_path / "1.npy").write_bytes(b"a")
    ready = {"1": Ready(file="1.npy", sha256="", is_unseen=True), "2": Ready(file="1.npy", sha256="", is_unseen=False)}
    card = Card(family="predictions", ready=ready)
    assert (card.unseen("1"), card.unseen("2"), card.unseen("3")) == ([0], [], [])


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, r"members\.m\.network"), ({"network": "unet3d", "member": "members/x"}, "give network .* or member")],
)
def test_a_member_is_trained_here_or_was_elsewhere_not_both(given, said):
    with pytest.raises(ValueError, match=said):
        settings(m=given)


def test_settings_of_a_trained_member_are_hashed_as_before():
    dumped = settings(ours={"network": "unet3d"}).stage1.members["ours"].model_dump()
    assert "member" not in dumped and "weight" not in dumped
