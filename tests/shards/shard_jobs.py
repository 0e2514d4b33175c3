"""A whole-volume job small enough for tests: a tiny network of random weights, and an output that keeps a diary."""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from scroll.config.schema import WindowSettings
from scroll.inference.sliding_window import Sweep, predict, predict_box
from scroll.runtime.receipt import key_of
from scroll.shards.drive import Driver
from scroll.shards.grid import Index, shard_at, shards_of
from scroll.shards.ledger import Ledger
from scroll.shards.plan import Plan
from scroll.shards.work import Job
from scroll.volumes.sharded.output import OutputFormat, ShardOutput, create_output

KEY = key_of("test")
WINDOW = WindowSettings(overlap=0.25, blend="gaussian", tta="flips", batch_size=4)


def phantom_ct(shape: tuple[int, int, int], tile_vox: int = 96) -> np.ndarray:
    """CT of a phantom scroll, uint8, repeated until it fills `shape`; a corner of it is empty, as outside a scan."""
    from scroll.phantom.cube import draw_scroll, scan_cube
    from scroll.phantom.settings import cube_settings

    settings = cube_settings("default", tile_vox)
    tile = scan_cube(draw_scroll(settings, (0, 1)), settings, (0, 1)).volume
    ct = np.tile(tile, [-(-n // tile_vox) for n in shape])[tuple(slice(0, n) for n in shape)]
    ct[: shape[0] // 2, : shape[1] // 2, : shape[2] // 2] = 0
    return np.ascontiguousarray(ct)


def tiny_network() -> nn.Module:
    """Sees neighbours, knows left from right, and costs next to nothing."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv3d(1, 6, 5, padding=2, stride=4), nn.GELU(), nn.Conv3d(6, 1, 3, padding=1), nn.Upsample(scale_factor=4.0)
    )
    network[2].weight.data *= 8
    return network.eval()


@dataclass(frozen=True)
class TinyRecipe:
    """Predicts a volume in a .npy with `tiny_network`, at a pace that a test chooses."""

    ct: Path
    patch: Index = (32, 32, 32)
    wait_s: float = 0.0
    window: WindowSettings = WINDOW
    kept: Path | None = None  # folder that every box is also kept in, as it was before it became uint8

    def sweep(self, shape: tuple[int, ...]) -> Sweep:
        return Sweep(shape, self.patch, self.window, (0, shape[1]))

    def __call__(self) -> Callable[[Index, Index], np.ndarray | None]:
        ct, network = np.load(self.ct, mmap_mode="r"), tiny_network()
        sweep = self.sweep(ct.shape)

        def predictor(corner: Index, size: Index) -> np.ndarray | None:
            time.sleep(self.wait_s)
            if not ct[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))].any():
                return None
            prob = predict_box(sweep, lambda at: _window(ct, at, self.patch), network, corner, size).numpy()
            if self.kept is not None:
                np.save(self.kept / f"{corner}.npy", prob[0])
            return prob

        return predictor

    def at_once(self) -> np.ndarray:
        """The whole volume in memory, (Z, Y, X) float32, by the sliding window that predicts cubes."""
        ct, rows = np.load(self.ct), []
        sweep = self.sweep(ct.shape)
        predict(sweep, lambda at: _window(ct, at, self.patch).numpy(), tiny_network(), lambda _, r: rows.append(r))
        return np.concatenate(rows, axis=-2)[0]


def _window(ct: np.ndarray, at: tuple[int, ...], patch: Index) -> torch.Tensor:
    cut = ct[tuple(slice(a, a + p) for a, p in zip(at, patch, strict=True))]
    return torch.from_numpy((cut.astype(np.float32) - 100) / 40)[None]


@dataclass(frozen=True)
class DiaryOutput:
    """A real output that writes down each write: of which shard, and whether its ledger line was there already."""

    output: ShardOutput
    ledger: Path
    diary: Path

    def write(self, corner: Index, block: np.ndarray) -> int:
        self._note(0, corner)
        return self.output.write(corner, block)

    def write_coarser(self, level: int, corner: Index) -> int:
        self._note(level, corner)
        return self.output.write_coarser(level, corner)

    def files(self, level: int) -> Mapping[Index, int]:
        return self.output.files(level)

    def _note(self, level: int, corner: Index) -> None:
        how = self.output.how
        shape = [-(-n // 2**level) for n in how.shape]
        z, y, x = (c // how.shard_vox for c in corner)
        is_done = Ledger(self.ledger, KEY).is_done(shard_at(shape, how.shard_vox, (z, y, x), level))
        line = json.dumps({"level": level, "index": [z, y, x], "was_done": is_done, "pid": os.getpid()}) + "\n"
        with self.diary.open("a") as file:  # one short write: whole, whoever else appends
            file.write(line)


@dataclass(frozen=True)
class TinyJob:
    """A plan and a job in a folder."""

    folder: Path
    recipe: Any
    shape: Index
    shard_vox: int = 32
    levels: int = 1
    version: Literal["0.5", "0.4"] = "0.5"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def ledger(self) -> Path:
        return self.folder / "out.zarr.ledger"

    @property
    def plan(self) -> Plan:
        how = OutputFormat(self.shape, self.shard_vox, self.shard_vox // 2, 7.91, self.version, self.levels)
        indices = tuple(shard.index for shard in shards_of(self.shape, self.shard_vox))
        return Plan(KEY, how, indices, bytes_read=0)

    def job(self, part: Driver = Driver()) -> Job:  # noqa: B008
        output = create_output(self.folder / "out.zarr", self.plan.how, KEY)
        diary = DiaryOutput(output, self.ledger, self.folder / "diary.jsonl")
        return Job(self.ledger, KEY, diary, self.recipe, part.name, **({"wait_s": 0.01} | self.options))

    def result(self) -> np.ndarray:
        return create_output(self.folder / "out.zarr", self.plan.how, KEY).read((0, 0, 0), self.shape)

    def writes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "diary.jsonl").read_text().splitlines()]
