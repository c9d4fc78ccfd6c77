"""Exercises of lesson 03: the canvas of an image, its tokens, and whether their order matters."""

from lib.anyres import LLAVA_NEXT_PINPOINTS
from lib.exercises.base import Card, Mistake, Predict, Write
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
        "image keeps its proportions. The best canvas shows most of the image's pixels (never more than it has). Among "
        "equals take the smallest canvas, and among equals of these the first in the list.",
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
        "구하세요. 토큰은 전체 이미지(overview), 타일을 이어 붙인 특징 맵(패딩 제외) 순서입니다. 특징 맵의 행 끝마다 "
        "newline이 하나씩 붙습니다. 이미지가 너비를 꽉 채우면 특징 맵에서 floor(height x 맵의 열 수 / width)행을 "
        "차지하고, 높이를 꽉 채우면 열에 같은 식을 씁니다. 나머지의 절반을 내림하여 양쪽에서 잘라 냅니다.",
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
            "먼저 전체 이미지(overview)가 있습니다. side x side개를 더하세요.",
        ),
        Mistake(
            count_by(lambda down, across, side: side**2 + down * across),
            "Each row of the map ends in a newline, which is a token.",
            "특징 맵의 행마다 newline이 붙고, 그것도 토큰입니다.",
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
            "CLS는 버립니다. 전체 이미지(overview)의 토큰은 side x side개입니다.",
        ),
    ),
    hint_1=Text(
        "Which side does the image fill, and how many rows (or columns) of the map does it cover?",
        "이미지는 너비와 높이 중 어느 쪽을 꽉 채웁니까? 특징 맵의 행(또는 열)을 몇 개 차지합니까?",
    ),
    hint_2=Text(
        "cut = (rows of the map - covered) // 2; what remains is rows - 2 x cut, each with one newline.",
        "cut = (특징 맵의 행 수 - 차지한 행 수) // 2입니다. 남는 행은 행 수 - 2 x cut이고 행마다 newline이 하나씩 "
        "있습니다.",
    ),
    why=Text(
        "`lib.anyres.anyres_tokens` counts so; 480 x 640 makes 2,340 tokens.",
        "`lib.anyres.anyres_tokens`가 이렇게 셉니다. 480 x 640은 2,340토큰입니다.",
    ),
)

columns = Predict(
    id="03.columns",
    title=Text("read the map by columns", "특징 맵을 열 순서로 읽기"),
    task=Text(
        "An experiment. In section 7 the map of all tiles has 16 rows of 16 patches and a newline. Add a way to "
        '`looks` that keeps the overview and reads the map column by column. Ask about the images "far, cut". By how '
        "much does the share of codes fall against AnyRes? (A number between 0 and 1, to 10 %.)",
        "실험입니다. 7절에서 타일 전체의 특징 맵은 패치 16개와 newline 하나로 된 행이 16개입니다. 전체 "
        '이미지(overview)는 그대로 두고 특징 맵을 열 순서로 읽는 방식을 `looks`에 추가하세요. "far, cut" 이미지에 '
        "대해 물으면 코드를 맞힌 비율이 AnyRes보다 얼마나 떨어집니까? (0과 1 사이의 값, 오차 10%)",
    ),
    card=Card(difficulty=3, importance=4, minutes=10),
    answer=0.86,
    tolerance=0.1,
    mistakes=(
        Mistake(
            0,
            "Then the map is still read by rows: turn it before you flatten it.",
            "아직 행 순서로 읽고 있습니다. 펼치기 전에 행과 열을 바꾸세요.",
        ),
        Mistake(
            0.3,
            "That is tile by tile, the crops as frames. Columns run through two tiles.",
            "타일을 하나씩 읽은 값입니다. 열은 타일 두 개를 지나갑니다.",
        ),
        Mistake(
            0.14,
            "That is the share that is left; asked is how far it falls.",
            "남은 비율입니다. 얼마나 떨어졌는지 적으세요.",
        ),
        Mistake(86, "As a share, please: 86 % is 0.86.", "0과 1 사이의 값으로 적으세요. 86%는 0.86입니다."),
    ),
    hint_1=Text(
        "The first 64 tokens are the overview; the other 16 x 17 are the map.",
        "처음 64토큰은 전체 이미지(overview)이고 나머지 16 x 17토큰은 특징 맵입니다.",
    ),
    hint_2=Text(
        "`embeds[64:].unflatten(0, (16, 17)).transpose(0, 1).flatten(0, 1)`, then torch.cat.",
        "`embeds[64:].unflatten(0, (16, 17)).transpose(0, 1).flatten(0, 1)`을 쓰고 torch.cat으로 이으세요.",
    ),
    why=Text(
        "From 1.00 by rows to about 0.14: the same tokens in another order. A model reads in the order that it "
        "learned.",
        "행 순서로는 1.00인데 약 0.14로 떨어집니다. 토큰은 같고 순서만 다릅니다. 모델은 배운 순서로만 읽습니다.",
    ),
)

EXERCISES = (canvas, image_tokens, columns)
