"""Predictions: a learner's guess beside the measurement, and all guesses of a lesson in one figure."""

from matplotlib.figure import Figure

from lib import plots
from lib.exercises.progress import say
from lib.text import Text

NO_GUESS = Text("no guess yet", "아직 예측하지 않음")
PREDICTED = Text("predicted {guess:,.4g}", "예측 {guess:,.4g}")
BESIDE = Text("{name}: {guess}, measured {measured:,.4g}", "{name}: {guess}, 측정 {measured:,.4g}")
NONE_YET = Text(
    "No guesses yet: write yours in place of None above, run again, and see here how good they are.",
    "아직 예측이 없습니다. 위의 None 자리에 예측을 쓰고 다시 실행하면, 얼마나 맞았는지 여기에 나옵니다.",
)
TITLE = Text("{good} of {all} guesses within a factor of two", "예측 {all}개 중 {good}개가 두 배 안에 있음")

_guesses: dict[str, tuple[float, float]] = {}  # of this session: guess and measurement by name


def predict(name: str, guess: float | None, measured: float) -> None:
    """Prints a guess beside the measurement, and keeps both for `calibration`. Without a guess it says so.

    >>> predict("tokens of a frame", None, 144)
    tokens of a frame: no guess yet, measured 144
    >>> predict("tokens of a frame", 576, 144)
    tokens of a frame: predicted 576, measured 144
    """
    if guess is not None:
        _guesses[name] = float(guess), float(measured)
    told = say(NO_GUESS) if guess is None else say(PREDICTED.fill(guess=guess))
    print(say(BESIDE.fill(name=name, guess=told, measured=measured)))


def calibration() -> Figure | None:
    """A figure of this session's guesses against the measurements; one line where there are none.

    >>> _guesses.clear()
    >>> calibration()
    No guesses yet: write yours in place of None above, run again, and see here how good they are.
    """
    if not _guesses:
        print(say(NONE_YET))
        return None
    good = sum(
        guess == measured or 0.5 <= guess / (measured or float("nan")) <= 2 for guess, measured in _guesses.values()
    )
    return plots.guesses_plot(_guesses, say(TITLE.fill(good=good, all=len(_guesses))))
