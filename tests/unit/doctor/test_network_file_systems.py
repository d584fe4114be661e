"""Whether a ledger lies on a file system of the network, by what Linux tells of its mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.doctor.mounts import network_file_system

MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
36 21 0:31 / {folder}/nfs rw,relatime shared:2 master:7 - nfs4 server:/export rw
37 36 8:2 / {folder}/nfs/local rw - xfs /dev/sdb rw
38 21 0:32 / {folder}/with\\040space rw - cifs //server/share rw
39 21 0:33 / {folder}/ssh rw - fuse.sshfs me@server:/ rw
40 21 8:3 / {folder}/hidden rw - ext4 /dev/sdc rw
41 40 0:34 / {folder}/hidden rw - 9p share rw
a line of another kind
"""


@pytest.mark.parametrize(
    ("below", "kind"),
    [
        ("data", None),
        ("nfs", "nfs4"),
        ("nfs/deep/data", "nfs4"),
        ("nfs/local/data", None),
        ("nfs-not/data", None),
        ("with space/data", "cifs"),
        ("ssh/data", "fuse.sshfs"),
        ("hidden/data", "9p"),
        ("link/data", "nfs4"),
    ],
)
def test_the_deepest_mount_tells_what_a_folder_lies_on(tmp_path: Path, below: str, kind: str | None) -> None:
    folder = tmp_path.resolve()
    (folder / "link").symlink_to(folder / "nfs")
    mounts = folder / "mountinfo"
    mounts.write_text(MOUNTS.format(folder=folder))
    assert network_file_system(folder / below, mounts) == kind


def test_nothing_is_said_where_there_is_no_such_list(tmp_path: Path) -> None:
    assert network_file_system(tmp_path, tmp_path / "none") is None


def test_what_the_tests_run_on_is_told_without_an_error(tmp_path: Path) -> None:
    network_file_system(tmp_path)
