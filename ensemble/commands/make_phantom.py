"""Draw a synthetic scroll with known answers: fragments (ink layout), cubes (surface layout), surfaces and scrolls (tifxyz)."""

import argparse
import shlex
import sys
from pathlib import Path

from scroll.phantom.settings import PRESETS
from scroll.runtime.command_line import number, whole


def main() -> None:
    """Read the command line and draw what is asked for."""
    arguments = read_arguments()
    from scroll.phantom.dataset import COMMAND_FILE
    from scroll.runtime.files import write_text
    from scroll.runtime.output_folder import PHANTOM
    from scroll.runtime.run_lock import writing

    with writing(arguments.out, PHANTOM):
        arguments.draw(arguments)
        command = shlex.join(["python", "scripts/make_phantom.py", *sys.argv[1:]])
        write_text(arguments.out / COMMAND_FILE, command + "\n")


def read_arguments() -> argparse.Namespace:
    """The command line; `draw` is the function that serves the subcommand."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(required=True, metavar="fragments|cubes|surfaces|scrolls")
    fragments = _fragments_parser(kinds)
    cubes = kinds.add_parser("cubes", help="cubes with surface labels in the surface competition's layout")
    cubes.add_argument("--size", type=whole(-1, 65536), default=320, help="edge in voxels")
    cubes.add_argument("--train", type=whole(-(10**6), 10**6), default=6, help="number of training cubes")
    cubes.add_argument(
        "--test", type=whole(-(10**6), 10**6), default=2, help="number of test cubes; their truth goes to heldout/"
    )
    damage = cubes.add_mutually_exclusive_group()
    damage.add_argument("--mixed", action="store_true", help="three scrolls that differ, the third only in the test")
    cubes.set_defaults(draw=draw_cubes)
    surfaces = kinds.add_parser(
        "surfaces", help="one cube and its wraps as tifxyz, with the ink that flattening must find"
    )
    surfaces.add_argument("--size", type=whole(-1, 65536), default=320, help="edge in voxels")
    surfaces.add_argument("--step", type=number(-1e5, 1e5), default=4.0, help="voxels between grid points")
    surfaces.set_defaults(draw=draw_surfaces)
    scrolls = kinds.add_parser("scrolls", help="OME-Zarr volumes with traced wraps (tifxyz) and ink labels on them")
    scrolls.add_argument("--size", type=whole(-1, 65536), default=256, help="edge of each volume in voxels")
    scrolls.add_argument("--train", type=whole(-(10**6), 10**6), default=2, help="number of volumes to train on")
    scrolls.add_argument(
        "--test", type=whole(-(10**6), 10**6), default=1, help="number of test volumes; their truth goes to heldout/"
    )
    scrolls.add_argument("--letter-height-px", type=number(1, 1e5), default=112.0, help="strokes scale with it")
    scrolls.set_defaults(draw=draw_scrolls)
    for kind in (fragments, cubes, surfaces, scrolls):
        kind.add_argument("--out", type=Path, required=True, help="folder to write")
        default = "easy" if kind is scrolls else "default"
        kind.add_argument("--preset", choices=PRESETS, default=default, help="how visible the ink is")
        kind.add_argument(
            "--seed", type=whole(0, 2**63 - 1), default=1, help="the same seed and parameters give the same bytes"
        )
    for group in (fragments, damage, surfaces):
        group.add_argument("--crushed", action="store_true", help="wraps pressed onto one another")
    for kind in (fragments, cubes, scrolls):
        kind.add_argument("--jobs", type=whole(1, 4096), help="processes; default one per core")
    return parser.parse_args()


def _fragments_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    fragments = kinds.add_parser("fragments", help="flattened fragments in the ink competition's layout")
    fragments.add_argument(
        "--size", type=whole(-1, 65536), nargs=3, default=[65, 1024, 1024], metavar=("Z", "Y", "X"), help="voxels"
    )
    fragments.add_argument("--train", type=whole(-(10**6), 10**6), default=3, help="number of training fragments")
    fragments.add_argument(
        "--test", type=whole(-(10**6), 10**6), default=2, help="number of test fragments; their truth goes to heldout/"
    )
    fragments.add_argument("--letter-height-px", type=number(1, 1e5), help="default 190; strokes scale with it")
    fragments.add_argument(
        "--voxel-um",
        type=number(0.5, 50),
        default=7.91,
        help="edge of a voxel; finer ones show the same papyrus in more",
    )
    fragments.add_argument("--zarr", action="store_true", help="layers as published surface volumes: OME-Zarr, uint8")
    fragments.add_argument(
        "--labelled",
        type=number(0.01, 0.75),
        help="share of each training fragment that is labelled, for label rounds; its last quarter is then a validation mask",
    )
    fragments.set_defaults(draw=draw_fragments)
    return fragments


def draw_fragments(arguments: argparse.Namespace) -> None:
    """Draw training and test fragments."""
    from scroll.phantom.dataset import make_fragments
    from scroll.phantom.settings import fragment_settings

    settings = fragment_settings(
        arguments.preset, tuple(arguments.size), arguments.crushed, arguments.letter_height_px, arguments.voxel_um
    )
    counts = (arguments.seed, arguments.train, arguments.test, arguments.jobs)
    make_fragments(arguments.out, settings, *counts, is_zarr=arguments.zarr, labelled=arguments.labelled or 1.0)


def draw_cubes(arguments: argparse.Namespace) -> None:
    """Draw training and test cubes, of scrolls that are alike or that differ."""
    from scroll.phantom.dataset import make_cubes
    from scroll.phantom.settings import cube_settings, mixed_scrolls

    alike = cube_settings(arguments.preset, arguments.size, arguments.crushed)
    settings = mixed_scrolls(arguments.size, arguments.preset) if arguments.mixed else alike
    make_cubes(arguments.out, settings, arguments.seed, arguments.train, arguments.test, arguments.jobs)


def draw_surfaces(arguments: argparse.Namespace) -> None:
    """Draw one cube and its wraps as surfaces."""
    from scroll.phantom.dataset import make_surfaces
    from scroll.phantom.settings import cube_settings

    settings = cube_settings(arguments.preset, arguments.size, arguments.crushed)
    make_surfaces(arguments.out, settings, arguments.seed, arguments.step)


def draw_scrolls(arguments: argparse.Namespace) -> None:
    """Draw volumes with traced, inked wraps."""
    from scroll.phantom.scroll_dataset import make_scrolls
    from scroll.phantom.settings import scroll_settings

    settings = scroll_settings(arguments.preset, arguments.size, arguments.letter_height_px)
    make_scrolls(arguments.out, settings, arguments.seed, arguments.train, arguments.test, jobs=arguments.jobs)
