"""Write what stands in this folder: tiny torch networks as ONNX, and what torch itself says of them.

Run with torch, onnx and onnxscript installed; made with torch 2.13.0, onnx 1.18.0, onnxscript 0.7.2:

    python tests/lrp/torch_exports/make.py

``<network>-<exporter>-<opset>.onnx`` is an export, stripped of doc strings and metadata: they hold paths of the
machine that made it. ``<network>.npz`` holds inputs (float32), targets, logits and the gradient of each clip's
target by autograd, both of the network in float64.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional

FOLDER = Path(__file__).parent
N_CLIPS = 4
TORCHSCRIPT, DYNAMO = "torchscript", "dynamo"


class Pooled(nn.Module):
    """An overlapping pool in ceil mode, and a shape that is worked out from the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.second = nn.Conv2d(4, 4, 3, bias=False)
        self.small_pool = nn.MaxPool2d((2, 1), ceil_mode=True)
        self.classes = nn.Linear(4 * 2 * 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.first(x)))
        x = self.small_pool(torch.relu(self.second(x)))
        return self.classes(x.view(x.size(0), -1))


class Adaptive(nn.Module):
    """Batch norm that the exporter folds into its convolution, and adaptive pools."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveMaxPool2d((3, 2))]
        blocks += [nn.Conv2d(4, 6, 2, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        self.blocks = nn.Sequential(*blocks)
        self.classes = nn.Linear(6, 3)
        for norm in (self.blocks[1], self.blocks[5]):
            nn.init.normal_(norm.running_mean, 0, 0.3)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias, 0, 0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(self.blocks(x).flatten(1))


class Waveform(nn.Module):
    """Convolutions along one axis, and a mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 4, 8, stride=3, padding=2)
        self.second = nn.Conv1d(4, 6, 3, dilation=2, padding="same")
        self.classes = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool1d(functional.relu(self.first(x)), 3, 2)
        return self.classes(functional.relu(self.second(x)).mean(dim=2))


class Grouped(nn.Module):
    """Strides, groups and dilation, then axes in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(4, 8, 3, stride=(2, 1), groups=4, padding=(1, 2), dilation=(1, 2))
        self.pointwise = nn.Conv2d(8, 6, 1, groups=2)
        self.hidden = nn.Linear(30, 5)
        self.classes = nn.Linear(5 * 6, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pointwise(self.depthwise(x).relu()).relu()
        x = x.permute(0, 2, 3, 1).reshape(x.size(0), 30, 6).transpose(1, 2)
        return self.classes(torch.flatten(self.hidden(x).relu(), 1))


class Averaged(nn.Module):
    """Average pools that count their padding, and that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 2)
        self.counting = nn.AvgPool2d(3, 2, padding=1, count_include_pad=True)
        self.sparing = nn.AvgPool2d((2, 3), (2, 1), padding=(1, 1), count_include_pad=False)
        self.classes = nn.Linear(3 * 3 * 5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.sparing(self.counting(self.conv(x).relu()))
        return self.classes(x.flatten(start_dim=1))


class LogSoftmax(nn.Module):
    """Dense layers, dropout in between, log-softmax at the end."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Linear(12, 8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 4), nn.LogSoftmax(dim=-1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Padded(nn.Module):
    """Padding of its own, unlike at every side, and a maximum over space."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, stride=2)
        self.second = nn.Conv2d(3, 4, 2)
        self.classes = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(functional.pad(x, (0, 1, 2, 3))).relu()
        x = self.second(functional.pad(x, (1, 0, 0, 1), value=0.5)).relu()
        return self.classes(functional.adaptive_max_pool2d(x, 1).squeeze(-1).squeeze(-1))


class ChannelsLast(nn.Module):
    """Channels last, input brought to mean 0, dense layers along the last axis; exported for one clip alone."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.2, -0.1]))
        self.register_buffer("deviation", torch.tensor([0.5, 2.0]))
        self.conv = nn.Conv2d(2, 4, (3, 4))
        self.hidden = nn.Linear(4, 5)
        self.classes = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = ((x - self.mean) / self.deviation).permute(0, 3, 1, 2)
        x = self.conv(x).relu().mean(dim=3).transpose(1, 2)
        return self.classes(self.hidden(x).relu().mean(dim=1))


@dataclass(frozen=True)
class Export:
    """A network, the shape of its input without the batch axis, and how it is written."""

    name: str
    module: type[nn.Module]
    shape: tuple[int, ...]
    ways: tuple[tuple[str, int], ...]
    is_batch_fixed: bool = False


EXPORTS = (
    Export("pooled", Pooled, (1, 10, 8), ((TORCHSCRIPT, 11), (TORCHSCRIPT, 17), (DYNAMO, 18))),
    Export("adaptive", Adaptive, (2, 8, 6), ((TORCHSCRIPT, 13), (DYNAMO, 18))),
    Export("waveform", Waveform, (1, 50), ((TORCHSCRIPT, 17), (DYNAMO, 17))),
    Export("grouped", Grouped, (4, 9, 6), ((TORCHSCRIPT, 13), (TORCHSCRIPT, 18), (DYNAMO, 18))),
    Export("averaged", Averaged, (1, 9, 11), ((TORCHSCRIPT, 11), (DYNAMO, 18))),
    Export("log_softmax", LogSoftmax, (12,), ((TORCHSCRIPT, 11), (TORCHSCRIPT, 17), (DYNAMO, 17))),
    Export("padded", Padded, (1, 7, 6), ((TORCHSCRIPT, 13), (TORCHSCRIPT, 18), (DYNAMO, 18))),
    Export("channels_last", ChannelsLast, (5, 7, 2), ((TORCHSCRIPT, 17), (DYNAMO, 18)), is_batch_fixed=True),
)


def write(export: Export) -> None:
    torch.manual_seed(len(export.name))
    module = export.module().eval()
    inputs = torch.randn(N_CLIPS, *export.shape)
    np.savez(FOLDER / f"{export.name}.npz", **judged(module, inputs))
    module.float()
    for exporter, opset in export.ways:
        model = exported(module, inputs, (exporter, opset), export.is_batch_fixed)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, FOLDER / f"{export.name}-{exporter}-{opset}.onnx")


def judged(module: nn.Module, inputs: torch.Tensor) -> dict[str, np.ndarray]:
    """Logits and gradients in float64; where the network ends in log-softmax, those before it."""
    layers = getattr(module, "layers", None)
    body = layers[:-1] if isinstance(layers, nn.Sequential) else module
    double = inputs.double().requires_grad_()
    logits = body.double()(double)
    targets = torch.arange(N_CLIPS) % logits.shape[1]
    (gradients,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), double)
    named = {"inputs": inputs, "targets": targets, "logits": logits, "gradients": gradients}
    return {name: values.detach().numpy() for name, values in named.items()}


def exported(
    module: nn.Module, inputs: torch.Tensor, way: tuple[str, int], is_batch_fixed: bool
) -> onnx.ModelProto:
    exporter, opset = way
    example = inputs[:1] if is_batch_fixed else inputs[:2]
    options: dict[str, Any] = {"opset_version": opset, "dynamo": exporter == DYNAMO}
    if not is_batch_fixed and exporter == DYNAMO:
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    elif not is_batch_fixed:
        options["dynamic_axes"] = {"x": {0: "batch"}, "y": {0: "batch"}}
    with TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module, (example,), path, input_names=["x"], output_names=["y"], external_data=False, **options
        )
        return stripped(onnx.load(path))


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    for each in parts(model):
        for name in ("doc_string", "metadata_props"):
            each.ClearField(name)
    return model


def parts(model: onnx.ModelProto) -> Iterator[Any]:
    graph = model.graph
    yield from (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info)
    for function in model.functions:
        yield from (function, *function.node)


if __name__ == "__main__":
    for each in EXPORTS:
        write(each)
