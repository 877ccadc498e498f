# ruff: noqa: F811
import torch

from coordflow_mini import similarity
from coordflow_mini.coords import frame_times, pixel_grid
from tests.exercises import wrong


@wrong(says="includes the hole")
def masked_error(rgb, color, hole):
    "forgets the hole"
    return ((rgb - color) ** 2).mean()


@wrong(says="inverted")
def masked_error(rgb, color, hole):
    "counts the hole only"
    return ((rgb - color) ** 2)[hole].mean()


@wrong(says="number of counted pixels")
def masked_error(rgb, color, hole):
    "multiplies by 0 and takes the mean of all"
    weight = 1 - hole.float()
    return (weight[:, None] * (rgb - color) ** 2).mean()


@wrong(says="black hole")
def masked_error(rgb, color, hole):
    "paints the hole black"
    color[hole] = 0
    return ((rgb - color) ** 2).mean()


@wrong(says="three channels")
def masked_error(rgb, color, hole):
    "divides by the pixels only"
    return ((rgb - color) ** 2)[~hole].sum() / (~hole).sum()


@wrong(says="sum")
def masked_error(rgb, color, hole):
    "no mean"
    return ((rgb - color) ** 2)[~hole].sum()


@wrong(says="not its square")
def masked_error(rgb, color, hole):
    "absolute error"
    return (rgb[~hole] - color[~hole]).abs().mean()


@wrong(says="shape [7, 3]")
def masked_error(rgb, color, hole):
    "one error for each number"
    return ((rgb - color) ** 2)[~hole]


@wrong(says="RuntimeError")
def masked_error(rgb, color, hole):
    "a mask without the axis of the colors"
    return (hole * (rgb - color) ** 2).mean()


@wrong(says="flow itself")
def still_camera(motion):
    "the flow instead of its inverse"
    return motion


@wrong(says="canonical picture twice")
def still_camera(motion):
    "the flow instead of its inverse, after the middle"
    return similarity.compose(motion, motion[len(motion) // 2])


@wrong(says="half of the solution")
def still_camera(motion):
    "canonical to frame"
    return similarity.inverse(motion)


@wrong(says="order is wrong")
def still_camera(motion):
    "wrong order"
    middle = motion[len(motion) // 2].expand_as(motion)
    return similarity.compose(middle, similarity.inverse(motion))


@wrong(says="reversed")
def still_camera(motion):
    "frame to stable"
    middle = motion[len(motion) // 2]
    return similarity.compose(similarity.inverse(middle).expand_as(motion), motion)


@wrong(says="first frame")
def still_camera(motion):
    "stands as in the first frame"
    return similarity.compose(similarity.inverse(motion), motion[0])


@wrong(says="subtract")
def still_camera(motion):
    "subtracts the numbers"
    return motion[len(motion) // 2] - motion


@wrong(says="right and down")
def finer_points(height, width, factor):
    "divides the indices"
    rows, columns = torch.meshgrid(torch.arange(factor * height), torch.arange(factor * width), indexing="ij")
    unit = max(height, width) / 2
    x, y = (columns / factor + 0.5 - width / 2) / unit, (rows / factor + 0.5 - height / 2) / unit
    return torch.stack([x, y], dim=-1).view(-1, 2)


@wrong(says="corners")
def finer_points(height, width, factor):
    "corners of the fine pixels"
    rows, columns = torch.meshgrid(torch.arange(factor * height), torch.arange(factor * width), indexing="ij")
    unit = factor * max(height, width) / 2
    return torch.stack(
        [(columns - factor * width / 2) / unit, (rows - factor * height / 2) / unit], dim=-1
    ).view(-1, 2)


@wrong(says="same *area*")
def finer_points(height, width, factor):
    "keeps the outer centers"
    coarse = pixel_grid(height, width).view(height, width, 2)
    x = torch.linspace(*coarse[0, [0, -1], 0], factor * width)
    y = torch.linspace(*coarse[[0, -1], 0, 1], factor * height)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).view(-1, 2)


@wrong(says="repeated")
def finer_points(height, width, factor):
    "repeats every point"
    coarse = pixel_grid(height, width).view(height, width, 2)
    return coarse.repeat_interleave(factor, 0).repeat_interleave(factor, 1).view(-1, 2)


@wrong(says="picture grows")
def finer_points(height, width, factor):
    "multiplies the points"
    return factor * pixel_grid(factor * height, factor * width)


@wrong(says="shape [15, 2]")
def finer_points(height, width, factor):
    "forgets the factor"
    return pixel_grid(height, width)


@wrong(says="its own unit")
def finer_points(height, width, factor):
    "y from -1 to 1"
    points = pixel_grid(factor * height, factor * width)
    return torch.stack([points[:, 0], points[:, 1] * width / height], dim=-1)


@wrong(says="count in frames")
def times_between(frames):
    "indices, not times"
    return torch.arange(frames - 1) + 0.5


@wrong(says="stretch")
def times_between(frames):
    "fewer frames from -1 to 1"
    return frame_times(frames - 1)


@wrong(says="without the last")
def times_between(frames):
    "the frames themselves"
    return frame_times(frames)[:-1]


@wrong(says="from 0 to 1")
def times_between(frames):
    "t from 0"
    return (torch.arange(frames - 1) + 0.5) / (frames - 1)


@wrong(says="one frame after the last")
def times_between(frames):
    "divides by the number of frames"
    return 2 * (torch.arange(frames - 1) + 0.5) / frames - 1


@wrong(says="11 times")
def times_between(frames):
    "the frames as well"
    return torch.linspace(-1, 1, 2 * frames - 1)


@wrong(says="includes the hole")
def temporal_median(frames, holes):
    "all frames"
    return frames.median(dim=0).values


@wrong(says="inverted")
def temporal_median(frames, holes):
    "the median of the holes"
    frames[~holes] = torch.nan
    return frames.nanmedian(dim=0).values


@wrong(says="the mean, not")
def temporal_median(frames, holes):
    "the mean"
    frames[holes] = torch.nan
    return frames.nanmean(dim=0).nan_to_num(0.5)


@wrong(says="take the median of all")
def temporal_median(frames, holes):
    "black holes"
    frames[holes] = 0
    return frames.median(dim=0).values


@wrong(says="must be gray")
def temporal_median(frames, holes):
    "nothing where nothing was seen"
    frames[holes] = torch.nan
    return frames.nanmedian(dim=0).values


@wrong(says="one picture per frame")
def temporal_median(frames, holes):
    "over the wrong axis"
    return frames.median(dim=-1, keepdim=True).values.expand_as(frames)
