"""The same GPTQ by llm-compressor: 4 bits, groups of 64, symmetric, its defaults otherwise; gptq_folder.py has the
arguments. All Linears but lm_head are quantized. Needs the packages llmcompressor and torch, in an environment of
their own.
"""
import gptq_folder

options = gptq_folder.arguments()

import datasets
import torch
import transformers
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier

windows = options.windows
data = datasets.Dataset.from_dict({"input_ids": windows, "attention_mask": [[1] * len(w) for w in windows]})
model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16)

weights = {"num_bits": gptq_folder.BITS, "type": "int", "symmetric": True, "strategy": "group",
           "group_size": gptq_folder.GROUP}
modifier = GPTQModifier(config_groups={"all": {"targets": ["Linear"], "weights": weights}}, ignore=["lm_head"])
before = {name: p.detach().clone() for name, p in model.named_parameters()}
with gptq_folder.Stopwatch(options.threads) as watch:
    oneshot(model=model, dataset=data, processor=gptq_folder.tokenizer_of(options.model), recipe=modifier,
            num_calibration_samples=len(windows), max_seq_length=max(map(len, windows)), shuffle_calibration_samples=False)

scheme = next(m.quantization_scheme.weights for m in model.modules() if getattr(m, "quantization_scheme", None))
gptq_folder.save(
    options, before, dict(model.named_parameters()), ("llmcompressor", "compressed-tensors", "torch", "transformers"), watch,
    {"dampening_frac": modifier.dampening_frac, "actorder": str(modifier.actorder), "block_size": modifier.block_size,
     "scheme": scheme.model_dump(mode="json")})
