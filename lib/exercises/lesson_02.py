"""Exercises of lesson 02: tokens of a frame, frames in a context, bytes of a cache, and where attention takes half."""

from lib.exercises.base import Card, Mistake, Predict, Write
from lib.exercises.progress import Text

TITLE = Text("Token math", "토큰 계산")


def my_frame_tokens(height, width, stride, mode, newline):
    if mode == "bilinear":
        rows, columns = -(-height // stride), -(-width // stride)  # rounded up
    else:
        rows, columns = height // stride, width // stride  # rounded down
    return rows * columns + {"none": 0, "frame": 1, "grid": rows}[newline]


def newlines_as(count):
    """The mistake of counting the newlines by `count(rows, columns, newline)`."""

    def tokens(height, width, stride, mode, newline):
        plain = my_frame_tokens(height, width, stride, mode, "none")
        rows = my_frame_tokens(height, width, stride, mode, "grid") - plain
        return plain + count(rows, plain // rows, newline)

    return tokens


frame_tokens = Write(
    id="02.frame_tokens",
    title=Text("tokens of a frame", "프레임 하나의 토큰"),
    task=Text(
        'A frame of `height` x `width` patches is pooled with `stride`. The modes "average" and "max" leave out what '
        'fills no window, "bilinear" rounds up. The newline comes after each row ("grid"), once after the frame '
        '("frame") or not at all ("none"). How many tokens is the frame?',
        '패치 `height` x `width`개인 프레임을 `stride`로 풀링합니다. "average"와 "max"는 창을 다 채우지 못하는 '
        '나머지를 버리고 "bilinear"는 올림합니다. newline은 줄마다 붙거나("grid") 프레임 끝에 한 번 붙거나("frame") '
        '없습니다("none"). 프레임의 토큰은 몇 개입니까?',
    ),
    card=Card(difficulty=2, importance=5, minutes=8),
    answer=my_frame_tokens,
    cases=lambda: [
        (24, 24, 2, "average", "none"),
        (24, 24, 2, "max", "frame"),
        (27, 27, 2, "average", "none"),
        (27, 27, 2, "bilinear", "grid"),
        (6, 10, 2, "average", "grid"),
        (9, 7, 3, "bilinear", "frame"),
    ],
    mistakes=(
        Mistake(
            lambda h, w, stride, mode, newline: my_frame_tokens(h, w, stride, "average", newline),
            "Bilinear pooling rounds up: 27 patches become 14, not 13.",
            "bilinear는 올림합니다. 패치 27개는 13이 아니라 14가 됩니다.",
        ),
        Mistake(
            lambda h, w, stride, mode, newline: my_frame_tokens(h, w, stride, "bilinear", newline),
            "Average and max pooling leave out the last row and column: 27 patches become 13.",
            "average와 max는 마지막 행과 열을 버립니다. 패치 27개는 13이 됩니다.",
        ),
        Mistake(
            newlines_as(lambda rows, columns, newline: {"none": 0, "frame": 1, "grid": columns}[newline]),
            "A newline ends a row: there are as many as rows, not columns.",
            "newline은 줄의 끝에 옵니다. 열이 아니라 행의 수만큼 있습니다.",
        ),
        Mistake(
            newlines_as(lambda rows, columns, newline: int(newline != "none")),
            'With "grid" every row gets a newline, not only the last.',
            '"grid"에서는 마지막만이 아니라 모든 줄에 newline이 붙습니다.',
        ),
        Mistake(newlines_as(lambda rows, columns, newline: 0), "The newlines are tokens too.", "newline도 토큰입니다."),
    ),
    hint_1=Text(
        "First rows and columns after pooling, then the newlines.", "먼저 풀링한 뒤의 행과 열, 그다음 newline을 셉니다."
    ),
    hint_2=Text(
        '-(-27 // 2) is 14; with "grid" add one for each row.',
        '-(-27 // 2)는 14입니다. "grid"에서는 행마다 하나를 더합니다.',
    ),
    why=Text(
        "SigLIP's 27 x 27 at stride 2: 169 with average, 196 with bilinear, 210 with bilinear and newlines "
        "(LLaVA-Video).",
        "SigLIP의 27 x 27을 stride 2로 풀링하면 average 169개, bilinear 196개, newline까지 더하면 "
        "210개입니다(LLaVA-Video).",
    ),
)


def my_max_frames(context, per_frame, prompt, answer):
    return max(0, (context - prompt - answer) // per_frame)


max_frames = Write(
    id="02.max_frames",
    title=Text("frames that fit", "들어가는 프레임 수"),
    task=Text(
        "How many frames of `per_frame` tokens fit into `context` positions, beside `prompt` tokens of text and an "
        "answer of up to `answer` tokens?",
        "문맥 길이가 `context`일 때, 프롬프트 `prompt`토큰과 답 최대 `answer`토큰의 자리를 남기면 프레임 하나가 "
        "`per_frame`토큰인 비디오는 몇 장까지 들어갑니까?",
    ),
    card=Card(difficulty=1, importance=5, minutes=5),
    answer=my_max_frames,
    cases=lambda: [(4096, 144, 100, 256), (4096, 144, 100, 932), (8192, 210, 300, 1572), (1000, 144, 500, 932)],
    mistakes=(
        Mistake(
            lambda context, per_frame, prompt, answer: max(0, (context - prompt) // per_frame),
            "The answer needs positions too: the model writes into the same context.",
            "답도 자리가 필요합니다. 모델은 같은 문맥 안에 답을 씁니다.",
        ),
        Mistake(
            lambda context, per_frame, prompt, answer: max(0, (context - answer) // per_frame),
            "The prompt's words need positions too.",
            "프롬프트의 텍스트도 토큰을 차지합니다.",
        ),
        Mistake(
            lambda context, per_frame, prompt, answer: context // per_frame,
            "Only the video fits then: leave room for the prompt and the answer.",
            "그러면 비디오만 들어갑니다. 프롬프트와 답의 자리를 남기세요.",
        ),
        Mistake(
            lambda context, per_frame, prompt, answer: max(0, -(-(context - prompt - answer) // per_frame)),
            "The last frame does not fit as a whole: round down.",
            "마지막 프레임이 다 들어가지 않습니다. 내림하세요.",
        ),
        Mistake(
            lambda context, per_frame, prompt, answer: (context - prompt - answer) // per_frame,
            "Where not even the text fits, the number of frames is 0, not negative.",
            "텍스트만으로도 문맥 길이를 넘으면 프레임 수는 0입니다(음수가 아닙니다).",
        ),
    ),
    hint_1=Text("What is left of the context for the video?", "문맥에서 비디오에 남는 자리는 얼마입니까?"),
    hint_2=Text(
        "Subtract both texts, divide by //, and mind the case where nothing is left.",
        "프롬프트와 답의 토큰 수를 빼고 //로 나눕니다. 남는 것이 없을 때도 생각하세요.",
    ),
    why=Text(
        "`lib.budget.max_frames`: 25 frames with a short answer, 21 with a Korean caption.",
        "`lib.budget.max_frames`입니다. 짧은 답이면 25장, 한국어 캡션이면 21장입니다.",
    ),
)


def my_kv_bytes(layers, heads, kv_heads, width, value_bytes, tokens):
    head_size = width // heads
    return 2 * layers * kv_heads * head_size * value_bytes * tokens  # 2: a key and a value


kv_bytes = Write(
    id="02.kv_bytes",
    title=Text("bytes of the KV cache", "KV 캐시의 바이트"),
    task=Text(
        "A decoder has `layers` layers, `heads` query heads, `kv_heads` key-value heads and the width `width`. How "
        "many bytes does its cache hold after `tokens` tokens, at `value_bytes` bytes for a number?",
        "디코더의 층은 `layers`개, 쿼리 헤드는 `heads`개, 키-값 헤드는 `kv_heads`개, 폭은 `width`입니다. 숫자 하나가 "
        "`value_bytes`바이트일 때 토큰 `tokens`개를 읽은 뒤 캐시는 몇 바이트입니까?",
    ),
    card=Card(difficulty=2, importance=5, minutes=8),
    answer=my_kv_bytes,
    cases=lambda: [
        (32, 32, 32, 4096, 2, 1),
        (24, 14, 2, 896, 2, 1000),
        (4, 4, 4, 128, 4, 265),
        (28, 28, 4, 3584, 2, 7),
    ],
    mistakes=(
        Mistake(
            lambda *settings: my_kv_bytes(*settings) // 2,
            "Keys *and* values are kept: that is twice as much.",
            "키와 값을 *둘 다* 보관하므로 두 배입니다.",
        ),
        Mistake(
            lambda layers, heads, kv_heads, *others: my_kv_bytes(layers, heads, heads, *others),
            "You counted a key for each query head; several of them share one key-value head.",
            "쿼리 헤드마다 키를 세었습니다. 여러 쿼리 헤드가 키-값 헤드 하나를 함께 씁니다.",
        ),
        Mistake(
            lambda layers, heads, *others: heads * my_kv_bytes(layers, heads, *others),
            "A head is width / heads wide, not width.",
            "헤드 하나의 폭은 width가 아니라 width / heads입니다.",
        ),
        Mistake(
            lambda layers, *others: my_kv_bytes(1, *others),
            "Every layer keeps its own keys and values.",
            "층마다 키와 값을 따로 보관합니다.",
        ),
        Mistake(
            lambda *settings: 8 * my_kv_bytes(*settings),
            "Those are bits: a byte has eight.",
            "그것은 비트 수입니다. 1바이트는 8비트입니다.",
        ),
    ),
    hint_1=Text("What does one layer keep of one token?", "층 하나는 토큰 하나에서 무엇을 보관합니까?"),
    hint_2=Text(
        "2 x layers x kv_heads x head size x bytes x tokens; head size = width / heads.",
        "2 x 층 x 키-값 헤드 x 헤드 폭 x 바이트 x 토큰입니다. 헤드 폭 = width / heads.",
    ),
    why=Text(
        "Half a mebibyte per token for Vicuna-7B. The 0.5B has 2 key-value heads for 14 query heads: 43 times less.",
        "Vicuna-7B는 토큰마다 0.5 MiB입니다. 0.5B 모델은 쿼리 헤드 14개에 키-값 헤드가 2개라서 약 43분의 1입니다.",
    ),
)

crossing = Predict(
    id="02.crossing",
    title=Text("when attention takes half", "어텐션이 절반이 되는 때"),
    task=Text(
        "An experiment. `operations(frames)` counts what tiny computes to read so many frames and the question, up to "
        "126 frames. Part of it grows with the length, part with its square. From how many frames on is the square's "
        "part more than half of the whole? (To 5 %. Measure, and do not trust the formula.)",
        "실험입니다. `operations(frames)`는 tiny가 프레임 수만큼의 프레임과 질문을 읽는 데 드는 연산량을 "
        "셉니다(126장까지). 그 일부는 길이에 비례하고 일부는 길이의 제곱에 비례합니다. 제곱에 비례하는 부분이 전체의 "
        "절반을 넘는 것은 프레임이 몇 장일 때부터입니까? (오차 5%. 공식을 믿지 말고 측정해 보세요.)",
    ),
    card=Card(difficulty=3, importance=3, minutes=8),
    answer=51,
    tolerance=0.05,
    mistakes=(
        Mistake(
            832,
            "That is the length in tokens: a frame has 16, and the question some more.",
            "토큰으로 센 길이입니다. 프레임 하나가 16토큰이고 질문도 몇 토큰입니다.",
        ),
        Mistake(
            102,
            "There the square's part is twice the linear one, two thirds of the whole.",
            "제곱에 비례하는 부분이 나머지의 두 배, 곧 전체의 3분의 2가 되는 때입니다.",
        ),
        Mistake(
            26,
            "There the square's part is half of the linear one, a third of the whole.",
            "제곱에 비례하는 부분이 나머지의 절반, 곧 전체의 3분의 1이 되는 때입니다.",
        ),
    ),
    hint_1=Text(
        "Three measurements fix the curve a + b n + c n² in the number of tokens n: numpy.polyfit.",
        "세 번 측정하면 토큰 수 n에 대한 곡선 a + b n + c n²이 정해집니다: numpy.polyfit.",
    ),
    hint_2=Text(
        "n = 16 frames + the question's tokens (`text`). Half is reached where c n² = b n + a.",
        "n = 16 x 프레임 수 + 질문의 토큰 수(`text`)입니다. c n² = b n + a가 되는 곳이 절반입니다.",
    ),
    why=Text(
        "Some 51 frames, 832 tokens: (2 x weights of a layer) / (4 x width). The 7B is 32 times as wide: 25,000 "
        "tokens.",
        "약 51장, 832토큰입니다. (2 x 층 하나의 가중치 수) / (4 x 폭)으로 계산됩니다. 폭이 32배인 7B는 약 "
        "25,000토큰입니다.",
    ),
)

EXERCISES = (frame_tokens, max_frames, kv_bytes, crossing)
