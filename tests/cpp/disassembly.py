"""Functions, innermost loops and hot loops of an object file, from objdump's text.

Shared by check_objects.py and bench/mca.py. Knows x86-64 and arm64.
"""

import re
import subprocess
from typing import NamedTuple

FMA = re.compile(r"^vfn?m(add|sub)\w*ps |^fmla .*\.4s")


class Instruction(NamedTuple):
    address: int
    mnemonic: str
    operands: str


class Loop(NamedTuple):
    function: str
    instructions: list[Instruction]
    framed: bool
    """Whether %rbp is the frame pointer; else it is a register like any other."""

    def fmas(self, register=""):
        """Return its float FMAs whose operands name `register`."""
        return [
            i
            for i in self.instructions
            if FMA.match(f"{i.mnemonic} {i.operands}") and register in i.operands
        ]

    def accumulators(self, register=""):
        """Return the registers that those sum in: the last operand, the first on arm64."""
        return {
            i.operands.split(",")[0 if i.mnemonic == "fmla" else -1] for i in self.fmas(register)
        }

    def spills(self):
        """Return the vector instructions that touch the stack."""
        stack = re.compile(r"\((%rsp|%rbp)\b|\[sp\b" if self.framed else r"\(%rsp\b|\[sp\b")
        vector = re.compile(r"%[xyz]mm|\b[qdsv]\d+\b")
        return [
            i for i in self.instructions if stack.search(i.operands) and vector.search(i.operands)
        ]


def architecture(objdump, path):
    """Return the machine that the object is for, as objdump names it: "x86-64", "aarch64"."""
    text = _output([objdump, "-f", path])
    return re.search(r"architecture:\s*(?:i386:)?([^\s,]+)", text)[1]


def functions(objdump, path):
    """Yield (name, [Instruction]) of each function of the object."""
    name, body = None, []
    for line in _output([objdump, "-d", "-C", "-w", "--no-show-raw-insn", path]).splitlines():
        if header := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            if name:
                yield name, body
            name, body = header[1], []
        elif instruction := re.match(r"^\s*([0-9a-f]+):\s+(.*)$", line):
            # Prefixes are words of their own before the mnemonic.
            text = re.sub(r"^((rep\w*|lock|bnd|notrack|data16|cs|ds)\s+)+", "", instruction[2])
            mnemonic, operands = re.match(
                r"(\S*)\s*(.*)", re.split(r"#(?=\s)|//", text)[0]
            ).groups()
            body.append(Instruction(int(instruction[1], 16), mnemonic, operands.strip()))
    if name:
        yield name, body


def loops(name, body):
    """Yield the innermost loops: from the target of a backward jump to the jump, none within."""
    framed = any(m == "mov" and o == "%rsp,%rbp" for _, m, o in body)
    spans = []
    for index, (address, mnemonic, operands) in enumerate(body):
        target = re.search(r"\b([0-9a-f]+) <", operands)
        if target and re.match(r"j|b\.|c?bn?z?$|tbn?z", mnemonic):
            start = int(target[1], 16)
            if body[0].address <= start <= address:
                spans.append((start, index))
    for start, end in spans:
        if not any(s >= start and e < end for s, e in spans):
            yield Loop(name, [i for i in body[: end + 1] if i.address >= start], framed)


def hot_loop(objdump, path, kernel, register=""):
    """Return the innermost loop with the most float FMAs on `register`, or None.

    Looked for in the functions whose names contain `kernel`.
    """
    best = None
    for name, body in functions(objdump, path):
        if kernel in name.lower():
            for loop in loops(name, body):
                if len(loop.fmas(register)) > (len(best.fmas(register)) if best else 0):
                    best = loop
    return best


def _output(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
