"""What llvm-mca expects of the GEMM's inner loop: its share of the FMA peak, by ISA and CPU.

    python bench/mca.py BUILD_DIRECTORY...

Takes the kernels' objects from build directories (presets `bench`, `tests`; `neon` for arm64) and
prints a table. The peak is what the same model gives to FMAs on registers alone. A model knows
issue and latency; it knows no cache, so this is what the loop could reach with its data in L1.
Needs llvm-mca (apt-get install llvm-19; the newest llvm-mca-N on the path is taken) and objdump.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "cpp"))
import disassembly

CPUS = {
    "avx2": ["znver3", "znver4", "sapphirerapids"],
    "avx512": ["znver4", "sapphirerapids"],
    "neon": ["neoverse-n1", "neoverse-v2"],
}
REGISTER = {"avx2": "ymm", "avx512": "zmm", "neon": "v"}
TRIPLE = {"x86-64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
ITERATIONS = 1000


def newest(tool):
    """Return the path of the tool with the highest version suffix, or None."""
    pattern = re.compile(rf"{tool}(?:-(\d+))?$")
    found = {
        int(match[1] or 0): name
        for directory in os.environ["PATH"].split(os.pathsep)
        if os.path.isdir(directory)
        for name in os.listdir(directory)
        if (match := pattern.match(name))
    }
    return shutil.which(found[max(found)]) if found else None


def cycles(mca, machine, cpu, code):
    """Return cycles per iteration of the code, or None if this llvm-mca does not know the CPU."""
    command = [mca, f"-mtriple={TRIPLE[machine]}", f"-mcpu={cpu}", f"-iterations={ITERATIONS}"]
    result = subprocess.run(command, input=code, capture_output=True, text=True)
    if "is not a recognized processor" in result.stderr:
        return None
    if result.returncode:
        sys.exit(f"{' '.join(command)}: {result.stderr.strip()}")
    return int(re.search(r"Total Cycles:\s+(\d+)", result.stdout)[1]) / ITERATIONS


def assembly(loop):
    """Return the loop as llvm-mca reads it: its jump leads to a label at its front."""
    lines = [
        f"\t{mnemonic} {re.sub(r'[0-9a-f]+ <.*>', 'loop', operands)}"
        for _, mnemonic, operands in loop.instructions
    ]
    return "\n".join(["loop:", *lines, ""])


def fmas_alone(isa, count=24):
    """Return independent FMAs on registers: the peak."""
    if isa == "neon":
        return "\n".join(f"\tfmla v{i}.4s, v30.4s, v31.4s" for i in range(count)) + "\n"
    name = REGISTER[isa]
    count = min(count, 12 if isa == "avx2" else 24)
    last = 15 if isa == "avx2" else 31
    return "\n".join(f"\tvfmadd231ps %{name}{last},%{name}{last},%{name}{i}" for i in range(count))


def share_of_peak(mca, machine, cpu, isa, loop):
    """Return FMAs per cycle of the loop over those of FMAs alone, or None."""
    peak = fmas_alone(isa)
    fastest = cycles(mca, machine, cpu, peak)
    if fastest is None:
        return None
    per_cycle = len(loop.fmas(REGISTER[isa])) / cycles(mca, machine, cpu, assembly(loop))
    return per_cycle / (peak.count("fm") / fastest)


def objects(directories):
    """Yield (isa, path) of the kernels below the build directories."""
    for directory in directories:
        for isa in CPUS:
            yield from (
                (isa, path) for path in directory.glob(f"**/onebyone_kernels_{isa}.dir/**/*.o")
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("builds", nargs="+", type=Path, metavar="BUILD_DIRECTORY")
    parser.add_argument("--objdump", default="objdump", help="default: objdump, or the target's")
    args = parser.parse_args()
    mca = newest("llvm-mca")
    if mca is None:
        print("skipped: there is no llvm-mca here; apt-get install llvm-19")
        return
    version = subprocess.run([mca, "--version"], capture_output=True, text=True).stdout
    print(f"{Path(mca).name}, {re.search(r'LLVM version [0-9.]+', version)[0]}\n")
    print("| ISA | CPU | FMAs | instructions | share of the FMA peak |\n|---|---|---|---|---|")
    count = 0
    for isa, path in objects(args.builds):
        machine = "aarch64" if isa == "neon" else "x86-64"
        objdump = args.objdump
        if isa == "neon" and shutil.which("aarch64-linux-gnu-objdump"):
            objdump = "aarch64-linux-gnu-objdump"
        loop = disassembly.hot_loop(objdump, path, "gemm", REGISTER[isa])
        if loop is None:
            sys.exit(f"{path}: no loop of FMAs on {REGISTER[isa]} registers")
        for cpu in CPUS[isa]:
            share = share_of_peak(mca, machine, cpu, isa, loop)
            text = "unknown to this llvm-mca" if share is None else f"{share:.0%}"
            size = len(loop.instructions), len(loop.fmas(REGISTER[isa]))
            print(f"| {isa} | {cpu} | {size[1]} | {size[0]} | {text} |")
            count += 1
    if count == 0:
        sys.exit("no kernels' objects below " + ", ".join(map(str, args.builds)))


if __name__ == "__main__":
    main()
