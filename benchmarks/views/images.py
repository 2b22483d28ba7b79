"""Writes photo-like JPEGs of about 500x375: smooth light, edges, grain, quality 90. Seeded: the same bytes each time."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

folder, count = Path(sys.argv[1]), int(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
for i in range(count):
    rng = np.random.default_rng(i)
    h, w = (375, 500) if rng.random() < 0.75 else (500, 375)
    y, x = np.mgrid[0:h, 0:w]
    light = [np.sin(x / rng.uniform(20, 90) + rng.uniform(0, 6)) * np.cos(y / rng.uniform(20, 90)) for _ in range(3)]
    image = np.stack([110 + 90 * part for part in light], -1)
    for _ in range(40):
        cx, cy, radius = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(4, 60)
        image[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] += rng.uniform(-70, 70, 3)
    noisy = image + rng.normal(0, 8, image.shape)
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{i:04}.jpg", quality=90)
