"""Now `audit --look`, which this command runs: python scripts/audit.py CONFIG --input ... --look (docs/audit.md).

Exit code 2 where a sheet would be refused. `ensemble/predict.py` looks as well before it predicts, and corrects.
"""

from ensemble.audit.arguments import parser, run


def main() -> int:
    """Say so, and look."""
    arguments = parser(__doc__).parse_args()
    arguments.look = True
    print("preflight: is now audit --look, which runs here (docs/audit.md)")
    return run(arguments)
