"""`threadline up`: what it keeps of its services' logs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestration.cli.run import keep_short


def test_a_log_that_has_grown_is_put_aside_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    says = "import sys; [print(line.strip(), flush=True) for line in sys.stdin]"
    with log.open("ab") as file:
        service = subprocess.Popen([sys.executable, "-c", says], stdin=subprocess.PIPE, stdout=file, text=True)
    assert service.stdin is not None

    def say(word: str) -> None:
        assert service.stdin is not None
        service.stdin.write(f"{word}\n")
        service.stdin.flush()
        while word not in log.read_text():
            assert service.poll() is None

    say("first")
    keep_short(log, most_bytes=100)
    assert log.read_text() == "first\n", "it is short"
    keep_short(log, most_bytes=6)
    say("second")
    service.stdin.close()
    assert service.wait() == 0
    assert log.read_text() == "second\n"
    assert (tmp_path / "service.log.1").read_text() == "first\n"
