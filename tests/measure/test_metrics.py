"""Laws of the measures, with plain float64 formulas and torch as the judges."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from coordflow_mini.measure import metrics

NOISE = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)


def blurred(clip: np.ndarray, weight: float) -> np.ndarray:
    """The clip mixed with its mean color: the more, the worse."""
    return np.round(clip * (1 - weight) + clip.mean() * weight).astype(np.uint8)


def test_psnr_is_the_mean_over_frames_of_the_textbook_formula():
    decoded = blurred(NOISE, 0.3)
    decoded[1] = blurred(NOISE[1], 0.05)
    errors = ((NOISE.astype(np.float64) - decoded) ** 2).mean((1, 2, 3))
    expected = (10 * np.log10(255**2 / errors)).mean()
    assert metrics.psnr_db(NOISE, decoded) == pytest.approx(expected, abs=1e-9)
    assert metrics.psnr_db(NOISE, decoded) != pytest.approx(10 * np.log10(255**2 / errors.mean()), abs=0.5)


def test_psnr_does_not_wrap_around():
    dark, bright = np.full((1, 4, 4, 3), 3, np.uint8), np.full((1, 4, 4, 3), 253, np.uint8)
    assert metrics.psnr_db(dark, bright) == pytest.approx(20 * np.log10(255 / 250))
    assert metrics.psnr_db(dark, bright) == metrics.psnr_db(bright, dark)


def test_identical_frames_count_as_the_cap_and_nothing_exceeds_it():
    large = np.zeros((2, 1080, 1920, 3), np.uint8)
    other = large.copy()
    other[0, 0, 0, 0] = 1  # one sample in six million: 116 dB by the formula
    assert metrics.frame_psnr_db(large, other).tolist() == [metrics.PSNR_CAP, metrics.PSNR_CAP]


def test_tensors_and_arrays_give_the_same():
    decoded = blurred(NOISE, 0.2)
    assert metrics.psnr_db(torch.from_numpy(NOISE), torch.from_numpy(decoded)) == metrics.psnr_db(
        NOISE, decoded
    )
    assert metrics.psnr_db(torch.from_numpy(NOISE), decoded) == metrics.psnr_db(NOISE, decoded)
    assert metrics.ms_ssim(torch.from_numpy(NOISE), torch.from_numpy(decoded)) == metrics.ms_ssim(
        NOISE, decoded
    )


@pytest.mark.parametrize("measure", [metrics.psnr_db, metrics.ms_ssim])
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (NOISE.astype(np.float32), "float32"),
        (NOISE[0], r"\(48, 64, 3\)"),
        (NOISE[:2], "one shape"),
        ([1, 2], "list"),
    ],
)
def test_anything_but_two_8_bit_clips_of_one_shape_is_refused(measure, bad, said):
    with pytest.raises(ValueError, match=said):
        measure(NOISE, bad)


def test_ms_ssim_orders_and_tops_out_at_one():
    good, bad = blurred(NOISE, 0.1), blurred(NOISE, 0.6)
    assert metrics.ms_ssim(NOISE, NOISE) == pytest.approx(1, abs=1e-6)
    assert 1 > metrics.ms_ssim(NOISE, good) > metrics.ms_ssim(NOISE, bad) > 0


@pytest.mark.parametrize(
    ("height", "width", "scales"), [(11, 30, 1), (40, 23, 2), (48, 99, 3), (176, 192, 5)]
)
def test_ms_ssim_is_that_of_torchmetrics(height, width, scales):
    """To the bit; its gradient too, but for rounding."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as usual

    clip = np.random.default_rng(1).integers(0, 256, (2, height, width, 3), np.uint8)
    decoded = blurred(clip, 0.4)
    a, b = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() for frames in (clip, decoded))
    total = sum(metrics._BETAS) / sum(metrics._BETAS[:scales])
    how = {"betas": tuple(total * beta for beta in metrics._BETAS[:scales]), "normalize": "relu"}
    expected = [float(usual(b[[i]], a[[i]], data_range=255.0, **how)) for i in range(2)]
    assert metrics.ssim_scales(height, width) == scales
    assert metrics.ms_ssim(clip, decoded) == np.mean(expected)
    b = (b / 255).requires_grad_()
    ours, theirs = metrics.ms_ssim_loss(b, a / 255), 1 - usual(b, a / 255, data_range=1.0, **how)
    gradients = [torch.autograd.grad(loss, b)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("side", [1, 10, 11, 21, 22, 43, 44, 98, 99, 175, 176])
def test_ms_ssim_uses_as_many_scales_as_fit(side):
    clip = np.random.default_rng(2).integers(0, 256, (1, side, side + 3, 3), np.uint8)
    if side < 11:
        assert metrics.ssim_scales(side, side + 3) == 0
        assert np.isnan(metrics.ms_ssim(clip, clip))
    else:
        assert metrics.ms_ssim(clip, clip) == pytest.approx(1, abs=1e-5)


def test_the_loss_is_one_minus_ms_ssim_and_has_a_gradient():
    a, b = (torch.from_numpy(clip).permute(0, 3, 1, 2) / 255 for clip in (NOISE, blurred(NOISE, 0.4)))
    b.requires_grad_()
    loss = metrics.ms_ssim_loss(b, a)
    loss.backward()
    assert 1 - loss.item() == pytest.approx(metrics.ms_ssim(NOISE, blurred(NOISE, 0.4)), abs=1e-4)
    assert b.grad.isfinite().all() and b.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="at least 11x11 pixels"):
        metrics.ms_ssim_loss(b[..., :10], a[..., :10])


def test_bits_per_pixel_counts_a_pixel_once():
    class Clip:
        pixels = 96 * 108 * 192

    assert metrics.bits_per_pixel(18_662, Clip()) == metrics.bits_per_pixel(18_662, Clip.pixels)
    assert metrics.bits_per_pixel(Clip.pixels, Clip()) == 8
    with pytest.raises(ValueError, match="0 pixels"):
        metrics.bits_per_pixel(1, 0)


def test_iou_laws():
    a, b = NOISE[..., 0] > 100, NOISE[..., 1] > 100
    assert metrics.iou(a, b) == metrics.iou(b, a) == (a & b).sum() / (a | b).sum()
    assert metrics.iou(a, a) == 1 and metrics.iou(a, ~a) == 0
    assert metrics.iou(a & False, a & False) == 1
    assert metrics.iou(torch.from_numpy(a), b) == metrics.iou(a, b)
    with pytest.raises(ValueError, match="boolean"):
        metrics.iou(a.astype(np.float32), b)


def test_layers_are_matched_whatever_their_order():
    truths = np.stack([NOISE[..., channel] > 128 for channel in range(3)])
    match = metrics.match_layers(truths[[2, 0, 1]], truths)
    assert match.order == (1, 2, 0) and match.iou == 1
    flipped = truths[0] ^ (NOISE[..., 2] > 250)
    match = metrics.match_layers(np.stack([~flipped, flipped]), truths[:1])
    assert match.order == (1,) and match.ious == (metrics.iou(flipped, truths[0]),)
    with pytest.raises(ValueError, match="at most as many truths"):
        metrics.match_layers(truths[:1], truths)


RATES, QUALITY = [0.05, 0.1, 0.2, 0.4, 0.8], [28.0, 30.5, 33.0, 35.0, 36.5]


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.3])
def test_bd_rate_of_a_scaled_curve_is_the_scale(factor):
    scaled = [factor * rate for rate in RATES]
    assert metrics.bd_rate(RATES, QUALITY, scaled, QUALITY) == pytest.approx(100 * (factor - 1), abs=1e-6)
    shuffled = metrics.bd_rate(RATES[::-1], QUALITY[::-1], scaled, QUALITY)
    assert shuffled == pytest.approx(100 * (factor - 1), abs=1e-6)


@pytest.mark.parametrize("gain", [-3.0, 0.0, 0.7])
def test_bd_psnr_of_a_raised_curve_is_the_rise(gain):
    raised = [psnr + gain for psnr in QUALITY]
    assert metrics.bd_psnr(RATES, QUALITY, RATES, raised) == pytest.approx(gain, abs=1e-9)
    assert metrics.bd_psnr(RATES, raised, RATES, QUALITY) == pytest.approx(-gain, abs=1e-9)


def test_bd_psnr_refuses_rates_that_share_nothing():
    with pytest.raises(ValueError, match="share no range of rates"):
        metrics.bd_psnr(RATES, QUALITY, [100 * rate for rate in RATES], QUALITY)


def test_bd_rate_uses_only_the_shared_range():
    longer = metrics.bd_rate(RATES, QUALITY, [*RATES, 1.6], [*QUALITY, 60.0])
    assert longer == pytest.approx(0, abs=3)  # PCHIP's last slope feels the new point, nothing else does


@pytest.mark.parametrize(
    ("rates", "quality", "said"),
    [
        (RATES, [q + 20 for q in QUALITY], "share no range"),
        ([0.1], [30], "two or more"),
        ([0.1, -0.2], [30, 31], "positive"),
        ([0.1, 0.2], [31, 30], "must rise"),
        ([0.1, 0.1], [30, 31], "must rise"),
    ],
)
def test_bd_rate_refuses_what_it_cannot_compare(rates, quality, said):
    with pytest.raises(ValueError, match=said):
        metrics.bd_rate(RATES, QUALITY, rates, quality)


def test_importing_metrics_is_cheap():
    heavy = "{'torch', 'torchmetrics', 'bjontegaard', 'scipy', 'av'}"
    code = f"import sys, coordflow_mini.measure.metrics; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
