"""A real, throw-away SLURM of several nodes on this one machine. `python tests/slurm/cluster.py` opens a shell on it.

Nothing outside its folder is touched, so that several can run side by side, and beside a SLURM that this machine is in.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr", "sshare")
NODES = ("cpu1", "cpu2", "cpu3", "gpu1")

# Jobs are spread over the nodes (LLN). Neither cgroups nor binding, so that nodes can claim more than there is;
# `task=1`: memory is looked at each second.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
PlugStackConfig={folder}/plugstack.conf
ProctrackType=proctrack/linuxproc
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
MinJobAge={min_job_age}
KillWait=2
CompleteWait=0
JobRequeue=0
ReturnToService=1
GresTypes=gpu
{nodes}
PartitionName=cpu Nodes=cpu[1-3] Default=YES LLN=YES DefaultTime=10 MaxTime=UNLIMITED State=UP
PartitionName=gpu Nodes=gpu1 DefaultTime=10 MaxTime=UNLIMITED State=UP
"""


class Cluster:
    """Three nodes in the partition `cpu`, and one with a GPU, which nothing can use, in `gpu`. Started and stopped by
    `with`; stopping ends every process that was started on it."""

    def __init__(self, cpus: int = 16, memory_mb: int = 32000, min_job_age: int = 3600) -> None:
        # A short name: that of a socket has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.folder.chmod(0o755)
        self.configuration = self.folder / "slurm.conf"
        self.environment = os.environ | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._configure(cpus, memory_mb, min_job_age)

    def __enter__(self) -> Cluster:
        """Returns when every node is idle. Raises RuntimeError with the end of the logs when that takes too long."""
        try:
            socket_, key = self.folder / "munge.sock", self.folder / "munge.key"
            files = [f"--{kind}-file={self.folder / f'munged.{kind}'}" for kind in ("pid", "log", "seed")]
            self._launch("munged", "munged", "-F", f"--socket={socket_}", f"--key-file={key}", *files)
            self._until(socket_.exists, "munged")
            self.start_controller()
            for node in NODES:
                self._launch(node, "slurmd", "-D", "-N", node)
            self._until(lambda: self.states() == dict.fromkeys(NODES, "idle"), "every node is idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self._daemons)):
            self._end(name, signal.SIGTERM)
        # Jobs, and what keeps them, outlive the daemons.
        while pids := self._processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_controller(self) -> None:
        self._launch("slurmctld", "slurmctld", "-D")
        self._until(lambda: "is UP" in self.run("scontrol", "ping"), "slurmctld")

    def kill_controller(self) -> None:
        self._end("slurmctld", signal.SIGKILL)

    def run(self, *command: str) -> str:
        """What a command of SLURM prints. Raises CalledProcessError when it fails."""
        options: dict[str, Any] = {"capture_output": True, "text": True, "check": True, "timeout": 60}
        return str(subprocess.run(command, env=self.environment, **options).stdout)

    def resume(self) -> None:
        """Take nodes that were set down back into service."""
        if down := [node for node, state in self.states().items() if state.startswith("down")]:
            self.run("scontrol", "update", f"nodename={','.join(down)}", "state=resume")

    def states(self) -> dict[str, str]:
        """The state of each node, such as `idle`, `mixed` or `down`."""
        lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
        return dict(line.split() for line in lines)

    def _configure(self, cpus: int, memory_mb: int, min_job_age: int) -> None:
        host, (port, *node_ports) = socket.gethostname(), _free_ports(1 + len(NODES))
        nodes = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} "
            f"CPUs={cpus} RealMemory={memory_mb}{' Gres=gpu:1' if name.startswith('gpu') else ''}"
            for name, node_port in zip(NODES, node_ports, strict=True)
        ]
        user = self.folder.owner()
        texts = {
            "slurm.conf": CONFIGURATION.format(
                folder=self.folder, host=host, user=user, port=port, nodes="\n".join(nodes), min_job_age=min_job_age
            ),
            # A GPU must be a character device; nothing opens it.
            "gres.conf": "NodeName=gpu1 Name=gpu File=/dev/null\n",
            "cgroup.conf": "",
            "plugstack.conf": "",
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text)
        for name in ("bin", "state", *NODES):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        # Not by the environment alone: the executor for SLURM removes SLURM_CONF from that of what it starts.
        for name in CLIENTS:
            if program := shutil.which(name):
                shim = self.folder / "bin" / name
                shim.write_text(f'#!/bin/sh\nSLURM_CONF={self.configuration} exec {program} "$@"\n')
                shim.chmod(0o755)

    def _launch(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                [_program(command[0]), *command[1:]],
                env=os.environ | {"SLURM_CONF": str(self.configuration)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Out of reach of Ctrl-C.
                start_new_session=True,
                preexec_fn=_in_child,
            )

    def _end(self, name: str, how: signal.Signals) -> None:
        daemon = self._daemons.pop(name)
        daemon.send_signal(how)
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _until(self, condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(subprocess.SubprocessError):
                if condition():
                    return
            time.sleep(0.1)
        logs = {path.name: path.read_text()[-1000:] for path in self.folder.glob("*.[lo][ou][gt]")}
        raise RuntimeError(f"not after {seconds} s: {what}\n" + "\n".join(f"{name}: {logs[name]}" for name in logs))

    def _processes(self) -> list[int]:
        """Whatever was told of this cluster's configuration."""
        mark, pids = f"SLURM_CONF={self.configuration}".encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            # Gone, or of another user.
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    pids.append(int(path.parent.name))
        return pids


def missing() -> list[str]:
    """Programs that are not installed here."""
    needed = ("slurmctld", "slurmd", "munged", *CLIENTS[:6])
    return [name for name in needed if shutil.which(name, path=_path()) is None]


def _path() -> str:
    # Daemons lie where only root's PATH leads.
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _program(name: str) -> str:
    found = shutil.which(name, path=_path())
    assert found, f"{name} is not installed"
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _in_child() -> None:
    # Jobs take all CPUs that they see for their threads; two, as the local runs that theirs are compared with.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    # PR_SET_PDEATHSIG: not left behind when this process is killed.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


if __name__ == "__main__":
    with Cluster() as cluster:
        subprocess.run([os.environ.get("SHELL", "/bin/sh")], env=cluster.environment, check=False)
