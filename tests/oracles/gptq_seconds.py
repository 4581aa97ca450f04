"""Seconds of quantizing a whole model, wane beside llm-compressor: the same model, tokens, threads and scheme, in one run.

    python tests/oracles/gptq_seconds.py MODEL WINDOWS.json OUT [--rival PYTHON] [--wane build/wane] [--threads 2]

4 bits, groups of 64, symmetric, extremes (both sides' default), GPTQ on all Linears of the blocks; wane's also with
wane.mse ranges. PYTHON is that of the environment that has llmcompressor. Seconds are those of quantizing, models
loaded and tokens at hand; CPU seconds of llm-compressor are of the same span, wane's of its whole process. OPENBLAS_*,
OMP_* and MKL_* are unset. wane's sides run before and after the other, and the better of two counts.
"""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent


def wane(options, observer, share):
    """Seconds of wane.quantize, and CPU seconds of its process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(
        [options.wane, "--quiet", "--threads", str(options.threads), "run", str(FOLDER / "gptq_seconds.lua"),
         options.model, options.windows, observer, str(share)], check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(out.split("seconds")[1].split()[0]), cpu


def rival(options):
    subprocess.run(
        [options.rival, str(FOLDER / "gptq_llmcompressor.py"), options.model, options.windows, options.out, "--threads",
         str(options.threads)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads((pathlib.Path(options.out) / "about.json").read_text())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("model", "windows", "out"):
        parser.add_argument(name)
    parser.add_argument("--rival", default=sys.executable)
    parser.add_argument("--wane", default="build/wane")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for name in list(os.environ):
        if name.startswith(("OMP_", "MKL_", "OPENBLAS_")):
            del os.environ[name]

    kinds = [(observer, share) for observer in ("minmax", "mse") for share in (0, 0.5)]
    ours = {kind: [wane(options, *kind)] for kind in kinds}
    theirs = rival(options)
    for kind in kinds:
        ours[kind].append(wane(options, *kind))

    versions = " ".join(f"{name} {version}" for name, version in theirs["versions"].items())
    print(f"{versions}, {theirs['threads']} threads, load {os.getloadavg()[0]:.1f}")
    print(f"llm-compressor: {theirs['seconds']:.1f} s, {theirs['cpu_seconds']:.1f} CPU s")
    for (observer, share), runs in ours.items():
        seconds, cpu = min(run[0] for run in runs), min(run[1] for run in runs)
        print(f"wane, {observer}, precorrect = {share}: {seconds:.1f} s, {cpu:.1f} CPU s: {theirs['seconds'] / seconds:.2f} "
              f"times faster, {theirs['cpu_seconds'] / cpu:.2f} in CPU time; all {[round(run[0], 1) for run in runs]}")
