"""Right and wrong answers to the exercises of lesson 11."""

import math

import numpy as np

from lib.known import nf4_bytes


def weights_by_lib(layers, others):
    return nf4_bytes(layers) + 2 * others


def weights_by_blocks(layers, others):
    """Counts what is stored: numbers of half a byte, blocks of 64 with a byte, groups of 256 blocks with four."""
    blocks = math.ceil(layers / 64)
    return np.float64(layers) * 0.5 + blocks + 4 * np.ceil(blocks / 256) + others * 2


def plan_by_counting(card, fixed, per_frame, context, tokens, text):
    """Adds frames until the next one does not fit."""
    by_memory = by_context = 0
    while fixed + per_frame * (by_memory + 1) <= 0.95 * card:
        by_memory += 1
    while text + tokens * (by_context + 1) <= context:
        by_context += 1
    return np.array([by_memory, by_context])


def plan_with(share=0.95, rounded=math.floor, least=0):
    def plan(card, fixed, per_frame, context, tokens, text):
        found = rounded((share * card - fixed) / per_frame), rounded((context - text) / tokens)
        return [max(least, frames) for frames in found]

    return plan


RIGHT = {
    "11.weights": [weights_by_lib, weights_by_blocks, lambda layers, others: 4.126953125 / 8 * layers + others * 2.0],
    "11.plan": [plan_by_counting, plan_with(), lambda *settings: tuple(map(float, plan_with()(*settings)))],
    "11.dtype": ["b3", "B 3"],
    "11.reducer": ["b1"],
    "11.frame": [83.75, 84.5, np.float64(83)],
}

WRONG = {
    "11.weights": [
        (lambda layers, others: nf4_bytes(layers + others), "are not quantised"),
        (lambda layers, others: layers * 4 / 8 + others * 2, "The scales are missing"),
        (lambda layers, others: nf4_bytes(layers, double_quant=False) + 2 * others, "Those scales are float32"),
        (lambda layers, others: layers * 4.125 / 8 + 2 * others, "scales of the scales"),
        (lambda layers, others: nf4_bytes(layers) + 4 * others, "not 4"),
        (lambda layers, others: layers * 4.126953125 + 16 * others, "Those are bits"),
    ],
    "11.plan": [
        (lambda *settings: min(plan_by_counting(*settings)), "smaller of the two"),
        (lambda *settings: plan_with()(*settings)[::-1], "order is turned"),
        (plan_with(share=1), "whole card"),
        (plan_with(rounded=math.ceil), "round down"),
        (plan_with(least=-math.inf), "not negative"),
        (plan_with(rounded=float), "Whole frames"),
        (lambda card, fixed, *others: plan_with()(card, 0, *others), "before the first frame"),
        (lambda *settings: plan_with()(*settings[:-1], 0), "same context"),
    ],
    "11.dtype": [("a3", "only emulates"), ("c3", "26 GiB"), ("b1", "counts emulation"), ("b2", "other way round")],
    "11.reducer": [("a1", "7,200"), ("c1", "noise"), ("b2", "one token would be best"), ("b3", "at section 1")],
    "11.frame": [
        (5121 / 8, "Take the difference"),
        (144 * 0.5, "the cache alone"),
        (8 * 83.75, "eight frames"),
        (87.8, "not a million"),
    ],
}

EXPERIMENTS = {
    "11.frame": """
eight, sixteen = (trace_answering("7b", frames).tensors for frames in (8, 16))
my_mebibytes = (sixteen - eight) / 8 / 2**20
""",
}
