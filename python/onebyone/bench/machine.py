"""What was measured on: processor, caches, versions, date."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path

from .. import _core

__all__ = ["describe_machine", "l3_bytes", "measure_bandwidth"]

_PACKAGES = ("torch", "onnxruntime", "openvino", "ncnn", "ai-edge-litert", "numpy")


def l3_bytes() -> int:
    """The largest cache in bytes, 32 MB where the system does not tell."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        number = int(text.rstrip("KMG"))
        sizes.append(number << {"K": 10, "M": 20, "G": 30}.get(text[-1], 0))
    return max(sizes, default=32 << 20)


def describe_machine() -> dict[str, str]:
    """Titles and values, for people."""
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    build = _core.build_info()
    return {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} CPUs, L3 {l3_bytes() >> 20} MB",
        "date": datetime.datetime.now().astimezone().isoformat(" ", "minutes"),
        "onebyone": f"{_core.__version__}, {_core.isa()}, {build['compiler']}",
        "peers": ", ".join(versions),
        "Python": f"{platform.python_version()}, {platform.system()} {platform.release()}",
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def measure_bandwidth(num_threads: int) -> float:
    """Bytes a second that many threads read from memory, out of a buffer no cache holds."""
    return _core.measure_read_bandwidth(num_threads, max(2 * l3_bytes(), 64 << 20), 0.2)
