"""Exercises of lesson 08: room for an answer, the label mask, LoRA's forward, two silent settings, and even levels."""

import torch
from torch import Tensor

from lib.exercises.base import Card, Choose, Mistake, Predict, Write, noise
from lib.exercises.progress import Text

TITLE = Text("Korean captions", "한국어 캡션")

room = Predict(
    id="08.room",
    title=Text("room for the longest caption", "가장 긴 캡션의 자리"),
    task=Text(
        "Vicuna has 4,096 positions. A frame takes 144 of them, the prompt's words 60. Your captions take 932 tokens "
        "on average and 1,572 at most. You set `max_new_tokens` so that no caption is cut off. How many frames fit at "
        "most?",
        "Vicuna의 문맥 길이는 4,096입니다. 프레임 하나가 144토큰, 프롬프트의 텍스트가 60토큰을 씁니다. 캡션은 평균 "
        "932토큰, 최대 1,572토큰입니다. 어떤 캡션도 잘리지 않도록 `max_new_tokens`를 정하면 프레임은 최대 몇 장 "
        "들어갑니까?",
    ),
    card=Card(difficulty=1, importance=4, minutes=3),
    answer=17,
    mistakes=(
        Mistake(
            21,
            "That leaves room for an average caption: every longer one would be cut off.",
            "평균 길이까지만 들어갑니다. 그보다 긴 캡션은 모두 잘립니다.",
        ),
        Mistake(
            26,
            "That leaves 256 tokens for the answer, as much code on the web does.",
            "웹의 많은 코드처럼 256토큰만 남긴 값입니다.",
        ),
        Mistake(28, "Nothing is left for the answer.", "답이 들어갈 자리가 없습니다."),
        Mistake(18, "18 frames are 128 tokens too many: round down.", "18장이면 128토큰이 넘칩니다. 내림하세요."),
        Mistake(2464 / 144, "Frames are whole: round down.", "프레임은 정수입니다. 내림하세요."),
    ),
    hint_1=Text("The answer stands in the same context as the video.", "답도 비디오와 같은 문맥 안에 놓입니다."),
    hint_2=Text(
        "4,096 - 60 - 1,572 = 2,464 positions are left for frames of 144.",
        "4,096 - 60 - 1,572 = 2,464개가 남고, 프레임 하나가 144개를 씁니다.",
    ),
    why=Text(
        "floor(2,464 / 144) = 17. The longest caption counts, not the average one; four frames are its price.",
        "floor(2,464 / 144) = 17입니다. 평균이 아니라 가장 긴 캡션이 기준이고, 그 대가는 프레임 네 장입니다.",
    ),
)


def my_labels(ids, prompt, length):
    place = torch.arange(ids.shape[1])
    learned = (place >= prompt[:, None]) & (place < length[:, None])  # the last of them is the end token
    return torch.where(learned, ids, -100)


def batch(*sizes: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of (prompt, answer) tokens, padded on the right. The end token is 2, and so is the padding."""
    lengths = [prompt + answer for prompt, answer in sizes]
    ids = torch.full((len(sizes), max(lengths)), 2)
    for row, length in zip(ids, lengths, strict=True):
        row[: length - 1] = torch.randint(3, 99, (length - 1,), generator=torch.Generator().manual_seed(length))
    return ids, torch.tensor([prompt for prompt, _ in sizes]), torch.tensor(lengths)


labels = Write(
    id="08.labels",
    title=Text("the label mask", "레이블 마스크"),
    task=Text(
        "`ids`, (B, L), are sequences padded on the right. Row i begins with `prompt[i]` tokens of prompt and video; "
        "the answer follows and ends in the end token; together they are `length[i]` tokens. The rest is padding, for "
        "which some tokenizers use the end token again. Return the labels, (B, L): the ids of what is to be learned, "
        "-100 everywhere else. (transformers' loss itself compares position i with label i + 1.)",
        "`ids`(B, L)는 오른쪽을 패딩한 시퀀스입니다. i번 행은 프롬프트와 비디오의 토큰 `prompt[i]`개로 시작하고, 종료 "
        "토큰으로 끝나는 답이 이어져 모두 `length[i]`개입니다. 그 뒤는 패딩이며, 종료 토큰을 패딩으로도 쓰는 "
        "토크나이저가 있습니다. 레이블 (B, L)을 돌려주세요. 학습할 토큰은 그 ID, 나머지는 모두 -100입니다. (i번 "
        "위치를 i + 1번 레이블과 맞추는 처리는 transformers가 내부에서 합니다.)",
    ),
    card=Card(difficulty=2, importance=5, minutes=10),
    answer=my_labels,
    cases=lambda: [batch((5, 4), (3, 3), (6, 2)), batch((4, 6)), batch((2, 1), (7, 5))],
    mistakes=(
        Mistake(
            lambda ids, prompt, length: my_labels(ids, prompt, length - 1),
            "The end token is missing: a model that never learns it never learns to stop.",
            "종료 토큰이 빠졌습니다. 그것을 배우지 못한 모델은 멈출 줄 모릅니다.",
        ),
        Mistake(
            lambda ids, prompt, length: my_labels(ids, 0 * prompt, length),
            "The prompt is not masked: the model would learn to ask.",
            "프롬프트를 가리지 않았습니다. 모델이 질문하기를 배우게 됩니다.",
        ),
        Mistake(
            lambda ids, prompt, length: my_labels(ids, prompt, 0 * length + ids.shape[1]),
            "The padding is counted: it is behind the end token and nothing to learn.",
            "패딩까지 세었습니다. 종료 토큰 뒤의 패딩은 학습할 것이 아닙니다.",
        ),
        Mistake(
            lambda ids, prompt, length: my_labels(ids, prompt, length).roll(-1, 1),
            "The labels are shifted by one: the loss shifts them again, and the model would learn to skip a token.",
            "레이블이 한 칸 밀렸습니다. 손실이 한 번 더 밀기 때문에 모델이 토큰을 건너뛰게 됩니다.",
        ),
        Mistake(
            lambda ids, prompt, length: my_labels(ids, prompt + 1, length),
            "The first token of the answer is masked too.",
            "답의 첫 토큰까지 가렸습니다.",
        ),
        Mistake(
            lambda ids, prompt, length: my_labels(ids, prompt - 1, length),
            "The last token of the prompt is learned too.",
            "프롬프트의 마지막 토큰까지 학습합니다.",
        ),
        Mistake(
            lambda ids, prompt, length: torch.where(my_labels(ids, prompt, length) == -100, 0, ids),
            "0 is a token like any other: what is not learned gets -100, which the loss leaves out.",
            "0도 하나의 토큰입니다. 학습하지 않는 자리에는 손실이 건너뛰는 -100을 넣으세요.",
        ),
        Mistake(
            lambda ids, prompt, length: (my_labels(ids, prompt, length) != -100).long(),
            "That is a mask of ones: labels are the ids themselves.",
            "1과 0으로 된 마스크입니다. 레이블은 토큰 ID 자체입니다.",
        ),
    ),
    hint_1=Text(
        "Which places of row i hold its answer? Compare places, not ids.",
        "i번 행에서 답은 몇 번 자리에 있습니까? ID가 아니라 자리를 비교하세요.",
    ),
    hint_2=Text(
        "Places from prompt[i] up to, and without, length[i]: torch.arange(L) >= prompt[:, None], and so on.",
        "prompt[i]부터 length[i] 바로 앞까지입니다. torch.arange(L) >= prompt[:, None]처럼 비교합니다.",
    ),
    why=Text(
        "The same as `lib.data.Collator`. Masking `ids == pad` would take the end token away where the two are one.",
        "`lib.data.Collator`와 같습니다. `ids == pad`로 가리면 패딩과 종료 토큰이 같을 때 종료 토큰까지 사라집니다.",
    ),
)


def my_lora(x, weight, A, B, alpha):
    scale = alpha / len(A)  # A has r rows
    return x @ weight.T + scale * (x @ A.T) @ B.T


def with_scale(scale, base=1.0):
    """LoRA's forward with another scale(alpha, rank), or with a share of the base weight."""
    return lambda x, weight, A, B, alpha: base * x @ weight.T + scale(alpha, len(A)) * (x @ A.T) @ B.T


def if_square(forward):
    """A mistake that only a square weight lets pass: elsewhere torch refuses the shapes."""
    return lambda x, weight, *rest: forward(x, weight, *rest) if len(weight) == weight.shape[1] else 0


lora = Write(
    id="08.lora",
    title=Text("LoRA's forward", "LoRA의 forward"),
    task=Text(
        "`x`, (N, m), are inputs, `weight` W, (n, m), the frozen weight of a `torch.nn.Linear` without bias. LoRA adds "
        "`A`, (r, m), and `B`, (n, r). Return W x + (`alpha` / r) B A x for each input, (N, n).",
        "`x`(N, m)는 입력, `weight` W(n, m)는 bias가 없는 `torch.nn.Linear`의 동결된 가중치입니다. LoRA는 `A`(r, m)와 "
        "`B`(n, r)를 더합니다. 입력마다 W x + (`alpha` / r) B A x를 구해 (N, n) 모양으로 돌려주세요.",
    ),
    card=Card(difficulty=2, importance=5, minutes=8),
    answer=my_lora,
    cases=lambda: [
        (noise(5, 6), noise(6, 6), noise(2, 6), noise(6, 2), 8),
        (noise(3, 4), noise(7, 4), noise(3, 4), noise(7, 3), 2),
        (noise(2, 8), noise(5, 8), noise(1, 8), noise(5, 1), 16),
    ],
    mistakes=(
        Mistake(with_scale(lambda alpha, rank: 1), "The scale alpha / r is missing.", "배율 alpha / r이 빠졌습니다."),
        Mistake(
            with_scale(lambda alpha, rank: alpha),
            "You multiply by alpha alone: divide by the rank r.",
            "alpha만 곱했습니다. 랭크 r로 나누세요.",
        ),
        Mistake(
            with_scale(lambda alpha, rank: rank / alpha),
            "The scale is upside down: alpha / r.",
            "배율이 거꾸로입니다. alpha / r입니다.",
        ),
        Mistake(
            with_scale(lambda alpha, rank: alpha / rank**0.5),
            "You divide by √r, which is another method (`use_rslora` in peft): LoRA divides by r.",
            "√r로 나누었습니다. 그것은 다른 방법(peft의 `use_rslora`)이고, LoRA는 r로 나눕니다.",
        ),
        Mistake(
            with_scale(lambda alpha, rank: alpha / rank, base=0.0),
            "The base weight is gone: LoRA adds to W x, it does not replace it.",
            "원래 가중치가 사라졌습니다. LoRA는 W x를 대신하지 않고 거기에 더합니다.",
        ),
        Mistake(
            lambda x, weight, A, B, alpha: alpha / len(A) * (x @ weight.T + (x @ A.T) @ B.T),
            "The scale belongs to B A x alone: W x stays as it was.",
            "배율은 B A x에만 곱합니다. W x는 그대로 둡니다.",
        ),
        Mistake(
            if_square(lambda x, weight, A, B, alpha: x @ weight.T + alpha / len(A) * (x @ B) @ A),
            "A and B are swapped: x meets A first, which makes r numbers of m, and B makes n of them.",
            "A와 B가 뒤바뀌었습니다. x는 먼저 A를 만나 m개에서 r개가 되고, B가 그것을 n개로 만듭니다.",
        ),
        Mistake(
            if_square(lambda x, weight, A, B, alpha: x @ weight + alpha / len(A) * (x @ A.T) @ B.T),
            "A Linear's weight acts transposed: x @ W.T.",
            "Linear의 가중치는 전치하여 곱합니다: x @ W.T.",
        ),
    ),
    hint_1=Text(
        "Two paths, added: the frozen one and the thin one.",
        "동결된 가중치의 출력과 저랭크 행렬 두 개의 출력을 더합니다.",
    ),
    hint_2=Text(
        "x @ A.T has shape (N, r); the rank r is len(A).", "x @ A.T의 모양은 (N, r)이고, 랭크 r은 len(A)입니다."
    ),
    why=Text(
        "peft's `lora.Linear` does the same. B starts at 0, so at first nothing changes.",
        "peft의 `lora.Linear`와 같습니다. B가 0에서 시작하므로 처음에는 아무것도 바뀌지 않습니다.",
    ),
)

silent = Choose(
    id="08.silent",
    title=Text("two settings that fail in silence", "경고 없이 틀리는 두 설정"),
    task=Text(
        "Another model. Its parts are `model.visual`, whose attention also has layers called `q_proj` and `v_proj`, "
        "and `model.language_model`. You want adapters in the language model alone, and `model.visual` kept out of 4 "
        "bits. Which two settings do you take, and why?\n\n"
        '- **a** targets `".*language_model.*(q_proj|v_proj)"`; leave out `["model.visual"]`\n'
        '- **b** targets `["q_proj", "v_proj"]`; leave out `["visual"]`\n'
        '- **c** targets `"all-linear"`; leave out `["model.visual"]`\n\nbecause\n\n'
        "- **1** a name that matches nothing raises an error\n- **2** both compare with any piece of a name\n"
        "- **3** peft compares a list with the ends of names, transformers a part to be left out with their starts",
        "다른 모델입니다. 한 부분은 `model.visual`이고 그 어텐션에도 `q_proj`, `v_proj`라는 층이 있습니다. 다른 부분은 "
        "`model.language_model`입니다. 어댑터는 언어 모델에만 붙이고, `model.visual`은 4비트로 만들지 않으려 합니다. "
        "어느 두 설정을 고르겠습니까? 이유는 무엇입니까?\n\n"
        '- **a** 대상 `".*language_model.*(q_proj|v_proj)"`, 제외 `["model.visual"]`\n'
        '- **b** 대상 `["q_proj", "v_proj"]`, 제외 `["visual"]`\n'
        '- **c** 대상 `"all-linear"`, 제외 `["model.visual"]`\n\n이유\n\n'
        "- **1** 일치하는 모듈이 없으면 오류가 납니다\n- **2** 둘 다 이름의 부분 문자열과 비교합니다\n"
        "- **3** peft는 목록을 이름의 끝과, transformers는 제외할 부분을 이름의 처음과 비교합니다",
    ),
    card=Card(difficulty=2, importance=5, minutes=4),
    answer="a3",
    replies={
        "b": Text(
            "Both go wrong: adapters land in `model.visual` as well, and it is put into 4 bits.",
            "둘 다 틀립니다. 어댑터가 `model.visual`에도 붙고, `model.visual`은 4비트가 됩니다.",
        ),
        "c": Text(
            "The second is right, but all linear layers are those of `model.visual` too.",
            "제외는 맞지만, 모든 선형 층에는 `model.visual`의 층도 들어 있습니다.",
        ),
        "1": Text("No error, no warning: that is why we count.", "오류도 경고도 없습니다. 그래서 세어 보는 것입니다."),
        "2": Text(
            "Then short names would do in both: look at the two tables of counts in sections 4 and 5.",
            "그렇다면 둘 다 짧은 이름으로 충분할 것입니다. 4절과 5절에서 세어 본 두 표를 보세요.",
        ),
    },
    hint_1=Text("Write down the full name of one layer in each part.", "부분마다 층 하나의 전체 이름을 적어 보세요."),
    hint_2=Text(
        "`model.visual.blocks.0.attn.q_proj` ends in `q_proj` and does not start with `visual`.",
        "`model.visual.blocks.0.attn.q_proj`는 `q_proj`로 끝나고, `visual`로 시작하지 않습니다.",
    ),
    why=Text(
        "A regular expression must match the whole name, so it can ask for the part. Either way, count what was hit.",
        "정규식은 이름 전체와 맞아야 하므로 어느 부분인지까지 정할 수 있습니다. 어느 쪽이든 무엇이 걸렸는지 세어 "
        "보세요.",
    ),
)

even = Predict(
    id="08.even",
    title=Text("levels at equal distances", "간격이 같은 레벨"),
    task=Text(
        "An experiment. What do NF4's uneven levels gain? Replace them by 16 levels at equal distances from -1 to 1, "
        "with the same blocks of 64, and measure the relative error of the same `weight`. (To 1 %.)",
        "실험입니다. NF4의 고르지 않은 레벨은 얼마나 이득입니까? 레벨을 -1부터 1까지 간격이 같은 16개로 바꾸고, 블록 "
        "크기 64는 그대로 두어 같은 `weight`의 상대 오차를 측정하세요. (오차 1%)",
    ),
    card=Card(difficulty=2, importance=4, minutes=6),
    answer=0.1,
    tolerance=0.01,
    mistakes=(
        Mistake(
            0.0918,
            "That is NF4's error: `nf4` still reads the old `levels`, or the weights come back by them.",
            "NF4의 오차입니다. `nf4`가 아직 예전 `levels`를 쓰거나, 되돌릴 때 예전 레벨을 썼습니다.",
        ),
        Mistake(
            0.1066,
            "That is with 15 levels, or with 0 among 16: `torch.linspace(-1, 1, 16)` has no 0.",
            "레벨이 15개이거나, 16개에 0을 넣은 값입니다. `torch.linspace(-1, 1, 16)`에는 0이 없습니다.",
        ),
        Mistake(
            3.815,
            "That is the error itself: divide its norm by that of the weight.",
            "오차 자체의 크기입니다. 가중치의 노름으로 나누세요.",
        ),
        Mistake(10, "As a share of 1, please: 1 % is 0.01.", "1에 대한 비율로 적으세요. 1%는 0.01입니다."),
    ),
    hint_1=Text(
        "Both steps use the levels: the search for the nearest, and the way back to weights.",
        "가장 가까운 레벨을 찾을 때와 가중치로 되돌릴 때, 두 번 모두 레벨을 씁니다.",
    ),
    hint_2=Text(
        "`levels = torch.linspace(-1, 1, 16)`, then `nf4(weight)` and the last lines of that cell.",
        "`levels = torch.linspace(-1, 1, 16)`으로 바꾼 뒤 `nf4(weight)`와 그 셀의 마지막 줄들을 실행하세요.",
    ),
    why=Text(
        "0.100 against 0.092. Weights are nearly normal: most are small, and NF4 has more levels there.",
        "0.100과 0.092입니다. 가중치는 정규 분포에 가까워 작은 값이 많고, NF4는 그 근처에 레벨이 더 많습니다.",
    ),
)

EXERCISES = (room, labels, lora, silent, even)
