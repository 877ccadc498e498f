"""Checks that a GPU computes what a CPU does, and that nothing waits for it."""

import importlib.util
import platform

import numpy as np
import torch

from coordflow_mini.coords import frame_times
from coordflow_mini.draws import random_bits
from coordflow_mini.measure.gpu.card import Card, Figures, LeftOutError, fitting, must, tuning
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.measure.results import data_file
from coordflow_mini.model import CoordFlow, training_dtype
from coordflow_mini.ops.compiling import rounded_factors
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.render import pictures, to_uint8
from coordflow_mini.train import descend
from coordflow_mini.video.device import YuvClip, colors_at
from coordflow_mini.video.raw import Frames, RawFormat, color_tables

with lazily():
    from coordflow_mini import bitstream, decoder

_CPU = torch.device("cpu")
_LARGE = 2**31 + 2**27  # bytes
_WHEELS = ("av", "bjontegaard", "constriction", "safetensors", "typer")


def versions(card: Card) -> Figures:
    """Versions, wheels that are missing, and a first kernel."""
    total = int(torch.arange(8, device=card.device).square().sum())
    must(total == 140, f"the squares of 0 to 7 sum to {total}, not 140")
    missing = [name for name in _WHEELS if importlib.util.find_spec(name) is None]
    figures = {
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "trains in": str(training_dtype(card.device)).removeprefix("torch."),
        "missing wheels": " ".join(missing) or "none",
    }
    if card.device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(card.device)
        memory = torch.cuda.mem_get_info(card.device)[1]
        figures |= {"CUDA": str(torch.version.cuda), "capability": f"{major}.{minor}"}
        figures |= {"memory": f"{memory / 1e9:.0f} GB"}
    return figures


def decoding(card: Card) -> Figures:
    """Files that ship with the package: within a level of the CPU's frames, with TF32 as well."""
    levels, losses = 0, []
    for name in ("bunny", "cutout", "squirrel"):
        header, model = decoder.read_model(data_file(f"{name}.cfv").read_bytes())
        reference = _some(header, model)
        model.to(card.device)
        exact, half = _some(header, model), _some(header, model, torch.float16)
        with rounded_factors():
            rounded = _some(header, model)
        apart = (np.abs(reference - found.astype(int)) for found in (exact, rounded))
        levels = max(levels, *(int(one.max()) for one in apart))
        losses.append(psnr_db(exact, half))
    must(levels <= 1, f"frames are {levels} levels apart from the CPU's")
    must(min(losses) >= 60, f"frames in float16 have {min(losses):.1f} dB, expected 60")
    return {"levels apart": levels, "float16 [dB]": min(losses)}


def _some(header: "bitstream.Header", model: CoordFlow, dtype: torch.dtype = torch.float32) -> Frames:
    """Up to four frames of a file."""
    times = frame_times(header.time)[:: -(-header.time // 4)]
    return np.stack(list(pictures(model, times, header.height, header.width, dtype=dtype)))


def numbers(card: Card) -> Figures:
    """Random numbers, colors of YUV, and colors that are none: to the bit.  Bytes beyond 2^31."""
    key = torch.tensor(123, device=card.device)
    _same("random numbers", random_bits(123, (1000,)), random_bits(key, (1000,), card.device))
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), -1.0, 0.5, 2.0])
    _same("colors that are none", to_uint8(odd), to_uint8(odd.to(card.device)))
    _same("colors of YUV", _yuv_colors(_CPU), _yuv_colors(card.device))
    large = card.real and torch.cuda.mem_get_info(card.device)[0] > 2 * _LARGE
    if large:
        clip = torch.zeros(-(-_LARGE // (3 << 20)), 1024, 1024, 3, dtype=torch.uint8, device=card.device)
        clip[-1, -1, -1] = 255
        frame, pixel = torch.tensor([[len(clip) - 1], [(1 << 20) - 1]], device=card.device)
        _same("pixels of a large clip", torch.ones(1, 3), colors_at(clip, frame, pixel))
    return {"beyond 2^31 bytes": "yes" if large else "no room"}


def _yuv_colors(device: torch.device) -> torch.Tensor:
    """Colors of all pixels of four frames of 8x8 with random bytes."""
    raw = RawFormat(8, 8)
    data = (random_bits(5, (4 * raw.frame_bytes,)) & 255).to(torch.uint8)
    tables = torch.from_numpy(color_tables(raw))
    clip = YuvClip(data.to(device), tables.to(device), (4, 8, 8, 3), (2, 2), 0, raw.frame_bytes)
    return colors_at(clip, torch.arange(4, device=device)[:, None], torch.arange(64, device=device))


def _same(what: str, expected: torch.Tensor, found: torch.Tensor) -> None:
    must(torch.equal(expected, found.cpu()), f"{what} differ from the CPU's")


def steps(card: Card) -> Figures:
    """Twenty steps on the same batches as on the CPU: the same losses, nearly, in each precision."""
    exact = _losses(_CPU, torch.float32)
    single = _furthest(exact, _losses(card.device, torch.float32))
    half = _furthest(exact, _losses(card.device, training_dtype(card.device)))
    must(single <= 1e-3, f"losses in float32 are up to {single:.2g} of themselves away from the CPU's")
    must(half <= 1e-2, f"losses in half precision are up to {half:.2g} of themselves away from the CPU's")
    return {"float32 away": single, "half precision away": half}


def _losses(device: torch.device, dtype: torch.dtype) -> list[float]:
    training = fitting(device)
    training.sampler.dtype, training.lowered = dtype, 1  # at the full rate, any rounding is soon seen
    return [float(squared) for squared in descend(training, 20)]


def _furthest(expected: list[float], found: list[float]) -> float:
    return max(abs(a - b) / a for a, b in zip(expected, found, strict=True))


def waits(card: Card) -> Figures:
    """Fifty steps of a fit and of fine-tuning, in which the host must never wait for the GPU."""
    if card.device.type != "cuda":
        raise LeftOutError("a CPU is always waited for")
    fit = fitting(card.device)
    tune = tuning(fit)
    for training in (fit, tune):
        torch.cuda.set_sync_debug_mode("error")
        try:
            for squared in descend(training, 50):
                training.observe(squared)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return {}
