# ruff: noqa: F811
import numpy as np
import torch

from tests.exercises import wrong, wrong_value


@wrong(says="bytes, not bits")
def bits_per_pixel(size, video):
    "forgets the 8"
    return size / video.pixels


@wrong(says="divide by 8")
def bits_per_pixel(size, video):
    "turns bytes into bits the wrong way"
    return size / 8 / (video.time * video.height * video.width)


@wrong(says="three times")
def bits_per_pixel(size, video):
    "counts channels as pixels"
    return size * 8 / video.frames.size


@wrong(says="forget the frames")
def bits_per_pixel(size, video):
    "divides by one frame"
    return 8 * size / (video.height * video.width)


@wrong(says="inverted")
def bits_per_pixel(size, video):
    "pixels per bit"
    return video.pixels / (8 * size)


@wrong(says="whole bits")
def bits_per_pixel(size, video):
    "integer division"
    return 8 * size // video.pixels


@wrong(says="AttributeError")
def bits_per_pixel(size, video):
    "asks for what is not there"
    return 8 * size / video.length


@wrong(says="bytes, not bits, and every")
def bits_per_pixel(size, video):
    "bytes per number"
    return size / np.prod(video.frames.shape)


@wrong(says="forget the channels")
def compression_factor(size, video):
    "one byte a pixel"
    return video.time * video.height * video.width / size


@wrong(says="forget the frames")
def compression_factor(size, video):
    "one frame"
    return video.height * video.width * 3 / size


@wrong(says="inverted")
def compression_factor(size, video):
    "file over clip"
    return size / (3 * video.pixels)


@wrong(says="clip in bits")
def compression_factor(size, video):
    "24 bits a pixel over bytes"
    return 24 * video.pixels / size


@wrong(says="file in bits")
def compression_factor(size, video):
    "bytes over bits"
    return 3 * video.pixels / (8 * size)


@wrong(says="saved")
def compression_factor(size, video):
    "part that is saved"
    return 1 - size / video.frames.nbytes


@wrong(says="full frame")
def switch_off(layer_rgb, alpha, off):
    "blends all"
    return (alpha[..., None] * layer_rgb).sum(0)


@wrong(says="share black")
def switch_off(layer_rgb, alpha, off):
    "sets alpha to zero"
    alpha[off] = 0
    return (alpha[..., None] * layer_rgb).sum(0)


@wrong(says="to the others")
def switch_off(layer_rgb, alpha, off):
    "normalizes again"
    kept = [i for i in range(len(alpha)) if i != off]
    weights = alpha[kept] / alpha[kept].sum(0)
    return (weights[..., None] * layer_rgb[kept]).sum(0)


@wrong(says="keep the layer")
def switch_off(layer_rgb, alpha, off):
    "only this one"
    share = alpha[off, ..., None]
    return share * layer_rgb[off] + 128 * (1 - share)


@wrong(says="add gray everywhere")
def switch_off(layer_rgb, alpha, off):
    "unweighted gray"
    alpha[off] = 0
    return (alpha[..., None] * layer_rgb).sum(0) + 128


@wrong(says="no threshold")
def switch_off(layer_rgb, alpha, off):
    "hard mask"
    picture = (alpha[..., None] * layer_rgb).sum(0)
    picture[alpha[off] > 0.5] = 128
    return picture


@wrong(says="one picture per layer")
def switch_off(layer_rgb, alpha, off):
    "forgets the sum"
    shown = layer_rgb.clone()
    shown[off] = 128
    return alpha[..., None] * shown


@wrong(says="RuntimeError")
def switch_off(layer_rgb, alpha, off):
    "forgets the axis of the channels"
    layer_rgb[off] = 128
    return (alpha * layer_rgb).sum(0)


@wrong(says="layer 1 only")
def switch_off(layer_rgb, alpha, off):
    "always the same layer"
    shown = layer_rgb.float()
    shown[1] = 128
    return (alpha[..., None] * shown).sum(0)


@wrong(says="0 to 255")
def switch_off(layer_rgb, alpha, off):
    "colors in 0 to 1"
    shown = layer_rgb / 255
    shown[off] = 128 / 255
    return torch.einsum("lhw,lhwc->hwc", alpha, shown)


A, B, C, D = "run the cells above", "another kernel", "copy the file again", "upgrade"
wrong_value("which_cure", "A and B swapped", {"A": B, "B": A, "C": C, "D": D}, says="another cell cure")
wrong_value("which_cure", "C and D swapped", {"A": A, "B": B, "C": D, "D": C}, says="bytes are missing")
wrong_value(
    "which_cure", "reinstall everything", {"A": A, "B": "reinstall", "C": C, "D": D}, says="not one of"
)
wrong_value("which_cure", "files and Python mixed", {"A": C, "B": D, "C": A, "D": B}, says="about a file")
wrong_value("which_cure", "not a dictionary", ["A", "B"], says="must look like")
