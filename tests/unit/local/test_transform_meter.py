"""How much of the machine a transform instance uses, with a clock and processes of the test's own."""

from turnout.local.sagemaker.hosting.usage import Use
from turnout.local.sagemaker.transform.meter import Meter


class Machine:
    """A clock and one family of processes."""

    def __init__(self):
        self.now, self.cpu_seconds, self.resident, self.published = 100.0, 5.0, 250, []

    def meter(self) -> Meter:
        return Meter(
            lambda: Use(1, self.cpu_seconds, self.resident) if self.cpu_seconds is not None else None,
            lambda name, percent: self.published.append((name, percent)),
            memory_bytes=1000,
            clock=lambda: self.now,
        )


def test_one_busy_core_is_100_and_what_was_used_before_does_not_count():
    machine = Machine()
    meter = machine.meter()
    meter.start()
    machine.now, machine.cpu_seconds = 110.0, 20.0
    meter.measure()
    assert machine.published == [("CPUUtilization", 150.0), ("MemoryUtilization", 25.0)]
    machine.now, machine.cpu_seconds, machine.published = 120.0, 21.0, []
    meter.measure()
    assert machine.published == [("CPUUtilization", 10.0), ("MemoryUtilization", 25.0)]


def test_a_short_job_is_measured_once_at_its_end():
    machine = Machine()
    with machine.meter():
        machine.now, machine.cpu_seconds = 101.0, 5.5
    assert machine.published == [("CPUUtilization", 50.0), ("MemoryUtilization", 25.0)]


def test_processes_that_are_gone_are_not_measured():
    machine = Machine()
    with machine.meter():
        machine.now, machine.cpu_seconds = 101.0, None
    assert machine.published == []
