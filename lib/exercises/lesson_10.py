"""Exercises of lesson 10: CHAIR_i, a bootstrap of a ratio, a score that is fooled, captions told backwards, yes."""

import numpy as np

from lib.exercises.base import Card, Choose, Mistake, Predict, Write
from lib.exercises.progress import Text

TITLE = Text("Evaluation", "평가")


def my_chair(said, true):
    invented = said * (1 - true)
    return invented.sum() / said.sum()


def sets(captions: int, facts: int) -> tuple[np.ndarray, np.ndarray]:
    """Facts told and facts that are so, (captions, facts); later captions tell more. Each tells two or more."""
    rng = np.random.default_rng(facts)
    said = (rng.random((captions, facts)) < np.linspace(0.2, 0.9, captions)[:, None]).astype(int)
    said[:, :2] = 1
    return said, (rng.random((captions, facts)) < 0.6).astype(int)


chair = Write(
    id="10.chair",
    title=Text("CHAIR_i from sets of facts", "사실의 집합으로 구하는 CHAIR_i"),
    task=Text(
        "`said` and `true`, (captions, facts), are sets as rows of 0 and 1: which facts each caption states, and which "
        "are true of its clip. Return CHAIR_i of all captions, one number: the share of the stated facts that are not "
        "true. Counts are added up over the captions first and divided last. (Each caption states something here.)",
        "`said`와 `true`(캡션, 사실)는 집합을 0과 1의 행으로 적은 것입니다. 캡션마다 말한 사실과, 그 클립에서 참인 "
        "사실입니다. 모든 캡션의 CHAIR_i를 수 하나로 돌려주세요. 말한 것 전체 가운데 참이 아닌 것의 비율입니다. 먼저 "
        "캡션에 대해 세어 더하고, 마지막에 나눕니다. (여기서는 어떤 캡션도 비어 있지 않습니다.)",
    ),
    card=Card(difficulty=2, importance=4, minutes=6),
    answer=my_chair,
    cases=lambda: [sets(6, 12), sets(15, 8), sets(2, 20)],
    mistakes=(
        Mistake(
            lambda said, true: (said * (1 - true)).sum() / true.sum(),
            "You divide by the facts of the clips: CHAIR_i asks for a share of what was told.",
            "클립의 사실 수로 나누었습니다. CHAIR_i는 말한 것 가운데의 비율입니다.",
        ),
        Mistake(
            lambda said, true: (true * (1 - said)).sum() / true.sum(),
            "Those are the facts that were missed: invented is what is told and not so.",
            "빠진 사실의 비율입니다. 지어낸 것은 말했지만 참이 아닌 것입니다.",
        ),
        Mistake(
            lambda said, true: (said * true).sum() / said.sum(),
            "That is the share that is so: what is asked for is the rest.",
            "참인 것의 비율입니다. 묻는 것은 그 나머지입니다.",
        ),
        Mistake(
            lambda said, true: ((said * (1 - true)).sum(axis=1) / said.sum(axis=1)).mean(),
            "That is a mean over captions: one that tells two facts weighs as much as one that tells ten.",
            "캡션별 비율의 평균입니다. 사실 두 개를 말한 캡션이 열 개를 말한 캡션과 같은 가중치가 됩니다.",
        ),
        Mistake(
            lambda said, true: (said * (1 - true)).any(axis=1).mean(),
            "That is CHAIR_s, the share of captions with anything invented.",
            "CHAIR_s입니다. 하나라도 지어낸 캡션의 비율입니다.",
        ),
        Mistake(
            lambda said, true: (said != true).sum() / said.size,
            "You count every disagreement, what was missed and what was invented, among all facts.",
            "빠진 것과 지어낸 것을 모두 세어 전체 사실로 나누었습니다.",
        ),
        Mistake(
            lambda said, true: (said * (1 - true)).sum(),
            "That is a count: divide by all that was told.",
            "개수입니다. 말한 것 전체로 나누세요.",
        ),
    ),
    hint_1=Text(
        "Two counts over the whole table: told and not so, and told.",
        "표 전체에서 두 가지를 셉니다. 말했지만 참이 아닌 것과, 말한 것입니다.",
    ),
    hint_2=Text("said * (1 - true) is 1 where a fact was invented.", "said * (1 - true)는 지어낸 사실에서 1입니다."),
    why=Text(
        "The same as `metrics.CHAIR_I`, which calls 0 invented of 0 told a 0: silence looks perfect.",
        "`metrics.CHAIR_I`와 같습니다. 아무 말도 하지 않으면 지어낸 것도 0개라 값이 0이 되므로, 빈 캡션이 만점처럼 "
        "보입니다.",
    ),
)


def my_interval(first, second, drawn):
    sums = [counts[drawn].sum(axis=1) for counts in (first, second)]  # (R, 2): right and asked, of the drawn clips
    gaps = sums[0][:, 0] / sums[0][:, 1] - sums[1][:, 0] / sums[1][:, 1]
    return np.quantile(gaps, [0.025, 0.975])


def shares(counts, drawn):
    """(R,): the score in each redraw."""
    sums = counts[drawn].sum(axis=1)
    return sums[:, 0] / sums[:, 1]


def mean_shares(counts, drawn):
    """(R,): the mistake of dividing clip by clip."""
    return (counts[:, 0] / counts[:, 1])[drawn].mean(axis=1)


def ends(gaps):
    return np.quantile(gaps, [0.025, 0.975])


def redraws(clips: int, times: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right and asked of two systems on the same clips, (clips, 2) each, and redrawn clips.

    With 41, 81 ... redraws both quantiles are redraws themselves, whichever way they are computed.
    """
    rng = np.random.default_rng(clips)
    asked = rng.integers(1, 12, clips)
    hard = np.stack([rng.integers(0, asked + 1), rng.integers(0, asked + 1)], axis=1)
    first, second = hard.max(axis=1), (hard.max(axis=1) + hard.min(axis=1)) // 2
    more = asked + rng.integers(0, 4, clips)  # the second was counted on more: its captions say more
    return np.stack([first, asked], axis=1), np.stack([second, more], axis=1), rng.integers(clips, size=(times, clips))


interval = Write(
    id="10.interval",
    title=Text("an interval for a difference", "차이의 신뢰 구간"),
    task=Text(
        "`first` and `second`, (clips, 2), hold two numbers for each clip and system. A system's score is the sum of "
        "the first numbers over the clips, divided by the sum of the second. `drawn`, (R, clips), are the clips of R "
        "resamples, the same for both. Return the 95 % interval of the difference, first minus second, (2,): the "
        "quantiles 0.025 and 0.975 over the resamples.",
        "`first`와 `second`(클립, 2)는 시스템마다 클립별로 두 수를 적은 것입니다. 시스템의 점수는 클립에 대해 첫째 "
        "수를 더한 값을 둘째 수를 더한 값으로 나눈 것입니다. `drawn`(R, 클립)은 R번 다시 뽑은 클립이고 두 시스템에 "
        "똑같이 씁니다. 차이(first - second)의 95% 신뢰 구간을 (2,) 모양으로 돌려주세요. 리샘플링에서 얻은 차이들의 "
        "0.025와 0.975 분위수입니다.",
    ),
    card=Card(difficulty=3, importance=5, minutes=12),
    answer=my_interval,
    cases=lambda: [redraws(12, 41), redraws(30, 81), redraws(5, 121)],
    mistakes=(
        Mistake(
            lambda first, second, drawn: ends(mean_shares(first, drawn) - mean_shares(second, drawn)),
            "You divide clip by clip and average: add up over the drawn clips first, and divide last.",
            "클립마다 나누어 평균했습니다. 먼저 뽑힌 클립에 대해 더하고 마지막에 나누세요.",
        ),
        Mistake(
            lambda first, second, drawn: ends(shares(first, drawn)) - ends(shares(second, drawn)),
            "You subtract two intervals: take the difference in each resample, and the quantiles of these.",
            "두 신뢰 구간끼리 뺐습니다. 다시 뽑을 때마다 차이를 구하고, 그 차이들의 분위수를 구하세요.",
        ),
        Mistake(
            lambda first, second, drawn: ends(shares(first, drawn) - second[:, 0].sum() / second[:, 1].sum()),
            "Only the first system is resampled: then the difference is not paired.",
            "첫 시스템만 다시 뽑았습니다. 그러면 짝지은 차이가 아닙니다.",
        ),
        Mistake(
            lambda first, second, drawn: np.quantile(shares(first, drawn) - shares(second, drawn), [0.05, 0.95]),
            "Those quantiles leave 5 % at either end: that is a 90 % interval.",
            "양쪽에서 5%씩 잘라 낸 90% 신뢰 구간입니다.",
        ),
        Mistake(
            lambda first, second, drawn: ends(shares(second, drawn) - shares(first, drawn)),
            "The sign is turned: first minus second.",
            "부호가 반대입니다. first에서 second를 뺍니다.",
        ),
        Mistake(
            lambda first, second, drawn: ends(shares(first, drawn) - shares(second, drawn))[::-1],
            "The lower end comes first.",
            "아래쪽 끝이 먼저입니다.",
        ),
        Mistake(
            lambda first, second, drawn: np.quantile(shares(first, drawn) - shares(second, drawn), [0, 1]),
            "Those are the smallest and the largest resample: they lie the wider apart, the more you draw.",
            "가장 작은 값과 가장 큰 값입니다. 많이 뽑을수록 더 벌어집니다.",
        ),
        Mistake(
            lambda first, second, drawn: shares(first, drawn) - shares(second, drawn),
            "Those are the differences of all resamples: now their quantiles 0.025 and 0.975.",
            "리샘플링마다 구한 차이입니다. 이제 0.025와 0.975 분위수를 구하세요.",
        ),
    ),
    hint_1=Text(
        "One difference for each resample, then two quantiles.", "리샘플링마다 차이 하나, 그다음 분위수 두 개입니다."
    ),
    hint_2=Text(
        "first[drawn] has shape (R, clips, 2): sum over axis 1, then divide the two columns.",
        "first[drawn]의 모양은 (R, 클립, 2)입니다. 1번 축에서 더한 뒤 두 열을 나눕니다.",
    ),
    why=Text(
        "`lib.evaluate.paired` does so for every metric of this lesson, with 2,000 resamples.",
        "`lib.evaluate.paired`가 이 수업의 모든 점수에 대해 2,000번 다시 뽑아 이렇게 합니다.",
    ),
)


fooled = Choose(
    id="10.fooled",
    title=Text("half the inventions", "절반으로 줄어든 환각"),
    task=Text(
        "A colleague has trained a captioner: CHAIR_i went from 0.20 to 0.09, on 500 clips, with intervals that lie "
        "far apart. Its captions have 30 characters on average; before, they had 130. Which number do you ask for, "
        "and why?\n\n- **a** facts right of the same captions\n- **b** CHAIR_s of the same captions\n- **c** CHAIR_i "
        "of 5,000 clips instead of 500\n\nbecause\n\n- **1** the difference may be an accident of the 500 clips that "
        "happened to be drawn\n- **2** short captions invent less, and CHAIR does not ask what they leave out\n- "
        "**3** short captions cannot be read back as facts",
        "동료가 캡션 모델을 학습했습니다. CHAIR_i가 0.20에서 0.09로 줄었습니다. 클립은 500개이고 두 신뢰 구간은 멀리 "
        "떨어져 있습니다. 캡션은 평균 30자이고 전에는 130자였습니다. 어떤 수를 더 묻겠습니까? 이유는 무엇입니까?\n\n- "
        "**a** 같은 캡션의 맞은 사실 비율\n- **b** 같은 캡션의 CHAIR_s\n- **c** 클립 500개 대신 5,000개의 CHAIR_i\n\n"
        "이유\n\n- **1** 마침 그 클립 500개가 뽑혔기 때문에 우연히 생긴 차이일 수도 있습니다\n- **2** 적게 말하면 "
        "지어낼 것도 적은데, CHAIR는 빠진 것을 묻지 않습니다\n- **3** 짧은 캡션은 사실로 읽어 낼 수 없습니다",
    ),
    card=Card(difficulty=2, importance=5, minutes=3),
    answer="a2",
    replies={
        "b": Text(
            "CHAIR_s is fooled in the same way: silence invents nothing, in any caption.",
            "CHAIR_s도 똑같이 속습니다. 빈 캡션에는 지어낸 것이 없습니다.",
        ),
        "c": Text(
            "More clips make the same number more certain; the metric still does not see what is left out.",
            "클립을 늘려도 같은 지표의 오차만 줄어듭니다. 문제는 그 지표가 보는 범위입니다.",
        ),
        "1": Text(
            "The intervals lie far apart: chance does not do that.", "신뢰 구간이 멀리 떨어져 있으므로 우연이 아닙니다."
        ),
        "3": Text(
            "A short sentence is read as well as a long one: what is not said is what is missing.",
            "짧은 문장도 긴 문장처럼 읽힙니다. 문제는 말하지 않은 것입니다.",
        ),
    },
    hint_1=Text("What gets a CHAIR_i of exactly 0 in section 5?", "5절에서 CHAIR_i가 정확히 0인 것은 무엇입니까?"),
    hint_2=Text(
        "Captions of a quarter of the length: which score notices what is no longer there?",
        "길이가 4분의 1이 된 캡션에서 사라진 것을 알아차리는 점수는 무엇입니까?",
    ),
    why=Text(
        "Then it shows: if facts right fell as well, the captioner has become silent, not honest. Facts right alone "
        "would be fooled by *said and more*: always both.",
        "그러면 드러납니다. 맞은 사실도 줄었다면 정직해진 것이 아니라 조용해진 것입니다. 맞은 사실만 보면 *said and "
        "more*에 속으므로 늘 둘을 함께 봅니다.",
    ),
)

backwards = Predict(
    id="10.backwards",
    title=Text("told backwards", "거꾸로 말하기"),
    task=Text(
        "An experiment. In a video it matters what happens first. Write the sentences of every true Korean caption in "
        'the reverse order (`text.removesuffix(".").split(". ")[::-1]`). What is the BLEU on morphemes (ko-mecab) of '
        "these 48 captions, out of 100? (To 1 %.) And what do facts right and CHAIR_i say of them?",
        "실험입니다. 영상에서는 무엇이 먼저 일어나는지가 중요합니다. 참인 한국어 캡션마다 문장의 순서를 뒤집으세요 "
        '(`text.removesuffix(".").split(". ")[::-1]`). 이 캡션 48개의 형태소 BLEU(ko-mecab)는 100점 만점에 몇 '
        "점입니까? (오차 1%) 맞은 사실 비율과 CHAIR_i는 어떻게 됩니까?",
    ),
    card=Card(difficulty=2, importance=4, minutes=6),
    answer=91.72,
    tolerance=0.01,
    mistakes=(
        Mistake(0.917, "Out of 100, please.", "100점 만점으로 적으세요."),
        Mistake(
            86.45,
            "That is on words; ko-mecab splits them into morphemes.",
            "단어 BLEU입니다. ko-mecab은 형태소로 나눕니다.",
        ),
        Mistake(
            98.1,
            "That is on characters; ko-mecab splits into morphemes.",
            "글자 BLEU입니다. ko-mecab은 형태소로 나눕니다.",
        ),
        Mistake(
            100,
            "Is the order reversed? Then only captions of one sentence stay as they are.",
            "순서를 뒤집었습니까? 그러면 문장이 하나인 캡션만 그대로 남습니다.",
        ),
    ),
    hint_1=Text(
        "`system` makes records of any captions, and `measure` scores them.",
        "`system`으로 기록을 만들고 `measure`로 채점하세요.",
    ),
    hint_2=Text('`metrics.bleu("ko-mecab")`.', '`metrics.bleu("ko-mecab")`를 쓰세요.'),
    why=Text(
        "91.7, and chrF++ 96.5: n-grams see only the seams between sentences. Facts right stays 1 and CHAIR_i 0, "
        "because a set has no order. No score of this lesson notices that a story is told backwards.",
        "91.7이고 chrF++는 96.5입니다. n-gram에는 문장의 이음매만 보입니다. 집합에는 순서가 없으므로 맞은 사실은 1, "
        "CHAIR_i는 0 그대로입니다. 이야기를 거꾸로 해도 이 수업의 어떤 지표도 알아차리지 못합니다.",
    ),
)

yes = Predict(
    id="10.yes",
    title=Text("how often yes?", "yes의 비율"),
    task=Text(
        "POPE with as many present things as absent ones. A model is right in 70 % of all questions, and in 96 % of "
        "those about things that are there. In which share of all questions does it say yes?",
        "있는 물체와 없는 물체를 똑같은 수만큼 묻는 POPE입니다. 어떤 모델이 전체 질문의 70%를 맞히고, 있는 물체에 "
        "대한 질문은 96%를 맞힙니다. 전체 질문 가운데 yes라고 답하는 비율은 얼마입니까?",
    ),
    card=Card(difficulty=2, importance=4, minutes=5),
    answer=0.76,
    tolerance=0.01,
    mistakes=(
        Mistake(
            0.5,
            "That is the share of questions whose *true* answer is yes, whatever the model says.",
            "*정답*이 yes인 질문의 비율입니다. 모델이 무엇이라 답하든 같습니다.",
        ),
        Mistake(0.96, "That is among the things that are there alone.", "있는 물체에 대한 질문에서만의 비율입니다."),
        Mistake(
            0.48,
            "Those are the yeses that are right: it also says yes to things that are not there.",
            "맞는 yes만 세었습니다. 없는 물체에도 yes라고 답합니다.",
        ),
        Mistake(
            0.56, "That is among the things that are not there alone.", "없는 물체에 대한 질문에서만의 비율입니다."
        ),
        Mistake(
            0.44,
            "That is how often it is right about things that are not there.",
            "없는 물체에 대한 질문을 맞히는 비율입니다.",
        ),
        Mistake(76, "As a share: 0.76.", "비율로 쓰면 0.76입니다."),
    ),
    hint_1=Text("How often is it right about things that are not there?", "없는 물체에 대한 질문은 얼마나 맞힙니까?"),
    hint_2=Text(
        "(0.96 + x) / 2 = 0.70, so x = 0.44, and to the other 0.56 it says yes.",
        "(0.96 + x) / 2 = 0.70이므로 x = 0.44이고, 나머지 0.56에는 yes라고 답합니다.",
    ),
    why=Text(
        "(0.96 + 0.56) / 2. Its F1 is 0.76 too, so by F1 alone it beats a model that is right in 70 % on either side.",
        "(0.96 + 0.56) / 2입니다. F1도 0.76이므로, F1만 보면 양쪽을 모두 70% 맞히는 모델보다 좋아 보입니다.",
    ),
)

EXERCISES = (chair, interval, fooled, backwards, yes)
