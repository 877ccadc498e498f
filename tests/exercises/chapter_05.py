# ruff: noqa: F811
import torch

from tests.exercises import wrong


@wrong(says="over the pixels")
def blend(output):
    "softmax over the pixels"
    alpha = torch.softmax(output[..., 3], dim=-1)
    return (alpha[..., None] * output[..., :3]).sum(0)


@wrong(says="only the logits become shares")
def blend(output):
    "colors through the softmax, too"
    shares = torch.softmax(output, dim=0)
    return (shares[..., 3:] * shares[..., :3]).sum(0)


@wrong(says="over red, green and blue")
def blend(output):
    "softmax over the channels"
    alpha = torch.softmax(output[..., 3:], dim=0)
    return (alpha * torch.softmax(output[..., :3], dim=2)).sum(0)


@wrong(says="after the blending")
def blend(output):
    "weights the sum of the colors"
    alpha = torch.softmax(output[..., 3:], dim=0)
    return (output[..., :3].sum(0) * alpha).sum(0)


@wrong(says="plain average")
def blend(output):
    "blends, then forgets alpha"
    return output[..., :3].mean(0)


@wrong(says="by the logits themselves")
def blend(output):
    "no softmax"
    return (output[..., 3:] * output[..., :3]).sum(0)


@wrong(says="do not sum to 1")
def blend(output):
    "a sigmoid each"
    return (output[..., 3:].sigmoid() * output[..., :3]).sum(0)


@wrong(says="Divide by their sum")
def blend(output):
    "exp without the division"
    return (output[..., 3:].exp() * output[..., :3]).sum(0)


@wrong(says="overflows")
def blend(output):
    "exp of large numbers"
    weight = torch.exp(output[..., 3:])
    return (weight / weight.sum(0) * output[..., :3]).sum(0)


@wrong(says="logit was blended")
def blend(output):
    "blends all four numbers"
    return (torch.softmax(output[..., 3:], 0) * output).sum(0)


@wrong(says="still has the layers")
def blend(output):
    "forgets the sum"
    return torch.softmax(output[..., 3:], 0) * output[..., :3]


@wrong(says="hard mask")
def blend(output):
    "the winner takes the pixel"
    best = output[..., 3].argmax(0)
    return output[best, torch.arange(len(best)), :3]


def mixed(colors, alpha):
    return torch.einsum("lp,lpc->pc", alpha, colors)


@wrong(says="αᵢ is missing")
def logit_gradient(colors, alpha, slope):
    "forgets alpha"
    return (slope * (colors - mixed(colors, alpha))).sum(2)


@wrong(says="the other layers lose")
def logit_gradient(colors, alpha, slope):
    "forgets the blend"
    return (alpha[..., None] * slope * colors).sum(2)


@wrong(says="sign is wrong")
def logit_gradient(colors, alpha, slope):
    "towards the blend"
    return alpha * ((mixed(colors, alpha) - colors) * slope).sum(-1)


@wrong(says="leave the other shares alone")
def logit_gradient(colors, alpha, slope):
    "the derivative of a sigmoid"
    return alpha * (1 - alpha) * (colors * slope).sum(-1)


@wrong(says="softmax stands between")
def logit_gradient(colors, alpha, slope):
    "gradient of the shares"
    return (colors * slope).sum(-1)


@wrong(says="sum over them")
def logit_gradient(colors, alpha, slope):
    "keeps the channels"
    return alpha[..., None] * slope * (colors - mixed(colors, alpha))


@wrong(says="average over the channels")
def logit_gradient(colors, alpha, slope):
    "mean over the channels"
    return alpha * (slope * (colors - mixed(colors, alpha))).mean(-1)


def overlap(seen, mask):
    return ((seen & mask).sum() / (seen | mask).sum()).item()


@wrong(says="always take layer 0")
def object_iou(alpha, mask):
    "the first layer is the object"
    return overlap(alpha[0] > 0.5, mask)


@wrong(says="always take layer 1")
def object_iou(alpha, mask):
    "the second layer is the object"
    return overlap(alpha[1] > 0.5, mask)


@wrong(says="average over the layers")
def object_iou(alpha, mask):
    "mean of all layers"
    return sum(overlap(a > 0.5, mask) for a in alpha) / len(alpha)


@wrong(says="background included")
def object_iou(alpha, mask):
    "accuracy"
    return max(((a > 0.5) == mask).float().mean() for a in alpha)


@wrong(says="object's pixels only")
def object_iou(alpha, mask):
    "recall"
    return max(((a > 0.5) & mask).sum() / mask.sum() for a in alpha)


@wrong(says="Dice")
def object_iou(alpha, mask):
    "Dice score"
    return max(2 * ((a > 0.5) & mask).sum() / ((a > 0.5).sum() + mask.sum()) for a in alpha)


@wrong(says="where a layer is visible")
def object_iou(alpha, mask):
    "alphas without a threshold"
    m = mask.float()
    return max((a * m).sum() / (a + m - a * m).sum() for a in alpha)


@wrong(says="per frame")
def object_iou(alpha, mask):
    "mean over frames"
    return max(
        sum(overlap(a > 0.5, m) for a, m in zip(layer, mask, strict=True)) / len(mask) for layer in alpha
    )


@wrong(says="whole frame")
def alone_db(color, alpha, frames):
    "everywhere"
    error = (color.float() - frames.float()).square().mean()
    return 10 * torch.log10(255**2 / error)


@wrong(says="divide by all pixels")
def alone_db(color, alpha, frames):
    "zeros elsewhere, then the mean"
    error = (color.float() - frames.float()) * (alpha > 0.5)[..., None]
    return 10 * torch.log10(255**2 / error.square().mean())


@wrong(says="8-bit numbers")
def alone_db(color, alpha, frames):
    "uint8 wraps around"
    own = alpha > 0.5
    return 10 * torch.log10(255**2 / (color[own] - frames[own]).float().square().mean())


@wrong(says="does not show")
def alone_db(color, alpha, frames):
    "the other layer's region"
    own = alpha < 0.5
    return 10 * torch.log10(255**2 / (color[own].float() - frames[own].float()).square().mean())


@wrong(says="before you compare")
def alone_db(color, alpha, frames):
    "its part of the blend"
    own = alpha > 0.5
    part = alpha[..., None] * color.float()
    return 10 * torch.log10(255**2 / (part[own] - frames[own].float()).square().mean())


@wrong(says="peak is 1")
def alone_db(color, alpha, frames):
    "peak of floats"
    own = alpha > 0.5
    return -10 * torch.log10((color[own].float() - frames[own].float()).square().mean())


@wrong(says="decibels")
def alone_db(color, alpha, frames):
    "stops at the mean squared error"
    own = alpha > 0.5
    return (color[own].float() - frames[own].float()).square().mean()
