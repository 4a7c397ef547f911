"""Who tries a unit, and after how many deaths nobody does."""

import os
from pathlib import Path

import pytest

from pixelwise.cluster.claims import MAX_ATTEMPTS, Attempts, Claim, Claims
from pixelwise.cluster.heartbeat import Heartbeat, Lives, share_clock
from pixelwise.cluster.job import Job
from sleepers import make_job

DEAD = "0123abcd-1-0123abcd"  # of another host, without a file of its own


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make_job(tmp_path, [{}, {}])


def take(job: Job, worker: str, unit: int = 0, late: float | None = None, now: float | None = None) -> Claim | None:
    claims = Claims(job, worker)
    with share_clock(job) as clock:
        now = clock if now is None else now
        return claims.take(unit, claims.attempts(unit, now), now, late)


def test_a_unit_of_a_living_worker_is_left_to_it(job: Job) -> None:
    with Heartbeat(job) as first, Heartbeat(job) as second:
        claim = take(job, first.facts.name)
        assert claim is not None
        assert take(job, second.facts.name) is None
        assert take(job, second.facts.name, unit=1) is not None
        Claims(job, first.facts.name).release(claim)
        assert take(job, second.facts.name) is not None


def test_a_unit_of_a_dead_worker_is_taken_at_once(job: Job) -> None:
    with Heartbeat(job) as living:
        assert take(job, DEAD) is not None
        claim = take(job, living.facts.name)
        assert claim is not None
        assert claim.number == 2


def test_a_late_unit_gets_a_second_worker_and_no_third(job: Job) -> None:
    with Heartbeat(job) as one, Heartbeat(job) as two, Heartbeat(job) as three:
        assert take(job, one.facts.name) is not None
        assert take(job, two.facts.name, late=100.0) is None
        assert take(job, two.facts.name, late=-1.0) is not None
        assert take(job, three.facts.name, late=-1.0) is None


def test_after_some_deaths_nobody_tries_again(job: Job) -> None:
    for number in range(MAX_ATTEMPTS):
        assert not Claims(job, "").attempts(0, 0.0).exhausted
        assert take(job, f"{DEAD}{number}") is not None
    attempts = Claims(job, "").attempts(0, 0.0)
    assert attempts.exhausted
    assert [claim.number for claim in attempts.failed] == [1, 2, 3]


def test_an_error_counts_like_a_death_and_is_kept(job: Job) -> None:
    with Heartbeat(job) as worker:
        claim = take(job, worker.facts.name)
        assert claim is not None
        Claims(job, worker.facts.name).fail(claim, "ValueError: no")
        attempts = Claims(job, "").attempts(0, 0.0)
    assert attempts.going == ()
    assert [claim.error for claim in attempts.failed] == ["ValueError: no"]


def test_of_two_that_claim_at_once_one_wins(job: Job) -> None:
    nothing = Attempts(going=(), failed=())
    with Heartbeat(job) as one, Heartbeat(job) as two:
        won = [Claims(job, worker.facts.name).take(0, nothing, 0.0, None) for worker in (one, two)]
    assert sum(claim is not None for claim in won) == 1


def test_a_torn_claim_counts_as_a_failed_attempt(job: Job) -> None:
    folder = job.folder / "tries" / "000"
    folder.mkdir(parents=True)
    (folder / "000000.1.json").write_text("{", encoding="utf-8")
    (folder / ".000000.2.json.x.part").touch()
    attempts = Claims(job, "").attempts(0, 0.0)
    assert [claim.number for claim in attempts.failed] == [1]


def test_the_units_that_are_computed_now(job: Job) -> None:
    with Heartbeat(job) as worker:
        take(job, worker.facts.name, 1)
        take(job, DEAD, 0)
        with share_clock(job) as now:
            assert [claim.unit for claim in Claims(job, "").going(now)] == [1]


def test_a_worker_without_a_sign_of_life_is_dead_and_one_that_wakes_lives(job: Job) -> None:
    lives = Lives(job)
    with Heartbeat(job, 3, 8) as worker:
        name = worker.facts.name
        assert [(facts.index, facts.of) for facts in lives.alive()] == [(3, 8)]
        now = worker.now()
        assert lives.is_alive(name, now + job.times.stale / 2)
        assert not Lives(job).is_alive(name, now + job.times.stale + 1)
        worker.now()  # wakes
        assert lives.is_alive(name, worker.now())
    assert not lives.is_alive(name, now)
    assert lives.alive() == []


def test_a_process_of_this_machine_that_ended_is_dead_at_once(job: Job) -> None:
    with Heartbeat(job) as worker:
        host = worker.facts.process.partition("-")[0]
        gone = f"{host}-{2**22 + 1}-0123abcd"  # above the largest process number
        (job.folder / "workers" / f"{gone}.json").write_text("{}", encoding="utf-8")
        assert not Lives(job).is_alive(gone, worker.now())


def test_ages_are_those_of_the_file_system(job: Job) -> None:
    """A clock of this machine that is an hour ahead or behind makes nobody old."""
    with Heartbeat(job) as worker:
        path = job.folder / "workers" / f"{worker.facts.name}.json"
        os.utime(path, (1000.0, 1000.0))  # the file system lives in 1970
        assert Lives(job).is_alive(worker.facts.name, 1000.5)


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_a_file_system_that_gives_the_time_of_each_machine(
    job: Job, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """Whoever sees signs of life believes them for a while, and nobody lives for ever because its clock is ahead."""
    here, name = 100.0, "0123abcd-1-0123abcd"  # of another host
    monkeypatch.setattr("pixelwise.cluster.heartbeat.time.monotonic", lambda: here)
    path = job.folder / "workers" / f"{name}.json"
    path.parent.mkdir()
    path.touch()
    lives = Lives(job)
    for sign in (1000.0, 1005.0, 1010.0):
        os.utime(path, (sign, sign))
        alive, here = lives.is_alive(name, sign + skew), here + 5.0
    assert alive
    here += job.times.stale
    assert not lives.is_alive(name, 1010.0 + skew), "no sign for longer than the lease"


def test_a_reader_without_the_right_to_write_calls_nobody_dead(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with Heartbeat(job) as worker:
        monkeypatch.setattr(Path, "touch", lambda self, **_: (_ for _ in ()).throw(PermissionError()))
        assert [facts.name for facts in Lives(job).alive()] == [worker.facts.name]
