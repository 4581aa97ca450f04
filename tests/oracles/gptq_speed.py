"""Seconds of a GPTQ solve: the paper's loop in PyTorch beside wane's, interleaved, the best of several rounds.

    python tests/oracles/gptq_speed.py [--wane build/wane] [--threads 2] [--rounds 5] [--shapes 2048x2048,2048x6144]

Both sides are given w [rows, columns] and a Hessian: int4 per channel, symmetric, extremes, columns as they stand,
damping 0.01, no correction. The loop is that of arXiv 2210.17323 (blocks of 128 columns, what is left of the matrix
updated once a block) as its authors write such a solver with torch: Cholesky, inverse, Cholesky of the inverse, then
one column after the other. wane's side is scripts/bench/gptq.lua. With --cpu the CPU time of one solve is printed too
(whole process, setup taken off), which a busy machine blurs less. OPENBLAS_*, OMP_* and MKL_* are unset.
"""
import argparse
import os
import resource
import subprocess
import time

for name in list(os.environ):
    if name.startswith(("OMP_", "MKL_", "OPENBLAS_")):
        del os.environ[name]

import torch

BITS, BLOCK, DAMP = 4, 128, 0.01


def solve(w, h):
    """Codes of w under h; both are left as they are."""
    left = w.clone()
    columns = w.shape[1]
    top = 2**BITS - 1
    scale = left.abs().amax(1) * 2 / top
    zero = (top + 1) / 2

    damped = h.clone()
    damped.diagonal().add_(DAMP * h.diagonal().mean())
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)

    codes = torch.empty_like(left)
    for first in range(0, columns, BLOCK):
        last = min(first + BLOCK, columns)
        block, triangle = left[:, first:last].clone(), upper[first:last, first:last]
        errors = torch.empty_like(block)
        for i in range(last - first):
            column = block[:, i]
            code = torch.clamp(torch.round(column / scale) + zero, 0, top)
            error = (column - scale * (code - zero)) / triangle[i, i]
            block[:, i:] -= error.unsqueeze(1) @ triangle[i, i:].unsqueeze(0)
            codes[:, first + i] = code
            errors[:, i] = error
        left[:, last:] -= errors @ upper[first:last, last:]
    return codes


def hessian(columns):
    a = torch.randn(columns, 256)
    return a @ a.T / 256 + 0.5 * torch.eye(columns)


def seconds_of(f):
    started = time.perf_counter()
    f()
    return time.perf_counter() - started


def wane(options, shape, repeats):
    """Best seconds of `repeats` solves in one process, and that process's CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(
        [options.wane, "--quiet", "--threads", str(options.threads), "run", "scripts/bench/gptq.lua", str(shape[0]), str(shape[1]), str(repeats)],
        check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(out.split("seconds")[1].split()[0]), cpu


def compare(options, shape):
    torch.manual_seed(0)
    w, h = torch.randn(*shape), hessian(shape[1])
    solve(w[:, :256], h[:256, :256])
    ours, theirs = [], []
    for _ in range(options.rounds):
        theirs.append(seconds_of(lambda: solve(w, h)))
        ours.append(wane(options, shape, 2)[0])
    print(f"{shape[0]} x {shape[1]}, {options.threads} threads: torch {min(theirs):.3f} s, wane {min(ours):.3f} s, "
          f"{min(theirs) / min(ours):.2f} times faster; medians {sorted(theirs)[len(theirs) // 2]:.3f} s and "
          f"{sorted(ours)[len(ours) // 2]:.3f} s", flush=True)
    if options.cpu:
        theirs, ours = [], []
        for _ in range(options.rounds):
            started = time.process_time()
            solve(w, h)
            theirs.append(time.process_time() - started)
            # What a second and a third solve add is what one takes without setup.
            ours.append((wane(options, shape, 3)[1] - wane(options, shape, 1)[1]) / 2)
        cpu, own = sorted(theirs)[options.rounds // 2], sorted(ours)[options.rounds // 2]
        print(f"  CPU time of one solve, medians: torch {cpu:.3f} s, wane {own:.3f} s, {cpu / own:.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--wane", default="build/wane")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", default="2048x2048,2048x6144")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    print(f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    for text in options.shapes.split(","):
        compare(options, tuple(map(int, text.split("x"))))
