"""Trainings with proposed labels: an empty mask changes no bit of anything, and a weight of 1 none of the weights."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scroll.data.fragments import Fragment
from tests.pipeline import test_untrained_pixels as tiny

PROPOSED = np.zeros(tiny.SHAPE, bool)
PROPOSED[:, 24:44] = True


def marked(root: Path, mask: np.ndarray | None, greys: bool = False) -> list[Fragment]:
    fragments = tiny.fragments_of(root, greys)
    for fragment in fragments if mask is not None else ():
        Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(fragment.folder / "proposed_mask.png")
    return fragments


def trained(root: Path, mask: np.ndarray | None, greys: bool = False) -> dict[str, dict[str, list]]:
    return tiny.everything_trained(marked(root, mask, greys), root / "out")


@pytest.mark.parametrize("greys", [False, True], ids=["hard", "soft"])
def test_a_mask_without_anything_in_it_trains_to_the_same_bits_as_none(tmp_path, greys):
    nothing = np.zeros(tiny.SHAPE, bool)
    assert trained(tmp_path / "a", None, greys) == trained(tmp_path / "b", nothing, greys)


@pytest.mark.parametrize("greys", [False, True], ids=["hard", "soft"])
def test_proposals_of_weight_1_train_to_the_weights_of_a_persons_labels_and_others_do_not(tmp_path, monkeypatch, greys):
    plain, half = (trained(tmp_path / name, mask, greys) for name, mask in (("plain", None), ("half", PROPOSED)))
    monkeypatch.setitem(tiny.LOSS, "proposed_weight", 1)
    whole = trained(tmp_path / "whole", PROPOSED, greys)
    for name in plain:
        assert whole[name]["weights"] == plain[name]["weights"] != half[name]["weights"]
        losses = [[loss for loss, held_out in one[name]["history"] if held_out is None] for one in (plain, whole)]
        assert losses[0] == losses[1]


def test_what_was_proposed_where_it_is_validated_changes_no_validation_loss(tmp_path, monkeypatch):
    """Fragment 1 is held out by the first fold, and so nothing of it is trained on."""
    found = []
    for name, changed in (("as it is", False), ("turned round", True)):
        fragments = marked(tmp_path / name, PROPOSED)
        path = fragments[0].folder / "inklabels.png"
        ink = np.asarray(Image.open(path)) > 0
        Image.fromarray(np.where(ink ^ (PROPOSED & changed), 255, 0).astype(np.uint8)).save(path)
        found.append(tiny.everything_trained(fragments, tmp_path / name / "out"))
    assert found[0] == found[1]
