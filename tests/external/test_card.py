"""What is new to a member of others: by its card alone, never by hope."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ensemble.others import lines_on_others, who_has_seen, with_equal_shares
from scroll.config.reader import load_settings, save_run_settings
from scroll.config.schema import Settings
from scroll.data.members.card import Card, FoldCard, Ready, read_card
from scroll.data.members.new_items import lines_on_sharers, out_of_fold
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
    assert [one.id for one in out_of_fold(both, CUBES)[1]] == ["3"]
    alone = settings(ours={"network": "unet3d"})
    assert out_of_fold(alone, CUBES) == (alone, CUBES)


EVERYTHING = [("A", "B", "C"), ("1", "2", "3", "4"), ()]  # of the last nothing is known
OURS = {"network": "unet3d"}


@pytest.mark.parametrize("seen", EVERYTHING)
def test_a_member_that_has_seen_everything_has_an_equal_share_and_counts_for_no_fit(tmp_path, seen):
    folder = member(tmp_path / "m", seen)
    for written in ({}, {"weight": "equal_share"}):
        before = settings(ours=OURS, m={"member": folder} | written)
        decided, new = out_of_fold(before, CUBES)
        assert new == CUBES and decided.stage1.fitted == decided.stage1.sources == ["ours"]
        (line,) = lines_on_sharers(decided)
        assert line.startswith("Not fitted: m, ") and "equal share" in line
        assert with_equal_shares(decided, {"ours": 0.5, "stage2": 0.5}) == pytest.approx(
            dict.fromkeys(("ours", "stage2", "m"), 1 / 3)
        )


@pytest.mark.parametrize("seen", EVERYTHING)
def test_a_member_that_has_seen_everything_and_is_to_be_fitted_is_refused_in_one_line(tmp_path, seen):
    given = settings(ours=OURS, m={"member": member(tmp_path / "m", seen), "weight": "fitted"})
    with pytest.raises(InputError, match=r"stage1\.members\.m: .*none of the 4 training items.*equal_share") as refused:
        out_of_fold(given, CUBES)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("seen", "new"), [(("A", "4"), ["3"]), (("elsewhere",), ["1", "2", "3", "4"])])
@pytest.mark.parametrize("written", [{}, {"weight": "fitted"}])
def test_a_member_that_has_seen_some_or_none_is_fitted_on_the_others(tmp_path, seen, new, written):
    given = settings(ours=OURS, m={"member": member(tmp_path / "m", seen)} | written)
    decided, found = out_of_fold(given, CUBES)
    assert [one.id for one in found] == new and decided == given
    assert decided.stage1.fitted == ["ours", "m"] and lines_on_sharers(decided) == []


def test_where_nobody_can_be_fitted_one_line_says_so(tmp_path):
    with pytest.raises(InputError, match=r"stage1\.members: none is fitted.*4 training items"):
        out_of_fold(settings(m={"member": member(tmp_path / "m", ("A", "B", "C"))}), CUBES)


def test_what_stage_one_decided_is_known_to_the_commands_after_it_and_decided_anew_by_itself(tmp_path):
    content = {
        "run_dir": str(tmp_path / "run"),
        "stage1": {"members": {"ours": OURS, "m": {"member": str(tmp_path / "m")}}},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    member(tmp_path / "m", ("A", "B", "C"))
    assert load_settings(tmp_path / "run.yaml").stage1.fitted == ["ours", "m"]  # no data was looked at yet
    decided, _ = out_of_fold(load_settings(tmp_path / "run.yaml"), CUBES)
    save_run_settings(decided)
    for path in (tmp_path / "run.yaml", tmp_path / "run" / "settings.yaml"):
        assert load_settings(path) == decided and decided.stage1.fitted == ["ours"]
    written = load_settings(tmp_path / "run.yaml", ["stage1.members.m.weight=fitted"])
    assert written.stage1.fitted == ["ours", "m"]
    again, new = out_of_fold(decided, [*CUBES[:2], Named("5", "D")])
    assert again.stage1.fitted == ["ours", "m"] and [one.id for one in new] == ["5"]


def test_members_that_together_leave_nothing_are_refused(tmp_path):
    first, second = member(tmp_path / "a", ("A", "B")), member(tmp_path / "b", ("C",))
    with pytest.raises(InputError, match=r"stage1\.members\.b: what is new to it is not new"):
        out_of_fold(settings(a={"member": first}, b={"member": second}), CUBES)


def test_weights_that_were_exchanged_and_a_card_that_is_lost_are_reported(tmp_path):
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
    ("given", "message"),
    [({}, r"members\.m\.network"), ({"network": "unet3d", "member": "members/x"}, "give network .* or member")],
)
def test_a_member_is_trained_here_or_was_elsewhere_not_both(given, message):
    with pytest.raises(ValueError, match=message):
        settings(m=given)


def test_settings_of_a_trained_member_are_hashed_as_before():
    for written in ({}, {"weight": "fitted"}):
        stage1 = settings(ours={"network": "unet3d"} | written).stage1.model_dump()
        assert "seen_all" not in stage1 and not {"member", "weight"} & set(stage1["members"]["ours"])


def test_who_has_seen_what_is_scored_is_reported_and_who_is_not_known_to_be_new_to_it(tmp_path):
    seen, unknown = member(tmp_path / "a", ("A",), ("C",)), member(tmp_path / "b", ())
    given = settings(ours=OURS, a={"member": seen}, b={"member": unknown})
    assert [who_has_seen(given, [one]) for one in CUBES] == [{"a", "b"}, {"a", "b"}, {"b"}, {"a", "b"}]
    message = " ".join(lines_on_others(given, CUBES[1:3]))
    assert "a was trained on 2: its figures" in message and "What b was trained on is not known" in message
    assert message.endswith("Rows with (seen) are made of such.")
    assert "(seen)" not in " ".join(lines_on_others(given, []))
