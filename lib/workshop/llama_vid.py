"""A small LLaMA-VID on top of the tiny model: `make llama-vid`, or `python -m lib.workshop.llama_vid`.

The paper's three stages, after one for the part that the paper takes ready-made:

0. reading: the Q-Former learns to look at the patches that a question is about; Toybox knows which. (The paper's comes
   from InstructBLIP, trained on millions of pictures. Ours starts with likeness: it looks at what the question names.)
1. alignment: the projections of the context attention and the content projector, the rest frozen. (The paper spends 790
   thousand pictures and videos on this. Ours starts with a value projection fitted to the content projector.)
2. instruction: everything but the vision tower.
3. long: language model and content projector, on many clips in a row with a needle to find.

In stages 1 and 2 every batch uses one of the token choices (WAYS), so that one set of weights works with any of them.
In this ablation each choice had its share of the training. All randomness of a batch comes from (seed, stage, step).
"""

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from lib import toybox
from lib.files import written_whole
from lib.packing import answer_logits, pack_questions, states
from lib.reducers import LlamaVid
from lib.toybox.needles import asked_patches, needles
from lib.toybox.world import FRAMES, new_clip
from lib.vlm.loading import digest, load
from lib.vlm.model import VideoLM
from lib.vlm.shipped import LLAMA_VID, new_reducer, origin_of, restore_parts, trained_parts
from lib.workshop.tiny import Stage, checked_loss, draw_turns, learning_rate, log, noisy_features, word_ids

Turn = tuple[int, str, str]  # which video, question, answer
TOKEN_CHOICES = {  # name: how a frame's tokens are made, (compress, keep) of LlamaVid
    "context + content": ("mean", "both"),
    "context only": ("mean", "context"),
    "content only": ("mean", "content"),
    "two content tokens": ("grid:1x2", "content"),  # the left and the right half: as many tokens, no question
}
LLAMA_VID_RECIPE = (  # steps, clips in a batch, learning rate
    Stage("reading", 150, 16, 2e-3),
    Stage("alignment", 60, 8, 2e-3),
    Stage("instruction", 500, 8, 8e-4),
    Stage("long", 30, 16, 4e-4),
)
QUESTIONS = 4  # asked of each clip in a batch; each makes tokens of its own
LENGTHS = (1, 2, 4, 8, 16, 32)  # clips in a row in stage 3: at most 512 frames, 1,024 tokens


# ---------------------------------------------------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------------------------------------------------


def llama_vid_tokens(vlm: VideoLM, reducer: LlamaVid, videos: Tensor, questions: Sequence[str]) -> Tensor:
    """B videos (B, T, H, W, C), a question about each -> (B, N, D): the reducer's tokens for each, in one batch."""
    frames, query = videos.flatten(0, 1), None
    if reducer.takes_question:
        ids, mask = (tensor.repeat_interleave(videos.shape[1], dim=0) for tensor in reducer.read(questions))
        query = reducer.text_query(ids, mask, frames.flatten(1, 2))
    return reducer.generate_tokens(query, frames, vlm.project).unflatten(0, videos.shape[:2]).flatten(1, 2)


def reading_loss(vlm: VideoLM, reducer: LlamaVid, stage: Stage, rng: random.Random, noise) -> Tensor:
    """How far the context attention is from the patches that each question is about, on one frame of each clip."""
    clips = [new_clip(rng) for _ in range(stage.batch)]
    images = [toybox.still(clip, rng.randrange(FRAMES)) for clip in clips]
    asked = [(row, question) for row, clip in enumerate(clips) for question, _ in draw_turns(rng, clip)]
    patches = noisy_features(vlm, images, None, noise)[[row for row, _ in asked]].flatten(1, 3)
    query = reducer.text_query(*reducer.read([question for _, question in asked]), patches)
    looks = reducer.context_attention(query, patches)
    wanted = torch.from_numpy(np.stack([asked_patches(images[row], question).ravel() for row, question in asked]))
    return F.kl_div((looks + 1e-6).log(), wanted.float(), reduction="batchmean")


def instruction_loss(vlm: VideoLM, reducer: LlamaVid, stage: Stage, rng: random.Random, noise) -> Tensor:
    """Stages 1 and 2: a few questions about each clip, through one of the WAYS."""
    clips = [new_clip(rng) for _ in range(stage.batch)]
    drawn = [draw_turns(rng, clip) for clip in clips]
    turns = [(row, *turn) for row, of_clip in enumerate(drawn) for turn in rng.sample(of_clip, QUESTIONS)]
    way = rng.choice(list(TOKEN_CHOICES.values()))
    return question_loss(vlm, reducer.with_tokens(*way), noisy_features(vlm, clips, None, noise), turns)


def long_loss(vlm: VideoLM, reducer: LlamaVid, stage: Stage, rng: random.Random, noise) -> Tensor:
    """Stage 3: clips in a row. The longer the rows, the fewer."""
    length = rng.choice(LENGTHS)
    videos = [needles(rng, length, QUESTIONS) for _ in range(max(1, stage.batch // length))]
    turns = [(row, qa.question, qa.answer) for row, (_, asked) in enumerate(videos) for qa in asked]
    features = torch.stack([noisy_features(vlm, clips, None, noise).flatten(0, 1) for clips, _ in videos])
    return question_loss(vlm, reducer, features, turns)


def question_loss(vlm: VideoLM, reducer: LlamaVid, features: Tensor, turns: Sequence[Turn]) -> Tensor:
    """The mean loss over the tokens of the answers. One question per sequence, because each has its own visual
    tokens."""
    rows, questions, answers = zip(*turns, strict=True)
    visual = llama_vid_tokens(vlm, reducer, features[list(rows)], questions)
    packed = pack_questions(
        vlm.model, vlm.tokenizer, list(visual), [[turn] for turn in zip(questions, answers, strict=True)]
    )
    logits, target = answer_logits(vlm.model, packed, states(vlm.model, packed)[-1])
    return F.cross_entropy(logits, target)


LOSSES = {"reading": reading_loss, "alignment": instruction_loss, "instruction": instruction_loss, "long": long_loss}


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class LlamaVidRun:
    """A training run: the tiny model, the reducer, and the folder of its log and of one file per stage."""

    vlm: VideoLM
    reducer: LlamaVid
    recipe: tuple[Stage, ...]
    seed: int
    folder: Path

    def weights(self, stage: str) -> dict[str, nn.Parameter]:
        """What a stage trains, by name."""
        return trained_parts(self.vlm, self.reducer, stage)

    def origin(self, number: int) -> dict[str, str]:
        """Everything that determines the weights after a stage: the recipe so far, the seed, and the tiny model
        below."""
        return {"recipe": repr((self.recipe[: number + 1], self.seed)), "base": digest()}

    def loss(self, stage: Stage, step: int) -> Tensor:
        rng = random.Random(f"llama-vid {self.seed} {stage.name} {step}")
        noise = np.random.default_rng(rng.getrandbits(64))
        return LOSSES[stage.name](self.vlm, self.reducer, stage, rng, noise)


@torch.no_grad()
def fit_value_proj(vlm: VideoLM, reducer: LlamaVid, rng: random.Random) -> None:
    """The linear value projection that is closest to the content projector, whose output the language model can read.

    Least squares on the patches of 32 clips, with a little weight decay, because the features do not vary in all
    directions. Rounded, because the last digits of a solver differ from run to run.
    """
    frames = np.concatenate([toybox.render(new_clip(rng)) for _ in range(32)])
    patches = vlm.encode(frames).flatten(0, 2)
    inputs = torch.cat([patches, torch.ones(len(patches), 1)], dim=1).double()
    gram = inputs.T @ inputs
    decay = 1e-4 * gram.diagonal().mean() * torch.eye(len(gram))
    fitted = torch.linalg.solve(gram + decay, inputs.T @ vlm.project(patches).double()).bfloat16().float()
    reducer.value_proj.weight.copy_(fitted[:-1].T)
    reducer.value_proj.bias.copy_(fitted[-1])


@torch.no_grad()
def start_reader(vlm: VideoLM, reducer: LlamaVid, gain: float = 6.0) -> None:
    """Initialises the attention so that a question looks at patches with the names of its thing: red, circle, or both.

    The first numbers of a word's vector stand for the names of shapes and colours, one number each. The self-attention
    copies them into the queries, and the query projection turns each into the direction in which patches of that name
    lie. The projector maps these patches to that word (tiny's first stage). From a random start the Q-Former soon
    looked at all things; after 90 steps it did not yet look at the named one.
    """
    names = word_ids(vlm.tokenizer, [*toybox.SHAPES, *toybox.COLOURS])
    groups = vlm.model.get_input_embeddings().weight[names].split([len(toybox.SHAPES), len(toybox.COLOURS)])
    directions = torch.cat([group - group.mean(dim=0) for group in groups]) @ reducer.value_proj.weight
    words, first = reducer.qformer.embeddings, slice(len(names))
    for vectors in (words.word_embeddings.weight, words.position_embeddings.weight, reducer.queries[0]):
        vectors[:, first] = 0
    words.word_embeddings.weight[names, range(len(names))] = 1
    for name, weight in reducer.qformer.named_parameters():
        if name.endswith((".attention.attention.value.weight", ".attention.output.dense.weight")):
            nn.init.eye_(weight)
        elif name.endswith(("output.dense.weight", "output_query.dense.weight")):
            weight[first] = 0  # at the start nothing else writes there
    nn.init.eye_(reducer.key_proj.weight)
    reducer.query_proj.weight *= 0.1
    reducer.query_proj.weight[:, first] = gain * directions.T


def start_llama_vid(folder: Path, recipe: tuple[Stage, ...] = LLAMA_VID_RECIPE, seed: int = 0) -> LlamaVidRun:
    """A run before its first step."""
    vlm = load("tiny", device="cpu")
    return LlamaVidRun(vlm, new_reducer(vlm, seed), recipe, seed, Path(folder))


def train_llama_vid(run: LlamaVidRun) -> None:
    """Trains stage after stage. A stage that the same recipe has already finished is read from its file."""
    run.folder.mkdir(parents=True, exist_ok=True)
    for number, stage in enumerate(run.recipe):
        path, origin = run.folder / f"{stage.name}.safetensors", run.origin(number)
        if not (path.exists() and origin_of(path) == origin):
            train_llama_vid_stage(run, stage)
            save(run.weights(stage.name), path, origin, torch.float32)
        restore_parts(run.weights(stage.name), path)


def train_llama_vid_stage(run: LlamaVidRun, stage: Stage) -> None:
    weights = run.weights(stage.name)
    for parameter in [*run.vlm.model.parameters(), *run.reducer.parameters()]:
        parameter.requires_grad_(False)
    for parameter in weights.values():
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(weights.values(), betas=(0.9, 0.98), weight_decay=0.01)
    if stage.name == "reading":
        fit_value_proj(run.vlm, run.reducer, random.Random(f"llama-vid {run.seed} fit"))
        start_reader(run.vlm, run.reducer)
    began, losses = time.monotonic(), []
    for step in tqdm(range(stage.steps), stage.name):
        optimizer.param_groups[0]["lr"] = learning_rate(stage, step)
        loss = checked_loss(run.loss(stage, step), stage, step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 20 == 0 or step + 1 == stage.steps:
            line = f"{stage.name},{step + 1},{np.mean(losses):.4f},{time.monotonic() - began:.0f}"
            log(run.folder, line, header="stage,step,loss,seconds of the stage")
            losses = []


# ---------------------------------------------------------------------------------------------------------------------
# Files: each holds what its stage trained
# ---------------------------------------------------------------------------------------------------------------------


def save(weights: dict[str, Tensor], path: Path, origin: dict[str, str], dtype: torch.dtype) -> None:
    """Writes a temporary file and renames it, so that an interrupted run leaves the old file."""
    with written_whole(path) as beside:
        save_file({name: tensor.detach().to(dtype) for name, tensor in weights.items()}, beside, metadata=origin)


def ship(run: LlamaVidRun, folder: Path = LLAMA_VID) -> None:
    """The files of a finished run in 16 bits: half the size; lessons load and measure these."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, stage in enumerate(run.recipe):
        restore_parts(run.weights(stage.name), run.folder / f"{stage.name}.safetensors")
        save(run.weights(stage.name), folder / f"{stage.name}.safetensors", run.origin(number), torch.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lib.workshop.llama_vid", description="Train LLaMA-VID in small.")
    parser.add_argument("--folder", type=Path, default=Path("build/llama-vid"), help="for the log and the stages")
    parser.add_argument("--data", type=Path, default=LLAMA_VID, help="destination of the weights")
    arguments = parser.parse_args()
    run = start_llama_vid(arguments.folder)
    began = time.monotonic()
    train_llama_vid(run)
    ship(run, arguments.data)
    print(f"trained in {(time.monotonic() - began) / 60:.1f} minutes; log: {run.folder / 'log.csv'}")


if __name__ == "__main__":
    main()
