"""Packing: many questions in one sequence, each computed as if it were alone."""

import pytest
import torch

from lib import toybox
from lib.packing import IGNORE, answer_logits, pack_questions, states
from lib.reducers import SpatialPool

TURNS = [("What is the code?", "472"), ("무슨 색입니까? 🙂", "빨간색"), ("Which way does the red circle move?", "left")]


def logits_of(vlm, visual, turns):
    packed = pack_questions(vlm.model, vlm.tokenizer, visual, turns)
    return answer_logits(vlm.model, packed, states(vlm.model, packed)[-1])


@pytest.fixture
def visual(random_vlm):
    clips = [toybox.sample(seed) for seed in (1, 2)]
    return [SpatialPool(2)(random_vlm.encode(toybox.render(c)[:4]), random_vlm.project).embeds for c in clips]


def test_a_packed_question_equals_the_question_alone(random_vlm, visual):
    """Logits of every answer token, three questions packed, against the same prompt and answer by themselves."""
    with torch.no_grad():
        packed, target = logits_of(random_vlm, visual, [TURNS, TURNS[::-1]])
        alone, alone_target = zip(
            *(
                logits_of(random_vlm, [tokens], [[turn]])
                for tokens, turns in zip(visual, (TURNS, TURNS[::-1]), strict=True)
                for turn in turns
            ),
            strict=True,
        )
    assert torch.equal(target, torch.cat(alone_target))
    assert (packed - torch.cat(alone)).abs().max() < 1e-5


def test_packing_equals_the_models_own_prompt(random_vlm, visual):
    """The same numbers come out of VideoLM.logits, which builds the prompt the usual way."""
    question, answer = TURNS[0]
    clip = toybox.render(toybox.sample(1))[:4]
    with torch.no_grad():
        packed, target = logits_of(random_vlm, visual[:1], [TURNS[:1]])
    first = random_vlm.logits(clip, random_vlm.prompt(question), SpatialPool(2))[-1]
    assert (packed[0] - first).abs().max() < 1e-5
    assert target[-1] == random_vlm.tokenizer.eos_token_id


def test_labels_are_the_answers_and_nothing_else(random_vlm, visual):
    packed = pack_questions(random_vlm.model, random_vlm.tokenizer, visual, [TURNS, TURNS[:1]])
    for row, turns in enumerate((TURNS, TURNS[:1])):
        for number, (_, answer) in enumerate(turns):
            of_turn = packed.labels[row][packed.turn[row] == number]
            assert random_vlm.tokenizer.decode(of_turn[of_turn != IGNORE]) == f" {answer}</s>"
        assert (packed.labels[row][packed.turn[row] == -1] == IGNORE).all()


def test_clips_with_other_numbers_of_tokens_do_not_pack(random_vlm, visual):
    with pytest.raises(ValueError, match="same number of visual tokens"):
        pack_questions(random_vlm.model, random_vlm.tokenizer, [visual[0], visual[1][:5]], [TURNS, TURNS])
    with pytest.raises(ValueError, match="at least one question"):
        pack_questions(random_vlm.model, random_vlm.tokenizer, visual, [TURNS, []])


def test_the_visual_tokens_stand_where_it_says(random_vlm, visual):
    packed = pack_questions(random_vlm.model, random_vlm.tokenizer, visual, [TURNS, TURNS])
    assert torch.equal(packed.embeds[:, packed.visual], torch.stack(visual))
    before, *_, after = states(random_vlm.model, packed)
    assert torch.equal(before, packed.embeds) and after.shape == before.shape
