"""Adam by torch's function: creating its class imports torch's compiler, which takes a third of a head's training."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """``torch.optim.Adam(fused=True)`` to the bit, with the learning rate given at each step.

    Args:
        parameters: what is trained; all of them have a gradient at each step.
        weight_decay: the L2 penalty.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], weight_decay: float):
        self._parameters, self._weight_decay = list(parameters), weight_decay
        self._means = [torch.zeros_like(each) for each in self._parameters]
        self._squares = [torch.zeros_like(each) for each in self._parameters]
        self._steps = [torch.zeros((), device=each.device) for each in self._parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change the parameters by their gradients, which are dropped."""
        adam(
            self._parameters,
            [each.grad for each in self._parameters],
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )
        for each in self._parameters:
            each.grad = None

    def state_dict(self) -> dict[str, list[Tensor]]:
        """What a checkpoint keeps."""
        return {"means": self._means, "squares": self._squares, "steps": self._steps}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Go on from a :meth:`state_dict` of parameters of the same shapes."""
        for own, kept in ((self._means, "means"), (self._squares, "squares"), (self._steps, "steps")):
            for tensor, value in zip(own, state[kept], strict=True):
                tensor.copy_(value)
