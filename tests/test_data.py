"""Videos, their split, cached features, and batches."""

import copy
import os
import random
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lib import toybox, video
from lib.data import Collator, Example, Features, Pair, Video, captioning, split, toybox_videos
from lib.packing import IGNORE
from lib.reducers import LlamaVid, SlowFastLlava, SpatialPool
from lib.vlm import VICUNA, VideoLM, load

CLIP = Path("data/aihub_sample") / "Training" / "01.원천데이터" / "TS_toybox" / "toybox_000300.mp4"
CAPTION = "파도가 해변으로 밀려옵니다."


# ------------------------------------------------------------------------------------------------------------- videos


def test_toybox_videos_are_what_toybox_draws_and_says():
    drawn = toybox_videos([3])[0]
    clip = toybox.sample(3)
    assert drawn.captions == {"en": toybox.caption(clip, "en"), "ko": toybox.caption(clip, "ko")}
    assert np.array_equal(drawn.frames(5), toybox.render(clip)[[0, 3, 7, 11, 15]])


def test_a_file_is_read_by_the_same_rule():
    assert np.array_equal(Video("v", {}, path=CLIP).frames(3), video.read_frames(CLIP, [0, 7, 15]).pixels)
    repeated = Video("v", {}, path=CLIP).frames(20)
    assert len(repeated) == 20 and np.array_equal(repeated[-1], video.read_frames(CLIP, [15]).pixels[0])


def test_a_video_is_drawn_or_read():
    with pytest.raises(ValueError, match="v: .*give one of clip and path"):
        Video("v", {})
    with pytest.raises(ValueError, match="give one of clip and path"):
        Video("v", {}, toybox.sample(0), CLIP)


def named(names) -> list[Video]:
    return [Video(name, {}, path=CLIP) for name in names]


def test_a_split_is_the_same_in_every_session():
    """Known names on known sides: Python's own hash would change them from one process to the next."""
    parts = split(named(["바다", "산", "도시", "하늘", "강", "숲"]), validation=0.2, test=0.3)
    assert [[v.name for v in part] for part in parts] == [["산", "도시", "강", "숲"], ["하늘"], ["바다"]]


def test_a_split_depends_on_names_alone():
    videos = named(f"clip-{i}" for i in range(300))
    shuffled = random.Random(0).sample(videos, len(videos))
    for part, of_shuffled, of_half in zip(split(videos), split(shuffled), split(videos[::2]), strict=True):
        assert set(part) == set(of_shuffled)
        assert part == sorted(part, key=videos.index)  # the order given
        assert of_half == [v for v in part if v in videos[::2]]


def test_the_shares_of_a_split_are_about_right():
    train, validation, test = split(named(f"clip-{i}" for i in range(5000)), validation=0.1, test=0.3)
    assert abs(len(validation) - 500) < 90 and abs(len(test) - 1500) < 130  # four deviations
    assert len(train) + len(validation) + len(test) == 5000


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.5), (0.1, -0.1)])
def test_impossible_shares(shares):
    with pytest.raises(ValueError, match="together they stay below 1"):
        split(named("ab"), *shares)


def test_two_videos_of_one_name_cannot_be_split():
    with pytest.raises(ValueError, match="two videos are named 'a'"):
        split(named("aba"))


def test_no_caption_in_that_language():
    with pytest.raises(ValueError, match=r"v has no caption in 'en', only in \['ko'\]"):
        captioning([Video("v", {"ko": CAPTION}, path=CLIP)], "en")


# ----------------------------------------------------------------------------------------------------------- features


@pytest.fixture
def drawn() -> list[Video]:
    return toybox_videos(range(4))


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("on_disk", [False, True])
def test_features_are_those_of_the_tower_looked_at_once(random_vlm, drawn, tmp_path, on_disk):
    features = Features(random_vlm, 4, tmp_path / "new" / "folder" if on_disk else None)
    for _ in range(2):
        for one in drawn:
            assert torch.equal(features(one), random_vlm.encode(one.frames(4)))
    assert features.encoded == 4


def test_the_folder_outlives_the_session(random_vlm, drawn, tmp_path):
    before = Features(random_vlm, 4, tmp_path)(drawn[0])
    later = Features(random_vlm, 4, tmp_path)
    assert torch.equal(later(drawn[0]), before) and later.encoded == 0


def other_weights(vlm: VideoLM) -> VideoLM:
    model = copy.deepcopy(vlm.model)
    with torch.no_grad():
        next(model.model.vision_tower.parameters()).view(-1)[0] += 1e-3
    return replace(vlm, model=model)


@pytest.mark.parametrize(
    "change",
    [
        lambda vlm, folder: Features(vlm, 5, folder),
        lambda vlm, folder: Features(vlm, 4, folder, dtype=torch.float16),
        lambda vlm, folder: Features(other_weights(vlm), 4, folder),
        lambda vlm, folder: Features(replace(vlm, pixels=replace(vlm.pixels, crop=False)), 4, folder),
    ],
)
def test_what_was_seen_in_another_way_is_not_taken(random_vlm, drawn, tmp_path, change):
    Features(random_vlm, 4, tmp_path)(drawn[0])
    other = change(random_vlm, tmp_path)
    other(drawn[0])
    assert other.encoded == 1 and len(files_of(tmp_path)) == 2


def test_a_file_written_anew_is_looked_at_anew(random_vlm, tmp_path):
    clips = sorted(CLIP.parent.iterdir())
    shutil.copy(clips[0], tmp_path / "v.mp4")
    features, one = Features(random_vlm, 2, tmp_path / "cache"), Video("v", {}, path=tmp_path / "v.mp4")
    first = features(one)
    shutil.copy(clips[1], tmp_path / "v.mp4")
    assert not torch.equal(features(one), first) and features.encoded == 2


def test_two_videos_of_one_name_are_not_taken_for_each_other(random_vlm, drawn):
    features = Features(random_vlm, 2)
    twin = replace(drawn[1], name=drawn[0].name)
    assert not torch.equal(features(drawn[0]), features(twin))


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_longest_unused_goes_first(random_vlm, drawn, tmp_path, on_disk):
    room_for_two = int(2.5 * 4 * 8 * 8 * 24 * 4)
    features = Features(random_vlm, 4, tmp_path if on_disk else None, room_for_two)
    looked = []
    for number in (0, 1, 0, 2, 0, 1, 2):  # 2 drives out 1, 1 drives out 2, 2 drives out 0
        features(drawn[number])
        looked.append(features.encoded)
        time.sleep(0.01)  # the clock of some file systems is slow
    assert looked == [1, 2, 2, 3, 3, 4, 5]
    if on_disk:
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= room_for_two


@pytest.mark.parametrize("piece", ["features-0.1.part", ".features-0.safetensors.1.part"])
def test_only_its_own_files_are_deleted(random_vlm, drawn, tmp_path, piece):
    (tmp_path / "mine.safetensors").write_bytes(b"x" * 10**6)
    (tmp_path / piece).write_bytes(b"x" * 10**6)  # of a session that was killed long ago
    os.utime(tmp_path / piece, (0, 0))
    Features(random_vlm, 4, tmp_path, max_bytes=100_000)(drawn[0])
    assert "mine.safetensors" in files_of(tmp_path) and len(files_of(tmp_path)) == 2


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_cache_too_small_for_one_video(random_vlm, drawn, tmp_path, on_disk):
    with pytest.raises(ValueError, match="the cache may hold 1,000: give it more max_bytes, or look at fewer frames"):
        Features(random_vlm, 4, tmp_path if on_disk else None, max_bytes=1000)(drawn[0])
    assert not files_of(tmp_path)


@pytest.mark.parametrize("length", [0, 5, 50, 1000, -1])
def test_a_cache_file_cut_off_is_made_again_and_said(random_vlm, drawn, tmp_path, length):
    right = Features(random_vlm, 4, tmp_path)(drawn[0])
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:length])
    features = Features(random_vlm, 4, tmp_path)
    with pytest.warns(UserWarning, match=f"{file.name} is damaged, perhaps cut off: it is made again"):
        assert torch.equal(features(drawn[0]), right)
    assert torch.equal(features(drawn[0]), right) and features.encoded == 1


def test_an_interrupted_write_leaves_nothing(random_vlm, drawn, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Features(random_vlm, 4, tmp_path)(drawn[0])
    assert files_of(tmp_path) == []
    features = Features(random_vlm, 4, tmp_path)
    features(drawn[0])
    assert features.encoded == 1


def test_half_precision_halves_the_bytes_and_rounds_a_little(random_vlm, drawn):
    whole, half = Features(random_vlm, 4)(drawn[0]), Features(random_vlm, 4, dtype=torch.float16)(drawn[0])
    assert half.nbytes * 2 == whole.nbytes
    assert ((half - whole).abs() <= whole.abs() / 2000 + 1e-7).all() and not torch.equal(half, whole)


# ------------------------------------------------------------------------------------------------------------ batches


def as_transformers_takes_it(vlm: VideoLM, batch: dict, videos: list[Video], frames: int) -> dict:
    pixels = torch.stack([vlm.preprocess(one.frames(frames)) for one in videos])
    return batch | {"pixel_values_videos": pixels}


@pytest.fixture
def collator(random_vlm) -> Collator:
    return Collator(random_vlm, random_vlm.default_reducer, Features(random_vlm, 4))


@pytest.fixture
def examples(drawn) -> list[Example]:
    """Answers of very different lengths, in two languages."""
    short = Example(drawn[2], "What is the code?", "472")
    return [*captioning(drawn[:1], "en"), *captioning(drawn[1:2], "ko"), short]


def test_what_a_batch_says(random_vlm, collator, examples):
    """Prompt, 64 times <video> (4 frames of 16 tokens), the answer, the end; then padding; only answers have labels."""
    batch = collator(examples)
    assert set(batch) == {"input_ids", "attention_mask", "labels", "pixel_values_videos"}
    assert torch.equal(batch["pixel_values_videos"], torch.stack([collator.features(e.video) for e in examples]))
    for ids, mask, labels, example in zip(*list(batch.values())[:3], examples, strict=True):
        length = int(mask.sum())
        assert mask.tolist() == [1] * length + [0] * (len(mask) - length)
        prompt = random_vlm.prompt(example.prompt)
        gap = "" if prompt.endswith("\n") else " "
        whole = prompt.replace("<video>", "<video>" * 64) + gap + example.answer
        assert ids[:length].tolist() == random_vlm.tokenizer(whole).input_ids + [random_vlm.tokenizer.eos_token_id]
        assert (ids[length:] == random_vlm.tokenizer.pad_token_id).all()
        answer = labels != IGNORE
        assert random_vlm.tokenizer.decode(labels[answer]) == gap + example.answer + "</s>"
        assert torch.equal(labels[answer], ids[answer]) and answer[: length - int(answer.sum())].sum() == 0
        assert answer[length:].sum() == 0
    assert len({int(mask.sum()) for mask in batch["attention_mask"]}) == 3


@pytest.mark.parametrize("size", [1, 3])
def test_the_loss_is_that_of_transformers_on_pixels(random_vlm, collator, examples, size):
    """The vision tower inside, outside, and transformers' own forward: one loss."""
    batch = collator(examples[:size])
    pixels = as_transformers_takes_it(random_vlm, batch, [e.video for e in examples[:size]], 4)
    with torch.no_grad():
        theirs = random_vlm.model(**pixels)
        with random_vlm.looking_through(random_vlm.default_reducer):
            ours = random_vlm.model(**batch)
    assert abs(ours.loss - theirs.loss) < 1e-5 and theirs.loss > 1
    assert (ours.logits - theirs.logits).abs().max() < 1e-5


SLOWFAST = SlowFastLlava.from_spec("slowfast-slow_2frms_spatial_1d_max_pool-fast_4x4")


@pytest.mark.parametrize("reducer", [SpatialPool(4, "max"), SLOWFAST], ids=["max", "slowfast"])
def test_a_padded_row_is_computed_as_if_it_were_alone(random_vlm, examples, reducer):
    """Right padding (training), left padding (generation), and VideoLM.logits, which splices embeddings."""
    collator = Collator(random_vlm, reducer, Features(random_vlm, 4))
    batch, prompts = collator(examples), collator.prompts(examples)
    with torch.no_grad(), random_vlm.looking_through(reducer):
        right, left = random_vlm.model(**batch).logits, random_vlm.model(**prompts).logits
        for row, example in enumerate(examples):
            alone = random_vlm.model(**collator([example])).logits[0]
            assert (right[row][: len(alone)] - alone).abs().max() < 1e-5
            asked = random_vlm.logits(collator.features(example.video), random_vlm.prompt(example.prompt), reducer)
            assert (left[row][-len(asked) :] - asked).abs().max() < 1e-5
            assert (alone[: len(asked)] - asked).abs().max() < 1e-5


def test_prompts_generate_what_answers_says(random_vlm, collator, examples):
    prompts = collator.prompts(examples, new_tokens=5)
    assert prompts["attention_mask"][:, -1].all() and not prompts["attention_mask"].all()
    with random_vlm.looking_through(random_vlm.default_reducer):
        ids = random_vlm.model.generate(**prompts, do_sample=False, max_new_tokens=5, pad_token_id=0)
    new = random_vlm.tokenizer.batch_decode(ids[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
    frames = [e.video.frames(4) for e in examples]
    assert [text.strip() for text in new] == random_vlm.answers(frames, [e.prompt for e in examples], max_new_tokens=5)


def test_pairs_are_their_examples_one_above_the_other(collator, drawn):
    pairs = [Pair(one, "Describe it.", "right " * (n + 1), "wrong, and longer") for n, one in enumerate(drawn[:2])]
    batch = collator.pairs(pairs)
    assert set(batch) == {"input_ids", "attention_mask", "completion_mask", "pixel_values_videos"}
    examples = [Example(p.video, p.prompt, p.chosen) for p in pairs] + [
        Example(p.video, p.prompt, p.rejected) for p in pairs
    ]
    same = collator(examples)
    for name in ("input_ids", "attention_mask", "pixel_values_videos"):
        assert torch.equal(batch[name], same[name])
    assert torch.equal(batch["completion_mask"], (same["labels"] != IGNORE).long())


def test_nothing_is_truncated(random_vlm, drawn):
    """32 frames of 16 tokens fill the whole context of 512; the message says how many frames would fit, and they do."""
    example = captioning(drawn[:1], "en")[0]
    with pytest.raises(ValueError, match=r"toybox-0: 512 visual and \d+ text .* use at most \d+ frames") as error:
        Collator(random_vlm, SpatialPool(2), Features(random_vlm, 32))([example])
    fit = int(re.search(r"at most (\d+) frames", str(error.value))[1])
    assert Collator(random_vlm, SpatialPool(2), Features(random_vlm, fit))([example])["input_ids"].shape[1] <= 512
    with pytest.raises(ValueError, match=f"at most {fit} frames"):
        Collator(random_vlm, SpatialPool(2), Features(random_vlm, fit + 1))([example])


def test_new_tokens_must_fit_as_well(collator, examples):
    length = collator.prompts(examples[2:])["input_ids"].shape[1]
    assert collator.prompts(examples[2:], new_tokens=512 - length)
    with pytest.raises(ValueError, match="toybox-2: 64 visual and .* exceed the context of 512"):
        collator.prompts(examples[2:], new_tokens=513 - length)


@pytest.mark.parametrize("special", ["</s>", "<video>", "<image>", "<pad>"])
def test_special_tokens_in_an_answer_are_refused(collator, drawn, special):
    with pytest.raises(ValueError, match=f"toybox-0: its answer holds the special token {special}: take it out"):
        collator([Example(drawn[0], "Describe it.", f"It ends{special} here.")])


@pytest.mark.parametrize("answer", ["", " \n"])
def test_an_empty_answer_is_refused(collator, drawn, answer):
    with pytest.raises(ValueError, match="toybox-0: its answer is empty: leave the example out"):
        collator([Example(drawn[0], "Describe it.", answer)])


def test_a_prompt_brings_no_video_token_of_its_own(collator, drawn):
    with pytest.raises(ValueError, match="holds <video> 2 times where 1 belongs"):
        collator([Example(drawn[0], "Describe <video>.", "A circle.")])


@pytest.mark.parametrize("make", ["__call__", "pairs", "prompts"])
def test_an_empty_batch(collator, make):
    with pytest.raises(ValueError, match="give at least one"):
        getattr(collator, make)([])


def test_reducers_that_look_at_the_question_are_refused(random_vlm):
    with pytest.raises(ValueError, match="LlamaVid looks at the question, .*keep='content'"):
        Collator(random_vlm, LlamaVid(24, 64), Features(random_vlm, 4))


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """Llama's way: a space is part of the word after it, and one is put before the first word of any text."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # no token spans two words
    specials = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>"]
    texts = ["USER: \nWhat is it? ASSISTANT: red circle blue"]
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=400, special_tokens=specials, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")  # and no pad token, as Llama
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def test_answers_are_tokenised_as_they_stand_in_the_text(random_vlm, drawn):
    """Encoded by itself, " red" would get a second space before it, which the model never sees in use.

    And where the end token pads as well, the end of an answer is learned all the same.
    """
    vlm = replace(random_vlm, tokenizer=sentencepiece_like(), chat=VICUNA)
    rows = [Example(drawn[0], "What is it?", answer) for answer in ("red", "red circle blue")]
    batch = Collator(vlm, vlm.default_reducer, Features(vlm, 4))(rows)
    tokens = [vlm.tokenizer.convert_ids_to_tokens(row[row != IGNORE]) for row in batch["labels"]]
    assert ["".join(row) for row in tokens] == ["▁red</s>", "▁red▁circle▁blue</s>"]
    assert (batch["input_ids"][0][batch["attention_mask"][0] == 0] == vlm.tokenizer.eos_token_id).all()
    assert batch["attention_mask"][batch["labels"] != IGNORE].all()


def train(vlm: VideoLM, features, examples: list[Example], steps: int) -> tuple[list[float], float]:
    """The losses of a few steps that train the language model, and the seconds of CPU that one takes after the first.

    The CPU's seconds, not the clock's: a busy machine changes the clock, not the work.
    """
    vlm = replace(vlm, model=copy.deepcopy(vlm.model))
    optimizer = torch.optim.AdamW(vlm.model.model.language_model.parameters(), lr=1e-3)
    collator, losses, began = Collator(vlm, vlm.default_reducer, features), [], 0
    with vlm.looking_through(vlm.default_reducer):
        for step in range(steps):
            if step == 1:
                began = time.process_time()
            loss = vlm.model(**collator(examples)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, (time.process_time() - began) / (steps - 1)


def test_the_loss_is_the_same_with_and_without_a_cache(random_vlm, examples, tmp_path):
    every_step, _ = train(random_vlm, lambda one: random_vlm.encode(one.frames(4)), examples, 4)
    for features in (Features(random_vlm, 4), Features(random_vlm, 4, tmp_path)):
        assert train(random_vlm, features, examples, 4)[0] == every_step
        assert features.encoded == 3
    assert every_step[-1] < every_step[0]


def test_a_cache_makes_three_steps_of_one_at_the_same_loss(tmp_path):
    """On clips of the size that AI-Hub's have: five seconds at 30 frames, of a megapixel each; tiny looks at 16."""
    path = toybox.write_mp4(tmp_path / "v.mp4", toybox.render(toybox.sample(300, frames=150)), fps=30, scale=16)
    examples, tiny = captioning([Video("v", {"ko": CAPTION}, path=path)], "ko"), load("tiny")
    losses, seconds = train(tiny, lambda one: tiny.encode(one.frames(16)), examples, 3)
    cached_losses, cached_seconds = train(tiny, Features(tiny, 16, tmp_path / "features"), examples, 6)
    assert cached_losses[:3] == losses
    assert seconds / cached_seconds >= 3, (seconds, cached_seconds)
