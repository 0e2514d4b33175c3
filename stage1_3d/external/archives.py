"""Networks that come as a graph with their weights: ONNX files and archives of torch.export; neither runs code of its own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scroll.data.members.card import NAME, Card, FoldCard
from scroll.errors import InputError
from scroll.inference.fold_ensemble import device
from scroll.runtime.files import written_aside
from scroll.runtime.reading import reading

ONNX, EXPORTED = ".onnx", ".pt2"
SAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # torch's own switch: else reading an archive may fall back to unpickling


class Onnx(nn.Module):
    """An ONNX graph of one input and one output, (B, 1, Z, Y, X) or (B, Z, Y, X) float32 -> logits."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError:
            raise InputError(
                f"{path}: needs onnxruntime, which is not installed: pip install 'scroll-ensemble[external]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        there = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in there]
        with reading(path, "an ONNX graph", "export it again", also=(Exception,)):
            self.session: Any = onnxruntime.InferenceSession(str(path), options, providers=providers)
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise InputError(
                f"{path}: {len(inputs)} inputs and {len(outputs)} outputs; expected one of each: export the network alone"
            )
        self.name, self.rank = inputs[0].name, len(inputs[0].shape)
        self.shape = [n if isinstance(n, int) else None for n in inputs[0].shape]

    def forward(self, windows: Tensor) -> Tensor:
        """Windows (B, 1, Z, Y, X) on any device -> what the graph gives; one window at a time where its batch is fixed."""
        seen = windows.detach().float().cpu().numpy()
        seen = seen if self.rank == seen.ndim else seen[:, 0]
        size = self.shape[0] or len(seen)
        parts = [self.session.run(None, {self.name: seen[n : n + size]})[0] for n in range(0, len(seen), size)]
        return torch.from_numpy(np.concatenate(parts)).to(windows.device)


class Exported(nn.Module):
    """A graph of torch.export, (B, 1, Z, Y, X) or (B, Z, Y, X) -> logits; it is as it was exported, and knows no other mode.

    Raises:
        InputError: it has more than one input.
    """

    def __init__(self, program: Any, path: Path) -> None:
        super().__init__()
        asked = program.graph_signature.user_inputs
        if len(asked) != 1:
            raise InputError(f"{path}: {len(asked)} inputs; expected one: export the network alone")
        node = next(node for node in program.graph.nodes if node.name == asked[0])
        self.shape = [n if isinstance(n, int) else None for n in node.meta["val"].shape]
        self._held = (program.module().to(device()),)  # not as a part of this one: it refuses train() and eval()

    def forward(self, windows: Tensor) -> Tensor:
        """Windows (B, 1, Z, Y, X) -> what the graph gives; one window at a time where its batch is fixed."""
        seen = windows if len(self.shape) == windows.ndim else windows[:, 0]
        size = self.shape[0] or len(seen)
        return torch.cat([self._held[0](seen[n : n + size]) for n in range(0, len(seen), size)])


class OneLogit(nn.Module):
    """The output of a foreign network as one logit, (B, 1, ...): of two classes, that of the class less that of the background."""

    def __init__(self, network: nn.Module, ndim: int, where: Path) -> None:
        super().__init__()
        self.network, self.ndim, self.where = network, ndim, where

    def forward(self, windows: Tensor) -> Tensor:
        """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X), or (B, 1, Y, X) of a map."""
        logits = self.network(windows)
        if logits.ndim == self.ndim + 1:
            logits = logits[:, None]
        if logits.ndim != self.ndim + 2 or logits.shape[1] > 2:
            raise InputError(
                f"{self.where}: gave {tuple(logits.shape)} for windows of {tuple(windows.shape)}; expected one or two classes, and "
                f"{self.ndim} axes after them: import it with the --returns that is true"
            )
        return logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]


def network(folder: Path, card: Card, fold: int) -> nn.Module:
    """One of its networks, on the GPU if there is one."""
    path = folder / card.folds[fold].weights
    return OneLogit(opened(path), 3 if card.returns == "voxels" else 2, folder / NAME)


def opened(path: Path) -> Onnx | Exported:
    """A graph, ready to run; nothing in it is unpickled but tensors.

    Raises:
        InputError: it is none, is damaged, holds objects, or has more than one input.
    """
    if path.suffix == ONNX:
        return Onnx(path)
    with _weights_only(), reading(path, "an archive of torch.export", "export it again", also=(Exception,)):
        return Exported(torch.export.load(path), path)


@contextmanager
def _weights_only() -> Iterator[None]:
    before = os.environ.get(SAFE)
    os.environ[SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE]
        else:
            os.environ[SAFE] = before


def import_graph(source: Path, output: Path, card: Card) -> Card:
    """A graph copied to `output` under its family's name, after it was opened and its window looked at; returns its card.

    Raises:
        InputError: it cannot be opened, or no window is given.
    """
    if source.suffix not in (ONNX, EXPORTED):
        raise InputError(f"{source}: expected a file {ONNX} or {EXPORTED}: export the network to one of them")
    *_, z, y, x = [None, None, None, *opened(source).shape]
    given, own = card.window, None if z is None or y is None or x is None else (z, y, x)
    if own is None and min(given) < 1:
        raise InputError(f"{source}: takes windows of any size, or does not say which; give --window Z Y X")
    if own is not None and min(given) >= 1 and own != given:
        raise InputError(f"{source}: was exported for windows of {own}, not of {given}; leave --window out")
    weights = f"fold0{source.suffix}"
    with written_aside(output / weights) as aside:
        shutil.copyfile(source, aside)
    return card.model_copy(update={"window": own or given, "folds": (FoldCard(weights=weights, sha256=""),)})
