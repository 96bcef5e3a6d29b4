"""A checkout in small: the real launcher and scripts, a stub for Mohist, and a lock of one tiny wheel."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_STUB = """
import json, os, sys
import tiny
print(json.dumps({
    "args": sys.argv[1:], "cwd": os.getcwd(), "prefix": sys.prefix, "tiny": tiny.VERSION, "utf8": sys.flags.utf8_mode,
    "source": __file__,
}))
sys.exit(7 if "--fail" in sys.argv else 0)
"""


def build_wheel(folder: Path, version: str) -> str:
    """Write `tiny-VERSION-py3-none-any.whl`; returns its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"tiny-{version}.dist-info"
    files = {
        "tiny.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_record_digest(text)},{len(text)}\n" for name, text in files.items())
    wheel = folder / f"tiny-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def _record_digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Checkout:
    """One small checkout at `root`, with wheels in `wheels` and a home of its own."""

    root: Path
    wheels: Path
    home: Path

    @classmethod
    def make(cls, folder: Path, name: str = "checkout") -> Checkout:
        root = folder / name
        (root / "scripts").mkdir(parents=True)
        (root / "src" / "mohist").mkdir(parents=True)
        (root / "requirements").mkdir()
        shutil.copy2(ROOT / "mohist", root)
        for script in ("environment.sh", "environment.py"):
            shutil.copy2(ROOT / "scripts" / script, root / "scripts")
        (root / "src" / "mohist" / "__init__.py").touch()
        (root / "src" / "mohist" / "__main__.py").write_text(_STUB, encoding="utf-8")
        home = folder / "home"
        home.mkdir(exist_ok=True)
        checkout = cls(root, folder / "wheels", home)
        checkout.lock("1.0")
        return checkout

    @property
    def environments(self) -> list[Path]:
        """Finished environments in the checkout."""
        return sorted(path.parent for path in (self.root / ".mohist-env").glob("*/lock.txt"))

    def lock(self, version: str, digest: str | None = None) -> None:
        """Lock `tiny` at `version`; with a `digest` of its own, the wheel won't fit."""
        digest = digest or build_wheel(self.wheels, version)
        lock = self.root / "requirements" / "runtime.txt"
        lock.write_text(f"tiny=={version} \\\n    --hash=sha256:{digest}\n    # via mohist\n", encoding="utf-8")

    def variables(self, **changes: str) -> dict[str, str]:
        """The whole environment of a start: packages come from `wheels` alone, so no test needs a network."""
        return {
            "PATH": str(self.tools),
            "HOME": str(self.home),
            "MOHIST_PYTHON": base_python(),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            **changes,
        }

    @property
    def tools(self) -> Path:
        """A folder with the programs that the launcher counts on: no Python, no uv, no git."""
        tools = self.home.parent / "tools"
        tools.mkdir(exist_ok=True)
        for tool in ("sh", "cmp", "uname", "readlink", "cksum"):
            found = shutil.which(tool)
            if found and not (tools / tool).exists():
                (tools / tool).symlink_to(found)
        return tools

    def offline(self) -> dict[str, str]:
        """Variables under which nothing can be installed, and no Python but the environment's own can be found."""
        variables = self.variables(PIP_FIND_LINKS=str(self.home / "nothing"))
        del variables["MOHIST_PYTHON"]
        return variables

    def start(
        self, *args: str, env: dict[str, str] | None = None, cwd: Path | None = None, by: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the launcher (`by` another name) to its end."""
        return subprocess.run(
            [by or self.root / "mohist", *args],
            cwd=cwd or self.root,
            env=env or self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=100,
        )

    def begin(self, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the launcher in a process group of its own and come back at once."""
        return subprocess.Popen(
            [self.root / "mohist", *args],
            cwd=self.root,
            env=env or self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )


def base_python() -> str:
    """A Python outside every environment."""
    return str(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]


def write_program(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path
