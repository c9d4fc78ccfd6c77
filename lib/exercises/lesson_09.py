"""Exercises of lesson 09: which pairs, how likely an answer is, DPO's loss, the cheap cure, and when both fall."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.exercises.base import Card, Choose, Mistake, Predict, Write, noise
from lib.exercises.progress import Text

TITLE = Text("DPO", "DPO")

pairs = Choose(
    id="09.pairs",
    title=Text("which pairs?", "쌍 고르기"),
    task=Text(
        "You want a model that invents less. You can have pairs of three kinds, as many as you like of each. Which do "
        "you train on, and why?\n\n- **a** the true caption against its first sentence\n- **b** the true caption "
        "against the true caption of another clip\n- **c** the true caption against the same with one fact changed\n\n"
        "because\n\n- **1** the preferred answer is the longer one, and long captions are better\n- **2** the more "
        "the two differ, the more is learned from each pair of them\n- **3** the two differ in what is to be learned, "
        "and in nothing else",
        "캡션의 환각을 줄이려고 합니다. 세 가지 쌍을 얼마든지 만들 수 있습니다. 어떤 쌍으로 학습하겠습니까? 이유는 "
        "무엇입니까?\n\n- **a** 참인 캡션과 그 첫 문장\n- **b** 어떤 클립의 참인 캡션과 다른 클립의 참인 캡션\n- "
        "**c** 참인 캡션과, 거기서 사실 하나만 바꾼 캡션\n\n이유\n\n- **1** 선호하는 답이 더 길고, 긴 캡션이 더 "
        "좋습니다\n- **2** 두 답이 많이 다를수록 쌍마다 많이 배웁니다\n- **3** 두 답이 배워야 할 점에서만 다릅니다",
    ),
    card=Card(difficulty=2, importance=4, minutes=3),
    answer="c3",
    replies={
        "a": Text(
            "Nothing there is invented: such pairs teach to go on talking.",
            "지어낸 것이 없습니다. 그런 쌍은 말을 더 길게 하라고 가르칩니다.",
        ),
        "b": Text(
            "A caption of another clip is wrong all over, so a coarse look will do: the model's own mistakes are "
            "single facts.",
            "다른 클립의 캡션은 모두 틀리므로 대략만 보아도 구별됩니다. 모델의 실수는 사실 하나를 틀리는 것입니다.",
        ),
        "1": Text(
            "Then length is what the model learns: it is the easiest difference to see.",
            "그러면 모델은 길이를 배웁니다. 가장 알아보기 쉬운 차이이기 때문입니다.",
        ),
        "2": Text(
            "What is easy to tell apart is soon told apart, and whatever else differs is learned along with it.",
            "구별하기 쉬운 것은 금방 구별되고, 그 밖의 차이까지 덩달아 배웁니다.",
        ),
    },
    hint_1=Text(
        "By what could a lazy model tell chosen from rejected?",
        "게으른 모델이라면 무엇을 보고 chosen과 rejected를 구별하겠습니까?",
    ),
    hint_2=Text(
        "Compare the two answers of each kind: their lengths, and how many of their facts differ.",
        "쌍마다 두 답의 길이와, 서로 다른 사실의 수를 비교하세요.",
    ),
    why=Text(
        "Equally long, equally fluent, one fact apart: only a look at the clip tells which of the two is true.",
        "길이도 문장도 같고 사실 하나만 다릅니다. 어느 쪽이 참인지는 클립을 보아야만 알 수 있습니다.",
    ),
)


def my_log_probs(logits, ids, mask):
    scores = logits[:, :-1].log_softmax(dim=-1)  # position i scores the token at i + 1
    each = scores.gather(-1, ids[:, 1:, None]).squeeze(-1)
    return (each * mask[:, 1:]).sum(dim=-1)


def batch(rows: int, length: int, words: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, ids and 1 where the answer is; row i ends in i tokens of padding."""
    ids = torch.randint(words, (rows, length), generator=torch.Generator().manual_seed(rows))
    place, row = torch.arange(length), torch.arange(rows)[:, None]
    mask = (place >= 2 + row % 2) & (place < length - row)
    return 3 * noise(rows, length, words), ids, mask.long()


def picked(logits, ids):
    """(B, L - 1): log p of the token at i + 1, by the scores at i."""
    return logits[:, :-1].log_softmax(dim=-1).gather(-1, ids[:, 1:, None]).squeeze(-1)


answers = Write(
    id="09.answers",
    title=Text("how likely is an answer?", "답의 로그 확률"),
    task=Text(
        "`logits`, (B, L, V), are a language model's scores: position i scores the token at i + 1. `ids`, (B, L), are "
        "the tokens, `mask`, (B, L), is 1 for those of the answer and 0 for prompt, video and padding. Return log "
        "p(answer) of each row, (B,): the sum of the log-probabilities of the answer's tokens.",
        "`logits`(B, L, V)는 언어 모델의 점수이고, i번 위치가 i + 1번 토큰을 예측합니다. `ids`(B, L)는 토큰이고, "
        "`mask`(B, L)는 답의 토큰에서 1, 프롬프트와 비디오와 패딩에서 0입니다. 행마다 log p(답)을 (B,) 모양으로 "
        "돌려주세요. 답에 든 토큰의 로그 확률을 더한 값입니다.",
    ),
    card=Card(difficulty=3, importance=5, minutes=12),
    answer=my_log_probs,
    cases=lambda: [batch(2, 7, 11), batch(1, 4, 5), batch(3, 9, 6)],
    mistakes=(
        Mistake(
            lambda logits, ids, mask: my_log_probs(logits, ids, mask) / mask.sum(dim=-1),
            "That is the mean over the tokens: the probability of an answer is a product, so take the sum.",
            "토큰에 대한 평균입니다. 답의 확률은 곱이므로 합을 구하세요.",
        ),
        Mistake(
            lambda logits, ids, mask: (logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0] * mask).sum(-1),
            "You score each token at its own position; position i scores the token at i + 1.",
            "토큰을 제자리의 점수로 계산했습니다. i번 위치는 i + 1번 토큰을 예측합니다.",
        ),
        Mistake(
            lambda logits, ids, mask: picked(logits, ids).sum(dim=-1),
            "Prompt and padding are counted too: only the answer's tokens belong in the sum.",
            "프롬프트와 패딩까지 더했습니다. 답의 토큰만 더하세요.",
        ),
        Mistake(
            lambda logits, ids, mask: (picked(logits, ids) * mask[:, :-1]).sum(dim=-1),
            "The mask has to be shifted with the tokens: mask[:, 1:].",
            "마스크도 토큰과 함께 한 칸 밀어야 합니다: mask[:, 1:].",
        ),
        Mistake(
            lambda logits, ids, mask: (logits[:, :-1].gather(-1, ids[:, 1:, None])[..., 0] * mask[:, 1:]).sum(-1),
            "Those are raw scores: log_softmax over the vocabulary makes log-probabilities of them.",
            "정규화하지 않은 점수입니다. 어휘 방향의 log_softmax를 거쳐야 로그 확률이 됩니다.",
        ),
        Mistake(
            lambda logits, ids, mask: (picked(logits, ids).exp() * mask[:, 1:]).sum(dim=-1),
            "You added up probabilities: add up their logarithms.",
            "확률을 더했습니다. 확률의 로그를 더하세요.",
        ),
        Mistake(
            lambda logits, ids, mask: -my_log_probs(logits, ids, mask),
            "The sign is turned: that is a cross-entropy, a logarithm of a probability is never positive.",
            "부호가 반대입니다. 그것은 교차 엔트로피이고, 확률의 로그는 양수가 될 수 없습니다.",
        ),
        Mistake(
            lambda logits, ids, mask: picked(logits, ids) * mask[:, 1:],
            "Those are the tokens: add up over each row.",
            "토큰마다의 값입니다. 행마다 더하세요.",
        ),
    ),
    hint_1=Text(
        "log_softmax, pick the score of each next token, leave out what is no answer, add up.",
        "log_softmax를 하고, 다음 토큰의 점수를 고르고, 답이 아닌 것을 빼고, 더합니다.",
    ),
    hint_2=Text(
        "scores = logits[:, :-1].log_softmax(-1); scores.gather(-1, ids[:, 1:, None]) and mask[:, 1:] belong together.",
        "scores = logits[:, :-1].log_softmax(-1)이고, scores.gather(-1, ids[:, 1:, None])과 mask[:, 1:]이 짝입니다.",
    ),
    why=Text(
        "`lib.finetune.dpo.log_probs`. Every further token makes an answer less likely: only gains can be compared, "
        "not these.",
        "`lib.finetune.dpo.log_probs`와 같습니다. 토큰이 늘수록 답의 확률은 낮아지므로, 이 값이 아니라 이득을 "
        "비교해야 합니다.",
    ),
)


def my_dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta):
    margin = (chosen - reference_chosen) - (rejected - reference_rejected)  # gain of the chosen - of the rejected
    return -F.logsigmoid(beta * margin).mean()


def log_probs(count: int, beta: float, spread: float = 20.0) -> tuple:
    """log p(answer) of `count` pairs, none above 0: chosen and rejected by the model, then by the reference."""
    return *(-spread * noise(count, 4).abs()).unbind(1), beta


def margins(chosen, rejected, reference_chosen, reference_rejected):
    return (chosen - reference_chosen) - (rejected - reference_rejected)


loss = Write(
    id="09.loss",
    title=Text("DPO's loss", "DPO 손실"),
    task=Text(
        "For B pairs, `chosen` and `rejected`, (B,), are log p(answer) of the model, `reference_chosen` and "
        "`reference_rejected`, (B,), those of the reference. Return DPO's loss with `beta`, one number: the mean over "
        "the pairs of -log sigmoid(beta x (gain of the chosen - gain of the rejected)). It has to be right for "
        "margins of thousands as well.",
        "쌍 B개에 대해 `chosen`과 `rejected`(B,)는 모델의 log p(답)이고, `reference_chosen`과 "
        "`reference_rejected`(B,)는 참조 모델의 값입니다. `beta`일 때의 DPO 손실을 수 하나로 돌려주세요. -log "
        "sigmoid(beta x (chosen의 이득 - rejected의 이득))을 쌍에 대해 평균한 값입니다. 마진이 수천이어도 맞아야 "
        "합니다.",
    ),
    card=Card(difficulty=3, importance=5, minutes=10),
    answer=my_dpo_loss,
    cases=lambda: [log_probs(6, 0.1), log_probs(1, 0.5), log_probs(3, 0.02), log_probs(5, 0.5, 20_000.0)],
    mistakes=(
        Mistake(
            lambda c, r, rc, rr, beta: -F.logsigmoid(beta * (c - r)).mean(),
            "The reference is missing: what counts is how much likelier an answer became, not how likely it is.",
            "참조 모델이 빠졌습니다. 답의 확률이 아니라, 그것이 얼마나 커졌는지가 중요합니다.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -F.logsigmoid(-beta * margins(c, r, rc, rr)).mean(),
            "Chosen and rejected are swapped: this loss makes the rejected answers likelier.",
            "chosen과 rejected가 뒤바뀌었습니다. 이 손실은 rejected의 확률을 높입니다.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -beta * F.logsigmoid(margins(c, r, rc, rr)).mean(),
            "beta stands outside of the sigmoid: it multiplies the margin, not the loss.",
            "beta가 sigmoid 밖에 있습니다. 손실이 아니라 마진에 곱합니다.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -F.logsigmoid(margins(c, r, rc, rr)).mean(),
            "beta is missing.",
            "beta가 빠졌습니다.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -torch.sigmoid(beta * margins(c, r, rc, rr)).mean(),
            "The logarithm of the sigmoid is missing.",
            "sigmoid의 로그를 취하지 않았습니다.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: F.logsigmoid(beta * margins(c, r, rc, rr)).mean(),
            "The minus is missing: a loss is to become small, this one would be driven down without end.",
            "앞의 음수 부호가 빠졌습니다. 손실은 줄여야 하는 값인데 이것은 끝없이 내려갑니다.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -F.logsigmoid(beta * margins(c, r, rc, rr)).sum(),
            "That is the sum over the pairs: take the mean.",
            "쌍에 대한 합입니다. 평균을 구하세요.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -F.logsigmoid(beta * margins(c, r, rc, rr).mean()),
            "You averaged the margins: each pair has its own loss, and the mean comes last.",
            "마진을 먼저 평균했습니다. 쌍마다 손실을 구하고 평균은 마지막에 냅니다.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -F.logsigmoid(beta * margins(c, r, rc, rr)),
            "Those are the losses of the pairs: now their mean.",
            "쌍마다의 손실입니다. 이제 평균을 내세요.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -torch.sigmoid(beta * margins(c, r, rc, rr)).log().mean(),
            "Right for small margins; at -1,000 the sigmoid is rounded to 0, and its logarithm is no number: use "
            "F.logsigmoid.",
            "마진이 작을 때는 맞습니다. -1,000에서는 sigmoid가 0으로 반올림되어 로그를 구할 수 없습니다. "
            "F.logsigmoid를 쓰세요.",
        ),
    ),
    hint_1=Text("First two gains, then their difference.", "먼저 두 이득, 그다음 그 차이입니다."),
    hint_2=Text(
        "gain of the chosen = chosen - reference_chosen; torch.nn.functional.logsigmoid does the rest safely.",
        "chosen의 이득 = chosen - reference_chosen입니다. 나머지는 torch.nn.functional.logsigmoid가 안전하게 "
        "계산합니다.",
    ),
    why=Text(
        "Equation 7 of arXiv 2305.18290, `lib.finetune.dpo.dpo_loss`. Where model and reference agree it is log 2.",
        "arXiv 2305.18290의 식 7이며 `lib.finetune.dpo.dpo_loss`와 같습니다. 모델과 참조 모델이 같으면 log 2입니다.",
    ),
)

both_fall = Predict(
    id="09.both_fall",
    title=Text("both fall", "둘 다 떨어질 때"),
    task=Text(
        "Training has made both answers of a pair less likely: log p of the chosen one is 20 lower than at the start, "
        "that of the rejected one 50 lower. beta is 0.1. What is the loss of this pair now?",
        "학습한 뒤 한 쌍의 두 답 모두 확률이 낮아졌습니다. 처음보다 chosen의 log p는 20, rejected의 log p는 50 "
        "낮습니다. beta는 0.1입니다. 이 쌍의 손실은 지금 얼마입니까?",
    ),
    card=Card(difficulty=2, importance=4, minutes=4),
    answer=math.log1p(math.exp(-3)),
    tolerance=0.05,
    mistakes=(
        Mistake(
            math.log(2), "That is the loss at the start, when all gains are 0.", "이득이 모두 0인 처음의 손실입니다."
        ),
        Mistake(
            3 + math.log1p(math.exp(-3)),
            "You took the margin for -30: it is (-20) - (-50).",
            "마진을 -30으로 보았습니다. (-20) - (-50)입니다.",
        ),
        Mistake(
            2 + math.log1p(math.exp(-2)),
            "That is the gain of the chosen alone: the loss holds the difference of two.",
            "chosen의 이득만 넣은 값입니다. 손실에는 두 이득의 차이가 들어갑니다.",
        ),
        Mistake(
            math.log1p(math.exp(-5)),
            "That is the gain of the rejected alone: the loss holds the difference of two.",
            "rejected의 이득만 넣은 값입니다. 손실에는 두 이득의 차이가 들어갑니다.",
        ),
        Mistake(
            7 + math.log1p(math.exp(-7)),
            "You added the two gains up: subtract them.",
            "두 이득을 더했습니다. 빼세요.",
        ),
        Mistake(
            1 / (1 + math.exp(-3)),
            "That is the sigmoid: -log of it is the loss.",
            "sigmoid의 값입니다. 손실은 그것의 -log입니다.",
        ),
        Mistake(0, "Nearly, if beta were 1: 0.1 x 30 is 3.", "beta가 1이라면 거의 그렇습니다. 0.1 x 30은 3입니다."),
    ),
    hint_1=Text("Two gains, both negative. Which one is larger?", "두 이득이 모두 음수입니다. 어느 쪽이 더 큽니까?"),
    hint_2=Text("-log sigmoid(3) = log(1 + exp(-3)).", "-log sigmoid(3) = log(1 + exp(-3))입니다."),
    why=Text(
        "The loss has fallen from 0.69 to 0.05 while the preferred answer became e²⁰ times *less* likely.",
        "선호하는 답의 확률은 e²⁰분의 1로 *줄었는데* 손실은 0.69에서 0.05로 떨어졌습니다.",
    ),
)

cure = Predict(
    id="09.cure",
    title=Text("the cheap cure", "값싼 해결책"),
    task=Text(
        "An experiment. Is there a way without judge and training? Make the dark frames of the 48 clips `dev` "
        "brighter again: divide by 0.6, cut off at 255, convert back to uint8. Let the untrained `tiny` caption them "
        "with the same `limit`, and measure facts right. (A number between 0 and 1, to 2 %.)",
        "실험입니다. 심사자도 학습도 없이 해결할 수 있습니까? 클립 48개(`dev`)의 어두운 프레임을 다시 밝게 "
        "만드세요(0.6으로 나누고 255에서 자른 뒤 uint8로 변환). 학습하지 않은 `tiny`로 같은 `limit`을 써서 캡션을 "
        "만들고 맞은 사실의 비율을 측정하세요. (0과 1 사이의 값, 오차 2%)",
    ),
    card=Card(difficulty=3, importance=4, minutes=8),
    answer=0.841,
    tolerance=0.02,
    mistakes=(
        Mistake(84.1, "As a share, please: 84.1 % is 0.841.", "0과 1 사이의 값으로 적으세요. 84.1%는 0.841입니다."),
        Mistake(
            1,
            "That would be more than `tiny` tells of the clips in the light.",
            "밝은 클립에서 `tiny`가 말하는 것보다 많습니다.",
        ),
        Mistake(
            0.74,
            "That is in the dark. `Features.encode` takes the frames: brighten them there, after they were darkened.",
            "어두운 프레임의 값입니다. `Features.encode`가 프레임을 받으니, 어둡게 한 다음 그곳에서 밝게 만드세요.",
        ),
    ),
    hint_1=Text(
        "A class like `DarkFeatures`, whose `encode` darkens, brightens, and calls `super().encode`.",
        "`DarkFeatures`처럼 클래스를 만들고, `encode`에서 어둡게, 다시 밝게 한 뒤 `super().encode`를 부르세요.",
    ),
    hint_2=Text(
        "np.clip((0.6 * frames).astype(np.uint8) / 0.6, 0, 255).astype(np.uint8)",
        "np.clip((0.6 * frames).astype(np.uint8) / 0.6, 0, 255).astype(np.uint8)를 쓰면 됩니다.",
    ),
    why=Text(
        "0.841, as in the light: what 0.6 took away comes back with the division. No training of this lesson reaches "
        "it. Mend the input where you can; DPO is for shifts that cannot be undone.",
        "0.841로, 밝을 때와 같습니다. 0.6을 곱해 잃은 것은 나누면 돌아옵니다. 이 수업의 어떤 학습도 여기에 미치지 "
        "못합니다. 입력을 고칠 수 있으면 먼저 고치세요. DPO는 되돌릴 수 없는 변화를 위한 것입니다.",
    ),
)

EXERCISES = (pairs, answers, loss, cure, both_fall)
