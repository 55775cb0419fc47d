"""Builds libonebyone_cuda with nvcc and looks at what came out; says so where there is no nvcc.

    python tests/cuda/check_build.py [--build=DIRECTORY] [--cuobjdump=PATH]

No kernel spills or has more registers than planned (ptxas -v); machine code for every architecture
and PTX are embedded; the tensor core kernels do have tensor core instructions and asynchronous
copies; the library is small, exports its C ABI alone and needs no library of CUDA. cuobjdump and
the nvdisasm it calls come with the PyPI packages nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm. No
GPU is needed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from pathlib import Path

ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
PTX = "compute_80"
MEGABYTES = 6
MOST_REGISTERS = 192  # two blocks of 128 threads have 255 each; narrow copies take 188
ABI = {
    "onebyone_cuda_abi_version",
    "onebyone_cuda_last_error",
    "onebyone_cuda_device_count",
    "onebyone_cuda_pointer_device",
    "onebyone_cuda_conv2d_describe",
    "onebyone_cuda_conv2d_forward",
    "onebyone_cuda_conv2d_workspace",
    "onebyone_cuda_free",
    "onebyone_cuda_malloc",
    "onebyone_cuda_wait",
}
# Instructions of the machine code: a product of fragments, and a copy from global to shared memory.
PRODUCT = re.compile(r"\bHMMA\.")
COPY = re.compile(r"\bLDGSTS\.")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def find_cuobjdump():
    """On PATH, or where pip puts it."""
    site = Path(sysconfig.get_paths()["purelib"])
    return shutil.which("cuobjdump") or next(map(str, site.glob("nvidia/*/bin/cuobjdump")), None)


def check_log(text):
    """ptxas's words on each kernel and architecture."""
    kernel = None
    seen = defaultdict(set)
    for line in text.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
            kernel = match.groups()
            seen[kernel[1]].add(kernel[0])
        elif match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            if match[1] != "0" or match[2] != "0":
                yield f"{kernel} spills: {line.strip()}"
        elif (match := re.search(r"Used (\d+) registers", line)) and int(match[1]) > MOST_REGISTERS:
            yield f"{kernel} uses {match[1]} registers, more than {MOST_REGISTERS}"
    for architecture in ARCHITECTURES:
        if not seen[architecture]:
            yield f"the log has nothing of {architecture}: build from scratch, with --verbose"
    kernels = {len(names) for architecture, names in seen.items() if architecture in ARCHITECTURES}
    if len(kernels) > 1:
        yield f"architectures have different numbers of kernels: {sorted(kernels)}"
    print(f"{max(kernels, default=0)} kernels, {len(ARCHITECTURES)} architectures")


def check_code(library, cuobjdump):
    """The embedded code: which architectures, which instructions."""
    listed = output(cuobjdump, "--list-elf", library)
    for architecture in ARCHITECTURES:
        if f".{architecture}." not in listed:
            yield f"no machine code for {architecture}"
    if f".{PTX.replace('compute', 'sm')}." not in output(cuobjdump, "--list-ptx", library):
        yield f"no PTX for {PTX}"
    seen = 0
    for architecture in ARCHITECTURES:
        code = output(cuobjdump, "--dump-sass", "--gpu-architecture", architecture, library)
        for function in code.split("Function : ")[1:]:
            name = function.split(maxsplit=1)[0]
            if "12tensor_cores" not in name:
                continue
            seen += 1
            # sm_75 has float16 alone, and no asynchronous copies.
            turing = architecture == "sm_75"
            if not PRODUCT.search(function) and (not turing or "7Float16" in name):
                yield f"{name} of {architecture} has no tensor core instruction"
            if not COPY.search(function) and not turing:
                yield f"{name} of {architecture} has no asynchronous copy"
    if seen == 0:
        yield "no tensor core kernel was found"
    print(f"machine code of {seen} tensor core kernels looked at")


def check_library(library):
    """What the loader and the linker see."""
    size = os.path.getsize(library)
    print(f"{size / 1e6:.2f} MB")
    if size > MEGABYTES * 1e6:
        yield f"{size} bytes, more than {MEGABYTES} MB"
    for needed in re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", library)):
        if "cuda" in needed or "nv" in needed:
            yield f"needs {needed}"
    exported = {
        line.split()[-1] for line in output("nm", "-D", "--defined-only", library).splitlines()
    }
    if exported != ABI:
        yield f"exports differ from the ABI: {sorted(exported ^ ABI)}"


def build(directory):
    """Builds the library from scratch; the log."""
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [
            "cmake",
            "--preset",
            "cuda",
            "-B",
            directory,
            *(["-G", "Ninja"] if shutil.which("ninja") else []),
        ],
        cwd=root,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    made = subprocess.run(
        ["cmake", "--build", directory, "--clean-first", "--parallel", str(os.cpu_count())],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        sys.exit(made.stdout + made.stderr)
    return made.stdout + made.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--build", metavar="DIRECTORY", help="where to build (default: a temporary one)"
    )
    parser.add_argument("--cuobjdump", default=find_cuobjdump())
    arguments = parser.parse_args()
    if not shutil.which("nvcc"):
        print("skipped: no nvcc on PATH")
        return
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.build or temporary
        problems = list(check_log(build(directory)))
        library = str(Path(directory) / "csrc/cuda/libonebyone_cuda.so")
        problems += check_library(library)
        if arguments.cuobjdump:
            tools = os.path.dirname(arguments.cuobjdump)
            os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
            problems += check_code(library, arguments.cuobjdump)
        else:
            print("no cuobjdump: the machine code was not looked at")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
