"""Makes transformers compute a forward pass in float64 throughout.

`model.double()` alone is not enough: the RMSNorm, softmax and RoPE of transformers name float32 in their source, so
their intermediate results carry 24 bits. Here the modules that name it see float64 under that name, and a dispatch
mode fails on any operation whose floating result is not float64, so the claim is checked on every run.
"""
import contextlib
import importlib
import types

import torch
from torch.utils._python_dispatch import TorchDispatchMode

MODULES = ["transformers.modeling_rope_utils"] + [
    f"transformers.models.{name}.modeling_{name}" for name in ("llama", "mistral", "qwen2", "qwen3")
]


class WideTorch(types.ModuleType):
    """The torch module, in which float32 means float64."""

    float32 = float = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


class OnlyFloat64(TorchDispatchMode):
    def __torch_dispatch__(self, function, kinds, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.dtype != torch.float64:
                raise AssertionError(f"{function} gave {value.dtype}")
        return result


@contextlib.contextmanager
def widened():
    """Inside, models are built with float64 constants (RoPE frequencies) and run in float64."""
    wide = WideTorch("torch")
    modules = [importlib.import_module(name) for name in MODULES]
    narrow_float = torch.Tensor.float
    for module in modules:
        module.torch = wide
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.Tensor.float = narrow_float
        for module in modules:
            module.torch = torch


def logits_of(folder, tokens):
    """The logits [tokens, vocabulary] in float64 of the checkpoint in `folder`, eager attention, one sequence."""
    from transformers import AutoModelForCausalLM

    with widened(), torch.no_grad():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")
        model.eval()
        with OnlyFloat64():
            return model(torch.tensor([tokens]), use_cache=False).logits[0]


def float32_logits_of(folder, tokens):
    """The same by transformers' plain float32 forward: how close honest float32 arithmetic comes."""
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        return model.eval()(torch.tensor([tokens]), use_cache=False).logits[0].double()
