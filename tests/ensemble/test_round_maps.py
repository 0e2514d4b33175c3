"""What a label round makes of maps and sheets before anything is trained."""

from dataclasses import replace

import numpy as np
import pytest

from ensemble.ink.fit_record import InkFit
from ensemble.rounds.maps import blended, check_lies_as_trained
from scroll.config.data import DataSettings
from scroll.data.fragments import Fragment
from scroll.errors import InputError
from scroll.inference.prediction_store import RowWriter

SHAPE = (6, 8)


def saved(folder, prob):
    writer = RowWriter(folder / "flat.zarr", "key", (1, *SHAPE), 8.0, "cyx")
    writer.write(0, prob[None])
    writer.finish()
    return folder


def test_a_member_without_a_map_has_no_part_in_a_blend_and_nothing_is_off_the_papyrus(tmp_path):
    """A member of others that was trained on a sheet has an equal share in new ones, and no map of this one."""
    one, two = np.random.default_rng(1).random((2, *SHAPE)).astype(np.float16)
    folders = {"one": saved(tmp_path / "one", one), "two": saved(tmp_path / "two", two)}
    fit = InkFit(made_from="", weights={"one": 3.0, "two": 1.0, "theirs": 4.0}, thresholds={})
    mask = np.ones(SHAPE, bool)
    mask[0] = False
    prob = blended(fit, folders, mask)
    expected = (3 * one.astype(np.float32) + two.astype(np.float32)) / 4
    np.testing.assert_allclose(prob[mask], expected[mask], rtol=1e-6)
    assert not prob[~mask].any()


@pytest.mark.parametrize(("shift", "where"), [(3, "first"), (-2, "last")])
def test_a_sheet_that_lies_elsewhere_is_refused_with_the_layers_to_leave_out(tmp_path, shift, where):
    sheet = Fragment("a", tmp_path, DataSettings(root=tmp_path))
    check_lies_as_trained(sheet)
    with pytest.raises(InputError, match=rf"its {where} {2 * abs(shift)} layers"):
        check_lies_as_trained(replace(sheet, shift_layers=shift))
    layers = np.arange(65)
    left = layers[2 * shift :] if shift > 0 else layers[: 2 * shift]
    assert left[left.size // 2] == layers[layers.size // 2 + shift]
