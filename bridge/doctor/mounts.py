"""Finds out the kind of file system that a file is on, in Linux only."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# File systems on which SQLite cannot rely on locks, on memory shared by processes, or on syncs.
_NETWORK = re.compile(
    "nfs4?|cifs|smb3|smbfs|ncpfs|9p|afs|ceph|coda|lustre|gpfs|beegfs|glusterfs|davfs|"
    "fuse\\.(sshfs|glusterfs|ceph|ceph-fuse|davfs2|s3fs|rclone|gcsfuse|blobfuse2|juicefs|mfs|smbnetfs)"
)


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind of network file system that a path is on; None for a local one, or if it is not known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        resolved = path.resolve()
    except OSError:
        return None
    kind, deepest = "", -1
    for line in lines:
        # proc(5): mount id, parent, device, root, mount point, options, optional fields, a -, the kind, ...
        mount, _, rest = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5 or not rest:
            continue
        point = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        depth = len(point.parts)
        # The last mount at a point hides earlier ones.
        if depth >= deepest and (point == resolved or point in resolved.parents):
            kind, deepest = rest.split(" ", 1)[0], depth
    return kind if _NETWORK.fullmatch(kind) else None
