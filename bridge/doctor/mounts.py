"""Which kind of file system a file lies on, as Linux tells it; nothing is known of it elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# Where SQLite cannot rely on locks, on memory that two processes share, or on what is synced.
_NETWORK = {
    *(
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "9p",
        "afs",
        "ceph",
        "coda",
        "lustre",
        "gpfs",
        "beegfs",
    ),
    *("glusterfs", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.davfs2"),
    *(
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.gcsfuse",
        "fuse.blobfuse2",
        "fuse.juicefs",
        "fuse.mfs",
        "fuse.smbnetfs",
    ),
}


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind of network file system that a path lies on; None for a local one, or if that is not known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        place = path.resolve()
    except OSError:
        return None
    kind, deepest = "", -1
    for line in lines:
        # proc(5): mount id, parent, device, root, mount point, options, optional fields, a -, the kind, ...
        about, _, rest = line.partition(" - ")
        fields = about.split(" ")
        if len(fields) < 5 or not rest:
            continue
        point = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        depth = len(point.parts)
        # Of several at one point, the last one hides the others.
        if depth >= deepest and (point == place or point in place.parents):
            kind, deepest = rest.split(" ", 1)[0], depth
    return kind if kind in _NETWORK else None
