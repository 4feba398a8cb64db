"""One job at a time works on a shard or a training, wherever it runs.

A main process that was killed leaves its cluster jobs running; the next one, which knows nothing of them, submits the
same work again. Whoever comes second waits here, finds the work in the state, and has nothing left to do.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting as long as another process, here or on another node, holds it.

    The kernel drops the lock with the process, however that ends; that of a node that is lost, the file server drops
    (docs/cluster.md). It spans nodes on NFS and on parallel file systems that are mounted with locks; where there are
    none, a warning says so and the work goes on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            if held(path):
                log.warning("another job works on this: waiting until it ends (%s)", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as problem:
            log.warning("no locks on this file system (%s): do not run two jobs on the same results", problem.strerror)
        yield


def held(path: Path) -> bool:
    """Whether some process holds the lock file `path` at the moment."""
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # No such file, or no locks on this file system.
        return False
    return False
