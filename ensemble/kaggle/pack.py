"""A finished run as one folder for Kaggle: a data set with wheels, weights and settings, and the notebook that uses it."""

import re
from dataclasses import dataclass
from pathlib import Path

from ensemble.kaggle.notebook import MARKER, notebook
from ensemble.kaggle.others import optional_packages
from ensemble.kaggle.run_files import copy_run
from ensemble.kaggle.stock import STOCK, lacking, project_requirements
from ensemble.kaggle.wheels import build_wheel, download_wheels, take_wheels
from ensemble.kinds import Competition, steps_of
from scroll.config.schema import Settings
from scroll.errors import InputError
from scroll.runtime.files import write_json, write_text, written_aside
from scroll.runtime.output_folder import BUNDLE
from scroll.runtime.run_lock import writing

OWNER, SLUG = "YOUR-NAME", "scroll-ensemble"
SLUG_RULE = re.compile(r"[a-z0-9]([a-z0-9-]{4,48})[a-z0-9]")
LICENCE_NOTE = (
    "The code is MIT; the wheels keep their own licences. The weights come from data whose licence goes with them: that of the "
    "Herculaneum scrolls and fragments is CC BY-NC 4.0 with EduceLab's conditions. See NOTICE of the project."
)
README = """\
Scroll Ensemble, bundled for {title}
{about}

1. pip install kaggle, and give it your token (on kaggle.com: Settings, API).
2. kaggle datasets create -p {folder} --dir-mode zip
   (later: kaggle datasets version -p {folder} --dir-mode zip -m "another run")
3. kaggle kernels push -p {folder}
   or upload notebook.ipynb by hand; add the competition's data and this data set as inputs, accelerator GPU T4 x2, internet off.
4. "Save & Run All"; when it has run, look at the last cell's lines; then "Submit to competition" with {submission}.

{missing}{licence}
"""


@dataclass(frozen=True)
class BundleRequest:
    """How a bundle is to be made.

    Attributes:
        owner: of the data set and the notebook on Kaggle.
        slug: of the data set; the notebook's is this with "-notebook".
        wheels: folder to take the wheels from that a stock notebook lacks.
        download: the notebook's Python, such as "3.12", to download them for; None: nothing touches the network.
        stock: version by package of what the notebook has.
    """

    owner: str = OWNER
    slug: str = SLUG
    wheels: Path | None = None
    download: str | None = None
    stock: dict[str, str] | None = None

    def __post_init__(self) -> None:
        """Refuse a slug that Kaggle would refuse."""
        if not SLUG_RULE.fullmatch(self.slug):
            raise InputError(
                f"--slug {self.slug}: expected 6 to 50 of a-z, 0-9 and -, no - at the ends, such as {SLUG}"
            )


def make_bundle(settings: Settings, root: Path, output: Path, request: BundleRequest) -> list[str]:
    """Write the bundle of the run `settings.run_dir` into `output`, again; `root` is the checkout that the wheel is built from.

    Returns what there is to say: its size, which wheels are missing, and what is to be filled in.

    Raises:
        MissingInputError: the run is not finished, or `root` is no checkout.
        InputError: a run that is for no competition, or pip failed.
    """
    competition = steps_of(settings.data).competition(settings)
    optional = optional_packages(settings, steps_of(settings.data).asked(settings)[0])
    needs = lacking(project_requirements(root, optional), STOCK if request.stock is None else request.stock)
    about = f"Run {settings.run_dir.name}: {', '.join(settings.stage1.members)}; {settings.folds.count} folds."
    with (
        writing(output, BUNDLE, [settings.run_dir, settings.data.root, root, *filter(None, [request.wheels])]),
        written_aside(output) as aside,
    ):
        copy_run(settings, aside / "run")
        wheel = build_wheel(root, aside / "wheels")
        missing = _wheels(needs, request, aside / "wheels")
        here = {name: number for name, number in needs.items() if name not in missing}
        packages = here | {"scroll-ensemble": wheel.name.split("-")[1]}
        write_json(aside / MARKER, {"competition": competition.slug, "packages": packages, "missing": missing})
        write_json(aside / "notebook.ipynb", notebook(competition, packages, about))
        _write_metadata(aside, competition, request)
        absent = f"Wheels still to be added to wheels/: {', '.join(missing)}.\n" if missing else ""
        words = {
            "title": competition.title,
            "about": about,
            "folder": output.name,
            "submission": competition.submission,
        }
        write_text(aside / "README.txt", README.format(**words, missing=absent, licence=LICENCE_NOTE))
    return _said(output, {name: needs[name] for name in missing}, request)


def _wheels(needs: dict[str, str], request: BundleRequest, folder: Path) -> list[str]:
    """Bring the wheels into `folder`; returns the packages that are missing."""
    missing = list(needs) if request.wheels is None else take_wheels(needs, request.wheels, folder)
    if request.download is not None:
        download_wheels({name: needs[name] for name in missing}, request.download, folder)
        return []
    return missing


def _write_metadata(folder: Path, competition: Competition, request: BundleRequest) -> None:
    """What Kaggle's command line wants beside a data set, and beside a notebook."""
    dataset: dict[str, object] = {
        "title": request.slug.replace("-", " ").capitalize(),
        "id": f"{request.owner}/{request.slug}",
        "licenses": [{"name": "other"}],
        "description": LICENCE_NOTE,
    }
    kernel: dict[str, object] = {
        "id": f"{request.owner}/{request.slug}-notebook",
        "title": f"{dataset['title']} notebook",  # Kaggle makes the slug of a notebook from its title
        "code_file": "notebook.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_tpu": False,
        "enable_internet": False,
        "machine_shape": "NvidiaTeslaT4",
        "dataset_sources": [dataset["id"]],
        "competition_sources": [competition.slug],
        "kernel_sources": [],
        "model_sources": [],
    }
    write_json(folder / "dataset-metadata.json", dataset)
    write_json(folder / "kernel-metadata.json", kernel)


def _said(output: Path, missing: dict[str, str], request: BundleRequest) -> list[str]:
    files = [path for path in output.rglob("*") if path.is_file()]
    lines = [f"bundle: {output}, {len(files)} files, {sum(path.stat().st_size for path in files) / 2**20:.1f} MiB"]
    if missing:
        names = " ".join(f"{name}=={number}" for name, number in missing.items())
        lines.append(f"a stock notebook lacks {names}: make it again with --download, or with --wheels FOLDER")
    if request.owner == OWNER:
        lines.append(
            f"fill in your Kaggle name for {OWNER} in dataset-metadata.json and kernel-metadata.json, or give --owner"
        )
    return lines
