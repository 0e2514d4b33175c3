"""Hand a trained member on: its folds as safetensors or ONNX, with a card that says what it looks at and what it has seen.

    python scripts/export_member.py configs/demo.yaml --member unet3d --output shared/unet3d
    python scripts/export_member.py configs/demo.yaml --member unet3d --output shared/unet3d_onnx --to onnx
    python scripts/export_member.py configs/surface.yaml --member resenc_unet --output shared/resenc --to nnunet

Another run takes the folder as a member: stage1.members.<name>.member: shared/unet3d
With --to nnunet it is one that nnU-Net v2 predicts with (nnUNetv2_predict_from_modelfolder -m), and that
import_member.py --kind nnunet reads.
"""

from pathlib import Path

from scroll.runtime.command_line import run_parser


def main() -> None:
    """Parse the command line, write the folder, and say what it holds."""
    parser = run_parser(__doc__, "data.bin_yx=2")
    parser.add_argument("--member", required=True, help="a trained member of the run")
    parser.add_argument("--output", type=Path, required=True, help="a new folder, or one that was exported before")
    parser.add_argument(
        "--to",
        choices=("safetensors", "onnx", "nnunet"),
        default="safetensors",
        help="how the networks are written (%(default)s)",
    )
    arguments = parser.parse_args()
    from ensemble.ink.fit import fitted_threshold
    from scroll.data.members.card import NAME
    from scroll.errors import InputError
    from stage1_3d.external.nnunet import PLANS
    from stage1_3d.external.ours import export_member
    from stage1_3d.external.to_nnunet import export_nnunet
    from stage1_3d.network import load_checked_settings

    settings, output = load_checked_settings(arguments.config, arguments.set), arguments.output
    mark = PLANS if arguments.to == "nnunet" else NAME
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not (output / mark).exists())):
        raise InputError(
            f"{output}: holds something else; expected a new folder, or an exported member: give another --output"
        )
    if arguments.to == "nnunet":
        card = export_nnunet(settings, arguments.member, output)
    else:
        threshold = fitted_threshold(settings, arguments.member)
        card = export_member(settings, arguments.member, output, arguments.to, threshold)
    print(
        f"{output}: {len(card.folds)} folds of {arguments.member}, window {card.window}, voxels of {card.voxel_um:g} um"
    )
