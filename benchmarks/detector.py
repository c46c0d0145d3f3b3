"""Worker: runs layers like those of a detection network; returns images per second."""
import time

import torch
from torch import nn
from workers import serve

SIZE = 480, 640
CHANNELS = 3, 32, 64, 128, 256, 512  # each layer halves the image
SECONDS = 3.0


def make_network():
    """Return a function that runs the network on one image and waits for the result."""
    device, dtype = ('cuda', torch.half) if torch.cuda.is_available() else ('cpu', torch.float32)
    layers = []
    for inputs, outputs in zip(CHANNELS, CHANNELS[1:]):
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.SiLU()]
    network = nn.Sequential(*layers).to(device, dtype)
    image = torch.rand(1, 3, *SIZE).to(device, dtype)

    @torch.inference_mode()
    def run():
        network(image).sum().item()
    return run


def main():
    """Serve until standard input ends."""
    run = make_network()

    def measure():
        begin, images = time.perf_counter(), 0
        while time.perf_counter() - begin < SECONDS:
            run()
            images += 1
        return images / (time.perf_counter() - begin)
    serve(measure)


main()
