"""What the kernel says of memory: of this process's, and whether it killed processes since none was left."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath


def oom_kills() -> int | None:
    """How many processes the kernel's out-of-memory killer has killed, as far as can be seen from here.

    Counts those of this process's own control group, or of the nearest above it that counts them, else those
    of the host since its boot. Only a difference means something: compare the number before and after the
    death of a child. In a control group of version 1 the kills in groups below it do not count.

    Returns:
        None where it is not known.
    """
    for file in (*_own_files(), Path("/proc/vmstat")):
        # Slurm and systemd may delegate a group without the memory controller: one above has the limit.
        above = file.parent.parents if file.name == "memory.events" else ()
        for one in (file, *(folder / file.name for folder in above)):
            found = re.search(r"^oom_kill (\d+)$", _read(one), re.MULTILINE)
            if found:
                return int(found.group(1))
    return None


def killed_since(kills: int | None) -> bool:
    """Whether the kernel has killed something for want of memory since `oom_kills` told so many."""
    now = oom_kills()
    return kills is not None and now is not None and now > kills


def _own_files() -> list[Path]:
    """The files with the count of the own control group; version 1 first, where memory is managed by it."""
    files = []
    for line in sorted(_read(Path("/proc/self/cgroup")).splitlines(), reverse=True):
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            files += [folder / "memory.oom_control" for folder in _folders("cgroup", path, "memory")]
        elif not controllers:
            files += [folder / "memory.events" for folder in _folders("cgroup2", path)]
    return files


def anonymous() -> int:
    """Bytes of memory that this process uses, without what belongs to files; 0 where it is not known."""
    with suppress(OSError, ValueError, IndexError):
        _, resident, of_files = map(int, Path("/proc/self/statm").read_bytes().split()[:3])
        return (resident - of_files) * os.sysconf("SC_PAGE_SIZE")
    return 0


def give_way() -> None:
    """When memory runs out, let the kernel end this process, or one that it starts, before others.

    The kernel takes the process with the largest part of the memory; this adds three tenths to the part.
    """
    own = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):  # not Linux, or a container that hides it
        own.write_text(str(min(1000, int(own.read_text()) + 300)))


def groups() -> list[Path]:
    """The folders of this process's own control groups that deal with memory, or with everything."""
    return [file.parent for file in _own_files()]


def _folders(kind: str, path: str, option: str | None = None) -> list[Path]:
    """Where the control group `path` is seen in the file system: a container may mount only a part."""
    folders = []
    for line in _read(Path("/proc/self/mountinfo")).splitlines():
        mount, _, rest = line.partition(" - ")
        root, point = mount.split(" ")[3:5]
        found, _, options = rest.split(" ", 2)
        if found == kind and (option is None or option in options.split(",")):
            inside = PurePosixPath(path)
            if inside.is_relative_to(root):
                folders.append(Path(point) / inside.relative_to(root))
    return folders


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
