"""The patches of held-out sheets where the ensemble is worst and best, and how every predictor saw them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.ink.predictors import FullSize
from scroll.config.schema import Settings
from scroll.data.kinds import kind_of
from scroll.data.labels import Label
from scroll.data.sheets import Sheet
from scroll.inference.prediction_store import open_map
from scroll.metrics.fbeta import fbeta
from scroll.report.patch_pictures import Cuts, Patch, grey, marked
from scroll.report.pictures import error_colours
from scroll.report.scored import worst_and_best

EDGE_UM = 3000.0  # of a patch: about a letter
LEAST_KNOWN = 0.5  # share of a patch that is scored
SECTION_SHARE = 3  # a section is drawn about a third as high as the patch, for it has few layers
Rectangle = tuple[slice, slice]


@dataclass(frozen=True)
class Window:
    """A square of a sheet at full resolution: F0.5 of the ensemble in it, and how many pixels are wrong."""

    score: float
    wrong: int
    sheet: str
    box: Rectangle


def windows_of(sheet: str, mask: NDArray[np.bool_], label: Label, edge_px: int) -> list[Window]:
    """The squares of a sheet that are mostly scored and hold ink or prediction; `mask` (Y, X) is what would be submitted."""
    known, found = ~label.ignore, []
    edge = min(edge_px, *mask.shape)
    for row, column in itertools.product(*(range(0, n - edge + 1, edge) for n in mask.shape)):
        box = slice(row, row + edge), slice(column, column + edge)
        called, ink, inside = mask[box], label.target[box], known[box]
        tp, fp, fn = (np.count_nonzero(part & inside) for part in (called & ink, called & ~ink, ~called & ink))
        if inside.mean() >= LEAST_KNOWN and tp + fp + fn:
            found.append(Window(float(fbeta(tp, fp, fn)), int(fp + fn), sheet, box))
    return found


def picked(windows: Sequence[Window]) -> list[tuple[str, Window]]:
    """The worst and the best of all windows, ("worst" or "best", window); none is both."""
    return worst_and_best(sorted(windows, key=lambda window: (window.score, -window.wrong)))


@dataclass(frozen=True)
class Seen:
    """A sheet as it was predicted: `maps` by predictor and blend, each slices to (Y, X) at full resolution; mask (Y, X), label."""

    settings: Settings
    sheet: Sheet
    folder: Path
    maps: Mapping[str, FullSize]
    mask: NDArray[np.bool_]
    label: Label

    def patch(self, kind: str, window: Window) -> Patch:
        """CT, label, every map and the errors of the ensemble in a window, in three cuts where most is wrong (or written).

        Label, stage two and blends know no depth: across the depth they are drawn as a band.
        """
        box = window.box
        truth, known = self.label.target[box], ~self.label.ignore[box]
        mask = self.mask[box]
        counted = (mask != truth) & known if kind == "worst" else truth & known
        place = int(np.argmax(counted.sum(axis=1))), int(np.argmax(counted.sum(axis=0)))
        layers, centre = self._layers()
        ct = grey(np.asarray(self.sheet.stack[layers, box[0], box[1]]))
        middle = centre - layers.start
        columns: dict[str, Cuts] = {
            "CT": {
                "z": marked(ct[middle], *place),
                **_sections(ct, place),
            },
            "label": _flat(truth.astype(np.float32), place),
        }
        for name, prob in self.maps.items():
            flat = np.asarray(prob[box], np.float32)
            deep = self._deep(name, box)
            columns[name] = {**_flat(flat, place), **({} if deep is None else _sections(deep, self._coarse(place)))}
        columns["errors"] = _flat(error_colours(mask, truth, known), place)
        where = (centre, box[0].start + place[0], box[1].start + place[1])
        corner = (layers.start, box[0].start, box[1].start)
        return Patch(window.sheet, kind, window.score, where, corner, (len(ct), *truth.shape), columns)

    def _layers(self) -> tuple[slice, int]:
        """The layers that the networks see, and the one that is shown from above."""
        count, centre = self.sheet.stack.shape[0], centre_layer(self.sheet)
        low, high = self.settings.data.depth
        first, end = max(0, centre + low), min(count, centre + high)
        return slice(first, max(end, first + 1)), min(count - 1, max(0, centre + (low + high) // 2))

    def _deep(self, name: str, box: Rectangle) -> NDArray[np.float32] | None:
        """A member's probability layer by layer in a window, (Z, Y, X) at working resolution; None of what knows no depth."""
        path, bin_yx = self.folder / name / "prob.zarr", self.settings.data.bin_yx
        if (
            not kind_of(self.settings.data).is_flattened or not path.exists()
        ):  # a segment's layers are those of its scroll
            return None
        rows, columns = (
            slice(part.start // bin_yx, max(part.start // bin_yx + 1, part.stop // bin_yx)) for part in box
        )
        return np.asarray(open_map(path, "")[:, rows, columns], np.float32)

    def _coarse(self, place: tuple[int, int]) -> tuple[int, int]:
        return place[0] // self.settings.data.bin_yx, place[1] // self.settings.data.bin_yx


def centre_layer(sheet: Sheet) -> int:
    """The layer of the sheet's stack that its centre is in."""
    return int(sheet.stack.shape[0] // 2 + getattr(sheet, "shift_layers", 0))


def _flat(picture: NDArray[Any], place: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """From above, and the row and the column of the cuts as bands."""
    height = max(1, len(picture) // SECTION_SHARE)
    rows = {"y": picture[place[0]], "x": picture[:, place[1]]}
    return {"z": picture, **{axis: np.repeat(line[None], height, axis=0) for axis, line in rows.items()}}


def _sections(volume: NDArray[Any], place: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Across y and across x, (Z, X) and (Z, Y), each layer drawn several pixels thick."""
    row, column = min(place[0], volume.shape[1] - 1), min(place[1], volume.shape[2] - 1)
    thick = max(1, round(volume.shape[1] / SECTION_SHARE / volume.shape[0]))
    return {axis: np.repeat(cut, thick, axis=0) for axis, cut in (("y", volume[:, row]), ("x", volume[:, :, column]))}
