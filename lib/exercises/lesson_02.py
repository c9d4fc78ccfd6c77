"""Exercises of lesson 02: tokens of a frame, frames in a context, bytes of a cache, and which limit binds."""

from lib.budget.cards import plan
from lib.exercises.base import Card, Choose, Mistake, Predict, Write
from lib.exercises.progress import Text

TITLE = Text("Token math", "토큰 계산")
ROOM = plan("T4", "7b").by_memory  # frames


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
            "프롬프트의 글도 자리가 필요합니다.",
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
            "글조차 들어가지 않으면 프레임 수는 음수가 아니라 0입니다.",
        ),
    ),
    hint_1=Text("What is left of the context for the video?", "문맥에서 비디오에 남는 자리는 얼마입니까?"),
    hint_2=Text(
        "Subtract both texts, divide by //, and mind the case where nothing is left.",
        "두 글을 빼고 //로 나눕니다. 남는 것이 없을 때도 생각하세요.",
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
        "Vicuna-7B는 토큰마다 0.5 MiB입니다. 0.5B 모델은 쿼리 헤드 14개에 키-값 헤드가 2개라서 43배 작습니다.",
    ),
)

ten_minutes = Predict(
    id="02.ten_minutes",
    title=Text("ten minutes in the cache", "10분짜리 비디오의 캐시"),
    task=Text(
        "Ten minutes of video, 2 frames a second, pooled to 36 tokens a frame, on the 7B (half a MiB per token). How "
        "many GiB of KV cache, to 3 %?",
        "10분짜리 비디오를 1초에 2장씩 읽고 프레임마다 36토큰으로 풀링합니다. 7B 모델(토큰마다 0.5 MiB)의 KV 캐시는 몇 "
        "GiB입니까? (오차 3 %)",
    ),
    card=Card(difficulty=2, importance=4, minutes=5),
    answer=600 * 2 * 36 / 2 / 1024,
    tolerance=0.03,
    mistakes=(
        Mistake(600 * 36 / 2 / 1024, "That is one frame a second.", "1초에 한 장일 때의 값입니다."),
        Mistake(
            600 * 2 * 144 / 2 / 1024,
            "That is 144 tokens a frame; here it is 36.",
            "프레임마다 144토큰일 때의 값입니다. 여기서는 36토큰입니다.",
        ),
        Mistake(
            600 * 2 * 36 / 2, "Those are MiB: a GiB has 1,024 of them.", "그것은 MiB입니다. 1 GiB는 1,024 MiB입니다."
        ),
        Mistake(
            600 * 2 * 36 / 1024,
            "That is a whole MiB per token; it is half of one.",
            "토큰마다 1 MiB로 계산했습니다. 0.5 MiB입니다.",
        ),
        Mistake(
            600 * 2 * 36 * 2**19 / 1e9,
            "Those are GB, of 10**9 bytes; a GiB has 2**30.",
            "그것은 10**9바이트인 GB입니다. GiB는 2**30바이트입니다.",
        ),
    ),
    hint_1=Text("Frames, then tokens, then MiB, then GiB.", "프레임, 토큰, MiB, GiB의 차례로 구합니다."),
    hint_2=Text("1,200 frames x 36 = 43,200 tokens.", "1,200장 x 36 = 43,200토큰입니다."),
    why=Text(
        "43,200 tokens x 0.5 MiB = 21,600 MiB: more than a T4 has, before any weight.",
        "43,200토큰 x 0.5 MiB = 21,600 MiB입니다. 가중치를 빼고도 T4의 메모리보다 큽니다.",
    ),
)

what_helps = Choose(
    id="02.what_helps",
    title=Text("forty frames", "프레임 40장"),
    task=Text(
        "The 7B in 4 bits on a T4, 4,096 positions, 144 tokens a frame. You want 40 frames and a short answer, and it "
        "is refused. What helps, and why?\n\n- **a** a card with more memory, such as an A100\n"
        "- **b** pooling 3 x 3, so 64 tokens a frame\n- **c** weights in 16 bits, which lose no precision\n\n"
        "because\n\n- **1** the memory of the card is full before the last frame\n"
        "- **2** 40 x 144 tokens exceed the context\n- **3** 4-bit weights cannot read that many frames",
        "T4에서 4비트로 불러온 7B 모델, 문맥 길이 4,096, 프레임마다 144토큰입니다. 프레임 40장과 짧은 답을 원하는데 "
        "거절됩니다. 무엇이 도움이 됩니까? 이유는 무엇입니까?\n\n- **a** A100처럼 메모리가 훨씬 더 큰 카드 한 장\n"
        "- **b** 3 x 3 풀링으로 프레임마다 64토큰\n- **c** 정밀도를 조금도 잃지 않는 16비트 가중치\n\n이유\n\n"
        "- **1** 프레임을 다 넣기 전에 카드의 메모리가 가득 찹니다\n- **2** 40 x 144토큰이 문맥 길이를 넘습니다\n"
        "- **3** 4비트 가중치로는 프레임을 그만큼 읽을 수 없습니다",
    ),
    card=Card(difficulty=2, importance=5, minutes=4),
    answer="b2",
    replies={
        "a": Text(
            f"A larger card has the same 4,096 positions: memory for {ROOM} frames is there already.",
            f"카드가 커도 문맥 길이 4,096은 같습니다. 메모리는 이미 {ROOM}장까지 됩니다.",
        ),
        "c": Text(
            "That takes 9 GiB more memory and not one position more.",
            "메모리를 9 GiB 더 쓰지만 문맥은 하나도 늘지 않습니다.",
        ),
        "1": Text(
            f"Look at section 8: the T4 has memory for {ROOM} frames in 4 bits.",
            f"8절을 보세요. 4비트이면 T4의 메모리는 {ROOM}장까지 됩니다.",
        ),
        "3": Text(
            "Precision changes the memory, not the number of positions.",
            "정밀도는 메모리를 바꿀 뿐 문맥 길이와는 상관없습니다.",
        ),
    },
    hint_1=Text("Which limit binds, memory or context?", "메모리와 문맥 길이 가운데 무엇이 먼저 걸립니까?"),
    hint_2=Text("40 x 144 = 5,760.", "40 x 144 = 5,760입니다."),
    why=Text(
        "40 x 64 = 2,560 tokens fit. (As a reducer; transformers' processor does not know 3 x 3.) RoPE scaling would "
        "be another way.",
        "40 x 64 = 2,560토큰은 들어갑니다(리듀서로는 되지만 transformers의 프로세서는 3 x 3을 모릅니다). RoPE "
        "스케일링도 한 가지 방법입니다.",
    ),
)

EXERCISES = (frame_tokens, max_frames, kv_bytes, ten_minutes, what_helps)
