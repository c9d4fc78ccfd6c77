"""Something to win: one open task a lesson, and the capstone. Each is scored on clips that no lesson shows.

    from lib.exercises import challenge
    challenge("05")                     # what to write, what the lesson's own way scores, and what wins
    challenge("05").play(my_entry)      # your score with its interval; progress.json keeps the best

In a terminal: `python -m lib challenge 05 entry.py`, where entry.py defines a function `entry`. Any method may win. To
learn, use clips of seeds from 1,000,000 on, as tiny did. The capstone draws new clips each time; `--seed` repeats them.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from lib.budget.memory import kv_bytes, weight_bytes
from lib.evaluate.intervals import Score
from lib.exercises import entries
from lib.exercises.entries import Entry
from lib.exercises.progress import record_score, say
from lib.reducers import SlowFastLlava, SpatialPool
from lib.text import Text
from lib.toybox.world import TEST_SEEDS
from lib.video import sample_uniform

HELD_BACK = range(50_000, 50_096)  # seeds of clips that lessons do not use
CAPSTONE_CLIPS = 96
ALL_KINDS = ("code", "flash", "order", "motion", "count", "colour", "shape")  # lesson 07's

WON = Text(
    "{id}: {score}. You win! The goal is {goal}; the lesson's own way scores {owns}.",
    "{id}: {score}. 성공입니다! 목표는 {goal}이고 수업의 방법은 {owns}입니다.",
)
SHORT = Text(
    "{id}: {score}. The goal is {goal}; the lesson's own way scores {owns}.",
    "{id}: {score}. 목표는 {goal}이고 수업의 방법은 {owns}입니다.",
)

HEADING = Text("Something to win", "도전 과제")
SCORED = Text(
    'The lesson\'s own way scores {owns}; {goal} wins. `exercises.challenge("{id}").play(entry)` scores yours.',
    "수업의 방법은 {owns}점이고 {goal}점 이상이면 성공입니다. 작성한 함수는 "
    '`exercises.challenge("{id}").play(entry)`로 채점합니다.',
)


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """An open task. `score` plays an entry on clips of these seeds; more is better, and `goal` wins."""

    id: str
    title: Text
    task: Text
    own: Entry | None  # the lesson's own way, as an entry; None where it is trained there
    owns: float  # what it scores: a test measures it
    goal: float
    score: Callable[[Entry, range], Score]

    def play(self, entry: Entry, seed: int | None = None) -> Score:
        """Score an entry, say what it is worth, and keep the best in the progress file."""
        result = self.score(entry, self.seeds(seed))
        record_score(self.id, result.mean, result.mean >= self.goal)
        text = WON if result.mean >= self.goal else SHORT
        print(say(text.fill(id=self.id, score=result, goal=f"{self.goal:g}", owns=f"{self.owns:g}")))
        return result

    def seeds(self, first: int | None = None) -> range:
        """The clips to be scored on. The capstone's are drawn anew, and said, unless the first is given."""
        if self.id != "capstone":
            return HELD_BACK
        if first is None:
            first = random.SystemRandom().randrange(HELD_BACK.stop, TEST_SEEDS - CAPSTONE_CLIPS)
            print(f"--seed {first}")
        return range(first, first + CAPSTONE_CLIPS)

    def markdown(self, language: str = "en") -> str:
        """The challenge as its lesson shows it."""
        title, task, end = (getattr(text, language) for text in (self.title, self.task, SCORED))
        end = end.format(owns=f"{self.owns:g}", goal=f"{self.goal:g}", id=self.id)
        return f"## {getattr(HEADING, language)}: {title}\n\n{task} {end}"

    def __repr__(self) -> str:
        """The task in the learner's language."""
        return f"{self.id} {say(self.title)} ({self.owns:g} -> {self.goal:g})\n{say(self.task)}"


def through(reducer, frames: int = 16) -> Entry:
    """A reducer as an entry."""
    return lambda features, project: reducer(features[sample_uniform(len(features), frames)], project).embeds


SLOW_FAST = SlowFastLlava.from_spec("slowfast-slow_1frms_concat-fast_2x2")  # 1 x 64 + 16 x 4 tokens


def read_entry(path: str | Path) -> Entry:
    """The function `entry` of a Python file. Raises ValueError where there is none; runs the file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no file {path}: give a Python file that defines a function `entry`")
    names: dict = {"__name__": "entry", "__file__": str(path)}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)  # noqa: S102  the learner's own file
    if not callable(names.get("entry")):
        raise ValueError(f"{path} defines no function `entry`: see `python -m lib challenge NN`")
    return names["entry"]


def two_crops(crops, project):
    """Lesson 03's own: the overview whole, the tiles pooled."""
    return torch.cat([through(SpatialPool(1), 1)(crops[:1], project), SpatialPool(2)(crops[1:], project).embeds])


def half_means(features, project, question):
    """Lesson 06's own: the content of a frame as two means, of its upper and its lower half."""
    return project(features).unflatten(1, (2, 4)).mean(dim=(2, 3)).flatten(0, 1)


def weights_and_cache(spec, frames, precision):
    """Lesson 02's own: what is loaded, and keys and values of the visual tokens."""
    return weight_bytes(spec, precision) + kv_bytes(spec, spec.tokens_of(frames))


CHALLENGES = (
    Challenge(
        id="00",
        title=Text("64 tokens, codes and flashes", "64토큰으로 코드와 번쩍임"),
        task=Text(
            "One frame reads codes and misses flashes; sixteen small ones see flashes and read no code. Write "
            "`entry(features, project)`: features (16, 8, 8, 96) to at most 64 tokens (64, 128) that do both.",
            "프레임 한 장은 코드를 읽지만 번쩍임을 놓치고, 작은 프레임 16장은 그 반대입니다. 둘 다 해내는 "
            "`entry(features, project)`를 작성하세요. 특징 (16, 8, 8, 96)에서 최대 64토큰 (64, 128)을 만듭니다.",
        ),
        own=through(SpatialPool(2), 4), owns=0.44, goal=0.8,
        score=entries.tokens_within(64, ("code", "flash")),
    ),
    Challenge(
        id="01",
        title=Text("two frames of sixteen", "16장 가운데 두 장"),
        task=Text(
            "Write `entry(pixels)`: from the pixels (16, 64, 64, 3) choose two frame numbers. The model reads these "
            "two with all patches, and is asked for the code and for the flash.",
            "`entry(pixels)`를 작성하세요. 픽셀 (16, 64, 64, 3)을 보고 프레임 번호 두 개를 고릅니다. 모델은 그 두 장만 "
            "모든 패치로 읽고 코드와 번쩍임에 대한 질문에 답합니다.",
        ),
        own=lambda pixels: sample_uniform(16, 2), owns=0.79, goal=0.88,
        score=entries.frames_chosen,
    ),
    Challenge(
        id="02",
        title=Text("bytes of an answer", "답 하나에 드는 바이트"),
        task=Text(
            "Write `entry(spec, frames, precision)`: the bytes that an answer of 256 tokens needs, without lib's own "
            "formula for it. The score is 1 minus the mean error against what was traced.",
            "`entry(spec, frames, precision)`를 작성하세요. 256토큰을 답하는 데 드는 바이트를 계산합니다. lib에 있는 "
            "공식은 쓰지 않습니다. 점수는 1에서 추적값과의 평균 오차를 뺀 값입니다.",
        ),
        own=weights_and_cache, owns=0.8, goal=0.97,
        score=entries.memory_foretold,
    ),
    Challenge(
        id="03",
        title=Text("five crops, 128 tokens", "크롭 다섯 장, 128토큰"),
        task=Text(
            "An image of 128 x 128 comes as an overview and four tiles. Write `entry(crops, project)`: features (5, 8, "
            "8, 96) to at most 128 tokens. Asked are code, colours and the number of things.",
            "128 x 128 이미지가 전체 이미지(overview) 한 장과 타일 네 장으로 주어집니다. `entry(crops, project)`를 "
            "작성하세요. 특징 (5, 8, 8, 96)에서 최대 128토큰을 만듭니다. 코드, 색, 물체의 수를 묻습니다.",
        ),
        own=two_crops, owns=0.64, goal=0.8,
        score=entries.crops_read,
    ),
    Challenge(
        id="04",
        title=Text("better than the mean", "평균보다 나은 풀링"),
        task=Text(
            "2 x 2 pooling takes the mean of four patches and loses half of the codes. Write `entry(features, "
            "project)`: at most 256 tokens that read codes and still count things and see motion.",
            "2 x 2 풀링은 패치 네 개를 평균하고 코드의 절반을 잃습니다. `entry(features, project)`를 작성하세요. 최대 "
            "256토큰으로 코드를 읽으면서 물체의 수와 움직임도 답해야 합니다.",
        ),
        own=through(SpatialPool(2)), owns=0.79, goal=0.93,
        score=entries.tokens_within(256, ("code", "count", "motion")),
    ),
    Challenge(
        id="05",
        title=Text("one sharp frame, the right one", "선명한 한 장 고르기"),
        task=Text(
            "SlowFast-LLaVA takes its sharp frame from a fixed place. Write `entry(features, project)`: at most 128 "
            "tokens; asked are code, flash, order and motion.",
            "SlowFast-LLaVA는 선명한 프레임을 정해진 위치에서 가져옵니다. `entry(features, project)`를 작성하세요. "
            "최대 128토큰입니다. 코드, 번쩍임, 순서, 움직임을 묻습니다.",
        ),
        own=through(SLOW_FAST), owns=0.86, goal=0.93,
        score=entries.tokens_within(128, ("code", "flash", "order", "motion")),
    ),
    Challenge(
        id="06",
        title=Text("two tokens a frame that know the question", "질문을 아는 프레임당 두 토큰"),
        task=Text(
            "Write `entry(features, project, question)`: at most 32 tokens for 16 frames. You know the question. It "
            "asks for a colour, a shape, the number of things or the code.",
            "`entry(features, project, question)`를 작성하세요. 16프레임에 최대 32토큰이고 질문을 볼 수 있습니다. "
            "질문은 색, 모양, 물체의 수, 코드 가운데 하나를 묻습니다.",
        ),
        own=half_means, owns=0.47, goal=0.7,
        score=entries.tokens_for_questions,
    ),
    Challenge(
        id="07",
        title=Text("the best 128 tokens", "가장 좋은 128토큰"),
        task=Text(
            "Seven kinds of question, 128 tokens, `entry(features, project)`: beat every row of the lesson's table.",
            "일곱 종류의 질문, 128토큰, `entry(features, project)`입니다. 수업의 표에 있는 모든 행을 이겨 보세요.",
        ),
        own=through(SLOW_FAST), owns=0.91, goal=0.94,
        score=entries.tokens_within(128, ALL_KINDS),
    ),
    Challenge(
        id="08",
        title=Text("your own Korean", "내가 가르친 한국어"),
        task=Text(
            "Train an adapter and write `entry()`, which returns its folder. The score is the share of facts right in "
            "its Korean captions. (The shipped adapter does not count.)",
            "어댑터를 학습하고 그 폴더를 돌려주는 `entry()`를 작성하세요. 점수는 한국어 캡션에서 맞힌 사실의 "
            "비율입니다. (함께 배포되는 어댑터는 제외합니다.)",
        ),
        own=None, owns=0.75, goal=0.9,
        score=entries.korean_facts,
    ),
    Challenge(
        id="09",
        title=Text("which of four captions?", "네 캡션 가운데 무엇을?"),
        task=Text(
            "The model draws four captions of a clip at temperature 1. Write `entry(captions)`, which returns the "
            "number of the best one, without the clip and without its truth: a judge that costs nothing.",
            "모델이 온도 1에서 클립의 캡션 네 개를 뽑습니다. 클립도 정답도 보지 않고 가장 좋은 캡션의 번호를 돌려주는 "
            "`entry(captions)`를 작성하세요. 비용이 들지 않는 판정자입니다.",
        ),
        own=lambda captions: 0, owns=0.73, goal=0.77,
        score=entries.caption_chosen,
    ),
    Challenge(
        id="10",
        title=Text("a caption of no clip", "아무 영상도 보지 않은 캡션"),
        task=Text(
            "Write `entry(captions)`: from 500 captions of other clips make one text that serves as the caption of "
            "every clip. The score is its chrF++. How far does a score go that has seen nothing?",
            "`entry(captions)`를 작성하세요. 다른 클립의 캡션 500개로 모든 클립에 쓸 텍스트 하나를 만듭니다. 점수는 "
            "chrF++입니다. 아무것도 보지 않은 점수는 얼마나 높아질 수 있습니까?",
        ),
        own=lambda captions: captions[0], owns=50, goal=57,
        score=entries.blind_caption,
    ),
    Challenge(
        id="11",
        title=Text("the most of a T4", "T4를 끝까지"),
        task=Text(
            "Write `entry()`: settings in place of those in jobs/7b-t4.yaml, such as {'frames': 12}. Training and "
            "captioning have to fit into 14 GiB, traced. The score is the number of visual tokens of a clip.",
            "`entry()`를 작성하세요. jobs/7b-t4.yaml의 설정을 바꾸는 값을 돌려줍니다. 예: {'frames': 12}. 학습과 캡션 "
            "생성이 모두 14 GiB(추적값) 안에 들어가야 합니다. 점수는 클립 하나의 시각 토큰 수입니다.",
        ),
        own=dict, owns=1152, goal=4000,
        score=entries.tokens_on_a_t4,
    ),
    Challenge(
        id="12",
        title=Text("sixty shards, eight processes", "샤드 60개, 프로세스 8개"),
        task=Text(
            "Write `entry(seconds, processes)`. It gets the seconds that each shard takes, and returns a list of shard "
            "numbers for each process. The score is the shortest possible time divided by that of the slowest process.",
            "`entry(seconds, processes)`를 작성하세요. 샤드마다 걸리는 시간(초)을 받아 프로세스별 샤드 번호 리스트를 "
            "돌려줍니다. 점수는 가능한 최단 시간을 가장 느린 프로세스의 시간으로 나눈 값입니다.",
        ),
        own=lambda seconds, processes: [range(rank, len(seconds), processes) for rank in range(processes)],
        owns=0.63, goal=0.95,
        score=entries.shards_shared,
    ),
    Challenge(
        id="13",
        title=Text("32 tokens for a clip", "클립 하나에 32토큰"),
        task=Text(
            "Merge, leave out, or something of your own: `entry(features, project)`, at most 32 tokens, seven kinds of "
            "question.",
            "병합하거나 빼거나 새로운 방법을 써 보세요. `entry(features, project)`, 최대 32토큰, 일곱 종류의 "
            "질문입니다.",
        ),
        own=through(SpatialPool(2), 2), owns=0.7, goal=0.73,
        score=entries.tokens_within(32, ALL_KINDS),
    ),
    Challenge(
        id="capstone",
        title=Text("the best captioner at 128 tokens", "128토큰으로 가장 좋은 캡션"),
        task=Text(
            "Write `entry(pixels, vlm)`: pixels (16, 64, 64, 3) and the model to at most 128 visual tokens (N, 128). "
            "The model captions from them alone; the score is the share of facts right. You may change the model in "
            "your file: adapters, training, anything. The clips are drawn when you play.",
            "`entry(pixels, vlm)`를 작성하세요. 픽셀 (16, 64, 64, 3)과 모델에서 최대 128개의 시각 토큰 (N, 128)을 "
            "만듭니다. 모델은 그 토큰만 보고 캡션을 쓰고, 점수는 맞힌 사실의 비율입니다. 파일 안에서 모델을 바꾸어도 "
            "됩니다(어댑터, 학습 등 무엇이든). 클립은 채점할 때 새로 뽑습니다.",
        ),
        own=lambda pixels, vlm: through(SLOW_FAST)(vlm.encode(pixels), vlm.project), owns=0.81, goal=0.85,
        score=entries.captions_within(128),
    ),
)  # fmt: skip
