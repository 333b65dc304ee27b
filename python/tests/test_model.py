"""Random programs, from several threads, against owners in plain Python."""

import concurrent.futures
import threading

import pytest

import tmempool
from model import World

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

NUMBERS = st.integers(0, 300)
STEPS = st.tuples(st.sampled_from(World.VERBS), NUMBERS, NUMBERS)
SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
THREADS = 3


@settings(SLOW, max_examples=120)
@given(st.lists(st.tuples(st.integers(0, THREADS - 1), STEPS), max_size=80))
def test_one_forest_handed_from_thread_to_thread(steps):
    """Each step in a thread of its choice, one after the other, all on the same trees."""
    world = World("handed")
    with concurrent.futures.ThreadPoolExecutor(1) as a, concurrent.futures.ThreadPoolExecutor(1) as b:
        for thread, (verb, x, y) in steps:
            if thread == 0:
                world.step(verb, x, y)
            else:
                (a, b)[thread - 1].submit(world.step, verb, x, y).result(20)
        world.check()
        b.submit(world.end).result(20)


@settings(SLOW, max_examples=120)
@given(st.lists(STEPS, max_size=60))
def test_every_step(steps):
    """The whole forest is looked at after each step."""
    world = World("looked at")
    for step in steps:
        world.step(*step).check()
    world.end()


@settings(SLOW, max_examples=40)
@given(st.lists(st.lists(STEPS, max_size=60), min_size=THREADS, max_size=THREADS))
def test_threads_at_once(programs):
    """Each thread on trees of its own, at the same time; they meet in the library only."""
    start = threading.Barrier(THREADS, timeout=20)

    def run(number):
        world = World(f"thread {number}")
        start.wait()
        for step in programs[number]:
            world.step(*step)
        world.check()
        world.end()

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(run, number) for number in range(THREADS)]:
            done.result(30)


@settings(SLOW, max_examples=30)
@given(st.lists(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=80), min_size=3, max_size=3))
def test_threads_at_once_on_one_tree(programs):
    """Threads make, move, refer to and free the same things. Each sees them whole, or gone; in the
    end there are as many as were made and not freed."""
    root = tmempool.Context("root")
    places = [root.child(str(i)) for i in range(8)]
    allowed = (tmempool.TmempoolError, BufferError, ValueError)

    def run(program):
        for verb, a, b in program:
            item, other = places[a % 8], places[b % 8]
            try:
                if verb % 6 == 0:
                    places[a % 8] = other.child("made")
                elif verb % 6 == 1:
                    with item.bytes(16) as data, data.view() as view:
                        view[a % 16] = 7
                        assert bytes(view).count(7) == 1
                elif verb % 6 == 2:
                    other.steal(item)
                elif verb % 6 == 3:
                    item.bytes(8).reference(root)
                elif verb % 6 == 4 and item.parent != root:
                    item.free()
                else:
                    assert item.total_blocks == len(item.tree().walk()) or item.alive
            except allowed:
                pass

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(run, program) for program in programs]:
            done.result(30)
    tree = root.tree()
    assert tree.total_blocks == root.total_blocks and tree.total_size == root.total_size
    root.free()
    assert not any(place.alive for place in places)
