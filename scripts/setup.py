"""Makes `.venv` and installs what the panel needs. Standard library only; repeating it takes no time.

`setup.py run` for the panel and its demo, `setup.py test` for the suite as well. As root on a Debian-like system
missing programs are installed with apt-get; otherwise it stops with the exact line to type.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed"

# program → Debian's package; a program is looked for on PATH and in FOLDERS
RUN = {"git": "git", "ssh": "openssh-client", "ssh-agent": "openssh-client", "rsync": "rsync"}
DEMO = {"sshd": "openssh-server", "curl": "curl"}  # curl: the Git hook calls the panel
TEST = {"chromium": "chromium", "postgres": "postgresql", "initdb": "postgresql"}
FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")


class SetupError(Exception):
    """What is wrong, and the line to type."""


def main(goal: str) -> int:
    try:
        programs_ensure(goal)
        venv_ensure()
        packages_ensure("dev" if goal == "test" else "base")
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def programs_ensure(goal: str) -> None:
    wanted = dict(RUN)
    if goal == "test" or os.environ.get("DEMO", "1") != "0":
        wanted |= DEMO
    if goal == "test":
        wanted |= TEST
    missing = [program for program in wanted if not program_find(program)]
    if missing:
        packages = sorted({wanted[program] for program in missing})
        apt_install(packages, f"missing: {', '.join(missing)}")
        if still := [program for program in missing if not program_find(program)]:
            raise SetupError(f"Installed {', '.join(packages)}, but these are still missing: {', '.join(still)}.")


def program_find(name: str) -> str | None:
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(FOLDERS))
    if not found and name in {"postgres", "initdb"}:
        found = next((str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    return found


def apt_install(packages: list[str], why: str) -> None:
    """Install Debian packages as root, else stop with the line that does; no service is started by it."""
    line = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)}"
    if not shutil.which("apt-get"):
        raise SetupError(f"{why}. Install with your system's package manager what Debian calls: {' '.join(packages)}")
    if os.geteuid() != 0:
        raise SetupError(f"{why}. Type this, then try again:\n\n    sudo sh -c '{line}'\n")
    print(f"{why}; installing {' '.join(packages)}", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with services_held():
        for argv in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
            if subprocess.call(["apt-get", *argv], env=environment, stdout=subprocess.DEVNULL):
                raise SetupError(f"apt-get failed. Try it by hand:\n\n    {line}\n")


@contextlib.contextmanager
def services_held() -> Iterator[None]:
    """Packages that bring a service (sshd, PostgreSQL) do not start it: the panel and its tests run their own."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)


def venv_ensure() -> None:
    """Make `.venv`, or make it anew when its Python is gone or older than 3.11."""
    python = VENV / "bin" / "python"
    if _succeeds([str(python), "-c", "import sys, pip; raise SystemExit(sys.version_info < (3, 11))"]):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if not _succeeds([sys.executable, "-c", "import ensurepip, venv"]):
        version = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        apt_install([version], f"this Python cannot make virtual environments ({version})")
    print("Making .venv", flush=True)
    venv.EnvBuilder(with_pip=True, symlinks=True).create(VENV)


def packages_ensure(name: str) -> None:
    """Install the locked packages, each checked against its hash, unless exactly these are there."""
    lock = ROOT / "requirements" / f"{name}.txt"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    installed = STAMP.read_text(encoding="ascii").split() if STAMP.exists() else []
    if wanted in installed:
        return
    print(f"Installing the packages of requirements/{lock.name}", flush=True)
    argv = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    # No files of the user's own site: what runs is what is locked.
    if subprocess.call([*argv, "--require-hashes", "-r", str(lock)], env=os.environ | {"PYTHONNOUSERSITE": "1"}):
        raise SetupError("Installing the packages failed (above). Nothing else was changed; run it again.")
    # dev.txt holds all of base.txt; a changed lock makes the other's stamp worthless.
    covered = [wanted, _digest("base")] if name == "dev" else [wanted]
    STAMP.write_text("\n".join(covered) + "\n", encoding="ascii")


def _digest(name: str) -> str:
    return hashlib.sha256((ROOT / "requirements" / f"{name}.txt").read_bytes()).hexdigest()


def _succeeds(argv: list[str]) -> bool:
    try:
        return subprocess.call(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "run"))
