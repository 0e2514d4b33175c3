"""What a person is asked about next: where the teacher expects ink, and anywhere; or where networks contradict each other."""

from collections.abc import Callable, Collection, Sequence

import numpy as np

from ensemble.ink.fit_record import InkFit
from ensemble.rounds.maps import Map, Source
from ensemble.rounds.place import LabelRound
from ensemble.rounds.propose import open_mask
from scroll.rounds.ranking import Asked, Squares, anywhere, asked_for, half_each, most_inked, patch_nats
from scroll.rounds.voices import Voices

LEAST_EDGE_PX = 4
Place = tuple[str, int, int]  # sheet, y and x of a patch's corner


def ranked(
    a_round: LabelRound, fit: InkFit, found: Sequence[Source], passed_over: Collection[Place] = ()
) -> list[Asked]:
    """The patches of a round, the most telling first, at working resolution; never one of `passed_over`, labelled or held out.

    Each with the nats by which networks contradict each other there, however it was chosen.
    """
    rounds, edge_px = a_round.base.rounds, edge_of(a_round, found)

    def by_square(worth: Callable[[Source], Map]) -> dict[str, Squares]:
        squares = {one.sheet.id: patch_nats(worth(one), open_mask(one), edge_px) for one in found}
        for sheet, y, x in passed_over:
            if sheet in squares:
                squares[sheet][y // edge_px, x // edge_px] = 0
        return squares

    nats = by_square(lambda one: Voices.of(prob for _, prob in one.by_network()).disagreement)
    if rounds.choose == "disagreement":
        return asked_for(nats, edge_px, rounds.ask)
    inked = by_square(lambda one: most_inked(one.blend(fit), open_mask(one)))
    area = by_square(lambda one: np.ones(one.sheet.mask.shape, np.float32))
    chosen = half_each(inked, anywhere(area, [a_round.base.seed, a_round.number]), edge_px, rounds.ask)
    return [one._replace(nats=float(nats[one.sheet][one.y // edge_px, one.x // edge_px])) for one in chosen]


def edge_of(a_round: LabelRound, found: Sequence[Source]) -> int:
    """Edge of a patch in working pixels, the same on all sheets of a round."""
    sheet = found[0].sheet
    return max(LEAST_EDGE_PX, round(a_round.base.rounds.ask_um / (sheet.pixel_um * sheet.data.bin_yx)))
