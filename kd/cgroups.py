"""The control groups of this process, with which containers limit processors and memory."""

from pathlib import Path


def control_groups(controller: str, root: Path = Path("/")) -> list[Path]:
    """The folders of the process's control group and of those that contain it: of version 2, then of version 1 for `controller`.

    In a container a path may be the host's, and not exist.

    Args:
        controller: "cpu" or "memory".
        root: folder that contains `proc/self/cgroup` and `sys/fs/cgroup`.
    """
    groups: dict[str, str] = {}
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        groups |= dict.fromkeys(controllers.split(","), path)  # version 2 has no controllers
    mount = root / "sys/fs/cgroup"
    return _enclosing(mount, groups.get("", "")) + _enclosing(mount / controller, groups.get(controller, ""))


def _enclosing(mount: Path, group: str) -> list[Path]:
    folder = mount / group.lstrip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(mount))]


def read_text(file: Path) -> str:
    """The content of a file of the kernel; empty if there is none."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""
