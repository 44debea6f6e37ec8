"""What the hub says of a model before it is downloaded, asked of a server that answers as the hub does."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pixelherd.features.backbones.sources import hub
from pixelherd.features.backbones.sources.kinds import HubModel, PretrainedEncoder

FILES = {
    "model_index.json": 500,
    "unet/diffusion_pytorch_model.safetensors": 3_000_000_000,
    "unet/diffusion_pytorch_model.fp16.safetensors": 1_500_000_000,
    "unet/diffusion_pytorch_model.bin": 3_000_000_000,
    "vae/diffusion_pytorch_model.safetensors": 300_000_000,
    "safety_checker/model.safetensors": 1_200_000_000,
    "model.safetensors": 88_000_000,
    "pytorch_model.bin": 88_000_000,
}


@contextmanager
def answering(**card):
    """A server that knows one model, by what the hub's client asks of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            siblings = [{"rfilename": name, "size": size} for name, size in FILES.items()]
            content = json.dumps({"id": "us/model", "sha": "0" * 40, "siblings": siblings, **card}).encode()
            self.send_response(200 if self.path.startswith("/api/models/us/model") else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("source", "size"),
    [(HubModel(diffusers="us/model"), "3.30 GB"), (PretrainedEncoder(encoder="us/model"), "0.09 GB")],
)
def test_licence_and_size_are_told(monkeypatch, source, size):
    with answering(cardData={"license": "apache-2.0"}) as endpoint:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
        told = source.offer()
    assert told == ["licence apache-2.0", f"{size} to download, unless they are in the hub's cache"]


def test_a_model_without_a_card_and_a_hub_that_is_not_there(monkeypatch):
    with answering() as endpoint:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
        (told,) = hub.offer("us/model", None, ["*"])
        assert "GB to download" in told
        assert hub.offer("us/other", None, ["*"]) == []
    assert hub.offer("us/model", None, ["*"]) == []
