"""How much main memory this process may still take: what the machine has free, within what the process is allowed.

A container's limit is that of its control group (version 2 or 1) or of any group above it, and ``ulimit -v`` limits the
address space. All are read from the files that Linux keeps; elsewhere half of the memory is taken to be free.
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path


def free_host_memory(root: Path = Path("/")) -> int:
    """Bytes of main memory that are free to this process, at least 0.

    Args:
        root: where the machine's files are; another one in tests.
    """
    return max(min([_of_the_machine(root), *_of_the_groups(root), *_of_the_process(root)]), 0)


def _of_the_machine(root: Path) -> int:
    try:
        lines = dict(line.split(":") for line in (root / "proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _of_the_groups(root: Path) -> Iterator[int]:
    """What is left of the limit of each of the process's groups."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            mount, limit, usage, cache = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            mount, limit, usage = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        # In a container the name may be that outside, of which only the mount itself, its own group, is to be seen.
        below = mount / group.strip("/")
        for folder in (below, *(parent for parent in below.parents if parent.is_relative_to(mount))):
            allowed = _number(folder / limit)
            if allowed is not None:
                yield allowed - (_number(folder / usage) or 0) + _reclaimable(folder / "memory.stat", cache)


def _number(file: Path) -> int | None:
    """None where there is no such file, or no limit in it: ``max``."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _reclaimable(statistics: Path, name: str) -> int:
    """Files in the page cache count as used, but give way."""
    try:
        return int(dict(line.split() for line in statistics.read_text().splitlines())[name])
    except (OSError, KeyError, ValueError):
        return 0


def _of_the_process(root: Path) -> Iterator[int]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    try:
        pages = int((root / "proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        pages = 0
    yield limit - pages * os.sysconf("SC_PAGE_SIZE")
