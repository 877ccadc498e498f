"""Small batches for all commands."""

import pytest

from coordflow_mini import cli
from tests.cli.commands import SmallBatch


@pytest.fixture(scope="module", autouse=True)
def _small_batches(one_thread):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.options, "FitConfig", SmallBatch)
        yield
