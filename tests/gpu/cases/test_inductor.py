"""What `torch.compile` writes for a GPU, judged without one; it needs Triton, which no CPU build brings."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

pytest.importorskip("triton", reason="Inductor writes code for GPUs only where Triton is installed")

from coordflow_mini.sampling import pixel_terms
from coordflow_mini.video import scenes
from coordflow_mini.video.device import colors_at
from tests.gpu.cases.test_budgets import STEPS, fitting, steps, tuning
from tests.gpu.inductor import Written, launches, select_decomp_table

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's compiler warns of itself
MOST_FIT, MOST_FINE_TUNE = 160, 300  # kernels of a step whose loss is compiled


@pytest.mark.parametrize(("stage", "most"), [(fitting, MOST_FIT), (tuning, MOST_FINE_TUNE)])
def test_a_compiled_step_takes_few_kernels_and_no_chance(stage, most, gpu, counting):
    training = stage(scenes.cutout(32, 48, 8).video, gpu)
    steps(training, 2)
    with counting() as eager:
        steps(training)
    with counting() as loss:
        training.sampler.terms(getattr(training, "quantizer", training.model)).total.backward()
    written = Written()
    training.sampler.pixel_terms = written.compiled(pixel_terms)
    steps(training, 1)
    forward, backward = written.codes
    assert "atomic_add(" not in forward + backward
    compiled = launches(forward) + launches(backward)
    assert 20 < compiled < loss.kernels
    assert eager.kernels / STEPS - loss.kernels + compiled <= most


def test_a_clip_of_more_than_two_gigabytes_is_indexed_by_64_bits(gpu):
    written = Written()
    with FakeTensorMode():
        clip = torch.empty(600, 1080, 1920, 3, dtype=torch.uint8, device=gpu)
        frames, indices = (torch.empty(n, dtype=torch.int64, device=gpu) for n in ((128, 1), (128, 64)))
        graph = make_fx(lambda *where: [colors_at(*where)], select_decomp_table())(clip, frames, indices)
        written.write(graph, [clip, frames, indices])
    (code,) = written.codes
    assert "*u8" in code and "*i64" in code and ".to(tl.int32)" not in code
