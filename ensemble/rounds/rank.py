"""What a person is asked about next: patches of all sheets on which the teacher's networks contradict each other."""

from collections.abc import Collection, Sequence

from ensemble.rounds.maps import Source
from ensemble.rounds.place import LabelRound
from ensemble.rounds.propose import open_mask
from scroll.rounds.ranking import Asked, asked_for, patch_nats
from scroll.rounds.voices import Voices

LEAST_EDGE_PX = 4
Place = tuple[str, int, int]  # sheet, y and x of a patch's corner


def ranked(a_round: LabelRound, found: Sequence[Source], passed_over: Collection[Place] = ()) -> list[Asked]:
    """The patches of a round, the most telling first, at working resolution; never one of `passed_over`, labelled or held out."""
    rounds, nats = a_round.base.rounds, {}
    edge_px = edge_of(a_round, found)
    for source in found:
        worth = Voices.of(one for _, one in source.by_network()).disagreement
        of_sheet = patch_nats(worth, open_mask(source), edge_px)
        for sheet, y, x in passed_over:
            if sheet == source.sheet.id:
                of_sheet[y // edge_px, x // edge_px] = 0
        nats[source.sheet.id] = of_sheet
    return asked_for(nats, edge_px, rounds.ask)


def edge_of(a_round: LabelRound, found: Sequence[Source]) -> int:
    """Edge of a patch in working pixels, the same on all sheets of a round."""
    sheet = found[0].sheet
    return max(LEAST_EDGE_PX, round(a_round.base.rounds.ask_um / (sheet.pixel_um * sheet.data.bin_yx)))
