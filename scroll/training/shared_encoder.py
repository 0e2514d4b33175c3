"""U-Nets of one encoder for several targets, as ScrollPrize/villa saves them: their tensors under the names that ours have.

Its networks (vesuvius/models/build/build_network_from_config.py) have a shared encoder, and for each target a decoder with layers of
logits, or a head on a decoder that targets share. A target of two classes is one logit here: that of the class less that of the background.
"""

from collections.abc import Mapping

from torch import Tensor

OURS = "network."  # before the encoder and the decoder; theirs is the same, or nothing
ENCODER, DECODER, LOGITS = f"{OURS}encoder.", f"{OURS}decoder.", f"{OURS}decoder.seg_layers."
THEIR_ENCODER, THEIR_DECODER = "shared_encoder.", "shared_decoder."
OF_A_TARGET = ("task_decoders.", "task_heads.")
BOTH_CLASSES = 2


def targets_in(state: Mapping[str, Tensor]) -> list[str]:
    """The targets of such a network, sorted; none of another."""
    parts = [name.removeprefix(OURS).split(".") for name in state]
    return sorted({path[1] for path in parts if f"{path[0]}." in OF_A_TARGET})


def by_our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Such a network's encoder and decoder as ours are called, and what belongs to its target where it has but one; others as they are."""
    before = next((before for before in ("", OURS) if any(n.startswith(before + THEIR_ENCODER) for n in state)), None)
    if before is None:
        return dict(state)
    ours = {THEIR_ENCODER: ENCODER, THEIR_DECODER: DECODER}
    targets = targets_in(state)
    if len(targets) == 1:
        finest = sum(name.endswith(".weight") and ".transpconvs." in name for name in state) - 1
        of_decoder, of_head = (f"{part}{targets[0]}." for part in OF_A_TARGET)
        ours |= {of_decoder: DECODER, of_head: f"{LOGITS}{finest}."}
    found = {}
    for name, tensor in state.items():
        bare = name.removeprefix(before)
        theirs = next((theirs for theirs in ours if name.startswith(before) and bare.startswith(theirs)), None)
        renamed = name if theirs is None else ours[theirs] + bare.removeprefix(theirs)
        found[renamed] = _one_logit(tensor) if renamed.startswith(LOGITS) else tensor
    return found


def _one_logit(head: Tensor) -> Tensor:
    """Weights or biases of a layer of logits, (classes, ...); of two classes their difference, (1, ...), which is as exact as both."""
    return head[1:].float() - head[:1].float() if len(head) == BOTH_CLASSES else head
