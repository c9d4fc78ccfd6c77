"""Exercises of lesson 12: missing shards, averaged gradients, how to share a model, going on with fewer machines."""

import torch

from lib.exercises.base import Card, Choose, Mistake, Predict, Write, noise
from lib.exercises.progress import Text

TITLE = Text("Scale out", "규모 확장")


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
        "만들었든 완성된 샤드의 번호입니다. 이 프로세스가 아직 만들어야 할 샤드의 번호를 차례로 돌려주세요.",
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
            "빠진 샤드만 나누었습니다. 다른 프로세스가 쓰는 동안 저마다 다른 목록을 보므로 두 번 만들거나 아무도 "
            "만들지 않는 샤드가 생깁니다. 전체를 먼저 나누고 이미 있는 것을 빼세요.",
        ),
        Mistake(
            lambda *settings: my_todo(*settings[:-1], []),
            "Those that are there would be made again: leave them out.",
            "이미 있는 샤드를 다시 만들게 됩니다. 빼세요.",
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
    title=Text("one gradient of several", "여러 그래디언트를 하나로"),
    task=Text(
        "Process w computed `gradients[w]`, of `gradients` (W, N): the gradient of the *mean* loss over its "
        "`tokens[w]` answer tokens. Return the gradient of the mean loss over the answer tokens of all processes, "
        "(N,).",
        "프로세스 w는 자기 답 토큰 `tokens[w]`개에 대한 손실 *평균*의 그래디언트 `gradients[w]`를 구했습니다. "
        "`gradients`의 모양은 (W, N)입니다. 모든 프로세스의 답 토큰에 대한 손실 평균의 그래디언트를 (N,) 모양으로 "
        "돌려주세요.",
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
            "단순 평균입니다. 토큰이 적은 프로세스의 토큰이 더 크게 계산됩니다.",
        ),
        Mistake(
            lambda gradients, tokens: gradients.sum(0),
            "That is the plain sum: it grows with the number of processes.",
            "단순 합입니다. 프로세스 수에 따라 커집니다.",
        ),
        Mistake(
            lambda gradients, tokens: tokens @ gradients,
            "That is the gradient of the *sum* over all tokens: divide by their number.",
            "모든 토큰에 대한 *합*의 그래디언트입니다. 토큰의 수로 나누세요.",
        ),
        Mistake(
            lambda gradients, tokens: tokens @ gradients / len(tokens),
            "Divide by the number of all tokens, not of the processes.",
            "프로세스의 수가 아니라 전체 토큰의 수로 나누세요.",
        ),
        Mistake(
            lambda gradients, tokens: tokens @ gradients / tokens.sum() / len(tokens),
            "Divided twice: the weights tokens / tokens.sum() make a mean already.",
            "두 번 나누었습니다. tokens / tokens.sum()을 곱하면 이미 평균입니다.",
        ),
        Mistake(
            lambda gradients, tokens: (1 - tokens / tokens.sum()) @ gradients,
            "The weights are turned round: more tokens, more weight.",
            "가중치가 반대입니다. 토큰이 많은 프로세스일수록 커야 합니다.",
        ),
        Mistake(
            lambda gradients, tokens: gradients * (tokens / tokens.sum())[:, None],
            "Those are each process's parts: add them up.",
            "프로세스마다의 몫입니다. 더하세요.",
        ),
    ),
    hint_1=Text(
        "What is the gradient of the *sum* of a process's losses?",
        "프로세스 하나의 손실 *합*의 그래디언트는 무엇입니까?",
    ),
    hint_2=Text(
        "Weigh each gradient by its share of all tokens, tokens / tokens.sum(), and add.",
        "각 그래디언트에 전체 토큰 가운데 자기 몫인 tokens / tokens.sum()을 곱하고 더합니다.",
    ),
    why=Text(
        "DDP takes the plain mean, so transformers' Trainer divides each process's sum of losses by the tokens per "
        "process.",
        "DDP는 단순 평균을 내므로 transformers의 Trainer는 프로세스마다 손실의 합을 프로세스당 토큰 수로 나눕니다.",
    ),
)

gap = Predict(
    id="12.gap",
    title=Text("how much more a token counts", "토큰 하나가 몇 배로 계산되는가"),
    task=Text(
        "An experiment. Take the 160 `examples` of the lesson in 40 batches of four, in their order. Process 0 gets "
        "examples 0 and 2 of each batch, process 1 gets 1 and 3. With a mean of two means, a token of the share with "
        "fewer answer tokens counts for more. How many times as much, on average over the batches? Then sort the "
        "examples by length and measure again.",
        "실험입니다. 수업의 `examples` 160개를 차례대로 네 개씩 배치 40개로 묶으세요. 배치마다 프로세스 0은 0번과 2번 "
        "샘플을, 프로세스 1은 1번과 3번 샘플을 맡습니다. 두 평균을 다시 평균하면 답 토큰이 적은 쪽의 토큰이 더 크게 "
        "계산됩니다. 배치 평균으로 몇 배입니까? 그다음 샘플을 길이순으로 정렬하고 다시 측정해 보세요.",
    ),
    card=Card(difficulty=2, importance=4, minutes=8),
    answer=1.3227,
    tolerance=0.02,
    mistakes=(
        Mistake(
            1.0649,
            "That is process 0 by process 1, so batches of both kinds cancel: divide the larger by the smaller.",
            "프로세스 0을 프로세스 1로 나누어 서로 상쇄되었습니다. 큰 쪽을 작은 쪽으로 나누세요.",
        ),
        Mistake(
            1.2755,
            "That is the ratio of the sums over all batches: take the ratio in each batch, then the mean.",
            "배치 전체를 더한 값의 비율입니다. 배치마다 비율을 구한 다음 평균하세요.",
        ),
        Mistake(
            1.1957,
            "You gave the first two examples to process 0: it gets 0 and 2.",
            "앞의 두 샘플을 프로세스 0에 주었습니다. 프로세스 0은 0번과 2번을 맡습니다.",
        ),
        Mistake(
            1.0067,
            "That is after sorting by length. Nearly equal shares: a remedy that exchanges nothing. Now as they are.",
            "길이순으로 정렬한 결과입니다. 양쪽이 거의 같아져 아무것도 주고받지 않아도 됩니다. 이제 원래 순서로 "
            "측정하세요.",
        ),
        Mistake(0.3227, "That is the excess: add 1.", "넘는 만큼만 답했습니다. 1을 더하세요."),
    ),
    hint_1=Text(
        "`answer_tokens(batch[0::2])` and `answer_tokens(batch[1::2])` for each batch.",
        "배치마다 `answer_tokens(batch[0::2])`와 `answer_tokens(batch[1::2])`를 구하세요.",
    ),
    hint_2=Text(
        "The mean over 40 batches of the larger number of tokens divided by the smaller.",
        "토큰 수가 큰 쪽을 작은 쪽으로 나눈 값을 배치 40개에서 평균합니다.",
    ),
    why=Text(
        "A third more, and twice as much in the worst batch. Sorted by length it is below 1 %, but then the order is "
        "no longer random. `num_items_in_batch` is exact in any order.",
        "3분의 1만큼 더 크고, 가장 심한 배치에서는 두 배입니다. 길이순으로 정렬하면 1% 미만이지만 순서가 무작위가 "
        "아니게 됩니다. `num_items_in_batch`는 순서와 관계없이 정확합니다.",
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
        "- **1** 스텝마다 프로세스 사이에 주고받는 것이 더 적습니다\n"
        "- **2** 카드 사이에서는 그래디언트만 평균하면 됩니다\n- **3** 가중치 전체가 들어가는 카드가 없습니다",
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
            "그것은 DDP의 방식입니다. 카드마다 무엇을 담아야 하는지 생각하세요.",
        ),
    },
    hint_1=Text("What does one process hold, with each way?", "방식마다 프로세스 하나가 무엇을 가집니까?"),
    hint_2=Text("65 GiB divided by four cards is about 16.", "65 GiB를 카드 네 장으로 나누면 16쯤입니다."),
    why=Text(
        "About 16 GiB of weights a card, and room for activations. In 4 bits (18 GiB) DDP would do, and it is simpler.",
        "카드마다 가중치가 16 GiB쯤이고 활성값의 자리가 남습니다. 4비트(18 GiB)라면 더 단순한 DDP로 됩니다.",
    ),
)


def my_accumulation(examples, batch, machines, cards):
    at_once = batch * machines * cards
    return examples // at_once if examples % at_once == 0 else 0


again = Write(
    id="12.again",
    title=Text("go on with fewer machines", "컴퓨터가 줄어도 이어서 학습하기"),
    task=Text(
        "A run takes `examples` examples in each step. Now there are `machines` machines with `cards` cards each, and "
        "one process per card takes `batch` examples at a time. With which `accumulation` does a step still see "
        "`examples` examples? Return 0 where no whole number fits.",
        "한 스텝에 샘플 `examples`개를 쓰는 학습입니다. 이제 컴퓨터가 `machines`대이고 한 대에 카드가 `cards`장씩 "
        "있습니다. 카드마다 프로세스 하나가 한 번에 샘플 `batch`개를 처리합니다. 한 스텝의 샘플이 그대로 "
        "`examples`개이려면 `accumulation`은 얼마여야 합니까? 맞는 정수가 없으면 0을 돌려주세요.",
    ),
    card=Card(difficulty=2, importance=4, minutes=6),
    answer=my_accumulation,
    cases=lambda: [(96, 1, 3, 8), (32, 1, 3, 8), (96, 2, 4, 4), (16, 4, 1, 1), (8, 1, 2, 8), (48, 2, 3, 8)],
    mistakes=(
        Mistake(
            lambda examples, batch, machines, cards: examples // (batch * machines * cards),
            "You rounded: then a step has fewer examples than before, and `train` refuses. Return 0 there.",
            "반올림했습니다. 그러면 한 스텝의 샘플 수가 전과 달라져 `train`이 거부합니다. 그때는 0을 돌려주세요.",
        ),
        Mistake(
            lambda examples, batch, machines, cards: max(1, my_accumulation(examples, batch, machines, cards)),
            "1 is an accumulation too: where none fits, return 0.",
            "1도 누적 횟수입니다. 맞는 값이 없으면 0을 돌려주세요.",
        ),
        Mistake(
            lambda examples, batch, machines, cards: my_accumulation(examples, batch, machines, 1),
            "Each card has a process: multiply by the cards of a machine.",
            "카드마다 프로세스가 있습니다. 한 대의 카드 수를 곱하세요.",
        ),
        Mistake(
            lambda examples, batch, machines, cards: my_accumulation(examples, 1, machines, cards),
            "A process takes `batch` examples at a time: divide by it too.",
            "프로세스는 한 번에 샘플 `batch`개를 처리합니다. 그 수로도 나누세요.",
        ),
        Mistake(
            lambda examples, batch, machines, cards: my_accumulation(examples, batch, 1, cards),
            "All machines work on the same step: multiply by their number.",
            "모든 컴퓨터가 같은 스텝을 나누어 처리합니다. 컴퓨터 수를 곱하세요.",
        ),
    ),
    hint_1=Text(
        "How many examples do all processes take at once?", "모든 프로세스가 한 번에 처리하는 샘플은 몇 개입니까?"
    ),
    hint_2=Text(
        "examples / (batch x machines x cards), if that is whole.",
        "examples / (batch x machines x cards)가 정수일 때 그 값입니다.",
    ),
    why=Text(
        "96 examples go on with 4, 3, 2 or 1 machines of 8 cards; 32 do not with 3. Choose the product with a loss in "
        "mind.",
        "샘플 96개는 카드 8장짜리 컴퓨터 4, 3, 2, 1대로 이어 갈 수 있지만, 32개는 3대로는 안 됩니다. 컴퓨터를 잃을 "
        "때를 생각하고 곱을 정하세요.",
    ),
)


EXERCISES = (todo, gradient, gap, way, again)
