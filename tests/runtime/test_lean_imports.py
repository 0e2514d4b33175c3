"""A library is imported without what it does not need here; nobody else, and nothing later, misses it."""

import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path

import pytest

from scroll.runtime.lean_imports import BESIDE_MONAI, without

LIBRARY = """
try: import heavy
except ImportError: heavy = None
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library, and a heavy package that it imports where it can."""
    (tmp_path / "heavy.py").touch()
    (tmp_path / "library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("heavy", "library"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_library_goes_without_and_whoever_asks_later_does_not(installed: None) -> None:
    with without({"heavy"}):
        library = import_module("library")
        with pytest.raises(ModuleNotFoundError, match="No module named 'heavy'"):
            import_module("heavy")
    assert library.heavy is None and import_module("heavy").__file__


def test_what_is_imported_already_is_found(installed: None) -> None:
    heavy = import_module("heavy")
    with without({"heavy"}):
        assert import_module("library").heavy is heavy


def test_another_thread_finds_it_meanwhile(installed: None) -> None:
    found = []
    with without({"heavy"}):
        thread = threading.Thread(target=lambda: found.append(import_module("heavy")))
        thread.start()
        thread.join()
    assert found == [sys.modules["heavy"]]


def test_an_error_within_leaves_nothing_behind(installed: None) -> None:
    before = [*sys.meta_path]
    with pytest.raises(ZeroDivisionError), without({"heavy"}), without({"heavy"}):
        raise ZeroDivisionError
    assert sys.meta_path == before and import_module("heavy")


BUILD = """
import hashlib, sys
from importlib.util import find_spec
if sys.argv[1] == "whole":
    if find_spec("pandas"):
        import pandas
    import matplotlib.pyplot, scipy.signal, skimage.morphology, sklearn.metrics, monai
import torch
from scroll.training.loss_terms.cldice import cldice
from scroll.training.loss_terms.voxels import seen
from scroll.config.schema import MemberSettings
from stage1_3d.network import build_network
levels = {"channels": [2, 4, 4], "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2]]}
tokens = {"hidden_size": 24, "num_heads": 3, "mlp_dim": 24, "feature_size": 4}
residual = {"filters": 4, "groups": 2, "blocks_down": [1, 1, 2], "blocks_up": [1, 1]}
for name, options in {"unet3d": levels, "segresnet": residual, "unetr": tokens, "swinunetr": {"feature_size": 12}}.items():
    torch.manual_seed(1)
    network = build_network(MemberSettings(network=name, options=options, patch_size=(32, 32, 64))).eval()
    with torch.no_grad():
        logits = network(torch.randn(1, 1, 32, 32, 64))[:, 0]
        lost = cldice(seen(logits, {"target": logits > 0, "ignore": logits > 1}))
    bits = hashlib.sha256(b"".join(v.numpy().tobytes() for v in (*network.state_dict().values(), logits, lost)))
    print(name, *network.state_dict(), bits.hexdigest())
print(*sorted(set(sys.modules) & set(sys.argv[2:])))
"""


@pytest.mark.slow
def test_monai_alone_builds_the_networks_that_monai_with_all_it_can_find_builds() -> None:
    alone, whole = (
        subprocess.run(
            [sys.executable, "-c", BUILD, how, *BESIDE_MONAI], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for how in ("alone", "whole")
    )
    assert alone[:-1] == whole[:-1] and len(alone) == 5
    assert alone[-1] == "" and {"matplotlib", "scipy.signal", "sklearn"} < set(whole[-1].split())
