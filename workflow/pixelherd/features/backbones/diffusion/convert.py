"""ADM checkpoints of guided-diffusion (Dhariwal & Nichol, NeurIPS 2021) as diffusers networks, exactly."""

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors.torch import load_file

from pixelherd.errors import UserError
from pixelherd.features.backbones.diffusion.architecture import Architecture, Layer, recognised

StateDict = Mapping[str, torch.Tensor]

WRAPPERS = ("module.", "model.", "diffusion_model.", "_orig_mod.")
"""What begins the names of a network that another module held: in parallel, in a training framework, compiled."""


def unwrapped(state_dict: StateDict) -> StateDict:
    """Names without the prefixes of wrappers, which all names have alike."""
    for prefix in WRAPPERS:
        if state_dict and all(name.startswith(prefix) for name in state_dict):
            return unwrapped({name.removeprefix(prefix): tensor for name, tensor in state_dict.items()})
    return state_dict


def convert_adm(
    state_dict: StateDict,
    architecture: Architecture | Mapping[str, Any] | str,
    *,
    where: Path | str = "the state dict",
) -> UNet2DModel:
    """The network of a guided-diffusion state dict.

    Args:
        state_dict: floating-point tensors by guided-diffusion's names (``input_blocks.*``, ``middle_block.*`` …), which
            may all begin with what a wrapper put there (see :data:`WRAPPERS`).
        architecture: guided-diffusion's options of the network, as a mapping by its own names, or a preset's name.
        where: is named in errors.

    Returns:
        The same function as a `UNet2DModel`, in evaluation mode, with float32 copies of the weights; without dropout,
        whatever it was trained with.

    Raises:
        UserError: the options are none of guided-diffusion's, or the state dict does not have exactly the tensors of
            the architecture.
    """
    architecture = Architecture.read(architecture)
    check(state_dict, architecture, where=where)
    state_dict = unwrapped(state_dict)
    with torch.device("meta"):
        network = UNet2DModel(**architecture.unet_config())
    shapes = {name: parameter.shape for name, parameter in network.state_dict().items()}
    weights = {
        name: tensor.to(torch.float32, copy=True).reshape(shapes[name]).contiguous()
        for layer in architecture.layers()
        for part in layer.parts
        for name, tensor in _converted(state_dict[f"{layer.source}.{part}"], layer, part, architecture)
    }
    network.load_state_dict(weights, assign=True)
    return network.eval()


def check(
    state_dict: StateDict, architecture: Architecture | Mapping[str, Any] | str, *, where: Path | str = "the state dict"
) -> None:
    """Raise a UserError unless the state dict has exactly the tensors of the architecture.

    Reads names and shapes only, so a memory-mapped checkpoint is checked in no time.
    """
    architecture, state_dict = Architecture.read(architecture), unwrapped(state_dict)
    others = [name for name, value in state_dict.items() if not torch.is_tensor(value) or not value.is_floating_point()]
    if others:
        raise UserError(
            f"{where} holds {len(others)} entries that are no floating-point tensors, such as {others[0]}",
            remedy=("give the network's state dict alone, as guided-diffusion saves it"),
        )
    expected: dict[str, tuple[int, ...]] = {}
    for layer in architecture.layers():
        expected |= {f"{layer.source}.{part}": shape for part, shape in layer.shapes.items()}
    found = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
    wrong = [
        ("lacks", [name for name in expected if name not in found]),
        ("has unknown", [name for name in found if name not in expected]),
        (
            "has of other shape",
            [
                f"{name} {list(found[name])} instead of {list(shape)}"
                for name, shape in expected.items()
                if name in found and found[name] != shape
            ],
        ),
    ]
    if not any(names for _, names in wrong):
        return
    told = "; ".join(f"{what} {_some(names)}" for what, names in wrong if names)
    raise UserError(f"{where} does not fit the architecture: it {told}. {_advice(found, architecture)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _advice(shapes: Mapping[str, tuple[int, ...]], architecture: Architecture) -> str:
    likely = recognised(shapes, architecture.image_size)
    if likely is None:
        return "It is no U-Net of guided-diffusion; give such a checkpoint, or a diffusers folder"
    given = architecture.model_dump(mode="json")
    if all(given[name] == value for name, value in likely.items()):
        return "Its options are right but the file is not whole; fetch it again"
    options = json.dumps(likely).replace('"', "")  # as YAML
    return f"For images of {architecture.image_size} pixels it looks like {options}; correct `architecture`"


def _converted(
    tensor: torch.Tensor, layer: Layer, part: str, architecture: Architecture
) -> list[tuple[str, torch.Tensor]]:
    """The parameters of diffusers that a weight or bias of guided-diffusion becomes."""
    if layer.source == "time_embed.0" and part == "weight":
        tensor = _widened(tensor, architecture.channels[0])
    if len(layer.targets) == 1:
        return [(f"{layer.targets[0]}.{part}", tensor)]
    # three values for each channel of a head: [heads, 3, channels] head by head, or [3, heads, channels]
    width = len(tensor) // 3
    channels = architecture.head_channels() or width
    heads = width // channels
    if architecture.use_new_attention_order:
        pieces = tensor.unflatten(0, (3, heads, channels)).unbind(0)
    else:
        pieces = tensor.unflatten(0, (heads, 3, channels)).unbind(1)
    return [(f"{name}.{part}", piece.flatten(0, 1)) for name, piece in zip(layer.targets, pieces, strict=True)]


def _widened(weight: torch.Tensor, width: int) -> torch.Tensor:
    """Columns for ``width`` sinusoids, cosines first, those that guided-diffusion does not have being 0."""
    half = weight.shape[1] // 2
    wide = weight.new_zeros(len(weight), width)
    wide[:, :half] = weight[:, :half]
    wide[:, width // 2 : width // 2 + half] = weight[:, half : 2 * half]
    return wide


def scheduler(architecture: Architecture) -> DDPMScheduler:
    """The noise schedule that the network was trained with."""
    steps = architecture.diffusion_steps
    variance = "learned_range" if architecture.learn_sigma else "fixed_large"
    if architecture.noise_schedule == "cosine":
        return DDPMScheduler(steps, beta_schedule="squaredcos_cap_v2", variance_type=variance)
    # guided-diffusion scales Ho et al.'s betas to the number of steps
    return DDPMScheduler(
        steps, beta_start=0.1 / steps, beta_end=20 / steps, beta_schedule="linear", variance_type=variance
    )


def read_checkpoint(path: Path | str) -> StateDict:
    """The tensors of a ``.safetensors`` file, or of one that `torch.save` wrote, memory-mapped where its format allows.

    Nothing in the file is run: pickled objects other than tensors are refused.

    Raises:
        UserError: the file is missing, damaged, or holds anything but a mapping of names to tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}", remedy="put the file there")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # files from before PyTorch 1.6 are plain pickles, which cannot be mapped
        with open(path, "rb") as file:
            mapped = file.read(2) == b"PK"
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({found[1]})" if found else ""
        raise UserError(
            f"checkpoint {path} is damaged or holds pickled objects that are not tensors{what}, which might run any "
            "code",
            remedy="it is not loaded. Fetch it again, or save the state dict alone",
        ) from None
    except Exception as error:  # of torch, safetensors, zip archives and broken pickles
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"checkpoint {path} is truncated or damaged ({reason})", remedy="fetch it again") from None
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise UserError(
            f"checkpoint {path} holds a {type(content).__name__} rather than tensors by name",
            remedy=("give the network's state dict, as guided-diffusion saves it"),
        )
    return content
