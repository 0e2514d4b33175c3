"""A setting that a kind of data does not know is refused, not passed over."""

import pytest

from scroll.config.schema import Settings

MEMBERS = {"members": {"a": {"network": "cnn3d"}}}


@pytest.mark.parametrize(
    ("data", "sampling", "message"),
    [
        ({"kind": "segments", "pool": 2}, {}, "pool is 2, which segments do not know"),
        ({"kind": "cubes", "pool": 4}, {}, "pool is 4, which cubes do not know"),
        ({"kind": "cubes", "grey_labels": "soft"}, {}, "grey_labels is soft, which cubes do not know"),
        ({"kind": "cubes"}, {"shares": {"A": 1}}, "sampling.shares is set, which cubes do not know"),
        ({"kind": "cubes"}, {"shares": "by_area"}, "sampling.shares is set, which cubes do not know"),
    ],
)
def test_it_is_one_line(data, sampling, message):
    with pytest.raises(ValueError, match=message):
        Settings.model_validate({"run_dir": "x", "data": data, "sampling": sampling, "stage1": MEMBERS})
