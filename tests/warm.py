"""`flairflow` and `snakemake` in processes that are forked from one that has imported all that they import: each start,
of which a run of the workflow makes dozens, takes milliseconds, not seconds.

What tests how processes start, end or are killed starts them in the usual way.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

PROGRAMS = {"flairflow": "flairflow.cli", "snakemake": "snakemake.cli"}
# Beside what the modules of flairflow import at their top.
IMPORTED = ("ants", "lightning.pytorch", "matplotlib.pyplot", "nilearn.image", "snakemake.api", "torchio")
# As `flairflow` says it before it imports anything: ITK and the BLAS libraries read it once.
THREADS = dict.fromkeys(("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

# It hands arguments, environment and open files on, and ends with the process that gets them, which ends with it.
CLIENT = """\
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode() + b"\\n")
    said = server.recv(1)
    server.recv(1)
sys.exit(said[0] if said else "killed")
"""


def run(*command: str, cwd: Path, seconds: float = 2400) -> subprocess.CompletedProcess[str]:
    """`flairflow` or `snakemake` with these arguments, after it ended in `cwd`, and what it said."""
    environment = os.environ | {"PATH": f"{_started()}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=seconds
    )


@functools.cache
def _started() -> Path:
    """Start what is forked, which ends with this process; returns the folder of the two programs."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    (folder / "client.py").write_text(CLIENT)
    for name in PROGRAMS:
        words = shlex.join([sys.executable, "-IS", str(folder / "client.py"), str(folder / "socket"), name])
        (folder / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (folder / name).chmod(0o755)
    # Its standard input ends with this process.
    server = subprocess.Popen(
        [sys.executable, __file__, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | THREADS
    )
    assert server.stdout and server.stdout.readline(), "the warm process did not start"
    return folder


def _serve(folder: Path) -> None:
    """Fork for each that asks, until the parent ends."""
    flairflow = importlib.import_module("flairflow")
    for name in (*(module.name for module in pkgutil.walk_packages(flairflow.__path__, "flairflow.")), *IMPORTED):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if not os.fork():
                listener.close()
                _answer(connection)
            connection.close()
            _reap()
    shutil.rmtree(folder)


def _answer(connection: socket.socket) -> NoReturn:
    """Be the program that is asked for."""
    for standard, given in enumerate(socket.recv_fds(connection, 1, 3)[1]):
        os.dup2(given, standard)
        os.close(given)
    (name, *arguments), cwd, variables = json.loads(connection.makefile().readline())
    # From now on nothing comes but the end of who asked, which then ends this process: what SIGIO does.
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETFL, os.O_ASYNC)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv, code = [name, *arguments], 1
    if name == "flairflow" and "--threads" in arguments:
        importlib.import_module("torch").set_num_threads(int(arguments[arguments.index("--threads") + 1]))
    try:
        code = importlib.import_module(PROGRAMS[name]).main(arguments) or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        fcntl.fcntl(connection, fcntl.F_SETFL, 0)
        connection.sendall(bytes([code]))
        # Taking down what the parent has imported would take a second.
        atexit._run_exitfuncs()
        os._exit(code)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
