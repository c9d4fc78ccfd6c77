"""The browser of these tests: which one is taken, what is said where there is none, and that CI brings one."""

import subprocess
from pathlib import Path

import pytest

from browser import conftest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """machine(name=what it does in bash ...): a machine on which these are the only programs."""
    monkeypatch.setattr(conftest, "MACOS", str(tmp_path / "none"))

    def install(**programs: str) -> Path:
        for name, script in programs.items():
            file = tmp_path / name.replace("_", "-")
            file.write_text(f"#!/bin/bash\n{script}\n")
            file.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return tmp_path

    return install


def test_browser_of_the_driver_s_version_is_taken(machine):
    folder = machine(
        chromedriver="echo ChromeDriver 156.0.80 '(a21ce)'", google_chrome="echo Google Chrome 155.0.80",
        chromium="echo Chromium 156.0.79 built on Debian 12",
    )  # fmt: skip
    assert conftest.installed() == (str(folder / "chromium"), str(folder / "chromedriver"))


@pytest.mark.parametrize("programs", [
    {}, {"chromedriver": "echo ChromeDriver 156.0"}, {"chromium": "echo Chromium 156.0"},
    {"chromedriver": "echo ChromeDriver 156.0", "chromium": "echo Chromium 155.0"},
    {"chromedriver": "exit 1", "chromium": "exit 1"},  # place holders that only say what to install
])  # fmt: skip
def test_absence_is_said_with_its_fix_and_fails_in_ci(machine, monkeypatch, programs):
    machine(**programs)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium chromium-driver"):
        conftest.required()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium chromium-driver"):
        conftest.required()


RETRIES = "-o Acquire::Retries=3"
UPDATE, INSTALL = f"update -qq {RETRIES}", f"install -qq {RETRIES} --no-install-recommends chromium chromium-driver"
APT = 'echo "$@" >> ${0%/*}/asked'


@pytest.mark.parametrize(("programs", "asked", "said"), [
    ({"apt_get": APT, "id": "echo 0"}, [UPDATE, INSTALL], []),
    ({"apt_get": APT + "; exit 100", "id": "echo 0"}, [UPDATE], ["apt-get could install no browser."]),
    ({"apt_get": APT, "id": "echo 1000"}, [], []),
    ({"apt_get": APT, "id": "echo 0", "chromedriver": ""}, [], []),
    ({"id": "echo 0"}, [], []),
])  # fmt: skip
def test_ci_installs_a_browser_where_it_may_and_then_tests(machine, programs, asked, said):
    folder = machine(dirname="echo ${1%/*}", make='echo "make $@, CI=$CI"', **programs)
    (folder / "asked").touch()
    done = subprocess.run(["/bin/bash", ROOT / ".ci/run"], capture_output=True, text=True, check=True)
    assert (folder / "asked").read_text().splitlines() == asked
    assert done.stdout.splitlines() == [*said, "make test, CI=true"]
