# ruff: noqa: F811
import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from coordflow_mini.measure import metrics
from tests.exercises import wrong, wrong_value


@wrong(says="8-bit numbers wrap around")
def psnr(first, second):
    "subtracts and squares uint8"
    return 10 * np.log10(255**2 / ((first - second) ** 2).mean())


@wrong(says="not the differences")
def psnr(first, second):
    "subtracts uint8, squares floats"
    apart = (first - second).astype(np.float32)
    return 10 * math.log10(255**2 / (apart**2).mean())


@wrong(says="peak is 1")
def psnr(first, second):
    "peak 1 with values up to 255"
    return 10 * math.log10(1 / np.mean((first.astype(float) - second.astype(float)) ** 2))


@wrong(says="one or the other")
def psnr(first, second):
    "peak 255 with values up to 1"
    return 10 * math.log10(255**2 / np.mean((first / 255 - second / 255) ** 2))


@wrong(says="largest value in the picture")
def psnr(first, second):
    "takes the picture's own peak"
    error = np.mean((first.astype(float) - second) ** 2)
    return 20 * math.log10(first.max() / math.sqrt(error))


@wrong(says="natural logarithm")
def psnr(first, second):
    "natural logarithm"
    return 10 * math.log(255**2 / np.mean((first.astype(float) - second) ** 2))


@wrong(says="bels, not decibels")
def psnr(first, second):
    "forgets the 10"
    return np.log10(255**2 / np.mean((first.astype(float) - second) ** 2))


@wrong(says="forget to square the peak")
def psnr(first, second):
    "255 above the mean square"
    return 10 * np.log10(255 / np.mean((first.astype(float) - second) ** 2))


@wrong(says="inverted")
def psnr(first, second):
    "mean above the peak"
    return 10 * np.log10(np.mean((first.astype(float) - second) ** 2) / 255**2)


@wrong(says="absolute differences")
def psnr(first, second):
    "mean absolute error"
    return 10 * np.log10(255**2 / np.mean(np.abs(first.astype(int) - second.astype(int))))


@wrong(says="per color channel")
def psnr(first, second):
    "mean of three dBs"
    error = ((first.astype(float) - second) ** 2).mean(axis=(0, 1))
    return (10 * np.log10(255**2 / error)).mean()


@wrong(says="per row")
def psnr(first, second):
    "gives the picture to psnr_db as if it were a clip"
    return metrics.psnr_db(first[:, :, None], second[:, :, None])


@wrong(says="162 numbers")
def psnr(first, second):
    "forgets the mean"
    return 10 * np.log10(255**2 / (1 + (first.astype(float) - second) ** 2))


@wrong(says="forget the biases")
def count_weights(sizes):
    "weights only"
    return sum(a * b for a, b in pairwise(sizes))


@wrong(says="one per neuron")
def count_weights(sizes):
    "one bias a layer"
    return sum(a * b + 1 for a, b in pairwise(sizes))


@wrong(says="biases of the inputs")
def count_weights(sizes):
    "biases for all sizes"
    return sum(sizes) + sum(sizes[i] * sizes[i + 1] for i in range(len(sizes) - 1))


@wrong(says="one per output")
def count_weights(sizes):
    "adds the bias to the wrong side"
    return sum(sizes[i] * (sizes[i + 1] + 1) for i in range(len(sizes) - 1))


@wrong(says="You count neurons")
def count_weights(sizes):
    "neurons"
    return sum(sizes)


@wrong(says="leave out the last layer")
def count_weights(sizes):
    "loop ends too early"
    return sum((sizes[i] + 1) * sizes[i + 1] for i in range(len(sizes) - 2))


@wrong(says="multiply all sizes")
def count_weights(sizes):
    "product"
    return math.prod(sizes)


@wrong(says="any number of layers")
def count_weights(sizes):
    "three layers only"
    a, b, c, d = sizes[0], sizes[1], sizes[2], sizes[3]
    return (a + 1) * b + (b + 1) * c + (c + 1) * d


@wrong(says="forget π")
def features(points, waves):
    "takes half-waves for radians"
    phase = points @ waves
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


@wrong(says="You use 2π")
def features(points, waves):
    "takes half-waves for full waves"
    phase = 2 * torch.pi * points @ waves
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


@wrong(says="only sines or only cosines")
def features(points, waves):
    "sine only"
    return torch.sin(torch.pi * points @ waves)


@wrong(says="cosines come first")
def features(points, waves):
    "cosines first"
    phase = torch.pi * points @ waves
    return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)


@wrong(says="next to each other")
def features(points, waves):
    "sine, cosine, sine, cosine"
    phase = torch.pi * points @ waves
    columns = []
    for wave in range(phase.shape[1]):
        columns += [torch.sin(phase[:, wave]), torch.cos(phase[:, wave])]
    return torch.stack(columns, dim=1)


@wrong(says="sum over the waves")
def features(points, waves):
    "frequencies summed"
    phase = torch.pi * points @ waves
    return torch.stack([phase.sin().sum(dim=-1), phase.cos().sum(dim=-1)], dim=-1)


@wrong(says="separately")
def features(points, waves):
    "encodes x and y apart from each other"
    phase = torch.pi * (points[:, :, None] * waves).flatten(1)
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


@wrong(says="add the sines of x and y")
def features(points, waves):
    "adds after the sine"
    phase = torch.pi * points[:, :, None] * waves
    return torch.cat([phase.sin().sum(dim=1), phase.cos().sum(dim=1)], dim=-1)


@wrong(says="additional points")
def features(points, waves):
    "concatenates along the places"
    phase = torch.pi * points @ waves
    return torch.cat([phase.sin(), phase.cos()])


@wrong(says="not torch.stack")
def features(points, waves):
    "stacks instead of concatenating"
    phase = torch.pi * points @ waves
    return torch.stack([phase.sin(), phase.cos()], dim=-1)


@wrong(says="x and y swapped")
def features(points, waves):
    "y times the wave's x"
    y, x = points[:, :1], points[:, 1:]
    phase = torch.pi * (x * waves[0] + y * waves[1])
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


@wrong(says="leaves out the bias")
def sine_layer(inputs, weight, bias, factor=30.0):
    "factor on the weights only"
    return torch.sin(inputs @ (factor * weight) + bias)


@wrong(says="leave out the factor")
def sine_layer(inputs, weight, bias, factor=30.0):
    "no factor"
    return torch.sin(inputs @ weight + bias)


@wrong(says="outside the sine")
def sine_layer(inputs, weight, bias, factor=30.0):
    "factor outside"
    return factor * torch.sin(inputs @ weight + bias)


@wrong(says="forget the bias")
def sine_layer(inputs, weight, bias, factor=30.0):
    "no bias"
    return torch.sin(factor * inputs @ weight)


@wrong(says="First the weighted sum")
def sine_layer(inputs, weight, bias, factor=30.0):
    "sine before the sum"
    return torch.sin(factor * inputs) @ weight + bias


@wrong(says="always multiply by 30")
def sine_layer(inputs, weight, bias, factor=30.0):
    "ignores the argument"
    return torch.sin(30 * (inputs @ weight + bias))


@wrong(says="keep factor=30.0")
def sine_layer(inputs, weight, bias, factor=1.0):
    "another default"
    return torch.sin(factor * (inputs @ weight + bias))


@wrong(says="stopped with RuntimeError")
def sine_layer(inputs, weight, bias, factor=30.0):
    "transposes the weight"
    return torch.sin(factor * nn.functional.linear(inputs, weight, bias))


def encodings(*found):
    return dict(zip("ABCD", found, strict=True))


NONE, ONE_WAY, GOOD, FAST = "no encoding", "waves in x only", "waves up to 32", "waves up to 128"
wrong_value(
    "which_encoding",
    "stripes for a blur",
    encodings(GOOD, NONE, ONE_WAY, FAST),
    says="does not change at all",
)
wrong_value("which_encoding", "noise for a blur", encodings(GOOD, ONE_WAY, FAST, NONE), says="noisy picture")
wrong_value("which_encoding", "noise for good", encodings(FAST, ONE_WAY, NONE, GOOD), says="them swapped")
wrong_value("which_encoding", "blur for good", encodings(NONE, ONE_WAY, GOOD, FAST), says="blurred picture")
wrong_value("which_encoding", "one twice", encodings(GOOD, ONE_WAY, FAST, FAST), says="each of them once")
wrong_value("which_encoding", "a fifth", encodings("blur", FAST, NONE, GOOD), says="not one of")
wrong_value("which_encoding", "one left", encodings(GOOD, ONE_WAY, NONE, ...), says="dots")
wrong_value("which_encoding", "a list", ["A", "B"], says="must look like")
