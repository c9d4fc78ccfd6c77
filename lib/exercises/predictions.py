"""Predictions: a learner's guess beside the measurement, and all guesses of a lesson in one figure."""

from matplotlib.figure import Figure

from lib import plots
from lib.exercises.progress import say
from lib.text import Text

NO_GUESS = Text("no guess yet", "아직 예측하지 않음")
PREDICTED = Text("predicted {guess}", "예측 {guess}")
BESIDE = Text("{name}: {guess}, measured {measured}", "{name}: {guess}, 측정 {measured}")
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
    >>> predict("tokens of a minute", 4608, 17940)
    tokens of a minute: predicted 4,608, measured 17,940
    """
    if guess is not None:
        _guesses[name] = float(guess), float(measured)
    told = say(NO_GUESS) if guess is None else say(PREDICTED.fill(guess=in_digits(guess)))
    print(say(BESIDE.fill(name=name, guess=told, measured=in_digits(measured))))


def in_digits(number: float) -> str:
    """Four digits, and large numbers whole: 17,940 and not 1.794e+04."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


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
