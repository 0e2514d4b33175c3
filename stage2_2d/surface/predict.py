"""Stage two over the sheets of cubes: presence and offset of every pixel; resumes cube by cube."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from torch import nn

from scroll.config.schema import Settings
from scroll.data.boxes import filled_up
from scroll.data.cubes import Cube
from scroll.inference.fold_ensemble import mean_of
from scroll.inference.prediction_store import RowWriter
from scroll.inference.sliding_window import Forward, Prediction, Sweep
from scroll.runtime.files import written_aside
from scroll.runtime.progress import progress
from scroll.runtime.receipt import file_hash, is_current, key_of, read_receipt, write_receipt
from scroll.training.checkpoint import ready
from stage2_2d.network import about_network, build_network
from stage2_2d.predict import weights_path, window_of
from stage2_2d.surface.stack import TracedSheet, traced_sheets

HEADS_NAME = "heads.zarr"
PRESENCE, OFFSET, HEADS = 0, 1, 2


def predict_sheets(
    settings: Settings, cubes: Sequence[Cube], folds: list[int], sheets: Path, output: Path, is_shown: bool = True
) -> None:
    """Write <output>/<cube>/sheet-001/heads.zarr (2, H, W) float16 and a receipt per cube, by these folds together.

    The first map is the probability that the sheet is there, the second how far along its normal, -5 to 5 voxels as 0 to 1.
    `sheets` holds <cube>/sheet-001 as traced. What is current is left alone.
    """
    hint = "run 'make stage1 CONFIG=...' first"
    weights = {str(path): file_hash(path) for path in (weights_path(settings, fold) for fold in folds)}
    how = [settings.stage2.window.model_dump(), settings.stage2.patch_size, settings.stage2.training.precision]
    keys = {
        cube.id: key_of([read_receipt(sheets / cube.id, hint)["key"], list(weights.values()), folds, how])
        for cube in cubes
    }
    missing = [cube for cube in cubes if not is_current(output / cube.id, keys[cube.id])]
    if not missing:
        return

    @cache
    def load() -> Forward:
        again = "run 'make stage2 CONFIG=...' again"
        networks = [ready(network_for(settings), Path(path), about(settings), again) for path in weights]
        return mean_of(networks, settings.stage2.training.precision, settings.stage2.window)

    with progress("stage 2, sheets", len(missing), "cube", is_shown=is_shown) as advance:
        for cube in missing:
            with written_aside(output / cube.id) as aside:
                aside.mkdir(parents=True)
                for sheet in traced_sheets(sheets / cube.id, cube, hint):
                    _predict_sheet(settings, sheet, load(), aside / sheet.folder.name, (keys[cube.id], cube.pixel_um))
                write_receipt(
                    aside, keys[cube.id], cube=cube.id, data=cube.key, folds=folds, axes="cyx", voxel_um=cube.pixel_um,
                    sheets=str(sheets / cube.id), window=settings.stage2.window.model_dump(mode="json"), weights=weights,
                )  # fmt: skip
            advance()


def _predict_sheet(
    settings: Settings, sheet: TracedSheet, forward: Forward, folder: Path, about: tuple[str, float]
) -> None:
    patch = settings.stage2.patch_size
    padded = filled_up(sheet.channels(), patch)
    sweep = Sweep(padded.shape[1:], patch, settings.stage2.window, (0, sheet.shape_yx[0]))
    writer = RowWriter(folder / HEADS_NAME, about[0], (2, *sheet.shape_yx), about[1], "cyx")
    Prediction(sweep, partial(window_of, padded, patch), lambda: forward, sheet.shape_yx).run(writer.write, 0)
    writer.finish()


def channels_of(settings: Settings) -> int:
    """Channels of a stack: all layers of every member, then of the CT."""
    return (len(settings.stage1.fitted) + 1) * (2 * settings.tracing.reach_vox + 1)


def network_for(settings: Settings) -> nn.Module:
    """The network of stage two with its two heads; presence starts as the members' mean where the sheet was traced."""
    layers = 2 * settings.tracing.reach_vox + 1
    middles = [n * layers + settings.tracing.reach_vox for n in range(len(settings.stage1.fitted))]
    return build_network(settings.stage2, channels_of(settings), HEADS, middles)


def about(settings: Settings) -> dict[str, object]:
    """What is stored with the weights."""
    return about_network(settings.stage2, channels_of(settings), HEADS)
