"""Sweeps on a Dask cluster: the results of one process, whoever is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dmoa.errors import InvariantError, ScenarioError
from dmoa.scenario import load
from dmoa.study import cluster as dask_cluster
from dmoa.study import sweeps
from dmoa.study.cluster import Cluster, differences, versions, work_on_worker
from dmoa.study.store import read_store
from dmoa.study.sweeps import sweep
from dmoa.study.tidy import export_csv
from dmoa.study.units import PoolError
from tests.study import clusters
from tests.study.sweeping import content, finished_at
from tests.study.test_pool import fail

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
pytestmark = pytest.mark.cluster

RING = load("ring", ["run.horizon_s=400", "run.replications=2"])
GRID: dict[str, list] = {"plan.layers": [0, 1], "run.seed": [*range(20)]}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the store of the same sweep in one process."""
    store = tmp_path_factory.mktemp("alone") / "alone.db"
    sweep(RING, GRID, store=store, workers=1)
    return store


@pytest.fixture
def cluster(base_port: int, tmp_path: Path) -> Iterator[clusters.Cluster]:
    with clusters.running(base_port, tmp_path, clusters.WORKER, clusters.WORKER) as processes:
        yield processes


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "sweep.db"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "ANSWER_S", 2.0)
    monkeypatch.setattr(dask_cluster, "LOOK_S", 0.1)


def once(action: Callable[[], object]) -> Callable[..., None]:
    """Make a report of progress that acts when the first points are finished."""
    acted: list[int] = []

    def report(done: int, *_: object) -> None:
        if done and not acted:
            acted.append(done)
            action()

    return report


# --- the same results -----------------------------------------------------------------------


def test_one_process_two_processes_and_a_cluster_write_the_same(cluster, alone, store, tmp_path):
    both = tmp_path / "both.db"
    sweep(RING, GRID, store=both, workers=2)
    result = sweep(RING, GRID, store=store, scheduler=cluster.address)
    assert (result.finished, result.failed, result.resumed) == (40, 0, 0)
    assert content(alone) == content(both) == content(store)
    tables = [tmp_path / f"{name}.csv" for name in ("alone", "both", "cluster")]
    for written, table in zip((alone, both, store), tables, strict=True):
        export_csv(written, table)
    assert len({table.read_bytes() for table in tables}) == 1


def test_workers_without_a_point_of_their_own_share_its_replications(
    cluster, store, tmp_path, monkeypatch
):
    monkeypatch.setattr("dmoa.study.simulation.POOL_TASKS_MIN", {"simpy": 0, "compiled": 0})
    many = load("ring", ["run.horizon_s=100", "run.replications=6"])
    alone = sweep(many, {"run.seed": [5]}, store=tmp_path / "alone.db", workers=1)
    shared: list[str] = []

    class Recorded(Cluster):
        def run(self, work, items):
            shared.append(work.__name__)
            return super().run(work, items)

    monkeypatch.setattr(sweeps, "Cluster", Recorded)
    result = sweep(many, {"run.seed": [5]}, store=store, scheduler=cluster.address)
    assert shared == ["replicate"]
    assert result.points == alone.points


def test_a_point_that_does_not_fit_fails_alone(cluster, store):
    grid: dict[str, list] = {"overlay.topology": ["random-regular"], "overlay.degree": [3, 20, 5]}
    result = sweep(RING, grid, store=store, scheduler=cluster.address)
    assert (result.finished, result.failed) == (2, 1)
    assert "20" in result.points[1]["error"]


def test_an_error_in_a_worker_arrives_whole_and_what_was_finished_before_it(cluster):
    with Cluster(cluster.address) as pool, pytest.raises(InvariantError) as caught:
        list(pool.run(fail, ["bug"]))
    assert (caught.value.problem, caught.value.story) == ("it broke", ("first", "then"))


# --- whoever is killed ----------------------------------------------------------------------


def test_the_points_of_a_killed_worker_are_run_again(cluster, alone, store):
    lost: list[str] = []

    def kill_a_busy_one() -> None:
        with distributed.Client(cluster.address, set_as_default=False) as client:
            numbers = client.run(os.getpid)
            lost.extend(address for address, units in client.processing().items() if units)
            os.kill(numbers[lost[0]], signal.SIGKILL)

    result = sweep(RING, GRID, store=store, scheduler=cluster.address,
                   progress=once(kill_a_busy_one))  # fmt: skip
    assert lost
    assert (result.finished, result.failed) == (40, 0)
    assert content(store) == content(alone)


def sweeping(cluster: clusters.Cluster, store: Path) -> subprocess.Popen:
    """Sweep as a user does, and give the process when it has finished the first points."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dmoa", "sweep", "ring", "--horizon", "400", "--replications", "2",
         "--grid", "plan.layers=0,1", "--grid", "run.seed=0:19:20", "--store", str(store),
         "--scheduler", cluster.address],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not rows(store):
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
    return process


def rows(store: Path) -> int:
    with suppress(ScenarioError):
        return len(read_store(store).rows)
    return 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_after_the_end_of_the_coordinator_nothing_is_missing_and_nothing_done_twice(
    cluster, alone, store, number, code
):
    process = sweeping(cluster, store)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    before = finished_at(store)
    assert 1 <= len(before) < 40
    assert_nothing_is_in_flight(cluster)
    result = sweep(RING, GRID, store=store, scheduler=cluster.address)
    assert (result.resumed, result.finished, result.total) == (len(before), 40, 40)
    assert before.items() <= finished_at(store).items()
    assert content(store) == content(alone)


def assert_nothing_is_in_flight(cluster: clusters.Cluster) -> None:
    """Wait until the scheduler has dropped what nobody waits for; a test that hangs here failed."""
    with distributed.Client(cluster.address, set_as_default=False) as client:
        while any(client.processing().values()):
            pass


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_scheduler_ends_the_sweep_in_time_and_what_is_finished_stays(
    cluster, alone, store, number
):
    with pytest.raises(PoolError, match=r"was lost: .* sweep again to go on") as caught:
        sweep(RING, GRID, store=store, scheduler=cluster.address,
              progress=once(lambda: cluster.scheduler.send_signal(number)))  # fmt: skip
    assert caught.value.exit_code == 1
    assert str(store) in str(caught.value)
    kept = rows(store)
    assert 1 <= kept < 40
    assert sweep(RING, GRID, store=store, workers=1).resumed == kept
    assert content(store) == content(alone)


def test_a_scheduler_that_comes_back_is_joined_again(cluster, alone, store):
    def restart() -> None:
        cluster.stop()
        cluster.start_scheduler()
        cluster.add_worker()

    result = sweep(RING, GRID, store=store, scheduler=cluster.address, progress=once(restart))
    assert result.finished == 40
    assert content(store) == content(alone)


@pytest.mark.usefixtures("impatient")
def test_a_cluster_whose_workers_are_gone_is_not_waited_for_without_end(
    cluster, store, monkeypatch
):
    def kill_all() -> None:
        monkeypatch.setattr(dask_cluster, "WORKERS_S", 0.1)
        for worker in cluster.workers:
            worker.kill()

    with pytest.raises(PoolError, match="has had no workers for"):
        sweep(RING, GRID, store=store, scheduler=cluster.address, progress=once(kill_all))
    assert 1 <= rows(store) < 40


def test_a_point_that_kills_its_workers_ends_the_sweep(cluster):
    with (
        Cluster(cluster.address) as pool,
        pytest.raises(PoolError, match="2 workers were lost over the same points"),
    ):
        list(pool.run(os._exit, [1]))


# --- refused --------------------------------------------------------------------------------


def test_a_worker_of_another_version_is_refused_by_name(base_port, tmp_path, store):
    with (
        clusters.running(
            base_port, tmp_path, clusters.WORKER, clusters.OF_ANOTHER_VERSION
        ) as cluster,
        pytest.raises(ScenarioError, match="would give other results") as caught,
    ):
        sweep(RING, GRID, store=store, scheduler=cluster.address)
    assert "dmoa 99.0 there and 0.1.0 here" in caught.value.problem
    assert caught.value.problem.count("tcp://127.0.0.1:") == 1
    assert rows(store) == 0


def test_a_worker_that_comes_later_is_asked_with_its_first_unit(monkeypatch):
    class Worker:
        address = "tcp://10.0.0.7:40000"

    monkeypatch.setattr(distributed, "get_worker", Worker)
    with pytest.raises(ScenarioError, match=r"tcp://10\.0\.0\.7:40000 \(numpy .* there and 1\.0"):
        work_on_worker({**versions(), "numpy": "1.0"}, b"not even read")


def test_what_is_missing_there_differs():
    assert differences({}, {"dmoa": "0.1.0"}) == "dmoa none there and 0.1.0 here"


@pytest.fixture
def mute() -> Iterator[str]:
    """Give the address of a server that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.usefixtures("impatient")
def test_a_scheduler_that_is_not_there_is_said_in_time(mute, store, base_port):
    for address in (mute, f"tcp://127.0.0.1:{base_port}"):
        with pytest.raises(ScenarioError, match="no answer in 2 s") as caught:
            sweep(RING, GRID, store=store, scheduler=address)
        assert (caught.value.path, caught.value.given) == ("scheduler", address)
        assert "dask scheduler" in caught.value.remedy


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("carrier-pigeon://loft", "unknown address scheme"),
        ("tcp://127.0.0.1", "missing port"),
        ("tls://127.0.0.1:8786", "TLS"),
        ("", "cannot be reached"),
    ],
)
def test_an_address_that_is_none_is_refused(store, address, problem):
    with pytest.raises(ScenarioError, match=problem):
        sweep(RING, GRID, store=store, scheduler=address)


def test_dask_that_is_told_to_encrypt_does_not_do_without(store):
    with (
        dask.config.set({"distributed.comm.require-encryption": True}),
        pytest.raises(ScenarioError, match="encryption required by Dask configuration"),
    ):
        sweep(RING, GRID, store=store, scheduler="tcp://127.0.0.1:8786")


def test_a_worker_is_not_taken_for_a_scheduler(cluster, store):
    with distributed.Client(cluster.address, set_as_default=False) as client:
        worker = next(iter(client.nthreads()))
    with pytest.raises(ScenarioError, match="is a Dask Worker, not a scheduler"):
        sweep(RING, GRID, store=store, scheduler=worker)


@pytest.mark.usefixtures("impatient")
def test_a_cluster_without_workers_says_that_it_waits(base_port, tmp_path, store, monkeypatch):
    monkeypatch.setattr(dask_cluster, "WORKERS_S", 0.2)
    with (
        clusters.running(base_port, tmp_path) as cluster,
        warnings.catch_warnings(record=True) as noted,
    ):
        warnings.simplefilter("always")
        with pytest.raises(PoolError, match="has had no workers"):
            sweep(RING, GRID, store=store, scheduler=cluster.address)
    assert any("has no workers yet; waiting" in str(note.message) for note in noted)


def test_without_dask_it_says_what_to_install(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ScenarioError, match="Dask, which is not installed") as caught:
        sweep(RING, GRID, store=store, scheduler="tcp://127.0.0.1:8786")
    assert caught.value.remedy == 'pip install "dmoa[dask]"'


def test_a_scheduler_has_its_own_workers(store):
    with pytest.raises(ScenarioError, match="are those of the scheduler"):
        sweep(RING, GRID, store=store, workers=2, scheduler="tcp://127.0.0.1:8786")


@pytest.mark.usefixtures("impatient")
def test_what_is_finished_needs_no_cluster(alone):
    assert sweep(RING, GRID, store=alone, scheduler="tcp://127.0.0.1:1").resumed == 40
