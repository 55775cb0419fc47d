"""Run by test_conv2d.py: a read or write outside an array meets an inaccessible page and crashes.

Each case is printed before it runs, so that the last line names the one that crashed.
"""

import ctypes
import itertools
import mmap

import numpy as np
import onebyone as ob

LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE


def guarded(a, side):
    """A copy of `a` that begins right after, or ends right before, a page without access."""
    pages = -(-a.nbytes // PAGE) or 1
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages + 1):
        address = ctypes.c_void_p(start + page * PAGE)
        if LIBC.mprotect(address, ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect failed")
    offset = PAGE if side == "begin" else (pages + 1) * PAGE - a.nbytes
    view = np.frombuffer(memory, a.dtype, a.size, offset).reshape(a.shape)
    view[...] = a
    return view


def main():
    rng = np.random.default_rng(11)
    count = 0
    shapes = [
        # channels, filters, size, kernel, stride, padding, groups
        (1, 1, (1, 1), 1, 1, 0, 1),
        (3, 5, (5, 7), 1, 1, 0, 1),
        (17, 19, (7, 7), 1, 1, 0, 1),
        (17, 6, (7, 6), 1, 2, 0, 1),
        (64, 33, (3, 3), 1, 1, 1, 1),
        (300, 17, (2, 3), 1, 1, 0, 1),
        (3, 17, (9, 8), 3, 1, 0, 1),
        (3, 17, (9, 8), 3, 1, 1, 1),
        (7, 5, (11, 9), 5, 2, "same", 1),
        (3, 17, (9, 8), 7, 2, 3, 1),
        (1, 33, (5, 6), 7, 1, 3, 1),
        (2, 9, (4, 40), 4, 2, 1, 1),
        (64, 7, (5, 5), 3, 1, 1, 1),
        (6, 15, (7, 6), 3, 2, 1, 3),
        (17, 17, (6, 7), 3, 1, 1, 17),
        (9, 18, (6, 7), 3, 2, 0, 9),
        (40, 40, (8, 9), 3, 1, 1, 40),
        (21, 63, (9, 11), 5, 2, 2, 21),
        (40, 40, (8, 9), 3, 1, 1, 10),
        (16, 32, (5, 9), 3, 2, 1, 8),
        (48, 48, (4, 5), 3, 1, 1, 6),
    ]
    for shape, dtype, layout, side in itertools.product(
        shapes, [np.float32, np.float64], ["NCHW", "NHWC"], ["begin", "end"]
    ):
        channels, filters, size, kernel, stride, padding, groups = shape
        for algorithm in ["auto", "direct", "reference"]:
            print(count, shape, np.dtype(dtype).name, layout, side, algorithm, flush=True)
            x_shape = (2, channels, *size) if layout == "NCHW" else (2, *size, channels)
            x = rng.uniform(-1, 1, x_shape).astype(dtype)
            w_shape = (filters, channels // groups, kernel, kernel)
            w = rng.uniform(-1, 1, w_shape).astype(dtype)
            b = rng.uniform(-1, 1, filters).astype(dtype)
            kwargs = {
                "stride": stride,
                "padding": padding,
                "groups": groups,
                "layout": layout,
                "algorithm": algorithm,
            }
            want = ob.conv2d(x, w, b, **kwargs)
            residual = np.ones_like(want)
            x, w, b = (guarded(a, side) for a in (x, w, b))
            out = guarded(np.full_like(want, np.nan), side)
            y = ob.conv2d(x, w, b, **kwargs, residual=guarded(residual, side), out=out)
            error = np.abs(y - residual - want).max()
            if not error <= 1e-5:
                raise SystemExit(f"off by {error}")
            count += 1
    print("cases", count)


if __name__ == "__main__":
    main()
