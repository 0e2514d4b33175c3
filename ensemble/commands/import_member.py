"""Take a network of somebody else as a member: its weights are read without executing anything, converted once, and get a card.

    python scripts/import_member.py nnUNet_results/Dataset501/nnUNetTrainer__nnUNetPlans__3d_fullres --kind nnunet --name theirs

Writes members/<name>/card.json and safetensors; a run then names it: stage1.external.theirs.member: members/theirs
"""

import argparse
from pathlib import Path


def main() -> None:
    """Parse the command line, read, convert, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="what was downloaded: a folder, or a checkpoint")
    parser.add_argument("--kind", required=True, choices=("nnunet",), help="whose names and layout it has")
    parser.add_argument("--name", required=True, help="what it is called in the run")
    parser.add_argument("--output", type=Path, help="folder to write; default members/<name>")
    parser.add_argument("--folds", nargs="*", default=[], help="which folds; default all that are there")
    parser.add_argument("--voxel-um", type=float, help="edge of a voxel that it was trained at, in micrometres")
    parser.add_argument(
        "--trained-on",
        nargs="*",
        default=[],
        metavar="ID",
        help="fragments, segments, cubes or scrolls that every fold has seen",
    )
    arguments = parser.parse_args()
    from scroll.errors import InputError
    from scroll.runtime.names import checked_name
    from stage1_3d.external.card import NAME
    from stage1_3d.external.checkpoint import write_member
    from stage1_3d.external.nnunet import import_nnunet

    name = checked_name(arguments.name, "--name")
    output = arguments.output or Path("members") / name
    if output.exists() and any(output.iterdir()) and not (output / NAME).exists():
        raise InputError(
            f"{output}: holds something else; expected a new folder, or an imported member: give another --output"
        )
    card, tensors = import_nnunet(arguments.source, arguments.folds)
    known = {*arguments.trained_on}
    folds = [fold.model_copy(update={"trained_on": tuple(sorted({*fold.trained_on} | known))}) for fold in card.folds]
    card = card.model_copy(update={"folds": tuple(folds), "voxel_um": arguments.voxel_um})
    write_member(output, card, tensors)
    print(f"{output}: {card.family}, {len(folds)} fold{'' if len(folds) == 1 else 's'}, window {card.window}")
    if not all(fold.trained_on for fold in folds):
        print(
            "what it was trained on is not known, so it counts as trained on everything: say it with --trained-on, or add splits_final.json"
        )
