"""The random streams of packages/core/src/rng.ts in numpy, so that both sides can make the same weights and batches.

Philox4x32-10 (Salmon et al., SC11). A stream is a function of (seed, purpose, index0, index1): the key is
[seed, fnv1a(purpose)], the counter [block, 0, index0, index1], and the words of blocks 0, 1, 2... follow each other.
"""

from __future__ import annotations

import numpy as np

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_CHUNK = 1 << 18  # blocks at once: bounds the memory


def fnv1a(name: str) -> int:
    value = 0x811C9DC5
    for char in name:
        value = ((value ^ ord(char)) * 0x01000193) & 0xFFFFFFFF
    return value


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Blocks [n, 4] uint32 from counters [n, 4]."""
    c0, c1, c2, c3 = (counter[:, i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c0
        p1 = np.uint64(0xCD9E8D57) * c2
        c0 = (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0)
        c1 = p1 & _LOW
        c2 = (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1)
        c3 = p0 & _LOW
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], 1).astype(np.uint32)


class Rng:
    """One stream. Each call goes on where the last one stopped, as in rng.ts."""

    def __init__(self, seed: int, purpose: str, index0: int = 0, index1: int = 0) -> None:
        self._key = (seed & 0xFFFFFFFF, fnv1a(purpose))
        self._index = (index0, index1)
        self._block = 0
        self._left = np.empty(0, np.uint32)

    def uint32(self, n: int) -> np.ndarray:
        """The next n words."""
        parts = [self._left]
        have = len(self._left)
        while have < n:
            blocks = min(_CHUNK, -(-(n - have) // 4))
            counter = np.zeros((blocks, 4), np.uint32)
            counter[:, 0] = np.arange(self._block, self._block + blocks)
            counter[:, 2:] = self._index
            parts.append(philox(counter, self._key).reshape(-1))
            self._block += blocks
            have += 4 * blocks
        words = np.concatenate(parts)
        self._left = words[n:]
        return words[:n]

    def uniform(self, n: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """The next n float64 values in [low, high), two words each."""
        words = self.uint32(2 * n).reshape(n, 2)
        bits = (words[:, 0] >> 5) * 67108864.0 + (words[:, 1] >> 6)
        return low + (high - low) * (bits / 9007199254740992.0)

    def normal(self, n: int) -> np.ndarray:
        """n float64 standard normals by Box-Muller. To be called once per stream where n is odd."""
        pairs = self.uniform(n + n % 2).reshape(-1, 2)
        radius = np.sqrt(-2.0 * np.log(1.0 - pairs[:, 0]))
        angle = 2.0 * np.pi * pairs[:, 1]
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:n]

    def integer(self, bound: int) -> int:
        limit = 0x100000000 - 0x100000000 % bound
        while True:
            value = int(self.uint32(1)[0])
            if value < limit:
                return value % bound

    def permutation(self, n: int) -> np.ndarray:
        """0..n-1 in random order, int64 (Fisher-Yates from the end)."""
        order = np.arange(n, dtype=np.int64)
        for i in range(n - 1, 0, -1):
            j = self.integer(i + 1)
            order[[i, j]] = order[[j, i]]
        return order
