"""The options of every measurement; knows none of them, so that help comes at once."""

import argparse
from pathlib import Path

EDGES = ("Z", "Y", "X")
TABLES = ("overhead", "processes", "halos", "memory")


def storage(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py storage`."""
    parser.add_argument(
        "--shape", type=int, nargs=3, metavar=EDGES, default=(128, 1024, 1024), help="voxels of the volume (uint8)"
    )
    parser.add_argument("--patch", type=int, nargs=3, metavar=EDGES, default=(72, 136, 136), help="voxels of a patch")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each store")
    parser.add_argument("--folder", type=Path, help="where the temporary stores go (default: the system's place)")


def stacks(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py stacks`."""
    parser.add_argument("--stack-edge", type=int, default=2048, help="rows and columns of the stack (%(default)s)")
    parser.add_argument("--stack-patches", type=int, default=300, help="that each way is timed on (%(default)s)")


def flatten(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py flatten`."""
    parser.add_argument(
        "--samples", type=int, nargs=3, default=(65, 512, 512), metavar=("N", "H", "W"), help="offsets, rows, columns"
    )
    parser.add_argument("--flatten-runs", type=int, default=5, help="runs of each; 3 at least (%(default)s)")


def window(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py window`."""
    parser.add_argument(
        "--window-shape", type=int, nargs=3, metavar=EDGES, default=(16, 512, 512), help="voxels of the volume"
    )
    parser.add_argument("--window", type=int, nargs=3, metavar=EDGES, default=(16, 96, 96), help="voxels of a window")
    parser.add_argument("--runs", type=int, default=5)


def score(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py score`."""
    parser.add_argument("--size", type=int, default=320, help="edge of the volumes in voxels (%(default)s)")
    parser.add_argument("--score-runs", type=int, default=3, help="runs of ours; each peer runs once (%(default)s)")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")


def training(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py training`."""
    parser.add_argument("--patches", type=int, default=200, help="that each way of loading is timed on")
    parser.add_argument("--step-patch", type=int, nargs=3, default=(16, 96, 96), metavar=("Z", "Y", "X"))
    parser.add_argument("--steps", type=int, default=3, help="training steps timed in each precision")


def kernels(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py kernels`."""
    parser.add_argument("--kernel-edge", type=int, default=128, help="edge of the cube in voxels (%(default)s)")
    parser.add_argument("--kernel-runs", type=int, default=5, help="runs of each (%(default)s)")


def tune(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py tune`."""
    parser.add_argument("--tune-steps", type=int, default=60, help="steps counted in a trial (%(default)s)")


def memory(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py memory`."""
    parser.add_argument("--networks", nargs="*", help="names of the table that it prints; default: all")


def scale(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py scale`."""
    parser.add_argument("--scale-edge", type=int, default=192, help="voxels of the volume along each axis")
    parser.add_argument("--scale-shards", type=int, nargs="+", default=[64, 96, 192], help="edges of shards, in voxels")
    parser.add_argument("--scale-window", type=int, default=64, help="edge of a window in voxels")
    parser.add_argument(
        "--scale-channels", type=int, default=24, help="width of the network: decides its time a window"
    )
    parser.add_argument("--scale-processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--scale-tables", nargs="+", choices=TABLES, default=TABLES, help="default: all of them")


def growth(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py growth`."""
    parser.add_argument("--growth-rows", nargs="*", help="names of the table that it prints; default: all")
    parser.add_argument("--growth-times", type=int, nargs="+", default=[1, 2, 4, 8], help="how many times as much")


def parts(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py parts`."""
    parser.add_argument("--parts-edge", type=int, default=160, help="of the cubes, in voxels (%(default)s)")
    parser.add_argument(
        "--parts-steps", type=int, default=60, help="of the training, the first 20 do not count (%(default)s)"
    )


def start(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py start`."""
    parser.add_argument("--start-workers", type=int, default=4, help="loading processes of a training (%(default)s)")
    parser.add_argument("--start-runs", type=int, default=5, help="runs of each (%(default)s)")


def items(parser: argparse.ArgumentParser) -> None:
    """The options of `bench.py items`."""
    parser.add_argument("--item-runs", type=int, default=9, help="items of each (%(default)s)")


OF = {
    "storage": storage,
    "stacks": stacks, "flatten": flatten, "window": window, "score": score, "training": training, "tune": tune, "memory": memory,
    "scale": scale, "growth": growth, "parts": parts, "kernels": kernels, "items": items, "start": start,
}  # fmt: skip
