"""A number of the command line that nothing can mean is refused before anything is read."""

import argparse

import pytest

from scroll.runtime.command_line import number, whole


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "-1", "10.5", "ten", ""])
def test_numbers_outside_the_bounds_and_what_is_none_are_refused(text):
    for read in (number(0, 10), whole(0, 10)):
        with pytest.raises(argparse.ArgumentTypeError, match=r"expected a (whole )?number from 0 to 10"):
            read(text)


def test_the_bounds_themselves_are_inside():
    assert [number(0, 1)("0"), number(0, 1)("1"), whole(2, 3)("2"), whole(2, 3)("3")] == [0, 1, 2, 3]
