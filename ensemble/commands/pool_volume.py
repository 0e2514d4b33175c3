"""Make stacks of larger voxels once: means over POOL voxels along z, y and x, with their masks and labels beside them.

    python scripts/pool_volume.py data/scrolls/train --out data/scrolls_9um/train --voxel-um 2.4 --pool 4 --layers 21
    python scripts/pool_volume.py https://host/segment/surface-volume.zarr --out data/scrolls_9um/test --voxel-um 2.4

Each stack becomes <out>/<its name>/surface-volume.zarr. A killed run goes on where it stopped.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scroll.errors import InputError
from scroll.runtime.command_line import number, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scroll.data.fragments import Fragment
    from scroll.volumes.volume import Volume

BAND_ROWS, BAND_COLUMNS = 128, 512  # of the result that are made at once


def main() -> None:
    """Read the command line and pool."""
    arguments = read_arguments()
    from scroll.config.schema import DataSettings
    from scroll.data.fragments import fragments_at
    from scroll.runtime.output_folder import POOLED
    from scroll.runtime.run_lock import writing

    level = {} if arguments.level is None else {"pool_from": arguments.level}
    data = DataSettings(
        voxel_um=arguments.voxel_um, pool=arguments.pool, cache_dir=arguments.cache, grey_labels="soft", **level
    )
    fragments = fragments_at(arguments.source, data)
    with writing(arguments.out, POOLED, [arguments.source]):
        for fragment in fragments:
            pool(fragment, arguments.out / fragment.id, arguments.layers)
            print(f"{arguments.out / fragment.id}: voxels of {fragment.pixel_um:g} um; set data.voxel_um to that")


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("source", type=Path, help="folder of fragments, one of them, or a zarr or its address")
    add("--out", type=Path, required=True, help="folder to write <name>/surface-volume.zarr and pictures to")
    add("--voxel-um", type=number(0.01, 1e4), required=True, help="edge of a voxel of the source in micrometres")
    add("--pool", type=whole(2, 64), default=4, help="voxels that become one, along each axis")
    add("--level", type=whole(0, 15), help="level of the pyramid to pool from (default: the coarsest that fits)")
    add("--layers", type=whole(1, 10**5), help="so many about the middle (default: all)")
    add("--cache", type=Path, default=Path("data/cache"), help="where fetched chunks are kept")
    return parser.parse_args()


def pool(fragment: "Fragment", folder: Path, layers: int | None) -> None:
    """Write the pooled stack of a fragment, and its mask and label where it has them, into `folder`; goes on where it was stopped.

    Raises:
        InputError: it has fewer layers.
    """
    stack = fragment.stored
    first, count = _middle(fragment, stack, layers)
    folder.mkdir(parents=True, exist_ok=True)
    save_pictures(fragment, folder)
    write_pooled(
        stack, first, count, folder / "surface-volume.zarr", fragment.pixel_um, f"{fragment.key} {first} {count}"
    )


def _middle(fragment: "Fragment", stack: "Volume", layers: int | None) -> tuple[int, int]:
    """First of the requested layers, and how many."""
    there = stack.shape[0]
    requested = there if layers is None else layers
    if requested > there:
        raise InputError(
            f"{fragment.folder}: {there} layers once pooled; expected at least --layers {requested}: ask for fewer, or pool less"
        )
    return there // 2 - requested // 2, requested


def write_pooled(stack: "Volume", first: int, count: int, path: Path, voxel_um: float, key: str) -> None:
    """Write layers [first, first + count) of a stack as an OME-Zarr, a band of rows after the other, in bounded memory."""
    import numpy as np

    from scroll.inference.prediction_store import RowWriter
    from scroll.runtime.progress import progress

    _, height, width = stack.shape
    writer = RowWriter(path, key, (count, height, width), voxel_um, "zyx", dtype=stack.dtype)
    begin = writer.done_rows
    with progress(f"pool {path.parent.name}", height, "row", begin) as advance:
        for row in range(begin, height, BAND_ROWS):
            rows = slice(row, min(row + BAND_ROWS, height))
            parts = [
                stack[first : first + count, rows, column : column + BAND_COLUMNS]
                for column in range(0, width, BAND_COLUMNS)
            ]
            writer.write(row, np.concatenate(parts, axis=2))
            advance(rows.stop - rows.start)
    writer.finish()


def save_pictures(fragment: "Fragment", folder: Path) -> None:
    """Mask, ink and what is known, proposed and held out of a fragment at its pooled size, where it has them; greys stay greys."""
    import numpy as np

    from scroll.volumes.masks import INK, MASK, PROPOSED, SUPERVISION, VALIDATION, files_beside

    pictures: dict[str, Any] = {}
    if fragment.mask_files:
        pictures[MASK] = fragment.full_mask
    if files_beside(fragment.folders, fragment.id, INK):
        training, held_out = fragment.full_labels.training, fragment.full_labels.held_out
        pictures |= {INK: training.target, SUPERVISION: ~training.ignore}
        if training.proposed is not None:
            pictures[PROPOSED] = training.proposed
        if held_out is not None:
            pictures[INK] = np.where(held_out.ignore, training.target, held_out.target)
            pictures[VALIDATION] = ~held_out.ignore
    for name, values in pictures.items():
        save_picture(folder / f"{name}.png", values)


def save_picture(path: Path, values: "NDArray[Any]") -> None:
    """Write (Y, X) bool, or floats from 0 to 1, as 8-bit grey."""
    import numpy as np
    from PIL import Image

    from scroll.runtime.files import written_aside

    with written_aside(path) as aside:
        Image.fromarray(np.rint(np.asarray(values, np.float32) * 255).astype(np.uint8)).save(aside, format="PNG")


if __name__ == "__main__":
    from scroll.runtime.command_line import run_command

    run_command(main)
