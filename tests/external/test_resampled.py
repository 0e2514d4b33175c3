"""Members of another voxel size: what they see is what they would have seen there, and what they say comes back to where it was."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import nn
from torch.nn.functional import pad

from ensemble.commands.doctor import examine
from ensemble.whole_scroll.plan import ScrollRequest, make_plan, recipe_of
from scroll.config.schema import MemberSettings, Settings
from scroll.data.cubes import Cube
from scroll.data.fragments import Fragment, find_fragments
from scroll.data.members.card import Card
from scroll.data.members.others import of_others
from scroll.data.members.suits import check_items, check_voxels, layer_span, message_on_resampling
from scroll.data.windows import windows_mm
from scroll.errors import InputError
from scroll.inference.prediction_store import open_map
from scroll.inference.resampling import Line, Resampling
from scroll.runtime.files import write_sealed
from scroll.runtime.receipt import read_receipt
from scroll.volumes.ome_zarr import create_ome_zarr
from stage1_3d.cubes.predict import predict_cube, prediction_of
from stage1_3d.external.archives import import_graph
from stage1_3d.external.checkpoint import write_card
from stage1_3d.external.maps import predict_map
from stage1_3d.external.nnunet import import_nnunet
from stage1_3d.external.view import View, view_of
from stage1_3d.predict import load_forward
from stage1_3d.predict import prediction_of as prediction_of_fragment
from tests.external.nnunet_folder import write_folder

OWN_UM, WINDOW, LAYERS = 6.0, (16, 16, 16), (-4, 4)
LENGTH_UM = 300.0
lines = st.builds(Line.centred, st.integers(1, 40), st.floats(0.25, 4))


@given(lines)
def test_a_box_holds_its_window_and_no_voxel_more_on_either_side(line):
    assert -1e-5 <= line.first < 1 and line.first + (line.window - 1) * line.step <= line.size - 1 + 1e-5
    for weights in (line.into(), line.back()):
        torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))


@given(lines)
def test_what_rises_evenly_comes_through_and_back_where_there_is_room_for_it(line):
    """A Gaussian's reach from either end, and outside the window, it is drawn towards what there is."""
    box = torch.arange(line.size, dtype=torch.float32)
    expected = line.first + line.step * torch.arange(line.window)
    into, back = (line.into(), box, 1.0, expected, line.step), (line.back(), expected, line.step, box, 1 / line.step)
    for weights, there, apart, wanted, steps in (into, back):
        reach = (2 * (steps**2 - 1) ** 0.5 + 1) * apart if steps > 1 else 0.0
        inside = (wanted >= there[0] + reach) & (wanted <= there[-1] - reach)
        torch.testing.assert_close((weights @ there)[inside], wanted[inside], atol=1e-3, rtol=0)


@pytest.mark.parametrize("steps", [(0.3, 0.5, 0.8), (1.0, 1.5, 2.7), (4.0, 0.25, 1.2)])
def test_windows_are_those_of_a_gaussian_and_linear_interpolation(steps):
    around = [Line.centred(14, step) for step in steps]
    box = np.random.default_rng(0).integers(0, 65536, [line.size for line in around]).astype(np.uint16)
    blurred = gaussian_filter(
        box.astype(np.float64), [max(0, step**2 - 1) ** 0.5 / 2 for step in steps], mode="nearest"
    )
    places = np.meshgrid(*[line.first + line.step * np.arange(14) for line in around], indexing="ij")
    expected = map_coordinates(blurred, places, order=1, mode="nearest")
    found = Resampling((around[0], around[1], around[2])).window_of(box)
    assert found.dtype == np.float32 and found.shape == (14, 14, 14)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_what_is_said_comes_back_by_linear_interpolation():
    around = [Line.centred(9, 2.5)] * 3
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 9, 9, 9)).astype(np.float32))
    places = np.meshgrid(*[(np.arange(line.size) - line.first) / line.step for line in around], indexing="ij")
    resampling = Resampling((around[0], around[1], around[2]))
    found, flat = resampling.brought_back(scores), resampling.brought_back(scores[:, :, 4])
    for b in range(2):
        for k in range(3):
            expected = map_coordinates(scores[b, k].numpy().astype(np.float64), places, order=1, mode="nearest")
            np.testing.assert_allclose(found[b, k], expected, atol=1e-5)
            plane = map_coordinates(
                scores[b, k, 4].numpy().astype(np.float64), [p[0] for p in places[1:]], order=1, mode="nearest"
            )
            np.testing.assert_allclose(flat[b, k], plane, atol=1e-5)


class Slope(nn.Module):
    """Its logit is how steeply grey values rise along y and x, a voxel of its own: other voxels, other logits."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(B, 1, Z, Y, X), twice."""
        around = pad(windows, (1, 1, 1, 1, 0, 0), mode="replicate")
        return (around[..., 2:, 1:-1] - around[..., :-2, 1:-1]) * 4 + (
            around[..., 1:-1, 2:] - around[..., 1:-1, :-2]
        ) * 2


class Layered(nn.Module):
    """A map: the slope along x of its layers, which weigh 1 to 8, so that their order and place show."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(B, 1, Z, Y, X) -> (B, 1, Y, X)."""
        weight = torch.arange(1.0, 9.0)[None, None, :, None, None] / 36
        around = pad((windows * weight).sum(2), (1, 1, 0, 0), mode="replicate")
        return (around[..., 2:] - around[..., :-2]) * 12


def grey(z_um: np.ndarray, y_um: np.ndarray, x_um: np.ndarray) -> np.ndarray:
    """Grey values, smooth at every size of voxels that is tried."""
    waves = np.sin(z_um / 35) + np.sin(y_um / 28 + 1) + np.sin((x_um + 0.5 * y_um + 0.3 * z_um) / 30)
    return (128 + 35 * waves).astype(np.float32)


def volume(um: float, depth_um: float = LENGTH_UM) -> np.ndarray:
    """The same grey values sampled at a size of voxels, about one middle."""
    places = [
        (np.arange(int(length / um)) - (int(length / um) - 1) / 2) * um for length in (depth_um, LENGTH_UM, LENGTH_UM)
    ]
    return grey(*np.meshgrid(*places, indexing="ij"))


def middle(values: np.ndarray, um: float, requested_um: float) -> np.ndarray:
    """Values at places `requested_um` apart about the middle, as far as 60 % of the length, by linear interpolation."""
    reach = np.arange(0, 0.3 * LENGTH_UM, requested_um)
    places = np.concatenate([-reach[:0:-1], reach])
    axes = [places / um + (n - 1) / 2 for n in values.shape]
    return map_coordinates(values.astype(np.float64), np.meshgrid(*axes, indexing="ij"), order=1)


def write_member(folder: Path, network: nn.Module, **message: object) -> Path:
    folder.mkdir(parents=True)
    size = (8, *WINDOW[1:]) if isinstance(network, Layered) else WINDOW
    torch.export.save(torch.export.export(network, (torch.zeros(1, 1, *size),)), folder / "net.pt2")
    card = Card.model_validate(
        {"family": "graph", "window": (0, 0, 0), "voxel_um": OWN_UM, "intensity": {"how": "divide", "spread": 50}}
        | message
    )
    write_card(folder, import_graph(folder / "net.pt2", folder, card))
    return folder


def settings_of(root: Path, member: Path, um: float, resample: bool = True, **data: object) -> Settings:
    return Settings.model_validate({
        "run_dir": root / "run",
        "data": {"kind": "cubes", "root": root, "cache_dir": root / "cache", "voxel_um": um} | data,
        "stage1": {"members": {"m": {"member": member, "resample": resample}}, "window": {"batch_size": 4}},
    })  # fmt: skip


def cube_of(settings: Settings, ct: np.ndarray) -> Cube:
    path = settings.data.root / "images" / f"{ct.shape[0]}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.rint(ct * 100).astype(np.uint16))
    return Cube(path.stem, "A", path, None, settings.data)


def predicted(root: Path, member: Path, um: float, resample: bool = True) -> np.ndarray:
    settings = settings_of(root, member, um, resample)
    cube = cube_of(settings, volume(um))
    predict_cube(settings, "m", cube, [0], root / "out", lambda: load_forward(settings, "m", [0]))
    return np.asarray(open_map(root / "out" / cube.id / "prob.zarr", "")[:], np.float32)


@pytest.mark.parametrize("um", [3.0, 4.5, 9.0, 14.0])
def test_of_what_is_smooth_it_says_the_same_at_any_size_of_voxels(tmp_path, um):
    member = write_member(tmp_path / "m", Slope(), intensity={"how": "divide", "spread": 5000})
    at_its_own = middle(predicted(tmp_path / "own", member, OWN_UM), OWN_UM, OWN_UM)
    found = middle(predicted(tmp_path / "other", member, um), um, OWN_UM)
    unknowing = write_member(tmp_path / "unknowing", Slope(), intensity={"how": "divide", "spread": 5000}, voxel_um=um)
    as_they_are = middle(predicted(tmp_path / "wrong", unknowing, um), um, OWN_UM)
    misfit = np.abs(found - at_its_own)
    assert np.ptp(at_its_own) > 0.5 and misfit.mean() < 0.025
    assert np.abs(as_they_are - at_its_own).mean() > 3 * misfit.mean()


def test_where_voxels_are_its_own_bits_are_those_of_one_that_is_not_resampled(tmp_path):
    member = write_member(tmp_path / "m", Slope(), intensity={"how": "divide", "spread": 5000})
    for um in (OWN_UM, 1.009 * OWN_UM):
        plain, asked = (predicted(tmp_path / f"{um}{resample}", member, um, resample) for resample in (False, True))
        assert plain.tobytes() == asked.tobytes()
        assert view_of(settings_of(tmp_path, member, um), "m", um) == View(WINDOW)


def fragment_of(root: Path, member: Path, um: float, layers: int, **data: object) -> tuple[Settings, Fragment]:
    """A stack of layers about a sheet in the middle one, the phantom's z = 0."""
    settings = settings_of(root, member, um, kind="fragments", bin_yx=1, **data)
    stack = root / "train" / "1" / "surface_volume"
    stack.mkdir(parents=True)
    y, x = ((np.arange(int(LENGTH_UM / um)) - (int(LENGTH_UM / um) - 1) / 2) * um for _ in "yx")
    for layer in range(layers):
        picture = grey(*np.meshgrid([(layer - layers // 2) * um], y, x, indexing="ij"))[0]
        tifffile.imwrite(stack / f"{layer:02d}.tif", np.rint(picture * 100).astype(np.uint16))
    return settings, find_fragments(root / "train", settings.data)[0]


@pytest.mark.parametrize("direction", ["inwards", "outwards"])
@pytest.mark.parametrize("um", [3.0, 9.0, 14.0])
def test_a_map_is_made_of_layers_as_far_about_the_sheet_as_it_was_trained_on(tmp_path, um, direction):
    message = {
        "returns": "map",
        "layers": LAYERS,
        "direction": direction,
        "intensity": {"how": "divide", "spread": 5000},
    }
    member, found = write_member(tmp_path / "m", Layered(), **message), {}
    for name, size in (("own", OWN_UM), ("other", um)):
        settings, fragment = fragment_of(tmp_path / name, member, size, 33, depth=(-8, 8))
        predict_map(settings, "m", fragment, [0], tmp_path / name / "out")
        flat = np.asarray(open_map(tmp_path / name / "out" / "flat.zarr", "")[0], np.float32)
        found[name] = middle(flat, size, OWN_UM)
    assert np.ptp(found["own"]) > 0.3 and np.abs(found["other"] - found["own"]).mean() < 0.025
    receipt = read_receipt(tmp_path / "other" / "out", "")
    assert receipt["resampled"] == {"from_um": um, "to_um": OWN_UM} and receipt["card"]["voxel_um"] == OWN_UM
    assert "resampled" not in read_receipt(tmp_path / "own" / "out", "")


def test_voxels_of_fragments_are_resampled_too_and_parts_are_what_the_whole_is(tmp_path):
    member = write_member(tmp_path / "m", Slope(), intensity={"how": "divide", "spread": 5000})
    settings, fragment = fragment_of(tmp_path / "f", member, 9.0, 33, depth=(-12, 12))
    rows = fragment.rows
    whole = prediction_of_fragment(settings, "m", fragment, (0, rows), [0]).rows(0, rows)[0]
    part = prediction_of_fragment(settings, "m", fragment, (0, rows), [0]).rows(8, 20)[0]
    assert part.tobytes() == np.ascontiguousarray(whole[:, 8:20]).tobytes()
    own, own_fragment = fragment_of(tmp_path / "own", member, OWN_UM, 49, depth=(-18, 18))
    there = prediction_of_fragment(own, "m", own_fragment, (0, own_fragment.rows), [0]).rows(0, own_fragment.rows)[0]
    found, expected = middle(whole[12], 9.0, OWN_UM), middle(there[18], OWN_UM, OWN_UM)  # the sheet's own layer
    assert np.ptp(expected) > 0.3 and np.abs(found - expected).mean() < 0.03
    with pytest.raises(InputError, match=r"voxels are 2 times as wide as layers lie apart; set data\.bin_yx: 1"):
        check_voxels(of_others(settings)["m"], 18.0, 2)


def test_shards_of_a_whole_scroll_are_what_a_cube_of_it_is(tmp_path):
    member = write_member(tmp_path / "m", Slope(), intensity={"how": "divide", "spread": 5000})
    settings = settings_of(tmp_path, member, 9.0)
    ct = np.rint(volume(9.0)[:32, :32, :32] * 100).astype(np.uint16)
    cube = cube_of(settings, volume(9.0)[:32, :32, :32])
    create_ome_zarr(tmp_path / "scroll.zarr", ct.shape, "uint16", (16,) * 3, 9.0)[:] = ct
    expected = prediction_of(settings, "m", cube, lambda: load_forward(settings, "m", [0])).rows(0, cube.rows)[0]
    fit = {
        "made_from": "k",
        "rows": {},
        "route": "ensemble",
        "intervals": {},
        "gains": {},
        "resampled": {"cubes": 0, "scrolls": 0},
    }
    write_sealed(settings.folder.fit, fit | {"weights": {"weights": {"m": 1.0}}})
    plan = make_plan(settings, ScrollRequest(str(tmp_path / "scroll.zarr"), shard_vox=16, chunk_vox=16))
    predictor = recipe_of(settings, plan)()
    assert len(plan.shards) == 8 and expected.std() > 0.05
    for shard in plan.shards:
        place = tuple(slice(c, c + n) for c, n in zip(shard.corner, shard.size, strict=True))
        np.testing.assert_allclose(predictor(shard.corner, shard.size)[0], expected[place], atol=1e-5)


def test_an_nnunet_looks_window_by_window_where_it_is_resampled_and_whole_where_it_is_not(tmp_path):
    (tmp_path / "m").mkdir()
    card = import_nnunet(write_folder(tmp_path / "model", patch=WINDOW), tmp_path / "m")
    write_card(tmp_path / "m", card.model_copy(update={"voxel_um": OWN_UM}))
    other = of_others(settings_of(tmp_path, tmp_path / "m", 9.0))["m"]
    assert other.goes_whole(OWN_UM) and not other.goes_whole(9.0)
    found = predicted(tmp_path / "run", tmp_path / "m", 9.0)
    assert found.shape == (33, 33, 33) and np.isfinite(found).all() and found.std() > 0.01


def test_what_is_resampled_is_said_and_windows_are_as_wide_as_its_own(tmp_path):
    member = write_member(tmp_path / "m", Slope())
    settings = settings_of(tmp_path, member, 9.0)
    cube, other = cube_of(settings, volume(9.0)), of_others(settings)["m"]
    check_items(other, [cube], settings.data)
    assert message_on_resampling(other, [cube]) == "voxels of 9 um are resampled to the 6 um that it was trained at"
    assert message_on_resampling(of_others(settings_of(tmp_path, member, OWN_UM))["m"], []) == ""
    assert windows_mm(settings, cube)["m"] == pytest.approx((0.096,) * 3)


def test_the_doctor_says_what_is_resampled(tmp_path):
    member = write_member(tmp_path / "m", Slope())
    for folder, values in (("train_images", volume(9.0)), ("train_labels", volume(9.0) > 140)):
        (tmp_path / folder).mkdir()
        for cube in "12":
            tifffile.imwrite(tmp_path / folder / f"{cube}.tif", values.astype(np.uint8))
    (tmp_path / "train.csv").write_text("id,scroll_id\n1,A\n2,B\n")
    content = settings_of(tmp_path, member, 9.0).model_dump(mode="json", include={"run_dir", "data", "stage1"})
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content | {"folds": {"by": "scroll", "count": 2}}))
    message = [*examine(tmp_path / "c.yaml", [])]
    assert (
        "ok: stage1.members.m: these items suit it; voxels of 9 um are resampled to the 6 um that it was trained at"
        in message
    )


@pytest.mark.parametrize(
    ("um", "resample", "message", "refused"),
    [
        (9.0, False, {}, r"trained at 6 um a voxel, and here they are 9; set stage1\.members\.m\.resample: true"),
        (25.0, True, {}, r"more than 4 times as wide or narrow; give data nearer to that size"),
        (1.4, True, {}, r"more than 4 times as wide or narrow"),
        (9.0, True, {"voxel_um": None}, r"says no size of voxels; import it with the --voxel-um"),
    ],
)
def test_what_is_not_resampled_is_reported_in_one_line(tmp_path, um, resample, message, refused):
    settings = settings_of(tmp_path, write_member(tmp_path / "m", Slope(), **message), um, resample)
    with pytest.raises(InputError, match=refused) as error:
        check_items(of_others(settings)["m"], [cube_of(settings, volume(9.0))], settings.data)
    assert "\n" not in str(error.value)


def test_only_members_of_others_are_resampled_and_old_settings_stay_as_they_were(tmp_path):
    with pytest.raises(ValidationError, match="sees the voxels of its data"):
        MemberSettings.model_validate({"network": "cnn3d", "resample": True})
    assert "resample" not in MemberSettings.model_validate({"member": "m"}).for_key()


@pytest.mark.parametrize(("direction", "expected"), [("inwards", (-3, 2)), ("outwards", (-1, 4))])
def test_layers_by_hand(tmp_path, direction, expected):
    """Layers -6 to 1 of 6 um lie from -36 to 6 um, seen from the other side from -6 to 36 um: of 12 um, -3 to 0.5 and -0.5 to 3."""
    member = write_member(tmp_path / "m", Layered(), returns="map", layers=(-6, 2), direction=direction)
    assert layer_span(of_others(settings_of(tmp_path, member, 12.0))["m"], 12.0)[:2] == expected
