"""What goes into a bundle: wheels that the notebook lacks, the run's files that a prediction reads, and metadata that fits."""

import json
import zipfile

import pytest
from kaggle_room import code_cells
from pipeline_run import REPOSITORY

from ensemble.ink.steps import INK
from ensemble.kaggle.notebook import notebook
from ensemble.kaggle.pack import BundleRequest
from ensemble.kaggle.stock import STOCK, canonical, lacking, project_requirements, read_freeze
from ensemble.kaggle.wheels import build_wheel, take_wheels
from ensemble.surface.steps import SURFACE
from scroll.errors import InputError, MissingInputError
from stage1_3d.models import EXTRAS


def test_a_stock_notebook_lacks_zarr_and_what_zarr_needs_but_nothing_that_is_built_for_its_driver():
    needs = lacking(project_requirements(REPOSITORY), STOCK)
    assert {"zarr", "donfig", "numcodecs", "monai", "imagecodecs", "connected-components-3d"} <= needs.keys()
    assert not {"torch", "torchvision", "numpy", "numba", "transformers"} & needs.keys()


def test_a_network_of_an_optional_package_brings_it_along():
    plain, more = (lacking(project_requirements(REPOSITORY, extras), STOCK) for extras in ([], [EXTRAS["timesformer"]]))
    assert more.keys() - plain.keys() == {"timesformer-pytorch"}  # what it needs itself, every notebook has


def test_a_notebook_that_has_everything_lacks_nothing_and_one_that_has_nothing_lacks_what_others_need_too():
    wanted = project_requirements(REPOSITORY)
    everything = lacking(wanted, {})
    assert lacking(wanted, everything) == {}
    assert {"torch", "zarr", "numcodecs", "sympy"} <= everything.keys()  # sympy: for torch


def test_an_extra_or_another_platform_asks_for_nothing():
    assert lacking(["zarr>=3 ; sys_platform == 'win32'", "numpy ; extra == 'dev'"], {}) == {}
    with pytest.raises(InputError, match="no-such-package-anywhere: is not installed here"):
        lacking(["no-such-package-anywhere"], {})


def test_a_freeze_is_read_whatever_its_lines_look_like(tmp_path):
    path = tmp_path / "stock.txt"
    path.write_text("# made by pip\nPyYAML==6.0.3\nzarr==3.1.6+local\nours @ file:///x.whl\n-e git+https://x\n\n")
    assert read_freeze(path) == {"pyyaml": "6.0.3", "zarr": "3.1.6+local", "ours": ""}
    path.write_text("nothing here\n")
    with pytest.raises(InputError, match="names no package"):
        read_freeze(path)
    with pytest.raises(MissingInputError, match="pip freeze"):
        read_freeze(tmp_path / "none.txt")


def test_wheels_are_taken_by_name_and_version_for_every_python(tmp_path):
    there = ["zarr-3.1.6-py3-none-any.whl", "zarr-3.0.0-py3-none-any.whl"]
    there += [f"numcodecs-0.16.6-cp3{n}-cp3{n}-manylinux_2_28_x86_64.whl" for n in (11, 12)]
    (tmp_path / "from").mkdir()
    for name in there:
        (tmp_path / "from" / name).touch()
    wanted = {"zarr": "3.1.6", "numcodecs": "0.16.6", "donfig": "0.8.1"}
    assert take_wheels(wanted, tmp_path / "from", tmp_path / "to") == ["donfig"]
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == sorted([there[0], *there[2:]])
    with pytest.raises(MissingInputError, match="no such folder"):
        take_wheels(wanted, tmp_path / "nowhere", tmp_path / "to")


def test_names_of_packages_compare_as_registries_do():
    assert canonical("Connected_Components.3D") == "connected-components-3d"


def test_the_wheel_holds_every_package_with_its_data_and_the_checkout_stays_as_it_is(tmp_path):
    before = sorted(path.name for path in REPOSITORY.iterdir())
    wheel = build_wheel(REPOSITORY, tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {
        "scroll/config/schema.py",
        "stage1_3d/network.py",
        "stage2_2d/network.py",
        "ensemble/kaggle/on_kaggle.py",
    } <= {*names}
    assert any(name.endswith(".j2") for name in names)
    assert sorted(path.name for path in REPOSITORY.iterdir()) == before


@pytest.mark.parametrize("competition", [INK, SURFACE])
@pytest.mark.parametrize("layout", ["{slug}", "competitions/{slug}"])
@pytest.mark.parametrize("bundle_at", ["scroll-ensemble", "datasets/someone/scroll-ensemble", "scroll-ensemble/bundle"])
def test_the_notebook_finds_bundle_and_data_under_either_layout(competition, layout, bundle_at, tmp_path):
    path = tmp_path / "notebook.ipynb"
    path.write_text(json.dumps(notebook(competition, {"zarr": "3.1.6"}, "A run.")))
    bundle = tmp_path / "input" / bundle_at
    for name in ("bundle.json", "run/settings.yaml", "wheels/wheels/scroll_ensemble-0.1.0-py3-none-any.whl"):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).touch()
    (tmp_path / "input" / layout.format(slug=competition.slug) / "train").mkdir(parents=True)
    namespace: dict = {}
    for cell in code_cells(path)[:2]:
        exec(cell.replace("/kaggle/", f"{tmp_path}/"), namespace)
    assert (namespace["RUN"], namespace["WHEELS"]) == (bundle / "run", bundle / "wheels" / "wheels")
    assert namespace["DATA"] == tmp_path / "input" / layout.format(slug=competition.slug)


def test_a_notebook_without_its_bundle_names_what_is_mounted(tmp_path):
    path = tmp_path / "notebook.ipynb"
    path.write_text(json.dumps(notebook(INK, {}, "A run.")))
    (tmp_path / "input" / "something").mkdir(parents=True)
    settings, find, *_ = code_cells(path)
    namespace: dict = {}
    exec(settings.replace("/kaggle/", f"{tmp_path}/"), namespace)
    with pytest.raises(FileNotFoundError, match=r"the bundle's data set: not below .* there is something"):
        exec(find, namespace)


def test_a_slug_that_the_site_would_refuse_is_refused_here():
    for slug in ("short", "Capital-letters", "-begins-with-it", "ends-with-it-", "x" * 51, "under_score"):
        with pytest.raises(InputError, match="--slug"):
            BundleRequest(slug=slug)
    assert BundleRequest(slug="scroll-ensemble-2").slug == "scroll-ensemble-2"
