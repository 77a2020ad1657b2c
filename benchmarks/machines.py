"""Several machines pretended on one: each has a network of its own and a share of the cores.

A machine is a network namespace, whose only way to the others is a TUN device that `benchmarks.wires` serves,
and a control group that limits its processor time. It needs Linux, root, `unshare` and `nsenter` (util-linux)
and `ip` (iproute2). Nothing of the real network changes, and all of it ends with the context.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from semblance.errors import ConfigurationError

NETWORK = "10.9.0"
"""Machines are .1, .2 and so on. Nothing outside the namespaces sees these addresses."""

MTU = 65_000
"""Large, so that `benchmarks.wires` takes little of the processor."""

KILL_S = 10.0
"""For processes to end once they are killed."""

GROUPS = Path("/sys/fs/cgroup")
PERIOD_US = 10_000
"""A machine's processes may run for its share of this, then wait. Linux' usual 100 ms would delay answers by
more than the network."""

TUN = Path("/dev/net/tun")
TUNSETIFF = 0x400454CA
TUN_WITHOUT_HEADER = 0x1001


class ControlGroup:
    """A control group. Its processes together get a share of the cores; of version 1 or 2 of cgroups."""

    def __init__(self, name: str) -> None:
        controllers = GROUPS / "cgroup.controllers"
        self._unified = controllers.exists() and "cpu" in controllers.read_text().split()
        if self._unified:
            (GROUPS / "cgroup.subtree_control").write_text("+cpu")
            self._folders = [GROUPS / name]
        else:
            self._folders = [GROUPS / "cpu" / name, GROUPS / "cpuacct" / name]
        for folder in self._folders:
            folder.mkdir(exist_ok=True)

    def take(self, pid: int) -> None:
        """Have a process in it; those that it starts from then on are in it, too."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def entered(self) -> list[str]:
        """What a command begins with that is to run in it."""
        folders = " ".join(map(str, self._folders))
        return [
            "sh",
            "-c",
            f'for group in {folders}; do echo $$ > $group/cgroup.procs; done; exec "$@"',
            "sh",
        ]

    def limit(self, cores: float | None) -> None:
        """None: no limit."""
        if self._unified:
            quota = "max" if cores is None else str(round(cores * PERIOD_US))
            (self._folders[0] / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            return
        (self._folders[0] / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        quota = "-1" if cores is None else str(round(cores * PERIOD_US))
        (self._folders[0] / "cpu.cfs_quota_us").write_text(quota)

    def seconds(self) -> float:
        """Of processor time, since the group is there."""
        if self._unified:
            counts = dict(line.split() for line in (self._folders[0] / "cpu.stat").read_text().splitlines())
            return int(counts["usage_usec"]) / 1e6
        return int((self._folders[1] / "cpuacct.usage").read_text()) / 1e9

    def remove(self) -> None:
        """Kill what is still in it. Raises TimeoutError if that does not end."""
        deadline = time.monotonic() + KILL_S
        while left := (self._folders[0] / "cgroup.procs").read_text().split():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Processes of a pretended machine do not end: {', '.join(left)}.")
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.05)
        for folder in self._folders:
            folder.rmdir()


class SimulatedMachine:
    """A network namespace and a control group that pass for a machine. address: in the network of all."""

    def __init__(self, number: int) -> None:
        self.address = f"{NETWORK}.{number}"
        self.device = f"wire{os.getpid() % 100_000}x{number}"
        self.share = ControlGroup(f"benchmark{os.getpid()}x{number}")
        # The namespace lives as long as this process, which ends when nobody holds its input any more.
        self._holder = subprocess.Popen(
            [_tool("unshare"), "--net", "sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        self._holder.stdout.readline()

    def connect(self) -> int:
        """Give it its device; returns the open file of the other end."""
        file = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", self.device.encode(), TUN_WITHOUT_HEADER))
        ip = _tool("ip")
        moved = f"link set {self.device} mtu {MTU} netns {self._holder.pid}"
        subprocess.run([ip, *moved.split()], check=True)
        for setting in (
            "link set lo up",
            f"address add {self.address}/24 dev {self.device}",
            f"link set {self.device} up",
            # Ray finds its own address by looking for the way to one outside; no packet leaves.
            f"route add default dev {self.device}",
        ):
            subprocess.run([*self._inside(), ip, *setting.split()], check=True)
        return file

    def start(
        self,
        command: Sequence[str],
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Run a command there, with its share of the cores."""
        return subprocess.Popen(
            [*self._inside(), *self.share.entered(), *command],
            text=True,
            stdin=stdin,
            stdout=stdout,
            env=env,
        )

    def end(self) -> None:
        """Kill what runs there."""
        self._holder.communicate()
        self.share.remove()

    def _inside(self) -> list[str]:
        return [_tool("nsenter"), f"--net=/proc/{self._holder.pid}/ns/net", "--"]


class Network:
    """What connects them."""

    def __init__(self, machines: Sequence[SimulatedMachine]) -> None:
        files = {machine.address: machine.connect() for machine in machines}
        self._wires = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.wires"),
                *(f"{address}={file}" for address, file in files.items()),
            ],
            stdin=subprocess.PIPE,
            text=True,
            pass_fds=list(files.values()),
        )
        for file in files.values():
            os.close(file)

    def delay(self, round_trip_s: float) -> None:
        """From now on, between any two machines."""
        assert self._wires.stdin is not None
        self._wires.stdin.write(f"{round_trip_s / 2}\n")
        self._wires.stdin.flush()

    def end(self) -> None:
        """Pull the cables."""
        self._wires.communicate()


@contextmanager
def machines(count: int) -> Iterator[tuple[list[SimulatedMachine], Network]]:
    """So many, connected, without limits. Raises ConfigurationError where they cannot be pretended."""
    if os.geteuid() or not TUN.exists():
        raise ConfigurationError(f"Pretending machines needs root and {TUN}.")
    for name in ("unshare", "nsenter", "ip"):
        _tool(name)
    with ExitStack() as stack:
        found = []
        for number in range(1, count + 1):
            found.append(SimulatedMachine(number))
            stack.callback(found[-1].end)
        network = Network(found)
        stack.callback(network.end)
        yield found, network


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ConfigurationError(f"Pretending machines needs the command {name}.")
    return path
