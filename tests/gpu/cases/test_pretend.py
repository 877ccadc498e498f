"""The pretend GPU itself: it refuses, counts and copies as a GPU does."""

import pytest
import torch

from tests.gpu import card


def test_tensors_are_computed_where_they_say(gpu):
    a = torch.arange(6.0, device=gpu).view(2, 3)
    b = (a @ a.T + 1)[:, 1:].sum()
    assert b.device.type == "cuda" and b.item() == 14 + 50 + 2
    assert a.T.untyped_storage().data_ptr() == a.untyped_storage().data_ptr()
    a[:, 0].zero_()
    assert a.tolist() == [[0, 1, 2], [0, 4, 5]]


def test_gradients_are_those_of_the_cpu(gpu):
    x = torch.linspace(-1, 1, 12).view(3, 4)
    there, here = (x.to(device).requires_grad_() for device in (gpu, "cpu"))
    for t in (there, here):
        torch.softmax((t.sin() @ t.T.cos()).flatten(), 0).square().sum().backward()
    assert torch.equal(there.grad.cpu(), here.grad)


@pytest.mark.parametrize(
    "action",
    [
        lambda here, there: here + there,
        lambda here, there: there @ here,
        lambda here, there: here[torch.zeros(2, dtype=torch.long, device="cuda")],
        lambda here, there: torch.cat([here, there]),
        lambda here, there: torch.rand(3, device="cuda", generator=torch.Generator()),
        lambda here, there: torch.nn.functional.conv2d(there[None, None], here[None, None]),
    ],
)
def test_two_devices_in_one_kernel_are_refused(action, gpu):
    with pytest.raises(RuntimeError, match="device"):
        action(torch.zeros(3, 3), torch.zeros(3, 3, device=gpu))


def test_a_number_of_the_cpu_is_welcome(gpu):
    assert (torch.ones(2, device=gpu) * torch.tensor(3.0)).tolist() == [3, 3]


def test_kernels_are_counted_and_views_are_not(gpu, counting):
    a = torch.ones(4, 4, device=gpu)
    with counting() as found:
        ((a + 1)[1:].view(-1) * 2).t().sum()
    assert found.of("kernel") == {"add": 1, "mul": 1, "sum": 1}
    assert not found.syncs and not found.copies


@pytest.mark.parametrize(
    "action",
    [
        lambda a: a.sum().item(),
        lambda a: bool((a > 0).all()),
        lambda a: a[a > 0],
        lambda a: a.nonzero(),
        lambda a: a.cpu(),
        lambda a: a[torch.zeros(1, dtype=torch.long)],
        lambda a: torch.tensor([1.0], device="cuda"),
        lambda a: a.copy_(torch.zeros(4)),
        lambda a: torch.cuda.synchronize(),
        lambda a: torch.repeat_interleave(a.long()),
    ],
)
def test_waits_are_counted(action, gpu, counting):
    with counting() as found:
        action(torch.ones(4, device=gpu))
    assert found.syncs == 1 and sum(found.where().values()) >= 1


def test_waits_can_be_refused(gpu):
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchronizing"):
            torch.ones(2, device=gpu).sum().item()
        assert torch.ones(2).pin_memory().to(gpu, non_blocking=True).device == torch.device("cuda:0")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_memory_has_an_end(gpu):
    with card.limited(1000), pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        torch.empty(2000, dtype=torch.uint8, device=gpu)
    free, total = torch.cuda.mem_get_info()
    block = torch.empty(3000, dtype=torch.uint8, device=gpu)
    assert torch.cuda.mem_get_info() == (free - 3000, total)
    del block
    assert torch.cuda.mem_get_info() == (free, total)


def test_new_memory_holds_nothing_good(gpu):
    assert torch.empty(5, device=gpu).isnan().all()


def test_a_copy_that_does_not_block_arrives_when_it_is_waited_for(gpu):
    a, there, done = torch.ones(3, device=gpu), torch.zeros(3, pin_memory=True), torch.Event("cuda")
    there.copy_(a, non_blocking=True)
    done.record()
    a.zero_()
    assert there.isnan().all()
    done.synchronize()
    assert there.tolist() == [1, 1, 1]


def test_pinned_memory_must_not_change_while_it_is_copied(gpu):
    here = torch.ones(3).pin_memory()
    there = here.to(gpu, non_blocking=True)
    torch.cuda.synchronize()
    here.zero_()
    there.copy_(here, non_blocking=True)
    here.fill_(5)
    with pytest.raises(RuntimeError, match="while it was being copied"):
        torch.cuda.synchronize()


def test_the_generator_is_one_of_the_gpu(gpu):
    dice = torch.Generator(gpu).manual_seed(3)
    state, first = dice.get_state(), torch.rand(4, device=gpu, generator=dice)
    assert state.shape == (16,) and state.device.type == "cpu"
    assert not torch.equal(first, torch.rand(4, device=gpu, generator=dice))
    dice.set_state(state)
    assert torch.equal(first, torch.rand(4, device=gpu, generator=dice))


def test_a_graph_does_again_what_was_captured(gpu):
    a, step = torch.zeros(3, device=gpu), torch.ones((), device=gpu)
    graph, taken = torch.cuda.CUDAGraph(), 5.0
    with torch.cuda.graph(graph):
        b = (a + step) * taken
        a.copy_(b)
    taken = 7.0  # a number of the host is captured as it was
    assert a.tolist() == [5, 5, 5]
    step.fill_(2)
    graph.replay()
    assert a.tolist() == b.tolist() == [35, 35, 35]


def test_a_graph_that_waits_is_refused(gpu):
    with pytest.raises(RuntimeError, match="capturing"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        torch.ones(2, device=gpu).sum().item()


def test_memory_that_is_copied_as_it_is_is_no_kernel(gpu, counting):
    a = torch.ones(3, 4, device=gpu)
    with counting() as found:
        a.clone(), a.half(), a.T.contiguous()
    assert found.of("memcpy") == {"copy_": 1} and found.of("kernel") == {"copy_": 2}


def test_kernels_whose_sums_have_no_order_are_known(gpu, counting):
    with counting() as found:
        torch.zeros(3, device=gpu).index_add_(
            0, torch.zeros(2, dtype=torch.long, device=gpu), torch.ones(2, device=gpu)
        )
    assert found.of("unstable") == {"index_add": 1}


def test_a_card_says_what_it_is(t4):
    assert (
        torch.cuda.get_device_capability() == (7, 5)
        and torch.cuda.get_device_properties(0).name == "Tesla T4"
    )
    assert not torch.cuda.is_bf16_supported(including_emulation=False)
