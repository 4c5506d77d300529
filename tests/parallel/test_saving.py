"""Results reach the disk soon, whatever the disk does."""

import time

import pytest

from losslandscape.parallel import saving, scheduler
from losslandscape.parallel.mpi4pytorch import Serial
from tests.parallel.scheduler_job import Recorder


@pytest.mark.slow
def test_a_full_disk_is_reported_once_and_saving_continues_when_there_is_room(monkeypatch, capsys):
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.01)

    class FullAtFirst(Recorder):
        tries = 0

        def save(self):
            self.tries += 1
            if self.tries <= 3:
                raise OSError(28, "No space left on device")
            super().save()

    def measure(point):
        time.sleep(0.05)
        return {"value": point}

    results = FullAtFirst(12)
    scheduler.run(range(12), measure, results, Serial())
    assert results.saves[-1] == 12
    printed = capsys.readouterr().err
    assert printed.count("cannot be saved (No space left on device)") == 1
    assert printed.count("are saved again") == 1
