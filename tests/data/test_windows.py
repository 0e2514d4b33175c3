"""How much of the papyrus a network sees at once, in millimetres, by hand."""

import pytest
from scroll_fragments import small_fragment

from scroll.config.schema import Settings
from scroll.data.windows import windows_in_words, windows_mm
from stage1_3d.fragments.data import FragmentData


def settings(root, **data) -> Settings:
    members = {"a": {"network": "cnn3d", "patch_size": [4, 50, 60]}}
    return Settings.model_validate(
        {
            "run_dir": root / "run",
            "data": {"root": root, "cache_dir": root / "cache", "voxel_um": 8.0, "depth": [-2, 2], **data},
            "stage1": {"members": members},
            "stage2": {"patch_size": [32, 64]},
        }
    )


@pytest.mark.parametrize(
    ("how", "z", "y"), [({}, 8, 8), ({"bin_yx": 2}, 8, 16), ({"pool": 2, "depth": [-1, 1]}, 16, 16)]
)
def test_edges_are_voxels_times_their_size(tmp_path, how, z, y):
    asked = settings(tmp_path, **how)
    fragment = small_fragment(tmp_path, **{**how, "depth": asked.data.depth})
    assert windows_mm(asked, fragment) == {
        "a": pytest.approx((4 * z / 1000, 50 * y / 1000, 60 * y / 1000)),
        "stage two": pytest.approx((32 * y / 1000, 64 * y / 1000)),
    }


def test_only_what_is_wide_in_the_plane_of_the_sheet_is_warned_of():
    text = windows_in_words({"deep": (2.0, 0.5, 0.5), "wide": (0.1, 0.2, 0.6), "stage two": (0.4, 0.4)})
    assert text.startswith(
        "Seen at once, in mm along z, y, x: deep 2.00 x 0.50 x 0.50, wide 0.10 x 0.20 x 0.60, stage two 0.40 x 0.40. "
    )
    assert "Wider than 0.5 mm: wide; the rules of the prizes discourage that" in text
    assert "Wider" not in windows_in_words({"a": (1.0, 0.5, 0.5)})


@pytest.mark.parametrize(("bin_yx", "is_phantom", "is_said"), [(1, False, False), (2, True, False), (2, False, True)])
def test_voxels_that_are_binned_in_the_plane_alone_are_warned_of(tmp_path, recwarn, bin_yx, is_phantom, is_said):
    small_fragment(tmp_path, "1"), small_fragment(tmp_path, "2")
    if is_phantom:
        (tmp_path / "phantom.json").write_text("{}")
    FragmentData(settings(tmp_path, bin_yx=bin_yx))
    text = [str(one.message) for one in recwarn if "bin_yx" in str(one.message)]
    expected = "data.bin_yx is 2: voxels become 8 x 16 x 16 um (z, y, x); published networks were trained on cubes, which data.pool makes"
    assert text == [expected] * is_said
