"""Once stage one has predicted, the preview shows what stage two is trained on, too."""

from PIL import Image
from pipeline_run import Call, Run

from ensemble.commands import preview


def test_the_preview_draws_a_member_and_stage_two(run: Run, call: Call, tmp_path):
    code, message, _ = call(preview.main, run.config, "--count", 2, "--out", tmp_path / "patches.png")
    assert code == 0
    assert message.splitlines() == [f"preview: {tmp_path / name}" for name in ("patches.png", "patches_stage2.png")]
    assert all(Image.open(tmp_path / name).size[0] > 500 for name in ("patches.png", "patches_stage2.png"))
