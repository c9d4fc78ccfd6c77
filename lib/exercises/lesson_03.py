"""Exercises of lesson 03: the canvas of an image, its tokens, and when tiles are worth their price."""

from lib.anyres import LLAVA_NEXT_PINPOINTS
from lib.exercises.base import Card, Choose, Mistake, Predict, Write
from lib.exercises.progress import Text

TITLE = Text("LLaVA-NeXT and AnyRes", "LLaVA-NeXT와 AnyRes")


def my_canvas(height, width, canvases):
    def merit(canvas):
        scale = min(canvas[0] / height, canvas[1] / width)
        shown = min(int(height * scale) * int(width * scale), height * width)
        return shown, -canvas[0] * canvas[1]  # most pixels, then the smallest canvas

    return max(canvases, key=merit)  # max keeps the first of equals


def most(shown, height, width, canvases):
    """The canvas with the most of `shown(height, width, canvas)`, then the smallest, then the first."""
    return max(canvases, key=lambda canvas: (shown(height, width, canvas), -canvas[0] * canvas[1]))


def fitted(height, width, canvas):
    """Pixels of the canvas that the fitted image covers, however small the image is."""
    scale = min(canvas[0] / height, canvas[1] / width)
    return int(height * scale) * int(width * scale)


def turned(height, width, canvas):
    return min(fitted(width, height, canvas), height * width)


canvas = Write(
    id="03.canvas",
    title=Text("choose the canvas", "캔버스 고르기"),
    task=Text(
        "Choose one of `canvases`, each (height, width), for an image of `height` x `width` pixels, and return it. The "
        "image keeps its proportions. The best canvas shows most of the image's pixels (never more than it has); among "
        "equals the smallest canvas; among equals of these the first in the list.",
        "`height` x `width`픽셀 이미지에 맞는 캔버스를 `canvases`((높이, 너비)의 목록)에서 골라 돌려주세요. 이미지의 "
        "비율은 지킵니다. 이미지의 픽셀을 가장 많이 보여 주는 캔버스가 좋고(이미지가 가진 것보다 많이 셀 수는 "
        "없습니다), 같으면 가장 작은 캔버스, 그래도 같으면 목록의 앞에 있는 것을 고릅니다.",
    ),
    card=Card(difficulty=3, importance=4, minutes=12),
    answer=my_canvas,
    cases=lambda: [
        (480, 640, list(LLAVA_NEXT_PINPOINTS)),
        (720, 1280, list(LLAVA_NEXT_PINPOINTS)),
        (300, 900, list(LLAVA_NEXT_PINPOINTS)),
        (900, 300, list(LLAVA_NEXT_PINPOINTS)),
        (300, 300, list(LLAVA_NEXT_PINPOINTS)),
        (200, 250, [(672, 672), (1008, 336), (672, 336), (336, 672)]),
    ],
    mistakes=(
        Mistake(
            lambda height, width, canvases: min(canvases, key=lambda c: abs(c[1] / c[0] - width / height)),
            "You chose the canvas of the nearest shape; what counts is how many pixels of the image it can show.",
            "모양이 가장 비슷한 캔버스를 골랐습니다. 이미지의 픽셀을 얼마나 보여 주는지가 기준입니다.",
        ),
        Mistake(
            lambda height, width, canvases: most(turned, height, width, canvases),
            "Height and width are swapped: a canvas here is (height, width).",
            "높이와 너비가 바뀌었습니다. 여기서 캔버스는 (높이, 너비)입니다.",
        ),
        Mistake(
            lambda height, width, canvases: most(fitted, height, width, canvases),
            "Enlarging shows no more than there is: count at most height x width pixels.",
            "키운다고 더 보이는 것은 아닙니다. 많아야 height x width픽셀만 세세요.",
        ),
        Mistake(
            lambda height, width, canvases: max(canvases, key=lambda c: min(fitted(height, width, c), height * width)),
            "Several canvases show the same: among them take the smallest.",
            "보여 주는 픽셀이 같은 캔버스가 여럿이면 가장 작은 것을 고르세요.",
        ),
        Mistake(
            lambda height, width, canvases: my_canvas(height, width, canvases[::-1]),
            "Among equals you took the last in the list: the first one counts.",
            "같은 것 가운데 목록의 마지막을 골랐습니다. 앞에 있는 것을 골라야 합니다.",
        ),
    ),
    hint_1=Text(
        "How large does the image become on a canvas, and how many of its own pixels is that?",
        "이미지를 캔버스에 올리면 얼마나 커지며, 그것은 원래 픽셀 몇 개에 해당합니까?",
    ),
    hint_2=Text(
        "scale = min of the two ratios; compare (shown, -area); `max` keeps the first of equals.",
        "scale은 두 비율 가운데 작은 것입니다. (보이는 픽셀, -넓이)를 비교하세요. `max`는 같은 것 가운데 첫 번째를 "
        "남깁니다.",
    ),
    why=Text(
        "`select_best_resolution` of both official codes, with transformers' reading (height, width).",
        "두 공식 코드의 `select_best_resolution`이며, transformers처럼 (높이, 너비)로 읽었습니다.",
    ),
)


def my_image_tokens(height, width, rows, columns, side):
    down, across = rows * side, columns * side  # patches of the canvas
    if width * down > across * height:  # the image fills the width: padding above and below
        down -= 2 * ((down - height * across // width) // 2)
    else:
        across -= 2 * ((across - width * down // height) // 2)
    return side**2 + down * (across + 1)  # the overview, then rows that end in a newline


def kept(height, width, rows, columns, side):
    """Rows and columns of patches that remain of the canvas."""
    down, across = rows * side, columns * side
    if width * down > across * height:
        return down - 2 * ((down - height * across // width) // 2), across
    return down, across - 2 * ((across - width * down // height) // 2)


def covered_only(height, width, rows, columns, side):
    down, across = rows * side, columns * side
    if width * down > across * height:
        down = height * across // width
    else:
        across = width * down // height
    return side**2 + down * (across + 1)


def count_by(formula):
    """The mistake of counting with `formula(rows kept, columns kept, side)`."""
    return lambda *arguments: formula(*kept(*arguments), arguments[-1])


image_tokens = Write(
    id="03.image_tokens",
    title=Text("the AnyRes count", "AnyRes 토큰 수"),
    task=Text(
        "An image of `height` x `width` pixels is shown on `rows` x `columns` tiles of `side` x `side` patches each. "
        "Count its tokens: the overview, then the map of all tiles without padding, each row ended by a newline. The "
        "image covers floor(height x columns of the map / width) rows of the map where it fills the width (else "
        "columns, likewise). Of the rest, half, rounded down, is cut off on each side.",
        "`height` x `width`픽셀 이미지를 한 변의 패치가 `side`개인 타일 `rows` x `columns`개에 올립니다. 토큰 수를 "
        "구하세요. 먼저 개요가 오고, 그다음 타일 전체를 이어 붙인 지도가 패딩 없이 옵니다. 지도의 줄마다 newline이 "
        "하나 붙습니다. 이미지가 너비를 채우면 지도의 floor(height x 지도의 열 / width)행을 덮고, 아니면 열을 똑같이 "
        "계산합니다. 나머지의 절반을 내림하여 양쪽에서 잘라 냅니다.",
    ),
    card=Card(difficulty=4, importance=4, minutes=15),
    answer=my_image_tokens,
    cases=lambda: [
        (480, 640, 2, 2, 24),
        (640, 480, 2, 2, 24),
        (720, 1280, 2, 2, 24),
        (500, 500, 2, 2, 24),
        (300, 900, 1, 3, 24),
        (70, 192, 1, 2, 8),
    ],
    mistakes=(
        Mistake(
            count_by(lambda down, across, side: down * (across + 1)),
            "The overview comes first: side x side more tokens.",
            "먼저 개요가 있습니다. side x side개를 더하세요.",
        ),
        Mistake(
            count_by(lambda down, across, side: side**2 + down * across),
            "Each row of the map ends in a newline, which is a token.",
            "지도의 줄마다 newline이 붙고, 그것도 토큰입니다.",
        ),
        Mistake(
            lambda height, width, rows, columns, side: side**2 + rows * side * (columns * side + 1),
            "The padding is still in: cut off the rows (or columns) that show nothing.",
            "패딩이 남아 있습니다. 아무것도 보이지 않는 행이나 열을 잘라 내세요.",
        ),
        Mistake(
            count_by(lambda down, across, side: side**2 + (down + 1) * across),
            "You added a newline for each column: they end rows.",
            "열마다 newline을 더했습니다. newline은 줄(행)의 끝에 옵니다.",
        ),
        Mistake(
            covered_only,
            "The half is rounded down on each side, so one row (or column) of padding may stay.",
            "양쪽에서 절반을 내림하므로 패딩이 한 줄 남을 수 있습니다.",
        ),
        Mistake(
            count_by(lambda down, across, side: side**2 + 1 + down * (across + 1)),
            "CLS is dropped: the overview has side x side tokens.",
            "CLS는 버립니다. 개요의 토큰은 side x side개입니다.",
        ),
    ),
    hint_1=Text(
        "Which side does the image fill, and how many rows (or columns) of the map does it cover?",
        "이미지는 어느 쪽을 채웁니까? 지도의 행(또는 열)을 몇 개 덮습니까?",
    ),
    hint_2=Text(
        "cut = (rows of the map - covered) // 2; what remains is rows - 2 x cut, each with one newline.",
        "cut = (지도의 행 - 덮은 행) // 2입니다. 남는 행은 행 - 2 x cut이고 줄마다 newline이 하나씩 있습니다.",
    ),
    why=Text(
        "`lib.anyres.anyres_tokens` counts so; 480 x 640 makes 2,340 tokens.",
        "`lib.anyres.anyres_tokens`가 이렇게 셉니다. 480 x 640은 2,340토큰입니다.",
    ),
)

square = Predict(
    id="03.square",
    title=Text("five hundred pixels", "한 변이 500픽셀"),
    task=Text(
        "A square image of 500 x 500 pixels, LLaVA-NeXT's five canvases, tiles of 24 x 24 patches. How many tokens "
        "does it become?",
        "500 x 500픽셀 정사각형 이미지, LLaVA-NeXT의 캔버스 다섯 개, 24 x 24패치 타일입니다. 토큰은 몇 개가 됩니까?",
    ),
    card=Card(difficulty=2, importance=3, minutes=5),
    answer=2928,
    mistakes=(
        Mistake(576, "That is the overview alone.", "개요만 센 값입니다."),
        Mistake(2880, "Five crops, but the newlines are missing.", "크롭 다섯 장은 맞지만 newline이 빠졌습니다."),
        Mistake(2352, "The overview is missing.", "개요가 빠졌습니다."),
        Mistake(2304, "Overview and newlines are missing.", "개요와 newline이 빠졌습니다."),
        Mistake(
            1176,
            "One row of two tiles cannot show 500 pixels of height: 2 x 2 can.",
            "타일 두 개 한 줄로는 높이 500픽셀을 다 보여 줄 수 없습니다. 2 x 2라야 합니다.",
        ),
    ),
    hint_1=Text("Which canvas shows all 250,000 pixels?", "250,000픽셀을 모두 보여 주는 캔버스는 무엇입니까?"),
    hint_2=Text(
        "672 x 672, filled without padding: 48 rows of 48 patches.",
        "패딩 없이 채운 672 x 672입니다. 48패치씩 48줄입니다.",
    ),
    why=Text(
        "576 + 48 x 48 + 48: the most that LLaVA-NeXT's list allows.",
        "576 + 48 x 48 + 48이며, LLaVA-NeXT의 목록에서 나올 수 있는 가장 큰 값입니다.",
    ),
)

tiles = Choose(
    id="03.tiles",
    title=Text("are tiles worth it?", "타일이 값을 합니까?"),
    task=Text(
        "For which of these does AnyRes pay, and why?\n\n- **a** a photo of a long receipt: what did the milk cost?\n"
        "- **b** 16 frames of a traffic camera: which way does the red car turn?\n"
        "- **c** an icon of 64 x 64 pixels on a web page: what colour is it?\n\nbecause\n\n"
        "- **1** in the encoder the tiles see each other, so no cut does harm\n"
        "- **2** more tokens always make a better answer\n"
        "- **3** what is asked is too fine for the overview, and one image leaves room for its tokens",
        "AnyRes가 값을 하는 것은 어느 것입니까? 이유는 무엇입니까?\n\n- **a** 긴 영수증 사진: 우유는 얼마였습니까?\n"
        "- **b** 교통 카메라의 프레임 16장: 빨간 차는 어느 쪽으로 돕니까?\n"
        "- **c** 웹 페이지에 있는 64 x 64픽셀 아이콘: 무슨 색입니까?\n\n이유\n\n"
        "- **1** 비전 타워 안에서 타일끼리 서로 보므로 잘려도 괜찮습니다\n- **2** 토큰이 많을수록 답은 늘 좋아집니다\n"
        "- **3** 묻는 것이 개요로 보기에는 너무 작고, 이미지가 한 장이라 토큰이 들어갈 자리가 있습니다",
    ),
    card=Card(difficulty=2, importance=4, minutes=4),
    answer="a3",
    replies={
        "b": Text(
            "Sixteen tiled frames are some 30,000 tokens, and the question is about time, not detail.",
            "타일로 나눈 프레임 16장은 약 30,000토큰이고, 질문은 세부가 아니라 시간에 관한 것입니다.",
        ),
        "c": Text(
            "All its pixels are in the overview already: tiles only enlarge them.",
            "픽셀은 이미 개요에 모두 있습니다. 타일은 키울 뿐입니다.",
        ),
        "1": Text(
            "The encoder sees each crop alone; only the language model joins them.",
            "비전 타워는 크롭을 하나씩 따로 봅니다. 잇는 것은 언어 모델뿐입니다.",
        ),
        "2": Text(
            "Section 7 shows images for which the tiles add nothing, or cost.",
            "7절에는 타일이 보태는 것이 없거나 오히려 손해인 이미지가 나옵니다.",
        ),
    },
    hint_1=Text("Where is the overview too coarse?", "개요로는 부족한 것이 어느 것입니까?"),
    hint_2=Text("And what would the tokens cost there?", "그리고 거기서는 토큰이 얼마나 듭니까?"),
    why=Text(
        "Tiles buy detail. A video spends the same tokens on more moments: frames take the place of tiles.",
        "타일은 토큰을 써서 세부를 얻습니다. 비디오는 같은 토큰을 더 많은 순간에 씁니다. 프레임이 타일의 자리를 "
        "차지합니다.",
    ),
)

EXERCISES = (canvas, image_tokens, square, tiles)
