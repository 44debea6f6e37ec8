"""Embeddings of prompts, by the text encoder of a diffusion model; each is needed once."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from pixelherd.errors import UserError
from pixelherd.features.backbones.diffusion.pipeline import TEXT_ENCODER, TOKENIZER
from pixelherd.features.backbones.networks import library
from pixelherd.storage.files import write_bytes

KEY = "prompt"


@torch.inference_mode()
def embed(folder: Path, prompt: str) -> Tensor:
    """Return the embedding ``[1, n, D]`` of a prompt, float32, padded and cut as the model was trained.

    Args:
        folder: of a diffusion model, with its text encoder and tokenizer.
        prompt: the text.

    Raises:
        UserError: the transformers library is missing, or a part of the model is missing or damaged.
    """
    plain = [path for path in (folder / TEXT_ENCODER).glob("*model*") if "fp16" not in path.name]
    options = {"local_files_only": True, "dtype": torch.float32, "output_loading_info": True}
    try:
        with library.transformers("prompts") as transformers:
            tokenizer = transformers.CLIPTokenizer.from_pretrained(str(folder / TOKENIZER), local_files_only=True)
            encoder, report = transformers.CLIPTextModel.from_pretrained(
                str(folder / TEXT_ENCODER), variant=None if plain else "fp16", **options
            )
    except UserError:
        raise
    except Exception as error:  # transformers, safetensors and torch each raise their own kinds
        what = f"cannot load the text encoder in {folder}: {library.reason_of(error)}"
        raise UserError(what, remedy="fetch it again") from None
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"the weights in {folder / TEXT_ENCODER} are of another network than its config.json: {len(missing)} "
            f"tensors are missing, such as {missing[0]}",
            remedy="fetch it again",
        )
    length = tokenizer.model_max_length
    tokens = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    mask = tokens.attention_mask if getattr(encoder.config, "use_attention_mask", False) else None
    return encoder.eval()(tokens.input_ids, attention_mask=mask)[0].clone()


def write(path: Path, embedding: Tensor) -> None:
    """Write an embedding, whole or not at all."""
    write_bytes(path, save({KEY: embedding.contiguous()}))


def read(path: Path) -> Tensor:
    """Read an embedding.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return load_file(path)[KEY]
    except Exception as error:  # safetensors raises its own kind
        raise UserError(f"{path} is damaged ({error})", remedy="delete its folder and run again") from None
