"""Exercises of lesson 05: which frames are slow, how they are pooled, what LLaVA-Video costs, and a blind spot."""

import torch
import torch.nn.functional as F

from lib.exercises.base import Card, Mistake, Predict, Write, noise
from lib.exercises.progress import Text
from lib.video import sample_uniform

TITLE = Text("SlowFast", "SlowFast")


def my_slow_indices(total, n):
    return torch.linspace(0, total, n + 1).to(torch.int32)[:-1].tolist()


slow_indices = Write(
    id="05.slow_indices",
    title=Text("the slow frames", "slow 프레임 고르기"),
    task=Text(
        "SlowFast-LLaVA takes `n` slow frames of `total`: the first frame of each of n equal parts. Return their "
        "numbers. With fewer frames than slow frames, frames repeat.",
        "SlowFast-LLaVA는 프레임 `total`장에서 slow 프레임 `n`장을 고릅니다. n등분한 구간마다 첫 프레임입니다. 번호를 "
        "돌려주세요. 프레임이 n장보다 적으면 같은 프레임이 반복됩니다.",
    ),
    card=Card(difficulty=2, importance=5, minutes=6),
    answer=my_slow_indices,
    cases=lambda: [(50, 10), (16, 4), (17, 3), (4, 10), (100, 8), (5, 1)],
    mistakes=(
        Mistake(
            lambda total, n: torch.linspace(0, total, n + 1).int().tolist(),
            "That is linspace without dropping the last point, which lies behind the last frame.",
            "linspace의 마지막 점을 버리지 않았습니다. 그 점은 마지막 프레임 뒤에 있습니다.",
        ),
        Mistake(
            lambda total, n: torch.linspace(0, total - 1, n).int().tolist(),
            "That takes both ends, as LLaVA-NeXT samples; here each part gives its first frame.",
            "LLaVA-NeXT처럼 양 끝을 골랐습니다. 여기서는 구간마다 첫 프레임을 고릅니다.",
        ),
        Mistake(
            lambda total, n: sample_uniform(total, n, "slowfast_llava"),
            "Those are the middles of the parts: so the 50 frames are sampled, not the slow ones among them.",
            "구간의 가운데를 골랐습니다. 그것은 50장을 뽑는 규칙이고, slow 프레임을 고르는 규칙은 아닙니다.",
        ),
        Mistake(
            lambda total, n: [i * (total // n) for i in range(n)],
            "You cut the step to a whole number before multiplying, so the frames crowd at the start.",
            "곱하기 전에 간격을 정수로 잘랐습니다. 그래서 프레임이 앞쪽에 몰립니다.",
        ),
        Mistake(
            lambda total, n: [i * total / n for i in range(n)],
            "Right places, but frame numbers are whole.",
            "위치는 맞지만 프레임 번호는 정수여야 합니다.",
        ),
    ),
    hint_1=Text(
        "n parts have n + 1 borders. Which of them do you need?",
        "구간이 n개이면 경계는 n + 1개입니다. 그 가운데 무엇이 필요합니까?",
    ),
    hint_2=Text(
        "torch.linspace(0, total, n + 1), cut to whole numbers, without the last.",
        "torch.linspace(0, total, n + 1)을 정수로 자르고 마지막을 버립니다.",
    ),
    why=Text(
        "The official line. floor(i T / n) is the same but for rare roundings of float32, such as 14 slow frames of 2.",
        "공식 코드의 한 줄입니다. float32의 드문 반올림(프레임 2장에서 slow 14장 등)을 빼면 floor(i T / n)과 같습니다.",
    ),
)


def my_slow_pool(grid):
    full = grid[:, :, : grid.shape[2] // 2 * 2]  # the last column of an odd width is left out
    return torch.maximum(full[:, :, 0::2], full[:, :, 1::2])


def flat_pairs(grid):
    """The official code on an odd width: pairs along the flattened rows (cut to a rectangle only where that is one)."""
    flat = grid.flatten(1, 2)
    full = flat[:, : flat.shape[1] // 2 * 2]
    return torch.maximum(full[:, 0::2], full[:, 1::2])


slow_pool = Write(
    id="05.slow_pool",
    title=Text("properly pooled", "제대로 풀링하기"),
    task=Text(
        "Pool the slow frames `grid`, (T, H, W, D), as SlowFast-LLaVA does. A window is 1 row x 2 columns, and each "
        "channel keeps the larger of its two numbers. Return (T, H, W // 2, D). On an odd width the last column is "
        "left out (as the paper's 1 x 2 says, and not as the code).",
        "slow 프레임 `grid`(T, H, W, D)를 SlowFast-LLaVA처럼 풀링하세요. 창은 1행 x 2열이고, 채널마다 두 수 가운데 큰 "
        "것을 남깁니다. (T, H, W // 2, D)를 돌려주세요. 너비가 홀수이면 마지막 열을 버립니다(코드가 아니라 논문의 1 x "
        "2를 따릅니다).",
    ),
    card=Card(difficulty=2, importance=4, minutes=8),
    answer=my_slow_pool,
    cases=lambda: [(noise(2, 4, 6, 3),), (noise(1, 4, 4, 2),), (noise(2, 3, 5, 3),)],
    mistakes=(
        Mistake(
            lambda grid: my_slow_pool(grid.transpose(1, 2)).transpose(1, 2),
            "Rows and columns are swapped: every row stays, the columns are halved.",
            "행과 열이 바뀌었습니다. 행은 그대로 두고 열을 절반으로 줄입니다.",
        ),
        Mistake(
            lambda grid: F.avg_pool2d(grid.permute(0, 3, 1, 2), (1, 2)).permute(0, 2, 3, 1),
            "That is the mean of the two; the slow pathway keeps the larger number.",
            "두 수의 평균입니다. slow 경로는 큰 수를 남깁니다.",
        ),
        Mistake(
            lambda grid: F.max_pool2d(grid.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1),
            "That is 2 x 2 (spatial_2d): it halves the rows too.",
            "2 x 2(spatial_2d)입니다. 행까지 절반이 됩니다.",
        ),
        Mistake(
            flat_pairs,
            "You pool the flattened rows, as the official code: keep rows apart, (T, H, W // 2, D).",
            "공식 코드처럼 줄을 이어 붙여 풀링했습니다. 줄을 나누어 (T, H, W // 2, D)로 만드세요.",
        ),
        Mistake(
            lambda grid: F.max_pool2d(grid.permute(0, 3, 1, 2), (1, 2), ceil_mode=True).permute(0, 2, 3, 1),
            "The last column of an odd width has no partner: leave it out.",
            "너비가 홀수이면 마지막 열은 짝이 없습니다. 버리세요.",
        ),
        Mistake(
            lambda grid: grid[:, :, : grid.shape[2] // 2 * 2 : 2],
            "You kept the left one of each pair, not the larger.",
            "쌍마다 큰 수가 아니라 왼쪽 수를 남겼습니다.",
        ),
    ),
    hint_1=Text("Which dimension becomes half as long?", "어느 차원이 절반이 됩니까?"),
    hint_2=Text(
        "unflatten(2, (-1, 2)) and amax over the new dimension 3.",
        "unflatten(2, (-1, 2)) 뒤 새로 생긴 3번 차원에서 amax를 구합니다.",
    ),
    why=Text(
        "From 24 x 24 patches that makes 24 rows of 12: 288 tokens a slow frame.",
        "24 x 24패치에서 12토큰짜리 줄 24개가 나오므로, slow 프레임 하나는 288토큰입니다.",
    ),
)


def my_video_tokens(frames, slow_every, side, stride):
    def frame_tokens(stride):
        rows = side // stride
        return rows * (rows + 1) + 1  # rows that end in a newline, then the frame token

    slow = -(-frames // slow_every)  # frames 0, s, 2 s, ...
    return slow * frame_tokens(stride) + (frames - slow) * frame_tokens(2 * stride)


def counted(frames, slow_every, side, slow_stride, fast_stride, slow=None, newline=1, end=(1, 1)):
    """The count with one thing changed."""
    slow = -(-frames // slow_every) if slow is None else slow
    one, other = (rows * (rows + newline) for rows in (side // slow_stride, side // fast_stride))
    return slow * (one + end[0]) + (frames - slow) * (other + end[1])


video_tokens = Write(
    id="05.video_tokens",
    title=Text("what LLaVA-Video costs", "LLaVA-Video의 토큰 수"),
    task=Text(
        "LLaVA-Video reads `frames` frames of `side` x `side` patches. Every `slow_every`-th frame is slow, beginning "
        "with frame 0, and is averaged with `stride`; the others with twice that stride. Each frame occurs once. As in "
        "the official code, every row ends in a newline and every frame in one more token. How many tokens?",
        "LLaVA-Video: 한 변의 패치가 `side`개인 프레임 `frames`장 가운데 0번부터 `slow_every`장마다 한 장이 slow이고 "
        "`stride`로 평균을 냅니다. 나머지는 두 배의 stride를 씁니다. 프레임은 한 번씩만 나옵니다. 공식 코드처럼 "
        "줄마다 newline, 프레임마다 토큰 하나가 더 붙습니다. 토큰은 모두 몇 개입니까?",
    ),
    card=Card(difficulty=3, importance=4, minutes=10),
    answer=my_video_tokens,
    cases=lambda: [(7, 3, 24, 2), (32, 3, 27, 2), (10, 5, 24, 3), (1, 3, 24, 2), (8, 1, 8, 2)],
    mistakes=(
        Mistake(
            lambda frames, every, side, stride: counted(frames, every, side, stride, 2 * stride, slow=frames // every),
            "Frame 0 is slow, so their number is rounded up (the paper's formula rounds down).",
            "0번 프레임이 slow이므로 올림해야 합니다(논문의 식은 내림입니다).",
        ),
        Mistake(
            lambda frames, every, side, stride: counted(frames, every, side, stride, 2 * stride, end=(0, 0)),
            "The token at the end of each frame is missing.",
            "프레임 끝의 토큰이 빠졌습니다.",
        ),
        Mistake(
            lambda frames, every, side, stride: counted(frames, every, side, stride, 2 * stride, end=(1, 0)),
            "Fast frames end in that token too, not only slow ones.",
            "slow 프레임만이 아니라 fast 프레임 끝에도 그 토큰이 붙습니다.",
        ),
        Mistake(
            lambda frames, every, side, stride: counted(frames, every, side, stride, 2 * stride, newline=0),
            "The newlines at the ends of the rows are missing.",
            "줄 끝의 newline이 빠졌습니다.",
        ),
        Mistake(
            lambda frames, every, side, stride: (
                counted(frames, every, side, stride, 2 * stride)
                + -(-frames // every) * counted(1, 1, side, 2 * stride, 2 * stride)
            ),
            "You counted slow frames again as fast ones: that is SlowFast-LLaVA; here each frame occurs once.",
            "slow 프레임을 fast로 한 번 더 세었습니다. 그것은 SlowFast-LLaVA입니다. 여기서는 한 번씩만 나옵니다.",
        ),
        Mistake(
            lambda frames, every, side, stride: counted(frames, every, side, stride, stride**2),
            "The fast stride is twice the slow one, not its square.",
            "fast의 stride는 slow의 제곱이 아니라 두 배입니다.",
        ),
    ),
    hint_1=Text(
        "How many tokens has one frame at a given stride, and how many frames are slow?",
        "주어진 stride에서 프레임 하나의 토큰은 몇 개이고, slow 프레임은 몇 장입니까?",
    ),
    hint_2=Text(
        "rows x (rows + 1) + 1 with rows = side // stride; slow = ceil(frames / slow_every).",
        "rows = side // stride일 때 rows x (rows + 1) + 1이고, slow = ceil(frames / slow_every)입니다.",
    ),
    why=Text(
        "`lib.reducers.LlavaVideo.count`, with newline and frame token, mode average.",
        "newline과 프레임 토큰을 넣은 average 모드의 `lib.reducers.LlavaVideo.count`와 같습니다.",
    ),
)

second_scene = Predict(
    id="05.second_scene",
    title=Text("the code in the second scene", "두 번째 장면의 코드"),
    task=Text(
        "An experiment. One slow frame is frame 0. Take the first 24 clips of the seeds 48 to 399 whose frame 0 shows "
        "no code (`toybox.still(clip, 0).code` is empty). With one slow frame `tiny` reads hardly any of these codes. "
        "Stay at 128 tokens: two slow frames, pooled 1 x 2, and the fast 2 x 2. Which share of the 24 codes is read "
        "now? (A number between 0 and 1, to 10 %.)",
        "실험입니다. slow 프레임이 한 장이면 그것은 0번 프레임입니다. 시드 48부터 399까지의 클립 중 0번 프레임에 "
        "코드가 없는 것(`toybox.still(clip, 0).code`가 비어 있는 것)을 앞에서부터 24개 고르세요. slow 프레임 한 "
        "장으로는 `tiny`가 이 코드를 거의 읽지 못합니다. 128토큰을 그대로 두고, slow 프레임 두 장을 1 x 2로 풀링하고 "
        "fast는 2 x 2로 하세요. 이제 코드 24개 중 어느 비율을 맞힙니까? (0과 1 사이의 값, 오차 10%)",
    ),
    card=Card(difficulty=3, importance=4, minutes=10),
    answer=0.42,
    tolerance=0.1,
    mistakes=(
        Mistake(
            0.083,
            "That is one slow frame: frame 0 does not show these codes.",
            "slow 프레임이 한 장일 때의 값입니다. 0번 프레임에는 이 코드들이 없습니다.",
        ),
        Mistake(
            0.71,
            "That is two unpooled slow frames: 192 tokens, over the budget.",
            "풀링하지 않은 slow 프레임 두 장의 값입니다. 192토큰이라 예산을 넘습니다.",
        ),
        Mistake(42, "As a share, please: 42 % is 0.42.", "0과 1 사이의 값으로 적으세요. 42%는 0.42입니다."),
    ),
    hint_1=Text(
        "`SlowFastLlava.from_spec` takes the setting as one string. Which part of it says how slow frames are pooled?",
        "`SlowFastLlava.from_spec`은 설정을 문자열 하나로 받습니다. slow 프레임의 풀링은 그중 어느 부분입니까?",
    ),
    hint_2=Text(
        '"slowfast-slow_2frms_spatial_1d_max_pool-fast_2x2"; make visual tokens of the 24 clips as section 5 does and '
        'call `right_answers(tiny, visual, late, ("code",))`.',
        '"slowfast-slow_2frms_spatial_1d_max_pool-fast_2x2"입니다. 5절처럼 클립 24개의 시각 토큰을 만들고 '
        '`right_answers(tiny, visual, late, ("code",))`를 호출하세요.',
    ),
    why=Text(
        "10 of 24 codes instead of 2, at the same 128 tokens: frame 8 shows many of the second scenes. Unpooled it "
        "would be 17 of 24, for 64 tokens more.",
        "같은 128토큰으로 24개 중 2개가 아니라 10개를 맞힙니다. 8번 프레임에 두 번째 장면이 많이 보이기 때문입니다. "
        "풀링하지 않으면 24개 중 17개지만 64토큰이 더 듭니다.",
    ),
)

EXERCISES = (slow_indices, slow_pool, video_tokens, second_scene)
