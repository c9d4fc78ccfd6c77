"""Right and wrong answers to the exercises of lesson 08."""

import numpy as np
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import nn


def labels_by_loop(ids, prompt, length):
    """Row by row, in numpy."""
    out = np.full(tuple(ids.shape), -100)
    for row, of_row, start, end in zip(out, ids.numpy(), prompt.tolist(), length.tolist(), strict=True):
        row[start:end] = of_row[start:end]
    return out


def masked(ids, *places):
    """The ids, with -100 at these places."""
    labels = ids.clone()
    for place in places:
        labels[place] = -100
    return labels


def before(ids, count):
    return torch.arange(ids.shape[1]).expand_as(ids) < count[:, None]


def lora_by_peft(x, weight, A, B, alpha):
    config = LoraConfig(r=len(A), lora_alpha=alpha, target_modules=["0"])
    model = get_peft_model(nn.Sequential(nn.Linear(*weight.T.shape, bias=False)), config)
    layer = model.base_model.model[0]
    layer.base_layer.weight.data = weight
    layer.lora_A["default"].weight.data, layer.lora_B["default"].weight.data = A, B
    return model(x)


def lora_in_numpy(scale, base=1.0):
    """Input by input, in float64."""

    def forward(x, weight, A, B, alpha):
        x, W, A, B = (np.asarray(array, np.float64) for array in (x, weight, A, B))
        return np.stack([base * W @ one + scale(alpha, A.shape[0]) * B @ (A @ one) for one in x])

    return forward


def merged(x, weight, A, B, alpha):
    return F.linear(x, weight + alpha / A.shape[0] * B @ A)


RIGHT = {
    "08.room": [17, (4096 - 60 - 1572) // 144],
    "08.labels": [
        labels_by_loop,
        lambda ids, prompt, length: masked(ids, before(ids, prompt), ~before(ids, length)),
        lambda ids, prompt, length: [
            [token if p <= place < n else -100 for place, token in enumerate(row)]
            for row, p, n in zip(ids.tolist(), prompt.tolist(), length.tolist(), strict=True)
        ],
    ],
    "08.lora": [lora_by_peft, lora_in_numpy(lambda alpha, rank: alpha / rank), merged],
    "08.silent": ["a3"],
    "08.even": [0.09998, np.float32(0.1), torch.tensor(0.1005)],
}

WRONG = {
    "08.room": [(21, "average caption"), (26, "256"), (28, "Nothing is left"), (18, "too many"), (2464 / 144, "whole")],
    "08.labels": [
        (lambda ids, prompt, length: masked(ids, before(ids, prompt), ids == 2), "end token is missing"),
        (
            lambda ids, prompt, length: masked(ids, before(ids, prompt), ~before(ids, length - 1)),
            "end token is missing",
        ),
        (lambda ids, prompt, length: masked(ids, ~before(ids, length)), "prompt is not masked"),
        (lambda ids, prompt, length: masked(ids, before(ids, prompt)), "padding is counted"),
        (lambda ids, prompt, length: np.roll(labels_by_loop(ids, prompt, length), -1, axis=1), "shifted by one"),
        (lambda ids, prompt, length: np.maximum(labels_by_loop(ids, prompt, length), 0), "like any other"),
        (lambda ids, prompt, length: (labels_by_loop(ids, prompt, length) > 0) * 1, "mask of ones"),
    ],
    "08.lora": [
        (lora_in_numpy(lambda alpha, rank: 1), "alpha / r is missing"),
        (lora_in_numpy(lambda alpha, rank: alpha), "alpha alone"),
        (lora_in_numpy(lambda alpha, rank: rank / alpha), "upside down"),
        (lora_in_numpy(lambda alpha, rank: alpha / np.sqrt(rank)), "another method"),
        (lora_in_numpy(lambda alpha, rank: alpha / rank, base=0), "base weight is gone"),
        (lambda x, weight, A, B, alpha: F.linear(x, weight) + alpha / len(A) * x @ B @ A, "A and B are swapped"),
        (lambda x, weight, A, B, alpha: x @ weight + alpha / len(A) * x @ A.T @ B.T, "acts transposed"),
    ],
    "08.even": [(0.0918, "NF4's error"), (0.1066, "15 levels"), (3.815, "divide its norm"), (9.998, "As a share")],
    "08.silent": [("b3", "Both go wrong"), ("c3", "all linear layers"), ("a2", "short names"), ("a1", "No error")],
}

EXPERIMENTS = {
    "08.even": """
even, blocks = torch.linspace(-1, 1, 16), weight.reshape(-1, 64)
tops = blocks.abs().amax(dim=1, keepdim=True)
back = even[((blocks / tops)[..., None] - even).abs().argmin(dim=-1)] * tops
my_error = float((back - blocks).norm() / blocks.norm())
""",
}
