"""The same GPTQ by llm-compressor: 4 bits, groups of 64, symmetric, its defaults otherwise.

    python tests/oracles/gptq_llmcompressor.py MODEL WINDOWS.json OUT [--threads N]

MODEL is an HF folder in bf16, WINDOWS.json a list of lists of token ids, one sample each (wane's own:
`wane run tests/oracles/gptq_windows.lua TEXT WINDOWS.json`). All Linears but lm_head are quantized. OUT becomes an HF
folder with the dequantized weights in bf16, which wane loads and measures like any other model. Needs the packages
llmcompressor and torch, in an environment of their own.
"""
import argparse
import importlib.metadata
import json
import os
import pathlib
import shutil
import time

arguments = argparse.ArgumentParser()
arguments.add_argument("model")
arguments.add_argument("windows")
arguments.add_argument("out")
arguments.add_argument("--threads", type=int, default=2)
options = arguments.parse_args()
for name in list(os.environ):
    if name.startswith(("OMP_", "MKL_", "OPENBLAS_")):
        del os.environ[name]

import datasets
import torch
import transformers
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier

torch.set_num_threads(options.threads)
windows = json.loads(pathlib.Path(options.windows).read_text())
data = datasets.Dataset.from_dict({"input_ids": windows, "attention_mask": [[1] * len(w) for w in windows]})
model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16)
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(pathlib.Path(options.model) / "tokenizer.json"))
tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)

weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 64}
modifier = GPTQModifier(config_groups={"all": {"targets": ["Linear"], "weights": weights}}, ignore=["lm_head"])
before = {name: p.detach().clone() for name, p in model.named_parameters()}
started, used = time.perf_counter(), time.process_time()
oneshot(model=model, dataset=data, processor=tokenizer, recipe=modifier, num_calibration_samples=len(windows),
        max_seq_length=max(map(len, windows)), shuffle_calibration_samples=False)
seconds, cpu = time.perf_counter() - started, time.process_time() - used

scheme = next(m.quantization_scheme.weights for m in model.modules() if getattr(m, "quantization_scheme", None))
state = {name: p.detach().to(torch.bfloat16).contiguous() for name, p in model.named_parameters() if name in before}
changed = [name for name in state if not torch.equal(state[name], before[name])]
assert len(changed) == sum(name.endswith("_proj.weight") for name in state), f"{len(changed)} weights changed"
for name in changed:  # values of 4 bits and a scale: at most 16 in a group
    groups = state[name].reshape(-1, 64)
    assert all(len(set(g.tolist())) <= 16 for g in groups[:: max(1, len(groups) // 50)]), name

out = pathlib.Path(options.out)
out.mkdir(parents=True, exist_ok=True)
from safetensors.torch import save_file

save_file(state, str(out / "model.safetensors"), metadata={"format": "pt"})
for name in ("config.json", "tokenizer.json"):
    shutil.copy(pathlib.Path(options.model) / name, out / name)
versions = {name: importlib.metadata.version(name) for name in ("llmcompressor", "compressed-tensors", "torch", "transformers")}
report = {
    "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "threads": torch.get_num_threads(), "versions": versions,
    "load": os.getloadavg(), "dampening_frac": modifier.dampening_frac, "actorder": str(modifier.actorder),
    "block_size": modifier.block_size, "scheme": scheme.model_dump(mode="json"),
}
(out / "about.json").write_text(json.dumps(report, indent=1, default=str))
print(json.dumps(report, indent=1, default=str))
