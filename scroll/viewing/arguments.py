"""What every command for a viewer asks for."""

from argparse import ArgumentParser
from pathlib import Path

from scroll.runtime.command_line import number


def add_volumes(parser: ArgumentParser) -> None:
    """Add the arguments of `scroll.viewing.layers.look_at_all`: volumes, --labels and --voxel-um."""
    parser.add_argument(
        "volumes", nargs="*", type=Path, help="OME-Zarr, TIFF cube, layer stack, .npy, or a run's prob.zarr"
    )
    parser.add_argument("--labels", nargs="+", default=[], type=Path, help="volumes whose numbers are labels or masks")
    parser.add_argument(
        "--voxel-um",
        type=number(0.01, 1e4),
        help="edge of a voxel, of those that do not tell; else as the first that does",
    )
