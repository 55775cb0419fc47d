"""What the compiler made of our sources, checked on object files. Run by ctest; exit 77 is a skip.

    check_objects.py [--nm=NM] [--objdump=OBJDUMP] COMMAND OBJECT...

symbols        an object of kernels exports its table and nothing else, and needs libm and memcpy
               alone. A second global symbol could be merged by the linker with the same function
               compiled for a lesser CPU.
instructions   no instruction beyond --allow=sse (x86-64 itself: no VEX or EVEX prefix) or avx2
               (no AVX-512).
tile           the hot loop of the float GEMM is made of FMAs on --register, sums in at least
               --accumulators of them, and no vector of it lives on the stack.
vectors        the float arithmetic of all kernels is on whole vectors of --register.
"""

import argparse
import re
import subprocess
import sys

import disassembly

SKIP = 77
TABLE = re.compile(r"^onebyone::k\w+Kernels$")
# GCC's hardening and position-independent code add the last two.
NEEDED = re.compile(
    r"^(exp|tanh|erfc|log|sqrt|floor)f?$|^mem(cpy|set|move)$"
    r"|^_GLOBAL_OFFSET_TABLE_$|^__stack_chk_fail$"
)
# VEX-encoded instructions whose names do not start with v, and the only others that do.
VEX_SCALAR = re.compile(
    r"^(andn|bextr|blsi|blsr|blsmsk|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx"
    r"|k(mov|or|and|xor|not|test|add|shift)\w*)$"
)
NOT_VEX = re.compile(
    r"^(verr|verw"
    r"|vm(call|launch|resume|xoff|xon|read|write|ptrld|ptrst|clear|func|mcall|run|load|save))"
)
AVX512_REGISTER = re.compile(r"%zmm|%[xy]mm(1[6-9]|2\d|3[01])\b|%k[0-7]\b")
PACKED = re.compile(r"^v(add|sub|mul|fn?m(add|sub)\w*)p[sd]$")


def run(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def functions(objdump, path):
    """disassembly.functions, or a skip."""
    if disassembly.architecture(objdump, path) != "x86-64":
        print("skipped: instructions are checked on x86-64 alone")
        sys.exit(SKIP)
    return disassembly.functions(objdump, path)


def check_symbols(args):
    for path in args.objects:
        defined = [
            line.split(maxsplit=2)
            for line in run([args.nm, "-C", "-g", "--defined-only", path]).splitlines()
        ]
        exported = [(kind, name) for _, kind, name in defined]
        for kind, name in exported:
            if kind in "WwVvu":
                yield f"{path}: {name} is weak ({kind}): another object's copy may take its place"
            elif not TABLE.match(name):
                yield f"{path}: exports {name}; only its kernel table should leave it"
        if len(exported) != 1:
            yield f"{path}: exports {len(exported)} symbols, expected the table alone"
        for line in run([args.nm, "-C", "-u", path]).splitlines():
            name = line.split(maxsplit=1)[1]
            if not NEEDED.match(name):
                yield f"{path}: needs {name}; kernels may call libm and memcpy alone"


def check_instructions(args):
    for path in args.objects:
        for name, body in functions(args.objdump, path):
            for address, mnemonic, operands in body:
                vex = (
                    mnemonic.startswith("v") and not NOT_VEX.match(mnemonic)
                ) or VEX_SCALAR.match(mnemonic)
                if AVX512_REGISTER.search(operands) or (
                    args.allow == "sse" and (vex or "%ymm" in operands)
                ):
                    where = f"{path}: {address:x}: {mnemonic} {operands} in {name}"
                    yield f"{where}, but only {args.allow} is allowed"
                    break  # one a function says enough


def check_tile(args):
    for path in args.objects:
        loop = disassembly.hot_loop(args.objdump, path, "gemm", args.register)
        if loop is None:
            yield f"{path}: no loop of float FMAs on {args.register} registers in the GEMM"
            continue
        accumulators = loop.accumulators(args.register)
        if len(accumulators) < args.accumulators:
            yield (
                f"{path}: the hot loop sums in {len(accumulators)} registers, "
                f"expected {args.accumulators} ({loop.function})"
            )
        for address, mnemonic, operands in loop.spills():
            where = f"{path}: {address:x}: {mnemonic} {operands}"
            yield f"{where} in the hot loop spills to the stack ({loop.function})"
        print(
            f"{loop.function}: hot loop of {len(loop.instructions)} instructions, "
            f"{len(loop.fmas(args.register))} FMAs, {len(accumulators)} accumulators"
        )


def check_vectors(args):
    for path in args.objects:
        packed = [
            operands
            for _, body in functions(args.objdump, path)
            for _, mnemonic, operands in body
            if PACKED.match(mnemonic)
        ]
        whole = sum(args.register in operands for operands in packed)
        print(f"{path}: {whole} of {len(packed)} packed operations on {args.register}")
        # Ends of rows and narrow groups may want less than a vector.
        if whole < 0.9 * len(packed) or not packed:
            yield f"{path}: too few; the compiler made narrower vectors"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--objdump", default="objdump")
    commands = parser.add_subparsers(required=True)
    for function in check_symbols, check_instructions, check_tile, check_vectors:
        command = commands.add_parser(function.__name__.removeprefix("check_"))
        command.set_defaults(function=function)
        command.add_argument("objects", nargs="+")
        if function is check_instructions:
            command.add_argument("--allow", choices=["sse", "avx2"], required=True)
        if function in (check_tile, check_vectors):
            command.add_argument("--register", choices=["ymm", "zmm", "v"], required=True)
        if function is check_tile:
            command.add_argument("--accumulators", type=int, required=True)
    args = parser.parse_args()
    try:
        failures = list(args.function(args))
    except FileNotFoundError as error:
        print(f"skipped: there is no {error.filename!r} here")
        sys.exit(SKIP)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)}: {error.stderr.strip()}")
    for failure in failures[:20]:
        print(failure)
    if len(failures) > 20:
        print(f"... and {len(failures) - 20} more")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
