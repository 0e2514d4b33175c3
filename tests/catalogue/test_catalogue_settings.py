"""Names of a catalogue in a configuration: folders everywhere, added where they are not there, and nothing asked where they are."""

from pathlib import Path

import pytest
import yaml

from scroll.catalogue.add import Request, add
from scroll.catalogue.read import read_catalogue
from scroll.config.reader import load_settings, save_settings
from scroll.config.schema import DataSettings
from scroll.data.kinds import training_items
from scroll.errors import InputError, MissingInputError
from scroll.runtime.receipt import key_of
from tests.catalogue.published import BUCKET, LAYERS_UM, OTHER, SEGMENT

NAMES = ("PHerc0139/w016", f"Scroll1/{OTHER}")


def data_of(tmp_path: Path, source: str | None, **more) -> DataSettings:
    return DataSettings(root=tmp_path / "data", train=NAMES, catalogue=source, **more)


def test_names_are_added_once_the_terms_are_accepted_and_become_the_ids_of_items(server, source, tmp_path, capsys):
    data = data_of(tmp_path, source)
    with pytest.raises(
        InputError, match=rf"run python scripts/catalogue\.py add {NAMES[0]} {NAMES[1]} --to .* --accept-terms"
    ):
        training_items(data)
    add(read_catalogue(source), NAMES[0], Request(tmp_path / "data" / "train", accepts_terms=True))
    items = training_items(data)
    assert [item.id for item in items] == ["PHerc0139_w016", f"PHercParis4_{OTHER}"]
    assert (tmp_path / "data" / "train" / f"PHercParis4_{OTHER}" / f"PHercParis4_{OTHER}_inklabels.png").exists()
    server.requests[:] = []
    assert training_items(data) == items and not server.requests


def test_segments_are_added_with_their_surface_and_volume(server, source, tmp_path):
    data = DataSettings(kind="segments", root=tmp_path / "data", train=NAMES[:1], catalogue=source)
    add(
        read_catalogue(source),
        "PHerc0139/w016",
        Request(tmp_path / "data" / "train", accepts_terms=True, is_surface=True),
    )
    (item,) = training_items(data)
    assert item.id == "PHerc0139_w016" and item.source.startswith(f"s3://{BUCKET}/PHerc0139/volumes/")
    assert item.surface.points.shape == (4, 4, 3) and item.pixel_um == LAYERS_UM


def test_of_several_surface_volumes_that_of_the_size_in_the_settings_is_added(server, source, tmp_path):
    add(read_catalogue(source), f"Scroll1/{OTHER}", Request(tmp_path / "data" / "train", accepts_terms=True))
    with pytest.raises(InputError, match=rf"voxels of {LAYERS_UM:g} um; expected 9\.6"):
        training_items(data_of(tmp_path, source, voxel_um=9.6))


def test_a_segment_that_is_there_under_another_name_is_reported(server, source, tmp_path):
    add(read_catalogue(source), SEGMENT, Request(tmp_path / "data" / "train", accepts_terms=True))
    with pytest.raises(
        InputError, match=rf"'PHerc0139/w016' is there as .*PHerc0139_{SEGMENT}; write 'PHerc0139_{SEGMENT}'"
    ):
        training_items(data_of(tmp_path, source))


def test_a_name_that_the_catalogue_has_not_is_said(server, source, tmp_path):
    data = DataSettings(root=tmp_path / "data", train=("PHerc0139/w99",), catalogue=source)
    with pytest.raises(MissingInputError, match="no 'PHerc0139/w99'"):
        training_items(data)


def config(tmp_path: Path, data: dict) -> Path:
    path = tmp_path / "run.yaml"
    content = {"run_dir": "runs/a", "data": data, "stage1": {"members": {"a": {"network": "cnn3d"}}}}
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"train": ["PHerc0139/w016"]}, "train names 'PHerc0139/w016' and catalogue is not set; set data.catalogue"),
        ({"train": ["a/b/c"], "catalogue": "x"}, "3 parts between slashes; expected scroll/segment"),
        ({"train": ["../b"], "catalogue": "x"}, "no name for a folder"),
        ({"train": ["a/b"], "catalogue": "x", "kind": "cubes"}, "cubes are in no catalogue"),
        ({"catalogue": "https://me:secret@host/metadata.json"}, "holds what opens an address"),
    ],
)
def test_names_that_cannot_be_are_refused_in_one_line_that_names_the_setting(tmp_path, data, message):
    with pytest.raises(InputError) as error:
        load_settings(config(tmp_path, data))
    assert message in str(error.value) and "\n" not in str(error.value) and "secret" not in str(error.value)


def test_settings_without_a_catalogue_are_written_as_before_and_those_with_one_are_read_back(tmp_path):
    plain = load_settings(config(tmp_path, {"train": ["1", 2]}))
    assert "catalogue" not in plain.model_dump(mode="json")["data"] and plain.data.train == ("1", "2")
    named = load_settings(config(tmp_path, {"train": list(NAMES), "catalogue": "metadata.json"}))
    save_settings(named, tmp_path / "settings.yaml")
    again = load_settings(tmp_path / "settings.yaml")
    assert again == named and key_of(again.model_dump(mode="json")) == key_of(named.model_dump(mode="json"))
