"""Exercises of lesson 00: how many tokens, how long a sequence, how sure a score, how cheap a motion."""

from lib.exercises.base import Card, Choose, Mistake, Predict, Write
from lib.exercises.progress import Text

TITLE = Text("Start here", "시작하기")


def my_visual_tokens(frames, pixels, patch, stride):
    side = pixels // patch  # whole patches along one side
    pooled = side // stride  # what fills no window is left out
    return frames * pooled**2


visual_tokens = Write(
    id="00.visual_tokens",
    title=Text("count the visual tokens", "시각 토큰 세기"),
    task=Text(
        "`frames` square frames of `pixels` x `pixels` are cut into patches of `patch` x `patch` pixels, and `stride` "
        "x `stride` patches become one token. How many visual tokens is that? Pixels that fill no whole patch are "
        "left out, and so are patches that fill no whole window.",
        "한 변이 `pixels`픽셀인 정사각형 프레임 `frames`장을 `patch` x `patch`픽셀 패치로 자르고, 패치 `stride` x "
        "`stride`개를 토큰 하나로 모읍니다. 시각 토큰은 모두 몇 개입니까? 패치나 창을 다 채우지 못하는 나머지는 "
        "버립니다.",
    ),
    card=Card(difficulty=1, importance=5, minutes=5),
    answer=my_visual_tokens,
    cases=lambda: [(8, 336, 14, 2), (16, 64, 8, 2), (4, 384, 14, 2), (3, 336, 14, 3), (5, 336, 14, 1)],
    mistakes=(
        Mistake(
            lambda frames, pixels, patch, stride: frames * (pixels // patch // stride),
            "That is one row of each frame: a frame has as many rows as columns.",
            "프레임마다 한 줄만 세었습니다. 프레임에는 열만큼 행도 있습니다.",
        ),
        Mistake(
            lambda frames, pixels, patch, stride: (pixels // patch // stride) ** 2,
            "That is a single frame: multiply by the number of frames.",
            "프레임 한 장의 토큰 수입니다. 프레임 수를 곱하세요.",
        ),
        Mistake(
            lambda frames, pixels, patch, stride: frames * (pixels // patch) ** 2,
            "Those are the patches: they are not pooled yet.",
            "그것은 패치의 수입니다. 아직 풀링하지 않았습니다.",
        ),
        Mistake(
            lambda frames, pixels, patch, stride: frames * (pixels // patch) ** 2 // stride,
            "Stride 2 joins 2 x 2 patches, so a quarter is left, not a half.",
            "stride 2는 패치 2 x 2개를 하나로 모읍니다. 절반이 아니라 4분의 1이 남습니다.",
        ),
        Mistake(
            lambda frames, pixels, patch, stride: frames * ((pixels // patch) ** 2 // stride**2),
            "Round each side down, not the product: of 27 patches on a side, 13 windows are full.",
            "곱이 아니라 각 변에서 내림해야 합니다. 한 변의 패치가 27개이면 다 찬 창은 13개입니다.",
        ),
        Mistake(
            lambda frames, pixels, patch, stride: frames * (pixels / patch / stride) ** 2,
            "There are no parts of tokens: divide by //, patches first, then windows.",
            "토큰은 쪼개지지 않습니다. 패치와 창을 차례로 //로 나누세요.",
        ),
    ),
    hint_1=Text(
        "First the patches along one side, then the tokens along one side.",
        "먼저 한 변의 패치 수, 그다음 한 변의 토큰 수를 구합니다.",
    ),
    hint_2=Text(
        "336 // 14 = 24, 24 // 2 = 12, and 12 * 12 = 144 for one frame.",
        "336 // 14 = 24, 24 // 2 = 12이므로 프레임 하나는 12 * 12 = 144개입니다.",
    ),
    why=Text(
        "The patch convolution and the pooling both leave out what fills no window, so both divisions round down.",
        "패치 합성곱과 풀링은 모두 창을 다 채우지 못하는 나머지를 버리므로 두 번 다 내림합니다.",
    ),
)

sequence = Predict(
    id="00.sequence",
    title=Text("the length of the sequence", "시퀀스의 길이"),
    task=Text(
        "A prompt has 12 token ids; one of them is `<video>`. The video is 8 frames of 144 visual tokens. How many "
        "vectors does the language model read?",
        "프롬프트의 토큰 ID는 12개이고 그중 하나가 `<video>`입니다. 비디오는 프레임 8장이고 프레임마다 시각 토큰이 "
        "144개입니다. 언어 모델은 벡터를 몇 개 읽습니까?",
    ),
    card=Card(difficulty=1, importance=4, minutes=3),
    answer=1163,
    mistakes=(
        Mistake(
            1164,
            "`<video>` itself does not stay: the visual tokens take its place.",
            "`<video>` 자체는 남지 않습니다. 시각 토큰이 그 자리를 차지합니다.",
        ),
        Mistake(1152, "The words around the video are read too.", "비디오 앞뒤의 텍스트도 함께 읽습니다."),
        Mistake(20, "A frame is 144 tokens, not one.", "프레임 하나는 토큰 한 개가 아니라 144개입니다."),
        Mistake(155, "That is a single frame.", "그것은 프레임 한 장일 때의 길이입니다."),
    ),
    hint_1=Text(
        "Visual tokens and text tokens stand in one sequence.", "시각 토큰과 텍스트 토큰은 한 시퀀스에 놓입니다."
    ),
    hint_2=Text(
        "8 x 144 visual tokens, and the 12 ids without `<video>`.",
        "시각 토큰 8 x 144개에, `<video>`를 뺀 나머지 ID를 더합니다.",
    ),
    why=Text(
        "8 x 144 + 12 - 1: the visual tokens replace `<video>`.",
        "8 x 144 + 12 - 1입니다. `<video>` 자리 표시자는 시각 토큰으로 대체됩니다.",
    ),
)

interval = Choose(
    id="00.interval",
    title=Text("nine of ten", "열 개 중 아홉 개"),
    task=Text(
        'A model answers 9 of 10 questions about one clip correctly. A colleague writes "90 % accuracy". What do you '
        "do, and why?\n\n"
        "- **a** accept it: these were ten different questions on it\n"
        "- **b** ask the same ten questions ten times, give the mean\n"
        "- **c** ask about many clips, give share and interval\n\nbecause\n\n"
        "- **1** ten answers about one clip are few, and they depend on each other\n"
        "- **2** the answers are drawn at random, and repeating averages that out\n"
        "- **3** 9 of 10 is above chance, and more is not needed",
        '모델이 클립 하나에 관한 질문 10개 중 9개를 맞혔습니다. 동료가 "정확도 90%"라고 적습니다. 어떻게 하겠습니까? '
        "이유는 무엇입니까?\n\n- **a** 그대로 받아들입니다. 서로 다른 질문이 열 개였습니다\n"
        "- **b** 같은 질문 10개를 열 번 묻고 평균을 적습니다\n"
        "- **c** 여러 클립에 묻고 신뢰 구간도 적습니다\n\n이유\n\n"
        "- **1** 클립 하나에서 나온 답 10개는 표본이 작고, 서로 독립이 아닙니다\n"
        "- **2** 답이 무작위로 뽑히므로 열 번 반복하면 흔들림이 서로 상쇄됩니다\n"
        "- **3** 10개 중 9개는 우연보다 높으므로 더 필요하지 않습니다",
    ),
    card=Card(difficulty=1, importance=4, minutes=3),
    answer="c1",
    replies={
        "a": Text(
            "Wilson's interval of 9 in 10 reaches from 0.60 to 0.98: that is no measurement yet.",
            "10개 중 9개의 윌슨 신뢰 구간은 0.60에서 0.98까지입니다. 아직 측정이라고 할 수 없습니다.",
        ),
        "b": Text(
            "The same clip and question give the same answer: nothing new is measured.",
            "같은 클립과 질문에는 같은 답이 나옵니다. 새로 측정되는 것이 없습니다.",
        ),
        "2": Text(
            "Decoding here is greedy, nothing is drawn: the doubt lies in the choice of the clip.",
            "여기서는 그리디 디코딩을 쓰므로 무작위가 없습니다. 불확실한 것은 어떤 클립을 골랐는가입니다.",
        ),
        "3": Text(
            "Being above chance does not say how far: the interval does.",
            "우연보다 높다는 것만으로는 얼마나 높은지 알 수 없습니다. 그것은 신뢰 구간이 말해 줍니다.",
        ),
    },
    hint_1=Text("Would another clip give 9 of 10 as well?", "다른 클립이었어도 10개 중 9개였겠습니까?"),
    hint_2=Text(
        "Look at section 5: what stands beside each share there?",
        "5절을 보세요. 거기에는 비율마다 무엇이 함께 적혀 있습니까?",
    ),
    why=Text(
        "What varies is the clip. Many clips make a share, and its interval says how sure it is (lesson 07 resamples "
        "clips).",
        "달라지는 것은 클립입니다. 여러 클립으로 비율을 구하고, 얼마나 확실한지는 신뢰 구간으로 말합니다(7번 "
        "수업에서는 클립을 다시 뽑습니다).",
    ),
)

cheapest = Predict(
    id="00.cheapest",
    title=Text("the cheapest motion", "가장 적은 토큰으로 움직임 보기"),
    task=Text(
        'An experiment. `right_answers(frames, stride, ("motion",))` asks which way things move. Try 1, 2, 4, 8 and 16 '
        "frames with the strides 1, 2, 4 and 8. Which setting with at least 90 % right answers needs the fewest visual "
        "tokens, and how many are these?",
        '실험입니다. `right_answers(frames, stride, ("motion",))`는 물체가 어느 쪽으로 움직이는지 묻습니다. 프레임 1, '
        "2, 4, 8, 16장과 stride 1, 2, 4, 8을 조합해 보세요. 90% 이상을 맞히는 설정 가운데 시각 토큰이 가장 적은 것은 "
        "토큰이 몇 개입니까?",
    ),
    card=Card(difficulty=2, importance=4, minutes=8),
    answer=64,
    mistakes=(
        Mistake(
            256,
            "That works, but fewer tokens do as well: take fewer frames, or fewer tokens a frame.",
            "맞히기는 하지만 더 적은 토큰으로도 됩니다. 프레임 수나 프레임당 토큰 수를 줄여 보세요.",
        ),
        Mistake(
            128,
            "That is not the fewest: 8 frames x 16 tokens work, and half of these frames do too.",
            "가장 적은 값이 아닙니다. 8장 x 16토큰도 되지만 프레임을 절반으로 줄여도 됩니다.",
        ),
        Mistake(
            16,
            "Those are the tokens of one frame: multiply by the number of frames.",
            "프레임 한 장의 토큰 수입니다. 프레임 수를 곱하세요.",
        ),
        Mistake(4, "That is the number of frames, or the stride.", "그것은 프레임 수이거나 stride입니다."),
        Mistake(
            32,
            "With 32 tokens it stays below 90 %, in each way to spend them.",
            "32토큰으로는 어떻게 나누어도 90%에 못 미칩니다.",
        ),
    ),
    hint_1=Text(
        "Two loops, one for the frames and one for the stride; print the tokens and the mean of the answers.",
        "프레임 수와 stride에 대해 반복문을 두 개 쓰고, 토큰 수와 정답 비율을 출력하세요.",
    ),
    hint_2=Text(
        "Tokens: frames x (8 / stride)². One frame shows no motion, and a single token no place.",
        "토큰 수는 프레임 수 x (8 / stride)²입니다. 프레임 한 장에는 움직임이 없고, 토큰 하나에는 위치가 없습니다.",
    ),
    why=Text(
        "4 frames x 16 tokens: motion needs a few moments, and enough tokens in each to say where a thing is.",
        "4장 x 16토큰입니다. 움직임을 보려면 몇 개의 순간과, 그때마다 물체가 어디에 있는지 알 만큼의 토큰이 "
        "필요합니다.",
    ),
)

EXERCISES = (visual_tokens, sequence, interval, cheapest)
