"""Right and wrong answers to the exercises of lesson 06."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import softmax
from torch import nn

from lib.reducers import LlamaVid


def context_in_numpy(queries, patches, key_weight):
    """float64, frame by frame and query by query."""
    queries, patches, weight = (np.asarray(array, np.float64) for array in (queries, patches, key_weight))
    frames = []
    for q, x in zip(queries, patches, strict=True):
        keys = np.array([weight @ patch for patch in x])
        frames.append(np.mean([softmax(keys @ one / np.sqrt(len(one))) @ x for one in q], axis=0))
    return np.stack(frames)


def context_by_lib(queries, patches, key_weight):
    reducer = LlamaVid(patches.shape[-1], 4)
    with torch.no_grad():
        reducer.key_proj.weight.copy_(key_weight)
        reducer.key_proj.bias.zero_()
        return (reducer.context_attention(queries, patches)[:, None] @ patches)[:, 0]


def attention(scale=True, axis=-1):
    """torch's own attention, with something wrong."""

    def context(queries, patches, key_weight):
        keys = F.linear(patches, key_weight)
        scores = torch.einsum("tlc,tnc->tln", queries, keys) / (patches.shape[-1] ** 0.5 if scale else 1)
        return torch.einsum("tln,tnc->tlc", scores.softmax(axis), patches).mean(1)

    return context


def built_in(queries, keys, values):
    return F.scaled_dot_product_attention(queries, keys, values).mean(dim=1)


def content_by_lib(features, rows, columns):
    return LlamaVid(4, 4, f"grid:{rows}x{columns}").content_means(features)


RIGHT = {
    "06.content": [
        content_by_lib,
        lambda x, r, c: nn.AdaptiveAvgPool2d((r, c))(x.double().permute(0, 3, 1, 2)).flatten(2).mT,
        lambda x, r, c: np.stack(
            [cell.mean(axis=(1, 2)) for row in np.split(x.numpy(), r, 1) for cell in np.split(row, c, 2)], axis=1
        ),
    ],
    "06.context": [context_in_numpy, context_by_lib, lambda q, x, w: built_in(q, F.linear(x, w), x)],
    "06.kept": [20 / 54, np.float32(0.35), 0.4],
    "06.factor": [6, 6.0],
}

WRONG = {
    "06.content": [
        (lambda x, r, c: nn.AvgPool2d((r, c))(x.permute(0, 3, 1, 2)).flatten(2).mT, "the number of cells"),
        (lambda x, r, c: x.mean((1, 2), keepdim=True)[:, 0], "one mean for the whole frame"),
        (lambda x, r, c: nn.AdaptiveMaxPool2d((r, c))(x.permute(0, 3, 1, 2)).flatten(2).mT, "maxima"),
        (lambda x, r, c: content_by_lib(x, r, c).unflatten(1, (r, c)).swapaxes(1, 2).flatten(1, 2), "column by column"),
    ],
    "06.context": [
        (attention(scale=False), "not divided by √C"),
        (attention(axis=-2), "softmax runs over"),
        (lambda q, x, w: built_in(q, x, x), "key projection is missing"),
        (lambda q, x, w: built_in(q, x @ w, x), "transposed"),
        (lambda q, x, w: built_in(q, F.linear(x, w), F.linear(x, w)), "not their keys"),
        (lambda q, x, w: F.scaled_dot_product_attention(q, F.linear(x, w), x), "each query found"),
    ],
    "06.kept": [(0.91, "question itself"), (0.28, "for the code"), (37, "As a share")],
    "06.factor": [(5, "Round up"), (3, "one token a frame"), (16, "65,536"), (5.2734375, "whole factor")],
}

EXPERIMENTS = {
    "06.kept": """
colours = [[qa for qa in toybox.questions(clip) if qa.kind == "colour"] for clip in some]
both = [(one, asks) for one, asks in zip(seen, colours, strict=True) if len(asks) > 1]
with torch.no_grad():
    others = [reducer(one, vlm.project, asks[1].question).embeds for one, asks in both]
my_share = np.mean(grade(vlm, others, [[asks[0]] for _, asks in both]))
""",
}
