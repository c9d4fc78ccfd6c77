"""Exercises of lesson 07: a mean of kinds, paired resamples, the Pareto line, the slow frame last, and a camera."""

import numpy as np

from lib.exercises.base import Card, Choose, Mistake, Predict, Write
from lib.exercises.progress import Text

TITLE = Text("Same budget", "같은 예산")


def my_score(right, asked):
    return (right.sum(axis=0) / asked.sum(axis=0)).mean()


def counts(clips: int, kinds: int) -> tuple[np.ndarray, np.ndarray]:
    """Right answers and questions, (clips, kinds): some kinds are asked about few clips, the first about all."""
    rng = np.random.default_rng(clips)
    asked = rng.integers(0, 4, (clips, kinds)) * (rng.random((clips, kinds)) < np.linspace(1, 0.4, kinds))
    asked[:, 0] += 1
    asked[0] += 1
    return rng.integers(0, asked + 1), asked


def mean_of_clip_shares(right, asked):
    return (right.sum(axis=1) / asked.sum(axis=1)).mean()


def mean_of_all_shares(right, asked):
    return (right[asked > 0] / asked[asked > 0]).mean()


def nothing_as_zero(right, asked):
    return (right / np.maximum(asked, 1)).mean()


score = Write(
    id="07.score",
    title=Text("a mean of kinds", "종류별 평균"),
    task=Text(
        "`right` and `asked`, (clips, kinds), count right answers and questions; some clips are not asked some kinds. "
        "Return the score of lesson 07: the share of right answers of each kind over all clips, and of these shares "
        "the plain mean.",
        "`right`와 `asked`(클립, 종류)는 맞힌 수와 질문 수입니다. 어떤 클립에는 묻지 않는 종류도 있습니다. 7번 수업의 "
        "점수를 구하세요. 종류마다 모든 클립에서 맞힌 비율을 구하고, 그 비율들의 단순 평균을 냅니다.",
    ),
    card=Card(difficulty=2, importance=5, minutes=6),
    answer=my_score,
    cases=lambda: [counts(12, 7), counts(5, 3), counts(40, 4)],
    mistakes=(
        Mistake(
            lambda right, asked: right.sum() / asked.sum(),
            "All answers count the same there: the kinds that are asked most decide.",
            "모든 답을 똑같이 세었습니다. 많이 묻는 종류가 점수를 결정하게 됩니다.",
        ),
        Mistake(
            mean_of_clip_shares,
            "That is the mean over clips: the kinds have to count the same, not the clips.",
            "클립별 평균입니다. 클립이 아니라 종류가 같은 가중치여야 합니다.",
        ),
        Mistake(
            mean_of_all_shares,
            "You average the shares of single clips, so a clip with one question weighs as much as one with four.",
            "클립마다 비율을 내어 평균했습니다. 질문이 하나인 클립이 네 개인 클립과 같은 가중치가 됩니다.",
        ),
        Mistake(
            nothing_as_zero,
            "What was not asked counts as wrong there: add up before you divide.",
            "묻지 않은 것이 틀린 것으로 계산되었습니다. 나누기 전에 더하세요.",
        ),
        Mistake(
            lambda right, asked: right.sum(axis=0) / asked.sum(axis=0),
            "Those are the shares of the kinds: now their mean.",
            "종류별 비율입니다. 이제 평균을 내세요.",
        ),
    ),
    hint_1=Text(
        "Add up over clips first, then divide, then average.", "먼저 클립에 대해 더하고, 나누고, 평균을 냅니다."
    ),
    hint_2=Text("sum(axis=0) gives one number for each kind.", "sum(axis=0)은 종류마다 수 하나를 줍니다."),
    why=Text(
        "A choice, fixed before measuring: section 8 lets you weigh the kinds by your own mix.",
        "측정하기 전에 정해 둔 선택입니다. 8절에서는 종류의 가중치를 직접 정할 수 있습니다.",
    ),
)


def my_leads(first, second, drawn):
    return (first - second)[drawn].mean(axis=1)


def redraws(clips: int, times: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of two methods on the same clips, and redrawn clips."""
    rng = np.random.default_rng(clips)
    hard = rng.random(clips)
    return hard, np.clip(hard - 0.2 + 0.1 * rng.random(clips), 0, 1), rng.integers(clips, size=(times, clips))


leads = Write(
    id="07.leads",
    title=Text("paired resamples", "짝지은 리샘플링"),
    task=Text(
        "`first` and `second`, (clips,), are two methods' scores on the same clips; `drawn`, (R, clips), are the "
        "numbers of the clips in R resamples. Return by how much the first method leads in each resample, (R,): the "
        "mean difference over the drawn clips, which are the same for both.",
        "`first`와 `second`(클립,)는 같은 클립에서 두 방법이 얻은 점수이고, `drawn`(R, 클립)은 R번 다시 뽑은 클립의 "
        "번호입니다. 다시 뽑을 때마다 첫 방법이 얼마나 앞서는지 (R,) 모양으로 돌려주세요. 뽑힌 클립은 두 방법에 "
        "똑같이 쓰고, 그 차이의 평균을 냅니다.",
    ),
    card=Card(difficulty=3, importance=5, minutes=8),
    answer=my_leads,
    cases=lambda: [redraws(10, 6), redraws(25, 3), redraws(4, 1)],
    mistakes=(
        Mistake(
            lambda first, second, drawn: first[drawn].mean(axis=1) - second.mean(),
            "Only the first method is resampled: then the difference is not paired.",
            "첫 방법만 다시 뽑았습니다. 그러면 짝지은 차이가 아닙니다.",
        ),
        Mistake(
            lambda first, second, drawn: (second - first)[drawn].mean(axis=1),
            "The sign is turned: the lead of the first is first minus second.",
            "부호가 반대입니다. 첫 방법의 우세는 first에서 second를 뺀 값입니다.",
        ),
        Mistake(
            lambda first, second, drawn: (first - second)[drawn].sum(axis=1),
            "Those are sums: take the mean over the clips.",
            "합입니다. 클립에 대한 평균을 구하세요.",
        ),
        Mistake(
            lambda first, second, drawn: (first - second)[drawn].mean(axis=0),
            "You averaged over the resamples: average over the clips of each.",
            "리샘플링에 대해 평균을 냈습니다. 리샘플링마다 클립에 대해 평균을 내세요.",
        ),
        Mistake(
            lambda first, second, drawn: np.full(len(drawn), (first - second).mean()),
            "Nothing is resampled: use the clips in `drawn`.",
            "다시 뽑지 않았습니다. `drawn`의 클립을 쓰세요.",
        ),
    ),
    hint_1=Text("Difference first, then resample.", "먼저 차이를 구하고, 그다음 다시 뽑습니다."),
    hint_2=Text("difference[drawn] has shape (R, clips).", "difference[drawn]의 모양은 (R, 클립)입니다."),
    why=Text(
        "What is hard for both drops out, so the interval is narrower. Its ends are the quantiles 0.025 and 0.975 of "
        "these leads.",
        "두 방법 모두에게 어려운 것은 상쇄되어 신뢰 구간이 좁아집니다. 그 끝은 이 값들의 0.025와 0.975 분위수입니다.",
    ),
)


def my_line(tokens, scores):
    points = list(zip(tokens, scores, strict=True))
    return [i for i, (cost, score) in enumerate(points) if all(s <= score for c, s in points if c <= cost)]


def line_by(beaten):
    """The mistake of leaving out what `beaten(cost, score, other cost, other score)` of any other point."""

    def line(tokens, scores):
        points = list(zip(tokens, scores, strict=True))
        return [i for i, point in enumerate(points) if not any(beaten(*point, *other) for other in points)]

    return line


line = Write(
    id="07.line",
    title=Text("the Pareto line", "파레토 선"),
    task=Text(
        "`tokens` and `scores` are two lists: what each method costs, and what it reaches. A method is on the Pareto "
        "line if no method with *as many tokens or fewer* scores higher. Return the places of these methods in the "
        "lists, the smallest first.",
        "`tokens`와 `scores`는 방법별 토큰 수와 점수를 담은 리스트입니다. 토큰이 *같거나 적은* 방법 가운데 점수가 더 "
        "높은 것이 없으면 그 방법은 파레토 선 위에 있습니다. 그런 방법의 리스트 안 위치를 작은 것부터 돌려주세요.",
    ),
    card=Card(difficulty=2, importance=3, minutes=8),
    answer=my_line,
    cases=lambda: [
        ([64, 128, 128, 256, 1024, 2048], [0.55, 0.75, 0.7, 0.72, 0.95, 0.9]),
        ([256, 64, 128, 64], [0.9, 0.5, 0.8, 0.3]),
        ([10], [0.1]),
    ],
    mistakes=(
        Mistake(
            line_by(lambda cost, score, other_cost, other: other_cost < cost and other > score),
            "A method with the *same* tokens and a higher score beats it too.",
            "토큰이 *같고* 점수가 더 높은 방법도 앞섭니다.",
        ),
        Mistake(
            line_by(lambda cost, score, other_cost, other: other_cost >= cost and other > score),
            "The comparison is turned: only what costs as much or less can beat a method.",
            "비교의 방향이 반대입니다. 같거나 적게 쓰는 방법만 앞설 수 있습니다.",
        ),
        Mistake(
            lambda tokens, scores: [scores.index(max(scores))],
            "That is the best method alone; cheaper ones can lie on the line too.",
            "가장 좋은 방법 하나뿐입니다. 더 적게 쓰는 방법도 선 위에 있을 수 있습니다.",
        ),
        Mistake(
            lambda tokens, scores: [tokens[i] for i in my_line(tokens, scores)],
            "Those are their tokens: their places in the list are asked for.",
            "토큰 수를 돌려주었습니다. 목록에서의 번호를 묻고 있습니다.",
        ),
        Mistake(
            lambda tokens, scores: sorted(my_line(tokens, scores), key=lambda i: tokens[i]),
            "Keep the order of the lists; you sorted by tokens.",
            "목록의 순서를 지키세요. 토큰 수로 정렬했습니다.",
        ),
    ),
    hint_1=Text(
        "For each method: which others may beat it at all?", "방법마다, 그것을 앞설 수 있는 다른 방법은 어떤 것입니까?"
    ),
    hint_2=Text(
        "Compare its score with the highest score among those with tokens <= its own.",
        "토큰이 같거나 적은 것들 가운데 가장 높은 점수와 비교하세요.",
    ),
    why=Text(
        "For every method below the line another scores higher with as many tokens or fewer.",
        "선 아래에 있는 방법마다, 토큰이 같거나 적으면서 점수가 더 높은 방법이 있습니다.",
    ),
)

which = Choose(
    id="07.which",
    title=Text("the camera above a machine", "기계 위의 카메라"),
    task=Text(
        "A camera looks at a machine. You ask for the serial number on its plate, which is always in view. You also "
        "ask for the colour of a warning lamp that lights in one of 16 frames. You have 128 tokens. Which way, and "
        "why?\n\n- **a** SlowFast, 1 x 64 + 16 x 4\n- **b** uniform, 8 frames x 16\n- **c** uniform, 2 frames x 64\n\n"
        "because\n\n- **1** it has the most tokens of the three ways\n- **2** it reads one frame sharp and all frames "
        "in outline\n- **3** it treats all frames alike, so neither question is at a disadvantage",
        "기계 위에 달린 카메라입니다. 늘 보이는 명판의 일련번호와, 16장 가운데 한 장에서만 켜지는 경고등의 색을 "
        "묻습니다. 128토큰입니다. 어떤 방법을 쓰겠습니까? 이유는 무엇입니까?\n\n- **a** SlowFast, 1 x 64 + 16 x 4\n- "
        "**b** 균등, 8장 x 16\n- **c** 균등, 2장 x 64\n\n이유\n\n- **1** 세 가지 방법 가운데 토큰이 가장 많습니다\n- "
        "**2** 한 장은 선명하게 보고, 모든 프레임을 거칠게라도 봅니다\n- **3** 모든 프레임을 똑같이 다루므로 두 질문 "
        "가운데 어느 쪽에도 불리하지 않습니다",
    ),
    card=Card(difficulty=2, importance=5, minutes=4),
    answer="a2",
    replies={
        "c": Text(
            "It reads the plate, but 14 of 16 frames are never seen: the lamp is most likely in one of those.",
            "명판은 읽지만 16장 중 14장을 보지 않습니다. 경고등은 그중에 있을 가능성이 큽니다.",
        ),
        "b": Text(
            "Half of the frames are never seen, and 2 x 2 patches of digits share a token.",
            "프레임의 절반을 보지 않고, 숫자가 있는 패치 2 x 2개가 토큰 하나를 나누어 씁니다.",
        ),
        "1": Text("All three spend 128 tokens.", "셋 다 128토큰을 씁니다."),
        "3": Text(
            "That is what the uniform ways do, and why they must choose between detail and time.",
            "그것은 균등한 방법들입니다. 그래서 세부와 시간 가운데 하나를 골라야 합니다.",
        ),
    },
    hint_1=Text(
        "Which question needs detail, which needs every frame?",
        "세부가 필요한 질문은 무엇이고, 모든 프레임이 필요한 질문은 무엇입니까?",
    ),
    hint_2=Text("The plate stands still, so one frame will do for it.", "명판은 움직이지 않으므로 한 장이면 됩니다."),
    why=Text(
        "A small thing must be in a slow frame, a brief thing in any frame. If the plate came into view only later, "
        "one slow frame at 0 would miss it.",
        "작은 것은 slow 프레임에, 짧은 것은 아무 프레임에라도 들어 있어야 합니다. 명판이 나중에야 보인다면 0번 slow "
        "프레임 하나로는 놓칩니다.",
    ),
)

last = Predict(
    id="07.last",
    title=Text("the slow frame last", "slow 프레임을 마지막으로"),
    task=Text(
        "An experiment. Build SlowFast's 128 tokens as in section 2, but with frame 15 as the slow one. Ask for the "
        "code of the clips of seeds 0 to 199 (`grade` of `lib.evaluate` takes visual tokens and questions). Which "
        "share of the codes in the *second* scene does `tiny` read now? (A number between 0 and 1, to 8 %.) What "
        "becomes of the codes in the first of two scenes?",
        "실험입니다. 2절처럼 SlowFast의 128토큰을 만들되 slow 프레임을 15번으로 바꾸세요. 시드 0부터 199까지의 "
        "클립에서 코드를 물어보세요(`lib.evaluate`의 `grade`에 시각 토큰과 질문을 넘깁니다). *두 번째* 장면의 코드 "
        "가운데 `tiny`가 읽는 비율은 얼마입니까? (0과 1 사이의 값, 오차 8%) 장면이 두 개일 때 첫 장면의 코드는 어떻게 "
        "됩니까?",
    ),
    card=Card(difficulty=3, importance=4, minutes=12),
    answer=0.957,
    tolerance=0.08,
    mistakes=(
        Mistake(
            0.05,
            "That is with frame 0 as the slow one, as in the lesson.",
            "수업처럼 0번 프레임이 slow 프레임일 때의 값입니다.",
        ),
        Mistake(
            0.31,
            "That is with two slow frames, 0 and 8, at half the columns.",
            "slow 프레임이 0번과 8번 두 장이고 열이 절반일 때의 값입니다.",
        ),
        Mistake(95, "As a share, please: 95 % is 0.95.", "0과 1 사이의 값으로 적으세요. 95%는 0.95입니다."),
    ),
    hint_1=Text(
        "projected[15] instead of projected[0]; the fast tokens stay.",
        "projected[0] 대신 projected[15]를 쓰고 fast 토큰은 그대로 둡니다.",
    ),
    hint_2=Text(
        '`[[qa for qa in toybox.questions(clip) if qa.kind == "code"] for clip in clips[:200]]` are the questions.',
        '질문은 `[[qa for qa in toybox.questions(clip) if qa.kind == "code"] for clip in clips[:200]]`입니다.',
    ),
    why=Text(
        "0.96, and 0.13 in the first of two scenes: one slow frame sees one scene, wherever it stands. Only more slow "
        "frames, or a frame chosen by what happens (lesson 01), see both.",
        "0.96이고, 장면이 두 개일 때 첫 장면의 코드는 0.13입니다. slow 프레임 한 장은 어디에 두어도 장면 하나만 "
        "봅니다. slow 프레임을 늘리거나 내용에 따라 프레임을 골라야(1번 수업) 둘 다 볼 수 있습니다.",
    ),
)

EXERCISES = (score, leads, line, last, which)
