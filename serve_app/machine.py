"""What the machine that runs the service offers: packages, disk, memory. `semblance doctor` asks before a
start, the API while it runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import psutil

from semblance.findings import Finding
from semblance.settings import Settings

GIB = 1024**3

_LEAST_DISK, _LEAST_MEMORY = 2 * GIB, 3 * GIB

# Distributions that install the same files: the last one installed has partly overwritten the other.
_CLASHES = (
    ("opencv-python-headless", "opencv-python"),
    ("onnxruntime", "onnxruntime-gpu"),
)


def check_packages(_settings: Settings) -> Iterator[Finding]:
    """The packages that matter most are there, each once."""
    for group in _CLASHES:
        present = [name for name in group if installed(name)]
        if len(present) > 1:
            fix = "`make clean-env env` (FLAVOUR=gpu for CUDA) installs exactly one of them."
            yield Finding("fail", "Packages", f"{' and '.join(present)} overwrite each other", fix)
        elif not present:
            yield Finding("fail", "Packages", f"neither {' nor '.join(group)} is installed", "`make env`")
        else:
            yield Finding("ok", "Packages", f"{present[0]} {installed(present[0])}")
    ray = installed("ray")
    if ray is None or not ray.startswith("2.60."):
        yield Finding("fail", "Packages", f"Ray is {ray or 'missing'}, 2.60 is needed", "`make env`")
    else:
        yield Finding("ok", "Packages", f"Ray {ray}")


def check_disk(settings: Settings) -> Iterator[Finding]:
    """The disk of the home has room."""
    root = settings.home.resolve()
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    usage = shutil.disk_usage(existing)
    text = f"{usage.free / GIB:.1f} GiB free at {existing}"
    # Ray refuses to spill objects above 95 % of the disk and warns every ten seconds.
    if usage.free < _LEAST_DISK or usage.free < 0.05 * usage.total:
        yield Finding("warn", "Disk", text, "Free some space, or set SEMBLANCE_HOME to another disk.")
    else:
        yield Finding("ok", "Disk", text)


def check_memory(_settings: Settings) -> Iterator[Finding]:
    """There is memory for the stack."""
    available = psutil.virtual_memory().available
    text = f"{available / GIB:.1f} GiB available"
    if available < _LEAST_MEMORY:
        yield Finding("warn", "Memory", text, "The stack needs about 2 GiB: close other programs.")
    else:
        yield Finding("ok", "Memory", text)


def installed(distribution: str) -> str | None:
    """The version of a distribution, None if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
