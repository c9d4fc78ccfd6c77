"""What a job costs: from the number of clips to bytes on disk and hours of a card.

Hours, not money: prices change by the month and by the contract. Multiply by yours. Every assumption is a field of
`Workload`; none of these hours was measured.
"""

from dataclasses import dataclass

from lib.budget.cards import SHARE, card_bytes
from lib.budget.memory import CONTEXT_BYTES, kv_bytes, reading_bytes, weight_bytes
from lib.budget.specs import MODELS, ModelSpec
from lib.budget.work import encode_flops, prefill_flops

HOUR = 3600


@dataclass(frozen=True)
class PeakRates:
    """A card's peak speed, as its maker states it: dense 16-bit TFLOPS, and GB of memory read per second."""

    teraflops: float
    gigabytes_per_second: float
    precision: str = "float16"  # of the language model's weights (unpacking 4 bits is not counted)


# Makers give the sparse number (twice as high) first; these are the dense ones. T4: NVIDIA T4 data sheet. L4: half of
# the 242 "with sparsity". A100 40 GB, H100 SXM: 312 and 989; bandwidths also in Table 3 of PMC10448217. A100 80 GB SXM:
# glennklockwood.com/garden/processors/A100 (after NVIDIA's data sheet). H200 SXM: dense numbers in
# itkb.uw.cz/2026/06/nvidia-h200-vs-b300-precisions-cores.html.
PEAKS = {
    "T4": PeakRates(65, 320, "nf4-double"),
    "L4": PeakRates(121, 300, "nf4-double"),
    "A100-40": PeakRates(312, 1555),
    "A100-80": PeakRates(312, 2039),
    "H100": PeakRates(989, 3352),
    "H200": PeakRates(989, 4800),
}


@dataclass(frozen=True)
class Workload:
    """A number of clips, what is done with each, and how well the cards are used (the last four are assumptions).

    >>> job = Workload(clips=10_000)
    >>> job.tokens, f"{job.feature_bytes(pooled=False) / 1e9:,.0f} GB", f"{job.feature_bytes() / 1e9:,.0f} GB"
    (4708, '377 GB', '94 GB')
    """

    clips: int
    model: ModelSpec = MODELS["7b"]
    frames: int = 32
    prompt: int = 100  # tokens
    answer: int = 256  # tokens; the detailed Korean captions of lesson 02 are 932 on average
    epochs: int = 1  # of training
    compute: float = 0.4  # of a card's peak in encoding, reading the prompt and training
    bandwidth: float = 0.6  # of its peak in writing the answer
    read_seconds: float = 0.5  # to decode the frames of one clip on one CPU core
    checkpointing: bool = True  # training runs the forward pass twice

    @property
    def tokens(self) -> int:
        """Prompt and visual tokens of one clip."""
        return self.model.video_tokens(self.frames) + self.prompt

    def feature_bytes(self, pooled: bool = True) -> int:
        """Features of all clips on disk: frames * tokens * width * 2 bytes, after or before the pooling."""
        side = self.model.side if pooled else self.model.vision.side
        return self.clips * self.frames * side**2 * self.model.vision.width * 2

    @property
    def reading_hours(self) -> float:
        """Hours of CPU cores to decode the frames."""
        return self.clips * self.read_seconds / HOUR

    def encoding_hours(self, card: str) -> float:
        """Hours of one card to turn the frames into projected tokens (compute bound)."""
        return self._hours(card, encode_flops(self.model, self.frames))

    def prefill_hours(self, card: str) -> float:
        """Hours of one card to read prompts and visual tokens (compute bound)."""
        return self._hours(card, prefill_flops(self.model, self.tokens))

    def training_hours(self, card: str) -> float:
        """Hours of one card for LoRA from cached features: the frozen weights need no gradient of their own.

        Forward, backward through the activations and, with checkpointing, a second forward: each takes as long as a
        prefill.
        """
        passes = 3 if self.checkpointing else 2
        return self.epochs * self._hours(card, passes * prefill_flops(self.model, self.tokens + self.answer))

    def batch(self, card: str) -> int:
        """How many clips' caches fit beside the weights and the reading of one prompt, by lib.budget's arithmetic."""
        precision = PEAKS[card].precision
        weights = weight_bytes(self.model, precision, keep_vision=True)
        room = SHARE * card_bytes(card) - CONTEXT_BYTES - weights - reading_bytes(self.model, self.tokens, precision)
        fit = int(room // kv_bytes(self.model, self.tokens + self.answer))
        if fit < 1:
            raise ValueError(f"one clip of {self.frames} frames does not fit on {card}: use fewer frames")
        return fit

    def decoding_hours(self, card: str) -> float:
        """Hours of one card to write the answers (memory bound).

        A step writes one token for each clip of a batch. It reads the language model once, and every clip's cache.
        """
        batch, peak = self.batch(card), PEAKS[card]
        seeing = 2 * (self.model.vision.parameters + self.model.projector_parameters)
        language = weight_bytes(self.model, peak.precision, keep_vision=True) - seeing
        caches = batch * kv_bytes(self.model, self.tokens + self.answer // 2)
        step = (language + caches) / (peak.gigabytes_per_second * 1e9 * self.bandwidth)
        return self.clips / batch * self.answer * step / HOUR

    def captioning_hours(self, card: str) -> float:
        """Hours of one card from decoded frames to captions."""
        return self.encoding_hours(card) + self.prefill_hours(card) + self.decoding_hours(card)

    def _hours(self, card: str, operations_per_clip: float) -> float:
        return self.clips * operations_per_clip / (PEAKS[card].teraflops * 1e12 * self.compute) / HOUR


def cards_for(hours: float, deadline: float) -> int:
    """How many cards finish that many card hours in `deadline` hours, if nothing is lost between them.

    >>> cards_for(1_000, 168), cards_for(10, 168)
    (6, 1)
    """
    return max(1, -int(-hours // deadline))
