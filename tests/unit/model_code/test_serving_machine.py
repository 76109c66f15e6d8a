import os

from serving_machine import cores, memory_bytes


def test_cores_are_those_allowed_or_the_quota_if_that_is_less(tmp_path):
    allowed = len(os.sched_getaffinity(0))
    assert cores(tmp_path) == allowed
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores(tmp_path) == allowed
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("99900000 100000\n")
    assert cores(tmp_path) == allowed


def test_memory_is_the_limit_of_either_kind_of_control_group_or_the_machines(tmp_path):
    meminfo = tmp_path / "meminfo"
    assert memory_bytes(tmp_path, meminfo) is None
    meminfo.write_text("MemTotal:        4096 kB\nMemFree: 1 kB\n")
    assert memory_bytes(tmp_path, meminfo) == 4096 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_bytes(tmp_path, meminfo) == 4096 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory_bytes(tmp_path, meminfo) == 1000000
    (tmp_path / "memory.max").unlink()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("500000\n")
    assert memory_bytes(tmp_path, meminfo) == 500000
