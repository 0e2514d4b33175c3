"""Steps of every member on this machine's GPU: `scripts/bench/gpu.py`."""

if __name__ == "__main__":
    from command import run

    run("scripts.bench.gpu")
