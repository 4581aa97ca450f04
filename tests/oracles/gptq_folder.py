"""What the GPTQ oracles of other people's programs share: arguments, calibration windows, the folder that comes out.

    python tests/oracles/gptq_PROGRAM.py MODEL WINDOWS.json OUT [--threads N]

MODEL is an HF folder in bf16, WINDOWS.json a list of lists of token ids, one sample each (wane's own:
`wane run tests/oracles/gptq_windows.lua TEXT WINDOWS.json`). OUT becomes an HF folder with the dequantized weights in
bf16, which wane loads and measures like any other model, and about.json: seconds, CPU seconds, versions.
"""
import argparse
import importlib.metadata
import json
import os
import pathlib
import shutil
import time

BITS, GROUP = 4, 64


def arguments():
    """MODEL, windows (lists of token ids), OUT, threads. Nothing but --threads says how many threads there are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("windows")
    parser.add_argument("out")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.windows = json.loads(pathlib.Path(options.windows).read_text())
    for name in list(os.environ):
        if name.startswith(("OMP_", "MKL_", "OPENBLAS_")):
            del os.environ[name]
    return options


def tokenizer_of(folder):
    """The folder's tokenizer.json; no other file is asked for. Texts are not padded, so any token will do for that."""
    import transformers

    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(pathlib.Path(folder) / "tokenizer.json"))
    tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


class Stopwatch:
    """Seconds and CPU seconds of what stands inside `with`, on this many threads whatever packages set when imported."""

    def __init__(self, threads):
        self.threads = threads

    def __enter__(self):
        import torch

        torch.set_num_threads(self.threads)
        self.started, self.used = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.seconds, self.cpu_seconds = time.perf_counter() - self.started, time.process_time() - self.used


def save(options, before, after, packages, watch, about):
    """Writes OUT: `before` and `after` are name -> tensor, before and after quantizing; every *_proj has to differ and
    to hold at most 16 values in a group, everything else to be as it was."""
    import torch
    from safetensors.torch import save_file

    state = {name: after[name].detach().to(torch.bfloat16).contiguous() for name in before}
    changed = [name for name in state if not torch.equal(state[name], before[name].to(torch.bfloat16))]
    expected = [name for name in state if name.endswith("_proj.weight")]
    assert changed == expected, f"{len(changed)} weights changed, {len(expected)} expected"
    for name in changed:
        groups = state[name].reshape(-1, GROUP)
        assert all(len(set(g.tolist())) <= 2**BITS for g in groups[:: max(1, len(groups) // 50)]), name
        off = (state[name].float() - before[name].float()).norm() / before[name].float().norm()
        assert off < 0.3, f"{name} moved by {off:.2f} of its norm"  # a wrong zero point moves it by 0.4

    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    save_file(state, str(out / "model.safetensors"), metadata={"format": "pt"})
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(pathlib.Path(options.model) / name, out / name)
    report = {
        "seconds": round(watch.seconds, 1), "cpu_seconds": round(watch.cpu_seconds, 1), "threads": watch.threads,
        "versions": {name: importlib.metadata.version(name) for name in packages}, "load": os.getloadavg(), **about,
    }
    text = json.dumps(report, indent=1, default=str)
    (out / "about.json").write_text(text)
    print(text)
