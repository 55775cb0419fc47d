"""An engine whose process ends, for test_bench.py. Alone, so that the process imports little."""

import os


class Crashing:
    def __init__(self, threads):
        pass

    def prepare(self, layer, arrays):
        if layer.groups > 1:
            os.abort()
        raise RuntimeError("not this one\n either")
