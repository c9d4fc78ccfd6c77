"""Exercises of lesson 11: weights in 4 bits, frames on a card, a card's dtype, what a frame costs, a reducer."""

import numpy as np

from lib.exercises.base import Card, Choose, Mistake, Predict, Write
from lib.exercises.progress import Text

TITLE = Text("Real weights", "실제 가중치")


def my_weight_bytes(layers, others):
    bits = 4 + 8 / 64 + 32 / (64 * 256)  # the number, its share of a scale, and that scale's share of a scale
    return layers * bits / 8 + 2 * others


weight_bytes = Write(
    id="11.weights",
    title=Text("a model in 4 bits", "4비트 모델의 바이트"),
    task=Text(
        "`layers` numbers are in the linear layers of the language model, `others` everywhere else. How many bytes "
        "does the model take in 4 bits, as `lib` loads it? Only `layers` are quantised (NF4 with double quantisation): "
        "half a byte each, a scale of one byte for every 64 of them, and a float32 for every 256 scales. The rest has "
        "16 bits.",
        "언어 모델의 선형 층에 숫자 `layers`개가 있고 나머지에 `others`개가 있습니다. `lib`가 4비트로 불러오면 모델은 "
        "몇 바이트입니까? `layers`만 양자화합니다(NF4, 이중 양자화). 하나에 반 바이트이고, 64개마다 1바이트짜리 "
        "스케일이, 스케일 256개마다 float32 하나가 붙습니다. 나머지는 16비트입니다.",
    ),
    card=Card(difficulty=2, importance=4, minutes=6),
    answer=my_weight_bytes,
    cases=lambda: [(6_476_005_376, 587_425_792), (2**24, 2**14), (2**14, 0), (0, 2**14), (357_826_560, 2**29)],
    mistakes=(
        Mistake(
            lambda layers, others: my_weight_bytes(layers + others, 0),
            "Vision tower, projector, embeddings and output layer are not quantised: they keep 2 bytes each.",
            "비전 인코더, 프로젝터, 임베딩, 출력 층은 양자화하지 않습니다. 숫자 하나가 2바이트 그대로입니다.",
        ),
        Mistake(
            lambda layers, others: layers / 2 + 2 * others,
            "The scales are missing: without them nobody knows how large a 4-bit number is.",
            "스케일이 빠졌습니다. 스케일이 없으면 4비트 숫자의 크기를 알 수 없습니다.",
        ),
        Mistake(
            lambda layers, others: layers * (1 / 2 + 4 / 64) + 2 * others,
            "Those scales are float32: double quantisation makes one byte of each.",
            "스케일이 float32입니다. 이중 양자화에서는 스케일 하나가 1바이트입니다.",
        ),
        Mistake(
            lambda layers, others: layers * (1 / 2 + 1 / 64) + 2 * others,
            "The scales of the scales are missing: a float32 for every 256.",
            "스케일의 스케일이 빠졌습니다. 256개마다 float32 하나입니다.",
        ),
        Mistake(
            lambda layers, others: layers * (1 / 2 + 1 / 64 + 4 / 256) + 2 * others,
            "The float32 comes once for 256 scales, so once for 64 x 256 numbers.",
            "float32는 스케일 256개마다 하나이므로 숫자 64 x 256개마다 하나입니다.",
        ),
        Mistake(
            lambda layers, others: my_weight_bytes(layers, 2 * others),
            "The rest has 2 bytes a number, not 4.",
            "나머지는 숫자 하나에 4바이트가 아니라 2바이트입니다.",
        ),
        Mistake(
            lambda layers, others: 8 * my_weight_bytes(layers, others),
            "Those are bits: a byte has eight.",
            "그것은 비트 수입니다. 1바이트는 8비트입니다.",
        ),
    ),
    hint_1=Text(
        "How many bytes does one quantised number cost, scales included?",
        "양자화한 숫자 하나는 스케일까지 몇 바이트입니까?",
    ),
    hint_2=Text(
        "1 / 2 + 1 / 64 + 4 / (64 x 256) bytes for each of `layers`, 2 bytes for each of `others`.",
        "`layers`는 하나에 1 / 2 + 1 / 64 + 4 / (64 x 256)바이트, `others`는 하나에 2바이트입니다.",
    ),
    why=Text(
        "`lib.vlm.bytes_to_load`, which `load` asks before a download. 4.127 bits for most of the 7B, 16 for the rest.",
        "`load`가 내려받기 전에 호출하는 `lib.vlm.bytes_to_load`입니다. 7B의 대부분은 4.127비트, 나머지는 "
        "16비트입니다.",
    ),
)


def my_plan(card, fixed, per_frame, context, tokens, text):
    by_memory = int((0.95 * card - fixed) // per_frame)
    by_context = (context - text) // tokens
    return max(0, by_memory), max(0, by_context)


def unrounded(card, fixed, per_frame, context, tokens, text):
    return np.array([(0.95 * card - fixed) / per_frame, (context - text) / tokens])


plan = Write(
    id="11.plan",
    title=Text("frames on a card", "카드에 들어가는 프레임"),
    task=Text(
        "A card has `card` GiB, and 95 % of them are planned with. A model takes `fixed` GiB, and each frame "
        "`per_frame` GiB more. Its context has `context` positions, of which `text` are for prompt and answer; a frame "
        "is `tokens` tokens. Return two whole numbers: the frames that memory allows, and those that the context "
        "allows.",
        "카드의 메모리는 `card` GiB이고 그 95%만 계획에 씁니다. 모델이 `fixed` GiB를, 프레임마다 `per_frame` GiB를 더 "
        "씁니다. 문맥 길이는 `context`이고 그중 `text`는 프롬프트와 답이 쓰며 프레임 하나는 `tokens`토큰입니다. "
        "메모리가 허용하는 프레임 수와 문맥이 허용하는 프레임 수를 정수 두 개로 돌려주세요.",
    ),
    card=Card(difficulty=2, importance=5, minutes=8),
    answer=my_plan,
    cases=lambda: [
        (14.75, 4.764, 0.0847, 4096, 144, 356),
        (39.56, 13.7, 0.0851, 10240, 144, 1032),
        (14.75, 13.7, 0.0851, 4096, 144, 356),
        (14.75, 18.9, 0.11, 4096, 144, 356),
        (22.0, 2.2, 0.0213, 1000, 196, 1100),
    ],
    mistakes=(
        Mistake(
            lambda *settings: min(my_plan(*settings)),
            "That is the smaller of the two. Return both, so that one sees which is the limit.",
            "둘 가운데 작은 값입니다. 무엇이 한계인지 보이도록 둘 다 돌려주세요.",
        ),
        Mistake(
            lambda *settings: my_plan(*settings)[::-1],
            "The order is turned: first memory, then context.",
            "차례가 바뀌었습니다. 메모리가 먼저, 문맥이 다음입니다.",
        ),
        Mistake(
            lambda card, *others: my_plan(card / 0.95, *others),
            "You planned with the whole card: 5 % are lost between blocks of unequal size.",
            "카드 전체를 썼습니다. 크기가 다른 블록 사이에서 5%를 잃습니다.",
        ),
        Mistake(
            lambda card, fixed, *others: my_plan(card, 0, *others),
            "The weights are on the card before the first frame.",
            "첫 프레임보다 먼저 가중치가 카드에 올라갑니다.",
        ),
        Mistake(
            lambda *settings: my_plan(*settings[:-1], 0),
            "Prompt and answer stand in the same context as the frames.",
            "프롬프트와 답도 프레임과 같은 문맥에 들어갑니다.",
        ),
        Mistake(
            lambda *settings: np.ceil(unrounded(*settings)).clip(0),
            "A part of a frame does not fit: round down.",
            "프레임의 일부만 넣을 수는 없습니다. 내림하세요.",
        ),
        Mistake(
            lambda *settings: np.floor(unrounded(*settings)),
            "Where the model itself does not fit, the number of frames is 0, not negative.",
            "모델조차 들어가지 않으면 프레임 수는 음수가 아니라 0입니다.",
        ),
        Mistake(
            lambda *settings: unrounded(*settings).clip(0),
            "Whole frames are asked for.",
            "온전한 프레임의 수를 묻고 있습니다.",
        ),
    ),
    hint_1=Text(
        "Two divisions: what is left, by what a frame costs.",
        "나눗셈 두 번입니다. 남은 것을 프레임 하나의 비용으로 나눕니다.",
    ),
    hint_2=Text(
        "(0.95 x card - fixed) // per_frame and (context - text) // tokens, neither below 0.",
        "(0.95 x card - fixed) // per_frame과 (context - text) // tokens이고 둘 다 0보다 작을 수 없습니다.",
    ),
    why=Text(
        "`lib.budget.plan` does so with the formulas of lesson 02. The 7B in 4 bits is limited by its context on every "
        "card.",
        "`lib.budget.plan`이 2번 수업의 식으로 이렇게 계산합니다. 4비트 7B는 어느 카드에서나 문맥이 한계입니다.",
    ),
)

dtype = Choose(
    id="11.dtype",
    title=Text("a number type for the T4", "T4에 맞는 숫자 형식"),
    task=Text(
        "A Colab T4 has compute capability 7.5, and `torch.cuda.is_bf16_supported()` returns True there. In which type "
        "should the 7B compute, and why?\n\n- **a** bfloat16, 8 bits of exponent\n- **b** float16\n"
        "- **c** float32, the full precision\n\nbecause\n\n"
        "- **1** torch says that it is supported\n"
        "- **2** float16 holds larger numbers than bfloat16\n"
        "- **3** the hardware computes in bfloat16 from capability 8.0 on; before that torch emulates it",
        "Colab의 T4는 compute capability가 7.5인데 `torch.cuda.is_bf16_supported()`는 True를 돌려줍니다. 7B는 어떤 "
        "형식으로 계산해야 합니까? 이유는 무엇입니까?\n\n- **a** bfloat16 (지수 8비트)\n- **b** float16\n"
        "- **c** float32 (단정밀도)\n\n이유\n\n"
        "- **1** torch가 지원한다고 말합니다\n"
        "- **2** float16은 bfloat16보다 큰 수를 담습니다\n"
        "- **3** 하드웨어는 capability 8.0부터 bfloat16으로 계산하고, 그 전에는 torch가 에뮬레이션합니다",
    ),
    card=Card(difficulty=2, importance=4, minutes=3),
    answer="b3",
    replies={
        "a": Text(
            "A T4 only emulates bfloat16: its own 16-bit type is float16.",
            "T4는 bfloat16을 에뮬레이션할 뿐입니다. T4가 직접 계산하는 16비트 형식은 float16입니다.",
        ),
        "c": Text("The 7B's weights alone would take 26 GiB in float32.", "float32이면 7B의 가중치만 26 GiB입니다."),
        "1": Text(
            "That function counts emulation as support: ask for the compute capability.",
            "이 함수는 에뮬레이션도 '지원'으로 판단합니다. compute capability를 확인하세요.",
        ),
        "2": Text(
            "It is the other way round: float16 ends at 65,504, bfloat16 near 3 x 10^38.",
            "반대입니다. float16의 최댓값은 65,504이고 bfloat16은 약 3 x 10^38까지 표현합니다.",
        ),
    },
    hint_1=Text(
        "What does True mean there: in hardware, or somehow?",
        "여기서 True는 하드웨어가 한다는 뜻입니까, 어떻게든 된다는 뜻입니까?",
    ),
    hint_2=Text(
        "`lib.vlm.compute_dtype` asks for capability 8.0.",
        "`lib.vlm.compute_dtype`은 capability 8.0을 기준으로 합니다.",
    ),
    why=Text(
        "`load` chooses so by itself, and `make doctor` says which type your card gets and why.",
        "`load`가 스스로 이렇게 고르며, `make doctor`는 카드에 어떤 형식을 왜 쓰는지 알려 줍니다.",
    ),
)

reducer = Choose(
    id="11.reducer",
    title=Text("fifty frames, no training", "프레임 50장, 학습 없이"),
    task=Text(
        "The 7B as downloaded, in 4 bits on a T4, with 4,096 positions. A video of four minutes, and nothing may be "
        "trained; 50 frames have to be seen. Which reducer, and why?\n\n"
        "- **a** the model's own pooling, 144 tokens a frame\n"
        "- **b** SlowFast-LLaVA, 10 frames with 288 tokens and all 50 with 16\n- **c** LLaMA-VID, 2 tokens a frame\n\n"
        "because\n\n- **1** it needs no weights of its own, and all its tokens fit the context\n"
        "- **2** fewer tokens are always better\n- **3** it is the one for which the T4's memory suffices",
        "내려받은 그대로의 7B를 4비트로 T4에 올렸고 문맥 길이는 4,096입니다. 4분짜리 비디오에서 프레임 50장을 보아야 "
        "하고 학습은 할 수 없습니다. 어느 리듀서를 쓰겠습니까? 이유는 무엇입니까?\n\n"
        "- **a** 모델 자신의 풀링, 프레임마다 144토큰\n- **b** SlowFast-LLaVA, 10장은 288토큰, 50장 모두 16토큰\n"
        "- **c** LLaMA-VID, 프레임마다 2토큰\n\n이유\n\n- **1** 자기 가중치가 필요 없고 토큰이 모두 문맥에 들어갑니다\n"
        "- **2** 토큰은 적을수록 항상 좋습니다\n- **3** T4의 메모리로 충분한 것이 이것뿐입니다",
    ),
    card=Card(difficulty=3, importance=5, minutes=5),
    answer="b1",
    replies={
        "a": Text(
            "50 x 144 = 7,200 tokens do not fit 4,096 positions.",
            "50 x 144 = 7,200토큰은 문맥 길이 4,096에 들어가지 않습니다.",
        ),
        "c": Text(
            "100 tokens fit, but nobody has trained LLaMA-VID's weights for this model: its tokens would be noise.",
            "100토큰은 들어가지만 이 모델에 맞게 학습한 LLaMA-VID 가중치가 없습니다. 토큰이 잡음이 됩니다.",
        ),
        "2": Text(
            "Then one token would be best. What a token says depends on who was trained to read it.",
            "그렇다면 토큰 하나가 가장 좋을 것입니다. 토큰의 쓸모는 어떤 토큰을 읽도록 학습했는지에 달려 있습니다.",
        ),
        "3": Text(
            "Look at section 1: in 4 bits the T4 has memory for far more than 50 frames of 144 tokens.",
            "1절을 보세요. 4비트이면 T4의 메모리는 144토큰짜리 프레임 50장보다 훨씬 많이 허용합니다.",
        ),
    },
    hint_1=Text(
        "Count the tokens of each for 50 frames. Which has weights that were never trained?",
        "50장일 때 각각의 토큰을 세어 보세요. 학습하지 않은 가중치를 가진 것은 무엇입니까?",
    ),
    hint_2=Text("10 x 288 + 50 x 16 = 3,680.", "10 x 288 + 50 x 16 = 3,680입니다."),
    why=Text(
        "3,680 tokens and an answer fit. Its scores on this video-trained 7B are still to be measured.",
        "3,680토큰과 답이 들어갑니다. 비디오로 학습한 이 7B에서의 점수는 아직 측정하지 않았습니다.",
    ),
)

frame = Predict(
    id="11.frame",
    title=Text("what one more frame costs", "프레임 하나의 비용"),
    task=Text(
        'An experiment. `trace_answering("7b", frames).tensors` are the bytes of an answer, traced. How many MiB does '
        "one more frame of the 7B cost, weights in 4 bits, 256 tokens of answer? Measure with 8 and with 16 frames.",
        '실험입니다. `trace_answering("7b", frames).tensors`는 답 하나에 드는 바이트를 추적한 값입니다. 4비트 7B가 '
        "256토큰을 답할 때 프레임 하나가 늘면 몇 MiB가 더 듭니까? 8프레임과 16프레임으로 측정해 보세요.",
    ),
    card=Card(difficulty=2, importance=5, minutes=6),
    answer=83.75,
    tolerance=0.02,
    mistakes=(
        Mistake(
            640.1,
            "You divided everything by the frames: the weights are there before the first one. Take the difference.",
            "전체를 프레임 수로 나누었습니다. 가중치는 첫 프레임보다 먼저 있습니다. 차이를 구하세요.",
        ),
        Mistake(
            72,
            "That is the cache alone, 144 tokens of half a MiB: reading the frames takes memory too.",
            "0.5 MiB짜리 토큰 144개의 캐시만 센 값입니다. 프레임을 읽을 때도 메모리가 듭니다.",
        ),
        Mistake(670, "That is eight frames: divide.", "여덟 프레임의 값입니다. 나누세요."),
        Mistake(
            87.82, "MiB have 1,048,576 bytes, not a million.", "1 MiB는 백만 바이트가 아니라 1,048,576바이트입니다."
        ),
    ),
    hint_1=Text("Two traces and their difference.", "두 번 추적하고 그 차이를 구하세요."),
    hint_2=Text(
        '`(trace_answering("7b", 16).tensors - trace_answering("7b", 8).tensors) / 8 / 2**20`',
        '`(trace_answering("7b", 16).tensors - trace_answering("7b", 8).tensors) / 8 / 2**20`입니다.',
    ),
    why=Text(
        "72 MiB of cache, and what the model works with while it reads. 50 frames cost 4 GiB, as much as the weights "
        "in 4 bits.",
        "캐시가 72 MiB이고 나머지는 읽는 동안 쓰는 메모리입니다. 50프레임이면 4 GiB로, 4비트 가중치와 같습니다.",
    ),
)

EXERCISES = (weight_bytes, plan, dtype, frame, reducer)
