"""One layer of the library's model as plain PyTorch modules, to be read and compared with one's own."""

import torch
from torch import Tensor, nn

from coordflow_mini import similarity
from coordflow_mini.model import CoordFlow, fourier_features


class Layer(nn.Module):
    """One layer of a `CoordFlow` as a single network; it shares no storage with the model."""

    space: Tensor
    time: Tensor
    flow_time: Tensor

    def __init__(self, model: CoordFlow, index: int):
        super().__init__()
        if not 0 <= index < model.config.layers:
            raise ValueError(f"layer must be 0 to {model.config.layers - 1}, got {index}")
        color = model.color
        self.register_buffer("space", color.space.clone(), persistent=False)
        self.register_buffer("time", color.time.clone(), persistent=False)
        first = torch.cat([color.weights[0][index], color.time_weight[index]])
        weights = [first, *(weight[index] for weight in list(color.weights)[1:])]
        self.color = nn.Sequential()
        for weight, bias in zip(weights, color.biases, strict=True):
            self.color.extend([_linear(weight, bias[index]), Sine()])
        del self.color[-1]  # the output is linear
        self.flow = None
        if model.flow is not None:
            self.register_buffer("flow_time", model.flow.frequencies.clone(), persistent=False)
            self.flow = nn.Sequential(
                _linear(model.flow.weight_in[index], model.flow.bias_in[index]),
                nn.Tanh(),
                _linear(model.flow.weight_out[index], model.flow.bias_out[index]),
            )

    def transforms(self, times: Tensor) -> Tensor:
        """The layer's motion, frame -> canonical, [times, 4]."""
        if self.flow is None:
            return torch.zeros(len(times), 4, device=times.device)
        return self.flow(_time_features(times, self.flow_time))

    def forward(self, points: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """RGB, [pixels, 3], and alpha logits, [pixels], of points [pixels, 2] at times [pixels]."""
        points = similarity.apply(self.transforms(times), points)
        features = [fourier_features(points, self.space), _time_features(times, self.time)]
        output = self.color(torch.cat(features, dim=-1))
        return output[:, :3] + 0.5, output[:, 3]


class Sine(nn.Module):
    """The activation sin(x)."""

    def forward(self, values: Tensor) -> Tensor:
        """Sines of all values, same shape."""
        return torch.sin(values)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer with weight [in, out] and bias [1, out]."""
    linear = nn.Linear(weight.shape[0], weight.shape[1], device=weight.device)
    with torch.no_grad():
        linear.weight.copy_(weight.T)
        linear.bias.copy_(bias[0])
    return linear


def _time_features(times: Tensor, frequencies: Tensor) -> Tensor:
    """t and its Fourier features, [times, 1 + 2 * count]."""
    times = times[:, None]
    return torch.cat([times, fourier_features(times, frequencies)], dim=-1)
