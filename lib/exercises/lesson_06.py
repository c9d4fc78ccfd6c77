"""Exercises of lesson 06: content tokens on a grid, context attention, tokens of another question, and hours."""

import torch.nn.functional as F

from lib.exercises.base import Card, Mistake, Predict, Write, noise
from lib.exercises.progress import Text

TITLE = Text("LLaMA-VID", "LLaMA-VID")


def my_context(queries, patches, key_weight):
    keys = patches @ key_weight.T  # what nn.Linear(bias=False) computes
    scores = queries @ keys.transpose(1, 2) / patches.shape[-1] ** 0.5  # (T, L, N)
    found = scores.softmax(dim=-1) @ patches  # (T, L, C)
    return found.mean(dim=1)


def attended(queries, patches, keys, scale=None, dim=-1, values=None):
    """What the queries find, (T, L, C), with one thing changed."""
    scores = queries @ keys.transpose(1, 2) / (patches.shape[-1] ** 0.5 if scale is None else scale)
    return scores.softmax(dim=dim) @ (patches if values is None else values)


context = Write(
    id="06.context",
    title=Text("the context attention", "컨텍스트 어텐션"),
    task=Text(
        "For T frames you get `queries` (T, L, C), made from question and frame, and `patches` X (T, N, C). "
        "`key_weight` W (C, C) is the weight of a `torch.nn.Linear` without bias. Each query attends to the patches: "
        "softmax(Q (X Wᵀ)ᵀ / √C) X. Return the mean of what the queries find, (T, C).",
        "프레임 T장에 대해 세 가지가 주어집니다. `queries`(T, L, C)는 질문과 프레임으로 만든 쿼리, `patches` X(T, N, "
        "C)는 패치, `key_weight` W(C, C)는 bias가 없는 `torch.nn.Linear`의 가중치입니다. 쿼리마다 패치에 대한 "
        "어텐션을 계산합니다: softmax(Q (X Wᵀ)ᵀ / √C) X. 쿼리마다 얻은 벡터의 평균을 (T, C) 모양으로 돌려주세요.",
    ),
    card=Card(difficulty=4, importance=5, minutes=15),
    answer=my_context,
    cases=lambda: [
        (2 * noise(2, 4, 6), 2 * noise(2, 9, 6), noise(6, 6)),
        (2 * noise(1, 1, 4), 2 * noise(1, 5, 4), noise(4, 4)),
        (2 * noise(3, 8, 5), 2 * noise(3, 4, 5), noise(5, 5)),
    ],
    mistakes=(
        Mistake(
            lambda q, x, w: attended(q, x, x @ w.T, scale=1).mean(1),
            "The scores are not divided by √C: the code does it, the paper's formula does not.",
            "점수를 √C로 나누지 않았습니다. 논문의 식에는 없지만 코드에는 있습니다.",
        ),
        Mistake(
            lambda q, x, w: attended(q, x, x @ w.T, scale=x.shape[-1]).mean(1),
            "Divide by the square root of C, not by C.",
            "C가 아니라 C의 제곱근으로 나누세요.",
        ),
        Mistake(
            lambda q, x, w: attended(q, x, x).mean(1),
            "The key projection is missing: queries meet X Wᵀ, not X.",
            "키 투영이 빠졌습니다. 쿼리는 X가 아니라 X Wᵀ와 만납니다.",
        ),
        Mistake(
            lambda q, x, w: attended(q, x, x @ w).mean(1),
            "A Linear's weight acts transposed: x @ W.T.",
            "Linear의 가중치는 전치하여 곱합니다: x @ W.T.",
        ),
        Mistake(
            lambda q, x, w: attended(q, x, x @ w.T, dim=1).mean(1),
            "The softmax runs over the queries; each query's weights must sum to 1 over the patches.",
            "softmax를 쿼리 방향으로 했습니다. 쿼리마다 패치에 대한 가중치의 합이 1이어야 합니다.",
        ),
        Mistake(
            lambda q, x, w: attended(q, x, x @ w.T, values=x @ w.T).mean(1),
            "What is averaged are the patches themselves, not their keys.",
            "평균을 내는 것은 키가 아니라 패치 자체입니다.",
        ),
        Mistake(
            lambda q, x, w: attended(q, x, x @ w.T).sum(1),
            "That is the sum over the queries: take the mean.",
            "쿼리에 대한 합입니다. 평균을 구하세요.",
        ),
        Mistake(
            lambda q, x, w: attended(q, x, x @ w.T),
            "That is what each query found: average over the queries.",
            "쿼리마다 얻은 벡터입니다. 쿼리에 대해 평균을 내세요.",
        ),
    ),
    hint_1=Text(
        "keys, scores, softmax over the patches, weighted patches, mean over the queries.",
        "키, 점수, 패치에 대한 softmax, 가중 평균, 쿼리에 대한 평균의 차례입니다.",
    ),
    hint_2=Text(
        "scores = queries @ keys.transpose(1, 2) / C ** 0.5 has shape (T, L, N): softmax over the last dimension.",
        "scores = queries @ keys.transpose(1, 2) / C ** 0.5의 모양은 (T, L, N)이고 마지막 차원에서 softmax를 합니다.",
    ),
    why=Text(
        "`LlamaVid.generate_tokens` averages the weights before it touches the patches: the same, L times cheaper.",
        "`LlamaVid.generate_tokens`는 패치를 곱하기 전에 가중치의 평균을 냅니다. 결과는 같고 연산량은 L분의 1입니다.",
    ),
)


def my_content(features, rows, columns):
    frames, height, width, channels = features.shape
    cells = features.reshape(frames, rows, height // rows, columns, width // columns, channels)
    return cells.mean(dim=(2, 4)).flatten(1, 2)


content = Write(
    id="06.content",
    title=Text("content tokens on a grid", "격자로 나눈 콘텐츠 토큰"),
    task=Text(
        "Return the content tokens of `features`, (T, H, W, C): the means over `rows` x `columns` equal cells of each "
        "frame, row by row, (T, rows x columns, C). `rows` divides H and `columns` divides W. (1 x 1 is compress_type "
        '"mean", 4 x 4 is "grid:4", 1 x 2 two halves.)',
        "`features`(T, H, W, C)의 콘텐츠 토큰을 구하세요. 프레임을 `rows` x `columns`개의 같은 칸으로 나누어 칸마다 "
        "평균을 내고, 줄 순서로 (T, rows x columns, C)를 돌려줍니다. H는 `rows`로, W는 `columns`로 나누어떨어집니다. "
        '(1 x 1은 compress_type "mean", 4 x 4는 "grid:4", 1 x 2는 좌우 절반입니다.)',
    ),
    card=Card(difficulty=3, importance=4, minutes=10),
    answer=my_content,
    cases=lambda: [
        (noise(2, 8, 8, 3), 1, 1),
        (noise(2, 8, 8, 3), 4, 4),
        (noise(2, 8, 8, 4), 1, 2),
        (noise(1, 6, 12, 3), 2, 3),
        (noise(2, 12, 6, 2), 3, 1),
    ],
    mistakes=(
        Mistake(
            lambda x, rows, columns: F.avg_pool2d(x.permute(0, 3, 1, 2), (rows, columns)).flatten(2).transpose(1, 2),
            "rows x columns is the number of cells; you took it as the size of one.",
            "rows x columns는 칸의 개수인데 칸 하나의 크기로 썼습니다.",
        ),
        Mistake(
            lambda x, rows, columns: my_content(x.transpose(1, 2), columns, rows),
            "The cells come column by column: go row by row.",
            "칸이 열 순서로 놓였습니다. 줄(행) 순서로 놓으세요.",
        ),
        Mistake(
            lambda x, rows, columns: (
                my_content(x, columns, rows) if x.shape[1] % columns == x.shape[2] % rows == 0 else 0
            ),
            "Rows and columns are swapped: 1 x 2 is a left and a right half.",
            "행과 열이 바뀌었습니다. 1 x 2는 왼쪽과 오른쪽 절반입니다.",
        ),
        Mistake(
            lambda x, rows, columns: (
                F.adaptive_max_pool2d(x.permute(0, 3, 1, 2), (rows, columns)).flatten(2).transpose(1, 2)
            ),
            "Those are maxima: a content token is a mean.",
            "최댓값입니다. 콘텐츠 토큰은 평균입니다.",
        ),
        Mistake(
            lambda x, rows, columns: x.mean(dim=(1, 2))[:, None],
            "That is one mean for the whole frame: each cell gets its own.",
            "프레임 전체의 평균 하나입니다. 칸마다 따로 구하세요.",
        ),
    ),
    hint_1=Text("How many patches high and wide is one cell?", "칸 하나는 패치로 몇 행 몇 열입니까?"),
    hint_2=Text(
        "reshape to (T, rows, H // rows, columns, W // columns, C), mean over 2 and 4, flatten(1, 2).",
        "(T, rows, H // rows, columns, W // columns, C)로 reshape하고 2번과 4번의 평균을 낸 뒤 flatten(1, 2)를 합니다.",
    ),
    why=Text(
        "`LlamaVid.content_means`. A content token is lesson 04's pooling with a window as large as the frame.",
        "`LlamaVid.content_means`입니다. 콘텐츠 토큰은 창을 프레임 전체로 키운 4번 수업의 풀링입니다.",
    ),
)

factor = Predict(
    id="06.factor",
    title=Text("three hours", "세 시간"),
    task=Text(
        "A video of three hours is read at one frame per second, with two tokens a frame. Leave out the text. What is "
        "the smallest whole linear RoPE factor with which Vicuna's 4,096 positions are enough?",
        "세 시간짜리 비디오를 1초에 한 프레임, 프레임마다 2토큰으로 읽습니다. 텍스트는 빼고 계산하세요. 문맥 길이가 "
        "4,096인 Vicuna에 다 들어가려면 선형 RoPE 배율(정수)은 최소 얼마여야 합니까?",
    ),
    card=Card(difficulty=2, importance=3, minutes=4),
    answer=6,
    mistakes=(
        Mistake(
            5,
            "5 x 4,096 = 20,480 positions: not enough for all tokens. Round up.",
            "5 x 4,096 = 20,480이라 토큰이 다 들어가지 않습니다. 올림하세요.",
        ),
        Mistake(3, "That is one token a frame.", "프레임마다 1토큰일 때의 값입니다."),
        Mistake(
            16,
            "That is what LLaMA-VID sets, for 65,536 positions: more than needed here.",
            "LLaMA-VID가 65,536까지 읽으려고 쓰는 값입니다. 여기서는 그만큼 필요하지 않습니다.",
        ),
        Mistake(380, "That is 144 tokens a frame.", "프레임마다 144토큰일 때의 값입니다."),
        Mistake(21600 / 4096, "A whole factor is asked for: round up.", "정수를 묻고 있습니다. 올림하세요."),
    ),
    hint_1=Text("How many tokens are three hours?", "세 시간은 몇 토큰입니까?"),
    hint_2=Text(
        "10,800 frames x 2 = 21,600 tokens; divide by 4,096.", "10,800장 x 2 = 21,600토큰입니다. 4,096으로 나누세요."
    ),
    why=Text(
        "ceil(21,600 / 4,096) = 6. Being able to read it is not being able to use it: section 7.",
        "ceil(21,600 / 4,096) = 6입니다. 입력할 수 있다고 해서 모델이 활용할 수 있는 것은 아닙니다(7절).",
    ),
)

kept = Predict(
    id="06.kept",
    title=Text("tokens for a question about another thing", "다른 물체에 대한 질문으로 만든 토큰"),
    task=Text(
        "An experiment. Make the tokens for a question that is closer: the colour of *another* thing. Take the clips "
        "of `some` with at least two colour questions, make the tokens for the second and ask the first. Which share "
        "of the colours is right? (A number between 0 and 1, to 20 %.)",
        "실험입니다. 이번에는 더 비슷한 질문, 즉 *다른* 물체의 색을 묻는 질문으로 토큰을 만드세요. `some`에서 색을 "
        "묻는 질문이 두 개 이상인 클립만 고르고, 두 번째 질문으로 토큰을 만든 뒤 첫 번째 질문을 하세요. 색을 맞힌 "
        "비율은 얼마입니까? (0과 1 사이의 값, 오차 20% 이내)",
    ),
    card=Card(difficulty=3, importance=4, minutes=10),
    answer=0.37,
    tolerance=0.2,
    mistakes=(
        Mistake(0.91, "Those tokens were made for the question itself.", "바로 그 질문으로 만든 토큰입니다."),
        Mistake(
            0.28,
            "Those tokens were made for the code: make them for a colour.",
            "코드를 묻는 질문으로 만든 토큰입니다. 색을 묻는 질문으로 만드세요.",
        ),
        Mistake(37, "As a share, please: 37 % is 0.37.", "0과 1 사이의 값으로 적으세요. 37%는 0.37입니다."),
    ),
    hint_1=Text(
        "For each clip two questions of the kind colour: one goes to the reducer, the other to `grade`.",
        "클립마다 색을 묻는 질문 두 개가 필요합니다. 하나는 reducer에, 다른 하나는 `grade`에 넣으세요.",
    ),
    hint_2=Text(
        "`reducer(one, vlm.project, colours[1].question).embeds` for each clip, then `grade(vlm, visual, ...)` with "
        "`[[colours[0]] for ...]`.",
        "클립마다 `reducer(one, vlm.project, colours[1].question).embeds`를 만들고 `grade(vlm, visual, ...)`에 "
        "`[[colours[0]] for ...]`를 넣으세요.",
    ),
    why=Text(
        "About 0.37. And in 0.39 of these clips the model names the colour of the *other* thing: the token holds what "
        "it was made for.",
        "약 0.37입니다. 그리고 이 클립의 0.39에서 모델은 *다른* 물체의 색을 답합니다. 토큰에는 그것을 만든 질문의 "
        "답이 들어 있습니다.",
    ),
)

EXERCISES = (content, context, kept, factor)
