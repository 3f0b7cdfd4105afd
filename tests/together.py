"""Several real processes that work on one thing, as torchrun starts them."""

import multiprocessing
import os
import socket
import traceback

import torch


def processes(count, work, *arguments):
    """What a function returned in each of some processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["atlpa.training", "torch.distributed"])
    answers = context.SimpleQueue()
    started = [
        context.Process(target=_one, args=(answers, rank, count, port, work, arguments)) for rank in range(count)
    ]
    for process in started:
        process.start()
    told = dict(answers.get() for _ in started)
    for process in started:
        process.join()
    failed = [value for value in told.values() if isinstance(value, str)]
    assert not failed, failed[0]
    return [told[rank] for rank in range(count)]


def _one(answers, rank, count, port, work, arguments):
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        answers.put((rank, work(*arguments)))
    except BaseException:
        answers.put((rank, traceback.format_exc()))
