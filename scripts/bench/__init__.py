"""What the hot paths cost on this machine, each beside its yardstick; a file for each, with `run(arguments)`."""

BENCHES = {
    "storage": "random patches a second from each way to store a volume, beside a raw memory map of the same voxels",
    "stacks": "training patches from zarr stacks, here and on a server, beside a raw memory map and the TIFF working copy",
    "flatten": "sampling a volume along the normals of a curved sheet, beside scipy and torch",
    "window": "sliding-window prediction beside the pure forward passes of the same windows, and beside MONAI's",
    "score": "the surface score beside the packages that users would take, on the same pair of sheet volumes",
    "training": "patches a second of a loading process beside a raw memory map, and a training step in bf16 beside fp32",
    "items": "a training item beside batchgeneratorsv2, MONAI and nnU-Net, at the same strength",
    "kernels": "the compiled kernels of loading, tracing and losses beside the library calls that give the same",
    "start": "what comes before the first step: torch, a network of MONAI's, loading processes by the way they are started",
    "tune": "the loading processes that scripts/tune.py chooses beside the fastest of a full sweep, same training",
    "memory": "the planner's traced peak of memory beside what torch's allocator really holds, network by network",
    "parts": "the parts of a training step and of a prediction, and the share of each",
    "growth": "time and memory for 1, 2, 4 and 8 times the volume, shards, cubes, rows and members",
    "scale": "a whole-volume prediction in shards beside the pure forward passes of the same windows",
}
