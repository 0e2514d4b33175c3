"""The command: lists to read and for machines, what belongs together, and the exit code of an error that can be mended."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ensemble.commands import catalogue as entry_point
from scroll.errors import InputError, MissingInputError
from tests.catalogue.published import BUCKET, LAYERS_UM, OTHER, SEGMENT, VOLUME

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "zarr", "numpy", "obstore", "pydantic", "yaml")


def run(monkeypatch, capsys, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["scripts/catalogue.py", *words])
    entry_point.main()
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [(), ("list",), ("show",), ("add",)])
def test_help_loads_nothing_heavy(words):
    code = f"import sys; sys.argv[1:] = {[*words, '--help']!r}\nfrom ensemble.commands import catalogue\ntry: catalogue.main()\n"
    code += f"except SystemExit: print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "usage:" in done.stdout and done.stdout.rstrip().endswith("[]")


def test_the_list_has_a_line_for_each_thing_with_its_size(server, source, monkeypatch, capsys):
    message = run(monkeypatch, capsys, "list", "--source", source).splitlines()
    assert message[0].split() == ["scroll", "kind", "name", "voxel", "um", "made", "what"]
    assert "PHercParis4 (Scroll1)" in message
    lines = {tuple(line.split()[:2]): line for line in message}
    words = lines["volume", VOLUME].split()
    assert words[2:5] == ["(masked)", f"{LAYERS_UM:g}", "2025-01-01"] and words[5].startswith(f"s3://{BUCKET}/")
    assert "(w016)" in lines["segment", SEGMENT] and f"of volume {VOLUME}" in lines["segment", SEGMENT]
    surface = next(line for line in message if "surface volume" in line and SEGMENT in line)
    assert surface.endswith(f"/{LAYERS_UM}um-volume-{VOLUME}.zarr") and f" {LAYERS_UM:g} " in surface
    starts = {line.index("s3://") for line in message if "s3://" in line}
    assert len(starts) == 1  # a table


@pytest.mark.parametrize(
    ("pattern", "segments"),
    [
        ("w016", [SEGMENT]),
        ("PHerc0139/*", [SEGMENT]),
        ("scroll1", [OTHER]),
        ("1/2023*", [OTHER]),
        ("2023", [OTHER]),
        ("*", [SEGMENT, OTHER]),
    ],
)
def test_a_pattern_picks_what_it_fits(server, source, monkeypatch, capsys, pattern, segments):
    listed = json.loads(run(monkeypatch, capsys, "list", pattern, "--source", source, "--json"))
    assert [segment["id"] for scroll in listed for segment in scroll["segments"]] == segments


def test_a_pattern_that_fits_nothing_is_said(server, source, monkeypatch, capsys):
    with pytest.raises(MissingInputError, match="nothing fits 'zzz'"):
        run(monkeypatch, capsys, "list", "zzz", "--source", source)


def test_show_names_all_that_belongs_together(server, source, monkeypatch, capsys):
    message = run(monkeypatch, capsys, "show", "PHerc0139/w016", "--source", source)
    base = f"s3://{BUCKET}/PHerc0139"
    for line in (
        f"segment PHerc0139/{SEGMENT} (w016), made 2026-03-11",
        f"  volume PHerc0139/{VOLUME}: voxels of {LAYERS_UM:g} um: {base}/volumes/{VOLUME}-{LAYERS_UM}um-78keV-masked.zarr",
        f"  surface tifxyz: {base}/segments/{SEGMENT}/tifxyz",
        f"  surface volume, voxels of {LAYERS_UM:g} um: {base}/segments/{SEGMENT}/surface-volumes/{LAYERS_UM}um-volume-{VOLUME}.zarr",
        f"  label inklabels v2: {base}/segments/{SEGMENT}/labels/w016_inklabels_v2.zarr",
        f"  label validation_mask v3: {base}/segments/{SEGMENT}/labels/w016_validation_mask_v3.tif",
        f"  ink seen by a network (no label): {base}/segments/{SEGMENT}/ink-detection/{LAYERS_UM}um.jpg",
    ):
        assert line in message.splitlines()
    assert "contradiction" not in message
    found = json.loads(run(monkeypatch, capsys, "show", SEGMENT, "--source", source, "--json"))
    assert found["volume"] == VOLUME and [one["version"] for one in found["labels"]] == [2, 1, 3]


@pytest.mark.parametrize(
    ("name", "message"), [("Scroll1", OTHER), (VOLUME, f"segments: {SEGMENT}"), (f"Scroll1/{OTHER}", "inklabels")]
)
def test_show_takes_scrolls_volumes_and_segments(server, source, monkeypatch, capsys, name, message):
    assert message in run(monkeypatch, capsys, "show", name, "--source", source)


def test_show_and_the_list_say_what_contradicts_itself_and_what_was_passed_over(
    server, served, source, monkeypatch, capsys
):
    path = served / BUCKET / "metadata.json"
    text = path.read_text().replace(
        f'"original_volume_id": "{VOLUME}"', '"original_volume_id": "20990101000000", "colour": 1'
    )
    path.write_text(text)
    for name in ("w016", "PHerc0139"):
        assert f"contradiction: PHerc0139/{SEGMENT}: original_volume_id is 20990101000000" in run(
            monkeypatch, capsys, "show", name, "--source", source
        )
    monkeypatch.setattr(sys, "argv", ["scripts/catalogue.py", "list", "--source", source])
    entry_point.main()
    assert f"segments.{SEGMENT}.colour: unknown key of a segment" in capsys.readouterr().err


def test_add_of_several_names_stops_before_the_first_where_one_is_wrong(server, source, monkeypatch, capsys, tmp_path):
    with pytest.raises(InputError, match="no 'PHerc0139/w61'"):
        run(
            monkeypatch,
            capsys,
            "add",
            "PHerc0139/w016",
            "PHerc0139/w61",
            "--to",
            str(tmp_path / "to"),
            "--accept-terms",
            "--source",
            source,
        )
    assert not (tmp_path / "to").exists()
    run(
        monkeypatch,
        capsys,
        "add",
        "PHerc0139/w016",
        f"1/{OTHER}",
        "--to",
        str(tmp_path / "to"),
        "--accept-terms",
        "--source",
        source,
    )
    assert {path.name for path in (tmp_path / "to").iterdir()} == {
        "PHerc0139_w016",
        f"PHercParis4_{OTHER}",
        "terms.json",
    }


def test_terms_that_are_not_accepted_are_an_error_that_can_be_mended(server, source, tmp_path):
    command = [sys.executable, "scripts/catalogue.py", "add", "w016", "--to", str(tmp_path / "to"), "--source", source]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "scrollprize.org/data" in done.stdout
    assert done.stderr.count("\n") == 1 and "--accept-terms" in done.stderr
