"""SHA-256 of the decoded f32 values of every tensor in the golden GGUF files, by the Python package `gguf`.

    python tests/oracles/gguf_decoded.py ../shared/data/gguf_golden > tests/golden/gguf_decoded.json

One line per tensor: type, shape in row-major order, digest. Types without a decoder in wane have no digest.
"""
import hashlib
import json
import pathlib
import sys

import gguf
import numpy

DECODED = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"}


def describe(tensor):
    kind = tensor.tensor_type.name
    line = f"{kind} [{' x '.join(str(n) for n in reversed(tensor.shape))}]"
    if kind not in DECODED:
        return line
    values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
    return f"{line} {hashlib.sha256(values.tobytes()).hexdigest()}"


def main(folder):
    files = {}
    for path in sorted(pathlib.Path(folder).glob("*.gguf")):
        files[path.name] = {tensor.name: describe(tensor) for tensor in gguf.GGUFReader(path).tensors}
    json.dump(files, sys.stdout, indent=1, sort_keys=True)
    print()


main(sys.argv[1])
