"""Text of a given size, the same in every contestant; no dependencies, so that each environment can import it."""

import random

_WORDS = ["".join(random.Random(n).choices("abcdefghijklmnopqrstuvwxyz", k=2 + n % 9)) for n in range(5000)]


def text(seed: int, size: int) -> str:
    """`size` bytes of words that compress about as well as prose."""
    rng = random.Random(seed)
    return " ".join(rng.choices(_WORDS, k=size // 3 + 1))[:size]
