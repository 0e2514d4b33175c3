"""Drive a tiny job in a process of its own, which a test can kill: folder, edge lengths, engine, part, parts."""

import sys
from pathlib import Path


def main() -> None:
    from shard_jobs import TinyJob, TinyRecipe

    from scroll.shards.drive import Driver, run_part
    from scroll.shards.local_engine import LocalEngine

    folder, shape, engine, part, parts = sys.argv[1:]
    z, y, x = map(int, shape.split("x"))
    job = TinyJob(Path(folder), TinyRecipe(Path(folder).parent / "ct.npy", wait_s=0.1), (z, y, x), levels=2)
    which = Driver(int(part), int(parts))
    if engine.startswith("ray"):
        from scroll.shards.ray_engine import RayEngine

        address = engine.partition(" ")[2]
        chosen = RayEngine(8, address) if address else RayEngine(2)
    else:
        chosen = LocalEngine(int(engine))
    sys.exit(3 if run_part(job.plan, job.job(which), chosen, which) else 0)


sys.path.insert(1, str(Path(__file__).parents[2]))
if __name__ == "__main__":
    main()
