"""What several tests need of the machine."""

import os
import subprocess

import pytest


@pytest.fixture
def disk_of(tmp_path):
    """Mounts a file system of a size, as mount writes it; the test skips where it may not."""
    mounted = []

    def mount(size):
        place = tmp_path / "disk"
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("no small disk can be mounted here")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)
