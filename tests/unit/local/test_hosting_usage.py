"""What processes use, as percentages."""

import os
import subprocess
import sys

import pytest

from turnout.local.sagemaker.hosting.usage import Use, Utilization, memory_bytes, of_family, processes

TABLE = {1: Use(0, 100.0, 1000), 10: Use(1, 1.0, 10), 11: Use(10, 2.0, 20), 12: Use(11, 4.0, 40), 20: Use(1, 8.0, 80)}


def test_a_family_is_a_process_and_all_that_descend_from_it():
    assert of_family(10, TABLE) == Use(1, 7.0, 70)
    assert of_family(99, TABLE) is None


def percentages(found) -> dict[str, float]:
    return {value.name: value.value for value in found}


def test_cpu_is_counted_between_two_looks_and_may_exceed_one_core():
    gauge = Utilization()
    first = percentages(gauge.values({"a": Use(1, 10.0, 250)}, 1000, 1.5, now=100))
    assert first == {"MemoryUtilization": 25, "DiskUtilization": 1.5}
    assert percentages(gauge.values({"a": Use(1, 16.0, 250)}, 1000, 1.5, now=104))["CPUUtilization"] == 150


def test_every_instance_gives_values_of_its_own():
    gauge = Utilization()
    values = list(gauge.values({"a": Use(1, 0.0, 1), "b": Use(1, 0.0, 2)}, 100, 0.0, now=0))
    assert [v.value for v in values if v.name == "MemoryUtilization"] == [1, 2]
    assert {v.unit for v in values} == {"Percent"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_this_process_and_its_child_are_found():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        table = processes()
        assert table[child.pid].parent == os.getpid()
        assert of_family(os.getpid(), table).resident_bytes > table[os.getpid()].resident_bytes > 2**20
        child.communicate(b"\n")
    assert memory_bytes() > 2**28
