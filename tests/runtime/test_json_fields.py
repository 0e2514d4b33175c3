"""A field of a JSON that is read back is there and of its kind, or is named with its file; no such file ends in a traceback."""

import json
import time

import numpy as np
import pytest

from ensemble.commands.compare import Clock
from ensemble.ink.fit_record import InkFit
from ensemble.surface.fit_record import SurfaceFit
from ensemble.surface.postprocess.pipeline import PostProcessing
from scroll.errors import InputError
from scroll.inference.read_back import read_back
from scroll.runtime.files import read_mapping, write_json
from scroll.runtime.json_fields import AGAIN
from scroll.runtime.receipt import read_receipt
from scroll.runtime.record import as_record, kept_record, write_record
from scroll.shards.grid import shard_at
from scroll.shards.ledger import Ledger, Outcome
from scroll.shards.plan import Plan, read_plan, write_plan
from scroll.shards.status import read_status
from scroll.volumes.sharded.output import OutputFormat, create_output, open_output

GAIN = {"difference": 0.1, "low": 0.0, "high": 0.2, "verdict": "better"}
INK = {"made_from": "k", "weights": {"a": 1}, "thresholds": {"a": 0.5}, "left_out": None, "gain_where_fitted": GAIN}
ROW = {
    "post_processing": PostProcessing(0.5, small_components_vox=100).as_record(),
    "means": {"score": 0.5},
    "trials": [
        {
            "step": "small_components",
            "small_components_vox": 100,
            "kept": True,
            "gain": 0.0,
            "score": 1.0,
            "topo": 0.5,
            "score of a": 0.25,
        }
    ],
    "lift": {"thickness_vox": 3.0, "offset_vox": 0.0, "follow": 0.0, "presence_sigma_vox": 4.0, "doubt": 1.0},
}
CUBE = {
    "made_from": "k",
    "rows": {"a": ROW},
    "weights": {"weights": {"a": 1.0}},
    "route": "a",
    "intervals": {"a": [0, 1]},
}
CUBE |= {"gains": {"a": GAIN}, "resampled": {"cubes": 3, "scrolls": 2}}
PLAN = Plan("key", OutputFormat((64, 64, 64), 32, 16, 7.91), ((0, 0, 0),), 5, windows={"a": 3}, window_s={"a": 0.1})


def changed(content: dict, dotted: str, value: object) -> dict:
    """The same with another value (... for none) at a dotted place."""
    copy = json.loads(json.dumps(content))
    *path, last = dotted.split(".")
    at = copy
    for name in path:
        at = at[int(name) if isinstance(at, list) else name]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return copy


def test_a_fit_whose_post_processing_has_its_former_names_is_read_by_the_new_ones(tmp_path):
    former = json.dumps(CUBE).replace("octant_small_components", "octant_dust").replace("small_components", "dust")
    former = former.replace("fill_holes", "plug").replace("post_processing", "chain")
    write_json(tmp_path / "fit.json", json.loads(former))
    before = as_record(tmp_path / "fit.json", read_mapping(tmp_path / "fit.json"), SurfaceFit)
    assert (
        '"dust_vox": 100' in former
        and '"chain"' in former
        and before.rows["a"].post_processing.small_components_vox == 100
    )
    assert json.loads(before.model_dump_json(exclude_unset=True)) == {"version": 0} | CUBE


@pytest.mark.parametrize(
    ("fit", "model", "dotted", "value"),
    [
        (INK, InkFit, "weights.a", "much"), (INK, InkFit, "weights.a", None), (INK, InkFit, "weights.a", True),
        (INK, InkFit, "weights.a", float("nan")), (INK, InkFit, "thresholds", ...), (INK, InkFit, "thresholds", [0.5]),
        (INK, InkFit, "left_out", 5), (INK, InkFit, "gain_where_fitted.low", ...), (INK, InkFit, "gain_where_fitted.verdict", "good"),
        (INK, InkFit, "version", 10**6), (INK, InkFit, "version", "1"), (CUBE, SurfaceFit, "rows.a.means.score", []),
        (CUBE, SurfaceFit, "rows.a.trials.0.gain", "x"), (CUBE, SurfaceFit, "rows.a.trials.0.kept", ...),
        (CUBE, SurfaceFit, "rows.a", 5), (CUBE, SurfaceFit, "intervals.a", [1]), (CUBE, SurfaceFit, "route", ...),
        (CUBE, SurfaceFit, "rows.a.post_processing", {"threshold": 0.5, "blur": 1}), (CUBE, SurfaceFit, "resampled.cubes", True),
        (CUBE, SurfaceFit, "rows.a.lift.doubt", float("inf")), (CUBE, SurfaceFit, "rows.a.lift.mood", 1.0),
    ],
)  # fmt: skip
def test_a_fit_of_before_is_read_and_a_field_that_holds_something_else_is_named(tmp_path, fit, model, dotted, value):
    path = tmp_path / "fit.json"
    write_json(path, fit)
    before = as_record(path, read_mapping(path), model)
    assert before.version == 0 and json.loads(before.model_dump_json(exclude_unset=True)) == {"version": 0} | fit
    with pytest.raises(InputError, match=r"fit\.json: 'nobody' is missing"):
        print(before.weights["nobody"] if model is InkFit else before.rows["nobody"])
    write_json(path, changed(fit, dotted, value))
    with pytest.raises(InputError, match=rf"fit\.json: '{dotted}[^']*' .*{AGAIN}"):
        as_record(path, read_mapping(path), model)
    assert kept_record(path, "fitted", model) is None


def test_a_record_is_written_with_a_version_in_the_order_of_its_fields_and_without_what_was_not_given(tmp_path):
    fit = InkFit(weights={"a": 1.0}, thresholds={"a": 0.5}, made_from="k", left_out=None)
    write_record(tmp_path / "fit.json", fit)
    lines = (tmp_path / "fit.json").read_text().splitlines()
    names = ["version", "made_from", "weights", "a", "thresholds", "a", "left_out", "checksum"]
    assert [line.split('"')[1] for line in lines if '"' in line] == names
    assert as_record(tmp_path / "fit.json", read_mapping(tmp_path / "fit.json"), InkFit) == fit


def test_asking_for_a_field_that_is_lost_names_it_and_the_file_however_deep(tmp_path):
    write_json(tmp_path / "a.json", {"rows": [{"name": "x"}]})
    content = read_mapping(tmp_path / "a.json")
    for ask in (lambda: content["title"], lambda: content["rows"][0]["title"]):
        with pytest.raises(InputError, match=r"a\.json: 'title' is missing"):
            ask()
        with pytest.raises(KeyError):
            ask()
    assert content.get("title") is None and content | {"title": 1} == {"rows": [{"name": "x"}], "title": 1}


@pytest.mark.parametrize(
    "field",
    [{"holds": 5}, {"holds": {"a.tif": 7}}, {"source": None}, {"origin_zyx": [1]}, {"is_flipped": 0}, {"window": "x"}],
)
def test_a_receipt_whose_fields_are_of_another_kind_is_named_and_verify_goes_on(tmp_path, field):
    write_json(tmp_path / "receipt.json", {"key": "k", **field})
    with pytest.raises(InputError, match=rf"receipt\.json: '{next(iter(field))}'"):
        read_receipt(tmp_path, "")
    if "holds" in field:
        assert [found.why for found in read_back(tmp_path)][-1]


@pytest.mark.parametrize("step", [5, {}, {"wall_s": 1.0, "cpu_s": 2.0}, {"wall_s": 1.0, "cpu_s": 2.0, "is_done": None}])
def test_a_clock_of_another_shape_is_named(tmp_path, step):
    write_json(tmp_path / "clock.json", {"stage1": step})
    with pytest.raises(InputError, match=r"clock\.json: 'stage1'"):
        Clock(tmp_path / "clock.json")


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("how", ...), ("how.shape", [64, 64]), ("how.shape", [64, 64, 1.5]), ("how.levels", 10**9), ("how.voxel_um", "x"),
        ("how.version", "7"), ("windows.a", None), ("window_s.a", "x"), ("indices", ["a-b-c"]), ("bytes_read", "x"), ("about", 3),
    ],
)  # fmt: skip
def test_a_plan_of_another_shape_is_named(tmp_path, dotted, value):
    write_plan(tmp_path / "plan.json", PLAN)
    content = changed(json.loads((tmp_path / "plan.json").read_text()), dotted, value)
    content.pop("checksum")
    write_json(tmp_path / "plan.json", content)
    with pytest.raises(InputError, match=r"plan\.json: "):
        read_plan(tmp_path / "plan.json")


@pytest.mark.parametrize(("name", "value"), [("shard_vox", ...), ("shape", 5), ("levels", "x"), ("key", ...)])
def test_an_output_whose_attributes_are_of_another_shape_is_named(tmp_path, name, value):
    create_output(tmp_path / "o.zarr", OutputFormat((8, 8, 8), 8, 4, 7.91, "0.4"), "key")
    attributes = json.loads((tmp_path / "o.zarr/.zattrs").read_text())
    (tmp_path / "o.zarr/.zattrs").write_text(json.dumps(changed(attributes, f"shard_output.{name}", value)))
    with pytest.raises(InputError, match=r"o\.zarr: .*attributes of an output"):
        open_output(tmp_path / "o.zarr")


@pytest.mark.parametrize("field", [{"busy_s": "x"}, {"began": None}, {"shards": []}, {"memory_gib": "x"}])
def test_a_damaged_note_of_a_worker_counts_for_nothing_in_the_status(tmp_path, field):
    write_plan(tmp_path / "plan.json", PLAN)
    ledger = Ledger(tmp_path, "key")
    ledger.record(Outcome(shard_at((64, 64, 64), 32, (0, 0, 0)), "w"))
    about = {
        "began": 1.0,
        "at": time.time(),
        "busy_s": 0.5,
        "shards": 1,
        "retries": 0,
        "gpu": "H200",
        "memory_gib": 3.5,
    }
    ledger.note_worker("sound", about)
    ledger.note_worker("bad", about | field)
    message = "\n".join(read_status(tmp_path).lines())
    assert "sound: 1 shards" in message and "3.5 GiB" in message and "bad" not in message


def test_a_file_of_an_output_that_links_to_itself_is_lost(tmp_path):
    output = create_output(tmp_path / "o.zarr", OutputFormat((8, 8, 8), 8, 4, 7.91), "key")
    output.write((0, 0, 0), np.ones((8, 8, 8), np.uint8))
    (file,) = (tmp_path / "o.zarr/0/c").rglob("0/0/0")
    file.unlink()
    file.symlink_to(file.name)
    assert output.files(0) == {}
