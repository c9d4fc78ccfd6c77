"""LLaMA-VID: the reducer against the official code, blocks and streams, and what each token stands for."""

import json
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.reducers import Kind, LlamaVid
from lib.reducers.llama_vid import QUERIES, QUESTION_TOKENS, small_qformer

GOLDEN = Path(__file__).parent / "golden"
CASES = [case for case in json.loads((GOLDEN / "index.json").read_text()) if case["name"].startswith("llama_vid")]
QUESTION = "What colour is the circle?"
KEEP = ("both", "context", "content")


class Letters:
    """A tokenizer: one token per letter."""

    pad_token_id = 0

    def __len__(self):
        return 128

    def __call__(self, text):
        return type("Encoded", (), {"input_ids": [ord(letter) % 127 + 1 for letter in text]})


def reducer(compress="mean", keep="both", vision_dim=8, language_dim=6):
    """An untrained LlamaVid whose attention is not flat."""
    torch.manual_seed(0)
    made = LlamaVid(vision_dim, language_dim, compress, keep, Letters())
    nn.init.normal_(made.query_proj.weight, std=2)
    return made.eval()


def project(vision_dim=8, language_dim=6):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(vision_dim, language_dim), nn.GELU(), nn.Linear(language_dim, language_dim))


def asked(made):
    return QUESTION if made.takes_question else None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_equals_the_official_code(case):
    arrays = {name: torch.from_numpy(array) for name, array in np.load(GOLDEN / f"{case['name']}.npz").items()}
    vision_dim, language_dim = arrays["features"].shape[-1], arrays["tokens"].shape[-1]
    made = LlamaVid(vision_dim, language_dim, case["compress_type"])
    mlp = nn.Sequential(nn.Linear(vision_dim, language_dim), nn.GELU(), nn.Linear(language_dim, language_dim))
    for layer, name in ((made.key_proj, "key"), (made.value_proj, "value"), (mlp[0], "proj1"), (mlp[2], "proj2")):
        layer.load_state_dict({"weight": arrays[f"{name}_weight"], "bias": arrays[f"{name}_bias"]})
    tokens = made.generate_tokens(arrays["text_query"], arrays["features"], mlp)
    torch.testing.assert_close(tokens, arrays["tokens"], atol=1e-5, rtol=0)
    side = int(arrays["features"].shape[1] ** 0.5)
    assert made.count(len(tokens), side, side) == tokens.shape[0] * tokens.shape[1]


def test_all_five_golden_files_are_compared():
    assert len(CASES) == 5 and {case["compress_type"] for case in CASES} == {"mean", "grid:2", "grid:4", "grid:5", None}


def official_pool(features, cells):
    """(T, S, S, C) -> (T, s, s, C): how the official code pools "grid:cells"."""
    size = features.shape[1] // cells
    return F.avg_pool2d(features.permute(0, 3, 1, 2), kernel_size=size, stride=size, padding=0).permute(0, 2, 3, 1)


@pytest.mark.parametrize("side", [2, 7, 8, 9, 12, 13, 16, 24, 27])
@pytest.mark.parametrize("cells", range(1, 17))
def test_any_grid_that_the_official_code_reaches_is_pooled_as_there(cells, side):
    features, made = torch.randn(2, side, side, 3), reducer(f"grid:{cells}", "content", 3, 3)
    pooled = official_pool(features, cells) if cells <= side else features[:, :0]
    if pooled.shape[1] != cells:
        with pytest.raises(ValueError, match=f"{side} x {side} patches cannot be pooled to {cells} x {cells} content"):
            made.count(1, side, side)
        return
    tokens = made(features)
    torch.testing.assert_close(tokens.embeds, pooled.flatten(0, 2), atol=0, rtol=0)
    assert made.count(2, side, side) == len(tokens) == 2 * cells**2
    assert tokens.box.amax().item() == side // cells * cells  # what is beyond is left out


@pytest.mark.parametrize("compress, reached", [("grid:5", (15, 20)), ("grid:4x2", (16, 20)), ("grid:1x6", (16, 18))])
def test_rows_and_columns_are_left_out_each_by_its_own_cells(compress, reached):
    assert tuple(reducer(compress, "content").layout(16, 20)[:, [2, 4]].amax(0).tolist()) == reached


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("compress", ["mean", "grid:2", "grid:1x2", None])
@pytest.mark.parametrize("height, width", [(4, 6), (5, 7)])  # 5 x 7: "grid:2" leaves a row and a column out
def test_every_token_says_what_it_is(compress, keep, height, width):
    frames = 3
    features = torch.eye(frames * height * width).reshape(frames, height, width, -1)  # a channel for every patch
    made = reducer(compress, keep, features.shape[-1], features.shape[-1])
    made.value_proj = nn.Identity()
    tokens = made(features, question=asked(made))
    assert len(tokens) == made.count(frames, height, width)
    assert tokens.frame.tolist() == sorted(tokens.frame.tolist()) and set(tokens.frame.tolist()) == {0, 1, 2}
    of_frame = tokens.kind[tokens.frame == 1].tolist()
    assert of_frame == sorted(of_frame)  # CONTEXT is 3 and comes first, CONTENT is 4
    assert (of_frame.count(Kind.CONTEXT), Kind.CONTENT in of_frame) == (int(keep != "content"), keep != "context")
    for embed, frame, box in zip(tokens.embeds, tokens.frame.tolist(), tokens.box.tolist(), strict=True):
        said = torch.zeros(frames, height, width, dtype=bool)
        said[frame, box[0] : box[1], box[2] : box[3]] = True
        assert torch.equal(embed.reshape(frames, height, width) > 0, said)
        assert embed.sum().item() == pytest.approx(1, abs=1e-5)


def test_the_content_token_is_the_mean_projected_afterwards():
    features, mlp = torch.randn(3, 4, 4, 8), project()
    content = reducer(keep="content")(features, mlp).embeds
    torch.testing.assert_close(content, mlp(features.mean((1, 2))), atol=1e-6, rtol=0)
    assert (content - mlp(features).mean((1, 2))).abs().max() > 1e-3
    halves = reducer("grid:1x2", "content")(features, mlp).embeds.unflatten(0, (3, 2))
    torch.testing.assert_close(halves[:, 0], mlp(features[:, :, :2].mean((1, 2))), atol=1e-6, rtol=0)


def test_the_question_changes_the_context_token_and_nothing_else():
    features, mlp, made = torch.randn(3, 4, 4, 8), project(), reducer()
    first, second = (made(features, mlp, question) for question in (QUESTION, "What is the code?"))
    context = first.kind == Kind.CONTEXT
    assert (first.embeds - second.embeds)[context].abs().min(dim=1).values.max() > 1e-4
    assert torch.equal(first.embeds[~context], second.embeds[~context])


@pytest.mark.parametrize("keep", KEEP)
def test_leaving_tokens_out_changes_no_other_token(keep):
    features, mlp, both = torch.randn(3, 4, 4, 8), project(), reducer("grid:2")
    part = both.with_tokens("grid:2", keep)
    whole, some = both(features, mlp, QUESTION), part(features, mlp, asked(part))
    wanted = {"both": (Kind.CONTEXT, Kind.CONTENT), "context": (Kind.CONTEXT,), "content": (Kind.CONTENT,)}[keep]
    chosen = whole.map(lambda field: field[torch.isin(whole.kind, torch.tensor(wanted))])
    assert torch.equal(chosen.embeds, some.embeds) and torch.equal(chosen.box, some.box)
    assert both.keep == "both" and both.takes_question


@pytest.mark.parametrize("sizes", [(1,) * 70, (64, 6), (5, 64, 1)])
def test_a_stream_of_any_blocks_equals_the_whole(sizes):
    torch.manual_seed(2)
    features, mlp, made = torch.randn(70, 4, 4, 8), project(), reducer("grid:2")
    whole = made(features, mlp, QUESTION)  # in blocks of 64 itself
    direct = made.generate_tokens(made.ask(features, QUESTION), features, mlp).flatten(0, 1)
    streamed = made.stream((block for block in features.split(sizes)), mlp, QUESTION)
    torch.testing.assert_close(whole.embeds, direct, atol=1e-6, rtol=0)
    torch.testing.assert_close(streamed.embeds, direct, atol=1e-6, rtol=0)
    for name in ("frame", "kind", "box"):
        assert torch.equal(getattr(streamed, name), getattr(whole, name))
    assert whole.frame.tolist() == [frame for frame in range(70) for _ in range(5)]


def test_a_stream_forgets_each_block_before_the_next():
    alive = []

    def blocks():
        for _ in range(5):
            block = torch.randn(2, 4, 4, 8)
            alive.append(weakref.ref(block))
            assert sum(ref() is not None for ref in alive) <= 2  # the new one, and at most the one before
            yield block
            del block

    with torch.no_grad():
        assert len(reducer().stream(blocks(), project(), QUESTION)) == 20


def test_the_attention_map_is_what_the_context_token_reads():
    features, made = torch.randn(70, 4, 4, 8), reducer()
    looks = made.attention_map(features, QUESTION)
    assert looks.shape == (70, 4, 4)
    torch.testing.assert_close(looks.sum((1, 2)), torch.ones(70))
    assert looks.max() > 2 / 16  # not flat
    found = made.value_proj((looks[..., None] * features).sum((1, 2)))
    tokens = made(features, project(), QUESTION)
    torch.testing.assert_close(found, tokens.embeds[tokens.kind == Kind.CONTEXT], atol=1e-5, rtol=0)


def test_the_attention_is_the_official_one_step_by_step():
    features, made = torch.randn(2, 9, 8), reducer()
    query = torch.randn(2, QUERIES, 8)
    found = torch.zeros(2, 8)
    for frame in range(2):
        for one in query[frame]:
            scores = torch.stack([one @ made.key_proj(patch) / 8**0.5 for patch in features[frame]])
            found[frame] += (scores.softmax(0)[:, None] * features[frame]).sum(0) / QUERIES
    context = made.with_tokens(keep="context").generate_tokens(query, features)
    torch.testing.assert_close(context[:, 0], made.value_proj(found), atol=1e-5, rtol=0)


def test_questions_of_different_lengths_do_not_disturb_each_other():
    made, features = reducer(), torch.randn(2, 16, 8)
    questions = ["What?", "Which way does the red circle move?"]
    together = made.text_query(*made.read(questions), features)
    for row, question in enumerate(questions):
        alone = made.text_query(*made.read([question]), features[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=0)
    assert (together[0] - made.text_query(*made.read(questions[::-1]), features)[0]).abs().max() > 1e-3


def test_a_long_question_loses_its_beginning():
    made = reducer()
    ids, mask = made.read(["x" * 300 + "what?", "why?"])
    assert ids.shape == mask.shape == (2, QUESTION_TOKENS)
    assert ids[0, -5:].tolist() == Letters()("what?").input_ids and mask[1].sum() == 4


@pytest.mark.parametrize("keep", KEEP)
def test_gradients_reach_every_part_that_makes_a_token(keep):
    made, mlp = reducer(keep=keep).train(), project()
    made(torch.randn(2, 4, 4, 8), mlp, asked(made)).embeds.square().sum().backward()
    reached = {name.split(".")[0] for name, weight in made.named_parameters() if weight.grad is not None}
    context = {"vision_norm", "queries", "qformer", "query_proj", "key_proj", "value_proj"}
    assert reached == (set() if keep == "content" else context)
    assert all((weight.grad is not None) == (keep != "context") for weight in mlp.parameters())


def test_it_answers_through_the_model(random_vlm, make_frames):
    """`VideoLM` passes the question on, and the tokens of a batch are those of each row alone."""
    torch.manual_seed(0)
    made = LlamaVid(24, 64, tokenizer=random_vlm.tokenizer).eval()
    features = random_vlm.encode(make_frames(4))
    prompt = random_vlm.prompt(QUESTION)
    ids = random_vlm.tokenizer(prompt, return_tensors="pt").input_ids[0]
    by_hand = random_vlm.splice(ids, made(features, random_vlm.project, QUESTION))
    assert torch.equal(random_vlm.sequence(features, prompt, made), by_hand)
    assert isinstance(random_vlm.answer(features, QUESTION, made, max_new_tokens=2), str)


def test_the_parts_are_as_in_the_paper():
    made = LlamaVid(96, 128, tokenizer=Letters())
    assert made.queries.shape == (1, 32, 64) and QUERIES == 32 and QUESTION_TOKENS == 256
    shapes = [tuple(layer.weight.shape) for layer in (made.query_proj, made.key_proj, made.value_proj)]
    assert shapes == [(96, 64), (96, 96), (128, 96)]
    looks_at_frame = [hasattr(layer, "crossattention") for layer in made.qformer.encoder.layer]
    assert looks_at_frame == [True, False]
    assert small_qformer(96, 128).encoder_hidden_size == 96


@pytest.mark.parametrize(
    "attempt, message",
    [
        (lambda: LlamaVid(8, 6, "median"), "write 'mean', 'grid:4'"),
        (lambda: LlamaVid(8, 6, "grid:0"), "write 'mean', 'grid:4'"),
        (lambda: LlamaVid(8, 6, "grid:4 "), "write 'mean', 'grid:4'"),
        (lambda: LlamaVid(8, 6, keep="neither"), "choose one of both, context, content"),
        (lambda: reducer("grid:6")(torch.zeros(1, 16, 16, 8), project(), QUESTION), "grid:4, grid:5, grid:8, grid:16"),
        (lambda: reducer("grid:7").count(1, 24, 24), "24 x 24 patches cannot be pooled to 7 x 7 content tokens"),
        (lambda: reducer("grid:9").count(1, 8, 9), "use compress='mean', None, or grid:1, grid:2, grid:4"),
        (lambda: reducer("grid:2").generate_tokens(torch.zeros(1, 2, 8), torch.zeros(1, 17, 8)), "without CLS"),
        (lambda: reducer()(torch.zeros(1, 4, 4, 8)), "pass question="),
        (lambda: reducer(keep="content")(torch.zeros(1, 4, 4, 8), question=QUESTION), "leave question=None"),
        (lambda: reducer()(torch.zeros(0, 4, 4, 8), project(), QUESTION), "at least one frame"),
        (lambda: reducer().count(0, 4, 4), "at least one frame"),
        (lambda: reducer().stream(iter(()), project(), QUESTION), "give at least one block"),
        (lambda: reducer()(torch.zeros(1, 16, 8), project(), QUESTION), "give (T, H, W, C)"),
        (lambda: LlamaVid(8, 6)(torch.zeros(1, 4, 4, 8), project(), QUESTION), "tokenizer=vlm.tokenizer"),
        (lambda: reducer(keep="content").attention_map(torch.zeros(1, 4, 4, 8), QUESTION), "leave question=None"),
    ],
)
def test_errors_name_the_fix(attempt, message):
    with pytest.raises(ValueError) as error:
        attempt()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
