"""From names to entries, and what contradicts itself."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from scroll.catalogue.contradictions import contradictions
from scroll.catalogue.entries import Catalogue, TracedSegment
from scroll.catalogue.find import folder_of, hits, the_hit, the_segment
from scroll.catalogue.read import read_catalogue
from scroll.errors import InputError, MissingInputError
from scroll.runtime.scroll_names import SCROLLS, folder_name, scroll_name, sound_item_name
from tests.catalogue.published import BUCKET, LAYERS_UM, OTHER, SEGMENT, VOLUME, classic, data_entry, open_data


def read(folder: Path, content: Any, name: str = "metadata.json") -> Catalogue:
    path = folder / name
    path.write_text(json.dumps(content) if name.endswith(".json") else yaml.safe_dump(content))
    return read_catalogue(str(path))


@pytest.fixture
def content() -> dict[str, Any]:
    return open_data()


def samples(content: dict[str, Any]) -> dict[str, Any]:
    return content["metadata"]["samples"]


def segment_of(content: dict[str, Any]) -> dict[str, Any]:
    return samples(content)["PHerc0139"]["segments"][SEGMENT]


@pytest.mark.parametrize(
    "name",
    ["PHerc0139/w016", "pherc0139/W016", "PHerc139/w016", f"PHerc0139/{SEGMENT}", SEGMENT, f"{SEGMENT}-w016", "w016", "PHerc0139-w016"],
)  # fmt: skip
def test_a_segment_is_found_by_every_name_it_bears(tmp_path, content, name):
    assert the_segment(read(tmp_path, content), name).full_name == f"PHerc0139/{SEGMENT}"


@pytest.mark.parametrize("name", ["Scroll1", "scroll 1", "1", "PHercParis4", "PHerc. Paris 4"])
@pytest.mark.parametrize("key", ["Scroll1", "1", "PHercParis4"])
def test_a_scroll_is_found_by_its_number_and_its_name_whichever_the_catalogue_has(tmp_path, content, name, key):
    samples(content)[key] = samples(content).pop("PHercParis4")
    catalogue = read(tmp_path, content)
    assert the_hit(catalogue, name) is catalogue.scrolls["PHercParis4"]
    assert the_segment(catalogue, f"{name}/{OTHER}").scroll == "PHercParis4"


def test_the_five_scrolls_have_one_name_each_and_it_is_stable():
    assert len({*SCROLLS.values()}) == 5
    for number, name in SCROLLS.items():
        assert scroll_name(number) == scroll_name(name) == scroll_name(scroll_name(number)) == name


def test_both_published_shapes_and_both_spellings_say_the_same_of_a_segment(tmp_path, content):
    newer = copy.deepcopy(samples(content))
    for sample in newer.values():
        for volume in sample["volumes"].values():
            volume["properties"] = {"pixel_size_um": volume.pop("pixel_size_um")}
            for entry in volume["data"]:
                entry["type"] = "ome-zarr"
        for segment in sample["segments"].values():
            for entry in segment["data"]:
                entry["type"] = entry["type"].replace("_", "-")
    old, new = read(tmp_path, content), read(tmp_path, {"samples": newer, "models": {}}, "newer.json")
    for name in ("w016", OTHER):
        a, b = the_segment(old, name), the_segment(new, name)
        assert [one.address for one in a.artifacts] == [one.address for one in b.artifacts]
        assert [one.type for one in a.artifacts] == [one.type for one in b.artifacts]
    assert new.scrolls["PHerc0139"].volumes[VOLUME].voxel_um == LAYERS_UM


def test_the_classic_list_gives_the_segment_with_its_volume_and_size(tmp_path):
    catalogue = read(tmp_path, classic("https://dl.ash2txt.org"), "scrolls.yaml")
    segment = the_segment(catalogue, f"Scroll1/{OTHER}")
    assert segment.volume_id == "54keV_7.91um_Scroll1A" and segment.surface_volumes[0].voxel_um == 7.91
    assert (
        segment.surface_volumes[0].address
        == f"https://dl.ash2txt.org/other/dev/scrolls/1/segments/54keV_7.91um/{OTHER}.zarr"
    )
    assert not catalogue.faults and not contradictions(catalogue, segment)


def test_addresses_are_those_that_the_public_may_read_below_their_roots(tmp_path, content):
    segment = the_segment(read(tmp_path, content), "w016")
    assert segment.surfaces[0].address == f"s3://{BUCKET}/PHerc0139/segments/{SEGMENT}/tifxyz"
    segment_of(content)["data"] = [
        data_entry("tifxyz", "https://host/elsewhere/a.tifxyz"),
        data_entry("tifxyz", "a/b", "mirror"),
    ]
    found = the_segment(read(tmp_path, content), "w016").surfaces
    assert [one.address for one in found] == ["https://host/elsewhere/a.tifxyz", str(tmp_path / "mirror" / "a" / "b")]


def test_several_of_one_name_are_named_and_one_is_asked_for(tmp_path, content):
    samples(content)["PHerc0139"]["segments"]["20260401000000"] = {"suffix": "w016", "data": []}
    catalogue = read(tmp_path, content)
    with pytest.raises(InputError, match=rf"2: PHerc0139/{SEGMENT}, PHerc0139/20260401000000; give one of these"):
        the_hit(catalogue, "PHerc0139/w016")
    assert len(hits(catalogue, "w016")) == 2 and the_segment(catalogue, SEGMENT)


def test_a_timestamp_of_a_segment_and_of_its_volume_is_the_segment(tmp_path, content):
    samples(content)["PHerc0139"]["volumes"][SEGMENT] = {"data": []}
    hit = the_hit(read(tmp_path, content), SEGMENT)
    assert isinstance(hit, TracedSegment) and hit.id == SEGMENT


def test_a_name_that_is_none_is_reported_with_what_is_near(tmp_path, content):
    catalogue = read(tmp_path, content)
    with pytest.raises(MissingInputError, match=r"no 'PHerc0139/w061'; did you mean PHerc0139/w016"):
        the_hit(catalogue, "PHerc0139/w061")
    with pytest.raises(MissingInputError, match=r"its scrolls: PHerc0139, PHercParis4"):
        the_hit(catalogue, "zzz")
    with pytest.raises(InputError, match=rf"'PHerc0139' is a scroll; expected a segment, one of PHerc0139/{SEGMENT}"):
        the_segment(catalogue, "PHerc0139")
    with pytest.raises(InputError, match="is a volume; expected a segment"):
        the_segment(catalogue, VOLUME)


def test_a_segment_whose_entry_is_wrong_is_reported_with_the_place_of_the_fault(tmp_path, content):
    segment_of(content)["properties"] = {"original_volume_downscale": "four"}
    with pytest.raises(
        MissingInputError, match=r"properties\.original_volume_downscale: holds 'four'; expected a number above 0"
    ):
        the_segment(read(tmp_path, content), SEGMENT)


@pytest.mark.parametrize(
    ("typed", "folder"),
    [("PHerc0139/w016", "PHerc0139_w016"), ("pherc139/w016", "PHerc0139_w016"), (f"1/{OTHER}", f"PHercParis4_{OTHER}")],
)
def test_a_configuration_and_a_command_make_the_same_folder_of_a_name(tmp_path, content, typed, folder):
    assert folder_name(typed) == folder
    assert folder_of(the_segment(read(tmp_path, content), typed), typed) == folder


@pytest.mark.parametrize("name", ["a/b/c", "../a", "a/..", "/a", "a/", "a b/c", "con/nul", "a\\b/c"])
def test_names_that_could_lead_elsewhere_are_refused(name):
    with pytest.raises(ValueError, match=r"expected|device"):
        sound_item_name(name)


def lines(tmp_path: Path, content: dict[str, Any], name: str = "w016") -> list[str]:
    catalogue = read(tmp_path, content)
    return contradictions(catalogue, the_segment(catalogue, name))


def test_what_fits_together_contradicts_nothing(tmp_path, content):
    assert not lines(tmp_path, content) and not lines(tmp_path, content, OTHER)


def test_a_volume_that_is_not_there_and_one_of_another_scroll_are_said(tmp_path, content):
    segment_of(content)["original_volume_id"] = "20990101000000"
    assert lines(tmp_path, content) == [
        f"PHerc0139/{SEGMENT}: original_volume_id is 20990101000000, and no volume is called so; check where it was traced"
    ]
    segment_of(content)["original_volume_id"] = "20230205180739"
    message = lines(tmp_path, content)
    assert "a volume of PHercParis4, not of PHerc0139" in message[0]


def test_a_volume_that_was_scanned_after_the_segment_was_made_is_said(tmp_path, content):
    sample = samples(content)["PHerc0139"]
    sample["segments"]["20241231000000"] = sample["segments"].pop(SEGMENT) | {"long_id": "20241231000000-w016"}
    assert (
        "was made 2024-12-31, but its volume 20250101120000 was scanned 2025-01-01, later"
        in lines(tmp_path, content)[0]
    )
    sample["segments"]["20241231000000"]["creation"] = {"date": "2025-06-11T15:42:56+00:00Z"}  # as some are published
    assert not lines(tmp_path, content)
    sample["scans"][VOLUME]["creation"] = {"date": "2025-06-20T00:00:00Z"}
    assert "scanned 2025-06-20" in lines(tmp_path, content)[0]


@pytest.mark.parametrize(
    ("downscale", "fits"), [(1, True), (2, True), (4, True), (3, False), (3.297, True), (0.5, False)]
)
def test_a_scale_is_a_level_of_the_volume_or_another_volume_of_the_scroll(tmp_path, content, downscale, fits):
    volumes = samples(content)["PHerc0139"]["volumes"]
    volumes["20240101000000"] = {"pixel_size_um": 7.91, "data": []}
    segment_of(content)["properties"]["original_volume_downscale"] = downscale
    message = lines(tmp_path, content)
    assert (not message) == fits and all(f"{downscale * LAYERS_UM:g} um" in line for line in message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("w016-9.596um.tifxyz", None),
        ("w016-2.399um.tifxyz", "which makes 9.596 um, but w016-2.399um.tifxyz says 2.399 um"),
        (f"w016-on-{VOLUME}-2.399um.tifxyz", None),
        (f"w016-on-{VOLUME}-7.91um.tifxyz", "says that its volume has voxels of 7.91 um, the catalogue 2.399 um"),
        ("w016-on-20990101000000-7.91um.tifxyz", None),
    ],
)
def test_a_scale_that_the_surface_itself_contradicts_is_said(tmp_path, content, name, message):
    segment_of(content)["data"][0] = data_entry("tifxyz", f"a/{name}")
    found = lines(tmp_path, content)
    assert len(found) == (message is not None) and all(str(message) in line for line in found)


def test_a_size_that_the_segment_states_is_that_of_its_coordinates(tmp_path, content):
    segment_of(content)["properties"]["pixel_size_um"] = 9.6
    assert not lines(tmp_path, content)
    segment_of(content)["properties"]["pixel_size_um"] = LAYERS_UM
    assert "which makes 9.596 um, but pixel_size_um is 2.399 um" in lines(tmp_path, content)[0]


@pytest.mark.parametrize(("um", "fits"), [(2.399, True), (9.596, True), (9.362, False), (7.91, False)])
def test_a_surface_volume_has_the_voxels_of_a_volume_or_of_a_level_of_one(tmp_path, content, um, fits):
    segment_of(content)["data"][1] = data_entry("layers_zarr", f"a/{um}um.zarr")
    message = lines(tmp_path, content)
    assert (not message) == fits and all(f"{um}um.zarr has voxels of {um:g} um" in line for line in message)
