"""A finished run as one folder for Kaggle: wheels, weights, settings, and a notebook that needs no internet.

    python scripts/kaggle_bundle.py runs/demo_ink --output bundle --owner YOUR-NAME [--download 3.12 | --wheels FOLDER]

Nothing touches the network unless --download says so. docs/kaggle.md tells how to go on from there.
"""

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "3.12"  # of the notebooks


def main() -> None:
    """Make the bundle and say what is still to be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the finished run, such as runs/demo_ink")
    parser.add_argument(
        "--output", type=Path, help="folder to write; replaced where it is a bundle; default <run>/kaggle"
    )
    parser.add_argument("--owner", help="your name on Kaggle, as in its addresses")
    parser.add_argument("--slug", help="of the data set (default scroll-ensemble)")
    parser.add_argument(
        "--download",
        nargs="?",
        const=PYTHON,
        metavar="PYTHON",
        help=f"download the wheels that a stock notebook lacks, for its Python ({PYTHON})",
    )
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="take those wheels from a folder")
    parser.add_argument(
        "--stock",
        type=Path,
        metavar="FILE",
        help="what 'pip freeze' says in the notebook, instead of the built-in list",
    )
    arguments = parser.parse_args()
    from ensemble.check import load_run_settings
    from ensemble.kaggle.pack import OWNER, SLUG, BundleRequest, make_bundle
    from ensemble.kaggle.stock import read_freeze
    from scroll.errors import MissingInputError

    path = arguments.run / "settings.yaml"
    if not path.is_file():
        raise MissingInputError(f"{path}: not there; give the folder of a finished run, such as runs/demo_ink")
    settings = load_run_settings(path, []).model_copy(update={"run_dir": arguments.run})
    request = BundleRequest(
        owner=arguments.owner or OWNER,
        slug=arguments.slug or SLUG,
        wheels=arguments.wheels,
        download=arguments.download,
        stock=read_freeze(arguments.stock) if arguments.stock else None,
    )
    print(*make_bundle(settings, ROOT, arguments.output or arguments.run / "kaggle", request), sep="\n")
