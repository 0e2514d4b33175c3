"""Take a network of somebody else, or its predictions, as a member: read without executing anything, converted once, with a card.

    python scripts/import_member.py nnUNet_results/Dataset501/nnUNetTrainer__nnUNetPlans__3d_fullres --kind nnunet --name theirs
    python scripts/import_member.py timesformer.ckpt --kind timesformer --name grandprize --trained-on PHerc_Paris_4 --voxel-um 7.91
    python scripts/import_member.py surface_recto_3dunet.pth --kind resenc_unet --name recto --voxel-um 2.4
    python scripts/import_member.py net.onnx --kind graph --name theirs --returns map --intensity divide --spread 255
    python scripts/import_member.py maps_of_a_friend --kind predictions --name friend --scale 4 --trained-on 1 2
    python scripts/import_member.py nnUNet_results/Dataset501/nnUNetTrainer__... predicted --kind predictions --name ready

Writes members/<name>/card.json and what it names; a run then takes it: stage1.members.<name>.member: members/<name>
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

    from scroll.data.members.card import Card

KINDS = ("nnunet", "timesformer", "resnet3d", "stem3d_unet2d", "resenc_unet", "graph", "predictions")
HOW = ("none", "divide", "clip_divide", "zscore", "clip_zscore", "zscore_of_item", "percentiles", "robust", "ours")


def main() -> None:
    """Parse the command line, read, convert, and say what was found."""
    arguments = _parsed()
    from pydantic import ValidationError

    from scroll.data.members.card import NAME
    from scroll.errors import InputError, MissingInputError
    from scroll.runtime.names import checked_name
    from stage1_3d.external.checkpoint import write_card

    for source in arguments.source:
        if not source.exists():
            raise MissingInputError(f"{source}: not there; give what was downloaded: a folder, or a file")
    if len(arguments.source) > 1 and arguments.kind != "predictions":
        raise InputError(
            f"{arguments.source[1]}: a second source; only --kind predictions takes several: import each under a --name of its own"
        )
    name = checked_name(arguments.name, "--name")
    output = arguments.output or Path("members") / name
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not (output / NAME).exists())):
        raise InputError(
            f"{output}: holds something else; expected a new folder, or an imported member: give another --output"
        )
    output.mkdir(parents=True, exist_ok=True)
    try:
        card = _imported(arguments, output)
    except ValidationError as error:
        raise InputError(_in_plain_words(error)) from None
    known = {*arguments.trained_on}
    folds = [fold.model_copy(update={"trained_on": tuple(sorted({*fold.trained_on} | known))}) for fold in card.folds]
    write_card(output, card.model_copy(update={"folds": tuple(folds)}))
    print("\n".join(_described(output, card.model_copy(update={"folds": tuple(folds)}))))


def _in_plain_words(error: "ValidationError") -> str:
    """Which option does not suit, and why."""
    problem = error.errors()[0]
    option = f"--{str(problem['loc'][0]).replace('_', '-')} " if problem["loc"] else "--intensity "
    message = str(problem["msg"]).replace("Input should be", "expected", 1).removeprefix("Value error, ")
    return f"{option}{problem['input'] if problem['loc'] else ''}: {message}: give another"


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "source",
        type=Path,
        nargs="+",
        help="what was downloaded: a folder, a checkpoint, a graph; of predictions folders",
    )
    parser.add_argument("--kind", required=True, choices=KINDS, help="whose names and layout it has")
    parser.add_argument("--name", required=True, help="what it is called in the run")
    parser.add_argument("--output", type=Path, help="folder to write; default members/<name>")
    parser.add_argument("--folds", nargs="*", default=[], help="nnunet: which folds; default all that are there")
    parser.add_argument("--splits", type=Path, help="nnU-Net's splits_final.json: what each fold was trained on")
    seen = "fragments, segments, cubes or scrolls that every network of it has seen; what is not named is new to it"
    parser.add_argument("--trained-on", nargs="*", default=[], metavar="ID", help=seen)
    parser.add_argument("--voxel-um", type=float, help="edge of a voxel that it was trained at, in micrometres")
    parser.add_argument(
        "--returns",
        choices=("voxels", "map"),
        default="voxels",
        help="a graph (.onnx, or .pt2 of torch.export): voxels, or one map of the sheet",
    )
    parser.add_argument("--scale", type=int, default=1, help="voxels that one of what it returns is wide (%(default)s)")
    parser.add_argument(
        "--window",
        type=int,
        nargs=3,
        metavar=("Z", "Y", "X"),
        help="a graph or a checkpoint: what it sees at once; default as it says, or as its kind was trained",
    )
    parser.add_argument("--overlap", type=float, default=0.5, help="share of two neighbouring windows (%(default)s)")
    parser.add_argument(
        "--layers", type=int, nargs=2, metavar=("FIRST", "END"), help="a map: layers about the sheet's centre"
    )
    parser.add_argument(
        "--direction",
        choices=("inwards", "outwards"),
        default="inwards",
        help="a map: layers run into the papyrus, or out",
    )
    parser.add_argument(
        "--intensity",
        choices=HOW,
        default="none",
        help="a graph or a checkpoint: how grey values are scaled (%(default)s; a checkpoint: as its kind was)",
    )
    parser.add_argument(
        "--of",
        choices=("item", "window"),
        default="item",
        help="of the scaling: whose figures are measured (%(default)s)",
    )
    for figure in ("low", "high", "middle", "spread"):
        parser.add_argument(f"--{figure}", type=float, help=f"of the scaling: {figure}")
    return parser.parse_args()


def _imported(arguments: argparse.Namespace, output: Path) -> "Card":
    """What the source holds, written to `output`, and its card without the items that it was trained on."""
    from scroll.data.members.card import Card
    from stage1_3d.external.archives import import_graph
    from stage1_3d.external.checkpoints import import_checkpoint
    from stage1_3d.external.nnunet import import_nnunet, read_splits
    from stage1_3d.external.ready import import_ready

    splits = read_splits(arguments.splits) if arguments.splits else []
    source = arguments.source[0]
    given: dict[str, Any] = {"voxel_um": arguments.voxel_um, "source": ", ".join(map(str, arguments.source))}
    if arguments.kind == "nnunet":
        return import_nnunet(source, output, splits, arguments.folds).model_copy(update=given)
    if arguments.kind == "predictions":
        card = Card(family="predictions", scale=arguments.scale, **given)
        return import_ready(arguments.source, output, card, arguments.trained_on, splits)
    card = Card(family=arguments.kind, **given, **_declared(arguments))
    if arguments.kind == "graph":
        return import_graph(source, output, card)
    return import_checkpoint(source, output, arguments.kind, card)


def _declared(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of a graph that does not say it itself."""
    from scroll.data.intensity import Intensity

    figures = {name: getattr(arguments, name) for name in ("low", "high", "middle", "spread")}
    given = {name: value for name, value in figures.items() if value is not None}
    return {
        "returns": arguments.returns, "scale": arguments.scale, "overlap": arguments.overlap, "direction": arguments.direction,
        "layers": tuple(arguments.layers) if arguments.layers else None, "window": tuple(arguments.window or (0, 0, 0)),
        "intensity": Intensity(how=arguments.intensity, of=arguments.of, **given),
    }  # fmt: skip


def _described(output: Path, card: "Card") -> list[str]:
    """What was imported, and what is not known of it."""
    if card.ready:
        unseen = sum(one.is_unseen for one in card.ready.values())
        return [
            f"{output}: {len(card.ready)} predictions ({card.returns}, scale {card.scale}); {unseen} of items that were new to its network"
        ]
    summary = f"{output}: {card.family}, {len(card.folds)} fold{'' if len(card.folds) == 1 else 's'}, window {card.window}, {card.returns}"
    if all(fold.trained_on for fold in card.folds):
        return [summary]
    unknown = "what it was trained on is not known, so it counts as having seen everything: say it with --trained-on or --splits"
    return [summary, unknown]
