"""Free memory is the least of what the machine has and what the process is allowed; files and limits are made up."""

import subprocess
import sys

import pytest

from jax_bioadv.host_memory import free_host_memory

GIB = 2**30


def files(root, **written):
    for name, text in written.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(text))


@pytest.fixture
def machine(tmp_path):
    """One with 64 GiB free."""
    files(tmp_path, proc__meminfo=f"MemTotal: 100000000 kB\nMemAvailable: {64 * 2**20} kB\n")
    return tmp_path


def folder_of(version, group):
    mount = "sys__fs__cgroup" if version == 2 else "sys__fs__cgroup__memory"
    return f"{mount}__{group}" if group else mount


def limit(root, version, group, allowed, used=0, cache=0):
    names = ("max", "current", "inactive_file")
    if version == 1:
        names = ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")
    for name, value in zip(names[:2], (allowed, used), strict=True):
        files(root, **{f"{folder_of(version, group)}__memory.{name}": f"{value}\n"})
    files(root, **{f"{folder_of(version, group)}__memory.stat": f"anon 7\n{names[2]} {cache}\n"})


def member_of(root, version, group):
    line = f"0::/{group}\n" if version == 2 else f"5:cpuset:/elsewhere\n4:memory:/{group}\n"
    files(root, proc__self__cgroup=line)


def test_without_limits_it_is_what_the_machine_has(machine):
    assert free_host_memory(machine) == 64 * GIB
    member_of(machine, 2, "job")
    limit(machine, 2, "job", "max")
    assert free_host_memory(machine) == 64 * GIB


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("limited", ["outer__job", "outer", ""])
def test_the_limit_of_any_group_above_counts_less_what_is_used_and_cannot_give_way(machine, version, limited):
    member_of(machine, version, "outer/job")
    for group in ("outer__job", "outer", ""):
        limit(machine, version, group, 50 * GIB, used=GIB)
    limit(machine, version, limited, 8 * GIB, used=5 * GIB, cache=2 * GIB)
    assert free_host_memory(machine) == 5 * GIB


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_sees_its_own_group_alone_whatever_its_name_outside(machine, version):
    member_of(machine, version, "docker/0123abcd")
    limit(machine, version, "", 8 * GIB, used=3 * GIB)
    assert free_host_memory(machine) == 5 * GIB


def test_what_is_used_up_is_nothing_and_never_less(machine):
    member_of(machine, 2, "")
    limit(machine, 2, "", GIB, used=2 * GIB)
    assert free_host_memory(machine) == 0


def test_the_limit_of_the_address_space_counts():
    """``ulimit -v``."""
    program = (
        "import resource; from jax_bioadv.host_memory import free_host_memory; import pathlib\n"
        "pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])\n"
        "limit = pages * resource.getpagesize() + 2**26\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "print(free_host_memory())"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 0 < int(told.stdout) <= 2**26
