"""Counts the tensors that are alive while something runs, operation by operation, without asking the device."""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

CAUSES = ("weights", "gradients", "inputs", "activations")
ACTIVATIONS = "activations"
_FUSED = torch.ops.aten._scaled_dot_product_flash_attention, torch.ops.aten._scaled_dot_product_flash_attention_backward
_ON_CPU = (
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward,
)
FORMULAS = flop_registry | {
    there: flop_registry[here] for there, here in zip(_ON_CPU, _FUSED, strict=True)
}  # torch has none of these


class LiveMemory(TorchDispatchMode):
    """While it is active, every new storage is counted under "activations" until it is gone; real tensors and fake ones alike.

    Attributes:
        moments: bytes alive by cause, in the order of `CAUSES`, after each operation that made a storage.
        parameters: numbers that learn; for whoever counts them.
        flop: of convolutions, matrix products and attention so far, by torch's own formulas.
        moved_bytes: that the operations so far read and wrote, each by itself.
        operations: that wrote something, so far.
        forward_flop, forward_moved_bytes, forward_operations: the same when `end_forward` was called.
    """

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[tuple[int, ...]] = []
        self.parameters = 0
        self.flop = 0.0
        self.operations = 0
        self.forward_operations = 0
        self.forward_flop = 0.0
        self.forward_moved_bytes = 0.0
        self.moved_bytes = 0.0
        self._alive = dict.fromkeys(CAUSES, 0)
        self._known: dict[int, tuple[weakref.ref[Any], str, int]] = {}

    def count(self, tensors: Iterable[Tensor], cause: str) -> None:
        """Count these under `cause`, from now on where they are counted under another already."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if id(storage) in self._known:
                _, before, size = self._known[id(storage)]
                self._known[id(storage)] = (self._known[id(storage)][0], cause, size)
                self._alive[before] -= size
                self._alive[cause] += size
            else:
                self._add(storage, cause)

    def end_forward(self) -> None:
        """Remember how much the forward pass took."""
        self.forward_flop, self.forward_moved_bytes = self.flop, self.moved_bytes
        self.forward_operations = self.operations

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, then see what it made."""
        result = func(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        is_new = False
        for tensor in made:
            storage = tensor.untyped_storage()
            if id(storage) not in self._known:
                self._add(storage, ACTIVATIONS)
                is_new = True
        if is_new:
            self.moments.append(tuple(self._alive.values()))
        if is_new or func._schema.is_mutable:
            self.operations += 1
            read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            self.moved_bytes += sum(tensor.numel() * tensor.element_size() for tensor in (*read, *made))
        if func._overloadpacket in FORMULAS:
            formula = FORMULAS[func._overloadpacket]
            self.flop += float(formula(*args, **(kwargs or {}), out_val=result))
        return result

    def _add(self, storage: torch.UntypedStorage, cause: str) -> None:
        size, number = storage.nbytes(), id(storage)

        def forget(_: Any) -> None:
            _, now, _ = self._known.pop(number)
            self._alive[now] -= size

        self._known[number] = (weakref.ref(storage, forget), cause, size)
        self._alive[cause] += size
