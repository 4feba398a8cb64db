"""Files appear whole or not at all, with and without a scratch disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flairflow.errors import ConfigError
from flairflow.files import atomic, on_scratch, remove_partial, scratch, write_text


@pytest.mark.parametrize("local", [False, True])
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, local: bool) -> None:
    path = tmp_path / "results" / "a.txt"
    with on_scratch(tmp_path / "local" if local else None):
        with pytest.raises(RuntimeError), atomic(path) as partial:
            partial.write_text("half")
            assert partial.is_relative_to(tmp_path / "local") == local
            raise RuntimeError
        assert list((tmp_path / "results").iterdir()) == []
        write_text(path, "whole")
    assert path.read_text() == "whole"
    assert list((tmp_path / "results").iterdir()) == [path]


def test_scratch_is_private_holds_temporary_files_and_is_left_empty(tmp_path: Path) -> None:
    before = tempfile.gettempdir(), os.environ.get("TMPDIR")
    with on_scratch(tmp_path / "fast" / "disk"):
        own = scratch()
        assert own is not None and own.parent == tmp_path / "fast" / "disk"
        with tempfile.NamedTemporaryFile() as file:
            assert Path(file.name).parent == own
        assert subprocess.run(["sh", "-c", "echo $TMPDIR"], capture_output=True, text=True).stdout.strip() == str(own)
        (own / "left").write_text("behind")
    assert scratch() is None
    assert (tempfile.gettempdir(), os.environ.get("TMPDIR")) == before
    assert list((tmp_path / "fast" / "disk").iterdir()) == []


def test_a_scratch_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match=r"scratch: .*file/below cannot be written on"),
        on_scratch(tmp_path / "file" / "below"),
    ):
        pass


def test_a_cancelled_job_takes_its_scratch_with_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from flairflow.files import on_scratch, scratch\n"
        "with on_scratch(Path(sys.argv[1])):\n (scratch() / 'big').write_text('x'); print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert len(list(tmp_path.rglob("big"))) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_of_a_file_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "sub-1_mask.nii.gz"
    path.write_text("whole")
    (tmp_path / ".node.site-17.sub-1_mask.nii.gz").write_text("half")
    (tmp_path / ".node-17.sub-2_mask.nii.gz").write_text("of another")
    remove_partial(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".node-17.sub-2_mask.nii.gz", "sub-1_mask.nii.gz"]
