"""Now `audit`, which this command runs: python scripts/audit.py CONFIG --input ... --output ... (docs/audit.md)."""

from ensemble.audit.arguments import parser, run


def main() -> int:
    """Say so, and audit."""
    arguments = parser(__doc__).parse_args()
    print("placebo: is now audit, which runs here; placebo.json is audit.json (docs/audit.md)")
    return run(arguments)
