"""A job's work in a process of its own, watched by one that does nothing else and so lives to say how it ended.

Imported before anything heavy, so that what is forked is small and has no threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import IO

from flairflow.shards import begun

log = logging.getLogger(__name__)

# How work ends that is itself at fault. SIGKILL is among them: a cluster, or a user, that kills a job kills its guard
# too; the kernel, out of memory, takes the largest process alone.
CRASHES = {getattr(signal, f"SIG{name}") for name in ("SEGV", "ABRT", "BUS", "FPE", "ILL", "SYS", "TRAP", "KILL")}
# What clusters, shells and people send to a job that is to end.
STOPS = {getattr(signal, f"SIG{name}") for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "XCPU")}

# Scans that this job puts off, for they ran out of its memory; the next attempt has more.
put_off: set[str] = set()


def guarded(work: Callable[[], int], log_file: IO[str] | None = None) -> int:
    """Do `work` in a child process and return its status. Where a scan that is noted as begun made it crash, that is
    noted and the work is started again, which goes on after its last finished scan and gives up what crashed it twice.

    log_file : where a crash leaves its traceback; default standard error.
    What ends a job from outside (`STOPS`) ends the child too, and is noted as no scan's fault.
    """
    if not hasattr(os, "fork"):
        return work()
    while True:
        begun.process = process = begun.Process()
        status, stop = _in_child(work, log_file)
        crash = signal.Signals(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None
        if stop is None and crash is not None and crash not in CRASHES:
            stop = crash
            process.stopped(stop.name)
        if stop is not None:
            log.warning("stopped by %s; what is finished is kept", stop.name)
            return 128 + stop
        code = os.WEXITSTATUS(status) if crash is None else 128 + crash
        scan = process.scan
        if scan is None:
            if crash is not None:
                log.error("killed by %s, not while it worked on a scan", crash.name)
            return code
        how = f"exit with status {code}" if crash is None else crash.name
        if crash == signal.SIGKILL:
            how = "SIGKILL, as when memory runs out"
            put_off.add(scan)
        log.error("%s ended this job's work (%s), which is started again", scan, how)
        process.died(how)


def _in_child(work: Callable[[], int], log_file: IO[str] | None) -> tuple[int, signal.Signals | None]:
    """The wait status of a child that did the work, and the signal by which this process was asked to end, if any."""
    process, asked, child = begun.process, None, 0

    def on_stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = signal.Signals(number)
        # Noted first: whoever sent it may soon kill this process.
        process.stopped(asked.name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    # What is ignored stays so, as under nohup.
    stops = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    before = {number: signal.signal(number, on_stop) for number in stops}
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            _be_child(work, stops, log_file)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        status = os.waitpid(child, 0)[1]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status, asked


def _be_child(work: Callable[[], int], stops: list[signal.Signals], log_file: IO[str] | None) -> None:
    """Never returns."""
    code = 1
    try:
        # Ended at once, also within a library that lets no handler of Python's run for minutes.
        for number in stops:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        if sys.platform == "linux":
            # PR_SET_PDEATHSIG: work that nobody watches ends.
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        faulthandler.enable(log_file or sys.stderr)
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("unexpected end")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not by way of the guard's own end: what it has open, such as a scratch folder, is not the child's to close.
        os._exit(code)
