"""What is made to go wrong on purpose."""

import pytest

from turnout.local.faults import TIME_SCALE, Faults


def test_the_scale_that_it_is_made_with_is_the_one_that_a_reset_restores():
    faults = Faults(time_scale=1)
    faults.set(time_scale=600)
    faults.reset()
    assert faults.seconds(60) == 60


def test_what_is_not_named_goes_back_to_normal_but_for_the_time_scale():
    faults = Faults()
    faults.set(async_deliveries=3, endpoint_starts="never", throttled_table="t", throttled_seconds=60, time_scale=5)
    assert faults.throttles("t")
    assert not faults.throttles("other")
    assert faults.seconds(60) == 12
    faults.set()
    assert (faults.async_deliveries, faults.endpoint_starts, faults.time_scale) == (1, "", 5)
    assert not faults.throttles("t")
    faults.reset()
    assert faults.time_scale == TIME_SCALE


@pytest.mark.parametrize(
    "wrong",
    [{"async_deliveries": 0}, {"async_deliveries": 11}, {"endpoint_starts": "slowly"}, {"time_scale": 0.5}],
)
def test_nonsense_is_refused_and_changes_nothing(wrong):
    faults = Faults()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        faults.set(**wrong)
    assert faults.describe() == Faults().describe()
