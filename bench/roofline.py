"""Lower bounds of layers' times on a GPU, on paper.

    python bench/roofline.py [SET|FILE [BATCH]]

Prints a Markdown table in microseconds for the layers of a set (default: resnet50) with a batch of
images (default: 1). A bound is the larger of two times: the direct method's multiply-adds at the
GPU's peak for the type, and the input that is read, weights and output, once each, through the
GPU's memory at its full bandwidth ("m"). Nothing was measured.
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
from onebyone.bench.layers import read_layers

BYTES = {"float32": 4, "tf32": 4, "float16": 2}

# TFLOP/s without sparsity, and GB/s, by NVIDIA's data sheets: "A100 Tensor Core GPU" (SXM, 40 GB)
# https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf
# and "H100 Tensor Core GPU" (SXM; it lists tensor cores with sparsity, half of which is here)
# https://resources.nvidia.com/en-us-tensor-core/nvidia-tensor-core-gpu-datasheet
GPUS = {
    "A100": ({"float32": 19.5, "tf32": 156.0, "float16": 312.0}, 1555.0),
    "H100": ({"float32": 67.0, "tf32": 494.7, "float16": 989.4}, 3350.0),
}


def elements(layer):
    """Of the input that filters see (strides may skip pixels), the weights and the output."""
    rows, columns = (
        min(layer.ih, layer.oh * layer.kernel[0]),
        min(layer.iw, layer.ow * layer.kernel[1]),
    )
    pixels = layer.oh * layer.ow
    images = layer.batch * (layer.ic * rows * columns + layer.oc * pixels)
    return images + layer.macs // (layer.batch * pixels)


def bound(layer, dtype, tflops, gbs):
    """(microseconds, whether the memory sets them)."""
    arithmetic = 2 * layer.macs / tflops[dtype] * 1e-6
    memory = elements(layer) * BYTES[dtype] / gbs * 1e-3
    return max(arithmetic, memory), memory > arithmetic


def table(layers):
    columns = [(gpu, dtype) for gpu in GPUS for dtype in BYTES]
    titles = ["layer", "GFLOP", *(f"{gpu} {dtype}" for gpu, dtype in columns)]
    yield f"| {' | '.join(titles)} |"
    yield f"|---|{'---:|' * (len(titles) - 1)}"
    for layer in layers:
        cells = []
        for gpu, dtype in columns:
            time, by_memory = bound(layer, dtype, *GPUS[gpu])
            cells.append(f"{time:.1f}{' m' if by_memory else ''}")
        text = layer.text.partition("x")[2]
        yield f"| {layer.batch}x{text} | {2e-9 * layer.macs:.1f} | {' | '.join(cells)} |"


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "resnet50"
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print("\n".join(table([replace(layer, batch=batch) for layer in read_layers(name)])))


if __name__ == "__main__":
    main()
