"""Exercises of lesson 01: which frames, at which second, at what price."""

import numpy as np

from lib.exercises.base import Card, Mistake, Predict, Write
from lib.exercises.progress import Text
from lib.video import sample_uniform

TITLE = Text("Frames", "프레임")


def my_uniform(total, n):
    return np.linspace(0, total - 1, n, dtype=int).tolist()


uniform = Write(
    id="01.uniform",
    title=Text("LLaVA-NeXT's uniform rule", "LLaVA-NeXT의 균등 샘플링"),
    task=Text(
        "Choose `n` of `total` frames: both ends and equal steps, cut down to whole numbers. With more frames wanted "
        "than there are, frames repeat; a single one is frame 0.",
        "프레임 `total`장에서 `n`장을 고르세요. 양 끝을 모두 넣고 간격을 같게 하며, 번호는 내림하여 정수로 만듭니다. "
        "있는 것보다 많이 고르면 같은 프레임이 반복되고, 한 장만 고르면 0번 프레임입니다.",
    ),
    card=Card(difficulty=2, importance=5, minutes=8),
    answer=my_uniform,
    cases=lambda: [(120, 8), (1800, 8), (16, 4), (50, 50), (3, 5), (9, 1), (100, 32)],
    mistakes=(
        Mistake(
            lambda total, n: np.linspace(0, total, n, dtype=int).tolist(),
            "Frames count from 0, so the last one is total - 1: you ask for a frame that does not exist.",
            "프레임 번호는 0부터 시작하므로 마지막은 total - 1입니다. 없는 프레임을 고르고 있습니다.",
        ),
        Mistake(
            lambda total, n: sample_uniform(total, min(n, total), "huggingface"),
            "Those are the starts of n equal parts, Hugging Face's rule: the last frame is never taken.",
            "n등분한 구간의 시작점을 골랐습니다. Hugging Face의 규칙이며 마지막 프레임을 고르지 않습니다.",
        ),
        Mistake(
            lambda total, n: sample_uniform(total, n, "slowfast_llava"),
            "Those are the middles of n equal parts, SlowFast-LLaVA's rule: neither end is taken.",
            "n등분한 구간의 가운데를 골랐습니다. SlowFast-LLaVA의 규칙이며 양 끝을 고르지 않습니다.",
        ),
        Mistake(
            lambda total, n: np.linspace(0, total - 1, n).round(),
            "The official code cuts down and does not round: dtype=int.",
            "공식 코드는 반올림하지 않고 내림합니다: dtype=int.",
        ),
        Mistake(
            lambda total, n: np.linspace(0, total - 1, n),
            "Right places, but frame numbers are whole.",
            "위치는 맞지만 프레임 번호는 정수여야 합니다.",
        ),
    ),
    hint_1=Text("How many steps lie between n points?", "점이 n개이면 그 사이의 간격은 몇 개입니까?"),
    hint_2=Text(
        "np.linspace includes both ends; which is the last frame?",
        "np.linspace는 양 끝을 포함합니다. 마지막 프레임은 몇 번입니까?",
    ),
    why=Text(
        "LLaVA-NeXT `video_demo.py`. Train and test with the same rule: the three official ones differ at the end of a "
        "clip.",
        "LLaVA-NeXT `video_demo.py`의 규칙입니다. 세 가지 공식 규칙은 클립의 끝에서 달라지므로 학습과 평가에 같은 "
        "규칙을 쓰세요.",
    ),
)


def my_on_screen(timestamps):
    seconds = range(int(timestamps[-1]) + 1)
    return [max(i for i, time in enumerate(timestamps) if time <= second) for second in seconds]


def at_constant_rate(timestamps):
    rate = (len(timestamps) - 1) / timestamps[-1]
    return [round(second * rate) for second in range(int(timestamps[-1]) + 1)]


def nearest(timestamps):
    seconds = range(int(timestamps[-1]) + 1)
    return [min(range(len(timestamps)), key=lambda i: abs(timestamps[i] - second)) for second in seconds]  # noqa: B023


def next_one(timestamps):
    seconds = range(int(timestamps[-1]) + 1)
    return [min(i for i, time in enumerate(timestamps) if time >= second) for second in seconds]


def recordings():
    """Timestamps: four frames a second; a screen recording with pauses; one that ends on a whole second."""
    pauses = np.cumsum([0.0] + [0.125] * 20 + [1.375] * 4 + [0.125] * 10).tolist()
    return [([i / 4 for i in range(14)],), (pauses,), ([0.0, 0.25, 0.75, 1.0, 1.75, 3.0],), ([0.0, 0.125, 4.5],)]


on_screen = Write(
    id="01.on_screen",
    title=Text("one frame for each second", "1초에 한 장"),
    task=Text(
        "The timestamps of all frames are given (seconds, sorted, the first is 0). Which frame is on the screen at 0, "
        "1, 2, ... seconds, up to the last timestamp? Return their numbers. A frame stays until the next one comes.",
        "모든 프레임의 타임스탬프(초, 정렬됨, 처음은 0)가 주어질 때, 0, 1, 2, ...초에 화면에 보이는 프레임의 번호를 "
        "마지막 타임스탬프까지 돌려주세요. 프레임은 다음 프레임이 나올 때까지 화면에 남아 있습니다.",
    ),
    card=Card(difficulty=2, importance=4, minutes=8),
    answer=my_on_screen,
    cases=recordings,
    mistakes=(
        Mistake(
            at_constant_rate,
            "You computed number = second x average rate; that is right only if the rate never changes.",
            "번호 = 초 x 평균 fps로 계산했습니다. 프레임 간격이 늘 같을 때만 맞습니다.",
        ),
        Mistake(
            nearest,
            "The nearest frame may not have come yet: take the last one that has.",
            "가장 가까운 프레임은 아직 나오지 않은 것일 수 있습니다. 이미 나온 것 가운데 마지막을 고르세요.",
        ),
        Mistake(
            next_one,
            "You took the next frame; until it comes, the one before is on the screen.",
            "다음 프레임을 골랐습니다. 그 프레임이 나오기 전까지는 앞 프레임이 보입니다.",
        ),
        Mistake(
            lambda timestamps: my_on_screen(timestamps)[:-1],
            "The last whole second is missing.",
            "마지막 정수 초가 빠졌습니다.",
        ),
    ),
    hint_1=Text("Ask the timestamps, not the number.", "번호가 아니라 타임스탬프를 보세요."),
    hint_2=Text(
        "For each second: the last frame whose timestamp is not greater.",
        "초마다 타임스탬프가 그보다 크지 않은 마지막 프레임을 찾습니다.",
    ),
    why=Text(
        "`bisect_right(timestamps, second) - 1` finds the same faster. `lib.video.sample_fps` does so at any rate.",
        "`bisect_right(timestamps, second) - 1`을 쓰면 더 빠릅니다. `lib.video.sample_fps`는 어떤 fps로도 같은 일을 "
        "합니다.",
    ),
)


def my_decoded(keys, wanted):
    last = {}  # key frame -> the last wanted frame that starts from it
    for frame in wanted:
        key = max(key for key in keys if key <= frame)
        last[key] = max(frame, last.get(key, frame))
    return sum(frame - key + 1 for key, frame in last.items())


decoded = Write(
    id="01.decoded",
    title=Text("the price of a frame", "프레임 하나의 비용"),
    task=Text(
        "A reader goes to the key frame before a wanted frame and decodes up to it, both included. It decodes each "
        "group of pictures (from a key frame to the next) at most once. Given the numbers of the key frames and of the "
        "wanted frames (any order, repeats allowed), how many frames does it decode? (No B-frames.)",
        "리더는 원하는 프레임 앞의 키프레임으로 가서 그 프레임까지(양 끝 포함) 디코딩합니다. 키프레임에서 다음 "
        "키프레임까지의 묶음은 많아야 한 번만 디코딩합니다. 키프레임 번호와 원하는 프레임 번호(순서 없음, 반복 가능)가 "
        "주어질 때 프레임을 몇 장 디코딩합니까? (B-프레임은 없습니다.)",
    ),
    card=Card(difficulty=3, importance=3, minutes=12),
    answer=my_decoded,
    cases=lambda: [
        ([0, 40, 80], [0, 17, 34, 51, 68, 85, 102, 119]),
        ([0, 10], [9, 3, 3]),
        ([0], [5]),
        ([0, 8, 16, 30], [16, 8, 20]),
    ],
    mistakes=(
        Mistake(
            lambda keys, wanted: sum(frame - max(key for key in keys if key <= frame) + 1 for frame in wanted),
            "You go back to the key frame for every wanted frame; those of one group share the way.",
            "원하는 프레임마다 키프레임으로 돌아갑니다. 같은 묶음의 프레임은 한 번에 디코딩할 수 있습니다.",
        ),
        Mistake(
            lambda keys, wanted: my_decoded(keys, wanted) - len({max(k for k in keys if k <= w) for w in wanted}),
            "Both ends are decoded: from 40 to 42 that is 3 frames.",
            "양 끝을 모두 디코딩합니다. 40에서 42까지는 3장입니다.",
        ),
        Mistake(
            lambda keys, wanted: max(wanted) + 1,
            "You decode from the start of the file; a key frame lets you begin later.",
            "파일의 처음부터 디코딩합니다. 키프레임이 있으면 더 뒤에서 시작할 수 있습니다.",
        ),
        Mistake(
            lambda keys, wanted: len(set(wanted)),
            "A frame cannot be decoded without those since its key frame.",
            "키프레임부터 이어서 디코딩하지 않으면 프레임 하나만 꺼낼 수 없습니다.",
        ),
        Mistake(
            lambda keys, wanted: len(wanted),
            "A frame cannot be decoded without those since its key frame.",
            "키프레임부터 이어서 디코딩하지 않으면 프레임 하나만 꺼낼 수 없습니다.",
        ),
    ),
    hint_1=Text("Group the wanted frames by their key frame.", "원하는 프레임을 키프레임별로 묶으세요."),
    hint_2=Text(
        "In each group only the last wanted frame matters: last - key + 1.",
        "그룹마다 요청한 프레임 중 마지막 것만 보면 됩니다: (마지막 번호 - 키프레임 번호 + 1).",
    ),
    why=Text(
        "`lib.video` reads this way. The one-by-one reader of section 3 decodes more than the whole file.",
        "`lib.video`가 이렇게 읽습니다. 3절의 하나씩 읽는 리더는 파일 전체보다 많은 프레임을 디코딩합니다.",
    ),
)

ends = Predict(
    id="01.ends",
    title=Text("how does it end?", "어떻게 끝납니까?"),
    task=Text(
        'An experiment. Questions such as "Where does the red circle end?" (`question.endswith(" end?")`) ask about '
        "the end of a clip. Ask them about the clips of seeds 0 to 63, with 2 frames of each, unpooled, chosen by "
        "LLaVA-NeXT's rule and then by Hugging Face's. How much larger is the share of right answers with the first "
        "rule? (A number between 0 and 1, to 30 %.)",
        '실험입니다. "Where does the red circle end?" 같은 질문(`question.endswith(" end?")`)은 클립의 끝을 묻습니다. '
        "시드 0부터 63까지의 클립에서 프레임을 2장씩 풀링 없이 읽고, LLaVA-NeXT의 규칙과 Hugging Face의 규칙으로 각각 "
        "물어보세요. 첫 번째 규칙의 정답 비율이 얼마나 더 높습니까? (0과 1 사이의 값, 오차 30%)",
    ),
    card=Card(difficulty=3, importance=4, minutes=10),
    answer=0.23,
    tolerance=0.3,
    mistakes=(
        Mistake(23, "As a share, please: 23 % is 0.23.", "0과 1 사이의 값으로 적으세요. 23%는 0.23입니다."),
        Mistake(-0.23, "That is the other way round.", "두 규칙을 거꾸로 뺐습니다."),
        Mistake(
            0.84,
            "That is the share with LLaVA-NeXT's rule: subtract the other one.",
            "LLaVA-NeXT 규칙의 정답 비율입니다. 다른 규칙의 비율을 빼세요.",
        ),
        Mistake(
            0.14,
            "That is against SlowFast-LLaVA's rule, which comes nearer to the end than Hugging Face's.",
            "SlowFast-LLaVA의 규칙과 비교한 값입니다. 그 규칙은 Hugging Face의 규칙보다 끝에 더 가까이 갑니다.",
        ),
    ),
    hint_1=Text(
        "Which frames does each rule take for 2 of 16?", "16장에서 2장을 고를 때 규칙마다 어떤 프레임을 고릅니까?"
    ),
    hint_2=Text(
        "`video.sample_uniform(16, 2, rule)`, `toybox.render(clip, indices=...)`, `tiny.encode`, `SpatialPool(1)`, "
        "`grade`.",
        "`video.sample_uniform(16, 2, rule)`, `toybox.render(clip, indices=...)`, `tiny.encode`, `SpatialPool(1)`, "
        "`grade`를 차례로 쓰세요.",
    ),
    why=Text(
        "0.84 against 0.61: frames 0 and 15 against frames 0 and 8. Train and test with the same rule.",
        "0.84와 0.61입니다. 한쪽은 0번과 15번 프레임을, 다른 쪽은 0번과 8번 프레임을 봅니다. 학습과 평가에 같은 규칙을 "
        "쓰세요.",
    ),
)

enough = Predict(
    id="01.enough",
    title=Text("enough frames", "충분한 프레임 수"),
    task=Text(
        "A clip lasts 2 minutes. An event lasts 3 seconds, anywhere in it. How many evenly spread frames does it take "
        "so that at most one event in ten is missed?",
        "클립은 2분이고, 그 안 어딘가에서 3초 동안 사건이 일어납니다. 사건을 놓치는 경우가 열 번에 한 번을 넘지 "
        "않으려면 프레임을 몇 장 고르게 읽어야 합니까?",
    ),
    card=Card(difficulty=3, importance=4, minutes=5),
    answer=36,
    tolerance=0.03,
    mistakes=(
        Mistake(
            40,
            "With 40 none is missed: one frame every 3 seconds. One in ten may be.",
            "40장이면 하나도 놓치지 않습니다(3초에 한 장). 열 번에 한 번은 놓쳐도 됩니다.",
        ),
        Mistake(4, "That misses nine of ten.", "그러면 열 번에 아홉 번을 놓칩니다."),
        Mistake(108, "That would be an event of one second.", "1초짜리 사건일 때의 값입니다."),
        Mistake(
            91,
            "That holds for frames drawn at random; evenly spread ones never look at the same moment twice.",
            "무작위로 뽑은 프레임일 때의 값입니다. 고르게 퍼진 프레임은 같은 순간을 두 번 보지 않습니다.",
        ),
    ),
    hint_1=Text("How far apart are n frames, in seconds?", "프레임 n장의 간격은 몇 초입니까?"),
    hint_2=Text(
        "One frame every 120 / n seconds; the event covers 3 of these seconds.",
        "120 / n초마다 한 장인데 사건은 그중 3초를 차지합니다.",
    ),
    why=Text("0.9 = n x 3 / 120, so n = 36.", "0.9 = n x 3 / 120이므로 n = 36입니다."),
)

EXERCISES = (decoded, on_screen, uniform, ends, enough)
