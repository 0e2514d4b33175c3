"""Is it ink? A verdict for every sheet: found and stands out, not told from chance, nothing there, or nothing to be seen.

    python scripts/audit.py configs/demo_ink.yaml --input data/demo_ink/test --output runs/demo_ink/predict
    python scripts/audit.py --member members/timesformer --input data/segment --output runs/audit

Predicts each fragment, copies without ink, planted ink, layers in opposite order and moved windows; what is current is kept, so a
stopped one goes on. Writes audit.html and audit.json. How to read them: docs/audit.md.
"""

from ensemble.audit.arguments import parser, run


def main() -> int:
    """Parse the command line and audit."""
    return run(parser(__doc__).parse_args())
