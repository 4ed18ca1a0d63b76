"""Waiting times of threads that come and go add up to one that only grows."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from rightsizer.hosts.run_delay import RunDelay
from rightsizer.hosts.tree import run_delays_ns

S = 1_000_000_000


def test_the_waits_of_all_threads_add_up():
    delay = RunDelay()
    assert delay.add({1: 2 * S, 2: 3 * S}) == 5.0
    assert delay.add({1: 3 * S, 2: 5 * S}) == 8.0


def test_a_thread_that_ended_stays_counted_and_a_new_one_is_added_whole():
    delay = RunDelay()
    assert delay.add({1: 2 * S, 2: 3 * S}) == 5.0
    assert delay.add({1: 2 * S}) == 5.0
    assert delay.add({1: 2 * S, 3: 4 * S}) == 9.0


def test_another_thread_with_the_number_of_an_ended_one_never_takes_from_the_sum():
    delay = RunDelay()
    assert delay.add({1: 5 * S}) == 5.0
    assert delay.add({1: 1 * S}) == 6.0


def test_a_thread_that_some_readings_missed_is_not_counted_twice():
    delay = RunDelay()
    assert delay.add({1: 5 * S, 2: 1 * S}) == 6.0
    for _ in range(3):
        assert delay.add({2: 1 * S}) == 6.0
    assert delay.add({1: 6 * S, 2: 1 * S}) == 7.0


def test_a_kernel_that_never_counts_tells_nothing():
    delay = RunDelay()
    assert delay.add({}) is None
    assert delay.read([2**22 + 1]) is None


def test_a_tree_that_is_gone_keeps_what_it_had_waited():
    delay = RunDelay()
    delay.add({1: 5 * S})
    assert delay.add({}) == 5.0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own counts")
def test_each_thread_of_a_process_is_told_once_it_has_run():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        told = run_delays_ns(os.getpid())
    finally:
        done.set()
        thread.join()
    assert {os.getpid(), thread.native_id} <= told.keys()
    assert all(ns >= 0 for ns in told.values())
