"""`flairflow` starts at once: nothing heavy is imported before it is known what is asked for."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from flairflow.commands import _imports

HEAVY = ("ants", "lightning", "matplotlib", "monai", "nibabel", "numpy", "pandas", "pydantic", "scipy", "torch", "yaml")


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_nothing_heavy_is_imported_to_answer(option: str) -> None:
    code = f"""
import sys
from flairflow.cli import main
try:
    main([{option!r}])
finally:
    print("HEAVY", [name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_garbage_is_collected_again_after_imports_that_fail() -> None:
    with pytest.raises(ImportError), _imports():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()
