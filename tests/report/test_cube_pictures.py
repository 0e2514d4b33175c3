"""Cuts lie where there is something to judge, and show right and wrong in the colours of the legend."""

import numpy as np
from PIL import Image

from scroll.report.cube_pictures import LARGER, save_cube_pictures
from scroll.report.pictures import FOUND, INVENTED, MISSED, NOT_SCORED


def test_the_cut_across_z_goes_where_most_is_labelled_and_shows_every_kind_of_voxel(tmp_path):
    label = np.full((12, 8, 6), 2, np.uint8)
    label[9] = 0
    label[9, 2:5, :] = 1
    mask = np.zeros(label.shape, bool)
    mask[9, 3:7, :] = True
    save_cube_pictures(tmp_path, np.zeros(label.shape, np.uint8), mask, label)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[:3] == ["1_ct_cut_z.png", "2_sheets_cut_z.png", "3_errors_cut_z.png"] and len(names) == 6
    errors = np.asarray(Image.open(tmp_path / "3_errors_cut_z.png"))[::LARGER, ::LARGER]
    assert errors.shape == (8, 6, 3)
    assert [tuple(errors[row, 0].tolist()) for row in (2, 3, 5)] == [MISSED, FOUND, INVENTED]
    across_x = np.asarray(Image.open(tmp_path / "6_errors_cut_x.png"))[::LARGER, ::LARGER]
    assert tuple(across_x[0, 0].tolist()) == NOT_SCORED
