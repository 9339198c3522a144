"""The simulation keeps to what is known of queues."""

import numpy as np
import pytest

from benchmarks.simulate import (
    DAY_SECONDS,
    Assumptions,
    Scaler,
    Simulation,
    daily,
    measured_cpu_speed,
    spike,
)

ASSUMED = Assumptions(speed=60.0)


def run(load: float, replicas: int = 1, songs: int = 3000, scaler: Scaler | None = None):
    rate = replicas * ASSUMED.songs_an_hour(load) / 3600
    simulation = Simulation(ASSUMED, scaler or Scaler(replicas, replicas), seed=7)
    return simulation.run(spike(rate, 1, 0, 0), rate, songs / rate)


@pytest.mark.parametrize("load", [0.3, 0.7])
@pytest.mark.parametrize("replicas", [1, 4])
def test_separators_are_busy_as_much_as_they_are_asked_to(load, replicas):
    outcome = run(load, replicas)
    assert outcome.busy_seconds / outcome.replica_seconds == pytest.approx(load, rel=0.06)


def test_every_song_leaves_and_none_faster_than_it_can_be_computed():
    outcome = run(0.7)
    assert 2800 < len(outcome.songs) < 3200
    for song in outcome.songs:
        assert song.arrived <= song.began <= song.left
        assert song.left - song.began >= song.seconds / ASSUMED.speed - 1e-6


def test_the_work_done_is_the_music_that_came():
    outcome = run(0.7)
    music = sum(song.seconds for song in outcome.songs)
    assert outcome.busy_seconds * ASSUMED.speed == pytest.approx(music, rel=1e-6)


def test_who_waits_for_few_waits_little_and_more_where_there_is_more_to_do():
    waits = [float(run(load).waits().mean()) for load in (0.3, 0.7, 0.95)]
    assert waits == sorted(waits)
    assert waits[0] < 0.5
    assert waits[2] > 5


def test_the_same_seed_gives_the_same_day():
    first, second = run(0.7), run(0.7)
    assert [song.left for song in first.songs] == [song.left for song in second.songs]


def test_separators_come_in_a_spike_after_the_time_of_a_start_and_go_again():
    one = ASSUMED.songs_an_hour() / 3600
    outcome = Simulation(ASSUMED, Scaler(2, 8), seed=3).run(
        spike(0.8 * one, 6.0, 1800, 2700), 4.8 * one, 7200
    )
    counts = [count for _, count in outcome.replicas]
    assert counts[0] == 2
    assert 4 <= max(counts) <= 8
    assert counts[-1] < max(counts)
    grown = next(at for at, count in outcome.replicas if count > 3)
    assert grown >= 1800 + ASSUMED.start_seconds


def test_a_day_has_its_most_at_eight_in_the_evening():
    rate = daily(1.0)
    times = np.linspace(0, DAY_SECONDS, 97)
    values = [rate(float(at)) for at in times]
    assert max(values) == pytest.approx(1.0)
    assert times[int(np.argmax(values))] / 3600 == 20
    assert min(values) == pytest.approx(0.1)


def test_the_speed_of_a_processor_is_what_was_measured():
    assert 1 < measured_cpu_speed() < 20
