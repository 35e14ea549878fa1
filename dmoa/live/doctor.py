"""What is missing on this machine for a live cluster, and the one command that mends it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from dmoa.errors import ScenarioError
from dmoa.live import pid_files
from dmoa.live.cluster import Cluster, ClusterNode, cluster_file, read_cluster
from dmoa.live.engines.spec import EngineSpec
from dmoa.live.machine import Machine
from dmoa.live.models import KNOWN, find_model

State = Literal["ok", "warn", "missing"]

PYTHON_MIN = "3.11"
#: A node needs so much beside its model, for Python, caches and the model's context.
NODE_BYTES = 300 << 20
DISK_LOW_BYTES, DISK_NONE_BYTES = 1 << 30, 100 << 20
#: A wall clock before this project began is wrong.
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
CLOCK_DRIFT_MAX_S = 0.02

_EXTRA = "pip install 'dmoa[llama]'"
_HTTP = {
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "sse_starlette": "sse-starlette",
    "httpx": "httpx",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. ``missing`` keeps a live cluster from running."""

    check: str
    state: State
    found: str
    remedy: str = ""


class Patient(msgspec.Struct, frozen=True):
    """What is to run here: the nodes of a cluster, or one node as `dmoa up` would make it."""

    cluster: Cluster | None
    engines: tuple[EngineSpec, ...]

    @property
    def llama(self) -> bool:
        """Whether a node has its language model in its own process."""
        return any(engine.kind == "llama" for engine in self.engines)


def examine(folder: Path | None, machine: Machine | None = None) -> list[Finding]:
    """Look at this machine, and at the cluster of a folder if it holds one.

    Args:
        folder: A cluster's folder; where there is none yet, its disk and the defaults are
            looked at. None is the same for the current folder.
        machine: Answers the questions.
    """
    machine = machine or Machine()
    patient, findings = _patient(folder)
    findings = [
        _python(machine),
        _curve(machine),
        _http(machine),
        *(_llama(machine) if patient.llama else ()),
        *findings,
    ]
    sizes: dict[str, int] = {}
    for engine in _different(patient.engines):
        findings.append(_model(engine, sizes))
    findings += [
        _memory(machine, patient, sum(sizes.values())),
        _disk(machine, folder or Path()),
        _clock(machine),
    ]
    if patient.cluster is not None:
        findings += _ports(machine, patient.cluster)
    return findings


def _patient(folder: Path | None) -> tuple[Patient, list[Finding]]:
    """Read what is to run; what cannot be read is a finding."""
    if folder is None or not cluster_file(folder).exists():
        return Patient(None, (EngineSpec(),)), []
    from dmoa.live.config import read_node  # loads the overlay's library

    try:
        cluster = read_cluster(folder)
    except ScenarioError as error:
        return Patient(None, (EngineSpec(),)), [_broken("cluster", error)]
    engines: list[EngineSpec] = []
    findings = [_key(node) for node in cluster.nodes]
    for node, key in zip(cluster.nodes, list(findings), strict=True):
        try:
            engines.append(read_node(node.config_file).engine)
        except ScenarioError as error:
            # A node cannot be read without its key, which has been told already.
            if key.state == "ok":
                findings.append(_broken(f"node {node.name}", error))
    return Patient(cluster, tuple(engines) or (EngineSpec(),)), findings


def _broken(check: str, error: ScenarioError) -> Finding:
    problem = str(error).removesuffix(f"; {error.remedy}") if error.remedy else str(error)
    return Finding(check=check, state="missing", found=problem, remedy=error.remedy)


def _different(engines: tuple[EngineSpec, ...]) -> Iterator[EngineSpec]:
    """Give each engine with its model once."""
    seen = set()
    for engine in engines:
        key = (engine.kind, engine.model, engine.url)
        if key not in seen:
            seen.add(key)
            yield engine


def _python(machine: Machine) -> Finding:
    found = machine.python()
    new = tuple(map(int, found.split()[0].split(".")[:2])) >= tuple(map(int, PYTHON_MIN.split(".")))
    return Finding(
        check="Python",
        state="ok" if new else "missing",
        found=found,
        remedy="" if new else f"install Python {PYTHON_MIN} or newer",
    )


def _curve(machine: Machine) -> Finding:
    version = machine.version("zmq", "pyzmq")
    if version is None:
        return Finding(
            check="ZeroMQ", state="missing", found="not installed", remedy="pip install pyzmq"
        )
    problem = machine.import_error("zmq; assert zmq.has('curve'), 'built without CURVE'")
    return Finding(
        check="ZeroMQ",
        state="missing" if problem else "ok",
        found=problem or f"pyzmq {version} with CURVE",
        remedy="pip install --force-reinstall --only-binary=:all: pyzmq" if problem else "",
    )


def _http(machine: Machine) -> Finding:
    found = {package: machine.version(module, package) for module, package in _HTTP.items()}
    absent = [package for package, version in found.items() if version is None]
    return Finding(
        check="HTTP",
        state="missing" if absent else "ok",
        found=f"not installed: {', '.join(absent)}"
        if absent
        else ", ".join(f"{package} {version}" for package, version in found.items()),
        remedy=f"pip install {' '.join(absent)}" if absent else "",
    )


def _llama(machine: Machine) -> Iterator[Finding]:
    """Look for llama.cpp, and for what building it takes where it is not installed."""
    version = machine.version("llama_cpp", "llama-cpp-python")
    problem = "not installed" if version is None else machine.import_error("llama_cpp")
    compiler = machine.program("c++", "g++", "clang++")
    cmake = machine.program("cmake")
    needed = bool(problem)
    yield Finding(
        check="compiler",
        state="missing" if needed and compiler is None else "ok",
        found=compiler or ("none" if needed else "none, and none is needed any more"),
        remedy=_compiler_command(machine) if needed and compiler is None else "",
    )
    yield Finding(check="cmake", state="ok", found=cmake or "none; pip brings its own to the build")
    yield Finding(
        check="llama.cpp",
        state="missing" if problem else "ok",
        found=problem or f"llama-cpp-python {version}",
        remedy=_EXTRA if problem else "",
    )


def _compiler_command(machine: Machine) -> str:
    if machine.macos:
        return "xcode-select --install"
    for program, command in (
        ("apt-get", "sudo apt-get install --yes g++"),
        ("dnf", "sudo dnf install --assumeyes gcc-c++"),
        ("zypper", "sudo zypper install gcc-c++"),
        ("pacman", "sudo pacman -S gcc"),
        ("apk", "sudo apk add g++ make"),
    ):
        if machine.program(program) is not None:
            return command
    return "install a C++ compiler with your system's package manager"


def _model(engine: EngineSpec, sizes: dict[str, int]) -> Finding:
    """Look for an engine's model; the size of its file is noted."""
    if engine.kind == "scripted":
        return Finding(
            check="model", state="ok", found="scripted: no language model, texts of a dry run"
        )
    if engine.kind == "openai":
        return Finding(
            check="model",
            state="ok",
            found=f"{engine.model} at {engine.url} (asked when its node starts)",
        )
    try:
        path = find_model(engine.model)
        size = path.stat().st_size
    except ScenarioError as error:
        known = KNOWN.get(engine.model)
        remedy = f"pip install {known.pip}" if known is not None else error.remedy
        return Finding(
            check="model",
            state="missing",
            found=f"{engine.model} is not on this machine ({error.problem})",
            remedy=remedy,
        )
    sizes[engine.model] = size
    return Finding(check="model", state="ok", found=f"{engine.model} ({_size(size)})")


def _memory(machine: Machine, patient: Patient, models_bytes: int) -> Finding:
    """Compare memory with need: nodes share the pages of a model's file, nothing else."""
    total, available = machine.memory_bytes()
    count = max(len(patient.engines), 1)
    need = models_bytes + count * NODE_BYTES
    free = available if available is not None else total
    wants = f"about {_size(need)} for {count} {'node' if count == 1 else 'nodes'}"
    if free is None:
        return Finding(check="memory", state="warn", found=f"unknown; {wants}")
    word = "available" if available is not None else "in all"
    enough = free >= need
    return Finding(
        check="memory",
        state="ok" if enough else "warn",
        found=f"{_size(free)} {word}, {wants}",
        remedy="" if enough else "fewer nodes (`dmoa up --nodes 2`), or a smaller model",
    )


def _disk(machine: Machine, folder: Path) -> Finding:
    free = machine.disk_free_bytes(folder)
    if free is None:
        return Finding(check="disk", state="warn", found=f"unknown for {folder}")
    low = free < DISK_LOW_BYTES
    return Finding(
        check="disk",
        state="missing" if free < DISK_NONE_BYTES else "warn" if low else "ok",
        found=f"{_size(free)} free for {folder.absolute()}",
        remedy="make room, or keep the cluster on another disk with `dmoa up --dir`" if low else "",
    )


def _clock(machine: Machine) -> Finding:
    wall_s, drift_s = machine.clocks()
    moment = datetime.fromtimestamp(wall_s, UTC)
    shown = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    synchronized = machine.clock_synchronized()
    said = {
        "yes": "kept in time by a server",
        "no": "not kept in time by a server",
        "unknown": "whether a server keeps it in time is not known",
    }[synchronized]
    remedy = "sudo sntp -sS time.apple.com" if machine.macos else "sudo timedatectl set-ntp true"
    problem = ""
    if moment < EPOCH:
        problem = f"{shown} cannot be"
    elif drift_s > CLOCK_DRIFT_MAX_S:
        problem = f"the wall clock jumped by {drift_s:.3f} s while it was looked at"
    if problem:
        return Finding(check="clock", state="warn", found=f"{problem}; {said}", remedy=remedy)
    # Deadlines do not need clocks that agree; times in logs and journals are easier to read then.
    return Finding(
        check="clock",
        state="warn" if synchronized == "no" else "ok",
        found=f"{shown}, {said}",
        remedy=remedy if synchronized == "no" else "",
    )


def _ports(machine: Machine, cluster: Cluster) -> Iterator[Finding]:
    """Look at the addresses of a cluster's nodes: free, ours, or somebody else's."""
    for node in cluster.nodes:
        ours = pid_files.holder(node.pid_file) is not None
        texts = [text for text in (node.listen, node.gateway_listen) if text]
        problems = (
            [] if ours else [p for p in (address_problem(machine, text) for text in texts) if p]
        )
        addresses = ", ".join(texts)
        if problems:
            found, port = problems[0]
            yield Finding(
                check=f"ports of {node.name}",
                state="missing",
                found=found,
                remedy=f"see whose it is: lsof -nP -iTCP:{port}",
            )
        else:
            state = "in use by this node, which runs" if ours else "free"
            yield Finding(check=f"ports of {node.name}", state="ok", found=f"{addresses}: {state}")


def address_problem(machine: Machine, text: str) -> tuple[str, str] | None:
    """Say why nothing can listen at an address, and its port; None if something can."""
    host, _, port = text.rpartition("//")[2].rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        return f"{text} is no address (expected host:port)", "0"
    host = {"*": "0.0.0.0"}.get(host, host.strip("[]"))  # noqa: S104 - what the file says
    problem = machine.port_problem(host, int(port)) if int(port) else ""
    return (f"{text} is {problem}", port) if problem else None


def _key(node: ClusterNode) -> Finding:
    """Look at the mode of a node's secret key, without reading the key."""
    path = node.key_file
    check = f"key of {node.name}"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        return Finding(
            check=check,
            state="missing",
            found=f"{path}: {(error.strerror or '').lower()}",
            remedy="`dmoa keys` makes a new pair",
        )
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding(
            check=check,
            state="missing",
            found=f"others can use {path} (mode {mode:04o})",
            remedy=f"chmod 600 {path}",
        )
    return Finding(check=check, state="ok", found=f"{path.name}, mode {mode:04o}")


def _size(count: int) -> str:
    """Write a number of bytes.

    >>> _size(98_000_000), _size(8_200_000_000)
    ('98 MB', '8.2 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
