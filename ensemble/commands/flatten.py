"""Flatten a scroll, and predictions in its space, along a traced surface: (C, N, H, W) OME-Zarr with its coverage.

    python scripts/flatten.py segments/20230827161847 volumes/scroll.zarr --prob unet=prob.zarr --out flat --window -32 33
    python scripts/flatten.py segments/20230827161847 volumes/scroll.zarr --predict configs/winner.yaml --out flat

With --predict a trained run looks at the scroll in the same pass, tile by tile, and no volume of probabilities is written.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.errors import InputError
from scroll.runtime.command_line import number, whole

if TYPE_CHECKING:
    from scroll.surfaces.sample import Source
    from scroll.surfaces.surface import Surface
    from scroll.volumes.volume import Volume
    from stage1_3d.segments.flatten_surface import Flattening

CACHE_BYTES = 512 * 2**20
WAYS = ("layers", "max", "mean", "logsumexp", "topk")


def main() -> None:
    """Read the command line and flatten."""
    arguments = read_arguments()
    if arguments.pixel < 1 or arguments.level < 0:
        raise InputError(
            f"--pixel {arguments.pixel} --level {arguments.level}: expected a pixel of 1 voxel or more, and a level of 0 or more"
        )
    if arguments.tile < 1 or arguments.tile % 128:
        raise InputError(f"--tile {arguments.tile}: expected a multiple of 128, such as 256")
    from scroll.data.segments import check_in_volume
    from scroll.runtime.output_folder import FLATTENED
    from scroll.runtime.run_lock import writing
    from scroll.surfaces import open_surface
    from scroll.surfaces.sample import Offsets
    from stage1_3d.segments.flatten_surface import Flattening, flatten_surface

    surface = open_surface(arguments.surface)
    ct, sources = opened_sources(arguments)
    voxel_um = arguments.voxel_um if ct.voxel_um is None else ct.voxel_um / ct.place.step[0]
    check_in_volume(surface, ct)
    if arguments.flip_normals:
        surface = surface.flipped()
    start, stop = arguments.window
    if not (start < stop and arguments.step > 0):
        raise InputError(
            f"--window {start:g} {stop:g} --step {arguments.step:g}: expected first < end and a step above 0"
        )
    how = Flattening(Offsets(start, stop, arguments.step), arguments.order, arguments.reduce, arguments.pixel)
    with writing(arguments.out, FLATTENED, inputs_on_disk(arguments)):
        if arguments.predict is None:
            flatten_surface(surface, sources, how, arguments.out, voxel_um)
            channels = list(sources)
        else:
            channels = predict_and_flatten(arguments, surface, sources, how, voxel_um)
    print(f"{arguments.out / 'flat.zarr'}: channels {', '.join(channels)}; coverage beside it")


def inputs_on_disk(arguments: argparse.Namespace) -> list[Path]:
    """Every file and folder that the command line names to be read."""
    given = [arguments.volume, *(pair.partition("=")[2] for pair in arguments.prob)]
    return [arguments.surface, *(Path(one) for one in given if "://" not in one)]


def predict_and_flatten(
    arguments: argparse.Namespace,
    surface: "Surface",
    sources: "dict[str, Source]",
    how: "Flattening",
    voxel_um: float | None,
) -> list[str]:
    """Flatten on the fly with a trained run; says how many windows that took, and returns the channels.

    Raises:
        MissingInputError: the run is not trained, or not fitted.
        InputError: its networks know flattened stacks, not volumes.
    """
    from ensemble.check import load_run_settings
    from ensemble.whole_scroll.members import member_weights, message_on_left_out, volume_members
    from ensemble.whole_scroll.plan import ScrollRequest
    from ensemble.whole_scroll.training_boxes import prediction_about
    from scroll.data.kinds import kind_of
    from stage1_3d.segments.flatten_on_the_fly import Tiling, flatten_on_the_fly

    settings = load_run_settings(arguments.predict, arguments.set)
    if kind_of(settings.data).is_flattened:
        raise InputError(
            f"{arguments.predict}: data.kind is {settings.data.kind}, and its networks know flattened stacks; "
            "expected a run on segments or cubes"
        )
    grey_scale = None if arguments.grey is None else (arguments.grey[0], arguments.grey[1])
    request = ScrollRequest(arguments.volume, settings.data.level, grey_scale=grey_scale)
    weights = dict.fromkeys(volume_members(settings), 1.0) if arguments.members else member_weights(settings)
    if left_out := message_on_left_out(settings):
        print(left_out)
    predicted, boxes = prediction_about(settings, request, surface, weights, is_blended=not arguments.members)
    flatten_on_the_fly(
        surface, predicted, how, arguments.out, voxel_um, beside=sources, tiling=Tiling(arguments.tile)
    )  # fmt: skip
    print(boxes.counts())
    return [*sources, *predicted.channels]


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("surface", type=Path, help="tifxyz folder, .ppm or .obj")
    parser.add_argument("volume", help="the scroll: path or URL of an OME-Zarr")
    parser.add_argument(
        "--prob",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a prediction in its space; may be repeated",
    )
    parser.add_argument(
        "--coarser",
        action="store_true",
        help="lay predictions of coarser levels as their scales or shapes say, instead of refusing them",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write flat.zarr, coverage.zarr and receipt.json to"
    )
    parser.add_argument(
        "--window",
        type=number(-1e5, 1e5),
        nargs=2,
        default=(-32, 33),
        metavar=("FIRST", "END"),
        help="depths in voxels of level 0",
    )
    parser.add_argument("--step", type=number(-1e5, 1e5), default=1.0, help="voxels of level 0 between depths")
    parser.add_argument("--level", type=whole(-64, 64), default=0, help="level of the scroll's pyramid to read")
    parser.add_argument(
        "--voxel-um",
        type=number(1e-3, 1e6),
        help="edge of a voxel of level 0 in micrometres, where nothing says so or two files say different sizes",
    )
    parser.add_argument(
        "--pixel", type=whole(-4096, 4096), default=1, help="edge of a pixel of the result in voxels of level 0"
    )
    parser.add_argument("--order", type=int, choices=(0, 1), default=1, help="0 nearest, 1 trilinear")
    parser.add_argument("--reduce", choices=WAYS, default="layers", help="keep all depths, or pool them")
    parser.add_argument("--flip-normals", action="store_true", help="let depth grow against dP/dcolumn x dP/drow")
    add_prediction_arguments(parser)
    return parser.parse_args()


def add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of --predict."""
    on_the_fly = parser.add_argument_group("prediction in the same pass")
    on_the_fly.add_argument(
        "--predict",
        type=Path,
        metavar="CONFIG",
        help="YAML of a trained run, which predicts at data.level; add --flip-normals where its data.normal_sign is -1",
    )
    on_the_fly.add_argument(
        "--members", action="store_true", help="a channel for each member instead of their weighted mean"
    )
    on_the_fly.add_argument(
        "--grey",
        type=number(-1e9, 1e9),
        nargs=2,
        metavar=("MEDIAN", "SPREAD"),
        help="grey scale (default: measured about the surface)",
    )
    on_the_fly.add_argument(
        "--tile",
        type=whole(-1, 65536),
        default=256,
        help="edge of a tile in pixels, a multiple of 128: larger ones share more windows and take more memory",
    )
    on_the_fly.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting of the run"
    )


def opened_sources(arguments: argparse.Namespace) -> "tuple[Volume, dict[str, Source]]":
    """The scroll, and what is sampled: it as "ct", and every prediction by its name.

    Raises:
        InputError: a prediction without a name, a name given twice, or no telling where in the scroll a prediction is.
    """
    from scroll.runtime.reading import reading
    from scroll.runtime.receipt import NAME, read_receipt
    from scroll.surfaces.sample import Source
    from scroll.volumes.opened_level import open_level
    from scroll.volumes.place import check_cubes, place_named, words
    from scroll.volumes.related import place_among

    ct = open_level(arguments.volume, arguments.level, CACHE_BYTES // 2**20, arguments.voxel_um)
    check_cubes(arguments.volume, ct.place, is_level_even=False)
    sources = {"ct": Source(ct)}
    for given in arguments.prob:
        name, equals, path = given.partition("=")
        if not (name and equals and path) or name in sources:
            raise InputError(
                f"--prob {given}: expected NAME=PATH with a name of its own, such as unet=runs/a/prob.zarr"
            )
        prob = open_level(path, 0, CACHE_BYTES // 2**20, arguments.voxel_um)
        if (Path(path).parent / NAME).exists():  # one of ours: a cut-out
            receipt = read_receipt(Path(path).parent, "")
            with reading(Path(path).parent / NAME, "a receipt of ours", "predict it again"):
                place = place_named(receipt.get("place", receipt.get("level", 0)))
                z, y, x = receipt.get("origin_zyx", (0, 0, 0))
            sources[name] = Source(prob, place, (z, y, x))
        else:
            place = place_among(prob, path, ct, arguments.volume)
            if place.step != (1.0, 1.0, 1.0) and not arguments.coarser:
                raise InputError(
                    f"--prob {given}: of a coarser level: by its scale or shape {words(place.step)} voxels of level 0 to a voxel "
                    "(z, y, x); expected level 0: add --coarser to lay it so, or give the prediction at level 0"
                )
            sources[name] = Source(prob, place)
    return ct, sources
