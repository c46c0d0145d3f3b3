"""Worker: images through layers like those of a detection network; answers images per second."""
import time

import torch
from torch import nn
from workers import serve

SIZE = 480, 640
CHANNELS = 3, 32, 64, 128, 256, 512  # each layer halves the image
SECONDS = 3.0


def make():
    """Return a function that takes one image through the network, and waits for it."""
    device, kind = ('cuda', torch.half) if torch.cuda.is_available() else ('cpu', torch.float32)
    layers = []
    for inputs, outputs in zip(CHANNELS, CHANNELS[1:]):
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.SiLU()]
    network = nn.Sequential(*layers).to(device, kind)
    image = torch.rand(1, 3, *SIZE).to(device, kind)

    @torch.inference_mode()
    def see():
        network(image).sum().item()
    return see


def main():
    """Answer until standard input ends."""
    see = make()

    def measure():
        begin, images = time.perf_counter(), 0
        while time.perf_counter() - begin < SECONDS:
            see()
            images += 1
        return images / (time.perf_counter() - begin)
    serve(measure)


main()
