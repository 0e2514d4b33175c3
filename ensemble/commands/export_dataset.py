"""Training data of a run for other networks: as an nnU-Net raw data set, or traced segments as flattened fragments.

    python scripts/export_dataset.py configs/surface.yaml --output nnUNet_raw/Dataset501_Sheets
    python scripts/export_dataset.py configs/surface.yaml --output nnUNet_raw/Dataset501_Sheets --input data/surface
    python scripts/export_dataset.py configs/demo.yaml --output data/flat --layout fragments

The first holds CT, labels 0, 1 and 2 (ignored), and the run's folds as splits_final.json. nnU-Net then plans and trains on it; what
it trained comes back by scripts/import_member.py (docs/external_members.md). With --input also the items that ensemble/predict.py
would predict there, as imagesTs, for nnUNetv2_predict.

From fragments, as the ink competition lays them out, networks of flattened papyrus learn, and come back by scripts/export_member.py
(docs/scroll_space.md).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scroll.runtime.command_line import run_parser

if TYPE_CHECKING:
    from scroll.config.schema import Settings


def main() -> None:
    """Parse the command line, write the data set, and say how many items it holds."""
    parser = run_parser(__doc__, "data.bin_yx=1")
    help_text = "a new folder; for nnU-Net called Dataset<number>_<name>"
    parser.add_argument("--output", type=Path, required=True, help=help_text)
    help_text = "nnunet: a raw data set; fragments: sheets as fragments of the ink competition (%(default)s)"
    parser.add_argument("--layout", choices=("nnunet", "fragments"), default="nnunet", help=help_text)
    help_text = "fragments and segments: layers about the sheet that ink is labelled in (default: -3 3)"
    parser.add_argument("--ink-layers", type=int, nargs=2, default=(-3, 3), metavar=("FIRST", "END"), help=help_text)
    help_text = "a folder that ensemble/predict.py takes: its items are written too, as imagesTs, without labels"
    parser.add_argument("--input", type=Path, help=help_text)
    arguments = parser.parse_args()
    from scroll.config.reader import load_settings
    from scroll.errors import InputError
    from stage1_3d.external.flat_fragments import export_fragments
    from stage1_3d.external.raw_dataset import export_new, export_raw

    settings, output = load_settings(arguments.config, arguments.set), arguments.output
    if arguments.layout == "fragments":
        if arguments.input:
            raise InputError("--input: only --layout nnunet writes items without labels; leave it out")
        refuse_foreign(output, "train")
        print(
            f"{output}: {export_fragments(settings, output)} sheets; next: a configuration of fragments with data.root {output}"
        )
        return
    refuse_foreign(output, "dataset.json")
    new = _items_at(arguments.input, settings) if arguments.input else []
    count = export_raw(settings, output, tuple(arguments.ink_layers))
    also = f", and {export_new(settings, new, output)} new ones" if new else ""
    print(
        f"{output}: {count} items{also}; next: nnUNetv2_plan_and_preprocess, which takes the folds of splits_final.json"
    )


def refuse_foreign(output: Path, mark: str) -> None:
    """Refuse a folder that holds something else than what was written there before, which has `mark` in it.

    Raises:
        InputError: it does.
    """
    from scroll.errors import InputError

    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not (output / mark).exists())):
        raise InputError(f"{output}: holds something else; expected a new folder: give another --output")


def _items_at(source: Path, settings: "Settings") -> "list[Any]":
    """What ensemble/predict.py would predict there."""
    from ensemble.request import input_sheets
    from scroll.data.cubes import find_cubes
    from scroll.data.kinds import kind_of

    if kind_of(settings.data).has_sheets:
        return input_sheets(settings, source)
    return list(find_cubes(source, settings.data, part="test"))
