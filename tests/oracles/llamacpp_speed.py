"""Seconds of a prompt and of a decoded token beside llama.cpp's, on the same bf16 file, alternating, the best of several rounds.

    python tests/oracles/llamacpp_speed.py LLAMA_BENCH MODEL.gguf [--wane build/wane] [--threads 2] [--rounds 5]

LLAMA_BENCH is the program of that name that llama.cpp's build makes; MODEL.gguf has its matrices in BF16, as
gguf_bf16.py writes it from the demo model. Both sides compute the logits of the prompt's last token only, and decode
from an empty context. OPENBLAS_*, OMP_* and MKL_* are unset. Needs no package.
"""
import argparse
import json
import os
import subprocess

for name in list(os.environ):
    if name.startswith(("OMP_", "MKL_", "OPENBLAS_")):
        del os.environ[name]

ROUNDS_INSIDE = 3  # of one process, after its warming


def output(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def llama(options):
    """Tests of llama-bench: best seconds of the prompt and of one token, and what it says of its build."""
    tests = output([options.llama_bench, "-m", options.model, "-p", str(options.prompt), "-n", str(options.decoded),
                    "-t", str(options.threads), "-r", str(ROUNDS_INSIDE), "-o", "json"])
    prompt = next(t for t in tests if t["n_prompt"] and not t["n_gen"])
    token = next(t for t in tests if t["n_gen"] and not t["n_prompt"])
    return (min(prompt["samples_ns"]) / 1e9, min(token["samples_ns"]) / 1e9 / options.decoded,
            f"build {prompt['build_commit']}, {prompt['backends']}, {prompt['model_type']}")


def wane(options):
    best = output([options.wane, "--quiet", "--threads", str(options.threads), "run", "tests/oracles/llamacpp_speed.lua",
                   options.model, str(options.prompt), str(options.decoded), str(ROUNDS_INSIDE)])
    return best["prompt"], best["token"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("llama_bench")
    parser.add_argument("model")
    parser.add_argument("--wane", default="build/wane")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--decoded", type=int, default=32)
    options = parser.parse_args()
    ours, theirs = [], []
    for _ in range(options.rounds):
        *seconds, build = llama(options)
        theirs.append(seconds)
        ours.append(wane(options))
    print(f"llama.cpp {build}, {options.threads} threads on both sides")
    for i, what in enumerate((f"prompt of {options.prompt}", "token")):
        own, other = min(o[i] for o in ours), min(t[i] for t in theirs)
        print(f"{what}: llama.cpp {other * 1e3:.2f} ms, wane {own * 1e3:.2f} ms, {other / own:.2f} times faster")
