"""The montage of a run shows what was predicted, against labels where there are any."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pipeline_run import REPOSITORY

from ensemble.review.montage import montage_of
from scroll.config.reader import load_settings
from scroll.data.cubes import find_cubes
from scroll.report.pictures import INVENTED, MISSED
from scroll.volumes import open_volume
from tests.steps import step


def done(*command: object) -> str:
    message = step(*command)
    assert message.returncode == 0, message.stderr
    return message.stdout


def call(*arguments: object) -> str:
    return done(REPOSITORY / "scripts" / "montage.py", *arguments)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "below", "panels"), [("ink", "test", 4), ("surface", "", 4)])
def test_the_command_draws_a_run_with_its_labels_and_without(name, below, panels, request, tmp_path):
    root: Path = request.getfixturevalue(name)
    data = root / "data"
    predicted = tmp_path / "predict"
    done(REPOSITORY / "ensemble" / "predict.py", root / "tiny.yaml", "--input", data / below, "--output", predicted)
    out = tmp_path / "montage.png"
    message = call(root / "run", "--predicted", predicted, "--out", out, "--count", "1")
    assert message == f"montage: {out}\n"
    with Image.open(out) as picture:
        width, height = picture.size
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert width > 1800 and height > 500
    assert (pixels == INVENTED).all(axis=1).any() and (pixels == MISSED).all(axis=1).any()
    settings = load_settings(root / "tiny.yaml")
    names = sorted(path.stem if name == "surface" else path.name for path in (data / "heldout").iterdir())
    with_labels = montage_of(settings, predicted, names[:1], data / "heldout")
    without = montage_of(settings, predicted, names[:1], None)
    assert len(with_labels.rows[0].panels) == panels and len(without.rows[0].panels) == panels - 1
    if name == "surface":
        (cube,) = find_cubes(data, settings.data, names[:1], part="test")
        whole = np.asarray(open_volume(str(cube.image))[...])
        for row, axis in zip(with_labels.rows, (0, 2), strict=True):  # "cube 1000006, z = 31"
            place = int(row.name.rpartition("= ")[2])
            assert (row.panels[0].image == np.take(whole, place, axis)).all()


def test_a_run_that_predicted_nothing_says_what_to_do(tmp_path):
    message = step(REPOSITORY / "scripts" / "montage.py", tmp_path)
    assert message.returncode == 2 and "settings.yaml: not there; give the folder of a run" in message.stderr
