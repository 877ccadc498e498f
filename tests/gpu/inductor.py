"""Code that Inductor writes for a GPU, without one: Triton is asked to compile nothing of it."""

import re
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import triton
from functorch.compile import make_boxed_func
from triton.backends.compiler import GPUTarget

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of parts of PyTorch that PyTorch uses
    from torch._dynamo.backends.common import aot_autograd
    from torch._functorch.partitioners import min_cut_rematerialization_partition
    from torch._inductor import compile_fx, config
    from torch._inductor.decomposition import select_decomp_table
    from torch._inductor.graph import GraphLowering

__all__ = ["Written", "launches"]


class _EnoughError(Exception):
    """The code is written; nobody shall compile it."""


class Written:
    """A backend of `torch.compile` that keeps what Inductor writes, and runs the graphs uncompiled."""

    def __init__(self) -> None:
        self.codes: list[str] = []  # of the forward pass, then of the backward pass
        target = GPUTarget("cuda", 90, 32)
        triton.runtime.driver.set_active(SimpleNamespace(get_current_target=lambda: target))
        decompositions, parts = select_decomp_table(), min_cut_rematerialization_partition
        self.backend = aot_autograd(
            fw_compiler=self.write, bw_compiler=self.write, decompositions=decompositions, partition_fn=parts
        )

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose code is written at its first call."""
        return torch.compile(function, backend=self.backend, dynamic=False)

    def write(self, graph: torch.fx.GraphModule, inputs: Any) -> Any:
        """Keep the code of a graph."""

        def enough(lowering: GraphLowering) -> None:
            self.codes.append(lowering.codegen()[0].value)
            raise _EnoughError

        plain = config.patch(force_disable_caches=True, deterministic=True)
        with plain, patch.object(GraphLowering, "compile_to_module", enough):
            try:
                compile_fx.compile_fx_inner(graph, inputs)
            except Exception as error:
                if "_EnoughError" not in repr(error):
                    raise
        return make_boxed_func(graph.forward)


def launches(code: str) -> int:
    """Kernels that a piece of code starts: its own, and those of libraries."""
    body = code[code.index("def call(") : code.index("def get_args(")]
    return len(re.findall(r"\.run\(|\bextern_kernels\.|\baten\.\w+\.\w+\(|\.copy_\(", body))
