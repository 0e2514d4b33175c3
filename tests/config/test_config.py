"""Settings: what a YAML says is what a run gets, and every slip is one line that says where and what was meant."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scroll.config.reader import load_settings, merged, save_settings
from scroll.config.schema import Settings
from scroll.errors import InputError, MissingInputError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
MINIMAL = "run_dir: runs/x\nstage1:\n  members:\n    a: {network: unet3d}\n"

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from("pqr")
trees = st.recursive(scalars, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8)
mappings = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


def written(folder: Path, text: str, name: str = "run.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def refusal(folder: Path, text: str, overrides: tuple[str, ...] = ()) -> str:
    """The one line that the settings in `text` are refused with."""
    with pytest.raises(InputError) as caught:
        load_settings(written(folder, text), overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_configuration_loads_and_survives_saving(path, tmp_path):
    settings = load_settings(path)
    save_settings(settings, tmp_path / "settings.yaml")
    assert load_settings(tmp_path / "settings.yaml") == settings


def test_there_are_configurations_to_check():
    assert "demo.yaml" in [path.name for path in CONFIGS]


@given(mappings)
def test_merging_with_nothing_changes_nothing(tree):
    assert merged(tree, {}) == tree == merged({}, tree)


@given(mappings, mappings)
def test_what_lies_on_top_wins_and_merging_it_twice_is_merging_it_once(under, over):
    once = merged(under, over)
    assert merged(once, over) == once
    assert set(once) == {*under, *over}
    assert all(once[key] == value for key, value in over.items() if not isinstance(value, dict))


@given(
    steps=st.integers(1, 10**6),
    rate=st.floats(1e-9, 1e3),
    first=st.integers(-40, 40),
    layers=st.integers(1, 40),
    ids=st.lists(st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}[0-9]", fullmatch=True), max_size=3, unique=True),
    threshold=st.just("fitted") | st.floats(0, 1),
    option=st.sampled_from([1, 2.5, "1e-4", "off", "null", "07", True, None, [1, 2]]),
)
def test_saved_settings_are_read_back_to_the_same(tmp_path_factory, steps, rate, first, layers, ids, threshold, option):
    member = {"network": "unet3d", "training": {"steps": steps, "learning_rate": rate}, "options": {"k": option}}
    settings = Settings.model_validate(
        {
            "run_dir": "runs/x",
            "data": {"depth": [first, first + layers], "train": ids},
            "stage1": {"members": {"a": member}, "flatten": {"window": [first, first + 1]}},
            "ensemble": {"threshold": threshold},
        }
    )
    path = tmp_path_factory.mktemp("round") / "settings.yaml"
    save_settings(settings, path)
    assert load_settings(path) == settings


def test_a_child_overrides_its_parent_and_its_grandparent_key_by_key(tmp_path):
    written(tmp_path, MINIMAL + "seed: 1\ndata: {bin_yx: 2, voxel_um: 3.24}\n", "grandparent.yaml")
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub", "extends: ../grandparent.yaml\ndata: {bin_yx: 4}\n", "parent.yaml")
    settings = load_settings(written(tmp_path, "extends: sub/parent.yaml\nseed: 3\n"))
    assert (settings.seed, settings.data.bin_yx, settings.data.voxel_um) == (3, 4, 3.24)
    assert settings.stage1.members["a"].network == "unet3d"


@pytest.mark.parametrize("parents", [("run.yaml",), ("b.yaml", "run.yaml"), ("b.yaml", "c.yaml", "b.yaml")])
def test_a_circle_of_parents_is_refused(tmp_path, parents):
    names = ["run.yaml", "b.yaml", "c.yaml"]
    for name, parent in zip(names[1:], parents[1:], strict=False):
        written(tmp_path, f"extends: {parent}\n", name)
    assert "extends itself" in refusal(tmp_path, f"extends: {parents[0]}\n")


def test_a_missing_configuration_or_parent_says_what_there_is(tmp_path):
    written(tmp_path, "extends: gone.yaml\n", "child.yaml")
    for wanted in ("gone.yaml", "child.yaml"):
        with pytest.raises(MissingInputError, match=r"gone\.yaml: no such configuration; there are: child\.yaml"):
            load_settings(tmp_path / wanted)


def test_a_configuration_looked_for_in_the_wrong_folder_is_pointed_at(tmp_path):
    (tmp_path / "configs").mkdir()
    path = written(tmp_path / "configs", MINIMAL, "demo.yaml")
    child = written(tmp_path / "configs", "extends: configs/demo.yaml\n", "child.yaml")
    for wanted in (tmp_path / "demo.yaml", child):
        with pytest.raises(MissingInputError) as message:
            load_settings(wanted)
        assert f"did you mean {path}?" in str(message.value)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("unet3d", "'stage1.members.b' is 'unet3d': expected a mapping of settings"),
        ("{network: x, patch_size: 32}", "'stage1.members.b.patch_size' is 32: expected a list"),
        ("{seed: 3}", "'stage1.members.b.network' is missing; add it, or mend the member's name"),
    ],
)
def test_a_member_written_wrongly_is_reported_in_plain_words(tmp_path, member, message):
    assert message in refusal(tmp_path, MINIMAL + f"    b: {member}\n")


def test_overrides_are_laid_on_top_in_their_order(tmp_path):
    path = written(tmp_path, MINIMAL)
    changes = ["data.bin_yx=2", "data.bin_yx=4", "data.depth=[-3, 5]", "stage1.members.a.training.learning_rate=1e-4"]
    settings = load_settings(path, changes)
    assert settings.data.bin_yx == 4 and settings.data.depth == (-3, 5)
    assert settings.stage1.members["a"].training.learning_rate == 1e-4


def test_an_override_of_the_defaults_reaches_every_member_that_does_not_say_otherwise(tmp_path):
    text = MINIMAL + "    b: {network: cnn3d, seed: 5}\n  defaults: {seed: 1, training: {steps: 7}}\n"
    members = load_settings(written(tmp_path, text), ["stage1.defaults.seed=2"]).stage1.members
    assert [(m.seed, m.training.steps) for m in members.values()] == [(2, 7), (5, 7)]


def test_an_override_of_the_defaults_that_no_member_would_notice_is_refused_and_names_one_that_would(tmp_path):
    text = MINIMAL + "    b: {network: cnn3d, seed: 5, training: {steps: 3}}\n"
    both = text.replace("a: {network: unet3d}", "a: {network: unet3d, training: {steps: 9}}")
    assert both != text
    message = refusal(tmp_path, both, ("stage1.defaults.training.steps=200",))
    assert "--set stage1.members.a.training.steps=200" in message
    heard = load_settings(written(tmp_path, text), ["stage1.defaults.training.steps=200"]).stage1.members
    assert [member.training.steps for member in heard.values()] == [200, 3]


@pytest.mark.parametrize("override", ["data.bin_yx", "=3", "data.depth=[-3, 5"])
def test_an_override_that_cannot_be_read_is_shown(tmp_path, override):
    assert f"--set {override}" in refusal(tmp_path, MINIMAL, (override,))


@pytest.mark.parametrize(
    ("text", "where", "meant"),
    [
        ("dat: {}", "dat", "data"),
        ("extend: parent.yaml", "extend", "extends"),
        ("data: {binyx: 2}", "data.binyx", "bin_yx"),
        ("stage2: {training: {train_batchsize: 2}}", "stage2.training.train_batchsize", "train_batch_size"),
        ("stage2: {training: {loader: {worker: 2}}}", "stage2.training.loader.worker", "workers"),
        ("ensemble: {treshold: 0.5}", "ensemble.treshold", "threshold"),
    ],
)
def test_an_unknown_key_is_named_in_full_with_what_was_probably_meant(tmp_path, text, where, meant):
    assert refusal(tmp_path, MINIMAL + text + "\n").endswith(
        f"run.yaml: unknown key '{where}'; did you mean '{meant}'?"
    )


@pytest.mark.parametrize(
    ("stage1", "where", "meant"),
    [
        ("{default: {}, members: {a: {network: x}}}", "stage1.default", "defaults"),
        ("{members: {a: {network: x, training: {step: 3}}}}", "stage1.members.a.training.step", "steps"),
        ("{members: {a: {network: x, augment: {flip: no}}}}", "stage1.members.a.augment.flip", "flips"),
        ("{defaults: {patchsize: 3}, members: {a: {network: x}}}", "stage1.defaults.patchsize", "patch_size"),
        ("{defaults: {training: {step: 3}}, members: {a: {network: x}}}", "stage1.defaults.training.step", "steps"),
    ],
)
def test_an_unknown_key_of_a_member_is_named_where_it_was_written(tmp_path, stage1, where, meant):
    message = refusal(tmp_path, f"run_dir: r\nstage1: {stage1}\n")
    assert message.endswith(f"run.yaml: unknown key '{where}'; did you mean '{meant}'?")


def test_a_key_like_no_other_lists_the_known_ones(tmp_path):
    assert "unknown key 'folds.xyzzy'; known keys: buffer_px, by, count" in refusal(
        tmp_path, MINIMAL + "folds: {xyzzy: 1}\n"
    )


def test_a_number_that_yaml_reads_as_text_is_a_number(tmp_path):
    text = MINIMAL + "stage2: {training: {learning_rate: 1e-4}}\nensemble: {threshold: 5e-1}\n"
    settings = load_settings(written(tmp_path, text))
    assert settings.stage2.training.learning_rate == 1e-4
    assert settings.ensemble.threshold == 0.5


def test_ids_that_yaml_reads_as_numbers_are_ids(tmp_path):
    settings = load_settings(written(tmp_path, MINIMAL + "data: {train: [1, 20231005123336, a]}\n"))
    assert settings.data.train == ("1", "20231005123336", "a")


def test_an_overlap_may_have_a_number_for_each_axis(tmp_path):
    overrides = ["stage1.window.overlap=[0.5, 0.2, 0.1]", "stage2.window.overlap=[0.5, 0]"]
    settings = load_settings(written(tmp_path, MINIMAL), overrides)
    assert settings.stage1.window.overlap_along(3) == (0.5, 0.2, 0.1)
    assert settings.stage2.window.overlap_along(2) == (0.5, 0.0)
    save_settings(settings, tmp_path / "saved.yaml")
    assert load_settings(tmp_path / "saved.yaml") == settings
    with pytest.raises(InputError, match="overlap has 2 numbers; give one, or one for each of z, y, x"):
        load_settings(written(tmp_path, MINIMAL), ["stage1.window.overlap=[0.5, 0]"])


@pytest.mark.parametrize("word", ["off", "no", "yes", "on"])
@pytest.mark.parametrize("key", ["stage2.window.tta", "ensemble.when_empty", "stage1.flatten.ct", "data.root"])
def test_a_boolean_where_a_word_is_expected_is_refused(tmp_path, key, word):
    assert f"'{key}' is {word in ('yes', 'on')}" in refusal(tmp_path, MINIMAL, (f"{key}={word}",))


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("data.depth=[8, -8]", "data.depth"),
        ("data.voxel_um=0", "data.voxel_um"),
        ("seed=-1", "seed"),
        ("folds.count=1", "folds.count"),
        ("stage1.members.a.patch_size=[16, 0, 96]", "stage1.members.a.patch_size.1"),
        ("stage2.training.learning_rate=fast", "stage2.training.learning_rate"),
        ("stage2.window.overlap=1", "stage2.window.overlap"),
        ("stage1.window.overlap=[0.5, 0.2, 1]", "stage1.window.overlap"),
        ("stage1.window.overlap=[0.5, 0.2]", "stage1.window"),
        ("stage2.window.overlap=[0.5, 0.2, 0.2]", "stage2.window"),
        ("stage1.members=null", "stage1.members"),
        ("data=3", "data"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_its_key(tmp_path, override, where):
    assert f"'{where}' is " in refusal(tmp_path, MINIMAL, (override,))


@pytest.mark.parametrize(
    "text",
    [
        "run_dir: [",
        "a: b: c",
        "- a list",
        "",
        "just text",
        "run_dir: r\n",
        "run_dir: r\nstage1: {defaults: {seed: 1}, members: [a, b]}\n",
        "run_dir: r\nstage1: {defaults: fast, members: {a: {network: x}}}\n",
        "run_dir: r\nstage1: {defaults: {seed: 1}, members: {a: 3}}\n",
        "run_dir: r\nstage1: {defaults: {seed: 1}}\n",
        "run_dir: r\nstage1: [a]\n",
    ],
)
def test_a_file_of_another_shape_is_refused_in_one_line_that_names_it(tmp_path, text):
    assert "run.yaml: " in refusal(tmp_path, text)


@pytest.mark.parametrize("word", ["true", "yes", "off"])
@pytest.mark.parametrize(
    "key",
    [
        "seed",
        "data.voxel_um",
        "data.depth",
        "data.normal_sign",
        "ensemble.threshold",
        "stage1.window.overlap",
        "ensemble.post_processing.strong",
    ],
)
def test_a_word_that_yaml_takes_for_true_or_false_is_no_number(tmp_path, word, key):
    value = f"[{word}, 3]" if key in ("data.depth", "ensemble.post_processing.strong") else word
    assert f"'{key}' is" in refusal(tmp_path, MINIMAL, (f"{key}={value}",))


def test_members_that_differ_in_capitals_alone_and_trackers_given_twice_are_refused(tmp_path):
    assert "'a' and 'A' would be one folder" in refusal(tmp_path, MINIMAL, ("stage1.members.A.network=unet3d",))
    assert "'wandb' is given twice" in refusal(tmp_path, MINIMAL, ("trackers=[wandb, wandb]",))
    load_settings(written(tmp_path, MINIMAL), ("data.train=[a, A]",))


def test_settings_cannot_be_changed_after_they_were_read(tmp_path):
    settings = load_settings(written(tmp_path, MINIMAL))
    for group, key in ((settings, "seed"), (settings.data, "bin_yx"), (settings.stage1.members["a"], "seed")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(group, key, 7)


@pytest.mark.parametrize("value", ["a\\0b", "a\\nb", "a\\tb"])
def test_text_with_signs_that_no_path_has_is_refused(tmp_path, value):
    (tmp_path / "a.yaml").write_text(f'extends: {CONFIGS[0].with_name("demo.yaml")}\nrun_dir: "{value}"\n')
    with pytest.raises(InputError, match=r"a\.yaml: 'run_dir' .*holds signs that no name or path has"):
        load_settings(tmp_path / "a.yaml")


def test_a_message_about_many_settings_does_not_repeat_them_all(tmp_path):
    path = tmp_path / "run.yaml"
    options = (
        "{network: cnn3d, resample: true, augment: {brightness: 0.3, contrast: 0.2, noise: 0.3, blur: 0.7, zoom: 0.15, "
    )
    options += "layer_dropout: 0.1, depth_jitter: 2, cutout: 0.4}, training: {steps: 12, train_batch_size: 3}}"
    path.write_text(f"run_dir: runs/a\nstage1: {{members: {{a: {options}}}}}\n")
    with pytest.raises(InputError, match=r"'stage1\.members\.a': resample is of the folder") as message:
        load_settings(path)
    assert "brightness" not in str(message.value)
