# ruff: noqa: F811
import torch

from tests.exercises import wrong


@wrong(says="not weighted")
def layer_loss(layer_rgb, alpha, color):
    "unweighted, summed over the layers"
    return sum(((rgb - color) ** 2).mean() for rgb in layer_rgb)


@wrong(says="averaged over the layers")
def layer_loss(layer_rgb, alpha, color):
    "unweighted, averaged over the layers"
    return ((layer_rgb - color) ** 2).mean()


@wrong(says="error of the blend")
def layer_loss(layer_rgb, alpha, color):
    "error of the blend"
    blend = sum(share[:, None] * rgb for share, rgb in zip(alpha, layer_rgb, strict=True))
    return torch.nn.functional.mse_loss(blend, color)


@wrong(says="you detach alpha")
def layer_loss(layer_rgb, alpha, color):
    "detached alpha"
    errors = ((layer_rgb - color) ** 2).mean(-1)
    return (alpha.detach() * errors).sum(0).mean()


@wrong(says="no gradient reaches the colors")
def layer_loss(layer_rgb, alpha, color):
    "detached colors"
    errors = ((layer_rgb.detach() - color) ** 2).mean(-1)
    return (alpha * errors).sum(0).mean()


@wrong(says="carries no gradient")
def layer_loss(layer_rgb, alpha, color):
    "a plain number"
    errors = ((layer_rgb - color) ** 2).mean(-1)
    return (alpha * errors).sum(0).mean().item()


@wrong(says="normalize per layer")
def layer_loss(layer_rgb, alpha, color):
    "normalized per layer"
    total = 0
    for rgb, share in zip(layer_rgb, alpha, strict=True):
        error = ((rgb - color) ** 2).mean(-1)
        total = total + (share * error).sum() / share.sum()
    return total


@wrong(says="and average")
def layer_loss(layer_rgb, alpha, color):
    "normalized per layer and averaged"
    errors = ((layer_rgb - color) ** 2).mean(-1)
    return ((alpha * errors).sum(1) / alpha.sum(1)).mean()


@wrong(says="Weight the error, not the color")
def layer_loss(layer_rgb, alpha, color):
    "weights the color"
    return ((alpha.unsqueeze(-1) * layer_rgb - color) ** 2).mean(-1).sum(0).mean()


@wrong(says="compare each layer with the blend")
def layer_loss(layer_rgb, alpha, color):
    "distance from the blend"
    blend = (alpha[..., None] * layer_rgb).sum(0)
    return (alpha * ((layer_rgb - blend) ** 2).mean(-1)).sum(0).mean()


@wrong(says="divide by 3")
def layer_loss(layer_rgb, alpha, color):
    "sums the channels"
    return (alpha[..., None] * (layer_rgb - color) ** 2).sum() / len(color)


@wrong(says="sum over the pixels")
def layer_loss(layer_rgb, alpha, color):
    "sums the pixels"
    return (alpha[..., None] * (layer_rgb - color) ** 2).sum() / 3


@wrong(says="number of layers")
def layer_loss(layer_rgb, alpha, color):
    "mean over the layers as well"
    return (alpha[..., None] * (layer_rgb - color) ** 2).mean()


@wrong(says="one number per pixel")
def layer_loss(layer_rgb, alpha, color):
    "forgets the mean"
    return (alpha * ((layer_rgb - color) ** 2).mean(-1)).sum(0)


@wrong(says="αᵢ is missing")
def handover(alpha, errors):
    "without the share"
    return errors - (alpha * errors).sum(0)


@wrong(says="judged by itself")
def handover(alpha, errors):
    "without the mean"
    return alpha * errors


@wrong(says="gradient of the shares")
def handover(alpha, errors):
    "gradient of the shares"
    return errors


@wrong(says="sign is wrong")
def handover(alpha, errors):
    "the direction of descent"
    return alpha * ((alpha * errors).sum(0) - errors)


@wrong(says="plain mean")
def handover(alpha, errors):
    "unweighted mean"
    return alpha * (errors - errors.mean(dim=0))


@wrong(says="over the pixels")
def handover(alpha, errors):
    "mean over the wrong dimension"
    return alpha * (errors - (alpha * errors).sum(dim=1, keepdim=True))


@wrong(says="leave the other shares alone")
def handover(alpha, errors):
    "a sigmoid's derivative"
    return alpha * (1 - alpha) * errors


@wrong(says="number of points")
def best_centers(points, alpha):
    "mean over all points"
    return torch.stack([(share[:, None] * points).mean(0) for share in alpha])


@wrong(says="forget to divide")
def best_centers(points, alpha):
    "the sum"
    return torch.stack([(share[:, None] * points).sum(0) for share in alpha])


@wrong(says="mean of all points")
def best_centers(points, alpha):
    "unweighted"
    return torch.stack([points.mean(0) for _ in alpha])


@wrong(says="textbook")
def best_centers(points, alpha):
    "hard k-means"
    owner = alpha.argmax(0)
    return torch.stack([points[owner == center].mean(0) for center in range(len(alpha))])


@wrong(says="one row per center")
def best_centers(points, alpha):
    "transposed"
    return points.T @ alpha.T / alpha.sum(1)


@wrong(says="This is the blend")
def owner_picture(layer_rgb, alpha):
    "the blend"
    return (alpha[..., None] * layer_rgb).sum(0)


@wrong(says="unweighted")
def owner_picture(layer_rgb, alpha):
    "owner's color times its share"
    owner = alpha == alpha.max(dim=0).values
    return ((owner * alpha)[..., None] * layer_rgb).sum(0)


@wrong(says="smallest share")
def owner_picture(layer_rgb, alpha):
    "argmin"
    return owner_of(layer_rgb, alpha.argmin(0))


def owner_of(layer_rgb, owner):
    picture = torch.zeros_like(layer_rgb[0])
    for layer, rgb in enumerate(layer_rgb):
        picture[owner == layer] = rgb[owner == layer]
    return picture


@wrong(says="largest color")
def owner_picture(layer_rgb, alpha):
    "largest color"
    return layer_rgb.max(dim=0).values


@wrong(says="picks a whole picture")
def owner_picture(layer_rgb, alpha):
    "indexes the layers by the owners"
    return layer_rgb[alpha.argmax(0)]


@wrong(says="You let one layer")
def owner_picture(layer_rgb, alpha):
    "one owner for all pixels"
    return layer_rgb[alpha.flatten(1).mean(1).argmax()]


@wrong(says="largest error")
def best_start(errors, last):
    "argmax"
    return errors[:, -last:].mean(1).argmax()


@wrong(says="very last step")
def best_start(errors, last):
    "the last step"
    return errors[:, -1].argmin()


@wrong(says="lucky batch")
def best_start(errors, last):
    "smallest error ever"
    return errors.min(dim=1).values.argmin()


@wrong(says="whole run")
def best_start(errors, last):
    "mean over the whole run"
    return errors.mean(1).argmin()


@wrong(says="first steps")
def best_start(errors, last):
    "the first steps"
    return errors[:, :last].mean(1).argmin()


@wrong(says="index of a start")
def best_start(errors, last):
    "the error, not the index"
    return errors[:, -last:].mean(1).min()


@wrong(says="always take the first")
def best_start(errors, last):
    "no choice at all"
    return 0
