"""`flairflow status`: the state of a run in the terminal, once or again and again."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from flairflow.status.as_json import to_json
from flairflow.status.run_state import Watcher
from flairflow.status.screen import picture
from flairflow.status.slurm import queue

# Between two looks at the files; a look never takes more than a fifth of the time. SLURM is asked less often.
REFRESH_S = 2.0
ASK_SLURM_S = 15.0


def show_status(folder: Path, once: bool, as_json: bool) -> None:
    """Print the state of the run in a results folder: refreshed until all is done or Ctrl-C; once if asked, or where
    the output is no terminal. Raises ConfigError when no run has begun there."""
    watcher = Watcher(folder)
    console = Console()
    if as_json:
        sys.stdout.write(json.dumps(to_json(watcher.look(queue(watcher.folders))), indent=2) + "\n")
    elif once or not console.is_terminal:
        console.print(picture(watcher.look(queue(watcher.folders)), console.width))
    else:
        try:
            _watch(watcher, console)
        except KeyboardInterrupt:
            console.print()


def _watch(watcher: Watcher, console: Console) -> None:
    asked, jobs = float("-inf"), None
    with Live(console=console, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            if began - asked > ASK_SLURM_S:
                asked, jobs = began, queue(watcher.folders)
            status = watcher.look(jobs)
            live.update(picture(status, console.width), refresh=True)
            if status.finished:
                return
            time.sleep(max(REFRESH_S, 4 * (time.monotonic() - began)))
