"""Papyrus of the same scan that is known to hold no ink, predicted as it is: what is called ink there is imagined, whatever copies show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.controls.asked import Asked
from ensemble.controls.components import Response, response_of
from scroll.audit.figures import Blocks, blocks_of_map
from scroll.data.fragments import Fragment
from scroll.errors import InputError
from scroll.metrics.bootstrap import block_edge_um

FOLDER = "blank-papyrus"  # of the output, for its predictions


@dataclass(frozen=True)
class BlankPapyrus:
    """What all blank sheets together show: components on `area_cm2`, and what everyone says of them, block by block."""

    sheets: int
    area_cm2: float
    responses: Sequence[Response]
    blocks: Mapping[str, Blocks]


def blank_papyrus(asked: Asked, sheets: Sequence[Fragment], output: Path) -> BlankPapyrus | None:
    """Predict the sheets below <output>/blank-papyrus, each as it is to be asked about; what is current there is kept. None: no sheet.

    Raises:
        MissingInputError: the run lacks weights.
        InputError: one holds no papyrus.
    """
    if not sheets:
        return None
    responses, area_cm2 = [], 0.0
    blocks: dict[str, list[Blocks]] = {name: [] for name in asked.names}
    for sheet in sheets:
        papyrus_cm2 = float(sheet.full_mask.sum()) * (sheet.pixel_um / 1e4) ** 2
        if not papyrus_cm2:
            raise InputError(f"{sheet.folder}: no papyrus; expected some in its mask.png to look for ink on")
        folder, edge_um = output / FOLDER / sheet.id, block_edge_um(papyrus_cm2 * 1e8)
        found = asked.predicted(sheet, folder)
        responses.append(response_of(found.pieces, sheet, edge_um))
        area_cm2 += papyrus_cm2
        for name, of_name in blocks.items():
            of_name.append(
                blocks_of_map(asked.map_of(folder, name), asked.threshold(name), sheet.mask, edge_um / sheet.seen_um)
            )
    return BlankPapyrus(
        len(sheets), area_cm2, responses, {name: side_by_side(of_name) for name, of_name in blocks.items()}
    )


def side_by_side(found: Sequence[Blocks]) -> Blocks:
    """Blocks of several sheets as those of one."""
    return Blocks(*(np.concatenate([getattr(one, name) for one in found]) for name in ("flagged", "surely", "pixels")))
