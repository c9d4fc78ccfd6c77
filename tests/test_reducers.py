"""The reducers against the papers' official code, and what their tokens say of where they come from."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers.models.internvl.modeling_internvl import InternVLModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionPatchEmbed, Qwen2_5_VLPatchMerger
from transformers.models.qwen2_vl.modeling_qwen2_vl import PatchMerger as Qwen2VLPatchMerger

from lib.reducers import DyCoke, Kind, LlavaVideo, PatchMerger, Reducer, SlowFastLlava, SpatialPool
from lib.reducers.patch_merger import merge_neighbours

GOLDEN = Path(__file__).parent / "golden"
INDEX = json.loads((GOLDEN / "index.json").read_text())
ELSEWHERE = ("video_processor", "llama_vid", "fastv")  # compared in test_vlm.py, test_llama_vid.py, test_fastv.py
CASES = [case for case in INDEX if not case["name"].startswith(ELSEWHERE)]
DYCOKES = ((0.7, None, "similarity"), (0.4, SpatialPool(1), "place"), (1.0, SpatialPool(2, "max"), "place"))
SPEC = "slowfast-slow_10frms_spatial_1d_max_pool-fast_4x4"


def one_hot_features(frames, height, width):
    """(T, H, W, T * H * W): patch number i has a one in channel i, so a pooled token shows which patches it read."""
    return torch.eye(frames * height * width).reshape(frames, height, width, -1)


def learned(width, value=-1.0):
    return torch.full((width,), value)


def all_reducers(width):
    """One of each kind that fits any grid of 4 x 4 patches or more, for tokens of the given width."""
    newline, frame_token = learned(width, -1.0), learned(width, -2.0)
    conv = nn.Conv2d(width, width, 2, 2, bias=False)
    conv.weight.data = torch.eye(width)[:, :, None, None].repeat(1, 1, 2, 2)  # sums each channel over its window
    return [
        *(SpatialPool(stride, mode) for mode in ("average", "max", "bilinear") for stride in (1, 2, 3, 4)),
        *(SpatialPool(2, "average", "before", newline_at, newline) for newline_at in ("grid", "frame", "one")),
        SpatialPool(2, "conv", conv=conv),
        SlowFastLlava.from_spec(SPEC),
        SlowFastLlava.from_spec("slowfast-slow_3frms_spatial_2d_avg_pool-fast_2x3"),
        SlowFastLlava.from_spec("slowfast-slow_2frms_concat-fast_1x1"),
        *(LlavaVideo(every, 2, 4, mode, newline, frame_token) for every in (1, 3) for mode in ("average", "bilinear")),
        LlavaVideo(2, 1, 2, "max"),
        *(PatchMerger(side, shared=True) for side in (2, 3)),
        *(DyCoke(prune, first, order) for prune, first, order in DYCOKES),
    ]


GRIDS = [(1, 4, 4), (2, 5, 7), (5, 8, 8), (7, 9, 6)]
PARAMETERS = [
    pytest.param(grid, index, id=f"{grid}-{index}") for grid in GRIDS for index in range(len(all_reducers(1)))
]


def reducer_for(case, arrays):
    """The reducer that a golden file's settings describe."""
    if "spec" in case:
        return SlowFastLlava.from_spec(case["spec"])
    if "merging_ratio" in case:
        return DyCoke(case["merging_ratio"], SpatialPool(1))
    if case.get("slow_fast"):
        strides = case["faster_token_stride"], case["slow_pool_stride"], case["fast_pool_stride"]
        return LlavaVideo(*strides, case["mode"], arrays["newline"], arrays["faster"])
    if "newline_position" in case:
        return SpatialPool(
            case["slow_pool_stride"], case["mode"], "before", case["newline_position"], arrays["newline"]
        )
    return SpatialPool(case["stride"], case["mode"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_equals_the_official_code(case):
    arrays = {name: torch.from_numpy(array) for name, array in np.load(GOLDEN / f"{case['name']}.npz").items()}
    side = int(arrays["features"].shape[1] ** 0.5)
    features = arrays["features"].unflatten(1, (side, side))
    reducer = reducer_for(case, arrays)
    tokens, official = reducer(features), arrays["tokens"].flatten(0, -2)
    assert tokens.embeds.shape == official.shape
    assert len(tokens) == reducer.count(*features.shape[:3]) == len(official)
    torch.testing.assert_close(tokens.embeds, official, atol=1e-5, rtol=0)
    if "slow_indices" in arrays:
        assert reducer.slow_indices(len(features)) == arrays["slow_indices"].tolist()


def test_every_golden_file_is_compared():
    assert sorted(case["name"] for case in INDEX) == sorted(path.stem for path in GOLDEN.glob("*.npz"))
    assert len(CASES) == 17


@pytest.mark.parametrize("grid, index", PARAMETERS)
def test_count_is_the_number_of_tokens(grid, index):
    reducer = all_reducers(3)[index]
    tokens = reducer(torch.randn(*grid, 3))
    assert reducer.count(*grid) == len(tokens)
    shapes = [tuple(field.shape) for field in (tokens.embeds, tokens.frame, tokens.kind, tokens.box)]
    assert shapes == [(len(tokens), 3), (len(tokens),), (len(tokens),), (len(tokens), 4)]


@pytest.mark.parametrize("grid, index", PARAMETERS)
def test_box_and_frame_name_exactly_the_patches_a_token_reads(grid, index):
    frames, height, width = grid
    features = one_hot_features(*grid)
    reducer = all_reducers(features.shape[-1])[index]
    tokens = reducer(features)
    for embed, frame, kind, (top, bottom, left, right) in zip(
        tokens.embeds, tokens.frame.tolist(), tokens.kind.tolist(), tokens.box.tolist(), strict=True
    ):
        if kind != Kind.PATCH:
            assert embed.tolist() == learned(len(embed), -1.0 if kind == Kind.NEWLINE else -2.0).tolist()
            assert (top, bottom, left, right) == (0, 0, 0, 0)
            continue
        assert 0 <= top < bottom <= height and 0 <= left < right <= width
        said = torch.zeros(frames, height, width, dtype=bool)
        said[frame, top:bottom, left:right] = True
        assert torch.equal(embed.reshape(frames, height, width) > 1e-3, said)


def times_read(tokens, frames, height, width):
    """(T, H, W): how many tokens summarise each patch, as their boxes say."""
    count = torch.zeros(frames, height, width, dtype=int)
    for frame, (top, bottom, left, right) in zip(tokens.frame.tolist(), tokens.box.tolist(), strict=True):
        count[frame, top:bottom, left:right] += 1
    return count


def test_average_reads_each_patch_once_and_leaves_out_what_the_stride_does_not_divide():
    count = times_read(SpatialPool(2)(torch.randn(3, 27, 24, 2)), 3, 27, 24)
    assert (count[:, :26] == 1).all() and (count[:, 26] == 0).all()


def test_bilinear_reads_all_at_stride_two_and_the_middle_quarter_at_stride_four():
    assert (times_read(SpatialPool(2, "bilinear")(torch.randn(2, 24, 24, 2)), 2, 24, 24) == 1).all()
    count = times_read(SpatialPool(4, "bilinear")(torch.randn(2, 24, 24, 2)), 2, 24, 24)
    middle = torch.tensor([0, 1, 1, 0]).repeat(6)
    assert torch.equal(count[0], middle[:, None] * middle)


def test_slowfast_reads_all_frames_coarsely_and_the_slow_ones_again():
    reducer = SlowFastLlava.from_spec("slowfast-slow_2frms_spatial_1d_max_pool-fast_4x4")
    count = times_read(reducer(torch.randn(6, 8, 8, 2)), 6, 8, 8)
    assert [reading.unique().tolist() for reading in count] == [[2], [1], [1], [2], [1], [1]]


def test_llava_video_reads_each_frame_once_in_time_order():
    tokens = LlavaVideo(3, 2, 4, "average", learned(2), learned(2))(torch.randn(7, 8, 8, 2))
    patches = tokens.map(lambda field: field[tokens.kind == Kind.PATCH])
    assert (times_read(patches, 7, 8, 8) == 1).all()
    assert tokens.frame.tolist() == sorted(tokens.frame.tolist())
    ends = [tokens.frame.tolist().index(frame) - 1 for frame in range(1, 7)] + [len(tokens) - 1]
    assert tokens.kind[ends].tolist() == [Kind.SEPARATOR] * 7
    assert (tokens.kind == Kind.SEPARATOR).sum() == 7


@pytest.mark.parametrize(
    "reducer, grid, count",
    [
        (SpatialPool(2), (32, 24, 24), 4608),
        (SpatialPool(3), (1, 24, 24), 64),
        (SpatialPool(4), (1, 24, 24), 36),
        (SpatialPool(2, "average", "before", "grid", learned(1)), (1, 24, 24), 156),
        (SpatialPool(2, "average", "before", "frame", learned(1)), (1, 24, 24), 145),
        (SpatialPool(2), (1, 27, 27), 169),
        (SpatialPool(2, "average", "before", "grid", learned(1)), (1, 27, 27), 182),
        (SpatialPool(2, "bilinear"), (1, 27, 27), 196),
        (SpatialPool(2, "bilinear", "before", "grid", learned(1)), (64, 27, 27), 13440),
        (SpatialPool(4, "bilinear"), (1, 27, 27), 49),
        (SlowFastLlava.from_spec(SPEC), (50, 24, 24), 3680),
        (LlavaVideo(1, 2, 4, "average", learned(1), learned(1)), (1, 24, 24), 157),
        (LlavaVideo(5, 2, 4, "bilinear", learned(1), learned(1)), (64, 27, 27), 13 * 211 + 51 * 57),
    ],
)
def test_counts_of_the_papers(reducer, grid, count):
    assert reducer.count(*grid) == count


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 5))


def test_pooling_before_and_after_the_projector_differ_unless_it_is_linear():
    features, linear, project = torch.randn(3, 8, 8, 6), nn.Linear(6, 5), mlp()
    after, before = SpatialPool(2, project="after"), SpatialPool(2, project="before")
    torch.testing.assert_close(after(features, linear).embeds, before(features, linear).embeds, atol=1e-6, rtol=0)
    assert (after(features, project).embeds - before(features, project).embeds).abs().max() > 1e-2
    pooled = features.unflatten(1, (4, 2)).unflatten(3, (4, 2)).mean((2, 4))
    torch.testing.assert_close(after(features, project).embeds, project(pooled).flatten(0, 2), atol=1e-6, rtol=0)


def test_slowfast_and_llava_video_pool_projected_features():
    features, project = torch.randn(5, 8, 8, 6), mlp()
    for reducer in (SlowFastLlava.from_spec(SPEC), LlavaVideo()):
        assert torch.equal(reducer(features, project).embeds, reducer(project(features)).embeds)


@pytest.mark.parametrize("index", range(len(all_reducers(1))))
def test_gradients_reach_the_projector_and_the_learned_vectors(index):
    project = nn.Linear(6, 6)
    reducer = all_reducers(6)[index]
    learned_vectors = [
        nn.Parameter(getattr(reducer, name))
        for name in ("newline_embed", "frame_token")
        if getattr(reducer, name, None) is not None
    ]
    for name, vector in zip(("newline_embed", "frame_token"), learned_vectors, strict=False):
        setattr(reducer, name, vector)
    reducer(torch.randn(4, 8, 8, 6), project).embeds.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in [*project.parameters(), *learned_vectors])


def test_dtype_and_device_follow_the_features():
    for reducer in all_reducers(4):
        tokens = reducer.to(torch.bfloat16)(torch.randn(3, 8, 8, 4, dtype=torch.bfloat16))
        assert tokens.embeds.dtype == torch.bfloat16
        assert tokens.frame.dtype == tokens.kind.dtype == tokens.box.dtype == torch.int64


def test_the_newline_sits_where_it_is_asked_for():
    features = torch.zeros(2, 4, 6, 3)

    def newlines(newline):
        tokens = SpatialPool(2, newline=newline, newline_embed=learned(3))(features)
        at = (tokens.kind == Kind.NEWLINE).nonzero().flatten()
        assert (tokens.embeds[at] == -1).all()
        return at.tolist(), tokens.frame[at].tolist()

    assert newlines("grid") == ([3, 7, 11, 15], [0, 0, 1, 1])
    assert newlines("frame") == ([6, 13], [0, 1])
    assert newlines("one") == ([12], [-1])


def test_slow_indices_are_those_of_float32_linspace():
    slow_indices = SlowFastLlava.from_spec("slowfast-slow_14frms_concat-fast_1x1").slow_indices
    assert SlowFastLlava.from_spec(SPEC).slow_indices(50) == list(range(0, 50, 5))
    assert SlowFastLlava.from_spec(SPEC).slow_indices(4) == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    assert slow_indices(2) != [i * 2 // 14 for i in range(14)]  # one of 39 pairs up to (128, 32) where they differ


def test_slow_pooling_stays_inside_a_row_of_odd_width():
    features = torch.arange(15.0).reshape(1, 3, 5, 1)
    reducer = SlowFastLlava.from_spec("slowfast-slow_1frms_spatial_1d_max_pool-fast_1x1")
    assert reducer(features).embeds[:6].flatten().tolist() == [1, 3, 6, 8, 11, 13]
    official = nn.MaxPool1d(2, 2)(features.reshape(1, 1, 15)).flatten().tolist()
    assert official == [1, 3, 5, 7, 9, 11, 13]  # pairs 4 with 5 and 9 with 10, in different rows


def test_llava_video_does_not_change_from_video_to_video():
    reducer, features = LlavaVideo(3, 2, 4, "average"), torch.randn(6, 8, 8, 2)
    assert [len(reducer(features)) for _ in range(3)] == [2 * 16 + 4 * 4] * 3


def test_the_vectors_of_llava_video_are_left_out_where_there_are_none():
    assert LlavaVideo(3, 2, 4, "average").count(3, 8, 8) == 16 + 2 * 4
    assert LlavaVideo(3, 2, 4, "average", learned(2)).count(3, 8, 8) == 20 + 2 * 6
    assert LlavaVideo(3, 2, 4, "average", frame_token=learned(2)).count(3, 8, 8) == 17 + 2 * 5


def test_where_tokens_come_from_is_computed_once_and_can_be_trained_with():
    for reducer in (SpatialPool(2), SlowFastLlava.from_spec(SPEC), LlavaVideo(3, 2, 4, "average", learned(2))):
        with torch.inference_mode():
            first = reducer(torch.randn(3, 10, 14, 2))  # of a size that no other test has
        again = reducer(torch.randn(3, 10, 14, 2))
        assert again.frame is first.frame and again.kind is first.kind and again.box is first.box
        weights = torch.ones(3, requires_grad=True)
        weights[again.frame].sum().backward()
        assert weights.grad.sum() == len(again)


class Asking(Reducer):
    """A reducer that looks at the question, as LLaMA-VID does."""

    takes_question = True

    def forward(self, features, project, question=None):
        self.check(features, question)


@pytest.mark.parametrize(
    "attempt, message",
    [
        (lambda: SpatialPool(0), "stride=0"),
        (lambda: SpatialPool(2.5), "stride=2.5"),
        (lambda: SpatialPool(2, "mean"), "choose one of average, max, bilinear, conv"),
        (lambda: SpatialPool(2, "conv"), "conv=model"),
        (lambda: SpatialPool(2, conv=nn.Conv2d(1, 1, 2, 2)), "conv=model"),
        (lambda: SpatialPool(2, "conv", conv=nn.Conv2d(1, 1, 3, 3)), "must be stride=2"),
        (lambda: SpatialPool(2, project="never"), "choose one of after, before"),
        (lambda: SpatialPool(2, newline="row"), "choose one of none, grid, frame, one"),
        (lambda: SpatialPool(2, newline="grid"), "pass newline_embed="),
        (lambda: SpatialPool(2, newline_embed=learned(4)), "newline='grid'"),
        (lambda: SpatialPool(2, newline="grid", newline_embed=learned(3))(torch.zeros(1, 4, 4, 4)), "shape (4,)"),
        (lambda: SpatialPool(4)(torch.zeros(1, 3, 8, 4)), "use stride=3 or less"),
        (lambda: SpatialPool(4).count(1, 8, 3), "use stride=3 or less"),
        (lambda: SpatialPool(2)(torch.zeros(0, 8, 8, 4)), "at least one frame"),
        (lambda: SpatialPool(2).count(0, 8, 8), "at least one frame"),
        (lambda: SpatialPool(2)(torch.zeros(8, 64, 4)), "give (T, H, W, C)"),
        (lambda: SpatialPool(2)(torch.zeros(1, 8, 8, 4), question="What?"), "leave question=None"),
        (lambda: Asking()(torch.zeros(1, 8, 8, 4), None), "pass question="),
        (lambda: SlowFastLlava.from_spec("slow_10-fast_4x4"), "for instance " + SPEC),
        (lambda: SlowFastLlava.from_spec(SPEC + " "), "for instance"),
        (lambda: SlowFastLlava.from_spec(SPEC.replace("10", "0")), "must be 1 or more"),
        (lambda: SlowFastLlava.from_spec(SPEC.replace("4x4", "0x4")), "must be 1 or more"),
        (lambda: SlowFastLlava.from_spec(SPEC)(torch.zeros(2, 4, 1, 4)), "use concat"),
        (lambda: SlowFastLlava.from_spec(SPEC).count(0, 8, 8), "at least one frame"),
        (lambda: LlavaVideo(0), "slow_every=0"),
        (lambda: LlavaVideo(3, 2, 0), "stride=0"),
        (lambda: LlavaVideo(3, 2, 4, "conv"), "choose one of average, max, bilinear"),
        (
            lambda: LlavaVideo(1, 2, 4, newline_embed=learned(3))(torch.zeros(1, 4, 4, 4)),
            "newline_embed has shape (3,)",
        ),
        (lambda: LlavaVideo(1, 2, 4, frame_token=learned(3))(torch.zeros(1, 4, 4, 4)), "frame_token has shape (3,)"),
    ],
)
def test_errors_name_the_fix(attempt, message):
    with pytest.raises(ValueError) as error:
        attempt()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


# Merging neighbours, as Qwen2.5-VL and InternVL do


@pytest.mark.parametrize("grid", [(1, 4, 4), (3, 6, 8)])
def test_the_patch_merger_is_internvls_pixel_shuffle(grid):
    features = torch.randn(*grid, 5)
    official = InternVLModel.pixel_shuffle(SimpleNamespace(), features, scale_factor=0.5)  # it reads no other setting
    assert torch.equal(PatchMerger(2)(features).embeds, official.flatten(0, 2))


@pytest.mark.parametrize("official", [Qwen2_5_VLPatchMerger, Qwen2VLPatchMerger], ids=["2.5", "2"])
def test_the_patch_merger_is_qwens(official):
    """Qwen's processor hands over the patches window by window; its merger has the norm and the MLP in it."""
    torch.manual_seed(0)
    features, merger = torch.randn(3, 4, 6, 8), official(dim=7, context_dim=8)
    windows = features.reshape(3, 2, 2, 3, 2, 8).transpose(2, 3).flatten(0, 4)  # (patches, C) as the tower returns them
    ours = PatchMerger(2)(merger.ln_q(features), project=merger.mlp).embeds
    torch.testing.assert_close(ours, merger(windows), atol=1e-6, rtol=0)


def test_two_frames_at_once_are_written_as_qwens_first_layer_reads_them():
    """A patch as a 1 x 1 image: the kernel of Qwen's patch embedding, (out, in, 2, 1, 1), on pairs of frames."""
    torch.manual_seed(0)
    features, embed = torch.randn(4, 2, 2, 3), Qwen2_5_VisionPatchEmbed(1, 2, in_channels=3, embed_dim=5)
    pairs = features.unflatten(0, (2, 2)).permute(0, 2, 3, 4, 1).contiguous()  # (pair, row, column, channel, frame)
    tokens = PatchMerger(1, frames=2)(features).embeds.unflatten(-1, (2, 3)).mT  # (token, channel, frame)
    ours = tokens.flatten(1) @ embed.proj.weight.flatten(1).T
    torch.testing.assert_close(ours, embed(pairs), atol=1e-6, rtol=0)


def test_a_shared_projector_is_the_wide_one_whose_first_layer_holds_it_n_times():
    project, features = mlp(), torch.randn(4, 8, 8, 6)
    wide = nn.Sequential(nn.Linear(8 * 6, 5), *project[1:])
    wide[0].weight.data = project[0].weight.repeat(1, 8) / 8
    wide[0].bias = project[0].bias
    merged, shared = PatchMerger(2, 2), PatchMerger(2, 2, shared=True)
    torch.testing.assert_close(merged(features, wide).embeds, shared(features, project).embeds, atol=1e-6, rtol=0)
    frames_apart = PatchMerger(2, shared=True)(features, project)
    torch.testing.assert_close(frames_apart.embeds, SpatialPool(2)(features, project).embeds, atol=1e-6, rtol=0)


def test_what_is_merged_over_frames():
    """Each of 5 frames once, the last one twice; a token names the first frame that it read."""
    features = one_hot_features(5, 4, 6)
    tokens = PatchMerger(2, frames=2, shared=True)(features)
    assert tokens.frame.tolist() == [0] * 6 + [2] * 6 + [4] * 6 and PatchMerger(2, 2).count(5, 4, 6) == 18
    for embed, frame, (top, bottom, left, right) in zip(
        tokens.embeds, tokens.frame.tolist(), tokens.box.tolist(), strict=True
    ):
        said = torch.zeros(5, 4, 6, dtype=bool)
        said[frame : frame + 2, top:bottom, left:right] = True
        assert torch.equal(embed.reshape(5, 4, 6) > 1e-3, said)
    numbers = torch.arange(2 * 4.0).reshape(2, 2, 2, 1)
    assert merge_neighbours(numbers, 2, 2).flatten().tolist() == list(range(8))  # frame by frame, row by row


# DyCoke


def test_dycoke_keeps_what_changed():
    """Frame 1 repeats frame 0 but for patch 6; frames 2 and 3 repeat it all: a token is always kept of each."""
    features = torch.randn(1, 4, 4, 8).repeat(8, 1, 1, 1)
    features[1, 1, 2] += 5
    tokens = DyCoke(prune=0.9, first=SpatialPool(1))(features)
    assert tokens.frame.bincount().tolist() == [16, 1, 1, 1, 16, 1, 16, 1]
    assert tokens.box[tokens.frame == 1].tolist() == [[1, 2, 2, 3]]


def test_dycoke_takes_any_number_of_frames():
    """The official code loses the last of an odd number, and fails below five."""
    for frames, whole in ((1, [0]), (2, [0]), (3, [0, 2]), (4, [0, 2]), (5, [0, 4]), (7, [0, 4, 6]), (8, [0, 4, 6])):
        tokens = DyCoke(prune=0.5, first=SpatialPool(1))(torch.randn(frames, 2, 2, 3))
        assert tokens.frame.bincount().tolist() == [4 if t in whole else 2 for t in range(frames)]


def test_order_moves_the_kept_tokens_and_changes_none():
    features = torch.randn(8, 4, 4, 6)
    by_similarity, in_place = (DyCoke(0.5, SpatialPool(1), order)(features) for order in ("similarity", "place"))
    rows = [tuple(row) for row in by_similarity.embeds.tolist()]
    assert set(rows) == {tuple(row) for row in in_place.embeds.tolist()} and not torch.equal(
        by_similarity.embeds, in_place.embeds
    )
    places = in_place.frame * 16 + in_place.box[:, 0] * 4 + in_place.box[:, 2]
    assert places.tolist() == sorted(places.tolist())


@pytest.mark.parametrize(
    "attempt, message",
    [
        (lambda: PatchMerger(0), "at least 1 patch"),
        (lambda: PatchMerger(2, frames=0), "at least 1 frame"),
        (lambda: PatchMerger(4)(torch.zeros(1, 3, 8, 4)), "use stride=3 or less"),
        (lambda: PatchMerger(2).count(0, 4, 4), "at least one frame"),
        (lambda: DyCoke(1.5), "from 0 to 1"),
        (lambda: DyCoke(order="time"), "choose one of similarity, place"),
        (
            lambda: DyCoke(first=SpatialPool(2, newline="one", newline_embed=learned(4)))(torch.zeros(5, 4, 4, 4)),
            "as many",
        ),
        (lambda: DyCoke(first=LlavaVideo(3, 2, 4))(torch.zeros(5, 8, 8, 4)), "as many tokens for each"),
        (lambda: DyCoke()(torch.zeros(0, 4, 4, 4)), "at least one frame"),
    ],
)
def test_errors_of_what_came_after_name_the_fix(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()
