"""Twenty hostile plugins, as pip would have installed them, and a good one among them."""

from strangers import distribution

PART = 'class Part:\n    """A part of hostile make."""\n'
HOSTILE = {  # source text, and what the listing says of it where that can be told without an import
    "import-error": ("import nowhere\n" + PART, ""),
    "syntax-error": ("class Part(:\n", "SyntaxError: invalid syntax"),
    "indentation": ("class Part:\nx = 1\n", "IndentationError"),
    "assertion": ("assert False, 'no'\n" + PART, ""),
    "exit": ("import sys\nsys.exit(3)\n" + PART, ""),
    "hard-exit": ("import os\nos._exit(3)\n" + PART, ""),
    "interrupt": ("raise KeyboardInterrupt\n" + PART, ""),
    "slow": ("import time\ntime.sleep(60)\n" + PART, ""),
    "wrong-type": ("Part = 3\n", ""),
    "falsy": ("class Meta(type):\n    __bool__ = lambda cls: False\nclass Part(metaclass=Meta): ...\n", ""),
    "falsy-object": ("class Empty:\n    __len__ = lambda self: 0\nPart = Empty()\n", ""),
    "prints": ("print('look at me')\n" + PART, ""),
    "seeds": ("import random\nrandom.seed(0)\n" + PART, ""),
    "patches": ("import builtins\nbuiltins.print = None\n" + PART, ""),
    "warns": ("text = '\\d'\n" + PART, ""),
    "deep": ("x = " + "-" * 100_000 + "1\n" + PART, "Error"),
    "null": (PART + "\0", "null bytes"),
    "latin-1": ("# -*- coding: latin-1 -*-\nname = 'caf\xe9'\n" + PART, ""),
    "not-text": (PART + "x = '\udcff'\n", "Error"),
    "no-attribute": ("class Other: ...\n", "defines no 'Part'"),
    "endless": ("from stranger_endless import Part\n", "is imported from itself"),
}


def install_hostile(path):
    """Puts them into a directory on the path."""
    for name, (text, _) in HOSTILE.items():
        module = f"stranger_{name.replace('-', '_')}"
        distribution(path, f"hostile-{name}", {module: ""}, trainers=[f"{name} = {module}:Part"])
        encoding = "latin-1" if name == "latin-1" else "utf-8"
        (path / f"{module}.py").write_bytes(text.encode(encoding, "surrogateescape"))
    doubled = ["same = stranger_falsy:Part", "other = stranger_falsy:Part", "same = stranger_prints:Part"]
    distribution(path, "hostile-adjacent", {}, trainers=["twice = stranger_falsy:Part", "twice = stranger_prints:Part"])
    distribution(path, "hostile-distant", {}, trainers=doubled)
    distribution(path, "hostile-later", {}, api=["3 = stranger_falsy"], trainers=["later = stranger_falsy:Part"])
    distribution(path, "hostile-garbage", {}, trainers=["this is no entry point"])
    distribution(path, "good-one", {"stranger_good": PART.replace("hostile", "good")}, trainers=["good = stranger_good:Part"])
