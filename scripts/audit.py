"""`scroll-ensemble audit`, from a clone in which nothing is installed."""

if __name__ == "__main__":
    from command import run

    run("ensemble.commands.audit")
