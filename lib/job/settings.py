"""The settings of a job: one YAML file, and changes on the command line.

    python -m lib train jobs/tiny.yaml steps=50 output=runs/short

transformers' HfArgumentParser checks types and makes the help; for a wrong key the error suggests the nearest right
one.
"""

import ast
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import yaml
from transformers import HfArgumentParser

from lib.files import DATA, write_text
from lib.reducers import LlavaVideo, Reducer, SlowFastLlava, SpatialPool
from lib.text import Text
from lib.video import SAMPLING_RULES

EMPTY_SETTING = Text("{name} is empty: give it a value", "{name}이(가) 비어 있습니다. 작업이 쓸 것을 적으세요")
AT_LEAST = Text("{name} is {value}: give at least {bound}", "{name}이(가) {value}입니다. {bound} 이상으로 정하세요")
AT_MOST = Text("{name} is {value}: give at most {bound}", "{name}이(가) {value}입니다. {bound} 이하로 정하세요")
NOTHING_LEFT = Text(
    "a learning rate of 0, a dropout of 1, or shares of 1 leave nothing to train: change them",
    "학습률 0, dropout 1, 비율의 합 1로는 학습할 것이 없습니다. 값을 바꾸세요",
)
NO_CHANGE = Text(
    "{change!r} changes nothing: write key=value, for instance steps=50",
    "{change!r}은(는) 아무것도 바꾸지 않습니다. steps=50처럼 key=value로 쓰세요",
)
NO_SETTING = Text(
    "{path}: {name!r} is not a setting: did you mean {near}?",
    "{path}: {name!r}이라는 설정은 없습니다. 비슷한 설정: {near}",
)
NO_SETTINGS_FILE = Text(
    "there is no file of settings {path}: copy one of jobs/ and change it",
    "설정 파일 {path}이(가) 없습니다. jobs/의 파일 하나를 복사해 고치세요",
)
LINE = Text(", line {n}", ", {n}번째 줄")
NO_YAML = Text(
    "{where} is not YAML, or is cut off: write lines of `key: value`",
    "{where}: YAML이 아니거나 잘렸습니다. `key: value` 형식으로 한 줄씩 쓰세요",
)
NO_VALUES = Text(
    "{path} holds no settings: write lines of `key: value`",
    "{path}에 설정이 없습니다. `key: value` 형식으로 한 줄씩 쓰세요",
)
ONE_VALUE = Text("{name}: give one value, not {value!r}", "{name}: {value!r}이(가) 아니라 값 하나를 쓰세요")
NO_PROMPT = Text(
    "{name}: {wrong!r} is not a prompt: write a sentence in quotes, without - before it",
    "{name}: {wrong!r}은(는) 프롬프트가 아닙니다. 앞에 -를 붙이지 말고 따옴표 안에 문장을 쓰세요",
)
NO_REDUCER = Text(
    "reducer {text!r} is unknown: write default, or a call of {known}",
    "리듀서 {text!r}을(를) 알 수 없습니다. default라고 쓰거나 다음 중 하나를 호출하세요: {known}",
)
REDUCERS = {"SpatialPool": SpatialPool, "SlowFastLlava": SlowFastLlava.from_spec, "LlavaVideo": LlavaVideo}


def setting(default, text: str):
    """A field with a line of help."""
    return field(metadata={"help": text}, **{"default_factory" if callable(default) else "default": default})


@dataclass
class Job:
    """From a folder of videos to a captioner. The file of settings determines everything."""

    data: str = field(metadata={"help": "an AI-Hub folder, a .jsonl or .json of records, or toybox:START:STOP"})
    output: str = field(metadata={"help": "the folder that receives everything"})
    language: str = setting("ko", "language of the captions")
    prompts: list[str] = setting(
        list, "training draws from these; the first asks for captions; default: the data's own"
    )
    validation: float = setting(0.1, "share of the clips, if the data has no split of its own")
    test: float = setting(0.1, "share of the clips, if the data has no split of its own")

    model: str = setting("tiny", "tiny, a folder, or an id of the Hugging Face Hub")
    revision: str | None = setting(None, "a commit of the Hub; default: the pinned or the newest one")
    four_bit: bool = setting(False, "keep the language model in 4 bits (QLoRA)")
    attention: Literal["sdpa", "eager", "flash_attention_2"] = setting("sdpa", "kernel of the attention")

    frames: int = setting(8, "frames of each clip")
    sampling: Literal[SAMPLING_RULES] = setting("llava_next", "which frames: a rule of lib.video")
    reducer: str = setting("default", "the model's own, or as in Python: SpatialPool(4), LlavaVideo(slow_every=4)")

    rank: int = setting(16, "rank of LoRA")
    alpha: int | None = setting(None, "alpha of LoRA, whose scale is alpha / rank; default: twice the rank")
    dropout: float = setting(0.0, "dropout of LoRA")
    projector: bool = setting(False, "train the projector too")

    epochs: float = setting(1.0, "how often each clip is seen")
    steps: int | None = setting(None, "optimizer steps, instead of epochs")
    batch: int = setting(1, "clips at a time on one card")
    accumulation: int = setting(8, "batches to a step on each card")
    learning_rate: float = setting(2e-4, "peak learning rate")
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = setting("cosine", "schedule of the learning rate")
    warmup: float = setting(0.03, "share of the steps for warmup")
    checkpointing: bool = setting(True, "keep each layer's input only: less memory, a third more time")
    every: int = setting(0, "steps from one validation and checkpoint to the next; 0: ten times in a run")
    seed: int = setting(0, "random seed of the adapter, the order, the prompts and dropout")

    max_new_tokens: int = setting(0, "longest answer; 0: 5/4 of the longest caption for training")
    notice: str = setting("", "the credit that the data's terms require; default for an AI-Hub folder: NIA's")
    log: Literal["none", "tensorboard", "wandb"] = setting("none", "where losses are shown")

    def __post_init__(self):
        for name in ("data", "output", "model", "language"):
            if not getattr(self, name).strip():
                raise ValueError(EMPTY_SETTING.say(name=name))
        self.data, self.output, self.model = map(os.path.expanduser, (self.data, self.output, self.model))  # ~ is home
        if Path(self.data).is_dir() and Path(self.data).resolve() != DATA / "aihub_sample":  # the course's own clips
            self.notice = self.notice or NIA
        for name, lowest in LOWEST.items():
            value = getattr(self, name)
            if value is not None and not (lowest <= value < math.inf):
                raise ValueError(AT_LEAST.say(name=name, value=value, bound=lowest))
            if value is not None and value > HIGHEST.get(name, math.inf):
                raise ValueError(AT_MOST.say(name=name, value=value, bound=HIGHEST[name]))
        if self.learning_rate == 0 or self.validation + self.test >= 1 or not 0 <= self.dropout < 1:
            raise ValueError(NOTHING_LEFT.say())

    @property
    def folder(self) -> Path:
        return Path(self.output)


# AI-Hub's terms of use (usagepolicy.do): everything made from its data must name NIA, derived works too.
NIA = "과학기술정보통신부와 한국지능정보사회진흥원(NIA)의 사업결과인 AI-Hub(aihub.or.kr) 데이터로 만들었습니다."
LOWEST = {
    "frames": 1, "rank": 1, "alpha": 1, "dropout": 0, "epochs": 1e-9, "steps": 1, "batch": 1, "accumulation": 1,
    "learning_rate": 0, "warmup": 0, "every": 0, "max_new_tokens": 0, "validation": 0, "test": 0, "seed": 0,
}  # fmt: skip
HIGHEST = {"warmup": 1, "seed": 2**32 - 1}  # warmup is a share: 100 steps of it would never end


class SettingsParser(HfArgumentParser):
    """A parser that reports an error in one line, like everything in this course."""

    def error(self, message: str):
        raise ValueError(message.removeprefix("argument --"))


def read_job(path: str | Path, changes: Sequence[str] = ()) -> Job:
    """The settings of a file, with changes such as "steps=50".

    Raises FileNotFoundError if there is no file, and ValueError, in one line, for unknown keys and impossible values.

    >>> job = read_job("jobs/tiny.yaml", ["frames=4", "reducer=SpatialPool(2)"])
    >>> job.frames, job.model, reducer_of(job.reducer).stride
    (4, 'tiny', 2)
    """
    values = read_yaml(Path(path))
    for change in changes:
        name, sign, value = change.partition("=")
        if not sign:
            raise ValueError(NO_CHANGE.say(change=change))
        values[name] = [value] if name == "prompts" else value
    known = [one.name for one in fields(Job)]
    for name in values:
        if name not in known:
            near = get_close_matches(str(name), known, 1) or [Text("one of ", "").say() + ", ".join(known)]
            raise ValueError(NO_SETTING.say(path=path, name=name, near=near[0]))
    try:
        [job] = SettingsParser(Job).parse_args_into_dataclasses(as_arguments(values))
        reducer_of(job.reducer)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return job


def read_yaml(path: Path) -> dict:
    """The keys and values of a YAML file."""
    if not path.is_file():
        raise FileNotFoundError(NO_SETTINGS_FILE.say(path=path))
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = LINE.say(n=error.problem_mark.line + 1) if getattr(error, "problem_mark", None) else ""
        raise ValueError(NO_YAML.say(where=f"{path}{where}")) from None
    if not isinstance(content, dict):
        raise ValueError(NO_VALUES.say(path=path))
    return content


def as_arguments(values: dict) -> list[str]:
    """Settings as words of a command line, which argparse can check."""
    words = []
    for name, value in values.items():
        if isinstance(value, dict) or (isinstance(value, list) and name != "prompts"):
            raise ValueError(ONE_VALUE.say(name=name, value=value))
        if isinstance(value, list):
            if wrong := [one for one in value if not isinstance(one, str) or not one.strip() or one[0] == "-"]:
                raise ValueError(NO_PROMPT.say(name=name, wrong=wrong[0]))
            words += [f"--{name}", *map(str, value)] if value else []
        elif value is not None:
            words.append(f"--{name}={value}")
    return words


def reducer_of(text: str) -> Reducer | None:
    """The reducer that a text names in Python's syntax; None for the model's own ("default").

    >>> reducer_of("SpatialPool(4, mode='max')").count(8, 8, 8)
    32
    """
    if text == "default":
        return None
    try:
        call = ast.parse(text, mode="eval").body
        made = REDUCERS[call.func.id]
        values = [ast.literal_eval(one) for one in call.args]
        named = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
    except (SyntaxError, AttributeError, KeyError, ValueError):
        raise ValueError(NO_REDUCER.say(text=text, known=", ".join(REDUCERS))) from None
    try:
        return made(*values, **named)
    except TypeError as error:
        raise ValueError(f"reducer {text!r}: {error}") from None


def write_job(job: Job, path: Path) -> None:
    """Writes the settings as a file that `read_job` reads."""
    write_text(path, yaml.safe_dump(asdict(job), allow_unicode=True, sort_keys=False))
