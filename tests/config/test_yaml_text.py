"""What a YAML says is what is meant: ids are text, no key stands twice, a mode can be off, and every number has bounds."""

import typing
from importlib import import_module
from pathlib import Path

import annotated_types
import pytest
from pydantic import BaseModel

from scroll.config.reader import load_settings, save_settings
from scroll.config.schema import Settings
from scroll.errors import InputError
from stage1_3d.models import NETWORKS
from stage2_2d.network import SegformerOptions, SmpOptions

MINIMAL = "run_dir: runs/x\nstage1:\n  members:\n    a: {network: unet3d}\n"


def loaded(folder: Path, text: str = "", *overrides: str) -> Settings:
    (folder / "run.yaml").write_text(MINIMAL + text)
    return load_settings(folder / "run.yaml", overrides)


@pytest.mark.parametrize("written", ["010", "001", "1_0", "0x10", "0b1", "1.50", "1.0", "2023-08-27", "1e3"])
def test_an_id_is_the_text_that_was_written(tmp_path, written):
    assert loaded(tmp_path, f"data: {{train: [{written}, b]}}\n").data.train == (written, "b")
    settings = loaded(tmp_path, "", f"data.train=[{written}, b]")
    assert settings.data.train == (written, "b")
    save_settings(settings, tmp_path / "saved.yaml")
    assert load_settings(tmp_path / "saved.yaml") == settings


def test_a_member_may_be_called_by_a_number(tmp_path):
    (tmp_path / "run.yaml").write_text(
        "run_dir: r\nstage1: {members: {010: {network: unet3d}, 7: {network: unet3d}}}\n"
    )
    assert list(load_settings(tmp_path / "run.yaml").stage1.members) == ["010", "7"]


def test_a_number_is_a_number_however_it_is_written(tmp_path):
    text = (
        "ensemble: {threshold: 0.50, min_area_um2: 1_000}\nstage2: {training: {learning_rate: 1.0e-4, momentum: .5}}\n"
    )
    settings = loaded(tmp_path, text)
    assert (settings.ensemble.threshold, settings.ensemble.min_area_um2) == (0.5, 1000)
    assert (settings.stage2.training.learning_rate, settings.stage2.training.momentum) == (1e-4, 0.5)


def test_options_of_a_network_are_read_as_yaml_reads_them(tmp_path):
    """They are hashed as they stand: another type would train every network again."""
    settings = loaded(tmp_path, "", 'stage1.members.a.options={dropout: 0.10, channels: [010, 1_0], name: "07"}')
    assert settings.stage1.members["a"].options == {"dropout": 0.1, "channels": [8, 10], "name": "07"}
    assert type(settings.stage1.members["a"].options["dropout"]) is float


@pytest.mark.parametrize(
    "text", ["seed: 1\nseed: 2\n", "data: {bin_yx: 1,\n  bin_yx: 2}\n", "stage2:\n  ? seed\n  : 1\n  'seed': 2\n"]
)
def test_a_key_given_twice_is_refused_with_both_lines(tmp_path, text):
    with pytest.raises(
        InputError, match=r"run\.yaml: key '\w+' is given twice, on lines \d and \d; keep one"
    ) as caught:
        loaded(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_key_given_twice_on_the_command_line_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"--set stage2\.loss=.*given twice"):
        loaded(tmp_path, "", "stage2.loss={bce: 1, bce: 0}")


def test_merged_anchors_are_no_double_keys(tmp_path):
    text = "data: &d {bin_yx: 2}\nfolds: {count: 3}\nstage2:\n  training: &t {steps: 5}\n"
    text += "end_to_end: {member: a, training: {<<: *t, steps: 6}}\n"
    settings = loaded(tmp_path, text)
    assert settings.end_to_end is not None and settings.end_to_end.training.steps == 6


@pytest.mark.parametrize("word", ["off", "'off'", "no", "false"])
def test_the_preflight_can_be_off(tmp_path, word):
    assert loaded(tmp_path, f"preflight: {{mode: {word}}}\n").preflight.mode == "off"
    assert loaded(tmp_path, "", f"preflight.mode={word}").preflight.mode == "off"


def test_yaml_that_is_nested_without_end_is_one_line(tmp_path):
    with pytest.raises(InputError, match="nested too deeply"):
        loaded(tmp_path, "data: " + "[" * 5000)


def numbers(annotation: object, bounds: list[object]) -> typing.Iterator[tuple[str, set[str]]]:
    """Every number that a value of this type can hold, as its type and which ends are bounded."""
    if annotation in (int, float):
        ends = {"low" for b in bounds if isinstance(b, annotated_types.Ge | annotated_types.Gt)}
        ends |= {"high" for b in bounds if isinstance(b, annotated_types.Le | annotated_types.Lt)}
        yield annotation.__name__, ends
    elif typing.get_origin(annotation) is typing.Annotated:
        inner, *metadata = typing.get_args(annotation)
        found = [b for m in metadata for b in (getattr(m, "metadata", None) or [m])]
        yield from numbers(inner, [*bounds, *found])
    elif typing.get_origin(annotation) is not typing.Literal:
        for part in typing.get_args(annotation):
            yield from numbers(part, bounds)


def groups(group: type[BaseModel], seen: dict[type[BaseModel], None]) -> dict[type[BaseModel], None]:
    seen[group] = None
    for field in group.model_fields.values():
        for part in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel) and part not in seen:
                groups(part, seen)
    return seen


def test_every_number_of_every_setting_has_a_lowest_and_a_highest_value():
    models = [*groups(Settings, {}), SegformerOptions, SmpOptions]
    models += [import_module(module).Options for module in NETWORKS.values()]
    open_ended = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        for _, ends in numbers(field.annotation, list(field.metadata))
        if ends != {"low", "high"}
    ]
    assert len(models) > 20  # the rest was checked by hand: 0 to below 1
    assert open_ended == ["Stage1WindowSettings.overlap"] * 2 + ["WindowSettings.overlap"] * 2


@pytest.mark.parametrize(
    "override",
    [
        "ensemble.threshold=.nan", "ensemble.min_area_um2=.inf", "data.voxel_um=1e-300", "stage1.window.overlap=.nan",
        "stage1.window.overlap=[0, .inf, 0]", "stage2.training.learning_rate=nan", "stage1.members.a.loss={bce: .inf}",
        "stage1.members.a.options={dropout: .nan}", "ensemble.post_processing.thresholds=[0.5, .inf]", "data.depth=[-1e9, 3]",
        "tracing.gap_vox=-.inf", "stage1.members.a.patch_size=[16, 96, 1000000]", "seed=99999999999999999999",
    ],
)  # fmt: skip
def test_a_number_that_no_run_can_mean_is_refused_in_one_line(tmp_path, override):
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, "", override)
    assert "\n" not in str(caught.value)
