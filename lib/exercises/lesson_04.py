"""Exercises of lesson 04: pooling, splicing, newlines, and a factor for the rotary embedding."""

import torch
from torch import Tensor

from lib.exercises.base import Card, Choose, Mistake, Predict, Write, noise
from lib.exercises.progress import Text

TITLE = Text("LLaVA-NeXT-Video", "LLaVA-NeXT-Video")


def my_pool(hidden, height, width, stride):
    grid = hidden[:, 1:].reshape(len(hidden), height, width, -1)  # CLS stands first
    rows, columns = height // stride, width // stride
    full = grid[:, : rows * stride, : columns * stride]  # what fills no window is left out
    return full.reshape(len(hidden), rows, stride, columns, stride, -1).mean(dim=(2, 4))


def windows(hidden: Tensor, height: int, width: int, stride: int) -> Tensor:
    """(T, rows, stride, columns, stride, C): every full window, CLS dropped."""
    grid = hidden[:, 1:].reshape(len(hidden), height, width, -1)
    rows, columns = height // stride, width // stride
    full = grid[:, : rows * stride, : columns * stride]
    return full.reshape(len(hidden), rows, stride, columns, stride, -1)


def with_cls(hidden, height, width, stride):
    return windows(torch.cat([hidden[:, :1], hidden[:, :-1]], dim=1), height, width, stride).mean(dim=(2, 4))


def with_rest(hidden, height, width, stride):
    grid = hidden[:, 1:].reshape(len(hidden), height, width, -1).permute(0, 3, 1, 2)
    return torch.nn.functional.avg_pool2d(grid, stride, ceil_mode=True).permute(0, 2, 3, 1)


pool = Write(
    id="04.pool",
    title=Text("pool what the vision tower returns", "비전 인코더의 출력 풀링하기"),
    task=Text(
        "The vision tower returns `hidden`, (T, 1 + height x width, C): for each frame CLS, then the patches row by "
        "row. Return the means of `stride` x `stride` neighbouring patches, (T, height // stride, width // stride, "
        "C). What fills no window is left out.",
        "비전 인코더는 (T, 1 + height x width, C) 모양의 `hidden`을 돌려줍니다. 프레임마다 CLS가 먼저 오고 패치가 줄 "
        "순서로 이어집니다. 이웃한 패치 `stride` x `stride`개의 평균을 (T, height // stride, width // stride, C) "
        "모양으로 돌려주세요. 창을 다 채우지 못하는 나머지는 버립니다.",
    ),
    card=Card(difficulty=2, importance=5, minutes=10),
    answer=my_pool,
    cases=lambda: [
        (noise(3, 1 + 8 * 8, 5), 8, 8, 2),
        (noise(2, 1 + 4 * 6, 3), 4, 6, 2),
        (noise(2, 1 + 6 * 4, 3), 6, 4, 1),
        (noise(2, 1 + 5 * 7, 4), 5, 7, 2),
        (noise(1, 1 + 9 * 6, 3), 9, 6, 3),
    ],
    mistakes=(
        Mistake(
            with_cls,
            "You pooled the CLS token: it stands first and is no patch.",
            "CLS 토큰까지 풀링했습니다. CLS는 맨 앞에 있으며 패치가 아닙니다.",
        ),
        Mistake(
            lambda hidden, height, width, stride: my_pool(hidden, width, height, stride),
            "Rows and columns are swapped: the patches come row by row.",
            "행과 열이 바뀌었습니다. 패치는 줄(행) 순서로 놓여 있습니다.",
        ),
        Mistake(
            lambda hidden, height, width, stride: my_pool(hidden, height, width, stride).transpose(1, 2),
            "Rows and columns are swapped in the result.",
            "결과에서 행과 열이 바뀌었습니다.",
        ),
        Mistake(
            lambda hidden, height, width, stride: windows(hidden, height, width, stride).amax(dim=(2, 4)),
            "That is the maximum of each window; the mean is asked for.",
            "창마다 최댓값을 구했습니다. 평균이 필요합니다.",
        ),
        Mistake(
            lambda hidden, height, width, stride: windows(hidden, height, width, stride)[:, :, 0, :, 0],
            "You picked one patch of each window and left out the others.",
            "창마다 패치 하나만 고르고 나머지를 버렸습니다.",
        ),
        Mistake(
            lambda hidden, height, width, stride: windows(hidden, height, width, stride).sum(dim=(2, 4)),
            "Those are sums: divide by the number of patches in a window.",
            "그것은 합입니다. 창에 든 패치 수로 나누세요.",
        ),
        Mistake(
            with_rest,
            "You keep the rest at the edge as a smaller window; the official code leaves it out.",
            "가장자리의 나머지를 작은 창으로 남겼습니다. 공식 코드는 버립니다.",
        ),
    ),
    hint_1=Text(
        "Drop CLS, make a grid, cut it to whole windows, then average.",
        "CLS를 버리고, 격자로 만들고, 창에 맞게 자른 뒤 평균을 냅니다.",
    ),
    hint_2=Text(
        "reshape to (T, rows, stride, columns, stride, C) and take the mean over dimensions 2 and 4.",
        "(T, rows, stride, columns, stride, C)로 reshape한 뒤 2번과 4번 차원의 평균을 구합니다.",
    ),
    why=Text(
        "transformers' LlavaNextVideoPooler does the same with avg_pool2d.",
        "transformers의 LlavaNextVideoPooler는 같은 일을 avg_pool2d로 합니다.",
    ),
)


def my_splice(words, visual, at):
    return torch.cat([words[:at], visual, words[at + 1 :]])


splice = Write(
    id="04.splice",
    title=Text("put the video into the prompt", "프롬프트에 비디오 끼워 넣기"),
    task=Text(
        "`words`, (L, D), are the embeddings of a prompt, whose row `at` is that of `<video>`; `visual`, (N, D), are "
        "the visual tokens. Return the sequence that the language model reads, (L - 1 + N, D).",
        "`words`(L, D)는 프롬프트의 임베딩이고 `at`번 행이 `<video>`입니다. `visual`(N, D)은 시각 토큰입니다. 언어 "
        "모델이 읽는 시퀀스를 (L - 1 + N, D) 모양으로 돌려주세요.",
    ),
    card=Card(difficulty=1, importance=5, minutes=5),
    answer=my_splice,
    cases=lambda: [(noise(7, 4), noise(5, 4), 2), (noise(6, 3), noise(2, 3), 0), (noise(4, 3), noise(6, 3), 3)],
    mistakes=(
        Mistake(
            lambda words, visual, at: torch.cat([words[:at], visual, words[at:]]),
            "`<video>` is still there, behind the video: it has to make room.",
            "비디오 뒤에 `<video>`가 남아 있습니다. 자리를 내주어야 합니다.",
        ),
        Mistake(
            lambda words, visual, at: torch.cat([words[: at + 1], visual, words[at + 1 :]]),
            "`<video>` is still there, before the video: it has to make room.",
            "비디오 앞에 `<video>`가 남아 있습니다. 자리를 내주어야 합니다.",
        ),
        Mistake(
            lambda words, visual, at: torch.cat([words[:at], words[at + 1 :], visual]),
            "The video stands at the end; its place is where `<video>` stood.",
            "비디오가 맨 뒤에 있습니다. `<video>`가 있던 자리에 놓으세요.",
        ),
        Mistake(
            lambda words, visual, at: torch.cat([visual, words[:at], words[at + 1 :]]),
            "The video stands at the start; its place is where `<video>` stood.",
            "비디오가 맨 앞에 있습니다. `<video>`가 있던 자리에 놓으세요.",
        ),
        Mistake(
            lambda words, visual, at: torch.cat([words[:at], visual, words[at + 2 :]]),
            "The word after `<video>` is lost.",
            "`<video>` 다음의 단어가 사라졌습니다.",
        ),
    ),
    hint_1=Text("Three pieces, one after the other.", "세 조각을 차례로 잇습니다."),
    hint_2=Text(
        "Everything before `at`, the visual tokens, everything from `at + 1`.",
        "`at` 앞의 모든 것, 시각 토큰, `at + 1`부터의 모든 것입니다.",
    ),
    why=Text(
        "transformers repeats `<video>` N times and overwrites those rows (masked_scatter): the same sequence.",
        "transformers는 `<video>`를 N번 반복한 뒤 그 행들을 덮어씁니다(masked_scatter). 같은 시퀀스가 됩니다.",
    ),
)


def my_rows(grid, newline):
    ends = newline.expand(*grid.shape[:2], 1, -1)  # one more column
    return torch.cat([grid, ends], dim=2).flatten(0, 2)


def per_frame(grid, newline):
    return torch.cat([grid.flatten(1, 2), newline.expand(len(grid), 1, -1)], dim=1).flatten(0, 1)


def at_the_start(grid, newline):
    return torch.cat([newline.expand(*grid.shape[:2], 1, -1), grid], dim=2).flatten(0, 2)


newlines = Write(
    id="04.newlines",
    title=Text("a newline for each row", "줄마다 newline"),
    task=Text(
        "`grid`, (T, h, w, D), are the pooled tokens of T frames, `newline`, (D,), is the learned vector. Return the "
        'sequence with the newline after every row (mode "grid"), (T x h x (w + 1), D).',
        "`grid`(T, h, w, D)는 프레임 T장의 풀링된 토큰이고 `newline`(D,)은 학습된 벡터입니다. 줄마다 끝에 newline을 "
        '붙인 시퀀스("grid" 모드)를 (T x h x (w + 1), D) 모양으로 돌려주세요.',
    ),
    card=Card(difficulty=2, importance=3, minutes=8),
    answer=my_rows,
    cases=lambda: [(noise(2, 3, 4, 5), noise(5)), (noise(1, 2, 5, 3), noise(3)), (noise(3, 4, 1, 2), noise(2))],
    mistakes=(
        Mistake(
            per_frame,
            'You end each frame with a newline; mode "grid" ends each row.',
            '프레임마다 newline을 붙였습니다. "grid"는 줄마다 붙입니다.',
        ),
        Mistake(
            at_the_start,
            "The newline stands before each row: it belongs at the end.",
            "newline이 줄 앞에 있습니다. 줄의 끝에 와야 합니다.",
        ),
        Mistake(
            lambda grid, newline: torch.cat([grid.flatten(0, 2), newline[None]]),
            'That is one newline for the whole clip, mode "one".',
            '클립 전체에 newline이 하나뿐입니다("one" 모드).',
        ),
        Mistake(
            lambda grid, newline: my_rows(grid.transpose(1, 2), newline),
            "Rows and columns are swapped: you end each column.",
            "행과 열이 바뀌었습니다. 열마다 newline을 붙였습니다.",
        ),
        Mistake(lambda grid, newline: grid.flatten(0, 2), "There is no newline yet.", "newline이 아직 없습니다."),
    ),
    hint_1=Text("A row with a newline is one column longer.", "newline이 붙은 줄은 한 칸 더 깁니다."),
    hint_2=Text(
        "newline.expand(T, h, 1, D), torch.cat along dimension 2, then flatten(0, 2).",
        "newline.expand(T, h, 1, D)를 2번 차원으로 torch.cat한 뒤 flatten(0, 2)를 합니다.",
    ),
    why=Text(
        "LLaVA-Video's 210 tokens per frame are 14 x 14 with 14 such newlines.",
        "LLaVA-Video의 프레임당 210토큰은 14 x 14에 newline 14개를 더한 것입니다.",
    ),
)

order = Choose(
    id="04.order",
    title=Text("two orders", "두 가지 순서"),
    task=Text(
        'Weights were trained with "pool, then project". You run them in code that projects first. There is no error. '
        "What do you do, and why?\n\n- **a** nothing: a mean is a mean, whichever step comes first\n"
        "- **b** use the order that the weights were trained with\n"
        "- **c** train a new newline vector in the order that this code has\n\nbecause\n\n"
        "- **1** the projector is not linear, so the tokens change\n"
        "- **2** both orders give the same tokens; projecting first only takes longer\n"
        "- **3** the order of the frames changes, and with it what they tell",
        '"풀링한 뒤 투영"으로 학습한 가중치를 투영부터 하는 코드에서 돌립니다. 오류는 나지 않습니다. 어떻게 '
        "하겠습니까? 이유는 무엇입니까?\n\n- **a** 그대로 둡니다. 어차피 평균이므로 결과가 같습니다\n"
        "- **b** 가중치를 학습한 순서를 씁니다\n- **c** newline 벡터를 이 코드의 순서로 새로 학습합니다\n\n이유\n\n"
        "- **1** 프로젝터가 선형이 아니므로 토큰이 달라집니다\n"
        "- **2** 토큰은 어느 쪽이든 같고, 투영을 먼저 하면 느려질 뿐입니다\n"
        "- **3** 프레임의 순서가 바뀌어 읽는 내용도 달라집니다",
    ),
    card=Card(difficulty=2, importance=4, minutes=3),
    answer="b1",
    replies={
        "a": Text(
            "The mean of GELUs is not the GELU of the mean: section 4 measures how far apart they are.",
            "GELU의 평균은 평균의 GELU와 다릅니다. 얼마나 다른지는 4절에서 측정합니다.",
        ),
        "c": Text(
            "These tokens hold no newline: the difference lies in the patches.",
            "이 토큰에는 newline이 없습니다. 차이는 패치에 있습니다.",
        ),
        "2": Text("It does take longer, but the tokens change as well.", "느려지는 것은 맞지만 토큰도 달라집니다."),
        "3": Text("Both orders keep the frames where they are.", "두 순서 모두 프레임의 차례는 그대로입니다."),
    },
    hint_1=Text("When would pooling and projecting commute?", "풀링과 투영의 순서를 바꾸어도 되는 것은 언제입니까?"),
    hint_2=Text("What lies between the projector's two layers?", "프로젝터의 두 층 사이에는 무엇이 있습니까?"),
    why=Text(
        "A linear projector would commute with the mean. A GELU in between does not; answers may survive it, but "
        "nobody promised.",
        "선형 프로젝터라면 평균과 순서를 바꿀 수 있습니다. 사이에 GELU가 있으면 그렇지 않습니다. 답이 그대로일 수도 "
        "있지만 보장은 없습니다.",
    ),
)

factor = Predict(
    id="04.factor",
    title=Text("a factor in between", "그 사이의 배율"),
    task=Text(
        "An experiment. The table in section 8 has the factors 1, 2, 4 and 8. Measure the factor 1.5 in the same way, "
        "at one frame of 64 tokens, the length that `tiny-image` was trained with. Which share of the answers is "
        "right? (A number between 0 and 1, to 10 %.)",
        "실험입니다. 8절의 표에는 배율 1, 2, 4, 8이 있습니다. 배율 1.5를 같은 방법으로 측정하세요. 길이는 "
        "`tiny-image`가 학습한 길이인 프레임 한 장, 64토큰입니다. 맞힌 답의 비율은 얼마입니까? (0과 1 사이의 값, 오차 "
        "10 %)",
    ),
    card=Card(difficulty=2, importance=4, minutes=6),
    answer=0.48,
    tolerance=0.1,
    mistakes=(
        Mistake(
            0.89,
            "That is factor 1: pass the model that `stretched` returns.",
            "배율 1의 값입니다. `stretched`가 돌려준 모델을 쓰세요.",
        ),
        Mistake(0.63, "That is factor 2.", "배율 2의 값입니다."),
        Mistake(48, "As a share, please: 48 % is 0.48.", "0과 1 사이의 값으로 적으세요. 48%는 0.48입니다."),
    ),
    hint_1=Text(
        "`stretched(image_model, 1.5)`, and `whole` with one frame.",
        "`stretched(image_model, 1.5)`와 `whole`의 프레임 한 장을 쓰세요.",
    ),
    hint_2=Text(
        "`right_answers(stretched(image_model, 1.5), [tokens[0] for tokens in whole], few, THINGS)`, and the mean.",
        "`right_answers(stretched(image_model, 1.5), [tokens[0] for tokens in whole], few, THINGS)`의 평균을 구하세요.",
    ),
    why=Text(
        "About 0.48, worse than any factor of the table, and factor 3 answers 0.85: between 1 and 2 something breaks "
        "that a larger factor leaves whole. Why, this course does not know. Measure the factor that you set.",
        "약 0.48로 표의 어느 배율보다 나쁩니다. 배율 3은 0.85입니다. 1과 2 사이에서 깨지는 무엇이 더 큰 배율에서는 "
        "멀쩡한데, 이유는 이 과정도 모릅니다. 쓰려는 배율을 직접 측정하세요.",
    ),
)

EXERCISES = (pool, order, splice, newlines, factor)
