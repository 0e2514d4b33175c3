"""One wide PNG of a finished run for a post or a chat: CT, prediction, and what is right and wrong, with legend and scale bar.

    python scripts/montage.py runs/demo [--out montage.png] [--count 2]

Labels are taken from --truth, or from the folder heldout of a phantom; without any, only the prediction is shown.
"""

import argparse
from pathlib import Path

from scroll.runtime.command_line import whole


def main() -> None:
    """Draw the picture and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, such as runs/demo")
    parser.add_argument("--predicted", type=Path, help="what ensemble/predict.py wrote; default <run>/predict")
    parser.add_argument("--truth", type=Path, help="folder with <fragment>/inklabels.png, or of cubes <id>.tif")
    parser.add_argument(
        "--count", type=whole(-1000, 1000), help="how many to show; default 2 fragments, or 1 cube, cut twice"
    )
    parser.add_argument("--out", type=Path, help="PNG to write; default <run>/montage.png")
    arguments = parser.parse_args()
    from ensemble.check import load_run_settings
    from ensemble.review.montage import labels_beside, montage_of, predicted_names
    from scroll.errors import InputError, MissingInputError
    from scroll.report.montage import save_montage
    from scroll.runtime.output_folder import OWN_PLACE_PICTURE, PICTURE, check_file

    path = arguments.run / "settings.yaml"
    if not path.is_file():
        raise MissingInputError(f"{path}: not there; give the folder of a run, such as runs/demo")
    if arguments.count is not None and arguments.count < 1:
        raise InputError(f"--count {arguments.count}: expected at least 1")
    out = arguments.out or arguments.run / "montage.png"
    check_file(out, PICTURE if arguments.out else OWN_PLACE_PICTURE)
    settings = load_run_settings(path, []).model_copy(update={"run_dir": arguments.run})
    predicted = arguments.predicted or arguments.run / "predict"
    names = predicted_names(settings, predicted, arguments.count)
    truth = arguments.truth or labels_beside(settings, names)
    montage = montage_of(settings, predicted, names, truth)
    print(f"montage: {save_montage(out, montage)}")
