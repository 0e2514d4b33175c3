"""Measure what the hot paths cost on this machine: the files of `scripts/bench/`."""

if __name__ == "__main__":
    from command import run

    run("scripts.bench.__main__")
