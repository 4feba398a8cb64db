"""Which scans the jobs of a shard began: what ends its job, by a crash or for memory, is known by what it left open.

A line before each scan, on disk before the work begins, and one after it. A scan that was left open counts as having
ended its job, unless the job was ended from outside: by a signal that says so, with its node, at its time limit, or by
whoever needed its place. Scans do not answer for those.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import uuid
from pathlib import Path

from flairflow.files import add_json_line, json_lines

# What SLURM says of jobs that it, a node or a person ended.
OUTSIDE = {"BOOT_FAIL", "CANCELLED", "DEADLINE", "NODE_FAIL", "PREEMPTED", "REQUEUED", "REVOKED", "STOPPED", "TIMEOUT"}
BOOT = Path("/proc/sys/kernel/random/boot_id")
Note = dict[str, str]


class Process:
    """The process that does the work, by a name of its own, and what it shares with its guard: where its notes are."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex[:12]
        self._board = mmap.mmap(-1, 8192)

    def announce(self, notes: Path) -> None:
        text = str(notes).encode()
        self._board[: len(text) + 1] = text + b"\0"

    @property
    def notes(self) -> Path | None:
        """What it announced, if it did."""
        text = self._board[: self._board.find(b"\0")]
        return Path(os.fsdecode(text)) if text else None

    @property
    def scan(self) -> str | None:
        """The scan that it has begun and not ended."""
        notes = open_notes(self.notes) if self.notes else []
        return next((note["scan"] for note in notes if note["worker"] == self.name), None)

    def stopped(self, how: str) -> None:
        """Note that it was ended from outside."""
        if self.notes:
            add_json_line(self.notes, {"worker": self.name, "stopped": how})

    def died(self, how: str) -> None:
        """Note that it ended by itself, while it worked on a scan."""
        if self.notes:
            add_json_line(self.notes, {"worker": self.name, "died": how})


# `shards.guard` puts another one here for each process that it starts.
process = Process()


class Begun:
    """The notes of a shard, to be held by one job at a time."""

    def __init__(self, path: Path) -> None:
        """What earlier jobs left open is looked into, once: a cluster soon forgets how they ended."""
        self.path = path
        for note in open_notes(path):
            cause = _from_outside(note)
            how = {"stopped": cause} if cause else {"died": "was gone, and its whole job with it"}
            add_json_line(path, {"worker": note["worker"]} | how)
        self._deaths: dict[tuple[str, str], list[str]] = {}
        for note, ended in _read(path)[1]:
            self._deaths.setdefault((note["scan"], note["fingerprint"]), []).append(ended)
        process.announce(path)

    def deaths(self, scan: str, fingerprint: str) -> list[str]:
        """How each process ended that this scan, the same files with the same settings, took with it since the shard
        was last finished."""
        return self._deaths.get((scan, fingerprint), [])

    def begin(self, scan: str, fingerprint: str) -> None:
        """On disk when this returns."""
        add_json_line(self.path, {"scan": scan, "fingerprint": fingerprint, "worker": process.name} | _job())

    def end(self, scan: str) -> None:
        add_json_line(self.path, {"worker": process.name, "ended": scan}, sync=False)

    def finish(self) -> None:
        """The shard is finished: should its scans be done again, then because somebody wants to try."""
        self.path.unlink(missing_ok=True)


def open_notes(path: Path) -> list[Note]:
    """The notes of scans that were begun and of whose end nothing is known."""
    return list(_read(path)[0].values())


def _read(path: Path) -> tuple[dict[str, Note], list[tuple[Note, str]]]:
    """What is open, by process; and what a process died with, and how."""
    still_open: dict[str, Note] = {}
    died = []
    stopped = set()
    for line in json_lines(path):
        name = line.get("worker") if isinstance(line, dict) else None
        if name is None:
            continue
        if "scan" in line:
            still_open[name] = line
        elif "stopped" in line:
            # It may have finished a scan and begun another before it was gone.
            stopped.add(name)
        else:
            note = still_open.pop(name, None)
            if note and "died" in line:
                died.append((note, str(line["died"])))
    return {name: note for name, note in still_open.items() if name not in stopped}, died


def _job() -> Note:
    """Where this is, to know later what became of it."""
    return {
        "host": os.uname().nodename,
        "boot": BOOT.read_text().strip() if BOOT.exists() else "",
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "restarts": os.environ.get("SLURM_RESTART_COUNT", "0"),
    }


def _from_outside(note: Note) -> str:
    """What ended, from outside, the job of a scan that was left open without a word; empty: nothing that is known."""
    here = _job()
    if note["host"] == here["host"] and note["boot"] != here["boot"]:
        return "its machine was started anew"
    if not note["job"]:
        return ""
    if note["job"] == here["job"]:
        return "SLURM put its job back into the queue" if note["restarts"] != here["restarts"] else ""
    state = _slurm_state(note["job"])
    return f"SLURM says {state}" if state in OUTSIDE else ""


def _slurm_state(job: str) -> str:
    """The state of a job, as long as SLURM remembers it."""
    command = ["squeue", "--noheader", "--states=all", "--format=%T", "--jobs", job]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
