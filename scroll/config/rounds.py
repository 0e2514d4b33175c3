"""The settings of label rounds: what is proposed, what a person is asked about, and how the next training begins."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from scroll.config.training import Frozen
from scroll.runtime.names import all_different

Offset = Annotated[int, Field(ge=-64, le=64)]


def _without_zero(offsets: tuple[int, ...]) -> tuple[int, ...]:
    if 0 in offsets:
        raise ValueError("expected offsets other than 0, which is looked at anyway")
    return offsets


DepthOffsets = Annotated[tuple[Offset, ...], AfterValidator(all_different), AfterValidator(_without_zero)]


class RoundSettings(Frozen):
    """`make round`: a round predicts, proposes labels, asks a person, and trains on what both said."""

    also: Path | None = Field(
        None, description="folder of sheets without labels that are predicted, proposed on and asked about as well"
    )
    ask: int = Field(20, ge=0, le=10_000, description="how many patches a person is asked about in a round")
    ask_um: float = Field(2000.0, ge=10, le=1e5, description="edge of such a patch: about a letter")
    depth_offsets: DepthOffsets = Field(
        (-2, 2),
        description="fragments: layers by which the depth window is shifted too, to see whether members stay sure of what is proposed",
    )
    propose: bool = Field(
        True, description="take for labels what can be trusted of the last prediction; false: people alone"
    )
    least_margin: float = Field(
        0.25, ge=0, le=1, description="of a proposed probability from the threshold, either way"
    )
    most_spread: float = Field(
        0.15,
        ge=0,
        le=1,
        description="standard deviation of what members, folds and depth windows say where it is proposed",
    )
    most_share: float = Field(0.75, ge=0, lt=1, description="of all that is known in a round that may be proposed")
    start: Literal["anew", "last"] = Field(
        "anew", description="networks of stage one begin from nothing, or from the weights of the round before"
    )
