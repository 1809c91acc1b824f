"""Sorting six digits by reward in PyTorch: the model, the method and the settings of tasks `gpt-sort-examples` and `gpt-sort`.

pip install torch
python benchmarks/peers/torch_grpo.py --seed 0
"""

import argparse
import json
import math
import time

import torch
from torch import nn
from torch.nn import functional

DIGITS, UNITS, LAYERS, HEADS = 6, 64, 2, 4
STOP, ZERO, EQUALS, SYMBOLS = 1, 2, 12, 13  # symbol 0 is never written
PROMPT = DIGITS + 1
COMPLETION = DIGITS + 1
STEPS = PROMPT + COMPLETION - 1  # of an episode: each shows a character and takes the next
GROUPS, GROUP_SIZE = 16, 16
EXAMPLES = 64  # lines of an update of the start


class Block(nn.Module):
    """Attention with rotary positions, then a perceptron; keys and values of earlier calls may be passed in."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_perceptron = (nn.LayerNorm(UNITS, eps=1e-5) for _ in range(2))
        self.inward, self.outward = nn.Linear(UNITS, 3 * UNITS), nn.Linear(UNITS, UNITS)
        self.wide, self.narrow = nn.Linear(UNITS, 4 * UNITS), nn.Linear(4 * UNITS, UNITS)

    def forward(self, inputs, cache, cosine, sine):
        rows, length, _ = inputs.shape
        parts = self.inward(self.before_attention(inputs)).view(rows, length, 3, HEADS, UNITS // HEADS)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        queries, keys = rotated(queries, cosine, sine), rotated(keys, cosine, sine)
        if cache is not None:
            keys, values = torch.cat([cache[0], keys], 2), torch.cat([cache[1], values], 2)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=length > 1)
        inputs = inputs + self.outward(mixed.transpose(1, 2).reshape(rows, length, UNITS))
        hidden = functional.gelu(self.wide(self.before_perceptron(inputs)), approximate="tanh")
        return inputs + self.narrow(hidden), (keys, values)


class GPT(nn.Module):
    """Logits of the next symbol; the same sizes as `agentlab_text.tasks.SMALL_GPT`."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, UNITS)
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.normalization, self.head = nn.LayerNorm(UNITS, eps=1e-5), nn.Linear(UNITS, SYMBOLS)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                is_output = "outward" in name or "narrow" in name
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * LAYERS) if is_output else 1.0))
            elif "norm" not in name and "before" not in name:
                nn.init.zeros_(weight)
        half = UNITS // HEADS // 2
        angles = torch.arange(PROMPT + COMPLETION)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())

    def forward(self, symbols, caches=None, begin=0):
        """Returns logits [N, T, K] for symbols [N, T] at places from `begin` on, and the caches; symbol 0 is impossible."""
        places = slice(begin, begin + symbols.shape[1])
        vectors, after = self.embedding(symbols), []
        for block, cache in zip(self.blocks, caches or [None] * LAYERS, strict=True):
            vectors, cache = block(vectors, cache, self.cosine[places], self.sine[places])
            after.append(cache)
        logits = self.head(self.normalization(vectors))
        return torch.cat([torch.full_like(logits[..., :1], -math.inf), logits[..., 1:]], -1), after


def rotated(vectors, cosine, sine):
    first, second = vectors.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


def prompts(count):
    digits = torch.randint(ZERO, ZERO + 10, (count, DIGITS))
    return functional.pad(digits, (0, 1), value=EQUALS)


def answers(prompt):
    return functional.pad(prompt[:, :DIGITS].sort(1).values, (0, 1), value=STOP)


@torch.no_grad()
def written(model, prompt, copies):
    """Returns completions [N * copies, C] drawn by the model; after the stop, the stop is repeated."""
    logits, caches = model(prompt)  # each prompt once, whatever the number of copies
    caches = [tuple(leaf.repeat_interleave(copies, 0) for leaf in cache) for cache in caches]
    last, completion = logits[:, -1].repeat_interleave(copies, 0), []
    ended = torch.zeros(len(last), dtype=torch.bool)
    for place in range(COMPLETION):
        symbol = torch.multinomial(last.softmax(-1), 1)
        symbol[ended] = STOP
        completion.append(symbol)
        ended |= symbol[:, 0] == STOP
        if place + 1 < COMPLETION:
            logits, caches = model(symbol, caches, PROMPT + place)
            last = logits[:, 0]
    return torch.cat(completion, 1)


def stepped(model, optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def set_rate(optimizer, initial, final, fraction):
    for group in optimizer.param_groups:
        group["lr"] = initial + (final - initial) * fraction


def learn_from_examples(model, updates):
    optimizer = torch.optim.Adam(model.parameters())
    for update in range(updates):
        set_rate(optimizer, 3e-3, 3e-4, update / updates)
        prompt = prompts(EXAMPLES)
        line = torch.cat([prompt, answers(prompt)], 1)
        logits, _ = model(line[:, :-1])
        stepped(model, optimizer, functional.cross_entropy(logits.flatten(0, 1), line[:, 1:].flatten()))


def learn_by_reward(model, updates):
    """Returns the share of exact matches among the completions of each update."""
    optimizer, shares = torch.optim.Adam(model.parameters()), []
    for update in range(updates):
        set_rate(optimizer, 4e-4, 5e-5, update / updates)
        prompt = prompts(GROUPS)
        completion, prompt = written(model, prompt, GROUP_SIZE), prompt.repeat_interleave(GROUP_SIZE, 0)
        reward = (completion == answers(prompt)).all(1).float()
        advantage = (reward.view(GROUPS, -1) - reward.view(GROUPS, -1).mean(1, keepdim=True)).flatten()

        # Every character chosen counts alike: those up to the first stop.
        chosen = (completion == STOP).cumsum(1) - (completion == STOP).long() == 0
        logits, _ = model(torch.cat([prompt, completion], 1)[:, :-1])
        log_probability = logits[:, PROMPT - 1 :].log_softmax(-1).gather(-1, completion[..., None])[..., 0]
        loss = -(chosen * advantage[:, None] * log_probability).sum() / chosen.sum()
        stepped(model, optimizer, loss)
        shares.append(float(reward.mean()))
    return shares


def exact_matches(model, count=1_000):
    prompt = prompts(count)
    return float((written(model, prompt, 1) == answers(prompt)).all(1).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=100, help="updates of the start (default: 100)")
    parser.add_argument("--updates", type=int, default=1_500, help="updates by reward (default: 1500)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model = GPT()
    learn_from_examples(model, options.examples)
    start, begin = exact_matches(model), time.perf_counter()
    learn_by_reward(model, options.updates)
    seconds = time.perf_counter() - begin
    figures = {"start": start, "exact_match": exact_matches(model), "seconds": seconds}
    rate = options.updates * GROUPS * GROUP_SIZE / seconds
    rates = {"completions_per_second": rate, "env_steps_per_second": rate * STEPS}
    print(json.dumps({**figures, **rates}), flush=True)


if __name__ == "__main__":
    main()
