"""The longest shard first, each to the process that has least to do."""


def entry(seconds, processes):
    lists, loads = [[] for _ in range(processes)], [0.0] * processes
    for number in sorted(range(len(seconds)), key=lambda number: -seconds[number]):
        least = loads.index(min(loads))
        lists[least].append(number)
        loads[least] += seconds[number]
    return lists
