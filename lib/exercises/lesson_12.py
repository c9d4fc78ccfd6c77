"""Exercises of lesson 12: clips and shards of a process, averaged gradients, how to share a model, hours of writing."""

import numpy as np
import torch

from lib.exercises.base import Card, Choose, Mistake, Write, noise
from lib.exercises.progress import Text

TITLE = Text("Scale out", "규모 확장")


def my_clips(clips, rank, world):
    return list(range(rank, clips, world))


def padded(clips, rank, world):
    """Equal numbers for all: the last processes take the first clips again."""
    return [number % clips for number in range(rank, -(-clips // world) * world, world)]


split = Write(
    id="12.split",
    title=Text("each clip once", "클립마다 한 번씩"),
    task=Text(
        "The clips are numbered 0 to `clips` - 1, the processes 0 to `world` - 1. Return the numbers that process "
        "`rank` takes: `rank`, `rank + world`, and so on. All processes together take each clip exactly once.",
        "클립의 번호는 0부터 `clips` - 1까지, 프로세스의 번호는 0부터 `world` - 1까지입니다. 프로세스 `rank`가 맡는 "
        "클립의 번호 `rank`, `rank + world`, ...를 돌려주십시오. 모든 프로세스를 합하면 클립마다 꼭 한 번씩 맡습니다.",
    ),
    card=Card(difficulty=1, importance=5, minutes=4),
    answer=my_clips,
    cases=lambda: [(10, 1, 3), (10, 0, 3), (7, 1, 2), (160, 1, 2), (3, 3, 4), (5, 0, 1)],
    mistakes=(
        Mistake(
            lambda clips, rank, world: range(clips),
            "Every process takes every clip: the work is done `world` times.",
            "모든 프로세스가 모든 클립을 맡습니다. 같은 일을 `world`번 하게 됩니다.",
        ),
        Mistake(
            lambda clips, rank, world: range(0, clips, world),
            "Every process starts at clip 0: start at its rank.",
            "모두 클립 0에서 시작합니다. rank에서 시작하십시오.",
        ),
        Mistake(
            lambda clips, rank, world: range(rank, clips // world * world, world),
            "What is left when `world` does not divide `clips` is lost: processes may differ by one clip.",
            "`clips`가 `world`로 나누어떨어지지 않으면 나머지를 잃습니다. 프로세스마다 하나씩 차이가 나도 됩니다.",
        ),
        Mistake(
            padded,
            "Clips from the start come twice, to make the shares equal: then they count twice.",
            "몫을 같게 하려고 앞쪽 클립을 두 번 넣었습니다. 그러면 그 클립이 두 번 계산됩니다.",
        ),
        Mistake(
            lambda clips, rank, world: np.array_split(range(clips), world)[rank],
            "Those are blocks, one behind the other: take every `world`-th clip.",
            "이어진 덩어리로 나누었습니다. `world`개마다 하나씩 맡기십시오.",
        ),
        Mistake(
            lambda clips, rank, world: range(rank * (clips // world), (rank + 1) * (clips // world)),
            "Those are blocks, and the last clips belong to nobody: take every `world`-th one.",
            "이어진 덩어리이고 마지막 클립은 아무도 맡지 않습니다. `world`개마다 하나씩 맡기십시오.",
        ),
    ),
    hint_1=Text("range takes a start, an end and a step.", "range에는 시작, 끝, 간격을 줄 수 있습니다."),
    hint_2=Text("It starts at rank and steps by world.", "rank에서 시작하여 world씩 건너뜁니다."),
    why=Text(
        "`lib.data.shards.ShardPlan.of` gives out shards so. Nobody has to ask anybody.",
        "`lib.data.shards.ShardPlan.of`가 샤드를 이렇게 나눕니다. 서로 물어볼 필요가 없습니다.",
    ),
)


def my_todo(clips, size, rank, world, there):
    shards = -(-clips // size)  # the last one may be smaller
    return [shard for shard in range(rank, shards, world) if shard not in there]


todo = Write(
    id="12.todo",
    title=Text("what is still to be made", "아직 만들어야 할 샤드"),
    task=Text(
        "`clips` clips lie in shards of `size`, numbered from 0; the last may be smaller. Process `rank` of `world` "
        "makes shards `rank`, `rank + world`, and so on. The run was killed; `there` lists the shards that are "
        "complete, by whomever. Return the numbers of those that this process still has to make, in order.",
        "클립 `clips`개를 `size`개씩 샤드에 담고 0부터 번호를 붙입니다. 마지막 샤드는 작을 수 있습니다. `world`개 "
        "가운데 프로세스 `rank`는 샤드 `rank`, `rank + world`, ...를 만듭니다. 실행이 도중에 끝났고 `there`는 누가 "
        "만들었든 완성된 샤드의 번호입니다. 이 프로세스가 아직 만들어야 할 샤드의 번호를 차례로 돌려주십시오.",
    ),
    card=Card(difficulty=3, importance=5, minutes=8),
    answer=my_todo,
    cases=lambda: [
        (43, 5, 0, 2, [0, 1, 3]),
        (43, 5, 1, 2, [0, 1, 2, 3]),
        (160, 5, 1, 3, [0, 1, 2, 4, 5, 8, 31]),
        (12, 4, 0, 1, [1]),
        (12, 4, 0, 1, [2, 0, 1]),
        (9, 2, 4, 6, []),
    ],
    mistakes=(
        Mistake(
            lambda clips, size, *others: my_todo(clips // size * size, size, *others),
            "The last shard, which is not full, is never made.",
            "다 차지 않은 마지막 샤드가 영영 만들어지지 않습니다.",
        ),
        Mistake(
            lambda clips, size, rank, world, there: my_todo(clips, size, 0, 1, there),
            "That is what is missing in all: two processes would make the same shard.",
            "전체에서 빠진 샤드입니다. 두 프로세스가 같은 샤드를 만들게 됩니다.",
        ),
        Mistake(
            lambda clips, size, rank, world, there: my_todo(clips, size, 0, 1, there)[rank::world],
            "You share out what is missing. While others write, each process sees another list, and shards are made "
            "twice or by nobody. Share out all shards, then leave out those that are there.",
            "빠진 것만 나누었습니다. 다른 프로세스가 쓰는 동안 저마다 다른 목록을 보므로 두 번 만들거나 아무도 만들지 "
            "않는 샤드가 생깁니다. 전체를 먼저 나누고 이미 있는 것을 빼십시오.",
        ),
        Mistake(
            lambda *settings: my_todo(*settings[:-1], []),
            "Those that are there would be made again: leave them out.",
            "이미 있는 샤드를 다시 만들게 됩니다. 빼십시오.",
        ),
        Mistake(
            lambda *settings: [shard for shard in my_todo(*settings[:-1], []) if shard in settings[-1]],
            "Those are the ones that are there already.",
            "그것은 이미 있는 샤드입니다.",
        ),
        Mistake(
            lambda clips, size, *others: my_todo(clips, 1, *others),
            "Those are clips: several lie in one shard.",
            "그것은 클립입니다. 샤드 하나에 클립이 여러 개 들어갑니다.",
        ),
    ),
    hint_1=Text(
        "How many shards are there in all, and which are this process's, whatever is on the disk?",
        "샤드는 모두 몇 개이고, 디스크에 무엇이 있든 이 프로세스의 몫은 어느 것입니까?",
    ),
    hint_2=Text(
        "range(rank, ceil(clips / size), world), without the ones in there.",
        "range(rank, ceil(clips / size), world)에서 there에 있는 것을 뺍니다.",
    ),
    why=Text(
        "`lib.data.shards.extract` passes over what is there. The next run may have another `world`: every shard still "
        "has one maker.",
        "`lib.data.shards.extract`는 이미 있는 것을 건너뜁니다. 다음 실행에서 `world`가 달라져도 샤드마다 만드는 "
        "프로세스는 하나입니다.",
    ),
)


def my_gradient(gradients, tokens):
    weights = tokens / tokens.sum()
    return weights @ gradients


gradient = Write(
    id="12.gradient",
    title=Text("one gradient of several", "여러 기울기를 하나로"),
    task=Text(
        "Process w computed `gradients[w]`, of `gradients` (W, N): the gradient of the *mean* loss over its "
        "`tokens[w]` answer tokens. Return the gradient of the mean loss over the answer tokens of all processes, "
        "(N,).",
        "프로세스 w는 자기 답 토큰 `tokens[w]`개에 대한 손실 *평균*의 기울기 `gradients[w]`를 구했습니다. "
        "`gradients`의 모양은 (W, N)입니다. 모든 프로세스의 답 토큰에 대한 손실 평균의 기울기를 (N,) 모양으로 "
        "돌려주십시오.",
    ),
    card=Card(difficulty=3, importance=5, minutes=8),
    answer=my_gradient,
    cases=lambda: [
        (noise(2, 3), torch.tensor([30.0, 10.0])),
        (noise(4, 5), torch.tensor([12.0, 40.0, 7.0, 25.0])),
        (noise(3, 2), torch.tensor([9.0, 0.0, 33.0])),
        (noise(1, 4), torch.tensor([17.0])),
    ],
    mistakes=(
        Mistake(
            lambda gradients, tokens: gradients.mean(0),
            "A plain mean: a token of a process with few tokens counts for more.",
            "단순 평균입니다. 토큰이 적은 프로세스의 토큰이 더 무겁게 계산됩니다.",
        ),
        Mistake(
            lambda gradients, tokens: gradients.sum(0),
            "That is the plain sum: it grows with the number of processes.",
            "단순 합입니다. 프로세스 수에 따라 커집니다.",
        ),
        Mistake(
            lambda gradients, tokens: tokens @ gradients,
            "That is the gradient of the *sum* over all tokens: divide by their number.",
            "모든 토큰에 대한 *합*의 기울기입니다. 토큰의 수로 나누십시오.",
        ),
        Mistake(
            lambda gradients, tokens: tokens @ gradients / len(tokens),
            "Divide by the number of all tokens, not of the processes.",
            "프로세스의 수가 아니라 전체 토큰의 수로 나누십시오.",
        ),
        Mistake(
            lambda gradients, tokens: tokens @ gradients / tokens.sum() / len(tokens),
            "Divided twice: the weights tokens / tokens.sum() make a mean already.",
            "두 번 나누었습니다. tokens / tokens.sum()을 곱하면 이미 평균입니다.",
        ),
        Mistake(
            lambda gradients, tokens: (1 - tokens / tokens.sum()) @ gradients,
            "The weights are turned round: more tokens, more weight.",
            "무게가 반대입니다. 토큰이 많을수록 무겁습니다.",
        ),
        Mistake(
            lambda gradients, tokens: gradients * (tokens / tokens.sum())[:, None],
            "Those are each process's parts: add them up.",
            "프로세스마다의 몫입니다. 더하십시오.",
        ),
    ),
    hint_1=Text(
        "What is the gradient of the *sum* of a process's losses?", "프로세스 하나의 손실 *합*의 기울기는 무엇입니까?"
    ),
    hint_2=Text(
        "Weigh each gradient by its share of all tokens, tokens / tokens.sum(), and add.",
        "각 기울기에 전체 토큰 가운데 자기 몫인 tokens / tokens.sum()을 곱하고 더합니다.",
    ),
    why=Text(
        "DDP takes the plain mean, so transformers' Trainer divides each process's sum of losses by the tokens per "
        "process.",
        "DDP는 단순 평균을 내므로 transformers의 Trainer는 프로세스마다 손실의 합을 프로세스당 토큰 수로 나눕니다.",
    ),
)

way = Choose(
    id="12.way",
    title=Text("one copy or many", "복사본 하나, 여러 개"),
    task=Text(
        "LoRA on the 34B in 16 bits: 65 GiB of weights. There are four cards of 40 GB. How do you start, and why?\n\n"
        "- **a** DDP\n- **b** one process on one card\n- **c** FSDP2\n\nbecause\n\n"
        "- **1** it exchanges less between the processes in each step\n"
        "- **2** only gradients have to be averaged between the cards\n- **3** no card has room for all of the weights",
        "34B에 16비트로 LoRA를 학습합니다. 가중치만 65 GiB이고 40 GB 카드가 네 장 있습니다. 어떻게 시작하겠습니까? "
        "이유는 무엇입니까?\n\n- **a** DDP\n- **b** 카드 하나에 프로세스 하나\n- **c** FSDP2\n\n이유\n\n"
        "- **1** 단계마다 프로세스 사이에 주고받는 것이 더 적습니다\n- **2** 카드 사이에서는 기울기만 평균하면 됩니다\n"
        "- **3** 가중치 전체가 들어가는 카드가 없습니다",
    ),
    card=Card(difficulty=2, importance=4, minutes=3),
    answer="c3",
    replies={
        "a": Text(
            "With DDP each process holds the whole model, and 65 GiB do not fit 40 GB.",
            "DDP에서는 프로세스마다 모델 전체를 가지므로 65 GiB가 40 GB에 들어가지 않습니다.",
        ),
        "b": Text(
            "One card is too small for it, and three would have nothing to do.",
            "카드 하나로는 모자라고 나머지 세 장은 할 일이 없습니다.",
        ),
        "1": Text(
            "FSDP2 exchanges more: the weights of each layer as well, before it computes.",
            "FSDP2가 더 많이 주고받습니다. 층마다 계산하기 전에 가중치도 주고받습니다.",
        ),
        "2": Text(
            "That is how DDP works. Think of what each card has to hold.",
            "그것은 DDP의 방식입니다. 카드마다 무엇을 담아야 하는지 생각하십시오.",
        ),
    },
    hint_1=Text("What does one process hold, with each way?", "방식마다 프로세스 하나가 무엇을 가집니까?"),
    hint_2=Text("65 GiB divided by four cards is about 16.", "65 GiB를 카드 네 장으로 나누면 16쯤입니다."),
    why=Text(
        "About 16 GiB of weights a card, and room for activations. In 4 bits (18 GiB) DDP would do, and it is simpler.",
        "카드마다 가중치가 16 GiB쯤이고 활성값의 자리가 남습니다. 4비트(18 GiB)라면 더 단순한 DDP로 됩니다.",
    ),
)


def my_hours(clips, batch, answer, weights, cache, speed):
    steps = clips / batch * answer  # one word for each clip of a batch
    return steps * (weights + batch * cache) / speed / 3600


hours = Write(
    id="12.hours",
    title=Text("hours of writing", "답을 쓰는 시간"),
    task=Text(
        "A card writes answers of `answer` tokens for `clips` clips, `batch` of them at a time. A step writes one "
        "token for each clip of the batch; it reads the language model, `weights` bytes, once, and each clip's cache, "
        "`cache` bytes on average, at `speed` bytes a second. Nothing else takes time. How many hours? (`batch` "
        "divides `clips`.)",
        "카드 한 장이 클립 `clips`개의 답을 `batch`개씩 함께 씁니다. 답은 `answer`토큰입니다. 한 단계에 배치의 "
        "클립마다 한 토큰을 쓰는데, 그때마다 언어 모델 `weights`바이트를 한 번, 클립마다의 캐시 평균 `cache`바이트를 "
        "초당 `speed`바이트로 읽습니다. 다른 시간은 들지 않습니다. 몇 시간입니까? (`clips`는 `batch`로 "
        "나누어떨어집니다.)",
    ),
    card=Card(difficulty=3, importance=4, minutes=8),
    answer=my_hours,
    cases=lambda: [
        (900_000, 9, 256, 13.5e9, 2.5e9, 0.93e12),
        (10_000, 1, 932, 3.8e9, 2.9e9, 0.19e12),
        (4_000, 20, 64, 1.0e9, 5.0e7, 2.0e12),
    ],
    mistakes=(
        Mistake(lambda *settings: 3600 * my_hours(*settings), "Those are seconds.", "그것은 초입니다."),
        Mistake(
            lambda clips, batch, *others: my_hours(clips / batch, 1, *others),
            "A step reads the caches of all clips in the batch, not of one.",
            "한 단계에 클립 하나가 아니라 배치에 있는 모든 클립의 캐시를 읽습니다.",
        ),
        Mistake(
            lambda clips, batch, answer, weights, *others: my_hours(clips, batch, answer, batch * weights, *others),
            "You read the weights anew for each clip: once serves the whole batch, which is what a batch is for.",
            "클립마다 가중치를 새로 읽었습니다. 한 번 읽어 배치 전체에 씁니다. 배치를 쓰는 이유가 그것입니다.",
        ),
        Mistake(
            lambda clips, batch, *others: batch * my_hours(clips, batch, *others),
            "There are clips / batch rounds, not as many as clips: a batch writes together.",
            "클립 수만큼이 아니라 clips / batch번 돕니다. 배치는 함께 씁니다.",
        ),
        Mistake(
            lambda clips, batch, answer, *others: my_hours(clips, batch, 1, *others),
            "Each token of the answer is a step, and reads everything again.",
            "답의 토큰마다 한 단계이고, 그때마다 전부 다시 읽습니다.",
        ),
        Mistake(
            lambda clips, batch, answer, weights, cache, speed: my_hours(clips, batch, answer, weights, 0, speed),
            "The caches are missing: they are read too.",
            "캐시가 빠졌습니다. 캐시도 읽습니다.",
        ),
    ),
    hint_1=Text(
        "How many steps, and how many bytes does one read?", "단계는 몇 번이고, 한 단계에 몇 바이트를 읽습니까?"
    ),
    hint_2=Text(
        "clips / batch x answer steps; each reads weights + batch x cache bytes.",
        "단계는 clips / batch x answer번이고, 한 단계에 weights + batch x cache바이트를 읽습니다.",
    ),
    why=Text(
        "`lib.budget.jobs.Workload.decoding_hours`: the memory that is left for a batch decides how often the weights "
        "are read.",
        "`lib.budget.jobs.Workload.decoding_hours`입니다. 배치에 남는 메모리가 가중치를 몇 번 읽을지 정합니다.",
    ),
)

EXERCISES = (split, todo, gradient, way, hours)
