"""Contestants of the relevance benchmark in torch: zennit and captum, on the same network.

    .venv-peers/bin/python -m benchmarks.lrp_peers CONTESTANT FOLDER      (started by ``benchmarks.lrp``)

``make peers`` makes the environment. Clips lie in memory with the channels last, in batches of 16: the fastest
for both. The seed is the logit, and maps are summed over the input channels, as ours are.
"""

import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.lrp_worker import N_THREADS, WEIGHTS, Task, batches, serve

if TYPE_CHECKING:
    from zennit.core import Composite

EPSILON, DENSE_EPSILON = 1e-7, 0.1
"""Of every layer in the uniform composite; of the dense layers in the other, as in preset A flat."""
BATCH = 16
POOLS: Mapping[int, nn.MaxPool2d] = {
    2: nn.MaxPool2d(3, 2, ceil_mode=True),
    4: nn.MaxPool2d(3, 2, ceil_mode=True),
    6: nn.MaxPool2d(3, 2, padding=1),
}
"""The pool behind a convolution, padded as TensorFlow pads 'same' there: 60 to 30, 26 to 13, 9 to 5."""


class Network(nn.Module):
    """The network of ``toolkit.network.architecture`` up to the logits, channels first."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place in range(1, 7):
            kernel = weights[f"conv_{place}/kernel"].transpose(3, 2, 0, 1)
            convolution = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3)
            layers += [_filled(convolution, kernel, weights[f"conv_{place}/bias"]), nn.ReLU()]
            layers += [POOLS[place]] if place in POOLS else []
        self.convolutions = nn.Sequential(*layers)
        # Keras flattens row, column, channel; torch flattens channel, row, column.
        hidden = weights["dense_512/kernel"].reshape(5, 5, 128, 512).transpose(3, 2, 0, 1).reshape(512, -1)
        output = weights["dense_out/kernel"].T
        self.hidden = _filled(nn.Linear(*hidden.shape[::-1]), hidden, weights["dense_512/bias"])
        self.hidden_activation = nn.ReLU()
        self.output = _filled(nn.Linear(*output.shape[::-1]), output, weights["dense_out/bias"])

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits, shape (clip, class), of inputs of shape (clip, channel, bin, frame)."""
        hidden = self.hidden(self.convolutions(inputs).flatten(1))
        return self.output(self.hidden_activation(hidden))


def main() -> None:
    """Serve one contestant."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(N_THREADS)
    with np.load(folder / WEIGHTS) as weights:
        network = Network(weights).eval().to(memory_format=torch.channels_last)
    serve(CONTESTANTS[name](network), folder, f"{name} {version(name)} (torch {torch.__version__})")


def _zennit(network: Network) -> dict[str, Task]:
    # zennit imports it, for canonizers of networks that are not ours, and it wants torchvision.
    sys.modules["zennit.torchvision"] = ModuleType("zennit.torchvision")
    from zennit.composites import EpsilonPlusFlat, LayerMapComposite
    from zennit.rules import Epsilon, Pass
    from zennit.types import Activation, Convolution, Linear

    uniform = [(Activation, Pass()), (Convolution, Epsilon(EPSILON)), (Linear, Epsilon(EPSILON))]
    composites = {"epsilon": LayerMapComposite(uniform), "flat": EpsilonPlusFlat(DENSE_EPSILON)}

    def task(composite: "Composite") -> Task:
        def explain(*clips: np.ndarray) -> np.ndarray:
            with composite.context(network) as prepared:
                return _in_batches(lambda *batch: _propagated(prepared, *batch), *clips)

        return explain

    return {name: task(composite) for name, composite in composites.items()}


def _propagated(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the gradient that zennit's hooks have turned into relevance."""
    logits = network(inputs.requires_grad_())
    chosen = nn.functional.one_hot(targets, logits.shape[1])
    (relevance,) = torch.autograd.grad(logits, inputs, chosen * logits.detach())
    return relevance


def _captum(network: Network) -> dict[str, Task]:
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    kinds = (nn.Conv2d, nn.Linear, nn.MaxPool2d)
    with_rules = [layer for layer in network.modules() if isinstance(layer, kinds)]

    def explain(inputs: Tensor, targets: Tensor) -> Tensor:
        for layer in with_rules:  # captum drops them after a call
            layer.rule = EpsilonRule(EPSILON)
        return LRP(network).attribute(inputs.requires_grad_(), target=targets).detach()

    return {"epsilon": lambda *clips: _in_batches(explain, *clips)}


def _in_batches(
    explain: Callable[[Tensor, Tensor], Tensor], inputs: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """Return maps, shape (clip, bin, frame), of arrays with the channels last."""
    maps = []
    for some, wanted in batches(inputs, targets, BATCH):
        # The permuted view of an array with the channels last is what torch calls channels_last.
        relevance = explain(torch.from_numpy(some.copy()).permute(0, 3, 1, 2), torch.from_numpy(wanted))
        maps.append(relevance.sum(dim=1).numpy())
    return np.concatenate(maps)


def _filled(layer: nn.Conv2d | nn.Linear, weight: np.ndarray, bias: np.ndarray) -> nn.Conv2d | nn.Linear:
    layer.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight)))
    layer.bias = nn.Parameter(torch.from_numpy(bias))
    return layer


CONTESTANTS: Mapping[str, Callable[[Network], dict[str, Task]]] = {"zennit": _zennit, "captum": _captum}


if __name__ == "__main__":
    main()
