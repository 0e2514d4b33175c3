"""Augmented in batches by torch, a training patch is what it is when a loading process augments it."""

import pytest
import torch
from stored_patches import ALONE, CHANCES, EVERYTHING, LABELS, Patches

from scroll.config.schema import LossSettings
from scroll.data.sample import Space

CPU = torch.device("cpu")


def on_the_device(patches: Patches, numbers: list[int]) -> dict[str, torch.Tensor]:
    deferred = patches.deferred()
    return deferred.finish(deferred.collate([deferred[n] for n in numbers]), CPU)


def assert_same(patches: Patches, numbers: list[int], unequal_labels: float = 0.0) -> None:
    """Images within 1e-4, labels equal but for a share of voxels."""
    found = on_the_device(patches, numbers)
    expected = [patches[n] for n in numbers]
    assert found.keys() == expected[0].keys()
    for name, tensor in found.items():
        wanted = torch.stack([item[name] for item in expected])
        assert tensor.dtype == wanted.dtype and tensor.shape == wanted.shape, name
        if name in ("ct", "stack"):
            torch.testing.assert_close(tensor, wanted, atol=1e-4, rtol=0)
        else:
            assert ((tensor.float() - wanted.float()).abs() > 1e-4).float().mean() <= unequal_labels, name


def asked(space: Space, **on: float) -> dict[str, float]:
    return on if space is Space.SHEET else on | {"depth_cut_paste": 0.0}


@pytest.mark.parametrize("space", Space)
@pytest.mark.parametrize("name", ALONE)
def test_each_augmentation_alone_is_that_of_a_loading_process(name, space):
    for label in LABELS:
        assert_same(Patches(space, label, augment=asked(space, **ALONE[name])), list(range(6)))


@pytest.mark.parametrize("space", Space)
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(
    "types", [("uint8",), ("uint16",), (">u2",), ("float32",), ("uint8", "uint16"), ("uint8", "float32")]
)
def test_all_together_are_those_of_a_loading_process_in_batches_of_mixed_draws_and_types(types, label, space):
    assert_same(Patches(space, label, types, augment=asked(space, **EVERYTHING)), list(range(8)))


@pytest.mark.parametrize(
    ("space", "size"), [(Space.SCROLL, (128, 128, 128)), (Space.SCROLL, (72, 136, 136)), (Space.SHEET, (72, 136, 136))]
)
def test_patches_of_the_size_that_is_trained_on_are_those_of_a_loading_process(space, size):
    on = EVERYTHING | dict.fromkeys(CHANCES, 1.0)
    assert_same(Patches(space, size=size, augment=asked(space, **on)), [0, 1], unequal_labels=1e-6)


@pytest.mark.parametrize("space", Space)
@pytest.mark.parametrize("label", LABELS)
def test_where_the_loss_asks_for_skeletons_labels_and_skeletons_are_those_of_the_loader_to_the_bit(label, space):
    patches = Patches(space, label, augment=asked(space, **EVERYTHING), loss=LossSettings(skeleton_recall=1))
    found = on_the_device(patches, list(range(6)))
    for n in range(6):
        item = patches[n]
        assert found.keys() == item.keys() and "skeleton" in item
        for name, tensor in item.items():
            if name in ("ct", "stack"):
                torch.testing.assert_close(found[name][n], tensor, atol=1e-4, rtol=0)
            else:
                assert torch.equal(found[name][n], tensor), name


@pytest.mark.parametrize("space", Space)
def test_a_patch_has_the_same_bits_in_whatever_batch_it_comes(space):
    patches = Patches(space, "soft", ("uint8", "uint16"), augment=asked(space, **EVERYTHING))
    together = on_the_device(patches, list(range(8)))
    for n in range(8):
        for name, tensor in on_the_device(patches, [n]).items():
            assert torch.equal(tensor[0], together[name][n]), name


def test_what_is_sent_is_as_it_is_stored_and_a_label_is_a_byte():
    for dtype in ("uint8", "uint16"):
        item = Patches(Space.SCROLL, "proposed", (dtype,), augment=EVERYTHING | {"depth_cut_paste": 0.0}).deferred()[0]
        tensors = {name: part for name, part in item.items() if isinstance(part, torch.Tensor)}
        assert {name: part.dtype for name, part in tensors.items()} == {
            "image": getattr(torch, dtype),
            "codes": torch.uint8,
        }
    patches = Patches(Space.SCROLL, augment={})
    patches.deferred()
    assert patches[0]["ct"].dtype == torch.float32  # the patches that were left to the device are others


@pytest.mark.parametrize("space", Space)
@pytest.mark.parametrize("label", LABELS)
def test_on_a_device_nothing_is_asked_back_from_it_and_nothing_lies_elsewhere(label, space):
    """Tensors on torch's meta device have no values, and no other tensor can be added to them."""
    deferred = Patches(space, label, ("uint8", "uint16"), augment=asked(space, **EVERYTHING)).deferred()
    found = deferred.finish(deferred.collate([deferred[n] for n in range(6)]), torch.device("meta"))
    assert all(tensor.device.type == "meta" and len(tensor) == 6 for tensor in found.values())


def test_the_noise_of_patches_is_as_strong_as_the_setting_says():
    patches = Patches(Space.SCROLL, augment={"noise": 0.4})
    plain = on_the_device(Patches(Space.SCROLL, augment={}), list(range(40)))["ct"]
    sds = (on_the_device(patches, list(range(40)))["ct"] - plain).std(dim=(1, 2, 3, 4))
    assert 0.3 < float(sds.max()) <= 0.42 and float(sds.min()) < 0.1
