"""`evaluate`: scores of a job's captions with intervals, paired against the model before training or another run."""

import json
from collections.abc import Sequence
from pathlib import Path

from lib import plots
from lib.data.videos import Video, recording
from lib.evaluate.intervals import Score, score
from lib.evaluate.metrics import CHRF_PP, FACTS_RIGHT, LENGTH, Metric, Record, bleu, characters, cider, distinct
from lib.evaluate.metrics import morphemes as in_morphemes
from lib.evaluate.records import Paired, measure, paired
from lib.files import write_text, written_whole
from lib.job.captioning import caption_clips, read_lines
from lib.job.settings import Job
from lib.job.training import clips_of, tell
from lib.text import Text

NO_CAPTION_FILE = Text(
    "there is no file of captions {path}: caption with that job first",
    "캡션 파일 {path}이(가) 없습니다. 그 작업으로 먼저 캡션을 만드세요",
)
NO_TEST_CAPTION = Text(
    "{path} holds no caption of the test clips: caption them first",
    "{path}에 테스트 클립의 캡션이 없습니다. 먼저 캡션을 만드세요",
)
NOTHING_SHARED = Text(
    "the two files of captions share no clip: compare runs with the same test clips",
    "두 캡션 파일에 함께 든 클립이 없습니다. 테스트 클립이 같은 실행끼리 비교하세요",
)
COUNTED = Text(
    "{clips} test clips of {groups} recordings; {failed[0]} and {failed[1]} could not be read. Brackets: 95 % "
    "intervals, clips drawn again (bootstrap); p: approximate randomisation.",
    "촬영본 {groups}개에서 나온 테스트 클립 {clips}개. 읽지 못한 것은 각각 {failed[0]}개와 {failed[1]}개입니다. 괄호는 "
    "클립을 다시 뽑아 구한 95% 신뢰 구간(부트스트랩)이고, p는 근사 무작위화 검정의 값입니다.",
)
REPORT_HEADS = Text("| score | {names[0]} | {names[1]} | difference |", "| 점수 | {names[0]} | {names[1]} | 차이 |")
CUT, DIFFERENT = "cut off at the longest answer", "different captions per clip"  # in scores.json
SHARE_NAMES = {
    CUT: Text(CUT, "최대 길이에서 잘린 비율"),
    DIFFERENT: Text(DIFFERENT, "클립 수에 대한 서로 다른 캡션의 비율"),
}
MADE_BY = Text(
    "Model {model}, {frames} frames, reducer {reducer}. Captions: {files[0]}, {files[1]}.",
    "모델 {model}, 프레임 {frames}장, 리듀서 {reducer}. 캡션: {files[0]}, {files[1]}.",
)

Row = tuple[Score, Score, Paired]  # of this job, of the other, and the difference


def evaluate(job: Job, other: Path | None = None) -> Path:
    """Scores the captions of the test clips: report.md (returned), report.png and scores.json in the job's folder.

    other: another run's captions.jsonl to compare with; without it, the model before training. Missing captions, of
    this job or from before training, are made first.
    """
    _, parts = clips_of(job)
    if other and not other.exists():
        raise FileNotFoundError(NO_CAPTION_FILE.say(path=other))
    files = caption_clips(job), other or caption_clips(job, base=True)
    truth = {video.name: video for video in parts.held_out}
    lines = on_the_same([told(path, truth) for path in files])
    systems = [
        [as_record(line, truth, job.language, path.stem) for line in of] for path, of in zip(files, lines, strict=True)
    ]
    rows = {metric.name: compared(metric, *systems) for metric in metrics_for(job, parts.held_out)}
    shares = {
        CUT: [score([line["cut"] for line in of]) for of in lines],
        DIFFERENT: [float(distinct(records)) for records in systems],
    }
    failed = [len(read_lines(path)) - 1 - len(of) for path, of in zip(files, lines, strict=True)]
    save_report(job, rows, shares, files, failed, len({recording(line["video"]) for line in lines[0]}))
    return job.folder / "report.md"


def told(path: Path, truth: dict[str, Video]) -> list[dict]:
    """The captions in a file whose clips have a known truth. Raises ValueError if there is none."""
    lines = [line for line in read_lines(path)[1:] if "caption" in line and line["video"] in truth]
    if not lines:
        raise ValueError(NO_TEST_CAPTION.say(path=path))
    return lines


def on_the_same(files: list[list[dict]]) -> list[list[dict]]:
    """For each file, the captions of the clips that all files share, in the order of the first."""
    by_name = [{line["video"]: line for line in of} for of in files]
    both = [name for name in by_name[0] if all(name in lines for lines in by_name)]
    if not both:
        raise ValueError(NOTHING_SHARED.say())
    return [[lines[name] for name in both] for lines in by_name]


def as_record(line: dict, truth: dict[str, Video], language: str, system: str) -> Record:
    video = line["video"]
    return Record(system, video, "caption", language, "", truth[video].captions[language], line["caption"])


def compared(metric: Metric, ours: Sequence[Record], theirs: Sequence[Record]) -> Row:
    return measure(metric, ours), measure(metric, theirs), paired(metric, ours, theirs)


def metrics_for(job: Job, videos: Sequence[Video]) -> list[Metric]:
    """The metrics: Korean captions by morphemes if MeCab is installed, and facts if they are known."""
    metrics, tokens = [CHRF_PP, bleu("char" if job.language == "ko" else "13a")], characters
    if job.language == "ko":
        try:
            metrics, tokens = [*metrics, bleu("ko-mecab")], in_morphemes
        except ModuleNotFoundError as error:
            tell(str(error))
    known = all(video.clip for video in videos) and job.language in ("en", "ko")
    return [*[FACTS_RIGHT] * known, *metrics, cider("CIDEr-D", tokens), LENGTH]


def save_report(
    job: Job, rows: dict[str, Row], shares: dict[str, list], files: Sequence[Path], failed: list[int], groups: int
) -> None:
    """The report as Markdown, as a figure and as JSON."""
    clips, names = next(iter(rows.values()))[0].asked, [path.stem for path in files]
    lines = [
        f"# {job.output}", "",
        COUNTED.say(clips=clips, groups=groups, failed=failed), "",
        REPORT_HEADS.say(names=names), "| --- | --- | --- | --- |",
        *(f"| {name} | {mine} | {other} | {gap} |" for name, (mine, other, gap) in rows.items()),
        *(f"| {SHARE_NAMES[name].say()} | {mine:{kind}} | {other:{kind}} | |"
          for name, (mine, other) in shares.items() for kind in [".2f" if isinstance(mine, float) else ""]),
        "", MADE_BY.say(model=job.model, frames=job.frames, reducer=job.reducer, files=files), "",
    ]  # fmt: skip
    write_text(job.folder / "report.md", "\n".join(lines))
    content = {name: [list(mine), list(other), list(gap.gap), gap.p] for name, (mine, other, gap) in rows.items()}
    write_text(job.folder / "scores.json", json.dumps(content | shares, ensure_ascii=False, indent=1) + "\n")
    plots.style()
    with written_whole(job.folder / "report.png") as beside:
        plots.paired_scores({name: row[:2] for name, row in rows.items()}, names).savefig(beside, format="png")
