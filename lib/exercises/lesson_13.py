"""Exercises of lesson 13: merging four patches, what a frame adds, a budget over layers, twenty questions, pairs."""

import math

import torch.nn.functional as F

from lib.exercises.base import Card, Choose, Mistake, Predict, Write, noise
from lib.exercises.progress import Text

TITLE = Text("What came after", "그 뒤에 나온 방법")


def my_merge(features):
    frames, height, width, channels = features.shape
    windows = features.reshape(frames, height // 2, 2, width // 2, 2, channels)
    return windows.permute(0, 1, 3, 2, 4, 5).reshape(frames, height // 2, width // 2, 4 * channels)


def merged_by(*order):
    """The mistake of another order of the axes (frame, row, row in window, column, column in window, channel)."""

    def merge(features):
        frames, height, width, channels = features.shape
        windows = features.reshape(frames, height // 2, 2, width // 2, 2, channels)
        return windows.permute(*order).reshape(frames, height // 2, width // 2, 4 * channels)

    return merge


def averaged(features):
    frames, height, width, channels = features.shape
    return features.reshape(frames, height // 2, 2, width // 2, 2, channels).mean((2, 4))


merge = Write(
    id="13.merge",
    title=Text("four patches side by side", "패치 네 개를 나란히"),
    task=Text(
        "`features` has shape (T, H, W, C), both sides even. Write the four patches of each 2 x 2 window side by side. "
        "Their order is top left, top right, bottom left, bottom right. Return shape (T, H / 2, W / 2, 4 C).",
        "`features`의 모양은 (T, H, W, C)이고 두 변은 짝수입니다. 2 x 2 창마다 패치 네 개를 읽는 순서(왼쪽 위, 오른쪽 "
        "위, 왼쪽 아래, 오른쪽 아래)대로 나란히 이어 붙이고, 모양이 (T, H / 2, W / 2, 4 C)인 결과를 돌려주세요.",
    ),
    card=Card(difficulty=3, importance=5, minutes=8),
    answer=my_merge,
    cases=lambda: [(noise(1, 2, 2, 3),), (noise(2, 4, 6, 3),), (noise(3, 6, 4, 2),)],
    mistakes=(
        Mistake(
            averaged,
            "That is the mean of the four: here all four are kept, side by side.",
            "네 패치의 평균입니다. 여기서는 평균을 내지 않고 네 개를 모두 이어 붙입니다.",
        ),
        Mistake(
            merged_by(0, 1, 3, 4, 2, 5),
            "Your order goes down first: top left is followed by bottom left.",
            "아래로 먼저 내려가는 순서입니다. 왼쪽 위 다음에 왼쪽 아래가 왔습니다.",
        ),
        Mistake(
            merged_by(0, 1, 3, 5, 2, 4),
            "You wrote the four values of each channel together: keep a patch in one piece.",
            "채널마다 네 값을 모았습니다. 패치 하나의 값은 한 덩어리로 두세요.",
        ),
        Mistake(
            merged_by(0, 1, 2, 3, 4, 5),
            "Without a permute, four patches of one row are merged: bring row and column of the window together first.",
            "permute가 없으면 한 줄에 있는 패치 네 개가 합쳐집니다. 창 안의 줄과 칸을 먼저 나란히 두세요.",
        ),
    ),
    hint_1=Text(
        "Split both sides into windows with reshape, and move the two inner axes next to the channels.",
        "reshape로 두 변을 창으로 나누고, 창 안의 두 축을 채널 옆으로 옮깁니다.",
    ),
    hint_2=Text(
        "reshape(T, H // 2, 2, W // 2, 2, C), then permute(0, 1, 3, 2, 4, 5).",
        "reshape(T, H // 2, 2, W // 2, 2, C) 다음에 permute(0, 1, 3, 2, 4, 5)를 씁니다.",
    ),
    why=Text(
        "InternVL calls this pixel shuffle, Qwen a patch merger. A projector that reads it may weigh the four patches "
        "in different ways; a mean weighs them alike.",
        "InternVL은 픽셀 셔플, Qwen은 패치 병합이라고 부릅니다. 이것을 읽는 프로젝터는 네 패치에 서로 다른 가중치를 "
        "줄 수 있고, 평균은 모두 같은 가중치를 줍니다.",
    ),
)


def my_kept(before, frame, keep):
    similarity = F.cosine_similarity(before, frame, dim=-1)
    return similarity.topk(keep, largest=False).indices.sort().values


def two_frames(tokens: int, keep: int) -> tuple:
    """A frame whose tokens differ from the one before in direction and, more so, in length."""
    before = noise(tokens, 6)
    turned = before + noise(tokens, 6, 1)[..., 0] * noise(tokens).abs()[:, None]
    return before, turned * (1 + 4 * noise(tokens, 2)[:, :1].abs()), keep


kept = Write(
    id="13.kept",
    title=Text("what a frame adds", "프레임이 더하는 것"),
    task=Text(
        "`before` and `frame` are the tokens (N, D) of two frames. Return the numbers of the `keep` tokens of `frame` "
        "that changed most. They have the smallest cosine similarity to the token in the same place of `before`. "
        "Return them in the order in which they stand in the frame.",
        "`before`와 `frame`은 두 프레임의 토큰 (N, D)입니다. `frame`에서 가장 많이 바뀐 토큰 `keep`개의 번호를 "
        "돌려주세요. `before`의 같은 위치에 있는 토큰과 코사인 유사도가 가장 낮은 토큰입니다. 번호는 프레임에 놓인 "
        "순서대로 돌려주세요.",
    ),
    card=Card(difficulty=2, importance=5, minutes=7),
    answer=my_kept,
    cases=lambda: [two_frames(10, 4), two_frames(16, 5), two_frames(23, 9)],
    mistakes=(
        Mistake(
            lambda before, frame, keep: F.cosine_similarity(before, frame, dim=-1).topk(keep).indices.sort().values,
            "Those are the tokens that repeat: keep the least similar ones.",
            "반복되는 토큰을 골랐습니다. 유사도가 가장 낮은 토큰을 남기세요.",
        ),
        Mistake(
            lambda before, frame, keep: F.cosine_similarity(before, frame, dim=-1).topk(keep, largest=False).indices,
            "The right tokens, in the order of their similarity: sort the numbers.",
            "토큰은 맞지만 유사도 순서로 놓였습니다. 번호를 정렬하세요.",
        ),
        Mistake(
            lambda before, frame, keep: (before * frame).sum(-1).topk(keep, largest=False).indices.sort().values,
            "A plain product grows with the length of the tokens: divide by both lengths.",
            "단순한 내적은 토큰의 길이에 따라 커집니다. 두 길이로 나누세요.",
        ),
        Mistake(
            lambda before, frame, keep: (before - frame).norm(dim=-1).topk(keep).indices.sort().values,
            "That is the largest distance, which a token also reaches by growing longer in the same direction.",
            "거리가 가장 큰 토큰입니다. 같은 방향으로 길어지기만 해도 거리는 커집니다.",
        ),
    ),
    hint_1=Text(
        "F.cosine_similarity along the last axis, then topk.", "마지막 축으로 F.cosine_similarity, 그다음 topk입니다."
    ),
    hint_2=Text("topk(keep, largest=False).indices, and then sort.", "topk(keep, largest=False).indices를 정렬합니다."),
    why=Text(
        "It is one step of DyCoke. The official code leaves out the last sort; section 4 measures what that costs.",
        "DyCoke의 한 단계입니다. 공식 코드에는 마지막 정렬이 없습니다. 그 대가는 4절에서 측정합니다.",
    ),
)


def my_keep(visual, layers, after, budget):
    room = (layers * budget - after * visual) / (layers - after)
    return max(0, min(visual, math.floor(room)))


keep = Write(
    id="13.keep",
    title=Text("a budget over all layers", "모든 층에 걸친 예산"),
    task=Text(
        "FastV reads `visual` tokens in the first `after` of `layers` layers, and fewer in the rest. How many tokens "
        "may go on so that the mean over all layers is at most `budget`? A whole number from 0 to `visual`; 0 also "
        "where the first layers alone spend too much.",
        "FastV는 `layers`개 층 가운데 처음 `after`개 층에서 토큰 `visual`개를 읽고, 나머지 층에서는 더 적게 읽습니다. "
        "모든 층의 평균이 `budget` 이하가 되려면 토큰을 몇 개까지 남길 수 있습니까? 0에서 `visual` 사이의 정수로 "
        "답하세요. 처음 층들만으로 예산을 넘으면 0입니다.",
    ),
    card=Card(difficulty=2, importance=4, minutes=6),
    answer=my_keep,
    cases=lambda: [(256, 4, 1, 128), (576, 32, 2, 300), (256, 4, 2, 100), (100, 8, 2, 120), (130, 5, 2, 101)],
    mistakes=(
        Mistake(
            lambda visual, layers, after, budget: min(visual, budget),
            "The first layers read all tokens: that has to be saved in the others.",
            "처음 층들은 토큰을 모두 읽습니다. 그만큼 나머지 층에서 줄여야 합니다.",
        ),
        Mistake(
            lambda visual, layers, after, budget: math.floor((layers * budget - after * visual) / (layers - after)),
            "A number below 0 or above `visual` cannot be kept.",
            "0보다 작거나 `visual`보다 큰 수는 남길 수 없습니다.",
        ),
        Mistake(
            lambda visual, layers, after, budget: max(
                0, min(visual, math.ceil((layers * budget - after * visual) / (layers - after)))
            ),
            "Rounded up, the mean is above the budget: round down.",
            "올림하면 평균이 예산을 넘습니다. 내림하세요.",
        ),
        Mistake(
            lambda visual, layers, after, budget: max(0, min(visual, math.floor(budget - after * visual / layers))),
            "What the first layers leave is for the other layers alone: divide by their number.",
            "처음 층들이 쓰고 남은 것은 나머지 층만의 것입니다. 나머지 층의 수로 나누세요.",
        ),
    ),
    hint_1=Text(
        "All layers together may hold layers * budget tokens.",
        "모든 층을 합하면 토큰 layers * budget개까지 가질 수 있습니다.",
    ),
    hint_2=Text(
        "Take away after * visual, and divide by the layers that remain.",
        "after * visual을 빼고, 남은 층의 수로 나눕니다.",
    ),
    why=Text(
        "Keys and values are kept for each layer, so this mean is what the KV cache holds. With 32 layers the first "
        "two weigh little; with tiny's four, one weighs a quarter.",
        "키와 값은 층마다 보관하므로 이 평균이 KV 캐시의 크기입니다. 32개 층에서는 처음 두 층의 몫이 작지만, 층이 네 "
        "개인 tiny에서는 한 층이 4분의 1입니다.",
    ),
)

many = Choose(
    id="13.many",
    title=Text("twenty questions", "스무 개의 질문"),
    task=Text(
        "A service reads each clip once and keeps its keys and values; then come twenty questions about it, one after "
        "the other. Which method may it use so that nothing has to be read again, and why?\n\n- **a** leaving out "
        "what repeats, as DyCoke does\n- **b** FastV after layer 2\n- **c** the context token of "
        "LLaMA-VID\n\nbecause\n\n- **1** it keeps the fewest tokens of the three methods\n- **2** the clip alone "
        "decides what is kept\n- **3** it works inside the language model, where the cache is",
        "어떤 서비스가 클립을 한 번 읽고 키와 값을 보관합니다. 그 뒤 그 클립에 대한 질문 스무 개가 차례로 들어옵니다. "
        "아무것도 다시 읽지 않으려면 어떤 방법을 쓸 수 있습니까? 이유는 무엇입니까?\n\n- **a** DyCoke처럼 반복되는 "
        "것을 빼기\n- **b** 2층 다음의 FastV\n- **c** LLaMA-VID의 컨텍스트 토큰\n\n이유\n\n- **1** 세 방법 가운데 "
        "토큰을 가장 적게 남기기 때문입니다\n- **2** 무엇을 남길지를 클립만으로 정합니다\n- **3** 캐시가 있는 언어 "
        "모델 안에서 동작하기 때문입니다",
    ),
    card=Card(difficulty=2, importance=5, minutes=4),
    answer="a2",
    replies={
        "b": Text(
            "What it drops was ranked by the first question; the second may need just that.",
            "버린 토큰은 첫 질문으로 순위를 매긴 것입니다. 두 번째 질문에는 바로 그것이 필요할 수 있습니다.",
        ),
        "c": Text(
            "The context token is made from the question, so each question needs new ones.",
            "컨텍스트 토큰은 질문으로 만듭니다. 질문마다 새로 만들어야 합니다.",
        ),
        "1": Text(
            "The number of tokens does not matter here: what matters is whether they change with the question.",
            "여기서 토큰 수는 중요하지 않습니다. 질문에 따라 토큰이 바뀌는지가 중요합니다.",
        ),
        "3": Text(
            "DyCoke's leaving out is done before the language model reads anything.",
            "DyCoke가 토큰을 빼는 일은 언어 모델이 읽기 전에 끝납니다.",
        ),
    },
    hint_1=Text(
        "For which of them are the visual tokens of the second question the same as those of the first?",
        "두 번째 질문의 시각 토큰이 첫 번째와 같은 방법은 무엇입니까?",
    ),
    hint_2=Text("Two of the three look at the question.", "셋 가운데 둘은 질문을 봅니다."),
    why=Text(
        "Features in, tokens out: what depends on the clip alone is computed once. FastV and the context token buy "
        "their choice by being made anew for every question.",
        "특징이 들어가고 토큰이 나옵니다. 클립에만 달린 것은 한 번만 계산합니다. FastV와 컨텍스트 토큰은 질문마다 "
        "새로 만드는 대가로 골라서 볼 수 있습니다.",
    ),
)

pairs = Predict(
    id="13.pairs",
    title=Text("four frames in one", "네 장을 하나로"),
    task=Text(
        "An experiment, at 64 tokens. Two frames in one beat every second frame. And four in one? Take 128 clips with "
        "seeds from 2,000 on. Count with `count_later` what `merged(64, 4, 2)` answers, and with `count_right` what "
        "uniform 4 x 16 answers, which reads every fourth frame. By how many points does uniform lead, in the mean "
        "over the seven kinds? (To 80 %: 128 clips do not tell more. Negative if merging leads.)",
        "64토큰에서 하는 실험입니다. 두 장을 하나로 합치면 한 장씩 건너 읽는 것보다 나았습니다. 네 장을 하나로 합치면 "
        "어떻습니까? 시드가 2,000 이상인 클립을 128개 쓰세요. `merged(64, 4, 2)`의 답은 `count_later`로, 네 장마다 한 "
        "장을 읽는 균등 4 x 16의 답은 `count_right`로 세세요. 일곱 종류의 평균에서 균등이 몇 점 앞섭니까? (오차 80%. "
        "클립 128개로는 더 정확히 알 수 없습니다. 합친 쪽이 앞서면 음수입니다.)",
    ),
    card=Card(difficulty=3, importance=4, minutes=10),
    answer=2.8,
    tolerance=0.8,
    mistakes=(
        Mistake(0.028, "That is a share: points are a hundred times as many.", "비율입니다. 점수로는 백 배입니다."),
        Mistake(
            280,
            "That is multiplied by a hundred twice: points are per cent.",
            "100을 두 번 곱했습니다. 점수는 퍼센트 값입니다.",
        ),
        Mistake(
            -9.9,
            "That is two frames in one, at 128 tokens: merge four, and read every fourth.",
            "128토큰에서 두 장을 합쳤을 때의 값입니다. 네 장을 합치고, 네 장마다 한 장을 읽으세요.",
        ),
    ),
    hint_1=Text(
        "Both calls return counts: shares by kind are right.sum(0) / asked.sum(0).",
        "두 함수 모두 맞힌 수와 질문 수를 돌려줍니다. 종류별 비율은 right.sum(0) / asked.sum(0)입니다.",
    ),
    hint_2=Text(
        "count_later(vlm, clips, [merged(64, 4, 2)]) and count_right(vlm, clips, [uniform(64, 4, 2)]).",
        "count_later(vlm, clips, [merged(64, 4, 2)])와 count_right(vlm, clips, [uniform(64, 4, 2)])입니다.",
    ),
    why=Text(
        "About 3 points. A flash of one frame is a quarter of the mean of four, and drowns: 26 % are named where "
        "every fourth frame names 46 %.",
        "약 3점입니다. 한 프레임짜리 번쩍임은 네 장 평균의 4분의 1이라 묻힙니다. 네 장마다 한 장을 읽으면 46%를 "
        "맞히지만 합치면 26%만 맞힙니다.",
    ),
)

EXERCISES = (merge, kept, keep, many, pairs)
