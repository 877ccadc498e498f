"""`coordflow encode` that is stopped and goes on, and that several processes share."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coordflow_mini import cli, decoder, encoder
from coordflow_mini.ops.files import locked
from tests.cli.commands import run

pytestmark = pytest.mark.usefixtures("one_thread")

BRIEF = ["--flow", "random", "--width", "4", "--depth", "1", "--threads", "1", "--steps", "60"]


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(scope="module")
def whole(source) -> bytes:
    """The file of an encode that nothing stopped."""
    path = source.parent / "whole.cfv"
    assert run("encode", source, path, *BRIEF).exit_code == 0
    return path.read_bytes()


def run_until_killed(*words: object) -> None:
    """The command, killed between the fit and fine-tuning."""

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "finetune", kill)
        with pytest.raises(Killed):
            run(*words)


@pytest.fixture
def killed(source, tmp_path) -> Path:
    """The output of an encode that was killed: not there yet."""
    out = tmp_path / "x.cfv"
    run_until_killed("encode", source, out, *BRIEF)
    assert [path.name for path in tmp_path.iterdir()] == ["x.cfv.checkpoint.0"]
    return out


def test_a_killed_encode_is_not_begun_anew_by_accident(source, killed):
    left = killed.with_name("x.cfv.checkpoint.0").read_bytes()
    result = run("encode", source, killed, *BRIEF)
    assert result.exit_code == 2
    assert re.fullmatch(r"error: \S+ is left from .+ add --resume .+ --restart .+\n", result.stderr)
    assert killed.with_name("x.cfv.checkpoint.0").read_bytes() == left


def test_resume_ends_with_the_same_file_and_cleans_up(source, killed, whole):
    result = run("encode", source, killed, *BRIEF, "--resume")
    assert result.exit_code == 0 and f"resuming from {killed}.checkpoint.0" in result.stderr
    assert killed.read_bytes() == whole
    assert list(killed.parent.iterdir()) == [killed]


def test_restart_forgets(source, killed, whole):
    result = run("encode", source, killed, *BRIEF, "--restart")
    assert result.exit_code == 0 and "resuming" not in result.stderr
    assert killed.read_bytes() == whole
    assert list(killed.parent.iterdir()) == [killed]


def test_resume_without_anything_to_resume_starts(source, whole, tmp_path):
    result = run("encode", source, tmp_path / "x.cfv", *BRIEF, "--resume")
    assert result.exit_code == 0 and "starting at step 0" in result.stderr
    assert (tmp_path / "x.cfv").read_bytes() == whole


def test_a_second_encode_into_the_same_output_is_told_of_the_first(source, killed):
    """At once, and without a trace; the checkpoint of the first is left alone."""
    left = killed.with_name("x.cfv.checkpoint.0").read_bytes()
    with locked(killed):
        for more in ([], ["--resume"], ["--restart"]):
            result = run("encode", source, killed, *BRIEF, *more)
            assert result.exit_code == 2
            assert "x.cfv is being written by another process" in result.stderr
    assert [path.name for path in killed.parent.iterdir()] == ["x.cfv.checkpoint.0"]
    assert killed.with_name("x.cfv.checkpoint.0").read_bytes() == left


def test_other_settings_do_not_resume(source, killed):
    result = run("encode", source, killed, *BRIEF, "--resume", "--seed", 5)
    assert result.exit_code == 2 and "seed was 0, now it is 5" in result.stderr
    assert "--restart" in result.stderr and "remove it" not in result.stderr
    assert len(result.stderr.splitlines()) <= 3


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["clip:cutout"], "2 motions explain 9"),
        (["clip:pan"], "1 motion explains 9"),
        (["clip:cutout", "--frames", "0:2"], "no motion explains half of the textured pixels"),
        (["clip:cutout", "--flow", "random"], ""),
    ],
)
def test_it_says_which_motion_was_found(words, found, tmp_path):
    brief = ["--size", "72x48", "--width", "4", "--depth", "1", "--threads", "1", "--steps", "1"]
    result = run("encode", words[0], tmp_path / "x.cfv", *words[1:], *brief)
    assert result.exit_code == 0, result.stderr
    assert found in result.stderr
    assert ("motion" in result.stderr) == bool(found)


@pytest.mark.parametrize("layers", ["many", "0", "1.5"])
def test_layers_are_auto_or_a_number(layers, tmp_path):
    result = run("encode", "clip:cutout", tmp_path / "x.cfv", "--layers", layers)
    assert result.exit_code == 2
    assert "layers must be" in result.stderr


def test_a_damaged_checkpoint_is_one_line(source, killed):
    left = killed.with_name("x.cfv.checkpoint.0")
    left.write_bytes(left.read_bytes()[:-3])
    result = run("encode", source, killed, *BRIEF, "--resume")
    assert result.exit_code == 2 and "damaged checkpoint" in result.stderr


@pytest.mark.parametrize(("number", "cure"), [(errno.ENOSPC, "; make room, then try again"), (errno.EIO, "")])
def test_an_output_that_cannot_be_written_leads_to_the_checkpoint(
    number, cure, source, tmp_path, monkeypatch
):
    """Two lines: where what was trained is, and which file could not be written."""
    out = tmp_path / "x.cfv"

    def write(output: Path, data: bytes) -> None:
        raise OSError(number, os.strerror(number), str(output))

    monkeypatch.setattr(cli.encode, "_write", write)
    result = run("encode", source, out, *BRIEF, "-q")
    assert result.exit_code == 2
    where, error = result.stderr.strip().splitlines()
    assert f"{out}.checkpoint.0" in where and "--resume" in where
    assert error == f"error: {out}: {os.strerror(number)}{cure}"


def test_an_error_before_anything_was_trained_is_one_line(tmp_path):
    result = run("encode", tmp_path / "none.mp4", tmp_path / "x.cfv", *BRIEF)
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1


def test_minutes_become_steps_once(source, tmp_path):
    """A resumed encode keeps the steps that its first try chose, whatever the clock says now."""
    words = ["encode", source, tmp_path / "x.cfv", *BRIEF[:-2], "--minutes"]
    run_until_killed(*words, "0.02")
    result = run(*words, "5", "--resume")
    assert result.exit_code == 0, result.stderr
    assert "--minutes is not used" in result.stderr
    (steps,) = re.findall(r"([\d,]+) steps", result.stderr)
    assert int(steps.replace(",", "")) < 5000  # five minutes would be more


def started(*words: object, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


@pytest.mark.skipif(os.name == "nt", reason="there, signals are other ones")
def test_a_request_to_end_leaves_a_checkpoint(source, tmp_path):
    """SIGTERM, as batch systems send it before they kill: exit code 143, and a word on how to go on."""
    out = tmp_path / "x.cfv"
    process = started("coordflow_mini", "encode", source, out, *BRIEF[:-1], "50000")
    with process:
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith("fit "):
            assert line, "ended before it trained"
        process.terminate()
        _, text = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert f"{out}.checkpoint.0, --resume" in text
    assert [path.name for path in tmp_path.iterdir()] == ["x.cfv.checkpoint.0"]


@pytest.mark.slow
def test_two_processes_write_one_file(source, tmp_path):
    """Of nearly the size and quality of one process's."""
    both, one = tmp_path / "both.cfv", tmp_path / "one.cfv"
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "coordflow_mini"]
    for launcher, out in ((torchrun, both), (["coordflow_mini"], one)):
        process = started(*launcher, "encode", source, out, *BRIEF, GLOO_SOCKET_IFNAME="lo")
        text, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert text.count("bits per pixel") == 1, "only the first process speaks"
    ours, alone = (decoder.decode(path.read_bytes()).frames.astype(int) for path in (both, one))
    assert abs(ours - alone).mean() < 6
    assert sorted(tmp_path.iterdir()) == [both, one]
