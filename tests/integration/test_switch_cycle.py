"""All six modes in one tour under load: the short form of `make switch-drill`."""

import pytest

from benchmarks.switch_drill import MODES, Drill, run
from turnout.load import cycle, pairs


@pytest.mark.local_only("the drill brings its own local cloud and counts on its metrics")
def test_a_cycle_through_all_modes_loses_no_request(tmp_path):
    with Drill(tmp_path / "drill", rate=20.0).ready() as drill:
        reports = run(drill, pairs(cycle(list(MODES))))
    assert {report.new for report in reports} == set(MODES)
    assert [report.faults for report in reports if not report.clean] == []
    assert sum(report.before.sent + report.during.sent + report.after.sent for report in reports) > 500
