"""`torch.compile`, with one error before the training if the machine cannot compile."""

from typing import TypeVar, cast

import torch
from torch import nn

from kd.errors import InputError

Module = TypeVar("Module", bound=nn.Module)


def compile_module(module: Module) -> Module:
    """`module` with a compiled forward pass, whose first call takes a minute or more.

    Raises:
        InputError: if this machine has no compiler.
    """
    device = next(module.parameters()).device
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:  # the compiler raises any kind of error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        remedy = "install a C++ compiler (for a GPU, also Triton), or set it to false"
        raise InputError("train.compile", f"is true, but this machine cannot compile ({reason})", remedy) from None
    torch._functorch.config.donated_buffer = False  # the gradient ratio goes through a graph twice
    return cast(Module, torch.compile(module))
