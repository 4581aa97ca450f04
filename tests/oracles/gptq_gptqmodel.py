"""The same GPTQ by GPTQModel: 4 bits, groups of 64, symmetric, its defaults otherwise; gptq_folder.py has the arguments.
All Linears but lm_head are quantized. Needs the packages gptqmodel and torch, in an environment of their own.
"""
import os

import gptq_folder

options = gptq_folder.arguments()
os.environ["GPTQMODEL_CPU_WORKERS"] = "2"  # on two cores its own choice is one, fewer than its loader asks for

import torch
from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module

config = QuantizeConfig(bits=gptq_folder.BITS, group_size=gptq_folder.GROUP, sym=True, offload_to_disk=False, device="cpu")
model = GPTQModel.load(options.model, config, dtype=torch.bfloat16)
before = {name: p.detach().clone() for name, p in model.model.named_parameters()}
data = [{"input_ids": w, "attention_mask": [1] * len(w)} for w in options.windows]
with gptq_folder.Stopwatch(options.threads) as watch:
    model.quantize(data, calibration_sort=None, backend=BACKEND.TORCH)

after = dict(model.model.named_parameters())
for name, module in model.model.named_modules():
    if hasattr(module, "dequantize_weight"):
        # Zero points of the format it packs are stored minus one, and dequantize_weight takes them as they are.
        convert_gptq_v1_to_v2_format_module(module, bits=gptq_folder.BITS, pack_dtype=torch.int32)
        after[name + ".weight"] = module.dequantize_weight().t()
gptq_folder.save(options, before, after, ("gptqmodel", "torch", "transformers"), watch, {"config": config.to_dict()})
