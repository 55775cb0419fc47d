"""What the compiler made of our sources, checked on object files. Run by ctest; exit 77 is a skip.

    check_objects.py [--nm=NM] [--objdump=OBJDUMP] COMMAND OBJECT...

symbols        an object of kernels exports its table and nothing else, and needs libm and memcpy
               alone. A second global symbol could be merged by the linker with the same function
               compiled for a lesser CPU.
instructions   no instruction beyond --allow=sse (x86-64 itself: no VEX or EVEX prefix) or avx2
               (no AVX-512).
tile           the hot loop of the float GEMM is made of FMAs on --register=ymm or zmm with at
               least --accumulators of them, and no vector of it lives on the stack.
"""

import argparse
import re
import subprocess
import sys

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
FMA = re.compile(r"^vfn?m(add|sub)\w*ps$")


def run(command):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        print(f"skipped: there is no {command[0]!r} here")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(command)}: {error.stderr.strip()}")
    sys.exit(SKIP)


def functions(objdump, path):
    """Yields (name, [(address, mnemonic, operands)])."""
    if "x86-64" not in run([objdump, "-f", path]):
        print("skipped: instructions are checked on x86-64 alone")
        sys.exit(SKIP)
    name, body = None, []
    for line in run([objdump, "-d", "-C", "-w", "--no-show-raw-insn", path]).splitlines():
        if header := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            if name:
                yield name, body
            name, body = header[1], []
        elif instruction := re.match(r"^\s*([0-9a-f]+):\s+(.*)$", line):
            # Prefixes are words of their own before the mnemonic.
            text = re.sub(r"^((rep\w*|lock|bnd|notrack|data16|cs|ds)\s+)+", "", instruction[2])
            mnemonic, _, operands = text.partition(" ")
            body.append((int(instruction[1], 16), mnemonic, operands.split("#")[0].strip()))
    if name:
        yield name, body


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


def loops(body):
    """Innermost loops: from the target of a backward jump to the jump, none within."""
    spans = []
    for index, (address, mnemonic, operands) in enumerate(body):
        target = re.match(r"^([0-9a-f]+)\b", operands) if mnemonic.startswith("j") else None
        if target and body[0][0] <= int(target[1], 16) <= address:
            spans.append((int(target[1], 16), index))
    for start, end in spans:
        if not any(s >= start and e < end for s, e in spans):
            yield [(a, m, o) for a, m, o in body[: end + 1] if a >= start]


def check_tile(args):
    for path in args.objects:
        best = None  # (FMAs on the register, loop, function)
        for name, body in functions(args.objdump, path):
            if "gemm" not in name.lower():
                continue
            framed = any(m == "mov" and o == "%rsp,%rbp" for _, m, o in body)
            for loop in loops(body):
                count = sum(1 for _, m, o in loop if FMA.match(m) and f"%{args.register}" in o)
                if best is None or count > best[0]:
                    best = (count, loop, name, framed)
        if best is None or best[0] == 0:
            yield f"{path}: no loop of float FMAs on {args.register} registers in any GEMM"
            continue
        count, loop, name, framed = best
        accumulators = {o.rsplit(",", 1)[1] for _, m, o in loop if FMA.match(m)}
        if len(accumulators) < args.accumulators:
            yield (
                f"{path}: the hot loop sums in {len(accumulators)} registers, "
                f"expected {args.accumulators} ({name})"
            )
        # Without a frame pointer %rbp is a register like any other.
        stack = re.compile(r"\((%rsp|%rbp)\b" if framed else r"\(%rsp\b")
        for address, mnemonic, operands in loop:
            if mnemonic.startswith("v") and stack.search(operands):
                where = f"{path}: {address:x}: {mnemonic} {operands}"
                yield f"{where} in the hot loop spills to the stack ({name})"
        print(
            f"{name}: hot loop of {len(loop)} instructions, {count} FMAs, "
            f"{len(accumulators)} accumulators"
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--objdump", default="objdump")
    commands = parser.add_subparsers(required=True)
    for function in check_symbols, check_instructions, check_tile:
        command = commands.add_parser(function.__name__.removeprefix("check_"))
        command.set_defaults(function=function)
        command.add_argument("objects", nargs="+")
        if function is check_instructions:
            command.add_argument("--allow", choices=["sse", "avx2"], required=True)
        if function is check_tile:
            command.add_argument("--register", choices=["ymm", "zmm"], required=True)
            command.add_argument("--accumulators", type=int, required=True)
    args = parser.parse_args()
    failures = list(args.function(args))
    for failure in failures[:20]:
        print(failure)
    if len(failures) > 20:
        print(f"... and {len(failures) - 20} more")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
