"""Right and wrong answers to the exercises of lesson 09."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import log_softmax

from lib.finetune import dpo


def answers_by_loop(logits, ids, mask):
    """float64, token by token, in numpy."""
    scores = log_softmax(np.asarray(logits, np.float64), axis=-1)
    totals = np.zeros(len(ids))
    for row, place in np.argwhere(mask.numpy()):
        totals[row] += scores[row, place - 1, ids[row, place]]
    return totals


def entropies(logits, ids):
    return F.cross_entropy(logits[:, :-1].mT, ids[:, 1:], reduction="none")


def loss_in_numpy(reference=1.0, beta_inside=True, mean=np.mean):
    """log(1 + exp(-x)) without overflow, with something changed."""

    def loss(chosen, rejected, reference_chosen, reference_rejected, beta):
        c, r, rc, rr = (x.double().numpy() for x in (chosen, rejected, reference_chosen, reference_rejected))
        margin = c - r - reference * (rc - rr)
        return mean(np.logaddexp(0, -beta * margin) if beta_inside else beta * np.logaddexp(0, -margin))

    return loss


RIGHT = {
    "09.pairs": ["c3"],
    "09.answers": [
        answers_by_loop,
        dpo.log_probs,
        lambda logits, ids, mask: -(entropies(logits.double(), ids) * mask[:, 1:]).sum(-1),
    ],
    "09.loss": [
        loss_in_numpy(),
        lambda c, r, rc, rr, beta: dpo.dpo_loss(c - rc, r - rr, beta).mean(),
        lambda c, r, rc, rr, beta: F.softplus(beta * ((rc - c) + (r - rr))).mean().item(),
        lambda c, r, rc, rr, beta: F.binary_cross_entropy_with_logits(beta * (c - r - rc + rr), torch.ones(len(c))),
    ],
    "09.cure": [0.841, 0.85],
    "09.both_fall": [0.0486, 0.05, np.logaddexp(0, -3), -F.logsigmoid(torch.tensor(3.0))],
}

WRONG = {
    "09.pairs": [("a3", "go on talking"), ("b3", "wrong all over"), ("c2", "told apart"), ("c1", "length is")],
    "09.answers": [
        (lambda logits, ids, mask: answers_by_loop(logits, ids, mask) / mask.sum(1).numpy(), "mean over the tokens"),
        (
            lambda logits, ids, mask: -(F.cross_entropy(logits.mT, ids, reduction="none") * mask).sum(1),
            "at its own position",
        ),
        (lambda logits, ids, mask: -entropies(logits, ids).sum(1), "Prompt and padding"),
        (lambda logits, ids, mask: -(entropies(logits, ids) * mask[:, :-1]).sum(1), "shifted with the tokens"),
        (lambda logits, ids, mask: -(entropies(logits, ids) * mask[:, 1:]), "add up over each row"),
        (lambda logits, ids, mask: (entropies(logits, ids) * mask[:, 1:]).sum(1), "sign is turned"),
        (lambda logits, ids, mask: ((-entropies(logits, ids)).exp() * mask[:, 1:]).sum(1), "added up probabilities"),
        (
            lambda logits, ids, mask: (logits[:, :-1].gather(-1, ids[:, 1:, None])[..., 0] * mask[:, 1:]).sum(1),
            "raw scores",
        ),
    ],
    "09.loss": [
        (loss_in_numpy(reference=0), "reference is missing"),
        (lambda c, r, rc, rr, beta: loss_in_numpy()(r, c, rr, rc, beta), "are swapped"),
        (loss_in_numpy(beta_inside=False), "outside of the sigmoid"),
        (lambda c, r, rc, rr, beta: loss_in_numpy()(c, r, rc, rr, 1), "beta is missing"),
        (loss_in_numpy(mean=np.sum), "sum over the pairs"),
        (loss_in_numpy(mean=np.asarray), "losses of the pairs"),
        (lambda *arguments: -loss_in_numpy()(*arguments), "minus is missing"),
        (lambda c, r, rc, rr, beta: dpo.dpo_loss((c - rc).mean(), (r - rr).mean(), beta), "averaged the margins"),
        (lambda c, r, rc, rr, beta: -torch.log(torch.sigmoid(beta * (c - rc - r + rr))).mean(), "F.logsigmoid"),
    ],
    "09.cure": [(84.1, "As a share"), (0.74, "That is in the dark"), (1.0, "more than `tiny` tells")],
    "09.both_fall": [
        (0.6931, "at the start"),
        (3.05, "margin for -30"),
        (2.127, "chosen alone"),
        (0.0067, "rejected alone"),
        (7.0, "added the two gains"),
        (1 / (1 + math.exp(-3)), "That is the sigmoid"),
    ],
}

EXPERIMENTS = {
    "09.cure": """
class BrightFeatures(Features):
    def encode(self, frames):
        darkened = (dpo_judge.DARK * frames).astype(np.uint8)
        return super().encode(np.clip(darkened / 0.6, 0, 255).astype(np.uint8))
my_share = measure(FACTS_RIGHT, caption(vlm, BrightFeatures(vlm, KOREAN_FRAMES))).mean
""",
}
